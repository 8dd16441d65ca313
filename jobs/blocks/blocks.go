package blocks

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
	KindUpload   = "volume.upload"
	KindChecksum = "volume.checksum"
	KindMove     = "volume.move"
	KindFlatten  = "disk.flatten"
	KindCommit   = "disk.commit"
)

// Deps is what the steps work with.
type Deps struct {
	DB     *db.DB
	Hosts  hv.Fleet
	Mirror *reconcile.Mirror
	Desk   *Desk
	Clock  func() time.Time
	// Look is how often the work of a host on a disk is looked at; 0: half a second.
	Look time.Duration
}

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	if d.Look == 0 {
		d.Look = 500 * time.Millisecond
	}
	const look = "Look at the job's log and at the disks of the VM on its host. Put right what the last error names, then try the job again; or tidy up by hand and let the job go."
	return []jobs.Kind{
		{Name: KindUpload, Steps: bind(d.uploadSteps), StuckHelp: "The volume may have half of the content. Delete it, or upload again, then let the job go.", Abandon: dropUpload},
		{Name: KindChecksum, Steps: bind(d.checksumSteps), StuckHelp: look},
		{Name: KindMove, Steps: bind(d.moveSteps), StuckHelp: look},
		{Name: KindFlatten, Steps: bind(d.flattenSteps), StuckHelp: look},
		{Name: KindCommit, Steps: bind(d.commitSteps), StuckHelp: look},
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

func cause(r *jobs.Run, format string, args ...any) reconcile.Cause {
	c := reconcile.Cause{Actor: r.Job().Actor, JobID: r.Job().ID}
	if format != "" {
		c.Message = fmt.Sprintf(format, args...)
	}
	return c
}

const hostTimeout = 2 * time.Minute

// Volume names a volume in the input of a job.
type Volume struct {
	ID     string `json:"id"`
	HostID string `json:"host_id"`
	Pool   string `json:"pool"`
	Name   string `json:"name"`
	Path   string `json:"path"`
	Format string `json:"format"`
	Bytes  int64  `json:"bytes"` // capacity
}

// VolumeOf fills it.
func VolumeOf(v domain.Volume) Volume {
	return Volume{ID: v.ID, HostID: v.HostID, Pool: v.Pool, Name: v.Name, Path: v.Path, Format: v.Format, Bytes: v.CapacityBytes}
}

// pace tells how fast something goes and how long it will take.
type pace struct {
	clock func() time.Time
	began time.Time
	first int64
}

func (p *pace) words(done, total int64) (percent float64, text string) {
	now := p.clock()
	if p.began.IsZero() {
		p.began, p.first = now, done
	}
	if total > 0 {
		percent = float64(done) * 100 / float64(total)
	}
	text = domain.FormatBytes(done) + " of " + domain.FormatBytes(total)
	if took := now.Sub(p.began); took > time.Second && done > p.first {
		rate := float64(done-p.first) / took.Seconds()
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		text += fmt.Sprintf(", %s/s, %s left", domain.FormatBytes(int64(rate)), left.Round(time.Second))
	}
	return percent, text
}

func (d Deps) told(ctx context.Context, r *jobs.Run, v Volume, format string, args ...any) error {
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		return tx.Emit(domain.Event{Kind: "volume.changed", Resource: domain.Ref{Kind: "volume", ID: v.ID, Name: v.Name}, HostID: v.HostID, JobID: r.Job().ID, Actor: r.Job().Actor,
			Message: fmt.Sprintf(format, args...)})
	})
}
