-- +goose Up

-- How users of an application prove themselves again. One sealed document: it
-- holds secrets.
CREATE TABLE reauth_settings (
    application_id TEXT NOT NULL PRIMARY KEY,
    config         BLOB NOT NULL, -- sealed
    updated_at     INTEGER NOT NULL
);

-- Keys of the installation that sign proofs. A few rows, however many users.
CREATE TABLE proof_keys (
    id         TEXT NOT NULL PRIMARY KEY, -- RFC 7638 thumbprint
    seq        INTEGER NOT NULL UNIQUE, -- 1, 2, 3 ...: two replicas cannot both add the next
    algorithm  TEXT NOT NULL,
    private    BLOB NOT NULL, -- sealed
    created_at INTEGER NOT NULL,
    active_at  INTEGER NOT NULL,
    retired_at INTEGER
);

-- What was proven in a session. The row of session '' is about all sessions of
-- its user. kept_until moves once a day, so that what it indexes is seldom
-- written.
CREATE TABLE reauth_sessions (
    application_id TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    session_id     TEXT NOT NULL,
    proven         TEXT NOT NULL, -- JSON
    cleared_at     INTEGER, -- nothing up to then counts
    kept_until     INTEGER NOT NULL,
    PRIMARY KEY (application_id, user_id, session_id)
);
CREATE INDEX reauth_sessions_kept ON reauth_sessions (kept_until);

-- Sliding windows, each a text that is compared and swapped whole. kept_until is
-- as in reauth_sessions: a window is written with each call that it counts.
CREATE TABLE reauth_windows (
    application_id TEXT NOT NULL,
    bucket         TEXT NOT NULL,
    stamps         TEXT NOT NULL, -- as package reauth writes a window
    kept_until     INTEGER NOT NULL,
    PRIMARY KEY (application_id, bucket)
);
CREATE INDEX reauth_windows_kept ON reauth_windows (kept_until);

-- Six digits that were sent to somebody, as their MAC.
CREATE TABLE reauth_codes (
    application_id TEXT NOT NULL,
    id             TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    session_id     TEXT NOT NULL,
    device_id      TEXT NOT NULL,
    purpose        TEXT NOT NULL,
    subject        TEXT NOT NULL, -- the reverification or factor that it is for
    factor         TEXT NOT NULL,
    address_hash   BLOB,
    mac            BLOB,
    hollow         BOOLEAN NOT NULL, -- sent to nobody
    tries          INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    used_at        INTEGER,
    ended_at       INTEGER,
    PRIMARY KEY (application_id, id)
);
-- One is live for each purpose.
CREATE UNIQUE INDEX reauth_codes_live ON reauth_codes (application_id, user_id, session_id, purpose)
    WHERE used_at IS NULL AND ended_at IS NULL;
CREATE INDEX reauth_codes_user ON reauth_codes (application_id, user_id);
CREATE INDEX reauth_codes_expired ON reauth_codes (expires_at);

CREATE TABLE reverifications (
    application_id  TEXT NOT NULL,
    id              TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    session_id      TEXT NOT NULL,
    level           TEXT NOT NULL,
    operation       TEXT NOT NULL,
    details         BLOB, -- sealed under id: who is paid, and how much
    digest          TEXT NOT NULL,
    second_enrolled BOOLEAN NOT NULL,
    proven          TEXT NOT NULL, -- JSON
    prepared        BLOB, -- sealed under id: a challenge that waits for its answer
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    completed_at    INTEGER,
    ended_at        INTEGER,
    PRIMARY KEY (application_id, id)
);
CREATE INDEX reverifications_user ON reverifications (application_id, user_id);
CREATE INDEX reverifications_expired ON reverifications (expires_at);

