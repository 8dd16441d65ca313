package fleet_test

import (
	"context"
	"testing"

	"novacron/db"
	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/reconcile"
)

// A disk that was taken off since the snapshot comes back with it, and counts again: in all, and in its pool.
func TestAQuotaHoldsForDisksThatComeBack(t *testing.T) {
	w, _, h := fleettest.New(t)
	team(t, w, domain.Quota{})
	spec := fleettest.Spec("web-1")
	spec.Disks = append(spec.Disks, domain.Disk{SizeBytes: 7 * domain.GiB})
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec, Tenant: "team-a"})
	w.Succeed(t, job, err)
	vm, home := w.VM(t, "web-1"), poolID(t, w, h, "default")
	job, err = w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, vm.ID, domain.SnapshotSpec{Name: "two-disks", Kind: domain.SnapshotExternal}, "")
	w.Succeed(t, job, err)
	shots, err := w.DB.Snapshots(t.Context(), vm.ID)
	if err != nil || len(shots) != 1 {
		t.Fatal(shots, err)
	}
	job, err = w.Fleet.DetachDisk(t.Context(), fleettest.Actor, vm.ID, "vdb", false, false, "")
	w.Succeed(t, job, err)
	if u := used(t, w); u.StorageBytes != 10*domain.GiB {
		t.Fatalf("what was detached counts still: %+v", u)
	}
	back := func(ctx context.Context) (domain.Job, error) {
		return w.Fleet.RevertSnapshot(ctx, fleettest.Actor, vm.ID, shots[0].ID, false, "")
	}
	for what, q := range map[string]domain.Quota{"in all": {StorageBytes: 16 * domain.GiB}, "in the pool": {Pools: map[string]int64{home: 16 * domain.GiB}}} {
		team(t, w, q)
		if in, full := both(t, w, back); in != 0 || full != 1 {
			t.Errorf("%s: it went back: %d, %d", what, in, full)
		}
		if u := used(t, w); u.StorageBytes != 10*domain.GiB || u.Pools[home] != 10*domain.GiB {
			t.Errorf("%s: something is held still: %+v", what, u)
		}
	}
	team(t, w, domain.Quota{StorageBytes: 17 * domain.GiB, Pools: map[string]int64{home: 17 * domain.GiB}})
	if in, full := both(t, w, back); in != 1 || full != 0 {
		t.Errorf("it did not go back where there is room: %d, %d", in, full)
	}
	if u := used(t, w); u.StorageBytes != 17*domain.GiB || u.Pools[home] != 17*domain.GiB {
		t.Errorf("%+v", u)
	}
}

func public(t *testing.T, w *fleettest.World, name string) {
	t.Helper()
	if err := w.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.MarkNetwork(name, fleettest.Actor, true)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// A card on a public network that was taken out since the snapshot comes back with it, and counts again.
func TestAQuotaHoldsForCardsThatComeBack(t *testing.T) {
	w, _, _ := fleettest.New(t)
	team(t, w, domain.Quota{})
	public(t, w, "default")
	ours(t, w, "web-2")
	vm := ours(t, w, "web-1")
	job, err := w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, vm.ID, domain.SnapshotSpec{Name: "with-card"}, "")
	w.Succeed(t, job, err)
	shots, err := w.DB.Snapshots(t.Context(), vm.ID)
	if err != nil || len(shots) != 1 {
		t.Fatal(shots, err)
	}
	job, err = w.Fleet.DetachNIC(t.Context(), fleettest.Actor, vm.ID, vm.Config.NICs[0].MAC, "")
	w.Succeed(t, job, err)
	back := func(ctx context.Context) (domain.Job, error) {
		return w.Fleet.RevertSnapshot(ctx, fleettest.Actor, vm.ID, shots[0].ID, false, "")
	}
	team(t, w, domain.Quota{PublicAddresses: 1})
	if in, full := both(t, w, back); in != 0 || full != 1 {
		t.Errorf("it went back: %d, %d", in, full)
	}
	if u := used(t, w); u.PublicAddresses != 1 {
		t.Errorf("something is held still: %+v", u)
	}
	team(t, w, domain.Quota{PublicAddresses: 2})
	if in, full := both(t, w, back); in != 1 || full != 0 {
		t.Errorf("it did not go back where there is room: %d, %d", in, full)
	}
	if u := used(t, w); u.PublicAddresses != 2 {
		t.Errorf("%+v", u)
	}
}

// A card counts on the network that it comes to be on when its VM moves to another host.
func TestAQuotaHoldsForCardsThatMove(t *testing.T) {
	w, a, _ := fleettest.New(t)
	b, there := w.Host(t, "b", hvtest.FakeOptions{})
	a.Reach("qemu+tcp://b/system", b)
	b.Reach("qemu+tcp://a/system", a)
	b.AddNetwork(domain.Network{UUID: domain.NewUUID(), Name: "wan", Active: true, Mode: "nat", Bridge: "virbr7"})
	if err := w.Rec.Inventory(t.Context(), b, there.ID, reconcile.Cause{}); err != nil {
		t.Fatal(err)
	}
	team(t, w, domain.Quota{PublicAddresses: 1})
	public(t, w, "wan")
	var moves []func(ctx context.Context) (domain.Job, error)
	for _, name := range []string{"web-1", "web-2"} {
		job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec(name), Host: "a", Tenant: "team-a"})
		w.Succeed(t, job, err)
		vm := w.VM(t, name)
		moves = append(moves, func(ctx context.Context) (domain.Job, error) {
			return w.Fleet.MigrateVM(ctx, fleettest.Actor, vm.ID, fleet.MigrateVM{Host: "b", Networks: map[string]string{"default": "wan"}})
		})
	}
	if u := used(t, w); u.PublicAddresses != 0 {
		t.Fatalf("%+v", u)
	}
	if in, full := both(t, w, moves...); in != 1 || full != 1 {
		t.Errorf("%d moved and %d did not", in, full)
	}
	if u := used(t, w); u.PublicAddresses != 1 {
		t.Errorf("%+v", u)
	}
}
