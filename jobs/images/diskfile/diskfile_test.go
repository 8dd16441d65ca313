package diskfile_test

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/jobs/images/diskfile"
	"novacron/jobs/images/imagetest"
)

func inspect(img []byte, claimed string) (diskfile.Info, error) {
	return diskfile.Inspect(bytes.NewReader(img), int64(len(img)), claimed)
}

func TestHonestImages(t *testing.T) {
	for name, c := range map[string]struct {
		img     []byte
		format  string
		virtual int64
	}{
		"qcow2":     {imagetest.QCOW2(1<<30, []byte("x")), domain.FormatQCOW2, 1 << 30},
		"raw":       {make([]byte, 1<<20), domain.FormatRaw, 1 << 20},
		"iso":       {imagetest.ISO(40), domain.FormatISO, 40 * 2048},
		"vmdk":      {imagetest.GoodVMDK(), domain.FormatVMDK, 128 * 512},
		"vdi":       {imagetest.VDI(), domain.FormatVDI, 1 << 20},
		"vhd":       {imagetest.VHD(3), domain.FormatVHD, 1 << 20},
		"fixed vhd": {imagetest.FixedVHD(), domain.FormatVHD, 1 << 20},
		"vhdx":      {imagetest.VHDX(false), domain.FormatVHDX, 1 << 20},
		"ova":       {imagetest.OVA(), domain.FormatOVA, 128 * 512},
	} {
		info, err := inspect(c.img, "")
		if err != nil || info.Format != c.format || info.VirtualBytes != c.virtual {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if _, err := inspect(c.img, c.format); err != nil {
			t.Errorf("%s, said to be %s: %v", name, c.format, err)
		}
		wrong := domain.FormatVDI
		if c.format == wrong {
			wrong = domain.FormatRaw
		}
		if _, err := inspect(c.img, wrong); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s, said to be %s: %v", name, wrong, err)
		}
	}
	info, err := inspect(imagetest.OVA(), "")
	if err != nil || info.Inner == nil || info.Inner.Format != domain.FormatVMDK || info.Hints != (domain.ImageHints{VCPUs: 2, MemoryBytes: 2 * domain.GiB}) {
		t.Errorf("the appliance is %+v, %v", info, err)
	}
	old := imagetest.Put(imagetest.QCOW2(1<<20, nil), 4, imagetest.U32(2))
	old = imagetest.Put(old, 72, make([]byte, 40)) // no extensions behind a header of version 2
	if info, err := inspect(old, ""); err != nil || !info.OldQCOW2 {
		t.Errorf("version 2: %+v, %v", info, err)
	}
}

