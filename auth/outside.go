package auth

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// outsider is somebody as an identity provider tells.
type outsider struct {
	Subject  string // what the provider calls them for good
	Login    string // what they sign in with there
	FullName string
	Email    string         // shown, never used to find an account: anybody can claim one
	Claims   map[string]any // what rules look at
	MFA      bool           // the provider says that it asked for a second factor
}

func providerRef(p domain.Provider) domain.Ref {
	return domain.Ref{Kind: "identity-provider", ID: p.ID, Name: p.Name}
}

// Providers lists the identity providers without their secrets.
func (a *Auth) Providers(ctx context.Context) ([]domain.Provider, error) {
	all, err := a.db.Providers(ctx)
	for i := range all {
		all[i].Secret = nil
	}
	return all, err
}

func checkHTTP(p *domain.Problems, field, text string, local bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && !(local && u.Scheme == "http") {
		p.Add(field, "“"+text+"” is not an issuer.", "an address that begins with https://, such as https://login.example.org/realms/main")
	}
}

func checkLDAP(p *domain.Problems, x *domain.Provider) {
	u, err := url.Parse(x.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" {
		p.Add("url", "“"+x.URL+"” is not a directory's address.", "ldaps://ldap.example.org, or ldap:// with StartTLS")
	}
	if x.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(x.CA)) {
		p.Add("ca", "That is not a certificate.", "certificates in PEM, or nothing for those that the system trusts")
	}
	if x.BaseDN == "" {
		p.Add("base_dn", "The directory's branch with the people is missing.", "such as ou=people,dc=example,dc=org")
	}
	if x.UserFilter == "" {
		x.UserFilter = "(uid=%s)"
	}
	for field, f := range map[string]string{"user_filter": x.UserFilter, "group_filter": x.GroupFilter} {
		if f != "" && (strings.Count(f, "%s") != 1 || strings.Count(f, "%") != 1 || !strings.HasPrefix(f, "(")) {
			p.Add(field, "“"+f+"” is not a filter for one person.", "one %s where the name goes, such as (uid=%s)")
		}
	}
	if x.GroupFilter == "" {
		x.GroupFilter = "(member=%s)"
	}
}

