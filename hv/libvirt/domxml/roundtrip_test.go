package domxml

import (
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

// corpus is the folder whose documents go through the round trip: make xml-roundtrip DIR=…
var corpus = flag.String("corpus", "testdata/corpus", "folder of domain definitions")

// trip edits one field of any definition. What it may touch is named by paths of elements; "/…" at the end takes in what is inside. Kinds of edits add
// theirs from a test file of their own: func init() { trips = append(trips, trip{…}) }.
type trip struct {
	name string
	// edit makes the change; ok is false for a definition that has nothing to change there.
	edit func(doc string, was domain.VMSpec) (out string, ok bool, err error)
	may  []string // elements that may differ
	says []string // fields of domain.Diff that may differ: prefixes
}

func change(make func(was domain.VMSpec) *domain.VMChange) func(string, domain.VMSpec) (string, bool, error) {
	return func(doc string, was domain.VMSpec) (string, bool, error) {
		c := make(was)
		if c == nil {
			return "", false, nil
		}
		c.AddDisks = Settle(was.Machine, was.Disks, c.AddDisks)
		out, _, err := Edit(doc, *c, qemuEnv())
		return out, true, err
	}
}

func other[T comparable](was, a, b T) *T {
	if was == a {
		return &b
	}
	return &a
}

const newMAC = "52:54:00:fe:dc:ba"

var trips = []trip{
	{"title", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{Title: ptr("another <title> & 'more'")}
	}), []string{"/domain/title"}, []string{"title"}},
	{"title away", change(func(was domain.VMSpec) *domain.VMChange { return &domain.VMChange{Title: ptr("")} }), []string{"/domain/title"}, []string{"title"}},
	{"description", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{Description: ptr("two\nlines ]]> \"q\"")}
	}), []string{"/domain/description"}, []string{"description"}},
	{"vcpus", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{VCPUs: other(was.VCPUs, 3, 5)}
	}), []string{"/domain/vcpu", "/domain/vcpus/…", "/domain/cpu/topology"}, []string{"vcpus", "max_vcpus", "topology"}},
	{"max vcpus", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{MaxVCPUs: ptr(max(was.VCPUs, was.MaxVCPUs) + 3)}
	}), []string{"/domain/vcpu", "/domain/vcpus/…", "/domain/cpu/topology"}, []string{"max_vcpus", "topology"}},
	{"topology", change(func(was domain.VMSpec) *domain.VMChange {
		n := max(was.VCPUs, was.MaxVCPUs)
		return &domain.VMChange{Topology: other(deref(was.Topology), domain.Topology{Sockets: n, Cores: 1, Threads: 1}, domain.Topology{Sockets: 1, Cores: n, Threads: 1})}
	}), []string{"/domain/cpu", "/domain/cpu/topology"}, []string{"topology"}},
	{"memory up", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{MemoryBytes: ptr(max(was.MemoryBytes, was.MaxMemoryBytes) + 7*domain.MiB)}
	}), []string{"/domain/memory", "/domain/currentMemory", "/domain/maxMemory"}, []string{"memory_bytes", "max_memory_bytes"}},
	{"memory down", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{MemoryBytes: ptr(was.MemoryBytes - 4*domain.MiB)}
	}), []string{"/domain/memory", "/domain/currentMemory"}, []string{"memory_bytes", "max_memory_bytes"}},
	{"cpu model", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{CPU: other(was.CPU, "Nehalem", "qemu64")}
	}),
		[]string{"/domain/cpu", "/domain/cpu/model", "/domain/cpu/vendor"}, []string{"cpu"}},
	{"cpu passthrough", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{CPU: other(was.CPU, "host-passthrough", "host-model")}
	}), []string{"/domain/cpu", "/domain/cpu/model", "/domain/cpu/vendor"}, []string{"cpu"}},
	{"machine", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{Machine: map[string]*string{"q35": ptr("pc-q35-6.1"), "pc": ptr("pc-i440fx-6.1"), "virt": ptr("virt-6.1")}[family(was.Machine)]}
	}), []string{"/domain/os/type"}, []string{"machine"}},
	{"firmware", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{Firmware: other(was.Firmware, domain.FirmwareUEFI, domain.FirmwareBIOS)}
	}), []string{"/domain/os", "/domain/os/loader", "/domain/os/nvram", "/domain/os/firmware/…"}, []string{"firmware"}},
	{"secure boot", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{Firmware: ptr(domain.FirmwareUEFISecure)}
	}), []string{"/domain/os", "/domain/os/loader", "/domain/os/nvram", "/domain/os/firmware/…", "/domain/features", "/domain/features/smm", "/domain/features/acpi"}, []string{"firmware"}},
	{"kernel", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{Boot: &domain.Boot{Kernel: "/k & co", Initrd: "/i<", Cmdline: "a=\"b\" 'c'", Order: was.Boot.Order}}
	}), []string{"/domain/os/kernel", "/domain/os/initrd", "/domain/os/cmdline"}, []string{"boot.kernel", "boot.initrd", "boot.cmdline"}},
	{"boot order", change(func(was domain.VMSpec) *domain.VMChange {
		b := was.Boot
		b.Order = []string{"cdrom", "network", "hd"}
		return &domain.VMChange{Boot: &b}
	}), []string{"/domain/os/boot", "/domain/devices/disk/boot", "/domain/devices/interface/boot", "/domain/devices/hostdev/boot"}, []string{"boot.order"}},
	{"disk new", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{AddDisks: []domain.Disk{{Source: "/new & more.qcow2"}}}
	}), []string{"/domain/devices", "+/domain/devices/disk/…"}, []string{"disks."}},
	{"disk away", change(func(was domain.VMSpec) *domain.VMChange {
		if len(was.Disks) == 0 {
			return nil
		}
		return &domain.VMChange{RemoveDisks: []string{was.Disks[len(was.Disks)-1].Target}}
	}), []string{"-/domain/devices/disk/…"}, []string{"disks.", "boot.order"}},
	{"medium", change(func(was domain.VMSpec) *domain.VMChange {
		i := slices.IndexFunc(was.Disks, func(d domain.Disk) bool { return d.Device == "cdrom" })
		if i < 0 {
			return nil
		}
		return &domain.VMChange{Media: &domain.Media{Target: was.Disks[i].Target, Source: "/iso/new & odd.iso"}}
	}), []string{"/domain/devices/disk", "/domain/devices/disk/source/…"}, []string{"disks."}},
	{"card new", change(func(was domain.VMSpec) *domain.VMChange {
		return &domain.VMChange{AddNICs: []domain.NIC{{Bridge: "br-new", Model: "virtio", MAC: newMAC}}}
	}), []string{"/domain/devices", "+/domain/devices/interface/…"}, []string{"nics."}},
	{"card away", change(func(was domain.VMSpec) *domain.VMChange {
		i := slices.IndexFunc(was.NICs, func(n domain.NIC) bool { return n.MAC != "" })
		if i < 0 {
			return nil
		}
		return &domain.VMChange{RemoveNICs: []string{was.NICs[i].MAC}}
	}), []string{"-/domain/devices/interface/…"}, []string{"nics.", "boot.order"}},
	{"another file", func(doc string, was domain.VMSpec) (string, bool, error) {
		i := slices.IndexFunc(was.Disks, func(d domain.Disk) bool {
			return d.Device == "disk" && d.Pool == "" && strings.HasPrefix(d.Source, "/")
		})
		if i < 0 {
			return "", false, nil
		}
		out, err := RedirectXML(doc, []hv.DiskMove{{From: was.Disks[i].Source, To: "/moved & more.qcow2", Format: "qcow2"}})
		return out, true, err
	}, []string{"/domain/devices/disk", "/domain/devices/disk/source/…", "/domain/devices/disk/driver", "/domain/devices/disk/backingStore/…"}, []string{"disks."}},
	{"another network", func(doc string, was domain.VMSpec) (string, bool, error) {
		i := slices.IndexFunc(was.NICs, func(n domain.NIC) bool { return n.Bridge != "" })
		if i < 0 {
			return "", false, nil
		}
		out, err := Relocate(doc, hv.Migration{Bridges: map[string]string{was.NICs[i].Bridge: "br-there"}, Networks: map[string]string{"default": "there"}, Screen: "192.0.2.9"})
		return out, true, err
	}, []string{"/domain/devices/interface/source", "/domain/devices/graphics", "/domain/devices/graphics/listen"}, []string{"nics."}},
	{"name and uuid", func(doc string, was domain.VMSpec) (string, bool, error) {
		out, err := SetUUIDName(doc, "00000000-1111-4222-8333-444444444444", "re<named>")
		return out, true, err
	}, []string{"/domain/name", "/domain/uuid", "/domain/sysinfo/system/entry"}, []string{}},
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// TestXMLRoundTrip takes every definition of a folder in, edits one field, and holds what comes out against what went in: whatever is not that field
// stands there byte for byte. A definition that libvirt's schema allows is allowed afterwards.
func TestXMLRoundTrip(t *testing.T) {
	var files []string
	err := filepath.WalkDir(*corpus, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.HasSuffix(path, ".xml") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%s holds no *.xml: %v", *corpus, err)
	}
	docs := map[string]string{}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := read(string(b), ""); err == nil && d.root.name != "domain" {
			t.Logf("%s is a <%s>, not a domain: left out", path, d.root.name)
			continue
		}
		docs[path] = string(b)
	}
	if len(docs) == 0 {
		t.Fatalf("%s holds no domain definition", *corpus)
	}
	already := invalid(t, "domain", docs)
	edited, edits, refusals := map[string]string{}, map[string]int{}, map[string][]string{}
	for path, doc := range docs {
		t.Run(filepath.Base(path), func(t *testing.T) {
			was, err := Parse(doc)
			if err != nil {
				t.Fatal(err)
			}
			for _, tr := range trips {
				out, ok, err := tr.edit(doc, was)
				switch {
				case !ok:
					continue
				case err != nil && domain.CodeOf(err) != domain.Internal && out == "":
					refusals[tr.name] = append(refusals[tr.name], filepath.Base(path)+": "+err.Error())
					continue
				case err != nil:
					t.Errorf("%s: %v", tr.name, err)
					continue
				}
				if err := onlyThere(doc, out, tr.may); err != nil {
					t.Errorf("%s: %v\nof\n%s\nto\n%s", tr.name, err, doc, out)
					continue
				}
				got, err := Parse(out)
				if err != nil {
					t.Errorf("%s: %v", tr.name, err)
					continue
				}
				for _, d := range domain.Diff(was, got) {
					if !slices.ContainsFunc(tr.says, func(p string) bool { return strings.HasPrefix(d.Field, p) }) {
						t.Errorf("%s: %s went from %q to %q", tr.name, d.Field, d.Old, d.New)
					}
				}
				if out != doc {
					edits[tr.name]++
				}
				if _, was := already[path]; !was {
					edited[path+", "+tr.name] = out
				}
			}
		})
	}
	for name, why := range invalid(t, "domain", edited) {
		t.Errorf("%s: not valid any more: %s\n%s", name, why, edited[name])
	}
	t.Logf("%d definitions (%d of them as libvirt's schema wants them), %d edited ones judged by the schema", len(docs), len(docs)-len(already), len(edited))
	for _, tr := range trips {
		t.Logf("%-16s %3d edited, %d refused", tr.name, edits[tr.name], len(refusals[tr.name]))
		for _, r := range refusals[tr.name] {
			t.Logf("    %s", r)
		}
		if edits[tr.name] == 0 && *corpus == flag.Lookup("corpus").DefValue {
			t.Errorf("no document of the corpus can have its %s edited", tr.name)
		}
	}
}

