package handlers

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
	"novacron/handlers/api"
	"novacron/views/charts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

const (
	linesMost = 40 // of one chart: more cannot be told apart
	marksMost = 60
)

// chartSet asks for the charts over the time that the address names. What is wrong with one is said in its place.
func (s *server) chartSet(ctx context.Context, u *url.URL, of []domain.Chart) (charts.Set, error) {
	m, v, err := s.emptySet(ctx, u)
	if err != nil || m.Off || m.Wrong != nil {
		return m, err
	}
	for _, c := range of {
		d, err := s.drawnChart(ctx, v, c, m.Span)
		if err != nil {
			return m, err
		}
		m.Charts = append(m.Charts, d)
	}
	return m, nil
}

// emptySet reads the time, and what the person may see.
func (s *server) emptySet(ctx context.Context, u *url.URL) (charts.Set, series.View, error) {
	q := u.Query()
	m := charts.Set{At: u, Refresh: cmp.Or(q.Get("refresh"), charts.Refreshes[0]), Off: s.Series == nil}
	if !slices.Contains(charts.Refreshes, m.Refresh) {
		m.Refresh = charts.Refreshes[0]
	}
	var err error
	m.Span, err = domain.SpanOf(q.Get("range"), q.Get("from"), q.Get("to"), s.Clock())
	if e, ok := errors.AsType[*domain.Error](err); ok && e.Code == domain.Invalid {
		if len(e.Fields) > 0 {
			e = e.WithFix("Write %s.", e.Fields[0].Want)
		}
		m.Wrong = e
		m.Span, err = domain.SpanOf("", "", "", s.Clock())
	}
	if err != nil || m.Off {
		return m, series.View{}, err
	}
	m.Since = s.Series.Usage().From
	v, err := api.ViewOf(ctx, s.DB)
	return m, v, err
}

// drawnChart asks for one chart. A query that cannot be answered is told in its place.
func (s *server) drawnChart(ctx context.Context, v series.View, c domain.Chart, span domain.Span) (charts.Drawn, error) {
	d := charts.Drawn{Chart: c}
	if len(c.Long) > 0 {
		gone, err := s.gone(ctx, span)
		if err != nil {
			return d, err
		}
		if gone {
			d.Chart.Queries = c.Long
		}
	}
	if d.ByHour = slices.ContainsFunc(d.Chart.Queries, func(q domain.ChartQuery) bool { return domain.ByHour(q.Expr) }); d.ByHour {
		span = span.Longer()
	}
	for t := span.Start; !t.After(span.End); t = t.Add(span.Step) {
		d.Times = append(d.Times, t.Unix())
	}
	for _, q := range d.Chart.Queries {
		found, more, err := s.Series.Curves(ctx, v, span.Expand(q.Expr), span.Start, span.End, span.Step, linesMost-len(d.Lines))
		d.More += more
		if e, ok := errors.AsType[*domain.Error](err); ok && e.Code != domain.Internal {
			d.Wrong = e.Msg + " " + e.Fix
			continue
		}
		if err != nil {
			return d, err
		}
		for _, f := range found {
			d.Lines = append(d.Lines, charts.Line{Name: lineName(q, f), Values: f.Values})
		}
	}
	return d, nil
}

// gone reports whether a time begins before the oldest sample and what is kept by the hour goes further back, so that it is to be shown.
func (s *server) gone(ctx context.Context, span domain.Span) (bool, error) {
	from := s.Series.Usage().From
	if from.IsZero() || !span.Start.Before(from) || span.End.After(from) && span.End.Sub(span.Start) < 24*time.Hour { // a few hours have a few points only
		return false, nil
	}
	u, err := s.DB.RolledUsage(ctx)
	return err == nil && !u.From.IsZero() && u.From.Before(from.Truncate(24*time.Hour)), err
}

func lineName(q domain.ChartQuery, f series.Curve) string {
	if name := domain.LegendOf(q.Legend, f.Label); name != "" {
		return name
	}
	return cmp.Or(f.Pairs(), q.Expr)
}

