package nets_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/nets"
	"novacron/jobs/reconcile"
)

func lan() domain.NetworkSpec {
	return domain.NetworkSpec{Name: "lan", Mode: domain.NetNAT, IPv4: &domain.Subnet{Address: "10.50.0.1/24", DHCP: &domain.DHCP{Ranges: []domain.IPRange{{Start: "10.50.0.100", End: "10.50.0.200"}}}}}
}

func has(f *hvtest.Fake, name string) (domain.Network, bool) {
	for _, n := range f.AllNetworks() {
		if n.Name == name {
			return n, true
		}
	}
	return domain.Network{}, false
}

func two(t testing.TB) (w *fleettest.World, a, b *hvtest.Fake, hosts []domain.Host) {
	w = fleettest.Bare(t, reconcile.Options{})
	w.Run(t)
	a, ha := w.Host(t, "b1", hvtest.FakeOptions{Name: "b1"})
	b, hb := w.Host(t, "b2", hvtest.FakeOptions{Name: "b2"})
	return w, a, b, []domain.Host{ha, hb}
}

func result(t testing.TB, job domain.Job) nets.Result {
	t.Helper()
	var r nets.Result
	if err := json.Unmarshal(job.Result, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestANetworkFromCreationToDeletion(t *testing.T) {
	w, f, h := fleettest.New(t)
	job, err := w.Fleet.CreateNetwork(t.Context(), fleettest.Actor, fleet.CreateNetwork{Spec: lan(), Hosts: []string{h.Name}})
	job = w.Succeed(t, job, err)
	id := result(t, job).Networks[0]
	n, err := w.DB.Network(t.Context(), id)
	if err != nil || !n.Active || !n.Autostart || n.Spec.IPv4 == nil || job.Resource.ID != id {
		t.Fatalf("%v %+v", err, n)
	}
	spec := n.Spec
	spec.IPv4.DHCP.Hosts = []domain.DHCPHost{{MAC: "52:54:00:00:00:01", IP: "10.50.0.10"}}
	spec.MTU = 1400
	job, err = w.Fleet.ChangeNetwork(t.Context(), fleettest.Actor, id, spec, false, "")
	if r := result(t, w.Succeed(t, job, err)); !strings.Contains(strings.Join(r.Notes, " "), "started again") {
		t.Errorf("notes: %v", r.Notes)
	}
	if n, err = w.DB.Network(t.Context(), id); err != nil || len(n.Pending) != 1 || n.Pending[0].Field != "mtu" || len(n.Spec.IPv4.DHCP.Hosts) != 1 {
		t.Errorf("%v %+v", err, n)
	}
	for _, s := range []struct {
		act fleet.NetworkAct
		ok  func(n domain.Network) bool
	}{
		{fleet.NetStop, func(n domain.Network) bool { return !n.Active }}, {fleet.NetStart, func(n domain.Network) bool { return n.Active && len(n.Pending) == 0 }},
		{fleet.NetNoAutostart, func(n domain.Network) bool { return !n.Autostart }}, {fleet.NetAutostart, func(n domain.Network) bool { return n.Autostart }},
	} {
		job, err := w.Fleet.ActNetwork(t.Context(), fleettest.Actor, id, s.act, false, "")
		w.Succeed(t, job, err)
		if n, err := w.DB.Network(t.Context(), id); err != nil || !s.ok(n) {
			t.Errorf("%s: %v %+v", s.act, err, n)
		}
	}
	// A VM on it keeps it from being deleted, and while it runs from being stopped.
	vmSpec := fleettest.Spec("web-1")
	vmSpec.NICs = []domain.NIC{{Network: "lan"}}
	vm := w.Make(t, vmSpec, true)
	if _, err := w.Fleet.DeleteNetworks(t.Context(), fleettest.Actor, []string{id}, fleet.DeleteNetworks{}); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "web-1") {
		t.Errorf("deleting what web-1 uses: %v", err)
	}
	if _, err := w.Fleet.ActNetwork(t.Context(), fleettest.Actor, id, fleet.NetStop, false, ""); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "web-1") {
		t.Errorf("stopping what web-1 uses: %v", err)
	}
	job, err = w.Fleet.DetachNIC(t.Context(), fleettest.Actor, vm.ID, vm.Config.NICs[0].MAC, "")
	w.Succeed(t, job, err)
	job, err = w.Fleet.DeleteNetworks(t.Context(), fleettest.Actor, []string{id}, fleet.DeleteNetworks{})
	w.Succeed(t, job, err)
	if _, ok := has(f, "lan"); ok {
		t.Error("the host still has the network")
	}
	if _, err := w.DB.Network(t.Context(), id); !domain.Is(err, domain.NotFound) {
		t.Errorf("its row: %v", err)
	}
}

