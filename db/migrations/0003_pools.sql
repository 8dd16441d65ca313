-- +goose Up

-- Which VM has which file or volume as a disk, in its definition (live = 0) and as it runs (live = 1): asked before anything is deleted.
CREATE TABLE disk_uses (
    vm_id     TEXT   NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    live      BIGINT NOT NULL,
    target    TEXT   NOT NULL,
    host_id   TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    path      TEXT   NOT NULL,
    pool      TEXT   NOT NULL,
    volume    TEXT   NOT NULL,
    read_only BIGINT NOT NULL,
    PRIMARY KEY (vm_id, live, target)
);
CREATE INDEX disk_uses_path ON disk_uses (host_id, path);
CREATE INDEX disk_uses_volume ON disk_uses (host_id, pool, volume);

-- Where a pool's storage comes from, as JSON. It is read anew from the hosts.
ALTER TABLE pools ADD COLUMN source TEXT NOT NULL DEFAULT '{}';
UPDATE hosts SET inventory_hash = '';

-- Overlays are found by what they are built on, and lists are walked in the order of their sort keys.
CREATE INDEX volumes_backing ON volumes (host_id, backing);

-- What is known of VMs of hosts that are away must count too, so the table is filled from their documents and not by the next look.
INSERT INTO disk_uses (vm_id, live, target, host_id, path, pool, volume, read_only)
SELECT v.id, 0, coalesce(json_extract(j.value, '$.target'), ''), v.host_id, coalesce(json_extract(j.value, '$.source'), ''), coalesce(json_extract(j.value, '$.pool'), ''),
    coalesce(json_extract(j.value, '$.volume'), ''), CASE WHEN json_extract(j.value, '$.read_only') OR json_extract(j.value, '$.device') IN ('cdrom', 'floppy') THEN 1 ELSE 0 END
FROM vms v JOIN vm_documents d ON d.vm_id = v.id, json_each(d.config, '$.disks') j
WHERE json_extract(j.value, '$.source') IS NOT NULL OR json_extract(j.value, '$.volume') IS NOT NULL
ON CONFLICT DO NOTHING;

INSERT INTO disk_uses (vm_id, live, target, host_id, path, pool, volume, read_only)
SELECT v.id, 1, coalesce(json_extract(j.value, '$.target'), ''), v.host_id, coalesce(json_extract(j.value, '$.source'), ''), coalesce(json_extract(j.value, '$.pool'), ''),
    coalesce(json_extract(j.value, '$.volume'), ''), CASE WHEN json_extract(j.value, '$.read_only') OR json_extract(j.value, '$.device') IN ('cdrom', 'floppy') THEN 1 ELSE 0 END
FROM vms v JOIN vm_documents d ON d.vm_id = v.id, json_each(CASE d.live WHEN '' THEN '{}' ELSE d.live END, '$.disks') j
WHERE json_extract(j.value, '$.source') IS NOT NULL OR json_extract(j.value, '$.volume') IS NOT NULL
ON CONFLICT DO NOTHING;
