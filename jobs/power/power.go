// Package power starts and stops VMs: start, shutdown, stop, reboot, reset, pause, resume, save, restore, discard. Each is a job of one step, since each is
// one call to the host, and each writes what the host then says into the VM's row before it ends, so that whoever waited for the job
// reads the new state.
//
// Nothing here is undone: a call to the host happens or it does not, and taking a power action back would be another disruption that nobody asked for.
// What was reached is in the VM's row either way.
//
// It is not for many VMs at a time (jobs/bulk) and does not judge whether the state allows the action (domain.VMState.Can, asked by
// jobs/fleet): it tells the host, and the host has the last word.
package power

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/blocks"
	"novacron/jobs/reconcile"
)

// Input is what every power job is about.
type Input struct {
	VMID       string        `json:"vm_id"`
	HostID     string        `json:"host_id"`
	UUID       string        `json:"uuid"`
	Name       string        `json:"name"`
	ForceAfter time.Duration `json:"force_after,omitempty"` // shutdown only; 0: never
}

// GuestPatience is how long a shutdown without force waits for the guest, unless Deps says otherwise.
const GuestPatience = 90 * time.Second

// Deps is what the steps work with.
type Deps struct {
	DB       *db.DB
	Hosts    hv.Fleet
	Mirror   *reconcile.Mirror
	Patience time.Duration // 0: GuestPatience
}

// action is one power action: what is asked of the host, how it is told afterwards, how long it may take.
type action struct {
	step    string
	told    string // the event's sentence after the VM's name
	noUndo  string
	timeout time.Duration
	do      func(ctx context.Context, host hv.Host, uuid string) error
}

const oneCall = "One call to the host: it happened or it did not, and the VM's row says which."

var actions = map[domain.VMAction]action{
	domain.ActStart:   {"start", "was started", oneCall, 2 * time.Minute, func(ctx context.Context, h hv.Host, u string) error { return h.Start(ctx, u) }},
	domain.ActStop:    {"power off", "was powered off", "What was in memory is gone; starting the VM again is not a way back.", time.Minute, func(ctx context.Context, h hv.Host, u string) error { return h.Stop(ctx, u) }},
	domain.ActReboot:  {"reboot", "was asked to reboot", "The guest was asked and decides.", time.Minute, func(ctx context.Context, h hv.Host, u string) error { return h.Reboot(ctx, u) }},
	domain.ActReset:   {"reset", "was reset", "What was in memory is gone.", time.Minute, func(ctx context.Context, h hv.Host, u string) error { return h.Reset(ctx, u) }},
	domain.ActPause:   {"pause", "was paused", oneCall, time.Minute, func(ctx context.Context, h hv.Host, u string) error { return h.Pause(ctx, u) }},
	domain.ActResume:  {"resume", "was resumed", oneCall, time.Minute, func(ctx context.Context, h hv.Host, u string) error { return h.Resume(ctx, u) }},
	domain.ActSave:    {"save memory and stop", "was saved", oneCall, 30 * time.Minute, func(ctx context.Context, h hv.Host, u string) error { return h.Save(ctx, u) }},
	domain.ActRestore: {"restore memory and run", "was restored", oneCall, 30 * time.Minute, func(ctx context.Context, h hv.Host, u string) error { return h.Start(ctx, u) }},
	domain.ActDiscard: {"discard saved memory", "lost its saved memory", "Saved memory that was thrown away cannot be had back.", time.Minute, func(ctx context.Context, h hv.Host, u string) error { return h.Discard(ctx, u) }},
}

// Kind gives the kind of job that does the action: vm.start and so on.
func Kind(act domain.VMAction) string { return "vm." + string(act) }

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	out := []jobs.Kind{{Name: Kind(domain.ActShutdown), Steps: d.shutdownSteps, StuckHelp: help}}
	for act, a := range actions {
		out = append(out, jobs.Kind{Name: Kind(act), StuckHelp: help, Steps: func(raw json.RawMessage) ([]jobs.Step, error) {
			in, err := parse(raw)
			if err != nil {
				return nil, err
			}
			return []jobs.Step{{Name: a.step, NoUndo: a.noUndo, Timeout: a.timeout, Do: func(ctx context.Context, r *jobs.Run) error {
				host, err := d.Hosts.Host(in.HostID)
				if err != nil {
					return err
				}
				if act == domain.ActStart || act == domain.ActRestore {
					if err := d.unlock(ctx, host, in); err != nil {
						return err
					}
				}
				return d.record(ctx, r, host, in, a.told, a.do(ctx, host, in.UUID))
			}}}, nil
		}})
	}
	return out
}

const help = "Look at the VM's state on its page, then let the job go."

func parse(raw json.RawMessage) (Input, error) {
	var in Input
	if err := json.Unmarshal(raw, &in); err != nil {
		return in, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
	}
	return in, nil
}

// unlock gives the host the passphrases of the VM's encrypted disks.
func (d Deps) unlock(ctx context.Context, host hv.Host, in Input) error {
	vm, err := d.DB.VM(ctx, in.VMID)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return blocks.EnsureFor(ctx, d.DB, host, vm.Config.Disks)
}

// record writes what the host says now, also when the action failed or was cancelled: then too the row must be true.
func (d Deps) record(ctx context.Context, r *jobs.Run, host hv.Host, in Input, told string, failed error) error {
	if failed != nil {
		ctx = context.WithoutCancel(ctx)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
	}
	why := reconcile.Cause{Actor: r.Job().Actor, JobID: r.Job().ID}
	if failed == nil && told != "" {
		why.Message = fmt.Sprintf("%s %s.", in.Name, told)
	}
	vm, err := d.Mirror.Guest(ctx, host, in.HostID, in.UUID, why)
	if failed != nil {
		return failed // the failure to look is lesser news; the next look comes by itself
	}
	if err != nil {
		return err
	}
	return r.Result(Result{VMID: vm.ID, State: vm.LastState, Reason: vm.Reason})
}

// Result is what a power job leaves for its caller.
type Result struct {
	VMID   string         `json:"vm_id"`
	State  domain.VMState `json:"state"`
	Reason string         `json:"reason,omitempty"`
	Forced bool           `json:"forced,omitempty"` // the guest did not shut down in time and was powered off
}
