package vms

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/networks"
	"novacron/views/ui"
)

// Cards is what the section of network cards shows beside the VM.
type Cards struct {
	Groups []domain.SecurityGroup // all there are, to choose from
	Of     map[string][]string    // names of the groups that a card's filter stands for
	Edit   NICEdit
}

// NICEdit is a card's form as typed, when it was refused. MAC is the card's; "" is a new one.
type NICEdit struct {
	MAC    string
	Values url.Values
	Err    *domain.Error
}

// DetachNIC is the dialog before a card is taken away.
type DetachNIC struct {
	VM   domain.VM
	Card domain.NIC
	Err  *domain.Error
	Key  string
}

// nicForm is a card's form.
type nicForm struct {
	Network, Bridge, OVS, Model, MAC, VLAN, In, Out, Down string
	Groups                                                []string
}

func (e NICEdit) form(n domain.NIC, groups []string) nicForm {
	if e.Err != nil && e.MAC == n.MAC {
		v := e.Values
		return nicForm{v.Get("network"), v.Get("bridge"), v.Get("openvswitch"), v.Get("model"), v.Get("mac"), v.Get("vlan"), v.Get("bandwidth_in"), v.Get("bandwidth_out"), v.Get("down"), v["groups"]}
	}
	f := nicForm{Network: n.Network, Bridge: n.Bridge, Model: n.Model, VLAN: strings.TrimPrefix(n.VLAN.String(), "VLAN "), In: networks.LimitText(n.BandwidthIn), Out: networks.LimitText(n.BandwidthOut), Groups: groups}
	if n.Model == "virtio" {
		f.Model = ""
	}
	if n.Network == "" && n.Bridge != "" {
		f.Network = bridgeChoice
	}
	f.OVS, f.Down = tick(n.OpenVSwitch), tick(n.Down)
	return f
}

// problems are those of the form of this card, by the names of its fields.
func (e NICEdit) problems(mac string) ui.Problems {
	if e.MAC != mac {
		return nil
	}
	return layout.Problems(e.Err)
}

// NICFieldsOf names fields as the form has them.
func NICFieldsOf(err error) error {
	e, ok := err.(*domain.Error)
	if !ok || e == nil {
		return err
	}
	for i, x := range e.Fields {
		f := x.Field
		for _, prefix := range []string{"add_nics.0.", "change_nics.0.", "nics.0."} {
			f = strings.TrimPrefix(f, prefix)
		}
		f, _, _ = strings.Cut(f, ".")
		e.Fields[i].Field = f
	}
	return e
}

// plugged reads where a card is plugged in.
func plugged(v url.Values) (network, bridge string, ovs bool) {
	network = strings.TrimSpace(v.Get("network"))
	if network != bridgeChoice {
		return network, "", false
	}
	return "", strings.TrimSpace(v.Get("bridge")), v.Get("openvswitch") == "1"
}

// NewNIC reads the form of a new card.
func NewNIC(v url.Values) (domain.NIC, error) {
	var p domain.Problems
	n := domain.NIC{Model: v.Get("model"), MAC: strings.TrimSpace(v.Get("mac")), Down: v.Get("down") == "1", SecurityGroups: v["groups"],
		VLAN: networks.ReadVLAN(&p, "vlan", v.Get("vlan")), BandwidthIn: networks.ReadLimit(&p, "bandwidth_in", v.Get("bandwidth_in")), BandwidthOut: networks.ReadLimit(&p, "bandwidth_out", v.Get("bandwidth_out"))}
	n.Network, n.Bridge, n.OpenVSwitch = plugged(v)
	if n.Network == "" && n.Bridge == "" {
		p.Add("bridge", "Where the card is plugged in is missing.", "the name of a bridge, or a network")
	}
	return n, p.Err()
}

// NICChangeOf reads the form of a card and gives what differs; groups are the names of those it is in now.
func NICChangeOf(v url.Values, n domain.NIC, groups []string) (domain.NICChange, error) {
	var p domain.Problems
	c := domain.NICChange{MAC: n.MAC}
	network, bridge, ovs := plugged(v)
	switch {
	case network != "" && network != n.Network:
		c.Network = &network
	case network == "" && bridge == "":
		p.Add("bridge", "Where the card is plugged in is missing.", "the name of a bridge, or a network")
	case network == "" && bridge != n.Bridge:
		c.Bridge, c.OpenVSwitch = &bridge, &ovs
	case network == "" && ovs != n.OpenVSwitch:
		c.Bridge, c.OpenVSwitch = &bridge, &ovs
	}
	if model := v.Get("model"); modelName(model) != modelName(n.Model) {
		model = modelName(model)
		c.Model = &model
	}
	if down := v.Get("down") == "1"; down != n.Down {
		c.Down = &down
	}
	if vlan := networks.ReadVLAN(&p, "vlan", v.Get("vlan")); vlan.String() != n.VLAN.String() {
		if vlan == nil {
			vlan = &domain.VLAN{Tags: []int{}}
		}
		c.VLAN = vlan
	}
	for _, b := range []struct {
		field string
		has   *domain.Bandwidth
		to    **domain.Bandwidth
	}{{"bandwidth_in", n.BandwidthIn, &c.BandwidthIn}, {"bandwidth_out", n.BandwidthOut, &c.BandwidthOut}} {
		limit := networks.ReadLimit(&p, b.field, v.Get(b.field))
		if networks.LimitText(limit) == networks.LimitText(b.has) {
			continue
		}
		if limit == nil {
			limit = &domain.Bandwidth{}
		}
		*b.to = limit
	}
	chosen := slices.Clone(v["groups"])
	slices.Sort(chosen)
	if had := slices.Sorted(slices.Values(groups)); !slices.Equal(chosen, had) {
		if chosen == nil {
			chosen = []string{}
		}
		c.SecurityGroups = &chosen
	}
	return c, p.Err()
}

