// Package charts shows what was measured: sets of charts over one time, with the choice of the time, and for each chart the same as a table.
//
// The lines are drawn by static/js/charts.js from the numbers that stand in the page; without the script the tables tell the same. It is not for asking: handlers
// fill the models.
package charts

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/live"
)

// Refreshes are how often live charts go on, as they stand in the address; the first needs no word there.
var Refreshes = []string{"10s", "30s", "1m", "5m", "off"}

// Set is the charts of a page, over one time.
type Set struct {
	At      *url.URL // the page's address
	Span    domain.Span
	Refresh string
	Charts  []Drawn
	Marks   []Mark
	Since   time.Time // of the oldest sample; zero: nothing was measured yet
	Wrong   *domain.Error
	Off     bool // nothing is measured here
}

// Drawn is a chart with its numbers.
type Drawn struct {
	Chart  domain.Chart
	Times  []int64 // seconds since 1970
	Lines  []Line
	More   int // lines that were left out
	Wrong  string
	ByHour bool // it is of what is kept by the hour
}

// Line is one series: a value for each time, NaN where there is none.
type Line struct {
	Name   string
	Values []float64
}

// Mark is something that happened, on the time axis.
type Mark struct {
	At   time.Time
	Text string
	Tone string
	URL  string
}

// with is the page's address with something else in it.
func (s Set) with(pairs ...string) string { return live.With(s.address().RequestURI(), pairs...) }

func (s Set) address() *url.URL {
	if s.At == nil {
		return &url.URL{Path: live.Home}
	}
	return s.At
}

func (s Set) rangeURL(name string) string { return s.with("range", name, "from", "", "to", "") }

func (s Set) chosen() string {
	return s.Span.Start.Format("2 Jan 15:04") + " to " + s.Span.End.Format("2 Jan 15:04") + " UTC"
}

func field(t time.Time) string { return t.UTC().Format("2006-01-02T15:04") }

// kept are the address's other parts, for the form of a time of one's own.
func (s Set) kept() [][2]string {
	var out [][2]string
	q := s.address().Query()
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if name == "range" || name == "from" || name == "to" {
			continue
		}
		for _, v := range q[name] {
			out = append(out, [2]string{name, v})
		}
	}
	return out
}

// data is what the script draws from.
type data struct {
	ID    string     `json:"id"`
	Title string     `json:"title"`
	Kind  string     `json:"kind"`
	Unit  string     `json:"unit"`
	From  int64      `json:"from"`
	To    int64      `json:"to"`
	Step  int64      `json:"step"`
	Live  bool       `json:"live"`
	T     []int64    `json:"t"`
	Lines []dataLine `json:"lines"`
}

type dataLine struct {
	N string    `json:"n"`
	V []*number `json:"v"`
}

// number is written with six digits: more is not seen.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(n), 'g', 6, 64), nil
}

func numbers(values []float64) []*number {
	out := make([]*number, len(values))
	for i, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			n := number(v)
			out[i] = &n
		}
	}
	return out
}

func (s Set) data(d Drawn) string {
	out := data{ID: d.Chart.ID, Title: d.Chart.Title, Kind: string(d.Chart.Kind), Unit: d.Chart.Unit, From: s.Span.Start.Unix(), To: s.Span.End.Unix(), Step: int64(s.Span.Step / time.Second), Live: s.Span.Live() && s.Refresh != "off", T: d.Times, Lines: []dataLine{}}
	for _, l := range d.Lines {
		out.Lines = append(out.Lines, dataLine{l.Name, numbers(l.Values)})
	}
	return encoded(out)
}

func (s Set) marks() string {
	type mark struct {
		T int64  `json:"t"`
		X string `json:"x"`
		C string `json:"c"`
	}
	out := []mark{}
	for _, m := range s.Marks {
		out = append(out, mark{m.At.Unix(), m.Text, m.Tone})
	}
	return encoded(out)
}

func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null" // numbers and texts always can be
	}
	return string(b)
}

// Points is what was measured last, for charts that are shown: by chart, by line.
type Points struct {
	T  int64                        `json:"t"`
	Of map[string]map[string]number `json:"of"`
}

// Add adds a value.
func (p *Points) Add(chart, line string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if p.Of == nil {
		p.Of = map[string]map[string]number{}
	}
	if p.Of[chart] == nil {
		p.Of[chart] = map[string]number{}
	}
	p.Of[chart][line] = number(v)
}

func (p Points) data() string { return encoded(p) }

// summary is what a line's row of the table says.
type summary struct {
	last, least, mean, most float64
	ok                      bool
}

func (l Line) summary() summary {
	s := summary{least: math.Inf(1), most: math.Inf(-1)}
	n := 0
	for _, v := range l.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		n++
		s.last, s.least, s.most, s.mean = v, min(s.least, v), max(s.most, v), s.mean+v
	}
	s.mean, s.ok = s.mean/float64(max(n, 1)), n > 0
	return s
}

// Amount writes a value with its unit.
func Amount(v float64, unit string) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case unit == "percent":
		return short(v) + " %"
	case unit == "bytes":
		return bytes(v)
	case unit == "bytes/s":
		return bytes(v) + "/s"
	case unit == "seconds":
		return seconds(v)
	case unit == "per second":
		return short(v) + "/s"
	}
	return short(v)
}

func short(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 1e9:
		return fmt.Sprintf("%.1f G", v/1e9)
	case a >= 1e6:
		return fmt.Sprintf("%.1f M", v/1e6)
	case a >= 1e4:
		return fmt.Sprintf("%.1f k", v/1e3)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a < 0.01:
		return fmt.Sprintf("%.2g", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func bytes(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for math.Abs(v) >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%.0f B", v)
	}
	return strings.Replace(fmt.Sprintf("%.3g", v), "e+03", "000", 1) + " " + units[i]
}

func seconds(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0 s"
	case a < 1e-3:
		return fmt.Sprintf("%.0f µs", v*1e6)
	case a < 1:
		return fmt.Sprintf("%.3g ms", v*1e3)
	}
	return fmt.Sprintf("%.3g s", v)
}

// CSV is where a chart's numbers are to be had as a file.
func (s Set) csv(c domain.Chart) string {
	v := url.Values{"title": {c.Title}}
	for _, q := range c.Queries {
		v.Add("q", q.Expr)
		v.Add("l", q.Legend)
	}
	if s.Span.Live() {
		v.Set("range", s.Span.Name)
	} else {
		v.Set("from", strconv.FormatInt(s.Span.Start.Unix(), 10))
		v.Set("to", strconv.FormatInt(s.Span.End.Unix(), 10))
	}
	return live.ChartCSV + "?" + v.Encode()
}

// prom are a chart's expressions with the durations that it was asked with.
func (s Set) prom(c domain.Chart) string {
	var out []string
	for _, q := range c.Queries {
		out = append(out, s.Span.Expand(q.Expr))
	}
	return strings.Join(out, "\n\n")
}

func (d Drawn) key() string { return "chart-" + d.Chart.ID }

// empty reports whether no chart has a line.
func (s Set) empty() bool {
	for _, d := range s.Charts {
		if len(d.Lines) > 0 || d.Wrong != "" {
			return false
		}
	}
	return true
}

func (s Set) since() string {
	if s.Since.IsZero() {
		return "Measuring begins with the next look at the host, within ten seconds of its being connected."
	}
	return "Nothing was measured in this time. Samples are collected since " + s.Since.UTC().Format("2 January 2006, 15:04") + " UTC."
}
