package handlers

import (
	"crypto/rand"
	"sync"
	"time"
)

// drawer keeps things for a while in memory under a random key, each to be taken out once. It holds at most a fixed number, the oldest
// goes first.
type drawer[V any] struct {
	clock func() time.Time
	most  int
	keep  time.Duration

	mu    sync.Mutex
	items map[string]kept[V]
	order []string // keys, oldest first; some may be gone already
}

type kept[V any] struct {
	v     V
	until time.Time
}

func newDrawer[V any](clock func() time.Time, most int, keep time.Duration) *drawer[V] {
	return &drawer[V]{clock: clock, most: most, keep: keep, items: map[string]kept[V]{}}
}

func (d *drawer[V]) put(v V) (key string) {
	key = rand.Text()
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.clock()
	for len(d.order) > 0 {
		first, ok := d.items[d.order[0]]
		if ok && len(d.items) < d.most && now.Before(first.until) {
			break
		}
		delete(d.items, d.order[0])
		d.order = d.order[1:]
	}
	d.items[key] = kept[V]{v, now.Add(d.keep)}
	d.order = append(d.order, key)
	return key
}

func (d *drawer[V]) take(key string) (V, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	it, ok := d.items[key]
	delete(d.items, key)
	if !ok || !d.clock().Before(it.until) {
		var none V
		return none, false
	}
	return it.v, true
}