// SaveProvider makes (Version 0) or changes an identity provider. An empty secret keeps the one it has. Roles of its rules are given to strangers: so only
// who has them in full may name them.
func (a *Auth) SaveProvider(ctx context.Context, by Subject, x domain.Provider) (domain.Provider, error) {
	var p domain.Problems
	fresh := x.Version == 0
	var old domain.Provider
	if fresh {
		if !domain.Slug(x.ID) || len(x.ID) > 32 {
			p.Add("id", "“"+x.ID+"” is not an id for a provider.", "small letters, digits and hyphens, such as corp")
		}
		x.CreatedAt = a.clock().UTC()
	} else {
		var err error
		if old, err = a.db.Provider(ctx, x.ID); err != nil {
			return x, err
		}
		if x.Kind, x.CreatedAt = old.Kind, old.CreatedAt; len(x.Secret) == 0 && x.Issuer == old.Issuer && x.URL == old.URL { // a secret is not sent to another place than it was given for
			x.Secret = old.Secret
		}
	}
	if x.Name = strings.TrimSpace(x.Name); x.Name == "" || len(x.Name) > 64 || strings.ContainsFunc(x.Name, domain.Unseen) {
		p.Add("name", "The provider needs a name.", "1 to 64 characters: the sign-in page shows it")
	}
	switch x.Kind {
	case domain.ProviderOIDC:
		checkHTTP(&p, "issuer", x.Issuer, a.local)
		if x.ClientID == "" {
			p.Add("client_id", "The client's id is missing.", "as the provider gave it")
		}
		if len(x.Scopes) == 0 {
			x.Scopes = []string{"openid", "profile", "email"}
		}
		if !slices.Contains(x.Scopes, "openid") {
			x.Scopes = append([]string{"openid"}, x.Scopes...)
		}
	case domain.ProviderGitHub:
		if x.Issuer == "" {
			x.Issuer = githubHome
		}
		checkHTTP(&p, "issuer", x.Issuer, a.local)
		if x.ClientID == "" {
			p.Add("client_id", "The client's id is missing.", "as the OAuth app has it")
		}
		if len(x.Scopes) == 0 {
			x.Scopes = githubScopes
		}
	case domain.ProviderLDAP:
		checkLDAP(&p, &x)
	default:
		p.Add("kind", "“"+x.Kind+"” is not a kind of provider.", "oidc, github or ldap")
	}
	policy, err := a.Policy(ctx)
	if err != nil {
		return x, err
	}
	for i, r := range x.Rules {
		at := fmt.Sprintf("rules.%d", i)
		role, ok := policy.Role(r.Role)
		if !ok {
			p.Add(at+".role", "There is no role “"+r.Role+"”.", "the id of a role, such as "+access.TenantUser)
			continue
		}
		if r.Claim == "" || r.Value == "" {
			p.Add(at+".claim", "The rule does not say whom it is for.", "a claim such as groups and a value, or * for anybody who has it")
		}
		scope := domain.ScopeEstate
		if r.Tenant != "" {
			t, ok := policy.Tenant(r.Tenant)
			if !ok {
				p.Add(at+".tenant", "There is no tenant “"+r.Tenant+"”.", "a tenant's id, or nothing")
			}
			scope, r.Tenant = domain.ScopeTenant, t.ID
		}
		r.Role, x.Rules[i] = role.ID, r
		x.Rules[i].Role = role.ID
		if err := a.mayGive(ctx, by, role, scope, r.Tenant); err != nil {
			return x, err
		}
	}
	if err := p.Err(); err != nil {
		return x, err
	}
	err = a.db.Write(ctx, func(tx *db.Tx) error {
		kind, said := "provider.created", "The identity provider "+x.Name+" was set up."
		if !fresh {
			kind, said = "provider.changed", "The identity provider "+x.Name+" was changed."
			old.Secret = nil
			if err := tx.Before(old); err != nil {
				return err
			}
		}
		if err := tx.SaveProvider(x); domain.Is(err, domain.Conflict) && fresh {
			return &domain.Error{Code: domain.Conflict, Msg: "There is a provider “" + x.ID + "” already.", Fix: "Choose another id.",
				Fields: []domain.FieldError{{Field: "id", Msg: "It is taken.", Want: "an id that is free"}}}
		} else if err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: providerRef(x), Actor: by.Actor(), Message: said})
	})
	if err != nil {
		return x, err
	}
	a.issuers.forget(x.ID)
	out, err := a.db.Provider(ctx, x.ID)
	out.Secret = nil
	return out, err
}

// DeleteProvider forgets an identity provider; who signed in with it keeps the account, but not the link and not the roles that it gave.
func (a *Auth) DeleteProvider(ctx context.Context, by Subject, id string) error {
	x, err := a.db.Provider(ctx, id)
	if err != nil {
		return err
	}
	strict, err := a.SignInPolicy(ctx)
	if err != nil {
		return err
	}
	all, err := a.db.Providers(ctx)
	if err != nil {
		return err
	}
	if strict.LocalOff && !slices.ContainsFunc(all, func(o domain.Provider) bool { return o.ID != id && !o.Disabled }) {
		return domain.Errorf(domain.Conflict, "Nobody could sign in any more: local sign-in is switched off.").WithFix("Switch local sign-in on first.")
	}
	a.issuers.forget(id)
	return a.db.Write(ctx, func(tx *db.Tx) error {
		bound, err := tx.Bindings()
		if err != nil {
			return err
		}
		for _, b := range bound {
			if b.CreatedBy != givenBy(x) {
				continue
			}
			if err := tx.DeleteBinding(b.ID); err != nil {
				return err
			}
		}
		if err := tx.DeleteProvider(id); err != nil {
			return err
		}
		if err := a.lastAdmin(ctx, tx); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "provider.removed", Resource: providerRef(x), Actor: by.Actor(), Message: "The identity provider " + x.Name + " was taken away."})
	})
}

// givenBy marks the bindings that a provider's rules made.
func givenBy(p domain.Provider) string { return "provider " + p.ID }

// has reports whether a claim is, or has among its values, what a rule wants. Dots lead into objects.
func has(claims map[string]any, claim, value string) bool {
	v, ok := claims[claim]
	if !ok {
		head, rest, dotted := strings.Cut(claim, ".")
		inner, isMap := claims[head].(map[string]any)
		return dotted && isMap && has(inner, rest, value)
	}
	fits := func(v any) bool {
		switch x := v.(type) {
		case string:
			return x != "" && (value == "*" || strings.EqualFold(x, value))
		case bool:
			return x && (value == "*" || value == "true")
		case float64:
			return value == "*" || value == fmt.Sprint(x)
		}
		return false
	}
	switch x := v.(type) {
	case []any:
		return slices.ContainsFunc(x, fits)
	case []string:
		return slices.ContainsFunc(x, func(s string) bool { return fits(s) })
	}
	return fits(v)
}

