package domain

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// Accel is how QEMU runs guest code.
type Accel string

const (
	AccelAuto Accel = "auto" // KVM where it is usable, else TCG; the job's log says which and why
	AccelKVM  Accel = "kvm"
	AccelTCG  Accel = "tcg"
)

// Firmware kinds.
const (
	FirmwareBIOS       = "bios"
	FirmwareUEFI       = "uefi"
	FirmwareUEFISecure = "uefi-secure"
)

// VMSpec describes a VM: what a person asks for, and what is read back from a definition. Fields that a definition has and this
// type lacks are kept in the definition; they are only not shown. The JSON names are the API's.
type VMSpec struct {
	Name           string    `json:"name"`
	UUID           string    `json:"uuid,omitempty"`
	Title          string    `json:"title,omitempty"`
	Description    string    `json:"description,omitempty"`
	VCPUs          int       `json:"vcpus"`
	MaxVCPUs       int       `json:"max_vcpus,omitempty"` // 0: same as VCPUs; more leaves room to add while it runs
	Topology       *Topology `json:"topology,omitempty"`
	CPU            string    `json:"cpu,omitempty"`              // "", host-passthrough, host-model, maximum, or a model's name
	MemoryBytes    int64     `json:"memory_bytes"`               // what the guest has now
	MaxMemoryBytes int64     `json:"max_memory_bytes,omitempty"` // 0: same; the balloon's ceiling
	Accel          Accel     `json:"accel,omitempty"`
	Arch           string    `json:"arch,omitempty"`
	Machine        string    `json:"machine,omitempty"` // q35, pc or a full name; empty: the host's default
	Firmware       string    `json:"firmware,omitempty"`
	TPM            bool      `json:"tpm,omitempty"`
	Boot           Boot      `json:"boot"`
	Disks          []Disk    `json:"disks"`
	NICs           []NIC     `json:"nics"`
	Graphics       string    `json:"graphics,omitempty"` // vnc, spice, none; empty means vnc when created
	Video          string    `json:"video,omitempty"`
	Serial         bool      `json:"serial,omitempty"` // has a serial port with a console; always made on creation
	GuestAgent     bool      `json:"guest_agent,omitempty"`
	Hardware
}

// Topology is the virtual CPU layout; the product is the most vCPUs the VM may have.
type Topology struct {
	Sockets int `json:"sockets"`
	Cores   int `json:"cores"`
	Threads int `json:"threads"`
}

// Boot says what starts the guest: a kernel on the host, or devices in order ("hd", "cdrom", "network").
type Boot struct {
	Kernel  string   `json:"kernel,omitempty"`
	Initrd  string   `json:"initrd,omitempty"`
	Cmdline string   `json:"cmdline,omitempty"`
	Order   []string `json:"order,omitempty"`
}

// Disk is one disk or CD-ROM. New: Pool and SizeBytes make a volume. Existing: Source is a path, or a volume's name when Pool is set.
type Disk struct {
	Target    string `json:"target,omitempty"` // vda, sda …; chosen when empty
	Device    string `json:"device,omitempty"` // disk or cdrom; empty: disk
	Bus       string `json:"bus,omitempty"`    // virtio, scsi, sata, ide, usb; empty: virtio, or sata for a cdrom
	Pool      string `json:"pool,omitempty"`
	Volume    string `json:"volume,omitempty"` // read back, or the name for the new volume (chosen when empty)
	Source    string `json:"source,omitempty"`
	Format    string `json:"format,omitempty"` // qcow2 or raw
	SizeBytes int64  `json:"size_bytes,omitempty"`
	ReadOnly  bool   `json:"read_only,omitempty"`
	Cache     string `json:"cache,omitempty"`
	Image     string `json:"image,omitempty"`  // begins as this image: name (the newest published version), name@version or a version's id
	Linked    bool   `json:"linked,omitempty"` // of Image: an overlay that reads the image's copy, made in seconds; else a full copy

	Discard   string   `json:"discard,omitempty"`   // unmap or ignore; empty: unmap on creation
	IOThread  int      `json:"io_thread,omitempty"` // number of its I/O thread; 0: none; virtio only
	Tune      DiskTune `json:"tune,omitzero"`       // limits of requests and bytes a second
	Serial    string   `json:"serial,omitempty"`    // what the guest sees as its serial number
	Shareable bool     `json:"shareable,omitempty"` // may be attached to several VMs at once
	Encrypted bool     `json:"encrypted,omitempty"` // a new volume is encrypted with LUKS under a passphrase that NovaCron makes and keeps sealed
	Secret    string   `json:"secret,omitempty"`    // UUID of the libvirt secret of an encrypted volume; found by itself
}

