-- +goose Up

-- What a sweep has to remember of a consent's present cycle.
ALTER TABLE consents
    ADD COLUMN announced     TEXT NOT NULL DEFAULT '', -- names of stages, separated by spaces
    ADD COLUMN parked_at     BIGINT,
    ADD COLUMN parked_reason TEXT NOT NULL DEFAULT '',
    ADD COLUMN next_check_at BIGINT; -- when the provider is to be asked about it again

-- Stages that had their event before this version count as announced.
UPDATE consents SET announced = COALESCE((
    SELECT string_agg(DISTINCT e.stage, ' ') FROM events e
    WHERE e.application_id = consents.application_id AND e.consent_id = consents.id AND e.cycle = consents.cycle AND e.stage <> ''
), '');

-- Consents that we refresh are looked at halfway to the shortest idle limit of
-- a provider; those that nobody used for longer, at once.
UPDATE consents SET next_check_at = COALESCE(refreshed_at, consented_at) + 15 * 86400000000
WHERE custody = 'ours' AND refresh_token IS NOT NULL AND revoked_at IS NULL AND NOT pending;

-- lapses_at stands in the index so that the nearest lapses can be taken first
-- without touching the table.
DROP INDEX consents_due;
CREATE INDEX consents_due ON consents (next_stage_at, application_id, id) INCLUDE (lapses_at)
    WHERE next_stage_at IS NOT NULL AND revoked_at IS NULL AND NOT pending;
CREATE INDEX consents_parked ON consents (application_id, parked_at) WHERE parked_at IS NOT NULL;
CREATE INDEX consents_check ON consents (next_check_at, application_id, provider, id)
    WHERE next_check_at IS NOT NULL AND revoked_at IS NULL AND NOT pending;

-- A message to a user: one or several notices that go out together. due_at is
-- when something is to be done about it next; NULL once it is over.
CREATE TABLE digests (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    channel        TEXT NOT NULL,
    state          TEXT NOT NULL, -- open, frozen, sent, dropped, failed
    created_at     BIGINT NOT NULL,
    due_at         BIGINT,
    claim_id       TEXT NOT NULL DEFAULT '',
    claimed_until  BIGINT,
    tries          INTEGER NOT NULL DEFAULT 0,
    finished_at    BIGINT,
    reason         TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (application_id, id)
) WITH (fillfactor = 80);

-- New notices join the one message to a user that has not been frozen yet.
CREATE UNIQUE INDEX digests_open ON digests (application_id, user_id, channel) WHERE state = 'open';
CREATE INDEX digests_due ON digests (due_at) WHERE due_at IS NOT NULL;

-- That a stage is told by a channel, once: the key is the guarantee.
CREATE TABLE notices (
    application_id TEXT COLLATE "C" NOT NULL,
    consent_id     TEXT COLLATE "C" NOT NULL,
    cycle          INTEGER NOT NULL,
    stage          TEXT COLLATE "C" NOT NULL,
    channel        TEXT COLLATE "C" NOT NULL,
    digest_id      TEXT COLLATE "C" NOT NULL,
    outcome        TEXT NOT NULL, -- waiting, sent, or why it was not
    PRIMARY KEY (application_id, consent_id, cycle, stage, channel)
);
CREATE INDEX notices_digest ON notices (application_id, digest_id);

-- What the provider last said of a consent, and when: whether many fail at once
-- tells a dead consent from a wrong secret and a bank's outage.
CREATE TABLE checks (
    application_id TEXT COLLATE "C" NOT NULL,
    consent_id     TEXT COLLATE "C" NOT NULL,
    provider       TEXT COLLATE "C" NOT NULL,
    provider_id    TEXT COLLATE "C" NOT NULL,
    at             BIGINT NOT NULL,
    outcome        TEXT NOT NULL, -- ok, refused, failed, misconfigured
    PRIMARY KEY (application_id, consent_id)
) WITH (fillfactor = 80);
CREATE INDEX checks_recent ON checks (application_id, provider, at);
CREATE INDEX checks_bad ON checks (at) WHERE outcome <> 'ok';

-- What an operator has to know of, once; closed when it is over. Checks of what
-- it is about wait meanwhile, but for one at probe_at.
CREATE TABLE alarms (
    application_id TEXT COLLATE "C" NOT NULL,
    kind           TEXT COLLATE "C" NOT NULL,
    provider       TEXT COLLATE "C" NOT NULL,
    provider_id    TEXT COLLATE "C" NOT NULL, -- empty: the provider as a whole
    opened_at      BIGINT NOT NULL,
    closed_at      BIGINT,
    probe_at       BIGINT,
    detail         TEXT NOT NULL,
    PRIMARY KEY (application_id, kind, provider, provider_id)
);

-- How much of something has been used up in the present window of time, by all
-- replicas together.
CREATE TABLE allowances (
    application_id TEXT COLLATE "C" NOT NULL,
    name           TEXT COLLATE "C" NOT NULL,
    window_at      BIGINT NOT NULL,
    used           BIGINT NOT NULL,
    PRIMARY KEY (application_id, name)
) WITH (fillfactor = 50);

-- That a person confirmed a consent anew, word for word. Lines are only added.
CREATE TABLE confirmations (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    consent_id     TEXT COLLATE "C" NOT NULL,
    cycle          INTEGER NOT NULL,
    confirmed_at   BIGINT NOT NULL,
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
ALTER TABLE consents DROP COLUMN announced, DROP COLUMN parked_at, DROP COLUMN parked_reason, DROP COLUMN next_check_at;
