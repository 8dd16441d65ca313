// Package meter asks hosts for their counters and keeps them as series: once each interval, one round of questions a host, also when a hundred are
// asked. A host that does not answer is a sample too.
//
// It is not for what the agents of guests tell (jobs/guest), nor for judging what is measured.
package meter

import (
	"cmp"
	"context"
	"hash/fnv"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
	"novacron/hv"
)

// Options set the pace; zero values are right for production.
type Options struct {
	Interval time.Duration // between two scrapes of a host; 0: 10 s
	Pools    time.Duration // between two looks at its pools' fill; 0: 1 min
	Tick     time.Duration // how often it looks who is due; 0: 500 ms
	// Expiry tells when the server's certificate ends; nil where it has none.
	Expiry func() (time.Time, bool)
	// Backup tells when the server's newest backup was made; nil where nobody knows.
	Backup func() (time.Time, bool)
	// Remote gives figures of what is sent on to another server, by metric; nil where there is none.
	Remote func() map[string]float64
}

// Collector scrapes every host of the fleet.
type Collector struct {
	db    *db.DB
	store *series.Store
	fleet hv.Fleet
	log   *slog.Logger
	clock func() time.Time
	opt   Options

	hosts  map[string]*watch // of Run's goroutine alone
	listed time.Time         // when the hosts were listed
	known  []domain.Host

	full  atomic.Bool // the disk is, and it was said
	names names
	own   map[string]series.Labels // of the server's own figures by kind or receiver, as they were told last
}

// watch is one host's state between scrapes.
type watch struct {
	next time.Time
	late atomic.Int64 // scrapes that were due while the one before was not over

	mu     sync.Mutex // held by a scrape
	missed int
	pools  time.Time
	series map[domain.Reading]*kept // by reading without its value
	round  int
}

// kept is a series that was written.
type kept struct {
	labels series.Labels
	of     vmName
	round  int // in which it was told last
}

// parallel is how many hosts are asked at the same time.
const parallel = 16

// New makes a collector; nothing happens until Run.
func New(d *db.DB, store *series.Store, fleet hv.Fleet, log *slog.Logger, clock func() time.Time, opt Options) *Collector {
	def := func(v *time.Duration, to time.Duration) {
		if *v == 0 {
			*v = to
		}
	}
	def(&opt.Interval, 10*time.Second)
	def(&opt.Pools, time.Minute)
	def(&opt.Tick, 500*time.Millisecond)
	return &Collector{db: d, store: store, fleet: fleet, log: log, clock: clock, opt: opt, hosts: map[string]*watch{}, names: names{db: d}, own: map[string]series.Labels{}}
}

