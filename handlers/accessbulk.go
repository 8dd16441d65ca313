package handlers

import (
	"context"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/rights"
	"novacron/views/ui"
)

// deed is one thing that can be done with rows of a list of access.
type deed struct {
	verb, done    string // "Delete", "deleted"
	text          string // what it means
	danger, type_ bool   // red; the name has to be typed when it is one
	one           bool   // only for a single row
	do            func(ctx context.Context, by auth.Subject, id string) error
}

// deeds is a list with what can be done with its rows.
type deeds struct {
	list, back, tab string
	one, many       string
	can             map[string]deed
	names           func(ctx context.Context) (map[string]string, error)
}

// bulkMost bounds what one form may name.
const bulkMost = 500

func (s *server) askDeed(c echo.Context, status int, d deeds, form map[string][]string, refused error) error {
	var do string
	if len(form["do"]) > 0 {
		do = form["do"][0]
	}
	what, ok := d.can[do]
	ids := slices.Compact(slices.Sorted(slices.Values(form["ids"])))
	if !ok {
		return domain.InvalidField("do", "“"+do+"” cannot be done with "+d.many+".", "one of the buttons")
	}
	if len(ids) == 0 || len(ids) > bulkMost || what.one && len(ids) != 1 {
		return domain.InvalidField("ids", "Nothing is selected, or too much.", ui.Plural(bulkMost, d.one, d.many)+" at most")
	}
	all, err := d.names(c.Request().Context())
	if err != nil {
		return err
	}
	m := rights.Ask{Text: what.text, Button: what.verb, URL: d.list, Do: do, Back: d.back, IDs: ids, Danger: what.danger}
	for _, id := range ids {
		name, ok := all[id]
		if !ok {
			return domain.Errorf(domain.NotFound, "There is no such %s.", d.one).WithFix("It may have been removed meanwhile; reload the list.")
		}
		m.Names = append(m.Names, name)
	}
	m.Title = what.verb + " " + ui.Plural(len(ids), d.one, d.many) + "?"
	if len(ids) == 1 {
		m.Title = what.verb + " the " + d.one + " " + m.Names[0] + "?"
		if what.type_ {
			m.Confirm = m.Names[0]
		}
	}
	if refused != nil {
		m.Err = problem(refused)
	}
	sh, err := s.accessShell(c, m.Title, accessCrumb, layout.Crumb{Label: d.tab, URL: d.back})
	if err != nil {
		return err
	}
	return s.render(c, status, rights.AskPage(sh, m))
}

// doDeed does it, row by row; the first that is refused ends it and says so.
func (s *server) doDeed(c echo.Context, d deeds) error {
	form, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	what, ok := d.can[form.Get("do")]
	ids := slices.Compact(slices.Sorted(slices.Values(form["ids"])))
	if !ok || len(ids) == 0 || len(ids) > bulkMost || what.one && len(ids) != 1 {
		return s.askDeed(c, http.StatusOK, d, form, nil)
	}
	if what.type_ && len(ids) == 1 {
		all, err := d.names(c.Request().Context())
		if err != nil {
			return err
		}
		if name := all[ids[0]]; form.Get("confirm") != name {
			err := domain.InvalidField("confirm", "That is not the name.", name)
			return s.askDeed(c, statusOf(err), d, form, err)
		}
	}
	for i, id := range ids {
		err := what.do(c.Request().Context(), subject(c), id)
		switch code := domain.CodeOf(err); {
		case err == nil, code == domain.NotFound && i > 0:
		case code == domain.Internal, code == domain.NotFound:
			return err
		default:
			form["ids"] = ids[i:]
			return s.askDeed(c, statusOf(err), d, form, err)
		}
	}
	return s.moveSaying(c, d.back, layout.Toast{Tone: layout.ToneSuccess, Text: ui.Plural(len(ids), d.one, d.many) + " " + what.done + "."})
}

func (s *server) userDeeds() deeds {
	able := func(off bool) func(context.Context, auth.Subject, string) error {
		return func(ctx context.Context, by auth.Subject, id string) error {
			_, err := s.Auth.EditUser(ctx, by, id, auth.UserEdit{Disabled: &off})
			return err
		}
	}
	return deeds{list: live.AccessUserBulk, back: live.AccessUsers, tab: "Users", one: "account", many: "accounts",
		names: func(ctx context.Context) (map[string]string, error) {
			all, err := s.DB.Users(ctx)
			out := map[string]string{}
			for _, u := range all {
				out[u.ID] = u.Name
			}
			return out, err
		},
		can: map[string]deed{
			"disable":  {verb: "Disable", done: "disabled", text: "Their sessions end, their tokens are refused, and they cannot sign in. What they made stays.", danger: true, do: able(true)},
			"enable":   {verb: "Enable", done: "enabled", text: "They can sign in again with what they had.", do: able(false)},
			"delete":   {verb: "Delete", done: "deleted", text: "The account goes with its tokens, second factors and what it was given. What it did stays in the audit log.", danger: true, type_: true, do: s.Auth.DeleteUser},
			"sign out": {verb: "Sign out", done: "signed out", text: "Their sessions end everywhere. They can sign in again.", do: s.Auth.EndSessions},
			"invite":   {verb: "Invite", done: "invited", text: "A link is made, shown once, with which they choose a password within three days; it is sent to their mail address where this server can. The password they have is forgotten, and their sessions end.", one: true},
			"reset":    {verb: "Reset", done: "reset", text: "A new one-time password is made and shown once; the sessions end, and second factors are forgotten.", danger: true, one: true},
		}}
}

