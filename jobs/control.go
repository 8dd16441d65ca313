package jobs

import (
	"context"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
)

// waiter is shared by all who wait for one job.
type waiter struct {
	n    int
	done chan struct{} // closed when the job has ended
	job  domain.Job    // as it ended; set before done is closed
}

// Wait gives the job once it has ended (succeeded, undone or stuck), or as it is when ctx ends first.
func (e *Engine) Wait(ctx context.Context, id string) (domain.Job, error) {
	e.mu.Lock()
	w := e.waiters[id]
	if w == nil {
		w = &waiter{done: make(chan struct{})}
		e.waiters[id] = w
	}
	w.n++
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if w.n--; w.n == 0 && e.waiters[id] == w {
			delete(e.waiters, id)
		}
	}()
	job, err := e.d.Job(context.WithoutCancel(ctx), id) // after registering, so that no end is missed; also for who has no time left
	if err != nil || job.State.Ended() {
		return job, err
	}
	select {
	case <-w.done:
		return w.job, nil
	case <-ctx.Done():
		return e.d.Job(context.WithoutCancel(ctx), id)
	}
}

// ended tells whoever waits.
func (e *Engine) ended(job domain.Job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w := e.waiters[job.ID]; w != nil {
		w.job = job
		close(w.done)
		delete(e.waiters, job.ID)
	}
	delete(e.progress, job.ID)
	if w := e.children[job.ParentID]; w != nil {
		w.add(job.ID)
	}
}

// childWatch collects the children that have ended, for a parent that waits.
type childWatch struct {
	ids  []string // guarded by Engine.mu
	some chan struct{}
}

func (w *childWatch) add(id string) {
	w.ids = append(w.ids, id)
	select {
	case w.some <- struct{}{}:
	default:
	}
}

func (e *Engine) watchChildren(parent string) (w *childWatch, forget func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w = &childWatch{some: make(chan struct{}, 1)}
	e.children[parent] = w
	return w, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.children, parent)
	}
}

// take gives the ids collected since the last call.
func (e *Engine) take(w *childWatch) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := w.ids
	w.ids = nil
	return ids
}

// Cancel asks a job and its children to stop: a queued one ends at once; a running one is stopped in its step (its context is cancelled) and
// then undone. A job past its point of no return cannot be cancelled. One that waits for its host to come back stops waiting and is stuck.
func (e *Engine) Cancel(ctx context.Context, id, actor string) error {
	job, err := e.d.Job(ctx, id)
	if err != nil {
		return err
	}
	if err := e.cancelOne(ctx, job, actor); err != nil {
		return err
	}
	children, err := e.d.Children(ctx, id)
	if err != nil {
		return err
	}
	for _, c := range slices.Backward(children) { // the newest are still queued; each end of an older one would begin one of them
		if c.State.Ended() {
			continue
		}
		if err := e.Cancel(ctx, c.ID, actor); err != nil && !domain.Is(err, domain.Conflict) {
			return err // Conflict: it has ended meanwhile or is past its point of no return
		}
	}
	return nil
}

