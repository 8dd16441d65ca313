package series

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"

	"novacron/domain"
)

// mostAlerts bounds what one rule may give: more is a mistake in it, or a day on which one alert of another rule says it better.
const mostAlerts = 2000

// Rule is an alerting rule made ready, with the alerts that stand by it: Prometheus' own.
type Rule struct {
	rule *rules.AlertingRule
	last map[uint64]labels.Labels // the series ALERTS and ALERTS_FOR_STATE written last
}

// Standing is an alert as a rule sees it.
type Standing struct {
	Fingerprint string
	State       domain.AlertState
	Labels      map[string]string // with alertname
	Annotations map[string]string
	Value       float64
	ActiveAt    time.Time
	FiredAt     time.Time
	ResolvedAt  time.Time
}

// CheckRule finds what is wrong with a rule: Invalid, with the field and where in it.
func (s *Store) CheckRule(r domain.AlertRule) error {
	if err := r.Check(); err != nil {
		return err
	}
	expr, err := s.parser.ParseExpr(r.Expr)
	if err != nil {
		return exprError(r.Expr, err)
	}
	if t := expr.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return domain.InvalidField("expr", "The expression gives a "+parser.DocumentedType(t)+", and an alert needs values of one moment.", "such as novacron_host_up == 0, or a function like rate(…) around a range")
	}
	rule := rulefmt.Rule{Alert: r.Name, Expr: r.Expr, Labels: r.Labels, Annotations: r.Annotations}
	var p domain.Problems
	for _, e := range rule.Validate(rulefmt.RuleNode{}, model.UTF8Validation, s.parser) {
		text := errors.Unwrap(&e).Error()
		field := "annotations"
		if strings.HasPrefix(text, "label ") || strings.HasPrefix(text, "invalid label") {
			field = "labels"
		}
		p.Add(field, "That cannot be used: "+text+".", "text, with templates such as {{ $labels.host }} and {{ $value }}")
	}
	return p.Err()
}

// exprError says where in an expression the mistake is.
func exprError(expr string, err error) error {
	var all parser.ParseErrors
	if !errors.As(err, &all) || len(all) == 0 {
		return domain.InvalidField("expr", "The expression cannot be read: "+err.Error()+".", "an expression in PromQL")
	}
	first := all[0]
	at := min(max(int(first.PositionRange.Start), 0), len(expr))
	line := 1 + strings.Count(expr[:at], "\n")
	column := at - (strings.LastIndex(expr[:at], "\n") + 1) + 1
	return domain.InvalidField("expr", fmt.Sprintf("The expression cannot be read at line %d, column %d: %v.", line, column, first.Err), "an expression in PromQL")
}

// NewRule makes a rule ready; site is the address that templates call the server's.
func (s *Store) NewRule(r domain.AlertRule, site string) (*Rule, error) {
	if err := s.CheckRule(r); err != nil {
		return nil, err
	}
	expr, err := s.parser.ParseExpr(r.Expr)
	if err != nil {
		return nil, exprError(r.Expr, err)
	}
	return &Rule{last: map[uint64]labels.Labels{}, rule: rules.NewAlertingRule(r.Name, expr, r.For, r.KeepFiringFor, labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), site, true,
		slog.New(slog.DiscardHandler))}, nil
}

// Restore gives a rule the alerts that stood when the server ended, so that their times go on.
func (r *Rule) Restore(ctx context.Context, stood []Standing) error {
	if len(stood) == 0 {
		return nil
	}
	was := map[uint64]Standing{}
	_, err := r.rule.Eval(ctx, 0, stood[0].ActiveAt, func(context.Context, string, time.Time) (promql.Vector, error) {
		var v promql.Vector
		for _, a := range stood {
			l := labels.FromMap(a.Labels)
			if _, twice := was[l.Hash()]; !twice {
				was[l.Hash()] = a
				v = append(v, promql.Sample{Metric: l, F: a.Value})
			}
		}
		return v, nil
	}, &url.URL{}, 0)
	if err != nil {
		return edge(err)
	}
	r.rule.ForEachActiveAlert(func(a *rules.Alert) {
		w, ok := was[a.Labels.Hash()]
		if !ok {
			return // a label's template says something else now
		}
		a.State, a.ActiveAt, a.FiredAt = rules.StatePending, w.ActiveAt, time.Time{}
		if w.State == domain.AlertFiring {
			a.State, a.FiredAt = rules.StateFiring, w.FiredAt
		}
	})
	return nil
}

