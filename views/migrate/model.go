// Package migrate shows where a VM may move and how that will go, the plan that empties a host, and how past moves went beside what was forecast.
//
// It is not for the VM's or the host's own pages.
package migrate

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"novacron/domain"
)

// Move is the page that moves one VM.
type Move struct {
	VM       domain.VM
	Targets  []domain.MigrationTarget // soonest first; those that cannot last
	Measured bool                     // the guest was measured for these forecasts
	Form     Form
	Policy   domain.EffectivePolicy // what is written for it
	Err      *domain.Error
	Key      string
}

// Form is what a person chose.
type Form struct {
	Host      string
	Stall     string // what happens when copying does not keep up: slow, postcopy, pause or never
	Bandwidth string // MiB/s
	TLS       bool
}

// Evacuate is the plan that empties a host.
type Evacuate struct {
	Host    domain.Host
	Items   []Item
	Moves   int
	Stay    int
	Seconds domain.Interval
	Over    []domain.Reason
	Err     *domain.Error
	Key     string
}

// Item is one VM of the plan.
type Item struct {
	VM       domain.VM
	HostID   string
	HostName string
	Mode     domain.MigrationMode
	Why      []domain.Reason
	Forecast *domain.MigrationForecast
}

// List is the moves of the estate, newest first.
type List struct {
	Items []domain.MigrationRecord
	Next  string
	Paths []domain.MigrationPath
	Held  int // results within their forecast's interval, of Told
	Told  int
}

func failed(t domain.MigrationTarget) []domain.Check { return at(t, domain.CheckFail) }

func warned(t domain.MigrationTarget) []domain.Check { return at(t, domain.CheckWarn) }

func at(t domain.MigrationTarget, level domain.CheckLevel) (out []domain.Check) {
	for _, c := range t.Checks {
		if c.Level == level {
			out = append(out, c)
		}
	}
	return out
}

// seconds prints a time as people say it: 0.8 s, 12 s, 3 min 20 s.
func seconds(s float64) string {
	switch {
	case s < 10:
		return fmt.Sprintf("%.1f s", s)
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 7200:
		return fmt.Sprintf("%d min %d s", int(s)/60, int(s)%60)
	}
	return fmt.Sprintf("%.1f h", s/3600)
}

func between(i domain.Interval, show func(float64) string) string {
	return show(i.P05) + " to " + show(i.P95)
}

func millis(ms float64) string {
	if ms < 1000 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return seconds(ms / 1000)
}

func bytes(n float64) string { return domain.FormatBytes(int64(n)) }

var methods = map[string]string{"pre-copy": "copy while it runs", "auto-converge": "copy, slowing the guest", "post-copy": "copy, then fetch what is missing", "pause": "copy, then a pause", "cold": "copy while it is stopped"}

func method(m string) string { return cmp.Or(methods[m], m) }

func whyText(f *domain.MigrationForecast) string { return strings.Join(f.Why, " ") }

func took(m domain.MigrationRecord) string {
	if m.Result == nil {
		return ""
	}
	return seconds(m.Result.Seconds)
}

func held(m domain.MigrationRecord) (in, told bool) {
	if m.Result == nil || m.Forecast == nil {
		return false, false
	}
	return m.Forecast.Seconds.Holds(m.Result.Seconds), true
}

// Summarise fills the counts of a list.
func (l *List) Summarise() {
	for _, m := range l.Items {
		in, told := held(m)
		if told {
			l.Told++
		}
		if in {
			l.Held++
		}
	}
}

func share(l List) string {
	return fmt.Sprintf("%d of %d ended within their forecast's interval.", l.Held, l.Told)
}

func percent(p domain.MigrationPath, v float64) string {
	if p.Told == 0 {
		return "not told"
	}
	return fmt.Sprintf("%.0f %%", v*100)
}

func since(m domain.MigrationRecord) time.Time { return m.Started }

// Seconds prints a time as people say it.
func Seconds(s float64) string { return seconds(s) }

// Between prints an interval of seconds.
func Between(i domain.Interval) string { return between(i, seconds) }

// Method says how a VM moves.
func Method(m string) string { return method(m) }
