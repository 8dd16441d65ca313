package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
	"novacron/jobs/nets"
)

// CreateNetwork asks for a network on one host, or for the same on several: on all of them or on none.
type CreateNetwork struct {
	Spec      domain.NetworkSpec
	Hosts     []string // ids or names
	Stopped   bool     // do not start it
	ByHand    bool     // do not start it with the host
	FieldHost string   // how the request names its hosts, for errors; empty: host
	Key       string
}

// NetworkDrift is a network of a group that is not what the group should be.
type NetworkDrift struct {
	HostID, HostName string
	NetworkID        string
	Missing          bool            // the host has no such network
	Away             bool            // the host does not answer, so nobody knows
	Changes          []domain.Change // Old is what it should be, New what it is
}

func networkRef(hostID, name string) domain.Ref {
	return domain.Ref{Kind: "network", ID: domain.NetworkID(hostID, name), Name: name}
}

// CreateNetwork enqueues the job that makes it.
func (f *Fleet) CreateNetwork(ctx context.Context, actor string, req CreateNetwork) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	var p domain.Problems
	if e, ok := req.Spec.Validate().(*domain.Error); ok && e != nil {
		p = append(p, e.Fields...)
	}
	field := req.FieldHost
	if field == "" {
		field = "host"
	}
	hosts, err := f.hostsNamed(ctx, &p, field, req.Hosts)
	if err != nil {
		return domain.Job{}, err
	}
	if err := p.Err(); err != nil {
		return domain.Job{}, err
	}
	in := nets.Create{Spec: req.Spec, Start: !req.Stopped, Autostart: !req.ByHand}
	in.Spec.UUID = ""
	var locks []string
	for _, h := range hosts {
		others, err := f.db.Networks(ctx, h.ID)
		if err != nil {
			return domain.Job{}, err
		}
		if err := req.Spec.CheckBeside(h.Name, others, false); err != nil {
			return domain.Job{}, err
		}
		uuid := req.Spec.UUID
		if uuid == "" || len(hosts) > 1 {
			uuid = domain.NewUUID()
		}
		in.Hosts = append(in.Hosts, nets.On{HostID: h.ID, HostName: h.Name, UUID: uuid})
		locks = append(locks, domain.NetworkID(h.ID, req.Spec.Name))
	}
	where := hosts[0].Name
	if len(hosts) > 1 {
		in.GroupID = domain.NewID("netg", f.clock())
		where = fmt.Sprintf("%d hosts", len(hosts))
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: nets.KindCreate, Title: fmt.Sprintf("Create the network %s on %s", req.Spec.Name, where), Resource: networkRef(hosts[0].ID, req.Spec.Name),
		Locks: locks, Input: in, Actor: actor, Key: req.Key}, owned(ctx, "", "", 0, locks...))
}

// hostsNamed finds hosts by id or name; what is wrong becomes a problem of the field.
func (f *Fleet) hostsNamed(ctx context.Context, p *domain.Problems, field string, names []string) ([]domain.Host, error) {
	all, err := f.db.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		p.Add(field, "A host is needed.", "the id or name of a host")
	}
	var out []domain.Host
	for _, n := range names {
		i := slices.IndexFunc(all, func(h domain.Host) bool { return h.ID == n || strings.EqualFold(h.Name, n) })
		switch {
		case i < 0:
			p.Add(field, "There is no host “"+n+"”.", "the id or name of a host")
		case slices.ContainsFunc(out, func(h domain.Host) bool { return h.ID == all[i].ID }):
		default:
			out = append(out, all[i])
		}
	}
	return out, nil
}

// ChangeNetwork enqueues an edit. A network that was made with others as one is changed with them, unless only is set.
func (f *Fleet) ChangeNetwork(ctx context.Context, actor, id string, spec domain.NetworkSpec, only bool, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	n, host, err := f.network(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	if spec.Name == "" {
		spec.Name = n.Name
	}
	if spec.Name != n.Name {
		return domain.Job{}, domain.InvalidField("name", "A network keeps its name.", n.Name)
	}
	spec.UUID = ""
	if spec.OwnBridge() && spec.Bridge == n.Spec.Bridge {
		spec.Bridge = "" // each host keeps its own
	}
	if err := spec.Validate(); err != nil {
		return domain.Job{}, err
	}
	on := []nets.On{{HostID: host.ID, HostName: host.Name}}
	group := ""
	if n.GroupID != "" && !only {
		if on, err = f.groupHosts(ctx, n.GroupID); err != nil {
			return domain.Job{}, err
		}
		group = n.GroupID
	}
	return f.changeNetworks(ctx, actor, n.Name, spec, on, group, fmt.Sprintf("Change the network %s on %s", n.Name, spread(on)), key)
}

func spread(on []nets.On) string {
	if len(on) == 1 {
		return on[0].HostName
	}
	return fmt.Sprintf("%d hosts", len(on))
}

func (f *Fleet) changeNetworks(ctx context.Context, actor, name string, spec domain.NetworkSpec, on []nets.On, group, title, key string) (domain.Job, error) {
	var locks []string
	for _, o := range on {
		others, err := f.db.Networks(ctx, o.HostID)
		if err != nil {
			return domain.Job{}, err
		}
		if err := spec.CheckBeside(o.HostName, others, true); err != nil {
			return domain.Job{}, err
		}
		locks = append(locks, domain.NetworkID(o.HostID, name))
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: nets.KindChange, Title: title, Resource: networkRef(on[0].HostID, name), Locks: locks,
		Input: nets.Change{Name: name, Spec: spec, Hosts: on, GroupID: group}, Actor: actor, Key: key})
}

