package domain

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// NICChange changes one card of a VM; nil fields stay. Link, limits, filter and where it is plugged in change while the VM runs; the model does
// at the next start.
type NICChange struct {
	MAC          string     `json:"mac"`
	Network      *string    `json:"network,omitempty"` // moves the card; set Bridge or Network, not both
	Bridge       *string    `json:"bridge,omitempty"`
	OpenVSwitch  *bool      `json:"openvswitch,omitempty"`
	Model        *string    `json:"model,omitempty"`
	Down         *bool      `json:"down,omitempty"`
	BandwidthIn  *Bandwidth `json:"bandwidth_in,omitempty"` // an average of 0 takes the limit away
	BandwidthOut *Bandwidth `json:"bandwidth_out,omitempty"`
	VLAN         *VLAN      `json:"vlan,omitempty"` // no tags: takes it away
	Filter       *string    `json:"filter,omitempty"`
	// SecurityGroups are names or ids; an empty list takes the card out of all. They become the Filter before a host sees them.
	SecurityGroups *[]string `json:"security_groups,omitempty"`
}

// Empty reports whether nothing is asked for.
func (c NICChange) Empty() bool {
	return c.Network == nil && c.Bridge == nil && c.OpenVSwitch == nil && c.Model == nil && c.Down == nil && c.BandwidthIn == nil && c.BandwidthOut == nil &&
		c.VLAN == nil && c.Filter == nil && c.SecurityGroups == nil
}

// Apply gives the card as it would be.
func (c NICChange) Apply(n NIC) NIC {
	if c.Network != nil && *c.Network != "" {
		n.Network, n.Bridge, n.OpenVSwitch, n.PortGroup = *c.Network, "", false, ""
	}
	if c.Bridge != nil && *c.Bridge != "" {
		n.Bridge, n.Network, n.OpenVSwitch, n.PortGroup = *c.Bridge, "", false, ""
	}
	set(&n.OpenVSwitch, c.OpenVSwitch)
	set(&n.Model, c.Model)
	set(&n.Down, c.Down)
	set(&n.Filter, c.Filter)
	for _, b := range []struct {
		dst **Bandwidth
		src *Bandwidth
	}{{&n.BandwidthIn, c.BandwidthIn}, {&n.BandwidthOut, c.BandwidthOut}} {
		switch {
		case b.src == nil:
		case b.src.Average == 0:
			*b.dst = nil
		default:
			limit := *b.src
			*b.dst = &limit
		}
	}
	switch {
	case c.VLAN == nil:
	case len(c.VLAN.Tags) == 0:
		n.VLAN = nil
	default:
		n.VLAN = c.VLAN
	}
	if c.SecurityGroups != nil {
		n.SecurityGroups = *c.SecurityGroups
	}
	return n
}

// Back is the change that leads from the card as it became to the card as it was.
func (c NICChange) Back(was NIC) NICChange {
	b := NICChange{MAC: c.MAC}
	if c.Network != nil || c.Bridge != nil {
		if was.Network != "" {
			b.Network = &was.Network
		} else {
			b.Bridge, b.OpenVSwitch = &was.Bridge, &was.OpenVSwitch
		}
	}
	if c.OpenVSwitch != nil {
		b.OpenVSwitch = &was.OpenVSwitch
	}
	if c.Model != nil {
		b.Model = &was.Model
	}
	if c.Down != nil {
		b.Down = &was.Down
	}
	if c.Filter != nil {
		b.Filter = &was.Filter
	}
	limit := func(v *Bandwidth) *Bandwidth {
		if v == nil {
			return &Bandwidth{}
		}
		return v
	}
	if c.BandwidthIn != nil {
		b.BandwidthIn = limit(was.BandwidthIn)
	}
	if c.BandwidthOut != nil {
		b.BandwidthOut = limit(was.BandwidthOut)
	}
	if c.VLAN != nil {
		b.VLAN = was.VLAN
		if b.VLAN == nil {
			b.VLAN = &VLAN{}
		}
	}
	return b
}

// apply changes the card in the list and judges what comes of it.
func (c NICChange) apply(p *Problems, at string, nics []NIC) {
	i := slices.IndexFunc(nics, func(n NIC) bool { return strings.EqualFold(n.MAC, c.MAC) })
	if i < 0 {
		p.Add(at+".mac", "There is no card with the address "+c.MAC+".", "the MAC address of one of its cards")
		return
	}
	if c.Network != nil && *c.Network != "" && c.Bridge != nil && *c.Bridge != "" {
		p.Add(at+".network", "A card is on a network or on a bridge, one of the two.", "the name of a network, or of a bridge")
	}
	after := c.Apply(nics[i])
	// An adopted card may be of a kind that cannot be asked for; only what is asked for is judged.
	probe := NIC{Network: "x", BandwidthIn: c.BandwidthIn, BandwidthOut: c.BandwidthOut, Filter: "", SecurityGroups: after.SecurityGroups}
	if probe.BandwidthIn != nil && *probe.BandwidthIn == (Bandwidth{}) {
		probe.BandwidthIn = nil
	}
	if probe.BandwidthOut != nil && *probe.BandwidthOut == (Bandwidth{}) {
		probe.BandwidthOut = nil
	}
	if c.VLAN != nil && len(c.VLAN.Tags) > 0 {
		probe.VLAN = c.VLAN
	}
	if c.Model != nil {
		probe.Model = *c.Model
	}
	if c.Network != nil && *c.Network != "" {
		probe.Network = *c.Network
	}
	if c.Bridge != nil && *c.Bridge != "" {
		probe.Network, probe.Bridge = "", *c.Bridge
	}
	probe.validate(p, at)
	nics[i] = after
}

