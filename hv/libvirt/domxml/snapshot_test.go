package domxml

import (
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

const snapshotDoc = `<domainsnapshot>
  <name>before</name>
  <description>notes &amp; more</description>
  <state>disk-snapshot</state>
  <parent>
    <name>root</name>
  </parent>
  <creationTime>1700000000</creationTime>
  <memory snapshot='no'/>
  <disks>
    <disk name='vda' snapshot='external' type='file'>
      <driver type='qcow2'/>
      <source file='/p/web-vda-before.qcow2'/>
    </disk>
    <disk name='vdb' snapshot='external' type='file'/>
    <disk name='sda' snapshot='no'/>
  </disks>
  <domain type='qemu' id='7'>
    <name>web</name>
    <devices>
      <disk type='file' device='disk'>
        <driver name='qemu' type='qcow2'/>
        <source file='/p/ran.qcow2'/>
        <backingStore type='file'><source file='/p/base.qcow2'/></backingStore>
        <target dev='vda' bus='virtio'/>
      </disk>
    </devices>
  </domain>
  <inactiveDomain type='qemu'>
    <name>web</name>
    <devices>
      <disk type='block' device='disk'>
        <source dev='/dev/vg/web'/>
        <target dev='vda' bus='virtio'/>
      </disk>
      <disk type='file' device='disk'>
        <target dev='vdb' bus='virtio'/>
      </disk>
    </devices>
  </inactiveDomain>
</domainsnapshot>`

func TestSnapshotXMLSaysWhatItIsAbout(t *testing.T) {
	disks := []domain.Disk{{Target: "vda", Source: "/p/a"}, {Target: "vdb", Source: "/p/b"}, {Target: "sda", Device: "cdrom", Source: "/p/iso"}, {Target: "vdc", Source: "/p/c", ReadOnly: true}}
	for name, c := range map[string]struct {
		spec      hv.SnapshotSpec
		has, lack []string
	}{
		"external": {hv.SnapshotSpec{Name: "s<1", Notes: "a & b", Kind: domain.SnapshotExternal, Disks: map[string]string{"vda": "/p/a'1"}},
			[]string{"<name>s&lt;1</name>", "<description>a &amp; b</description>", "<memory snapshot='no'/>", "name='vda' snapshot='external' type='file'", "<disk name='vdb' snapshot='no'/>", "<disk name='sda' snapshot='no'/>"}, []string{"'/p/a'1'"}},
		"external with memory": {hv.SnapshotSpec{Name: "s", Kind: domain.SnapshotExternal, Memory: true, MemoryFile: "/p/m", Disks: map[string]string{"vda": "/p/x"}}, []string{"<memory snapshot='external' file='/p/m'/>"}, []string{"<description>"}},
		"internal":             {hv.SnapshotSpec{Name: "s", Kind: domain.SnapshotInternal, Memory: true}, []string{"<memory snapshot='internal'/>", "<disk name='vda' snapshot='internal'/>", "<disk name='vdc' snapshot='no'/>"}, nil},
	} {
		text, err := SnapshotXML(c.spec, disks)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, want := range c.has {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s:\n%s", name, want, text)
			}
		}
		for _, not := range c.lack {
			if strings.Contains(text, not) {
				t.Errorf("%s has %s:\n%s", name, not, text)
			}
		}
		if _, err := ParseSnapshot(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := SnapshotXML(hv.SnapshotSpec{Name: "a\x01"}, disks); !domain.Is(err, domain.Invalid) {
		t.Errorf("a control character: %v", err)
	}
}

func TestParseSnapshot(t *testing.T) {
	s, err := ParseSnapshot(snapshotDoc)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "before" || s.Notes != "notes & more" || s.Parent != "root" || s.State != domain.VMRunning || s.Kind != domain.SnapshotExternal || s.Memory || s.CreatedAt.Unix() != 1700000000 || s.XML != snapshotDoc {
		t.Errorf("%+v", s)
	}
	if len(s.Disks) != 2 || s.Disks[0].File != "/p/web-vda-before.qcow2" || s.Disks[0].Format != "qcow2" || s.Disks[0].Base != "/dev/vg/web" {
		t.Errorf("disks are %+v", s.Disks)
	}
	for state, want := range map[string]domain.VMState{"paused": domain.VMPaused, "crashed": domain.VMCrashed, "shutoff": domain.VMStopped, "running": domain.VMRunning} {
		s, err := ParseSnapshot("<domainsnapshot><name>x</name><state>" + state + "</state><memory snapshot='external' file='/m'/></domainsnapshot>")
		if err != nil || s.State != want || s.Kind != domain.SnapshotExternal || s.MemoryFile != "/m" {
			t.Errorf("%s: %+v, %v", state, s, err)
		}
	}
	if _, err := ParseSnapshot("<domain/>"); err == nil {
		t.Error("a guest was taken for a snapshot")
	}
}

func TestSnapshotDefinitionIsWhatTheNextStartWouldHaveUsed(t *testing.T) {
	text, err := SnapshotDefinition(snapshotDoc, map[string]string{"vda": "/p/new'a.qcow2", "vdb": "/p/new-b.qcow2"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := Parse(text)
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	if len(g.Disks) != 2 || g.Disks[0].Source != "/p/new'a.qcow2" || g.Disks[0].Format != "qcow2" || g.Disks[1].Source != "/p/new-b.qcow2" || strings.Contains(text, "/dev/vg") || strings.Contains(text, "inactiveDomain") {
		t.Errorf("%+v:\n%s", g.Disks, text)
	}
	if _, err := SnapshotDefinition(snapshotDoc, map[string]string{"vdz": "/p/x"}); err == nil {
		t.Error("a disk that is not there")
	}
	if _, err := SnapshotDefinition("<domainsnapshot><name>x</name></domainsnapshot>", nil); !domain.Is(err, domain.Unsupported) {
		t.Errorf("without a definition: %v", err)
	}
	// One that ran the same as it was defined has one definition, with the id and the chain of what ran.
	one := snapshotDoc[:strings.Index(snapshotDoc, "  <inactiveDomain")] + "</domainsnapshot>"
	text, err = SnapshotDefinition(one, map[string]string{"vda": "/p/new.qcow2"})
	if err != nil || strings.Contains(text, "id='7'") || strings.Contains(text, "backingStore") || !strings.Contains(text, "/p/new.qcow2") {
		t.Errorf("%v:\n%s", err, text)
	}
	for files, want := range map[string]bool{"/p/new.qcow2": true, "/p/other": false} {
		if got, err := ShowsFiles(text, map[string]string{"vda": files}); err != nil || got != want {
			t.Errorf("%s: %v, %v", files, got, err)
		}
	}
	for what, err := range map[string]error{"definition": second(SnapshotDefinition("<", nil)), "files": second(WithDiskFiles("<", nil)), "overlays": second(SnapshotWithFiles("<", nil)),
		"bases": second(SnapshotWithBases("<", nil)), "parent": second(SnapshotUnder("<", "")), "shows": second(ShowsFiles("<", nil))} {
		if err == nil {
			t.Errorf("%s: no XML was taken", what)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestSnapshotsAreRewrittenInOnePlaceOnly(t *testing.T) {
	same := func(what, got string, err error, pairs ...string) {
		t.Helper()
		if want := strings.NewReplacer(pairs...).Replace(snapshotDoc); err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", what, err, got, want)
		}
	}
	text, err := SnapshotWithFiles(snapshotDoc, map[string]string{"vda": "/q/1.qcow2", "sda": "/q/2"})
	same("overlays", text, err, "<source file='/p/web-vda-before.qcow2'/>", "<source file='/q/1.qcow2'/>")
	text, err = SnapshotWithFiles(snapshotDoc, map[string]string{"vdb": "/q/b.qcow2"})
	if s, perr := ParseSnapshot(text); err != nil || perr != nil || s.Disks[1].File != "/q/b.qcow2" {
		t.Errorf("a disk without a file: %v, %v\n%s", err, perr, text)
	}
	text, err = SnapshotWithBases(snapshotDoc, map[string]string{"/p/ran.qcow2": "/p/merged.qcow2", "/dev/vg/web": "/dev/vg/other"})
	same("bases", text, err, "/p/ran.qcow2", "/p/merged.qcow2", "/dev/vg/web", "/dev/vg/other")
	text, err = SnapshotUnder(snapshotDoc, "a<b")
	if s, perr := ParseSnapshot(text); err != nil || perr != nil || s.Parent != "a<b" {
		t.Errorf("another parent: %v, %v\n%s", err, perr, text)
	}
	text, err = SnapshotUnder(snapshotDoc, "")
	if s, perr := ParseSnapshot(text); err != nil || perr != nil || s.Parent != "" || strings.Contains(text, "<parent>") {
		t.Errorf("a root: %v, %v\n%s", err, perr, text)
	}
}
