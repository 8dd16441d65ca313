package migrate_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
)

// Hosts whose clocks differ are found by the first move between them; from then on every look before a move says so, both ways, and forbids none.
func TestClocksThatDiffer(t *testing.T) {
	w, a, b, from, to, vm := joined(t, true)
	b.SetAhead(40 * time.Second)
	say := func(to domain.Host) string {
		t.Helper()
		targets, err := w.Fleet.Forecast(t.Context(), fleettest.Actor, vm.ID, []string{to.ID}, fleet.MigrateVM{})
		if err != nil || len(targets) != 1 || !targets[0].Allowed {
			t.Fatalf("%+v: %v", targets, err)
		}
		i := slices.IndexFunc(targets[0].Checks, func(c domain.Check) bool { return c.Name == "clock" })
		if i < 0 {
			return ""
		}
		if c := targets[0].Checks[i]; c.Level == domain.CheckWarn && c.Fix != "" {
			return c.Message
		}
		return "no warning"
	}
	if got := say(to); got != "" {
		t.Errorf("before any move it says %q", got)
	}
	move := func(to domain.Host) {
		t.Helper()
		job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
		w.Succeed(t, job, err)
	}
	move(to)
	if once(t, w, a, b) != "b" {
		t.Fatal("it was not moved")
	}
	if got := say(from); !strings.Contains(got, "40s apart") {
		t.Errorf("on the way back it says %q", got)
	}
	move(from)
	if got := say(to); !strings.Contains(got, "40s apart") {
		t.Errorf("back again it says %q", got)
	}
	b.SetAhead(0)
	move(to)
	if got := say(from); got != "" {
		t.Errorf("with the clocks put right it says %q", got)
	}
}
