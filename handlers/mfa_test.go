package handlers

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/views/live"
)

var secretRE = regexp.MustCompile(`name="secret" value="([A-Z2-7]{32})"`)

var recoveryRE = regexp.MustCompile(`[a-z2-7]{4}(-[a-z2-7]{4}){3}`)

// TestTwoStepSignIn: an app is added, asked for at the next sign-in, and nothing opens before it; a code and a recovery code work once.
func TestTwoStepSignIn(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	m := secretRE.FindStringSubmatch(b.get("/account/mfa").want(t, http.StatusOK, "data:image/png").text)
	if m == nil {
		t.Fatal("the page shows no secret")
	}
	code, err := totp.GenerateCode(m[1], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.post("/account/mfa", url.Values{"secret": {m[1]}, "code": {code}, "password": {"not it at all"}}).want(t, http.StatusUnprocessableEntity, "password is wrong")
	b.post("/account/mfa", url.Values{"secret": {m[1]}, "code": {"000000"}, "password": {password}}).want(t, http.StatusUnprocessableEntity, "does not fit")
	made := b.post("/account/mfa", url.Values{"secret": {m[1]}, "code": {code}, "password": {password}, "name": {"my phone"}}).want(t, http.StatusOK, "recovery codes")
	recovery := recoveryRE.FindString(made.text)
	if recovery == "" {
		t.Fatal("no recovery code is shown")
	}
	other := w.browser()
	other.post("/login", url.Values{"name": {"admin"}, "password": {password}, "next": {"/hosts"}}).wantMove(t, "/login/code?next=%2Fhosts")
	other.get("/vms").wantMove(t, "/login?next=%2Fvms")
	other.get("/login/code").want(t, http.StatusOK, "one of your recovery codes")
	other.post("/login/code", url.Values{"code": {code}}).want(t, http.StatusUnauthorized, "used before")
	other.post("/login/code", url.Values{"code": {recovery}, "next": {"/hosts"}}).wantMove(t, "/hosts")
	other.get("/vms").want(t, http.StatusOK)
	third := w.browser()
	third.get("/login/code").wantMove(t, "/login?next=%2F")
	third.post("/login", url.Values{"name": {"admin"}, "password": {password}})
	third.post("/login/code", url.Values{"code": {recovery}}).want(t, http.StatusUnauthorized)

	page := other.get("/account").want(t, http.StatusOK, "Where you are signed in", "password+recovery")
	end := regexp.MustCompile(`/account/sessions/sess_[0-9a-z]+/end`).FindString(page.text)
	if end == "" {
		t.Fatal("the other session is not listed")
	}
	b.get("/vms").want(t, http.StatusOK)
	other.post(end, nil).want(t, http.StatusSeeOther)
	b.get("/vms").wantMove(t, "/login?next=%2Fvms") // revoked
	other.post("/account/sessions/end", nil).want(t, http.StatusSeeOther)
	other.post("/account/mfa/codes", url.Values{"password": {password}}).want(t, http.StatusOK, "shown this once")
	remove := regexp.MustCompile(`/account/mfa/mfa_[0-9a-z]+/remove`).FindString(other.get("/account/mfa").text)
	other.post(remove, url.Values{"password": {password}}).want(t, http.StatusSeeOther)
	w.signedIn("admin").get("/vms").want(t, http.StatusOK)
}

// TestATenantsPages: a person of a tenant sees its VM on every page and nothing of the others.
func TestATenantsPages(t *testing.T) {
	w := newWorld(t)
	h := w.mirrored("h1", 3)
	ctx := context.Background()
	server := auth.Subject{Name: "test"}
	if _, err := w.auth.SaveTenant(ctx, server, domain.Tenant{Name: "team-a"}, true, 0); err != nil {
		t.Fatal(err)
	}
	ann := w.person("ann", "")
	ann.get("/vms").want(t, http.StatusForbidden)
	if _, err := w.auth.Bind(ctx, server, domain.Binding{Subject: domain.Ref{ID: "ann"}, Role: access.TenantUser, Scope: domain.ScopeTenant, ScopeID: "team-a"}); err != nil {
		t.Fatal(err)
	}
	own, other := w.vmNamed("h1-g0000"), w.vmNamed("h1-g0001")
	if err := w.db.Write(ctx, func(tx *db.Tx) error { return tx.SetVMTenant(own.ID, "team-a") }); err != nil {
		t.Fatal(err)
	}
	w.admin().get("/vms").want(t, http.StatusOK, "h1-g0001") // drawn for who sees all first
	for path, says := range map[string]string{"/": "h1-g0000", "/vms": "h1-g0000", "/vms?filter=h1": "h1-g0000", "/search?q=h1-g": "h1-g0000", "/tree/hosts/" + h: "h1-g0000", "/tasks": "", "/events": "",
		"/vms/" + own.ID: "h1-g0000", "/account": "", "/vms/new": "", "/images": "", "/templates": "", "/monitor/compare": "h1-g0000", "/monitor/compare?id=" + own.ID: "h1-g0000", "/vms/" + own.ID + "/monitor": "h1-g0000"} {
		a := ann.get(path).want(t, http.StatusOK, says)
		for _, name := range []string{"h1-g0001", "h1-g0002", other.ID} {
			if strings.Contains(a.text, name) {
				t.Errorf("%s tells of %s", path, name)
			}
		}
	}
	for _, path := range []string{"/vms/" + other.ID, "/vms/" + other.ID + "/console", "/vms/" + other.ID + "/delete", "/console/" + other.ID + "/vnc", "/hosts/" + h, "/search?q=" + other.ID} {
		if a := ann.get(path); a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	ann.post("/vms/"+other.ID+"/actions/stop", nil).want(t, http.StatusNotFound)
	ann.post("/vms/bulk", url.Values{"action": {"start"}, "ids": {other.ID}}).want(t, http.StatusNotFound)
	ann.get("/hosts").want(t, http.StatusForbidden)
	ann.get(live.Schedules).want(t, http.StatusOK)
}
