package views_test

import (
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/secgroups"
	"novacron/views/vms"
)

func sampleGroups() []domain.SecurityGroup {
	return []domain.SecurityGroup{
		{ID: "sg_1", Name: "web", Description: "Front ends " + evil, Version: 3, Rules: []domain.SecRule{{Direction: "in", Protocol: "tcp", Ports: "80"}, {Direction: "in", Protocol: "icmp", CIDR: "10.0.0.0/8", Description: "monitoring " + evil}, {Direction: "out", Action: "deny", Protocol: "tcp", Ports: "25"}}},
		{ID: "sg_2", Name: "db", Version: 1, Rules: []domain.SecRule{{Direction: "in", Protocol: "tcp", Ports: "5432", Group: "sg_1"}}},
	}
}

// secGroupPages are the pages of package secgroups, and the dialog of a card.
func secGroupPages() []page {
	sh := func(title, path string) layout.Shell {
		return shell(title, layout.SectionNets, path, layout.Crumb{Label: "Networks", URL: live.Networks}, layout.Crumb{Label: "Security groups", URL: live.SecGroups})
	}
	groups := sampleGroups()
	effect := secgroups.Effect{VMs: sampleVMs()[:2], Hosts: sampleHosts()[:2], Sentences: []string{"Anyone may reach TCP 80 on 2 VMs.", "10.0.0.0/8 may reach ICMP (ping) on 2 VMs.", "2 VMs may not reach TCP 25 of anyone.", "Everything else that comes in is dropped; everything else may go out."}, Warnings: []string{"No member of “db” has a known address."}}
	bad := secgroups.Form{Name: "w eb" + evil, Rules: []secgroups.RuleForm{{Direction: "in", Action: "allow", Protocol: "tcp", Ports: "99999", Remote: "cidr", CIDR: "nowhere"}}}
	err := bad.Group("").Validate()
	refused, _ := err.(*domain.Error)
	vm := sampleVMs()[0]
	return []page{
		{"secgroups", secgroups.ListPage(sh("Security groups", live.SecGroups), secgroups.List{Rows: []secgroups.Row{{Group: groups[0], VMs: 2}, {Group: groups[1]}}})},
		{"secgroups-none", secgroups.ListPage(sh("Security groups", live.SecGroups), secgroups.List{})},
		{"secgroup", secgroups.ShowPage(sh("web", live.SecGroup("sg_1")), secgroups.Show{Group: groups[0], Effect: effect, Names: map[string]string{"sg_1": "web"}, UsedBy: groups[1:]})},
		{"secgroup-new", secgroups.EditPage(sh("New security group", live.SecGroupNew), secgroups.Edit{Title: "New security group", Form: secgroups.NewForm(), Groups: groups, Key: "k"})},
		{"secgroup-effect", secgroups.EditPage(sh("Edit web", live.SecGroupEdit("sg_1")), secgroups.Edit{ID: "sg_1", Title: "Edit web", Form: secgroups.Filled(groups[0]), Groups: groups, Effect: &effect, Key: "k"})},
		{"secgroup-bad", secgroups.EditPage(sh("New security group", live.SecGroupNew), secgroups.Edit{Title: "New security group", Form: bad, Groups: groups, Err: refused, Key: "k"})},
		{"secgroup-delete", secgroups.DeletePage(sh("Delete web", live.SecGroupDelete("sg_1")), secgroups.Delete{Group: groups[0], VMs: sampleVMs()[:1], UsedBy: groups[1:], Key: "k"})},
		{"nic-detach", vms.DetachNICPage(sh("Detach", live.VMNICAct(vm.ID, "52:54:00:aa:00:00", "detach")), vms.DetachNIC{VM: vm, Card: vm.Config.NICs[0], Key: "k"})},
	}
}

// withCards fills the section of network cards.
func withCards(m vms.Page) vms.Page {
	m.Cards = vms.Cards{Groups: sampleGroups(), Of: map[string][]string{"novacron-1": {"web"}}}
	cfg := m.VM.Config
	cfg.NICs = append([]domain.NIC{}, cfg.NICs...)
	cfg.NICs[0].Filter, cfg.NICs[0].BandwidthIn = "novacron-1", &domain.Bandwidth{Average: 10240}
	cfg.NICs = append(cfg.NICs, domain.NIC{Bridge: "ovs-br0", OpenVSwitch: true, MAC: "52:54:00:aa:01:00", Down: true, VLAN: &domain.VLAN{Tags: []int{42}}})
	m.VM.Config = cfg
	m.VM.Addresses = []domain.Address{{MAC: cfg.NICs[0].MAC, IP: "192.168.122.14", Sources: []string{"agent", "dhcp"}}, {MAC: cfg.NICs[0].MAC, IP: "fe80::5054:ff:feaa:0", Sources: []string{"agent"}}}
	return m
}
