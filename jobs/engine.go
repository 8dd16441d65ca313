package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"novacron/db"
	"novacron/domain"
)

// Options tune an engine; the zero value is right for production.
type Options struct {
	Workers  int                             // jobs at work at a time; 0: 16. A job that waits for its children does not count.
	RetryFor time.Duration                   // how long an unavailable other side is tried again inside a step; 0: 30 s
	Backoff  func(attempt int) time.Duration // how long to wait after the attempt, counted from 0; nil: 0.5 s doubling to 8 s
	Faults   *Faults                         // for jobstest only
}

// Faults lets jobstest break an engine at chosen points.
type Faults struct {
	// Write wraps every write of the step log; n counts from 1. When it returns ErrKilled, the engine is dead from there on: it writes no more.
	Write func(n int, commit func() error) error
	// Call wraps every Do and Undo.
	Call func(job domain.Job, step string, undo bool, call func() error) error
}

// ErrKilled is what Faults.Write returns to end an engine as kill -9 would.
var ErrKilled = errors.New("the engine was killed by a test")

// Engine runs jobs. It is the only one that changes them.
type Engine struct {
	d     *db.DB
	log   *slog.Logger
	clock func() time.Time
	opt   Options
	slots chan struct{} // one token for each job at work
	kick  chan struct{} // something was put into the queue

	mu       sync.Mutex
	kinds    map[string]Kind
	queue    []string                   // ids that wait for a worker, oldest first
	queued   map[string]bool            // what is in queue
	active   map[string]*Run            // what a worker has, or what Cancel holds while it ends it
	waiters  map[string]*waiter         // who waits for a job's end
	children map[string]*childWatch     // by parent: the ids of children that ended, while the parent waits
	progress map[string]domain.Progress // latest value of the jobs at work
	live     map[*liveSub]struct{}

	writes atomic.Int64
	killed atomic.Bool
}

// NewEngine makes an engine; Register the kinds, then Run it. Jobs can be enqueued before it runs.
func NewEngine(d *db.DB, log *slog.Logger, clock func() time.Time, opt Options) *Engine {
	if opt.Workers <= 0 {
		opt.Workers = 16
	}
	if opt.RetryFor <= 0 {
		opt.RetryFor = 30 * time.Second
	}
	if opt.Backoff == nil {
		opt.Backoff = func(attempt int) time.Duration { return min(500*time.Millisecond<<min(attempt, 10), 8*time.Second) }
	}
	return &Engine{
		d: d, log: log, clock: clock, opt: opt, slots: make(chan struct{}, opt.Workers), kick: make(chan struct{}, 1),
		kinds: map[string]Kind{}, queued: map[string]bool{}, active: map[string]*Run{}, waiters: map[string]*waiter{}, children: map[string]*childWatch{},
		progress: map[string]domain.Progress{}, live: map[*liveSub]struct{}{},
	}
}

// Register makes kinds known. A kind that breaks the rules of Step is a fault in the program and panics.
func (e *Engine) Register(kinds ...Kind) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range kinds {
		if k.Name == "" || k.Steps == nil {
			panic("jobs: a kind needs a name and steps")
		}
		if _, ok := e.kinds[k.Name]; ok {
			panic("jobs: kind " + k.Name + " is registered twice")
		}
		e.kinds[k.Name] = k
	}
}

func (e *Engine) kind(name string) (Kind, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k, ok := e.kinds[name]
	if !ok {
		return k, domain.Errorf(domain.Internal, "This server does not know jobs of the kind %s.", name).WithFix("Run the release of NovaCron that made the job.")
	}
	return k, nil
}

// bind gives the steps of a kind for an input, checked.
func (k Kind) bind(input json.RawMessage) ([]Step, error) {
	steps, err := k.Steps(input)
	if err != nil {
		return nil, err
	}
	finals, names := 0, map[string]bool{}
	for _, s := range steps {
		if s.Name == "" || names[s.Name] || s.Do == nil || (s.Undo == nil && s.NoUndo == "" && !s.Final) {
			return nil, domain.Errorf(domain.Internal, "Step “%s” of %s is not well made: it needs a name of its own, Do, and Undo or the reason why there is none.", s.Name, k.Name)
		}
		names[s.Name] = true
		if s.Final {
			finals++
		}
	}
	if finals > 1 || len(steps) == 0 {
		return nil, domain.Errorf(domain.Internal, "%s has %d steps and %d points of no return; it needs steps and at most one such point.", k.Name, len(steps), finals)
	}
	return steps, nil
}

func pending(steps []Step) []domain.JobStep {
	log := make([]domain.JobStep, len(steps))
	for i, s := range steps {
		log[i] = domain.JobStep{Name: s.Name, State: domain.StepPending}
	}
	return log
}

