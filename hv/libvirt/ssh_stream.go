package libvirt

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"novacron/domain"
)

// probeKey is a well-formed key that no host has: known_hosts is asked about it to learn which kinds of key are on file.
var probeKey = ed25519.PublicKey(make([]byte, ed25519.PublicKeySize))

// daemon opens the daemon's socket on the host: by socket forwarding, or where the SSH server forbids that, by a small program there.
func (x *sshTransport) daemon(ctx context.Context, t *trial) (net.Conn, error) {
	client, err := x.dial(ctx, t)
	if err != nil {
		return nil, err
	}
	c, err := x.openSocket(ctx, client, t)
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	return c, nil
}

func (x *sshTransport) openSocket(ctx context.Context, client *ssh.Client, t *trial) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	if x.uri.Path != "/session" {
		for _, path := range socketPaths(x.uri, "") {
			if c, err := client.DialContext(ctx, "unix", path); err == nil {
				t.ok(stepPermission, "%s may use %s on the host, through the SSH connection.", x.user, path)
				return &tunnel{Conn: c, client: client}, nil
			}
		}
	}
	what, err := x.look(client)
	switch {
	case err != nil || what == "":
		return nil, t.fail(stepDaemon, domain.Unavailable, err, "Let the account run commands on the host, or let its SSH server forward unix sockets (AllowStreamLocalForwarding).", "Signed in, but the host runs no command for %s.", x.user)
	case strings.HasPrefix(what, "denied"):
		return nil, t.fail(stepPermission, domain.Invalid, nil, "On the host, add it to the group libvirt (usermod -aG libvirt "+x.user+"), or connect as root.", "%s may not use libvirt's socket %s.", x.user, strings.TrimSpace(what[6:]))
	case what == "absent helper" && x.uri.Path == "/session":
		// An account's own daemon runs only while somebody uses it; libvirt's helper starts it.
	case strings.HasPrefix(what, "absent"):
		return nil, t.fail(stepDaemon, domain.Unavailable, nil, "Install libvirt-daemon-system on the host and start libvirtd, or give the socket's place with ?socket=.", "There is no libvirt daemon on the host: no socket %s.", strings.Join(socketPaths(x.uri, "$XDG_RUNTIME_DIR"), " or "))
	}
	c, err := x.runHelper(client, strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(what, "ok"), "absent helper")))
	if err != nil {
		return nil, t.fail(stepDaemon, domain.Unavailable, err, "Install netcat-openbsd on the host, or let its SSH server forward unix sockets (AllowStreamLocalForwarding).", "Signed in, but the daemon's socket cannot be reached from there.")
	}
	t.ok(stepPermission, "%s may use libvirt on the host, through a helper program there.", x.user)
	return c, nil
}

// look asks the host's shell which socket there is and whether the account may write to it: "ok PATH", "denied PATH",
// "absent", or "absent helper" when libvirt's helper program is there to start a daemon.
func (x *sshTransport) look(client *ssh.Client) (string, error) {
	s, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	var list strings.Builder
	for _, p := range socketPaths(x.uri, "/run/user/UID") {
		list.WriteString(" " + strings.Replace(quote(p), "/run/user/UID", `'"${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"'`, 1))
	}
	out, err := s.Output("sh -c " + quote("for s in"+list.String()+`; do if [ -S "$s" ]; then if [ -w "$s" ]; then echo "ok $s"; else echo "denied $s"; fi; exit 0; fi; done; if command -v virt-ssh-helper >/dev/null 2>&1; then echo absent helper; else echo absent; fi`))
	return strings.TrimSpace(string(out)), err
}

// runHelper connects through a program on the host: libvirt's own helper, or netcat.
func (x *sshTransport) runHelper(client *ssh.Client, socket string) (net.Conn, error) {
	s, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	in, err1 := s.StdinPipe()
	out, err2 := s.StdoutPipe()
	script := "if command -v nc >/dev/null 2>&1; then exec nc -U " + quote(socket) + "; fi"
	if x.uri.Query.Get("socket") == "" { // libvirt's own helper finds the socket by itself; netcat is there on older hosts
		script = "if command -v virt-ssh-helper >/dev/null 2>&1; then exec virt-ssh-helper " + quote(daemonURI(x.uri)) + "; fi; " + script
	}
	if err := errors.Join(err1, err2, s.Start("sh -c "+quote(script))); err != nil {
		_ = s.Close()
		return nil, err
	}
	return &helperConn{client: client, session: s, in: in, out: out}, nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// tunnel is a forwarded stream that takes its SSH connection along when it closes.
type tunnel struct {
	net.Conn
	client *ssh.Client
	once   sync.Once
}

func (c *tunnel) Close() error {
	c.once.Do(func() { _ = c.client.Close() })
	return nil
}

// helperConn is the standard input and output of a program on the host, as a net.Conn.
type helperConn struct {
	client  *ssh.Client
	session *ssh.Session
	in      io.WriteCloser
	out     io.Reader
	once    sync.Once
}

func (c *helperConn) Read(p []byte) (int, error)  { return c.out.Read(p) }
func (c *helperConn) Write(p []byte) (int, error) { return c.in.Write(p) }
func (c *helperConn) Close() error {
	c.once.Do(func() { _ = c.client.Close() })
	return nil
}
func (c *helperConn) LocalAddr() net.Addr  { return c.client.LocalAddr() }
func (c *helperConn) RemoteAddr() net.Addr { return c.client.RemoteAddr() }

// Deadlines are not possible on an SSH channel; whoever needs one closes the connection.
func (c *helperConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (c *helperConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (c *helperConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// reach forwards to an address as the host sees it.
func (x *sshTransport) reach(ctx context.Context, network, addr string) (net.Conn, error) {
	client, err := x.dial(ctx, &trial{})
	if err != nil {
		return nil, err
	}
	c, err := client.DialContext(ctx, network, addr)
	if err != nil {
		_ = client.Close()
		return nil, domain.Errorf(domain.Unavailable, "The SSH connection stands, but %s on the host cannot be reached through it.", addr).
			WithFix("Let the SSH server on the host forward connections (AllowTcpForwarding yes).").WithCause(err)
	}
	return &tunnel{Conn: c, client: client}, nil
}
