// Package nets makes, changes, starts, stops and removes libvirt networks on one host or on many at once, and keeps the filters of security groups on
// the hosts: network.create, network.change, network.start, network.stop, network.autostart, network.delete, network.purge,
// secgroup.apply.
//
// Networks of several hosts that are made as one are made on all of them or on none: each host is a step with an undo of its own. What a network was
// before is written down before it is changed. Two loops belong here too: one asks hosts for leases and addresses, one sees that filters follow the
// addresses of the groups that they name.
//
// It is not for the cards of VMs: they are changed with the rest of a VM by jobs/provision, which asks this package to have the filters ready.
package nets

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/reconcile"
)

// Kinds of jobs.
const (
	KindCreate    = "network.create"
	KindChange    = "network.change"
	KindStart     = "network.start"
	KindStop      = "network.stop"
	KindAutostart = "network.autostart"
	KindDelete    = "network.delete"
	KindApply     = "secgroup.apply"
)

// Deps is what the steps work with.
type Deps struct {
	DB     *db.DB
	Hosts  hv.Fleet
	Mirror *reconcile.Mirror
}

// On is one host of a job. Each has a UUID of its own for its network.
type On struct {
	HostID   string `json:"host_id"`
	HostName string `json:"host_name"`
	UUID     string `json:"uuid,omitempty"`
}

// Create is the input of network.create.
type Create struct {
	Spec      domain.NetworkSpec `json:"spec"`
	Hosts     []On               `json:"hosts"`
	Start     bool               `json:"start"`
	Autostart bool               `json:"autostart"`
	GroupID   string             `json:"group_id,omitempty"` // set when there are several hosts
}

// Change is the input of network.change: the network of that name becomes what Spec says on each host.
type Change struct {
	Name    string             `json:"name"`
	Spec    domain.NetworkSpec `json:"spec"`
	Hosts   []On               `json:"hosts"`
	GroupID string             `json:"group_id,omitempty"`
}

// One is the input of the jobs about a network of one host.
type One struct {
	HostID   string `json:"host_id"`
	HostName string `json:"host_name"`
	Name     string `json:"name"`
	On       bool   `json:"on,omitempty"` // autostart
}

