package domain

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ScheduleTier is one rhythm of a schedule.
type ScheduleTier string

const (
	TierHourly ScheduleTier = "hourly"
	TierDaily  ScheduleTier = "daily"
	TierWeekly ScheduleTier = "weekly"
)

// ScheduleTiers lists them, the rarest first: where two are due at the same time, one snapshot is made and the rarer one keeps it.
var ScheduleTiers = []ScheduleTier{TierWeekly, TierDaily, TierHourly}

// SnapshotSchedule takes snapshots by the clock and deletes its own old ones.
type SnapshotSchedule struct {
	ID         string
	Name       string
	Tenant     string // whose it is: it takes that tenant's VMs only. Empty: the estate's, which takes any
	Enabled    bool
	VMs        []string // ids
	Tags       []string // and every VM that has one of these
	TimeZone   string   // IANA name
	Quiesce    bool
	Hourly     *TierPlan
	Daily      *TierPlan
	Weekly     *TierPlan
	NextAt     time.Time // zero: never
	LastAt     time.Time
	LastJob    string
	LastResult string // in words; empty while the job runs
	CreatedAt  time.Time
	Version    int64
}

// TierPlan says when a tier is due and how many of its snapshots stay. The JSON names are the API's.
type TierPlan struct {
	Keep   int    `json:"keep"`
	Minute int    `json:"minute,omitempty"` // hourly: minute of the hour
	At     string `json:"at,omitempty"`     // daily and weekly: "02:30"
	Day    string `json:"day,omitempty"`    // weekly: "sunday"
}

// Weekdays are how days are written, sunday first as cron counts.
var Weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// Tier gives the plan of a tier, nil when the schedule has none.
func (s SnapshotSchedule) Tier(t ScheduleTier) *TierPlan {
	switch t {
	case TierHourly:
		return s.Hourly
	case TierDaily:
		return s.Daily
	case TierWeekly:
		return s.Weekly
	}
	return nil
}

// Takes reports whether the schedule is about a VM.
func (s SnapshotSchedule) Takes(vm VM) bool {
	if s.Tenant != "" && s.Tenant != vm.Tenant {
		return false
	}
	return slices.Contains(s.VMs, vm.ID) || slices.ContainsFunc(vm.Tags, func(t string) bool { return slices.Contains(s.Tags, t) })
}

// Cron writes a tier's rhythm as a line of cron with its time zone. The schedule must be valid.
func (s SnapshotSchedule) Cron(t ScheduleTier) string {
	p := s.Tier(t)
	zone := "CRON_TZ=" + s.TimeZone + " "
	hour, minute := clockTime(p.At)
	switch t {
	case TierHourly:
		return zone + fmt.Sprintf("%d * * * *", p.Minute)
	case TierDaily:
		return zone + fmt.Sprintf("%d %d * * *", minute, hour)
	}
	return zone + fmt.Sprintf("%d %d * * %d", minute, hour, slices.Index(Weekdays, p.Day))
}

var clockRE = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$`)

func clockTime(s string) (hour, minute int) {
	h, m, _ := strings.Cut(s, ":")
	hour, _ = strconv.Atoi(h)
	minute, _ = strconv.Atoi(m)
	return hour, minute
}

const maxKeep = 500

// Validate names all wrong fields at once.
func (s SnapshotSchedule) Validate() error {
	var p Problems
	if strings.TrimSpace(s.Name) == "" || len(s.Name) > 63 || strings.ContainsFunc(s.Name, Unseen) {
		p.Add("name", "A schedule needs a name of at most 63 characters.", "for example nightly")
	}
	if len(s.VMs) == 0 && len(s.Tags) == 0 {
		p.Add("vms", "Nothing is selected.", "at least one VM or one tag")
	}
	CheckTags(&p, "tags", s.Tags)
	if loc, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "" || loc == time.Local {
		p.Add("time_zone", "“"+s.TimeZone+"” is not a time zone.", "for example Europe/Berlin or UTC")
	}
	if s.Hourly == nil && s.Daily == nil && s.Weekly == nil {
		p.Add("daily", "It is never due.", "hourly, daily or weekly")
	}
	for _, t := range ScheduleTiers {
		plan, at := s.Tier(t), string(t)
		if plan == nil {
			continue
		}
		if plan.Keep < 1 || plan.Keep > maxKeep {
			p.Add(at+".keep", "That many cannot be kept.", "from 1 to 500")
		}
		switch t {
		case TierHourly:
			if plan.Minute < 0 || plan.Minute > 59 {
				p.Add(at+".minute", "That is not a minute of the hour.", "from 0 to 59")
			}
		default:
			if !clockRE.MatchString(plan.At) {
				p.Add(at+".at", "“"+plan.At+"” is not a time of the day.", "for example 02:30")
			}
		}
		if t == TierWeekly && !slices.Contains(Weekdays, plan.Day) {
			p.Add(at+".day", "“"+plan.Day+"” is not a day of the week.", "monday to sunday")
		}
	}
	return p.Err()
}

// Words says the rhythm in a sentence's part: "hourly at :15 (keep 24), daily at 02:30 (keep 7)".
func (s SnapshotSchedule) Words() string {
	var parts []string
	if h := s.Hourly; h != nil {
		parts = append(parts, fmt.Sprintf("hourly at :%02d, keep %d", h.Minute, h.Keep))
	}
	if d := s.Daily; d != nil {
		parts = append(parts, fmt.Sprintf("daily at %s, keep %d", d.At, d.Keep))
	}
	if w := s.Weekly; w != nil && w.Day != "" {
		parts = append(parts, fmt.Sprintf("%ss at %s, keep %d", strings.ToUpper(w.Day[:1])+w.Day[1:], w.At, w.Keep))
	}
	return strings.Join(parts, "; ")
}

// Surplus lists the snapshots of one VM that the schedule made for a tier and no longer keeps, oldest first. What others made is never among them.
func (s SnapshotSchedule) Surplus(t ScheduleTier, all []Snapshot) []Snapshot {
	p := s.Tier(t)
	if p == nil {
		return nil
	}
	var mine []Snapshot
	for _, x := range all {
		if x.ScheduleID == s.ID && x.Tier == t {
			mine = append(mine, x)
		}
	}
	slices.SortStableFunc(mine, func(a, b Snapshot) int { return a.CreatedAt.Compare(b.CreatedAt) })
	if len(mine) <= p.Keep {
		return nil
	}
	return mine[:len(mine)-p.Keep]
}
