package hvtest

import (
	"cmp"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv"
)

// ContractNets is what every hv.Host must do with networks, cards and filters. It starts networks, so the host must have a network namespace of its own.
func ContractNets(t *testing.T, newHost func(t *testing.T) hv.Host, opt Options) {
	c := contract{opt: opt, open: newHost}
	for _, part := range []struct {
		name string
		run  func(*testing.T, *session)
	}{
		{"network life", c.networkLife}, {"network edit", c.networkEdit}, {"network modes", c.networkModes}, {"filters", c.filters}, {"cards", c.cards},
	} {
		t.Run(part.name, func(t *testing.T) {
			part.run(t, &session{T: t, h: newHost(t), opt: opt})
		})
	}
}

func (s *session) network(spec domain.NetworkSpec) domain.NetworkSpec {
	s.Helper()
	spec.UUID = domain.NewUUID()
	spec.Name = cmp.Or(spec.Name, "c"+spec.UUID[:8])
	s.must(spec.Validate())
	s.Cleanup(func() {
		s.must(s.h.StopNetwork(s.ctx(), spec.Name))
		_, err := s.h.UndefineNetwork(s.ctx(), spec.Name)
		s.must(err)
	})
	s.must(s.h.DefineNetwork(s.ctx(), spec))
	return spec
}

func (s *session) reads(name string) domain.Network {
	s.Helper()
	n, err := s.h.Network(s.ctx(), name)
	s.must(err)
	return n
}

func lan(octet string) domain.NetworkSpec {
	return domain.NetworkSpec{Mode: domain.NetNAT, Domain: "lan.test", IPv4: &domain.Subnet{Address: "10.93." + octet + ".1/24", DHCP: &domain.DHCP{
		Ranges: []domain.IPRange{{Start: "10.93." + octet + ".100", End: "10.93." + octet + ".200"}},
		Hosts:  []domain.DHCPHost{{MAC: "52:54:00:00:93:01", Name: "first", IP: "10.93." + octet + ".10"}},
	}}, DNS: &domain.NetworkDNS{
		Hosts: []domain.DNSHost{{IP: "10.93." + octet + ".5", Names: []string{"files.lan.test"}}}, TXT: []domain.DNSTXT{{Name: "lan.test", Value: "of a test"}},
		SRV: []domain.DNSSRV{{Service: "ldap", Protocol: "tcp", Domain: "lan.test", Target: "files.lan.test", Port: 389, Priority: 1, Weight: 2}},
	}}
}

func (c contract) networkLife(t *testing.T, s *session) {
	spec := s.network(lan("1"))
	s.must(s.h.DefineNetwork(s.ctx(), spec)) // again
	other := spec
	other.UUID = domain.NewUUID()
	s.want(domain.Conflict, s.h.DefineNetwork(s.ctx(), other), "a name that is taken")
	n := s.reads(spec.Name)
	if n.Active || n.Autostart || n.UUID != spec.UUID || n.Mode != domain.NetNAT || n.CIDR != "10.93.1.1/24" || n.Bridge == "" {
		t.Errorf("a new network reads %+v", n)
	}
	if d := domain.DiffNetworks(spec, n.Spec); len(d) != 0 {
		t.Errorf("what was defined is read back otherwise: %v", d)
	}
	for range 2 {
		s.must(s.h.StartNetwork(s.ctx(), spec.Name))
		s.must(s.h.SetNetworkAutostart(s.ctx(), spec.Name, true))
	}
	if n = s.reads(spec.Name); !n.Active || !n.Autostart || len(n.Pending) != 0 {
		t.Errorf("a started network reads %+v", n)
	}
	leases, err := s.h.Leases(s.ctx(), spec.Name)
	s.must(err)
	if len(leases) != 0 {
		t.Errorf("leases of nobody: %v", leases)
	}
	_, err = s.h.UndefineNetwork(s.ctx(), spec.Name)
	s.want(domain.Conflict, err, "removing a network that runs")
	inv, err := s.h.Inventory(s.ctx())
	s.must(err)
	found := false
	for _, x := range inv.Networks {
		found = found || x.Name == spec.Name && x.Active && x.Spec.IPv4 != nil
	}
	if !found {
		t.Error("the inventory lacks the network")
	}
	for range 2 {
		s.must(s.h.StopNetwork(s.ctx(), spec.Name))
	}
	doc, err := s.h.UndefineNetwork(s.ctx(), spec.Name)
	s.must(err)
	if !strings.Contains(doc, spec.UUID) {
		t.Errorf("the definition that is given back lacks the UUID: %s", doc)
	}
	_, err = s.h.UndefineNetwork(s.ctx(), spec.Name) // again
	s.must(err)
	_, err = s.h.Network(s.ctx(), spec.Name)
	s.want(domain.NotFound, err, "a network that is gone")
	s.want(domain.NotFound, s.h.StartNetwork(s.ctx(), spec.Name), "starting it")
	s.must(s.h.DefineNetworkXML(s.ctx(), doc))
	if d := domain.DiffNetworks(spec, s.reads(spec.Name).Spec); len(d) != 0 {
		t.Errorf("put back, it differs: %v", d)
	}
}

