package vms

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
)

// Sections of the hardware tab that are about devices and about how processors and memory lie on the host.
const (
	SectionPlacement    = "cpu-placement"
	SectionNUMA         = "numa"
	SectionModules      = "memory-room"
	SectionModuleAdd    = "module-add"
	SectionModuleRemove = "module-remove"
	SectionWatchdog     = "watchdog"
	SectionRNG          = "rng"
	SectionTPM          = "tpm"
	SectionFolderAdd    = "folder-add"
	SectionFolderRemove = "folder-remove"
	SectionDeviceAdd    = "device-add"
	SectionDeviceRemove = "device-remove"
)

// devices reads the sections of this file; ok is false when it is none of them.
func (f ChangeForm) devices(p *domain.Problems, c *domain.VMChange, cfg domain.VMSpec) (ok bool) {
	get := func(k string) string { return strings.TrimSpace(f.Values.Get(k)) }
	switch f.Section {
	case SectionPlacement:
		if now := pinsOf(p, f.Values.Get("cpu_pins")); !slices.Equal(now, cfg.CPUPins) && (len(now) > 0 || len(cfg.CPUPins) > 0) {
			c.CPUPins = &now
		}
		c.EmulatorPins = differs(get("emulator_pins"), cfg.EmulatorPins)
		f.tune(c, cfg)
		f.pages(p, c, cfg)
	case SectionNUMA:
		if now := nodesOf(p, f.Values.Get("numa")); !slices.Equal(now, cfg.NUMA) && nodesText(cfg.NUMA) != strings.TrimSpace(f.Values.Get("numa")) {
			c.NUMA = &now
		}
	case SectionModules:
		f.room(p, c, cfg)
	case SectionModuleAdd:
		c.AddMemoryDevices = []domain.MemoryDevice{{SizeBytes: size(p, "memory_devices.size_bytes", get("memory_devices.size_bytes")), Node: numberOr(p, "memory_devices.node", get("memory_devices.node"), 0)}}
	case SectionModuleRemove:
		c.RemoveMemoryDevices = []int{numberOr(p, "slot", get("slot"), -1)}
	case SectionWatchdog:
		w := domain.Watchdog{Model: get("watchdog.model"), Action: get("watchdog.action")}
		if w.Model == "none" {
			w.Action = ""
		}
		if is := cfg.Watchdog; is == nil && w.Model != "none" || is != nil && (w.Model != is.Model || defaulted(w.Action, "reset") != defaulted(is.Action, "reset")) {
			c.Watchdog = &w
		}
	case SectionRNG:
		g := domain.RNG{Source: get("rng.source"), Bytes: numberOr(p, "rng.bytes", get("rng.bytes"), 0), PeriodMS: numberOr(p, "rng.period_ms", get("rng.period_ms"), 0)}
		if g.Source == "none" {
			g = domain.RNG{Source: "none"}
		}
		if is := cfg.RNG; is == nil && g.Source != "none" || is != nil && g != *is {
			c.RNG = &g
		}
	case SectionTPM:
		if on := get("tpm") == "1"; on != cfg.TPM {
			c.TPM = &on
		}
	case SectionFolderAdd:
		c.AddFilesystems = []domain.Filesystem{{Source: get("filesystems.source"), Tag: get("filesystems.tag")}}
	case SectionFolderRemove:
		c.RemoveFilesystems = []string{get("tag")}
	case SectionDeviceAdd:
		c.AddHostDevices = []domain.HostDevice{{Device: get("host_devices.device")}}
		if class := get("host_devices.class"); c.AddHostDevices[0].Device == "" {
			c.AddHostDevices[0].Class = class
		}
	case SectionDeviceRemove:
		c.RemoveHostDevices = []string{get("address")}
	default:
		return false
	}
	return true
}

func (f ChangeForm) tune(c *domain.VMChange, cfg domain.VMSpec) {
	t := domain.NUMATune{Mode: strings.TrimSpace(f.Values.Get("numa_tune.mode")), Nodes: strings.TrimSpace(f.Values.Get("numa_tune.nodes"))}
	if t.Mode == "none" || t.Mode == "" {
		t = domain.NUMATune{Mode: "none"}
	}
	if is := cfg.NUMATune; is == nil && t.Mode != "none" || is != nil && t != *is {
		c.NUMATune = &t
	}
}

func (f ChangeForm) pages(p *domain.Problems, c *domain.VMChange, cfg domain.VMSpec) {
	var want domain.Hugepages
	switch typed := strings.TrimSpace(f.Values.Get("hugepages.size_bytes")); typed {
	case "", pagesOff:
		want.Off = true
	case pagesDefault:
	default:
		want.SizeBytes = size(p, "hugepages.size_bytes", typed)
	}
	if is := cfg.Hugepages; is == nil && !want.Off || is != nil && want != *is {
		c.Hugepages = &want
	}
}

