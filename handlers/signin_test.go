package handlers

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"novacron/auth"
)

func TestFirstSignIn(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get("/vms?filter=tag:ci").wantMove(t, "/login?next="+url.QueryEscape("/vms?filter=tag:ci"))
	b.get("/login?next="+url.QueryEscape("/vms?filter=tag:ci")).want(t, 200, `value="/vms?filter=tag:ci"`)
	a := b.post("/login", url.Values{"name": {"admin"}, "password": {"wrong"}, "next": {"/vms?filter=tag:ci"}})
	a.want(t, 401, `value="admin"`, `value="/vms?filter=tag:ci"`, "wrong")
	if strings.Contains(a.text, `value="wrong"`) {
		t.Error("the password is sent back")
	}
	a = b.post("/login", url.Values{"name": {"admin"}, "password": {w.once}, "next": {"/vms?filter=tag:ci"}})
	to := "/password?next=" + url.QueryEscape("/vms?filter=tag:ci")
	a.wantMove(t, to)
	for _, c := range a.Cookies() {
		if c.Name == auth.SessionCookie && (!c.HttpOnly || c.SameSite != http.SameSiteLaxMode) {
			t.Errorf("cookie %+v", c)
		}
	}
	// With the one-time password nothing else is possible, neither pages nor actions nor streams.
	b.get("/vms").wantMove(t, "/password")
	b.post("/vms", createForm("x")).wantMove(t, "/password")
	b.get("/live", header("Accept", "text/event-stream")).want(t, 403)
	b.get("/api/v1/vms", header("Accept", "application/json")).want(t, 403)
	b.get(to).want(t, 200, "one-time password")
	b.post(to, url.Values{"current": {w.once}, "password": {"short"}, "again": {"short"}}).want(t, 422, "too short")
	b.post(to, url.Values{"current": {w.once}, "password": {password}, "again": {password + "!"}}).want(t, 422, "differ")
	b.post(to, url.Values{"current": {"no"}, "password": {password}, "again": {password}}).want(t, 422, "wrong")
	b.post(to, url.Values{"current": {w.once}, "password": {password}, "again": {password}}).wantMove(t, "/vms?filter=tag:ci")
	b.get("/vms").want(t, 200, "password was changed")
	if a := b.get("/vms"); strings.Contains(a.text, "password was changed") {
		t.Error("it is said twice")
	}
	b.get("/login").wantMove(t, "/")
	b.get("/password").wantMove(t, "/account")
	b.post("/logout", nil).wantMove(t, "/login?out=1")
	b.get("/login?out=1").want(t, 200, "signed out")
	b.get("/vms").wantMove(t, "/login?next=%2Fvms")
}

func TestNextIsAlwaysOurs(t *testing.T) {
	for next, want := range map[string]string{
		"":                              "",
		"/vms":                          "/vms",
		"/vms?filter=a%26b&desc=1":      "/vms?filter=a%26b&desc=1",
		"//evil.example":                "",
		"///evil.example":               "",
		`/\evil.example`:                "",
		"https://evil.example/":         "",
		"javascript:alert(1)":           "",
		"/\t/evil.example":              "",
		"vms":                           "",
		"/login":                        "",
		"/logout":                       "",
		"/live":                         "",
		"/ws/console/x":                 "",
		"/api/v1/vms":                   "",
		"/" + string(make([]byte, 3)):   "",
		"/" + strings.Repeat("a", 3000): "",
	} {
		if got := safeNext(next); got != want {
			t.Errorf("safeNext(%q) = %q, want %q", next, got, want)
		}
	}
	w := newWorld(t)
	w.admin()
	for _, next := range []string{"//evil.example/x", "https://evil.example", `/\evil.example`} {
		b := w.browser()
		b.post("/login", url.Values{"name": {"admin"}, "password": {password}, "next": {next}}).wantMove(t, "/")
	}
}

func TestOtherSitesCannotAct(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	for _, o := range [][]opt{
		{header("Sec-Fetch-Site", "cross-site"), header("Origin", "https://evil.example")},
		{header("Sec-Fetch-Site", "same-site"), header("Origin", "https://other.example")},
		{header("Sec-Fetch-Site", ""), header("Origin", "https://evil.example")},
	} {
		b.post("/logout", nil, o...).want(t, 403)
		b.post("/login", url.Values{"name": {"admin"}, "password": {password}}, o...).want(t, 403)
		b.post("/hosts", url.Values{"name": {"x"}, "uri": {"qemu:///system"}}, o...).want(t, 403)
	}
	b.get("/vms").want(t, 200) // still signed in
	b.get("/vms", header("Sec-Fetch-Site", "cross-site")).want(t, 200)
}

