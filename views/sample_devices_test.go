package views_test

import (
	"novacron/domain"
	"novacron/views/hosts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

func sampleDevices() []hosts.DeviceRow {
	return []hosts.DeviceRow{
		{Device: domain.Device{HostID: "host_1", Name: "pci_0000_41_00_0", Kind: "pci", Label: "NVIDIA A2000 " + evil, Driver: "vfio-pci", Address: "0000:41:00.0", Model: "10de:2531", Class: "gpu", Assignable: true}, Host: "hv-ams-01", VMID: "vm_00", VMName: "web-prod-01"},
		{Device: domain.Device{HostID: "host_1", Name: "pci_0000_01_00_0", Kind: "pci", Label: "Ethernet Controller X710", Driver: "i40e", Address: "0000:01:00.0", Model: "8086:1572", Class: "network", Assignable: true}, Host: "hv-ams-01"},
		{Device: domain.Device{HostID: "host_1", Name: "pci_0000_00_01_0", Kind: "pci", Label: "Host bridge", Address: "0000:00:01.0", Class: "bridge", Why: "A bridge belongs to the host."}, Host: "hv-ams-01"},
		{Device: domain.Device{HostID: "host_1", Name: "usb_1_2", Kind: "usb", Label: "YubiKey 5", Address: "1:4", Model: "1050:0407", Class: "usb", Assignable: true}, Host: "hv-ams-01"},
		{Device: domain.Device{HostID: "host_1", Name: "net_eth0", Kind: "net", Label: "eth0", Driver: "i40e"}, Host: "hv-ams-01"},
	}
}

// devicePages are pages about devices and about how a VM lies on its host, with everything that there is and one part refused.
func devicePages(vmShell func(tab string, i int) layout.Shell) []page {
	full := vmPage("hardware", 1)
	h := domain.Hardware{Watchdog: &domain.Watchdog{Model: "i6300esb", Action: "pause"}, RNG: &domain.RNG{Source: "/dev/urandom", Bytes: 1024, PeriodMS: 1000},
		Filesystems: []domain.Filesystem{{Source: "/srv/" + evil, Tag: "share"}}, HostDevices: []domain.HostDevice{{Kind: "pci", Address: "0000:41:00.0"}}, CPUPins: []domain.CPUPin{{VCPU: 0, CPUs: "2-3"}},
		NUMA: []domain.NUMANode{{CPUs: "0-3", MemoryBytes: 8 * domain.GiB}}, Hugepages: &domain.Hugepages{SizeBytes: 2 * domain.MiB}, HotplugMemory: &domain.HotplugMemory{MaxBytes: 32 * domain.GiB, Slots: 8},
		MemoryDevices: []domain.MemoryDevice{{SizeBytes: domain.GiB}}, CPUFeatures: []domain.CPUFeature{{Name: "aes", Policy: "require"}, {Name: "svm", Policy: "disable"}}}
	full.VM.Config.Hardware, full.VM.Live.Hardware = h, h
	full.VM.Live.Watchdog, full.VM.Live.HotplugMemory = nil, nil
	full.VM.Pending = domain.Diff(*full.VM.Live, full.VM.Config)
	for _, d := range sampleDevices() {
		full.Devices = append(full.Devices, vms.DeviceInfo{Device: d.Device, VMID: d.VMID, VMName: d.VMName})
	}
	wrong := full
	wrong.Edit = vms.ChangeForm{Section: vms.SectionPlacement, Values: map[string][]string{"cpu_pins": {"zero to two " + evil}}, Err: invalid(domain.FieldError{Field: "cpu_pins", Msg: "“zero to two” cannot be read.", Want: "0: 2-3"})}
	crumbs := []layout.Crumb{{Label: "Hosts", URL: live.Hosts}}
	sh := shell("Devices", layout.SectionHosts, live.Devices, crumbs...)
	return []page{
		{"vm-devices", vms.ShowPage(vmShell("hardware", 1), full)}, {"vm-devices-wrong", vms.ShowPage(vmShell("hardware", 1), wrong)},
		{"common-cpu", hosts.CommonPage(shell("Common processor", layout.SectionHosts, live.CommonCPU, crumbs...), commonCPU())},
		{"common-cpu-wrong", hosts.CommonPage(shell("Common processor", layout.SectionHosts, live.CommonCPU, crumbs...), hosts.Common{All: commonCPU().All, Accel: "auto", Err: invalid(domain.FieldError{Field: "hosts", Msg: "No hosts are chosen. " + evil, Want: "ids or names of hosts"})})},
		{"devices", hosts.DevicesPage(sh, hosts.Devices{Items: sampleDevices()[:2], Classes: []string{"gpu", "network"}, All: 5})},
		{"devices-none", hosts.DevicesPage(sh, hosts.Devices{All: 5})}, {"devices-filtered", hosts.DevicesPage(sh, hosts.Devices{Class: evil, Free: true, All: 5})},
		{"device-attach", hosts.AttachPage(sh, hosts.Attach{Device: sampleDevices()[1], VMs: sampleVMs()[:6], Key: "k"})},
		{"device-attach-none", hosts.AttachPage(sh, hosts.Attach{Device: sampleDevices()[1], Err: invalid(domain.FieldError{Field: "vm", Msg: "No VM of the host is chosen."}), Key: "k"})},
	}
}

func commonCPU() hosts.Common {
	vm := vmPage("hardware", 1).VM
	found := domain.CPUBaseline{CPUModel: domain.CPUModel{Model: "EPYC-Rome", Vendor: "AMD", Features: []domain.CPUFeature{{Name: "aes", Policy: "require"}, {Name: "svm", Policy: "disable"}}}, Accel: domain.AccelKVM,
		Hosts: []domain.CPUHost{{ID: "host_1", Name: "hv-ams-01", Model: "EPYC-Milan", Match: domain.CPUSuperset}, {ID: "host_2", Name: "hv-ams-02 " + evil, Model: "EPYC-Rome", Match: domain.CPUIdentical}}}
	return hosts.Common{All: []hosts.CommonHost{{ID: "host_1", Name: "hv-ams-01", CPU: "EPYC-Milan"}, {ID: "host_2", Name: "hv-ams-02 " + evil, CPU: "EPYC-Rome"}, {ID: "host_3", Name: "hv-ams-03", Why: "away"}},
		Chosen: []string{"host_1", "host_2"}, Accel: "kvm", VM: &vm, Found: &found, VMs: []domain.VM{vm}, More: 12}
}
