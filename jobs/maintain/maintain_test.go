package maintain_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"novacron/db"
	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func uri(name string) string { return "qemu+tcp://" + name + "/system" }

// meet lets every host reach every other.
func meet(fakes map[string]*hvtest.Fake) {
	for a, f := range fakes {
		for b, g := range fakes {
			if a != b {
				f.Reach(uri(b), g)
			}
		}
	}
}

// places says on which host each VM is, and wants it there once, with the row agreeing.
func places(t testing.TB, w *fleettest.World, fakes map[string]*hvtest.Fake, vms ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, vm := range vms {
		for name, f := range fakes {
			if _, here := fleettest.Guest(f, vm); here {
				if out[vm] != "" {
					t.Fatalf("%s is on %s and on %s", vm, out[vm], name)
				}
				out[vm] = name
			}
		}
		if row := w.VM(t, vm); row.HostName != out[vm] {
			t.Errorf("the row says %s is on %s; it is on %q", vm, row.HostName, out[vm])
		}
	}
	return out
}

func TestSweep(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		a, ha := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: true}, fleettest.Old{Spec: fleettest.Spec("web-2")})
		b, _ := w.Adopt(t, "b", hvtest.FakeOptions{})
		fakes := map[string]*hvtest.Fake{"a": a, "b": b}
		meet(fakes)
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.EvacuateHost(ctx, fleettest.Actor, ha.ID, "")
		}, func(t testing.TB, job domain.Job) {
			at := places(t, w, fakes, "web-1", "web-2")
			plans, err := w.DB.Plans(t.Context(), db.PlanQuery{})
			if err != nil || len(plans) != 1 {
				t.Fatalf("%+v (%v)", plans, err)
			}
			p := plans[0]
			for _, m := range p.Stages[0].Moves {
				if (m.State == domain.MoveMoved) != (at[m.VM] == "b") || m.State == domain.MoveRunning {
					t.Errorf("%s is on %s, the plan has it as %s", m.VM, at[m.VM], m.State)
				}
			}
			if job.State == domain.JobSucceeded && job.Error == nil && (p.State != domain.PlanDone || at["web-1"] != "b" || at["web-2"] != "b") {
				t.Errorf("it succeeded; the plan is %s, the VMs are at %v", p.State, at)
			}
			if p.State != domain.PlanDone && p.State != domain.PlanStopped {
				t.Errorf("the job is %s, the plan %s", job.State, p.State)
			}
			w.Free(t, job.Locks...)
		})
	})
}

// estate is three joined hosts of a running world, with VMs on the first.
func estate(t testing.TB, vms ...string) (w *fleettest.World, fakes map[string]*hvtest.Fake, hosts map[string]domain.Host) {
	w, a, ha := fleettest.New(t)
	fakes, hosts = map[string]*hvtest.Fake{"a": a}, map[string]domain.Host{"a": ha}
	for _, n := range []string{"b", "c"} {
		f, h := w.Host(t, n, hvtest.FakeOptions{})
		fakes[n], hosts[n] = f, h
	}
	meet(fakes)
	for _, name := range vms {
		job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec(name), Host: ha.ID, Start: true})
		w.Succeed(t, job, err)
	}
	return w, fakes, hosts
}

func ids(t testing.TB, w *fleettest.World, vms ...string) (out []string) {
	for _, n := range vms {
		out = append(out, w.VM(t, n).ID)
	}
	return out
}

