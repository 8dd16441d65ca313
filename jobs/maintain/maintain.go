// Package maintain carries out plans of maintenance: it takes hosts out of service, moves their VMs in the plan's order and so many at a time, stops at
// gates, brings the VMs back, and looks whether all is well before it goes on to the next failure domain.
//
// How far a plan is stands in the plan itself, written before anything is begun, and each move is a child with the job that a move of that one VM would be. A
// run that was interrupted goes on from there: it finds the children it began. A run ends where the plan waits for something outside: a gate is no job that sits
// and waits. What was decided when the plan was approved is held against the world before anything begins and again before each move; where it does not hold any
// more the plan stops and says why, and nothing is put in its place that nobody agreed to.
//
// It is not for making plans (domain/evacuate, asked by jobs/fleet), nor for moving a VM (jobs/migrate).
package maintain

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// Kind of the job.
const Kind = "plan.run"

// Input is what is carried out.
type Input struct {
	PlanID string `json:"plan_id"`
}

// Deps is what the steps work with. What needs the whole fleet to be judged is asked of jobs/fleet.
type Deps struct {
	DB    *db.DB
	Clock func() time.Time
	// Judge says what of the stage at hand does not hold any more.
	Judge func(ctx context.Context, p domain.Plan) ([]domain.Reason, error)
	// Move is the job of one move, or why it cannot be made now.
	Move func(ctx context.Context, p domain.Plan, m domain.PlanMove) (jobs.Request, error)
	// Back lists the moves that bring the VMs of the stage at hand home.
	Back func(ctx context.Context, p domain.Plan) ([]domain.PlanMove, error)
}

// Result is what a run leaves for whoever asked.
type Result struct {
	PlanID string           `json:"plan_id"`
	State  domain.PlanState `json:"state"`
	Moved  int              `json:"moved"`
	Failed []domain.Reason  `json:"failed"`
}

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	return []jobs.Kind{{Name: Kind, StuckHelp: "Look at the jobs of the single VMs and at the plan; let this one go and resume the plan.", Steps: func(raw json.RawMessage) ([]jobs.Step, error) {
		var in Input
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
		}
		return []jobs.Step{{
			Name: "carry out the plan", Timeout: time.Hour,
			Do:   func(ctx context.Context, r *jobs.Run) error { return d.run(ctx, r, in.PlanID) },
			Undo: func(ctx context.Context, r *jobs.Run) error { return d.leave(ctx, r, in.PlanID) },
		}}, nil
	}, Abandon: func(tx *db.Tx, job domain.Job) error {
		var in Input
		if err := json.Unmarshal(job.Input, &in); err != nil {
			return domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
		}
		return halt(tx, in.PlanID, job.ID, job.Actor)
	}}}
}

// Ref names a plan.
func Ref(p domain.Plan) domain.Ref { return domain.Ref{Kind: "plan", ID: p.ID, Name: p.Title} }

// mine reports whether the job is the plan's run and the plan is not past it.
func mine(p domain.Plan, jobID string) bool {
	return p.JobID == jobID && (p.State == domain.PlanRunning || p.State == domain.PlanStopping)
}

// change rewrites the plan in one transaction, with an event where something is said. Nothing happens when the plan is not this run's any more.
func (d Deps) change(ctx context.Context, r *jobs.Run, id string, how func(tx *db.Tx, p *domain.Plan) (say string, err error)) error {
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		p, err := tx.Plan(id)
		if err != nil || !mine(p, r.Job().ID) {
			return err
		}
		say, err := how(tx, &p)
		if err != nil {
			return err
		}
		if err := tx.PutPlan(p); err != nil || say == "" {
			return err
		}
		return tx.Emit(domain.Event{Kind: "plan.changed", Resource: Ref(p), JobID: r.Job().ID, Actor: r.Job().Actor, Message: say})
	})
}

