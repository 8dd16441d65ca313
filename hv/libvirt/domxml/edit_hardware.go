package domxml

import (
	"slices"
	"strconv"

	"novacron/domain"
)

// hardware edits everything of a HardwareChange.
func (e *editor) hardware(c domain.VMChange) error {
	if c.HardwareChange.Empty() {
		return nil
	}
	for _, step := range []func(domain.HardwareChange) error{e.tpm, e.watchdog, e.rng, e.filesystems, e.hostDevices, e.pins, e.features, e.numaTune, e.hugepages, e.room, e.nodes, e.modules} {
		if err := step(c.HardwareChange); err != nil {
			return err
		}
	}
	return nil
}

// ensure gives the child of that name, made when it is missing.
func (e *editor) ensure(parent func() *node, name string, after ...string) (func() *node, error) {
	get := func() *node { return parent().kid(name) }
	if get().exists() {
		return get, nil
	}
	return get, e.insert(parent(), "<"+name+"/>", after...)
}

func (e *editor) top() *node { return e.root }

// drop removes every child of that name, and the parent with the last of its children when it is one that says nothing by itself.
func (e *editor) drop(parent func() *node, name string) error {
	had := false
	for n := parent().kid(name); n.exists(); n = parent().kid(name) {
		had = true
		if err := e.remove(n); err != nil {
			return err
		}
	}
	if p := parent(); had && p.exists() && p.parent == e.root && len(p.kids) == 0 && len(p.attrs) == 0 && p.name != "devices" {
		return e.remove(p)
	}
	return nil
}

// put replaces the child of that name, or inserts it.
func (e *editor) put(parent func() *node, name, elem string, after ...string) error {
	if err := e.insert(parent(), elem, append([]string{name}, after...)...); err != nil {
		return err
	}
	for all := parent().all(name); len(all) > 1; all = parent().all(name) { // the old ones stand before the new
		if err := e.remove(all[0]); err != nil {
			return err
		}
	}
	return nil
}

func (e *editor) devicesNode() *node { return e.root.kid("devices") }

func (e *editor) tpm(c domain.HardwareChange) error {
	if c.TPM == nil || *c.TPM == e.was.TPM {
		return nil
	}
	if !*c.TPM {
		e.note("What the TPM holds is lost when it goes.")
		return e.drop(e.devicesNode, "tpm")
	}
	if !e.env.Facts.TPM.OK {
		return domain.Errorf(domain.Unsupported, "This host cannot give a VM a TPM: %s", e.env.Facts.TPM.Why).WithFix("Install swtpm and swtpm-tools on the host.")
	}
	return e.addDevice(tpmXML(e.was.Arch), "tpm", "channel", "console", "interface", "disk")
}

func (e *editor) watchdog(c domain.HardwareChange) error {
	w := c.Watchdog
	if w == nil {
		return nil
	}
	n := e.root.at("devices", "watchdog")
	switch {
	case w.Model == "none":
		return e.drop(e.devicesNode, "watchdog")
	case n.exists() && n.attr("model") == w.Model:
		if want := defaultTo(w.Action, "reset"); n.attr("action") != want {
			return e.setAttr(n, "action", want)
		}
		return nil
	}
	if err := checkWatchdog(*w, e.env); err != nil {
		return err
	}
	if err := e.drop(e.devicesNode, "watchdog"); err != nil {
		return err
	}
	return e.addDevice(WatchdogXML(*w), "video", "graphics", "channel", "interface", "disk")
}