// applyRules gives somebody the roles that the provider's rules say, and takes back those that it gave and no longer says.
func (a *Auth) applyRules(ctx context.Context, tx *db.Tx, x domain.Provider, u domain.User, claims map[string]any) error {
	now := a.clock().UTC()
	policy, err := a.Policy(ctx)
	if err != nil {
		return err
	}
	var want []domain.Binding
	for _, r := range x.Rules {
		role, known := policy.Role(r.Role)
		if !known || !has(claims, r.Claim, r.Value) {
			continue
		}
		b := domain.Binding{ID: domain.NewID("bind", now), Subject: userRef(u), Role: role.ID, Scope: domain.ScopeEstate, CreatedBy: givenBy(x), CreatedAt: now}
		if r.Tenant != "" {
			if _, ok := policy.Tenant(r.Tenant); !ok {
				continue
			}
			b.Scope, b.ScopeID = domain.ScopeTenant, r.Tenant
		}
		want = append(want, b)
	}
	same := func(b domain.Binding) func(domain.Binding) bool {
		return func(o domain.Binding) bool {
			return o.Role == b.Role && o.Scope == b.Scope && o.ScopeID == b.ScopeID && !o.Deny && o.Condition == ""
		}
	}
	all, err := tx.Bindings()
	if err != nil {
		return err
	}
	var have []domain.Binding
	for _, b := range all {
		if b.Subject.ID != u.ID {
			continue
		}
		if b.CreatedBy == givenBy(x) && !slices.ContainsFunc(want, same(b)) {
			if err := tx.DeleteBinding(b.ID); err != nil {
				return err
			}
			if err := tx.Emit(domain.Event{Kind: "binding.removed", Resource: bindingRef(b), Actor: givenBy(x), Message: "No longer: " + bindingText(b)}); err != nil {
				return err
			}
			continue
		}
		have = append(have, b)
	}
	for _, b := range want {
		if slices.ContainsFunc(have, same(b)) {
			continue
		}
		have = append(have, b)
		if err := tx.InsertBinding(b); err != nil {
			return err
		}
		if err := tx.Emit(domain.Event{Kind: "binding.created", Resource: bindingRef(b), Actor: givenBy(x), Message: bindingText(b)}); err != nil {
			return err
		}
	}
	return nil
}

// admit finds or makes the account of somebody whom a provider vouches for. Only what the provider calls them for good leads to an account, never a name
// or a mail address.
func (a *Auth) admit(ctx context.Context, x domain.Provider, o outsider, addr string) (domain.User, error) {
	now := a.clock().UTC()
	id, err := a.db.Identity(ctx, x.ID, o.Subject)
	if domain.Is(err, domain.NotFound) {
		return a.newcomer(ctx, x, o, addr)
	}
	if err != nil {
		return domain.User{}, err
	}
	u, err := a.db.User(ctx, id.UserID)
	if err != nil {
		return u, err
	}
	if u.Disabled {
		a.log.WarnContext(ctx, "sign-in refused: the account is disabled", "account", u.Name, "provider", x.ID, "addr", addr)
		return u, domain.Errorf(domain.Unauthenticated, "Your account here is disabled.").WithFix("Ask an administrator.")
	}
	return u, a.editUser(ctx, u.ID, func(tx *db.Tx, row *domain.User) error {
		row.LastSignIn = now
		if err := tx.TouchIdentity(id.ID, o.Login, now); err != nil {
			return err
		}
		if err := a.applyRules(ctx, tx, x, *row, o.Claims); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.signed_in", Resource: userRef(*row), Actor: row.Name, Message: row.Name + " signed in from " + addr + " through " + x.Name + "."})
	})
}

