package images_test

import (
	"context"
	"testing"

	"novacron/db"
	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

// idle waits until no job is at work.
func idle(t testing.TB, w *fleettest.World) {
	t.Helper()
	w.Until(t, "no task to be at work", func() bool {
		active, err := w.DB.Jobs(t.Context(), db.JobQuery{Active: true})
		return err == nil && len(active.Items) == 0
	})
}

// Whatever way the last that is built on a frozen disk goes: the disk is an orphan then, says why, can be deleted, and the collector takes it by itself.
func TestAFrozenDiskThatIsLeftOver(t *testing.T) {
	for _, way := range []string{"named", "by policy", "as an orphan"} {
		t.Run(way, func(t *testing.T) {
			w, f, h := fleettest.New(t)
			vm := w.Make(t, fleettest.Spec("web-1"), false)
			job, err := w.Fleet.CloneVM(t.Context(), fleettest.Actor, vm.ID, fleet.CloneVM{Name: "web-2", Linked: true})
			w.Succeed(t, job, err)
			orphans := func() []db.VolumeItem {
				t.Helper()
				if err := w.Rec.Inventory(t.Context(), f, h.ID, reconcile.Cause{}); err != nil {
					t.Fatal(err)
				}
				p, err := w.DB.StorageVolumes(t.Context(), db.VolumeQuery{Orphans: true})
				if err != nil {
					t.Fatal(err)
				}
				return p.Items
			}
			if o := orphans(); len(o) != 0 {
				t.Errorf("orphans while both are there: %+v", o)
			}
			for _, name := range []string{"web-1", "web-2"} { // their disks stay
				job, err := w.Fleet.DeleteVM(t.Context(), fleettest.Actor, w.VM(t, name).ID, fleet.DeleteVM{})
				w.Succeed(t, job, err)
			}
			if n, err := w.Fleet.CollectByPolicy(t.Context()); err != nil || n != 0 {
				t.Errorf("the policy took %d that volumes are built on, %v", n, err)
			}
			for _, o := range orphans() {
				job, err := w.Fleet.DeleteVolume(t.Context(), fleettest.Actor, o.ID, "")
				w.Succeed(t, job, err)
			}
			left := orphans()
			if len(left) != 1 || left[0].BaseOf != "web-1" || left[0].Path != vm.Config.Disks[0].Source {
				t.Fatalf("orphans are %+v", left)
			}
			switch way {
			case "named":
				un, uerr := w.Fleet.UnusedImages(t.Context())
				if uerr != nil || len(un) != 1 || !un[0].Base {
					t.Fatalf("unused are %+v, %v", un, uerr)
				}
				if _, err := w.Fleet.CollectImages(t.Context(), fleettest.Actor, nil, ""); !domain.Is(err, domain.Conflict) {
					t.Errorf("a frozen disk went without being named: %v", err)
				}
				job, err = w.Fleet.CollectImages(t.Context(), fleettest.Actor, []string{un[0].ID}, "")
				w.Succeed(t, job, err)
			case "by policy":
				// A disk that nobody can look into might be built on it.
				uuid := f.AddGuest(`<domain type='kvm'><name>odd</name><memory>1024</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os><devices>
					<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/elsewhere/odd.qcow2'/><target dev='vda' bus='virtio'/></disk></devices></domain>`, domain.VMStopped)
				if n, err := w.Fleet.CollectByPolicy(t.Context()); err != nil || n != 1 {
					t.Fatalf("%d, %v", n, err)
				}
				idle(t, w)
				if vs := f.AllVolumes(); len(vs) != 1 {
					t.Fatalf("left are %+v", vs)
				}
				if _, err := f.Undefine(t.Context(), uuid); err != nil {
					t.Fatal(err)
				}
				if n, err := w.Fleet.CollectByPolicy(t.Context()); err != nil || n != 1 {
					t.Fatalf("%d, %v", n, err)
				}
				idle(t, w)
			default:
				job, err = w.Fleet.DeleteVolume(t.Context(), fleettest.Actor, left[0].ID, "")
				w.Succeed(t, job, err)
			}
			if vs := f.AllVolumes(); len(vs) != 0 {
				t.Errorf("left are %+v", vs)
			}
			if b, err := w.DB.BaseDisks(t.Context()); err != nil || len(b) != 0 {
				t.Errorf("still written down are %+v, %v", b, err)
			}
		})
	}
}

// A VM goes with the last two layers of a chain whose lower ones are frozen: with it go those that are its alone, and no other.
func TestSweepDeleteWithFrozenDisks(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		spec := fleettest.Spec("web-1")
		spec.Disks = []domain.Disk{{Source: "/var/lib/libvirt/images/own.qcow2", Format: "qcow2", Target: "vda"}}
		f, h := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: spec, Start: false})
		var below string
		for _, name := range []string{"first.qcow2", "second.qcow2", "own.qcow2"} {
			f.AddVolume(domain.Volume{Pool: "default", Name: name, Format: "qcow2", CapacityBytes: domain.GiB, Backing: below, BackingFormat: "qcow2"})
			below = "/var/lib/libvirt/images/" + name
		}
		f.AddVolume(domain.Volume{Pool: "default", Name: "lonely.qcow2", Format: "qcow2", CapacityBytes: domain.GiB})
		if err := w.Rec.Inventory(t.Context(), f, h.ID, reconcile.Cause{}); err != nil {
			t.Fatal(err)
		}
		vm := w.VM(t, "web-1")
		vols, err := w.DB.Volumes(t.Context(), h.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.DB.Write(t.Context(), func(tx *db.Tx) error {
			for _, v := range vols {
				if v.Name == "own.qcow2" {
					continue
				}
				if err := tx.InsertBaseDisk(domain.BaseDisk{ID: "base_" + v.Name, HostID: h.ID, PoolID: v.PoolID, Pool: v.Pool, Volume: v.Name, Path: v.Path, Format: "qcow2", OfVM: "golden"}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.DeleteVM(ctx, fleettest.Actor, vm.ID, fleet.DeleteVM{Disks: true})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			bases, err := w.DB.BaseDisks(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if job.State == domain.JobSucceeded {
				clean(t, w, f, "lonely.qcow2")
				if len(bases) != 1 {
					t.Errorf("still written down are %+v", bases)
				}
				return
			}
			clean(t, w, f, "first.qcow2", "lonely.qcow2", "own.qcow2", "second.qcow2")
			if len(bases) != 3 {
				t.Errorf("written down are %+v", bases)
			}
		})
	})
}
