package domxml

import (
	"slices"

	"novacron/domain"
)

// EditNetwork splices a new spec into a network's document: an element is replaced only if what it says differs from what is asked for, so that what
// NovaCron knows nothing of stays. A bridge of libvirt's own keeps its name when none is asked for.
func EditNetwork(doc string, to domain.NetworkSpec) (string, error) {
	d, err := read(doc, "network")
	if err != nil {
		return "", err
	}
	was := parseNetwork(d.root)
	if to.OwnBridge() && to.Bridge == "" && was.OwnBridge() {
		to.Bridge = was.Bridge
	}
	for i, part := range networkParts {
		now := networkPart(to, part)
		if now == networkPart(was, part) {
			continue
		}
		for n := d.root.kid(part); n.exists(); n = d.root.kid(part) {
			if err := d.remove(n); err != nil {
				return "", err
			}
		}
		if now == "" {
			continue
		}
		after := slices.Clone(networkParts[:i])
		slices.Reverse(after)
		if err := d.insert(d.root, now, append(after, "uuid", "name")...); err != nil {
			return "", err
		}
	}
	return d.src, nil
}

// NetworkSection is the part of a network that libvirt changes while it runs.
type NetworkSection int

// Sections, as virNetworkUpdateSection numbers them.
const (
	SectionDHCPHost  NetworkSection = 4
	SectionDHCPRange NetworkSection = 5
	SectionPortGroup NetworkSection = 9
	SectionDNSHost   NetworkSection = 10
	SectionDNSTXT    NetworkSection = 11
	SectionDNSSRV    NetworkSection = 12
)

// NetworkUpdate is one change of a network that runs.
type NetworkUpdate struct {
	Add     bool // else it is deleted
	Section NetworkSection
	Parent  int // which <ip>, -1 for the first that fits
	XML     string
}

// NetworkUpdates lists what leads a running network from one spec to another, deletions first, and what of it must wait until it is started again.
func NetworkUpdates(from, to domain.NetworkSpec) (live []NetworkUpdate, rest []domain.Change) {
	one := func(section NetworkSection, parent int, old, new []string) {
		for _, x := range old {
			if !slices.Contains(new, x) {
				live = append(live, NetworkUpdate{false, section, parent, x})
			}
		}
		for _, x := range new {
			if !slices.Contains(old, x) {
				live = append(live, NetworkUpdate{true, section, parent, x})
			}
		}
	}
	reached := from
	subnet := func(old, new *domain.Subnet, parent int) *domain.Subnet {
		// A server that gives out nothing yet is not running, so it cannot be told.
		if old == nil || new == nil || old.DHCP == nil || new.DHCP == nil || old.Address != new.Address || len(old.DHCP.Ranges) == 0 || len(new.DHCP.Ranges) == 0 {
			return old
		}
		one(SectionDHCPRange, parent, xmls(old.DHCP.Ranges, rangeXML), xmls(new.DHCP.Ranges, rangeXML))
		one(SectionDHCPHost, parent, xmls(old.DHCP.Hosts, dhcpHostXML), xmls(new.DHCP.Hosts, dhcpHostXML))
		return new
	}
	four := 0
	if from.IPv4 != nil {
		four = 1
	}
	reached.IPv4 = subnet(from.IPv4, to.IPv4, 0)
	reached.IPv6 = subnet(from.IPv6, to.IPv6, four)
	if from.OwnBridge() && from.DNS != nil && to.DNS != nil && !from.DNS.Disabled && !to.DNS.Disabled {
		one(SectionDNSHost, -1, xmls(from.DNS.Hosts, dnsHostXML), xmls(to.DNS.Hosts, dnsHostXML))
		one(SectionDNSTXT, -1, xmls(from.DNS.TXT, dnsTXTXML), xmls(to.DNS.TXT, dnsTXTXML))
		one(SectionDNSSRV, -1, xmls(from.DNS.SRV, dnsSRVXML), xmls(to.DNS.SRV, dnsSRVXML))
		dns := *to.DNS
		dns.Forwarders = from.DNS.Forwarders
		reached.DNS = &dns
	}
	group := func(g domain.PortGroup) string {
		return networkPart(domain.NetworkSpec{PortGroups: []domain.PortGroup{g}}, "portgroup")
	}
	one(SectionPortGroup, -1, xmls(from.PortGroups, group), xmls(to.PortGroups, group))
	reached.PortGroups = to.PortGroups
	// Deletions go first, so that a name or address may move from one entry to another.
	slices.SortStableFunc(live, func(a, b NetworkUpdate) int {
		switch {
		case a.Add == b.Add:
			return 0
		case a.Add:
			return 1
		}
		return -1
	})
	return live, domain.DiffNetworks(reached, to)
}

func xmls[T any](list []T, xml func(T) string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = xml(v)
	}
	return out
}
