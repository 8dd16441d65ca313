package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SecurityGroup is a set of rules for the cards of VMs. What comes in is denied unless a rule allows it; what goes out is allowed unless a rule denies
// it; answers to what was allowed, DHCP and ARP always pass. A deny of one group wins over the allow of another.
type SecurityGroup struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Rules       []SecRule `json:"rules"`
	Spoofing    bool      `json:"allow_spoofing"` // false: a VM sends only with its own MAC and address
	Version     int64     `json:"version"`
	CreatedAt   time.Time `json:"created_at"`
}

// SecRule is one rule of a group.
type SecRule struct {
	Direction   string `json:"direction"`        // in or out, as the VM sees it
	Action      string `json:"action,omitempty"` // allow (when empty) or deny
	Protocol    string `json:"protocol"`         // tcp, udp, icmp or any
	Ports       string `json:"ports,omitempty"`  // of tcp and udp: 22 or 8000-8010; empty: all
	CIDR        string `json:"cidr,omitempty"`   // the other side; neither CIDR nor Group: anyone
	Group       string `json:"group,omitempty"`  // the other side is a member of this group (id; a name when asked for)
	Description string `json:"description,omitempty"`
}

const maxSecRules = 200

// Validate checks a group, apart from whether the groups it names exist.
func (g SecurityGroup) Validate() error {
	var p Problems
	switch {
	case g.Name == "":
		p.Add("name", "A name is needed.", "for example web")
	case !netNameRE.MatchString(g.Name):
		p.Add("name", "“"+g.Name+"” cannot be a group's name.", "1 to 50 letters, digits, dots, hyphens or underscores, starting with a letter or digit")
	}
	if len(g.Description) > 1000 {
		p.Add("description", "The description is too long.", "at most 1000 characters")
	}
	if len(g.Rules) > maxSecRules {
		p.Add("rules", "That is too many rules.", fmt.Sprintf("at most %d", maxSecRules))
	}
	for i, r := range g.Rules {
		r.validate(&p, fmt.Sprintf("rules.%d", i))
	}
	return p.Err()
}

func (r SecRule) validate(p *Problems, at string) {
	oneOf(p, at+".direction", r.Direction, "in", "out")
	oneOf(p, at+".action", r.Action, "", "allow", "deny")
	oneOf(p, at+".protocol", r.Protocol, "tcp", "udp", "icmp", "any")
	if _, _, err := r.PortRange(); err != nil {
		p.Add(at+".ports", "“"+r.Ports+"” are not ports.", "a port such as 22, or a range such as 8000-8010")
	}
	if r.Ports != "" && r.Protocol != "tcp" && r.Protocol != "udp" {
		p.Add(at+".ports", "Only tcp and udp have ports.", "no ports, or tcp or udp")
	}
	if r.CIDR != "" && r.Group != "" {
		p.Add(at+".group", "The other side is a subnet or a group, one of the two.", "one of the two, or none for anyone")
	}
	if r.CIDR != "" {
		if _, err := ParseCIDR(r.CIDR); err != nil {
			p.Add(at+".cidr", "“"+r.CIDR+"” is not an address or subnet.", "for example 10.0.0.0/8 or 192.168.1.7")
		}
	}
	if len(r.Description) > 200 {
		p.Add(at+".description", "The description is too long.", "at most 200 characters")
	}
}

// ParseCIDR reads a subnet or a single address.
func ParseCIDR(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

// PortRange gives the first and last port; 0, 0 means all.
func (r SecRule) PortRange() (from, to int, err error) {
	if r.Ports == "" {
		return 0, 0, nil
	}
	a, b, ranged := strings.Cut(strings.ReplaceAll(r.Ports, " ", ""), "-")
	if !ranged {
		b = a
	}
	if from, err = strconv.Atoi(a); err != nil {
		return 0, 0, err
	}
	if to, err = strconv.Atoi(b); err != nil {
		return 0, 0, err
	}
	if from < 1 || to < from || to > 65535 {
		return 0, 0, fmt.Errorf("out of range")
	}
	return from, to, nil
}

// FilterPrefix begins the names of all filters that NovaCron makes on a host.
const FilterPrefix = "novacron-"

// FilterName names the filter of a set of security groups on every host. It depends on the set alone, so that what a card's definition says tells
// which groups it is in.
func FilterName(groupIDs []string) string {
	if len(groupIDs) == 0 {
		return ""
	}
	ids := slices.Clone(groupIDs)
	slices.Sort(ids)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(ids), " ")))
	return FilterPrefix + hex.EncodeToString(sum[:8])
}

