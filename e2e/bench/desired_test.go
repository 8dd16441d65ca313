package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// BenchmarkPlan500 plans, with the command line, for 500 VMs that are there and differ, in an estate of 1,000.
func BenchmarkPlan500(b *testing.B) {
	const hosts, guests, planned, tries = 50, 20, 500, 7
	l := up(b, lab.Options{TestDrivers: hosts, TestGuests: guests})
	s := server.Start(b)
	api := s.API()
	for i, h := range l.TestHosts {
		api.AddHost(b, fmt.Sprintf("t%03d", i), h.URI)
	}
	var vms []server.VM
	server.Wait(b, 2*time.Minute, "every VM to be seen", func() (err error) {
		if vms, err = api.VMs(); err == nil && len(vms) < hosts*guests {
			err = server.Not(hosts*guests, len(vms))
		}
		return err
	})
	var text strings.Builder
	text.WriteString("owner: bench\nvms:\n")
	seen := map[string]bool{}
	for _, vm := range vms {
		if len(seen) < planned && !seen[vm.Name] {
			seen[vm.Name] = true
			fmt.Fprintf(&text, "  - name: %q\n    vcpus: 3\n    memory_bytes: 1 GiB\n    notes: planned\n    tags: [bench]\n", vm.Name)
		}
	}
	for i := len(seen); i < planned; i++ {
		fmt.Fprintf(&text, "  - name: new-%d\n    vcpus: 3\n    memory_bytes: 1 GiB\n    disks:\n      - {pool: default, size_bytes: 10 GiB}\n", i)
	}
	file := filepath.Join(b.TempDir(), "estate.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	for range tries {
		took = append(took, timed(func() {
			cmd := exec.Command(server.Binary(b), "plan", "-f", file)
			cmd.Env = append(os.Environ(), "NOVACRON_SERVER="+s.URL, "NOVACRON_TOKEN="+s.Token)
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "bench: ") {
				b.Fatalf("%v: %s", err, out)
			}
		}))
	}
	b.ReportMetric(ms(quantile(took, 0.5)), "ms/plan")
	b.ReportMetric(float64(len(seen)), "there")
	bar(b, fmt.Sprintf("a plan of %d VMs by the command line, median wall", planned), ms(quantile(took, 0.5)), 2000, "ms")
	if q := quantile(took, 0.5); q > 2*time.Second {
		b.Errorf("a plan of %d VMs took %s", planned, q)
	}
}
