package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
)

// SignInPolicyEdit changes the sign-in policy; what is left out stays.
type SignInPolicyEdit struct {
	MFA           *string   `json:"mfa,omitempty" enum:"optional,required,roles" doc:"Who must have a second factor"`
	MFARoles      *[]string `json:"mfa_roles,omitempty" doc:"With roles: whoever has one of these"`
	StepUpMinutes *int      `json:"step_up_minutes,omitempty" doc:"Deleting, restoring over and changing rights ask again when the proof is older; 0: never"`
	StepUpTokens  *bool     `json:"step_up_tokens,omitempty" doc:"People's own API tokens show a code in X-NovaCron-Code for that too"`
	IdleMinutes   *int      `json:"idle_minutes,omitempty" doc:"A session unused for so long ends"`
	LifetimeHours *int      `json:"lifetime_hours,omitempty" doc:"A session ends after so long at the latest"`
	LocalOff      *bool     `json:"local_off,omitempty" doc:"Nobody signs in with a password that is kept here"`
}

// IdentityProvider is another system that says who somebody is.
type IdentityProvider struct {
	ID        string                `json:"id" example:"corp"`
	Kind      string                `json:"kind" enum:"oidc,github,ldap"`
	Name      string                `json:"name" doc:"On the sign-in page"`
	Disabled  bool                  `json:"disabled"`
	Create    bool                  `json:"create" doc:"People get an account at their first sign-in"`
	TrustMFA  bool                  `json:"trust_mfa" doc:"It has asked for a second factor itself"`
	Rules     []domain.ProviderRule `json:"rules" nullable:"false" doc:"Roles by what it says of somebody; applied at every sign-in"`
	Issuer    string                `json:"issuer" doc:"OpenID Connect, or a GitHub Enterprise Server; GitHub itself needs none"`
	ClientID  string                `json:"client_id"`
	Scopes    []string              `json:"scopes" nullable:"false"`
	URL       string                `json:"url" doc:"LDAP: ldaps://…, or ldap://… with StartTLS"`
	Plain     bool                  `json:"plain" doc:"LDAP without TLS"`
	CA        string                `json:"ca" doc:"Certificates to trust, PEM; empty: the system's"`
	BindDN    string                `json:"bind_dn"`
	BaseDN    string                `json:"base_dn"`
	Filter    string                `json:"user_filter" example:"(uid=%s)"`
	GroupBase string                `json:"group_base"`
	Groups    string                `json:"group_filter" example:"(member=%s)"`
	CreatedAt *time.Time            `json:"created_at"`
	Version   int64                 `json:"version"`
}

// IdentityProviderWrite sets one up or changes it. A change without secret keeps the one it has, unless its address changes.
type IdentityProviderWrite struct {
	ID        string                `json:"id,omitempty" maxLength:"32"`
	Kind      string                `json:"kind,omitempty" enum:"oidc,github,ldap"`
	Name      string                `json:"name" maxLength:"64"`
	Disabled  bool                  `json:"disabled,omitempty"`
	Create    bool                  `json:"create,omitempty"`
	TrustMFA  bool                  `json:"trust_mfa,omitempty"`
	Rules     []domain.ProviderRule `json:"rules,omitempty" nullable:"false" maxItems:"200"`
	Issuer    string                `json:"issuer,omitempty" maxLength:"500"`
	ClientID  string                `json:"client_id,omitempty" maxLength:"200"`
	Secret    string                `json:"secret,omitempty" maxLength:"500" doc:"The client's secret, or the password of bind_dn; never shown again"`
	Scopes    []string              `json:"scopes,omitempty" nullable:"false" maxItems:"30"`
	URL       string                `json:"url,omitempty" maxLength:"500"`
	Plain     bool                  `json:"plain,omitempty"`
	CA        string                `json:"ca,omitempty" maxLength:"100000"`
	BindDN    string                `json:"bind_dn,omitempty" maxLength:"500"`
	BaseDN    string                `json:"base_dn,omitempty" maxLength:"500"`
	Filter    string                `json:"user_filter,omitempty" maxLength:"500"`
	GroupBase string                `json:"group_base,omitempty" maxLength:"500"`
	Groups    string                `json:"group_filter,omitempty" maxLength:"500"`
	Version   int64                 `json:"version,omitempty" doc:"Of what is changed"`
}

func providerOf(p *domain.Provider) IdentityProvider {
	rules := p.Rules
	if rules == nil {
		rules = []domain.ProviderRule{}
	}
	return IdentityProvider{ID: p.ID, Kind: p.Kind, Name: p.Name, Disabled: p.Disabled, Create: p.Create, TrustMFA: p.TrustMFA, Rules: rules, Issuer: p.Issuer, ClientID: p.ClientID, Scopes: list(p.Scopes),
		URL: p.URL, Plain: p.Plain, CA: p.CA, BindDN: p.BindDN, BaseDN: p.BaseDN, Filter: p.UserFilter, GroupBase: p.GroupBase, Groups: p.GroupFilter, CreatedAt: when(p.CreatedAt), Version: p.Version}
}

func (w IdentityProviderWrite) provider() domain.Provider {
	return domain.Provider{ID: w.ID, Kind: w.Kind, Name: w.Name, Disabled: w.Disabled, Create: w.Create, TrustMFA: w.TrustMFA, Rules: w.Rules, Issuer: w.Issuer, ClientID: w.ClientID, Scopes: w.Scopes,
		URL: w.URL, Plain: w.Plain, CA: w.CA, BindDN: w.BindDN, BaseDN: w.BaseDN, UserFilter: w.Filter, GroupBase: w.GroupBase, GroupFilter: w.Groups, Secret: []byte(w.Secret), Version: w.Version}
}

