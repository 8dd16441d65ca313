package jobs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
)

const (
	stepTimeout = 60 * time.Second
	// finalTries is how often a failing Undo or Final step is entered before a person is asked: those two have nowhere else to go.
	finalTries = 3
)

// commit changes the job and writes it, with the log lines that wait and an event when something is said. Memory follows the database, not the other way round.
func (r *Run) commit(say string, change func(job *domain.Job)) error {
	return r.commitAs(eventKind, say, change)
}

// atStep is commit for what only says where the job is.
func (r *Run) atStep(say string, change func(job *domain.Job)) error {
	return r.commitAs(domain.EventStep, say, change)
}

func (r *Run) commitAs(kind, say string, change func(job *domain.Job)) error {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	r.mu.Lock()
	job := r.job
	job.Steps = slices.Clone(job.Steps)
	change(&job)
	lines := r.lines
	r.lines = nil
	if r.flush != nil {
		r.flush.Stop()
		r.flush = nil
	}
	r.mu.Unlock()
	err := r.e.write(r.base, func(tx *db.Tx) error {
		if job.State == domain.JobUndone && !slices.ContainsFunc(job.Steps, func(s domain.JobStep) bool { return s.State != domain.StepPending }) {
			if err := r.kind.abandon(tx, job); err != nil {
				return err
			}
		}
		if err := tx.UpdateJob(job); err != nil {
			return err
		}
		if err := tx.AppendJobLog(job.ID, lines...); err != nil {
			return err
		}
		if job.State == domain.JobSucceeded || job.State == domain.JobUndone {
			if err := tx.ReleaseLocks(job.ID); err != nil {
				return err
			}
		}
		if say == "" {
			return nil
		}
		ev := event(job, say)
		ev.Kind = kind
		return tx.Emit(ev)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.lines = append(lines, r.lines...)
		return err
	}
	// What the step set meanwhile (its result, its progress, a cancel) is newer than the copy.
	job.Result, job.Progress, job.CancelAsk = r.job.Result, r.job.Progress, r.job.CancelAsk
	r.job = job
	return nil
}

// work runs the job to its end, or until the engine ends.
func (r *Run) work(ctx context.Context) {
	r.base = ctx
	defer r.close()
	err := r.drive(ctx)
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrKilled) {
		return // ended, or left for the next Run to take up
	}
	r.e.log.Error("a job cannot be run; it is left as it is until the next start", "job", r.id, "err", describe(err))
}

func (r *Run) drive(ctx context.Context) error {
	job, err := r.e.d.Job(ctx, r.id)
	if err != nil {
		return err
	}
	if job.State.Ended() {
		return nil
	}
	if err := r.bind(job); err != nil {
		return r.giveUp(err)
	}
	if r.cancelBeforeStart() {
		return r.end(domain.JobUndone, cancelError(), "cancelled before it began.")
	}
	if err := r.takeUp(); err != nil {
		return err
	}
	if r.forward() {
		failed, err := r.doSteps(ctx)
		if err != nil || !failed {
			return err
		}
	}
	return r.undoSteps(ctx)
}

// abandon calls Abandon if there is one.
func (k Kind) abandon(tx *db.Tx, job domain.Job) error {
	if k.Abandon == nil {
		return nil
	}
	return k.Abandon(tx, job)
}

// bind joins the stored job to its steps.
func (r *Run) bind(job domain.Job) error {
	r.mu.Lock()
	job.CancelAsk = job.CancelAsk || r.cancelled
	r.job = job
	r.mu.Unlock()
	kind, err := r.e.kind(job.Kind)
	if err != nil {
		return err
	}
	r.kind = kind
	if r.steps, err = kind.bind(job.Input); err != nil {
		return err
	}
	same := slices.EqualFunc(r.steps, job.Steps, func(s Step, l domain.JobStep) bool { return s.Name == l.Name })
	if !same {
		return domain.Errorf(domain.Internal, "This release of NovaCron has other steps for %s than the one that began the job.", job.Kind).
			WithFix("Run the release that began it until it has ended, or dismiss the job and put the rest right by hand.")
	}
	return nil
}

// giveUp ends a job that cannot be run at all: undone if it never began, else stuck.
func (r *Run) giveUp(cause error) error {
	began := slices.ContainsFunc(r.Job().Steps, func(s domain.JobStep) bool { return s.State != domain.StepPending })
	if !began {
		return r.end(domain.JobUndone, jobError(cause, ""), "could not begin: "+jobError(cause, "").Message)
	}
	r.mu.Lock()
	r.job.State = domain.JobRunning
	r.mu.Unlock()
	return r.stuck(jobError(cause, ""))
}

