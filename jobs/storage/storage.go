// Package storage makes, alters and removes storage pools and volumes: pool.create, pool.start, pool.stop, pool.refresh, pool.autostart, pool.delete,
// volume.create, volume.clone, volume.resize, volume.delete.
//
// A pool on shared storage is one pool on several hosts: a job then works in every place, and takes all of them back when one fails. What it makes is
// written into its ledger first, so that it never adopts or deletes what was there before. Whether anybody needs a volume is asked once when the job is
// asked for and again just before anything goes.
//
// It is not for the disks of a new VM (jobs/provision), nor for what is inside a volume or moving it (jobs/blocks).
package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/reconcile"
)

// Kinds of jobs.
const (
	KindPoolCreate    = "pool.create"
	KindPoolStart     = "pool.start"
	KindPoolStop      = "pool.stop"
	KindPoolRefresh   = "pool.refresh"
	KindPoolAutostart = "pool.autostart"
	KindPoolDelete    = "pool.delete"
	KindVolumeCreate  = "volume.create"
	KindVolumeClone   = "volume.clone"
	KindVolumeResize  = "volume.resize"
	KindVolumeDelete  = "volume.delete"
)

const (
	hostTimeout = 2 * time.Minute
	buildLimit  = 15 * time.Minute
	copyTimeout = 12 * time.Hour
)

// Deps is what the steps work with.
type Deps struct {
	DB     *db.DB
	Hosts  hv.Fleet
	Mirror *reconcile.Mirror
	// Secret gives a host the passphrase that a new volume is encrypted under.
	Secret func(ctx context.Context, host hv.Host, uuid string) error
}

// Place is a pool as one host has it.
type Place struct {
	HostID   string `json:"host_id"`
	HostName string `json:"host_name"`
	Pool     string `json:"pool"` // its name there
}

// PoolResult is what a job on a pool leaves for its caller.
type PoolResult struct {
	PoolIDs []string `json:"pool_ids"`
}

// VolumeResult is what a job on a volume leaves for its caller.
type VolumeResult struct {
	VolumeID string `json:"volume_id"`
	Path     string `json:"path,omitempty"`
}

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	const look = "Look at the job's log for what was done, and at the pool on the host. Put right what the last error names, then try the job again; or tidy up by hand and let the job go."
	return []jobs.Kind{
		{Name: KindPoolCreate, Steps: bind(d.createPoolSteps), StuckHelp: look},
		{Name: KindPoolStart, Steps: bind(d.startSteps), StuckHelp: look},
		{Name: KindPoolStop, Steps: bind(d.stopSteps), StuckHelp: look},
		{Name: KindPoolRefresh, Steps: bind(d.refreshSteps), StuckHelp: look},
		{Name: KindPoolAutostart, Steps: bind(d.autostartSteps), StuckHelp: look},
		{Name: KindPoolDelete, Steps: bind(d.deletePoolSteps), StuckHelp: look},
		{Name: KindVolumeCreate, Steps: bind(d.createVolumeSteps), StuckHelp: look},
		{Name: KindVolumeClone, Steps: bind(d.cloneSteps), StuckHelp: look},
		{Name: KindVolumeResize, Steps: bind(d.resizeSteps), StuckHelp: look},
		{Name: KindVolumeDelete, Steps: bind(d.deleteVolumeSteps), StuckHelp: "The volume could not be deleted. Put right what the last error names and try again, or let the job go: the volume stays."},
	}
}

// bind reads a job's input before its steps are made.
func bind[I any](steps func(I) []jobs.Step) func(json.RawMessage) ([]jobs.Step, error) {
	return func(raw json.RawMessage) ([]jobs.Step, error) {
		var in I
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
		}
		return steps(in), nil
	}
}

// ledger is what a job remembers of what it does on hosts, written before it does it. The maps are by host id.
type ledger struct {
	Claimed map[string]bool `json:"claimed,omitempty"` // the pool or volume was not there, and this job was about to make it
	Built   map[string]bool `json:"built,omitempty"`   // this job was about to write the pool's devices
	Was     map[string]*was `json:"was,omitempty"`     // the pool before it was changed
	Done    bool            `json:"done,omitempty"`    // the copy was made in full
	From    int64           `json:"from,omitempty"`    // the volume's size before
}

