package libvirt

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/e2e/lab"
	"novacron/hv"
	"novacron/hv/hvtest"
)

// agentGuest is a running guest of the lab, whose agent answers.
func agentGuest(t *testing.T, h *host, name string) string {
	t.Helper()
	kernel, initrd, err := lab.Guest(t.TempDir())
	must(t, err)
	boot := domain.Boot{Cmdline: "console=ttyS0 quiet labdhcp=0"}
	for _, f := range []struct {
		from, name string
		to         *string
	}{{kernel, "agent-vmlinuz", &boot.Kernel}, {initrd, "agent-initrd", &boot.Initrd}} {
		data, err := os.ReadFile(f.from)
		must(t, err)
		*f.to, err = daemon(t).Image(f.name, data)
		must(t, err)
	}
	spec := domain.VMSpec{Name: name, UUID: domain.NewUUID(), VCPUs: 1, MemoryBytes: 192 * domain.MiB, Machine: "pc", Graphics: "none", Boot: boot}
	defined(t, h, spec)
	must(t, h.Start(ctxFor(t, wait), spec.UUID))
	ctx := ctxFor(t, 3*time.Minute)
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := h.GuestFacts(ctx, spec.UUID)
		if err == nil {
			return spec.UUID
		}
		if !domain.Is(err, domain.Unavailable) {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the agent did not come up: %v", err)
		}
	}
}

// TestContractAgent holds the driver to what it must do with a real agent in a real guest, and looks at what only a real one tells.
func TestContractAgent(t *testing.T) {
	h := dialURI(t, daemon(t).UnixURI())
	uuid := agentGuest(t, h, "agent")
	f, err := h.GuestFacts(ctxFor(t, wait), uuid)
	must(t, err)
	if f.OSName != "NovaCron demo guest" || f.Hostname != "nova-guest" || !strings.Contains(f.Kernel, "cloud") || f.Machine == "" || len(f.Load) != 3 || len(f.Cards) == 0 {
		t.Errorf("facts %+v", f)
	}
	if len(f.FileSystems) != 1 || f.FileSystems[0].Mount != "/mnt" || f.FileSystems[0].TotalBytes == 0 {
		t.Errorf("file systems %+v", f.FileSystems)
	}
	if skew := f.Skew.Abs(); skew > time.Minute {
		t.Errorf("the clock is %s away", skew)
	}
	hvtest.AgentContract(t, h, uuid)

	// What goes wrong inside is told as what it is.
	_, err = h.ExecGuest(ctxFor(t, wait), uuid, []string{"/no/such/program"})
	if err == nil || domain.Is(err, domain.Internal) || domain.Is(err, domain.Unavailable) {
		t.Errorf("a program that is not there: %v", err)
	}
	if err := h.SetGuestPassword(ctxFor(t, wait), uuid, "nobody-here", "$6$saltsalt$hash", true); err == nil || domain.Is(err, domain.Internal) {
		t.Errorf("the password of nobody: %v", err)
	}
	pid, err := h.ExecGuest(ctxFor(t, wait), uuid, []string{"sh", "-c", "dd if=/dev/zero bs=1k count=100 2>/dev/null | tr '\\0' x; echo bad >&2; exit 7"})
	must(t, err)
	st := ended(t, h, uuid, pid)
	if st.Code != 7 || len(st.Out) != hv.ExecKeep || !st.OutMore || string(st.Err) != "bad\n" || st.ErrMore {
		t.Errorf("it ended with %d, %d bytes (%v), %q", st.Code, len(st.Out), st.OutMore, st.Err)
	}
	pid, err = h.ExecGuest(ctxFor(t, wait), uuid, []string{"sleep", "600"})
	must(t, err)
	kill, err := h.ExecGuest(ctxFor(t, wait), uuid, []string{"kill", "-KILL", strconv.FormatInt(pid, 10)})
	must(t, err)
	ended(t, h, uuid, kill)
	if st := ended(t, h, uuid, pid); st.Signal != 9 {
		t.Errorf("a killed command: %+v", st)
	}

	// With an agent, it is the agent that is asked to shut down.
	must(t, h.Shutdown(ctxFor(t, wait), uuid))
	ctx := ctxFor(t, time.Minute)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		g, err := h.Guest(ctx, uuid)
		must(t, err)
		if g.State == domain.VMStopped {
			return
		}
		<-tick.C
	}
}

func ended(t *testing.T, h *host, uuid string, pid int64) hv.ExecStatus {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx := ctxFor(t, wait); ; {
		st, err := h.ExecStatus(ctx, uuid, pid)
		must(t, err)
		if st.Ended {
			return st
		}
		<-tick.C
	}
}
