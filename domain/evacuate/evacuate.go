// Package evacuate plans how hosts are emptied: which guest goes where, in which order and how many at a time, how long that takes, what cannot move and
// why, and what would be over-committed at the end.
//
// Capacity (memory of running guests, room in pools) and hard affinity rules hold at every moment of a plan and however its moves overlap. For that
// nothing is ever counted on that an earlier move frees: a guest counts on its source and on its target from the moment it moves. So a plan that holds
// holds in any order of endings, when it is stopped, and when one of its moves fails. Guests that a hard rule keeps together go to one host, one right
// after the other, or none of them does; only between the first and the last of them they are apart.
//
// The total is simulated: moves begin in order, at most so many at a time, and those that leave one host share its wire. Each move's time is drawn from its
// forecast, half of its spread in common with the others (the path is what forecasts err about most), and the interval is read from the results.
//
// It is pure: what could move where and what each move costs is handed to it (packages preflight and forecast), and nothing is moved (jobs/maintain).
package evacuate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"novacron/domain"
	"novacron/domain/affinity"
)

// Guest is one VM of a host that is emptied.
type Guest struct {
	ID, Name, Host string
	Running        bool
	Memory         int64
	VCPUs          int
	Fixed          string // why it cannot move anywhere
	Options        []Option
}

// Option is one host that a guest could go to, or why it cannot.
type Option struct {
	Host     string
	Refused  []string
	Mode     domain.MigrationMode
	Forecast *domain.MigrationForecast
	Pools    map[string]int64 // bytes that come into pools, by their ids
}

// Host is one host of the estate.
type Host struct {
	ID, Name    string
	Memory      int64
	Used        int64 // by VMs that run there or are being made
	CPUs, VCPUs int   // it has, its running VMs have
	Asleep      int64 // memory of its VMs that do not run
}

// Input is all that a plan is made from.
type Input struct {
	Leave    []string // hosts to be emptied
	Hosts    []Host
	Guests   []Guest // what is on the hosts to be emptied
	Rules    *affinity.Rules
	Where    map[string]string // every VM's host
	Pools    map[string]int64  // room in pools, by id; pools of several hosts are one
	Parallel int
}

// Move is one guest's way.
type Move struct {
	VM, From, To string
	Option       Option
	Why          []string // what speaks against it, softly
	Unit         int      // guests of one unit are kept together
}

// Stay is a guest that stays, and why.
type Stay struct {
	VM, Host string
	Why      []domain.Reason
}

// Plan is the answer.
type Plan struct {
	Moves   []Move
	Stays   []Stay
	Seconds domain.Interval
	Over    []domain.Reason
}

// MostAtOnce bounds how many moves a plan makes at a time.
const MostAtOnce = 16

// Make plans. The same input gets the same plan.
func Make(in Input) Plan {
	best := place(in, roomiest)
	if len(best.Stays) > 0 { // a tighter fit may leave room for the large ones
		if tight := place(in, tightest); len(tight.Stays) < len(best.Stays) {
			best = tight
		}
	}
	best.Moves = ordered(best.Moves)
	best.Seconds = Duration(best.Moves, in.Parallel)
	best.Over = Over(in, best.Moves)
	return best
}

// world is what a plan counts as it goes.
type world struct {
	in     Input
	hosts  map[string]*Host
	pools  map[string]int64
	guests map[string]*Guest
	where  map[string][]string // of VMs that the plan moved: both their hosts
}

func newWorld(in Input) *world {
	w := &world{in: in, hosts: map[string]*Host{}, pools: maps.Clone(in.Pools), guests: map[string]*Guest{}, where: map[string][]string{}}
	for _, h := range in.Hosts {
		w.hosts[h.ID] = &h
	}
	for i := range in.Guests {
		w.guests[in.Guests[i].ID] = &in.Guests[i]
	}
	return w
}

func (w *world) at(vm string) []string {
	if both := w.where[vm]; both != nil {
		return both
	}
	if h := w.in.Where[vm]; h != "" {
		return []string{h}
	}
	return nil
}

// allowed says what is against these guests going to the host together; soft is what speaks against it and does not forbid it.
func (w *world) allowed(unit []*Guest, host string) (against, soft []string) {
	h := w.hosts[host]
	if h == nil {
		return []string{"It is not in the fleet."}, nil
	}
	with := map[string]bool{}
	var memory int64
	pools := map[string]int64{}
	for _, g := range unit {
		with[g.ID] = true
		if g.Running {
			memory += g.Memory
		}
	}
	for _, g := range unit {
		i := slices.IndexFunc(g.Options, func(o Option) bool { return o.Host == host })
		switch {
		case g.Fixed != "":
			against = append(against, g.Fixed)
		case host == g.Host || slices.Contains(w.in.Leave, host):
			against = append(against, "It is emptied too.")
		case i < 0:
			against = append(against, "It was not looked at for "+g.Name+".")
		default:
			for _, why := range g.Options[i].Refused {
				if len(unit) > 1 {
					why = g.Name + ": " + why
				}
				against = append(against, why)
			}
			for p, n := range g.Options[i].Pools {
				pools[p] += n
			}
		}
		rest := map[string]bool{}
		for id := range with {
			rest[id] = id != g.ID
		}
		if w.in.Rules != nil {
			for _, b := range w.in.Rules.Judge(g.ID, host, w.at, rest) {
				if b.Hard {
					against = append(against, b.Msg)
				} else {
					soft = append(soft, b.Msg)
				}
			}
		}
	}
	if free := h.Memory - h.Used; memory > free {
		against = append(against, fmt.Sprintf("With what the plan moves there %s of memory is free; %s is needed.", domain.FormatBytes(max(0, free)), domain.FormatBytes(memory)))
	}
	for p, n := range pools {
		if free, known := w.pools[p]; known && n > free {
			against = append(against, fmt.Sprintf("With what the plan moves there a pool has %s free; %s is needed.", domain.FormatBytes(max(0, free)), domain.FormatBytes(n)))
		}
	}
	slices.Sort(against)
	return slices.Compact(against), soft
}

