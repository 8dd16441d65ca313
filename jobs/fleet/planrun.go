package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs/maintain"
)

// ApprovePlan says that a person agrees to a plan as it is (version: as it was read; 0: whichever it is). It may be started then, or begins at its time.
func (f *Fleet) ApprovePlan(ctx context.Context, actor, id string, version int64) (domain.Plan, error) {
	p, err := f.db.Plan(ctx, id)
	if err != nil {
		return p, err
	}
	if version != 0 {
		p.Version = version
	}
	if p.State == domain.PlanApproved {
		return p, nil
	}
	if err := p.State.Next(domain.PlanApproved); err != nil {
		return p, err
	}
	if !p.StartAt.IsZero() && p.StartAt.Before(f.clock()) {
		return p, domain.InvalidField("start_at", "The time at which it should begin is over.", "a time to come, or none")
	}
	p.State, p.ApprovedBy = domain.PlanApproved, actor
	return p, f.putPlan(ctx, actor, &p, "was approved.")
}

// crossing finds another plan that is being carried out over a host of this one.
func crossing(plans []domain.Plan, p domain.Plan) error {
	for _, other := range plans {
		if other.ID == p.ID || !other.State.Active() {
			continue
		}
		for _, st := range other.Stages {
			for _, h := range st.Hosts {
				for _, mine := range p.Stages {
					if st.Phase != domain.PhaseDone && slices.ContainsFunc(mine.Hosts, func(x domain.PlanHost) bool { return x.ID == h.ID }) {
						return domain.Errorf(domain.Conflict, "The plan “%s” is at work on %s.", other.Title, h.Name).WithFix("Wait for its end, or stop it.")
					}
				}
			}
		}
	}
	return nil
}

// StartPlan begins an approved plan.
func (f *Fleet) StartPlan(ctx context.Context, actor, id, key string) (domain.Job, error) {
	others, err := f.db.Plans(ctx, planQuery)
	if err != nil {
		return domain.Job{}, err
	}
	return f.runPlan(ctx, actor, id, key, func(_ *db.Tx, p *domain.Plan) error {
		if p.State != domain.PlanApproved {
			return domain.Errorf(domain.Conflict, "The plan is %s, not approved.", p.State).WithFix("Only an approved plan is started; one that stopped is resumed.")
		}
		return crossing(others, *p)
	})
}

// ResumePlan goes on with a plan that stopped: what failed is tried again.
func (f *Fleet) ResumePlan(ctx context.Context, actor, id, key string) (domain.Job, error) {
	others, err := f.db.Plans(ctx, planQuery)
	if err != nil {
		return domain.Job{}, err
	}
	return f.runPlan(ctx, actor, id, key, func(_ *db.Tx, p *domain.Plan) error {
		st := p.Current()
		switch {
		case st == nil || p.State != domain.PlanStopped && p.State != domain.PlanWaiting:
			return domain.Errorf(domain.Conflict, "The plan is %s, so there is nothing to resume.", p.State).WithFix("Only a plan that stopped or waits is resumed.")
		case st.Phase == domain.PhaseWork && p.State == domain.PlanWaiting:
			return domain.Errorf(domain.Conflict, "The plan waits until the work on %s is over.", st.Name).WithFix("Confirm that it is.")
		}
		again(st.Moves)
		again(st.Back)
		return crossing(others, *p)
	})
}

func again(moves []domain.PlanMove) {
	for i := range moves {
		if moves[i].State == domain.MoveFailed {
			moves[i].State, moves[i].Error, moves[i].JobID = domain.MovePlanned, "", ""
		}
	}
}

// ConfirmPlan says that the work on the hosts at hand is over: they go into service, their VMs come back, and behind a look at their health the plan goes on.
func (f *Fleet) ConfirmPlan(ctx context.Context, actor, id, key string) (domain.Job, error) {
	return f.runPlan(ctx, actor, id, key, func(_ *db.Tx, p *domain.Plan) error {
		st := p.Current()
		if st == nil || st.Phase != domain.PhaseWork || p.State != domain.PlanWaiting && p.State != domain.PlanStopped {
			return domain.Errorf(domain.Conflict, "The plan does not wait for work on a host to be over.").WithFix("Look at where it is.")
		}
		st.Phase = domain.PhaseReturning
		return nil
	})
}