func TestBadNetworksAreRefusedBeforeAnyHostIsAsked(t *testing.T) {
	w, f, h := fleettest.New(t)
	for _, c := range []struct {
		name  string
		spec  func(s *domain.NetworkSpec)
		host  string
		field string
		code  domain.Code
	}{
		{"overlap", func(s *domain.NetworkSpec) { s.IPv4 = &domain.Subnet{Address: "192.168.0.1/16"} }, h.Name, "ipv4.address", domain.Conflict},
		{"taken name", func(s *domain.NetworkSpec) { s.Name = "default" }, h.Name, "name", domain.Conflict},
		{"taken bridge", func(s *domain.NetworkSpec) { s.Bridge = "virbr0" }, h.Name, "bridge", domain.Conflict},
		{"range outside", func(s *domain.NetworkSpec) { s.IPv4.DHCP.Ranges[0].End = "10.50.1.9" }, h.Name, "ipv4.dhcp.ranges.0.end", domain.Invalid},
		{"no host", func(s *domain.NetworkSpec) {}, "nowhere", "host", domain.Invalid},
		{"a bridge of nobody", func(s *domain.NetworkSpec) { s.Mode, s.IPv4 = domain.NetBridge, nil }, h.Name, "bridge", domain.Invalid},
	} {
		spec := lan()
		c.spec(&spec)
		_, err := w.Fleet.CreateNetwork(t.Context(), fleettest.Actor, fleet.CreateNetwork{Spec: spec, Hosts: []string{c.host}})
		e, ok := err.(*domain.Error)
		if !ok || e.Code != c.code || len(e.Fields) == 0 || e.Fields[0].Field != c.field {
			t.Errorf("%s: %v %+v", c.name, err, e)
		}
	}
	if f.Calls("DefineNetwork") != 0 {
		t.Error("the host was asked")
	}
}

func TestTheSameOnManyHostsIsMadeOnAllOrOnNone(t *testing.T) {
	w, a, b, hosts := two(t)
	b.Fail("StartNetwork", domain.Errorf(domain.Conflict, "The bridge cannot be made."), 1)
	ask := fleet.CreateNetwork{Spec: lan(), Hosts: []string{"b1", hosts[1].ID}}
	job, err := w.Fleet.CreateNetwork(t.Context(), fleettest.Actor, ask)
	w.Undone(t, job, err, domain.Conflict)
	for _, f := range []*hvtest.Fake{a, b} {
		if _, ok := has(f, "lan"); ok {
			t.Error("a network was left behind")
		}
	}
	job, err = w.Fleet.CreateNetwork(t.Context(), fleettest.Actor, ask)
	ids := result(t, w.Succeed(t, job, err)).Networks
	n, err := w.DB.Network(t.Context(), ids[0])
	if err != nil || n.GroupID == "" {
		t.Fatalf("%v %+v", err, n)
	}
	// Somebody changes one of them on its host.
	other, _ := has(b, "lan")
	spec := other.Spec
	spec.MTU = 9000
	if _, err := b.UpdateNetwork(t.Context(), "lan", spec); err != nil {
		t.Fatal(err)
	}
	if err := w.Rec.Mirror.Inventory(t.Context(), b, hosts[1].ID, reconcile.Cause{}); err != nil {
		t.Fatal(err)
	}
	drift, err := w.Fleet.NetworkDrift(t.Context(), n.GroupID)
	if err != nil || len(drift) != 2 || len(drift[0].Changes) != 0 || len(drift[1].Changes) != 1 || drift[1].Changes[0].New != "9000" {
		t.Fatalf("%v %+v", err, drift)
	}
	job, err = w.Fleet.EqualNetworks(t.Context(), fleettest.Actor, ids[0], "", "")
	w.Succeed(t, job, err)
	if drift, err = w.Fleet.NetworkDrift(t.Context(), n.GroupID); err != nil || len(drift[1].Changes) != 0 {
		t.Errorf("%v %+v", err, drift)
	}
	if _, err = w.Fleet.EqualNetworks(t.Context(), fleettest.Actor, ids[0], "", ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("making equal what is: %v", err)
	}
	// An edit of one is an edit of all.
	spec = n.Spec
	spec.Domain = "lab"
	job, err = w.Fleet.ChangeNetwork(t.Context(), fleettest.Actor, ids[1], spec, false, "")
	w.Succeed(t, job, err)
	for _, f := range []*hvtest.Fake{a, b} {
		if n, _ := has(f, "lan"); n.Spec.Domain != "lab" {
			t.Errorf("the domain is %q", n.Spec.Domain)
		}
	}
}

