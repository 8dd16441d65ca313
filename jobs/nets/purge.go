package nets

import (
	"context"
	"fmt"
	"time"

	"novacron/domain"
	"novacron/jobs"
	"novacron/jobs/bulk"
)

// KindPurge removes a network together with the VMs that have a card on it.
const KindPurge = "network.purge"

// Purge is the input of network.purge.
type Purge struct {
	One
	VMs []bulk.Item `json:"vms"` // each the job that deletes one VM
}

// purgeSteps delete the VMs first, each by the job that a click on it would have made. Should one of them stay, the network stays.
func (d Deps) purgeSteps(in Purge) []jobs.Step {
	const gone = "A deleted VM cannot be had back; the job of each stands for itself."
	return append([]jobs.Step{{
		Name: "delete the VMs on it", NoUndo: gone, Timeout: 10 * time.Minute,
		Do: func(ctx context.Context, r *jobs.Run) error {
			for i, it := range in.VMs {
				_, err := r.Child(ctx, jobs.Request{Kind: it.Kind, Title: it.Title, Resource: it.Resource, Locks: it.Locks, Input: it.Input, Actor: r.Job().Actor, Key: it.Resource.ID})
				if err != nil {
					return err
				}
				r.Progress(float64(i+1)/float64(len(in.VMs))*20, fmt.Sprintf("%d of %d begun", i+1, len(in.VMs)))
			}
			return nil
		},
	}, {
		Name: "wait until they are gone", NoUndo: gone, Timeout: 2 * time.Hour,
		Do: func(ctx context.Context, r *jobs.Run) error {
			children, err := r.WaitChildren(ctx)
			if err != nil {
				return err
			}
			e := domain.Errorf(domain.Conflict, "The network %s stays, since not all VMs on it could be deleted.", in.Name).WithFix("Look at the reasons, put them right, and delete it again.")
			for _, c := range children {
				if c.State == domain.JobSucceeded {
					r.Log("%s was deleted.", c.Resource.Name)
					continue
				}
				why := "Its task ended as " + string(c.State) + "."
				if c.Error != nil {
					why = c.Error.Message
				}
				e.Reasons = append(e.Reasons, domain.Reason{Subject: c.Resource.Name, Msg: why})
			}
			if len(e.Reasons) > 0 {
				return e
			}
			return nil
		},
	}}, d.deleteSteps(in.One)...)
}
