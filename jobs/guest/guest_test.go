package guest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/jobs"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/guest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1ZW5vc2RpYXNidWVub3NkaWFzYnVlbm9zZGlhc2Ex ada@home"

func agent() *hvtest.Agent {
	return &hvtest.Agent{Facts: domain.GuestFacts{Agent: "7.2.0", Hostname: "web-1", OSID: "debian", OSName: "Debian GNU/Linux 12",
		Cards: []domain.GuestCard{{Name: "lo", Addresses: []string{"127.0.0.1/8"}}, {Name: "eth0", Addresses: []string{"192.0.2.7/24", "fe80::1/64"}}}}}
}

func running(t testing.TB, a *hvtest.Agent) (*fleettest.World, *hvtest.Fake, domain.VM) {
	t.Helper()
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	f.SetAgent(vm.UUID, a)
	return w, f, vm
}

func execResult(t testing.TB, job domain.Job) guest.ExecResult {
	t.Helper()
	var res guest.ExecResult
	if err := json.Unmarshal(job.Result, &res); err != nil {
		t.Fatalf("%v: %s", err, job.Result)
	}
	return res
}

func TestACommandIsRunAndItsOutputKept(t *testing.T) {
	a := agent()
	a.Exec = func(argv []string) hv.ExecStatus {
		return hv.ExecStatus{Ended: true, Code: 3, Out: []byte(strings.Join(argv, "|")), Err: []byte("bad \xff\x00 byte")}
	}
	w, f, vm := running(t, a)
	job, err := w.Fleet.ExecGuest(t.Context(), fleettest.Actor, vm.ID, fleet.ExecGuest{GuestExec: domain.GuestExec{Argv: []string{"ls", "-l", "two words", "100%"}}})
	job = w.Succeed(t, job, err)
	res := execResult(t, job)
	if res.ExitCode != 3 || res.Stdout != "ls|-l|two words|100%" || res.Stderr != "bad \uFFFD\uFFFD byte" || res.VMID != vm.ID {
		t.Errorf("%+v", res)
	}
	if job.Title != `Run “ls -l "two words" 100%” in web-1` {
		t.Errorf("title %s", job.Title)
	}
	evs := w.Events(t, vm.ID)
	if !slices.ContainsFunc(evs, func(e domain.Event) bool {
		return e.Kind == "guest.exec" && e.Actor == fleettest.Actor && e.Message == `The command “ls -l "two words" 100%” was run in web-1.`
	}) {
		t.Errorf("nobody would find who ran what: %+v", evs)
	}
	if ran := f.Ran(vm.UUID); len(ran) != 1 {
		t.Errorf("ran %v", ran)
	}
}

func TestACommandThatDoesNotEndIsKilled(t *testing.T) {
	a := agent()
	a.Exec = func([]string) hv.ExecStatus { return hv.ExecStatus{} }
	w, f, vm := running(t, a)
	job, err := w.Fleet.ExecGuest(t.Context(), fleettest.Actor, vm.ID, fleet.ExecGuest{GuestExec: domain.GuestExec{Argv: []string{"sleep", "99"}, TimeoutS: 1}})
	res := execResult(t, w.Succeed(t, job, err))
	if !res.TimedOut || res.Signal != 9 {
		t.Errorf("%+v", res)
	}
	if ran := f.Ran(vm.UUID); len(ran) != 2 || ran[1][0] != "kill" || ran[1][2] != "101" {
		t.Errorf("ran %v", ran)
	}
}

func TestACancelledCommandIsKilled(t *testing.T) {
	a := agent()
	started := make(chan struct{})
	a.Exec = func([]string) hv.ExecStatus { close(started); return hv.ExecStatus{} }
	w, f, vm := running(t, a)
	job, err := w.Fleet.ExecGuest(t.Context(), fleettest.Actor, vm.ID, fleet.ExecGuest{GuestExec: domain.GuestExec{Argv: []string{"sleep", "99"}}})
	if err != nil {
		t.Fatal(err)
	}
	<-started
	w.Until(t, "the command is running", func() bool {
		return slices.ContainsFunc(w.Events(t, vm.ID), func(e domain.Event) bool { return e.Kind == "guest.exec" })
	})
	if err := w.Engine.Cancel(t.Context(), job.ID, fleettest.Actor); err != nil {
		t.Fatal(err)
	}
	w.Wait(t, job, nil)
	if ran := f.Ran(vm.UUID); len(ran) != 2 || ran[1][0] != "kill" {
		t.Errorf("ran %v", ran)
	}
}

