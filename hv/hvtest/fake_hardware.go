package hvtest

import "novacron/domain"

// liveHardware is the part of a change that a running guest takes: devices can be plugged and pins moved; a watchdog or a source of random numbers
// that is there changes at the next start only, and so does what belongs to the machine itself.
func liveHardware(c domain.HardwareChange, now domain.VMSpec) domain.HardwareChange {
	part := domain.HardwareChange{
		RemoveFilesystems: keep(c.RemoveFilesystems, func(t string) bool { return has(now.Filesystems, func(f domain.Filesystem) bool { return f.Tag == t }) }),
		RemoveHostDevices: keep(c.RemoveHostDevices, func(a string) bool {
			return has(now.HostDevices, func(h domain.HostDevice) bool { return h.Address == a })
		}),
		AddHostDevices: c.AddHostDevices, CPUPins: c.CPUPins, EmulatorPins: c.EmulatorPins,
		RemoveMemoryDevices: keep(c.RemoveMemoryDevices, func(n int) bool {
			return has(now.MemoryDevices, func(m domain.MemoryDevice) bool { return m.Slot == n })
		}),
	}
	if now.SharedMemory {
		part.AddFilesystems = c.AddFilesystems
	}
	if now.HotplugMemory != nil {
		part.AddMemoryDevices = c.AddMemoryDevices
	}
	if c.Watchdog != nil && (now.Watchdog == nil || c.Watchdog.Model == "none") {
		part.Watchdog = c.Watchdog
	}
	if c.RNG != nil && (now.RNG == nil || c.RNG.Source == "none") {
		part.RNG = c.RNG
	}
	return part
}

func keep[T any](in []T, ok func(T) bool) []T {
	var out []T
	for _, v := range in {
		if ok(v) {
			out = append(out, v)
		}
	}
	return out
}

func has[T any](in []T, is func(T) bool) bool { return len(keep(in, is)) > 0 }
