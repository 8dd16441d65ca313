package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/evacuate"
	"novacron/jobs"
	"novacron/jobs/maintain"
)

// PlanRequest asks for a plan.
type PlanRequest struct {
	Kind     domain.PlanKind // evacuate (one host) or rolling; empty: by how many hosts there are
	Title    string
	Hosts    []string // ids or names; for rolling with a label empty means every host that has it
	Label    string   // hosts with the same value of this label are one failure domain; empty: each host is one
	Parallel int      // 0: 2
	Gate     domain.PlanGate
	Drop     []string // ids of VMs that are to stay
}

// planQuery reads as many plans as anybody looks back on.
var planQuery = db.PlanQuery{Limit: 500}

// DraftPlan makes a plan and does not keep it.
func (f *Fleet) DraftPlan(ctx context.Context, req PlanRequest) (domain.Plan, error) {
	return f.draft(ctx, req)
}

// NewPlan makes a plan and keeps it as a draft, for a person to look at, edit and approve.
func (f *Fleet) NewPlan(ctx context.Context, actor string, req PlanRequest) (domain.Plan, error) {
	p, err := f.draft(ctx, req)
	if err != nil {
		return p, err
	}
	p.MadeBy = actor
	return p, f.insertPlan(ctx, actor, &p)
}

func (f *Fleet) insertPlan(ctx context.Context, actor string, p *domain.Plan) error {
	err := f.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.PutPlan(*p); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "plan.created", Resource: maintain.Ref(*p), Actor: actor, Message: "The plan “" + p.Title + "” was made."})
	})
	p.Version = 1
	return err
}

func (f *Fleet) newPlan(kind domain.PlanKind, title string) domain.Plan {
	now := f.clock()
	return domain.Plan{ID: domain.NewID("plan", now), Title: title, State: domain.PlanDraft, CreatedAt: now, Kind: kind, Parallel: evacuate.PerHost, Gate: domain.GateNone, Stages: []domain.PlanStage{}}
}

func checkParallel(p *domain.Problems, n int) {
	if n < 1 || n > evacuate.MostAtOnce {
		p.Add("parallel", fmt.Sprintf("%d moves at a time are not possible.", n), fmt.Sprintf("1 to %d", evacuate.MostAtOnce))
	}
}

func checkGate(p *domain.Problems, kind domain.PlanKind, g domain.PlanGate) {
	switch {
	case kind == domain.PlanRolling && g == domain.GateNone:
		p.Add("gate", "A rolling plan needs somebody to say when the work on a host is over.", "confirm or auto")
	case g != domain.GateNone && g != domain.GateConfirm && g != domain.GateAuto:
		p.Add("gate", "“"+string(g)+"” is not a gate.", "none, confirm or auto")
	}
}

func (f *Fleet) draft(ctx context.Context, req PlanRequest) (domain.Plan, error) {
	var probs domain.Problems
	hosts, err := f.planHosts(ctx, req, &probs)
	if err != nil {
		return domain.Plan{}, err
	}
	kind := req.Kind
	if kind == "" {
		kind = domain.PlanRolling
		if len(hosts) == 1 && req.Label == "" {
			kind = domain.PlanEvacuate
		}
	}
	p := f.newPlan(kind, strings.TrimSpace(req.Title))
	if req.Parallel != 0 {
		p.Parallel = req.Parallel
	}
	checkParallel(&probs, p.Parallel)
	switch {
	case kind != domain.PlanEvacuate && kind != domain.PlanRolling:
		probs.Add("kind", "“"+string(kind)+"” is not a kind of plan.", "evacuate or rolling")
	case kind == domain.PlanEvacuate && len(hosts) > 1:
		probs.Add("hosts", "Several hosts are emptied by a rolling plan.", "one host, or the kind rolling")
	}
	if p.Gate = req.Gate; p.Gate == "" {
		p.Gate = map[bool]domain.PlanGate{true: domain.GateConfirm, false: domain.GateNone}[kind == domain.PlanRolling]
	}
	checkGate(&probs, kind, p.Gate)
	if len(p.Title) > 120 {
		probs.Add("title", "The title is too long.", "at most 120 characters")
	}
	p.Label, p.Return = req.Label, p.Gate != domain.GateNone
	if err := probs.Err(); err != nil {
		return p, err
	}
	if p.Title == "" {
		p.Title = "Evacuate " + hosts[0].Name
		if kind == domain.PlanRolling {
			p.Title = fmt.Sprintf("Rolling maintenance of %d hosts", len(hosts))
		}
	}
	if p.Stages, err = f.stages(ctx, hosts, req.Label, p.Parallel, req.Drop, &probs); err != nil {
		return p, err
	}
	return p, probs.Err()
}

