package domain

import (
	"fmt"
	"slices"
	"strings"
)

// VMChange asks for changes of a VM; nil fields stay. What can be changed while it runs is; the rest is pending until restart.
type VMChange struct {
	Title       *string      `json:"title,omitempty"`
	Description *string      `json:"description,omitempty"`
	VCPUs       *int         `json:"vcpus,omitempty"`
	MaxVCPUs    *int         `json:"max_vcpus,omitempty"`
	MemoryBytes *int64       `json:"memory_bytes,omitempty"`
	CPU         *string      `json:"cpu,omitempty"`
	Machine     *string      `json:"machine,omitempty"`
	Firmware    *string      `json:"firmware,omitempty"`
	Boot        *Boot        `json:"boot,omitempty"`
	Autostart   *bool        `json:"autostart,omitempty"`
	Topology    *Topology    `json:"topology,omitempty"`
	AddDisks    []Disk       `json:"add_disks,omitempty"`
	RemoveDisks []string     `json:"remove_disks,omitempty"` // targets
	Media       *Media       `json:"media,omitempty"`
	ChangeDisks []DiskChange `json:"change_disks,omitempty"`
	AddNICs     []NIC        `json:"add_nics,omitempty"`
	RemoveNICs  []string     `json:"remove_nics,omitempty"` // MACs
	ChangeNICs  []NICChange  `json:"change_nics,omitempty"`
	HardwareChange
}

// Media puts an image into a CD-ROM drive, or takes it out when Source is empty.
type Media struct {
	Target string `json:"target"`
	Source string `json:"source"`
}

// Empty reports whether nothing is asked for.
func (c VMChange) Empty() bool {
	return c.HardwareChange.Empty() && c.Title == nil && c.Description == nil && c.VCPUs == nil && c.MaxVCPUs == nil && c.MemoryBytes == nil && c.CPU == nil && c.Machine == nil &&
		c.Firmware == nil && c.Boot == nil && c.Autostart == nil && c.Topology == nil && c.Media == nil &&
		len(c.ChangeDisks) == 0 && len(c.AddDisks)+len(c.RemoveDisks)+len(c.AddNICs)+len(c.RemoveNICs)+len(c.ChangeNICs) == 0
}

