// Package bulk does one action to many VMs: a parent job with one child per VM, each child the same job that a click on that one VM would
// have made. A VM that refuses does not hold up the others, and every refusal is in the parent's log and result. The parent has succeeded when it did
// something: what of it failed is in its error, and its progress says how much was done. When nothing could be done it is undone.
//
// It is not for deciding which VMs may: jobs/fleet asks that for each before the parent exists, and hands over both lists.
package bulk

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"novacron/domain"
	"novacron/jobs"
)

// Kind of the parent.
const Kind = "vm.bulk"

// Input is the input of the parent.
type Input struct {
	Verb    string          `json:"verb"` // what the action is called in a sentence: "started"
	Items   []Item          `json:"items"`
	Refused []domain.Reason `json:"refused"` // found before the parent existed
	// One and Many name what the items are, when they are no VMs.
	One  string `json:"one,omitempty"`
	Many string `json:"many,omitempty"`
}

// Item is one child to be.
type Item struct {
	Kind     string          `json:"kind"`
	Title    string          `json:"title"`
	Resource domain.Ref      `json:"resource"`
	Locks    []string        `json:"locks"`
	Input    json.RawMessage `json:"input"`
}

// Result is what the parent leaves for its caller.
type Result struct {
	Done    []string        `json:"done"`    // names
	Failed  []domain.Reason `json:"failed"`  // began and did not succeed
	Refused []domain.Reason `json:"refused"` // never began
}

// data is what the first step hands to the second.
type data struct {
	Busy []domain.Reason `json:"busy"` // refused when their turn came
}

// most bounds how many refusals an error names; the result has them all.
const most = 20

// Kinds lists the kinds of this package.
func Kinds() []jobs.Kind {
	return []jobs.Kind{{Name: Kind, StuckHelp: "Look at the jobs of the single VMs; let this one go.", Steps: func(raw json.RawMessage) ([]jobs.Step, error) {
		var in Input
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
		}
		return []jobs.Step{{
			Name:    "begin with each VM",
			NoUndo:  "The job of each VM stands for itself.",
			Timeout: 10 * time.Minute,
			Do:      func(ctx context.Context, r *jobs.Run) error { return begin(ctx, r, in) },
		}, {
			Name:    "wait for them",
			NoUndo:  "The job of each VM stands for itself.",
			Timeout: 24 * time.Hour,
			Do:      func(ctx context.Context, r *jobs.Run) error { return finish(ctx, r, in) },
		}}, nil
	}}}
}

func begin(ctx context.Context, r *jobs.Run, in Input) error {
	var d data
	for _, ref := range in.Refused {
		r.Log("%s: %s", ref.Subject, ref.Msg)
	}
	for i, it := range in.Items {
		_, err := r.Child(ctx, jobs.Request{Kind: it.Kind, Title: it.Title, Resource: it.Resource, Locks: it.Locks, Input: it.Input, Actor: r.Job().Actor, Key: it.Resource.ID})
		switch {
		case err == nil:
		case domain.Is(err, domain.Conflict):
			d.Busy = append(d.Busy, domain.Reason{Subject: it.Resource.Name, Msg: err.Error()})
			r.Log("%s: %s", it.Resource.Name, err.Error())
		default:
			return err
		}
		r.Progress(float64(i+1)/float64(len(in.Items))*50, fmt.Sprintf("%d of %d begun", i+1-len(d.Busy), len(in.Items)))
	}
	return r.Save(ctx, d)
}

func finish(ctx context.Context, r *jobs.Run, in Input) error {
	children, err := r.WaitChildren(ctx)
	if err != nil {
		return err
	}
	var d data
	if err := r.Load(&d); err != nil {
		return err
	}
	res := Result{Refused: append(append([]domain.Reason{}, in.Refused...), d.Busy...)}
	for _, c := range children {
		if c.State == domain.JobSucceeded {
			res.Done = append(res.Done, c.Resource.Name)
			continue
		}
		why := "It ended as " + string(c.State) + "."
		if c.Error != nil {
			why = c.Error.Message
		}
		res.Failed = append(res.Failed, domain.Reason{Subject: c.Resource.Name, Msg: why})
	}
	if err := r.Result(res); err != nil {
		return err
	}
	bad := append(append([]domain.Reason{}, res.Failed...), d.Busy...)
	if len(bad) == 0 {
		r.Log("%d %s.", len(res.Done), in.Verb)
		return nil
	}
	e := domain.Errorf(domain.Conflict, "%s.", in.sentence(len(bad)))
	e.Fix = "Look at the reasons, put them right, and do it again for these."
	e.Reasons = bad[:min(len(bad), most)]
	if len(res.Done) == 0 {
		return e
	}
	// What was done stands, so “undone” would be a lie.
	r.Log("%s", e.Msg)
	r.Progress(float64(len(res.Done))/float64(len(in.Items))*100, fmt.Sprintf("%d of %d %s", len(res.Done), len(in.Items), in.Verb))
	r.Partly(e)
	return nil
}

// sentence says how many were not done: "2 of 10 VMs were not started".
func (in Input) sentence(bad int) string {
	were, things := "were", cmp.Or(in.Many, "VMs")
	if bad == 1 {
		were = "was"
	}
	if len(in.Items) == 1 {
		things = cmp.Or(in.One, "VM")
	}
	return strings.TrimSpace(fmt.Sprintf("%d of %d %s %s not %s", bad, len(in.Items), things, were, in.Verb))
}
