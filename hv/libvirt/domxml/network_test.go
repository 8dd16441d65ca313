package domxml

import (
	"fmt"
	"strings"
	"testing"

	"novacron/domain"
)

func init() {
	sample("network", func(testing.TB) map[string]string {
		docs := map[string]string{}
		for i, s := range networkSpecs() {
			docs[fmt.Sprintf("%d %s", i, s.Mode)] = NetworkXML(s)
		}
		return docs
	})
	sample("nwfilter", func(testing.TB) map[string]string {
		docs := map[string]string{}
		f := domain.Filter{Name: "novacron-x"}
		for _, in := range []bool{true, false} {
			for _, p := range []string{"tcp", "udp", "icmp", "any"} {
				for _, remote := range []string{"", "10.0.0.0/8", "fd00::/8"} {
					r := domain.FilterRule{In: in, Deny: !in, Protocol: p, Remote: remote, V6: strings.Contains(remote, ":")}
					if p == "tcp" || p == "udp" {
						r.From, r.To = 22, 23
					}
					f.Rules = append(f.Rules, r)
				}
			}
		}
		names, xmls := FilterXMLs(f)
		for i, n := range names {
			docs[n] = xmls[i]
		}
		return docs
	})
}

func networkSpecs() []domain.NetworkSpec {
	limit := &domain.Bandwidth{Average: 1000, Peak: 2000, Burst: 512}
	uuid := "11111111-1111-4111-8111-111111111111"
	dns := &domain.NetworkDNS{Forwarders: []string{"9.9.9.9"}, Hosts: []domain.DNSHost{{IP: "10.0.1.5", Names: []string{"a.lan", "b.lan"}}},
		SRV: []domain.DNSSRV{{Service: "ldap", Protocol: "tcp", Domain: "lan", Target: "a.lan", Port: 389, Priority: 1, Weight: 2}}, TXT: []domain.DNSTXT{{Name: "lan", Value: "it's <here> & \"there\""}}}
	return []domain.NetworkSpec{
		{Name: "nat", UUID: uuid, Mode: domain.NetNAT, Bridge: "virbr7", Device: "eth0", Domain: "lan", MTU: 1400, DNS: dns, Inbound: limit, Outbound: &domain.Bandwidth{Average: 10},
			IPv4: &domain.Subnet{Address: "10.0.1.1/24", DHCP: &domain.DHCP{Ranges: []domain.IPRange{{Start: "10.0.1.10", End: "10.0.1.99"}}, Hosts: []domain.DHCPHost{{MAC: "52:54:00:00:00:01", Name: "one", IP: "10.0.1.5"}}}},
			IPv6: &domain.Subnet{Address: "fd00::1/64", DHCP: &domain.DHCP{Ranges: []domain.IPRange{{Start: "fd00::10", End: "fd00::20"}}, Hosts: []domain.DHCPHost{{ID: "00:03:00:01:52:54:00:00:00:02", Name: "two", IP: "fd00::5"}}}}},
		{Name: "route", Mode: domain.NetRoute, IPv4: &domain.Subnet{Address: "10.0.2.1/24"}},
		{Name: "isolated", Mode: domain.NetIsolated, DNS: &domain.NetworkDNS{Disabled: true}},
		{Name: "open", Mode: domain.NetOpen, IPv4: &domain.Subnet{Address: "10.0.3.1/24"}},
		{Name: "bridge", Mode: domain.NetBridge, Bridge: "br0"},
		{Name: "ovs", Mode: domain.NetOVS, Bridge: "br-int", VLAN: &domain.VLAN{Trunk: true, Tags: []int{1, 2}, Native: 2}, PortGroups: []domain.PortGroup{
			{Name: "dmz", Default: true, VLAN: &domain.VLAN{Tags: []int{42}}, Inbound: limit, Outbound: limit}, {Name: "plain"}}},
		{Name: "tap", Mode: domain.NetMacvtap, Device: "eth0", MacvtapMode: "bridge"},
		{Name: "vepa", Mode: domain.NetMacvtap, Device: "eth0", MacvtapMode: "vepa"},
	}
}

func TestNetworksAreReadBackAsWritten(t *testing.T) {
	for _, s := range networkSpecs() {
		n, err := ParseNetwork(NetworkXML(s))
		if err != nil {
			t.Fatal(err)
		}
		if d := domain.DiffNetworks(s, n.Spec); len(d) != 0 || n.Spec.Mode != s.Mode || n.Name != s.Name || n.UUID != s.UUID {
			t.Errorf("%s: %v", s.Name, d)
		}
	}
}

const foreign = `<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0' ipv6='yes'>
  <name>old</name>
  <uuid>11111111-1111-4111-8111-111111111111</uuid>
  <!-- ours -->
  <metadata><x:owner xmlns:x='urn:x'>ops</x:owner></metadata>
  <forward mode='nat'>
    <nat><port start='1024' end='65535'/></nat>
  </forward>
  <bridge name='virbr9' stp='on' delay='0'/>
  <mac address='52:54:00:aa:bb:cc'/>
  <ip address='192.168.9.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.9.2' end='192.168.9.254'/>
    </dhcp>
  </ip>
  <dnsmasq:options>
    <dnsmasq:option value='log-queries'/>
  </dnsmasq:options>
</network>
`

