// Package imagetest makes small disk images, honest and hostile, for tests. It is not for anything else: what the product writes, qemu-img writes.
package imagetest

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

const cluster = 64 << 10

// QCOW2 is a valid image of version 3 whose disk of size bytes begins with content (at most one cluster).
func QCOW2(size uint64, content []byte) []byte {
	be := binary.BigEndian
	b := make([]byte, 6*cluster) // header, refcount table, refcount block, L1, L2, data
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 16)
	be.PutUint64(b[24:], size)
	be.PutUint32(b[36:], uint32((size+512<<20-1)/(512<<20))) // #nosec G115 -- tests make images of some GiB
	be.PutUint64(b[40:], 3*cluster)
	be.PutUint64(b[48:], cluster)
	be.PutUint32(b[56:], 1)
	be.PutUint32(b[96:], 4)
	be.PutUint32(b[100:], 104)
	be.PutUint64(b[cluster:], 2*cluster)
	for i := range 6 {
		be.PutUint16(b[2*cluster+2*i:], 1)
	}
	be.PutUint64(b[3*cluster:], 4*cluster|1<<63)
	be.PutUint64(b[4*cluster:], 5*cluster|1<<63)
	copy(b[5*cluster:], content)
	return b
}

// Put gives a copy of an image with something else written at an offset.
func Put(img []byte, at int, with []byte) []byte {
	out := slices.Clone(img)
	copy(out[at:], with)
	return out
}

// U32 and U64 are numbers as qcow2 and VHD write them.
func U32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// U64 is the long one.
func U64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// BackedQCOW2 names a backing file.
func BackedQCOW2(name string) []byte {
	b := QCOW2(1<<20, nil)
	b = Put(b, 512, []byte(name))
	b = Put(b, 8, U64(512))
	return Put(b, 16, U32(uint32(len(name)))) // #nosec G115 -- a name that a test made
}

// ExtendedQCOW2 has a header extension.
func ExtendedQCOW2(kind uint32, data string) []byte {
	b := Put(QCOW2(1<<20, nil), 104, U32(kind))
	b = Put(b, 108, U32(uint32(len(data)))) // #nosec G115 -- data that a test made
	return Put(b, 112, []byte(data))
}

// Descriptor is the text inside a VMDK disk.
func Descriptor(kind, parentCID, extent, more string) string {
	return fmt.Sprintf("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=%s\ncreateType=\"%s\"\n%s\n%s\n", parentCID, kind, extent, more)
}

// VMDK is a sparse disk of 128 sectors with a descriptor inside.
func VMDK(descriptor string) []byte {
	le := binary.LittleEndian
	b := make([]byte, 256<<10)
	copy(b, "KDMV")
	le.PutUint32(b[4:], 1)
	le.PutUint32(b[8:], 3)
	le.PutUint64(b[12:], 128) // capacity
	le.PutUint64(b[20:], 128) // grain
	le.PutUint64(b[28:], 1)
	le.PutUint64(b[36:], 20)
	le.PutUint32(b[44:], 512)
	le.PutUint64(b[48:], 21) // redundant grain directory
	le.PutUint64(b[56:], 26)
	le.PutUint64(b[64:], 128)
	copy(b[73:], "\n \r\n")
	copy(b[512:], descriptor)
	return b
}

// GoodVMDK passes.
func GoodVMDK() []byte {
	return VMDK(Descriptor("monolithicSparse", "ffffffff", `RW 128 SPARSE "disk.vmdk"`, ""))
}

// VDI is a disk of one block of 1 MiB.
func VDI() []byte {
	le := binary.LittleEndian
	b := make([]byte, 2<<20)
	le.PutUint32(b[0x40:], 0xbeda107f)
	le.PutUint32(b[0x44:], 0x00010001)
	le.PutUint32(b[0x48:], 0x190)
	le.PutUint32(b[0x4c:], 1)
	le.PutUint32(b[0x154:], 512)
	le.PutUint32(b[0x158:], 1<<20)
	le.PutUint32(b[0x168:], 512)
	le.PutUint64(b[0x170:], 1<<20)
	le.PutUint32(b[0x178:], 1<<20)
	le.PutUint32(b[0x180:], 1)
	le.PutUint32(b[0x184:], 1)
	return b
}

func vhdFooter(kind uint32, at, size uint64) []byte {
	be := binary.BigEndian
	f := make([]byte, 512)
	copy(f, "conectix")
	be.PutUint32(f[8:], 2)
	be.PutUint32(f[12:], 0x00010000)
	be.PutUint64(f[16:], at)
	be.PutUint64(f[40:], size)
	be.PutUint64(f[48:], size)
	be.PutUint32(f[60:], kind)
	var sum uint32
	for _, c := range f {
		sum += uint32(c)
	}
	be.PutUint32(f[64:], ^sum)
	return f
}

