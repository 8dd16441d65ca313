// Package rollout brings VMs that came of a template to another version of it: one VM after the other, each by the same job that an edit of that VM
// would be, so that what cannot change while it runs is pending until its next start. The first VM that fails ends it: the rest stay as they are.
//
// It is not for deciding what a version means for a VM (domain.RollOut does) or which VMs take part (jobs/fleet does).
package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// Kind of the job.
const Kind = "template.rollout"

// Input is what is to be done.
type Input struct {
	TemplateID string `json:"template_id"`
	Ref        string `json:"ref"`
	Number     int    `json:"number"`
	Items      []Item `json:"items"`
}

// Item is one VM; without a kind nothing of it changes but what it remembers.
type Item struct {
	Resource domain.Ref      `json:"resource"`
	Kind     string          `json:"kind,omitempty"`
	Title    string          `json:"title,omitempty"`
	Locks    []string        `json:"locks,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"`
}

// Result is what the job leaves for its caller.
type Result struct {
	Done    []string        `json:"done"`
	Failed  []domain.Reason `json:"failed"`
	Skipped []string        `json:"skipped"` // not begun, since one before it failed
}

// Kinds lists the kinds of this package.
func Kinds(d *db.DB) []jobs.Kind {
	return []jobs.Kind{{Name: Kind, StuckHelp: "Look at the jobs of the single VMs; let this one go.", Steps: func(raw json.RawMessage) ([]jobs.Step, error) {
		var in Input
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
		}
		return []jobs.Step{{
			Name: "change each VM in turn", Timeout: 24 * time.Hour, NoUndo: "The job of each VM stands for itself.",
			Do: func(ctx context.Context, r *jobs.Run) error { return run(ctx, r, d, in) },
		}}, nil
	}}}
}

func run(ctx context.Context, r *jobs.Run, d *db.DB, in Input) error {
	res := Result{Done: []string{}, Failed: []domain.Reason{}, Skipped: []string{}}
	for i, it := range in.Items {
		if len(res.Failed) > 0 {
			res.Skipped = append(res.Skipped, it.Resource.Name)
			continue
		}
		r.Progress(float64(i)/float64(len(in.Items))*100, fmt.Sprintf("%d of %d", i, len(in.Items)))
		err := one(ctx, r, d, in, it)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case domain.Is(err, domain.Internal):
			return err
		case err != nil:
			res.Failed = append(res.Failed, domain.Reason{Subject: it.Resource.Name, Msg: err.Error()})
			r.Log("%s: %s The rest stay as they are.", it.Resource.Name, err.Error())
		default:
			res.Done = append(res.Done, it.Resource.Name)
			r.Log("%s is at %s.", it.Resource.Name, in.Ref)
		}
	}
	if err := r.Result(res); err != nil || len(res.Failed) == 0 {
		return err
	}
	e := domain.Errorf(domain.Conflict, "%d of %d VMs were not brought to %s.", len(res.Failed)+len(res.Skipped), len(in.Items), in.Ref)
	e.Fix, e.Reasons = "Look at the reason, put it right, and roll out again: what is done already stays.", res.Failed
	if len(res.Done) == 0 {
		return e
	}
	r.Partly(e)
	return nil
}

func one(ctx context.Context, r *jobs.Run, d *db.DB, in Input, it Item) error {
	if it.Kind != "" {
		child, err := r.Child(ctx, jobs.Request{Kind: it.Kind, Title: it.Title, Resource: it.Resource, Locks: it.Locks, Input: it.Input, Key: it.Resource.ID})
		if err != nil {
			return err
		}
		children, err := r.WaitChildren(ctx)
		if err != nil {
			return err
		}
		for _, c := range children {
			if c.ID == child.ID && c.State != domain.JobSucceeded {
				if c.Error != nil {
					return domain.Errorf(domain.Conflict, "%s", c.Error.Message)
				}
				return domain.Errorf(domain.Conflict, "Its task ended as %s.", c.State)
			}
		}
	}
	return d.Write(ctx, func(tx *db.Tx) error {
		if err := tx.SetVMTemplateNumber(it.Resource.ID, in.Number); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "vm.changed", Resource: it.Resource, JobID: r.Job().ID, Actor: r.Job().Actor, Message: fmt.Sprintf("%s came to %s.", it.Resource.Name, in.Ref)})
	})
}
