package fleet

import (
	"context"
	"fmt"
	"slices"

	"novacron/domain"
)

// moveStorage is MigrateVM for a disk that goes to another pool of the same host.
func (f *Fleet) moveStorage(ctx context.Context, actor, vmID string, req MigrateVM) (domain.Job, error) {
	if err := req.Policy.Validate(); err != nil {
		return domain.Job{}, err
	}
	vm, err := f.vmFor(ctx, vmID, domain.ActEdit)
	if err != nil {
		return domain.Job{}, err
	}
	if req.Host != "" && req.Host != AnyHost && req.Host != vm.HostID && req.Host != vm.HostName {
		return domain.Job{}, domain.InvalidField("host", "A move of storage alone stays on "+vm.HostName+".", "no host, or "+vm.HostName+"; mode auto moves the VM with its disks")
	}
	if len(req.Disks) != 1 {
		return domain.Job{}, domain.InvalidField("disks", fmt.Sprintf("%d disks were named.", len(req.Disks)), "one disk and its pool, such as {\"vda\": \"fast\"}; ask once for each disk")
	}
	for target, pool := range req.Disks {
		at := vm.Config
		if vm.Live != nil {
			at = *vm.Live
		}
		i := slices.IndexFunc(at.Disks, func(d domain.Disk) bool { return d.Target == target })
		if i < 0 {
			return domain.Job{}, domain.InvalidField("disks."+target, vm.Name+" has no disk "+target+".", "a disk of it")
		}
		v, err := f.diskVolume(ctx, vm, at.Disks[i])
		if err != nil {
			return domain.Job{}, err
		}
		job, err := f.MoveVolume(ctx, actor, v.ID, MoveVolume{Pool: pool, Bandwidth: req.Policy.BandwidthBytes, Key: req.Key})
		return job, refield(err, "pool", "disks."+target)
	}
	return domain.Job{}, nil
}

// refield names a field as the caller knows it.
func refield(err error, from, to string) error {
	e, ok := err.(*domain.Error)
	if !ok {
		return err
	}
	named := *e
	named.Fields = slices.Clone(e.Fields)
	for i := range named.Fields {
		if named.Fields[i].Field == from {
			named.Fields[i].Field = to
		}
	}
	return &named
}
