// Package alerts judges what is measured: it evaluates the rules, keeps which alerts stand, which of them belong together and who is told of them, and
// tells them.
//
// It is not for what a rule means (Prometheus' own code in db/series), nor for who is quiet and why (domain/alerting).
package alerts

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

// Options set the pace; zero values are right for production.
type Options struct {
	Interval time.Duration // between two evaluations; 0: 15 s
	Warm     time.Duration // how long the first waits, for samples to come in after a start; 0: 20 s
	Keep     time.Duration // how long alerts are kept that are over; 0: 90 days
	Site     string        // the address that messages link to; may be empty
	Workers  int           // rules that are evaluated at the same time; 0: 2
}

// Judge evaluates every rule.
type Judge struct {
	db    *db.DB
	store *series.Store
	log   *slog.Logger
	clock func() time.Time
	opt   Options

	mu     sync.Mutex // held by an evaluation
	ready  map[string]*ready
	pruned time.Time
}

// ready is a rule with what stands by it.
type ready struct {
	version int64
	rule    *series.Rule
	why     string // why it could not be made ready
}

// New makes a judge; nothing happens until Run.
func New(d *db.DB, store *series.Store, log *slog.Logger, clock func() time.Time, opt Options) *Judge {
	if opt.Interval == 0 {
		opt.Interval = 15 * time.Second
	}
	if opt.Warm == 0 {
		opt.Warm = 20 * time.Second
	}
	if opt.Keep == 0 {
		opt.Keep = 90 * 24 * time.Hour
	}
	if opt.Workers == 0 {
		opt.Workers = 2
	}
	return &Judge{db: d, store: store, log: log, clock: clock, opt: opt, ready: map[string]*ready{}}
}

// Run judges until ctx ends.
func (j *Judge) Run(ctx context.Context) error {
	if err := Seed(ctx, j.db, j.clock()); err != nil && ctx.Err() == nil {
		j.log.Error("the first rules of alerts could not be written", "error", err)
	}
	t := time.NewTimer(j.opt.Warm)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		began := j.clock()
		if err := j.Once(ctx); err != nil && ctx.Err() == nil {
			j.log.Error("the alerts could not be judged", "error", err)
		}
		t.Reset(max(j.opt.Interval-j.clock().Sub(began), j.opt.Interval/10))
	}
}

// verdict is what the evaluation of one rule gave.
type verdict struct {
	rule  domain.AlertRule
	stood []series.Standing
	err   error
}

// Once evaluates every rule now.
func (j *Judge) Once(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.clock().UTC().Truncate(time.Millisecond)
	rules, err := j.db.AlertRules(ctx)
	if err != nil {
		return err
	}
	w, err := look(ctx, j.db)
	if err != nil {
		return err
	}
	if err := j.prepare(ctx, rules); err != nil {
		return err
	}
	verdicts := j.evaluate(ctx, rules, w, now)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return j.keep(ctx, verdicts, w, now)
}

// prepare makes rules ready that are new or changed, and forgets those that are gone.
func (j *Judge) prepare(ctx context.Context, rules []domain.AlertRule) error {
	here := make(map[string]bool, len(rules))
	var stood map[string][]series.Standing
	for _, r := range rules {
		if r.Disabled {
			continue
		}
		here[r.ID] = true
		if k := j.ready[r.ID]; k != nil && k.version == r.Version {
			continue
		}
		if stood == nil {
			rows, err := j.db.Alerts(ctx, db.AlertQuery{States: live})
			if err != nil {
				return err
			}
			stood = map[string][]series.Standing{}
			for _, a := range rows {
				stood[a.RuleID] = append(stood[a.RuleID], series.Standing{State: a.State, Labels: a.Labels, Value: a.Value, ActiveAt: a.ActiveAt, FiredAt: a.FiredAt})
			}
		}
		k := &ready{version: r.Version}
		var err error
		if k.rule, err = j.store.NewRule(r, j.opt.Site); err != nil {
			k.why = domain.Explain(err)
		} else if err := k.rule.Restore(ctx, stood[r.ID]); err != nil {
			return err
		}
		j.ready[r.ID] = k
	}
	for id := range j.ready {
		if !here[id] {
			delete(j.ready, id)
		}
	}
	return nil
}

var live = []domain.AlertState{domain.AlertPending, domain.AlertFiring}

func (j *Judge) evaluate(ctx context.Context, rules []domain.AlertRule, w *world, now time.Time) []verdict {
	out := make([]verdict, len(rules))
	next := make(chan int)
	var work sync.WaitGroup
	for range j.opt.Workers {
		work.Go(func() {
			for i := range next {
				r := rules[i]
				out[i].rule = r
				k := j.ready[r.ID]
				switch {
				case k == nil: // switched off: what stood by it is over
				case k.rule == nil:
					out[i].err = domain.Errorf(domain.Invalid, "%s", k.why)
				default:
					out[i].stood, out[i].err = j.store.Judge(ctx, w.view(r.Tenant), k.rule, now)
				}
			}
		})
	}
	for i := range rules {
		next <- i
	}
	close(next)
	work.Wait()
	return out
}

