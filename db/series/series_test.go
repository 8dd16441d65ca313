package series

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"novacron/domain"
)

var began = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

func open(t testing.TB, dir string, opt Options) *Store {
	t.Helper()
	s, err := Open(dir, slog.New(slog.NewTextHandler(t.Output(), nil)), opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *Store, at time.Time, values map[string]float64) {
	t.Helper()
	var batch []Sample
	for text, v := range values {
		l, err := s.parser.ParseMetric(text)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, Sample{Labels: l, Value: v})
	}
	if err := s.Append(t.Context(), at, batch); err != nil {
		t.Fatal(err)
	}
}

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// estate writes ten minutes of two VMs of two hosts, one of which is started anew half-way.
func estate(t testing.TB, s *Store) {
	for i := range 61 {
		at := began.Add(time.Duration(i) * 10 * time.Second)
		b := float64(10 * i)
		if i > 30 {
			b -= 300
		}
		put(t, s, at, map[string]float64{
			`novacron_vm_cpu_seconds_total{vm="a",vm_id="vm_a",host="h1",tenant="red"}`:  float64(5 * i),
			`novacron_vm_cpu_seconds_total{vm="b",vm_id="vm_b",host="h2",tenant="blue"}`: b,
			`novacron_host_up{host="h1",host_id="host_1"}`:                               1,
		})
	}
}

func TestQueries(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	estate(t, s)
	end := began.Add(10 * time.Minute)
	for expr, want := range map[string]string{
		`novacron_vm_cpu_seconds_total{vm="a"}`:                      `[{"metric":{"__name__":"novacron_vm_cpu_seconds_total","host":"h1","tenant":"red","vm":"a","vm_id":"vm_a"},"value":[1793606400+600,"300"]}]`,
		`round(sum(rate(novacron_vm_cpu_seconds_total[5m])), 0.01)`:  `[{"metric":{},"value":[1793606400+600,"1.5"]}]`,
		`round(increase(novacron_vm_cpu_seconds_total{vm="b"}[9m]))`: `[{"metric":{"host":"h2","tenant":"blue","vm":"b","vm_id":"vm_b"},"value":[1793606400+600,"540"]}]`,
		`nothing_of_the_kind`:                                        `[]`,
		`1+1`:                                                        `[1793606400+600,"2"]`,
	} {
		res, err := s.Query(t.Context(), View{All: true}, expr, end)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		want = strings.ReplaceAll(want, "1793606400+600", fmt.Sprint(end.Unix()))
		if got := text(t, res.Value); got != want {
			t.Errorf("%s\n got %s\nwant %s", expr, got, want)
		}
	}
	res, err := s.QueryRange(t.Context(), View{All: true}, `novacron_vm_cpu_seconds_total{vm="a"}`, began, end, 5*time.Minute)
	if err != nil || res.Type != "matrix" {
		t.Fatal(res.Type, err)
	}
	if got := text(t, res.Value); !strings.Contains(got, `"values":[[`+fmt.Sprint(began.Unix())+`,"0"],[`) || !strings.Contains(got, `"150"],[`) {
		t.Errorf("range: %s", got)
	}
}