// piece is a part of a document as it stands there.
type piece struct {
	path, text string
	blank      bool // white space between elements
}

// pieces cuts a document by Go's own decoder, not by this package's reader. A tag that closes itself counts as two, so that filling an element does not
// look like a change of its tag.
func pieces(doc string) ([]piece, error) {
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(doc, "\ufeff")))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	doc = strings.TrimPrefix(doc, "\ufeff")
	var out []piece
	var path []string
	for {
		from := d.InputOffset()
		tok, err := d.RawToken()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		raw := doc[from:d.InputOffset()]
		name := func(n xml.Name) string { return strings.TrimPrefix(n.Space+":"+n.Local, ":") }
		switch tok := tok.(type) {
		case xml.StartElement:
			path = append(path, name(tok.Name))
			if tag, self := strings.CutSuffix(raw, "/>"); self {
				raw = strings.TrimRight(tag, " \t\r\n") + ">"
			}
			out = append(out, piece{path: "/" + strings.Join(path, "/"), text: raw})
		case xml.EndElement:
			out = append(out, piece{path: "/" + strings.Join(path, "/"), text: "</" + name(tok.Name) + ">"})
			path = path[:len(path)-1]
		default:
			_, text := tok.(xml.CharData)
			out = append(out, piece{path: "/" + strings.Join(path, "/"), text: raw, blank: text && strings.TrimSpace(raw) == ""})
		}
	}
}

