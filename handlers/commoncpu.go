package handlers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/cpus"
	"novacron/views/hosts"
	"novacron/views/layout"
	"novacron/views/live"
)

const (
	commonVMs  = 50 // how many VMs are listed below what was found
	commonKept = 10 // how many finds a form looks back
)

// commonCPU shows the form, and with a job what it found.
func (s *server) commonCPU(c echo.Context) error {
	ctx := c.Request().Context()
	m := hosts.Common{Accel: "auto"}
	if id := c.QueryParam("job"); id != "" {
		j, err := s.DB.Job(ctx, id)
		if err != nil {
			return err
		}
		if m.Found, err = foundCPU(j); err != nil {
			return err
		}
		if m.Found == nil {
			return s.move(c, live.Task(j.ID))
		}
		for _, h := range m.Found.Hosts {
			m.Chosen = append(m.Chosen, h.ID)
			page, err := s.DB.VMs(ctx, db.VMQuery{Host: h.ID, Limit: commonVMs})
			if err != nil {
				return err
			}
			shown := page.Items[:min(len(page.Items), commonVMs-len(m.VMs))]
			m.VMs, m.More = append(m.VMs, shown...), m.More+page.Total-len(shown)
		}
		m.Accel = string(m.Found.Accel)
	}
	return s.commonPage(c, http.StatusOK, m, c.QueryParam("vm"))
}

func (s *server) findCommonCPU(c echo.Context) error {
	ctx := c.Request().Context()
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	m := hosts.Common{Chosen: values["hosts"], Accel: values.Get("accel")}
	job, err := s.Fleet.CPUBaseline(ctx, subject(c).Actor(), m.Chosen, domain.Accel(m.Accel), onceKey(c))
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	switch {
	case err == nil && job.State == domain.JobSucceeded:
		return s.move(c, live.With(live.CommonCPU, "job", job.ID, "vm", values.Get("vm")))
	case err == nil:
		return s.moveSaying(c, live.Task(job.ID), ended(job))
	case domain.CodeOf(err) == domain.Internal:
		return err
	}
	m.Err = problem(err)
	return s.commonPage(c, statusOf(err), m, values.Get("vm"))
}

func (s *server) commonPage(c echo.Context, status int, m hosts.Common, vm string) error {
	ctx := c.Request().Context()
	all, err := s.DB.Hosts(ctx)
	if err != nil {
		return err
	}
	none := m.Chosen == nil && m.Err == nil // at first all are chosen
	for _, h := range all {
		one := hosts.CommonHost{ID: h.ID, Name: h.Name, CPU: h.Facts.CPUModel}
		if h.State != domain.HostConnected {
			one.Why = string(h.State)
		}
		m.All = append(m.All, one)
		if none && one.Why == "" {
			m.Chosen = append(m.Chosen, h.ID)
		}
	}
	crumbs := []layout.Crumb{{Label: "Hosts", URL: live.Hosts}}
	if vm != "" {
		one, err := s.DB.VM(ctx, vm)
		if err != nil {
			return err
		}
		m.VM = &one
	}
	m.Key = rand.Text()
	sh, err := s.shellFor(c, page{title: "Common processor", section: layout.SectionHosts, crumbs: crumbs})
	if err != nil {
		return err
	}
	return s.render(c, status, hosts.CommonPage(sh, m))
}

// foundCPU is what a job found; nil while it has found nothing.
func foundCPU(j domain.Job) (*domain.CPUBaseline, error) {
	if j.Kind != cpus.KindBaseline {
		return nil, domain.Errorf(domain.NotFound, "That task did not look for a processor.")
	}
	if j.State != domain.JobSucceeded || len(j.Result) == 0 {
		return nil, nil
	}
	var b domain.CPUBaseline
	if err := json.Unmarshal(j.Result, &b); err != nil {
		return nil, domain.Errorf(domain.Internal, "The processor that was found cannot be read: %w", err)
	}
	return &b, nil
}

// commonCPUs are the processors that were last found for sets of hosts, one for each set. They name hosts, which not everybody may see.
func (s *server) commonCPUs(ctx context.Context, sub auth.Subject) ([]domain.CPUBaseline, error) {
	if !sub.Can(access.HostRead) {
		return nil, nil
	}
	last, err := s.DB.Jobs(ctx, db.JobQuery{Kind: cpus.KindBaseline, State: domain.JobSucceeded, Limit: commonKept})
	if err != nil {
		return nil, err
	}
	var out []domain.CPUBaseline
	for _, j := range last.Items {
		b, err := foundCPU(j)
		if err != nil || b == nil {
			return nil, err
		}
		same := func(o domain.CPUBaseline) bool {
			return o.Accel == b.Accel && slices.EqualFunc(o.Hosts, b.Hosts, func(x, y domain.CPUHost) bool { return x.ID == y.ID })
		}
		if !slices.ContainsFunc(out, same) {
			out = append(out, *b)
		}
	}
	return out, nil
}
