-- +goose Up

-- The list of volumes is by name, and reads a page of it.
CREATE INDEX volumes_name ON volumes (name, id);
