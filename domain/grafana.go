package domain

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// LeftOut is a part of something imported that was not taken, and why.
type LeftOut struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

type grafanaPanel struct {
	Title   string         `json:"title"`
	Type    string         `json:"type"`
	Panels  []grafanaPanel `json:"panels"`
	GridPos struct {
		W int `json:"w"`
	} `json:"gridPos"`
	Targets []struct {
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
		Hide         bool   `json:"hide"`
	} `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit   string `json:"unit"`
			Custom struct {
				DrawStyle string `json:"drawStyle"`
				Stacking  struct {
					Mode string `json:"mode"`
				} `json:"stacking"`
			} `json:"custom"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Stack bool `json:"stack"`
	YAxes []struct {
		Format string `json:"format"`
	} `json:"yaxes"`
}

var (
	grafanaKinds = map[string]ChartKind{"timeseries": ChartLine, "graph": ChartLine, "stat": ChartTable, "gauge": ChartTable, "singlestat": ChartTable, "bargauge": ChartTable, "table": ChartTable, "barchart": ChartBar}
	grafanaUnits = map[string]string{"percent": "percent", "bytes": "bytes", "decbytes": "bytes", "Bps": "bytes/s", "binBps": "bytes/s", "s": "seconds", "ops": "per second", "iops": "per second", "reqps": "per second", "pps": "per second", "cps": "per second"}
	// A variable that chooses series by a pattern stands for all of them.
	grafanaAll = regexp.MustCompile(`=~\s*"\$\{?[A-Za-z]\w*(:\w+)?\}?"`)
	grafanaVar = regexp.MustCompile(`\$\{?[A-Za-z]\w*`)
)

// ImportGrafana takes the panels of a dashboard of Grafana whose queries use metrics that are known here, and names the others. metrics tells which
// metrics an expression uses.
func ImportGrafana(doc []byte, metrics func(expr string) ([]string, error)) (Dashboard, []LeftOut, error) {
	var in struct {
		Title     string          `json:"title"`
		Panels    []grafanaPanel  `json:"panels"`
		Rows      []grafanaPanel  `json:"rows"`
		Dashboard json.RawMessage `json:"dashboard"`
	}
	err := json.Unmarshal(doc, &in)
	if err == nil && len(in.Dashboard) > 0 { // as Grafana's API gives it
		err = json.Unmarshal(in.Dashboard, &in)
	}
	if err != nil {
		return Dashboard{}, nil, InvalidField("grafana", "That is not a dashboard of Grafana: it is not JSON.", "what Grafana exports as JSON")
	}
	d := Dashboard{Name: in.Title}
	if d.Name == "" {
		d.Name = "Imported"
	}
	var left []LeftOut
	var take func(list []grafanaPanel)
	take = func(list []grafanaPanel) {
		for _, p := range list {
			if len(p.Panels) > 0 || p.Type == "row" {
				take(p.Panels)
				continue
			}
			c, why := chartOf(p, metrics)
			switch {
			case len(d.Charts) == DashboardCharts:
				left = append(left, LeftOut{p.name(), "a dashboard has at most " + strconv.Itoa(DashboardCharts) + " charts"})
			case len(c.Queries) == 0:
				left = append(left, LeftOut{p.name(), why})
			default:
				if why != "" {
					left = append(left, LeftOut{p.name() + ", a part of it", why})
				}
				c.ID = "c" + strconv.Itoa(len(d.Charts))
				d.Charts = append(d.Charts, c)
			}
		}
	}
	take(in.Panels)
	take(in.Rows)
	if len(d.Charts) == 0 {
		why := "It has no panels."
		if len(left) > 0 {
			why = "Left out: " + left[0].Name + " (" + left[0].Why + ")."
		}
		return d, left, InvalidField("grafana", "Nothing of it uses what is measured here. "+why, "a dashboard whose panels ask for novacron_… metrics in PromQL")
	}
	return d, left, nil
}

func (p grafanaPanel) name() string {
	if p.Title == "" {
		return "a panel without a title"
	}
	return p.Title
}

func chartOf(p grafanaPanel, metrics func(string) ([]string, error)) (Chart, string) {
	c := Chart{Title: p.name(), Unit: grafanaUnits[p.FieldConfig.Defaults.Unit], Wide: p.GridPos.W > 16}
	kind, ok := grafanaKinds[p.Type]
	if !ok {
		return c, "panels of the kind “" + p.Type + "” are not drawn here"
	}
	c.Kind = kind
	if len(p.YAxes) > 0 && c.Unit == "" {
		c.Unit = grafanaUnits[p.YAxes[0].Format]
	}
	if mode := p.FieldConfig.Defaults.Custom.Stacking.Mode; p.Stack || mode == "normal" {
		c.Kind = ChartArea
	} else if p.FieldConfig.Defaults.Custom.DrawStyle == "bars" {
		c.Kind = ChartBar
	}
	why := "it has no query in PromQL"
	for _, t := range p.Targets {
		if t.Hide || strings.TrimSpace(t.Expr) == "" {
			continue
		}
		expr := grafanaAll.ReplaceAllString(t.Expr, `=~".*"`)
		plain := anySpan.Expand(expr)
		if v := grafanaVar.FindString(plain); v != "" {
			why = "its query needs the variable " + strings.Replace(v, "{", "", 1)
			continue
		}
		used, err := metrics(plain)
		if err != nil {
			why = "its query cannot be read"
			continue
		}
		if name := unknownMetric(used); name != "" {
			why = "its query asks for " + name + ", which is not measured here"
			continue
		}
		legend := t.LegendFormat
		if legend == "__auto" {
			legend = ""
		}
		c.Queries = append(c.Queries, ChartQuery{Expr: expr, Legend: legend})
	}
	if len(c.Queries) > 0 && len(c.Queries) == len(p.Targets) {
		why = ""
	}
	return c, why
}

func unknownMetric(names []string) string {
	if len(names) == 0 {
		return "no metric"
	}
	for _, n := range names {
		if _, ok := MetricOf(n); !ok {
			return n
		}
	}
	return ""
}