func (f *Fleet) planHosts(ctx context.Context, req PlanRequest, probs *domain.Problems) (out []domain.Host, err error) {
	all, err := f.db.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	for i, want := range req.Hosts {
		at := fmt.Sprintf("hosts.%d", i)
		j := slices.IndexFunc(all, func(h domain.Host) bool { return h.ID == want || h.Name == want })
		switch {
		case j < 0:
			probs.Add(at, "There is no host “"+want+"”.", "a host's id or name")
		case slices.ContainsFunc(out, func(h domain.Host) bool { return h.ID == all[j].ID }):
			probs.Add(at, all[j].Name+" is named twice.", "each host once")
		case all[j].State != domain.HostConnected:
			probs.Add(at, all[j].Name+" is not connected, so nothing can be moved away from it.", "a host that is connected")
		default:
			out = append(out, all[j])
		}
	}
	if len(req.Hosts) == 0 && req.Label != "" {
		for _, h := range all {
			if h.Labels[req.Label] != "" && h.State == domain.HostConnected {
				out = append(out, h)
			}
		}
	}
	if len(out) == 0 && len(*probs) == 0 {
		if probs.Add("hosts", "No host is named.", "at least one host"); req.Label != "" {
			*probs = nil
			probs.Add("label", "No connected host has the label “"+req.Label+"”.", "a label that hosts have")
		}
	}
	for i, h := range out {
		if req.Label != "" && h.Labels[req.Label] == "" {
			probs.Add(fmt.Sprintf("hosts.%d", i), h.Name+" has no label “"+req.Label+"”, so its failure domain is not known.", "hosts that have the label")
		}
	}
	return out, nil
}

// stages plans each failure domain by itself: the one before it has got its VMs back by then.
func (f *Fleet) stages(ctx context.Context, hosts []domain.Host, label string, parallel int, drop []string, probs *domain.Problems) (out []domain.PlanStage, err error) {
	domains := map[string][]string{}
	for _, h := range hosts {
		name := h.Name
		if label != "" {
			name = h.Labels[label]
		}
		domains[name] = append(domains[name], h.ID)
	}
	dropped := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(domains)) {
		st, err := f.stage(ctx, name, domains[name], parallel, drop, dropped)
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	for i, id := range drop {
		if !dropped[id] {
			probs.Add(fmt.Sprintf("drop.%d", i), "“"+id+"” is not a VM of these hosts.", "ids of VMs that are to stay")
		}
	}
	return out, nil
}

func (f *Fleet) stage(ctx context.Context, name string, hosts []string, parallel int, drop []string, dropped map[string]bool) (domain.PlanStage, error) {
	s, err := f.survey(ctx, hosts, parallel, nil, "")
	if err != nil {
		return domain.PlanStage{}, err
	}
	for i := range s.in.Guests {
		if slices.Contains(drop, s.in.Guests[i].ID) {
			dropped[s.in.Guests[i].ID] = true
			s.in.Guests[i].Fixed = "A person let it stay."
		}
	}
	st := s.stage(name, hosts, evacuate.Make(s.in))
	for i := range st.Stays {
		st.Stays[i].Dropped = dropped[st.Stays[i].VMID]
	}
	return st, nil
}

