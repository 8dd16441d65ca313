package domain

import (
	"slices"
	"strings"
	"testing"
)

func fieldsIn(err error) []string {
	var out []string
	if e, ok := err.(*Error); ok && e != nil {
		for _, f := range e.Fields {
			out = append(out, f.Field)
		}
	}
	return out
}

// lan is a network that says all that one can say.
func lan() NetworkSpec {
	return NetworkSpec{Name: "lan", Mode: NetNAT, Device: "eth0", Domain: "lab.example.org", MTU: 1450,
		IPv4:       &Subnet{Address: "10.9.0.1/24", DHCP: &DHCP{Ranges: []IPRange{{"10.9.0.100", "10.9.0.199"}}, Hosts: []DHCPHost{{MAC: "52:54:00:00:00:01", Name: "web", IP: "10.9.0.5"}}}},
		IPv6:       &Subnet{Address: "fd00:9::1/64", DHCP: &DHCP{Ranges: []IPRange{{"fd00:9::100", "fd00:9::1ff"}}, Hosts: []DHCPHost{{ID: "0:1:2", IP: "fd00:9::5"}}}},
		DNS:        &NetworkDNS{Forwarders: []string{"9.9.9.9"}, Hosts: []DNSHost{{"10.9.0.1", []string{"gw.lab"}}}, SRV: []DNSSRV{{Service: "ldap", Protocol: "tcp", Domain: "lab", Target: "dc1.lab", Port: 389}}, TXT: []DNSTXT{{"lab", "hello"}}},
		PortGroups: []PortGroup{{Name: "office", Default: true, Inbound: &Bandwidth{Average: 1024}, Outbound: &Bandwidth{Average: 10}}}, Inbound: &Bandwidth{Average: 1024, Peak: 2048, Burst: 64}}
}

func TestACardWithItsNetworksVLANWaitsForNothing(t *testing.T) {
	at := func(n NIC) VMSpec { n.MAC, n.Network = "52:54:00:00:00:01", "tagged"; return VMSpec{NICs: []NIC{n}} }
	tag := &VLAN{Tags: []int{10}}
	for i, c := range []struct {
		live, config NIC
		n            int
	}{{NIC{VLAN: tag}, NIC{}, 0}, {NIC{VLAN: tag}, NIC{VLAN: tag}, 0}, {NIC{VLAN: tag}, NIC{VLAN: &VLAN{Tags: []int{11}}}, 1}, {NIC{}, NIC{VLAN: tag}, 1}, {NIC{VLAN: tag}, NIC{Down: true}, 1}} {
		if got := Pending(at(c.live), at(c.config)); len(got) != c.n {
			t.Errorf("%d: %+v", i, got)
		}
	}
}

func TestNetworksAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*NetworkSpec)
		wrong  []string
	}{
		"whole":              {func(*NetworkSpec) {}, nil},
		"no name":            {func(s *NetworkSpec) { s.Name = "" }, []string{"name"}},
		"name with dots":     {func(s *NetworkSpec) { s.Name = "a..b" }, []string{"name"}},
		"mode":               {func(s *NetworkSpec) { s.Mode = "magic" }, []string{"mode"}},
		"uuid":               {func(s *NetworkSpec) { s.UUID = "x" }, []string{"uuid"}},
		"bridge":             {func(s *NetworkSpec) { s.Bridge = "a bridge with a name" }, []string{"bridge"}},
		"device":             {func(s *NetworkSpec) { s.Device = "/dev" }, []string{"device"}},
		"mtu":                {func(s *NetworkSpec) { s.MTU = 100 }, []string{"mtu"}},
		"domain":             {func(s *NetworkSpec) { s.Domain = "-" }, []string{"domain"}},
		"sharing":            {func(s *NetworkSpec) { s.MacvtapMode = "vepa" }, []string{"macvtap_mode"}},
		"vlan without ovs":   {func(s *NetworkSpec) { s.VLAN = &VLAN{Tags: []int{4}}; s.PortGroups[0].VLAN = s.VLAN }, []string{"vlan", "port_groups.0.vlan"}},
		"isolated device":    {func(s *NetworkSpec) { s.Mode = NetIsolated }, []string{"device"}},
		"no subnet":          {func(s *NetworkSpec) { s.IPv4, s.IPv6 = nil, nil }, []string{"ipv4.address"}},
		"bridge serves none": {func(s *NetworkSpec) { s.Mode = NetBridge }, []string{"bridge", "device", "ipv4", "ipv6", "dns", "domain", "mtu", "bandwidth_in"}},
		"macvtap":            {func(s *NetworkSpec) { *s = NetworkSpec{Name: "m", Mode: NetMacvtap, Bridge: "br0"} }, []string{"device", "bridge"}},
		"ovs": {func(s *NetworkSpec) {
			*s = NetworkSpec{Name: "o", Mode: NetOVS, Bridge: "ovs0", VLAN: &VLAN{Trunk: true, Tags: []int{10, 20}, Native: 10}}
		}, nil},
		"bad vlan": {func(s *NetworkSpec) {
			*s = NetworkSpec{Name: "o", Mode: NetOVS, Bridge: "ovs0", VLAN: &VLAN{Tags: []int{5000, 1, 1}, Native: 7}}
		}, []string{"vlan.tags", "vlan.tags", "vlan.trunk", "vlan.native"}},
		"no tag": {func(s *NetworkSpec) { *s = NetworkSpec{Name: "o", Mode: NetOVS, Bridge: "ovs0", VLAN: &VLAN{}} }, []string{"vlan.tags"}},
		"groups": {func(s *NetworkSpec) {
			s.PortGroups = []PortGroup{{Name: "a", Default: true}, {Name: "a", Default: true}, {Name: "b c"}}
		}, []string{"port_groups.1.name", "port_groups.1.default", "port_groups.2.name"}},
		"limit":             {func(s *NetworkSpec) { s.Inbound = &Bandwidth{Average: 0, Peak: -1, Burst: -1} }, []string{"bandwidth_in.average_kib", "bandwidth_in.peak_kib", "bandwidth_in.burst_kib"}},
		"not an address":    {func(s *NetworkSpec) { s.IPv4.Address = "ten" }, []string{"ipv4.address"}},
		"the subnet itself": {func(s *NetworkSpec) { *s.IPv4 = Subnet{Address: "10.9.0.0/24"} }, []string{"ipv4.address"}},
		"broadcast":         {func(s *NetworkSpec) { *s.IPv4 = Subnet{Address: "10.9.0.255/24"} }, []string{"ipv4.address"}},
		"loopback":          {func(s *NetworkSpec) { *s.IPv4 = Subnet{Address: "127.0.0.1/24"} }, []string{"ipv4.address"}},
		"no room":           {func(s *NetworkSpec) { *s.IPv4 = Subnet{Address: "10.9.0.1/31"} }, []string{"ipv4.address"}},
		"ranges": {func(s *NetworkSpec) {
			s.IPv4.DHCP.Ranges = []IPRange{{"10.8.0.1", "x"}, {"10.9.0.20", "10.9.0.10"}, {"10.9.0.1", "10.9.0.3"}, {"10.9.0.2", "10.9.0.4"}, {"10.9.0.0", "10.9.0.9"}}
		}, []string{"ipv4.dhcp.ranges.0.start", "ipv4.dhcp.ranges.0.end", "ipv4.dhcp.ranges.1.end", "ipv4.dhcp.ranges.2.start", "ipv4.dhcp.ranges.3.start", "ipv4.dhcp.ranges.4.start"}},
		"statics": {func(s *NetworkSpec) {
			s.IPv4.DHCP.Hosts = []DHCPHost{{MAC: "52:54", IP: "10.9.0.1"}, {IP: "10.9.0.7", Name: "a b", ID: "<"}, {MAC: "52:54:00:00:00:09", IP: "10.9.0.7"}}
		}, []string{"ipv4.dhcp.hosts.0.mac", "ipv4.dhcp.hosts.0.ip", "ipv4.dhcp.hosts.1.mac", "ipv4.dhcp.hosts.1.name", "ipv4.dhcp.hosts.1.id", "ipv4.dhcp.hosts.2.ip"}},
		"statics of IPv6": {func(s *NetworkSpec) { s.IPv6.DHCP.Hosts = []DHCPHost{{MAC: "52:54:00:00:00:09", IP: "fd00:9::7"}} }, []string{"ipv6.dhcp.hosts.0.mac", "ipv6.dhcp.hosts.0.name"}},
		"names": {func(s *NetworkSpec) {
			s.DNS = &NetworkDNS{Forwarders: []string{"x"}, Hosts: []DNSHost{{"x", nil}, {"10.9.0.1", []string{"-"}}}, SRV: []DNSSRV{{Service: "_", Protocol: "icmp", Target: "-", Port: 0}}, TXT: []DNSTXT{{"-", ""}}}
		}, []string{"dns.forwarders.0", "dns.hosts.0.ip", "dns.hosts.0.names", "dns.hosts.1.names", "dns.srv.0.service", "dns.srv.0.protocol", "dns.srv.0.target", "dns.srv.0.port", "dns.txt.0.name", "dns.txt.0.value"}},
	} {
		s := lan()
		c.change(&s)
		got := fieldsIn(s.Validate())
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(c.wrong))) {
			t.Errorf("%s: wrong are %v, should be %v", name, got, c.wrong)
		}
	}
}

