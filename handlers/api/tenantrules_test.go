package api

import (
	"testing"

	"novacron/auth/access"
)

// Rules of affinity and snapshot schedules are a tenant's: about its VMs only, in the sight of its people only, and written by those who may.
func TestRulesAndSchedulesAreATenants(t *testing.T) {
	w := newTeams(t)
	const rules, schedules = "/api/v1/affinity-rules", "/api/v1/snapshot-schedules"
	rule := func(name string, more ...any) map[string]any {
		m := map[string]any{"name": name, "kind": "anti-affinity", "scope": "vm-vm", "hard": true, "tags": []string{"db"}}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1]
		}
		return m
	}
	daily := map[string]any{"keep": 2, "at": "02:00"}

	// A's rule belongs to A without saying so, may have the name of one of B's, and names neither B's VM nor B's tenant.
	mine := want[AffinityRule](t, w.do("POST", rules, rule("rule-of-b"), token(w.a)), 201)
	if mine.Tenant != "team-a" {
		t.Errorf("A's rule is %q's", mine.Tenant)
	}
	refused(t, w.do("POST", rules, rule("x", "vms", []string{w.vmOwn}), token(w.a)), 404, "")
	refused(t, w.do("POST", rules, rule("x", "tenant", "team-b"), token(w.a)), 422, "tenant")
	refused(t, w.do("POST", rules, rule("x", "tenant", "team-b", "vms", []string{w.vmA})), 422, "vms.0")
	refused(t, w.do("PATCH", rules+"/"+w.ruleB, map[string]any{"name": "mine"}, token(w.a)), 404, "")
	if l := want[Page[AffinityRule]](t, w.do("GET", rules, nil, token(w.a)), 200); len(l.Items) != 1 || l.Items[0].ID != mine.ID {
		t.Errorf("A sees %+v", l.Items)
	}
	if l := want[Page[AffinityRule]](t, w.do("GET", rules, nil), 200); len(l.Items) != 2 {
		t.Errorf("the admin sees %+v", l.Items)
	}
	if r := want[AffinityRule](t, w.do("PATCH", rules+"/"+mine.ID, map[string]any{"name": "apart"}, token(w.a)), 200); r.Tenant != "team-a" || r.Name != "apart" {
		t.Errorf("%+v", r)
	}
	user := w.serviceToken("u", access.TenantUser, "team-a")
	want[AffinityRule](t, w.do("GET", rules+"/"+mine.ID, nil, token(user)), 200)
	refused(t, w.do("DELETE", rules+"/"+mine.ID, nil, token(user)), 403, "")

	// A host that is given to B is not one for A's rules.
	on := rule("there", "kind", "affinity", "scope", "vm-host", "hosts", []string{w.host})
	want[Tenant](t, w.do("POST", "/api/v1/tenants/team-b/give", map[string]any{"ids": []string{w.host}}), 200)
	refused(t, w.do("POST", rules, map[string]any{"name": "there", "tenant": "team-a", "kind": "affinity", "scope": "vm-host", "tags": []string{"db"}, "hosts": []string{w.host}}), 422, "hosts.0")
	on["tenant"] = "team-b"
	want[AffinityRule](t, w.do("POST", rules, on), 201)
	if a := w.do("DELETE", rules+"/"+mine.ID, nil, token(w.a)); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}

	// The same with schedules: a tag selects the tenant's VMs only, and the run is the tenant's job.
	refused(t, w.do("POST", schedules, map[string]any{"name": "x", "tenant": "team-b", "vms": []string{w.vmA}, "daily": daily}), 422, "vms")
	s := want[SnapshotSchedule](t, w.do("POST", schedules, map[string]any{"name": "schedule-of-b", "vms": []string{w.vmA}, "tags": []string{"db"}, "daily": daily}, token(w.a)), 201)
	if s.Tenant != "team-a" {
		t.Errorf("A's schedule is %q's", s.Tenant)
	}
	if l := want[Page[SnapshotSchedule]](t, w.do("GET", schedules, nil, token(w.a)), 200); len(l.Items) != 1 || l.Items[0].ID != s.ID {
		t.Errorf("A sees %+v", l.Items)
	}
	refused(t, w.do("POST", schedules+"/"+w.schedB+"/run", nil, token(w.a)), 404, "")
	j := want[Job](t, w.do("POST", schedules+"/"+s.ID+"/run", nil, token(w.a)), 202)
	want[Job](t, w.do("GET", "/api/v1/jobs/"+j.ID, nil, token(w.a)), 200)
	refused(t, w.do("GET", "/api/v1/jobs/"+j.ID, nil, token(w.b)), 404, "")
}
