package api

import (
	"net/http"
	"strings"
	"testing"

	"novacron/domain"
)

func TestPlansAsAResource(t *testing.T) {
	w := newWorld(t)
	h := w.addHost("hv-1")
	w.createVM("web-1")
	dry := want[EvacuationPlan](t, w.do("POST", "/api/v1/hosts/"+h+"/evacuate", map[string]any{"dry_run": true}), http.StatusOK)
	if dry.Stay != 1 || dry.Moves != 0 || dry.Parallel != 2 || dry.Items[0].Why[0].Msg == "" {
		t.Errorf("%+v", dry)
	}
	if p := want[Page[Plan]](t, w.do("GET", "/api/v1/plans", nil), 200); len(p.Items) != 0 {
		t.Errorf("a dry run left %+v", p)
	}
	refused(t, w.do("POST", "/api/v1/hosts/"+h+"/evacuate", nil), http.StatusConflict, "")
	refused(t, w.do("POST", "/api/v1/hosts/"+h+"/return", nil), http.StatusConflict, "")
	refused(t, w.do("POST", "/api/v1/plans", map[string]any{"hosts": []string{"nowhere"}}), 422, "hosts.0")
	refused(t, w.do("POST", "/api/v1/plans", map[string]any{"hosts": []string{h}, "parallel": 17}), 422, "parallel")
	p := want[Plan](t, w.do("POST", "/api/v1/plans", map[string]any{"hosts": []string{"hv-1"}, "dry_run": true}), 200)
	if p.ID != "" || p.Kind != domain.PlanEvacuate {
		t.Errorf("%+v", p)
	}
	p = want[Plan](t, w.do("POST", "/api/v1/plans", map[string]any{"hosts": []string{"hv-1"}, "gate": "confirm"}), 201)
	at := "/api/v1/plans/" + p.ID
	if p.State != domain.PlanDraft || p.Stay != 1 || len(p.Stages) != 1 || p.Stages[0].Stays[0].VM != "web-1" {
		t.Errorf("%+v", p)
	}
	refused(t, w.do("POST", at+"/start", nil), http.StatusConflict, "")
	refused(t, w.do("PATCH", at, map[string]any{"moves": []any{map[string]any{"vm_id": "vm_x", "host_id": h}}}), 422, "moves.0.vm_id")
	p = want[Plan](t, w.do("PATCH", at, map[string]any{"start_at": "2099-06-01T02:00", "time_zone": "Europe/Berlin"}), 200)
	if p.StartAt == nil || !strings.HasPrefix(p.StartAt.UTC().String(), "2099-06-01 00:00") {
		t.Errorf("%v", p.StartAt)
	}
	if p = want[Plan](t, w.do("POST", at+"/approve", nil), 200); p.State != domain.PlanApproved {
		t.Errorf("%s", p.State)
	}
	w.change("POST", at+"/start", nil)
	if p = want[Plan](t, w.do("GET", at, nil), 200); p.State != domain.PlanWaiting || len(p.Reasons) != 1 {
		t.Errorf("%s %+v", p.State, p.Reasons)
	}
	refused(t, w.do("DELETE", at, nil), http.StatusConflict, "")
	if l := want[Page[Plan]](t, w.do("GET", "/api/v1/plans?state=waiting", nil), 200); len(l.Items) != 1 {
		t.Errorf("%+v", l)
	}
	w.change("POST", at+"/confirm", nil)
	if p = want[Plan](t, w.do("GET", at, nil), 200); p.State != domain.PlanDone {
		t.Errorf("%s %+v", p.State, p.Reasons)
	}
	refused(t, w.do("POST", at+"/resume", nil), http.StatusConflict, "")
	refused(t, w.do("POST", at+"/stop", nil), http.StatusConflict, "")
	if a := w.do("DELETE", at, nil); a.StatusCode != 204 {
		t.Errorf("%d", a.StatusCode)
	}
}

func TestAffinityRulesAsAResource(t *testing.T) {
	w := newWorld(t)
	h := w.addHost("hv-1")
	vm := w.createVM("db-1")
	refused(t, w.do("POST", "/api/v1/affinity-rules", map[string]any{"name": "x", "kind": "affinity", "scope": "vm-vm", "vms": []string{vm}}), 422, "vms")
	refused(t, w.do("POST", "/api/v1/affinity-rules", map[string]any{"name": "x", "kind": "affinity", "scope": "vm-host", "vms": []string{"vm_x"}, "hosts": []string{h}}), 422, "vms.0")
	r := want[AffinityRule](t, w.do("POST", "/api/v1/affinity-rules", map[string]any{"name": "licence", "kind": "anti-affinity", "scope": "vm-host", "hard": true, "tags": []string{"db"}, "hosts": []string{h}}), 201)
	at := "/api/v1/affinity-rules/" + r.ID
	refused(t, w.do("POST", "/api/v1/affinity-rules", map[string]any{"name": "Licence", "kind": "affinity", "scope": "vm-vm", "tags": []string{"db"}}), http.StatusConflict, "name")
	refused(t, w.do("POST", "/api/v1/vms", map[string]any{"name": "db-2", "vcpus": 1, "memory_bytes": 256 << 20, "tags": []string{"db"}, "host": "any"}), http.StatusInsufficientStorage, "")
	if r = want[AffinityRule](t, w.do("PATCH", at, map[string]any{"hard": false}), 200); r.Hard || r.Version != 2 || len(r.Tags) != 1 {
		t.Errorf("%+v", r)
	}
	if l := want[Page[AffinityRule]](t, w.do("GET", "/api/v1/affinity-rules?sort=-created", nil), 200); len(l.Items) != 1 || l.Items[0].Name != "licence" {
		t.Errorf("%+v", l)
	}
	if a := w.do("DELETE", at, nil); a.StatusCode != 204 {
		t.Errorf("%d", a.StatusCode)
	}
	refused(t, w.do("GET", at, nil), 404, "")
}
