package domxml

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
)

// spareRootPorts is how many devices can be plugged into a new q35 guest while it runs.
const spareRootPorts = 6

// writer makes indented XML.
type writer struct {
	b     strings.Builder
	depth int
}

func (w *writer) raw(lines string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\n"), "\n") {
		w.b.WriteString(strings.Repeat("  ", w.depth) + line + "\n")
	}
}

// open, empty and text write a start tag, an empty element and an element with text; attributes with empty values are left out.
func (w *writer) open(name string, attrs ...string) {
	w.raw("<" + name + joinAttrs(attrs) + ">")
	w.depth++
}

func (w *writer) close(name string) { w.depth--; w.raw("</" + name + ">") }

func (w *writer) empty(name string, attrs ...string) { w.raw(element(name, "", attrs...)) }

func (w *writer) text(name, text string, attrs ...string) { w.raw(element(name, text, attrs...)) }

// element is one element on one line.
func element(name, text string, attrs ...string) string {
	if text == "" {
		return "<" + name + joinAttrs(attrs) + "/>"
	}
	return "<" + name + joinAttrs(attrs) + ">" + escText(text) + "</" + name + ">"
}

func joinAttrs(pairs []string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			b.WriteString(" " + pairs[i] + "='" + escAttr(pairs[i+1]) + "'")
		}
	}
	return b.String()
}

// Build makes the document of a new guest. The spec's name, UUID, MACs and disk sources are settled; targets and defaults are chosen here, and
// the notes say which and why.
func Build(spec domain.VMSpec, env Env) (doc string, notes []string, err error) {
	var p domain.Problems
	checkLegal(&p, "title", spec.Title)
	checkLegal(&p, "description", spec.Description)
	checkLegal(&p, "boot.cmdline", spec.Boot.Cmdline)
	if err := p.Err(); err != nil {
		return "", nil, err
	}
	b := &builder{spec: spec, env: env}
	if env.Facts.Driver == "TEST" {
		b.kind = "test"
	} else if err := b.choose(); err != nil {
		return "", nil, err
	}
	b.spec.Disks = Settle(b.spec.Machine, nil, spec.Disks)
	for i, d := range b.spec.Disks {
		if err := checkDisk(fmt.Sprintf("disks.%d", i), d); err != nil {
			return "", nil, err
		}
	}
	if b.kind == "test" {
		b.test()
	} else {
		if err := b.full(); err != nil {
			return "", nil, err
		}
	}
	return b.w.b.String(), b.notes, nil
}

func checkLegal(p *domain.Problems, field, v string) {
	if !legal(v) {
		p.Add(field, "The text has control characters that a definition cannot hold.", "plain text")
	}
}

type builder struct {
	spec  domain.VMSpec
	env   Env
	kind  string // the domain's type
	notes []string
	w     writer
}

func (b *builder) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

func (b *builder) x86() bool { return isX86(b.spec.Arch) }

func isX86(arch string) bool { return arch == "" || arch == "x86_64" || arch == "i686" }

func (b *builder) q35() bool { return b.x86() && strings.Contains(b.spec.Machine, "q35") }

// choose settles accelerator, architecture, machine, firmware, CPU and screen.
func (b *builder) choose() error {
	s, f := &b.spec, b.env.Facts
	if s.Arch == "" {
		s.Arch = f.Arch
		if s.Arch == "" {
			s.Arch = "x86_64"
		}
	}
	switch {
	case s.Accel == domain.AccelTCG:
		b.kind = "qemu"
		b.note("Runs under TCG (emulation), as asked for.")
	case s.Accel == domain.AccelKVM && (f.KVM.OK || f.KVMOffered): // whether the host is trusted with it was judged before
		b.kind = "kvm"
		b.note("Runs under KVM, as asked for or set for the host.")
	case s.Accel == domain.AccelKVM:
		e := domain.Errorf(domain.Unsupported, "This host cannot run guests under KVM. %s", f.KVM.Why).WithFix("Choose the accelerator auto or tcg, or another host.")
		e.Fields = []domain.FieldError{{Field: "accel", Msg: e.Msg, Want: "auto or tcg"}}
		return e
	case f.KVM.OK:
		b.kind = "kvm"
		b.note("Runs under KVM: %s", f.KVM.Why)
	default:
		b.kind = "qemu"
		b.note("Runs under TCG (emulation, much slower) because KVM is not usable: %s", f.KVM.Why)
	}
	if s.Machine == "" {
		s.Machine = defaultMachine(s.Arch, f)
		if s.Machine != "" {
			b.note("Machine type %s.", s.Machine)
		}
	}
	if err := b.firmware(); err != nil {
		return err
	}
	if s.TPM && !f.TPM.OK {
		return domain.Errorf(domain.Unsupported, "This host cannot give a VM a TPM: %s", f.TPM.Why).WithFix("Choose another host, or leave the TPM out.")
	}
	if s.CPU == "" {
		s.CPU = defaultCPU(b.kind, s.Arch, f.LibvirtVersion)
		if s.CPU != "" {
			b.note("CPU %s.", s.CPU)
		}
	}
	if s.Graphics == "" {
		s.Graphics = "vnc"
	}
	return nil
}

