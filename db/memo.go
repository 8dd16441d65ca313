package db

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"novacron/domain"
)

// memo keeps what was read since the last write that could show in it, apart for each sight. Twenty people who look at the same list cost one query; while nothing changes they
// cost none. A value belongs to the generation that was current before it was read, and every commit that may matter begins a new generation before
// Write returns, so nobody reads something older than what they wrote. Writes by another process are not seen: only the command line is one, and it
// touches nothing that is kept here.
type memo[K comparable, V any] struct {
	generation *atomic.Int64

	mu      sync.Mutex
	entries map[seenKey[K]]*memoEntry[V]
}

// seenKey is a key and whose view of it is kept.
type seenKey[K comparable] struct {
	key   K
	sight string
}

type memoEntry[V any] struct {
	generation int64
	ready      chan struct{} // closed when value and err are set: whoever asks meanwhile waits for the first one's answer
	value      V
	err        error
}

const maxMemo = 32

func newMemo[K comparable, V any](generation *atomic.Int64) *memo[K, V] {
	return &memo[K, V]{generation: generation, entries: map[seenKey[K]]*memoEntry[V]{}}
}

// get gives the value of a key, reading it when it is not there or out of date. The value is shared.
func (m *memo[K, V]) get(ctx context.Context, key K, read func() (V, error)) (V, error) {
	if Trying(ctx) {
		return read()
	}
	seen := seenKey[K]{key, domain.SightKey(ctx)}
	for {
		e, fill := m.claim(seen)
		if fill {
			m.fill(seen, e, read)
			return e.value, e.err
		}
		select {
		case <-e.ready:
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
		if _, lasting := errors.AsType[*domain.Error](e.err); e.err == nil || lasting {
			return e.value, e.err
		}
		// The one that we waited for was cancelled; that is not our end.
	}
}

func (m *memo[K, V]) claim(key seenKey[K]) (e *memoEntry[V], fill bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// Under the lock, so that a reader that was held up cannot throw out a newer entry: two would be read for one generation then, and the one that
	// was read first could be given out last.
	now := m.generation.Load()
	if e := m.entries[key]; e != nil && e.generation == now {
		return e, false
	}
	for k, old := range m.entries { // what is out of date is of no use to anyone
		if old.generation != now {
			delete(m.entries, k)
		}
	}
	if len(m.entries) >= maxMemo {
		for k := range m.entries { // any one goes
			delete(m.entries, k)
			break
		}
	}
	e = &memoEntry[V]{generation: now, ready: make(chan struct{})}
	m.entries[key] = e
	return e, true
}

func (m *memo[K, V]) fill(key seenKey[K], e *memoEntry[V], read func() (V, error)) {
	e.err = context.Canceled // in case read panics
	defer func() {
		if e.err != nil { // errors are told, not kept
			m.mu.Lock()
			if m.entries[key] == e {
				delete(m.entries, key)
			}
			m.mu.Unlock()
		}
		close(e.ready)
	}()
	e.value, e.err = read()
}
