package db

import (
	"testing"

	"novacron/domain"
)

// Two VMs of two hosts hang together by a network that was made on both, and not by ones that only have the same name.
func TestTiesOfAlerts(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	var of []domain.Alert
	err := d.Write(ctx, func(tx *Tx) error {
		for _, name := range []string{"b1", "b2"} {
			h := domain.Host{ID: "host_" + name, Name: name, URI: "test:///" + name, State: domain.HostConnected, CreatedAt: d.clock()}
			if err := tx.InsertHost(h, domain.HostCredentials{}); err != nil {
				return err
			}
			for _, n := range []string{"lan", "default"} {
				if err := tx.insertNetwork(h.ID, domain.Network{ID: domain.NetworkID(h.ID, n), Name: n, UUID: n, Active: true}); err != nil {
					return err
				}
			}
			if _, err := tx.exec("INSERT INTO pools (host_id, name, id, identity, uuid, type, active, autostart, target, capacity_bytes, allocation_bytes, available_bytes) VALUES (?, 'nfs', 'pool_shared', 'x', 'u', 'netfs', 1, 1, '/x', 0, 0, 0)", h.ID); err != nil {
				return err
			}
			spec := domain.VMSpec{Name: "vm-" + name, VCPUs: 1, MemoryBytes: domain.GiB, NICs: []domain.NIC{{Network: "lan", MAC: domain.NewMAC()}, {Network: "default", MAC: domain.NewMAC()}},
				Disks: []domain.Disk{{Target: "vda", Device: "disk", Pool: "nfs", Volume: "a"}, {Target: "vdb", Device: "disk", Pool: "nfs", Volume: "b"}}}
			vm, _, _, err := tx.UpsertGuest(h.ID, domain.Guest{UUID: domain.NewUUID(), Name: spec.Name, State: domain.VMRunning, Persistent: true, XML: "<domain/>", Config: spec}, d.clock())
			if err != nil {
				return err
			}
			of = append(of, domain.Alert{ID: "alert_" + name, VMID: vm.ID, HostID: h.ID})
		}
		return tx.SaveNetworkGroup(NetworkGroup{ID: "netgrp_1", Name: "lan", HostIDs: []string{"host_b1", "host_b2"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	of = append(of, domain.Alert{ID: "alert_pool", HostID: "host_b2", Pool: "nfs"}, domain.Alert{ID: "alert_none"})
	ties, err := d.Ties(ctx, of)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]string{}
	for _, x := range ties {
		if got[x.AlertID] == nil {
			got[x.AlertID] = map[string]string{}
		}
		got[x.AlertID][x.Kind+" "+x.Name] = x.ID
	}
	a, b := got["alert_b1"], got["alert_b2"]
	if len(ties) != 7 || len(a) != 3 || a["network lan"] == "" || a["network lan"] != b["network lan"] || a["network default"] == b["network default"] || a["pool nfs"] != "pool_shared" || b["pool nfs"] != "pool_shared" || got["alert_pool"]["pool nfs"] != "pool_shared" {
		t.Errorf("%+v", ties)
	}
}
