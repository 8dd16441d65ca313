// Package diskfile reads the headers of disk image files that nobody trusts yet: which format a file really has, how large a disk it holds, and
// whether it is one self-contained file. It is the gate of the image library: no file reaches qemu-img or a host before Inspect accepted it.
//
// A file is refused when it names any other file (backing file, external data file, parent, extent), is encrypted, is not what it was said to be,
// or says something about itself that its length proves wrong. Nothing here opens a file by name, allocates what a header asks for without a
// bound, or follows anything; the same file always gives the same answer.
//
// It is not for reading content or for converting: that is qemu-img's, run by jobs/images with the format found here spelled out.
package diskfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"novacron/domain"
)

// Info is what a file turned out to be.
type Info struct {
	Format       string // domain.FormatQCOW2 …
	VirtualBytes int64
	OldQCOW2     bool // version 2, which cannot hold dirty bitmaps
	Inner        *Inner
	Hints        domain.ImageHints // of an OVA
}

// Inner is the disk inside an OVA.
type Inner struct {
	Name   string
	Format string
	Offset int64
	Bytes  int64
}

// MaxVirtual is the largest disk that is believed.
const MaxVirtual = 64 * domain.TiB

// Inspect tells what the size bytes of r are. claimed is the format that somebody says they have; empty to find out.
func Inspect(r io.ReaderAt, size int64, claimed string) (Info, error) {
	format, err := Detect(r, size)
	if err != nil {
		return Info{}, err
	}
	if claimed != "" && claimed != format {
		return Info{}, refuse("The file was said to be %s, and is %s.", words[claimed], words[format]).WithFix("Say what it is, or leave the format out.")
	}
	info, err := readers[format](file{r, size})
	if err != nil {
		return Info{}, err
	}
	info.Format = format
	if info.VirtualBytes <= 0 {
		return Info{}, refuse("The image says that its disk is %d bytes long.", info.VirtualBytes)
	}
	if info.VirtualBytes > MaxVirtual {
		return Info{}, refuse("The image says that its disk is %s long, which is more than anything here can hold.", domain.FormatBytes(info.VirtualBytes))
	}
	return info, nil
}

var readers map[string]func(file) (Info, error)

func init() { // a map literal would be a cycle: an OVA's disk is inspected too
	readers = map[string]func(file) (Info, error){
		domain.FormatQCOW2: qcow2, domain.FormatRaw: raw, domain.FormatISO: iso, domain.FormatVMDK: vmdk, domain.FormatVDI: vdi, domain.FormatVHD: vhd, domain.FormatVHDX: vhdx,
		domain.FormatOVA: ova,
	}
}

var words = map[string]string{
	domain.FormatQCOW2: "a qcow2 image", domain.FormatRaw: "a raw disk", domain.FormatISO: "an ISO image", domain.FormatVMDK: "a VMDK disk", domain.FormatVDI: "a VDI disk",
	domain.FormatVHD: "a VHD disk", domain.FormatVHDX: "a VHDX disk", domain.FormatOVA: "an OVA appliance",
}

// file is what is inspected.
type file struct {
	io.ReaderAt
	size int64
}

// get reads n bytes at an offset, which must be inside the file. n is a constant of the caller or bounded by it.
func (f file) get(off int64, n int, what string) ([]byte, error) {
	if off < 0 || n < 0 || off > f.size || int64(n) > f.size-off {
		return nil, refuse("The image's %s lies beyond the end of the file: the file was cut off, or its header lies.", what)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil && !(errors.Is(err, io.EOF) && off+int64(n) == f.size) {
		return nil, domain.Errorf(domain.Internal, "The image file cannot be read: %w", err)
	}
	return b, nil
}

// at is get for an offset that the file names itself.
func (f file) at(off uint64, n int, what string) ([]byte, error) {
	if err := f.inside(off, 0, what); err != nil {
		return nil, err
	}
	return f.get(int64(off), n, what) // #nosec G115 -- it is inside the file, whose length is an int64
}

// length is the file's, to compare with what it says of itself.
func (f file) length() uint64 { return uint64(max(f.size, 0)) }

// inside checks that a part lies within the file.
func (f file) inside(off, n uint64, what string) error {
	if off > f.length() || n > f.length()-off {
		return refuse("The image's %s lies beyond the end of the file: the file was cut off, or its header lies.", what)
	}
	return nil
}

func refuse(format string, args ...any) *domain.Error {
	e := domain.Errorf(domain.Invalid, format, args...)
	e.Fix = "Nothing of it was kept. Get the file again from where it came from, and compare its checksum."
	return e
}

// refuseOther is the refusal of a file that leads to another one.
func refuseOther(what, name string) *domain.Error {
	said := ""
	if name != "" {
		said = fmt.Sprintf(" (“%.120s”)", clean(name))
	}
	e := domain.Errorf(domain.Invalid, "The image is not whole: it names %s%s, and another file is never followed from an image.", what, said)
	e.Fix = "Make it one file where it came from, for example with qemu-img convert, and import that."
	return e
}

// clean keeps what can be shown of a name from a hostile file.
func clean(s string) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xFFFD {
			return '?'
		}
		return r
	}, []byte(s)))
}

