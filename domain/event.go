package domain

import "time"

// EventStep is the kind of the many events that only say which step a job is at; its asking and its end are "job.changed".
const EventStep = "job.step"

// Event is one transition, written in the transaction that made it. Seq grows by one table-wide and is the resume cursor.
type Event struct {
	Seq      int64     `json:"seq"`
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"` // vm.created vm.changed vm.removed host.changed job.changed user.signed_in …; EventStep
	Resource Ref       `json:"resource"`
	HostID   string    `json:"host_id,omitempty"`
	JobID    string    `json:"job_id,omitempty"`
	Actor    string    `json:"actor"`   // person, token, "system", or "host" for what others did on the host
	Message  string    `json:"message"` // one sentence for people
	Tenant   string    `json:"tenant,omitempty"`
}