// take counts the guests on the host, and leaves them counted where they were.
func (w *world) take(unit []*Guest, host string) (moves []Move) {
	h := w.hosts[host]
	for _, g := range unit {
		o := Option{Host: host}
		if i := slices.IndexFunc(g.Options, func(o Option) bool { return o.Host == host }); i >= 0 {
			o = g.Options[i]
		}
		if g.Running {
			h.Used += g.Memory
			h.VCPUs += g.VCPUs
		} else {
			h.Asleep += g.Memory
		}
		for p, n := range o.Pools {
			if _, known := w.pools[p]; known {
				w.pools[p] -= n
			}
		}
		w.where[g.ID] = []string{g.Host, host}
		moves = append(moves, Move{VM: g.ID, From: g.Host, To: host, Option: o})
	}
	return moves
}

type taste func(a, b *Host) int

func roomiest(a, b *Host) int { return cmp.Compare(b.Memory-b.Used, a.Memory-a.Used) }
func tightest(a, b *Host) int { return roomiest(b, a) }

func place(in Input, prefer taste) (p Plan) {
	w := newWorld(in)
	for n, unit := range units(in) {
		type choice struct {
			host *Host
			soft []string
		}
		var can []choice
		var why []domain.Reason
		for _, h := range in.Hosts {
			if slices.Contains(in.Leave, h.ID) {
				continue
			}
			against, soft := w.allowed(unit, h.ID)
			if len(against) == 0 {
				can = append(can, choice{w.hosts[h.ID], soft})
				continue
			}
			for _, a := range against {
				why = append(why, domain.Reason{Subject: h.Name, Msg: a})
			}
		}
		if len(can) == 0 {
			p.Stays = append(p.Stays, stays(unit, why)...)
			continue
		}
		slices.SortStableFunc(can, func(a, b choice) int {
			return cmp.Or(cmp.Compare(len(a.soft), len(b.soft)), prefer(a.host, b.host), cmp.Compare(a.host.Name, b.host.Name), cmp.Compare(a.host.ID, b.host.ID))
		})
		for _, m := range w.take(unit, can[0].host.ID) {
			m.Why, m.Unit = can[0].soft, n
			p.Moves = append(p.Moves, m)
		}
	}
	return p
}

func stays(unit []*Guest, why []domain.Reason) (out []Stay) {
	for _, g := range unit {
		s := Stay{VM: g.ID, Host: g.Host, Why: why}
		switch i := slices.IndexFunc(unit, func(x *Guest) bool { return x.Fixed != "" }); {
		case g.Fixed != "":
			s.Why = []domain.Reason{{Subject: g.Name, Msg: g.Fixed}}
		case i >= 0:
			s.Why = []domain.Reason{{Subject: g.Name, Msg: "It is kept with " + unit[i].Name + ", which cannot move: " + unit[i].Fixed}}
		case len(why) == 0:
			s.Why = []domain.Reason{{Subject: g.Name, Msg: "There is no other host."}}
		}
		out = append(out, s)
	}
	return out
}

// units groups the guests that go together, the largest first.
func units(in Input) [][]*Guest {
	byID := map[string]int{}
	for i, g := range in.Guests {
		byID[g.ID] = i
	}
	seen := make([]bool, len(in.Guests))
	var out [][]*Guest
	for i := range in.Guests {
		if seen[i] {
			continue
		}
		seen[i] = true
		unit := []*Guest{&in.Guests[i]}
		for k := 0; k < len(unit) && in.Rules != nil; k++ {
			for _, other := range in.Rules.Together(unit[k].ID) {
				if j, here := byID[other]; here && !seen[j] && in.Guests[j].Host == unit[k].Host {
					seen[j] = true
					unit = append(unit, &in.Guests[j])
				}
			}
		}
		out = append(out, unit)
	}
	size := func(unit []*Guest) (n int64) {
		for _, g := range unit {
			n += g.Memory
			if g.Running {
				n += 1 << 50 // what runs is placed before what sleeps
			}
		}
		return n
	}
	slices.SortStableFunc(out, func(a, b []*Guest) int {
		return cmp.Or(cmp.Compare(size(b), size(a)), cmp.Compare(a[0].Name, b[0].Name), cmp.Compare(a[0].ID, b[0].ID))
	})
	return out
}

