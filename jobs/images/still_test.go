package images_test

import (
	"context"
	"strings"
	"testing"

	"novacron/db"
	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/images/imagetest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

// running gives a VM that runs, whose disk's file is an image and on whose disk a guest wrote.
func running(t testing.TB, f *hvtest.Fake, vm domain.VM) []byte {
	t.Helper()
	img := imagetest.QCOW2(10<<30, []byte("mine"))
	f.SetContent("default", "web-1.qcow2", img)
	f.WriteDisk(vm.UUID, "vda", "before")
	return img
}

// asBefore checks that the VM runs in its own disk again, with what it wrote, and that nothing was left.
func asBefore(t testing.TB, w *fleettest.World, f *hvtest.Fake, vm domain.VM, snapshots ...string) {
	t.Helper()
	clean(t, w, f, "web-1.qcow2")
	g, _ := fleettest.Guest(f, "web-1")
	var have []string
	for _, s := range f.AllSnapshots(vm.UUID) {
		have = append(have, s.Name)
	}
	if g.Live == nil || g.Live.Disks[0].Source != vm.Config.Disks[0].Source || f.ReadDisk(vm.UUID, "vda") != "before" || strings.Join(have, " ") != strings.Join(snapshots, " ") {
		t.Errorf("it runs on %+v, which reads %q, with the snapshots %+v", g.Live, f.ReadDisk(vm.UUID, "vda"), have)
	}
}

func versions(t testing.TB, w *fleettest.World) []domain.ImageVersion {
	t.Helper()
	page, err := w.DB.Images(t.Context(), db.ImageQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var out []domain.ImageVersion
	for _, i := range page.Items {
		out = append(out, i.Versions...)
	}
	return out
}

func TestFromAVMThatRuns(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	img := running(t, f, vm)
	v, job, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "mine", VMID: vm.ID})
	job = w.Succeed(t, job, err)
	if v, err = w.DB.ImageVersion(t.Context(), v.ID); err != nil || v.SHA256 != sum(img) || v.Source.ID != vm.ID {
		t.Errorf("the version is %+v, %v", v, err)
	}
	if made, err := w.DB.ImageMadeOf(t.Context(), vm.ID, "vda"); err != nil || made.ID != v.ID {
		t.Errorf("made of it was %+v, %v", made, err)
	}
	if made, err := w.DB.ImageMadeOf(t.Context(), vm.ID, "vdb"); !domain.Is(err, domain.NotFound) {
		t.Errorf("made of another disk was %+v, %v", made, err)
	}
	asBefore(t, w, f, vm)
	var steps []string
	for _, s := range job.Steps {
		steps = append(steps, s.Name)
	}
	if got := strings.Join(steps, ", "); !strings.Contains(got, "hold the disk still, read the disk, merge what was written meanwhile") {
		t.Errorf("the steps are %s", got)
	}
}

func TestAnImageHoldsNoSnapshots(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	running(t, f, vm)
	take, err := w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, vm.ID, domain.SnapshotSpec{Name: "one", Kind: domain.SnapshotInternal, Memory: true}, "")
	w.Succeed(t, take, err)
	_, job, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "mine", VMID: vm.ID})
	job = w.Succeed(t, job, err)
	flat := false
	for _, s := range job.Steps {
		flat = flat || s.Name == "make one file of it on its host"
	}
	if !flat {
		t.Errorf("what is inside the disk came along: %+v", job.Steps)
	}
	clean(t, w, f, "web-1.qcow2")
	if got := f.AllSnapshots(vm.UUID); len(got) != 1 || got[0].Name != "one" {
		t.Errorf("the snapshots are %+v", got)
	}
}

func TestWhatWasCopiedMayBeTorn(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	running(t, f, vm)
	release := f.Hang("ReadVolume.data")
	_, job, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "mine", VMID: vm.ID})
	w.Until(t, "the disk is being read", func() bool { return f.Calls("ReadVolume") > 0 })
	for _, s := range f.AllSnapshots(vm.UUID) {
		if err := f.DeleteSnapshot(t.Context(), vm.UUID, s.Name, false); err != nil {
			t.Error(err)
		}
	}
	release()
	w.Undone(t, job, err, domain.Conflict)
	if n := len(versions(t, w)); n != 0 {
		t.Errorf("%d versions are left", n)
	}
	asBefore(t, w, f, vm)
}

func TestSweepFromAVMThatRuns(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: true})
		vm := w.VM(t, "web-1")
		img := running(t, f, vm)
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			_, job, err := front.NewImageVersion(ctx, fleettest.Actor, fleet.NewImage{Name: "mine", VMID: vm.ID})
			return job, err
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			asBefore(t, w, f, vm)
			all := versions(t, w)
			if made := job.State == domain.JobSucceeded; made != (len(all) == 1) || made && all[0].SHA256 != sum(img) {
				t.Errorf("%s: %+v", job.State, all)
			}
		})
	})
}