-- Secrets between two steps of a chain, as their hash.
CREATE TABLE step_tokens (
    application_id TEXT NOT NULL,
    hash           BLOB NOT NULL,
    kind           TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    session_id     TEXT NOT NULL,
    device_id      TEXT NOT NULL,
    factor         TEXT NOT NULL,
    ref            TEXT NOT NULL,
    proven_at      INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    used_at        INTEGER,
    ended_at       INTEGER,
    PRIMARY KEY (application_id, hash)
);
CREATE INDEX step_tokens_user ON step_tokens (application_id, user_id);
CREATE INDEX step_tokens_expired ON step_tokens (expires_at);

CREATE TABLE factors (
    application_id TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    id             TEXT NOT NULL,
    kind           TEXT NOT NULL,
    label          TEXT NOT NULL,
    address        TEXT NOT NULL, -- phone number, E.164
    ref            TEXT NOT NULL, -- what must not count twice
    secret         BLOB, -- sealed under id
    last_step      INTEGER NOT NULL, -- TOTP: only rises
    created_at     INTEGER NOT NULL,
    verified_at    INTEGER, -- counts since then
    used_at        INTEGER,
    PRIMARY KEY (application_id, user_id, id)
);

CREATE TABLE backup_codes (
    application_id TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    factor_id      TEXT NOT NULL,
    hash           BLOB NOT NULL,
    used_at        INTEGER,
    PRIMARY KEY (application_id, user_id, factor_id, hash)
);

-- Proofs that were handed out: what can be used up, and ended.
CREATE TABLE proofs (
    application_id TEXT NOT NULL,
    id             TEXT NOT NULL, -- jti
    user_id        TEXT NOT NULL,
    session_id     TEXT NOT NULL,
    level          TEXT NOT NULL,
    operation      TEXT NOT NULL,
    digest         TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    used_at        INTEGER,
    ended_at       INTEGER,
    PRIMARY KEY (application_id, id)
);
CREATE INDEX proofs_user ON proofs (application_id, user_id);
CREATE INDEX proofs_expired ON proofs (expires_at);

-- What was answered to a use, for whoever asks again with the same key.
CREATE TABLE proof_answers (
    application_id TEXT NOT NULL,
    key            TEXT NOT NULL,
    request        BLOB, -- digest of what was asked
    answer         TEXT NOT NULL,
    at             INTEGER NOT NULL,
    PRIMARY KEY (application_id, key)
);
CREATE INDEX proof_answers_age ON proof_answers (at);

-- Append only.
CREATE TABLE audit (
    application_id TEXT NOT NULL,
    id             TEXT NOT NULL, -- sorts by time
    at             INTEGER NOT NULL,
    user_id        TEXT NOT NULL,
    session_id     TEXT NOT NULL,
    device_id      TEXT NOT NULL,
    ip_prefix      TEXT NOT NULL,
    action         TEXT NOT NULL,
    reason         TEXT NOT NULL,
    factor         TEXT NOT NULL,
    level          TEXT NOT NULL,
    operation      TEXT NOT NULL,
    subject        TEXT NOT NULL, -- id of the code, reverification, factor or proof
    PRIMARY KEY (application_id, id)
);
CREATE INDEX audit_user ON audit (application_id, user_id, id);

-- Erasing a person writes a pseudonym, and forgets where they were. Nothing else
-- is ever written over.
-- +goose StatementBegin
CREATE TRIGGER audit_unchanged BEFORE UPDATE OF application_id, id, at, action, reason, factor, level, operation, subject ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is append only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_erased BEFORE UPDATE ON audit
    WHEN NEW.session_id <> '' OR NEW.device_id <> '' OR NEW.ip_prefix <> ''
BEGIN
    SELECT RAISE(ABORT, 'the audit is append only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_kept BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is append only');
END;
-- +goose StatementEnd

-- +goose Down

DROP TABLE audit;
DROP TABLE proof_answers;
DROP TABLE proofs;
DROP TABLE backup_codes;
DROP TABLE factors;
DROP TABLE step_tokens;
DROP TABLE reverifications;
DROP TABLE reauth_codes;
DROP TABLE reauth_windows;
DROP TABLE reauth_sessions;
DROP TABLE proof_keys;
DROP TABLE reauth_settings;
