package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

func TestHosts(t *testing.T) {
	d := open(t)
	addHost(t, d, "b10")
	h := addHost(t, d, "b2")
	if h.Labels["site"] != "ams" || h.Version != 1 || h.State != domain.HostConnected || h.CreatedAt.IsZero() || h.StateSince.IsZero() {
		t.Errorf("%+v", h)
	}
	hosts, err := d.Hosts(t.Context())
	if err != nil || len(hosts) != 2 || hosts[0].Name != "b2" {
		t.Errorf("%+v %v", hosts, err)
	}
	if c, err := d.HostCredentials(t.Context(), h.ID); err != nil || c.SSHKey != "key of b2" {
		t.Errorf("%+v %v", c, err)
	}
	write(t, d, func(tx *Tx) error { return tx.SetHostCredentials(h.ID, domain.HostCredentials{CACert: "ca"}) })
	if c, _ := d.HostCredentials(t.Context(), h.ID); c.CACert != "ca" || c.SSHKey != "" {
		t.Errorf("%+v", c)
	}
	_, err = d.HostCredentials(t.Context(), "host_none")
	wantCode(t, err, domain.NotFound)
	_, err = d.Host(t.Context(), "host_none")
	wantCode(t, err, domain.NotFound, "host")
	for field, bad := range map[string]domain.Host{"name": {ID: "host_x", Name: "B2", URI: "u"}, "uri": {ID: "host_x", Name: "x", URI: h.URI}} {
		err := d.Write(t.Context(), func(tx *Tx) error { return tx.InsertHost(bad, domain.HostCredentials{}) })
		if e := wantCode(t, err, domain.Conflict, "b2"); e.Fields[0].Field != field {
			t.Errorf("%+v", e.Fields)
		}
	}
}

func TestHostEditsAreGuarded(t *testing.T) {
	d := open(t)
	h := addHost(t, d, "b2")
	addHost(t, d, "b3")
	edit := func(h domain.Host) (out domain.Host, err error) {
		err = d.Write(t.Context(), func(tx *Tx) error { out, err = tx.UpdateHost(h); return err })
		return out, err
	}
	h.Notes, h.Maintenance, h.Labels = "n", true, map[string]string{"rack": "7"}
	got, err := edit(h)
	if err != nil || got.Version != 2 || got.Notes != "n" || !got.Maintenance || got.Labels["rack"] != "7" {
		t.Fatalf("%+v %v", got, err)
	}
	_, err = edit(h)
	wantCode(t, err, domain.Conflict, "changed meanwhile", "b2")
	got.Name = "b3"
	_, err = edit(got)
	wantCode(t, err, domain.Conflict, "b3")
	got.ID = "host_none"
	_, err = edit(got)
	wantCode(t, err, domain.NotFound)
}

