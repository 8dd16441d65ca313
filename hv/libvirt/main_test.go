package libvirt

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/libvirttest"
)

var (
	sharedMu sync.Mutex
	shared   *libvirttest.Daemon
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.Close()
	}
	os.Exit(code)
}

// daemon is one private libvirtd for all tests that do not break it.
func daemon(t testing.TB) *libvirttest.Daemon {
	t.Helper()
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared == nil {
		d, err := libvirttest.Start(libvirttest.Options{Name: "tester"})
		if err != nil {
			t.Fatal(err)
		}
		shared = d
	}
	return shared
}

type testLog struct{ t testing.TB }

func (w testLog) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func newTestDialer(t testing.TB) hv.Dialer {
	return NewDialer(Options{Log: slog.New(slog.NewTextHandler(testLog{t}, nil)), Clock: time.Now, HomeDir: t.TempDir()})
}

func ctxFor(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// dialTarget connects and closes with the test.
func dialTarget(t testing.TB, target hv.Target) *host {
	t.Helper()
	h, steps, err := newTestDialer(t).Dial(ctxFor(t, 60*time.Second), target)
	if err != nil {
		t.Fatalf("dial %s: %v\nsteps %+v", target.URI, err, steps)
	}
	t.Cleanup(func() { h.Close() })
	return h.(*host)
}

func dialURI(t testing.TB, uri string) *host {
	t.Helper()
	return dialTarget(t, hv.Target{URI: uri})
}

// wantStep checks that a failed dial says so in its last step and carries a fix.
func wantStep(t testing.TB, steps []domain.ConnectionStep, err error, name string, code domain.Code, words ...string) {
	t.Helper()
	if err == nil || len(steps) == 0 {
		t.Fatalf("no failure: err %v, steps %+v", err, steps)
	}
	last := steps[len(steps)-1]
	if last.OK || last.Name != name || domain.CodeOf(err) != code {
		t.Fatalf("last step %+v, code %s; want a failed %q with %s\nall steps %+v", last, domain.CodeOf(err), name, code, steps)
	}
	for _, w := range words {
		if !strings.Contains(last.Msg+" "+last.Fix, w) {
			t.Errorf("step %q / %q does not mention %q", last.Msg, last.Fix, w)
		}
	}
}
