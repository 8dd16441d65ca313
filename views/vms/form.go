package vms

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
)

// Sources a new VM can start from.
const (
	SourceDemo   = "demo"    // a kernel that the server offers for trying things
	SourceISO    = "iso"     // an installation image in a CD-ROM drive
	SourceImage  = "image"   // an existing disk image, used as it is
	SourceLib    = "library" // an image of the library, which the first disk begins as
	SourceKernel = "kernel"  // a kernel by its path on the host
	SourceEmpty  = "empty"   // nothing: the disks as they are, or the network
)

// bridgeChoice is the network menu's entry for a bridge typed by name.
const bridgeChoice = "@bridge"

// CreateForm is the create form as typed. The names of its fields are those of domain.VMSpec's JSON in dotted form, so that errors find them.
type CreateForm struct {
	Name, Host                  string // Host: "any" or an id
	VCPUs                       string
	Sockets, Cores, Threads     string
	Memory, CPU, Accel, Machine string
	Firmware, TPM               string // TPM: "1" or ""
	Source, Demo                string // Demo: index into Choices.Guests
	ISO, Image                  string // paths of volumes
	Library, Linked             string // an image of the library by its reference; Linked: "1" or ""
	Kernel, Initrd, Cmdline     string
	Order                       string // "" by source, or "hd,cdrom" and the like
	Disks                       []DiskForm
	NICs                        []NICForm
	Start                       string // "1" or ""
	Tags, Notes                 string
	Tenant, Folder              string
	FirstBoot                   FirstBootForm
	Key                         string
}

// DiskForm is one disk as typed. Kind is "new" or "existing".
type DiskForm struct{ Kind, Pool, Size, Format, Bus, Source, Cache string }

// NICForm is one card as typed. Network is a network's name, or "@bridge" with Bridge.
type NICForm struct{ Network, Bridge, Model, MAC string }

// NewCreateForm has the defaults that make the common case one name and one click.
func NewCreateForm(c Choices, host string) CreateForm {
	f := CreateForm{Host: host, VCPUs: "2", Memory: "2 GiB", Accel: "auto", Source: SourceEmpty, Start: "1", Linked: "1"}
	if f.Host == "" {
		f.Host = "any"
	}
	f.FirstBoot.Win.DriverISO = driverImage(c)
	switch {
	case len(c.Guests) > 0:
		f.Source, f.Demo, f.VCPUs, f.Memory = SourceDemo, "0", "1", "256 MiB"
	case len(c.Library) > 0:
		f.Source = SourceLib
	case len(isoImages(c.Images)) > 0:
		f.Source = SourceISO
	}
	if len(c.Pools) > 0 && f.Source != SourceDemo {
		f.Disks = []DiskForm{newDisk(c)}
	}
	if len(c.Networks) > 0 {
		f.NICs = []NICForm{{Network: networkNames(c)[0]}}
	}
	return f
}

// PrefillCreate is the form of a GET: the defaults, or what was typed so far when the form asks again.
func PrefillCreate(v url.Values, c Choices) CreateForm {
	if !v.Has("vcpus") {
		f := NewCreateForm(c, v.Get("host"))
		f.Name, f.CPU = v.Get("name"), strings.TrimSpace(v.Get("cpu"))
		if ref := v.Get("library"); ref != "" {
			f.begin(ref, c)
		}
		return f
	}
	f := DecodeCreate(v)
	switch v.Get("add") {
	case "disk":
		f.Disks = append(f.Disks, newDisk(c))
	case "nic":
		n := NICForm{Network: bridgeChoice}
		if names := networkNames(c); len(names) > 0 {
			n.Network = names[0]
		}
		f.NICs = append(f.NICs, n)
	}
	if list, i, ok := strings.Cut(v.Get("drop"), "."); ok {
		if n, err := strconv.Atoi(i); err == nil && n >= 0 {
			if list == "disks" && n < len(f.Disks) {
				f.Disks = slices.Delete(f.Disks, n, n+1)
			}
			if list == "nics" && n < len(f.NICs) {
				f.NICs = slices.Delete(f.NICs, n, n+1)
			}
		}
	}
	return f
}

func newDisk(c Choices) DiskForm {
	d := DiskForm{Kind: "new", Size: "20 GiB", Format: "qcow2"}
	if names := poolNames(c); len(names) > 0 {
		d.Pool = names[0]
		if slices.Contains(names, "default") {
			d.Pool = "default"
		}
	}
	return d
}

