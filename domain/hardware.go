package domain

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Hardware is what a VM has besides processors, memory, disks and cards. It is part of VMSpec.
type Hardware struct {
	Watchdog      *Watchdog      `json:"watchdog,omitempty"`
	RNG           *RNG           `json:"rng,omitempty"` // a new VM gets one unless it says none
	Filesystems   []Filesystem   `json:"filesystems,omitempty"`
	HostDevices   []HostDevice   `json:"host_devices,omitempty"`
	CPUPins       []CPUPin       `json:"cpu_pins,omitempty"`
	EmulatorPins  string         `json:"emulator_pins,omitempty"` // host CPUs of QEMU's own threads: "0-1"
	NUMA          []NUMANode     `json:"numa,omitempty"`
	NUMATune      *NUMATune      `json:"numa_tune,omitempty"`
	Hugepages     *Hugepages     `json:"hugepages,omitempty"`
	HotplugMemory *HotplugMemory `json:"hotplug_memory,omitempty"`
	MemoryDevices []MemoryDevice `json:"memory_devices,omitempty"`
	CPUFeatures   []CPUFeature   `json:"cpu_features,omitempty"`
	SharedMemory  bool           `json:"shared_memory,omitempty"` // what virtiofs needs; made with the first file system
}

// Watchdog resets a guest that has stopped feeding it.
type Watchdog struct {
	Model  string `json:"model"`            // i6300esb, ib700, itco, diag288; none takes it away
	Action string `json:"action,omitempty"` // reset, shutdown, poweroff, pause, none, dump, inject-nmi; empty: reset
}

// RNG gives the guest random numbers of the host.
type RNG struct {
	Source   string `json:"source"`              // /dev/urandom, /dev/random or /dev/hwrng; none takes it away
	Bytes    int    `json:"bytes,omitempty"`     // at most so many
	PeriodMS int    `json:"period_ms,omitempty"` // in so many milliseconds
}

// Filesystem is a directory of the host that the guest mounts by its tag (virtiofs).
type Filesystem struct {
	Source string `json:"source"`
	Tag    string `json:"tag"`
}

// HostDevice is a device of the host that the guest has for itself. What is asked for is one by its address or node device name, or any free one of a
// class; what is read back has an address.
type HostDevice struct {
	Kind    string `json:"kind,omitempty"`    // pci, usb or mdev
	Address string `json:"address,omitempty"` // pci 0000:03:00.0, usb bus:device ("3:7") or vendor:product ("046d:c52b"), mdev its UUID
	Device  string `json:"device,omitempty"`  // the host's own name of it: pci_0000_03_00_0
	Class   string `json:"class,omitempty"`   // any one like this: "10de:2230", gpu, network, storage, usb, "nvidia-35" …
}

// CPUPin binds one virtual CPU to CPUs of the host.
type CPUPin struct {
	VCPU int    `json:"vcpu"`
	CPUs string `json:"cpus"` // "0-3,8,^2"
}

// NUMANode is one memory node that the guest sees.
type NUMANode struct {
	CPUs        string `json:"cpus"` // virtual ones: "0-3"
	MemoryBytes int64  `json:"memory_bytes"`
}

// NUMATune says from which of the host's nodes the memory comes.
type NUMATune struct {
	Mode  string `json:"mode"`  // strict, preferred, interleave; none takes it away
	Nodes string `json:"nodes"` // "0-1"
}

// Hugepages backs the memory by large pages of the host.
type Hugepages struct {
	SizeBytes int64 `json:"size_bytes,omitempty"` // 0: the host's default size
	Off       bool  `json:"off,omitempty"`        // takes them away
}

// HotplugMemory leaves room for memory modules.
type HotplugMemory struct {
	MaxBytes int64 `json:"max_bytes"` // all memory together; 0 takes the room away
	Slots    int   `json:"slots"`
}

// MemoryDevice is a memory module that can be plugged in while the guest runs.
type MemoryDevice struct {
	SizeBytes int64 `json:"size_bytes"`
	Node      int   `json:"node" required:"false" doc:"The memory node that it is in; 0 when not given"`
	Slot      int   `json:"slot" required:"false" doc:"The first free one from here on is taken"`
}

// CPUFeature requires or forbids a feature of the processor.
type CPUFeature struct {
	Name   string `json:"name"`
	Policy string `json:"policy"` // require, disable, force, optional, forbid
}

