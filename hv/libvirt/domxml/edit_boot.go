package domxml

import (
	"cmp"
	"slices"
	"strconv"

	"novacron/domain"
)

func (e *editor) firmware(c domain.VMChange) error {
	if c.Firmware == nil {
		return nil
	}
	want := cmp.Or(*c.Firmware, domain.FirmwareBIOS)
	if want == e.was.Firmware {
		return nil
	}
	if err := e.boots("firmware"); err != nil {
		return err
	}
	f := e.env.Facts
	switch {
	case want == domain.FirmwareUEFI && !f.UEFI.OK:
		return domain.Errorf(domain.Unsupported, "This host has no UEFI firmware for VMs: %s", f.UEFI.Why).WithFix("Install the firmware on the host, or keep BIOS.")
	case want == domain.FirmwareUEFISecure && !f.SecureBoot.OK:
		return domain.Errorf(domain.Unsupported, "This host cannot start a VM with secure boot: %s", f.SecureBoot.Why).WithFix("Install the firmware on the host, or choose UEFI without secure boot.")
	}
	machine := e.root.at("os", "type").attr("machine")
	if want == domain.FirmwareUEFISecure && isX86(e.was.Arch) && family(machine) != "q35" {
		return domain.InvalidField("firmware", "Secure boot needs a q35 machine; "+machine+" is not one.", "UEFI without secure boot, or BIOS")
	}
	// The variable store belongs to the firmware it was made for: libvirt makes a new one from the template of the new firmware.
	for _, name := range []string{"loader", "nvram", "firmware"} {
		for n := e.root.at("os", name); n.exists(); n = e.root.at("os", name) {
			if err := e.remove(n); err != nil {
				return err
			}
		}
	}
	if want == domain.FirmwareBIOS {
		e.note("The firmware's variables (boot entries) are left behind.")
		return e.dropAttr(e.root.kid("os"), "firmware")
	}
	if err := e.setAttr(e.root.kid("os"), "firmware", "efi"); err != nil {
		return err
	}
	if err := e.insert(e.root.kid("os"), firmwareXML(want), "type"); err != nil {
		return err
	}
	e.note("The guest starts with empty firmware variables; its disk needs a boot loader for UEFI.")
	if want != domain.FirmwareUEFISecure || !isX86(e.was.Arch) {
		return nil
	}
	features := e.root.kid("features")
	switch smm := features.kid("smm"); {
	case !features.exists():
		return e.insert(e.root, "<features>\n  <acpi/>\n  <smm state='on'/>\n</features>", "os")
	case !smm.exists():
		return e.insertLast(features, "<smm state='on'/>")
	case smm.attr("state") != "on":
		return e.setAttr(smm, "state", "on")
	}
	return nil
}

// boots refuses what has nothing that could be booted otherwise: a container has its first program where a machine has its kernel.
func (e *editor) boots(what string) error {
	switch os := e.root.kid("os"); {
	case !os.exists():
		return domain.Errorf(domain.Unsupported, "The definition does not say what it boots, so the %s cannot be changed.", what).WithFix("Edit the definition on the host with virsh edit.")
	case os.kid("type").value() == "exe":
		return domain.Errorf(domain.Unsupported, "This is a container, so it has no %s.", what).WithFix("Edit the definition on the host with virsh edit.")
	}
	return nil
}

func (e *editor) boot(c domain.VMChange) error {
	if c.Boot == nil {
		return nil
	}
	was := e.was.Boot
	if was.Kernel == c.Boot.Kernel && was.Initrd == c.Boot.Initrd && was.Cmdline == c.Boot.Cmdline && slices.Equal(was.Order, c.Boot.Order) {
		return nil
	}
	if err := e.boots("boot settings"); err != nil {
		return err
	}
	for _, f := range []struct {
		name, was, want string
		after           []string
	}{
		{"kernel", was.Kernel, c.Boot.Kernel, []string{"nvram", "loader", "firmware", "type"}},
		{"initrd", was.Initrd, c.Boot.Initrd, []string{"kernel"}},
		{"cmdline", was.Cmdline, c.Boot.Cmdline, []string{"initrd", "kernel"}},
	} {
		if f.was == f.want {
			continue
		}
		if err := e.setChildText(e.root.kid("os"), f.name, f.want, f.after...); err != nil {
			return err
		}
	}
	if slices.Equal(was.Order, c.Boot.Order) {
		return nil
	}
	if len(deviceBoots(e.root)) > 0 {
		return e.deviceOrder(c.Boot.Order)
	}
	for n := e.root.at("os", "boot"); n.exists(); n = e.root.at("os", "boot") {
		if err := e.remove(n); err != nil {
			return err
		}
	}
	for _, dev := range c.Boot.Order {
		if err := e.insert(e.root.kid("os"), element("boot", "", "dev", dev), "boot", "cmdline", "initrd", "kernel", "nvram", "loader", "firmware", "type"); err != nil {
			return err
		}
	}
	return nil
}

// deviceOrder rewrites the order in a definition where devices carry it themselves, since libvirt refuses both ways at once. Devices that had
// a place keep it among their kind; those of kinds nobody orders here (passed-through cards) come last.
func (e *editor) deviceOrder(order []string) error {
	had := deviceBoots(e.root)
	var line []int // start offsets say which device is meant until the first edit
	for _, kind := range order {
		found := false
		for _, n := range had {
			if bootKind(n) == kind {
				line, found = append(line, n.start), true
			}
		}
		if found {
			continue
		}
		for _, n := range e.root.kid("devices").kids {
			if bootKind(n) == kind {
				line = append(line, n.start)
				break
			}
		}
	}
	for _, n := range had {
		if bootKind(n) == "" {
			line = append(line, n.start)
		}
	}
	// From the end of the document to its front, so that the offsets in front stay true.
	kids := slices.Clone(e.root.kid("devices").kids)
	slices.Reverse(kids)
	for _, k := range kids {
		place := slices.Index(line, k.start)
		n := e.deviceAt(k.start)
		var err error
		switch b := n.kid("boot"); {
		case place < 0 && b.exists():
			err = e.remove(b)
		case place >= 0 && !b.exists():
			err = e.insert(n, element("boot", "", "order", strconv.Itoa(place+1)), "target", "source", "mac")
		case place >= 0 && b.attr("order") != strconv.Itoa(place+1):
			err = e.setAttr(b, "order", strconv.Itoa(place+1))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *editor) deviceAt(start int) *node {
	for _, n := range e.root.kid("devices").kids {
		if n.start == start {
			return n
		}
	}
	return &node{}
}