// DecodeCreate reads the form back.
func DecodeCreate(v url.Values) CreateForm {
	get := func(k string) string { return strings.TrimSpace(v.Get(k)) }
	f := CreateForm{
		Name: get("name"), Host: get("host"), VCPUs: get("vcpus"), Sockets: get("topology.sockets"), Cores: get("topology.cores"), Threads: get("topology.threads"),
		Memory: get("memory_bytes"), CPU: get("cpu"), Accel: get("accel"), Machine: get("machine"), Firmware: get("firmware"), TPM: get("tpm"),
		Source: get("source"), Demo: get("demo"), ISO: get("iso"), Image: get("image"), Library: get("library"), Linked: get("linked"),
		Kernel: get("boot.kernel"), Initrd: get("boot.initrd"), Cmdline: get("boot.cmdline"), Order: get("boot.order"),
		Start: get("start"), Tags: get("tags"), Notes: v.Get("notes"), Tenant: get("tenant"), Folder: get("folder"), Key: get("key"), FirstBoot: DecodeFirstBoot(v),
	}
	for i := 0; i < maxRows && v.Has(diskField(i, "kind")); i++ {
		d := func(k string) string { return get(diskField(i, k)) }
		f.Disks = append(f.Disks, DiskForm{Kind: d("kind"), Pool: d("pool"), Size: d("size_bytes"), Format: d("format"), Bus: d("bus"), Source: d("source"), Cache: d("cache")})
	}
	for i := 0; i < maxRows && v.Has(nicField(i, "network")); i++ {
		n := func(k string) string { return get(nicField(i, k)) }
		f.NICs = append(f.NICs, NICForm{Network: n("network"), Bridge: n("bridge"), Model: n("model"), MAC: n("mac")})
	}
	return f
}

// maxRows bounds what a hostile form can make us allocate; the spec's own limit is judged by the domain.
const maxRows = 100

func diskField(i int, k string) string { return fmt.Sprintf("disks.%d.%s", i, k) }
func nicField(i int, k string) string  { return fmt.Sprintf("nics.%d.%s", i, k) }

// Request gives what was asked for. All wrong fields are named at once, by the names that the form uses.
func (f CreateForm) Request(c Choices) (spec domain.VMSpec, tags []string, err error) {
	var p domain.Problems
	spec = domain.VMSpec{
		Name: f.Name, Accel: domain.Accel(f.Accel), Machine: f.Machine, Firmware: f.Firmware, TPM: f.TPM == "1", Serial: true,
		VCPUs: number(&p, "vcpus", f.VCPUs), MemoryBytes: size(&p, "memory_bytes", f.Memory),
	}
	var features string
	spec.CPU, features = splitCPU(f.CPU)
	spec.CPUFeatures = featuresOf(&p, features)
	if f.Sockets+f.Cores+f.Threads != "" {
		t := domain.Topology{Sockets: 1, Cores: 1, Threads: 1}
		for _, x := range []struct {
			field, typed string
			to           *int
		}{{"topology.sockets", f.Sockets, &t.Sockets}, {"topology.cores", f.Cores, &t.Cores}, {"topology.threads", f.Threads, &t.Threads}} {
			if x.typed != "" {
				*x.to = number(&p, x.field, x.typed)
			}
		}
		spec.Topology = &t
	}
	for i, d := range f.Disks {
		spec.Disks = append(spec.Disks, d.disk(&p, fmt.Sprintf("disks.%d.", i)))
	}
	for _, n := range f.NICs {
		spec.NICs = append(spec.NICs, n.nic())
	}
	extra := f.boot(&p, c, &spec)
	tags = splitTags(f.Tags)
	domain.CheckTags(&p, "tags", tags)
	if e, ok := spec.Validate().(*domain.Error); ok {
		for _, fe := range e.Fields {
			fe.Field = f.renamed(fe.Field, len(f.Disks), extra)
			if !slices.ContainsFunc(p, func(x domain.FieldError) bool { return x.Field == fe.Field }) {
				p = append(p, fe)
			}
		}
	}
	return spec, tags, p.Err()
}

