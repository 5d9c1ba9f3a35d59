-- +goose Up

-- How many accounts the last trip to the bank showed; 0 where nobody counted.
-- Pages name one of them, and say how many more there are.
ALTER TABLE consents ADD COLUMN account_count INTEGER NOT NULL DEFAULT 0;

-- By which links that ended long ago are found.
CREATE INDEX reconnect_links_expired ON reconnect_links (expires_at);

-- +goose Down

DROP INDEX reconnect_links_expired;
ALTER TABLE consents DROP COLUMN account_count;
