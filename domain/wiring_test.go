package domain

import "testing"

func TestTheTopologyIsWhatIsPluggedInWhere(t *testing.T) {
	hosts := []Host{{ID: "b", Name: "beta"}, {ID: "a", Name: "Alpha"}}
	nets := []Network{
		{ID: "n1", HostID: "a", Name: "lan", Mode: NetNAT, Bridge: "virbr0"}, {ID: "n2", HostID: "a", Name: "office", Mode: NetBridge, Bridge: "br0"},
		{ID: "n3", HostID: "b", Name: "lan", Mode: NetIsolated}, {ID: "nx", HostID: "gone", Name: "lan"},
	}
	card := func(network, bridge string) NIC { return NIC{Network: network, Bridge: bridge} }
	vms := []VM{
		{ID: "v1", HostID: "a", Name: "web", Config: VMSpec{NICs: []NIC{card("office", "")}}, Live: &VMSpec{NICs: []NIC{card("lan", ""), card("", "br0")}}},
		{ID: "v2", HostID: "a", Name: "db", Config: VMSpec{NICs: []NIC{card("", "br9")}}},
		{ID: "v3", HostID: "a", Name: "alone"}, {ID: "v4", HostID: "a", Name: "Ahead", Config: VMSpec{NICs: []NIC{card("lan", "")}}},
		{ID: "v5", HostID: "gone", Name: "lost"},
	}
	all := WiringOf(hosts, nets, vms)
	if len(all) != 2 || all[0].Host.ID != "a" || len(all[0].Wires) != 3 || len(all[1].Wires) != 1 {
		t.Fatalf("%+v", all)
	}
	a := all[0]
	if a.VMs[0].VM.Name != "Ahead" || a.VMs[1].VM.Name != "web" || a.VMs[2].VM.Name != "db" || a.VMs[3].VM.Name != "alone" {
		t.Errorf("the order is %v", a.VMs)
	}
	if p := a.VMs[1].Plugs; len(p) != 2 || p[0].Wire != 0 || p[1].Wire != 1 {
		t.Errorf("a running VM's cards, one on the bridge of a network: %+v", p)
	}
	if a.Wires[0].Cards != 2 || a.Wires[1].Cards != 1 || a.Wires[2].Name != "br9" || a.Wires[2].Network.ID != "" {
		t.Errorf("%+v", a.Wires)
	}
	if !a.Wires[2].World() || !a.Wires[0].World() || all[1].Wires[0].World() {
		t.Error("who leads out is wrong")
	}
	only := OnlyWire(all, "office")
	if len(only) != 1 || len(only[0].VMs) != 1 || len(only[0].Wires) != 2 || only[0].VMs[0].Plugs[0].Wire != 0 || only[0].VMs[0].Plugs[1].Wire != 1 {
		t.Errorf("%+v", only)
	}
	if a.VMs[1].Plugs[1].Wire != 1 {
		t.Error("the whole picture was changed")
	}
	if len(OnlyWire(all, "lan")) != 2 {
		t.Error("a network of two hosts")
	}
}
