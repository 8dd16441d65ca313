// Package declare carries out what files ask for: a parent job that goes through the objects of a plan in the order of what needs what, and makes for
// each the same job that a person would have made. An object that fails does not hold up those that do not need it; what was done stands, and the same
// files can be applied again.
//
// It is not for reading files or for planning (domain/desired), nor for what each object needs to be done (jobs/fleet).
package declare

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/domain/desired"
	"novacron/jobs"
)

// Kind of the job.
const Kind = "estate.apply"

// Input is what is to be done, in its order.
type Input struct {
	Owner  string       `json:"owner"`
	Tenant string       `json:"tenant,omitempty"` // in whose name; empty: the estate's
	Rights *access.Kept `json:"rights,omitempty"` // of who asked in a tenant's name: nothing is done that they might not do
	Items  []Item       `json:"items"`
	Disks  bool         `json:"disks,omitempty"` // VMs that are pruned lose their disks, too
}

// Item is one object.
type Item struct {
	Kind   desired.Kind    `json:"kind"`
	Name   string          `json:"name"`
	Delete bool            `json:"delete,omitempty"`
	Forget bool            `json:"forget,omitempty"` // only what is remembered of it
	Wanted json.RawMessage `json:"wanted,omitempty"`
}

func (i Item) String() string { return string(i.Kind) + " " + i.Name }

// Begun is what became of beginning with an item.
type Begun struct {
	JobID   string // to be waited for; empty: nothing is
	Created bool
	Err     error
}

// Deps is what the job stands on.
type Deps struct {
	// Begin begins with items that do not need one another. A second call with the same keys finds the jobs of the first.
	Begin func(ctx context.Context, actor, key string, in Input, items []Item) ([]Begun, error)
	// Wait waits for a job to end.
	Wait func(ctx context.Context, id string) (domain.Job, error)
	// Done remembers an item that was carried out.
	Done func(ctx context.Context, job domain.Job, in Input, it Item) error
}

// Result is what the job leaves for its caller.
type Result struct {
	Done   []string        `json:"done"`
	Failed []domain.Reason `json:"failed"`
}

const most = 20

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	return []jobs.Kind{{Name: Kind, StuckHelp: "Look at the jobs of the single objects; let this one go, and apply again.", Steps: func(raw json.RawMessage) ([]jobs.Step, error) {
		var in Input
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
		}
		return []jobs.Step{{
			Name: "apply each in turn", Timeout: 24 * time.Hour, NoUndo: "The job of each object stands for itself.",
			Do: func(ctx context.Context, r *jobs.Run) error { return d.run(ctx, r, in) },
		}}, nil
	}}}
}

func (d Deps) run(ctx context.Context, r *jobs.Run, in Input) error {
	res := Result{Done: []string{}, Failed: []domain.Reason{}}
	for from := 0; from < len(in.Items); {
		to := from + 1
		for to < len(in.Items) && in.Items[to].Kind == in.Items[from].Kind && in.Items[to].Delete == in.Items[from].Delete {
			to++
		}
		r.Progress(float64(from)/float64(len(in.Items))*100, fmt.Sprintf("%d of %d", from, len(in.Items)))
		if err := d.wave(ctx, r, in, in.Items[from:to], &res); err != nil {
			return err
		}
		from = to
	}
	if err := r.Result(res); err != nil || len(res.Failed) == 0 {
		return err
	}
	e := domain.Errorf(domain.Conflict, "%d of %d objects were not applied.", len(res.Failed), len(in.Items))
	e.Fix, e.Reasons = "Look at the reasons, put them right, and apply again: what is done already stays.", res.Failed[:min(len(res.Failed), most)]
	if len(res.Done) == 0 {
		return e
	}
	r.Partly(e)
	return nil
}

// wave carries out objects that do not need one another. What was made is looked at once more: some fields can be set only then.
func (d Deps) wave(ctx context.Context, r *jobs.Run, in Input, items []Item, res *Result) error {
	for pass, key := range []string{r.Job().ID, r.Job().ID + "/after"} {
		begun, err := d.Begin(ctx, r.Job().Actor, key, in, items)
		if err != nil {
			return err
		}
		var again []Item
		for i, it := range items {
			err := begun[i].Err
			if err == nil && begun[i].JobID != "" {
				err = d.wait(ctx, r, begun[i].JobID)
			}
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case domain.Is(err, domain.Internal):
				return err
			case err != nil:
				res.Failed = append(res.Failed, domain.Reason{Subject: it.String(), Msg: err.Error()})
				r.Log("%s: %s", it, err.Error())
			case begun[i].Created && pass == 0:
				again = append(again, it)
			default:
				if err := d.Done(ctx, r.Job(), in, it); err != nil {
					return err
				}
				res.Done = append(res.Done, it.String())
				r.Log("%s is as wanted.", it)
			}
		}
		if items = again; len(items) == 0 {
			return nil
		}
	}
	return nil
}

func (d Deps) wait(ctx context.Context, r *jobs.Run, id string) error {
	var job domain.Job
	err := r.Idle(ctx, func(ctx context.Context) (err error) {
		job, err = d.Wait(ctx, id)
		return err
	})
	if err != nil || job.State == domain.JobSucceeded {
		return err
	}
	if job.Error != nil {
		return domain.Errorf(domain.Conflict, "%s", job.Error.Message)
	}
	return domain.Errorf(domain.Conflict, "Its task ended as %s.", job.State)
}
