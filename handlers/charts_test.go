package handlers

import (
	"encoding/csv"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"novacron/db/series"
	"novacron/domain"
	"novacron/views/charts"
	"novacron/views/live"
)

// measure writes what a VM and its host were measured at, over the last quarter of an hour.
func (w *world) measure(vm domain.VM, host domain.Host) {
	w.t.Helper()
	now := time.Now().Truncate(10 * time.Second)
	for i := range 91 {
		at := now.Add(time.Duration(i-90) * 10 * time.Second)
		vmSeries := func(metric string, v float64, more ...string) series.Sample {
			return series.Sample{Labels: series.Of(metric, append([]string{"vm", vm.Name, "vm_id", vm.ID, "host", host.Name}, more...)...), Value: v}
		}
		hostSeries := func(metric string, v float64, more ...string) series.Sample {
			return series.Sample{Labels: series.Of(metric, append([]string{"host", host.Name, "host_id", host.ID}, more...)...), Value: v}
		}
		if err := w.series.Append(w.t.Context(), at, []series.Sample{
			vmSeries("novacron_vm_cpu_seconds_total", float64(5*i)), vmSeries("novacron_vm_vcpus", 2), vmSeries("novacron_vm_memory_balloon_bytes", 2<<30), vmSeries("novacron_vm_memory_resident_bytes", 1<<30),
			vmSeries("novacron_vm_disk_read_bytes_total", float64(i)*1e6, "disk", "=vda"), vmSeries("novacron_vm_disk_written_bytes_total", float64(i)*1e6, "disk", "=vda"),
			hostSeries("novacron_host_cpu_seconds_total", float64(20*i), "mode", "user"), hostSeries("novacron_host_cpus", 4),
		}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// estate is a host with VMs.
func (w *world) estate(name string, n int) (domain.Host, []domain.VM) {
	w.t.Helper()
	id := w.mirrored(name, n)
	h, err := w.db.Host(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	vms, err := w.db.HostVMs(w.t.Context(), id)
	if err != nil || len(vms) != n {
		w.t.Fatalf("%d VMs, %v", len(vms), err)
	}
	return h, vms
}

// A VM's page, its host's and the overview show what was measured, and the stream brings what comes.
func TestMonitorPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	host, vms := w.estate("h1", 2)
	empty := b.get(live.VMTab(vms[0].ID, live.MonitorTab))
	if !strings.Contains(empty.text, "Measuring begins") {
		t.Errorf("a page without samples does not say when they come: %.300s", empty.text)
	}
	w.measure(vms[0], host)
	for path, wants := range map[string][]string{
		live.VMTab(vms[0].ID, live.MonitorTab) + "?range=15m":                                 {`id="chart-cpu"`, "25.0 %", "=vda read", `aria-current="page">15m`, "data-plot="},
		live.HostTab(host.ID, live.MonitorTab):                                                {`id="chart-cpu"`, "50.0 %", vms[0].Name},
		live.CompareOf(vms[0].ID, vms[1].ID):                                                  {`id="chart-cpu"`, "25.0 %", "Without " + vms[1].Name},
		live.Home + "?range=15m":                                                              {`id="estate"`, `class="treemap"`, vms[0].Name + " 2 GiB · 25 % of its CPU", host.Name + ": mean 50 %", "Most CPU"},
		live.Home + "?map=cpu&in=" + url.QueryEscape(host.Name):                               {"VMs on " + host.Name, "2.00 CPUs · 25 % of its CPU"},
		live.VMTab(vms[0].ID, live.MonitorTab) + "?range=2w":                                  {"not a time that is offered"},
		live.VMTab(vms[0].ID, live.MonitorTab) + "?from=2026-01-02T00:00&to=2026-01-01T00:00": {"ends before it begins"},
	} {
		got := b.get(path)
		for _, want := range wants {
			if got.StatusCode != http.StatusOK || !strings.Contains(got.text, want) {
				t.Errorf("%s: %d, without %q", path, got.StatusCode, want)
			}
		}
	}
	pick := url.Values{"action": {live.CompareAction}, "ids": {vms[0].ID, vms[1].ID}}
	b.post(live.VMBulk, pick).wantMove(t, live.CompareOf(vms[0].ID, vms[1].ID))
	u, err := url.Parse(live.VMTab(vms[0].ID, live.MonitorTab))
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.srv.points(t.Context(), u, domain.VMCharts(vms[0].ID))
	if got := float64(p.Of["cpu"]["used"]); err != nil || math.Abs(got-25) > 1 {
		t.Errorf("the newest CPU is %v %%, want 25: %v", got, err)
	}
}

// A file for a table's program has the numbers, and no name in it is a formula.
func TestChartsAsFiles(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	host, vms := w.estate("h1", 1)
	w.measure(vms[0], host)
	q := url.Values{"title": {"a/b"}, "range": {"15m"}, "q": {"sum by (disk) (rate(novacron_vm_disk_read_bytes_total[$__rate_interval]))"}, "l": {"{{disk}} read"}}
	got := b.get(live.ChartCSV + "?" + q.Encode())
	rows, err := csv.NewReader(strings.NewReader(got.text)).ReadAll()
	if err != nil || len(rows) < 80 || rows[0][1] != "'=vda read" || rows[len(rows)-2][1] != "100000" || got.Header.Get("Content-Disposition") != `attachment; filename="a-b.csv"` {
		t.Errorf("%d %v %v %.300s", got.StatusCode, got.Header, err, got.text)
	}
	for _, bad := range []string{"?title=x", "?q=sum(", "?q=up&range=9y"} {
		if got := b.get(live.ChartCSV + bad); got.StatusCode != http.StatusUnprocessableEntity && got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, got.StatusCode)
		}
	}
}

func TestMapsFillTheirBox(t *testing.T) {
	m := charts.Treemap{}
	for i := range 100 {
		m.Cells = append(m.Cells, charts.Cell{Name: string(rune('a' + i%26)), Group: string(rune('A' + i%7)), Size: float64(1 + i%9)})
	}
	m.Lay()
	if got := m.Area(); math.Abs(got-100) > 0.01 {
		t.Errorf("the cells cover %.3f %% of the picture", got)
	}
}

// A dashboard is kept, looked at, changed, shared by its address and taken away; others do not see what is not shared.
func TestDashboardPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	host, vms := w.estate("h1", 1)
	w.measure(vms[0], host)
	form := url.Values{"name": {"Web"}, "title": {"CPU", "", "Table"}, "kind": {"line", "line", "table"}, "unit": {"percent", "", ""}, "wide": {"1", "", ""}, "legend": {"{{vm}}", "", ""},
		"queries": {"sum by (vm) (rate(novacron_vm_cpu_seconds_total[$__rate_interval])) * 50\nvector(7) # seven", "", "novacron_host_cpus"}}
	bad := url.Values{"name": {"Web"}, "title": {"CPU"}, "kind": {"line"}, "unit": {""}, "wide": {""}, "legend": {""}, "queries": {"sum("}}
	if got := b.post(live.Dashboards, bad); got.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(got.text, "cannot be read") || !strings.Contains(got.text, "sum(") {
		t.Errorf("a query that cannot be read: %d %.300s", got.StatusCode, got.text)
	}
	made := b.post(live.Dashboards, form)
	if made.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %.300s", made.StatusCode, made.text)
	}
	at := made.location()
	has := func(path string, wants ...string) {
		t.Helper()
		got := b.get(path)
		for _, want := range wants {
			if got.StatusCode != http.StatusOK || !strings.Contains(got.text, want) {
				t.Errorf("%s: %d, without %q", path, got.StatusCode, want)
			}
		}
	}
	has(at+"?range=15m", ">Web<", vms[0].Name, "25.0 %", "seven", "data-plot=", "Delete")
	has(at+"/edit", "vector(7) # seven", `name="version" value="1"`)
	has(live.Dashboards, "Web", "only you")
	has(live.MetricList, "novacron_vm_cpu_seconds_total", "Try it")
	has(live.QueryOf("novacron_host_cpus"), "4.00", "Copy PromQL")
	has(live.QueryOf("sum("), "cannot be read")
	form.Set("version", "1")
	form.Set("shared", "1")
	if got := b.post(at, form); got.StatusCode != http.StatusSeeOther {
		t.Errorf("changing it: %d %.300s", got.StatusCode, got.text)
	}
	if got := b.post(at, form); got.StatusCode != http.StatusConflict {
		t.Errorf("changing an old state: %d", got.StatusCode)
	}
	has(live.Dashboards, "everybody with its link")
	grafana := `{"title": "Theirs", "panels": [{"title": "Up", "type": "stat", "targets": [{"expr": "novacron_host_up"}]}, {"title": "Load", "type": "graph", "targets": [{"expr": "node_load1"}]}]}`
	if got := b.post(live.DashboardImport, url.Values{"grafana": {"{"}}); got.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("no dashboard of Grafana: %d", got.StatusCode)
	}
	imported := b.post(live.DashboardImport, url.Values{"grafana": {grafana}})
	if imported.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %.300s", imported.StatusCode, imported.text)
	}
	has(imported.location(), "Theirs", "node_load1, which is not measured here")
	has(at+"/delete", "Delete the dashboard Web?")
	if got := b.post(at+"/delete", nil); got.StatusCode != http.StatusSeeOther {
		t.Errorf("deleting it: %d", got.StatusCode)
	}
	if got := b.get(at); got.StatusCode != http.StatusNotFound {
		t.Errorf("it is there still: %d", got.StatusCode)
	}
}

