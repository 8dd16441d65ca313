package handlers

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/plans"
)

func (s *server) planShell(c echo.Context, title, on string, after int64) (layout.Shell, error) {
	p := page{title: title, section: layout.SectionHosts, on: on, after: after, crumbs: []layout.Crumb{{Label: "Hosts", URL: live.Hosts}}}
	if title != "Maintenance" {
		p.crumbs = append(p.crumbs, layout.Crumb{Label: "Maintenance", URL: live.Plans})
	}
	return s.shellFor(c, p)
}

// plansShown is a page of the list.
const plansShown = 200

func (s *server) planList(c echo.Context) error {
	all, err := s.DB.Plans(c.Request().Context(), db.PlanQuery{Limit: plansShown})
	if err != nil {
		return err
	}
	sh, err := s.planShell(c, "Maintenance", "", 0)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, plans.ListPage(sh, plans.List{Items: all}))
}

func (s *server) planNew(c echo.Context) error {
	m := plans.New{Parallel: "2", Gate: string(domain.GateConfirm)}
	if h := c.QueryParam("host"); h != "" {
		m.Chosen = []string{h}
	}
	return s.askPlan(c, http.StatusOK, m)
}

func (s *server) askPlan(c echo.Context, status int, m plans.New) (err error) {
	if m.Hosts, err = s.DB.Hosts(c.Request().Context()); err != nil {
		return err
	}
	sh, err := s.planShell(c, "New maintenance plan", "", 0)
	if err != nil {
		return err
	}
	return s.render(c, status, plans.NewPage(sh, m))
}

func (s *server) planMake(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	m := plans.New{Chosen: form["hosts"], Title: form.Get("title"), Label: strings.TrimSpace(form.Get("label")), Parallel: form.Get("parallel"), Gate: form.Get("gate")}
	req := fleet.PlanRequest{Title: m.Title, Hosts: m.Chosen, Label: m.Label, Gate: domain.PlanGate(m.Gate)}
	if req.Parallel, err = planNumber(m.Parallel); err == nil {
		var p domain.Plan
		if p, err = s.Fleet.NewPlan(c.Request().Context(), subject(c).Actor(), req); err == nil {
			return s.move(c, live.Plan(p.ID))
		}
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	m.Err = problem(err)
	return s.askPlan(c, statusOf(err), m)
}

func planNumber(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0, domain.InvalidField("parallel", "“"+text+"” is not a number.", "a whole number from 1")
	}
	return n, nil
}

func (s *server) planModel(ctx context.Context, id string) (plans.Page, error) {
	p, err := s.DB.Plan(ctx, id)
	return plans.Page{Plan: p, Key: rand.Text()}, err
}

func (s *server) planPage(c echo.Context) error {
	after := s.DB.Feed().Last()
	m, err := s.planModel(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	sh, err := s.planShell(c, m.Plan.Title, m.Plan.ID, after)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, plans.ShowPage(sh, m))
}

// plan draws a plan's page anew when something of it, or a job, changed.
func (d *drawing) plan(ctx context.Context, a affected) {
	if !d.may(access.HostMaintain) || len(a.jobs) == 0 && !slices.ContainsFunc(a.evs, func(ev domain.Event) bool { return ev.Resource.Kind == "plan" }) {
		return
	}
	on := d.v.on
	d.part(ctx, "plan "+on, func(ctx context.Context) (templ.Component, error) {
		m, err := d.s.planModel(ctx, on)
		if domain.Is(err, domain.NotFound) {
			return layout.ToastPartial(layout.Toast{Tone: layout.ToneWarning, Text: "This plan is no more.", URL: live.Plans, Link: "All plans"}), nil
		}
		return plans.StreamShow(d.shell(), m), err
	})
}

