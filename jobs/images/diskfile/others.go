package diskfile

import (
	"bytes"
	"encoding/binary"
)

const vdiMagic = 0xbeda107f

// vdi: VirtualBox's VDI.h.
func vdi(f file) (Info, error) {
	h, err := f.get(0, 512, "header")
	if err != nil {
		return Info{}, err
	}
	le := binary.LittleEndian
	if v := le.Uint32(h[0x44:]); v != 0x00010001 {
		return Info{}, refuse("The VDI disk is of version %d.%d, which is not known.", v>>16, v&0xffff)
	}
	kind, bmap, data := le.Uint32(h[0x4c:]), uint64(le.Uint32(h[0x154:])), uint64(le.Uint32(h[0x158:]))
	size, block, blocks, allocated := le.Uint64(h[0x170:]), uint64(le.Uint32(h[0x178:])), uint64(le.Uint32(h[0x180:])), uint64(le.Uint32(h[0x184:]))
	none := make([]byte, 16)
	switch {
	case kind != 1 && kind != 2:
		return Info{}, refuseOther("a parent disk", "")
	case !bytes.Equal(h[0x1a8:0x1b8], none) || !bytes.Equal(h[0x1b8:0x1c8], none):
		return Info{}, refuseOther("a parent disk", "")
	case le.Uint32(h[0x168:]) != 512:
		return Info{}, refuse("The VDI disk has sectors of %d bytes.", le.Uint32(h[0x168:]))
	case block != 1<<20:
		return Info{}, refuse("The VDI disk has blocks of %d bytes; only 1 MiB is known.", block)
	case size == 0 || size > uint64(MaxVirtual) || size > blocks*block:
		return Info{}, refuse("The VDI disk says that it is %d bytes long in %d blocks: it lies about its size.", size, blocks)
	case allocated > blocks:
		return Info{}, refuse("The VDI disk says that more blocks are filled than there are.")
	}
	if err := f.inside(bmap, blocks*4, "table of blocks"); err != nil {
		return Info{}, err
	}
	if err := f.inside(data, allocated*block, "content"); err != nil {
		return Info{}, err
	}
	return Info{VirtualBytes: int64(size)}, nil
}

// vhdSum is a footer's checksum: the ones' complement of the sum of its bytes without the checksum itself.
func vhdSum(footer []byte) uint32 {
	var sum uint32
	for i, b := range footer[:512] {
		if i < 64 || i >= 68 {
			sum += uint32(b)
		}
	}
	return ^sum
}

// vhd: Virtual Hard Disk Image Format Specification, 2006. QEMU reads the first sector, and the last one when the first is none.
func vhd(f file) (Info, error) {
	h, err := f.get(0, 512, "footer")
	if err != nil {
		return Info{}, err
	}
	fixed := !bytes.HasPrefix(h, []byte("conectix"))
	if fixed {
		if h, err = f.get(f.size-512, 512, "footer"); err != nil {
			return Info{}, err
		}
	}
	be := binary.BigEndian
	if vhdSum(h) != be.Uint32(h[64:]) {
		return Info{}, refuse("The VHD disk's footer has the wrong checksum.")
	}
	at, size, kind := be.Uint64(h[16:]), be.Uint64(h[48:]), be.Uint32(h[60:])
	switch {
	case kind == 4:
		return Info{}, refuseOther("a parent disk", "")
	case size == 0 || size > uint64(MaxVirtual) || size%512 != 0:
		return Info{}, refuse("The VHD disk says that it is %d bytes long.", size)
	case kind == 2:
		return Info{VirtualBytes: int64(size)}, f.inside(0, size+512, "content")
	case kind != 3 || fixed:
		return Info{}, refuse("The VHD disk is of kind %d, which is not known.", kind)
	}
	if err := f.inside(at, 1024, "header"); err != nil {
		return Info{}, err
	}
	d, err := f.at(at, 1024, "header")
	if err != nil {
		return Info{}, err
	}
	table, entries, block := be.Uint64(d[16:]), uint64(be.Uint32(d[28:])), uint64(be.Uint32(d[32:]))
	switch {
	case !bytes.HasPrefix(d, []byte("cxsparse")):
		return Info{}, refuse("The VHD disk has no header for its blocks.")
	case block < 512 || block > 256<<20 || block&(block-1) != 0:
		return Info{}, refuse("The VHD disk says that its blocks are %d bytes long.", block)
	case entries*block < size:
		return Info{}, refuse("The VHD disk says that it is %d bytes long and has %d blocks: it lies about its size.", size, entries)
	}
	return Info{VirtualBytes: int64(size)}, f.inside(table, entries*4, "table of blocks")
}