// magics that are known but not taken, with what to do.
var strangers = []struct {
	magic string
	at    int64
	what  string
	fix   string
}{
	{"\x1f\x8b", 0, "compressed with gzip", "Unpack it first (gunzip)."},
	{"\xfd7zXZ\x00", 0, "compressed with xz", "Unpack it first (unxz)."},
	{"BZh", 0, "compressed with bzip2", "Unpack it first (bunzip2)."},
	{"\x28\xb5\x2f\xfd", 0, "compressed with zstd", "Unpack it first (unzstd)."},
	{"PK\x03\x04", 0, "a ZIP archive", "Unpack it first."},
	{"7z\xbc\xaf\x27\x1c", 0, "a 7z archive", "Unpack it first."},
	{"QED\x00", 0, "a QED image", "Convert it to qcow2 first."},
	{"COWD", 0, "an old sparse VMDK of ESX", "Export it as a streamOptimized VMDK or an OVA."},
	{"LUKS\xba\xbe", 0, "encrypted with LUKS", "Images are kept unencrypted; encrypt the disks that are made of them."},
	{"WithoutFreeSpace", 0, "a Parallels disk", "Convert it to qcow2 first."},
	{"WithouFreSpacExt", 0, "a Parallels disk", "Convert it to qcow2 first."},
	{"Bochs Virtual HD Image", 0, "a Bochs disk", "Convert it to qcow2 first."},
	{"# Disk DescriptorFile", 0, "only the descriptor of a VMDK disk, whose content is in other files", "Export the disk as one file: streamOptimized, monolithicSparse, or an OVA."},
	{"<!DOCTYPE", 0, "a web page", "The address leads to a page, not to the image itself."},
	{"<html", 0, "a web page", "The address leads to a page, not to the image itself."},
	{"<?xml", 0, "an XML document", "Import the OVA, or the disk that the document describes."},
}

// Detect tells the format of a file by what it begins with (and, for a fixed VHD, ends with). What is none of the others is raw.
func Detect(r io.ReaderAt, size int64) (string, error) {
	f := file{r, size}
	if size < 512 {
		return "", refuse("The file is only %d bytes long; that is no disk.", size)
	}
	head, err := f.get(0, 512, "first sector")
	if err != nil {
		return "", err
	}
	switch {
	case bytes.HasPrefix(head, []byte("QFI\xfb")):
		return domain.FormatQCOW2, nil
	case bytes.HasPrefix(head, []byte("KDMV")):
		return domain.FormatVMDK, nil
	case bytes.HasPrefix(head, []byte("vhdxfile")):
		return domain.FormatVHDX, nil
	case bytes.HasPrefix(head, []byte("conectix")):
		return domain.FormatVHD, nil
	case binary.LittleEndian.Uint32(head[0x40:]) == vdiMagic:
		return domain.FormatVDI, nil
	case bytes.Equal(head[257:262], []byte("ustar")):
		return domain.FormatOVA, nil
	}
	for _, s := range strangers {
		if bytes.HasPrefix(head, []byte(s.magic)) {
			return "", domain.Errorf(domain.Invalid, "The file is %s.", s.what).WithFix("%s", s.fix)
		}
	}
	if size >= 0x8800 {
		vol, err := f.get(0x8000, 6, "volume descriptor")
		if err != nil {
			return "", err
		}
		if bytes.Equal(vol[1:], []byte("CD001")) {
			return domain.FormatISO, nil
		}
	}
	tail, err := f.get(size-512, 512, "last sector")
	if err != nil {
		return "", err
	}
	if bytes.HasPrefix(tail, []byte("conectix")) && vhdSum(tail) == binary.BigEndian.Uint32(tail[64:]) {
		return domain.FormatVHD, nil
	}
	return domain.FormatRaw, nil
}

func raw(f file) (Info, error) { return Info{VirtualBytes: f.size}, nil }

// iso checks that the file has all sectors that its volume descriptor speaks of.
func iso(f file) (Info, error) {
	b, err := f.get(0x8000, 2048, "volume descriptor")
	if err != nil {
		return Info{}, err
	}
	sectors, sector := uint64(binary.LittleEndian.Uint32(b[80:])), uint64(binary.LittleEndian.Uint16(b[128:]))
	if sector == 0 || sector > 4096 {
		return Info{}, refuse("The ISO image says that its sectors are %d bytes long.", sector)
	}
	if err := f.inside(0, sectors*sector, "file system"); err != nil {
		return Info{}, err
	}
	return Info{VirtualBytes: f.size}, nil
}