func TestWhatIsRefusedAtOnce(t *testing.T) {
	w, _, vm := running(t, agent())
	ctx := t.Context()
	if err := w.Fleet.SetExecRules(ctx, fleettest.Actor, vm.ID, domain.ExecRules{"uptime", "/systemctl (status|restart) [a-z]+/"}); err != nil {
		t.Fatal(err)
	}
	run := func(argv ...string) error {
		job, err := w.Fleet.ExecGuest(ctx, fleettest.Actor, vm.ID, fleet.ExecGuest{GuestExec: domain.GuestExec{Argv: argv}})
		if err == nil {
			w.Succeed(t, job, nil)
		}
		return err
	}
	for _, argv := range [][]string{{"rm", "-rf", "/"}, {"systemctl", "stop", "x"}, {"systemctl", "status", "x", ";"}, {"systemctl", "status x"}, {"uptimes"}, {"sh", "-c", "uptime"}} {
		if err := run(argv...); !domain.Is(err, domain.Denied) {
			t.Errorf("%q: %v", argv, err)
		}
	}
	for _, argv := range [][]string{{"uptime"}, {"uptime", "-p"}, {"systemctl", "restart", "nginx"}} {
		if err := run(argv...); err != nil {
			t.Errorf("%q: %v", argv, err)
		}
	}
	if err := run(); !domain.Is(err, domain.Invalid) {
		t.Errorf("no command: %v", err)
	}
	if err := w.Fleet.SetExecRules(ctx, fleettest.Actor, vm.ID, domain.ExecRules{"/(/"}); !domain.Is(err, domain.Invalid) {
		t.Errorf("a broken rule: %v", err)
	}
	if _, err := w.Fleet.FreezeGuest(ctx, fleettest.Actor, vm.ID, 601, ""); !domain.Is(err, domain.Invalid) {
		t.Errorf("a long freeze: %v", err)
	}
	if _, err := w.Fleet.SetGuestKeys(ctx, fleettest.Actor, vm.ID, fleet.GuestKeys{User: "root", Keys: []string{key + "\n" + key}}); !domain.Is(err, domain.Invalid) {
		t.Errorf("two keys in one line: %v", err)
	}
	if _, err := w.Fleet.SetGuestPassword(ctx, fleettest.Actor, vm.ID, fleet.GuestPassword{User: "root"}); !domain.Is(err, domain.Invalid) {
		t.Errorf("no password: %v", err)
	}
	job, err := w.Fleet.ActVM(ctx, fleettest.Actor, vm.ID, domain.ActStop, fleet.ActOptions{})
	w.Succeed(t, job, err)
	if err := run("uptime"); !domain.Is(err, domain.Conflict) {
		t.Errorf("a stopped VM: %v", err)
	}
}

func TestPasswordKeysAndClock(t *testing.T) {
	w, f, vm := running(t, agent())
	ctx := t.Context()
	job, err := w.Fleet.SetGuestPassword(ctx, fleettest.Actor, vm.ID, fleet.GuestPassword{User: "root", Password: "geheim-42"})
	job = w.Succeed(t, job, err)
	job, err = w.DB.Job(ctx, job.ID)
	if err != nil {
		t.Fatal(err)
	}
	var sent string
	f.AgentState(vm.UUID, func(a *hvtest.Agent) { sent = a.Passwords["root"] })
	if !strings.HasPrefix(sent, "$6$") {
		t.Errorf("the guest was sent %q", sent)
	}
	lines, err := w.DB.JobLog(ctx, job.ID)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal([]any{job, lines, w.Events(t, vm.ID)})
	if err != nil || strings.Contains(string(kept), "geheim-42") || strings.Contains(string(kept), sent) {
		t.Errorf("the password or its hash was written down: %s", kept)
	}

	other := strings.Replace(key, "Ex ada", "Fx bob", 1)
	f.AgentState(vm.UUID, func(a *hvtest.Agent) { a.Keys = map[string][]string{"root": {key}} })
	job, err = w.Fleet.SetGuestKeys(ctx, fleettest.Actor, vm.ID, fleet.GuestKeys{User: "root", Keys: []string{strings.Replace(key, "ada@home", "again", 1), other}, Add: true})
	w.Succeed(t, job, err)
	f.AgentState(vm.UUID, func(a *hvtest.Agent) {
		if !slices.Equal(a.Keys["root"], []string{key, other}) {
			t.Errorf("keys %q", a.Keys["root"])
		}
	})
	job, err = w.Fleet.SyncGuestTime(ctx, fleettest.Actor, vm.ID, "")
	w.Succeed(t, job, err)
	f.AgentState(vm.UUID, func(a *hvtest.Agent) {
		if time.Since(a.Clock) > time.Minute {
			t.Errorf("the clock was set to %s", a.Clock)
		}
	})
}

