package domain

import "testing"

func TestNetworksOfManyHostsAreShownOnce(t *testing.T) {
	hosts := []Host{{ID: "host_b", Name: "beta", State: HostConnected}, {ID: "host_a", Name: "alpha", State: HostConnected}, {ID: "host_c", Name: "Gamma", State: HostAway}}
	lan := NetworkSpec{Name: "lan", Mode: NetNAT, IPv4: &Subnet{Address: "10.1.0.1/24"}}
	other := lan
	other.IPv4 = &Subnet{Address: "10.2.0.1/24"}
	named := func(bridge string) NetworkSpec {
		return NetworkSpec{Name: "default", Mode: NetNAT, Bridge: bridge, IPv4: &Subnet{Address: "192.168.122.1/24"}}
	}
	net := func(host string, s NetworkSpec, group string, active bool) Network {
		return Network{ID: NetworkID(host, s.Name), HostID: host, Name: s.Name, Mode: s.Mode, Spec: s, GroupID: group, Active: active}
	}
	all := []Network{
		net("host_b", lan, "netg_1", true), net("host_a", other, "netg_1", true),
		net("host_a", named("virbr0"), "", true), net("host_b", named("virbr7"), "", false),
		net("host_gone", lan, "", true),
	}
	all[2].Pending = []Change{{Field: "mtu"}}
	groups := []NetworkGroupSpec{{ID: "netg_1", Name: "lan", Spec: lan, HostIDs: []string{"host_a", "host_b", "host_c", "host_gone"}}, {ID: "netg_2", Name: "lost", Spec: lan}}
	got := JoinNetworks(hosts, all, groups, func(host, network string) int {
		if host == "host_b" && network == "lan" {
			return 3
		}
		return 0
	})
	if len(got) != 2 || got[0].Name != "default" || got[1].Name != "lan" {
		t.Fatalf("%+v", got)
	}
	def, one := got[0], got[1]
	if def.GroupID != "" || len(def.On) != 2 || def.Drifted() != 0 || def.Active() != 1 || def.Pending() != 1 || def.ID != NetworkID("host_a", "default") {
		t.Errorf("the same name on two hosts, each with a bridge of its own: %+v", def)
	}
	if one.GroupID != "netg_1" || len(one.On) != 3 || one.VMs() != 3 || one.Drifted() != 2 || one.Active() != 2 {
		t.Fatalf("made as one: %+v", one)
	}
	a, b, c := one.On[0], one.On[1], one.On[2]
	if a.HostName != "alpha" || len(a.Drift) != 1 || a.Drift[0].Old != "10.1.0.1/24" || a.Drift[0].New != "10.2.0.1/24" {
		t.Errorf("the one that differs: %+v", a)
	}
	if len(b.Drift) != 0 || b.Missing || b.Away {
		t.Errorf("the one that agrees: %+v", b)
	}
	if !c.Missing || !c.Away || c.Network.ID != NetworkID("host_c", "lan") {
		t.Errorf("the one that is gone: %+v", c)
	}
	if _, ok := one.Of("host_b"); !ok {
		t.Error("a host is not found")
	}
	if _, ok := one.Of("host_x"); ok {
		t.Error("a host is found that is not there")
	}
	if lost := JoinNetworks(hosts[1:2], nil, groups[:1], func(string, string) int { return 0 }); len(lost) != 1 || lost[0].ID == "" || lost[0].Active() != 0 {
		t.Errorf("missing everywhere: %+v", lost)
	}
}
