package networks

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
	"novacron/views/ui"
)

// Form is the form of a network as typed. The names of its fields are those of domain.NetworkSpec's JSON in dotted form; lists are typed one entry
// to a line, and an error of an entry is told at the list with the line's number.
type Form struct {
	Name, Mode, Bridge, Device, MacvtapMode string
	Hosts                                   []string
	V4, V6                                  SubnetForm
	Domain                                  string
	DNSOff                                  string // "1": no name server
	Forwarders, DNSHosts, SRV, TXT          string
	MTU                                     string
	VLAN                                    string // "42", or "10, 20, 30 native 10"
	PortGroups                              string
	In, Out                                 string // "10 MiB/s", or "10 MiB/s peak 20 MiB/s burst 1 MiB"
	Start, Autostart                        string
	Only                                    string // "1": on this host alone
}

// SubnetForm is a subnet as typed.
type SubnetForm struct{ Address, Ranges, Statics string }

// NewForm has the defaults that make the common case a name and a click.
func NewForm(hosts []HostChoice) Form {
	f := Form{Mode: domain.NetNAT, Start: "1", Autostart: "1"}
	for _, h := range hosts {
		if h.Why == "" {
			f.Hosts = append(f.Hosts, h.ID)
			break
		}
	}
	return f
}

// Filled is the form of a network as it is.
func Filled(s domain.NetworkSpec) Form {
	f := Form{Name: s.Name, Mode: s.Mode, Bridge: s.Bridge, Device: s.Device, MacvtapMode: s.MacvtapMode, Domain: s.Domain, VLAN: vlanText(s.VLAN), In: limitText(s.Inbound), Out: limitText(s.Outbound)}
	if s.MTU != 0 {
		f.MTU = strconv.Itoa(s.MTU)
	}
	f.V4, f.V6 = subnetForm(s.IPv4), subnetForm(s.IPv6)
	if d := s.DNS; d != nil {
		f.DNSOff = tick(d.Disabled)
		f.Forwarders = strings.Join(d.Forwarders, "\n")
		f.DNSHosts = eachLine(d.Hosts, domain.DNSHost.String)
		f.SRV = eachLine(d.SRV, srvText)
		f.TXT = eachLine(d.TXT, domain.DNSTXT.String)
	}
	f.PortGroups = eachLine(s.PortGroups, groupText)
	return f
}

func subnetForm(s *domain.Subnet) SubnetForm {
	if s == nil {
		return SubnetForm{}
	}
	f := SubnetForm{Address: s.Address}
	if s.DHCP != nil {
		f.Ranges = eachLine(s.DHCP.Ranges, func(r domain.IPRange) string { return r.Start + " - " + r.End })
		f.Statics = eachLine(s.DHCP.Hosts, staticText)
	}
	return f
}

func eachLine[T any](list []T, show func(T) string) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = show(v)
	}
	return strings.Join(out, "\n")
}

func staticText(h domain.DHCPHost) string {
	parts := []string{h.MAC}
	if h.ID != "" {
		parts = append(parts, "id:"+h.ID)
	}
	return strings.Join(slices.DeleteFunc(append(parts, h.IP, h.Name), func(s string) bool { return s == "" }), " ")
}

func srvText(s domain.DNSSRV) string {
	out := fmt.Sprintf("_%s._%s", s.Service, s.Protocol)
	if s.Domain != "" {
		out += "." + s.Domain
	}
	if s.Target == "" {
		return out
	}
	out += fmt.Sprintf(" %s:%d", s.Target, s.Port)
	if s.Priority != 0 || s.Weight != 0 {
		out += fmt.Sprintf(" %d %d", s.Priority, s.Weight)
	}
	return out
}

func vlanText(v *domain.VLAN) string {
	if v == nil {
		return ""
	}
	tags := make([]string, len(v.Tags))
	for i, t := range v.Tags {
		tags[i] = strconv.Itoa(t)
	}
	out := strings.Join(tags, ", ")
	if v.Trunk && len(v.Tags) == 1 {
		out = "trunk " + out
	}
	if v.Native != 0 {
		out += " native " + strconv.Itoa(v.Native)
	}
	return out
}

// LimitText writes a limit as one would type it.
func LimitText(b *domain.Bandwidth) string { return limitText(b) }

