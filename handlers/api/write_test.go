package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

func (w *world) hostNamed(t *testing.T, id, name string) {
	t.Helper()
	err := w.db.Write(t.Context(), func(tx *db.Tx) error {
		return tx.InsertHost(domain.Host{ID: id, Name: name, URI: "test+tcp://" + name + "/default", State: domain.HostConnected, CreatedAt: time.Now()}, domain.HostCredentials{})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What node_exporter and its kin send of a host is kept with the host's own labels, and nothing else is.
func TestSendersWriteSamplesOfHosts(t *testing.T) {
	w := newWorld(t)
	w.hostNamed(t, "host_1", "b1")
	now := time.Now()
	send := func(as string, at time.Time, batch ...series.Sample) answer {
		t.Helper()
		body, err := series.Pack([]series.Batch{{At: at, Samples: batch}})
		if err != nil {
			t.Fatal(err)
		}
		return w.do("POST", "/api/v1/write", string(body), token(as), header("Content-Type", "application/x-protobuf"), header("Content-Encoding", "snappy"), header("X-Prometheus-Remote-Write-Version", "0.1.0"))
	}
	load := series.Sample{Labels: series.Of("node_load1", "instance", "b1:9100", "job", "node", "vm_id", "vm_1", "tenant", "red"), Value: 1.5}
	for range 2 { // sent twice is kept once
		if got := send(w.admin, now, load, series.Sample{Labels: series.Of("node_pressure_cpu_waiting_seconds_total", "host", "b1"), Value: 7}); got.StatusCode != 204 {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
	}
	got := w.do("GET", "/api/v1/query?query=%7Bhost%3D%22b1%22%7D", nil, token(w.viewer))
	body := string(got.body)
	for _, want := range []string{`"__name__":"node_load1","host":"b1","host_id":"host_1","instance":"b1:9100","job":"node"}`, `"1.5"]`, "node_pressure_cpu_waiting_seconds_total"} {
		if !strings.Contains(body, want) {
			t.Errorf("without %s: %s", want, body)
		}
	}
	if strings.Contains(body, "vm_1") || strings.Contains(body, "red") {
		t.Errorf("a sender says whose it is: %s", body)
	}
	tried, err := series.Pack([]series.Batch{{At: now, Samples: []series.Sample{{Labels: series.Of("node_tried", "host", "b1"), Value: 1}}}})
	if err != nil {
		t.Fatal(err)
	}
	want[DryRun](t, w.do("POST", "/api/v1/write?dry_run=true", string(tried), header("Content-Type", "application/x-protobuf"), header("Content-Encoding", "snappy")), 200)
	if got := w.do("GET", "/api/v1/query?query=node_tried", nil); strings.Contains(string(got.body), "node_tried") {
		t.Errorf("a dry run kept a sample: %s", got.body)
	}
	if got := w.do("GET", "/metrics", nil, token(w.viewer)); strings.Contains(string(got.body), "node_load1") {
		t.Error("what others measured is given on as ours")
	}
	long := strings.Repeat("x", 2000)
	for say, got := range map[string]answer{
		"no host is called so":          send(w.admin, now, series.Sample{Labels: series.Of("node_load1", "instance", "other:9100"), Value: 1}),
		"is not a sender's":             send(w.admin, now, series.Sample{Labels: series.Of("novacron_host_up", "host", "b1"), Value: 1}),
		"which is not yet":              send(w.admin, now.Add(time.Hour), load),
		"cannot be kept":                send(w.admin, now, series.Sample{Labels: series.Of("node_x", "host", "b1", "text", long), Value: 1}),
		"cannot be read":                w.do("POST", "/api/v1/write", "not snappy", token(w.admin), header("Content-Type", "application/x-protobuf")),
		"not remote write of version 1": w.do("POST", "/api/v1/write", "x", token(w.admin), header("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")),
	} {
		if got.StatusCode != 400 || !strings.Contains(string(got.body), say) {
			t.Errorf("%q: %d %s", say, got.StatusCode, got.body)
		}
	}
	if got := send(w.viewer, now, load); got.StatusCode != 403 {
		t.Errorf("who only looks writes: %d", got.StatusCode)
	}
	// A bomb of labels that never repeat is refused with what to do, and what was there goes on.
	for n, refused := 0, false; !refused; n++ {
		var bomb []series.Sample
		for i := range 10_000 {
			bomb = append(bomb, series.Sample{Labels: series.Of("node_request", "host", "b1", "id", fmt.Sprint(n, "-", i)), Value: 1})
		}
		switch got := send(w.admin, now, bomb...); {
		case got.StatusCode == 400 && strings.Contains(string(got.body), "at most 50000 are kept") && strings.Contains(string(got.body), "write_relabel_configs"):
			refused = true
		case got.StatusCode != 204 || n > 5:
			t.Fatalf("%d: %d %s", n, got.StatusCode, got.body)
		}
	}
	if got := send(w.admin, now.Add(time.Second), load); got.StatusCode != 204 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}