func defaultMachine(arch string, f domain.HostFacts) string {
	want := "q35"
	switch {
	case isX86(arch):
	case arch == "aarch64" || arch == "armv7l" || strings.HasPrefix(arch, "riscv"):
		want = "virt"
	default:
		return f.DefaultMachine
	}
	if len(f.Machines) == 0 || slices.Contains(f.Machines, want) {
		return want
	}
	return f.DefaultMachine
}

// defaultCPU is the host's own CPU where hardware runs the guest. Emulation gets everything that QEMU can emulate, because current
// distributions refuse to boot on the bare baseline of qemu64 (they want x86-64-v2).
func defaultCPU(kind, arch, libvirt string) string {
	switch {
	case kind == "kvm":
		return "host-passthrough"
	case kind != "qemu":
		return ""
	case isX86(arch) && older(libvirt, 7, 1): // where "maximum" came
		return "qemu64"
	case isX86(arch), arch == "aarch64" && !older(libvirt, 7, 1):
		return "maximum"
	}
	return ""
}

// older reports whether a known version is before major.minor.
func older(version string, major, minor int) bool {
	a, rest, _ := strings.Cut(version, ".")
	b, _, _ := strings.Cut(rest, ".")
	return a != "" && (number(a) < major || number(a) == major && number(b) < minor)
}

func (b *builder) firmware() error {
	s, f := &b.spec, b.env.Facts
	switch s.Firmware {
	case domain.FirmwareUEFI:
		if !f.UEFI.OK {
			return domain.Errorf(domain.Unsupported, "This host has no UEFI firmware for VMs: %s", f.UEFI.Why).WithFix("Choose BIOS, choose another host, or install the firmware on this one.")
		}
	case domain.FirmwareUEFISecure:
		if !f.SecureBoot.OK {
			return domain.Errorf(domain.Unsupported, "This host cannot start a VM with secure boot: %s", f.SecureBoot.Why).WithFix("Choose another host, or UEFI without secure boot.")
		}
		if b.x86() && !b.q35() {
			return domain.InvalidField("machine", "Secure boot needs a q35 machine; "+s.Machine+" is not one.", "q35")
		}
	case "":
		s.Firmware = domain.FirmwareBIOS
		if !b.x86() && f.UEFI.OK {
			s.Firmware = domain.FirmwareUEFI // the only firmware that these machines have
			b.note("Firmware UEFI.")
		}
	}
	return nil
}

func (b *builder) head() {
	s, w := b.spec, &b.w
	w.open("domain", "type", b.kind)
	w.text("name", s.Name)
	if s.UUID != "" {
		w.text("uuid", s.UUID)
	}
	if s.Title != "" {
		w.text("title", s.Title)
	}
	if s.Description != "" {
		w.text("description", s.Description)
	}
	w.open("metadata")
	w.raw("<novacron:vm xmlns:novacron='urn:novacron:vm:1' origin='created'/>")
	w.close("metadata")
	most := max(s.MemoryBytes, s.MaxMemoryBytes)
	if r := s.HotplugMemory; r != nil && r.MaxBytes > 0 {
		w.text("maxMemory", kib(r.MaxBytes), "slots", strconv.Itoa(r.Slots), "unit", "KiB")
	}
	w.text("memory", kib(most), "unit", "KiB")
	w.text("currentMemory", kib(s.MemoryBytes), "unit", "KiB")
	vcpus, current := max(1, s.VCPUs, s.MaxVCPUs), ""
	if s.VCPUs > 0 && s.VCPUs < vcpus {
		current = strconv.Itoa(s.VCPUs)
	}
	w.text("vcpu", strconv.Itoa(vcpus), "placement", "static", "current", current)
	if n := ioThreads(s.Disks); n > 0 {
		w.text("iothreads", strconv.Itoa(n))
	}
}

func kib(n int64) string { return strconv.FormatInt((n+1023)/1024, 10) }

// test makes a guest of libvirt's test driver, which keeps what it is told and starts nothing.
func (b *builder) test() {
	s, w := b.spec, &b.w
	b.head()
	w.open("os")
	w.text("type", "hvm", "arch", s.Arch)
	w.raw(strings.Join(bootLines(s.Boot), "\n"))
	w.close("os")
	b.cpuElement("")
	w.open("devices")
	for _, d := range s.Disks {
		w.raw(DiskXML(d))
	}
	for _, n := range s.NICs {
		w.raw(NICXML(n))
	}
	w.raw("<serial type='pty'/>\n<console type='pty'/>")
	if s.Graphics != "none" {
		w.raw("<graphics type='vnc' autoport='yes'/>")
	}
	w.close("devices")
	w.close("domain")
}

