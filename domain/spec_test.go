package domain

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func good() VMSpec {
	return VMSpec{
		Name: "web-1", UUID: NewUUID(), VCPUs: 4, MaxVCPUs: 8, Topology: &Topology{2, 2, 2}, MemoryBytes: 2 * GiB, MaxMemoryBytes: 4 * GiB,
		Accel: AccelAuto, Machine: "q35", CPU: "host-model", Firmware: FirmwareUEFI, Graphics: "vnc",
		Boot:  Boot{Kernel: "/boot/vmlinuz", Initrd: "/boot/initrd", Cmdline: "console=ttyS0", Order: []string{"hd", "network"}},
		Disks: []Disk{{SizeBytes: GiB, Format: "qcow2", Bus: "virtio"}, {Device: "cdrom", Source: "/iso/x.iso"}, {Device: "cdrom"}, {Pool: "default", Source: "old.qcow2"}},
		NICs:  []NIC{{Network: "default", MAC: "52:54:00:12:34:56"}, {Bridge: "br0", Model: "e1000e"}},
	}
}

func fields(err error) []string {
	var e *Error
	var out []string
	if errors.As(err, &e) {
		for _, f := range e.Fields {
			out = append(out, f.Field)
		}
	}
	return out
}

func TestValidateNamesTheWrongField(t *testing.T) {
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		field string
		edit  func(*VMSpec)
	}{
		{"name", func(s *VMSpec) { s.Name = "" }},
		{"name", func(s *VMSpec) { s.Name = "a/b" }},
		{"name", func(s *VMSpec) { s.Name = "../etc" }},
		{"name", func(s *VMSpec) { s.Name = "-x" }},
		{"name", func(s *VMSpec) { s.Name = strings.Repeat("x", 64) }},
		{"uuid", func(s *VMSpec) { s.UUID = "nope" }},
		{"vcpus", func(s *VMSpec) { s.VCPUs = 0; s.Topology = nil }},
		{"max_vcpus", func(s *VMSpec) { s.MaxVCPUs = 2; s.Topology = nil }},
		{"topology", func(s *VMSpec) { s.Topology = &Topology{1, 1, 1} }},
		{"topology", func(s *VMSpec) { s.Topology = &Topology{-2, -2, 2} }},
		{"memory_bytes", func(s *VMSpec) { s.MemoryBytes = 12 }},
		{"max_memory_bytes", func(s *VMSpec) { s.MaxMemoryBytes = GiB }},
		{"accel", func(s *VMSpec) { s.Accel = "xen" }},
		{"firmware", func(s *VMSpec) { s.Firmware = "coreboot" }},
		{"graphics", func(s *VMSpec) { s.Graphics = "x11" }},
		{"machine", func(s *VMSpec) { s.Machine = "q 35" }},
		{"cpu", func(s *VMSpec) { s.CPU = "<evil>" }},
		{"boot.kernel", func(s *VMSpec) { s.Boot.Kernel = "relative" }},
		{"boot.kernel", func(s *VMSpec) { s.Boot.Kernel = "" }},
		{"boot.initrd", func(s *VMSpec) { s.Boot.Initrd = "/a/../b" }},
		{"boot.cmdline", func(s *VMSpec) { s.Boot.Cmdline = "a\nb" }},
		{"boot.order", func(s *VMSpec) { s.Boot.Order = []string{"tape"} }},
		{"boot.order", func(s *VMSpec) { s.Boot.Order = []string{"hd", "hd"} }},
		{"disks", func(s *VMSpec) { s.Disks = make([]Disk, 65) }},
		{"disks.0.size_bytes", func(s *VMSpec) { s.Disks[0].SizeBytes = 1 }},
		{"disks.0.size_bytes", func(s *VMSpec) { s.Disks[0].SizeBytes = 0 }},
		{"disks.0.format", func(s *VMSpec) { s.Disks[0].Format = "vmdk" }},
		{"disks.0.bus", func(s *VMSpec) { s.Disks[0].Bus = "pci" }},
		{"disks.0.cache", func(s *VMSpec) { s.Disks[0].Cache = "fast" }},
		{"disks.0.target", func(s *VMSpec) { s.Disks[0].Target = "a b" }},
		{"disks.0.volume", func(s *VMSpec) { s.Disks[0].Volume = "../x" }},
		{"disks.0.device", func(s *VMSpec) { s.Disks[0].Device = "cdrom" }},
		{"disks.1.device", func(s *VMSpec) { s.Disks[1].Device = "tape" }},
		{"disks.1.source", func(s *VMSpec) { s.Disks[1].Source = "x.iso" }},
		{"disks.1.size_bytes", func(s *VMSpec) { s.Disks[1].SizeBytes = GiB }},
		{"disks.1.target", func(s *VMSpec) { s.Disks[0].Target, s.Disks[1].Target = "sda", "sda" }},
		{"disks.3.source", func(s *VMSpec) { s.Disks[3].Source = "a/b" }},
		{"nics", func(s *VMSpec) { s.NICs = make([]NIC, 33) }},
		{"nics.0.network", func(s *VMSpec) { s.NICs[0].Bridge = "br0" }},
		{"nics.0.network", func(s *VMSpec) { s.NICs[0].Network = "" }},
		{"nics.0.model", func(s *VMSpec) { s.NICs[0].Model = "<x>" }},
		{"nics.0.mac", func(s *VMSpec) { s.NICs[0].MAC = "52:54" }},
		{"nics.0.mac", func(s *VMSpec) { s.NICs[0].MAC = "01:54:00:12:34:56" }},
		{"nics.1.mac", func(s *VMSpec) { s.NICs[1].MAC = strings.ToUpper(s.NICs[0].MAC) }},
	} {
		s := good()
		c.edit(&s)
		if got := fields(s.Validate()); !slices.Contains(got, c.field) {
			t.Errorf("wanted %s among the wrong fields, got %v", c.field, got)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestChangeApply(t *testing.T) {
	base := good()
	base.Disks[0].Target, base.Disks[1].Target = "vda", "sda"
	before := good()
	before.Disks[0].Target, before.Disks[1].Target = "vda", "sda"
	before.UUID = base.UUID

	out, err := VMChange{
		VCPUs: ptr(16), MemoryBytes: ptr(8 * GiB), Title: ptr("Web"), Media: &Media{Target: "sda", Source: ""}, RemoveDisks: []string{"vda"},
		RemoveNICs: []string{"52:54:00:12:34:56"}, AddDisks: []Disk{{SizeBytes: GiB}}, AddNICs: []NIC{{Network: "n"}},
		CPU: ptr("maximum"), Machine: ptr("pc"), Firmware: ptr("bios"), Boot: &Boot{Order: []string{"cdrom"}}, Description: ptr("d"),
	}.Apply(base)
	if err != nil {
		t.Fatal(err)
	}
	if out.VCPUs != 16 || out.MaxVCPUs != 16 || out.Topology != nil || out.MaxMemoryBytes != 8*GiB || len(out.Disks) != 4 || out.Disks[0].Source != "" || len(out.NICs) != 2 || out.Title != "Web" {
		t.Errorf("%+v", out)
	}
	if !reflect.DeepEqual(base, before) {
		t.Error("Apply altered the spec it was given")
	}
	if out, err := (VMChange{MaxVCPUs: ptr(16), Topology: &Topology{4, 2, 2}}).Apply(base); err != nil || out.Topology.Sockets != 4 {
		t.Error(out.Topology, err)
	}

	for _, c := range []struct {
		field string
		ch    VMChange
	}{
		{"vcpus", VMChange{VCPUs: ptr(0)}},
		{"memory_bytes", VMChange{MemoryBytes: ptr(int64(1))}},
		{"remove_disks", VMChange{RemoveDisks: []string{"vdz"}}},
		{"remove_nics", VMChange{RemoveNICs: []string{"aa:bb:cc:dd:ee:ff"}}},
		{"media.target", VMChange{Media: &Media{Target: "vda"}}},
		{"media.source", VMChange{Media: &Media{Target: "sda", Source: "x"}}},
		{"add_disks.0.size_bytes", VMChange{AddDisks: []Disk{{}}}},
		{"add_nics.0.network", VMChange{AddNICs: []NIC{{}}}},
		{"boot.order", VMChange{Boot: &Boot{Order: []string{"x"}}}},
		{"topology", VMChange{Topology: &Topology{1, 1, 1}}},
	} {
		if _, err := c.ch.Apply(base); !slices.Contains(fields(err), c.field) {
			t.Errorf("wanted %s, got %v", c.field, err)
		}
	}
	if !(VMChange{}).Empty() || (VMChange{Autostart: ptr(true)}).Empty() {
		t.Error("Empty")
	}
}

// What was adopted may break our rules elsewhere; a change is judged by what it touches.
func TestChangeOfAnAdoptedVMIsNotHeldToOurNames(t *testing.T) {
	odd := VMSpec{Name: "weird/name", VCPUs: 1, MemoryBytes: GiB, Firmware: "efi?", Machine: "strange machine", Disks: []Disk{{Target: "vda", Format: "vhdx", Source: "//x"}}}
	if _, err := (VMChange{VCPUs: ptr(2)}).Apply(odd); err != nil {
		t.Fatal(err)
	}
}

func TestDiff(t *testing.T) {
	a := good()
	a.Disks[0].Target, a.Disks[1].Target, a.Disks = "vda", "sda", a.Disks[:2]
	if d := Diff(a, a); d != nil {
		t.Fatal(d)
	}
	b, err := VMChange{VCPUs: ptr(2), MemoryBytes: ptr(GiB), RemoveDisks: []string{"vda"}, AddNICs: []NIC{{MAC: "52:54:00:00:00:01", Bridge: "br1", Model: "virtio", Down: true}}}.Apply(a)
	if err != nil {
		t.Fatal(err)
	}
	b.TPM = true
	got := map[string]string{}
	for _, c := range Diff(a, b) {
		got[c.Field] = c.Old + " -> " + c.New
	}
	want := map[string]string{
		"vcpus": "4 -> 2", "memory_bytes": "2 GiB -> 1 GiB", "tpm": "no -> yes", "disks.vda": "disk on virtio: new, 1 GiB -> none",
		"nics.52:54:00:00:00:01": "none -> virtio on bridge br1, unplugged",
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %q, want %q", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Error(got)
	}
}

func TestTagsAndLabels(t *testing.T) {
	var p Problems
	CheckTags(&p, "tags", []string{"prod", "équipe/1", "a:b"})
	CheckLabels(&p, "labels", map[string]string{"site": "Amsterdam", "rack.row": "b2"})
	CheckHostName(&p, "name", "hv-ams-01.example")
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	CheckTags(&p, "tags", []string{"a b"})
	CheckTags(&p, "tags", make([]string, 33))
	CheckLabels(&p, "labels", map[string]string{"Bad Key": "", "ok": "two\nlines"})
	CheckHostName(&p, "name", "a b")
	if len(p) < 5 {
		t.Fatal(p)
	}
}
