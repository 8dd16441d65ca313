package diskfile

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strconv"
	"strings"
)

const (
	vmdkMostDescriptor = 1 << 20
	vmdkAtEnd          = ^uint64(0)
)

var (
	vmdkExtent = regexp.MustCompile(`(?mi)^[ \t]*(RW|RDONLY|NOACCESS)[ \t]+([0-9]+)[ \t]+([A-Z0-9_]+)(?:[ \t]+"([^"\n]*)")?`)
	vmdkParent = regexp.MustCompile(`(?i)parentFileNameHint[ \t]*=?[ \t]*"?([^"\n]*)`)
	vmdkCID    = regexp.MustCompile(`(?i)parentCID[ \t]*=[ \t]*([0-9a-fx]*)`)
	vmdkType   = regexp.MustCompile(`(?i)createType[ \t]*=[ \t]*"?([^"\n]*)`)
)

// vmdk accepts what is one file with its descriptor inside: monolithicSparse and streamOptimized. The descriptor is searched as loosely as QEMU does,
// so that nothing QEMU would take for a parent goes unseen.
func vmdk(f file) (Info, error) {
	h, err := f.get(0, 512, "header")
	if err != nil {
		return Info{}, err
	}
	le := binary.LittleEndian
	version, capacity, descOffset, descSize := le.Uint32(h[4:]), le.Uint64(h[12:]), le.Uint64(h[28:]), le.Uint64(h[36:])
	gd := le.Uint64(h[56:])
	if version < 1 || version > 3 {
		return Info{}, refuse("The VMDK disk is of version %d, which is not known.", version)
	}
	if gd == vmdkAtEnd { // streamOptimized: the real header is the footer, two sectors before the end
		if f.size < 1536 {
			return Info{}, refuse("The VMDK disk was cut off.")
		}
		foot, err := f.get(f.size-1024, 512, "footer")
		if err != nil {
			return Info{}, err
		}
		if !bytes.HasPrefix(foot, []byte("KDMV")) {
			return Info{}, refuse("The VMDK disk has no footer: the file was cut off.")
		}
		if c := le.Uint64(foot[12:]); c != capacity {
			return Info{}, refuse("The VMDK disk's header and footer say different sizes.")
		}
		if off, n := le.Uint64(foot[28:]), le.Uint64(foot[36:]); off != 0 && (off != descOffset || n != descSize) {
			return Info{}, refuse("The VMDK disk's header and footer name different descriptors.")
		}
		gd = le.Uint64(foot[56:])
	}
	if capacity == 0 || capacity > uint64(MaxVirtual)/512 {
		return Info{}, refuse("The VMDK disk says that it has %d sectors.", capacity)
	}
	if gd > f.length()/512 {
		return Info{}, refuse("The VMDK disk's table lies beyond the end of the file: the file was cut off, or its header lies.")
	}
	if descOffset == 0 || descSize == 0 || descSize > vmdkMostDescriptor/512 || descOffset > f.length()/512 {
		return Info{}, refuse("The VMDK disk has no descriptor inside.").WithFix("Export the disk as one file: streamOptimized, monolithicSparse, or an OVA.")
	}
	desc, err := f.at(descOffset*512, int(descSize)*512, "descriptor")
	if err != nil {
		return Info{}, err
	}
	return Info{VirtualBytes: int64(capacity) * 512}, vmdkDescriptor(string(desc), capacity)
}

func vmdkDescriptor(desc string, capacity uint64) error {
	if m := vmdkParent.FindStringSubmatch(desc); m != nil {
		return refuseOther("a parent disk", m[1])
	}
	for _, m := range vmdkCID.FindAllStringSubmatch(desc, -1) {
		if !strings.EqualFold(m[1], "ffffffff") {
			return refuseOther("a parent disk", "")
		}
	}
	kind := ""
	if m := vmdkType.FindStringSubmatch(desc); m != nil {
		kind = strings.TrimSpace(strings.Trim(m[1], "\x00\r"))
	}
	if kind != "monolithicSparse" && kind != "streamOptimized" {
		return refuse("The VMDK disk is of the kind “%.40s”, whose content is not in one file.", clean(kind)).WithFix("Export the disk as one file: streamOptimized, monolithicSparse, or an OVA.")
	}
	extents := vmdkExtent.FindAllStringSubmatch(desc, -1)
	if len(extents) != 1 {
		return refuse("The VMDK disk names %d files for its content; only one that is itself is taken.", len(extents)).WithFix("Export the disk as one file: streamOptimized, monolithicSparse, or an OVA.")
	}
	e := extents[0]
	if !strings.EqualFold(e[3], "SPARSE") {
		return refuseOther("a file for its content", e[4])
	}
	if strings.ContainsAny(e[4], `/\`) || e[4] == ".." {
		return refuseOther("a file for its content", e[4])
	}
	if n, err := strconv.ParseUint(e[2], 10, 64); err != nil || n != capacity {
		return refuse("The VMDK disk's header says %d sectors and its descriptor says %.20s: it lies about its size.", capacity, e[2])
	}
	return nil
}
