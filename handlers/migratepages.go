package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/migrate"
)

// pauseAfter is when the policy "pause" stops waiting.
const pauseAfter = 60

func moveForm(c echo.Context) (migrate.Form, fleet.MigrateVM, error) {
	f := migrate.Form{Host: c.FormValue("host"), Stall: c.FormValue("stall"), Bandwidth: strings.TrimSpace(c.FormValue("bandwidth")), TLS: truth(c.FormValue("tls"))}
	req := fleet.MigrateVM{Host: f.Host, Policy: domain.MigrationPolicy{RequireTLS: f.TLS}}
	switch f.Stall {
	case "postcopy":
		req.Policy.PostCopy = true
	case "pause":
		req.Policy.NeverSlow, req.Policy.PauseAfterSeconds = true, pauseAfter
	case "never":
		req.Policy.NeverSlow = true
	}
	if f.Bandwidth != "" {
		n, err := strconv.Atoi(f.Bandwidth)
		if err != nil || n < 1 || n > 1<<20 {
			return f, req, domain.InvalidField("bandwidth", "“"+f.Bandwidth+"” is not a bandwidth.", "a whole number of MiB/s from 1, or nothing for no cap")
		}
		req.Policy.BandwidthBytes = int64(n) * domain.MiB
	}
	return f, req, nil
}

func (s *server) vmMovePage(c echo.Context) error {
	return s.askMove(c, http.StatusOK, migrate.Form{}, fleet.MigrateVM{}, nil)
}

func (s *server) askMove(c echo.Context, status int, f migrate.Form, req fleet.MigrateVM, refused *domain.Error) error {
	ctx := c.Request().Context()
	vm, err := s.DB.VM(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	m := migrate.Move{VM: vm, Form: f, Err: refused, Key: rand.Text()}
	if err := vm.State.Can(domain.ActMigrate); err != nil {
		m.Err = problem(err)
	}
	if m.Targets, m.Measured, err = s.Fleet.Foreseen(ctx, vm.ID, req); err != nil {
		if m.Err = problem(err); m.Err.Code == domain.Internal {
			return err
		}
	}
	if m.Policy, err = s.Fleet.PolicyFor(ctx, vm.ID); err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{
		title: "Move " + vm.Name, section: layout.SectionVMs, host: vm.HostID, select_: vm.ID,
		crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}, {Label: vm.Name, URL: live.VM(vm.ID)}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, migrate.MovePage(sh, m))
}

func (s *server) vmMove(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	f, req, err := moveForm(c)
	if err != nil {
		return s.askMove(c, statusOf(err), f, fleet.MigrateVM{}, problem(err))
	}
	if truth(c.FormValue("measure")) {
		if err := s.Fleet.Measure(ctx, subject(c).Actor(), id); err != nil {
			return s.askMove(c, statusOf(err), f, req, problem(err))
		}
		return s.askMove(c, http.StatusOK, f, req, nil)
	}
	req.Key = onceKey(c)
	job, err := s.Fleet.MigrateVM(ctx, subject(c).Actor(), id, req)
	if err != nil {
		if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
			return err
		}
		return s.askMove(c, statusOf(err), f, req, problem(err))
	}
	return s.moveSaying(c, live.Task(job.ID), layout.TaskToast(job, live.Task(job.ID)))
}

func (s *server) hostEvacuatePage(c echo.Context) error {
	return s.askEvacuate(c, http.StatusOK, nil)
}

func (s *server) askEvacuate(c echo.Context, status int, refused *domain.Error) error {
	p, err := s.Fleet.PlanEvacuation(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	m := migrate.Evacuate{Host: p.Host, Moves: p.Moves, Stay: p.Stay, Seconds: p.Seconds, Over: p.Over, Err: refused, Key: rand.Text()}
	for _, it := range p.Items {
		m.Items = append(m.Items, migrate.Item{VM: it.VM, HostID: it.Host, HostName: it.HostName, Mode: it.Mode, Why: it.Why, Forecast: it.Forecast})
	}
	sh, err := s.shellFor(c, page{
		title: "Evacuate " + p.Host.Name, section: layout.SectionHosts, host: p.Host.ID, select_: p.Host.ID,
		crumbs: []layout.Crumb{{Label: "Hosts", URL: live.Hosts}, {Label: p.Host.Name, URL: live.Host(p.Host.ID)}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, migrate.EvacuatePage(sh, m))
}

func (s *server) hostEvacuate(c echo.Context) error {
	if truth(c.FormValue("keep")) { // as a plan, to be edited, approved and given a time
		p, err := s.Fleet.NewPlan(c.Request().Context(), subject(c).Actor(), fleet.PlanRequest{Kind: domain.PlanEvacuate, Hosts: []string{c.Param("id")}})
		if err != nil {
			if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
				return err
			}
			return s.askEvacuate(c, statusOf(err), problem(err))
		}
		return s.move(c, live.Plan(p.ID))
	}
	return s.moveMany(c, s.Fleet.EvacuateHost, s.askEvacuate)
}

func (s *server) hostReturn(c echo.Context) error {
	return s.moveMany(c, s.Fleet.ReturnToHost, func(c echo.Context, _ int, refused *domain.Error) error {
		return s.sayOrFail(c, live.Host(c.Param("id")), refused)
	})
}

func (s *server) moveMany(c echo.Context, act func(ctx context.Context, actor, id, key string) (domain.Job, error), refuse func(echo.Context, int, *domain.Error) error) error {
	job, err := act(c.Request().Context(), subject(c).Actor(), c.Param("id"), onceKey(c))
	if err != nil {
		if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
			return err
		}
		return refuse(c, statusOf(err), problem(err))
	}
	return s.moveSaying(c, live.Task(job.ID), layout.TaskToast(job, live.Task(job.ID)))
}

// migrationsShown is a page of the list; the last pathsFrom moves say how good the forecasts are.
const (
	migrationsShown = 100
	pathsFrom       = 1000
)

func (s *server) migrationList(c echo.Context) error {
	list, err := s.DB.Migrations(c.Request().Context(), db.MigrationQuery{Before: c.QueryParam("before"), Limit: migrationsShown + 1})
	if err != nil {
		return err
	}
	m := migrate.List{Items: list}
	if len(list) > migrationsShown {
		m.Items = list[:migrationsShown]
		m.Next = m.Items[migrationsShown-1].JobID
	}
	m.Summarise()
	if c.QueryParam("before") == "" { // on the first page
		past, err := s.DB.Migrations(c.Request().Context(), db.MigrationQuery{State: string(domain.JobSucceeded), Limit: pathsFrom})
		if err != nil {
			return err
		}
		m.Paths = domain.PathsOf(past)
	}
	sh, err := s.shellFor(c, page{title: "Migrations", section: layout.SectionTasks})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, migrate.ListPage(sh, m))
}
