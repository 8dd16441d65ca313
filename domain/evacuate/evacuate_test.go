package evacuate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/domain/affinity"
)

const gib = int64(domain.GiB)

// estate is a random one: some hosts to be emptied, guests with refusals and copies, rules of every kind, a few of them broken already.
type estate struct {
	in    Input
	rules []domain.AffinityRule
	vms   []affinity.VM
}

func random(rng *rand.Rand) estate {
	var e estate
	hosts := 2 + rng.IntN(5)
	e.in.Pools = map[string]int64{}
	for i := range hosts {
		e.in.Hosts = append(e.in.Hosts, Host{ID: fmt.Sprintf("h%d", i), Name: fmt.Sprintf("host %d", i), Memory: int64(8+rng.IntN(56)) * gib, CPUs: 8})
		e.in.Pools[fmt.Sprintf("p%d", i/2)] = int64(rng.IntN(200)) * gib
	}
	for i := range 1 + rng.IntN(max(1, hosts/2)) {
		e.in.Leave = append(e.in.Leave, e.in.Hosts[i].ID)
	}
	e.in.Where = map[string]string{}
	e.in.Parallel = 1 + rng.IntN(4)
	for i := range rng.IntN(30) {
		h := &e.in.Hosts[rng.IntN(hosts)]
		g := Guest{ID: fmt.Sprintf("v%02d", i), Name: fmt.Sprintf("vm %d", i), Host: h.ID, Running: rng.IntN(5) > 0, Memory: int64(1+rng.IntN(12)) * gib, VCPUs: 1 + rng.IntN(8)}
		if g.Running && h.Used+g.Memory > h.Memory {
			g.Running = false
		}
		if g.Running {
			h.Used += g.Memory
			h.VCPUs += g.VCPUs
		}
		vm := affinity.VM{ID: g.ID, Name: g.Name}
		if rng.IntN(6) == 0 {
			vm.Tags = []string{"web"}
		}
		e.vms = append(e.vms, vm)
		e.in.Where[g.ID] = h.ID
		if !slices.Contains(e.in.Leave, h.ID) {
			continue
		}
		if rng.IntN(15) == 0 {
			g.Fixed = "A device of its host is passed through to it."
		}
		for k, t := range e.in.Hosts {
			o := Option{Host: t.ID, Mode: domain.MigrateLive, Pools: map[string]int64{fmt.Sprintf("p%d", k/2): int64(rng.IntN(3)*rng.IntN(30)) * gib}}
			s := 0.5 + rng.Float64()*40
			o.Forecast = &domain.MigrationForecast{Seconds: domain.Interval{P05: s * 0.8, P50: s, P95: s * 1.4}}
			if rng.IntN(8) == 0 {
				o.Refused = []string{"It lacks a network."}
			}
			g.Options = append(g.Options, o)
		}
		e.in.Guests = append(e.in.Guests, g)
	}
	for i := range rng.IntN(6) {
		r := domain.AffinityRule{ID: fmt.Sprint(i), Name: fmt.Sprintf("rule %d", i), Kind: domain.Affinity, Scope: domain.ScopeVMs, Hard: rng.IntN(3) > 0}
		if rng.IntN(2) == 0 {
			r.Kind = domain.AntiAffinity
		}
		if rng.IntN(3) == 0 {
			r.Scope, r.Hosts = domain.ScopeHosts, []string{e.in.Hosts[rng.IntN(hosts)].ID}
		}
		for _, vm := range e.vms {
			if rng.IntN(8) == 0 {
				r.VMs = append(r.VMs, vm.ID)
			}
		}
		if rng.IntN(6) == 0 {
			r.Tags = []string{"web"}
		}
		e.rules = append(e.rules, r)
	}
	e.in.Rules = affinity.New(e.rules, e.vms)
	return e
}

