-- +goose Up

-- Times are microseconds since 1970-01-01T00:00:00Z, in both dialects: one
-- encoding, ordered as it is, in which no time zone can hide. NULL is "unknown"
-- or "never". To read one: to_timestamp(expires_at / 1e6).
--
-- Every key of a table that grows with consents begins with application_id, so
-- that the tables can be partitioned or spread by it. For the same reason there
-- are no foreign keys between them: the registry writes what belongs together
-- in one transaction. (A foreign key would survive partitioning, but costs a
-- lookup and a lock on the parent with each event and attempt, and Citus and
-- its like take none that are not co-located.)
--
-- Names and ids are compared byte by byte (COLLATE "C"), as SQLite and Go do:
-- pages come in the same order everywhere, and keys cost no locale rules.

CREATE TABLE applications (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    slug       TEXT COLLATE "C" NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    settings   TEXT NOT NULL, -- JSON: allowed addresses, cadence, policies
    created_at BIGINT NOT NULL
);

CREATE TABLE api_keys (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    hash           BYTEA NOT NULL,
    name           TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    revoked_at     BIGINT,
    PRIMARY KEY (application_id, id),
    UNIQUE (application_id, hash)
);

CREATE TABLE provider_settings (
    application_id TEXT COLLATE "C" NOT NULL,
    provider       TEXT COLLATE "C" NOT NULL,
    config         BYTEA NOT NULL, -- sealed
    updated_at     BIGINT NOT NULL,
    PRIMARY KEY (application_id, provider)
);

CREATE TABLE users (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    email          TEXT NOT NULL,
    phone          TEXT NOT NULL,
    name           TEXT NOT NULL,
    locale         TEXT NOT NULL,
    time_zone      TEXT NOT NULL,
    password_hash  BYTEA, -- sealed
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    PRIMARY KEY (application_id, id)
);

CREATE TABLE consents (
    application_id    TEXT COLLATE "C" NOT NULL,
    id                TEXT COLLATE "C" NOT NULL,
    user_id           TEXT COLLATE "C" NOT NULL,
    provider          TEXT COLLATE "C" NOT NULL,
    provider_id       TEXT NOT NULL,
    bank_name         TEXT NOT NULL,
    account_label     TEXT NOT NULL,
    credentials_id    TEXT COLLATE "C" NOT NULL,
    cycle             INTEGER NOT NULL,
    custody           TEXT NOT NULL,
    scopes            TEXT NOT NULL, -- separated by spaces
    redirect_uri      TEXT NOT NULL,
    hosted            BOOLEAN NOT NULL,
    replaces          TEXT NOT NULL,
    created_at        BIGINT NOT NULL,
    consented_at      BIGINT NOT NULL,
    expires_at        BIGINT,
    expiry_source     TEXT NOT NULL,
    ended_at          BIGINT,
    ended_reason      TEXT NOT NULL,
    refused_at        BIGINT,
    revoked_at        BIGINT,
    revoked_by        TEXT NOT NULL,
    pending           BOOLEAN NOT NULL,
    lapsing_at        BIGINT,
    lapses_at         BIGINT,
    renewable_until   BIGINT,
    next_stage_at     BIGINT,
    accounts          TEXT NOT NULL, -- sorted fingerprints, separated by spaces
    refresh_token     BYTEA, -- sealed under id
    access_token      BYTEA, -- sealed under id
    access_expires_at BIGINT,
    refreshed_at      BIGINT,
    seq               BIGINT NOT NULL, -- of the newest event
    lease_id          TEXT NOT NULL,
    lease_until       BIGINT,
    PRIMARY KEY (application_id, id)
) WITH (fillfactor = 80); -- room for leases and tokens to be rewritten in place (HOT)

-- One live consent for a bank login of a user. A pending one binds nobody.
CREATE UNIQUE INDEX consents_identity ON consents (application_id, user_id, provider, credentials_id)
    WHERE revoked_at IS NULL AND NOT pending;