func (r *Run) cancelBeforeStart() bool {
	job := r.Job()
	return job.CancelAsk && !slices.ContainsFunc(job.Steps, func(s domain.JobStep) bool { return s.State != domain.StepPending })
}

// takeUp makes the job running in memory; the first step's write makes it durable.
func (r *Run) takeUp() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.job.State == domain.JobQueued {
		if err := r.job.State.Next(domain.JobRunning); err != nil {
			return err
		}
	}
	r.job.State = domain.JobRunning
	r.job.Attempts++
	r.job.EndedAt, r.job.Help = time.Time{}, ""
	if r.job.StartedAt.IsZero() {
		r.job.StartedAt = r.e.clock()
	}
	if past(r.steps, r.job) {
		r.job.Error = nil // it goes forward only; what stopped it before may be over
	}
	return nil
}

// past reports whether the point of no return has been reached.
func past(steps []Step, job domain.Job) bool {
	for i, s := range steps {
		if s.Final && job.Steps[i].State != domain.StepPending && job.Steps[i].State != domain.StepUndone {
			return true
		}
	}
	return false
}

// forward reports the direction, from the log alone, so that it is the same after a crash.
func (r *Run) forward() bool {
	job := r.Job()
	if past(r.steps, job) {
		return true
	}
	back := slices.ContainsFunc(job.Steps, func(s domain.JobStep) bool {
		return s.State == domain.StepFailed || s.State == domain.StepUndoing || s.State == domain.StepUndone
	})
	return !back && !job.CancelAsk
}

// doSteps runs every step that is not done. failed says that the job must be undone.
func (r *Run) doSteps(ctx context.Context) (failed bool, err error) {
	before := func(*domain.Job) {} // the outcome of the step before, written together with the start of the next
	for i := range r.steps {
		step := r.steps[i]
		if r.Job().Steps[i].State == domain.StepDone {
			continue
		}
		if !past(r.steps, r.Job()) && r.Job().CancelAsk {
			return true, r.commit("cancelled; what was done is taken back.", func(job *domain.Job) {
				before(job)
				job.Error = cancelError()
			})
		}
		if err := r.atStep("running step “"+step.Name+"”.", func(job *domain.Job) {
			before(job)
			started := r.e.clock()
			job.Steps[i] = domain.JobStep{Name: step.Name, State: domain.StepStarted, StartedAt: &started}
		}); err != nil {
			return false, err
		}
		stepErr := r.attempt(ctx, i, false)
		switch {
		case r.e.killed.Load():
			return false, ErrKilled
		case stepErr != nil && ctx.Err() != nil:
			return false, ctx.Err() // the engine ends; the step is entered again by the next Run
		case stepErr != nil:
			return r.failed(i, stepErr)
		}
		before = func(job *domain.Job) {
			ended := r.e.clock()
			job.Steps[i].State, job.Steps[i].EndedAt = domain.StepDone, &ended
		}
		if r.partial() == nil {
			r.Progress(float64(i+1)*100/float64(len(r.steps)), "")
		}
	}
	say := "done."
	if p := r.partial(); p != nil {
		say = "done in part: " + p.Message
	}
	return false, r.endWith(domain.JobSucceeded, nil, say, before)
}

// failed writes that step i failed for good.
func (r *Run) failed(i int, stepErr error) (undo bool, err error) {
	step := r.steps[i]
	if !errors.Is(stepErr, errCancelled) && domain.CodeOf(stepErr) == domain.Internal {
		r.e.log.Error("a step failed inside", "job", r.id, "kind", r.kind.Name, "step", step.Name, "err", describe(stepErr))
	}
	cause := jobError(stepErr, step.Name)
	_, notReached := errors.AsType[*beforeFinal](stepErr)
	mark := func(job *domain.Job) {
		ended := r.e.clock()
		job.Steps[i].State, job.Steps[i].Error, job.Steps[i].Code, job.Steps[i].EndedAt = domain.StepFailed, cause.Message, cause.Code, &ended
		job.Error = cause
	}
	r.Log("“%s” failed: %s", step.Name, cause.Message)
	if step.Final && !notReached || past(r.steps, r.Job()) && !step.Final {
		return false, r.stuckWith(cause, mark)
	}
	return true, r.commit("step “"+step.Name+"” failed: "+cause.Message, func(job *domain.Job) {
		mark(job)
		if step.Final {
			job.Steps[i].State = domain.StepUndone // nothing was reached, so there is nothing to take back
		}
	})
}

