package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"novacron/db"
	"novacron/domain"
)

// Run is what a step sees of its job. Its methods may be called by many goroutines of the step.
type Run struct {
	e    *Engine
	id   string
	base context.Context // the engine's, set when a worker begins: what outlives a cancel but not the engine

	mu        sync.Mutex
	job       domain.Job
	kind      Kind
	steps     []Step
	lines     []domain.JobLine        // of the log, not yet written
	flush     *time.Timer             // writes lines during long steps; nil when nothing waits
	step      string                  // name of the current one
	stop      context.CancelCauseFunc // ends the current Do; nil when cancelling may not reach it
	leave     context.CancelCauseFunc // ends the wait for an absent host; nil when it does not wait for one
	limit     *stepLimit              // of the current call
	partly    *domain.JobError        // what of the job was not done though it succeeded
	noReturn  bool                    // a Stoppable step says that it cannot be stopped any more
	cancelled bool                    // asked, perhaps before the job was loaded
	calling   bool                    // Do or Undo is under way: log lines are worth writing before it ends
	again     bool                    // guarded by Engine.mu: something happened while a worker had the job, so look at it once more

	flushing sync.Mutex // held while lines are written, so that the log keeps its order and the run does not end meanwhile
}

var (
	errStepTimeout = errors.New("the step took too long")
	errCancelled   = errors.New("a person asked to cancel")
)

// stepLimit bounds one call of Do or Undo, and can be held while a step waits for its children.
type stepLimit struct {
	timer *time.Timer
	d     time.Duration
}

func (l *stepLimit) hold()   { l.timer.Stop() }
func (l *stepLimit) resume() { l.timer.Reset(l.d) }

// BeforeFinal marks an error of a Final step: the world was looked at and the point of no return was not reached, so the job is undone
// rather than stuck.
func BeforeFinal(err error) error { return &beforeFinal{err} }

type beforeFinal struct{ error }

func (b *beforeFinal) Unwrap() error { return b.error }

// ForPerson marks an error that trying again does not mend: a person has to decide, so the job is stuck at once.
func ForPerson(err error) error { return &forPerson{err} }

type forPerson struct{ error }

func (f *forPerson) Unwrap() error { return f.error }

// Job gives the job as it is now.
func (r *Run) Job() domain.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.job
	j.Steps = slices.Clone(j.Steps)
	return j
}

// Input decodes what was asked for.
func (r *Run) Input(v any) error {
	if err := json.Unmarshal(r.Job().Input, v); err != nil {
		return domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
	}
	return nil
}

// Load decodes what Save kept; v stays as it is when nothing was saved.
func (r *Run) Load(v any) error {
	data := r.Job().Data
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return domain.Errorf(domain.Internal, "The job's data cannot be read: %w", err)
	}
	return nil
}

// Save keeps v for later steps and for undo; it is durable when Save returns. There is one such value per job: load it, change it, save it.
// Save what identifies a thing before making the thing.
func (r *Run) Save(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return domain.Errorf(domain.Internal, "The job's data cannot be encoded: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.commit("", func(job *domain.Job) { job.Data = data })
}

// Result sets what the job made, for whoever asked; it is written with the end of the step.
func (r *Run) Result(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return domain.Errorf(domain.Internal, "The job's result cannot be encoded: %w", err)
	}
	r.mu.Lock()
	r.job.Result = b
	r.mu.Unlock()
	return nil
}

// Partly says what could not be done of a job that otherwise succeeds: one of many VMs, say. The job ends as succeeded and carries the error, and its
// progress stays what it was, so that nobody takes it for the whole.
func (r *Run) Partly(e *domain.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.partly = jobError(e, "")
}

const flushAfter = 250 * time.Millisecond

// Log adds a line to the job's log. It is written with the outcome of the step in one transaction, and within a quarter of a second when the step takes longer.
func (r *Run) Log(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, domain.JobLine{At: r.e.clock(), Step: r.step, Text: fmt.Sprintf(format, args...)})
	if r.flush == nil && r.calling { // else it is about to be written anyway
		r.flush = time.AfterFunc(flushAfter, r.flushLines)
	}
}

// flushLines runs on the timer. A failure keeps the lines for the end of the step.
func (r *Run) flushLines() {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	r.mu.Lock()
	lines := r.lines
	r.lines, r.flush = nil, nil
	r.mu.Unlock()
	r.writeLines(lines)
}