func (c contract) networkEdit(t *testing.T, s *session) {
	spec := s.network(lan("2"))
	s.must(s.h.StartNetwork(s.ctx(), spec.Name))
	spec.IPv4.DHCP.Hosts = append(spec.IPv4.DHCP.Hosts, domain.DHCPHost{MAC: "52:54:00:00:93:02", IP: "10.93.2.11"})
	spec.IPv4.DHCP.Ranges[0].End = "10.93.2.220"
	spec.DNS.Hosts = []domain.DNSHost{{IP: "10.93.2.6", Names: []string{"db.lan.test"}}}
	spec.DNS.TXT = nil
	notes, err := s.h.UpdateNetwork(s.ctx(), spec.Name, spec)
	s.must(err)
	n := s.reads(spec.Name)
	if d := domain.DiffNetworks(spec, n.Spec); len(d) != 0 || len(n.Pending) != 0 || len(notes) != 1 {
		t.Errorf("leases and names were not changed at once: %v, pending %v, notes %v", d, n.Pending, notes)
	}
	spec.MTU = 1400
	notes, err = s.h.UpdateNetwork(s.ctx(), spec.Name, spec)
	s.must(err)
	if n = s.reads(spec.Name); len(n.Pending) != 1 || n.Pending[0].Field != "mtu" || n.Spec.MTU != 1400 || !strings.Contains(strings.Join(notes, " "), "started again") {
		t.Errorf("an MTU that waits: pending %v, notes %v", n.Pending, notes)
	}
	s.must(s.h.StopNetwork(s.ctx(), spec.Name))
	s.must(s.h.StartNetwork(s.ctx(), spec.Name))
	if n = s.reads(spec.Name); len(n.Pending) != 0 {
		t.Errorf("after starting it again %v is pending", n.Pending)
	}
	_, err = s.h.UpdateNetwork(s.ctx(), "no-such", spec)
	s.want(domain.NotFound, err, "editing what is not there")
}

func (c contract) networkModes(t *testing.T, s *session) {
	limit := &domain.Bandwidth{Average: 1000, Peak: 2000, Burst: 512}
	for _, spec := range []domain.NetworkSpec{
		{Mode: domain.NetIsolated},
		{Mode: domain.NetIsolated, IPv4: &domain.Subnet{Address: "10.93.10.1/24"}, DNS: &domain.NetworkDNS{Disabled: true}},
		{Mode: domain.NetRoute, IPv4: &domain.Subnet{Address: "10.93.11.1/24"}, Inbound: limit, Outbound: limit, MTU: 9000},
		{Mode: domain.NetOpen, IPv6: &domain.Subnet{Address: "fd00:93::1/64", DHCP: &domain.DHCP{Ranges: []domain.IPRange{{Start: "fd00:93::100", End: "fd00:93::1ff"}},
			Hosts: []domain.DHCPHost{{Name: "six", IP: "fd00:93::10"}}}}},
		{Mode: domain.NetNAT, IPv4: &domain.Subnet{Address: "10.93.12.1/24"}, IPv6: &domain.Subnet{Address: "fd00:94::1/64"}, DNS: &domain.NetworkDNS{Forwarders: []string{"10.0.0.53"}}},
		{Mode: domain.NetBridge, Bridge: "br-there"},
		{Mode: domain.NetOVS, Bridge: "br-ovs", VLAN: &domain.VLAN{Trunk: true, Tags: []int{42, 43}, Native: 42}, PortGroups: []domain.PortGroup{
			{Name: "dmz", Default: true, VLAN: &domain.VLAN{Tags: []int{42}}, Inbound: limit}, {Name: "db", VLAN: &domain.VLAN{Tags: []int{43}}}}},
		{Mode: domain.NetMacvtap, Device: "eth0", MacvtapMode: "bridge"}, {Mode: domain.NetMacvtap, Device: "eth0", MacvtapMode: "vepa"},
		{Mode: domain.NetMacvtap, Device: "eth0", MacvtapMode: "private"}, {Mode: domain.NetMacvtap, Device: "eth0", MacvtapMode: "passthrough"},
	} {
		spec = s.network(spec)
		n := s.reads(spec.Name)
		if d := domain.DiffNetworks(spec, n.Spec); len(d) != 0 || n.Mode != spec.Mode {
			t.Errorf("%s is read back otherwise: %v\n%s", spec.Mode, d, n.XML)
		}
	}
}