func limitText(b *domain.Bandwidth) string {
	if b == nil || b.Average == 0 {
		return ""
	}
	kib := func(n int) string { return domain.FormatBytes(int64(n) * domain.KiB) }
	exact := func(n int) string { // what is typed must come back as it was
		if s := kib(n); parsed(s) == n {
			return s
		}
		return strconv.Itoa(n) + " KiB"
	}
	out := exact(b.Average) + "/s"
	if b.Peak != 0 {
		out += " peak " + exact(b.Peak) + "/s"
	}
	if b.Burst != 0 {
		out += " burst " + exact(b.Burst)
	}
	return out
}

func parsed(s string) int {
	n, err := domain.ParseBytes(s)
	if err != nil || n%domain.KiB != 0 {
		return -1
	}
	return int(n / domain.KiB)
}

func groupText(g domain.PortGroup) string {
	out := g.Name
	if g.Default {
		out += "; default"
	}
	if v := vlanText(g.VLAN); v != "" {
		out += "; vlan " + v
	}
	if l := limitText(g.Inbound); l != "" {
		out += "; in " + l
	}
	if l := limitText(g.Outbound); l != "" {
		out += "; out " + l
	}
	return out
}

// Decode reads the form back.
func Decode(v url.Values) Form {
	get := func(k string) string { return strings.TrimSpace(strings.ReplaceAll(v.Get(k), "\r\n", "\n")) }
	subnet := func(p string) SubnetForm {
		return SubnetForm{Address: get(p + ".address"), Ranges: get(p + ".dhcp.ranges"), Statics: get(p + ".dhcp.hosts")}
	}
	return Form{
		Name: get("name"), Mode: get("mode"), Bridge: get("bridge"), Device: get("device"), MacvtapMode: get("macvtap_mode"), Hosts: v["hosts"], V4: subnet("ipv4"), V6: subnet("ipv6"),
		Domain: get("domain"), DNSOff: get("dns.disabled"), Forwarders: get("dns.forwarders"), DNSHosts: get("dns.hosts"), SRV: get("dns.srv"), TXT: get("dns.txt"),
		MTU: get("mtu"), VLAN: get("vlan"), PortGroups: get("port_groups"), In: get("bandwidth_in"), Out: get("bandwidth_out"), Start: get("start"), Autostart: get("autostart"), Only: get("only"),
	}
}

// Spec gives what was typed, leaving out what the mode has no place for: the form hides those fields. What cannot be read is told of its field.
func (f Form) Spec() (domain.NetworkSpec, error) {
	var p domain.Problems
	s := domain.NetworkSpec{Name: f.Name, Mode: f.Mode}
	own := s.OwnBridge()
	switch {
	case f.Mode == domain.NetMacvtap:
		s.Device, s.MacvtapMode = f.Device, f.MacvtapMode
	default:
		s.Bridge = f.Bridge
		if f.Mode == domain.NetNAT || f.Mode == domain.NetRoute {
			s.Device = f.Device
		}
	}
	if own {
		s.IPv4, s.IPv6 = f.V4.subnet(&p, "ipv4"), f.V6.subnet(&p, "ipv6")
		s.Domain, s.DNS = f.Domain, f.dns(&p)
		s.Inbound, s.Outbound = ReadLimit(&p, "bandwidth_in", f.In), ReadLimit(&p, "bandwidth_out", f.Out)
		if f.MTU != "" {
			n, err := strconv.Atoi(f.MTU)
			if err != nil {
				p.Add("mtu", "“"+f.MTU+"” is not a number.", "a whole number such as 1450, or nothing for the usual")
			}
			s.MTU = n
		}
	}
	if f.Mode == domain.NetOVS {
		s.VLAN = ReadVLAN(&p, "vlan", f.VLAN)
	}
	s.PortGroups = f.portGroups(&p)
	if e, ok := s.Validate().(*domain.Error); ok && e != nil {
		p = append(p, e.Fields...)
	}
	if err := p.Err(); err != nil {
		return s, atLists(err)
	}
	return s, nil
}

