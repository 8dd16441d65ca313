package domxml

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
)

func TestParseOdd(t *testing.T) {
	got, err := Parse(file(t, "odd.xml"))
	if err != nil {
		t.Fatal(err)
	}
	want := domain.VMSpec{
		Name: "odd & old", UUID: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", Title: `An "odd" one`, VCPUs: 4, Topology: &domain.Topology{Sockets: 1, Cores: 4, Threads: 1},
		CPU: "Skylake-Client", MemoryBytes: 2 * domain.GiB, MaxMemoryBytes: 4 * domain.GiB, Accel: domain.AccelKVM, Arch: "x86_64", Machine: "pc-q35-6.2", Firmware: "uefi", TPM: true,
		Boot: domain.Boot{Order: []string{"hd", "cdrom"}},
		Disks: []domain.Disk{
			{Target: "vda", Device: "disk", Bus: "virtio", Source: "/images/odd & old.qcow2", Format: "qcow2", Cache: "none", Serial: "ABC"},
			{Target: "vdb", Device: "disk", Bus: "virtio", Pool: "p1", Volume: "v1", Source: "v1", Format: "raw"},
			{Target: "sda", Device: "cdrom", Bus: "sata", ReadOnly: true},
			{Target: "sdb", Device: "cdrom", Bus: "sata", Source: "https:iso/debian.iso", Format: "raw"},
			{Target: "vdc", Device: "disk", Bus: "virtio", Source: "rbd:vms/n1"},
		},
		NICs: []domain.NIC{
			{Network: "default", PortGroup: "x", Model: "virtio", MAC: "52:54:00:aa:bb:01", Target: "tap-odd"},
			{Bridge: "br-int", OpenVSwitch: true, MAC: "52:54:00:aa:bb:02", Down: true}, {Bridge: "eth0", Model: "e1000"}, {Network: "user"},
		},
		Graphics: "vnc", Video: "qxl", Serial: true, GuestAgent: true,
		Hardware: domain.Hardware{HostDevices: []domain.HostDevice{{Kind: "pci", Address: "0000:0a:00.0"}}, CPUFeatures: []domain.CPUFeature{{Name: "vmx", Policy: "require"}}},
	}
	if !reflect.DeepEqual(got, want) {
		a, _ := json.MarshalIndent(got, "", " ")
		b, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("got %s\nwant %s", a, b)
	}
	order, err := Parse(file(t, "plain.xml"))
	if err != nil || strings.Join(order.Boot.Order, " ") != "network hd" || order.VCPUs != 1 || order.MaxVCPUs != 2 {
		t.Errorf("%v %+v", err, order)
	}
}

func TestParseFirmware(t *testing.T) {
	for _, c := range []struct{ os, want string }{
		{`<os/>`, "bios"},
		{`<os firmware='bios'/>`, "bios"},
		{`<os firmware='efi'/>`, "uefi"},
		{`<os firmware='efi'><loader secure='yes'/></os>`, "uefi-secure"},
		{`<os firmware='efi'><loader secure='no'/></os>`, "uefi"},
		{`<os firmware='efi'><firmware><feature enabled='yes' name='secure-boot'/><feature enabled='yes' name='enrolled-keys'/></firmware></os>`, "uefi-secure"},
		{`<os firmware='efi'><loader secure='yes'/><firmware><feature enabled='yes' name='secure-boot'/><feature enabled='no' name='enrolled-keys'/></firmware></os>`, "uefi"},
		{`<os firmware='efi'><loader secure='yes'/><firmware><feature enabled='no' name='secure-boot'/></firmware></os>`, "uefi"},
		{`<os><loader type='pflash' secure='yes'>/OVMF_CODE.secboot.fd</loader><nvram/></os>`, "uefi-secure"},
		{`<os><loader type='rom'>/usr/share/ovmf/OVMF.fd</loader></os>`, "uefi"},
		{`<os><loader type='rom'>/usr/share/seabios/bios.bin</loader></os>`, "bios"},
		{`<os><nvram>/x</nvram></os>`, "uefi"},
	} {
		s, err := Parse("<domain>" + c.os + "</domain>")
		if err != nil || s.Firmware != c.want {
			t.Errorf("%s: %s, %v", c.os, s.Firmware, err)
		}
	}
}