func (s *server) planEditPage(c echo.Context) error {
	p, err := s.DB.Plan(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return s.askPlanEdit(c, http.StatusOK, p, nil)
}

func (s *server) askPlanEdit(c echo.Context, status int, p domain.Plan, typed func(*plans.Edit)) error {
	hosts, err := s.DB.Hosts(c.Request().Context())
	if err != nil {
		return err
	}
	m := plans.EditOf(p, hosts)
	if typed != nil {
		typed(&m)
	}
	sh, err := s.planShell(c, "Edit "+p.Title, "", 0)
	if err != nil {
		return err
	}
	return s.render(c, status, plans.EditPage(sh, m))
}

func (s *server) planEdit(c echo.Context) error {
	ctx := c.Request().Context()
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	vms, to, order := form["vm"], form["host"], form["order"]
	if len(vms) != len(to) || len(vms) != len(order) {
		return domain.Errorf(domain.Invalid, "The form is not whole.").WithFix("Load the page again.")
	}
	version, err := formVersion(c)
	if err != nil {
		return err
	}
	p, err := s.DB.Plan(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	type row struct {
		vm, host string
		order    int
	}
	var rows []row
	for i, vm := range vms {
		n, err := strconv.Atoi(strings.TrimSpace(order[i]))
		if err != nil {
			n = len(vms) + i // without a number: at the end
		}
		rows = append(rows, row{vm, to[i], n})
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.order, b.order) })
	moves := []fleet.PlanMoveEdit{}
	for _, r := range rows {
		if r.host != "" {
			moves = append(moves, fleet.PlanMoveEdit{VMID: r.vm, Host: r.host})
		}
	}
	title, gate, at, zone := form.Get("title"), domain.PlanGate(form.Get("gate")), strings.TrimSpace(form.Get("start_at")), strings.TrimSpace(form.Get("time_zone"))
	e := fleet.PlanEdit{Title: &title, StartAt: &at, TimeZone: &zone, Moves: &moves}
	if gate != "" {
		e.Gate = &gate
	}
	n, err := planNumber(form.Get("parallel"))
	if e.Parallel = &n; err == nil {
		if _, err = s.Fleet.EditPlan(ctx, subject(c).Actor(), p.ID, version, e); err == nil {
			return s.moveSaying(c, live.Plan(p.ID), layout.Toast{Tone: layout.ToneSuccess, Text: "The plan was changed. It has to be approved."})
		}
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	return s.askPlanEdit(c, statusOf(err), p, func(m *plans.Edit) {
		m.Err, m.Title, m.Paral, m.Gate, m.StartAt, m.Zone = problem(err), title, form.Get("parallel"), string(gate), at, zone
		for i := range m.Rows {
			if j := slices.Index(vms, m.Rows[i].VMID); j >= 0 {
				m.Rows[i].Host, m.Rows[i].Order = to[j], order[j]
			}
		}
	})
}

func (s *server) planAsk(c echo.Context) error {
	if c.Param("act") != "delete" {
		return echo.ErrNotFound
	}
	p, err := s.DB.Plan(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	sh, err := s.planShell(c, "Delete "+p.Title, "", 0)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, plans.DeletePage(sh, plans.Delete{Plan: p}))
}

func (s *server) planAct(c echo.Context) error {
	ctx, id, by, key := c.Request().Context(), c.Param("id"), subject(c).Actor(), onceKey(c)
	version, err := formVersion(c)
	if err != nil {
		return err
	}
	say, job := "", domain.Job{}
	switch c.Param("act") {
	case "approve": // what was looked at, and nothing else
		_, err = s.Fleet.ApprovePlan(ctx, by, id, version)
		say = "The plan is approved."
	case "stop":
		_, err = s.Fleet.StopPlan(ctx, by, id)
		say = "The moves that run are let end; no more are begun."
	case "replan":
		_, err = s.Fleet.Replan(ctx, by, id)
		say = "The plan was made anew. It has to be approved."
	case "start":
		job, err = s.Fleet.StartPlan(ctx, by, id, key)
	case "resume":
		job, err = s.Fleet.ResumePlan(ctx, by, id, key)
	case "confirm":
		job, err = s.Fleet.ConfirmPlan(ctx, by, id, key)
	case "delete":
		if err = s.Fleet.RemovePlan(ctx, by, id); err == nil {
			return s.moveSaying(c, live.Plans, layout.Toast{Tone: layout.ToneSuccess, Text: "The plan was deleted."})
		}
	default:
		return echo.ErrNotFound
	}
	switch {
	case err != nil:
		return s.sayOrFail(c, live.Plan(id), err)
	case job.ID != "":
		return s.moveSaying(c, live.Plan(id), layout.TaskToast(job, live.Task(job.ID)))
	}
	return s.moveSaying(c, live.Plan(id), layout.Toast{Tone: layout.ToneSuccess, Text: say})
}

func (s *server) ruleList(c echo.Context) error {
	ctx := c.Request().Context()
	all, err := s.DB.AffinityRules(ctx)
	if err != nil {
		return err
	}
	vms, err := s.DB.VMPlaces(ctx)
	if err != nil {
		return err
	}
	hosts, err := s.DB.Hosts(ctx)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, vm := range vms {
		names[vm.ID] = vm.Name
	}
	for _, h := range hosts {
		names[h.ID] = h.Name
	}
	called := func(ids []string) (out []string) {
		for _, id := range ids {
			out = append(out, cmp.Or(names[id], "one that is no more"))
		}
		return out
	}
	var m plans.Rules
	for _, r := range all {
		m.Rows = append(m.Rows, plans.RuleRow{Rule: r, VMs: called(r.VMs), Hosts: called(r.Hosts), Own: subject(c).On(access.AffinityManage, access.Object{Kind: "affinity", ID: r.ID, Tenant: r.Tenant})})
	}
	sh, err := s.ruleShell(c, "Affinity rules")
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, plans.RulesPage(sh, m))
}

