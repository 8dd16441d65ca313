package snapshot_test

import (
	"context"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
)

func hvSpec(name string) hv.SnapshotSpec {
	return hv.SnapshotSpec{Name: name, Notes: "from virsh", Kind: domain.SnapshotInternal}
}

func outside(name string) hv.SnapshotSpec {
	return hv.SnapshotSpec{Name: name, Kind: domain.SnapshotExternal, Disks: map[string]string{"vda": "/var/lib/libvirt/images/web-1-" + name + ".qcow2"}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSweepCreate(t *testing.T) {
	swept(t, func(t testing.TB, f *hvtest.Fake, uuid string) { f.WriteDisk(uuid, "vda", "now") },
		func(ctx context.Context, front *fleet.Fleet, vm domain.VM, _ []domain.Snapshot) (domain.Job, error) {
			return front.TakeSnapshot(ctx, fleettest.Actor, vm.ID, domain.SnapshotSpec{Name: "one", Memory: true, Kind: domain.SnapshotExternal}, "")
		}, func(t testing.TB, f *hvtest.Fake, vm domain.VM, job domain.Job) {
			want, files := "one*", 3
			if job.State == domain.JobUndone {
				want, files = "", 1
			}
			if tree(f, vm.UUID) != want || len(f.AllVolumes()) != files || f.ReadDisk(vm.UUID, "vda") != "now" {
				t.Errorf("%s: %q, %d files, the disk reads %q", job.State, tree(f, vm.UUID), len(f.AllVolumes()), f.ReadDisk(vm.UUID, "vda"))
			}
		})
}

func revertSweep(t *testing.T, spec hv.SnapshotSpec, safety bool) {
	swept(t, func(t testing.TB, f *hvtest.Fake, uuid string) {
		f.WriteDisk(uuid, "vda", "then")
		f.SetMemory(uuid, "thoughts then")
		must(t, f.CreateSnapshot(t.Context(), uuid, spec))
		f.WriteDisk(uuid, "vda", "now")
		f.SetMemory(uuid, "thoughts now")
	}, func(ctx context.Context, front *fleet.Fleet, vm domain.VM, all []domain.Snapshot) (domain.Job, error) {
		return front.RevertSnapshot(ctx, fleettest.Actor, vm.ID, all[0].ID, safety, "")
	}, func(t testing.TB, f *hvtest.Fake, vm domain.VM, job domain.Job) {
		want := "then"
		if job.State == domain.JobUndone {
			want = "now"
		}
		g, _ := fleettest.Guest(f, "web-1")
		if got := f.ReadDisk(vm.UUID, "vda"); got != want || g.State != domain.VMRunning {
			t.Errorf("%s: the disk reads %q, want %q; it is %s", job.State, got, want, g.State)
		}
		names := tree(f, vm.UUID)
		if !strings.Contains(names, spec.Name) {
			t.Errorf("%s: the snapshot itself is gone: %s", job.State, names)
		}
		if got := strings.Contains(names, "before-"); got != (safety && job.State == domain.JobSucceeded) {
			t.Errorf("%s: the tree is %s", job.State, names)
		}
		if job.State == domain.JobUndone && names != spec.Name+"*" {
			t.Errorf("the tree is not as before: %s", names)
		}
		if spec.Kind == domain.SnapshotExternal {
			files := 2
			if safety && job.State == domain.JobSucceeded {
				files = 3
			}
			if len(f.AllVolumes()) != files {
				t.Errorf("%s: %+v", job.State, f.AllVolumes())
			}
		}
	})
}

func TestSweepRevertExternal(t *testing.T) { revertSweep(t, outside("one"), false) }

func TestSweepRevertExternalSafely(t *testing.T) { revertSweep(t, outside("one"), true) }

func TestSweepRevertInternal(t *testing.T) {
	revertSweep(t, hv.SnapshotSpec{Name: "one", Kind: domain.SnapshotInternal, Memory: true}, false)
}

func TestSweepRevertInternalSafely(t *testing.T) {
	revertSweep(t, hv.SnapshotSpec{Name: "one", Kind: domain.SnapshotInternal, Memory: true}, true)
}

func TestSweepDelete(t *testing.T) {
	swept(t, func(t testing.TB, f *hvtest.Fake, uuid string) {
		for _, n := range []string{"one", "two", "three"} {
			must(t, f.CreateSnapshot(t.Context(), uuid, outside(n)))
			f.WriteDisk(uuid, "vda", "after "+n)
		}
	}, func(ctx context.Context, front *fleet.Fleet, vm domain.VM, all []domain.Snapshot) (domain.Job, error) {
		return front.DeleteSnapshots(ctx, fleettest.Actor, vm.ID, []string{all[0].ID, all[1].ID}, fleet.ChildrenKeep, "")
	}, func(t testing.TB, f *hvtest.Fake, vm domain.VM, job domain.Job) {
		want, files := "three*", 2
		if job.State == domain.JobUndone {
			want, files = "one three* two", 4
		}
		if tree(f, vm.UUID) != want || len(f.AllVolumes()) != files || f.ReadDisk(vm.UUID, "vda") != "after three" {
			t.Errorf("%s: %q, %d files, the disk reads %q", job.State, tree(f, vm.UUID), len(f.AllVolumes()), f.ReadDisk(vm.UUID, "vda"))
		}
	})
}

func TestSweepFromSnapshot(t *testing.T) {
	swept(t, func(t testing.TB, f *hvtest.Fake, uuid string) {
		f.WriteDisk(uuid, "vda", "then")
		must(t, f.CreateSnapshot(t.Context(), uuid, outside("one")))
		f.WriteDisk(uuid, "vda", "now")
	}, func(ctx context.Context, front *fleet.Fleet, vm domain.VM, all []domain.Snapshot) (domain.Job, error) {
		return front.CloneSnapshot(ctx, fleettest.Actor, vm.ID, all[0].ID, "copy", "")
	}, func(t testing.TB, f *hvtest.Fake, vm domain.VM, job domain.Job) {
		g, ok := fleettest.Guest(f, "copy")
		if ok != (job.State == domain.JobSucceeded) || ok && f.ReadDisk(g.UUID, "vda") != "then" {
			t.Errorf("%s: the copy is there: %v", job.State, ok)
		}
		if files := len(f.AllVolumes()); files != 3 && ok || files != 2 && !ok {
			t.Errorf("%s: %+v", job.State, f.AllVolumes())
		}
		if f.ReadDisk(vm.UUID, "vda") != "now" {
			t.Error("the original was touched")
		}
	})
}

func TestSweepFromInside(t *testing.T) {
	swept(t, func(t testing.TB, f *hvtest.Fake, uuid string) {
		for _, n := range []string{"one", "two"} {
			f.WriteDisk(uuid, "vda", "then "+n)
			must(t, f.CreateSnapshot(t.Context(), uuid, hv.SnapshotSpec{Name: n, Kind: domain.SnapshotInternal, Memory: true}))
		}
		f.WriteDisk(uuid, "vda", "now")
	}, func(ctx context.Context, front *fleet.Fleet, vm domain.VM, all []domain.Snapshot) (domain.Job, error) {
		return front.CloneSnapshot(ctx, fleettest.Actor, vm.ID, all[0].ID, "copy", "")
	}, func(t testing.TB, f *hvtest.Fake, vm domain.VM, job domain.Job) {
		g, ok := fleettest.Guest(f, "copy")
		if ok != (job.State == domain.JobSucceeded) || ok && (f.ReadDisk(g.UUID, "vda") != "then one" || tree(f, g.UUID) != "") {
			t.Errorf("%s: the copy is there: %v, reads %q and has %q", job.State, ok, f.ReadDisk(g.UUID, "vda"), tree(f, g.UUID))
		}
		if files := len(f.AllVolumes()); files != 2 && ok || files != 1 && !ok {
			t.Errorf("%s: %+v", job.State, f.AllVolumes())
		}
		if f.ReadDisk(vm.UUID, "vda") != "now" || tree(f, vm.UUID) != "one two*" {
			t.Errorf("%s: the original reads %q and has %q", job.State, f.ReadDisk(vm.UUID, "vda"), tree(f, vm.UUID))
		}
	})
}