// Apply gives the spec as it would be, validated as a whole; s is not altered.
func (c VMChange) Apply(s VMSpec) (VMSpec, error) {
	out := s
	out.Disks, out.NICs = slices.Clone(s.Disks), slices.Clone(s.NICs)
	set(&out.Title, c.Title)
	set(&out.Description, c.Description)
	set(&out.VCPUs, c.VCPUs)
	set(&out.MaxVCPUs, c.MaxVCPUs)
	set(&out.CPU, c.CPU)
	set(&out.Machine, c.Machine)
	set(&out.Firmware, c.Firmware)
	set(&out.Boot, c.Boot)
	if c.MemoryBytes != nil {
		out.MemoryBytes = *c.MemoryBytes
		if s.MaxMemoryBytes <= s.MemoryBytes || out.MaxMemoryBytes < out.MemoryBytes {
			out.MaxMemoryBytes = out.MemoryBytes
		}
	}
	if c.VCPUs != nil && c.MaxVCPUs == nil && out.MaxVCPUs < out.VCPUs {
		out.MaxVCPUs = out.VCPUs
	}
	if c.Topology != nil {
		out.Topology = c.Topology
	} else if t := out.Topology; t != nil && t.Sockets*t.Cores*t.Threads != max(out.VCPUs, out.MaxVCPUs) {
		out.Topology = nil // the layout no longer fits; the hypervisor's default does
	}
	var p Problems
	for _, t := range c.RemoveDisks {
		i := slices.IndexFunc(out.Disks, func(d Disk) bool { return d.Target == t })
		if i < 0 {
			p.Add("remove_disks", "There is no disk "+t+".", "one of "+diskNames(s.Disks))
			continue
		}
		out.Disks = slices.Delete(out.Disks, i, i+1)
	}
	for _, m := range c.RemoveNICs {
		i := slices.IndexFunc(out.NICs, func(n NIC) bool { return strings.EqualFold(n.MAC, m) })
		if i < 0 {
			p.Add("remove_nics", "There is no card with the address "+m+".", "the MAC address of one of its cards")
			continue
		}
		out.NICs = slices.Delete(out.NICs, i, i+1)
	}
	for i, n := range c.ChangeNICs {
		n.apply(&p, fmt.Sprintf("change_nics.%d", i), out.NICs)
	}
	for k, ch := range c.ChangeDisks {
		at := fmt.Sprintf("change_disks.%d", k)
		i := slices.IndexFunc(out.Disks, func(d Disk) bool { return d.Target == ch.Target })
		if i < 0 {
			p.Add(at+".target", "There is no disk "+ch.Target+".", "one of "+diskNames(s.Disks))
			continue
		}
		out.Disks[i] = ch.apply(&p, at, out.Disks[i])
	}
	if c.Media != nil {
		i := slices.IndexFunc(out.Disks, func(d Disk) bool { return d.Target == c.Media.Target && d.Device == "cdrom" })
		if i < 0 {
			p.Add("media.target", "There is no CD-ROM drive "+c.Media.Target+".", "the target of a CD-ROM drive")
		} else {
			out.Disks[i].Source = c.Media.Source
		}
		absolutePath(&p, "media.source", c.Media.Source)
	}
	set(&out.TPM, c.TPM)
	out.Hardware = c.HardwareChange.apply(s.Hardware, &p)
	c.HardwareChange.sizes(s, &out)
	for i, d := range c.AddDisks {
		d.validate(&p, fmt.Sprintf("add_disks.%d", i))
	}
	for i, n := range c.AddNICs {
		n.validate(&p, fmt.Sprintf("add_nics.%d", i))
		if slices.ContainsFunc(out.NICs, func(x NIC) bool { return n.MAC != "" && strings.EqualFold(x.MAC, n.MAC) }) {
			p.Add(fmt.Sprintf("add_nics.%d.mac", i), "It has a card with the address "+n.MAC+" already.", "another address, or none to have one made")
		}
	}
	if err := p.Err(); err != nil {
		return s, err
	}
	// What was adopted may break our rules (names, formats); only what is asked for is judged.
	probe := VMSpec{Name: "x", VCPUs: out.VCPUs, MaxVCPUs: out.MaxVCPUs, Topology: out.Topology, MemoryBytes: out.MemoryBytes, MaxMemoryBytes: out.MaxMemoryBytes}
	if c.CPU != nil {
		probe.CPU = out.CPU
	}
	if c.Machine != nil {
		probe.Machine = out.Machine
	}
	if c.Firmware != nil {
		probe.Firmware = out.Firmware
	}
	if c.Boot != nil {
		probe.Boot = out.Boot
	}
	if !c.HardwareChange.Empty() {
		probe.Hardware = out.Hardware
	}
	if err := probe.Validate(); err != nil {
		return s, err
	}
	out.Disks = append(out.Disks, c.AddDisks...)
	out.NICs = append(out.NICs, c.AddNICs...)
	return out, nil
}

func set[T any](dst *T, src *T) {
	if src != nil {
		*dst = *src
	}
}

func diskNames(ds []Disk) string {
	names := make([]string, len(ds))
	for i, d := range ds {
		names[i] = d.Target
	}
	return strings.Join(names, ", ")
}

