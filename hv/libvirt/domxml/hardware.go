package domxml

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"novacron/domain"
)

// parseHardware reads what a definition has besides processors, memory, disks and cards.
func parseHardware(root *node) domain.Hardware {
	dev := root.kid("devices")
	h := domain.Hardware{EmulatorPins: root.at("cputune", "emulatorpin").attr("cpuset"), SharedMemory: root.at("memoryBacking", "access").attr("mode") == "shared"}
	if w := dev.kid("watchdog"); w.exists() {
		h.Watchdog = &domain.Watchdog{Model: w.attr("model"), Action: cmp.Or(w.attr("action"), "reset")}
	}
	if g := dev.kid("rng"); g.exists() {
		rate := g.kid("rate")
		h.RNG = &domain.RNG{Source: cmp.Or(g.kid("backend").value(), g.kid("backend").attr("model")), Bytes: number(rate.attr("bytes")), PeriodMS: number(rate.attr("period"))}
	}
	for _, f := range dev.all("filesystem") {
		if f.kid("driver").attr("type") == "virtiofs" {
			h.Filesystems = append(h.Filesystems, domain.Filesystem{Source: cmp.Or(f.kid("source").attr("dir"), f.kid("source").attr("socket")), Tag: f.kid("target").attr("dir")})
		}
	}
	for _, n := range dev.all("hostdev") {
		if d := parseHostDevice(n); d.Address != "" {
			h.HostDevices = append(h.HostDevices, d)
		}
	}
	for _, p := range root.kid("cputune").all("vcpupin") {
		h.CPUPins = append(h.CPUPins, domain.CPUPin{VCPU: number(p.attr("vcpu")), CPUs: p.attr("cpuset")})
	}
	for _, c := range root.at("cpu", "numa").all("cell") {
		h.NUMA = append(h.NUMA, domain.NUMANode{CPUs: c.attr("cpus"), MemoryBytes: scaled(c.attr("memory"), c.attr("unit"))})
	}
	if t := root.at("numatune", "memory"); t.exists() {
		h.NUMATune = &domain.NUMATune{Mode: cmp.Or(t.attr("mode"), "strict"), Nodes: t.attr("nodeset")}
	}
	if g := root.at("memoryBacking", "hugepages"); g.exists() {
		h.Hugepages = &domain.Hugepages{SizeBytes: scaled(g.kid("page").attr("size"), g.kid("page").attr("unit"))}
	}
	if m := root.kid("maxMemory"); m.exists() {
		h.HotplugMemory = &domain.HotplugMemory{MaxBytes: size(m), Slots: number(m.attr("slots"))}
	}
	for i, m := range dev.all("memory") {
		if m.attr("model") != "dimm" {
			continue
		}
		slot := i
		if a := m.kid("address"); a.findAttr("slot") != nil {
			slot = number(a.attr("slot"))
		}
		h.MemoryDevices = append(h.MemoryDevices, domain.MemoryDevice{SizeBytes: size(m.at("target", "size")), Node: number(m.at("target", "node").value()), Slot: slot})
	}
	for _, f := range root.kid("cpu").all("feature") {
		h.CPUFeatures = append(h.CPUFeatures, domain.CPUFeature{Name: f.attr("name"), Policy: cmp.Or(f.attr("policy"), "require")})
	}
	return h
}

// settledFeatures gives what runs as far as a person asked for it: libvirt writes every feature that it decided on into the document of a running guest.
func settledFeatures(live, config []domain.CPUFeature) []domain.CPUFeature {
	asked := map[string]bool{}
	for _, f := range config {
		asked[f.Name] = true
	}
	var out []domain.CPUFeature
	for _, f := range config {
		for _, l := range live {
			if l.Name == f.Name {
				same := (l.Policy == "require" || l.Policy == "force") == (f.Policy == "require" || f.Policy == "force")
				if same || f.Policy == "optional" {
					l.Policy = f.Policy
				}
				out = append(out, l)
			}
		}
	}
	return out
}

