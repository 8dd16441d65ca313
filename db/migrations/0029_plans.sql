-- +goose Up

-- Which VMs belong together or apart, and on which hosts they run. Members are in the text: nothing looks for them in SQL.
CREATE TABLE affinity_rules (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    doc        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

-- Maintenance plans: what was agreed to, and how far it is.
CREATE TABLE plans (
    id         TEXT   NOT NULL PRIMARY KEY,
    title      TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    job_id     TEXT   NOT NULL,
    start_at   BIGINT NOT NULL,
    doc        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);
CREATE INDEX plans_state ON plans (state, id);
