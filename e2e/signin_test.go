package e2e

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"novacron/e2e/browser"
	"novacron/e2e/server"
)

// oathtool computes the code of an authenticator app, at a moment such as "now" or "30 seconds".
func oathtool(t *testing.T, secret, when string) string {
	t.Helper()
	out, err := exec.Command("oathtool", "--totp", "--base32", "--now", when, secret).Output()
	if err != nil {
		t.Fatalf("oathtool: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// byName is the server's address with a name in it: passkeys are for names.
func byName(s *server.Server) string { return strings.Replace(s.URL, "127.0.0.1", "localhost", 1) }

// An app and a passkey in a real browser: codes by oathtool work once, a passkey lets in alone, and other browsers are signed out from the list.
func TestSecondFactorsInTheBrowser(t *testing.T) {
	s := server.Start(t)
	p := browser.Open(t, byName(s), 1440, 900)
	p.SignIn(s.Admin, s.Password, password)
	p.Go("/account/mfa")
	secret := browser.Eval[string](p, `document.querySelector("#secret").innerText`)
	first := oathtool(t, secret, "now")
	in := `form[action="/account/mfa"] `
	p.Do("set up the app", chromedp.SendKeys(in+`[name=code]`, first, chromedp.ByQuery), chromedp.SendKeys(in+`[name=password]`, password, chromedp.ByQuery))
	p.Picture("mfa-app")
	p.Click(in + "button[type=submit]")
	p.UntilText("recovery codes, shown this once")
	recovery := strings.Fields(browser.Eval[string](p, `document.querySelector("#codes").innerText`))
	p.Picture("mfa-codes")

	half := func() {
		p.ToSignIn()
		p.Fill(map[string]string{"name": s.Admin, "password": password})
		p.Submit("form")
		p.Until("the second step", `location.pathname === "/login/code"`)
	}
	half()
	for _, wrong := range []string{first, "000000"} { // a replayed one, and one out of the air
		p.Fill(map[string]string{"code": wrong})
		p.Submit("form")
		p.Until("the code to be refused", `document.querySelector("[name=code]").value === "" && document.body.innerText.includes("The code is wrong, or it was used before")`)
	}
	p.Fill(map[string]string{"code": oathtool(t, secret, "30 seconds")}) // the phone's clock is a step ahead
	p.Submit("form")
	p.Until("the start page", `location.pathname === "/"`)

	p.Do("plug in an authenticator", webauthn.Enable(), chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := webauthn.AddVirtualAuthenticator(&webauthn.VirtualAuthenticatorOptions{Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}).Do(ctx)
		return err
	}))
	p.Go("/account/mfa")
	in = `form[data-passkey=add] `
	p.Do("add a passkey", chromedp.SendKeys(in+`[name=name]`, "laptop", chromedp.ByQuery), chromedp.SendKeys(in+`[name=password]`, password, chromedp.ByQuery))
	p.Click(in + "button[type=submit]")
	p.UntilText("The second factor was added")
	p.Picture("account-factors")
	half()
	p.Click("form[data-passkey=second] button")
	p.Until("the start page after password and passkey", `location.pathname === "/"`)
	p.ToSignIn()
	p.Go("/login?next=/hosts")
	p.Picture("signin-passkey")
	p.Click("form[data-passkey=alone] button")
	p.Until("the page that was asked for, with a passkey alone", `location.pathname === "/hosts"`)

	half()
	p.Fill(map[string]string{"code": recovery[0]})
	p.Submit("form")
	p.Until("the start page", `location.pathname === "/"`)
	p.Go("/account")
	if n := browser.Eval[int](p, `document.querySelectorAll('[aria-label=Sessions] tbody tr').length`); n < 4 {
		t.Errorf("%d sessions are listed", n)
	}
	p.Click(`form[action="/account/sessions/end"] button`)
	p.Until("one session to be left", `document.querySelectorAll('[aria-label=Sessions] tbody tr').length === 1`)
}

// A real OpenID provider in this process: the browser signs in there and arrives here with an account of its own.
func TestSignInThroughAnIssuer(t *testing.T) {
	s := server.Start(t, "--fetch-local")
	var h http.Handler
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
	t.Cleanup(issuer.Close)
	storage.RegisterClients(storage.WebClient("novacron", "the client's secret", s.URL+"/login/with/corp/callback"))
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	h = exampleop.SetupServer(issuer.URL, storage.NewStorage(storage.NewUserStore(issuer.URL)), slog.New(slog.DiscardHandler), false)
	if _, err := s.API().Do("POST", "/api/v1/identity-providers", map[string]any{"id": "corp", "kind": "oidc", "name": "Corp", "issuer": issuer.URL, "client_id": "novacron", "secret": "the client's secret",
		"create": true, "rules": []map[string]string{{"claim": "preferred_username", "value": "test-user2", "role": "auditor", "tenant": ""}}}, nil); err != nil {
		t.Fatal(err)
	}
	p := browser.Open(t, s.URL, 1440, 900)
	p.Go("/login?next=/events")
	p.Picture("signin-sso")
	p.Click(`a[href^="/login/with/corp"]`)
	p.Until("the issuer's page", `!!document.querySelector("[name=username]")`)
	p.Fill(map[string]string{"username": "test-user2", "password": "verysecure"})
	p.Submit("form")
	p.Until("the page that was asked for", `location.pathname === "/events"`)
	p.UntilText("test-user2")
	p.Go("/account")
	p.UntilText("test-user2 at corp")
	p.Picture("account-linked")
}
