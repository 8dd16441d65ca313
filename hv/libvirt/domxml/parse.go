package domxml

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
)

const agentChannel = "org.qemu.guest_agent.0"

// Parse reads a domain document into a spec. What the spec has no field for is left out; what cannot be read is zero. A card that is
// neither on a network nor on a bridge shows its kind ("user", "vhostuser" …) as its network.
func Parse(doc string) (domain.VMSpec, error) {
	d, err := read(doc, "domain")
	if err != nil {
		return domain.VMSpec{}, err
	}
	return parseDomain(d.root), nil
}

// ParseLive reads the document of a running guest beside the spec that its next start will use. Where libvirt wrote down what it made of a
// setting, the setting itself is given back, so that comparing the two shows what a person changed and nothing else: host-model is spelled
// out as a model with features, a firmware that it chose is named by its files, and the balloon's size moves by itself below the same ceiling.
func ParseLive(doc string, config domain.VMSpec) (domain.VMSpec, error) {
	d, err := read(doc, "domain")
	if err != nil {
		return domain.VMSpec{}, err
	}
	live := parseDomain(d.root)
	cpu, os := d.root.kid("cpu"), d.root.kid("os")
	if config.CPU == "host-model" && cpu.attr("mode") == "custom" && cpu.kid("vendor").exists() {
		live.CPU = config.CPU
	}
	live.CPUFeatures = settledFeatures(live.CPUFeatures, config.CPUFeatures)
	if uefi(live) && uefi(config) && !os.kid("firmware").exists() && os.kid("loader").value() != "" {
		live.Firmware = config.Firmware
	}
	if most := max(live.MemoryBytes, live.MaxMemoryBytes); most == max(config.MemoryBytes, config.MaxMemoryBytes) {
		live.MemoryBytes, live.MaxMemoryBytes = config.MemoryBytes, config.MaxMemoryBytes
	}
	return live, nil
}

func uefi(s domain.VMSpec) bool {
	return s.Firmware == domain.FirmwareUEFI || s.Firmware == domain.FirmwareUEFISecure
}

func parseDomain(root *node) domain.VMSpec {
	os, dev := root.kid("os"), root.kid("devices")
	s := domain.VMSpec{
		Name:        root.kid("name").text,
		UUID:        strings.ToLower(root.kid("uuid").value()),
		Title:       root.kid("title").text,
		Description: root.kid("description").text,
		Arch:        os.kid("type").attr("arch"),
		Machine:     os.kid("type").attr("machine"),
		Firmware:    parseFirmware(os),
		TPM:         dev.kid("tpm").exists(),
		Graphics:    parseGraphics(dev),
		Video:       dev.at("video", "model").attr("type"),
		Serial:      dev.kid("serial").exists() || dev.kid("console").exists(),
		Boot: domain.Boot{
			Kernel: os.kid("kernel").value(), Initrd: os.kid("initrd").value(), Cmdline: os.kid("cmdline").value(), Order: bootOrder(root),
		},
		Topology: parseTopology(root),
		CPU:      parseCPU(root.kid("cpu")),
		Hardware: parseHardware(root),
	}
	switch root.attr("type") {
	case "kvm":
		s.Accel = domain.AccelKVM
	case "qemu":
		s.Accel = domain.AccelTCG
	}
	s.VCPUs, s.MaxVCPUs = parseVCPUs(root)
	s.MemoryBytes, s.MaxMemoryBytes = parseMemory(root)
	for _, c := range dev.all("channel") {
		s.GuestAgent = s.GuestAgent || c.kid("target").attr("name") == agentChannel
	}
	for _, n := range dev.all("disk") {
		s.Disks = append(s.Disks, parseDisk(n))
	}
	for _, n := range dev.all("interface") {
		s.NICs = append(s.NICs, parseNIC(n))
	}
	return s
}

func parseFirmware(os *node) string {
	loader := os.kid("loader")
	secure := loader.attr("secure") == "yes"
	// The features say what was asked for; the loader's "secure" only what it could do.
	features := os.kid("firmware").all("feature")
	for _, f := range features {
		switch f.attr("name") {
		case "secure-boot":
			secure = f.attr("enabled") == "yes"
		case "enrolled-keys":
			if f.attr("enabled") == "no" {
				secure = false
			}
		}
	}
	path := strings.ToLower(loader.value())
	uefi := os.attr("firmware") == "efi" || os.attr("firmware") == "" &&
		(loader.attr("type") == "pflash" || os.kid("nvram").exists() || strings.Contains(path, "ovmf") || strings.Contains(path, "aavmf") || strings.Contains(path, "edk2"))
	switch {
	case uefi && secure:
		return domain.FirmwareUEFISecure
	case uefi:
		return domain.FirmwareUEFI
	}
	return domain.FirmwareBIOS
}

