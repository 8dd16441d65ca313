package evacuate

import (
	"math"
	"math/rand/v2"
	"slices"

	"novacron/domain"
)

const (
	draws  = 200
	setUp  = 0.45 // seconds of a move that do not use the wire
	shared = 0.5  // of the variance of a forecast is common to all moves
	// PerHost is how many moves leave a host at a time: as many as a daemon is asked for.
	PerHost = 2
)

func seconds(m Move) domain.Interval {
	if m.Option.Forecast != nil {
		return m.Option.Forecast.Seconds
	}
	return domain.Interval{P05: 0.5, P50: 2, P95: 20}
}

// Duration is how long the moves take together, begun in their order and at most so many at a time.
func Duration(moves []Move, parallel int) domain.Interval {
	if len(moves) == 0 {
		return domain.Interval{}
	}
	sources := map[string]bool{}
	for _, m := range moves {
		sources[m.From] = true
	}
	parallel = min(parallel, PerHost*len(sources))
	rng := rand.New(rand.NewPCG(1, uint64(len(moves)))) // #nosec G404 -- draws for an estimate, which has to be the same each time
	totals := make([]float64, draws)
	took := make([]float64, len(moves))
	for d := range totals {
		common := rng.NormFloat64() * math.Sqrt(shared)
		for i, m := range moves {
			s := seconds(m)
			sigma := 0.0
			if s.P05 > 0 && s.P95 > s.P05 {
				sigma = math.Log(s.P95/s.P05) / (2 * 1.645)
			}
			took[i] = s.P50 * math.Exp(sigma*(common+rng.NormFloat64()*math.Sqrt(1-shared)))
		}
		totals[d] = makespan(moves, took, parallel)
	}
	slices.Sort(totals)
	at := func(q float64) float64 { return totals[int(q*float64(len(totals)-1))] }
	return domain.Interval{P05: at(0.05), P50: at(0.5), P95: at(0.95)}
}

// makespan runs the moves: each sets up by itself, then shares the wire of its source with the others that are on it.
func makespan(moves []Move, took []float64, parallel int) float64 {
	type run struct {
		from        string
		alone, wire float64 // seconds left
	}
	var now float64
	var on []*run
	next := 0
	for next < len(moves) || len(on) > 0 {
		for next < len(moves) && len(on) < max(1, parallel) {
			alone := min(setUp, took[next])
			on = append(on, &run{moves[next].From, alone, took[next] - alone})
			next++
		}
		users := map[string]float64{}
		for _, r := range on {
			if r.alone <= 0 {
				users[r.from]++
			}
		}
		step := math.Inf(1)
		for _, r := range on {
			if r.alone > 0 {
				step = min(step, r.alone)
			} else {
				step = min(step, r.wire*users[r.from])
			}
		}
		now += step
		for _, r := range on {
			if r.alone > 0 {
				r.alone -= step
			} else {
				r.wire -= step / users[r.from]
			}
		}
		on = slices.DeleteFunc(on, func(r *run) bool { return r.alone <= 1e-9 && r.wire <= 1e-9 })
	}
	return now
}