// HardwareChange is the part of a VMChange that is about Hardware; nil stays.
type HardwareChange struct {
	TPM                 *bool          `json:"tpm,omitempty"`
	Watchdog            *Watchdog      `json:"watchdog,omitempty"`
	RNG                 *RNG           `json:"rng,omitempty"`
	AddFilesystems      []Filesystem   `json:"add_filesystems,omitempty"`
	RemoveFilesystems   []string       `json:"remove_filesystems,omitempty"` // tags
	AddHostDevices      []HostDevice   `json:"add_host_devices,omitempty"`
	RemoveHostDevices   []string       `json:"remove_host_devices,omitempty"` // addresses
	CPUPins             *[]CPUPin      `json:"cpu_pins,omitempty"`            // replaces all
	EmulatorPins        *string        `json:"emulator_pins,omitempty"`
	NUMA                *[]NUMANode    `json:"numa,omitempty"` // replaces all
	NUMATune            *NUMATune      `json:"numa_tune,omitempty"`
	Hugepages           *Hugepages     `json:"hugepages,omitempty"`
	HotplugMemory       *HotplugMemory `json:"hotplug_memory,omitempty"`
	AddMemoryDevices    []MemoryDevice `json:"add_memory_devices,omitempty"`
	RemoveMemoryDevices []int          `json:"remove_memory_devices,omitempty"` // slots
	CPUFeatures         *[]CPUFeature  `json:"cpu_features,omitempty"`          // replaces all
}

// Empty reports whether nothing is asked for.
func (c HardwareChange) Empty() bool {
	return c.TPM == nil && c.Watchdog == nil && c.RNG == nil && c.CPUPins == nil && c.EmulatorPins == nil && c.NUMA == nil && c.NUMATune == nil && c.Hugepages == nil &&
		c.HotplugMemory == nil && c.CPUFeatures == nil && len(c.AddFilesystems)+len(c.RemoveFilesystems)+len(c.AddHostDevices)+len(c.RemoveHostDevices)+
		len(c.AddMemoryDevices)+len(c.RemoveMemoryDevices) == 0
}

const (
	maxDevices   = 32
	maxSlots     = 256
	minModule    = 128 * MiB // what the kernel of a guest takes as a block
	defaultSlots = 16
)

var (
	cpuSetRE  = regexp.MustCompile(`^\^?\d{1,4}(-\d{1,4})?(,\^?\d{1,4}(-\d{1,4})?)*$`)
	pciRE     = regexp.MustCompile(`^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$`)
	usbRE     = regexp.MustCompile(`^(\d{1,3}:\d{1,3}|[0-9a-f]{4}:[0-9a-f]{4})$`)
	nodeDevRE = lazily(`^[A-Za-z0-9_.:-]{1,200}$`)
	fsTagRE   = lazily(`^[A-Za-z0-9_.:-]{1,36}$`)
)

// NormalPCI writes a PCI address in full: "3:0.0" means "0000:03:00.0".
func NormalPCI(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	var dom, bus, slot, fn uint32
	if n, err := fmt.Sscanf(s, "%x:%x:%x.%x", &dom, &bus, &slot, &fn); err == nil && n == 4 {
		return fmt.Sprintf("%04x:%02x:%02x.%x", dom, bus, slot, fn)
	}
	if n, err := fmt.Sscanf(s, "%x:%x.%x", &bus, &slot, &fn); err == nil && n == 3 {
		return fmt.Sprintf("0000:%02x:%02x.%x", bus, slot, fn)
	}
	return s
}

// CPUSet reads "0-3,8,^2"; ok is false when it is none.
func CPUSet(s string) (cpus []int, ok bool) {
	if !cpuSetRE.MatchString(s) {
		return nil, false
	}
	in := map[int]bool{}
	for part := range strings.SplitSeq(s, ",") {
		part, not := strings.CutPrefix(part, "^")
		from, to, ranged := strings.Cut(part, "-")
		a, _ := strconv.Atoi(from)
		b := a
		if ranged {
			b, _ = strconv.Atoi(to)
		}
		if b < a {
			return nil, false
		}
		for i := a; i <= b; i++ {
			in[i] = !not
		}
	}
	for i, on := range in {
		if on {
			cpus = append(cpus, i)
		}
	}
	slices.Sort(cpus)
	return cpus, len(cpus) > 0
}

func (w *Watchdog) validate(p *Problems, at string) {
	if w == nil {
		return
	}
	oneOf(p, at+".model", w.Model, "i6300esb", "ib700", "itco", "diag288", "none")
	oneOf(p, at+".action", w.Action, "", "reset", "shutdown", "poweroff", "pause", "none", "dump", "inject-nmi")
}

