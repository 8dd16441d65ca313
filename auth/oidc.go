package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"novacron/domain"
)

const (
	flowFor     = 10 * time.Minute
	flowContext = "sign-in at an identity provider"
	issuerFresh = 10 * time.Minute
	outsideMost = 1 << 20 // bytes of an answer of a provider
	againWithin = 5 * time.Minute
)

// signingAlgs are those that an ID token may be signed with: none of them needs a secret that both sides have, and none is none.
var signingAlgs = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA}

// metadata are addresses where clouds answer with keys to whoever asks from inside.
var metadata = []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fd00:ec2::254/128"), netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("192.0.0.192/32"),
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("64:ff9b::/96")}

// outsideAddress refuses addresses that lead to this machine itself, its own links or a cloud's metadata. It judges what is dialled, after names were looked up.
func outsideAddress(address string, local bool) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	ip = ip.Unmap().WithZone("")
	if local && !ip.IsMulticast() && !ip.IsUnspecified() {
		return nil
	}
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || slices.ContainsFunc(metadata, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return domain.Errorf(domain.Denied, "The provider's address leads to %s, which is this machine itself, its own network link or a metadata service.", ip).
			WithFix("Use an address that others reach too, or start NovaCron with --fetch-local if that is meant.")
	}
	return nil
}

// limitedBody bounds what a provider can make this server read.
type limitedBody struct{ under http.RoundTripper }

func (l limitedBody) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := l.under.RoundTrip(r)
	if err == nil {
		a.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(a.Body, outsideMost), a.Body}
	}
	return a, err
}

