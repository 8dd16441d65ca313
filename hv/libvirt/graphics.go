package libvirt

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
	"novacron/hv/rfb"
)

// passwordLife is how long a one-time password is good for. It is used within a second and expired right after; the second, longer time is for
// hosts whose clock is behind ours.
var passwordLife = []time.Duration{30 * time.Second, 10 * time.Minute}

// vncServer is what a running guest's document says of its screen.
type vncServer struct {
	Type     string `xml:"type,attr"`
	Port     int    `xml:"port,attr"`
	Listen   string `xml:"listen,attr"`
	Socket   string `xml:"socket,attr"`
	Password string `xml:"passwd,attr"`
	ValidTo  string `xml:"passwdValidTo,attr"`
	Listens  []struct {
		Type    string `xml:"type,attr"`
		Address string `xml:"address,attr"`
		Socket  string `xml:"socket,attr"`
	} `xml:"listen"`
}

// findVNC finds the VNC server in a live document.
func findVNC(doc string) (vncServer, bool, error) {
	var d struct {
		Graphics []vncServer `xml:"devices>graphics"`
	}
	if err := xml.Unmarshal([]byte(doc), &d); err != nil {
		return vncServer{}, false, domain.Errorf(domain.Internal, "The VM's definition cannot be read.").WithCause(err)
	}
	for _, g := range d.Graphics {
		if g.Type == "vnc" {
			for _, l := range g.Listens {
				if l.Address != "" {
					g.Listen = l.Address
				}
				if l.Socket != "" {
					g.Socket = l.Socket
				}
			}
			return g, true, nil
		}
	}
	return vncServer{}, false, nil
}

// own reports whether the password in the document is one that its owner set and that still works.
func (g vncServer) own(now time.Time) bool {
	if g.Password == "" {
		return false
	}
	if g.ValidTo == "" {
		return true
	}
	until, err := time.Parse("2006-01-02T15:04:05", g.ValidTo)
	return err == nil && until.After(now.Add(time.Minute))
}

// way is how a screen is reached.
type way struct{ network, addr, via string }

// screenWay chooses the way, or says why there is none.
func (h *host) screenWay(name string, g vncServer) (way, error) {
	port := strconv.Itoa(g.Port)
	loopback := g.Listen == "" || isLoopback(g.Listen)
	anywhere := g.Listen == "0.0.0.0" || g.Listen == "::"
	if g.Socket == "" && g.Port <= 0 {
		return way{}, domain.Errorf(domain.Unsupported, "The screen of %s is not open on a port.", name).WithFix("Set autoport='yes' on its graphics device and start it again.")
	}
	switch h.uri.Transport {
	case "tcp", "tls":
		a := h.address()
		switch {
		case g.Socket != "":
			return way{}, domain.Errorf(domain.Unsupported, "The screen of %s listens on a unix socket of the host, which a %s connection does not reach.", name, h.uri.Transport).
				WithFix("Connect the host by qemu+ssh, or let the VM's VNC server listen on %s.", a)
		case loopback && !isLoopback(a):
			return way{}, domain.Errorf(domain.Unsupported, "The screen of %s listens on the host's loopback interface only, which a %s connection does not reach.", name, h.uri.Transport).
				WithFix("Connect the host by qemu+ssh, or let the VM's VNC server listen on %s and start it again.", a)
		case loopback && g.Listen != "":
			a = g.Listen
		case !anywhere && !loopback:
			a = g.Listen
		}
		addr := net.JoinHostPort(a, port)
		return way{"tcp", addr, "over the network at " + addr}, nil
	}
	via := "on this machine"
	if h.uri.Transport == "ssh" {
		via = "through the SSH connection"
	}
	if g.Socket != "" {
		return way{"unix", g.Socket, via + ", at the VM's unix socket"}, nil
	}
	a := "127.0.0.1"
	if !loopback && !anywhere || g.Listen == "::1" {
		a = g.Listen
	}
	addr := net.JoinHostPort(a, port)
	return way{"tcp", addr, via + ", at " + addr}, nil
}

func isLoopback(addr string) bool {
	ip := net.ParseIP(addr)
	return addr == "localhost" || ip != nil && ip.IsLoopback()
}

