package libvirt

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strings"
	"syscall"

	"novacron/domain"
)

// tcpTransport reaches a daemon over plain TCP: for private networks and the lab.
type tcpTransport struct{ uri domain.HostURI }

func (x *tcpTransport) daemon(ctx context.Context, t *trial) (net.Conn, error) {
	return dialHost(ctx, t, x.uri.Host, cmp.Or(x.uri.Port, "16509"), "Let libvirtd listen for TCP (listen_tcp = 1 and libvirtd-tcp.socket), and check the port.")
}

func (x *tcpTransport) reach(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// dialHost resolves and connects, one step each. listening is what to do when the port is closed.
func dialHost(ctx context.Context, t *trial, host, port, listening string) (net.Conn, error) {
	var addrs []string
	if ip := net.ParseIP(host); ip != nil {
		addrs = []string{host}
	} else {
		found, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
				return nil, t.fail(stepName, domain.Invalid, err, "Correct the name in the URI, or add it to DNS or /etc/hosts of the machine NovaCron runs on.", "There is no host called %s.", host)
			}
			return nil, t.fail(stepName, domain.Unavailable, err, "Look whether the name server of the machine NovaCron runs on answers.", "The name %s could not be looked up.", host)
		}
		t.ok(stepName, "%s is %s.", host, strings.Join(found, ", "))
		addrs = found
	}
	var err error
	for _, a := range addrs {
		addr := net.JoinHostPort(a, port)
		var c net.Conn
		if c, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr); err == nil {
			t.ok(stepRoute, "%s takes connections.", addr)
			return c, nil
		}
	}
	to := net.JoinHostPort(host, port)
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, t.fail(stepRoute, domain.Unavailable, err, listening, "%s refuses connections: nothing listens there.", to)
	case errors.Is(err, context.Canceled):
		return nil, t.fail(stepRoute, domain.Unavailable, err, "", "The attempt was given up.")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return nil, t.fail(stepRoute, domain.Unavailable, err, "Check that the host is up and that no firewall on the way drops the port.", "%s did not answer in time.", to)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return nil, t.fail(stepRoute, domain.Unavailable, err, "Check that the host is up, its address, and the routes between.", "There is no way to %s.", to)
	}
	return nil, t.fail(stepRoute, domain.Unavailable, err, "Check the host's address and that it is up.", "%s could not be connected to.", to)
}
