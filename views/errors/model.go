// Package errors shows that a page could not be shown, why, and what to do about it.
//
// It is not for errors of a form (they belong to the field) or of an action (a toast).
package errors

import "novacron/domain"

// Model is one error page.
type Model struct {
	Status int           // HTTP status
	Err    *domain.Error // nil: the status speaks for itself
	Back   string        // URL to go back to; "" home
	ID     string        // request id, to find it in the log; may be empty
}