// Every one of these has been a way into somebody's files or memory.
func TestHostileImagesAreRefused(t *testing.T) {
	const c = 64 << 10
	q := imagetest.QCOW2(1<<20, nil)
	ext := func(kind, cid, extent, more string) []byte {
		return imagetest.VMDK(imagetest.Descriptor(kind, cid, extent, more))
	}
	const self = `RW 128 SPARSE "disk.vmdk"`
	vmdk := imagetest.GoodVMDK()
	for name, img := range map[string][]byte{
		"backing file":                   imagetest.BackedQCOW2("/etc/passwd"),
		"backing file by json":           imagetest.BackedQCOW2(`json:{"driver":"file","filename":"/etc/shadow"}`),
		"backing file by network":        imagetest.BackedQCOW2("nbd://127.0.0.1:10809/x"),
		"backing size without an offset": imagetest.Put(q, 16, imagetest.U32(10)),
		"backing format":                 imagetest.ExtendedQCOW2(0xE2792ACA, "raw"),
		"data file's name":               imagetest.ExtendedQCOW2(0x44415441, "/etc/passwd"),
		"data file's bit":                imagetest.Put(q, 72, imagetest.U64(4)),
		"corrupt bit":                    imagetest.Put(q, 72, imagetest.U64(2)),
		"unknown feature":                imagetest.Put(q, 72, imagetest.U64(1<<40)),
		"encryption":                     imagetest.Put(q, 32, imagetest.U32(2)),
		"encryption by extension":        imagetest.ExtendedQCOW2(0x0537be77, strings.Repeat("x", 16)),
		"version 4":                      imagetest.Put(q, 4, imagetest.U32(4)),
		"header of 4 GiB":                imagetest.Put(q, 100, imagetest.U32(0xfffffff8)),
		"no size":                        imagetest.Put(q, 24, imagetest.U64(0)),
		"disk of 8 EiB":                  imagetest.Put(q, 24, imagetest.U64(1<<63)),
		"larger than its table":          imagetest.Put(q, 24, imagetest.U64(1<<40)),
		"table of 32 GiB":                imagetest.Put(imagetest.Put(q, 24, imagetest.U64(1<<40)), 36, imagetest.U32(0xffffffff)),
		"table beyond the end":           imagetest.Put(q, 40, imagetest.U64(1<<40)),
		"table at a negative place":      imagetest.Put(q, 40, imagetest.U64(1<<63)),
		"backing file, negative place":   imagetest.Put(imagetest.BackedQCOW2("x"), 8, imagetest.U64(1<<63+512)),
		"refcounts at a negative place":  imagetest.Put(q, 48, imagetest.U64(1<<63)),
		"table at an odd place":          imagetest.Put(q, 40, imagetest.U64(3*c+512)),
		"refcounts beyond the end":       imagetest.Put(q, 48, imagetest.U64(1<<40)),
		"second table beyond the end":    imagetest.Put(q, 3*c, imagetest.U64(1<<40)),
		"second table twice":             imagetest.Put(imagetest.Put(imagetest.Put(q, 24, imagetest.U64(1<<30)), 36, imagetest.U32(2)), 3*c+8, imagetest.U64(4*c|1<<63)),
		"content beyond the end":         imagetest.Put(q, 4*c, imagetest.U64(1<<40|1<<63)),
		"clusters of 2 GiB":              imagetest.Put(q, 20, imagetest.U32(31)),
		"many snapshots":                 imagetest.Put(q, 60, imagetest.U32(0xffffffff)),
		"extensions without end":         imagetest.Put(q, 104, bytes.Repeat([]byte{1, 1, 1, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0}, 200)),
		"cut off":                        q[:3*c],

		"vmdk with a parent":        ext("monolithicSparse", "12345678", self, ""),
		"vmdk with a parent's name": ext("monolithicSparse", "ffffffff", self, `parentFileNameHint="/etc/passwd"`),
		"vmdk with a hidden parent": ext("monolithicSparse", "ffffffff", self, "\x00\x00 PARENTFILENAMEHINT=\"/etc/passwd\""),
		"vmdk of a flat file":       ext("monolithicFlat", "ffffffff", `RW 128 FLAT "/etc/passwd" 0`, ""),
		"vmdk of two files":         ext("twoGbMaxExtentSparse", "ffffffff", self+"\nRW 128 SPARSE \"b.vmdk\"", ""),
		"vmdk with a flat extent":   ext("monolithicSparse", "ffffffff", `RW 128 FLAT "/etc/passwd" 0`, ""),
		"vmdk with a second extent": ext("monolithicSparse", "ffffffff", self+"\nRW 128 FLAT \"/etc/passwd\" 0", ""),
		"vmdk with a path":          ext("monolithicSparse", "ffffffff", `RW 128 SPARSE "../../etc/passwd"`, ""),
		"vmdk that lies":            ext("monolithicSparse", "ffffffff", `RW 99999999 SPARSE "disk.vmdk"`, ""),
		"vmdk without capacity":     imagetest.Put(vmdk, 12, make([]byte, 8)),
		"vmdk without descriptor":   imagetest.Put(vmdk, 28, make([]byte, 8)),
		"vmdk, descriptor beyond":   imagetest.Put(vmdk, 28, []byte{0, 0, 0, 0, 1}),
		"vmdk, descriptor wraps":    imagetest.Put(vmdk, 28, []byte{1, 0, 0, 0, 0, 0, 0x80, 0}), // times 512 it is 512 again
		"vmdk, directory beyond":    imagetest.Put(vmdk, 56, []byte{0, 0, 0, 0, 1}),
		"vmdk, huge descriptor":     imagetest.Put(vmdk, 36, []byte{0, 0, 0, 1}),
		"vmdk, footer missing":      imagetest.Put(vmdk, 56, bytes.Repeat([]byte{0xff}, 8)),
		"vmdk descriptor alone":     []byte(imagetest.Descriptor("monolithicFlat", "ffffffff", `RW 128 FLAT "/etc/passwd" 0`, strings.Repeat("#", 1024))),

		"vdi that differs":     imagetest.Put(imagetest.VDI(), 0x4c, []byte{4}),
		"vdi with a parent":    imagetest.Put(imagetest.VDI(), 0x1b8, []byte{1}),
		"vdi that lies":        imagetest.Put(imagetest.VDI(), 0x170, []byte{0, 0, 0, 0, 1}),
		"vdi, huge table":      imagetest.Put(imagetest.VDI(), 0x180, []byte{0xff, 0xff, 0xff, 0x7f}),
		"vdi, content missing": imagetest.VDI()[:1<<20],
		"vhd with a parent":    imagetest.VHD(4),
		"vhd, broken footer":   imagetest.Put(imagetest.VHD(3), 9, []byte{9}),
		"vhdx with a parent":   imagetest.VHDX(true),
		"vhdx cut off":         imagetest.VHDX(false)[:200<<10],
		"iso cut off":          imagetest.ISO(9000),

		"ova with a path":       imagetest.Tar(imagetest.Part{Name: "x.ovf", Data: imagetest.OVF("../../etc/passwd")}),
		"ova by address":        imagetest.Tar(imagetest.Part{Name: "x.ovf", Data: imagetest.OVF("http://127.0.0.1/x.vmdk")}),
		"ova with a link":       imagetest.Tar(imagetest.Part{Name: "x.ovf", Data: imagetest.OVF("d")}, imagetest.Part{Name: "d", Data: []byte("/etc/passwd"), Type: tar.TypeSymlink}),
		"ova without its disk":  imagetest.Tar(imagetest.Part{Name: "x.ovf", Data: imagetest.OVF("d")}),
		"ova without a word":    imagetest.Tar(imagetest.Part{Name: "d", Data: vmdk}),
		"ova of a hostile disk": imagetest.Tar(imagetest.Part{Name: "x.ovf", Data: imagetest.OVF("d")}, imagetest.Part{Name: "d", Data: imagetest.BackedQCOW2("/etc/passwd")}),
		"ova cut off":           imagetest.OVA()[:4096],
		"ova in an ova":         imagetest.Tar(imagetest.Part{Name: "x.ovf", Data: imagetest.OVF("d")}, imagetest.Part{Name: "d", Data: imagetest.OVA()}),

		"nothing":    {},
		"gzip":       append([]byte("\x1f\x8b"), make([]byte, 1024)...),
		"a web page": append([]byte("<!DOCTYPE html>"), make([]byte, 1024)...),
		"luks":       append([]byte("LUKS\xba\xbe"), make([]byte, 1024)...),
	} {
		info, err := inspect(img, "")
		if !domain.Is(err, domain.Invalid) {
			t.Errorf("%s passed: %+v, %v", name, info, err)
			continue
		}
		if e := err.(*domain.Error); e.Fix == "" || !strings.HasSuffix(e.Msg, ".") {
			t.Errorf("%s: %q, %q says too little", name, e.Msg, e.Fix)
		}
	}
	if _, err := inspect(imagetest.BackedQCOW2("/etc/passwd"), domain.FormatRaw); !domain.Is(err, domain.Invalid) {
		t.Error("an image with a backing file passed as raw")
	}
}

// What Inspect accepts never has a disk beyond the bound, and it never panics or reads outside of the file.
func FuzzInspect(f *testing.F) {
	for _, img := range [][]byte{
		imagetest.QCOW2(1<<20, nil)[:5<<16], imagetest.BackedQCOW2("/etc/passwd")[:4096], imagetest.GoodVMDK()[:16<<10], imagetest.VDI()[:1024], imagetest.VHD(3), imagetest.OVA()[:8192],
		imagetest.ISO(40), imagetest.ExtendedQCOW2(0x44415441, "/etc/passwd")[:4096],
	} {
		f.Add(img)
	}
	f.Fuzz(func(t *testing.T, img []byte) {
		info, err := inspect(img, "")
		if err == nil && (info.VirtualBytes <= 0 || info.VirtualBytes > diskfile.MaxVirtual || info.Format == "") {
			t.Errorf("accepted as %+v", info)
		}
		if err != nil && !domain.Is(err, domain.Invalid) {
			t.Errorf("refused with %v", err)
		}
	})
}
