package alerting

import (
	"fmt"
	"slices"
	"time"

	"novacron/domain"
)

// Stretch is a time during which one receiver is on call.
type Stretch struct {
	From, To time.Time
	Receiver string // id; empty: nobody
	Override string // id of the override that it comes from; empty: from the week
	Note     string
}

// Stretches is who is on call from one time to another, without gaps, the earliest first. The hand-over is meant on the clock of the rota's time zone: a day
// on which that is set lasts 23 or 25 hours.
func Stretches(r *domain.Rota, from, to time.Time) []Stretch {
	if !to.After(from) {
		return nil
	}
	zone := r.Zone()
	hour, minute := r.HandsOverAt()
	y, m, d := from.In(zone).Date()
	day := func(n int) time.Time { return time.Date(y, m, d+n, hour, minute, 0, 0, zone) }
	cuts := []time.Time{from, to}
	add := func(t time.Time) {
		if t.After(from) && t.Before(to) {
			cuts = append(cuts, t)
		}
	}
	first := -1
	last := first
	for n := first; ; n++ {
		last = n
		add(day(n))
		if day(n).After(to) {
			break
		}
	}
	for _, o := range r.Overrides {
		add(o.From)
		add(o.To)
	}
	slices.SortFunc(cuts, time.Time.Compare)
	var out []Stretch
	n := first
	for i := 0; i+1 < len(cuts); i++ {
		at, end := cuts[i], cuts[i+1]
		if !end.After(at) {
			continue
		}
		for n < last && !day(n+1).After(at) {
			n++
		}
		s := Stretch{From: at, To: end, Receiver: r.Days[weekday(y, m, d+n)]}
		for _, o := range r.Overrides {
			if !o.From.After(at) && o.To.After(at) {
				s.Receiver, s.Override, s.Note = o.Receiver, o.ID, o.Note
			}
		}
		if k := len(out) - 1; k >= 0 && out[k].Receiver == s.Receiver && out[k].Override == s.Override {
			out[k].To = s.To
			continue
		}
		out = append(out, s)
	}
	return out
}

func weekday(y int, m time.Month, d int) time.Weekday {
	return time.Date(y, m, d, 12, 0, 0, 0, time.UTC).Weekday()
}

// OnCall is who is on call at a time, since when and until when; looked at is what is within eight days of it.
func OnCall(r *domain.Rota, at time.Time) Stretch {
	for _, s := range Stretches(r, at.Add(-8*24*time.Hour), at.Add(8*24*time.Hour)) {
		if !s.From.After(at) && s.To.After(at) {
			return s
		}
	}
	return Stretch{From: at, To: at}
}

// Desk is what escalating looks at beside the alerts: the escalations, and rotas and receivers by id.
type Desk struct {
	Escalations []domain.Escalation
	Rotas       map[string]*domain.Rota
	Receivers   map[string]*domain.Receiver
}

// Escalate tells which steps are reached now that were not before. done is what was reached of the alerts that stand, in the order in which it was. An alert goes
// on to the next step as long as it fires, is not quiet and nobody has acknowledged it; a step that reaches nobody is followed by the next at once. Who
// comes on call while an alert still waits to be acknowledged is told of it too.
func Escalate(d Desk, alerts []domain.Alert, done []domain.Escalated, now time.Time) []domain.Escalated {
	reached := map[[2]string][]domain.Escalated{}
	for _, x := range done {
		key := [2]string{x.AlertID, x.EscalationID}
		reached[key] = append(reached[key], x)
	}
	var out []domain.Escalated
	for i := range alerts {
		a := &alerts[i]
		if a.State != domain.AlertFiring || a.Quiet != "" || !a.AckedAt.IsZero() {
			continue
		}
		for j := range d.Escalations {
			e := &d.Escalations[j]
			if e.Disabled || !Matches(e.Matchers, a) {
				continue
			}
			out = append(out, d.climb(e, a, reached[[2]string{a.ID, e.ID}], now)...)
		}
	}
	return out
}

func (d Desk) climb(e *domain.Escalation, a *domain.Alert, was []domain.Escalated, now time.Time) (out []domain.Escalated) {
	told := map[string]bool{} // receivers
	at, next, idle := a.FiredAt, 0, false
	for _, x := range was {
		if x.ReceiverID != "" {
			told[x.ReceiverID] = true
		}
		if x.Step >= next {
			next, at, idle = x.Step+1, x.At, x.ReceiverID == ""
		}
	}
	if next > 0 && next <= len(e.Steps) {
		if r := d.Rotas[e.Steps[next-1].To]; r != nil { // the hand-over while it waits
			if s := OnCall(r, now); s.From.After(at) && d.can(s.Receiver) && !told[s.Receiver] {
				out = append(out, domain.Escalated{AlertID: a.ID, EscalationID: e.ID, Step: next - 1, ReceiverID: s.Receiver, At: at,
					Why: fmt.Sprintf("came on call in the rota %s at %s, and nobody had acknowledged it (step %d of %s)", r.Name, clock(s.From, r), next, e.Name)})
			}
		}
	}
	for ; next < len(e.Steps); next++ {
		s := e.Steps[next]
		if !idle && now.Sub(at) < s.After {
			return out
		}
		id, why := d.who(s.To, now)
		switch {
		case id != "" && next > 0 && !idle:
			why += fmt.Sprintf(", and nobody had acknowledged it within %s", short(s.After))
		case id != "" && next > 0:
			why += ", and the step before reached nobody"
		}
		idle, at = id == "", now
		out = append(out, domain.Escalated{AlertID: a.ID, EscalationID: e.ID, Step: next, ReceiverID: id, At: now, Why: why + fmt.Sprintf(" (step %d of %s)", next+1, e.Name)})
	}
	return out
}

// can tells whether a receiver can be told at all.
func (d Desk) can(id string) bool {
	r := d.Receivers[id]
	return r != nil && !r.Disabled
}

// who is told by a step, and why.
func (d Desk) who(to string, now time.Time) (id, why string) {
	if r := d.Rotas[to]; r != nil {
		s := OnCall(r, now)
		switch {
		case s.Receiver == "":
			return "", "nobody is on call in the rota " + r.Name
		case !d.can(s.Receiver):
			return "", "who is on call in the rota " + r.Name + " is switched off or gone"
		case s.Override != "":
			return s.Receiver, "stands in on call in the rota " + r.Name + " until " + clock(s.To, r)
		}
		return s.Receiver, "is on call in the rota " + r.Name + " until " + clock(s.To, r)
	}
	if d.can(to) {
		return to, "is named by the step"
	}
	return "", "who is named by the step is switched off or gone"
}

func clock(t time.Time, r *domain.Rota) string { return t.In(r.Zone()).Format("Mon 15:04 MST") }

func short(d time.Duration) string {
	switch {
	case d%time.Hour == 0 && d > 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return d.String()
}