func TestGuessingIsAnsweredWithWait(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for range 20 {
		a := b.post("/login", url.Values{"name": {"admin"}, "password": {"guess"}}, header("X-Forwarded-For", "203.0.113.9"))
		if a.StatusCode == http.StatusTooManyRequests {
			a.want(t, 429, "too many attempts", `value="admin"`)
			if a.Header.Get("Retry-After") == "" {
				t.Error("it does not say when to come back")
			}
			if !strings.Contains(w.log.String(), "addr=127.0.0.1") || strings.Contains(w.log.String(), "203.0.113.9") {
				t.Error("a forwarding header from anybody is believed")
			}
			return
		}
		a.want(t, 401)
	}
	t.Fatal("twenty guesses and no end")
}

func TestPasswordsAreNotLogged(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	b.post("/login", url.Values{"name": {"admin"}, "password": {"a wrong secret"}})
	b.post("/hosts/try", url.Values{"name": {"b9"}, "uri": {"qemu+ssh://root@b9.example/system"}, "ssh_key": {"PRIVATE-KEY-TEXT"}})
	for _, secret := range []string{"a wrong secret", password, w.once, "PRIVATE-KEY-TEXT"} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestASessionThatEndsMidForm(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	b.get("/vms/new").want(t, 200)
	form := createForm("kept-1")
	form.Set("notes", "typed for an hour")
	// Somebody else ends the session: the password is changed elsewhere.
	u, err := w.db.UserByName(context.Background(), "admin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.auth.ChangePassword(context.Background(), u.ID, password, password+" 2"); err != nil {
		t.Fatal(err)
	}
	a := b.post("/vms", form)
	a.wantMove(t, "/login?kept=1&next=%2Fvms%2Fnew")
	b.get(a.location()).want(t, 200, "what you had typed is kept")
	a = b.post("/login", url.Values{"name": {"admin"}, "password": {password + " 2"}, "next": {"/vms/new"}})
	a.wantMove(t, "/vms/new")
	b.get("/account").want(t, 200) // another page in between does not lose it
	b.get("/vms/new").want(t, 200, `value="kept-1"`, "typed for an hour", `value="256 MiB"`)
	if a := b.get("/vms/new"); strings.Contains(a.text, "kept-1") {
		t.Error("the draft is given twice")
	}

	// With htmx the browser is moved, and keys are never kept.
	b.post("/logout", nil)
	a = b.post("/hosts", url.Values{"name": {"b2"}, "uri": {"qemu+ssh://root@b2/system"}, "ssh_key": {"SECRET-KEY"}, "labels": {"site=ams"}}, htmx)
	a.want(t, 200)
	if to := a.Header.Get("HX-Redirect"); to != "/login?kept=1&next=%2Fhosts%2Fnew" {
		t.Fatalf("HX-Redirect %q", to)
	}
	b.post("/login", url.Values{"name": {"admin"}, "password": {password + " 2"}, "next": {"/hosts/new"}}).wantMove(t, "/hosts/new")
	a = b.get("/hosts/new").want(t, 200, `value="b2"`, "site=ams")
	if strings.Contains(a.text, "SECRET-KEY") {
		t.Error("a private key was kept")
	}
	// A change of a VM comes back to its page, and says that it was not saved.
	vm := w.mirroredVM("h1")
	for _, f := range []struct {
		path, page, want string
		form             url.Values
	}{
		{"/vms/" + vm + "/edit", "/vms/" + vm + "/hardware", "777 MiB", url.Values{"section": {"memory"}, "version": {"1"}, "memory_bytes": {"777 MiB"}}},
		{"/vms/" + vm + "/describe", "/vms/" + vm, "half a novel", url.Values{"version": {"1"}, "tags": {"a"}, "notes": {"half a novel"}}},
	} {
		b.post("/logout", nil)
		b.post(f.path, f.form).wantMove(t, "/login?kept=1&next="+url.QueryEscape(f.page))
		b.post("/login", url.Values{"name": {"admin"}, "password": {password + " 2"}, "next": {f.page}}).wantMove(t, f.page)
		b.get(f.page).want(t, 200, f.want, "was not saved")
	}
	// A button that only acts is not done behind the person's back later: they come back to where they were.
	b.post("/logout", nil)
	b.last = "/vms?filter=x"
	b.post("/vms/vm_1/actions/stop", nil).wantMove(t, "/login?next="+url.QueryEscape("/vms?filter=x"))
	// Somebody without the cookie gets nothing of it.
	other := w.signedInWith(t, password+" 2")
	if a := other.get("/vms/new"); strings.Contains(a.text, "kept-1") {
		t.Error("another browser sees the draft")
	}
}

func (w *world) signedInWith(t *testing.T, pw string) *browser {
	t.Helper()
	b := w.browser()
	b.post("/login", url.Values{"name": {"admin"}, "password": {pw}}).wantMove(t, "/")
	return b
}

func TestAccount(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	b.get("/account")
	b.post("/account/preferences", url.Values{"theme": {"dark"}, "back": {"/account"}}).wantMove(t, "/account")
	b.get("/account").want(t, 200, `data-theme="dark"`, "Preferences saved")
	b.post("/account/preferences", url.Values{"theme": {"pink"}}).want(t, 422)
	b.post("/account/preferences", url.Values{"table": {"vms"}, "columns": {"uuid", "memory"}, "back": {"/vms"}}, htmx).want(t, 200)
	w.mirrored("b1", 1)
	vm := w.vmNamed("b1-g0000")
	b.get("/vms").want(t, 200, vm.UUID)
	b.post("/account/preferences", url.Values{"table": {"vms"}, "columns": {"nonsense"}}).want(t, 422)

	a := b.post("/account/tokens", url.Values{"name": {"ci"}, "days": {"30"}}).want(t, 200, "ncr_")
	text := a.text[strings.Index(a.text, `data-copy>`)+len(`data-copy>`):]
	text = text[:strings.Index(text, "<")]
	if sub, err := w.auth.TokenSubject(context.Background(), text); err != nil || sub.Name != "ci" {
		t.Fatalf("the token %q: %+v, %v", text, sub, err)
	}
	w.browser().get("/api/v1/vms", header("Authorization", "Bearer "+text)).want(t, 200, "b1-g0000")
	if a := b.get("/account").want(t, 200, "ci"); strings.Contains(a.text, text) {
		t.Error("the token is shown twice")
	}
	b.post("/account/tokens", url.Values{"name": {""}, "days": {"30"}}).want(t, 422, "needs a name")
	b.post("/account/tokens", url.Values{"name": {"kept name"}, "days": {"many"}}).want(t, 422, `value="kept name"`, `value="many"`)
	toks, err := w.auth.Tokens(context.Background())
	if err != nil || len(toks) != 1 {
		t.Fatalf("tokens = %+v, %v", toks, err)
	}
	b.post("/account/tokens/"+toks[0].ID+"/revoke", nil).wantMove(t, "/account")
	w.browser().get("/api/v1/vms", header("Authorization", "Bearer "+text)).want(t, 401)
	b.post("/account/tokens/"+toks[0].ID+"/revoke", nil, htmx).want(t, 404)

	b.post("/account/password", url.Values{"current": {"no"}, "password": {"a longer phrase"}, "again": {"a longer phrase"}}).want(t, 422, "present password")
	other := w.signedIn("admin")
	b.post("/account/password", url.Values{"current": {password}, "password": {"a longer phrase"}, "again": {"a longer phrase"}}).wantMove(t, "/account")
	b.get("/account").want(t, 200)
	other.get("/account").wantMove(t, "/login?next=%2Faccount")

	if err := w.auth.CreateUser(context.Background(), "mallory", "x", "viewer", "system"); err != nil {
		t.Fatal(err)
	}
	viewer := w.viewer()
	viewer.post("/account/tokens", url.Values{"name": {"x"}}).want(t, 403)
	if a := viewer.get("/account").want(t, 200); strings.Contains(a.text, "API tokens") {
		t.Error("a viewer is shown what they may never do")
	}
}

func (w *world) mirroredVM(host string) string {
	w.t.Helper()
	w.mirrored(host, 1)
	return w.vmNamed(host + "-g0000").ID
}
