package handlers

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
	"novacron/views/charts"
	"novacron/views/live"
)

// What the overview shows of what is measured is made once each step for all who see the same.

const (
	mapVMs   = 200 // more are shown as their hosts
	heatRows = 24
	heatCols = 48
	topRows  = 5
	changes  = 8
)

// estateKey is all that it depends on beside the time and what the person sees.
type estateKey struct {
	look, span, from, to, by, in string
	at                           int64
}

func (s *server) estateKey(sub auth.Subject, u *url.URL) estateKey {
	q := u.Query()
	k := estateKey{look: sub.Look(), span: q.Get("range"), from: q.Get("from"), to: q.Get("to"), by: q.Get("map"), in: q.Get("in")}
	k.at = s.Clock().Truncate(10 * time.Second).Unix()
	return k
}

// estate draws it.
func (s *server) estate(ctx context.Context, sub auth.Subject, u *url.URL) ([]byte, error) {
	b, _, err := s.shell.estates.Get(ctx, s.estateKey(sub, u), 0, 0, func(ctx context.Context) ([]byte, error) {
		e, err := s.estateModel(ctx, sub, u)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		err = charts.EstateParts(e).Render(ctx, &out)
		return out.Bytes(), err
	})
	return b, err
}

// overviewCharts are the lines of the overview.
func overviewCharts(full bool) []domain.Chart {
	cpu := domain.Chart{ID: "estate-cpu", Title: "CPU by host", Kind: domain.ChartLine, Unit: "percent", Wide: true, Queries: []domain.ChartQuery{{Legend: "{{host}}",
		Expr: `(` + hostLoad("$__rate_interval", "") + `) and topk(8, ` + hostLoad("$__rate_interval", " @ end()") + `)`}}}
	if !full {
		cpu.Title, cpu.Unit = "CPU of your VMs", ""
		cpu.Queries = []domain.ChartQuery{{Legend: "{{vm}}", Expr: `sum by (vm) (rate(novacron_vm_cpu_seconds_total[$__rate_interval])) and topk(8, sum by (vm) (rate(novacron_vm_cpu_seconds_total[$__rate_interval] @ end())))`}}
	}
	return []domain.Chart{cpu}
}

// vmLoad is how much of each VM's processors is busy, in percent.
const vmLoad = "sum by (vm_id) (rate(novacron_vm_cpu_seconds_total[1m])) / max by (vm_id) (novacron_vm_vcpus) * 100"

// hostLoad is how much of each host's processors is busy, in percent.
func hostLoad(window, at string) string {
	return `sum by (host, host_id) (rate(novacron_host_cpu_seconds_total{mode!~"idle|iowait"}[` + window + `]` + at + `)) / max by (host, host_id) (novacron_host_cpus` + at + `) * 100`
}

// estateSet is the overview's charts, kept for the step.
func (s *server) estateSet(ctx context.Context, sub auth.Subject, u *url.URL) (charts.Set, error) {
	k := s.estateKey(sub, u)
	k.by, k.in, k.look = "", "", ""
	set, _, err := s.shell.estateSets.Get(ctx, k, 0, 0, func(ctx context.Context) (charts.Set, error) {
		return s.chartSet(ctx, u, overviewCharts(domain.SightOf(ctx).Full()))
	})
	set.At = u
	set.Refresh = cmp.Or(u.Query().Get("refresh"), charts.Refreshes[0])
	return set, err
}

// measuredAt are the newest values, by the labels that tell them apart.
type measuredAt struct {
	s    *server
	view series.View
	at   time.Time
	err  error
}

func (m *measuredAt) ask(ctx context.Context, expr string) []series.Curve {
	if m.err != nil {
		return nil
	}
	var out []series.Curve
	out, m.err = m.s.Series.Now(ctx, m.view, expr, m.at)
	return out
}

func (m *measuredAt) one(ctx context.Context, expr string) (float64, bool) {
	got := m.ask(ctx, expr)
	if len(got) == 0 || math.IsNaN(got[0].Values[0]) {
		return 0, false
	}
	return got[0].Values[0], true
}

func (s *server) estateModel(ctx context.Context, sub auth.Subject, u *url.URL) (charts.Estate, error) {
	e := charts.Estate{At: u, Now: s.Clock(), Hosts: domain.SightOf(ctx).Full(), MayJobs: sub.Can(access.JobRead), MayWatch: sub.Can(access.AlertRead)}
	set, v, err := s.emptySet(ctx, u)
	if err != nil || set.Off {
		return e, err
	}
	o, err := s.DB.Overview(ctx)
	if err != nil {
		return e, err
	}
	e.States = o.VMs
	m := &measuredAt{s: s, view: v, at: s.Clock()}
	if err := s.capacity(ctx, m, &e, o); err != nil {
		return e, err
	}
	s.tops(ctx, m, &e)
	s.treemap(ctx, m, &e, u)
	if m.err != nil {
		return e, m.err
	}
	if e.Hosts {
		if err := s.heat(ctx, v, &e, set.Span); err != nil {
			return e, err
		}
	}
	return e, s.lately(ctx, &e)
}