func TestHostStateMovesOnlyWhenItChanges(t *testing.T) {
	d := open(t)
	h := addHost(t, d, "b2")
	set := func(state domain.HostState, reason string, at time.Time) (changed bool) {
		write(t, d, func(tx *Tx) (err error) {
			changed, err = tx.SetHostState(h.ID, state, reason, "fix", at)
			return err
		})
		return changed
	}
	if !set(domain.HostAway, "no route", start.Add(time.Hour)) || set(domain.HostAway, "no route", start.Add(2*time.Hour)) || !set(domain.HostAway, "refused", start.Add(3*time.Hour)) {
		t.Error("changed is wrong")
	}
	h, _ = d.Host(t.Context(), h.ID)
	if !h.StateSince.Equal(start.Add(time.Hour)) || h.StateReason != "refused" || h.StateFix != "fix" || !h.LastSeen.IsZero() {
		t.Errorf("%+v", h)
	}
	set(domain.HostConnected, "", start.Add(4*time.Hour))
	write(t, d, func(tx *Tx) error { return tx.TouchHost(h.ID, start.Add(5*time.Hour)) })
	h, _ = d.Host(t.Context(), h.ID)
	if !h.LastSeen.Equal(start.Add(5*time.Hour)) || !h.StateSince.Equal(start.Add(4*time.Hour)) {
		t.Errorf("%+v", h)
	}
	facts := domain.HostFacts{Hostname: "b2", CPUs: 8, MemoryBytes: 16 * domain.GiB, StorageFreeBytes: 5}
	learn := func() (changed bool) {
		write(t, d, func(tx *Tx) (err error) { changed, err = tx.SetHostFacts(h.ID, facts, start); return err })
		return changed
	}
	if !learn() || learn() {
		t.Error("facts: changed is wrong")
	}
	facts.StorageFreeBytes = 6
	if learn() {
		t.Error("free storage alone is no change of facts")
	}
	h, _ = d.Host(t.Context(), h.ID)
	if h.Facts.CPUs != 8 || h.Facts.StorageFreeBytes != 6 {
		t.Errorf("%+v", h.Facts)
	}
	for _, fn := range []func(tx *Tx) error{
		func(tx *Tx) error { _, err := tx.SetHostState("x", domain.HostAway, "", "", start); return err },
		func(tx *Tx) error { _, err := tx.SetHostFacts("x", facts, start); return err },
		func(tx *Tx) error { return tx.TouchHost("x", start) },
		func(tx *Tx) error { return tx.DeleteHost("x") },
		func(tx *Tx) error { _, err := tx.ReplaceInventory("x", domain.Inventory{}); return err },
	} {
		wantCode(t, d.Write(t.Context(), fn), domain.NotFound, "host")
	}
}

func TestInventoryIsReplacedOnlyWhenItChanged(t *testing.T) {
	d := open(t)
	addHost(t, d, "a")
	addHost(t, d, "b")
	inv := domain.Inventory{
		Pools:    []domain.Pool{{Name: "z", Active: true, CapacityBytes: 10}, {Name: "default", Type: "dir", Target: "/x", Autostart: true}},
		Volumes:  []domain.Volume{{Pool: "z", Name: "v2", Path: "/z/v2"}, {Pool: "default", Name: "v1", Path: "/x/v1", Format: "qcow2", Backing: "/base"}},
		Networks: []domain.Network{{Name: "default", Active: true, Mode: "nat", CIDR: "192.168.122.1/24"}},
		Devices:  []domain.Device{{Name: "pci_0", Kind: "pci", Label: "Card", Driver: "e1000"}},
	}
	replace := func(host string) (changed bool) {
		write(t, d, func(tx *Tx) (err error) { changed, err = tx.ReplaceInventory(host, inv); return err })
		return changed
	}
	if !replace("host_a") || replace("host_a") || !replace("host_b") {
		t.Error("changed is wrong")
	}
	inv.Pools[0], inv.Pools[1] = inv.Pools[1], inv.Pools[0]
	if replace("host_a") {
		t.Error("another order is no change")
	}
	inv.Volumes = inv.Volumes[:1]
	if !replace("host_a") {
		t.Error("a volume less is a change")
	}
	pools, err := d.Pools(t.Context(), "host_a")
	if err != nil || len(pools) != 2 || pools[0].Name != "default" || pools[0].HostID != "host_a" || !pools[0].Autostart || pools[1].CapacityBytes != 10 {
		t.Errorf("%+v %v", pools, err)
	}
	if all, err := d.Pools(t.Context(), ""); err != nil || len(all) != 4 {
		t.Errorf("%d %v", len(all), err)
	}
	if v, err := d.Volumes(t.Context(), "host_a", ""); err != nil || len(v) != 1 || v[0].Name != "v2" {
		t.Errorf("%+v %v", v, err)
	}
	if v, err := d.Volumes(t.Context(), "host_b", "default"); err != nil || len(v) != 1 || v[0].Backing != "/base" {
		t.Errorf("%+v %v", v, err)
	}
	if n, err := d.Networks(t.Context(), "host_b"); err != nil || len(n) != 1 || n[0].Mode != "nat" {
		t.Errorf("%+v %v", n, err)
	}
	if dev, err := d.Devices(t.Context(), "host_b"); err != nil || len(dev) != 1 || dev[0].Driver != "e1000" {
		t.Errorf("%+v %v", dev, err)
	}
	// A host goes with all that was mirrored from it.
	upsert(t, d, "host_b", guest("x", 1))
	write(t, d, func(tx *Tx) error { return tx.DeleteHost("host_b") })
	if all, _ := d.Pools(t.Context(), ""); len(all) != 2 {
		t.Errorf("%d pools", len(all))
	}
	if p, _ := d.VMs(t.Context(), VMQuery{}); p.Total != 0 {
		t.Errorf("%d VMs", p.Total)
	}
}

