// Package lab makes real libvirt hosts on one machine, and a tiny real guest to run on them, and takes it all down again.
//
// It is for end-to-end tests, benchmarks and trying things by hand (make lab). Each host is one bash process that is
// process 1 of its own PID, mount, UTS and network namespaces, with a libvirtd and a virtlogd under it. When that process
// dies, the kernel ends everything on the host at once, as a power cut would; and it dies when the process that called Up
// dies, because it reads a pipe that only the caller holds open. So a crashed test leaves two things at most, a bridge and a
// folder, and Sweep removes those.
//
// It is not for production hosts, it knows nothing of NovaCron, and it never lets a guest use /dev/kvm unless asked.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Options says what to make. The zero value makes a lab without hosts.
type Options struct {
	Hosts int    // libvirtd on QEMU, each a machine of its own on the lab's network
	Dir   string // where the hosts keep their files; "" makes a folder and Down removes it
	TLS   bool   // also listen on TLS with client certificates (Lab.PKI, Host.TLSURI)
	SSH   bool   // also run an sshd (Lab.SSH, Host.SSHURI)
	// Shared gives every host the same folder at /var/lib/libvirt/shared, as the active pool "shared".
	Shared bool
	// KVM lets the hosts see the machine's /dev/kvm. Without it libvirt finds none, whatever the machine has.
	KVM bool

	TestDrivers int // libvirtd on libvirt's test driver, listening on 127.0.0.1: cheap hosts for scale
	TestGuests  int // running guests on each of those, beside none of libvirt's own
	// TestVolumes and TestNetworks are made on each of them too, in the shared state only: volumes in libvirt's pool, networks beside its one.
	TestVolumes, TestNetworks int
}

// Lab is a set of running hosts.
type Lab struct {
	Hosts     []*Host
	TestHosts []*TestHost
	Dir       string
	Gateway   string // the machine's own address on the lab's network
	PKI       *PKI   // with Options.TLS
	SSH       *SSH   // with Options.SSH

	opts   Options
	claim  *claim
	ownDir bool

	mu   sync.Mutex
	down bool
}

// Up makes the hosts and returns when every one of them answers. On failure nothing is left.
func Up(ctx context.Context, opts Options) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("lab: making namespaces and bridges needs root")
	}
	for _, tool := range []string{"bash", "ip", "nsenter", "libvirtd", "virtlogd", "virsh"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("lab: %s is missing; run make deps", tool)
		}
	}
	c, err := newClaim()
	if err != nil {
		return nil, err
	}
	l := &Lab{opts: opts, claim: c, Dir: opts.Dir, Gateway: c.addr(1)}
	if err := l.up(ctx); err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return l, nil
}

func (l *Lab) up(ctx context.Context) error {
	if l.Dir == "" {
		dir, err := os.MkdirTemp("", fmt.Sprintf("novacron-lab-%d-", l.claim.subnet))
		if err != nil {
			return err
		}
		l.Dir, l.ownDir = dir, true
		// Guests may run as another user than root: the way to their images must be open.
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	if err := l.claim.note(l.Dir, l.ownDir); err != nil {
		return err
	}
	for i := range l.opts.Hosts {
		l.Hosts = append(l.Hosts, newHost(l, i))
	}
	if l.opts.Hosts > 0 {
		if err := l.network(ctx); err != nil {
			return err
		}
	}
	if l.opts.TLS {
		pki, err := newPKI(filepath.Join(l.Dir, "pki"), l.Hosts)
		if err != nil {
			return err
		}
		l.PKI = pki
	}
	if l.opts.SSH {
		keys, err := newSSH(ctx, filepath.Join(l.Dir, "ssh"), l.Hosts)
		if err != nil {
			return err
		}
		l.SSH = keys
	}
	if l.opts.Shared {
		if err := os.MkdirAll(filepath.Join(l.Dir, "shared"), 0o777); err != nil {
			return err
		}
	}
	for i := range l.opts.TestDrivers {
		l.TestHosts = append(l.TestHosts, newTestHost(l, i))
	}

	var starts []func(context.Context) error
	for _, h := range l.Hosts {
		starts = append(starts, h.Start)
	}
	for _, h := range l.TestHosts {
		starts = append(starts, h.start)
	}
	return each(ctx, starts)
}

// each runs the starts a few at a time: more would only make them wait for one another's processors.
func each(ctx context.Context, starts []func(context.Context) error) error {
	const atOnce = 8
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work := make(chan func(context.Context) error)
	errs := make([]error, atOnce)
	var wg sync.WaitGroup
	for w := range atOnce {
		wg.Go(func() {
			for start := range work {
				if err := start(ctx); err != nil && errs[w] == nil {
					errs[w] = err
					cancel()
				}
			}
		})
	}
	for _, s := range starts {
		work <- s
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

// Down ends every host and removes what Up made. It may be called twice.
func (l *Lab) Down() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil
	}
	var errs []error
	for _, h := range l.Hosts {
		errs = append(errs, h.Kill())
	}
	for _, h := range l.TestHosts {
		errs = append(errs, h.Kill())
	}
	errs = append(errs, l.claim.release())
	if l.ownDir {
		errs = append(errs, os.RemoveAll(l.Dir))
	}
	l.down = errors.Join(errs...) == nil
	return errors.Join(errs...)
}

// Virsh runs virsh against one host from outside, as an administrator would, and returns what it printed.
func (l *Lab) Virsh(ctx context.Context, h *Host, args ...string) (string, error) {
	return virsh(ctx, h.URI, args...)
}

func virsh(ctx context.Context, uri string, args ...string) (string, error) {
	return run(ctx, "virsh", append([]string{"-q", "-c", uri}, args...)...)
}

func run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("lab: %s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	return text, nil
}
