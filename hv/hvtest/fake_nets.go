package hvtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// furnished gives a network that a test describes in short a document and all that is read of it.
func furnished(n domain.Network) domain.Network {
	if n.Spec.Name == "" {
		n.Spec = domain.NetworkSpec{Name: n.Name, UUID: n.UUID, Mode: n.Mode, Bridge: n.Bridge}
		if n.CIDR != "" {
			n.Spec.IPv4 = &domain.Subnet{Address: n.CIDR}
		}
	}
	if n.XML == "" {
		n.XML = domxml.NetworkXML(n.Spec)
	}
	return n
}

// SetLeases says what a network's server gave out.
func (f *Fake) SetLeases(network string, leases ...domain.Lease) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.leases[network] = leases
}

// SetAddresses says what the host has heard of a guest's addresses besides leases.
func (f *Fake) SetAddresses(uuid string, heard ...domain.Address) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.heard[uuid] = heard
}

// AllNetworks looks at the host without going through faults, in the order of names.
func (f *Fake) AllNetworks() []domain.Network {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return sorted(f.m.nets)
}

// AllFilters looks at the host without going through faults, in the order of names.
func (f *Fake) AllFilters() []domain.Filter {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return sorted(f.m.filters)
}

func (m *machine) network(name string) (domain.Network, error) {
	n, ok := m.nets[name]
	if !ok {
		return n, domain.Errorf(domain.NotFound, "The host has no network %s.", name).WithFix("Load the page again; it may have been removed meanwhile.")
	}
	return n, nil
}

// Network implements hv.Networks.
func (c *conn) Network(ctx context.Context, name string) (domain.Network, error) {
	return do(ctx, c, "Network", func(m *machine) (domain.Network, error) { return m.network(name) })
}

// DefineNetwork implements hv.Networks.
func (c *conn) DefineNetwork(ctx context.Context, spec domain.NetworkSpec) error {
	return act(ctx, c, "DefineNetwork", func(m *machine) error {
		if n, ok := m.nets[spec.Name]; ok {
			if n.UUID == spec.UUID {
				return nil
			}
			return domain.Errorf(domain.Conflict, "The host has a network %s already.", spec.Name).WithFix("Choose another name.")
		}
		if spec.OwnBridge() && spec.Bridge == "" {
			spec.Bridge = m.freeBridge()
		}
		return m.defineNetwork(domxml.NetworkXML(spec))
	})
}

func (m *machine) freeBridge() string {
	for i := 0; ; i++ {
		name := fmt.Sprintf("virbr%d", i)
		if !slices.ContainsFunc(sorted(m.nets), func(n domain.Network) bool { return n.Bridge == name }) {
			return name
		}
	}
}

// defineNetwork reads a document as libvirt does; what runs goes on as it was.
func (m *machine) defineNetwork(doc string) error {
	n, err := domxml.ParseNetwork(doc)
	if err != nil {
		return err
	}
	for name, o := range m.nets {
		if name == n.Name && o.UUID != n.UUID && n.UUID != "" {
			return domain.Errorf(domain.Conflict, "The host has a network %s already.", name).WithFix("Choose another name.")
		}
		if name != n.Name && o.Active && o.Bridge != "" && o.Bridge == n.Bridge && n.Spec.OwnBridge() {
			return domain.Errorf(domain.Conflict, "The bridge %s is in use by the network %s.", n.Bridge, name).WithFix("Choose another bridge.")
		}
	}
	if old, ok := m.nets[n.Name]; ok {
		n.Active, n.Autostart = old.Active, old.Autostart
		if old.Active {
			running, changed := m.netrun[n.Name]
			if !changed {
				running = old.Spec
			}
			m.netrun[n.Name] = running
			n.Pending = domain.DiffNetworks(running, n.Spec)
		}
	}
	m.nets[n.Name] = n
	return nil
}

// DefineNetworkXML implements hv.Networks.
func (c *conn) DefineNetworkXML(ctx context.Context, doc string) error {
	return act(ctx, c, "DefineNetworkXML", func(m *machine) error { return m.defineNetwork(doc) })
}

// ReadNetworkXML implements hv.Networks.
func (c *conn) ReadNetworkXML(doc string) (domain.NetworkSpec, error) {
	n, err := domxml.ParseNetwork(doc)
	return n.Spec, err
}

