package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/placement"
	"novacron/jobs"
	"novacron/jobs/blocks"
	"novacron/jobs/provision"
)

// ChangeVM enqueues an edit. version is that of the VM the person looked at (0: any); a VM that was edited since is a Conflict.
func (f *Fleet) ChangeVM(ctx context.Context, actor, vmID string, version int64, change domain.VMChange, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	vm, err := f.vmFor(ctx, vmID, domain.ActEdit)
	if err != nil {
		return domain.Job{}, err
	}
	if version != 0 && version != vm.Version {
		return domain.Job{}, stale(vm)
	}
	if change.Empty() {
		return domain.Job{}, domain.Errorf(domain.Invalid, "Nothing was changed.").WithFix("Change something, or close the form.")
	}
	return f.change(ctx, actor, vm, version, change, "Change "+vm.Name, key)
}

func (f *Fleet) change(ctx context.Context, actor string, vm domain.VM, version int64, change domain.VMChange, title, key string) (domain.Job, error) {
	return f.changeWith(ctx, actor, vm, version, change, title, key, nil)
}

// changeWith also deletes volumes when the VM has let go of them.
func (f *Fleet) changeWith(ctx context.Context, actor string, vm domain.VM, version int64, change domain.VMChange, title, key string, drop []blocks.Volume) (domain.Job, error) {
	after, err := change.Apply(vm.Config)
	if err != nil {
		return domain.Job{}, err
	}
	probe := domain.VMSpec{Disks: change.AddDisks, Hardware: domain.Hardware{Filesystems: change.AddFilesystems, HostDevices: change.AddHostDevices}}
	if change.Boot != nil {
		probe.Boot = *change.Boot
	}
	if change.Media != nil && change.Media.Source != "" {
		probe.Disks = append(slices.Clone(probe.Disks), domain.Disk{Device: "cdrom", Source: change.Media.Source})
	}
	if err := f.reach(ctx, probe); err != nil {
		return domain.Job{}, err
	}
	more := growth(vm.Config, after, change)
	disks, refs, versions, err := f.resolveImages(ctx, "add_disks", change.AddDisks)
	if err != nil {
		return domain.Job{}, err
	}
	change.AddDisks = disks
	on, volumes, err := f.on(ctx, vm.HostID)
	if err != nil {
		return domain.Job{}, err
	}
	one := []placement.Candidate{on}
	if err := f.taken(ctx, change.AddHostDevices, one, vm.ID); err != nil {
		return domain.Job{}, err
	}
	on = one[0]
	if err := judgeChange(after, change, on); err != nil {
		return domain.Job{}, err
	}
	var devices []string
	if change.AddHostDevices, devices, err = settleDevices(change.AddHostDevices, on, "add_host_devices"); err != nil {
		return domain.Job{}, err
	}
	change.AddMemoryDevices = settleModules(vm, change.AddMemoryDevices)
	change, sets, err := f.settleCardChanges(ctx, change)
	if err != nil {
		return domain.Job{}, err
	}
	change, err = provision.SettleChange(vm.Name, change, on, volumes)
	if err != nil {
		return domain.Job{}, err
	}
	if err := f.writable(ctx, "add_disks", change.AddDisks, volumes); err != nil {
		return domain.Job{}, err
	}
	secrets := settleSecrets(vm.HostID, change.AddDisks, on.Pools, f.newSecret)
	var made domain.VMSpec
	made.Disks = change.AddDisks
	return f.engine.Enqueue(ctx, jobs.Request{
		Kind: provision.KindChange, Title: title, Resource: ref(vm), Locks: slices.Concat([]string{vm.ID}, devices, provision.Locks(vm.HostID, provision.NewVolumes(made))),
		Input: provision.Change{VMID: vm.ID, HostID: vm.HostID, UUID: vm.UUID, Name: vm.Name, Change: change, Images: refs, Drop: drop}, Actor: actor, Key: key,
	}, admitChange(vm, more, change), func(tx *db.Tx, job *domain.Job) error {
		for _, v := range versions {
			if err := tx.HoldImage(job.ID, v.ID); err != nil {
				return err
			}
		}
		now, err := tx.VM(vm.ID)
		if err == nil && version != 0 && now.Version != version {
			return stale(vm)
		}
		if err != nil {
			return err
		}
		if err := secrets(tx); err != nil {
			return err
		}
		return noted(tx, sets, "add_nics", change.AddNICs, vm.ID)
	})
}

// judgeChange asks of the VM's host what placement asks for a new VM, but only for what the change touches: an adopted VM may break rules already.
func judgeChange(after domain.VMSpec, c domain.VMChange, on placement.Candidate) error {
	probe := domain.VMSpec{Disks: c.AddDisks, NICs: slices.Clone(c.AddNICs)}
	for _, n := range c.ChangeNICs { // behind the new ones, whose numbers errors name
		if moved := n.Apply(domain.NIC{}); moved.Network != "" || moved.Bridge != "" {
			probe.NICs = append(probe.NICs, domain.NIC{Network: moved.Network, Bridge: moved.Bridge})
		}
	}
	if c.VCPUs != nil || c.MaxVCPUs != nil {
		probe.VCPUs, probe.MaxVCPUs = after.VCPUs, after.MaxVCPUs
	}
	if c.MemoryBytes != nil {
		probe.MemoryBytes = after.MemoryBytes
	}
	if c.Machine != nil {
		probe.Machine = after.Machine
	}
	if c.Firmware != nil {
		probe.Firmware = after.Firmware
	}
	judgeHardware(&probe, after, c)
	on.Host.Maintenance = false // a VM that is there already may be edited
	_, err := placement.Place(probe, on.Host.ID, []placement.Candidate{on})
	if e, ok := err.(*domain.Error); ok && e != nil {
		for i, fe := range e.Fields {
			if strings.HasPrefix(fe.Field, "disks.") || strings.HasPrefix(fe.Field, "nics.") || strings.HasPrefix(fe.Field, "host_devices.") {
				e.Fields[i].Field = "add_" + fe.Field
			}
		}
		return e
	}
	return err
}

