package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"novacron/e2e/server"
)

const password = "correct horse battery"

// signIn gives an HTTP client with a session; at the first call on an estate it changes the one-time password.
func signIn(t *testing.T, s *server.Server) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Timeout: time.Minute}
	post := func(path string, form url.Values) *http.Response {
		t.Helper()
		res, err := c.PostForm(s.URL+path, form)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	res := post("/login", url.Values{"name": {s.Admin}, "password": {s.Password}})
	if res.Request.URL.Path == "/password" {
		res = post("/password", url.Values{"current": {s.Password}, "password": {password}, "again": {password}})
		s.Password = password
	}
	if res.StatusCode != 200 || res.Request.URL.Path == "/login" || res.Request.URL.Path == "/password" {
		t.Fatalf("sign-in ends at %s with %s", res.Request.URL.Path, res.Status)
	}
	return c
}

type ticket struct {
	URL string `json:"url"`
	Via string `json:"via"`
}

func (e *estate) ticket(t *testing.T, c *http.Client, v server.VM, kind string) ticket {
	t.Helper()
	res, err := c.Post(e.URL+"/vms/"+v.ID+"/console/"+kind, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var tk ticket
	if err := json.NewDecoder(res.Body).Decode(&tk); err != nil || res.StatusCode >= 300 {
		t.Fatalf("no ticket: %s, %v", res.Status, err)
	}
	return tk
}

func (e *estate) dial(ctx context.Context, c *http.Client, tk ticket, origin string) (*websocket.Conn, *http.Response, error) {
	return websocket.Dial(ctx, "ws"+strings.TrimPrefix(e.URL, "http")+tk.URL, &websocket.DialOptions{
		HTTPClient: &http.Client{Jar: c.Jar}, HTTPHeader: http.Header{"Origin": {origin}}, Subprotocols: []string{"binary"},
	})
}

// hears waits until the VM's serial console says something.
func hears(t *testing.T, e *estate, v server.VM, what string) {
	t.Helper()
	c := signIn(t, e.Server)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	ws, _, err := e.dial(ctx, c, e.ticket(t, c, v, "serial"), e.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	ws.SetReadLimit(1 << 20)
	var heard strings.Builder
	for !strings.Contains(heard.String(), what) {
		_, b, err := ws.Read(ctx)
		if err != nil {
			t.Fatalf("the serial console of %s ended before %q: %v; heard:\n%s", v.Name, what, err, heard.String())
		}
		heard.Write(b)
	}
}

func TestSerialConsoleCarriesTheHeartbeatAndTakesKeys(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "heart", e.hosts[0], 0))
	hears(t, e, v, "tick ")

	c := signIn(t, e.Server)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tk := e.ticket(t, c, v, "serial")
	ws, _, err := e.dial(ctx, c, tk, e.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if err := ws.Write(ctx, websocket.MessageBinary, []byte("echo $((6*7))-is-it\n")); err != nil {
		t.Fatal(err)
	}
	var heard strings.Builder
	for !strings.Contains(heard.String(), "42-is-it") {
		_, b, err := ws.Read(ctx)
		if err != nil {
			t.Fatalf("%v; heard:\n%s", err, heard.String())
		}
		heard.Write(b)
	}

	if _, res, err := e.dial(ctx, c, tk, e.URL); err == nil || res == nil || res.StatusCode < 400 {
		t.Error("a ticket works twice")
	}
	if _, res, err := e.dial(ctx, c, e.ticket(t, c, v, "serial"), "http://evil.example"); err == nil || res == nil || res.StatusCode != 403 {
		t.Error("another site's page may open a console")
	}
	stranger := &http.Client{Jar: signedOut(t)}
	if _, _, err := e.dial(ctx, stranger, e.ticket(t, c, v, "serial"), e.URL); err == nil {
		t.Error("a ticket works without the session it was given to")
	}
}

func signedOut(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

// The screen is reached with a password that nobody sees: the browser's end starts at the RFB greeting and needs none.
func TestScreenNeedsNoPasswordInTheBrowser(t *testing.T) {
	e := newEstate(t)
	v := e.create(t, e.guest(t, "screen", e.hosts[0], 0))
	c := signIn(t, e.Server)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tk := e.ticket(t, c, v, "vnc")
	if tk.Via == "" {
		t.Error("the page cannot say how the screen is reached")
	}
	ws, _, err := e.dial(ctx, c, tk, e.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	nc := websocket.NetConn(ctx, ws, websocket.MessageBinary)
	buf := make([]byte, 12)
	read := func(n int) []byte {
		t.Helper()
		got := 0
		for got < n {
			m, err := nc.Read(buf[got:n])
			if err != nil {
				t.Fatal(err)
			}
			got += m
		}
		return buf[:n]
	}
	if s := string(read(12)); !strings.HasPrefix(s, "RFB 003.008") {
		t.Fatalf("greeting %q", s)
	}
	nc.Write([]byte("RFB 003.008\n"))
	if n := read(1)[0]; n != 1 {
		t.Fatalf("%d security types", n)
	}
	if kind := read(1)[0]; kind != 1 {
		t.Fatalf("security type %d, wanted none", kind)
	}
	nc.Write([]byte{1})
	if ok := read(4); ok[3] != 0 {
		t.Fatalf("refused: %v", ok)
	}
	if out := virsh(t, 0, "dumpxml", "screen", "--security-info"); !strings.Contains(out, "passwdValidTo=") {
		t.Error("the guest's screen is open to whoever finds its port")
	}

	res, err := c.Get(e.URL + "/vms/" + v.ID + "/screenshot.png")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "image/png" {
		t.Errorf("screenshot: %s %s", res.Status, res.Header.Get("Content-Type"))
	}
}
