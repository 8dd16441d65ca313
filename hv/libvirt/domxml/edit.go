package domxml

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
)

// Edit splices a change into an existing document (taken with VIR_DOMAIN_XML_SECURE, or passwords are lost) and keeps every other byte. A
// field that has the wanted value already is not touched. Autostart is not in the document and is ignored. New disks go through Settle.
// The notes say what else had to change with it.
func Edit(doc string, c domain.VMChange, env Env) (out string, notes []string, err error) {
	d, err := read(doc, "domain")
	if err != nil {
		return "", nil, err
	}
	e := &editor{document: d, env: env, was: parseDomain(d.root)}
	steps := []func(domain.VMChange) error{
		e.texts, e.vcpus, e.topology, e.memory, e.cpu, e.machine, e.firmware, e.boot, e.hardware, e.disks, e.changeDisks, e.nics,
	}
	for _, step := range steps {
		if err := step(c); err != nil {
			return "", nil, err
		}
	}
	return e.src, e.notes, nil
}

type editor struct {
	*document
	env   Env
	was   domain.VMSpec
	notes []string
}

func (e *editor) note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

func (e *editor) texts(c domain.VMChange) error {
	for _, f := range []struct {
		name  string
		was   string
		want  *string
		after []string
	}{
		{"title", e.was.Title, c.Title, []string{"genid", "uuid", "name"}},
		{"description", e.was.Description, c.Description, []string{"title", "genid", "uuid", "name"}},
	} {
		if f.want == nil || *f.want == f.was {
			continue
		}
		if err := e.setChildText(e.root, f.name, *f.want, f.after...); err != nil {
			return err
		}
	}
	return nil
}

// setChildText sets the text of parent's child, makes the child when it is missing, and removes it when the text is empty.
func (d *document) setChildText(parent *node, name, text string, after ...string) error {
	if !legal(text) {
		return domain.InvalidField(name, "The text has control characters that a definition cannot hold.", "plain text")
	}
	n := parent.kid(name)
	switch {
	case text == "" && n.exists():
		return d.remove(n)
	case text == "":
		return nil
	case n.exists():
		return d.setText(n, text)
	}
	return d.insert(parent, element(name, text), after...)
}

func (e *editor) numa() bool { return len(e.root.at("cpu", "numa").all("cell")) > 0 }

func numaError(what string) error {
	return domain.Errorf(domain.Unsupported, "This VM spreads its CPUs and memory over NUMA cells, so its %s cannot be changed alone.", what).
		WithFix("Edit the cells in its definition on the host with virsh edit.")
}

func (e *editor) vcpus(c domain.VMChange) error {
	if c.VCPUs == nil && c.MaxVCPUs == nil {
		return nil
	}
	now, most := e.was.VCPUs, max(e.was.VCPUs, e.was.MaxVCPUs)
	oldNow, oldMost := now, most
	split := e.was.MaxVCPUs > e.was.VCPUs
	if c.VCPUs != nil {
		now = *c.VCPUs
		if !split || now > most {
			most = now
		}
	}
	if c.MaxVCPUs != nil {
		most = max(*c.MaxVCPUs, now)
	}
	if now == oldNow && most == oldMost {
		return nil
	}
	if most != oldMost && e.numa() {
		return numaError("number of vCPUs")
	}
	if each := e.root.kid("vcpus"); each.exists() {
		if err := e.remove(each); err != nil {
			return err
		}
		e.note("The list of single vCPUs was dropped, as it has to agree with their number.")
	}
	n := e.root.kid("vcpu")
	if !n.exists() {
		if err := e.insert(e.root, "<vcpu>"+strconv.Itoa(most)+"</vcpu>", "currentMemory", "memory", "description", "title", "uuid", "name"); err != nil {
			return err
		}
	} else if number(n.value()) != most {
		if err := e.setText(n, strconv.Itoa(most)); err != nil {
			return err
		}
	}
	n = e.root.kid("vcpu")
	switch {
	case now < most || n.findAttr("current") != nil:
		if number(n.attr("current")) == now {
			break
		}
		if err := e.setAttr(n, "current", strconv.Itoa(now)); err != nil {
			return err
		}
	}
	t := e.was.Topology
	if most != oldMost && c.Topology == nil && t != nil && t.Sockets*t.Cores*t.Threads != most {
		e.note("The CPU topology was dropped, as it no longer gives %d vCPUs.", most)
		return e.remove(e.root.at("cpu", "topology"))
	}
	return nil
}

