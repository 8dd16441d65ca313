package snapshot

import (
	"context"
	"log/slog"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// Clock begins the runs of schedules when they are due. A run that was missed, because the server was away, is taken up once.
type Clock struct {
	db     *db.DB
	engine *jobs.Engine
	log    *slog.Logger
	clock  func() time.Time
	every  time.Duration
}

// NewClock makes a clock that looks every few seconds; nothing happens until Run.
func NewClock(d *db.DB, e *jobs.Engine, log *slog.Logger, clock func() time.Time) *Clock {
	return &Clock{db: d, engine: e, log: log, clock: clock, every: 5 * time.Second}
}

// Actor is who the jobs of schedules are said to be done by.
const Actor = "system"

// Run looks until ctx ends. A look that fails is logged: there is nobody to return it to, and the next one comes.
func (c *Clock) Run(ctx context.Context) error {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for {
		if err := c.Look(ctx); err != nil && ctx.Err() == nil {
			c.log.ErrorContext(ctx, "snapshot schedules could not be looked at", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Look begins every run that is due.
func (c *Clock) Look(ctx context.Context) error {
	all, err := c.db.Schedules(ctx)
	if err != nil {
		return err
	}
	now := c.clock()
	for _, s := range all {
		if !s.Enabled || s.NextAt.IsZero() || s.NextAt.After(now) {
			continue
		}
		if err := c.begin(ctx, s, now); err != nil {
			return err
		}
	}
	return nil
}

func (c *Clock) begin(ctx context.Context, s domain.SnapshotSchedule, now time.Time) error {
	tier, err := tierDue(s, s.NextAt, now)
	if err != nil {
		return err
	}
	next, err := Next(s, now)
	if err != nil {
		return err
	}
	req := ForRun(s, tier, now)
	req.Actor, req.Key = Actor, "schedule/"+s.ID+"/"+s.NextAt.Format(time.RFC3339)
	_, err = c.engine.Enqueue(ctx, req, Begins(s, now, next))
	if domain.Is(err, domain.Conflict) { // the last run still goes on: this one is left out
		return c.db.Write(ctx, func(tx *db.Tx) error { return tx.BeginSchedule(s.ID, s.LastJob, s.LastAt, next) })
	}
	return err
}