func TestAFrozenGuestIsThawed(t *testing.T) {
	w, f, vm := running(t, agent())
	ctx := t.Context()
	look, err := w.Fleet.LookGuest(ctx, fleettest.Actor, vm.ID, "")
	w.Succeed(t, look, err)
	t.Run("when the time is over", func(t *testing.T) {
		job, err := w.Fleet.FreezeGuest(ctx, fleettest.Actor, vm.ID, 1, "")
		w.Succeed(t, job, err)
		if f.Frozen(vm.UUID) || f.Calls("FreezeFS") != 1 {
			t.Error("it is frozen still, or never was")
		}
	})
	freeze := func(t *testing.T) domain.Job {
		job, err := w.Fleet.FreezeGuest(ctx, fleettest.Actor, vm.ID, 300, "")
		if err != nil {
			t.Fatal(err)
		}
		w.Until(t, "it is frozen", func() bool {
			rec, err := w.DB.GuestRecord(ctx, vm.ID)
			return err == nil && rec.Facts.Frozen && f.Frozen(vm.UUID)
		})
		return job
	}
	t.Run("when it is asked for", func(t *testing.T) {
		job := freeze(t)
		thaw, err := w.Fleet.ThawGuest(ctx, fleettest.Actor, vm.ID, "")
		w.Succeed(t, thaw, err)
		w.Succeed(t, job, nil)
	})
	t.Run("when the job is cancelled", func(t *testing.T) {
		job := freeze(t)
		if err := w.Engine.Cancel(ctx, job.ID, fleettest.Actor); err != nil {
			t.Fatal(err)
		}
		w.Wait(t, job, nil)
		if f.Frozen(vm.UUID) {
			t.Error("it is frozen still")
		}
	})
	t.Run("when it was powered off meanwhile", func(t *testing.T) {
		job := freeze(t)
		stop, err := w.Fleet.ActVM(ctx, fleettest.Actor, vm.ID, domain.ActStop, fleet.ActOptions{})
		w.Succeed(t, stop, err)
		w.Succeed(t, job, nil)
	})
}

// Whatever step fails, repeats or is cut by a crash: no guest stays frozen.
func TestSweepFreeze(t *testing.T) {
	sweep(t, nil, func(t testing.TB, f *hvtest.Fake, vm domain.VM, job domain.Job) {
		if f.Frozen(vm.UUID) {
			t.Errorf("%s, and the guest is frozen", job.State)
		}
	})
}

// Whatever happens a command is started at most once.
func TestSweepExec(t *testing.T) {
	sweep(t, func(ctx context.Context, front *fleet.Fleet, vm domain.VM) (domain.Job, error) {
		return front.ExecGuest(ctx, fleettest.Actor, vm.ID, fleet.ExecGuest{GuestExec: domain.GuestExec{Argv: []string{"date"}}})
	}, func(t testing.TB, f *hvtest.Fake, vm domain.VM, job domain.Job) {
		if n := len(f.Ran(vm.UUID)); n > 1 || job.State == domain.JobSucceeded && n != 1 {
			t.Errorf("%s, and the command ran %d times", job.State, n)
		}
	})
}

func TestSweepKeys(t *testing.T) {
	sweep(t, func(ctx context.Context, front *fleet.Fleet, vm domain.VM) (domain.Job, error) {
		return front.SetGuestKeys(ctx, fleettest.Actor, vm.ID, fleet.GuestKeys{User: "root", Keys: []string{key}})
	}, func(t testing.TB, f *hvtest.Fake, vm domain.VM, job domain.Job) {
		f.AgentState(vm.UUID, func(a *hvtest.Agent) {
			if want := 1; job.State == domain.JobSucceeded && len(a.Keys["root"]) != want || job.State == domain.JobUndone && len(a.Keys["root"]) != 0 {
				t.Errorf("%s, keys %q", job.State, a.Keys)
			}
		})
	})
}