func (e *editor) topology(c domain.VMChange) error {
	if c.Topology == nil || e.was.Topology != nil && *c.Topology == *e.was.Topology {
		return nil
	}
	cpu := e.root.kid("cpu")
	if !cpu.exists() {
		return e.insert(e.root, cpuXML("", topologyXML(*c.Topology)), "features", "os", "vcpu")
	}
	if !cpu.kid("topology").exists() {
		return e.insert(cpu, topologyXML(*c.Topology), "vendor", "model")
	}
	for _, a := range []struct {
		name string
		n    int
	}{{"sockets", c.Topology.Sockets}, {"cores", c.Topology.Cores}, {"threads", c.Topology.Threads}, {"dies", 1}, {"clusters", 1}} {
		t := e.root.at("cpu", "topology")
		if (a.name == "dies" || a.name == "clusters") && t.findAttr(a.name) == nil || number(t.attr(a.name)) == a.n {
			continue
		}
		if err := e.setAttr(t, a.name, strconv.Itoa(a.n)); err != nil {
			return err
		}
	}
	return nil
}

func (e *editor) memory(c domain.VMChange) error {
	if c.MemoryBytes == nil || *c.MemoryBytes == e.was.MemoryBytes {
		return nil
	}
	now, most := *c.MemoryBytes, max(e.was.MemoryBytes, e.was.MaxMemoryBytes)
	if e.was.MaxMemoryBytes <= e.was.MemoryBytes || most < now {
		if e.numa() {
			return numaError("memory")
		}
		if err := e.setSize("memory", now, "description", "title", "uuid", "name"); err != nil {
			return err
		}
		if limit := e.root.kid("maxMemory"); limit.exists() && size(limit) < now {
			if err := e.setSize("maxMemory", now); err != nil {
				return err
			}
			e.note("The limit for memory modules was raised to %s with it.", domain.FormatBytes(now))
		}
		if !e.root.kid("currentMemory").exists() {
			return nil // libvirt takes the most then
		}
	}
	return e.setSize("currentMemory", now, "memory")
}

// setSize writes a scaled number in the unit that stands there when that comes out even, else in KiB.
func (d *document) setSize(name string, bytes int64, after ...string) error {
	n := d.root.kid(name)
	if !n.exists() {
		return d.insert(d.root, element(name, kib(bytes), "unit", "KiB"), after...)
	}
	mult := unitBytes[strings.ToLower(n.attr("unit"))]
	if mult == 0 || bytes%mult != 0 {
		if err := d.setAttr(n, "unit", "KiB"); err != nil {
			return err
		}
		n, mult = d.root.kid(name), domain.KiB
	}
	return d.setText(n, strconv.FormatInt((bytes+mult-1)/mult, 10))
}

