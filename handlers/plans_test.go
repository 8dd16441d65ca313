package handlers

import (
	"net/url"
	"strings"
	"testing"

	"novacron/db"
	"novacron/domain"
)

func TestPlanPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	h := w.host(b, "hv-1")
	b.get("/plans").want(t, 200, "No plans yet")
	b.get("/plans/new?host="+h.ID).want(t, 200, "checked", "Failure domain")
	b.post("/plans", url.Values{"hosts": {h.ID}, "parallel": {"x"}, "gate": {"none"}}).want(t, 422, "“x” is not a number", `value="x"`)
	b.post("/plans", url.Values{"label": {"rack"}, "parallel": {"2"}, "gate": {"confirm"}}).want(t, 422, "No connected host has the label")
	vm := w.running(b, "web-1")
	b.get("/hosts/"+h.ID+"/evacuate").want(t, 200, "web-1", "Edit, approve or schedule it")
	a := b.post("/hosts/"+h.ID+"/evacuate", url.Values{"keep": {"1"}})
	if a.StatusCode != 303 {
		t.Fatalf("%d %s", a.StatusCode, cut(a.text))
	}
	page := a.location()
	id := strings.TrimPrefix(page, "/plans/")
	b.get(page).want(t, 200, "draft", "web-1", "stays", "There is no other host", "Approve")
	b.get("/plans").want(t, 200, "Evacuate hv-1", "by hand")
	b.get(page+"/edit").want(t, 200, "Begins at", `name="order"`)
	edit := url.Values{"version": {"1"}, "title": {"Firmware"}, "parallel": {"99"}, "start_at": {"2020-01-01T02:00"}, "time_zone": {"Mars"}, "vm": {vm.ID}, "host": {""}, "order": {"1"}, "gate": {"none"}}
	b.post(page+"/edit", edit).want(t, 422, "99 moves at a time are not possible", "is not a time zone", `value="Firmware"`)
	edit.Set("parallel", "1")
	edit.Set("time_zone", "Europe/Berlin")
	b.post(page+"/edit", edit).want(t, 422, "is over")
	edit.Set("start_at", "2099-01-01T02:00")
	b.post(page+"/edit", edit).wantMove(t, page)
	b.get(page).want(t, 200, "Firmware", "02:00 Europe/Berlin")
	b.post(page+"/approve", url.Values{"version": {"1"}}).wantMove(t, page) // of what it was before: refused
	if p, err := w.db.Plan(t.Context(), id); err != nil || p.State != domain.PlanDraft {
		t.Fatalf("%+v (%v)", p, err)
	}
	b.post(page+"/approve", url.Values{"version": {"2"}}).wantMove(t, page)
	b.get(page).want(t, 200, "approved", "Start now", "Do not begin")
	b.post(page+"/start", url.Values{"key": {"k1"}}).wantMove(t, page)
	w.level("the plan is done", func() bool {
		p, err := w.db.Plan(t.Context(), id)
		return err == nil && p.State == domain.PlanDone
	})
	b.get(page).want(t, 200, "done", "Show task")
	if now, err := w.db.Host(t.Context(), h.ID); err != nil || !now.Maintenance {
		t.Errorf("%+v (%v)", now, err)
	}
	b.get(page+"/delete").want(t, 200, "Delete the plan Firmware?")
	b.get(page+"/start").want(t, 404)
	b.post(page+"/delete", nil).wantMove(t, "/plans")
	b.get(page).want(t, 404)
	if a := w.viewer().get("/plans"); a.StatusCode == 200 {
		t.Error("a viewer sees plans")
	}
}

func TestAffinityRulePages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "hv-1")
	vm := w.running(b, "db-1")
	b.get("/affinity-rules").want(t, 200, "No rules yet")
	b.get("/affinity-rules/new").want(t, 200, "db-1")
	form := url.Values{"name": {"apart"}, "kind": {"anti-affinity"}, "scope": {"vm-vm"}, "hard": {"1"}, "vms": {vm.ID}}
	b.post("/affinity-rules", form).want(t, 422, "neither together nor apart", `value="apart"`)
	form.Set("tags", "db")
	b.post("/affinity-rules", form).wantMove(t, "/affinity-rules")
	b.get("/affinity-rules").want(t, 200, "apart", "db-1", "all with the tag db", "must run on different hosts")
	all, err := w.db.AffinityRules(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v (%v)", all, err)
	}
	page := "/affinity-rules/" + all[0].ID
	b.get("/vms/"+vm.ID).want(t, 200, page, "must run on different hosts")
	b.get(page).want(t, 200, `value="apart"`)
	form.Set("version", "1")
	form.Set("notes", "two copies")
	b.post(page, form).wantMove(t, "/affinity-rules")
	b.post(page, form).want(t, 409, "changed meanwhile")
	b.get(page+"/delete").want(t, 200, "Delete the rule apart?")
	b.post(page+"/delete", nil).wantMove(t, "/affinity-rules")
	if evs, err := w.db.Events(t.Context(), db.EventQuery{Resource: all[0].ID, Limit: 10}); err != nil || len(evs) != 3 {
		t.Errorf("%+v (%v)", evs, err)
	}
}
