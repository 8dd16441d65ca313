package db

import (
	"testing"

	"novacron/domain"
)

func TestCardsOnPublicNetworksAreCounted(t *testing.T) {
	d := open(t)
	tenant(t, d, "a", "", domain.Quota{PublicAddresses: 3})
	h := addHost(t, d, "hv-1").ID
	card := func(mac, network, bridge string) domain.NIC {
		return domain.NIC{MAC: mac, Network: network, Bridge: bridge}
	}
	used := func(want int) {
		t.Helper()
		u, err := d.TenantUsage(t.Context(), "a")
		if err != nil || u.PublicAddresses != want {
			t.Errorf("%d public addresses, %d are wanted: %v", u.PublicAddresses, want, err)
		}
	}
	write(t, d, func(tx *Tx) error {
		return tx.insertNetwork(h, domain.Network{Name: "wan", Bridge: "br-wan", Active: true})
	})
	config := []domain.NIC{card("52:54:00:00:00:01", "wan", ""), card("52:54:00:00:00:02", "", "br-wan"), card("52:54:00:00:00:03", "lan", ""), card("52:54:00:00:00:04", "", "br-lan")}
	live := []domain.NIC{card("52:54:00:00:00:01", "wan", ""), card("52:54:00:00:00:09", "wan", "")}
	write(t, d, func(tx *Tx) error {
		return tx.InsertVM(domain.VM{ID: "vm_1", UUID: "u-1", HostID: h, Name: "web", Tenant: "a", State: domain.VMRunning, Config: domain.VMSpec{Name: "web", NICs: config}, Live: &domain.VMSpec{NICs: live}})
	})
	used(0)
	mark := func(public, changes bool) {
		t.Helper()
		write(t, d, func(tx *Tx) error {
			changed, err := tx.MarkNetwork("wan", "ann", public)
			if changed != changes {
				t.Errorf("changed: %v", changed)
			}
			return err
		})
	}
	mark(true, true)
	mark(true, false)
	used(3) // one by the network, one by its bridge, one that still runs; the first counts once
	if names, err := d.PublicNetworks(t.Context()); err != nil || len(names) != 1 || names[0] != "wan" {
		t.Error(names, err)
	}
	write(t, d, func(tx *Tx) error {
		n, err := tx.VMAddresses("vm_1")
		if err != nil || n != 3 {
			t.Error(n, err)
		}
		if n, err = tx.AddressesFor(h, config); err != nil || n != 2 {
			t.Error(n, err)
		}
		if n, err = tx.AddressesFor("host_other", config); err != nil || n != 1 { // a bridge of that name there is another one
			t.Error(n, err)
		}
		return nil
	})
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.Admit("a", domain.Usage{PublicAddresses: 1}, "", domain.Usage{}) }), domain.Exhausted, "public addresses")
	mark(false, true)
	used(0)
}

// A job may ask again for what it holds already: it is not counted twice, and what was held before is kept.
func TestAJobMayAskForMoreWhileItRuns(t *testing.T) {
	d := open(t)
	tenant(t, d, "a", "", domain.Quota{VCPUs: 4, Snapshots: 1, Pools: map[string]int64{"pool_1": 10}})
	job := domain.Job{ID: "job_1", State: domain.JobRunning, Tenant: "a"}
	write(t, d, func(tx *Tx) error {
		if err := tx.InsertJob(job, ""); err != nil {
			return err
		}
		one := domain.Usage{Snapshots: 1}
		return tx.Admit("a", one, job.ID, one)
	})
	more := domain.Usage{VCPUs: 3, StorageBytes: 8, Pools: map[string]int64{"pool_1": 8}}
	for range 3 {
		write(t, d, func(tx *Tx) error { return tx.AdmitDuring("a", more, job.ID) })
	}
	u, err := d.TenantUsage(t.Context(), "a")
	if err != nil || u.VCPUs != 3 || u.Snapshots != 1 || u.StorageBytes != 8 || u.Pools["pool_1"] != 8 {
		t.Errorf("%+v %v", u, err)
	}
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.AdmitDuring("a", domain.Usage{VCPUs: 5}, job.ID) }), domain.Exhausted, "quota")
	if u, err := d.TenantUsage(t.Context(), "a"); err != nil || u.VCPUs != 3 {
		t.Errorf("a refusal changed what is held: %+v %v", u, err)
	}
	write(t, d, func(tx *Tx) error { return tx.AdmitDuring("", more, job.ID) })
	write(t, d, func(tx *Tx) error { return tx.AdmitImage("img_nobodys", more, job.ID) })
}
