package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"novacron/db"
	"novacron/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openDB(t testing.TB) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), slog.New(slog.DiscardHandler), time.Now, db.Unsynced())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// world is what the test's steps change: the set of things that exist.
type world struct {
	mu   sync.Mutex
	have map[string]bool
	log  []string
}

func (w *world) set(name string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.have == nil {
		w.have = map[string]bool{}
	}
	w.have[name] = on
	if on {
		w.log = append(w.log, "+"+name)
	} else {
		w.log = append(w.log, "-"+name)
	}
}

func (w *world) history() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.log, " ")
}

func (w *world) step(name string, do func(ctx context.Context, r *Run) error) Step {
	return Step{Name: name,
		Do: func(ctx context.Context, r *Run) error {
			w.set(name, true)
			if do != nil {
				return do(ctx, r)
			}
			return nil
		},
		Undo: func(ctx context.Context, r *Run) error { w.set(name, false); return nil }}
}

func kind(name string, steps ...Step) Kind {
	return Kind{Name: name, Steps: func(json.RawMessage) ([]Step, error) { return steps, nil }, StuckHelp: "Ask someone."}
}

func newEngine(t testing.TB, d *db.DB, opt Options, kinds ...Kind) *Engine {
	t.Helper()
	if opt.Backoff == nil {
		opt.Backoff = func(int) time.Duration { return time.Millisecond }
	}
	if opt.RetryFor == 0 {
		opt.RetryFor = 20 * time.Millisecond
	}
	e := NewEngine(d, slog.New(slog.DiscardHandler), time.Now, opt)
	e.Register(kinds...)
	return e
}

