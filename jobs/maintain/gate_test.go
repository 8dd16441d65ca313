package maintain_test

import (
	"testing"

	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
)

// With the automatic gate nobody says that the work is over: the host was away and is back.
func TestTheAutomaticGateWaitsUntilTheHostWasAwayAndIsBack(t *testing.T) {
	w, fakes, hosts := estate(t, "web-1")
	ctx := t.Context()
	p, err := w.Fleet.NewPlan(ctx, fleettest.Actor, fleet.PlanRequest{Hosts: []string{"a"}, Gate: domain.GateAuto})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.Fleet.ApprovePlan(ctx, fleettest.Actor, p.ID, 0); err != nil {
		t.Fatal(err)
	}
	job, err := w.Fleet.StartPlan(ctx, fleettest.Actor, p.ID, "")
	w.Succeed(t, job, err)
	waits := func(when string) {
		t.Helper()
		if err := w.Fleet.LookAtPlans(ctx); err != nil {
			t.Fatal(err)
		}
		if got := plan(t, w, p.ID); got.State != domain.PlanWaiting || got.Current().Phase != domain.PhaseWork {
			t.Fatalf("%s the plan is %s: %+v", when, got.State, got.Reasons)
		}
	}
	is := func(state domain.HostState) func() bool {
		return func() bool {
			h, err := w.DB.Host(ctx, hosts["a"].ID)
			return err == nil && h.State == state
		}
	}
	waits("before the work")
	fakes["a"].SetDown(true)
	w.Until(t, "the host is away", is(domain.HostAway))
	waits("while the host is away")
	fakes["a"].SetDown(false)
	w.Until(t, "the host is back", is(domain.HostConnected))
	w.Until(t, "the plan goes on by itself to its end", func() bool {
		if err := w.Fleet.LookAtPlans(ctx); err != nil {
			t.Fatal(err)
		}
		return plan(t, w, p.ID).State == domain.PlanDone
	})
	if at := places(t, w, fakes, "web-1"); at["web-1"] != "a" {
		t.Errorf("afterwards it is on %v", at)
	}
	if h, err := w.DB.Host(ctx, hosts["a"].ID); err != nil || h.Maintenance {
		t.Errorf("in maintenance: %v (%v)", h.Maintenance, err)
	}
}
