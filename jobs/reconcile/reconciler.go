package reconcile

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/hv/pool"
)

// Options set how often the slow looks happen; zero values are right for production.
type Options struct {
	States         time.Duration // all states of a host in one round trip; 0: 30 s
	Inventory      time.Duration // pools, volumes, networks, devices; 0: 60 s
	Snapshots      time.Duration // of all guests of a host: no event tells of them; 0: 60 s
	Full           time.Duration // everything; 0: 10 min
	Retention      time.Duration // how long events and ended jobs are kept; 0: 90 days
	AuditRetention time.Duration // how long rows of the audit log are kept; 0: for good
	RPCTimeout     time.Duration // bound of one look; 0: 60 s
}

// Reconciler decides when the Mirror looks. Make it first, give its Hooks to the pool, then Run both.
type Reconciler struct {
	*Mirror
	db    *db.DB
	log   *slog.Logger
	clock func() time.Time
	opt   Options

	adopted chan struct{} // closed when every host of the database has been given to the pool

	mu    sync.Mutex
	hosts map[string]*watch
	start func(w *watch) // begins the two goroutines of a host; nil until Run
}

// watch is what is waiting to be looked at on one host.
type watch struct {
	id    string
	stop  context.CancelFunc
	mu    sync.Mutex
	dirty []hv.Event // newest event per guest, in order of arrival
	wake  chan struct{}
	slow  chan struct{} // asks for the inventory now
	snaps chan struct{} // asks for the snapshots now
}

// New makes a reconciler; nothing happens until Run.
func New(d *db.DB, log *slog.Logger, clock func() time.Time, opt Options) *Reconciler {
	def := func(v *time.Duration, to time.Duration) {
		if *v == 0 {
			*v = to
		}
	}
	def(&opt.States, 30*time.Second)
	def(&opt.Inventory, time.Minute)
	def(&opt.Snapshots, time.Minute)
	def(&opt.Full, 10*time.Minute)
	def(&opt.Retention, 90*24*time.Hour)
	def(&opt.RPCTimeout, time.Minute)
	return &Reconciler{Mirror: NewMirror(d, clock), db: d, log: log, clock: clock, opt: opt, hosts: map[string]*watch{}, adopted: make(chan struct{})}
}

// Adopted is closed when Run has given every host of the database to the pool.
func (r *Reconciler) Adopted() <-chan struct{} { return r.adopted }

// Hooks is what the pool calls.
func (r *Reconciler) Hooks() pool.Hooks {
	return pool.Hooks{
		OnConnected: func(ctx context.Context, id string, host hv.Host) error {
			defer signal(r.watch(id).snaps) // when the guests have rows
			return r.look(ctx, id, "connected", func(ctx context.Context) error { return r.Mirror.Host(ctx, host, id) })
		},
		OnResync: func(ctx context.Context, id string, host hv.Host) error {
			return r.look(ctx, id, "resync", func(ctx context.Context) error { return r.Mirror.Host(ctx, host, id) })
		},
		OnAway: func(ctx context.Context, id, reason, fix string) {
			r.report(ctx, id, "away", r.Mirror.Away(ctx, id, reason, fix))
		},
		OnEvent: func(ctx context.Context, id string, ev hv.Event) { r.watch(id).add(ev) },
	}
}

// add queues an event. Several of one guest become one look, since a look sees them all; trouble is kept apart, since no look sees it.
func (w *watch) add(ev hv.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := false
	for _, d := range w.dirty {
		known = known || d.UUID == ev.UUID && (ev.Kind == hv.GuestTrouble) == (d.Kind == hv.GuestTrouble) && (ev.Kind != hv.GuestTrouble || d.Detail == ev.Detail)
	}
	if !known {
		w.dirty = append(w.dirty, ev)
	}
	signal(w.wake)
}

func (w *watch) take() []hv.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.dirty
	w.dirty = nil
	return out
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting already
	}
}

// watch gives the host's queue, and begins looking after it when it is new.
func (r *Reconciler) watch(id string) *watch {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.hosts[id]
	if w == nil {
		w = &watch{id: id, wake: make(chan struct{}, 1), slow: make(chan struct{}, 1), snaps: make(chan struct{}, 1)}
		r.hosts[id] = w
		if r.start != nil {
			r.start(w)
		}
	}
	return w
}

