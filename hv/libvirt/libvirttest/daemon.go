// Package libvirttest starts private libvirt daemons for tests: each in mount, UTS and PID namespaces of its own, with its own configuration,
// state and sockets, so that tests neither see nor touch the machine's daemon and nothing is left when they end.
//
// It is for the tests of hv/libvirt only. It is not the lab: there is no network between its hosts and nothing stays up.
// It needs root, libvirtd and QEMU, and makes guests of type qemu only.
package libvirttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Options say what a daemon offers besides TCP and its unix socket.
type Options struct {
	Name string // host name; empty: "private"
	TLS  *PKI   // also listen for TLS with this server certificate
	Net  bool   // a network namespace of its own, so that networks can be started; only the unix socket is reached then
}

// Daemon is a running private libvirtd.
type Daemon struct {
	Dir     string // holds etc, run, lib, log, cache; lib is the daemon's /var/lib/libvirt
	Socket  string
	TCPPort int
	TLSPort int

	opt Options
	cmd *exec.Cmd
	log bytes.Buffer
	end chan struct{} // closed when the process has been waited for
}

// upTime bounds the start of a daemon on a busy machine.
const upTime = 60 * time.Second

// New starts a daemon that ends with the test.
func New(t testing.TB, opt Options) *Daemon {
	t.Helper()
	d, err := Start(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// Start starts a daemon; Close ends it.
func Start(opt Options) (*Daemon, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("libvirttest: private daemons need root (namespaces)")
	}
	if opt.Name == "" {
		opt.Name = "private"
	}
	dir, err := os.MkdirTemp("", "libvirttest")
	if err != nil {
		return nil, err
	}
	d := &Daemon{Dir: dir, opt: opt, Socket: filepath.Join(dir, "run", "libvirt-sock")}
	if err := errors.Join(d.configure(), d.Launch()); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (d *Daemon) configure() error {
	for _, sub := range []string{"etc/qemu/networks", "etc/nwfilter", "etc/storage", "run", "lib/images", "log", "cache", "pki"} {
		if err := os.MkdirAll(filepath.Join(d.Dir, sub), 0o755); err != nil {
			return err
		}
	}
	var err error
	if d.TCPPort, err = freePort(); err != nil {
		return err
	}
	conf := fmt.Sprintf("listen_tcp = 1\nlisten_addr = \"127.0.0.1\"\ntcp_port = \"%d\"\nauth_tcp = \"none\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n", d.TCPPort) +
		"host_uuid = \"00000000-0000-4000-8000-" + fmt.Sprintf("%012d", d.TCPPort) + "\"\nmin_workers = 4\nlog_outputs = \"2:stderr\"\n"
	if d.opt.TLS == nil {
		conf += "listen_tls = 0\n"
	} else {
		if d.TLSPort, err = freePort(); err != nil {
			return err
		}
		pki := filepath.Join(d.Dir, "pki")
		for name, text := range map[string]string{"ca.pem": d.opt.TLS.CA, "server.pem": d.opt.TLS.ServerCert, "server.key": d.opt.TLS.ServerKey} {
			if err := os.WriteFile(filepath.Join(pki, name), []byte(text), 0o600); err != nil {
				return err
			}
		}
		conf += fmt.Sprintf("listen_tls = 1\ntls_port = \"%d\"\nauth_tls = \"none\"\nkey_file = %q\ncert_file = %q\nca_file = %q\n", d.TLSPort,
			filepath.Join(pki, "server.key"), filepath.Join(pki, "server.pem"), filepath.Join(pki, "ca.pem"))
	}
	first := 20000 + (d.TCPPort*97)%30000 // screens of different test runs keep out of each other's way
	qemu := "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\ncgroup_controllers = []\nnamespaces = []\nremember_owner = 0\nstdio_handler = \"file\"\n" +
		fmt.Sprintf("remote_display_port_min = %d\nremote_display_port_max = %d\nremote_websocket_port_min = %d\nremote_websocket_port_max = %d\n", first, first+90, first+100, first+190)
	return errors.Join(os.WriteFile(filepath.Join(d.Dir, "etc", "libvirtd.conf"), []byte(conf), 0o600), os.WriteFile(filepath.Join(d.Dir, "etc", "qemu.conf"), []byte(qemu), 0o600))
}

// script sets the namespaces up. The shell stays as the first process of the PID namespace, because something has to collect QEMUs that ended.
const script = `set -e
hostname "$2"
mkdir -p /run/libvirt /etc/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
mount --bind "$1/etc" /etc/libvirt
mount --bind "$1/run" /run/libvirt
mount --bind "$1/lib" /var/lib/libvirt
mount --bind "$1/log" /var/log/libvirt
mount --bind "$1/cache" /var/cache/libvirt
if [ -n "$3" ]; then
	umount -l /sys && mount -t sysfs sysfs /sys
	ip link set lo up
fi
libvirtd --listen -p /run/libvirt/libvirtd.pid &
wait $!`

// Launch starts the process (again, after Kill) and waits until it answers.
func (d *Daemon) Launch() error {
	args, own := []string{"--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"}, ""
	if d.opt.Net {
		args, own = append(args, "--net"), "net"
	}
	d.cmd = exec.Command("unshare", append(args, "bash", "-c", script, "bash", d.Dir, d.opt.Name, own)...)
	d.cmd.Stderr = &d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	_ = os.Remove(d.Socket)
	_ = os.Remove(filepath.Join(d.Dir, "run", "libvirtd.pid"))
	if err := d.cmd.Start(); err != nil {
		return err
	}
	end := make(chan struct{})
	d.end = end
	cmd := d.cmd
	go func() { _ = cmd.Wait(); close(end) }()
	ctx, cancel := context.WithTimeout(context.Background(), upTime)
	defer cancel()
	addrs := []string{"unix " + d.Socket}
	if !d.opt.Net {
		addrs = append(addrs, "tcp 127.0.0.1:"+strconv.Itoa(d.TCPPort))
	}
	if d.TLSPort != 0 {
		addrs = append(addrs, "tcp 127.0.0.1:"+strconv.Itoa(d.TLSPort))
	}
	for _, a := range addrs {
		network, addr, _ := strings.Cut(a, " ")
		if err := d.await(ctx, network, addr); err != nil {
			return err
		}
	}
	return nil
}

func (d *Daemon) await(ctx context.Context, network, addr string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial(network, addr); err == nil {
			_ = c.Close()
			return nil
		}
		select {
		case <-d.end:
			return fmt.Errorf("libvirtd ended at its start: %s", d.log.String())
		case <-ctx.Done():
			return fmt.Errorf("libvirtd does not listen on %s after %s", addr, upTime)
		case <-tick.C:
		}
	}
}

// Pid is libvirtd's, as this process sees it; 0 when it does not run.
func (d *Daemon) Pid() int {
	return child(child(d.cmd.Process.Pid, "bash"), "libvirtd")
}

func child(parent int, name string) int {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err != nil {
		return 0
	}
	for _, f := range strings.Fields(string(list)) {
		comm, err := os.ReadFile("/proc/" + f + "/comm")
		if err == nil && strings.TrimSpace(string(comm)) == name {
			pid, _ := strconv.Atoi(f)
			return pid
		}
	}
	return 0
}

// Freeze stops the daemon in its tracks: its sockets stay open and nothing answers. Thaw lets it go on.
func (d *Daemon) Freeze() error { return syscall.Kill(d.Pid(), syscall.SIGSTOP) }

// Thaw ends a Freeze.
func (d *Daemon) Thaw() error { return syscall.Kill(d.Pid(), syscall.SIGCONT) }

// Kill ends the daemon and every guest of it, as a power cut would.
func (d *Daemon) Kill() {
	if d.end == nil {
		return
	}
	_ = d.cmd.Process.Kill()
	<-d.end
}

// Close ends everything and removes the files.
func (d *Daemon) Close() {
	d.Kill()
	_ = os.RemoveAll(d.Dir)
}

// UnixURI, TCPURI and TLSURI reach the QEMU driver, TestURI the test driver (shared state) of this daemon.
func (d *Daemon) UnixURI() string { return "qemu+unix:///system?socket=" + d.Socket }

// TCPURI is the daemon over plain TCP.
func (d *Daemon) TCPURI() string { return fmt.Sprintf("qemu+tcp://127.0.0.1:%d/system", d.TCPPort) }

// TLSURI is the daemon over TLS.
func (d *Daemon) TLSURI() string { return fmt.Sprintf("qemu+tls://127.0.0.1:%d/system", d.TLSPort) }

// TestURI is libvirt's test driver in this daemon.
func (d *Daemon) TestURI() string { return fmt.Sprintf("test+tcp://127.0.0.1:%d/default", d.TCPPort) }

// Image writes a file into the daemon's default pool directory and gives the path as the daemon sees it.
func (d *Daemon) Image(name string, content []byte) (string, error) {
	err := os.WriteFile(filepath.Join(d.Dir, "lib", "images", name), content, 0o600)
	return "/var/lib/libvirt/images/" + name, err
}

// BootSector is a disk whose boot code halts the processor: a guest that costs nothing while it runs.
func BootSector() []byte {
	b := make([]byte, 1<<20)
	copy(b, []byte{0xfa, 0xf4, 0xeb, 0xfd}) // cli; hlt; jump back to hlt
	b[510], b[511] = 0x55, 0xaa
	return b
}