// InviteMade is a link that opens an account, shown this once.
type InviteMade struct {
	Path      string     `json:"path" doc:"The link's path on this server; it works once" example:"/invite/…"`
	ExpiresAt *time.Time `json:"expires_at"`
	SentTo    string     `json:"sent_to" doc:"The mail address that it is sent to; empty when the account has none or the server sends no mail"`
}

type policyOutput struct{ Body domain.SignInPolicy }

type providerOutput struct{ Body IdentityProvider }

type ProviderPath struct {
	ID string `path:"id" maxLength:"32" doc:"The provider's id"`
}

func (s *server) signIns() {
	register(s, op{id: "get-sign-in-policy", method: http.MethodGet, path: "/sign-in-policy", tag: accessTag, perm: access.RoleManage, status: 200, summary: "Show how strictly people are asked who they are"},
		func(ctx context.Context, _ *struct{}) (*policyOutput, error) {
			p, err := s.Auth.SignInPolicy(ctx)
			return &policyOutput{p}, err
		})
	register(s, op{id: "edit-sign-in-policy", method: http.MethodPatch, path: "/sign-in-policy", tag: accessTag, perm: access.RoleManage, status: 200, summary: "Change how strictly people are asked who they are"},
		func(ctx context.Context, in *struct{ Body SignInPolicyEdit }) (*policyOutput, error) {
			p, err := s.Auth.SignInPolicy(ctx)
			if err != nil {
				return nil, err
			}
			b := in.Body
			set(&p.MFA, b.MFA)
			set(&p.MFARoles, b.MFARoles)
			set(&p.StepUpMinutes, b.StepUpMinutes)
			set(&p.StepUpTokens, b.StepUpTokens)
			set(&p.IdleMinutes, b.IdleMinutes)
			set(&p.LifetimeHours, b.LifetimeHours)
			set(&p.LocalOff, b.LocalOff)
			p, err = s.Auth.SaveSignInPolicy(ctx, auth.SubjectOf(ctx), p)
			return &policyOutput{p}, err
		})
	register(s, op{id: "list-identity-providers", method: http.MethodGet, path: "/identity-providers", tag: accessTag, perm: access.RoleManage, status: 200, summary: "List identity providers"},
		func(ctx context.Context, in *struct{ PageQuery }) (*struct{ Body Page[IdentityProvider] }, error) {
			all, err := s.Auth.Providers(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, "name", sortKeys[domain.Provider]{"name": func(p *domain.Provider) string { return strings.ToLower(p.Name) }},
				func(p *domain.Provider) string { return p.ID }, providerOf)
			return &struct{ Body Page[IdentityProvider] }{page}, err
		})
	save := func(ctx context.Context, p domain.Provider) (*providerOutput, error) {
		p, err := s.Auth.SaveProvider(ctx, auth.SubjectOf(ctx), p)
		if err != nil {
			return nil, err
		}
		return &providerOutput{providerOf(&p)}, nil
	}
	register(s, op{id: "create-identity-provider", method: http.MethodPost, path: "/identity-providers", tag: accessTag, perm: access.RoleManage, status: 201, summary: "Set up an identity provider",
		doc: "Its redirect address is /login/with/{id}/callback on this server. Roles of rules are only those that the caller has in full."},
		func(ctx context.Context, in *struct{ Body IdentityProviderWrite }) (*providerOutput, error) {
			p := in.Body.provider()
			p.Version = 0
			return save(ctx, p)
		})
	register(s, op{id: "get-identity-provider", method: http.MethodGet, path: "/identity-providers/{id}", tag: accessTag, perm: access.RoleManage, status: 200, summary: "Show an identity provider"},
		func(ctx context.Context, in *ProviderPath) (*providerOutput, error) {
			p, err := s.DB.Provider(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &providerOutput{providerOf(&p)}, nil
		})
	register(s, op{id: "replace-identity-provider", method: http.MethodPut, path: "/identity-providers/{id}", tag: accessTag, perm: access.RoleManage, status: 200, summary: "Change an identity provider"},
		func(ctx context.Context, in *struct {
			ProviderPath
			Body IdentityProviderWrite
		}) (*providerOutput, error) {
			now, err := s.DB.Provider(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			p := in.Body.provider()
			if p.ID = in.ID; p.Version == 0 {
				p.Version = now.Version
			}
			return save(ctx, p)
		})
	register(s, op{id: "delete-identity-provider", method: http.MethodDelete, path: "/identity-providers/{id}", tag: accessTag, perm: access.RoleManage, status: 204, summary: "Take an identity provider away",
		doc: "Accounts stay; their links to it and the roles that it gave go."},
		func(ctx context.Context, in *ProviderPath) (*none, error) {
			return nil, s.Auth.DeleteProvider(ctx, auth.SubjectOf(ctx), in.ID)
		})
	register(s, op{id: "invite-user", method: http.MethodPost, path: "/users/{id}/invite", tag: accessTag, perm: access.UserManage, status: 201, summary: "Make a link that opens an account",
		doc: "Whoever has it chooses the account's password, once, within three days. What opened the account before does not any more."},
		func(ctx context.Context, in *struct {
			UserPath
			Body struct {
				MFA bool `json:"mfa,omitempty" doc:"Take the second factors away too"`
			}
		}) (*struct{ Body InviteMade }, error) {
			secret, ends, err := s.Auth.Invite(ctx, auth.SubjectOf(ctx), in.ID, in.Body.MFA)
			if err != nil {
				return nil, err
			}
			to, err := s.Auth.MailInvite(ctx, in.ID, secret, auth.SubjectOf(ctx))
			return &struct{ Body InviteMade }{InviteMade{Path: "/invite/" + secret, ExpiresAt: when(ends), SentTo: to}}, err
		})
}
