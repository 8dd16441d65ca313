package guest_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"novacron/jobs/guest"
)

func TestISOIsReadByOthers(t *testing.T) {
	long := strings.Repeat("# a line of user-data\n", 9000)
	image, err := guest.ISO("cidata", map[string]string{"user-data": long, "meta-data": "instance-id: \"x\"\n", "network-config": "version: 2\n"})
	if err != nil {
		t.Fatal(err)
	}
	if len(image)%(1<<20) != 0 || string(image[0x8001:0x8006]) != "CD001" || !bytes.HasPrefix(image[0x8028:], []byte("cidata")) {
		t.Fatalf("%d bytes, label %q", len(image), image[0x8028:0x8048])
	}
	tool, err := exec.LookPath("isoinfo")
	if err != nil {
		t.Fatalf("isoinfo (package genisoimage) is needed: %v", err)
	}
	path := filepath.Join(t.TempDir(), "seed.iso")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, names := range []string{"-R", "-J"} {
		out, err := exec.Command(tool, names, "-i", path, "-x", "/user-data").Output()
		if err != nil || string(out) != long {
			t.Errorf("%s: %d bytes of user-data (%v), want %d", names, len(out), err, len(long))
		}
		if out, err := exec.Command(tool, names, "-i", path, "-f").Output(); err != nil || !strings.Contains(string(out), "/network-config") || !strings.Contains(string(out), "/meta-data") {
			t.Errorf("%s: %s (%v)", names, out, err)
		}
	}
}
