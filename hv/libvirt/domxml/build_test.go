package domxml

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

var yes = domain.Capability{OK: true, Why: "It was measured."}

func qemuEnv() Env {
	return Env{Facts: domain.HostFacts{
		Driver: "QEMU", Arch: "x86_64", LibvirtVersion: "9.0.0", KVM: domain.Capability{Why: "The CPU shows neither vmx nor svm."},
		UEFI: yes, SecureBoot: yes, TPM: yes, Machines: []string{"q35", "pc", "pc-q35-7.2"}, DefaultMachine: "q35", Emulator: "/usr/bin/qemu-system-x86_64",
	}}
}

func kvmEnv() Env {
	e := qemuEnv()
	e.Facts.KVM = yes
	return e
}

func webSpec() domain.VMSpec {
	return domain.VMSpec{
		Name: "web-1", UUID: "11111111-2222-4333-8444-555555555555", VCPUs: 2, MemoryBytes: 2 * domain.GiB,
		Disks: []domain.Disk{{Source: "/var/lib/libvirt/images/web-1.qcow2"}, {Device: "cdrom", Source: "/iso/debian.iso"}},
		NICs:  []domain.NIC{{Network: "default", MAC: "52:54:00:00:00:01"}, {Bridge: "br0", MAC: "52:54:00:00:00:02", Model: "e1000e"}},
	}
}

func mustBuild(t *testing.T, s domain.VMSpec, e Env) string {
	t.Helper()
	doc, _, err := Build(s, e)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// randomSpec draws from everything a valid spec can say.
func randomSpec(r *rand.Rand) domain.VMSpec {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	s := domain.VMSpec{
		Name: fmt.Sprintf("vm-%d", r.IntN(1000)), UUID: domain.NewUUID(), VCPUs: 1 + r.IntN(4), MemoryBytes: int64(1+r.IntN(64)) * 64 * domain.MiB,
		Title: pick("", "A <title> & 'more'"), Description: pick("", "two\nlines", "ünïcode ]]> \"q\""),
		CPU: pick("", "host-model", "maximum", "qemu64", "Nehalem"), Machine: pick("", "q35", "pc", "pc-q35-7.2"), Accel: domain.Accel(pick("", "auto", "tcg")),
		Firmware: pick("", domain.FirmwareBIOS, domain.FirmwareUEFI, domain.FirmwareUEFISecure), TPM: r.IntN(3) == 0, Graphics: pick("", "vnc", "none"), Video: pick("", "", "virtio"),
	}
	if s.Firmware == domain.FirmwareUEFISecure {
		s.Machine = "q35"
	}
	if r.IntN(2) == 0 {
		s.MaxVCPUs = s.VCPUs * 2
	}
	if r.IntN(2) == 0 {
		s.MaxMemoryBytes = s.MemoryBytes * 2
	}
	if r.IntN(3) == 0 {
		s.Topology = &domain.Topology{Sockets: 1, Cores: max(s.VCPUs, s.MaxVCPUs), Threads: 1}
	}
	if r.IntN(3) == 0 {
		s.Boot = domain.Boot{Kernel: "/boot/vmlinuz", Initrd: "/boot/initrd & co", Cmdline: "console=ttyS0 quote='x' a<b"}
	} else if r.IntN(2) == 0 {
		s.Boot.Order = [][]string{{"hd"}, {"cdrom", "hd"}, {"network", "hd", "cdrom"}}[r.IntN(3)]
	}
	for i := range r.IntN(5) {
		d := domain.Disk{Source: fmt.Sprintf("/images/%d & more's.qcow2", i), Bus: pick("", "virtio", "scsi", "sata", "usb"), Cache: pick("", "none", "writeback"), ReadOnly: r.IntN(5) == 0}
		if s.Machine != "q35" && d.Bus == "sata" {
			d.Bus = "ide"
		}
		if strings.Contains(s.Machine, "q35") || s.Machine == "" {
			if d.Bus == "ide" {
				d.Bus = "sata"
			}
		}
		if d.Bus == "ide" || d.Bus == "sata" {
			d.ReadOnly = false
		}
		switch r.IntN(4) {
		case 0:
			d.Device, d.Bus, d.Source = "cdrom", "", pick("", "/iso/a.iso")
			d.ReadOnly = true
		case 1:
			d.Pool, d.Volume, d.Source, d.Format = "default", fmt.Sprintf("v%d.qcow2", i), "", "qcow2"
		}
		if d.Device == "" || d.Device == "disk" {
			d.Discard, d.Serial, d.Shareable = pick("", "ignore"), pick("", "WD-1 2"), r.IntN(4) == 0
			d.Secret = pick("", "0a1b2c3d-0000-4000-8000-000000000001")
			switch r.IntN(3) {
			case 0:
				d.Tune = domain.DiskTune{TotalIOPS: 100, ReadBytesPerSec: 1 << 20, WriteBytesPerSec: 7}
			case 1:
				d.Tune = domain.DiskTune{TotalBytesPerSec: 5, ReadIOPS: 3}
			}
			if d.Bus == "virtio" {
				d.IOThread = r.IntN(3)
			}
		}
		s.Disks = append(s.Disks, d)
	}
	for range r.IntN(4) {
		n := domain.NIC{Network: "default", MAC: domain.NewMAC(), Model: pick("", "virtio", "e1000e"), Down: r.IntN(4) == 0}
		if r.IntN(2) == 0 {
			n.Network, n.Bridge = "", "br0"
		}
		s.NICs = append(s.NICs, n)
	}
	return s
}

// TestBuildReadsBack holds Build and Parse to each other.
func TestBuildReadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		s := randomSpec(r)
		got, err := Parse(mustBuild(t, s, qemuEnv()))
		if err != nil {
			t.Fatal(err)
		}
		want := s
		want.Arch, want.Accel, want.Serial, want.GuestAgent = "x86_64", domain.AccelTCG, true, true
		want.Machine = or(s.Machine, "q35")
		want.Firmware = or(s.Firmware, domain.FirmwareBIOS)
		want.CPU = or(s.CPU, "maximum")
		want.Graphics = or(s.Graphics, "vnc")
		if want.Graphics != "none" {
			want.Video = or(s.Video, "vga")
		} else {
			want.Video = ""
		}
		want.RNG = &domain.RNG{Source: "/dev/urandom"}
		want.Disks = Settle(want.Machine, nil, s.Disks)
		for i := range want.Disks {
			if want.Disks[i].Source == "" {
				want.Disks[i].Source = want.Disks[i].Volume
			}
		}
		want.NICs = slices.Clone(s.NICs)
		for i := range want.NICs {
			want.NICs[i].Model = or(want.NICs[i].Model, "virtio")
		}
		if s.Boot.Kernel == "" && len(s.Boot.Order) == 0 {
			want.Boot.Order = got.Boot.Order
		}
		if a, b := fmt.Sprintf("%+v", show(want)), fmt.Sprintf("%+v", show(got)); a != b {
			t.Fatalf("want %s\ngot  %s", a, b)
		}
		if diff := domain.Diff(want, got); len(diff) != 0 {
			t.Fatalf("read back differs: %+v", diff)
		}
	}
}

