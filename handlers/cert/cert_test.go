package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"novacron/domain"
)

var when = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// write puts a new certificate for a name into two files and gives its key's own mark.
func write(t *testing.T, cert, key, name string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: when.Add(-time.Hour), NotAfter: when.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: kb}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestACertificateIsReadAnewWhenItsFileChanges(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	write(t, cert, key, "one.example")
	now := when
	f, err := Open(cert, key, slog.New(slog.DiscardHandler), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	name := func() string {
		t.Helper()
		pair, err := f.TLS().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.DNSNames[0]
	}
	stamp := func(at time.Time) { // file systems need not tell apart what happens within a tick of their clock
		for _, file := range []string{cert, key} {
			if err := os.Chtimes(file, at, at); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(2 * look)
	}
	if got := name(); got != "one.example" {
		t.Errorf("first %s", got)
	}
	write(t, cert, key, "two.example")
	stamp(when.Add(time.Minute))
	if got := name(); got != "two.example" {
		t.Errorf("after the change %s", got)
	}
	if err := os.WriteFile(key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	stamp(when.Add(2 * time.Minute))
	if got := name(); got != "two.example" {
		t.Errorf("with half a key %s", got)
	}
	write(t, cert, key, "three.example")
	stamp(when.Add(3 * time.Minute))
	if got := name(); got != "three.example" {
		t.Errorf("when it is whole again %s", got)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for _, f := range [][2]string{{"", "k"}, {"c", ""}, {"/does/not", "/exist"}} {
		if _, err := Open(f[0], f[1], slog.New(slog.DiscardHandler), time.Now); !domain.Is(err, domain.Invalid) {
			t.Errorf("%v: %v", f, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, a := range []ACME{{Domains: []string{"*.example.org"}}, {Domains: []string{"localhost"}}, {Domains: []string{"a.example"}, Directory: "http://x"}, {Domains: []string{"a.example"}, CA: empty}, {Domains: []string{"a.example"}, CA: "/no"}} {
		if _, err := a.Open(); !domain.Is(err, domain.Invalid) {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

// authority is an ACME server (RFC 8555) with one order at a time, which checks what it is sent and looks at the challenge itself: http-01, or tls-alpn-01 (RFC 8737).
type authority struct {
	*httptest.Server
	t      *testing.T
	offers string
	nonces map[string]bool // that were given and not used
	jwk    *jose.JSONWebKey
	mu     sync.Mutex
	dial   string // where the server to be judged is
	name   string
	state  string // of the order
	leaf   []byte
	orders int
	key    *ecdsa.PrivateKey
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	nonce := rand.Text()
	a.nonces[nonce] = true
	w.Header().Set("Replay-Nonce", nonce)
	say := func(status int, at string, v any) {
		if at != "" {
			w.Header().Set("Location", a.URL+at)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(v); err != nil {
			a.t.Error(err)
		}
	}
	var payload []byte
	if r.Method == http.MethodPost {
		payload = a.open(r)
	}
	challenge := map[string]any{"type": a.offers, "url": a.URL + "/challenge", "token": "token", "status": "pending"}
	order := map[string]any{"status": a.state, "identifiers": []map[string]string{{"type": "dns", "value": a.name}}, "authorizations": []string{a.URL + "/authz"}, "finalize": a.URL + "/finalize"}
	authz := map[string]any{"status": "pending", "identifier": map[string]string{"type": "dns", "value": a.name}, "challenges": []any{challenge}}
	if a.state != "pending" {
		authz["status"], challenge["status"] = "valid", "valid"
	}
	switch r.URL.Path {
	case "/":
		say(200, "", map[string]any{"newNonce": a.URL + "/nonce", "newAccount": a.URL + "/account", "newOrder": a.URL + "/orders", "revokeCert": a.URL + "/revoke", "keyChange": a.URL + "/key"})
	case "/nonce":
	case "/account":
		say(201, "/account/1", map[string]any{"status": "valid"})
	case "/orders":
		var in struct{ Identifiers []struct{ Value string } }
		if err := json.Unmarshal(payload, &in); err != nil {
			a.t.Error(err)
		}
		a.orders++
		a.name, a.state = in.Identifiers[0].Value, "pending"
		order["status"], order["identifiers"] = a.state, []map[string]string{{"type": "dns", "value": a.name}}
		say(201, "/order", order)
	case "/authz":
		say(200, "", authz)
	case "/challenge":
		judge := a.judge
		if a.offers == "http-01" {
			judge = a.judgeHTTP
		}
		if err := judge(); err != nil {
			a.t.Error("the challenge: ", err)
			a.state = "invalid"
		} else {
			a.state = "ready"
		}
		say(200, "", challenge)
	case "/order":
		if a.state == "valid" {
			order["certificate"] = a.URL + "/certificate"
		}
		say(200, "", order)
	case "/finalize":
		var in struct{ CSR string }
		if err := json.Unmarshal(payload, &in); err != nil {
			a.t.Error(err)
		}
		der, err := base64.RawURLEncoding.DecodeString(in.CSR)
		if err != nil {
			a.t.Error(err)
		}
		req, err := x509.ParseCertificateRequest(der)
		if err != nil {
			a.t.Fatal(err)
		}
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(int64(a.orders)), Subject: pkix.Name{CommonName: a.name}, DNSNames: []string{a.name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
		if a.leaf, err = x509.CreateCertificate(rand.Reader, tmpl, tmpl, req.PublicKey, a.key); err != nil {
			a.t.Error(err)
		}
		a.state = "valid"
		order["status"], order["certificate"] = "valid", a.URL+"/certificate"
		say(200, "/order", order)
	case "/certificate":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		if err := pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: a.leaf}); err != nil {
			a.t.Error(err)
		}
	default:
		a.t.Error("asked for ", r.URL.Path)
		w.WriteHeader(404)
	}
}

// open gives what a request says, when its signature is that of the account's key and its nonce was given and not used before.
func (a *authority) open(r *http.Request) []byte {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	signed, err := jose.ParseSigned(string(text), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		a.t.Error(err)
		return nil
	}
	head := signed.Signatures[0].Protected
	if !a.nonces[head.Nonce] {
		a.t.Errorf("the nonce %q was not given, or it was used before", head.Nonce)
	}
	delete(a.nonces, head.Nonce)
	if at := head.ExtraHeaders["url"]; at != a.URL+r.URL.Path {
		a.t.Errorf("signed for %v and sent to %s", at, r.URL.Path)
	}
	if head.JSONWebKey != nil {
		a.jwk = head.JSONWebKey
	}
	if a.jwk == nil {
		a.t.Error("there is no account yet")
		return nil
	}
	payload, err := signed.Verify(a.jwk)
	if err != nil {
		a.t.Error(r.URL.Path, err)
	}
	return payload
}

// judgeHTTP asks for the challenge's answer on plain HTTP, as an authority does.
func (a *authority) judgeHTTP() error {
	r, err := http.NewRequest(http.MethodGet, "http://"+a.dial+"/.well-known/acme-challenge/token", nil)
	if err != nil {
		return err
	}
	r.Host = a.name
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	print, err := a.jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return err
	}
	if want := "token." + base64.RawURLEncoding.EncodeToString(print); res.StatusCode != http.StatusOK || string(got) != want {
		return fmt.Errorf("%d %q instead of %q", res.StatusCode, got, want)
	}
	return nil
}

// judge asks the server for the certificate of the challenge, as an authority does.
func (a *authority) judge() error {
	conn, err := tls.Dial("tcp", a.dial, &tls.Config{ServerName: a.name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true}) // it is self-signed by the RFC
	if err != nil {
		return err
	}
	defer conn.Close()
	leaf := conn.ConnectionState().PeerCertificates[0]
	if err := leaf.VerifyHostname(a.name); err != nil {
		return err
	}
	for _, x := range leaf.Extensions {
		if x.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) && x.Critical {
			return nil
		}
	}
	return fmt.Errorf("there is no acmeIdentifier in it")
}

// newAuthority starts one, and gives how a server is told of it.
func newAuthority(t *testing.T, offers string) (*authority, ACME) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key, offers: offers, nonces: map[string]bool{}}
	a.Server = httptest.NewTLSServer(a)
	t.Cleanup(a.Close)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a, ACME{Domains: []string{"cloud.example.org"}, Directory: a.URL + "/", CA: ca, Email: "ops@example.org", Dir: filepath.Join(dir, "acme")}
}

// An authority that asks on port 80 is answered there, by what is served with acme-http; everything else there goes to HTTPS.
func TestACertificateComesByPlainHTTP(t *testing.T) {
	a, from := newAuthority(t, "http-01")
	source, err := from.Open()
	if err != nil {
		t.Fatal(err)
	}
	plain := httptest.NewServer(source.Challenges())
	t.Cleanup(plain.Close)
	a.mu.Lock()
	a.dial = plain.Listener.Addr().String()
	a.mu.Unlock()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "served") }))
	srv.TLS = source.TLS()
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	conn, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{ServerName: "cloud.example.org", InsecureSkipVerify: true}) // whom it is from is looked at below
	if err != nil {
		t.Fatal(err)
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	conn.Close()
	if leaf.Subject.CommonName != "cloud.example.org" || leaf.SerialNumber.Int64() != 1 {
		t.Errorf("it answered with %v", leaf.Subject)
	}
	for path, status := range map[string]int{"/.well-known/acme-challenge/token": http.StatusNotFound, "/.well-known/acme-challenge/other": http.StatusNotFound, "/.well-known/acme-challenge/../../acme/acme_account+key": http.StatusNotFound, "/vms": http.StatusFound} {
		rec := httptest.NewRecorder()
		source.Challenges().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "http://cloud.example.org"+path, nil))
		if rec.Code != status {
			t.Errorf("%s afterwards: %d %s", path, rec.Code, rec.Body)
		}
	}
}

