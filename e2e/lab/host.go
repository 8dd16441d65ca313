package lab

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed host_init.sh
var hostInit string

// Host is one libvirt host: a machine, as far as anything on it or outside it can tell.
type Host struct {
	Name   string
	Addr   string
	UUID   string // host_uuid in libvirtd.conf, which libvirt reports as the machine's own
	URI    string // plain TCP; always there
	TLSURI string // with Options.TLS
	SSHURI string // with Options.SSH: the login only; key and known_hosts are in Lab.SSH
	Dir    string // etc, lib, log, cache: what the host has at /etc/libvirt, /var/lib/libvirt and so on

	lab   *Lab
	index int

	mu   sync.Mutex
	init *initProcess
}

func newHost(l *Lab, i int) *Host {
	h := &Host{lab: l, index: i + 1, Name: l.claim.name(i + 1), Addr: l.claim.addr(11 + i), UUID: l.claim.uuid(i + 1)}
	h.Dir = filepath.Join(l.Dir, h.Name)
	h.URI = fmt.Sprintf("qemu+tcp://%s/system", h.Addr)
	if l.opts.TLS {
		h.TLSURI = fmt.Sprintf("qemu+tls://%s/system", h.Addr)
	}
	if l.opts.SSH {
		h.SSHURI = fmt.Sprintf("qemu+ssh://root@%s/system", h.Addr)
	}
	return h
}

// PID is the host's process 1 as this machine numbers it; 0 while the host is off.
func (h *Host) PID() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.init.pid()
}

// Namespace is the path of the host's network namespace, for nsenter --net= and the like; "" while the host is off.
func (h *Host) Namespace() string {
	if pid := h.PID(); pid != 0 {
		return fmt.Sprintf("/proc/%d/ns/net", pid)
	}
	return ""
}

// Start boots the host and returns when its libvirtd answers. What the host had on disk before is there again; guests that
// ran when it was killed are shut off, as after a power cut.
func (h *Host) Start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.init.pid() != 0 {
		return fmt.Errorf("lab: %s runs already", h.Name)
	}
	if err := h.configure(); err != nil {
		return err
	}
	known, err := capabilitiesDir(h.lab.opts.KVM)
	if err != nil {
		return err
	}
	env := append(h.environment(), "LAB_CAPABILITIES="+known)
	proc, err := startInit(hostInit, filepath.Join(h.Dir, "init.log"), syscall.CLONE_NEWNET, env...)
	if err != nil {
		return err
	}
	if err := h.plug(ctx, proc); err != nil {
		return errors.Join(fmt.Errorf("lab: start %s: %w", h.Name, err), proc.kill())
	}
	h.init = proc
	return nil
}

func (h *Host) plug(ctx context.Context, proc *initProcess) error {
	link, pid := h.lab.claim.link(h.index), strconv.Itoa(proc.pid())
	// A link of the host's former life may still be on its way out with its namespace.
	if _, err := os.Stat("/sys/class/net/" + link); err == nil {
		if _, err := run(ctx, "ip", "link", "del", link); err != nil && !strings.Contains(err.Error(), "Cannot find device") {
			return err
		}
	}
	if _, err := run(ctx, "ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pid); err != nil {
		return err
	}
	if _, err := run(ctx, "ip", "link", "set", link, "master", h.lab.claim.bridge(), "up"); err != nil {
		return err
	}
	if err := proc.tell("network"); err != nil {
		return err
	}
	return proc.answers(ctx, h.Addr+":16509", "qemu:///system")
}

// Kill is a power cut: everything on the host ends at once and its link goes down.
func (h *Host) Kill() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.init.kill()
	h.init = nil
	return err
}

// Restart is a power cut and a boot.
func (h *Host) Restart(ctx context.Context) error {
	if err := h.Kill(); err != nil {
		return err
	}
	return h.Start(ctx)
}

// KillDaemon ends libvirtd alone, as a crash would. Guests go on.
func (h *Host) KillDaemon(ctx context.Context) error {
	_, err := h.Exec(ctx, "sh", "-c", `p=$(cat /run/libvirt/libvirtd.pid) && kill -9 $p && while kill -0 $p 2>/dev/null; do sleep 0.02; done`)
	return err
}

