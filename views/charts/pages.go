package charts

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// Compare is several VMs side by side.
type Compare struct {
	Set  Set
	VMs  []domain.VM
	More []domain.VM // that may be added
}

// without is the page with one VM less.
func (m Compare) without(id string) string {
	q := m.Set.address().Query()
	ids := q["id"]
	q.Del("id")
	for _, x := range ids {
		if x != id {
			q.Add("id", x)
		}
	}
	u := *m.Set.address()
	u.RawQuery = q.Encode()
	return u.RequestURI()
}

// all is everything in the page's address.
func (s Set) all() [][2]string {
	q := s.address().Query()
	out := s.kept()
	for _, name := range []string{"range", "from", "to"} {
		if v := q.Get(name); v != "" {
			out = append(out, [2]string{name, v})
		}
	}
	return out
}

// Query is the page that asks anything.
type Query struct {
	Set              Set
	Expr, Kind, Unit string
}

// Board is a dashboard as it is looked at.
type Board struct {
	Dashboard domain.Dashboard
	Set       Set
	Mine      bool
}

// BoardForm is the form of a dashboard, as it was typed.
type BoardForm struct {
	ID, Name string
	Shared   bool
	Version  string
	Rows     []ChartRow
	Err      *domain.Error
}

// ChartRow is one chart of the form; its queries stand one on a line.
type ChartRow struct{ Title, Kind, Unit, Wide, Legend, Queries string }

// Import is the form that takes over a dashboard of Grafana.
type Import struct {
	Text string
	Err  *domain.Error
}

// FormOf is the form as a dashboard fills it, with a row to add one.
func FormOf(d domain.Dashboard) BoardForm {
	f := BoardForm{ID: d.ID, Name: d.Name, Shared: d.Shared, Version: ""}
	for _, c := range d.Charts {
		r := ChartRow{Title: c.Title, Kind: string(c.Kind), Unit: c.Unit}
		if c.Wide {
			r.Wide = "1"
		}
		var exprs []string
		for i, q := range c.Queries {
			line := strings.Join(strings.Fields(q.Expr), " ")
			if i == 0 {
				r.Legend = q.Legend
			} else if q.Legend != r.Legend {
				line += legendMark + q.Legend
			}
			exprs = append(exprs, line)
		}
		r.Queries = strings.Join(exprs, "\n")
		f.Rows = append(f.Rows, r)
	}
	return f
}

// legendMark begins the name of a query's own lines, behind it: PromQL takes what follows a # for a remark.
const legendMark = " # "

// DecodeBoard reads the form. Rows without a title and a query are left out.
func DecodeBoard(v url.Values) BoardForm {
	f := BoardForm{ID: v.Get("id"), Name: v.Get("name"), Shared: v.Get("shared") == "1", Version: v.Get("version")}
	of := func(name string, i int) string {
		if i < len(v[name]) {
			return v[name][i]
		}
		return ""
	}
	for i := range v["title"] {
		r := ChartRow{Title: of("title", i), Kind: of("kind", i), Unit: of("unit", i), Wide: of("wide", i), Legend: of("legend", i), Queries: of("queries", i)}
		if strings.TrimSpace(r.Title+r.Queries) != "" {
			f.Rows = append(f.Rows, r)
		}
	}
	return f
}

// Charts are what the form asks for.
func (f BoardForm) Charts() []domain.Chart {
	var out []domain.Chart
	for _, r := range f.Rows {
		c := domain.Chart{Title: r.Title, Kind: domain.ChartKind(r.Kind), Unit: r.Unit, Wide: r.Wide == "1"}
		for line := range strings.Lines(r.Queries) {
			line = strings.TrimSpace(line)
			if line == "" {
				continue
			}
			expr, legend, own := strings.Cut(line, legendMark)
			if !own {
				legend = r.Legend
			}
			c.Queries = append(c.Queries, domain.ChartQuery{Expr: strings.TrimSpace(expr), Legend: strings.TrimSpace(legend)})
		}
		out = append(out, c)
	}
	return out
}

func tabs(on string) []ui.Tab {
	return []ui.Tab{{Label: "Overview", URL: live.Home, Active: on == ""}, {Label: "Dashboards", URL: live.Dashboards, Active: on == "dashboards"},
		{Label: "Query", URL: live.Query, Active: on == "query"}, {Label: "Metrics", URL: live.MetricList, Active: on == "metrics"}}
}

// Tabs are the parts of watching the estate.
func Tabs(on string) []ui.Tab { return tabs(on) }

func kindOptions() []ui.Option {
	words := map[domain.ChartKind]string{domain.ChartLine: "Lines", domain.ChartArea: "Areas that add up", domain.ChartBar: "Bars", domain.ChartTable: "Table"}
	var out []ui.Option
	for _, k := range domain.ChartKinds {
		out = append(out, ui.Option{Value: string(k), Label: words[k]})
	}
	return out
}

func unitOptions() []ui.Option {
	var out []ui.Option
	for _, u := range domain.ChartUnits {
		label := u
		if u == "" {
			label = "a number"
		}
		out = append(out, ui.Option{Value: u, Label: label})
	}
	return out
}

// tryIt is a query that shows a metric.
func tryIt(m domain.Metric) string {
	if m.Kind == domain.Counter {
		return "rate(" + m.Name + "[$__rate_interval])"
	}
	return m.Name
}

// Kept is what is kept of what was measured.
type Kept struct {
	Full      bool // the person sees the whole estate
	Bytes     int64
	Series    uint64
	From      time.Time
	Keep      time.Duration
	Most      int64
	FullSince time.Time // the disk is full; zero: it is not
	Rolled    domain.RolledUsage
}

func (m Kept) samples() string {
	// #nosec G115 -- each series takes bytes of memory: there are far fewer than 2^63
	return domain.FormatBytes(m.Bytes) + " of " + ui.Plural(int(m.Series), "series", "series") + " in memory"
}

func (m Kept) limits() string {
	return days(m.Keep) + " or " + domain.FormatBytes(m.Most) + ", the oldest go first"
}

func (m Kept) hours() string {
	if m.Rolled.From.IsZero() {
		return "none yet"
	}
	return "about " + domain.FormatBytes(m.Rolled.Bytes()) + " of " + ui.Plural(m.Rolled.Series, "series", "series") + " since " + m.Rolled.From.Format("2 January 2006")
}

func days(d time.Duration) string {
	if d >= 48*time.Hour {
		return ui.Plural(int(d/(24*time.Hour)), "day", "days")
	}
	return d.String()
}

func rolled(metric string) bool {
	return slices.ContainsFunc(domain.RolledMetrics, func(r domain.Rolled) bool { return r.Metric == metric })
}
