package domxml

import "testing"

func TestNodeDevicesAreKnownByWhatTheyAre(t *testing.T) {
	pci := func(class, group string) string {
		return `<device><name>pci_0000_03_00_1</name><parent>computer</parent><driver><name>nvidia</name></driver><capability type='pci'><class>` + class + `</class><domain>0</domain><bus>3</bus><slot>0</slot><function>1</function>
		<product id='0x2230'>RTX A6000</product><vendor id='0x10de'>NVIDIA</vendor>` + group + `</capability></device>`
	}
	const group = `<iommuGroup number='7'><address domain='0x0000' bus='0x03' slot='0x00' function='0x1'/></iommuGroup>`
	for name, c := range map[string]struct {
		doc                   string
		address, model, class string
		assignable            bool
	}{
		"card":           {pci("0x030000", group), "0000:03:00.1", "10de:2230", "gpu", true},
		"no IOMMU":       {pci("0x020000", ""), "0000:03:00.1", "10de:2230", "network", false},
		"bridge":         {pci("0x060400", group), "0000:03:00.1", "10de:2230", "bridge", false},
		"USB controller": {pci("0x0c0330", group), "0000:03:00.1", "10de:2230", "usb-controller", true},
		"USB": {`<device><name>usb_1_4</name><capability type='usb_device'><bus>1</bus><device>4</device><product id='0xc52b'>Receiver</product><vendor id='0x046d'>Logitech</vendor></capability></device>`,
			"1:4", "046d:c52b", "usb", true},
		"hub": {`<device><name>usb_usb1</name><capability type='usb_device'><bus>1</bus><device>1</device><product id='0x0002'/><vendor id='0x1d6b'/></capability></device>`, "1:1", "1d6b:0002", "usb", false},
		"mdev": {`<device><name>mdev_x</name><capability type='mdev'><type id='nvidia-35'/><uuid>C2177883-F1BB-47F0-914D-32A22E3A8804</uuid><iommuGroup number='9'/></capability></device>`,
			"c2177883-f1bb-47f0-914d-32a22e3a8804", "nvidia-35", "mdev", true},
	} {
		d, err := ParseNodeDevice(c.doc)
		if err != nil || d.Address != c.address || d.Model != c.model || d.Class != c.class || d.Assignable != c.assignable || d.Assignable == (d.Why != "") {
			t.Errorf("%s: %+v (%v)", name, d, err)
		}
	}
}
