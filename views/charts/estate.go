package charts

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/live"
)

// Estate is what the overview shows of what is measured: where the load is, what takes most, what happened.
type Estate struct {
	At       *url.URL
	Now      time.Time
	Hosts    bool // the person sees hosts
	Capacity []Capacity
	States   map[domain.VMState]int
	Map      Treemap
	Heat     Heat
	Top      []Top
	Changed  []domain.Event
	Jobs     []domain.Job
	Firing   []domain.Alert // the worst and newest
	Fires    int            // all that fire and are not quiet
	MayWatch bool           // the person sees alerts
	MayJobs  bool
}

// Capacity is how much of something there is, is given out and is used.
type Capacity struct {
	Label                  string
	Used, Allocated, Total float64
	Known                  bool   // Used was measured
	Unit                   string // bytes, or a word for what is counted
	URL                    string
}

func (c Capacity) amount(v float64) string {
	if c.Unit == "bytes" {
		return bytes(v)
	}
	return short(v) + " " + c.Unit
}

func (c Capacity) words() string {
	out := []string{"allocated " + c.amount(c.Allocated)}
	if c.Known {
		out = append([]string{"used " + c.amount(c.Used)}, out...)
	}
	if c.Total > 0 {
		out = append(out, "of "+c.amount(c.Total))
	}
	return strings.Join(out, " · ")
}

func (c Capacity) percent(v float64) float64 {
	if c.Total <= 0 {
		return 0
	}
	return v / c.Total * 100
}

func (c Capacity) width(v float64) string { return fmt.Sprintf("%.1f%%", min(c.percent(v), 100)) }

// Treemap is the estate as areas: as large as what a VM or host has, coloured by its load.
type Treemap struct {
	By    string // memory or cpu
	In    string // the host that is shown; empty: all
	Whole bool   // the cells are hosts
	Cells []Cell
}

// Cell is one VM or host.
type Cell struct {
	Name, URL, Group string
	Size             float64
	Load             float64 // percent; NaN: not known
	x, y, w, h       float64 // percent of the picture
}

func (m Treemap) amount(c Cell) string {
	if m.By == "cpu" {
		return short(c.Size) + " CPUs"
	}
	return bytes(c.Size)
}

// told is the line under the name.
func (m Treemap) told(c Cell) string {
	if math.IsNaN(c.Load) {
		return m.amount(c)
	}
	return fmt.Sprintf("%s · %.0f %%", m.amount(c), c.Load)
}

// label begins with what can be read on the cell, so that who speaks to the machine can say that.
func (m Treemap) label(c Cell) string {
	load := " of its CPU"
	if math.IsNaN(c.Load) {
		load = ", load not known"
	}
	out := c.Name + " " + m.told(c) + load
	if c.Group != "" {
		out += ", on " + c.Group
	}
	return out
}

// loadClass is the colour of a load; the steps are in the legend.
func loadClass(v float64) string {
	switch {
	case math.IsNaN(v):
		return "ln"
	case v < 5:
		return "l0"
	case v < 15:
		return "l1"
	case v < 30:
		return "l2"
	case v < 50:
		return "l3"
	case v < 75:
		return "l4"
	case v < 90:
		return "l5"
	}
	return "l6"
}

var loadSteps = []struct{ Class, Words string }{{"l0", "under 5 %"}, {"l1", "15"}, {"l2", "30"}, {"l3", "50"}, {"l4", "75"}, {"l5", "90"}, {"l6", "100 %"}}

// The picture's shape, for which areas are made as square as can be.
const mapRatio = 2.4

// Lay places the cells: those of one host beside each other.
func (m *Treemap) Lay() {
	var groups []Cell
	of := map[string][]int{}
	for i, c := range m.Cells {
		if _, known := of[c.Group]; !known {
			groups = append(groups, Cell{Group: c.Group})
		}
		of[c.Group] = append(of[c.Group], i)
	}
	for i := range groups {
		for _, k := range of[groups[i].Group] {
			groups[i].Size += m.Cells[k].Size
		}
	}
	squarify(groups, 0, 0, 100*mapRatio, 100)
	for _, g := range groups {
		inner := make([]Cell, 0, len(of[g.Group]))
		for _, k := range of[g.Group] {
			inner = append(inner, m.Cells[k])
		}
		squarify(inner, g.x, g.y, g.w, g.h)
		for n, k := range of[g.Group] {
			m.Cells[k] = inner[n] // in another order, which no one looks at
		}
	}
	for i := range m.Cells {
		m.Cells[i].x, m.Cells[i].w = m.Cells[i].x/mapRatio, m.Cells[i].w/mapRatio
	}
}

