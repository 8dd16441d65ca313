// Package alerts shows alerts with what was said about them, the rules that they come from, silences, who is told, and incidents.
//
// It is not for charts of what is measured, nor for judging it (package jobs/alerts).
package alerts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// List is the page of alerts.
type List struct {
	State    string // firing, pending, resolved; empty: those that stand
	Items    []domain.Alert
	Rules    int
	Receives int // receivers that are switched on
}

// Page is one alert.
type Page struct {
	Alert  domain.Alert
	Rule   *domain.AlertRule
	Events []domain.Event // what was done and said about it, newest first
	Told   []Told         // by escalations
	Err    *domain.Error
	Typed  string // the comment
}

// Rules is the page of rules.
type Rules struct {
	Items   []domain.AlertRule
	Stand   map[string]int // alerts that stand, by rule
	Tenants map[string]string
}

// Episode is a time in which a rule would have fired.
type Episode struct {
	Labels   string
	From, To time.Time
}

// RuleForm makes or changes a rule: by its expression, or plainly by a metric and a threshold.
type RuleForm struct {
	Rule          domain.AlertRule
	Plain         bool
	Metric        string
	Compare       string
	Threshold     string
	Rate          bool
	For, Keep     string
	Labels        string // one a line, name=value
	Annotations   string
	Severity      string
	Summary       string
	Metrics       []domain.Metric
	Tenants       []domain.Tenant
	Previewed     bool
	Past          string
	Grain         time.Duration
	Episodes      []Episode
	MayWrite      bool
	Whole         bool // rules of the whole estate can be written
	Err           *domain.Error
	Action        string
	SilencesTotal int
}

// Import is the form that takes over a rule file.
type Import struct {
	YAML string
	Err  *domain.Error
}

// Silences is the page of silences.
type Silences struct {
	Items []domain.Silence
}

// SilenceForm makes a silence.
type SilenceForm struct {
	Matchers, Lasts, Comment string
	Matching                 []domain.Alert
	Err                      *domain.Error
}

// Receivers is the page of receivers.
type Receivers struct {
	Items []domain.Receiver
	Last  map[string]domain.Notification // the newest message, by receiver
	Mails bool
}

// ReceiverForm makes or changes a receiver.
type ReceiverForm struct {
	Receiver             domain.Receiver
	To, Matchers, Groups string
	Wait, Repeat         string
	Address, Secret      string // as typed; what is kept is not shown
	Tenants              []domain.Tenant
	Log                  []domain.Notification
	Mails                bool
	MayWrite             bool
	Err                  *domain.Error
}

// Incidents is the page of incidents.
type Incidents struct {
	Items []domain.Incident
}

// IncidentPage is one incident.
type IncidentPage struct {
	Incident domain.Incident
	Alerts   []domain.Alert
	Line     []domain.Event
	Names    map[string]string // of hosts and VMs
	Ties     []domain.AlertTie
}

type thing struct{ url, name string }

// things are the hosts and VMs that the incident is about.
func (m IncidentPage) things() (out []thing) {
	for _, id := range m.Incident.Hosts {
		out = append(out, thing{live.Host(id), m.Names[id]})
	}
	for _, id := range m.Incident.VMs {
		out = append(out, thing{live.VM(id), m.Names[id]})
	}
	return out
}

type look struct{ tone, icon, word string }

func stateLook(a domain.Alert) look {
	switch a.State {
	case domain.AlertFiring:
		if a.Severity == "info" {
			return look{ui.Info, "alert-circle", "firing"}
		}
		if a.Severity == "critical" {
			return look{ui.Bad, "alert-triangle", "firing"}
		}
		return look{ui.Warn, "alert-triangle", "firing"}
	case domain.AlertPending:
		return look{"neutral", "clock", "pending"}
	}
	return look{ui.OK, "circle-check", "resolved"}
}

func since(a domain.Alert) time.Time {
	if a.FiredAt.IsZero() {
		return a.ActiveAt
	}
	return a.FiredAt
}

func about(a domain.Alert) string {
	switch {
	case a.VMID != "":
		return live.VM(a.VMID)
	case a.HostID != "":
		return live.Host(a.HostID)
	}
	return ""
}

func labelsOf(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ", ")
}

// LabelsText writes labels, one a line.
func LabelsText(m map[string]string, but ...string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(but, k) {
			out = append(out, k+"="+m[k])
		}
	}
	return strings.Join(out, "\n")
}

