package hosts

import (
	"slices"
	"strings"

	"novacron/domain"
	"novacron/views/ui"
)

// DeviceRow is a device of a host, and who has it.
type DeviceRow struct {
	domain.Device
	Host         string // the host's name
	VMID, VMName string // empty: free
}

// Devices is the list over all hosts.
type Devices struct {
	Items   []DeviceRow // those that fit
	Class   string      // a class word, a model or a kind; empty: all that can be given away
	Free    bool
	Classes []string // that there are
	All     int      // in the estate
}

// Attach is the dialog that asks which VM gets a device.
type Attach struct {
	Device DeviceRow
	VMs    []domain.VM // of the same host
	VM     string      // chosen
	Err    *domain.Error
	Key    string
}

// deviceKinds are the kinds of a host's devices: what can be given away first.
func deviceKinds(all []DeviceRow) []string {
	var out []string
	for _, d := range all {
		if !slices.Contains(out, d.Kind) {
			out = append(out, d.Kind)
		}
	}
	rank := func(kind string) int {
		if i := slices.Index([]string{"pci", "mdev", "usb"}, kind); i >= 0 {
			return i
		}
		return 9
	}
	slices.SortFunc(out, func(a, b string) int {
		if c := rank(a) - rank(b); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	return out
}

func devicesOf(all []DeviceRow, kind string) []DeviceRow {
	return slices.DeleteFunc(slices.Clone(all), func(d DeviceRow) bool { return d.Kind != kind })
}

func kindTitle(kind string) string {
	switch kind {
	case "pci":
		return "PCI cards"
	case "usb":
		return "USB devices"
	case "mdev":
		return "Mediated devices"
	case "net":
		return "Network interfaces"
	case "storage":
		return "Drives"
	case "scsi":
		return "SCSI devices"
	}
	return kind
}

func (m Attach) options() []ui.Option {
	out := []ui.Option{{Value: "", Label: "Choose …"}}
	for _, vm := range m.VMs {
		o := ui.Option{Value: vm.ID, Label: vm.Name + " (" + string(vm.State) + ")"}
		if vm.BusyJob != "" {
			o.Label, o.Disabled = vm.Name+" – busy", true
		} else if err := vm.State.Can(domain.ActEdit); err != nil {
			o.Label, o.Disabled = vm.Name+" – "+string(vm.State), true
		}
		out = append(out, o)
	}
	return out
}
