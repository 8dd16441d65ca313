package nets

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// WatchOptions set the pace; zero values are right for production.
type WatchOptions struct {
	Every time.Duration // how often every host is asked; 0: one minute
	Soon  time.Duration // how often a host is asked on which something has just happened; 0: 2 s
	Warm  time.Duration // how long that lasts; 0: 40 s
}

// Watch asks hosts for leases and addresses, and has filters follow the groups that they name. It looks slowly, and for a while faster where a VM has just
// started or changed, since a guest gets its address some seconds after that.
type Watch struct {
	d      *db.DB
	hosts  hv.Fleet
	engine *jobs.Engine
	log    *slog.Logger
	clock  func() time.Time
	opt    WatchOptions

	mu   sync.Mutex
	warm map[string]time.Time // until when a host is asked often
}

// NewWatch makes a watch; nothing happens until Run.
func NewWatch(d *db.DB, hosts hv.Fleet, engine *jobs.Engine, log *slog.Logger, clock func() time.Time, opt WatchOptions) *Watch {
	for v, def := range map[*time.Duration]time.Duration{&opt.Every: time.Minute, &opt.Soon: 2 * time.Second, &opt.Warm: 40 * time.Second} {
		if *v == 0 {
			*v = def
		}
	}
	return &Watch{d: d, hosts: hosts, engine: engine, log: log, clock: clock, opt: opt, warm: map[string]time.Time{}}
}

// Run works until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.listen(ctx) })
	g.Go(func() error { return w.collect(ctx) })
	return g.Wait()
}

// listen marks hosts on which something happened to a VM.
func (w *Watch) listen(ctx context.Context) error {
	feed := w.d.Feed()
	seq := feed.Last()
	for feed.Wait(ctx, seq) == nil {
		evs, gap := feed.Since(seq, 0)
		if gap {
			seq = feed.Last()
			continue
		}
		until := w.clock().Add(w.opt.Warm)
		w.mu.Lock()
		for _, ev := range evs {
			seq = ev.Seq
			if ev.Resource.Kind == "vm" && ev.HostID != "" && ev.Actor != watcher {
				w.warm[ev.HostID] = until
			}
		}
		w.mu.Unlock()
	}
	return nil
}

// watcher signs what the watch finds, so that it does not wake itself.
const watcher = "network"

func (w *Watch) collect(ctx context.Context) error {
	tick := time.NewTicker(w.opt.Soon)
	defer tick.Stop()
	last := map[string]time.Time{}
	for {
		hosts, err := w.d.Hosts(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		now := w.clock()
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(8)
		looked := false
		for _, h := range hosts {
			w.mu.Lock()
			warm := now.Before(w.warm[h.ID])
			w.mu.Unlock()
			slow := now.Sub(last[h.ID]) >= w.opt.Every
			if h.State != domain.HostConnected || !warm && !slow {
				continue
			}
			if slow {
				last[h.ID] = now
			}
			looked = true
			g.Go(func() error {
				w.report(gctx, h.Name, w.Look(gctx, h.ID, slow))
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		if looked {
			w.report(ctx, "", w.Refresh(ctx))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// report ends a failed look: the next one comes by itself, and a host that does not answer is reported by others.
func (w *Watch) report(ctx context.Context, host string, err error) {
	if err == nil || ctx.Err() != nil || domain.Is(err, domain.Unavailable) || domain.Is(err, domain.NotFound) || domain.Is(err, domain.Conflict) {
		return
	}
	w.log.ErrorContext(ctx, "look at addresses failed", "host", host, "error", err.Error())
}

// Look asks one host for its leases and for the addresses of its running VMs: of all, or only of those that have none yet.
func (w *Watch) Look(ctx context.Context, hostID string, all bool) error {
	host, err := w.hosts.Host(hostID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	networks, err := w.d.Networks(ctx, hostID)
	if err != nil {
		return err
	}
	leases := map[string][]domain.Lease{}
	for _, n := range networks {
		if !n.Active || !n.Spec.OwnBridge() {
			continue
		}
		ls, err := host.Leases(ctx, n.Name)
		if err != nil && !domain.Is(err, domain.NotFound) {
			return err
		}
		leases[n.Name] = ls
	}
	vms, err := w.d.HostVMs(ctx, hostID)
	if err != nil {
		return err
	}
	found := map[string][]domain.Address{}
	for _, vm := range vms {
		if vm.State != domain.VMRunning || vm.Live == nil || len(vm.Live.NICs) == 0 || !all && len(vm.Addresses) > 0 {
			continue
		}
		addrs, err := host.GuestAddresses(ctx, vm.UUID)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		found[vm.ID] = addrs
	}
	return w.d.Write(ctx, func(tx *db.Tx) error {
		if err := tx.ReplaceLeases(hostID, leases); err != nil {
			return err
		}
		for _, vm := range vms {
			addrs, asked := found[vm.ID]
			if !asked {
				continue
			}
			changed, err := tx.SetAddresses(vm.ID, addrs)
			if err != nil {
				return err
			}
			if !changed {
				continue
			}
			msg := fmt.Sprintf("%s has no known address any more.", vm.Name)
			if len(addrs) > 0 {
				msg = fmt.Sprintf("%s has the address %s.", vm.Name, addrs[0].IP)
			}
			if err := tx.Emit(domain.Event{Kind: "vm.changed", Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, HostID: hostID, Actor: watcher, Message: msg}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Refresh has the filters of hosts made anew that are no longer what their groups say, because a member got or lost an address or left.
func (w *Watch) Refresh(ctx context.Context) error {
	known, err := w.d.HostFilters(ctx)
	if err != nil {
		return err
	}
	sets, err := w.d.FilterSets(ctx)
	if err != nil || len(sets) == 0 && len(known) == 0 {
		return err
	}
	e, err := ReadEstate(ctx, w.d)
	if err != nil {
		return err
	}
	for _, id := range Stale(e, known) {
		h, err := w.d.Host(ctx, id)
		if err != nil || h.State != domain.HostConnected {
			continue
		}
		_, err = w.engine.Enqueue(ctx, jobs.Request{Kind: KindApply, Title: "Bring the security groups on " + h.Name + " up to date", Resource: domain.Ref{Kind: "host", ID: id, Name: h.Name},
			Locks: []string{FilterLock(id)}, Input: Apply{Hosts: []On{{HostID: id, HostName: h.Name}}}, Actor: "system"})
		if err != nil && !domain.Is(err, domain.Conflict) { // one is at it already
			return err
		}
	}
	return nil
}

// FilterLock is held while the filters of a host are brought up to date. A person who saves a group does not wait for it: should the older filter come
// last, its digest says so and it is made again.
func FilterLock(hostID string) string { return "filters:" + hostID }
