// Package events shows the feed of what happened: on its own page, and as a list inside a VM's or a host's page.
//
// It is not for audit rules or retention; it prints what it is given.
package events

import "novacron/domain"

// Kinds of the list beside the prefixes of events' kinds. Which step a task is at would drown what happened, so it is shown only when asked for.
const (
	Steps = "step"
	All   = "all"
)

// List is the event list, newest first.
type List struct {
	Items  []domain.Event
	Kind   string // what is shown: "" (everything but Steps), vm, host, job, user, Steps or All
	Next   string // Seq before which the next page ends; "" at the end
	Before string
}
