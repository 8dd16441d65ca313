package handlers

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
	"novacron/views/alerts"
	"novacron/views/layout"
	"novacron/views/live"
)

func (s *server) alertShell(c echo.Context, title, on string, after int64) (layout.Shell, error) {
	p := page{title: title, section: layout.SectionAlerts, on: on, after: after}
	if title != "Alerts" {
		p.crumbs = append(p.crumbs, layout.Crumb{Label: "Alerts", URL: live.Alerts})
	}
	return s.shellFor(c, p)
}

// alertsShown is the most that a page lists.
const alertsShown = 500

func (s *server) alertListModel(ctx context.Context, state string) (alerts.List, error) {
	m := alerts.List{State: state}
	q := db.AlertQuery{Limit: alertsShown}
	switch state {
	case "":
		q.States = []domain.AlertState{domain.AlertFiring, domain.AlertPending}
	default:
		q.States = []domain.AlertState{domain.AlertState(state)}
	}
	var err error
	if m.Items, err = s.DB.Alerts(ctx, q); err != nil {
		return m, err
	}
	slices.SortStableFunc(m.Items, func(a, b domain.Alert) int { return alertRank(&a) - alertRank(&b) })
	rules, err := s.DB.AlertRules(ctx)
	if err != nil {
		return m, err
	}
	m.Rules = len(rules)
	all, err := s.DB.Receivers(ctx)
	for _, r := range all {
		if !r.Disabled {
			m.Receives++
		}
	}
	return m, err
}

// alertRank orders alerts by how much they want somebody.
func alertRank(a *domain.Alert) int {
	rank := slices.Index(domain.AlertStates, a.State) * 100
	if a.Quiet != "" {
		rank += 40
	}
	if !a.AckedAt.IsZero() {
		rank += 20
	}
	if at := slices.Index(domain.Severities, a.Severity); at >= 0 {
		return rank + at
	}
	return rank + len(domain.Severities)
}

func (s *server) alertList(c echo.Context) (int, templ.Component, error) {
	state := c.QueryParam("state")
	if state != "" && !slices.Contains(domain.AlertStates, domain.AlertState(state)) {
		return 0, nil, domain.InvalidField("state", "“"+state+"” is not a state of alerts.", "firing, pending or resolved")
	}
	after := s.DB.Feed().Last()
	m, err := s.alertListModel(c.Request().Context(), state)
	if err != nil {
		return 0, nil, err
	}
	sh, err := s.alertShell(c, "Alerts", live.OnAlerts, after)
	return http.StatusOK, alerts.ListPage(sh, m), err
}

func (s *server) alertModel(ctx context.Context, id string) (m alerts.Page, err error) {
	if m.Alert, err = s.DB.Alert(ctx, id); err != nil {
		return m, err
	}
	if r, err := s.DB.AlertRule(ctx, m.Alert.RuleID); err == nil {
		m.Rule = &r
	} else if !domain.Is(err, domain.NotFound) {
		return m, err
	}
	if m.Told, err = s.toldOf(ctx, id); err != nil {
		return m, err
	}
	m.Events, err = s.DB.Events(ctx, db.EventQuery{Resource: id, Newest: true, Limit: 200})
	return m, err
}

func (s *server) alertPage(c echo.Context) error { return s.showAlert(c, http.StatusOK, "", nil) }

