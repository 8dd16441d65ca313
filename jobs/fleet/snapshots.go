package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/provision"
	"novacron/jobs/snapshot"
)

// TakeSnapshot enqueues a snapshot of a VM.
func (f *Fleet) TakeSnapshot(ctx context.Context, actor, vmID string, s domain.SnapshotSpec, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, err := f.freeVM(ctx, vmID)
	if err != nil {
		return domain.Job{}, err
	}
	if err := f.fitToSave(ctx, vm); err != nil {
		return domain.Job{}, err
	}
	req, err := snapshot.ForCreate(ctx, f.db, vm, s, "", "")
	if err != nil {
		return domain.Job{}, err
	}
	req.Actor, req.Key = actor, key
	return f.engine.Enqueue(ctx, req, admit(vm, domain.Usage{Snapshots: 1}))
}

// freeVM reads a VM that nothing holds.
func (f *Fleet) freeVM(ctx context.Context, vmID string) (domain.VM, error) {
	vm, err := f.db.VM(ctx, vmID)
	if err == nil {
		err = busy(vm)
	}
	return vm, err
}

// unsnapped refuses a VM with snapshots as the original of a linked clone. Its disks are frozen and it goes on in overlays: what is inside a frozen file can
// be gone back to no more, and merging an external snapshot would write into the files that the clone is built on.
func (f *Fleet) unsnapped(ctx context.Context, vm domain.VM) error {
	all, err := f.db.Snapshots(ctx, vm.ID)
	if err != nil || len(all) == 0 {
		return err
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name
	}
	return domain.Errorf(domain.Conflict, "%s has snapshots (%s), and a linked clone freezes the disks that they are kept in.", vm.Name, strings.Join(names, ", ")).
		WithFix("Make a full clone, or delete the snapshots first.")
}

// RevertSnapshot enqueues going back to a snapshot, after taking one of the state now if safety is asked for.
func (f *Fleet) RevertSnapshot(ctx context.Context, actor, vmID, id string, safety bool, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, err := f.freeVM(ctx, vmID)
	if err != nil {
		return domain.Job{}, err
	}
	s, err := f.db.Snapshot(ctx, vmID, id)
	if err != nil {
		return domain.Job{}, err
	}
	req, err := snapshot.ForRevert(ctx, f.db, vm, s, safety, f.clock())
	if err != nil {
		return domain.Job{}, err
	}
	req.Actor, req.Key = actor, key
	kept := domain.Usage{}
	if safety {
		kept.Snapshots = 1
	}
	return f.engine.Enqueue(ctx, req, admit(vm, kept))
}

// What becomes of the children of a snapshot that is deleted.
const (
	ChildrenKeep   = "keep"   // they become children of its parent; what it held apart is merged
	ChildrenDelete = "delete" // they go too, with all below them
)

// DeleteSnapshots enqueues the deletion of snapshots of one VM. With children and no word on what becomes of them it is a Conflict that asks.
func (f *Fleet) DeleteSnapshots(ctx context.Context, actor, vmID string, ids []string, children, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	if children != "" && children != ChildrenKeep && children != ChildrenDelete {
		return domain.Job{}, domain.InvalidField("children", "“"+children+"” is not a choice.", "keep or delete")
	}
	if len(ids) == 0 {
		return domain.Job{}, domain.InvalidField("ids", "No snapshot is selected.", "at least one snapshot")
	}
	vm, err := f.freeVM(ctx, vmID)
	if err != nil {
		return domain.Job{}, err
	}
	all, err := f.db.Snapshots(ctx, vmID)
	if err != nil {
		return domain.Job{}, err
	}
	names, err := toDelete(all, ids, children)
	if err != nil {
		return domain.Job{}, err
	}
	req, err := snapshot.ForDelete(vm, names)
	if err != nil {
		return domain.Job{}, err
	}
	req.Actor, req.Key = actor, key
	return f.engine.Enqueue(ctx, req)
}

