package libvirt

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

// A thousand guests are listed in seconds and their states in one blink: what a page of the fleet rests on.
func TestAThousandGuests(t *testing.T) {
	const n = 1000
	d := daemon(t)
	var doc strings.Builder
	doc.WriteString("<node>\n<cpu><nodes>1</nodes><sockets>2</sockets><cores>16</cores><threads>2</threads><active>64</active><mhz>2000</mhz></cpu>\n<memory>536870912</memory>\n")
	for i := range n {
		fmt.Fprintf(&doc, "<domain type='test'><name>guest-%d</name><uuid>%s</uuid><memory>65536</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices><disk type='file'><source file='/img/%d'/><target dev='vda' bus='virtio'/></disk></devices></domain>\n", i, domain.NewUUID(), i)
	}
	doc.WriteString("</node>\n")
	file := filepath.Join(t.TempDir(), "node.xml")
	must(t, os.WriteFile(file, []byte(doc.String()), 0o644))
	h := dialURI(t, fmt.Sprintf("test+tcp://127.0.0.1:%d%s", d.TCPPort, file))
	start := time.Now()
	guests, err := h.Guests(ctxFor(t, wait))
	must(t, err)
	listed := time.Since(start)
	start = time.Now()
	states, err := h.GuestStates(ctxFor(t, wait))
	must(t, err)
	t.Logf("%d guests listed in %s, states in %s", len(guests), listed, time.Since(start))
	if len(guests) != n || len(states) != n || guests[7].Config.VCPUs != 1 || guests[7].State != domain.VMRunning {
		t.Errorf("%d guests, %d states, %+v", len(guests), len(states), guests[7])
	}
}
