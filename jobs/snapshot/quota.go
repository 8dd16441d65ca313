package snapshot

import (
	"context"
	"slices"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// fits holds what going back would make the VM grow by against its tenant's quota: processors, memory, cards on public networks, disks that were taken away
// since, and files that come to lie in another pool. Only the host knows what the VM was, so it is asked here and not when the job is made.
func (d Deps) fits(ctx context.Context, r *jobs.Run, in Revert, now domain.Guest, s domain.Snapshot) error {
	if s.Then == nil {
		return nil
	}
	volumes, err := d.DB.Volumes(ctx, in.HostID, "")
	if err != nil {
		return err
	}
	use := domain.Usage{VCPUs: max(0, s.Then.VCPUs-now.Config.VCPUs), MemoryBytes: max(0, s.Then.MemoryBytes-now.Config.MemoryBytes), Pools: map[string]int64{}}
	at := func(path string) (domain.Volume, bool) {
		i := slices.IndexFunc(volumes, func(v domain.Volume) bool { return path != "" && v.Path == path })
		if i < 0 {
			return domain.Volume{}, false
		}
		return volumes[i], true
	}
	for _, k := range s.Then.Disks {
		if k.Device == "cdrom" || k.Device == "floppy" || k.ReadOnly {
			continue
		}
		has, found := at(k.Source)
		if !found {
			continue
		}
		j := slices.IndexFunc(now.Config.Disks, func(x domain.Disk) bool { return x.Target == k.Target })
		if j < 0 {
			use.StorageBytes += has.CapacityBytes
			use.Pools[has.PoolID] += has.CapacityBytes
			continue
		}
		to := has.PoolID
		if o := slices.IndexFunc(in.Overlays, func(o Overlay) bool { return o.Target == k.Target }); o >= 0 {
			if p := slices.IndexFunc(volumes, func(v domain.Volume) bool { return v.Pool == in.Overlays[o].Pool }); p >= 0 {
				to = volumes[p].PoolID
			}
		}
		is, known := at(now.Config.Disks[j].Source)
		if known && is.PoolID != to {
			use.Pools[to] += has.CapacityBytes
		}
		if known && has.CapacityBytes > is.CapacityBytes {
			use.StorageBytes += has.CapacityBytes - is.CapacityBytes
			if is.PoolID == to {
				use.Pools[to] += has.CapacityBytes - is.CapacityBytes
			}
		}
	}
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		vm, err := tx.VM(in.ID)
		if err != nil || vm.Tenant == "" {
			return err
		}
		then, err := tx.AddressesFor(in.HostID, s.Then.NICs)
		if err != nil {
			return err
		}
		have, err := tx.AddressesFor(in.HostID, now.Config.NICs)
		if err != nil {
			return err
		}
		use.PublicAddresses = max(0, then-have)
		return tx.AdmitDuring(vm.Tenant, use, r.Job().ID)
	})
}

// counted holds one more snapshot against the quota of a VM's tenant, with the job that takes it.
func counted(vmID string) func(tx *db.Tx, job *domain.Job) error {
	return func(tx *db.Tx, job *domain.Job) error {
		vm, err := tx.VM(vmID)
		if err != nil {
			return err
		}
		one := domain.Usage{Snapshots: 1}
		return tx.Admit(vm.Tenant, one, job.ID, one)
	}
}
