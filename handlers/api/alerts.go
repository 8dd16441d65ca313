package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

// Alert is one series for which a rule holds, or held.
type Alert struct {
	ID          string            `json:"id" example:"alert_1k…"`
	Name        string            `json:"name"`
	Title       string            `json:"title" doc:"The name with what it is about"`
	Summary     string            `json:"summary"`
	State       domain.AlertState `json:"state" enum:"pending,firing,resolved"`
	Severity    string            `json:"severity"`
	RuleID      string            `json:"rule_id"`
	Tenant      string            `json:"tenant" doc:"Id of the tenant whose VM or rule it is; empty: the estate"`
	HostID      string            `json:"host_id"`
	VMID        string            `json:"vm_id"`
	Pool        string            `json:"pool"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	Value       float64           `json:"value"`
	ActiveAt    *time.Time        `json:"active_at"`
	FiredAt     *time.Time        `json:"fired_at"`
	ResolvedAt  *time.Time        `json:"resolved_at"`
	AckedAt     *time.Time        `json:"acked_at" doc:"When somebody said that they look after it"`
	AckedBy     string            `json:"acked_by"`
	Quiet       string            `json:"quiet" doc:"Why nobody is told of it; empty: they are"`
	SilenceID   string            `json:"silence_id"`
	IncidentID  string            `json:"incident_id"`
	Fingerprint string            `json:"fingerprint"`
}

func alertOf(a *domain.Alert) Alert {
	return Alert{ID: a.ID, Name: a.Name, Title: a.Title(), Summary: a.Summary(), State: a.State, Severity: a.Severity, RuleID: a.RuleID, Tenant: a.Tenant, HostID: a.HostID, VMID: a.VMID, Pool: a.Pool,
		Labels: pairs(a.Labels), Annotations: pairs(a.Annotations), Value: a.Value, ActiveAt: when(a.ActiveAt), FiredAt: when(a.FiredAt), ResolvedAt: when(a.ResolvedAt), AckedAt: when(a.AckedAt), AckedBy: a.AckedBy,
		Quiet: a.Quiet, SilenceID: a.SilenceID, IncidentID: a.IncidentID, Fingerprint: a.Fingerprint}
}

func pairs(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// AlertPage is a page of alerts, and beside it all that stand, as Prometheus lists them: its clients read the one, ours the other.
type AlertPage struct {
	Page[Alert]
	Status string     `json:"status" enum:"success" doc:"As Prometheus answers"`
	Data   PromAlerts `json:"data" doc:"All alerts that stand, as Prometheus lists them"`
}

// PromAlerts is Prometheus' list of alerts.
type PromAlerts struct {
	Alerts []PromAlert `json:"alerts" nullable:"false"`
}

// PromAlert is an alert as Prometheus shows it.
type PromAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       domain.AlertState `json:"state" enum:"pending,firing"`
	ActiveAt    *time.Time        `json:"activeAt"`
	Value       string            `json:"value"`
}

func promAlert(a *domain.Alert) PromAlert {
	return PromAlert{pairs(a.Labels), pairs(a.Annotations), a.State, when(a.ActiveAt), strconv.FormatFloat(a.Value, 'e', -1, 64)}
}

// AlertPath names an alert.
type AlertPath struct {
	ID string `path:"id" maxLength:"100" doc:"The alert's id"`
}

type alertOutput struct{ Body Alert }

func (s *server) alerts() {
	const tag, base = "Alerts", "/alerts"
	standing := []domain.AlertState{domain.AlertFiring, domain.AlertPending}
	register(s, op{id: "list-alerts", method: http.MethodGet, path: base, tag: tag, perm: access.AlertRead, status: 200, summary: "List alerts",
		doc: "Those that stand, unless another state is asked for. A client of Prometheus finds what it knows in status and data."},
		func(ctx context.Context, in *struct {
			PageQuery
			State    domain.AlertState `query:"state" enum:"pending,firing,resolved" doc:"Only in this state; without it those that stand"`
			Name     string            `query:"name" maxLength:"120" doc:"Only of this name"`
			Severity string            `query:"severity" maxLength:"120" doc:"Only of this severity"`
			Host     string            `query:"host" maxLength:"100" doc:"Only about the host with this id, and what is on it"`
			VM       string            `query:"vm" maxLength:"100" doc:"Only about the VM with this id"`
			Sort     string            `query:"sort" default:"-active" enum:"active,-active,name,-name" doc:"Order; a minus turns it round"`
		}) (*struct{ Body AlertPage }, error) {
			states := standing
			if in.State != "" {
				states = []domain.AlertState{in.State}
			}
			all, err := s.DB.Alerts(ctx, db.AlertQuery{States: states, Name: in.Name, Severity: in.Severity, Host: in.Host, VM: in.VM})
			if err != nil {
				return nil, err
			}
			out := &struct{ Body AlertPage }{AlertPage{Status: "success", Data: PromAlerts{[]PromAlert{}}}}
			for i := range all {
				if all[i].Live() {
					out.Body.Data.Alerts = append(out.Body.Data.Alerts, promAlert(&all[i]))
				}
			}
			out.Body.Page, err = paged(all, in.PageQuery, in.Sort, sortKeys[domain.Alert]{
				"active": func(x *domain.Alert) string { return padded(x.ActiveAt.UnixMilli()) },
				"name":   func(x *domain.Alert) string { return x.Title() },
			}, func(x *domain.Alert) string { return x.ID }, alertOf)
			return out, err
		})
	register(s, op{id: "get-alert", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.AlertRead, status: 200, summary: "Show an alert",
		doc: "What was said and done about it are its events: /api/v1/events?resource=…"},
		func(ctx context.Context, in *AlertPath) (*alertOutput, error) {
			a, err := s.DB.Alert(ctx, in.ID)
			return &alertOutput{alertOf(&a)}, err
		})
	register(s, op{id: "acknowledge-alert", method: http.MethodPost, path: base + "/{id}/acknowledge", tag: tag, perm: access.AlertHandle, status: 200, summary: "Say that one looks after an alert",
		doc: "It is not told again until it is over."},
		func(ctx context.Context, in *struct {
			AlertPath
			Body struct {
				Comment string `json:"comment,omitempty" maxLength:"4000"`
				Undo    bool   `json:"undo,omitempty" doc:"Take it back"`
			} `required:"false"`
		}) (*alertOutput, error) {
			a, err := s.Alerts.Acknowledge(ctx, actor(ctx), in.ID, !in.Body.Undo, in.Body.Comment)
			return &alertOutput{alertOf(&a)}, err
		})
	register(s, op{id: "comment-alert", method: http.MethodPost, path: base + "/{id}/comments", tag: tag, perm: access.AlertHandle, status: 204, summary: "Leave a comment at an alert"},
		func(ctx context.Context, in *struct {
			AlertPath
			Body struct {
				Comment string `json:"comment" maxLength:"4000"`
			}
		}) (*struct{}, error) {
			return nil, s.Alerts.Comment(ctx, actor(ctx), in.ID, in.Body.Comment)
		})
	s.alertRules()
	s.silences()
	s.receivers()
	s.rotas()
	s.escalations()
	s.incidents()
}

// AlertRule says when an alert stands.
type AlertRule struct {
	ID            string            `json:"id" example:"arule_1k…"`
	Name          string            `json:"name" example:"HostAway"`
	Group         string            `json:"group"`
	Expr          string            `json:"expr" doc:"PromQL: each series that it gives is one alert"`
	For           string            `json:"for" example:"5m" doc:"How long it must hold before the alert fires"`
	KeepFiringFor string            `json:"keep_firing_for" example:"10m" doc:"How long the alert fires on when it holds no more"`
	Labels        map[string]string `json:"labels" doc:"Added to the alert's; may be templates of Prometheus'"`
	Annotations   map[string]string `json:"annotations" doc:"Told with it, such as summary; may be templates"`
	Tenant        string            `json:"tenant" doc:"Id: the rule sees only this tenant's series; empty: all"`
	Disabled      bool              `json:"disabled"`
	Starter       bool              `json:"starter" doc:"One of those that every estate begins with"`
	Error         string            `json:"error" doc:"Why the last evaluation failed; empty: it did not"`
	State         string            `json:"state" enum:"inactive,pending,firing" doc:"The worst of its alerts"`
	Alerts        int               `json:"alerts" doc:"How many stand"`
	CreatedAt     *time.Time        `json:"created_at"`
	Version       int64             `json:"version"`
}

func (s *server) alertRuleOf(standing map[string][]domain.Alert) func(*domain.AlertRule) AlertRule {
	return func(r *domain.AlertRule) AlertRule {
		return AlertRule{ID: r.ID, Name: r.Name, Group: r.Group, Expr: r.Expr, For: series.Duration(r.For), KeepFiringFor: series.Duration(r.KeepFiringFor), Labels: pairs(r.Labels), Annotations: pairs(r.Annotations),
			Tenant: r.Tenant, Disabled: r.Disabled, Starter: r.Starter, Error: r.Error, State: worst(standing[r.ID]), Alerts: len(standing[r.ID]), CreatedAt: when(r.CreatedAt), Version: r.Version}
	}
}

func worst(of []domain.Alert) string {
	state := "inactive"
	for i := range of {
		if of[i].State == domain.AlertFiring {
			return "firing"
		}
		state = "pending"
	}
	return state
}

func (s *server) standing(ctx context.Context) (map[string][]domain.Alert, error) {
	all, err := s.DB.Alerts(ctx, db.AlertQuery{States: []domain.AlertState{domain.AlertFiring, domain.AlertPending}})
	out := map[string][]domain.Alert{}
	for _, a := range all {
		out[a.RuleID] = append(out[a.RuleID], a)
	}
	return out, err
}

// AlertRuleWrite is a rule to be made.
type AlertRuleWrite struct {
	Name          string            `json:"name" maxLength:"120"`
	Group         string            `json:"group,omitempty" maxLength:"120"`
	Expr          string            `json:"expr" maxLength:"20000"`
	For           string            `json:"for,omitempty" maxLength:"40" example:"5m"`
	KeepFiringFor string            `json:"keep_firing_for,omitempty" maxLength:"40"`
	Labels        map[string]string `json:"labels,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
	Tenant        string            `json:"tenant,omitempty" maxLength:"100" doc:"Id or name; who sees one tenant only writes that one's"`
	Disabled      bool              `json:"disabled,omitempty"`
}