func (f *Fleet) groupHosts(ctx context.Context, groupID string) ([]nets.On, error) {
	g, err := f.db.NetworkGroup(ctx, groupID)
	if err != nil {
		return nil, err
	}
	var on []nets.On
	for _, id := range g.HostIDs {
		h, err := f.db.Host(ctx, id)
		if err != nil {
			return nil, err
		}
		on = append(on, nets.On{HostID: id, HostName: h.Name})
	}
	slices.SortFunc(on, func(a, b nets.On) int { return strings.Compare(a.HostName, b.HostName) })
	return on, nil
}

func (f *Fleet) network(ctx context.Context, id string) (domain.Network, domain.Host, error) {
	n, err := f.db.Network(ctx, id)
	if err != nil {
		return n, domain.Host{}, err
	}
	h, err := f.db.Host(ctx, n.HostID)
	return n, h, err
}

// NetworkDrift compares the networks of a group with what they should be, host by host; those that agree have no Changes.
func (f *Fleet) NetworkDrift(ctx context.Context, groupID string) ([]NetworkDrift, error) {
	g, err := f.db.NetworkGroup(ctx, groupID)
	if err != nil {
		return nil, err
	}
	on, err := f.groupHosts(ctx, groupID)
	if err != nil {
		return nil, err
	}
	var out []NetworkDrift
	for _, o := range on {
		h, err := f.db.Host(ctx, o.HostID)
		if err != nil {
			return nil, err
		}
		d := NetworkDrift{HostID: o.HostID, HostName: o.HostName, NetworkID: domain.NetworkID(o.HostID, g.Name), Away: h.State != domain.HostConnected}
		n, err := f.db.Network(ctx, d.NetworkID)
		switch {
		case domain.Is(err, domain.NotFound):
			d.Missing = true
		case err != nil:
			return nil, err
		default:
			d.Changes = domain.DiffNetworks(g.Spec, n.Spec)
		}
		out = append(out, d)
	}
	return out, nil
}