func (s *server) capacity(ctx context.Context, m *measuredAt, e *charts.Estate, o db.Overview) error {
	cpu := charts.Capacity{Label: "CPU", Allocated: float64(o.VCPUsRunning), Total: float64(o.CPUs), Unit: "CPUs", URL: live.Hosts}
	memory := charts.Capacity{Label: "Memory", Allocated: float64(o.MemoryRunning), Total: float64(o.MemoryBytes), Unit: "bytes", URL: live.Hosts}
	if !e.Hosts { // what the person's own VMs take
		cpu.Total, memory.Total, cpu.URL, memory.URL = float64(o.VCPUsRunning), float64(o.MemoryRunning), live.VMs, live.VMs
		cpu.Used, cpu.Known = m.one(ctx, "sum(rate(novacron_vm_cpu_seconds_total[1m]))")
		memory.Used, memory.Known = m.one(ctx, "sum(novacron_vm_memory_resident_bytes)")
		e.Capacity = []charts.Capacity{cpu, memory}
		return nil
	}
	cpu.Used, cpu.Known = m.one(ctx, `sum(rate(novacron_host_cpu_seconds_total{mode!~"idle|iowait"}[1m]))`)
	memory.Used, memory.Known = m.one(ctx, "sum(novacron_host_memory_total_bytes - novacron_host_memory_free_bytes - novacron_host_memory_buffers_bytes - novacron_host_memory_cached_bytes)")
	storage := charts.Capacity{Label: "Storage", Used: float64(o.StorageTotal - o.StorageFree), Known: o.StorageTotal > 0, Total: float64(o.StorageTotal), Unit: "bytes", URL: live.Storage}
	pools, err := s.DB.StoragePools(ctx)
	if err != nil {
		return err
	}
	for _, p := range pools {
		storage.Allocated += float64(p.Provisioned)
	}
	e.Capacity = []charts.Capacity{cpu, memory, storage}
	return nil
}

func (s *server) tops(ctx context.Context, m *measuredAt, e *charts.Estate) {
	for _, t := range []struct{ title, unit, expr string }{
		{"Most CPU", "percent", "sum by (vm, vm_id) (rate(novacron_vm_cpu_seconds_total[1m])) * 100"},
		{"Most memory", "bytes", "max by (vm, vm_id) (novacron_vm_memory_resident_bytes)"},
		{"Most disk traffic", "bytes/s", "sum by (vm, vm_id) (rate(novacron_vm_disk_read_bytes_total[1m])) + sum by (vm, vm_id) (rate(novacron_vm_disk_written_bytes_total[1m]))"},
		{"Most network traffic", "bytes/s", "sum by (vm, vm_id) (rate(novacron_vm_network_receive_bytes_total[1m])) + sum by (vm, vm_id) (rate(novacron_vm_network_transmit_bytes_total[1m]))"},
	} {
		top := charts.Top{Title: t.title, Unit: t.unit}
		for _, c := range m.ask(ctx, "topk(5, "+t.expr+") > 0") {
			top.Rows = append(top.Rows, charts.TopRow{Name: strings.Clone(c.Label("vm")), URL: live.VMTab(strings.Clone(c.Label("vm_id")), live.MonitorTab), Value: c.Values[0]})
		}
		slices.SortStableFunc(top.Rows, func(a, b charts.TopRow) int { return cmp.Compare(b.Value, a.Value) })
		e.Top = append(e.Top, top)
	}
}

// treemap places the VMs, or where there are many their hosts.
func (s *server) treemap(ctx context.Context, m *measuredAt, e *charts.Estate, u *url.URL) {
	t := charts.Treemap{By: u.Query().Get("map"), In: u.Query().Get("in")}
	size := "max by (vm, vm_id, host) (novacron_vm_memory_balloon_bytes)"
	if t.By == "cpu" {
		size = "max by (vm, vm_id, host) (novacron_vm_vcpus)"
	}
	load := map[string]float64{}
	for _, c := range m.ask(ctx, vmLoad) {
		load[c.Label("vm_id")] = c.Values[0]
	}
	known := func(id string) float64 {
		if v, ok := load[id]; ok {
			return v
		}
		return math.NaN()
	}
	vms := m.ask(ctx, size)
	if t.In != "" {
		vms = slices.DeleteFunc(vms, func(c series.Curve) bool { return c.Label("host") != t.In })
	} else if t.Whole = len(vms) > mapVMs; t.Whole {
		s.mapHosts(ctx, m, &t, u)
		e.Map = t
		return
	}
	for _, c := range vms {
		id := strings.Clone(c.Label("vm_id"))
		t.Cells = append(t.Cells, charts.Cell{Name: strings.Clone(c.Label("vm")), URL: live.VMTab(id, live.MonitorTab), Group: strings.Clone(c.Label("host")), Size: c.Values[0], Load: known(id)})
	}
	t.Lay()
	e.Map = t
}