// UpdateNetwork implements hv.Networks.
func (c *conn) UpdateNetwork(ctx context.Context, name string, spec domain.NetworkSpec) ([]string, error) {
	return do(ctx, c, "UpdateNetwork", func(m *machine) ([]string, error) {
		n, err := m.network(name)
		if err != nil {
			return nil, err
		}
		running, changed := m.netrun[name]
		if !changed {
			running = n.Spec
		}
		doc, err := domxml.EditNetwork(n.XML, spec)
		if err != nil {
			return nil, err
		}
		if err := m.defineNetwork(doc); err != nil || !n.Active {
			return nil, err
		}
		live, rest := domxml.NetworkUpdates(running, spec)
		// What it was told runs; what is left is what it could not be told.
		n = m.nets[name]
		n.Pending = rest
		m.nets[name] = n
		var notes []string
		if len(live) > 0 {
			notes = append(notes, "What its running DHCP and name server can be told was changed at once.")
		}
		for _, r := range rest {
			notes = append(notes, "Applies when the network is started again: "+r.Label+".")
		}
		if len(rest) == 0 {
			delete(m.netrun, name)
		}
		return notes, nil
	})
}

// StartNetwork implements hv.Networks.
func (c *conn) StartNetwork(ctx context.Context, name string) error {
	return act(ctx, c, "StartNetwork", func(m *machine) error {
		n, err := m.network(name)
		if err != nil || n.Active {
			return err
		}
		for other, o := range m.nets {
			for _, mine := range n.Spec.Subnets() {
				if other != name && o.Active && slices.ContainsFunc(o.Spec.Subnets(), mine.Overlaps) {
					return domain.Errorf(domain.Conflict, "Network is already in use by interface %s.", o.Bridge).WithFix("Give it another subnet.")
				}
			}
		}
		n.Active, n.Pending = true, nil
		m.nets[name] = n
		return nil
	})
}

// StopNetwork implements hv.Networks.
func (c *conn) StopNetwork(ctx context.Context, name string) error {
	return act(ctx, c, "StopNetwork", func(m *machine) error {
		n, ok := m.nets[name]
		if ok {
			n.Active, n.Pending = false, nil
			m.nets[name] = n
			delete(m.netrun, name)
			delete(m.leases, name)
		}
		return nil
	})
}

// SetNetworkAutostart implements hv.Networks.
func (c *conn) SetNetworkAutostart(ctx context.Context, name string, on bool) error {
	return act(ctx, c, "SetNetworkAutostart", func(m *machine) error {
		n, err := m.network(name)
		if err == nil {
			n.Autostart = on
			m.nets[name] = n
		}
		return err
	})
}

// UndefineNetwork implements hv.Networks.
func (c *conn) UndefineNetwork(ctx context.Context, name string) (string, error) {
	return do(ctx, c, "UndefineNetwork", func(m *machine) (string, error) {
		n, ok := m.nets[name]
		switch {
		case !ok:
			return "", nil
		case n.Active:
			return "", domain.Errorf(domain.Conflict, "The network %s runs.", name).WithFix("Stop it first.")
		}
		delete(m.nets, name)
		return n.XML, nil
	})
}

// Leases implements hv.Networks.
func (c *conn) Leases(ctx context.Context, network string) ([]domain.Lease, error) {
	return do(ctx, c, "Leases", func(m *machine) ([]domain.Lease, error) {
		if _, err := m.network(network); err != nil {
			return nil, err
		}
		return slices.Clone(m.leases[network]), nil
	})
}

// GuestAddresses implements hv.Networks.
func (c *conn) GuestAddresses(ctx context.Context, uuid string) ([]domain.Address, error) {
	return do(ctx, c, "GuestAddresses", func(m *machine) ([]domain.Address, error) {
		g, err := m.find(uuid)
		if err != nil || !g.up() {
			return nil, err
		}
		var leased []domain.Address
		for _, n := range mustParse(g.live).NICs {
			for _, l := range m.leases[n.Network] {
				if strings.EqualFold(l.MAC, n.MAC) {
					leased = append(leased, domain.Address{MAC: l.MAC, IP: l.IP, Prefix: l.Prefix, Sources: []string{domain.AddressLease}})
				}
			}
		}
		return domain.MergeAddresses(m.heard[uuid], leased), nil
	})
}

// Filters implements hv.Filters.
func (c *conn) Filters(ctx context.Context) ([]string, error) {
	return do(ctx, c, "Filters", func(m *machine) ([]string, error) { return slices.Sorted(maps.Keys(m.filters)), nil })
}

// DefineFilter implements hv.Filters.
func (c *conn) DefineFilter(ctx context.Context, f domain.Filter) error {
	return act(ctx, c, "DefineFilter", func(m *machine) error {
		m.filters[f.Name] = f
		return nil
	})
}

// UndefineFilter implements hv.Filters.
func (c *conn) UndefineFilter(ctx context.Context, name string) error {
	return act(ctx, c, "UndefineFilter", func(m *machine) error {
		for _, g := range m.guests {
			for _, doc := range []string{g.doc, g.live} {
				if doc == "" || !g.up() {
					continue
				}
				for _, n := range mustParse(doc).NICs {
					if n.Filter == name {
						return domain.Errorf(domain.Conflict, "The filter %s is in use by %s.", name, g.name).WithFix("Take the card out of its security groups first.")
					}
				}
			}
		}
		delete(m.filters, name)
		return nil
	})
}