func TestOverviewAndSearch(t *testing.T) {
	d := open(t)
	if o, err := d.Overview(t.Context()); err != nil || o.VMsTotal != 0 {
		t.Fatalf("empty: %+v %v", o, err)
	}
	estate(t, d, 3, 12)
	write(t, d, func(tx *Tx) error {
		for i := range 3 {
			if _, err := tx.SetHostFacts(fmt.Sprintf("host_h-%d", i+1), domain.HostFacts{CPUs: 4, MemoryBytes: domain.GiB, StorageFreeBytes: 1, StorageTotalBytes: 2}, start); err != nil {
				return err
			}
		}
		if _, err := tx.SetHostState("host_h-3", domain.HostAway, "x", "", start.Add(time.Minute)); err != nil {
			return err
		}
		for i, s := range []domain.JobState{domain.JobQueued, domain.JobRunning, domain.JobStuck, domain.JobSucceeded} {
			if err := tx.InsertJob(domain.Job{ID: fmt.Sprint("job_", i), Kind: "k", Title: fmt.Sprint("Start web-", i+1), State: s, CreatedAt: start}, ""); err != nil {
				return err
			}
		}
		return nil
	})
	o, err := d.Overview(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.VMsTotal != 12 || o.VMs[domain.VMAway] != 4 || o.VMs[domain.VMRunning]+o.VMs[domain.VMPaused]+o.VMs[domain.VMStopped] != 8 || o.HostsTotal != 3 || o.Hosts[domain.HostAway] != 1 ||
		o.CPUs != 8 || o.MemoryBytes != 2*domain.GiB || o.StorageFree != 2 || o.StorageTotal != 4 || o.ActiveJobs != 2 || o.StuckJobs != 1 || o.VCPUsDefined == 0 || o.VCPUsRunning == 0 ||
		!o.OldestAwaySince.Equal(start.Add(time.Minute)) {
		t.Errorf("%+v", o)
	}
	for text, want := range map[string]string{
		"":                  "",
		"WEB-1":             "vm web-1, vm web-10, vm web-11, vm web-12, job Start web-1",
		"h-2":               "host h-2",
		"52:54:00:00:00:03": "vm web-4",
		"ams":               "host h-1, host h-2, host h-3",
		"host_h-1":          "host h-1",
		"job_2":             "job Start web-3",
		"%":                 "",
		"start":             "job Start web-4, job Start web-3, job Start web-2, job Start web-1",
	} {
		hits, err := d.Search(t.Context(), text, 20)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range hits {
			got = append(got, h.Ref.Kind+" "+h.Ref.Name)
			if h.Detail == "" || h.Ref.ID == "" {
				t.Errorf("%+v", h)
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%q: %v, want %s", text, got, want)
		}
	}
	if hits, _ := d.Search(t.Context(), "e", 6); len(hits) > 6 {
		t.Errorf("%d hits", len(hits))
	}
	for created, want := range map[time.Duration]string{10 * time.Second: "just now", 5 * time.Minute: "5 min ago", 3 * time.Hour: "2026-03-01 09:00 UTC"} {
		if got := jobAge(start, ms(start.Add(-created))); got != want {
			t.Errorf("%s: %q", created, got)
		}
	}
}
