package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
	"novacron/jobs/bulk"
	"novacron/jobs/power"
	"novacron/jobs/provision"
)

// words are how an action is called in a title and, after "was" or "were", in a sentence.
var words = map[domain.VMAction]struct{ title, done string }{
	domain.ActStart:    {"Start", "started"},
	domain.ActShutdown: {"Shut down", "shut down"},
	domain.ActStop:     {"Power off", "powered off"},
	domain.ActReboot:   {"Reboot", "rebooted"},
	domain.ActReset:    {"Reset", "reset"},
	domain.ActPause:    {"Pause", "paused"},
	domain.ActResume:   {"Resume", "resumed"},
	domain.ActSave:     {"Save", "saved"},
	domain.ActRestore:  {"Restore", "restored"},
	domain.ActDiscard:  {"Discard the saved state of", "relieved of their saved state"},
	domain.ActDelete:   {"Delete", "deleted"},
}

const longestForce = 24 * time.Hour

// ActVM enqueues a power action, or a deletion.
func (f *Fleet) ActVM(ctx context.Context, actor, vmID string, act domain.VMAction, opt ActOptions) (domain.Job, error) {
	if act == domain.ActDelete {
		return f.DeleteVM(ctx, actor, vmID, DeleteVM{Disks: opt.Disks, Key: opt.Key})
	}
	if job, ok, err := f.again(ctx, actor, opt.Key); ok || err != nil {
		return job, err
	}
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return domain.Job{}, err
	}
	req, err := f.powerRequest(ctx, vm, act, opt)
	if err != nil {
		return domain.Job{}, err
	}
	req.Actor, req.Key = actor, opt.Key
	return f.engine.Enqueue(ctx, req)
}

// powerRequest makes the request for one power action after checking that it is possible.
func (f *Fleet) powerRequest(ctx context.Context, vm domain.VM, act domain.VMAction, opt ActOptions) (jobs.Request, error) {
	w, ok := words[act]
	if !ok || act == domain.ActDelete {
		return jobs.Request{}, domain.Errorf(domain.Unsupported, "“%s” is not a power action.", act)
	}
	if opt.ForceAfter < 0 || opt.ForceAfter > longestForce {
		return jobs.Request{}, domain.InvalidField("force_after", "That is not a possible time to wait.", "from 1 second to 24 hours, or nothing to never force")
	}
	if err := busy(vm); err != nil {
		return jobs.Request{}, err
	}
	if err := vm.State.Can(act); err != nil {
		return jobs.Request{}, err
	}
	if act == domain.ActSave {
		if err := f.fitToSave(ctx, vm); err != nil {
			return jobs.Request{}, err
		}
	}
	in := power.Input{VMID: vm.ID, HostID: vm.HostID, UUID: vm.UUID, Name: vm.Name}
	if act == domain.ActShutdown {
		in.ForceAfter = opt.ForceAfter
	}
	return jobs.Request{Kind: power.Kind(act), Title: w.title + " " + vm.Name, Resource: ref(vm), Locks: []string{vm.ID}, Input: in}, nil
}

// DeleteVM enqueues the removal of a VM, and of the files DeletePlan says go if asked.
func (f *Fleet) DeleteVM(ctx context.Context, actor, vmID string, del DeleteVM) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, del.Key); ok || err != nil {
		return job, err
	}
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return domain.Job{}, err
	}
	req, err := f.deleteRequest(ctx, vm, del.Disks)
	if err != nil {
		return domain.Job{}, err
	}
	req.Actor, req.Key = actor, del.Key
	return f.engine.Enqueue(ctx, req)
}

func (f *Fleet) deleteRequest(ctx context.Context, vm domain.VM, disks bool) (jobs.Request, error) {
	if err := busy(vm); err != nil {
		return jobs.Request{}, err
	}
	if err := vm.State.Can(domain.ActDelete); err != nil {
		return jobs.Request{}, err
	}
	in := provision.Delete{VMID: vm.ID, HostID: vm.HostID, UUID: vm.UUID, Name: vm.Name}
	locks := []string{vm.ID}
	plan, err := f.plan(ctx, vm)
	if err != nil {
		return jobs.Request{}, err
	}
	title := "Delete " + vm.Name
	if disks && slices.ContainsFunc(plan.Files, func(file PlanFile) bool { return file.Goes && !file.Always }) {
		title += " and its disks"
	}
	for _, file := range plan.Files {
		switch {
		case file.Base != "" && disks:
			in.Bases = append(in.Bases, file.Base)
			locks = append(locks, "volume:"+vm.HostID+"/"+file.Pool+"/"+file.Volume)
		case file.Base == "" && file.Goes && (disks || file.Always):
			in.Files = append(in.Files, provision.DeleteFile{Pool: file.Pool, Volume: file.Volume, Path: file.Path})
			locks = append(locks, "volume:"+vm.HostID+"/"+file.Pool+"/"+file.Volume)
		}
	}
	return jobs.Request{Kind: provision.KindDelete, Title: title, Resource: ref(vm), Locks: locks, Input: in}, nil
}

