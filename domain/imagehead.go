package domain

import (
	"bytes"
	"encoding/binary"
)

// ImageHeadBytes is how much of an image CheckImageHead wants to see.
const ImageHeadBytes = 1 << 20

// CheckImageHead refuses content from outside that names other files: a host that opens such an image would read them, whatever they are. head is the
// content's beginning, format what the volume is said to be (qcow2 or raw).
func CheckImageHead(head []byte, format string) error {
	names := func(what string) error {
		return Errorf(Invalid, "The content is %s that names another file, which the host would read with it. Such content is not taken from outside.", what).
			WithFix("Make one file of it that stands alone, for example with: qemu-img convert -O qcow2 old.qcow2 new.qcow2")
	}
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(head[at:]) }
	switch {
	case bytes.HasPrefix(head, []byte("QFI\xfb")) && len(head) >= 104:
		const externalData = 1 << 2
		if binary.BigEndian.Uint64(head[8:]) != 0 || u32(16) != 0 {
			return names("a qcow2 image")
		}
		if u32(4) >= 3 && binary.BigEndian.Uint64(head[72:])&externalData != 0 {
			return names("a qcow2 image")
		}
		return nil
	case format == "qcow2":
		return Errorf(Invalid, "The content is not a qcow2 image, and the volume is one.").WithFix("Upload it into a raw volume, or convert it first.")
	case bytes.HasPrefix(head, []byte("QED\x00")):
		return names("a QED image")
	case bytes.HasPrefix(head, []byte("# Disk DescriptorFile")), bytes.HasPrefix(head, []byte("KDMV")) && bytes.Contains(head, []byte("parentFileNameHint")):
		return names("a VMDK image")
	}
	return nil
}
