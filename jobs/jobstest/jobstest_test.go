package jobstest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"novacron/domain"
	"novacron/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a world with files, for a workflow that makes two and moves a third past recall.
type disk struct {
	mu    sync.Mutex
	files map[string]int // name -> how many: a second copy is an orphan
}

func (d *disk) make(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == 0 {
		d.files[name] = 1
	}
}

func (d *disk) double(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name]++
}

func (d *disk) remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, name)
}

func (d *disk) list() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var s []string
	for n, c := range d.files {
		s = append(s, fmt.Sprint(n, "×", c))
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

func fixture(t testing.TB, make func(d *disk, name string), undo bool) Fixture {
	world, base := &disk{files: map[string]int{}}, OpenDB(t)
	step := func(name string) jobs.Step {
		s := jobs.Step{Name: name, Do: func(ctx context.Context, r *jobs.Run) error {
			if err := r.Save(ctx, name); err != nil {
				return err
			}
			make(world, name)
			return nil
		}, Undo: func(context.Context, *jobs.Run) error { world.remove(name); return nil }}
		if !undo && name == "two" {
			s.Undo = func(context.Context, *jobs.Run) error { return nil }
		}
		return s
	}
	final := step("three")
	final.Undo, final.Final = nil, true
	kinds := []jobs.Kind{{Name: "k", StuckHelp: "Help.", Steps: func(json.RawMessage) ([]jobs.Step, error) {
		return []jobs.Step{step("one"), step("two"), final, step("four")}, nil
	}}}
	return Fixture{
		DB:       base,
		Register: func(e *jobs.Engine) { e.Register(kinds...) },
		Enqueue: func(ctx context.Context, e *jobs.Engine) (domain.Job, error) {
			return e.Enqueue(ctx, jobs.Request{Kind: "k", Title: "Try", Actor: "ann", Locks: []string{"x"}})
		},
		Check: func(t testing.TB, job domain.Job) {
			want := ""
			if job.State == domain.JobSucceeded {
				want = "four×1 one×1 three×1 two×1"
			}
			if got := world.list(); got != want {
				t.Errorf("%s: there is %q, want %q", Show(job), got, want)
			}
		},
	}
}

func TestSweepPassesAGoodWorkflow(t *testing.T) {
	n := 0
	Sweep(t, func(t testing.TB) Fixture { n++; return fixture(t, (*disk).make, true) })
	if n < 50 {
		t.Errorf("only %d cases", n)
	}
	t.Logf("%d cases", n)
}

// found records that a case failed, instead of failing the test that looks for it.
type found struct {
	testing.TB
	failed bool
}

func (f *found) Errorf(string, ...any) { f.failed = true }

func TestCasesFindBadWorkflows(t *testing.T) {
	for name, c := range map[string]struct {
		make func(d *disk, name string)
		undo bool
		rule map[string]func(int, func() error) error
		kill *killer
	}{
		"not idempotent, repeated": {(*disk).double, true, map[string]func(int, func() error) error{"*": twice}, nil},
		"not idempotent, killed":   {(*disk).double, true, nil, &killer{at: 3, done: make(chan struct{})}},
		"undo does nothing":        {(*disk).make, false, map[string]func(int, func() error) error{"do two": after}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := fixture(t, c.make, c.undo)
			see := &found{TB: t}
			if c.kill != nil {
				crash(see, f, c.kill, "", false)
			} else {
				b := &breakage{rules: c.rule}
				e, job, stop := start(t, f, b.faults())
				settle(see, f, finish(t, f, e, stop, job.ID))
			}
			if !see.failed {
				t.Error("the fault was not found")
			}
		})
	}
}
