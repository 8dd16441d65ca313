package api

import (
	"context"
	"net/http"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// EstateDevice is a device of a host, and the VM that has it.
type EstateDevice struct {
	domain.Device
	Host   string      `json:"host" doc:"The host's name"`
	UsedBy *DeviceUser `json:"used_by" doc:"The VM that has it; null while it is free"`
}

// DeviceUser is the VM that has a device.
type DeviceUser struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type devicesInput struct {
	PageQuery
	Class string `query:"class" maxLength:"200" doc:"What it is: gpu, network, storage, usb, mdev …, a model (10de:2230) or a kind (pci, usb, mdev); empty: everything" example:"gpu"`
	Host  string `query:"host" maxLength:"64" doc:"Only devices of the host with this id"`
	Free  bool   `query:"free" doc:"Only those that can be given to a VM and that none has"`
	Sort  string `query:"sort" default:"host" doc:"host, name or class; a minus turns it round"`
}

// devices lists what can be given to VMs over the whole estate.
func (s *server) devices() {
	register(s, op{id: "list-estate-devices", method: http.MethodGet, path: "/devices", tag: "Devices", perm: access.HostRead, status: 200, summary: "List the devices of all hosts",
		doc: "A VM gets one with host_devices when it is made or add_host_devices later: by the device's name, its address, or a class, which places a new VM on a host that has a free one."},
		func(ctx context.Context, in *devicesInput) (*inventoryList[EstateDevice], error) {
			all, err := s.Fleet.Devices(ctx, in.Host, in.Class)
			if err != nil {
				return nil, err
			}
			shown := make([]EstateDevice, 0, len(all))
			for _, d := range all {
				if !in.Free || d.Assignable && d.VMID == "" {
					shown = append(shown, deviceOf(d))
				}
			}
			page, err := paged(shown, in.PageQuery, in.Sort, sortKeys[EstateDevice]{
				"host":  func(d *EstateDevice) string { return d.Host + "/" + d.Name },
				"name":  func(d *EstateDevice) string { return d.Name },
				"class": func(d *EstateDevice) string { return d.Class + "/" + d.Model },
			}, func(d *EstateDevice) string { return d.HostID + "/" + d.Name }, func(d *EstateDevice) EstateDevice { return *d })
			if err != nil {
				return nil, err
			}
			return &inventoryList[EstateDevice]{page}, nil
		})
}

func deviceOf(d fleet.EstateDevice) EstateDevice {
	out := EstateDevice{Device: d.Device, Host: d.HostName}
	if d.VMID != "" {
		out.UsedBy = &DeviceUser{d.VMID, d.VMName}
	}
	return out
}