// BulkVMs enqueues one action for many VMs: a parent with one child for each VM that can. When none can, the error is a Conflict with a reason for each.
func (f *Fleet) BulkVMs(ctx context.Context, actor string, ids []string, act domain.VMAction, opt ActOptions) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, opt.Key); ok || err != nil {
		return job, err
	}
	w, ok := words[act]
	if !ok {
		return domain.Job{}, domain.Errorf(domain.Unsupported, "“%s” cannot be done to many VMs at once.", act)
	}
	if len(ids) == 0 {
		return domain.Job{}, domain.InvalidField("ids", "No VM is selected.", "at least one VM")
	}
	in := bulk.Input{Verb: w.done}
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		it, name, err := f.bulkItem(ctx, id, act, opt)
		switch code := domain.CodeOf(err); code {
		case "":
			in.Items = append(in.Items, it)
		case domain.Internal, domain.Invalid:
			return domain.Job{}, err
		default:
			in.Refused = append(in.Refused, domain.Reason{Subject: name, Msg: err.Error()})
		}
	}
	if len(in.Items) == 0 {
		e := domain.Errorf(domain.Conflict, "None of the %d selected VMs can be %s.", len(seen), w.done)
		e.Fix, e.Reasons = "Look at the reasons, or select others.", in.Refused
		return domain.Job{}, e
	}
	title := fmt.Sprintf("%s %d VMs", w.title, len(in.Items))
	if len(in.Items) == 1 {
		title = in.Items[0].Title
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: bulk.Kind, Title: title, Resource: domain.Ref{Kind: "vms", Name: fmt.Sprintf("%d VMs", len(in.Items))}, Input: in, Actor: actor, Key: opt.Key})
}

func (f *Fleet) bulkItem(ctx context.Context, id string, act domain.VMAction, opt ActOptions) (it bulk.Item, name string, err error) {
	vm, err := f.db.VM(ctx, id)
	if err != nil {
		return it, id, err
	}
	if err := may(ctx, vm, needs(act)); err != nil {
		return it, vm.Name, err
	}
	var req jobs.Request
	if act == domain.ActDelete {
		req, err = f.deleteRequest(ctx, vm, opt.Disks)
	} else {
		req, err = f.powerRequest(ctx, vm, act, opt)
	}
	if err != nil {
		return it, vm.Name, err
	}
	raw, err := json.Marshal(req.Input)
	if err != nil {
		return it, vm.Name, domain.Errorf(domain.Internal, "The job's input cannot be written: %w", err)
	}
	return bulk.Item{Kind: req.Kind, Title: req.Title, Resource: req.Resource, Locks: req.Locks, Input: raw}, vm.Name, nil
}

// RenameVM enqueues a new name for a stopped VM.
func (f *Fleet) RenameVM(ctx context.Context, actor, vmID, name, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	var p domain.Problems
	domain.CheckVMName(&p, "name", name)
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	vm, err := f.vmFor(ctx, vmID, domain.ActRename)
	if err != nil {
		return domain.Job{}, err
	}
	if vm.Name == name {
		return domain.Job{}, domain.InvalidField("name", "That is its name already.", "a new name")
	}
	taken := func(tx *db.Tx) error { return tx.CheckVMName(name, vm.ID) }
	if err := f.db.Write(ctx, taken); err != nil {
		return domain.Job{}, err
	}
	return f.engine.Enqueue(ctx, jobs.Request{
		Kind: provision.KindRename, Title: fmt.Sprintf("Rename %s to %s", vm.Name, name), Resource: ref(vm), Locks: []string{vm.ID, nameLock(name)},
		Input: provision.Rename{VMID: vm.ID, HostID: vm.HostID, UUID: vm.UUID, Old: vm.Name, New: name}, Actor: actor, Key: key,
	}, func(tx *db.Tx, _ *domain.Job) error { return taken(tx) })
}

// DescribeVM changes tags and notes at once: they are ours alone, so no job is needed. version 0 means any.
func (f *Fleet) DescribeVM(ctx context.Context, actor, vmID string, version int64, d DescribeVM) (domain.VM, error) {
	var p domain.Problems
	if d.Tags != nil {
		domain.CheckTags(&p, "tags", *d.Tags)
	}
	if d.Notes != nil && len(*d.Notes) > 64<<10 {
		p.Add("notes", "The notes are too long.", "at most 64 KiB")
	}
	if err := p.Err(); err != nil {
		return domain.VM{}, err
	}
	var vm domain.VM
	err := f.db.Write(ctx, func(tx *db.Tx) error {
		var err error
		if vm, err = tx.VM(vmID); err != nil {
			return err
		}
		if version == 0 {
			version = vm.Version
		}
		tags, notes := vm.Tags, vm.Notes
		if d.Tags != nil {
			tags = *d.Tags
		}
		if d.Notes != nil {
			notes = *d.Notes
		}
		if err := f.MayTag(ctx, vm, vm.Tags, tags); err != nil {
			return err
		}
		if err := tx.UpdateVMDescription(vmID, version, tags, notes); err != nil {
			return err
		}
		if vm, err = tx.VM(vmID); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "vm.changed", Resource: ref(vm), HostID: vm.HostID, Actor: actor, Message: fmt.Sprintf("The tags or notes of %s were edited.", vm.Name)})
	})
	return vm, err
}
