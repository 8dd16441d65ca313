// Package cert gives the certificate that the server answers HTTPS with: one of its own, read anew when its file changes, or one that an ACME
// authority gives and renews.
//
// It is not for the certificates of hosts (package hv/libvirt) nor for whom the server itself believes.
package cert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"novacron/domain"
)

// look is how often the files are looked at, at most.
const look = time.Second

// File is a certificate and its key in files.
type File struct {
	cert, key string
	log       *slog.Logger
	clock     func() time.Time

	mu     sync.Mutex
	pair   *tls.Certificate
	state  string // what the files looked like when they were read last
	looked time.Time
}

// Open reads a certificate with its chain and its key, both PEM.
func Open(cert, key string, log *slog.Logger, clock func() time.Time) (*File, error) {
	if cert == "" || key == "" {
		return nil, domain.Errorf(domain.Invalid, "TLS needs both a certificate and its key.").WithFix("Set tls-cert and tls-key, or neither.")
	}
	f := &File{cert: cert, key: key, log: log, clock: clock, state: stateOf(cert, key), looked: clock()}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, domain.Errorf(domain.Invalid, "The certificate and its key cannot be used: %w", err).WithFix("Both are PEM files, and the key is not encrypted.")
	}
	f.pair = &pair
	return f, nil
}

func stateOf(files ...string) string {
	var b strings.Builder
	for _, name := range files {
		if i, err := os.Stat(name); err == nil {
			b.WriteString(i.ModTime().Format(time.RFC3339Nano) + " " + i.Mode().String() + " ")
			b.WriteString(domain.FormatBytes(i.Size()) + "\n")
		}
	}
	return b.String()
}

// Get gives the certificate. When the files have changed they are read again; as long as what is there cannot be used, the one before stays.
func (f *File) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	if now.Sub(f.looked) < look && !now.Before(f.looked) {
		return f.pair, nil
	}
	f.looked = now
	state := stateOf(f.cert, f.key)
	if state == f.state {
		return f.pair, nil
	}
	f.state = state // one try for each change: the two files may be written one after the other
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		f.log.Warn("the certificate's files have changed and cannot be used; the one before stays", "error", err)
		return f.pair, nil
	}
	f.pair = &pair
	f.log.Info("the certificate was read anew", "until", until(f.pair))
	return f.pair, nil
}

func until(p *tls.Certificate) string {
	if p.Leaf == nil {
		return ""
	}
	return p.Leaf.NotAfter.UTC().Format(time.RFC3339)
}

// Ends tells when the certificate is no longer good.
func (f *File) Ends() (time.Time, bool) {
	p, err := f.Get(nil)
	if err != nil || p.Leaf == nil {
		return time.Time{}, false
	}
	return p.Leaf.NotAfter, true
}

// TLS is how the server answers with it.
func (f *File) TLS() *tls.Config {
	return &tls.Config{GetCertificate: f.Get, MinVersion: tls.VersionTLS12}
}

// ACME says where certificates come from.
type ACME struct {
	Domains   []string // the names of this server; it gets no certificate for others
	Directory string   // the authority's directory; empty: Let's Encrypt
	CA        string   // file of authorities that the directory's own certificate may be from; empty: the system's
	Email     string   // whom the authority may write to
	Dir       string   // where certificates and keys are kept
}

// Authority gets certificates by ACME, by the challenge tls-alpn-01 on the port that it serves, or by http-01 where Challenges is served on port 80.
type Authority struct{ m autocert.Manager }

// Open checks the settings. Nothing is asked of the authority before the first visitor comes.
func (a ACME) Open() (*Authority, error) {
	bad := func(format string, args ...any) (*Authority, error) {
		return nil, domain.Errorf(domain.Invalid, format, args...).WithFix("Name this server as visitors do, such as cloud.example.org, and see novacron serve --help.")
	}
	for _, d := range a.Domains {
		if d == "" || strings.ContainsAny(d, "*/: ") || !strings.Contains(d, ".") {
			return bad("“%s” in acme-domain is not a name that a certificate can be got for.", d)
		}
	}
	client := &acme.Client{DirectoryURL: a.Directory, UserAgent: "NovaCron"}
	if a.Directory != "" && !strings.HasPrefix(a.Directory, "https://") {
		return bad("“%s” in acme-directory does not begin with https://.", a.Directory)
	}
	if a.CA != "" {
		pem, err := os.ReadFile(a.CA)
		if err != nil {
			return bad("The authorities in acme-ca cannot be read: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return bad("There is no certificate in the file %s.", a.CA)
		}
		client.HTTPClient = &http.Client{Timeout: time.Minute, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	}
	names := slices.Clone(a.Domains)
	return &Authority{autocert.Manager{Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(a.Dir), Client: client, Email: a.Email,
		HostPolicy: func(_ context.Context, host string) error {
			if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, host) }) {
				return nil
			}
			return domain.Errorf(domain.Denied, "This server is not called %s.", host)
		}}}, nil
}

// TLS is how the server answers with the certificates.
func (a *Authority) TLS() *tls.Config {
	c := a.m.TLSConfig()
	c.MinVersion = tls.VersionTLS12
	return c
}

// Challenges answers the authority's challenges on plain HTTP, and sends everybody else to HTTPS.
func (a *Authority) Challenges() http.Handler { return a.m.HTTPHandler(nil) }
