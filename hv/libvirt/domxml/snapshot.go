package domxml

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// SnapshotXML asks for a snapshot of a guest with these disks. Those that it is not about are named too: libvirt's defaults differ by driver and version.
func SnapshotXML(s hv.SnapshotSpec, disks []domain.Disk) (string, error) {
	if !legal(s.Name) || !legal(s.Notes) {
		return "", domain.InvalidField("name", "The name or the notes have control characters that XML cannot hold.", "plain text")
	}
	var b strings.Builder
	b.WriteString("<domainsnapshot>\n  <name>" + escText(s.Name) + "</name>\n")
	if s.Notes != "" {
		b.WriteString("  <description>" + escText(s.Notes) + "</description>\n")
	}
	switch {
	case s.Memory && s.Kind == domain.SnapshotExternal:
		b.WriteString("  <memory snapshot='external' file='" + escAttr(s.MemoryFile) + "'/>\n")
	case s.Memory:
		b.WriteString("  <memory snapshot='internal'/>\n")
	default:
		b.WriteString("  <memory snapshot='no'/>\n")
	}
	b.WriteString("  <disks>\n")
	for _, d := range disks {
		file := s.Disks[d.Target]
		switch {
		case s.Kind == domain.SnapshotExternal && file != "":
			b.WriteString("    <disk name='" + escAttr(d.Target) + "' snapshot='external' type='file'>\n      <driver type='qcow2'/>\n      <source file='" + escAttr(file) + "'/>\n    </disk>\n")
		case s.Kind == domain.SnapshotInternal && d.Device != "cdrom" && d.Device != "floppy" && !d.ReadOnly && d.Source != "":
			b.WriteString("    <disk name='" + escAttr(d.Target) + "' snapshot='internal'/>\n")
		default:
			b.WriteString("    <disk name='" + escAttr(d.Target) + "' snapshot='no'/>\n")
		}
	}
	b.WriteString("  </disks>\n</domainsnapshot>\n")
	return b.String(), nil
}

// ParseSnapshot reads what a host says of a snapshot. Current is not in the document.
func ParseSnapshot(doc string) (domain.Snapshot, error) {
	d, err := read(doc, "domainsnapshot")
	if err != nil {
		return domain.Snapshot{}, err
	}
	r := d.root
	s := domain.Snapshot{Name: r.kid("name").text, Notes: r.kid("description").text, Parent: r.at("parent", "name").text, State: snapshotState(r.kid("state").value()), XML: doc}
	if sec, err := strconv.ParseInt(r.kid("creationTime").value(), 10, 64); err == nil {
		s.CreatedAt = time.Unix(sec, 0).UTC()
	}
	mem := r.kid("memory")
	switch mem.attr("snapshot") {
	case "internal", "external":
		s.Memory, s.MemoryFile = true, mem.attr("file")
	}
	if n := snapshotDomain(r); n.exists() {
		spec := parseDomain(n)
		s.Then = &spec
	}
	then := map[string]domain.Disk{}
	for _, n := range snapshotDomain(r).kid("devices").all("disk") {
		k := parseDisk(n)
		then[k.Target] = k
	}
	s.Kind = domain.SnapshotInternal
	if mem.attr("snapshot") == "external" {
		s.Kind = domain.SnapshotExternal
	}
	for _, n := range r.kid("disks").all("disk") {
		k := domain.SnapshotDisk{Target: n.attr("name")}
		switch n.attr("snapshot") {
		case "internal":
			k.Kind = domain.SnapshotInternal
		case "external", "manual":
			k.Kind, s.Kind = domain.SnapshotExternal, domain.SnapshotExternal
			k.File, k.Format = cmp.Or(n.kid("source").attr("file"), n.kid("source").attr("dev")), n.kid("driver").attr("type")
		}
		if k.Kind != "" {
			k.Base, k.BaseFormat = then[k.Target].Source, then[k.Target].Format
			s.Disks = append(s.Disks, k)
		}
	}
	return s, nil
}

// snapshotState reads the state then. A disk-only snapshot of a running guest does not say more than that.
func snapshotState(s string) domain.VMState {
	switch s {
	case "running", "blocked", "disk-snapshot", "nostate":
		return domain.VMRunning
	case "paused", "pmsuspended":
		return domain.VMPaused
	case "crashed":
		return domain.VMCrashed
	}
	return domain.VMStopped
}

// snapshotDomain is the definition that the next start would have used then: libvirt keeps it apart from what ran when the two differ.
func snapshotDomain(root *node) *node {
	if n := root.kid("inactiveDomain"); n.exists() {
		return n
	}
	return root.kid("domain")
}

