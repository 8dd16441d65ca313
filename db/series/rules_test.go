package series

import (
	"maps"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

func TestARulesMistakesAreShownWhereTheyAre(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	for _, c := range []struct {
		rule  domain.AlertRule
		field string
		says  string
	}{
		{domain.AlertRule{Name: "A", Expr: "sum(\n  rate(x[5m]) +"}, "expr", "line 2, column"},
		{domain.AlertRule{Name: "A", Expr: "up[5m]"}, "expr", "range vector"},
		{domain.AlertRule{Name: "A"}, "expr", "missing"},
		{domain.AlertRule{Expr: "up"}, "name", "name"},
		{domain.AlertRule{Name: "A", Expr: "up", For: -time.Second}, "for", "wait"},
		{domain.AlertRule{Name: "A", Expr: "up", Labels: map[string]string{"a-b": "x"}}, "labels", "a-b"},
		{domain.AlertRule{Name: "A", Expr: "up", Labels: map[string]string{"alertname": "x"}}, "labels", "alertname"},
		{domain.AlertRule{Name: "A", Expr: "up", Annotations: map[string]string{"summary": "{{ $labels.x"}}, "annotations", "summary"},
		{domain.AlertRule{Name: "A", Expr: "up", Labels: map[string]string{"team": "{{ .nothing }"}}, "labels", "team"},
	} {
		err := s.CheckRule(c.rule)
		e, ok := err.(*domain.Error)
		if !ok || e.Code != domain.Invalid || len(e.Fields) == 0 || e.Fields[0].Field != c.field || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.rule, err)
		}
		if _, err := s.NewRule(c.rule, ""); err == nil {
			t.Errorf("%+v can be made ready", c.rule)
		}
	}
}

