package handlers

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/rights"
)

var accessCrumb = layout.Crumb{Label: "Access", URL: live.Access}

func (s *server) accessShell(c echo.Context, title string, crumbs ...layout.Crumb) (layout.Shell, error) {
	return s.shellFor(c, page{title: title, section: layout.SectionAccess, crumbs: crumbs})
}

// accessHome leads to the first part that the person may see.
func (s *server) accessHome(c echo.Context) error {
	if to := rights.First(s.bareShell(subject(c))); to != "" {
		return c.Redirect(http.StatusSeeOther, to)
	}
	return domain.Errorf(domain.NotFound, "There is nothing here for you to see.")
}

// known is everything that pages of access name things by.
type known struct {
	users   []domain.User
	groups  []domain.Group
	tenants []domain.Tenant
	folders []domain.Folder
	roles   []domain.Role
	given   []domain.Binding
}

func (s *server) known(ctx context.Context) (k known, err error) {
	if k.users, err = s.DB.Users(ctx); err != nil {
		return k, err
	}
	if k.groups, err = s.DB.Groups(ctx); err != nil {
		return k, err
	}
	if k.tenants, err = s.DB.Tenants(ctx); err != nil {
		return k, err
	}
	if k.folders, err = s.DB.AllFolders(ctx); err != nil {
		return k, err
	}
	custom, err := s.DB.Roles(ctx)
	if err != nil {
		return k, err
	}
	k.roles = slices.Concat(builtIn(), custom)
	slices.SortFunc(k.users, func(a, b domain.User) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	k.given, err = s.DB.Bindings(ctx)
	return k, err
}

func (k known) role(id string) string {
	for _, r := range k.roles {
		if r.ID == id {
			return r.Name
		}
	}
	return id
}

func (k known) tenant(id string) domain.Tenant {
	for _, t := range k.tenants {
		if t.ID == id {
			return t
		}
	}
	return domain.Tenant{ID: id, Name: id}
}

// say puts a binding into words. vm finds the name of a VM.
func (k known) say(b domain.Binding, vm func(id string) string) rights.Given {
	g := rights.Given{Binding: b, Who: cmp.Or(b.Subject.Name, b.Subject.ID), WhoURL: live.AccessUser(b.Subject.ID)}
	who := g.Who
	if b.Subject.Kind == "group" {
		g.WhoURL, who = live.AccessGroup(b.Subject.ID), "Everybody in "+who
	}
	switch b.Scope {
	case domain.ScopeTenant:
		g.Where, g.WhereTo = "in the tenant "+k.tenant(b.ScopeID).Name, live.Tenant(b.ScopeID)
	case domain.ScopeFolder:
		g.Where = "in a folder that is gone"
		for _, f := range k.folders {
			if f.ID == b.ScopeID {
				g.Where, g.WhereTo = "in the folder "+f.Path, live.VMsWhere(`folder:`+f.ID)
			}
		}
	case domain.ScopeTag:
		g.Where, g.WhereTo = "on VMs with the tag "+b.ScopeID, live.VMsWhere("tag:"+b.ScopeID)
	case domain.ScopeObject:
		g.Where = "on " + b.ScopeID
		if domain.IsVM(b.ScopeID) {
			g.Where, g.WhereTo = "on "+vm(b.ScopeID), live.VM(b.ScopeID)
		}
	default:
		g.Where = "in the whole estate"
	}
	verb := " may do what the role " + k.role(b.Role) + " allows "
	if b.Deny {
		verb = " may do nothing of what the role " + k.role(b.Role) + " allows "
	}
	g.Words = who + verb + g.Where
	if b.Condition != "" {
		g.Words += " while " + b.Condition
	}
	g.Words += "."
	return g
}

// vmNames finds names of VMs; an id that nothing has stays an id.
func (s *server) vmNames(ctx context.Context) func(string) string {
	return func(id string) string {
		if v, err := s.DB.VM(ctx, id); err == nil {
			return v.Name
		}
		return id
	}
}

// of gives what somebody was given, by themselves or through their groups.
func (k known) of(id string, vm func(string) string) []rights.Given {
	in := map[string]string{}
	for _, g := range k.groups {
		if slices.Contains(g.Members, id) {
			in[g.ID] = g.Name
		}
	}
	var out []rights.Given
	for _, b := range k.given {
		if b.Subject.ID != id && in[b.Subject.ID] == "" {
			continue
		}
		g := k.say(b, vm)
		g.Through = in[b.Subject.ID]
		out = append(out, g)
	}
	return out
}

func rolesOf(given []rights.Given) []string {
	var out []string
	for _, g := range given {
		text := g.Binding.Role
		if g.Binding.Scope == domain.ScopeTenant {
			text += " @ " + g.Binding.ScopeID
		} else if g.Binding.Scope != domain.ScopeEstate {
			text += " …"
		}
		if g.Binding.Deny {
			text = "not " + text
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

func (s *server) userRow(k known, u domain.User, mfa map[string][]string) rights.UserRow {
	r := rights.UserRow{User: u, MFA: mfa[u.ID], Roles: rolesOf(k.of(u.ID, func(id string) string { return id }))}
	for _, g := range k.groups {
		if slices.Contains(g.Members, u.ID) {
			r.Groups = append(r.Groups, g.Name)
		}
	}
	return r
}

// fits reports whether every word of a filter is in one of the texts.
func fits(filter string, texts ...string) bool {
	all := strings.ToLower(strings.Join(texts, "\n"))
	for _, w := range strings.Fields(strings.ToLower(filter)) {
		if !strings.Contains(all, w) {
			return false
		}
	}
	return true
}

func (s *server) userList(c echo.Context) (int, templ.Component, error) {
	ctx := c.Request().Context()
	k, err := s.known(ctx)
	if err != nil {
		return 0, nil, err
	}
	mfa, err := s.DB.FactorKinds(ctx)
	if err != nil {
		return 0, nil, err
	}
	m := rights.Users{Filter: strings.TrimSpace(c.QueryParam("filter")), All: len(k.users)}
	for _, u := range k.users {
		r := s.userRow(k, u, mfa)
		if fits(m.Filter, u.Name, u.FullName, u.Email, strings.Join(r.Roles, " "), strings.Join(r.Groups, " ")) {
			m.Rows = append(m.Rows, r)
		}
	}
	sh, err := s.accessShell(c, "Users")
	return http.StatusOK, rights.UsersPage(sh, m), err
}

func (s *server) userNew(c echo.Context) error {
	return s.showUserNew(c, http.StatusOK, c.QueryParams(), nil)
}

func (s *server) showUserNew(c echo.Context, status int, form url.Values, refused error) error {
	k, err := s.known(c.Request().Context())
	if err != nil {
		return err
	}
	m := rights.NewUser{Form: form, Roles: k.roles, Tenants: k.tenants}
	if refused != nil {
		m.Err = problem(refused)
	}
	sh, err := s.accessShell(c, "New user", accessCrumb, layout.Crumb{Label: "Users", URL: live.AccessUsers})
	if err != nil {
		return err
	}
	return s.render(c, status, rights.NewUserPage(sh, m))
}

func (s *server) userCreate(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	u, once, err := s.Auth.MakeUser(c.Request().Context(), subject(c), auth.NewUser{Name: form.Get("name"), FullName: form.Get("full_name"), Email: form.Get("email"), Role: form.Get("role"), Tenant: form.Get("tenant")})
	if err != nil {
		if domain.CodeOf(err) == domain.Internal {
			return err
		}
		return s.showUserNew(c, statusOf(err), form, err)
	}
	if form.Get("open") == "link" {
		return s.showInvite(c, u, false)
	}
	return s.showMade(c, rights.Made{Title: "The account is made", What: "The one-time password of", Name: u.Name, Secret: once,
		Note: "Give it to them by a safe way. They choose their own at the first sign-in.", Back: live.AccessUser(u.ID), BackLabel: "To the account"})
}

func (s *server) showMade(c echo.Context, m rights.Made) error {
	sh, err := s.accessShell(c, m.Title, accessCrumb)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, rights.MadePage(sh, m))
}

func (s *server) userPage(c echo.Context) error { return s.showUser(c, http.StatusOK, nil, nil) }

func (s *server) showUser(c echo.Context, status int, form url.Values, refused error) error {
	ctx := c.Request().Context()
	u, err := s.DB.User(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	k, err := s.known(ctx)
	if err != nil {
		return err
	}
	mfa, err := s.DB.FactorKinds(ctx)
	if err != nil {
		return err
	}
	m := rights.UserPage{Row: s.userRow(k, u, mfa), Bindings: k.of(u.ID, s.vmNames(ctx)), Form: form, Self: subject(c).UserID == u.ID}
	if m.Form == nil {
		m.Form = url.Values{"full_name": {u.FullName}, "email": {u.Email}}
	}
	if refused != nil {
		m.Err = problem(refused)
	}
	if subject(c).Everywhere(access.UserManage) || m.Self {
		if m.Sessions, err = s.Auth.Sessions(ctx, u.ID); err != nil {
			return err
		}
	}
	sh, err := s.accessShell(c, u.Name, accessCrumb, layout.Crumb{Label: "Users", URL: live.AccessUsers})
	if err != nil {
		return err
	}
	return s.render(c, status, rights.UserPageOf(sh, m))
}

func (s *server) userEdit(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	full, mail := form.Get("full_name"), form.Get("email")
	_, err = s.Auth.EditUser(c.Request().Context(), subject(c), c.Param("id"), auth.UserEdit{FullName: &full, Email: &mail})
	switch domain.CodeOf(err) {
	case "":
		return s.moveSaying(c, live.AccessUser(c.Param("id")), layout.Toast{Tone: layout.ToneSuccess, Text: "The account was changed."})
	case domain.Internal, domain.NotFound:
		return err
	}
	return s.showUser(c, statusOf(err), form, err)
}

func (s *server) groupList(c echo.Context) (int, templ.Component, error) {
	k, err := s.known(c.Request().Context())
	if err != nil {
		return 0, nil, err
	}
	var m rights.Groups
	for _, g := range k.groups {
		m.Rows = append(m.Rows, rights.GroupRow{Group: g, Roles: rolesOf(k.of(g.ID, func(id string) string { return id }))})
	}
	sh, err := s.accessShell(c, "Groups")
	return http.StatusOK, rights.GroupsPage(sh, m), err
}

func (s *server) groupPage(c echo.Context) error { return s.showGroup(c, http.StatusOK, nil, nil) }

func (s *server) showGroup(c echo.Context, status int, form url.Values, refused error) error {
	ctx := c.Request().Context()
	k, err := s.known(ctx)
	if err != nil {
		return err
	}
	m := rights.GroupPage{Users: k.users, Form: form}
	title := "New group"
	if id := c.Param("id"); id != "" {
		if m.Group, err = s.DB.Group(ctx, id); err != nil {
			return err
		}
		m.Bindings, title = k.of(id, s.vmNames(ctx)), m.Group.Name
	}
	if m.Form == nil {
		m.Form = url.Values{"name": {m.Group.Name}, "notes": {m.Group.Notes}, "members": m.Group.Members}
	}
	if refused != nil {
		m.Err = problem(refused)
	}
	sh, err := s.accessShell(c, title, accessCrumb, layout.Crumb{Label: "Groups", URL: live.AccessGroups})
	if err != nil {
		return err
	}
	return s.render(c, status, rights.GroupEditPage(sh, m))
}

func (s *server) groupSave(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	ctx := c.Request().Context()
	g := domain.Group{}
	if id := c.Param("id"); id != "" {
		if g, err = s.DB.Group(ctx, id); err != nil {
			return err
		}
	}
	g.Name, g.Notes, g.Members = form.Get("name"), form.Get("notes"), form["members"]
	g, err = s.Auth.SaveGroup(ctx, subject(c), g)
	switch domain.CodeOf(err) {
	case "":
		return s.moveSaying(c, live.AccessGroup(g.ID), layout.Toast{Tone: layout.ToneSuccess, Text: "The group " + g.Name + " was saved."})
	case domain.Internal, domain.NotFound:
		return err
	}
	return s.showGroup(c, statusOf(err), form, err)
}
