package domain

import (
	"fmt"
	"slices"
	"strings"
)

// Describe prints it in one line; "none" for nil.
func (w *Watchdog) Describe() string {
	if w == nil {
		return "none"
	}
	return w.Model + ", then " + defaultTo(w.Action, "reset")
}

// Describe prints it in one line; "none" for nil.
func (g *RNG) Describe() string {
	switch {
	case g == nil:
		return "none"
	case g.Bytes > 0 && g.PeriodMS > 0:
		return fmt.Sprintf("%s, at most %d bytes in %d ms", g.Source, g.Bytes, g.PeriodMS)
	}
	return g.Source
}

// Describe prints it in one line.
func (f Filesystem) Describe() string { return f.Source }

// Describe prints it in one line.
func (h HostDevice) Describe() string {
	switch {
	case h.Address != "":
		return strings.ToUpper(h.Kind) + " " + h.Address
	case h.Device != "":
		return h.Device
	}
	return "any " + h.Class
}

// Describe prints it in one line; "default" for nil.
func (t *NUMATune) Describe() string {
	if t == nil {
		return "default"
	}
	return t.Mode + " " + t.Nodes
}

// Describe prints it in one line; "off" for nil.
func (g *Hugepages) Describe() string {
	switch {
	case g == nil:
		return "off"
	case g.SizeBytes == 0:
		return "the host's default size"
	}
	return FormatBytes(g.SizeBytes)
}

// Describe prints it in one line; "none" for nil.
func (r *HotplugMemory) Describe() string {
	if r == nil {
		return "none"
	}
	return fmt.Sprintf("up to %s in %d slots", FormatBytes(r.MaxBytes), r.Slots)
}

// Describe prints it in one line.
func (m MemoryDevice) Describe() string {
	return fmt.Sprintf("%s in node %d", FormatBytes(m.SizeBytes), m.Node)
}

func defaultTo(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// DescribePins prints pins in one line.
func DescribePins(pins []CPUPin) string {
	var out []string
	for _, p := range pins {
		out = append(out, fmt.Sprintf("%d on %s", p.VCPU, p.CPUs))
	}
	return defaultTo(strings.Join(out, "; "), "none")
}

// DescribeNUMA prints nodes in one line.
func DescribeNUMA(nodes []NUMANode) string {
	var out []string
	for _, n := range nodes {
		out = append(out, fmt.Sprintf("vCPUs %s with %s", n.CPUs, FormatBytes(n.MemoryBytes)))
	}
	return defaultTo(strings.Join(out, "; "), "none")
}

// DescribeFeatures prints features in one line: "+aes -svm".
func DescribeFeatures(fs []CPUFeature) string {
	var out []string
	for _, f := range fs {
		sign := map[string]string{"require": "+", "force": "+", "disable": "-", "forbid": "-"}[f.Policy]
		out = append(out, sign+f.Name)
	}
	slices.Sort(out)
	return defaultTo(strings.Join(out, " "), "none")
}

// diffHardware lists what differs, for Diff.
func diffHardware(old, new Hardware, add func(field, label, a, b string)) {
	add("watchdog", "Watchdog", old.Watchdog.Describe(), new.Watchdog.Describe())
	add("rng", "Random numbers", old.RNG.Describe(), new.RNG.Describe())
	add("cpu_pins", "CPU pinning", DescribePins(old.CPUPins), DescribePins(new.CPUPins))
	add("emulator_pins", "Pinning of QEMU's own threads", defaultTo(old.EmulatorPins, "none"), defaultTo(new.EmulatorPins, "none"))
	add("cpu_features", "CPU features", DescribeFeatures(old.CPUFeatures), DescribeFeatures(new.CPUFeatures))
	add("numa_tune", "Memory from the host's nodes", old.NUMATune.Describe(), new.NUMATune.Describe())
	add("hugepages", "Huge pages", old.Hugepages.Describe(), new.Hugepages.Describe())
	add("hotplug_memory", "Room for memory modules", old.HotplugMemory.Describe(), new.HotplugMemory.Describe())
	if len(old.NUMA) != len(new.NUMA) || len(old.MemoryDevices) == len(new.MemoryDevices) {
		add("numa", "NUMA nodes", DescribeNUMA(old.NUMA), DescribeNUMA(new.NUMA))
	}
	diffSet(old.Filesystems, new.Filesystems, func(f Filesystem) string { return f.Tag }, Filesystem.Describe, func(k, a, b string) { add("filesystems."+k, "Shared directory "+k, a, b) })
	diffSet(old.HostDevices, new.HostDevices, func(h HostDevice) string { return h.Address }, HostDevice.Describe, func(k, a, b string) { add("host_devices."+k, "Device "+k, a, b) })
	diffSet(old.MemoryDevices, new.MemoryDevices, func(m MemoryDevice) string { return fmt.Sprint(m.Slot) }, MemoryDevice.Describe, func(k, a, b string) { add("memory_devices."+k, "Memory module "+k, a, b) })
}
