package api

import (
	"strings"
	"testing"

	"novacron/domain"
)

// What was and what came of it is in the log for a change that a job makes, for one that needs none, and for what is made and deleted.
func TestTheAuditLogTellsWhatChanged(t *testing.T) {
	w := newWorld(t)
	w.addHost("b1")
	id := w.change("POST", "/api/v1/vms", map[string]any{"name": "web", "vcpus": 1, "memory_bytes": 256 << 20}).Resource.ID
	w.change("PATCH", "/api/v1/vms/"+id, map[string]any{"vcpus": 2})
	want[VM](t, w.do("PATCH", "/api/v1/vms/"+id, map[string]any{"notes": "a note"}), 200)
	w.change("DELETE", "/api/v1/vms/"+id, nil)
	rows := want[Page[domain.AuditRecord]](t, w.do("GET", "/api/v1/audit?object="+id+"&limit=100", nil), 200).Items
	has := func(action, before, after string) {
		t.Helper()
		for _, r := range rows {
			if strings.HasPrefix(r.Action, action) && strings.Contains(r.Before, before) && strings.Contains(r.After, after) && (before != "" || r.Before == "") && (after != "" || r.After == "") {
				return
			}
		}
		t.Errorf("no row %s with %q before and %q after in", action, before, after)
		for _, r := range rows {
			t.Logf("%s: %s -> %s", r.Action, r.Before, r.After)
		}
	}
	has("job.ended", "", `"vcpus":"1"`)
	has("job.ended", `{"vcpus":"1"}`, `{"vcpus":"2"}`)
	has("vm.changed", `{"notes":""}`, `{"notes":"a note"}`)
	has("job.ended", `"name":"web"`, "")
}
