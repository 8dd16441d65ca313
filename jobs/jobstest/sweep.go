package jobstest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"novacron/domain"
	"novacron/jobs"
)

// Sweep runs the three sweeps, fail, repeat and crash, over the job of the fixture, as subtests.
func Sweep(t *testing.T, setup func(t testing.TB) Fixture) {
	t.Helper()
	var plain domain.Job
	t.Run("plain", func(t *testing.T) {
		f := setup(t)
		e, job, _ := start(t, f, nil)
		plain = Wait(t, e, job.ID)
		if plain.State != domain.JobSucceeded && !f.MayFailPlain {
			t.Fatalf("nothing was broken, but it ended as %s", Show(plain))
		}
		settle(t, f, plain)
	})
	if t.Failed() {
		return // every other case would fail for the same reason
	}
	steps := make([]string, len(plain.Steps))
	for i, s := range plain.Steps {
		steps[i] = s.Name
	}
	sweepFail(t, setup, steps)
	sweepUndo(t, setup, steps)
	sweepRepeat(t, setup, steps)
	sweepCrash(t, setup, steps)
}

// breakage says how calls of steps go wrong. It is shared by the steps of all jobs of a case; children are left alone.
type breakage struct {
	mu    sync.Mutex
	rules map[string]func(n int, call func() error) error // by "do step" or "undo step"; n counts the calls from 1
	calls map[string]int
}

func (b *breakage) faults() *jobs.Faults {
	b.calls = map[string]int{}
	return &jobs.Faults{Call: func(job domain.Job, step string, undo bool, call func() error) error {
		key := "do " + step
		if undo {
			key = "undo " + step
		}
		b.mu.Lock()
		if job.ParentID != "" {
			b.mu.Unlock()
			return call()
		}
		b.calls[key]++
		n, rule, all := b.calls[key], b.rules[key], b.rules["*"]
		b.mu.Unlock()
		switch {
		case rule != nil:
			return rule(n, call)
		case all != nil:
			return all(n, call)
		}
		return call()
	}}
}

func before(int, func() error) error { return errBroken }

func after(_ int, call func() error) error {
	if err := call(); err != nil {
		return err
	}
	return errBroken
}

// once breaks the first call only.
func once(how func(int, func() error) error) func(int, func() error) error {
	return func(n int, call func() error) error {
		if n == 1 {
			return how(n, call)
		}
		return call()
	}
}

func unavailable(int, func() error) error {
	return domain.Errorf(domain.Unavailable, "Not there, says the sweep.")
}

func twice(_ int, call func() error) error {
	if err := call(); err != nil {
		return err
	}
	return call()
}

// finish waits for the end; a stuck job is checked for what a person needs and then tried again with nothing broken.
func finish(t testing.TB, f Fixture, e *jobs.Engine, stop func(), id string) domain.Job {
	t.Helper()
	job := Wait(t, e, id)
	if job.State != domain.JobStuck {
		return job
	}
	if job.Help == "" || job.Error == nil {
		t.Errorf("stuck, but nothing says why or what to do: %s", Show(job))
	}
	for _, l := range job.Locks {
		if _, held, err := f.DB.LockHolder(t.Context(), l); err != nil || !held {
			t.Errorf("the stuck job has let go of %s (%v)", l, err)
		}
	}
	stop()
	e = NewEngine(f.DB, nil)
	f.Register(e)
	Run(t, e)
	if err := e.Retry(t.Context(), id, "sweep"); err != nil && !domain.Is(err, domain.Conflict) { // Conflict: the engine tried it again by itself
		t.Fatalf("retry: %v", err)
	}
	return Wait(t, e, id)
}

func sweepFail(t *testing.T, setup func(t testing.TB) Fixture, steps []string) {
	for i, step := range steps {
		for name, how := range map[string]func(int, func() error) error{"before": before, "after": after, "unavailable once": once(unavailable)} {
			t.Run(fmt.Sprintf("fail/%d %s/%s", i+1, step, name), func(t *testing.T) {
				f := setup(t)
				if why := f.Skip[step]; why != "" {
					t.Logf("left alone: %s", why)
					return
				}
				b := &breakage{rules: map[string]func(int, func() error) error{"do " + step: how}}
				e, job, stop := start(t, f, b.faults())
				settle(t, f, finish(t, f, e, stop, job.ID))
			})
		}
	}
}