func (g *RNG) validate(p *Problems, at string) {
	if g == nil {
		return
	}
	oneOf(p, at+".source", g.Source, "/dev/urandom", "/dev/random", "/dev/hwrng", "none")
	if g.Bytes < 0 || g.PeriodMS < 0 || g.PeriodMS > 0 && g.Bytes == 0 {
		p.Add(at+".bytes", "A rate is so many bytes in so many milliseconds.", "both numbers, or none for no limit")
	}
}

func (f Filesystem) validate(p *Problems, at string) {
	if f.Source == "" {
		p.Add(at+".source", "A directory of the host is needed.", "for example /srv/share")
	}
	absolutePath(p, at+".source", f.Source)
	for _, bad := range []string{"/", "/etc", "/proc", "/sys", "/dev", "/boot", "/root", "/run"} {
		if path.Clean(f.Source) == bad {
			p.Add(at+".source", "The host's "+bad+" is not shared with a guest: it could change the host itself.", "a directory made for sharing")
		}
	}
	if !fsTagRE.MatchString(f.Tag) {
		p.Add(at+".tag", "“"+f.Tag+"” cannot be a tag.", "1 to 36 letters, digits, dots, hyphens or underscores; the guest mounts it by this name")
	}
}

func (h HostDevice) validate(p *Problems, at string) {
	oneOf(p, at+".kind", h.Kind, "", "pci", "usb", "mdev")
	n := 0
	for _, s := range []string{h.Address, h.Device, h.Class} {
		if s != "" {
			n++
		}
	}
	switch {
	case n == 0:
		p.Add(at+".device", "Which device is not said.", "its name on the host, its address, or a class such as gpu or 10de:2230")
	case h.Address != "" && h.Kind == "":
		p.Add(at+".kind", "An address needs the kind of device.", "pci, usb or mdev")
	case h.Address != "" && (h.Kind == "pci" && !pciRE.MatchString(NormalPCI(h.Address)) || h.Kind == "usb" && !usbRE.MatchString(h.Address) || h.Kind == "mdev" && !ValidUUID(h.Address)):
		p.Add(at+".address", "“"+h.Address+"” is not the address of a "+h.Kind+" device.", "pci 0000:03:00.0, usb 3:7 or 046d:c52b, mdev a UUID")
	case h.Device != "" && !nodeDevRE.MatchString(h.Device) || h.Class != "" && !nodeDevRE.MatchString(h.Class):
		p.Add(at+".device", "That is not the name of a device.", "as the host's list of devices has it")
	}
}

func cpuSet(p *Problems, field, s string) {
	if _, ok := CPUSet(s); !ok {
		p.Add(field, "“"+s+"” is not a list of CPUs.", "numbers and ranges such as 0-3,8,^2")
	}
}

func (h Hardware) validate(p *Problems, vcpus int, memory int64) {
	h.Watchdog.validate(p, "watchdog")
	h.RNG.validate(p, "rng")
	tags := map[string]bool{}
	for i, f := range h.Filesystems {
		f.validate(p, fmt.Sprintf("filesystems.%d", i))
		if tags[f.Tag] {
			p.Add(fmt.Sprintf("filesystems.%d.tag", i), "Two file systems have the tag "+f.Tag+".", "another one")
		}
		tags[f.Tag] = true
	}
	for i, d := range h.HostDevices {
		d.validate(p, fmt.Sprintf("host_devices.%d", i))
	}
	if len(h.HostDevices) > maxDevices || len(h.Filesystems) > maxDevices {
		p.Add("host_devices", "That is too many devices.", fmt.Sprintf("at most %d of a kind", maxDevices))
	}
	h.validateCPU(p, vcpus)
	h.validateMemory(p, vcpus, memory)
}

func (h Hardware) validateCPU(p *Problems, vcpus int) {
	pinned := map[int]bool{}
	for i, pin := range h.CPUPins {
		at := fmt.Sprintf("cpu_pins.%d", i)
		if pin.VCPU < 0 || pin.VCPU >= vcpus || pinned[pin.VCPU] {
			p.Add(at+".vcpu", fmt.Sprintf("There is no vCPU %d to pin, or it is pinned twice.", pin.VCPU), fmt.Sprintf("each from 0 to %d at most once", vcpus-1))
		}
		pinned[pin.VCPU] = true
		cpuSet(p, at+".cpus", pin.CPUs)
	}
	if h.EmulatorPins != "" {
		cpuSet(p, "emulator_pins", h.EmulatorPins)
	}
	for i, f := range h.CPUFeatures {
		oneOf(p, fmt.Sprintf("cpu_features.%d.policy", i), f.Policy, "require", "disable", "force", "optional", "forbid")
		if !wordRE.MatchString(f.Name) {
			p.Add(fmt.Sprintf("cpu_features.%d.name", i), "“"+f.Name+"” is not a feature.", "as libvirt names it: aes, avx2, svm …")
		}
	}
}