func defaultTo(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (e *editor) rng(c domain.HardwareChange) error {
	g := c.RNG
	if g == nil {
		return nil
	}
	get := func() *node { return e.root.at("devices", "rng") }
	switch {
	case g.Source == "none":
		return e.drop(e.devicesNode, "rng")
	case !get().exists() || get().kid("backend").attr("model") != "random":
		if err := e.drop(e.devicesNode, "rng"); err != nil {
			return err
		}
		return e.addDevice(RNGXML(*g), "memballoon", "video", "channel", "interface", "disk")
	}
	if b := get().kid("backend"); b.value() != g.Source {
		if err := e.setText(b, g.Source); err != nil {
			return err
		}
	}
	if e.was.RNG != nil && e.was.RNG.Bytes == g.Bytes && e.was.RNG.PeriodMS == g.PeriodMS {
		return nil
	}
	if err := e.drop(get, "rate"); err != nil || g.Bytes == 0 {
		return err
	}
	return e.insert(get(), rateXML(*g))
}

func fsNode(root *node, tag string) *node {
	for _, n := range root.kid("devices").all("filesystem") {
		if n.kid("target").attr("dir") == tag {
			return n
		}
	}
	return &node{}
}

func missing(what string) error {
	return domain.Errorf(domain.NotFound, "The VM has no %s.", what).WithFix("Load the page again; it may have been removed meanwhile.")
}

func (e *editor) filesystems(c domain.HardwareChange) error {
	for _, tag := range c.RemoveFilesystems {
		n := fsNode(e.root, tag)
		if !n.exists() {
			return missing("shared directory " + tag)
		}
		if err := e.remove(n); err != nil {
			return err
		}
	}
	for _, f := range c.AddFilesystems {
		if fsNode(e.root, f.Tag).exists() {
			return domain.InvalidField("add_filesystems", "There is a shared directory with the tag "+f.Tag+" already.", "another tag")
		}
		if err := e.addDevice(FilesystemXML(f), "filesystem", "disk"); err != nil {
			return err
		}
	}
	if len(c.AddFilesystems) == 0 || e.was.SharedMemory {
		return nil
	}
	backing, err := e.ensure(e.top, "memoryBacking", "currentMemory", "memory")
	if err != nil {
		return err
	}
	if s := backing().kid("source"); !s.exists() {
		if err := e.insert(backing(), "<source type='memfd'/>", "hugepages"); err != nil {
			return err
		}
	} else if t := s.attr("type"); t != "memfd" && t != "file" {
		if err := e.setAttr(s, "type", "memfd"); err != nil {
			return err
		}
	}
	e.note("The guest's memory is shared with the program that serves the directory, from the next start on.")
	if a := backing().kid("access"); a.exists() {
		return e.setAttr(a, "mode", "shared")
	}
	return e.insert(backing(), "<access mode='shared'/>", "source")
}

func hostDeviceNode(root *node, address string) *node {
	for _, n := range root.kid("devices").all("hostdev") {
		if parseHostDevice(n).Address == address {
			return n
		}
	}
	return &node{}
}

func (e *editor) hostDevices(c domain.HardwareChange) error {
	for _, a := range c.RemoveHostDevices {
		n := hostDeviceNode(e.root, a)
		if !n.exists() {
			return missing("device " + a)
		}
		if err := e.remove(n); err != nil {
			return err
		}
	}
	for _, d := range c.AddHostDevices {
		if hostDeviceNode(e.root, d.Address).exists() {
			return domain.InvalidField("add_host_devices", "The VM has the device "+d.Address+" already.", "another device")
		}
		elem, err := HostDeviceXML(d)
		if err != nil {
			return err
		}
		if err := e.addDevice(elem, "hostdev", "video", "channel", "interface", "disk"); err != nil {
			return err
		}
	}
	return nil
}

func (e *editor) cputune() *node { return e.root.kid("cputune") }

func (e *editor) pins(c domain.HardwareChange) error {
	if c.CPUPins != nil && !slices.Equal(*c.CPUPins, e.was.CPUPins) {
		if err := e.drop(e.cputune, "vcpupin"); err != nil {
			return err
		}
		for _, p := range *c.CPUPins {
			tune, err := e.ensure(e.top, "cputune", "vcpus", "vcpu")
			if err != nil {
				return err
			}
			if err := e.insert(tune(), pinXML(p), "vcpupin"); err != nil {
				return err
			}
		}
	}
	if c.EmulatorPins == nil || *c.EmulatorPins == e.was.EmulatorPins {
		return nil
	}
	if *c.EmulatorPins == "" {
		return e.drop(e.cputune, "emulatorpin")
	}
	tune, err := e.ensure(e.top, "cputune", "vcpus", "vcpu")
	if err != nil {
		return err
	}
	if n := tune().kid("emulatorpin"); n.exists() {
		return e.setAttr(n, "cpuset", *c.EmulatorPins)
	}
	return e.insert(tune(), element("emulatorpin", "", "cpuset", *c.EmulatorPins), "vcpupin")
}

func (e *editor) features(c domain.HardwareChange) error {
	if c.CPUFeatures == nil || slices.Equal(*c.CPUFeatures, e.was.CPUFeatures) {
		return nil
	}
	cpu, err := e.ensure(e.top, "cpu", "features", "os", "vcpu")
	if err != nil {
		return err
	}
	for n := cpu().kid("feature"); n.exists(); n = cpu().kid("feature") {
		if err := e.remove(n); err != nil {
			return err
		}
	}
	if len(*c.CPUFeatures) > 0 && cpu().attr("mode") == "" && !cpu().kid("model").exists() {
		return domain.InvalidField("cpu_features", "Features need a CPU model to add to or take from.", "a CPU model as well")
	}
	for _, f := range *c.CPUFeatures {
		if err := e.insert(cpu(), featureXML(f), "feature", "topology", "vendor", "model"); err != nil {
			return err
		}
	}
	return nil
}

func (e *editor) numaTune(c domain.HardwareChange) error {
	t := c.NUMATune
	if t == nil || e.was.NUMATune != nil && *t == *e.was.NUMATune {
		return nil
	}
	tune := func() *node { return e.root.kid("numatune") }
	if t.Mode == "none" {
		return e.drop(tune, "memory")
	}
	get, err := e.ensure(e.top, "numatune", "cputune", "vcpu")
	if err != nil {
		return err
	}
	return e.put(get, "memory", element("memory", "", "mode", t.Mode, "nodeset", t.Nodes))
}

func (e *editor) hugepages(c domain.HardwareChange) error {
	g := c.Hugepages
	if g == nil || e.was.Hugepages != nil && *g == *e.was.Hugepages {
		return nil
	}
	backing := func() *node { return e.root.kid("memoryBacking") }
	if g.Off {
		return e.drop(backing, "hugepages")
	}
	get, err := e.ensure(e.top, "memoryBacking", "currentMemory", "memory")
	if err != nil {
		return err
	}
	return e.put(get, "hugepages", hugepagesXML(*g))
}

// room sets how far the memory can grow by modules, which also need a node to be in.
func (e *editor) room(c domain.HardwareChange) error {
	r := c.HotplugMemory
	if r == nil || e.was.HotplugMemory != nil && *r == *e.was.HotplugMemory {
		return nil
	}
	if r.MaxBytes == 0 {
		return e.drop(e.top, "maxMemory")
	}
	elem := element("maxMemory", kib(r.MaxBytes), "slots", strconv.Itoa(r.Slots), "unit", "KiB")
	if err := e.put(e.top, "maxMemory", elem, "metadata", "description", "title", "genid", "uuid", "name"); err != nil {
		return err
	}
	if len(e.was.NUMA) > 0 || c.NUMA != nil {
		return nil
	}
	return e.setNodes(cells(domain.VMSpec{VCPUs: e.was.VCPUs, MaxVCPUs: e.was.MaxVCPUs, MemoryBytes: e.was.MemoryBytes, MaxMemoryBytes: e.was.MaxMemoryBytes, Hardware: domain.Hardware{HotplugMemory: r}}))
}

func (e *editor) nodes(c domain.HardwareChange) error {
	if c.NUMA == nil || slices.Equal(*c.NUMA, e.was.NUMA) {
		return nil
	}
	return e.setNodes(*c.NUMA)
}

func (e *editor) setNodes(nodes []domain.NUMANode) error {
	cpu := func() *node { return e.root.kid("cpu") }
	if len(nodes) == 0 {
		if !cpu().exists() {
			return nil
		}
		return e.drop(cpu, "numa")
	}
	get, err := e.ensure(e.top, "cpu", "features", "os", "vcpu")
	if err != nil {
		return err
	}
	if err := e.put(get, "numa", numaXML(nodes), "feature", "topology", "vendor", "model"); err != nil {
		return err
	}
	var sum int64
	for _, n := range nodes {
		sum += n.MemoryBytes
	}
	for _, m := range e.was.MemoryDevices {
		sum += m.SizeBytes
	}
	return e.grow(sum - max(e.was.MemoryBytes, e.was.MaxMemoryBytes))
}

// grow makes the memory agree with nodes and modules; what the balloon leaves the guest grows with it.
func (e *editor) grow(by int64) error {
	if by == 0 {
		return nil
	}
	if err := e.setSize("memory", size(e.root.kid("memory"))+by, "maxMemory", "description", "title", "uuid", "name"); err != nil {
		return err
	}
	if n := e.root.kid("currentMemory"); n.exists() {
		return e.setSize("currentMemory", max(size(n)+by, domain.MiB))
	}
	return nil
}

func moduleNode(root *node, slot int) *node {
	for i, n := range root.kid("devices").all("memory") {
		at := i
		if a := n.kid("address"); a.findAttr("slot") != nil {
			at = number(a.attr("slot"))
		}
		if n.attr("model") == "dimm" && at == slot {
			return n
		}
	}
	return &node{}
}

func (e *editor) modules(c domain.HardwareChange) error {
	for _, slot := range c.RemoveMemoryDevices {
		n := moduleNode(e.root, slot)
		if !n.exists() {
			return missing("memory module in slot " + strconv.Itoa(slot))
		}
		gone := size(n.at("target", "size"))
		if err := e.remove(n); err != nil {
			return err
		}
		if err := e.grow(-gone); err != nil {
			return err
		}
	}
	for _, m := range domain.SettleModules(parseHardware(e.root).MemoryDevices, c.AddMemoryDevices) {
		if err := e.addDevice(MemoryDeviceXML(m), "memory", "rng", "memballoon", "video", "channel", "interface", "disk"); err != nil {
			return err
		}
		if err := e.grow(m.SizeBytes); err != nil {
			return err
		}
	}
	return nil
}

// FindFilesystem, FindHostDevice, FindModule, FindWatchdog and FindRNG give the exact bytes of an element, or NotFound.
func FindFilesystem(doc, tag string) (string, error) {
	return find(doc, func(root *node) *node { return fsNode(root, tag) }, missing("shared directory "+tag))
}

// FindHostDevice finds by address.
func FindHostDevice(doc, address string) (string, error) {
	return find(doc, func(root *node) *node { return hostDeviceNode(root, address) }, missing("device "+address))
}

// FindModule finds by slot.
func FindModule(doc string, slot int) (string, error) {
	return find(doc, func(root *node) *node { return moduleNode(root, slot) }, missing("memory module in slot "+strconv.Itoa(slot)))
}

// FindWatchdog finds the watchdog.
func FindWatchdog(doc string) (string, error) {
	return find(doc, func(root *node) *node { return root.at("devices", "watchdog") }, missing("watchdog"))
}

// FindRNG finds the source of random numbers.
func FindRNG(doc string) (string, error) {
	return find(doc, func(root *node) *node { return root.at("devices", "rng") }, missing("source of random numbers"))
}
