package domain

import (
	"cmp"
	"math"
	"slices"
)

// MigrationPath is how the forecasts of moves from one host to another came out. Error and Coverage say nothing when Told is 0.
type MigrationPath struct {
	FromID   string        `json:"from_id"`
	From     string        `json:"from"`
	ToID     string        `json:"to_id"`
	To       string        `json:"to"`
	Mode     MigrationMode `json:"mode"`
	Count    int           `json:"count" doc:"Moves that succeeded"`
	Told     int           `json:"told" doc:"Of those, the ones that had a forecast"`
	Error    float64       `json:"median_error" doc:"Median of how far the time lay from the forecast's middle, as a part of the time: 0.1 is 10 %"`
	Coverage float64       `json:"coverage" doc:"Part of the moves that ended inside the forecast's 90 % interval"`
	Rate     int64         `json:"rate" doc:"Median bytes a second; 0: not told"`
}

// PathsOf sums moves up by where they went, those with most moves first. Moves that did not succeed say nothing of the forecasts.
func PathsOf(moves []MigrationRecord) []MigrationPath {
	type key struct {
		from, to string
		mode     MigrationMode
	}
	type sums struct {
		MigrationPath
		errs, rates []float64
		held        int
	}
	by := map[key]*sums{}
	for _, m := range moves {
		if m.State != string(JobSucceeded) || m.Result == nil {
			continue
		}
		k := key{m.FromID, m.ToID, m.Mode}
		s := by[k]
		if s == nil {
			s = &sums{MigrationPath: MigrationPath{FromID: m.FromID, From: m.FromName, ToID: m.ToID, To: m.ToName, Mode: m.Mode}}
			by[k] = s
		}
		s.Count++
		if m.Result.Rate > 0 {
			s.rates = append(s.rates, float64(m.Result.Rate))
		}
		if m.Forecast == nil || m.Result.Seconds <= 0 {
			continue
		}
		s.Told++
		s.errs = append(s.errs, math.Abs(m.Result.Seconds-m.Forecast.Seconds.P50)/m.Result.Seconds)
		if m.Forecast.Seconds.Holds(m.Result.Seconds) {
			s.held++
		}
	}
	out := []MigrationPath{}
	for _, s := range by {
		s.Rate = int64(median(s.rates))
		if s.Told > 0 {
			s.Error, s.Coverage = math.Round(median(s.errs)*1000)/1000, math.Round(float64(s.held)/float64(s.Told)*1000)/1000
		}
		out = append(out, s.MigrationPath)
	}
	slices.SortFunc(out, func(a, b MigrationPath) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Mode, b.Mode))
	})
	return out
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