// An alert is pending, fires, is kept firing, and is over; its times go on in a rule that was restored.
func TestJudging(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	rule := domain.AlertRule{Name: "Away", Expr: "novacron_host_up == 0", For: 30 * time.Second, KeepFiringFor: 20 * time.Second, Labels: map[string]string{"severity": "critical"},
		Annotations: map[string]string{"summary": "{{ $labels.host }} is at {{ $value }}"}}
	r, err := s.NewRule(rule, "https://n.example.org")
	if err != nil {
		t.Fatal(err)
	}
	up := func(n int, v float64) time.Time {
		at := began.Add(time.Duration(n) * 10 * time.Second)
		put(t, s, at, map[string]float64{`novacron_host_up{host="h1",host_id="host_1"}`: v, `novacron_host_up{host="h2",host_id="host_2"}`: 1})
		return at
	}
	judge := func(at time.Time) []Standing {
		t.Helper()
		out, err := s.Judge(t.Context(), View{All: true}, r, at)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := judge(up(0, 1)); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
	from := up(1, 0)
	got := judge(from)
	if len(got) != 1 || got[0].State != domain.AlertPending || !got[0].ActiveAt.Equal(from) {
		t.Fatalf("%+v", got)
	}
	if want := map[string]string{"alertname": "Away", "host": "h1", "host_id": "host_1", "severity": "critical"}; !maps.Equal(got[0].Labels, want) || got[0].Annotations["summary"] != "h1 is at 0" {
		t.Errorf("%+v", got[0])
	}
	judge(up(2, 0))
	if r, err = s.NewRule(rule, ""); err != nil { // the server is started anew
		t.Fatal(err)
	}
	if err := r.Restore(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	fired := up(4, 0)
	if got = judge(fired); got[0].State != domain.AlertFiring || !got[0].ActiveAt.Equal(from) || !got[0].FiredAt.Equal(fired) {
		t.Fatalf("%+v", got)
	}
	if r, err = s.NewRule(rule, ""); err != nil {
		t.Fatal(err)
	}
	if err := r.Restore(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	if got = judge(up(5, 1)); len(got) != 1 || got[0].State != domain.AlertFiring || !got[0].FiredAt.Equal(fired) {
		t.Fatalf("it is not kept firing: %+v", got)
	}
	if got = judge(up(8, 1)); got[0].State != domain.AlertResolved {
		t.Fatalf("%+v", got)
	}
	res, err := s.Query(t.Context(), View{All: true}, `count_over_time(ALERTS{alertstate="firing"}[5m])`, began.Add(81*time.Second))
	if err != nil || !strings.Contains(text(t, res.Value), `"alertname":"Away"`) {
		t.Errorf("%s (%v)", text(t, res.Value), err)
	}
	if none, err := s.Judge(t.Context(), View{}, r, up(9, 0)); err != nil || len(none) != 1 || none[0].State != domain.AlertResolved {
		t.Errorf("a rule sees what its view does not show: %+v (%v)", none, err)
	}
	bad, err := s.NewRule(domain.AlertRule{Name: "X", Expr: `label_replace(novacron_host_up, "host", "x", "", "")`, Labels: map[string]string{"host_id": "x"}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Judge(t.Context(), View{All: true}, bad, up(10, 0)); err == nil {
		t.Error("two alerts are one")
	}
}

func TestPreview(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	for i := range 240 { // an hour: away from minute 10 to 20, for 20 s at minute 30, and from minute 50 on
		v := 1.0
		if m := i / 4; m >= 10 && m < 20 || i == 120 || m >= 50 {
			v = 0
		}
		put(t, s, began.Add(time.Duration(i)*15*time.Second), map[string]float64{`novacron_host_up{host="h1"}`: v})
	}
	now := began.Add(239 * 15 * time.Second)
	found, grain, err := s.Preview(t.Context(), View{All: true}, domain.AlertRule{Name: "A", Expr: "novacron_host_up == 0", For: 2 * time.Minute}, now, time.Hour-15*time.Second)
	if err != nil || grain != 15*time.Second || len(found) != 2 {
		t.Fatalf("%+v, %v, %v", found, grain, err)
	}
	if !found[0].To.IsZero() || !found[0].From.Equal(began.Add(52*time.Minute)) || found[0].Labels["host"] != "h1" {
		t.Errorf("%+v", found[0])
	}
	if !found[1].From.Equal(began.Add(12*time.Minute)) || !found[1].To.Equal(began.Add(20*time.Minute)) {
		t.Errorf("%+v", found[1])
	}
	if _, _, err := s.Preview(t.Context(), View{All: true}, domain.AlertRule{Name: "A", Expr: "("}, now, time.Hour); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
}

func TestRuleFiles(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	defer s.Close()
	found, left, err := s.ReadRules([]byte(`
groups:
- name: mine
  labels: {team: red}
  rules:
  - record: job:up:sum
    expr: sum(up)
  - alert: Down
    expr: |
      up == 0
    for: 5m
    keep_firing_for: 1m
    labels: {severity: critical}
    annotations: {summary: 'It says "no": {{ $labels.instance }}'}
`))
	if err != nil || len(found) != 1 || len(left) != 1 || found[0].Labels["team"] != "red" || found[0].For != 5*time.Minute || found[0].Group != "mine" {
		t.Fatalf("%+v %v %v", found, left, err)
	}
	again, _, err := s.ReadRules(WriteRules(found))
	if err != nil || len(again) != 1 || again[0].Expr != found[0].Expr || again[0].KeepFiringFor != time.Minute || !maps.Equal(again[0].Annotations, found[0].Annotations) || !maps.Equal(again[0].Labels, found[0].Labels) {
		t.Errorf("%+v (%v) of\n%s", again, err, WriteRules(found))
	}
	if none, _, err := s.ReadRules(WriteRules(nil)); err != nil || len(none) != 0 {
		t.Errorf("%v %v", none, err)
	}
	for text, says := range map[string]string{
		"groups:\n- name: a\n  rules:\n  - alert: B\n    expr: 'sum('\n":  "line 5",
		"groups:\n- name: a\n  rulez: []\n":                               "line 3",
		"groups: [":                                                       "line 1",
		"groups:\n- name: a\n  rules:\n  - alert: B\n    expr: 'x[1m]'\n": "range vector",
	} {
		if _, _, err := s.ReadRules([]byte(text)); !domain.Is(err, domain.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if d, err := ReadDuration("for", " 90s "); err != nil || Duration(d) != "1m30s" {
		t.Errorf("%v %v", d, err)
	}
	if _, err := ReadDuration("for", "soon"); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
}
