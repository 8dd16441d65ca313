package domain

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestSpans(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 7, 0, time.UTC)
	for _, c := range []struct{ name, from, to, want, wrong string }{
		{"", "", "", "1h 11:00:00 12:00:00 15s 1m", ""},
		{"7d", "", "", "7d 12:00:00 12:00:00 1h 1h", ""},
		{"", "2026-05-01T10:00", "2026-05-01T10:30", " 10:00:00 10:30:00 10s 1m", ""},
		{"", "1777629600", "", " 10:00:00 12:00:00 30s 1m", ""},
		{"2w", "", "", "", "range"}, {"", "noon", "", "", "from"}, {"", "2026-05-02", "", "", "from"}, {"", "2020-01-01", "", "", "from"}, {"", "2026-01-01", "soon", "", "to"},
	} {
		s, err := SpanOf(c.name, c.from, c.to, now)
		var e *Error
		if c.wrong != "" {
			if !errors.As(err, &e) || e.Fields[0].Field != c.wrong {
				t.Errorf("%+v: %v, want %s refused", c, err, c.wrong)
			}
			continue
		}
		got := strings.Join([]string{s.Name, s.Start.Format("15:04:05"), s.End.Format("15:04:05"), PromDuration(s.Step), PromDuration(s.Rate)}, " ")
		if err != nil || got != c.want {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
	}
	s, _ := SpanOf("24h", "", "", now)
	if got := s.Expand("rate(x[$__rate_interval]) + ${__interval} + $__range"); got != "rate(x[5m]) + 5m + 1d" {
		t.Error(got)
	}
	if got := stepFor(10000 * 24 * time.Hour); got != 24*time.Hour {
		t.Error(got)
	}
}

func TestLegends(t *testing.T) {
	for in, want := range map[string]string{"{{disk}} read": "vda read", "all": "all", "{{ disk }}": "vda", "{{none}}": "", "a {{b": "a"} {
		if got := LegendOf(in, func(l string) string { return map[string]string{"disk": "vda"}[l] }); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// namesIn is good enough for these expressions.
func namesIn(expr string) ([]string, error) {
	if strings.Count(expr, "(") != strings.Count(expr, ")") {
		return nil, errors.New("unbalanced")
	}
	return regexp.MustCompile(`\b(novacron|node)_\w+`).FindAllString(expr, -1), nil
}

func TestGrafanasDashboardsAreTaken(t *testing.T) {
	doc := `{"dashboard": {"title": "Guests", "panels": [
		{"title": "CPU", "type": "timeseries", "gridPos": {"w": 24}, "fieldConfig": {"defaults": {"unit": "percent", "custom": {"stacking": {"mode": "normal"}}}},
			"targets": [{"expr": "rate(novacron_vm_cpu_seconds_total{vm=~\"$vm\"}[$__rate_interval])", "legendFormat": "{{vm}}"}]},
		{"type": "row", "panels": [{"title": "Old", "type": "graph", "yaxes": [{"format": "Bps"}], "targets": [{"expr": "novacron_host_up", "legendFormat": "__auto"}, {"expr": "node_load1"}]}]},
		{"title": "Text", "type": "text"}, {"title": "One", "type": "timeseries", "targets": [{"expr": "novacron_vm_up{vm=\"$vm\"}"}]},
		{"title": "Broken", "type": "timeseries", "targets": [{"expr": "sum(novacron_vm_up"}]}, {"title": "Bars", "type": "timeseries", "fieldConfig": {"defaults": {"custom": {"drawStyle": "bars"}}}, "targets": [{"expr": "novacron_vm_up"}]},
		{"type": "stat"}]}}`
	d, left, err := ImportGrafana([]byte(doc), namesIn)
	if err != nil || d.Name != "Guests" || len(d.Charts) != 3 {
		t.Fatalf("%+v %v %v", d, left, err)
	}
	c := d.Charts[0]
	if c.Kind != ChartArea || c.Unit != "percent" || !c.Wide || c.Queries[0].Expr != `rate(novacron_vm_cpu_seconds_total{vm=~".*"}[$__rate_interval])` || d.Charts[1].Unit != "bytes/s" || d.Charts[1].Queries[0].Legend != "" || d.Charts[2].Kind != ChartBar {
		t.Errorf("%+v", d.Charts)
	}
	var said []string
	for _, l := range left {
		said = append(said, l.Name+": "+l.Why)
	}
	for _, want := range []string{"Old, a part of it: its query asks for node_load1", "Text: panels of the kind “text”", "One: its query needs the variable $vm", "Broken: its query cannot be read", "a panel without a title: it has no query"} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("not said: %s in\n%s", want, strings.Join(said, "\n"))
		}
	}
	if err := d.Check(func(string) error { return nil }); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"{", `{"panels": []}`, `{"panels": [{"type": "text"}]}`} {
		if _, _, err := ImportGrafana([]byte(bad), namesIn); !Is(err, Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestDashboardsAreChecked(t *testing.T) {
	good := func() Dashboard {
		return Dashboard{Name: " x ", Charts: []Chart{{Title: "t", Kind: ChartLine, Queries: []ChartQuery{{Expr: "up"}}}}}
	}
	for name, spoil := range map[string]func(*Dashboard){
		"name": func(d *Dashboard) { d.Name = " " }, "charts": func(d *Dashboard) { d.Charts = nil }, "charts.0.title": func(d *Dashboard) { d.Charts[0].Title = "" }, "charts.0.kind": func(d *Dashboard) { d.Charts[0].Kind = "pie" },
		"charts.0.unit": func(d *Dashboard) { d.Charts[0].Unit = "miles" }, "charts.0.queries": func(d *Dashboard) { d.Charts[0].Queries = nil }, "charts.0.queries.0.expr": func(d *Dashboard) { d.Charts[0].Queries[0].Expr = "bad" },
	} {
		d := good()
		spoil(&d)
		err := d.Check(func(expr string) error {
			if expr == "bad" {
				return InvalidField("query", "no", "yes")
			}
			return nil
		})
		var e *Error
		if !errors.As(err, &e) || len(e.Fields) == 0 || e.Fields[0].Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := good()
	if err := d.Check(func(string) error { return nil }); err != nil || d.Name != "x" || d.Charts[0].ID != "c0" {
		t.Errorf("%+v %v", d, err)
	}
	if len(NetworkCharts(nil))+len(PoolCharts("p", nil))+len(VMCharts("vm_1"))+len(HostCharts("h", "n"))+len(CompareCharts([]string{"a.b"})) == 0 {
		t.Error("no charts")
	}
}