func (n NIC) validateMore(p *Problems, at string) {
	n.BandwidthIn.validate(p, at+".bandwidth_in")
	n.BandwidthOut.validate(p, at+".bandwidth_out")
	n.VLAN.validate(p, at+".vlan")
	if n.PortGroup != "" && !bridgeOK(n.PortGroup, 64) {
		p.Add(at+".port_group", "“"+n.PortGroup+"” is not a port group's name.", "a name that the network lists")
	}
	if n.Filter != "" && !wordRE.MatchString(n.Filter) {
		p.Add(at+".filter", "“"+n.Filter+"” is not a filter's name.", "a name that the host lists, such as clean-traffic")
	}
	if n.Filter != "" && len(n.SecurityGroups) > 0 {
		p.Add(at+".filter", "A card has security groups or a filter, not both.", "one of the two")
	}
	if len(n.SecurityGroups) > 16 {
		p.Add(at+".security_groups", "That is more than 16 security groups.", "at most 16")
	}
}

// validate checks a limit; an average of 0 with nothing else is no limit and must not be written.
func (b *Bandwidth) validate(p *Problems, at string) {
	if b == nil {
		return
	}
	const most = 1 << 31 / 8
	if b.Average < 1 || b.Average > most {
		p.Add(at+".average_kib", fmt.Sprintf("%d KiB/s is not a possible limit.", b.Average), "a whole number of KiB per second from 1 on, or nothing for no limit")
	}
	if b.Peak != 0 && (b.Peak < b.Average || b.Peak > most) {
		p.Add(at+".peak_kib", "The peak is less than the average.", fmt.Sprintf("at least %d", b.Average))
	}
	if b.Burst < 0 || b.Burst > most {
		p.Add(at+".burst_kib", fmt.Sprintf("%d KiB is not a possible burst.", b.Burst), "a whole number of KiB")
	}
}

func (v *VLAN) validate(p *Problems, at string) {
	if v == nil {
		return
	}
	if len(v.Tags) == 0 {
		p.Add(at+".tags", "A VLAN needs a tag.", "a number from 1 to 4094")
	}
	seen := map[int]bool{}
	for _, t := range v.Tags {
		if t < 1 || t > 4094 {
			p.Add(at+".tags", fmt.Sprintf("%d is not a VLAN.", t), "a number from 1 to 4094")
		}
		if seen[t] {
			p.Add(at+".tags", fmt.Sprintf("VLAN %d stands twice.", t), "each tag once")
		}
		seen[t] = true
	}
	if len(v.Tags) > 1 && !v.Trunk {
		p.Add(at+".trunk", "Only a trunk carries several VLANs.", "one tag, or a trunk")
	}
	if v.Native != 0 && (!v.Trunk || !slices.Contains(v.Tags, v.Native)) {
		p.Add(at+".native", fmt.Sprintf("VLAN %d is not among the trunk's.", v.Native), "one of its tags")
	}
}

// Pending lists what a running VM has from its next start. A card that has no VLAN of its own runs with its network's, which libvirt then shows as the card's.
func Pending(live, config VMSpec) []Change {
	live.NICs = slices.Clone(live.NICs)
	for i, n := range live.NICs {
		if n.Network != "" && slices.ContainsFunc(config.NICs, func(c NIC) bool { return strings.EqualFold(c.MAC, n.MAC) && c.Network == n.Network && c.VLAN == nil }) {
			live.NICs[i].VLAN = nil
		}
	}
	return Diff(live, config)
}

// describeMore is what follows where a card is plugged in.
func (n NIC) describeMore() string {
	out := ""
	if n.Down {
		out += ", unplugged"
	}
	if n.PortGroup != "" {
		out += ", port group " + n.PortGroup
	}
	if v := n.VLAN.String(); v != "" {
		out += ", " + v
	}
	if n.BandwidthIn != nil {
		out += ", in " + n.BandwidthIn.String()
	}
	if n.BandwidthOut != nil {
		out += ", out " + n.BandwidthOut.String()
	}
	if n.Filter != "" {
		out += ", filter " + n.Filter
	}
	return out
}

// ParseMAC gives a MAC address in the one way NovaCron writes it.
func ParseMAC(s string) (string, bool) {
	hw, err := net.ParseMAC(strings.TrimSpace(s))
	if err != nil || len(hw) != 6 || hw[0]&1 != 0 {
		return "", false
	}
	return hw.String(), true
}