func (c contract) filters(t *testing.T, s *session) {
	f := domain.Filter{Name: domain.FilterPrefix + "contract", Rules: []domain.FilterRule{
		{In: true, Deny: true, Protocol: "any", Remote: "10.9.0.0/16"}, {In: true, Protocol: "tcp", From: 22, To: 22}, {In: true, Protocol: "tcp", From: 22, To: 22, V6: true},
		{In: true, Protocol: "udp", From: 8000, To: 8010, Remote: "fd00::/8", V6: true}, {In: true, Protocol: "icmp"}, {In: true, Protocol: "icmp", V6: true},
		{Protocol: "any", Deny: true, Remote: "192.168.0.7/32"},
	}}
	s.Cleanup(func() { s.must(s.h.UndefineFilter(s.ctx(), f.Name)) })
	for range 2 {
		s.must(s.h.DefineFilter(s.ctx(), f))
	}
	names, err := s.h.Filters(s.ctx())
	s.must(err)
	if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+f.Name+" ") {
		t.Errorf("%s is not among %v", f.Name, names)
	}
	f.Rules, f.Spoofing = nil, true
	s.must(s.h.DefineFilter(s.ctx(), f))
	for range 2 {
		s.must(s.h.UndefineFilter(s.ctx(), f.Name))
	}
}

// cards changes the card of a guest that runs.
func (c contract) cards(t *testing.T, s *session) {
	one, two := s.network(lan("20")), s.network(domain.NetworkSpec{Mode: domain.NetIsolated})
	s.must(s.h.StartNetwork(s.ctx(), one.Name))
	s.must(s.h.StartNetwork(s.ctx(), two.Name))
	f := domain.Filter{Name: domain.FilterPrefix + "cards", Rules: []domain.FilterRule{{In: true, Protocol: "tcp", From: 22, To: 22}}}
	s.Cleanup(func() { s.must(s.h.UndefineFilter(s.ctx(), f.Name)) })
	s.must(s.h.DefineFilter(s.ctx(), f))
	v := s.spec()
	mac := domain.NewMAC()
	v.NICs = []domain.NIC{{Network: one.Name, Model: "virtio", MAC: mac}}
	s.forget(v.UUID)
	_, err := s.h.Define(s.ctx(), v)
	s.must(err)
	none, err := s.h.GuestAddresses(s.ctx(), v.UUID)
	s.must(err)
	if len(none) != 0 {
		t.Errorf("a guest that does not run has the addresses %v", none)
	}
	s.must(s.h.Start(s.ctx(), v.UUID))
	_, err = s.h.GuestAddresses(s.ctx(), v.UUID)
	s.must(err)
	change := func(n domain.NICChange) (config, live domain.NIC) {
		t.Helper()
		n.MAC = mac
		_, err := s.h.Change(s.ctx(), v.UUID, domain.VMChange{ChangeNICs: []domain.NICChange{n}})
		s.must(err)
		g, err := s.h.Guest(s.ctx(), v.UUID)
		s.must(err)
		return g.Config.NICs[0], g.Live.NICs[0]
	}
	down, up, filter, none2, model := true, false, f.Name, "", "e1000"
	if config, live := change(domain.NICChange{Down: &down}); !config.Down || !live.Down {
		t.Errorf("link down: %+v, live %+v", config, live)
	}
	if config, live := change(domain.NICChange{Down: &up}); config.Down || live.Down {
		t.Errorf("link up: %+v, live %+v", config, live)
	}
	if config, live := change(domain.NICChange{Filter: &filter}); config.Filter != filter || live.Filter != filter {
		t.Errorf("filter: %+v, live %+v", config, live)
	}
	s.want(domain.Conflict, s.h.UndefineFilter(s.ctx(), f.Name), "removing a filter in use")
	if config, live := change(domain.NICChange{Network: &two.Name}); config.Network != two.Name || live.Network != two.Name || live.Filter != filter {
		t.Errorf("moved: %+v, live %+v", config, live)
	}
	if config, live := change(domain.NICChange{Filter: &none2}); config.Filter != "" || live.Filter != "" {
		t.Errorf("no filter: %+v, live %+v", config, live)
	}
	if config, live := change(domain.NICChange{Model: &model}); config.Model != model || live.Model != "virtio" {
		t.Errorf("model: %+v, live %+v; want it from the next start", config, live)
	}
	if c.opt.Limits {
		limit := &domain.Bandwidth{Average: 2048}
		if config, live := change(domain.NICChange{BandwidthIn: limit, BandwidthOut: limit}); config.BandwidthIn == nil || live.BandwidthOut == nil || live.BandwidthIn.Average != 2048 {
			t.Errorf("limits: %+v, live %+v", config, live)
		}
		if config, live := change(domain.NICChange{BandwidthIn: &domain.Bandwidth{}, BandwidthOut: &domain.Bandwidth{}}); config.BandwidthIn != nil || live.BandwidthOut != nil {
			t.Errorf("no limits: %+v, live %+v", config, live)
		}
	}
	_, err = s.h.Change(s.ctx(), v.UUID, domain.VMChange{ChangeNICs: []domain.NICChange{{MAC: "52:54:00:99:99:99", Down: &down}}})
	s.want(domain.NotFound, err, "a card that is not there")
}
