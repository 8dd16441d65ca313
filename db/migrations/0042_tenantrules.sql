-- +goose Up

-- Rules of affinity and snapshot schedules belong to a tenant, or to the estate when it is empty: a tenant's are about its own VMs only.
ALTER TABLE affinity_rules ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshot_schedules ADD COLUMN tenant TEXT NOT NULL DEFAULT '';

DROP INDEX snapshot_schedules_name;
CREATE UNIQUE INDEX snapshot_schedules_name ON snapshot_schedules (tenant, lower(name));

-- Rules of affinity have permissions of their own now; who had them as a part of host.maintain keeps them.
UPDATE roles SET permissions = replace(permissions, '"host.maintain"', '"host.maintain","affinity.read","affinity.manage"');
UPDATE roles SET permissions = replace(permissions, '"host.*"', '"host.*","affinity.read","affinity.manage"');
