package handlers

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/domain/desired"
	"novacron/views/drift"
	"novacron/views/layout"
	"novacron/views/live"
)

func (s *server) driftModel(ctx context.Context) (drift.Page, error) {
	m := drift.Page{Key: rand.Text()}
	var err error
	m.Items, m.Applied, err = s.Fleet.Drift(ctx, "")
	return m, err
}

// drift draws what deviates again when something happened that it may come of.
func (d *drawing) drift(ctx context.Context, a affected) {
	about := func(ev domain.Event) bool {
		return ev.Kind != domain.EventStep && !slices.Contains([]string{"volume", "image", "alert", "session"}, ev.Resource.Kind)
	}
	if !d.may(access.HostMaintain) || !slices.ContainsFunc(a.evs, about) {
		return
	}
	m, err := d.s.driftModel(ctx)
	if err != nil {
		d.err = err
		return
	}
	d.add(ctx, drift.StreamList(d.shell(), m))
}

func (s *server) driftList(c echo.Context) error {
	after := s.DB.Feed().Last()
	m, err := s.driftModel(c.Request().Context())
	if err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{title: "Drift", section: layout.SectionTasks, crumbs: []layout.Crumb{{Label: "Tasks", URL: live.Tasks}}, on: live.OnDrift, after: after})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, drift.ListPage(sh, m))
}

func (s *server) driftAct(c echo.Context) error {
	ctx, by := c.Request().Context(), subject(c).Actor()
	kind, name := desired.Kind(c.Param("kind")), c.Param("name")
	if kind == desired.KindPolicy {
		name = strings.Replace(name, ":", "/", 1)
	}
	var err error
	say, job := "", domain.Job{}
	switch c.Param("act") {
	case "adopt":
		err, say = s.Fleet.AdoptDrift(ctx, by, "", kind, name), "What is is taken for what was applied. Let the files follow, or their next apply says otherwise."
	case "ignore":
		err, say = s.Fleet.IgnoreDrift(ctx, by, "", kind, name, false), "It is not spoken of any more, unless it comes to deviate otherwise."
	case "speak":
		err, say = s.Fleet.IgnoreDrift(ctx, by, "", kind, name, true), "It is spoken of again."
	case "revert":
		job, err = s.Fleet.RevertDrift(ctx, by, "", kind, name, onceKey(c))
	default:
		return echo.ErrNotFound
	}
	switch {
	case err != nil:
		return s.sayOrFail(c, live.Drift, err)
	case job.ID != "":
		return s.moveSaying(c, live.Drift, layout.TaskToast(job, live.Task(job.ID)))
	}
	return s.moveSaying(c, live.Drift, layout.Toast{Tone: layout.ToneSuccess, Text: say})
}
