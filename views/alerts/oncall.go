package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// OnCall is the page that says who is on call.
type OnCall struct {
	Rotas       []RotaWeek
	Escalations []domain.Escalation
	Names       map[string]string // of receivers and rotas
	Receives    int               // receivers that there are
}

// RotaWeek is a rota with who is on call now and in the next days.
type RotaWeek struct {
	Rota domain.Rota
	Now  Stretch
	Week []RotaDay
}

// Stretch is a time during which one receiver is on call.
type Stretch struct {
	From, To time.Time
	Receiver string // id; empty: nobody
	StandsIn bool
}

// RotaDay is one day of the rota's time zone, from midnight to midnight, with who is on call in it.
type RotaDay struct {
	Start, End time.Time
	Parts      []Stretch // without gaps
}

// RotaForm makes or changes a rota, and has others stand in.
type RotaForm struct {
	RotaWeek
	Receivers                []domain.Receiver
	Names                    map[string]string
	From, To, Receiver, Note string // as typed, of who stands in
	MayWrite                 bool
	Now                      time.Time
	Err, StandErr            *domain.Error
}

// EscalationForm makes or changes an escalation.
type EscalationForm struct {
	Escalation domain.Escalation
	Matchers   string
	Steps      []EscalationStep // as typed
	To         []ui.Option
	MayWrite   bool
	Err        *domain.Error
}

// EscalationStep is one line of the form.
type EscalationStep struct{ After, To string }

// Told is a step of an escalation that an alert has reached.
type Told struct {
	At       time.Time
	Receiver string // name; empty: nobody
	Why      string
}

var weekdays = []struct {
	Field, Label string
	Day          time.Weekday
}{{"monday", "Monday", 1}, {"tuesday", "Tuesday", 2}, {"wednesday", "Wednesday", 3}, {"thursday", "Thursday", 4}, {"friday", "Friday", 5}, {"saturday", "Saturday", 6}, {"sunday", "Sunday", 0}}

func (m RotaForm) options() []ui.Option {
	out := []ui.Option{{Label: "nobody"}}
	for _, r := range m.Receivers {
		out = append(out, ui.Option{Value: r.ID, Label: r.Name})
	}
	return out
}

func nameOf(names map[string]string, id string) string {
	if id == "" {
		return "nobody"
	}
	if n := names[id]; n != "" {
		return n
	}
	return "somebody who is gone"
}

func inZone(t time.Time, r domain.Rota) string { return t.In(r.Zone()).Format("Mon 2 Jan 15:04 MST") }

// The week is drawn as a picture of lines, one a day, each from midnight to midnight on the clock there.
const (
	weekLeft, weekWide = 74, 900
	weekRow, weekBar   = 28, 22
)

type bar struct {
	x, y, w  float64
	tone     int // of the receiver; -1: nobody
	label    string
	title    string
	standsIn bool
}

func (w RotaWeek) bars(names map[string]string) (out []bar) {
	tones := w.tones()
	for i, d := range w.Week {
		whole := d.End.Sub(d.Start).Seconds()
		for _, p := range d.Parts {
			b := bar{x: weekLeft + p.From.Sub(d.Start).Seconds()/whole*(weekWide-weekLeft), y: float64(i * weekRow), w: p.To.Sub(p.From).Seconds() / whole * (weekWide - weekLeft), tone: slices.Index(tones, p.Receiver), standsIn: p.StandsIn}
			name := nameOf(names, p.Receiver)
			b.title = name + ", " + inZone(p.From, w.Rota) + " to " + inZone(p.To, w.Rota)
			if p.StandsIn {
				b.title += ", stands in"
			}
			if room := int(b.w / 7.5); room >= 4 {
				b.label = name
				if r := []rune(name); len(r) > room {
					b.label = string(r[:room-1]) + "…"
				}
			}
			out = append(out, b)
		}
	}
	return out
}

// tones gives each receiver a colour, by the order in which the week names them.
func (w RotaWeek) tones() (out []string) {
	for _, d := range weekdays {
		if id := w.Rota.Days[d.Day]; id != "" && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, o := range w.Rota.Overrides {
		if o.Receiver != "" && !slices.Contains(out, o.Receiver) {
			out = append(out, o.Receiver)
		}
	}
	return out
}

func (w RotaWeek) box() string { return fmt.Sprintf("0 0 %d %d", weekWide, len(w.Week)*weekRow) }

// nowAt is where the line of now stands, over the days; negative: it is not in the picture.
func (w RotaWeek) nowAt(now time.Time) (x, y float64) {
	for i, d := range w.Week {
		if !now.Before(d.Start) && now.Before(d.End) {
			return weekLeft + now.Sub(d.Start).Seconds()/d.End.Sub(d.Start).Seconds()*(weekWide-weekLeft), float64(i * weekRow)
		}
	}
	return -1, 0
}

func (w RotaWeek) inWords(names map[string]string) string {
	var out []string
	last := ""
	for _, d := range w.Week {
		for _, p := range d.Parts {
			if n := nameOf(names, p.Receiver); n != last {
				out, last = append(out, "from "+inZone(p.From, w.Rota)+" "+n), n
			}
		}
	}
	return "Who is on call: " + strings.Join(out, ", ")
}

func coming(all []domain.RotaOverride, now time.Time) []domain.RotaOverride {
	var out []domain.RotaOverride
	for _, o := range all {
		if o.To.After(now) {
			out = append(out, o)
		}
	}
	return out
}

func rotaURL(r domain.Rota) string {
	if r.ID == "" {
		return live.Rotas
	}
	return live.Rota(r.ID)
}

func escalationURL(e domain.Escalation) string {
	if e.ID == "" {
		return live.Escalations
	}
	return live.Escalation(e.ID)
}

func stepText(i int, s domain.EscalationStep, names map[string]string) string {
	who := nameOf(names, s.To)
	switch {
	case s.After == 0:
		return fmt.Sprintf("%d. %s at once", i+1, who)
	case i == 0:
		return fmt.Sprintf("%d. %s after %s", i+1, who, minutes(s.After))
	}
	return fmt.Sprintf("%d. %s after %s more", i+1, who, minutes(s.After))
}

func minutes(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return d.String()
}

func afterHelp(i int) string {
	if i == 0 {
		return "Since the alert fired. Empty: at once."
	}
	return "Since the step before, if nobody has acknowledged the alert. Without somebody to tell, the step is left out."
}
