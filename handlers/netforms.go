package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/networks"
)

func (s *server) networkNew(c echo.Context) error {
	hosts, err := s.networkHosts(c.Request().Context())
	if err != nil {
		return err
	}
	m := networks.Edit{Hosts: hosts, Form: networks.NewForm(hosts)}
	if values, ok := s.takeDraft(c); ok {
		m.Form, m.Whose.Value = networks.Decode(values), values.Get("tenant")
	} else if h := c.QueryParam("host"); h != "" {
		m.Form.Hosts = []string{h}
	}
	return s.networkForm(c, http.StatusOK, m)
}

func (s *server) networkHosts(ctx context.Context) ([]networks.HostChoice, error) {
	f, _, err := s.shell.frame(ctx, s.DB.Feed().Last(), shellFresh)
	if err != nil {
		return nil, err
	}
	out := make([]networks.HostChoice, len(f.hosts))
	for i, h := range f.hosts {
		out[i] = networks.HostChoice{ID: h.ID, Name: h.Name}
		if h.State != domain.HostConnected {
			out[i].Why = string(h.State)
		}
	}
	return out, nil
}

func (s *server) networkForm(c echo.Context, status int, m networks.Edit) error {
	m.Key = rand.Text()
	title, crumbs := "New network", []layout.Crumb{{Label: "Networks", URL: live.Networks}}
	if m.Net == nil {
		var err error
		if m.Whose, err = s.whose(c.Request().Context(), subject(c), access.NetworkManage, m.Whose.Value); err != nil {
			return err
		}
	}
	if m.Net != nil {
		title = "Edit " + m.Net.Name
		crumbs = append(crumbs, layout.Crumb{Label: m.Net.Name, URL: live.Network(m.On.Network.ID)})
	}
	sh, err := s.netShell(c, title, "", 0, crumbs...)
	if err != nil {
		return err
	}
	return s.render(c, status, networks.EditPage(sh, m))
}

func (s *server) networkCreate(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	form := networks.Decode(values)
	spec, err := form.Spec()
	if len(form.Hosts) == 0 {
		err = needsHost(err)
	}
	var job domain.Job
	own := ctx
	if err == nil {
		own, err = s.Fleet.OwnedBy(ctx, access.NetworkManage, values.Get("tenant"))
	}
	if err == nil {
		job, err = s.Fleet.CreateNetwork(own, subject(c).Actor(), fleet.CreateNetwork{Spec: spec, Hosts: form.Hosts, FieldHost: "hosts", Stopped: !truth(form.Start), ByHand: !truth(form.Autostart), Key: onceKey(c)})
	}
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err == nil {
		to := live.Networks
		if job.State == domain.JobSucceeded && strings.HasPrefix(job.Resource.ID, "net_") {
			to = live.Network(job.Resource.ID)
		}
		return s.moveSaying(c, to, ended(job))
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	hosts, hostsErr := s.networkHosts(ctx)
	if hostsErr != nil {
		return hostsErr
	}
	return s.networkForm(c, statusOf(err), networks.Edit{Form: form, Hosts: hosts, Whose: layout.Whose{Value: values.Get("tenant")}, Err: problem(networks.AtLists(err))})
}

// needsHost adds to what is wrong that no host is chosen.
func needsHost(err error) error {
	var p domain.Problems
	if e, ok := err.(*domain.Error); ok && e != nil {
		p = append(p, e.Fields...)
	}
	p.Add("hosts", "No host is chosen.", "at least one host")
	return p.Err()
}

func (s *server) networkEditPage(c echo.Context) error {
	n, at, err := s.networkOf(c.Request().Context(), c.Param("id"), s.DB.Feed().Last())
	if err != nil {
		return err
	}
	m := networks.Edit{Net: &n, On: at, Form: networks.Filled(editable(n, at))}
	if values, ok := s.takeDraft(c); ok {
		m.Form = networks.Decode(values)
	}
	return s.networkForm(c, http.StatusOK, m)
}

// editable is what the form shows: what all should be, or the one network as it is.
func editable(n domain.EstateNetwork, at domain.NetworkOn) domain.NetworkSpec {
	if n.GroupID != "" {
		return n.Should
	}
	spec := at.Network.Spec
	if spec.OwnBridge() {
		spec.Bridge = "" // libvirt's own, which the form does not show
	}
	return spec
}

func (s *server) networkEdit(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	n, at, err := s.networkOf(ctx, id, s.DB.Feed().Last())
	if err != nil {
		return err
	}
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	form := networks.Decode(values)
	form.Name = n.Name
	spec, err := form.Spec()
	var job domain.Job
	if err == nil {
		if spec.OwnBridge() {
			spec.Bridge = at.Network.Spec.Bridge // kept on each host
		}
		job, err = s.Fleet.ChangeNetwork(ctx, subject(c).Actor(), id, spec, truth(form.Only), onceKey(c))
	}
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err == nil {
		return s.moveSaying(c, live.Network(id), ended(job))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	return s.networkForm(c, statusOf(err), networks.Edit{Net: &n, On: at, Form: form, Err: problem(networks.AtLists(err))})
}
