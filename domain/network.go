package domain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Network modes: how a libvirt network reaches the world.
const (
	NetNAT      = "nat"
	NetRoute    = "route"
	NetIsolated = "isolated"
	NetOpen     = "open"    // as route, without any firewall rule of libvirt's
	NetBridge   = "bridge"  // guests join a bridge that is on the host already
	NetOVS      = "ovs"     // the same with an Open vSwitch bridge, which knows VLANs
	NetMacvtap  = "macvtap" // guests share a physical device of the host
)

// NetworkModes lists them in the order of menus.
var NetworkModes = []string{NetNAT, NetRoute, NetIsolated, NetOpen, NetBridge, NetOVS, NetMacvtap}

// MacvtapModes are how guests that share a device reach each other.
var MacvtapModes = []string{"bridge", "private", "vepa", "passthrough"}

// Network is a libvirt network of a host.
type Network struct {
	ID        string      `json:"id"`
	HostID    string      `json:"host_id"`
	UUID      string      `json:"uuid"`
	Name      string      `json:"name"`
	Active    bool        `json:"active"`
	Autostart bool        `json:"autostart"`
	Mode      string      `json:"mode"`
	Bridge    string      `json:"bridge"`            // or the physical device of a macvtap network
	CIDR      string      `json:"cidr"`              // first address with prefix, empty if none
	Spec      NetworkSpec `json:"spec,omitzero"`     // all that its definition says, as far as NovaCron knows it
	Pending   []Change    `json:"pending,omitempty"` // what its definition says otherwise than what runs: applies when it is started again
	GroupID   string      `json:"group,omitzero"`    // the networks of several hosts that were made as one
	XML       string      `json:"-"`                 // the definition as the host prints it; only Network of hv gives it
}

// NetworkSpec describes a libvirt network: what a person asks for, and what is read back. The JSON names are the API's.
type NetworkSpec struct {
	Name        string      `json:"name"`
	UUID        string      `json:"uuid,omitempty"`
	Mode        string      `json:"mode"`
	Bridge      string      `json:"bridge,omitempty"`       // bridge and ovs: one that exists; else what libvirt's own is called
	Device      string      `json:"device,omitempty"`       // nat, route: the only way out; macvtap: the device that is shared
	MacvtapMode string      `json:"macvtap_mode,omitempty"` // empty: bridge
	IPv4        *Subnet     `json:"ipv4,omitempty"`
	IPv6        *Subnet     `json:"ipv6,omitempty"`
	Domain      string      `json:"domain,omitempty"` // DNS domain of the guests
	DNS         *NetworkDNS `json:"dns,omitempty"`
	MTU         int         `json:"mtu,omitempty"`
	VLAN        *VLAN       `json:"vlan,omitempty"` // ovs only
	PortGroups  []PortGroup `json:"port_groups,omitempty"`
	Inbound     *Bandwidth  `json:"bandwidth_in,omitempty"` // of the network as a whole
	Outbound    *Bandwidth  `json:"bandwidth_out,omitempty"`
}

// Subnet is what the host has on a network of its own.
type Subnet struct {
	Address string `json:"address"` // the host's address, which is the guests' gateway, with the prefix: 192.168.50.1/24
	DHCP    *DHCP  `json:"dhcp,omitempty"`
}

// DHCP says which addresses are given out.
type DHCP struct {
	Ranges []IPRange  `json:"ranges,omitempty"`
	Hosts  []DHCPHost `json:"hosts,omitempty"`
}

