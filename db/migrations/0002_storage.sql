-- +goose Up

-- What hosts list is mirrored anew when they connect, so the mirror is made again, with identifiers.
DROP TABLE pools;
DROP TABLE volumes;
DROP TABLE networks;
UPDATE hosts SET inventory_hash = '';

CREATE TABLE pools (
    host_id          TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    name             TEXT   NOT NULL,
    id               TEXT   NOT NULL,
    identity         TEXT   NOT NULL,
    uuid             TEXT   NOT NULL,
    type             TEXT   NOT NULL,
    active           BIGINT NOT NULL,
    autostart        BIGINT NOT NULL,
    target           TEXT   NOT NULL,
    capacity_bytes   BIGINT NOT NULL,
    allocation_bytes BIGINT NOT NULL,
    available_bytes  BIGINT NOT NULL,
    PRIMARY KEY (host_id, name)
);
CREATE INDEX pools_id ON pools (id);

CREATE TABLE volumes (
    host_id          TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    pool             TEXT   NOT NULL,
    name             TEXT   NOT NULL,
    id               TEXT   NOT NULL,
    pool_id          TEXT   NOT NULL,
    path             TEXT   NOT NULL,
    format           TEXT   NOT NULL,
    capacity_bytes   BIGINT NOT NULL,
    allocation_bytes BIGINT NOT NULL,
    backing          TEXT   NOT NULL,
    backing_format   TEXT   NOT NULL,
    encrypted        BIGINT NOT NULL,
    PRIMARY KEY (host_id, pool, name)
);
CREATE INDEX volumes_id ON volumes (id);
CREATE INDEX volumes_pool ON volumes (pool_id, name);
CREATE INDEX volumes_path ON volumes (host_id, path);

CREATE TABLE networks (
    host_id   TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    name      TEXT   NOT NULL,
    id        TEXT   NOT NULL,
    uuid      TEXT   NOT NULL,
    active    BIGINT NOT NULL,
    autostart BIGINT NOT NULL,
    mode      TEXT   NOT NULL,
    bridge    TEXT   NOT NULL,
    cidr      TEXT   NOT NULL,
    PRIMARY KEY (host_id, name)
);
CREATE UNIQUE INDEX networks_id ON networks (id);
