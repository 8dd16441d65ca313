// Package tasks shows jobs, which people call tasks: the list, and one task with its steps, log, progress and what to do when it went wrong.
//
// It is not for the drawer, which belongs to the frame (package layout).
package tasks

import "novacron/domain"

// List is the task list.
type List struct {
	Items  []domain.Job
	State  string // "", active, failed (undone and stuck), or a domain.JobState
	Filter string // words in title, actor or resource; as typed
	After  string
	Next   string
	Total  int // 0: not counted
}

// Page is one task.
type Page struct {
	Job      domain.Job
	Log      []domain.JobLine
	Children []domain.Job
	Parent   *domain.Job
	Choices  []domain.JobChoice // ways out of a stuck job, each saying what it does
}
