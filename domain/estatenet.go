package domain

import (
	"cmp"
	"slices"
	"strings"
)

// EstateNetwork is what people call one network: the networks of several hosts that were made as one, or that simply have one name.
type EstateNetwork struct {
	ID      string // of the first host's, which leads to its page
	Name    string
	GroupID string      // of those that were made as one
	Should  NetworkSpec // what each should be: as it was made, else as it is on the first host
	On      []NetworkOn // by the hosts' names
	Public  bool        // cards on it count in quotas of public addresses
}

// NetworkOn is a network on one host.
type NetworkOn struct {
	HostID   string
	HostName string
	Away     bool // the host does not answer: what is shown is what was seen last
	Network  Network
	Missing  bool     // it was made there and is not there any more
	Drift    []Change // Old is what it should be, New what it is
	VMs      int      // that have a card on it
}

// NetworkGroupSpec says which hosts' networks were made as one, and what each should be.
type NetworkGroupSpec struct {
	ID, Name string
	Spec     NetworkSpec
	HostIDs  []string
}

// JoinNetworks makes one list of the networks of all hosts. Those that were made as one are compared with what they were made as; those that only
// have one name with the first of them. users tells how many VMs have a card on a host's network.
func JoinNetworks(hosts []Host, all []Network, groups []NetworkGroupSpec, users func(hostID, network string) int) []EstateNetwork {
	byHost := make(map[string]Host, len(hosts))
	for _, h := range hosts {
		byHost[h.ID] = h
	}
	at := map[string]int{}
	var out []EstateNetwork
	join := func(key, groupID, name string) *EstateNetwork {
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, EstateNetwork{Name: name, GroupID: groupID})
		}
		return &out[i]
	}
	on := func(hostID string) (NetworkOn, bool) {
		h, known := byHost[hostID]
		return NetworkOn{HostID: h.ID, HostName: h.Name, Away: h.State != HostConnected}, known
	}
	for _, n := range all {
		o, known := on(n.HostID)
		if !known {
			continue
		}
		o.Network, o.VMs = n, users(n.HostID, n.Name)
		e := join(cmp.Or(n.GroupID, "name "+n.Name), n.GroupID, n.Name)
		e.On = append(e.On, o)
	}
	for _, g := range groups {
		e := join(g.ID, g.ID, g.Name)
		e.Should = g.Spec
		for _, id := range g.HostIDs {
			if slices.ContainsFunc(e.On, func(o NetworkOn) bool { return o.HostID == id }) {
				continue
			}
			if o, known := on(id); known {
				o.Missing, o.Network = true, Network{ID: NetworkID(id, g.Name), HostID: id, Name: g.Name, GroupID: g.ID}
				e.On = append(e.On, o)
			}
		}
	}
	out = slices.DeleteFunc(out, func(e EstateNetwork) bool { return len(e.On) == 0 })
	for i := range out {
		out[i].settle()
	}
	slices.SortFunc(out, func(a, b EstateNetwork) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
	})
	return out
}

// settle orders the hosts and tells how each differs.
func (e *EstateNetwork) settle() {
	slices.SortFunc(e.On, func(a, b NetworkOn) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.HostName), strings.ToLower(b.HostName)), strings.Compare(a.HostID, b.HostID))
	})
	first := slices.IndexFunc(e.On, func(o NetworkOn) bool { return !o.Missing })
	e.ID = e.On[max(first, 0)].Network.ID
	if e.GroupID == "" {
		e.Should = e.On[max(first, 0)].Network.Spec
		if e.Should.OwnBridge() {
			e.Should.Bridge = "" // each host's libvirt chose its own
		}
	}
	for i := range e.On {
		if o := &e.On[i]; !o.Missing {
			o.Drift = DiffNetworks(e.Should, o.Network.Spec)
		}
	}
}

// Of gives the network on a host.
func (e EstateNetwork) Of(hostID string) (NetworkOn, bool) {
	i := slices.IndexFunc(e.On, func(o NetworkOn) bool { return o.HostID == hostID })
	if i < 0 {
		return NetworkOn{}, false
	}
	return e.On[i], true
}

// Active counts the hosts on which it runs.
func (e EstateNetwork) Active() int {
	return e.count(func(o NetworkOn) bool { return o.Network.Active })
}

// Drifted counts the hosts that differ or have lost it.
func (e EstateNetwork) Drifted() int {
	return e.count(func(o NetworkOn) bool { return o.Missing || len(o.Drift) > 0 })
}

// Pending counts the hosts on which changes wait until it is started again.
func (e EstateNetwork) Pending() int {
	return e.count(func(o NetworkOn) bool { return len(o.Network.Pending) > 0 })
}

func (e EstateNetwork) count(is func(NetworkOn) bool) int {
	n := 0
	for _, o := range e.On {
		if is(o) {
			n++
		}
	}
	return n
}

// VMs counts the VMs that have a card on it, on all hosts.
func (e EstateNetwork) VMs() int {
	n := 0
	for _, o := range e.On {
		n += o.VMs
	}
	return n
}
