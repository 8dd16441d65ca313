package fleet

import (
	"context"
	"fmt"
	"slices"

	"novacron/domain"
	"novacron/domain/evacuate"
	"novacron/domain/forecast"
	"novacron/domain/placement"
	"novacron/jobs"
)

// EvacuationItem is one VM of a plan: where it goes, or why it cannot.
type EvacuationItem struct {
	VM       domain.VM
	Host     string // id of the target; empty when it stays
	HostName string
	Mode     domain.MigrationMode
	Why      []domain.Reason // when it stays: for each host what stands in the way
	Forecast *domain.MigrationForecast
}

// EvacuationPlan says what emptying a host would do, VM by VM, in the order in which they move; those that stay come last.
type EvacuationPlan struct {
	Host     domain.Host
	Items    []EvacuationItem
	Moves    int
	Stay     int
	Parallel int
	Seconds  domain.Interval // until the last is over
	Over     []domain.Reason // what hosts would have too little of at the end
}

// survey is what a plan is made from, and what its moves are turned into jobs with.
type survey struct {
	in    evacuate.Input
	vms   map[string]domain.VM
	hosts map[string]domain.Host
	paths map[string]forecast.Path
	lands map[string]*terrain // by tenant: hosts and pools may be kept for some
}

// survey looks at what is on the hosts to be emptied and at where each of it could go. only narrows it to some VMs, wherever they are, and then nothing is emptied;
// home is a host whose maintenance ends with the plan.
func (f *Fleet) survey(ctx context.Context, leave []string, parallel int, only []string, home string) (*survey, error) {
	s := &survey{vms: map[string]domain.VM{}, hosts: map[string]domain.Host{}, paths: map[string]forecast.Path{}, lands: map[string]*terrain{}}
	s.in = evacuate.Input{Leave: leave, Parallel: parallel, Where: map[string]string{}, Pools: map[string]int64{}}
	t, err := f.land(ctx, s, "")
	if err != nil {
		return nil, err
	}
	loads, err := f.db.HostLoads(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range t.all {
		l := loads[c.Host.ID]
		s.hosts[c.Host.ID] = c.Host
		s.in.Hosts = append(s.in.Hosts, evacuate.Host{ID: c.Host.ID, Name: c.Host.Name, Memory: c.Host.Facts.MemoryBytes, Used: c.UsedMemory, CPUs: c.Host.Facts.CPUs, VCPUs: c.UsedVCPUs, Asleep: l.MemoryDefined - l.MemoryRunning - l.MemoryCreating})
		for _, p := range c.Pools {
			s.in.Pools[p.ID] = p.AvailableBytes
		}
	}
	s.in.Rules = t.rules.rules
	for vm, at := range t.rules.where {
		s.in.Where[vm] = at[0]
	}
	ids := only
	for _, h := range leave {
		vms, err := f.db.HostVMs(ctx, h)
		if err != nil {
			return nil, err
		}
		for _, vm := range vms {
			ids = append(ids, vm.ID)
		}
	}
	for _, id := range ids {
		vm, err := f.db.VM(ctx, id) // with its document, which the checks read
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		g, err := f.guest(ctx, s, vm, home)
		if err != nil {
			return nil, err
		}
		s.vms[vm.ID], s.in.Where[vm.ID] = vm, vm.HostID
		s.in.Guests = append(s.in.Guests, g)
	}
	return s, nil
}

// land is the terrain for VMs of a tenant.
func (f *Fleet) land(ctx context.Context, s *survey, tenant string) (*terrain, error) {
	if t := s.lands[tenant]; t != nil {
		return t, nil
	}
	t, err := f.terrain(ctx, domain.VM{Tenant: tenant})
	s.lands[tenant] = t
	return t, err
}

func (f *Fleet) guest(ctx context.Context, s *survey, vm domain.VM, home string) (evacuate.Guest, error) {
	g := evacuate.Guest{ID: vm.ID, Name: vm.Name, Host: vm.HostID, Running: vm.State == domain.VMRunning || vm.State == domain.VMPaused, Memory: vm.Config.MemoryBytes, VCPUs: vm.Config.VCPUs}
	if vm.Live != nil {
		g.Memory, g.VCPUs = vm.Live.MemoryBytes, vm.Live.VCPUs
	}
	if vm.BusyJob != "" {
		g.Fixed = busy(vm).Error()
	} else if err := vm.State.Can(domain.ActMigrate); err != nil {
		g.Fixed = err.Error()
	}
	if g.Fixed != "" {
		return g, nil
	}
	t, err := f.land(ctx, s, vm.Tenant)
	if err != nil {
		return g, err
	}
	t.vm, t.cpus = vm, f.matches.get(vm, f.clock())
	for _, c := range t.all {
		if c.Host.ID == vm.HostID || slices.Contains(s.in.Leave, c.Host.ID) {
			continue
		}
		o, err := f.option(ctx, s, t, c, home)
		if err != nil {
			return g, err
		}
		g.Options = append(g.Options, o)
	}
	return g, nil
}

// option is one host that the terrain's VM could go to.
func (f *Fleet) option(ctx context.Context, s *survey, t *terrain, c placement.Candidate, home string) (evacuate.Option, error) {
	o := evacuate.Option{Host: c.Host.ID, Pools: map[string]int64{}}
	if c.Host.ID == home {
		c.Host.Maintenance = false // it ends with the plan
	}
	plan, err := f.look(ctx, t, c, MigrateVM{})
	if err != nil {
		return o, err
	}
	o.Mode = plan.Mode
	for _, check := range plan.Checks {
		if check.Level == domain.CheckFail && check.Name != ruleCheck { // the planner knows the rules better: it knows who goes along
			o.Refused = append(o.Refused, check.Message)
		}
	}
	if len(o.Refused) > 0 {
		return o, nil
	}
	for _, d := range plan.Disks {
		if d.Stays {
			continue
		}
		for _, p := range c.Pools {
			if p.Name == d.ToPool {
				o.Pools[p.ID] += d.Bytes
			}
		}
	}
	past, known := s.paths[t.vm.HostID+c.Host.ID]
	if !known {
		if past, err = f.history(ctx, t.vm.HostID, c.Host.ID); err != nil {
			return o, err
		}
		s.paths[t.vm.HostID+c.Host.ID] = past
	}
	memory, measured := f.memories.get(t.vm.ID, f.clock())
	if !measured {
		o.Forecast = f.foretell(past, t.vm, plan, nil)
	} else {
		o.Forecast = f.foretell(past, t.vm, plan, &memory)
	}
	return o, nil
}

// stage turns what was planned for hosts into a stage of a plan.
func (s *survey) stage(name string, hosts []string, p evacuate.Plan) domain.PlanStage {
	st := domain.PlanStage{Name: name, Phase: domain.PhasePending, Seconds: p.Seconds, Over: p.Over, Moves: []domain.PlanMove{}, Stays: []domain.PlanStay{}}
	for _, id := range hosts {
		st.Hosts = append(st.Hosts, domain.PlanHost{ID: id, Name: s.hosts[id].Name})
	}
	for _, m := range p.Moves {
		st.Moves = append(st.Moves, s.move(m))
	}
	for _, x := range p.Stays {
		vm := s.vms[x.VM]
		st.Stays = append(st.Stays, domain.PlanStay{VMID: vm.ID, VM: vm.Name, HostID: vm.HostID, Host: vm.HostName, Why: x.Why})
	}
	return st
}

func (s *survey) move(m evacuate.Move) domain.PlanMove {
	vm := s.vms[m.VM]
	out := domain.PlanMove{VMID: vm.ID, VM: vm.Name, Memory: vm.Config.MemoryBytes, Running: vm.State == domain.VMRunning || vm.State == domain.VMPaused, FromID: vm.HostID, From: vm.HostName, ToID: m.To,
		To: s.hosts[m.To].Name, Mode: m.Option.Mode, Forecast: m.Option.Forecast, Why: m.Why, State: domain.MovePlanned}
	if s.in.Rules != nil {
		for _, other := range s.in.Rules.Together(vm.ID) {
			if s.vms[other].HostID == vm.HostID {
				out.With = append(out.With, other)
			}
		}
	}
	return out
}

// planned turns moves that were agreed to back into the planner's, with what is known of them now.
func (s *survey) planned(moves []domain.PlanMove) (out []evacuate.Move) {
	for _, m := range moves {
		x := evacuate.Move{VM: m.VMID, From: m.FromID, To: m.ToID, Option: evacuate.Option{Host: m.ToID, Mode: m.Mode, Forecast: m.Forecast}, Why: m.Why}
		for _, g := range s.in.Guests {
			if i := slices.IndexFunc(g.Options, func(o evacuate.Option) bool { return o.Host == m.ToID }); g.ID == m.VMID && i >= 0 {
				x.Option = g.Options[i]
			}
		}
		out = append(out, x)
	}
	return out
}

// PlanEvacuation says what emptying a host would do.
func (f *Fleet) PlanEvacuation(ctx context.Context, hostID string) (EvacuationPlan, error) {
	h, err := f.db.Host(ctx, hostID)
	if err != nil {
		return EvacuationPlan{}, err
	}
	s, err := f.survey(ctx, []string{hostID}, evacuate.PerHost, nil, "")
	if err != nil {
		return EvacuationPlan{}, err
	}
	st := s.stage(h.Name, []string{hostID}, evacuate.Make(s.in))
	p := EvacuationPlan{Host: h, Moves: len(st.Moves), Stay: len(st.Stays), Parallel: evacuate.PerHost, Seconds: st.Seconds, Over: st.Over}
	for _, m := range st.Moves {
		p.Items = append(p.Items, EvacuationItem{VM: s.vms[m.VMID], Host: m.ToID, HostName: m.To, Mode: m.Mode, Forecast: m.Forecast})
	}
	for _, x := range st.Stays {
		p.Items = append(p.Items, EvacuationItem{VM: s.vms[x.VMID], Why: x.Why})
	}
	return p, nil
}

// EvacuateHost plans, agrees and starts at once: the host goes into maintenance and its VMs move. What cannot move stays and is named.
func (f *Fleet) EvacuateHost(ctx context.Context, actor, hostID, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	h, err := f.db.Host(ctx, hostID)
	if err != nil {
		return domain.Job{}, err
	}
	if h.State != domain.HostConnected {
		return domain.Job{}, domain.Errorf(domain.Unavailable, "%s is not connected, so nothing can be moved away from it.", h.Name).WithFix("Wait until it is back.")
	}
	p, err := f.draft(ctx, PlanRequest{Kind: domain.PlanEvacuate, Hosts: []string{hostID}})
	if err != nil {
		return domain.Job{}, err
	}
	moves, _, _, stay := p.Counts()
	if moves == 0 {
		name := p.Stages[0].Name
		e := domain.Errorf(domain.Conflict, "No VM of %s can move.", name).WithFix("Look at the reasons; shut down what cannot move.")
		if stay == 0 {
			e = domain.Errorf(domain.Conflict, "%s has no VM to move.", name)
		}
		for _, x := range p.Stages[0].Stays {
			e.Reasons = append(e.Reasons, domain.Reason{Subject: x.VM, Msg: x.Why[0].Subject + ": " + x.Why[0].Msg})
		}
		return domain.Job{}, e
	}
	return f.startAtOnce(ctx, actor, p, key)
}

// ReturnToHost ends a host's maintenance and moves back the VMs that plans moved away from it and that are still where they were moved to.
func (f *Fleet) ReturnToHost(ctx context.Context, actor, hostID, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	h, err := f.db.Host(ctx, hostID)
	if err != nil {
		return domain.Job{}, err
	}
	ids, err := f.movedFrom(ctx, hostID)
	if err != nil {
		return domain.Job{}, err
	}
	moves, refused, s, err := f.homeward(ctx, ids, map[string]string{}, hostID)
	if err != nil {
		return domain.Job{}, err
	}
	if len(moves) == 0 {
		e := domain.Errorf(domain.Conflict, "No VM that was moved away from %s can return.", h.Name)
		e.Reasons = refused
		return domain.Job{}, e
	}
	p := f.newPlan(domain.PlanReturn, "Return VMs to "+h.Name)
	st := s.stage(h.Name, []string{hostID}, evacuate.Plan{Moves: moves, Seconds: evacuate.Duration(moves, evacuate.PerHost), Over: evacuate.Over(s.in, moves)})
	for _, r := range refused {
		st.Stays = append(st.Stays, domain.PlanStay{VM: r.Subject, Why: []domain.Reason{{Subject: h.Name, Msg: r.Msg}}})
	}
	p.Stages = []domain.PlanStage{st}
	return f.startAtOnce(ctx, actor, p, key)
}

// movedFrom lists the VMs that plans moved away from a host and that are still where they were moved to.
func (f *Fleet) movedFrom(ctx context.Context, hostID string) (ids []string, err error) {
	plans, err := f.db.Plans(ctx, planQuery)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, p := range plans { // newest first
		for _, st := range p.Stages {
			for _, m := range st.Moves {
				if p.Kind == domain.PlanReturn || m.FromID != hostID || m.State != domain.MoveMoved || seen[m.VMID] {
					continue
				}
				seen[m.VMID] = true
				vm, err := f.db.VM(ctx, m.VMID)
				if domain.Is(err, domain.NotFound) || err == nil && vm.HostID != m.ToID {
					continue
				}
				if err != nil {
					return nil, err
				}
				ids = append(ids, vm.ID)
			}
		}
	}
	return ids, nil
}

// homeward plans the moves of VMs to the host that homes names for each, or home. Those that cannot are named.
func (f *Fleet) homeward(ctx context.Context, ids []string, homes map[string]string, home string) (moves []evacuate.Move, refused []domain.Reason, s *survey, err error) {
	if s, err = f.survey(ctx, nil, evacuate.PerHost, ids, home); err != nil {
		return nil, nil, nil, err
	}
	for _, g := range s.in.Guests {
		to := home
		if h := homes[g.ID]; h != "" {
			to = h
		}
		m := evacuate.Move{VM: g.ID, From: g.Host, To: to}
		if i := slices.IndexFunc(g.Options, func(o evacuate.Option) bool { return o.Host == to }); i >= 0 {
			m.Option = g.Options[i]
		}
		moves = append(moves, m)
	}
	for len(moves) > 0 { // one that cannot may be what another rests on
		faults := evacuate.Check(s.in, moves)
		if len(faults) == 0 {
			break
		}
		bad := faults[0].VM
		refused = append(refused, domain.Reason{Subject: s.vms[bad].Name, Msg: faults[0].Msg})
		moves = slices.DeleteFunc(moves, func(m evacuate.Move) bool { return m.VM == bad })
	}
	return moves, refused, s, nil
}

// moveOf is the job of one move of a plan, held against the world once more.
func (f *Fleet) moveOf(ctx context.Context, p domain.Plan, m domain.PlanMove) (jobs.Request, error) {
	vm, err := f.db.VM(ctx, m.VMID)
	if err != nil {
		return jobs.Request{}, err
	}
	if vm.HostID != m.FromID {
		return jobs.Request{}, domain.Errorf(domain.Conflict, "%s is on %s, not on %s any more.", vm.Name, vm.HostName, m.From).WithFix("Plan again.")
	}
	if err := busy(vm); err != nil {
		return jobs.Request{}, err
	}
	if err := vm.State.Can(domain.ActMigrate); err != nil {
		return jobs.Request{}, err
	}
	t, err := f.terrain(ctx, vm)
	if err != nil {
		return jobs.Request{}, err
	}
	t.cpus = f.matches.get(vm, f.clock())
	to, ok := t.host(m.ToID)
	if !ok {
		return jobs.Request{}, domain.Errorf(domain.NotFound, "%s is not in the fleet any more.", m.To)
	}
	plan, err := f.look(ctx, t, to, MigrateVM{})
	if err != nil {
		return jobs.Request{}, err
	}
	return f.moveRequest(t, to, plan, MigrateVM{})
}

// judge says what of a plan's stage at hand does not hold any more.
func (f *Fleet) judge(ctx context.Context, p domain.Plan) ([]domain.Reason, error) {
	st := p.Current()
	var leave, only []string
	home := ""
	if p.Kind == domain.PlanReturn {
		home = st.Hosts[0].ID
		for _, m := range st.Moves {
			only = append(only, m.VMID)
		}
	} else {
		for _, h := range st.Hosts {
			leave = append(leave, h.ID)
		}
	}
	s, err := f.survey(ctx, leave, p.Parallel, only, home)
	if err != nil {
		return nil, err
	}
	var out []domain.Reason
	named := map[string]bool{}
	var todo []domain.PlanMove
	for _, m := range st.Moves {
		named[m.VMID] = true
		if m.State == domain.MoveMoved {
			continue
		}
		todo = append(todo, m)
		if vm, here := s.vms[m.VMID]; here && vm.HostID != m.FromID {
			out = append(out, domain.Reason{Subject: m.VM, Msg: fmt.Sprintf("It is on %s now, not on %s.", vm.HostName, m.From)})
		}
	}
	for _, x := range st.Stays {
		named[x.VMID] = true
	}
	for _, g := range s.in.Guests {
		if !named[g.ID] {
			out = append(out, domain.Reason{Subject: g.Name, Msg: "It came to " + s.vms[g.ID].HostName + " since the plan was made, and the plan says nothing of it."})
		}
	}
	for _, fault := range evacuate.Check(s.in, s.planned(todo)) {
		name := fault.VM
		for _, m := range todo {
			if m.VMID == fault.VM {
				name = m.VM
			}
		}
		out = append(out, domain.Reason{Subject: name, Msg: fault.Msg})
	}
	return out, nil
}