func number(v float64) string { return fmt.Sprintf("%.4g", v) }

func tabs(s interface{ May(string) bool }, on string) []ui.Tab {
	out := []ui.Tab{{Label: "Alerts", URL: live.Alerts, Active: on == "alerts"}, {Label: "Incidents", URL: live.Incidents, Active: on == "incidents"}, {Label: "Rules", URL: live.AlertRules, Active: on == "rules"}}
	if s.May("host.read") { // these are the whole estate's
		out = append(out, ui.Tab{Label: "Silences", URL: live.Silences, Active: on == "silences"}, ui.Tab{Label: "Receivers", URL: live.Receivers, Active: on == "receivers"}, ui.Tab{Label: "On call", URL: live.OnCall, Active: on == "oncall"})
	}
	return out
}

var states = []struct{ State, Label string }{{"", "Standing"}, {"firing", "Firing"}, {"pending", "Pending"}, {"resolved", "Resolved"}}

var compares = []ui.Option{{Value: ">", Label: "above"}, {Value: "<", Label: "below"}, {Value: ">=", Label: "at or above"}, {Value: "<=", Label: "at or below"}, {Value: "==", Label: "exactly"}, {Value: "!=", Label: "anything but"}}

var severities = []ui.Option{{Value: "critical", Label: "critical"}, {Value: "warning", Label: "warning"}, {Value: "info", Label: "info"}}

var pasts = []ui.Option{{Value: "1h", Label: "the last hour"}, {Value: "1d", Label: "the last day"}, {Value: "7d", Label: "the last 7 days"}, {Value: "15d", Label: "the last 15 days"}}

var lasts = []ui.Option{{Value: "30m", Label: "30 minutes"}, {Value: "2h", Label: "2 hours"}, {Value: "8h", Label: "8 hours"}, {Value: "1d", Label: "a day"}, {Value: "7d", Label: "a week"}, {Value: "30d", Label: "30 days"}}

func metricOptions(all []domain.Metric) []ui.Option {
	out := make([]ui.Option, len(all))
	for i, m := range all {
		out[i] = ui.Option{Value: m.Name, Label: m.Name}
	}
	return out
}

func tenantOptions(all []domain.Tenant) []ui.Option {
	out := []ui.Option{{Label: "the whole estate"}}
	for _, t := range all {
		out = append(out, ui.Option{Value: t.ID, Label: t.Name})
	}
	return out
}

func (m RuleForm) sees() []ui.Option {
	all := tenantOptions(m.Tenants)
	if !m.Whole {
		return all[1:]
	}
	return all
}

func yes(on bool) string {
	if on {
		return "1"
	}
	return ""
}

func ruleURL(m RuleForm) string {
	if m.Rule.ID == "" {
		return live.AlertRules
	}
	return live.AlertRule(m.Rule.ID)
}

func receiverURL(m ReceiverForm) string {
	if m.Receiver.ID == "" {
		return live.Receivers
	}
	return live.Receiver(m.Receiver.ID)
}

func heading(id, fresh, name string) string {
	if id == "" {
		return fresh
	}
	return name
}

func toldLook(n domain.Notification) look {
	switch n.State {
	case domain.NotificationSent:
		return look{ui.OK, "circle-check", "sent"}
	case domain.NotificationFailed:
		return look{ui.Bad, "alert-triangle", "given up"}
	}
	if n.Attempts > 0 {
		return look{ui.Warn, "clock", "tried again"}
	}
	return look{ui.Info, "clock", "waits"}
}

func said(n domain.Notification) string {
	var out []string
	if len(n.Firing) > 0 {
		out = append(out, fmt.Sprintf("%d firing", len(n.Firing)))
	}
	if len(n.Resolved) > 0 {
		out = append(out, fmt.Sprintf("%d resolved", len(n.Resolved)))
	}
	return strings.Join(out, ", ")
}

func chooses(m []domain.Matcher) string {
	if len(m) == 0 {
		return "all alerts"
	}
	return strings.ReplaceAll(domain.MatchersText(m), "\n", ", ")
}

func emptyText(m List) string {
	text := map[string]string{"": "No alert stands.", "firing": "No alert fires.", "pending": "No alert is about to fire.", "resolved": "No alert is over that is still kept."}[m.State]
	if m.Receives == 0 {
		text += " And nobody would be told: there is no receiver."
	}
	return text
}
