package domain

import "strings"

// Matches reports whether a device of a host is one that is asked for.
func (d Device) Matches(want HostDevice) bool {
	if want.Kind != "" && want.Kind != d.Kind {
		return false
	}
	switch {
	case want.Device != "":
		return d.Name == want.Device
	case want.Address != "" && want.Kind == "usb":
		return d.Address == want.Address || d.Model == want.Address
	case want.Address != "" && want.Kind == "pci":
		return d.Address == NormalPCI(want.Address)
	case want.Address != "":
		return strings.EqualFold(d.Address, want.Address)
	}
	return want.Class != "" && (strings.EqualFold(d.Class, want.Class) || strings.EqualFold(d.Model, want.Class))
}

// Settled gives the device as a VM's definition names it.
func (d Device) Settled() HostDevice { return HostDevice{Kind: d.Kind, Address: d.Address} }

// DeviceHolders says which VM has which device of a host, by the device's name; those that run count as well as those that would at the next start.
func DeviceHolders(devices []Device, vms []VM) map[string]VM {
	out := map[string]VM{}
	for _, vm := range vms {
		held := vm.Config.HostDevices
		if vm.Live != nil {
			held = append(held[:len(held):len(held)], vm.Live.HostDevices...)
		}
		for _, h := range held {
			for _, d := range devices {
				if _, taken := out[d.Name]; !taken && (vm.HostID == d.HostID || d.HostID == "") && d.Matches(h) {
					out[d.Name] = vm
				}
			}
		}
	}
	return out
}
