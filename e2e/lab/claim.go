package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// claims is where running labs are written down. A claim is a file that its lab holds locked: the kernel drops the lock
// when the process ends, however it ends, so a claim that can be locked belongs to nobody.
const claims = "/run/novacron-lab"

const firstSubnet, lastSubnet = 10, 250

// claim is a lab's right to one /24 of 10.77.0.0/16 and to the link names made from it.
type claim struct {
	subnet int
	file   *os.File
}

type claimNote struct {
	PID    int    `json:"pid"`
	Dir    string `json:"dir"`
	OwnDir bool   `json:"own_dir"`
}

func newClaim() (*claim, error) {
	if err := os.MkdirAll(claims, 0o755); err != nil {
		return nil, err
	}
	for n := firstSubnet; n <= lastSubnet; n++ {
		c, err := lockClaim(n)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		// The lock is free, but a lab that crashed may have left a bridge and a folder.
		if err := c.clean(); err != nil {
			return nil, errors.Join(err, c.file.Close())
		}
		if taken, err := subnetInUse(n); err != nil || taken {
			if err := errors.Join(err, c.release()); err != nil {
				return nil, err
			}
			continue
		}
		return c, nil
	}
	return nil, errors.New("lab: every network of 10.77.0.0/16 is taken")
}

func claimPath(n int) string { return filepath.Join(claims, strconv.Itoa(n)) }

// lockClaim returns nil without error when another lab holds the claim.
func lockClaim(n int) (*claim, error) {
	f, err := os.OpenFile(claimPath(n), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		cerr := f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, cerr
		}
		return nil, errors.Join(err, cerr)
	}
	// Whoever held it may have removed the file between our open and our lock: then this lock guards nothing.
	mine, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if now, err := os.Stat(claimPath(n)); err != nil || !os.SameFile(mine, now) {
		return nil, f.Close()
	}
	return &claim{subnet: n, file: f}, nil
}

func (c *claim) addr(n int) string { return fmt.Sprintf("10.77.%d.%d", c.subnet, n) }
func (c *claim) bridge() string    { return fmt.Sprintf("nl%d", c.subnet) }
func (c *claim) link(n int) string { return fmt.Sprintf("nl%d-%d", c.subnet, n) }
func (c *claim) name(n int) string { return fmt.Sprintf("lab%d-node%d", c.subnet, n) }
func (c *claim) uuid(n int) string {
	return fmt.Sprintf("10770000-0000-4000-8000-%06d%06d", c.subnet, n)
}
func subnetInUse(n int) (bool, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false, err
	}
	for _, a := range addrs {
		if strings.HasPrefix(a.String(), fmt.Sprintf("10.77.%d.", n)) {
			return true, nil
		}
	}
	return false, nil
}

func (c *claim) note(dir string, own bool) error {
	text, err := json.Marshal(claimNote{PID: os.Getpid(), Dir: dir, OwnDir: own})
	if err != nil {
		return err
	}
	if err := c.file.Truncate(0); err != nil {
		return err
	}
	_, err = c.file.WriteAt(append(text, '\n'), 0)
	return err
}

// clean removes what the claim's former owner left: its links, and its folder if it made that itself.
func (c *claim) clean() error {
	links, err := filepath.Glob(fmt.Sprintf("/sys/class/net/nl%d*", c.subnet))
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		name := filepath.Base(l)
		if name != c.bridge() && !strings.HasPrefix(name, c.bridge()+"-") {
			continue
		}
		if out, err := exec.Command("ip", "link", "del", name).CombinedOutput(); err != nil && !strings.Contains(string(out), "Cannot find device") {
			errs = append(errs, fmt.Errorf("lab: remove link %s: %w: %s", name, err, out))
		}
	}
	text, err := os.ReadFile(c.file.Name())
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	var note claimNote
	if len(text) > 0 {
		if err := json.Unmarshal(text, &note); err != nil {
			errs = append(errs, fmt.Errorf("lab: claim %s: %w", c.file.Name(), err))
		}
	}
	if note.OwnDir && note.PID != os.Getpid() && strings.Contains(filepath.Base(note.Dir), "novacron-lab-") {
		errs = append(errs, os.RemoveAll(note.Dir))
	}
	return errors.Join(errs...)
}

func (c *claim) release() error {
	err := c.clean()
	return errors.Join(err, os.Remove(c.file.Name()), c.file.Close())
}

// Sweep removes what labs left whose process is gone. It never touches a lab that runs.
func Sweep() error {
	files, err := filepath.Glob(filepath.Join(claims, "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		n, err := strconv.Atoi(filepath.Base(f))
		if err != nil {
			continue
		}
		c, err := lockClaim(n)
		if err != nil {
			errs = append(errs, err)
		}
		if c != nil {
			errs = append(errs, c.release())
		}
	}
	return errors.Join(errs...)
}

// network makes the lab's bridge. The hosts' links join it when they start.
func (l *Lab) network(ctx context.Context) error {
	br := l.claim.bridge()
	for _, args := range [][]string{
		{"link", "add", br, "type", "bridge"},
		{"addr", "add", l.Gateway + "/24", "dev", br},
		{"link", "set", br, "up"},
	} {
		if _, err := run(ctx, "ip", args...); err != nil {
			return err
		}
	}
	return nil
}
