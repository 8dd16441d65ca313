package alerts

import (
	"fmt"
	"slices"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// The picture of an incident: hosts at the left, VMs in the middle, what they hang on at the right.
const (
	boxW, boxH   = 190, 36
	boxGap       = 12
	columnGap    = 90
	boxesMost    = 12 // in a column: beyond these it is not looked at any more
	pictureEdge  = 10
	pictureWidth = 2*pictureEdge + 3*boxW + 2*columnGap
)

// box is one thing of the picture.
type box struct {
	id, name, url, word string
	tone                string // of its alerts; empty: it has none
	cause               bool
	x, y                int
}

type edge struct{ from, to string }

// graph is what is connected.
type graph struct {
	columns [3][]*box
	edges   []edge
	more    int // things that are not drawn
	height  int
}

func (m IncidentPage) graph(maySee func(permission string) bool) graph {
	var g graph
	at := map[string]*box{}
	add := func(column int, id, name, url, word string) *box {
		if b := at[id]; b != nil {
			return b
		}
		b := &box{id: id, name: name, url: url, word: word}
		at[id] = b
		if len(g.columns[column]) == boxesMost {
			g.more++
			return b
		}
		g.columns[column] = append(g.columns[column], b)
		return b
	}
	join := func(a, b string) {
		if e := (edge{a, b}); !slices.Contains(g.edges, e) {
			g.edges = append(g.edges, e)
		}
	}
	of := map[string]*box{} // the thing that an alert is about
	for _, a := range m.Alerts {
		var b, host *box
		if a.HostID != "" {
			url := ""
			if maySee("host.read") {
				url = live.Host(a.HostID)
			}
			host = add(0, a.HostID, m.Names[a.HostID], url, "host")
			b = host
		}
		if a.VMID != "" {
			b = add(1, a.VMID, m.Names[a.VMID], live.VM(a.VMID), "VM")
			if host != nil {
				join(host.id, b.id)
			}
		}
		of[a.ID] = b
	}
	for _, t := range m.Ties {
		b := of[t.AlertID]
		if b == nil || !maySee(t.Kind+".read") {
			continue
		}
		url := live.Pool(t.ID)
		if t.Kind == "network" {
			url = live.Network(t.ID)
		}
		x := add(2, t.ID, t.Name, url, t.Kind)
		join(b.id, x.id)
		for _, a := range m.Alerts {
			if a.ID == t.AlertID && a.VMID == "" && t.Kind == "pool" { // it is about the pool itself
				of[a.ID] = x
			}
		}
	}
	for _, a := range m.Alerts {
		b := of[a.ID]
		if b == nil {
			continue
		}
		if a.State == domain.AlertFiring && b.tone != ui.Bad {
			b.tone = stateLook(a).tone
		}
		b.cause = b.cause || a.ID == m.Incident.CauseID
	}
	for c, column := range g.columns {
		for i, b := range column {
			b.x, b.y = pictureEdge+c*(boxW+columnGap), pictureEdge+i*(boxH+boxGap)
		}
		g.height = max(g.height, 2*pictureEdge+len(column)*(boxH+boxGap)-boxGap)
	}
	return g
}

func (g graph) boxes() []*box { return slices.Concat(g.columns[0], g.columns[1], g.columns[2]) }

// path is the line between two boxes that are drawn; empty: one of them is not.
func (g graph) path(e edge) string {
	var from, to *box
	for _, b := range g.boxes() {
		if b.id == e.from {
			from = b
		}
		if b.id == e.to {
			to = b
		}
	}
	if from == nil || to == nil {
		return ""
	}
	x1, y1, x2, y2 := from.x+boxW, from.y+boxH/2, to.x, to.y+boxH/2
	return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+columnGap/2, y1, x2-columnGap/2, y2, x2, y2)
}

func (g graph) viewBox() string { return fmt.Sprintf("0 0 %d %d", pictureWidth, g.height) }

func (b *box) words() string {
	out := b.word
	if b.cause {
		out += " · probable cause"
	}
	return out
}

func (b *box) label() string {
	out := b.short() + " " + b.words() // what can be read on it comes first
	if b.tone != "" {
		out += ", an alert fires"
	}
	return out
}

// short is a name as it has room in a box.
func (b *box) short() string {
	if r := []rune(b.name); len(r) > 24 {
		return string(r[:23]) + "…"
	}
	return b.name
}
