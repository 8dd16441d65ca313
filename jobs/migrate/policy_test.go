package migrate_test

import (
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
)

func policy(t *testing.T, w *fleettest.World, scope domain.PolicyScope, id string, p domain.MigrationPolicy) {
	t.Helper()
	if _, err := w.Fleet.SetMigrationPolicy(t.Context(), fleettest.Actor, domain.ScopedPolicy{Scope: scope, ID: id, Policy: p}); err != nil {
		t.Fatal(err)
	}
}

// What is written for the VM, its host or all holds for a move that says nothing of it, and is taken away by an empty policy.
func TestPoliciesForbidAMove(t *testing.T) {
	w, a, b, from, to, vm := joined(t, true)
	refused := func(what, say string) {
		t.Helper()
		_, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
		if !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), say) {
			t.Errorf("%s: %v", what, err)
		}
		targets, err := w.Fleet.Forecast(t.Context(), fleettest.Actor, vm.ID, nil, fleet.MigrateVM{})
		if err != nil || targets[0].Allowed {
			t.Errorf("%s: the forecast is %+v (%v)", what, targets, err)
		}
	}
	policy(t, w, domain.PolicyVM, vm.ID, domain.MigrationPolicy{NeverMigrate: true})
	refused("never", "never moves")
	policy(t, w, domain.PolicyVM, vm.ID, domain.MigrationPolicy{BandwidthBytes: 64 * domain.MiB})
	policy(t, w, domain.PolicyHost, from.ID, domain.MigrationPolicy{OnlyShared: true})
	refused("only shared", "would have to be copied")
	policy(t, w, domain.PolicyHost, from.ID, domain.MigrationPolicy{})
	policy(t, w, domain.PolicyEstate, domain.PolicyAll, domain.MigrationPolicy{Transport: domain.TransportTunnelled})
	refused("tunnelled with a disk to copy", "tunnel")
	policy(t, w, domain.PolicyEstate, domain.PolicyAll, domain.MigrationPolicy{RequireTLS: true})
	refused("TLS", "demands TLS")
	policy(t, w, domain.PolicyEstate, domain.PolicyAll, domain.MigrationPolicy{Compress: true})
	if _, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID, Policy: domain.MigrationPolicy{PostCopy: true}}); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "compress") {
		t.Errorf("what is asked for contradicts what is written: %v", err)
	}
	eff, err := w.Fleet.PolicyFor(t.Context(), vm.ID)
	if err != nil || len(eff.From) != 2 || eff.From[0].Scope != domain.PolicyVM || !eff.Policy.Compress || eff.Policy.BandwidthBytes != 64*domain.MiB {
		t.Errorf("what holds is %+v (%v)", eff, err)
	}
	job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
	w.Succeed(t, job, err)
	if once(t, w, a, b) != "b" {
		t.Error("it was not moved")
	}
	for scope, id := range map[domain.PolicyScope]string{domain.PolicyEstate: "some", domain.PolicyHost: "host_none", domain.PolicyTenant: "none", domain.PolicyVM: "vm_none", "planet": "x"} {
		if _, err := w.Fleet.SetMigrationPolicy(t.Context(), fleettest.Actor, domain.ScopedPolicy{Scope: scope, ID: id}); !domain.Is(err, domain.NotFound) {
			t.Errorf("a policy of %s %s: %v", scope, id, err)
		}
	}
	if _, err := w.Fleet.SetMigrationPolicy(t.Context(), fleettest.Actor, domain.ScopedPolicy{Scope: domain.PolicyVM, ID: vm.ID, Policy: domain.MigrationPolicy{MaxIn: 2}}); !domain.Is(err, domain.Invalid) {
		t.Errorf("a limit of a VM: %v", err)
	}
}

// With one move at a time, the second waits for the first and says so.
func TestMovesWaitForTheirTurn(t *testing.T) {
	for _, limit := range []struct {
		scope domain.PolicyScope
		host  int
		p     domain.MigrationPolicy
	}{{domain.PolicyHost, 0, domain.MigrationPolicy{MaxOut: 1}}, {domain.PolicyHost, 1, domain.MigrationPolicy{MaxIn: 1}}, {domain.PolicyEstate, 2, domain.MigrationPolicy{MaxLink: 1}}} {
		w, a, b, from, to, vm := joined(t, true)
		policy(t, w, limit.scope, []string{from.ID, to.ID, domain.PolicyAll}[limit.host], limit.p)
		made, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-2"), Host: from.ID, Start: true})
		w.Succeed(t, made, err)
		second := w.VM(t, "web-2")
		release := a.Hang("Migrate")
		defer release()
		first, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the first moves", func() bool { return a.Calls("Migrate") > 0 })
		other, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, second.ID, fleet.MigrateVM{Host: to.ID})
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the second waits", func() bool {
			p, ok := w.Engine.Progress(other.ID)
			return ok && strings.Contains(p.Text, "Waiting for its turn")
		})
		if _, on := fleettest.Guest(b, "web-2"); on || a.Calls("Migrate") != 1 {
			t.Error("it did not wait")
		}
		release()
		w.Succeed(t, first, nil)
		w.Succeed(t, other, nil)
	}
}

// A window that begins while a guest moves changes its pace; what the job says next names the next one.
func TestGivingUpByPolicy(t *testing.T) {
	w, a, b, _, to, vm := joined(t, true)
	policy(t, w, domain.PolicyVM, vm.ID, domain.MigrationPolicy{DowntimeMS: []int{100}, AbortAfterSeconds: 1, BandwidthBytes: 8 * domain.MiB, Windows: []domain.BandwidthWindow{{From: "00:00", To: "12:00", BandwidthBytes: 2 * domain.MiB}, {From: "12:00", To: "00:00", BandwidthBytes: 4 * domain.MiB}}})
	release := a.Hang("Migrate")
	defer release()
	look := hvtest.Copying(domain.GiB)
	a.Moving(vm.UUID, &look)
	job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it moves and says what comes next", func() bool {
		p, ok := w.Engine.Progress(job.ID)
		return ok && p.Move != nil && strings.Contains(p.Move.Next, "give up 1 s after the start") && strings.Contains(p.Move.Next, "from ") && strings.Contains(p.Move.Next, "MiB/s")
	})
	until(t, "it is given up", func() bool { look.Iteration++; a.Moving(vm.UUID, &look); return a.Calls("CancelMigration") > 0 })
	a.Fail("Migrate", domain.Errorf(domain.Conflict, "The migration was cancelled."), 1)
	a.Moving(vm.UUID, nil)
	release()
	w.Wait(t, job, nil)
	once(t, w, a, b)
}
