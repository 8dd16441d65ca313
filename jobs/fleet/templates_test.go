package fleet_test

import (
	"context"
	"strings"
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

// A template carries what the first boot reads, sealed where it is secret, and is written anew, renamed, pinned against and forgotten.
func TestTemplatesCarryTheFirstBoot(t *testing.T) {
	w, _, _ := fleettest.New(t)
	ask := fleet.NewTemplate{Name: "web", Spec: fleettest.Spec(""), Params: []domain.Parameter{{Name: "role", Type: domain.ParamText, Default: "front"}},
		CloudInit: &domain.CloudInit{User: "ops", Password: "correct horse", RunCmd: []string{"echo ${role}"}}, ExecRules: domain.ExecRules{"uptime"}}
	tmpl, err := w.Fleet.NewTemplateVersion(t.Context(), fleettest.Actor, ask)
	if err != nil {
		t.Fatal(fleettest.Detail(err))
	}
	first := tmpl.Versions[0].CloudInit
	if first == nil || first.Password != "" || !strings.HasPrefix(first.PasswordHash, "$6$") || first.RunCmd[0] != "echo ${role}" {
		t.Fatalf("the first boot is %+v", first)
	}
	ask.TemplateID, ask.KeepHash, ask.CloudInit = tmpl.ID, true, &domain.CloudInit{User: "ops"}
	if tmpl, err = w.Fleet.NewTemplateVersion(t.Context(), fleettest.Actor, ask); err != nil || tmpl.Versions[0].CloudInit.PasswordHash != first.PasswordHash {
		t.Errorf("the password was not kept: %v", err)
	}
	job, err := w.Fleet.InstantiateTemplate(t.Context(), fleettest.Actor, fleet.Instantiate{Template: "web", Number: 1, Name: "web-1", Values: map[string]string{"role": "back"}, Key: "k"})
	w.Succeed(t, job, err)
	if again, err := w.Fleet.InstantiateTemplate(t.Context(), fleettest.Actor, fleet.Instantiate{Template: "web", Number: 1, Name: "web-1", Key: "k"}); err != nil || again.ID != job.ID {
		t.Errorf("the same form again: %v", err)
	}
	vm := w.VM(t, "web-1")
	seed, has, err := w.Fleet.CloudInit(t.Context(), vm.ID)
	if err != nil || !has || seed.Content.CloudInit.RunCmd[0] != "echo back" {
		t.Errorf("its seed is %+v: %v", seed.Content.CloudInit, err)
	}
	if rules, err := w.DB.ExecRules(t.Context(), vm.ID); err != nil || len(rules) != 1 {
		t.Errorf("its rules are %v: %v", rules, err)
	}
	for what, bad := range map[string]fleet.NewTemplate{
		"a key":     {Name: "x", Spec: fleettest.Spec(""), CloudInit: &domain.CloudInit{SSHKeys: []string{"no key"}}},
		"user data": {Name: "x", Spec: fleettest.Spec(""), CloudInit: &domain.CloudInit{UserData: "#cloud-config\npackags: []\n"}},
		"a name":    {Name: "X Y", Spec: fleettest.Spec("")},
		"an image":  {Name: "x", Spec: domain.VMSpec{VCPUs: 1, MemoryBytes: domain.GiB, Disks: []domain.Disk{{Image: "none"}}}},
	} {
		if _, err := w.Fleet.NewTemplateVersion(t.Context(), fleettest.Actor, bad); !domain.Is(err, domain.Invalid) {
			t.Errorf("wrong by %s: %v", what, err)
		}
	}
	for _, on := range []bool{true, false} {
		if err := w.Fleet.PinVM(t.Context(), fleettest.Actor, vm.ID, on); err != nil {
			t.Error(err)
		}
		if m, _, err := w.DB.TemplateOfVM(t.Context(), vm.ID); err != nil || m.Pinned != on {
			t.Errorf("pinned %v: %+v, %v", on, m, err)
		}
	}
	spec, err := w.Fleet.TemplateFromVM(t.Context(), vm.ID, "debian")
	if err != nil || spec.Name != "" || spec.Disks[0].Image != "debian" || spec.Disks[0].Source != "" || spec.NICs != nil && spec.NICs[0].MAC != "" {
		t.Errorf("a template like it is %+v: %v", spec, err)
	}
	name, text, wrong := "shop", "Fronts.", "X Y"
	if tmpl, err = w.Fleet.DescribeTemplate(t.Context(), fleettest.Actor, tmpl.ID, tmpl.Version, &name, &text); err != nil || tmpl.Name != name || tmpl.Description != text {
		t.Errorf("%+v: %v", tmpl, err)
	}
	if _, err := w.Fleet.DescribeTemplate(t.Context(), fleettest.Actor, tmpl.ID, 1, &name, nil); !domain.Is(err, domain.Conflict) {
		t.Errorf("two tabs: %v", err)
	}
	if _, err := w.Fleet.DescribeTemplate(t.Context(), fleettest.Actor, tmpl.ID, 0, &wrong, nil); !domain.Is(err, domain.Invalid) {
		t.Errorf("a wrong name: %v", err)
	}
	for n := range 2 {
		if _, err := w.Fleet.DeprecateTemplate(t.Context(), fleettest.Actor, tmpl.ID, n+1, true); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.Fleet.InstantiateTemplate(t.Context(), fleettest.Actor, fleet.Instantiate{Template: "shop", Name: "x"}); !domain.Is(err, domain.Conflict) {
		t.Errorf("of a template that is deprecated as a whole: %v", err)
	}
	if _, err := w.Fleet.DeprecateTemplate(t.Context(), fleettest.Actor, tmpl.ID, 1, false); err != nil {
		t.Error(err)
	}
	if _, err := w.Fleet.TemplateVersion(t.Context(), tmpl.ID, 9); !domain.Is(err, domain.NotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
	if err := w.Fleet.DeleteTemplate(t.Context(), fleettest.Actor, tmpl.ID); err != nil {
		t.Error(err)
	}
	if _, ok, err := w.DB.TemplateOfVM(t.Context(), vm.ID); err != nil || ok {
		t.Errorf("it remembers a template that is gone: %v", err)
	}
}

// The first VM that fails ends a roll-out, and the rest stay as they are.
func TestRollOutStopsAtTheFirstFailure(t *testing.T) {
	w, f, _ := fleettest.New(t)
	tmpl := webTemplate(t, w)
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		job, err := w.Fleet.InstantiateTemplate(t.Context(), fleettest.Actor, fleet.Instantiate{Template: tmpl.ID, Name: name})
		w.Succeed(t, job, err)
	}
	next := fleettest.Spec("")
	next.MemoryBytes = 2 * domain.GiB
	if _, err := w.Fleet.NewTemplateVersion(t.Context(), fleettest.Actor, fleet.NewTemplate{TemplateID: tmpl.ID, Spec: next, Params: tmpl.Versions[0].Params}); err != nil {
		t.Fatal(err)
	}
	f.Fail("Change", domain.Errorf(domain.Invalid, "The host will not."), -1)
	job, err := w.Fleet.RollOut(t.Context(), fleettest.Actor, tmpl.ID, 2, nil, "k")
	job = w.Wait(t, job, err)
	if job.State == domain.JobSucceeded || w.VM(t, "web-2").Config.MemoryBytes != domain.GiB {
		t.Errorf("%s: %+v", job.State, job.Error)
	}
	if again, err := w.Fleet.RollOut(t.Context(), fleettest.Actor, tmpl.ID, 2, nil, "k"); err != nil || again.ID != job.ID {
		t.Errorf("the same form again: %v", err)
	}
	if _, err := w.Fleet.RollOut(t.Context(), fleettest.Actor, tmpl.ID, 1, nil, ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("to where they are: %v", err)
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
