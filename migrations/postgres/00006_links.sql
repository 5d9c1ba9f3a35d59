-- +goose Up

-- To which address a link was mailed, as a keyed fingerprint: a link sent to a
-- former address is void. NULL for links that an application asked for.
ALTER TABLE reconnect_links ADD COLUMN address_hash BYTEA;

-- +goose Down

ALTER TABLE reconnect_links DROP COLUMN address_hash;
