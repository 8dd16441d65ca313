package domxml

import (
	"cmp"
	"slices"
	"strings"

	"novacron/domain"
)

// Caps is what `virsh capabilities` says.
type Caps struct {
	HostUUID, Arch, CPUModel, CPUVendor string
	CPUFeatures                         []string
	NUMANodes                           int
	Guests                              []GuestCaps
}

// GuestCaps is what one guest architecture offers.
type GuestCaps struct {
	Arch, Emulator string
	Domains        []string // qemu, kvm
	Machines       []Machine
}

// Machine is a machine type.
type Machine struct {
	Name, Canonical string // Canonical is set for aliases ("q35" means "pc-q35-7.2")
	MaxCPUs         int
	Deprecated      bool
}

// DomainCaps is what `virsh domcapabilities` says for one kind of domain and machine.
type DomainCaps struct {
	Domain, Machine, Arch, Emulator string
	MaxVCPUs                        int
	Firmwares                       []string // bios, efi
	Loaders                         []string
	SecureLoader                    bool
	CPUModes                        []string
	CPUModels                       []string // usable ones by name
	HostModel                       string
	HostFeatures                    map[string]string // feature -> policy
	TPMModels, TPMBackends          []string
	TPMVersions                     []string // empty before libvirt 8.6, which does not say
}

// ParseCapabilities reads a capabilities document.
func ParseCapabilities(doc string) (Caps, error) {
	d, err := read(doc, "capabilities")
	if err != nil {
		return Caps{}, err
	}
	host := d.root.kid("host")
	cpu := host.kid("cpu")
	c := Caps{
		HostUUID: host.kid("uuid").value(), Arch: cpu.kid("arch").value(), CPUModel: cpu.kid("model").value(), CPUVendor: cpu.kid("vendor").value(),
		NUMANodes: len(host.at("topology", "cells").all("cell")),
	}
	for _, f := range cpu.all("feature") {
		c.CPUFeatures = append(c.CPUFeatures, f.attr("name"))
	}
	for _, g := range d.root.all("guest") {
		if t := g.kid("os_type").value(); t != "hvm" && t != "" {
			continue
		}
		a := g.kid("arch")
		gc := GuestCaps{Arch: a.attr("name"), Emulator: a.kid("emulator").value(), Machines: machines(a)}
		for _, dom := range a.all("domain") {
			gc.Domains = append(gc.Domains, dom.attr("type"))
			// Older daemons repeat the emulator and the machines under each kind of domain.
			gc.Emulator = cmp.Or(gc.Emulator, dom.kid("emulator").value())
			if len(gc.Machines) == 0 {
				gc.Machines = machines(dom)
			}
		}
		c.Guests = append(c.Guests, gc)
	}
	return c, nil
}

func machines(n *node) []Machine {
	var out []Machine
	for _, m := range n.all("machine") {
		out = append(out, Machine{m.value(), m.attr("canonical"), number(m.attr("maxCpus")), m.attr("deprecated") == "yes"})
	}
	return out
}

// Guest gives what the host offers for an architecture; ok is false when it does not.
func (c Caps) Guest(arch string) (g GuestCaps, ok bool) {
	for _, g := range c.Guests {
		if g.Arch == arch {
			return g, true
		}
	}
	return GuestCaps{}, false
}