// boot settles what the guest starts from; extra names the form's field behind the disk it added, if it added one.
func (f CreateForm) boot(p *domain.Problems, c Choices, spec *domain.VMSpec) (extra string) {
	switch f.Source {
	case SourceDemo:
		i, err := strconv.Atoi(f.Demo)
		if err != nil || i < 0 || i >= len(c.Guests) {
			p.Add("demo", "That guest is not offered any more.", "one of the list")
			break
		}
		g := c.Guests[i]
		spec.Boot = domain.Boot{Kernel: g.Kernel, Initrd: g.Initrd, Cmdline: g.Cmdline}
	case SourceISO:
		if f.ISO == "" {
			p.Add("iso", "No installation image is chosen.", "an image of the list, or another source")
			break
		}
		spec.Disks = append(spec.Disks, domain.Disk{Device: "cdrom", Source: f.ISO, ReadOnly: true})
		spec.Boot.Order = []string{"hd", "cdrom"}
		extra = "iso"
	case SourceImage:
		if f.Image == "" {
			p.Add("image", "No disk image is chosen.", "an image of the list, or another source")
			break
		}
		spec.Disks = append(spec.Disks, domain.Disk{Source: f.Image, Format: formatOf(c.Images, f.Image)})
		extra = "image"
	case SourceLib:
		extra = f.library(p, c, spec)
	case SourceKernel:
		spec.Boot = domain.Boot{Kernel: f.Kernel, Initrd: f.Initrd, Cmdline: f.Cmdline}
		if f.Kernel == "" {
			p.Add("boot.kernel", "No kernel is given.", "the kernel's path on the host")
		}
	case SourceEmpty:
	default:
		p.Add("source", "“"+f.Source+"” is not a choice.", "one of the list")
	}
	if f.Order != "" {
		spec.Boot.Order = strings.Split(f.Order, ",")
	}
	return extra
}

// renamed maps the spec's field to the form's.
func (f CreateForm) renamed(field string, disks int, extra string) string {
	if extra != "" && strings.HasPrefix(field, fmt.Sprintf("disks.%d.", disks)) {
		return extra
	}
	if field == "topology" {
		return "topology.sockets"
	}
	return field
}

func (d DiskForm) disk(p *domain.Problems, at string) domain.Disk {
	out := domain.Disk{Bus: d.Bus, Cache: d.Cache}
	if d.Kind == "existing" {
		out.Source = d.Source
		if d.Source == "" {
			p.Add(at+"source", "No image is given.", "a path on the host, or a new disk")
		}
		return out
	}
	out.Pool, out.Format, out.SizeBytes = d.Pool, d.Format, size(p, at+"size_bytes", d.Size)
	if d.Pool == "" {
		p.Add(at+"pool", "A new disk needs a storage pool.", "a pool of the host")
	}
	return out
}

func (n NICForm) nic() domain.NIC {
	out := domain.NIC{Network: n.Network, Model: n.Model, MAC: strings.ToLower(n.MAC)}
	if n.Network == bridgeChoice {
		out.Network, out.Bridge = "", n.Bridge
	}
	return out
}

func number(p *domain.Problems, field, typed string) int {
	n, err := strconv.Atoi(strings.TrimSpace(typed))
	if err != nil || n < 0 {
		p.Add(field, "“"+typed+"” is not a number.", "a whole number")
		return 1
	}
	return n
}

func size(p *domain.Problems, field, typed string) int64 {
	n, err := domain.ParseBytes(typed)
	if err != nil || strings.TrimSpace(typed) == "" {
		p.Add(field, "“"+typed+"” is not a size.", "a number and a unit, such as 512 MiB or 2 GiB")
		return domain.GiB
	}
	return n
}

func splitTags(s string) []string {
	tags := strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' || r == '\r' })
	slices.Sort(tags)
	return slices.Compact(tags)
}

// SplitTags reads tags as typed: separated by spaces or commas.
func SplitTags(s string) []string { return splitTags(s) }

func formatOf(images []domain.Volume, path string) string {
	for _, v := range images {
		if v.Path == path {
			return v.Format
		}
	}
	return ""
}

func isISO(v domain.Volume) bool {
	return v.Format == "iso" || strings.HasSuffix(strings.ToLower(v.Name), ".iso")
}

func isoImages(all []domain.Volume) []domain.Volume {
	return slices.DeleteFunc(slices.Clone(all), func(v domain.Volume) bool { return !isISO(v) })
}

func diskImages(all []domain.Volume) []domain.Volume {
	return slices.DeleteFunc(slices.Clone(all), isISO)
}

func poolNames(c Choices) []string {
	var out []string
	for _, p := range c.Pools {
		if !slices.Contains(out, p.Name) {
			out = append(out, p.Name)
		}
	}
	return out
}

func networkNames(c Choices) []string {
	var out []string
	for _, n := range c.Networks {
		if !slices.Contains(out, n.Name) {
			out = append(out, n.Name)
		}
	}
	if i := slices.Index(out, "default"); i > 0 {
		out[0], out[i] = out[i], out[0]
	}
	return out
}