func (h Hardware) validateMemory(p *Problems, vcpus int, memory int64) {
	if t := h.NUMATune; t != nil {
		oneOf(p, "numa_tune.mode", t.Mode, "strict", "preferred", "interleave", "none")
		if t.Mode != "none" {
			cpuSet(p, "numa_tune.nodes", t.Nodes)
		}
	}
	if g := h.Hugepages; g != nil && g.SizeBytes != 0 && (g.SizeBytes < 64*KiB || g.SizeBytes&(g.SizeBytes-1) != 0) {
		p.Add("hugepages.size_bytes", FormatBytes(g.SizeBytes)+" is not a size of pages.", "2 MiB or 1 GiB, as the host has them")
	}
	var modules int64
	slots := map[int]bool{}
	for i, m := range h.MemoryDevices {
		at := fmt.Sprintf("memory_devices.%d", i)
		modules += m.SizeBytes
		if m.SizeBytes < minModule || m.SizeBytes%minModule != 0 {
			p.Add(at+".size_bytes", FormatBytes(m.SizeBytes)+" is not a size of memory modules.", "a multiple of 128 MiB")
		}
		if m.Node < 0 || m.Node >= max(1, len(h.NUMA)) {
			p.Add(at+".node", fmt.Sprintf("The VM has no memory node %d.", m.Node), fmt.Sprintf("from 0 to %d", max(1, len(h.NUMA))-1))
		}
		if slots[m.Slot] && m.Slot > 0 {
			p.Add(at+".slot", fmt.Sprintf("Slot %d is taken.", m.Slot), "another one")
		}
		slots[m.Slot] = true
	}
	room := h.HotplugMemory
	switch {
	case room == nil && len(h.MemoryDevices) > 0:
		p.Add("hotplug_memory", "There is no room for memory modules.", "hotplug_memory with the most memory and the number of slots")
	case room == nil:
	case room.Slots < 1 || room.Slots > maxSlots || room.Slots < len(h.MemoryDevices):
		p.Add("hotplug_memory.slots", fmt.Sprintf("%d slots are not possible.", room.Slots), fmt.Sprintf("from %d to %d", max(1, len(h.MemoryDevices)), maxSlots))
	case room.MaxBytes <= memory || room.MaxBytes > maxMemory || room.MaxBytes < h.bootMemory(memory)+modules:
		p.Add("hotplug_memory.max_bytes", FormatBytes(room.MaxBytes)+" leaves no room for modules.", "more than "+FormatBytes(max(memory, h.bootMemory(memory)+modules)))
	}
	h.validateNUMA(p, vcpus, memory)
}

// bootMemory is the memory without modules.
func (h Hardware) bootMemory(memory int64) int64 {
	var sum int64
	for _, n := range h.NUMA {
		sum += n.MemoryBytes
	}
	if sum > 0 {
		return sum
	}
	return memory
}

func (h Hardware) validateNUMA(p *Problems, vcpus int, memory int64) {
	if len(h.NUMA) == 0 {
		return
	}
	var sum int64
	seen := map[int]bool{}
	for i, n := range h.NUMA {
		at := fmt.Sprintf("numa.%d", i)
		sum += n.MemoryBytes
		cpus, ok := CPUSet(n.CPUs)
		if !ok {
			cpuSet(p, at+".cpus", n.CPUs)
		}
		for _, c := range cpus {
			if c >= vcpus || seen[c] {
				p.Add(at+".cpus", fmt.Sprintf("vCPU %d is not there, or in two nodes.", c), fmt.Sprintf("each from 0 to %d in one node", vcpus-1))
			}
			seen[c] = true
		}
		if n.MemoryBytes < MiB {
			p.Add(at+".memory_bytes", "A node needs memory.", "at least 1 MiB")
		}
	}
	for _, m := range h.MemoryDevices {
		sum += m.SizeBytes
	}
	if sum != memory {
		p.Add("numa", fmt.Sprintf("The nodes have %s together, the VM has %s.", FormatBytes(sum), FormatBytes(memory)), "nodes whose memory adds up")
	}
	if len(seen) != vcpus {
		p.Add("numa", fmt.Sprintf("%d of %d vCPUs are in a node.", len(seen), vcpus), "each vCPU in one node")
	}
}

