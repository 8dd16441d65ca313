package snapshot

import (
	"context"
	"fmt"
	"slices"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// world is what decides about files: who is built on whom, which disks show what, and what snapshots froze.
type world struct {
	backings domain.Backings
	volumes  map[string]domain.Volume // by path
	disks    map[string][]string      // paths that guests' disks show, by UUID
	guest    domain.Guest             // the VM the job is about
	all      []domain.Snapshot        // its snapshots
}

func (d Deps) world(ctx context.Context, host hv.Host, vm VM) (world, error) {
	w := world{volumes: map[string]domain.Volume{}, disks: map[string][]string{}}
	inv, err := host.Inventory(ctx)
	if err != nil {
		return w, err
	}
	guests, err := host.Guests(ctx)
	if err != nil {
		return w, err
	}
	if w.all, err = host.Snapshots(ctx, vm.UUID); err != nil {
		return w, err
	}
	byName := map[string]string{}
	for _, v := range inv.Volumes {
		w.volumes[v.Path], byName[v.Pool+"/"+v.Name] = v, v.Path
	}
	w.backings = domain.BackingsOf(inv.Volumes)
	for _, g := range guests {
		disks := g.Config.Disks
		if g.Live != nil {
			disks = slices.Concat(disks, g.Live.Disks)
		}
		for _, k := range disks {
			source := k.Source
			if k.Pool != "" && k.Volume != "" && byName[k.Pool+"/"+k.Volume] != "" {
				source = byName[k.Pool+"/"+k.Volume]
			}
			w.disks[g.UUID] = append(w.disks[g.UUID], source)
		}
		if g.UUID == vm.UUID {
			w.guest = g
		}
	}
	return w, nil
}

// current is the file that the VM's disk shows now.
func (w world) current(target string) string {
	disks := w.guest.Config.Disks
	if w.guest.Live != nil {
		disks = w.guest.Live.Disks
	}
	for _, k := range disks {
		if k.Target == target {
			return k.Source
		}
	}
	return ""
}

// foreign names a guest other than the VM whose disk shows the file; "" is none.
func (w world) foreign(file string) string {
	for uuid, files := range w.disks {
		if uuid != w.guest.UUID && slices.Contains(files, file) {
			return uuid
		}
	}
	return ""
}

// needed says why a file cannot go; "" means that nobody needs it.
func (w world) needed(file string) string {
	for _, files := range w.disks {
		for _, f := range files {
			if slices.Contains(w.backings.Chain(f), file) {
				return "a VM's disk needs it"
			}
		}
	}
	for _, s := range w.all {
		if s.MemoryFile == file {
			return "the snapshot " + s.Name + " has its memory in it"
		}
		for _, k := range s.Disks {
			if slices.Contains(w.backings.Chain(k.Base), file) {
				return "the snapshot " + s.Name + " needs it"
			}
		}
	}
	if on := w.backings.On(file); len(on) > 0 {
		return on[0] + " is built on it"
	}
	return ""
}

// merge says what deleting a snapshot does with its files.
type merge struct {
	Full  bool     `json:"full"`  // merged or, inside, given back; else only forgotten
	Why   []string `json:"why"`   // why it is only forgotten
	Files []string `json:"files"` // that may go afterwards, if nobody needs them then
}

// judge decides how a snapshot is deleted. An error says what has to be done first.
func (w world) judge(s domain.Snapshot) (merge, error) {
	m := merge{Full: true, Files: []string{}}
	for _, k := range s.Disks {
		if k.Kind != domain.SnapshotInternal {
			continue
		}
		if w.current(k.Target) != k.Base {
			return m, domain.Errorf(domain.Conflict, "The snapshot %s is inside %s, and newer external snapshots are built on that file.", s.Name, k.Base).
				WithFix("Delete the external snapshots that were taken after it first; they are merged, and nothing is lost.")
		}
	}
	if s.MemoryFile != "" {
		m.Files = append(m.Files, s.MemoryFile)
	}
	for _, k := range s.Disks {
		if k.Kind != domain.SnapshotExternal {
			continue
		}
		for _, x := range w.all {
			for _, y := range x.Disks {
				if x.Name != s.Name && y.Kind == domain.SnapshotInternal && y.Base == k.File {
					return m, domain.Errorf(domain.Conflict, "The snapshot %s is inside %s, which would be merged away.", x.Name, k.File).WithFix("Delete the snapshot %s first.", x.Name)
				}
			}
		}
		if why := w.apart(k); why != "" {
			m.Full, m.Why = false, append(m.Why, fmt.Sprintf("%s: %s", k.Target, why))
		}
	}
	if !m.Full {
		for _, k := range s.Disks {
			m.Files = append(m.Files, k.File)
			if w.backings[k.Base] != "" { // an overlay itself, never a disk that somebody made
				m.Files = append(m.Files, k.Base)
			}
		}
		m.Files = slices.DeleteFunc(m.Files, func(f string) bool { return f == "" })
	}
	return m, nil
}

// apart says why an overlay cannot be merged into the file under it; "" when it can.
func (w world) apart(k domain.SnapshotDisk) string {
	chain := w.backings.Chain(w.current(k.Target))
	i := slices.Index(chain, k.File)
	switch {
	case i < 0:
		return "what was written after it is not part of what the VM runs on now"
	case w.backings[k.File] != k.Base:
		return k.File + " is not built on " + k.Base + " any more"
	case len(w.backings.On(k.Base)) > 1:
		return "more than one disk is built on " + k.Base
	case i > 0 && len(w.backings.On(k.File)) > 1:
		return "more than one disk is built on " + k.File
	case i == 0 && len(w.backings.On(k.File)) > 0:
		return "another disk is built on " + k.File
	case w.foreign(k.Base) != "":
		return "another VM has " + k.Base + " as its disk"
	case w.foreign(k.File) != "":
		return "another VM has " + k.File + " as its disk"
	}
	return ""
}

// drop deletes a file if nobody needs it. done is false when it stays, which the log says unless it is gone already.
func (d Deps) drop(ctx context.Context, r *jobs.Run, host hv.Host, w world, file string) (done bool, err error) {
	v, ok := w.volumes[file]
	if !ok {
		if v, err = host.VolumeByPath(ctx, file); err != nil {
			if domain.Is(err, domain.NotFound) {
				err = nil
			}
			return false, err
		}
	}
	if why := w.needed(file); why != "" {
		r.Log("%s stays: %s.", file, why)
		return false, nil
	}
	if err := host.DeleteVolume(ctx, v.Pool, v.Name); err != nil {
		return false, err
	}
	delete(w.volumes, file)
	delete(w.backings, file)
	r.Log("Deleted %s.", file)
	return true, nil
}
