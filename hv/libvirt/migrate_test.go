package libvirt

import (
	"os"
	"path/filepath"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/hv/libvirt/libvirttest"
)

// TestMigrationContract moves guests between two daemons of this machine, over loopback.
func TestMigrationContract(t *testing.T) {
	from, to := libvirttest.New(t, libvirttest.Options{Name: "from"}), libvirttest.New(t, libvirttest.Options{Name: "to"})
	for _, d := range []*libvirttest.Daemon{from, to} {
		if _, err := dialURI(t, d.UnixURI()).EnsureDefaultPool(ctxFor(t, wait)); err != nil {
			t.Fatal(err)
		}
	}
	hvtest.MigrationContract(t, func(t *testing.T) hvtest.MigrationPair {
		return hvtest.MigrationPair{
			From: dialURI(t, from.UnixURI()), To: dialURI(t, to.UnixURI()), FromURI: from.TCPURI(), ToURI: to.TCPURI(), DataURI: "tcp://127.0.0.1",
			Spec: func(t *testing.T) domain.VMSpec { return haltSpec(t, from, "move-"+domain.NewUUID()[:8]) },
			Share: func(t *testing.T, path string) {
				name := filepath.Base(path)
				if err := os.Link(filepath.Join(from.Dir, "lib", "images", name), filepath.Join(to.Dir, "lib", "images", name)); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