func modelName(m string) string {
	if m == "" {
		return "virtio"
	}
	return m
}

func modelsWith(has string) []ui.Option {
	if slices.ContainsFunc(modelOptions, func(o ui.Option) bool { return o.Value == has }) {
		return modelOptions
	}
	return append(slices.Clone(modelOptions), ui.Option{Value: has, Label: has})
}

func modelHelp(m Page, n domain.NIC) string {
	if n.MAC != "" && m.VM.Live != nil {
		return "Another model applies from the next start."
	}
	return ""
}

// plugOptions are the networks of the host, and the one that the card is on even if it is stopped.
func plugOptions(c Choices, n domain.NIC) []ui.Option {
	out := networkOptions(c)
	if n.Network != "" && !slices.ContainsFunc(out, func(o ui.Option) bool { return o.Value == n.Network }) {
		out = append([]ui.Option{{Value: n.Network, Label: n.Network + " (stopped)"}}, out...)
	}
	return out
}

// allCards are the cards as defined, and those that run but go with the next start.
func (m Page) allCards() []domain.NIC {
	out := slices.Clone(m.VM.Config.NICs)
	if m.VM.Live != nil {
		for _, n := range m.VM.Live.NICs {
			if m.leaving(n.MAC) {
				out = append(out, n)
			}
		}
	}
	return out
}

func cardWith(list []domain.NIC, mac string) int {
	return slices.IndexFunc(list, func(n domain.NIC) bool { return strings.EqualFold(n.MAC, mac) })
}

func (m Page) attached(mac string) bool {
	return m.VM.Live != nil && cardWith(m.VM.Live.NICs, mac) >= 0
}

func (m Page) leaving(mac string) bool { return cardWith(m.VM.Config.NICs, mac) < 0 }

func (m Page) tap(mac string) string {
	if m.VM.Live == nil {
		return ""
	}
	if i := cardWith(m.VM.Live.NICs, mac); i >= 0 {
		return m.VM.Live.NICs[i].Target
	}
	return ""
}

func (m Page) addresses(mac string) []domain.Address {
	var out []domain.Address
	for _, a := range m.VM.Addresses {
		if strings.EqualFold(a.MAC, mac) {
			out = append(out, a)
		}
	}
	return out
}

func cardTitle(n domain.NIC) string {
	on := "network " + n.Network
	if n.Network == "" {
		on = "bridge " + n.Bridge
		if n.OpenVSwitch {
			on = "Open vSwitch bridge " + n.Bridge
		}
	}
	return modelName(n.Model) + " on " + on
}

func linkAct(n domain.NIC) string {
	if n.Down {
		return "up"
	}
	return "down"
}

func linkLabel(n domain.NIC) string {
	if n.Down {
		return "Plug the cable in"
	}
	return "Unplug the cable"
}

func linkIcon(n domain.NIC) string {
	if n.Down {
		return "plug"
	}
	return "plug-connected-x"
}

var sourceWord = map[string]string{domain.AddressAgent: "the guest's agent", domain.AddressLease: "DHCP", domain.AddressARP: "ARP"}

// sourceWords say from whom an address is known.
func sourceWords(a domain.Address) string {
	var out []string
	for _, s := range a.Sources {
		if w := sourceWord[s]; w != "" {
			out = append(out, w)
		}
	}
	return "from " + strings.Join(out, ", ")
}

func noAddress(vm domain.VM) string {
	switch {
	case vm.State != domain.VMRunning:
		return "known while it runs"
	case len(vm.Config.NICs) == 0:
		return "no network card"
	}
	return "none known yet"
}

// addressCell is what the list shows: the first address, with the number of others.
func addressCell(vm domain.VM) (first string, more int) {
	for _, a := range vm.Addresses {
		ip, err := netip.ParseAddr(a.IP)
		if err == nil && ip.IsLinkLocalUnicast() && first != "" {
			continue
		}
		if first == "" {
			first = a.IP
			continue
		}
		more++
	}
	return first, more
}