// run starts the engine; the returned function ends it and waits.
func run(t testing.TB, e *Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func enqueue(t testing.TB, e *Engine, req Request) domain.Job {
	t.Helper()
	if req.Title == "" {
		req.Title = "Do " + req.Kind
	}
	if req.Actor == "" {
		req.Actor = "ann"
	}
	job, err := e.Enqueue(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func wait(t testing.TB, e *Engine, id string) domain.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	job, err := e.Wait(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if !job.State.Ended() {
		t.Fatalf("job %s did not end: %+v", id, job)
	}
	return job
}

func states(job domain.Job) string {
	var s []string
	for _, st := range job.Steps {
		s = append(s, st.State)
	}
	return string(job.State) + ": " + strings.Join(s, " ")
}

func TestSucceeds(t *testing.T) {
	d, w := openDB(t), &world{}
	type in struct{ N int }
	e := newEngine(t, d, Options{}, kind("k",
		w.step("a", func(ctx context.Context, r *Run) error {
			var i in
			if err := r.Input(&i); err != nil {
				return err
			}
			r.Log("n is %d", i.N)
			i.N++
			return r.Save(ctx, i)
		}),
		w.step("b", func(ctx context.Context, r *Run) error {
			var i in
			if err := r.Load(&i); err != nil {
				return err
			}
			return r.Result(i)
		})))
	run(t, e)
	job := enqueue(t, e, Request{Kind: "k", Title: "Make it", Input: in{4}, Locks: []string{"vm_1"}, Resource: domain.Ref{Kind: "vm", ID: "vm_1", Name: "one"}})
	got := wait(t, e, job.ID)
	if states(got) != "succeeded: done done" || string(got.Result) != `{"N":5}` || got.Progress.Percent != 100 || got.Error != nil || got.Attempts != 1 {
		t.Errorf("%s %+v", states(got), got)
	}
	stored, err := d.Job(t.Context(), job.ID)
	if err != nil || states(stored) != states(got) || string(stored.Result) != `{"N":5}` || stored.EndedAt.IsZero() || stored.Steps[1].StartedAt == nil || stored.Steps[1].EndedAt == nil {
		t.Errorf("stored: %+v %v", stored, err)
	}
	lines, err := d.JobLog(t.Context(), job.ID)
	if err != nil || len(lines) != 1 || lines[0].Text != "n is 4" || lines[0].Step != "a" {
		t.Errorf("log %+v %v", lines, err)
	}
	evs, err := d.Events(t.Context(), db.EventQuery{JobID: job.ID})
	var said []string
	for _, ev := range evs {
		said = append(said, ev.Message)
		if ev.Kind != "job.changed" || ev.Resource.ID != job.ID || ev.Actor != "ann" {
			t.Errorf("event %+v", ev)
		}
	}
	if want := []string{"Make it: queued.", "Make it: running step “a”.", "Make it: running step “b”.", "Make it: done."}; !slices.Equal(said, want) {
		t.Errorf("said %q %v", said, err)
	}
	if _, held, _ := d.LockHolder(t.Context(), "vm_1"); held {
		t.Error("still locked")
	}
}

func TestFailureUndoesInReverseTheFailedStepToo(t *testing.T) {
	d, w := openDB(t), &world{}
	cause := domain.Errorf(domain.Exhausted, "no room").WithFix("make room")
	e := newEngine(t, d, Options{}, kind("k", w.step("a", nil), Step{Name: "b", Do: func(context.Context, *Run) error { return nil }, NoUndo: "it only looks"},
		w.step("c", func(context.Context, *Run) error { return cause }), w.step("d", nil)))
	run(t, e)
	job := wait(t, e, enqueue(t, e, Request{Kind: "k", Locks: []string{"x"}}).ID)
	if states(job) != "undone: undone undone undone pending" || w.history() != "+a +c -c -a" {
		t.Errorf("%s; %s", states(job), w.history())
	}
	if job.Error == nil || job.Error.Message != "no room" || job.Error.Fix != "make room" || job.Error.Step != "c" || job.Error.Code != domain.Exhausted || job.Steps[2].Error != "no room" {
		t.Errorf("error %+v", job.Error)
	}
	if _, held, _ := d.LockHolder(t.Context(), "x"); held {
		t.Error("still locked")
	}
}

func TestLocks(t *testing.T) {
	d := openDB(t)
	gate := make(chan struct{})
	hold := kind("hold", Step{Name: "s", NoUndo: "test", Do: func(ctx context.Context, _ *Run) error {
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	look := hold
	look.Name, look.Read = "look", true
	e := newEngine(t, d, Options{}, hold, look)
	run(t, e)
	first := enqueue(t, e, Request{Kind: "hold", Title: "Start one", Locks: []string{"vm_1", "vm_2"}})
	_, err := e.Enqueue(t.Context(), Request{Kind: "hold", Title: "Stop one", Actor: "bob", Locks: []string{"vm_9", "vm_2"}, Resource: domain.Ref{Kind: "vm", ID: "vm_2", Name: "two"}})
	de, _ := errors.AsType[*domain.Error](err)
	if de == nil || de.Code != domain.Conflict || de.Holder != first.ID || !strings.Contains(de.Msg, "Start one") || !strings.Contains(de.Msg, "two") {
		t.Fatalf("second: %v %+v", err, de)
	}
	if _, held, _ := d.LockHolder(t.Context(), "vm_9"); held {
		t.Error("a refused job kept a lock")
	}
	enqueue(t, e, Request{Kind: "look", Locks: []string{"vm_1"}})
	close(gate)
	wait(t, e, first.ID)
	wait(t, e, enqueue(t, e, Request{Kind: "hold", Locks: []string{"vm_2"}}).ID)
}

func TestSameKeySameJob(t *testing.T) {
	d, w := openDB(t), &world{}
	e := newEngine(t, d, Options{}, kind("k", w.step("a", nil)), kind("other", w.step("a", nil)))
	run(t, e)
	calls := 0
	also := func(*db.Tx, *domain.Job) error { calls++; return nil }
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			job, err := e.Enqueue(t.Context(), Request{Kind: "k", Actor: "ann", Key: "once", Locks: []string{"x"}}, also)
			if err != nil {
				t.Error(err)
			}
			ids[i] = job.ID
		})
	}
	wg.Wait()
	if len(slices.Compact(ids)) != 1 || calls != 1 {
		t.Errorf("jobs %v, also ran %d times", ids, calls)
	}
	wait(t, e, ids[0])
	if job, err := e.Enqueue(t.Context(), Request{Kind: "k", Actor: "bob", Key: "once", Locks: []string{"x"}}); err != nil || job.ID == ids[0] {
		t.Errorf("someone else's key: %v %v", job.ID, err)
	} else {
		wait(t, e, job.ID)
	}
	if _, err := e.Enqueue(t.Context(), Request{Kind: "other", Actor: "ann", Key: "once"}); !domain.Is(err, domain.Conflict) {
		t.Errorf("the key for another kind: %v", err)
	}
}

func TestAlsoIsOneTransactionAndMayChangeTheJob(t *testing.T) {
	d := openDB(t)
	var saw string
	k := Kind{Name: "k", Steps: func(in json.RawMessage) ([]Step, error) {
		var s string
		if err := json.Unmarshal(in, &s); err != nil {
			return nil, domain.Errorf(domain.Invalid, "bad input")
		}
		return []Step{{Name: "on " + s, NoUndo: "test", Do: func(context.Context, *Run) error { saw = s; return nil }}}, nil
	}}
	e := newEngine(t, d, Options{}, k)
	run(t, e)
	job, err := e.Enqueue(t.Context(), Request{Kind: "k", Input: "any", Actor: "ann"}, func(tx *db.Tx, job *domain.Job) error {
		job.Input, job.Title, job.Resource.ID, job.Locks = json.RawMessage(`"b2"`), "On b2", "vm_7", []string{"vm_7"}
		return errors.Join(tx.SetSetting("s", "1"), tx.AppendJobLog(job.ID, domain.JobLine{Text: "chose b2"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	got := wait(t, e, job.ID)
	if saw != "b2" || got.Title != "On b2" || got.Steps[0].Name != "on b2" || got.Resource.ID != "vm_7" {
		t.Errorf("%q %+v", saw, got)
	}
	boom := domain.Errorf(domain.Conflict, "boom")
	_, err = e.Enqueue(t.Context(), Request{Kind: "k", Input: "x", Actor: "ann"}, func(tx *db.Tx, _ *domain.Job) error { tx.SetSetting("t", "1"); return boom })
	if err != boom {
		t.Error(err)
	}
	if _, ok, _ := d.Setting(t.Context(), "t"); ok {
		t.Error("a refused job left a row")
	}
	if page, _ := d.Jobs(t.Context(), db.JobQuery{}); page.Total != 1 {
		t.Errorf("%d jobs", page.Total)
	}
	if _, err := e.Enqueue(t.Context(), Request{Kind: "k", Input: 5}); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	if _, err := e.Enqueue(t.Context(), Request{Kind: "none"}); !domain.Is(err, domain.Internal) {
		t.Error(err)
	}
	if _, err := e.Enqueue(t.Context(), Request{Kind: "k", Input: make(chan int)}); !domain.Is(err, domain.Internal) {
		t.Error(err)
	}
}

func TestUnavailableIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDB(t)
		n := 0
		flaky := kind("flaky", Step{Name: "s", NoUndo: "test", Do: func(context.Context, *Run) error {
			if n++; n < 4 {
				return domain.Errorf(domain.Unavailable, "b2 does not answer.")
			}
			return nil
		}})
		dead := kind("dead", Step{Name: "s", NoUndo: "test", Do: func(context.Context, *Run) error { n++; return domain.Errorf(domain.Unavailable, "gone.") }})
		once := kind("once", Step{Name: "s", NoUndo: "test", NoRetry: true, Do: func(context.Context, *Run) error { n++; return domain.Errorf(domain.Unavailable, "gone.") }})
		e := NewEngine(d, slog.New(slog.DiscardHandler), time.Now, Options{})
		e.Register(flaky, dead, once)
		stop := run(t, e)
		begin := time.Now()
		if job := wait2(t, e, enqueue(t, e, Request{Kind: "flaky"}).ID); job.State != domain.JobSucceeded || n != 4 {
			t.Errorf("%s after %d", states(job), n)
		}
		if took := time.Since(begin); took < 3500*time.Millisecond || took > 4*time.Second {
			t.Errorf("took %s; want 0.5 s + 1 s + 2 s", took)
		}
		begin, n = time.Now(), 0
		if job := wait2(t, e, enqueue(t, e, Request{Kind: "dead"}).ID); job.State != domain.JobUndone || job.Error.Code != domain.Unavailable {
			t.Errorf("%s %+v", states(job), job.Error)
		}
		if took := time.Since(begin); took > 30*time.Second || took < 20*time.Second {
			t.Errorf("gave up after %s", took)
		}
		n = 0
		if job := wait2(t, e, enqueue(t, e, Request{Kind: "once"}).ID); job.State != domain.JobUndone || n != 1 {
			t.Errorf("%s after %d", states(job), n)
		}
		stop()
		d.Close()
	})
}

func wait2(t testing.TB, e *Engine, id string) domain.Job {
	t.Helper()
	job, err := e.Wait(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func TestStepTimeoutAndPanic(t *testing.T) {
	d := openDB(t)
	e := newEngine(t, d, Options{},
		kind("slow", Step{Name: "s", NoUndo: "test", NoRetry: true, Timeout: 5 * time.Millisecond, Do: func(ctx context.Context, _ *Run) error { <-ctx.Done(); return ctx.Err() }}),
		kind("panics", Step{Name: "s", NoUndo: "test", Do: func(context.Context, *Run) error { panic("ouch") }}),
		kind("raw", Step{Name: "s", NoUndo: "test", Do: func(context.Context, *Run) error { return errors.New("secret detail") }}))
	run(t, e)
	if job := wait(t, e, enqueue(t, e, Request{Kind: "slow"}).ID); job.State != domain.JobUndone || job.Error.Code != domain.Unavailable || !strings.Contains(job.Error.Message, "5ms") {
		t.Errorf("%s %+v", states(job), job.Error)
	}
	if job := wait(t, e, enqueue(t, e, Request{Kind: "panics"}).ID); job.State != domain.JobUndone || job.Error.Code != domain.Internal {
		t.Errorf("%s %+v", states(job), job.Error)
	}
	if job := wait(t, e, enqueue(t, e, Request{Kind: "raw"}).ID); strings.Contains(job.Error.Message, "secret") {
		t.Errorf("%+v", job.Error)
	}
}

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

func TestChildrenDoNotStarveTheirParents(t *testing.T) {
	d := openDB(t)
	child := kind("child", Step{Name: "s", NoUndo: "test", Do: func(ctx context.Context, r *Run) error {
		var n int
		if err := r.Input(&n); err != nil {
			return err
		}
		if n%5 == 4 {
			return domain.Errorf(domain.Conflict, "child %d fails", n)
		}
		return nil
	}})
	parent := kind("parent", Step{Name: "all", NoUndo: "test", Do: func(ctx context.Context, r *Run) error {
		for i := range 10 {
			req := Request{Kind: "child", Title: fmt.Sprint("child ", i), Input: i, Key: fmt.Sprint(i), Locks: []string{fmt.Sprint(r.Job().ID, i)}}
			one, err := r.Child(ctx, req)
			if err != nil {
				return err
			}
			if two, err := r.Child(ctx, req); err != nil || two.ID != one.ID {
				return fmt.Errorf("the same child twice: %v %v %w", one.ID, two.ID, err)
			}
		}
		if _, err := r.Child(ctx, Request{Kind: "child"}); !domain.Is(err, domain.Internal) {
			return errors.New("a child without a key")
		}
		children, err := r.WaitChildren(ctx)
		if err != nil {
			return err
		}
		ok := 0
		for _, c := range children {
			if c.State == domain.JobSucceeded {
				ok++
			}
		}
		return r.Result(ok)
	}})
	e := newEngine(t, d, Options{Workers: 2}, parent, child)
	run(t, e)
	var ids []string
	for range 6 { // three times the workers
		ids = append(ids, enqueue(t, e, Request{Kind: "parent"}).ID)
	}
	for _, id := range ids {
		job := wait(t, e, id)
		if job.State != domain.JobSucceeded || string(job.Result) != "8" {
			t.Errorf("%s %s %+v", states(job), job.Result, job.Error)
		}
		page, err := d.Jobs(t.Context(), db.JobQuery{Parent: id})
		if err != nil || page.Total != 10 {
			t.Errorf("%d children, %v", page.Total, err)
		}
	}
	if page, err := d.Jobs(t.Context(), db.JobQuery{TopLevel: true}); err != nil || page.Total != 6 {
		t.Errorf("%d at the top, %v", page.Total, err)
	}
}

func TestCancelReachesChildrenFirst(t *testing.T) {
	d, w := openDB(t), &world{}
	began := make(chan bool, 10)
	child := kind("child", w.step("c", func(ctx context.Context, r *Run) error { began <- true; <-ctx.Done(); return ctx.Err() }))
	parent := kind("parent", w.step("p", func(ctx context.Context, r *Run) error {
		for i := range 3 {
			if _, err := r.Child(ctx, Request{Kind: "child", Key: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		_, err := r.WaitChildren(ctx)
		return err
	}))
	e := newEngine(t, d, Options{Workers: 2}, parent, child)
	run(t, e)
	job := enqueue(t, e, Request{Kind: "parent"})
	<-began
	<-began // the third is queued
	if err := e.Cancel(t.Context(), job.ID, "bob"); err != nil {
		t.Fatal(err)
	}
	job = wait(t, e, job.ID)
	h := w.history()
	if states(job) != "undone: undone" || !strings.HasPrefix(h, "+p ") || !strings.HasSuffix(h, " -p") || strings.Count(h, "+c") != strings.Count(h, "-c") {
		t.Errorf("%s; %s", states(job), h)
	}
	children, _ := d.Children(t.Context(), job.ID)
	for _, c := range children {
		if c.State != domain.JobUndone || c.Error == nil {
			t.Errorf("child %s", states(c))
		}
	}
}

func TestAFailingParentSettlesItsChildren(t *testing.T) {
	d, w := openDB(t), &world{}
	began := make(chan bool, 10)
	child := kind("child", w.step("c", func(ctx context.Context, r *Run) error { began <- true; <-ctx.Done(); return ctx.Err() }))
	parent := kind("parent", w.step("p", func(ctx context.Context, r *Run) error {
		if _, err := r.Child(ctx, Request{Kind: "child", Key: "1"}); err != nil {
			return err
		}
		<-began
		return domain.Errorf(domain.Conflict, "no")
	}))
	e := newEngine(t, d, Options{}, parent, child)
	run(t, e)
	job := wait(t, e, enqueue(t, e, Request{Kind: "parent"}).ID)
	if states(job) != "undone: undone" || w.history() != "+p +c -c -p" {
		t.Errorf("%s; %s", states(job), w.history())
	}
}

func TestProgressIsLatestAndRested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDB(t)
		e := NewEngine(d, slog.New(slog.DiscardHandler), time.Now, Options{})
		e.Register(kind("k", Step{Name: "s", NoUndo: "test", Do: func(ctx context.Context, r *Run) error {
			for i := range 1000 {
				r.Progress(float64(i)/10, fmt.Sprint(i))
				time.Sleep(10 * time.Millisecond) // the bubble's clock
			}
			if p, ok := e.Progress(r.Job().ID); !ok || p.Text != "999" {
				t.Errorf("progress %+v %v", p, ok)
			}
			return nil
		}}))
		stop := run(t, e)
		ctx, cancel := context.WithCancel(t.Context())
		var calls []domain.Progress
		done := make(chan bool)
		go func() {
			e.Live(ctx, func(_ string, p domain.Progress) { calls = append(calls, p) })
			close(done)
		}()
		job := enqueue(t, e, Request{Kind: "k"})
		wait2(t, e, job.ID)
		cancel()
		<-done
		if len(calls) < 9 || len(calls) > 12 {
			t.Errorf("told %d times in 10 s: %v", len(calls), calls)
		}
		if _, ok := e.Progress(job.ID); ok {
			t.Error("an ended job has progress")
		}
		stop()
		d.Close()
	})
}

func TestLogIsWrittenDuringLongSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDB(t)
		gate := make(chan bool)
		e := NewEngine(d, slog.New(slog.DiscardHandler), time.Now, Options{})
		e.Register(kind("k", Step{Name: "s", NoUndo: "test", Do: func(ctx context.Context, r *Run) error {
			r.Log("one")
			r.Log("two")
			<-gate
			r.Log("three")
			return nil
		}}))
		stop := run(t, e)
		job := enqueue(t, e, Request{Kind: "k"})
		time.Sleep(time.Second) // the bubble's clock
		if lines, _ := d.JobLog(t.Context(), job.ID); len(lines) != 2 {
			t.Errorf("during the step: %v", lines)
		}
		gate <- true
		wait2(t, e, job.ID)
		if lines, _ := d.JobLog(t.Context(), job.ID); len(lines) != 3 || lines[2].Text != "three" {
			t.Errorf("after it: %v", lines)
		}
		stop()
		d.Close()
	})
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

func TestBadKindsAreRefused(t *testing.T) {
	d := openDB(t)
	nop := func(context.Context, *Run) error { return nil }
	e := newEngine(t, d, Options{}, kind("none"), kind("noundo", Step{Name: "s", Do: nop}), kind("twice", Step{Name: "s", Do: nop, NoUndo: "x"}, Step{Name: "s", Do: nop, NoUndo: "x"}),
		kind("finals", Step{Name: "a", Do: nop, Final: true}, Step{Name: "b", Do: nop, Final: true}))
	for _, k := range []string{"none", "noundo", "twice", "finals"} {
		if _, err := e.Enqueue(t.Context(), Request{Kind: k}); !domain.Is(err, domain.Internal) {
			t.Errorf("%s: %v", k, err)
		}
	}
	for _, k := range []Kind{{}, kind("none")} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("kind %q was registered", k.Name)
				}
			}()
			e.Register(k)
		}()
	}
}

func TestManyJobsAtOnce(t *testing.T) {
	d, w := openDB(t), &world{}
	e := newEngine(t, d, Options{Workers: 4}, kind("k", w.step("a", nil), w.step("b", nil)))
	run(t, e)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				job, err := e.Enqueue(t.Context(), Request{Kind: "k", Actor: "ann", Locks: []string{fmt.Sprint(i, "/", j)}})
				if err != nil {
					t.Error(err)
					return
				}
				if j%3 == 0 {
					if err := e.Cancel(t.Context(), job.ID, "bob"); err != nil && !domain.Is(err, domain.Conflict) {
						t.Error(err)
					}
				}
				if got, err := e.Wait(t.Context(), job.ID); err != nil || got.State != domain.JobSucceeded && got.State != domain.JobUndone {
					t.Errorf("%s %v", states(got), err)
				}
			}
		})
	}
	wg.Wait()
	if o, err := d.Overview(t.Context()); err != nil || o.ActiveJobs != 0 || o.StuckJobs != 0 {
		t.Errorf("%+v %v", o, err)
	}
}

// BenchmarkOneStepJob is what a job adds to what its step does.
func BenchmarkOneStepJob(b *testing.B) {
	d, err := db.Open(b.Context(), filepath.Join(b.TempDir(), "x.db"), slog.New(slog.DiscardHandler), time.Now) // synced, as in production
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	e := newEngine(b, d, Options{}, kind("k", Step{Name: "s", NoUndo: "test", Do: func(context.Context, *Run) error { return nil }}))
	run(b, e)
	for b.Loop() {
		wait(b, e, enqueue(b, e, Request{Kind: "k", Locks: []string{"vm_1"}}).ID)
	}
}
