-- +goose Up

-- What storage_bytes of a hold is by pools, as JSON; empty where there is none.
ALTER TABLE quota_holds ADD COLUMN pools TEXT NOT NULL DEFAULT '';