func (w AlertRuleWrite) rule() (r domain.AlertRule, err error) {
	r = domain.AlertRule{Name: w.Name, Group: w.Group, Expr: w.Expr, Labels: w.Labels, Annotations: w.Annotations, Tenant: w.Tenant, Disabled: w.Disabled}
	if r.For, err = series.ReadDuration("for", w.For); err != nil {
		return r, err
	}
	r.KeepFiringFor, err = series.ReadDuration("keep_firing_for", w.KeepFiringFor)
	return r, err
}

// AlertRulePatch changes what it names.
type AlertRulePatch struct {
	Name          *string            `json:"name,omitempty" maxLength:"120"`
	Group         *string            `json:"group,omitempty" maxLength:"120"`
	Expr          *string            `json:"expr,omitempty" maxLength:"20000"`
	For           *string            `json:"for,omitempty" maxLength:"40"`
	KeepFiringFor *string            `json:"keep_firing_for,omitempty" maxLength:"40"`
	Labels        *map[string]string `json:"labels,omitempty"`
	Annotations   *map[string]string `json:"annotations,omitempty"`
	Tenant        *string            `json:"tenant,omitempty" maxLength:"100"`
	Disabled      *bool              `json:"disabled,omitempty"`
}

// AlertRulePath names a rule.
type AlertRulePath struct {
	ID string `path:"id" maxLength:"100" doc:"The rule's id"`
}

