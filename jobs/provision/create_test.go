package provision_test

import (
	"context"
	"encoding/json"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/provision"
	"novacron/jobs/reconcile"
)

func TestCreateMakesVolumeDefinitionAndRow(t *testing.T) {
	w, f, h := fleettest.New(t)
	spec := fleettest.Spec("web-1")
	spec.Disks = append(spec.Disks, domain.Disk{SizeBytes: domain.GiB, Format: "raw"}, domain.Disk{Device: "cdrom"})
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec, Host: "any", Start: true, Tags: []string{"ci"}, Notes: "n", Key: "k1"})
	if err != nil {
		t.Fatal(fleettest.Detail(err))
	}
	if vm, ok := w.Find(t, "web-1"); !ok || vm.Config.UUID == "" {
		t.Fatal("the row is not there at once")
	}
	again, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec, Host: "any", Start: true, Key: "k1"})
	if err != nil || again.ID != job.ID {
		t.Fatalf("the second submit of one form made %s (%v), not %s", again.ID, err, job.ID)
	}
	job = w.Succeed(t, job, nil)
	vm := w.VM(t, "web-1")
	if vm.Creating || vm.State != domain.VMRunning || vm.HostID != h.ID || vm.ID != job.Resource.ID || len(vm.Tags) != 1 || vm.Notes != "n" || vm.Live == nil {
		t.Errorf("row is %+v", vm)
	}
	var res provision.Result
	if err := json.Unmarshal(job.Result, &res); err != nil || res.VMID != vm.ID || len(res.Notes) == 0 {
		t.Errorf("result is %s (%v)", job.Result, err)
	}
	vols := f.AllVolumes()
	if len(vols) != 2 || vols[0].Name != "web-1-1.img" || vols[1].Name != "web-1.qcow2" {
		t.Errorf("volumes are %+v", vols)
	}
	rows, err := w.DB.Volumes(t.Context(), h.ID, "")
	if err != nil || len(rows) != 2 {
		t.Errorf("volume rows are %+v (%v): the plan of a deletion right after would miss them", rows, err)
	}
	w.Free(t, append(job.Locks, vm.ID)...)
	evs := w.Events(t, vm.ID)
	if evs[0].Actor != fleettest.Actor || evs[0].Kind != "vm.created" {
		t.Errorf("first event is %+v", evs[0])
	}
	for _, ev := range evs {
		if ev.Actor != fleettest.Actor {
			t.Errorf("%q is ascribed to %s, though a job did it", ev.Message, ev.Actor)
		}
	}
}

func TestCreateLeavesWhatWasThere(t *testing.T) {
	for _, known := range []bool{true, false} {
		w, f, h := fleettest.New(t)
		f.AddVolume(domain.Volume{Pool: "default", Name: "web-1.qcow2", Format: "qcow2", CapacityBytes: 7})
		if known { // mirrored: refused at once; unknown: found by the job
			if err := w.Rec.Inventory(t.Context(), f, h.ID, reconcile.Cause{}); err != nil {
				t.Fatal(err)
			}
		}
		job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1")})
		if known {
			if !domain.Is(err, domain.Conflict) {
				t.Errorf("refused with %v", err)
			}
		} else {
			job = w.Undone(t, job, err, domain.Conflict)
			if job.Error.Message != "/var/lib/libvirt/images/web-1.qcow2 exists already and was left as it is." {
				t.Errorf("message is %q", job.Error.Message)
			}
		}
		if v := f.AllVolumes(); len(v) != 1 || v[0].CapacityBytes != 7 {
			t.Errorf("volumes are %+v", v)
		}
		if _, ok := w.Find(t, "web-1"); ok || len(f.AllGuests()) != 0 {
			t.Error("something of the VM is left")
		}
	}
}

func TestCreateIsUndoneWhenTheHostRefuses(t *testing.T) {
	for _, op := range []string{"Guest", "CreateVolume", "Define", "Start", "Inventory"} {
		t.Run(op, func(t *testing.T) {
			w, f, _ := fleettest.New(t)
			f.Fail(op, domain.Errorf(domain.Invalid, "libvirt refuses."), 1)
			job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1"), Start: true})
			job = w.Undone(t, job, err, domain.Invalid)
			nothingLeft(t, w, f, job)
		})
	}
}

