package domxml

import (
	"strings"
	"testing"

	"novacron/domain"
)

// taken is a snapshot as a host prints it, of a guest with two disks of which one is in it.
const taken = `<domainsnapshot>
  <name>one &amp; two</name>
  <description>of the other guest</description>
  <state>running</state>
  <creationTime>1700000000</creationTime>
  <memory snapshot='internal'/>
  <disks>
    <disk name='vda' snapshot='internal'/>
    <disk name='sda' snapshot='no'/>
  </disks>
  <domain type='qemu'><name>old</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><memory>65536</memory><os><type>hvm</type></os>
    <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/p/old.qcow2'/><target dev='vda' bus='virtio'/></disk></devices></domain>
</domainsnapshot>
`

const copied = `<?xml version='1.0'?>
<!-- a remark -->
<domain type='qemu'><name>copy</name><uuid>d7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><memory>65536</memory><os><type>hvm</type></os>
  <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/p/copy.qcow2'/><target dev='vda' bus='virtio'/></disk>
  <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk></devices></domain>`

func init() {
	sample("domainsnapshot", func(t testing.TB) map[string]string {
		doc, err := AdoptedSnapshot(taken, copied)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"adopted": doc}
	})
}

func TestASnapshotIsAdopted(t *testing.T) {
	doc, err := AdoptedSnapshot(taken, copied)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSnapshot(doc)
	if err != nil || s.Name != "one & two" || s.Memory || s.State != domain.VMStopped || s.Parent != "" || s.CreatedAt.Unix() != 1700000000 || len(s.Disks) != 1 || s.Disks[0].Base != "/p/copy.qcow2" {
		t.Errorf("%+v, %v", s, err)
	}
	if strings.Contains(doc, "/p/old") || strings.Contains(doc, "<?xml") {
		t.Errorf("it has something of the other guest, or is no document:\n%s", doc)
	}
	then, err := SnapshotDefinition(doc, nil)
	if err != nil || !strings.HasPrefix(then, "<domain") || !strings.Contains(then, "<name>copy</name>") {
		t.Errorf("going back defines %s, %v", then, err)
	}
	for name, in := range map[string][2]string{
		"nothing inside":  {strings.Replace(taken, "<disk name='vda' snapshot='internal'/>", "<disk name='vda' snapshot='no'/>", 1), copied},
		"another disk":    {taken, strings.Replace(copied, "dev='vda'", "dev='vdb'", 1)},
		"no snapshot":     {copied, copied},
		"no definition":   {taken, taken},
		"nothing at all":  {"", ""},
		"half a snapshot": {taken[:200], copied},
	} {
		if _, err := AdoptedSnapshot(in[0], in[1]); err == nil {
			t.Errorf("%s is adopted", name)
		}
	}
}