// toDelete lists the names, those below before those above.
func toDelete(all []domain.Snapshot, ids []string, children string) ([]string, error) {
	chosen := map[string]bool{}
	for _, id := range ids {
		i := slices.IndexFunc(all, func(s domain.Snapshot) bool { return s.ID == id })
		if i < 0 {
			return nil, domain.Errorf(domain.NotFound, "There is no such snapshot.").WithFix("It may have been deleted meanwhile; look at the VM's snapshots again.")
		}
		chosen[all[i].Name] = true
	}
	for _, s := range all {
		if !chosen[s.Name] {
			continue
		}
		below := s.Descendants(all)
		if children == ChildrenDelete {
			for _, x := range below {
				chosen[x.Name] = true
			}
		}
		if children == "" && slices.ContainsFunc(below, func(x domain.Snapshot) bool { return !chosen[x.Name] }) {
			var names []string
			for _, x := range below {
				names = append(names, x.Name)
			}
			e := domain.Errorf(domain.Conflict, "The snapshot %s has others below it: %s.", s.Name, strings.Join(names, ", "))
			e.Fields = []domain.FieldError{{Field: "children", Msg: e.Msg, Want: "keep, to merge only this one, or delete, to delete all of them"}}
			return nil, e.WithFix("Say whether they stay (children=keep) or go too (children=delete).")
		}
	}
	var out []string
	for _, s := range slices.Backward(all) { // parents come before their children there
		if chosen[s.Name] {
			out = append(out, s.Name)
		}
	}
	return out, nil
}

// NoteSnapshot changes a snapshot's notes at once: they are ours.
func (f *Fleet) NoteSnapshot(ctx context.Context, actor, vmID, id, notes string) (domain.Snapshot, error) {
	var p domain.Problems
	domain.CheckSnapshotNotes(&p, "notes", notes)
	if err := p.Err(); err != nil {
		return domain.Snapshot{}, err
	}
	s, err := f.db.Snapshot(ctx, vmID, id)
	if err != nil {
		return s, err
	}
	s.Notes = notes
	return s, f.db.Write(ctx, func(tx *db.Tx) error {
		vm, err := tx.VM(vmID)
		if err != nil {
			return err
		}
		if err := tx.NoteSnapshot(s); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "vm.changed", Resource: ref(vm), HostID: vm.HostID, Actor: actor, Message: fmt.Sprintf("The notes of the snapshot %s of %s were edited.", s.Name, vm.Name)})
	})
}

// CloneSnapshot enqueues a new VM from a snapshot: what was on its disks, not what was in memory.
func (f *Fleet) CloneSnapshot(ctx context.Context, actor, vmID, id, name, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	var p domain.Problems
	domain.CheckVMName(&p, "name", name)
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	vm, err := f.freeVM(ctx, vmID)
	if err != nil {
		return domain.Job{}, err
	}
	if err := vm.State.CanSnapshot(vm.Name); err != nil {
		return domain.Job{}, err
	}
	s, err := f.db.Snapshot(ctx, vmID, id)
	if err != nil {
		return domain.Job{}, err
	}
	if err := f.db.Write(ctx, func(tx *db.Tx) error { return tx.CheckVMName(name, "") }); err != nil {
		return domain.Job{}, err
	}
	volumes, err := f.db.Volumes(ctx, vm.HostID, "")
	if err != nil {
		return domain.Job{}, err
	}
	then := vm
	then.Config.Disks = nil
	for _, k := range s.Disks {
		then.Config.Disks = append(then.Config.Disks, domain.Disk{Target: k.Target, Device: "disk", Source: k.Base, Format: k.BaseFormat})
	}
	spec, macs, copies, err := provision.SettleClone(then, name, volumes)
	if err != nil {
		return domain.Job{}, err
	}
	seed, own, err := f.seedOfCopy(ctx, vm, &spec, macs, volumes)
	if err != nil {
		return domain.Job{}, err
	}
	in := provision.FromSnapshot{From: vm.UUID, Name: vm.Name, Snapshot: s.Name, MACs: macs, Copies: copies, Seed: own}
	if s.Kind == domain.SnapshotInternal {
		if err := f.fromInside(ctx, vm, s, volumes, &in); err != nil {
			return domain.Job{}, err
		}
	}
	n := provision.New{VMID: domain.NewID("vm", f.clock()), HostID: vm.HostID, HostName: vm.HostName, Spec: spec}
	locks := []string{vm.ID}
	if own != nil {
		locks = append(locks, provision.Locks(vm.HostID, []hv.VolumeSpec{{Pool: own.Pool, Name: own.Volume}})...)
	}
	for _, c := range copies {
		locks = append(locks, "volume:"+vm.HostID+"/"+c.Pool+"/"+c.To)
	}
	in.New = n
	return f.enqueueNew(ctx, n, vm.ID, vm.Tenant, vm.Folder, vm.Tags, fmt.Sprintf("Made from the snapshot %s of %s.", s.Name, vm.Name), jobs.Request{
		Kind: provision.KindFromSnapshot, Title: fmt.Sprintf("Make %s from the snapshot %s of %s", name, s.Name, vm.Name), Locks: locks,
		Input: in, Actor: actor, Key: key,
	}, func(tx *db.Tx, _ *domain.Job) error { return keepSeed(tx, n.VMID, seed) })
}

