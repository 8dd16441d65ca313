-- +goose Up
-- What a device is known by, so that one can be found by class anywhere and given to a VM. The mirror is made anew when hosts connect.
ALTER TABLE devices ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN model TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN class TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN assignable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN why TEXT NOT NULL DEFAULT '';
UPDATE hosts SET inventory_hash = '';