func parseGraphics(dev *node) string {
	if g := graphicsNode(dev); g.exists() {
		return g.attr("type")
	}
	return "none"
}

// graphicsNode is the screen people mean: VNC if there is one.
func graphicsNode(dev *node) *node {
	for _, g := range dev.all("graphics") {
		if g.attr("type") == "vnc" {
			return g
		}
	}
	return dev.kid("graphics")
}

func parseCPU(cpu *node) string {
	switch mode := cpu.attr("mode"); mode {
	case "", "custom":
		return cpu.kid("model").value()
	default:
		return mode
	}
}

func parseTopology(root *node) *domain.Topology {
	t := root.at("cpu", "topology")
	if !t.exists() {
		return nil
	}
	n := func(name string) int { return min(max(1, number(t.attr(name))), 1<<16) }
	return &domain.Topology{Sockets: n("sockets"), Cores: n("dies") * n("clusters") * n("cores"), Threads: n("threads")}
}

// parseVCPUs gives the number at start and the most; the most is 0 when it is the same.
func parseVCPUs(root *node) (now, most int) {
	v := root.kid("vcpu")
	most = number(v.value())
	if v.value() == "" {
		most = 1 // libvirt's default
	}
	now = number(v.attr("current"))
	if now <= 0 || now >= most {
		return most, 0
	}
	return now, most
}

func parseMemory(root *node) (now, most int64) {
	most = size(root.kid("memory"))
	now = size(root.kid("currentMemory"))
	if now <= 0 || now >= most {
		return most, 0
	}
	return now, most
}

// unitBytes are libvirt's size units; without one KiB is meant.
var unitBytes = map[string]int64{
	"": 1 << 10, "b": 1, "bytes": 1,
	"kb": 1e3, "k": 1 << 10, "kib": 1 << 10, "mb": 1e6, "m": 1 << 20, "mib": 1 << 20, "gb": 1e9, "g": 1 << 30, "gib": 1 << 30,
	"tb": 1e12, "t": 1 << 40, "tib": 1 << 40, "pb": 1e15, "p": 1 << 50, "pib": 1 << 50, "eb": 1e18, "e": 1 << 60, "eib": 1 << 60,
}

// size reads a scaled number; what makes no sense is 0.
func size(n *node) int64 { return scaled(n.value(), n.attr("unit")) }

func scaled(text, unit string) int64 {
	v, err := strconv.ParseInt(text, 10, 64)
	mult := unitBytes[strings.ToLower(unit)]
	if err != nil || v < 0 || mult == 0 || v > (1<<63-1)/mult {
		return 0
	}
	return v * mult
}

func number(s string) int {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return int(n)
}

func parseDisk(n *node) domain.Disk {
	src, drv := n.kid("source"), n.kid("driver")
	d := domain.Disk{
		Target: n.kid("target").attr("dev"), Bus: n.kid("target").attr("bus"), Device: cmp.Or(n.attr("device"), "disk"),
		Format: drv.attr("type"), Cache: drv.attr("cache"), ReadOnly: n.kid("readonly").exists(),
	}
	parseDiskOptions(n, &d)
	switch n.attr("type") {
	case "volume":
		d.Pool, d.Volume = src.attr("pool"), src.attr("volume")
		d.Source = d.Volume
	case "network":
		d.Source = src.attr("name")
		if p := src.attr("protocol"); p != "" {
			d.Source = p + ":" + d.Source
		}
	default:
		d.Source = cmp.Or(src.attr("file"), src.attr("dev"), src.attr("dir"), src.attr("path"))
	}
	return d
}

// bootKind says which of the boot order's words a device answers to; "" for none.
func bootKind(n *node) string {
	switch n.name {
	case "interface":
		return "network"
	case "disk":
		switch n.attr("device") {
		case "cdrom":
			return "cdrom"
		case "floppy":
			return "fd"
		}
		return "hd"
	}
	return ""
}

// deviceBoots lists the devices that have a boot order of their own, first first.
func deviceBoots(root *node) []*node {
	var out []*node
	for _, n := range root.kid("devices").kids {
		if n.kid("boot").attr("order") != "" {
			out = append(out, n)
		}
	}
	slices.SortStableFunc(out, func(a, b *node) int {
		return cmp.Compare(number(a.kid("boot").attr("order")), number(b.kid("boot").attr("order")))
	})
	return out
}

func bootOrder(root *node) []string {
	var out []string
	for _, b := range root.kid("os").all("boot") {
		if dev := b.attr("dev"); dev != "" && !slices.Contains(out, dev) {
			out = append(out, dev)
		}
	}
	for _, n := range deviceBoots(root) {
		if k := bootKind(n); k != "" && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}
