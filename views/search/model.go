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
	Pools    []Pool
	Volumes  []Volume
	More     int // volumes beyond Volumes
	Tasks    []domain.Job
	Commands []Command // what a person can do from here
}

// Pool is a storage pool that was found, and where it is.
type Pool struct {
	domain.Pool
	Where string
}

// Volume is a volume that was found.
type Volume struct {
	domain.Volume
	Where string // pool and host
	Used  string // by what; empty: by nobody
}

// Command is an action of the palette.
type Command struct{ Label, URL, Icon, Keys string }
