package fleet

import (
	"context"
	"slices"

	"novacron/domain"
	"novacron/jobs/provision"
)

// DeletePlan says what deleting the VM would do, file by file.
func (f *Fleet) DeletePlan(ctx context.Context, vmID string) (DeletePlan, error) {
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return DeletePlan{}, err
	}
	return f.plan(ctx, vm)
}

func (f *Fleet) plan(ctx context.Context, vm domain.VM) (DeletePlan, error) {
	vms, err := f.db.HostVMs(ctx, vm.HostID)
	if err != nil {
		return DeletePlan{}, err
	}
	volumes, err := f.db.Volumes(ctx, vm.HostID, "")
	if err != nil {
		return DeletePlan{}, err
	}
	byName, byPath := provision.Index(volumes)
	p := DeletePlan{VMID: vm.ID, Name: vm.Name, HostName: vm.HostName, PowerOff: vm.LastState == domain.VMRunning || vm.LastState == domain.VMPaused, Saved: vm.LastState == domain.VMSaved}
	disks := vm.Config.Disks
	if vm.Live != nil {
		disks = slices.Concat(disks, vm.Live.Disks) // one that is to go at the restart is its disk still
	}
	for _, d := range disks {
		if d.Source == "" && d.Volume == "" {
			continue // an empty tray
		}
		file := planFile(d, vm, vms, volumes, byName, byPath)
		if slices.ContainsFunc(p.Files, func(x PlanFile) bool { return x.Path == file.Path }) {
			continue
		}
		if file.Goes {
			p.Bytes += file.AllocationBytes
		}
		p.Files = append(p.Files, file)
	}
	if err := f.planSeed(ctx, vm, &p, vms, volumes); err != nil {
		return DeletePlan{}, err
	}
	if err := f.planBases(ctx, vm, &p, byName); err != nil {
		return DeletePlan{}, err
	}
	for _, k := range []struct{ what, a, path string }{{"kernel", "a kernel", vm.Config.Boot.Kernel}, {"initrd", "an initrd", vm.Config.Boot.Initrd}} {
		if k.path != "" {
			p.Files = append(p.Files, PlanFile{Target: k.what, Device: k.what, Path: k.path, Why: "It is " + k.a + " that other VMs may boot too."})
		}
	}
	return p, nil
}

func planFile(d domain.Disk, vm domain.VM, vms []domain.VM, volumes []domain.Volume, byName, byPath map[string]domain.Volume) PlanFile {
	file := PlanFile{Target: d.Target, Device: d.Device, Path: d.Source, Pool: d.Pool, Volume: d.Volume}
	if file.Device == "" {
		file.Device = "disk"
	}
	v, known := provision.VolumeOf(d, byName, byPath)
	if known {
		file.Path, file.Pool, file.Volume, file.CapacityBytes, file.AllocationBytes = v.Path, v.Pool, v.Name, v.CapacityBytes, v.AllocationBytes
	}
	users := provision.Users(file.Path, file.Pool, file.Volume, vm.ID, vms, volumes)
	switch {
	case d.Device == "cdrom" || d.Device == "floppy":
		file.Why = "It is an image in a drive, which other VMs may use."
	case d.ReadOnly:
		file.Why = "The VM may only read it, so it may belong to others."
	case !known:
		file.Pool, file.Volume = "", ""
		file.Why = "It is in no storage pool that the host lists, so it cannot be deleted from here."
	case users != "":
		file.Why = "It " + users + "."
	default:
		file.Goes, file.Why = true, "Only "+vm.Name+" uses it."
	}
	return file
}

// planBases adds the disks that were frozen for linked clones and that nothing needs any more when the VM's own files are gone.
func (f *Fleet) planBases(ctx context.Context, vm domain.VM, p *DeletePlan, byName map[string]domain.Volume) error {
	all, err := f.db.BaseDisks(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	bases := map[string]domain.BaseDisk{}
	for _, b := range all {
		bases[domain.VolumeID(b.PoolID, b.Volume)] = b
	}
	going := map[string]bool{}
	for _, file := range slices.Clone(p.Files) {
		v, known := byName[file.Pool+"/"+file.Volume]
		if !known || !file.Goes || file.Always {
			continue
		}
		going[v.ID] = true
		chain, err := f.db.Chain(ctx, v.ID)
		if err != nil {
			return err
		}
		for _, l := range slices.Backward(chain) { // nearest first
			b, frozen := bases[l.ID]
			if l.Level >= 0 || !frozen || going[l.ID] {
				continue
			}
			users, err := f.db.VolumeUsers(ctx, l.ID)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(users, func(u domain.VolumeUser) bool { return u.ID != vm.ID && !going[u.ID] }) {
				break // and so is what it stands on
			}
			going[l.ID] = true
			p.Bytes += l.AllocationBytes
			p.Files = append(p.Files, PlanFile{Target: file.Target, Device: "base", Path: l.Path, Pool: l.Pool, Volume: l.Name, CapacityBytes: l.CapacityBytes, AllocationBytes: l.AllocationBytes,
				Goes: true, Base: b.ID, Why: "It was frozen for linked clones, and only " + vm.Name + " is built on it."})
		}
	}
	return nil
}
