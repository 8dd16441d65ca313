package hvtest

import (
	"context"
	"sync"

	"novacron/hv"
)

// stream hands events to one subscriber in order, however slow it is.
type stream struct {
	conn  *conn
	mu    sync.Mutex
	queue []hv.Event
	ended bool
	wake  chan struct{}
}

func (s *stream) push(ev hv.Event) {
	s.mu.Lock()
	s.queue = append(s.queue, ev)
	s.mu.Unlock()
	s.poke()
}

func (s *stream) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.poke()
}

func (s *stream) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *stream) next() (evs []hv.Event, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	evs, s.queue = s.queue, nil
	return evs, s.ended
}

// emit sends an event to all streams; the machine is locked.
func (m *machine) emit(ev hv.Event) {
	if ev.At.IsZero() {
		ev.At = m.clock().UTC()
	}
	for s := range m.streams {
		s.push(ev)
	}
}

// Events implements hv.Host.
func (c *conn) Events(ctx context.Context, fn func(hv.Event)) (<-chan struct{}, error) {
	s := &stream{conn: c, wake: make(chan struct{}, 1)}
	if err := act(ctx, c, "Events", func(m *machine) error { m.streams[s] = true; return nil }); err != nil {
		c.m.mu.Lock()
		delete(c.m.streams, s) // the answer may have been lost behind the deed
		c.m.mu.Unlock()
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			c.m.mu.Lock()
			delete(c.m.streams, s)
			c.m.mu.Unlock()
		}()
		for {
			evs, ended := s.next()
			for _, ev := range evs {
				if ctx.Err() != nil {
					return
				}
				fn(ev)
			}
			if ended {
				return
			}
			select {
			case <-s.wake:
			case <-ctx.Done():
				return
			}
		}
	}()
	return done, nil
}
