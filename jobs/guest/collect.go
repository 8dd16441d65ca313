package guest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
)

// Collector asks the agents of running guests, slowly: it is for pages and lists, not for monitoring.
type Collector struct {
	db    *db.DB
	hosts hv.Fleet
	log   *slog.Logger
	clock func() time.Time
	opt   CollectorOptions

	mu  sync.Mutex
	due map[string]plan
}

// CollectorOptions set the pace; zero values are right for production.
type CollectorOptions struct {
	Tick    time.Duration // how often it looks who is due; 0: 5 s
	Answers time.Duration // between questions to an agent that answers; 0: 60 s
	Silent  time.Duration // the longest pause between questions to one that does not; 0: 5 min
	Limit   time.Duration // of one question; 0: 45 s
	// Told is given what an agent told; may be nil.
	Told func(ctx context.Context, vm domain.VM, facts domain.GuestFacts) error
}

// plan is when a guest is asked next.
type plan struct {
	next  time.Time
	since time.Time // when it came to run: another time means that it was started again
	tries int
}

// soonest is how quickly a guest that was just started is asked again, while it boots.
const soonest = 10 * time.Second

// parallel is how many guests are asked at the same time; each keeps one slot of its host's connection.
const parallel = 8

// NewCollector makes one; nothing happens until Run.
func NewCollector(d *db.DB, hosts hv.Fleet, log *slog.Logger, clock func() time.Time, opt CollectorOptions) *Collector {
	def := func(v *time.Duration, to time.Duration) {
		if *v == 0 {
			*v = to
		}
	}
	def(&opt.Tick, 5*time.Second)
	def(&opt.Answers, time.Minute)
	def(&opt.Silent, 5*time.Minute)
	def(&opt.Limit, 45*time.Second)
	return &Collector{db: d, hosts: hosts, log: log, clock: clock, opt: opt, due: map[string]plan{}}
}

// Run asks until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	t := time.NewTicker(c.opt.Tick)
	defer t.Stop()
	for {
		if err := c.Round(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("the guests' agents could not be asked", "error", err)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Round asks every guest that is due, once.
func (c *Collector) Round(ctx context.Context) error {
	vms, err := c.db.RunningVMs(ctx)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, vm := range c.pick(vms) {
		g.Go(func() error { return c.one(ctx, vm) })
	}
	return g.Wait()
}

// pick gives the guests that are due and forgets those that do not run any more.
func (c *Collector) pick(vms []domain.VM) []domain.VM {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	runs := make(map[string]plan, len(vms))
	var out []domain.VM
	for _, vm := range vms {
		if vm.Live == nil || !vm.Live.GuestAgent || vm.Creating {
			continue
		}
		p, known := c.due[vm.ID]
		if known && !p.since.Equal(vm.StateAt) {
			p, known = plan{}, false
		}
		p.since = vm.StateAt
		if !known || !now.Before(p.next) {
			out = append(out, vm)
			p.next = now.Add(c.opt.Limit) // until it is known better
		}
		runs[vm.ID] = p
	}
	c.due = runs
	return out
}

func (c *Collector) one(ctx context.Context, vm domain.VM) error {
	host, err := c.hosts.Host(vm.HostID)
	if err != nil {
		return nil // away: nothing is asked
	}
	asking, cancel := context.WithTimeout(ctx, c.opt.Limit)
	defer cancel()
	rec, err := ask(asking, host, vm.UUID, c.clock)
	if ctx.Err() != nil {
		return nil
	}
	if domain.Is(err, domain.NotFound) {
		return nil // the guest went meanwhile
	}
	c.plan(vm.ID, err == nil)
	on := On{VMID: vm.ID, HostID: vm.HostID, UUID: vm.UUID, Name: vm.Name}
	err = c.db.Write(ctx, func(tx *db.Tx) error { return store(tx, on, rec) })
	if domain.Is(err, domain.Conflict) || domain.Is(err, domain.NotFound) {
		return nil // the VM went meanwhile
	}
	if err == nil && rec.Answers() && c.opt.Told != nil {
		err = c.opt.Told(ctx, vm, rec.Facts)
	}
	return err
}

// plan sets when to ask next: soon and then ever more slowly while nobody answers.
func (c *Collector) plan(vmID string, answered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.due[vmID]
	pause := c.opt.Answers
	if answered {
		p.tries = 0
	} else {
		p.tries++
		pause = soonest
		if p.tries > 12 { // two minutes of booting
			pause = min(soonest<<min(p.tries-12, 6), c.opt.Silent)
		}
	}
	p.next = c.clock().Add(pause)
	c.due[vmID] = p
}

// ask asks one agent; the record says what it said or why it said nothing.
func ask(ctx context.Context, host hv.Host, uuid string, clock func() time.Time) (domain.GuestRecord, error) {
	f, err := host.GuestFacts(ctx, uuid)
	rec := domain.GuestRecord{Facts: f, AskedAt: clock()}
	if err == nil {
		rec.AnsweredAt = rec.AskedAt
		return rec, nil
	}
	rec.Problem = err.Error()
	if e, ok := err.(*domain.Error); ok {
		rec.Fix = e.Fix
	}
	return rec, err
}

// store writes a record. What a guest told before is kept while it does not answer, or is frozen and tells only that. An event is written when a person would
// see a difference.
func store(tx *db.Tx, on On, rec domain.GuestRecord) error {
	old, err := tx.GuestRecord(on.VMID)
	if err != nil {
		return err
	}
	switch {
	case rec.AnsweredAt.IsZero():
		rec.Facts, rec.AnsweredAt = old.Facts, old.AnsweredAt
	case rec.Facts.Frozen && !old.AnsweredAt.IsZero():
		agent := rec.Facts.Agent
		rec.Facts = old.Facts
		rec.Facts.Agent, rec.Facts.Frozen = agent, true
	}
	if err := tx.PutGuestRecord(on.VMID, rec); err != nil {
		return err
	}
	if old.Same(rec) || old.AskedAt.IsZero() && !rec.Answers() { // that a guest has no agent is news to nobody
		return nil
	}
	return tx.Emit(domain.Event{Kind: "guest.changed", Resource: domain.Ref{Kind: "vm", ID: on.VMID, Name: on.Name}, HostID: on.HostID, Actor: "host", Message: sentence(on.Name, old, rec)})
}

func sentence(name string, old, rec domain.GuestRecord) string {
	switch {
	case rec.Problem != "":
		return fmt.Sprintf("The guest agent of %s does not answer any more.", name)
	case !old.Answers():
		s := fmt.Sprintf("The guest agent of %s answers", name)
		if about := strings.Join(append([]string{rec.Facts.OSName}, rec.Facts.Addresses()...), ", "); strings.Trim(about, ", ") != "" {
			s += ": " + strings.Trim(about, ", ")
		}
		return s + "."
	}
	return fmt.Sprintf("The guest agent of %s tells something new.", name)
}
