package migrate_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/migrate"
	"novacron/jobs/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const uriA, uriB = "qemu+tcp://a/system", "qemu+tcp://b/system"

// pair is two hosts, not joined by an engine, with web-1 on a.
func pair(t testing.TB, start bool) (w *fleettest.World, a, b *hvtest.Fake, to domain.Host) {
	w = fleettest.Bare(t, reconcile.Options{})
	a, _ = w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: start})
	b, to = w.Adopt(t, "b", hvtest.FakeOptions{})
	a.Reach(uriB, b)
	b.Reach(uriA, a)
	return w, a, b, to
}

// once wants the guest on exactly one host, with its disk there and the row saying so; it gives the host's name.
func once(t testing.TB, w *fleettest.World, a, b *hvtest.Fake) string {
	t.Helper()
	_, onA := fleettest.Guest(a, "web-1")
	_, onB := fleettest.Guest(b, "web-1")
	if onA == onB {
		t.Fatalf("the guest is on a: %v, on b: %v", onA, onB)
	}
	where, here, other := "a", a, b
	if onB {
		where, here, other = "b", b, a
	}
	if len(here.AllVolumes()) != 1 || len(other.AllVolumes()) != 0 {
		t.Errorf("the guest is on %s; volumes there %+v, on the other %+v", where, here.AllVolumes(), other.AllVolumes())
	}
	if vm := w.VM(t, "web-1"); vm.HostName != where {
		t.Errorf("the row says %s, the guest is on %s", vm.HostName, where)
	}
	return where
}

func TestSweepLive(t *testing.T) {
	sweep(t, true)
}

func TestSweepCold(t *testing.T) {
	sweep(t, false)
}

func sweep(t *testing.T, running bool) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w, a, b, to := pair(t, running)
		vm := w.VM(t, "web-1")
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.MigrateVM(ctx, fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
		}, func(t testing.TB, job domain.Job) {
			got, want := once(t, w, a, b), "a"
			if job.State == domain.JobSucceeded {
				want = "b"
			}
			if got != want {
				t.Errorf("the job is %s and the guest on %s", job.State, got)
			}
			if w.VM(t, "web-1").ID != vm.ID {
				t.Error("the VM has another id")
			}
			if g, _ := fleettest.Guest(map[string]*hvtest.Fake{"a": a, "b": b}[got], "web-1"); running != (g.State == domain.VMRunning) {
				t.Errorf("it is %s", g.State)
			}
			w.Free(t, job.Locks...)
		})
	})
}

func joined(t *testing.T, start bool) (w *fleettest.World, a, b *hvtest.Fake, from, to domain.Host, vm domain.VM) {
	w, a, from = fleettest.New(t)
	b, to = w.Host(t, "b", hvtest.FakeOptions{})
	a.Reach(uriB, b)
	b.Reach(uriA, a)
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1"), Host: from.ID, Start: start})
	w.Succeed(t, job, err)
	return w, a, b, from, to, w.VM(t, "web-1")
}

func TestForecastThenMoveAndBack(t *testing.T) {
	w, a, b, _, to, vm := joined(t, true)
	a.SetDirtyRate(vm.UUID, 5*domain.MiB)
	targets, err := w.Fleet.Forecast(t.Context(), fleettest.Actor, vm.ID, nil, fleet.MigrateVM{})
	if err != nil || len(targets) != 1 {
		t.Fatalf("%+v: %v", targets, err)
	}
	if f := targets[0]; !f.Allowed || f.Forecast == nil || f.Forecast.Method != "pre-copy" || f.Host != to.ID || !strings.Contains(strings.Join(f.Forecast.Why, " "), "5 MiB/s") {
		t.Errorf("the forecast is %+v, %+v", f, f.Forecast)
	}
	job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: "b"})
	job = w.Succeed(t, job, err)
	if once(t, w, a, b) != "b" {
		t.Error("it was not moved")
	}
	var res migrate.Result
	if err := json.Unmarshal(job.Result, &res); err != nil || res.Figures == nil || res.Figures.Seconds <= 0 || res.Forecast == nil || res.HostID != to.ID {
		t.Errorf("the result is %s", job.Result)
	}
	past, err := w.DB.Migrations(t.Context(), db.MigrationQuery{VM: vm.ID})
	if err != nil || len(past) != 1 || past[0].State != "succeeded" || past[0].DirtyRate != 5*domain.MiB || past[0].Result == nil || past[0].Forecast == nil {
		t.Fatalf("the record is %+v (%v)", past, err)
	}
	job, err = w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: fleet.AnyHost})
	w.Succeed(t, job, err)
	if once(t, w, a, b) != "a" {
		t.Error("it was not moved back")
	}
	moved := 0
	for _, ev := range w.Events(t, vm.ID) {
		switch ev.Kind {
		case "vm.migrated":
			moved++
		case "vm.removed":
			t.Errorf("an event says %q", ev.Message)
		}
	}
	if moved != 2 {
		t.Errorf("%d events of moves", moved)
	}
}