// Result is what a job of this package leaves for its caller.
type Result struct {
	Networks []string `json:"network_ids,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

// Kinds lists the kinds of this package.
func Kinds(d Deps) []jobs.Kind {
	const look = "Look at the job's log and at the network on the hosts it names. Put right what the last error says and try the job again, or tidy up by hand and let it go."
	const oneCall = "One call to the host: it happened or it did not, and the network's row says which."
	one := func(kind, step string, do func(ctx context.Context, host hv.Host, in One) error) jobs.Kind {
		return jobs.Kind{Name: kind, StuckHelp: look, Steps: bind(func(in One) []jobs.Step {
			return []jobs.Step{{Name: step, NoUndo: oneCall, Timeout: hostTimeout, Do: func(ctx context.Context, r *jobs.Run) error {
				host, err := d.Hosts.Host(in.HostID)
				if err != nil {
					return err
				}
				if err := do(ctx, host, in); err != nil {
					return err
				}
				if err := r.Result(Result{Networks: []string{domain.NetworkID(in.HostID, in.Name)}}); err != nil {
					return err
				}
				return d.mirror(ctx, r, host, in.HostID, "The network %s on %s: %s.", in.Name, in.HostName, step)
			}}}
		})}
	}
	return []jobs.Kind{
		{Name: KindCreate, StuckHelp: look, Steps: bind(d.createSteps)},
		{Name: KindChange, StuckHelp: look, Steps: bind(d.changeSteps)},
		one(KindStart, "start", func(ctx context.Context, h hv.Host, in One) error { return h.StartNetwork(ctx, in.Name) }),
		one(KindStop, "stop", func(ctx context.Context, h hv.Host, in One) error { return h.StopNetwork(ctx, in.Name) }),
		one(KindAutostart, "set whether it starts with the host", func(ctx context.Context, h hv.Host, in One) error { return h.SetNetworkAutostart(ctx, in.Name, in.On) }),
		{Name: KindDelete, StuckHelp: look, Steps: bind(d.deleteSteps)},
		{Name: KindPurge, StuckHelp: look, Steps: bind(d.purgeSteps)},
		{Name: KindApply, StuckHelp: "Look at the filters on the host that the last error names, then try the job again.", Steps: bind(d.applySteps)},
	}
}

const hostTimeout = 2 * time.Minute

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

// ledger is what a job remembers of the hosts, by host, written before it changes them.
type ledger struct {
	Begun  map[string]bool   `json:"begun,omitempty"`
	Before map[string]before `json:"before,omitempty"`
	Notes  []string          `json:"notes,omitempty"`
}

// before is a network as it was.
type before struct {
	XML       string `json:"xml"`
	Active    bool   `json:"active"`
	Autostart bool   `json:"autostart"`
}

func load(r *jobs.Run) (*ledger, error) {
	l := &ledger{}
	err := r.Load(l)
	if l.Begun == nil {
		l.Begun, l.Before = map[string]bool{}, map[string]before{}
	}
	if l.Before == nil {
		l.Before = map[string]before{}
	}
	return l, err
}

// mirror reads what the host lists now and says what happened.
func (d Deps) mirror(ctx context.Context, r *jobs.Run, host hv.Host, hostID, format string, args ...any) error {
	return d.Mirror.Inventory(ctx, host, hostID, reconcile.Cause{Actor: r.Job().Actor, JobID: r.Job().ID, Message: fmt.Sprintf(format, args...)})
}

func (d Deps) createSteps(in Create) []jobs.Step {
	var steps []jobs.Step
	for _, on := range in.Hosts {
		spec := in.Spec
		spec.UUID = on.UUID
		steps = append(steps, jobs.Step{
			Name:    "make it on " + on.HostName,
			Timeout: hostTimeout,
			Do:      func(ctx context.Context, r *jobs.Run) error { return d.create(ctx, r, in, on, spec) },
			Undo:    func(ctx context.Context, r *jobs.Run) error { return d.uncreate(ctx, r, on, spec) },
		})
	}
	return append(steps, jobs.Step{
		Name: "note that it is there",
		Do: func(ctx context.Context, r *jobs.Run) error {
			res := Result{}
			g := db.NetworkGroup{ID: in.GroupID, Name: in.Spec.Name, Spec: in.Spec}
			for _, on := range in.Hosts {
				res.Networks = append(res.Networks, domain.NetworkID(on.HostID, in.Spec.Name))
				g.HostIDs = append(g.HostIDs, on.HostID)
			}
			if g.ID != "" {
				if err := d.DB.Write(ctx, func(tx *db.Tx) error { return tx.SaveNetworkGroup(g) }); err != nil {
					return err
				}
			}
			return r.Result(res)
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			return d.DB.Write(ctx, func(tx *db.Tx) error { return tx.DeleteNetworkGroup(in.GroupID) })
		},
	})
}

func (d Deps) create(ctx context.Context, r *jobs.Run, in Create, on On, spec domain.NetworkSpec) error {
	host, err := d.Hosts.Host(on.HostID)
	if err != nil {
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	if !l.Begun[on.HostID] {
		inv, err := host.Inventory(ctx) // what is there now, not what was mirrored a minute ago
		if err != nil {
			return err
		}
		if err := spec.CheckBeside(on.HostName, inv.Networks, false); err != nil {
			return err
		}
		l.Begun[on.HostID] = true
		if err := r.Save(ctx, l); err != nil {
			return err
		}
	}
	if err := host.DefineNetwork(ctx, spec); err != nil {
		return err
	}
	if in.Start {
		if err := host.StartNetwork(ctx, spec.Name); err != nil {
			return err
		}
	}
	if in.Autostart {
		if err := host.SetNetworkAutostart(ctx, spec.Name, true); err != nil {
			return err
		}
	}
	return d.mirror(ctx, r, host, on.HostID, "The network %s was made on %s.", spec.Name, on.HostName)
}

func (d Deps) uncreate(ctx context.Context, r *jobs.Run, on On, spec domain.NetworkSpec) error {
	l, err := load(r)
	if err != nil || !l.Begun[on.HostID] {
		return err
	}
	host, err := d.Hosts.Host(on.HostID)
	if err != nil {
		return err
	}
	n, err := host.Network(ctx, spec.Name)
	if domain.Is(err, domain.NotFound) || err == nil && n.UUID != spec.UUID {
		return nil // never made, or somebody else's
	}
	if err != nil {
		return err
	}
	if err := host.StopNetwork(ctx, spec.Name); err != nil {
		return err
	}
	if _, err := host.UndefineNetwork(ctx, spec.Name); err != nil {
		return err
	}
	return d.mirror(ctx, r, host, on.HostID, "The network %s was taken away again from %s.", spec.Name, on.HostName)
}

func (d Deps) changeSteps(in Change) []jobs.Step {
	var steps []jobs.Step
	for _, on := range in.Hosts {
		steps = append(steps, jobs.Step{
			Name:    "change it on " + on.HostName,
			Timeout: hostTimeout,
			Do:      func(ctx context.Context, r *jobs.Run) error { return d.change(ctx, r, in, on) },
			Undo:    func(ctx context.Context, r *jobs.Run) error { return d.unchange(ctx, r, in, on) },
		})
	}
	return append(steps, jobs.Step{
		Name:   "note what it should be",
		NoUndo: "It is the last step, and one write.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			l, err := load(r)
			if err != nil {
				return err
			}
			res := Result{Notes: l.Notes}
			for _, on := range in.Hosts {
				res.Networks = append(res.Networks, domain.NetworkID(on.HostID, in.Name))
			}
			if in.GroupID != "" {
				g, err := d.DB.NetworkGroup(ctx, in.GroupID)
				if err != nil && !domain.Is(err, domain.NotFound) {
					return err
				}
				if err == nil {
					g.Spec = in.Spec
					if err := d.DB.Write(ctx, func(tx *db.Tx) error { return tx.SaveNetworkGroup(g) }); err != nil {
						return err
					}
				}
			}
			return r.Result(res)
		},
	})
}

func (d Deps) change(ctx context.Context, r *jobs.Run, in Change, on On) error {
	host, err := d.Hosts.Host(on.HostID)
	if err != nil {
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	if !l.Begun[on.HostID] {
		n, err := host.Network(ctx, in.Name)
		if err != nil {
			return err
		}
		inv, err := host.Inventory(ctx)
		if err != nil {
			return err
		}
		if err := in.Spec.CheckBeside(on.HostName, inv.Networks, true); err != nil {
			return err
		}
		l.Begun[on.HostID], l.Before[on.HostID] = true, before{n.XML, n.Active, n.Autostart}
		if err := r.Save(ctx, l); err != nil {
			return err
		}
	}
	notes, err := host.UpdateNetwork(ctx, in.Name, in.Spec)
	if err != nil {
		return err
	}
	for _, n := range notes {
		r.Log("%s: %s", on.HostName, n)
		if !slices.Contains(l.Notes, n) {
			l.Notes = append(l.Notes, n)
		}
	}
	if err := r.Save(ctx, l); err != nil {
		return err
	}
	return d.mirror(ctx, r, host, on.HostID, "The network %s on %s was changed.", in.Name, on.HostName)
}

// unchange leads what runs back as far as it can be told, then puts the definition back as it was, to the letter.
func (d Deps) unchange(ctx context.Context, r *jobs.Run, in Change, on On) error {
	l, err := load(r)
	if err != nil || !l.Begun[on.HostID] {
		return err
	}
	host, err := d.Hosts.Host(on.HostID)
	if err != nil {
		return err
	}
	was := l.Before[on.HostID]
	now, err := host.Network(ctx, in.Name)
	if err != nil && !domain.Is(err, domain.NotFound) || err == nil && now.XML == was.XML {
		return err
	}
	if err == nil {
		old, err := host.ReadNetworkXML(was.XML)
		if err != nil {
			return err
		}
		if _, err := host.UpdateNetwork(ctx, in.Name, old); err != nil {
			return err
		}
	}
	if err := host.DefineNetworkXML(ctx, was.XML); err != nil {
		return err
	}
	return d.mirror(ctx, r, host, on.HostID, "The change of the network %s on %s was taken back.", in.Name, on.HostName)
}

func (d Deps) deleteSteps(in One) []jobs.Step {
	return []jobs.Step{{
		Name:    "remove it from " + in.HostName,
		Timeout: hostTimeout,
		Do:      func(ctx context.Context, r *jobs.Run) error { return d.remove(ctx, r, in) },
		Undo:    func(ctx context.Context, r *jobs.Run) error { return d.unremove(ctx, r, in) },
	}, {
		Name:   "forget what it belonged to",
		NoUndo: "It is the last step, and one write.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			return d.DB.Write(ctx, func(tx *db.Tx) error { return tx.LeaveNetworkGroup(in.HostID, in.Name) })
		},
	}}
}

func (d Deps) remove(ctx context.Context, r *jobs.Run, in One) error {
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	if !l.Begun[in.HostID] {
		if err := d.unused(ctx, host, in); err != nil {
			return err
		}
		n, err := host.Network(ctx, in.Name)
		if err != nil && !domain.Is(err, domain.NotFound) {
			return err
		}
		if err == nil {
			l.Before[in.HostID] = before{n.XML, n.Active, n.Autostart}
		}
		l.Begun[in.HostID] = true
		if err := r.Save(ctx, l); err != nil {
			return err
		}
	}
	if err := host.StopNetwork(ctx, in.Name); err != nil {
		return err
	}
	if _, err := host.UndefineNetwork(ctx, in.Name); err != nil {
		return err
	}
	return d.mirror(ctx, r, host, in.HostID, "The network %s was removed from %s.", in.Name, in.HostName)
}

// unused asks the host itself who has a card on the network.
func (d Deps) unused(ctx context.Context, host hv.Host, in One) error {
	guests, err := host.Guests(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, g := range guests {
		if db.UsesNetwork(domain.VM{Config: g.Config, Live: g.Live}, in.Name) {
			names = append(names, g.Name)
		}
	}
	return InUse(in.Name, in.HostName, names)
}

// InUse refuses to take a network away from the VMs that use it; nil when there are none.
func InUse(network, hostName string, vms []string) error {
	if len(vms) == 0 {
		return nil
	}
	e := domain.Errorf(domain.Conflict, "The network %s on %s is used by %s.", network, hostName, list(vms)).WithFix("Move their network cards to another network or remove them first.")
	for _, n := range vms {
		e.Reasons = append(e.Reasons, domain.Reason{Subject: n, Msg: "It has a network card on " + network + "."})
	}
	return e
}

// list names at most five.
func list(names []string) string {
	const most = 5
	out := ""
	for i, n := range names {
		switch {
		case i == most:
			return fmt.Sprintf("%s and %d more", out, len(names)-most)
		case i > 0:
			out += ", "
		}
		out += n
	}
	return out
}

func (d Deps) unremove(ctx context.Context, r *jobs.Run, in One) error {
	l, err := load(r)
	if err != nil {
		return err
	}
	was, ok := l.Before[in.HostID]
	if !ok {
		return nil
	}
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	if err := host.DefineNetworkXML(ctx, was.XML); err != nil {
		return err
	}
	if was.Active {
		if err := host.StartNetwork(ctx, in.Name); err != nil {
			return err
		}
	}
	if err := host.SetNetworkAutostart(ctx, in.Name, was.Autostart); err != nil {
		return err
	}
	return d.mirror(ctx, r, host, in.HostID, "The network %s was put back on %s.", in.Name, in.HostName)
}
