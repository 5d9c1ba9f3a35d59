-- +goose Up

-- An address that an application is told of events at. queued_until and
-- claimed_until keep it at one job, and its job at one sender.
CREATE TABLE webhook_endpoints (
    application_id   TEXT COLLATE "C" NOT NULL,
    id               TEXT COLLATE "C" NOT NULL,
    url              TEXT NOT NULL,
    events           TEXT NOT NULL, -- types, separated by spaces; empty for all that go out
    secret           BYTEA NOT NULL, -- sealed
    old_secret       BYTEA,
    old_secret_until BIGINT,
    status           TEXT NOT NULL, -- active, paused, gone
    reason           TEXT NOT NULL DEFAULT '',
    created_at       BIGINT NOT NULL,
    failures         INTEGER NOT NULL DEFAULT 0,
    failing_since    BIGINT,
    queued_until     BIGINT,
    claim_id         TEXT NOT NULL DEFAULT '',
    claimed_until    BIGINT,
    PRIMARY KEY (application_id, id)
) WITH (fillfactor = 50);

-- An event on its way to an endpoint: the key is what keeps it at one.
CREATE TABLE webhook_deliveries (
    application_id TEXT COLLATE "C" NOT NULL,
    endpoint_id    TEXT COLLATE "C" NOT NULL,
    event_id       TEXT COLLATE "C" NOT NULL,
    consent_id     TEXT COLLATE "C" NOT NULL,
    seq            BIGINT NOT NULL,
    type           TEXT NOT NULL,
    at             BIGINT NOT NULL, -- of the event
    state          TEXT NOT NULL, -- pending, delivered, failed
    tries          INTEGER NOT NULL DEFAULT 0,
    queued_at      BIGINT NOT NULL, -- when it last became due for the first time
    due_at         BIGINT, -- NULL once it is over
    tried_at       BIGINT,
    last_status    INTEGER NOT NULL DEFAULT 0,
    last_error     TEXT NOT NULL DEFAULT '',
    finished_at    BIGINT,
    PRIMARY KEY (application_id, endpoint_id, event_id)
) WITH (fillfactor = 80);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (application_id, endpoint_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_listing ON webhook_deliveries (application_id, endpoint_id, at, event_id);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (queued_at);

-- What a provider sent by webhook: the key is what makes the same event one.
-- processed_at is NULL until something has been done about it.
CREATE TABLE inbound_events (
    application_id TEXT COLLATE "C" NOT NULL,
    provider       TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL,
    kind           TEXT NOT NULL,
    credentials_id TEXT COLLATE "C" NOT NULL,
    at             BIGINT NOT NULL, -- by the provider
    received_at    BIGINT NOT NULL,
    processed_at   BIGINT,
    PRIMARY KEY (application_id, provider, id)
);
CREATE INDEX inbound_events_waiting ON inbound_events (received_at) WHERE processed_at IS NULL;
CREATE INDEX inbound_events_login ON inbound_events (application_id, provider, credentials_id, at);
CREATE INDEX inbound_events_age ON inbound_events (received_at);

-- +goose Down

DROP TABLE inbound_events;
DROP TABLE webhook_deliveries;
DROP TABLE webhook_endpoints;
