package domxml

import (
	"slices"
	"strings"

	"novacron/domain"
)

// AdoptedSnapshot describes an internal snapshot of one guest as one of another guest whose disks are copies of its files: what is inside the disks, without memory.
// definition is the other guest's, which is what going back to it defines.
func AdoptedSnapshot(doc, definition string) (string, error) {
	s, err := ParseSnapshot(doc)
	if err != nil {
		return "", err
	}
	d, err := read(doc, "domainsnapshot")
	if err != nil {
		return "", err
	}
	to, err := read(definition, "domain")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("<domainsnapshot>\n  <name>" + escText(s.Name) + "</name>\n  <state>shutoff</state>\n")
	if at := d.root.kid("creationTime").value(); at != "" {
		b.WriteString("  <creationTime>" + escText(at) + "</creationTime>\n")
	}
	b.WriteString("  <memory snapshot='no'/>\n  <disks>\n")
	inside := 0
	for _, n := range to.root.kid("devices").all("disk") {
		target := parseDisk(n).Target
		has := slices.ContainsFunc(s.Disks, func(k domain.SnapshotDisk) bool { return k.Target == target && k.Kind == domain.SnapshotInternal })
		how := "no"
		if has {
			how, inside = "internal", inside+1
		}
		b.WriteString("    <disk name='" + escAttr(target) + "' snapshot='" + how + "'/>\n")
	}
	if inside == 0 {
		return "", domain.Errorf(domain.Conflict, "The snapshot %s is inside none of the disks.", s.Name).WithFix("Choose a snapshot that is kept inside its disks.")
	}
	b.WriteString("  </disks>\n" + to.src[to.root.start:to.root.end] + "\n</domainsnapshot>\n")
	return b.String(), nil
}
