package snapshot

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// Ref says which VM it is.
func Ref(vm domain.VM) VM { return VM{ID: vm.ID, HostID: vm.HostID, UUID: vm.UUID, Name: vm.Name} }

// ForCreate settles a snapshot and makes the request for its job.
func ForCreate(ctx context.Context, d *db.DB, vm domain.VM, s domain.SnapshotSpec, schedule string, tier domain.ScheduleTier) (jobs.Request, error) {
	have, err := d.Snapshots(ctx, vm.ID)
	if err != nil {
		return jobs.Request{}, err
	}
	spec, notes, err := settle(ctx, d, vm, s, have)
	if err != nil {
		return jobs.Request{}, err
	}
	return jobs.Request{
		Kind: KindCreate, Title: fmt.Sprintf("Take the snapshot %s of %s", s.Name, vm.Name), Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, Locks: []string{vm.ID},
		Input: Create{VM: Ref(vm), Spec: spec, Chosen: notes, Schedule: schedule, Tier: tier},
	}, nil
}

func settle(ctx context.Context, d *db.DB, vm domain.VM, s domain.SnapshotSpec, have []domain.Snapshot) (Spec, []string, error) {
	s, notes, err := domain.SettleSnapshot(vm, s, have)
	if err != nil {
		return Spec{}, nil, err
	}
	pools, err := d.Pools(ctx, vm.HostID)
	if err != nil {
		return Spec{}, nil, err
	}
	volumes, err := d.Volumes(ctx, vm.HostID, "")
	if err != nil {
		return Spec{}, nil, err
	}
	out, err := Settle(vm, s, pools, volumes)
	return out, notes, err
}

// ForRevert makes the request for going back to a snapshot.
func ForRevert(ctx context.Context, d *db.DB, vm domain.VM, s domain.Snapshot, safety bool, now time.Time) (jobs.Request, error) {
	if err := vm.State.CanSnapshot(vm.Name); err != nil {
		return jobs.Request{}, err
	}
	have, err := d.Snapshots(ctx, vm.ID)
	if err != nil {
		return jobs.Request{}, err
	}
	runs := vm.State == domain.VMRunning || vm.State == domain.VMPaused
	in := Revert{VM: Ref(vm), Snapshot: s.Name, Kind: s.Kind, Memory: s.Memory, Restart: runs && !s.Memory}
	if safety {
		want := domain.SnapshotSpec{Name: safetyName(s.Name, now), Notes: "The state before going back to “" + s.Name + "”.", Kind: s.Kind, Memory: s.Kind == domain.SnapshotInternal && runs,
			Quiesce: s.Kind == domain.SnapshotExternal && vm.State == domain.VMRunning}
		spec, _, err := settle(ctx, d, vm, want, have)
		if err != nil {
			return jobs.Request{}, err
		}
		in.Safety = &spec
	}
	if s.Kind == domain.SnapshotExternal {
		if in.Overlays, err = overlays(ctx, d, vm, s, now); err != nil {
			return jobs.Request{}, err
		}
	}
	return jobs.Request{Kind: KindRevert, Title: fmt.Sprintf("Take %s back to %s", vm.Name, s.Name), Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, Locks: []string{vm.ID}, Input: in}, nil
}

func stamp(now time.Time) string { return now.UTC().Format("20060102-150405") }

func safetyName(name string, now time.Time) string {
	return "before-" + strings.TrimRight(name[:min(len(name), 36)], " .-+@:") + "-" + stamp(now)
}

// overlays chooses the new files for going back to an external snapshot, each beside the file that it stands on.
func overlays(ctx context.Context, d *db.DB, vm domain.VM, s domain.Snapshot, now time.Time) ([]Overlay, error) {
	volumes, err := d.Volumes(ctx, vm.HostID, "")
	if err != nil {
		return nil, err
	}
	var out []Overlay
	for _, k := range s.Disks {
		if k.Kind != domain.SnapshotExternal {
			return nil, domain.Errorf(domain.Unsupported, "The snapshot %s is partly inside its disks (%s) and partly not; it cannot be gone back to from here.", s.Name, k.Target).
				WithFix("Use its files by hand on the host.")
		}
		i := slices.IndexFunc(volumes, func(v domain.Volume) bool { return v.Path == k.Base })
		if i < 0 {
			return nil, domain.Errorf(domain.Conflict, "%s, which holds the disk %s as it was, is in no active storage pool of the host.", k.Base, k.Target).
				WithFix("Make or start a pool for its folder, then try again.")
		}
		v := volumes[i]
		pool, folder := v.Pool, path.Dir(v.Path)
		if strings.HasPrefix(v.Path, "/dev/") { // a block device: the overlay is where the first one was
			pool = ""
			for _, x := range volumes {
				if x.Path == k.File {
					pool, folder = x.Pool, path.Dir(x.Path)
				}
			}
			if pool == "" {
				return nil, noFolder("what is written to the disk " + k.Target + " from now on")
			}
		}
		name := fmt.Sprintf("%s-%s-%s-%s.qcow2", vm.Name, k.Target, s.Name, stamp(now))
		out = append(out, Overlay{Target: k.Target, Pool: pool, Name: name, Path: path.Join(folder, name), Backing: k.Base, BackingFormat: baseFormat(k, v), SizeBytes: v.CapacityBytes})
	}
	return out, nil
}

func baseFormat(k domain.SnapshotDisk, v domain.Volume) string {
	if k.BaseFormat != "" {
		return k.BaseFormat
	}
	return v.Format
}

// ForDelete makes the request for deleting snapshots of one VM, children before their parents.
func ForDelete(vm domain.VM, names []string) (jobs.Request, error) {
	if err := vm.State.CanSnapshot(vm.Name); err != nil {
		return jobs.Request{}, err
	}
	title := fmt.Sprintf("Delete the snapshot %s of %s", names[0], vm.Name)
	if len(names) > 1 {
		title = fmt.Sprintf("Delete %d snapshots of %s", len(names), vm.Name)
	}
	return jobs.Request{Kind: KindDelete, Title: title, Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, Locks: []string{vm.ID}, Input: Delete{VM: Ref(vm), Names: names}}, nil
}