// Enqueue writes the job, its locks and its event, and whatever the given functions write, in one transaction, and then has it run. The functions
// run first and may still change the job (its Input, Locks, Title, Resource), as placement does; an error of theirs is returned and nothing is written.
// A request whose actor used its key before gets the first one's job, and nothing is written either.
func (e *Engine) Enqueue(ctx context.Context, req Request, also ...func(tx *db.Tx, job *domain.Job) error) (domain.Job, error) {
	kind, err := e.kind(req.Kind)
	if err != nil {
		return domain.Job{}, err
	}
	input, err := json.Marshal(req.Input)
	if err != nil {
		return domain.Job{}, domain.Errorf(domain.Internal, "The job's input cannot be encoded: %w", err)
	}
	steps, err := kind.bind(input)
	if err != nil {
		return domain.Job{}, err
	}
	now := e.clock()
	var job domain.Job
	repeated := false
	err = e.d.Write(ctx, func(tx *db.Tx) error {
		if req.Key != "" {
			old, ok, err := tx.JobByKey(req.Actor, req.Key)
			if err != nil {
				return err
			}
			if ok {
				if old.Kind != req.Kind || old.ParentID != req.ParentID {
					return domain.Errorf(domain.Conflict, "This form was sent before, for “%s”.", old.Title).WithFix("Reload the page and send it again.")
				}
				job, repeated = old, true
				return nil
			}
		}
		job = domain.Job{ID: domain.NewID("job", now), Kind: req.Kind, Title: req.Title, State: domain.JobQueued, Resource: req.Resource, Locks: req.Locks, ParentID: req.ParentID,
			Input: input, Steps: pending(steps), Actor: req.Actor, CreatedAt: now}
		for _, fn := range also {
			if err := fn(tx, &job); err != nil {
				return err
			}
		}
		if !bytes.Equal(job.Input, input) {
			if steps, err = kind.bind(job.Input); err != nil {
				return err
			}
			job.Steps = pending(steps)
		}
		if err := tx.InsertJob(job, req.Key); err != nil {
			return err
		}
		if !kind.Read {
			if err := tx.TakeLocks(job); err != nil {
				return err
			}
		}
		return tx.Emit(event(job, "queued."))
	})
	if err != nil {
		return domain.Job{}, err
	}
	if !repeated && !db.Trying(ctx) {
		e.push(job.ID)
	}
	return job, nil
}

const eventKind = "job.changed"

// event is a job's event; what follows its title says what happened.
func event(job domain.Job, what string) domain.Event {
	ev := domain.Event{Kind: eventKind, Resource: domain.Ref{Kind: "job", ID: job.ID, Name: job.Title}, JobID: job.ID, Actor: job.Actor, Message: job.Title + ": " + what}
	if job.Resource.Kind == "host" {
		ev.HostID = job.Resource.ID
	}
	return ev
}

func (e *Engine) push(id string) {
	e.mu.Lock()
	if r := e.active[id]; r != nil {
		r.again = true
	} else if !e.queued[id] {
		e.queue, e.queued[id] = append(e.queue, id), true
	}
	e.mu.Unlock()
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// pop takes the oldest id and marks it active.
func (e *Engine) pop() (*Run, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 {
		return nil, false
	}
	id := e.queue[0]
	e.queue = e.queue[1:]
	delete(e.queued, id)
	r := &Run{e: e, id: id}
	e.active[id] = r
	return r, true
}

// Run takes up what an earlier process left, then runs jobs until ctx ends. It returns after the last worker has; a step cut short by that is
// entered again by the next Run.
func (e *Engine) Run(ctx context.Context) error {
	left, err := e.d.Unended(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	for _, j := range left {
		e.push(j.ID)
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() { e.revive(ctx) })
	for {
		// A job leaves the queue only when there is a worker for it: until then Cancel can end it at once.
		if e.idle() {
			select {
			case <-e.kick:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case e.slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		r, ok := e.pop()
		if !ok { // cancelled meanwhile
			<-e.slots
			continue
		}
		workers.Go(func() {
			defer func() { <-e.slots }()
			defer e.release(r)
			r.work(ctx)
		})
	}
}

func (e *Engine) idle() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.queue) == 0
}

func (e *Engine) release(r *Run) {
	e.mu.Lock()
	delete(e.active, r.id)
	delete(e.progress, r.id)
	again := r.again
	e.mu.Unlock()
	if again {
		e.push(r.id)
	}
}

// write commits to the step log. The database being busy or its disk full is waited out, since going on without a durable log would break every promise.
func (e *Engine) write(ctx context.Context, fn func(tx *db.Tx) error) error {
	commit := func() error { return e.d.Write(ctx, fn) }
	n := int(e.writes.Add(1))
	for attempt := 0; ; attempt++ {
		if e.killed.Load() {
			return ErrKilled
		}
		var err error
		if e.opt.Faults != nil && e.opt.Faults.Write != nil {
			err = e.opt.Faults.Write(n, commit)
		} else {
			err = commit()
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrKilled):
			e.killed.Store(true)
			return err
		case ctx.Err() != nil || !domain.Is(err, domain.Unavailable):
			return err
		}
		e.log.Warn("the job log cannot be written now; trying again", "err", describe(err))
		if !sleep(ctx, e.opt.Backoff(attempt)) {
			return ctx.Err()
		}
	}
}

// sleep waits, or reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// describe is an error with its cause, for logs.
func describe(err error) string {
	if e, ok := errors.AsType[*domain.Error](err); ok {
		return e.Detail()
	}
	return err.Error()
}
