package libvirt

import (
	"context"
	"slices"
	"strings"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"novacron/domain"
	"novacron/hv/libvirt/domxml"
)

// networkLimit bounds what starts or stops processes for a network.
const networkLimit = time.Minute

const networkInactive = 1 // VIR_NETWORK_XML_INACTIVE: the definition, not what runs

func (h *host) lookupNetwork(ctx context.Context, name string) (golibvirt.Network, error) {
	n, err := get(ctx, h.conn, "find the network", func(l *golibvirt.Libvirt) (golibvirt.Network, error) { return l.NetworkLookupByName(name) })
	if domain.Is(err, domain.NotFound) {
		return n, domain.Errorf(domain.NotFound, "The host has no network %s.", name).WithFix("Load the page again; it may have been removed meanwhile.").WithCause(err)
	}
	return n, err
}

// describeNetwork reads the definition, and for a network that runs what of it is not so yet.
func (h *host) describeNetwork(ctx context.Context, n golibvirt.Network, active bool) (domain.Network, error) {
	docs, err := get(ctx, h.conn, "describe the network "+n.Name, func(l *golibvirt.Libvirt) (d [2]string, err error) {
		if d[0], err = l.NetworkGetXMLDesc(n, networkInactive); number(err) == golibvirt.ErrInvalidArg || number(err) == golibvirt.ErrArgumentUnsupported {
			d[0], err = l.NetworkGetXMLDesc(n, 0) // a driver that knows no difference
		}
		if err == nil && active {
			d[1], err = l.NetworkGetXMLDesc(n, 0)
		}
		return d, err
	})
	if err != nil {
		return domain.Network{}, err
	}
	out, err := domxml.ParseNetwork(docs[0])
	if err != nil {
		return out, err
	}
	out.Name, out.UUID, out.Active = n.Name, uuidText(n.UUID), active
	if docs[1] != "" {
		live, err := domxml.ParseNetwork(docs[1])
		if err != nil {
			return out, err
		}
		out.Pending = domain.DiffNetworks(live.Spec, out.Spec)
	}
	return out, nil
}

func (h *host) Network(ctx context.Context, name string) (domain.Network, error) {
	n, err := h.lookupNetwork(ctx, name)
	if err != nil {
		return domain.Network{}, err
	}
	type flags struct{ active, auto int32 }
	f, err := get(ctx, h.conn, "describe the network "+name, func(l *golibvirt.Libvirt) (f flags, err error) {
		if f.active, err = l.NetworkIsActive(n); err != nil {
			return f, err
		}
		f.auto, err = l.NetworkGetAutostart(n)
		return f, err
	})
	if err != nil {
		return domain.Network{}, err
	}
	out, err := h.describeNetwork(ctx, n, f.active != 0)
	out.Autostart = f.auto != 0
	return out, err
}

func (h *host) DefineNetwork(ctx context.Context, spec domain.NetworkSpec) error {
	n, err := h.lookupNetwork(ctx, spec.Name)
	switch {
	case err == nil && uuidText(n.UUID) == spec.UUID:
		return nil
	case err == nil:
		return domain.Errorf(domain.Conflict, "The host has a network %s already.", spec.Name).WithFix("Choose another name.")
	case !domain.Is(err, domain.NotFound):
		return err
	}
	return h.DefineNetworkXML(ctx, domxml.NetworkXML(spec))
}

func (h *host) DefineNetworkXML(ctx context.Context, doc string) error {
	return h.do(ctx, "define the network", func(l *golibvirt.Libvirt) error {
		_, err := l.NetworkDefineXML(doc)
		return err
	})
}

func (h *host) ReadNetworkXML(doc string) (domain.NetworkSpec, error) {
	n, err := domxml.ParseNetwork(doc)
	return n.Spec, err
}

