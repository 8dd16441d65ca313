package domxml

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"novacron/domain"
)

const expired = "1970-01-01T00:00:00"

func (b *builder) devices() error {
	s, w := b.spec, &b.w
	w.open("devices")
	if e := b.env.Facts.Emulator; e != "" && (s.Arch == b.env.Facts.Arch || b.env.Facts.Arch == "") {
		w.text("emulator", e)
	}
	for _, d := range s.Disks {
		w.raw(DiskXML(d))
	}
	b.controllers()
	for _, n := range s.NICs {
		w.raw(NICXML(n))
	}
	w.raw("<serial type='pty'/>\n<console type='pty'/>")
	w.raw("<channel type='unix'>\n  <target type='virtio' name='" + agentChannel + "'/>\n</channel>")
	if s.TPM {
		w.raw(tpmXML(s.Arch))
	}
	if s.Graphics != "none" {
		w.raw("<input type='tablet' bus='usb'/>") // absolute coordinates, or the pointer in the browser drifts from the guest's
		if !b.x86() {
			w.raw("<input type='keyboard' bus='usb'/>")
		}
		b.graphics()
		b.video()
	}
	w.raw("<memballoon model='virtio' freePageReporting='on'>\n  <stats period='10'/>\n</memballoon>")
	if err := b.hardwareDevices(); err != nil {
		return err
	}
	if b.x86() {
		w.raw("<panic model='isa'/>")
	}
	w.close("devices")
	return nil
}

func tpmModel(arch string) string {
	if isX86(arch) {
		return "tpm-crb"
	}
	return "tpm-tis"
}

func (b *builder) controllers() {
	s, w := b.spec, &b.w
	pcie := b.q35() || strings.HasPrefix(s.Machine, "virt") && !b.x86()
	if s.Graphics != "none" {
		if pcie {
			w.empty("controller", "type", "usb", "model", "qemu-xhci", "ports", "15")
		} else {
			w.empty("controller", "type", "usb", "model", "piix3-uhci")
		}
	}
	scsi := 0
	if slices.ContainsFunc(s.Disks, func(d domain.Disk) bool { return d.Bus == "scsi" }) {
		w.raw(scsiController)
		scsi = 1
	}
	if !pcie {
		return
	}
	// libvirt makes as many root ports as the devices need and no more; without spare ones nothing can be plugged in later.
	w.empty("controller", "type", "pci", "index", "0", "model", "pcie-root")
	virtio := 0
	for _, d := range s.Disks {
		if d.Bus == "virtio" {
			virtio++
		}
	}
	const fixed = 4 // USB, virtio-serial, balloon, rng
	extra := len(s.Filesystems) + len(s.HostDevices)
	for range min(virtio+len(s.NICs)+scsi+extra+fixed+spareRootPorts, 28) {
		w.empty("controller", "type", "pci", "model", "pcie-root-port")
	}
}

const scsiController = "<controller type='scsi' model='virtio-scsi'/>"

func (b *builder) graphics() {
	w := &b.w
	switch listen := b.env.GraphicsListen; listen {
	case "socket":
		w.raw("<graphics type='vnc'>\n  <listen type='socket'/>\n</graphics>")
	case "":
		w.raw("<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>")
	default:
		w.empty("graphics", "type", "vnc", "autoport", "yes", "listen", listen, "passwd", b.env.GraphicsPassword, "passwdValidTo", expired)
	}
}

// video is plain VGA unless asked otherwise: it is the one adapter that every BIOS, boot loader, installer and kernel draws on.
func (b *builder) video() {
	model := b.spec.Video
	if model == "" {
		model = "vga"
		if !b.x86() {
			model = "virtio"
		}
	}
	b.w.raw("<video>\n  " + element("model", "", "type", model) + "\n</video>")
}

// busPrefix is how targets on a bus are called.
var busPrefix = map[string]string{"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd", "fdc": "fd"}

