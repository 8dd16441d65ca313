// Package syslog sends the audit log to other machines as it grows: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587, octet counting) and TLS (RFC 5425).
//
// The log in the database is the truth and each target has a mark of how far it got, so what could not be sent while a target or this server was
// away is sent later, in order; after a crash a few rows may be sent twice, and the number in each tells. UDP promises nothing to anybody.
//
// It is not for the server's own log, which goes to standard error, nor for events: those have a stream of their own.
package syslog

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"

	"novacron/domain"
)

// Target is where the log is sent to.
type Target struct {
	Name    string // as it was written, without what it may not show
	Network string // udp, tcp or tls
	Address string // host:port
	TLS     *tls.Config
}

// Ports that the protocols are usually on.
var ports = map[string]string{"udp": "514", "tcp": "601", "tls": "6514"}

const targetWant = "udp://log.example:514, tcp://log.example:601 or tls://log.example:6514?ca=/etc/ssl/log-ca.pem"

// Parse reads a target as it is configured. With tls, ca names a file of authorities to believe instead of the system's, and cert and key one's own.
func Parse(text string) (Target, error) {
	bad := func(why string) (Target, error) {
		return Target{}, domain.Errorf(domain.Invalid, "“%s” in audit-syslog %s.", text, why).WithFix("Write for example %s.", targetWant)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return bad("is not an address")
	}
	port, ok := ports[u.Scheme]
	if !ok {
		return bad("begins with something other than udp, tcp or tls")
	}
	if u.User != nil || u.Path != "" && u.Path != "/" || u.Fragment != "" || u.Hostname() == "" {
		return bad("has more in it than a machine and a port")
	}
	if p := u.Port(); p != "" {
		port = p
	}
	t := Target{Name: u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port), Network: u.Scheme, Address: net.JoinHostPort(u.Hostname(), port)}
	q := u.Query()
	for k := range q {
		if u.Scheme != "tls" || k != "ca" && k != "cert" && k != "key" {
			return bad("has the parameter " + k + ", which does not exist")
		}
	}
	if u.Scheme != "tls" {
		return t, nil
	}
	t.TLS = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if ca := q.Get("ca"); ca != "" {
		pem, err := os.ReadFile(ca) // #nosec G304 -- who starts the server names the authorities in audit-syslog
		if err != nil {
			return bad("names authorities that cannot be read: " + err.Error())
		}
		t.TLS.RootCAs = x509.NewCertPool()
		if !t.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return bad("names a file of authorities that has no certificate in it")
		}
	}
	if q.Get("cert") != "" || q.Get("key") != "" {
		pair, err := tls.LoadX509KeyPair(q.Get("cert"), q.Get("key"))
		if err != nil {
			return bad("names a certificate and a key that cannot be used: " + err.Error())
		}
		t.TLS.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
