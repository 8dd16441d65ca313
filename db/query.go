package db

import (
	"time"

	"novacron/domain"
)

// VMQuery asks for a page of VMs.
type VMQuery struct {
	Filter string         // the filter language of filter.go; empty: all
	Host   string         // host id
	Tenant string         // tenant's id
	State  domain.VMState // as shown, so VMAway is a state too
	Sort   string         // name (default), state, host, vcpus, memory or created
	Desc   bool
	After  string // cursor of an earlier page with the same sort
	Limit  int    // 0: 100; at most 1000
}

// VMPage is a page of VMs. Items carry no XML; their Config, Live and Pending are shared with other readers and must not be altered.
type VMPage struct {
	Items []domain.VM
	Next  string // cursor of the next page; empty at the end
	Total int    // how many match in all
}

// JobQuery asks for a page of jobs, newest first.
type JobQuery struct {
	State    domain.JobState
	Kind     string
	Resource string // id of what the job is about
	Parent   string // children of this job
	TopLevel bool   // only jobs without a parent
	Active   bool   // queued and running only
	After    string
	Limit    int // 0: 50; at most 1000
}

// JobPage is a page of jobs. What the items point to is shared with other readers and must not be altered.
type JobPage struct {
	Items []domain.Job
	Next  string
	Total int
}

// EventQuery asks for events, oldest first; Newest turns that round.
type EventQuery struct {
	After    int64 // only events with a greater Seq
	Before   int64 // only events with a smaller Seq; 0: no bound
	Resource string
	HostID   string // events of the host and of everything on it
	JobID    string
	Limit    int // 0: 100; at most 1000
	Newest   bool
	NoSteps  bool // leaves out what only says which step a job is at
}

// Overview is the estate in numbers.
type Overview struct {
	VMs             map[domain.VMState]int
	VMsTotal        int
	Hosts           map[domain.HostState]int
	HostsTotal      int
	Maintenance     int   // hosts in maintenance
	VCPUsRunning    int   // virtual CPUs of running and paused VMs
	VCPUsDefined    int   // of all VMs
	CPUs            int   // logical processors of connected hosts
	MemoryRunning   int64 // bytes
	MemoryDefined   int64
	MemoryBytes     int64 // of connected hosts
	StorageFree     int64
	StorageTotal    int64
	ActiveJobs      int
	StuckJobs       int
	LastEvent       int64 // Seq of the newest event
	OldestAwaySince time.Time
}

// HostLoad is what a host carries; running counts paused VMs too, as they keep their memory.
type HostLoad struct {
	HostID         string
	VMs            int
	Running        int
	VCPUsRunning   int
	VCPUsDefined   int
	MemoryRunning  int64
	MemoryDefined  int64
	MemoryCreating int64 // of VMs whose create job is under way
}

// Hit is one answer of Search.
type Hit struct {
	Ref    domain.Ref
	Detail string // what tells it from others of the same name: "running on b2", "10 GiB"
}