// PlanEdit changes a plan; nil fields stay.
type PlanEdit struct {
	Title    *string
	Parallel *int
	Gate     *domain.PlanGate
	StartAt  *string // on the clocks of TimeZone, as 2026-11-24T02:00; empty: when a person starts it
	TimeZone *string
	Moves    *[]PlanMoveEdit // all that are to move, in their order; what is left out stays
}

// PlanMoveEdit is one move as a person wants it.
type PlanMoveEdit struct {
	VMID string `json:"vm_id" doc:"A VM of the plan's hosts"`
	Host string `json:"host_id,omitempty" doc:"Where it goes, by id or name; empty: where the plan has it"`
}

// EditPlan changes a plan that is not carried out. It has to be approved anew. Moves that would break a hard rule or a host's capacity at any moment are refused,
// each with what is wrong.
func (f *Fleet) EditPlan(ctx context.Context, actor, id string, version int64, e PlanEdit) (domain.Plan, error) {
	p, err := f.db.Plan(ctx, id)
	if err != nil {
		return p, err
	}
	if version != 0 {
		p.Version = version
	}
	if err := p.State.Next(domain.PlanDraft); err != nil {
		return p, err
	}
	var probs domain.Problems
	if e.Title != nil {
		if p.Title = strings.TrimSpace(*e.Title); p.Title == "" || len(p.Title) > 120 {
			probs.Add("title", "A plan needs a title of at most 120 characters.", "for example Firmware of rack b2")
		}
	}
	if e.Parallel != nil {
		p.Parallel = *e.Parallel
		checkParallel(&probs, p.Parallel)
	}
	if e.Gate != nil {
		p.Gate = *e.Gate
		checkGate(&probs, p.Kind, p.Gate)
		p.Return = p.Kind != domain.PlanReturn && p.Gate != domain.GateNone
	}
	f.editTime(&p, e, &probs)
	if err := probs.Err(); err != nil {
		return p, err
	}
	if err := f.editMoves(ctx, &p, e); err != nil {
		return p, err
	}
	p.State, p.ApprovedBy, p.Reasons = domain.PlanDraft, "", nil
	return p, f.putPlan(ctx, actor, &p, "was changed; it has to be approved.")
}

func (f *Fleet) editTime(p *domain.Plan, e PlanEdit, probs *domain.Problems) {
	if e.TimeZone != nil {
		p.TimeZone = *e.TimeZone
	}
	if e.StartAt == nil {
		return
	}
	if p.StartAt = (domain.Plan{}).StartAt; *e.StartAt == "" {
		return
	}
	if p.TimeZone == "" {
		p.TimeZone = "UTC"
	}
	n := len(*probs)
	if p.StartAt = domain.ParsePlanTime(probs, *e.StartAt, p.TimeZone); len(*probs) == n && p.StartAt.Before(f.clock()) {
		probs.Add("start_at", *e.StartAt+" in "+p.TimeZone+" is over.", "a time to come")
	}
}

// editMoves puts the moves of every stage that is not over in the order, and to the hosts, that a person wants.
func (f *Fleet) editMoves(ctx context.Context, p *domain.Plan, e PlanEdit) error {
	if e.Moves == nil && e.Parallel == nil {
		return nil
	}
	var probs domain.Problems
	used := map[string]bool{}
	for i := range p.Stages {
		st := &p.Stages[i]
		if st.Phase != domain.PhasePending && st.Phase != domain.PhaseMoving {
			continue
		}
		if err := f.editStage(ctx, p, st, e, used, &probs); err != nil {
			return err
		}
	}
	if e.Moves != nil {
		for i, m := range *e.Moves {
			if !used[m.VMID] {
				probs.Add(fmt.Sprintf("moves.%d.vm_id", i), "“"+m.VMID+"” is no VM of the plan that is still to be moved.", "the id of a VM of its hosts")
			}
		}
	}
	return probs.Err()
}

