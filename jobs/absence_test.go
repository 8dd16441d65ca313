package jobs

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
)

// absence is a host in the database whose state the test sets, and a step that fails while it is away.
type absence struct {
	d    *db.DB
	away atomic.Bool
}

func newAbsence(t *testing.T, d *db.DB) *absence {
	t.Helper()
	a := &absence{d: d}
	a.away.Store(true)
	if err := d.Write(t.Context(), func(tx *db.Tx) error {
		return tx.InsertHost(domain.Host{ID: "host_b2", Name: "b2", URI: "u", State: domain.HostAway}, domain.HostCredentials{})
	}); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *absence) set(t *testing.T, state domain.HostState) {
	t.Helper()
	a.away.Store(state != domain.HostConnected)
	if err := a.d.Write(t.Context(), func(tx *db.Tx) error {
		if _, err := tx.SetHostState("host_b2", state, "", "", time.Now()); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "host.changed", Resource: domain.Ref{Kind: "host", ID: "host_b2"}})
	}); err != nil {
		t.Fatal(err)
	}
}

func (a *absence) do(context.Context, *Run) error {
	if a.away.Load() {
		return domain.Errorf(domain.Unavailable, "b2 does not answer.")
	}
	return nil
}

// waiting returns when the job says that it waits for b2.
func waiting(t *testing.T, e *Engine, id string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	found := false
	e.Live(ctx, func(job string, p domain.Progress) {
		if job == id && p.Text == "waiting for host b2 to come back" {
			found = true
			stop()
		}
	})
	if !found {
		t.Fatal("it never said that it waits")
	}
}

func TestAnUndoWaitsForItsHost(t *testing.T) {
	undo := func(a *absence) Kind { return kind("k", Step{Name: "a", Do: a.do, Undo: a.do}) }
	past := func(a *absence) Kind { return kind("k", Step{Name: "a", Final: true, Do: a.do}) }
	one := map[string]string{"host_id": "host_b2"}
	for _, c := range []struct {
		name  string
		kind  func(a *absence) Kind
		input map[string]string
		want  string
	}{
		{"undo", undo, one, "undone: undone"},
		{"past the point of no return", past, one, "succeeded: done"},
		{"to a host that is away", past, map[string]string{"from_id": "host_gone", "to_id": "host_b2"}, "succeeded: done"},
		{"from a host that is away", undo, map[string]string{"from_id": "host_b2", "to_id": "host_gone"}, "undone: undone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := openDB(t)
			a := newAbsence(t, d)
			e := newEngine(t, d, Options{Workers: 1}, c.kind(a), kind("free", Step{Name: "a", NoUndo: "x", Do: func(context.Context, *Run) error { return nil }}))
			run(t, e)
			job := enqueue(t, e, Request{Kind: "k", Locks: []string{"x"}, Input: c.input})
			waiting(t, e, job.ID)
			if other := wait(t, e, enqueue(t, e, Request{Kind: "free"}).ID); other.State != domain.JobSucceeded {
				t.Error("a job that waits keeps the only worker")
			}
			if job, _ = d.Job(t.Context(), job.ID); job.State != domain.JobRunning {
				t.Errorf("while it waits: %s", states(job))
			}
			a.set(t, domain.HostAway) // an event of the host that changes nothing
			a.set(t, domain.HostConnected)
			if job = wait(t, e, job.ID); states(job) != c.want {
				t.Error(states(job))
			}
		})
	}
}

func TestAPersonCanEndTheWaitForAHost(t *testing.T) {
	d := openDB(t)
	a := newAbsence(t, d)
	e := newEngine(t, d, Options{}, kind("k", Step{Name: "a", Do: a.do, Undo: a.do}))
	run(t, e)
	job := enqueue(t, e, Request{Kind: "k", Locks: []string{"x"}, Input: map[string]string{"host_id": "host_b2"}})
	waiting(t, e, job.ID)
	if err := e.Cancel(t.Context(), job.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	if job = wait(t, e, job.ID); job.State != domain.JobStuck || !strings.Contains(job.Help, "Ask someone") {
		t.Fatal(states(job), job.Help)
	}
	if err := e.Dismiss(t.Context(), job.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	if _, held, _ := d.LockHolder(t.Context(), "x"); held {
		t.Error("the lock is held")
	}
}

func TestAWaitSurvivesARestart(t *testing.T) {
	d := openDB(t)
	a := newAbsence(t, d)
	k := kind("k", Step{Name: "a", Do: a.do, Undo: a.do})
	e := newEngine(t, d, Options{}, k)
	stop := run(t, e)
	job := enqueue(t, e, Request{Kind: "k", Input: map[string]string{"host_id": "host_b2"}})
	waiting(t, e, job.ID)
	stop()
	e = newEngine(t, d, Options{}, k)
	run(t, e)
	waiting(t, e, job.ID)
	a.set(t, domain.HostConnected)
	if job = wait(t, e, job.ID); states(job) != "undone: undone" {
		t.Error(states(job))
	}
}

func TestAJobWhoseHostWasRemovedIsStuck(t *testing.T) {
	d := openDB(t)
	a := newAbsence(t, d)
	e := newEngine(t, d, Options{}, kind("k", Step{Name: "a", Do: a.do, Undo: a.do}))
	run(t, e)
	job := enqueue(t, e, Request{Kind: "k", Input: map[string]string{"host_id": "host_b2"}})
	waiting(t, e, job.ID)
	if err := d.Write(t.Context(), func(tx *db.Tx) error {
		if err := tx.DeleteHost("host_b2"); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "host.removed", Resource: domain.Ref{Kind: "host", ID: "host_b2"}})
	}); err != nil {
		t.Fatal(err)
	}
	if job = wait(t, e, job.ID); job.State != domain.JobStuck {
		t.Error(states(job))
	}
}
