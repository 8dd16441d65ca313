// Package schedules shows the snapshot schedules: what they take, when they ran and will run, and the form for one.
//
// It is not for snapshots themselves: those are on their VM's page (package vms).
package schedules

import (
	"fmt"
	"strconv"
	"strings"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
)

// List is the page of all schedules.
type List struct {
	Rows []Row
}

// Row is one schedule and how many VMs it selects now.
type Row struct {
	domain.SnapshotSchedule
	Selected int
	Own      bool // the person may change it
}

// Form is the page of one schedule, new (no ID) or to be changed.
type Form struct {
	Schedule domain.SnapshotSchedule
	VMs      []domain.VM // all there are, to choose from
	Raw      Raw         // as typed
	Whose    layout.Whose
	Err      *domain.Error
}

// Raw is a schedule as it is typed.
type Raw struct {
	Name, Tags, TimeZone                         string
	Enabled, Quiesce                             bool
	VMs                                          []string
	HourlyKeep, HourlyMinute, DailyKeep, DailyAt string
	WeeklyKeep, WeeklyAt, WeeklyDay              string
}

// RawOf writes a schedule as one would type it.
func RawOf(s domain.SnapshotSchedule) Raw {
	r := Raw{Name: s.Name, Tags: strings.Join(s.Tags, " "), TimeZone: s.TimeZone, Enabled: s.Enabled, Quiesce: s.Quiesce, VMs: s.VMs, HourlyMinute: "0", DailyAt: "02:00", WeeklyAt: "03:00", WeeklyDay: "sunday"}
	if h := s.Hourly; h != nil {
		r.HourlyKeep, r.HourlyMinute = fmt.Sprint(h.Keep), fmt.Sprint(h.Minute)
	}
	if d := s.Daily; d != nil {
		r.DailyKeep, r.DailyAt = fmt.Sprint(d.Keep), d.At
	}
	if w := s.Weekly; w != nil {
		r.WeeklyKeep, r.WeeklyAt, r.WeeklyDay = fmt.Sprint(w.Keep), w.At, w.Day
	}
	return r
}

// Delete is the dialog before a schedule is deleted.
type Delete struct {
	Schedule domain.SnapshotSchedule
}

func what(r Row) string {
	n := fmt.Sprintf("%d VMs", r.Selected)
	if r.Selected == 1 {
		n = "1 VM"
	}
	if len(r.Tags) > 0 {
		n += " (tags " + strings.Join(r.Tags, ", ") + ")"
	}
	return n
}

func heading(m Form) string {
	if m.Schedule.ID == "" {
		return "New snapshot schedule"
	}
	return "Schedule " + m.Schedule.Name
}

func formURL(m Form) string {
	if m.Schedule.ID == "" {
		return live.Schedules
	}
	return live.Schedule(m.Schedule.ID)
}

func yes(on bool) string {
	if on {
		return "1"
	}
	return ""
}

func version(m Form) string { return strconv.FormatInt(m.Schedule.Version, 10) }