func (f *Fleet) editStage(ctx context.Context, p *domain.Plan, st *domain.PlanStage, e PlanEdit, used map[string]bool, probs *domain.Problems) error {
	s, err := f.surveyOf(ctx, *p, *st)
	if err != nil {
		return err
	}
	var done, want []domain.PlanMove
	at := map[string]int{}
	for _, m := range st.Moves {
		if m.State == domain.MoveMoved {
			done = append(done, m)
		} else if e.Moves == nil {
			want = append(want, m)
		}
	}
	if e.Moves != nil {
		for i, x := range *e.Moves {
			vm, here := s.vms[x.VMID]
			if !here {
				continue
			}
			if _, twice := at[vm.ID]; twice {
				probs.Add(fmt.Sprintf("moves.%d.vm_id", i), vm.Name+" is in the plan twice.", "each VM once")
				continue
			}
			used[vm.ID], at[vm.ID] = true, i
			to := x.Host
			if j := slices.IndexFunc(st.Moves, func(m domain.PlanMove) bool { return m.VMID == vm.ID }); to == "" && j >= 0 {
				to = st.Moves[j].ToID
			}
			for _, h := range s.hosts {
				if h.Name == to {
					to = h.ID
				}
			}
			if _, known := s.hosts[to]; !known {
				probs.Add(fmt.Sprintf("moves.%d.host_id", i), "There is no host “"+to+"”.", "a host's id or name")
				continue
			}
			want = append(want, s.move(s.planned([]domain.PlanMove{{VMID: vm.ID, FromID: vm.HostID, ToID: to}})[0]))
		}
	}
	moves := s.planned(want)
	for _, fault := range evacuate.Check(s.in, moves) {
		field := "moves"
		if i, known := at[fault.VM]; known {
			field = fmt.Sprintf("moves.%d", i)
		}
		probs.Add(field, s.vms[fault.VM].Name+": "+fault.Msg, "a move that holds at every moment of the plan")
	}
	stays := []domain.PlanStay{}
	for _, g := range s.in.Guests {
		if slices.ContainsFunc(want, func(m domain.PlanMove) bool { return m.VMID == g.ID }) {
			continue
		}
		x := domain.PlanStay{VMID: g.ID, VM: g.Name, HostID: g.Host, Host: s.hosts[g.Host].Name, Dropped: true, Why: []domain.Reason{{Subject: g.Name, Msg: "A person let it stay."}}}
		if j := slices.IndexFunc(st.Stays, func(o domain.PlanStay) bool { return o.VMID == g.ID }); j >= 0 {
			x = st.Stays[j]
		}
		stays = append(stays, x)
	}
	st.Moves, st.Stays = append(done, want...), stays
	st.Seconds, st.Over = evacuate.Duration(moves, p.Parallel), evacuate.Over(s.in, moves)
	return nil
}

// surveyOf looks anew at what a stage is about.
func (f *Fleet) surveyOf(ctx context.Context, p domain.Plan, st domain.PlanStage) (*survey, error) {
	if p.Kind == domain.PlanReturn {
		var ids []string
		for _, m := range st.Moves {
			if m.State != domain.MoveMoved {
				ids = append(ids, m.VMID)
			}
		}
		return f.survey(ctx, nil, p.Parallel, ids, st.Hosts[0].ID)
	}
	var leave []string
	for _, h := range st.Hosts {
		leave = append(leave, h.ID)
	}
	return f.survey(ctx, leave, p.Parallel, nil, "")
}

func (f *Fleet) putPlan(ctx context.Context, actor string, p *domain.Plan, say string) error {
	err := f.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.PutPlan(*p); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "plan.changed", Resource: maintain.Ref(*p), Actor: actor, Message: "The plan “" + p.Title + "” " + say})
	})
	p.Version++
	return err
}

