package handlers

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
	"novacron/views/live"
)

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }

func (w *world) after(d time.Duration) { w.later.Add(int64(d)) }

// policy changes the sign-in policy.
func (w *world) policy(change func(*domain.SignInPolicy)) {
	w.t.Helper()
	p := domain.NewSignInPolicy()
	change(&p)
	if _, err := w.auth.SaveSignInPolicy(context.Background(), auth.Subject{Name: "test"}, p); err != nil {
		w.t.Fatal(err)
	}
}

// withApp gives the administrator an authenticator app.
func (w *world) withApp(name string) (secret string) {
	w.t.Helper()
	u, err := w.db.UserByName(context.Background(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	secret, _ = auth.NewTOTP(name)
	if _, err := w.auth.AddTOTP(context.Background(), auth.Subject{Name: name, UserID: u.ID}, "", secret, w.code(secret)); err != nil {
		w.t.Fatal(err)
	}
	return secret
}

func (w *world) code(secret string) string {
	w.t.Helper()
	code, err := totp.GenerateCode(secret, w.now())
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

var rulesForm = url.Values{"mfa": {"optional"}, "step_up_minutes": {"30"}, "idle_minutes": {"700"}, "lifetime_hours": {"100"}, "mfa_roles": {"kept <as> typed"}}

// TestDangerAsksAgain: what changes rights asks who it is when that was proven long ago; what was typed goes along, and one answer serves for a while.
func TestDangerAsksAgain(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	form := url.Values{}
	for k, v := range rulesForm {
		form[k] = v
	}
	form.Set("mfa_roles", "operator")
	b.post(live.SignInRules, form).want(t, http.StatusSeeOther) // just signed in
	w.after(2 * time.Hour)
	b.get(live.SignInRules).want(t, http.StatusOK)
	a := b.post(live.SignInRules, rulesForm).want(t, http.StatusForbidden, "Is it you?", `name="proof_password"`, `name="mfa_roles" value="kept &lt;as&gt; typed"`, `action="`+live.SignInRules+`"`)
	if strings.Contains(a.text, "proof_code") {
		t.Error("a code is asked of somebody who has no app")
	}
	if a = b.post(live.SignInRules, form, htmx).want(t, http.StatusForbidden); a.Header.Get("HX-Retarget") != "#"+live.DialogBody || a.Header.Get("HX-Reselect") != "#"+live.AskRegion {
		t.Errorf("the dialog is not opened: %v", a.Header)
	}
	form.Set("proof_password", "not it at all")
	b.post(live.SignInRules, form).want(t, http.StatusUnprocessableEntity, "The password is wrong", "Is it you?")
	form.Set("step_up_minutes", "45")
	form.Set("proof_password", password)
	b.post(live.SignInRules, form).want(t, http.StatusSeeOther)
	if p, err := w.auth.SignInPolicy(context.Background()); err != nil || p.StepUpMinutes != 45 {
		t.Errorf("%+v %v", p, err)
	}
	form.Del("proof_password")
	b.post(live.SignInRules, form).want(t, http.StatusSeeOther)

	secret := w.withApp(auth.FirstAdmin) // ends other sessions: they have not shown it
	b.get("/vms").wantMove(t, "/login?next=%2Fvms")
	w.after(time.Minute)
	b = w.browser()
	b.post("/login", url.Values{"name": {auth.FirstAdmin}, "password": {password}})
	b.post("/login/code", url.Values{"code": {w.code(secret)}}).want(t, http.StatusSeeOther)
	w.after(2 * time.Hour)
	b.post(live.SignInRules, form).want(t, http.StatusForbidden, "proof_code")
	form.Set("proof_password", password) // the second factor counts, not the password
	b.post(live.SignInRules, form).want(t, http.StatusUnprocessableEntity, "The code is wrong")
	w.after(time.Hour)
	code := w.code(secret)
	form.Set("proof_code", code)
	b.post(live.SignInRules, form).want(t, http.StatusSeeOther)
	w.after(2 * time.Hour)
	b.post(live.SignInRules, form).want(t, http.StatusUnprocessableEntity, "used before")
	w.policy(func(p *domain.SignInPolicy) { p.StepUpMinutes = 0 })
	b.post(live.SignInRules, form).want(t, http.StatusSeeOther) // switched off
}

func TestASecondFactorCanBeAskedOfEverybody(t *testing.T) {
	w := newWorld(t)
	w.admin()
	b := w.viewer()
	b.get("/hosts").want(t, http.StatusOK)
	w.policy(func(p *domain.SignInPolicy) { p.MFA, p.MFARoles = domain.MFARoles, []string{access.PlatformAdmin} })
	b.get("/hosts").want(t, http.StatusOK)
	w.policy(func(p *domain.SignInPolicy) { p.MFA, p.MFARoles = domain.MFARoles, []string{access.Auditor} })
	for _, path := range []string{"/", "/hosts", "/account", "/search?q=x"} {
		b.get(path).wantMove(t, live.MFA)
	}
	if a := b.get("/api/v1/vms", header("Accept", "application/json")); a.StatusCode != http.StatusForbidden || !strings.Contains(a.text, `"needs":"second-factor-setup"`) {
		t.Errorf("the API says %d %s", a.StatusCode, a.text)
	}
	page := b.get(live.MFA).want(t, http.StatusOK, "needs a second factor")
	if strings.Contains(page.text, "/vms") {
		t.Error("the page that comes before everything shows the estate's frame")
	}
	b.post(live.Tokens, url.Values{"name": {"x"}}).want(t, http.StatusForbidden)
	m := secretRE.FindStringSubmatch(page.text)
	if m == nil {
		t.Fatal("no secret")
	}
	b.post(live.MFA, url.Values{"secret": {m[1]}, "code": {w.code(m[1])}, "password": {password}}).want(t, http.StatusOK, "recovery codes", "I have kept the codes")
	b.get("/hosts").want(t, http.StatusOK)
	w.policy(func(p *domain.SignInPolicy) { p.MFA = domain.MFARequired })
	b.get("/hosts").want(t, http.StatusOK)
}

// TestAPersonsTokenShowsACode: with the policy on, what is dangerous asks people's own tokens for a code; service accounts go on.
func TestAPersonsTokenShowsACode(t *testing.T) {
	w := newWorld(t)
	w.admin()
	ctx := context.Background()
	u, err := w.db.UserByName(ctx, auth.FirstAdmin)
	if err != nil {
		t.Fatal(err)
	}
	own, _, err := w.auth.MakeToken(ctx, auth.Subject{Name: "test"}, domain.Token{Name: "own", UserID: u.ID})
	if err != nil {
		t.Fatal(err)
	}
	service, _, err := w.auth.CreateToken(ctx, "ci", "test", access.Admin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(token, code string) (int, string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodDelete, "/api/v1/users/user_none", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		if code != "" {
			r.Header.Set(auth.CodeHeader, code)
		}
		rec := httptest.NewRecorder()
		w.e.ServeHTTP(rec, r)
		var p struct{ Needs string }
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		return rec.Code, p.Needs
	}
	want := func(token, code string, status int, needs string) {
		t.Helper()
		if s, n := ask(token, code); s != status || n != needs {
			t.Errorf("%d %q instead of %d %q", s, n, status, needs)
		}
	}
	want(own, "", http.StatusNotFound, "")
	w.policy(func(p *domain.SignInPolicy) { p.StepUpTokens, p.StepUpMinutes = true, 10 })
	want(own, "", http.StatusForbidden, auth.NeedsSetUp)
	secret := w.withApp(auth.FirstAdmin)
	want(own, "", http.StatusForbidden, auth.NeedsCode)
	want(own, "000000", http.StatusForbidden, auth.NeedsCode)
	w.after(time.Hour)
	want(own, w.code(secret), http.StatusNotFound, "")
	want(own, "", http.StatusNotFound, "")
	w.after(time.Hour)
	want(own, "", http.StatusForbidden, auth.NeedsCode)
	want(service, "", http.StatusNotFound, "")
}

func TestSessionsEndWhenLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.admin()
	w.policy(func(p *domain.SignInPolicy) { p.IdleMinutes, p.LifetimeHours = 10, 1 })
	b := w.signedIn(auth.FirstAdmin)
	for range 6 { // used now and then
		w.after(9 * time.Minute)
		b.get("/hosts").want(t, http.StatusOK)
	}
	w.after(9 * time.Minute)
	b.get("/hosts").wantMove(t, "/login?next=%2Fhosts") // an hour is over
	b = w.signedIn(auth.FirstAdmin)
	w.after(8 * time.Minute)
	b.get("/api/v1/vms").want(t, http.StatusOK) // what a page does by itself
	w.after(8 * time.Minute)
	b.get("/hosts").wantMove(t, "/login?next=%2Fhosts")
}

// TestAStolenCookieIsDeadAfterSigningOut: and so is the one from before signing in.
func TestAStolenCookieIsDeadAfterSigningOut(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	u, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	thief := w.browser()
	thief.c.Jar.SetCookies(u, b.c.Jar.Cookies(u))
	thief.get("/hosts").want(t, http.StatusOK)
	b.post("/logout", nil).want(t, http.StatusSeeOther)
	thief.get("/hosts").wantMove(t, "/login?next=%2Fhosts")
	for _, next := range []string{"//evil.example.org", "https://evil.example.org", `/\evil.example.org`, "/login/with/x", "/invite/x", "javascript:alert(1)", "/%5cevil"} {
		a := w.browser().post("/login", url.Values{"name": {auth.FirstAdmin}, "password": {password}, "next": {next}})
		if to := a.location(); to != "/" && to != "/%5cevil" {
			t.Errorf("%s leads to %q", next, to)
		}
	}
}

func TestALinkOpensAnAccountOnce(t *testing.T) {
	w := newWorld(t)
	w.admin()
	ctx := context.Background()
	ann := w.person("ann", access.Viewer)
	u, err := w.db.UserByName(ctx, "ann")
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := w.auth.CreateToken(ctx, "ci", "test", access.Admin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/api/v1/users/"+u.ID+"/invite", strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	w.e.ServeHTTP(rec, r)
	var made struct{ Path string }
	if err := json.Unmarshal(rec.Body.Bytes(), &made); err != nil || rec.Code != http.StatusCreated || !strings.HasPrefix(made.Path, "/invite/") {
		t.Fatalf("%d %s %v", rec.Code, rec.Body, err)
	}
	ann.get("/hosts").wantMove(t, "/login?next=%2Fhosts") // what opened it before does not any more
	w.browser().post("/login", url.Values{"name": {"ann"}, "password": {password}}).want(t, http.StatusUnauthorized)
	b := w.browser()
	b.get("/invite/made-up").want(t, http.StatusNotFound)
	b.get(made.Path).want(t, http.StatusOK, "Welcome, ann")
	b.get(made.Path).want(t, http.StatusOK) // looking does not spend it
	b.post(made.Path, url.Values{"password": {"one pass phrase"}, "again": {"another one"}}).want(t, http.StatusUnprocessableEntity, "differ")
	b.post(made.Path, url.Values{"password": {"P@ssw0rd2024"}, "again": {"P@ssw0rd2024"}}).want(t, http.StatusUnprocessableEntity, "first passwords that anybody guesses")
	b.post(made.Path, url.Values{"password": {"a fresh pass phrase"}, "again": {"a fresh pass phrase"}}).wantMove(t, "/")
	b.get("/hosts").want(t, http.StatusOK)
	b.post(made.Path, url.Values{"password": {"yet another phrase"}, "again": {"yet another phrase"}}).want(t, http.StatusNotFound)
	if strings.Contains(w.log.String(), strings.TrimPrefix(made.Path, "/invite/")) {
		t.Error("the link is in the log")
	}
	ctxSub := auth.Subject{Name: "test"}
	secret, _, err := w.auth.Invite(ctx, ctxSub, u.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	off := true
	if _, err := w.auth.EditUser(ctx, ctxSub, u.ID, auth.UserEdit{Disabled: &off}); err != nil {
		t.Fatal(err)
	}
	b.get(live.Invite(secret)).want(t, http.StatusNotFound)
}

// TestProvidersByPages: an administrator sets one up, corrects it, and takes it away; the sign-in page offers it.
func TestProvidersByPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	b.get(live.SignInRules).want(t, http.StatusOK, "No identity providers")
	b.get(live.ProviderNew+"?kind=ldap").want(t, http.StatusOK, "Branch with the people")
	form := url.Values{"kind": {"oidc"}, "id": {"corp"}, "name": {"Corp"}, "issuer": {"http://127.0.0.1:1"}, "client_id": {"nova"}, "secret": {"canary-of-a-secret"}, "rules": {"nonsense"}}
	b.post(live.ProviderNew, form).want(t, http.StatusUnprocessableEntity, "is not a rule")
	form.Set("rules", "groups = ops -> nobody")
	b.post(live.ProviderNew, form).want(t, http.StatusUnprocessableEntity, "There is no role")
	form.Set("rules", "groups = ops -> operator\nrealm.roles = x -> auditor")
	b.post(live.ProviderNew, form).wantMove(t, live.Provider("corp"))
	page := b.get(live.Provider("corp")).want(t, http.StatusOK, "groups = ops -&gt; operator", "/login/with/corp/callback")
	if strings.Contains(page.text, "canary-of-a-secret") {
		t.Error("the secret is shown")
	}
	w.browser().get("/login").want(t, http.StatusOK, "Sign in with Corp", live.SSO("corp"))
	w.browser().get(live.SSO("corp")).want(t, http.StatusServiceUnavailable, "does not answer as an identity provider")
	w.browser().get(live.SSO("none")).want(t, http.StatusNotFound)
	w.browser().get(live.SSOBack("corp")+"?state=x&code=y").want(t, http.StatusUnauthorized, "did not begin in this browser")
	form.Set("name", "Corporation")
	b.post(live.Provider("corp"), form).want(t, http.StatusUnprocessableEntity, "version is missing")
	form.Set("version", "1")
	b.post(live.Provider("corp"), form).wantMove(t, live.Provider("corp"))
	b.post(live.Provider("corp"), form).want(t, http.StatusConflict, "changed meanwhile")
	b.get(live.SignInRules).want(t, http.StatusOK, "Corporation")
	b.get("/account").want(t, http.StatusOK, "Link with Corporation", "Sign-in settings")
	b.post(live.Link("corp"), url.Values{"password": {password}}).want(t, http.StatusSeeOther) // says that it does not answer
	b.get(live.ProviderDelete("corp")).want(t, http.StatusOK, "Take away Corporation")
	b.post(live.ProviderDelete("corp"), nil).wantMove(t, live.SignInRules)
	b.post(live.SignInRules, url.Values{"mfa": {"required"}, "step_up_minutes": {"x"}, "idle_minutes": {"1"}, "lifetime_hours": {"1"}}).want(t, http.StatusUnprocessableEntity, "is not a number")
	b.post(live.SignInRules, url.Values{"mfa": {"roles"}, "step_up_minutes": {"1"}, "idle_minutes": {"1"}, "lifetime_hours": {"1"}, "local_off": {"1"}}).
		want(t, http.StatusUnprocessableEntity, "No role is named", "out of bounds", "Nobody could sign in")
	w.viewer().get(live.SignInRules).want(t, http.StatusForbidden)
}

// TestPasskeyQuestions: who is asked for what.
func TestPasskeyQuestions(t *testing.T) {
	w := newWorld(t)
	w.url = strings.Replace(w.url, "127.0.0.1", "localhost", 1) // passkeys are for names
	b := w.admin()
	json := header("Accept", "application/json")
	ask := func(b *browser, what string) answer { return b.post(live.PasskeyAsk, url.Values{"what": {what}}, json) }
	ask(w.browser(), "alone").want(t, http.StatusOK, `"challenge"`, `"state"`)
	ask(w.browser(), "add").want(t, http.StatusUnauthorized)
	ask(w.browser(), "second").want(t, http.StatusUnauthorized)
	ask(w.browser(), "nothing").want(t, http.StatusUnprocessableEntity)
	ask(b, "add").want(t, http.StatusOK, `"challenge"`)
	ask(b, "sure").want(t, http.StatusConflict, "no passkey")
	w.browser().post(live.SignInPasskey, url.Values{"state": {"x"}, "credential": {"{}"}}).want(t, http.StatusUnauthorized, "too old")
	w.browser().post(live.SignInPasskey, url.Values{"what": {"second"}}).wantMove(t, "/login?next=%2F")
	b.post(live.Passkeys, url.Values{"password": {password}, "state": {"x"}, "credential": {"{}"}}).want(t, http.StatusUnauthorized, "too old")
	w.withApp(auth.FirstAdmin)
	half := w.browser()
	half.post("/login", url.Values{"name": {auth.FirstAdmin}, "password": {password}})
	half.post(live.SignInPasskey, url.Values{"what": {"second"}, "state": {"x"}}).want(t, http.StatusUnauthorized, "too old", "Second step")
}
