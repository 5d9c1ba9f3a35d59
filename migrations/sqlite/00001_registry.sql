-- +goose Up

-- Times are microseconds since 1970-01-01T00:00:00Z, in both dialects: one
-- encoding, ordered as it is, in which no time zone can hide. NULL is "unknown"
-- or "never". To read one: datetime(expires_at / 1000000, 'unixepoch').
--
-- Every key of a table that grows with consents begins with application_id, so
-- that the tables can be partitioned or spread by it. For the same reason there
-- are no foreign keys between them: the registry writes what belongs together
-- in one transaction.
--
-- Tables and columns are PostgreSQL's, one by one; see there for the reasons.

CREATE TABLE applications (
    id         TEXT NOT NULL PRIMARY KEY,
    slug       TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    settings   TEXT NOT NULL, -- JSON: allowed addresses, cadence, policies
    created_at INTEGER NOT NULL
);

CREATE TABLE api_keys (
    application_id TEXT NOT NULL,
    id             TEXT NOT NULL,
    hash           BLOB NOT NULL,
    name           TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    revoked_at     INTEGER,
    PRIMARY KEY (application_id, id),
    UNIQUE (application_id, hash)
);

CREATE TABLE provider_settings (
    application_id TEXT NOT NULL,
    provider       TEXT NOT NULL,
    config         BLOB NOT NULL, -- sealed
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (application_id, provider)
);

CREATE TABLE users (
    application_id TEXT NOT NULL,
    id             TEXT NOT NULL,
    email          TEXT NOT NULL,
    phone          TEXT NOT NULL,
    name           TEXT NOT NULL,
    locale         TEXT NOT NULL,
    time_zone      TEXT NOT NULL,
    password_hash  BLOB, -- sealed
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (application_id, id)
);

CREATE TABLE consents (
    application_id    TEXT NOT NULL,
    id                TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    provider          TEXT NOT NULL,
    provider_id       TEXT NOT NULL,
    bank_name         TEXT NOT NULL,
    account_label     TEXT NOT NULL,
    credentials_id    TEXT NOT NULL,
    cycle             INTEGER NOT NULL,
    custody           TEXT NOT NULL,
    scopes            TEXT NOT NULL, -- separated by spaces
    redirect_uri      TEXT NOT NULL,
    hosted            BOOLEAN NOT NULL,
    replaces          TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    consented_at      INTEGER NOT NULL,
    expires_at        INTEGER,
    expiry_source     TEXT NOT NULL,
    ended_at          INTEGER,
    ended_reason      TEXT NOT NULL,
    refused_at        INTEGER,
    revoked_at        INTEGER,
    revoked_by        TEXT NOT NULL,
    pending           BOOLEAN NOT NULL,
    lapsing_at        INTEGER,
    lapses_at         INTEGER,
    renewable_until   INTEGER,
    next_stage_at     INTEGER,
    accounts          TEXT NOT NULL, -- sorted fingerprints, separated by spaces
    refresh_token     BLOB, -- sealed under id
    access_token      BLOB, -- sealed under id
    access_expires_at INTEGER,
    refreshed_at      INTEGER,
    seq               INTEGER NOT NULL, -- of the newest event
    lease_id          TEXT NOT NULL,
    lease_until       INTEGER,
    PRIMARY KEY (application_id, id)
);

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
    application_id TEXT NOT NULL,
    hash           BLOB NOT NULL,
    consent_id     TEXT NOT NULL,
    PRIMARY KEY (application_id, hash, consent_id)
);

CREATE TABLE events (
    application_id TEXT NOT NULL,
    consent_id     TEXT NOT NULL,
    seq            INTEGER NOT NULL,
    id             TEXT NOT NULL,
    type           TEXT NOT NULL,
    at             INTEGER NOT NULL,
    cycle          INTEGER NOT NULL,
    stage          TEXT NOT NULL,
    data           TEXT NOT NULL, -- JSON; text because jsonb refuses \u0000
    PRIMARY KEY (application_id, consent_id, seq)
);

CREATE TABLE attempts (
    application_id TEXT NOT NULL,
    id             TEXT NOT NULL,
    kind           TEXT NOT NULL,
    origin         TEXT NOT NULL,
    consent_id     TEXT NOT NULL,
    cycle          INTEGER NOT NULL,
    user_id        TEXT NOT NULL,
    provider       TEXT NOT NULL,
    provider_id    TEXT NOT NULL,
    scopes         TEXT NOT NULL,
    redirect_uri   TEXT NOT NULL,
    hosted         BOOLEAN NOT NULL,
    return_to      TEXT NOT NULL,
    caller_state   BLOB, -- any bytes
    state_hash     BLOB,
    uri            BLOB, -- sealed under id, like verifier, code and kept_grant
    verifier       BLOB,
    reuse_key      BLOB,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    status         TEXT NOT NULL,
    claim_id       TEXT NOT NULL,
    claimed_until  INTEGER,
    code           BLOB,
    kept_grant     BLOB,
    finished_at    INTEGER,
    reason         TEXT NOT NULL,
    credentials_id TEXT NOT NULL,
    result_hash    BLOB,
    confirm_by     INTEGER,
    PRIMARY KEY (application_id, id)
);

CREATE INDEX attempts_state ON attempts (application_id, state_hash) WHERE state_hash IS NOT NULL;
CREATE INDEX attempts_reuse ON attempts (application_id, consent_id, reuse_key) WHERE status = 'started';
CREATE INDEX attempts_open ON attempts (application_id, user_id) WHERE status IN ('started', 'claimed', 'pending');
CREATE INDEX attempts_stale ON attempts (claimed_until) WHERE status = 'claimed';
CREATE INDEX attempts_unconfirmed ON attempts (confirm_by) WHERE status = 'pending';

CREATE TABLE reconnect_links (
    application_id TEXT NOT NULL,
    token_hash     BLOB NOT NULL,
    consent_id     TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    cycle          INTEGER NOT NULL,
    return_to      TEXT NOT NULL,
    state          BLOB,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    PRIMARY KEY (application_id, token_hash)
);
CREATE INDEX reconnect_links_consent ON reconnect_links (application_id, consent_id);

-- Grants that must be revoked at their provider.
CREATE TABLE give_backs (
    application_id TEXT NOT NULL,
    id             TEXT NOT NULL,
    consent_id     TEXT NOT NULL,
    provider       TEXT NOT NULL,
    credentials_id TEXT NOT NULL,
    kept_grant     BLOB NOT NULL, -- sealed under id
    reason         TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    next_try_at    INTEGER NOT NULL,
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
