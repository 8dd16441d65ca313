package power_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/power"
	"novacron/jobs/reconcile"
)

func TestEveryActionWritesTheStateBeforeItEnds(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	for _, step := range []struct {
		act   domain.VMAction
		want  domain.VMState
		title string
		told  string
	}{
		{domain.ActStart, domain.VMRunning, "Start web-1", "web-1 was started"},
		{domain.ActPause, domain.VMPaused, "Pause web-1", "web-1 was paused"},
		{domain.ActResume, domain.VMRunning, "Resume web-1", "web-1 was resumed"},
		{domain.ActReboot, domain.VMRunning, "Reboot web-1", ""},
		{domain.ActReset, domain.VMRunning, "Reset web-1", ""},
		{domain.ActSave, domain.VMSaved, "Save web-1", "web-1 was saved"},
		{domain.ActRestore, domain.VMRunning, "Restore web-1", "web-1 was"},
		{domain.ActSave, domain.VMSaved, "Save web-1", "web-1 was saved"},
		{domain.ActDiscard, domain.VMStopped, "Discard the saved state of web-1", "web-1"},
		{domain.ActStart, domain.VMRunning, "Start web-1", "web-1 was started"},
		{domain.ActShutdown, domain.VMStopped, "Shut down web-1", "web-1 was shut down"},
		{domain.ActStart, domain.VMRunning, "Start web-1", "web-1 was started"},
		{domain.ActStop, domain.VMStopped, "Power off web-1", "web-1 was powered off"},
	} {
		job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, step.act, fleet.ActOptions{})
		job = w.Succeed(t, job, err)
		got, err := w.DB.VM(t.Context(), vm.ID)
		if err != nil || got.State != step.want {
			t.Fatalf("%s: the row says %s (%v), want %s", step.act, got.State, err, step.want)
		}
		var res power.Result
		if err := json.Unmarshal(job.Result, &res); err != nil || res.State != step.want || res.VMID != vm.ID {
			t.Errorf("%s: result is %s", step.act, job.Result)
		}
		if job.Title != step.title {
			t.Errorf("title is %q, want %q", job.Title, step.title)
		}
		evs := w.Events(t, vm.ID)
		if last := evs[len(evs)-1]; !strings.HasPrefix(last.Message, step.told) || step.told != "" && (last.JobID != job.ID || last.Actor != fleettest.Actor) {
			t.Errorf("%s: last event is %+v", step.act, last)
		}
		w.Free(t, vm.ID)
	}
	if g, _ := fleettest.Guest(f, "web-1"); g.State != domain.VMStopped {
		t.Errorf("the guest is %s", g.State)
	}
}

func TestWhatTheStateForbidsIsRefusedAtOnce(t *testing.T) {
	w, _, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	for _, act := range []domain.VMAction{domain.ActStop, domain.ActShutdown, domain.ActPause, domain.ActResume, domain.ActDiscard} {
		if _, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, act, fleet.ActOptions{}); !domain.Is(err, domain.Conflict) {
			t.Errorf("%s of a stopped VM: %v", act, err)
		}
	}
	if _, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActConsole, fleet.ActOptions{}); !domain.Is(err, domain.Unsupported) {
		t.Errorf("console: %v", err)
	}
	if _, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, "vm_none", domain.ActStart, fleet.ActOptions{}); !domain.Is(err, domain.NotFound) {
		t.Errorf("no such VM: %v", err)
	}
	if _, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStart, fleet.ActOptions{ForceAfter: -1}); !domain.Is(err, domain.Invalid) {
		t.Errorf("force after -1 ns: %v", err)
	}
}

func TestBusyVMNamesItsHolder(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	release := f.Hang("Start")
	job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStart, fleet.ActOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Fleet.ActVM(t.Context(), "bob", vm.ID, domain.ActStart, fleet.ActOptions{})
	e, ok := err.(*domain.Error)
	if !ok || e.Code != domain.Conflict || e.Holder != job.ID || !strings.Contains(e.Msg, "Start web-1") {
		t.Errorf("%s", fleettest.Detail(err))
	}
	release()
	w.Succeed(t, job, nil)
}

func TestShutdownOfADeafGuest(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	f.IgnoreShutdown(vm.UUID, true)
	job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActShutdown, fleet.ActOptions{ForceAfter: 20 * time.Millisecond})
	job = w.Succeed(t, job, err)
	var res power.Result
	if err := json.Unmarshal(job.Result, &res); err != nil || !res.Forced || w.VM(t, "web-1").State != domain.VMStopped {
		t.Errorf("result is %s", job.Result)
	}
	log, err := w.DB.JobLog(t.Context(), job.ID)
	if err != nil || len(log) == 0 || !strings.Contains(log[len(log)-1].Text, "powered off") {
		t.Errorf("log is %+v (%v)", log, err)
	}
}