// ordered puts the longest first, units as one: so the last moves are short and the slots empty together.
func ordered(moves []Move) []Move {
	total := map[int]float64{}
	for _, m := range moves {
		total[m.Unit] += seconds(m).P50
	}
	slices.SortStableFunc(moves, func(a, b Move) int {
		return cmp.Or(cmp.Compare(total[b.Unit], total[a.Unit]), cmp.Compare(a.Unit, b.Unit))
	})
	return moves
}

// Fault is what is wrong with one move of a plan that a person made or that the world overtook.
type Fault struct {
	VM  string
	Msg string
}

// Check holds moves, in their order, to the same rules that Make keeps.
func Check(in Input, moves []Move) (out []Fault) {
	w := newWorld(in)
	goes := map[string]Move{}
	for _, m := range moves {
		goes[m.VM] = m
	}
	seen := map[string]bool{}
	for i, m := range moves {
		g := w.guests[m.VM]
		switch {
		case g == nil:
			out = append(out, Fault{m.VM, "It is not on a host of the plan any more."})
			continue
		case seen[m.VM]:
			out = append(out, Fault{m.VM, "It is in the plan twice."})
			continue
		}
		seen[m.VM] = true
		unit := []*Guest{g} // judged with those of its kind that go to the same host
		if in.Rules != nil {
			for _, other := range in.Rules.Together(g.ID) {
				o, og := goes[other], w.guests[other]
				if og == nil || og.Host != g.Host {
					continue
				}
				if o.VM == "" || o.To != m.To {
					out = append(out, Fault{m.VM, g.Name + " is kept with " + og.Name + ": both go to the same host, or neither."})
				}
				if !adjacent(in, moves, i, other) {
					out = append(out, Fault{m.VM, g.Name + " is kept with " + og.Name + ": they go one right after the other."})
				}
			}
		}
		against, _ := w.judge(unit, m.To, goes)
		for _, a := range against {
			name := m.To
			if h := w.hosts[m.To]; h != nil {
				name = h.Name
			}
			out = append(out, Fault{m.VM, name + ": " + a})
		}
		if w.hosts[m.To] != nil {
			w.take(unit, m.To)
		}
	}
	return out
}

// judge is allowed for one guest, with those it is kept with counted as going along.
func (w *world) judge(unit []*Guest, to string, goes map[string]Move) (against, soft []string) {
	saved := map[string][]string{}
	if w.in.Rules != nil {
		for _, other := range w.in.Rules.Together(unit[0].ID) {
			if o := goes[other]; o.VM != "" && o.To == to && w.where[other] == nil {
				saved[other] = w.where[other]
				w.where[other] = []string{w.in.Where[other], to}
			}
		}
	}
	against, soft = w.allowed(unit, to)
	for id, was := range saved {
		if was == nil {
			delete(w.where, id)
		}
	}
	return against, soft
}

// adjacent reports whether only guests of one unit move between move i and that of the other.
func adjacent(in Input, moves []Move, i int, other string) bool {
	j := slices.IndexFunc(moves, func(m Move) bool { return m.VM == other })
	if j < 0 {
		return true
	}
	unit := map[string]bool{moves[i].VM: true}
	for queue := []string{moves[i].VM}; len(queue) > 0; queue = queue[1:] {
		for _, o := range in.Rules.Together(queue[0]) {
			if !unit[o] {
				unit[o] = true
				queue = append(queue, o)
			}
		}
	}
	for k := min(i, j); k <= max(i, j); k++ {
		if !unit[moves[k].VM] {
			return false
		}
	}
	return true
}

// Over names what the hosts would have too little of when the plan is done. Memory of running guests is never among it.
func Over(in Input, moves []Move) (out []domain.Reason) {
	w := newWorld(in)
	took := map[string]bool{}
	for _, m := range moves {
		if g := w.guests[m.VM]; g != nil && w.hosts[m.To] != nil {
			w.take([]*Guest{g}, m.To)
			took[m.To] = true
		}
	}
	for _, was := range in.Hosts {
		h := w.hosts[was.ID]
		if !took[h.ID] {
			continue
		}
		if h.CPUs > 0 && h.VCPUs > h.CPUs {
			out = append(out, domain.Reason{Subject: h.Name, Msg: fmt.Sprintf("Its running VMs would have %d vCPUs together; it has %d CPUs.", h.VCPUs, h.CPUs)})
		}
		if h.Used > h.Memory {
			out = append(out, domain.Reason{Subject: h.Name, Msg: fmt.Sprintf("Its running VMs would have %s of memory together; it has %s.", domain.FormatBytes(h.Used), domain.FormatBytes(h.Memory))})
		} else if h.Asleep > was.Asleep && h.Used+h.Asleep > h.Memory {
			out = append(out, domain.Reason{Subject: h.Name, Msg: fmt.Sprintf("With the VMs that are stopped it would have given away %s of memory; it has %s, so not all of them could be started.", domain.FormatBytes(h.Used+h.Asleep), domain.FormatBytes(h.Memory))})
		}
	}
	return out
}