func TestACertificateComesFromAnAuthority(t *testing.T) {
	a, from := newAuthority(t, "tls-alpn-01")
	serve := func() string {
		t.Helper()
		source, err := from.Open()
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		a.mu.Lock()
		a.dial = l.Addr().String()
		a.mu.Unlock()
		srv := &http.Server{TLSConfig: source.TLS(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "served") })}
		go srv.ServeTLS(l, "", "")
		t.Cleanup(func() { srv.Close() })
		return l.Addr().String()
	}
	first := serve()
	conn, err := tls.Dial("tcp", first, &tls.Config{ServerName: "cloud.example.org", InsecureSkipVerify: true}) // whom it is from is looked at below
	if err != nil {
		t.Fatal(err)
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	conn.Close()
	if leaf.Subject.CommonName != "cloud.example.org" || leaf.SerialNumber.Int64() != 1 {
		t.Errorf("it answered with %v", leaf.Subject)
	}
	if conn, err := tls.Dial("tcp", first, &tls.Config{ServerName: "other.example.org", InsecureSkipVerify: true}); err == nil {
		conn.Close()
		t.Error("it answers to a name that is not its own")
	}
	again := serve() // after a restart
	if conn, err = tls.Dial("tcp", again, &tls.Config{ServerName: "cloud.example.org", InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if a.mu.Lock(); a.orders != 1 {
		t.Errorf("%d certificates were ordered", a.orders)
	}
	a.mu.Unlock()
	files, err := os.ReadDir(from.Dir)
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if i, err := f.Info(); err != nil || i.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v, %v", f.Name(), i.Mode(), err)
		}
	}

	source, err := from.Open()
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	source.Challenges().ServeHTTP(rec, httptest.NewRequest("GET", "http://cloud.example.org/vms?x=1", nil))
	if to := rec.Header().Get("Location"); rec.Code != http.StatusFound || !strings.HasPrefix(to, "https://cloud.example.org/vms") {
		t.Errorf("plain HTTP: %d to %q", rec.Code, to)
	}
}
