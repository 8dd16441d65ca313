// Package server starts the built novacron binary for black-box tests and speaks its API as a script would.
//
// It is for tests and benchmarks that see the product from outside. It knows nothing of the product's code: only its command
// line, what it prints, and JSON over HTTP.
package server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is one running novacron on a data directory of its own.
type Server struct {
	URL      string // http://127.0.0.1:port
	Data     string
	Admin    string // printed at first start
	Password string // the one-time password, printed at first start
	Token    string // an API token, made with the command line

	t    testing.TB
	bin  string
	args []string
	addr string
	mu   sync.Mutex
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

var (
	buildOnce sync.Once
	buildPath string
	buildErr  error
)

// Binary is the path of the built binary: NOVACRON_BIN, or ./novacron of the repository, which `make build` leaves.
func Binary(t testing.TB) string {
	t.Helper()
	buildOnce.Do(func() {
		buildPath = os.Getenv("NOVACRON_BIN")
		if buildPath == "" {
			buildPath = filepath.Join(Root(t), "novacron")
		}
		_, buildErr = os.Stat(buildPath)
	})
	if buildErr != nil {
		t.Fatalf("there is no built binary: %v; run make build first", buildErr)
	}
	return buildPath
}

// Root is the top of the repository.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above the working directory")
	return ""
}

// Start starts a server without any host, waits until it is ready and makes a token. It ends with the test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, bin: Binary(t), args: args, addr: freeAddr(t), Data: filepath.Join(t.TempDir(), "data")}
	s.URL = "http://" + s.addr
	s.Up()
	t.Cleanup(func() { s.Down() })
	out, err := exec.Command(s.bin, "token", "create", "--data", s.Data, "--name", "e2e").Output()
	if err != nil {
		t.Fatalf("novacron token create: %v", err)
	}
	s.Token = strings.TrimSpace(string(out))
	return s
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

var (
	adminRE = regexp.MustCompile(`(?mi)^\s*(?:name|user|admin)\s*:\s*(\S+)\s*$`)
	passRE  = regexp.MustCompile(`(?mi)^\s*(?:one-time )?password\s*:\s*(\S+)\s*$`)
)

// Up starts the process (again) on the same data and address and waits until /readyz answers.
func (s *Server) Up() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	args := append([]string{"serve", "--data", s.Data, "--listen", s.addr, "--local-host=false", "--api-rate=0"}, s.args...)
	s.cmd = exec.Command(s.bin, args...)
	s.out = &output{changed: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	// The tests' own settings are not the server's.
	s.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NOVACRON_") })
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("start novacron: %v", err)
	}
	done := make(chan struct{})
	s.done = done
	cmd := s.cmd
	go func() { _ = cmd.Wait(); close(done) }()
	c := s.API()
	Wait(s.t, 60*time.Second, "the server to be ready", func() error {
		select {
		case <-done:
			s.t.Fatalf("novacron ended at start:\n%s", s.out)
		default:
		}
		return c.Ready()
	})
	if m := adminRE.FindStringSubmatch(s.out.String()); m != nil {
		s.Admin = m[1]
	}
	if m := passRE.FindStringSubmatch(s.out.String()); m != nil {
		s.Password = m[1]
	}
}

// PID of the running process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill is kill -9, as a power cut would do it.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatalf("kill: %v", err)
	}
	<-s.done
}

// Down asks the server to end (SIGTERM) and waits; it gives the exit code.
func (s *Server) Down() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode()
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Errorf("SIGTERM: %v", err)
	}
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		s.t.Errorf("novacron did not end within 20 s of SIGTERM:\n%s", s.out)
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	if s.t.Failed() {
		s.t.Logf("what the server said:\n%s", s.out)
	}
	return s.cmd.ProcessState.ExitCode()
}

// Output is all that the process printed so far.
func (s *Server) Output() string { return s.out.String() }

type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	changed chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// busy is how much longer a busy machine is given.
const busy = 2 * time.Minute

// Wait polls for a state of the outside world until it holds; the last error is shown when it never does. Taking longer than most, which is what a quiet
// machine needs at the longest, is logged: how fast things are is for the benchmarks to say.
func Wait(t testing.TB, most time.Duration, what string, ok func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), most+busy)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	var err error
	for {
		if err = ok(); err == nil {
			if took := time.Since(began); took > most {
				t.Logf("%s took %s; on a quiet machine %s is plenty", what, took.Round(time.Millisecond), most)
			}
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s: %v", most+busy, what, err)
		case <-tick.C:
		}
	}
}

// Not is an error that says what was seen instead of what was wanted.
func Not(want, got any) error { return fmt.Errorf("wanted %v, saw %v", want, got) }
