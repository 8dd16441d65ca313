package fleet_test

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"novacron/db"
	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/images/imagetest"
	"novacron/jobs/reconcile"
)

// team makes a tenant with a quota, or gives it another one.
func team(t *testing.T, w *fleettest.World, q domain.Quota) {
	t.Helper()
	err := w.DB.Write(t.Context(), func(tx *db.Tx) error {
		was, err := tx.Tenant("team-a")
		if domain.Is(err, domain.NotFound) {
			return tx.InsertTenant(domain.Tenant{ID: "team-a", Name: "Team A", Quota: q})
		}
		if err != nil {
			return err
		}
		was.Quota = q
		return tx.UpdateTenant(was, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func used(t *testing.T, w *fleettest.World) domain.Usage {
	t.Helper()
	u, err := w.DB.TenantUsage(t.Context(), "team-a")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func ours(t *testing.T, w *fleettest.World, name string) domain.VM {
	t.Helper()
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec(name), Tenant: "team-a"})
	w.Succeed(t, job, err)
	return w.VM(t, name)
}

func fast(t *testing.T, w *fleettest.World, f *hvtest.Fake, h domain.Host) (id string) {
	t.Helper()
	f.AddPool(domain.Pool{UUID: domain.NewUUID(), Name: "fast", Type: "dir", Active: true, Target: "/fast", CapacityBytes: domain.TiB, AvailableBytes: domain.TiB})
	if err := w.Rec.Inventory(t.Context(), f, h.ID, reconcile.Cause{}); err != nil {
		t.Fatal(err)
	}
	return poolID(t, w, h, "fast")
}

func poolID(t *testing.T, w *fleettest.World, h domain.Host, name string) string {
	t.Helper()
	pools, err := w.DB.Pools(t.Context(), h.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pools {
		if p.Name == name {
			return p.ID
		}
	}
	t.Fatalf("there is no pool %s", name)
	return ""
}

// both asks for everything at the same time, and tells how many went in and how many had no room.
func both(t *testing.T, w *fleettest.World, asks ...func(ctx context.Context) (domain.Job, error)) (in, full int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, ask := range asks {
		wg.Go(func() {
			job, err := ask(t.Context())
			if err == nil {
				job, err = w.Engine.Wait(t.Context(), job.ID)
			}
			if err == nil && job.State != domain.JobSucceeded && job.Error != nil {
				err = domain.Errorf(job.Error.Code, "%s", job.Error.Message)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				in++
			case domain.Is(err, domain.Exhausted):
				full++
			default:
				t.Error(fleettest.Detail(err))
			}
		})
	}
	wg.Wait()
	return in, full
}

// Going back to a snapshot brings back what the VM was: it counts again before anything is done, and so does the snapshot that is taken for safety.
func TestAQuotaHoldsWhenAVMGoesBack(t *testing.T) {
	w, f, _ := fleettest.New(t)
	team(t, w, domain.Quota{})
	vm := ours(t, w, "web-1")
	job, err := w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, vm.ID, domain.SnapshotSpec{Name: "large"}, "")
	w.Succeed(t, job, err)
	shots, err := w.DB.Snapshots(t.Context(), vm.ID)
	if err != nil || len(shots) != 1 {
		t.Fatal(shots, err)
	}
	one, small := 1, domain.GiB/2
	job, err = w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, 0, domain.VMChange{VCPUs: &one, MemoryBytes: &small}, "")
	w.Succeed(t, job, err)
	back := func(safety bool) func(ctx context.Context) (domain.Job, error) {
		return func(ctx context.Context) (domain.Job, error) {
			return w.Fleet.RevertSnapshot(ctx, fleettest.Actor, vm.ID, shots[0].ID, safety, "")
		}
	}
	for what, q := range map[string]domain.Quota{"vcpus": {VCPUs: 1}, "memory": {MemoryBytes: domain.GiB / 2}} {
		team(t, w, q)
		before, _ := fleettest.Guest(f, "web-1")
		if in, full := both(t, w, back(false)); in != 0 || full != 1 {
			t.Errorf("%s: it went back: %d, %d", what, in, full)
		}
		if after, _ := fleettest.Guest(f, "web-1"); after.XML != before.XML {
			t.Errorf("%s: the VM is not what it was", what)
		}
		if u := used(t, w); u.VCPUs != 1 || u.MemoryBytes != domain.GiB/2 {
			t.Errorf("%s: something is held still: %+v", what, u)
		}
	}
	team(t, w, domain.Quota{Snapshots: 1})
	if in, full := both(t, w, back(true)); in != 0 || full != 1 {
		t.Errorf("the safety snapshot did not count: %d, %d", in, full)
	}
}

// Two VMs go back at once where there is room for one: one does.
func TestAQuotaHoldsWhenVMsGoBackAtOnce(t *testing.T) {
	w, _, _ := fleettest.New(t)
	team(t, w, domain.Quota{})
	var asks []func(ctx context.Context) (domain.Job, error)
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		vm := ours(t, w, name)
		job, err := w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, vm.ID, domain.SnapshotSpec{Name: "large"}, "")
		w.Succeed(t, job, err)
		shots, err := w.DB.Snapshots(t.Context(), vm.ID)
		if err != nil {
			t.Fatal(err)
		}
		one := 1
		job, err = w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, 0, domain.VMChange{VCPUs: &one}, "")
		w.Succeed(t, job, err)
		asks = append(asks, func(ctx context.Context) (domain.Job, error) {
			return w.Fleet.RevertSnapshot(ctx, fleettest.Actor, vm.ID, shots[0].ID, false, "")
		})
	}
	team(t, w, domain.Quota{VCPUs: 5})
	in, full := both(t, w, asks...)
	if u := used(t, w); in+full != 3 || in < 1 || u.VCPUs != 3+in || u.VCPUs > 5 {
		t.Errorf("%d went back and %d did not: %+v", in, full, u)
	}
}

