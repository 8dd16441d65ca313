// Package pool keeps one supervised connection per host: it dials, listens for events, pings, notices silence, and dials again with backoff.
//
// It is not for what is done over a connection, and it keeps nothing across restarts: who is in the fleet is told to it.
package pool

import (
	"context"
	"log/slog"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// Hooks is what the owner hears. They are called from the host's own goroutine, one at a time per host and in order, so a slow hook delays
// only its host; ctx ends when the host is removed or the pool stops. Nil hooks are skipped.
type Hooks struct {
	// OnConnected: a connection stands and its events are being collected; read everything anew now. An error is taken as a connection
	// that failed: it is closed and tried again with backoff.
	OnConnected func(ctx context.Context, id string, host hv.Host) error
	// OnAway: the connection is lost or could not be made. Called when the state or the reason changes.
	OnAway func(ctx context.Context, id string, reason, fix string)
	// OnEvent: one thing happened on the host, in order.
	OnEvent func(ctx context.Context, id string, ev hv.Event)
	// OnResync: so much happened that single events were given up; read everything anew. Same error rule as OnConnected.
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
}

var _ hv.Fleet = (*Pool)(nil)

// New makes a pool; nothing is dialled until Run.
func New(dialer hv.Dialer, log *slog.Logger, clock func() time.Time, hooks Hooks) *Pool {
	return &Pool{}
}

// Run dials and supervises until ctx ends, then closes every connection and returns when all goroutines have ended.
func (p *Pool) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Add takes a host into the fleet, or gives it a new target (it is dialled again then).
func (p *Pool) Add(id string, t hv.Target) {}

// Remove lets a host go and returns when its goroutines have ended; no hook is called for it afterwards.
func (p *Pool) Remove(id string) {}

// Kick tries a host that is away at once instead of at the end of its backoff, and pings one that is connected.
func (p *Pool) Kick(id string) {}

// Host gives the connection, or Unavailable with since when and why it is away; NotFound when it is not in the fleet.
func (p *Pool) Host(id string) (hv.Host, error) {
	return nil, domain.Errorf(domain.NotFound, "There is no such host.")
}

// State tells how a host's connection is; ok is false when it is not in the fleet.
func (p *Pool) State(id string) (s State, ok bool) { return State{}, false }
