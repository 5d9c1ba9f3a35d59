-- +goose Up

-- When an application's cadence was changed, until the stages to come have been
-- put on the calendar by it.
ALTER TABLE applications ADD COLUMN rearm_at BIGINT;

-- A message is counted once against the application's ceiling.
ALTER TABLE digests ADD COLUMN counted BOOLEAN NOT NULL DEFAULT FALSE;

-- What a consent was replaced by.
CREATE INDEX consents_replaces ON consents (application_id, replaces) WHERE replaces <> '';

-- +goose Down

DROP INDEX consents_replaces;
ALTER TABLE digests DROP COLUMN counted;
ALTER TABLE applications DROP COLUMN rearm_at;