func (d Deps) run(ctx context.Context, r *jobs.Run, id string) error {
	if err := d.settle(ctx, r, id); err != nil {
		return err
	}
	for {
		p, err := d.DB.Plan(ctx, id)
		if err != nil {
			return err
		}
		if !mine(p, r.Job().ID) {
			return d.result(r, p)
		}
		st := p.Current()
		switch {
		case st == nil:
			err = d.end(ctx, r, id, domain.PlanDone, nil, "Done.")
		case p.State == domain.PlanStopping && !busy(*st):
			err = d.end(ctx, r, id, domain.PlanStopped, nil, "Stopped; what was moved stays where it is.")
		case st.Phase == domain.PhasePending:
			err = d.begin(ctx, r, p)
		case st.Phase == domain.PhaseMoving:
			err = d.moves(ctx, r, id, false)
		case st.Phase == domain.PhaseWork:
			err = d.end(ctx, r, id, domain.PlanWaiting, []domain.Reason{{Subject: names(*st), Msg: waits(p.Gate)}}, names(*st)+" can be worked on.")
		case st.Phase == domain.PhaseReturning && st.Back == nil:
			err = d.comeBack(ctx, r, p)
		case st.Phase == domain.PhaseReturning:
			err = d.moves(ctx, r, id, true)
		default:
			err = d.health(ctx, r, p)
		}
		if err != nil {
			return err
		}
	}
}

func waits(g domain.PlanGate) string {
	if g == domain.GateAuto {
		return "Empty and in maintenance. The plan goes on by itself when the host was away and is back, or when a person confirms that the work is done."
	}
	return "Empty and in maintenance. The plan goes on when a person confirms that the work is done."
}

func names(st domain.PlanStage) string {
	var out []string
	for _, h := range st.Hosts {
		out = append(out, h.Name)
	}
	return strings.Join(out, ", ")
}

func busy(st domain.PlanStage) bool {
	on := func(m domain.PlanMove) bool { return m.State == domain.MoveRunning }
	return slices.ContainsFunc(st.Moves, on) || slices.ContainsFunc(st.Back, on)
}

// end says where the plan is when this run is over.
func (d Deps) end(ctx context.Context, r *jobs.Run, id string, state domain.PlanState, why []domain.Reason, say string) error {
	r.Log("%s", say)
	for _, w := range why {
		r.Log("%s: %s", w.Subject, w.Msg)
	}
	return d.change(ctx, r, id, func(_ *db.Tx, p *domain.Plan) (string, error) {
		if err := p.State.Next(state); err != nil {
			return "", err
		}
		p.State, p.Reasons = state, why
		return p.Title + ": " + say, nil
	})
}

// result is told once, when the run is over.
func (d Deps) result(r *jobs.Run, p domain.Plan) error {
	res := Result{PlanID: p.ID, State: p.State, Failed: []domain.Reason{}}
	all := 0
	for _, st := range p.Stages {
		for _, m := range slices.Concat(st.Moves, st.Back) {
			all++
			switch m.State {
			case domain.MoveMoved:
				res.Moved++
			case domain.MoveFailed:
				res.Failed = append(res.Failed, domain.Reason{Subject: m.VM, Msg: m.Error})
			}
		}
	}
	if err := r.Result(res); err != nil {
		return err
	}
	stopped := p.State == domain.PlanStopped && len(p.Reasons) > 0
	if !stopped && len(res.Failed) == 0 {
		r.Progress(100, fmt.Sprintf("%d of %d moved", res.Moved, all))
		return nil
	}
	e := domain.Errorf(domain.Conflict, "The plan stopped: %d of %d VMs were moved.", res.Moved, all)
	e.Fix, e.Reasons = "Look at the reasons on the plan's page, put them right, and resume it, or plan again.", append(slices.Clone(p.Reasons), res.Failed...)
	e.Reasons = e.Reasons[:min(20, len(e.Reasons))]
	r.Partly(e)
	return nil
}

// begin holds the stage against the world, and takes its hosts out of service.
func (d Deps) begin(ctx context.Context, r *jobs.Run, p domain.Plan) error {
	against, err := d.Judge(ctx, p)
	if err != nil {
		return err
	}
	if len(against) > 0 {
		return d.end(ctx, r, p.ID, domain.PlanStopped, against, "What it rests on is not so any more. Plan again.")
	}
	st := p.Current()
	var ran []string
	for _, h := range st.Hosts {
		vms, err := d.DB.HostVMs(ctx, h.ID)
		if err != nil {
			return err
		}
		for _, vm := range vms {
			if vm.State == domain.VMRunning {
				ran = append(ran, vm.ID)
			}
		}
	}
	return d.change(ctx, r, p.ID, func(tx *db.Tx, p *domain.Plan) (string, error) {
		st := p.Current()
		if p.Kind != domain.PlanReturn {
			st.Running = ran
		}
		st.Phase = domain.PhaseMoving
		return names(*st) + ": the plan “" + p.Title + "” begins.", service(tx, r, *st, p.Kind == domain.PlanReturn)
	})
}

