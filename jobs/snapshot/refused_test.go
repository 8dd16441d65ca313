package snapshot_test

import (
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
)

// asked are the calls that a host gets from what is done with snapshots.
var asked = []string{"Snapshots", "Guest", "Volume", "VolumeByPath", "CreateVolume", "DeleteVolume", "CreateSnapshot", "RevertSnapshot", "DeleteSnapshot", "DefineXML", "DefineSnapshot",
	"SnapshotDefinition", "Stop", "Start"}

// A host that refuses any one call, before or after it did it, leaves the VM as it was or as it was to become, and never in between. What is stuck goes on when it is tried again.
func TestWhatTheHostRefusesOnce(t *testing.T) {
	external := func(name string) domain.SnapshotSpec {
		return domain.SnapshotSpec{Name: name, Kind: domain.SnapshotExternal}
	}
	internal := domain.SnapshotSpec{Name: "one", Kind: domain.SnapshotInternal, Memory: true}
	prepare := func(specs ...domain.SnapshotSpec) func(b *bench) {
		return func(b *bench) {
			b.f.WriteDisk(b.vm.UUID, "vda", "then")
			for _, s := range specs {
				b.take(s)
			}
			b.f.WriteDisk(b.vm.UUID, "vda", "now")
		}
	}
	for name, flow := range map[string]struct {
		prepare    func(b *bench)
		ask        func(b *bench) (domain.Job, error)
		now, after string // the tree
		disk       string // what the disk reads afterwards; "now" before
		copy       bool   // a VM called copy is there afterwards
	}{
		"take": {prepare(), func(b *bench) (domain.Job, error) {
			return b.w.Fleet.TakeSnapshot(b.Context(), fleettest.Actor, b.vm.ID, domain.SnapshotSpec{Name: "one", Kind: domain.SnapshotExternal, Memory: true}, "")
		}, "", "one*", "now", false},
		"revert outside": {prepare(external("one")), func(b *bench) (domain.Job, error) {
			return b.w.Fleet.RevertSnapshot(b.Context(), fleettest.Actor, b.vm.ID, b.get("one").ID, false, "")
		}, "one*", "one*", "then", false},
		"revert inside": {prepare(internal), func(b *bench) (domain.Job, error) {
			return b.w.Fleet.RevertSnapshot(b.Context(), fleettest.Actor, b.vm.ID, b.get("one").ID, false, "")
		}, "one*", "one*", "then", false},
		"delete": {prepare(external("one"), external("two")), func(b *bench) (domain.Job, error) {
			return b.w.Fleet.DeleteSnapshots(b.Context(), fleettest.Actor, b.vm.ID, []string{b.get("one").ID}, fleet.ChildrenKeep, "")
		}, "one two*", "two*", "now", false},
		"clone": {prepare(external("one")), func(b *bench) (domain.Job, error) {
			return b.w.Fleet.CloneSnapshot(b.Context(), fleettest.Actor, b.vm.ID, b.get("one").ID, "copy", "")
		}, "one*", "one*", "now", true},
	} {
		run := func(t *testing.T, fault func(f *hvtest.Fake)) (used []string) {
			b := newBench(t, true)
			flow.prepare(b)
			before := map[string]int{}
			for _, op := range asked {
				before[op] = b.f.Calls(op)
			}
			fault(b.f)
			job, err := flow.ask(b)
			if err != nil {
				t.Fatal(fleettest.Detail(err))
			}
			if job, err = b.w.Engine.Wait(t.Context(), job.ID); err != nil {
				t.Fatal(err)
			}
			b.f.Clear()
			if job.State == domain.JobStuck {
				if job.Help == "" {
					t.Errorf("it is stuck and says nothing of what to do: %+v", job.Error)
				}
				if err := b.w.Engine.Retry(t.Context(), job.ID, fleettest.Actor); err != nil {
					t.Fatal(err)
				}
				if job, err = b.w.Engine.Wait(t.Context(), job.ID); err != nil {
					t.Fatal(err)
				}
			}
			tree1, disk := flow.after, flow.disk
			switch job.State {
			case domain.JobSucceeded:
			case domain.JobUndone:
				tree1, disk = flow.now, "now"
			default:
				t.Fatalf("it is %s: %+v", job.State, job.Error)
			}
			if got := tree(b.f, b.vm.UUID); got != tree1 {
				t.Errorf("%s: the tree is %q, want %q", job.State, got, tree1)
			}
			if got := b.f.ReadDisk(b.vm.UUID, "vda"); got != disk {
				t.Errorf("%s: the disk reads %q, want %q", job.State, got, disk)
			}
			if _, ok := fleettest.Guest(b.f, "copy"); ok != (flow.copy && job.State == domain.JobSucceeded) {
				t.Errorf("%s: the copy is there: %v", job.State, ok)
			}
			for _, op := range asked {
				if b.f.Calls(op) > before[op] {
					used = append(used, op)
				}
			}
			return used
		}
		t.Run(name, func(t *testing.T) {
			no := domain.Errorf(domain.Conflict, "The host will not.")
			used := run(t, func(*hvtest.Fake) {})
			for _, op := range used {
				t.Run(op, func(t *testing.T) { run(t, func(f *hvtest.Fake) { f.Fail(op, no, 1) }) })
				t.Run(op+" after", func(t *testing.T) { run(t, func(f *hvtest.Fake) { f.FailAfter(op, no, 1) }) })
			}
		})
	}
}
