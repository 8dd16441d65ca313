-- +goose Up

-- Whose a volume, an image, a network or a template is. What is not here is the estate's. VMs say it themselves.
CREATE TABLE owners (
    id     TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL
);
CREATE INDEX owners_tenant ON owners (tenant);

-- Hosts and pools that are given to tenants: then only those may use them, and they may use no others.
CREATE TABLE gifts (
    id     TEXT NOT NULL,
    tenant TEXT NOT NULL,
    PRIMARY KEY (id, tenant)
);
CREATE INDEX gifts_tenant ON gifts (tenant);
