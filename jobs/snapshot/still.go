package snapshot

import (
	"context"
	"fmt"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// Still lets jobs of other packages copy disks of a VM that runs. A snapshot of just those disks is taken, quiesced where the guest's agent is there: the guest goes
// on in overlays, and the files under them are written by nobody until the overlays are merged again, which works too when the guest has been stopped meanwhile.
// The job must hold the VM's lock from Hold to LetGo. While it lasts the snapshot is among the VM's others, and says why it is there.
type Still struct {
	VM
	Spec Spec `json:"spec"`
}

// ForStill settles how disks, by target, are held still.
func ForStill(ctx context.Context, d *db.DB, vm domain.VM, targets []string, name, why string) (*Still, error) {
	pools, err := d.Pools(ctx, vm.HostID)
	if err != nil {
		return nil, err
	}
	volumes, err := d.Volumes(ctx, vm.HostID, "")
	if err != nil {
		return nil, err
	}
	all, err := Settle(vm, domain.SnapshotSpec{Name: name, Notes: why, Kind: domain.SnapshotExternal, Quiesce: vm.State == domain.VMRunning}, pools, volumes)
	if err != nil {
		return nil, err
	}
	disks := map[string]string{}
	for _, t := range targets {
		file := all.Disks[t]
		if file == "" {
			return nil, domain.Errorf(domain.Unsupported, "The disk %s of %s cannot be held still while the VM runs.", t, vm.Name).WithFix("Shut it down first.")
		}
		disks[t] = file
	}
	all.Disks = disks
	return &Still{VM: Ref(vm), Spec: all}, nil
}

// Hold holds the disks still. Doing so again changes nothing.
func (d Deps) Hold(ctx context.Context, r *jobs.Run, s Still, h *Held, save func() error) error {
	host, err := d.Hosts.Host(s.HostID)
	if err != nil {
		return err
	}
	k := keeper{h, save, func(string) {}}
	if !k.Claimed {
		w, err := d.world(ctx, host, s.VM)
		if err != nil {
			return err
		}
		for target := range s.Spec.Disks {
			// What is written meanwhile is merged into it afterwards, which would spoil whatever else is built on it.
			if on := w.backings.On(w.current(target)); len(on) > 0 {
				return domain.Errorf(domain.Conflict, "%s is built on the disk %s of %s, so it cannot be held still while the VM runs.", on[0], target, s.Name).WithFix("Shut the VM down first.")
			}
		}
	}
	if err := claim(ctx, host, s.VM, s.Spec, k); err != nil {
		return err
	}
	if err := take(ctx, r, host, s.VM, s.Spec, k); err != nil {
		return err
	}
	_, err = d.mirror(ctx, r, host, s.VM, "%s", fmt.Sprintf("%s goes on in new files while its disks are copied.", s.Name))
	return err
}

// Held checks that the disks were still all the time: somebody on the host may have taken the snapshot away.
func (d Deps) Held(ctx context.Context, s Still) error {
	host, err := d.Hosts.Host(s.HostID)
	if err != nil {
		return err
	}
	all, err := host.Snapshots(ctx, s.UUID)
	if err != nil {
		return err
	}
	if _, ok := find(all, s.Spec.Name); !ok {
		return domain.Errorf(domain.Conflict, "The snapshot %s of %s was deleted on its host while its disks were copied, so what was copied may be torn.", s.Spec.Name, s.Name).WithFix("Try again.")
	}
	return nil
}

// LetGo merges what was written meanwhile; the guest goes on in its own disks. Nil when that was done or nothing was held.
func (d Deps) LetGo(ctx context.Context, r *jobs.Run, s Still, h *Held, save func() error) error {
	if !h.Taking || h.Gone {
		return nil
	}
	if err := d.untake(ctx, r, s.VM, s.Spec, s.Name+" is in its own disks again."); err != nil {
		return err
	}
	h.Gone = true
	return save()
}
