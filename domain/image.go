package domain

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ImageState is where a version of an image stands.
type ImageState string

const (
	ImageImporting  ImageState = "importing"  // its content is not there yet, or not checked
	ImageDraft      ImageState = "draft"      // complete; can be tried and thrown away
	ImagePublished  ImageState = "published"  // immutable; what "name" without a version means is the newest of these
	ImageDeprecated ImageState = "deprecated" // still there for what names it, not taken for anything new
)

var imageNext = map[ImageState][]ImageState{
	ImageImporting:  {ImageDraft},
	ImageDraft:      {ImagePublished},
	ImagePublished:  {ImageDeprecated},
	ImageDeprecated: {ImagePublished},
}

// Next checks a transition.
func (s ImageState) Next(to ImageState) error {
	if slices.Contains(imageNext[s], to) {
		return nil
	}
	e := Errorf(Conflict, "A version that is %s cannot become %s.", s.word(), to.word())
	if s == ImageImporting {
		e.Fix = "Wait until its content is there and was checked."
	}
	return e
}

func (s ImageState) word() string {
	switch s {
	case ImageImporting:
		return "still being imported"
	case ImageDraft:
		return "a draft"
	}
	return string(s)
}

// Formats that an image file may have. What the library keeps and hosts receive is qcow2, raw or iso; the others are converted.
const (
	FormatQCOW2 = "qcow2"
	FormatRaw   = "raw"
	FormatISO   = "iso"
	FormatVMDK  = "vmdk"
	FormatVDI   = "vdi"
	FormatVHD   = "vhd"
	FormatVHDX  = "vhdx"
	FormatOVA   = "ova"
)

// ImageFormatsIn lists what can be imported, ImageFormatsOut what can be downloaded.
var (
	ImageFormatsIn  = []string{FormatQCOW2, FormatRaw, FormatISO, FormatVMDK, FormatVDI, FormatVHD, FormatVHDX, FormatOVA}
	ImageFormatsOut = []string{FormatQCOW2, FormatRaw, FormatVMDK, FormatOVA}
)

// NativeFormat reports whether the library keeps files of the format as they are, without qemu-img.
func NativeFormat(format string) bool {
	return format == FormatQCOW2 || format == FormatRaw || format == FormatISO
}

// Kinds of image sources.
const (
	SourceUpload = "upload"
	SourceURL    = "url"
	SourceVM     = "vm"
	SourceVolume = "volume"
	SourceBuilt  = "built" // made by NovaCron itself
)

// ImageSource says where a version's content came from.
type ImageSource struct {
	Kind   string `json:"kind"`             // upload, url, vm, volume, built
	URL    string `json:"url,omitempty"`    // of url
	Name   string `json:"name,omitempty"`   // the file, the VM or the volume, in words
	ID     string `json:"id,omitempty"`     // of the VM or volume
	Format string `json:"format,omitempty"` // what it was before it was converted
	SHA256 string `json:"sha256,omitempty"` // of the file as it came
	Bytes  int64  `json:"bytes,omitempty"`
}

// Words prints a source for people.
func (s ImageSource) Words() string {
	switch s.Kind {
	case SourceURL:
		return s.URL
	case SourceVM:
		return "made from the VM " + s.Name
	case SourceVolume:
		return "made from the volume " + s.Name
	case SourceBuilt:
		return "made by NovaCron"
	}
	if s.Name == "" {
		return "uploaded"
	}
	return "uploaded as " + s.Name
}

// ImageHints is what an OVA says of the machine that its disk belongs to; zero: nothing.
type ImageHints struct {
	VCPUs       int   `json:"vcpus,omitempty"`
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
}

// Image is a named thing of the library; its content is in its versions.
type Image struct {
	ID          string
	Tenant      string // empty: the estate's, for everybody
	Name        string
	Arch        string
	Description string
	CreatedAt   time.Time
	Version     int64          // of the row, for edits
	Versions    []ImageVersion // newest first
}

// ImageVersion is one content of an image. Once published nothing of it but its state and last use changes.
type ImageVersion struct {
	ID           string
	ImageID      string
	ImageName    string
	Arch         string
	Label        string // "12", "2026-11-23": unique in the image
	State        ImageState
	Format       string // qcow2, raw or iso, as the library keeps it; empty while importing
	VirtualBytes int64  // what a guest sees
	FileBytes    int64
	SHA256       string // of the file that the library keeps and hosts get
	Source       ImageSource
	Hints        ImageHints
	Changelog    string
	JobID        string // that made it
	CreatedAt    time.Time
	PublishedAt  time.Time
	LastUsedAt   time.Time // when a VM was last made of it, or a copy placed
}

// Ref is how a person names the version: name@label.
func (v ImageVersion) Ref() string { return v.ImageName + "@" + v.Label }

// Usable reports whether something new may be made of the version.
func (v ImageVersion) Usable() error {
	switch v.State {
	case ImageImporting:
		return Errorf(Conflict, "%s is still being imported.", v.Ref()).WithFix("Wait for its task to end.")
	case ImageDeprecated:
		return Errorf(Conflict, "%s is deprecated.", v.Ref()).WithFix("Use a newer version, or publish it again.")
	}
	return nil
}

// States of a copy of an image on a host.
const (
	CopyPlacing = "placing" // somebody writes it; it is thrown away when that did not end well
	CopyReady   = "ready"   // written in full and read back with the right checksum
)

