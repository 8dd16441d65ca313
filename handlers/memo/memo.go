// Package memo shares what many requests and streams read at about the same time: a value is remembered together with the position of the event
// feed before it was read, so whoever needs the world as of an event can tell whether it is new enough.
//
// It is not for keeping things: everything can be read again, and is as soon as an event says that something changed.
package memo

import (
	"context"
	"sync"
	"time"

	"novacron/domain"
)

// Memo remembers a bounded number of values by key. Loads of one key are done once at a time. Safe for concurrent use.
type Memo[K comparable, V any] struct {
	last  func() int64 // the feed's position now
	clock func() time.Time
	most  int

	mu sync.Mutex
	m  map[seen[K]]*entry[V]
}

// seen is a key and whose view of it is remembered: who sees only a part of the estate never gets what another read.
type seen[K comparable] struct {
	key   K
	sight string
}

// sights is how many views of the estate there is room for beside the whole.
const sights = 20

type entry[V any] struct {
	mu  sync.Mutex
	ok  bool
	seq int64
	at  time.Time
	val V
}

// New makes a memo of at most so many values; last tells the feed's position.
func New[K comparable, V any](last func() int64, clock func() time.Time, most int) *Memo[K, V] {
	return &Memo[K, V]{last: last, clock: clock, most: most + min(most, 50)*sights, m: map[seen[K]]*entry[V]{}}
}

// Get gives the value as of at least the event need, loading it when the remembered one is older. The position tells how new it is. A remembered
// value younger than fresh is good enough whatever need says; 0 asks for exactness.
func (m *Memo[K, V]) Get(ctx context.Context, key K, need int64, fresh time.Duration, load func(context.Context) (V, error)) (V, int64, error) {
	m.mu.Lock()
	of := seen[K]{key, domain.SightKey(ctx)}
	e := m.m[of]
	if e == nil {
		if len(m.m) >= m.most {
			clear(m.m) // rare, and cheaper than keeping an order: the next readers load again
		}
		e = &entry[V]{}
		m.m[of] = e
	}
	m.mu.Unlock()

	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ok && (e.seq >= need || fresh > 0 && m.clock().Sub(e.at) < fresh) {
		return e.val, e.seq, nil
	}
	at, seq := m.clock(), m.last()
	val, err := load(ctx)
	if err != nil {
		var none V
		return none, 0, err
	}
	e.ok, e.seq, e.at, e.val = true, seq, at, val
	return val, seq, nil
}
