// Package rollup keeps hours of what was measured for long after its samples are gone: least, mean, most, 95th percentile and count, of the metrics that
// domain.RolledMetrics names.
//
// It is not for reading them (db/series answers queries from them), nor for measuring.
package rollup

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

// Options set the pace; zero values are right for production.
type Options struct {
	Keep  time.Duration // how long hours are kept; 0: two years
	Tick  time.Duration // between two looks whether an hour is over; 0: 1 min
	Grace time.Duration // how long after its end an hour is rolled up, for samples that come late; 0: 5 min
}

// Keeper rolls up.
type Keeper struct {
	db    *db.DB
	store *series.Store
	log   *slog.Logger
	clock func() time.Time
	opt   Options

	next time.Time // the hour to roll up; zero: not looked yet
}

// New makes a keeper; nothing happens until Run.
func New(d *db.DB, store *series.Store, log *slog.Logger, clock func() time.Time, opt Options) *Keeper {
	if opt.Keep == 0 {
		opt.Keep = 2 * 365 * 24 * time.Hour
	}
	if opt.Tick == 0 {
		opt.Tick = time.Minute
	}
	if opt.Grace == 0 {
		opt.Grace = 5 * time.Minute
	}
	return &Keeper{db: d, store: store, log: log, clock: clock, opt: opt}
}

// Run rolls up every hour that is over until ctx ends. Between two hours it only looks at the clock.
func (k *Keeper) Run(ctx context.Context) error {
	t := time.NewTicker(k.opt.Tick)
	defer t.Stop()
	for {
		if err := k.Once(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("the samples could not be rolled up", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Once rolls up the hours that are over and were not yet: one after a quiet hour, all that samples are there for after a long time away.
func (k *Keeper) Once(ctx context.Context) error {
	now := k.clock()
	if k.next.IsZero() {
		until, err := k.db.RolledUntil(ctx)
		if err != nil {
			return err
		}
		k.next = until
	}
	from := k.store.Usage().From
	if from.IsZero() {
		return nil
	}
	if from = from.Truncate(time.Hour); k.next.Before(from) {
		k.next = from
	}
	for ; !k.next.Add(time.Hour + k.opt.Grace).After(now); k.next = k.next.Add(time.Hour) {
		all, err := k.hour(ctx, k.next)
		if err != nil {
			return err
		}
		if err := k.db.RollUp(ctx, k.next, all); err != nil {
			return err
		}
		if k.next.Hour() == 0 {
			if err := k.db.PruneRollups(ctx, now.Add(-k.opt.Keep)); err != nil {
				return err
			}
		}
	}
	return nil
}

// key is one series that is rolled up: of a VM that went to another host there are several with samples.
type key struct{ of, part string }

type rolling struct {
	labels map[string]string
	newest int64
	at     map[int64]float64 // the parts of a moment, added up
}

func (k *Keeper) hour(ctx context.Context, hour time.Time) ([]domain.RolledSeries, error) {
	var out []domain.RolledSeries
	for _, m := range domain.RolledMetrics {
		metric, _ := domain.MetricOf(m.Metric)
		counter := metric.Kind == domain.Counter
		from := hour
		if counter { // the growth of the first sample is since the one before
			from = hour.Add(-gap)
		}
		all := map[key]*rolling{}
		err := k.store.Raw(ctx, m.Metric, from, hour.Add(time.Hour), func(l series.Labels, times []int64, values []float64) error {
			add(all, m, metric, l, hour.UnixMilli(), times, values)
			return nil
		})
		if err != nil {
			return nil, err
		}
		for of, r := range all {
			if len(r.at) == 0 {
				continue
			}
			h := domain.RollUp(slices.Collect(maps.Values(r.at)))
			out = append(out, domain.RolledSeries{Metric: m.Metric, Of: of.of, Part: of.part, Labels: r.labels, Hours: map[time.Time]domain.RolledHour{hour: h}})
		}
	}
	return out, nil
}

// gap is how far apart two samples of a counter may be and still be taken for its growth.
const gap = 5 * time.Minute

func add(all map[key]*rolling, m domain.Rolled, metric domain.Metric, l series.Labels, begin int64, times []int64, values []float64) {
	part := l.Get(metric.Part)
	if metric.Part != "" && len(m.Only) > 0 && !slices.Contains(m.Only, part) {
		return
	}
	of := key{of: l.Get("vm_id")}
	if metric.OfHost() {
		of.of = l.Get("host_id")
	}
	if m.Apart {
		of.part = part
	}
	if of.of == "" || len(times) == 0 {
		return
	}
	r := all[of]
	if r == nil {
		r = &rolling{at: map[int64]float64{}}
		all[of] = r
	}
	if last := times[len(times)-1]; last > r.newest {
		r.newest, r.labels = last, l.Map()
		delete(r.labels, "__name__")
		if !m.Apart && metric.Part != "" {
			delete(r.labels, metric.Part)
		}
	}
	for i, t := range times {
		if t < begin {
			continue
		}
		if metric.Kind != domain.Counter {
			r.at[t] += values[i]
			continue
		}
		if i == 0 || t-times[i-1] > gap.Milliseconds() {
			continue
		}
		grown := values[i] - values[i-1]
		if grown < 0 { // it began anew
			grown = values[i]
		}
		r.at[t] += grown / (float64(t-times[i-1]) / 1000)
	}
}