func TestShutdownThatTheGuestIgnoresSaysWhatToDo(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	f, h := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: true})
	vm := w.VM(t, "web-1")
	f.IgnoreShutdown(vm.UUID, true)
	e := jobstest.NewEngine(w.DB, nil)
	e.Register(power.Kinds(power.Deps{DB: w.DB, Hosts: w.Pool, Mirror: w.Rec.Mirror, Patience: 20 * time.Millisecond})...)
	jobstest.Run(t, e)
	job, err := e.Enqueue(t.Context(), jobs.Request{Kind: power.Kind(domain.ActShutdown), Title: "Shut down web-1", Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: "web-1"}, Locks: []string{vm.ID},
		Input: power.Input{VMID: vm.ID, HostID: h.ID, UUID: vm.UUID, Name: "web-1"}, Actor: fleettest.Actor})
	if err != nil {
		t.Fatal(err)
	}
	job = jobstest.Wait(t, e, job.ID)
	if job.State != domain.JobUndone || !strings.Contains(job.Error.Message, "did not shut down") || !strings.Contains(job.Error.Fix, "power it off") {
		t.Errorf("%s", jobstest.Show(job))
	}
	if w.VM(t, "web-1").State != domain.VMRunning {
		t.Error("it was powered off")
	}
}

func TestShutdownWaitsForTheGuest(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	f.IgnoreShutdown(vm.UUID, true)
	job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActShutdown, fleet.ActOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Until(t, "the job has begun", func() bool {
		j, err := w.DB.Job(t.Context(), job.ID)
		return err == nil && j.Steps[0].State == domain.StepStarted
	})
	f.SetState(vm.UUID, domain.VMStopped, "shut down by the guest")
	w.Succeed(t, job, nil)
	evs := w.Events(t, vm.ID)
	if last := evs[len(evs)-1]; !strings.HasPrefix(last.Message, "web-1 was shut down") || last.Actor != fleettest.Actor || last.JobID != job.ID {
		t.Errorf("last event is %+v", last)
	}
}

func TestFailedActionLeavesATrueRow(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	f.FailAfter("Start", domain.Errorf(domain.Internal, "QEMU says something odd."), 1)
	job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStart, fleet.ActOptions{})
	w.Undone(t, job, err, domain.Internal)
	if got := w.VM(t, "web-1"); got.State != domain.VMRunning {
		t.Errorf("it runs, but the row says %s", got.State)
	}
}

func TestCancelOfAHangingStart(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	release := f.Hang("Start")
	defer release()
	job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStart, fleet.ActOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Until(t, "the start has begun", func() bool {
		j, err := w.DB.Job(t.Context(), job.ID)
		return err == nil && j.Steps[0].State == domain.StepStarted
	})
	if err := w.Engine.Cancel(t.Context(), job.ID, fleettest.Actor); err != nil {
		t.Fatal(err)
	}
	w.Undone(t, job, nil, domain.Conflict)
	w.Free(t, vm.ID)
}

func TestHostAway(t *testing.T) {
	w, f, h := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), false)
	f.SetDown(true)
	w.Until(t, "the host is away", func() bool {
		got, err := w.DB.Host(t.Context(), h.ID)
		return err == nil && got.State == domain.HostAway
	})
	got := w.VM(t, "web-1")
	if got.State != domain.VMAway || got.LastState != domain.VMStopped {
		t.Errorf("it is %s, last %s", got.State, got.LastState)
	}
	if _, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStart, fleet.ActOptions{}); !domain.Is(err, domain.Unavailable) {
		t.Errorf("%v", err)
	}
}

func TestSweep(t *testing.T) {
	for _, act := range []domain.VMAction{domain.ActStart, domain.ActStop, domain.ActShutdown} {
		t.Run(string(act), func(t *testing.T) {
			jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
				w := fleettest.Bare(t, reconcile.Options{})
				f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: act != domain.ActStart})
				vm := w.VM(t, "web-1")
				return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
					return front.ActVM(ctx, fleettest.Actor, vm.ID, act, fleet.ActOptions{})
				}, func(t testing.TB, job domain.Job) {
					w.Free(t, vm.ID)
					g, ok := fleettest.Guest(f, "web-1")
					if !ok {
						t.Fatal("the guest is gone")
					}
					w.Until(t, "the row says what the host says", func() bool { return w.VM(t, "web-1").LastState == g.State })
					if job.State == domain.JobSucceeded && (g.State == vm.State) {
						t.Errorf("it is still %s", g.State)
					}
				})
			})
		})
	}
}