// SnapshotDefinition gives the guest's definition as it was, with other files for some disks (by target): a chain written down for the old ones goes.
func SnapshotDefinition(doc string, files map[string]string) (string, error) {
	d, err := read(doc, "domainsnapshot")
	if err != nil {
		return "", err
	}
	n := snapshotDomain(d.root)
	if !n.exists() {
		return "", domain.Errorf(domain.Unsupported, "The host kept no definition with this snapshot, so it cannot be gone back to.").WithFix("It was made by a very old libvirt; use its files by hand.")
	}
	text := d.src[n.start:n.end]
	if n.name != "domain" {
		text = "<domain" + strings.TrimPrefix(strings.TrimSuffix(text, "</"+n.name+">"), "<"+n.name) + "</domain>"
	}
	text, err = WithDiskFiles(text, files)
	if err != nil {
		return "", err
	}
	inner, err := read(text, "domain")
	if err != nil {
		return "", err
	}
	if err := inner.dropAttr(inner.root, "id"); err != nil {
		return "", err
	}
	return inner.src, nil
}

// WithDiskFiles gives a guest's document with other qcow2 files for some disks, by target.
func WithDiskFiles(doc string, files map[string]string) (string, error) {
	d, err := read(doc, "domain")
	if err != nil {
		return "", err
	}
	for _, target := range slices.Sorted(maps.Keys(files)) {
		n := diskNode(d.root, target)
		if !n.exists() {
			return "", noDisk(target)
		}
		start := n.start
		disk := func() *node { return nodeAt(d.root, start) }
		for _, chain := range []string{"backingStore", "mirror"} {
			if b := disk().kid(chain); b.exists() {
				if err := d.remove(b); err != nil {
					return "", err
				}
			}
		}
		if src := disk().kid("source"); src.exists() {
			if err := d.replace(src.start, src.end, "<source file='"+escAttr(files[target])+"'/>"); err != nil {
				return "", err
			}
		} else if err := d.insert(disk(), "<source file='"+escAttr(files[target])+"'/>", "driver"); err != nil {
			return "", err
		}
		if err := d.setAttr(disk(), "type", "file"); err != nil {
			return "", err
		}
		if drv := disk().kid("driver"); drv.exists() {
			if err := d.setAttr(drv, "type", "qcow2"); err != nil {
				return "", err
			}
		} else if err := d.insert(disk(), "<driver name='qemu' type='qcow2'/>"); err != nil {
			return "", err
		}
	}
	return d.src, nil
}

// SnapshotWithFiles gives a snapshot's document with other overlays, by target.
func SnapshotWithFiles(doc string, files map[string]string) (string, error) {
	d, err := read(doc, "domainsnapshot")
	if err != nil {
		return "", err
	}
	for i := range d.root.kid("disks").all("disk") {
		n := d.root.kid("disks").all("disk")[i]
		file := files[n.attr("name")]
		if file == "" || n.attr("snapshot") != "external" {
			continue
		}
		src := n.kid("source")
		if !src.exists() {
			err = d.insert(n, "<source file='"+escAttr(file)+"'/>", "driver")
		} else {
			err = d.replace(src.start, src.end, "<source file='"+escAttr(file)+"'/>")
		}
		if err != nil {
			return "", err
		}
	}
	return d.src, nil
}

// SnapshotWithBases gives a snapshot's document whose definitions name other files: by path, what took the place of a file that was merged away.
func SnapshotWithBases(doc string, moved map[string]string) (string, error) {
	d, err := read(doc, "domainsnapshot")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"domain", "inactiveDomain"} {
		for i := range d.root.kid(name).kid("devices").all("disk") {
			src := d.root.kid(name).kid("devices").all("disk")[i].kid("source")
			for _, attr := range []string{"file", "dev"} {
				if to := moved[src.attr(attr)]; to != "" && src.attr(attr) != "" {
					if err := d.setAttr(src, attr, to); err != nil {
						return "", err
					}
				}
			}
		}
	}
	return d.src, nil
}

// SnapshotUnder gives a snapshot's document with another parent; "" makes it a root.
func SnapshotUnder(doc, parent string) (string, error) {
	d, err := read(doc, "domainsnapshot")
	if err != nil {
		return "", err
	}
	if n := d.root.kid("parent"); n.exists() {
		if err := d.remove(n); err != nil {
			return "", err
		}
	}
	if parent != "" {
		if err := d.insert(d.root, "<parent>\n  <name>"+escText(parent)+"</name>\n</parent>", "state", "description", "name"); err != nil {
			return "", err
		}
	}
	return d.src, nil
}

// ShowsFiles tells whether a guest's document has these files as its disks, by target.
func ShowsFiles(doc string, files map[string]string) (bool, error) {
	d, err := read(doc, "domain")
	if err != nil {
		return false, err
	}
	for target, file := range files {
		if parseDisk(diskNode(d.root, target)).Source != file {
			return false, nil
		}
	}
	return true, nil
}
