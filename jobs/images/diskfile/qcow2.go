package diskfile

import (
	"encoding/binary"
)

// qcow2's format: docs/interop/qcow2.txt of QEMU.
const (
	qcowBackingFormat = 0xE2792ACA
	qcowDataFile      = 0x44415441
	qcowCrypto        = 0x0537be77

	qcowDirty       = 1 << 0
	qcowCorrupt     = 1 << 1
	qcowExternal    = 1 << 2
	qcowCompression = 1 << 3
	qcowExtendedL2  = 1 << 4

	qcowMostL1   = 32 << 20 // bytes; QEMU's own bound
	qcowOffset   = 0x00fffffffffffe00
	qcowPacked   = 1 << 62
	qcowMostExts = 64
)

type qcowHeader struct {
	version          uint32
	backingOffset    uint64
	backingSize      uint32
	clusterBits      uint32
	size             uint64
	crypt            uint32
	l1Size           uint32
	l1Offset         uint64
	refcountOffset   uint64
	refcountClusters uint32
	snapshots        uint32
	snapshotsOffset  uint64
	incompatible     uint64
	length           uint32
}

func qcow2(f file) (Info, error) {
	h, err := qcowRead(f)
	if err != nil {
		return Info{}, err
	}
	if err := h.alone(f); err != nil {
		return Info{}, err
	}
	if err := h.shape(f); err != nil {
		return Info{}, err
	}
	if err := h.tables(f); err != nil {
		return Info{}, err
	}
	// #nosec G115 -- shape refuses what is larger than MaxVirtual
	return Info{VirtualBytes: int64(h.size), OldQCOW2: h.version == 2}, nil
}

func qcowRead(f file) (qcowHeader, error) {
	var h qcowHeader
	b, err := f.get(0, 112, "header")
	if err != nil {
		return h, err
	}
	be := binary.BigEndian
	h = qcowHeader{
		version: be.Uint32(b[4:]), backingOffset: be.Uint64(b[8:]), backingSize: be.Uint32(b[16:]), clusterBits: be.Uint32(b[20:]), size: be.Uint64(b[24:]),
		crypt: be.Uint32(b[32:]), l1Size: be.Uint32(b[36:]), l1Offset: be.Uint64(b[40:]), refcountOffset: be.Uint64(b[48:]), refcountClusters: be.Uint32(b[56:]),
		snapshots: be.Uint32(b[60:]), snapshotsOffset: be.Uint64(b[64:]), length: 72,
	}
	switch h.version {
	case 2:
	case 3:
		h.incompatible, h.length = be.Uint64(b[72:]), be.Uint32(b[100:])
		if h.length < 104 || h.length > 4096 || h.length%8 != 0 {
			return h, refuse("The qcow2 header says that it is %d bytes long.", h.length)
		}
	default:
		return h, refuse("The image is qcow of version %d; only versions 2 and 3 are known.", h.version)
	}
	return h, nil
}

// alone refuses whatever leads out of the file, and what cannot be read without a key.
func (h qcowHeader) alone(f file) error {
	if h.backingOffset != 0 || h.backingSize != 0 {
		name := ""
		if h.backingSize > 0 && h.backingSize <= 1023 && h.backingOffset < f.length() {
			if b, err := f.at(h.backingOffset, int(h.backingSize), "backing file's name"); err == nil {
				name = string(b)
			}
		}
		return refuseOther("a backing file", name)
	}
	if h.incompatible&qcowExternal != 0 {
		return refuseOther("a data file outside of itself", "")
	}
	if h.crypt != 0 {
		return refuse("The image is encrypted.").WithFix("Images are kept unencrypted; encrypt the disks that are made of them.")
	}
	at := int64(h.length)
	for range qcowMostExts {
		b, err := f.get(at, 8, "header extensions")
		if err != nil {
			return err
		}
		kind, n := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		switch kind {
		case 0:
			return nil
		case qcowBackingFormat:
			return refuseOther("the format of a backing file", "")
		case qcowDataFile:
			name := ""
			if n <= 1023 {
				if b, err := f.get(at+8, int(n), "data file's name"); err == nil {
					name = string(b)
				}
			}
			return refuseOther("a data file outside of itself", name)
		case qcowCrypto:
			return refuse("The image is encrypted.").WithFix("Images are kept unencrypted; encrypt the disks that are made of them.")
		}
		at += 8 + (int64(n)+7)&^7
		if h.clusterBits < 22 && at > 1<<h.clusterBits {
			return refuse("The qcow2 header's extensions go on beyond its first cluster.")
		}
	}
	return refuse("The qcow2 header has more than %d extensions.", qcowMostExts)
}