// Settle fills in what a person left open of new disks (device, bus, format, target), so that the live attach and the definition agree. have
// are the disks that the guest has already, machine its machine type. A format that nobody named is guessed from the file's name: whoever
// can ask the storage should set it first.
func Settle(machine string, have, add []domain.Disk) []domain.Disk {
	out := slices.Clone(add)
	taken := map[string]bool{}
	for _, d := range slices.Concat(have, add) {
		taken[d.Target] = true
	}
	pc := machine == "pc" || strings.HasPrefix(machine, "pc-i440fx") || machine == "isapc"
	for i := range out {
		d := &out[i]
		d.Device = cmp.Or(d.Device, "disk")
		if d.Bus == "" {
			d.Bus = busOf(*d, pc)
		}
		if d.Device == "cdrom" {
			d.ReadOnly = true
		}
		if d.Device == "disk" {
			d.Discard = cmp.Or(d.Discard, "unmap") // what the guest trims shrinks the image
		}
		if d.Format == "" {
			d.Format = formatOf(*d)
		}
		if d.Target == "" {
			d.Target = freeTarget(busPrefix[d.Bus], taken)
			taken[d.Target] = true
		}
	}
	return out
}

func busOf(d domain.Disk, pc bool) string {
	switch {
	case strings.HasPrefix(d.Target, "vd"):
		return "virtio"
	case strings.HasPrefix(d.Target, "hd"):
		return "ide"
	case d.Device == "floppy":
		return "fdc"
	case d.Device == "lun":
		return "scsi"
	case d.Device == "cdrom" && pc:
		return "ide"
	case d.Device == "cdrom" || strings.HasPrefix(d.Target, "sd"):
		return "sata"
	}
	return "virtio"
}

func formatOf(d domain.Disk) string {
	name := cmp.Or(d.Source, d.Volume)
	if d.Device == "disk" && strings.EqualFold(path.Ext(name), ".qcow2") || d.New() {
		return "qcow2"
	}
	return "raw"
}

// freeTarget gives the first free name: vda … vdz, vdaa …
func freeTarget(prefix string, taken map[string]bool) string {
	for i := 0; ; i++ {
		name, n := "", i
		for {
			name = string(rune('a'+n%26)) + name
			if n = n/26 - 1; n < 0 {
				break
			}
		}
		if !taken[cmp.Or(prefix, "vd")+name] {
			return cmp.Or(prefix, "vd") + name
		}
	}
}

// checkDisk refuses what QEMU has no device for.
func checkDisk(field string, d domain.Disk) error {
	if d.ReadOnly && d.Device == "disk" && (d.Bus == "ide" || d.Bus == "sata") {
		return domain.InvalidField(field+".read_only", "A disk on "+d.Bus+" cannot be read-only.", "virtio or scsi as the bus, or a CD-ROM")
	}
	return nil
}

// DiskXML is the element of a settled disk, for a definition or for attaching to a running guest. A path wins over pool and volume.
func DiskXML(d domain.Disk) string {
	device := cmp.Or(d.Device, "disk")
	kind, source := "file", ""
	volume := cmp.Or(d.Volume, d.Source)
	switch {
	case strings.HasPrefix(d.Source, "/dev/"):
		kind, source = "block", sourceXML(d, "dev", d.Source)
	case strings.HasPrefix(d.Source, "/"):
		source = sourceXML(d, "file", d.Source)
	case d.Pool != "" && volume != "":
		kind, source = "volume", sourceXML(d, "pool", d.Pool, "volume", volume)
	}
	if device == "lun" {
		kind = "block"
	}
	discard, format := "", d.Format
	if device == "disk" {
		discard = cmp.Or(d.Discard, "unmap")
	}
	if device == "cdrom" || device == "floppy" || device == "lun" {
		format = cmp.Or(format, "raw")
	}
	var b strings.Builder
	b.WriteString("<disk" + joinAttrs([]string{"type", kind, "device", device}) + ">\n")
	b.WriteString("  " + element("driver", "", "name", "qemu", "type", format, "cache", d.Cache, "discard", discard, "iothread", ioThread(d)) + "\n")
	if source != "" {
		b.WriteString("  " + source + "\n")
	}
	b.WriteString("  " + element("target", "", "dev", d.Target, "bus", cmp.Or(d.Bus, "virtio")) + "\n")
	if d.ReadOnly || device == "cdrom" {
		b.WriteString("  <readonly/>\n")
	}
	writeDiskOptions(&b, d)
	b.WriteString("</disk>")
	return b.String()
}
