package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"novacron/e2e/server"
)

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
		// SC2145: the completion library takes COMP_LINE, a text, for a list, where a terminal is traced.
		if out, err := exec.Command("shellcheck", "--shell=bash", "--severity=error", "--exclude=SC2145", file).CombinedOutput(); err != nil {
			t.Errorf("shellcheck: %v\n%s", err, out)
		}
	}
}
