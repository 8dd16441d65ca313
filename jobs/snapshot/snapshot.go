// Package snapshot takes VMs back to where they were: snapshot.create, snapshot.revert, snapshot.delete, and snapshot.schedule, which takes and retires
// snapshots by the clock.
//
// libvirt looks at the chain of the one VM that it is asked about. That another branch, another snapshot or another VM needs a file is for this
// package to see: what may be merged and which files nobody needs any more is judged here, from what the host lists in that moment (plan.go). A file that is
// needed is never written to or deleted; what a job makes is written down before it is made.
//
// It is not for choosing the kind of a snapshot (domain.SettleSnapshot), and not for making a VM from one (jobs/provision).
package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/reconcile"
)

// Kinds of jobs.
const (
	KindCreate   = "snapshot.create"
	KindRevert   = "snapshot.revert"
	KindDelete   = "snapshot.delete"
	KindSchedule = "snapshot.schedule"
)

// Deps is what the steps work with.
type Deps struct {
	DB     *db.DB
	Hosts  hv.Fleet
	Mirror *reconcile.Mirror
}

// VM says which VM a job is about.
type VM struct {
	ID     string `json:"vm_id"`
	HostID string `json:"host_id"`
	UUID   string `json:"uuid"`
	Name   string `json:"name"`
}

// Result is what a job of this package leaves for its caller.
type Result struct {
	VMID       string   `json:"vm_id"`
	SnapshotID string   `json:"snapshot_id,omitempty"`
	Safety     string   `json:"safety,omitempty"`  // name of the safety snapshot
	Notes      []string `json:"notes,omitempty"`   // what was chosen, and why
	Deleted    []string `json:"deleted,omitempty"` // files that went
}

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	const look = "Look at the job's log for what was done, and at the VM's disks and snapshots on the host. Put right what the last error names, then try the job again; or let the job go: the list follows the host."
	return []jobs.Kind{
		{Name: KindCreate, Steps: bind(d.createSteps), StuckHelp: look},
		{Name: KindRevert, Steps: bind(d.revertSteps), StuckHelp: look},
		{Name: KindDelete, Steps: bind(d.deleteSteps), StuckHelp: look},
		{Name: KindSchedule, Steps: bind(d.scheduleSteps), StuckHelp: "Look at the jobs of the single VMs; let this one go."},
	}
}

func bind[I any](steps func(I) []jobs.Step) func(json.RawMessage) ([]jobs.Step, error) {
	return func(raw json.RawMessage) ([]jobs.Step, error) {
		var in I
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
		}
		return steps(in), nil
	}
}

// ledger is what a job remembers of what it does on a host, written before it does it.
type ledger struct {
	Claimed  map[string]bool   `json:"claimed,omitempty"`  // snapshots by name: the name was free, so one under it is this job's
	Taking   map[string]bool   `json:"taking,omitempty"`   // … and it was about to be taken
	Quiesced map[string]bool   `json:"quiesced,omitempty"` // by name
	Room     map[string]int64  `json:"room,omitempty"`     // by name; what the disks took up before, of an internal one
	Volumes  map[string]bool   `json:"volumes,omitempty"`  // paths that this job makes
	Before   *domain.Guest     `json:"before,omitempty"`
	Trees    []domain.Snapshot `json:"trees,omitempty"` // the snapshots before, with their XML
	Going    bool              `json:"going,omitempty"` // going back has begun
	Plans    map[string]merge  `json:"plans,omitempty"` // by name of the snapshot that is being deleted
	Deleted  []string          `json:"deleted,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
}

func load(r *jobs.Run) (*ledger, error) {
	l := &ledger{}
	if err := r.Load(l); err != nil {
		return nil, err
	}
	for _, m := range []*map[string]bool{&l.Claimed, &l.Taking, &l.Quiesced, &l.Volumes} {
		if *m == nil {
			*m = map[string]bool{}
		}
	}
	if l.Room == nil {
		l.Room = map[string]int64{}
	}
	if l.Plans == nil {
		l.Plans = map[string]merge{}
	}
	return l, nil
}

func cause(r *jobs.Run, format string, args ...any) reconcile.Cause {
	c := reconcile.Cause{Actor: r.Job().Actor, JobID: r.Job().ID}
	if format != "" {
		c.Message = fmt.Sprintf(format, args...)
	}
	return c
}

const (
	hostTimeout = 2 * time.Minute
	longTimeout = 12 * time.Hour
)

// at gives a step's host and ledger.
func (d Deps) at(r *jobs.Run, vm VM) (hv.Host, *ledger, error) {
	host, err := d.Hosts.Host(vm.HostID)
	if err != nil {
		return nil, nil, err
	}
	l, err := load(r)
	return host, l, err
}

// mirror writes what the VM, its snapshots and the storage are now.
func (d Deps) mirror(ctx context.Context, r *jobs.Run, host hv.Host, vm VM, format string, args ...any) ([]domain.Snapshot, error) {
	if err := d.Mirror.Inventory(ctx, host, vm.HostID, cause(r, "")); err != nil { // first: the depth of chains is read off it
		return nil, err
	}
	if _, err := d.Mirror.Guest(ctx, host, vm.HostID, vm.UUID, cause(r, "")); err != nil {
		return nil, err
	}
	return d.Mirror.Snapshots(ctx, host, vm.HostID, vm.UUID, cause(r, format, args...))
}

func find(all []domain.Snapshot, name string) (domain.Snapshot, bool) {
	for _, s := range all {
		if s.Name == name {
			return s, true
		}
	}
	return domain.Snapshot{}, false
}