func (s *server) userAsk(c echo.Context) error {
	return s.askDeed(c, http.StatusOK, s.userDeeds(), c.QueryParams(), nil)
}

func (s *server) userBulk(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	do := form.Get("do")
	if do != "reset" && do != "invite" {
		return s.doDeed(c, s.userDeeds())
	}
	refused, err := s.userReset(c, do, form.Get("ids"))
	if refused != nil {
		return s.askDeed(c, statusOf(refused), s.userDeeds(), form, refused)
	}
	return err
}

func (s *server) groupDeeds() deeds {
	return deeds{list: live.AccessGroupBulk, back: live.AccessGroups, tab: "Groups", one: "group", many: "groups",
		names: func(ctx context.Context) (map[string]string, error) {
			all, err := s.DB.Groups(ctx)
			out := map[string]string{}
			for _, g := range all {
				out[g.ID] = g.Name
			}
			return out, err
		},
		can: map[string]deed{"delete": {verb: "Delete", done: "deleted", text: "Its members stay, and lose what they had through the group.", danger: true, type_: true, do: s.Auth.DeleteGroup}}}
}

func (s *server) groupAsk(c echo.Context) error {
	return s.askDeed(c, http.StatusOK, s.groupDeeds(), c.QueryParams(), nil)
}

func (s *server) groupBulk(c echo.Context) error { return s.doDeed(c, s.groupDeeds()) }

func (s *server) tenantDeeds() deeds {
	return deeds{list: live.TenantBulk, back: live.Tenants, tab: "Tenants", one: "tenant", many: "tenants",
		names: func(ctx context.Context) (map[string]string, error) {
			all, err := s.DB.Tenants(ctx)
			out := map[string]string{}
			for _, t := range all {
				out[t.ID] = t.Name
			}
			return out, err
		},
		can: map[string]deed{"delete": {verb: "Delete", done: "deleted", text: "It goes with what was given in it. A tenant that has something still stays.", danger: true, type_: true, do: s.Auth.DeleteTenant}}}
}

func (s *server) tenantAsk(c echo.Context) error {
	return s.askDeed(c, http.StatusOK, s.tenantDeeds(), c.QueryParams(), nil)
}

func (s *server) tenantBulk(c echo.Context) error { return s.doDeed(c, s.tenantDeeds()) }

func (s *server) roleDeeds() deeds {
	return deeds{list: live.RoleBulk, back: live.Roles, tab: "Roles", one: "role", many: "roles",
		names: func(ctx context.Context) (map[string]string, error) {
			all, err := s.DB.Roles(ctx)
			out := map[string]string{}
			for _, r := range all {
				out[r.ID] = r.Name
			}
			return out, err
		},
		can: map[string]deed{"delete": {verb: "Delete", done: "deleted", text: "A role that is given to somebody stays.", danger: true, type_: true, do: s.Auth.DeleteRole}}}
}

func (s *server) roleAsk(c echo.Context) error {
	return s.askDeed(c, http.StatusOK, s.roleDeeds(), c.QueryParams(), nil)
}

func (s *server) roleBulk(c echo.Context) error { return s.doDeed(c, s.roleDeeds()) }

func (s *server) bindingDeeds() deeds {
	return deeds{list: live.BindingBulk, back: live.Bindings, tab: "Bindings", one: "binding", many: "bindings",
		names: func(ctx context.Context) (map[string]string, error) {
			k, err := s.known(ctx)
			out, vm := map[string]string{}, s.vmNames(ctx)
			for _, b := range k.given {
				out[b.ID] = k.say(b, vm).Words
			}
			return out, err
		},
		can: map[string]deed{"remove": {verb: "Take away", done: "taken away", text: "It ends with the next request of whom it concerns.", danger: true, do: s.Auth.Unbind}}}
}

func (s *server) bindingAsk(c echo.Context) error {
	return s.askDeed(c, http.StatusOK, s.bindingDeeds(), c.QueryParams(), nil)
}

func (s *server) bindingBulk(c echo.Context) error { return s.doDeed(c, s.bindingDeeds()) }

func (s *server) tokenDeeds() deeds {
	return deeds{list: live.AccessTokenBulk, back: live.AccessTokens, tab: "Tokens", one: "token", many: "tokens",
		names: func(ctx context.Context) (map[string]string, error) {
			all, err := s.Auth.Tokens(ctx)
			out := map[string]string{}
			for _, t := range all {
				out[t.ID] = t.Name
			}
			return out, err
		},
		can: map[string]deed{"revoke": {verb: "Revoke", done: "revoked", text: "Whoever uses it is refused from the next request on.", danger: true,
			do: func(ctx context.Context, by auth.Subject, id string) error {
				return s.Auth.RevokeToken(ctx, id, by.Actor())
			}}}}
}

func (s *server) serviceTokenAsk(c echo.Context) error {
	return s.askDeed(c, http.StatusOK, s.tokenDeeds(), c.QueryParams(), nil)
}

func (s *server) serviceTokenBulk(c echo.Context) error { return s.doDeed(c, s.tokenDeeds()) }
