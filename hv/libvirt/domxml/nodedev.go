package domxml

import (
	"fmt"
	"strings"

	"novacron/domain"
)

// pciClasses are the words for the base classes of PCI that people look for.
var pciClasses = map[uint64]string{
	0x01: "storage", 0x02: "network", 0x03: "gpu", 0x04: "media", 0x05: "memory", 0x06: "bridge", 0x07: "serial", 0x08: "system", 0x09: "input", 0x0b: "processor",
	0x0d: "wireless", 0x10: "crypto", 0x11: "signal", 0x12: "accelerator",
}

// pciDevice fills in what a PCI card is known by, and whether it can be given to a guest: only what an IOMMU keeps apart can.
func pciDevice(c *node, dev *domain.Device) {
	dev.Address = fmt.Sprintf("%04x:%02x:%02x.%x", hexOrNot(c.kid("domain").value()), hexOrNot(c.kid("bus").value()), hexOrNot(c.kid("slot").value()), hexOrNot(c.kid("function").value()))
	dev.Model = vendorProduct(c)
	class := hexOrNot(c.kid("class").value())
	dev.Class = pciClasses[class>>16]
	if class>>8 == 0x0c03 {
		dev.Class = "usb-controller"
	}
	switch {
	case dev.Class == "bridge":
		dev.Why = "A bridge belongs to the host."
	case !c.kid("iommuGroup").exists():
		dev.Why = "The host has no IOMMU turned on (intel_iommu=on or amd_iommu=on), so a guest with this card could reach all memory."
	default:
		dev.Assignable = true
	}
}

func usbDevice(c *node, dev *domain.Device) {
	dev.Address, dev.Model, dev.Class = c.kid("bus").value()+":"+c.kid("device").value(), vendorProduct(c), "usb"
	if dev.Address == ":" {
		dev.Address, dev.Why = "", "The host does not say where it is."
		return
	}
	if strings.HasPrefix(dev.Model, "1d6b:") {
		dev.Why = "It is a hub of the host itself."
		return
	}
	dev.Assignable = true
}

func vendorProduct(c *node) string {
	v, p := c.kid("vendor").attr("id"), c.kid("product").attr("id")
	if v == "" || p == "" {
		return ""
	}
	return fmt.Sprintf("%04x:%04x", hexOrNot(v), hexOrNot(p))
}