// PutSchedule writes a schedule, new (no ID) or changed (with the version that was read; 0: whichever it is), and says when it is due. A new one belongs to
// the tenant that it names, else to that in which who asks may take snapshots, else to the estate; that does not change any more.
func (f *Fleet) PutSchedule(ctx context.Context, actor string, s domain.SnapshotSchedule) (domain.SnapshotSchedule, error) {
	if s.TimeZone == "" {
		s.TimeZone = "UTC"
	}
	if err := s.Validate(); err != nil {
		return s, err
	}
	now := f.clock()
	next, err := snapshot.Next(s, now)
	if err != nil {
		return s, err
	}
	said := fmt.Sprintf("The snapshot schedule %s was changed.", s.Name)
	fresh := s.ID == ""
	if fresh {
		own, err := f.OwnedBy(ctx, access.VMSnapshot, s.Tenant)
		if err != nil {
			return s, err
		}
		s.ID, s.CreatedAt, s.Tenant = domain.NewID("sched", now), now, domain.OwnerOf(own)
		said = fmt.Sprintf("The snapshot schedule %s was made.", s.Name)
	}
	err = f.db.Write(ctx, func(tx *db.Tx) error {
		var old domain.SnapshotSchedule
		if !fresh {
			var err error
			if old, err = tx.Schedule(s.ID); err != nil {
				return err
			}
			if s.Tenant = old.Tenant; s.Version == 0 {
				s.Version = old.Version
			}
		}
		for _, id := range s.VMs {
			vm, err := tx.VM(id)
			if err != nil && !domain.Is(err, domain.NotFound) {
				return err
			}
			if (err != nil || s.Tenant != "" && vm.Tenant != s.Tenant) && !slices.Contains(old.VMs, id) { // one that went since may stay
				return domain.InvalidField("vms", "There is no VM "+id+".", "ids of VMs")
			}
		}
		s.NextAt = next
		if err := tx.PutSchedule(s); err != nil {
			return err
		}
		if s, err = tx.Schedule(s.ID); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "schedule.changed", Resource: scheduleRef(s), Actor: actor, Tenant: s.Tenant, Message: said})
	})
	return s, err
}

func scheduleRef(s domain.SnapshotSchedule) domain.Ref {
	return domain.Ref{Kind: "schedule", ID: s.ID, Name: s.Name}
}

// DeleteSchedule forgets a schedule; the snapshots that it made stay, and nothing deletes them by itself any more.
func (f *Fleet) DeleteSchedule(ctx context.Context, actor, id string) error {
	return f.db.Write(ctx, func(tx *db.Tx) error {
		s, err := tx.Schedule(id)
		if err != nil {
			return err
		}
		if err := tx.DeleteSchedule(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "schedule.removed", Resource: scheduleRef(s), Actor: actor, Tenant: s.Tenant, Message: fmt.Sprintf("The snapshot schedule %s was deleted; its snapshots stay.", s.Name)})
	})
}

// RunSchedule enqueues a run now, which counts for the schedule's most frequent tier.
func (f *Fleet) RunSchedule(ctx context.Context, actor, id, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	s, err := f.db.Schedule(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	now := f.clock()
	req := snapshot.ForRun(s, snapshot.Usual(s), now)
	req.Actor, req.Key = actor, key
	return f.engine.Enqueue(ctx, req, snapshot.Begins(s, now, s.NextAt))
}
