-- +goose Up

ALTER TABLE applications ADD COLUMN rearm_at BIGINT;
ALTER TABLE digests ADD COLUMN counted BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX consents_replaces ON consents (application_id, replaces) WHERE replaces <> '';

-- +goose Down

DROP INDEX consents_replaces;
ALTER TABLE digests DROP COLUMN counted;
ALTER TABLE applications DROP COLUMN rearm_at;
