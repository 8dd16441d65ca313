package snapshot

import (
	"context"
	"slices"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Revert is the input of snapshot.revert.
type Revert struct {
	VM
	Snapshot string              `json:"snapshot"` // name
	Kind     domain.SnapshotKind `json:"kind"`
	Memory   bool                `json:"memory"`
	Safety   *Spec               `json:"safety,omitempty"` // taken first
	Overlays []Overlay           `json:"overlays,omitempty"`
	Restart  bool                `json:"restart,omitempty"` // it ran, and the snapshot holds no memory: it is started again
}

// Overlay is a file that takes what is written after going back to an external snapshot.
type Overlay struct {
	Target        string `json:"target"`
	Pool          string `json:"pool"`
	Name          string `json:"name"`
	Path          string `json:"path"`
	Backing       string `json:"backing"`
	BackingFormat string `json:"backing_format"`
	SizeBytes     int64  `json:"size_bytes"`
}

func (in Revert) overlays() map[string]string {
	out := map[string]string{}
	for _, o := range in.Overlays {
		out[o.Target] = o.Path
	}
	return out
}

func (d Deps) revertSteps(in Revert) []jobs.Step {
	external := in.Kind == domain.SnapshotExternal
	steps := []jobs.Step{{
		Name:    "look at the VM",
		Timeout: hostTimeout,
		NoUndo:  "It only looks, and notes what was for an undo.",
		Do:      func(ctx context.Context, r *jobs.Run) error { return d.checkRevert(ctx, r, in) },
	}}
	if in.Safety != nil {
		steps = append(steps, d.checkTake(in.VM, *in.Safety), d.take(in.VM, *in.Safety))
	}
	if external {
		steps = append(steps, d.powerOff(in))
		for _, o := range in.Overlays {
			steps = append(steps, d.makeOverlay(in.VM, o))
		}
	}
	back := jobs.Step{
		Name:    "go back to " + in.Snapshot,
		Timeout: longTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, l, err := d.at(r, in.VM)
			if err != nil {
				return err
			}
			if !l.Going {
				l.Going = true
				if err := r.Save(ctx, l); err != nil {
					return err
				}
			}
			r.Progress(60, "going back to "+in.Snapshot)
			return host.RevertSnapshot(ctx, in.UUID, in.Snapshot, in.overlays())
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.comeBack(ctx, r, in) },
	}
	if !external && in.Safety == nil {
		back.Undo, back.Final = nil, true
		back.NoUndo = "The state before was not kept: no safety snapshot was asked for."
		do := back.Do
		back.Do = func(ctx context.Context, r *jobs.Run) error { return d.unlessDone(ctx, r, in, do(ctx, r)) }
	}
	steps = append(steps, back)
	if in.Restart {
		steps = append(steps, jobs.Step{
			Name:    "start it again",
			Timeout: hostTimeout,
			NoUndo:  "Taking the step before back powers it off again.",
			Do: func(ctx context.Context, r *jobs.Run) error {
				host, _, err := d.at(r, in.VM)
				if err != nil {
					return err
				}
				return host.Start(ctx, in.UUID)
			},
		})
	}
	return append(steps, jobs.Step{
		Name:    "tidy up and list",
		Timeout: hostTimeout,
		Final:   !back.Final,
		NoUndo:  "What nobody needs any more cannot be had back; a safety snapshot was offered.",
		Do:      func(ctx context.Context, r *jobs.Run) error { return d.tidy(ctx, r, in) },
	})
}

// unlessDone lets a job be undone whose host refused before anything was changed.
func (d Deps) unlessDone(ctx context.Context, r *jobs.Run, in Revert, err error) error {
	if err == nil || domain.Is(err, domain.Unavailable) || domain.Is(err, domain.Internal) {
		return err
	}
	host, l, lerr := d.at(r, in.VM)
	if lerr != nil || l.Before == nil {
		return err
	}
	g, gerr := host.Guest(ctx, in.UUID)
	if gerr == nil && g.State == l.Before.State && g.XML == l.Before.XML {
		return jobs.BeforeFinal(err)
	}
	return err
}

