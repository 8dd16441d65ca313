-- +goose Up

-- In whose name files were applied: a tenant's people's, or the estate's where it is empty. Owners are called as their people like, so a tenant's
-- owner and the estate's owner of one name are two.
ALTER TABLE desired ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
