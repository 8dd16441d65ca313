package snapshot

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Create is the input of snapshot.create.
type Create struct {
	VM
	Spec     Spec                `json:"spec"`
	Chosen   []string            `json:"chosen,omitempty"` // what was chosen for the person, and why
	Schedule string              `json:"schedule,omitempty"`
	Tier     domain.ScheduleTier `json:"tier,omitempty"`
}

// Spec is a settled snapshot.
type Spec struct {
	Name       string              `json:"name"`
	Notes      string              `json:"notes,omitempty"`
	Kind       domain.SnapshotKind `json:"kind"`
	Memory     bool                `json:"memory,omitempty"`
	MemoryFile string              `json:"memory_file,omitempty"`
	Quiesce    bool                `json:"quiesce,omitempty"`
	Disks      map[string]string   `json:"disks,omitempty"` // external: overlays by target
}

func (s Spec) files() []string {
	files := slices.Sorted(maps.Values(s.Disks))
	if s.MemoryFile != "" {
		files = append(files, s.MemoryFile)
	}
	return files
}

// Settle chooses the files of an external snapshot: beside the disk where that is a folder of a pool, else in the pool with the most room.
func Settle(vm domain.VM, s domain.SnapshotSpec, pools []domain.Pool, volumes []domain.Volume) (Spec, error) {
	out := Spec{Name: s.Name, Notes: s.Notes, Kind: s.Kind, Memory: s.Memory, Quiesce: s.Quiesce}
	if s.Kind != domain.SnapshotExternal {
		return out, nil
	}
	out.Disks = map[string]string{}
	folder := ""
	for _, d := range domain.SnapshotDisks(vm) {
		at, err := folderFor(d, pools, volumes)
		if err != nil {
			return out, err
		}
		if folder == "" {
			folder = at
		}
		out.Disks[d.Target] = path.Join(at, fmt.Sprintf("%s-%s-%s.qcow2", vm.Name, d.Target, s.Name))
	}
	if s.Memory {
		if folder == "" {
			p, ok := roomiest(pools)
			if !ok {
				return out, noFolder("the memory")
			}
			folder = p.Target
		}
		out.MemoryFile = path.Join(folder, fmt.Sprintf("%s-%s.memory", vm.Name, s.Name))
	}
	return out, nil
}

func folders(p domain.Pool) bool {
	return p.Active && p.Target != "" && (p.Type == "dir" || p.Type == "fs" || p.Type == "netfs")
}

func roomiest(pools []domain.Pool) (domain.Pool, bool) {
	var best domain.Pool
	for _, p := range pools {
		if folders(p) && (best.Name == "" || p.AvailableBytes > best.AvailableBytes) {
			best = p
		}
	}
	return best, best.Name != ""
}

func noFolder(what string) error {
	return domain.Errorf(domain.Unsupported, "There is no place for %s: the host has no active pool that is a folder.", what).WithFix("Make or start a storage pool of the type dir on the host.")
}

func folderFor(d domain.Disk, pools []domain.Pool, volumes []domain.Volume) (string, error) {
	source := d.Source
	if d.Pool != "" && !strings.HasPrefix(source, "/") {
		for _, v := range volumes {
			if v.Pool == d.Pool && v.Name == d.Volume {
				source = v.Path
			}
		}
	}
	if !strings.HasPrefix(source, "/") {
		return "", domain.Errorf(domain.Unsupported, "The disk %s is on network storage (%s), whose snapshots are not made by libvirt.", d.Target, d.Source).
			WithFix("Take a snapshot of the volume in the storage itself.")
	}
	if !strings.HasPrefix(source, "/dev/") {
		return path.Dir(source), nil
	}
	p, ok := roomiest(pools)
	if !ok {
		return "", noFolder("what is written to the disk " + d.Target + " from now on")
	}
	return p.Target, nil
}

