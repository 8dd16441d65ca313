package views_test

import (
	"fmt"
	"net/netip"
	"time"

	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/networks"
)

func sampleNets() []domain.EstateNetwork {
	hs := sampleHosts()
	lan := domain.NetworkSpec{Name: "lan", Mode: domain.NetNAT, Domain: "lab.example.org", MTU: 1450,
		IPv4: &domain.Subnet{Address: "192.168.50.1/24", DHCP: &domain.DHCP{Ranges: []domain.IPRange{{Start: "192.168.50.100", End: "192.168.50.199"}}, Hosts: []domain.DHCPHost{{MAC: "52:54:00:aa:00:00", IP: "192.168.50.10", Name: "web-1"}}}},
		IPv6: &domain.Subnet{Address: "fd00:50::1/64"}, DNS: &domain.NetworkDNS{Forwarders: []string{"9.9.9.9"}, Hosts: []domain.DNSHost{{IP: "192.168.50.1", Names: []string{"gw.lab", "gateway.lab"}}}, SRV: []domain.DNSSRV{{Service: "ldap", Protocol: "tcp", Target: "dc1.lab", Port: 389}}, TXT: []domain.DNSTXT{{Name: "lab", Value: evil}}},
		Inbound: &domain.Bandwidth{Average: 102400}}
	drifted := lan
	drifted.MTU, drifted.IPv4 = 0, &domain.Subnet{Address: "192.168.50.1/24"}
	dmz := domain.NetworkSpec{Name: "dmz", Mode: domain.NetOVS, Bridge: "ovs-br0", VLAN: &domain.VLAN{Tags: []int{42}}, PortGroups: []domain.PortGroup{{Name: "office", Default: true, VLAN: &domain.VLAN{Tags: []int{10, 20}, Trunk: true, Native: 10}}}}
	var all []domain.Network
	add := func(host int, s domain.NetworkSpec, group string, active bool) {
		all = append(all, domain.Network{ID: domain.NetworkID(hs[host].ID, s.Name), HostID: hs[host].ID, Name: s.Name, Mode: s.Mode, Bridge: emptyOr(s.Bridge, fmt.Sprintf("virbr%d", host)), Spec: s, GroupID: group, Active: active, Autostart: host != 1})
	}
	add(0, lan, "netg_1", true)
	add(1, drifted, "netg_1", true)
	all[1].Pending = []domain.Change{{Field: "mtu", Label: "MTU", Old: "none", New: "1450"}}
	add(0, dmz, "", true)
	add(1, domain.NetworkSpec{Name: "lab" + "-isolated", Mode: domain.NetIsolated}, "", false)
	groups := []domain.NetworkGroupSpec{{ID: "netg_1", Name: "lan", Spec: lan, HostIDs: []string{hs[0].ID, hs[1].ID, hs[2].ID}}}
	return domain.JoinNetworks(hs, all, groups, func(host, network string) int {
		if network == "lan" && host == hs[0].ID {
			return 3
		}
		return 0
	})
}

func emptyOr(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

func netNamed(name string) domain.EstateNetwork {
	for _, n := range sampleNets() {
		if n.Name == name {
			return n
		}
	}
	return domain.EstateNetwork{}
}

func sampleShow(name string) networks.Show {
	m := networks.Show{Net: netNamed(name)}
	m.At = m.Net.On[0]
	if name != "lan" {
		return m
	}
	vm := sampleVMs()[0]
	vm.Addresses = []domain.Address{{MAC: "52:54:00:aa:00:00", IP: "192.168.50.10", Sources: []string{"dhcp"}}}
	m.VMs = []networks.User{{VM: vm, Cards: vm.Config.NICs}, {VM: sampleVMs()[15], Cards: []domain.NIC{{MAC: "52:54:00:aa:00:0f", Down: true}}}}
	m.Leases = []networks.Lease{{Lease: domain.Lease{MAC: "52:54:00:aa:00:00", IP: "192.168.50.10", Hostname: "web-1", Expires: now.Add(time.Hour).Unix()}, HostID: "host_1", HostName: "hv-ams-01", VM: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}},
		{Lease: domain.Lease{MAC: "52:54:00:bb:00:01", IP: "192.168.50.101", Hostname: evil}, HostID: "host_1", HostName: "hv-ams-01"}}
	m.Busy = &domain.Job{ID: "job_1", Title: "Change the network lan on 3 hosts", State: domain.JobRunning}
	return m
}

