package networks

import (
	"fmt"
	"strings"

	"novacron/domain"
	"novacron/views/ui"
)

// Picture is what is plugged in where.
type Picture struct {
	Hosts   []domain.HostWiring
	More    int // hosts that are not drawn
	Host    string
	Network string
	Menu    []HostChoice       // all hosts
	Names   []string           // all networks and bridges
	Load    map[string]float64 // of VMs and hosts, by id, in percent; those that were not measured are not in it
}

// Bounds of one picture: beyond these it is not looked at any more, and choosing a host or a network shows the rest.
const (
	hostsDrawn = 12
	vmsDrawn   = 24
	wiresDrawn = 14
)

// The drawing's measures, in its own units: 360 is the width of a phone.
const (
	width     = 360
	pad       = 12
	titleH    = 38
	wireH     = 40
	wireGap   = 8
	vmH       = 28
	vmGap     = 7
	worldEdge = width - 1
)

// drawing is one host with everything placed.
type drawing struct {
	host   domain.HostWiring
	height int
	wires  []drawnWire
	vms    []drawnVM
	note   string // what is left out
	noteY  int
	load   map[string]float64
}

type drawnWire struct {
	domain.Wire
	x, y, w int
	lane    int // x of the line that goes down
	end     int // where it ends; 0: nobody is on it
	hue     string
}

type drawnVM struct {
	domain.WiredVM
	x, y, w int
	plugs   []drawnPlug
}

type drawnPlug struct {
	x, y int
	down bool
	hue  string
}

// Bound leaves out what one picture cannot show.
func (m *Picture) Bound() {
	if len(m.Hosts) > hostsDrawn {
		m.More = len(m.Hosts) - hostsDrawn
		m.Hosts = m.Hosts[:hostsDrawn]
	}
}

// draw places a host's wires and VMs.
func (m Picture) draw(t domain.HostWiring) drawing {
	d := drawing{host: t, load: m.Load}
	most := vmsDrawn
	if m.Host != "" || m.Network != "" {
		most = 200
	}
	var left []string
	if n := len(t.VMs) - most; n > 0 {
		left = append(left, ui.Plural(n, "more VM", "more VMs"))
		t.VMs = t.VMs[:most]
	}
	at := make([]int, len(t.Wires)) // of each wire in the drawing; -1: not drawn
	shown := 0
	for i, w := range t.Wires {
		at[i] = -1
		if shown < wiresDrawn && (w.Cards > 0 || len(t.Wires) <= wiresDrawn) {
			at[i] = shown
			shown++
		}
	}
	if n := len(t.Wires) - shown; n > 0 {
		left = append(left, ui.Plural(n, "more network", "more networks"))
	}
	gap := 14
	if shown > 7 {
		gap = 9
	}
	y := titleH + pad
	for i, w := range t.Wires {
		if at[i] < 0 {
			continue
		}
		x := pad + at[i]*gap
		d.wires = append(d.wires, drawnWire{Wire: w, x: x, y: y, w: width - 24 - x, lane: x + 5, hue: ui.Hue(w.Name)})
		y += wireH + wireGap
	}
	x := pad + shown*gap + 8
	if len(t.VMs) > 0 {
		y += 4
	}
	for _, v := range t.VMs {
		b := drawnVM{WiredVM: v, x: x, y: y, w: width - pad - x}
		for k, p := range v.Plugs {
			i := at[p.Wire]
			if i < 0 {
				continue
			}
			w := &d.wires[i]
			py := y + vmH/2 + (2*k-len(v.Plugs)+1)*7/2
			w.end = max(w.end, py)
			b.plugs = append(b.plugs, drawnPlug{w.lane, py, p.Card.Down, w.hue})
		}
		d.vms = append(d.vms, b)
		y += vmH + vmGap
	}
	if len(left) > 0 {
		d.note, d.noteY = "and "+strings.Join(left, ", "), y+10
		y += 20
	}
	if len(d.wires)+len(d.vms) == 0 {
		d.note, d.noteY = "no network and no VM", y+10
		y += 20
	}
	d.height = y + 4
	return d
}

func (d drawing) viewBox() string { return fmt.Sprintf("0 0 %d %d", width, d.height) }

