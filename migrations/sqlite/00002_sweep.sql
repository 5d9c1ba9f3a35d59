-- +goose Up

-- PostgreSQL's, one by one; see there for the reasons.
ALTER TABLE consents ADD COLUMN announced TEXT NOT NULL DEFAULT ''; -- names of stages, separated by spaces
ALTER TABLE consents ADD COLUMN parked_at INTEGER;
ALTER TABLE consents ADD COLUMN parked_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE consents ADD COLUMN next_check_at INTEGER;

UPDATE consents SET announced = COALESCE((
    SELECT group_concat(DISTINCT e.stage) FROM events e
    WHERE e.application_id = consents.application_id AND e.consent_id = consents.id AND e.cycle = consents.cycle AND e.stage <> ''
), '');
UPDATE consents SET announced = replace(announced, ',', ' ');

UPDATE consents SET next_check_at = COALESCE(refreshed_at, consented_at) + 15 * 86400000000
WHERE custody = 'ours' AND refresh_token IS NOT NULL AND revoked_at IS NULL AND NOT pending;

DROP INDEX consents_due;
CREATE INDEX consents_due ON consents (next_stage_at, application_id, id, lapses_at)
    WHERE next_stage_at IS NOT NULL AND revoked_at IS NULL AND NOT pending;
CREATE INDEX consents_parked ON consents (application_id, parked_at) WHERE parked_at IS NOT NULL;
CREATE INDEX consents_check ON consents (next_check_at, application_id, provider, id)
    WHERE next_check_at IS NOT NULL AND revoked_at IS NULL AND NOT pending;

CREATE TABLE digests (
    application_id TEXT NOT NULL,
    id             TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    channel        TEXT NOT NULL,
    state          TEXT NOT NULL, -- open, frozen, sent, dropped, failed
    created_at     INTEGER NOT NULL,
    due_at         INTEGER,
    claim_id       TEXT NOT NULL DEFAULT '',
    claimed_until  INTEGER,
    tries          INTEGER NOT NULL DEFAULT 0,
    finished_at    INTEGER,
    reason         TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (application_id, id)
);
CREATE UNIQUE INDEX digests_open ON digests (application_id, user_id, channel) WHERE state = 'open';
CREATE INDEX digests_due ON digests (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE notices (
    application_id TEXT NOT NULL,
    consent_id     TEXT NOT NULL,
    cycle          INTEGER NOT NULL,
    stage          TEXT NOT NULL,
    channel        TEXT NOT NULL,
    digest_id      TEXT NOT NULL,
    outcome        TEXT NOT NULL, -- waiting, sent, or why it was not
    PRIMARY KEY (application_id, consent_id, cycle, stage, channel)
);
CREATE INDEX notices_digest ON notices (application_id, digest_id);

-- What the provider last said of a consent, and when: whether many fail at once
-- tells a dead consent from a wrong secret and a bank's outage.
CREATE TABLE checks (
    application_id TEXT NOT NULL,
    consent_id     TEXT NOT NULL,
    provider       TEXT NOT NULL,
    provider_id    TEXT NOT NULL,
    at             INTEGER NOT NULL,
    outcome        TEXT NOT NULL, -- ok, refused, failed, misconfigured
    PRIMARY KEY (application_id, consent_id)
);
CREATE INDEX checks_recent ON checks (application_id, provider, at);
CREATE INDEX checks_bad ON checks (at) WHERE outcome <> 'ok';

-- What an operator has to know of, once; closed when it is over. Checks of what
-- it is about wait meanwhile, but for one at probe_at.
CREATE TABLE alarms (
    application_id TEXT NOT NULL,
    kind           TEXT NOT NULL,
    provider       TEXT NOT NULL,
    provider_id    TEXT NOT NULL, -- empty: the provider as a whole
    opened_at      INTEGER NOT NULL,
    closed_at      INTEGER,
    probe_at       INTEGER,
    detail         TEXT NOT NULL,
    PRIMARY KEY (application_id, kind, provider, provider_id)
);

-- How much of something has been used up in the present window of time, by all
-- replicas together.
CREATE TABLE allowances (
    application_id TEXT NOT NULL,
    name           TEXT NOT NULL,
    window_at      INTEGER NOT NULL,
    used           INTEGER NOT NULL,
    PRIMARY KEY (application_id, name)
);

-- That a person confirmed a consent anew, word for word. Lines are only added.
CREATE TABLE confirmations (
    application_id TEXT NOT NULL,
    id             TEXT NOT NULL,
    consent_id     TEXT NOT NULL,
    cycle          INTEGER NOT NULL,
    confirmed_at   INTEGER NOT NULL,
    confirmed_by   TEXT NOT NULL,
    statement      TEXT NOT NULL,
    PRIMARY KEY (application_id, id)
);
CREATE INDEX confirmations_consent ON confirmations (application_id, consent_id);

-- +goose Down

DROP TABLE confirmations;
DROP TABLE allowances;
DROP TABLE alarms;
DROP TABLE checks;
DROP TABLE notices;
DROP TABLE digests;
DROP INDEX consents_check;
DROP INDEX consents_parked;
DROP INDEX consents_due;
CREATE INDEX consents_due ON consents (next_stage_at, application_id, id)
    WHERE next_stage_at IS NOT NULL AND revoked_at IS NULL AND NOT pending;
ALTER TABLE consents DROP COLUMN announced;
ALTER TABLE consents DROP COLUMN parked_at;
ALTER TABLE consents DROP COLUMN parked_reason;
ALTER TABLE consents DROP COLUMN next_check_at;