func (a *Auth) outsideClient() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return outsideAddress(address, a.local)
	}}
	return &http.Client{
		Timeout:       15 * time.Second,
		Transport:     limitedBody{&http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// issuers keeps what providers said of themselves for a while.
type issuers struct {
	mu   sync.Mutex
	seen map[string]seenIssuer
}

type seenIssuer struct {
	issuer string
	p      *oidc.Provider
	at     time.Time
}

func (i *issuers) forget(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.seen, id)
}

// discover asks an issuer for its addresses and keys.
func (a *Auth) discover(ctx context.Context, x domain.Provider) (*oidc.Provider, error) {
	now := a.clock()
	a.issuers.mu.Lock()
	s, ok := a.issuers.seen[x.ID]
	a.issuers.mu.Unlock()
	if ok && s.issuer == x.Issuer && now.Sub(s.at) < issuerFresh {
		return s.p, nil
	}
	p, err := oidc.NewProvider(ctx, x.Issuer)
	if err != nil {
		return nil, domain.Errorf(domain.Unavailable, "%s does not answer as an identity provider: %w", x.Name, err).WithFix("Try again in a moment; if it stays, an administrator checks the issuer's address.")
	}
	a.issuers.mu.Lock()
	defer a.issuers.mu.Unlock()
	if a.issuers.seen == nil {
		a.issuers.seen = map[string]seenIssuer{}
	}
	a.issuers.seen[x.ID] = seenIssuer{x.Issuer, p, now}
	return p, nil
}

func oauth(x domain.Provider, p *oidc.Provider, redirect string) *oauth2.Config {
	return &oauth2.Config{ClientID: x.ClientID, ClientSecret: string(x.Secret), Endpoint: p.Endpoint(), RedirectURL: redirect, Scopes: x.Scopes}
}

// Flow is a sign-in at a provider that has begun. The browser keeps it, sealed, in a cookie.
type Flow struct {
	Provider string    `json:"provider"`
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE
	Redirect string    `json:"redirect"`
	Next     string    `json:"next"`
	Link     string    `json:"link"`  // id of the account that asked to be linked
	Again    bool      `json:"again"` // the provider had to ask anew
	Until    time.Time `json:"until"`
}

func (a *Auth) outsideProvider(ctx context.Context, id string, kinds ...string) (domain.Provider, error) {
	x, err := a.db.Provider(ctx, id)
	if err == nil && (x.Disabled || !slices.Contains(kinds, x.Kind)) {
		err = domain.Errorf(domain.NotFound, "There is no such identity provider.")
	}
	return x, err
}

// BeginFlow starts a sign-in at a provider: where to send the browser, and what it has to keep.
func (a *Auth) BeginFlow(ctx context.Context, f Flow) (to, sealed string, err error) {
	x, err := a.outsideProvider(ctx, f.Provider, domain.ProviderOIDC, domain.ProviderGitHub)
	if err != nil {
		return "", "", err
	}
	var conf *oauth2.Config
	if x.Kind == domain.ProviderGitHub {
		conf = githubOAuth(x, f.Redirect)
	} else {
		p, err := a.discover(oidc.ClientContext(ctx, a.outsideClient()), x)
		if err != nil {
			return "", "", err
		}
		conf = oauth(x, p, f.Redirect)
	}
	f.State, f.Nonce, f.Verifier, f.Until = rand.Text(), rand.Text(), oauth2.GenerateVerifier(), a.clock().Add(flowFor)
	text, err := json.Marshal(f)
	if err != nil {
		return "", "", domain.Errorf(domain.Internal, "The sign-in cannot be kept: %w", err)
	}
	opts := []oauth2.AuthCodeOption{oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)}
	if f.Again {
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	sealed, err = a.db.Seal(text, flowContext)
	return conf.AuthCodeURL(f.State, opts...), sealed, err
}

// Arrival is somebody who came back from a provider.
type Arrival struct {
	User   domain.User
	Proof  string // sso:… for the list of sessions
	Second bool   // the provider has asked for a second factor, and is trusted with that
	Linked bool   // the account was linked; nobody new signed in
	Next   string
}

// EndFlow takes what the provider's redirect brings. Each flow ends once.
func (a *Auth) EndFlow(ctx context.Context, provider, sealed, state, code, refused, addr string, by Subject) (Arrival, error) {
	stale := domain.Errorf(domain.Unauthenticated, "This sign-in did not begin in this browser, took too long, or was finished already.").WithFix("Begin again.")
	var f Flow
	text, err := a.db.Open(sealed, flowContext)
	if err != nil {
		return Arrival{}, stale
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return Arrival{}, stale
	}
	now := a.clock()
	if f.Provider != provider || subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1 || now.After(f.Until) || !a.spent.first("flow "+f.State, now, f.Until) {
		a.log.WarnContext(ctx, "sign-in refused: the state does not fit", "provider", provider, "addr", addr)
		return Arrival{}, stale
	}
	x, err := a.outsideProvider(ctx, provider, domain.ProviderOIDC, domain.ProviderGitHub)
	if err != nil {
		return Arrival{}, err
	}
	if code == "" {
		a.log.WarnContext(ctx, "sign-in refused by the provider", "provider", provider, "said", refused[:min(len(refused), 100)])
		return Arrival{}, domain.Errorf(domain.Unauthenticated, "%s did not let you in.", x.Name).WithFix("Try again, or sign in another way.")
	}
	exchange := a.exchange
	if x.Kind == domain.ProviderGitHub {
		exchange = a.exchangeGitHub
	}
	o, err := exchange(ctx, x, f, code)
	if err != nil {
		return Arrival{}, err
	}
	out := Arrival{Proof: "sso:" + x.ID, Second: x.TrustMFA || o.MFA, Next: f.Next}
	if f.Link != "" {
		if by.UserID != f.Link {
			return Arrival{}, stale
		}
		out.Linked = true
		return out, a.link(ctx, by, x, o)
	}
	out.User, err = a.admit(ctx, x, o, addr)
	return out, err
}

// exchange turns the code into claims that are signed, for us, of this sign-in and not too old.
func (a *Auth) exchange(ctx context.Context, x domain.Provider, f Flow, code string) (outsider, error) {
	bad := func(err error) (outsider, error) {
		a.log.WarnContext(ctx, "sign-in refused: the provider's answer is not right", "provider", x.ID, "error", err)
		return outsider{}, domain.Errorf(domain.Unauthenticated, "What %s says cannot be relied on.", x.Name).WithFix("Begin again; if it stays, the server's log has the reason.").WithCause(err)
	}
	ctx = oidc.ClientContext(ctx, a.outsideClient())
	p, err := a.discover(ctx, x)
	if err != nil {
		return outsider{}, err
	}
	tok, err := oauth(x, p, f.Redirect).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return bad(err)
	}
	raw, ok := tok.Extra("id_token").(string)
	if !ok {
		return bad(domain.Errorf(domain.Invalid, "there is no ID token"))
	}
	id, err := p.VerifierContext(ctx, &oidc.Config{ClientID: x.ClientID, SupportedSigningAlgs: signingAlgs, Now: a.clock}).Verify(ctx, raw)
	if err != nil {
		return bad(err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1 || id.Subject == "" {
		return bad(domain.Errorf(domain.Invalid, "the nonce is another one"))
	}
	o := outsider{Subject: id.Subject, Claims: map[string]any{}}
	if err := id.Claims(&o.Claims); err != nil {
		return bad(err)
	}
	if azp, _ := o.Claims["azp"].(string); len(id.Audience) > 1 && azp != x.ClientID {
		return bad(domain.Errorf(domain.Invalid, "the token was made for another client"))
	}
	if f.Again {
		at, _ := o.Claims["auth_time"].(float64)
		if a.clock().Sub(time.Unix(int64(at), 0)) > againWithin {
			return bad(domain.Errorf(domain.Invalid, "the provider did not ask anew"))
		}
	}
	if p.UserInfoEndpoint() != "" { // some tell groups only there
		info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(tok))
		if err != nil {
			return bad(err)
		}
		more := map[string]any{}
		if err := info.Claims(&more); err != nil || info.Subject != id.Subject {
			return bad(domain.Errorf(domain.Invalid, "the user info is of somebody else"))
		}
		for k, v := range more {
			if _, signed := o.Claims[k]; !signed {
				o.Claims[k] = v
			}
		}
	}
	word := func(name string) string { s, _ := o.Claims[name].(string); return s }
	o.Login, o.FullName, o.Email = word("preferred_username"), word("name"), word("email")
	if o.Login == "" {
		o.Login = o.Subject
	}
	return o, nil
}