// Forget stops looking after a host that has left the fleet.
func (r *Reconciler) Forget(id string) {
	r.mu.Lock()
	w := r.hosts[id]
	delete(r.hosts, id)
	if w != nil && w.stop != nil {
		w.stop()
	}
	r.mu.Unlock()
	r.Mirror.Forget(id)
}

// KickInventory asks for a host's pools, volumes, networks and devices to be read soon.
func (r *Reconciler) KickInventory(id string) { signal(r.watch(id).slow) }

// Run gives every host of the database to the pool and keeps looking until ctx ends. The pool is run by the caller, who calls Run once.
func (r *Reconciler) Run(ctx context.Context, p *pool.Pool) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	r.mu.Lock()
	r.start = func(w *watch) {
		wctx, stop := context.WithCancel(ctx)
		w.stop = stop
		wg.Go(func() { r.follow(wctx, w, p) })
		wg.Go(func() { r.resync(wctx, w, p) })
	}
	for _, w := range r.hosts {
		r.start(w)
	}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.start = nil
		r.mu.Unlock()
	}()
	hosts, err := r.begin(ctx, p)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		creds, err := r.db.HostCredentials(ctx, h.ID)
		if err != nil {
			return err
		}
		p.Add(h.ID, hv.Target{URI: h.URI, Creds: creds})
		// A job that a restart interrupted may have removed the host just now, before it was added.
		if _, err := r.db.Host(ctx, h.ID); domain.Is(err, domain.NotFound) {
			p.Remove(h.ID)
			r.Forget(h.ID)
		} else if err != nil {
			return err
		}
		// And one may have added it, so that it was connected before the line above that says it is not.
		if host, err := p.Host(h.ID); err == nil {
			r.report(ctx, h.ID, "connected", r.look(ctx, h.ID, "connected", func(ctx context.Context) error { return r.Mirror.Host(ctx, host, h.ID) }))
		} else if st, ok := p.State(h.ID); ok && st.State == domain.HostAway {
			r.report(ctx, h.ID, "away", r.Mirror.Away(ctx, h.ID, st.Reason, st.Fix))
		}
	}
	close(r.adopted)
	return r.housekeeping(ctx)
}

// Begin says of every host that nothing is known of it yet. Call it before anybody can read what the last server left: that host and VMs are
// as they were is more than this one knows.
func (r *Reconciler) Begin(ctx context.Context) error {
	_, err := r.begin(ctx, nil)
	return err
}

func (r *Reconciler) begin(ctx context.Context, p *pool.Pool) ([]domain.Host, error) {
	hosts, err := r.db.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	var unknown []domain.Host
	for _, h := range hosts {
		if p != nil {
			if _, pooled := p.State(h.ID); pooled {
				continue // a job was faster
			}
		}
		unknown = append(unknown, h)
	}
	return hosts, r.Mirror.Connecting(ctx, unknown)
}

// Hosts gives the pool's connections to jobs. A job that a restart interrupted may run before Run has given the pool its hosts; it is told to try again
// then, and not that there is no such host.
func (r *Reconciler) Hosts(p *pool.Pool) hv.Fleet { return gate{r, p} }

type gate struct {
	r *Reconciler
	p *pool.Pool
}

func (g gate) Host(id string) (hv.Host, error) {
	host, err := g.p.Host(id)
	if !domain.Is(err, domain.NotFound) {
		return host, err
	}
	select {
	case <-g.r.adopted:
		return nil, err
	default:
		return nil, domain.Errorf(domain.Unavailable, "The server has just begun and is still connecting its hosts.").WithFix("Try again in a few seconds.")
	}
}

// breath is how long events of one host are collected.
const breath = 15 * time.Millisecond

// follow turns the host's events into rows as they come.
func (r *Reconciler) follow(ctx context.Context, w *watch, p *pool.Pool) {
	pause := time.NewTimer(breath)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		// One action is several events; a breath lets them come in, so that one look serves all, and lets the job that caused them write first.
		pause.Reset(breath)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		for _, ev := range w.take() {
			host, err := p.Host(w.id)
			if err != nil {
				break // away: everything is read anew when it is back
			}
			err = r.look(ctx, w.id, "event", func(ctx context.Context) error {
				if ev.Kind == hv.GuestTrouble {
					return r.Mirror.Trouble(ctx, w.id, ev)
				}
				_, err := r.Mirror.Guest(ctx, host, w.id, ev.UUID, Cause{})
				if domain.Is(err, domain.NotFound) {
					return nil
				}
				if err == nil && ev.Kind != hv.GuestState {
					_, err = r.Mirror.Snapshots(ctx, host, w.id, ev.UUID, Cause{})
				}
				return err
			})
			r.report(ctx, w.id, string(ev.Kind), err)
		}
	}
}