// IPRange is a range of addresses, both ends included.
type IPRange struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// DHCPHost is a static lease: a card that always gets the same address. IPv6 knows guests by name or client id instead of the MAC.
type DHCPHost struct {
	MAC  string `json:"mac,omitempty"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	IP   string `json:"ip"`
}

// NetworkDNS is what the network's name server knows besides the guests.
type NetworkDNS struct {
	Disabled   bool      `json:"disabled,omitempty"`
	Forwarders []string  `json:"forwarders,omitempty"` // addresses of name servers; empty: the host's own
	Hosts      []DNSHost `json:"hosts,omitempty"`
	SRV        []DNSSRV  `json:"srv,omitempty"`
	TXT        []DNSTXT  `json:"txt,omitempty"`
}

// DNSHost is one address with its names.
type DNSHost struct {
	IP    string   `json:"ip"`
	Names []string `json:"names"`
}

// DNSSRV says where a service is.
type DNSSRV struct {
	Service  string `json:"service"`
	Protocol string `json:"protocol"` // tcp or udp
	Domain   string `json:"domain,omitempty"`
	Target   string `json:"target,omitempty"`
	Port     int    `json:"port,omitempty"`
	Priority int    `json:"priority,omitempty"`
	Weight   int    `json:"weight,omitempty"`
}

// DNSTXT is a text record.
type DNSTXT struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// VLAN is the tag of an access port, or the tags that a trunk lets through.
type VLAN struct {
	Trunk  bool  `json:"trunk,omitempty"`
	Tags   []int `json:"tags"`
	Native int   `json:"native,omitempty"` // trunk: the tag of frames that carry none
}

// String prints "VLAN 42" or "trunk 42, 43 (native 42)".
func (v *VLAN) String() string {
	if v == nil || len(v.Tags) == 0 {
		return ""
	}
	tags := make([]string, len(v.Tags))
	for i, t := range v.Tags {
		tags[i] = strconv.Itoa(t)
	}
	if !v.Trunk && len(tags) == 1 {
		return "VLAN " + tags[0]
	}
	out := "trunk " + strings.Join(tags, ", ")
	if v.Native != 0 {
		out += " (native " + strconv.Itoa(v.Native) + ")"
	}
	return out
}

// PortGroup is a class of cards on a network: whoever joins it gets its VLAN and limits.
type PortGroup struct {
	Name     string     `json:"name"`
	Default  bool       `json:"default,omitempty"`
	VLAN     *VLAN      `json:"vlan,omitempty"`
	Inbound  *Bandwidth `json:"bandwidth_in,omitempty"`
	Outbound *Bandwidth `json:"bandwidth_out,omitempty"`
}

// Bandwidth limits one direction, in libvirt's units: KiB per second, and KiB for the burst.
type Bandwidth struct {
	Average int `json:"average_kib"`
	Peak    int `json:"peak_kib,omitempty"`
	Burst   int `json:"burst_kib,omitempty"`
}

// String prints "10 MiB/s, at peak 20 MiB/s".
func (b *Bandwidth) String() string {
	if b == nil || b.Average == 0 {
		return "no limit"
	}
	out := FormatBytes(int64(b.Average)*KiB) + "/s"
	if b.Peak != 0 {
		out += ", at peak " + FormatBytes(int64(b.Peak)*KiB) + "/s"
	}
	if b.Burst != 0 {
		out += ", bursts of " + FormatBytes(int64(b.Burst)*KiB)
	}
	return out
}

// OwnBridge tells whether libvirt makes the network's bridge and serves addresses and names on it.
func (s NetworkSpec) OwnBridge() bool {
	return s.Mode == NetNAT || s.Mode == NetRoute || s.Mode == NetIsolated || s.Mode == NetOpen
}

// Subnets lists the network's subnets, masked.
func (s NetworkSpec) Subnets() []netip.Prefix {
	var out []netip.Prefix
	for _, sub := range []*Subnet{s.IPv4, s.IPv6} {
		if sub == nil {
			continue
		}
		if p, err := netip.ParsePrefix(sub.Address); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out
}

// Lease is what a network's DHCP server gave to somebody.
type Lease struct {
	MAC      string `json:"mac"`
	IP       string `json:"ip"`
	Prefix   int    `json:"prefix"`
	Hostname string `json:"hostname,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	Expires  int64  `json:"expires"` // unix seconds; 0: never
}

// Where an address of a VM was learned, the surest first.
const (
	AddressAgent = "agent" // the guest says so
	AddressLease = "dhcp"  // a network of the host gave it
	AddressARP   = "arp"   // the host has seen it
)

// Address is one address of a VM.
type Address struct {
	MAC       string   `json:"mac"`
	Interface string   `json:"interface,omitempty"` // as the guest calls it, when its agent says
	IP        string   `json:"ip"`
	Prefix    int      `json:"prefix,omitempty"`
	Sources   []string `json:"sources"`
}

// MergeAddresses makes one list of what several sources say: each address once, with all its sources, IPv4 first.
func MergeAddresses(lists ...[]Address) []Address {
	var out []Address
	for _, a := range slices.Concat(lists...) {
		ip, err := netip.ParseAddr(a.IP)
		if err != nil || ip.IsLoopback() {
			continue
		}
		a.IP, a.MAC = ip.Unmap().String(), strings.ToLower(a.MAC)
		i := slices.IndexFunc(out, func(x Address) bool { return x.IP == a.IP && x.MAC == a.MAC })
		if i < 0 {
			a.Sources = slices.Clone(a.Sources)
			out = append(out, a)
			continue
		}
		out[i].Interface = cmp.Or(out[i].Interface, a.Interface)
		if out[i].Prefix == 0 {
			out[i].Prefix = a.Prefix
		}
		for _, s := range a.Sources {
			if !slices.Contains(out[i].Sources, s) {
				out[i].Sources = append(out[i].Sources, s)
			}
		}
	}
	rank := func(a Address) int {
		ip, err := netip.ParseAddr(a.IP)
		switch {
		case err != nil || ip.IsLinkLocalUnicast():
			return 2
		case ip.Is4():
			return 0
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b Address) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.MAC, b.MAC), strings.Compare(a.IP, b.IP))
	})
	for i := range out {
		slices.Sort(out[i].Sources)
	}
	return out
}