func show(s domain.VMSpec) any {
	topology := s.Topology.String()
	s.Topology = nil
	rng := s.RNG.Describe()
	s.RNG = nil
	return struct {
		domain.VMSpec
		T, RNG string
	}{s, topology, rng}
}

func or(v, def string) string {
	if v == "" {
		return def
	}
	return v
}

func TestBuildChoices(t *testing.T) {
	noUEFI, noTPM, old := qemuEnv(), qemuEnv(), qemuEnv()
	noUEFI.Facts.UEFI = domain.Capability{Why: "No OVMF."}
	noUEFI.Facts.SecureBoot = noUEFI.Facts.UEFI
	noTPM.Facts.TPM = domain.Capability{Why: "No swtpm."}
	old.Facts.LibvirtVersion = "7.0.0"
	arm := qemuEnv()
	arm.Facts.Arch, arm.Facts.Machines = "aarch64", []string{"virt"}
	with := func(f func(*domain.VMSpec)) domain.VMSpec { s := webSpec(); f(&s); return s }
	for _, c := range []struct {
		name string
		spec domain.VMSpec
		env  Env
		has  []string
		not  []string
		note string
		code domain.Code
	}{
		{name: "tcg", spec: webSpec(), env: qemuEnv(), has: []string{"<domain type='qemu'>", "mode='maximum'", "machine='q35'", "listen='127.0.0.1'", "discard='unmap'", "<boot dev='hd'/>", "type='vga'", "bus='sata'", "freePageReporting='on'"}, note: "neither vmx nor svm"},
		{name: "kvm", spec: webSpec(), env: kvmEnv(), has: []string{"<domain type='kvm'>", "mode='host-passthrough'", "hpet"}, note: "Runs under KVM"},
		{name: "kvm by hand", spec: with(func(s *domain.VMSpec) { s.Accel = domain.AccelKVM }), env: qemuEnv(), code: domain.Unsupported},
		{name: "tcg by hand", spec: with(func(s *domain.VMSpec) { s.Accel = domain.AccelTCG }), env: kvmEnv(), has: []string{"<domain type='qemu'>"}, note: "as asked for"},
		{name: "old libvirt", spec: webSpec(), env: old, has: []string{"qemu64"}, not: []string{"maximum"}},
		{name: "arm", spec: webSpec(), env: arm, has: []string{"machine='virt'", "firmware='efi'", "type='keyboard'"}, not: []string{"<apic/>", "<panic", "vmport"}},
		{name: "secure boot", spec: with(func(s *domain.VMSpec) { s.Firmware = domain.FirmwareUEFISecure; s.TPM = true }), env: qemuEnv(), has: []string{"<os firmware='efi'>", "<feature enabled='yes' name='secure-boot'/>", "<smm state='on'/>", "tpm-crb"}},
		{name: "uefi", spec: with(func(s *domain.VMSpec) { s.Firmware = domain.FirmwareUEFI }), env: qemuEnv(), has: []string{"<feature enabled='no' name='secure-boot'/>"}, not: []string{"smm"}},
		{name: "no firmware on host", spec: with(func(s *domain.VMSpec) { s.Firmware = domain.FirmwareUEFI }), env: noUEFI, code: domain.Unsupported},
		{name: "no secure firmware on host", spec: with(func(s *domain.VMSpec) { s.Firmware = domain.FirmwareUEFISecure }), env: noUEFI, code: domain.Unsupported},
		{name: "no tpm on host", spec: with(func(s *domain.VMSpec) { s.TPM = true }), env: noTPM, code: domain.Unsupported},
		{name: "secure boot on pc", spec: with(func(s *domain.VMSpec) { s.Firmware = domain.FirmwareUEFISecure; s.Machine = "pc" }), env: qemuEnv(), code: domain.Invalid},
		{name: "control characters", spec: with(func(s *domain.VMSpec) { s.Title = "a\x01b" }), env: qemuEnv(), code: domain.Invalid},
		{name: "read-only sata disk", spec: with(func(s *domain.VMSpec) { s.Disks[0].Bus = "sata"; s.Disks[0].ReadOnly = true }), env: qemuEnv(), code: domain.Invalid},
		{name: "network boot", spec: with(func(s *domain.VMSpec) { s.Disks = nil }), env: qemuEnv(), has: []string{"<boot dev='network'/>"}},
		{name: "scsi", spec: with(func(s *domain.VMSpec) { s.Disks[0].Bus = "scsi" }), env: qemuEnv(), has: []string{"virtio-scsi", "<target dev='sda' bus='scsi'/>", "<target dev='sdb' bus='sata'/>"}},
		{name: "pc", spec: with(func(s *domain.VMSpec) { s.Machine = "pc" }), env: qemuEnv(), has: []string{"piix3-uhci", "bus='ide'"}, not: []string{"pcie-root-port"}},
		{name: "headless", spec: with(func(s *domain.VMSpec) { s.Graphics = "none" }), env: qemuEnv(), not: []string{"<graphics", "<video", "<input"}},
		{name: "password", spec: webSpec(), env: func() Env { e := qemuEnv(); e.GraphicsListen, e.GraphicsPassword = "0.0.0.0", "pw"; return e }(), has: []string{"passwd='pw' passwdValidTo='1970-01-01T00:00:00'"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, notes, err := Build(c.spec, c.env)
			if domain.CodeOf(err) != c.code {
				t.Fatalf("error %v, want code %q", err, c.code)
			}
			for _, h := range c.has {
				if !strings.Contains(doc, h) {
					t.Errorf("misses %s in\n%s", h, doc)
				}
			}
			for _, n := range c.not {
				if strings.Contains(doc, n) {
					t.Errorf("has %s in\n%s", n, doc)
				}
			}
			if !strings.Contains(strings.Join(notes, "\n"), c.note) {
				t.Errorf("notes %q miss %q", notes, c.note)
			}
		})
	}
}

