package fleet

import (
	"context"
	"fmt"
	"slices"

	"novacron/domain"
	"novacron/domain/placement"
)

// EstateDevice is a device of any host, and who has it.
type EstateDevice struct {
	domain.Device
	HostName string
	VMID     string // empty: free
	VMName   string
}

// Devices lists the devices of the estate, or of one host, by what they are: a class word, a model ("10de:2230"), a kind, or everything.
func (f *Fleet) Devices(ctx context.Context, hostID, class string) ([]EstateDevice, error) {
	devices, err := f.db.Devices(ctx, hostID)
	if err != nil {
		return nil, err
	}
	hosts, err := f.db.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, h := range hosts {
		names[h.ID] = h.Name
	}
	holders := map[string]map[string]domain.VM{}
	out := []EstateDevice{}
	for _, d := range devices {
		if class != "" && class != d.Kind && !d.Matches(domain.HostDevice{Class: class}) {
			continue
		}
		held, known := holders[d.HostID]
		if !known {
			if held, err = f.holders(ctx, d.HostID); err != nil {
				return nil, err
			}
			holders[d.HostID] = held
		}
		vm := held[d.Name]
		out = append(out, EstateDevice{Device: d, HostName: names[d.HostID], VMID: vm.ID, VMName: vm.Name})
	}
	return out, nil
}

// holders says which VM of a host has which of its devices.
func (f *Fleet) holders(ctx context.Context, hostID string) (map[string]domain.VM, error) {
	vms, err := f.db.HostVMs(ctx, hostID)
	if err != nil {
		return nil, err
	}
	devices, err := f.db.Devices(ctx, hostID)
	if err != nil {
		return nil, err
	}
	return domain.DeviceHolders(devices, vms), nil
}

// taken fills in which devices of the candidates are in use; it costs a look at every VM, so only who wants a device pays for it.
func (f *Fleet) taken(ctx context.Context, wanted []domain.HostDevice, all []placement.Candidate, exceptVM string) error {
	if len(wanted) == 0 {
		return nil
	}
	for i := range all {
		c, taken := &all[i], map[string]string{}
		held, err := f.holders(ctx, c.Host.ID)
		if err != nil {
			return err
		}
		for name, vm := range held {
			if vm.ID != exceptVM {
				taken[name] = vm.Name
			}
		}
		c.Taken = taken
	}
	return nil
}

// settleDevices turns what is asked for into devices of the host by their address, and names the locks that keep a second job from taking them.
func settleDevices(wanted []domain.HostDevice, on placement.Candidate, field string) (settled []domain.HostDevice, locks []string, err error) {
	free := slices.Clone(on.Devices)
	for i, want := range wanted {
		d, why := placement.PickDevice(want, free, on.Taken)
		if why != "" {
			e := domain.Errorf(domain.Conflict, "%s: %s", on.Host.Name, why).WithFix("Look at the host's devices and choose one that is free.")
			e.Fields = []domain.FieldError{{Field: fmt.Sprintf("%s.%d", field, i), Msg: e.Msg, Want: "a device of the host that is free"}}
			return nil, nil, e
		}
		settled, locks = append(settled, d.Settled()), append(locks, "device:"+on.Host.ID+"/"+d.Name)
		free = slices.DeleteFunc(free, func(x domain.Device) bool { return x.Name == d.Name })
	}
	return settled, locks, nil
}

// settleModules gives new modules slots that are free in the definition and in what runs.
func settleModules(vm domain.VM, add []domain.MemoryDevice) []domain.MemoryDevice {
	have := vm.Config.MemoryDevices
	if vm.Live != nil {
		have = slices.Concat(have, vm.Live.MemoryDevices)
	}
	return domain.SettleModules(have, add)
}

// judgeHardware puts what a change wants of the host itself into the probe that placement judges.
func judgeHardware(probe *domain.VMSpec, after domain.VMSpec, c domain.VMChange) {
	probe.HostDevices = c.AddHostDevices
	if c.CPUPins != nil {
		probe.CPUPins = after.CPUPins
	}
	if c.EmulatorPins != nil {
		probe.EmulatorPins = after.EmulatorPins
	}
	if c.NUMATune != nil {
		probe.NUMATune = after.NUMATune
	}
	if c.HotplugMemory != nil {
		probe.HotplugMemory = after.HotplugMemory
	}
	if c.TPM != nil {
		probe.TPM = after.TPM
	}
}

// revertHardware leads one of the plain fields back to what runs.
func revertHardware(c *domain.HardwareChange, field string, live domain.VMSpec) {
	h := live.Hardware
	switch field {
	case "tpm":
		c.TPM = &live.TPM
	case "watchdog":
		if c.Watchdog = h.Watchdog; h.Watchdog == nil {
			c.Watchdog = &domain.Watchdog{Model: "none"}
		}
	case "rng":
		if c.RNG = h.RNG; h.RNG == nil {
			c.RNG = &domain.RNG{Source: "none"}
		}
	case "cpu_pins":
		pins := append([]domain.CPUPin{}, h.CPUPins...) // never nil: a job's input keeps null as “not asked for”
		c.CPUPins = &pins
	case "emulator_pins":
		c.EmulatorPins = &h.EmulatorPins
	case "numa":
		nodes := append([]domain.NUMANode{}, h.NUMA...)
		c.NUMA = &nodes
	case "numa_tune":
		if c.NUMATune = h.NUMATune; h.NUMATune == nil {
			c.NUMATune = &domain.NUMATune{Mode: "none"}
		}
	case "hugepages":
		if c.Hugepages = h.Hugepages; h.Hugepages == nil {
			c.Hugepages = &domain.Hugepages{Off: true}
		}
	case "hotplug_memory":
		if c.HotplugMemory = h.HotplugMemory; h.HotplugMemory == nil {
			c.HotplugMemory = &domain.HotplugMemory{}
		}
	case "cpu_features":
		features := append([]domain.CPUFeature{}, h.CPUFeatures...)
		c.CPUFeatures = &features
	}
}

// revertDevice leads one device that was added or removed back to what runs.
func revertDevice(kind, key string, live, config domain.Hardware) (domain.VMChange, error) {
	var c domain.VMChange
	switch kind {
	case "filesystems":
		if slices.ContainsFunc(config.Filesystems, func(f domain.Filesystem) bool { return f.Tag == key }) {
			c.RemoveFilesystems = []string{key}
		}
		for _, f := range live.Filesystems {
			if f.Tag == key {
				c.AddFilesystems = []domain.Filesystem{f}
			}
		}
	case "host_devices":
		if slices.ContainsFunc(config.HostDevices, func(h domain.HostDevice) bool { return h.Address == key }) {
			c.RemoveHostDevices = []string{key}
		}
		for _, h := range live.HostDevices {
			if h.Address == key {
				c.AddHostDevices = []domain.HostDevice{h}
			}
		}
	case "memory_devices":
		for _, m := range config.MemoryDevices {
			if fmt.Sprint(m.Slot) == key {
				c.RemoveMemoryDevices = []int{m.Slot}
			}
		}
		for _, m := range live.MemoryDevices {
			if fmt.Sprint(m.Slot) == key {
				c.AddMemoryDevices = []domain.MemoryDevice{m}
			}
		}
	}
	if c.Empty() {
		return c, cannotRevert("it is not there any more")
	}
	return c, nil
}