// Judge evaluates a rule with what the view shows, and gives the alerts that stand, or that ended a while ago. What stands is kept as series too, as
// Prometheus does: ALERTS and ALERTS_FOR_STATE.
func (s *Store) Judge(ctx context.Context, view View, r *Rule, at time.Time) ([]Standing, error) {
	told, err := r.rule.Eval(ctx, 0, at, rules.EngineQueryFunc(s.engine, s.narrowed(view)), &url.URL{}, mostAlerts)
	if err != nil {
		if strings.HasPrefix(err.Error(), "exceeded limit") {
			return nil, domain.Errorf(domain.Exhausted, "The rule gives more than %d alerts at once.", mostAlerts).WithFix("Put sum by (…) or topk around it.")
		}
		if errors.Is(err, rules.ErrDuplicateAlertLabelSet) {
			return nil, domain.Errorf(domain.Invalid, "Two series give the same alert, since the rule's labels take away what told them apart.").WithFix("Keep the labels apart, or sum the series.")
		}
		return nil, edge(err)
	}
	if err := s.keepAlerts(ctx, r, told, at); err != nil {
		return nil, err
	}
	var out []Standing
	r.rule.ForEachActiveAlert(func(a *rules.Alert) {
		x := Standing{Fingerprint: strconv.FormatUint(a.Labels.Hash(), 16), Labels: a.Labels.Map(), Annotations: a.Annotations.Map(), Value: a.Value, ActiveAt: a.ActiveAt, FiredAt: a.FiredAt, ResolvedAt: a.ResolvedAt}
		switch {
		case !a.ResolvedAt.IsZero() || a.State == rules.StateInactive:
			x.State = domain.AlertResolved
		case a.State == rules.StateFiring:
			x.State = domain.AlertFiring
		default:
			x.State = domain.AlertPending
		}
		out = append(out, x)
	})
	slices.SortFunc(out, func(a, b Standing) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	return out, nil
}

func (s *Store) keepAlerts(ctx context.Context, r *Rule, told promql.Vector, at time.Time) error {
	if len(told) == 0 && len(r.last) == 0 {
		return nil
	}
	now := make(map[uint64]labels.Labels, len(told))
	batch := make([]Sample, 0, len(told))
	for _, x := range told {
		now[x.Metric.Hash()] = x.Metric
		batch = append(batch, Sample{x.Metric, x.F})
	}
	for h, l := range r.last {
		if _, still := now[h]; !still {
			batch = append(batch, Sample{l, Stale})
		}
	}
	r.last = now
	return s.Append(ctx, at, batch)
}

// Episode is a time during which a rule would have fired for one series.
type Episode struct {
	Labels   map[string]string
	From, To time.Time // when it fired, when it was over; To is zero where it would fire still
}

// previewSteps bounds how finely the past is looked at.
const previewSteps = 2500

// mostEpisodes bounds what a preview tells.
const mostEpisodes = 500

// Preview tells when a rule would have fired in the time before now. Its grain is told with it: what was shorter may be missing.
func (s *Store) Preview(ctx context.Context, view View, r domain.AlertRule, now time.Time, past time.Duration) (episodes []Episode, grain time.Duration, err error) {
	if err := s.CheckRule(r); err != nil {
		return nil, 0, err
	}
	grain = max(15*time.Second, (past / previewSteps).Round(time.Second))
	res, err := s.QueryRange(ctx, view, r.Expr, now.Add(-past), now, grain)
	if err != nil {
		return nil, grain, err
	}
	m, ok := res.Value.(promql.Matrix)
	if !ok {
		return nil, grain, nil
	}
	for _, series := range m {
		var from, last time.Time
		end := func(to time.Time, over bool) {
			if from.IsZero() || last.Sub(from) < r.For {
				return
			}
			e := Episode{Labels: without(series.Metric), From: from.Add(r.For)}
			if over {
				e.To = to.Add(r.KeepFiringFor)
			}
			if n := len(episodes); n > 0 && !e.From.After(episodes[n-1].To) && labels.FromMap(episodes[n-1].Labels).Hash() == labels.FromMap(e.Labels).Hash() {
				episodes[n-1].To = e.To // it was kept firing
				return
			}
			episodes = append(episodes, e)
		}
		for _, p := range series.Floats {
			t := time.UnixMilli(p.T).UTC()
			if !from.IsZero() && t.Sub(last) > grain {
				end(last.Add(grain), true)
				from = time.Time{}
			}
			if from.IsZero() {
				from = t
			}
			last = t
		}
		end(last.Add(grain), now.Sub(last) > grain)
	}
	slices.SortStableFunc(episodes, func(a, b Episode) int { return b.From.Compare(a.From) })
	return episodes[:min(len(episodes), mostEpisodes)], grain, nil
}

func without(l labels.Labels) map[string]string {
	m := l.Map()
	delete(m, model.MetricNameLabel)
	return m
}

var yamlPlace = regexp.MustCompile(`(?:line )?(\d+)(?::(\d+))?`)

// ReadRules reads Prometheus' rule file. Rules that record series are not alerts: they are named and left out.
func (s *Store) ReadRules(text []byte) (found []domain.AlertRule, recording []string, err error) {
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, s.parser, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		var p domain.Problems
		for _, e := range errs {
			at := ""
			if m := yamlPlace.FindStringSubmatch(e.Error()); m != nil {
				at = " at line " + m[1]
			}
			p.Add("yaml", "The rules cannot be read"+at+": "+e.Error()+".", "a rule file of Prometheus: groups, each with name and rules")
		}
		return nil, nil, p.Err()
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				recording = append(recording, r.Record)
				continue
			}
			own := map[string]string{}
			for k, v := range g.Labels {
				own[k] = v
			}
			for k, v := range r.Labels {
				own[k] = v
			}
			rule := domain.AlertRule{Name: r.Alert, Group: g.Name, Expr: r.Expr, For: time.Duration(r.For), KeepFiringFor: time.Duration(r.KeepFiringFor), Labels: own, Annotations: r.Annotations}
			if err := s.CheckRule(rule); err != nil {
				return nil, nil, domain.Refield(err, "", "yaml: "+r.Alert+": ")
			}
			found = append(found, rule)
		}
	}
	return found, recording, nil
}

