package cpus_test

import (
	"encoding/json"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
)

func TestABaselineThatAllHostsCanGive(t *testing.T) {
	w, a, ha := fleettest.New(t)
	b, hb := w.Host(t, "b", hvtest.FakeOptions{})
	a.SetCPU("EPYC-Milan", "aes", "vaes")
	b.SetCPU("EPYC-Rome", "aes")
	ask := func(accel domain.Accel, hosts ...string) (domain.CPUBaseline, domain.Job) {
		t.Helper()
		job, err := w.Fleet.CPUBaseline(t.Context(), fleettest.Actor, hosts, accel, "")
		job = w.Succeed(t, job, err)
		var out domain.CPUBaseline
		if err := json.Unmarshal(job.Result, &out); err != nil {
			t.Fatal(err)
		}
		return out, job
	}
	got, _ := ask("", ha.ID, "b", "b")
	if got.Model != "EPYC-Rome" || len(got.Features) != 1 || got.Features[0].Name != "aes" || got.Accel != domain.AccelKVM || len(got.Hosts) != 2 ||
		got.Hosts[0] != (domain.CPUHost{ID: ha.ID, Name: "a", Model: "EPYC-Milan", Match: domain.CPUSuperset}) || got.Hosts[1].Match != domain.CPUIdentical {
		t.Errorf("%+v", got)
	}
	if alone, _ := ask(domain.AccelTCG, hb.ID); alone.Model != "EPYC-Rome" || alone.Accel != domain.AccelTCG {
		t.Errorf("%+v", alone)
	}
	// It becomes a VM's own.
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	job, err := w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, 0, got.Change(), "")
	w.Succeed(t, job, err)
	if now := w.VM(t, "web-1").Config; now.CPU != "EPYC-Rome" || len(now.CPUFeatures) != 1 {
		t.Errorf("the VM has %s with %+v", now.CPU, now.CPUFeatures)
	}
}

func TestNoBaseline(t *testing.T) {
	w, a, ha := fleettest.New(t)
	b, hb := w.Host(t, "b", hvtest.FakeOptions{})
	for what, c := range map[string]struct {
		hosts []string
		accel domain.Accel
	}{"no hosts": {nil, ""}, "a host that is not there": {[]string{"c"}, ""}, "no such way to run": {[]string{"a"}, "magic"}} {
		if _, err := w.Fleet.CPUBaseline(t.Context(), fleettest.Actor, c.hosts, c.accel, ""); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	fails := func(what string, code domain.Code) {
		t.Helper()
		job, err := w.Fleet.CPUBaseline(t.Context(), fleettest.Actor, []string{ha.ID, hb.ID}, "", "")
		if job = w.Wait(t, job, err); job.State != domain.JobUndone || job.Error == nil || job.Error.Code != code {
			t.Errorf("%s: %s %+v", what, job.State, job.Error)
		}
	}
	b.SetCPU("Sparc")
	fails("nothing in common", domain.Conflict)
	b.SetCPU("EPYC")
	a.Fail("HostCPU", domain.Errorf(domain.Unsupported, "The host does not tell."), 1)
	fails("a host that does not tell", domain.Unsupported)
	// The first host's proposal may be too new for the other; the other's own then counts.
	a.Fail("BaselineCPU", domain.Errorf(domain.Conflict, "It cannot."), 1)
	job, err := w.Fleet.CPUBaseline(t.Context(), fleettest.Actor, []string{ha.ID, hb.ID}, "", "")
	w.Succeed(t, job, err)
	a.Fail("CompareCPU", domain.Errorf(domain.Unsupported, "It cannot."), 1)
	fails("a host that cannot compare", domain.Unsupported)
}

// A guest that runs with a processor that the target cannot give is refused before it moves; one of a baseline of both goes.
func TestAMoveComparesProcessors(t *testing.T) {
	w, a, ha := fleettest.New(t)
	b, hb := w.Host(t, "b", hvtest.FakeOptions{})
	a.Reach("qemu+tcp://b/system", b)
	a.SetCPU("EPYC-Milan", "aes")
	b.SetCPU("EPYC")
	spec := fleettest.Spec("web-1")
	spec.CPU = "EPYC-Milan"
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec, Host: ha.ID, Start: true})
	w.Succeed(t, job, err)
	vm := w.VM(t, "web-1")
	level := func() (domain.CheckLevel, string) {
		t.Helper()
		targets, err := w.Fleet.Forecast(t.Context(), fleettest.Actor, vm.ID, []string{hb.ID}, fleet.MigrateVM{})
		if err != nil || len(targets) != 1 {
			t.Fatalf("%+v (%v)", targets, err)
		}
		for _, c := range targets[0].Checks {
			if c.Name == "cpu" {
				return c.Level, c.Message + " " + c.Fix
			}
		}
		return "", ""
	}
	if got, words := level(); got != domain.CheckFail {
		t.Errorf("a processor that it cannot give: %s %s", got, words)
	}
	b.SetCPU("EPYC-Milan", "aes")
	vm = w.VM(t, "web-1")
	if got, words := level(); got != domain.CheckFail { // what was answered is kept for a minute
		t.Errorf("asked again at once: %s %s", got, words)
	}
	b.SetCPU("EPYC")
	job, err = w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: hb.ID})
	if err == nil {
		job = w.Wait(t, job, nil)
	}
	if err == nil && job.State != domain.JobUndone {
		t.Errorf("it moved: %+v", job)
	}
	if _, on := fleettest.Guest(a, "web-1"); !on {
		t.Error("it is gone from its host")
	}
}
