-- +goose Up

ALTER TABLE reconnect_links ADD COLUMN address_hash BLOB;

-- +goose Down

ALTER TABLE reconnect_links DROP COLUMN address_hash;
