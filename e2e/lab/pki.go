package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// PKI is a certificate authority of the lab's own and what it signed. The paths are PEM files.
type PKI struct {
	Dir        string // for virsh: qemu+tls://…/system?pkipath=Dir
	CA         string
	ClientCert string
	ClientKey  string
	// OtherCA did not sign the hosts' certificates, OtherCert and OtherKey are of its making: for the refusals.
	OtherCA, OtherCert, OtherKey string

	serverCert, serverKey string
	qemuDir               string // the names QEMU looks for
}

func newPKI(dir string, hosts []*Host) (*PKI, error) {
	other := filepath.Join(dir, "other")
	p := &PKI{
		Dir: dir, qemuDir: filepath.Join(dir, "qemu"),
		CA: filepath.Join(dir, "cacert.pem"), ClientCert: filepath.Join(dir, "clientcert.pem"), ClientKey: filepath.Join(dir, "clientkey.pem"),
		OtherCA: filepath.Join(other, "cacert.pem"), OtherCert: filepath.Join(other, "clientcert.pem"), OtherKey: filepath.Join(other, "clientkey.pem"),
		serverCert: filepath.Join(dir, "servercert.pem"), serverKey: filepath.Join(dir, "serverkey.pem"),
	}
	for _, d := range []string{dir, other, p.qemuDir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	ca, err := newAuthority("lab ca", p.CA)
	if err != nil {
		return nil, err
	}
	if err := ca.issue("lab hosts", hosts, x509.ExtKeyUsageServerAuth, p.serverCert, p.serverKey); err != nil {
		return nil, err
	}
	if err := ca.issue("lab client", hosts, x509.ExtKeyUsageClientAuth, p.ClientCert, p.ClientKey); err != nil {
		return nil, err
	}
	stranger, err := newAuthority("another ca", p.OtherCA)
	if err != nil {
		return nil, err
	}
	if err := stranger.issue("a stranger", nil, x509.ExtKeyUsageClientAuth, p.OtherCert, p.OtherKey); err != nil {
		return nil, err
	}
	var errs []error
	for name, to := range map[string]string{
		"ca-cert.pem": p.CA, "server-cert.pem": p.serverCert, "server-key.pem": p.serverKey,
		"client-cert.pem": p.ClientCert, "client-key.pem": p.ClientKey,
	} {
		errs = append(errs, os.Symlink(to, filepath.Join(p.qemuDir, name)))
	}
	return p, errors.Join(errs...)
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(name, file string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t, err := template(name)
	if err != nil {
		return nil, err
	}
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, writePEM(file, "CERTIFICATE", der, 0o644)
}

func (a *authority) issue(name string, hosts []*Host, usage x509.ExtKeyUsage, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t, err := template(name)
	if err != nil {
		return err
	}
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment, []x509.ExtKeyUsage{usage}
	for _, h := range hosts {
		t.DNSNames = append(t.DNSNames, h.Name)
		t.IPAddresses = append(t.IPAddresses, net.ParseIP(h.Addr))
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(writePEM(certFile, "CERTIFICATE", der, 0o644), writePEM(keyFile, "PRIVATE KEY", raw, 0o600))
}

func template(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		// A lab may run on machines whose clocks differ a little.
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * 24 * time.Hour),
	}, nil
}

func writePEM(file, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
