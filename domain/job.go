package domain

import (
	"encoding/json"
	"slices"
	"time"
)

// JobState is where a job stands.
type JobState string

const (
	JobQueued    JobState = "queued"
	JobRunning   JobState = "running"
	JobSucceeded JobState = "succeeded" // done; an Error beside it names what of many things was not
	JobUndone    JobState = "undone"    // failed or cancelled, and everything it had done was taken back
	JobStuck     JobState = "stuck"     // needs a person; Help says what to do
)

// Ended reports whether the job will not move again by itself.
func (s JobState) Ended() bool { return s == JobSucceeded || s == JobUndone || s == JobStuck }

var jobNext = map[JobState][]JobState{
	JobQueued:  {JobRunning, JobUndone},
	JobRunning: {JobSucceeded, JobUndone, JobStuck, JobQueued}, // back to queued: taken up again after a restart
	JobStuck:   {JobQueued, JobUndone},                         // a person says try again, or lets go
}

// Next checks a transition; an illegal one is an Internal error.
func (s JobState) Next(to JobState) error {
	if slices.Contains(jobNext[s], to) {
		return nil
	}
	return Errorf(Internal, "A %s job cannot become %s.", s, to)
}

// Step states.
const (
	StepPending = "pending"
	StepStarted = "started" // durable before Do runs
	StepDone    = "done"
	StepFailed  = "failed"
	StepUndoing = "undoing"
	StepUndone  = "undone"
)

// JobStep is the log of one step.
type JobStep struct {
	Name      string     `json:"name"`
	State     string     `json:"state"`
	Error     string     `json:"error,omitempty"`
	Code      Code       `json:"code,omitempty"` // of Error
	StartedAt *time.Time `json:"started_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
}

// Ref names a thing: kind is vm, host, job, user, token, volume …
type Ref struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Job is one durable change of the fleet.
type Job struct {
	ID        string
	Kind      string // vm.create, vm.start, host.add …
	Title     string // "Start web-1": what a person reads
	State     JobState
	Resource  Ref      // what it is about
	Locks     []string // resources it holds while not ended, such as vm_… or host_…
	ParentID  string   // a child of a fan-out
	Input     json.RawMessage
	Data      json.RawMessage // what steps hand to later steps and to undo
	Result    json.RawMessage // what it made, for the caller
	Steps     []JobStep
	Progress  Progress
	Error     *JobError
	Help      string // for stuck: what a person should do
	Actor     string // user or token name, or "system"
	Tenant    string // whose it is; empty: the estate's
	CancelAsk bool   // a person asked to cancel
	CreatedAt time.Time
	StartedAt time.Time
	EndedAt   time.Time
	Attempts  int // times taken up by a runner
}

// Partial reports whether the job did only a part of what it was asked for: Error names the rest.
func (j Job) Partial() bool { return j.State == JobSucceeded && j.Error != nil }

// JobError is why a job did not succeed, or what of a job that succeeded was not done.
type JobError struct {
	Code    Code         `json:"code"`
	Message string       `json:"message"`
	Fix     string       `json:"fix,omitempty"`
	Step    string       `json:"step,omitempty"`
	Fields  []FieldError `json:"fields,omitempty"`
	Reasons []Reason     `json:"reasons,omitempty"`
}

// JobChoice is a way out of a stuck job that a person may choose.
type JobChoice struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Does  string `json:"does" doc:"What it will do, in words"`
}

// Progress is the latest value only; it is never history.
type Progress struct {
	Percent float64 `json:"percent"` // 0 to 100
	Text    string  `json:"text,omitempty"`
	// Move is how a migration under way goes; nil for every other job. It is never changed, only replaced.
	Move *MoveProgress `json:"migration,omitempty"`
}

// JobLine is one line of a job's log.
type JobLine struct {
	At   time.Time `json:"at"`
	Step string    `json:"step,omitempty"`
	Text string    `json:"text"`
}
