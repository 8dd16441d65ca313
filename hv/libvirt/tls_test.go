package libvirt

import (
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"testing"

	"novacron/hv/libvirt/libvirttest"
)

// tlsServer is a TLS server that does not look at its clients, for certificates that libvirtd itself would refuse to start with.
func tlsServer(t *testing.T, pki *libvirttest.PKI) string {
	pair, err := tls.X509KeyPair([]byte(pki.ServerCert), []byte(pki.ServerKey))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
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
			go func() { defer c.Close(); io.Copy(io.Discard, c) }()
		}
	}()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
