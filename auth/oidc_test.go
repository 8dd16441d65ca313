package auth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// withGroups is the example issuer's storage that also tells groups.
type withGroups struct {
	*storage.Storage
	groups map[string][]string
}

func (s *withGroups) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, token op.IDTokenRequest, scopes []string) error {
	if err := s.Storage.SetUserinfoFromRequest(ctx, info, token, scopes); err != nil {
		return err
	}
	info.AppendClaims("groups", s.groups[token.GetSubject()])
	return nil
}

func (s *withGroups) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, tokenID, subject, origin string) error {
	if err := s.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin); err != nil {
		return err
	}
	info.AppendClaims("groups", s.groups[subject])
	return nil
}

const backHere = "https://nova.example.org/login/with/corp/callback"

// realIssuer runs an OpenID provider of its own in this process.
func realIssuer(t *testing.T) (issuer string, store *withGroups) {
	t.Helper()
	var h http.Handler
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	storage.RegisterClients(storage.WebClient("novacron", "the client's secret", backHere))
	store = &withGroups{storage.NewStorage(storage.NewUserStore(srv.URL)), map[string][]string{}}
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	h = exampleop.SetupServer(srv.URL, store, slog.New(slog.DiscardHandler), false)
	return srv.URL, store
}

// atIssuer does what a person does there, and gives what the browser comes back with.
func atIssuer(t *testing.T, to, name, password string) url.Values {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var last *url.URL
	get := func(r *http.Response, err error) *url.URL {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		next, err := r.Location()
		if err != nil {
			t.Fatalf("%d: %s", r.StatusCode, body)
		}
		return next
	}
	last = get(c.Get(to))
	form := url.Values{"username": {name}, "password": {password}, "id": {last.Query().Get("authRequestID")}}
	last = get(c.PostForm(strings.Split(last.String(), "?")[0], form))
	last = get(c.Get(last.String()))
	if !strings.HasPrefix(last.String(), backHere) {
		t.Fatalf("the issuer leads to %s", last)
	}
	return last.Query()
}

// outside is an Auth that may ask issuers on this machine.
func outside(t *testing.T) (*Auth, *db.DB, *fakeClock) {
	t.Helper()
	a, d, clock := open(t)
	mustAdmin(t, a)
	a.local = true
	return a, d, clock
}

var theServer = Subject{Name: "server"}