// onlyThere says whether two documents differ only in the elements of may: a path's own tags and text, with "/…" also what is inside; with + only what is
// new, with - only what is gone. White space may differ beside a difference, and nowhere else.
func onlyThere(was, is string, may []string) error {
	a, err := pieces(was)
	if err != nil {
		return err
	}
	b, err := pieces(is)
	if err != nil {
		return err
	}
	allowed := func(p piece, sign string) bool {
		return slices.ContainsFunc(may, func(m string) bool {
			if m[0] == '+' || m[0] == '-' {
				if m[:1] != sign {
					return false
				}
				m = m[1:]
			}
			inside, deep := strings.CutSuffix(m, "/…")
			return p.path == inside || deep && strings.HasPrefix(p.path, inside+"/")
		})
	}
	for _, h := range hunks(a, b) {
		touched := false
		for _, p := range h.gone {
			if !p.blank && !allowed(p, "-") {
				return fmt.Errorf("%s lost %q", p.path, p.text)
			}
			touched = touched || !p.blank
		}
		for _, p := range h.come {
			if !p.blank && !allowed(p, "+") {
				return fmt.Errorf("%s has %q now", p.path, p.text)
			}
			touched = touched || !p.blank
		}
		if !touched {
			return fmt.Errorf("white space differs where nothing else does: %+v, %+v", h.gone, h.come)
		}
	}
	return nil
}

