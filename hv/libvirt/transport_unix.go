package libvirt

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"novacron/domain"
)

// unixTransport reaches a daemon on this machine.
type unixTransport struct{ uri domain.HostURI }

// socketPaths lists where the daemon's socket may be: the monolithic daemon first, then the modular one.
func socketPaths(uri domain.HostURI, runtimeDir string) []string {
	if s := uri.Query.Get("socket"); s != "" {
		return []string{s}
	}
	dir := "/run/libvirt"
	if uri.Path == "/session" {
		dir = filepath.Join(runtimeDir, "libvirt")
	}
	paths := []string{filepath.Join(dir, "libvirt-sock")}
	if uri.Driver == "qemu" {
		paths = append(paths, filepath.Join(dir, "virtqemud-sock"))
	}
	return paths
}

func (u *unixTransport) daemon(ctx context.Context, t *trial) (net.Conn, error) {
	paths := socketPaths(u.uri, os.Getenv("XDG_RUNTIME_DIR"))
	var err error
	for _, path := range paths {
		var c net.Conn
		if c, err = (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
			t.ok(stepRoute, "The socket %s takes connections.", path)
			return c, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, explainSocket(t, path, err)
		}
	}
	return nil, explainSocket(t, strings.Join(paths, " or "), err)
}

func explainSocket(t *trial, path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t.fail(stepDaemon, domain.Unavailable, err, "Install libvirt-daemon-system and start libvirtd, or give the socket's place with ?socket=.",
			"There is no libvirt daemon on this machine: no socket %s.", path)
	case errors.Is(err, fs.ErrPermission):
		return t.fail(stepPermission, domain.Invalid, err, "Add the account that NovaCron runs as to the group libvirt and start NovaCron again.",
			"The socket %s may not be used by this account.", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return t.fail(stepDaemon, domain.Unavailable, err, "Start libvirtd (systemctl start libvirtd).", "The libvirt daemon does not run: nobody listens on %s.", path)
	}
	return t.fail(stepRoute, domain.Unavailable, err, "Look at the socket on this machine.", "The socket %s could not be connected to.", path)
}

func (u *unixTransport) reach(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}