// Run scrapes until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	t := time.NewTicker(c.opt.Tick)
	defer t.Stop()
	var work sync.WaitGroup
	defer work.Wait()
	slots := make(chan struct{}, parallel)
	for {
		due, err := c.due(ctx)
		if err != nil && ctx.Err() == nil {
			c.complain("the hosts to measure could not be listed", err)
		}
		for _, h := range due {
			w := c.hosts[h.ID]
			work.Go(func() {
				if !w.mu.TryLock() { // the scrape before is not over: this one is late, and left out
					w.late.Add(1)
					return
				}
				defer w.mu.Unlock()
				select {
				case slots <- struct{}{}:
					defer func() { <-slots }()
				case <-ctx.Done():
					return
				}
				switch err := c.scrape(ctx, h, w); {
				case err == nil:
					c.full.Store(false)
				case ctx.Err() == nil:
					c.complain("what a host told could not be kept", err, "host", h.Name)
				}
			})
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// complain logs what went wrong; that the disk is full once, until something is kept again.
func (c *Collector) complain(text string, err error, more ...any) {
	if domain.Is(err, domain.Exhausted) && c.full.Swap(true) {
		return
	}
	c.log.Error(text, append(more, "error", err)...)
}

// due lists the hosts whose time has come, and sets their next.
func (c *Collector) due(ctx context.Context) ([]domain.Host, error) {
	now := c.clock()
	if now.Sub(c.listed) >= c.opt.Interval || now.Before(c.listed) {
		hosts, err := c.db.Hosts(ctx)
		if err != nil {
			return nil, err
		}
		c.known, c.listed = hosts, now
		here := make(map[string]bool, len(hosts))
		for _, h := range hosts {
			here[h.ID] = true
			if c.hosts[h.ID] == nil {
				c.hosts[h.ID] = &watch{next: now.Add(phase(h.ID, c.every(h))), series: map[domain.Reading]*kept{}}
			}
		}
		for id := range c.hosts {
			if !here[id] {
				delete(c.hosts, id)
			}
		}
		if err := c.ownFigures(ctx, now); err != nil {
			return nil, err
		}
	}
	var due []domain.Host
	for _, h := range c.known {
		w := c.hosts[h.ID]
		if w == nil || now.Before(w.next) {
			continue
		}
		for every := c.every(h); !now.Before(w.next); {
			w.next = w.next.Add(every)
		}
		due = append(due, h)
	}
	return due, nil
}

// every is how often a host is measured.
func (c *Collector) every(h domain.Host) time.Duration { return cmp.Or(h.Scrape, c.opt.Interval) }

// phase spreads the hosts over the interval, the same way each time.
func phase(id string, interval time.Duration) time.Duration {
	f := fnv.New32a()
	_, _ = f.Write([]byte(id))
	return interval * time.Duration(f.Sum32()%1024) / 1024
}

// Scrape asks one host now, whenever it was asked before.
func (c *Collector) Scrape(ctx context.Context, h domain.Host) error {
	w := c.hosts[h.ID]
	if w == nil {
		w = &watch{series: map[domain.Reading]*kept{}}
		c.hosts[h.ID] = w
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return c.scrape(ctx, h, w)
}

func (c *Collector) scrape(ctx context.Context, h domain.Host, w *watch) error {
	began := c.clock()
	told, err := c.ask(ctx, h)
	if err != nil && ctx.Err() != nil {
		return nil
	}
	up := 1.0
	if err != nil {
		up = 0
		w.missed++
	}
	own := func(metric string, v float64) {
		told = append(told, domain.Reading{Metric: metric, Value: v})
	}
	if up == 1 {
		own("novacron_host_scrape_duration_seconds", c.clock().Sub(began).Seconds())
		own("novacron_host_scrape_samples", float64(len(told)+5))
		own("novacron_host_cpus", float64(h.Facts.CPUs))
	}
	own("novacron_host_up", up)
	own("novacron_host_scrapes_missed_total", float64(w.missed))
	own("novacron_host_scrapes_late_total", float64(w.late.Load()))
	pools := began.Sub(w.pools) >= c.opt.Pools
	if pools {
		w.pools = began
		list, err := c.db.Pools(ctx, h.ID)
		if err != nil {
			return err
		}
		for _, p := range list {
			if p.Active {
				told = append(told, domain.Reading{Metric: "novacron_host_pool_capacity_bytes", Part: p.Name, Value: float64(p.CapacityBytes)},
					domain.Reading{Metric: "novacron_host_pool_available_bytes", Part: p.Name, Value: float64(p.AvailableBytes)})
			}
		}
	}
	vms, err := c.names.of(ctx, h.ID)
	if err != nil {
		return err
	}
	for uuid, vm := range vms {
		if vm.crashed && up == 1 {
			told = append(told, domain.Reading{Metric: "novacron_vm_crashed", UUID: uuid, Value: 1})
		}
	}
	return c.store.Append(ctx, began, w.samples(h, vms, told, pools))
}

func (c *Collector) ask(ctx context.Context, h domain.Host) ([]domain.Reading, error) {
	host, err := c.fleet.Host(h.ID)
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, c.every(h))
	defer cancel()
	return host.Readings(asking)
}

// samples turns what was told into samples, and ends the series that were told before and are not any more.
func (w *watch) samples(h domain.Host, vms map[string]vmName, told []domain.Reading, pools bool) []series.Sample {
	w.round++
	out := make([]series.Sample, 0, len(told))
	for _, r := range told {
		m, known := domain.MetricOf(r.Metric)
		vm, named := vms[r.UUID]
		if !known || m.OfVM() && !named {
			continue // not in the inventory yet
		}
		v := r.Value
		r.Value = 0
		k := w.series[r]
		if k != nil && !k.of.same(vm, h.Name) {
			out = append(out, series.Sample{Labels: k.labels, Value: series.Stale})
			k = nil
		}
		if k == nil {
			vm.host = h.Name
			k = &kept{of: vm, labels: labelsOf(m, r, h, vm)}
			w.series[r] = k
		}
		k.round = w.round
		out = append(out, series.Sample{Labels: k.labels, Value: v})
	}
	for r, k := range w.series {
		if k.round == w.round || !pools && isPool(r) {
			continue
		}
		out = append(out, series.Sample{Labels: k.labels, Value: series.Stale})
		delete(w.series, r)
	}
	return out
}

func isPool(r domain.Reading) bool {
	return r.Metric == "novacron_host_pool_capacity_bytes" || r.Metric == "novacron_host_pool_available_bytes"
}

func labelsOf(m domain.Metric, r domain.Reading, h domain.Host, vm vmName) series.Labels {
	part := r.Part
	if m.OfVM() {
		if mac := vm.taps[part]; m.Part == "nic" && mac != "" {
			part = mac
		}
		return series.Of(m.Name, "vm", vm.name, "vm_id", vm.id, "host", h.Name, "tenant", vm.tenant, m.Part, part)
	}
	return series.Of(m.Name, "host", h.Name, "host_id", h.ID, m.Part, part)
}
