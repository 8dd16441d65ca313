package domain

import (
	"fmt"
	"slices"
	"time"
)

// PlanState is where a maintenance plan is.
type PlanState string

const (
	PlanDraft    PlanState = "draft"    // made or edited; nobody has agreed to it yet
	PlanApproved PlanState = "approved" // may be started, or begins by itself at its time
	PlanRunning  PlanState = "running"
	PlanStopping PlanState = "stopping" // the moves that run are let end
	PlanStopped  PlanState = "stopped"  // by a person, or because something stands in its way: goes on when it is resumed
	PlanWaiting  PlanState = "waiting"  // at a gate
	PlanDone     PlanState = "done"
)

var planNext = map[PlanState][]PlanState{
	PlanDraft:    {PlanDraft, PlanApproved},
	PlanApproved: {PlanDraft, PlanRunning, PlanStopped},
	PlanRunning:  {PlanRunning, PlanStopping, PlanStopped, PlanWaiting, PlanDone},
	PlanStopping: {PlanStopping, PlanStopped, PlanWaiting, PlanDone},
	PlanStopped:  {PlanDraft, PlanRunning},
	PlanWaiting:  {PlanWaiting, PlanRunning, PlanStopped},
}

// Next refuses a transition that makes no sense.
func (s PlanState) Next(to PlanState) error {
	if slices.Contains(planNext[s], to) {
		return nil
	}
	fix := map[PlanState]string{PlanDraft: "Approve it first.", PlanApproved: "Start it first.", PlanRunning: "Stop it first; what is under way is let end.", PlanStopping: "Wait until the moves that run have ended.",
		PlanStopped: "Resume it, or plan again.", PlanWaiting: "Confirm that the work is done, or stop it.", PlanDone: "Make another plan."}[s]
	return Errorf(Conflict, "The plan is %s, so it cannot become %s.", s, to).WithFix("%s", fix)
}

// Active reports whether a job works on it or it waits to go on.
func (s PlanState) Active() bool { return s == PlanRunning || s == PlanStopping || s == PlanWaiting }

// PlanPhase is how far one failure domain of a plan is.
type PlanPhase string

const (
	PhasePending   PlanPhase = "pending"
	PhaseMoving    PlanPhase = "moving"    // its hosts are in maintenance and are emptied
	PhaseWork      PlanPhase = "work"      // empty: a person works on the hosts, until that is confirmed or they were away and are back
	PhaseReturning PlanPhase = "returning" // out of maintenance, the VMs come back
	PhaseHealth    PlanPhase = "health"    // the gate before the next one: hosts connected, every VM that ran runs
	PhaseDone      PlanPhase = "done"
)

// PlanGate says who says that the work on an empty host is over.
type PlanGate string

const (
	GateConfirm PlanGate = "confirm" // a person
	GateAuto    PlanGate = "auto"    // the host itself: it was away and is back
	GateNone    PlanGate = "none"    // nobody: the plan ends when the hosts are empty, and they stay in maintenance
)

// PlanMoveState is how far one move is.
type PlanMoveState string

const (
	MovePlanned PlanMoveState = "planned"
	MoveRunning PlanMoveState = "running"
	MoveMoved   PlanMoveState = "moved"
	MoveFailed  PlanMoveState = "failed"
)

// PlanMove is one VM's way. The JSON names are the API's.
type PlanMove struct {
	VMID     string             `json:"vm_id"`
	VM       string             `json:"vm"`
	Memory   int64              `json:"memory_bytes"`
	Running  bool               `json:"running"`
	FromID   string             `json:"from_id"`
	From     string             `json:"from"`
	ToID     string             `json:"host_id"`
	To       string             `json:"host"`
	Mode     MigrationMode      `json:"mode"`
	Forecast *MigrationForecast `json:"forecast"`
	Why      []string           `json:"why"`       // what speaks softly against it
	With     []string           `json:"kept_with"` // ids of VMs that go to the same host right before or after it
	State    PlanMoveState      `json:"state"`
	JobID    string             `json:"job_id,omitempty"`
	Error    string             `json:"error,omitempty"`
}