// ruleShell is the frame of the pages on rules of affinity: below the maintenance of hosts for who sees that, else below the VMs.
func (s *server) ruleShell(c echo.Context, title string) (layout.Shell, error) {
	if subject(c).Everywhere(access.HostMaintain) {
		return s.planShell(c, title, "", 0)
	}
	p := page{title: title, section: layout.SectionVMs, crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}}}
	if title != "Affinity rules" {
		p.crumbs = append(p.crumbs, layout.Crumb{Label: "Affinity rules", URL: live.Rules})
	}
	return s.shellFor(c, p)
}

func (s *server) ruleForm(c echo.Context) (err error) {
	m := plans.RuleForm{Rule: domain.AffinityRule{Kind: domain.AntiAffinity, Scope: domain.ScopeVMs, Hard: true}}
	if id := c.Param("id"); id != "" {
		if m.Rule, err = s.DB.AffinityRule(c.Request().Context(), id); err != nil {
			return err
		}
	}
	m.Tags = strings.Join(m.Rule.Tags, " ")
	return s.askRule(c, http.StatusOK, m)
}

func (s *server) askRule(c echo.Context, status int, m plans.RuleForm) (err error) {
	ctx := c.Request().Context()
	list, err := s.DB.VMs(ctx, db.VMQuery{Limit: 1000})
	if err != nil {
		return err
	}
	m.VMs = list.Items
	if m.Hosts, err = s.DB.Hosts(ctx); err != nil {
		return err
	}
	usable, err := s.Fleet.Usable(ctx, access.AffinityManage)
	if err != nil {
		return err
	}
	m.Hosts = slices.DeleteFunc(m.Hosts, func(h domain.Host) bool { return !usable(h.ID, "host_") })
	if m.Rule.ID == "" {
		if m.Whose, err = s.whose(ctx, subject(c), access.AffinityManage, m.Rule.Tenant); err != nil {
			return err
		}
	}
	sh, err := s.ruleShell(c, cmp.Or(m.Rule.Name, "New affinity rule"))
	if err != nil {
		return err
	}
	return s.render(c, status, plans.RulePage(sh, m))
}

func (s *server) ruleSave(c echo.Context) error {
	form, err := c.FormParams()
	if err != nil {
		return err
	}
	r := domain.AffinityRule{ID: c.Param("id"), Name: strings.TrimSpace(form.Get("name")), Tenant: form.Get("tenant"), Kind: domain.AffinityKind(form.Get("kind")), Scope: domain.AffinityScope(form.Get("scope")), Hard: truth(form.Get("hard")),
		VMs: form["vms"], Tags: words(form.Get("tags")), Hosts: form["hosts"], Notes: form.Get("notes")}
	if r.Version, err = formVersion(c); err != nil {
		return err
	}
	if _, err := s.Fleet.PutAffinityRule(c.Request().Context(), subject(c).Actor(), r); err != nil {
		if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
			return err
		}
		return s.askRule(c, statusOf(err), plans.RuleForm{Rule: r, Tags: form.Get("tags"), Err: problem(err)})
	}
	return s.moveSaying(c, live.Rules, layout.Toast{Tone: layout.ToneSuccess, Text: fmt.Sprintf("The rule %s was saved.", r.Name)})
}

func (s *server) ruleAsk(c echo.Context) error {
	r, err := s.DB.AffinityRule(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	sh, err := s.ruleShell(c, "Delete "+r.Name)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, plans.RuleDeletePage(sh, plans.RuleDelete{Rule: r}))
}

func (s *server) ruleDelete(c echo.Context) error {
	if err := s.Fleet.DeleteAffinityRule(c.Request().Context(), subject(c).Actor(), c.Param("id")); err != nil {
		return s.sayOrFail(c, live.Rules, err)
	}
	return s.moveSaying(c, live.Rules, layout.Toast{Tone: layout.ToneSuccess, Text: "The rule was deleted; its VMs stay where they are."})
}
