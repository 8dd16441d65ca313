package handlers

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/views/charts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/ui"
)

func (s *server) watchShell(c echo.Context, title, on string, crumbs ...layout.Crumb) (layout.Shell, error) {
	return s.shellFor(c, page{title: title, section: layout.SectionHome, on: on, crumbs: crumbs})
}

var toDashboards = layout.Crumb{Label: "Dashboards", URL: live.Dashboards}

// queryPage asks what its address says.
func (s *server) queryPage(c echo.Context) error {
	u := c.Request().URL
	q := u.Query()
	m := charts.Query{Expr: strings.TrimSpace(q.Get("q")), Kind: cmp.Or(q.Get("kind"), string(domain.ChartLine)), Unit: q.Get("unit")}
	set, err := s.chartSet(c.Request().Context(), u, queryCharts(m))
	if err != nil {
		return err
	}
	m.Set = set
	sh, err := s.watchShell(c, "Query", live.OnCharts)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, charts.QueryPage(sh, m))
}

func queryCharts(m charts.Query) []domain.Chart {
	if m.Expr == "" {
		return nil
	}
	return []domain.Chart{{ID: "query", Title: "Result", Kind: domain.ChartKind(m.Kind), Unit: m.Unit, Wide: true, Queries: []domain.ChartQuery{{Expr: m.Expr}}}}
}

func (s *server) metricList(c echo.Context) (int, templ.Component, error) {
	ctx := c.Request().Context()
	m := charts.Kept{Full: s.Series != nil && domain.SightOf(ctx).Full()}
	if m.Full {
		u := s.Series.Usage()
		m.Bytes, m.Series, m.From, m.FullSince = u.Bytes, u.Series, u.From, s.Series.FullSince()
		m.Keep, m.Most = s.Series.Limits()
		var err error
		if m.Rolled, err = s.DB.RolledUsage(ctx); err != nil {
			return 0, nil, err
		}
	}
	sh, err := s.watchShell(c, "Metrics", "")
	return http.StatusOK, charts.MetricsPage(sh, m), err
}

func (s *server) boardList(c echo.Context) error {
	all, err := s.DB.Dashboards(c.Request().Context(), subject(c).UserID)
	if err != nil {
		return err
	}
	sh, err := s.watchShell(c, "Dashboards", "")
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, charts.BoardsPage(sh, all))
}

func (s *server) boardPage(c echo.Context) error {
	ctx := c.Request().Context()
	d, err := s.DB.Dashboard(ctx, c.Param("id"), subject(c).UserID)
	if err != nil {
		return err
	}
	set, err := s.chartSet(ctx, c.Request().URL, d.Charts)
	if err != nil {
		return err
	}
	sh, err := s.watchShell(c, d.Name, d.ID, toDashboards)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, charts.BoardPage(sh, charts.Board{Dashboard: d, Set: set, Mine: d.OwnerID == subject(c).UserID}))
}

func (s *server) boardForm(c echo.Context, status int, f charts.BoardForm) error {
	title := "New dashboard"
	if f.ID != "" {
		title = "Change a dashboard"
	}
	sh, err := s.watchShell(c, title, "", toDashboards)
	if err != nil {
		return err
	}
	return s.render(c, status, charts.BoardFormPage(sh, f))
}

func (s *server) boardNew(c echo.Context) error {
	f := charts.BoardForm{Shared: true}
	if expr := c.QueryParam("q"); expr != "" {
		f.Rows = []charts.ChartRow{{Title: "Chart", Kind: cmp.Or(c.QueryParam("kind"), "line"), Unit: c.QueryParam("unit"), Queries: strings.Join(strings.Fields(expr), " ")}}
	}
	return s.boardForm(c, http.StatusOK, f)
}

