package meter

import (
	"context"
	"time"

	"novacron/db/series"
)

// ownFigures keeps what the server tells of itself.
func (c *Collector) ownFigures(ctx context.Context, now time.Time) error {
	n, refused := c.store.Count()
	batch := []series.Sample{
		{Labels: series.Of("novacron_series"), Value: float64(n)}, {Labels: series.Of("novacron_samples_refused_total"), Value: float64(refused)},
	}
	told := map[string]bool{}
	tell := func(metric, label, value string, v float64) {
		key := metric + "\x00" + value
		told[key] = true
		l, known := c.own[key]
		if !known {
			l = series.Of(metric, label, value)
			c.own[key] = l
		}
		batch = append(batch, series.Sample{Labels: l, Value: v})
	}
	kinds, err := c.db.JobFigures(ctx)
	if err != nil {
		return err
	}
	for _, k := range kinds {
		if k.Stuck > 0 {
			tell("novacron_jobs_stuck", "kind", k.Kind, float64(k.Stuck))
		}
		if !k.Oldest.IsZero() {
			tell("novacron_job_running_seconds", "kind", k.Kind, max(now.Sub(k.Oldest).Seconds(), 0))
		}
	}
	stuck, err := c.db.StuckNotifications(ctx)
	if err != nil {
		return err
	}
	for name, n := range stuck {
		tell("novacron_notifications_stuck", "receiver", name, float64(n))
	}
	for key, l := range c.own { // what was told before and is over
		if !told[key] {
			batch = append(batch, series.Sample{Labels: l, Value: series.Stale})
			delete(c.own, key)
		}
	}
	if c.opt.Remote != nil {
		for metric, v := range c.opt.Remote() {
			batch = append(batch, series.Sample{Labels: series.Of(metric), Value: v})
		}
	}
	if c.opt.Expiry != nil {
		if at, ok := c.opt.Expiry(); ok {
			batch = append(batch, series.Sample{Labels: series.Of("novacron_certificate_expiry_timestamp_seconds"), Value: float64(at.Unix())})
		}
	}
	if c.opt.Backup != nil {
		if at, ok := c.opt.Backup(); ok {
			batch = append(batch, series.Sample{Labels: series.Of("novacron_backup_timestamp_seconds"), Value: float64(at.Unix())})
		}
	}
	return c.store.Append(ctx, now, batch)
}
