// Package secgroups shows security groups: the list, one group with what it does and where it is used, and the form that says what a change will
// do before it is done. It also reads its form back.
//
// It is not for putting cards into groups: that is on a VM's hardware tab (package vms).
package secgroups

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// List is the list of groups.
type List struct {
	Rows []Row
}

// Row is one group with how many VMs are in it.
type Row struct {
	Group domain.SecurityGroup
	VMs   int
}

// Effect says in words what a group does.
type Effect struct {
	VMs       []domain.VM
	Hosts     []domain.Host
	Sentences []string
	Warnings  []string
}

// Show is one group's page.
type Show struct {
	Group  domain.SecurityGroup
	Effect Effect
	Names  map[string]string // of the groups that rules name, by id
	UsedBy []domain.SecurityGroup
	Busy   *domain.Job
}

// Edit is the page that makes or changes a group.
type Edit struct {
	ID     string // "": a new one
	Title  string
	Form   Form
	Groups []domain.SecurityGroup // that rules may name
	Effect *Effect                // of what is typed; nil: not asked yet
	Err    *domain.Error
	Key    string
}

// Delete is the dialog before a group goes.
type Delete struct {
	Group  domain.SecurityGroup
	VMs    []domain.VM
	UsedBy []domain.SecurityGroup
	Err    *domain.Error
	Key    string
}

// Form is the form as typed.
type Form struct {
	Name, Description string
	Spoofing          string
	Version           string
	Rules             []RuleForm
	Seen              string // the digest of what the effect was shown of
}

// RuleForm is one rule as typed. Remote is "any", "cidr" or a group's id.
type RuleForm struct{ Direction, Action, Protocol, Ports, Remote, CIDR, Description string }

// NewForm lets in what is wanted most: SSH and ping.
func NewForm() Form {
	return Form{Rules: []RuleForm{{Direction: "in", Action: "allow", Protocol: "tcp", Ports: "22", Remote: "any"}, {Direction: "in", Action: "allow", Protocol: "icmp", Remote: "any"}}}
}

// Filled is the form of a group as it is.
func Filled(g domain.SecurityGroup) Form {
	f := Form{Name: g.Name, Description: g.Description, Version: strconv.FormatInt(g.Version, 10)}
	if g.Spoofing {
		f.Spoofing = "1"
	}
	for _, r := range g.Rules {
		x := RuleForm{Direction: r.Direction, Action: r.Action, Protocol: r.Protocol, Ports: r.Ports, Remote: "any", CIDR: r.CIDR, Description: r.Description}
		switch {
		case r.Group != "":
			x.Remote = r.Group
		case r.CIDR != "":
			x.Remote = "cidr"
		}
		f.Rules = append(f.Rules, x)
	}
	return f
}

// maxRows bounds what a hostile form can make us allocate; the group's own limit is judged by the domain.
const maxRows = 300

func ruleField(i int, k string) string { return fmt.Sprintf("rules.%d.%s", i, k) }

// Decode reads the form back, with a rule more or less when that was asked.
func Decode(v url.Values) Form {
	get := func(k string) string { return strings.TrimSpace(v.Get(k)) }
	f := Form{Name: get("name"), Description: get("description"), Spoofing: get("allow_spoofing"), Version: get("version"), Seen: get("seen")}
	for i := 0; i < maxRows && v.Has(ruleField(i, "direction")); i++ {
		r := func(k string) string { return get(ruleField(i, k)) }
		f.Rules = append(f.Rules, RuleForm{r("direction"), r("action"), r("protocol"), r("ports"), r("remote"), r("cidr"), r("description")})
	}
	if n, err := strconv.Atoi(v.Get("drop")); err == nil && n >= 0 && n < len(f.Rules) {
		f.Rules = slices.Delete(f.Rules, n, n+1)
	}
	if v.Get("add") != "" {
		f.Rules = append(f.Rules, RuleForm{Direction: "in", Action: "allow", Protocol: "tcp", Remote: "any"})
	}
	return f
}

// Group gives what was typed.
func (f Form) Group(id string) domain.SecurityGroup {
	g := domain.SecurityGroup{ID: id, Name: f.Name, Description: strings.ReplaceAll(f.Description, "\r\n", "\n"), Spoofing: f.Spoofing == "1", Rules: []domain.SecRule{}}
	g.Version, _ = strconv.ParseInt(f.Version, 10, 64) // a version that cannot be read is 0, which no group has
	for _, r := range f.Rules {
		x := domain.SecRule{Direction: r.Direction, Action: r.Action, Protocol: r.Protocol, Ports: r.Ports, Description: r.Description}
		switch r.Remote {
		case "", "any":
		case "cidr":
			x.CIDR = r.CIDR
			if x.CIDR == "" {
				x.CIDR = "?" // asked for and left empty: the domain says what is wrong
			}
		default:
			x.Group = r.Remote
		}
		if x.Protocol != "tcp" && x.Protocol != "udp" {
			x.Ports = "" // the form hides it
		}
		g.Rules = append(g.Rules, x)
	}
	return g
}

// Digest tells whether what is saved is what the effect was shown of.
func (f Form) Digest() string {
	f.Seen, f.Version = "", ""
	b, err := json.Marshal(f)
	if err != nil {
		panic(err) // strings always encode
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func ruleWords(r domain.SecRule, names map[string]string) (who, what string) {
	who = "anyone"
	switch {
	case r.Group != "":
		who = "members of " + emptyAs(names[r.Group], r.Group)
	case r.CIDR != "":
		who = r.CIDR
	}
	what = strings.ToUpper(r.Protocol)
	switch {
	case r.Protocol == "any":
		what = "everything"
	case r.Protocol == "icmp":
		what = "ICMP (ping)"
	case r.Ports != "":
		what += " " + r.Ports
	default:
		what += ", all ports"
	}
	return who, what
}

func emptyAs(s, as string) string {
	if s == "" {
		return as
	}
	return s
}

func remoteOptions(groups []domain.SecurityGroup) []ui.Option {
	out := []ui.Option{{Value: "any", Label: "anyone"}, {Value: "cidr", Label: "an address or subnet …"}}
	for _, g := range groups {
		out = append(out, ui.Option{Value: g.ID, Label: "members of " + g.Name})
	}
	return out
}

var (
	directionOptions = []ui.Option{{Value: "in", Label: "in"}, {Value: "out", Label: "out"}}
	actionOptions    = []ui.Option{{Value: "allow", Label: "allow"}, {Value: "deny", Label: "deny"}}
	protocolOptions  = []ui.Option{{Value: "tcp", Label: "TCP"}, {Value: "udp", Label: "UDP"}, {Value: "icmp", Label: "ICMP (ping)"}, {Value: "any", Label: "everything"}}
)

func formPage(m Edit) string {
	if m.ID == "" {
		return live.SecGroupNew
	}
	return live.SecGroupEdit(m.ID)
}

func cancelURL(m Edit) string {
	if m.ID == "" {
		return live.SecGroups
	}
	return live.SecGroup(m.ID)
}