// StartDaemon starts libvirtd again after KillDaemon and returns when it answers.
func (h *Host) StartDaemon(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.init.pid() == 0 {
		return fmt.Errorf("lab: %s is off", h.Name)
	}
	if err := h.init.tell("daemon"); err != nil {
		return err
	}
	return h.init.answers(ctx, h.Addr+":16509", "qemu:///system")
}

// Stop freezes libvirtd in the middle of whatever it does: connections stay open and nothing answers. Cont lets it go on.
func (h *Host) Stop(ctx context.Context) error { return h.signal(ctx, "STOP") }

// Cont ends what Stop began.
func (h *Host) Cont(ctx context.Context) error { return h.signal(ctx, "CONT") }

func (h *Host) signal(ctx context.Context, sig string) error {
	_, err := h.Exec(ctx, "sh", "-c", "kill -"+sig+" $(cat /run/libvirt/libvirtd.pid)")
	return err
}

// Unplug takes the host off the network without a word to anyone; everything on it goes on. Plug connects it again.
func (h *Host) Unplug(ctx context.Context) error {
	_, err := run(ctx, "ip", "link", "set", h.lab.claim.link(h.index), "down")
	return err
}

// Plug ends what Unplug began.
func (h *Host) Plug(ctx context.Context) error {
	_, err := run(ctx, "ip", "link", "set", h.lab.claim.link(h.index), "up")
	return err
}

// Part keeps the hosts from one another, as when the link between two of them is down, while each still talks to this machine. Join ends that.
func (l *Lab) Part(ctx context.Context) error { return l.isolate(ctx, "on") }

// Join ends what Part began.
func (l *Lab) Join(ctx context.Context) error { return l.isolate(ctx, "off") }

func (l *Lab) isolate(ctx context.Context, how string) error {
	for _, h := range l.Hosts {
		if h.PID() == 0 {
			continue // it has no link now, and gets a new one
		}
		if _, err := run(ctx, "ip", "link", "set", l.claim.link(h.index), "type", "bridge_slave", "isolated", how); err != nil {
			return err
		}
	}
	return nil
}

// Exec runs a command on the host and returns what it printed.
func (h *Host) Exec(ctx context.Context, command ...string) (string, error) {
	pid := h.PID()
	if pid == 0 {
		return "", fmt.Errorf("lab: %s is off", h.Name)
	}
	return run(ctx, "nsenter", append([]string{"-t", strconv.Itoa(pid), "-m", "-u", "-n", "-p", "--"}, command...)...)
}

// Path is where a file of the host is found from outside: the host's mounts are its own.
func (h *Host) Path(file string) string {
	return filepath.Join("/proc", strconv.Itoa(h.PID()), "root", file)
}

// initProcess is process 1 of a set of namespaces, with a pipe that is both its orders and its lifeline.
type initProcess struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	log    string
	ended  chan struct{}
}

func startInit(script, log string, namespaces uintptr, env ...string) (*initProcess, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("bash", "-c", script)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=/root", "LC_ALL=C"}, env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWPID | namespaces,
	}
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := errors.Join(cmd.Start(), f.Close()); err != nil {
		return nil, fmt.Errorf("lab: start a host: %w", err)
	}
	p := &initProcess{cmd: cmd, orders: orders, log: log, ended: make(chan struct{})}
	// Owned by the process it waits for: kill ends both.
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // it is always killed, so its status says nothing
	}()
	return p, nil
}

func (p *initProcess) pid() int {
	if p == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

func (p *initProcess) tell(order string) error {
	_, err := io.WriteString(p.orders, order+"\n")
	return err
}

func (p *initProcess) kill() error {
	if p == nil {
		return nil
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	return nil
}

// answers waits until the daemon opens a connection to the driver, which it does only when it is up altogether.
func (p *initProcess) answers(ctx context.Context, addr, driver string) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := openRPC(ctx, addr, driver)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it ended at once: %s", lastLines(p.log))
		case <-ctx.Done():
			return fmt.Errorf("%s on %s does not answer: %w (%s)", driver, addr, err, lastLines(p.log))
		case <-again.C:
		}
	}
}

func lastLines(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		lines = append(lines, s.Text())
	}
	if len(lines) > 5 {
		lines = lines[len(lines)-5:]
	}
	return strings.Join(lines, "; ")
}
