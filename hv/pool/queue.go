package pool

import (
	"sync"

	"novacron/hv"
)

// queueLimit is how many events wait for a slow reader before they are given up for reading everything anew, which is cheaper by then.
const queueLimit = 4096

// queue holds a host's events in order between the connection, which must not wait, and the hooks, which may.
type queue struct {
	mu       sync.Mutex
	evs      []hv.Event
	overflow bool
	wake     chan struct{}
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) push(ev hv.Event) {
	q.mu.Lock()
	if len(q.evs) >= queueLimit {
		q.evs, q.overflow = nil, true // what comes after this one is still newer than the reading that is due
	}
	q.evs = append(q.evs, ev)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take empties the queue. overflow says that events before these were given up.
func (q *queue) take() (evs []hv.Event, overflow bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	evs, overflow = q.evs, q.overflow
	q.evs, q.overflow = nil, false
	return evs, overflow
}
