package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"novacron/db/series"
	"novacron/domain"
	"novacron/jobs/alerts"
)

// tool is a program of Debian's package prometheus, which the tests' packages have.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not here: .ci/deps install test brings it", name)
	}
	return path
}

// What an outside Prometheus scrapes is what its own checker finds in order: every metric that there is.
func TestPromtoolTakesWhatIsServed(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Truncate(time.Second)
	var batch []series.Sample
	for i, m := range domain.Metrics {
		var pairs []string
		for _, l := range m.Labels() {
			pairs = append(pairs, l, "a \"b\"\\ü\n")
		}
		batch = append(batch, series.Sample{Labels: series.Of(m.Name, pairs...), Value: float64(i) * 1.5e7})
	}
	if err := w.series.Append(t.Context(), now, batch); err != nil {
		t.Fatal(err)
	}
	got := w.do("GET", "/metrics", nil, token(w.viewer))
	if n := strings.Count(string(got.body), "# TYPE "); got.StatusCode != 200 || n != len(domain.Metrics) {
		t.Errorf("%d: %d metrics of %d", got.StatusCode, n, len(domain.Metrics))
	}
	cmd := exec.CommandContext(t.Context(), tool(t, "promtool"), "check", "metrics")
	cmd.Stdin = strings.NewReader(string(got.body))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// The rules that every estate begins with are rules for Prometheus too.
func TestPromtoolTakesOurRules(t *testing.T) {
	w := newWorld(t)
	if err := alerts.Seed(t.Context(), w.db, time.Now()); err != nil {
		t.Fatal(err)
	}
	all, err := w.db.AlertRules(t.Context())
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, series.WriteRules(all), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), tool(t, "promtool"), "check", "rules", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("SUCCESS: %d rules found", len(all))) {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// prometheus runs one until the test ends, and gives its address. Somebody else may take a port that was free: then it tries another one.
func prometheus(t *testing.T, dir string, config func(at string) string) string {
	t.Helper()
	said := filepath.Join(dir, "log")
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "prometheus.yml")
		if err := os.WriteFile(file, []byte(config(at)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(said)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), tool(t, "prometheus"), "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+at)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait() // it is killed when the test ends
			out.Close()
		}()
		t.Cleanup(func() { <-ended })
		for up := false; !up; {
			resp, err := http.Get("http://" + at + "/-/ready")
			if err == nil {
				up = resp.StatusCode == http.StatusOK
				resp.Body.Close()
			}
			select {
			case <-ended:
				up = true
			case <-time.After(50 * time.Millisecond):
			}
		}
		select {
		case <-ended:
		default:
			return at
		}
	}
	text, err := os.ReadFile(said)
	t.Fatalf("prometheus does not run (%v):\n%s", err, text)
	return ""
}

// Debian's Prometheus scrapes /metrics with a token, gives on what it has by federation, asks our query API by promtool, and writes what it measures itself to us.
func TestARealPrometheus(t *testing.T) {
	w := newWorld(t)
	w.hostNamed(t, "host_1", "b1")
	w.measured(t)
	dir := t.TempDir()
	ours, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	config := func(at string) string {
		return fmt.Sprintf(`
global: {scrape_interval: 2s, scrape_timeout: 2s, external_labels: {host: b1}}
scrape_configs:
- job_name: novacron
  honor_labels: true
  honor_timestamps: true
  metrics_path: /metrics
  authorization: {credentials: %q}
  static_configs: [{targets: [%q]}]
- job_name: self
  static_configs: [{targets: [%q]}]
remote_write:
- url: %s/api/v1/write
  authorization: {credentials: %q}
  queue_config: {batch_send_deadline: 1s}
  write_relabel_configs: [{source_labels: [job, __name__], regex: self;(up|prometheus_build_info), action: keep}]
`, w.viewer, ours.Host, at, w.url, w.admin)
	}
	at := prometheus(t, dir, config)
	theirs := func(path string) string {
		resp, err := http.Get("http://" + at + path)
		if err != nil {
			return ""
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return ""
		}
		return string(b)
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for !ok() {
			if time.Now().After(deadline) {
				t.Fatalf("not within a minute: %s", what)
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-t.Context().Done():
				t.FailNow()
			}
		}
	}
	until("its federation gives our series on", func() bool {
		if err := w.series.Append(t.Context(), time.Now(), []series.Sample{{Labels: series.Of("novacron_host_up", "host", "b1", "host_id", "host_1"), Value: 1}}); err != nil {
			t.Fatal(err)
		}
		text := theirs("/federate?" + url.Values{"match[]": {`{__name__=~"novacron_.+"}`}}.Encode())
		return strings.Contains(text, "novacron_host_up{") && strings.Contains(text, `host_id="host_1"`)
	})
	until("what it measures of itself is ours", func() bool {
		got := w.do("GET", "/api/v1/query?"+url.Values{"query": {`prometheus_build_info{host="b1",host_id="host_1",job="self"}`}}.Encode(), nil, token(w.viewer))
		var a struct {
			Data struct{ Result []json.RawMessage }
		}
		return json.Unmarshal(got.body, &a) == nil && len(a.Data.Result) == 1
	})
	// promtool asks our API as it asks Prometheus'.
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { // it takes no token
		r.SetURL(ours)
		r.Out.Header.Set("Authorization", "Bearer "+w.viewer)
	}})
	t.Cleanup(proxy.Close)
	out, err := exec.CommandContext(t.Context(), tool(t, "promtool"), "query", "instant", proxy.URL, `count(novacron_host_up{host="b1"})`).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "{} => 1 @") {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), tool(t, "promtool"), "query", "series", "--match=novacron_host_up", proxy.URL).CombinedOutput()
	if err != nil || !strings.Contains(string(out), `host_id="host_1"`) {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
