// Package pool keeps one supervised connection per host: it dials, listens for events, pings, notices silence, and dials again with backoff.
//
// It is not for what is done over a connection (deadlines of calls and how many run at once are the driver's business), and it keeps nothing
// across restarts: who is in the fleet is told to it.
package pool

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// Hooks is what the owner hears. They are called from the host's own goroutine, one at a time per host and in order, so a slow hook delays
// only its host; ctx ends when the connection is lost, the host is removed or the pool stops (OnAway's only in the last two cases). Nil hooks are skipped.
// A hook must not call Remove for its own host.
type Hooks struct {
	// OnConnected: a connection stands and its events are being collected; read everything anew now. An error is taken as a connection
	// that failed: it is closed and tried again with backoff.
	OnConnected func(ctx context.Context, id string, host hv.Host) error
	// OnAway: the connection is lost or could not be made. Called when the state or the reason changes.
	OnAway func(ctx context.Context, id string, reason, fix string)
	// OnEvent: one thing happened on the host, in order.
	OnEvent func(ctx context.Context, id string, ev hv.Event)
	// OnResync: so much happened that single events were given up; read everything anew. Same error rule as OnConnected. Without it the
	// connection is made anew instead.
	OnResync func(ctx context.Context, id string, host hv.Host) error
}

// State is what is known of one host's connection.
type State struct {
	State  domain.HostState
	Since  time.Time
	Reason string // why it is away
	Fix    string
	Steps  []domain.ConnectionStep // of the last attempt
}

// Pool is the fleet of connections. It implements hv.Fleet.
type Pool struct {
	dialer hv.Dialer
	log    *slog.Logger
	clock  func() time.Time
	hooks  Hooks

	mu      sync.Mutex
	members map[string]*member
	wake    chan struct{} // tells Run that there are members to start
}

var _ hv.Fleet = (*Pool)(nil)

// New makes a pool; nothing is dialled until Run.
func New(dialer hv.Dialer, log *slog.Logger, clock func() time.Time, hooks Hooks) *Pool {
	return &Pool{dialer: dialer, log: log, clock: clock, hooks: hooks, members: map[string]*member{}, wake: make(chan struct{}, 1)}
}

// Run dials and supervises until ctx ends, then closes every connection and returns when all goroutines have ended. It runs once.
func (p *Pool) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		p.mu.Lock()
		for _, m := range p.members {
			if m.cancel == nil {
				mctx, cancel := context.WithCancel(ctx)
				m.cancel = cancel
				wg.Go(func() {
					defer close(m.done)
					defer cancel()
					if m.after != nil {
						<-m.after
					}
					p.supervise(mctx, m)
				})
			}
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
	}
}

// Add takes a host into the fleet, or gives it a new target (it is dialled again then).
func (p *Pool) Add(id string, t hv.Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := &member{id: id, target: t, kick: make(chan struct{}, 1), done: make(chan struct{}), state: State{State: domain.HostConnecting, Since: p.clock().UTC()}}
	if old := p.members[id]; old != nil {
		if old.target == t {
			return
		}
		if old.cancel != nil { // hooks of the two must not overlap
			old.cancel()
			m.after = old.done
		} else {
			m.after = old.after
		}
	}
	p.members[id] = m
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Remove lets a host go and returns when its goroutines have ended; no hook is called for it afterwards.
func (p *Pool) Remove(id string) {
	p.mu.Lock()
	m := p.members[id]
	delete(p.members, id)
	var wait <-chan struct{}
	switch {
	case m == nil:
	case m.cancel != nil:
		m.cancel()
		wait = m.done
	default:
		wait = m.after
	}
	p.mu.Unlock()
	if wait != nil {
		<-wait
	}
}

// Kick tries a host that is away at once instead of at the end of its backoff, and pings one that is connected.
func (p *Pool) Kick(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.members[id]; m != nil {
		select {
		case m.kick <- struct{}{}:
		default:
		}
	}
}

// Host gives the connection, or Unavailable with since when and why it is away; NotFound when it is not in the fleet.
func (p *Pool) Host(id string) (hv.Host, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.members[id]
	switch {
	case m == nil:
		return nil, domain.Errorf(domain.NotFound, "There is no such host.").WithFix("Look at the list of hosts again; it may have been removed.")
	case m.host != nil:
		return m.host, nil
	case m.state.State == domain.HostConnecting:
		return nil, domain.Errorf(domain.Unavailable, "The host is still being connected to.").WithFix("Try again in a few seconds.")
	}
	e := domain.Errorf(domain.Unavailable, "The host has been away since %s: %s", m.state.Since.Format("2006-01-02 15:04:05 MST"), m.state.Reason)
	e.Fix = m.state.Fix
	return nil, e
}

// State tells how a host's connection is; ok is false when it is not in the fleet.
func (p *Pool) State(id string) (s State, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.members[id]
	if m == nil {
		return State{}, false
	}
	return m.state, true
}