// squarify fills a box with areas, the largest first, in rows whose areas are as square as can be (Bruls, Huizing and van Wijk, 2000).
func squarify(cells []Cell, x, y, w, h float64) {
	slices.SortStableFunc(cells, func(a, b Cell) int {
		switch {
		case a.Size > b.Size:
			return -1
		case a.Size < b.Size:
			return 1
		}
		return strings.Compare(a.Name+a.Group, b.Name+b.Group)
	})
	total := 0.0
	for _, c := range cells {
		total += c.Size
	}
	if total <= 0 {
		return
	}
	scale := w * h / total
	for len(cells) > 0 && w > 0 && h > 0 {
		side := min(w, h)
		n, sum := 1, cells[0].Size*scale
		worst := ratio(cells[:1], sum, side, scale)
		for n < len(cells) {
			next := sum + cells[n].Size*scale
			r := ratio(cells[:n+1], next, side, scale)
			if r > worst {
				break
			}
			n, sum, worst = n+1, next, r
		}
		thick := sum / side
		at := 0.0
		for i := range cells[:n] {
			long := 0.0
			if thick > 0 {
				long = cells[i].Size * scale / thick
			}
			if w >= h {
				cells[i].x, cells[i].y, cells[i].w, cells[i].h = x, y+at, thick, long
			} else {
				cells[i].x, cells[i].y, cells[i].w, cells[i].h = x+at, y, long, thick
			}
			at += long
		}
		if w >= h {
			x, w = x+thick, w-thick
		} else {
			y, h = y+thick, h-thick
		}
		cells = cells[n:]
	}
}

// ratio is how far from square the worst of a row would be.
func ratio(row []Cell, sum, side, scale float64) float64 {
	worst := 0.0
	for _, c := range row {
		a := c.Size * scale
		if a <= 0 {
			continue
		}
		worst = max(worst, side*side*a/(sum*sum), sum*sum/(side*side*a))
	}
	return worst
}

func pct(v float64) string { return fmt.Sprintf("%.2f%%", v) }

// named reports whether there is room for a cell's name, and told also for its size.
func (c Cell) named() bool { return c.w > 4.5 && c.h > 6 }
func (c Cell) told() bool  { return c.w > 6 && c.h > 13 }

// Heat is the load of hosts over time.
type Heat struct {
	Rows []HeatRow
	More int
	From time.Time
	To   time.Time
}

// HeatRow is one host.
type HeatRow struct {
	Name, URL string
	Values    []float64 // percent
}

// paths are a row's squares, one path for each colour.
func (r HeatRow) paths() [][2]string {
	by := map[string]*strings.Builder{}
	for i, v := range r.Values {
		k := loadClass(v)
		if by[k] == nil {
			by[k] = &strings.Builder{}
		}
		fmt.Fprintf(by[k], "M%d 0h1v1h-1z", i)
	}
	var out [][2]string
	for _, k := range []string{"ln", "l0", "l1", "l2", "l3", "l4", "l5", "l6"} {
		if by[k] != nil {
			out = append(out, [2]string{k, by[k].String()})
		}
	}
	return out
}

func (r HeatRow) summary() string {
	s := Line{Values: r.Values}.summary()
	if !s.ok {
		return r.Name + ": nothing measured"
	}
	return fmt.Sprintf("%s: mean %.0f %%, most %.0f %%, last %.0f %%", r.Name, s.mean, s.most, s.last)
}

// Top is what takes most of something.
type Top struct {
	Title, Unit string
	Rows        []TopRow
}

// TopRow is one VM.
type TopRow struct {
	Name, URL, On string
	Value         float64
}

func (t Top) share(r TopRow) float64 {
	if len(t.Rows) == 0 || t.Rows[0].Value <= 0 {
		return 0
	}
	return r.Value / t.Rows[0].Value * 100
}

func (e Estate) with(pairs ...string) string {
	if e.At == nil {
		return live.Home
	}
	return live.With(e.At.RequestURI(), pairs...)
}

// slice is a part of a ring, in hundredths of it.
type slice struct {
	Word, Class, URL string
	N                int
	From, Len        float64
}

var stateTone = map[domain.VMState]string{domain.VMRunning: "s-ok", domain.VMPaused: "s-warn", domain.VMCrashed: "s-bad", domain.VMSaved: "s-info"}

func (e Estate) ring() (out []slice, total int) {
	for _, n := range e.States {
		total += n
	}
	at := 0.0
	for _, st := range domain.VMStates {
		n := e.States[st]
		if n == 0 {
			continue
		}
		class := stateTone[st]
		if class == "" {
			class = "s-none"
		}
		length := float64(n) / float64(total) * 100
		out = append(out, slice{Word: string(st), Class: class, URL: live.VMsWhere("state:" + string(st)), N: n, From: at, Len: length})
		at += length
	}
	return out, total
}

func (s slice) dash() string {
	return fmt.Sprintf("%.2f %.2f", max(s.Len-.6, .2), 100-max(s.Len-.6, .2))
}
func (s slice) offset() string { return fmt.Sprintf("%.2f", 25-s.From) }

// Area is how much of the picture the cells cover, in percent.
func (m Treemap) Area() float64 {
	out := 0.0
	for _, c := range m.Cells {
		out += c.w * c.h / 100
	}
	return out
}
