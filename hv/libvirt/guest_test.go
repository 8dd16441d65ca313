package libvirt

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/libvirttest"
	"novacron/hv/rfb"
)

const wait = 3 * time.Minute

// haltSpec is a guest that halts in its boot sector.
func haltSpec(t testing.TB, d *libvirttest.Daemon, name string) domain.VMSpec {
	t.Helper()
	path, err := d.Image(name+".raw", libvirttest.BootSector())
	if err != nil {
		t.Fatal(err)
	}
	return domain.VMSpec{Name: name, UUID: domain.NewUUID(), VCPUs: 1, MaxVCPUs: 2, MemoryBytes: 64 * domain.MiB, Accel: domain.AccelAuto, Machine: "pc",
		Disks: []domain.Disk{{Source: path, Format: "raw", Bus: "virtio"}}, NICs: nil}
}

// defined makes a guest that goes with the test.
func defined(t testing.TB, h *host, spec domain.VMSpec) []string {
	t.Helper()
	notes, err := h.Define(ctxFor(t, wait), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		if err := h.Stop(ctx, spec.UUID); err != nil && !domain.Is(err, domain.NotFound) {
			t.Error(err)
		}
		if _, err := h.Undefine(ctx, spec.UUID); err != nil {
			t.Error(err)
		}
	})
	return notes
}

// recorder keeps events and waits for them.
type recorder struct {
	mu     sync.Mutex
	events []hv.Event
	wake   chan struct{}
}