func (h *host) Graphics(ctx context.Context, uuid string) (hv.Screen, error) {
	n, doc, err := h.running(ctx, uuid)
	if err != nil {
		return hv.Screen{}, err
	}
	g, ok, err := findVNC(doc)
	if err != nil {
		return hv.Screen{}, err
	}
	if !ok {
		return hv.Screen{}, domain.Errorf(domain.Unsupported, "%s has no screen that can be shown here.", n.Name).WithFix("Add a VNC graphics device to its definition and start it again, or use the serial console.")
	}
	w, err := h.screenWay(n.Name, g)
	if err != nil {
		return hv.Screen{}, err
	}
	if g.own(h.opt.Clock()) {
		return h.connectScreen(ctx, w, func() (string, error) { return g.Password, nil })
	}
	unlock, err := h.screens.lock(ctx, uuid, "show the screen")
	if err != nil {
		return hv.Screen{}, err
	}
	defer unlock()
	var screen hv.Screen
	for _, life := range passwordLife {
		used := false
		screen, err = h.connectScreen(ctx, w, func() (string, error) {
			used = true
			pw := vncPassword()
			return pw, h.setPassword(ctx, n, doc, pw, h.opt.Clock().Add(life))
		})
		if used { // whatever came of it: nobody gets in with it a second time
			if expireErr := h.setPassword(ctx, n, doc, vncPassword(), time.Unix(0, 0)); expireErr != nil && err == nil {
				_ = screen.Conn.Close()
				return hv.Screen{}, expireErr
			}
		}
		if err == nil && used {
			screen.Via += " with a one-time password"
		}
		if _, refused := errors.AsType[*rfb.AuthError](err); !refused {
			return screen, err
		}
	}
	return screen, err
}

// setPassword changes the running server's password; the definition stays as it is.
func (h *host) setPassword(ctx context.Context, n now, doc, password string, until time.Time) error {
	elem, err := domxml.FindGraphics(doc)
	if err != nil {
		return err
	}
	elem, err = domxml.SetGraphicsPassword(elem, password, until)
	if err != nil {
		return err
	}
	return h.do(ctx, "set a one-time password on the screen of "+n.Name, func(l *golibvirt.Libvirt) error {
		return l.DomainUpdateDeviceFlags(n.Domain, elem, golibvirt.DomainDeviceModifyLive)
	})
}

// connectScreen connects, signs in and leaves the connection at the start of a protocol without password.
func (h *host) connectScreen(ctx context.Context, w way, password func() (string, error)) (hv.Screen, error) {
	conn, err := bounded(ctx, "show the screen", func(ctx context.Context, closeOnEnd func(io.Closer)) (net.Conn, error) {
		c, err := h.tr.reach(ctx, w.network, w.addr)
		if err != nil {
			if _, ours := errors.AsType[*domain.Error](err); ours {
				return nil, err
			}
			return nil, domain.Errorf(domain.Unavailable, "The screen at %s cannot be reached.", w.addr).WithFix("Check that no firewall between NovaCron and the host closes the port.").WithCause(err)
		}
		closeOnEnd(c)
		if err := rfb.SignIn(c, password); err != nil {
			_ = c.Close()
			return nil, explainScreen(w, err)
		}
		return c, nil
	})
	if err != nil {
		return hv.Screen{}, err
	}
	return hv.Screen{Conn: rfb.Open(conn), Via: w.via}, nil
}

func explainScreen(w way, err error) error {
	if _, ours := errors.AsType[*domain.Error](err); ours {
		return err
	}
	if e, ok := errors.AsType[*rfb.SecurityError](err); ok {
		return domain.Errorf(domain.Unsupported, "The screen at %s wants a kind of sign-in that is not supported (%v).", w.addr, e.Offered).WithFix("Take VNC's TLS or SASL settings out of qemu.conf on the host.").WithCause(err)
	}
	if e, ok := errors.AsType[*rfb.AuthError](err); ok {
		return domain.Errorf(domain.Unavailable, "The screen at %s did not take the password that was just set: %s.", w.addr, sentence(e.Reason)).WithFix("Check the host's clock; it must not be more than ten minutes behind.").WithCause(err)
	}
	return domain.Errorf(domain.Unavailable, "The screen at %s broke off while it was being opened.", w.addr).WithCause(fmt.Errorf("opening VNC: %w", err))
}