// Filter is what a host enforces for the cards that name it: rules in order, the rest coming in denied and the rest going out allowed.
type Filter struct {
	Name     string       `json:"name"`
	Spoofing bool         `json:"allow_spoofing,omitempty"`
	Rules    []FilterRule `json:"rules"` // denies first
}

// FilterRule is a rule with the other side settled.
type FilterRule struct {
	In       bool   `json:"in"`
	Deny     bool   `json:"deny,omitempty"`
	Protocol string `json:"protocol"`         // tcp, udp, icmp or any
	From     int    `json:"from,omitempty"`   // ports
	To       int    `json:"to,omitempty"`     //
	Remote   string `json:"remote,omitempty"` // prefix; empty: any address
	V6       bool   `json:"v6,omitempty"`
}

// CompileFilter makes the filter of a set of groups. members gives the addresses of a group's members. A rule about a group without any known address
// matches nobody, so it is left out.
func CompileFilter(groups []SecurityGroup, members func(groupID string) []netip.Addr) Filter {
	ids := make([]string, len(groups))
	f := Filter{}
	for i, g := range groups {
		ids[i] = g.ID
		f.Spoofing = f.Spoofing || g.Spoofing
		for _, r := range g.Rules {
			f.Rules = append(f.Rules, r.compile(members)...)
		}
	}
	f.Name = FilterName(ids)
	slices.SortStableFunc(f.Rules, func(a, b FilterRule) int {
		switch {
		case a.Deny == b.Deny:
			return 0
		case a.Deny:
			return -1
		}
		return 1
	})
	return f
}

func (r SecRule) compile(members func(string) []netip.Addr) []FilterRule {
	from, to, _ := r.PortRange() // checked when the group was saved
	base := FilterRule{In: r.Direction == "in", Deny: r.Action == "deny", Protocol: r.Protocol, From: from, To: to}
	var remotes []netip.Prefix
	switch {
	case r.CIDR != "":
		p, err := ParseCIDR(r.CIDR)
		if err != nil {
			return nil
		}
		remotes = append(remotes, p)
	case r.Group != "":
		for _, a := range members(r.Group) {
			remotes = append(remotes, netip.PrefixFrom(a, a.BitLen()))
		}
	default:
		six := base
		six.V6 = true
		return []FilterRule{base, six}
	}
	var out []FilterRule
	for _, p := range remotes {
		one := base
		one.V6 = p.Addr().Is6()
		if p.Bits() > 0 {
			one.Remote = p.String()
		}
		out = append(out, one)
	}
	return out
}

// Sentence says what a rule does: "Anyone may reach TCP 22 on 4 VMs." names gives a group's name and how many members it has; targets is how many VMs
// the rule is for.
func (r SecRule) Sentence(targets int, group func(id string) (name string, members int)) string {
	vms := fmt.Sprintf("%d VMs", targets)
	if targets == 1 {
		vms = "1 VM"
	}
	what := map[string]string{"tcp": "TCP", "udp": "UDP", "icmp": "ICMP (ping)", "any": "everything"}[r.Protocol]
	if r.Ports != "" {
		what += " " + r.Ports
	} else if r.Protocol == "tcp" || r.Protocol == "udp" {
		what = "every " + what + " port"
	}
	other := "anyone"
	switch {
	case r.Group != "":
		name, n := group(r.Group)
		other = fmt.Sprintf("members of “%s” (%d %s)", name, n, plural(n, "address", "addresses"))
	case r.CIDR != "":
		other = r.CIDR
		if p, err := ParseCIDR(r.CIDR); err == nil && p.Bits() == 0 {
			other = "anyone with an IPv4 address"
			if p.Addr().Is6() {
				other = "anyone with an IPv6 address"
			}
		}
	}
	verb := map[bool]string{false: "may", true: "may not"}[r.Action == "deny"]
	if r.Direction == "in" {
		return upperFirst(fmt.Sprintf("%s %s reach %s on %s.", other, verb, what, vms))
	}
	return fmt.Sprintf("%s %s reach %s of %s.", upperFirst(vms), verb, what, other)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
