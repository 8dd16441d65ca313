-- +goose Up

-- Passphrases of encrypted volumes, sealed. uuid is that of the libvirt secret which volumes and disks name.
CREATE TABLE volume_secrets (
    uuid       TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    sealed     TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

-- Which secret opens a volume.
CREATE TABLE encrypted_volumes (
    volume_id TEXT PRIMARY KEY,
    uuid      TEXT NOT NULL
);

-- Content on its way into a volume: how much of it is there for certain, and the state of its checksum.
CREATE TABLE uploads (
    job_id     TEXT PRIMARY KEY,
    volume_id  TEXT NOT NULL,
    total      INTEGER NOT NULL,
    received   INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    sha256     TEXT NOT NULL DEFAULT '',
    updated_at INTEGER NOT NULL
);
CREATE INDEX uploads_by_volume ON uploads (volume_id);

-- What a volume's content was found to be; gone when it is written to.
CREATE TABLE volume_checksums (
    volume_id TEXT PRIMARY KEY,
    sha256    TEXT NOT NULL,
    bytes     INTEGER NOT NULL,
    at        INTEGER NOT NULL
);
