-- +goose Up

-- Networks whose cards count as public addresses, by name: a network is the same one on every host that has it, for placing VMs and for moving them.
CREATE TABLE public_networks (
    name      TEXT   NOT NULL PRIMARY KEY,
    marked_by TEXT   NOT NULL,
    marked_at BIGINT NOT NULL
);

-- Which cards a VM has, in its definition (live = 0) and as it runs (live = 1): counted against quotas of public addresses.
CREATE TABLE card_uses (
    vm_id   TEXT   NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    live    BIGINT NOT NULL,
    n       BIGINT NOT NULL,
    mac     TEXT   NOT NULL,
    network TEXT   NOT NULL,
    bridge  TEXT   NOT NULL,
    PRIMARY KEY (vm_id, live, n)
);
CREATE INDEX card_uses_network ON card_uses (network);
CREATE INDEX card_uses_bridge ON card_uses (bridge) WHERE bridge <> '';

ALTER TABLE quota_holds ADD COLUMN public_addresses BIGINT NOT NULL DEFAULT 0;

-- What is known of VMs of hosts that are away must count too, so the table is filled from their documents and not by the next look.
INSERT INTO card_uses (vm_id, live, n, mac, network, bridge)
SELECT v.id, 0, CAST(j.key AS INTEGER), lower(coalesce(json_extract(j.value, '$.mac'), '')), coalesce(json_extract(j.value, '$.network'), ''), coalesce(json_extract(j.value, '$.bridge'), '')
FROM vms v JOIN vm_documents d ON d.vm_id = v.id, json_each(d.config, '$.nics') j;

INSERT INTO card_uses (vm_id, live, n, mac, network, bridge)
SELECT v.id, 1, CAST(j.key AS INTEGER), lower(coalesce(json_extract(j.value, '$.mac'), '')), coalesce(json_extract(j.value, '$.network'), ''), coalesce(json_extract(j.value, '$.bridge'), '')
FROM vms v JOIN vm_documents d ON d.vm_id = v.id, json_each(CASE d.live WHEN '' THEN '{}' ELSE d.live END, '$.nics') j;
