package fleet_test

import (
	"context"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

// webTemplate is a template of small VMs whose number of vCPUs may be chosen.
func webTemplate(t testing.TB, w *fleettest.World) domain.Template {
	t.Helper()
	tmpl, err := w.Fleet.NewTemplateVersion(t.Context(), fleettest.Actor, fleet.NewTemplate{Name: "web", Spec: fleettest.Spec(""),
		Params: []domain.Parameter{{Name: domain.ParamVCPUs, Type: domain.ParamNumber, Default: "2"}}})
	if err != nil {
		t.Fatal(fleettest.Detail(err))
	}
	return tmpl
}

func TestTemplateMakesVMsAndRollsOut(t *testing.T) {
	w, _, _ := fleettest.New(t)
	tmpl := webTemplate(t, w)
	job, err := w.Fleet.InstantiateTemplate(t.Context(), fleettest.Actor, fleet.Instantiate{Template: tmpl.ID, Name: "web-1", Values: map[string]string{"vcpus": "4"}})
	w.Succeed(t, job, err)
	job, err = w.Fleet.InstantiateTemplate(t.Context(), fleettest.Actor, fleet.Instantiate{Template: "web", Name: "web-2", Pinned: true})
	w.Succeed(t, job, err)
	if a, b := w.VM(t, "web-1"), w.VM(t, "web-2"); a.Config.VCPUs != 4 || b.Config.VCPUs != 2 {
		t.Errorf("vCPUs are %d and %d", a.Config.VCPUs, b.Config.VCPUs)
	}
	for what, req := range map[string]fleet.Instantiate{"no name": {Template: tmpl.ID}, "a value that is no number": {Template: tmpl.ID, Name: "x", Values: map[string]string{"vcpus": "many"}},
		"a parameter that is not there": {Template: tmpl.ID, Name: "x", Values: map[string]string{"colour": "red"}}} {
		if _, err := w.Fleet.InstantiateTemplate(t.Context(), fleettest.Actor, req); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	next := fleettest.Spec("")
	next.MemoryBytes = 2 * domain.GiB
	tmpl, err = w.Fleet.NewTemplateVersion(t.Context(), fleettest.Actor, fleet.NewTemplate{TemplateID: tmpl.ID, Spec: next, Params: tmpl.Versions[0].Params, Changelog: "More memory."})
	if err != nil || len(tmpl.Versions) != 2 || tmpl.Versions[0].Number != 2 {
		t.Fatalf("%+v: %v", tmpl, err)
	}
	_, plan, err := w.Fleet.RolloutPlan(t.Context(), tmpl.ID, 2)
	if err != nil || len(plan) != 2 {
		t.Fatalf("%+v: %v", plan, err)
	}
	for _, r := range plan {
		if (r.Skip == "") != (r.VM.Name == "web-1") {
			t.Errorf("%s: %q", r.VM.Name, r.Skip)
		}
	}
	job, err = w.Fleet.RollOut(t.Context(), fleettest.Actor, tmpl.ID, 2, nil, "")
	w.Succeed(t, job, err)
	if a, b := w.VM(t, "web-1"), w.VM(t, "web-2"); a.Config.MemoryBytes != 2*domain.GiB || a.Config.VCPUs != 4 || b.Config.MemoryBytes != domain.GiB {
		t.Errorf("after the roll-out: %+v, %+v", a.Config, b.Config)
	}
	if _, err := w.Fleet.DeprecateTemplate(t.Context(), fleettest.Actor, tmpl.ID, 1, true); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Fleet.InstantiateTemplate(t.Context(), fleettest.Actor, fleet.Instantiate{Template: tmpl.ID, Number: 1, Name: "web-3"}); !domain.Is(err, domain.Conflict) {
		t.Errorf("of a deprecated version: %v", err)
	}
}

func TestSweepRollOut(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		w.Adopt(t, "a", hvtest.FakeOptions{})
		w.Run(t)
		tmpl := webTemplate(t, w)
		job, err := w.Fleet.InstantiateTemplate(t.Context(), fleettest.Actor, fleet.Instantiate{Template: tmpl.ID, Name: "web-1"})
		w.Succeed(t, job, err)
		w.Stop()
		next := fleettest.Spec("")
		next.MemoryBytes = 2 * domain.GiB
		if _, err := w.Fleet.NewTemplateVersion(t.Context(), fleettest.Actor, fleet.NewTemplate{TemplateID: tmpl.ID, Spec: next, Params: tmpl.Versions[0].Params}); err != nil {
			t.Fatal(err)
		}
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.RollOut(ctx, fleettest.Actor, tmpl.ID, 2, nil, "")
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			vm := w.VM(t, "web-1")
			if m := vm.Config.MemoryBytes; m != domain.GiB && m != 2*domain.GiB || job.State == domain.JobSucceeded && m != 2*domain.GiB {
				t.Errorf("the job is %s and the memory %d", job.State, m)
			}
		})
	})
}
