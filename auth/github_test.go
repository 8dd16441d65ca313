package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"novacron/auth/access"
	"novacron/domain"
)

// A GitHub: it gives a code for a question, and an access token for the code and the question's verifier.
func gitHub(t *testing.T) (home string, user *string) {
	t.Helper()
	user = new(string)
	*user = `{"id": 4711, "login": "ann", "name": "Ann Example", "email": "admin@example.org"}`
	challenge := ""
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		challenge = q.Get("code_challenge")
		if q.Get("code_challenge_method") != "S256" || q.Get("scope") != "read:user read:org" || q.Get("client_id") != "nova" {
			t.Errorf("asked for with %v", q)
		}
		http.Redirect(w, r, q.Get("redirect_uri")+"?code=the-code&state="+url.QueryEscape(q.Get("state")), http.StatusFound)
	})
	mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if r.FormValue("code") != "the-code" || r.FormValue("client_secret") != "s" || base64.RawURLEncoding.EncodeToString(sum[:]) != challenge {
			fmt.Fprint(w, `{"error": "bad_verification_code"}`)
			return
		}
		fmt.Fprint(w, `{"access_token": "gho_x", "token_type": "bearer", "scope": "read:org,read:user"}`)
	})
	api := func(path string, say func() string) {
		mux.HandleFunc("GET /api/v3"+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer gho_x" {
				http.Error(w, "who?", http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, say())
		})
	}
	api("/user", func() string { return *user })
	api("/user/orgs", func() string { return `[{"login": "acme"}]` })
	api("/user/teams", func() string { return `[{"slug": "ops", "organization": {"login": "acme"}}]` })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL, user
}