func TestEditNetworkTouchesNothingElse(t *testing.T) {
	n, err := ParseNetwork(foreign)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := EditNetwork(foreign, n.Spec); err != nil || same != foreign {
		t.Errorf("an edit of nothing changed it: %v\n%s", err, same)
	}
	to := n.Spec
	to.Bridge, to.MTU, to.Domain = "", 1400, "lan"
	got, err := EditNetwork(foreign, to)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(foreign, "delay='0'/>\n", "delay='0'/>\n  <mtu size='1400'/>\n  <domain name='lan'/>\n", 1)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	to.IPv4 = &domain.Subnet{Address: "192.168.9.1/24"}
	if got, err = EditNetwork(got, to); err != nil || strings.Contains(got, "range") || !strings.Contains(got, "port start='1024'") || !strings.Contains(got, "log-queries") {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestNetworkUpdates(t *testing.T) {
	from := networkSpecs()[0]
	to := networkSpecs()[0]
	to.IPv4.DHCP.Hosts = []domain.DHCPHost{{MAC: "52:54:00:00:00:01", Name: "one", IP: "10.0.1.6"}}
	to.DNS.TXT = nil
	to.DNS.Forwarders = nil
	live, rest := NetworkUpdates(from, to)
	if len(live) != 3 || live[0].Add || live[1].Add || !live[2].Add {
		t.Errorf("told while it runs: %+v", live)
	}
	if len(rest) != 1 || rest[0].Field != "dns.forwarders" {
		t.Errorf("waits: %+v", rest)
	}
}

const card = `<interface type="network">
  <mac address="52:54:00:00:00:01"/>
  <source network="default" portid="x" bridge="virbr0"/>
  <target dev="vnet3"/>
  <model type="virtio"/>
  <driver name="vhost" queues="4"/>
  <alias name="net0"/>
</interface>`

// A card of a running guest on a bridged network shows the bridge, and is the network's still.
func TestACardThatItsNetworkResolved(t *testing.T) {
	const ran = `<interface type='bridge'><mac address='52:54:00:93:00:09'/><source network='tagged' portgroup='trunk' portid='4f' bridge='nova-ovs'/><vlan trunk='yes'><tag id='20'/></vlan>` +
		`<virtualport type='openvswitch'><parameters interfaceid='b2'/></virtualport><target dev='vnet2'/><model type='virtio'/></interface>`
	n := parseNIC(mustRead(t, ran))
	if n.Network != "tagged" || n.Bridge != "" || n.PortGroup != "trunk" {
		t.Errorf("%+v", n)
	}
	got, err := ChangeNICXML(ran, domain.NICChange{VLAN: &domain.VLAN{Tags: []int{10}}})
	want := strings.NewReplacer("type='bridge'", "type='network'", "<vlan trunk='yes'><tag id='20'/></vlan>", "", "</interface>", "<vlan><tag id='10'/></vlan></interface>").Replace(ran)
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestChangeNICXMLTouchesNothingElse(t *testing.T) {
	down, up, filter, none, br, ovs := true, false, "novacron-x", "", "br-int", true
	for _, c := range []struct {
		name   string
		change domain.NICChange
		want   string
	}{
		{"nothing", domain.NICChange{}, card},
		{"link up as it is", domain.NICChange{Down: &up}, card},
		{"down", domain.NICChange{Down: &down}, strings.Replace(card, `"virtio"/>`, `"virtio"/>`+"\n  <link state='down'/>", 1)},
		{"filter", domain.NICChange{Filter: &filter}, strings.Replace(card, `"virtio"/>`, `"virtio"/>`+"\n  <filterref filter='novacron-x'/>", 1)},
		{"limit", domain.NICChange{BandwidthIn: &domain.Bandwidth{Average: 7}}, strings.Replace(card, `"virtio"/>`, `"virtio"/>`+"\n  <bandwidth>\n    <inbound average='7'/>\n  </bandwidth>", 1)},
		{"ovs", domain.NICChange{Bridge: &br, OpenVSwitch: &ovs, VLAN: &domain.VLAN{Tags: []int{42}}}, strings.Replace(strings.Replace(strings.Replace(card, `"network"`, `"bridge"`, 1),
			`<source network="default" portid="x" bridge="virbr0"/>`, "<source bridge='br-int'/>\n  <virtualport type='openvswitch'/>", 1), `"virtio"/>`, `"virtio"/>`+"\n  <vlan>\n    <tag id='42'/>\n  </vlan>", 1)},
	} {
		got, err := ChangeNICXML(card, c.change)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\ngot\n%s\nwant\n%s", c.name, err, got, c.want)
		}
		n := parseNIC(mustRead(t, card))
		back := c.change.Back(n)
		again, err := ChangeNICXML(got, back)
		if err != nil {
			t.Fatal(err)
		}
		if now := parseNIC(mustRead(t, again)); now.Describe() != n.Describe() {
			t.Errorf("%s: taken back it is %q, it was %q", c.name, now.Describe(), n.Describe())
		}
	}
	if got, err := ChangeNICXML(strings.Replace(card, `<target`, `<filterref filter="clean-traffic"/><target`, 1), domain.NICChange{Filter: &none}); err != nil || strings.Contains(got, "filterref") {
		t.Errorf("%v\n%s", err, got)
	}
}

func mustRead(t *testing.T, doc string) *node {
	d, err := read(doc, "")
	if err != nil {
		t.Fatal(err)
	}
	return d.root
}