// resync looks at the host slowly, in case an event was lost and for what has no events.
func (r *Reconciler) resync(ctx context.Context, w *watch, p *pool.Pool) {
	// Hosts begin at points all over the period, so that a hundred of them neither look at once nor rest at once.
	f := fnv.New32a()
	_, _ = f.Write([]byte(w.id))
	phase := func(d time.Duration) time.Duration { return d/2 + time.Duration(f.Sum32()%1024)*d/1024 }
	states, inventory, full := time.NewTimer(phase(r.opt.States)), time.NewTimer(phase(r.opt.Inventory)), time.NewTimer(phase(r.opt.Full))
	snapshots := time.NewTimer(phase(r.opt.Snapshots))
	defer snapshots.Stop()
	defer states.Stop()
	defer inventory.Stop()
	defer full.Stop()
	for {
		var what string
		var look func(ctx context.Context, host hv.Host) error
		readInventory := func(ctx context.Context, host hv.Host) error {
			return r.Mirror.Inventory(ctx, host, w.id, Cause{})
		}
		readSnapshots := func(ctx context.Context, host hv.Host) error { return r.Mirror.HostSnapshots(ctx, host, w.id) }
		select {
		case <-ctx.Done():
			return
		case <-w.slow:
			what, look = "inventory", readInventory
		case <-w.snaps:
			what, look = "snapshots", readSnapshots
		case <-snapshots.C:
			snapshots.Reset(r.opt.Snapshots)
			what, look = "snapshots", readSnapshots
		case <-inventory.C:
			inventory.Reset(r.opt.Inventory)
			what, look = "inventory", readInventory
		case <-states.C:
			states.Reset(r.opt.States)
			what, look = "states", func(ctx context.Context, host hv.Host) error { return r.Mirror.States(ctx, host, w.id) }
		case <-full.C:
			full.Reset(r.opt.Full)
			what, look = "everything", func(ctx context.Context, host hv.Host) error { return r.Mirror.Host(ctx, host, w.id) }
		}
		host, err := p.Host(w.id)
		if err != nil {
			continue
		}
		r.report(ctx, w.id, what, r.look(ctx, w.id, what, func(ctx context.Context) error { return look(ctx, host) }))
	}
}

// look bounds one look.
func (r *Reconciler) look(ctx context.Context, id, what string, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.opt.RPCTimeout)
	defer cancel()
	began := time.Now()
	err := fn(ctx)
	if err == nil {
		r.log.DebugContext(ctx, "looked at host", "host", id, "what", what, "took", time.Since(began))
	}
	return err
}

// report ends a failed look: there is nobody to return the error to, and the next look comes anyway. A host that stopped answering is reported by the
// pool, and a host that was removed meanwhile needs no report.
func (r *Reconciler) report(ctx context.Context, id, what string, err error) {
	if err == nil || ended(ctx, err) || domain.Is(err, domain.NotFound) {
		return
	}
	level := slog.LevelError
	if domain.Is(err, domain.Unavailable) {
		level = slog.LevelDebug
	}
	detail := err.Error()
	if e, ok := errors.AsType[*domain.Error](err); ok {
		detail = e.Detail()
	}
	r.log.Log(ctx, level, "look at host failed", "host", id, "what", what, "error", detail)
}

// housekeeping drops old events and jobs once an hour.
func (r *Reconciler) housekeeping(ctx context.Context) error {
	tick := time.NewTimer(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			tick.Reset(time.Hour)
		}
		before := r.clock().Add(-r.opt.Retention)
		if _, _, err := r.db.Prune(ctx, before, before); err != nil && ctx.Err() == nil {
			r.report(ctx, "", "retention", err)
		}
		if keep := r.opt.AuditRetention; keep > 0 { // by whole days, so that it writes of itself at most once a day
			if _, err := r.db.PruneAudit(ctx, r.clock().Add(-keep).Truncate(24*time.Hour)); err != nil && ctx.Err() == nil {
				r.report(ctx, "", "retention of the audit log", err)
			}
		}
	}
}