// New reports whether creating the VM makes this disk's volume.
func (d Disk) New() bool {
	return d.Source == "" && (d.SizeBytes > 0 || d.Image != "" && d.Device != "cdrom")
}

// NIC is one network card, on a libvirt network or on a host bridge.
type NIC struct {
	Network string `json:"network,omitempty"`
	Bridge  string `json:"bridge,omitempty"`
	Model   string `json:"model,omitempty"`  // virtio, e1000e …; empty: virtio
	MAC     string `json:"mac,omitempty"`    // made when empty
	Target  string `json:"target,omitempty"` // the tap on the host while it runs
	Down    bool   `json:"down,omitempty"`   // link unplugged

	VLAN         *VLAN      `json:"vlan,omitempty"`         // on an Open vSwitch bridge
	PortGroup    string     `json:"port_group,omitempty"`   // of the network
	OpenVSwitch  bool       `json:"openvswitch,omitempty"`  // Bridge is one of Open vSwitch
	BandwidthIn  *Bandwidth `json:"bandwidth_in,omitempty"` // towards the guest
	BandwidthOut *Bandwidth `json:"bandwidth_out,omitempty"`
	// SecurityGroups are names or ids when asked for. On a host they are one filter, which Filter names; reading back gives only that.
	SecurityGroups []string `json:"security_groups,omitempty"`
	Filter         string   `json:"filter,omitempty"`
}

var (
	vmNameRE  = lazily(`^[A-Za-z0-9_]([A-Za-z0-9._ +@:-]{0,61}[A-Za-z0-9_])?$`)
	machineRE = lazily(`^[A-Za-z0-9._+-]{1,64}$`)
	wordRE    = lazily(`^[A-Za-z0-9._+-]{1,64}$`)
	tagRE     = lazily(`^[\pL\pN][\pL\pN._:/-]{0,62}$`)
)

const (
	maxVCPUs  = 4096
	minMemory = 1 * MiB
	maxMemory = 64 * TiB
	maxDisk   = 1024 * TiB
	maxDisks  = 64
	maxNICs   = 32
)

// CheckVMName validates a VM's name: what libvirt, file names and people can all live with.
func CheckVMName(p *Problems, field, name string) {
	switch {
	case name == "":
		p.Add(field, "A name is needed.", "for example web-1")
	case !vmNameRE.MatchString(name) || strings.Contains(name, ".."):
		p.Add(field, "“"+name+"” cannot be a VM's name.", "1 to 63 letters, digits, dots, hyphens or underscores, starting and ending with a letter or digit")
	}
}

// CheckTags validates tags.
func CheckTags(p *Problems, field string, tags []string) {
	if len(tags) > 32 {
		p.Add(field, "That is more than 32 tags.", "at most 32")
	}
	for _, t := range tags {
		if !tagRE.MatchString(t) {
			p.Add(field, "“"+t+"” cannot be a tag.", "1 to 63 letters, digits, dots, colons, slashes or hyphens")
		}
	}
}