func TestRefusals(t *testing.T) {
	w, a, b, from, to, vm := joined(t, true)
	try := func(code domain.Code, what string, req fleet.MigrateVM) *domain.Error {
		t.Helper()
		_, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, req)
		if domain.CodeOf(err) != code {
			t.Errorf("%s: %v", what, err)
		}
		e, _ := err.(*domain.Error)
		return e
	}
	try(domain.Conflict, "to where it is", fleet.MigrateVM{Host: from.ID})
	try(domain.Invalid, "to nowhere", fleet.MigrateVM{Host: "c"})
	try(domain.Invalid, "by magic", fleet.MigrateVM{Host: to.ID, Mode: "magic"})
	try(domain.Invalid, "a policy against itself", fleet.MigrateVM{Host: to.ID, Policy: domain.MigrationPolicy{PostCopy: true, PauseAfterSeconds: 3}})
	try(domain.Conflict, "cold while it runs", fleet.MigrateVM{Host: to.ID, Mode: domain.MigrateCold})
	try(domain.Conflict, "to a pool that is not there", fleet.MigrateVM{Host: to.ID, Disks: map[string]string{"vda": "fast"}})
	try(domain.Conflict, "said to be shared", fleet.MigrateVM{Host: to.ID, Disks: map[string]string{"vda": "shared"}})
	try(domain.Conflict, "TLS demanded", fleet.MigrateVM{Host: to.ID, Policy: domain.MigrationPolicy{RequireTLS: true}})
	if e := try(domain.Conflict, "a network that is not there", fleet.MigrateVM{Host: to.ID, Networks: map[string]string{"default": "dmz"}}); e != nil && (len(e.Reasons) != 1 || !strings.Contains(e.Fix, "dmz")) {
		t.Errorf("the refusal is %+v, fix %q", e.Reasons, e.Fix)
	}
	on := true
	if _, err := w.Fleet.EditHost(t.Context(), fleettest.Actor, to.ID, 0, fleet.HostEdit{Maintenance: &on}); err != nil {
		t.Fatal(err)
	}
	try(domain.Conflict, "into maintenance", fleet.MigrateVM{Host: to.ID})
	try(domain.Exhausted, "anywhere", fleet.MigrateVM{})
	if once(t, w, a, b) != "a" {
		t.Error("it was moved")
	}
}

// libvirt moves no snapshots, so a VM that has some is refused before anything moves, and may move when they are gone.
func TestSnapshotsKeepAVMWhereItIs(t *testing.T) {
	for _, start := range []bool{true, false} {
		w, a, b, _, to, vm := joined(t, start)
		job, err := w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, vm.ID, domain.SnapshotSpec{Name: "before", Kind: domain.SnapshotExternal}, "")
		w.Succeed(t, job, err)
		targets, err := w.Fleet.Forecast(t.Context(), fleettest.Actor, vm.ID, nil, fleet.MigrateVM{})
		if err != nil || len(targets) != 1 || targets[0].Allowed {
			t.Fatalf("with a snapshot: %+v (%v)", targets, err)
		}
		if _, err = w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID}); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "1 snapshot") {
			t.Errorf("with a snapshot: %v", err)
		}
		plan, err := w.Fleet.PlanEvacuation(t.Context(), vm.HostID)
		if err != nil || plan.Stay != 1 || len(plan.Items) != 1 || !strings.Contains(plan.Items[0].Why[0].Msg, "snapshot") {
			t.Errorf("the plan with a snapshot is %+v (%v)", plan, err)
		}
		all, err := w.DB.Snapshots(t.Context(), vm.ID)
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v (%v)", all, err)
		}
		job, err = w.Fleet.DeleteSnapshots(t.Context(), fleettest.Actor, vm.ID, []string{all[0].ID}, fleet.ChildrenKeep, "")
		w.Succeed(t, job, err)
		job, err = w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
		w.Succeed(t, job, err)
		if once(t, w, a, b) != "b" {
			t.Error("it was not moved when its snapshot was gone")
		}
	}
}

