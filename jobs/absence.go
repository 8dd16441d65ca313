package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"novacron/domain"
)

// An Undo, and a step past the point of no return, have nowhere else to go: when their host is away they wait for it, for as long as it takes. The job
// stays running, holds its locks, says in its progress what it waits for, and uses no worker meanwhile. Cancelling it then means not to wait any
// longer: it becomes stuck, so that a person can let it go.

// errGaveUp ends the wait for a host because a person said so.
var errGaveUp = errors.New("a person ended the wait for the host")

// hostsOf gives the hosts that a job works on: its resource, or those that its input names: one, or the two that something goes between.
func hostsOf(job domain.Job) (ids []string) {
	if job.Resource.Kind == "host" && job.Resource.ID != "" {
		return []string{job.Resource.ID}
	}
	var in struct {
		HostID string `json:"host_id"`
		FromID string `json:"from_id"`
		ToID   string `json:"to_id"`
	}
	if len(job.Input) == 0 || json.Unmarshal(job.Input, &in) != nil {
		return nil
	}
	for _, id := range []string{in.HostID, in.FromID, in.ToID} {
		if id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// awaitHosts waits until the job's hosts are connected. waited is false when there is nothing to wait for: the job works on no host, or its hosts are
// connected and the failure has another reason.
func (r *Run) awaitHosts(ctx context.Context, why error) (waited bool, err error) {
	for _, id := range hostsOf(r.Job()) {
		one, err := r.awaitHost(ctx, id, why)
		if err != nil {
			return false, err
		}
		waited = waited || one
	}
	return waited, nil
}

func (r *Run) awaitHost(ctx context.Context, id string, why error) (waited bool, err error) {
	feed := r.e.d.Feed()
	seq := feed.Last()
	host, err := r.e.d.Host(ctx, id)
	if domain.Is(err, domain.NotFound) || err == nil && host.State == domain.HostConnected {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	wctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r.mu.Lock()
	before := r.job.Progress
	r.leave = stop
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.leave = nil
		r.mu.Unlock()
	}()
	r.Log("%s Waiting for host %s to come back; it goes on by itself then.", jobError(why, "").Message, host.Name)
	r.Progress(before.Percent, fmt.Sprintf("waiting for host %s to come back", host.Name))
	<-r.e.slots
	err = r.untilConnected(wctx, id, seq)
	r.e.slots <- struct{}{}
	r.Progress(before.Percent, before.Text)
	switch {
	case errors.Is(context.Cause(wctx), errGaveUp):
		r.Log("Not waiting for %s any longer.", host.Name)
		return false, errGaveUp
	case err != nil:
		return false, err
	}
	return true, nil
}

// untilConnected returns when the host is connected, or is not on the list any more.
func (r *Run) untilConnected(ctx context.Context, id string, seq int64) error {
	feed := r.e.d.Feed()
	for {
		if err := feed.Wait(ctx, seq); err != nil {
			return err
		}
		seq = feed.Last()
		host, err := r.e.d.Host(ctx, id)
		switch {
		case domain.Is(err, domain.NotFound) || err == nil && host.State == domain.HostConnected:
			return nil
		case err != nil:
			return err
		}
	}
}

// giveUpWaiting ends the wait for an absent host; false when the job does not wait for one.
func (r *Run) giveUpWaiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leave == nil {
		return false
	}
	r.leave(errGaveUp)
	return true
}
