package alerting

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	x, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func berlin() domain.Rota { // a different one each day: sunday s0 … saturday s6
	return domain.Rota{ID: "rota_1", Name: "Ops", TimeZone: "Europe/Berlin", HandOver: "09:00", Days: [7]string{"s0", "s1", "s2", "s3", "s4", "s5", "s6"}}
}

func TestWhoIsOnCall(t *testing.T) {
	plain := berlin()
	stands := berlin()
	stands.Overrides = []domain.RotaOverride{
		{ID: "o1", From: at(t, "2026-03-10T12:00:00Z"), To: at(t, "2026-03-10T14:00:00Z"), Receiver: "x"},
		{ID: "o2", From: at(t, "2026-03-10T13:00:00Z"), To: at(t, "2026-03-10T15:00:00Z"), Receiver: "y"},
		{ID: "o3", From: at(t, "2026-03-11T08:00:00Z"), To: at(t, "2026-03-13T08:00:00Z")},
	}
	night := berlin()
	night.HandOver = "02:30" // there is none on the last Sunday of March, and two on that of October
	week := berlin()
	week.Days = [7]string{"a", "a", "a", "a", "a", "a", "a"}
	for _, c := range []struct {
		rota           domain.Rota
		at             string
		who            string
		from, to, over string
	}{
		{plain, "2026-03-10T07:59:59Z", "s1", "2026-03-09T08:00:00Z", "2026-03-10T08:00:00Z", ""}, // Tuesday before nine in Berlin: still Monday's
		{plain, "2026-03-10T08:00:00Z", "s2", "2026-03-10T08:00:00Z", "2026-03-11T08:00:00Z", ""},
		{plain, "2026-03-28T12:00:00Z", "s6", "2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", ""}, // the clock goes forward: 23 hours
		{plain, "2026-03-29T07:00:00Z", "s0", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z", ""},
		{plain, "2026-10-25T07:59:59Z", "s6", "2026-10-24T07:00:00Z", "2026-10-25T08:00:00Z", ""}, // and back: 25
		{plain, "2026-10-25T08:00:00Z", "s0", "2026-10-25T08:00:00Z", "2026-10-26T08:00:00Z", ""},
		{stands, "2026-03-10T12:30:00Z", "x", "2026-03-10T12:00:00Z", "2026-03-10T13:00:00Z", "o1"},
		{stands, "2026-03-10T13:30:00Z", "y", "2026-03-10T13:00:00Z", "2026-03-10T15:00:00Z", "o2"}, // the one that was made later
		{stands, "2026-03-10T15:00:00Z", "s2", "2026-03-10T15:00:00Z", "2026-03-11T08:00:00Z", ""},
		{stands, "2026-03-12T15:00:00Z", "", "2026-03-11T08:00:00Z", "2026-03-13T08:00:00Z", "o3"}, // over a hand-over, nobody
		{night, "2026-03-29T00:59:00Z", "s6", "2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", ""},
		{night, "2026-03-29T01:30:00Z", "s0", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z", ""},
		{week, "2026-03-10T12:00:00Z", "a", "2026-03-02T12:00:00Z", "2026-03-18T12:00:00Z", ""}, // as far as is looked
	} {
		s := OnCall(&c.rota, at(t, c.at))
		if s.Receiver != c.who || !s.From.Equal(at(t, c.from)) || !s.To.Equal(at(t, c.to)) || s.Override != c.over {
			t.Errorf("%s: %q from %s to %s by %q, want %q from %s to %s by %q", c.at, s.Receiver, s.From.UTC().Format(time.RFC3339), s.To.UTC().Format(time.RFC3339), s.Override, c.who, c.from, c.to, c.over)
		}
	}
}

// Stretches leave no gap and never overlap, over both changes of the clock, in zones of all kinds.
func TestStretchesCoverTheYear(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "UTC", "Nowhere/Land"} {
		for _, hour := range []string{"00:00", "02:30", "09:00", "23:59"} {
			r := berlin()
			r.TimeZone, r.HandOver = zone, hour
			r.Overrides = []domain.RotaOverride{{ID: "o", From: at(t, "2026-03-29T00:10:00Z"), To: at(t, "2026-03-29T00:20:00Z"), Receiver: "x"}}
			from, to := at(t, "2026-01-01T00:00:00Z"), at(t, "2027-01-01T00:00:00Z")
			all := Stretches(&r, from, to)
			next := from
			for _, s := range all {
				if !s.From.Equal(next) || !s.To.After(s.From) || s.To.Sub(s.From) > 26*time.Hour {
					t.Fatalf("%s %s: from %s to %s after %s", zone, hour, s.From, s.To, next)
				}
				next = s.To
			}
			if !next.Equal(to) || len(all) < 366 {
				t.Errorf("%s %s: %d stretches until %s", zone, hour, len(all), next)
			}
		}
	}
	r := berlin()
	if s := Stretches(&r, at(t, "2026-01-01T00:00:00Z"), at(t, "2026-01-01T00:00:00Z")); s != nil {
		t.Error(s)
	}
}

func TestEscalate(t *testing.T) {
	t0 := at(t, "2026-03-10T10:00:00Z") // Tuesday: s2
	rota := berlin()
	empty := berlin()
	empty.ID, empty.Name, empty.Days = "rota_2", "Night", [7]string{"s0", "s1", "", "s3", "s4", "s5", "s6"}
	desk := Desk{
		Escalations: []domain.Escalation{{ID: "esc_1", Name: "Critical", Matchers: []domain.Matcher{{Name: "severity", Op: "=", Value: "critical"}},
			Steps: []domain.EscalationStep{{To: "rota_1"}, {After: 15 * time.Minute, To: "rota_2"}, {After: 30 * time.Minute, To: "boss"}}}},
		Rotas:     map[string]*domain.Rota{"rota_1": &rota, "rota_2": &empty},
		Receivers: map[string]*domain.Receiver{"s2": {ID: "s2"}, "s3": {ID: "s3"}, "boss": {ID: "boss"}, "off": {ID: "off", Disabled: true}},
	}
	alert := func(change func(a *domain.Alert)) []domain.Alert {
		a := domain.Alert{ID: "a1", State: domain.AlertFiring, FiredAt: t0, Labels: map[string]string{"severity": "critical"}}
		if change != nil {
			change(&a)
		}
		return []domain.Alert{a}
	}
	step := func(n int, to string, after time.Duration) domain.Escalated {
		return domain.Escalated{AlertID: "a1", EscalationID: "esc_1", Step: n, ReceiverID: to, At: t0.Add(after)}
	}
	first := []domain.Escalated{step(0, "s2", 0)}
	for _, c := range []struct {
		name   string
		change func(a *domain.Alert)
		desk   func(d *Desk)
		done   []domain.Escalated
		after  time.Duration
		want   string // step=receiver …
		why    string
	}{
		{name: "it begins", want: "0=s2", why: "is on call in the rota Ops until Wed 09:00 CET (step 1 of Critical)"},
		{name: "pending", change: func(a *domain.Alert) { a.State = domain.AlertPending }},
		{name: "over", change: func(a *domain.Alert) { a.State = domain.AlertResolved }},
		{name: "quiet", change: func(a *domain.Alert) { a.Quiet = "silenced" }, after: time.Hour},
		{name: "another one", change: func(a *domain.Alert) { a.Labels = nil }},
		{name: "switched off", desk: func(d *Desk) { d.Escalations[0].Disabled = true }},
		{name: "nothing yet", done: first, after: 15*time.Minute - time.Second},
		{name: "acknowledged", change: func(a *domain.Alert) { a.AckedAt = t0 }, done: first, after: time.Hour},
		{name: "nobody on call is passed over", done: first, after: 15 * time.Minute, want: "1= 2=boss", why: "is named by the step, and the step before reached nobody (step 3 of Critical)"},
		{name: "the next", desk: func(d *Desk) { d.Rotas["rota_2"] = d.Rotas["rota_1"] }, done: first, after: 15 * time.Minute, want: "1=s2", why: "and nobody had acknowledged it within 15 min (step 2 of Critical)"},
		{name: "one after the other after a long stop", desk: func(d *Desk) { d.Rotas["rota_2"] = d.Rotas["rota_1"] }, done: first, after: 5 * time.Hour, want: "1=s2"},
		{name: "the end", done: append(slices.Clone(first), step(1, "", 15*time.Minute), step(2, "boss", 15*time.Minute)), after: 10 * time.Hour},
		{name: "the hand-over meanwhile", done: append(slices.Clone(first), step(1, "", 15*time.Minute), step(2, "boss", 15*time.Minute)), desk: func(d *Desk) { d.Escalations[0].Steps = d.Escalations[0].Steps[:1] }, after: 23 * time.Hour},
		{name: "who comes on call is told", done: first, desk: func(d *Desk) { d.Escalations[0].Steps = d.Escalations[0].Steps[:1] }, after: 23 * time.Hour, want: "0=s3", why: "came on call in the rota Ops at Wed 09:00 CET"},
		{name: "once", done: append(slices.Clone(first), step(0, "s3", 0)), desk: func(d *Desk) { d.Escalations[0].Steps = d.Escalations[0].Steps[:1] }, after: 24 * time.Hour},
		{name: "a stand-in", desk: func(d *Desk) {
			r := berlin()
			r.Overrides = []domain.RotaOverride{{ID: "o", From: t0, To: t0.Add(time.Hour), Receiver: "boss"}}
			d.Rotas["rota_1"] = &r
		}, want: "0=boss", why: "stands in on call in the rota Ops until Tue 12:00 CET"},
		{name: "switched off receivers", desk: func(d *Desk) {
			r := berlin()
			r.Days[2] = "off"
			d.Rotas["rota_1"] = &r
			d.Escalations[0].Steps = []domain.EscalationStep{{To: "rota_1"}, {After: time.Hour, To: "off"}, {After: time.Hour, To: "gone"}}
		}, want: "0= 1= 2=", why: "switched off or gone"},
	} {
		d := desk
		d.Rotas = map[string]*domain.Rota{"rota_1": &rota, "rota_2": &empty}
		d.Escalations = slices.Clone(desk.Escalations)
		if c.desk != nil {
			c.desk(&d)
		}
		got := Escalate(d, alert(c.change), c.done, t0.Add(c.after))
		var text []string
		for _, x := range got {
			text = append(text, fmt.Sprintf("%d=%s", x.Step, x.ReceiverID))
		}
		if have := strings.Join(text, " "); have != c.want || c.why != "" && !strings.Contains(got[len(got)-1].Why, c.why) {
			t.Errorf("%s: %q, want %q\n%+v", c.name, have, c.want, got)
		}
		if again := Escalate(d, alert(c.change), append(slices.Clone(c.done), got...), t0.Add(c.after)); len(again) != 0 {
			t.Errorf("%s: a second time %+v", c.name, again)
		}
	}
}

func TestWhatIsWrongWithRotas(t *testing.T) {
	good := berlin()
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(r *domain.Rota){
		"name":      func(r *domain.Rota) { r.Name = " " },
		"time_zone": func(r *domain.Rota) { r.TimeZone = "Mars/Base" },
		"hand_over": func(r *domain.Rota) { r.HandOver = "25:00" },
		"days":      func(r *domain.Rota) { r.Days = [7]string{} },
		"to": func(r *domain.Rota) {
			r.Overrides = []domain.RotaOverride{{From: time.Unix(10, 0), To: time.Unix(10, 0)}}
		},
		"overrides": func(r *domain.Rota) { r.Overrides = make([]domain.RotaOverride, domain.MaxOverrides+1) },
	} {
		r := berlin()
		change(&r)
		e, ok := r.Check().(*domain.Error)
		if !ok || !slices.ContainsFunc(e.Fields, func(f domain.FieldError) bool { return f.Field == field }) {
			t.Errorf("%s: %v", field, r.Check())
		}
	}
	for field, e := range map[string]domain.Escalation{
		"name":     {Steps: []domain.EscalationStep{{To: "x"}}},
		"steps":    {Name: "x", Steps: []domain.EscalationStep{{To: "x", After: -1}}},
		"matchers": {Name: "x", Steps: []domain.EscalationStep{{To: "x"}}, Matchers: []domain.Matcher{{Name: "a", Op: "?"}}},
	} {
		x, ok := e.Check().(*domain.Error)
		if !ok || len(x.Fields) == 0 || x.Fields[0].Field != field {
			t.Errorf("%s: %v", field, e.Check())
		}
	}
	if (&domain.Escalation{Name: "x"}).Check() == nil || !good.Names("s1") || good.Names("s9") {
		t.Error("an escalation without steps, or who is named")
	}
}
