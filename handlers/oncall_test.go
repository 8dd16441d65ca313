package handlers

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

func TestOnCallPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	b.get("/alerts/oncall").want(t, 200, "Nobody is on call", "Begin with a receiver for each person", "There is none")
	a := b.post("/alerts/receivers", url.Values{"kind": {"email"}, "name": {"ann"}, "to": {"ann@example.org"}, "wait": {"1m"}, "repeat": {"4h"}, "group_by": {"host"}, "resolved": {"1"}, "only_on_call": {"1"}})
	if a.StatusCode != http.StatusSeeOther {
		t.Fatal(a.StatusCode, cut(a.text))
	}
	ann := strings.TrimPrefix(a.location(), "/alerts/receivers/")
	b.get("/alerts/receivers").want(t, 200, "what escalates to it")
	b.get("/alerts/oncall/rotas/new").want(t, 200, "Hand-over at", "Wednesday", ">ann<")
	rota := url.Values{"name": {"Ops"}, "time_zone": {"Mars/Base"}, "hand_over": {"09:00"}}
	b.post("/alerts/oncall/rotas", rota).want(t, 422, "is not a time zone", "Nobody is on call on any day", `value="Ops"`)
	rota.Set("time_zone", "Europe/Berlin")
	for _, day := range domain.Weekdays {
		rota.Set(day, ann)
	}
	a = b.post("/alerts/oncall/rotas", rota)
	if a.StatusCode != http.StatusSeeOther {
		t.Fatal(a.StatusCode, cut(a.text))
	}
	at := a.location()
	b.get("/alerts/oncall").want(t, 200, "Ops", "<strong>ann</strong>", "Who is on call: from", `class="now"`)
	b.get(at).want(t, 200, "Who stands in", "Nobody, now or later.", `value="Europe/Berlin"`)
	b.post(at+"/stand-in", url.Values{"receiver": {""}, "from": {"soon"}, "to": {"2099-01-02 09:00"}}).want(t, 422, "“soon” is not a time", `value="2099-01-02 09:00"`)
	b.post(at+"/stand-in", url.Values{"receiver": {""}, "from": {"2099-01-03 09:00"}, "to": {"2099-01-02 09:00"}}).want(t, 422, "The end is not after the beginning")
	b.post(at+"/stand-in", url.Values{"receiver": {""}, "from": {"2099-01-01T09:00"}, "to": {"2099-01-02 09:00"}, "note": {"new year"}}).wantMove(t, at)
	b.get(at).want(t, 200, "Thu 1 Jan 09:00 CET", "new year", "Take back")
	kept, err := w.db.Rotas(t.Context())
	if err != nil || len(kept) != 1 || len(kept[0].Overrides) != 1 {
		t.Fatalf("%+v %v", kept, err)
	}
	rota.Set("version", "1")
	b.post(at, rota).want(t, 409)
	rota.Set("version", "2")
	rota.Set("hand_over", "10:00")
	b.post(at, rota).wantMove(t, at)
	b.get(at).want(t, 200, "new year", `value="10:00"`)
	b.post(at+"/end", url.Values{"override": {kept[0].Overrides[0].ID}}).wantMove(t, at)
	b.get(at).want(t, 200, "Nobody, now or later.")

	b.get("/alerts/oncall/escalations/new").want(t, 200, "who is on call in Ops", "Step 2", "severity=")
	esc := url.Values{"name": {"Critical"}, "matchers": {""}, "to_0": {kept[0].ID}, "after_0": {""}, "to_1": {ann}, "after_1": {"soon"}}
	b.post("/alerts/oncall/escalations", esc).want(t, 422, "soon", `value="Critical"`)
	b.post("/alerts/oncall/escalations", url.Values{"name": {"Critical"}}).want(t, 422, "does not say who is told")
	esc.Set("after_1", "15m")
	b.post("/alerts/oncall/escalations", esc).wantMove(t, "/alerts/oncall")
	b.get("/alerts/oncall").want(t, 200, "1. the rota Ops at once", "2. ann after 15 min more", "all alerts")
	all, err := w.db.Escalations(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	b.post("/alerts/rules", url.Values{"name": {"HostLow"}, "expr": {"novacron_host_up < 1"}}).wantMove(t, "/alerts/rules")
	w.judged(0)
	stand, err := w.db.Alerts(t.Context(), db.AlertQuery{})
	if err != nil || len(stand) != 1 {
		t.Fatal(stand, err)
	}
	b.get("/alerts/"+stand[0].ID).want(t, 200, "Who was told step by step", "is on call in the rota Ops until", "(step 1 of Critical)")
	b.get("/alerts/receivers/"+ann).want(t, 200, "is on call in the rota Ops until", "1 firing")

	if a := b.post(at+"/delete", nil); a.StatusCode != http.StatusSeeOther { // an escalation names it
		t.Error(a.StatusCode)
	}
	b.get(at).want(t, 200, "The rota Ops is told by the escalation Critical", "Hand-over at")
	at2 := "/alerts/oncall/escalations/" + all[0].ID
	b.get(at2).want(t, 200, `value="15m"`, "Critical")
	esc.Set("disabled", "1")
	b.post(at2, esc).wantMove(t, "/alerts/oncall")
	b.get("/alerts/oncall").want(t, 200, ">off<")
	b.get(at2+"/delete").want(t, 200, "Delete the escalation Critical?")
	b.post(at2+"/delete", nil).wantMove(t, "/alerts/oncall")
	b.get(at+"/delete").want(t, 200, "Delete the rota Ops?")
	b.post(at+"/delete", nil).wantMove(t, "/alerts/oncall")
	for _, odd := range []string{at + "/fly", at2 + "/fly"} {
		b.post(odd, nil).want(t, 404)
	}
}