// Change is one difference, for people: what, before, after.
type Change struct {
	Field string `json:"field"` // VMSpec's JSON name in dotted form
	Label string `json:"label"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

// Diff lists what differs between what runs (old) and what the next start will use (new).
func Diff(old, new VMSpec) []Change {
	var out []Change
	add := func(field, label, a, b string) {
		if a != b {
			out = append(out, Change{field, label, a, b})
		}
	}
	add("vcpus", "vCPUs", fmt.Sprint(old.VCPUs), fmt.Sprint(new.VCPUs))
	add("max_vcpus", "Most vCPUs", fmt.Sprint(max(old.VCPUs, old.MaxVCPUs)), fmt.Sprint(max(new.VCPUs, new.MaxVCPUs)))
	add("topology", "Topology", old.Topology.String(), new.Topology.String())
	add("cpu", "CPU model", old.CPU, new.CPU)
	add("memory_bytes", "Memory", FormatBytes(old.MemoryBytes), FormatBytes(new.MemoryBytes))
	add("max_memory_bytes", "Most memory", FormatBytes(max(old.MemoryBytes, old.MaxMemoryBytes)), FormatBytes(max(new.MemoryBytes, new.MaxMemoryBytes)))
	add("machine", "Machine type", old.Machine, new.Machine)
	add("firmware", "Firmware", old.Firmware, new.Firmware)
	add("tpm", "TPM", yesNo(old.TPM), yesNo(new.TPM))
	add("boot.kernel", "Kernel", old.Boot.Kernel, new.Boot.Kernel)
	add("boot.initrd", "Initrd", old.Boot.Initrd, new.Boot.Initrd)
	add("boot.cmdline", "Kernel command line", old.Boot.Cmdline, new.Boot.Cmdline)
	add("boot.order", "Boot order", strings.Join(old.Boot.Order, ", "), strings.Join(new.Boot.Order, ", "))
	diffHardware(old.Hardware, new.Hardware, add)
	add("title", "Title", old.Title, new.Title)
	add("description", "Description", old.Description, new.Description)
	diffSet(old.Disks, new.Disks, func(d Disk) string { return d.Target }, func(d Disk) string { return d.Describe() }, func(k, a, b string) { add("disks."+k, "Disk "+k, a, b) })
	diffSet(old.NICs, new.NICs, func(n NIC) string { return n.MAC }, func(n NIC) string { return n.Describe() }, func(k, a, b string) { add("nics."+k, "Network card "+k, a, b) })
	return out
}

func diffSet[T any](old, new []T, key, show func(T) string, add func(key, a, b string)) {
	find := func(in []T, k string) string {
		for _, v := range in {
			if key(v) == k {
				return show(v)
			}
		}
		return "none"
	}
	var seen []string
	for _, v := range slices.Concat(old, new) {
		if k := key(v); !slices.Contains(seen, k) {
			seen = append(seen, k)
			add(k, find(old, k), find(new, k))
		}
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// String prints "2 sockets × 4 cores × 1 threads", or "default" for none.
func (t *Topology) String() string {
	if t == nil {
		return "default"
	}
	return fmt.Sprintf("%d sockets × %d cores × %d threads", t.Sockets, t.Cores, t.Threads)
}

// Describe prints a disk in one line.
func (d Disk) Describe() string {
	src := d.Source
	switch {
	case src == "" && d.Image != "":
		src = "the image " + d.Image
		if d.Linked {
			src += ", linked"
		}
	case src == "" && d.SizeBytes > 0:
		src = "new"
	case src == "":
		src = "empty"
	}
	if d.SizeBytes > 0 {
		src += ", " + FormatBytes(d.SizeBytes)
	}
	dev := d.Device
	if dev == "" {
		dev = "disk"
	}
	if d.Bus != "" { // a template leaves it open
		dev += " on " + d.Bus
	}
	return dev + ": " + src + d.describeOptions()
}

// Describe prints a network card in one line.
func (n NIC) Describe() string {
	on := "network " + n.Network
	if n.Network == "" {
		on = "bridge " + n.Bridge
	}
	on += n.describeMore()
	if n.Model == "" {
		return on
	}
	return n.Model + " on " + on
}