// undoSteps takes back every step that was begun, last first.
func (r *Run) undoSteps(ctx context.Context) error {
	if err := r.settleChildren(ctx); err != nil {
		return err
	}
	before := func(job *domain.Job) {
		if job.Error == nil { // cancelled while no worker had it
			job.Error = cancelError()
		}
	}
	for i := len(r.steps) - 1; i >= 0; i-- {
		state, step := r.Job().Steps[i].State, r.steps[i]
		if state == domain.StepPending || state == domain.StepUndone {
			continue
		}
		if step.Undo != nil {
			if err := r.atStep("taking back “"+step.Name+"”.", func(job *domain.Job) {
				before(job)
				job.Steps[i].State = domain.StepUndoing
			}); err != nil {
				return err
			}
			before = func(*domain.Job) {}
			undoErr := r.attempt(ctx, i, true)
			switch {
			case r.e.killed.Load():
				return ErrKilled
			case undoErr != nil && ctx.Err() != nil:
				return ctx.Err()
			case undoErr != nil:
				cause := jobError(undoErr, step.Name)
				r.Log("“%s” could not be taken back: %s", step.Name, cause.Message)
				return r.stuckWith(cause, func(job *domain.Job) { job.Steps[i].Error, job.Steps[i].Code = cause.Message, cause.Code })
			}
		}
		last := before
		before = func(job *domain.Job) {
			last(job)
			ended := r.e.clock()
			job.Steps[i].State, job.Steps[i].EndedAt = domain.StepUndone, &ended
		}
	}
	say := "failed; everything it had done was taken back."
	if r.Job().CancelAsk {
		say = "cancelled; everything it had done was taken back."
	}
	return r.endWith(domain.JobUndone, nil, say, before)
}

// settleChildren cancels the children that are under way and waits for their end: a parent's undo must not race its own children.
func (r *Run) settleChildren(ctx context.Context) error {
	children, err := r.e.d.Children(ctx, r.id)
	if err != nil {
		return err
	}
	open := 0
	for _, c := range slices.Backward(children) {
		if c.State.Ended() {
			continue
		}
		open++
		if err := r.e.Cancel(ctx, c.ID, r.Job().Actor); err != nil && !domain.Is(err, domain.Conflict) {
			return err // Conflict: it has ended meanwhile or is past its point of no return
		}
	}
	if open == 0 {
		return nil
	}
	_, err = r.WaitChildren(ctx)
	return err
}

func (r *Run) end(state domain.JobState, cause *domain.JobError, say string) error {
	return r.endWith(state, cause, say, func(*domain.Job) {})
}

func (r *Run) endWith(state domain.JobState, cause *domain.JobError, say string, change func(*domain.Job)) error {
	if err := r.Job().State.Next(state); err != nil {
		return err
	}
	r.mu.Lock()
	partly := r.partly
	if state == domain.JobSucceeded && partly == nil {
		r.job.Progress = domain.Progress{Percent: 100}
	}
	r.mu.Unlock()
	err := r.commit(say, func(job *domain.Job) {
		change(job)
		job.State, job.EndedAt = state, r.e.clock()
		if cause != nil {
			job.Error = cause
		}
		if state == domain.JobSucceeded {
			job.Error = partly
		}
	})
	if err == nil {
		r.e.ended(r.Job())
	}
	return err
}

func (r *Run) stuck(cause *domain.JobError) error {
	return r.stuckWith(cause, func(job *domain.Job) { job.Error = cause })
}

// stuckWith ends the job as stuck; it keeps its locks, since nobody knows what a second job would meet.
func (r *Run) stuckWith(cause *domain.JobError, change func(*domain.Job)) error {
	help := r.kind.StuckHelp
	if help == "" {
		help = "Look at the log, put right what stopped it, then try the job again. Dismiss it only when nothing is left to do: that releases what it holds."
	}
	if cause.Fix != "" {
		help = cause.Fix + " " + help
	}
	return r.endWith(domain.JobStuck, nil, "stuck: "+cause.Message, func(job *domain.Job) {
		if job.Error == nil {
			job.Error = cause
		}
		change(job)
		job.Help = help
	})
}

