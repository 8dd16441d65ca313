package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"novacron/db"
	"novacron/domain"
)

var errSkeleton = errors.New("not filled in yet")

// Options tune an engine; the zero value is right for production.
type Options struct {
	Workers  int           // jobs at work at a time; 0: 16
	RetryFor time.Duration // how long an unavailable other side is tried again inside a step; 0: 30 s
	Backoff  func(attempt int) time.Duration
	Faults   *Faults // for jobstest only
}

// Faults lets jobstest break an engine at chosen points.
type Faults struct {
	// Write wraps every durable write of the engine; n counts from 1.
	Write func(n int, commit func() error) error
	// Call wraps every Do and Undo.
	Call func(job, step string, undo bool, call func() error) error
}

type Engine struct{}

func NewEngine(d *db.DB, log *slog.Logger, clock func() time.Time, opt Options) *Engine {
	return &Engine{}
}
func (e *Engine) Register(kinds ...Kind) {}
func (e *Engine) Enqueue(ctx context.Context, req Request, also ...func(tx *db.Tx, job *domain.Job) error) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (e *Engine) Run(ctx context.Context) error { return errSkeleton }
func (e *Engine) Wait(ctx context.Context, id string) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}
func (e *Engine) Cancel(ctx context.Context, id, actor string) error  { return errSkeleton }
func (e *Engine) Retry(ctx context.Context, id, actor string) error   { return errSkeleton }
func (e *Engine) Dismiss(ctx context.Context, id, actor string) error { return errSkeleton }
func (e *Engine) Progress(id string) (domain.Progress, bool)          { return domain.Progress{}, false }

// Live calls fn with the latest progress of every job that moves, at most once a second each, until ctx ends.
func (e *Engine) Live(ctx context.Context, fn func(jobID string, p domain.Progress)) {}

// BeforeFinal marks an error of a Final step: the world was looked at and the point of no return was not reached, so the job may be undone.
func BeforeFinal(err error) error { return err }

// Run is what a step sees of its job.
type Run struct{}

func (r *Run) Job() domain.Job   { return domain.Job{} }
func (r *Run) Input(v any) error { return errSkeleton }

// Load reads what Save kept; v stays as it is when nothing was saved.
func (r *Run) Load(v any) error                      { return errSkeleton }
func (r *Run) Save(ctx context.Context, v any) error { return errSkeleton }

// Result sets what the job made, written with the end of the step.
func (r *Run) Result(v any) error                    { return errSkeleton }
func (r *Run) Log(format string, args ...any)        {}
func (r *Run) Progress(percent float64, text string) {}

// Cancelled reports whether a person asked to cancel; the step's context is cancelled too, unless it is Final.
func (r *Run) Cancelled() bool { return false }

// Child enqueues a child job; Request.Key is needed and makes it idempotent for this parent.
func (r *Run) Child(ctx context.Context, req Request) (domain.Job, error) {
	return domain.Job{}, errSkeleton
}

// WaitChildren waits until every child has ended, without holding a worker or the step's timeout.
func (r *Run) WaitChildren(ctx context.Context) ([]domain.Job, error) { return nil, errSkeleton }
