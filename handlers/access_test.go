package handlers

import (
	"encoding/csv"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"novacron/db"
	"novacron/domain"
)

var shownSecretRE = regexp.MustCompile(`<code id="secret"[^>]*>([^<]+)</code>`)

// Everything about access is made, changed, explained and taken away by its pages.
func TestAccessPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	if a := b.get("/access"); a.StatusCode != 303 || a.Header.Get("Location") != "/access/users" {
		t.Fatalf("%d %s", a.StatusCode, a.Header.Get("Location"))
	}
	b.get("/access/groups").want(t, 200, "No groups yet")
	b.get("/access/tenants").want(t, 200, "No tenants yet")
	// A tenant with a quota.
	b.post("/access/tenants", url.Values{"name": {"Team A"}, "vms": {"many"}, "memory_bytes": {"lots"}}).want(t, 422, "is not a limit", "is not a size", "Team A")
	if a := b.post("/access/tenants", url.Values{"name": {"Team A"}, "vms": {"3"}, "memory_bytes": {"8 GiB"}}); a.Header.Get("Location") != "/access/tenants/team-a" {
		t.Fatalf("%d %s", a.StatusCode, cut(a.text))
	}
	b.get("/access/tenants/team-a").want(t, 200, "0 of 3", "0 B of 8 GiB")
	b.post("/access/tenants", url.Values{"name": {"Below"}, "parent": {"team-a"}}).want(t, 303)
	b.get("/access/tenants").want(t, 200, "└", "Below")
	b.get("/access/tenants/team-a/edit").want(t, 200, `value="8 GiB"`)
	b.post("/access/tenants/team-a/edit", url.Values{"name": {"Team A"}, "vms": {"5"}, "version": {"9"}}).want(t, 409)
	b.post("/access/tenants/team-a/edit", url.Values{"name": {"Team A"}, "vms": {"5"}}).want(t, 303)
	// A person with a role in it.
	b.post("/access/users", url.Values{"name": {"no spaces here"}}).want(t, 422, "no spaces here")
	a := b.post("/access/users", url.Values{"name": {"ann"}, "email": {"ann@example.org"}, "role": {"tenant-user"}, "tenant": {"team-a"}}).want(t, 200, "shown this once")
	once := shownSecretRE.FindStringSubmatch(a.text)
	if once == nil || len(once[1]) < 20 {
		t.Fatal("the one-time password is not shown")
	}
	ann, err := w.db.UserByName(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	b.get("/access/users?filter=team-a").want(t, 200, "ann", "tenant-user @ team-a", "one-time password")
	b.get("/access/users?filter=nobody").want(t, 200, "No account matches")
	b.get("/access/users/"+ann.ID).want(t, 200, "ann may do what the role Tenant user allows in the tenant Team A.")
	b.post("/access/users/"+ann.ID, url.Values{"email": {"not a mail"}}).want(t, 422, "not a mail")
	b.post("/access/users/"+ann.ID, url.Values{"full_name": {"Ann B"}}).want(t, 303)
	// A group, a role, a binding with a condition that is checked while it is typed.
	a = b.post("/access/groups", url.Values{"name": {"ops"}, "members": {ann.ID}}).want(t, 303)
	group := strings.TrimPrefix(a.Header.Get("Location"), "/access/groups/")
	b.get("/access/groups/"+group).want(t, 200, `value="`+ann.ID+`" checked`)
	b.post("/access/roles", url.Values{"id": {"Bad Role"}}).want(t, 422, "Bad Role")
	b.post("/access/roles", url.Values{"id": {"starter"}, "permissions": {"vm.read", "vm.power"}}).want(t, 303)
	b.get("/access/roles").want(t, 200, "starter", "vm.power")
	b.get("/access/roles/platform-admin").want(t, 200, "built in", "disabled")
	b.get("/access/bindings/new?scope=tenant&tenant=team-a").want(t, 200, "What this does")
	form := url.Values{"subject": {group}, "role": {"starter"}, "scope": {"tag"}, "tag": {"prod"}, "condition": {"hour >"}}
	b.post("/access/bindings/check", form).want(t, 200, "cannot be read")
	b.post("/access/bindings/new", form).want(t, 422, "cannot be read", "hour &gt;")
	form.Set("condition", "hour >= 0")
	b.post("/access/bindings/check", form).want(t, 200, "Everybody in ops may do what the role starter allows on VMs with the tag prod while hour &gt;= 0.")
	b.post("/access/bindings/new", form).want(t, 303)
	b.get("/access/bindings?filter=prod").want(t, 200, "Everybody in ops")
	// Explained by the code that decides.
	b.get("/access/explain").want(t, 200, "Why can Ann do this?")
	b.get("/access/explain?subject=ann&permission=vm.power&object=team-a").want(t, 200, "ann may vm.power to team-a.", "does not apply")
	b.get("/access/explain?subject=ann&permission=host.add").want(t, 200, "ann may not host.add")
	b.get("/access/explain?permission=vm.power&object=team-a").want(t, 200, "Who may vm.power", "ann", "admin")
	b.get("/access/explain?subject=nobody&permission=vm.power").want(t, 422, "There is no user, group or token")
	b.get("/access/explain?subject=ann&permission=vm.power&object=vm_nothing").want(t, 422)
	// A service account's token, shown once.
	b.post("/access/tokens", url.Values{"name": {"ci"}, "role": {"nothing"}}).want(t, 422)
	a = b.post("/access/tokens", url.Values{"name": {"ci"}, "role": {"tenant-user"}, "tenant": {"team-a"}, "days": {"3"}}).want(t, 200, "shown this once")
	text := shownSecretRE.FindStringSubmatch(a.text)[1]
	if _, err := w.auth.TokenSubject(t.Context(), text); err != nil {
		t.Errorf("the token opens nothing: %v", err)
	}
	if a := b.get("/access/tokens").want(t, 200, "Tenant user in Team A"); strings.Contains(a.text, text) {
		t.Error("the token is shown again")
	}
	// Taken away again, each asked before.
	toks, err := w.db.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := w.db.Bindings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ list, do, id, confirm string }{
		{"tokens", "revoke", toks[0].ID, ""}, {"bindings", "remove", all[len(all)-1].ID, ""}, {"roles", "delete", "starter", "starter"}, {"groups", "delete", group, "ops"},
		{"users", "disable", ann.ID, ""}, {"users", "enable", ann.ID, ""}, {"users", "delete", ann.ID, "ann"}, {"tenants", "delete", "below", "Below"},
	} {
		b.get("/access/"+x.list+"/bulk?do="+x.do+"&ids="+x.id).want(t, 200, `class="ask"`)
		do := url.Values{"do": {x.do}, "ids": {x.id}}
		if x.confirm != "" {
			b.post("/access/"+x.list+"/bulk", do).want(t, 422, "That is not the name.")
			do.Set("confirm", x.confirm)
		}
		b.post("/access/"+x.list+"/bulk", do).want(t, 303)
	}
	admin, err := w.db.UserByName(t.Context(), "admin")
	if err != nil {
		t.Fatal(err)
	}
	b.post("/access/users/bulk", url.Values{"do": {"disable"}, "ids": {admin.ID}}).want(t, 409, "lock yourself out")
	b.get("/access/users/bulk?do=fly&ids="+admin.ID).want(t, 422)
	b.get("/access/users/bulk?do=delete").want(t, 422)
	b.get("/access/users/bulk?do=delete&ids=user_nothing").want(t, 404)
	b.post("/access/users", url.Values{"name": {"bo"}}).want(t, 200)
	bo, err := w.db.UserByName(t.Context(), "bo")
	if err != nil {
		t.Fatal(err)
	}
	b.get("/access/users/bulk?do=reset&ids="+bo.ID).want(t, 200, "one-time")
	b.post("/access/users/bulk", url.Values{"do": {"reset"}, "ids": {bo.ID}}).want(t, 200, "The account is reset")
	// All of it is in the audit log, and what one may not see is not there.
	v := w.viewer()
	v.get("/access/users").want(t, 200, "bo")
	v.get("/access/users/new").want(t, 403)
	v.post("/access/users/bulk", url.Values{"do": {"delete"}, "ids": {bo.ID}, "confirm": {"bo"}}).want(t, 403)
}

func TestAuditPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	for _, name := range []string{"=cmd|' /C calc'!A0", "+1", "<script>alert(1)</script>"} {
		b.post("/access/tenants", url.Values{"name": {name + "a"}}).want(t, 303)
	}
	err := w.db.Write(t.Context(), func(tx *db.Tx) error {
		return tx.Audit(domain.AuditRecord{Action: "tenant.changed", Actor: "=ann", Message: "=1+1", Object: domain.Ref{Kind: "tenant", ID: "x", Name: "@x"}, Before: `{"quota":{"vms":1},"name":"A"}`, After: `{"quota":{"vms":2}}`, JobID: "job_1"})
	})
	if err != nil {
		t.Fatal(err)
	}
	b.get("/access/audit").want(t, 200, "was made", "&lt;script&gt;")
	b.get("/access/audit?action=tenant.changed").want(t, 200, "=1+1")
	b.get("/access/audit?actor=nobody").want(t, 200, "No row matches")
	b.get("/access/audit?from=yesterday").want(t, 422, "is not a day")
	b.get("/access/audit?before=x").want(t, 422)
	b.get("/access/audit?outcome=ok&from=2000-01-01&to=2099-01-01&object=x").want(t, 200, "=1+1")
	rows, err := w.db.AuditLog(t.Context(), db.AuditQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	seq := rows[0].Seq
	b.get("/access/audit/"+strconv.FormatInt(seq, 10)).want(t, 200, "{&#34;vms&#34;:1}", "{&#34;vms&#34;:2}", "/tasks/job_1", rows[0].Hash)
	b.get("/access/audit/999999").want(t, 404)
	b.get("/access/audit/x").want(t, 404)
	if a := b.get("/access/audit/export?format=jsonl").want(t, 200, `"message":"=1+1"`); a.Header.Get("Content-Type") != "application/x-ndjson" || int64(strings.Count(a.text, "\n")) != seq {
		t.Errorf("%s, %d lines of %d", a.Header.Get("Content-Type"), strings.Count(a.text, "\n"), seq)
	}
	// No cell begins as a formula does.
	a := b.get("/access/audit/export?format=csv").want(t, 200)
	cells, err := csv.NewReader(strings.NewReader(a.text)).ReadAll()
	if err != nil || int64(len(cells)) != seq+1 {
		t.Fatalf("%d rows: %v", len(cells), err)
	}
	for _, row := range cells {
		for _, x := range row {
			if x != "" && strings.ContainsRune("=+-@\t\r|%", rune(x[0])) {
				t.Errorf("a spreadsheet would compute %q", x)
			}
		}
	}
	w.person("opal", "operator").get("/access/audit").want(t, 403)
}
