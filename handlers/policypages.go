package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/migrate"
)

func (s *server) policyShell(c echo.Context, title string) (layout.Shell, error) {
	p := page{title: title, section: layout.SectionTasks, crumbs: []layout.Crumb{{Label: "Migrations", URL: live.Migrations}}}
	if c.Param("id") != "" {
		p.crumbs = append(p.crumbs, layout.Crumb{Label: "Policies", URL: live.MigrationPolicies})
	}
	return s.shellFor(c, p)
}

func (s *server) policyList(c echo.Context) error {
	ctx := c.Request().Context()
	var m migrate.Policies
	var err error
	if m.Items, err = s.DB.MigrationPolicies(ctx); err != nil {
		return err
	}
	if m.Hosts, err = s.DB.Hosts(ctx); err != nil {
		return err
	}
	if m.Tenants, err = s.DB.Tenants(ctx); err != nil {
		return err
	}
	sh, err := s.policyShell(c, "Migration policies")
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, migrate.PoliciesPage(sh, m))
}

func (s *server) policyPage(c echo.Context) error {
	ctx := c.Request().Context()
	of, err := s.policyOf(c)
	if err != nil {
		return err
	}
	all, err := s.DB.MigrationPolicies(ctx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.Scope == of.Scope && p.ID == of.ID {
			of.Policy = p.Policy
		}
	}
	return s.showPolicy(c, http.StatusOK, migrate.Policy{Of: of, Form: migrate.FormOf(of.Policy)})
}

func (s *server) policyOf(c echo.Context) (domain.ScopedPolicy, error) {
	return s.Fleet.Scoped(c.Request().Context(), domain.PolicyOf(c.Param("id")))
}

func (s *server) showPolicy(c echo.Context, status int, m migrate.Policy) error {
	sh, err := s.policyShell(c, "Migration policy of "+m.Of.Name)
	if err != nil {
		return err
	}
	return s.render(c, status, migrate.PolicyPage(sh, m))
}

func (s *server) policySave(c echo.Context) error {
	of, err := s.policyOf(c)
	if err != nil {
		return err
	}
	v := c.FormValue
	f := migrate.PolicyForm{Downtimes: v("downtime_ms"), Stall: v("stall"), After: v("after"), Bandwidth: v("bandwidth_bytes"), Windows: v("bandwidth_windows"), Transport: v("transport"), Parallel: v("parallel_connections"),
		MaxIn: v("max_in"), MaxOut: v("max_out"), MaxLink: v("max_link"), TLS: truth(v("require_tls")), Compress: truth(v("compress")), Never: truth(v("never_migrate")), Shared: truth(v("only_shared"))}
	if of.Policy, err = f.Read(); err == nil {
		_, err = s.Fleet.SetMigrationPolicy(c.Request().Context(), subject(c).Actor(), of)
	}
	if err != nil {
		if domain.CodeOf(err) != domain.Invalid {
			return err
		}
		return s.showPolicy(c, statusOf(err), migrate.Policy{Of: of, Form: f, Err: problem(domain.Refield(err, "policy.", ""))})
	}
	return s.moveSaying(c, live.MigrationPolicies, layout.Toast{Tone: layout.ToneInfo, Text: "The policy of " + of.Name + " was saved.", Detail: "Moves that begin from now on keep to it."})
}
