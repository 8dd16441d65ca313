// Package forecast says how long moving a running VM will take, how long the guest will stand still, and whether copying keeps up with it.
//
// The model is that of pre-copy (Clark et al., "Live Migration of Virtual Machines", NSDI 2005) with the rules of QEMU's migration/ram.c. Disks that lie on
// the source only are mirrored first, at the path's rate less what the guest writes meanwhile. Then memory goes in rounds: the first sends every page
// that is in use (pages of zeros cost nine bytes each), each further one what was written during the round before, at most the working set. The rounds
// end when what is left can be sent within the downtime limit. How much is written is measured over a short window; in a round that is longer, a guest finds some of the same pages
// again: none others at one extreme, all others at the other, and the model takes the geometric middle, which grows with the root of the time. Two things happen when they do not get shorter, each by itself: NovaCron raises the limit along the
// policy's list, and QEMU slows the guest down (auto-converge) when in two looks, a second or more apart, the guest wrote more than half of what was sent: by 20 %, then
// 10 % more each time, to 99 %. Where the list has ended and the guest may not be slowed, post-copy or a pause ends it. Downtime is what is left over the rate, plus what
// handing over devices costs.
//
// What a path carries and what a migration costs besides is fitted to those that ended on it (Learn). Rates are never known exactly: the path's and the guest's are taken as
// log-normal around their measured medians, the model is evaluated over a grid of their quantiles, and the interval is read from the results. Where enough migrations of the
// path have ended by the same method, their actual over forecast ratios widen or shift the interval (split conformal prediction), so that nine of ten results lie inside; a few shift
// the middle by as much as so few can be trusted, and leave the interval wider.
//
// It is pure: no clock, no I/O. It does not check whether a move is possible (package preflight).
package forecast

import (
	"fmt"
	"math"
	"slices"

	"novacron/domain"
)

// Input is what is known of the guest and of the path.
type Input struct {
	Memory       int64                // bytes the guest has
	Used         int64                // bytes of it that are in use; 0: unknown, all
	Dirty        int64                // bytes a second it writes; negative: not measured
	DirtyGrain   int64                // what one sampled page that was written stands for, bytes a second: a rate of a few of those is known roughly only; 0: exact
	WorkingSet   int64                // most bytes that one round can find written; 0: Used
	DiskCopy     int64                // bytes of disks that are copied along
	DiskWrites   int64                // bytes a second the guest writes to those disks
	Rate         int64                // bytes a second of the path; 0: unknown
	RateSpread   float64              // standard deviation of the logarithm of Rate; 0: a usual one
	SetupSeconds float64              // what a migration takes beside copying; 0: a usual value
	Ratios       map[string][]float64 // by method: actual total time over the model's of past migrations of the path
	Policy       domain.MigrationPolicy
}

const (
	unknownRate   = 110e6 // a path that was never measured is taken for gigabit Ethernet
	unknownSpread = 0.7
	usualSpread   = 0.20
	dirtySpread   = 0.35
	usualSetup    = 0.45 // seconds: connecting, starting QEMU over there, ending it here
	handOver      = 0.04 // seconds: devices' state and the switch
	zeroPage      = 9.0 / 4096
	maxRounds     = 500 // of a guest that nothing makes converge
	enoughRatios  = 8
	trustedRatios = 2   // so many results count for half
	measured      = 1.0 // seconds: the window over which writing is measured
	again         = 0.5 // power of the time with which a longer round finds other pages written
	againSpread   = 0.2 // of that power
)

// outcome is one evaluation of the model.
type outcome struct {
	seconds, downtime, bytes float64
	method                   string
	converges                bool // without slowing, post-copy or pause
}

