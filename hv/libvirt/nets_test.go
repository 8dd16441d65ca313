package libvirt

import (
	"os/exec"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/hv/libvirt/libvirttest"
)

// TestContractNets starts real networks, with bridge, firewall and dnsmasq, in a network namespace of the daemon's own.
func TestContractNets(t *testing.T) {
	d := libvirttest.New(t, libvirttest.Options{Name: "nets", Net: true})
	dialURI(t, d.UnixURI())
	hvtest.ContractNets(t, func(t *testing.T) hv.Host { return dialURI(t, d.UnixURI()) }, hvtest.Options{
		Driver: "QEMU", HotPlug: true, Limits: limits(t),
		Spec: func(t *testing.T) domain.VMSpec { return haltSpec(t, d, "nets") },
	})
}

// limits tells whether this kernel has what libvirt limits bandwidth with.
func limits(t *testing.T) bool {
	out, err := exec.Command("unshare", "--net", "sh", "-c", "ip link add l0 type bridge && tc qdisc add dev l0 root handle 1: htb default 1 && tc class add dev l0 parent 1: classid 1:1 htb rate 8mbit && tc qdisc add dev l0 parent 1:1 handle 2: sfq perturb 10").CombinedOutput()
	if err != nil {
		t.Logf("limits of cards are not tried: the kernel has no htb and sfq: %s", strings.TrimSpace(string(out)))
	}
	return err == nil
}