// What the menu of huge pages says for none and for the host's own size.
const (
	pagesOff     = "off"
	pagesDefault = "default"
)

func (f ChangeForm) room(p *domain.Problems, c *domain.VMChange, cfg domain.VMSpec) {
	get := func(k string) string { return strings.TrimSpace(f.Values.Get(k)) }
	is := cfg.HotplugMemory
	if get("hotplug_memory.max_bytes") == "" {
		if is != nil {
			c.HotplugMemory = &domain.HotplugMemory{}
		}
		return
	}
	r := domain.HotplugMemory{MaxBytes: size(p, "hotplug_memory.max_bytes", get("hotplug_memory.max_bytes")), Slots: numberOr(p, "hotplug_memory.slots", get("hotplug_memory.slots"), 0)}
	if is != nil && sameShown(get("hotplug_memory.max_bytes"), is.MaxBytes) {
		r.MaxBytes = is.MaxBytes
	}
	if is == nil || r.MaxBytes != is.MaxBytes || r.Slots != is.Slots && r.Slots != 0 {
		c.HotplugMemory = &r
	}
}

func defaulted(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func numberOr(p *domain.Problems, field, typed string, otherwise int) int {
	if typed == "" {
		return otherwise
	}
	return number(p, field, typed)
}

// pairs gives what stands on each line that is not empty, cut in two at the colon.
func pairs(p *domain.Problems, field, typed, want string, each func(left, right string)) {
	for line := range strings.Lines(typed) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		left, right, ok := strings.Cut(line, ":")
		if !ok {
			p.Add(field, "“"+line+"” cannot be read.", want)
			continue
		}
		each(strings.TrimSpace(left), strings.TrimSpace(right))
	}
}

// pinsOf reads “0: 2-3”, one line for each vCPU; “0-3: 4-7” binds several alike.
func pinsOf(p *domain.Problems, typed string) []domain.CPUPin {
	const want = "a vCPU, a colon, and the host's CPUs: 0: 2-3"
	pins := []domain.CPUPin{}
	pairs(p, "cpu_pins", typed, want, func(left, right string) {
		vcpus, ok := domain.CPUSet(left)
		if _, fine := domain.CPUSet(right); !ok || !fine {
			p.Add("cpu_pins", "“"+left+": "+right+"” cannot be read.", want)
			return
		}
		for _, v := range vcpus {
			pins = append(pins, domain.CPUPin{VCPU: v, CPUs: right})
		}
	})
	return pins
}

func pinsText(pins []domain.CPUPin) string {
	var out []string
	for _, x := range pins {
		out = append(out, fmt.Sprintf("%d: %s", x.VCPU, x.CPUs))
	}
	return strings.Join(out, "\n")
}

// nodesOf reads “0-1: 2 GiB”, one line for each node.
func nodesOf(p *domain.Problems, typed string) []domain.NUMANode {
	nodes := []domain.NUMANode{}
	pairs(p, "numa", typed, "vCPUs, a colon, and memory: 0-1: 2 GiB", func(left, right string) {
		nodes = append(nodes, domain.NUMANode{CPUs: left, MemoryBytes: size(p, "numa", right)})
	})
	return nodes
}

func nodesText(nodes []domain.NUMANode) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.CPUs+": "+domain.FormatBytes(n.MemoryBytes))
	}
	return strings.Join(out, "\n")
}

// featuresOf reads “+aes -svm”: a plus requires a feature, a minus takes it away.
func featuresOf(p *domain.Problems, typed string) []domain.CPUFeature {
	features := []domain.CPUFeature{}
	for _, w := range strings.FieldsFunc(typed, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\r' || r == '\t' }) {
		x := domain.CPUFeature{Name: strings.TrimLeft(w, "+-"), Policy: "require"}
		if strings.HasPrefix(w, "-") {
			x.Policy = "disable"
		}
		if policy, name, ok := strings.Cut(w, ":"); ok { // optional:x, forbid:x, force:x
			x.Name, x.Policy = name, policy
		}
		if x.Name == "" {
			p.Add("cpu_features", "“"+w+"” is not a feature.", "a plus or a minus and a name: +aes -svm")
			continue
		}
		features = append(features, x)
	}
	return features
}

func featuresText(fs []domain.CPUFeature) string {
	var out []string
	for _, x := range fs {
		switch x.Policy {
		case "require", "":
			out = append(out, "+"+x.Name)
		case "disable":
			out = append(out, "-"+x.Name)
		default:
			out = append(out, x.Policy+":"+x.Name)
		}
	}
	return strings.Join(out, " ")
}

func zeroEmpty(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
