package handlers

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/rights"
)

func builtIn() []domain.Role { return slices.Clone(access.BuiltIn) }

// tenantRows are the tenants that the person may see, each below the one above it.
func (s *server) tenantRows(ctx context.Context, c echo.Context) ([]rights.TenantRow, error) {
	all, err := s.DB.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	sub := subject(c)
	all = slices.DeleteFunc(all, func(t domain.Tenant) bool {
		return !sub.On(access.TenantRead, access.Object{Kind: "tenant", ID: t.ID, Tenant: t.ID})
	})
	pools, err := s.poolNames(ctx)
	if err != nil {
		return nil, err
	}
	var out []rights.TenantRow
	add := func(t domain.Tenant, below bool) error {
		u, err := s.DB.TenantUsage(ctx, t.ID)
		out = append(out, rights.TenantRow{Tenant: t, Usage: u, Below: below, Pools: pools})
		return err
	}
	seen := func(id string) bool {
		return slices.ContainsFunc(all, func(t domain.Tenant) bool { return t.ID == id })
	}
	for _, t := range all {
		if t.Parent != "" && seen(t.Parent) {
			continue
		}
		if err := add(t, false); err != nil {
			return nil, err
		}
		for _, b := range all {
			if b.Parent == t.ID {
				if err := add(b, true); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// poolNames are the names of pools by their ids; of those with the same name the host tells which.
func (s *server) poolNames(ctx context.Context) (map[string]string, error) {
	all, err := s.DB.StoragePools(ctx)
	if err != nil {
		return nil, err
	}
	seen, out := map[string]int{}, map[string]string{}
	for _, p := range all {
		seen[p.Name]++
	}
	for _, p := range all {
		if out[p.ID] = p.Name; seen[p.Name] > 1 {
			out[p.ID] += " on " + poolWhere(p)
		}
	}
	return out, nil
}

func (s *server) tenantList(c echo.Context) (int, templ.Component, error) {
	rows, err := s.tenantRows(c.Request().Context(), c)
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.accessShell(c, "Tenants")
	return http.StatusOK, rights.TenantsPage(sh, rights.Tenants{Rows: rows}), err
}

// tenantVMs is how many VMs a tenant's page shows by name.
const tenantVMs = 20

func (s *server) tenantPage(c echo.Context) error {
	ctx := c.Request().Context()
	t, err := s.DB.Tenant(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	rows, err := s.tenantRows(ctx, c)
	if err != nil {
		return err
	}
	m := rights.TenantPage{}
	for _, r := range rows {
		switch {
		case r.Tenant.ID == t.ID:
			m.Row = r
		case r.Tenant.Parent == t.ID:
			m.Below = append(m.Below, r)
		case r.Tenant.ID == t.Parent:
			m.Parent = r.Tenant
		}
	}
	vms, err := s.DB.VMs(ctx, db.VMQuery{Filter: "tenant:" + t.ID, Limit: tenantVMs})
	if err != nil {
		return err
	}
	m.VMs, m.Total = vms.Items, vms.Total
	if subject(c).Everywhere(access.RoleRead) {
		k, err := s.known(ctx)
		if err != nil {
			return err
		}
		for _, b := range k.given {
			if b.Scope == domain.ScopeTenant && (b.ScopeID == t.ID || b.ScopeID == t.Parent) {
				m.Bindings = append(m.Bindings, k.say(b, s.vmNames(ctx)))
			}
		}
	}
	sh, err := s.accessShell(c, t.Name, accessCrumb, layout.Crumb{Label: "Tenants", URL: live.Tenants})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, rights.TenantShow(sh, m))
}

func (s *server) tenantForm(c echo.Context) error {
	return s.showTenantForm(c, http.StatusOK, nil, nil)
}

func (s *server) showTenantForm(c echo.Context, status int, form url.Values, refused error) error {
	ctx := c.Request().Context()
	m := rights.TenantEdit{ID: c.Param("id"), Title: "New tenant", Form: form}
	crumbs := []layout.Crumb{accessCrumb, {Label: "Tenants", URL: live.Tenants}}
	if m.ID != "" {
		t, err := s.DB.Tenant(ctx, m.ID)
		if err != nil {
			return err
		}
		m.Title = "Edit " + t.Name
		crumbs = append(crumbs, layout.Crumb{Label: t.Name, URL: live.Tenant(t.ID)})
		if m.Form == nil {
			m.Form = rights.QuotaForm(t)
		}
	}
	all, err := s.DB.Tenants(ctx)
	if err != nil {
		return err
	}
	if m.Pools, err = s.poolNames(ctx); err != nil {
		return err
	}
	m.Parents = slices.DeleteFunc(all, func(t domain.Tenant) bool { return t.Parent != "" })
	if refused != nil {
		m.Err = problem(refused)
	}
	sh, err := s.accessShell(c, m.Title, crumbs...)
	if err != nil {
		return err
	}
	return s.render(c, status, rights.TenantEditPage(sh, m))
}

func (s *server) tenantSave(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	ctx, id := c.Request().Context(), c.Param("id")
	asked, err := rights.ReadTenant(form)
	if err == nil {
		t, version := asked, int64(0)
		if id != "" {
			if t, err = s.DB.Tenant(ctx, id); err != nil {
				return err
			}
			t.Name, t.Notes, t.Quota = asked.Name, asked.Notes, asked.Quota
			version, _ = strconv.ParseInt(form.Get("version"), 10, 64) // none: whichever it is
		}
		if t, err = s.Auth.SaveTenant(ctx, subject(c), t, id == "", version); err == nil {
			return s.moveSaying(c, live.Tenant(t.ID), layout.Toast{Tone: layout.ToneSuccess, Text: "The tenant " + t.Name + " was saved."})
		}
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	return s.showTenantForm(c, statusOf(err), form, err)
}

// permissionKinds are all permissions by kind, with who has them.
func permissionKinds(has func(access.Permission) map[string]bool) []rights.Kind {
	var out []rights.Kind
	for _, p := range access.All {
		if p == access.AccountSelf {
			continue
		}
		i := slices.IndexFunc(out, func(k rights.Kind) bool { return k.Name == p.Kind() })
		if i < 0 {
			out, i = append(out, rights.Kind{Name: p.Kind()}), len(out)
		}
		out[i].Permissions = append(out[i].Permissions, rights.Permission{Name: string(p), Has: has(p)})
	}
	return out
}

func permissionsOf(r domain.Role) []access.Permission {
	perms, _ := access.Expand(r.Permissions)
	return perms
}

func (s *server) roleList(c echo.Context) (int, templ.Component, error) {
	k, err := s.known(c.Request().Context())
	if err != nil {
		return 0, nil, err
	}
	toks, err := s.Auth.Tokens(c.Request().Context())
	if err != nil {
		return 0, nil, err
	}
	m := rights.Roles{Roles: k.roles, Given: map[string]int{}}
	for _, b := range k.given {
		m.Given[b.Role]++
	}
	for _, t := range toks {
		m.Given[t.Role]++
	}
	m.Kinds = permissionKinds(func(p access.Permission) map[string]bool {
		has := map[string]bool{}
		for _, r := range k.roles {
			has[r.ID] = slices.Contains(permissionsOf(r), p)
		}
		return has
	})
	sh, err := s.accessShell(c, "Roles")
	return http.StatusOK, rights.RolesPage(sh, m), err
}

func (s *server) rolePage(c echo.Context) error { return s.showRole(c, http.StatusOK, nil, nil) }

func (s *server) showRole(c echo.Context, status int, form url.Values, refused error) error {
	ctx := c.Request().Context()
	k, err := s.known(ctx)
	if err != nil {
		return err
	}
	m, title := rights.RolePage{Form: form}, "New role"
	if id := c.Param("id"); id != "" {
		i := slices.IndexFunc(k.roles, func(r domain.Role) bool { return r.ID == id })
		if i < 0 {
			return domain.Errorf(domain.NotFound, "There is no such role.")
		}
		m.Role, title = k.roles[i], k.roles[i].Name
		for _, b := range k.given {
			if b.Role == id {
				m.Given = append(m.Given, k.say(b, s.vmNames(ctx)))
			}
		}
	}
	ticked := permissionsOf(m.Role)
	if form == nil {
		m.Form = url.Values{"name": {m.Role.Name}, "notes": {m.Role.Notes}}
	} else {
		ticked, _ = access.Expand(form["permissions"])
	}
	m.Kinds = permissionKinds(func(p access.Permission) map[string]bool { return map[string]bool{"": slices.Contains(ticked, p)} })
	if refused != nil {
		m.Err = problem(refused)
	}
	sh, err := s.accessShell(c, title, accessCrumb, layout.Crumb{Label: "Roles", URL: live.Roles})
	if err != nil {
		return err
	}
	return s.render(c, status, rights.RoleShow(sh, m))
}

func (s *server) roleSave(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	id := c.Param("id")
	r, err := s.Auth.SaveRole(c.Request().Context(), subject(c), domain.Role{ID: cmp.Or(id, strings.TrimSpace(form.Get("id"))), Name: strings.TrimSpace(form.Get("name")), Notes: form.Get("notes"), Permissions: form["permissions"]}, id == "")
	switch domain.CodeOf(err) {
	case "":
		return s.moveSaying(c, live.Role(r.ID), layout.Toast{Tone: layout.ToneSuccess, Text: "The role " + r.Name + " was saved."})
	case domain.Internal, domain.NotFound:
		return err
	}
	return s.showRole(c, statusOf(err), form, err)
}

func (s *server) bindingList(c echo.Context) (int, templ.Component, error) {
	ctx := c.Request().Context()
	k, err := s.known(ctx)
	if err != nil {
		return 0, nil, err
	}
	m := rights.Bindings{Filter: strings.TrimSpace(c.QueryParam("filter")), All: len(k.given)}
	vm := s.vmNames(ctx)
	for _, b := range k.given {
		if g := k.say(b, vm); fits(m.Filter, g.Words, b.Role, b.ScopeID, b.Subject.ID) {
			m.Rows = append(m.Rows, g)
		}
	}
	slices.SortStableFunc(m.Rows, func(a, b rights.Given) int { return cmp.Compare(strings.ToLower(a.Who), strings.ToLower(b.Who)) })
	sh, err := s.accessShell(c, "Bindings")
	return http.StatusOK, rights.BindingsPage(sh, m), err
}

func (s *server) bindingForm(c echo.Context) error {
	form := c.QueryParams()
	if form.Get("role") == "" {
		form.Set("role", access.TenantUser)
	}
	return s.showBinding(c, http.StatusOK, form, nil)
}

// readBinding reads the form: the place's own field says where.
func (s *server) readBinding(ctx context.Context, form url.Values) domain.Binding {
	b := domain.Binding{Subject: domain.Ref{ID: form.Get("subject")}, Role: form.Get("role"), Scope: cmp.Or(form.Get("scope"), domain.ScopeEstate), Deny: truth(form.Get("deny")), Condition: strings.TrimSpace(form.Get("condition"))}
	switch b.Scope {
	case domain.ScopeTenant:
		b.ScopeID = form.Get("tenant")
	case domain.ScopeFolder:
		b.ScopeID = form.Get("folder")
	case domain.ScopeTag:
		b.ScopeID = strings.TrimSpace(form.Get("tag"))
	case domain.ScopeObject:
		b.ScopeID = s.objectNamed(ctx, form.Get("object"))
	}
	return b
}

// objectNamed finds the id of a VM that is named; anything else is an id.
func (s *server) objectNamed(ctx context.Context, text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.Contains(text, "_") {
		return text
	}
	if page, err := s.DB.VMs(ctx, db.VMQuery{Filter: `name:"` + strings.ReplaceAll(text, `"`, "") + `"`, Limit: 20}); err == nil {
		for _, v := range page.Items {
			if strings.EqualFold(v.Name, text) {
				return v.ID
			}
		}
	}
	return text
}

// scopeField is the form's field of a place.
func scopeField(e *domain.Error, scope string) *domain.Error {
	if e == nil {
		return nil
	}
	out := *e
	out.Fields = slices.Clone(e.Fields)
	for i, f := range out.Fields {
		if f.Field == "scope_id" {
			out.Fields[i].Field = scope
		}
	}
	return &out
}

func (s *server) bindingModel(c echo.Context, form url.Values, refused error) (rights.BindingForm, error) {
	ctx := c.Request().Context()
	k, err := s.known(ctx)
	if err != nil {
		return rights.BindingForm{}, err
	}
	m := rights.BindingForm{Form: form, Users: k.users, Groups: k.groups, Roles: k.roles, Tenants: k.tenants, Folders: k.folders}
	if m.Tags, err = s.shell.tagNames(ctx); err != nil {
		return m, err
	}
	b := s.readBinding(ctx, form)
	if b.Subject.ID == "" && len(k.groups) > 0 {
		b.Subject.ID = k.groups[0].ID
	} else if b.Subject.ID == "" {
		b.Subject.ID = k.users[0].ID
	}
	if b.Scope == domain.ScopeTenant && b.ScopeID == "" && len(k.tenants) > 0 {
		b.ScopeID = k.tenants[0].ID
	}
	if b.Scope == domain.ScopeFolder && b.ScopeID == "" && len(k.folders) > 0 {
		b.ScopeID = k.folders[0].ID
	}
	checked, err := s.Auth.CheckBinding(ctx, subject(c), b)
	if err == nil {
		m.Effect = k.say(checked, s.vmNames(ctx)).Words
		for _, r := range k.roles {
			if r.ID == checked.Role {
				m.Allows = r.Permissions
			}
		}
	}
	if refused == nil && len(form["subject"]) > 0 {
		refused = err // it was typed, so it is judged
	}
	if refused != nil {
		if domain.CodeOf(refused) == domain.Internal {
			return m, refused
		}
		m.Err = scopeField(problem(refused), b.Scope)
	}
	return m, nil
}

func (s *server) showBinding(c echo.Context, status int, form url.Values, refused error) error {
	m, err := s.bindingModel(c, form, refused)
	if err != nil {
		return err
	}
	if status == http.StatusOK {
		m.Err = nil
	}
	sh, err := s.accessShell(c, "Give a role", accessCrumb, layout.Crumb{Label: "Bindings", URL: live.Bindings})
	if err != nil {
		return err
	}
	return s.render(c, status, rights.BindingPage(sh, m))
}

// bindingCheck says in words what is typed so far, or what is wrong with it.
func (s *server) bindingCheck(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	m, err := s.bindingModel(c, form, nil)
	if err != nil {
		return err
	}
	if m.Err != nil && len(m.Err.Fields) == 0 {
		m.Err.Fields = []domain.FieldError{{Msg: m.Err.Msg, Want: m.Err.Fix}}
	}
	return s.render(c, http.StatusOK, rights.BindingEffectOf(m))
}

func (s *server) bindingSave(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	ctx := c.Request().Context()
	_, err = s.Auth.Bind(ctx, subject(c), s.readBinding(ctx, form))
	switch domain.CodeOf(err) {
	case "":
		return s.moveSaying(c, live.Bindings, layout.Toast{Tone: layout.ToneSuccess, Text: "The role was given."})
	case domain.Internal:
		return err
	}
	return s.showBinding(c, statusOf(err), form, err)
}

// staleAfter is when a token that nobody used is called stale.
const staleAfter = 90 * 24 * time.Hour

func (s *server) serviceTokens(c echo.Context) error {
	return s.showServiceTokens(c, http.StatusOK, url.Values{"role": {access.TenantUser}}, nil)
}

func (s *server) showServiceTokens(c echo.Context, status int, form url.Values, refused error) error {
	ctx := c.Request().Context()
	k, err := s.known(ctx)
	if err != nil {
		return err
	}
	toks, err := s.Auth.Tokens(ctx)
	if err != nil {
		return err
	}
	sub, now := subject(c), s.Clock()
	if !sub.Everywhere(access.TokenManage) {
		toks = slices.DeleteFunc(toks, func(t domain.Token) bool { return t.UserID == "" || t.UserID != sub.UserID })
	}
	m := rights.Tokens{Form: form, Roles: k.roles, Tenants: k.tenants}
	for _, t := range toks {
		r := rights.TokenRow{Token: t, Whose: k.role(t.Role) + " in the whole estate", Stale: now.Sub(later(t.LastUsed, t.CreatedAt)) > staleAfter, Ended: !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)}
		if t.Tenant != "" {
			r.Whose = k.role(t.Role) + " in " + k.tenant(t.Tenant).Name
		}
		if t.UserID != "" {
			r.Whose = "a person's own"
			for _, u := range k.users {
				if u.ID == t.UserID {
					r.Whose = "what " + u.Name + " may"
				}
			}
		}
		m.Rows = append(m.Rows, r)
	}
	if refused != nil {
		m.Err = problem(refused)
	}
	sh, err := s.accessShell(c, "Service accounts and tokens")
	if err != nil {
		return err
	}
	return s.render(c, status, rights.TokensPage(sh, m))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *server) serviceTokenMake(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	expires, err := s.expiry(strings.TrimSpace(form.Get("days")))
	var text string
	tok := domain.Token{Name: form.Get("name"), Role: form.Get("role"), Tenant: form.Get("tenant"), Only: strings.Fields(form.Get("permissions")), ExpiresAt: expires}
	if err == nil {
		text, tok, err = s.Auth.MakeToken(c.Request().Context(), subject(c), tok)
	}
	switch domain.CodeOf(err) {
	case "":
		return s.showMade(c, rights.Made{Title: "The token is made", What: "The token", Name: tok.Name, Secret: text,
			Note: "Keep it like a password. Only its hash stays here.", Back: live.AccessTokens, BackLabel: "To the tokens"})
	case domain.Internal:
		return err
	}
	return s.showServiceTokens(c, statusOf(err), form, err)
}

func (s *server) explainPage(c echo.Context) error {
	ctx := c.Request().Context()
	m := rights.Explain{Subject: strings.TrimSpace(c.QueryParam("subject")), Permission: c.QueryParam("permission"), Object: strings.TrimSpace(c.QueryParam("object"))}
	for _, p := range access.All {
		m.Permissions = append(m.Permissions, string(p))
	}
	k, err := s.known(ctx)
	if err != nil {
		return err
	}
	for _, u := range k.users {
		m.Subjects = append(m.Subjects, u.Name)
	}
	for _, g := range k.groups {
		m.Subjects = append(m.Subjects, g.Name)
	}
	status := http.StatusOK
	if m.Asked = m.Permission != ""; m.Asked {
		if err := s.explain(ctx, &m); err != nil {
			if domain.CodeOf(err) == domain.Internal {
				return err
			}
			status, m.Err = statusOf(err), problem(err)
			if status == http.StatusNotFound {
				status, m.Err = http.StatusUnprocessableEntity, problem(domain.InvalidField("object", "There is no “"+m.Object+"”.", "a VM's name, a tenant, or an id"))
			}
		}
	}
	sh, err := s.accessShell(c, "Who may do what, and why")
	if err != nil {
		return err
	}
	return s.render(c, status, rights.ExplainPage(sh, m))
}

func (s *server) explain(ctx context.Context, m *rights.Explain) error {
	object := s.objectNamed(ctx, m.Object)
	if m.ObjectName = object; object != "" && domain.IsVM(object) {
		m.ObjectName = s.vmNames(ctx)(object)
	}
	if m.Subject == "" {
		all, err := s.Auth.WhoMay(ctx, access.Permission(m.Permission), object)
		for _, h := range all {
			m.Holders = append(m.Holders, rights.Holder{Kind: h.Kind, ID: h.ID, Name: h.Name, Reason: h.Reason})
		}
		return err
	}
	e, ref, err := s.Auth.Explain(ctx, m.Subject, access.Permission(m.Permission), object)
	if err != nil {
		return err
	}
	m.Allowed, m.Who, m.Reason = e.Allowed, ref.Name, e.Reason
	for _, l := range e.Looked {
		m.Looked = append(m.Looked, rights.Looked{Who: l.Subject, Role: l.Role, Where: l.Scope, Why: l.Why, Deny: l.Effect == "deny", Applies: l.Applies})
	}
	return nil
}
