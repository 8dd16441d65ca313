package power

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/reconcile"
)

func (d Deps) shutdownSteps(raw json.RawMessage) ([]jobs.Step, error) {
	in, err := parse(raw)
	if err != nil {
		return nil, err
	}
	return []jobs.Step{{
		Name:    "shut down",
		NoUndo:  "The guest was asked and decides; it cannot be asked to forget it.",
		Timeout: d.patience(in) + time.Minute,
		Do:      func(ctx context.Context, r *jobs.Run) error { return d.shutdown(ctx, r, in) },
	}}, nil
}

func (d Deps) patience(in Input) time.Duration {
	if in.ForceAfter > 0 {
		return in.ForceAfter
	}
	return cmp.Or(d.Patience, GuestPatience)
}

// askAgain is how long a guest may take to follow before it is asked once more.
const askAgain = 15 * time.Second

func (d Deps) shutdown(ctx context.Context, r *jobs.Run, in Input) error {
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	if err := host.Shutdown(ctx, in.UUID); err != nil {
		return d.record(ctx, r, host, in, "", err)
	}
	within := d.patience(in)
	r.Progress(0, fmt.Sprintf("waiting up to %s for the guest to shut down", within.Round(time.Second)))
	off := false
	why := reconcile.Cause{Actor: r.Job().Actor, JobID: r.Job().ID, Message: in.Name + " was shut down."}
	for left := within; left > 0 && !off && err == nil; left -= askAgain {
		if left < within {
			err = host.Shutdown(ctx, in.UUID) // a guest that was still booting has missed the button
			if err != nil && !domain.Is(err, domain.Unavailable) && ctx.Err() == nil {
				r.Log("Asked again, the host says: %s", err.Error()) // the first time it was asked in earnest; that counts
				err = nil
			}
		}
		if err == nil {
			off, err = d.awaitOff(ctx, host, in, min(left, askAgain), why)
		}
	}
	if err != nil {
		return d.record(ctx, r, host, in, "", err)
	}
	if off {
		return d.record(ctx, r, host, in, "was shut down", nil)
	}
	if in.ForceAfter <= 0 {
		return d.record(ctx, r, host, in, "", domain.Errorf(domain.Conflict, "The guest did not shut down within %s.", within).
			WithFix("It may be busy, or not listen to the power button: shut it down from inside, install the guest agent, or power it off."))
	}
	r.Log("The guest did not shut down within %s; it is powered off.", within.Round(time.Second))
	if err := host.Stop(ctx, in.UUID); err != nil {
		return d.record(ctx, r, host, in, "", err)
	}
	if err := d.record(ctx, r, host, in, "did not shut down in time and was powered off", nil); err != nil {
		return err
	}
	return r.Result(Result{VMID: in.VMID, State: domain.VMStopped, Forced: true})
}

// awaitOff waits until the VM's row says that it is off. The row follows the host's events, so this is told, not polled; a last look at the host
// decides when time is up, in case an event was lost.
func (d Deps) awaitOff(ctx context.Context, host hv.Host, in Input, within time.Duration, why reconcile.Cause) (off bool, err error) {
	wait, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	feed := d.DB.Feed()
	seq := feed.Last()
	vm, err := d.Mirror.Guest(ctx, host, in.HostID, in.UUID, why)
	for err == nil && !isOff(vm.LastState) {
		if err = feed.Wait(wait, seq); err != nil {
			if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
				return false, err
			}
			vm, err = d.Mirror.Guest(ctx, host, in.HostID, in.UUID, why)
			return err == nil && isOff(vm.LastState), err
		}
		seq = feed.Last()
		vm, err = d.DB.VM(ctx, in.VMID)
	}
	return err == nil, err
}

func isOff(s domain.VMState) bool {
	return s == domain.VMStopped || s == domain.VMCrashed || s == domain.VMSaved
}