// points are the newest values of the charts on a page, for the step that is over.
func (s *server) points(ctx context.Context, u *url.URL, of []domain.Chart) (charts.Points, error) {
	m, v, err := s.emptySet(ctx, u)
	if err != nil || m.Off {
		return charts.Points{}, err
	}
	out := charts.Points{T: m.Span.End.Unix()}
	for _, c := range of {
		if gone, err := s.gone(ctx, m.Span); err != nil {
			return out, err
		} else if gone && len(c.Long) > 0 {
			continue // the next hour is far
		}
		for _, q := range c.Queries {
			found, err := s.Series.Now(ctx, v, m.Span.Expand(strings.ReplaceAll(q.Expr, "@ end()", "")), m.Span.End)
			if e, ok := errors.AsType[*domain.Error](err); ok && e.Code != domain.Internal {
				continue // the chart says it
			}
			if err != nil {
				return out, err
			}
			for _, f := range found[:min(len(found), linesMost)] {
				out.Add(c.ID, lineName(q, f), f.Values[0])
			}
		}
	}
	return out, nil
}

// chartsAt are the charts that the page at u shows, for its stream.
func (s *server) chartsAt(ctx context.Context, user, on string, u *url.URL) ([]domain.Chart, error) {
	tab := tabOfPage(u.Path)
	q := u.Query()
	switch {
	case u.Path == live.Query:
		return queryCharts(charts.Query{Expr: strings.TrimSpace(q.Get("q")), Kind: q.Get("kind"), Unit: q.Get("unit")}), nil
	case strings.HasPrefix(on, "dash_"):
		d, err := s.DB.Dashboard(ctx, on, user)
		return d.Charts, err
	case u.Path == live.Compare:
		return domain.CompareCharts(u.Query()["id"]), nil
	case strings.HasPrefix(on, "vm_") && tab == live.MonitorTab:
		return domain.VMCharts(on), nil
	case strings.HasPrefix(on, "host_") && tab == live.MonitorTab:
		h, err := s.DB.Host(ctx, on)
		return domain.HostCharts(h.ID, h.Name), err
	case strings.HasPrefix(on, "pool_"):
		p, err := s.DB.StoragePool(ctx, on)
		return poolCharts(p), err
	case strings.HasPrefix(on, "net_"):
		m, err := s.networkModel(ctx, on, 0)
		return networkCharts(m), err
	}
	return nil, nil
}

func poolCharts(p db.PoolItem) []domain.Chart {
	var hosts []string
	for _, h := range p.Hosts {
		hosts = append(hosts, h.HostID)
	}
	return domain.PoolCharts(p.Name, hosts)
}

// pace is how often a page's charts go on; 0: never.
func (s *server) pace(u *url.URL) time.Duration {
	q := u.Query()
	if q.Get("from") != "" || q.Get("to") != "" || q.Get("refresh") == "off" {
		return 0
	}
	d, err := series.ParseDuration(cmp.Or(q.Get("refresh"), charts.Refreshes[0]))
	if err != nil {
		return 0
	}
	return max(d, 10*time.Second)
}

// marksOf is what happened to something in the time that is shown, newest first.
func (s *server) marksOf(ctx context.Context, q db.EventQuery, span domain.Span) ([]charts.Mark, error) {
	q.Newest, q.NoSteps, q.Limit = true, true, 500
	evs, err := s.DB.Events(ctx, q)
	if err != nil {
		return nil, err
	}
	var out []charts.Mark
	for _, ev := range evs {
		if ev.At.Before(span.Start) || ev.At.After(span.End.Add(span.Step)) || strings.HasSuffix(ev.Kind, ".changed") && ev.JobID == "" || len(out) == marksMost {
			continue
		}
		m := charts.Mark{At: ev.At, Text: ev.Message, Tone: "info"}
		if ev.JobID != "" {
			m.URL = live.Task(ev.JobID)
		}
		if strings.Contains(ev.Kind, "crash") || strings.Contains(ev.Kind, "away") || strings.Contains(ev.Kind, "stuck") {
			m.Tone = "bad"
		}
		out = append(out, m)
	}
	return out, nil
}