func parseHostDevice(n *node) domain.HostDevice {
	if n.attr("mode") != "subsystem" && n.attr("mode") != "" {
		return domain.HostDevice{}
	}
	src := n.kid("source")
	a := src.kid("address")
	d := domain.HostDevice{Kind: n.attr("type")}
	switch d.Kind {
	case "pci":
		d.Address = fmt.Sprintf("%04x:%02x:%02x.%x", hexOrNot(a.attr("domain")), hexOrNot(a.attr("bus")), hexOrNot(a.attr("slot")), hexOrNot(a.attr("function")))
	case "usb":
		if v := src.kid("vendor"); v.exists() {
			d.Address = fmt.Sprintf("%04x:%04x", hexOrNot(v.attr("id")), hexOrNot(src.kid("product").attr("id")))
		} else {
			d.Address = a.attr("bus") + ":" + a.attr("device")
		}
	case "mdev":
		d.Address = strings.ToLower(a.attr("uuid"))
	}
	return d
}

// hexOrNot reads a number as libvirt writes it: 0x1f or 31.
func hexOrNot(s string) uint64 {
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil {
		return 0
	}
	return n
}

// WatchdogXML is the element of a watchdog.
func WatchdogXML(w domain.Watchdog) string {
	return element("watchdog", "", "model", w.Model, "action", cmp.Or(w.Action, "reset"))
}

func checkWatchdog(w domain.Watchdog, env Env) error {
	if w.Model == "itco" && older(env.Facts.LibvirtVersion, 9, 1) {
		e := domain.Errorf(domain.Unsupported, "libvirt %s on this host does not know the watchdog itco.", env.Facts.LibvirtVersion).WithFix("Choose i6300esb.")
		e.Fields = []domain.FieldError{{Field: "watchdog.model", Msg: e.Msg, Want: "i6300esb"}}
		return e
	}
	return nil
}

// RNGXML is the element of a source of random numbers.
func RNGXML(g domain.RNG) string {
	rate := ""
	if g.Bytes > 0 {
		rate = "\n  " + rateXML(g)
	}
	return "<rng model='virtio'>" + rate + "\n  " + element("backend", g.Source, "model", "random") + "\n</rng>"
}

func rateXML(g domain.RNG) string {
	period := ""
	if g.PeriodMS > 0 {
		period = strconv.Itoa(g.PeriodMS)
	}
	return element("rate", "", "bytes", strconv.Itoa(g.Bytes), "period", period)
}

// FilesystemXML is the element of a shared directory.
func FilesystemXML(f domain.Filesystem) string {
	return "<filesystem type='mount' accessmode='passthrough'>\n  <driver type='virtiofs'/>\n  " + element("source", "", "dir", f.Source) + "\n  " + element("target", "", "dir", f.Tag) + "\n</filesystem>"
}

// HostDeviceXML is the element of a device of the host whose address is settled.
func HostDeviceXML(d domain.HostDevice) (string, error) {
	head, source := []string{"mode", "subsystem", "type", d.Kind, "managed", "yes"}, ""
	switch d.Kind {
	case "pci":
		var dom, bus, slot, fn uint32
		if n, err := fmt.Sscanf(domain.NormalPCI(d.Address), "%x:%x:%x.%x", &dom, &bus, &slot, &fn); err != nil || n != 4 {
			return "", badAddress(d)
		}
		source = element("address", "", "domain", fmt.Sprintf("0x%04x", dom), "bus", fmt.Sprintf("0x%02x", bus), "slot", fmt.Sprintf("0x%02x", slot), "function", fmt.Sprintf("0x%x", fn))
	case "usb":
		a, b, ok := strings.Cut(d.Address, ":")
		switch {
		case !ok:
			return "", badAddress(d)
		case len(a) == 4 && len(b) == 4:
			source = element("vendor", "", "id", "0x"+a) + "\n    " + element("product", "", "id", "0x"+b)
		default:
			source = element("address", "", "bus", a, "device", b)
		}
	case "mdev":
		head = []string{"mode", "subsystem", "type", "mdev", "model", "vfio-pci"}
		source = element("address", "", "uuid", d.Address)
	default:
		return "", badAddress(d)
	}
	return "<hostdev" + joinAttrs(head) + ">\n  <source>\n    " + source + "\n  </source>\n</hostdev>", nil
}

func badAddress(d domain.HostDevice) error {
	return domain.InvalidField("host_devices", "“"+d.Address+"” is not the address of a device.", "pci 0000:03:00.0, usb 3:7 or 046d:c52b, mdev a UUID")
}