func (b *builder) full() error {
	s, w := b.spec, &b.w
	b.head()
	b.hardwareHead()
	b.os()
	w.open("features")
	w.empty("acpi")
	if b.x86() {
		w.empty("apic")
		w.empty("vmport", "state", "off")
	}
	if s.Firmware == domain.FirmwareUEFISecure && b.x86() {
		w.empty("smm", "state", "on")
	}
	w.close("features")
	b.cpuElement(s.CPU)
	b.clock()
	w.text("on_poweroff", "destroy")
	w.text("on_reboot", "restart")
	w.text("on_crash", "destroy") // shown as crashed; a restart would hide it
	if b.x86() {
		w.open("pm")
		w.empty("suspend-to-mem", "enabled", "no")
		w.empty("suspend-to-disk", "enabled", "no")
		w.close("pm")
	}
	if err := b.devices(); err != nil {
		return err
	}
	w.close("domain")
	return nil
}

func (b *builder) os() {
	s, w := b.spec, &b.w
	efi := ""
	if s.Firmware != domain.FirmwareBIOS {
		efi = "efi"
	}
	w.open("os", "firmware", efi)
	w.text("type", "hvm", "arch", s.Arch, "machine", s.Machine)
	if efi != "" {
		w.raw(firmwareXML(s.Firmware))
	}
	boot := s.Boot
	if boot.Kernel == "" && len(boot.Order) == 0 {
		boot.Order = defaultOrder(s)
	}
	for _, l := range bootLines(boot) {
		w.raw(l)
	}
	w.close("os")
}

func firmwareXML(firmware string) string {
	yes := "no"
	if firmware == domain.FirmwareUEFISecure {
		yes = "yes"
	}
	return "<firmware>\n  <feature enabled='" + yes + "' name='secure-boot'/>\n  <feature enabled='" + yes + "' name='enrolled-keys'/>\n</firmware>"
}

// defaultOrder tries disks first: an empty one falls through to the installer, and once installed the guest boots itself.
func defaultOrder(s domain.VMSpec) []string {
	var order []string
	for _, kind := range []string{"disk", "cdrom"} {
		if slices.ContainsFunc(s.Disks, func(d domain.Disk) bool { return d.Device == kind }) {
			order = append(order, map[string]string{"disk": "hd", "cdrom": "cdrom"}[kind])
		}
	}
	if len(order) == 0 && len(s.NICs) > 0 {
		order = append(order, "network")
	}
	return order
}

func bootLines(b domain.Boot) []string {
	var out []string
	for _, e := range []struct{ name, text string }{{"kernel", b.Kernel}, {"initrd", b.Initrd}, {"cmdline", b.Cmdline}} {
		if e.text != "" {
			out = append(out, element(e.name, e.text))
		}
	}
	for _, dev := range b.Order {
		out = append(out, element("boot", "", "dev", dev))
	}
	return out
}

func (b *builder) cpuElement(model string) {
	var inner []string
	if t := b.spec.Topology; t != nil {
		inner = append(inner, topologyXML(*t))
	}
	for _, f := range b.spec.CPUFeatures {
		inner = append(inner, featureXML(f))
	}
	if nodes := cells(b.spec); len(nodes) > 0 {
		inner = append(inner, numaXML(nodes))
	}
	if model == "" && len(inner) == 0 {
		return
	}
	b.w.raw(cpuXML(model, strings.ReplaceAll(strings.Join(inner, "\n"), "\n", "\n  ")))
}

func topologyXML(t domain.Topology) string {
	return element("topology", "", "sockets", strconv.Itoa(t.Sockets), "cores", strconv.Itoa(t.Cores), "threads", strconv.Itoa(t.Threads))
}

// cpuXML makes the cpu element; inner is put behind the model.
func cpuXML(model, inner string) string {
	attrs, body := []string{}, ""
	switch model {
	case "":
	case "host-passthrough", "maximum":
		attrs = []string{"mode", model, "check", "none"}
	case "host-model":
		attrs = []string{"mode", model, "check", "partial"}
	default:
		attrs = []string{"mode", "custom", "match", "exact", "check", "none"}
		body = "  " + element("model", model, "fallback", "forbid") + "\n"
	}
	if inner != "" {
		body += "  " + inner + "\n"
	}
	if body == "" {
		return element("cpu", "", attrs...)
	}
	return "<cpu" + joinAttrs(attrs) + ">\n" + body + "</cpu>"
}

func (b *builder) clock() {
	w := &b.w
	if b.kind != "kvm" || !b.x86() {
		w.empty("clock", "offset", "utc")
		return
	}
	// What every guest of KVM on x86 wants: lost ticks are made up for, and no timer that costs exits.
	w.open("clock", "offset", "utc")
	w.empty("timer", "name", "rtc", "tickpolicy", "catchup")
	w.empty("timer", "name", "pit", "tickpolicy", "delay")
	w.empty("timer", "name", "hpet", "present", "no")
	w.close("clock")
}