func (d Deps) checkRevert(ctx context.Context, r *jobs.Run, in Revert) error {
	host, l, err := d.at(r, in.VM)
	if err != nil || l.Before != nil {
		return err
	}
	w, err := d.world(ctx, host, in.VM)
	if err != nil {
		return err
	}
	s, ok := find(w.all, in.Snapshot)
	if !ok {
		return domain.Errorf(domain.NotFound, "%s has no snapshot called %s any more.", in.Name, in.Snapshot).WithFix("It was deleted on the host; look at the list again.")
	}
	for _, k := range s.Disks {
		at := w.current(k.Target)
		if k.Kind == domain.SnapshotInternal && at == "" {
			return domain.Errorf(domain.Conflict, "The snapshot %s is inside %s too, the disk %s, which was taken off %s since.", s.Name, k.Base, k.Target, in.Name).
				WithFix("Attach it again as %s, then go back.", k.Target)
		}
		if k.Kind == domain.SnapshotInternal && at != k.Base {
			return domain.Errorf(domain.Conflict, "The snapshot %s is inside %s, and newer external snapshots are built on that file: going back would spoil them.", s.Name, k.Base).
				WithFix("Delete the external snapshots that were taken after it first; they are merged, and nothing is lost.")
		}
		if k.Kind == domain.SnapshotExternal {
			if _, err := host.VolumeByPath(ctx, k.Base); err != nil {
				return err
			}
		}
	}
	if s.MemoryFile != "" {
		if _, err := host.VolumeByPath(ctx, s.MemoryFile); err != nil {
			return err
		}
	}
	g, err := host.Guest(ctx, in.UUID)
	if err != nil {
		return err
	}
	if err := d.fits(ctx, r, in, g, s); err != nil {
		return err
	}
	l.Before, l.Trees = &g, w.all
	return r.Save(ctx, l)
}

func ran(g *domain.Guest) bool { return g.State == domain.VMRunning || g.State == domain.VMPaused }

func (d Deps) powerOff(in Revert) jobs.Step {
	return jobs.Step{
		Name:    "power off",
		Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, l, err := d.at(r, in.VM)
			if err != nil || l.Going {
				return err // going back may have started it again
			}
			return host.Stop(ctx, in.UUID)
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			host, l, err := d.at(r, in.VM)
			if err != nil || l.Before == nil || !ran(l.Before) {
				return err
			}
			if err := host.Start(ctx, in.UUID); err != nil && !domain.Is(err, domain.NotFound) && !domain.Is(err, domain.Conflict) {
				return err
			}
			r.Log("%s ran before and was started again; what it had in memory is lost.", in.Name)
			_, err = d.Mirror.Guest(ctx, host, in.HostID, in.UUID, cause(r, ""))
			if domain.Is(err, domain.NotFound) {
				err = nil
			}
			return err
		},
	}
}

func (d Deps) makeOverlay(vm VM, o Overlay) jobs.Step {
	return jobs.Step{
		Name:    "make " + o.Name,
		Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, l, err := d.at(r, vm)
			if err != nil {
				return err
			}
			have, err := host.Volume(ctx, o.Pool, o.Name)
			switch {
			case err == nil && l.Volumes[o.Path]:
				r.Log("%s is there already; this job made it.", have.Path)
				return nil
			case err == nil:
				return domain.Errorf(domain.Conflict, "%s exists already and was left as it is.", have.Path).WithFix("Delete it if nobody needs it, then try again.")
			case !domain.Is(err, domain.NotFound):
				return err
			}
			if !l.Volumes[o.Path] {
				l.Volumes[o.Path] = true
				if err := r.Save(ctx, l); err != nil {
					return err
				}
			}
			_, err = host.CreateVolume(ctx, hv.VolumeSpec{Pool: o.Pool, Name: o.Name, Format: "qcow2", SizeBytes: o.SizeBytes, Backing: o.Backing, BackingFormat: o.BackingFormat})
			if err == nil {
				r.Log("Made %s on %s.", o.Path, o.Backing)
			}
			return err
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			host, l, err := d.at(r, vm)
			if err != nil || !l.Volumes[o.Path] {
				return err
			}
			err = host.DeleteVolume(ctx, o.Pool, o.Name)
			if domain.Is(err, domain.NotFound) {
				return nil // the pool itself is gone
			}
			return err
		},
	}
}

