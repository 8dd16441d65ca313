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
	return dialSockets(ctx, t, socketPaths(u.uri, runtimeDir()))
}

// dialSockets connects to the first socket that somebody listens on.
func dialSockets(ctx context.Context, t *trial, paths []string) (net.Conn, error) {
	var err error
	var refused []string
	for _, path := range paths {
		var c net.Conn
		if c, err = (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
			t.ok(stepRoute, "The socket %s takes connections.", path)
			return c, nil
		}
		// A socket file without a listener is what a daemon leaves that was replaced by the modular ones: the next may answer.
		if errors.Is(err, syscall.ECONNREFUSED) {
			refused = append(refused, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, explainSocket(t, path, err)
		}
	}
	if len(refused) > 0 {
		return nil, explainSocket(t, strings.Join(refused, " or "), syscall.ECONNREFUSED)
	}
	return nil, explainSocket(t, strings.Join(paths, " or "), err)
}

// runtimeDir is where this account's own daemons have their sockets; libvirt falls back to the cache directory as well.
func runtimeDir() string {
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return d
	}
	if d, err := os.UserCacheDir(); err == nil {
		return d
	}
	return "/nonexistent"
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