func rule(t testing.TB, w *fleettest.World, r domain.AffinityRule) domain.AffinityRule {
	t.Helper()
	r, err := w.Fleet.PutAffinityRule(t.Context(), fleettest.Actor, r)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func plan(t testing.TB, w *fleettest.World, id string) domain.Plan {
	t.Helper()
	p, err := w.DB.Plan(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func state(w *fleettest.World, t testing.TB, id string, want domain.PlanState) {
	t.Helper()
	w.Until(t, "the plan is "+string(want), func() bool { return plan(t, w, id).State == want })
}

func TestDraftEditApproveStartAndReturn(t *testing.T) {
	w, fakes, hosts := estate(t, "web-1", "web-2", "db-1")
	ctx := t.Context()
	vm := ids(t, w, "web-1", "web-2", "db-1")
	rule(t, w, domain.AffinityRule{Name: "apart", Kind: domain.AntiAffinity, Scope: domain.ScopeVMs, Hard: true, VMs: vm[:2]})
	p, err := w.Fleet.NewPlan(ctx, fleettest.Actor, fleet.PlanRequest{Hosts: []string{"a"}})
	if err != nil || p.State != domain.PlanDraft || len(p.Stages) != 1 || len(p.Stages[0].Moves) != 3 {
		t.Fatalf("%+v (%v)", p, err)
	}
	if _, err := w.Fleet.StartPlan(ctx, fleettest.Actor, p.ID, ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("a draft was started: %v", err)
	}
	// Both to b breaks the rule, and the refusal names it and the field.
	both := []fleet.PlanMoveEdit{{VMID: vm[0], Host: "b"}, {VMID: vm[1], Host: "b"}}
	_, err = w.Fleet.EditPlan(ctx, fleettest.Actor, p.ID, 0, fleet.PlanEdit{Moves: &both})
	if e, ok := err.(*domain.Error); !ok || len(e.Fields) != 1 || e.Fields[0].Field != "moves.1" || !strings.Contains(e.Fields[0].Msg, "“apart”") {
		t.Errorf("%+v", err)
	}
	// db-1 is dropped, web-2 goes first.
	good, one := []fleet.PlanMoveEdit{{VMID: vm[1], Host: "c"}, {VMID: vm[0], Host: "b"}}, 1
	p, err = w.Fleet.EditPlan(ctx, fleettest.Actor, p.ID, p.Version, fleet.PlanEdit{Moves: &good, Parallel: &one})
	if err != nil || p.Stages[0].Moves[0].VM != "web-2" || p.Stages[0].Moves[0].To != "c" || len(p.Stages[0].Stays) != 1 || !p.Stages[0].Stays[0].Dropped || p.Parallel != 1 {
		t.Fatalf("%+v (%v)", p, err)
	}
	if _, err := w.Fleet.EditPlan(ctx, fleettest.Actor, p.ID, 1, fleet.PlanEdit{Parallel: &one}); !domain.Is(err, domain.Conflict) {
		t.Errorf("an edit of what it was before: %v", err)
	}
	if p, err = w.Fleet.ApprovePlan(ctx, fleettest.Actor, p.ID, p.Version); err != nil || p.ApprovedBy != fleettest.Actor {
		t.Fatalf("%+v (%v)", p, err)
	}
	job, err := w.Fleet.StartPlan(ctx, fleettest.Actor, p.ID, "k")
	w.Succeed(t, job, err)
	if again, err := w.Fleet.StartPlan(ctx, fleettest.Actor, p.ID, "k"); err != nil || again.ID != job.ID {
		t.Errorf("%+v (%v)", again, err)
	}
	if at := places(t, w, fakes, "web-1", "web-2", "db-1"); at["web-1"] != "b" || at["web-2"] != "c" || at["db-1"] != "a" {
		t.Errorf("%v", at)
	}
	if h, err := w.DB.Host(ctx, hosts["a"].ID); err != nil || !h.Maintenance {
		t.Errorf("%+v (%v)", h, err)
	}
	if p := plan(t, w, p.ID); p.State != domain.PlanDone {
		t.Errorf("%s", p.State)
	}
	job, err = w.Fleet.ReturnToHost(ctx, fleettest.Actor, hosts["a"].ID, "")
	e := w.Wait(t, job, err)
	// The rule forbids that both come back together: web-2 stays where it is, and web-1, which comes first, is back.
	if at := places(t, w, fakes, "web-1", "web-2"); e.State != domain.JobSucceeded || at["web-1"] == at["web-2"] {
		t.Errorf("%+v: %v", e, at)
	}
	if h, err := w.DB.Host(ctx, hosts["a"].ID); err != nil || h.Maintenance {
		t.Errorf("%+v (%v)", h, err)
	}
	if err := w.Fleet.RemovePlan(ctx, fleettest.Actor, p.ID); err != nil {
		t.Error(err)
	}
}

func TestThePlanIsRefusedWhenTheWorldHasChanged(t *testing.T) {
	w, fakes, hosts := estate(t, "web-1")
	ctx := t.Context()
	p, err := w.Fleet.NewPlan(ctx, fleettest.Actor, fleet.PlanRequest{Hosts: []string{"a"}, Gate: domain.GateConfirm})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.Fleet.ApprovePlan(ctx, fleettest.Actor, p.ID, 0); err != nil {
		t.Fatal(err)
	}
	job, err := w.Fleet.CreateVM(ctx, fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("late"), Host: hosts["a"].ID})
	w.Succeed(t, job, err)
	job, err = w.Fleet.StartPlan(ctx, fleettest.Actor, p.ID, "")
	job = w.Wait(t, job, err)
	if job.Error == nil || !strings.Contains(fmt.Sprint(job.Error.Reasons), "late It came to a since the plan was made") {
		t.Errorf("%+v", job.Error)
	}
	if p = plan(t, w, p.ID); p.State != domain.PlanStopped || places(t, w, fakes, "web-1")["web-1"] != "a" {
		t.Errorf("%+v", p)
	}
	if h, err := w.DB.Host(ctx, hosts["a"].ID); err != nil || h.Maintenance {
		t.Errorf("it went into maintenance for nothing: %+v (%v)", h, err)
	}
	if p, err = w.Fleet.Replan(ctx, fleettest.Actor, p.ID); err != nil || len(p.Stages[0].Moves) != 2 || p.State != domain.PlanDraft {
		t.Fatalf("%+v (%v)", p, err)
	}
	if _, err = w.Fleet.ApprovePlan(ctx, fleettest.Actor, p.ID, 0); err != nil {
		t.Fatal(err)
	}
	job, err = w.Fleet.StartPlan(ctx, fleettest.Actor, p.ID, "")
	w.Succeed(t, job, err)
	if p = plan(t, w, p.ID); p.State != domain.PlanWaiting || p.Current().Phase != domain.PhaseWork || len(p.Reasons) != 1 {
		t.Fatalf("%+v", p)
	}
	if _, err := w.Fleet.ResumePlan(ctx, fleettest.Actor, p.ID, ""); !domain.Is(err, domain.Conflict) {
		t.Errorf("it went on without anybody confirming: %v", err)
	}
	job, err = w.Fleet.ConfirmPlan(ctx, fleettest.Actor, p.ID, "")
	w.Succeed(t, job, err)
	if at := places(t, w, fakes, "web-1", "late"); at["web-1"] != "a" || at["late"] != "a" || plan(t, w, p.ID).State != domain.PlanDone {
		t.Errorf("%v, %s", at, plan(t, w, p.ID).State)
	}
}

func TestStopLetsEndWhatRunsAndResumeGoesOn(t *testing.T) {
	w, fakes, _ := estate(t, "web-1", "web-2", "web-3")
	ctx := t.Context()
	release := fakes["a"].Hang("Migrate")
	defer release()
	p, err := w.Fleet.NewPlan(ctx, fleettest.Actor, fleet.PlanRequest{Hosts: []string{"a"}, Parallel: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.Fleet.ApprovePlan(ctx, fleettest.Actor, p.ID, 0); err != nil {
		t.Fatal(err)
	}
	job, err := w.Fleet.StartPlan(ctx, fleettest.Actor, p.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	w.Until(t, "the first moves", func() bool { return fakes["a"].Calls("Migrate") > 0 })
	one := 2
	if _, err := w.Fleet.EditPlan(ctx, fleettest.Actor, p.ID, 0, fleet.PlanEdit{Parallel: &one}); !domain.Is(err, domain.Conflict) {
		t.Errorf("it was edited while it runs: %v", err)
	}
	if err := w.Fleet.RemovePlan(ctx, fleettest.Actor, p.ID); !domain.Is(err, domain.Conflict) {
		t.Errorf("it was deleted while it runs: %v", err)
	}
	if p, err = w.Fleet.StopPlan(ctx, fleettest.Actor, p.ID); err != nil || p.State != domain.PlanStopping {
		t.Fatalf("%+v (%v)", p, err)
	}
	release()
	w.Succeed(t, job, nil)
	p = plan(t, w, p.ID)
	if _, moved, _, _ := p.Counts(); p.State != domain.PlanStopped || moved != 1 {
		t.Fatalf("%s, %d moved", p.State, moved)
	}
	job, err = w.Fleet.ResumePlan(ctx, fleettest.Actor, p.ID, "")
	w.Succeed(t, job, err)
	for vm, h := range places(t, w, fakes, "web-1", "web-2", "web-3") {
		if h == "a" {
			t.Errorf("%s is on a still", vm)
		}
	}
}

func TestRollingGoesOneFailureDomainAtATimeBehindAGate(t *testing.T) {
	w, fakes, hosts := estate(t, "web-1", "web-2")
	ctx := t.Context()
	for name, rack := range map[string]string{"a": "r1", "b": "r2"} {
		labels := map[string]string{"rack": rack}
		if _, err := w.Fleet.EditHost(ctx, fleettest.Actor, hosts[name].ID, 0, fleet.HostEdit{Labels: &labels}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := w.Fleet.NewPlan(ctx, fleettest.Actor, fleet.PlanRequest{Label: "rack"})
	if err != nil || len(p.Stages) != 2 || p.Stages[0].Name != "r1" || p.Kind != domain.PlanRolling || p.Gate != domain.GateConfirm {
		t.Fatalf("%+v (%v)", p, err)
	}
	to := []fleet.PlanMoveEdit{}
	for _, m := range p.Stages[0].Moves {
		to = append(to, fleet.PlanMoveEdit{VMID: m.VMID, Host: "c"})
	}
	if p, err = w.Fleet.EditPlan(ctx, fleettest.Actor, p.ID, 0, fleet.PlanEdit{Moves: &to}); err != nil {
		t.Fatal(err)
	}
	if _, err = w.Fleet.ApprovePlan(ctx, fleettest.Actor, p.ID, 0); err != nil {
		t.Fatal(err)
	}
	job, err := w.Fleet.StartPlan(ctx, fleettest.Actor, p.ID, "")
	w.Succeed(t, job, err)
	if at := places(t, w, fakes, "web-1", "web-2"); at["web-1"] != "c" || at["web-2"] != "c" {
		t.Fatalf("%v", at)
	}
	if p = plan(t, w, p.ID); p.State != domain.PlanWaiting || p.Current().Name != "r1" {
		t.Fatalf("%s at %s", p.State, p.Current().Name)
	}
	// One of its VMs is stopped meanwhile: the gate holds the plan until it runs again.
	job, err = w.Fleet.ActVM(ctx, fleettest.Actor, w.VM(t, "web-1").ID, domain.ActStop, fleet.ActOptions{})
	w.Succeed(t, job, err)
	job, err = w.Fleet.ConfirmPlan(ctx, fleettest.Actor, p.ID, "")
	w.Succeed(t, job, err)
	p = plan(t, w, p.ID)
	if p.State != domain.PlanWaiting || p.Current().Phase != domain.PhaseHealth || !strings.Contains(fmt.Sprint(p.Reasons), "web-1 It ran before and is stopped now") {
		t.Fatalf("%s, %+v", p.State, p.Reasons)
	}
	if at := places(t, w, fakes, "web-1", "web-2"); at["web-1"] != "a" || at["web-2"] != "a" {
		t.Errorf("%v", at)
	}
	if err := w.Fleet.LookAtPlans(ctx); err != nil || plan(t, w, p.ID).State != domain.PlanWaiting {
		t.Fatalf("it went on: %v", err)
	}
	job, err = w.Fleet.ActVM(ctx, fleettest.Actor, w.VM(t, "web-1").ID, domain.ActStart, fleet.ActOptions{})
	w.Succeed(t, job, err)
	if err := w.Fleet.LookAtPlans(ctx); err != nil {
		t.Fatal(err)
	}
	state(w, t, p.ID, domain.PlanWaiting)
	w.Until(t, "the second rack is at hand", func() bool {
		p = plan(t, w, p.ID)
		return p.State == domain.PlanWaiting && p.Current().Name == "r2" && p.Current().Phase == domain.PhaseWork
	})
	for name, want := range map[string]bool{"a": false, "b": true} {
		if h, err := w.DB.Host(ctx, hosts[name].ID); err != nil || h.Maintenance != want {
			t.Errorf("%s in maintenance: %v (%v)", name, h.Maintenance, err)
		}
	}
	job, err = w.Fleet.ConfirmPlan(ctx, fleettest.Actor, p.ID, "")
	w.Succeed(t, job, err)
	if p = plan(t, w, p.ID); p.State != domain.PlanDone {
		t.Errorf("%s", p.State)
	}
}

func TestPlansBeginAtTheirTime(t *testing.T) {
	w, fakes, _ := estate(t, "web-1")
	ctx := t.Context()
	p, err := w.Fleet.NewPlan(ctx, fleettest.Actor, fleet.PlanRequest{Hosts: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	for field, e := range map[string]fleet.PlanEdit{
		"start_at":  {StartAt: ptr("2020-01-01T02:00"), TimeZone: ptr("UTC")},
		"time_zone": {StartAt: ptr("2099-01-01T02:00"), TimeZone: ptr("Mars/Base")},
		"parallel":  {Parallel: ptr(0)},
		"gate":      {Gate: ptr(domain.PlanGate("door"))},
		"title":     {Title: ptr(" ")},
	} {
		_, err := w.Fleet.EditPlan(ctx, fleettest.Actor, p.ID, 0, e)
		if x, ok := err.(*domain.Error); !ok || len(x.Fields) != 1 || x.Fields[0].Field != field {
			t.Errorf("%s: %+v", field, err)
		}
	}
	var probs domain.Problems
	if domain.ParsePlanTime(&probs, "2027-03-28T02:30", "Europe/Berlin"); len(probs) != 1 || !strings.Contains(probs[0].Msg, "put forward") {
		t.Errorf("%+v", probs)
	}
	soon := "2099-06-01T02:00"
	if p, err = w.Fleet.EditPlan(ctx, fleettest.Actor, p.ID, 0, fleet.PlanEdit{StartAt: &soon, TimeZone: ptr("Europe/Berlin")}); err != nil || p.StartAt.UTC().Format(time.RFC3339) != "2099-06-01T00:00:00Z" {
		t.Fatalf("%v (%v)", p.StartAt, err)
	}
	if p, err = w.Fleet.ApprovePlan(ctx, fleettest.Actor, p.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Fleet.LookAtPlans(ctx); err != nil || plan(t, w, p.ID).State != domain.PlanApproved {
		t.Fatalf("it began too early: %v", err)
	}
	p.StartAt = time.Now().Add(-time.Second)
	if err := w.DB.Write(ctx, func(tx *db.Tx) error { return tx.PutPlan(p) }); err != nil {
		t.Fatal(err)
	}
	if err := w.Fleet.LookAtPlans(ctx); err != nil {
		t.Fatal(err)
	}
	state(w, t, p.ID, domain.PlanDone)
	if places(t, w, fakes, "web-1")["web-1"] == "a" {
		t.Error("it was not moved")
	}
	late, err := w.Fleet.NewPlan(ctx, fleettest.Actor, fleet.PlanRequest{Hosts: []string{"b"}})
	if err != nil {
		t.Fatal(err)
	}
	late.State, late.StartAt = domain.PlanApproved, time.Now().Add(-2*time.Hour)
	if err := w.DB.Write(ctx, func(tx *db.Tx) error { return tx.PutPlan(late) }); err != nil {
		t.Fatal(err)
	}
	if err := w.Fleet.LookAtPlans(ctx); err != nil {
		t.Fatal(err)
	}
	if p := plan(t, w, late.ID); p.State != domain.PlanStopped || !strings.Contains(p.Reasons[0].Msg, "could not begin at its time") {
		t.Errorf("%+v", p)
	}
}

func ptr[T any](v T) *T { return &v }

func TestBadRequests(t *testing.T) {
	w, _, hosts := estate(t, "web-1")
	for field, req := range map[string]fleet.PlanRequest{
		"hosts":    {},
		"hosts.0":  {Hosts: []string{"nowhere"}},
		"hosts.1":  {Hosts: []string{"a", hosts["a"].ID}},
		"label":    {Label: "rack"},
		"kind":     {Hosts: []string{"a"}, Kind: "return"},
		"parallel": {Hosts: []string{"a"}, Parallel: 99},
		"gate":     {Hosts: []string{"a", "b"}, Gate: domain.GateNone},
		"drop.0":   {Hosts: []string{"a"}, Drop: []string{"vm_x"}},
	} {
		_, err := w.Fleet.NewPlan(t.Context(), fleettest.Actor, req)
		e, ok := err.(*domain.Error)
		if !ok || !slices.ContainsFunc(e.Fields, func(f domain.FieldError) bool { return f.Field == field }) {
			t.Errorf("%s: %+v", field, err)
		}
	}
	_, err := w.Fleet.PutAffinityRule(t.Context(), fleettest.Actor, domain.AffinityRule{Name: "x", Kind: domain.Affinity, Scope: domain.ScopeHosts, VMs: []string{"vm_x"}, Hosts: []string{"host_x"}})
	if e, ok := err.(*domain.Error); !ok || len(e.Fields) != 2 || e.Fields[0].Field != "vms.0" || e.Fields[1].Field != "hosts.0" {
		t.Errorf("%+v", err)
	}
}

func TestNewVMsAndMovesKeepTheRules(t *testing.T) {
	w, _, hosts := estate(t, "db-1")
	ctx := t.Context()
	r := rule(t, w, domain.AffinityRule{Name: "apart", Kind: domain.AntiAffinity, Scope: domain.ScopeVMs, Hard: true, VMs: ids(t, w, "db-1"), Tags: []string{"db"}})
	for _, n := range []string{"db-2", "db-3"} {
		job, err := w.Fleet.CreateVM(ctx, fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec(n), Host: fleet.AnyHost, Tags: []string{"db"}, Start: true})
		w.Succeed(t, job, err)
	}
	if b, c := w.VM(t, "db-2").HostName, w.VM(t, "db-3").HostName; b == "a" || c == "a" || b == c {
		t.Errorf("db-1 is on a, db-2 on %s, db-3 on %s", b, c)
	}
	_, err := w.Fleet.CreateVM(ctx, fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("db-4"), Host: fleet.AnyHost, Tags: []string{"db"}})
	if e, ok := err.(*domain.Error); !ok || e.Code != domain.Exhausted || !strings.Contains(fmt.Sprint(e.Reasons), "“apart”") {
		t.Errorf("a fourth: %+v", err)
	}
	_, err = w.Fleet.CreateVM(ctx, fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("db-4"), Host: "b", Tags: []string{"db"}})
	if !domain.Is(err, domain.Conflict) {
		t.Errorf("named by hand: %v", err)
	}
	_, err = w.Fleet.MigrateVM(ctx, fleettest.Actor, w.VM(t, "db-1").ID, fleet.MigrateVM{Host: w.VM(t, "db-2").HostID})
	if e, ok := err.(*domain.Error); !ok || !strings.Contains(fmt.Sprint(e.Reasons, e.Msg), "kept apart from db-2") {
		t.Errorf("moved by hand: %+v", err)
	}
	if of, err := w.Fleet.AffinityOf(ctx, w.VM(t, "db-2")); err != nil || len(of) != 1 || of[0].ID != r.ID {
		t.Errorf("%+v (%v)", of, err)
	}
	p, err := w.Fleet.PlanEvacuation(ctx, hosts["a"].ID)
	if err != nil || p.Stay != 1 || !strings.Contains(fmt.Sprint(p.Items[0].Why), "“apart”") {
		t.Errorf("%+v (%v)", p, err)
	}
	if err := w.Fleet.DeleteAffinityRule(ctx, fleettest.Actor, r.ID); err != nil {
		t.Fatal(err)
	}
	if p, err = w.Fleet.PlanEvacuation(ctx, hosts["a"].ID); err != nil || p.Moves != 1 {
		t.Errorf("%+v (%v)", p, err)
	}
}

// Guests that are kept together go to one host, and when one of them cannot be moved the others that did not move yet stay.
func TestThoseThatAreKeptTogetherGoTogether(t *testing.T) {
	w, fakes, _ := estate(t, "app", "cache")
	ctx := t.Context()
	rule(t, w, domain.AffinityRule{Name: "near", Kind: domain.Affinity, Scope: domain.ScopeVMs, Hard: true, VMs: ids(t, w, "app", "cache")})
	p, err := w.Fleet.NewPlan(ctx, fleettest.Actor, fleet.PlanRequest{Hosts: []string{"a"}, Parallel: 1})
	if err != nil || len(p.Stages[0].Moves) != 2 || p.Stages[0].Moves[0].ToID != p.Stages[0].Moves[1].ToID || len(p.Stages[0].Moves[0].With) != 1 {
		t.Fatalf("%+v (%v)", p, err)
	}
	apart := []fleet.PlanMoveEdit{{VMID: p.Stages[0].Moves[0].VMID}}
	if _, err := w.Fleet.EditPlan(ctx, fleettest.Actor, p.ID, 0, fleet.PlanEdit{Moves: &apart}); !domain.Is(err, domain.Invalid) {
		t.Errorf("one without the other: %v", err)
	}
	if _, err = w.Fleet.ApprovePlan(ctx, fleettest.Actor, p.ID, 0); err != nil {
		t.Fatal(err)
	}
	fakes["a"].Fail("Migrate", domain.Errorf(domain.Conflict, "The stream broke."), 1)
	job, err := w.Fleet.StartPlan(ctx, fleettest.Actor, p.ID, "")
	job = w.Wait(t, job, err)
	p = plan(t, w, p.ID)
	if p.State != domain.PlanStopped || !strings.Contains(fmt.Sprint(p.Reasons), "It is kept with") {
		t.Errorf("%s %+v, the job %+v", p.State, p.Reasons, job.Error)
	}
	if at := places(t, w, fakes, "app", "cache"); at["app"] != "a" || at["cache"] != "a" {
		t.Errorf("%v", at)
	}
	job, err = w.Fleet.ResumePlan(ctx, fleettest.Actor, p.ID, "")
	w.Succeed(t, job, err)
	if at := places(t, w, fakes, "app", "cache"); at["app"] == "a" || at["app"] != at["cache"] {
		t.Errorf("%v", at)
	}
}