func (r *Run) writeLines(lines []domain.JobLine) {
	if len(lines) == 0 || r.e.killed.Load() {
		return
	}
	if err := r.e.d.Write(context.WithoutCancel(r.base), func(tx *db.Tx) error { return tx.AppendJobLog(r.id, lines...) }); err != nil {
		r.mu.Lock()
		r.lines = append(lines, r.lines...)
		r.mu.Unlock()
		return
	}
	r.e.touch(r.id)
}

// close writes the lines that are left when the engine ends in the middle of a step.
func (r *Run) close() {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	r.mu.Lock()
	lines := r.lines
	r.lines = nil
	if r.flush != nil {
		r.flush.Stop()
		r.flush = nil
	}
	r.mu.Unlock()
	r.writeLines(lines)
}

// Progress tells how far the step is, in percent of the whole job, and with what: the latest value counts, it is not written down.
func (r *Run) Progress(percent float64, text string) { r.Moving(percent, text, nil) }

// Moving is Progress of a migration, with what is known of it.
func (r *Run) Moving(percent float64, text string, m *domain.MoveProgress) {
	r.mu.Lock()
	r.job.Progress = domain.Progress{Percent: max(0, min(percent, 100)), Text: text, Move: m}
	p := r.job.Progress
	r.mu.Unlock()
	r.e.setProgress(r.id, p)
}

// Cancelled reports whether a person asked to cancel. The context of Do is cancelled too, unless its step is Final.
func (r *Run) Cancelled() bool { return r.Job().CancelAsk }

// NoReturn says from inside a Stoppable step that its point of no return is passed: from now on nobody can cancel the job.
func (r *Run) NoReturn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noReturn = true
}

func (r *Run) returns() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.noReturn
}

// Child enqueues a child of this job. Request.Key is needed: a step that runs again finds the child it made before. Actor is this job's.
func (r *Run) Child(ctx context.Context, req Request, also ...func(tx *db.Tx, job *domain.Job) error) (domain.Job, error) {
	if req.Key == "" {
		return domain.Job{}, domain.Errorf(domain.Internal, "A child job needs a key.")
	}
	parent := r.Job()
	req.Key, req.ParentID, req.Actor = parent.ID+"/"+req.Key, parent.ID, parent.Actor
	return r.e.Enqueue(ctx, req, also...)
}

// WaitChildren waits until every child has ended and gives them, oldest first. Meanwhile this job uses no worker and its step no time. When the
// job is cancelled its children are too; WaitChildren then still waits for their end and returns the context's error beside them.
func (r *Run) WaitChildren(ctx context.Context) ([]domain.Job, error) {
	var children []domain.Job
	err := r.Idle(r.base, func(base context.Context) (err error) {
		children, err = r.waitChildren(base)
		return err
	})
	if err == nil {
		err = ctx.Err()
	}
	return children, err
}

// Idle has wait wait for something outside of NovaCron, such as a person's browser. Meanwhile this job uses no worker and its step no time.
func (r *Run) Idle(ctx context.Context, wait func(ctx context.Context) error) error {
	r.mu.Lock()
	limit := r.limit
	r.mu.Unlock()
	if limit != nil {
		limit.hold()
		defer limit.resume()
	}
	<-r.e.slots
	defer func() { r.e.slots <- struct{}{} }() // also when the engine stops: our caller will give it back
	return wait(ctx)
}

func (r *Run) waitChildren(ctx context.Context) ([]domain.Job, error) {
	watch, forget := r.e.watchChildren(r.id)
	defer forget()
	children, err := r.e.d.Children(ctx, r.id) // after registering, so that no end is missed
	if err != nil {
		return nil, err
	}
	open := map[string]bool{}
	for _, c := range children {
		if !c.State.Ended() {
			open[c.ID] = true
		}
	}
	for n := len(children); len(open) > 0; {
		r.Progress(float64(n-len(open))*100/float64(n), fmt.Sprintf("%d of %d ended", n-len(open), n))
		select {
		case <-watch.some:
		case <-ctx.Done():
			return children, ctx.Err()
		}
		for _, id := range r.e.take(watch) {
			delete(open, id)
		}
	}
	return r.e.d.Children(ctx, r.id)
}