func (h *host) UpdateNetwork(ctx context.Context, name string, spec domain.NetworkSpec) ([]string, error) {
	unlock, err := h.edits.lock(ctx, "network "+name, "edit the network")
	if err != nil {
		return nil, err
	}
	defer unlock()
	ref, err := h.lookupNetwork(ctx, name)
	if err != nil {
		return nil, err
	}
	now, err := h.Network(ctx, name)
	if err != nil {
		return nil, err
	}
	doc, err := domxml.EditNetwork(now.XML, spec)
	if err != nil {
		return nil, err
	}
	if doc != now.XML {
		if err := h.DefineNetworkXML(ctx, doc); err != nil {
			return nil, err
		}
	}
	if !now.Active {
		return nil, nil
	}
	notes, err := h.updateRunning(ctx, ref, spec)
	if err != nil && doc != now.XML {
		// As a whole or not at all.
		if back := h.DefineNetworkXML(context.WithoutCancel(ctx), now.XML); back != nil {
			return nil, domain.Errorf(domain.CodeOf(err), "%s Besides, its definition could not be put back: %s", err.Error(), back.Error()).WithCause(err)
		}
	}
	return notes, err
}

// updateRunning tells the network that runs what it can be told, and the person what waits.
func (h *host) updateRunning(ctx context.Context, ref golibvirt.Network, spec domain.NetworkSpec) (notes []string, err error) {
	doc, err := get(ctx, h.conn, "describe the network "+ref.Name, func(l *golibvirt.Libvirt) (string, error) { return l.NetworkGetXMLDesc(ref, 0) })
	if err != nil {
		return nil, err
	}
	live, err := domxml.ParseNetwork(doc)
	if err != nil {
		return nil, err
	}
	updates, rest := domxml.NetworkUpdates(live.Spec, spec)
	var done []domxml.NetworkUpdate
	for _, u := range updates {
		err := h.updateNetwork(ctx, ref, u)
		if domain.Is(err, domain.Unsupported) {
			notes = append(notes, "This host cannot change a network that runs; the change applies when "+ref.Name+" is started again.")
			return notes, nil
		}
		if err != nil {
			for _, d := range slices.Backward(done) {
				d.Add = !d.Add
				if back := h.updateNetwork(context.WithoutCancel(ctx), ref, d); back != nil {
					return nil, domain.Errorf(domain.CodeOf(err), "%s Besides, what was changed before that could not be put back: %s", err.Error(), back.Error()).WithCause(err)
				}
			}
			return nil, err
		}
		done = append(done, u)
	}
	if len(done) > 0 {
		notes = append(notes, "What its running DHCP and name server can be told was changed at once.")
	}
	if len(rest) > 0 {
		labels := make([]string, len(rest))
		for i, c := range rest {
			labels[i] = c.Label
		}
		notes = append(notes, "Applies when the network is started again: "+strings.Join(labels, ", ")+".")
	}
	return notes, nil
}

func (h *host) updateNetwork(ctx context.Context, ref golibvirt.Network, u domxml.NetworkUpdate) error {
	command := golibvirt.NetworkUpdateCommandDelete
	if u.Add {
		command = golibvirt.NetworkUpdateCommandAddLast
	}
	return h.do(ctx, "change the network "+ref.Name+" while it runs", func(l *golibvirt.Libvirt) error {
		// #nosec G115 -- -1, or the index of an address in the network's document
		return l.NetworkUpdateCompat(ref, command, golibvirt.NetworkUpdateSection(u.Section), int32(u.Parent), u.XML, golibvirt.NetworkUpdateAffectLive)
	})
}

func (h *host) StartNetwork(ctx context.Context, name string) error {
	return h.runNetwork(ctx, name, true)
}
func (h *host) StopNetwork(ctx context.Context, name string) error {
	return h.runNetwork(ctx, name, false)
}

func (h *host) runNetwork(ctx context.Context, name string, up bool) error {
	n, err := h.lookupNetwork(ctx, name)
	if domain.Is(err, domain.NotFound) && !up {
		return nil
	}
	if err != nil {
		return err
	}
	doing := "stop the network " + name
	if up {
		doing = "start the network " + name
	}
	return h.slow(ctx, doing, networkLimit, func(l *golibvirt.Libvirt) error {
		active, err := l.NetworkIsActive(n)
		if err != nil || (active != 0) == up {
			return err
		}
		if up {
			return l.NetworkCreate(n)
		}
		return l.NetworkDestroy(n)
	})
}

