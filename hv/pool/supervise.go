package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"novacron/domain"
	"novacron/hv"
)

const (
	pingEvery   = 5 * time.Second
	pingLimit   = 10 * time.Second // a busy daemon answers late, a dead one never
	pingAgain   = time.Second      // after a failed one
	dialLimit   = 30 * time.Second
	firstDelay  = time.Second
	longestWait = 30 * time.Second
	steadyAfter = 30 * time.Second // a connection that lasted this long starts the backoff over
)

// member is one host of the fleet. id, target, kick, done and after never change; the rest is guarded by the pool's lock.
type member struct {
	id     string
	target hv.Target
	kick   chan struct{}
	done   chan struct{}   // closed when its goroutine has ended
	after  <-chan struct{} // the goroutine of the same host under its former target

	cancel context.CancelFunc // nil until Run has taken it up
	host   hv.Host            // nil while away
	state  State
}

// supervise keeps one host connected until ctx ends.
func (p *Pool) supervise(ctx context.Context, m *member) {
	delay := firstDelay
	for ctx.Err() == nil {
		start := p.clock()
		err := p.session(ctx, m)
		if ctx.Err() != nil {
			break
		}
		if p.clock().Sub(start) >= steadyAfter {
			delay = firstDelay
		}
		p.away(ctx, m, err)
		// A hundred hosts behind one switch must not come back in the same instant.
		// #nosec G404 -- it spreads reconnects; nothing is kept secret by it
		wait := time.NewTimer(time.Duration(float64(delay) * (0.8 + 0.4*rand.Float64())))
		select {
		case <-ctx.Done():
		case <-wait.C:
			delay = min(2*delay, longestWait)
		case <-m.kick:
			delay = firstDelay
		}
		wait.Stop()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m.host = nil
	m.state = State{State: domain.HostAway, Since: p.clock().UTC(), Reason: "The server is stopping.", Steps: m.state.Steps}
}

// away records why there is no connection and says so when that is news.
func (p *Pool) away(ctx context.Context, m *member, err error) {
	reason, fix := err.Error(), ""
	if e, ok := errors.AsType[*domain.Error](err); ok {
		fix = e.Fix
	}
	if fix == "" {
		fix = "NovaCron tries again by itself; look whether libvirt runs on the host."
	}
	p.mu.Lock()
	was := m.state
	m.host = nil
	m.state.State, m.state.Reason, m.state.Fix = domain.HostAway, reason, fix
	if was.State != domain.HostAway {
		m.state.Since = p.clock().UTC()
	}
	p.mu.Unlock()
	if was.State == domain.HostAway && was.Reason == reason && was.Fix == fix {
		return
	}
	detail := reason
	if e, ok := errors.AsType[*domain.Error](err); ok {
		detail = e.Detail()
	}
	p.log.Warn("host is away", "host", m.id, "reason", detail)
	if p.hooks.OnAway != nil {
		p.hooks.OnAway(ctx, m.id, reason, fix)
	}
}

// session is one connection from dialling to its end; it returns why it ended.
func (p *Pool) session(ctx context.Context, m *member) error {
	host, err := p.dial(ctx, m)
	if err != nil {
		return err
	}
	defer host.Close()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	q := newQueue()
	subscribed := time.AfterFunc(dialLimit, func() {
		fail(domain.Errorf(domain.Unavailable, "The host did not answer when asked for its events.").WithFix("Look at the libvirt daemon on the host; restarting it does not touch running guests."))
	})
	stream, err := host.Events(ctx, q.push)
	subscribed.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	p.mu.Lock()
	m.host = host
	m.state.State, m.state.Since, m.state.Reason, m.state.Fix = domain.HostConnected, p.clock().UTC(), "", ""
	p.mu.Unlock()
	p.log.Info("host is connected", "host", m.id)

	watched := make(chan struct{})
	go func() {
		defer close(watched)
		fail(watch(ctx, host, stream, m.kick))
	}()
	err = p.deliver(ctx, m, host, q)
	fail(err) // deliver may have ended by itself
	p.mu.Lock()
	m.host = nil // before the close, so that nobody is handed a dead connection
	p.mu.Unlock()
	<-watched
	return context.Cause(ctx)
}

func (p *Pool) dial(ctx context.Context, m *member) (hv.Host, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	host, steps, err := p.dialer.Dial(ctx, m.target)
	p.mu.Lock()
	m.state.Steps = steps
	p.mu.Unlock()
	return host, err
}

// watch returns when the connection is dead: its event stream is over, or two pings in a row failed.
func watch(ctx context.Context, host hv.Host, stream <-chan struct{}, kick <-chan struct{}) error {
	// #nosec G404 -- it spreads pings; nothing is kept secret by it
	next := time.NewTimer(time.Duration(rand.Int64N(int64(pingEvery)))) // spread over the interval
	defer next.Stop()
	var failed error // the first of two tells what happened, the second often only that the connection is gone
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-stream:
			if failed != nil {
				return failed
			}
			return lost(ctx, host)
		case <-next.C:
		case <-kick:
		}
		err := ping(ctx, host)
		switch {
		case err == nil:
			failed = nil
			next.Reset(pingEvery)
		case failed != nil:
			return failed
		default:
			failed = err
			next.Reset(pingAgain)
		}
	}
}

func ping(ctx context.Context, host hv.Host) error {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	return host.Ping(ctx)
}

// lost asks a connection whose stream has ended what is the matter, since the answer of the driver says more than the silence.
func lost(ctx context.Context, host hv.Host) error {
	if err := ping(ctx, host); err != nil {
		return err
	}
	return domain.Errorf(domain.Unavailable, "The host closed the stream of its events.").WithFix("It is connected to again by itself.")
}

// deliver reads everything in, then hands over events until ctx ends or a hook fails.
func (p *Pool) deliver(ctx context.Context, m *member, host hv.Host, q *queue) error {
	if p.hooks.OnConnected != nil {
		if err := p.hooks.OnConnected(ctx, m.id, host); err != nil {
			return err
		}
	}
	for {
		evs, overflow := q.take()
		if overflow {
			if p.hooks.OnResync == nil {
				return domain.Errorf(domain.Unavailable, "More happened on the host than could be followed.").WithFix("It is connected to and read again by itself.")
			}
			if err := p.hooks.OnResync(ctx, m.id, host); err != nil {
				return err
			}
		}
		for _, ev := range evs {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if p.hooks.OnEvent != nil {
				p.hooks.OnEvent(ctx, m.id, ev)
			}
		}
		if len(evs) > 0 || overflow {
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-q.wake:
		}
	}
}