// DiffNetworks lists what differs between two definitions of a network, for people. Their UUIDs are not compared: each host has its own.
func DiffNetworks(old, new NetworkSpec) []Change {
	var out []Change
	add := func(field, label, a, b string) {
		if a = cmp.Or(a, "none"); a != cmp.Or(b, "none") {
			out = append(out, Change{field, label, a, cmp.Or(b, "none")})
		}
	}
	add("mode", "Mode", old.Mode, new.Mode)
	add("macvtap_mode", "Sharing", old.MacvtapMode, new.MacvtapMode)
	// A bridge of libvirt's own may be called differently on each host; nobody outside sees it.
	if !(old.OwnBridge() && new.OwnBridge() && (old.Bridge == "" || new.Bridge == "")) {
		add("bridge", "Bridge", old.Bridge, new.Bridge)
	}
	add("device", "Device", old.Device, new.Device)
	diffSubnet("ipv4", "IPv4", old.IPv4, new.IPv4, add)
	diffSubnet("ipv6", "IPv6", old.IPv6, new.IPv6, add)
	add("domain", "DNS domain", old.Domain, new.Domain)
	diffDNS(old.DNS, new.DNS, add)
	add("mtu", "MTU", number(old.MTU), number(new.MTU))
	add("vlan", "VLAN", old.VLAN.String(), new.VLAN.String())
	add("port_groups", "Port groups", joined(old.PortGroups, PortGroup.String), joined(new.PortGroups, PortGroup.String))
	add("bandwidth_in", "Bandwidth in", old.Inbound.String(), new.Inbound.String())
	add("bandwidth_out", "Bandwidth out", old.Outbound.String(), new.Outbound.String())
	return out
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func diffSubnet(field, label string, old, new *Subnet, add func(field, label, a, b string)) {
	get := func(s *Subnet) (addr, ranges, hosts string) {
		if s == nil {
			return "", "", ""
		}
		if s.DHCP == nil {
			return s.Address, "", ""
		}
		return s.Address, joined(s.DHCP.Ranges, func(r IPRange) string { return r.Start + " to " + r.End }), joined(s.DHCP.Hosts, DHCPHost.String)
	}
	a1, r1, h1 := get(old)
	a2, r2, h2 := get(new)
	add(field+".address", label+" address", a1, a2)
	add(field+".dhcp.ranges", label+" range", r1, r2)
	add(field+".dhcp.hosts", label+" static leases", h1, h2)
}

func diffDNS(old, new *NetworkDNS, add func(field, label, a, b string)) {
	if old == nil {
		old = &NetworkDNS{}
	}
	if new == nil {
		new = &NetworkDNS{}
	}
	add("dns.disabled", "Name server", yesNo(!old.Disabled), yesNo(!new.Disabled))
	add("dns.forwarders", "Forwarders", strings.Join(old.Forwarders, ", "), strings.Join(new.Forwarders, ", "))
	add("dns.hosts", "DNS hosts", joined(old.Hosts, DNSHost.String), joined(new.Hosts, DNSHost.String))
	add("dns.srv", "DNS services", joined(old.SRV, DNSSRV.String), joined(new.SRV, DNSSRV.String))
	add("dns.txt", "DNS texts", joined(old.TXT, DNSTXT.String), joined(new.TXT, DNSTXT.String))
}

func joined[T any](list []T, show func(T) string) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = show(v)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// String prints "52:54:00:… web-1 192.168.50.10".
func (h DHCPHost) String() string {
	return strings.Join(slices.DeleteFunc([]string{h.MAC, h.ID, h.Name, h.IP}, func(s string) bool { return s == "" }), " ")
}

// String prints "192.168.50.1 gw.example".
func (h DNSHost) String() string { return h.IP + " " + strings.Join(h.Names, " ") }

// String prints "_ldap._tcp dc1:389".
func (s DNSSRV) String() string {
	return fmt.Sprintf("_%s._%s %s %s:%d %d %d", s.Service, s.Protocol, s.Domain, s.Target, s.Port, s.Priority, s.Weight)
}

// String prints the record.
func (t DNSTXT) String() string { return t.Name + "=" + t.Value }

// String prints a port group in one line.
func (g PortGroup) String() string {
	parts := []string{g.Name}
	if g.Default {
		parts = append(parts, "(default)")
	}
	if v := g.VLAN.String(); v != "" {
		parts = append(parts, v)
	}
	if g.Inbound != nil {
		parts = append(parts, "in "+g.Inbound.String())
	}
	if g.Outbound != nil {
		parts = append(parts, "out "+g.Outbound.String())
	}
	return strings.Join(parts, " ")
}