// ParseDomainCapabilities reads a domcapabilities document. Ask for machine q35 on x86: the default machine cannot do secure boot and says so.
func ParseDomainCapabilities(doc string) (DomainCaps, error) {
	d, err := read(doc, "domainCapabilities")
	if err != nil {
		return DomainCaps{}, err
	}
	r := d.root
	c := DomainCaps{
		Domain: r.kid("domain").value(), Machine: r.kid("machine").value(), Arch: r.kid("arch").value(), Emulator: r.kid("path").value(),
		MaxVCPUs: number(r.kid("vcpu").attr("max")), Firmwares: enum(r.kid("os"), "firmware"), HostFeatures: map[string]string{},
		SecureLoader: slices.Contains(enum(r.at("os", "loader"), "secure"), "yes"),
	}
	for _, v := range r.at("os", "loader").all("value") {
		c.Loaders = append(c.Loaders, v.value())
	}
	for _, m := range r.kid("cpu").all("mode") {
		if m.attr("supported") != "yes" {
			continue
		}
		c.CPUModes = append(c.CPUModes, m.attr("name"))
		if m.attr("name") == "custom" {
			for _, x := range m.all("model") {
				if x.attr("usable") == "yes" {
					c.CPUModels = append(c.CPUModels, x.value())
				}
			}
		}
		if m.attr("name") == "host-model" {
			c.HostModel = m.kid("model").value()
			for _, f := range m.all("feature") {
				c.HostFeatures[f.attr("name")] = f.attr("policy")
			}
		}
	}
	if tpm := r.at("devices", "tpm"); tpm.attr("supported") == "yes" {
		c.TPMModels, c.TPMBackends, c.TPMVersions = enum(tpm, "model"), enum(tpm, "backendModel"), enum(tpm, "backendVersion")
	}
	return c, nil
}

func enum(n *node, name string) []string {
	var out []string
	for _, e := range n.all("enum") {
		if e.attr("name") == name {
			for _, v := range e.all("value") {
				out = append(out, v.value())
			}
		}
	}
	return out
}

// svmModels are the models of libvirt's CPU map that include svm. libvirt never describes a host with a model that has more than the host
// has, so such a model is as good as the feature. No Intel model includes vmx: there it is always listed by itself.
func svmModel(model string) bool {
	switch {
	case strings.HasPrefix(model, "EPYC"), model == "Dhyana", strings.HasPrefix(model, "Dhyana-"), model == "phenom":
		return true
	case strings.HasPrefix(model, "Opteron_G"):
		return model != "Opteron_G1"
	}
	return false
}

// KVM judges whether hardware virtualisation is really there. That /dev/kvm opens is not enough: inside some clouds it does, on a CPU that shows
// neither vmx nor svm, and guests on it are not known to run. kvm is the domcapabilities for virttype kvm; zero when the host has none.
func KVM(c Caps, kvm DomainCaps) domain.Capability {
	g, _ := c.Guest(c.Arch)
	if !slices.Contains(g.Domains, "kvm") {
		if slices.Contains(g.Domains, "test") {
			return domain.Capability{Why: "The test driver runs nothing."}
		}
		return domain.Capability{Why: "libvirt does not offer KVM on this host: /dev/kvm is missing or QEMU may not use it. Check that virtualisation is on in the firmware, and that the modules kvm_intel or kvm_amd are loaded."}
	}
	if !isX86(c.Arch) {
		return domain.Capability{OK: true, Why: "libvirt offers KVM on this " + c.Arch + " host."}
	}
	for _, f := range []string{"vmx", "svm"} {
		switch {
		case slices.Contains(c.CPUFeatures, f):
			return domain.Capability{OK: true, Why: "The host's CPU has " + f + "."}
		case kvm.HostFeatures[f] == "require" || kvm.HostFeatures[f] == "force":
			return domain.Capability{OK: true, Why: "The host's CPU has " + f + ", as its host-model says."}
		}
	}
	if svmModel(c.CPUModel) {
		return domain.Capability{OK: true, Why: "The host's CPU has svm, as its model " + c.CPUModel + " includes it."}
	}
	if policy := kvm.HostFeatures["svm"]; svmModel(kvm.HostModel) && policy != "disable" && policy != "forbid" {
		return domain.Capability{OK: true, Why: "The host's CPU has svm, as its host-model " + kvm.HostModel + " includes it."}
	}
	return domain.Capability{Why: "libvirt offers KVM, but the host's CPU shows neither vmx nor svm, so it is not trusted to run guests. If this host is itself a virtual machine, turn on nested virtualisation for it."}
}

