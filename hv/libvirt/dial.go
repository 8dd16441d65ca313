package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
)

// Options are what a dialer needs from outside.
type Options struct {
	Log   *slog.Logger
	Clock func() time.Time
	// HomeDir has .ssh and .pki of the account the server runs as; empty: the process's own.
	HomeDir string
	// DialTimeout bounds a Dial whose context has no deadline; zero: 20 seconds.
	DialTimeout time.Duration
}

type dialer struct{ opt Options }

// NewDialer makes the dialer for real libvirt daemons.
func NewDialer(opt Options) hv.Dialer {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	if opt.DialTimeout == 0 {
		opt.DialTimeout = quick
	}
	return &dialer{opt}
}

// trial records the steps of one attempt.
type trial struct{ steps []domain.ConnectionStep }

func (t *trial) ok(name, format string, args ...any) {
	t.steps = append(t.steps, domain.ConnectionStep{Name: name, OK: true, Msg: fmt.Sprintf(format, args...)})
}

// fail records the failed step and makes the error that goes with it.
func (t *trial) fail(name string, code domain.Code, cause error, fix, format string, args ...any) *domain.Error {
	msg := fmt.Sprintf(format, args...)
	t.steps = append(t.steps, domain.ConnectionStep{Name: name, Msg: msg, Fix: fix})
	e := &domain.Error{Code: code, Msg: msg, Fix: fix, Reasons: []domain.Reason{{Subject: name, Msg: msg}}}
	return e.WithCause(cause)
}

// Names of the steps, in the order they are taken.
const (
	stepURI        = "address"
	stepName       = "name"
	stepRoute      = "route"
	stepTLS        = "tls"
	stepHostKey    = "ssh host key"
	stepSSHKey     = "ssh key"
	stepPermission = "permission"
	stepDaemon     = "daemon"
	stepFacts      = "facts"
)

// transport reaches one host: its daemon, and addresses as the host sees them.
type transport interface {
	// daemon opens a byte stream to the daemon.
	daemon(ctx context.Context, t *trial) (net.Conn, error)
	// reach opens a byte stream to an address on the host (network tcp or unix): where its guests' screens listen.
	reach(ctx context.Context, network, addr string) (net.Conn, error)
}

func (d *dialer) Dial(ctx context.Context, target hv.Target) (hv.Host, []domain.ConnectionStep, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.opt.DialTimeout)
		defer cancel()
	}
	t := &trial{}
	uri, err := domain.ParseHostURI(target.URI)
	if err != nil {
		e := t.fail(stepURI, domain.Invalid, nil, "", "%s", err.Error())
		if de, ok := errors.AsType[*domain.Error](err); ok {
			e.Fields = de.Fields
		}
		return nil, t.steps, e
	}
	tr, err := d.transport(uri, target.Creds, t)
	if err != nil {
		return nil, t.steps, err
	}
	c, err := d.open(ctx, tr, uri, t)
	if err != nil {
		return nil, t.steps, err
	}
	h := &host{conn: c, opt: d.opt, uri: uri, tr: tr, remote: c.w.RemoteAddr()}
	if err := h.greet(ctx, t); err != nil {
		_ = c.w.Close()
		return nil, t.steps, err
	}
	d.opt.Log.Debug("connected to libvirt", "uri", target.URI, "libvirt", h.libVersion)
	return h, t.steps, nil
}

func (d *dialer) transport(uri domain.HostURI, creds domain.HostCredentials, t *trial) (transport, error) {
	switch uri.Transport {
	case "tcp":
		return &tcpTransport{uri: uri}, nil
	case "tls":
		return newTLS(uri, creds, d.home(), t)
	case "ssh":
		return newSSH(uri, creds, d.home(), t)
	}
	return &unixTransport{uri: uri}, nil
}

// daemonURI is the name the daemon opens: the URI without what only concerns the way to it.
func daemonURI(u domain.HostURI) string {
	if name := u.Query.Get("name"); name != "" {
		return name
	}
	return u.Driver + "://" + u.Path
}

// open makes an RPC connection and opens the hypervisor on it.
func (d *dialer) open(ctx context.Context, tr transport, uri domain.HostURI, t *trial) (*conn, error) {
	raw, err := tr.daemon(ctx, t)
	if err != nil {
		return nil, err
	}
	c := newConn(newWire(raw))
	name := daemonURI(uri)
	err = c.do(ctx, "open "+name, func(l *golibvirt.Libvirt) error { return l.ConnectToURI(golibvirt.ConnectURI(name)) })
	if err != nil {
		cause := c.w.ended()
		_ = c.w.Close()
		return nil, explainOpen(t, name, uri, c.w.authKinds(), cause, err)
	}
	return c, nil
}

// explainOpen says why a daemon that was reached did not let us in.
func explainOpen(t *trial, name string, uri domain.HostURI, auth []uint32, cause, err error) error {
	onlySASL := len(auth) > 0
	for _, k := range auth {
		onlySASL = onlySASL && k == authSASL
	}
	switch {
	case onlySASL:
		return t.fail(stepPermission, domain.Invalid, err, "Let libvirtd accept client certificates (auth_tls = \"none\") or use qemu+ssh.",
			"The daemon asks for a SASL user name and password, which NovaCron does not use.")
	case errors.Is(cause, errSilent), domain.Is(err, domain.Unavailable) && cause == nil:
		return t.fail(stepDaemon, domain.Unavailable, err, "Look whether libvirtd on the host is stopped or hangs (systemctl status libvirtd).",
			"The daemon took the connection but did not answer in time.")
	case errors.Is(cause, errNotLibvirt):
		return t.fail(stepDaemon, domain.Invalid, err, "Check the port: libvirtd listens on 16509 for tcp and 16514 for tls.",
			"Something answers there, but it is not a libvirt daemon.")
	case number(err) == 0 && (errors.Is(cause, io.EOF) || errors.Is(cause, net.ErrClosed) || cause != nil):
		fix := "Look into the daemon's log on the host for the reason."
		if uri.Transport == "tcp" {
			fix = "Check the port and the transport: 16509 is tcp, 16514 is tls (qemu+tls). Then look into the daemon's log on the host."
		}
		return t.fail(stepDaemon, domain.Unavailable, err, fix, "The other side closed the connection before it answered.")
	}
	switch domain.CodeOf(err) {
	case domain.Denied:
		return t.fail(stepPermission, domain.Invalid, err, "Connect as root or as a member of the group libvirt on the host, or allow org.libvirt.unix.manage in polkit.",
			"The daemon refuses this account: %s", message(err))
	case domain.Unsupported, domain.Invalid, domain.NotFound:
		return t.fail(stepDaemon, domain.Invalid, err, "Check the path of the URI and that the driver is installed on the host (libvirt-daemon-driver-qemu).",
			"The daemon cannot open %s: %s", name, message(err))
	}
	return t.fail(stepDaemon, domain.Unavailable, err, "Look into the daemon's log on the host for the reason.", "The daemon could not open %s: %s", name, message(err))
}

// message is libvirt's own text where there is one.
func message(err error) string {
	if e, ok := errors.AsType[golibvirt.Error](err); ok {
		return strings.TrimSpace(e.Message)
	}
	return err.Error()
}

// established hands a connection that stands to go-libvirt, which wants to dial by itself.
type established struct{ c net.Conn }

func (e established) Dial() (net.Conn, error) { return e.c, nil }