// newcomer makes an account for somebody who is not known here, when the provider may.
func (a *Auth) newcomer(ctx context.Context, x domain.Provider, o outsider, addr string) (domain.User, error) {
	now := a.clock().UTC()
	if !x.Create {
		a.log.WarnContext(ctx, "sign-in refused: nobody is linked", "provider", x.ID, "subject", o.Subject, "addr", addr)
		return domain.User{}, domain.Errorf(domain.Unauthenticated, "No account here is linked to the one at %s.", x.Name).
			WithFix("Sign in as you did before and link it on your account page, or ask an administrator.")
	}
	u := domain.User{ID: domain.NewID("user", now), Name: strings.TrimSpace(o.Login), FullName: o.FullName, Email: o.Email, CreatedAt: now, LastSignIn: now}
	var p domain.Problems
	if checkUser(&p, u); len(p) > 0 { // what is for show only is left out
		u.FullName, u.Email, p = "", "", nil
		checkUser(&p, u)
	}
	if len(p) > 0 {
		return u, domain.Errorf(domain.Unauthenticated, "%s does not say a name that an account here could have.", x.Name).WithFix("Ask an administrator to make an account for you, and link it.")
	}
	return u, a.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.InsertUser(u); domain.Is(err, domain.Conflict) {
			return domain.Errorf(domain.Unauthenticated, "There is an account %s here already, and it is not linked to %s.", u.Name, x.Name).
				WithFix("If it is yours, sign in as you did before and link it on your account page.")
		} else if err != nil {
			return err
		}
		if err := tx.InsertIdentity(domain.Identity{ID: domain.NewID("ident", now), ProviderID: x.ID, Subject: o.Subject, UserID: u.ID, Name: o.Login, CreatedAt: now, LastUsed: now}); err != nil {
			return err
		}
		if err := tx.Emit(domain.Event{Kind: "user.created", Resource: userRef(u), Actor: givenBy(x), Message: "Account “" + u.Name + "” was made at the first sign-in through " + x.Name + "."}); err != nil {
			return err
		}
		return a.applyRules(ctx, tx, x, u, o.Claims)
	})
}

// link ties somebody at a provider to the account that asks for it.
func (a *Auth) link(ctx context.Context, by Subject, x domain.Provider, o outsider) error {
	now := a.clock().UTC()
	u, err := a.db.User(ctx, by.UserID)
	if err != nil {
		return err
	}
	return a.db.Write(ctx, func(tx *db.Tx) error {
		err := tx.InsertIdentity(domain.Identity{ID: domain.NewID("ident", now), ProviderID: x.ID, Subject: o.Subject, UserID: u.ID, Name: o.Login, CreatedAt: now, LastUsed: now})
		if domain.Is(err, domain.Conflict) {
			return domain.Errorf(domain.Conflict, "%s at %s is linked to an account here already.", o.Login, x.Name).WithFix("Unlink it there first.")
		}
		if err != nil {
			return err
		}
		if err := a.applyRules(ctx, tx, x, u, o.Claims); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.linked", Resource: userRef(u), Actor: by.Actor(), Message: u.Name + " is now linked to " + o.Login + " at " + x.Name + "."})
	})
}

// Identities lists what an account is linked to.
func (a *Auth) Identities(ctx context.Context, userID string) ([]domain.Identity, error) {
	return a.db.Identities(ctx, userID)
}

// Unlink takes a link away; the last way in stays.
func (a *Auth) Unlink(ctx context.Context, by Subject, id string) error {
	u, err := a.db.User(ctx, by.UserID)
	if err != nil {
		return err
	}
	all, err := a.db.Identities(ctx, u.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(x domain.Identity) bool { return x.ID == id })
	if i < 0 {
		return domain.Errorf(domain.NotFound, "There is no such link.")
	}
	if u.PasswordHash == "" && len(all) == 1 {
		return domain.Errorf(domain.Conflict, "This is the only way to sign in to this account.").WithFix("Ask an administrator for a password first.")
	}
	return a.db.Write(ctx, func(tx *db.Tx) error {
		bound, err := tx.Bindings()
		if err != nil {
			return err
		}
		for _, b := range bound { // what it gave goes with it
			if b.Subject.ID != u.ID || b.CreatedBy != givenBy(domain.Provider{ID: all[i].ProviderID}) {
				continue
			}
			if err := tx.DeleteBinding(b.ID); err != nil {
				return err
			}
		}
		if err := tx.DeleteIdentity(u.ID, id); err != nil {
			return err
		}
		if err := a.lastAdmin(ctx, tx); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "user.unlinked", Resource: userRef(u), Actor: by.Actor(), Message: u.Name + " is no longer linked to " + all[i].Name + " at " + all[i].ProviderID + "."})
	})
}
