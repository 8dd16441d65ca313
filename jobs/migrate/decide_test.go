package migrate_test

import (
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
)

// lost makes a move that is stuck: when it asked for the migration, the world was changed behind its back.
func lost(t *testing.T, change func(a, b *hvtest.Fake, vm domain.VM)) (w *fleettest.World, a, b *hvtest.Fake, vm domain.VM, job domain.Job) {
	t.Helper()
	w, a, b, _, to, vm := joined(t, true)
	release := a.Hang("Migrate")
	defer release()
	job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it moves", func() bool { return a.Calls("Migrate") > 0 })
	a.Fail("Migrate", domain.Errorf(domain.Conflict, "The link broke."), 1)
	change(a, b, vm)
	release()
	if job = w.Wait(t, job, nil); job.State != domain.JobStuck {
		t.Fatalf("the job is %s: %+v", job.State, job.Error)
	}
	return w, a, b, vm, job
}

func TestBothHostsHaveIt(t *testing.T) {
	for choice, where := range map[string]string{"keep-source": "a", "keep-target": "b"} {
		w, a, b, vm, job := lost(t, func(a, b *hvtest.Fake, vm domain.VM) { b.AddGuest(vm.XML, domain.VMRunning) })
		if r := job.Error.Reasons; len(r) != 2 || r[0].Subject != "a" || r[1].Subject != "b" || !strings.Contains(r[0].Msg, "running") || !strings.Contains(r[1].Msg, "running") {
			t.Errorf("both hosts' answers are %+v", r)
		}
		offered := w.Engine.Choices(job)
		if len(offered) != 2 || offered[0].Label != "Keep it on a" || !strings.Contains(offered[0].Does, "Its copy on b, which is running, is ended") || !strings.Contains(offered[1].Does, "Its copy on a") {
			t.Fatalf("offered is %+v", offered)
		}
		if err := w.Engine.Choose(t.Context(), job.ID, "toss a coin", fleettest.Actor); !domain.Is(err, domain.Invalid) {
			t.Errorf("what is not offered: %v", err)
		}
		if err := w.Engine.Choose(t.Context(), job.ID, choice, fleettest.Actor); err != nil {
			t.Fatal(err)
		}
		job = w.Wait(t, job, nil)
		if want := map[string]domain.JobState{"a": domain.JobUndone, "b": domain.JobSucceeded}[where]; job.State != want {
			t.Errorf("%s: the job is %s, want %s: %+v", choice, job.State, want, job.Error)
		}
		for name, f := range map[string]*hvtest.Fake{"a": a, "b": b} {
			if g, on := fleettest.Guest(f, "web-1"); on != (name == where) || on && g.State != domain.VMRunning {
				t.Errorf("%s: %s has the guest: %v, %s", choice, name, on, g.State)
			}
			if len(f.AllVolumes()) != 1 {
				t.Errorf("%s: the disks on %s are %+v; none may be deleted", choice, name, f.AllVolumes())
			}
		}
		if got := w.VM(t, "web-1"); got.HostName != where || got.ID != vm.ID {
			t.Errorf("%s: the row says %s, %s", choice, got.HostName, got.ID)
		}
		w.Free(t, job.Locks...)
		if err := w.Engine.Choose(t.Context(), job.ID, choice, fleettest.Actor); !domain.Is(err, domain.Conflict) {
			t.Errorf("when it is over: %v", err)
		}
	}
}

// A copy that runs is never ended on the word of what was so a while ago.
func TestADecisionIsAskedForAgainWhenTheHostsSayOtherwise(t *testing.T) {
	w, a, b, vm, job := lost(t, func(a, b *hvtest.Fake, vm domain.VM) {
		b.AddGuest(vm.XML, domain.VMRunning)
		b.SetState(vm.UUID, domain.VMPaused, "")
	})
	b.SetState(vm.UUID, domain.VMRunning, "")
	a.SetState(vm.UUID, domain.VMStopped, "")
	if err := w.Engine.Choose(t.Context(), job.ID, "keep-source", fleettest.Actor); err != nil {
		t.Fatal(err)
	}
	if job = w.Wait(t, job, nil); job.State != domain.JobStuck || !strings.Contains(job.Error.Reasons[1].Msg, "running") || b.Calls("Stop") > 0 {
		t.Fatalf("the job is %s, %+v, and b was asked %d times to stop it", job.State, job.Error, b.Calls("Stop"))
	}
	if err := w.Engine.Choose(t.Context(), job.ID, "keep-target", fleettest.Actor); err != nil {
		t.Fatal(err)
	}
	w.Succeed(t, job, nil)
	if _, on := fleettest.Guest(a, "web-1"); on {
		t.Error("a has it still")
	}
}

// Where neither has it, it is defined anew as it was, stopped, and its disks are where they were.
func TestNeitherHostHasIt(t *testing.T) {
	for choice, where := range map[string]string{"keep-source": "a", "keep-target": "b"} {
		w, a, b, _, job := lost(t, func(a, b *hvtest.Fake, vm domain.VM) { a.Lose(vm.UUID) })
		if offered := w.Engine.Choices(job); len(offered) != 2 || !strings.Contains(offered[0].Does, "defined on a as it was before the move") {
			t.Fatalf("offered is %+v", offered)
		}
		if err := w.Engine.Choose(t.Context(), job.ID, choice, fleettest.Actor); err != nil {
			t.Fatal(err)
		}
		job = w.Wait(t, job, nil)
		for name, f := range map[string]*hvtest.Fake{"a": a, "b": b} {
			if g, on := fleettest.Guest(f, "web-1"); on != (name == where) || on && g.State != domain.VMStopped {
				t.Errorf("%s: the job is %s, and %s has the guest: %v, %s (%+v)", choice, job.State, name, on, g.State, job.Error)
			}
		}
	}
}