// Nobody reads what is not theirs, however they ask.
func TestAViewNarrowsEveryQuery(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	estate(t, s)
	end := began.Add(10 * time.Minute)
	mine := View{VMs: []string{"vm_a"}}
	for _, expr := range []string{
		`{__name__=~".+"}`, `novacron_vm_cpu_seconds_total`, `novacron_vm_cpu_seconds_total{vm="b"} or novacron_vm_cpu_seconds_total{vm_id="vm_b"}`,
		`rate(novacron_vm_cpu_seconds_total[5m])`, `max_over_time(rate(novacron_vm_cpu_seconds_total{tenant="blue"}[1m])[5m:1m])`, `novacron_vm_cpu_seconds_total unless on() vector(0) or novacron_host_up`,
		`label_replace(novacron_vm_cpu_seconds_total, "vm_id", "vm_a", "", "")`, `novacron_vm_cpu_seconds_total{vm_id=~".*"} @ ` + fmt.Sprint(end.Unix()-60),
	} {
		for _, v := range []View{mine, {}} {
			res, err := s.Query(t.Context(), v, expr, end)
			if err != nil {
				t.Errorf("%s: %v", expr, err)
				continue
			}
			got := text(t, res.Value)
			if strings.Contains(got, "vm_b") || strings.Contains(got, `"b"`) || strings.Contains(got, "h2") || strings.Contains(got, "host_1") {
				t.Errorf("%s shows somebody else's: %s", expr, got)
			}
			if len(v.VMs) == 0 && got != "[]" {
				t.Errorf("%s shows to nobody: %s", expr, got)
			}
		}
	}
	found, _, err := s.Series(t.Context(), mine, []string{`{__name__=~".+"}`}, began, end, 100)
	if err != nil || len(found) != 1 || found[0].Get("vm") != "a" {
		t.Errorf("series: %v, %v", found, err)
	}
	if v, err := s.LabelValues(t.Context(), mine, "vm", nil, began, end); err != nil || !slices.Equal(v, []string{"a"}) {
		t.Errorf("values: %v, %v", v, err)
	}
	if v, err := s.LabelValues(t.Context(), View{All: true}, "__name__", []string{`{host="h1"}`}, began, end); err != nil || len(v) != 2 {
		t.Errorf("names of metrics: %v, %v", v, err)
	}
	if v, err := s.LabelNames(t.Context(), mine, nil, began, end); err != nil || slices.Contains(v, "host_id") || !slices.Contains(v, "vm") {
		t.Errorf("names: %v, %v", v, err)
	}
	if _, more, err := s.Series(t.Context(), View{All: true}, []string{`{__name__=~".+"}`}, began, end, 2); err != nil || !more {
		t.Errorf("there are more than two: %v", err)
	}
}

func TestWhatCannotBeAsked(t *testing.T) {
	s := open(t, t.TempDir(), Options{Samples: 50})
	defer s.Close()
	estate(t, s)
	end := began.Add(10 * time.Minute)
	all := View{All: true}
	for _, c := range []struct {
		do   func() error
		code domain.Code
		says string
	}{
		{func() error { _, err := s.Query(t.Context(), all, "sum(", end); return err }, domain.Invalid, "1:5"},
		{func() error {
			_, err := s.Query(t.Context(), all, "novacron_vm_cpu_seconds_total[10m]", end)
			return err
		}, domain.Exhausted, "too much"},
		{func() error {
			_, err := s.Query(t.Context(), all, "novacron_host_up + on () novacron_vm_cpu_seconds_total", end)
			return err
		}, domain.Conflict, "found duplicate series for the match group"},
		{func() error { _, err := s.QueryRange(t.Context(), all, "up", began, end, 0); return err }, domain.Invalid, "step"},
		{func() error { _, err := s.QueryRange(t.Context(), all, "up", end, began, time.Second); return err }, domain.Invalid, "before"},
		{func() error { _, err := s.QueryRange(t.Context(), all, "up", began, end, time.Millisecond); return err }, domain.Invalid, "11,000"},
		{func() error { _, _, err := s.Series(t.Context(), all, []string{"{"}, began, end, 1); return err }, domain.Invalid, "selector"},
	} {
		if err := c.do(); !domain.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %s with %q", err, c.code, c.says)
		}
	}
}

// What contradicts what is kept is left out and counted, and the rest of its batch is kept; a clock that was set back does not stop anything.
func TestBadSamplesAreLeftOut(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	put(t, s, began, map[string]float64{`x{n="1"}`: 1})
	put(t, s, began, map[string]float64{`x{n="1"}`: 2, `x{n="2"}`: 2})
	put(t, s, began.Add(-30*time.Minute), map[string]float64{`x{n="1"}`: 3})
	put(t, s, began.Add(-2*time.Hour), map[string]float64{`x{n="1"}`: 4})
	if n, refused := s.Count(); n != 2 || refused != 2 {
		t.Errorf("%d series, %d refused", n, refused)
	}
	res, err := s.Query(t.Context(), View{All: true}, `x[3h]`, began)
	if got := text(t, res.Value); err != nil || !strings.Contains(got, `,"3"],[`+fmt.Sprint(began.Unix())+`,"1"]`) || !strings.Contains(got, `"2"`) {
		t.Errorf("%s, %v", got, err)
	}
}