// MemoryDeviceXML is the element of a memory module.
func MemoryDeviceXML(m domain.MemoryDevice) string {
	return "<memory model='dimm'>\n  <target>\n    " + element("size", kib(m.SizeBytes), "unit", "KiB") + "\n    " + element("node", strconv.Itoa(m.Node)) + "\n  </target>\n  " +
		element("address", "", "type", "dimm", "slot", strconv.Itoa(m.Slot)) + "\n</memory>"
}

func tpmXML(arch string) string {
	return "<tpm model='" + tpmModel(arch) + "'>\n  <backend type='emulator' version='2.0'/>\n</tpm>"
}

func numaXML(nodes []domain.NUMANode) string {
	var b strings.Builder
	b.WriteString("<numa>\n")
	for i, n := range nodes {
		b.WriteString("  " + element("cell", "", "id", strconv.Itoa(i), "cpus", n.CPUs, "memory", kib(n.MemoryBytes), "unit", "KiB") + "\n")
	}
	b.WriteString("</numa>")
	return b.String()
}

func hugepagesXML(g domain.Hugepages) string {
	if g.SizeBytes == 0 {
		return "<hugepages/>"
	}
	return "<hugepages>\n  " + element("page", "", "size", kib(g.SizeBytes), "unit", "KiB") + "\n</hugepages>"
}

func pinXML(p domain.CPUPin) string {
	return element("vcpupin", "", "vcpu", strconv.Itoa(p.VCPU), "cpuset", p.CPUs)
}

func featureXML(f domain.CPUFeature) string {
	return element("feature", "", "policy", cmp.Or(f.Policy, "require"), "name", f.Name)
}

// hardwareHead writes what stands before the devices of a new guest.
func (b *builder) hardwareHead() {
	s, w := b.spec, &b.w
	if s.Hugepages != nil || s.SharedMemory || len(s.Filesystems) > 0 {
		w.open("memoryBacking")
		if s.Hugepages != nil {
			w.raw(hugepagesXML(*s.Hugepages))
		}
		if s.SharedMemory || len(s.Filesystems) > 0 {
			w.raw(sharedMemory)
		}
		w.close("memoryBacking")
	}
	if len(s.CPUPins) > 0 || s.EmulatorPins != "" {
		w.open("cputune")
		for _, p := range s.CPUPins {
			w.raw(pinXML(p))
		}
		if s.EmulatorPins != "" {
			w.empty("emulatorpin", "cpuset", s.EmulatorPins)
		}
		w.close("cputune")
	}
	if t := s.NUMATune; t != nil && t.Mode != "none" {
		w.raw("<numatune>\n  " + element("memory", "", "mode", t.Mode, "nodeset", t.Nodes) + "\n</numatune>")
	}
}

const sharedMemory = "<source type='memfd'/>\n<access mode='shared'/>"

// hardwareDevices writes the devices of a new guest's hardware.
func (b *builder) hardwareDevices() error {
	s, w := b.spec, &b.w
	for _, f := range s.Filesystems {
		w.raw(FilesystemXML(f))
	}
	for _, d := range s.HostDevices {
		elem, err := HostDeviceXML(d)
		if err != nil {
			return err
		}
		w.raw(elem)
	}
	if s.Watchdog != nil && s.Watchdog.Model != "none" {
		if err := checkWatchdog(*s.Watchdog, b.env); err != nil {
			return err
		}
		w.raw(WatchdogXML(*s.Watchdog))
	}
	switch {
	case s.RNG == nil:
		w.raw(RNGXML(domain.RNG{Source: "/dev/urandom"}))
	case s.RNG.Source != "none":
		w.raw(RNGXML(*s.RNG))
	}
	for _, m := range domain.SettleModules(nil, s.MemoryDevices) {
		w.raw(MemoryDeviceXML(m))
	}
	return nil
}

// cells are the nodes of a new guest: memory modules need one.
func cells(s domain.VMSpec) []domain.NUMANode {
	if len(s.NUMA) > 0 || s.HotplugMemory == nil {
		return s.NUMA
	}
	n, memory := max(1, s.VCPUs, s.MaxVCPUs), max(s.MemoryBytes, s.MaxMemoryBytes)
	for _, m := range s.MemoryDevices {
		memory -= m.SizeBytes
	}
	cpus := "0"
	if n > 1 {
		cpus = "0-" + strconv.Itoa(n-1)
	}
	return []domain.NUMANode{{CPUs: cpus, MemoryBytes: memory}}
}
