package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
)

// Role is a set of permissions.
type Role struct {
	ID          string   `json:"id" example:"tenant-user"`
	Name        string   `json:"name"`
	Notes       string   `json:"notes"`
	Permissions []string `json:"permissions" nullable:"false" example:"vm.read" doc:"Verbs on kinds; kind.* for all of a kind"`
	BuiltIn     bool     `json:"built_in" doc:"Built in: it stays as it is"`
}

// Binding gives somebody a role somewhere, or denies it there.
type Binding struct {
	ID          string     `json:"id" example:"bind_01k…"`
	Subject     string     `json:"subject" doc:"Id of a user or a group"`
	SubjectKind string     `json:"subject_kind" enum:"user,group,token"`
	SubjectName string     `json:"subject_name"`
	Role        string     `json:"role"`
	Scope       string     `json:"scope" enum:"estate,tenant,folder,tag,object"`
	ScopeID     string     `json:"scope_id" doc:"The tenant's or folder's id, the tag or the object's id; empty for the estate"`
	Deny        bool       `json:"deny" doc:"Takes the role's permissions away there, whatever else gives them"`
	Condition   string     `json:"condition" doc:"CEL over now, hour, weekday, address, mfa_age and object; empty: always"`
	CreatedBy   string     `json:"created_by"`
	CreatedAt   *time.Time `json:"created_at"`
}

// Tenant is a team or project.
type Tenant struct {
	ID        string       `json:"id" example:"team-a"`
	Name      string       `json:"name"`
	Parent    string       `json:"parent" doc:"Id of the tenant above; empty: at the top"`
	Notes     string       `json:"notes"`
	Quota     domain.Quota `json:"quota"`
	Usage     domain.Usage `json:"usage" doc:"With what is being made, and with the tenants below"`
	Hosts     []string     `json:"hosts" nullable:"false" doc:"Ids of hosts that are given to it; none: all that are given to nobody"`
	Pools     []string     `json:"pools" nullable:"false" doc:"Ids of pools that are given to it; none: all that are given to nobody"`
	CreatedAt *time.Time   `json:"created_at"`
	Version   int64        `json:"version"`
}

// Token is an API token; its text is shown once, when it is made.
type Token struct {
	ID          string     `json:"id" example:"tok_01k…"`
	Name        string     `json:"name"`
	Prefix      string     `json:"prefix" doc:"Its first characters, to recognise it"`
	Role        string     `json:"role" doc:"Of a service account; empty: a person's own"`
	Tenant      string     `json:"tenant" doc:"Where the role is for; empty: the estate"`
	UserID      string     `json:"user_id" doc:"Whose own it is; empty: a service account's"`
	Permissions []string   `json:"permissions" nullable:"false" doc:"What it is narrowed to; none: not narrowed"`
	CreatedBy   string     `json:"created_by"`
	CreatedAt   *time.Time `json:"created_at"`
	LastUsed    *time.Time `json:"last_used"`
	ExpiresAt   *time.Time `json:"expires_at"`
}

// TokenMade is a new token with its text.
type TokenMade struct {
	Token
	Secret string `json:"token" doc:"The token itself, shown this once"`
}

func roleOf(r *domain.Role) Role {
	return Role{ID: r.ID, Name: r.Name, Notes: r.Notes, Permissions: list(r.Permissions), BuiltIn: r.BuiltIn}
}

func bindingOf(b *domain.Binding) Binding {
	return Binding{ID: b.ID, Subject: b.Subject.ID, SubjectKind: b.Subject.Kind, SubjectName: b.Subject.Name, Role: b.Role, Scope: b.Scope, ScopeID: b.ScopeID, Deny: b.Deny,
		Condition: b.Condition, CreatedBy: b.CreatedBy, CreatedAt: when(b.CreatedAt)}
}

func tokenOf(t *domain.Token) Token {
	return Token{ID: t.ID, Name: t.Name, Prefix: t.Prefix, Role: t.Role, Tenant: t.Tenant, UserID: t.UserID, Permissions: list(t.Only), CreatedBy: t.CreatedBy,
		CreatedAt: when(t.CreatedAt), LastUsed: when(t.LastUsed), ExpiresAt: when(t.ExpiresAt)}
}