// ImageCopy is a version's file as a volume in a pool. It is only ever read: guests get overlays or copies of it.
type ImageCopy struct {
	ID         string
	VersionID  string
	HostID     string // through which it was written; on shared storage others see it too
	PoolID     string
	Pool       string // names on the host
	Volume     string
	Path       string
	State      string
	Bytes      int64
	CreatedAt  time.Time
	LastUsedAt time.Time
}

// BaseDisk is a disk that was frozen when its VM was cloned linked: the VM and its clones write into overlays on it, and nothing writes to it again.
type BaseDisk struct {
	ID        string
	HostID    string
	PoolID    string
	Pool      string
	Volume    string
	Path      string
	Format    string
	OfVM      string // name of the VM whose disk it was
	CreatedAt time.Time
}

var (
	imageNameRE    = lazily(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)
	imageVersionRE = lazily(`^[A-Za-z0-9]([A-Za-z0-9._+-]{0,61}[A-Za-z0-9])?$`)
	archRE         = lazily(`^[a-z0-9_]{2,20}$`)
)

// CheckImageName validates the name of an image or template.
func CheckImageName(p *Problems, field, name string) {
	switch {
	case name == "":
		p.Add(field, "A name is needed.", "for example debian")
	case !imageNameRE.MatchString(name) || strings.Contains(name, ".."):
		p.Add(field, "“"+name+"” cannot be its name.", "1 to 63 lower-case letters, digits, dots, hyphens or underscores, starting and ending with a letter or digit")
	}
}

// CheckImageLabel validates the name of a version.
func CheckImageLabel(p *Problems, field, label string) {
	if !imageVersionRE.MatchString(label) || strings.Contains(label, "..") {
		p.Add(field, "“"+label+"” cannot name a version.", "1 to 63 letters, digits, dots, hyphens, plus signs or underscores, such as 12 or 2026-11-23")
	}
}

// CheckArch validates a CPU architecture's name.
func CheckArch(p *Problems, field, arch string) {
	if !archRE.MatchString(arch) {
		p.Add(field, "“"+arch+"” is not an architecture.", "x86_64, aarch64, riscv64 …")
	}
}

// CheckSHA256 validates a checksum; empty passes.
func CheckSHA256(p *Problems, field, sum string) {
	if sum == "" {
		return
	}
	if b, err := hex.DecodeString(sum); err != nil || len(b) != 32 || sum != strings.ToLower(sum) {
		p.Add(field, "That is not a SHA-256 checksum.", "64 characters from 0-9 and a-f")
	}
}

// CheckImageURL validates an address to fetch from. Which addresses are refused for what they lead to is decided when it is dialled.
func CheckImageURL(p *Problems, field, text string) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		p.Add(field, "An address is needed.", "for example https://cloud.debian.org/images/….qcow2")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || len(text) > 2048:
		p.Add(field, "That is not an address that can be fetched.", "one that starts with http:// or https://")
	case u.User != nil:
		p.Add(field, "The address has a name and password in it, which would be shown to everybody who sees the image.", "an address without them")
	}
}

// maxChangelog bounds texts that people write about images and templates.
const maxChangelog = 16 << 10

// CheckWords validates a description or a changelog.
func CheckWords(p *Problems, field, text string) {
	if len(text) > maxChangelog {
		p.Add(field, "The text is too long.", "at most 16 KiB")
	}
}

// SplitImageRef parts "name@version"; version is empty when none is named.
func SplitImageRef(ref string) (name, label string) {
	name, label, _ = strings.Cut(ref, "@")
	return name, label
}

// MinSize checks the size asked for a disk that begins as an image.
func (v ImageVersion) MinSize(p *Problems, field string, size int64) {
	if size != 0 && size < v.VirtualBytes {
		p.Add(field, fmt.Sprintf("%s is smaller than the image %s.", FormatBytes(size), v.Ref()), "at least "+FormatBytes(v.VirtualBytes)+", or nothing for that")
	}
}

// HoldsFiles reports whether the pool's volumes are files, which the copy of an image and an overlay on it must be.
func (p Pool) HoldsFiles() bool {
	return slices.Contains([]string{"dir", "fs", "netfs", "vstorage"}, p.Type)
}

// SettleImage gives a disk that begins as a version what it leaves open: the version by its id, the size and the format.
func (d Disk) SettleImage(v ImageVersion, p *Problems, at string) Disk {
	d.Image = v.ID
	if d.Device == "cdrom" {
		if v.Format == FormatQCOW2 {
			p.Add(at+".image", v.Ref()+" is a disk, which a CD-ROM drive cannot show.", "an ISO image, or a disk")
		}
		d.SizeBytes, d.Linked, d.ReadOnly, d.Format = 0, false, true, FormatRaw
		return d
	}
	v.MinSize(p, at+".size_bytes", d.SizeBytes)
	if d.SizeBytes == 0 {
		d.SizeBytes = max(v.VirtualBytes, MiB)
	}
	format := FormatQCOW2
	if !d.Linked && v.Format != FormatQCOW2 {
		format = FormatRaw
	}
	if d.Format != "" && d.Format != format {
		p.Add(at+".format", "A full copy of "+v.Ref()+" is "+format+", as the image is.", format+", or nothing for that")
	}
	d.Format = format
	return d
}
