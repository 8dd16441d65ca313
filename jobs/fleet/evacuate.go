package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/placement"
	"novacron/jobs"
	"novacron/jobs/bulk"
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

// EvacuationPlan says what emptying a host would do, VM by VM, largest first.
type EvacuationPlan struct {
	Host    domain.Host
	Items   []EvacuationItem
	Moves   int
	Stay    int
	Seconds domain.Interval // until the last is over, with as many at a time as hosts take
	Over    []domain.Reason // hosts whose running VMs would have more memory together than the host has
}

// Both sides take this many moves at a time: the slots that the driver keeps for long calls.
const movesAtOnce = 2

// PlanEvacuation chooses a host for every VM. Capacity is counted as the plan goes, so that it holds after each move and not only at the end.
func (f *Fleet) PlanEvacuation(ctx context.Context, hostID string) (EvacuationPlan, error) {
	p, _, err := f.planEvacuation(ctx, hostID)
	return p, err
}

func (f *Fleet) planEvacuation(ctx context.Context, hostID string) (EvacuationPlan, []bulk.Item, error) {
	var p EvacuationPlan
	h, err := f.db.Host(ctx, hostID)
	if err != nil {
		return p, nil, err
	}
	p.Host = h
	vms, err := f.db.HostVMs(ctx, hostID)
	if err != nil {
		return p, nil, err
	}
	slices.SortStableFunc(vms, func(a, b domain.VM) int {
		return int(b.Config.MemoryBytes/domain.MiB - a.Config.MemoryBytes/domain.MiB)
	})
	t, err := f.terrain(ctx, domain.VM{})
	if err != nil {
		return p, nil, err
	}
	var items []bulk.Item
	for _, listed := range vms {
		vm, err := f.db.VM(ctx, listed.ID) // with its document, which the checks read
		if err != nil {
			return p, nil, err
		}
		t.vm = vm
		item, req, err := f.evacuate(ctx, t)
		if err != nil {
			return p, nil, err
		}
		p.Items = append(p.Items, item)
		if item.Host == "" {
			p.Stay++
			continue
		}
		p.Moves++
		if item.Forecast != nil {
			p.Seconds.P05 += item.Forecast.Seconds.P05 / movesAtOnce
			p.Seconds.P50 += item.Forecast.Seconds.P50 / movesAtOnce
			p.Seconds.P95 += item.Forecast.Seconds.P95 / movesAtOnce
		}
		raw, err := json.Marshal(req.Input)
		if err != nil {
			return p, nil, domain.Errorf(domain.Internal, "The job's input cannot be written: %w", err)
		}
		items = append(items, bulk.Item{Kind: req.Kind, Title: req.Title, Resource: req.Resource, Locks: req.Locks, Input: raw})
	}
	for _, c := range t.all {
		if c.UsedMemory > c.Host.Facts.MemoryBytes && c.Host.ID != hostID {
			p.Over = append(p.Over, domain.Reason{Subject: c.Host.Name, Msg: fmt.Sprintf("Its VMs would have %s of memory together; it has %s.", domain.FormatBytes(c.UsedMemory), domain.FormatBytes(c.Host.Facts.MemoryBytes))})
		}
	}
	return p, items, nil
}

// evacuate finds the host with most memory left that can take the terrain's VM, and counts the VM there.
func (f *Fleet) evacuate(ctx context.Context, t *terrain) (EvacuationItem, jobs.Request, error) {
	item := EvacuationItem{VM: t.vm}
	if t.vm.BusyJob != "" {
		item.Why = []domain.Reason{{Subject: t.vm.Name, Msg: busy(t.vm).Error()}}
		return item, jobs.Request{}, nil
	}
	if err := t.vm.State.Can(domain.ActMigrate); err != nil {
		item.Why = []domain.Reason{{Subject: t.vm.Name, Msg: err.Error()}}
		return item, jobs.Request{}, nil
	}
	order := slices.Clone(t.all)
	slices.SortStableFunc(order, func(a, b placement.Candidate) int { return int(free(b)/domain.MiB - free(a)/domain.MiB) })
	for _, c := range order {
		if c.Host.ID == t.vm.HostID {
			continue
		}
		plan, err := f.look(ctx, t, c, MigrateVM{})
		if err != nil {
			return item, jobs.Request{}, err
		}
		if !plan.Allowed() {
			for _, check := range plan.Checks {
				if check.Level == domain.CheckFail {
					item.Why = append(item.Why, domain.Reason{Subject: c.Host.Name, Msg: check.Message})
				}
			}
			continue
		}
		req, err := f.moveRequest(t, c, plan, MigrateVM{})
		if err != nil {
			return item, req, err
		}
		item.Host, item.HostName, item.Mode, item.Why = c.Host.ID, c.Host.Name, plan.Mode, nil
		if item.Forecast, err = f.foresee(ctx, t.vm, c.Host.ID, plan, nil); err != nil {
			return item, req, err
		}
		if t.vm.State == domain.VMRunning {
			i := slices.IndexFunc(t.all, func(x placement.Candidate) bool { return x.Host.ID == c.Host.ID })
			t.all[i].UsedMemory += t.vm.Config.MemoryBytes
		}
		return item, req, nil
	}
	if len(item.Why) == 0 {
		item.Why = []domain.Reason{{Subject: t.vm.Name, Msg: "There is no other host."}}
	}
	return item, jobs.Request{}, nil
}