// Validate checks a spec for a new VM, apart from what only a host can tell. All wrong fields are named at once.
func (s VMSpec) Validate() error {
	var p Problems
	CheckVMName(&p, "name", s.Name)
	if s.UUID != "" && !ValidUUID(s.UUID) {
		p.Add("uuid", "That is not a UUID.", "36 lower-case characters, or nothing to have one made")
	}
	if s.VCPUs < 1 || s.VCPUs > maxVCPUs {
		p.Add("vcpus", fmt.Sprintf("%d virtual CPUs are not possible.", s.VCPUs), fmt.Sprintf("a whole number from 1 to %d", maxVCPUs))
	}
	if s.MaxVCPUs != 0 && s.MaxVCPUs < s.VCPUs {
		p.Add("max_vcpus", "The most is less than the number at start.", fmt.Sprintf("at least %d", s.VCPUs))
	}
	if t := s.Topology; t != nil {
		most := max(s.VCPUs, s.MaxVCPUs)
		if t.Sockets < 1 || t.Cores < 1 || t.Threads < 1 || t.Sockets > maxVCPUs || t.Cores > maxVCPUs || t.Threads > maxVCPUs || t.Sockets*t.Cores*t.Threads != most {
			p.Add("topology", fmt.Sprintf("%d sockets × %d cores × %d threads is not %d virtual CPUs.", t.Sockets, t.Cores, t.Threads, most), "numbers whose product is the number of virtual CPUs")
		}
	}
	checkMemory(&p, "memory_bytes", s.MemoryBytes)
	if s.MaxMemoryBytes != 0 && s.MaxMemoryBytes < s.MemoryBytes {
		p.Add("max_memory_bytes", "The most is less than the memory at start.", "at least "+FormatBytes(s.MemoryBytes))
	}
	oneOf(&p, "accel", string(s.Accel), "", "auto", "kvm", "tcg")
	oneOf(&p, "firmware", s.Firmware, "", FirmwareBIOS, FirmwareUEFI, FirmwareUEFISecure)
	oneOf(&p, "graphics", s.Graphics, "", "vnc", "none")
	if s.Machine != "" && !machineRE.MatchString(s.Machine) {
		p.Add("machine", "“"+s.Machine+"” is not a machine type.", "q35, pc, or a name that the host lists")
	}
	if s.CPU != "" && !wordRE.MatchString(s.CPU) {
		p.Add("cpu", "“"+s.CPU+"” is not a CPU model.", "host-passthrough, host-model, maximum or a model's name")
	}
	s.Boot.validate(&p)
	s.Hardware.validate(&p, max(s.VCPUs, s.MaxVCPUs), max(s.MemoryBytes, s.MaxMemoryBytes))
	if len(s.Disks) > maxDisks {
		p.Add("disks", "That is too many disks.", fmt.Sprintf("at most %d", maxDisks))
	}
	seen := map[string]bool{}
	for i, d := range s.Disks {
		d.validate(&p, fmt.Sprintf("disks.%d", i))
		if d.Target != "" && seen[d.Target] {
			p.Add(fmt.Sprintf("disks.%d.target", i), "Two disks are called "+d.Target+".", "another name, or none to have one chosen")
		}
		seen[d.Target] = true
	}
	if len(s.NICs) > maxNICs {
		p.Add("nics", "That is too many network cards.", fmt.Sprintf("at most %d", maxNICs))
	}
	macs := map[string]bool{}
	for i, n := range s.NICs {
		n.validate(&p, fmt.Sprintf("nics.%d", i))
		if mac := strings.ToLower(n.MAC); mac != "" {
			if macs[mac] {
				p.Add(fmt.Sprintf("nics.%d.mac", i), "Two cards have the address "+mac+".", "a different address, or none to have one made")
			}
			macs[mac] = true
		}
	}
	return p.Err()
}

func checkMemory(p *Problems, field string, n int64) {
	if n < minMemory || n > maxMemory {
		p.Add(field, FormatBytes(n)+" of memory is not possible.", "from 1 MiB to 64 TiB, for example 2 GiB")
	}
}

func oneOf(p *Problems, field, v string, allowed ...string) {
	if !slices.Contains(allowed, v) {
		names := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
		p.Add(field, "“"+v+"” is not a choice.", "one of "+strings.Join(names, ", "))
	}
}

func absolutePath(p *Problems, field, path string) {
	if path == "" {
		return
	}
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "\x00\n\r") || len(path) > 4096 || strings.Contains(path+"/", "/../") {
		p.Add(field, "“"+path+"” is not an absolute path.", "a path on the host that starts with / and has no ..")
	}
}

func (b Boot) validate(p *Problems) {
	absolutePath(p, "boot.kernel", b.Kernel)
	absolutePath(p, "boot.initrd", b.Initrd)
	if b.Kernel == "" && (b.Initrd != "" || b.Cmdline != "") {
		p.Add("boot.kernel", "An initrd or a command line needs a kernel.", "the kernel's path on the host")
	}
	if len(b.Cmdline) > 2047 || strings.ContainsAny(b.Cmdline, "\x00\n\r") {
		p.Add("boot.cmdline", "The command line is too long or has line breaks.", "one line of at most 2047 characters")
	}
	seen := map[string]bool{}
	for _, o := range b.Order {
		oneOf(p, "boot.order", o, "hd", "cdrom", "network", "fd")
		if seen[o] {
			p.Add("boot.order", "“"+o+"” stands twice.", "each device once")
		}
		seen[o] = true
	}
}

