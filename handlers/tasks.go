package handlers

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/db"
	"novacron/domain"
	"novacron/views/events"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/tasks"
)

const (
	tasksPerPage  = 100
	eventsPerPage = 200
	// How far a list looks for what its filter wants before it offers to look further: these lists have no index for words.
	lookThrough = 1000
)

func (s *server) taskList(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	m := tasks.List{State: c.QueryParam("state"), Filter: strings.TrimSpace(c.QueryParam("filter")), After: c.QueryParam("after")}
	if err := s.fillTasks(c.Request().Context(), &m); err != nil {
		return 0, nil, err
	}
	sh, err := s.shellFor(c, page{title: "Tasks", section: layout.SectionTasks, on: "tasks", after: after})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, tasks.ListPage(sh, m), nil
}

// fillTasks reads a page of jobs. Words are looked for in what was read, page after page, up to a bound.
func (s *server) fillTasks(ctx context.Context, m *tasks.List) error {
	q := db.JobQuery{After: m.After, Limit: tasksPerPage, TopLevel: true}
	failed := m.State == "failed"
	switch m.State {
	case "", "failed":
	case "active":
		q.Active = true
	default:
		q.State = domain.JobState(m.State)
	}
	want := strings.Fields(strings.ToLower(m.Filter))
	for looked := 0; looked < lookThrough && len(m.Items) < tasksPerPage; looked += tasksPerPage {
		p, err := s.DB.Jobs(ctx, q)
		if err != nil {
			return err
		}
		for _, j := range p.Items {
			if (!failed || j.State == domain.JobUndone || j.State == domain.JobStuck) && matches(j, want) {
				m.Items = append(m.Items, j)
			}
		}
		m.Next = p.Next
		if !failed && len(want) == 0 {
			m.Total = p.Total
			break
		}
		if p.Next == "" {
			break
		}
		q.After = p.Next
	}
	m.Items = s.withProgress(m.Items)
	return nil
}

func matches(j domain.Job, want []string) bool {
	text := strings.ToLower(j.Title + "\n" + j.Actor + "\n" + j.Resource.Name + "\n" + j.ID)
	for _, w := range want {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

func (s *server) taskPage(c echo.Context) error {
	after := s.DB.Feed().Last()
	m, err := s.taskModel(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	p := page{title: m.Job.Title, section: layout.SectionTasks, on: m.Job.ID, after: after, crumbs: []layout.Crumb{{Label: "Tasks", URL: live.Tasks}}}
	if m.Parent != nil {
		p.crumbs = append(p.crumbs, layout.Crumb{Label: m.Parent.Title, URL: live.Task(m.Parent.ID)})
	}
	sh, err := s.shellFor(c, p)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, tasks.ShowPage(sh, m))
}

func (s *server) taskModel(ctx context.Context, id string) (tasks.Page, error) {
	var m tasks.Page
	var err error
	if m.Job, err = s.DB.Job(ctx, id); err != nil {
		return m, err
	}
	s.progress(&m.Job)
	m.Choices = s.Engine.Choices(m.Job)
	if m.Log, err = s.DB.JobLog(ctx, id); err != nil {
		return m, err
	}
	if m.Children, err = s.DB.Children(ctx, id); err != nil {
		return m, err
	}
	m.Children = s.withProgress(m.Children)
	if m.Job.ParentID != "" {
		parent, err := s.DB.Job(ctx, m.Job.ParentID)
		if err != nil && !domain.Is(err, domain.NotFound) {
			return m, err
		}
		if err == nil {
			m.Parent = &parent
		}
	}
	return m, nil
}

func (s *server) taskAct(c echo.Context) error {
	ctx, id, actor := c.Request().Context(), c.Param("id"), subject(c).Actor()
	var err error
	t := layout.Toast{Tone: layout.ToneInfo}
	switch c.Param("action") {
	case "cancel":
		err, t.Text, t.Detail = s.Engine.Cancel(ctx, id, actor), "The task is being cancelled.", "What it had done is taken back."
	case "retry":
		err, t.Text = s.Engine.Retry(ctx, id, actor), "The task goes on from where it stopped."
	case live.TaskChoose:
		err, t.Text = s.Engine.Choose(ctx, id, c.FormValue("choice"), actor), "The task goes on as you chose."
	case "dismiss":
		err, t.Text, t.Detail = s.Engine.Dismiss(ctx, id, actor), "The task was dismissed.", "What it held is free; what it left is as it is."
	default:
		return echo.ErrNotFound
	}
	if err != nil {
		return s.sayOrFail(c, live.Task(id), err)
	}
	return s.done(c, live.Task(id), t)
}

func (s *server) eventList(c echo.Context) (int, templ.Component, error) {
	after := s.DB.Feed().Last()
	m := events.List{Kind: c.QueryParam("kind"), Before: c.QueryParam("before")}
	before := int64(0)
	if m.Before != "" {
		var err error
		if before, err = strconv.ParseInt(m.Before, 10, 64); err != nil || before < 1 {
			return 0, nil, domain.InvalidField("before", "“"+m.Before+"” is not an event's number.", "the link at the end of the list")
		}
	}
	if err := s.fillEvents(c.Request().Context(), &m, before, c.QueryParam("q")); err != nil {
		return 0, nil, err
	}
	sh, err := s.shellFor(c, page{title: "Events", section: layout.SectionEvents, on: "events", after: after})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, events.ListPage(sh, m), nil
}

func (s *server) fillEvents(ctx context.Context, m *events.List, before int64, text string) error {
	want := strings.Fields(strings.ToLower(text))
	for looked := 0; looked < lookThrough*5 && len(m.Items) < eventsPerPage; looked += lookThrough {
		limit := eventsPerPage
		if m.Kind != "" && m.Kind != events.All || len(want) > 0 {
			limit = lookThrough
		}
		evs, err := s.DB.Events(ctx, db.EventQuery{Before: before, Newest: true, Limit: limit, NoSteps: m.Kind != events.Steps && m.Kind != events.All})
		if err != nil {
			return err
		}
		for _, ev := range evs {
			before = ev.Seq
			if wantsEvent(ev, m.Kind, want) {
				m.Items = append(m.Items, ev)
				if len(m.Items) == eventsPerPage {
					break
				}
			}
		}
		m.Next = ""
		if len(evs) < limit {
			break
		}
		m.Next = strconv.FormatInt(before, 10)
	}
	return nil
}

func wantsEvent(ev domain.Event, kind string, words []string) bool {
	switch step := ev.Kind == domain.EventStep; kind {
	case events.All:
	case events.Steps:
		if !step {
			return false
		}
	default:
		if step || kind != "" && !strings.HasPrefix(ev.Kind, kind+".") {
			return false
		}
	}
	text := strings.ToLower(ev.Message + "\n" + ev.Resource.Name + "\n" + ev.Actor + "\n" + ev.Kind)
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}