// A time whose samples are gone is drawn from what is kept by the hour, and the page of metrics says what that is.
func TestChartsOfLongAgo(t *testing.T) {
	w := newWorld(t)
	w.series.UseLong(w.db)
	b := w.admin()
	host, vms := w.estate("h1", 1)
	w.measure(vms[0], host)
	b.get(live.MetricList).want(t, 200, "What is kept", "none yet", "15 days or 20 GiB")
	first := time.Now().UTC().Add(-60 * 24 * time.Hour).Truncate(time.Hour)
	for i := range 48 {
		hour := first.Add(time.Duration(i) * time.Hour)
		err := w.db.RollUp(t.Context(), hour, []domain.RolledSeries{{
			Metric: "novacron_vm_memory_resident_bytes", Of: vms[0].ID, Labels: map[string]string{"vm": vms[0].Name, "vm_id": vms[0].ID, "host": host.Name},
			Hours: map[time.Time]domain.RolledHour{hour: {Min: 1 << 30, Mean: 2 << 30, Max: 5 << 30, P95: 4 << 30, Count: 360}},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	at := live.VMTab(vms[0].ID, live.MonitorTab) + "?from=" + first.Format("2006-01-02T15:04") + "&to=" + first.Add(40*time.Hour).Format("2006-01-02T15:04")
	b.get(at).want(t, 200, "by the hour", "on the host 95 %", "4 GiB", "5 GiB")
	b.get(live.VMTab(vms[0].ID, live.MonitorTab)).want(t, 200, "balloon leaves")
	w.level("the page to tell of the hours", func() bool { // it is kept for a second
		return strings.Contains(b.get(live.MetricList).text, "of 1 series since")
	})
}