// RulePage is a page of rules, and beside it all of them as Prometheus lists them.
type RulePage struct {
	Page[AlertRule]
	Status string    `json:"status" enum:"success" doc:"As Prometheus answers"`
	Data   PromRules `json:"data" doc:"All rules that are not switched off, as Prometheus lists them"`
}

// PromRules is Prometheus' list of rules.
type PromRules struct {
	Groups []PromGroup `json:"groups" nullable:"false"`
}

// PromGroup is a group of rules as Prometheus shows it.
type PromGroup struct {
	Name     string     `json:"name"`
	File     string     `json:"file"`
	Interval float64    `json:"interval"`
	Rules    []PromRule `json:"rules" nullable:"false"`
}

// PromRule is a rule as Prometheus shows it.
type PromRule struct {
	State         string            `json:"state" enum:"inactive,pending,firing"`
	Name          string            `json:"name"`
	Query         string            `json:"query"`
	Duration      float64           `json:"duration"`
	KeepFiringFor float64           `json:"keepFiringFor"`
	Labels        map[string]string `json:"labels"`
	Annotations   map[string]string `json:"annotations"`
	Alerts        []PromAlert       `json:"alerts" nullable:"false"`
	Health        string            `json:"health" enum:"ok,err"`
	LastError     string            `json:"lastError,omitempty"`
	Type          string            `json:"type" enum:"alerting"`
}

