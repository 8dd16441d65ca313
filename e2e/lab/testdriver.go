package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

//go:embed testdriver_init.sh
var testDriverInit string

// TestHost is a libvirtd of its own whose guests are libvirt's test driver's: they cost nothing and run nowhere.
type TestHost struct {
	Name string
	Addr string // 127.0.0.1:port
	UUID string
	// URI is the driver's shared state: what one client changes, every client sees.
	URI string
	// FileURI is the same guests from a file, on a machine of 64 processors and 512 GiB. Each connection has a state of
	// its own, so changes by others do not show; use it for facts and inventory.
	FileURI string
	Dir     string

	lab   *Lab
	index int

	mu   sync.Mutex
	init *initProcess
	held net.Conn // the shared state lasts as long as its last connection
}

func newTestHost(l *Lab, i int) *TestHost {
	n := i + 1
	h := &TestHost{lab: l, index: n, Name: fmt.Sprintf("lab%d-test%03d", l.claim.subnet, n), UUID: l.claim.uuid(5000 + n)}
	h.Dir = filepath.Join(l.Dir, h.Name)
	return h
}

func (h *TestHost) start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := os.MkdirAll(h.Dir, 0o755); err != nil {
		return err
	}
	if h.Addr == "" {
		port, err := freePort()
		if err != nil {
			return err
		}
		h.Addr = fmt.Sprintf("127.0.0.1:%d", port)
		h.URI = fmt.Sprintf("test+tcp://%s/default", h.Addr)
		h.FileURI = fmt.Sprintf("test+tcp://%s%s", h.Addr, h.nodeFile())
	}
	_, port, err := net.SplitHostPort(h.Addr)
	if err != nil {
		return err
	}
	files := map[string]string{
		h.nodeFile(): h.nodeXML(),
		filepath.Join(h.Dir, "libvirtd.conf"): fmt.Sprintf(`listen_tls = 0
listen_tcp = 1
listen_addr = "127.0.0.1"
tcp_port = "%s"
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "%s"
min_workers = 2
max_workers = 10
prio_workers = 1
log_outputs = "3:stderr"
`, port, h.UUID),
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	known, err := capabilitiesDir(false)
	if err != nil {
		return err
	}
	proc, err := startInit(testDriverInit, filepath.Join(h.Dir, "init.log"), 0, "LAB_NAME="+h.Name, "LAB_DIR="+h.Dir, "LAB_CAPABILITIES="+known)
	if err != nil {
		return err
	}
	if err := h.fill(ctx, proc); err != nil {
		return errors.Join(fmt.Errorf("lab: start %s: %w", h.Name, err), proc.kill())
	}
	h.init = proc
	return nil
}

// fill takes hold of the shared state and puts the guests into it.
func (h *TestHost) fill(ctx context.Context, proc *initProcess) error {
	if err := proc.answers(ctx, h.Addr, "test:///default"); err != nil {
		return err
	}
	held, err := openRPC(ctx, h.Addr, "test:///default")
	if err != nil {
		return err
	}
	h.held = held
	var commands []string
	if h.lab.opts.TestGuests > 0 {
		commands = []string{"destroy test", "undefine test"}
	}
	for i := range h.lab.opts.TestGuests {
		file := filepath.Join(h.Dir, h.guestName(i)+".xml")
		if err := os.WriteFile(file, []byte(h.guestXML(i)), 0o644); err != nil {
			return err
		}
		commands = append(commands, "define "+file, "start "+h.guestName(i))
	}
	for i := range h.lab.opts.TestVolumes {
		commands = append(commands, fmt.Sprintf("vol-create-as default-pool t%03d-v%03d.qcow2 %dM --allocation 1M", h.index, i+1, 16<<(i%6)))
	}
	for i := range h.lab.opts.TestNetworks {
		name := fmt.Sprintf("t%03d-n%02d", h.index, i+1)
		file := filepath.Join(h.Dir, name+".xml")
		net := fmt.Sprintf("<network><name>%s</name><forward mode='nat'/><bridge name='virbr%d'/><ip address='10.%d.%d.1' netmask='255.255.255.0'/></network>", name, i+1, h.index%250, i)
		if err := os.WriteFile(file, []byte(net), 0o644); err != nil {
			return err
		}
		commands = append(commands, "net-define "+file, "net-start "+name)
	}
	if len(commands) == 0 {
		return nil
	}
	_, err = virsh(ctx, h.URI, strings.Join(commands, "; "))
	return err
}

// Kill ends the host at once; its guests go with it.
func (h *TestHost) Kill() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var err error
	if h.held != nil {
		err = h.held.Close()
		h.held = nil
	}
	err = errors.Join(err, h.init.kill())
	h.init = nil
	return err
}

// Restart starts a killed host again at the same address, with the guests it had at first.
func (h *TestHost) Restart(ctx context.Context) error {
	if err := h.Kill(); err != nil {
		return err
	}
	return h.start(ctx)
}

// Virsh runs virsh against the host's shared state.
func (h *TestHost) Virsh(ctx context.Context, args ...string) (string, error) {
	return virsh(ctx, h.URI, args...)
}

func (h *TestHost) nodeFile() string { return filepath.Join(h.Dir, "host.xml") }

func (h *TestHost) guestName(i int) string { return fmt.Sprintf("t%03d-%02d", h.index, i+1) }

func (h *TestHost) guestXML(i int) string {
	return fmt.Sprintf(`<domain type='test'>
  <name>%s</name>
  <uuid>10770001-0000-4000-8000-%04d%04d%04d</uuid>
  <memory unit='MiB'>%d</memory>
  <vcpu>%d</vcpu>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><source file='/images/%[1]s.img'/><target dev='vda' bus='virtio'/></disk>
    <interface type='network'><mac address='52:54:00:%02x:%02x:%02x'/><source network='default'/></interface>
  </devices>
</domain>
`, h.guestName(i), h.lab.claim.subnet, h.index, i+1, 128<<(i%4), 1+i%4, h.lab.claim.subnet, h.index%256, i+1)
}

func (h *TestHost) nodeXML() string {
	var b strings.Builder
	b.WriteString("<node>\n<cpu><mhz>2600</mhz><model>x86_64</model><active>64</active><nodes>2</nodes><sockets>1</sockets><cores>16</cores><threads>2</threads></cpu>\n")
	fmt.Fprintf(&b, "<memory>%d</memory>\n", 512<<20)
	for i := range h.lab.opts.TestGuests {
		b.WriteString(h.guestXML(i))
	}
	b.WriteString("</node>\n")
	return b.String()
}

// given are the ports that this process handed out. The kernel may offer one again before the daemon that it was meant for listens on it,
// and a hundred hosts start at once.
var given sync.Map

func freePort() (int, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return 0, err
		}
		if _, taken := given.LoadOrStore(port, true); !taken {
			return port, nil
		}
	}
}
