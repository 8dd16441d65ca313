package libvirt

import (
	"testing"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
)

// TestContractQEMU holds the driver to the suite that the fake passes, with guests that halt in their boot sector.
func TestContractQEMU(t *testing.T) {
	d := daemon(t)
	keep := dialURI(t, d.UnixURI())
	if _, err := keep.EnsureDefaultPool(ctxFor(t, wait)); err != nil {
		t.Fatal(err)
	}
	hvtest.Contract(t, func(t *testing.T) hv.Host { return dialURI(t, d.UnixURI()) }, hvtest.Options{
		Driver: "QEMU", HotPlug: true, Consoles: true,
		Spec: func(t *testing.T) domain.VMSpec { return haltSpec(t, d, "contract") },
	})
}

// TestContractTestDriver has libvirt's own test driver behind the same RPC. It keeps its state as long as somebody is connected.
func TestContractTestDriver(t *testing.T) {
	d := daemon(t)
	dialURI(t, d.TestURI())
	hvtest.Contract(t, func(t *testing.T) hv.Host { return dialURI(t, d.TestURI()) }, hvtest.Options{
		Driver: "TEST", Pool: "default-pool", Network: "default", Obeys: true,
	})
}