type hunk struct{ gone, come []piece }

// hunks are the differences by the longest common subsequence.
func hunks(a, b []piece) []hunk {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	long := make([][]int32, len(a)+1)
	for i := range long {
		long[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				long[i][j] = long[i+1][j+1] + 1
			} else {
				long[i][j] = max(long[i+1][j], long[i][j+1])
			}
		}
	}
	var out []hunk
	var h hunk
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			if len(h.gone)+len(h.come) > 0 {
				out, h = append(out, h), hunk{}
			}
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && long[i+1][j] >= long[i][j+1]:
			h.gone, i = append(h.gone, a[i]), i+1
		default:
			h.come, j = append(h.come, b[j]), j+1
		}
	}
	if len(h.gone)+len(h.come) > 0 {
		out = append(out, h)
	}
	return out
}

// TestOnlyThereSees holds the judge itself to documents that differ where they must not.
func TestOnlyThereSees(t *testing.T) {
	const doc = "<d>\n  <a x='1'>text</a>\n  <!-- c -->\n  <b><i/></b>\n</d>"
	for is, want := range map[string]bool{
		doc:                                  true,
		strings.Replace(doc, "text", "t", 1): true,
		strings.Replace(doc, "  <a", "    <a", 1):    false,
		strings.Replace(doc, "'1'", `"1"`, 1):        true,
		strings.Replace(doc, "<!-- c -->", "", 1):    false,
		strings.Replace(doc, "<i/>", "<i></i>", 1):   true,
		strings.Replace(doc, "<i/>", "<i n=''/>", 1): false,
		strings.Replace(doc, "<i/>", "<i/><i/>", 1):  false,
		strings.Replace(doc, "\n</d>", "</d>", 1):    false,
		strings.ReplaceAll(doc, "\n", "\r\n"):        false,
	} {
		if err := onlyThere(doc, is, []string{"/d/a"}); (err == nil) != want {
			t.Errorf("%q: %v", is, err)
		}
	}
	if names := slices.Sorted(maps.Keys(samples)); len(names) < 3 {
		t.Errorf("samples of %v only", names)
	}
}
