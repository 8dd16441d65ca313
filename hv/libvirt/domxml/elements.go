package domxml

import (
	"strings"
	"time"

	"novacron/domain"
)

func diskNode(root *node, target string) *node {
	for _, n := range root.kid("devices").all("disk") {
		if target != "" && n.kid("target").attr("dev") == target {
			return n
		}
	}
	return &node{}
}

func nicNode(root *node, mac string) *node {
	for _, n := range root.kid("devices").all("interface") {
		if mac != "" && strings.EqualFold(n.kid("mac").attr("address"), mac) {
			return n
		}
	}
	return &node{}
}

func noDisk(target string) error {
	return domain.Errorf(domain.NotFound, "The VM has no disk %s.", target).WithFix("Load the page again; it may have been removed meanwhile.")
}

func noNIC(mac string) error {
	return domain.Errorf(domain.NotFound, "The VM has no network card with the address %s.", mac).WithFix("Load the page again; it may have been removed meanwhile.")
}

// FindDisk gives the exact bytes of the disk element with that target, or NotFound.
func FindDisk(doc, target string) (string, error) {
	return find(doc, func(root *node) *node { return diskNode(root, target) }, noDisk(target))
}

// FindNIC gives the exact bytes of the interface element with that MAC, or NotFound.
func FindNIC(doc, mac string) (string, error) {
	return find(doc, func(root *node) *node { return nicNode(root, mac) }, noNIC(mac))
}

// FindGraphics gives the exact bytes of the graphics element, VNC's where there are several, or NotFound.
func FindGraphics(doc string) (string, error) {
	return find(doc, func(root *node) *node { return graphicsNode(root.kid("devices")) },
		domain.Errorf(domain.NotFound, "The VM has no graphical console.").WithFix("Use its serial console."))
}

func find(doc string, pick func(*node) *node, missing error) (string, error) {
	d, err := read(doc, "domain")
	if err != nil {
		return "", err
	}
	n := pick(d.root)
	if !n.exists() {
		return "", missing
	}
	return d.src[n.start:n.end], nil
}

// SetGraphicsPassword sets the password of a graphics element and until when it is valid (whole seconds, UTC, as libvirt has it).
func SetGraphicsPassword(elem, password string, validTo time.Time) (string, error) {
	d, err := read(elem, "graphics")
	if err != nil {
		return "", err
	}
	if err := d.setAttr(d.root, "passwd", password); err != nil {
		return "", err
	}
	if err := d.setAttr(d.root, "passwdValidTo", validTo.UTC().Format("2006-01-02T15:04:05")); err != nil {
		return "", err
	}
	return d.src, nil
}

// SetDiskSource puts another file into a disk element (a CD-ROM's medium), or takes it out when source is "".
func SetDiskSource(elem, source string) (string, error) {
	d, err := read(elem, "disk")
	if err != nil {
		return "", err
	}
	if err := d.setSource(d.root, source); err != nil {
		return "", err
	}
	return d.src, nil
}

// setSource changes the file of a disk. A source of another sort (volume, network) gives way to a file.
func (d *document) setSource(disk *node, source string) error {
	at := disk.start
	again := func() *node { return nodeAt(d.root, at) }
	kind, key := "file", "file"
	if strings.HasPrefix(source, "/dev/") {
		kind, key = "block", "dev"
	}
	src := disk.kid("source")
	if source == "" {
		if src.exists() {
			if err := d.remove(src); err != nil {
				return err
			}
		}
		if t := again(); t.attr("type") != "file" && t.attr("type") != "block" {
			return d.setAttr(t, "type", "file") // an empty tray of another sort is not valid
		}
		return nil
	}
	if src.exists() && disk.attr("type") == kind {
		if src.attr(key) == source {
			return nil
		}
		return d.setAttr(src, key, source)
	}
	if src.exists() {
		if err := d.replace(src.start, src.end, element("source", "", key, source)); err != nil {
			return err
		}
	} else if err := d.insert(disk, element("source", "", key, source), "driver"); err != nil {
		return err
	}
	if again().attr("type") == kind {
		return nil
	}
	return d.setAttr(again(), "type", kind)
}

// nodeAt finds the element that starts at an offset.
func nodeAt(n *node, start int) *node {
	for n.start != start {
		next := -1
		for i, k := range n.kids {
			if k.start <= start && start < k.end {
				next = i
			}
		}
		if next < 0 {
			return &node{}
		}
		n = n.kids[next]
	}
	return n
}
