-- +goose Up

-- Who is sent what happens. What the calls are signed with is sealed; cursor is the last event that deliveries were planned for.
CREATE TABLE webhooks (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    disabled   BIGINT NOT NULL,
    doc        TEXT   NOT NULL,
    secret     TEXT   NOT NULL,
    cursor     BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

-- Each call is written before it is made.
CREATE TABLE webhook_deliveries (
    id         TEXT   NOT NULL PRIMARY KEY,
    webhook_id TEXT   NOT NULL,
    seq        BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    attempts   BIGINT NOT NULL,
    status     BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    sent_at    BIGINT NOT NULL,
    error      TEXT   NOT NULL,
    event      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (state, next_at);
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);