func TestSweeps(t *testing.T) {
	t.Run("create on two hosts", func(t *testing.T) {
		jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
			w, a, b, _ := two(t)
			return w.Swept(func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
				return f.CreateNetwork(ctx, fleettest.Actor, fleet.CreateNetwork{Spec: lan(), Hosts: []string{"b1", "b2"}})
			}, func(t testing.TB, job domain.Job) {
				for _, f := range []*hvtest.Fake{a, b} {
					if n, ok := has(f, "lan"); ok != (job.State == domain.JobSucceeded) || ok && !n.Active {
						t.Errorf("the job is %s, the network is there: %t", job.State, ok)
					}
				}
			})
		})
	})
	made := func(t testing.TB) (*fleettest.World, *hvtest.Fake, *hvtest.Fake, string, domain.Network) {
		w, a, b, _ := two(t)
		job, err := w.Fleet.CreateNetwork(t.Context(), fleettest.Actor, fleet.CreateNetwork{Spec: lan(), Hosts: []string{"b1", "b2"}})
		id := result(t, w.Succeed(t, job, err)).Networks[0]
		n, _ := has(a, "lan")
		return w, a, b, id, n
	}
	t.Run("change on two hosts", func(t *testing.T) {
		jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
			w, a, b, id, was := made(t)
			return w.Swept(func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
				spec := lan()
				spec.Domain = "lab"
				spec.IPv4.DHCP.Hosts = []domain.DHCPHost{{MAC: "52:54:00:00:00:01", IP: "10.50.0.10"}}
				return f.ChangeNetwork(ctx, fleettest.Actor, id, spec, false, "")
			}, func(t testing.TB, job domain.Job) {
				done := job.State == domain.JobSucceeded
				for i, f := range []*hvtest.Fake{a, b} {
					n, _ := has(f, "lan")
					if (n.Spec.Domain == "lab") != done || i == 0 && !done && n.XML != was.XML {
						t.Errorf("the job is %s, the network says\n%s", job.State, n.XML)
					}
				}
			})
		})
	})
	t.Run("delete", func(t *testing.T) {
		jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
			w, a, _, id, was := made(t)
			return w.Swept(func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
				return f.DeleteNetworks(ctx, fleettest.Actor, []string{id}, fleet.DeleteNetworks{})
			}, func(t testing.TB, job domain.Job) {
				n, ok := has(a, "lan")
				if ok == (job.State == domain.JobSucceeded) || ok && (!n.Active || !n.Autostart || n.XML != was.XML) {
					t.Errorf("the job is %s, the network is there: %t %+v", job.State, ok, n)
				}
			})
		})
	})
	t.Run("delete with its VMs", func(t *testing.T) {
		jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
			w, a, _, id, _ := made(t)
			spec := fleettest.Spec("web-1")
			spec.NICs = []domain.NIC{{Network: "lan"}}
			if vm := w.Make(t, spec, true); vm.HostName != "b1" {
				t.Fatalf("the VM is on %s", vm.HostName)
			}
			return w.Swept(func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
				return f.DeleteNetworks(ctx, fleettest.Actor, []string{id}, fleet.DeleteNetworks{VMs: true, Disks: true, Confirm: "lan"})
			}, func(t testing.TB, job domain.Job) {
				_, ok := has(a, "lan")
				_, vm := fleettest.Guest(a, "web-1")
				if done := job.State == domain.JobSucceeded; ok == done || done && vm {
					t.Errorf("the job is %s, the network is there: %t, the VM: %t", job.State, ok, vm)
				}
			})
		})
	})
	t.Run("stop", func(t *testing.T) {
		jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
			w, a, _, id, _ := made(t)
			return w.Swept(func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
				return f.ActNetwork(ctx, fleettest.Actor, id, fleet.NetStop, false, "")
			}, func(t testing.TB, job domain.Job) {
				if n, _ := has(a, "lan"); job.State == domain.JobSucceeded && n.Active {
					t.Error("it was not stopped")
				}
			})
		})
	})
}

