package pool_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"novacron/hv"
	"novacron/hv/libvirt"
	"novacron/hv/libvirt/libvirttest"
	"novacron/hv/pool"
)

// TestRealDaemon stops, continues, kills and starts a libvirtd under the pool.
func TestRealDaemon(t *testing.T) {
	d := libvirttest.New(t, libvirttest.Options{Name: "pooled"})
	heard := make(chan string, 100)
	dialer := libvirt.NewDialer(libvirt.Options{Log: slog.New(slog.DiscardHandler), Clock: time.Now, HomeDir: t.TempDir()})
	p, stop := start(t, dialer, pool.Hooks{
		OnConnected: func(ctx context.Context, id string, h hv.Host) error {
			if _, err := h.Guests(ctx); err != nil {
				return err
			}
			heard <- "connected"
			return nil
		},
		OnAway:  func(_ context.Context, id, reason, fix string) { t.Log(reason, "|", fix); heard <- "away" },
		OnEvent: func(_ context.Context, id string, ev hv.Event) { heard <- string(ev.Kind) },
	})
	defer stop()
	await := func(want string, most time.Duration) {
		t.Helper()
		begun, late := time.Now(), time.After(most)
		for {
			select {
			case got := <-heard:
				if got == want {
					t.Logf("%s after %v", want, time.Since(begun).Round(time.Millisecond))
					return
				}
			case <-late:
				s, _ := p.State("h")
				t.Fatalf("not %s within %v: %+v", want, most, s)
			}
		}
	}
	p.Add("h", hv.Target{URI: d.TCPURI()})
	await("connected", 30*time.Second)
	if err := d.Freeze(); err != nil {
		t.Fatal(err)
	}
	await("away", 30*time.Second)
	if err := d.Thaw(); err != nil {
		t.Fatal(err)
	}
	await("connected", 60*time.Second)
	d.Kill()
	await("away", 15*time.Second)
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	p.Kick("h")
	await("connected", 60*time.Second)
}