// Who administers a tenant writes rules that see the tenant's series alone, previews and changes and deletes them, and gets at nothing of the estate's.
func TestATenantsAdminHasItsOwnRules(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	root := auth.Subject{Name: "test"}
	for _, name := range []string{"team-a", "team-b"} {
		if _, err := w.auth.SaveTenant(ctx, root, domain.Tenant{Name: name}, true, 0); err != nil {
			t.Fatal(err)
		}
	}
	root2 := w.admin()
	root2.post("/alerts/rules", url.Values{"name": {"Estate"}, "expr": {"novacron_host_up < 1"}}).wantMove(t, "/alerts/rules")
	found, err := w.db.AlertRules(ctx)
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	estate := "/alerts/rules/" + found[0].ID
	b := w.person("ten", "")
	if _, err := w.auth.Bind(ctx, root, domain.Binding{Subject: domain.Ref{ID: "ten"}, Role: access.TenantAdmin, Scope: domain.ScopeTenant, ScopeID: "team-a"}); err != nil {
		t.Fatal(err)
	}
	b.get("/alerts").want(t, 200, "Rules")
	b.get("/alerts/rules").want(t, 200, "New rule")
	b.get("/alerts/rules/new?as=promql").want(t, 200, "Expression in PromQL", "team-a")
	rule := url.Values{"name": {"Busy"}, "expr": {"novacron_vm_up == 0"}, "tenant": {"team-a"}, "severity": {"warning"}}
	b.post("/alerts/rules", url.Values{"name": {"Busy"}, "expr": {"sum("}, "tenant": {"team-a"}}).want(t, 422, "line 1, column")
	b.post("/alerts/rules", url.Values{"name": {"Busy"}, "expr": {"novacron_host_up"}, "tenant": {"team-a"}, "preview": {"1"}, "past": {"1h"}}).want(t, 200, "It would not have fired")
	b.post("/alerts/rules", rule).wantMove(t, "/alerts/rules")
	b.get("/alerts/rules").want(t, 200, "Busy")
	if text := b.get("/alerts/rules").text; strings.Contains(text, "Estate") {
		t.Error("a rule of the estate is listed")
	}
	mine, err := w.db.AlertRules(ctx)
	if err != nil || len(mine) != 2 || mine[0].Name != "Busy" || mine[0].Tenant != "team-a" {
		t.Fatalf("%+v %v", mine, err)
	}
	at := "/alerts/rules/" + mine[0].ID
	b.get(at).want(t, 200, "Busy", "novacron_vm_up == 0", "Save")
	rule.Set("tenant", "")
	rule.Set("name", "Busier")
	b.post(at, rule).wantMove(t, "/alerts/rules")
	if r, err := w.db.AlertRule(ctx, mine[0].ID); err != nil || r.Tenant != "team-a" || r.Name != "Busier" {
		t.Errorf("a tenant's rule became the estate's: %+v %v", r, err)
	}
	b.get(at+"/delete").want(t, 200, "Delete the rule Busier?")
	b.post(at+"/delete", nil).wantMove(t, "/alerts/rules")
	b.get(estate).want(t, 404)
	b.post("/alerts/rules", url.Values{"name": {"Unsaid"}, "expr": {"novacron_vm_up == 0"}}).wantMove(t, "/alerts/rules")
	b.get("/alerts/rules/import").want(t, 200, "rule file")
	b.post("/alerts/rules/import", url.Values{"yaml": {"groups:\n- name: g\n  rules:\n  - alert: Taken\n    expr: novacron_vm_up == 0\n"}}).wantMove(t, "/alerts/rules")
	file := b.get("/alerts/rules/export").text
	if !strings.Contains(file, "Taken") || strings.Contains(file, "Estate") {
		t.Errorf("the tenant's rule file: %q", file)
	}
	after, err := w.db.AlertRules(ctx)
	for _, r := range after {
		if err != nil || r.Name != "Estate" && r.Tenant != "team-a" {
			t.Errorf("%s is of %q (%v)", r.Name, r.Tenant, err)
		}
	}
	for path, form := range map[string]url.Values{
		"/alerts/rules":              {"name": {"All"}, "expr": {"novacron_host_up"}, "tenant": {"team-b"}},
		"/alerts/oncall/rotas":       {"name": {"x"}, "time_zone": {"UTC"}, "hand_over": {"09:00"}},
		"/alerts/oncall/escalations": {"name": {"x"}, "to_0": {"y"}},
		"/alerts/receivers":          {"name": {"x"}, "kind": {"email"}, "to": {"a@example.org"}},
		"/alerts/silences":           {"matchers": {`host="b1"`}, "lasts": {"2h"}, "comment": {"x"}},
		estate + "/delete":           nil,
		estate:                       {"name": {"Mine"}, "expr": {"up"}, "tenant": {"team-a"}},
	} {
		if a := b.post(path, form); a.StatusCode != 403 && a.StatusCode != 404 {
			t.Errorf("%s: %d %s", path, a.StatusCode, cut(a.text))
		}
	}
	for _, path := range []string{"/alerts/oncall", "/alerts/receivers", "/alerts/silences"} {
		if a := b.get(path); a.StatusCode != 403 && a.StatusCode != 404 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}
