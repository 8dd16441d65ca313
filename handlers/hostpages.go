package handlers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/hosts"
	"novacron/views/layout"
	"novacron/views/live"
)

var hostTabs = []string{"summary", live.MonitorTab, "vms", "storage", "networks", "devices", "events"}

// trialWait is how long a trial or the first connection may keep the form waiting; the job itself has deadlines for every step.
const trialWait = 20 * time.Second

func (s *server) hostList(c echo.Context) (int, templ.Component, error) {
	ctx := c.Request().Context()
	after := s.DB.Feed().Last()
	rows, err := s.hostRows(ctx)
	if err != nil {
		return 0, nil, err
	}
	m := hosts.List{Filter: c.QueryParam("filter"), Sort: c.QueryParam("sort"), Desc: truth(c.QueryParam("desc"))}
	m.Items = filterHosts(rows, m.Filter)
	sortHosts(m.Items, m.Sort, m.Desc)
	sh, err := s.shellFor(c, page{title: "Hosts", section: layout.SectionHosts, on: "hosts", after: after})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, hosts.ListPage(sh, m), nil
}

func (s *server) hostRows(ctx context.Context) ([]hosts.Row, error) {
	all, err := s.DB.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	loads, err := s.DB.HostLoads(ctx)
	if err != nil {
		return nil, err
	}
	rows := make([]hosts.Row, len(all))
	for i, h := range all {
		rows[i] = hostRow(h, loads[h.ID])
	}
	return rows, nil
}

func hostRow(h domain.Host, l db.HostLoad) hosts.Row {
	return hosts.Row{Host: h, VMs: l.VMs, Running: l.Running, VCPUs: l.VCPUsRunning, Memory: l.MemoryRunning}
}

// filterHosts keeps the hosts that have every word somewhere: name, URI, state, a label, notes, model. A minus turns a word round.
func filterHosts(rows []hosts.Row, filter string) []hosts.Row {
	terms := strings.Fields(strings.ToLower(filter))
	return slices.DeleteFunc(rows, func(r hosts.Row) bool {
		text := strings.ToLower(strings.Join([]string{r.Host.Name, r.Host.URI, string(r.Host.State), r.Host.Notes, r.Host.Facts.CPUModel, r.Host.Facts.Hostname}, "\n"))
		for k, v := range r.Host.Labels {
			text += "\n" + strings.ToLower(k+"="+v)
		}
		if r.Host.Maintenance {
			text += "\nmaintenance"
		}
		for _, t := range terms {
			word, not := strings.CutPrefix(t, "-")
			word = strings.TrimPrefix(strings.TrimPrefix(word, "state:"), "label:")
			if word != "" && strings.Contains(text, word) == not {
				return true
			}
		}
		return false
	})
}

func sortHosts(rows []hosts.Row, by string, desc bool) {
	slices.SortStableFunc(rows, func(a, b hosts.Row) int {
		c := 0
		switch by {
		case "state":
			c = strings.Compare(string(a.Host.State), string(b.Host.State))
		case "vms":
			c = a.VMs - b.VMs
		case "cpus", "vcpus":
			c = a.Host.Facts.CPUs - b.Host.Facts.CPUs
		case "memory":
			c = compare64(a.Host.Facts.MemoryBytes, b.Host.Facts.MemoryBytes)
		case "storage":
			c = compare64(a.Host.Facts.StorageFreeBytes, b.Host.Facts.StorageFreeBytes)
		}
		if c == 0 {
			c = strings.Compare(strings.ToLower(a.Host.Name), strings.ToLower(b.Host.Name))
		}
		if desc {
			return -c
		}
		return c
	})
}

