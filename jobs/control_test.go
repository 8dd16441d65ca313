package jobs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
)

func TestStuckThenRetriedOrDismissed(t *testing.T) {
	d, w := openDB(t), &world{}
	var mu sync.Mutex
	broken := true
	fix := func(b bool) { mu.Lock(); broken = b; mu.Unlock() }
	undo := func(context.Context, *Run) error {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			return domain.Errorf(domain.Conflict, "a file is in the way.").WithFix("Remove it.")
		}
		w.set("a", false)
		return nil
	}
	e := newEngine(t, d, Options{}, kind("k", Step{Name: "a", Do: func(context.Context, *Run) error { w.set("a", true); return nil }, Undo: undo},
		w.step("b", func(context.Context, *Run) error { return domain.Errorf(domain.Internal, "no") })))
	run(t, e)
	job := wait(t, e, enqueue(t, e, Request{Kind: "k", Title: "Make", Locks: []string{"x"}}).ID)
	if states(job) != "stuck: undoing undone" || !strings.Contains(job.Help, "Remove it. Ask someone.") || job.Error.Step != "b" || job.Steps[0].Error != "a file is in the way." {
		t.Fatalf("%s %q %+v", states(job), job.Help, job)
	}
	_, err := e.Enqueue(t.Context(), Request{Kind: "k", Actor: "bob", Locks: []string{"x"}})
	if de, _ := errors.AsType[*domain.Error](err); de == nil || de.Holder != job.ID || !strings.Contains(de.Msg, "stuck") {
		t.Errorf("a stuck job must hold its locks: %v", err)
	}
	if err := e.Cancel(t.Context(), job.ID, "bob"); !domain.Is(err, domain.Conflict) {
		t.Errorf("cancel of a stuck job: %v", err)
	}
	if err := e.Retry(t.Context(), job.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	job = wait(t, e, job.ID)
	if states(job) != "stuck: undoing undone" || job.Attempts != 2 {
		t.Fatalf("again: %s %d", states(job), job.Attempts)
	}
	fix(false)
	if err := e.Retry(t.Context(), job.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	job = wait(t, e, job.ID)
	if states(job) != "undone: undone undone" || job.Help != "" || w.have["a"] || job.Error.Message != "no" {
		t.Errorf("%s %+v", states(job), job)
	}
	if err := e.Retry(t.Context(), job.ID, "bob"); !domain.Is(err, domain.Conflict) {
		t.Errorf("retry of an undone job: %v", err)
	}
	fix(true)
	job = wait(t, e, enqueue(t, e, Request{Kind: "k", Locks: []string{"x"}}).ID)
	if err := e.Dismiss(t.Context(), job.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	job, _ = d.Job(t.Context(), job.ID)
	if _, held, _ := d.LockHolder(t.Context(), "x"); held || job.State != domain.JobUndone {
		t.Errorf("dismissed: held %v, %s", held, job.State)
	}
	lines, _ := d.JobLog(t.Context(), job.ID)
	if last := lines[len(lines)-1].Text; last != "Stuck; dismissed by bob." {
		t.Errorf("log ends with %q", last)
	}
}

func TestAHostThatComesBackFreesStuckJobs(t *testing.T) {
	d, w := openDB(t), &world{}
	var mu sync.Mutex
	away := true
	gone := func(context.Context, *Run) error {
		mu.Lock()
		defer mu.Unlock()
		if away {
			return domain.Errorf(domain.Unavailable, "b2 does not answer.")
		}
		w.set("a", false)
		return nil
	}
	e := newEngine(t, d, Options{}, kind("k", Step{Name: "a", Do: gone, Undo: gone}), kind("other", Step{Name: "a", Final: true, Do: func(context.Context, *Run) error { return domain.Errorf(domain.Conflict, "no") }}))
	run(t, e)
	host := domain.Host{ID: "host_b2", Name: "b2", URI: "u", State: domain.HostAway}
	change := func(state domain.HostState) {
		t.Helper()
		if err := d.Write(t.Context(), func(tx *db.Tx) error {
			if _, err := tx.SetHostState(host.ID, state, "", "", time.Now()); err != nil {
				return err
			}
			return tx.Emit(domain.Event{Kind: "host.changed", Resource: domain.Ref{Kind: "host", ID: host.ID}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Write(t.Context(), func(tx *db.Tx) error { return tx.InsertHost(host, domain.HostCredentials{}) }); err != nil {
		t.Fatal(err)
	}
	job, other := wait(t, e, enqueue(t, e, Request{Kind: "k"}).ID), wait(t, e, enqueue(t, e, Request{Kind: "other"}).ID)
	if job.State != domain.JobStuck || job.Steps[0].Code != domain.Unavailable || other.State != domain.JobStuck {
		t.Fatal(states(job), states(other))
	}
	mu.Lock()
	away = false
	mu.Unlock()
	change(domain.HostAway)
	seq := d.Feed().Last()
	change(domain.HostConnected)
	for job.State == domain.JobStuck { // until the engine has seen the event
		if err := d.Feed().Wait(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
		seq = d.Feed().Last()
		job, _ = d.Job(t.Context(), job.ID)
	}
	if job = wait(t, e, job.ID); states(job) != "undone: undone" {
		t.Error(states(job))
	}
	if other, _ = d.Job(t.Context(), other.ID); other.Attempts != 1 {
		t.Error("a job that was stopped by something else was tried again")
	}
}

func TestPointOfNoReturn(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error // of the Final step, as long as fails is left
		fails  int
		after  int // failures of the step after it
		want   string
		undone bool
	}{
		{"works", nil, 0, 0, "succeeded: done done done", false},
		{"fails, then works", domain.Errorf(domain.Conflict, "x"), 2, 0, "succeeded: done done done", false},
		{"fails for good", domain.Errorf(domain.Conflict, "x"), 99, 0, "stuck: done failed pending", false},
		{"was not reached", BeforeFinal(domain.Errorf(domain.Conflict, "x")), 99, 0, "undone: undone undone pending", true},
		{"later step fails for good", nil, 0, 99, "stuck: done done failed", false},
		{"later step fails, then works", nil, 0, 2, "succeeded: done done done", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, w := openDB(t), &world{}
			fails, after := c.fails, c.after
			e := newEngine(t, d, Options{}, kind("k", w.step("a", nil),
				Step{Name: "b", Final: true, Do: func(context.Context, *Run) error {
					if fails > 0 {
						fails--
						return c.err
					}
					return nil
				}},
				w.step("c", func(context.Context, *Run) error {
					if after > 0 {
						after--
						return domain.Errorf(domain.Conflict, "y")
					}
					return nil
				})))
			run(t, e)
			job := wait(t, e, enqueue(t, e, Request{Kind: "k"}).ID)
			if states(job) != c.want || w.have["a"] == c.undone {
				t.Fatalf("%s; %s", states(job), w.history())
			}
			if job.State != domain.JobStuck {
				return
			}
			fails, after = 0, 0
			if err := e.Retry(t.Context(), job.ID, "bob"); err != nil {
				t.Fatal(err)
			}
			if job = wait(t, e, job.ID); states(job) != "succeeded: done done done" || job.Error != nil {
				t.Errorf("retried: %s %+v", states(job), job.Error)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	d, w := openDB(t), &world{}
	began := make(chan string, 10)
	block := func(ctx context.Context, r *Run) error {
		began <- r.Job().ID
		<-ctx.Done()
		if !r.Cancelled() {
			t.Error("not told")
		}
		return ctx.Err()
	}
	gate := make(chan struct{})
	e := newEngine(t, d, Options{Workers: 1}, kind("k", w.step("a", nil), w.step("b", block), w.step("c", nil)),
		kind("final", Step{Name: "s", Final: true, Do: func(ctx context.Context, r *Run) error { began <- r.Job().ID; <-gate; return ctx.Err() }}))
	run(t, e)
	job := enqueue(t, e, Request{Kind: "k"})
	<-began
	behind := enqueue(t, e, Request{Kind: "k", Locks: []string{"x"}}) // queued, as there is one worker
	if err := e.Cancel(t.Context(), behind.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	if behind = wait(t, e, behind.ID); states(behind) != "undone: pending pending pending" || behind.Error == nil {
		t.Errorf("queued: %s", states(behind))
	}
	if _, held, _ := d.LockHolder(t.Context(), "x"); held {
		t.Error("still locked")
	}
	if err := e.Cancel(t.Context(), job.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	job = wait(t, e, job.ID)
	if states(job) != "undone: undone undone pending" || w.history() != "+a +b -b -a" || !job.CancelAsk || job.Error.Message != "It was cancelled." {
		t.Errorf("%s; %s; %+v", states(job), w.history(), job.Error)
	}
	evs, _ := d.Events(t.Context(), db.EventQuery{JobID: job.ID})
	if !slices.ContainsFunc(evs, func(ev domain.Event) bool {
		return ev.Actor == "bob" && strings.Contains(ev.Message, "cancel asked by bob")
	}) {
		t.Errorf("no event names who cancelled: %+v", evs)
	}
	if err := e.Cancel(t.Context(), job.ID, "bob"); !domain.Is(err, domain.Conflict) {
		t.Errorf("twice: %v", err)
	}
	fin := enqueue(t, e, Request{Kind: "final"})
	<-began
	if err := e.Cancel(t.Context(), fin.ID, "bob"); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "no return") {
		t.Errorf("past the point of no return: %v", err)
	}
	close(gate)
	if fin = wait(t, e, fin.ID); fin.State != domain.JobSucceeded {
		t.Error(states(fin))
	}
	if err := e.Cancel(t.Context(), "job_none", "bob"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
}

func TestCancelWhileRetrying(t *testing.T) {
	d := openDB(t)
	tried := make(chan bool, 100)
	e := newEngine(t, d, Options{RetryFor: time.Hour, Backoff: func(int) time.Duration { return time.Minute }},
		kind("k", Step{Name: "s", NoUndo: "test", Do: func(context.Context, *Run) error { tried <- true; return domain.Errorf(domain.Unavailable, "gone.") }}))
	run(t, e)
	job := enqueue(t, e, Request{Kind: "k"})
	<-tried
	if err := e.Cancel(t.Context(), job.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	if job = wait(t, e, job.ID); job.State != domain.JobUndone || job.Error.Message != "It was cancelled." {
		t.Errorf("%s %+v", states(job), job.Error)
	}
}

func TestShutdownLeavesTheStepToTheNextRun(t *testing.T) {
	d, w := openDB(t), &world{}
	began := make(chan bool, 1)
	first := true
	k := kind("k", w.step("a", nil), w.step("b", func(ctx context.Context, r *Run) error {
		if !first {
			return nil
		}
		first = false
		r.Log("half way")
		began <- true
		<-ctx.Done()
		return ctx.Err()
	}))
	e := newEngine(t, d, Options{}, k)
	stop := run(t, e)
	job := enqueue(t, e, Request{Kind: "k", Locks: []string{"x"}})
	<-began
	stop()
	left, _ := d.Job(t.Context(), job.ID)
	if states(left) != "running: done started" {
		t.Fatalf("left as %s", states(left))
	}
	if _, held, _ := d.LockHolder(t.Context(), "x"); !held {
		t.Error("not locked any more")
	}
	if lines, _ := d.JobLog(t.Context(), job.ID); len(lines) != 1 {
		t.Errorf("log %v", lines)
	}
	e = newEngine(t, d, Options{}, k)
	run(t, e)
	if job = wait(t, e, job.ID); states(job) != "succeeded: done done" || job.Attempts != 2 || w.history() != "+a +b +b" {
		t.Errorf("%s %d %s", states(job), job.Attempts, w.history())
	}
}

func TestCancelOfALeftJobUndoesIt(t *testing.T) {
	d, w := openDB(t), &world{}
	began := make(chan bool, 1)
	k := kind("k", w.step("a", nil), w.step("b", func(ctx context.Context, r *Run) error { began <- true; <-ctx.Done(); return ctx.Err() }))
	e := newEngine(t, d, Options{}, k)
	stop := run(t, e)
	job := enqueue(t, e, Request{Kind: "k"})
	<-began
	stop()
	e = newEngine(t, d, Options{}, k)
	if err := e.Cancel(t.Context(), job.ID, "bob"); err != nil { // before the new engine runs
		t.Fatal(err)
	}
	run(t, e)
	if job = wait(t, e, job.ID); states(job) != "undone: undone undone" || w.history() != "+a +b -b -a" || job.Error.Message != "It was cancelled." {
		t.Errorf("%s %s %+v", states(job), w.history(), job.Error)
	}
}

func TestAReleaseWithOtherSteps(t *testing.T) {
	d, w := openDB(t), &world{}
	began := make(chan bool, 1)
	old := kind("k", w.step("a", func(ctx context.Context, r *Run) error { began <- true; <-ctx.Done(); return ctx.Err() }))
	e := newEngine(t, d, Options{Workers: 1}, old)
	stop := run(t, e)
	job, fresh := enqueue(t, e, Request{Kind: "k"}), enqueue(t, e, Request{Kind: "k"})
	<-began
	stop()
	e = newEngine(t, d, Options{}, kind("k", w.step("z", nil)))
	run(t, e)
	if job = wait(t, e, job.ID); job.State != domain.JobStuck || !strings.Contains(job.Error.Message, "other steps") || job.Help == "" {
		t.Errorf("%s %+v", states(job), job.Error)
	}
	if fresh = wait(t, e, fresh.ID); fresh.State != domain.JobUndone {
		t.Errorf("never begun: %s", states(fresh))
	}
}

func TestWaitGivesTheJobAsItIs(t *testing.T) {
	d := openDB(t)
	e := newEngine(t, d, Options{}, kind("k", Step{Name: "s", NoUndo: "test", Do: func(context.Context, *Run) error { return nil }}))
	job := enqueue(t, e, Request{Kind: "k"}) // nobody runs it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := e.Wait(ctx, job.ID); err != nil || got.State != domain.JobQueued {
		t.Errorf("%v %v", got.State, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if got, err := e.Wait(ctx, job.ID); err != nil || got.State != domain.JobQueued {
		t.Errorf("%v %v", got.State, err)
	}
	if _, err := e.Wait(t.Context(), "job_none"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	if len(e.waiters) != 0 {
		t.Errorf("%d waiters left", len(e.waiters))
	}
}