CREATE INDEX consents_listing ON consents (application_id, created_at, id);
CREATE INDEX consents_user ON consents (application_id, user_id);
CREATE INDEX consents_credentials ON consents (application_id, credentials_id);
-- What is due, looked up without touching the table.
CREATE INDEX consents_due ON consents (next_stage_at, application_id, id)
    WHERE next_stage_at IS NOT NULL AND revoked_at IS NULL AND NOT pending;

-- Every refresh token that a consent ever had, as a keyed fingerprint.
CREATE TABLE token_hashes (
    application_id TEXT COLLATE "C" NOT NULL,
    hash           BYTEA NOT NULL,
    consent_id     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (application_id, hash, consent_id)
);

CREATE TABLE events (
    application_id TEXT COLLATE "C" NOT NULL,
    consent_id     TEXT COLLATE "C" NOT NULL,
    seq            BIGINT NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    type           TEXT NOT NULL,
    at             BIGINT NOT NULL,
    cycle          INTEGER NOT NULL,
    stage          TEXT NOT NULL,
    data           TEXT NOT NULL, -- JSON; text because jsonb refuses \u0000
    PRIMARY KEY (application_id, consent_id, seq)
);

CREATE TABLE attempts (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    kind           TEXT NOT NULL,
    origin         TEXT NOT NULL,
    consent_id     TEXT COLLATE "C" NOT NULL,
    cycle          INTEGER NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    provider       TEXT COLLATE "C" NOT NULL,
    provider_id    TEXT NOT NULL,
    scopes         TEXT NOT NULL,
    redirect_uri   TEXT NOT NULL,
    hosted         BOOLEAN NOT NULL,
    return_to      TEXT NOT NULL,
    caller_state   BYTEA, -- any bytes
    state_hash     BYTEA,
    uri            BYTEA, -- sealed under id, like verifier, code and kept_grant
    verifier       BYTEA,
    reuse_key      BYTEA,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    status         TEXT NOT NULL,
    claim_id       TEXT NOT NULL,
    claimed_until  BIGINT,
    code           BYTEA,
    kept_grant     BYTEA,
    finished_at    BIGINT,
    reason         TEXT NOT NULL,
    credentials_id TEXT COLLATE "C" NOT NULL,
    result_hash    BYTEA,
    confirm_by     BIGINT,
    PRIMARY KEY (application_id, id)
) WITH (fillfactor = 80);

CREATE INDEX attempts_state ON attempts (application_id, state_hash) WHERE state_hash IS NOT NULL;
CREATE INDEX attempts_reuse ON attempts (application_id, consent_id, reuse_key) WHERE status = 'started';
CREATE INDEX attempts_open ON attempts (application_id, user_id) WHERE status IN ('started', 'claimed', 'pending');
CREATE INDEX attempts_stale ON attempts (claimed_until) WHERE status = 'claimed';
CREATE INDEX attempts_unconfirmed ON attempts (confirm_by) WHERE status = 'pending';

CREATE TABLE reconnect_links (
    application_id TEXT COLLATE "C" NOT NULL,
    token_hash     BYTEA NOT NULL,
    consent_id     TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    cycle          INTEGER NOT NULL,
    return_to      TEXT NOT NULL,
    state          BYTEA,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    PRIMARY KEY (application_id, token_hash)
);
CREATE INDEX reconnect_links_consent ON reconnect_links (application_id, consent_id);

-- Grants that must be revoked at their provider.
CREATE TABLE give_backs (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    consent_id     TEXT COLLATE "C" NOT NULL,
    provider       TEXT COLLATE "C" NOT NULL,
    credentials_id TEXT COLLATE "C" NOT NULL,
    kept_grant     BYTEA NOT NULL, -- sealed under id
    reason         TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    next_try_at    BIGINT NOT NULL,
    tries          INTEGER NOT NULL,
    PRIMARY KEY (application_id, id)
);
CREATE INDEX give_backs_due ON give_backs (next_try_at);

-- +goose Down

DROP TABLE give_backs;
DROP TABLE reconnect_links;
DROP TABLE attempts;
DROP TABLE events;
DROP TABLE token_hashes;
DROP TABLE consents;
DROP TABLE users;
DROP TABLE provider_settings;
DROP TABLE api_keys;
DROP TABLE applications;