// comeBack takes going back back: to the safety snapshot when the disks themselves were changed, else to the definition and the tree as they were.
func (d Deps) comeBack(ctx context.Context, r *jobs.Run, in Revert) error {
	host, l, err := d.at(r, in.VM)
	if err != nil || !l.Going || l.Before == nil {
		return err
	}
	g, err := host.Guest(ctx, in.UUID)
	if domain.Is(err, domain.NotFound) {
		return nil // the VM itself is gone
	}
	if err != nil {
		return err
	}
	if in.Kind == domain.SnapshotInternal {
		all, err := host.Snapshots(ctx, in.UUID)
		if err != nil {
			return err
		}
		if _, ok := find(all, in.Safety.Name); !ok {
			return nil // come back already, and the safety snapshot was taken back
		}
		r.Log("Going back to the safety snapshot %s.", in.Safety.Name)
		return host.RevertSnapshot(ctx, in.UUID, in.Safety.Name, nil)
	}
	if g.State == domain.VMRunning || g.State == domain.VMPaused {
		if err := host.Stop(ctx, in.UUID); err != nil {
			return err
		}
	}
	before := l.Before.XML
	if in.Safety != nil {
		// The safety snapshot's overlays are what the VM ran on when going back began; taking it back merges them.
		if before, err = d.beforeWithSafety(ctx, host, in); err != nil {
			return err
		}
	}
	if before != "" && g.XML != before {
		if _, err := host.DefineXML(ctx, before); err != nil {
			return err
		}
	}
	current := ""
	for _, s := range l.Trees {
		if s.Current {
			current = s.Name
		}
		if s.Name == in.Snapshot {
			if err := host.DefineSnapshot(ctx, in.UUID, s.XML, in.Safety == nil && s.Current); err != nil {
				return err
			}
		}
	}
	if in.Safety != nil {
		current = in.Safety.Name
	}
	now, err := host.Snapshots(ctx, in.UUID)
	if err != nil {
		return err
	}
	if s, ok := find(now, current); ok && !s.Current {
		return host.DefineSnapshot(ctx, in.UUID, s.XML, true)
	}
	return nil
}

// beforeWithSafety is the definition right after the safety snapshot was taken: that of before, on the safety snapshot's overlays.
func (d Deps) beforeWithSafety(ctx context.Context, host hv.Host, in Revert) (string, error) {
	all, err := host.Snapshots(ctx, in.UUID)
	if err != nil {
		return "", err
	}
	if _, ok := find(all, in.Safety.Name); !ok {
		return "", nil // taken back already: the definition was put right with it
	}
	return host.SnapshotDefinition(ctx, in.UUID, in.Safety.Name, in.Safety.Disks)
}

// tidy deletes the files that nobody needs after going back, and lists what is there now.
func (d Deps) tidy(ctx context.Context, r *jobs.Run, in Revert) error {
	host, l, err := d.at(r, in.VM)
	if err != nil {
		return err
	}
	if in.Kind == domain.SnapshotExternal {
		w, err := d.world(ctx, host, in.VM)
		if err != nil {
			return err
		}
		for _, file := range d.left(in, l, w) {
			done, err := d.drop(ctx, r, host, w, file)
			if err != nil {
				return err
			}
			if done && !slices.Contains(l.Deleted, file) {
				l.Deleted = append(l.Deleted, file)
			}
		}
		if err := r.Save(ctx, l); err != nil {
			return err
		}
	}
	res := Result{VMID: in.ID, Deleted: l.Deleted, Notes: l.Notes}
	if in.Safety != nil {
		res.Safety = in.Safety.Name
		if _, err := d.list(ctx, r, host, in.VM, *in.Safety, *l.held(ctx, r, in.Safety.Name).Held, "", ""); err != nil {
			return err
		}
	}
	all, err := d.mirror(ctx, r, host, in.VM, "%s went back to the snapshot %s.", in.Name, in.Snapshot)
	if err != nil {
		return err
	}
	if s, ok := find(all, in.Snapshot); ok {
		res.SnapshotID = s.ID
	}
	return r.Result(res)
}

// left lists the overlays, top first, that the VM ran on before and that may be needed by nobody now. Only what snapshots made is among them.
func (d Deps) left(in Revert, l *ledger, w world) []string {
	var out []string
	if in.Safety != nil {
		for _, f := range in.Safety.Disks {
			out = append(out, f)
		}
	}
	made := map[string]bool{}
	for _, s := range l.Trees {
		for _, k := range s.Disks {
			made[k.File] = true
		}
	}
	for _, k := range l.Before.Config.Disks {
		for _, f := range w.backings.Chain(k.Source) {
			if made[f] && w.needed(f) == "" || made[f] && slices.ContainsFunc(out, func(o string) bool { return w.backings[o] == f }) {
				out = append(out, f)
			} else {
				break
			}
		}
	}
	return out
}
