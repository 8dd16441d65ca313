package domxml

import (
	"cmp"
	"strings"

	"novacron/domain"
)

// Mirror is the copy or commit that a running guest's disk has under way.
type Mirror struct {
	Job   string // copy or active-commit; empty: none
	Dest  string
	Ready bool
}

// DiskChain reads what a disk of a running guest stands on, uppermost first, and what is being mirrored.
func DiskChain(doc, target string) (chain []string, m Mirror, err error) {
	d, err := read(doc, "domain")
	if err != nil {
		return nil, m, err
	}
	n := diskNode(d.root, target)
	if !n.exists() {
		return nil, m, noDisk(target)
	}
	for at := n; at.exists() && at.attr("type") != ""; at = at.kid("backingStore") {
		if p := sourcePath(at); p != "" {
			chain = append(chain, p)
		}
	}
	if k := n.kid("mirror"); k.exists() {
		m = Mirror{Job: cmp.Or(k.attr("job"), "copy"), Dest: cmp.Or(sourcePath(k), k.attr("file")), Ready: k.attr("ready") == "yes"}
	}
	return chain, m, nil
}

func sourcePath(n *node) string {
	src := n.kid("source")
	return cmp.Or(src.attr("file"), src.attr("dev"), src.attr("name"), src.attr("volume"))
}

// CopyTargetXML describes where a disk is copied to.
func CopyTargetXML(to domain.Volume, secret string) string {
	kind, attr := "file", "file"
	if strings.HasPrefix(to.Path, "/dev/") {
		kind, attr = "block", "dev"
	}
	return "<disk type='" + kind + "' device='disk'>\n  " + element("driver", "", "name", "qemu", "type", cmp.Or(to.Format, "raw")) + "\n  " +
		sourceXML(domain.Disk{Secret: secret}, attr, to.Path) + "\n</disk>"
}

// SecretXML is a secret that nobody can read and that ends with the daemon.
func SecretXML(uuid, description string) string {
	return "<secret ephemeral='yes' private='yes'>\n  " + element("uuid", uuid) + "\n  " + element("description", description) + "\n</secret>"
}