// FixedVHD is a disk of 1 MiB followed by its footer.
func FixedVHD() []byte { return append(make([]byte, 1<<20), vhdFooter(2, ^uint64(0), 1<<20)...) }

// VHD is a disk of a kind: 3 grows, 4 has a parent.
func VHD(kind uint32) []byte {
	be := binary.BigEndian
	b := make([]byte, 4096)
	copy(b, vhdFooter(kind, 512, 1<<20))
	copy(b[512:], "cxsparse")
	be.PutUint64(b[512+16:], 1536)
	be.PutUint32(b[512+28:], 1)
	be.PutUint32(b[512+32:], 2<<20)
	be.PutUint32(b[1536:], 0xffffffff)
	return append(b, vhdFooter(kind, 512, 1<<20)...)
}

// VHDX is a disk of 1 MiB; parent makes it one that differs from another.
func VHDX(parent bool) []byte {
	le := binary.LittleEndian
	b := make([]byte, 3<<20)
	copy(b, "vhdxfile")
	guid := func(at int, a uint32, p, q uint16, rest ...byte) {
		le.PutUint32(b[at:], a)
		le.PutUint16(b[at+4:], p)
		le.PutUint16(b[at+6:], q)
		copy(b[at+8:], rest)
	}
	for _, t := range []int{192 << 10, 256 << 10} {
		copy(b[t:], "regi")
		le.PutUint32(b[t+8:], 1)
		guid(t+16, 0x8B7CA206, 0x4790, 0x4B9A, 0xB8, 0xFE, 0x57, 0x5F, 0x05, 0x0F, 0x88, 0x6E)
		le.PutUint64(b[t+32:], 1<<20)
		le.PutUint32(b[t+40:], 1<<20)
	}
	m := 1 << 20
	copy(b[m:], "metadata")
	le.PutUint16(b[m+10:], 2)
	guid(m+32, 0xCAA16737, 0xFA36, 0x4D43, 0xB3, 0xB6, 0x33, 0xF0, 0xAA, 0x44, 0xE7, 0x6B)
	le.PutUint32(b[m+48:], 64<<10)
	le.PutUint32(b[m+52:], 8)
	guid(m+64, 0x2FA54224, 0xCD1B, 0x4876, 0xB2, 0x11, 0x5D, 0xBE, 0xD8, 0x3B, 0xF4, 0xB8)
	le.PutUint32(b[m+80:], 64<<10+8)
	le.PutUint32(b[m+84:], 8)
	le.PutUint32(b[m+64<<10:], 32<<20)
	if parent {
		le.PutUint32(b[m+64<<10+4:], 2)
	}
	le.PutUint64(b[m+64<<10+8:], 1<<20)
	return b
}

// ISO is an image of 17 + n sectors that says it has sectors.
func ISO(sectors uint32) []byte {
	b := make([]byte, 40*2048)
	d := b[0x8000:]
	d[0] = 1
	copy(d[1:], "CD001")
	binary.LittleEndian.PutUint32(d[80:], sectors)
	binary.LittleEndian.PutUint16(d[128:], 2048)
	return b
}

// Part is one file of an OVA.
type Part struct {
	Name string
	Data []byte
	Type byte // of tar; 0: a plain file
}

// Tar packs an OVA.
func Tar(parts ...Part) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, p := range parts {
		h := &tar.Header{Name: p.Name, Mode: 0o600, Size: int64(len(p.Data)), Format: tar.FormatUSTAR, Typeflag: p.Type}
		if p.Type == tar.TypeSymlink {
			h.Linkname, h.Size = string(p.Data), 0
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err) // a mistake in a test
		}
		if h.Size > 0 {
			if _, err := w.Write(p.Data); err != nil {
				panic(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// OVF describes a machine of 2 CPUs and 2 GiB whose disk is the file.
func OVF(file string) []byte {
	return []byte(`<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="x">
<References><File ovf:id="f1" ovf:href="` + file + `"/></References>
<DiskSection><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="65536"/></DiskSection>
<VirtualSystem ovf:id="x"><VirtualHardwareSection>
<Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>2048</rasd:VirtualQuantity></Item>
</VirtualHardwareSection></VirtualSystem></Envelope>`)
}

// OVA is a whole appliance.
func OVA() []byte {
	return Tar(Part{Name: "x.ovf", Data: OVF("x-disk1.vmdk")}, Part{Name: "x-disk1.vmdk", Data: GoodVMDK()})
}