// boardAsk is the form that changes a dashboard, or the dialog that deletes it.
func (s *server) boardAsk(c echo.Context) error {
	d, err := s.DB.Dashboard(c.Request().Context(), c.Param("id"), subject(c).UserID)
	if err != nil {
		return err
	}
	switch c.Param("action") {
	case "edit":
		f := charts.FormOf(d)
		f.Version = strconv.FormatInt(d.Version, 10)
		return s.boardForm(c, http.StatusOK, f)
	case "delete":
		sh, err := s.watchShell(c, "Delete "+d.Name, "", toDashboards)
		if err != nil {
			return err
		}
		return s.render(c, http.StatusOK, charts.BoardDeletePage(sh, d))
	}
	return echo.ErrNotFound
}

// boardSave keeps what the form says.
func (s *server) boardSave(c echo.Context) error {
	if s.Series == nil {
		return domain.Errorf(domain.Unavailable, "Nothing is measured here.")
	}
	ctx, sub := c.Request().Context(), subject(c)
	values, err := c.FormParams()
	if err != nil {
		return domain.Errorf(domain.Invalid, "The form could not be read: %w", err)
	}
	f := charts.DecodeBoard(values)
	f.ID = c.Param("id")
	d := domain.Dashboard{OwnerID: sub.UserID, Owner: sub.Actor()}
	if f.ID != "" {
		if d, err = s.DB.Dashboard(ctx, f.ID, sub.UserID); err != nil {
			return err
		}
		if d.OwnerID != sub.UserID {
			return domain.Errorf(domain.Denied, "This dashboard is %s's.", d.Owner)
		}
		if d.Version, err = strconv.ParseInt(f.Version, 10, 64); err != nil {
			return domain.InvalidField("version", "The form does not say what it changes.", "the form as it was opened")
		}
	}
	d.Name, d.Shared, d.Charts = f.Name, f.Shared, f.Charts()
	d, err = s.Fleet.SaveDashboard(ctx, d, s.Series.Read)
	if e, ok := errors.AsType[*domain.Error](err); ok && e.Code != domain.Internal {
		f.Err = e
		return s.boardForm(c, statusOf(e), f)
	}
	if err != nil {
		return err
	}
	return s.move(c, live.Dashboard(d.ID))
}

func (s *server) boardDelete(c echo.Context) error {
	if c.Param("action") != "delete" {
		return echo.ErrNotFound
	}
	if err := s.Fleet.DeleteDashboard(c.Request().Context(), c.Param("id"), subject(c).UserID); err != nil {
		return err
	}
	return s.move(c, live.Dashboards)
}

func (s *server) importForm(c echo.Context, code int, m charts.Import) error {
	sh, err := s.watchShell(c, "Import from Grafana", "", toDashboards)
	if err != nil {
		return err
	}
	return s.render(c, code, charts.ImportPage(sh, m))
}

func (s *server) boardImport(c echo.Context) error {
	if c.Request().Method == http.MethodGet {
		return s.importForm(c, http.StatusOK, charts.Import{})
	}
	if s.Series == nil {
		return domain.Errorf(domain.Unavailable, "Nothing is measured here.")
	}
	text := c.FormValue("grafana")
	d, left, err := domain.ImportGrafana([]byte(text), s.Series.MetricsIn)
	if err == nil {
		d.OwnerID, d.Owner = subject(c).UserID, subject(c).Actor()
		d, err = s.Fleet.SaveDashboard(c.Request().Context(), d, s.Series.Read)
	}
	if e, ok := errors.AsType[*domain.Error](err); ok && e.Code == domain.Invalid {
		return s.importForm(c, http.StatusUnprocessableEntity, charts.Import{Text: text, Err: e})
	}
	if err != nil {
		return err
	}
	t := layout.Toast{Tone: layout.ToneSuccess, Text: ui.Plural(len(d.Charts), "chart was", "charts were") + " taken over."}
	var names []string
	for _, l := range left {
		names = append(names, l.Name+": "+l.Why)
	}
	if len(names) > 0 {
		t.Tone, t.Detail = layout.ToneWarning, "Left out: "+strings.Join(names, "; ")+"."
	}
	return s.moveSaying(c, live.Dashboard(d.ID), t)
}
