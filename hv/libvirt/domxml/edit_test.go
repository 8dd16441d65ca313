package domxml

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"novacron/domain"
)

func file(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func ptr[T any](v T) *T { return &v }

const (
	bare   = `<domain type='test'><name>bare</name><memory>1024</memory></domain>`
	noRoom = `<domain type='test'><name>x</name><memory unit='b'>1073741824</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices/></domain>`
)

// TestEditChangesNothingElse states, for each field, exactly which bytes change.
func TestEditChangesNothingElse(t *testing.T) {
	odd, plain := file(t, "odd.xml"), file(t, "plain.xml")
	crlf := strings.ReplaceAll(plain, "\n", "\r\n")
	disk := domain.Disk{Source: "/new.qcow2"}
	nic := domain.NIC{Network: "lan", MAC: "52:54:00:00:00:99"}
	newDisk := func(target, indent string) string {
		return indent + "<disk type='file' device='disk'>\n" + indent + "  <driver name='qemu' type='qcow2' discard='unmap'/>\n" + indent + "  <source file='/new.qcow2'/>\n" + indent + "  <target dev='" + target + "' bus='virtio'/>\n" + indent + "</disk>\n"
	}
	const newNIC = "    <interface type='network'>\n      <mac address='52:54:00:00:00:99'/>\n      <source network='lan'/>\n      <model type='virtio'/>\n    </interface>\n"
	between := func(doc, from, to string) string {
		i := strings.Index(doc, from)
		return doc[i : i+strings.Index(doc[i:], to)+len(to)]
	}
	for _, c := range []struct {
		name   string
		doc    string
		change domain.VMChange
		swap   []string // old, new, old, new …: each old stands there once
	}{
		{"nothing", odd, domain.VMChange{}, nil},
		{"the same values", odd, domain.VMChange{Title: ptr(`An "odd" one`), VCPUs: ptr(4), MemoryBytes: ptr(2 * domain.GiB), CPU: ptr("Skylake-Client"), Machine: ptr("pc-q35-6.2"), Firmware: ptr("uefi"), Boot: &domain.Boot{Order: []string{"hd", "cdrom"}}, Topology: &domain.Topology{Sockets: 1, Cores: 4, Threads: 1}, Autostart: ptr(true)}, nil},
		{"title", odd, domain.VMChange{Title: ptr("a < b")}, []string{"An &quot;odd&quot; one", "a &lt; b"}},
		{"title away", odd, domain.VMChange{Title: ptr("")}, []string{"  <title>An &quot;odd&quot; one</title>\n", ""}},
		{"description new", odd, domain.VMChange{Description: ptr("two\nlines")}, []string{"one</title>\n", "one</title>\n  <description>two&#10;lines</description>\n"}},
		{"title new on one line", bare, domain.VMChange{Title: ptr("T")}, []string{"</name>", "</name><title>T</title>"}},
		{"memory up", odd, domain.VMChange{MemoryBytes: ptr(3 * domain.GiB)}, []string{"-->2048<", "-->3072<"}},
		{"memory over the most", odd, domain.VMChange{MemoryBytes: ptr(8 * domain.GiB)}, []string{"> 4 <", ">8<", "-->2048<", "-->8192<"}},
		{"memory in another unit", odd, domain.VMChange{MemoryBytes: ptr(4*domain.GiB + domain.MiB)}, []string{`unit="GiB"> 4 <`, `unit="KiB">4195328<`, "-->2048<", "-->4097<"}},
		{"memory with one number", bare, domain.VMChange{MemoryBytes: ptr(2 * domain.MiB)}, []string{">1024<", ">2048<"}},
		{"memory in bytes", noRoom, domain.VMChange{MemoryBytes: ptr(2 * domain.GiB)}, []string{"1073741824", "2147483648"}},
		{"vcpus down", odd, domain.VMChange{VCPUs: ptr(2)}, []string{"<!-- half -->4<", "<!-- half -->2<", "    <topology sockets='1' dies='1' cores='4' threads='1'/>\n", ""}},
		{"vcpus and their topology", odd, domain.VMChange{VCPUs: ptr(8), Topology: &domain.Topology{Sockets: 2, Cores: 2, Threads: 2}}, []string{"<!-- half -->4<", "<!-- half -->8<", "sockets='1' dies='1' cores='4' threads='1'", "sockets='2' dies='1' cores='2' threads='2'"}},
		{"room for vcpus", odd, domain.VMChange{MaxVCPUs: ptr(8), Topology: &domain.Topology{Sockets: 2, Cores: 4, Threads: 1}}, []string{"cpuset='0-3'><!-- half -->4<", "cpuset='0-3' current='4'><!-- half -->8<", "sockets='1' dies", "sockets='2' dies"}},
		{"vcpus within the most", plain, domain.VMChange{VCPUs: ptr(2)}, []string{"current='1'", "current='2'"}},
		{"vcpus over the most", plain, domain.VMChange{VCPUs: ptr(4)}, []string{"current='1'>2<", "current='4'>4<"}},
		{"vcpus without an element", bare, domain.VMChange{VCPUs: ptr(3)}, []string{"</memory>", "</memory><vcpu>3</vcpu>"}},
		{"topology new", noRoom, domain.VMChange{Topology: &domain.Topology{Sockets: 1, Cores: 1, Threads: 1}}, []string{"</os>", "</os><cpu><topology sockets='1' cores='1' threads='1'/></cpu>"}},
		{"topology in a closed cpu", plain, domain.VMChange{Topology: &domain.Topology{Sockets: 2, Cores: 1, Threads: 1}}, []string{"migratable='on'/>", "migratable='on'>\n    <topology sockets='2' cores='1' threads='1'/>\n  </cpu>"}},
		{"cpu model", odd, domain.VMChange{CPU: ptr("Nehalem")}, []string{"Skylake-Client", "Nehalem"}},
		{"cpu passthrough", odd, domain.VMChange{CPU: ptr("host-passthrough")}, []string{"mode='custom' match='exact'", "mode='host-passthrough'", "    <model fallback='allow'>Skylake-Client</model>\n", ""}},
		{"cpu from passthrough", plain, domain.VMChange{CPU: ptr("Nehalem")}, []string{"mode='host-passthrough' check='none' migratable='on'/>", "mode='custom' check='none'>\n    <model fallback='forbid'>Nehalem</model>\n  </cpu>"}},
		{"cpu default", plain, domain.VMChange{CPU: ptr("")}, []string{"'host-passthrough'", "'maximum'", " migratable='on'", " migratable='on'"}},
		{"cpu default of the test driver", noRoom, domain.VMChange{CPU: ptr("")}, nil},
		{"cpu new", noRoom, domain.VMChange{CPU: ptr("maximum")}, []string{"</os>", "</os><cpu mode='maximum' check='none'/>"}},
		{"machine", odd, domain.VMChange{Machine: ptr("q35")}, []string{`"pc-q35-6.2"`, `"q35"`}},
		{"machine where none is named", noRoom, domain.VMChange{Machine: ptr("q35")}, []string{"<type>", "<type machine='q35'>"}},
		{"firmware to BIOS", odd, domain.VMChange{Firmware: ptr("bios")}, []string{between(odd, "    <loader", "</nvram>\n"), ""}},
		{"firmware to UEFI", plain, domain.VMChange{Firmware: ptr("uefi")}, []string{"  <os>\n", "  <os firmware='efi'>\n", "hvm</type>\n", "hvm</type>\n    <firmware>\n      <feature enabled='no' name='secure-boot'/>\n      <feature enabled='no' name='enrolled-keys'/>\n    </firmware>\n"}},
		{"firmware to secure boot", odd, domain.VMChange{Firmware: ptr("uefi-secure")}, []string{"  <os>\n", "  <os firmware='efi'>\n", between(odd, "    <loader", "</nvram>\n"), "    <firmware>\n      <feature enabled='yes' name='secure-boot'/>\n      <feature enabled='yes' name='enrolled-keys'/>\n    </firmware>\n", "</kvm></features>", "</kvm><smm state='on'/></features>"}},
		{"kernel", noRoom, domain.VMChange{Boot: &domain.Boot{Kernel: "/k", Initrd: "/i", Cmdline: "a=\"b\" & c"}}, []string{"</type>", "</type><kernel>/k</kernel><initrd>/i</initrd><cmdline>a=\"b\" &amp; c</cmdline>"}},
		{"order in os", odd, domain.VMChange{Boot: &domain.Boot{Order: []string{"network"}}}, []string{"    <boot dev='hd'/> <boot dev=\"cdrom\"/>\n", "    <boot dev='network'/>\n"}},
		{"order of devices", plain, domain.VMChange{Boot: &domain.Boot{Order: []string{"hd", "cdrom", "network"}}}, []string{"<boot order='2'/>", "<boot order='1'/>", "<target dev='hdb' bus='ide'/>\n", "<target dev='hdb' bus='ide'/>\n      <boot order='2'/>\n", "      <model type='virtio'/>\n      <boot order='1'/>", "      <model type='virtio'/>\n      <boot order='3'/>", "</source>\n      <boot order='3'/>", "</source>\n      <boot order='4'/>"}},
		{"order of devices shorter", plain, domain.VMChange{Boot: &domain.Boot{Order: []string{"hd"}}}, []string{"      <boot order='2'/>", "      <boot order='1'/>", "<model type='virtio'/>\n      <boot order='1'/>\n", "<model type='virtio'/>\n", "<boot order='3'/>", "<boot order='2'/>"}},
		{"disk new", odd, domain.VMChange{AddDisks: []domain.Disk{disk}}, []string{"    <controller type='scsi'", newDisk("vdd", "    ") + "    <controller type='scsi'"}},
		{"disk new with CRLF", crlf, domain.VMChange{AddDisks: []domain.Disk{disk}}, []string{"    <interface", strings.ReplaceAll(newDisk("vda", "    "), "\n", "\r\n") + "    <interface"}},
		{"disk new in empty devices", noRoom, domain.VMChange{AddDisks: []domain.Disk{disk}}, []string{"<devices/>", "<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/><source file='/new.qcow2'/><target dev='vda' bus='virtio'/></disk></devices>"}},
		{"disk new without devices", bare, domain.VMChange{AddNICs: []domain.NIC{nic}}, []string{"</memory>", "</memory><devices><interface type='network'><mac address='52:54:00:00:00:99'/><source network='lan'/><model type='virtio'/></interface></devices>"}},
		{"disk away", odd, domain.VMChange{RemoveDisks: []string{"vdb"}}, []string{between(odd, "    <disk type='volume'", "</disk>\n"), ""}},
		{"card new", odd, domain.VMChange{AddNICs: []domain.NIC{nic}}, []string{"    <serial type", newNIC + "    <serial type"}},
		{"card away", odd, domain.VMChange{RemoveNICs: []string{"52:54:00:aa:bb:01"}}, []string{between(odd, "    <interface type='network'>", "</interface>\n"), ""}},
		{"medium in", odd, domain.VMChange{Media: &domain.Media{Target: "sda", Source: "/iso/a&b.iso"}}, []string{"      <target dev=\"sda\"", "      <source file='/iso/a&amp;b.iso'/>\n      <target dev=\"sda\""}},
		{"medium in a network drive", odd, domain.VMChange{Media: &domain.Media{Target: "sdb", Source: "/iso/a.iso"}}, []string{between(odd, "<source protocol='https'", "</source>"), "<source file='/iso/a.iso'/>", "<disk type='network' device='cdrom'", "<disk type='file' device='cdrom'"}},
		{"medium out of a network drive", odd, domain.VMChange{Media: &domain.Media{Target: "sdb"}}, []string{"      " + between(odd, "<source protocol='https'", "</source>") + "\n", "", "<disk type='network' device='cdrom'", "<disk type='file' device='cdrom'"}},
		{"medium from a device", odd, domain.VMChange{Media: &domain.Media{Target: "sda", Source: "/dev/sr0"}}, []string{"device='cdrom' type='file'", "device='cdrom' type='block'", "      <target dev=\"sda\"", "      <source dev='/dev/sr0'/>\n      <target dev=\"sda\""}},
		{"medium out of an empty drive", plain, domain.VMChange{Media: &domain.Media{Target: "hdb"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := c.doc
			for i := 0; i+1 < len(c.swap); i += 2 {
				if strings.Count(want, c.swap[i]) != 1 {
					t.Fatalf("%q stands there %d times", c.swap[i], strings.Count(want, c.swap[i]))
				}
				want = strings.Replace(want, c.swap[i], c.swap[i+1], 1)
			}
			got, _, err := Edit(c.doc, c.change, qemuEnv())
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			if again, _, err := Edit(got, withoutLists(c.change), qemuEnv()); err != nil || again != got {
				t.Errorf("a second time changes more: %v\n%s", err, again)
			}
		})
	}
}

// withoutLists leaves out what is not the same done twice.
func withoutLists(c domain.VMChange) domain.VMChange {
	c.AddDisks, c.AddNICs, c.RemoveDisks, c.RemoveNICs = nil, nil, nil, nil
	return c
}

func TestEditRefuses(t *testing.T) {
	odd, plain := file(t, "odd.xml"), file(t, "plain.xml")
	numa := strings.Replace(plain, "migratable='on'/>", "><numa><cell id='0' cpus='0-1' memory='1048576'/></numa></cpu>", 1)
	noUEFI := qemuEnv()
	noUEFI.Facts.UEFI, noUEFI.Facts.SecureBoot = domain.Capability{Why: "none"}, domain.Capability{Why: "none"}
	for _, c := range []struct {
		name   string
		doc    string
		change domain.VMChange
		env    Env
		code   domain.Code
	}{
		{"no XML", "<domain><name>", domain.VMChange{}, qemuEnv(), domain.Invalid},
		{"another document", "<network/>", domain.VMChange{}, qemuEnv(), domain.Invalid},
		{"machine of another family", plain, domain.VMChange{Machine: ptr("q35")}, qemuEnv(), domain.Unsupported},
		{"machine without os", bare, domain.VMChange{Machine: ptr("q35")}, qemuEnv(), domain.Unsupported},
		{"boot without os", bare, domain.VMChange{Boot: &domain.Boot{Kernel: "/k"}}, qemuEnv(), domain.Unsupported},
		{"firmware without os", bare, domain.VMChange{Firmware: ptr("uefi")}, qemuEnv(), domain.Unsupported},
		{"secure boot on pc", plain, domain.VMChange{Firmware: ptr("uefi-secure")}, qemuEnv(), domain.Invalid},
		{"no firmware", plain, domain.VMChange{Firmware: ptr("uefi")}, noUEFI, domain.Unsupported},
		{"no secure firmware", odd, domain.VMChange{Firmware: ptr("uefi-secure")}, noUEFI, domain.Unsupported},
		{"no such disk", odd, domain.VMChange{RemoveDisks: []string{"vdz"}}, qemuEnv(), domain.NotFound},
		{"no such drive", odd, domain.VMChange{Media: &domain.Media{Target: "vdz"}}, qemuEnv(), domain.NotFound},
		{"no such card", odd, domain.VMChange{RemoveNICs: []string{"52:54:00:00:00:00"}}, qemuEnv(), domain.NotFound},
		{"disk twice", odd, domain.VMChange{AddDisks: []domain.Disk{{Target: "vda", Source: "/x"}}}, qemuEnv(), domain.Invalid},
		{"read-only ide disk", plain, domain.VMChange{AddDisks: []domain.Disk{{Bus: "ide", Source: "/x", ReadOnly: true}}}, qemuEnv(), domain.Invalid},
		{"card twice", odd, domain.VMChange{AddNICs: []domain.NIC{{Network: "x", MAC: "52:54:00:AA:BB:02"}}}, qemuEnv(), domain.Invalid},
		{"memory over NUMA cells", numa, domain.VMChange{MemoryBytes: ptr(2 * domain.GiB)}, qemuEnv(), domain.Unsupported},
		{"vCPUs over NUMA cells", numa, domain.VMChange{VCPUs: ptr(8)}, qemuEnv(), domain.Unsupported},
		{"control characters", odd, domain.VMChange{Title: ptr("\x00")}, qemuEnv(), domain.Invalid},
	} {
		if out, _, err := Edit(c.doc, c.change, c.env); domain.CodeOf(err) != c.code || out != "" {
			t.Errorf("%s: %v (%q), want %s", c.name, err, domain.CodeOf(err), c.code)
		}
	}
}

func TestEditMore(t *testing.T) {
	single := strings.Replace(file(t, "plain.xml"), "  <os>", "  <vcpus>\n    <vcpu id='0' enabled='yes' hotpluggable='no'/>\n    <vcpu id='1' enabled='no' hotpluggable='yes'/>\n  </vcpus>\n  <os>", 1)
	out, notes, err := Edit(single, domain.VMChange{VCPUs: ptr(2)}, qemuEnv())
	if err != nil || strings.Contains(out, "vcpus") || len(notes) != 1 {
		t.Errorf("%v %q\n%s", err, notes, out)
	}
	dimm := strings.Replace(file(t, "plain.xml"), "  <memory ", "  <maxMemory slots='4' unit='GiB'>2</maxMemory>\n  <memory ", 1)
	out, notes, err = Edit(dimm, domain.VMChange{MemoryBytes: ptr(4 * domain.GiB)}, qemuEnv())
	if err != nil || !strings.Contains(out, "slots='4' unit='GiB'>4<") || len(notes) != 1 {
		t.Errorf("%v %q\n%s", err, notes, out)
	}
	out, _, err = Edit(noRoom, domain.VMChange{AddDisks: []domain.Disk{{Bus: "scsi", Source: "/dev/vg/x", Format: "raw"}, {Device: "cdrom"}}}, qemuEnv())
	if err != nil || !strings.Contains(out, "<disk type='block' device='disk'><driver name='qemu' type='raw' discard='unmap'/><source dev='/dev/vg/x'/><target dev='sda' bus='scsi'/></disk>") ||
		strings.Count(out, scsiController) != 1 || !strings.Contains(out, "<target dev='sdb' bus='sata'/>") {
		t.Errorf("%v\n%s", err, out)
	}
	smm := strings.Replace(file(t, "odd.xml"), "<acpi/>", "<acpi/><smm state='off'/>", 1)
	if out, _, err = Edit(smm, domain.VMChange{Firmware: ptr("uefi-secure")}, qemuEnv()); err != nil || !strings.Contains(out, "<smm state='on'/>") {
		t.Errorf("%v\n%s", err, out)
	}
	bareOS := `<domain type='kvm'><os><type machine='q35'>hvm</type></os></domain>`
	if out, _, err = Edit(bareOS, domain.VMChange{Firmware: ptr("uefi-secure")}, qemuEnv()); err != nil || !strings.Contains(out, "<smm state='on'/></features>") {
		t.Errorf("%v\n%s", err, out)
	}
}

// randomChange draws scalar changes that any definition can take.
func randomChange(r *rand.Rand) domain.VMChange {
	var c domain.VMChange
	maybe := func() bool { return r.IntN(3) == 0 }
	if maybe() {
		c.Title = ptr([]string{"", "t", "<&>'\"]]>", "ü\n\tx"}[r.IntN(4)])
	}
	if maybe() {
		c.Description = ptr([]string{"", "d", "-->"}[r.IntN(3)])
	}
	if maybe() {
		c.VCPUs = ptr(1 + r.IntN(16))
	}
	if maybe() {
		c.MaxVCPUs = ptr(16 + r.IntN(3))
	}
	if maybe() {
		c.MemoryBytes = ptr(int64(1+r.IntN(1<<20)) * 1024)
	}
	if maybe() {
		c.CPU = ptr([]string{"", "host-model", "host-passthrough", "maximum", "Nehalem"}[r.IntN(5)])
	}
	if maybe() {
		c.AddDisks = []domain.Disk{{Source: "/n.qcow2"}, {Device: "cdrom"}, {Bus: "scsi", Source: "/dev/x"}}[:r.IntN(4)]
	}
	if maybe() {
		c.AddNICs = []domain.NIC{{Bridge: "br9", Model: "virtio", MAC: domain.NewMAC()}}
	}
	if maybe() {
		c.Boot = &domain.Boot{Kernel: []string{"", "/k"}[r.IntN(2)], Order: [][]string{nil, {"hd"}, {"network", "cdrom"}}[r.IntN(3)]}
	}
	return c
}

// TestEditDoesWhatApplySays edits many documents at random: the result reads as domain's rules say, and every line that was not about
// what changed stands there still, in the same order.
func TestEditDoesWhatApplySays(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	docs := []string{file(t, "odd.xml"), file(t, "plain.xml"), strings.ReplaceAll(file(t, "plain.xml"), "\n", "\r\n")}
	for range 20 {
		docs = append(docs, mustBuild(t, randomSpec(r), qemuEnv()))
	}
	for i := range 1000 {
		doc := docs[i%len(docs)]
		was, err := Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		c := randomChange(r)
		c.AddDisks = Settle(was.Machine, was.Disks, c.AddDisks)
		want, err := c.Apply(was)
		if err != nil {
			continue // not a change that reaches us
		}
		out, _, err := Edit(doc, c, qemuEnv())
		if err != nil {
			t.Fatalf("%v: %+v", err, c)
		}
		got, err := Parse(out)
		if err != nil {
			t.Fatal(err)
		}
		if c.CPU != nil && *c.CPU == "" {
			want.CPU = got.CPU // the default
		}
		for j, d := range want.Disks {
			if len(got.Disks) > j && d.Source == "" {
				got.Disks[j].Source = ""
			}
		}
		if diff := domain.Diff(want, got); len(diff) != 0 {
			t.Fatalf("%+v\nchange %+v\nof %s\nto %s", diff, c, doc, out)
		}
		kept := strings.Split(out, "\n")
		for _, line := range strings.Split(doc, "\n") {
			if touched(line) {
				continue
			}
			at := -1
			for k, l := range kept {
				if l == line {
					at = k
					break
				}
			}
			if at < 0 {
				t.Fatalf("lost %q\nchange %+v\nof %s\nto %s", line, c, doc, out)
			}
			kept = kept[at+1:]
		}
	}
}

// touched says which lines randomChange may alter.
func touched(line string) bool {
	for _, tag := range []string{"<title", "<description", "<memory ", "<currentMemory", "unit='MiB'>", "<vcpu ", "<cpu ", "</cpu>", "<model fallback", "<topology", "<kernel", "<initrd", "<cmdline", "<boot ", "</name>", "<os/>"} {
		if strings.Contains(line, tag) {
			return true
		}
	}
	return false
}

// FuzzEdit feeds arbitrary documents: nothing panics, and what comes out is XML that reads the way it was asked for.
func FuzzEdit(f *testing.F) {
	for _, name := range []string{"odd.xml", "plain.xml"} {
		f.Add(file(f, name), uint64(1))
	}
	f.Add(bare, uint64(2))
	f.Add(noRoom, uint64(3))
	f.Add("<domain><os/><cpu/><vcpu/><memory/><devices>\n<disk/></devices></domain>", uint64(4))
	f.Fuzz(func(t *testing.T, doc string, seed uint64) {
		was, err := Parse(doc)
		if err != nil {
			if domain.CodeOf(err) != domain.Invalid {
				t.Fatal(err)
			}
			return
		}
		c := randomChange(rand.New(rand.NewPCG(seed, 0)))
		out, _, err := Edit(doc, c, qemuEnv())
		if err != nil {
			if domain.CodeOf(err) == domain.Internal {
				t.Fatalf("%v: %+v", err, c)
			}
			return
		}
		got, err := Parse(out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if len(got.Disks) != len(was.Disks)+len(c.AddDisks) || len(got.NICs) != len(was.NICs)+len(c.AddNICs) {
			t.Fatalf("devices were lost: %+v\n%s\n%s", c, doc, out)
		}
		if c.Title != nil && got.Title != *c.Title {
			t.Fatalf("title %q, want %q\n%s", got.Title, *c.Title, out)
		}
		if c.VCPUs != nil && c.MaxVCPUs == nil && got.VCPUs != *c.VCPUs {
			t.Fatalf("%d vCPUs, want %d\n%s", got.VCPUs, *c.VCPUs, out)
		}
	})
}