// RevertPending sets one field of what the next start will use back to what runs now.
func (f *Fleet) RevertPending(ctx context.Context, actor, vmID, field string) (domain.Job, error) {
	vm, err := f.vmFor(ctx, vmID, domain.ActEdit)
	if err != nil {
		return domain.Job{}, err
	}
	i := slices.IndexFunc(vm.Pending, func(c domain.Change) bool { return c.Field == field })
	if i < 0 || vm.Live == nil {
		return domain.Job{}, domain.Errorf(domain.NotFound, "%s has no pending change of “%s”.", vm.Name, field).WithFix("Look at the page again; it may have been applied or reverted.")
	}
	change, err := revert(field, *vm.Live, vm.Config)
	if err != nil {
		return domain.Job{}, err
	}
	return f.change(ctx, actor, vm, vm.Version, change, fmt.Sprintf("Revert the pending change of %s: %s", vm.Name, vm.Pending[i].Label), "")
}

// revert is the change that leads the configuration back to what runs, for one field of domain.Diff.
func revert(field string, live, config domain.VMSpec) (domain.VMChange, error) {
	var c domain.VMChange
	boot := config.Boot
	switch field {
	case "vcpus":
		c.VCPUs = &live.VCPUs
	case "max_vcpus":
		most := max(live.VCPUs, live.MaxVCPUs)
		c.MaxVCPUs = &most
		if config.VCPUs > most {
			c.VCPUs = &live.VCPUs
		}
	case "topology":
		if live.Topology == nil {
			return c, cannotRevert("the default topology cannot be set back by itself")
		}
		most := max(live.VCPUs, live.MaxVCPUs)
		c.Topology, c.VCPUs, c.MaxVCPUs = live.Topology, &live.VCPUs, &most
	case "cpu":
		c.CPU = &live.CPU
	case "memory_bytes", "max_memory_bytes":
		c.MemoryBytes = &live.MemoryBytes
	case "machine":
		c.Machine = &live.Machine
	case "firmware":
		c.Firmware = &live.Firmware
	case "boot.kernel", "boot.initrd", "boot.cmdline":
		// A kernel, its initrd and its command line belong together; one alone may not be valid.
		boot.Kernel, boot.Initrd, boot.Cmdline = live.Boot.Kernel, live.Boot.Initrd, live.Boot.Cmdline
		c.Boot = &boot
	case "boot.order":
		boot.Order = live.Boot.Order
		c.Boot = &boot
	case "watchdog", "rng", "cpu_pins", "emulator_pins", "numa", "numa_tune", "hugepages", "hotplug_memory", "cpu_features", "tpm":
		revertHardware(&c.HardwareChange, field, live)
	case "title":
		c.Title = &live.Title
	case "description":
		c.Description = &live.Description
	default:
		switch kind, k, _ := strings.Cut(field, "."); kind {
		case "disks":
			return revertDisk(k, live, config)
		case "nics":
			return revertNIC(k, live, config)
		case "filesystems", "host_devices", "memory_devices":
			return revertDevice(kind, k, live.Hardware, config.Hardware)
		}
		return c, cannotRevert("it cannot be changed after the VM was made")
	}
	return c, nil
}

func cannotRevert(why string) error {
	return domain.Errorf(domain.Unsupported, "This change cannot be reverted: %s.", why).WithFix("Restart the VM to apply it, or edit it by hand.")
}

func revertDisk(target string, live, config domain.VMSpec) (domain.VMChange, error) {
	var c domain.VMChange
	at := func(s domain.VMSpec) (domain.Disk, bool) {
		i := slices.IndexFunc(s.Disks, func(d domain.Disk) bool { return d.Target == target })
		if i < 0 {
			return domain.Disk{}, false
		}
		return s.Disks[i], true
	}
	now, runs := at(live)
	next, kept := at(config)
	switch {
	case kept && !runs:
		c.RemoveDisks = []string{target}
	case runs && !kept:
		now.SizeBytes = 0
		c.AddDisks = []domain.Disk{now}
	case now.Device == "cdrom" && next.Device == "cdrom" && now.Source != next.Source:
		c.Media = &domain.Media{Target: target, Source: now.Source}
	default:
		return c, cannotRevert("the disk itself was altered")
	}
	return c, nil
}

func revertNIC(mac string, live, config domain.VMSpec) (domain.VMChange, error) {
	var c domain.VMChange
	at := func(s domain.VMSpec) int {
		return slices.IndexFunc(s.NICs, func(n domain.NIC) bool { return strings.EqualFold(n.MAC, mac) })
	}
	now, next := at(live), at(config)
	switch {
	case next >= 0 && now < 0:
		c.RemoveNICs = []string{mac}
	case now >= 0 && next < 0:
		n := live.NICs[now]
		n.Target = ""
		c.AddNICs = []domain.NIC{n}
	default:
		return c, cannotRevert("the card itself was altered")
	}
	return c, nil
}
