-- +goose Up

-- A tree for VMs inside each tenant, and one of the estate's own (tenant empty). The path is the names from the top, so that a list is looked through
-- without walking; who renames a folder writes those below it again.
CREATE TABLE folders (
    id         TEXT   NOT NULL PRIMARY KEY,
    tenant     TEXT   NOT NULL,
    parent     TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    path       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);
CREATE UNIQUE INDEX folders_path ON folders (tenant, lower(path));
CREATE INDEX folders_parent ON folders (parent);

-- Empty: in none.
ALTER TABLE vms ADD COLUMN folder TEXT NOT NULL DEFAULT '';
CREATE INDEX vms_folder ON vms (folder) WHERE folder <> '';
