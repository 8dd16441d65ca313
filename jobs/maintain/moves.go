package maintain

import (
	"context"
	"fmt"
	"slices"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// list gives the moves at hand.
func list(st *domain.PlanStage, back bool) []domain.PlanMove {
	if back {
		return st.Back
	}
	return st.Moves
}

func key(p domain.Plan, m domain.PlanMove) string {
	return m.VMID + "/" + m.FromID + "/" + m.ToID
}

// settle writes what became of the moves that were begun.
func (d Deps) settle(ctx context.Context, r *jobs.Run, id string) error {
	p, err := d.DB.Plan(ctx, id)
	if err != nil || !mine(p, r.Job().ID) || p.Current() == nil || !busy(*p.Current()) {
		return err
	}
	job := r.Job()
	return d.change(ctx, r, id, func(tx *db.Tx, p *domain.Plan) (string, error) {
		st := p.Current()
		for _, moves := range [][]domain.PlanMove{st.Moves, st.Back} {
			for i := range moves {
				m := &moves[i]
				if m.State != domain.MoveRunning {
					continue
				}
				child, ok, err := tx.JobByKey(job.Actor, job.ID+"/"+key(*p, *m))
				switch {
				case err != nil:
					return "", err
				case !ok: // it was not begun yet
					m.State, m.JobID = domain.MovePlanned, ""
				case child.State == domain.JobSucceeded:
					m.State, m.JobID, m.Error = domain.MoveMoved, child.ID, ""
				case child.State.Ended():
					m.State, m.JobID, m.Error = domain.MoveFailed, child.ID, "It ended as "+string(child.State)+"."
					if child.Error != nil {
						m.Error = child.Error.Message
					}
				default:
					m.JobID = child.ID
				}
			}
		}
		return "", nil
	})
}

// moves carries out the list in its order, so many at a time, until it is through or the plan is stopped.
func (d Deps) moves(ctx context.Context, r *jobs.Run, id string, back bool) error {
	for {
		if err := d.settle(ctx, r, id); err != nil {
			return err
		}
		p, err := d.DB.Plan(ctx, id)
		if err != nil || !mine(p, r.Job().ID) {
			return err
		}
		moves := list(p.Current(), back)
		var open []string
		done, next := 0, -1
		for i, m := range moves {
			switch m.State {
			case domain.MoveRunning:
				open = append(open, m.JobID)
			case domain.MovePlanned:
				if next < 0 {
					next = i
				}
			default:
				done++
			}
		}
		r.Progress(float64(done)*100/float64(max(1, len(moves))), fmt.Sprintf("%d of %d ended, %d under way", done, len(moves), len(open)))
		switch {
		case p.State != domain.PlanStopping && next >= 0 && len(open) < max(1, p.Parallel):
			if err := d.one(ctx, r, p, moves[next], back); err != nil {
				return err
			}
		case len(open) > 0:
			if err := r.WaitChild(ctx, open); err != nil {
				return err
			}
		case next >= 0:
			return nil // stopping
		default:
			return d.through(ctx, r, p, moves, back)
		}
	}
}

// one begins one move. What keeps it from being made is written beside it, and the others go on; those it is kept with are not begun then.
func (d Deps) one(ctx context.Context, r *jobs.Run, p domain.Plan, m domain.PlanMove, back bool) error {
	req, err := d.Move(ctx, p, m)
	for _, other := range list(p.Current(), back) {
		if err == nil && other.State == domain.MoveFailed && slices.Contains(m.With, other.VMID) {
			err = domain.Errorf(domain.Conflict, "It is kept with %s, which was not moved.", other.VM)
		}
	}
	if err == nil {
		if err = d.mark(ctx, r, p.ID, m, back, domain.MoveRunning, "", ""); err != nil {
			return err
		}
		req.Key = key(p, m)
		var child domain.Job
		if child, err = r.Child(ctx, req); err == nil {
			return d.mark(ctx, r, p.ID, m, back, domain.MoveRunning, child.ID, "")
		}
	}
	switch code := domain.CodeOf(err); {
	case ctx.Err() != nil:
		return ctx.Err()
	case code == domain.Internal:
		return err
	}
	r.Log("%s: %s", m.VM, err.Error())
	return d.mark(ctx, r, p.ID, m, back, domain.MoveFailed, "", detail(err))
}

func detail(err error) string {
	say := err.Error()
	if e, ok := err.(*domain.Error); ok {
		for _, why := range e.Reasons {
			say += " " + why.Msg
		}
	}
	return say
}

func (d Deps) mark(ctx context.Context, r *jobs.Run, id string, m domain.PlanMove, back bool, state domain.PlanMoveState, jobID, why string) error {
	return d.change(ctx, r, id, func(_ *db.Tx, p *domain.Plan) (string, error) {
		for i, x := range list(p.Current(), back) {
			if x.VMID == m.VMID {
				x.State, x.JobID, x.Error = state, jobID, why
				list(p.Current(), back)[i] = x
			}
		}
		return "", nil
	})
}

// through is what follows when every move of the list has ended.
func (d Deps) through(ctx context.Context, r *jobs.Run, p domain.Plan, moves []domain.PlanMove, back bool) error {
	var failed []domain.Reason
	for _, m := range moves {
		if m.State == domain.MoveFailed {
			failed = append(failed, domain.Reason{Subject: m.VM, Msg: m.Error})
		}
	}
	if len(failed) > 0 {
		return d.end(ctx, r, p.ID, domain.PlanStopped, failed, "Stopped: not every VM could be moved. Those are tried again when it is resumed.")
	}
	return d.change(ctx, r, p.ID, func(_ *db.Tx, p *domain.Plan) (string, error) {
		st := p.Current()
		switch {
		case back || p.Kind == domain.PlanReturn:
			st.Phase = domain.PhaseHealth
			return "", nil
		case p.Gate == domain.GateNone:
			st.Phase = domain.PhaseDone
		default:
			st.Phase = domain.PhaseWork
		}
		st.Emptied = d.Clock()
		return names(*st) + ": the plan's VMs are moved away.", nil
	})
}