func (s *server) showAlert(c echo.Context, status int, typed string, wrong error) error {
	after := s.DB.Feed().Last()
	m, err := s.alertModel(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	if wrong != nil {
		m.Typed, m.Err = typed, problem(wrong)
	}
	sh, err := s.alertShell(c, m.Alert.Title(), m.Alert.ID, after)
	if err != nil {
		return err
	}
	return s.render(c, status, alerts.ShowPage(sh, m))
}

// alerts draws the list or one alert anew when something of them changed.
func (d *drawing) alerts(ctx context.Context, a affected) {
	if !d.may(access.AlertRead) || !slices.ContainsFunc(a.evs, func(ev domain.Event) bool { return ev.Resource.Kind == "alert" }) {
		return
	}
	on := d.v.on
	if on == live.OnAlerts {
		state := d.v.at.Query().Get("state")
		d.part(ctx, "alerts "+state, func(ctx context.Context) (templ.Component, error) {
			m, err := d.s.alertListModel(ctx, state)
			return alerts.StreamList(d.shell(), m), err
		})
		return
	}
	d.part(ctx, "alert "+on, func(ctx context.Context) (templ.Component, error) {
		m, err := d.s.alertModel(ctx, on)
		if domain.Is(err, domain.NotFound) {
			return layout.ToastPartial(layout.Toast{Tone: layout.ToneInfo, Text: "The alert did not last.", URL: live.Alerts, Link: "All alerts"}), nil
		}
		return alerts.StreamShow(d.shell(), m), err
	})
}

func (s *server) alertAct(c echo.Context) error {
	ctx, id, by := c.Request().Context(), c.Param("id"), subject(c).Actor()
	var err error
	say := ""
	switch c.Param("act") {
	case "acknowledge":
		_, err = s.Alerts.Acknowledge(ctx, by, id, true, "")
		say = "You look after it. It is not told again."
	case "unacknowledge":
		_, err = s.Alerts.Acknowledge(ctx, by, id, false, "")
		say = "Nobody looks after it now."
	case "comment":
		if err = s.Alerts.Comment(ctx, by, id, c.FormValue("comment")); domain.Is(err, domain.Invalid) {
			return s.showAlert(c, statusOf(err), c.FormValue("comment"), err)
		}
		say = "The comment was left."
	default:
		return echo.ErrNotFound
	}
	if err != nil {
		return s.sayOrFail(c, live.Alert(id), err)
	}
	return s.moveSaying(c, live.Alert(id), layout.Toast{Tone: layout.ToneSuccess, Text: say})
}

func (s *server) alertRuleList(c echo.Context) error {
	ctx := c.Request().Context()
	m := alerts.Rules{Stand: map[string]int{}, Tenants: map[string]string{}}
	var err error
	if m.Items, err = s.DB.AlertRules(ctx); err != nil {
		return err
	}
	stand, err := s.DB.Alerts(ctx, db.AlertQuery{States: []domain.AlertState{domain.AlertFiring, domain.AlertPending}})
	if err != nil {
		return err
	}
	for _, a := range stand {
		m.Stand[a.RuleID]++
	}
	tenants, err := s.DB.Tenants(ctx)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		m.Tenants[t.ID] = t.Name
	}
	sh, err := s.alertShell(c, "Alerts", "", 0)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, alerts.RulesPage(sh, m))
}

func (s *server) alertRuleForm(c echo.Context) (err error) {
	m := alerts.RuleForm{Plain: c.QueryParam("as") != "promql", Compare: ">", For: "5m", Keep: "0s", Severity: "warning", Past: "1d", Metric: cmp.Or(c.QueryParam("metric"), "novacron_host_scrape_duration_seconds")}
	m.Rule.Expr = c.QueryParam("expr")
	if id := c.Param("id"); id != "" {
		if m.Rule, err = s.DB.AlertRule(c.Request().Context(), id); err != nil {
			return err
		}
		m.Plain, m.For, m.Keep = false, series.Duration(m.Rule.For), series.Duration(m.Rule.KeepFiringFor)
		m.Severity, m.Summary = m.Rule.Labels[domain.SeverityLabel], m.Rule.Annotations["summary"]
		m.Labels, m.Annotations = alerts.LabelsText(m.Rule.Labels, domain.SeverityLabel), alerts.LabelsText(m.Rule.Annotations, "summary")
	}
	return s.askAlertRule(c, http.StatusOK, m)
}

func (s *server) askAlertRule(c echo.Context, status int, m alerts.RuleForm) (err error) {
	by := subject(c)
	m.Metrics, m.Whole = domain.Metrics, by.Everywhere(access.AlertManage)
	m.MayWrite = m.Whole || m.Rule.ID == "" && by.Can(access.AlertManage) || m.Rule.Tenant != "" && ruleRight(c)(m.Rule.Tenant)
	if m.Tenants, err = s.DB.Tenants(c.Request().Context()); err != nil {
		return err
	}
	sh, err := s.alertShell(c, cmp.Or(m.Rule.Name, "New rule"), "", 0)
	if err != nil {
		return err
	}
	sh.Crumbs = append(sh.Crumbs, layout.Crumb{Label: "Rules", URL: live.AlertRules})
	return s.render(c, status, alerts.RulePage(sh, m))
}

// labelLines reads labels, one a line.
func labelLines(field, text string) (map[string]string, error) {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, domain.InvalidField(field, "“"+line+"” has no value.", "such as team=storage")
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}

