-- +goose Up

-- How users of an application prove themselves again. One sealed document: it
-- holds secrets.
CREATE TABLE reauth_settings (
    application_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    config         BYTEA  NOT NULL,
    updated_at     BIGINT NOT NULL
);

-- Keys of the installation that sign proofs. A few rows, however many users.
CREATE TABLE proof_keys (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- RFC 7638 thumbprint
    seq        BIGINT NOT NULL UNIQUE,      -- 1, 2, 3 ...: two replicas cannot both add the next
    algorithm  TEXT   NOT NULL,
    private    BYTEA  NOT NULL,             -- sealed
    created_at BIGINT NOT NULL,
    active_at  BIGINT NOT NULL,
    retired_at BIGINT
);

-- What was proven in a session. The row of session '' is about all sessions of
-- its user.
CREATE TABLE reauth_sessions (
    application_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    session_id     TEXT COLLATE "C" NOT NULL,
    proven         TEXT   NOT NULL DEFAULT '', -- JSON
    cleared_at     BIGINT,                     -- nothing from before counts
    updated_at     BIGINT NOT NULL,
    PRIMARY KEY (application_id, user_id, session_id)
);

-- Sliding windows: the moments of what counted, in microseconds.
CREATE TABLE reauth_windows (
    application_id TEXT COLLATE "C" NOT NULL,
    bucket         TEXT COLLATE "C" NOT NULL,
    stamps         TEXT   NOT NULL,
    updated_at     BIGINT NOT NULL,
    PRIMARY KEY (application_id, bucket)
);

-- Six digits that were sent to somebody, as their MAC.
CREATE TABLE reauth_codes (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    session_id     TEXT COLLATE "C" NOT NULL,
    device_id      TEXT    NOT NULL DEFAULT '',
    purpose        TEXT    NOT NULL,
    subject        TEXT    NOT NULL DEFAULT '',
    factor         TEXT    NOT NULL,
    address_hash   BYTEA   NOT NULL,
    mac            BYTEA   NOT NULL,
    hollow         BOOLEAN NOT NULL DEFAULT FALSE,
    tries          INTEGER NOT NULL DEFAULT 0,
    created_at     BIGINT  NOT NULL,
    expires_at     BIGINT  NOT NULL,
    used_at        BIGINT,
    ended_at       BIGINT,
    PRIMARY KEY (application_id, id)
);
-- One is live for each purpose.
CREATE UNIQUE INDEX reauth_codes_live ON reauth_codes (application_id, user_id, session_id, purpose) WHERE used_at IS NULL AND ended_at IS NULL;
CREATE INDEX reauth_codes_expired ON reauth_codes (expires_at);

CREATE TABLE reverifications (
    application_id  TEXT COLLATE "C" NOT NULL,
    id              TEXT COLLATE "C" NOT NULL,
    user_id         TEXT COLLATE "C" NOT NULL,
    session_id      TEXT COLLATE "C" NOT NULL,
    level           TEXT    NOT NULL,
    operation       TEXT    NOT NULL DEFAULT '',
    details         BYTEA,                       -- sealed: who is paid, and how much
    digest          TEXT    NOT NULL DEFAULT '',
    second_enrolled BOOLEAN NOT NULL,
    proven          TEXT    NOT NULL DEFAULT '', -- JSON
    prepared        BYTEA,                       -- a challenge that waits for its answer, sealed
    created_at      BIGINT  NOT NULL,
    expires_at      BIGINT  NOT NULL,
    completed_at    BIGINT,
    ended_at        BIGINT,
    PRIMARY KEY (application_id, id)
);
CREATE INDEX reverifications_live ON reverifications (application_id, user_id) WHERE completed_at IS NULL AND ended_at IS NULL;
CREATE INDEX reverifications_expired ON reverifications (expires_at);

-- Secrets between two steps of a chain, as their hash.
CREATE TABLE step_tokens (
    application_id TEXT COLLATE "C" NOT NULL,
    hash           BYTEA  NOT NULL,
    kind           TEXT   NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    session_id     TEXT COLLATE "C" NOT NULL,
    device_id      TEXT   NOT NULL DEFAULT '',
    factor         TEXT   NOT NULL,
    ref            TEXT   NOT NULL DEFAULT '',
    proven_at      BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    used_at        BIGINT,
    ended_at       BIGINT,
    PRIMARY KEY (application_id, hash)
);
CREATE INDEX step_tokens_live ON step_tokens (application_id, user_id) WHERE used_at IS NULL AND ended_at IS NULL;
CREATE INDEX step_tokens_expired ON step_tokens (expires_at);

CREATE TABLE factors (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    kind           TEXT   NOT NULL,
    label          TEXT   NOT NULL DEFAULT '',
    address        TEXT   NOT NULL DEFAULT '', -- phone number, E.164
    ref            TEXT   NOT NULL DEFAULT '', -- what must not count twice
    secret         BYTEA,                      -- sealed
    last_step      BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL,
    verified_at    BIGINT,                     -- counts since then
    used_at        BIGINT,
    PRIMARY KEY (application_id, id)
);
CREATE INDEX factors_of_user ON factors (application_id, user_id);

CREATE TABLE backup_codes (
    application_id TEXT COLLATE "C" NOT NULL,
    factor_id      TEXT COLLATE "C" NOT NULL,
    hash           BYTEA  NOT NULL,
    used_at        BIGINT,
    PRIMARY KEY (application_id, factor_id, hash)
);

-- Proofs that were handed out: what can be used up, and ended.
CREATE TABLE proofs (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL, -- jti
    user_id        TEXT COLLATE "C" NOT NULL,
    session_id     TEXT COLLATE "C" NOT NULL,
    level          TEXT   NOT NULL,
    operation      TEXT   NOT NULL DEFAULT '',
    digest         TEXT   NOT NULL DEFAULT '',
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    used_at        BIGINT,
    ended_at       BIGINT,
    PRIMARY KEY (application_id, id)
);
CREATE INDEX proofs_live ON proofs (application_id, user_id) WHERE used_at IS NULL AND ended_at IS NULL;
CREATE INDEX proofs_expired ON proofs (expires_at);

-- What was answered to a use, for whoever asks again with the same key.
CREATE TABLE proof_answers (
    application_id TEXT COLLATE "C" NOT NULL,
    key            TEXT COLLATE "C" NOT NULL,
    request        BYTEA  NOT NULL,
    answer         TEXT   NOT NULL,
    at             BIGINT NOT NULL,
    PRIMARY KEY (application_id, key)
);

-- Append only.
CREATE TABLE audit (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL, -- sorts by time
    at             BIGINT NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    session_id     TEXT COLLATE "C" NOT NULL DEFAULT '',
    device_id      TEXT   NOT NULL DEFAULT '',
    ip_prefix      TEXT   NOT NULL DEFAULT '',
    action         TEXT   NOT NULL,
    reason         TEXT   NOT NULL DEFAULT '',
    factor         TEXT   NOT NULL DEFAULT '',
    level          TEXT   NOT NULL DEFAULT '',
    operation      TEXT   NOT NULL DEFAULT '',
    subject        TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (application_id, id)
);
CREATE INDEX audit_of_user ON audit (application_id, user_id, id);

-- +goose StatementBegin
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append only' USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
-- Erasing a person writes a pseudonym, and nothing else.
CREATE TRIGGER audit_unchanged BEFORE UPDATE OF application_id, id, at, action, reason, factor, level, operation, subject OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();

-- +goose Down

DROP TABLE audit;
DROP FUNCTION audit_is_append_only();
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