// What a schedule takes counts like what a person takes.
func TestAQuotaHoldsForSchedules(t *testing.T) {
	w, _, _ := fleettest.New(t)
	team(t, w, domain.Quota{Snapshots: 1})
	a, b := ours(t, w, "web-1"), ours(t, w, "web-2")
	s, err := w.Fleet.PutSchedule(t.Context(), fleettest.Actor, domain.SnapshotSchedule{Name: "daily", Enabled: true, VMs: []string{a.ID, b.ID}, Daily: &domain.TierPlan{Keep: 5, At: "02:00"}})
	if err != nil {
		t.Fatal(fleettest.Detail(err))
	}
	job, err := w.Fleet.RunSchedule(t.Context(), fleettest.Actor, s.ID, "")
	w.Wait(t, job, err)
	if u := used(t, w); u.Snapshots != 1 {
		t.Errorf("%+v", u)
	}
}

// Copies of a tenant's images on hosts count, and its files in the library; at once too.
func TestAQuotaHoldsForImages(t *testing.T) {
	w, f, h := fleettest.New(t)
	pool := fast(t, w, f, h)
	team(t, w, domain.Quota{Pools: map[string]int64{pool: 2 << 20}})
	mine := domain.WithOwner(t.Context(), "team-a")
	img := imagetest.QCOW2(1<<20, []byte("x"))
	bring := func(name string) (domain.ImageVersion, error) {
		v, _, err := w.Fleet.NewImageVersion(mine, fleettest.Actor, fleet.NewImage{Name: name, Label: "1", Publish: true, Upload: true})
		if err != nil {
			return v, err
		}
		up, err := w.Fleet.UploadImage(mine, fleettest.Actor, v.ID, 0, int64(len(img)), bytes.NewReader(img))
		if err != nil {
			return v, err
		}
		job, err := w.Engine.Wait(t.Context(), up.Job.ID)
		if err == nil && job.State != domain.JobSucceeded {
			err = domain.Errorf(job.Error.Code, "%s", job.Error.Message)
		}
		return v, err
	}
	var asks []func(ctx context.Context) (domain.Job, error)
	for _, name := range []string{"one", "two", "three", "four"} {
		v, err := bring(name)
		if err != nil {
			t.Fatal(fleettest.Detail(err))
		}
		asks = append(asks, func(ctx context.Context) (domain.Job, error) {
			return w.Fleet.PlaceImage(ctx, fleettest.Actor, v.ID, h.ID, "fast", "")
		})
	}
	if u := used(t, w); u.StorageBytes != 4*int64(len(img)) || len(u.Pools) != 0 {
		t.Errorf("in the library: %+v", u)
	}
	if in, full := both(t, w, asks...); in != 2 || full != 2 {
		t.Errorf("%d copies were made and %d were not", in, full)
	}
	if u := used(t, w); u.Pools[pool] != 2<<20 || u.StorageBytes != 4*int64(len(img))+2<<20 {
		t.Errorf("with copies: %+v", u)
	}
	team(t, w, domain.Quota{StorageBytes: used(t, w).StorageBytes})
	if _, err := bring("five"); !domain.Is(err, domain.Exhausted) {
		t.Errorf("there was room for another: %v", err)
	}
	if _, err := w.DB.Image(t.Context(), "five"); !domain.Is(err, domain.NotFound) {
		t.Errorf("the image that had no room is there: %v", err)
	}
}

