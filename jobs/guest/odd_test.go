package guest_test

import (
	"context"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/guest"
)

// What a guest answers while somebody stops it, or its agent is restarted, is told as what it is.
func TestAGuestThatGoesWhileItIsAskedIsNoMystery(t *testing.T) {
	a := agent()
	w, f, vm := running(t, a)
	ctx := t.Context()
	f.SetAgent(vm.UUID, nil)
	for what, ask := range map[string]func() (domain.Job, error){
		"a command": func() (domain.Job, error) {
			return w.Fleet.ExecGuest(ctx, fleettest.Actor, vm.ID, fleet.ExecGuest{GuestExec: domain.GuestExec{Argv: []string{"uptime"}}})
		},
		"the clock": func() (domain.Job, error) { return w.Fleet.SyncGuestTime(ctx, fleettest.Actor, vm.ID, "") },
		"a password": func() (domain.Job, error) {
			return w.Fleet.SetGuestPassword(ctx, fleettest.Actor, vm.ID, fleet.GuestPassword{User: "root", Password: "geheim-42"})
		},
		"keys": func() (domain.Job, error) {
			return w.Fleet.SetGuestKeys(ctx, fleettest.Actor, vm.ID, fleet.GuestKeys{User: "root", Keys: []string{key}})
		},
		"a look": func() (domain.Job, error) { return w.Fleet.LookGuest(ctx, fleettest.Actor, vm.ID, "") },
	} {
		job, err := ask()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		job = w.Wait(t, job, nil)
		if job.State != domain.JobUndone || job.Error == nil || job.Error.Code != domain.Unavailable {
			t.Errorf("%s: %s %+v", what, job.State, job.Error)
		}
	}
	rec, err := w.DB.GuestRecord(ctx, vm.ID)
	if err != nil || rec.Answers() || rec.Problem == "" {
		t.Errorf("what is known of it: %+v %v", rec, err)
	}
}

// A collector that runs by the clock asks by itself.
func TestTheCollectorRuns(t *testing.T) {
	w, _, vm := running(t, agent())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := guest.NewCollector(w.DB, w.Pool, w.Log, time.Now, guest.CollectorOptions{Tick: 5 * time.Millisecond})
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	w.Until(t, "an answer", func() bool {
		rec, err := w.DB.GuestRecord(t.Context(), vm.ID)
		return err == nil && rec.Answers() && rec.Facts.Hostname == "web-1"
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What programs print is not always text, and may be cut in the middle of a character.
func TestOutputThatWasCutIsStillText(t *testing.T) {
	a := agent()
	long := make([]byte, 0, hv.ExecKeep+4)
	for len(long) < hv.ExecKeep-1 {
		long = append(long, 'x')
	}
	long = append(long, "ää"...)
	a.Exec = func([]string) hv.ExecStatus { return hv.ExecStatus{Ended: true, Out: long} }
	w, _, vm := running(t, a)
	job, err := w.Fleet.ExecGuest(t.Context(), fleettest.Actor, vm.ID, fleet.ExecGuest{GuestExec: domain.GuestExec{Argv: []string{"cat"}}})
	res := execResult(t, w.Succeed(t, job, err))
	if !res.StdoutMore || len(res.Stdout) != hv.ExecKeep-1 {
		t.Errorf("%d bytes, more %v, ends with %q", len(res.Stdout), res.StdoutMore, res.Stdout[len(res.Stdout)-4:])
	}
}
