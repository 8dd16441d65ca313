// Package hosts tries, adds, removes and reconnects hosts. Nothing is installed on a host or changed on it: adding one is
// remembering its address and mirroring what it says, removing one is forgetting both.
//
// The row of a host being added is inserted with its job, credentials included, so that names and addresses are race free and secrets are kept in one
// place; the first step's undo takes it away. Credentials of a mere trial are never written: they wait in Trials, in memory.
//
// It is not for supervising connections (hv/pool) or for reading hosts (jobs/reconcile).
package hosts

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/hv/pool"
	"novacron/jobs"
	"novacron/jobs/reconcile"
)

// Kinds of jobs.
const (
	KindTry       = "host.try"
	KindAdd       = "host.add"
	KindRemove    = "host.remove"
	KindReconnect = "host.reconnect"
)

// Deps is what the steps work with.
type Deps struct {
	DB         *db.DB
	Pool       *pool.Pool
	Dialer     hv.Dialer
	Reconciler *reconcile.Reconciler
	Trials     *Trials
}

// Try is the input of host.try; the credentials are in Trials.
type Try struct {
	Trial string `json:"trial"`
	Name  string `json:"name"`
	URI   string `json:"uri"`
}

// Input is the input of the other kinds.
type Input struct {
	HostID string `json:"host_id"`
	Name   string `json:"name"`
	URI    string `json:"uri"`
}

// Added is what host.add leaves for its caller.
type Added struct {
	HostID string           `json:"host_id"`
	VMs    int              `json:"vms"`
	Facts  domain.HostFacts `json:"facts"`
}

const (
	dialTimeout = time.Minute
	listTimeout = 2 * time.Minute
)

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	return []jobs.Kind{
		{Name: KindTry, Read: true, Steps: bind(d.trySteps), StuckHelp: "Nothing was changed; let the job go and try again."},
		{Name: KindAdd, Steps: bind(d.addSteps), StuckHelp: "Let the job go, then remove the host if it is listed.", Abandon: abandon},
		{Name: KindRemove, Steps: bind(d.removeSteps), StuckHelp: "Nothing was changed on the host itself. Try again; if it fails again, look at the server's log."},
		{Name: KindReconnect, Steps: bind(d.reconnectSteps), StuckHelp: "Nothing was changed; let the job go and try again."},
	}
}

func bind[I any](steps func(I) []jobs.Step) func(json.RawMessage) ([]jobs.Step, error) {
	return func(raw json.RawMessage) ([]jobs.Step, error) {
		var in I
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, domain.Errorf(domain.Internal, "The job's input cannot be read: %w", err)
		}
		return steps(in), nil
	}
}

func (d Deps) trySteps(in Try) []jobs.Step {
	return []jobs.Step{{
		Name:    "try the connection",
		NoUndo:  "It only looks.",
		NoRetry: true,
		Timeout: dialTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			creds, ok := d.Trials.get(in.Trial)
			if !ok {
				return domain.Errorf(domain.Conflict, "The trial waited too long or the server was restarted, so what it needed is no longer kept.").WithFix("Try again.")
			}
			facts, err := d.visit(ctx, r, hv.Target{URI: in.URI, Creds: creds})
			if rerr := r.Result(facts); rerr != nil {
				return rerr
			}
			if err != nil {
				return err
			}
			d.Trials.drop(in.Trial)
			return d.duplicate(ctx, facts, "")
		},
	}}
}

// visit makes a connection, asks the host what it is, and closes it again. The steps are in the facts also when it fails.
func (d Deps) visit(ctx context.Context, r *jobs.Run, t hv.Target) (domain.HostFacts, error) {
	host, steps, err := d.Dialer.Dial(ctx, t)
	for _, s := range steps {
		r.Log("%s: %s", s.Name, s.Msg)
	}
	if err != nil {
		return domain.HostFacts{Step: steps}, err
	}
	defer host.Close()
	facts, err := host.Facts(ctx)
	if len(facts.Step) == 0 {
		facts.Step = steps
	}
	return facts, err
}

// duplicate refuses a host that the fleet has already under another address. Daemons on libvirt's test driver may all have one UUID, so they are not judged by it.
func (d Deps) duplicate(ctx context.Context, facts domain.HostFacts, exceptID string) error {
	if facts.Driver != "QEMU" || facts.UUID == "" {
		return nil
	}
	all, err := d.DB.Hosts(ctx)
	if err != nil {
		return err
	}
	for _, h := range all {
		if h.ID != exceptID && h.Facts.Driver == "QEMU" && h.Facts.UUID == facts.UUID {
			return domain.Errorf(domain.Conflict, "This is the host %s, which is in the fleet already as %s.", h.Name, h.URI).
				WithFix("Use that one. If it is another machine, give it a host_uuid of its own in its libvirtd.conf.")
		}
	}
	return nil
}

