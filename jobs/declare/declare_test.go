package declare_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/domain/desired"
	"novacron/hv/hvtest"
	"novacron/jobs/declare"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

func asked(text string) fleet.Desired {
	return fleet.Desired{Files: []desired.Source{{Name: "estate.yaml", Text: text}}}
}

const small = `owner: team-a
tenants:
  - {name: Team A}
networks:
  - {name: lan, host: a, mode: isolated}
`

// TestSweep breaks an apply everywhere. What it ends as, applying again settles.
func TestSweep(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		w.Adopt(t, "a", hvtest.FakeOptions{})
		return w.Swept(func(ctx context.Context, f *fleet.Fleet) (domain.Job, error) {
			return f.ApplyDesired(ctx, fleettest.Actor, asked(small))
		}, func(t testing.TB, job domain.Job) {
			if job.State == domain.JobSucceeded && job.Error == nil {
				p, err := w.Fleet.PlanDesired(t.Context(), asked(small))
				if err != nil || p.Count(desired.Keep) != 2 {
					t.Errorf("%+v %v", p, err)
				}
			}
			w.Free(t, "apply:team-a")
		})
	})
}

// TestWhatFailsDoesNotHoldUpTheRest applies a VM whose network is not there beside one that is well.
func TestWhatFailsDoesNotHoldUpTheRest(t *testing.T) {
	w, _, _ := fleettest.New(t)
	text := "owner: team-a\nvms:\n" +
		"  - {name: bad, host: a, vcpus: 1, memory_bytes: 64 MiB, nics: [{network: nowhere}]}\n" +
		"  - {name: good, host: a, vcpus: 1, memory_bytes: 64 MiB}\n"
	job, err := w.Fleet.ApplyDesired(t.Context(), fleettest.Actor, asked(text))
	job = w.Succeed(t, job, err)
	var res declare.Result
	if err := json.Unmarshal(job.Result, &res); err != nil {
		t.Fatal(err)
	}
	if len(res.Done) != 1 || res.Done[0] != "vm good" || len(res.Failed) != 1 || !strings.Contains(res.Failed[0].Subject, "bad") || job.Error == nil {
		t.Errorf("%+v %+v", res, job.Error)
	}
	p, err := w.Fleet.PlanDesired(t.Context(), asked(text))
	if err != nil || p.Count(desired.Keep) != 1 || p.Count(desired.Create) != 1 {
		t.Errorf("%+v %v", p, err)
	}
}

// TestOthersChangesAreDrift edits a VM and deletes a network as somebody at the host would.
func TestOthersChangesAreDrift(t *testing.T) {
	w, _, _ := fleettest.New(t)
	text := small + "vms:\n  - {name: web, host: a, vcpus: 1, memory_bytes: 64 MiB, notes: hello, nics: [{network: lan}]}\npools:\n  - {name: p, host: a, type: dir, target: /srv/p}\n" +
		"templates:\n  - name: tiny\n    spec: {vcpus: 1, memory_bytes: 64 MiB}\npolicies:\n  - {scope: vm, name: web, never_migrate: true}\n  - {scope: estate, max_in: 2}\n" +
		"affinity_rules:\n  - {name: here, kind: affinity, scope: vm-host, vms: [web], hosts: [a]}\n"
	job, err := w.Fleet.ApplyDesired(t.Context(), fleettest.Actor, asked(text))
	w.Succeed(t, job, err)
	if d, _, err := w.Fleet.Drift(t.Context(), ""); err != nil || len(d) != 0 {
		t.Fatalf("%+v %v", d, err)
	}
	p, err := w.Fleet.PlanDesired(t.Context(), asked(text))
	if err != nil || p.Count(desired.Keep) != 8 {
		t.Fatalf("%+v %v", p, err)
	}
	changed := strings.NewReplacer("vcpus: 1, memory_bytes: 64 MiB}\n", "vcpus: 2, memory_bytes: 64 MiB}\n", "max_in: 2", "max_in: 3", "notes: hello", "notes: bye", "{name: Team A}", "{name: Team A, quota: {vms: 3}}").Replace(text)
	changed = strings.Replace(changed, "target: /srv/p", "target: /srv/p, autostart: false", 1)
	changed = strings.Replace(changed, "mode: isolated", "mode: isolated, domain: lan.example", 1)
	job, err = w.Fleet.ApplyDesired(t.Context(), fleettest.Actor, asked(changed))
	w.Succeed(t, job, err)
	if p, err := w.Fleet.PlanDesired(t.Context(), asked(changed)); err != nil || p.Count(desired.Keep) != 8 {
		t.Errorf("%+v %v", p, err)
	}
	vm := w.VM(t, "web")
	job, err = w.Fleet.DeleteVM(t.Context(), fleettest.Actor, vm.ID, fleet.DeleteVM{})
	w.Succeed(t, job, err)
	d, _, err := w.Fleet.Drift(t.Context(), "")
	if err != nil || len(d) != 3 || !d[0].Missing || d[0].Kind != desired.KindVM { // and the policy that was for it, and its part in the rule
		t.Fatalf("%+v %v", d, err)
	}
	job, err = w.Fleet.RevertDrift(t.Context(), fleettest.Actor, "", desired.KindVM, "web", "")
	w.Succeed(t, job, err)
	if w.VM(t, "web").Notes != "bye" {
		t.Error("it did not come back as it was applied")
	}
	job, err = w.Fleet.RevertDrift(t.Context(), fleettest.Actor, "", desired.KindAffinity, "here", "")
	w.Succeed(t, job, err)
	if err := w.Fleet.IgnoreDrift(t.Context(), fleettest.Actor, "", desired.KindPolicy, "vm/web", false); err != nil {
		t.Error(err)
	}
	if err := w.Fleet.AdoptDrift(t.Context(), fleettest.Actor, "", desired.KindPolicy, "vm/web"); err != nil {
		t.Error(err)
	}
	if d, _, err := w.Fleet.Drift(t.Context(), ""); err != nil || len(d) != 0 {
		t.Errorf("%+v %v", d, err)
	}
	less := "owner: team-a\n"
	req := asked(less)
	req.Prune, req.Disks = true, true
	job, err = w.Fleet.ApplyDesired(t.Context(), fleettest.Actor, req)
	w.Succeed(t, job, err)
	if p, err := w.Fleet.PlanDesired(t.Context(), req); err != nil || len(p.Items) != 0 {
		t.Errorf("%+v %v", p, err)
	}
}