func sweep(t *testing.T, ask func(context.Context, *fleet.Fleet, domain.VM) (domain.Job, error), check func(testing.TB, *hvtest.Fake, domain.VM, domain.Job)) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: true})
		vm := w.VM(t, "web-1")
		f.SetAgent(vm.UUID, agent())
		fix := w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) { return ask(ctx, front, vm) },
			func(t testing.TB, job domain.Job) {
				w.Free(t, job.Locks...)
				check(t, f, vm, job)
			})
		if ask == nil { // no time to hold: nobody waits for a clock here
			fix.Enqueue = func(ctx context.Context, e *jobs.Engine) (domain.Job, error) {
				on := guest.On{VMID: vm.ID, HostID: vm.HostID, UUID: vm.UUID, Name: vm.Name}
				return e.Enqueue(ctx, jobs.Request{Kind: guest.KindFreeze, Title: "Freeze", Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, Locks: []string{"guest:" + vm.ID}, Input: guest.Freeze{On: on}})
			}
		}
		return fix
	})
}

func TestCollector(t *testing.T) {
	w, f, vm := running(t, nil)
	ctx := t.Context()
	now := time.Now()
	c := guest.NewCollector(w.DB, w.Rec.Hosts(w.Pool), slog.New(slog.DiscardHandler), func() time.Time { return now }, guest.CollectorOptions{})
	round := func() domain.GuestRecord {
		t.Helper()
		if err := c.Round(ctx); err != nil {
			t.Fatal(err)
		}
		rec, err := w.DB.GuestRecord(ctx, vm.ID)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	asked := func() int { return f.Calls("GuestFacts") }
	if rec := round(); rec.Answers() || rec.Problem == "" || rec.Fix == "" {
		t.Errorf("without an agent: %+v", rec)
	}
	round()
	if asked() != 1 {
		t.Errorf("asked %d times in one moment", asked())
	}
	f.SetAgent(vm.UUID, agent())
	now = now.Add(10 * time.Second)
	rec := round()
	if !rec.Answers() || rec.Facts.OSName != "Debian GNU/Linux 12" || !slices.Equal(rec.Facts.Addresses(), []string{"192.0.2.7"}) {
		t.Errorf("with an agent: %+v", rec)
	}
	news := func() (n int, last string) {
		for _, e := range w.Events(t, vm.ID) {
			if e.Kind == "guest.changed" {
				n, last = n+1, e.Message
			}
		}
		return n, last
	}
	if n, last := news(); n != 1 || last != "The guest agent of web-1 answers: Debian GNU/Linux 12, 192.0.2.7." {
		t.Errorf("%d events, the last %q", n, last)
	}
	f.AgentState(vm.UUID, func(a *hvtest.Agent) { a.Facts.Load, a.Facts.Clock = []float64{1, 2, 3}, now })
	now = now.Add(30 * time.Second)
	round()
	if asked() != 2 {
		t.Error("an agent that answers is asked too often")
	}
	now = now.Add(31 * time.Second)
	if rec := round(); len(rec.Facts.Load) != 3 {
		t.Errorf("load %v", rec.Facts.Load)
	}
	if n, _ := news(); n != 1 {
		t.Error("a changed load is an event")
	}
	if _, err := f.FreezeFS(ctx, vm.UUID); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if rec := round(); !rec.Facts.Frozen || rec.Facts.Hostname != "web-1" {
		t.Errorf("frozen: %+v", rec)
	}
	f.SetAgent(vm.UUID, nil)
	now = now.Add(time.Minute)
	if rec := round(); rec.Answers() || rec.Facts.Hostname != "web-1" {
		t.Errorf("silent again: %+v", rec)
	}
	if n, last := news(); n != 3 || !strings.Contains(last, "does not answer any more") {
		t.Errorf("%d events, the last %q", n, last)
	}
	before := asked()
	for range 200 {
		now = now.Add(10 * time.Second)
		round()
	}
	if n := asked() - before; n > 30 {
		t.Errorf("a silent guest was asked %d times in half an hour", n)
	}
	if err := w.DB.Write(ctx, func(tx *db.Tx) error { return tx.DeleteVM(vm.ID) }); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if err := c.Round(ctx); err != nil {
		t.Errorf("after the VM went: %v", err)
	}
}
