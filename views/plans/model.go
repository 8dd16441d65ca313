// Package plans shows maintenance plans: their list, the plan with what goes where and how far it is, the form that edits it, and the rules of affinity
// that plans keep.
//
// It is not for one migration and its forecast (package migrate).
package plans

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/ui"
)

// List is the page of all plans.
type List struct {
	Items []domain.Plan
}

// New is the form of a plan to be made.
type New struct {
	Hosts    []domain.Host
	Chosen   []string
	Title    string
	Label    string
	Parallel string
	Gate     string
	Err      *domain.Error
}

// Page is one plan.
type Page struct {
	Plan domain.Plan
	Key  string
}

// Edit is the form that changes a plan.
type Edit struct {
	Plan    domain.Plan
	Hosts   []domain.Host // where something may go
	Rows    []EditRow
	Title   string
	Paral   string
	Gate    string
	StartAt string
	Zone    string
	Err     *domain.Error
}

// EditRow is one VM in it.
type EditRow struct {
	VMID, VM, From, Note string
	Memory               int64
	Host                 string // where it goes; empty: it stays
	Order                string
	Forecast             *domain.MigrationForecast
}

// Rules is the page of all affinity rules.
type Rules struct {
	Rows []RuleRow
}

// RuleRow is one rule with the names of its members.
type RuleRow struct {
	Rule       domain.AffinityRule
	VMs, Hosts []string
	Own        bool // the person may change it
}

// RuleForm makes or changes a rule.
type RuleForm struct {
	Rule  domain.AffinityRule
	Tags  string
	VMs   []domain.VM
	Hosts []domain.Host
	Whose layout.Whose
	Err   *domain.Error
}

// RuleDelete is the dialog before a rule is deleted.
type RuleDelete struct{ Rule domain.AffinityRule }

// Delete is the dialog before a plan is deleted.
type Delete struct{ Plan domain.Plan }

// EditOf fills the form with the plan as it is.
func EditOf(p domain.Plan, hosts []domain.Host) Edit {
	e := Edit{Plan: p, Title: p.Title, Paral: fmt.Sprint(p.Parallel), Gate: string(p.Gate), Zone: cmp.Or(p.TimeZone, "UTC")}
	if !p.StartAt.IsZero() {
		e.StartAt = inZone(p.StartAt, e.Zone).Format("2006-01-02T15:04")
	}
	leave := map[string]bool{}
	n := 0
	for _, st := range p.Stages {
		for _, h := range st.Hosts {
			leave[h.ID] = p.Kind != domain.PlanReturn && len(p.Stages) == 1
		}
		if st.Phase != domain.PhasePending && st.Phase != domain.PhaseMoving {
			continue
		}
		for _, m := range st.Moves {
			if m.State == domain.MoveMoved {
				continue
			}
			n++
			e.Rows = append(e.Rows, EditRow{VMID: m.VMID, VM: m.VM, From: m.From, Memory: m.Memory, Host: m.ToID, Order: fmt.Sprint(n), Forecast: m.Forecast, Note: strings.Join(m.Why, " ")})
		}
		for _, x := range st.Stays {
			n++
			e.Rows = append(e.Rows, EditRow{VMID: x.VMID, VM: x.VM, From: x.Host, Order: fmt.Sprint(n), Note: why(x.Why)})
		}
	}
	e.Hosts = slices.DeleteFunc(slices.Clone(hosts), func(h domain.Host) bool { return leave[h.ID] })
	return e
}

func why(rs []domain.Reason) string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Subject+": "+r.Msg)
	}
	return strings.Join(out, " ")
}

type look struct{ tone, icon, word string }

var looks = map[domain.PlanState]look{
	domain.PlanDraft: {"neutral", "pencil", "draft"}, domain.PlanApproved: {ui.Info, "check", "approved"}, domain.PlanRunning: {ui.Info, "loader-2", "running"},
	domain.PlanStopping: {ui.Warn, "loader-2", "stopping"}, domain.PlanStopped: {ui.Warn, "square", "stopped"}, domain.PlanWaiting: {ui.Warn, "clock", "waits"}, domain.PlanDone: {ui.OK, "circle-check", "done"},
}

var moveLooks = map[domain.PlanMoveState]look{
	domain.MovePlanned: {"neutral", "circle-dashed", "planned"}, domain.MoveRunning: {ui.Info, "loader-2", "moves"}, domain.MoveMoved: {ui.OK, "circle-check", "moved"}, domain.MoveFailed: {ui.Bad, "alert-triangle", "not moved"},
}

var phases = map[domain.PlanPhase]string{
	domain.PhasePending: "not begun", domain.PhaseMoving: "being emptied", domain.PhaseWork: "empty, to be worked on", domain.PhaseReturning: "its VMs come back", domain.PhaseHealth: "looking whether all is well", domain.PhaseDone: "done",
}

var gates = []ui.Option{{Value: string(domain.GateConfirm), Label: "A person confirms that the work is over"}, {Value: string(domain.GateAuto), Label: "The host was away and is back"}}

var gatesAndNone = append([]ui.Option{{Value: string(domain.GateNone), Label: "Nobody: the plan ends when the host is empty"}}, gates...)

func gateOptions(k domain.PlanKind) []ui.Option {
	if k == domain.PlanRolling {
		return gates
	}
	return gatesAndNone
}

func progress(p domain.Plan) string {
	moves, moved, failed, stay := p.Counts()
	out := fmt.Sprintf("%d of %d moved", moved, moves)
	if failed > 0 {
		out += fmt.Sprintf(", %d failed", failed)
	}
	if stay > 0 {
		out += fmt.Sprintf(", %d stay", stay)
	}
	return out
}

func stageNames(p domain.Plan) string {
	var out []string
	for _, st := range p.Stages {
		out = append(out, st.Name)
	}
	if len(out) > 5 {
		return strings.Join(out[:5], ", ") + fmt.Sprintf(" and %d more", len(out)-5)
	}
	return strings.Join(out, ", ")
}

func hostNames(st domain.PlanStage) string {
	var out []string
	for _, h := range st.Hosts {
		out = append(out, h.Name)
	}
	return strings.Join(out, ", ")
}

func members(r RuleRow) string {
	out := slices.Clone(r.VMs)
	for _, t := range r.Rule.Tags {
		out = append(out, "all with the tag "+t)
	}
	if len(r.Hosts) > 0 {
		return strings.Join(out, ", ") + "; hosts: " + strings.Join(r.Hosts, ", ")
	}
	return strings.Join(out, ", ")
}

func ruleURL(m RuleForm) string {
	if m.Rule.ID == "" {
		return live.Rules
	}
	return live.Rule(m.Rule.ID)
}

func ruleHeading(m RuleForm) string {
	if m.Rule.ID == "" {
		return "New affinity rule"
	}
	return "Affinity rule " + m.Rule.Name
}

func yes(on bool) string {
	if on {
		return "1"
	}
	return ""
}

func gone(s domain.PlanState, to domain.PlanState) bool { return s.Next(to) != nil }

func inZone(t time.Time, zone string) time.Time {
	if loc, err := time.LoadLocation(zone); err == nil {
		return t.In(loc)
	}
	return t.UTC()
}