// EqualNetworks enqueues the change that makes the networks of a group what they should be. like names the network that they should all be like; empty
// means what they were made as.
func (f *Fleet) EqualNetworks(ctx context.Context, actor, id, like, key string) (domain.Job, error) {
	n, err := f.db.Network(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	if n.GroupID == "" {
		return domain.Job{}, domain.Errorf(domain.Conflict, "The network %s was not made together with others.", n.Name).WithFix("Create a network on several hosts to have them kept equal.")
	}
	g, err := f.db.NetworkGroup(ctx, n.GroupID)
	if err != nil {
		return domain.Job{}, err
	}
	spec := g.Spec
	if like != "" {
		model, err := f.db.Network(ctx, like)
		if err != nil {
			return domain.Job{}, err
		}
		spec = model.Spec
		spec.UUID = ""
		if spec.OwnBridge() {
			spec.Bridge = g.Spec.Bridge // each host has its own, unless it was given
		}
	}
	drift, err := f.NetworkDrift(ctx, n.GroupID)
	if err != nil {
		return domain.Job{}, err
	}
	var on []nets.On
	for _, d := range drift {
		if d.Missing {
			return domain.Job{}, domain.Errorf(domain.Conflict, "%s has no network %s any more.", d.HostName, n.Name).WithFix("Create it there again.")
		}
		if len(d.Changes) > 0 || like != "" {
			on = append(on, nets.On{HostID: d.HostID, HostName: d.HostName})
		}
	}
	if len(on) == 0 {
		return domain.Job{}, domain.Errorf(domain.Conflict, "The networks %s are equal already.", n.Name).WithFix("Nothing needs to be done.")
	}
	return f.changeNetworks(ctx, actor, n.Name, spec, on, n.GroupID, fmt.Sprintf("Make the network %s equal on %s", n.Name, spread(on)), key)
}

// NetworkAct is what can be done to a network.
type NetworkAct string

// Acts on a network.
const (
	NetStart       NetworkAct = "start"
	NetStop        NetworkAct = "stop"
	NetAutostart   NetworkAct = "autostart"
	NetNoAutostart NetworkAct = "no-autostart"
)

// ActNetwork enqueues a start, stop or change of autostart. Stopping a network that running VMs use is a Conflict naming them, unless force is set.
func (f *Fleet) ActNetwork(ctx context.Context, actor, id string, act NetworkAct, force bool, key string) (domain.Job, error) {
	n, h, err := f.network(ctx, id)
	if err != nil {
		return domain.Job{}, err
	}
	in := nets.One{HostID: h.ID, HostName: h.Name, Name: n.Name, On: act == NetAutostart}
	req := jobs.Request{Resource: networkRef(h.ID, n.Name), Locks: []string{id}, Input: in, Actor: actor, Key: key}
	switch act {
	case NetStart:
		req.Kind, req.Title = nets.KindStart, fmt.Sprintf("Start the network %s on %s", n.Name, h.Name)
	case NetStop:
		req.Kind, req.Title = nets.KindStop, fmt.Sprintf("Stop the network %s on %s", n.Name, h.Name)
		vms, err := f.db.NetworkVMs(ctx, h.ID, n.Name)
		if err != nil {
			return domain.Job{}, err
		}
		vms = slices.DeleteFunc(vms, func(vm domain.VM) bool { return vm.Live == nil })
		if !force && n.Active {
			if err := nets.InUse(n.Name, h.Name, vmNames(vms)); err != nil {
				err.(*domain.Error).Fix = "Shut these VMs down or move their network cards first, or stop it all the same (force); they lose this network at once."
				return domain.Job{}, err
			}
		}
	case NetAutostart, NetNoAutostart:
		req.Kind, req.Title = nets.KindAutostart, fmt.Sprintf("Start the network %s with %s", n.Name, h.Name)
		if act == NetNoAutostart {
			req.Title = fmt.Sprintf("Do not start the network %s with %s", n.Name, h.Name)
		}
	default:
		return domain.Job{}, domain.Errorf(domain.Unsupported, "There is no action “%s” on networks.", act)
	}
	return f.engine.Enqueue(ctx, req)
}

func vmNames(vms []domain.VM) []string {
	names := make([]string, len(vms))
	for i, vm := range vms {
		names[i] = vm.Name
	}
	return names
}

// settleCards gives cards their filters instead of the groups they name.
func (f *Fleet) settleCards(ctx context.Context, field string, cards []domain.NIC) (sets [][]string, err error) {
	for i := range cards {
		n := &cards[i]
		if len(n.SecurityGroups) == 0 {
			continue
		}
		ids, err := f.groupIDs(ctx, fmt.Sprintf("%s.%d.security_groups", field, i), n.SecurityGroups)
		if err != nil {
			return nil, err
		}
		n.Filter, n.SecurityGroups = domain.FilterName(ids), nil
		sets = append(sets, ids)
	}
	return sets, nil
}

// settleCardChanges does the same for a change of a VM.
func (f *Fleet) settleCardChanges(ctx context.Context, c domain.VMChange) (domain.VMChange, [][]string, error) {
	c.AddNICs, c.ChangeNICs = slices.Clone(c.AddNICs), slices.Clone(c.ChangeNICs)
	sets, err := f.settleCards(ctx, "add_nics", c.AddNICs)
	if err != nil {
		return c, nil, err
	}
	for i := range c.ChangeNICs {
		n := &c.ChangeNICs[i]
		if n.SecurityGroups == nil {
			continue
		}
		ids, err := f.groupIDs(ctx, fmt.Sprintf("change_nics.%d.security_groups", i), *n.SecurityGroups)
		if err != nil {
			return c, nil, err
		}
		filter := domain.FilterName(ids)
		n.Filter, n.SecurityGroups = &filter, nil
		if len(ids) > 0 {
			sets = append(sets, ids)
		}
	}
	return c, sets, nil
}

// noted remembers what filters stand for, and refuses a MAC address that another VM of the estate has.
func noted(tx *db.Tx, sets [][]string, field string, cards []domain.NIC, vmID string) error {
	for i, n := range cards {
		if n.MAC == "" {
			continue
		}
		other, taken, err := tx.MACUser(n.MAC, vmID)
		if err != nil {
			return err
		}
		if taken {
			e := domain.InvalidField(fmt.Sprintf("%s.%d.mac", field, i), fmt.Sprintf("The address %s belongs to %s on %s.", n.MAC, other.Name, other.HostName), "another address, or none to have one made")
			e.Code = domain.Conflict
			return e
		}
	}
	for _, ids := range sets {
		if _, err := tx.SaveFilterSet(ids); err != nil {
			return err
		}
	}
	return nil
}