// What was acknowledged is there after a crash: the files as they are at that moment open again, also with a torn end.
func TestACrashLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	defer s.Close()
	estate(t, s)
	for _, torn := range []bool{false, true} {
		crashed := t.TempDir()
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if torn {
			logs, err := filepath.Glob(filepath.Join(crashed, "wal", "0*"))
			if err != nil || len(logs) == 0 {
				t.Fatal(logs, err)
			}
			f, err := os.OpenFile(logs[len(logs)-1], os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("\x02\x00\xffhalf a record"); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		again := open(t, crashed, Options{})
		res, err := again.Query(t.Context(), View{All: true}, `count_over_time(novacron_host_up[1h])`, began.Add(10*time.Minute))
		if got := text(t, res.Value); err != nil || !strings.Contains(got, `"61"`) {
			t.Errorf("torn %v: %s, %v", torn, got, err)
		}
		if u := again.Usage(); u.Series != 3 || u.Bytes == 0 || !u.From.Equal(began) {
			t.Errorf("%+v", u)
		}
		put(t, again, began.Add(11*time.Minute), map[string]float64{`novacron_host_up{host="h1",host_id="host_1"}`: 0})
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	s := open(b, b.TempDir(), Options{})
	defer s.Close()
	var batch []Sample
	for vm := range 1000 {
		for m := range 45 {
			batch = append(batch, Sample{Labels: labels.FromStrings("__name__", fmt.Sprintf("m%d", m), "vm", fmt.Sprintf("v%d", vm), "vm_id", fmt.Sprintf("vm_%d", vm), "host", "h", "tenant", "")})
		}
	}
	at := began
	for b.Loop() {
		at = at.Add(10 * time.Second)
		if err := s.Append(b.Context(), at, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(batch)), "samples/op")
}

func TestCurves(t *testing.T) {
	s, err := Open(t.TempDir(), slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	now := time.Now().Truncate(time.Minute)
	for i := range 3 {
		if err := s.Append(t.Context(), now.Add(time.Duration(i-2)*time.Minute), []Sample{{Of("a", "vm", "x", "vm_id", "1"), float64(i)}, {Of("a", "vm", "y", "vm_id", "2"), 9}}); err != nil {
			t.Fatal(err)
		}
	}
	found, more, err := s.Curves(t.Context(), View{All: true}, `a`, now.Add(-10*time.Minute), now, time.Minute, 1)
	if err != nil || more != 1 || len(found) != 1 || len(found[0].Values) != 11 || found[0].Label("vm") != "x" || found[0].Values[10] != 2 || !math.IsNaN(found[0].Values[0]) || found[0].Pairs() != `{vm="x", vm_id="1"}` {
		t.Errorf("%+v %d %v", found, more, err)
	}
	if mine, _, err := s.Curves(t.Context(), View{VMs: []string{"2"}}, `a`, now, now, time.Minute, 5); err != nil || len(mine) != 1 || mine[0].Label("vm") != "y" {
		t.Errorf("%+v %v", mine, err)
	}
	if at, err := s.Now(t.Context(), View{All: true}, `sum(a)`, now); err != nil || len(at) != 1 || at[0].Values[0] != 11 {
		t.Errorf("%+v %v", at, err)
	}
	if at, err := s.Now(t.Context(), View{All: true}, `7`, now); err != nil || at[0].Values[0] != 7 {
		t.Errorf("%+v %v", at, err)
	}
	for _, expr := range []string{`"text"`, "sum("} {
		if _, err := s.Now(t.Context(), View{All: true}, expr, now); !domain.Is(err, domain.Invalid) {
			t.Errorf("%s: %v", expr, err)
		}
	}
	if _, _, err := s.Curves(t.Context(), View{All: true}, "sum(", now, now, time.Minute, 5); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	if names, err := s.MetricsIn("sum(rate(a[5m])) / b + a"); err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Error(names, err)
	}
	if _, err := s.MetricsIn("a("); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	if err := s.Read("a[5m]"); err != nil {
		t.Error(err)
	}
}
