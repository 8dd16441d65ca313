package handlers

import (
	"net/url"
	"strings"
	"testing"

	"novacron/db"
)

// Each VM of a selection has its own rows in the log: who asked, how it was, and what came of it.
func TestASelectionIsAuditedVMByVM(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "hv-1")
	one, two := w.running(b, "web-1"), w.running(b, "web-2")
	b.post("/vms/bulk", url.Values{"action": {"stop"}, "ids": {one.ID, two.ID}, "confirm": {"1"}}).want(t, 303)
	w.job(w.newest("vm.bulk").ID)
	for _, id := range []string{one.ID, two.ID} {
		rows, err := w.db.AuditLog(t.Context(), db.AuditQuery{Object: id})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, r := range rows {
			found = found || r.Action == "job.ended" && r.Subject != "" && r.Address != "" && r.Outcome == "ok" && strings.Contains(r.Before, `"state":"running"`) && strings.Contains(r.After, `"state":"stopped"`)
		}
		if !found {
			t.Errorf("no row of %s tells that it was stopped:", id)
			for _, r := range rows {
				t.Logf("%s %s by %s: %s -> %s", r.Action, r.Message, r.Actor, r.Before, r.After)
			}
		}
	}
}
