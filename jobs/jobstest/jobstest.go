// Package jobstest holds workflows to the rules of package jobs. Sweep runs one job many times, each time in a fresh world and broken at another
// point, and asks afterwards whether the world is as it must be. It is for tests of workflow packages only, and knows nothing of what they do.
//
//	func TestCreate(t *testing.T) {
//		jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
//			d := jobstest.OpenDB(t)
//			fake := hvtest.NewFake(…)                    // the world; it outlives the engines
//			…insert the host and whatever the job starts from…
//			return jobstest.Fixture{
//				DB:       d,
//				Register: func(e *jobs.Engine) { e.Register(provision.Kinds(d, fake)...) },
//				Enqueue:  func(ctx context.Context, e *jobs.Engine) (domain.Job, error) { return fleet.New(d, e, …).CreateVM(ctx, …) },
//				Check: func(t testing.TB, job domain.Job) {
//					// succeeded: the VM is there, once, with its disks. undone: nothing of it is, and what was there before still is.
//				},
//			}
//		})
//	}
//
// The cases, for a job of steps 1…n:
//
//   - plain: it succeeds.
//   - fail: step i fails before it did anything, after it did everything, or is unavailable once.
//   - undo: step i fails, and while that is taken back the Undo of step k fails once, before or after it did its work.
//   - stuck: step i fails and the Undo of step k fails for good; the job is stuck, keeps its locks, says what to do, and ends well when it is tried again.
//   - repeat: every Do and Undo runs twice.
//   - crash: the engine is killed just before or just after write k of its step log, and another engine takes over; alone, with a cancel while it
//     was down, and while a failed job is being undone.
//
// Beyond the fixture's Check each case asks that the job ended, that it holds no lock, that its log of steps agrees with its state, and that no VM is left
// marked as being created.
package jobstest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// Fixture is one fresh world with one job to run in it. Sweep asks for a new one for every case.
type Fixture struct {
	DB *db.DB
	// Register makes the kinds known to an engine; it is called again for the engine that takes over after a crash, over the same world.
	Register func(e *jobs.Engine)
	// Enqueue asks for the job, once.
	Enqueue func(ctx context.Context, e *jobs.Engine) (domain.Job, error)
	// Check is called when the job has ended as succeeded or undone, and fails the test when something is orphaned or lost.
	Check func(t testing.TB, job domain.Job)
	// MayFailPlain says that the job is meant to fail even when nothing is broken.
	MayFailPlain bool
	// Skip names steps that the fail sweep leaves alone, with the reason in the value.
	Skip map[string]string
}

var (
	template     []byte
	templateOnce sync.Once
)

// OpenDB opens a new database in a directory of the test's. The schema is made once and copied, since a sweep needs hundreds.
func OpenDB(t testing.TB) *db.DB {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	templateOnce.Do(func() {
		dir, err := os.MkdirTemp("", "jobstest")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "template.db")
		d, err := db.Open(context.WithoutCancel(t.Context()), path, log, time.Now, db.Unsynced())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil { // moves the log into the file
			t.Fatal(err)
		}
		if template, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	})
	path := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(path, template, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := db.Open(t.Context(), path, log, time.Now, db.Unsynced())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// NewEngine makes an engine for a test: it does not rest between attempts. The faults may be nil.
func NewEngine(d *db.DB, faults *jobs.Faults) *jobs.Engine {
	return jobs.NewEngine(d, slog.New(slog.DiscardHandler), time.Now, jobs.Options{RetryFor: 20 * time.Millisecond, Backoff: func(int) time.Duration { return 0 }, Faults: faults})
}

// Run runs the engine until the test ends or the returned function is called, which waits for its end.
func Run(t testing.TB, e *jobs.Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("the engine ended with: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// Wait waits for the job's end and fails the test when it does not come.
func Wait(t testing.TB, e *jobs.Engine, id string) domain.Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	job, err := e.Wait(ctx, id)
	if err != nil {
		t.Fatalf("waiting for the job: %v", err)
	}
	if !job.State.Ended() {
		t.Fatalf("the job did not end: %s", Show(job))
	}
	return job
}

// Show prints a job in one line, for messages of tests.
func Show(job domain.Job) string {
	s := fmt.Sprintf("%s %s:", job.Kind, job.State)
	for _, st := range job.Steps {
		s += fmt.Sprintf(" %s=%s", st.Name, st.State)
	}
	if job.Error != nil {
		s += fmt.Sprintf(" (%s: %s)", job.Error.Step, job.Error.Message)
	}
	return s
}

var errBroken = domain.Errorf(domain.Internal, "Broken by the sweep.")

// start runs the fixture's job on an engine with faults and gives both; the job has not ended yet.
func start(t testing.TB, f Fixture, faults *jobs.Faults) (e *jobs.Engine, job domain.Job, stop func()) {
	t.Helper()
	e = NewEngine(f.DB, faults)
	f.Register(e)
	job, err := f.Enqueue(t.Context(), e)
	if err != nil {
		t.Fatalf("enqueue: %v", err)
	}
	return e, job, Run(t, e)
}

// settle checks what every ended job must keep to, then the fixture's own.
func settle(t testing.TB, f Fixture, job domain.Job) {
	t.Helper()
	job, err := f.DB.Job(t.Context(), job.ID)
	if err != nil {
		t.Fatal(err)
	}
	if job.State != domain.JobSucceeded && job.State != domain.JobUndone {
		t.Fatalf("ended as %s", Show(job))
	}
	for _, s := range job.Steps {
		if job.State == domain.JobSucceeded && s.State != domain.StepDone || job.State == domain.JobUndone && s.State != domain.StepUndone && s.State != domain.StepPending {
			t.Errorf("the steps do not agree with the state: %s", Show(job))
		}
	}
	for _, l := range job.Locks {
		if holder, held, err := f.DB.LockHolder(t.Context(), l); err != nil || held && holder.ID == job.ID {
			t.Errorf("the ended job holds %s (%v): %s", l, err, Show(job))
		}
	}
	if job.State == domain.JobUndone && job.Error == nil {
		t.Errorf("undone, but nothing says why: %s", Show(job))
	}
	page, err := f.DB.VMs(t.Context(), db.VMQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, vm := range page.Items {
		if vm.Creating {
			t.Errorf("VM %s is left as being created: %s", vm.Name, Show(job))
		}
	}
	f.Check(t, job)
}