func promRules(all []domain.AlertRule, standing map[string][]domain.Alert) PromRules {
	out := PromRules{Groups: []PromGroup{}}
	for i := range all {
		r := &all[i]
		if r.Disabled {
			continue
		}
		name := cmp.Or(r.Group, "novacron")
		at := slices.IndexFunc(out.Groups, func(g PromGroup) bool { return g.Name == name })
		if at < 0 {
			at = len(out.Groups)
			out.Groups = append(out.Groups, PromGroup{Name: name, File: "novacron", Interval: 15, Rules: []PromRule{}})
		}
		p := PromRule{State: worst(standing[r.ID]), Name: r.Name, Query: r.Expr, Duration: r.For.Seconds(), KeepFiringFor: r.KeepFiringFor.Seconds(), Labels: pairs(r.Labels), Annotations: pairs(r.Annotations),
			Alerts: []PromAlert{}, Health: "ok", LastError: r.Error, Type: "alerting"}
		if r.Error != "" {
			p.Health = "err"
		}
		for j := range standing[r.ID] {
			p.Alerts = append(p.Alerts, promAlert(&standing[r.ID][j]))
		}
		out.Groups[at].Rules = append(out.Groups[at].Rules, p)
	}
	return out
}

type alertRuleOutput struct {
	ETag string `header:"ETag"`
	Body AlertRule
}

// ruleRight tells for which tenants' rules somebody has a right.
func ruleRight(ctx context.Context, p access.Permission) func(tenant string) bool {
	return func(tenant string) bool {
		return auth.SubjectOf(ctx).On(p, access.Object{Kind: "alert", Tenant: tenant})
	}
}