// was is a pool before a job changed it.
type was struct {
	Doc       string `json:"doc,omitempty"`
	Active    bool   `json:"active"`
	Autostart bool   `json:"autostart"`
}

func load(r *jobs.Run) (*ledger, error) {
	l := &ledger{}
	if err := r.Load(l); err != nil {
		return nil, err
	}
	if l.Claimed == nil {
		l.Claimed = map[string]bool{}
	}
	if l.Built == nil {
		l.Built = map[string]bool{}
	}
	if l.Was == nil {
		l.Was = map[string]*was{}
	}
	return l, nil
}

func cause(r *jobs.Run) reconcile.Cause {
	return reconcile.Cause{Actor: r.Job().Actor, JobID: r.Job().ID}
}

// mirror writes what the first place says into the database, and what the others say that are there: one that is away is read when it comes back. A
// host looks into network storage only when it is told to.
func (d Deps) mirror(ctx context.Context, r *jobs.Run, places []Place, refresh bool) error {
	for i, p := range places {
		err := d.mirrorOne(ctx, r, p, refresh && i > 0)
		if i > 0 && domain.Is(err, domain.Unavailable) {
			r.Log("%s does not answer; it is looked at when it comes back.", p.HostName)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d Deps) mirrorOne(ctx context.Context, r *jobs.Run, p Place, refresh bool) error {
	host, err := d.Hosts.Host(p.HostID)
	if err != nil {
		return err
	}
	if refresh {
		if err := host.RefreshPool(ctx, p.Pool); err != nil && !domain.Is(err, domain.Conflict) && !domain.Is(err, domain.NotFound) {
			return err
		}
	}
	return d.Mirror.Inventory(ctx, host, p.HostID, cause(r))
}

// emit says in one sentence what was done to a pool or a volume.
func (d Deps) emit(ctx context.Context, r *jobs.Run, kind, format string, args ...any) error {
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		job := r.Job()
		return tx.Emit(domain.Event{Kind: kind, Resource: job.Resource, JobID: job.ID, Actor: job.Actor, Message: fmt.Sprintf(format, args...)})
	})
}

// Needed is the Conflict of something that others need, naming all of them.
func Needed(what string, users []domain.VolumeUser) error {
	if len(users) == 0 {
		return nil
	}
	var names []string
	reasons := make([]domain.Reason, 0, len(users))
	seen := map[string]bool{}
	for _, u := range users {
		reason := domain.Reason{Subject: u.Name, Msg: Use(u)}
		if seen[reason.Subject+reason.Msg] {
			continue
		}
		seen[reason.Subject+reason.Msg] = true
		names, reasons = append(names, reason.Subject+" ("+reason.Msg+")"), append(reasons, reason)
	}
	const most = 10
	list := strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		list += fmt.Sprintf(" and %d more", len(names)-most)
	}
	e := domain.Errorf(domain.Conflict, "%s is needed by %s.", what, list).WithFix("Detach or delete what needs it first; nothing was touched.")
	e.Reasons = reasons
	return e
}

// Thawed refuses what would change or take away a volume that the image library keeps as it is: a copy of an image, or what linked clones are built on.
func Thawed(ctx context.Context, d *db.DB, volumeID string) error {
	at, err := d.VolumeOn(ctx, volumeID)
	if err != nil {
		return err
	}
	why, err := d.Frozen(ctx, at[0].PoolID, at[0].Name)
	if err != nil || why == "" {
		return err
	}
	return domain.Errorf(domain.Conflict, "%s %s, so it stays as it is.", at[0].Name, why).WithFix("Copy it, or choose another volume.")
}

// Use says in words what somebody needs a volume for.
func Use(u domain.VolumeUser) string {
	on := ""
	if u.HostName != "" {
		on = " on " + u.HostName
	}
	switch {
	case u.Kind == "vm" && u.Direct:
		return "VM" + on + ", disk " + u.Target
	case u.Kind == "vm":
		return "VM" + on + ", disk " + u.Target + " is built on it"
	case u.Kind == "image":
		return "image of the library"
	case u.Kind == "base":
		return "frozen base of linked clones"
	case u.Direct:
		return "volume built on it"
	}
	return "volume built on what is built on it"
}
