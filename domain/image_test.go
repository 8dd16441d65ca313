package domain

import (
	"strings"
	"testing"
)

func TestImageStates(t *testing.T) {
	all := []ImageState{ImageImporting, ImageDraft, ImagePublished, ImageDeprecated}
	right := map[[2]ImageState]bool{{ImageImporting, ImageDraft}: true, {ImageDraft, ImagePublished}: true, {ImagePublished, ImageDeprecated}: true, {ImageDeprecated, ImagePublished}: true}
	for _, a := range all {
		for _, b := range all {
			if err := a.Next(b); (err == nil) != right[[2]ImageState{a, b}] || err != nil && !Is(err, Conflict) {
				t.Errorf("%s to %s: %v", a, b, err)
			}
		}
		v := ImageVersion{ImageName: "x", Label: "1", State: a}
		if err := v.Usable(); (err == nil) != (a == ImageDraft || a == ImagePublished) {
			t.Errorf("a version that is %s: %v", a, err)
		}
	}
}

func TestImageChecks(t *testing.T) {
	long := strings.Repeat("a", 64)
	for what, c := range map[string]struct {
		check      func(*Problems, string, string)
		good, evil []string
	}{
		"name":     {CheckImageName, []string{"debian", "a", "debian-12.5_x"}, []string{"", "Debian", "-a", "a..b", "a/b", long}},
		"label":    {CheckImageLabel, []string{"12", "2026-11-23", "1.0+b1"}, []string{"", "a b", "../x", long}},
		"arch":     {CheckArch, []string{"x86_64", "aarch64"}, []string{"", "X86", "a b"}},
		"checksum": {CheckSHA256, []string{"", strings.Repeat("ab", 32)}, []string{"ab", strings.Repeat("AB", 32), strings.Repeat("zz", 32)}},
		"address":  {CheckImageURL, []string{"https://x/y.qcow2", "http://[::1]:8/x"}, []string{"", "ftp://x/y", "file:///etc/passwd", "https://u:p@x/y", "https://", "::"}},
		"words":    {CheckWords, []string{"", "hello"}, []string{strings.Repeat("x", maxChangelog+1)}},
	} {
		for i, text := range append(c.good, c.evil...) {
			var p Problems
			c.check(&p, "f", text)
			if (len(p) == 0) != (i < len(c.good)) {
				t.Errorf("%s %q: %+v", what, text, p)
			}
		}
	}
	for _, s := range []ImageSource{{Kind: SourceURL, URL: "https://x"}, {Kind: SourceVM, Name: "v"}, {Kind: SourceVolume, Name: "v"}, {Kind: SourceBuilt}, {Kind: SourceUpload}, {Kind: SourceUpload, Name: "f"}} {
		if s.Words() == "" {
			t.Errorf("%+v says nothing", s)
		}
	}
	if n, l := SplitImageRef("debian@12"); n != "debian" || l != "12" {
		t.Errorf("parts %q, %q", n, l)
	}
}

func TestSettleImage(t *testing.T) {
	qcow := ImageVersion{ID: "imgv_1", ImageName: "d", Label: "1", Format: FormatQCOW2, VirtualBytes: GiB}
	raw, iso := qcow, qcow
	raw.Format, iso.Format = FormatRaw, FormatISO
	for what, c := range map[string]struct {
		disk Disk
		of   ImageVersion
		want Disk
		bad  string
	}{
		"open":          {Disk{}, qcow, Disk{Image: "imgv_1", SizeBytes: GiB, Format: FormatQCOW2}, ""},
		"larger":        {Disk{SizeBytes: 2 * GiB, Linked: true}, qcow, Disk{Image: "imgv_1", SizeBytes: 2 * GiB, Linked: true, Format: FormatQCOW2}, ""},
		"raw":           {Disk{}, raw, Disk{Image: "imgv_1", SizeBytes: GiB, Format: FormatRaw}, ""},
		"linked to raw": {Disk{Linked: true}, raw, Disk{Image: "imgv_1", SizeBytes: GiB, Linked: true, Format: FormatQCOW2}, ""},
		"smaller":       {Disk{SizeBytes: MiB}, qcow, Disk{}, "disks.0.size_bytes"},
		"other format":  {Disk{Format: FormatRaw}, qcow, Disk{}, "disks.0.format"},
		"drive":         {Disk{Device: "cdrom", SizeBytes: 1, Linked: true}, iso, Disk{Device: "cdrom", Image: "imgv_1", ReadOnly: true, Format: FormatRaw}, ""},
		"disk in drive": {Disk{Device: "cdrom"}, qcow, Disk{}, "disks.0.image"},
	} {
		var p Problems
		got := c.disk.SettleImage(c.of, &p, "disks.0")
		switch {
		case c.bad != "" && (len(p) != 1 || p[0].Field != c.bad):
			t.Errorf("%s: %+v", what, p)
		case c.bad == "" && (len(p) > 0 || got.Describe() != c.want.Describe() || got.Format != c.want.Format || got.ReadOnly != c.want.ReadOnly || got.Linked != c.want.Linked):
			t.Errorf("%s: %+v, %+v", what, got, p)
		}
	}
}

func TestImageHead(t *testing.T) {
	qcow := func(version byte, at int, b byte) []byte {
		h := make([]byte, 200)
		copy(h, "QFI\xfb")
		h[7] = version
		if at > 0 {
			h[at] = b
		}
		return h
	}
	for what, c := range map[string]struct {
		head   []byte
		format string
		ok     bool
	}{
		"plain": {qcow(3, 0, 0), FormatQCOW2, true}, "backing": {qcow(3, 15, 9), FormatQCOW2, false}, "length": {qcow(2, 19, 3), FormatRaw, false}, "external data": {qcow(3, 79, 4), FormatQCOW2, false},
		"no qcow2": {make([]byte, 200), FormatQCOW2, false}, "raw": {make([]byte, 200), FormatRaw, true}, "qed": {[]byte("QED\x00xx"), FormatRaw, false}, "descriptor": {[]byte("# Disk DescriptorFile\n"), FormatRaw, false},
		"vmdk parent": {[]byte("KDMV parentFileNameHint=x"), FormatRaw, false}, "vmdk": {[]byte("KDMV"), FormatRaw, true},
	} {
		if err := CheckImageHead(c.head, c.format); (err == nil) != c.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
}