// A VM that could not be started leaves its name and its disk's name free at once: the host's list is read again when the disk is taken back.
func TestCreateThatWasUndoneCanBeTriedAgain(t *testing.T) {
	w, f, _ := fleettest.New(t)
	f.Fail("Start", domain.Errorf(domain.Conflict, "libvirt refuses."), 1)
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1"), Start: true})
	w.Undone(t, job, err, domain.Conflict)
	if vm := w.Make(t, fleettest.Spec("web-1"), true); vm.State != domain.VMRunning {
		t.Errorf("it is %s", vm.State)
	}
}

func TestCreateRidesOutALostAnswer(t *testing.T) {
	for _, op := range []string{"CreateVolume", "Define", "Start", "Guest"} {
		t.Run(op, func(t *testing.T) {
			w, f, _ := fleettest.New(t)
			f.FailAfter(op, domain.Errorf(domain.Unavailable, "The answer was lost."), 2)
			if vm := w.Make(t, fleettest.Spec("web-1"), true); vm.State != domain.VMRunning || len(f.AllVolumes()) != 1 {
				t.Errorf("it is %s with volumes %+v", vm.State, f.AllVolumes())
			}
		})
	}
}

func TestCreateMakesTheFirstPool(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	w.Run(t)
	f, _ := w.Host(t, "bare", hvtest.FakeOptions{Empty: true})
	spec := fleettest.Spec("web-1")
	spec.NICs = nil
	w.Make(t, spec, false)
	if v := f.AllVolumes(); len(v) != 1 || v[0].Pool != "default" {
		t.Errorf("volumes are %+v", v)
	}
}

func TestCreateCancelledBeforeItBeganLeavesNothing(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	f, _ := w.Adopt(t, "a", hvtest.FakeOptions{})
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1")})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Engine.Cancel(t.Context(), job.ID, fleettest.Actor); err != nil {
		t.Fatal(err)
	}
	job = w.Undone(t, job, nil, domain.Conflict)
	nothingLeft(t, w, f, job)
}

func TestCreateWantsItsSources(t *testing.T) {
	w, f, _ := fleettest.New(t)
	spec := fleettest.Spec("web-1")
	spec.Disks = []domain.Disk{{Pool: "default", Source: "gone.qcow2"}}
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec})
	w.Undone(t, job, err, domain.NotFound)
	f.AddVolume(domain.Volume{Pool: "default", Name: "gone.qcow2", Format: "qcow2", CapacityBytes: domain.GiB})
	vm := w.Make(t, spec, true)
	if vm.State != domain.VMRunning || len(f.AllVolumes()) != 1 {
		t.Errorf("it is %+v", vm)
	}
}

func TestSweepCreate(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{})
		f.AddVolume(domain.Volume{Pool: "default", Name: "other.qcow2", Format: "qcow2", CapacityBytes: 7})
		spec := fleettest.Spec("web-1")
		spec.Disks = append(spec.Disks, domain.Disk{SizeBytes: domain.GiB})
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.CreateVM(ctx, fleettest.Actor, fleet.CreateVM{Spec: spec, Start: true})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			if job.State == domain.JobUndone {
				if v := f.AllVolumes(); len(v) != 1 || v[0].Name != "other.qcow2" {
					t.Errorf("volumes are %+v", v)
				}
				gone(t, w, f)
				return
			}
			vm := w.VM(t, "web-1")
			if job.State != domain.JobSucceeded || vm.State != domain.VMRunning || vm.Creating || len(f.AllVolumes()) != 3 || len(f.AllGuests()) != 1 {
				t.Errorf("%s: %s, creating %v, volumes %+v", job.State, vm.State, vm.Creating, f.AllVolumes())
			}
		})
	})
}

func nothingLeft(t testing.TB, w *fleettest.World, f *hvtest.Fake, job domain.Job) {
	t.Helper()
	if v := f.AllVolumes(); len(v) != 0 {
		t.Errorf("volumes are left: %+v", v)
	}
	gone(t, w, f)
	w.Free(t, job.Locks...)
}

func gone(t testing.TB, w *fleettest.World, f *hvtest.Fake) {
	t.Helper()
	if g := f.AllGuests(); len(g) != 0 {
		t.Errorf("guests are left: %+v", g)
	}
	if vm, ok := w.Find(t, "web-1"); ok {
		t.Errorf("a row is left: %+v", vm)
	}
}
