package libvirt

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"novacron/domain"
)

// tlsTransport reaches a daemon over TLS with certificates on both sides.
type tlsTransport struct {
	uri     domain.HostURI
	conf    *tls.Config
	haveKey bool
}

// pkiFiles are the three files that libvirt's clients use.
type pkiFiles struct{ ca, cert, key string }

// pkiPlaces lists where they may be, libvirt's own order: ?pkipath, the account's directory, the machine's.
func pkiPlaces(uri domain.HostURI, home string) []pkiFiles {
	in := func(dir string) pkiFiles {
		return pkiFiles{filepath.Join(dir, "cacert.pem"), filepath.Join(dir, "clientcert.pem"), filepath.Join(dir, "clientkey.pem")}
	}
	if p := uri.Query.Get("pkipath"); p != "" {
		return []pkiFiles{in(p)}
	}
	return []pkiFiles{in(filepath.Join(home, ".pki", "libvirt")), {"/etc/pki/CA/cacert.pem", "/etc/pki/libvirt/clientcert.pem", "/etc/pki/libvirt/private/clientkey.pem"}}
}

func newTLS(uri domain.HostURI, creds domain.HostCredentials, home string, t *trial) (transport, error) {
	ca, cert, key := []byte(creds.CACert), []byte(creds.ClientCert), []byte(creds.ClientKey)
	for _, f := range pkiPlaces(uri, home) {
		if err := readMissing(&ca, f.ca); err != nil {
			return nil, t.fail(stepTLS, domain.Invalid, err, "Make the file readable for the account NovaCron runs as, or paste the certificates.", "%s cannot be read.", f.ca)
		}
		if len(cert) == 0 && len(key) == 0 {
			if err := errors.Join(readMissing(&cert, f.cert), readMissing(&key, f.key)); err != nil {
				return nil, t.fail(stepTLS, domain.Invalid, err, "Make the files readable for the account NovaCron runs as, or paste the certificates.", "%s or %s cannot be read.", f.cert, f.key)
			}
		}
	}
	// #nosec G402 -- only where the host's address says no_verify; the steps of connecting and the compliance page name it then
	x := &tlsTransport{uri: uri, conf: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: uri.Host, InsecureSkipVerify: noVerify(uri)}}
	if len(ca) == 0 && !noVerify(uri) {
		return nil, t.fail(stepTLS, domain.Invalid, nil, "Paste the CA's certificate that signed the host's, or put it at /etc/pki/CA/cacert.pem.", "There is no CA certificate to check the host with.")
	}
	if len(ca) > 0 {
		x.conf.RootCAs = x509.NewCertPool()
		if !x.conf.RootCAs.AppendCertsFromPEM(ca) {
			return nil, badCred(t, stepTLS, "ca_cert", "The CA certificate is not a certificate in PEM form.", "text that starts with -----BEGIN CERTIFICATE-----", nil)
		}
	}
	switch {
	case len(cert) == 0 && len(key) == 0:
	case len(cert) == 0:
		return nil, badCred(t, stepTLS, "client_cert", "There is a client key but no client certificate.", "the certificate that belongs to the key", nil)
	case len(key) == 0:
		return nil, badCred(t, stepTLS, "client_key", "There is a client certificate but no client key.", "the private key that belongs to the certificate", nil)
	default:
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, badCred(t, stepTLS, "client_key", "The client certificate and key do not belong together, or are not in PEM form.", "a certificate and its own, unencrypted private key", err)
		}
		x.conf.Certificates, x.haveKey = []tls.Certificate{pair}, true
	}
	return x, nil
}

// badCred is a failed step that is the fault of one field of the credentials.
func badCred(t *trial, step, field, msg, want string, cause error) *domain.Error {
	e := t.fail(step, domain.Invalid, cause, "Give "+want+".", "%s", msg)
	e.Fields = []domain.FieldError{{Field: "creds." + field, Msg: msg, Want: want}}
	return e
}

