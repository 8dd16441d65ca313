// Package jobs is the engine that changes the fleet: durable lists of steps with undo, progress, cancel and resume after a crash.
//
// A workflow package (jobs/power, jobs/provision …) declares its kinds; handlers enqueue them; the Runner runs them. The rules that every
// workflow keeps: "started" is durable before Do runs, so Do and Undo may run twice and look at the world first; a failed Do is undone
// too; from the one point of no return on, a job only goes forward. jobstest sweeps hold each workflow to them.
//
// It is not for looking at the fleet on a clock: that is jobs/reconcile.
package jobs

import (
	"context"
	"encoding/json"
	"time"

	"novacron/db"
	"novacron/domain"
)

// Step is one step of a job.
type Step struct {
	Name string
	Do   func(ctx context.Context, r *Run) error
	// Undo takes back whatever Do did, wholly or in part, and is nil only if NoUndo says why nothing needs to be.
	Undo   func(ctx context.Context, r *Run) error
	NoUndo string
	// Final marks the point of no return: when this step has been started, the job is not undone any more; on failure or crash the step is
	// re-entered and looks at the world; when it fails for good the job is stuck.
	Final bool
	// Stoppable lets a person cancel while this Final step runs, for a step of which only the world knows when it is past the point of no return: its
	// context is cancelled, also when it is entered again after a crash, and its Do says what came of it: nil when it went through all the same, BeforeFinal
	// when it was stopped in time.
	Stoppable bool
	// NoRetry ends the step at the first unavailable answer: for a trial, where the person waits for exactly that answer.
	NoRetry bool
	// Timeout bounds one Do or Undo; 0 means 60 s.
	Timeout time.Duration
}

// Kind is a sort of job.
type Kind struct {
	Name string // vm.start
	// Steps binds a stored input to its steps; it must be pure, so that a job taken up after a restart has the same steps.
	Steps func(input json.RawMessage) ([]Step, error)
	// StuckHelp tells a person what to do when a job of this kind is stuck.
	StuckHelp string
	// Abandon takes back, in the transaction that ends the job, what was written with Enqueue when the job ends before its first step began:
	// no Undo runs then. Nil when nothing is.
	Abandon func(tx *db.Tx, job domain.Job) error
	// Choices are the ways out of a stuck job among which a person has to choose, each saying what it does; nil when trying again and letting go are all.
	Choices func(job domain.Job) []Choice
	// Read marks a kind that only looks: it takes no locks.
	Read bool
}

// Choice is one way out of a stuck job: the job is tried again with Data as what it saved.
type Choice struct {
	domain.JobChoice
	Data json.RawMessage
}

// Request asks for a job.
type Request struct {
	Kind     string
	Title    string
	Resource domain.Ref
	Locks    []string // ids; a second job on one of them gets Conflict naming the holder
	Input    any      // marshalled to JSON
	Actor    string
	ParentID string
	Key      string // a form's once-token or an Idempotency-Key: a second request with the same key gives the first one's job
}