// apply gives the hardware as it would be.
func (c HardwareChange) apply(h Hardware, p *Problems) Hardware {
	if c.Watchdog != nil {
		h.Watchdog = c.Watchdog
		if c.Watchdog.Model == "none" {
			h.Watchdog = nil
		}
	}
	if c.RNG != nil {
		h.RNG = c.RNG
		if c.RNG.Source == "none" {
			h.RNG = nil
		}
	}
	h.Filesystems, h.HostDevices, h.MemoryDevices = slices.Clone(h.Filesystems), slices.Clone(h.HostDevices), slices.Clone(h.MemoryDevices)
	for _, tag := range c.RemoveFilesystems {
		h.Filesystems = without(p, "remove_filesystems", h.Filesystems, func(f Filesystem) bool { return f.Tag == tag }, "file system "+tag)
	}
	for _, a := range c.RemoveHostDevices {
		h.HostDevices = without(p, "remove_host_devices", h.HostDevices, func(d HostDevice) bool { return d.Address == a }, "device "+a)
	}
	for _, slot := range c.RemoveMemoryDevices {
		h.MemoryDevices = without(p, "remove_memory_devices", h.MemoryDevices, func(m MemoryDevice) bool { return m.Slot == slot }, fmt.Sprintf("memory module in slot %d", slot))
	}
	h.Filesystems = append(h.Filesystems, c.AddFilesystems...)
	if len(h.Filesystems) > 0 {
		h.SharedMemory = true
	}
	h.HostDevices = append(h.HostDevices, c.AddHostDevices...)
	h.MemoryDevices = append(h.MemoryDevices, SettleModules(h.MemoryDevices, c.AddMemoryDevices)...)
	set(&h.CPUPins, c.CPUPins)
	set(&h.EmulatorPins, c.EmulatorPins)
	set(&h.NUMA, c.NUMA)
	set(&h.CPUFeatures, c.CPUFeatures)
	if c.NUMATune != nil {
		h.NUMATune = c.NUMATune
		if c.NUMATune.Mode == "none" {
			h.NUMATune = nil
		}
	}
	if c.Hugepages != nil {
		h.Hugepages = c.Hugepages
		if c.Hugepages.Off {
			h.Hugepages = nil
		}
	}
	if c.HotplugMemory != nil {
		room := *c.HotplugMemory
		room.Slots = cmp.Or(room.Slots, defaultSlots)
		h.HotplugMemory = &room
		if room.MaxBytes == 0 {
			h.HotplugMemory = nil
		}
	}
	return h
}

func without[T any](p *Problems, field string, in []T, is func(T) bool, what string) []T {
	i := slices.IndexFunc(in, is)
	if i < 0 {
		p.Add(field, "There is no "+what+".", "one that the VM has")
		return in
	}
	return slices.Delete(in, i, i+1)
}

// SettleModules gives new memory modules the first free slots, so that the definition and the running guest agree on them.
func SettleModules(have, add []MemoryDevice) []MemoryDevice {
	taken := map[int]bool{}
	for _, m := range have {
		taken[m.Slot] = true
	}
	out := slices.Clone(add)
	for i := range out {
		slot := out[i].Slot
		for taken[slot] {
			slot++
		}
		out[i].Slot, taken[slot] = slot, true
	}
	return out
}

// sizes makes the memory agree with nodes and modules: nodes say how much there is, modules come on top, and modules need a node.
func (c HardwareChange) sizes(was VMSpec, out *VMSpec) {
	total := func(h Hardware) (sum int64) {
		for _, n := range h.NUMA {
			sum += n.MemoryBytes
		}
		for _, m := range h.MemoryDevices {
			sum += m.SizeBytes
		}
		return sum
	}
	if out.HotplugMemory != nil && len(out.NUMA) == 0 {
		boot := max(out.MemoryBytes, out.MaxMemoryBytes) - total(Hardware{MemoryDevices: was.MemoryDevices})
		out.NUMA = []NUMANode{{CPUs: wholeSet(max(out.VCPUs, out.MaxVCPUs)), MemoryBytes: boot}}
	}
	if len(out.NUMA) == 0 || c.NUMA == nil && len(c.AddMemoryDevices)+len(c.RemoveMemoryDevices) == 0 {
		return
	}
	most := total(out.Hardware)
	grown := most - max(was.MemoryBytes, was.MaxMemoryBytes)
	out.MemoryBytes = min(max(was.MemoryBytes+grown, MiB), most)
	if out.MaxMemoryBytes = most; out.MemoryBytes == most {
		out.MaxMemoryBytes = 0
	}
}

func wholeSet(n int) string {
	if n <= 1 {
		return "0"
	}
	return fmt.Sprintf("0-%d", n-1)
}