func TestCancelWhileItMoves(t *testing.T) {
	w, a, b, _, to, vm := joined(t, true)
	release := a.Hang("Migrate")
	defer release()
	job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it moves", func() bool { return a.Calls("Migrate") > 0 })
	a.FailAfter("Migrate", domain.Errorf(domain.Conflict, "The migration was cancelled."), 1)
	if err := w.Engine.Cancel(t.Context(), job.ID, fleettest.Actor); err != nil {
		t.Fatal(err)
	}
	until(t, "the source is asked to stop", func() bool { return a.Calls("CancelMigration") > 0 })
	release()
	job = w.Wait(t, job, nil)
	if where := once(t, w, a, b); (job.State == domain.JobSucceeded) != (where == "b") {
		t.Errorf("the job is %s and the guest on %s", job.State, where)
	}
}

// A person raises the pause, the policy goes on from there, and what the copying does is told meanwhile.
func TestTuneWhileItMoves(t *testing.T) {
	w, a, b, _, to, vm := joined(t, true)
	release := a.Hang("Migrate")
	defer release()
	look := hv.MigrationProgress{MemoryTotal: domain.GiB, MemoryLeft: domain.GiB / 2, MemoryDone: domain.GiB / 2, DirtyRate: 90 * domain.MiB, Iteration: 1, Downtime: 700 * time.Millisecond}
	a.Moving(vm.UUID, &look)
	job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID, Policy: domain.MigrationPolicy{DowntimeMS: []int{100, 200, 400}, PostCopy: true}})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it moves", func() bool { return a.Calls("Migrate") > 0 })
	tuned, err := w.Fleet.TuneMigration(t.Context(), fleettest.Actor, job.ID, domain.MigrationTune{BandwidthBytes: 64 * domain.MiB, DowntimeMS: 250}, "")
	w.Succeed(t, tuned, err)
	shown := func(ok func(m *domain.MoveProgress) bool) func() bool {
		return func() bool {
			p, at := w.Engine.Progress(job.ID)
			return at && p.Move != nil && ok(p.Move)
		}
	}
	until(t, "the new limits are told", shown(func(m *domain.MoveProgress) bool {
		return m.DowntimeMax == 250 && m.CopyRate == 64*domain.MiB && m.DirtyRate == 90*domain.MiB && m.Next == "allow a pause of 400 ms" && m.Phase == domain.MoveMemory && m.MayPostCopy
	}))
	next := func() { look.Iteration++; a.Moving(vm.UUID, &look) }
	until(t, "the policy goes on from what the person set", func() bool { next(); return shown(func(m *domain.MoveProgress) bool { return m.DowntimeMax == 400 })() })
	until(t, "it ends by post-copy", func() bool {
		next()
		return shown(func(m *domain.MoveProgress) bool { return m.Phase == domain.MovePostCopy && m.Next == "" && m.NoReturn })()
	})
	if err := w.Engine.Cancel(t.Context(), job.ID, fleettest.Actor); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "point of no return") {
		t.Errorf("cancelling after the point of no return: %v", err)
	}
	a.Moving(vm.UUID, nil)
	release()
	w.Succeed(t, job, nil)
	if once(t, w, a, b) != "b" {
		t.Error("it was not moved")
	}
	if _, err := w.Fleet.TuneMigration(t.Context(), fleettest.Actor, job.ID, domain.MigrationTune{DowntimeMS: 250}, ""); domain.CodeOf(err) != domain.Conflict {
		t.Errorf("tuning what is over: %v", err)
	}
}

func TestTuneIsRefused(t *testing.T) {
	w, a, _, _, to, vm := joined(t, true)
	release := a.Hang("Migrate")
	defer release()
	job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		id     string
		change domain.MigrationTune
		code   domain.Code
	}{
		"nothing":                       {job.ID, domain.MigrationTune{}, domain.Invalid},
		"too slow":                      {job.ID, domain.MigrationTune{BandwidthBytes: 1}, domain.Invalid},
		"a pause of an hour":            {job.ID, domain.MigrationTune{DowntimeMS: 3_600_000}, domain.Invalid},
		"post-copy that was not begun":  {job.ID, domain.MigrationTune{PostCopy: true}, domain.Invalid},
		"a migration that is not there": {"job_none", domain.MigrationTune{DowntimeMS: 200}, domain.NotFound},
	} {
		if _, err := w.Fleet.TuneMigration(t.Context(), fleettest.Actor, c.id, c.change, ""); domain.CodeOf(err) != c.code {
			t.Errorf("%s: %v", what, err)
		}
	}
	tuned, err := w.Fleet.TuneMigration(t.Context(), fleettest.Actor, job.ID, domain.MigrationTune{DowntimeMS: 200}, "")
	w.Undone(t, tuned, err, domain.Conflict) // the host says that nothing moves
	release()
	w.Succeed(t, job, nil)
}

// until waits for a level of a fake, which tells nobody when it is reached.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(90 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("it did not come about that %s", what)
		}
	}
}