// Live forecasts moving a running guest.
func Live(in Input) domain.MigrationForecast {
	rate, spread := float64(in.Rate), in.RateSpread
	var why []string
	if rate <= 0 {
		rate, spread = unknownRate, unknownSpread
		why = append(why, "Nothing was moved over this path yet; it is taken for 1 Gbit/s, so the interval is wide.")
	} else {
		why = append(why, fmt.Sprintf("The path carries about %s/s.", domain.FormatBytes(in.Rate)))
	}
	if spread <= 0 {
		spread = usualSpread
	}
	if cap := float64(in.Policy.BandwidthBytes); cap > 0 && cap < rate {
		rate = cap
		why = append(why, fmt.Sprintf("The policy caps it at %s/s.", domain.FormatBytes(in.Policy.BandwidthBytes)))
	}
	dirty, dirtySigma := float64(in.Dirty), dirtySpread
	switch {
	case in.Dirty < 0:
		dirty, dirtySigma = float64(used(in))*0.02, 1
		why = append(why, "How fast the guest writes to its memory was not measured.")
	case in.DirtyGrain > 0:
		// So many pages of a sample were found written, by chance some more or fewer; none may have been almost one.
		pages := dirty / float64(in.DirtyGrain)
		dirtySigma = math.Sqrt(dirtySpread*dirtySpread + 1/(pages+0.5))
		dirty = max(dirty, 0.3*float64(in.DirtyGrain))
		if in.Dirty == 0 {
			why = append(why, "The guest hardly writes to its memory.")
		} else {
			why = append(why, fmt.Sprintf("The guest writes about %s/s to its memory.", domain.FormatBytes(in.Dirty)))
		}
	case in.Dirty == 0:
		why = append(why, "The guest hardly writes to its memory.")
	default:
		why = append(why, fmt.Sprintf("The guest writes about %s/s to its memory.", domain.FormatBytes(in.Dirty)))
	}
	if in.DiskCopy > 0 {
		why = append(why, fmt.Sprintf("%s of disks are copied along.", domain.FormatBytes(in.DiskCopy)))
	}
	var outs []outcome
	for _, zr := range grid {
		for _, zd := range grid {
			outs = append(outs, run(in, rate*math.Exp(zr*spread), dirty*math.Exp(zd*dirtySigma), again+zd*againSpread))
		}
	}
	f := domain.MigrationForecast{
		Seconds: interval(outs, func(o outcome) float64 { return o.seconds }), DowntimeMS: interval(outs, func(o outcome) float64 { return o.downtime * 1000 }),
		Bytes: interval(outs, func(o outcome) float64 { return o.bytes }),
	}
	middle := run(in, rate, dirty, again)
	f.Method, f.Seconds.P50, f.DowntimeMS.P50, f.Bytes.P50 = middle.method, middle.seconds, middle.downtime*1000, middle.bytes
	for _, o := range outs {
		if o.converges {
			f.Converges += 1 / float64(len(outs))
		}
	}
	f.Converges = math.Round(f.Converges*100) / 100
	f.Model, f.Cap = f.Seconds.P50, in.Policy.BandwidthBytes
	f.Seconds = calibrate(f.Seconds, in.Ratios[f.Method])
	f.Why = append(why, reason(middle.method, in, middle))
	return f
}

// Cold forecasts moving a stopped VM whose disks of bytes in all are copied; the VM stands still anyway.
func Cold(bytes int64, in Input) domain.MigrationForecast {
	in.Memory, in.Used, in.Dirty, in.WorkingSet, in.DiskCopy = 0, 0, 0, 0, bytes
	f := Live(in)
	f.Method, f.Converges, f.DowntimeMS = "cold", 1, domain.Interval{}
	f.Why = []string{"The VM is stopped, so nothing changes while it is copied."}
	if bytes == 0 {
		f.Why = append(f.Why, "Its disks are on storage that both hosts see: only the definition moves.")
		f.Seconds = domain.Interval{P05: 0.2, P50: 0.6, P95: 3}
	}
	return f
}

// grid are the quantiles of the standard normal at 5, 15 … 95 %.
var grid = []float64{-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645}

func used(in Input) int64 {
	if in.Used > 0 && in.Used < in.Memory {
		return in.Used
	}
	return in.Memory
}

// others is how many seconds' worth of other pages a round of so many seconds finds written.
func others(took, power float64) float64 {
	if took <= measured {
		return took
	}
	return measured * math.Pow(took/measured, min(1, max(0, power)))
}

