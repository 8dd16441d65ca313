package signin

import (
	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// Preset is a well-known provider: what is the same for everybody who uses it is filled in.
type Preset struct {
	ID, Name string
	Kind     string
	Fields   map[string]string
	Help     string // what to do there
}

const oidcScopes = "openid profile email"

// Presets are the providers that are asked for most.
var Presets = []Preset{
	{ID: "github", Name: "GitHub", Kind: domain.ProviderGitHub, Fields: map[string]string{"issuer": "https://github.com", "scopes": "read:user read:org"},
		Help: "Make an OAuth app there: Settings, Developer settings, OAuth apps. In rules, groups are organisations (acme) and teams (acme/ops)."},
	{ID: "gitlab", Name: "GitLab", Kind: domain.ProviderOIDC, Fields: map[string]string{"issuer": "https://gitlab.com", "scopes": oidcScopes},
		Help: "Make an application there: Preferences, Applications, with the scopes openid, profile and email. A GitLab of your own has its own address. In rules, groups is the claim groups_direct."},
	{ID: "google", Name: "Google", Kind: domain.ProviderOIDC, Fields: map[string]string{"issuer": "https://accounts.google.com", "scopes": oidcScopes, "rules": "hd = example.org -> tenant-user\n"},
		Help: "Make an OAuth client there: Google Cloud console, APIs and services, Credentials, web application. The claim hd is the company's domain; Google tells no groups."},
	{ID: "entra", Name: "Microsoft Entra", Kind: domain.ProviderOIDC, Fields: map[string]string{"issuer": "https://login.microsoftonline.com/your-tenant-id/v2.0", "scopes": oidcScopes},
		Help: "Register an application there: Entra ID, App registrations, and put your directory's id into the issuer. Let it tell groups (ids) or roles: Token configuration."},
	{ID: "keycloak", Name: "Keycloak", Kind: domain.ProviderOIDC, Fields: map[string]string{"issuer": "https://keycloak.example.org/realms/main", "scopes": oidcScopes},
		Help: "Make a client there with client authentication and the standard flow. Roles of the realm are the claim realm_access.roles; groups need the mapper Group Membership."},
	{ID: "oidc", Name: "Other OpenID Connect", Kind: domain.ProviderOIDC, Fields: map[string]string{"scopes": oidcScopes},
		Help: "Any issuer that answers at /.well-known/openid-configuration."},
	{ID: "ldap", Name: "LDAP", Kind: domain.ProviderLDAP, Fields: map[string]string{"user_filter": "(uid=%s)", "group_filter": "(member=%s)"},
		Help: "People sign in with name and password of the directory."},
	{ID: "ad", Name: "Active Directory", Kind: domain.ProviderLDAP, Fields: map[string]string{"user_filter": "(sAMAccountName=%s)"},
		Help: "People sign in with name and password of the directory; memberOf tells their groups."},
}

// Fresh is the form of a new provider, filled in from a preset; what is no preset is any OpenID provider.
func Fresh(preset string) Form {
	p := Presets[5]
	for _, x := range Presets {
		if x.ID == preset {
			p = x
		}
	}
	m := Form{Kind: p.Kind, Fresh: true, Preset: p.ID, Help: p.Help, Fields: map[string]string{"create": "1"}}
	if p.ID != "oidc" && p.ID != "ldap" && p.ID != "ad" {
		m.Fields["id"], m.Fields["name"] = p.ID, p.Name
	}
	for k, v := range p.Fields {
		m.Fields[k] = v
	}
	return m
}

func presetTabs(chosen string) []ui.Tab {
	var out []ui.Tab
	for _, p := range Presets {
		out = append(out, ui.Tab{Label: p.Name, URL: live.With(live.ProviderNew, "kind", p.ID), Active: p.ID == chosen})
	}
	return out
}
