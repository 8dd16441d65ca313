-- +goose Up

-- The host that a VM is being moved to while a job moves it: the guest may show up there before the move is committed.
ALTER TABLE vms ADD COLUMN moving_to TEXT NOT NULL DEFAULT '';

-- One row a migration, kept after the VM and its hosts are gone: forecasts learn from it.
CREATE TABLE migrations (
    job_id     TEXT   NOT NULL PRIMARY KEY,
    vm_id      TEXT   NOT NULL,
    vm_name    TEXT   NOT NULL,
    from_id    TEXT   NOT NULL,
    from_name  TEXT   NOT NULL,
    to_id      TEXT   NOT NULL,
    to_name    TEXT   NOT NULL,
    mode       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    started    BIGINT NOT NULL,
    ended      BIGINT NOT NULL,
    dirty_rate BIGINT NOT NULL,
    forecast   TEXT   NOT NULL,
    result     TEXT   NOT NULL
);
CREATE INDEX migrations_path ON migrations (from_id, to_id, started);
CREATE INDEX migrations_vm ON migrations (vm_id, started);
CREATE INDEX migrations_started ON migrations (started, job_id);