type RolePath struct {
	ID string `path:"id" maxLength:"64" doc:"The role's id"`
}

type TenantPath struct {
	ID string `path:"id" maxLength:"64" doc:"The tenant's id"`
}

type roleOutput struct{ Body Role }

type bindingOutput struct{ Body Binding }

type tenantOutput struct{ Body Tenant }

// RoleWrite is what a role is made of.
type RoleWrite struct {
	ID          string   `json:"id" maxLength:"64" example:"web-operator"`
	Name        string   `json:"name,omitempty" maxLength:"100"`
	Notes       string   `json:"notes,omitempty" maxLength:"2000"`
	Permissions []string `json:"permissions" nullable:"false" example:"vm.power"`
}

// RoleEdit changes a role; what is left out stays.
type RoleEdit struct {
	Name        *string   `json:"name,omitempty" maxLength:"100"`
	Notes       *string   `json:"notes,omitempty" maxLength:"2000"`
	Permissions *[]string `json:"permissions,omitempty"`
}

// BindingWrite gives somebody a role.
type BindingWrite struct {
	Subject     string `json:"subject" maxLength:"64" doc:"Id or name of a user or a group"`
	SubjectKind string `json:"subject_kind,omitempty" enum:"user,group" doc:"Needed only when a user and a group have the same name"`
	Role        string `json:"role" maxLength:"64"`
	Scope       string `json:"scope,omitempty" enum:"estate,tenant,folder,tag,object" default:"estate"`
	ScopeID     string `json:"scope_id,omitempty" maxLength:"64"`
	Deny        bool   `json:"deny,omitempty"`
	Condition   string `json:"condition,omitempty" maxLength:"1000" example:"hour >= 8 && hour < 18"`
}

// TenantWrite is what a tenant is made of.
type TenantWrite struct {
	Name   string       `json:"name" maxLength:"64" example:"team-a"`
	Parent string       `json:"parent,omitempty" maxLength:"64" doc:"Tenants nest two deep"`
	Notes  string       `json:"notes,omitempty" maxLength:"20000"`
	Quota  domain.Quota `json:"quota,omitempty"`
}

// TenantEdit changes a tenant; what is left out stays.
type TenantEdit struct {
	Name    *string       `json:"name,omitempty" maxLength:"64" doc:"The id stays as it is"`
	Notes   *string       `json:"notes,omitempty" maxLength:"20000"`
	Quota   *domain.Quota `json:"quota,omitempty" doc:"Replaces all limits"`
	Version *int64        `json:"version,omitempty" minimum:"1"`
}

