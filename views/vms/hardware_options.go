package vms

import (
	"fmt"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/views/ui"
)

var (
	tuneOptions = []ui.Option{{Value: "none", Label: "As the host likes"}, {Value: "preferred", Label: "Preferably from"}, {Value: "strict", Label: "Only from"}, {Value: "interleave", Label: "In turn from"}}

	watchdogActions = []ui.Option{{Value: "reset", Label: "Reset it"}, {Value: "shutdown", Label: "Shut it down"}, {Value: "poweroff", Label: "Power it off"}, {Value: "pause", Label: "Pause it"},
		{Value: "inject-nmi", Label: "Interrupt the guest (NMI)"}, {Value: "dump", Label: "Write a dump"}, {Value: "none", Label: "Nothing"}}
)

// withValue adds what the VM has to the choices, so that a form never changes it by itself.
func withValue(all []ui.Option, has string) []ui.Option {
	if has == "" || slices.ContainsFunc(all, func(o ui.Option) bool { return o.Value == has }) {
		return all
	}
	return append(slices.Clone(all), ui.Option{Value: has, Label: has})
}

func watchdogOptions(cfg domain.VMSpec) []ui.Option {
	return withValue([]ui.Option{{Value: "none", Label: "None"}, {Value: "i6300esb", Label: "i6300esb (PCI)"}, {Value: "ib700", Label: "ib700 (ISA)"}, {Value: "itco", Label: "iTCO (q35)"}}, watchdogModel(cfg))
}

func watchdogModel(cfg domain.VMSpec) string {
	if cfg.Watchdog == nil {
		return "none"
	}
	return cfg.Watchdog.Model
}

func watchdogAction(cfg domain.VMSpec) string {
	if cfg.Watchdog == nil {
		return "reset"
	}
	return defaulted(cfg.Watchdog.Action, "reset")
}

func rngOptions(cfg domain.VMSpec) []ui.Option {
	return withValue([]ui.Option{{Value: "none", Label: "None"}, {Value: "/dev/urandom", Label: "/dev/urandom"}, {Value: "/dev/random", Label: "/dev/random"}, {Value: "/dev/hwrng", Label: "/dev/hwrng (a chip)"}}, rngSource(cfg))
}

func rngSource(cfg domain.VMSpec) string {
	if cfg.RNG == nil {
		return "none"
	}
	return cfg.RNG.Source
}

func rngBytes(cfg domain.VMSpec) string {
	if cfg.RNG == nil {
		return ""
	}
	return zeroEmpty(cfg.RNG.Bytes)
}

func rngPeriod(cfg domain.VMSpec) string {
	if cfg.RNG == nil {
		return ""
	}
	return zeroEmpty(cfg.RNG.PeriodMS)
}

func tuneMode(cfg domain.VMSpec) string {
	if cfg.NUMATune == nil {
		return "none"
	}
	return cfg.NUMATune.Mode
}

func tuneNodes(cfg domain.VMSpec) string {
	if cfg.NUMATune == nil {
		return ""
	}
	return cfg.NUMATune.Nodes
}

func pagesValue(h *domain.Hugepages) string {
	switch {
	case h == nil:
		return pagesOff
	case h.SizeBytes == 0:
		return pagesDefault
	}
	return domain.FormatBytes(h.SizeBytes)
}

func pagesOptions(h *domain.Hugepages) []ui.Option {
	return withValue([]ui.Option{{Value: pagesOff, Label: "No"}, {Value: pagesDefault, Label: "Of the host's default size"}, {Value: "2 MiB", Label: "2 MiB"}, {Value: "1 GiB", Label: "1 GiB"}}, pagesValue(h))
}

func roomBytes(cfg domain.VMSpec) string {
	if cfg.HotplugMemory == nil {
		return ""
	}
	return domain.FormatBytes(cfg.HotplugMemory.MaxBytes)
}

func roomSlots(cfg domain.VMSpec) string {
	if cfg.HotplugMemory == nil {
		return ""
	}
	return fmt.Sprint(cfg.HotplugMemory.Slots)
}

func pinsShown(h domain.Hardware) string {
	if len(h.CPUPins) == 0 {
		return "any CPU of the host"
	}
	return domain.DescribePins(h.CPUPins)
}

func nodesShown(h domain.Hardware) string {
	if len(h.NUMA) == 0 {
		return ""
	}
	return domain.DescribeNUMA(h.NUMA)
}

func pinHelp(f domain.HostFacts) string {
	help := "One line for each vCPU. Empty: any CPU of the host."
	if f.CPUs > 0 {
		help += fmt.Sprintf(" The host has CPUs 0 to %d in %s.", f.CPUs-1, ui.Plural(max(f.NUMANodes, 1), "memory node", "memory nodes"))
	}
	return help
}

func tpmShown(s domain.VMSpec) string {
	if s.TPM {
		return "version 2.0, emulated"
	}
	return "none"
}

func tpmHelp(m Page) string {
	if c := m.Host.Facts.TPM; !c.OK && c.Why != "" {
		return "Not on this host: " + c.Why
	}
	if m.VM.Config.TPM {
		return "What it holds is lost when it goes."
	}
	return "It keeps keys of the guest, which Windows 11 and disk encryption want."
}

// under shows problems of what is inside a field (cpu_pins.0.cpus) at the field.
func under(all ui.Problems, field string) ui.Problems {
	out := slices.Clone(all)
	for i := range out {
		if strings.HasPrefix(out[i].Field, field+".") {
			out[i].Field = field
		}
	}
	return out
}

// renumbered shows problems of one of many (add_host_devices.0.device, filesystems.2.tag) at the form's field, which is about one.
func renumbered(all ui.Problems, list string) ui.Problems {
	out := slices.Clone(all)
	for i, x := range out {
		rest, ok := strings.CutPrefix(strings.TrimPrefix(x.Field, "add_"), list+".")
		if !ok {
			continue
		}
		_, name, found := strings.Cut(rest, ".")
		if !found {
			name = map[string]string{"host_devices": "device", "filesystems": "tag", "memory_devices": "size_bytes"}[list]
		}
		out[i].Field = list + "." + name
	}
	return out
}

// DeviceInfo is a device of the VM's host and who has it.
type DeviceInfo struct {
	domain.Device
	VMID, VMName string // empty: free
}

func deviceOptions(all []DeviceInfo) []ui.Option {
	out := []ui.Option{{Value: "", Label: "By class …"}}
	for _, d := range all {
		if !d.Assignable && d.VMID == "" {
			continue
		}
		o := ui.Option{Value: d.Name, Label: fmt.Sprintf("%s · %s %s", defaulted(d.Label, d.Name), strings.ToUpper(d.Kind), d.Address)}
		if d.VMID != "" {
			o.Label, o.Disabled = o.Label+" – in use by "+d.VMName, true
		}
		out = append(out, o)
	}
	if len(out) == 1 {
		out[0].Label = "the host has none that can be given away"
	}
	return out
}

func deviceLabel(all []DeviceInfo, h domain.HostDevice) string {
	for _, d := range all {
		if d.Matches(h) {
			return d.Label
		}
	}
	return ""
}
