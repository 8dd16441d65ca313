-- +goose Up

-- What the moves of VMs may do: of one VM, of a tenant's, of those on a host, of all ('estate', 'all').
CREATE TABLE migration_policies (
    scope  TEXT NOT NULL,
    id     TEXT NOT NULL,
    policy TEXT NOT NULL,
    PRIMARY KEY (scope, id)
);
