package provision_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/provision"
	"novacron/jobs/reconcile"
)

func TestDeleteWithDisks(t *testing.T) {
	w, f, _ := fleettest.New(t)
	f.AddVolume(domain.Volume{Pool: "default", Name: "debian.iso", Format: "raw"})
	spec := fleettest.Spec("web-1")
	spec.Disks = append(spec.Disks, domain.Disk{SizeBytes: domain.GiB}, domain.Disk{Device: "cdrom", Source: "/var/lib/libvirt/images/debian.iso"})
	vm := w.Make(t, spec, true)
	plan, err := w.Fleet.DeletePlan(t.Context(), vm.ID)
	if err != nil || !plan.PowerOff || len(plan.Files) != 3 {
		t.Fatalf("plan is %+v (%v)", plan, err)
	}
	for _, file := range plan.Files {
		if file.Goes != (file.Device == "disk") || file.Why == "" {
			t.Errorf("%+v", file)
		}
	}
	job, err := w.Fleet.DeleteVM(t.Context(), fleettest.Actor, vm.ID, fleet.DeleteVM{Disks: true})
	job = w.Succeed(t, job, err)
	var res provision.Result
	if err := json.Unmarshal(job.Result, &res); err != nil || len(res.Deleted) != 2 {
		t.Errorf("result is %s", job.Result)
	}
	if v := f.AllVolumes(); len(v) != 1 || v[0].Name != "debian.iso" {
		t.Errorf("volumes are %+v", v)
	}
	gone(t, w, f)
	w.Free(t, job.Locks...)
}

func TestDeleteWithoutDisksKeepsThem(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	job, err := w.Fleet.DeleteVM(t.Context(), fleettest.Actor, vm.ID, fleet.DeleteVM{})
	w.Succeed(t, job, err)
	gone(t, w, f)
	if len(f.AllVolumes()) != 1 {
		t.Error("the disk went too")
	}
}

func TestDeleteRefusesADiskThatAnotherVMTookMeanwhile(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	f, h := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: false})
	vm := w.VM(t, "web-1")
	job, err := w.Fleet.DeleteVM(t.Context(), fleettest.Actor, vm.ID, fleet.DeleteVM{Disks: true})
	if err != nil {
		t.Fatal(err)
	}
	uuid := f.AddGuest(`<domain type='kvm'><name>thief</name><memory>1024</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os><devices>
		<disk type='file' device='disk'><source file='/var/lib/libvirt/images/web-1.qcow2'/><target dev='vda' bus='virtio'/></disk></devices></domain>`, domain.VMStopped)
	if _, err := w.Rec.Guest(t.Context(), f, h.ID, uuid, reconcile.Cause{}); err != nil {
		t.Fatal(err)
	}
	jobstest.Run(t, w.Engine)
	w.Undone(t, job, nil, domain.Conflict)
	if len(f.AllVolumes()) != 1 || len(f.AllGuests()) != 2 {
		t.Error("something was deleted")
	}
	if got := w.VM(t, "web-1"); got.ID != vm.ID {
		t.Error("the row is another one")
	}
}

func TestSweepDelete(t *testing.T) {
	for name, c := range map[string]struct {
		disks bool
		was   domain.VMState
	}{"with disks": {true, domain.VMRunning}, "without disks": {false, domain.VMRunning}, "saved": {true, domain.VMSaved}} {
		disks := c.disks
		t.Run(name, func(t *testing.T) {
			jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
				w := fleettest.Bare(t, reconcile.Options{})
				f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: true})
				vm := w.VM(t, "web-1")
				if c.was == domain.VMSaved {
					if err := f.Save(t.Context(), vm.UUID); err != nil {
						t.Fatal(err)
					}
				}
				before, _ := fleettest.Guest(f, "web-1")
				return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
					return front.DeleteVM(ctx, fleettest.Actor, vm.ID, fleet.DeleteVM{Disks: disks})
				}, func(t testing.TB, job domain.Job) {
					w.Free(t, job.Locks...)
					if job.State == domain.JobSucceeded {
						gone(t, w, f)
						if left := len(f.AllVolumes()); disks == (left == 1) {
							t.Errorf("%d volumes are left", left)
						}
						return
					}
					g, ok := fleettest.Guest(f, "web-1")
					if !ok || g.XML != before.XML || len(f.AllVolumes()) != 1 {
						t.Errorf("the guest is there: %v, as before: %v; volumes %+v", ok, g.XML == before.XML, f.AllVolumes())
					}
					if g.State != c.was && !(c.was == domain.VMRunning && g.State == domain.VMStopped) {
						t.Errorf("it was %s and is %s", c.was, g.State)
					}
					if row := w.VM(t, "web-1"); row.ID != vm.ID {
						t.Error("the row is another one")
					}
				})
			})
		})
	}
}