func (d Disk) validate(p *Problems, at string) {
	oneOf(p, at+".device", d.Device, "", "disk", "cdrom", "floppy", "lun")
	oneOf(p, at+".bus", d.Bus, "", "virtio", "scsi", "sata", "ide", "usb", "fdc")
	oneOf(p, at+".format", d.Format, "", "qcow2", "raw")
	oneOf(p, at+".cache", d.Cache, "", "default", "none", "writeback", "writethrough", "directsync", "unsafe")
	if d.Target != "" && !wordRE.MatchString(d.Target) {
		p.Add(at+".target", "“"+d.Target+"” is not a disk's name.", "vda, sda and so on")
	}
	if d.Pool == "" && d.Source != "" {
		absolutePath(p, at+".source", d.Source)
	}
	if d.Pool != "" && strings.Contains(d.Source, "/") {
		absolutePath(p, at+".source", d.Source)
	}
	if strings.ContainsAny(d.Volume, "/\x00\n") || len(d.Volume) > 255 {
		p.Add(at+".volume", "That cannot be a volume's name.", "a plain file name")
	}
	if d.Image != "" {
		name, label := SplitImageRef(d.Image)
		if !strings.HasPrefix(d.Image, "imgv_") && (!imageNameRE.MatchString(name) || strings.Contains(d.Image, "@") && !imageVersionRE.MatchString(label)) {
			p.Add(at+".image", "“"+d.Image+"” does not name an image.", "name, name@version, or the id of a version")
		}
		if d.Source != "" {
			p.Add(at+".source", "A disk begins as an image or shows a source, not both.", "no source, or no image")
		}
		if d.Linked && d.Format == FormatRaw {
			p.Add(at+".format", "A linked disk is an overlay, which only qcow2 can be.", "qcow2, or a full copy")
		}
	} else if d.Linked {
		p.Add(at+".linked", "Only a disk that begins as an image can be linked.", "an image, or not linked")
	}
	switch {
	case d.Source == "" && d.SizeBytes == 0 && d.Image == "" && d.Device != "cdrom" && d.Device != "floppy":
		p.Add(at+".size_bytes", "A new disk needs a size.", "for example 20 GiB, or a source to use what exists")
	case d.Source == "" && d.SizeBytes != 0 && (d.SizeBytes < MiB || d.SizeBytes > maxDisk):
		p.Add(at+".size_bytes", FormatBytes(d.SizeBytes)+" is not a possible disk.", "from 1 MiB to 1 PiB")
	case d.Source != "" && d.SizeBytes != 0:
		p.Add(at+".size_bytes", "An existing source has its own size.", "no size, or no source")
	}
	d.options(p, at)
	if d.New() && d.Device == "cdrom" && d.SizeBytes != 0 {
		p.Add(at+".device", "A CD-ROM is not made; it shows an image.", "a source, or nothing for an empty tray")
	}
}

func (n NIC) validate(p *Problems, at string) {
	n.validateMore(p, at)
	if (n.Network == "") == (n.Bridge == "") {
		p.Add(at+".network", "A card is on a network or on a bridge, one of the two.", "the name of a network, or of a bridge")
	}
	for _, v := range []struct{ f, v string }{{"network", n.Network}, {"bridge", n.Bridge}, {"model", n.Model}} {
		if len(v.v) > 64 || strings.ContainsAny(v.v, "/\x00\n\"'<>") {
			p.Add(at+"."+v.f, "“"+v.v+"” is not a name.", "a plain name")
		}
	}
	if n.MAC != "" {
		hw, err := net.ParseMAC(n.MAC)
		if err != nil || len(hw) != 6 {
			p.Add(at+".mac", "“"+n.MAC+"” is not a MAC address.", "six pairs such as 52:54:00:12:34:56, or nothing to have one made")
		} else if hw[0]&1 != 0 {
			p.Add(at+".mac", "“"+n.MAC+"” is a multicast address.", "an address whose first byte is even")
		}
	}
}