func TestSettleNamesEveryDisk(t *testing.T) {
	have := []domain.Disk{{Target: "vda"}, {Target: "vdc"}}
	got := Settle("q35", have, []domain.Disk{{SizeBytes: 1}, {SizeBytes: 1}, {Device: "cdrom"}, {Device: "floppy"}, {Target: "vdb", Source: "/x.qcow2"}, {Device: "lun", Source: "/dev/sdx"}, {Target: "hdc"}})
	want := "vdd/virtio/qcow2 vde/virtio/qcow2 sda/sata/raw fda/fdc/raw vdb/virtio/qcow2 sdb/scsi/raw hdc/ide/raw"
	var s []string
	for _, d := range got {
		s = append(s, d.Target+"/"+d.Bus+"/"+d.Format)
	}
	if strings.Join(s, " ") != want {
		t.Errorf("got %s", strings.Join(s, " "))
	}
	taken := map[string]bool{}
	for range 26 + 26*26 + 1 {
		n := freeTarget("vd", taken)
		if taken[n] {
			t.Fatal("twice: " + n)
		}
		taken[n] = true
	}
	if !taken["vdz"] || !taken["vdaa"] || !taken["vdzz"] || !taken["vdaaa"] {
		t.Error("names are out of order")
	}
}

func volumeSpec(pool, name, format string, size int64) hv.VolumeSpec {
	return hv.VolumeSpec{Pool: pool, Name: name, Format: format, SizeBytes: size}
}
