package domxml

import (
	"cmp"
	"strings"

	"novacron/domain"
)

// NICXML is the element of a network card.
func NICXML(n domain.NIC) string {
	var w writer
	kind := "network"
	if n.Network == "" {
		kind = "bridge"
	}
	w.open("interface", "type", kind)
	if n.MAC != "" {
		w.empty("mac", "address", strings.ToLower(n.MAC))
	}
	w.raw(nicSource(n))
	if n.OpenVSwitch && n.Bridge != "" {
		w.empty("virtualport", "type", "openvswitch")
	}
	w.empty("model", "type", cmp.Or(n.Model, "virtio"))
	if n.Filter != "" {
		w.empty("filterref", "filter", n.Filter)
	}
	w.vlan(n.VLAN)
	w.bandwidth(n.BandwidthIn, n.BandwidthOut)
	if n.Down {
		w.empty("link", "state", "down")
	}
	w.close("interface")
	return strings.TrimSuffix(w.b.String(), "\n")
}

func nicSource(n domain.NIC) string {
	if n.Network == "" {
		return element("source", "", "bridge", n.Bridge)
	}
	return element("source", "", "network", n.Network, "portgroup", n.PortGroup)
}

func parseNIC(n *node) domain.NIC {
	src := n.kid("source")
	c := domain.NIC{
		Model: n.kid("model").attr("type"), MAC: strings.ToLower(n.kid("mac").attr("address")), Target: n.kid("target").attr("dev"),
		Down: n.kid("link").attr("state") == "down", VLAN: parseVLAN(n.kid("vlan")), Filter: n.kid("filterref").attr("filter"),
		BandwidthIn: parseBandwidth(n.at("bandwidth", "inbound")), BandwidthOut: parseBandwidth(n.at("bandwidth", "outbound")),
	}
	if resolved(n) {
		c.Network, c.PortGroup = src.attr("network"), src.attr("portgroup")
		return c
	}
	switch kind := n.attr("type"); kind {
	case "network":
		c.Network, c.PortGroup = src.attr("network"), src.attr("portgroup")
	case "bridge":
		c.Bridge, c.OpenVSwitch = src.attr("bridge"), n.kid("virtualport").attr("type") == "openvswitch"
	case "direct":
		c.Bridge = src.attr("dev")
	default:
		c.Network = kind
	}
	return c
}

// resolved reports whether a running guest's card shows what its network came down to, a bridge or a device, beside the network itself.
func resolved(card *node) bool {
	return card.attr("type") != "network" && card.kid("source").attr("network") != ""
}

// ChangeNICXML splices a change into the element of a card. What a running guest's card came down to is asked for by its network again: libvirt takes the
// element as it shows it for a move to another bridge, which an Open vSwitch bridge refuses.
func ChangeNICXML(elem string, c domain.NICChange) (string, error) {
	d, err := read(elem, "interface")
	if err != nil {
		return "", err
	}
	if resolved(d.root) {
		if err := d.setAttr(d.root, "type", "network"); err != nil {
			return "", err
		}
	}
	if err := d.changeNIC(func() *node { return d.root }, c); err != nil {
		return "", err
	}
	return d.src, nil
}

func (e *editor) changeNIC(c domain.NICChange) error {
	if !nicNode(e.root, c.MAC).exists() {
		return noNIC(c.MAC)
	}
	return e.document.changeNIC(func() *node { return nicNode(e.root, c.MAC) }, c)
}

// changeNIC changes what differs. Every edit reads the tree anew, so the card is found again each time.
func (d *document) changeNIC(card func() *node, c domain.NICChange) error {
	was := parseNIC(card())
	now := c.Apply(was)
	if now.Network != was.Network || now.Bridge != was.Bridge || now.OpenVSwitch != was.OpenVSwitch || now.PortGroup != was.PortGroup {
		if err := d.moveNIC(card, now); err != nil {
			return err
		}
	}
	if now.Model != was.Model {
		if m := card().kid("model"); m.exists() {
			if err := d.setAttr(m, "type", now.Model); err != nil {
				return err
			}
		} else if err := d.insert(card(), element("model", "", "type", now.Model), "target", "source", "mac"); err != nil {
			return err
		}
	}
	if now.Down != was.Down {
		state := "up"
		if now.Down {
			state = "down"
		}
		if l := card().kid("link"); l.exists() {
			if err := d.setAttr(l, "state", state); err != nil {
				return err
			}
		} else if err := d.insert(card(), element("link", "", "state", state), "model", "target", "source", "mac"); err != nil {
			return err
		}
	}
	part := func(name string, fill func(w *writer)) error {
		for n := card().kid(name); n.exists(); n = card().kid(name) {
			if err := d.remove(n); err != nil {
				return err
			}
		}
		var w writer
		fill(&w)
		if w.b.Len() == 0 {
			return nil
		}
		return d.insert(card(), w.b.String(), "model", "target", "source", "mac")
	}
	if now.Filter != was.Filter {
		err := part("filterref", func(w *writer) {
			if now.Filter != "" {
				w.empty("filterref", "filter", now.Filter)
			}
		})
		if err != nil {
			return err
		}
	}
	if now.VLAN.String() != was.VLAN.String() {
		if err := part("vlan", func(w *writer) { w.vlan(now.VLAN) }); err != nil {
			return err
		}
	}
	if !sameLimit(now.BandwidthIn, was.BandwidthIn) || !sameLimit(now.BandwidthOut, was.BandwidthOut) {
		return part("bandwidth", func(w *writer) { w.bandwidth(now.BandwidthIn, now.BandwidthOut) })
	}
	return nil
}

func sameLimit(a, b *domain.Bandwidth) bool {
	return a == b || a != nil && b != nil && *a == *b
}

// moveNIC plugs the card in elsewhere. What belonged to the old place (its port, its virtual switch) goes.
func (d *document) moveNIC(card func() *node, to domain.NIC) error {
	kind := "network"
	if to.Network == "" {
		kind = "bridge"
	}
	if card().attr("type") != kind {
		if err := d.setAttr(card(), "type", kind); err != nil {
			return err
		}
	}
	for n := card().kid("virtualport"); n.exists(); n = card().kid("virtualport") {
		if err := d.remove(n); err != nil {
			return err
		}
	}
	if src := card().kid("source"); src.exists() {
		if err := d.replace(src.start, src.end, nicSource(to)); err != nil {
			return err
		}
	} else if err := d.insert(card(), nicSource(to), "mac"); err != nil {
		return err
	}
	if to.OpenVSwitch && to.Bridge != "" {
		return d.insert(card(), element("virtualport", "", "type", "openvswitch"), "source")
	}
	return nil
}