// TestParseTolerates has nonsense in every field: none of it is an error, none becomes a wild number.
func TestParseTolerates(t *testing.T) {
	s, err := Parse(`<domain type='xen'><memory unit='parsec'>12</memory><currentMemory>-3</currentMemory><vcpu current='many'>-1</vcpu><cpu mode='custom'><topology sockets='x' cores='-1'/></cpu>
<devices><disk/><interface/><graphics/><channel/></devices></domain>`)
	if err != nil || s.MemoryBytes != 0 || s.VCPUs != 0 || *s.Topology != (domain.Topology{Sockets: 1, Cores: 1, Threads: 1}) || len(s.Disks) != 1 || len(s.NICs) != 1 || s.Accel != "" {
		t.Errorf("%v %+v", err, s)
	}
	if s, err = Parse(`<domain><memory unit='EiB'>99999999999</memory></domain>`); err != nil || s.MemoryBytes != 0 || s.VCPUs != 1 || s.Graphics != "none" {
		t.Errorf("%v %+v", err, s)
	}
	if s, err = Parse(`<domain><memory unit='KB'>5</memory></domain>`); err != nil || s.MemoryBytes != 5000 {
		t.Errorf("%v %+v", err, s)
	}
	for _, bad := range []string{"", "   ", "text", "<a/>", "<domain>", "<domain></a>", "<domain/><domain/>", "<domain/>x", "</domain>", "<domain a=b/>", "<domain a='1>", "\xff<domain/>", "<domain>&nope;</domain>", "<domain>\x00</domain>"} {
		if _, err := Parse(bad); domain.CodeOf(err) != domain.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := Parse(`<?xml version="1.0" encoding="ISO-8859-1"?><domain/>`); err != nil {
		t.Error(err)
	}
}

func TestElements(t *testing.T) {
	odd := file(t, "odd.xml")
	disk, err := FindDisk(odd, "vda")
	if err != nil || !strings.HasPrefix(disk, `<disk type='file' device='disk' snapshot="no">`) || !strings.HasSuffix(disk, "</disk>") || strings.Count(odd, disk) != 1 {
		t.Errorf("%v %s", err, disk)
	}
	nic, err := FindNIC(odd, "52:54:00:AA:bb:02")
	if err != nil || !strings.HasPrefix(nic, `<interface type="bridge">`) {
		t.Errorf("%v %s", err, nic)
	}
	g, err := FindGraphics(odd)
	if err != nil || !strings.HasPrefix(g, "<graphics type='vnc'") {
		t.Errorf("%v %s", err, g)
	}
	at := time.Date(2030, 1, 2, 3, 4, 5, 6, time.FixedZone("x", 3600))
	got, err := SetGraphicsPassword(g, `p'"<`, at)
	if want := strings.Replace(g, `passwd="a&lt;b"`, `passwd="p&apos;&quot;&lt;"`, 1); err != nil || got != strings.Replace(want, "vnc.sock'", "vnc.sock' passwdValidTo='2030-01-02T02:04:05'", 1) {
		t.Errorf("%v %s", err, got)
	}
	cd, err := FindDisk(odd, "sda")
	if err != nil {
		t.Fatal(err)
	}
	in, err := SetDiskSource(cd, "/iso/x.iso")
	if err != nil || !strings.Contains(in, "<source file='/iso/x.iso'/>") {
		t.Errorf("%v %s", err, in)
	}
	if other, err := SetDiskSource(in, "/iso/y.iso"); err != nil || other != strings.Replace(in, "x.iso", "y.iso", 1) {
		t.Errorf("%v %s", err, other)
	}
	if out, err := SetDiskSource(in, ""); err != nil || strings.Contains(out, "<source") {
		t.Errorf("%v %s", err, out)
	}
	for what, err := range map[string]error{
		"disk": third(FindDisk(odd, "zzz")), "no target": third(FindDisk(odd, "")), "nic": third(FindNIC(odd, "")), "graphics": third(FindGraphics(bare)),
	} {
		if !domain.Is(err, domain.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"find": third(FindDisk("<", "vda")), "password": third(SetGraphicsPassword("<disk/>", "", at)), "source": third(SetDiskSource("<graphics/>", "")),
		"name": third(SetUUIDName("<x/>", "", "")), "clone": third(CloneXML("", hv.Clone{})), "pool": third(ParsePool("<volume/>")), "volume": third(ParseVolume("<pool/>")),
		"network": third(ParseNetwork("")), "device": third(ParseNodeDevice("<x>")), "caps": third(ParseCapabilities("<x/>")), "domcaps": third(ParseDomainCapabilities("<x/>")),
	} {
		if !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func third[T any](_ T, err error) error { return err }

func TestCloneIsAnother(t *testing.T) {
	odd := file(t, "odd.xml")
	c := hv.Clone{
		Name: "copy", UUID: "99999999-9999-4999-8999-999999999999", MACs: map[string]string{"52:54:00:aa:bb:01": "52:54:00:00:00:01", "52:54:00:aa:bb:02": "52:54:00:00:00:02"},
		Sources: map[string]string{"/images/odd & old.qcow2": "/images/copy.qcow2", "p1/v1": "v1-copy", "rbd:vms/n1": "rbd:vms/copy"},
	}
	got, err := CloneXML(odd, c)
	if err != nil {
		t.Fatal(err)
	}
	want := odd
	for _, swap := range [][2]string{
		{"<![CDATA[odd & old]]>", "copy"}, {"AAAAAAAA-bbbb-4ccc-8ddd-EEEEEEEEEEEE", c.UUID}, {"<entry name='uuid'>aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "<entry name='uuid'>" + c.UUID},
		{" id='7'", ""}, {">/var/lib/libvirt/qemu/nvram/odd_VARS.fd<", "><"}, {"<genid>f9e0c1b2-0000-4000-8000-000000000001</genid>", "<genid/>"},
		{"52:54:00:AA:BB:01", "52:54:00:00:00:01"}, {"52:54:00:aa:bb:02", "52:54:00:00:00:02"}, {"      <target dev='tap-odd'/>\n", ""}, {" interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'", ""},
		{"'/images/odd &amp; old.qcow2'", "'/images/copy.qcow2'"}, {"      <backingStore type='file'><format type='raw'/><source file='/images/base.raw'/></backingStore>\n", ""},
		{"volume='v1'", "volume='v1-copy'"}, {"name='vms/n1'", "name='vms/copy'"},
		{"      <source mode='bind' path='/var/lib/libvirt/qemu/channel/target/domain-7-odd/org.qemu.guest_agent.0'/>\n", ""},
		{"<log file='/var/log/odd &amp; old.log' append='on'/>", ""}, {" socket='/var/lib/libvirt/qemu/domain-7-odd/vnc.sock'", ""},
	} {
		if strings.Count(want, swap[0]) != 1 {
			t.Fatalf("%q stands there %d times", swap[0], strings.Count(want, swap[0]))
		}
		want = strings.Replace(want, swap[0], swap[1], 1)
	}
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	efi := `<domain><name>a</name><os firmware='efi'><nvram template='/t'>/a_VARS.fd</nvram></os><devices><graphics type='vnc' socket='/x'/><interface type='network'><mac address='52:54:00:00:00:01'/></interface></devices></domain>`
	if got, err = CloneXML(efi, hv.Clone{Name: "b", UUID: c.UUID}); err != nil ||
		got != `<domain><name>b</name><uuid>`+c.UUID+`</uuid><os firmware='efi'></os><devices><graphics type='vnc'><listen type='socket'/></graphics><interface type='network'></interface></devices></domain>` {
		t.Errorf("%v %s", err, got)
	}
	file := `<domain><name>a</name><devices><disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk></devices></domain>`
	if got, err = CloneXML(file, hv.Clone{Name: "b", Sources: map[string]string{"v": "/pool/w"}}); err != nil || !strings.Contains(got, "<disk type='file'><source file='/pool/w'/>") {
		t.Errorf("%v %s", err, got)
	}
	same, err := SetUUIDName(odd, "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", "odd & old")
	if err != nil || same != odd {
		t.Errorf("%v: the same identity changed something", err)
	}
}

func TestInventoryDocuments(t *testing.T) {
	p, err := ParsePool(`<pool type='dir'><name>a &amp; b</name><uuid>u</uuid><capacity unit='bytes'>100</capacity><allocation>60</allocation><available unit='KiB'>1</available><source/><target><path>/p</path></target></pool>`)
	if want := (domain.Pool{Name: "a & b", UUID: "u", Type: "dir", Target: "/p", CapacityBytes: 100, AllocationBytes: 60, AvailableBytes: 1024}); err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("%v %+v", err, p)
	}
	v, err := ParseVolume(`<volume type='file'><name>v</name><key>/p/v</key><capacity unit='bytes'>5</capacity><allocation unit='bytes'>4</allocation><target><path>/p/v</path><format type='qcow2'/></target><backingStore><path>/b</path></backingStore></volume>`)
	if want := (domain.Volume{Name: "v", Path: "/p/v", Format: "qcow2", CapacityBytes: 5, AllocationBytes: 4, Backing: "/b"}); err != nil || v != want {
		t.Errorf("%v %+v", err, v)
	}
	if v, err = ParseVolume(`<volume type='block'><name>lv</name><key>/dev/vg/lv</key></volume>`); err != nil || v.Format != "raw" || v.Path != "/dev/vg/lv" {
		t.Errorf("%v %+v", err, v)
	}
	for _, c := range []struct {
		doc  string
		want domain.Network
	}{
		{`<network><name>n</name><uuid>u</uuid><forward mode='nat'/><bridge name='virbr0'/><ip address='192.168.122.1' netmask='255.255.255.0'/></network>`, domain.Network{Name: "n", UUID: "u", Mode: "nat", Bridge: "virbr0", CIDR: "192.168.122.1/24"}},
		{`<network><name>i</name><bridge name='virbr1'/><ip family='ipv6' address='fd00::1' prefix='64'/></network>`, domain.Network{Name: "i", Mode: "isolated", Bridge: "virbr1", CIDR: "fd00::1/64"}},
		{`<network><name>f</name><forward/><ip address='10.0.0.1'/></network>`, domain.Network{Name: "f", Mode: "nat", CIDR: "10.0.0.1/32"}},
		{`<network><name>b</name><forward mode='bridge'/><bridge name='br0'/><ip address='nonsense'/></network>`, domain.Network{Name: "b", Mode: "bridge", Bridge: "br0"}},
		{`<network><name>m</name><forward mode='bridge'><interface dev='eth1'/></forward></network>`, domain.Network{Name: "m", Mode: "macvtap", Bridge: "eth1"}},
	} {
		n, err := ParseNetwork(c.doc)
		n.Spec, n.XML = domain.NetworkSpec{}, ""
		if err != nil || !reflect.DeepEqual(n, c.want) {
			t.Errorf("%v %+v, want %+v", err, n, c.want)
		}
	}
	for _, c := range []struct {
		doc  string
		want domain.Device
	}{
		{`<device><name>pci_1</name><parent>computer</parent><driver><name>virtio-pci</name></driver><capability type='pci'><product id='0x1000'>Virtio net</product><vendor id='0x1af4'>Red Hat</vendor></capability></device>`, domain.Device{Name: "pci_1", Kind: "pci", Label: "Red Hat Virtio net", Parent: "computer", Driver: "virtio-pci"}},
		{`<device><name>pci_2</name><capability type='pci'><product id='0x10'/><vendor id='0x20'/></capability></device>`, domain.Device{Name: "pci_2", Kind: "pci", Label: "0x20 0x10"}},
		{`<device><name>net_e</name><capability type='net'><interface>eth0</interface><address>aa:bb</address></capability></device>`, domain.Device{Name: "net_e", Kind: "net", Label: "eth0 aa:bb"}},
		{`<device><name>usb_1</name><capability type='usb_device'><product>Key</product><vendor>Y</vendor></capability></device>`, domain.Device{Name: "usb_1", Kind: "usb", Label: "Y Key"}},
		{`<device><name>block_sda</name><capability type='storage'><block>/dev/sda</block><model>M</model></capability></device>`, domain.Device{Name: "block_sda", Kind: "storage", Label: "M /dev/sda"}},
		{`<device><name>scsi_1</name><capability type='scsi'><type>disk</type></capability></device>`, domain.Device{Name: "scsi_1", Kind: "scsi", Label: "disk"}},
		{`<device><name>mdev_1</name><capability type='mdev'><type id='t4'/></capability></device>`, domain.Device{Name: "mdev_1", Kind: "mdev", Label: "t4"}},
		{`<device><name>storage_1</name><capability type='storage'/></device>`, domain.Device{Name: "storage_1", Kind: "storage", Label: "storage_1"}},
		{`<device><name>computer</name><capability type='system'/></device>`, domain.Device{Name: "computer"}},
	} {
		d, err := ParseNodeDevice(c.doc)
		if d.Address, d.Model, d.Class, d.Assignable, d.Why = "", "", "", false, ""; err != nil || d != c.want {
			t.Errorf("%v %+v, want %+v", err, d, c.want)
		}
	}
}

// TestParseLive has documents as libvirt 9.0 shows them of running guests.
func TestParseLive(t *testing.T) {
	const live = `<domain type='qemu' id='1'><name>a</name><memory unit='KiB'>262144</memory><currentMemory unit='KiB'>262144</currentMemory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader readonly='yes' secure='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.ms.fd</loader><nvram template='/t'>/v</nvram></os>
<cpu mode='custom' match='exact' check='full'><model fallback='forbid'>EPYC</model><vendor>AMD</vendor><feature policy='require' name='acpi'/></cpu></domain>`
	config := func(cpu, firmware string, now, most int64) domain.VMSpec {
		return domain.VMSpec{Name: "a", VCPUs: 1, CPU: cpu, Firmware: firmware, MemoryBytes: now, MaxMemoryBytes: most, Machine: "pc-q35-7.2"}
	}
	for _, c := range []struct {
		doc    string
		config domain.VMSpec
		want   string
	}{
		{live, config("host-model", "uefi", 128*domain.MiB, 256*domain.MiB), ""},
		{live, config("Nehalem", "uefi", 128*domain.MiB, 256*domain.MiB), "cpu"},
		{strings.Replace(live, "<vendor>AMD</vendor>", "", 1), config("host-model", "uefi-secure", 256*domain.MiB, 0), "cpu"},
		{live, config("host-model", "bios", 256*domain.MiB, 0), "firmware"},
		{strings.Replace(live, "<nvram", "<firmware><feature enabled='yes' name='secure-boot'/></firmware><nvram", 1), config("host-model", "uefi", 256*domain.MiB, 0), "firmware"},
		{live, config("host-model", "uefi", 512*domain.MiB, 0), "memory_bytes max_memory_bytes"},
	} {
		l, err := ParseLive(c.doc, c.config)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range domain.Diff(l, c.config) {
			got = append(got, d.Field)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v differs in %q, want %q", c.config, got, c.want)
		}
	}
	if _, err := ParseLive("<", domain.VMSpec{}); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
}
