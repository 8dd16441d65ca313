-- +goose Up

-- What hosts say of their VMs' snapshots; written anew whenever it differs.
CREATE TABLE snapshots (
    id          TEXT   NOT NULL PRIMARY KEY,
    vm_id       TEXT   NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    memory      BIGINT NOT NULL,
    memory_file TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    parent      TEXT   NOT NULL,
    is_current  BIGINT NOT NULL,
    disks       TEXT   NOT NULL
);
CREATE UNIQUE INDEX snapshots_vm ON snapshots (vm_id, name);

-- What only we know of a snapshot. It has no reference to the mirror, whose row may go and come back while a job works on the host.
CREATE TABLE snapshot_notes (
    snapshot_id TEXT   NOT NULL PRIMARY KEY,
    vm_id       TEXT   NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    notes       TEXT   NOT NULL,
    quiesced    BIGINT NOT NULL,
    schedule_id TEXT   NOT NULL,
    tier        TEXT   NOT NULL,
    made_by     TEXT   NOT NULL
);
CREATE INDEX snapshot_notes_vm ON snapshot_notes (vm_id);

-- How many files lie under a VM's deepest disk, so that passing the limit is noticed once.
CREATE TABLE vm_chains (
    vm_id TEXT   NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    depth BIGINT NOT NULL
);

CREATE TABLE snapshot_schedules (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    enabled     BIGINT NOT NULL,
    plan        TEXT   NOT NULL,
    next_at     BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    last_job    TEXT   NOT NULL,
    last_result TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    version     BIGINT NOT NULL
);
CREATE UNIQUE INDEX snapshot_schedules_name ON snapshot_schedules (lower(name));
CREATE INDEX snapshot_schedules_next ON snapshot_schedules (next_at);
