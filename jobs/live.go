package jobs

import (
	"context"
	"maps"
	"slices"
	"time"

	"novacron/domain"
)

// Progress is latest-value: it is kept in memory while the job is at work, told to whoever listens at most once a second, and written only with
// the step log. A listener is woken, looks at the newest values, and then rests.

// liveSub is one listener; moved is guarded by Engine.mu.
type liveSub struct {
	moved map[string]bool
	some  chan struct{}
}

const liveEvery = time.Second

// Progress gives the latest progress of a job at work; ok is false when it is not.
func (e *Engine) Progress(id string) (p domain.Progress, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, ok = e.progress[id]
	return p, ok
}

func (e *Engine) setProgress(id string, p domain.Progress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.progress[id] == p || e.active[id] == nil {
		return
	}
	e.progress[id] = p
	e.wake(id)
}

// touch tells listeners that a job has something new to show, such as log lines.
func (e *Engine) touch(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wake(id)
}

func (e *Engine) wake(id string) {
	for sub := range e.live {
		sub.moved[id] = true
		select {
		case sub.some <- struct{}{}:
		default:
		}
	}
}

// Live calls fn, on the caller's goroutine, with the latest progress of each job that moved or has new log lines, at most once a second, until ctx ends.
func (e *Engine) Live(ctx context.Context, fn func(jobID string, p domain.Progress)) {
	sub := &liveSub{moved: map[string]bool{}, some: make(chan struct{}, 1)}
	e.mu.Lock()
	for id := range e.progress { // the listener begins with what there is
		sub.moved[id] = true
	}
	if len(sub.moved) > 0 {
		sub.some <- struct{}{}
	}
	e.live[sub] = struct{}{}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.live, sub)
	}()
	for {
		select {
		case <-sub.some:
		case <-ctx.Done():
			return
		}
		latest := map[string]domain.Progress{}
		e.mu.Lock()
		for id := range sub.moved {
			if p, ok := e.progress[id]; ok { // one that ended has an event instead
				latest[id] = p
			}
		}
		clear(sub.moved)
		e.mu.Unlock()
		for _, id := range slices.Sorted(maps.Keys(latest)) {
			fn(id, latest[id])
		}
		if !sleep(ctx, liveEvery) {
			return
		}
	}
}