func (d Deps) createSteps(in Create) []jobs.Step {
	return []jobs.Step{d.checkTake(in.VM, in.Spec), d.take(in.VM, in.Spec), {
		Name:    "list the snapshot",
		Timeout: hostTimeout,
		Undo: func(ctx context.Context, r *jobs.Run) error {
			return d.DB.Write(ctx, func(tx *db.Tx) error { return tx.ForgetSnapshotNotes(in.ID) })
		},
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, l, err := d.at(r, in.VM)
			if err != nil {
				return err
			}
			made, err := d.list(ctx, r, host, in.VM, in.Spec, l.Quiesced[in.Spec.Name], in.Schedule, in.Tier)
			if err != nil {
				return err
			}
			for _, n := range in.Chosen {
				r.Log("%s", n)
			}
			return r.Result(Result{VMID: in.ID, SnapshotID: made.ID, Notes: append(slices.Clone(in.Chosen), l.Notes...)})
		},
	}}
}

// list mirrors a snapshot that was just taken and notes what only we know of it.
func (d Deps) list(ctx context.Context, r *jobs.Run, host hv.Host, vm VM, s Spec, quiesced bool, schedule string, tier domain.ScheduleTier) (domain.Snapshot, error) {
	all, err := d.mirror(ctx, r, host, vm, "The snapshot %s of %s was taken.", s.Name, vm.Name)
	if err != nil {
		return domain.Snapshot{}, err
	}
	made, ok := find(all, s.Name)
	if !ok {
		return made, domain.Errorf(domain.Conflict, "The snapshot %s is not there any more.", s.Name).WithFix("Somebody deleted it on the host; take it again.")
	}
	made.Notes, made.Quiesced, made.ScheduleID, made.Tier, made.MadeBy = s.Notes, quiesced, schedule, tier, r.Job().Actor
	return made, d.DB.Write(ctx, func(tx *db.Tx) error { return tx.NoteSnapshot(made) })
}

// checkTake is the step that makes sure that the name and the files are free, and so this job's from then on.
func (d Deps) checkTake(vm VM, s Spec) jobs.Step {
	return jobs.Step{
		Name:    "look at the disks",
		Timeout: hostTimeout,
		NoUndo:  "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, l, err := d.at(r, vm)
			if err != nil || l.Claimed[s.Name] {
				return err
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
			l.Claimed[s.Name] = true
			return r.Save(ctx, l)
		},
	}
}

// take is the step that takes a snapshot under a claimed name.
func (d Deps) take(vm VM, s Spec) jobs.Step {
	return jobs.Step{
		Name:    "take the snapshot " + s.Name,
		Timeout: longTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, l, err := d.at(r, vm)
			if err != nil {
				return err
			}
			if l.Taking[s.Name] {
				all, err := host.Snapshots(ctx, vm.UUID)
				if err != nil {
					return err
				}
				if _, ok := find(all, s.Name); ok {
					r.Log("The snapshot %s is there already; this job took it.", s.Name)
					return nil
				}
			} else {
				l.Taking[s.Name], l.Quiesced[s.Name] = true, s.Quiesce
				if err := r.Save(ctx, l); err != nil {
					return err
				}
			}
			spec := hv.SnapshotSpec{Name: s.Name, Notes: s.Notes, Kind: s.Kind, Memory: s.Memory, MemoryFile: s.MemoryFile, Quiesce: s.Quiesce, Disks: s.Disks}
			r.Progress(10, "taking the snapshot "+s.Name)
			err = host.CreateSnapshot(ctx, vm.UUID, spec)
			if s.Quiesce && domain.Is(err, domain.Unsupported) {
				note := fmt.Sprintf("The guest agent of %s does not answer: the snapshot is crash-consistent, as if the plug had been pulled.", vm.Name)
				r.Log("%s", note)
				l.Quiesced[s.Name], l.Notes = false, append(l.Notes, note)
				if err := r.Save(ctx, l); err != nil {
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
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.untake(ctx, r, vm, s) },
	}
}

// untake takes a snapshot back that this job took: what was written since is merged down, and what was left of its files goes.
func (d Deps) untake(ctx context.Context, r *jobs.Run, vm VM, s Spec) error {
	host, l, err := d.at(r, vm)
	if err != nil || !l.Taking[s.Name] {
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
	_, err = d.mirror(ctx, r, host, vm, "The snapshot %s of %s was taken back.", s.Name, vm.Name)
	return err
}