func TestSignInAtARealIssuer(t *testing.T) {
	a, d, clock := outside(t)
	ctx := t.Context()
	issuer, store := realIssuer(t)
	store.groups["id2"] = []string{"ops", "web"}
	if _, err := a.SaveTenant(ctx, theServer, domain.Tenant{Name: "team-a"}, true, 0); err != nil {
		t.Fatal(err)
	}
	x, err := a.SaveProvider(ctx, theServer, domain.Provider{ID: "corp", Kind: domain.ProviderOIDC, Name: "Corp", Issuer: issuer, ClientID: "novacron", Secret: []byte("the client's secret"),
		Rules: []domain.ProviderRule{{Claim: "groups", Value: "OPS", Role: access.Operator}, {Claim: "groups", Value: "web", Role: access.TenantUser, Tenant: "team-a"}, {Claim: "groups", Value: "boss", Role: access.PlatformAdmin}}})
	if err != nil || len(x.Secret) != 0 {
		t.Fatalf("%+v %v", x, err)
	}
	begin := func(f Flow) (string, string) {
		t.Helper()
		f.Provider, f.Redirect = "corp", backHere
		to, sealed, err := a.BeginFlow(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"code_challenge_method=S256", "nonce=", "state="} {
			if !strings.Contains(to, want) {
				t.Errorf("%s is not in %s", want, to)
			}
		}
		return to, sealed
	}
	end := func(sealed string, q url.Values, by Subject) (Arrival, error) {
		return a.EndFlow(ctx, "corp", sealed, q.Get("state"), q.Get("code"), q.Get("error"), "192.0.2.1", by)
	}
	to, sealed := begin(Flow{Next: "/hosts"})
	q := atIssuer(t, to, "test-user2", "verysecure")
	_, err = end(sealed, q, Subject{})
	wantCode(t, err, domain.Unauthenticated) // nobody is linked, and no account is made
	x.Create = true
	if x, err = a.SaveProvider(ctx, theServer, x); err != nil {
		t.Fatal(err)
	}
	to, sealed = begin(Flow{Next: "/hosts"})
	q = atIssuer(t, to, "test-user2", "verysecure")
	in, err := end(sealed, q, Subject{})
	if err != nil || in.User.Name != "test-user2" || in.Next != "/hosts" || in.Proof != "sso:corp" || in.Second {
		t.Fatalf("%+v %v", in, err)
	}
	_, err = end(sealed, q, Subject{})
	wantCode(t, err, domain.Unauthenticated) // the same answer again
	roles := func() (out string) {
		t.Helper()
		all, err := d.Bindings(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range all {
			if b.Subject.ID == in.User.ID {
				out += b.Role + "@" + b.Scope + b.ScopeID + " "
			}
		}
		return out
	}
	if got := roles(); !strings.Contains(got, "operator@estate") || !strings.Contains(got, "tenant-user@tenantteam-a") || strings.Contains(got, "platform") {
		t.Errorf("the groups gave %q", got)
	}
	store.groups["id2"] = []string{"web"}
	to, sealed = begin(Flow{Again: true})
	if !strings.Contains(to, "prompt=login") {
		t.Errorf("asked anew with %s", to)
	}
	if again, err := end(sealed, atIssuer(t, to, "test-user2", "verysecure"), Subject{}); err != nil || again.User.ID != in.User.ID {
		t.Fatalf("%+v %v", again, err)
	}
	if got := roles(); strings.Contains(got, "operator") {
		t.Errorf("a group that was left still gives %q", got)
	}

	// The mail address of the administrator leads nowhere: only a link does.
	admin, err := d.UserByName(ctx, FirstAdmin)
	if err != nil {
		t.Fatal(err)
	}
	me := Subject{Name: admin.Name, UserID: admin.ID}
	to, sealed = begin(Flow{Link: admin.ID})
	q = atIssuer(t, to, "test-user@127.0.0.1", "verysecure")
	if _, err := end(sealed, q, Subject{Name: "mallory", UserID: in.User.ID}); !domain.Is(err, domain.Unauthenticated) {
		t.Errorf("linked to somebody else's session: %v", err)
	}
	to, sealed = begin(Flow{Link: admin.ID})
	if linked, err := end(sealed, atIssuer(t, to, "test-user@127.0.0.1", "verysecure"), me); err != nil || !linked.Linked {
		t.Fatalf("%+v %v", linked, err)
	}
	to, sealed = begin(Flow{})
	if in, err := end(sealed, atIssuer(t, to, "test-user@127.0.0.1", "verysecure"), Subject{}); err != nil || in.User.ID != admin.ID {
		t.Fatalf("%+v %v", in, err)
	}
	ids, err := a.Identities(ctx, admin.ID)
	if err != nil || len(ids) != 1 {
		t.Fatalf("%v %v", ids, err)
	}
	if err := a.Unlink(ctx, me, ids[0].ID); err != nil {
		t.Error(err)
	}
	own, err := a.Identities(ctx, in.User.ID)
	if err != nil || len(own) != 1 {
		t.Fatalf("%v %v", own, err)
	}
	wantCode(t, a.Unlink(ctx, Subject{Name: "x", UserID: in.User.ID}, own[0].ID), domain.Conflict) // the only way in
	wantCode(t, a.Unlink(ctx, me, own[0].ID), domain.NotFound)

	// Everything that is not exactly the answer to this browser's question is refused.
	_, sealed = begin(Flow{})
	for why, f := range map[string]func() (Arrival, error){
		"another state":  func() (Arrival, error) { return end(sealed, url.Values{"state": {"x"}, "code": {"y"}}, Subject{}) },
		"no cookie":      func() (Arrival, error) { return end("", q, Subject{}) },
		"a tampered one": func() (Arrival, error) { return end(sealed[:len(sealed)-4]+"AAAA", q, Subject{}) },
		"of another one": func() (Arrival, error) {
			return a.EndFlow(ctx, "other", sealed, q.Get("state"), "x", "", "", Subject{})
		},
		"refused there": func() (Arrival, error) {
			to, sealed := begin(Flow{})
			return end(sealed, url.Values{"state": {stateOf(to)}, "error": {"access_denied"}}, Subject{})
		},
		"a made-up code": func() (Arrival, error) {
			to, sealed := begin(Flow{})
			return end(sealed, url.Values{"state": {stateOf(to)}, "code": {"made-up"}}, Subject{})
		},
		"after a long way": func() (Arrival, error) {
			to, sealed := begin(Flow{})
			clock.add(time.Hour)
			return end(sealed, url.Values{"state": {stateOf(to)}, "code": {"x"}}, Subject{})
		},
	} {
		if _, err := f(); !domain.Is(err, domain.Unauthenticated) {
			t.Errorf("%s: %v", why, err)
		}
	}
	off := true
	if _, err := a.EditUser(ctx, theServer, in.User.ID, UserEdit{Disabled: &off}); err != nil {
		t.Fatal(err)
	}
	clock.add(-time.Hour)
	to, sealed = begin(Flow{})
	_, err = end(sealed, atIssuer(t, to, "test-user2", "verysecure"), Subject{})
	wantCode(t, err, domain.Unauthenticated) // disabled

	a.local = false
	a.issuers.forget("corp")
	_, _, err = a.BeginFlow(ctx, Flow{Provider: "corp", Redirect: backHere})
	wantCode(t, err, domain.Unavailable) // an issuer on this machine is not asked unless that is allowed
	a.local = true
	if err := a.DeleteProvider(ctx, theServer, "corp"); err != nil {
		t.Fatal(err)
	}
	if got := roles(); got != "" {
		t.Errorf("the provider is gone and %q stays", got)
	}
}

func stateOf(to string) string {
	u, err := url.Parse(to)
	if err != nil {
		return ""
	}
	return u.Query().Get("state")
}

// TestForgedIDTokens: an issuer that says what no right one would.
func TestForgedIDTokens(t *testing.T) {
	a, _, clock := outside(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var token string
	var base string
	mux := http.NewServeMux()
	answer := func(path string, v func() any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(v()); err != nil {
				t.Error(err)
			}
		})
	}
	answer("/.well-known/openid-configuration", func() any {
		return map[string]any{"issuer": base, "authorization_endpoint": base + "/auth", "token_endpoint": base + "/token", "jwks_uri": base + "/keys", "id_token_signing_alg_values_supported": []string{"none", "HS256", "RS256"}}
	})
	answer("/keys", func() any {
		return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "RS256", Use: "sig"}}}
	})
	answer("/token", func() any { return map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": token} })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	base = srv.URL
	if _, err := a.SaveProvider(t.Context(), theServer, domain.Provider{ID: "corp", Kind: domain.ProviderOIDC, Name: "Corp", Issuer: base, ClientID: "novacron", Secret: []byte("s"), Create: true}); err != nil {
		t.Fatal(err)
	}
	signed := func(alg jose.SignatureAlgorithm, k any, claims map[string]any) string {
		t.Helper()
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: k}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
		if err != nil {
			t.Fatal(err)
		}
		out, err := jwt.Signed(s).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	none := func(claims map[string]any) string {
		body, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		b := base64.RawURLEncoding
		return b.EncodeToString([]byte(`{"alg":"none"}`)) + "." + b.EncodeToString(body) + "."
	}
	try := func(forge func(good map[string]any) string) error {
		t.Helper()
		to, sealed, err := a.BeginFlow(t.Context(), Flow{Provider: "corp", Redirect: backHere})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		token = forge(map[string]any{"iss": base, "aud": "novacron", "sub": "1", "exp": clock.Now().Add(time.Hour).Unix(), "iat": clock.Now().Unix(), "nonce": u.Query().Get("nonce"), "preferred_username": "ann"})
		_, err = a.EndFlow(t.Context(), "corp", sealed, u.Query().Get("state"), "code", "", "192.0.2.1", Subject{})
		return err
	}
	with := func(k string, v any) func(map[string]any) string {
		return func(good map[string]any) string { good[k] = v; return signed(jose.RS256, key, good) }
	}
	for why, forge := range map[string]func(map[string]any) string{
		"alg none":              none,
		"signed with a secret":  func(good map[string]any) string { return signed(jose.HS256, []byte(strings.Repeat("s", 32)), good) },
		"an unknown key":        func(good map[string]any) string { return signed(jose.RS256, stranger, good) },
		"another audience":      with("aud", "somebody-else"),
		"made for another":      with("aud", []string{"novacron", "other"}),
		"another issuer":        with("iss", "https://evil.example.org"),
		"expired":               with("exp", clock.Now().Add(-time.Hour).Unix()),
		"another nonce":         with("nonce", "x"),
		"no subject":            with("sub", ""),
		"no token":              func(map[string]any) string { return "" },
		"a name of no account":  with("preferred_username", "a b/c"),
		"the name of the admin": with("preferred_username", FirstAdmin),
	} {
		if err := try(forge); !domain.Is(err, domain.Unauthenticated) {
			t.Errorf("%s: %v", why, err)
		}
	}
	if err := try(func(good map[string]any) string { return signed(jose.RS256, key, good) }); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func TestProvidersAreChecked(t *testing.T) {
	a, _, _ := outside(t)
	ctx := t.Context()
	oidcOf := domain.Provider{ID: "corp", Kind: domain.ProviderOIDC, Name: "Corp", Issuer: "https://login.example.org", ClientID: "c", Secret: []byte("s")}
	ldapOf := domain.Provider{ID: "dir", Kind: domain.ProviderLDAP, Name: "Dir", URL: "ldaps://ldap.example.org", BaseDN: "dc=x", Secret: []byte("s")}
	bad := func(field string, p domain.Provider, change func(*domain.Provider)) {
		t.Helper()
		change(&p)
		_, err := a.SaveProvider(ctx, theServer, p)
		e := wantCode(t, err, domain.Invalid)
		for _, f := range e.Fields {
			if f.Field == field {
				return
			}
		}
		t.Errorf("%s is not named: %+v", field, e.Fields)
	}
	bad("id", oidcOf, func(p *domain.Provider) { p.ID = "Not a slug" })
	bad("name", oidcOf, func(p *domain.Provider) { p.Name = " " })
	bad("kind", oidcOf, func(p *domain.Provider) { p.Kind = "saml" })
	bad("issuer", oidcOf, func(p *domain.Provider) { p.Issuer = "file:///etc/passwd" })
	bad("client_id", oidcOf, func(p *domain.Provider) { p.ClientID = "" })
	bad("rules.0.role", oidcOf, func(p *domain.Provider) { p.Rules = []domain.ProviderRule{{Claim: "g", Value: "x", Role: "none"}} })
	bad("rules.0.claim", oidcOf, func(p *domain.Provider) { p.Rules = []domain.ProviderRule{{Role: access.Operator}} })
	bad("rules.0.tenant", oidcOf, func(p *domain.Provider) {
		p.Rules = []domain.ProviderRule{{Claim: "g", Value: "x", Role: access.TenantUser, Tenant: "none"}}
	})
	bad("url", ldapOf, func(p *domain.Provider) { p.URL = "https://x" })
	bad("ca", ldapOf, func(p *domain.Provider) { p.CA = "not PEM" })
	bad("base_dn", ldapOf, func(p *domain.Provider) { p.BaseDN = "" })
	bad("user_filter", ldapOf, func(p *domain.Provider) { p.UserFilter = "(uid=*)" })
	bad("group_filter", ldapOf, func(p *domain.Provider) { p.GroupFilter = "%s%s" })

	policy, err := a.Policy(ctx)
	if err != nil {
		t.Fatal(err)
	}
	small := Subject{Name: "small", UserID: "user_x", Grants: policy.Grants(access.Who{Kind: "user", ID: "user_x"}, access.Circumstances{})}
	oidcOf.Rules = []domain.ProviderRule{{Claim: "g", Value: "x", Role: access.PlatformAdmin}}
	_, err = a.SaveProvider(ctx, small, oidcOf)
	wantCode(t, err, domain.Denied) // what one does not have cannot be given to strangers
	oidcOf.Rules = nil
	made, err := a.SaveProvider(ctx, theServer, oidcOf)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.SaveProvider(ctx, theServer, oidcOf)
	wantCode(t, err, domain.Conflict)
	made.Name = "Corporation"
	if made, err = a.SaveProvider(ctx, theServer, made); err != nil || made.Version != 2 {
		t.Fatalf("%+v %v", made, err)
	}
	kept, err := a.db.Provider(ctx, "corp")
	if err != nil || string(kept.Secret) != "s" {
		t.Errorf("the secret is %q, %v", kept.Secret, err)
	}
	moved := made
	moved.Issuer = "https://evil.example.org"
	if _, err = a.SaveProvider(ctx, theServer, moved); err != nil {
		t.Fatal(err)
	}
	if kept, err = a.db.Provider(ctx, "corp"); err != nil || len(kept.Secret) != 0 {
		t.Errorf("the secret went to another issuer: %q, %v", kept.Secret, err)
	}
	_, err = a.SaveProvider(ctx, theServer, made) // its version is old
	wantCode(t, err, domain.Conflict)
	if all, err := a.Providers(ctx); err != nil || len(all) != 1 || all[0].Secret != nil {
		t.Errorf("%+v %v", all, err)
	}
	strict := domain.NewSignInPolicy()
	strict.LocalOff = true
	if _, err := a.SaveSignInPolicy(ctx, theServer, strict); err != nil {
		t.Fatal(err)
	}
	wantCode(t, a.DeleteProvider(ctx, theServer, "corp"), domain.Conflict) // the last way in
	if _, err := a.Rescue(ctx, FirstAdmin, "server console"); err != nil {
		t.Fatal(err)
	}
	if now, err := a.SignInPolicy(ctx); err != nil || now.LocalOff {
		t.Errorf("the rescued cannot sign in: %+v %v", now, err)
	}
}

func TestClaimsOfRules(t *testing.T) {
	claims := map[string]any{"groups": []any{"ops", "Web"}, "realm": map[string]any{"roles": []string{"boss"}}, "staff": true, "level": float64(3), "empty": "", "a.b": "dotted"}
	for _, c := range []struct {
		claim, value string
		want         bool
	}{
		{"groups", "web", true}, {"groups", "we", false}, {"groups", "*", true}, {"realm.roles", "boss", true}, {"realm.none", "*", false}, {"staff", "true", true}, {"staff", "*", true},
		{"level", "3", true}, {"level", "4", false}, {"empty", "*", false}, {"none", "*", false}, {"a.b", "dotted", true}, {"groups.x", "*", false},
	} {
		if got := has(claims, c.claim, c.value); got != c.want {
			t.Errorf("%s = %s: %v", c.claim, c.value, got)
		}
	}
}

func TestWhereProvidersMayNotBe(t *testing.T) {
	for _, to := range []string{"127.0.0.1:443", "[::1]:443", "169.254.169.254:80", "[fd00:ec2::254]:80", "[::ffff:127.0.0.1]:443", "0.0.0.0:80", "224.0.0.1:80", "100.100.100.200:80", "[fe80::1%eth0]:80", "nonsense", "name:80"} {
		if outsideAddress(to, false) == nil {
			t.Errorf("%s is asked", to)
		}
	}
	for _, to := range []string{"192.0.2.1:443", "10.0.0.5:443", "[2001:db8::1]:443"} {
		if err := outsideAddress(to, false); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
	if err := outsideAddress("127.0.0.1:443", true); err != nil {
		t.Error(err)
	}
}