// PlanStay is a VM that stays, and why.
type PlanStay struct {
	VMID    string   `json:"vm_id"`
	VM      string   `json:"vm"`
	HostID  string   `json:"host_id"`
	Host    string   `json:"host"`
	Dropped bool     `json:"dropped"` // by a person
	Why     []Reason `json:"why"`
}

// PlanHost names a host.
type PlanHost struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// PlanStage is one failure domain: its hosts are emptied together.
type PlanStage struct {
	Name    string     `json:"name"`
	Hosts   []PlanHost `json:"hosts"`
	Phase   PlanPhase  `json:"phase"`
	Moves   []PlanMove `json:"moves"`
	Stays   []PlanStay `json:"stays"`
	Back    []PlanMove `json:"back"` // where they came from
	Seconds Interval   `json:"seconds"`
	Over    []Reason   `json:"over_committed"`
	Running []string   `json:"running,omitempty"` // VMs of its hosts that ran when it began: the gate wants them to run
	Emptied time.Time  `json:"emptied,omitzero"`
}

// Plan is the maintenance of hosts: emptied one failure domain after the other, and filled again.
type Plan struct {
	ID         string      `json:"-"`
	Title      string      `json:"-"`
	State      PlanState   `json:"-"`
	JobID      string      `json:"-"` // the last run
	StartAt    time.Time   `json:"-"` // zero: when a person starts it
	CreatedAt  time.Time   `json:"-"`
	Version    int64       `json:"-"`
	TimeZone   string      `json:"time_zone,omitempty"`
	Kind       PlanKind    `json:"kind"`
	Label      string      `json:"label,omitempty"` // hosts with the same value are one failure domain
	Parallel   int         `json:"parallel"`
	Gate       PlanGate    `json:"gate"`
	Return     bool        `json:"return"`
	Stages     []PlanStage `json:"stages"`
	Reasons    []Reason    `json:"reasons,omitempty"` // why it stopped or waits
	MadeBy     string      `json:"made_by"`
	ApprovedBy string      `json:"approved_by,omitempty"`
}

// PlanKind says what a plan is for.
type PlanKind string

const (
	PlanEvacuate PlanKind = "evacuate" // empty one host
	PlanReturn   PlanKind = "return"   // bring back what was evacuated
	PlanRolling  PlanKind = "rolling"  // hosts one failure domain after the other
)

// Current gives the stage at hand; nil when all are done.
func (p *Plan) Current() *PlanStage {
	for i := range p.Stages {
		if p.Stages[i].Phase != PhaseDone {
			return &p.Stages[i]
		}
	}
	return nil
}

// Counts tells how many VMs move in all, how many did, failed and stay.
func (p *Plan) Counts() (moves, moved, failed, stay int) {
	for _, s := range p.Stages {
		for _, m := range s.Moves {
			moves++
			switch m.State {
			case MoveMoved:
				moved++
			case MoveFailed:
				failed++
			}
		}
		stay += len(s.Stays)
	}
	return moves, moved, failed, stay
}

// Seconds is how long the moves take from the first to the last, without the gates. That the stages err independently is not assumed.
func (p *Plan) Seconds() (total Interval) {
	for _, s := range p.Stages {
		total.P05 += s.Seconds.P05
		total.P50 += s.Seconds.P50
		total.P95 += s.Seconds.P95
	}
	return total
}

// ParsePlanTime reads a time of the clock on the wall of a time zone, as 2026-11-24T02:00. A time that the zone's clocks skip is refused.
func ParsePlanTime(p *Problems, text, zone string) time.Time {
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "" || loc == time.Local {
		p.Add("time_zone", "“"+zone+"” is not a time zone.", "for example Europe/Berlin or UTC")
		return time.Time{}
	}
	const layout = "2006-01-02T15:04"
	at, err := time.ParseInLocation(layout, text, loc)
	if err != nil {
		p.Add("start_at", "“"+text+"” is not a time.", "for example 2026-11-24T02:00, on the clocks of the time zone")
		return time.Time{}
	}
	if at.Format(layout) != text {
		p.Add("start_at", fmt.Sprintf("%s does not exist in %s: the clocks are put forward then.", text, zone), "an hour earlier or later")
		return time.Time{}
	}
	return at
}
