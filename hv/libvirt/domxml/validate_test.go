package domxml

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

// schemas is where libvirt keeps its own description of its documents. virt-xml-validate is a script that runs xmllint with one of these files.
const schemas = "/usr/share/libvirt/schemas/"

// samples are documents that we write, by the name of the schema that judges them ("domain", "storagepool", "network" …), then by a name of their
// own. Each kind adds its samples from a test file of its own: func init() { sample("network", networkSamples) }.
var samples = map[string][]func(t testing.TB) map[string]string{}

func sample(schema string, docs func(t testing.TB) map[string]string) {
	samples[schema] = append(samples[schema], docs)
}

func init() {
	sample("domain", builtDomains)
	sample("domain", func(t testing.TB) map[string]string { // what is handed to libvirt alone is judged where it belongs
		within := func(device string) string {
			return strings.Replace(noRoom, "<devices/>", "<devices>"+device+"</devices>", 1)
		}
		target := func(disk string) string {
			return within(strings.Replace(disk, "</disk>", "<target dev='vda' bus='virtio'/></disk>", 1))
		}
		in, out := &domain.Bandwidth{Average: 1000, Peak: 2000, Burst: 512}, &domain.Bandwidth{Average: 1000}
		return map[string]string{
			"copy to a file":    target(CopyTargetXML(domain.Volume{Path: "/img/a & b.qcow2", Format: "qcow2"}, "")),
			"copy to a device":  target(CopyTargetXML(domain.Volume{Path: "/dev/vg/x"}, "f52a81b2-424e-490c-823d-6bd4235bc557")),
			"card with limits":  within(NICXML(domain.NIC{Network: "lan", PortGroup: "dmz", Filter: "novacron-x", BandwidthIn: in, BandwidthOut: out, Down: true})),
			"card on a switch":  within(NICXML(domain.NIC{Bridge: "br-ex", OpenVSwitch: true, VLAN: &domain.VLAN{Tags: []int{42, 43}, Trunk: true, Native: 42}, MAC: newMAC})),
			"card on a network": within(NICXML(domain.NIC{Network: "lan"})),
		}
	})
	sample("secret", func(testing.TB) map[string]string {
		return map[string]string{"passphrase": SecretXML("f52a81b2-424e-490c-823d-6bd4235bc557", "of a & b <c>")}
	})
	sample("domainsnapshot", func(t testing.TB) map[string]string {
		disks := []domain.Disk{{Target: "vda", Source: "/a.qcow2"}, {Target: "vdb", Source: "/b.raw"}, {Target: "sda", Device: "cdrom"}}
		docs := map[string]string{}
		for name, s := range map[string]hv.SnapshotSpec{
			"internal":             {Name: "a & b", Notes: "why\nand how", Kind: domain.SnapshotInternal},
			"internal with memory": {Name: "m", Kind: domain.SnapshotInternal, Memory: true},
			"external":             {Name: "e", Kind: domain.SnapshotExternal, Disks: map[string]string{"vda": "/a & b.snap"}},
			"external with memory": {Name: "em", Kind: domain.SnapshotExternal, Memory: true, MemoryFile: "/m<em>", Disks: map[string]string{"vda": "/a.e", "vdb": "/b.e"}},
		} {
			doc, err := SnapshotXML(s, disks)
			if err != nil {
				t.Fatal(err)
			}
			docs[name] = doc
		}
		return docs
	})
	sample("storagevol", func(testing.TB) map[string]string {
		return map[string]string{
			"qcow2": VolumeXML(volumeSpec("default", "a & b.qcow2", "qcow2", domain.GiB), "dir"), "raw": VolumeXML(volumeSpec("default", "b.raw", "raw", domain.GiB), "dir"),
			"copy": VolumeCopyXML("c<d", domain.Volume{Format: "qcow2", CapacityBytes: 1 << 20}, "dir"),
		}
	})
}

// TestEverythingWeWriteIsValid has libvirt's own schemas judge every kind of document.
func TestEverythingWeWriteIsValid(t *testing.T) {
	for schema, makers := range samples {
		t.Run(schema, func(t *testing.T) {
			docs := map[string]string{}
			for _, make := range makers {
				for name, doc := range make(t) {
					if _, twice := docs[name]; twice {
						t.Errorf("two samples are called %s", name)
					}
					docs[name] = doc
				}
			}
			for name, why := range invalid(t, schema, docs) {
				t.Errorf("%s: %s\n%s", name, why, docs[name])
			}
		})
	}
}

// invalid names the documents that the schema does not allow, and why.
func invalid(t testing.TB, schema string, docs map[string]string) map[string]string {
	t.Helper()
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Fatal("xmllint is missing: install libxml2-utils")
	}
	if _, err := os.Stat(schemas + schema + ".rng"); err != nil {
		t.Fatalf("libvirt's schema is missing (install libvirt-daemon-system): %v", err)
	}
	dir, names := t.TempDir(), make([]string, 0, len(docs))
	args := []string{"--noout", "--relaxng", schemas + schema + ".rng"}
	for name, doc := range docs {
		path := filepath.Join(dir, fmt.Sprintf("%04d.xml", len(names)))
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		names, args = append(names, name), append(args, path)
	}
	if len(names) == 0 {
		return nil
	}
	cmd := exec.Command("xmllint", args...) // one run for all: reading the schema takes longer than a document
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	out := map[string]string{}
	for i, name := range names {
		file := filepath.Join(dir, fmt.Sprintf("%04d.xml", i))
		if strings.Contains(said.String(), file+" validates") {
			continue
		}
		var why []string
		for line := range strings.Lines(said.String()) {
			if rest, about := strings.CutPrefix(line, file); about {
				why = append(why, strings.TrimSpace(rest))
			}
		}
		out[name] = strings.Join(why, "; ")
	}
	if err != nil && len(out) == 0 {
		t.Fatalf("xmllint: %v\n%s", err, said.String())
	}
	return out
}

// builtDomains are many definitions, for hosts of several kinds.
func builtDomains(t testing.TB) map[string]string {
	r, docs := rand.New(rand.NewPCG(1, 2)), map[string]string{}
	for i := range 40 {
		env := qemuEnv()
		switch {
		case i%8 == 6:
			env = kvmEnv()
		case i%8 == 7:
			env.Facts.Driver = "TEST"
		}
		switch i % 3 {
		case 1:
			env.GraphicsListen = "socket"
		case 2:
			env.GraphicsListen, env.GraphicsPassword = "0.0.0.0", "s3cret'<"
		}
		doc, _, err := Build(randomSpec(r), env)
		if err != nil {
			t.Fatal(err)
		}
		docs[fmt.Sprintf("built %d", i)] = doc
	}
	return docs
}