// compare puts VMs side by side.
func (s *server) compare(c echo.Context) (int, templ.Component, error) {
	ctx := c.Request().Context()
	u := c.Request().URL
	var chosen []domain.VM
	for _, id := range u.Query()["id"] {
		vm, err := s.DB.VM(ctx, id)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		if len(chosen) < live.CompareMost {
			chosen = append(chosen, vm)
		}
	}
	ids := make([]string, len(chosen))
	for i, vm := range chosen {
		ids[i] = vm.ID
	}
	set, err := s.chartSet(ctx, u, domain.CompareCharts(ids))
	if err != nil {
		return 0, nil, err
	}
	all, err := s.DB.VMs(ctx, db.VMQuery{Limit: offeredMost}) // only those that the person sees
	if err != nil {
		return 0, nil, err
	}
	m := charts.Compare{Set: set, VMs: chosen, More: offered(all.Items, ids)}
	sh, err := s.shellFor(c, page{title: "Compare", section: layout.SectionVMs, on: live.OnCharts, crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}}})
	return http.StatusOK, charts.ComparePage(sh, m), err
}

// compareChosen puts what is selected in a list side by side.
func (s *server) compareChosen(c echo.Context) error {
	chosen, err := s.chosen(c, truth(c.FormValue("all")), c.FormValue("filter"), false)
	switch {
	case err != nil:
	case len(chosen) == 0:
		err = nothingToDo(vms.Ask{})
	case len(chosen) > live.CompareMost:
		err = domain.Errorf(domain.Invalid, "%d VMs are too many to tell apart in one chart.", len(chosen)).WithFix("Select at most %d.", live.CompareMost)
	}
	if err != nil {
		return s.sayOrFail(c, live.VMs, err)
	}
	ids := make([]string, len(chosen))
	for i, vm := range chosen {
		ids[i] = vm.ID
	}
	return s.move(c, live.CompareOf(ids...))
}

// offeredMost is how many VMs a menu offers.
const offeredMost = 500

// offered are the VMs that may be added.
func offered(all []domain.VM, without []string) []domain.VM {
	return slices.DeleteFunc(slices.Clone(all), func(v domain.VM) bool { return slices.Contains(without, v.ID) })
}

// chartCSV gives the numbers of a chart as a file. Names come from people and guests: none of them is taken for a formula.
func (s *server) chartCSV(c echo.Context) error {
	ctx, q := c.Request().Context(), c.Request().URL.Query()
	chart := domain.Chart{ID: "csv", Title: q.Get("title")}
	for i, expr := range q["q"] {
		x := domain.ChartQuery{Expr: expr}
		if i < len(q["l"]) {
			x.Legend = q["l"][i]
		}
		chart.Queries = append(chart.Queries, x)
	}
	if len(chart.Queries) == 0 || len(chart.Queries) > 20 {
		return domain.InvalidField("q", "A file needs one to twenty queries.", "expressions in PromQL")
	}
	m, err := s.chartSet(ctx, c.Request().URL, []domain.Chart{chart})
	switch {
	case err != nil:
		return err
	case m.Wrong != nil:
		return m.Wrong
	case m.Off:
		return domain.Errorf(domain.Unavailable, "Nothing is measured here.")
	case m.Charts[0].Wrong != "":
		return domain.InvalidField("q", m.Charts[0].Wrong, "an expression in PromQL")
	}
	h := c.Response().Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+fileName(chart.Title)+`.csv"`)
	c.Response().WriteHeader(http.StatusOK)
	return writeCSV(csv.NewWriter(c.Response()), m.Charts[0])
}

func writeCSV(w *csv.Writer, d charts.Drawn) error {
	row := []string{"time"}
	for _, l := range d.Lines {
		row = append(row, cell(l.Name))
	}
	if err := w.Write(row); err != nil {
		return err
	}
	for i, t := range d.Times {
		row = append(row[:0], time.Unix(t, 0).UTC().Format(time.RFC3339))
		for _, l := range d.Lines {
			number := ""
			if v := l.Values[i]; !math.IsNaN(v) {
				number = strconv.FormatFloat(v, 'g', -1, 64)
			}
			row = append(row, number)
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// fileName is a title as the name of a file.
func fileName(title string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, title)
	return cmp.Or(strings.Trim(name[:min(len(name), 60)], "-"), "chart")
}