// guid writes a GUID as VHDX stores it, from the form of its specification.
func guid(a uint32, b, c uint16, rest ...byte) []byte {
	out := binary.LittleEndian.AppendUint32(nil, a)
	out = binary.LittleEndian.AppendUint16(out, b)
	out = binary.LittleEndian.AppendUint16(out, c)
	return append(out, rest...)
}

var (
	vhdxMetadata = guid(0x8B7CA206, 0x4790, 0x4B9A, 0xB8, 0xFE, 0x57, 0x5F, 0x05, 0x0F, 0x88, 0x6E)
	vhdxParams   = guid(0xCAA16737, 0xFA36, 0x4D43, 0xB3, 0xB6, 0x33, 0xF0, 0xAA, 0x44, 0xE7, 0x6B)
	vhdxSize     = guid(0x2FA54224, 0xCD1B, 0x4876, 0xB2, 0x11, 0x5D, 0xBE, 0xD8, 0x3B, 0xF4, 0xB8)
	vhdxParent   = guid(0xA8D35F2D, 0xB30B, 0x454D, 0xAB, 0xF7, 0xD3, 0xD8, 0x48, 0x34, 0xAB, 0x0C)
)

// vhdx: MS-VHDX. Both region tables are looked at, so that it does not matter which one a reader believes.
func vhdx(f file) (Info, error) {
	var found []uint64
	for _, at := range []int64{192 << 10, 256 << 10} {
		b, err := f.get(at, 64<<10, "region table")
		if err != nil {
			return Info{}, err
		}
		if !bytes.HasPrefix(b, []byte("regi")) {
			return Info{}, refuse("The VHDX disk has no region table.")
		}
		n := binary.LittleEndian.Uint32(b[8:])
		if n > 2047 {
			return Info{}, refuse("The VHDX disk says that it has %d regions.", n)
		}
		for i := range int(n) {
			e := b[16+32*i:]
			off, length := binary.LittleEndian.Uint64(e[16:]), uint64(binary.LittleEndian.Uint32(e[24:]))
			if err := f.inside(off, length, "region"); err != nil {
				return Info{}, err
			}
			if bytes.Equal(e[:16], vhdxMetadata) {
				found = append(found, off)
			}
		}
	}
	if len(found) != 2 || found[0] != found[1] {
		return Info{}, refuse("The VHDX disk does not say in one place what it is.")
	}
	return vhdxItems(f, int64(found[0])) // #nosec G115 -- inside has found it within the file
}

func vhdxItems(f file, at int64) (Info, error) {
	b, err := f.get(at, 64<<10, "metadata")
	if err != nil {
		return Info{}, err
	}
	n := int(binary.LittleEndian.Uint16(b[10:]))
	if !bytes.HasPrefix(b, []byte("metadata")) || n > 2047 {
		return Info{}, refuse("The VHDX disk's metadata cannot be read.")
	}
	var size uint64
	params := false
	for i := range n {
		e := b[32+32*i:]
		off := int64(binary.LittleEndian.Uint32(e[16:]))
		switch id := e[:16]; {
		case bytes.Equal(id, vhdxParent):
			return Info{}, refuseOther("a parent disk", "")
		case bytes.Equal(id, vhdxParams):
			v, err := f.get(at+off, 8, "metadata")
			if err != nil {
				return Info{}, err
			}
			if binary.LittleEndian.Uint32(v[4:])&2 != 0 {
				return Info{}, refuseOther("a parent disk", "")
			}
			params = true
		case bytes.Equal(id, vhdxSize):
			v, err := f.get(at+off, 8, "metadata")
			if err != nil {
				return Info{}, err
			}
			if size != 0 {
				return Info{}, refuse("The VHDX disk says its size twice.")
			}
			size = binary.LittleEndian.Uint64(v)
		}
	}
	if !params || size == 0 || size > uint64(MaxVirtual) {
		return Info{}, refuse("The VHDX disk says that it is %d bytes long.", size)
	}
	return Info{VirtualBytes: int64(size)}, nil
}
