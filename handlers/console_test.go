package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"novacron/domain"
)

// ticketOf asks for a console's address.
func (b *browser) ticketOf(vmID, kind string) string {
	b.w.t.Helper()
	a := b.post("/vms/"+vmID+"/console/"+kind, nil, header("Accept", "application/json")).want(b.w.t, 200)
	var got ticketAnswer
	if err := json.Unmarshal([]byte(a.text), &got); err != nil || !strings.HasPrefix(got.URL, "/ws/console/") {
		b.w.t.Fatalf("ticket %q: %v", a.text, err)
	}
	return got.URL
}

// dial opens a websocket as the browser would.
func (b *browser) dial(ctx context.Context, path, origin string) (*websocket.Conn, *http.Response, error) {
	h := http.Header{}
	if origin != "" {
		h.Set("Origin", origin)
	}
	return websocket.Dial(ctx, b.w.url+path, &websocket.DialOptions{HTTPClient: b.c, HTTPHeader: h, Subprotocols: []string{"binary"}})
}

// running is a VM that runs.
func (w *world) running(b *browser, name string) domain.VM {
	w.t.Helper()
	vm := w.vm(b, name)
	b.post("/vms/"+vm.ID+"/actions/start", nil, htmx).want(w.t, 200)
	w.job(w.newest("vm.start").ID)
	w.level("running", func() bool { return w.vmNamed(name).State == domain.VMRunning })
	return w.vmNamed(name)
}