func (s *server) alertRules() {
	const tag, base = "Alerts", "/rules"
	answer := func(ctx context.Context, r domain.AlertRule, err error) (*alertRuleOutput, error) {
		if err != nil {
			return nil, err
		}
		standing, err := s.standing(ctx)
		return &alertRuleOutput{etag(r.Version), s.alertRuleOf(standing)(&r)}, err
	}
	register(s, op{id: "list-alert-rules", method: http.MethodGet, path: base, tag: tag, perm: access.AlertRead, status: 200, summary: "List rules of alerts",
		doc: "A client of Prometheus finds what it knows in status and data."},
		func(ctx context.Context, in *struct {
			PageQuery
			Sort    string `query:"sort" default:"name" enum:"name,-name,created,-created" doc:"Order; a minus turns it round"`
			Type    string `query:"type" enum:"alert,record" doc:"As Prometheus has it: of rules that record there are none here"`
			Exclude bool   `query:"exclude_alerts" doc:"Taken for Prometheus' clients: data comes without alerts"`
		}) (*struct{ Body RulePage }, error) {
			all, err := s.DB.AlertRules(ctx)
			if err != nil {
				return nil, err
			}
			if in.Type == "record" {
				all = nil
			}
			standing, err := s.standing(ctx)
			if err != nil {
				return nil, err
			}
			out := &struct{ Body RulePage }{RulePage{Status: "success"}}
			of := standing
			if in.Exclude {
				of = nil
			}
			out.Body.Data = promRules(all, of)
			out.Body.Page, err = paged(all, in.PageQuery, in.Sort, sortKeys[domain.AlertRule]{
				"name":    func(x *domain.AlertRule) string { return x.Name },
				"created": func(x *domain.AlertRule) string { return padded(x.CreatedAt.UnixMilli()) },
			}, func(x *domain.AlertRule) string { return x.ID }, s.alertRuleOf(standing))
			return out, err
		})
	register(s, op{id: "create-alert-rule", method: http.MethodPost, path: base, tag: tag, perm: access.AlertManage, status: 201, summary: "Make a rule of alerts",
		doc: "A mistake in the expression is answered with its line and column."},
		func(ctx context.Context, in *struct{ Body AlertRuleWrite }) (*alertRuleOutput, error) {
			r, err := in.Body.rule()
			if err != nil {
				return nil, err
			}
			if r.Tenant, err = s.Alerts.RuleTenant(ctx, r.Tenant, ruleRight(ctx, access.AlertManage)); err != nil {
				return nil, err
			}
			r, err = s.Alerts.PutRule(ctx, actor(ctx), r)
			return answer(ctx, r, err)
		})
	register(s, op{id: "preview-alert-rule", method: http.MethodPost, path: base + "/preview", tag: tag, perm: access.AlertRead, status: 200, summary: "Tell when a rule would have fired",
		doc: "Nothing is kept. What was shorter than the grain may be missing."},
		func(ctx context.Context, in *struct {
			Body struct {
				AlertRuleWrite
				Past string `json:"past,omitempty" maxLength:"20" example:"7d" doc:"How far to look back; empty: 1d"`
			}
		}) (*struct{ Body RulePreview }, error) {
			r, err := in.Body.rule()
			if err != nil {
				return nil, err
			}
			r.Name = cmp.Or(r.Name, "preview")
			past, err := series.ReadDuration("past", cmp.Or(in.Body.Past, "1d"))
			if err != nil {
				return nil, err
			}
			if r.Tenant != "" {
				if r.Tenant, err = s.Alerts.RuleTenant(ctx, r.Tenant, ruleRight(ctx, access.AlertRead)); err != nil {
					return nil, err
				}
			}
			found, grain, err := s.Alerts.Preview(ctx, r, past)
			if err != nil {
				return nil, err
			}
			out := RulePreview{Grain: grain.Seconds(), Items: []RuleEpisode{}}
			for _, e := range found {
				out.Items = append(out.Items, RuleEpisode{pairs(e.Labels), when(e.From), when(e.To)})
			}
			return &struct{ Body RulePreview }{out}, nil
		})
	s.ruleFiles()
	register(s, op{id: "get-alert-rule", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.AlertRead, status: 200, summary: "Show a rule of alerts"},
		func(ctx context.Context, in *AlertRulePath) (*alertRuleOutput, error) {
			r, err := s.DB.AlertRule(ctx, in.ID)
			return answer(ctx, r, err)
		})
	register(s, op{id: "edit-alert-rule", method: http.MethodPatch, path: base + "/{id}", tag: tag, perm: access.AlertManage, status: 200, summary: "Change a rule of alerts"},
		func(ctx context.Context, in *struct {
			AlertRulePath
			Body AlertRulePatch
		}) (*alertRuleOutput, error) {
			r, err := s.DB.AlertRule(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			b := in.Body
			given(&r.Name, b.Name)
			given(&r.Group, b.Group)
			given(&r.Expr, b.Expr)
			given(&r.Labels, b.Labels)
			given(&r.Annotations, b.Annotations)
			given(&r.Disabled, b.Disabled)
			if b.Tenant != nil {
				if r.Tenant, err = s.Alerts.RuleTenant(ctx, *b.Tenant, ruleRight(ctx, access.AlertManage)); err != nil {
					return nil, err
				}
			}
			if b.For != nil {
				if r.For, err = series.ReadDuration("for", *b.For); err != nil {
					return nil, err
				}
			}
			if b.KeepFiringFor != nil {
				if r.KeepFiringFor, err = series.ReadDuration("keep_firing_for", *b.KeepFiringFor); err != nil {
					return nil, err
				}
			}
			r, err = s.Alerts.PutRule(ctx, actor(ctx), r)
			return answer(ctx, r, err)
		})
	register(s, op{id: "delete-alert-rule", method: http.MethodDelete, path: base + "/{id}", tag: tag, perm: access.AlertManage, status: 204, summary: "Delete a rule of alerts",
		doc: "What stands by it is over with the next evaluation."},
		func(ctx context.Context, in *AlertRulePath) (*struct{}, error) {
			return nil, s.Alerts.DeleteRule(ctx, actor(ctx), in.ID)
		})
}

// RulePreview is when a rule would have fired.
type RulePreview struct {
	Grain float64       `json:"grain" doc:"Seconds between two looks"`
	Items []RuleEpisode `json:"items" nullable:"false" doc:"The latest first"`
}

// RuleEpisode is a time during which a rule would have fired for one series.
type RuleEpisode struct {
	Labels map[string]string `json:"labels"`
	From   *time.Time        `json:"from"`
	To     *time.Time        `json:"to" doc:"Missing: it would fire still"`
}

// RulesImported is what came of a rule file.
type RulesImported struct {
	Items   []AlertRule `json:"items" nullable:"false"`
	LeftOut []string    `json:"left_out" nullable:"false" doc:"Rules that record series: there are none here"`
}

func (s *server) ruleFiles() {
	const tag = "Alerts"
	registerWith(s, op{id: "export-alert-rules", method: http.MethodGet, path: "/rules/export", tag: tag, perm: access.AlertRead, status: 200, summary: "Give all rules as a rule file of Prometheus"},
		func(h *huma.Operation) {
			h.Responses = map[string]*huma.Response{"200": {Description: "The file", Content: map[string]*huma.MediaType{"application/yaml": {Schema: &huma.Schema{Type: "string"}}}}}
		}, func(ctx context.Context, _ *struct{}) (*promOutput, error) {
			all, err := s.DB.AlertRules(ctx)
			return &promOutput{Status: http.StatusOK, ContentType: "application/yaml", Body: series.WriteRules(all)}, err
		})
	register(s, op{id: "import-alert-rules", method: http.MethodPost, path: "/rules/import", tag: tag, perm: access.AlertManage, status: 200, summary: "Take over a rule file of Prometheus",
		doc: "All of it or nothing. A rule with the same group and name is changed, others are made. A mistake is answered with its line."},
		func(ctx context.Context, in *struct {
			Body struct {
				YAML   string `json:"yaml" maxLength:"1000000"`
				Tenant string `json:"tenant,omitempty" maxLength:"100"`
			}
		}) (*struct{ Body RulesImported }, error) {
			tenant, err := s.Alerts.RuleTenant(ctx, in.Body.Tenant, ruleRight(ctx, access.AlertManage))
			if err != nil {
				return nil, err
			}
			kept, left, err := s.Alerts.ImportRules(ctx, actor(ctx), tenant, []byte(in.Body.YAML))
			if err != nil {
				return nil, err
			}
			out := RulesImported{Items: []AlertRule{}, LeftOut: list(left)}
			for i := range kept {
				out.Items = append(out.Items, s.alertRuleOf(nil)(&kept[i]))
			}
			return &struct{ Body RulesImported }{out}, nil
		})
}