// alertRuleTyped reads the form.
func (s *server) alertRuleTyped(c echo.Context) (m alerts.RuleForm, err error) {
	m = alerts.RuleForm{Plain: c.FormValue("as") == "plain", Metric: c.FormValue("metric"), Compare: c.FormValue("compare"), Threshold: strings.TrimSpace(c.FormValue("threshold")), Rate: truth(c.FormValue("rate")),
		For: c.FormValue("for"), Keep: c.FormValue("keep_firing_for"), Labels: c.FormValue("labels"), Annotations: c.FormValue("annotations"), Severity: c.FormValue("severity"), Summary: c.FormValue("summary"), Past: cmp.Or(c.FormValue("past"), "1d")}
	m.Rule = domain.AlertRule{ID: c.Param("id"), Name: c.FormValue("name"), Expr: strings.ReplaceAll(c.FormValue("expr"), "\r\n", "\n"), Group: c.FormValue("group"), Tenant: c.FormValue("tenant"), Disabled: truth(c.FormValue("disabled"))}
	if m.Rule.Version, err = formVersion(c); err != nil {
		return m, err
	}
	if m.Rule.For, err = series.ReadDuration("for", m.For); err != nil {
		return m, err
	}
	if m.Rule.KeepFiringFor, err = series.ReadDuration("keep_firing_for", m.Keep); err != nil {
		return m, err
	}
	if m.Rule.Labels, err = labelLines("labels", m.Labels); err != nil {
		return m, err
	}
	if m.Rule.Annotations, err = labelLines("annotations", m.Annotations); err != nil {
		return m, err
	}
	if m.Severity != "" {
		m.Rule.Labels[domain.SeverityLabel] = m.Severity
	}
	if m.Summary != "" {
		m.Rule.Annotations["summary"] = m.Summary
	}
	if m.Plain {
		m.Rule.Expr, err = plainExpr(m)
	}
	return m, err
}

// plainExpr makes the expression of a rule that is written plainly.
func plainExpr(m alerts.RuleForm) (string, error) {
	metric, ok := domain.MetricOf(m.Metric)
	if !ok {
		return "", domain.InvalidField("metric", "There is no such metric.", "one of the list")
	}
	if m.Rate && metric.Kind != domain.Counter {
		return "", domain.InvalidField("rate", "This metric does not only grow: it is what it is now.", "not per second")
	}
	if !slices.Contains([]string{">", "<", ">=", "<=", "==", "!="}, m.Compare) {
		return "", domain.InvalidField("compare", "That is not a comparison.", "above, below and so on")
	}
	if _, err := strconv.ParseFloat(m.Threshold, 64); err != nil {
		return "", domain.InvalidField("threshold", "“"+m.Threshold+"” is not a number.", "such as 0.9 or 1000000")
	}
	if m.Rate {
		return "rate(" + metric.Name + "[5m]) " + m.Compare + " " + m.Threshold, nil
	}
	return metric.Name + " " + m.Compare + " " + m.Threshold, nil
}

// ruleRight tells of which tenants somebody may write rules.
func ruleRight(c echo.Context) func(tenant string) bool {
	return func(tenant string) bool {
		return subject(c).On(access.AlertManage, access.Object{Kind: "alert", Tenant: tenant})
	}
}

