package domain

import (
	"cmp"
	"slices"
	"strings"
)

// HostWiring is what is plugged in where on one host: its networks and bridges, and the VMs with their cards.
type HostWiring struct {
	Host  Host
	Wires []Wire
	VMs   []WiredVM
}

// Wire is what cards are plugged into: a network, or a bridge or device that no network speaks of.
type Wire struct {
	Network Network // zero ID: none of libvirt's
	Name    string  // the network's, else the bridge's
	Cards   int     // plugged into it
}

// World tells whether a wire leads out of its host.
func (w Wire) World() bool { return w.Network.ID == "" || w.Network.Mode != NetIsolated }

// WiredVM is a VM with the wires that its cards are in.
type WiredVM struct {
	VM    VM
	Plugs []Plug
}

// Plug is one card in a wire.
type Plug struct {
	Card NIC
	Wire int // index into Wires
}

// WiringOf draws up what is plugged in where, host by host. A VM that runs is drawn as it runs, others as they would start.
func WiringOf(hosts []Host, networks []Network, vms []VM) []HostWiring {
	out := make([]HostWiring, len(hosts))
	at := make(map[string]*HostWiring, len(hosts))
	sorted := slices.Clone(hosts)
	slices.SortFunc(sorted, func(a, b Host) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
	})
	for i, h := range sorted {
		out[i].Host = h
		at[h.ID] = &out[i]
	}
	for _, n := range networks {
		if t := at[n.HostID]; t != nil {
			t.Wires = append(t.Wires, Wire{Network: n, Name: n.Name})
		}
	}
	for _, vm := range vms {
		t := at[vm.HostID]
		if t == nil {
			continue
		}
		w := WiredVM{VM: vm}
		cards := vm.Config.NICs
		if vm.Live != nil {
			cards = vm.Live.NICs
		}
		for _, c := range cards {
			i := t.wire(c)
			t.Wires[i].Cards++
			w.Plugs = append(w.Plugs, Plug{c, i})
		}
		t.VMs = append(t.VMs, w)
	}
	for i := range out {
		slices.SortStableFunc(out[i].VMs, func(a, b WiredVM) int {
			return cmp.Or(cmp.Compare(a.first(), b.first()), strings.Compare(strings.ToLower(a.VM.Name), strings.ToLower(b.VM.Name)))
		})
	}
	return out
}

// first is the wire of the first card: VMs of one network are drawn together, those without a card last.
func (w WiredVM) first() int {
	if len(w.Plugs) == 0 {
		return 1 << 30
	}
	return w.Plugs[0].Wire
}

// wire finds what a card is plugged into. A bridge that a network stands for is that network's.
func (t *HostWiring) wire(c NIC) int {
	i := slices.IndexFunc(t.Wires, func(w Wire) bool {
		if c.Network != "" {
			return w.Name == c.Network
		}
		return w.Name == c.Bridge || w.Network.ID != "" && w.Network.Bridge == c.Bridge && w.Network.Mode != NetMacvtap
	})
	if i < 0 {
		i = len(t.Wires)
		t.Wires = append(t.Wires, Wire{Name: cmp.Or(c.Network, c.Bridge)})
	}
	return i
}

// OnlyWire leaves of the picture what has to do with a network or bridge of that name: hosts that have it, and the VMs on it.
func OnlyWire(all []HostWiring, wire string) []HostWiring {
	var out []HostWiring
	for _, t := range all {
		i := slices.IndexFunc(t.Wires, func(w Wire) bool { return w.Name == wire })
		if i < 0 {
			continue
		}
		keep := HostWiring{Host: t.Host}
		for _, w := range t.VMs {
			if slices.ContainsFunc(w.Plugs, func(p Plug) bool { return p.Wire == i }) {
				keep.VMs = append(keep.VMs, w)
			}
		}
		// The other wires of these VMs stay, so that one sees what the network is joined with.
		moved := map[int]int{}
		for k, w := range t.Wires {
			used := slices.ContainsFunc(keep.VMs, func(v WiredVM) bool { return slices.ContainsFunc(v.Plugs, func(p Plug) bool { return p.Wire == k }) })
			if k == i || used {
				moved[k] = len(keep.Wires)
				keep.Wires = append(keep.Wires, w)
			}
		}
		for k, v := range keep.VMs {
			plugs := slices.Clone(v.Plugs)
			for j := range plugs {
				plugs[j].Wire = moved[plugs[j].Wire]
			}
			keep.VMs[k].Plugs = plugs
		}
		out = append(out, keep)
	}
	return out
}
