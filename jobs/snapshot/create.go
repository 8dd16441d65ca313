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
			made, err := d.list(ctx, r, host, in.VM, in.Spec, *l.held(ctx, r, in.Spec.Name).Held, in.Schedule, in.Tier)
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
func (d Deps) list(ctx context.Context, r *jobs.Run, host hv.Host, vm VM, s Spec, h Held, schedule string, tier domain.ScheduleTier) (domain.Snapshot, error) {
	all, err := d.mirror(ctx, r, host, vm, "The snapshot %s of %s was taken.", s.Name, vm.Name)
	if err != nil {
		return domain.Snapshot{}, err
	}
	made, ok := find(all, s.Name)
	if !ok {
		return made, domain.Errorf(domain.Conflict, "The snapshot %s is not there any more.", s.Name).WithFix("Somebody deleted it on the host; take it again.")
	}
	made.Notes, made.Quiesced, made.ScheduleID, made.Tier, made.MadeBy = s.Notes, h.Quiesced, schedule, tier, r.Job().Actor
	if s.Kind == domain.SnapshotInternal {
		made.RoomBefore = h.Room
	}
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
			if err != nil {
				return err
			}
			return claim(ctx, host, vm, s, l.held(ctx, r, s.Name))
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
			r.Progress(10, "taking the snapshot "+s.Name)
			return take(ctx, r, host, vm, s, l.held(ctx, r, s.Name))
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			_, l, err := d.at(r, vm)
			if err != nil || !l.Taking[s.Name] {
				return err
			}
			return d.untake(ctx, r, vm, s, "The snapshot "+s.Name+" of "+vm.Name+" was taken back.")
		},
	}
}