// Disks that go to another pool, of the same host or of another, and copies of VMs: the pool's quota holds, also when they are asked for at once.
func TestAPoolsQuotaHoldsForMovesAndCopies(t *testing.T) {
	w, f, h := fleettest.New(t)
	pool, home := fast(t, w, f, h), poolID(t, w, h, "default")
	team(t, w, domain.Quota{Pools: map[string]int64{pool: 20 * domain.GiB}})
	var moves, copies []func(ctx context.Context) (domain.Job, error)
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		vm := ours(t, w, name)
		moves = append(moves, func(ctx context.Context) (domain.Job, error) {
			return w.Fleet.MigrateVM(ctx, fleettest.Actor, vm.ID, fleet.MigrateVM{Mode: domain.MigrateStorage, Disks: map[string]string{"vda": "fast"}})
		})
		copies = append(copies, func(ctx context.Context) (domain.Job, error) {
			return w.Fleet.CloneVM(ctx, fleettest.Actor, vm.ID, fleet.CloneVM{Name: name + "-copy"})
		})
	}
	if in, full := both(t, w, moves...); in != 2 || full != 1 {
		t.Errorf("%d disks went and %d did not", in, full)
	}
	if u := used(t, w); u.Pools[pool] != 20*domain.GiB || u.Pools[home] != 10*domain.GiB || u.StorageBytes != 30*domain.GiB {
		t.Errorf("%+v", u)
	}
	team(t, w, domain.Quota{Pools: map[string]int64{pool: 30 * domain.GiB, home: 10 * domain.GiB}})
	if in, full := both(t, w, copies...); in != 1 || full != 2 { // two originals are in the one pool, which has room for one; the third's is full
		t.Errorf("%d copies were made and %d were not", in, full)
	}
	if u := used(t, w); u.Pools[pool] != 30*domain.GiB || u.VMs != 4 {
		t.Errorf("%+v", u)
	}
}

// A VM that moves to another host takes its disks into a pool there.
func TestAPoolsQuotaHoldsBetweenHosts(t *testing.T) {
	w, a, _ := fleettest.New(t)
	b, to := w.Host(t, "b", hvtest.FakeOptions{})
	a.Reach("qemu+tcp://b/system", b)
	b.Reach("qemu+tcp://a/system", a)
	team(t, w, domain.Quota{})
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1"), Host: "a", Tenant: "team-a"})
	w.Succeed(t, job, err)
	vm := w.VM(t, "web-1")
	there := poolID(t, w, to, "default")
	move := func(ctx context.Context) (domain.Job, error) {
		return w.Fleet.MigrateVM(ctx, fleettest.Actor, vm.ID, fleet.MigrateVM{Host: "b"})
	}
	team(t, w, domain.Quota{Pools: map[string]int64{there: domain.GiB}})
	if in, full := both(t, w, move); in != 0 || full != 1 {
		t.Errorf("it moved: %d, %d", in, full)
	}
	team(t, w, domain.Quota{StorageBytes: 10 * domain.GiB, Pools: map[string]int64{there: 10 * domain.GiB}})
	if in, full := both(t, w, move); in != 1 || full != 0 {
		t.Errorf("it did not move: %d, %d", in, full)
	}
	if u := used(t, w); u.Pools[there] != 10*domain.GiB || u.StorageBytes != 10*domain.GiB {
		t.Errorf("%+v", u)
	}
}