func compare64(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (s *server) hostPage(c echo.Context) (int, templ.Component, error) {
	ctx := c.Request().Context()
	after := s.DB.Feed().Last()
	m, err := s.hostModel(ctx, subject(c), c.Param("id"), c.Param("tab"))
	if err != nil {
		return 0, nil, err
	}
	h := m.Row.Host
	status := http.StatusOK
	if m.Tab == live.MonitorTab {
		if m.Monitor, err = s.chartSet(ctx, c.Request().URL, domain.HostCharts(h.ID, h.Name)); err != nil {
			return 0, nil, err
		}
		if m.Monitor.Marks, err = s.marksOf(ctx, db.EventQuery{HostID: h.ID}, m.Monitor.Span); err != nil {
			return 0, nil, err
		}
	}
	if m.Tab == "vms" {
		if m.List, status, err = s.listFor(ctx, subject(c), c.Request().URL, &h); err != nil {
			return 0, nil, err
		}
	}
	sh, err := s.shellFor(c, page{
		title: h.Name, section: layout.SectionHosts, on: h.ID, host: h.ID, select_: h.ID, after: after,
		crumbs: []layout.Crumb{{Label: "Hosts", URL: live.Hosts}},
	})
	if err != nil {
		return 0, nil, err
	}
	if m.Tab == "vms" {
		sh.Live = withTotal(sh.Live, m.List.Total)
		s.shell.drawnRows.into(ctx, sh, &m.List)
	}
	return status, hosts.ShowPage(sh, m), nil
}

// hostModel reads what one tab of a host's page shows, apart from the list of VMs.
func (s *server) hostModel(ctx context.Context, sub auth.Subject, id, tab string) (hosts.Page, error) {
	if tab == "" {
		tab = "summary"
	}
	m := hosts.Page{Tab: tab}
	if !slices.Contains(hostTabs, tab) {
		return m, echo.ErrNotFound
	}
	row, err := s.hostRowOf(ctx, id)
	if err != nil {
		return m, err
	}
	m.Row = row
	active, err := s.DB.Jobs(ctx, db.JobQuery{Resource: id, Active: true, Limit: 1})
	if err != nil {
		return m, err
	}
	if len(active.Items) > 0 {
		s.progress(&active.Items[0])
		m.Job = &active.Items[0]
	}
	switch tab {
	case "summary":
		if m.Pools, err = s.DB.Pools(ctx, id); err != nil {
			return m, err
		}
		if m.Events, err = s.DB.Events(ctx, db.EventQuery{HostID: id, Newest: true, Limit: recentEvents, NoSteps: true}); err != nil {
			return m, err
		}
		if sub.Can(access.JobRead) {
			m.Jobs, err = s.jobsOf(ctx, id, recentJobs)
		}
	case "storage":
		if m.Pools, err = s.DB.Pools(ctx, id); err != nil {
			return m, err
		}
		m.Volumes, err = s.DB.Volumes(ctx, id, "")
	case "networks":
		m.Networks, err = s.DB.Networks(ctx, id)
	case "devices":
		m.Devices, err = s.deviceRows(ctx, id, "")
	case "events":
		m.Events, err = s.DB.Events(ctx, db.EventQuery{HostID: id, Newest: true, Limit: tabEvents, NoSteps: true})
	}
	return m, err
}

func (s *server) hostRowOf(ctx context.Context, id string) (hosts.Row, error) {
	h, err := s.DB.Host(ctx, id)
	if err != nil {
		return hosts.Row{}, err
	}
	loads, err := s.DB.HostLoads(ctx)
	if err != nil {
		return hosts.Row{}, err
	}
	return hostRow(h, loads[id]), nil
}

func (s *server) hostNew(c echo.Context) error {
	m := hosts.Add{}
	if values, ok := s.takeDraft(c); ok {
		m.Form = hosts.Decode(values)
	} else {
		m.Form = hosts.Decode(c.QueryParams())
	}
	return s.addPage(c, http.StatusOK, m)
}

func (s *server) addPage(c echo.Context, status int, m hosts.Add) error {
	m.Key = rand.Text()
	sh, err := s.shellFor(c, page{title: "Add a host", section: layout.SectionHosts, crumbs: []layout.Crumb{{Label: "Hosts", URL: live.Hosts}}})
	if err != nil {
		return err
	}
	return s.render(c, status, hosts.AddPage(sh, m))
}

// hostForm reads the form; the request is usable when err is nil.
func hostForm(c echo.Context) (hosts.Form, fleet.AddHost, error) {
	values, err := c.FormParams()
	if err != nil {
		return hosts.Form{}, fleet.AddHost{}, domain.Errorf(domain.Invalid, "The form cannot be read: %w", err)
	}
	f := hosts.Decode(values)
	labels, err := f.LabelMap()
	return f, fleet.AddHost{Name: strings.TrimSpace(f.Name), URI: strings.TrimSpace(f.URI), Creds: f.Credentials(), Labels: labels, Key: onceKey(c)}, err
}

// hostTry connects without saving anything and shows what was found, or which step failed.
func (s *server) hostTry(c echo.Context) error {
	ctx := c.Request().Context()
	form, req, err := hostForm(c)
	m := hosts.Add{Form: form}
	if err == nil {
		req.Key = "" // every click is a new trial
		m.Trial, err = s.try(ctx, c, req)
	}
	switch {
	case err == nil:
		return s.addPage(c, http.StatusOK, m)
	case domain.CodeOf(err) == domain.Internal:
		return err
	}
	m.Err = problem(err)
	return s.addPage(c, statusOf(err), m)
}

func (s *server) try(ctx context.Context, c echo.Context, req fleet.AddHost) (*hosts.Trial, error) {
	job, err := s.Fleet.TryHost(ctx, subject(c).Actor(), req)
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, trialWait)
	defer cancel()
	if job, err = s.Engine.Wait(wait, job.ID); err != nil {
		return nil, err
	}
	t := &hosts.Trial{URI: req.URI, Err: job.Error}
	if len(job.Result) > 0 {
		if err := json.Unmarshal(job.Result, &t.Facts); err != nil {
			return nil, domain.Errorf(domain.Internal, "The trial's result cannot be read: %w", err)
		}
	}
	if !job.State.Ended() {
		t.Err = &domain.JobError{Code: domain.Unavailable, Message: "The host has not answered yet.", Fix: "The trial goes on; its task shows what it finds."}
	}
	return t, nil
}

