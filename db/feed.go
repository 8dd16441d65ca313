package db

import (
	"context"
	"sort"
	"sync"

	"novacron/domain"
)

const ringSize = 4096

// Feed is the newest events in memory. A subscriber is no more than the number of the last event it has seen: nothing is buffered
// for it and nothing is dropped; it waits for the level "there is something newer" and then reads.
type Feed struct {
	mu   sync.Mutex
	ring []domain.Event // oldest first, at most 2*size long; trimmed to size when it gets there
	size int
	from int64         // the ring holds every event with a Seq greater than this
	last int64         // Seq of the newest event
	more chan struct{} // closed and replaced when events are added
}

func newFeed(size int) *Feed { return &Feed{size: size, more: make(chan struct{})} }

// fill sets the ring at the start, from events newest first.
func (f *Feed) fill(newest []domain.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(newest) - 1; i >= 0; i-- {
		f.ring = append(f.ring, newest[i])
	}
	if n := len(f.ring); n > 0 {
		f.from, f.last = f.ring[0].Seq-1, f.ring[n-1].Seq
	}
}

func (f *Feed) add(evs []domain.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring = append(f.ring, evs...)
	f.last = f.ring[len(f.ring)-1].Seq
	if n := len(f.ring); n >= 2*f.size {
		f.from = f.ring[n-f.size-1].Seq
		// A new array, as slices given out by Since share the old one.
		f.ring = append(make([]domain.Event, 0, 2*f.size), f.ring[n-f.size:]...)
	}
	close(f.more)
	f.more = make(chan struct{})
}

// restart forgets what came before evs.
func (f *Feed) restart(evs []domain.Event) {
	f.mu.Lock()
	f.ring, f.from = nil, evs[0].Seq-1
	f.mu.Unlock()
	f.add(evs)
}

// Last gives the number of the newest event: take it before reading rows, and follow from it.
func (f *Feed) Last() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// Since gives at most max events newer than seq, oldest first; they are shared and must not be altered. gap says that the ring does not
// reach back to seq (or that seq is of another database): read DB.Events, or draw the page afresh.
func (f *Feed) Since(seq int64, max int) (evs []domain.Event, gap bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq < f.from || seq > f.last {
		return nil, true
	}
	i := sort.Search(len(f.ring), func(i int) bool { return f.ring[i].Seq > seq })
	j := len(f.ring)
	if max > 0 {
		j = min(j, i+max)
	}
	return f.ring[i:j:j], false
}

// Wait returns nil as soon as there is an event newer than seq, which may be at once, or the context's error.
func (f *Feed) Wait(ctx context.Context, seq int64) error {
	for {
		f.mu.Lock()
		last, more := f.last, f.more
		f.mu.Unlock()
		if last > seq {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