// sweepUndo fails every step after its work, and one Undo of those before and of its own.
func sweepUndo(t *testing.T, setup func(t testing.TB) Fixture, steps []string) {
	for i, step := range steps {
		for k := range i + 1 {
			for name, how := range map[string]func(int, func() error) error{"once before": once(before), "once after": once(after), "for good": before} {
				if k != i && i != len(steps)-1 && name != "once after" {
					continue // the same undo is broken in all ways from the last step already
				}
				t.Run(fmt.Sprintf("undo/%d %s/%d %s/%s", i+1, step, k+1, steps[k], name), func(t *testing.T) {
					f := setup(t)
					if why := f.Skip[step]; why != "" {
						t.Logf("left alone: %s", why)
						return
					}
					b := &breakage{rules: map[string]func(int, func() error) error{"do " + step: after, "undo " + steps[k]: how}}
					e, job, stop := start(t, f, b.faults())
					settle(t, f, finish(t, f, e, stop, job.ID))
				})
			}
		}
	}
}

func sweepRepeat(t *testing.T, setup func(t testing.TB) Fixture, steps []string) {
	t.Run("repeat/all", func(t *testing.T) {
		f := setup(t)
		b := &breakage{rules: map[string]func(int, func() error) error{"*": twice}}
		e, job, stop := start(t, f, b.faults())
		job = finish(t, f, e, stop, job.ID)
		if job.State != domain.JobSucceeded && !f.MayFailPlain {
			t.Errorf("a step that runs twice ended it as %s", Show(job))
		}
		settle(t, f, job)
	})
	for i, step := range steps {
		t.Run(fmt.Sprintf("repeat/undo from %d %s", i+1, step), func(t *testing.T) {
			f := setup(t)
			b := &breakage{rules: map[string]func(int, func() error) error{"*": twice, "do " + step: after}}
			e, job, stop := start(t, f, b.faults())
			settle(t, f, finish(t, f, e, stop, job.ID))
		})
	}
}

// killer ends the engine at write number at; after tells whether that write is still made.
type killer struct {
	at    int
	after bool
	done  chan struct{}
	once  sync.Once
}

func (k *killer) write(n int, commit func() error) error {
	if n != k.at {
		return commit()
	}
	if k.after {
		if err := commit(); err != nil {
			return err
		}
	}
	k.once.Do(func() { close(k.done) })
	return jobs.ErrKilled
}

func sweepCrash(t *testing.T, setup func(t testing.TB) Fixture, steps []string) {
	modes := []struct {
		name   string
		fail   string // step that fails after its work
		cancel bool   // a person cancels while the server is down
	}{{name: "go on"}, {name: "cancelled", cancel: true}}
	for i, s := range steps {
		if i == 0 || i == len(steps)-1 {
			modes = append(modes, struct {
				name   string
				fail   string
				cancel bool
			}{name: "undoing from " + s, fail: s})
		}
	}
	for _, mode := range modes {
		for _, late := range []bool{false, true} {
			for at, more := 1, true; more; at++ {
				where := "before"
				if late {
					where = "after"
				}
				t.Run(fmt.Sprintf("crash/%s/%s write %d", mode.name, where, at), func(t *testing.T) {
					more = crash(t, setup(t), &killer{at: at, after: late, done: make(chan struct{})}, mode.fail, mode.cancel)
				})
				if t.Failed() && at > 200 {
					return // a job that never ends
				}
			}
		}
	}
}

// crash runs one case; false means that the job ended before the write came, so that there are no more.
func crash(t testing.TB, f Fixture, k *killer, fail string, cancel bool) bool {
	b := &breakage{rules: map[string]func(int, func() error) error{}}
	if fail != "" {
		if f.Skip[fail] != "" {
			return false
		}
		b.rules["do "+fail] = after
	}
	faults := b.faults()
	faults.Write = k.write
	e, job, stop := start(t, f, faults)
	ended := make(chan domain.Job, 1)
	go func(e *jobs.Engine) { // the first one; e is the second later
		if got, err := e.Wait(t.Context(), job.ID); err == nil && got.State.Ended() {
			ended <- got
		}
	}(e)
	select {
	case <-k.done:
	case <-ended:
		select {
		case <-k.done: // killed after the last write
		default:
			stop()
			settle(t, f, finish(t, f, e, stop, job.ID))
			return false
		}
	}
	stop()
	e = NewEngine(f.DB, nil)
	f.Register(e)
	if cancel {
		if err := e.Cancel(t.Context(), job.ID, "sweep"); err != nil {
			if de, ok := errors.AsType[*domain.Error](err); !ok || de.Code != domain.Conflict {
				t.Fatalf("cancel: %v", err)
			}
		}
	}
	settle(t, f, finish(t, f, e, Run(t, e), job.ID))
	return true
}