func (d Deps) addSteps(in Input) []jobs.Step {
	return []jobs.Step{{
		Name:    "connect",
		NoRetry: true,
		Timeout: dialTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			creds, err := d.DB.HostCredentials(ctx, in.HostID)
			if err != nil {
				return err
			}
			facts, err := d.visit(ctx, r, hv.Target{URI: in.URI, Creds: creds})
			if rerr := r.Result(Added{HostID: in.HostID, Facts: facts}); rerr != nil {
				return rerr
			}
			if err != nil {
				return err
			}
			return d.duplicate(ctx, facts, in.HostID)
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.forget(ctx, r, in, "was not added") },
	}, {
		Name: "keep a connection to it",
		Do: func(ctx context.Context, r *jobs.Run) error {
			creds, err := d.DB.HostCredentials(ctx, in.HostID)
			if err != nil {
				return err
			}
			d.Pool.Add(in.HostID, hv.Target{URI: in.URI, Creds: creds})
			return nil
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			d.release(in.HostID)
			return nil
		},
	}, {
		Name:    "list its VMs",
		NoUndo:  "Its rows go with the host's.",
		Timeout: listTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			h, err := d.await(ctx, in.HostID)
			if err != nil {
				return err
			}
			vms, err := d.DB.HostVMs(ctx, in.HostID)
			if err != nil {
				return err
			}
			r.Log("%s has %d VMs.", h.Name, len(vms))
			return r.Result(Added{HostID: in.HostID, VMs: len(vms), Facts: h.Facts})
		},
	}}
}

// await waits until the host's row says that it is connected, which is written together with all its VMs, or that it is away.
func (d Deps) await(ctx context.Context, id string) (domain.Host, error) {
	feed := d.DB.Feed()
	for {
		seq := feed.Last()
		h, err := d.DB.Host(ctx, id)
		if err != nil {
			return h, err
		}
		switch h.State {
		case domain.HostConnected:
			return h, nil
		case domain.HostAway:
			return h, domain.Errorf(domain.Unavailable, "%s is away: %s", h.Name, h.StateReason).WithFix("%s", h.StateFix)
		}
		if err := feed.Wait(ctx, seq); err != nil {
			return h, err
		}
	}
}

// release ends the connection to a host and everything that looks after it.
func (d Deps) release(id string) {
	d.Pool.Remove(id)
	d.Reconciler.Forget(id)
}

func (d Deps) removeSteps(in Input) []jobs.Step {
	return []jobs.Step{{
		Name: "end the connection",
		Do: func(ctx context.Context, r *jobs.Run) error {
			d.release(in.HostID)
			return nil
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			creds, err := d.DB.HostCredentials(ctx, in.HostID)
			if domain.Is(err, domain.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			d.Pool.Add(in.HostID, hv.Target{URI: in.URI, Creds: creds})
			return nil
		},
	}, {
		Name:   "take it off the list",
		Final:  true,
		NoUndo: "The host itself was not touched; it can be added again.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			if err := d.idle(ctx, r, in); err != nil {
				return jobs.BeforeFinal(err)
			}
			if err := d.forget(ctx, r, in, "was removed"); err != nil {
				return err
			}
			d.release(in.HostID) // a server that has just begun may have connected it again meanwhile
			return nil
		},
	}}
}

// idle checks that no other job has begun on one of the host's VMs.
func (d Deps) idle(ctx context.Context, r *jobs.Run, in Input) error {
	vms, err := d.DB.HostVMs(ctx, in.HostID)
	if err != nil {
		return err
	}
	for _, vm := range vms {
		if vm.BusyJob != "" && vm.BusyJob != r.Job().ID {
			return &domain.Error{Code: domain.Conflict, Holder: vm.BusyJob, Msg: fmt.Sprintf("%s cannot be removed while %s is busy: %s.", in.Name, vm.Name, vm.BusyTitle), Fix: "Wait for that job to end, then try again."}
		}
	}
	return nil
}

// forget deletes the host's rows, with an event for each VM that goes.
func (d Deps) forget(ctx context.Context, r *jobs.Run, in Input, sentence string) error {
	vms, err := d.DB.HostVMs(ctx, in.HostID)
	if err != nil {
		return err
	}
	return d.DB.Write(ctx, func(tx *db.Tx) error { return forget(tx, r.Job(), vms, sentence) })
}

func forget(tx *db.Tx, job domain.Job, vms []domain.VM, sentence string) error {
	host := job.Resource
	err := tx.DeleteHost(host.ID)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	ev := domain.Event{HostID: host.ID, JobID: job.ID, Actor: job.Actor}
	for _, vm := range vms {
		ev.Kind, ev.Resource, ev.Message = "vm.removed", domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, fmt.Sprintf("%s left the list with its host %s.", vm.Name, host.Name)
		if err := tx.Emit(ev); err != nil {
			return err
		}
	}
	ev.Kind, ev.Resource, ev.Message = "host.removed", host, fmt.Sprintf("%s %s.", host.Name, sentence)
	return tx.Emit(ev)
}

// abandon is forget for a job that never began; a host that was never connected has no VMs.
func abandon(tx *db.Tx, job domain.Job) error { return forget(tx, job, nil, "was not added") }

func (d Deps) reconnectSteps(in Input) []jobs.Step {
	return []jobs.Step{{
		Name:    "try the connection",
		NoUndo:  "It only looks.",
		NoRetry: true,
		Timeout: dialTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			creds, err := d.DB.HostCredentials(ctx, in.HostID)
			if err != nil {
				return err
			}
			facts, err := d.visit(ctx, r, hv.Target{URI: in.URI, Creds: creds})
			if rerr := r.Result(facts); rerr != nil {
				return rerr
			}
			return err
		},
	}, {
		Name:    "connect again",
		NoUndo:  "A connection harms nothing.",
		Timeout: listTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			feed := d.DB.Feed()
			for {
				seq := feed.Last()
				h, err := d.DB.Host(ctx, in.HostID)
				if err != nil || h.State == domain.HostConnected {
					return err
				}
				d.Pool.Kick(in.HostID)
				if err := feed.Wait(ctx, seq); err != nil {
					return err
				}
			}
		},
	}}
}
