package placement

import (
	"fmt"
	"slices"

	"novacron/domain"
)

// refuseHardware judges what of a host's own the VM wants: devices, CPUs to be bound to, memory nodes.
func refuseHardware(spec domain.VMSpec, c Candidate, add adder) {
	free := slices.Clone(c.Devices)
	for i, want := range spec.HostDevices {
		at := fmt.Sprintf("host_devices.%d", i)
		d, why := PickDevice(want, free, c.Taken)
		if why != "" {
			add(domain.Unsupported, at, "another device, or another host", "%s", why)
			continue
		}
		free = slices.DeleteFunc(free, func(x domain.Device) bool { return x.Name == d.Name })
	}
	f := c.Host.Facts
	outside := func(field, set string) {
		if cpus, ok := domain.CPUSet(set); ok && f.CPUs > 0 && cpus[len(cpus)-1] >= f.CPUs {
			add(domain.Unsupported, field, fmt.Sprintf("CPUs 0 to %d", f.CPUs-1), "It has no CPU %d to bind to.", cpus[len(cpus)-1])
		}
	}
	for i, p := range spec.CPUPins {
		outside(fmt.Sprintf("cpu_pins.%d.cpus", i), p.CPUs)
	}
	outside("emulator_pins", spec.EmulatorPins)
	if t := spec.NUMATune; t != nil {
		if nodes, ok := domain.CPUSet(t.Nodes); ok && f.NUMANodes > 0 && nodes[len(nodes)-1] >= f.NUMANodes {
			add(domain.Unsupported, "numa_tune.nodes", fmt.Sprintf("nodes 0 to %d", f.NUMANodes-1), "It has no memory node %d.", nodes[len(nodes)-1])
		}
	}
	if r := spec.HotplugMemory; r != nil && r.MaxBytes > f.MemoryBytes && f.MemoryBytes > 0 {
		add(domain.Exhausted, "hotplug_memory.max_bytes", "at most "+domain.FormatBytes(f.MemoryBytes), "It has %s of memory; room for %s is wanted.", domain.FormatBytes(f.MemoryBytes), domain.FormatBytes(r.MaxBytes))
	}
}

// PickDevice finds a device among those of a host, or says why there is none: missing, not to be given away, or another VM's.
func PickDevice(want domain.HostDevice, devices []domain.Device, taken map[string]string) (d domain.Device, why string) {
	why = "It has no device like that: " + want.Describe() + "."
	for _, d := range devices {
		if !d.Matches(want) {
			continue
		}
		switch holder := taken[d.Name]; {
		case !d.Assignable:
			why = fmt.Sprintf("%s (%s) cannot be given to a VM: %s", d.Label, d.Name, orUnknown(d.Why))
		case holder != "":
			why = fmt.Sprintf("%s (%s) is in use by %s.", d.Label, d.Name, holder)
		default:
			return d, ""
		}
	}
	return domain.Device{}, why
}
