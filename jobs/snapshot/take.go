package snapshot

import (
	"context"
	"fmt"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Held is what a job remembers of one snapshot that it takes, written before it does it.
type Held struct {
	Claimed  bool  `json:"claimed,omitempty"` // the name was free, so a snapshot under it is this job's
	Taking   bool  `json:"taking,omitempty"`  // … and it was about to be taken
	Quiesced bool  `json:"quiesced,omitempty"`
	Room     int64 `json:"room,omitempty"` // of an internal one: what the disks took up before, -1 when that cannot be seen
	Gone     bool  `json:"gone,omitempty"` // it was taken back: what has the name now is somebody else's
}

// keeper is where a job keeps that: the record, how it is made durable, and who is told what a person should know.
type keeper struct {
	*Held
	save func() error
	note func(string)
}

// held is the keeper of this package's own jobs, which may take more than one snapshot.
func (l *ledger) held(ctx context.Context, r *jobs.Run, name string) keeper {
	h := &Held{Claimed: l.Claimed[name], Taking: l.Taking[name], Quiesced: l.Quiesced[name], Room: l.Room[name]}
	return keeper{h, func() error {
		l.Claimed[name], l.Taking[name], l.Quiesced[name], l.Room[name] = h.Claimed, h.Taking, h.Quiesced, h.Room
		return r.Save(ctx, l)
	}, func(n string) { l.Notes = append(l.Notes, n) }}
}

// claim makes sure that the name and the files are free.
func claim(ctx context.Context, host hv.Host, vm VM, s Spec, k keeper) error {
	if k.Claimed {
		return nil
	}
	all, err := host.Snapshots(ctx, vm.UUID)
	if err != nil {
		return err
	}
	if _, taken := find(all, s.Name); taken {
		return domain.Errorf(domain.Conflict, "%s has a snapshot called %s already.", vm.Name, s.Name).WithFix("Choose another name.")
	}
	for _, f := range s.files() {
		_, err := host.VolumeByPath(ctx, f)
		if err == nil {
			return domain.Errorf(domain.Conflict, "%s exists already and was left as it is.", f).WithFix("Choose another name for the snapshot, or delete that file if nobody needs it.")
		}
		if !domain.Is(err, domain.NotFound) {
			return err
		}
	}
	if s.Kind == domain.SnapshotInternal {
		if k.Room, err = room(ctx, host, vm); err != nil {
			return err
		}
	}
	k.Claimed = true
	return k.save()
}

// room is what the files of a VM's disks take up; -1 when one of them cannot be seen.
func room(ctx context.Context, host hv.Host, vm VM) (int64, error) {
	g, err := host.Guest(ctx, vm.UUID)
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	for _, k := range domain.SnapshotDisks(domain.VM{Config: g.Config, Live: g.Live}) {
		var v domain.Volume
		if k.Source != "" {
			v, err = host.VolumeByPath(ctx, k.Source)
		} else {
			v, err = host.Volume(ctx, k.Pool, k.Volume)
		}
		if domain.Is(err, domain.NotFound) {
			return -1, nil
		}
		if err != nil {
			return 0, err
		}
		sum += v.AllocationBytes
	}
	return sum, nil
}

// take takes a snapshot under a claimed name; nil when this job took it before.
func take(ctx context.Context, r *jobs.Run, host hv.Host, vm VM, s Spec, k keeper) error {
	if k.Taking {
		all, err := host.Snapshots(ctx, vm.UUID)
		if err != nil {
			return err
		}
		if _, ok := find(all, s.Name); ok {
			r.Log("The snapshot %s is there already; this job took it.", s.Name)
			return nil
		}
	} else {
		k.Taking, k.Quiesced = true, s.Quiesce
		if err := k.save(); err != nil {
			return err
		}
	}
	spec := hv.SnapshotSpec{Name: s.Name, Notes: s.Notes, Kind: s.Kind, Memory: s.Memory, MemoryFile: s.MemoryFile, Quiesce: s.Quiesce, Disks: s.Disks}
	err := host.CreateSnapshot(ctx, vm.UUID, spec)
	if s.Quiesce && domain.Is(err, domain.Unsupported) {
		note := fmt.Sprintf("The guest agent of %s does not answer: the snapshot is crash-consistent, as if the plug had been pulled.", vm.Name)
		r.Log("%s", note)
		k.Quiesced = false
		k.note(note)
		if err := k.save(); err != nil {
			return err
		}
		spec.Quiesce = false
		err = host.CreateSnapshot(ctx, vm.UUID, spec)
	}
	if err != nil {
		return err
	}
	for _, f := range s.files() {
		r.Log("Made %s.", f)
	}
	return nil
}

// untake takes a snapshot back that this job took: what was written since is merged down, and what was left of its files goes.
func (d Deps) untake(ctx context.Context, r *jobs.Run, vm VM, s Spec, sentence string) error {
	host, err := d.Hosts.Host(vm.HostID)
	if err != nil {
		return err
	}
	if _, err := host.Guest(ctx, vm.UUID); domain.Is(err, domain.NotFound) {
		return nil // the VM itself is gone
	} else if err != nil {
		return err
	}
	if err := host.DeleteSnapshot(ctx, vm.UUID, s.Name, false); err != nil {
		return err
	}
	w, err := d.world(ctx, host, vm)
	if err != nil {
		return err
	}
	for _, f := range s.files() {
		if _, err := d.drop(ctx, r, host, w, f); err != nil {
			return err
		}
	}
	_, err = d.mirror(ctx, r, host, vm, "%s", sentence)
	return err
}
