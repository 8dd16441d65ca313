package syslog

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
)

func open(t *testing.T) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "novacron.db"), slog.New(slog.DiscardHandler), time.Now, db.Unsynced())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func say(t *testing.T, d *db.DB, message string) {
	t.Helper()
	if err := d.Write(t.Context(), func(tx *db.Tx) error {
		return tx.Audit(domain.AuditRecord{Actor: "ann", Action: "vm.created", Message: message, Object: domain.Ref{Kind: "vm", ID: "vm_1", Name: "web"}})
	}); err != nil {
		t.Fatal(err)
	}
}

// runs starts a sender and waits until its targets have been marked, so that what is said after is sent.
func runs(t *testing.T, d *db.DB, targets ...string) (stop func()) {
	t.Helper()
	var parsed []Target
	for _, text := range targets {
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, p)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := New(d, parsed, slog.New(slog.DiscardHandler), time.Now, Options{Host: "nova", Look: time.Millisecond, Retry: 5 * time.Millisecond})
	go func() { ended <- s.Run(ctx) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil
	}
	t.Cleanup(stop)
	until(t, d, func(at []db.AuditTarget) bool { return len(at) == len(targets) })
	return stop
}

func until(t *testing.T, d *db.DB, ok func([]db.AuditTarget) bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 15000 {
		at, err := d.AuditTargets(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if ok(at) {
			return
		}
		<-tick.C
	}
	at, _ := d.AuditTargets(t.Context())
	t.Fatalf("it did not come to it: %+v", at)
}

// framed reads messages that come after their length.
func framed(r *bufio.Reader) (string, error) {
	n, err := r.ReadString(' ')
	if err != nil {
		return "", err
	}
	size, err := strconv.Atoi(strings.TrimSpace(n))
	if err != nil {
		return "", err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(r, b)
	return string(b), err
}

// grammar is RFC 5424's, as far as we use it.
var grammar = regexp.MustCompile(`^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([!-~]{1,255}) novacron - ([!-~]{1,32}) \[novacron@32473( [a-z]+="(?:[^"\\\]]|\\["\\\]])*")+\] \x{feff}(.*)$`)

// receiver takes what comes over each connection and passes it on.
func receiver(t *testing.T, l net.Listener, got chan<- string) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					m, err := framed(r)
					if err != nil {
						return
					}
					got <- m
				}
			}()
		}
	}()
	t.Cleanup(func() { l.Close() })
}

func TestRowsArriveOverEachTransport(t *testing.T) {
	d := open(t)
	say(t, d, "before it was set up")
	got := map[string]chan string{"udp": make(chan string, 100), "tcp": make(chan string, 100), "tls": make(chan string, 100)}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, _, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			got["udp"] <- string(b[:n])
		}
	}()
	plainL, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	receiver(t, plainL, got["tcp"])
	pair, ca := certificate(t)
	secureL, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	receiver(t, secureL, got["tls"])
	runs(t, d, "udp://"+packets.LocalAddr().String(), "tcp://"+plainL.Addr().String(), "tls://"+secureL.Addr().String()+"?ca="+url.QueryEscape(ca))
	nasty := "two\nlines ] \" \\ <1>1 and ümläute"
	say(t, d, nasty)
	for name, from := range got {
		m := <-from
		parts := grammar.FindStringSubmatch(m)
		if parts == nil {
			t.Errorf("%s: not RFC 5424: %q", name, m)
			continue
		}
		if parts[1] != "110" || parts[3] != "nova" || parts[4] != "vm.created" || parts[6] != strings.ReplaceAll(nasty, "\n", " ") || !strings.Contains(m, ` seq="2" actor="ann"`) {
			t.Errorf("%s: %q", name, m)
		}
	}
	until(t, d, func(at []db.AuditTarget) bool {
		return len(at) == 3 && at[0].Sent == 2 && at[1].Sent == 2 && at[2].Sent == 2 && at[0].Error+at[1].Error+at[2].Error == ""
	})
}

func TestWhatCouldNotBeSentIsSentLater(t *testing.T) {
	d := open(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // nobody is there
	stop := runs(t, d, "tcp://"+addr)
	for i := range 3 {
		say(t, d, fmt.Sprint("row ", i))
	}
	until(t, d, func(at []db.AuditTarget) bool { return at[0].Error != "" && at[0].Sent == 0 })
	stop() // and this server is away for a while too
	say(t, d, "row 3")
	if l, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 100)
	receiver(t, l, got)
	runs(t, d, "tcp://"+addr)
	for i := range 4 {
		if m := <-got; !strings.HasSuffix(m, fmt.Sprint("row ", i)) {
			t.Errorf("in the place of row %d came %q", i, m)
		}
	}
	until(t, d, func(at []db.AuditTarget) bool { return at[0].Error == "" && at[0].Sent == 4 })
}

func TestACertificateThatIsNotBelievedGetsNothing(t *testing.T) {
	d := open(t)
	pair, _ := certificate(t)
	_, other := certificate(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	receiver(t, l, got)
	runs(t, d, "tls://"+l.Addr().String()+"?ca="+url.QueryEscape(other))
	say(t, d, "for nobody")
	until(t, d, func(at []db.AuditTarget) bool { return strings.Contains(at[0].Error, "certificate") && at[0].Sent == 0 })
	if len(got) > 0 {
		t.Errorf("it was told %q", <-got)
	}
}

func TestMessagesKeepTheirBounds(t *testing.T) {
	long := domain.AuditRecord{Seq: 1, Action: strings.Repeat("a", 50) + " ö", Outcome: "failed", Message: strings.Repeat("ä", 9000), Before: strings.Repeat("b", 99000), After: "{}"}
	if m := Format(long, "", udpMost); len(m) > udpMost || !grammar.Match(m) {
		t.Errorf("%d bytes: %.200q", len(m), m)
	}
	whole := Format(long, "höst name", 0)
	if !grammar.Match(whole) || !strings.HasPrefix(string(whole), "<107>1 ") || !strings.Contains(string(whole), " h_st_name novacron - "+strings.Repeat("a", 32)+" ") {
		t.Errorf("%.300q", whole)
	}
	if s := plain("a\x1b[2Jb\u0085c\u2028d\xff"); s != "a [2Jb c d�" {
		t.Errorf("%q", s)
	}
}

func TestTargetsAreChecked(t *testing.T) {
	for _, text := range []string{"", "log:514", "http://log", "udp://", "udp://a/b", "tcp://u:p@log", "tcp://log?ca=x", "tls://log?ca=/does/not/exist", "tls://log?cert=/no", "tls://log?x=1"} {
		if _, err := Parse(text); !domain.Is(err, domain.Invalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
	got, err := Parse("tls://[2001:db8::1]")
	if err != nil || got.Address != "[2001:db8::1]:6514" || got.TLS.ServerName != "2001:db8::1" {
		t.Errorf("%+v, %v", got, err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("tls://log?ca=" + file); !domain.Is(err, domain.Invalid) {
		t.Errorf("an empty file of authorities: %v", err)
	}
}

// certificate makes one for 127.0.0.1 that is its own authority.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}
