package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/e2e/server"
)

// cli is a command line that asks a server.
func cli(ctx context.Context, t *testing.T, s *server.Server, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(ctx, server.Binary(t), args...)
	c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NOVACRON_") })
	c.Env = append(c.Env, "NOVACRON_SERVER="+s.URL, "NOVACRON_TOKEN="+s.Token, "HOME="+t.TempDir(), "NOVACRON_NO_KEYRING=1")
	return c
}

// TestTheTerminalAsksTheServer runs the commands against libvirt's test driver.
func TestTheTerminalAsksTheServer(t *testing.T) {
	s := server.Start(t)
	s.API().AddHost(t, "cheap", hosts.TestHosts[0].URI)
	run := func(code int, args ...string) (out, errs string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		var stdout, stderr bytes.Buffer
		c := cli(ctx, t, s, args...)
		c.Stdout, c.Stderr = &stdout, &stderr
		err := c.Run()
		if _, left := errors.AsType[*exec.ExitError](err); err != nil && !left {
			t.Fatal(err)
		}
		if got := c.ProcessState.ExitCode(); got != code {
			t.Fatalf("novacron %s left with %d, wanted %d:\n%s%s", strings.Join(args, " "), got, code, &stdout, &stderr)
		}
		return stdout.String(), stderr.String()
	}
	var vms []server.VM
	server.Wait(t, time.Minute, "the guests of the test driver", func() error {
		out, _ := run(0, "vm", "list", "-o", "json")
		if err := json.Unmarshal([]byte(out), &vms); err != nil {
			return err
		}
		if len(vms) == 0 {
			return errors.New("there is none yet")
		}
		return nil
	})
	if out, _ := run(0, "host", "list"); !strings.Contains(out, "cheap") || !strings.Contains(out, "connected") {
		t.Errorf("the hosts are\n%s", out)
	}
	name := vms[0].Name
	if out, _ := run(0, "vm", "list", "--filter", "state:"+vms[0].State, "-o", "name"); !strings.Contains(out, "vm/"+name+"\n") {
		t.Errorf("the names are\n%s", out)
	}

	const made = "from-a-terminal"
	if out, errs := run(0, "vm", "create", made, "--host", "cheap", "--vcpus", "1", "--memory", "64M", "--tags", "cli", "--wait", "-o", "json"); !strings.Contains(out, `"state": "succeeded"`) {
		t.Errorf("made: %s%s", out, errs)
	}
	if out, _ := run(0, "vm", "get", made); !strings.Contains(out, "name: "+made+"\n") || !strings.Contains(out, "memory_bytes: 67108864\n") {
		t.Errorf("it is\n%s", out)
	}
	run(0, "vm", "edit", made, "--notes", "by hand")
	run(0, "vm", "start", made, "--wait")
	if out, _ := run(0, "vm", "list", "--columns", "name,state,notes", "--filter", "tag:cli"); !strings.Contains(out, "running") || !strings.Contains(out, "by hand") {
		t.Errorf("it is\n%s", out)
	}
	run(0, "vm", "stop", made, "--wait")
	if out, _ := run(0, "__complete", "vm", "start", "from-"); !strings.HasPrefix(out, made) {
		t.Errorf("completed with\n%s", out)
	}
	if _, errs := run(5, "vm", "create", made, "--host", "cheap", "--vcpus", "1", "--memory", "64M"); !strings.Contains(errs, made) {
		t.Errorf("a name that is taken: %s", errs)
	}
	if _, errs := run(2, "vm", "create", "too-much", "--vcpus", "100000", "--memory", "64M"); !strings.Contains(errs, "vcpus") {
		t.Errorf("too much: %s", errs)
	}
	run(3, "vm", "get", "nobody")
	job, _ := run(0, "vm", "delete", made, "-o", "name", "--wait=no")
	run(0, "job", "wait", strings.TrimSpace(job))
	run(3, "vm", "get", made)
	if out, _ := run(0, "logs", strings.TrimSpace(job)); out == "" {
		t.Error("the task has no log")
	}
	if out, _ := run(0, "events", "--after", "0", "--kind", "vm.*"); !strings.Contains(out, made) {
		t.Errorf("the events are\n%s", out)
	}

	c := cli(t.Context(), t, s, "vm", "list")
	c.Env = append(c.Env, "NOVACRON_TOKEN=ncr_"+strings.Repeat("x", 43))
	if err := c.Run(); err == nil || c.ProcessState.ExitCode() != 4 {
		t.Errorf("with a wrong token it left with %v", err)
	}
}

// The scripts that a shell reads hold no mistake that shellcheck or the shell itself knows.
func TestCompletionsAreSound(t *testing.T) {
	dir := t.TempDir()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, err := exec.Command(server.Binary(t), "completion", shell).Output()
		if err != nil || len(out) < 1000 {
			t.Fatalf("completion %s: %d bytes, %v", shell, len(out), err)
		}
		file := filepath.Join(dir, "novacron."+shell)
		if err := os.WriteFile(file, out, 0o600); err != nil {
			t.Fatal(err)
		}
		if shell != "bash" { // shellcheck knows neither of the others
			continue
		}
		if out, err := exec.Command("bash", "-n", file).CombinedOutput(); err != nil {
			t.Errorf("bash: %v\n%s", err, out)
		}
		if out, err := exec.Command("shellcheck", "--shell=bash", "--severity=error", file).CombinedOutput(); err != nil {
			t.Errorf("shellcheck: %v\n%s", err, out)
		}
	}
}

// takesKeys types a line into a guest's serial console from the command line and waits for what it answers.
func takesKeys(t *testing.T, s *server.Server, vm string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := cli(ctx, t, s, "vm", "console", vm)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("echo $((7*7))-was-it\n")); err != nil {
		t.Fatal(err)
	}
	found := false
	lines := bufio.NewScanner(out)
	for !found && lines.Scan() {
		found = strings.Contains(lines.Text(), "49-was-it")
	}
	if !found {
		t.Errorf("the console said nothing of it: %v, %s", lines.Err(), &said)
	}
	in.Close()
	for lines.Scan() { // until it ends by itself
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v: %s", err, &said)
	}
}
