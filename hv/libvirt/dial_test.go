package libvirt

import (
	"io"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/libvirttest"
)

func TestDialUnixTCPAndTestDriver(t *testing.T) {
	d := daemon(t)
	for uri, driver := range map[string]string{
		d.UnixURI(): "QEMU", d.TCPURI(): "QEMU", d.TestURI(): "TEST",
		"test+unix:///default?socket=" + d.Socket: "TEST",
	} {
		h := dialURI(t, uri)
		f := named(t, h)
		if f.Driver != driver || f.Hostname != "tester" || f.CPUs == 0 || f.MemoryBytes == 0 || f.LibvirtVersion == "0.0.0" || f.Arch == "" {
			t.Errorf("%s: facts %+v", uri, f)
		}
		if err := h.Ping(ctxFor(t, time.Minute)); err != nil {
			t.Error(err)
		}
		t.Logf("%s: %+v", uri, f)
	}
}

// named gives the facts with the host's name, which a busy host tells later than the rest.
func named(t *testing.T, h hv.Host) domain.HostFacts {
	t.Helper()
	ctx := ctxFor(t, time.Minute)
	for {
		f, err := h.Facts(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if f.Hostname != "" {
			return f
		}
	}
}

func TestDialFailuresSayWhichStepAndWhatToDo(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closedPort := strconv.Itoa(closed.Addr().(*net.TCPAddr).Port)
	closed.Close()
	web := serve(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nServer: something else entirely\r\n\r\n")
		io.Copy(io.Discard, c)
	})
	mute := serve(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	rude := serve(t, func(c net.Conn) {})
	d := daemon(t)
	for _, c := range []struct {
		name, uri, step string
		code            domain.Code
		words           []string
	}{
		{"bad URI", "xen:///system", stepURI, domain.Invalid, []string{"xen"}},
		{"no such name", "qemu+tcp://no-such-host.invalid/system", stepName, domain.Invalid, []string{"no-such-host.invalid"}},
		{"closed port", "qemu+tcp://127.0.0.1:" + closedPort + "/system", stepRoute, domain.Unavailable, []string{"refuses", "listen_tcp"}},
		{"not libvirt", "qemu+tcp://127.0.0.1:" + web + "/system", stepDaemon, domain.Invalid, []string{"not a libvirt daemon", "16509"}},
		{"mute", "qemu+tcp://127.0.0.1:" + mute + "/system", stepDaemon, domain.Unavailable, []string{"did not answer in time"}},
		{"closes at once", "qemu+tcp://127.0.0.1:" + rude + "/system", stepDaemon, domain.Unavailable, []string{"closed the connection"}},
		{"no socket", "qemu+unix:///system?socket=" + filepath.Join(t.TempDir(), "none"), stepDaemon, domain.Unavailable, []string{"no socket", "libvirt-daemon-system"}},
		{"no such driver path", "test+tcp://127.0.0.1:" + strconv.Itoa(d.TCPPort) + "/no/such/file.xml", stepDaemon, domain.Invalid, []string{"Check the path"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, steps, err := newTestDialer(t).Dial(ctxFor(t, 2*time.Second), hv.Target{URI: c.uri})
			if err == nil {
				h.Close()
			}
			wantStep(t, steps, err, c.step, c.code, c.words...)
			t.Log(steps)
		})
	}
}

// serve accepts connections on loopback until the test ends, and gives the port.
func serve(t *testing.T, fn func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); fn(c) }()
		}
	}()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func TestDialTLS(t *testing.T) {
	pki := libvirttest.NewPKI(t, time.Now().Add(-time.Hour))
	other := libvirttest.NewPKI(t, time.Now().Add(-time.Hour))
	d := libvirttest.New(t, libvirttest.Options{TLS: pki})
	good := domain.HostCredentials{CACert: pki.CA, ClientCert: pki.ClientCert, ClientKey: pki.ClientKey}

	h := dialTarget(t, hv.Target{URI: d.TLSURI(), Creds: good})
	if err := h.Ping(ctxFor(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	h = dialTarget(t, hv.Target{URI: d.TLSURI() + "?no_verify=1", Creds: domain.HostCredentials{ClientCert: pki.ClientCert, ClientKey: pki.ClientKey}})
	if err := h.Ping(ctxFor(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}

	mixed := good
	mixed.ClientKey = other.ClientKey
	for _, c := range []struct {
		name, uri string
		creds     domain.HostCredentials
		step      string
		code      domain.Code
		words     []string
	}{
		{"unknown authority", d.TLSURI(), domain.HostCredentials{CACert: other.CA, ClientCert: pki.ClientCert, ClientKey: pki.ClientKey}, stepTLS, domain.Invalid, []string{"authority"}},
		{"client of another CA", d.TLSURI(), domain.HostCredentials{CACert: pki.CA, ClientCert: other.ClientCert, ClientKey: other.ClientKey}, stepTLS, domain.Invalid, []string{"does not accept our client certificate"}},
		{"no client certificate", d.TLSURI(), domain.HostCredentials{CACert: pki.CA}, stepTLS, domain.Invalid, []string{"client certificate"}},
		{"key of another certificate", d.TLSURI(), mixed, stepTLS, domain.Invalid, []string{"do not belong together"}},
		{"CA that is none", d.TLSURI(), domain.HostCredentials{CACert: "hello"}, stepTLS, domain.Invalid, []string{"not a certificate"}},
		{"certificate without key", d.TLSURI(), domain.HostCredentials{CACert: pki.CA, ClientCert: pki.ClientCert}, stepTLS, domain.Invalid, []string{"no client key"}},
		{"no CA", d.TLSURI(), domain.HostCredentials{}, stepTLS, domain.Invalid, []string{"no CA certificate"}},
		{"not TLS", "qemu+tls://127.0.0.1:" + strconv.Itoa(d.TCPPort) + "/system", good, stepTLS, domain.Unavailable, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, steps, err := newTestDialer(t).Dial(ctxFor(t, 10*time.Second), hv.Target{URI: c.uri + "", Creds: c.creds})
			if err == nil {
				h.Close()
			}
			wantStep(t, steps, err, c.step, c.code, c.words...)
			t.Log(steps)
		})
	}
}

func TestDialTLSChecksNameAndDate(t *testing.T) {
	wrongName := libvirttest.NewPKI(t, time.Now().Add(-time.Hour), "elsewhere.example")
	old := libvirttest.NewPKI(t, time.Now().Add(-48*time.Hour))
	for _, c := range []struct {
		name, words string
		pki         *libvirttest.PKI
	}{{"name", "not for 127.0.0.1", wrongName}, {"date", "expired", old}} {
		t.Run(c.name, func(t *testing.T) {
			port := tlsServer(t, c.pki)
			_, steps, err := newTestDialer(t).Dial(ctxFor(t, 10*time.Second), hv.Target{URI: "qemu+tls://127.0.0.1:" + port + "/system", Creds: domain.HostCredentials{CACert: c.pki.CA, ClientCert: c.pki.ClientCert, ClientKey: c.pki.ClientKey}})
			wantStep(t, steps, err, stepTLS, domain.Invalid, c.words)
		})
	}
}

func TestFrozenDaemonIsUnavailableWithinTheDeadline(t *testing.T) {
	d := libvirttest.New(t, libvirttest.Options{})
	h := dialURI(t, d.TCPURI())
	idle := dialURI(t, d.TCPURI())
	if err := d.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Thaw() })
	start := time.Now()
	err := h.Ping(ctxFor(t, 500*time.Millisecond))
	if !domain.Is(err, domain.Unavailable) || time.Since(start) > 30*time.Second {
		t.Fatalf("ping of a frozen daemon: %v after %s", err, time.Since(start))
	}
	if err := h.Ping(ctxFor(t, 10*time.Second)); !domain.Is(err, domain.Unavailable) {
		t.Fatalf("a connection that was given up answers %v", err)
	}
	// Many waiting calls all come back, also those that never got a slot.
	errs := make(chan error, 20)
	ctx := ctxFor(t, 500*time.Millisecond)
	for range cap(errs) {
		go func() { _, err := idle.Guests(ctx); errs <- err }()
	}
	for range cap(errs) {
		if err := <-errs; !domain.Is(err, domain.Unavailable) {
			t.Errorf("guests of a frozen daemon: %v", err)
		}
	}
	_, steps, err := newTestDialer(t).Dial(ctxFor(t, 500*time.Millisecond), hv.Target{URI: d.TCPURI()})
	wantStep(t, steps, err, stepDaemon, domain.Unavailable, "did not answer in time")
}

func TestEventsEndWithTheConnection(t *testing.T) {
	d := libvirttest.New(t, libvirttest.Options{})
	h := dialURI(t, d.UnixURI())
	done, err := h.Events(t.Context(), func(hv.Event) {})
	if err != nil {
		t.Fatal(err)
	}
	d.Kill()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the event stream did not end with its daemon")
	}
	if err := h.Ping(ctxFor(t, time.Second)); !domain.Is(err, domain.Unavailable) {
		t.Errorf("ping: %v", err)
	}
	if err := d.Launch(); err != nil {
		t.Fatal(err)
	}
	again := dialURI(t, d.UnixURI())
	if err := again.Ping(ctxFor(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
}
