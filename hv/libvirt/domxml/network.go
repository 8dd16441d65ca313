package domxml

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"novacron/domain"
)

// ParseNetwork reads a network document. Active and Autostart are not in it.
func ParseNetwork(doc string) (domain.Network, error) {
	d, err := read(doc, "network")
	if err != nil {
		return domain.Network{}, err
	}
	s := parseNetwork(d.root)
	n := domain.Network{UUID: s.UUID, Name: s.Name, Mode: s.Mode, Bridge: cmp.Or(s.Bridge, s.Device), Spec: s, XML: doc}
	for _, ip := range d.root.all("ip") {
		if n.CIDR = cidr(ip); n.CIDR != "" {
			break
		}
	}
	return n, nil
}

func parseNetwork(r *node) domain.NetworkSpec {
	f := r.kid("forward")
	s := domain.NetworkSpec{
		Name: r.kid("name").text, UUID: strings.ToLower(r.kid("uuid").value()), Mode: domain.NetIsolated, Bridge: r.kid("bridge").attr("name"),
		Device: cmp.Or(f.attr("dev"), f.kid("interface").attr("dev")), Domain: r.kid("domain").attr("name"), MTU: number(r.kid("mtu").attr("size")),
		VLAN: parseVLAN(r.kid("vlan")), Inbound: parseBandwidth(r.at("bandwidth", "inbound")), Outbound: parseBandwidth(r.at("bandwidth", "outbound")),
		DNS: parseDNS(r.kid("dns")),
	}
	if f.exists() {
		s.Mode = cmp.Or(f.attr("mode"), domain.NetNAT)
	}
	switch {
	case s.Mode == "bridge" && s.Bridge != "" && r.kid("virtualport").attr("type") == "openvswitch":
		s.Mode = domain.NetOVS
	case s.Mode == "bridge" && s.Bridge == "", s.Mode == "private", s.Mode == "vepa", s.Mode == "passthrough":
		s.MacvtapMode, s.Mode = s.Mode, domain.NetMacvtap
	}
	for _, g := range r.all("portgroup") {
		s.PortGroups = append(s.PortGroups, domain.PortGroup{Name: g.attr("name"), Default: g.attr("default") == "yes", VLAN: parseVLAN(g.kid("vlan")),
			Inbound: parseBandwidth(g.at("bandwidth", "inbound")), Outbound: parseBandwidth(g.at("bandwidth", "outbound"))})
	}
	for _, ip := range r.all("ip") {
		sub := parseSubnet(ip)
		switch six := strings.Contains(sub.Address, ":"); {
		case sub.Address == "":
		case six && s.IPv6 == nil:
			s.IPv6 = sub
		case !six && s.IPv4 == nil:
			s.IPv4 = sub
		}
	}
	return s
}

func cidr(ip *node) string {
	addr, err := netip.ParseAddr(ip.attr("address"))
	if err != nil {
		return ""
	}
	bits, err := strconv.Atoi(ip.attr("prefix"))
	if err != nil {
		bits = addr.BitLen()
		if mask := net.ParseIP(ip.attr("netmask")).To4(); mask != nil && addr.Is4() {
			bits, _ = net.IPMask(mask).Size()
		}
	}
	if p := netip.PrefixFrom(addr, bits); p.IsValid() {
		return p.String()
	}
	return ""
}

func parseSubnet(ip *node) *domain.Subnet {
	s := &domain.Subnet{Address: cidr(ip)}
	d := ip.kid("dhcp")
	if !d.exists() {
		return s
	}
	s.DHCP = &domain.DHCP{}
	for _, r := range d.all("range") {
		s.DHCP.Ranges = append(s.DHCP.Ranges, domain.IPRange{Start: r.attr("start"), End: r.attr("end")})
	}
	for _, h := range d.all("host") {
		s.DHCP.Hosts = append(s.DHCP.Hosts, domain.DHCPHost{MAC: strings.ToLower(h.attr("mac")), ID: h.attr("id"), Name: h.attr("name"), IP: h.attr("ip")})
	}
	return s
}