func TestNetworksThatClashAreRefused(t *testing.T) {
	others := []Network{{Name: "old", Bridge: "virbr7", Spec: NetworkSpec{IPv4: &Subnet{Address: "10.9.0.1/16"}, IPv6: &Subnet{Address: "fd00:9::1/48"}}}, {Name: "seen", CIDR: "10.9.0.129/25"}, {Name: "lan"}}
	s := lan()
	s.Bridge = "virbr7"
	if err := s.CheckBeside("hv", others, false); !Is(err, Conflict) || !slices.Equal(fieldsIn(err), []string{"bridge", "ipv4.address", "ipv6.address", "ipv4.address", "name"}) {
		t.Errorf("%v %v", err, fieldsIn(err))
	}
	if err := lan().CheckBeside("hv", others[2:], true); err != nil {
		t.Errorf("it clashes with itself: %v", err)
	}
}

func TestNetworksDifferInWords(t *testing.T) {
	now := lan()
	if d := DiffNetworks(lan(), now); len(d) != 0 {
		t.Errorf("%+v", d)
	}
	now.MTU, now.IPv6, now.DNS, now.PortGroups, now.Inbound, now.Domain = 0, &Subnet{Address: "fd00:9::1/64"}, nil, nil, nil, ""
	var labels []string
	for _, c := range DiffNetworks(lan(), now) {
		labels = append(labels, c.Label)
		if c.Old == c.New {
			t.Errorf("%+v", c)
		}
	}
	if want := "IPv6 range, IPv6 static leases, DNS domain, Forwarders, DNS hosts, DNS services, DNS texts, MTU, Port groups, Bandwidth in"; strings.Join(labels, ", ") != want {
		t.Errorf("%s", strings.Join(labels, ", "))
	}
	for want, got := range map[string]string{
		"VLAN 42": (&VLAN{Tags: []int{42}}).String(), "trunk 1, 2 (native 1)": (&VLAN{Trunk: true, Tags: []int{1, 2}, Native: 1}).String(), "": (*VLAN)(nil).String(),
		"no limit": (*Bandwidth)(nil).String(), "1 MiB/s, at peak 2 MiB/s, bursts of 64 KiB": lan().Inbound.String(), "office (default) in 1 MiB/s out 10 KiB/s": lan().PortGroups[0].String(),
		"_ldap._tcp lab dc1.lab:389 0 0": lan().DNS.SRV[0].String(), "10.9.0.1 gw.lab": lan().DNS.Hosts[0].String(),
	} {
		if got != want {
			t.Errorf("“%s”, not “%s”", got, want)
		}
	}
	if s := lan().Subnets(); len(s) != 2 || s[0].String() != "10.9.0.0/24" {
		t.Errorf("%v", s)
	}
}

