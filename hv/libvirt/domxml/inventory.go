package domxml

import (
	"cmp"
	"strings"

	"novacron/domain"
)

// bytesOf reads a size of the storage driver, where no unit means bytes.
func bytesOf(n *node) int64 {
	return scaled(n.value(), cmp.Or(n.attr("unit"), "bytes"))
}

// ParseVolume reads a volume document. Its pool is not in it.
func ParseVolume(doc string) (domain.Volume, error) {
	d, err := read(doc, "volume")
	if err != nil {
		return domain.Volume{}, err
	}
	r := d.root
	v := domain.Volume{
		Name: r.kid("name").text, Path: cmp.Or(r.at("target", "path").value(), r.kid("key").value()), Format: r.at("target", "format").attr("type"),
		CapacityBytes: bytesOf(r.kid("capacity")), AllocationBytes: bytesOf(r.kid("allocation")), Backing: r.at("backingStore", "path").value(),
		BackingFormat: r.at("backingStore", "format").attr("type"), Encrypted: r.at("target", "encryption").attr("format") == "luks",
	}
	if v.Format == "" && r.attr("type") == "block" {
		v.Format = "raw"
	}
	return v, nil
}

// ParseNodeDevice reads a node device document. Kind is empty for devices that nobody would look for (hubs, interfaces, hosts of SCSI buses).
func ParseNodeDevice(doc string) (domain.Device, error) {
	d, err := read(doc, "device")
	if err != nil {
		return domain.Device{}, err
	}
	r := d.root
	dev := domain.Device{Name: r.kid("name").text, Parent: r.kid("parent").value(), Driver: r.at("driver", "name").value()}
	c := r.kid("capability")
	words := func(names ...string) string {
		var out []string
		for _, n := range names {
			k := c.kid(n)
			if v := cmp.Or(k.value(), k.attr("id")); v != "" {
				out = append(out, v)
			}
		}
		return strings.Join(out, " ")
	}
	switch c.attr("type") {
	case "pci":
		dev.Kind, dev.Label = "pci", words("vendor", "product")
		pciDevice(c, &dev)
	case "usb_device":
		dev.Kind, dev.Label = "usb", words("vendor", "product")
		usbDevice(c, &dev)
	case "net":
		dev.Kind, dev.Label = "net", words("interface", "address")
	case "storage":
		dev.Kind, dev.Label = "storage", words("vendor", "model", "serial", "block")
	case "scsi":
		dev.Kind, dev.Label = "scsi", words("type")
	case "mdev":
		dev.Kind, dev.Label = "mdev", cmp.Or(c.kid("uuid").value(), c.kid("type").attr("id"))
		dev.Address, dev.Model, dev.Class, dev.Assignable = strings.ToLower(c.kid("uuid").value()), c.kid("type").attr("id"), "mdev", true
	}
	if dev.Kind != "" && dev.Label == "" {
		dev.Label = dev.Name
	}
	return dev, nil
}