// shape checks the numbers of the header against each other and the file.
func (h qcowHeader) shape(f file) error {
	if h.clusterBits < 9 || h.clusterBits > 21 {
		return refuse("The qcow2 header says that a cluster is 2^%d bytes.", h.clusterBits)
	}
	if unknown := h.incompatible &^ (qcowDirty | qcowCorrupt | qcowExternal | qcowCompression | qcowExtendedL2); unknown != 0 {
		return refuse("The image uses features of qcow2 that are not known here (bits %#x).", unknown)
	}
	if h.incompatible&qcowCorrupt != 0 {
		return refuse("The image is marked as corrupt.").WithFix("Repair it with qemu-img check -r where it came from.")
	}
	if h.size == 0 || h.size > uint64(MaxVirtual) {
		return refuse("The image says that its disk is %d bytes long.", h.size)
	}
	if h.snapshots > 0 {
		if err := f.inside(h.snapshotsOffset, uint64(h.snapshots), "list of snapshots"); err != nil || h.snapshots > 65536 {
			return refuse("The image says that it has %d snapshots, which it cannot.", h.snapshots)
		}
	}
	cluster := uint64(1) << h.clusterBits
	if need := h.l1Needed(); uint64(h.l1Size) < need || uint64(h.l1Size)*8 > qcowMostL1 {
		return refuse("The image says that its disk is %d bytes long, and its table has %d entries where %d are needed: it lies about its size.", h.size, h.l1Size, need)
	}
	if h.l1Offset%cluster != 0 || h.refcountOffset%cluster != 0 || h.l1Offset == 0 || h.refcountOffset == 0 {
		return refuse("The qcow2 header has tables where none can be.")
	}
	if err := f.inside(h.l1Offset, uint64(h.l1Size)*8, "table of clusters"); err != nil {
		return err
	}
	return f.inside(h.refcountOffset, 1, "table of reference counts")
}

func (h qcowHeader) entry() uint64 {
	if h.incompatible&qcowExtendedL2 != 0 {
		return 16
	}
	return 8
}

// l1Needed is how many entries of the first table the disk's size takes.
func (h qcowHeader) l1Needed() uint64 {
	cluster := uint64(1) << h.clusterBits
	covers := cluster * (cluster / h.entry())
	return (h.size + covers - 1) / covers
}

// tables walks both levels of tables: every cluster that they name must be in the file. What is read is bounded by the file, as each table must be in
// it and none may be named twice.
func (h qcowHeader) tables(f file) error {
	l1, err := f.at(h.l1Offset, int(h.l1Size)*8, "table of clusters")
	if err != nil {
		return err
	}
	cluster, step := uint64(1)<<h.clusterBits, int(h.entry()) // #nosec G115 -- 8 or 16
	var seen map[uint64]bool
	for i := 0; i < len(l1); i += 8 {
		at := binary.BigEndian.Uint64(l1[i:]) & qcowOffset
		if at == 0 {
			continue
		}
		if at%cluster != 0 || seen[at] {
			return refuse("The image's tables are broken: one is in the wrong place.")
		}
		if err := f.inside(at, cluster, "table of clusters"); err != nil {
			return err
		}
		if seen == nil {
			seen = map[uint64]bool{}
		}
		seen[at] = true
		l2, err := f.at(at, int(cluster), "table of clusters") // #nosec G115 -- shape refuses clusters of more than 2 MiB
		if err != nil {
			return err
		}
		for j := 0; j < len(l2); j += step {
			e := binary.BigEndian.Uint64(l2[j:])
			data := e & qcowOffset
			if e&qcowPacked != 0 {
				data = e & (1<<(62-(h.clusterBits-8)) - 1)
			}
			if data >= f.length() {
				return refuse("The image names content beyond the end of the file: the file was cut off, or its header lies.")
			}
		}
	}
	return nil
}
