package libvirt

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// Numbers of procedures that a scripted daemon answers.
const (
	procGetType       = 3
	procGetLibVersion = 157
)

func TestAHostThatCannotTellItsNameIsConnectedAllTheSame(t *testing.T) {
	var kind xdrWriter
	kind.string("QEMU")
	port := scripted(t, map[uint32]answer{procAuthList: numbers(1, authNone), procConnectOpen: numbers(), procGetType: {statusOK, kind.b}, procGetLibVersion: numbers(0, 9000000)})
	h, steps, err := newTestDialer(t).Dial(ctxFor(t, wait), hv.Target{URI: "qemu+tcp://127.0.0.1:" + port + "/system"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if last := steps[len(steps)-1]; last.Name != stepFacts || !last.OK {
		t.Errorf("%+v", steps)
	}
	if name := h.(*host).hostname(ctxFor(t, time.Second)); name != "" {
		t.Errorf("its name is %q", name)
	}
}

func TestSocketsAreTriedInTurn(t *testing.T) {
	dir := t.TempDir()
	stale, alive := filepath.Join(dir, "libvirt-sock"), filepath.Join(dir, "virtqemud-sock")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	must(t, err)
	old.SetUnlinkOnClose(false)
	old.Close()
	l, err := net.Listen("unix", alive)
	must(t, err)
	defer l.Close()
	for _, paths := range [][]string{{stale, alive}, {filepath.Join(dir, "none"), alive}} {
		c, err := dialSockets(ctxFor(t, wait), &trial{}, paths)
		if err != nil {
			t.Fatalf("%v: %v", paths, err)
		}
		if c.RemoteAddr().String() != alive {
			t.Errorf("connected to %s", c.RemoteAddr())
		}
		c.Close()
	}
	tr := &trial{}
	if _, err := dialSockets(ctxFor(t, wait), tr, []string{stale, filepath.Join(dir, "none")}); !domain.Is(err, domain.Unavailable) {
		t.Errorf("%v", err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("XDG_CACHE_HOME", dir)
	if got := runtimeDir(); got != dir {
		t.Errorf("runtime directory %s", got)
	}
}
