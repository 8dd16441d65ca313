package alerting

import (
	"slices"
	"testing"
	"time"

	"novacron/domain"
)

var t0 = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

func alert(id, name, host, vm string, more ...string) domain.Alert {
	a := domain.Alert{ID: id, Name: name, State: domain.AlertFiring, HostID: host, VMID: vm, FiredAt: t0, Labels: map[string]string{"alertname": name, "host": host, "vm": vm}}
	for i := 0; i+1 < len(more); i += 2 {
		a.Labels[more[i]] = more[i+1]
	}
	a.Severity = a.Labels["severity"]
	return a
}

func TestMatchers(t *testing.T) {
	a := alert("1", "HostAway", "b1", "")
	for text, want := range map[string]bool{
		`host="b1"`: true, `host=b2`: false, `host!="b1"`: false, `alertname=~"Host.*"`: true, `alertname=~"Host"`: false, `alertname!~"Guest.*"`: true,
		`{host="b1", alertname="HostAway"}`: true, "host=b1\nalertname=X": false, `missing=""`: true, `missing!=""`: false, "": true, `host="b,1"`: false,
	} {
		m, err := domain.ParseMatchers("matchers", text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got := Matches(m, &a); got != want {
			t.Errorf("%q: %v", text, got)
		}
		if again, err := domain.ParseMatchers("m", domain.MatchersText(m)); err != nil || !slices.Equal(again, m) {
			t.Errorf("%q is read as %v (%v)", text, again, err)
		}
	}
	for _, text := range []string{"host", "host=~\"(\"", "ho-st=x", "=x"} {
		if _, err := domain.ParseMatchers("matchers", text); !domain.Is(err, domain.Invalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestQuiet(t *testing.T) {
	away := alert("away", "HostAway", "b1", "", InhibitsLabel, "host")
	guest := alert("guest", "GuestSlow", "b1", "vm_1")
	other := alert("other", "GuestSlow", "b2", "vm_2")
	third := alert("third", "Pool", "b3", "")
	warn, crit := alert("warn", "Fills", "b4", "", "severity", "warning"), alert("crit", "Fills", "b4", "", "severity", "critical")
	crash, slow := alert("crash", "Crash", "b5", "vm_5", InhibitsLabel, "vm"), alert("slow", "Slow", "b5", "vm_5")
	over := alert("over", "HostAway", "b1", "")
	over.State = domain.AlertResolved
	got := Quiet([]domain.Alert{away, guest, other, third, warn, crit, crash, slow, over},
		[]domain.Silence{{ID: "sil", Matchers: []domain.Matcher{{Name: "host", Op: "=", Value: "b2"}}, StartsAt: t0, EndsAt: t0.Add(time.Hour), CreatedBy: "ada", Comment: "known"},
			{ID: "past", Matchers: []domain.Matcher{{Name: "alertname", Op: "=~", Value: ".+"}}, StartsAt: t0.Add(-time.Hour), EndsAt: t0}},
		map[string]string{"b3": "b3"}, t0)
	want := map[string]Why{"guest": {Text: "explained by HostAway on b1"}, "other": {"silenced by ada: known", "sil"}, "third": {Text: "the host b3 is in maintenance"}, "warn": {Text: "explained by Fills on b4"}, "slow": {Text: "explained by Crash on vm_5"}}
	if len(got) != len(want) {
		t.Errorf("%+v", got)
	}
	for id, w := range want {
		if got[id] != w {
			t.Errorf("%s: %+v, want %+v", id, got[id], w)
		}
	}
}

func TestPlan(t *testing.T) {
	r := domain.Receiver{ID: "r", GroupBy: []string{"host"}, Wait: time.Minute, Repeat: time.Hour, Resolved: true}
	a, b := alert("a", "X", "b1", ""), alert("b", "Y", "b1", "")
	last := map[string]domain.Notification{}
	step := func(at time.Duration, alerts ...domain.Alert) []domain.Notification {
		t.Helper()
		out := Plan(&r, alerts, last, nil, t0.Add(at))
		for _, n := range out {
			last[n.Group] = n
		}
		return out
	}
	sent := func() {
		for k, n := range last {
			n.State = domain.NotificationSent
			last[k] = n
		}
	}
	if n := step(0, a); len(n) != 1 || !slices.Equal(n[0].Firing, []string{"a"}) || n[0].Group != `{host="b1"}` {
		t.Fatalf("%+v", n)
	}
	if n := step(5*time.Second, a); len(n) != 0 {
		t.Fatalf("said twice: %+v", n)
	}
	if n := step(10*time.Second, a, b); len(n) != 1 || len(n[0].Firing) != 2 {
		t.Fatalf("what waits to be sent is not made to say all: %+v", n)
	}
	sent()
	c := alert("c", "Z", "b1", "")
	if n := step(20*time.Second, a, b, c); len(n) != 0 {
		t.Fatalf("too soon: %+v", n)
	}
	if n := step(80*time.Second, a, b, c); len(n) != 1 || len(n[0].Firing) != 3 {
		t.Fatalf("%+v", n)
	}
	sent()
	if n := step(30*time.Minute, a, b, c); len(n) != 0 {
		t.Fatalf("%+v", n)
	}
	acked := func(x domain.Alert) domain.Alert { x.AckedAt = t0; return x }
	if n := step(2*time.Hour, acked(a), acked(b), acked(c)); len(n) != 0 {
		t.Fatalf("somebody looks after all of them: %+v", n)
	}
	if n := step(2*time.Hour, a, b, acked(c)); len(n) != 1 {
		t.Fatalf("not told again: %+v", n)
	}
	sent()
	a.State, b.Quiet = domain.AlertResolved, "silenced"
	if n := step(3*time.Hour-time.Minute, a, b, c); len(n) != 1 || !slices.Equal(n[0].Firing, []string{"c"}) || !slices.Equal(n[0].Resolved, []string{"a"}) {
		t.Fatalf("%+v", n)
	}
	sent()
	c.State = domain.AlertResolved
	if n := step(4*time.Hour, c); len(n) != 1 || len(n[0].Firing) != 0 || !slices.Equal(n[0].Resolved, []string{"c"}) {
		t.Fatalf("%+v", n)
	}
	sent()
	if n := step(9*time.Hour, c); len(n) != 0 {
		t.Fatalf("%+v", n)
	}
	r.Tenant = "tnt_1"
	if n := step(10*time.Hour, alert("d", "X", "b1", "")); len(n) != 0 {
		t.Fatalf("not its tenant's: %+v", n)
	}
	r.Disabled = true
	if n := step(11*time.Hour, alert("d", "X", "b1", "")); len(n) != 0 {
		t.Fatalf("%+v", n)
	}
}

func TestCorrelate(t *testing.T) {
	late := alert("late", "X", "b1", "")
	late.FiredAt = t0.Add(time.Hour)
	old := alert("old", "X", "b3", "vm_3")
	old.IncidentID = "inc_1"
	got := Correlate([]domain.Alert{alert("a", "HostAway", "b1", ""), alert("b", "PoolFull", "b1", ""), alert("alone", "X", "b2", ""), late, old, alert("joins", "Y", "b3", "")}, nil)
	if len(got) != 2 || !slices.Equal(got["a"].Alerts, []string{"a", "b"}) || got["joins"].Incident != "inc_1" {
		t.Errorf("%+v", got)
	}
	links := Links{"x": {"network:lan"}, "y": {"network:lan", "pool:x"}}
	x, y := alert("x", "A", "b1", "vm_1"), alert("y", "B", "b2", "vm_2")
	if c := Connected(&x, &y, links); c != "the same network" {
		t.Error(c)
	}
	x.Tenant, y.Tenant, y.Name = "t", "t", "A"
	if c := Connected(&x, &y, nil); c != "the same tenant" {
		t.Error(c)
	}
	y.VMID = x.VMID
	if c := Connected(&x, &y, nil); c != "the same VM" {
		t.Error(c)
	}
	away := alert("z", "HostAway", "b1", "", InhibitsLabel, "host")
	if id, _ := Cause([]domain.Alert{x, away}, []domain.Job{{ID: "job_1"}}); id != "z" {
		t.Error(id)
	}
	if id, text := Cause([]domain.Alert{x, y}, []domain.Job{{ID: "job_1", Title: "Move web"}}); id != "job_1" || text == "" {
		t.Error(id, text)
	}
	if id, _ := Cause(nil, nil); id != "" {
		t.Error(id)
	}
	if title := TitleOf([]domain.Alert{x, away, y}, func(id string) string { return id }); title != "A, HostAway on b1, b2" {
		t.Error(title)
	}
	if Backoff(1) != 5*time.Second || Backoff(50) != 5*time.Minute {
		t.Error(Backoff(1), Backoff(50))
	}
}

func TestSilencesAreChecked(t *testing.T) {
	one := []domain.Matcher{{Name: "host", Op: "=", Value: "b1"}}
	for field, s := range map[string]domain.Silence{
		"matchers": {Comment: "x", StartsAt: t0, EndsAt: t0.Add(time.Hour), Matchers: []domain.Matcher{{Name: "host", Op: "=~", Value: ".*"}}},
		"ends_at":  {Comment: "x", StartsAt: t0, EndsAt: t0, Matchers: one},
		"comment":  {StartsAt: t0, EndsAt: t0.Add(time.Hour), Matchers: one},
	} {
		err, _ := s.Check().(*domain.Error)
		if err == nil || err.Fields[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if s := (domain.Silence{Comment: "x", StartsAt: t0, EndsAt: t0.Add(time.Hour), Matchers: one}); s.Check() != nil || s.State(t0.Add(-1)) != "pending" || s.State(t0) != "active" || s.State(t0.Add(time.Hour)) != "expired" {
		t.Errorf("%v", s.Check())
	}
}