func TestMACsOfTheEstateAreNotRepeated(t *testing.T) {
	w, _, _, _ := two(t)
	one := fleettest.Spec("web-1")
	one.NICs = []domain.NIC{{Network: "default", MAC: "52:54:00:AA:00:01"}}
	vm := w.Make(t, one, false)
	other := fleettest.Spec("web-2")
	other.NICs = []domain.NIC{{Network: "default", MAC: "52:54:00:aa:00:01"}}
	_, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: other, Host: "b2"})
	if e, ok := err.(*domain.Error); !ok || e.Code != domain.Conflict || !strings.Contains(e.Msg, "web-1") || e.Fields[0].Field != "nics.0.mac" {
		t.Errorf("creating with a MAC that web-1 has: %v", err)
	}
	other.NICs[0].MAC = ""
	second := w.Make(t, other, false)
	_, err = w.Fleet.AttachNIC(t.Context(), fleettest.Actor, second.ID, domain.NIC{Network: "default", MAC: "52:54:00:aa:00:01"}, "")
	if e, ok := err.(*domain.Error); !ok || e.Code != domain.Conflict || !strings.Contains(e.Msg, "web-1") || e.Fields[0].Field != "mac" {
		t.Errorf("attaching a MAC that web-1 has: %v", err)
	}
	if _, err = w.Fleet.AttachNIC(t.Context(), fleettest.Actor, vm.ID, domain.NIC{Network: "default", MAC: "52:54:00:aa:00:01"}, ""); err == nil {
		t.Error("a VM got the same card twice")
	}
}

func TestAddressesAndLeasesAreCollected(t *testing.T) {
	w, f, h := fleettest.New(t)
	spec := fleettest.Spec("web-1")
	spec.NICs = []domain.NIC{{Network: "default"}}
	vm := w.Make(t, spec, true)
	mac := vm.Config.NICs[0].MAC
	f.SetLeases("default", domain.Lease{MAC: mac, IP: "192.168.122.77", Prefix: 24, Hostname: "web-1", Expires: 99})
	f.SetAddresses(vm.UUID, domain.Address{MAC: mac, Interface: "eth0", IP: "192.168.122.77", Sources: []string{domain.AddressAgent}}, domain.Address{MAC: mac, IP: "fe80::1", Sources: []string{domain.AddressARP}})
	watch := nets.NewWatch(w.DB, w.Pool, w.Engine, slog.New(slog.DiscardHandler), time.Now, nets.WatchOptions{Every: time.Millisecond, Soon: time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watch.Run(ctx) }()
	w.Until(t, "the address is known", func() bool { return len(w.VM(t, "web-1").Addresses) == 2 })
	got := w.VM(t, "web-1").Addresses
	if got[0].IP != "192.168.122.77" || strings.Join(got[0].Sources, " ") != "agent dhcp" || got[0].Interface != "eth0" || got[1].IP != "fe80::1" {
		t.Errorf("%+v", got)
	}
	leases, err := w.DB.Leases(t.Context(), h.ID, "default")
	if err != nil || len(leases) != 1 || leases[0].Hostname != "web-1" {
		t.Errorf("%v %+v", err, leases)
	}
	f.SetLeases("default")
	w.Until(t, "the lease is gone", func() bool { ls, _ := w.DB.Leases(t.Context(), h.ID, "default"); return len(ls) == 0 })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

var _ hv.Networks = (*hvtest.Fake)(nil)
