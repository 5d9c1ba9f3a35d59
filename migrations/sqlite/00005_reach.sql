-- +goose Up

-- Whether a person wants to be written to, and can be.
ALTER TABLE users ADD COLUMN unsubscribed_at INTEGER;
ALTER TABLE users ADD COLUMN email_refused_at INTEGER; -- the address was refused for good; goes with the address
ALTER TABLE users ADD COLUMN phone_refused_at INTEGER;

-- The cycle in which the application was last told that the consent's user
-- cannot be reached by a channel. A renewal needs to write nothing here.
ALTER TABLE consents ADD COLUMN email_unreachable_cycle INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consents ADD COLUMN sms_unreachable_cycle INTEGER NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE consents DROP COLUMN email_unreachable_cycle;
ALTER TABLE consents DROP COLUMN sms_unreachable_cycle;
ALTER TABLE users DROP COLUMN unsubscribed_at;
ALTER TABLE users DROP COLUMN email_refused_at;
ALTER TABLE users DROP COLUMN phone_refused_at;
