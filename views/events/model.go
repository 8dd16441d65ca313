// Package events shows the feed of what happened: on its own page, and as a list inside a VM's or a host's page.
//
// It is not for audit rules or retention; it prints what it is given.
package events

import "novacron/domain"

// List is the event list, newest first.
type List struct {
	Items  []domain.Event
	Kind   string // prefix of the kind: "", vm, host, job, user
	Next   string // Seq before which the next page ends; "" at the end
	Before string
}