func (h *host) SetNetworkAutostart(ctx context.Context, name string, on bool) error {
	n, err := h.lookupNetwork(ctx, name)
	if err != nil {
		return err
	}
	return h.do(ctx, "set whether "+name+" starts with the host", func(l *golibvirt.Libvirt) error {
		want := int32(0)
		if on {
			want = 1
		}
		return l.NetworkSetAutostart(n, want)
	})
}

func (h *host) UndefineNetwork(ctx context.Context, name string) (string, error) {
	now, err := h.Network(ctx, name)
	switch {
	case domain.Is(err, domain.NotFound):
		return "", nil
	case err != nil:
		return "", err
	case now.Active:
		return "", domain.Errorf(domain.Conflict, "The network %s runs.", name).WithFix("Stop it first.")
	}
	n, err := h.lookupNetwork(ctx, name)
	if err == nil {
		err = h.do(ctx, "remove the network "+name, func(l *golibvirt.Libvirt) error { return l.NetworkUndefine(n) })
	}
	if domain.Is(err, domain.NotFound) {
		err = nil
	}
	return now.XML, err
}

func (h *host) Leases(ctx context.Context, network string) ([]domain.Lease, error) {
	n, err := h.lookupNetwork(ctx, network)
	if err != nil {
		return nil, err
	}
	found, err := get(ctx, h.conn, "list the leases of "+network, func(l *golibvirt.Libvirt) ([]golibvirt.NetworkDhcpLease, error) {
		leases, _, err := l.NetworkGetDhcpLeases(n, nil, 1, 0)
		return leases, err
	})
	switch code := domain.CodeOf(err); {
	case code == domain.Unsupported || code == domain.Conflict: // it has no server, or is stopped
		return nil, nil
	case err != nil:
		return nil, err
	}
	out := make([]domain.Lease, 0, len(found))
	for _, x := range found {
		out = append(out, domain.Lease{MAC: strings.ToLower(optional(x.Mac)), IP: x.Ipaddr, Prefix: int(x.Prefix), Hostname: optional(x.Hostname), ClientID: optional(x.Clientid), Expires: x.Expirytime})
	}
	slices.SortFunc(out, func(a, b domain.Lease) int { return strings.Compare(a.MAC+a.IP, b.MAC+b.IP) })
	return out, nil
}

func optional(s golibvirt.OptString) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

func (h *host) GuestAddresses(ctx context.Context, uuid string) ([]domain.Address, error) {
	n, err := h.now(ctx, uuid)
	if err != nil || n.off() {
		return nil, err
	}
	var lists [][]domain.Address
	for _, src := range []struct {
		flag golibvirt.DomainInterfaceAddressesSource
		name string
	}{
		{golibvirt.DomainInterfaceAddressesSrcAgent, domain.AddressAgent}, {golibvirt.DomainInterfaceAddressesSrcLease, domain.AddressLease}, {golibvirt.DomainInterfaceAddressesSrcArp, domain.AddressARP},
	} {
		ifaces, err := get(ctx, h.conn, "tell the addresses of "+n.Name, func(l *golibvirt.Libvirt) ([]golibvirt.DomainInterface, error) {
			return l.DomainInterfaceAddresses(n.Domain, uint32(src.flag), 0) // #nosec G115 -- one of the three constants above
		})
		if number(err) != 0 || domain.Is(err, domain.Unsupported) {
			continue // no agent, no network of libvirt's, a driver without it
		}
		if err != nil {
			return nil, err
		}
		lists = append(lists, addresses(ifaces, src.name))
	}
	return domain.MergeAddresses(lists...), nil
}

func addresses(ifaces []golibvirt.DomainInterface, source string) []domain.Address {
	var out []domain.Address
	for _, i := range ifaces {
		for _, a := range i.Addrs {
			one := domain.Address{MAC: optional(i.Hwaddr), IP: a.Addr, Prefix: int(a.Prefix), Sources: []string{source}}
			if source == domain.AddressAgent {
				one.Interface = i.Name
			} else if source == domain.AddressARP {
				one.Prefix = 0 // nobody said
			}
			out = append(out, one)
		}
	}
	return out
}
