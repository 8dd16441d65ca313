package vms

import (
	"fmt"
	"strings"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/ui"
)

var (
	busOptions    = []ui.Option{{Value: "", Label: "Best for the machine"}, {Value: "virtio", Label: "virtio"}, {Value: "scsi", Label: "SCSI"}, {Value: "sata", Label: "SATA"}, {Value: "ide", Label: "IDE"}, {Value: "usb", Label: "USB"}}
	formatOptions = []ui.Option{{Value: "qcow2", Label: "qcow2 (grows as needed)"}, {Value: "raw", Label: "raw"}}
	modelOptions  = []ui.Option{{Value: "", Label: "virtio"}, {Value: "e1000e", Label: "Intel e1000e"}, {Value: "e1000", Label: "Intel e1000"}, {Value: "rtl8139", Label: "Realtek 8139"}}
)

// BusOptions and ModelOptions are the buses of a disk and the models of a card.
func BusOptions() []ui.Option { return busOptions }

// ModelOptions are the models of a network card.
func ModelOptions() []ui.Option { return modelOptions }

func poolOptions(c Choices) []ui.Option {
	var out []ui.Option
	for _, name := range poolNames(c) {
		label := name
		var free []int64
		for _, p := range c.Pools {
			if p.Name == name {
				free = append(free, p.AvailableBytes)
			}
		}
		if len(free) == 1 {
			label += ", " + domain.FormatBytes(free[0]) + " free"
		} else {
			label += fmt.Sprintf(", on %d hosts", len(free))
		}
		out = append(out, ui.Option{Value: name, Label: label})
	}
	if len(out) == 0 {
		out = append(out, ui.Option{Label: "no active pool"})
	}
	return out
}

func networkOptions(c Choices) []ui.Option {
	var out []ui.Option
	for _, name := range networkNames(c) {
		label := name
		for _, n := range c.Networks {
			if n.Name == name && n.Mode != "" {
				label += " (" + n.Mode + ")"
				break
			}
		}
		out = append(out, ui.Option{Value: name, Label: label})
	}
	return append(out, ui.Option{Value: bridgeChoice, Label: "a bridge of the host …"})
}

func firmwareOptions(c Choices, has string) []ui.Option {
	known := c.UEFI != domain.Capability{} || c.Secure != domain.Capability{}
	why := func(label string, cap domain.Capability) string {
		if known && !cap.OK {
			return label + " – not here: " + cap.Why
		}
		return label
	}
	out := []ui.Option{
		{Value: domain.FirmwareBIOS, Label: "BIOS"},
		{Value: domain.FirmwareUEFI, Label: why("UEFI", c.UEFI), Disabled: known && !c.UEFI.OK && has != domain.FirmwareUEFI},
		{Value: domain.FirmwareUEFISecure, Label: why("UEFI with secure boot", c.Secure), Disabled: known && !c.Secure.OK && has != domain.FirmwareUEFISecure},
	}
	if has == "" {
		out = append([]ui.Option{{Value: "", Label: "BIOS (default)"}}, out[1:]...)
	}
	return out
}

// HostOptions lists the hosts of a menu.
func HostOptions(c Choices) []ui.Option {
	out := []ui.Option{{Value: "any", Label: "Any: NovaCron chooses"}}
	for _, h := range c.Hosts {
		o := ui.Option{Value: h.ID, Label: h.Name}
		switch {
		case h.Why != "":
			o.Label, o.Disabled = h.Name+" – "+h.Why, true
		case h.FreeText != "":
			o.Label = h.Name + ", " + h.FreeText
		}
		out = append(out, o)
	}
	return out
}

func accelOptions(c Choices) []ui.Option {
	out := []ui.Option{{Value: "auto", Label: "Automatic: KVM where it works"}, {Value: "kvm", Label: "KVM"}, {Value: "tcg", Label: "TCG: emulation, slow, works anywhere"}}
	if c.KVM.Why != "" && !c.KVM.OK {
		out[1].Label, out[1].Disabled = "KVM – not here: "+c.KVM.Why, true
	}
	return out
}

func sourceOptions(c Choices) []ui.Option {
	var out []ui.Option
	if len(c.Guests) > 0 {
		out = append(out, ui.Option{Value: SourceDemo, Label: "A small demo guest that boots in seconds"})
	}
	if len(c.Library) > 0 {
		out = append(out, ui.Option{Value: SourceLib, Label: "An image of the library"})
	}
	return append(out,
		ui.Option{Value: SourceISO, Label: "An installation image (ISO)"},
		ui.Option{Value: SourceImage, Label: "A disk image that exists"},
		ui.Option{Value: SourceKernel, Label: "A kernel on the host"},
		ui.Option{Value: SourceEmpty, Label: "Nothing yet: empty disk or network"})
}

func guestOptions(c Choices) []ui.Option {
	var out []ui.Option
	for i, g := range c.Guests {
		out = append(out, ui.Option{Value: fmt.Sprint(i), Label: g.Label})
	}
	return out
}

func imageOptions(list []domain.Volume, has string) []ui.Option {
	out := []ui.Option{{Value: "", Label: "Choose …"}}
	seen := has == ""
	for _, v := range list {
		seen = seen || v.Path == has
		out = append(out, ui.Option{Value: v.Path, Label: fmt.Sprintf("%s in %s, %s", v.Name, v.Pool, domain.FormatBytes(v.CapacityBytes))})
	}
	if !seen {
		out = append(out, ui.Option{Value: has, Label: has})
	}
	return out
}

func tick(b bool) string {
	if b {
		return "1"
	}
	return ""
}

// topo gives one number of the layout as text, "" for the default.
func topo(s domain.VMSpec, which int) string {
	if s.Topology == nil {
		return ""
	}
	return fmt.Sprint([]int{s.Topology.Sockets, s.Topology.Cores, s.Topology.Threads}[which])
}

// shown is what the VM is now: what runs, else what is configured.
func shown(vm domain.VM) domain.VMSpec {
	if vm.Live != nil {
		return *vm.Live
	}
	return vm.Config
}

func pendingIn(vm domain.VM, fields []string) []domain.Change {
	var out []domain.Change
	for _, f := range fields {
		out = append(out, pendingFor(vm, f)...)
	}
	return out
}

func problems(m Page, section string) ui.Problems {
	if m.Edit.Section != section {
		return nil
	}
	return layout.Problems(m.Edit.Err)
}

func diskIcon(d domain.Disk) string {
	if d.Device == "cdrom" {
		return "disc"
	}
	return "database"
}

func diskFacts(d DiskInfo) string {
	var out []string
	for _, x := range []string{diskSize(d), d.Disk.Format, d.Disk.Bus} {
		if x != "" {
			out = append(out, x)
		}
	}
	if d.Volume != nil {
		out = append(out, "pool "+d.Volume.Pool, domain.FormatBytes(d.Volume.AllocationBytes)+" used")
	}
	if d.Disk.ReadOnly {
		out = append(out, "read-only")
	}
	return strings.Join(out, " · ")
}
