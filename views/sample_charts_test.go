package views_test

import (
	"math"
	"net/url"
	"time"

	"novacron/domain"
	"novacron/views/charts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/vms"
)

func wave(n int, mean, swing, phase float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		x := float64(i)
		out[i] = math.Max(0, mean+swing*(math.Sin(x/19+phase)+.4*math.Sin(x/5+phase*3)+.2*math.Sin(x*1.7+phase)))
	}
	return out
}

func sampleSet(path string, of []domain.Chart) charts.Set {
	u, _ := url.Parse(path)
	span, _ := domain.SpanOf("1h", "", "", now)
	s := charts.Set{At: u, Span: span, Refresh: "10s", Since: ago(40 * time.Hour), Marks: []charts.Mark{
		{At: ago(40 * time.Minute), Text: "Moved from hv-ams-01 to hv-ams-02 " + evil, Tone: "info", URL: "/tasks/job_1"}, {At: ago(12 * time.Minute), Text: "Crashed.", Tone: "bad"}}}
	var times []int64
	for t := span.Start; !t.After(span.End); t = t.Add(span.Step) {
		times = append(times, t.Unix())
	}
	scale := map[string]float64{"percent": 30, "bytes": 3e9, "bytes/s": 4e7, "seconds": .004, "per second": 800, "": 2}
	for k, c := range of {
		d := charts.Drawn{Chart: c, Times: times}
		for i, q := range c.Queries {
			name := domain.LegendOf(q.Legend, func(l string) string {
				return map[string]string{"disk": "vda", "nic": "52:54:00:aa:01:02", "vm": "web-prod-01" + evil, "mode": "user", "pool": "default", "host": "hv-ams-01"}[l]
			})
			d.Lines = append(d.Lines, charts.Line{Name: name, Values: wave(len(times), scale[c.Unit]*(1+float64(i)), scale[c.Unit]*.3, float64(i+k))})
		}
		switch k {
		case 6:
			d.Lines = nil
		case 7:
			d.Wrong = "The query cannot be read: 1:5: unexpected end of input " + evil
		}
		s.Charts = append(s.Charts, d)
	}
	return s
}

func sampleEstate() charts.Estate {
	u, _ := url.Parse("/?range=1h")
	e := charts.Estate{At: u, Now: now, Hosts: true, MayJobs: true, MayWatch: true, Fires: 3, Firing: []domain.Alert{sampleAlert()}, States: overview().VMs, Changed: sampleEvents(), Jobs: sampleJobs()[:2],
		Capacity: []charts.Capacity{{Label: "CPU", Used: 157, Allocated: 412, Total: 384, Known: true, Unit: "CPUs", URL: "/hosts"}, {Label: "Memory", Used: 1.1e12, Allocated: 1.5e12, Total: 2.2e12, Known: true, Unit: "bytes", URL: "/hosts"},
			{Label: "Storage", Used: 26e12, Allocated: 39e12, Total: 46e12, Known: true, Unit: "bytes", URL: "/storage"}}}
	for h, name := range []string{"hv-ams-01", "hv-ams-02", "hv-fra-01", "hv-fra-02"} {
		e.Heat.Rows = append(e.Heat.Rows, charts.HeatRow{Name: name, URL: "/hosts/host_1/monitor", Values: wave(48, 20+25*float64(h), 22, float64(h))})
		for i := range 14 {
			load := math.Mod(float64(i*37+h*19), 100)
			if i == 5 {
				load = math.NaN()
			}
			e.Map.Cells = append(e.Map.Cells, charts.Cell{Name: []string{"web-prod", "db-prod", "ci-runner", "k8s-worker"}[i%4] + "-" + string(rune('a'+i)), URL: "/vms/vm_00/monitor", Group: name, Size: float64(int64(1)<<(30+uint(i+h)%5)) * 1.4, Load: load})
		}
	}
	e.Heat.From, e.Heat.To = ago(time.Hour), now
	e.Map.By = "memory"
	e.Map.Lay()
	for _, t := range []struct{ title, unit string }{{"Most CPU", "percent"}, {"Most memory", "bytes"}, {"Most disk traffic", "bytes/s"}, {"Most network traffic", "bytes/s"}} {
		top := charts.Top{Title: t.title, Unit: t.unit}
		for i, n := range []string{"db-prod-01", "web-prod-02 " + evil, "ci-runner-07", "k8s-worker-3", "win2022-ad"} {
			top.Rows = append(top.Rows, charts.TopRow{Name: n, URL: "/vms/vm_00/monitor", Value: map[string]float64{"percent": 380, "bytes": 6e10, "bytes/s": 2e8}[t.unit] / float64(i+1)})
		}
		e.Top = append(e.Top, top)
	}
	return e
}

