package images

import (
	"encoding/json"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/reconcile"
)

// Kinds of jobs.
const (
	KindImport  = "image.import"
	KindPlace   = "image.place"
	KindCollect = "image.collect"
	KindDelete  = "image.delete"
)

// Deps is what the steps work with.
type Deps struct {
	DB      *db.DB
	Hosts   hv.Fleet
	Mirror  *reconcile.Mirror
	Library *Library
}

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	return []jobs.Kind{
		{Name: KindImport, Steps: bind(d.importSteps), Abandon: d.abandonImport,
			StuckHelp: stuckImport},
		{Name: KindTemplate, Steps: bind(d.templateSteps), Abandon: d.abandonTemplate, StuckHelp: stuckImport},
		{Name: KindPlace, Steps: bind(d.placeSteps), StuckHelp: "Look at the pool on the host, then let the job go: a copy that is not complete is never used."},
		{Name: KindCollect, Steps: bind(d.collectSteps), StuckHelp: "Some copies could not be removed. Put right what the last error names and try again, or let the job go."},
		{Name: KindDelete, Steps: bind(d.deleteSteps), StuckHelp: "Some of the image's copies or its file could not be removed. Put right what the last error names and try again."},
	}
}

const stuckImport = "Look at the job's log for what was left on the host; remove a volume that begins with novacron-read- there, and delete a snapshot of the VM that begins with copying-, which merges it; then let the job go."

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

const hostTimeout = 2 * time.Minute

// Result is what jobs of this package leave for their caller.
type Result struct {
	ImageID   string `json:"image_id,omitempty"`
	VersionID string `json:"version_id,omitempty"`
	Ref       string `json:"ref,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	Removed   int    `json:"removed,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"` // that were freed
}

// changed tells that an image is not what it was. It must be called in the transaction that changed it.
func changed(tx *db.Tx, job domain.Job, v domain.ImageVersion, kind, sentence string) error {
	return tx.Emit(domain.Event{Kind: kind, Resource: domain.Ref{Kind: "image", ID: v.ImageID, Name: v.ImageName}, JobID: job.ID, Actor: job.Actor, Message: sentence})
}

func throttled(r *jobs.Run, from, to float64, what string) func(done, total int64) {
	var last time.Time
	return func(done, total int64) {
		if now := time.Now(); total > 0 && (now.Sub(last) > 200*time.Millisecond || done >= total) {
			last = now
			r.Progress(from+(to-from)*float64(done)/float64(total), what+": "+domain.FormatBytes(done)+" of "+domain.FormatBytes(total))
		} else if total <= 0 && now.Sub(last) > 200*time.Millisecond {
			last = now
			r.Progress(from, what+": "+domain.FormatBytes(done))
		}
	}
}