func free(c placement.Candidate) int64 { return c.Host.Facts.MemoryBytes - c.UsedMemory }

// EvacuateHost puts a host into maintenance and enqueues the moves of its plan: one job with a child for each VM. What cannot move stays and is named.
func (f *Fleet) EvacuateHost(ctx context.Context, actor, hostID, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	p, items, err := f.planEvacuation(ctx, hostID)
	if err != nil {
		return domain.Job{}, err
	}
	in := bulk.Input{Verb: "moved", Items: items}
	for _, it := range p.Items {
		if it.Host == "" {
			msg := it.Why[0].Subject + ": " + it.Why[0].Msg
			in.Refused = append(in.Refused, domain.Reason{Subject: it.VM.Name, Msg: msg})
		}
	}
	if len(items) == 0 {
		e := domain.Errorf(domain.Conflict, "No VM of %s can move.", p.Host.Name).WithFix("Look at the reasons; shut down what cannot move.")
		if len(p.Items) == 0 {
			e = domain.Errorf(domain.Conflict, "%s has no VM to move.", p.Host.Name)
		}
		e.Reasons = in.Refused
		return domain.Job{}, e
	}
	on := true
	if _, err := f.EditHost(ctx, actor, hostID, 0, HostEdit{Maintenance: &on}); err != nil {
		return domain.Job{}, err
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: bulk.Kind, Title: fmt.Sprintf("Evacuate %s", p.Host.Name), Resource: domain.Ref{Kind: "host", ID: hostID, Name: p.Host.Name}, Input: in, Actor: actor, Key: key})
}

// ReturnToHost ends a host's maintenance and enqueues the moves back of the VMs that its last evacuations moved away and that are still where they were
// moved to.
func (f *Fleet) ReturnToHost(ctx context.Context, actor, hostID, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	h, err := f.db.Host(ctx, hostID)
	if err != nil {
		return domain.Job{}, err
	}
	past, err := f.db.Migrations(ctx, db.MigrationQuery{From: hostID, State: string(domain.JobSucceeded), Limit: 1000})
	if err != nil {
		return domain.Job{}, err
	}
	in := bulk.Input{Verb: "moved back"}
	seen := map[string]bool{}
	h.Maintenance = false
	for _, m := range past {
		if seen[m.VMID] {
			continue
		}
		seen[m.VMID] = true
		item, err := f.back(ctx, m, h)
		switch code := domain.CodeOf(err); {
		case err == nil && item.Kind != "":
			in.Items = append(in.Items, item)
		case err == nil:
		case code == domain.Internal:
			return domain.Job{}, err
		default:
			in.Refused = append(in.Refused, domain.Reason{Subject: m.VMName, Msg: err.Error()})
		}
	}
	if len(in.Items) == 0 {
		e := domain.Errorf(domain.Conflict, "No VM that was moved away from %s can return.", h.Name)
		e.Reasons = in.Refused
		return domain.Job{}, e
	}
	off := false
	if _, err := f.EditHost(ctx, actor, hostID, 0, HostEdit{Maintenance: &off}); err != nil {
		return domain.Job{}, err
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: bulk.Kind, Title: fmt.Sprintf("Return VMs to %s", h.Name), Resource: domain.Ref{Kind: "host", ID: hostID, Name: h.Name}, Input: in, Actor: actor, Key: key})
}

// back is the move of one VM back to the host, or nothing when the VM went elsewhere since or was moved by a person alone.
func (f *Fleet) back(ctx context.Context, m domain.MigrationRecord, home domain.Host) (bulk.Item, error) {
	job, err := f.db.Job(ctx, m.JobID)
	if domain.Is(err, domain.NotFound) || err == nil && job.ParentID == "" {
		return bulk.Item{}, nil
	}
	if err != nil {
		return bulk.Item{}, err
	}
	parent, err := f.db.Job(ctx, job.ParentID)
	if err != nil || parent.Resource.ID != home.ID {
		return bulk.Item{}, err
	}
	vm, err := f.db.VM(ctx, m.VMID)
	if domain.Is(err, domain.NotFound) || err == nil && vm.HostID != m.ToID {
		return bulk.Item{}, nil
	}
	if err != nil {
		return bulk.Item{}, err
	}
	if err := busy(vm); err != nil {
		return bulk.Item{}, err
	}
	if err := vm.State.Can(domain.ActMigrate); err != nil {
		return bulk.Item{}, err
	}
	t, err := f.terrain(ctx, vm)
	if err != nil {
		return bulk.Item{}, err
	}
	to, ok := t.host(home.ID)
	if !ok {
		return bulk.Item{}, domain.Errorf(domain.NotFound, "%s is not in the fleet any more.", home.Name)
	}
	to.Host.Maintenance = false // it ends with this
	plan, err := f.look(ctx, t, to, MigrateVM{})
	if err != nil {
		return bulk.Item{}, err
	}
	req, err := f.moveRequest(t, to, plan, MigrateVM{})
	if err != nil {
		return bulk.Item{}, err
	}
	raw, err := json.Marshal(req.Input)
	if err != nil {
		return bulk.Item{}, domain.Errorf(domain.Internal, "The job's input cannot be written: %w", err)
	}
	return bulk.Item{Kind: req.Kind, Title: req.Title, Resource: req.Resource, Locks: req.Locks, Input: raw}, nil
}