// keep writes what changed, with its events.
func (j *Judge) keep(ctx context.Context, verdicts []verdict, w *world, now time.Time) error {
	return j.db.Write(ctx, func(tx *db.Tx) error {
		rows, err := tx.Alerts(db.AlertQuery{States: live})
		if err != nil {
			return err
		}
		stand := map[string]map[string]*domain.Alert{}
		for i := range rows {
			a := &rows[i]
			if stand[a.RuleID] == nil {
				stand[a.RuleID] = map[string]*domain.Alert{}
			}
			stand[a.RuleID][a.Fingerprint] = a
		}
		for _, v := range verdicts {
			if err := j.keepRule(tx, v, stand[v.rule.ID], w, now); err != nil {
				return err
			}
			delete(stand, v.rule.ID)
		}
		for _, of := range stand { // of rules that are no more
			for _, a := range of {
				if err := over(tx, a, now); err != nil {
					return err
				}
			}
		}
		if err := j.settle(tx, w, now); err != nil {
			return err
		}
		if now.Sub(j.pruned) < time.Hour {
			return nil
		}
		j.pruned = now
		return j.prune(tx, now)
	})
}

func (j *Judge) keepRule(tx *db.Tx, v verdict, stood map[string]*domain.Alert, w *world, now time.Time) error {
	why := ""
	if v.err != nil {
		why = domain.Explain(v.err)
	}
	if why != v.rule.Error {
		if err := tx.SetAlertRuleError(v.rule.ID, why); err != nil {
			return err
		}
		if why != "" {
			if err := tx.Emit(domain.Event{Kind: "alert-rule.failed", Resource: v.rule.Ref(), Actor: "system", Tenant: v.rule.Tenant, Message: "The alert rule " + v.rule.Name + " could not be evaluated: " + why}); err != nil {
				return err
			}
		}
	}
	if v.err != nil {
		return nil // nothing is known: what stood still does
	}
	for _, x := range v.stood {
		a := stood[x.Fingerprint]
		delete(stood, x.Fingerprint)
		switch {
		case x.State == domain.AlertResolved && a == nil:
		case x.State == domain.AlertResolved:
			if err := over(tx, a, now); err != nil {
				return err
			}
		case a == nil:
			if err := begin(tx, v.rule, x, w, now); err != nil {
				return err
			}
		case a.State != x.State:
			a.State, a.Value, a.Annotations, a.ActiveAt, a.FiredAt = x.State, x.Value, x.Annotations, x.ActiveAt, x.FiredAt
			w.about(a, v.rule)
			if err := put(tx, a); err != nil {
				return err
			}
		case a.Value != x.Value:
			if err := tx.SetAlertValue(a.ID, x.Value); err != nil {
				return err
			}
		}
	}
	for _, a := range stood {
		if err := over(tx, a, now); err != nil {
			return err
		}
	}
	return nil
}

func begin(tx *db.Tx, r domain.AlertRule, x series.Standing, w *world, now time.Time) error {
	a := domain.Alert{ID: domain.NewID("alert", now), RuleID: r.ID, Name: r.Name, Fingerprint: x.Fingerprint, State: x.State, Labels: x.Labels, Annotations: x.Annotations, Value: x.Value,
		ActiveAt: x.ActiveAt, FiredAt: x.FiredAt}
	w.about(&a, r)
	return put(tx, &a)
}

// put writes an alert that began, or whose state changed, with its event.
func put(tx *db.Tx, a *domain.Alert) error {
	if err := tx.PutAlert(*a); err != nil {
		return err
	}
	a.Version++
	return tell(tx, a, string(a.State), map[domain.AlertState]string{domain.AlertPending: "Pending: ", domain.AlertFiring: "Firing: ", domain.AlertResolved: "Resolved: "}[a.State]+a.Summary())
}

func tell(tx *db.Tx, a *domain.Alert, what, message string) error {
	return tx.Emit(domain.Event{Kind: "alert." + what, Resource: a.Ref(), HostID: a.HostID, Actor: "system", Tenant: a.Tenant, Message: message})
}

// over ends an alert. One that never fired is forgotten.
func over(tx *db.Tx, a *domain.Alert, now time.Time) error {
	if a.State == domain.AlertPending {
		if err := tx.ForgetAlert(a.ID); err != nil {
			return err
		}
		return tell(tx, a, "cleared", "No longer pending: "+a.Summary())
	}
	a.State, a.ResolvedAt = domain.AlertResolved, now
	return put(tx, a)
}

func (j *Judge) prune(tx *db.Tx, now time.Time) error {
	before := now.Add(-j.opt.Keep)
	if err := tx.PruneAlerts(before); err != nil {
		return err
	}
	if err := tx.PruneEscalated(); err != nil {
		return err
	}
	if err := tx.PruneIncidents(before); err != nil {
		return err
	}
	return tx.PruneNotifications(before)
}
