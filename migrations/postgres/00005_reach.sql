-- +goose Up

-- Whether a person wants to be written to, and can be.
ALTER TABLE users
    ADD COLUMN unsubscribed_at  BIGINT,
    ADD COLUMN email_refused_at BIGINT, -- the address was refused for good; goes with the address
    ADD COLUMN phone_refused_at BIGINT;

-- The cycle in which the application was last told that the consent's user
-- cannot be reached by a channel. A renewal needs to write nothing here.
ALTER TABLE consents
    ADD COLUMN email_unreachable_cycle INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN sms_unreachable_cycle   INTEGER NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE consents DROP COLUMN email_unreachable_cycle, DROP COLUMN sms_unreachable_cycle;
ALTER TABLE users DROP COLUMN unsubscribed_at, DROP COLUMN email_refused_at, DROP COLUMN phone_refused_at;