func (s *server) hostAdd(c echo.Context) error {
	ctx := c.Request().Context()
	form, req, err := hostForm(c)
	var job domain.Job
	if err == nil {
		job, err = s.Fleet.AddHost(ctx, subject(c).Actor(), req)
	}
	if err == nil {
		job, err = s.settle(ctx, job, trialWait)
	}
	switch code := domain.CodeOf(err); {
	case err == nil && strings.HasPrefix(job.Resource.ID, "host_"):
		return s.moveSaying(c, live.Host(job.Resource.ID), ended(job))
	case err == nil:
		return s.moveSaying(c, live.Hosts, ended(job))
	case code == domain.Internal:
		return err
	}
	return s.addPage(c, statusOf(err), hosts.Add{Form: form, Err: problem(err)})
}

func (s *server) hostEditPage(c echo.Context) error {
	h, err := s.DB.Host(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	form := hosts.Filled(h)
	if values, ok := s.takeDraft(c); ok {
		form = hosts.Decode(values)
	}
	return s.editHostPage(c, http.StatusOK, hosts.Edit{Host: h, Form: form})
}

func (s *server) editHostPage(c echo.Context, status int, m hosts.Edit) error {
	sh, err := s.shellFor(c, page{
		title: "Edit " + m.Host.Name, section: layout.SectionHosts, host: m.Host.ID, select_: m.Host.ID,
		crumbs: []layout.Crumb{{Label: "Hosts", URL: live.Hosts}, {Label: m.Host.Name, URL: live.Host(m.Host.ID)}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, hosts.EditPage(sh, m))
}

func (s *server) hostEdit(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	version, err := formVersion(c)
	if err != nil {
		return err
	}
	form, req, err := hostForm(c)
	notes := strings.ReplaceAll(form.Notes, "\r\n", "\n")
	var scrape *time.Duration
	if err == nil {
		scrape, err = form.ScrapeEdit()
	}
	if err == nil {
		_, err = s.Fleet.EditHost(ctx, subject(c).Actor(), id, version, fleet.HostEdit{Name: &req.Name, Notes: &notes, Labels: &req.Labels, Accel: form.AccelEdit(), Scrape: scrape})
	}
	if err == nil {
		return s.moveSaying(c, live.Host(id), layout.Toast{Tone: layout.ToneSuccess, Text: "Saved."})
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	h, dbErr := s.DB.Host(ctx, id)
	if dbErr != nil {
		return dbErr
	}
	return s.editHostPage(c, statusOf(err), hosts.Edit{Host: h, Form: form, Err: problem(err)})
}

func (s *server) hostMaintenance(c echo.Context) error {
	id, on := c.Param("id"), truth(c.FormValue("on"))
	h, err := s.Fleet.EditHost(c.Request().Context(), subject(c).Actor(), id, 0, fleet.HostEdit{Maintenance: &on})
	if err != nil {
		return s.sayOrFail(c, live.Host(id), err)
	}
	t, back := layout.Toast{Tone: layout.ToneSuccess, Text: h.Name + " takes new VMs again."}, "1"
	if on {
		t.Text, t.Detail = h.Name+" is in maintenance.", "No new VM is placed on it; what runs there goes on."
		back = "0"
	}
	t.Undo = live.With(live.HostMaintenance(id), "on", back)
	return s.done(c, live.Host(id), t)
}

func (s *server) hostReconnect(c echo.Context) error {
	id := c.Param("id")
	job, err := s.Fleet.ReconnectHost(c.Request().Context(), subject(c).Actor(), id)
	if err != nil {
		return s.sayOrFail(c, live.Host(id), err)
	}
	return s.done(c, live.Host(id), layout.TaskToast(job, live.Task(job.ID)))
}

func (s *server) hostRemovePage(c echo.Context) error {
	return s.askRemove(c, http.StatusOK, nil)
}

func (s *server) askRemove(c echo.Context, status int, refused *domain.Error) error {
	row, err := s.hostRowOf(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	h := row.Host
	sh, err := s.shellFor(c, page{
		title: "Remove " + h.Name, section: layout.SectionHosts, host: h.ID, select_: h.ID,
		crumbs: []layout.Crumb{{Label: "Hosts", URL: live.Hosts}, {Label: h.Name, URL: live.Host(h.ID)}},
	})
	if err != nil {
		return err
	}
	return s.render(c, status, hosts.RemovePage(sh, hosts.Remove{Row: row, Err: refused, Key: rand.Text()}))
}

func (s *server) hostRemove(c echo.Context) error {
	ctx := c.Request().Context()
	job, err := s.Fleet.RemoveHost(ctx, subject(c).Actor(), c.Param("id"), onceKey(c))
	if err == nil {
		job, err = s.settle(ctx, job, earlyEnd)
	}
	if err == nil {
		return s.moveSaying(c, live.Hosts, ended(job))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	return s.askRemove(c, statusOf(err), problem(err))
}