func run(in Input, rate, dirty, power float64) outcome {
	setup := in.SetupSeconds
	if setup <= 0 {
		setup = usualSetup
	}
	o := outcome{seconds: setup, method: "pre-copy", converges: true}
	if in.DiskCopy > 0 {
		net := max(rate-float64(in.DiskWrites), rate*0.05)
		t := float64(in.DiskCopy) / net
		o.seconds += t
		o.bytes += t * rate
	}
	if in.Memory == 0 {
		return o
	}
	inUse := float64(used(in))
	set := inUse
	if in.WorkingSet > 0 {
		set = min(set, float64(in.WorkingSet))
	}
	left := inUse + (float64(in.Memory)-inUse)*zeroPage
	limits := in.Policy.Downtimes()
	slows := !in.Policy.NeverSlow && !in.Policy.PostCopy
	limit, stall := 0, 0
	var t throttle
	for round := 0; round < maxRounds; round++ {
		if round > 0 && left <= rate*float64(limits[limit])/1000 {
			return finish(o, left, rate)
		}
		took := left / rate
		o.seconds += took
		o.bytes += left
		written := min(set, dirty*(1-t.share)*others(took, power))
		if slows && t.look(took, left, written) {
			o.method, o.converges = "auto-converge", false
		}
		if round > 0 && written > left*stalls {
			stall++
		}
		left = written
		if stall < stallRounds {
			continue
		}
		switch {
		case limit+1 < len(limits):
			limit, stall = limit+1, 0
		case in.Policy.PostCopy:
			o.method, o.converges = "post-copy", false
			o.seconds += left / rate
			o.bytes += left
			o.downtime = handOver * 3
			return o
		case in.Policy.PauseAfterSeconds > 0 && (!slows || o.seconds >= float64(in.Policy.PauseAfterSeconds)):
			o.method, o.converges = "pause", false
			o.seconds += max(0, float64(in.Policy.PauseAfterSeconds)-o.seconds)
			return finish(o, left, rate)
		case !slows:
			o.method, o.converges = "pause", false
			return finish(o, left, rate)
		}
	}
	return finish(o, left, rate)
}

// stallRounds and stalls are NovaCron's rule for raising the limit of the pause: so many rounds that had more than this of the one before.
const (
	stallRounds = 2
	stalls      = 0.7
)

// throttle is QEMU's auto-converge (migration_trigger_throttle), with its defaults.
type throttle struct {
	share               float64 // of its time that the guest is kept from running
	period, sent, wrote float64 // since the last look
	high                int
}

// look is told of a round, and whether the guest is slowed further for it.
func (t *throttle) look(took, sent, wrote float64) bool {
	t.period, t.sent, t.wrote = t.period+took, t.sent+sent, t.wrote+wrote
	if t.period < 1 {
		return false
	}
	busy := t.wrote > t.sent/2
	t.period, t.sent, t.wrote = 0, 0, 0
	if busy {
		t.high++
	}
	if !busy || t.high < 2 || t.share >= 0.99 {
		return false
	}
	t.high, t.share = 0, min(0.99, max(0.2, t.share+0.1))
	return true
}

func finish(o outcome, left, rate float64) outcome {
	o.downtime = left/rate + handOver
	o.seconds += o.downtime
	o.bytes += left
	return o
}

func interval(outs []outcome, of func(outcome) float64) domain.Interval {
	v := make([]float64, len(outs))
	for i, o := range outs {
		v[i] = of(o)
	}
	slices.Sort(v)
	return domain.Interval{P05: quantile(v, 0.05), P50: quantile(v, 0.5), P95: quantile(v, 0.95)}
}

// quantile reads a sorted list, between its entries in proportion.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// calibrate sets the interval by how past forecasts of the same kind came out.
func calibrate(i domain.Interval, ratios []float64) domain.Interval {
	if len(ratios) == 0 {
		return i
	}
	r := slices.Clone(ratios)
	slices.Sort(r)
	if n := float64(len(r)); len(r) < enoughRatios {
		shift, wider := math.Pow(quantile(r, 0.5), n/(n+trustedRatios)), 1+1/(n+trustedRatios)
		return domain.Interval{P05: i.P05 * shift / wider, P50: i.P50 * shift, P95: i.P95 * shift * wider}
	}
	// Few results know little of the tails: the bounds are the extreme quantiles that the count supports, a little beyond for fewer than forty.
	beyond := 1 + 2/float64(len(r))
	out := domain.Interval{P05: i.P50 * quantile(r, 0.05) / beyond, P50: i.P50 * quantile(r, 0.5), P95: i.P50 * quantile(r, 0.95) * beyond}
	return out
}

func reason(method string, in Input, o outcome) string {
	switch method {
	case "auto-converge":
		return "Copying does not keep up with that, so the guest will be slowed down until it does."
	case "post-copy":
		return "Copying does not keep up with that, so the guest will go on over there before all of its memory has arrived: from then on there is no way back."
	case "pause":
		return fmt.Sprintf("Copying does not keep up with that: the guest would have to stand still for about %.1f s. Move it at a quieter time, or let the policy slow it down.", o.downtime)
	}
	if in.Memory == 0 {
		return ""
	}
	return "Copying keeps up with that."
}