func TestDeleteThatIsRefusedLosesNothing(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	if err := f.Save(t.Context(), vm.UUID); err != nil {
		t.Fatal(err)
	}
	w.Until(t, "it is saved", func() bool { return w.VM(t, "web-1").State == domain.VMSaved })
	f.Fail("Undefine", domain.Errorf(domain.Conflict, "It has checkpoints."), 9)
	job, err := w.Fleet.DeleteVM(t.Context(), fleettest.Actor, vm.ID, fleet.DeleteVM{Disks: true})
	w.Undone(t, job, err, domain.Conflict)
	if g, ok := fleettest.Guest(f, "web-1"); !ok || g.State != domain.VMSaved || len(f.AllVolumes()) != 1 {
		t.Errorf("%v %s, volumes %+v", ok, g.State, f.AllVolumes())
	}
}

func TestCloneCopiesDisksAndSharesImages(t *testing.T) {
	w, f, _ := fleettest.New(t)
	f.AddVolume(domain.Volume{Pool: "default", Name: "debian.iso", Format: "raw"})
	spec := fleettest.Spec("web-1")
	spec.Disks = append(spec.Disks, domain.Disk{SizeBytes: domain.GiB, Format: "raw"}, domain.Disk{Device: "cdrom", Source: "/var/lib/libvirt/images/debian.iso"})
	vm := w.Make(t, spec, false)
	job, err := w.Fleet.CloneVM(t.Context(), fleettest.Actor, vm.ID, fleet.CloneVM{Name: "web-2"})
	job = w.Succeed(t, job, err)
	copied := w.VM(t, "web-2")
	if copied.ID != job.Resource.ID || copied.Creating || copied.UUID == vm.UUID || copied.Config.NICs[0].MAC == vm.Config.NICs[0].MAC {
		t.Errorf("the copy is %+v", copied)
	}
	var names []string
	for _, v := range f.AllVolumes() {
		names = append(names, v.Name)
	}
	if want := []string{"debian.iso", "web-1-1.img", "web-1.qcow2", "web-2-1.img", "web-2.qcow2"}; !slices.Equal(names, want) {
		t.Errorf("volumes are %v, want %v", names, want)
	}
	for i, d := range copied.Config.Disks {
		if shared := d.Source == vm.Config.Disks[i].Source && d.Volume == vm.Config.Disks[i].Volume; shared != (d.Device == "cdrom") {
			t.Errorf("disk %+v of the copy, %+v of the original", d, vm.Config.Disks[i])
		}
	}
	w.Free(t, job.Locks...)
}

func TestSweepClone(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("old"), Start: false})
		vm := w.VM(t, "old")
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.CloneVM(ctx, fleettest.Actor, vm.ID, fleet.CloneVM{Name: "web-1"})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			if row := w.VM(t, "old"); row.ID != vm.ID || row.Version != vm.Version {
				t.Error("the original was touched")
			}
			row, ok := w.Find(t, "web-1")
			_, there := fleettest.Guest(f, "web-1")
			made := job.State == domain.JobSucceeded
			if ok != made || there != made || len(f.AllVolumes()) != map[bool]int{true: 2, false: 1}[made] || row.Creating {
				t.Errorf("%s: row %v, guest %v, volumes %+v", job.State, ok, there, f.AllVolumes())
			}
		})
	})
}

func TestSweepRename(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("old"), Start: false})
		vm := w.VM(t, "old")
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.RenameVM(ctx, fleettest.Actor, vm.ID, "new", "")
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			want := "old"
			if job.State == domain.JobSucceeded {
				want = "new"
			}
			if row := w.VM(t, want); row.ID != vm.ID || len(f.AllGuests()) != 1 || f.AllGuests()[0].Name != want {
				t.Errorf("row %s, guests %+v", row.Name, f.AllGuests())
			}
		})
	})
}