func (e *Engine) cancelOne(ctx context.Context, job domain.Job, actor string) error {
	switch {
	case job.State == domain.JobStuck:
		return domain.Errorf(domain.Conflict, "“%s” is stuck, so there is nothing to cancel.", job.Title).WithFix("Try it again or dismiss it.")
	case job.State.Ended():
		return domain.Errorf(domain.Conflict, "“%s” has ended already.", job.Title)
	}
	e.mu.Lock()
	waiting := e.active[job.ID]
	e.mu.Unlock()
	if waiting != nil && waiting.giveUpWaiting() {
		return nil
	}
	if e.pastFinal(job) || waiting != nil && !waiting.returns() {
		return tooLate(job)
	}
	if r := e.hold(job.ID); r != nil { // no worker has it: we do, until it is written
		defer e.letGo(r)
		return e.cancelIdle(ctx, job.ID, actor)
	}
	err := e.d.Write(ctx, func(tx *db.Tx) error {
		now, err := tx.Job(job.ID)
		if err != nil {
			return err
		}
		if now.State.Ended() {
			return domain.Errorf(domain.Conflict, "“%s” has ended already.", job.Title)
		}
		if e.pastFinal(now) {
			return tooLate(job)
		}
		return e.markCancel(tx, now, actor)
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	r := e.active[job.ID]
	e.mu.Unlock()
	if r != nil {
		r.askCancel()
	}
	return nil
}

func tooLate(job domain.Job) error {
	return domain.Errorf(domain.Conflict, "“%s” is past its point of no return and can only go on.", job.Title).WithFix("Wait until it has ended.")
}

func (e *Engine) markCancel(tx *db.Tx, job domain.Job, actor string) error {
	if job.CancelAsk {
		return nil
	}
	if err := tx.AskCancel(job.ID); err != nil {
		return err
	}
	if err := tx.AppendJobLog(job.ID, domain.JobLine{At: e.clock(), Text: actor + " asked to cancel."}); err != nil {
		return err
	}
	ev := event(job, "cancel asked by "+actor+".")
	ev.Actor = actor
	return tx.Emit(ev)
}

// cancelIdle cancels a job that no worker has. One that never began ends here; one that a restart interrupted is undone by a worker.
func (e *Engine) cancelIdle(ctx context.Context, id, actor string) error {
	var ended domain.Job
	err := e.d.Write(ctx, func(tx *db.Tx) error {
		job, err := tx.Job(id)
		if err != nil {
			return err
		}
		if job.State.Ended() {
			return domain.Errorf(domain.Conflict, "“%s” has ended already.", job.Title)
		}
		if err := e.markCancel(tx, job, actor); err != nil {
			return err
		}
		began := slices.ContainsFunc(job.Steps, func(s domain.JobStep) bool { return s.State != domain.StepPending })
		if began || job.State != domain.JobQueued {
			return nil
		}
		job.State, job.EndedAt, job.Error, job.CancelAsk = domain.JobUndone, e.clock(), cancelError(), true
		kind, err := e.kind(job.Kind)
		if err != nil {
			return err
		}
		if err := kind.abandon(tx, job); err != nil {
			return err
		}
		if err := tx.UpdateJob(job); err != nil {
			return err
		}
		if err := tx.ReleaseLocks(id); err != nil {
			return err
		}
		ended = job
		return tx.Emit(event(job, "cancelled before it began."))
	})
	if err == nil && ended.ID != "" {
		e.ended(ended)
	}
	return err
}

// hold takes a job that no worker has out of the queue; nil when a worker has it.
func (e *Engine) hold(id string) *Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.active[id] != nil {
		return nil
	}
	r := &Run{e: e, id: id}
	e.active[id] = r
	if e.queued[id] {
		delete(e.queued, id)
		e.queue = slices.DeleteFunc(e.queue, func(q string) bool { return q == id })
	}
	return r
}

// letGo gives it back to the queue; a worker that finds it ended leaves it.
func (e *Engine) letGo(r *Run) {
	e.release(r)
	e.push(r.id)
}

// askCancel tells the worker.
func (r *Run) askCancel() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancelled, r.job.CancelAsk = true, true
	if r.stop != nil {
		r.stop(errCancelled)
	}
}

func (e *Engine) pastFinal(job domain.Job) bool {
	kind, err := e.kind(job.Kind)
	if err != nil {
		return false
	}
	steps, err := kind.bind(job.Input)
	return err == nil && len(steps) == len(job.Steps) && past(steps, job) && !stoppable(steps, job)
}

// stoppable reports whether the job is in a Final step that may be cancelled.
func stoppable(steps []Step, job domain.Job) bool {
	for i, s := range steps {
		if s.Final && s.Stoppable {
			return job.Steps[i].State == domain.StepStarted
		}
	}
	return false
}

// Retry has a stuck job go on where it stopped.
func (e *Engine) Retry(ctx context.Context, id, actor string) error {
	err := e.resolve(ctx, id, actor, domain.JobQueued, "tried again by "+actor+".", nil)
	if err == nil && !db.Trying(ctx) {
		e.push(id)
	}
	return err
}

// Dismiss ends a stuck job as it is and releases what it holds: a person has put right what it left.
func (e *Engine) Dismiss(ctx context.Context, id, actor string) error {
	return e.resolve(ctx, id, actor, domain.JobUndone, "dismissed by "+actor+".", nil)
}

// resolve ends what is stuck. change may refuse, and alters what is written with it; nil changes nothing.
func (e *Engine) resolve(ctx context.Context, id, actor string, to domain.JobState, say string, change func(job *domain.Job) error) error {
	return e.d.Write(ctx, func(tx *db.Tx) error {
		job, err := tx.Job(id)
		if err != nil {
			return err
		}
		if job.State != domain.JobStuck {
			return domain.Errorf(domain.Conflict, "“%s” is %s, not stuck.", job.Title, job.State).WithFix("Only a stuck job can be tried again or dismissed.")
		}
		if err := job.State.Next(to); err != nil {
			return err
		}
		if change != nil {
			if err := change(&job); err != nil {
				return err
			}
		}
		job.State, job.EndedAt = to, e.clock()
		if to == domain.JobQueued {
			job.EndedAt, job.Help = time.Time{}, ""
		} else if err := tx.ReleaseLocks(id); err != nil {
			return err
		}
		if err := tx.UpdateJob(job); err != nil {
			return err
		}
		if err := tx.AppendJobLog(id, domain.JobLine{At: e.clock(), Text: "Stuck; " + say}); err != nil {
			return err
		}
		ev := event(job, say)
		ev.Actor = actor
		return tx.Emit(ev)
	})
}