func chartPages(sh func(string, layout.Section, string, ...layout.Crumb) layout.Shell, vmShell func(string, int) layout.Shell) []page {
	monitor := vmPage(live.MonitorTab, 0)
	monitor.Monitor = sampleSet(live.VMTab("vm_00", live.MonitorTab), domain.VMCharts("vm_00"))
	fresh := vmPage(live.MonitorTab, 1)
	fresh.Monitor = sampleSet(live.VMTab("vm_01", live.MonitorTab)+"?range=6h", domain.VMCharts("vm_01")[:2])
	fresh.Monitor.Marks = nil
	for i := range fresh.Monitor.Charts {
		fresh.Monitor.Charts[i].Lines = nil
	}
	dash := overview()
	dash.Charts = sampleSet("/", []domain.Chart{{ID: "estate-cpu", Title: "CPU by host", Kind: domain.ChartLine, Unit: "percent", Wide: true, Queries: []domain.ChartQuery{{Legend: "hv-ams-01"}, {Legend: "hv-ams-02"}, {Legend: "hv-fra-01"}, {Legend: "hv-fra-02"}}}})
	dash.Charts.Marks = nil
	dash.Estate = charts.EstateParts(sampleEstate())
	board := domain.Dashboard{ID: "dash_1", Name: "Web servers " + evil, Owner: "lena", Shared: true, Charts: domain.VMCharts("vm_00")[:3], UpdatedAt: ago(time.Hour)}
	wrong := charts.FormOf(board)
	wrong.Err = invalid(domain.FieldError{Field: "charts.0.queries.0.expr", Msg: "The query cannot be read: 1:5.", Want: "an expression in PromQL"})
	result := sampleSet(live.QueryOf("novacron_vm_up"), []domain.Chart{{ID: "query", Title: "Result", Kind: domain.ChartBar, Wide: true, Queries: []domain.ChartQuery{{Legend: "{{vm}}"}}}})
	home := func(title, path string) layout.Shell { return sh(title, layout.SectionHome, path) }
	return []page{
		{"dashboards", charts.BoardsPage(home("Dashboards", live.Dashboards), []domain.Dashboard{board, {ID: "dash_2", Name: "Mine", Owner: "lena", UpdatedAt: ago(time.Minute)}})},
		{"dashboards-empty", charts.BoardsPage(home("Dashboards", live.Dashboards), nil)}, {"dashboard", charts.BoardPage(home("Web servers", "/dashboards/dash_1"), charts.Board{Dashboard: board, Set: sampleSet("/dashboards/dash_1", board.Charts), Mine: true})},
		{"dashboard-form", charts.BoardFormPage(home("New dashboard", live.DashboardNew), wrong)}, {"dashboard-delete", charts.BoardDeletePage(home("Delete", "/dashboards/dash_1/delete"), board)},
		{"dashboard-import", charts.ImportPage(home("Import from Grafana", live.DashboardImport), charts.Import{Text: "{" + evil, Err: invalid(domain.FieldError{Field: "grafana", Msg: "That is not JSON.", Want: "what Grafana exports"})})},
		{"query", charts.QueryPage(home("Query", live.Query), charts.Query{Expr: "novacron_vm_up " + evil, Kind: "bar", Set: result})}, {"query-empty", charts.QueryPage(home("Query", live.Query), charts.Query{})},
		{"metrics", charts.MetricsPage(home("Metrics", live.MetricList), charts.Kept{Full: true, Bytes: 5 << 30, Series: 45_000, From: ago(300 * time.Hour), Keep: 360 * time.Hour, Most: 20 << 30, FullSince: ago(time.Minute), Rolled: domain.RolledUsage{Series: 8000, Days: 90_000, From: ago(2000 * time.Hour), Done: ago(time.Hour)}})},
		{"vm-monitor", vms.ShowPage(vmShell(live.MonitorTab, 0), monitor)}, {"vm-monitor-empty", vms.ShowPage(vmShell(live.MonitorTab, 1), fresh)},
		{"overview-measured", vms.OverviewPage(sh("Overview", layout.SectionHome, "/"), dash)},
		{"compare", charts.ComparePage(sh("Compare", layout.SectionVMs, live.Compare), charts.Compare{Set: sampleSet(live.CompareOf("vm_00", "vm_01"), domain.CompareCharts([]string{"vm_00"})), VMs: sampleVMs()[:3], More: sampleVMs()[3:]})},
	}
}