func TestAddressesOfAllSourcesAreOneList(t *testing.T) {
	got := MergeAddresses([]Address{{MAC: "52:54:00:AA:00:01", IP: "fe80::1", Sources: []string{AddressAgent}}, {IP: "127.0.0.1"}, {IP: "nonsense"}, {MAC: "52:54:00:aa:00:01", IP: "fd00::5", Sources: []string{AddressAgent}}},
		[]Address{{MAC: "52:54:00:aa:00:01", IP: "10.0.0.5", Sources: []string{AddressLease}}}, []Address{{MAC: "52:54:00:AA:00:01", IP: "10.0.0.5", Prefix: 24, Interface: "eth0", Sources: []string{AddressARP, AddressLease}}})
	if len(got) != 3 || got[0].IP != "10.0.0.5" || got[0].Prefix != 24 || got[0].Interface != "eth0" || strings.Join(got[0].Sources, " ") != "arp dhcp" || got[1].IP != "fd00::5" || got[2].IP != "fe80::1" {
		t.Errorf("%+v", got)
	}
}

func TestCardsChangeAndChangeBack(t *testing.T) {
	yes, model, network, bridge, filter := true, "e1000e", "dmz", "br0", "clean-traffic"
	was := NIC{Network: "lan", MAC: "52:54:00:00:00:01", Model: "virtio", PortGroup: "office", BandwidthIn: &Bandwidth{Average: 5}}
	for _, c := range []NICChange{
		{Network: &network}, {Bridge: &bridge, OpenVSwitch: &yes}, {Model: &model, Down: &yes, Filter: &filter}, {OpenVSwitch: &yes},
		{BandwidthIn: &Bandwidth{}, BandwidthOut: &Bandwidth{Average: 9}, VLAN: &VLAN{Tags: []int{7}}}, {VLAN: &VLAN{}, BandwidthIn: &Bandwidth{Average: 6}},
	} {
		c.MAC = was.MAC
		if c.Empty() {
			t.Errorf("%+v is empty", c)
		}
		now := c.Apply(was)
		back := c.Back(was).Apply(now)
		back.PortGroup = was.PortGroup // left behind with the network
		if back.Describe() != was.Describe() {
			t.Errorf("%s became %s and went back to %s", was.Describe(), now.Describe(), back.Describe())
		}
	}
	if !(NICChange{MAC: was.MAC}).Empty() {
		t.Error("a change of nothing")
	}
	var p Problems
	nics := []NIC{was}
	NICChange{MAC: "52:54:00:00:00:99"}.apply(&p, "n", nics)
	NICChange{MAC: was.MAC, Network: &network, Bridge: &bridge}.apply(&p, "n", nics)
	NICChange{MAC: was.MAC, Model: &model, Bridge: &bridge, BandwidthIn: &Bandwidth{}, BandwidthOut: &Bandwidth{}, VLAN: &VLAN{Tags: []int{9999}}}.apply(&p, "n", nics)
	if got := fieldsIn(p.Err()); !slices.Equal(got, []string{"n.mac", "n.network", "n.vlan.tags"}) {
		t.Errorf("%v", got)
	}
	var bad Problems
	NIC{PortGroup: "a b", Filter: "x y", SecurityGroups: make([]string, 17)}.validateMore(&bad, "n")
	if got := fieldsIn(bad.Err()); !slices.Equal(got, []string{"n.port_group", "n.filter", "n.filter", "n.security_groups"}) {
		t.Errorf("%v", got)
	}
	for in, want := range map[string]string{"52-54-00-AA-00-01": "52:54:00:aa:00:01", "01:00:5e:00:00:01": "", "x": ""} {
		if got, ok := ParseMAC(in); got != want || ok != (want != "") {
			t.Errorf("%s: %s", in, got)
		}
	}
	full := NIC{Network: "lan", Model: "virtio", Down: true, PortGroup: "office", VLAN: &VLAN{Tags: []int{3}}, BandwidthIn: &Bandwidth{Average: 1}, BandwidthOut: &Bandwidth{Average: 2}, Filter: "f"}
	if got := full.Describe(); got != "virtio on network lan, unplugged, port group office, VLAN 3, in 1 KiB/s, out 2 KiB/s, filter f" {
		t.Error(got)
	}
}