func TestSignInThroughGitHub(t *testing.T) {
	a, d, _ := outside(t)
	ctx := t.Context()
	home, user := gitHub(t)
	x, err := a.SaveProvider(ctx, theServer, domain.Provider{ID: "gh", Kind: domain.ProviderGitHub, Name: "GitHub", Issuer: home, ClientID: "nova", Secret: []byte("s"), Create: true,
		Rules: []domain.ProviderRule{{Claim: "groups", Value: "acme/ops", Role: access.Operator}, {Claim: "groups", Value: "other", Role: access.PlatformAdmin}}})
	if err != nil || len(x.Scopes) != 2 {
		t.Fatalf("%+v %v", x, err)
	}
	back := "https://nova.example.org/login/with/gh/callback"
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	enter := func(f Flow, tamper func(q url.Values)) (Arrival, error) {
		t.Helper()
		f.Provider, f.Redirect = "gh", back
		to, sealed, err := a.BeginFlow(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		at, err := answer.Location()
		if err != nil {
			t.Fatal(err)
		}
		q := at.Query()
		tamper(q)
		return a.EndFlow(ctx, "gh", sealed, q.Get("state"), q.Get("code"), q.Get("error"), "192.0.2.1", Subject{})
	}
	as := func(url.Values) {}
	in, err := enter(Flow{Next: "/vms"}, as)
	if err != nil || in.User.Name != "ann" || in.User.FullName != "Ann Example" || in.Proof != "sso:gh" || in.Next != "/vms" || in.Second {
		t.Fatalf("%+v %v", in, err)
	}
	bound, err := d.Bindings(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, b := range bound {
		if b.Subject.ID == in.User.ID {
			got += b.Role
		}
	}
	if got != access.Operator {
		t.Errorf("a member of acme/ops has %q", got)
	}
	*user = `{"id": 4711, "login": "ann-renamed"}` // the number stays
	again, err := enter(Flow{}, as)
	if err != nil || again.User.ID != in.User.ID {
		t.Errorf("%+v %v", again, err)
	}
	for why, f := range map[string]func() (Arrival, error){
		"another state":            func() (Arrival, error) { return enter(Flow{}, func(q url.Values) { q.Set("state", "x") }) },
		"a made-up code":           func() (Arrival, error) { return enter(Flow{}, func(q url.Values) { q.Set("code", "x") }) },
		"no code":                  func() (Arrival, error) { return enter(Flow{}, func(q url.Values) { q.Del("code") }) },
		"to be asked anew":         func() (Arrival, error) { return enter(Flow{Again: true}, as) },
		"nobody":                   func() (Arrival, error) { *user = `{}`; return enter(Flow{}, as) },
		"somebody else's name":     func() (Arrival, error) { *user = `{"id": 1, "login": "admin"}`; return enter(Flow{}, as) },
		"what is no answer at all": func() (Arrival, error) { *user = `<html>`; return enter(Flow{}, as) },
	} {
		if _, err := f(); !domain.Is(err, domain.Unauthenticated) {
			t.Errorf("%s: %v", why, err)
		}
	}
	need, err := a.StepUp(t.Context(), Subject{UserID: in.User.ID})
	if err != nil || need.Again != nil {
		t.Errorf("what cannot ask anew is asked: %+v %v", need, err)
	}
	p := domain.Provider{ID: "gh2", Kind: domain.ProviderGitHub, Name: "GitHub"}
	if _, err := a.SaveProvider(ctx, theServer, p); !domain.Is(err, domain.Invalid) {
		t.Errorf("without a client: %v", err)
	}
	p.ClientID = "nova"
	if x, err = a.SaveProvider(ctx, theServer, p); err != nil || x.Issuer != "https://github.com" || githubAt(x, "/user") != "https://api.github.com/user" {
		t.Errorf("%+v %v", x, err)
	}
}

// Somebody with an account here links it to one in a directory by showing that they have both; from then on either password lets in.
func TestADirectoryIsLinkedExplicitly(t *testing.T) {
	a, _, _ := outside(t)
	ctx := t.Context()
	x := domain.Provider{ID: "dir", Kind: domain.ProviderLDAP, Name: "Directory", URL: directoryServer(t), Plain: true, BindDN: "cn=reader,dc=example,dc=org", Secret: []byte("reader's words"),
		BaseDN: "ou=people,dc=example,dc=org", Create: true}
	if _, err := a.SaveProvider(ctx, theServer, x); err != nil {
		t.Fatal(err)
	}
	ann, own, err := a.MakeUser(ctx, theServer, NewUser{Name: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	me := Subject{Name: "ann", UserID: ann.ID}
	if _, _, err := a.SignInWith(ctx, "ann", "ann's own words", "192.0.2.1"); !domain.Is(err, domain.Unauthenticated) {
		t.Errorf("one name in two places is one person without anybody having said so: %v", err)
	}
	for _, wrong := range []string{"not hers", ""} {
		if err := a.LinkDirectory(ctx, me, "dir", "ann", wrong, "192.0.2.1"); !domain.Is(err, domain.Invalid) {
			t.Errorf("linked with %q: %v", wrong, err)
		}
	}
	wantCode(t, a.LinkDirectory(ctx, me, "none", "ann", "ann's own words", "192.0.2.1"), domain.NotFound)
	if err := a.LinkDirectory(ctx, me, "dir", " ann ", "ann's own words", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, a.LinkDirectory(ctx, Subject{Name: "eve", UserID: ann.ID}, "dir", "ann", "ann's own words", "192.0.2.1"), domain.Conflict)
	for _, word := range []string{own, "ann's own words"} {
		if u, _, err := a.SignInWith(ctx, "ann", word, "192.0.2.1"); err != nil || u.ID != ann.ID {
			t.Errorf("%q: %+v %v", word, u, err)
		}
	}
	if _, _, err := a.SignInWith(ctx, "ann", "neither of them", "192.0.2.1"); !domain.Is(err, domain.Unauthenticated) {
		t.Error(err)
	}
	waits := false
	for range 8 {
		waits = waits || !domain.Is(a.LinkDirectory(ctx, me, "dir", "bob", "guessed at", "192.0.2.9"), domain.Invalid)
	}
	if !waits {
		t.Error("a directory's passwords can be guessed through the link")
	}
}
