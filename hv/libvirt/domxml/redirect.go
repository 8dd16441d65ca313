package domxml

import (
	"novacron/domain"
	"novacron/hv"
)

// RedirectXML lets disks show other files. A move whose disk shows the new file already is done; one whose disk shows neither is a Conflict.
func RedirectXML(doc string, moves []hv.DiskMove) (string, error) {
	d, err := read(doc, "domain")
	if err != nil {
		return "", err
	}
	for _, m := range moves {
		found := false
		for i := range d.root.kid("devices").all("disk") {
			n := d.root.kid("devices").all("disk")[i]
			if n.attr("device") == "cdrom" || n.attr("device") == "floppy" {
				continue
			}
			was := parseDisk(n)
			switch {
			case was.Source == m.To && was.Pool == "":
				found = true
			case was.Source == m.From && was.Pool == "" || was.Pool != "" && was.Pool+"/"+was.Volume == m.From:
				found = true
				if err := d.showFile(i, m.To, m.Format); err != nil {
					return "", err
				}
			}
		}
		if !found {
			return "", domain.Errorf(domain.Conflict, "No disk of the VM shows %s any more.", m.From).WithFix("Look at the VM's disks again.")
		}
	}
	return d.src, nil
}

// showFile gives disk number i another file of a format. What was written down of the old file's chain goes: libvirt finds the new one's by itself.
func (d *document) showFile(i int, path, format string) error {
	disk := func() *node { return d.root.kid("devices").all("disk")[i] }
	if err := d.setSource(disk(), path); err != nil {
		return err
	}
	if err := d.setFormat(disk(), format); err != nil {
		return err
	}
	if b := disk().kid("backingStore"); b.exists() {
		return d.remove(b)
	}
	return nil
}

func (d *document) setFormat(disk *node, format string) error {
	if format == "" || disk.kid("driver").attr("type") == format {
		return nil
	}
	if drv := disk.kid("driver"); drv.exists() {
		return d.setAttr(drv, "type", format)
	}
	return d.insert(disk, element("driver", "", "name", "qemu", "type", format))
}