func record(t testing.TB, h *host) *recorder {
	t.Helper()
	r := &recorder{wake: make(chan struct{}, 1)}
	done, err := h.Events(t.Context(), func(e hv.Event) {
		r.mu.Lock()
		r.events = append(r.events, e)
		r.mu.Unlock()
		select {
		case r.wake <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(); <-done })
	return r
}

// await waits for an event of a guest and forgets everything up to it.
func (r *recorder) await(t testing.TB, uuid string, kind hv.EventKind, detail string) hv.Event {
	t.Helper()
	timeout := time.After(wait)
	for {
		r.mu.Lock()
		for i, e := range r.events {
			if e.UUID == uuid && e.Kind == kind && strings.Contains(e.Detail, detail) {
				r.events = r.events[i+1:]
				r.mu.Unlock()
				return e
			}
		}
		seen := append([]hv.Event(nil), r.events...)
		r.mu.Unlock()
		select {
		case <-r.wake:
		case <-timeout:
			t.Fatalf("no event %s %q; seen: %+v", kind, detail, seen)
		}
	}
}

func state(t testing.TB, h *host, uuid string) domain.GuestState {
	t.Helper()
	all, err := h.GuestStates(ctxFor(t, wait))
	if err != nil {
		t.Fatal(err)
	}
	return all[uuid]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLifecycleAndEvents(t *testing.T) {
	d := daemon(t)
	h := dialURI(t, d.UnixURI())
	rec := record(t, dialURI(t, d.TCPURI()))
	spec := haltSpec(t, d, "life")
	notes := defined(t, h, spec)
	t.Log(notes)
	id := spec.UUID
	rec.await(t, id, hv.GuestDefined, "defined")
	if again, err := h.Define(ctxFor(t, wait), spec); err != nil || len(again) != 0 {
		t.Errorf("defining again: %v %v", again, err)
	}
	other := spec
	other.UUID = domain.NewUUID()
	if _, err := h.Define(ctxFor(t, wait), other); !domain.Is(err, domain.Conflict) {
		t.Errorf("a taken name gives %v", err)
	}

	ctx := ctxFor(t, 3*wait)
	for range 2 { // every step holds when it is repeated
		must(t, h.Start(ctx, id))
	}
	if e := rec.await(t, id, hv.GuestState, "started"); e.State != domain.VMRunning || e.Name != "life" {
		t.Errorf("%+v", e)
	}
	for range 2 {
		must(t, h.Pause(ctx, id))
	}
	rec.await(t, id, hv.GuestState, "paused")
	if s := state(t, h, id); s.State != domain.VMPaused || s.Reason != "paused" {
		t.Errorf("%+v", s)
	}
	if err := h.Start(ctx, id); !domain.Is(err, domain.Conflict) {
		t.Errorf("starting a paused guest: %v", err)
	}
	for range 2 {
		must(t, h.Resume(ctx, id))
	}
	rec.await(t, id, hv.GuestState, "resumed")
	must(t, h.Reset(ctx, id))
	for range 2 {
		must(t, h.SetAutostart(ctx, id, true))
	}
	g, err := h.Guest(ctx, id)
	must(t, err)
	if g.State != domain.VMRunning || !g.Autostart || !g.Persistent || g.Live == nil || g.Config.VCPUs != 1 || g.Config.MemoryBytes != 64*domain.MiB || !strings.Contains(g.XML, "<name>life</name>") {
		t.Errorf("%+v", g)
	}
	for range 2 {
		must(t, h.Save(ctx, id))
	}
	if e := rec.await(t, id, hv.GuestState, "saved"); e.State != domain.VMSaved {
		t.Errorf("%+v", e)
	}
	if s := state(t, h, id); s.State != domain.VMSaved {
		t.Errorf("%+v", s)
	}
	must(t, h.Start(ctx, id))
	rec.await(t, id, hv.GuestState, "restored")
	must(t, h.Save(ctx, id))
	for range 2 {
		must(t, h.Discard(ctx, id))
	}
	if s := state(t, h, id); s.State != domain.VMStopped {
		t.Errorf("%+v", s)
	}
	must(t, h.Start(ctx, id))
	must(t, h.Shutdown(ctx, id)) // halted: it will not react, and the call returns all the same
	for range 2 {
		must(t, h.Stop(ctx, id))
	}
	if e := rec.await(t, id, hv.GuestState, "powered off"); e.State != domain.VMStopped {
		t.Errorf("%+v", e)
	}
	for range 2 {
		must(t, h.Shutdown(ctx, id))
	}
	for _, act := range []func(context.Context, string) error{h.Reboot, h.Reset, h.Pause, h.Resume, h.Save} {
		if err := act(ctx, id); !domain.Is(err, domain.Conflict) {
			t.Errorf("acting on a stopped guest: %v", err)
		}
	}
	for range 2 {
		must(t, h.Rename(ctx, id, "life-2"))
	}
	if e := rec.await(t, id, hv.GuestDefined, "renamed"); e.Name != "life-2" {
		t.Errorf("%+v", e)
	}
	doc, err := h.Undefine(ctx, id)
	must(t, err)
	rec.await(t, id, hv.GuestGone, "")
	if again, err := h.Undefine(ctx, id); err != nil || again != "" {
		t.Errorf("undefining again: %q %v", again, err)
	}
	for _, act := range []func(context.Context, string) error{h.Start, h.Stop, h.Pause} {
		if err := act(ctx, id); !domain.Is(err, domain.NotFound) {
			t.Errorf("acting on a guest that is gone: %v", err)
		}
	}
	back, err := h.DefineXML(ctx, doc)
	must(t, err)
	if back != id {
		t.Errorf("defined as %s", back)
	}
	all, err := h.Guests(ctx)
	must(t, err)
	if len(all) == 0 {
		t.Error("no guests")
	}
}

func TestCrashIsSeen(t *testing.T) {
	d := daemon(t)
	h := dialURI(t, d.UnixURI())
	rec := record(t, dialURI(t, d.UnixURI()))
	spec := haltSpec(t, d, "crash")
	defined(t, h, spec)
	must(t, h.Start(ctxFor(t, wait), spec.UUID))
	killQEMU(t, d, spec.Name)
	if e := rec.await(t, spec.UUID, hv.GuestState, "QEMU"); e.State != domain.VMCrashed {
		t.Errorf("%+v", e)
	}
	if s := state(t, h, spec.UUID); s.State != domain.VMCrashed {
		t.Errorf("%+v", s)
	}
	must(t, h.Start(ctxFor(t, wait), spec.UUID))
}

func TestGraphicsNeedsNoPassword(t *testing.T) {
	d := daemon(t)
	for name, uri := range map[string]string{"local": d.UnixURI(), "network": d.TCPURI()} {
		t.Run(name, func(t *testing.T) {
			h := dialURI(t, uri)
			spec := haltSpec(t, d, "screen-"+name)
			t.Log(defined(t, h, spec))
			ctx := ctxFor(t, wait)
			if _, err := h.Graphics(ctx, spec.UUID); !domain.Is(err, domain.Conflict) {
				t.Errorf("screen of a stopped guest: %v", err)
			}
			must(t, h.Start(ctx, spec.UUID))
			for range 2 { // the second time needs a new password
				s, err := h.Graphics(ctx, spec.UUID)
				must(t, err)
				t.Log(s.Via)
				if strings.Contains(s.Via, "one-time password") != (name == "network") {
					t.Errorf("via %q", s.Via)
				}
				readFrame(t, s.Conn)
				s.Conn.Close()
			}
			if name == "network" { // whoever comes without us does not get in
				n, doc, err := h.running(ctx, spec.UUID)
				must(t, err)
				g, ok, err := findVNC(doc)
				if err != nil || !ok || g.own(time.Now()) {
					t.Errorf("%s: %+v %v %v", n.Name, g, ok, err)
				}
				w, err := h.screenWay(n.Name, g)
				must(t, err)
				c, err := net.Dial(w.network, w.addr)
				must(t, err)
				defer c.Close()
				err = rfb.SignIn(c, func() (string, error) { return g.Password, nil })
				if _, refused := errors.AsType[*rfb.AuthError](err); !refused {
					t.Errorf("the expired password: %v", err)
				}
			}
			shot, err := h.Screenshot(ctx, spec.UUID)
			must(t, err)
			img, err := png.Decode(bytes.NewReader(shot))
			must(t, err)
			if img.Bounds().Dx() < 300 {
				t.Errorf("a picture of %v", img.Bounds())
			}
		})
	}
}

// readFrame plays a viewer up to the first picture.
func readFrame(t *testing.T, c io.ReadWriteCloser) {
	t.Helper()
	b := make([]byte, 64)
	read := func(n int) []byte {
		t.Helper()
		if _, err := io.ReadFull(c, b[:n]); err != nil {
			t.Fatal(err)
		}
		return b[:n]
	}
	write := func(p string) {
		t.Helper()
		if _, err := io.WriteString(c, p); err != nil {
			t.Fatal(err)
		}
	}
	if v := string(read(12)); v != "RFB 003.008\n" {
		t.Fatalf("version %q", v)
	}
	write("RFB 003.008\n")
	if k := read(2); k[0] != 1 || k[1] != 1 {
		t.Fatalf("security types %v", k)
	}
	write("\x01")
	if r := read(4); !bytes.Equal(r, []byte{0, 0, 0, 0}) {
		t.Fatalf("result %v", r)
	}
	write("\x01")
	init := read(24)
	width, name := int(init[0])<<8|int(init[1]), int(init[23])
	if width < 300 || name == 0 {
		t.Fatalf("server init %v", init)
	}
	if _, err := io.CopyN(io.Discard, c, int64(name)); err != nil {
		t.Fatal(err)
	}
	write("\x03\x00\x00\x00\x00\x00\x00\x10\x00\x10") // FramebufferUpdateRequest of 16 by 16
	if m := read(4); m[0] != 0 {
		t.Fatalf("message %v", m)
	}
}

func TestScreenWay(t *testing.T) {
	remote := &host{uri: domain.HostURI{Transport: "tcp"}, remote: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3)}}
	tunnel := &host{uri: domain.HostURI{Transport: "ssh"}}
	for _, c := range []struct {
		h    *host
		g    vncServer
		want string // empty: Unsupported
	}{
		{remote, vncServer{Port: 5900, Listen: "0.0.0.0"}, "10.1.2.3:5900"},
		{remote, vncServer{Port: 5900, Listen: "10.1.2.4"}, "10.1.2.4:5900"},
		{remote, vncServer{Port: 5900, Listen: "127.0.0.1"}, ""},
		{remote, vncServer{Port: -1, Listen: "0.0.0.0"}, ""},
		{remote, vncServer{Socket: "/x"}, ""},
		{tunnel, vncServer{Port: 5901}, "127.0.0.1:5901"},
		{tunnel, vncServer{Port: 5901, Listen: "::1"}, "[::1]:5901"},
		{tunnel, vncServer{Port: 5901, Listen: "10.9.9.9"}, "10.9.9.9:5901"},
		{tunnel, vncServer{Socket: "/x"}, "/x"},
	} {
		w, err := c.h.screenWay("vm", c.g)
		if w.addr != c.want || (c.want == "") != domain.Is(err, domain.Unsupported) {
			t.Errorf("%+v: %+v %v", c.g, w, err)
		}
	}
}
