package domain

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

var (
	netNameRE  = lazily(`^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$`)
	ifNameRE   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	dnsNameRE  = lazily(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$`)
	serviceRE  = lazily(`^[A-Za-z0-9-]{1,15}$`)
	maxStatics = 1024
)

func bridgeOK(s string, most int) bool { return len(s) <= most && ifNameRE.MatchString(s) }

// CheckNetworkName validates a network's name: what libvirt, its files and people can all live with.
func CheckNetworkName(p *Problems, field, name string) {
	switch {
	case name == "":
		p.Add(field, "A name is needed.", "for example lan")
	case !netNameRE.MatchString(name) || strings.Contains(name, ".."):
		p.Add(field, "“"+name+"” cannot be a network's name.", "1 to 50 letters, digits, dots, hyphens or underscores, starting with a letter or digit")
	}
}

// Validate checks all that can be told without a host. All wrong fields are named at once.
func (s NetworkSpec) Validate() error {
	var p Problems
	CheckNetworkName(&p, "name", s.Name)
	oneOf(&p, "mode", s.Mode, NetworkModes...)
	if s.UUID != "" && !ValidUUID(s.UUID) {
		p.Add("uuid", "That is not a UUID.", "36 lower-case characters, or nothing to have one made")
	}
	s.validateWire(&p)
	s.IPv4.validate(&p, "ipv4", false)
	s.IPv6.validate(&p, "ipv6", true)
	s.DNS.validate(&p)
	if s.Domain != "" && (!dnsNameRE.MatchString(s.Domain) || len(s.Domain) > 253) {
		p.Add("domain", "“"+s.Domain+"” is not a domain.", "for example lab.example.org")
	}
	if s.MTU != 0 && (s.MTU < 576 || s.MTU > 65521) {
		p.Add("mtu", fmt.Sprintf("%d is not a possible MTU.", s.MTU), "from 576 to 65521, or nothing for the usual 1500")
	}
	s.VLAN.validate(&p, "vlan")
	s.Inbound.validate(&p, "bandwidth_in")
	s.Outbound.validate(&p, "bandwidth_out")
	s.validatePortGroups(&p)
	return p.Err()
}

// validateWire checks what the mode needs and what it has no place for.
func (s NetworkSpec) validateWire(p *Problems) {
	if s.Bridge != "" && !bridgeOK(s.Bridge, 15) {
		p.Add("bridge", "“"+s.Bridge+"” is not a bridge's name.", "at most 15 letters, digits, dots, hyphens or underscores")
	}
	if s.Device != "" && !bridgeOK(s.Device, 15) {
		p.Add("device", "“"+s.Device+"” is not a network device.", "for example eth0")
	}
	none := func(given bool, field, msg string) {
		if given {
			p.Add(field, msg, "nothing")
		}
	}
	switch s.Mode {
	case NetBridge, NetOVS:
		if s.Bridge == "" {
			p.Add("bridge", "The bridge that guests join is needed.", "the name of a bridge that is on the host, for example br0")
		}
		none(s.Device != "", "device", "A bridge has its own way out.")
	case NetMacvtap:
		if s.Device == "" {
			p.Add("device", "The device that guests share is needed.", "a physical network device of the host, for example eth0")
		}
		none(s.Bridge != "", "bridge", "Guests that share a device join no bridge.")
		oneOf(p, "macvtap_mode", s.MacvtapMode, append([]string{""}, MacvtapModes...)...)
	case NetIsolated, NetOpen:
		none(s.Device != "", "device", "Such a network does not go out through one device.")
	}
	if s.Mode != NetMacvtap {
		none(s.MacvtapMode != "", "macvtap_mode", "Only guests that share a device (macvtap) have this.")
	}
	if !s.OwnBridge() && slices.Contains(NetworkModes, s.Mode) {
		const msg = "The host serves no addresses or names on such a network; whatever is on the wire does."
		none(s.IPv4 != nil, "ipv4", msg)
		none(s.IPv6 != nil, "ipv6", msg)
		none(s.DNS != nil, "dns", msg)
		none(s.Domain != "", "domain", msg)
		none(s.MTU != 0, "mtu", "The bridge or device that is there decides the MTU.")
		none((s.Inbound != nil || s.Outbound != nil), "bandwidth_in", "libvirt limits a network as a whole only on its own bridge; limit port groups or the cards of VMs instead.")
	}
	if s.Mode != NetOVS {
		none(s.VLAN != nil, "vlan", "Only an Open vSwitch bridge knows VLANs.")
		for i, g := range s.PortGroups {
			none(g.VLAN != nil, fmt.Sprintf("port_groups.%d.vlan", i), "Only an Open vSwitch bridge knows VLANs.")
		}
	}
	if (s.Mode == NetNAT || s.Mode == NetRoute || s.Mode == NetOpen) && s.IPv4 == nil && s.IPv6 == nil {
		p.Add("ipv4.address", "The host's address on this network is needed: it is the guests' gateway.", "an address with its prefix, for example 192.168.50.1/24")
	}
}

func (s NetworkSpec) validatePortGroups(p *Problems) {
	names, standard := map[string]bool{}, false
	for i, g := range s.PortGroups {
		at := fmt.Sprintf("port_groups.%d", i)
		switch {
		case !bridgeOK(g.Name, 64):
			p.Add(at+".name", "“"+g.Name+"” cannot be a port group's name.", "letters, digits, dots, hyphens or underscores")
		case names[g.Name]:
			p.Add(at+".name", "Two port groups are called "+g.Name+".", "another name")
		}
		names[g.Name] = true
		if g.Default && standard {
			p.Add(at+".default", "Two port groups are the default.", "one at most")
		}
		standard = standard || g.Default
		g.VLAN.validate(p, at+".vlan")
		g.Inbound.validate(p, at+".bandwidth_in")
		g.Outbound.validate(p, at+".bandwidth_out")
	}
}

func (s *Subnet) validate(p *Problems, at string, six bool) {
	if s == nil {
		return
	}
	example, most := "192.168.50.1/24", 30
	if six {
		example, most = "fd00:50::1/64", 126
	}
	pfx, err := netip.ParsePrefix(s.Address)
	if err != nil || pfx.Addr().Is4() == six || pfx.Addr().Zone() != "" {
		p.Add(at+".address", "“"+s.Address+"” is not an address with its prefix.", "for example "+example)
		return
	}
	net := pfx.Masked()
	switch {
	case pfx.Bits() > most || pfx.Bits() < 8:
		p.Add(at+".address", fmt.Sprintf("A subnet of /%d has no room for guests or is no subnet.", pfx.Bits()), fmt.Sprintf("a prefix from /8 to /%d", most))
	case !unicast(pfx.Addr()):
		p.Add(at+".address", s.Address+" is not an address that a host can have.", "for example "+example)
	case pfx.Addr() == net.Addr():
		p.Add(at+".address", s.Address+" is the subnet itself; the gateway must be an address in it.", net.Addr().Next().String()+fmt.Sprintf("/%d", pfx.Bits()))
	case !six && pfx.Addr() == last(net):
		p.Add(at+".address", s.Address+" is the broadcast address of its subnet.", net.Addr().Next().String()+fmt.Sprintf("/%d", pfx.Bits()))
	}
	if s.DHCP != nil {
		s.DHCP.validate(p, at+".dhcp", pfx, six)
	}
}

func unicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// last is the last address of a subnet.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (d *DHCP) validate(p *Problems, at string, gw netip.Prefix, six bool) {
	net := gw.Masked()
	inside := func(field, s string) (netip.Addr, bool) {
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			p.Add(field, "“"+s+"” is not an address.", "an address in "+net.String())
		case !net.Contains(a):
			p.Add(field, s+" is not in the subnet "+net.String()+".", "an address in "+net.String())
		case a == net.Addr() || !six && a == last(net):
			p.Add(field, s+" is the first or last address of its subnet, which no guest can have.", "an address between them")
		default:
			return a, true
		}
		return a, false
	}
	type span struct{ from, to netip.Addr }
	var spans []span
	for i, r := range d.Ranges {
		f := fmt.Sprintf("%s.ranges.%d", at, i)
		from, ok1 := inside(f+".start", r.Start)
		to, ok2 := inside(f+".end", r.End)
		if !ok1 || !ok2 {
			continue
		}
		if to.Less(from) {
			p.Add(f+".end", "The range ends before it starts.", r.Start+" or a later address")
			continue
		}
		if !gw.Addr().Less(from) && !to.Less(gw.Addr()) {
			p.Add(f+".start", "The range holds the gateway "+gw.Addr().String()+".", "a range beside it")
		}
		for _, x := range spans {
			if !x.to.Less(from) && !to.Less(x.from) {
				p.Add(f+".start", "Two ranges overlap.", "ranges beside each other")
			}
		}
		spans = append(spans, span{from, to})
	}
	if len(d.Hosts) > maxStatics {
		p.Add(at+".hosts", "That is too many static leases.", fmt.Sprintf("at most %d", maxStatics))
	}
	taken := map[string]bool{}
	for i, h := range d.Hosts {
		h.validate(p, fmt.Sprintf("%s.hosts.%d", at, i), six, taken)
		if a, ok := inside(fmt.Sprintf("%s.hosts.%d.ip", at, i), h.IP); ok && a == gw.Addr() {
			p.Add(fmt.Sprintf("%s.hosts.%d.ip", at, i), h.IP+" is the gateway.", "another address in "+net.String())
		}
	}
}

func (h DHCPHost) validate(p *Problems, at string, six bool, taken map[string]bool) {
	if h.MAC != "" {
		if _, ok := ParseMAC(h.MAC); !ok {
			p.Add(at+".mac", "“"+h.MAC+"” is not a MAC address.", "six pairs such as 52:54:00:12:34:56")
		}
		if six {
			p.Add(at+".mac", "IPv6 does not know a card by its MAC.", "the guest's name or its client id")
		}
	} else if !six {
		p.Add(at+".mac", "A static lease needs the card's MAC address.", "six pairs such as 52:54:00:12:34:56")
	}
	if six && h.Name == "" && h.ID == "" {
		p.Add(at+".name", "A static lease needs the guest's name or client id.", "one of the two")
	}
	if h.Name != "" && !dnsNameRE.MatchString(h.Name) {
		p.Add(at+".name", "“"+h.Name+"” is not a host name.", "letters, digits and hyphens")
	}
	if strings.ContainsAny(h.ID, "\n\x00<>") || len(h.ID) > 255 {
		p.Add(at+".id", "That is not a client id.", "as the guest's lease shows it")
	}
	for _, k := range []string{"ip " + h.IP, "mac " + strings.ToLower(h.MAC)} {
		if taken[k] && !strings.HasSuffix(k, " ") {
			p.Add(at+"."+strings.Fields(k)[0], "Two static leases share "+strings.Fields(k)[1]+".", "each once")
		}
		taken[k] = true
	}
}

func (d *NetworkDNS) validate(p *Problems) {
	if d == nil {
		return
	}
	for i, f := range d.Forwarders {
		if _, err := netip.ParseAddr(f); err != nil {
			p.Add(fmt.Sprintf("dns.forwarders.%d", i), "“"+f+"” is not the address of a name server.", "for example 9.9.9.9")
		}
	}
	for i, h := range d.Hosts {
		at := fmt.Sprintf("dns.hosts.%d", i)
		if _, err := netip.ParseAddr(h.IP); err != nil {
			p.Add(at+".ip", "“"+h.IP+"” is not an address.", "for example 192.168.50.1")
		}
		if len(h.Names) == 0 {
			p.Add(at+".names", "An address needs a name.", "for example gw.lab")
		}
		for _, n := range h.Names {
			if !dnsNameRE.MatchString(n) {
				p.Add(at+".names", "“"+n+"” is not a name.", "for example gw.lab")
			}
		}
	}
	for i, s := range d.SRV {
		at := fmt.Sprintf("dns.srv.%d", i)
		if !serviceRE.MatchString(s.Service) {
			p.Add(at+".service", "“"+s.Service+"” is not a service.", "for example ldap, without the underscore")
		}
		oneOf(p, at+".protocol", s.Protocol, "tcp", "udp")
		for _, n := range []string{s.Domain, s.Target} {
			if n != "" && !dnsNameRE.MatchString(n) {
				p.Add(at+".target", "“"+n+"” is not a name.", "for example dc1.lab")
			}
		}
		if s.Target != "" && (s.Port < 1 || s.Port > 65535) || s.Priority < 0 || s.Priority > 65535 || s.Weight < 0 || s.Weight > 65535 {
			p.Add(at+".port", "Port, priority and weight are numbers up to 65535, and a target needs a port.", "for example 389")
		}
	}
	for i, t := range d.TXT {
		at := fmt.Sprintf("dns.txt.%d", i)
		if !dnsNameRE.MatchString(t.Name) {
			p.Add(at+".name", "“"+t.Name+"” is not a name.", "for example example.lab")
		}
		if len(t.Value) == 0 || len(t.Value) > 255 || strings.ContainsAny(t.Value, "\n\r\x00") {
			p.Add(at+".value", "That is not a text record.", "one line of at most 255 characters")
		}
	}
}

// CheckBeside refuses a network that would clash with others of its host: a name, a bridge or a subnet that is taken. The network itself, by UUID or
// name, is left out when it is edited.
func (s NetworkSpec) CheckBeside(hostName string, others []Network, editing bool) error {
	var p Problems
	for _, o := range others {
		if o.Name == s.Name {
			if !editing {
				p.Add("name", fmt.Sprintf("%s has a network %s already.", hostName, o.Name), "another name")
			}
			continue
		}
		if s.OwnBridge() && s.Bridge != "" && o.Bridge == s.Bridge {
			p.Add("bridge", fmt.Sprintf("The bridge %s on %s belongs to the network %s.", s.Bridge, hostName, o.Name), "another name, or nothing to have one chosen")
		}
		theirs := o.Spec.Subnets()
		if len(theirs) == 0 && o.CIDR != "" {
			if pfx, err := netip.ParsePrefix(o.CIDR); err == nil {
				theirs = append(theirs, pfx.Masked())
			}
		}
		for _, mine := range s.Subnets() {
			for _, pfx := range theirs {
				if mine.Overlaps(pfx) {
					field := "ipv4.address"
					if mine.Addr().Is6() {
						field = "ipv6.address"
					}
					p.Add(field, fmt.Sprintf("%s overlaps %s of the network %s on %s.", mine, pfx, o.Name, hostName), "a subnet that no other network of the host has")
				}
			}
		}
	}
	if len(p) == 0 {
		return nil
	}
	err := p.Err().(*Error)
	err.Code = Conflict
	return err
}