func parseDNS(n *node) *domain.NetworkDNS {
	if !n.exists() {
		return nil
	}
	d := &domain.NetworkDNS{Disabled: n.attr("enable") == "no"}
	for _, f := range n.all("forwarder") {
		if a := f.attr("addr"); a != "" {
			d.Forwarders = append(d.Forwarders, a)
		}
	}
	for _, h := range n.all("host") {
		one := domain.DNSHost{IP: h.attr("ip")}
		for _, name := range h.all("hostname") {
			one.Names = append(one.Names, name.value())
		}
		d.Hosts = append(d.Hosts, one)
	}
	for _, s := range n.all("srv") {
		d.SRV = append(d.SRV, domain.DNSSRV{Service: s.attr("service"), Protocol: s.attr("protocol"), Domain: s.attr("domain"), Target: s.attr("target"),
			Port: number(s.attr("port")), Priority: number(s.attr("priority")), Weight: number(s.attr("weight"))})
	}
	for _, t := range n.all("txt") {
		d.TXT = append(d.TXT, domain.DNSTXT{Name: t.attr("name"), Value: t.attr("value")})
	}
	if !d.Disabled && len(d.Forwarders)+len(d.Hosts)+len(d.SRV)+len(d.TXT) == 0 {
		return nil
	}
	return d
}

func parseVLAN(n *node) *domain.VLAN {
	if !n.exists() {
		return nil
	}
	v := &domain.VLAN{Trunk: n.attr("trunk") == "yes"}
	for _, t := range n.all("tag") {
		id := number(t.attr("id"))
		v.Tags = append(v.Tags, id)
		if t.attr("nativeMode") == "untagged" {
			v.Native = id
		}
	}
	v.Trunk = v.Trunk || len(v.Tags) > 1
	return v
}

func parseBandwidth(n *node) *domain.Bandwidth {
	if !n.exists() {
		return nil
	}
	return &domain.Bandwidth{Average: number(n.attr("average")), Peak: number(n.attr("peak")), Burst: number(n.attr("burst"))}
}

// networkParts are the elements that a spec decides, in the order of a new document.
var networkParts = []string{"forward", "bridge", "virtualport", "mtu", "domain", "dns", "bandwidth", "vlan", "portgroup", "ip"}

// NetworkXML is a new network.
func NetworkXML(s domain.NetworkSpec) string {
	var w writer
	w.open("network")
	w.text("name", s.Name)
	if s.UUID != "" {
		w.text("uuid", s.UUID)
	}
	for _, part := range networkParts {
		if p := networkPart(s, part); p != "" {
			w.raw(p)
		}
	}
	w.close("network")
	return w.b.String()
}

// networkPart makes all elements of one name; "" when the spec has none.
func networkPart(s domain.NetworkSpec, part string) string {
	var w writer
	switch part {
	case "forward":
		w.forward(s)
	case "bridge":
		switch {
		case s.Mode == domain.NetBridge || s.Mode == domain.NetOVS:
			w.empty("bridge", "name", s.Bridge)
		case s.OwnBridge():
			w.empty("bridge", "name", s.Bridge, "stp", "on", "delay", "0")
		}
	case "virtualport":
		if s.Mode == domain.NetOVS {
			w.empty("virtualport", "type", "openvswitch")
		}
	case "mtu":
		if s.MTU != 0 {
			w.empty("mtu", "size", strconv.Itoa(s.MTU))
		}
	case "domain":
		if s.Domain != "" {
			w.empty("domain", "name", s.Domain)
		}
	case "dns":
		w.dns(s.DNS)
	case "bandwidth":
		w.bandwidth(s.Inbound, s.Outbound)
	case "vlan":
		w.vlan(s.VLAN)
	case "portgroup":
		for _, g := range s.PortGroups {
			w.open("portgroup", "name", g.Name, "default", yesOrNone(g.Default))
			w.vlan(g.VLAN)
			w.bandwidth(g.Inbound, g.Outbound)
			w.close("portgroup")
		}
	case "ip":
		w.subnet(s.IPv4, "")
		w.subnet(s.IPv6, "ipv6")
	}
	return strings.TrimSuffix(w.b.String(), "\n")
}

