package provision

import (
	"slices"

	"novacron/domain"
)

// remainingHardware leaves out of a change what the definition shows as done.
func remainingHardware(c domain.HardwareChange, now domain.Hardware) domain.HardwareChange {
	c.AddFilesystems, c.RemoveFilesystems = undone(c.AddFilesystems, c.RemoveFilesystems, now.Filesystems, tagOf)
	c.AddHostDevices, c.RemoveHostDevices = undone(c.AddHostDevices, c.RemoveHostDevices, now.HostDevices, addressOf)
	c.AddMemoryDevices, c.RemoveMemoryDevices = undone(c.AddMemoryDevices, c.RemoveMemoryDevices, now.MemoryDevices, slotOf)
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
	back.AddFilesystems, back.RemoveFilesystems = wayBack(before.Filesystems, now.Filesystems, tagOf)
	back.AddHostDevices, back.RemoveHostDevices = wayBack(before.HostDevices, now.HostDevices, addressOf)
	back.AddMemoryDevices, back.RemoveMemoryDevices = wayBack(before.MemoryDevices, now.MemoryDevices, slotOf)
	return back
}

// What a change calls a device by.
func tagOf(f domain.Filesystem) string     { return f.Tag }
func addressOf(h domain.HostDevice) string { return h.Address }
func slotOf(m domain.MemoryDevice) int     { return m.Slot }

// undone leaves what is not there yet of what comes, and what is there still of what goes.
func undone[T any, K comparable](add []T, remove []K, now []T, key func(T) K) ([]T, []K) {
	there := func(k K) bool { return slices.ContainsFunc(now, func(x T) bool { return key(x) == k }) }
	return slices.DeleteFunc(slices.Clone(add), func(x T) bool { return there(key(x)) }), slices.DeleteFunc(slices.Clone(remove), func(k K) bool { return !there(k) })
}

// wayBack says what to add and to remove to come from now to before.
func wayBack[T comparable, K comparable](before, now []T, key func(T) K) (add []T, remove []K) {
	for _, x := range now {
		if !slices.Contains(before, x) {
			remove = append(remove, key(x))
		}
	}
	for _, x := range before {
		if !slices.Contains(now, x) {
			add = append(add, x)
		}
	}
	return add, remove
}
