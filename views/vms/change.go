package vms

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
)

// Sections of the hardware tab; each is a form of its own.
const (
	SectionCPU      = "cpu"
	SectionMemory   = "memory"
	SectionBoot     = "boot"
	SectionFirmware = "firmware"
	SectionOptions  = "options"
	SectionDiskAdd  = "disk-add"
)

// ChangeForm is one section of the hardware tab as typed; the zero value shows the VM as it is.
type ChangeForm struct {
	Section string
	Version int64 // the VM's when the form was shown
	Values  url.Values
	Err     *domain.Error
}

// DecodeChange reads one section back.
func DecodeChange(v url.Values) ChangeForm {
	version, _ := strconv.ParseInt(v.Get("version"), 10, 64) // a missing version is 0, which matches no VM
	return ChangeForm{Section: v.Get("section"), Version: version, Values: v}
}

// value is what the form shows: what was typed in this section, else what the VM has.
func (f ChangeForm) value(section, name, has string) string {
	if f.Section == section && f.Values.Has(name) {
		return f.Values.Get(name)
	}
	return has
}

// Change gives what was asked for, leaving out what is as it was; an empty change means that nothing differs.
func (f ChangeForm) Change(vm domain.VM) (domain.VMChange, error) {
	var p domain.Problems
	var c domain.VMChange
	get := func(k string) string { return strings.TrimSpace(f.Values.Get(k)) }
	cfg := vm.Config
	switch f.Section {
	case SectionCPU:
		f.cpu(&p, &c, cfg)
	case SectionMemory:
		if n := size(&p, "memory_bytes", get("memory_bytes")); n != cfg.MemoryBytes && !sameShown(get("memory_bytes"), cfg.MemoryBytes) {
			c.MemoryBytes = &n
		}
	case SectionBoot:
		b := domain.Boot{Kernel: get("boot.kernel"), Initrd: get("boot.initrd"), Cmdline: get("boot.cmdline")}
		if o := get("boot.order"); o != "" {
			b.Order = strings.Split(o, ",")
		}
		if b.Kernel != cfg.Boot.Kernel || b.Initrd != cfg.Boot.Initrd || b.Cmdline != cfg.Boot.Cmdline || !slices.Equal(b.Order, cfg.Boot.Order) {
			c.Boot = &b
		}
	case SectionFirmware:
		c.Machine, c.Firmware = differs(get("machine"), cfg.Machine), differs(get("firmware"), cfg.Firmware)
	case SectionOptions:
		c.Title, c.Description = differs(get("title"), cfg.Title), differs(get("description"), cfg.Description)
		if on := get("autostart") == "1"; on != vm.Autostart {
			c.Autostart = &on
		}
	case SectionDiskAdd:
		d := DiskForm{Kind: get("add_disks.0.kind"), Pool: get("add_disks.0.pool"), Size: get("add_disks.0.size_bytes"), Format: get("add_disks.0.format"),
			Bus: get("add_disks.0.bus"), Source: get("add_disks.0.source"), Cache: get("add_disks.0.cache")}
		if d.Kind == "cdrom" {
			c.AddDisks = []domain.Disk{{Device: "cdrom", Bus: d.Bus, Source: d.Source, ReadOnly: true}}
		} else {
			disk := d.disk(&p, "add_disks.0.")
			disk.Encrypted = disk.New() && get("add_disks.0.encrypted") == "1"
			c.AddDisks = []domain.Disk{disk}
		}
	default:
		if f.devices(&p, &c, cfg) {
			break
		}
		p.Add("section", "That part of the hardware cannot be changed here.", "one of the forms on the page")
	}
	if err := p.Err(); err != nil {
		return domain.VMChange{}, err
	}
	if _, err := c.Apply(cfg); err != nil {
		return domain.VMChange{}, err
	}
	return c, nil
}

func (f ChangeForm) cpu(p *domain.Problems, c *domain.VMChange, cfg domain.VMSpec) {
	get := func(k string) string { return strings.TrimSpace(f.Values.Get(k)) }
	if n := number(p, "vcpus", get("vcpus")); n != cfg.VCPUs {
		c.VCPUs = &n
	}
	if typed := get("max_vcpus"); typed != "" {
		if n := number(p, "max_vcpus", typed); n != max(cfg.MaxVCPUs, cfg.VCPUs) {
			c.MaxVCPUs = &n
		}
	}
	if s, k, t := get("topology.sockets"), get("topology.cores"), get("topology.threads"); s+k+t != "" {
		n := domain.Topology{Sockets: number(p, "topology", s), Cores: number(p, "topology", k), Threads: number(p, "topology", t)}
		if cfg.Topology == nil || *cfg.Topology != n {
			c.Topology = &n
		}
	}
	model, features := splitCPU(get("cpu"))
	c.CPU = differs(model, cfg.CPU)
	if features == "" {
		features = get("cpu_features")
	}
	if now := featuresOf(p, features); f.Values.Has("cpu_features") && !slices.Equal(now, cfg.CPUFeatures) && (len(now) > 0 || len(cfg.CPUFeatures) > 0) {
		c.CPUFeatures = &now
	}
}

func differs(typed, has string) *string {
	if typed == has {
		return nil
	}
	return &typed
}

// sameShown holds when the text is just what the form showed for n: rounding for display must not become a change.
func sameShown(typed string, n int64) bool { return typed == domain.FormatBytes(n) }