// Lines gives the lines of a list that say something.
func lines(s string) []string {
	var out []string
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

func (f SubnetForm) subnet(p *domain.Problems, at string) *domain.Subnet {
	if f.Address == "" {
		if f.Ranges != "" || f.Statics != "" {
			p.Add(at+".address", "Addresses are given out, but the host has none of its own there.", "the host's address with its prefix")
		}
		return nil
	}
	s := &domain.Subnet{Address: f.Address}
	if f.Ranges == "" && f.Statics == "" {
		return s
	}
	s.DHCP = &domain.DHCP{}
	for i, l := range lines(f.Ranges) {
		from, to, ok := strings.Cut(l, "-")
		if !ok {
			if parts := strings.Fields(l); len(parts) == 2 {
				from, to, ok = parts[0], parts[1], true
			}
		}
		if !ok {
			p.Add(fmt.Sprintf("%s.dhcp.ranges.%d", at, i), "“"+l+"” is not a range.", "two addresses such as 192.168.50.100 - 192.168.50.199")
			continue
		}
		s.DHCP.Ranges = append(s.DHCP.Ranges, domain.IPRange{Start: strings.TrimSpace(from), End: strings.TrimSpace(to)})
	}
	for _, l := range lines(f.Statics) {
		s.DHCP.Hosts = append(s.DHCP.Hosts, readStatic(l))
	}
	return s
}

// readStatic tells the words of a static lease apart by what they look like, so that their order does not matter.
func readStatic(l string) domain.DHCPHost {
	var h domain.DHCPHost
	for _, w := range strings.Fields(l) {
		id, isID := strings.CutPrefix(w, "id:")
		mac, isMAC := domain.ParseMAC(w)
		switch {
		case isID:
			h.ID = id
		case isMAC:
			h.MAC = mac
		case h.IP == "" && (strings.Count(w, ".") == 3 || strings.Count(w, ":") > 1) && !strings.ContainsAny(w, "ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ_"):
			h.IP = w
		default:
			h.Name = w
		}
	}
	return h
}

func (f Form) dns(p *domain.Problems) *domain.NetworkDNS {
	d := domain.NetworkDNS{Disabled: f.DNSOff == "1"}
	if d.Disabled {
		return &d
	}
	d.Forwarders = lines(strings.NewReplacer(",", "\n", " ", "\n").Replace(f.Forwarders))
	for _, l := range lines(f.DNSHosts) {
		parts := strings.Fields(l)
		d.Hosts = append(d.Hosts, domain.DNSHost{IP: parts[0], Names: parts[1:]})
	}
	for i, l := range lines(f.SRV) {
		s, ok := readSRV(l)
		if !ok {
			p.Add(fmt.Sprintf("dns.srv.%d", i), "“"+l+"” is not a service.", "for example _ldap._tcp.lab dc1.lab:389 10 5")
		}
		d.SRV = append(d.SRV, s)
	}
	for _, l := range lines(f.TXT) {
		name, value, _ := strings.Cut(l, "=")
		d.TXT = append(d.TXT, domain.DNSTXT{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	if len(d.Forwarders)+len(d.Hosts)+len(d.SRV)+len(d.TXT) == 0 {
		return nil
	}
	return &d
}

// readSRV reads "_service._protocol.domain target:port priority weight".
func readSRV(l string) (s domain.DNSSRV, ok bool) {
	parts := strings.Fields(l)
	service, rest, found := strings.Cut(strings.TrimPrefix(parts[0], "_"), "._")
	if !found || len(parts) > 4 {
		return s, false
	}
	s.Service = service
	s.Protocol, s.Domain, _ = strings.Cut(rest, ".")
	if len(parts) == 1 {
		return s, true
	}
	target, port, _ := strings.Cut(parts[1], ":")
	s.Target = target
	for i, to := range []*int{&s.Port, &s.Priority, &s.Weight} {
		text := port
		if i > 0 {
			if len(parts) <= i+1 {
				break
			}
			text = parts[i+1]
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return s, false
		}
		*to = n
	}
	return s, true
}

// ReadVLAN reads "42", "10, 20, 30 native 10" or "trunk 10"; nothing is no VLAN.
func ReadVLAN(p *domain.Problems, field, text string) *domain.VLAN {
	if text == "" {
		return nil
	}
	v := &domain.VLAN{}
	native := false
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '(' || r == ')' }) {
		n, err := strconv.Atoi(w)
		switch {
		case strings.EqualFold(w, "trunk"):
			v.Trunk = true
		case strings.EqualFold(w, "vlan"):
		case strings.EqualFold(w, "native"):
			native = true
		case err != nil:
			p.Add(field, "“"+text+"” is not a VLAN.", "a tag such as 42, or a trunk such as 10, 20, 30 native 10")
			return nil
		case native:
			v.Native, v.Trunk, native = n, true, false
		default:
			v.Tags = append(v.Tags, n)
		}
	}
	v.Trunk = v.Trunk || len(v.Tags) > 1
	return v
}

// ReadLimit reads "10 MiB/s peak 20 MiB/s burst 1 MiB"; nothing is no limit.
func ReadLimit(p *domain.Problems, field, text string) *domain.Bandwidth {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	const want = "a size for each second such as 10 MiB/s, and if wanted peak 20 MiB/s and burst 1 MiB"
	b := &domain.Bandwidth{}
	to, size := &b.Average, ""
	flush := func() bool {
		n, err := domain.ParseBytes(strings.TrimSpace(strings.ReplaceAll(size, "/s", "")))
		if err != nil || n < domain.KiB && n != 0 {
			return false
		}
		*to, size = int(n/domain.KiB), ""
		return true
	}
	for _, w := range strings.Fields(strings.NewReplacer(",", " ", "at peak", "peak", "bursts of", "burst").Replace(text)) {
		switch strings.ToLower(w) {
		case "peak", "burst":
			if !flush() {
				p.Add(field, "“"+text+"” is not a limit.", want)
				return nil
			}
			to = map[string]*int{"peak": &b.Peak, "burst": &b.Burst}[strings.ToLower(w)]
		default:
			size += " " + w
		}
	}
	if !flush() {
		p.Add(field, "“"+text+"” is not a limit.", want)
		return nil
	}
	return b
}

// portGroups reads "name; default; vlan 42; in 10 MiB/s; out 5 MiB/s", one to a line.
func (f Form) portGroups(p *domain.Problems) []domain.PortGroup {
	var out []domain.PortGroup
	for i, l := range lines(f.PortGroups) {
		field := fmt.Sprintf("port_groups.%d", i)
		parts := strings.Split(l, ";")
		g := domain.PortGroup{Name: strings.TrimSpace(parts[0])}
		for _, part := range parts[1:] {
			word, rest, _ := strings.Cut(strings.TrimSpace(part), " ")
			switch strings.ToLower(word) {
			case "":
			case "default":
				g.Default = true
			case "vlan", "trunk":
				if strings.EqualFold(word, "trunk") {
					rest = "trunk " + rest
				}
				g.VLAN = ReadVLAN(p, field+".vlan", rest)
			case "in":
				g.Inbound = ReadLimit(p, field+".bandwidth_in", rest)
			case "out":
				g.Outbound = ReadLimit(p, field+".bandwidth_out", rest)
			default:
				p.Add(field, "“"+strings.TrimSpace(part)+"” says nothing about a port group.", "default, vlan 42, in 10 MiB/s or out 10 MiB/s")
			}
		}
		out = append(out, g)
	}
	return out
}

// lists are the fields that are typed one entry to a line.
var lists = []string{"ipv4.dhcp.ranges", "ipv4.dhcp.hosts", "ipv6.dhcp.ranges", "ipv6.dhcp.hosts", "dns.forwarders", "dns.hosts", "dns.srv", "dns.txt", "port_groups"}

// atLists moves what is wrong with an entry to its list, with the line's number, and what is wrong with a part of a field to the field.
func atLists(err error) error {
	e, ok := err.(*domain.Error)
	if !ok {
		return err
	}
	for i, x := range e.Fields {
		for _, l := range lists {
			rest, in := strings.CutPrefix(x.Field, l+".")
			if !in {
				continue
			}
			number, _, _ := strings.Cut(rest, ".")
			if n, err := strconv.Atoi(number); err == nil {
				e.Fields[i].Field, e.Fields[i].Msg = l, fmt.Sprintf("Line %d: %s", n+1, x.Msg)
			}
		}
		for _, f := range []string{"vlan", "bandwidth_in", "bandwidth_out"} {
			if strings.HasPrefix(x.Field, f+".") {
				e.Fields[i].Field = f
			}
		}
	}
	return e
}

// AtLists does for errors of others what Spec does for its own.
func AtLists(err error) error { return atLists(err) }

func modeOptions() []ui.Option {
	out := make([]ui.Option, len(domain.NetworkModes))
	for i, m := range domain.NetworkModes {
		out[i] = ui.Option{Value: m, Label: modeWord(m) + ": " + firstSentence(modeMeans[m])}
	}
	return out
}

func firstSentence(s string) string {
	s, _, _ = strings.Cut(s, ";")
	s, _, _ = strings.Cut(s, ". ")
	return strings.ToLower(s[:1]) + strings.TrimSuffix(s[1:], ".")
}

var sharingOptions = []ui.Option{
	{Value: "", Label: "bridge: guests of the host reach each other"}, {Value: "private", Label: "private: guests of the host do not reach each other"},
	{Value: "vepa", Label: "vepa: the switch outside passes what guests send each other"}, {Value: "passthrough", Label: "passthrough: one guest has the device for itself"},
}