func (s *server) mapHosts(ctx context.Context, m *measuredAt, t *charts.Treemap, u *url.URL) {
	load := map[string]float64{}
	for _, c := range m.ask(ctx, hostLoad("1m", "")) {
		load[c.Label("host")] = c.Values[0]
	}
	size := "sum by (host) (novacron_vm_memory_balloon_bytes)"
	if t.By == "cpu" {
		size = "sum by (host) (novacron_vm_vcpus)"
	}
	for _, c := range m.ask(ctx, size) {
		name := strings.Clone(c.Label("host"))
		cell := charts.Cell{Name: name, URL: live.With(u.RequestURI(), "in", name), Size: c.Values[0], Load: math.NaN()}
		if v, ok := load[name]; ok {
			cell.Load = v
		}
		t.Cells = append(t.Cells, cell)
	}
	t.Lay()
}

// heat is the load of the busiest hosts over the time.
func (s *server) heat(ctx context.Context, v series.View, e *charts.Estate, span domain.Span) error {
	step := max(span.End.Sub(span.Start)/heatCols, 10*time.Second).Truncate(10 * time.Second)
	end := span.End.Truncate(step)
	start := end.Add(-(heatCols - 1) * step)
	rows, _, err := s.shell.heats.Get(ctx, heatKey{start.Unix(), int64(step)}, 0, 0, func(ctx context.Context) ([]charts.HeatRow, error) {
		found, _, err := s.Series.Curves(ctx, v, hostLoad(domain.PromDuration(max(step, time.Minute)), ""), start, end, step, 1000)
		if err != nil {
			return nil, err
		}
		var out []charts.HeatRow
		for _, c := range found {
			out = append(out, charts.HeatRow{Name: strings.Clone(c.Label("host")), URL: live.HostTab(strings.Clone(c.Label("host_id")), live.MonitorTab), Values: c.Values})
		}
		slices.SortStableFunc(out, func(a, b charts.HeatRow) int {
			return cmp.Or(cmp.Compare(weight(b.Values), weight(a.Values)), strings.Compare(a.Name, b.Name))
		})
		return out, nil
	})
	if err != nil {
		return err
	}
	e.Heat = charts.Heat{Rows: rows[:min(len(rows), heatRows)], More: max(0, len(rows)-heatRows), From: start.UTC(), To: end.UTC()}
	e.Heat.Rows = slices.Clone(e.Heat.Rows)
	slices.SortFunc(e.Heat.Rows, func(a, b charts.HeatRow) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

type heatKey struct{ start, step int64 }

func weight(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += v
		}
	}
	return sum
}

// firing puts the alerts that fire and are not quiet first by how bad they are, then by when they began.
func (s *server) firing(ctx context.Context, e *charts.Estate) error {
	all, err := s.DB.Alerts(ctx, db.AlertQuery{States: []domain.AlertState{domain.AlertFiring}})
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(a domain.Alert) bool { return a.Quiet != "" })
	worse := map[string]int{"critical": -2, "warning": -1, "info": 1}
	slices.SortFunc(all, func(a, b domain.Alert) int {
		return cmp.Or(worse[a.Severity]-worse[b.Severity], b.FiredAt.Compare(a.FiredAt), strings.Compare(a.ID, b.ID))
	})
	e.Firing, e.Fires = all[:min(len(all), changes)], len(all)
	return nil
}

// lately is what happened and what runs.
func (s *server) lately(ctx context.Context, e *charts.Estate) error {
	if e.MayWatch {
		if err := s.firing(ctx, e); err != nil {
			return err
		}
	}
	evs, err := s.DB.Events(ctx, db.EventQuery{Newest: true, NoSteps: true, Limit: changes})
	if err != nil {
		return err
	}
	for _, ev := range evs {
		if e.Now.Sub(ev.At) < time.Hour {
			e.Changed = append(e.Changed, ev)
		}
	}
	if !e.MayJobs {
		return nil
	}
	f, _, err := s.shell.frame(ctx, s.DB.Feed().Last(), shellFresh)
	if err != nil {
		return err
	}
	for _, j := range s.withProgress(f.tasks) {
		if !j.State.Ended() && len(e.Jobs) < changes {
			e.Jobs = append(e.Jobs, j)
		}
	}
	return nil
}

// estateNews is what an open overview gets when its time has come.
func (s *server) estateNews(ctx context.Context, v *viewer, out *bytes.Buffer) error {
	parts, err := s.estate(ctx, v.sub, v.at)
	if err != nil {
		return err
	}
	if err := charts.StreamEstate(templ.Raw(string(parts))).Render(ctx, out); err != nil {
		return err
	}
	p, err := s.estatePoints(ctx, v)
	if err != nil {
		return err
	}
	return charts.StreamPoints(p).Render(ctx, out)
}

func (s *server) estatePoints(ctx context.Context, v *viewer) (charts.Points, error) {
	k := s.estateKey(v.sub, v.at)
	k.by, k.in, k.look = "", "", ""
	p, _, err := s.shell.estatePoints.Get(ctx, k, 0, 0, func(ctx context.Context) (charts.Points, error) {
		return s.points(ctx, v.at, overviewCharts(domain.SightOf(ctx).Full()))
	})
	return p, err
}