// play carries moves out with random overlap and random failures, and looks at the estate at every moment. It shares no code with the planner.
func play(e estate, moves []Move, rng *rand.Rand, mayFail bool) error {
	at, before := map[string][]string{}, map[string]string{}
	for vm, h := range e.in.Where {
		at[vm], before[vm] = []string{h}, h
	}
	guests := map[string]Guest{}
	for _, g := range e.in.Guests {
		guests[g.ID] = g
	}
	arrived := map[string]int64{} // bytes that were written to pools
	unit := map[string]int{}
	for _, m := range moves {
		unit[m.VM] = m.Unit
	}
	look := func(open map[int]bool) error {
		used := map[string]int64{}
		for _, h := range e.in.Hosts {
			used[h.ID] = h.Used
		}
		for id, g := range guests {
			for _, h := range at[id] {
				if h != before[id] && g.Running {
					used[h] += g.Memory
				}
			}
		}
		for _, h := range e.in.Hosts {
			if used[h.ID] > h.Memory && used[h.ID] > h.Used {
				return fmt.Errorf("%s has %d GiB in use of %d", h.ID, used[h.ID]/gib, h.Memory/gib)
			}
		}
		for p, n := range arrived {
			if n > e.in.Pools[p] {
				return fmt.Errorf("%s got %d GiB, had %d free", p, n/gib, e.in.Pools[p]/gib)
			}
		}
		for _, r := range e.rules {
			if !r.Hard {
				continue
			}
			var of []string
			for _, vm := range e.vms {
				if r.Covers(vm.ID, vm.Tenant, vm.Tags) {
					of = append(of, vm.ID)
				}
			}
			for i, a := range of {
				for _, h := range at[a] {
					if r.Scope == domain.ScopeHosts && h != before[a] && slices.Contains(r.Hosts, h) != (r.Kind == domain.Affinity) {
						return fmt.Errorf("%s came to %s against %s", a, h, r.Name)
					}
				}
				for _, b := range of[:i] {
					if r.Scope != domain.ScopeVMs {
						continue
					}
					if r.Kind == domain.AntiAffinity {
						for _, h := range at[a] {
							if slices.Contains(at[b], h) && (h != before[a] || h != before[b]) {
								return fmt.Errorf("%s and %s are both on %s against %s", a, b, h, r.Name)
							}
						}
						continue
					}
					if before[a] == before[b] && !open[unit[a]] && !open[unit[b]] && at[a][len(at[a])-1] != at[b][len(at[b])-1] {
						return fmt.Errorf("%s and %s are apart against %s", a, b, r.Name)
					}
				}
			}
		}
		return nil
	}
	last := map[int]int{}
	for i, m := range moves {
		last[m.Unit] = i
	}
	first := map[int]int{}
	for i := len(moves) - 1; i >= 0; i-- {
		first[moves[i].Unit] = i
	}
	var on []int
	done := map[int]bool{}
	next := 0
	for next < len(moves) || len(on) > 0 {
		if next < len(moves) && len(on) < e.in.Parallel && (len(on) == 0 || rng.IntN(2) == 0) {
			m := moves[next]
			at[m.VM] = []string{m.From, m.To}
			for p, n := range m.Option.Pools {
				arrived[p] += n
			}
			on = append(on, next)
			next++
		} else {
			k := rng.IntN(len(on))
			m := moves[on[k]]
			at[m.VM] = []string{m.To}
			if mayFail && rng.IntN(4) == 0 {
				at[m.VM] = []string{m.From}
			}
			done[on[k]] = true
			on = slices.Delete(on, k, k+1)
		}
		open := map[int]bool{}
		for u := range first {
			for i := first[u]; i <= last[u]; i++ {
				if first[u] < next && !done[i] || mayFail {
					open[u] = true
				}
			}
		}
		if err := look(open); err != nil {
			return fmt.Errorf("after %d begun, %d under way: %w", next, len(on), err)
		}
	}
	return nil
}