func samplePicture() networks.Picture {
	hs := sampleHosts()
	var nets []domain.Network
	for i, n := range []struct {
		host         int
		name, mode   string
		bridge, cidr string
		active       bool
	}{{0, "lan", domain.NetNAT, "virbr0", "192.168.50.1/24", true}, {0, "dmz", domain.NetOVS, "ovs-br0", "", true}, {0, "storage-" + evil, domain.NetIsolated, "virbr2", "10.77.0.1/16", true},
		{1, "lan", domain.NetNAT, "virbr0", "192.168.50.1/24", true}, {1, "office", domain.NetMacvtap, "eth1", "", false}, {4, "lan", domain.NetNAT, "virbr0", "192.168.50.1/24", true}} {
		spec := domain.NetworkSpec{Name: n.name, Mode: n.mode, Bridge: n.bridge}
		if n.cidr != "" {
			spec.IPv4 = &domain.Subnet{Address: n.cidr}
		}
		nets = append(nets, domain.Network{ID: fmt.Sprintf("net_%d", i), HostID: hs[n.host].ID, Name: n.name, Mode: n.mode, Bridge: n.bridge, Spec: spec, Active: n.active})
	}
	vms := sampleVMs()[:8]
	for i := range vms {
		vms[i].HostID, vms[i].HostName = hs[i%2].ID, hs[i%2].Name
		cards := []domain.NIC{{Network: "lan", MAC: fmt.Sprintf("52:54:00:00:00:%02x", i)}}
		switch i {
		case 0:
			cards = append(cards, domain.NIC{Network: "dmz"}, domain.NIC{Network: "storage-" + evil, Down: true})
		case 2:
			cards = []domain.NIC{{Network: "dmz"}, {Bridge: "br-old"}}
		case 3:
			cards = nil
		}
		vms[i].Live = nil
		vms[i].Config.NICs = cards
		vms[i].Addresses = []domain.Address{{IP: netip.AddrFrom4([4]byte{192, 168, 50, byte(100 + i)}).String()}}
	}
	m := networks.Picture{Names: []string{"dmz", "lan", "office"}, Hosts: domain.WiringOf(hs, nets, vms)}
	for _, h := range hs {
		m.Menu = append(m.Menu, networks.HostChoice{ID: h.ID, Name: h.Name})
	}
	return m
}

// networkPages are the pages of package networks.
func networkPages() []page {
	sh := func(title, path string) layout.Shell {
		return shell(title, layout.SectionNets, path, layout.Crumb{Label: "Networks", URL: live.Networks})
	}
	hosts := []networks.HostChoice{{ID: "host_1", Name: "hv-ams-01"}, {ID: "host_2", Name: "hv-ams-02"}, {ID: "host_3", Name: "hv-ams-03", Why: "away"}}
	lan := netNamed("lan")
	bad := networks.Form{Mode: domain.NetNAT, Name: "lan " + evil, V4: networks.SubnetForm{Address: "192.168.50.0/24", Ranges: "192.168.50.100 - 192.168.50.300\nfoo", Statics: "52:54:00 192.168.51.1"}, MTU: "many"}
	_, badErr := bad.Spec()
	refused, _ := badErr.(*domain.Error)
	vms := sampleVMs()
	return []page{
		{"networks", networks.ListPage(sh("Networks", "/networks"), networks.List{Items: sampleNets(), All: 3, Hosts: 5})},
		{"networks-none", networks.ListPage(sh("Networks", "/networks"), networks.List{Hosts: 2})},
		{"networks-filter", networks.ListPage(sh("Networks", "/networks"), networks.List{Filter: evil, Hosts: 2})},
		{"network", networks.ShowPage(sh("lan", "/networks/net_1"), sampleShow("lan"))},
		{"network-ovs", networks.ShowPage(sh("dmz", "/networks/net_2"), sampleShow("dmz"))},
		{"network-new", networks.EditPage(sh("New network", "/networks/new"), networks.Edit{Form: networks.NewForm(hosts), Hosts: hosts, Key: "k"})},
		{"network-new-bad", networks.EditPage(sh("New network", "/networks/new"), networks.Edit{Form: bad, Hosts: hosts, Key: "k", Err: refused})},
		{"network-edit", networks.EditPage(sh("Edit lan", "/networks/net_1/edit"), networks.Edit{Net: &lan, On: lan.On[0], Form: networks.Filled(lan.Should), Key: "k"})},
		{"network-stop", networks.AskPage(sh("lan", "/networks/net_1/stop"), networks.Ask{Action: "stop", Net: lan, On: lan.On[:1], Running: vms[:2], VMs: vms[:2], Key: "k"})},
		{"network-delete", networks.AskPage(sh("lan", "/networks/net_1/delete"), networks.Ask{Action: "delete", Net: lan, On: lan.On[:2], All: true, VMs: vms[14:], With: true, Key: "k", Err: invalid(domain.FieldError{Field: "confirm", Msg: "What was typed is not the network's name.", Want: "“lan”"})})},
		{"network-like", networks.AskPage(sh("lan", "/networks/net_1/like"), networks.Ask{Action: "like", Net: lan, On: lan.On[:1], Key: "k"})},
		{"topology", networks.TopologyPage(sh("Topology", "/networks/topology"), samplePicture())},
		{"topology-none", networks.TopologyPage(sh("Topology", "/networks/topology"), networks.Picture{})},
	}
}
