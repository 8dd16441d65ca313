package handlers

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/snapshot"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/schedules"
)

func (s *server) scheduleShell(c echo.Context, title string) (layout.Shell, error) {
	p := page{title: title, section: layout.SectionVMs, crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}}}
	if title != "Snapshot schedules" {
		p.crumbs = append(p.crumbs, layout.Crumb{Label: "Snapshot schedules", URL: live.Schedules})
	}
	return s.shellFor(c, p)
}

func (s *server) scheduleList(c echo.Context) error {
	ctx := c.Request().Context()
	all, err := s.DB.Schedules(ctx)
	if err != nil {
		return err
	}
	var m schedules.List
	for _, x := range all {
		vms, err := snapshot.Selected(ctx, s.DB, x)
		if err != nil {
			return err
		}
		m.Rows = append(m.Rows, schedules.Row{SnapshotSchedule: x, Selected: len(vms), Own: subject(c).On(access.VMSnapshot, access.Object{Kind: "schedule", ID: x.ID, Tenant: x.Tenant})})
	}
	sh, err := s.scheduleShell(c, "Snapshot schedules")
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, schedules.ListPage(sh, m))
}

func (s *server) scheduleForm(c echo.Context) error {
	m := schedules.Form{Schedule: domain.SnapshotSchedule{Enabled: true, Quiesce: true, TimeZone: "UTC", Daily: &domain.TierPlan{Keep: 7, At: "02:00"}}}
	if id := c.Param("id"); id != "" {
		var err error
		if m.Schedule, err = s.DB.Schedule(c.Request().Context(), id); err != nil {
			return err
		}
	}
	m.Raw = schedules.RawOf(m.Schedule)
	return s.showSchedule(c, http.StatusOK, m)
}

func (s *server) showSchedule(c echo.Context, status int, m schedules.Form) error {
	page, err := s.DB.VMs(c.Request().Context(), db.VMQuery{Limit: 1000})
	if err != nil {
		return err
	}
	m.VMs = page.Items
	if m.Schedule.ID == "" {
		if m.Whose, err = s.whose(c.Request().Context(), subject(c), access.VMSnapshot, m.Schedule.Tenant); err != nil {
			return err
		}
	}
	title := "New schedule"
	if m.Schedule.ID != "" {
		title = m.Schedule.Name
	}
	sh, err := s.scheduleShell(c, title)
	if err != nil {
		return err
	}
	return s.render(c, status, schedules.FormPage(sh, m))
}

// scheduleTyped reads the form; a number that is none is said of its field.
func scheduleTyped(c echo.Context) (schedules.Raw, domain.SnapshotSchedule, error) {
	form, err := c.FormParams()
	if err != nil {
		return schedules.Raw{}, domain.SnapshotSchedule{}, err
	}
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	r := schedules.Raw{
		Name: get("name"), Tags: get("tags"), TimeZone: get("time_zone"), Enabled: truth(get("enabled")), Quiesce: truth(get("quiesce")), VMs: form["vms"],
		HourlyKeep: get("hourly.keep"), HourlyMinute: get("hourly.minute"), DailyKeep: get("daily.keep"), DailyAt: get("daily.at"),
		WeeklyKeep: get("weekly.keep"), WeeklyAt: get("weekly.at"), WeeklyDay: get("weekly.day"),
	}
	var p domain.Problems
	number := func(field, text string) int {
		n, err := strconv.Atoi(text)
		if text != "" && err != nil {
			p.Add(field, "“"+text+"” is not a number.", "a whole number")
		}
		return n
	}
	x := domain.SnapshotSchedule{Name: r.Name, Tenant: get("tenant"), Enabled: r.Enabled, Quiesce: r.Quiesce, VMs: r.VMs, Tags: words(r.Tags), TimeZone: r.TimeZone}
	if r.HourlyKeep != "" {
		x.Hourly = &domain.TierPlan{Keep: number("hourly.keep", r.HourlyKeep), Minute: number("hourly.minute", r.HourlyMinute)}
	}
	if r.DailyKeep != "" {
		x.Daily = &domain.TierPlan{Keep: number("daily.keep", r.DailyKeep), At: r.DailyAt}
	}
	if r.WeeklyKeep != "" {
		x.Weekly = &domain.TierPlan{Keep: number("weekly.keep", r.WeeklyKeep), At: r.WeeklyAt, Day: r.WeeklyDay}
	}
	return r, x, p.Err()
}

func (s *server) scheduleSave(c echo.Context) error {
	raw, x, err := scheduleTyped(c)
	x.ID = c.Param("id")
	if err == nil && x.ID != "" {
		x.Version, err = formVersion(c)
	}
	if err == nil {
		if x, err = s.Fleet.PutSchedule(c.Request().Context(), subject(c).Actor(), x); err == nil {
			return s.moveSaying(c, live.Schedules, layout.Toast{Tone: layout.ToneSuccess, Text: "The schedule " + x.Name + " was saved."})
		}
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	m := schedules.Form{Schedule: x, Raw: raw, Err: problem(err)}
	if id := c.Param("id"); id != "" {
		now, dbErr := s.DB.Schedule(c.Request().Context(), id)
		if dbErr != nil {
			return dbErr
		}
		m.Schedule.ID, m.Schedule.Version = now.ID, now.Version
	}
	return s.showSchedule(c, statusOf(err), m)
}

func (s *server) scheduleAsk(c echo.Context) error {
	if c.Param("action") != "delete" {
		return echo.ErrNotFound
	}
	x, err := s.DB.Schedule(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	sh, err := s.scheduleShell(c, "Delete "+x.Name)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, schedules.DeletePage(sh, schedules.Delete{Schedule: x}))
}

func (s *server) scheduleAct(c echo.Context) error {
	ctx, id, by := c.Request().Context(), c.Param("id"), subject(c).Actor()
	switch c.Param("action") {
	case "run":
		job, err := s.Fleet.RunSchedule(ctx, by, id, onceKey(c))
		if err != nil {
			return s.sayOrFail(c, live.Schedules, err)
		}
		return s.done(c, live.Schedules, layout.TaskToast(job, live.Task(job.ID)))
	case "delete":
		if err := s.Fleet.DeleteSchedule(ctx, by, id); err != nil {
			return s.sayOrFail(c, live.Schedules, err)
		}
		return s.moveSaying(c, live.Schedules, layout.Toast{Tone: layout.ToneSuccess, Text: "The schedule was deleted; its snapshots stay."})
	}
	return echo.ErrNotFound
}