// Capacity and affinity hold at every moment of every plan, in whatever order its moves end, and when some of them fail.
func TestPlansHoldAtEveryMoment(t *testing.T) {
	moved, stayed, together := 0, 0, 0
	for seed := range uint64(800) {
		rng := rand.New(rand.NewPCG(seed, 7))
		e := random(rng)
		p := Make(e.in)
		if len(p.Moves)+len(p.Stays) != len(e.in.Guests) {
			t.Fatalf("seed %d: %d guests, %d move and %d stay", seed, len(e.in.Guests), len(p.Moves), len(p.Stays))
		}
		moved, stayed = moved+len(p.Moves), stayed+len(p.Stays)
		for _, s := range p.Stays {
			if len(s.Why) == 0 {
				t.Fatalf("seed %d: %s stays and nothing says why", seed, s.VM)
			}
		}
		for i, m := range p.Moves {
			if slices.Contains(e.in.Leave, m.To) || len(m.Option.Refused) > 0 {
				t.Fatalf("seed %d: %+v", seed, m)
			}
			if i > 0 && m.Unit == p.Moves[i-1].Unit {
				together++
			}
		}
		if faults := Check(e.in, p.Moves); len(faults) > 0 {
			t.Fatalf("seed %d: its own plan has faults: %+v", seed, faults)
		}
		for range 3 {
			if err := play(e, p.Moves, rng, false); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err := play(e, p.Moves, rng, true); err != nil {
				t.Fatalf("seed %d, with failures: %v", seed, err)
			}
		}
		if s := p.Seconds; len(p.Moves) > 0 && !(s.P05 > 0 && s.P05 <= s.P50 && s.P50 <= s.P95) {
			t.Fatalf("seed %d: %+v", seed, s)
		}
	}
	t.Logf("%d moved, %d stayed, %d right after one they are kept with", moved, stayed, together)
	if moved < 800 || stayed < 80 || together < 10 {
		t.Error("the estates are too tame to show anything")
	}
}