// FillFacts puts into f everything that capabilities tell: architecture, CPU, NUMA, KVM, UEFI, secure boot, TPM, machines, emulator, most vCPUs.
// dc is the domcapabilities of the accelerator that auto chooses (kvm when KVM says OK, else qemu), kvm those for virttype kvm; either
// is zero when the host cannot tell.
func FillFacts(f *domain.HostFacts, c Caps, dc, kvm DomainCaps) {
	f.Arch, f.CPUVendor, f.NUMANodes = c.Arch, c.CPUVendor, max(1, c.NUMANodes)
	f.CPUModel = cmp.Or(kvm.HostModel, c.CPUModel)
	f.KVM = KVM(c, kvm)
	f.UEFI, f.SecureBoot, f.TPM = firmwareOf(dc), secureBoot(dc), tpmOf(dc)
	g, _ := c.Guest(c.Arch)
	f.KVMOffered = slices.Contains(g.Domains, "kvm")
	f.Emulator = cmp.Or(dc.Emulator, g.Emulator)
	f.MaxVCPUs, f.CPUModels = dc.MaxVCPUs, slices.Sorted(slices.Values(dc.CPUModels))
	ms := slices.Clone(g.Machines)
	slices.SortStableFunc(ms, func(a, b Machine) int {
		if a, b := a.Canonical == "", b.Canonical == ""; a != b {
			if a {
				return 1 // aliases first
			}
			return -1
		}
		return -naturally(a.Name, b.Name)
	})
	f.Machines = nil
	for _, m := range ms {
		f.Machines = append(f.Machines, m.Name)
		if f.MaxVCPUs == 0 && m.MaxCPUs > 1 {
			f.MaxVCPUs = m.MaxCPUs
		}
	}
	f.DefaultMachine = ""
	if len(g.Machines) > 0 {
		f.DefaultMachine = g.Machines[0].Name
	}
	f.DefaultMachine = defaultMachine(f.Arch, *f)
}

// naturally compares names with the numbers in them as numbers: 2.12 is after 2.9.
func naturally(a, b string) int {
	digits := func(s string) int {
		i := 0
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i
	}
	for a != "" && b != "" {
		i, j := digits(a), digits(b)
		if i > 0 && j > 0 {
			x, y := strings.TrimLeft(a[:i], "0"), strings.TrimLeft(b[:j], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[i:], b[j:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

func firmwareOf(dc DomainCaps) domain.Capability {
	switch {
	case dc.Arch == "":
		return domain.Capability{Why: "The host does not tell what its QEMU can do."}
	case slices.Contains(dc.Firmwares, "efi"):
		return domain.Capability{OK: true, Why: "The host has UEFI firmware for VMs."}
	}
	return domain.Capability{Why: "No UEFI firmware for VMs is installed on the host (package ovmf, edk2-ovmf or qemu-efi-aarch64)."}
}

func secureBoot(dc DomainCaps) domain.Capability {
	switch efi := firmwareOf(dc); {
	case !efi.OK:
		return efi
	case dc.SecureLoader:
		return domain.Capability{OK: true, Why: "The host has UEFI firmware with secure boot."}
	case isX86(dc.Arch) && !strings.Contains(dc.Machine, "q35"):
		return domain.Capability{Why: "Secure boot needs a q35 machine, which this host's QEMU was not asked about or does not have."}
	}
	return domain.Capability{Why: "The UEFI firmware on the host has no build with secure boot."}
}

func tpmOf(dc DomainCaps) domain.Capability {
	switch {
	case dc.Arch == "":
		return domain.Capability{Why: "The host does not tell what its QEMU can do."}
	case !slices.Contains(dc.TPMBackends, "emulator"):
		return domain.Capability{Why: "The TPM emulator is not installed on the host (packages swtpm and swtpm-tools)."}
	case len(dc.TPMVersions) > 0 && !slices.Contains(dc.TPMVersions, "2.0"):
		return domain.Capability{Why: "The host's TPM emulator has no version 2.0 (swtpm_setup is missing: package swtpm-tools)."}
	}
	return domain.Capability{OK: true, Why: "The host emulates a TPM 2.0."}
}
