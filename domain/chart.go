package domain

import (
	"strconv"
	"strings"
	"time"
)

// ChartKind is how a chart is drawn.
type ChartKind string

// A line for each series; areas on top of each other, which add up; bars; or only the newest values as a table.
const (
	ChartLine  ChartKind = "line"
	ChartArea  ChartKind = "area"
	ChartBar   ChartKind = "bar"
	ChartTable ChartKind = "table"
)

// ChartKinds are all of them.
var ChartKinds = []ChartKind{ChartLine, ChartArea, ChartBar, ChartTable}

// ChartUnits are the units that a chart can be in; empty is a plain number.
var ChartUnits = []string{"", "percent", "bytes", "bytes/s", "seconds", "per second"}

// Chart is one picture of what was measured.
type Chart struct {
	ID      string       `json:"id"`
	Title   string       `json:"title"`
	Kind    ChartKind    `json:"kind" enum:"line,area,bar,table"`
	Unit    string       `json:"unit" enum:",percent,bytes,bytes/s,seconds,per second"`
	Wide    bool         `json:"wide,omitempty" doc:"Takes the whole width"`
	Queries []ChartQuery `json:"queries" nullable:"false" minItems:"1" maxItems:"20"`
	Long    []ChartQuery `json:"-"` // instead of them for a time that samples are not kept for any more: of hours
}

// ChartQuery gives some lines of a chart. In Expr $__rate_interval, $__interval and $__range stand for durations that fit the time that is shown, as in
// Grafana; in Legend {{name}} stands for the value of a label.
type ChartQuery struct {
	Expr   string `json:"expr" minLength:"1" maxLength:"5000" doc:"PromQL; $__rate_interval is a duration that fits what is shown"`
	Legend string `json:"legend" maxLength:"200" doc:"Name of its lines; {{host}} stands for the value of the label"`
}

// LegendOf names a series: by the template, or by its labels.
func LegendOf(template string, labels func(name string) string) string {
	var out strings.Builder
	for rest := template; ; {
		before, after, open := strings.Cut(rest, "{{")
		out.WriteString(before)
		if !open {
			return strings.TrimSpace(out.String())
		}
		name, next, closed := strings.Cut(after, "}}")
		if !closed {
			return strings.TrimSpace(out.String())
		}
		out.WriteString(labels(strings.TrimSpace(name)))
		rest = next
	}
}

// PromText quotes a value for a matcher of PromQL.
func PromText(s string) string { return strconv.Quote(s) }

// Span is the time that charts show.
type Span struct {
	Name       string // 1h …; empty: chosen by From and To
	Start, End time.Time
	Step       time.Duration // between two points
	Rate       time.Duration // over which counters' growth is taken
}

// Spans are those that are offered.
var Spans = []string{"15m", "1h", "6h", "24h", "7d"}

const (
	spanPoints = 300              // a chart has about so many
	spanLeast  = 10 * time.Second // samples do not come more often
	rateLeast  = time.Minute      // shorter, a late sample leaves a hole
	spanMost   = 2 * 366 * 24 * time.Hour
)

var spanLength = map[string]time.Duration{"15m": 15 * time.Minute, "1h": time.Hour, "6h": 6 * time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}

// Live reports whether the time goes on to now.
func (s Span) Live() bool { return s.Name != "" }

// SpanOf reads a time: the name of one that is offered, or from and to, in RFC 3339, as a browser's form writes them, or in seconds since 1970. Without any it
// is the last hour. Its ends lie on steps, so that a point means the same whenever it is asked for.
func SpanOf(name, from, to string, now time.Time) (Span, error) {
	s := Span{Name: name, End: now}
	switch {
	case from != "" || to != "":
		s.Name = ""
		var err error
		if s.Start, err = spanTime("from", from); err != nil {
			return s, err
		}
		if to != "" {
			if s.End, err = spanTime("to", to); err != nil {
				return s, err
			}
		}
		if !s.Start.Before(s.End) {
			return s, InvalidField("from", "The time ends before it begins.", "a time before the end")
		}
		if s.End.Sub(s.Start) > spanMost {
			return s, InvalidField("from", "That is longer than samples are kept.", "a later time")
		}
	case name == "":
		s.Name = "1h"
		fallthrough
	default:
		d, ok := spanLength[s.Name]
		if !ok {
			return s, InvalidField("range", "“"+name+"” is not a time that is offered.", strings.Join(Spans, ", "))
		}
		s.Start = now.Add(-d)
	}
	s.Step = stepFor(s.End.Sub(s.Start))
	s.Rate = max(rateLeast, s.Step)
	s.Start, s.End = s.Start.Truncate(s.Step), s.End.Truncate(s.Step)
	return s, nil
}

func spanTime(field, text string) (time.Time, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n < 1e11 {
		return time.Unix(n, 0).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, InvalidField(field, "“"+text+"” is not a time.", "such as 2026-01-31T18:00")
}

func stepFor(d time.Duration) time.Duration {
	for _, step := range []time.Duration{spanLeast, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour} {
		if d/step <= spanPoints {
			return step
		}
	}
	return 24 * time.Hour
}

// Longer is the span for what is kept by the hour: with a point an hour at most.
func (s Span) Longer() Span {
	s.Step = max(s.Step, time.Hour)
	s.Rate = s.Step
	s.Start, s.End = s.Start.Truncate(s.Step), s.End.Truncate(s.Step)
	return s
}

// Expand puts the durations into an expression.
func (s Span) Expand(expr string) string {
	return strings.NewReplacer(
		"${__rate_interval}", PromDuration(s.Rate), "$__rate_interval", PromDuration(s.Rate), "${__interval}", PromDuration(s.Step), "$__interval", PromDuration(s.Step),
		"${__range}", PromDuration(s.End.Sub(s.Start)), "$__range", PromDuration(s.End.Sub(s.Start)),
	).Replace(expr)
}

// PromDuration writes whole seconds as PromQL does.
func PromDuration(d time.Duration) string {
	secs := int64(d / time.Second)
	switch {
	case secs > 0 && secs%86400 == 0:
		return strconv.FormatInt(secs/86400, 10) + "d"
	case secs > 0 && secs%3600 == 0:
		return strconv.FormatInt(secs/3600, 10) + "h"
	case secs > 0 && secs%60 == 0:
		return strconv.FormatInt(secs/60, 10) + "m"
	}
	return strconv.FormatInt(secs, 10) + "s"
}
