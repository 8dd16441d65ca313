package api

import (
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"novacron/db/series"
)

// measured writes what two VMs and a host were measured at.
func (w *world) measured(t *testing.T) (now time.Time) {
	t.Helper()
	now = time.Now().Truncate(time.Second)
	for i := range 7 {
		at := now.Add(time.Duration(i-6) * 10 * time.Second)
		if err := w.series.Append(t.Context(), at, []series.Sample{
			{Labels: series.Of("novacron_vm_cpu_seconds_total", "vm", "web", "vm_id", "vm_1", "host", "b1", "tenant", `a "b"`), Value: float64(5 * i)},
			{Labels: series.Of("novacron_host_up", "host", "b1", "host_id", "host_1"), Value: 1},
		}); err != nil {
			t.Fatal(err)
		}
	}
	return now
}

func TestPrometheusQueries(t *testing.T) {
	w := newWorld(t)
	now := w.measured(t)
	q := func(pairs ...string) string {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return "?" + v.Encode()
	}
	end, start := fmt.Sprint(now.Unix()), fmt.Sprint(now.Unix()-60)
	for _, c := range []struct {
		path   string
		status int
		want   []string
	}{
		{"/query" + q("query", `round(rate(novacron_vm_cpu_seconds_total[1m]), 0.1)`, "time", end), 200, []string{`"status":"success"`, `"resultType":"vector"`, `"vm":"web"`, `"0.5"]`}},
		{"/query" + q("query", "nothing", "time", now.Format(time.RFC3339)), 200, []string{`"result":[]`}},
		{"/query_range" + q("query", "novacron_host_up", "start", start, "end", end, "step", "30s"), 200, []string{`"resultType":"matrix"`, `"values":[[` + start + `,"1"],[`}},
		{"/series" + q("match[]", `novacron_host_up`, "match[]", `{vm="web"}`), 200, []string{`"__name__":"novacron_host_up"`, `"vm_id":"vm_1"`}},
		{"/series" + q("match[]", `{host="b1"}`, "limit", "1"), 200, []string{"truncated"}},
		{"/labels", 200, []string{`"__name__","host","host_id","tenant","vm","vm_id"`}},
		{"/label/vm/values", 200, []string{`"data":["web"]`}},
		{"/metadata" + q("metric", "novacron_vm_up"), 200, []string{`{"novacron_vm_up":[{"type":"gauge","help":"`}},
		{"/query" + q("query", `novacron_host_up + on () {__name__=~".+"}`, "time", end), 422, []string{`"errorType":"execution"`, "found duplicate series for the match group"}},
		{"/query" + q("query", "sum("), 400, []string{`"status":"error"`, `"errorType":"bad_data"`, "1:5"}},
		{"/query_range" + q("query", "up"), 400, []string{"start, end and step"}},
		{"/query_range" + q("query", "up", "start", start, "end", end, "step", "x"), 400, []string{"duration"}},
		{"/query" + q("query", "up", "time", "noon"), 400, []string{"not a time"}},
		{"/series", 400, []string{"match[]"}},
	} {
		got := w.do("GET", "/api/v1"+c.path, nil, token(w.viewer))
		for _, part := range c.want {
			if got.StatusCode != c.status || !strings.Contains(string(got.body), part) {
				t.Errorf("%s: %d, want %d with %s:\n%.600s", c.path, got.StatusCode, c.status, part, string(got.body))
			}
		}
	}
	got := w.do("POST", "/api/v1/query", url.Values{"query": {"count(novacron_host_up)"}, "time": {end}}.Encode(), token(w.viewer), header("Content-Type", "application/x-www-form-urlencoded"))
	if got.StatusCode != 200 || !strings.Contains(string(got.body), `"1"]`) {
		t.Errorf("a form: %d %s", got.StatusCode, got.body)
	}
}

// A tenant's token asks for its own series, by every path, and sees no others.
func TestATenantAsksForItsOwnSeries(t *testing.T) {
	w := newTeams(t)
	now := time.Now()
	for id, name := range map[string]string{w.vmA: "web-of-a", w.vmB: "web-of-b"} {
		if err := w.series.Append(t.Context(), now, []series.Sample{{Labels: series.Of("novacron_vm_up", "vm", name, "vm_id", id), Value: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/query?query=novacron_vm_up", "/series?match[]=novacron_vm_up", "/label/vm/values", "/label/vm_id/values"} {
		got := w.do("GET", "/api/v1"+path, nil, token(w.a))
		if body := string(got.body); got.StatusCode != 200 || !strings.Contains(body, "web-of-a") && !strings.Contains(body, w.vmA) || strings.Contains(body, "web-of-b") || strings.Contains(body, w.vmB) {
			t.Errorf("%s: %d %.400s", path, got.StatusCode, body)
		}
	}
}

// What an outside Prometheus scrapes is what its own checker finds in order.
func TestTheExpositionIsSound(t *testing.T) {
	w := newWorld(t)
	w.measured(t)
	got := w.do("GET", "/metrics", nil, token(w.viewer))
	for _, part := range []string{
		"# HELP novacron_host_up Whether the last scrape", "# TYPE novacron_vm_cpu_seconds_total counter\n",
		`novacron_vm_cpu_seconds_total{host="b1",tenant="a \"b\"",vm="web",vm_id="vm_1"} 30` + "\n",
	} {
		if got.StatusCode != 200 || !strings.Contains(string(got.body), part) {
			t.Errorf("%d, without %q:\n%s", got.StatusCode, part, string(got.body))
		}
	}
	if _, err := exec.LookPath("promtool"); err == nil {
		cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		cmd.Stdin = strings.NewReader(string(got.body))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool: %v\n%s", err, out)
		}
	}
}
