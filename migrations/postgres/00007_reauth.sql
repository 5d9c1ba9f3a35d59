-- +goose Up

-- How users of an application prove themselves again. One sealed document: it
-- holds secrets.
CREATE TABLE reauth_settings (
    application_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    config         BYTEA NOT NULL, -- sealed
    updated_at     BIGINT NOT NULL
);

-- Keys of the installation that sign proofs. A few rows, however many users.
CREATE TABLE proof_keys (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- RFC 7638 thumbprint
    seq        BIGINT NOT NULL UNIQUE, -- 1, 2, 3 ...: two replicas cannot both add the next
    algorithm  TEXT NOT NULL,
    private    BYTEA NOT NULL, -- sealed
    created_at BIGINT NOT NULL,
    active_at  BIGINT NOT NULL,
    retired_at BIGINT
);

-- What was proven in a session. The row of session '' is about all sessions of
-- its user. kept_until moves once a day, so that what it indexes is seldom
-- written (HOT).
CREATE TABLE reauth_sessions (
    application_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    session_id     TEXT COLLATE "C" NOT NULL,
    proven         TEXT NOT NULL, -- JSON
    cleared_at     BIGINT, -- nothing up to then counts
    kept_until     BIGINT NOT NULL,
    PRIMARY KEY (application_id, user_id, session_id)
) WITH (fillfactor = 80);
CREATE INDEX reauth_sessions_kept ON reauth_sessions (kept_until);

-- Sliding windows, each a text that is compared and swapped whole. kept_until is
-- as in reauth_sessions: a window is written with each call that it counts.
CREATE TABLE reauth_windows (
    application_id TEXT COLLATE "C" NOT NULL,
    bucket         TEXT COLLATE "C" NOT NULL,
    stamps         TEXT NOT NULL, -- as package reauth writes a window
    kept_until     BIGINT NOT NULL,
    PRIMARY KEY (application_id, bucket)
) WITH (fillfactor = 80);
CREATE INDEX reauth_windows_kept ON reauth_windows (kept_until);

-- Six digits that were sent to somebody, as their MAC.
CREATE TABLE reauth_codes (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    session_id     TEXT COLLATE "C" NOT NULL,
    device_id      TEXT NOT NULL,
    purpose        TEXT COLLATE "C" NOT NULL,
    subject        TEXT NOT NULL, -- the reverification or factor that it is for
    factor         TEXT NOT NULL,
    address_hash   BYTEA,
    mac            BYTEA,
    hollow         BOOLEAN NOT NULL, -- sent to nobody
    tries          INTEGER NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    used_at        BIGINT,
    ended_at       BIGINT,
    PRIMARY KEY (application_id, id)
);
-- One is live for each purpose.
CREATE UNIQUE INDEX reauth_codes_live ON reauth_codes (application_id, user_id, session_id, purpose)
    WHERE used_at IS NULL AND ended_at IS NULL;
CREATE INDEX reauth_codes_user ON reauth_codes (application_id, user_id);
CREATE INDEX reauth_codes_expired ON reauth_codes (expires_at);

CREATE TABLE reverifications (
    application_id  TEXT COLLATE "C" NOT NULL,
    id              TEXT COLLATE "C" NOT NULL,
    user_id         TEXT COLLATE "C" NOT NULL,
    session_id      TEXT COLLATE "C" NOT NULL,
    level           TEXT NOT NULL,
    operation       TEXT NOT NULL,
    details         BYTEA, -- sealed under id: who is paid, and how much
    digest          TEXT NOT NULL,
    second_enrolled BOOLEAN NOT NULL,
    proven          TEXT NOT NULL, -- JSON
    prepared        BYTEA, -- sealed under id: a challenge that waits for its answer
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    completed_at    BIGINT,
    ended_at        BIGINT,
    PRIMARY KEY (application_id, id)
);
CREATE INDEX reverifications_user ON reverifications (application_id, user_id);
CREATE INDEX reverifications_expired ON reverifications (expires_at);

-- Secrets between two steps of a chain, as their hash.
CREATE TABLE step_tokens (
    application_id TEXT COLLATE "C" NOT NULL,
    hash           BYTEA NOT NULL,
    kind           TEXT NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    session_id     TEXT COLLATE "C" NOT NULL,
    device_id      TEXT NOT NULL,
    factor         TEXT NOT NULL,
    ref            TEXT NOT NULL,
    proven_at      BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    used_at        BIGINT,
    ended_at       BIGINT,
    PRIMARY KEY (application_id, hash)
);
CREATE INDEX step_tokens_user ON step_tokens (application_id, user_id);
CREATE INDEX step_tokens_expired ON step_tokens (expires_at);

CREATE TABLE factors (
    application_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    kind           TEXT NOT NULL,
    label          TEXT NOT NULL,
    address        TEXT NOT NULL, -- phone number, E.164
    ref            TEXT NOT NULL, -- what must not count twice
    secret         BYTEA, -- sealed under id
    last_step      BIGINT NOT NULL, -- TOTP: only rises
    created_at     BIGINT NOT NULL,
    verified_at    BIGINT, -- counts since then
    used_at        BIGINT,
    PRIMARY KEY (application_id, user_id, id)
);

CREATE TABLE backup_codes (
    application_id TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    factor_id      TEXT COLLATE "C" NOT NULL,
    hash           BYTEA NOT NULL,
    used_at        BIGINT,
    PRIMARY KEY (application_id, user_id, factor_id, hash)
);

-- Proofs that were handed out: what can be used up, and ended.
CREATE TABLE proofs (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL, -- jti
    user_id        TEXT COLLATE "C" NOT NULL,
    session_id     TEXT COLLATE "C" NOT NULL,
    level          TEXT NOT NULL,
    operation      TEXT NOT NULL,
    digest         TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    used_at        BIGINT,
    ended_at       BIGINT,
    PRIMARY KEY (application_id, id)
);
CREATE INDEX proofs_user ON proofs (application_id, user_id);
CREATE INDEX proofs_expired ON proofs (expires_at);

-- What was answered to a use, for whoever asks again with the same key.
CREATE TABLE proof_answers (
    application_id TEXT COLLATE "C" NOT NULL,
    key            TEXT COLLATE "C" NOT NULL,
    request        BYTEA, -- digest of what was asked
    answer         TEXT NOT NULL,
    at             BIGINT NOT NULL,
    PRIMARY KEY (application_id, key)
);
CREATE INDEX proof_answers_age ON proof_answers (at);

-- Append only.
CREATE TABLE audit (
    application_id TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL, -- sorts by time
    at             BIGINT NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
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
-- is ever written over. A partitioned audit needs these triggers again: LIKE
-- does not copy them.
-- +goose StatementBegin
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append only' USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_unchanged BEFORE UPDATE OF application_id, id, at, action, reason, factor, level, operation, subject OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_erased BEFORE UPDATE ON audit
    FOR EACH ROW WHEN (NEW.session_id <> '' OR NEW.device_id <> '' OR NEW.ip_prefix <> '') EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_kept BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

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