func (s *server) alertRuleSave(c echo.Context) error {
	ctx := c.Request().Context()
	m, err := s.alertRuleTyped(c)
	if id := m.Rule.ID; err == nil && id != "" {
		var old domain.AlertRule
		if old, err = s.DB.AlertRule(ctx, id); err != nil {
			return err
		}
		m.Rule.Starter, m.Rule.CreatedAt, m.Rule.Version = old.Starter, old.CreatedAt, cmp.Or(m.Rule.Version, old.Version)
		if !subject(c).Everywhere(access.AlertManage) { // who looks after a tenant gives nothing away and takes nothing
			m.Rule.Tenant = old.Tenant
		}
	}
	if err == nil && c.FormValue("preview") != "" {
		return s.previewAlertRule(c, m)
	}
	if err == nil && m.Rule.ID == "" {
		m.Rule.Tenant, err = s.Alerts.RuleTenant(ctx, m.Rule.Tenant, ruleRight(c))
	}
	if err == nil {
		if _, err = s.Alerts.PutRule(ctx, subject(c).Actor(), m.Rule); err == nil {
			return s.moveSaying(c, live.AlertRules, layout.Toast{Tone: layout.ToneSuccess, Text: "The rule was saved."})
		}
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	m.Err = problem(err)
	return s.askAlertRule(c, statusOf(err), m)
}

func (s *server) previewAlertRule(c echo.Context, m alerts.RuleForm) error {
	past, err := series.ReadDuration("past", m.Past)
	if err == nil {
		var found []series.Episode
		r := m.Rule
		r.Name = cmp.Or(r.Name, "preview")
		if found, m.Grain, err = s.Alerts.Preview(c.Request().Context(), r, past); err == nil {
			m.Previewed = true
			for _, e := range found {
				m.Episodes = append(m.Episodes, alerts.Episode{Labels: strings.ReplaceAll(alerts.LabelsText(e.Labels), "\n", ", "), From: e.From, To: e.To})
			}
			return s.askAlertRule(c, http.StatusOK, m)
		}
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	m.Err = problem(err)
	return s.askAlertRule(c, statusOf(err), m)
}

func (s *server) alertRuleAsk(c echo.Context) error {
	r, err := s.DB.AlertRule(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	if c.Param("act") != "delete" {
		return echo.ErrNotFound
	}
	sh, err := s.alertShell(c, "Delete "+r.Name, "", 0)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, alerts.AskDelete(sh, "Delete the rule "+r.Name+"?", "What stands by it is over with the next evaluation.", live.AlertRuleDo(r.ID, "delete"), live.AlertRule(r.ID)))
}

func (s *server) alertRuleDelete(c echo.Context) error {
	if c.Param("act") != "delete" {
		return echo.ErrNotFound
	}
	if err := s.Alerts.DeleteRule(c.Request().Context(), subject(c).Actor(), c.Param("id")); err != nil {
		return s.sayOrFail(c, live.AlertRules, err)
	}
	return s.moveSaying(c, live.AlertRules, layout.Toast{Tone: layout.ToneSuccess, Text: "The rule was deleted."})
}

func (s *server) alertExport(c echo.Context) error {
	all, err := s.DB.AlertRules(c.Request().Context())
	if err != nil {
		return err
	}
	c.Response().Header().Set("Content-Disposition", `attachment; filename="rules.yaml"`)
	return c.Blob(http.StatusOK, "application/yaml", series.WriteRules(all))
}

func (s *server) alertImportForm(c echo.Context) error {
	return s.askImport(c, http.StatusOK, alerts.Import{})
}

func (s *server) askImport(c echo.Context, status int, m alerts.Import) error {
	sh, err := s.alertShell(c, "Import rules", "", 0)
	if err != nil {
		return err
	}
	return s.render(c, status, alerts.ImportPage(sh, m))
}

func (s *server) alertImport(c echo.Context) error {
	ctx, text := c.Request().Context(), c.FormValue("yaml")
	tenant, err := s.Alerts.RuleTenant(ctx, "", ruleRight(c))
	if err != nil {
		return err
	}
	kept, left, err := s.Alerts.ImportRules(ctx, subject(c).Actor(), tenant, []byte(text))
	if err == nil {
		say := strconv.Itoa(len(kept)) + " rules were imported."
		if len(left) > 0 {
			say += " Left out, since they record series: " + strings.Join(left, ", ") + "."
		}
		return s.moveSaying(c, live.AlertRules, layout.Toast{Tone: layout.ToneSuccess, Text: say})
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	return s.askImport(c, statusOf(err), alerts.Import{YAML: text, Err: problem(err)})
}

func (s *server) incidentList(c echo.Context) error {
	all, err := s.DB.Incidents(c.Request().Context(), false)
	if err != nil {
		return err
	}
	sh, err := s.alertShell(c, "Alerts", "", 0)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, alerts.IncidentsPage(sh, alerts.Incidents{Items: all}))
}

func (s *server) incidentPage(c echo.Context) error {
	ctx := c.Request().Context()
	m := alerts.IncidentPage{Names: map[string]string{}}
	var err error
	if m.Incident, err = s.DB.Incident(ctx, c.Param("id")); err != nil {
		return err
	}
	if m.Alerts, err = s.DB.Alerts(ctx, db.AlertQuery{Incident: m.Incident.ID}); err != nil {
		return err
	}
	if m.Line, err = s.DB.TimeLine(ctx, m.Incident); err != nil {
		return err
	}
	if m.Ties, err = s.DB.Ties(ctx, m.Alerts); err != nil {
		return err
	}
	for _, a := range m.Alerts {
		m.Names[a.HostID], m.Names[a.VMID] = cmp.Or(a.Labels["host"], m.Names[a.HostID], "a host"), cmp.Or(a.Labels["vm"], m.Names[a.VMID], "a VM")
	}
	sh, err := s.alertShell(c, m.Incident.Title, "", 0)
	if err != nil {
		return err
	}
	sh.Crumbs = append(sh.Crumbs, layout.Crumb{Label: "Incidents", URL: live.Incidents})
	return s.render(c, http.StatusOK, alerts.OneIncident(sh, m))
}

// keptSilences is how long silences are listed that are over.
const keptSilences = 24 * time.Hour