func (s *server) rights() {
	register(s, op{id: "list-roles", method: http.MethodGet, path: "/roles", tag: accessTag, perm: access.RoleRead, status: 200, summary: "List roles, built-in ones too"},
		func(ctx context.Context, in *struct{ PageQuery }) (*struct{ Body Page[Role] }, error) {
			own, err := s.DB.Roles(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(slices.Concat(access.BuiltIn, own), in.PageQuery, "id", sortKeys[domain.Role]{"id": func(r *domain.Role) string { return r.ID }},
				func(r *domain.Role) string { return r.ID }, roleOf)
			return &struct{ Body Page[Role] }{page}, err
		})
	register(s, op{id: "create-role", method: http.MethodPost, path: "/roles", tag: accessTag, perm: access.RoleManage, status: 201, summary: "Make a role",
		doc: "Only of permissions that the caller has."},
		func(ctx context.Context, in *struct{ Body RoleWrite }) (*roleOutput, error) {
			r, err := s.Auth.SaveRole(ctx, auth.SubjectOf(ctx), domain.Role{ID: in.Body.ID, Name: in.Body.Name, Notes: in.Body.Notes, Permissions: in.Body.Permissions}, true)
			if err != nil {
				return nil, err
			}
			return &roleOutput{roleOf(&r)}, nil
		})
	role := func(ctx context.Context, id string) (domain.Role, error) {
		p, err := s.Auth.Policy(ctx)
		if err != nil {
			return domain.Role{}, err
		}
		r, ok := p.Role(id)
		if !ok {
			return r, domain.Errorf(domain.NotFound, "There is no such role.").WithFix("Look at the list of roles.")
		}
		return r, nil
	}
	register(s, op{id: "get-role", method: http.MethodGet, path: "/roles/{id}", tag: accessTag, perm: access.RoleRead, status: 200, summary: "Show a role"},
		func(ctx context.Context, in *RolePath) (*roleOutput, error) {
			r, err := role(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return &roleOutput{roleOf(&r)}, nil
		})
	register(s, op{id: "edit-role", method: http.MethodPatch, path: "/roles/{id}", tag: accessTag, perm: access.RoleManage, status: 200, summary: "Change a role of one's own"},
		func(ctx context.Context, in *struct {
			RolePath
			Body RoleEdit
		}) (*roleOutput, error) {
			r, err := role(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if in.Body.Name != nil {
				r.Name = *in.Body.Name
			}
			if in.Body.Notes != nil {
				r.Notes = *in.Body.Notes
			}
			if in.Body.Permissions != nil {
				r.Permissions = *in.Body.Permissions
			}
			if r, err = s.Auth.SaveRole(ctx, auth.SubjectOf(ctx), r, false); err != nil {
				return nil, err
			}
			return &roleOutput{roleOf(&r)}, nil
		})
	register(s, op{id: "delete-role", method: http.MethodDelete, path: "/roles/{id}", tag: accessTag, perm: access.RoleManage, status: 204, summary: "Delete a role that nobody has"},
		func(ctx context.Context, in *RolePath) (*none, error) {
			return nil, s.Auth.DeleteRole(ctx, auth.SubjectOf(ctx), in.ID)
		})
	s.bindings()
	s.explain()
	s.tenants()
	s.tokens()
}

func (s *server) bindings() {
	register(s, op{id: "list-bindings", method: http.MethodGet, path: "/bindings", tag: accessTag, perm: access.RoleRead, status: 200, summary: "List who has which role where"},
		func(ctx context.Context, in *struct {
			PageQuery
			Subject string `query:"subject" maxLength:"64" doc:"Only of the user or group with this id"`
			Role    string `query:"role" maxLength:"64"`
			ScopeID string `query:"scope_id" maxLength:"64"`
		}) (*struct{ Body Page[Binding] }, error) {
			all, err := s.DB.Bindings(ctx)
			if err != nil {
				return nil, err
			}
			all = slices.DeleteFunc(all, func(b domain.Binding) bool {
				return in.Subject != "" && b.Subject.ID != in.Subject || in.Role != "" && b.Role != in.Role || in.ScopeID != "" && b.ScopeID != in.ScopeID
			})
			page, err := paged(all, in.PageQuery, "id", sortKeys[domain.Binding]{"id": func(b *domain.Binding) string { return b.ID }}, func(b *domain.Binding) string { return b.ID }, bindingOf)
			return &struct{ Body Page[Binding] }{page}, err
		})
	register(s, op{id: "create-binding", method: http.MethodPost, path: "/bindings", tag: accessTag, perm: access.RoleManage, status: 201, summary: "Give somebody a role, or deny it",
		doc: "Only a role of which the caller has everything there."},
		func(ctx context.Context, in *struct{ Body BindingWrite }) (*bindingOutput, error) {
			b := in.Body
			made, err := s.Auth.Bind(ctx, auth.SubjectOf(ctx), domain.Binding{Subject: domain.Ref{Kind: b.SubjectKind, ID: b.Subject}, Role: b.Role, Scope: b.Scope, ScopeID: b.ScopeID,
				Deny: b.Deny, Condition: b.Condition})
			if err != nil {
				return nil, err
			}
			return &bindingOutput{bindingOf(&made)}, nil
		})
	type path struct {
		ID string `path:"id" maxLength:"64" doc:"The binding's id"`
	}
	register(s, op{id: "get-binding", method: http.MethodGet, path: "/bindings/{id}", tag: accessTag, perm: access.RoleRead, status: 200, summary: "Show a binding"},
		func(ctx context.Context, in *path) (*bindingOutput, error) {
			all, err := s.DB.Bindings(ctx)
			if err != nil {
				return nil, err
			}
			for i := range all {
				if all[i].ID == in.ID {
					return &bindingOutput{bindingOf(&all[i])}, nil
				}
			}
			return nil, domain.Errorf(domain.NotFound, "There is no such binding.")
		})
	register(s, op{id: "delete-binding", method: http.MethodDelete, path: "/bindings/{id}", tag: accessTag, perm: access.RoleManage, status: 204, summary: "Take a role away"},
		func(ctx context.Context, in *path) (*none, error) {
			return nil, s.Auth.Unbind(ctx, auth.SubjectOf(ctx), in.ID)
		})
}

// Decision answers why somebody may or may not do something.
type Decision struct {
	Allowed    bool            `json:"allowed"`
	Decision   string          `json:"decision" enum:"allow,deny"`
	Reason     string          `json:"reason"`
	Subject    string          `json:"subject"`
	Permission string          `json:"permission"`
	Object     string          `json:"object"`
	Rule       *access.Looked  `json:"rule" doc:"The binding that decided; null when none did"`
	Looked     []access.Looked `json:"looked" nullable:"false" doc:"Everything that was looked at"`
}

func (s *server) explain() {
	register(s, op{id: "explain-access", method: http.MethodGet, path: "/access/explain", tag: accessTag, perm: access.RoleRead, status: 200, summary: "Say why somebody may or may not do something",
		doc: "From the same code that decides, as if it were asked now and from here."},
		func(ctx context.Context, in *struct {
			Subject    string `query:"subject" required:"true" maxLength:"64" doc:"Id or name of a user, or id of a group or a token"`
			Permission string `query:"permission" required:"true" maxLength:"64" example:"vm.power"`
			Object     string `query:"object" maxLength:"64" doc:"Id of what it would be done to; empty: the estate as a whole"`
		}) (*struct{ Body Decision }, error) {
			e, ref, err := s.Auth.Explain(ctx, in.Subject, access.Permission(in.Permission), in.Object)
			if err != nil {
				return nil, err
			}
			d := Decision{Allowed: e.Allowed, Decision: "deny", Reason: e.Reason, Subject: ref.ID, Permission: in.Permission, Object: in.Object, Rule: e.Rule, Looked: list(e.Looked)}
			if e.Allowed {
				d.Decision = "allow"
			}
			return &struct{ Body Decision }{d}, nil
		})
	register(s, op{id: "who-may", method: http.MethodGet, path: "/access/who", tag: accessTag, perm: access.RoleRead, status: 200, summary: "Say who may do something"},
		func(ctx context.Context, in *struct {
			Permission string `query:"permission" required:"true" maxLength:"64" example:"vm.power"`
			Object     string `query:"object" maxLength:"64" doc:"Id of what it would be done to; empty: the estate as a whole"`
		}) (*struct {
			Body struct {
				Items []access.Holder `json:"items" nullable:"false"`
				Next  *string         `json:"next" doc:"Always null"`
			}
		}, error) {
			all, err := s.Auth.WhoMay(ctx, access.Permission(in.Permission), in.Object)
			if err != nil {
				return nil, err
			}
			out := &struct {
				Body struct {
					Items []access.Holder `json:"items" nullable:"false"`
					Next  *string         `json:"next" doc:"Always null"`
				}
			}{}
			out.Body.Items = list(all)
			return out, nil
		})
}

func (s *server) tenant(ctx context.Context, t domain.Tenant) (Tenant, error) {
	u, err := s.DB.TenantUsage(ctx, t.ID)
	if err != nil {
		return Tenant{}, err
	}
	gifts, err := s.DB.Gifts(ctx)
	hosts, pools := []string{}, []string{}
	for id, to := range gifts {
		switch {
		case !slices.Contains(to, t.ID):
		case strings.HasPrefix(id, "host_"):
			hosts = append(hosts, id)
		default:
			pools = append(pools, id)
		}
	}
	slices.Sort(hosts)
	slices.Sort(pools)
	return Tenant{Hosts: hosts, Pools: pools, ID: t.ID, Name: t.Name, Parent: t.Parent, Notes: t.Notes, Quota: t.Quota, Usage: u, CreatedAt: when(t.CreatedAt), Version: t.Version}, err
}

func (s *server) tenants() {
	answer := func(ctx context.Context, t domain.Tenant, err error) (*tenantOutput, error) {
		if err != nil {
			return nil, err
		}
		out, err := s.tenant(ctx, t)
		return &tenantOutput{out}, err
	}
	register(s, op{id: "list-tenants", method: http.MethodGet, path: "/tenants", tag: accessTag, perm: access.TenantRead, status: 200, summary: "List tenants with quota and use"},
		func(ctx context.Context, in *struct{ PageQuery }) (*struct{ Body Page[Tenant] }, error) {
			all, err := s.DB.Tenants(ctx)
			if err != nil {
				return nil, err
			}
			sub := auth.SubjectOf(ctx)
			all = slices.DeleteFunc(all, func(t domain.Tenant) bool {
				return !sub.On(access.TenantRead, access.Object{Kind: "tenant", ID: t.ID, Tenant: t.ID})
			})
			page, err := paged(all, in.PageQuery, "id", sortKeys[domain.Tenant]{"id": func(t *domain.Tenant) string { return t.ID }}, func(t *domain.Tenant) string { return t.ID },
				func(t *domain.Tenant) Tenant {
					out, uerr := s.tenant(ctx, *t)
					if uerr != nil && err == nil {
						err = uerr
					}
					return out
				})
			return &struct{ Body Page[Tenant] }{page}, err
		})
	register(s, op{id: "create-tenant", method: http.MethodPost, path: "/tenants", tag: accessTag, perm: access.TenantManage, status: 201, summary: "Make a tenant",
		doc: "Its id is made of the name and stays."},
		func(ctx context.Context, in *struct{ Body TenantWrite }) (*tenantOutput, error) {
			b := in.Body
			t, err := s.Auth.SaveTenant(ctx, auth.SubjectOf(ctx), domain.Tenant{Name: b.Name, Parent: b.Parent, Notes: b.Notes, Quota: b.Quota}, true, 0)
			return answer(ctx, t, err)
		})
	register(s, op{id: "get-tenant", method: http.MethodGet, path: "/tenants/{id}", tag: accessTag, perm: access.TenantRead, status: 200, summary: "Show a tenant"},
		func(ctx context.Context, in *TenantPath) (*tenantOutput, error) {
			t, err := s.DB.Tenant(ctx, in.ID)
			return answer(ctx, t, err)
		})
	register(s, op{id: "edit-tenant", method: http.MethodPatch, path: "/tenants/{id}", tag: accessTag, perm: access.TenantManage, status: 200, summary: "Change a tenant's name, notes or quota",
		doc: "A quota below what is in use takes nothing away: it only lets nothing more be made."},
		func(ctx context.Context, in *struct {
			TenantPath
			Body TenantEdit
		}) (*tenantOutput, error) {
			t, err := s.DB.Tenant(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			if in.Body.Name != nil {
				t.Name = *in.Body.Name
			}
			if in.Body.Notes != nil {
				t.Notes = *in.Body.Notes
			}
			if in.Body.Quota != nil {
				t.Quota = *in.Body.Quota
			}
			version := int64(0)
			if in.Body.Version != nil {
				version = *in.Body.Version
			}
			t, err = s.Auth.SaveTenant(ctx, auth.SubjectOf(ctx), t, false, version)
			return answer(ctx, t, err)
		})
	for _, give := range []bool{true, false} {
		id, path, sum := "give-to-tenant", "/tenants/{id}/give", "Give things to a tenant"
		if !give {
			id, path, sum = "take-from-tenant", "/tenants/{id}/take", "Take things from a tenant"
		}
		register(s, op{id: id, method: http.MethodPost, path: path, tag: accessTag, perm: access.TenantManage, status: 200, summary: sum,
			doc: "Volumes, images, networks and templates become the tenant's own, or the estate's again. Hosts and pools are given for use, to one tenant or to several: from then on only those use them, and " +
				"a tenant that was given some uses no others. A VM is given by its own field tenant."},
			func(ctx context.Context, in *struct {
				TenantPath
				Body struct {
					IDs []string `json:"ids" nullable:"false" minItems:"1" maxItems:"200" doc:"Of hosts, pools, volumes, images, networks and templates"`
				}
			}) (*tenantOutput, error) {
				t, err := s.Fleet.Give(ctx, actor(ctx), in.ID, in.Body.IDs, give)
				return answer(ctx, t, err)
			})
	}
	register(s, op{id: "delete-tenant", method: http.MethodDelete, path: "/tenants/{id}", tag: accessTag, perm: access.TenantManage, status: 204, summary: "Delete a tenant that has nothing any more"},
		func(ctx context.Context, in *TenantPath) (*none, error) {
			return nil, s.Auth.DeleteTenant(ctx, auth.SubjectOf(ctx), in.ID)
		})
}

func (s *server) tokens() {
	all := func(ctx context.Context) ([]domain.Token, error) {
		toks, err := s.Auth.Tokens(ctx)
		sub := auth.SubjectOf(ctx)
		if !sub.Everywhere(access.TokenManage) { // one's own
			toks = slices.DeleteFunc(toks, func(t domain.Token) bool { return t.UserID == "" || t.UserID != sub.UserID })
		}
		return toks, err
	}
	register(s, op{id: "list-tokens", method: http.MethodGet, path: "/tokens", tag: accessTag, perm: access.AccountSelf, status: 200, summary: "List API tokens",
		doc: "One's own; with token.manage everybody's and those of service accounts."},
		func(ctx context.Context, in *struct{ PageQuery }) (*struct{ Body Page[Token] }, error) {
			toks, err := all(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(toks, in.PageQuery, "-id", sortKeys[domain.Token]{"id": func(t *domain.Token) string { return t.ID }}, func(t *domain.Token) string { return t.ID }, tokenOf)
			return &struct{ Body Page[Token] }{page}, err
		})
	register(s, op{id: "create-token", method: http.MethodPost, path: "/tokens", tag: accessTag, perm: access.TokenManage, status: 201, summary: "Make a service account's API token",
		doc: "Bound to a role, in a tenant or in the estate: only a role of which the caller has everything there."},
		func(ctx context.Context, in *struct {
			Body struct {
				Name        string   `json:"name" maxLength:"64" example:"ci"`
				Role        string   `json:"role" maxLength:"64" example:"tenant-user"`
				Tenant      string   `json:"tenant,omitempty" maxLength:"64"`
				Permissions []string `json:"permissions,omitempty" nullable:"false" doc:"Narrows the token to these of the role's permissions"`
				Days        int      `json:"days,omitempty" minimum:"0" maximum:"3650" doc:"How long it is valid; 0: until it is revoked"`
			}
		}) (*struct{ Body TokenMade }, error) {
			b := in.Body
			t := domain.Token{Name: b.Name, Role: b.Role, Tenant: b.Tenant, Only: b.Permissions}
			if b.Days > 0 {
				t.ExpiresAt = s.Clock().UTC().Add(time.Duration(b.Days) * 24 * time.Hour)
			}
			text, made, err := s.Auth.MakeToken(ctx, auth.SubjectOf(ctx), t)
			if err != nil {
				return nil, err
			}
			return &struct{ Body TokenMade }{TokenMade{tokenOf(&made), text}}, nil
		})
	register(s, op{id: "revoke-token", method: http.MethodDelete, path: "/tokens/{id}", tag: accessTag, perm: access.AccountSelf, status: 204, summary: "Revoke an API token",
		doc: "Whoever uses it is refused from the next request on."},
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64" doc:"The token's id"`
		}) (*none, error) {
			toks, err := all(ctx)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(toks, func(t domain.Token) bool { return t.ID == in.ID }) {
				return nil, domain.Errorf(domain.NotFound, "There is no such token.").WithFix("It may have been revoked already; look at the list.")
			}
			return nil, s.Auth.RevokeToken(ctx, in.ID, strings.TrimSpace(actor(ctx)))
		})
}