func yesOrNone(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func (w *writer) forward(s domain.NetworkSpec) {
	switch s.Mode {
	case domain.NetIsolated:
	case domain.NetMacvtap:
		w.open("forward", "mode", cmp.Or(s.MacvtapMode, "bridge"), "dev", s.Device)
		w.empty("interface", "dev", s.Device)
		w.close("forward")
	case domain.NetOVS:
		w.empty("forward", "mode", "bridge")
	case domain.NetNAT:
		if s.IPv6 == nil {
			w.empty("forward", "mode", "nat", "dev", s.Device)
			return
		}
		w.open("forward", "mode", "nat", "dev", s.Device)
		w.empty("nat", "ipv6", "yes")
		w.close("forward")
	default:
		w.empty("forward", "mode", s.Mode, "dev", s.Device)
	}
}

func (w *writer) dns(d *domain.NetworkDNS) {
	if d == nil {
		return
	}
	if d.Disabled {
		w.empty("dns", "enable", "no")
		return
	}
	if len(d.Forwarders)+len(d.Hosts)+len(d.SRV)+len(d.TXT) == 0 {
		return
	}
	w.open("dns")
	for _, f := range d.Forwarders {
		w.empty("forwarder", "addr", f)
	}
	for _, t := range d.TXT {
		w.raw(dnsTXTXML(t))
	}
	for _, s := range d.SRV {
		w.raw(dnsSRVXML(s))
	}
	for _, h := range d.Hosts {
		w.raw(dnsHostXML(h))
	}
	w.close("dns")
}

func dnsTXTXML(t domain.DNSTXT) string {
	return element("txt", "", "name", t.Name, "value", t.Value)
}

func dnsSRVXML(s domain.DNSSRV) string {
	n := func(v int) string {
		if v == 0 {
			return ""
		}
		return strconv.Itoa(v)
	}
	return element("srv", "", "service", s.Service, "protocol", s.Protocol, "domain", s.Domain, "target", s.Target, "port", n(s.Port), "priority", n(s.Priority), "weight", n(s.Weight))
}

func dnsHostXML(h domain.DNSHost) string {
	var w writer
	w.open("host", "ip", h.IP)
	for _, n := range h.Names {
		w.text("hostname", n)
	}
	w.close("host")
	return strings.TrimSuffix(w.b.String(), "\n")
}

func (w *writer) bandwidth(in, out *domain.Bandwidth) {
	if in == nil && out == nil {
		return
	}
	w.open("bandwidth")
	for _, d := range []struct {
		name string
		b    *domain.Bandwidth
	}{{"inbound", in}, {"outbound", out}} {
		if d.b == nil {
			continue
		}
		n := func(v int) string {
			if v == 0 {
				return ""
			}
			return strconv.Itoa(v)
		}
		w.empty(d.name, "average", n(d.b.Average), "peak", n(d.b.Peak), "burst", n(d.b.Burst))
	}
	w.close("bandwidth")
}

func (w *writer) vlan(v *domain.VLAN) {
	if v == nil || len(v.Tags) == 0 {
		return
	}
	w.open("vlan", "trunk", yesOrNone(v.Trunk))
	for _, t := range v.Tags {
		native := ""
		if v.Native == t {
			native = "untagged"
		}
		w.empty("tag", "id", strconv.Itoa(t), "nativeMode", native)
	}
	w.close("vlan")
}

func (w *writer) subnet(s *domain.Subnet, family string) {
	if s == nil {
		return
	}
	p, err := netip.ParsePrefix(s.Address)
	if err != nil {
		return // checked before
	}
	attrs := []string{"family", family, "address", p.Addr().String(), "prefix", strconv.Itoa(p.Bits())}
	if s.DHCP == nil || len(s.DHCP.Ranges)+len(s.DHCP.Hosts) == 0 {
		w.empty("ip", attrs...)
		return
	}
	w.open("ip", attrs...)
	w.open("dhcp")
	for _, r := range s.DHCP.Ranges {
		w.raw(rangeXML(r))
	}
	for _, h := range s.DHCP.Hosts {
		w.raw(dhcpHostXML(h))
	}
	w.close("dhcp")
	w.close("ip")
}

func rangeXML(r domain.IPRange) string { return element("range", "", "start", r.Start, "end", r.End) }

func dhcpHostXML(h domain.DHCPHost) string {
	return element("host", "", "id", h.ID, "mac", h.MAC, "name", h.Name, "ip", h.IP)
}