// Replan plans anew what was not moved yet, from how the world is now. It has to be approved.
func (f *Fleet) Replan(ctx context.Context, actor, id string) (domain.Plan, error) {
	p, err := f.db.Plan(ctx, id)
	if err != nil {
		return p, err
	}
	if err := p.State.Next(domain.PlanDraft); err != nil {
		return p, err
	}
	if p.Kind == domain.PlanReturn {
		return p, domain.Errorf(domain.Conflict, "A plan that brings VMs back is not planned again.").WithFix("Delete it, and bring them back from the host's page.")
	}
	for i := range p.Stages {
		st := &p.Stages[i]
		if st.Phase != domain.PhasePending && st.Phase != domain.PhaseMoving {
			continue
		}
		var hosts, drop []string
		for _, h := range st.Hosts {
			hosts = append(hosts, h.ID)
		}
		for _, x := range st.Stays {
			if x.Dropped {
				drop = append(drop, x.VMID)
			}
		}
		fresh, err := f.stage(ctx, st.Name, hosts, p.Parallel, drop, map[string]bool{})
		if err != nil {
			return p, err
		}
		for j, x := range fresh.Stays {
			fresh.Stays[j].Dropped = slices.Contains(drop, x.VMID)
		}
		done := slices.DeleteFunc(slices.Clone(st.Moves), func(m domain.PlanMove) bool { return m.State != domain.MoveMoved })
		st.Moves, st.Stays, st.Seconds, st.Over = append(done, fresh.Moves...), fresh.Stays, fresh.Seconds, fresh.Over
	}
	p.State, p.ApprovedBy, p.Reasons = domain.PlanDraft, "", nil
	return p, f.putPlan(ctx, actor, &p, "was made anew; it has to be approved.")
}

// RemovePlan forgets a plan that nothing works on.
func (f *Fleet) RemovePlan(ctx context.Context, actor, id string) error {
	return f.db.Write(ctx, func(tx *db.Tx) error {
		p, err := tx.Plan(id)
		if err != nil {
			return err
		}
		if p.State.Active() {
			return domain.Errorf(domain.Conflict, "The plan “%s” is %s.", p.Title, p.State).WithFix("Stop it first.")
		}
		if err := tx.DeletePlan(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "plan.removed", Resource: maintain.Ref(p), Actor: actor, Message: "The plan “" + p.Title + "” was deleted."})
	})
}

// startAtOnce keeps a plan that nobody needs to look at, and starts it.
func (f *Fleet) startAtOnce(ctx context.Context, actor string, p domain.Plan, key string) (domain.Job, error) {
	p.MadeBy, p.ApprovedBy, p.State = actor, actor, domain.PlanApproved
	if err := f.insertPlan(ctx, actor, &p); err != nil {
		return domain.Job{}, err
	}
	job, err := f.StartPlan(ctx, actor, p.ID, key)
	if err != nil { // nobody would know of it
		if gone := f.RemovePlan(ctx, actor, p.ID); gone != nil {
			return job, gone
		}
	}
	return job, err
}

// runPlan enqueues a run of a plan, which is what how makes of it in the same transaction.
func (f *Fleet) runPlan(ctx context.Context, actor, id, key string, how func(tx *db.Tx, p *domain.Plan) error) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	p, err := f.db.Plan(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	// No lock: the plan's own state lets one run begin, and the run before, which may still be ending, leaves a plan alone that is not its own any more.
	req := jobs.Request{Kind: maintain.Kind, Title: p.Title, Resource: maintain.Ref(p), Input: maintain.Input{PlanID: p.ID}, Actor: actor, Key: key}
	if len(p.Stages) == 1 && len(p.Stages[0].Hosts) == 1 {
		h := p.Stages[0].Hosts[0]
		req.Resource = domain.Ref{Kind: "host", ID: h.ID, Name: h.Name}
	}
	return f.engine.Enqueue(ctx, req, func(tx *db.Tx, job *domain.Job) error {
		p, err := tx.Plan(id)
		if err != nil {
			return err
		}
		if err := how(tx, &p); err != nil {
			return err
		}
		p.State, p.JobID, p.Reasons = domain.PlanRunning, job.ID, nil
		if err := tx.PutPlan(p); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "plan.changed", Resource: maintain.Ref(p), JobID: job.ID, Actor: actor, Message: "The plan “" + p.Title + "” is carried out."})
	})
}
