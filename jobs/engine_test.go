package jobs

import (
	"context"
	"encoding/json"
	"errors"
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
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
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
		if want := map[bool]string{false: "job.changed", true: domain.EventStep}[strings.Contains(ev.Message, "running step")]; ev.Kind != want || ev.Resource.ID != job.ID || ev.Actor != "ann" {
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
