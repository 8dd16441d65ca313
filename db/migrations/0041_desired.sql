-- +goose Up

-- What files asked for and was applied: whose it is, and how it was written then. It says nothing of how it is now.
CREATE TABLE desired (
    kind       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    last       TEXT   NOT NULL,
    object_id  TEXT   NOT NULL,
    ignored    TEXT   NOT NULL,
    applied_at BIGINT NOT NULL,
    applied_by TEXT   NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE INDEX desired_owner ON desired (owner);
