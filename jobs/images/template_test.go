package images_test

import (
	"context"
	"encoding/json"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/images"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

// A VM that runs becomes a template in one go, and a VM of the template begins as what was on the disk.
func TestATemplateOfAVMThatRuns(t *testing.T) {
	w, f, _ := fleettest.New(t)
	spec := fleettest.Spec("web-1")
	spec.Disks = append(spec.Disks, domain.Disk{SizeBytes: 2 * domain.GiB})
	vm := w.Make(t, spec, true)
	img := running(t, f, vm)
	job, err := w.Fleet.MakeTemplate(t.Context(), fleettest.Actor, vm.ID, fleet.MakeTemplate{Name: "web", Description: "Fronts."})
	job = w.Succeed(t, job, err)
	var res images.TemplateResult
	if err := json.Unmarshal(job.Result, &res); err != nil || res.TemplateID != job.Resource.ID || res.Template != "web@1" || res.SHA256 != sum(img) {
		t.Errorf("the job left %s, %v", job.Result, err)
	}
	tmpl, err := w.DB.Template(t.Context(), "web")
	if err != nil || tmpl.ID != res.TemplateID || tmpl.Description != "Fronts." || len(tmpl.Versions) != 1 {
		t.Fatalf("the template is %+v, %v", tmpl, err)
	}
	v := tmpl.Versions[0]
	if d := v.Spec.Disks; len(d) != 2 || d[0].Image != res.Ref || d[1].Image != "" || d[1].SizeBytes != 2*domain.GiB || v.Spec.VCPUs != 2 || v.Spec.NICs[0].MAC != "" {
		t.Errorf("its VMs are %+v", v.Spec)
	}
	g, _ := fleettest.Guest(f, "web-1")
	if g.Live == nil || g.Live.Disks[0].Source != vm.Config.Disks[0].Source || f.ReadDisk(vm.UUID, "vda") != "before" || len(f.AllSnapshots(vm.UUID)) != 0 {
		t.Errorf("the VM runs on %+v", g.Live)
	}
	made, err := w.Fleet.InstantiateTemplate(t.Context(), fleettest.Actor, fleet.Instantiate{Template: "web", Name: "web-2"})
	w.Succeed(t, made, err)
	if of, err := w.DB.ImagesOfVM(t.Context(), w.VM(t, "web-2").ID); err != nil || len(of) != 1 || of[0].Ref() != res.Ref {
		t.Errorf("web-2 began as %+v, %v", of, err)
	}
	for what, name := range map[string]string{"a name in use": "web", "no name": ""} {
		if _, err := w.Fleet.MakeTemplate(t.Context(), fleettest.Actor, vm.ID, fleet.MakeTemplate{Name: name}); !domain.Is(err, domain.Conflict) && !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := len(versions(t, w)); n != 1 {
		t.Errorf("what was refused left %d versions", n)
	}
}

// A VM without a disk of its own becomes its hardware, with no image.
func TestATemplateOfADisklessVM(t *testing.T) {
	w, _, _ := fleettest.New(t)
	spec := fleettest.Spec("bare")
	spec.Disks = nil
	vm := w.Make(t, spec, false)
	job, err := w.Fleet.MakeTemplate(t.Context(), fleettest.Actor, vm.ID, fleet.MakeTemplate{Name: "bare"})
	w.Succeed(t, job, err)
	if tmpl, err := w.DB.Template(t.Context(), "bare"); err != nil || len(tmpl.Versions[0].Spec.Disks) != 0 || tmpl.Versions[0].Changelog != "Made of bare." {
		t.Errorf("the template is %+v, %v", tmpl, err)
	}
	if n := len(versions(t, w)); n != 0 {
		t.Errorf("there are %d images", n)
	}
}

// A name that was taken while the disk was read takes everything back.
func TestATemplateWhoseNameIsTakenMeanwhile(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	running(t, f, vm)
	release := f.Hang("ReadVolume.data")
	job, err := w.Fleet.MakeTemplate(t.Context(), fleettest.Actor, vm.ID, fleet.MakeTemplate{Name: "web"})
	w.Until(t, "the disk is being read", func() bool { return f.Calls("ReadVolume") > 0 })
	if _, err := w.Fleet.NewTemplateVersion(t.Context(), fleettest.Actor, fleet.NewTemplate{Name: "web", Spec: fleettest.Spec("")}); err != nil {
		t.Error(fleettest.Detail(err))
	}
	release()
	w.Undone(t, job, err, domain.Conflict)
	if n := len(versions(t, w)); n != 0 {
		t.Errorf("%d versions are left", n)
	}
	if tmpl, err := w.DB.Template(t.Context(), "web"); err != nil || tmpl.ID == job.Resource.ID {
		t.Errorf("the template is %+v, %v", tmpl, err)
	}
	asBefore(t, w, f, vm)
}

func TestSweepATemplateOfAVMThatRuns(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: true})
		vm := w.VM(t, "web-1")
		running(t, f, vm)
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.MakeTemplate(ctx, fleettest.Actor, vm.ID, fleet.MakeTemplate{Name: "web"})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			asBefore(t, w, f, vm)
			_, err := w.DB.Template(t.Context(), "web")
			if made := job.State == domain.JobSucceeded; made != (err == nil) || made != (len(versions(t, w)) == 1) {
				t.Errorf("%s: the template %v, the images %+v", job.State, err, versions(t, w))
			}
		})
	})
}
