// Package search shows what the global search and the command palette found.
//
// It is not for searching; handlers do that.
package search

import "novacron/domain"

// Results are the hits, best first in each group.
type Results struct {
	Query    string
	VMs      []domain.VM
	MoreVMs  int // beyond VMs
	Hosts    []domain.Host
	Tasks    []domain.Job
	Commands []Command // what a person can do from here
}

// Command is an action of the palette.
type Command struct{ Label, URL, Icon, Keys string }