// readMissing fills dst from the file when it is empty and the file exists.
func readMissing(dst *[]byte, path string) error {
	if len(*dst) > 0 {
		return nil
	}
	b, err := os.ReadFile(path) // #nosec G304 -- libvirt's fixed names, in its own places or where who may add hosts says
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	*dst = b
	return err
}

func noVerify(uri domain.HostURI) bool {
	v := uri.Query.Get("no_verify")
	return v != "" && v != "0"
}

func (x *tlsTransport) daemon(ctx context.Context, t *trial) (net.Conn, error) {
	raw, err := dialHost(ctx, t, x.uri.Host, cmp.Or(x.uri.Port, "16514"), "Let libvirtd listen for TLS (libvirtd-tls.socket, with certificates in /etc/pki/libvirt), and check the port.")
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, x.conf)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, x.explain(t, err)
	}
	// With TLS 1.3 our certificate is judged after the handshake, and libvirtd then sends one byte of 1 when it accepts us.
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	var verdict [1]byte
	_, err = io.ReadFull(c, verdict[:])
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil || verdict[0] != 1 {
		_ = c.Close()
		return nil, x.refused(t, err)
	}
	name := x.uri.Host
	if certs := c.ConnectionState().PeerCertificates; len(certs) > 0 && certs[0].Subject.CommonName != "" {
		name = certs[0].Subject.CommonName
	}
	if noVerify(x.uri) {
		t.ok(stepTLS, "Encrypted; the host's certificate (%s) is NOT checked, as no_verify asks.", name)
	} else {
		t.ok(stepTLS, "Encrypted; the host's certificate (%s) and ours were accepted.", name)
	}
	return c, nil
}

// explain says why the handshake failed.
func (x *tlsTransport) explain(t *trial, err error) error {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return t.fail(stepTLS, domain.Invalid, err, "Give the certificate of the CA that signed the host's certificate.", "The host's certificate is signed by an authority that is not the given CA.")
	}
	if wrong, ok := errors.AsType[x509.HostnameError](err); ok {
		return t.fail(stepTLS, domain.Invalid, err, "Use the name that stands in the host's certificate in the URI, or make a certificate with this name as a subject alternative name.",
			"The host's certificate is not for %s (%s).", x.uri.Host, wrong.Error())
	}
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if bad.Reason == x509.Expired {
			return t.fail(stepTLS, domain.Invalid, err, "Renew the host's certificate, and check both clocks.", "The host's certificate has expired or is not valid yet.")
		}
		return t.fail(stepTLS, domain.Invalid, err, "Make a new certificate for the host.", "The host's certificate is not valid: %s.", bad.Error())
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return t.fail(stepTLS, domain.Invalid, err, "Check the port: libvirtd listens for tls on 16514.", "What answers there does not speak TLS.")
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return x.refused(t, err)
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return t.fail(stepTLS, domain.Unavailable, err, "Look whether libvirtd on the host is stopped or hangs, and check the port.", "The host took the connection but did not answer in time.")
	}
	return t.fail(stepTLS, domain.Unavailable, err, "Check the port and the daemon's log on the host.", "The TLS handshake failed.")
}

// refused is the host not accepting our certificate.
func (x *tlsTransport) refused(t *trial, err error) error {
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return t.fail(stepTLS, domain.Unavailable, err, "Look whether libvirtd on the host is stopped or hangs.", "The host did not answer in time.")
	}
	if !x.haveKey {
		return t.fail(stepTLS, domain.Invalid, err, "Give a client certificate and key that the host's CA has signed.", "The host asks for a client certificate, and there is none.")
	}
	return t.fail(stepTLS, domain.Invalid, err, "Give a client certificate signed by the CA in the host's /etc/pki/CA/cacert.pem, and check tls_allowed_dn_list there.", "The host does not accept our client certificate.")
}

func (x *tlsTransport) reach(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}