// service takes the stage's hosts into service or out of it.
func service(tx *db.Tx, r *jobs.Run, st domain.PlanStage, in bool) error {
	for _, x := range st.Hosts {
		h, err := tx.Host(x.ID)
		if err != nil {
			return err
		}
		if h.Maintenance == !in {
			continue
		}
		h.Maintenance = !in
		say := h.Name + " is in maintenance; no new VM is placed there."
		if in {
			say = h.Name + " is out of maintenance."
		}
		if _, err := tx.UpdateHost(h); err != nil {
			return err
		}
		if err := tx.Emit(domain.Event{Kind: "host.changed", Resource: domain.Ref{Kind: "host", ID: h.ID, Name: h.Name}, HostID: h.ID, JobID: r.Job().ID, Actor: r.Job().Actor, Message: say}); err != nil {
			return err
		}
	}
	return nil
}

// comeBack puts the hosts into service and lists what returns. A host that is not connected keeps the plan waiting.
func (d Deps) comeBack(ctx context.Context, r *jobs.Run, p domain.Plan) error {
	away, err := d.away(ctx, *p.Current())
	if err != nil {
		return err
	}
	if len(away) > 0 {
		return d.end(ctx, r, p.ID, domain.PlanWaiting, away, "Waits until its hosts are back.")
	}
	back := []domain.PlanMove{}
	if p.Return {
		if back, err = d.Back(ctx, p); err != nil {
			return err
		}
	}
	return d.change(ctx, r, p.ID, func(tx *db.Tx, p *domain.Plan) (string, error) {
		st := p.Current()
		st.Back = back
		if len(back) == 0 {
			st.Phase = domain.PhaseHealth
		}
		return "", service(tx, r, *st, true)
	})
}

func (d Deps) away(ctx context.Context, st domain.PlanStage) (out []domain.Reason, err error) {
	for _, x := range st.Hosts {
		h, err := d.DB.Host(ctx, x.ID)
		if err != nil {
			return nil, err
		}
		if h.State != domain.HostConnected {
			out = append(out, domain.Reason{Subject: h.Name, Msg: "It is not connected. The plan goes on when it is back."})
		}
	}
	return out, nil
}

// Health says what is not as it was before the stage began: hosts that are away or in maintenance, VMs that ran and do not.
func (d Deps) Health(ctx context.Context, p domain.Plan) ([]domain.Reason, error) {
	st := p.Current()
	out, err := d.away(ctx, *st)
	if err != nil {
		return nil, err
	}
	for _, id := range st.Running {
		vm, err := d.DB.VM(ctx, id)
		switch {
		case domain.Is(err, domain.NotFound): // a person deleted it
		case err != nil:
			return nil, err
		case vm.State != domain.VMRunning:
			out = append(out, domain.Reason{Subject: vm.Name, Msg: fmt.Sprintf("It ran before and is %s now, on %s.", vm.State, vm.HostName)})
		}
	}
	return out, nil
}

func (d Deps) health(ctx context.Context, r *jobs.Run, p domain.Plan) error {
	ill, err := d.Health(ctx, p)
	if err != nil {
		return err
	}
	if len(ill) > 0 {
		return d.end(ctx, r, p.ID, domain.PlanWaiting, ill, "Waits until all is well before it goes on.")
	}
	return d.change(ctx, r, p.ID, func(_ *db.Tx, p *domain.Plan) (string, error) {
		st := p.Current()
		st.Phase = domain.PhaseDone
		return st.Name + " is done: its hosts are in service and every VM that ran runs.", nil
	})
}

// leave ends a run that failed or that a person cancelled: what was begun is let end, and the plan stands stopped.
func (d Deps) leave(ctx context.Context, r *jobs.Run, id string) error {
	if _, err := r.WaitChildren(ctx); err != nil {
		return err
	}
	if err := d.settle(ctx, r, id); err != nil {
		return err
	}
	return d.DB.Write(ctx, func(tx *db.Tx) error { return halt(tx, id, r.Job().ID, r.Job().Actor) })
}

// halt stops a plan whose run ended before its time.
func halt(tx *db.Tx, id, jobID, actor string) error {
	p, err := tx.Plan(id)
	if err != nil || !mine(p, jobID) {
		return err
	}
	p.State, p.Reasons = domain.PlanStopped, []domain.Reason{{Subject: p.Title, Msg: "Its task ended before the plan did."}}
	if err := tx.PutPlan(p); err != nil {
		return err
	}
	return tx.Emit(domain.Event{Kind: "plan.changed", Resource: Ref(p), JobID: jobID, Actor: actor, Message: p.Title + ": stopped; what was moved stays where it is."})
}
