package domain

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestSecurityGroupsAreJudged(t *testing.T) {
	ok := SecRule{Direction: "in", Protocol: "tcp", Ports: "8000-8010", CIDR: "10.0.0.0/8"}
	for name, c := range map[string]struct {
		g     SecurityGroup
		wrong []string
	}{
		"right":     {SecurityGroup{Name: "web", Rules: []SecRule{ok, {Direction: "out", Action: "deny", Protocol: "any", Group: "db"}}}, nil},
		"nameless":  {SecurityGroup{Description: strings.Repeat("x", 1001), Rules: make([]SecRule, 0)}, []string{"name", "description"}},
		"name":      {SecurityGroup{Name: "a b"}, []string{"name"}},
		"rule":      {SecurityGroup{Name: "a", Rules: []SecRule{{Direction: "up", Action: "maybe", Protocol: "sctp", Ports: "0", CIDR: "x", Group: "y", Description: strings.Repeat("x", 201)}}}, []string{"rules.0.direction", "rules.0.action", "rules.0.protocol", "rules.0.ports", "rules.0.ports", "rules.0.group", "rules.0.cidr", "rules.0.description"}},
		"icmp port": {SecurityGroup{Name: "a", Rules: []SecRule{{Direction: "in", Protocol: "icmp", Ports: "5-4"}}}, []string{"rules.0.ports", "rules.0.ports"}},
	} {
		if got := fieldsIn(c.g.Validate()); !slices.Equal(got, c.wrong) {
			t.Errorf("%s: wrong are %v, should be %v", name, got, c.wrong)
		}
	}
	if got := fieldsIn(SecurityGroup{Name: "a", Rules: slices.Repeat([]SecRule{ok}, 201)}.Validate()); !slices.Equal(got, []string{"rules"}) {
		t.Errorf("%v", got)
	}
}

func TestGroupsBecomeAFilterAndWords(t *testing.T) {
	web := SecurityGroup{ID: "sg_1", Name: "web", Rules: []SecRule{{Direction: "in", Action: "allow", Protocol: "tcp", Ports: "80"}, {Direction: "in", Protocol: "icmp", CIDR: "10.0.0.7"}, {Direction: "out", Action: "deny", Protocol: "udp", CIDR: "0.0.0.0/0"}}}
	db := SecurityGroup{ID: "sg_2", Spoofing: true, Rules: []SecRule{{Direction: "in", Protocol: "tcp", Ports: "5432-5433", Group: "sg_1"}, {Direction: "in", Protocol: "any", CIDR: "nonsense"}, {Direction: "in", Protocol: "any", Group: "sg_9"}}}
	f := CompileFilter([]SecurityGroup{web, db}, func(id string) []netip.Addr {
		if id == "sg_1" {
			return []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
		}
		return nil
	})
	if f.Name != FilterName([]string{"sg_2", "sg_1", "sg_1"}) || !f.Spoofing || len(f.Rules) != 6 || !f.Rules[0].Deny || f.Rules[0].Remote != "" {
		t.Fatalf("%+v", f)
	}
	if r := f.Rules[1]; r.From != 80 || r.To != 80 || r.V6 || !f.Rules[2].V6 {
		t.Errorf("%+v", f.Rules)
	}
	if r := f.Rules[4]; r.Remote != "10.0.0.1/32" || r.From != 5432 || r.To != 5433 || f.Rules[5].Remote != "fd00::1/128" || !f.Rules[5].V6 {
		t.Errorf("%+v", f.Rules)
	}
	if FilterName(nil) != "" {
		t.Error("no groups have a filter")
	}
	name := func(string) (string, int) { return "web", 1 }
	for want, s := range map[string]string{
		"Anyone may reach TCP 80 on 4 VMs.":                                  web.Rules[0].Sentence(4, name),
		"10.0.0.7 may reach ICMP (ping) on 1 VM.":                            web.Rules[1].Sentence(1, name),
		"2 VMs may not reach every UDP port of anyone with an IPv4 address.": web.Rules[2].Sentence(2, name),
		"Members of “web” (1 address) may reach TCP 5432-5433 on 2 VMs.":     db.Rules[0].Sentence(2, name),
		"Anyone with an IPv6 address may reach everything on 2 VMs.":         SecRule{Direction: "in", Protocol: "any", CIDR: "::/0"}.Sentence(2, name),
	} {
		if s != want {
			t.Errorf("“%s”, not “%s”", s, want)
		}
	}
}
