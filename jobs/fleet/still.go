package fleet

import (
	"context"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/jobs/provision"
	"novacron/jobs/snapshot"
)

// still settles how disks of a VM that runs are held still while something is made of them.
func (f *Fleet) still(ctx context.Context, vm domain.VM, targets []string, what string) (*snapshot.Still, error) {
	id := domain.NewID("still", f.clock())
	return snapshot.ForStill(ctx, f.db, vm, targets, "copying-"+strings.ToLower(id[len(id)-8:]), "Taken while "+what+" is made of this VM; it goes by itself.")
}

// inside tells in which files of a VM snapshots are kept.
func (f *Fleet) inside(ctx context.Context, vm domain.VM) (map[string]bool, error) {
	all, err := f.db.Snapshots(ctx, vm.ID)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, s := range all {
		for _, k := range s.Disks {
			if k.Kind == domain.SnapshotInternal {
				out[k.Base] = true
			}
		}
	}
	return out, nil
}

// fromInside settles what a VM made from an internal snapshot needs besides: all that the files have inside, and how they are held still while the VM runs on them.
func (f *Fleet) fromInside(ctx context.Context, vm domain.VM, s domain.Snapshot, volumes []domain.Volume, in *provision.FromSnapshot) error {
	pools, err := f.db.Pools(ctx, vm.HostID)
	if err != nil {
		return err
	}
	byName, _ := provision.Index(volumes)
	paths := map[string]bool{}
	for _, c := range in.Copies {
		v := byName[c.Pool+"/"+c.From]
		i := slices.IndexFunc(pools, func(p domain.Pool) bool { return p.Name == c.Pool })
		switch {
		case i < 0 || !pools[i].HoldsFiles():
			return domain.Errorf(domain.Unsupported, "%s is in the pool %s, whose volumes are no files; what is inside it cannot be copied.", c.From, c.Pool).WithFix("Go back to the snapshot and clone the VM.")
		case v.Encrypted:
			return domain.Errorf(domain.Unsupported, "%s is encrypted; what is inside it cannot be copied.", c.From).WithFix("Go back to the snapshot and clone the VM.")
		}
		paths[v.Path] = true
	}
	all, err := f.db.Snapshots(ctx, vm.ID)
	if err != nil {
		return err
	}
	for _, x := range slices.Backward(all) {
		if slices.ContainsFunc(x.Disks, func(k domain.SnapshotDisk) bool { return k.Kind == domain.SnapshotInternal && paths[k.Base] }) {
			in.Inside = append(in.Inside, x.Name)
		}
	}
	if vm.Live == nil {
		return nil
	}
	var targets []string
	_, byPath := provision.Index(volumes)
	for _, k := range vm.Live.Disks {
		if v, ok := provision.VolumeOf(k, byName, byPath); ok && paths[v.Path] {
			targets = append(targets, k.Target)
		}
	}
	if len(targets) > 0 {
		in.Still, err = f.still(ctx, vm, targets, "a copy")
	}
	return err
}
