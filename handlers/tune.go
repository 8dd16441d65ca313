package handlers

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/jobs/migrate"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/tasks"
)

func (s *server) tunePage(c echo.Context) error { return s.askTune(c, http.StatusOK, tasks.Tune{}) }

func (s *server) askTune(c echo.Context, status int, m tasks.Tune) error {
	var err error
	if m.Job, err = s.DB.Job(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	if m.Job.Kind != migrate.KindMove {
		return echo.ErrNotFound
	}
	s.progress(&m.Job)
	m.Key = rand.Text()
	sh, err := s.shellFor(c, page{title: m.Job.Title, section: layout.SectionTasks, crumbs: []layout.Crumb{{Label: "Tasks", URL: live.Tasks}, {Label: m.Job.Title, URL: live.Task(m.Job.ID)}}})
	if err != nil {
		return err
	}
	return s.render(c, status, tasks.TunePage(sh, m))
}

func (s *server) tune(c echo.Context) error {
	m := tasks.Tune{Bandwidth: strings.TrimSpace(c.FormValue("bandwidth")), Downtime: strings.TrimSpace(c.FormValue("downtime_ms"))}
	refuse := func(err error) error {
		if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
			return err
		}
		m.Err = problem(err)
		return s.askTune(c, statusOf(err), m)
	}
	change := domain.MigrationTune{PostCopy: truth(c.FormValue("post_copy"))}
	var probs domain.Problems
	if m.Bandwidth != "" {
		n, err := strconv.Atoi(m.Bandwidth)
		if err != nil || n < 1 || n > 1<<20 {
			probs.Add("bandwidth", "“"+m.Bandwidth+"” is not a bandwidth.", "a whole number of MiB/s from 1")
		}
		change.BandwidthBytes = int64(n) * domain.MiB
	}
	if m.Downtime != "" {
		n, err := strconv.Atoi(m.Downtime)
		if err != nil || n < 1 || n > 60_000 {
			probs.Add("downtime_ms", "“"+m.Downtime+"” is not a pause.", "milliseconds, 1 to 60000")
		}
		change.DowntimeMS = n
	}
	if err := probs.Err(); err != nil {
		return refuse(err)
	}
	id := c.Param("id")
	if _, err := s.Fleet.TuneMigration(c.Request().Context(), subject(c).Actor(), id, change, onceKey(c)); err != nil {
		return refuse(err)
	}
	return s.done(c, live.Task(id), layout.Toast{Tone: layout.ToneInfo, Text: "The migration is being changed.", Detail: "The task list says whether the host took it."})
}