func TestTheScreenComesThroughTheServer(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.running(b, "web-1")
	ctx, cancel := context.WithTimeout(t.Context(), waitMost)
	defer cancel()
	at := b.ticketOf(vm.ID, "vnc")
	ws, _, err := b.dial(ctx, at, w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if ws.Subprotocol() != "binary" {
		t.Errorf("subprotocol %q", ws.Subprotocol())
	}
	ws.SetReadLimit(1 << 20)
	c := websocket.NetConn(ctx, ws, websocket.MessageBinary)
	hello := make([]byte, 12)
	if _, err := io.ReadFull(c, hello); err != nil || string(hello) != "RFB 003.008\n" {
		t.Fatalf("hello %q, %v", hello, err)
	}
	// The whole handshake and one picture, in the sizes a browser sends.
	if _, err := c.Write(hello); err != nil {
		t.Fatal(err)
	}
	types := make([]byte, 2)
	if _, err := io.ReadFull(c, types); err != nil {
		t.Fatal(err)
	}
	for _, msg := range [][]byte{{1}, {1}} {
		if _, err := c.Write(msg); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.ReadFull(c, make([]byte, 4+2+2+16+4)); err != nil {
		t.Fatal(err)
	}
	name := make([]byte, len("web-1"))
	if _, err := io.ReadFull(c, name); err != nil || string(name) != "web-1" {
		t.Fatalf("the screen's name is %q, %v", name, err)
	}
	if _, err := c.Write([]byte{3, 0, 0, 0, 0, 0, 0, 64, 0, 48}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 16+4*64*48)); err != nil {
		t.Fatalf("no picture: %v", err)
	}
	// A ticket is good once.
	if _, res, err := b.dial(ctx, at, w.url); err == nil || res == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("the ticket works twice: %v, %v", res, err)
	}
	if err := ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

func TestTheSerialLineComesThroughTheServer(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.running(b, "web-1")
	guest := w.fake.SerialLine(vm.UUID)
	ctx, cancel := context.WithTimeout(t.Context(), waitMost)
	defer cancel()
	ws, _, err := b.dial(ctx, b.ticketOf(vm.ID, "serial"), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(1 << 20)
	if _, err := guest.Write([]byte("login: ")); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for !strings.Contains(got.String(), "login: ") {
		_, p, err := ws.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(p)
	}
	// Text or binary, it is what was typed.
	if err := ws.Write(ctx, websocket.MessageText, []byte("root")); err != nil {
		t.Fatal(err)
	}
	if err := ws.Write(ctx, websocket.MessageBinary, []byte("\r")); err != nil {
		t.Fatal(err)
	}
	typed := make([]byte, 0, 5)
	for len(typed) < 5 {
		buf := make([]byte, 5)
		n, err := guest.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		typed = append(typed, buf[:n]...)
	}
	if string(typed) != "root\r" {
		t.Errorf("the guest got %q", typed)
	}
	// Another console takes the line over: this one is told and closed.
	ws2, _, err := b.dial(ctx, b.ticketOf(vm.ID, "serial"), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer ws2.CloseNow()
	for {
		if _, _, err = ws.Read(ctx); err != nil {
			break
		}
	}
	if websocket.CloseStatus(err) != websocket.StatusGoingAway || !strings.Contains(err.Error(), "taken over") {
		t.Errorf("the first console ended with %v", err)
	}
	// The server closes: the console too.
	w.shut()
	for {
		if _, _, err = ws2.Read(ctx); err != nil {
			break
		}
	}
	if websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the second console ended with %v", err)
	}
}

func TestTicketsAreForOneSessionAndAShortTime(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.running(b, "web-1")
	ctx, cancel := context.WithTimeout(t.Context(), waitMost)
	defer cancel()
	refused := func(who *browser, path, origin string, status int) {
		t.Helper()
		ws, res, err := who.dial(ctx, path, origin)
		if err == nil {
			ws.CloseNow()
			t.Errorf("%s from %q was let in", path, origin)
		} else if res == nil || res.StatusCode != status {
			t.Errorf("%s from %q: %v, %v", path, origin, res, err)
		}
	}
	refused(b, "/ws/console/nonsense", w.url, http.StatusForbidden)
	// Another session of the same person is another session.
	at := b.ticketOf(vm.ID, "vnc")
	refused(w.signedIn("admin"), at, w.url, http.StatusForbidden)
	refused(b, at, w.url, http.StatusForbidden) // and the wrong one's attempt has used it up
	refused(w.browser(), b.ticketOf(vm.ID, "vnc"), w.url, http.StatusUnauthorized)
	refused(w.viewer(), b.ticketOf(vm.ID, "vnc"), w.url, http.StatusForbidden)
	// A page of another site cannot open it with this browser's cookies.
	refused(b, b.ticketOf(vm.ID, "vnc"), "https://evil.example", http.StatusForbidden)

	now := time.Now()
	tk := newTickets(func() time.Time { return now })
	key := tk.d.put(ticket{vmID: "vm_1", kind: kindVNC, session: "s"})
	now = now.Add(ticketLife)
	if _, err := tk.redeem(key, "s"); !domain.Is(err, domain.Denied) {
		t.Errorf("an old ticket: %v", err)
	}

	b.post("/vms/"+vm.ID+"/console/telnet", nil, header("Accept", "application/json")).want(t, 404, `"code":"not_found"`)
	b.post("/vms/vm_none/console/vnc", nil).want(t, 404, `"code":"not_found"`)
	b.post("/vms/"+vm.ID+"/actions/stop", nil, htmx).want(t, 200)
	w.job(w.newest("vm.stop").ID)
	w.level("stopped", func() bool { return w.vmNamed("web-1").State == domain.VMStopped })
	b.post("/vms/"+vm.ID+"/console/vnc", nil).want(t, 409, `"code":"conflict"`, "Start it first")
}

func TestAConsoleThatCannotBeOpenedSaysWhy(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.running(b, "web-1")
	w.fake.Fail("Graphics", domain.Errorf(domain.Unavailable, "The host's VNC port does not answer."), 1)
	ctx, cancel := context.WithTimeout(t.Context(), waitMost)
	defer cancel()
	ws, _, err := b.dial(ctx, b.ticketOf(vm.ID, "vnc"), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if _, _, err = ws.Read(ctx); websocket.CloseStatus(err) != websocket.StatusTryAgainLater || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("it ended with %v", err)
	}
}

func TestSigningOutEndsTheConsole(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.running(b, "web-1")
	ctx, cancel := context.WithTimeout(t.Context(), waitMost)
	defer cancel()
	ws, _, err := b.dial(ctx, b.ticketOf(vm.ID, "serial"), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	stream := &pipe{closed: make(chan struct{})}
	p := &proxy{ws: ws, stream: stream, every: time.Millisecond, alive: func() bool { return false }}
	if code, why := p.run(ctx); code != websocket.StatusPolicyViolation || !strings.Contains(why, "signed out") {
		t.Errorf("it ended with %v %q", code, why)
	}
}

// pipe is a guest that says nothing.
type pipe struct{ closed chan struct{} }

func (p *pipe) Read([]byte) (int, error)    { <-p.closed; return 0, io.EOF }
func (p *pipe) Write(b []byte) (int, error) { return len(b), nil }
func (p *pipe) Close() error                { close(p.closed); return nil }

func TestScreenshot(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	vm := w.running(b, "web-1")
	at := "/vms/" + vm.ID + "/screenshot.png"
	a := b.get(at).want(t, 200)
	if a.Header.Get("Content-Type") != "image/png" || !strings.HasPrefix(a.text, "\x89PNG") || !strings.Contains(a.Header.Get("Cache-Control"), "private") {
		t.Errorf("headers %v", a.Header)
	}
	b.get(at, header("If-None-Match", a.Header.Get("ETag"))).want(t, 304)
	for range 5 {
		b.get(at).want(t, 200)
	}
	if n := w.fake.Calls("Screenshot"); n != 1 {
		t.Errorf("seven looks cost the host %d pictures", n)
	}
	w.browser().get(at).want(t, 401)
	w.viewer().get(at).want(t, 403)
	b.post("/vms/"+vm.ID+"/actions/stop", url.Values{}, htmx).want(t, 200)
	w.job(w.newest("vm.stop").ID)
	w.level("stopped", func() bool { return w.vmNamed("web-1").State == domain.VMStopped })
	b.get(at).want(t, 409, `"code":"conflict"`)
}

func TestClosingWordsFitTheFrame(t *testing.T) {
	for _, s := range []string{"", "short", strings.Repeat("ä", 100), strings.Repeat("x", 500)} {
		got := closingWords(s)
		if len(got) > 123 || !strings.HasPrefix(s, got) || !bytes.Equal([]byte(got), []byte(strings.ToValidUTF8(got, "?"))) {
			t.Errorf("%q became %q", s, got)
		}
	}
}