// StopPlan lets the moves that run end and begins no more. One that waits at a gate stops at once.
func (f *Fleet) StopPlan(ctx context.Context, actor, id string) (domain.Plan, error) {
	p, err := f.db.Plan(ctx, id)
	if err != nil || p.State == domain.PlanStopping {
		return p, err
	}
	to, say := domain.PlanStopping, "is being stopped: the moves that run are let end."
	switch p.State {
	case domain.PlanWaiting, domain.PlanApproved:
		to, say = domain.PlanStopped, "was stopped."
	case domain.PlanRunning:
	default:
		return p, p.State.Next(to)
	}
	err = f.db.Write(ctx, func(tx *db.Tx) error { // read anew: the run writes it too
		if p, err = tx.Plan(id); err != nil {
			return err
		}
		if err := p.State.Next(to); err != nil {
			return err
		}
		p.State = to
		if err := tx.PutPlan(p); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "plan.changed", Resource: maintain.Ref(p), JobID: p.JobID, Actor: actor, Message: "The plan “" + p.Title + "” " + say})
	})
	return p, err
}

func (f *Fleet) maintenance() maintain.Deps {
	return maintain.Deps{DB: f.db, Clock: f.clock, Judge: f.judge, Move: f.moveOf, Back: f.backOf}
}

// backOf lists the moves that bring the VMs of a plan's stage home.
func (f *Fleet) backOf(ctx context.Context, p domain.Plan) ([]domain.PlanMove, error) {
	st := p.Current()
	homes := map[string]string{}
	var ids []string
	for _, m := range st.Moves {
		vm, err := f.db.VM(ctx, m.VMID)
		if domain.Is(err, domain.NotFound) || err == nil && vm.HostID != m.ToID || m.State != domain.MoveMoved {
			continue // it went elsewhere since
		}
		if err != nil {
			return nil, err
		}
		ids, homes[m.VMID] = append(ids, m.VMID), m.FromID
	}
	out := []domain.PlanMove{}
	for _, h := range st.Hosts {
		var of []string
		for _, id := range ids {
			if homes[id] == h.ID {
				of = append(of, id)
			}
		}
		if len(of) == 0 {
			continue
		}
		moves, refused, s, err := f.homeward(ctx, of, homes, h.ID)
		if err != nil {
			return nil, err
		}
		for _, m := range moves {
			out = append(out, s.move(m))
		}
		for _, r := range refused {
			for _, m := range st.Moves {
				if m.VM == r.Subject && m.FromID == h.ID {
					out = append(out, domain.PlanMove{VMID: m.VMID, VM: m.VM, Memory: m.Memory, FromID: m.ToID, From: m.To, ToID: h.ID, To: h.Name, Mode: m.Mode, State: domain.MoveFailed, Error: r.Msg})
				}
			}
		}
	}
	return out, nil
}

const (
	planLook = 5 * time.Second
	// planLate is how late a plan may still begin by itself: after that nobody expects it to.
	planLate = time.Hour
	planBy   = "system"
)

// KeepPlans begins plans at their time and takes those that wait for hosts further, until ctx ends. A look that fails is logged: there is nobody to return it
// to, and the next one comes.
func (f *Fleet) KeepPlans(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(planLook)
	defer tick.Stop()
	for {
		if err := f.LookAtPlans(ctx); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "maintenance plans could not be looked at", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// LookAtPlans does what is due.
func (f *Fleet) LookAtPlans(ctx context.Context) error {
	var failed []error
	for _, state := range []domain.PlanState{domain.PlanApproved, domain.PlanWaiting} {
		plans, err := f.db.Plans(ctx, db.PlanQuery{State: string(state)})
		if err != nil {
			return err
		}
		for _, p := range plans {
			if err := f.due(ctx, p); err != nil && !domain.Is(err, domain.Conflict) { // Conflict: a person was faster, or another plan is at work there
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

func (f *Fleet) due(ctx context.Context, p domain.Plan) error {
	now, key := f.clock(), fmt.Sprintf("plan/%s/%d", p.ID, p.Version)
	if p.State == domain.PlanApproved {
		switch {
		case p.StartAt.IsZero() || p.StartAt.After(now):
			return nil
		case now.Sub(p.StartAt) > planLate:
			p.State, p.Reasons = domain.PlanStopped, []domain.Reason{{Subject: p.Title, Msg: "It could not begin at its time. Resume it by hand, or give it another time."}}
			return f.putPlan(ctx, planBy, &p, "was not begun at its time.")
		}
		_, err := f.StartPlan(ctx, planBy, p.ID, key)
		return err
	}
	st := p.Current()
	if st == nil {
		return nil
	}
	if st.Phase == domain.PhaseWork {
		if p.Gate != domain.GateAuto {
			return nil
		}
		for _, x := range st.Hosts {
			h, err := f.db.Host(ctx, x.ID)
			if err != nil {
				return err
			}
			if h.State != domain.HostConnected || !h.StateSince.After(st.Emptied) {
				return nil // it was not away yet, or is not back
			}
		}
		_, err := f.ConfirmPlan(ctx, planBy, p.ID, key)
		return err
	}
	ill, err := f.maintenance().Health(ctx, p)
	if err != nil || len(ill) > 0 {
		return err
	}
	_, err = f.ResumePlan(ctx, planBy, p.ID, key)
	return err
}