// clip cuts a text to what fits into so many units.
func clip(s string, units int) string {
	most := max(units*10/67, 3)
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}

func num(n int) string { return fmt.Sprint(n) }

// wireWords are the second line of a network's box.
func wireWords(w domain.Wire) string {
	if w.Network.ID == "" {
		return "bridge of the host"
	}
	parts := []string{modeOf(w.Network.Spec)}
	if w.Network.Spec.Mode == "" {
		parts[0] = modeWord(w.Network.Mode)
	}
	if b := wire(w.Network); b != "" {
		parts = append(parts, b)
	}
	if s := subnets(w.Network.Spec); s != "" {
		parts = append(parts, s)
	}
	if !w.Network.Active {
		parts[0] += ", stopped"
	}
	return strings.Join(parts, " · ")
}

// label says of a network all that its box shows.
func (w drawnWire) label() string {
	out := fmt.Sprintf("Network %s, %s, %s", w.Name, wireWords(w.Wire), ui.Plural(w.Cards, "card", "cards"))
	if w.World() {
		out += ", leads out of the host"
	}
	return out
}

func (d drawing) vmLabel(v drawnVM) string {
	var on []string
	for _, p := range v.Plugs {
		name := d.host.Wires[p.Wire].Name
		if p.Card.Down {
			name += " (unplugged)"
		}
		on = append(on, name)
	}
	if len(on) == 0 {
		on = append(on, "nothing")
	}
	// What the box shows comes first, as it is written there.
	shown := clip(v.VM.Name, v.w-34-roomFor(v))
	if a := aside(v); a != "" {
		shown += " " + a
	}
	out := fmt.Sprintf("VM %s, %s, on %s", shown, v.VM.State, strings.Join(on, " and "))
	if l, known := d.load[v.VM.ID]; known {
		out += fmt.Sprintf(", CPU %.0f %%", l)
	}
	if !strings.HasPrefix(shown, v.VM.Name) {
		out += ", in full " + v.VM.Name
	}
	return out
}

// hostWords is what stands at the right of a host's name.
func (d drawing) hostWords() string {
	out := string(d.host.Host.State)
	if l, known := d.load[d.host.Host.ID]; known {
		out += fmt.Sprintf(" · CPU %.0f %%", l)
	}
	return out
}

// busy is how long the bar of a load is; 0 where none is known.
func (d drawing) busy(v drawnVM) string {
	return fmt.Sprintf("%.1f", min(d.load[v.VM.ID], 100)/100*float64(v.w-2))
}

// hot is the class of a load.
func (d drawing) hot(v drawnVM) string {
	switch l := d.load[v.VM.ID]; {
	case l >= 90:
		return "bad"
	case l >= 75:
		return "warn"
	}
	return "info"
}

func dotTone(s domain.VMState) string {
	switch s {
	case domain.VMRunning:
		return ui.OK
	case domain.VMPaused:
		return ui.Warn
	case domain.VMCrashed:
		return ui.Bad
	}
	return ui.Neutral
}

// firstAddress is the first address of a VM that is known.
func firstAddress(vm domain.VM) string {
	if len(vm.Addresses) == 0 {
		return ""
	}
	return vm.Addresses[0].IP
}

// on lists the VMs on a wire, each once.
func on(t domain.HostWiring, wire int) []domain.VM {
	var out []domain.VM
	for _, v := range t.VMs {
		for _, p := range v.Plugs {
			if p.Wire == wire {
				out = append(out, v.VM)
				break
			}
		}
	}
	return out
}

func without(t domain.HostWiring) []domain.VM {
	var out []domain.VM
	for _, v := range t.VMs {
		if len(v.Plugs) == 0 {
			out = append(out, v.VM)
		}
	}
	return out
}

func pictureHosts(m Picture) []ui.Option {
	out := []ui.Option{{Value: "", Label: "all hosts"}}
	for _, h := range m.Menu {
		out = append(out, ui.Option{Value: h.ID, Label: h.Name})
	}
	return out
}

func pictureNames(m Picture) []ui.Option {
	out := []ui.Option{{Value: "", Label: "all networks"}}
	for _, n := range m.Names {
		out = append(out, ui.Option{Value: n, Label: n})
	}
	return out
}
