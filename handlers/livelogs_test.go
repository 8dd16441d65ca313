package handlers

import (
	"net/url"
	"strings"
	"testing"

	"novacron/auth/access"
	"novacron/domain/desired"
	"novacron/jobs/fleet"
)

// The pages of what was done and of what holds follow by themselves.
func TestAuditAndComplianceFollow(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	all := b.open(liveOf(t, b.get("/access/audit").want(t, 200).text))
	some := b.open(liveOf(t, b.get("/access/audit?filter=team-y").want(t, 200).text))
	for _, name := range []string{"team-x", "team-y"} {
		b.post("/access/tenants", url.Values{"name": {name}}).want(t, 303)
	}
	all.until("hx-target", "team-x", "team-y")
	some.until("hx-target", "team-y")

	checks := b.open(liveOf(t, b.get("/access/compliance").want(t, 200).text))
	w.person("zoe", access.Admin)
	b.post("/access/tenants", url.Values{"name": {"team-z"}}).want(t, 303) // whatever is done, the checks are made again
	checks.until("hx-target", "zoe")
}

// What somebody changes, adopts or ignores comes to the page of drift by itself.
func TestDriftFollows(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	page := b.get("/drift").want(t, 200)
	if !strings.Contains(page.text, "Nothing is held to files yet") {
		t.Error("what is held to files before anything was applied?")
	}
	s := b.open(liveOf(t, page.text))
	job, err := w.srv.Fleet.ApplyDesired(t.Context(), "test", fleet.Desired{Files: []desired.Source{{Name: "e", Text: "owner: a\ntenants:\n  - {name: team-x, notes: theirs}\n"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine.Wait(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	s.until("drift-body", "Everything is as it was applied")
	b.post("/access/tenants/team-x/edit", url.Values{"name": {"team-x"}, "notes": {"mine"}}).want(t, 303)
	s.until("drift-body", "notes", "theirs", "mine", "Revert")
	b.post("/drift/tenant/team-x/ignore", nil).want(t, 303)
	s.until("drift-body", "1 ignored", "Speak of it again")
	if w.srv.Fleet.AdoptDrift(t.Context(), "test", "", desired.KindTenant, "team-x") != nil {
		t.Error("it is not to be adopted")
	}
	s.until("drift-body", "Everything is as it was applied")
}
