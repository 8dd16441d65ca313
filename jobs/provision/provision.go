// Package provision makes, copies, alters, renames and removes VMs: vm.create, vm.clone, vm.change, vm.rename, vm.delete.
//
// What a job makes on a host it writes down before making it (the ledger), so that after a crash it knows what is its own: a volume that was
// there before is never written to, adopted or deleted. A new VM's row is inserted in the transaction that enqueues its job, which is what makes names and
// memory race free; undoing the first step takes the row away again.
//
// Steps get everything settled (UUID, MACs, volume names, host): Settle and its kin do that once, before the job exists. It is not for
// choosing a host (domain/placement) or for judging requests (jobs/fleet).
package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/images"
	"novacron/jobs/nets"
	"novacron/jobs/reconcile"
	"novacron/jobs/snapshot"
)

// Kinds of jobs.
const (
	KindCreate = "vm.create"
	KindClone  = "vm.clone"
	// KindFromSnapshot makes a VM of a snapshot.
	KindFromSnapshot = "vm.from-snapshot"
	KindChange       = "vm.change"
	KindRename       = "vm.rename"
	KindDelete       = "vm.delete"
)

// Deps is what the steps work with.
type Deps struct {
	DB     *db.DB
	Hosts  hv.Fleet
	Mirror *reconcile.Mirror
	Images images.Deps
	Nets   nets.Deps // has the filters ready that cards name
}

// Result is what a job of this package leaves for its caller.
type Result struct {
	VMID    string          `json:"vm_id"`
	Notes   []string        `json:"notes,omitempty"`   // what was chosen for the person, and why
	Pending []domain.Change `json:"pending,omitempty"` // what applies after a restart
	Deleted []string        `json:"deleted,omitempty"` // paths of the disks that went
}

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	const look = "Look at the job's log for what was done, and at the VM and its volumes on the host. Put right what the last error names, then try the job again; or tidy up by hand and let the job go."
	return []jobs.Kind{
		{Name: KindCreate, Steps: bind(d.createSteps), StuckHelp: look, Abandon: abandon},
		{Name: KindClone, Steps: bind(d.cloneSteps), StuckHelp: look, Abandon: abandon},
		{Name: KindFromSnapshot, Steps: bind(d.fromSnapshotSteps), Abandon: abandon,
			StuckHelp: look + " A snapshot of the original that begins with copying- is this job's: deleting it merges what was written meanwhile."},
		{Name: KindChange, Steps: bind(d.changeSteps), StuckHelp: look, Abandon: abandonChange},
		{Name: KindRename, Steps: bind(d.renameSteps), StuckHelp: "Look at the VM's name on the host, then let the job go; the list follows the host."},
		{Name: KindDelete, Steps: bind(d.deleteSteps), StuckHelp: "The VM is no longer defined but not every disk could be deleted. Put right what the last error names and try again, or delete the named files by hand and let the job go."},
	}
}

// bind reads a job's input before its steps are made.
func bind[I any](steps func(I) []jobs.Step) func(json.RawMessage) ([]jobs.Step, error) {
	return func(raw json.RawMessage) ([]jobs.Step, error) {
		in, err := input[I](raw)
		if err != nil {
			return nil, err
		}
		return steps(in), nil
	}
}

func input[I any](raw json.RawMessage) (in I, err error) {
	if err := json.Unmarshal(raw, &in); err != nil {
		return in, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
	}
	return in, nil
}

// ledger is what a job remembers of what it does on a host, written before it does it.
type ledger struct {
	Volumes       map[string]*entry `json:"volumes,omitempty"` // by pool/name: those this job makes
	Held          snapshot.Held     `json:"held"`
	Before        *domain.Guest     `json:"before,omitempty"` // the VM before it was changed or removed
	ChangeStarted bool              `json:"change_started,omitempty"`
	Notes         []string          `json:"notes,omitempty"`
	Deleted       []string          `json:"deleted,omitempty"`
}

// entry is one volume of the ledger. That it exists means: this volume was not there, and this job was about to make it.
type entry struct {
	Done bool `json:"done"` // it was made in full
}

func load(r *jobs.Run) (*ledger, error) {
	l := &ledger{}
	if err := r.Load(l); err != nil {
		return nil, err
	}
	if l.Volumes == nil {
		l.Volumes = map[string]*entry{}
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

// New is what the jobs that make a VM know of it.
type New struct {
	VMID     string        `json:"vm_id"`
	HostID   string        `json:"host_id"`
	HostName string        `json:"host_name"`
	Spec     domain.VMSpec `json:"spec"` // settled
	// Images names the versions that disks begin as, by their ids.
	Images map[string]string `json:"images,omitempty"`
}

// forget takes away the row that was inserted with the job.
func (d Deps) forget(ctx context.Context, r *jobs.Run, vmID, sentence string) error {
	vm, err := d.DB.VM(ctx, vmID)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	d.Mirror.Overtake(vm.HostID, vm.UUID)
	return d.DB.Write(ctx, func(tx *db.Tx) error { return forget(tx, r.Job(), vmID, sentence) })
}

func forget(tx *db.Tx, job domain.Job, vmID, sentence string) error {
	vm, err := tx.VM(vmID)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := tx.DeleteVM(vmID); err != nil {
		return err
	}
	return tx.Emit(domain.Event{Kind: "vm.removed", Resource: domain.Ref{Kind: "vm", ID: vmID, Name: vm.Name}, HostID: vm.HostID,
		JobID: job.ID, Actor: job.Actor, Message: fmt.Sprintf("%s %s.", vm.Name, sentence)})
}

// abandon is forget for a job that never began.
func abandon(tx *db.Tx, job domain.Job) error {
	return forget(tx, job, job.Resource.ID, "was not made")
}

// made writes the finished VM's row from the host, and what its volumes took.
func (d Deps) made(ctx context.Context, r *jobs.Run, host hv.Host, n New, sentence string) error {
	var vm domain.VM
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		vm, err = d.Mirror.Guest(gctx, host, n.HostID, n.Spec.UUID, cause(r, ""))
		return err
	})
	g.Go(func() error { return d.Mirror.Inventory(gctx, host, n.HostID, cause(r, "")) })
	if err := g.Wait(); err != nil {
		return err
	}
	if !vm.Creating {
		return nil
	}
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		if err := tx.SetVMCreating(n.VMID, false); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "vm.changed", Resource: domain.Ref{Kind: "vm", ID: n.VMID, Name: n.Spec.Name}, HostID: n.HostID,
			JobID: r.Job().ID, Actor: r.Job().Actor, Message: fmt.Sprintf("%s %s %s.", n.Spec.Name, sentence, n.HostName)})
	})
}

// free checks that the host has no guest with the UUID of the one to be made.
func free(ctx context.Context, host hv.Host, n New) error {
	g, err := host.Guest(ctx, n.Spec.UUID)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return domain.Errorf(domain.Conflict, "%s already has a VM with the UUID %s: %s.", n.HostName, n.Spec.UUID, g.Name).WithFix("Leave the UUID out to have a new one made.")
}

const hostTimeout = 2 * time.Minute
