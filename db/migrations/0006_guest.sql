-- +goose Up

-- What the agent inside a guest told, and when.
CREATE TABLE guest_facts (
    vm_id       TEXT   NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    facts       TEXT   NOT NULL,
    asked_at    BIGINT NOT NULL,
    answered_at BIGINT NOT NULL,
    problem     TEXT   NOT NULL,
    fix         TEXT   NOT NULL
);

-- The medium of a VM's first boot. What it is made from is sealed: it holds hashes of passwords. next is what a job is about to make it from.
CREATE TABLE guest_seeds (
    vm_id       TEXT   NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    kind        TEXT   NOT NULL,
    pool        TEXT   NOT NULL,
    volume      TEXT   NOT NULL,
    instance_id TEXT   NOT NULL,
    sealed      TEXT   NOT NULL,
    next_id     TEXT   NOT NULL,
    next        TEXT   NOT NULL,
    updated_at  BIGINT NOT NULL,
    version     BIGINT NOT NULL
);

-- Which commands may be run inside a guest; no row: all.
CREATE TABLE guest_rules (
    vm_id TEXT NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    rules TEXT NOT NULL
);
