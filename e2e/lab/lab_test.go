package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain serves TestSweepAfterACrash too, which needs a process that makes a lab and is killed.
func TestMain(m *testing.M) {
	if os.Getenv("LAB_TEST_CRASH") != "" {
		crashChild()
		return
	}
	os.Exit(m.Run())
}

func crashChild() {
	l, err := Up(context.Background(), Options{Hosts: 1, TestDrivers: 1})
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	if err := l.Hosts[0].StartGuest(context.Background(), "orphan", Cmdline); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	fmt.Println("up", l.Dir, l.claim.subnet, l.Hosts[0].PID())
	_, _ = io.Copy(io.Discard, os.Stdin) // until killed
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("making hosts needs root: run the tests with make test, which asks for it")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the guest's XML in this test is for x86 machines")
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, ctx context.Context, opts Options) *Lab {
	t.Helper()
	began := time.Now()
	l, err := Up(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d hosts and %d test drivers up in %v", opts.Hosts, opts.TestDrivers, time.Since(began).Round(time.Millisecond))
	return l
}

func TestGuestLivesAndNothingIsLeft(t *testing.T) {
	needRoot(t)
	ctx := within(t, 3*time.Minute)
	l := start(t, ctx, Options{Hosts: 2, Shared: true})
	a, b := l.Hosts[0], l.Hosts[1]

	for _, h := range l.Hosts {
		caps := must(l.Virsh(ctx, h, "capabilities"))(t)
		if !strings.Contains(caps, h.UUID) || !strings.Contains(caps, "<domain type='qemu'") {
			t.Errorf("%s: capabilities lack its UUID or QEMU", h.Name)
		}
		if strings.Contains(caps, "<domain type='kvm'") {
			t.Errorf("%s: offers KVM, which the lab hides", h.Name)
		}
		if got := must(l.Virsh(ctx, h, "pool-list", "--name"))(t); !strings.Contains(got, "default") || !strings.Contains(got, "shared") {
			t.Errorf("%s: active pools are %q", h.Name, got)
		}
		if got := must(l.Virsh(ctx, h, "net-list", "--name"))(t); got != "default" {
			t.Errorf("%s: active networks are %q", h.Name, got)
		}
		if got := must(l.Virsh(ctx, h, "hostname"))(t); got != h.Name {
			t.Errorf("%s calls itself %q", h.Name, got)
		}
	}

	began := time.Now()
	ok(t, a.StartGuest(ctx, "g", Cmdline+" labdirty=8"))
	ok(t, a.WaitSerial(ctx, "g", UpMark))
	t.Logf("guest up after %v", time.Since(began).Round(100*time.Millisecond))
	ok(t, a.WaitSerial(ctx, "g", "tick 3"))
	ok(t, a.WaitSerial(ctx, "g", "DHCP 192.168.122."))
	if got := must(l.Virsh(ctx, b, "list", "--all", "--name"))(t); got != "" {
		t.Errorf("%s sees guests of %s: %q", b.Name, a.Name, got)
	}
	addr := must(l.Virsh(ctx, a, "domifaddr", "g"))(t)
	ip, _, _ := strings.Cut(addr[strings.Index(addr, "192.168."):], "/")
	busybox, err := findBusybox()
	ok(t, err)
	if _, err := a.Exec(ctx, busybox, "ping", "-c", "1", "-W", "5", ip); err != nil {
		t.Error(err)
	}
	shot := filepath.Join(t.TempDir(), "shot")
	must(l.Virsh(ctx, a, "screenshot", "g", shot))(t)
	if st, err := os.Stat(shot); err != nil || st.Size() < 500 {
		t.Errorf("the screenshot is empty: %v %v", st, err)
	}

	must(l.Virsh(ctx, a, "reboot", "g"))(t)
	ok(t, a.WaitSerial(ctx, "g", "NOVA-GUEST-DOWN"))
	log := filepath.Join(a.Dir, "log/qemu/g-serial.log")
	ok(t, poll(ctx, func() error {
		if text, err := os.ReadFile(log); err != nil || strings.Count(string(text), UpMark) < 2 {
			return fmt.Errorf("it came up once only (%v)", err)
		}
		return nil
	}))
	must(l.Virsh(ctx, a, "shutdown", "g"))(t)
	ok(t, a.WaitState(ctx, "g", "shut off"))

	ok(t, b.StartGuest(ctx, "running-at-the-end", Cmdline))
	ok(t, l.Down())
	nothingLeft(t, l.Dir, l.claim.subnet)
}

func TestHostsFailAndReturn(t *testing.T) {
	needRoot(t)
	ctx := within(t, 2*time.Minute)
	l := start(t, ctx, Options{Hosts: 1})
	h := l.Hosts[0]
	ok(t, h.StartGuest(ctx, "g", Cmdline))
	ok(t, h.WaitSerial(ctx, "g", "tick 1"))

	ok(t, h.Stop(ctx))
	quick, cancel := context.WithTimeout(ctx, time.Second)
	if _, err := openRPC(quick, h.Addr+":16509", "qemu:///system"); err == nil {
		t.Error("a stopped libvirtd answered")
	}
	cancel()
	ok(t, h.Cont(ctx))
	ok(t, h.WaitState(ctx, "g", "running"))

	ok(t, h.KillDaemon(ctx))
	if _, err := l.Virsh(ctx, h, "version"); err == nil {
		t.Error("a killed libvirtd answered")
	}
	ok(t, h.StartDaemon(ctx))
	ok(t, h.WaitState(ctx, "g", "running"))

	ok(t, h.Restart(ctx))
	ok(t, h.WaitState(ctx, "g", "shut off"))
	if got := must(l.Virsh(ctx, h, "net-list", "--name"))(t); got != "default" {
		t.Errorf("after a restart the active networks are %q", got)
	}

	ok(t, h.Unplug(ctx))
	quick, cancel = context.WithTimeout(ctx, time.Second)
	if _, err := openRPC(quick, h.Addr+":16509", "qemu:///system"); err == nil {
		t.Error("an unplugged host answered")
	}
	cancel()
	ok(t, h.Plug(ctx))
	ok(t, h.WaitState(ctx, "g", "shut off"))
}

func TestTransports(t *testing.T) {
	needRoot(t)
	ctx := within(t, time.Minute)
	l := start(t, ctx, Options{Hosts: 2, TLS: true, SSH: true})
	for _, h := range l.Hosts {
		if got := must(virsh(ctx, h.TLSURI+"?pkipath="+l.PKI.Dir, "hostname"))(t); got != h.Name {
			t.Errorf("over TLS %s calls itself %q", h.Name, got)
		}
		if _, err := virsh(ctx, h.TLSURI+"?pkipath="+filepath.Dir(l.PKI.OtherCert), "hostname"); err == nil {
			t.Errorf("%s let a stranger in over TLS", h.Name)
		}
		got := must(ssh(ctx, l.SSH.Key, l.SSH.KnownHosts, h.Addr))(t)
		if got != h.Name {
			t.Errorf("over SSH %s calls itself %q", h.Name, got)
		}
		if _, err := ssh(ctx, l.SSH.WrongKey, l.SSH.KnownHosts, h.Addr); err == nil {
			t.Errorf("%s let a stranger in over SSH", h.Name)
		}
		if _, err := ssh(ctx, l.SSH.Key, l.SSH.WrongKnownHosts, h.Addr); err == nil {
			t.Errorf("%s passed for another host over SSH", h.Name)
		}
	}
}

func ssh(ctx context.Context, key, known, addr string) (string, error) {
	return run(ctx, "ssh", "-F", "none", "-i", key, "-o", "UserKnownHostsFile="+known, "-o", "GlobalKnownHostsFile=none",
		"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
		"root@"+addr, "virsh -q -c qemu:///system hostname")
}

func TestTestDrivers(t *testing.T) {
	needRoot(t)
	ctx := within(t, time.Minute)
	l := start(t, ctx, Options{TestDrivers: 3, TestGuests: 4, TestVolumes: 5, TestNetworks: 2})
	seen := map[string]bool{}
	for _, h := range l.TestHosts {
		names := strings.Fields(must(h.Virsh(ctx, "list", "--name"))(t))
		if len(names) != 4 {
			t.Errorf("%s runs %q", h.Name, names)
		}
		for _, n := range names {
			uuid := must(h.Virsh(ctx, "domuuid", n))(t)
			if seen[n] || seen[uuid] {
				t.Errorf("%s: %s or its UUID %s is on another host too", h.Name, n, uuid)
			}
			seen[n], seen[uuid] = true, true
		}
		if got := strings.Fields(must(virsh(ctx, h.FileURI, "list", "--name"))(t)); len(got) != 4 {
			t.Errorf("%s runs %q by its file", h.Name, got)
		}
	}
	h := l.TestHosts[1]
	if got := strings.Count(must(h.Virsh(ctx, "vol-list", "default-pool"))(t), "/t002-v"); got != 5 {
		t.Errorf("%d volumes", got)
	}
	if got := strings.Fields(must(h.Virsh(ctx, "net-list", "--name"))(t)); len(got) != 3 {
		t.Errorf("networks are %q", got)
	}
	must(h.Virsh(ctx, "destroy", "t002-01"))(t)
	if got := must(h.Virsh(ctx, "domstate", "t002-01"))(t); got != "shut off" {
		t.Errorf("what one connection did, the next does not see: %q", got)
	}
	ok(t, h.Restart(ctx))
	if got := must(h.Virsh(ctx, "domstate", "t002-01"))(t); got != "running" {
		t.Errorf("after a restart the guest is %q", got)
	}
}

func TestSweepAfterACrash(t *testing.T) {
	needRoot(t)
	ctx := within(t, time.Minute)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "LAB_TEST_CRASH=1")
	in, err := cmd.StdinPipe()
	ok(t, err)
	defer in.Close()
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	ok(t, err)
	var dir string
	var subnet, pid int
	if _, err := fmt.Sscanf(line, "up %s %d %d", &dir, &subnet, &pid); err != nil {
		t.Fatalf("the child said %q", line)
	}
	ok(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed, which it reports as an error

	ok(t, poll(ctx, func() error {
		if exists(fmt.Sprintf("/proc/%d", pid)) {
			return errors.New("the host outlives its maker")
		}
		return nil
	}))
	if !exists(dir) {
		t.Fatal("the child's folder went by itself, so this test proves nothing")
	}
	ok(t, Sweep())
	nothingLeft(t, dir, subnet)
}

// nothingLeft looks for every kind of thing a lab makes.
func nothingLeft(t *testing.T, dir string, subnet int) {
	t.Helper()
	if exists(dir) {
		t.Errorf("%s is still there", dir)
	}
	if exists(claimPath(subnet)) {
		t.Errorf("%s is still there", claimPath(subnet))
	}
	links, err := filepath.Glob(fmt.Sprintf("/sys/class/net/nl%d*", subnet))
	if err != nil || len(links) > 0 {
		t.Errorf("links are left: %v %v", links, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("mounts of %s are left (%v)", dir, err)
	}
	procs, err := filepath.Glob("/proc/[0-9]*/environ")
	ok(t, err)
	for _, p := range procs {
		env, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(env), dir) {
			t.Errorf("process %s is left", filepath.Base(filepath.Dir(p)))
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must(out string, err error) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		ok(t, err)
		return out
	}
}
