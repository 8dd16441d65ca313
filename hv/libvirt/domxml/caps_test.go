package domxml

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
)

func hostCaps(arch, model string, features []string, domains ...string) Caps {
	return Caps{Arch: arch, CPUModel: model, CPUFeatures: features, Guests: []GuestCaps{{Arch: "i686", Domains: []string{"qemu", "kvm"}}, {Arch: arch, Domains: domains}}}
}

func TestKVM(t *testing.T) {
	masked, err := ParseCapabilities(file(t, "capabilities-masked.xml"))
	if err != nil {
		t.Fatal(err)
	}
	maskedKVM, err := ParseDomainCapabilities(file(t, "domcapabilities-kvm-masked.xml"))
	if err != nil {
		t.Fatal(err)
	}
	hostModel := func(model string, policies ...string) DomainCaps {
		d := DomainCaps{HostModel: model, HostFeatures: map[string]string{}}
		for _, p := range policies {
			name, policy, _ := strings.Cut(p, "=")
			d.HostFeatures[name] = policy
		}
		return d
	}
	for _, c := range []struct {
		name string
		caps Caps
		dc   DomainCaps
		ok   bool
		why  string
	}{
		{"a cloud's VM that opens /dev/kvm without svm", masked, maskedKVM, false, "neither vmx nor svm"},
		{"Intel lists vmx", hostCaps("x86_64", "Skylake-Client-IBRS", []string{"ss", "vmx"}, "qemu", "kvm"), DomainCaps{}, true, "vmx"},
		{"AMD lists svm", hostCaps("x86_64", "kvm64", []string{"svm"}, "qemu", "kvm"), DomainCaps{}, true, "svm"},
		{"svm hides in the model", hostCaps("x86_64", "EPYC-Rome", nil, "qemu", "kvm"), DomainCaps{}, true, "EPYC-Rome"},
		{"an old model with svm", hostCaps("x86_64", "Opteron_G3", nil, "qemu", "kvm"), DomainCaps{}, true, "Opteron_G3"},
		{"an old model without svm", hostCaps("x86_64", "Opteron_G1", nil, "qemu", "kvm"), DomainCaps{}, false, "neither"},
		{"host-model requires vmx", hostCaps("x86_64", "Cascadelake-Server", nil, "qemu", "kvm"), hostModel("Cascadelake-Server", "vmx=require"), true, "host-model"},
		{"host-model includes svm", hostCaps("x86_64", "kvm64", nil, "qemu", "kvm"), hostModel("EPYC-Milan"), true, "EPYC-Milan"},
		{"host-model takes svm away", hostCaps("x86_64", "kvm64", nil, "qemu", "kvm"), hostModel("EPYC-Milan", "svm=disable"), false, "neither"},
		{"Intel without vmx", hostCaps("x86_64", "Skylake-Client", []string{"ss"}, "qemu", "kvm"), hostModel("Skylake-Client", "vmx=disable"), false, "neither"},
		{"kvm is not offered", hostCaps("x86_64", "EPYC", []string{"svm"}, "qemu"), DomainCaps{}, false, "/dev/kvm"},
		{"ARM", hostCaps("aarch64", "Neoverse-N1", nil, "qemu", "kvm"), DomainCaps{}, true, "aarch64"},
		{"ARM without", hostCaps("aarch64", "Neoverse-N1", nil, "qemu"), DomainCaps{}, false, "/dev/kvm"},
		{"the test driver", Caps{Arch: "i686", Guests: []GuestCaps{{Arch: "i686", Domains: []string{"test"}}}}, DomainCaps{}, false, "test driver"},
		{"nothing known", Caps{}, DomainCaps{}, false, "/dev/kvm"},
	} {
		if got := KVM(c.caps, c.dc); got.OK != c.ok || !strings.Contains(got.Why, c.why) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestFillFacts(t *testing.T) {
	c, err := ParseCapabilities(file(t, "capabilities-masked.xml"))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) DomainCaps {
		d, err := ParseDomainCapabilities(file(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	var f domain.HostFacts
	FillFacts(&f, c, read("domcapabilities-qemu-q35.xml"), read("domcapabilities-kvm-masked.xml"))
	if f.Arch != "x86_64" || f.CPUModel != "EPYC-Milan" || f.CPUVendor != "AMD" || f.NUMANodes != 1 || f.KVM.OK || !f.UEFI.OK || !f.SecureBoot.OK || f.Emulator != "/usr/bin/qemu-system-x86_64" || f.MaxVCPUs != 288 {
		t.Errorf("%+v", f)
	}
	if f.DefaultMachine != "q35" || f.Machines[0] != "q35" && f.Machines[0] != "pc" || !slices.Contains(f.Machines, "pc-q35-7.2") {
		t.Errorf("%s of %q", f.DefaultMachine, f.Machines)
	}
	if slices.Index(f.Machines, "pc-q35-2.12") > slices.Index(f.Machines, "pc-q35-2.9") {
		t.Error("2.9 is listed as newer than 2.12")
	}
	FillFacts(&f, c, read("domcapabilities-qemu-pc.xml"), DomainCaps{})
	if f.SecureBoot.OK || !strings.Contains(f.SecureBoot.Why, "q35") || f.CPUModel != "kvm64" {
		t.Errorf("%+v", f)
	}
	FillFacts(&f, Caps{}, DomainCaps{}, DomainCaps{})
	if f.UEFI.OK || f.TPM.OK || f.KVM.OK || f.UEFI.Why == "" || f.TPM.Why == "" || f.SecureBoot.Why == "" || f.MaxVCPUs != 0 {
		t.Errorf("%+v", f)
	}
	old := `<capabilities><host><cpu><arch>x86_64</arch></cpu></host><guest><os_type>xen</os_type><arch name='x86_64'/></guest><guest><os_type>hvm</os_type><arch name='x86_64'>
<domain type='kvm'><emulator>/e</emulator><machine maxCpus='8'>pc</machine></domain></arch></guest></capabilities>`
	if c, err = ParseCapabilities(old); err != nil {
		t.Fatal(err)
	}
	FillFacts(&f, c, DomainCaps{}, DomainCaps{})
	if f.Emulator != "/e" || f.DefaultMachine != "pc" || f.MaxVCPUs != 8 {
		t.Errorf("%+v", f)
	}
}

func TestCapabilityReasons(t *testing.T) {
	x := DomainCaps{Arch: "x86_64", Machine: "pc-q35-7.2", Firmwares: []string{"efi"}, TPMBackends: []string{"passthrough", "emulator"}}
	with := func(f func(*DomainCaps)) DomainCaps { d := x; f(&d); return d }
	for _, c := range []struct {
		got domain.Capability
		ok  bool
		why string
	}{
		{firmwareOf(x), true, "UEFI"},
		{firmwareOf(with(func(d *DomainCaps) { d.Firmwares = []string{"bios"} })), false, "ovmf"},
		{secureBoot(x), false, "no build with secure boot"},
		{secureBoot(with(func(d *DomainCaps) { d.SecureLoader = true })), true, "secure boot"},
		{secureBoot(with(func(d *DomainCaps) { d.Firmwares = nil; d.SecureLoader = true })), false, "ovmf"},
		{tpmOf(x), true, "2.0"},
		{tpmOf(with(func(d *DomainCaps) { d.TPMBackends = nil })), false, "swtpm"},
		{tpmOf(with(func(d *DomainCaps) { d.TPMVersions = []string{"1.2"} })), false, "swtpm-tools"},
	} {
		if c.got.OK != c.ok || !strings.Contains(c.got.Why, c.why) {
			t.Errorf("%+v, want %v %q", c.got, c.ok, c.why)
		}
	}
	for _, p := range [][2]string{{"a2", "a10"}, {"a", "a1"}, {"pc-q35-9.2", "pc-q35-10.0"}, {"a1b2", "a1b10"}, {"a01", "a2"}, {"a", "b"}} {
		if naturally(p[0], p[1]) >= 0 || naturally(p[1], p[0]) <= 0 || naturally(p[0], p[0]) != 0 {
			t.Errorf("%s and %s are out of order", p[0], p[1])
		}
	}
	if got := fmt.Sprint(older("7.0.0", 7, 1), older("7.1", 7, 1), older("10.0", 7, 1), older("", 7, 1), older("6.9", 7, 1)); got != "true false false false true" {
		t.Error(got)
	}
}
