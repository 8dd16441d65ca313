package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// shell runs the binary as a person does who has signed in to the estate.
type shell struct {
	t   *testing.T
	e   *estate
	dir string
}

func (s *shell) command(args ...string) *exec.Cmd {
	c := exec.Command(server.Binary(s.t), args...)
	c.Dir = s.dir
	c.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH"), "TERM=xterm", "NOVACRON_SERVER=" + s.e.URL, "NOVACRON_TOKEN=" + s.e.Token}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// does runs a command that has to go well, and gives what it said.
func (s *shell) does(args ...string) string {
	s.t.Helper()
	c := s.command(args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		s.t.Fatalf("novacron %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// until repeats a command until it says what is wanted.
func (s *shell) until(what string, ok func(said string) bool, args ...string) {
	s.t.Helper()
	server.Wait(s.t, 30*time.Second, what, func() error {
		if said := s.does(args...); !ok(said) {
			return server.Not(what, said)
		}
		return nil
	})
}

func says(what string) func(string) bool {
	return func(said string) bool { return strings.Contains(said, what) }
}

func not(what string) func(string) bool {
	return func(said string) bool { return !strings.Contains(said, what) }
}

// heard is what a command that goes on has said so far.
type heard struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all.Write(p)
}

func (h *heard) wait(t *testing.T, what string) {
	t.Helper()
	server.Wait(t, 30*time.Second, fmt.Sprintf("%q", what), func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !strings.Contains(h.all.String(), what) {
			return server.Not(what, h.all.String())
		}
		return nil
	})
}

// terminal is a command in a terminal of its own.
type terminal struct {
	heard
	t    *testing.T
	keys *os.File
	done chan error
}

func (s *shell) terminal(args ...string) *terminal {
	s.t.Helper()
	fatal := func(err error) {
		if err != nil {
			s.t.Helper()
			s.t.Fatal(err)
		}
	}
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	fatal(err)
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	fatal(err)
	fatal(unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0))
	fatal(unix.IoctlSetWinsize(int(keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}))
	screen, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	fatal(err)
	c := s.command(args...)
	c.Stdin, c.Stdout, c.Stderr = screen, screen, screen
	c.SysProcAttr.Setsid, c.SysProcAttr.Setctty = true, true
	fatal(c.Start())
	fatal(screen.Close())
	out := &terminal{t: s.t, keys: keys, done: make(chan error, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := keys.Read(buf)
			out.Write(buf[:n])
			if err != nil { // it reads an error when the other end is closed
				return
			}
		}
	}()
	go func() { out.done <- c.Wait() }()
	s.t.Cleanup(func() {
		c.Process.Kill()
		keys.Close()
		<-read
	})
	return out
}

func (s *terminal) types(keys string) {
	s.t.Helper()
	if _, err := s.keys.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the command to leave as it should.
func (s *terminal) ends() {
	s.t.Helper()
	select {
	case err := <-s.done:
		if err != nil {
			s.t.Fatalf("it ended with %v, having said\n%s", err, s.all.String())
		}
	case <-time.After(time.Minute):
		s.t.Fatalf("it does not end; it said\n%s", s.all.String())
	}
}

// An estate that files declare is held to them while somebody else has virsh, and a person at a terminal sees into it.
func TestAnEstateAtATerminal(t *testing.T) {
	e := newEstate(t)
	sh := &shell{t, e, t.TempDir()}
	const name = "declared"
	t.Cleanup(func() { scrub(t, name) })
	kernel, initrd, err := lab.Guest(lab.GuestCache())
	if err != nil {
		t.Fatal(err)
	}
	host := hosts.Hosts[0].Name
	files := fmt.Sprintf("owner: lab\nvms:\n  - name: %s\n    host: %s\n    vcpus: 1\n    memory_bytes: 192 MiB\n    boot: {kernel: %q, initrd: %q, cmdline: %q}\n    nics: [{network: default}]\n    start: true\n",
		name, host, kernel, initrd, lab.Cmdline)
	if err := os.WriteFile(filepath.Join(sh.dir, "estate.yaml"), []byte(files), 0o600); err != nil {
		t.Fatal(err)
	}

	following := &heard{}
	events := sh.command("events", "-f")
	events.Stdout = following
	if err := events.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { events.Process.Kill() })
	if said := sh.does("apply", "-f", "estate.yaml", "--wait"); !strings.Contains(said, "Apply the files of lab: done") {
		t.Fatalf("apply says\n%s", said)
	}
	following.wait(t, "Apply the files of lab: done")
	if err := events.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	events.Wait()
	sh.until("a plan without a change", says("1 to keep as they are"), "plan", "-f", "estate.yaml")

	// Somebody has virsh.
	byHand := func() { // as virsh edit does it; of setvcpus --config libvirt tells nobody, and it is seen when the host is read the next time
		vcpu := regexp.MustCompile("<vcpu[^>]*(>1|current='1'>2)</vcpu>")
		was := virsh(t, 0, "dumpxml", "--inactive", name)
		if !vcpu.MatchString(was) {
			t.Fatalf("it has not one processor:\n%s", was)
		}
		define(t, 0, vcpu.ReplaceAllString(was, "<vcpu>2</vcpu>"))
	}
	byHand()
	sh.until("the drift of its processors", says("vcpus"), "drift", "list", "--owner", "lab")
	sh.does("drift", "revert", "vm", name, "--wait")
	if got := virsh(t, 0, "dumpxml", "--inactive", name); !strings.Contains(got, "current='1'>2</vcpu>") && !strings.Contains(got, ">1</vcpu>") {
		t.Errorf("after the revert it is\n%s", got)
	}
	sh.until("no drift after a revert", not(name), "drift", "list", "--owner", "lab")
	byHand()
	sh.until("the drift once more", says("vcpus"), "drift", "list", "--owner", "lab")
	sh.does("drift", "adopt", "vm", name)
	sh.until("no drift once it is adopted", not(name), "drift", "list", "--owner", "lab")
	if said := sh.does("diff", "-f", "estate.yaml"); !strings.Contains(said, "vcpus") {
		t.Errorf("the file should follow what was adopted; diff says\n%s", said)
	}

	// What is written of the whole estate changes nothing.
	if err := os.WriteFile(filepath.Join(sh.dir, "all.yaml"), []byte(sh.does("export")), 0o600); err != nil {
		t.Fatal(err)
	}
	var plan struct {
		Empty bool
		Items []json.RawMessage
	}
	said := sh.does("plan", "-f", "all.yaml", "--owner", "lab", "-o", "json")
	if err := json.Unmarshal([]byte(said), &plan); err != nil || !plan.Empty || len(plan.Items) < 5 {
		t.Errorf("the plan of what was exported: %v\n%s", err, said)
	}

	t.Run("sees", func(t *testing.T) { sh.t = t; sh.sees(name, host) })
	t.Run("types", func(t *testing.T) { sh.t = t; sh.console(name) })
}

// sees looks at a VM that runs in the ways that the command line has.
func (s *shell) sees(name, host string) {
	t := s.t
	if said := s.does("vm", "list", "-o", "wide"); !strings.Contains(said, name) || !strings.Contains(said, host) {
		t.Errorf("vm list -o wide says\n%s", said)
	}
	s.until("the name of the file with the picture", says(name+".png"), "vm", "screenshot", name)
	if png, err := os.ReadFile(filepath.Join(s.dir, name+".png")); err != nil || !bytes.HasPrefix(png, []byte("\x89PNG")) {
		t.Errorf("the screenshot is no picture (%d bytes): %v", len(png), err)
	}
	var jobs []struct{ ID, Kind string }
	if said := s.does("job", "list", "-o", "json"); json.Unmarshal([]byte(said), &jobs) != nil {
		t.Fatalf("job list -o json says\n%s", said)
	}
	for _, j := range jobs {
		if j.Kind == "estate.apply" {
			if said := s.does("logs", "-f", j.ID); !strings.Contains(said, "vm "+name+" is as wanted.") {
				t.Errorf("the log of %s says\n%s", j.ID, said)
			}
		}
	}
	if said := s.does("events", "--after", "0", "--vm", name); !strings.Contains(said, name) {
		t.Errorf("events of the VM are\n%s", said)
	}
	if said := s.does("top"); !strings.Contains(said, name) {
		t.Errorf("top says\n%s", said)
	}
	top := s.terminal("top")
	top.wait(t, name)
	top.types("q")
	top.ends()
}

// console types into the guest's shell, and leaves.
func (s *shell) console(name string) {
	c := s.terminal("vm", "console", name)
	c.wait(s.t, "tick ")
	c.types("\x15echo here-$((6*7))\r")
	c.wait(s.t, "here-42")
	c.types("\x1d")
	c.ends()
}
