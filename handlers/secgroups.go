package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/db"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/secgroups"
)

func (s *server) secGroupShell(c echo.Context, title, on string, after int64, crumbs ...layout.Crumb) (layout.Shell, error) {
	return s.netShell(c, title, on, after, append([]layout.Crumb{{Label: "Networks", URL: live.Networks}}, crumbs...)...)
}

var secGroupCrumb = layout.Crumb{Label: "Security groups", URL: live.SecGroups}

func (s *server) secGroupList(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	m, err := s.secGroupsModel(c.Request().Context())
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.secGroupShell(c, "Security groups", live.OnSecGroups, after)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, secgroups.ListPage(sh, m), nil
}

func (s *server) secGroupsModel(ctx context.Context) (secgroups.List, error) {
	var m secgroups.List
	all, err := s.DB.SecurityGroups(ctx)
	if err != nil {
		return m, err
	}
	members, err := s.Fleet.GroupMembers(ctx)
	for _, g := range all {
		m.Rows = append(m.Rows, secgroups.Row{Group: g, VMs: len(members[g.ID])})
	}
	return m, err
}

func (s *server) secGroupPage(c echo.Context) (int, templ.Component, error) {
	ctx, after := c.Request().Context(), s.DB.Feed().Last()
	m, err := s.secGroupModel(ctx, c.Param("id"))
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.secGroupShell(c, m.Group.Name, m.Group.ID, after, secGroupCrumb)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, secgroups.ShowPage(sh, m), nil
}

func (s *server) secGroupModel(ctx context.Context, id string) (secgroups.Show, error) {
	m := secgroups.Show{Names: map[string]string{}}
	var err error
	if m.Group, err = s.DB.SecurityGroup(ctx, id); err != nil {
		return m, err
	}
	if m.Effect, err = s.effectOf(ctx, m.Group); err != nil {
		return m, err
	}
	all, err := s.DB.SecurityGroups(ctx)
	if err != nil {
		return m, err
	}
	for _, g := range all {
		m.Names[g.ID] = g.Name
	}
	m.UsedBy = namedBy(all, m.Group.ID)
	active, err := s.DB.Jobs(ctx, db.JobQuery{Resource: m.Group.ID, Active: true, Limit: 1})
	if len(active.Items) > 0 {
		m.Busy = &active.Items[0]
	}
	return m, err
}

// namedBy are the other groups whose rules name this one.
func namedBy(all []domain.SecurityGroup, id string) []domain.SecurityGroup {
	var out []domain.SecurityGroup
	for _, g := range all {
		if g.ID != id && slices.ContainsFunc(g.Rules, func(r domain.SecRule) bool { return r.Group == id }) {
			out = append(out, g)
		}
	}
	return out
}

func (s *server) effectOf(ctx context.Context, g domain.SecurityGroup) (secgroups.Effect, error) {
	e, err := s.Fleet.PreviewGroup(ctx, g)
	return secgroups.Effect{VMs: e.VMs, Hosts: e.Hosts, Sentences: e.Sentences, Warnings: e.Warnings}, err
}

// secGroupForm shows the form: as the group is, or as typed so far when a rule was added or taken away.
func (s *server) secGroupForm(c echo.Context) error {
	m := secgroups.Edit{ID: c.Param("id"), Form: secgroups.NewForm()}
	if m.ID != "" {
		g, err := s.DB.SecurityGroup(c.Request().Context(), m.ID)
		if err != nil {
			return err
		}
		m.ID, m.Form = g.ID, secgroups.Filled(g)
	}
	if values, ok := s.takeDraft(c); ok {
		m.Form = secgroups.Decode(values)
	} else if q := c.QueryParams(); q.Has("name") {
		m.Form = secgroups.Decode(q)
	}
	return s.showSecGroup(c, http.StatusOK, m)
}

func (s *server) showSecGroup(c echo.Context, status int, m secgroups.Edit) error {
	ctx := c.Request().Context()
	m.Key, m.Title = rand.Text(), "New security group"
	crumbs := []layout.Crumb{secGroupCrumb}
	if m.ID != "" {
		g, err := s.DB.SecurityGroup(ctx, m.ID)
		if err != nil {
			return err
		}
		m.Title = "Edit " + g.Name
		crumbs = append(crumbs, layout.Crumb{Label: g.Name, URL: live.SecGroup(g.ID)})
	}
	var err error
	if m.Groups, err = s.DB.SecurityGroups(ctx); err != nil {
		return err
	}
	sh, err := s.secGroupShell(c, m.Title, "", 0, crumbs...)
	if err != nil {
		return err
	}
	return s.render(c, status, secgroups.EditPage(sh, m))
}

// secGroupSave first says what would be done. Only what was said is then done: a form that was changed since is put into words again.
func (s *server) secGroupSave(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	m := secgroups.Edit{ID: c.Param("id"), Form: secgroups.Decode(values)}
	g := m.Form.Group(m.ID)
	effect, err := s.effectOf(ctx, g)
	if err == nil {
		m.Effect = &effect
		if !truth(values.Get("apply")) || m.Form.Seen != m.Form.Digest() {
			return s.showSecGroup(c, http.StatusOK, m)
		}
		var job domain.Job
		if job, err = s.Fleet.SaveGroup(ctx, subject(c).Actor(), g, onceKey(c)); err == nil {
			if job, err = s.settle(ctx, job, earlyEnd); err == nil {
				return s.moveSaying(c, live.SecGroup(job.Resource.ID), ended(job))
			}
		}
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	m.Err = problem(err)
	return s.showSecGroup(c, statusOf(err), m)
}

func (s *server) secGroupAsk(c echo.Context) error { return s.askSecGroup(c, http.StatusOK, nil) }

func (s *server) askSecGroup(c echo.Context, status int, refused *domain.Error) error {
	ctx := c.Request().Context()
	m := secgroups.Delete{Err: refused, Key: rand.Text()}
	var err error
	if m.Group, err = s.DB.SecurityGroup(ctx, c.Param("id")); err != nil {
		return err
	}
	members, err := s.Fleet.GroupMembers(ctx)
	if err != nil {
		return err
	}
	m.VMs = members[m.Group.ID]
	all, err := s.DB.SecurityGroups(ctx)
	if err != nil {
		return err
	}
	m.UsedBy = namedBy(all, m.Group.ID)
	sh, err := s.secGroupShell(c, "Delete "+m.Group.Name, "", 0, secGroupCrumb, layout.Crumb{Label: m.Group.Name, URL: live.SecGroup(m.Group.ID)})
	if err != nil {
		return err
	}
	return s.render(c, status, secgroups.DeletePage(sh, m))
}

func (s *server) secGroupDelete(c echo.Context) error {
	ctx := c.Request().Context()
	job, err := s.Fleet.DeleteGroup(ctx, subject(c).Actor(), c.Param("id"), onceKey(c))
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err == nil {
		return s.moveSaying(c, live.SecGroups, ended(job))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	return s.askSecGroup(c, statusOf(err), problem(err))
}
