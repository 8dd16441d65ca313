package handlers

import (
	"net/url"
	"testing"

	"novacron/auth/access"
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
