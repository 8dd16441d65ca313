package domain

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rota says who is on call, week by week the same: each day has one receiver, from the hour of hand-over on that day until the same hour of the next.
type Rota struct {
	ID        string
	Name      string
	TimeZone  string         // IANA name: in which the hand-over is meant
	HandOver  string         // "09:00"
	Days      [7]string      // ids of receivers, sunday first; empty: nobody
	Overrides []RotaOverride // who stands in, and when; where two overlap, the one that was made later holds
	CreatedAt time.Time
	Version   int64
}

// RotaOverride has somebody else on call for a while, or nobody.
type RotaOverride struct {
	ID       string    `json:"id"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Receiver string    `json:"receiver"` // id; empty: nobody
	Note     string    `json:"note"`
	By       string    `json:"by"`
}

// MaxOverrides is how many a rota keeps.
const MaxOverrides = 200

// Ref names the rota.
func (r *Rota) Ref() Ref { return Ref{Kind: "rota", ID: r.ID, Name: r.Name} }

// Zone is the time zone of the rota; UTC where its name means nothing here.
func (r *Rota) Zone() *time.Location {
	loc, err := time.LoadLocation(r.TimeZone)
	if err != nil || r.TimeZone == "" || r.TimeZone == "Local" {
		return time.UTC
	}
	return loc
}

// HandsOverAt is the time of day of the hand-over.
func (r *Rota) HandsOverAt() (hour, minute int) {
	t, err := time.Parse("15:04", r.HandOver)
	if err != nil {
		return 0, 0
	}
	return t.Hour(), t.Minute()
}

// Names tells whether the rota names a receiver.
func (r *Rota) Names(receiver string) bool {
	return slices.Contains(r.Days[:], receiver) || slices.ContainsFunc(r.Overrides, func(o RotaOverride) bool { return o.Receiver == receiver })
}

// Check finds what is wrong with the rota.
func (r *Rota) Check() error {
	var p Problems
	p.name(r.Name, "The rota needs a name.", "1 to 120 characters, such as Operations")
	if loc, err := time.LoadLocation(r.TimeZone); err != nil || r.TimeZone == "" || loc == time.Local {
		p.Add("time_zone", "“"+r.TimeZone+"” is not a time zone.", "for example Europe/Berlin or UTC")
	}
	if _, err := time.Parse("15:04", r.HandOver); err != nil {
		p.Add("hand_over", "“"+r.HandOver+"” is not a time of day.", "such as 09:00")
	}
	if !slices.ContainsFunc(r.Days[:], func(id string) bool { return id != "" }) {
		p.Add("days", "Nobody is on call on any day.", "a receiver for at least one day")
	}
	if len(r.Overrides) > MaxOverrides {
		p.Add("overrides", "There are too many who stand in.", fmt.Sprintf("at most %d", MaxOverrides))
	}
	for _, o := range r.Overrides {
		if !o.To.After(o.From) {
			p.Add("to", "The end is not after the beginning.", "a later time")
		} else if o.To.Sub(o.From) > 366*24*time.Hour {
			p.Add("to", "That is longer than a year.", "a shorter time, or other days in the week")
		}
		if len(o.Note) > 500 {
			p.Add("note", "The note is too long.", "at most 500 characters")
		}
	}
	return p.Err()
}

func (p *Problems) name(n, msg, fix string) {
	if n = strings.TrimSpace(n); n == "" || len(n) > 120 || strings.ContainsFunc(n, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		p.Add("name", msg, fix)
	}
}

// Escalation has alerts told step by step, to one after the other, until somebody looks after them.
type Escalation struct {
	ID        string
	Name      string
	Disabled  bool
	Matchers  []Matcher // which alerts; empty: all
	Steps     []EscalationStep
	CreatedAt time.Time
	Version   int64
}

// EscalationStep is one of its steps.
type EscalationStep struct {
	After time.Duration `json:"after"` // since the step before (the first: since it began), if nobody has acknowledged the alert
	To    string        `json:"to"`    // id of a rota or of a receiver
}

// MaxSteps is how many steps an escalation has at most.
const MaxSteps = 10

// Ref names the escalation.
func (e *Escalation) Ref() Ref { return Ref{Kind: "escalation", ID: e.ID, Name: e.Name} }

// Check finds what is wrong with the escalation.
func (e *Escalation) Check() error {
	var p Problems
	p.name(e.Name, "The escalation needs a name.", "1 to 120 characters, such as Critical")
	if len(e.Steps) == 0 || len(e.Steps) > MaxSteps {
		p.Add("steps", "The escalation does not say who is told.", fmt.Sprintf("1 to %d steps", MaxSteps))
	}
	for i, s := range e.Steps {
		if s.After < 0 || s.After > 7*24*time.Hour {
			p.Add("steps", fmt.Sprintf("Step %d waits for a time that cannot be.", i+1), "from 0s to 7d")
		}
		if s.To == "" {
			p.Add("steps", fmt.Sprintf("Step %d does not say who is told.", i+1), "a rota or a receiver")
		}
	}
	if err := p.Err(); err != nil {
		return err
	}
	return CheckMatchers("matchers", e.Matchers)
}

// Escalated is a step that an alert has reached, and who was told by it. It is kept, so that a server that is started anew goes on where it was.
type Escalated struct {
	AlertID      string
	EscalationID string
	Step         int    // from 0
	ReceiverID   string // empty: nobody was on call
	At           time.Time
	Why          string // in words, for who is told and for the log
}
