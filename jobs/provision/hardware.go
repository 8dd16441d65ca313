package provision

import (
	"slices"

	"novacron/domain"
)

// remainingHardware leaves out of a change what the definition shows as done.
func remainingHardware(c domain.HardwareChange, now domain.Hardware) domain.HardwareChange {
	tag := func(t string) bool {
		return slices.ContainsFunc(now.Filesystems, func(f domain.Filesystem) bool { return f.Tag == t })
	}
	device := func(a string) bool {
		return slices.ContainsFunc(now.HostDevices, func(h domain.HostDevice) bool { return h.Address == a })
	}
	slot := func(n int) bool {
		return slices.ContainsFunc(now.MemoryDevices, func(m domain.MemoryDevice) bool { return m.Slot == n })
	}
	c.AddFilesystems = slices.DeleteFunc(slices.Clone(c.AddFilesystems), func(f domain.Filesystem) bool { return tag(f.Tag) })
	c.RemoveFilesystems = slices.DeleteFunc(slices.Clone(c.RemoveFilesystems), func(t string) bool { return !tag(t) })
	c.AddHostDevices = slices.DeleteFunc(slices.Clone(c.AddHostDevices), func(h domain.HostDevice) bool { return device(h.Address) })
	c.RemoveHostDevices = slices.DeleteFunc(slices.Clone(c.RemoveHostDevices), func(a string) bool { return !device(a) })
	c.AddMemoryDevices = slices.DeleteFunc(slices.Clone(c.AddMemoryDevices), func(m domain.MemoryDevice) bool { return slot(m.Slot) })
	c.RemoveMemoryDevices = slices.DeleteFunc(slices.Clone(c.RemoveMemoryDevices), func(n int) bool { return !slot(n) })
	return c
}

// inverseHardware is the change that leads the devices that run now back to those that ran before. What only a start can change never changed.
func inverseHardware(c domain.HardwareChange, before, now domain.Hardware) domain.HardwareChange {
	var back domain.HardwareChange
	if c.Watchdog != nil && (before.Watchdog == nil) != (now.Watchdog == nil) {
		if back.Watchdog = before.Watchdog; before.Watchdog == nil {
			back.Watchdog = &domain.Watchdog{Model: "none"}
		}
	}
	if c.RNG != nil && (before.RNG == nil) != (now.RNG == nil) {
		if back.RNG = before.RNG; before.RNG == nil {
			back.RNG = &domain.RNG{Source: "none"}
		}
	}
	if c.CPUPins != nil && !slices.Equal(before.CPUPins, now.CPUPins) {
		back.CPUPins = &before.CPUPins
	}
	if c.EmulatorPins != nil && before.EmulatorPins != now.EmulatorPins {
		back.EmulatorPins = &before.EmulatorPins
	}
	for _, f := range now.Filesystems {
		if !slices.Contains(before.Filesystems, f) {
			back.RemoveFilesystems = append(back.RemoveFilesystems, f.Tag)
		}
	}
	for _, f := range before.Filesystems {
		if !slices.Contains(now.Filesystems, f) {
			back.AddFilesystems = append(back.AddFilesystems, f)
		}
	}
	for _, h := range now.HostDevices {
		if !slices.Contains(before.HostDevices, h) {
			back.RemoveHostDevices = append(back.RemoveHostDevices, h.Address)
		}
	}
	for _, h := range before.HostDevices {
		if !slices.Contains(now.HostDevices, h) {
			back.AddHostDevices = append(back.AddHostDevices, h)
		}
	}
	for _, m := range now.MemoryDevices {
		if !slices.Contains(before.MemoryDevices, m) {
			back.RemoveMemoryDevices = append(back.RemoveMemoryDevices, m.Slot)
		}
	}
	for _, m := range before.MemoryDevices {
		if !slices.Contains(now.MemoryDevices, m) {
			back.AddMemoryDevices = append(back.AddMemoryDevices, m)
		}
	}
	return back
}