// WriteRules writes rules as Prometheus' rule file.
func WriteRules(all []domain.AlertRule) []byte {
	groups := map[string][]domain.AlertRule{}
	var names []string
	for _, r := range all {
		g := r.Group
		if g == "" {
			g = "novacron"
		}
		if groups[g] == nil {
			names = append(names, g)
		}
		groups[g] = append(groups[g], r)
	}
	slices.Sort(names)
	var b bytes.Buffer
	b.WriteString("groups:\n")
	pairs := func(name string, m map[string]string) {
		if len(m) == 0 {
			return
		}
		fmt.Fprintf(&b, "        %s:\n", name)
		keys := make([]string, 0, len(m))
		for k := range m {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			fmt.Fprintf(&b, "          %s: %s\n", k, quoted(m[k]))
		}
	}
	for _, g := range names {
		fmt.Fprintf(&b, "  - name: %s\n    rules:\n", quoted(g))
		for _, r := range groups[g] {
			fmt.Fprintf(&b, "      - alert: %s\n        expr: %s\n", quoted(r.Name), quoted(r.Expr))
			if r.For > 0 {
				fmt.Fprintf(&b, "        for: %s\n", Duration(r.For))
			}
			if r.KeepFiringFor > 0 {
				fmt.Fprintf(&b, "        keep_firing_for: %s\n", Duration(r.KeepFiringFor))
			}
			pairs("labels", r.Labels)
			pairs("annotations", r.Annotations)
		}
	}
	if len(names) == 0 {
		return []byte("groups: []\n")
	}
	return b.Bytes()
}

// quoted writes text as YAML's double-quoted scalar, which JSON's strings are.
func quoted(s string) string { return strconv.QuoteToGraphic(s) }

// Duration writes a duration as Prometheus does: 1h30m, 2d.
func Duration(d time.Duration) string { return model.Duration(d).String() }

// ReadDuration reads what Duration writes; empty is nothing.
func ReadDuration(field, text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "0" {
		return 0, nil
	}
	d, err := ParseDuration(text)
	if err != nil {
		return 0, domain.InvalidField(field, "“"+text+"” is not a duration.", "such as 30s, 5m or 2h")
	}
	return d, nil
}