// attempt calls Do or Undo of step i, again while the other side is unavailable. A failing Undo or Final step is tried a few times whatever the
// failure is, because after it only a person can help.
func (r *Run) attempt(ctx context.Context, i int, undo bool) error {
	step := r.steps[i]
	until := r.e.clock().Add(r.e.opt.RetryFor)
	stubborn := undo || past(r.steps, r.Job())
	r.mu.Lock()
	r.step, r.calling = step.Name, true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.calling = false
		r.mu.Unlock()
	}()
	for n := 0; ; n++ {
		err := r.call(ctx, step, undo)
		_, notReached := errors.AsType[*beforeFinal](err)
		_, person := errors.AsType[*forPerson](err)
		if err == nil || ctx.Err() != nil || errors.Is(err, errCancelled) || notReached || person || r.e.killed.Load() {
			return err
		}
		wait := r.e.opt.Backoff(n)
		again := domain.Is(err, domain.Unavailable) && !step.NoRetry && r.e.clock().Add(wait).Before(until)
		if stubborn && domain.Is(err, domain.Unavailable) {
			switch back, werr := r.awaitHosts(ctx, err); {
			case errors.Is(werr, errGaveUp):
				return err
			case werr != nil:
				return werr
			case back:
				n, until = -1, r.e.clock().Add(r.e.opt.RetryFor)
				continue
			}
		}
		if !again && !(stubborn && n+1 < finalTries) {
			return err
		}
		r.Log("%s Trying again in %s.", jobError(err, "").Message, wait.Round(100*time.Millisecond))
		if !r.pause(ctx, wait, stubborn) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errCancelled
		}
	}
}

func (r *Run) partial() *domain.JobError {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.partly
}

// pause waits between attempts; a cancel ends it unless the job can no longer be cancelled.
func (r *Run) pause(ctx context.Context, wait time.Duration, stubborn bool) bool {
	if stubborn {
		return sleep(ctx, wait)
	}
	pctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if !r.arm(stop) {
		return false
	}
	defer r.disarm()
	return sleep(pctx, wait)
}

// arm lets Cancel end what is about to run; false when it was asked already.
func (r *Run) arm(stop context.CancelCauseFunc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.job.CancelAsk {
		return false
	}
	r.stop = stop
	return true
}

func (r *Run) disarm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop = nil
}

// call runs Do or Undo once, within its time, and gives an error that says what ended it.
func (r *Run) call(ctx context.Context, step Step, undo bool) (err error) {
	cctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	d := step.Timeout
	if d <= 0 {
		d = stepTimeout
	}
	limit := &stepLimit{timer: time.AfterFunc(d, func() { stop(errStepTimeout) }), d: d}
	defer limit.timer.Stop()
	switch {
	case undo:
	case step.Stoppable:
		if !r.arm(stop) {
			stop(errCancelled) // only the step can tell whether it is too late
		}
		defer r.disarm()
	case !step.Final && !past(r.steps, r.Job()):
		if !r.arm(stop) {
			return errCancelled
		}
		defer r.disarm()
	}
	r.mu.Lock()
	r.limit = limit
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.limit = nil
		r.mu.Unlock()
	}()
	fn := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				r.e.log.Error("a step panicked", "job", r.id, "step", step.Name, "panic", p, "stack", string(debug.Stack()))
				err = domain.Errorf(domain.Internal, "The step ended by a fault in NovaCron: %v.", p)
			}
		}()
		if undo {
			return step.Undo(cctx, r)
		}
		return step.Do(cctx, r)
	}
	if f := r.e.opt.Faults; f != nil && f.Call != nil {
		err = f.Call(r.Job(), step.Name, undo, fn)
	} else {
		err = fn()
	}
	if err == nil {
		return nil
	}
	switch context.Cause(cctx) {
	case errStepTimeout:
		return domain.Errorf(domain.Unavailable, "“%s” did not end within %s: %w", step.Name, d, err).WithFix("Look whether the host answers and what keeps it busy.")
	case errCancelled:
		return fmt.Errorf("%w: %w", errCancelled, err)
	}
	return err
}

func cancelError() *domain.JobError {
	return &domain.JobError{Code: domain.Conflict, Message: "It was cancelled."}
}

// jobError is an error for people.
func jobError(err error, step string) *domain.JobError {
	if errors.Is(err, errCancelled) {
		c := cancelError()
		c.Step = step
		return c
	}
	e, ok := errors.AsType[*domain.Error](err)
	if !ok {
		return &domain.JobError{Code: domain.Internal, Message: "The step failed inside NovaCron.", Fix: "The server's log has the details.", Step: step}
	}
	return &domain.JobError{Code: e.Code, Message: e.Msg, Fix: e.Fix, Step: step, Fields: e.Fields, Reasons: e.Reasons}
}