// What a person makes of a plan is taken only when it holds at every moment too.
func TestEditsThatAreTakenHold(t *testing.T) {
	taken, refused := 0, 0
	for seed := range uint64(800) {
		rng := rand.New(rand.NewPCG(seed, 8))
		e := random(rng)
		moves := Make(e.in).Moves
		if len(moves) == 0 {
			continue
		}
		for range 1 + rng.IntN(3) {
			switch i := rng.IntN(len(moves)); rng.IntN(3) {
			case 0:
				j := rng.IntN(len(moves))
				moves[i], moves[j] = moves[j], moves[i]
			case 1:
				if len(moves) > 1 {
					moves = slices.Delete(slices.Clone(moves), i, i+1)
				}
			default:
				to := e.in.Hosts[rng.IntN(len(e.in.Hosts))].ID
				g := e.in.Guests[slices.IndexFunc(e.in.Guests, func(g Guest) bool { return g.ID == moves[i].VM })]
				moves[i].To = to
				moves[i].Option = g.Options[slices.IndexFunc(g.Options, func(o Option) bool { return o.Host == to })]
			}
		}
		if faults := Check(e.in, moves); len(faults) > 0 {
			refused++
			continue
		}
		taken++
		if err := play(e, moves, rng, false); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if taken < 50 || refused < 50 {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
}

func two(memory int64, guests ...Guest) Input {
	in := Input{Leave: []string{"a"}, Parallel: 2, Where: map[string]string{}, Hosts: []Host{{ID: "a", Name: "a", Memory: 64 * gib, CPUs: 8}, {ID: "b", Name: "b", Memory: memory, CPUs: 4}}}
	for _, g := range guests {
		g.Host, g.Name = "a", g.ID
		if g.Options == nil {
			g.Options = []Option{{Host: "b", Mode: domain.MigrateLive}}
		}
		in.Guests = append(in.Guests, g)
		in.Where[g.ID] = "a"
	}
	return in
}

func TestWhatDoesNotFitStaysAndSaysSo(t *testing.T) {
	p := Make(two(8*gib, Guest{ID: "big", Running: true, Memory: 6 * gib, VCPUs: 8}, Guest{ID: "small", Running: true, Memory: 4 * gib}, Guest{ID: "asleep", Memory: 4 * gib},
		Guest{ID: "fixed", Running: true, Memory: gib, Fixed: "A device is passed through."}))
	if len(p.Moves) != 2 || p.Moves[0].VM != "big" || p.Moves[1].VM != "asleep" {
		t.Errorf("%+v", p.Moves)
	}
	said := fmt.Sprint(p.Stays)
	if !strings.Contains(said, "2 GiB of memory is free; 4 GiB is needed") || !strings.Contains(said, "passed through") {
		t.Error(said)
	}
	over := fmt.Sprint(p.Over)
	if !strings.Contains(over, "8 vCPUs together; it has 4 CPUs") || !strings.Contains(over, "not all of them could be started") {
		t.Error(over)
	}
}

func TestATighterFitIsTriedBeforeSomethingStays(t *testing.T) {
	in := two(8*gib, Guest{ID: "w", Running: true, Memory: 5 * gib}, Guest{ID: "x", Running: true, Memory: 5 * gib}, Guest{ID: "y", Running: true, Memory: 3 * gib}, Guest{ID: "z", Running: true, Memory: 3 * gib})
	in.Hosts = append(in.Hosts, Host{ID: "c", Name: "c", Memory: 8 * gib})
	for i := range in.Guests {
		in.Guests[i].Options = append(in.Guests[i].Options, Option{Host: "c"})
	}
	if p := Make(in); len(p.Stays) != 0 {
		t.Errorf("%+v", p.Stays)
	}
}

func TestRulesAreNamedWhereTheyForbid(t *testing.T) {
	in := two(64*gib, Guest{ID: "db1", Running: true, Memory: gib}, Guest{ID: "db2", Running: true, Memory: gib}, Guest{ID: "app", Running: true, Memory: gib, Fixed: "It has a snapshot."}, Guest{ID: "cache", Running: true, Memory: gib})
	vms := []affinity.VM{{ID: "db1", Name: "db1", Tags: []string{"db"}}, {ID: "db2", Name: "db2", Tags: []string{"db"}}, {ID: "app", Name: "app"}, {ID: "cache", Name: "cache"}}
	in.Rules = affinity.New([]domain.AffinityRule{{Name: "apart", Kind: domain.AntiAffinity, Scope: domain.ScopeVMs, Hard: true, Tags: []string{"db"}},
		{Name: "near", Kind: domain.Affinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"app", "cache"}}}, vms)
	p := Make(in)
	said := fmt.Sprint(p.Stays)
	if len(p.Moves) != 1 || !strings.Contains(said, "“apart”") || !strings.Contains(said, "cache It is kept with app, which cannot move: It has a snapshot.") {
		t.Errorf("%+v %s", p.Moves, said)
	}
}

func TestDurationKnowsOfTheWireAndOfTheLimit(t *testing.T) {
	var moves []Move
	for range 10 {
		moves = append(moves, Move{From: "a", Option: Option{Forecast: &domain.MigrationForecast{Seconds: domain.Interval{P05: 10.45, P50: 10.45, P95: 10.45}}}})
	}
	// Ten copies of ten seconds over one wire take a hundred seconds, however many go at a time; only the setting up overlaps.
	for _, n := range []int{2, 5} {
		if d := Duration(moves, n); d.P50 < 100 || d.P50 > 104 {
			t.Errorf("%d at a time: %+v", n, d)
		}
	}
	for i := range moves {
		moves[i].From = fmt.Sprint(i % 2)
	}
	if d := Duration(moves, 2); d.P50 < 50 || d.P50 > 56 {
		t.Errorf("over two wires: %+v", d)
	}
	if d := Duration(nil, 2); d.P95 != 0 {
		t.Errorf("nothing takes %+v", d)
	}
}
