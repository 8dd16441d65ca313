-- +goose Up

-- All that a network's definition says; hosts are asked anew.
ALTER TABLE networks ADD COLUMN spec TEXT NOT NULL DEFAULT '';
ALTER TABLE vms ADD COLUMN addresses TEXT NOT NULL DEFAULT '';
UPDATE hosts SET inventory_hash = '';

-- Networks of several hosts that were made as one; spec is what each should be.
CREATE TABLE network_groups (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    spec       TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE network_group_hosts (
    group_id TEXT NOT NULL REFERENCES network_groups (id) ON DELETE CASCADE,
    host_id  TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    network  TEXT NOT NULL,
    PRIMARY KEY (host_id, network)
);
CREATE INDEX network_group_hosts_group ON network_group_hosts (group_id);

-- What the DHCP servers of the hosts' networks gave out, as last asked.
CREATE TABLE leases (
    host_id   TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    network   TEXT   NOT NULL,
    mac       TEXT   NOT NULL,
    ip        TEXT   NOT NULL,
    prefix    BIGINT NOT NULL,
    hostname  TEXT   NOT NULL,
    client_id TEXT   NOT NULL,
    expires   BIGINT NOT NULL,
    PRIMARY KEY (host_id, network, mac, ip)
);

CREATE TABLE security_groups (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    rules       TEXT   NOT NULL,
    spoofing    BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX security_groups_name ON security_groups (lower(name));

-- Which groups a filter on a host stands for: a card's definition names the filter.
CREATE TABLE filter_sets (
    filter   TEXT NOT NULL,
    group_id TEXT NOT NULL,
    PRIMARY KEY (filter, group_id)
);

-- What was last defined on a host, to see what is out of date.
CREATE TABLE host_filters (
    host_id TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    filter  TEXT NOT NULL,
    digest  TEXT NOT NULL,
    PRIMARY KEY (host_id, filter)
);
