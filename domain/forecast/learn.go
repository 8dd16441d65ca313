package forecast

import (
	"math"
	"slices"

	"novacron/domain"
)

// Path is what past migrations teach about a path.
type Path struct {
	Rate   int64                // bytes a second; 0: unknown
	Spread float64              // standard deviation of the logarithm of what was over what the fit says
	Setup  float64              // seconds that a migration takes beside copying; 0: unknown
	Ratios map[string][]float64 // by method: actual total time over what the model, with this rate and set-up, says of the bytes that were forecast
}

const (
	tellingBytes = 8 * domain.MiB // smaller ones say more of set-up than of the path
	telling      = 5              // migrations from which the set-up is told apart from the copying
	longestSetup = 10.0
	leastSetup   = 0.05
)

// Learn fits a path to the live migrations that ended on it, newest first: seconds = set-up + bytes / rate. QEMU tells the rate at which it sent memory, and then both are medians; where it does
// not, they are medians over pairs (Theil and Sen). So a few odd ones do not count. One that a policy's cap held back says nothing of the rate.
func Learn(past []domain.MigrationRecord) (p Path) {
	p = Path{Ratios: map[string][]float64{}}
	var bytes, seconds, rates, besides []float64
	for _, m := range past {
		if m.Mode != domain.MigrateLive || m.Result == nil || m.Result.Seconds <= 0 {
			continue
		}
		held := m.Forecast != nil && m.Forecast.Cap > 0 && float64(m.Result.Bytes)/m.Result.Seconds > 0.5*float64(m.Forecast.Cap)
		if m.Result.Bytes >= tellingBytes && !held {
			bytes, seconds = append(bytes, float64(m.Result.Bytes)), append(seconds, m.Result.Seconds)
			if m.Result.CopyRate > 0 {
				rates = append(rates, float64(m.Result.CopyRate))
				besides = append(besides, max(0, m.Result.Seconds-float64(m.Result.Bytes)/float64(m.Result.CopyRate)))
			}
		}
	}
	defer func() { // by what was learned
		for _, m := range past {
			if m.Mode == domain.MigrateLive && m.Result != nil && m.Result.Seconds > 0 && m.Forecast != nil && m.Forecast.Model > 0 {
				p.Ratios[m.Forecast.Method] = append(p.Ratios[m.Forecast.Method], m.Result.Seconds/p.now(*m.Forecast))
			}
		}
	}()
	if len(bytes) == 0 {
		return p
	}
	var setup, perByte float64
	if len(rates) > 0 {
		slices.Sort(rates)
		slices.Sort(besides)
		setup, perByte = max(quantile(besides, 0.5), leastSetup), 1/quantile(rates, 0.5)
	} else {
		setup, perByte = fit(bytes, seconds)
	}
	p.Rate, p.Setup = int64(1/perByte), setup
	var off float64
	for i := range bytes {
		z := math.Log(seconds[i] / (setup + bytes[i]*perByte))
		off += z * z / float64(len(bytes))
	}
	// A handful of results shows less spread than there is.
	p.Spread = max(0.05, math.Sqrt(off)) * (1 + 1/float64(len(bytes)))
	return p
}

// now is what the model would say today where it said f: the bytes that it expected, over the path as it is known by now. A path that was not known then taught nothing of the model.
func (p Path) now(f domain.MigrationForecast) float64 {
	if p.Rate <= 0 || f.Bytes.P50 <= 0 || f.Method != "pre-copy" && f.Method != "auto-converge" {
		return f.Model
	}
	rate := p.Rate
	if f.Cap > 0 {
		rate = min(rate, f.Cap)
	}
	return p.Setup + f.Bytes.P50/float64(rate)
}

func fit(bytes, seconds []float64) (setup, perByte float64) {
	var slopes, rest []float64
	for i := range bytes {
		for j := range i {
			if apart := bytes[i] / bytes[j]; apart > 1.25 || apart < 0.8 {
				slopes = append(slopes, (seconds[i]-seconds[j])/(bytes[i]-bytes[j]))
			}
		}
	}
	if len(bytes) >= telling && len(slopes) >= telling {
		slices.Sort(slopes)
		if perByte = quantile(slopes, 0.5); perByte > 0 {
			for i := range bytes {
				rest = append(rest, seconds[i]-bytes[i]*perByte)
			}
			slices.Sort(rest)
			if setup = quantile(rest, 0.5); setup > 0 && setup < longestSetup {
				return setup, perByte
			}
		}
	}
	// Too few, or too much alike, to tell the two apart.
	rest = rest[:0]
	for i := range bytes {
		rest = append(rest, max(seconds[i]-usualSetup, seconds[i]/2)/bytes[i])
	}
	slices.Sort(rest)
	return usualSetup, quantile(rest, 0.5)
}