func (e *editor) cpu(c domain.VMChange) error {
	if c.CPU == nil || *c.CPU == e.was.CPU {
		return nil
	}
	want := *c.CPU
	if want == "" {
		want = defaultCPU(e.root.attr("type"), e.was.Arch, e.env.Facts.LibvirtVersion)
	}
	cpu := e.root.kid("cpu")
	if !cpu.exists() {
		if want == "" {
			return nil
		}
		return e.insert(e.root, cpuXML(want, ""), "features", "os", "vcpu")
	}
	mode := want
	switch want {
	case "host-passthrough", "host-model", "maximum":
	case "":
		mode = ""
	default:
		mode = "custom"
	}
	// Attributes that the new mode does not know make libvirt refuse the document.
	drop := []string{"migratable"}
	if mode != "custom" {
		drop = append(drop, "match")
	}
	if mode == "host-passthrough" || mode == "maximum" {
		drop = []string{"match"}
	}
	if mode == "" {
		drop = append(drop, "mode", "check")
	}
	for _, name := range drop {
		if err := e.dropAttr(e.root.kid("cpu"), name); err != nil {
			return err
		}
	}
	if mode != "" {
		if err := e.setAttr(e.root.kid("cpu"), "mode", mode); err != nil {
			return err
		}
	}
	if mode == "custom" {
		if m := e.root.at("cpu", "model"); m.exists() {
			return e.setText(m, want)
		}
		return e.insert(e.root.kid("cpu"), element("model", want, "fallback", "forbid"))
	}
	gone := []string{"model", "vendor"}
	if mode == "" {
		gone = append(gone, "feature")
	}
	for _, name := range gone {
		for n := e.root.at("cpu", name); n.exists(); n = e.root.at("cpu", name) {
			if err := e.remove(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// family is what the PCI addresses of a definition depend on.
func family(machine string) string {
	switch {
	case strings.Contains(machine, "q35"):
		return "q35"
	case machine == "pc" || strings.HasPrefix(machine, "pc-i440fx"):
		return "pc"
	case machine == "virt" || strings.HasPrefix(machine, "virt-"):
		return "virt"
	}
	return machine
}

func (e *editor) machine(c domain.VMChange) error {
	if c.Machine == nil || *c.Machine == e.was.Machine {
		return nil
	}
	want := *c.Machine
	if want == "" {
		want = defaultMachine(e.was.Arch, e.env.Facts)
	}
	if want == "" || want == e.was.Machine {
		return nil
	}
	typ := e.root.at("os", "type")
	if !typ.exists() {
		return domain.Errorf(domain.Unsupported, "The definition does not say which kind of machine it is for, so the machine type cannot be changed.").
			WithFix("Edit the definition on the host with virsh edit.")
	}
	if e.was.Machine != "" && family(want) != family(e.was.Machine) && e.root.kid("devices").exists() {
		return domain.Errorf(domain.Unsupported, "The machine type cannot be changed from %s to %s: the two have different buses, and the guest's devices sit on the old ones.", e.was.Machine, want).
			WithFix("Choose a version of the same family, or create a new VM with the disks of this one.")
	}
	return e.setAttr(typ, "machine", want)
}

func (e *editor) disks(c domain.VMChange) error {
	for _, target := range c.RemoveDisks {
		n := diskNode(e.root, target)
		if !n.exists() {
			return noDisk(target)
		}
		if err := e.remove(n); err != nil {
			return err
		}
	}
	if c.Media != nil {
		n := diskNode(e.root, c.Media.Target)
		if !n.exists() {
			return noDisk(c.Media.Target)
		}
		if err := e.setSource(n, c.Media.Source); err != nil {
			return err
		}
	}
	if len(c.AddDisks) == 0 {
		return nil
	}
	for i, d := range Settle(e.was.Machine, parseDomain(e.root).Disks, c.AddDisks) {
		if err := checkDisk(fmt.Sprintf("add_disks.%d", i), d); err != nil {
			return err
		}
		if diskNode(e.root, d.Target).exists() {
			return domain.InvalidField("add_disks", "There is a disk "+d.Target+" already.", "another name, or none to have one chosen")
		}
		if err := e.addDevice(DiskXML(d), "disk"); err != nil {
			return err
		}
		if err := e.needThreads(d.IOThread); err != nil {
			return err
		}
		if d.Bus == "scsi" && !e.hasController("scsi") {
			if err := e.addDevice(scsiController, "controller", "disk"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *editor) hasController(typ string) bool {
	return slices.ContainsFunc(e.root.kid("devices").all("controller"), func(n *node) bool { return n.attr("type") == typ })
}

func (e *editor) addDevice(elem string, after ...string) error {
	dev := e.root.kid("devices")
	if !dev.exists() {
		return e.insertLast(e.root, "<devices>\n  "+strings.ReplaceAll(elem, "\n", "\n  ")+"\n</devices>")
	}
	return e.insert(dev, elem, append(after, "emulator")...)
}

func (e *editor) nics(c domain.VMChange) error {
	for _, mac := range c.RemoveNICs {
		n := nicNode(e.root, mac)
		if !n.exists() {
			return noNIC(mac)
		}
		if err := e.remove(n); err != nil {
			return err
		}
	}
	for _, n := range c.ChangeNICs {
		if err := e.changeNIC(n); err != nil {
			return err
		}
	}
	for _, n := range c.AddNICs {
		if n.MAC != "" && nicNode(e.root, n.MAC).exists() {
			return domain.InvalidField("add_nics", "There is a card with the address "+n.MAC+" already.", "another address, or none to have one made")
		}
		if err := e.addDevice(NICXML(n), "interface", "controller", "disk"); err != nil {
			return err
		}
	}
	return nil
}
