-- +goose Up

-- What the files that an internal snapshot is inside took up just before it was taken; -1 where that was not seen. It tells how much it can have cost since.
ALTER TABLE snapshot_notes ADD COLUMN room_before BIGINT NOT NULL DEFAULT -1;
