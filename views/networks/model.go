// Package networks shows networks: the list, one network on all its hosts, the forms that make and change one, the dialogs that ask, and the
// picture of what is plugged in where.
//
// It is not for the cards of VMs (package vms) nor for security groups (package secgroups).
package networks

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/charts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/ui"
)

// List is the list of networks.
type List struct {
	Items  []domain.EstateNetwork
	All    int // in the estate
	Filter string
	Sort   string
	Desc   bool
	Hosts  int // connected or not: an empty list teaches to add one first
}

// Show is one network's page.
type Show struct {
	Net    domain.EstateNetwork
	At     domain.NetworkOn // the host that the address names
	Leases []Lease
	VMs    []User
	Busy   *domain.Job // what works on it now
	Charts charts.Set  // of what its cards send and receive
}

// Lease is an address that was given out, and to which VM if that is known.
type Lease struct {
	domain.Lease
	HostID, HostName string
	VM               domain.Ref
}

// User is a VM with its cards on the network.
type User struct {
	VM    domain.VM
	Cards []domain.NIC
}

// Edit is the page that makes or changes a network.
type Edit struct {
	Net   *domain.EstateNetwork // nil: a new one
	On    domain.NetworkOn
	Form  Form
	Hosts []HostChoice
	Whose layout.Whose // of a new one
	Err   *domain.Error
	Key   string
}

// HostChoice is a host that may get the network.
type HostChoice struct {
	ID, Name string
	Why      string // why it cannot be chosen now
}

// Ask is the dialog before something is done with a network.
type Ask struct {
	Action  string // stop, delete, equal, like
	Net     domain.EstateNetwork
	On      []domain.NetworkOn // the hosts that it is about
	All     bool               // all its hosts, where there are several
	VMs     []domain.VM        // that have a card on it there
	Running []domain.VM        // of them
	With    bool               // delete: the VMs too
	Disks   bool               // and their disks
	Confirm string             // the name as typed
	Err     *domain.Error
	Key     string
}

var modeWords = map[string]string{
	domain.NetNAT: "NAT", domain.NetRoute: "routed", domain.NetIsolated: "isolated", domain.NetOpen: "open", domain.NetBridge: "bridge", domain.NetOVS: "Open vSwitch", domain.NetMacvtap: "macvtap",
}

var modeMeans = map[string]string{
	domain.NetNAT:      "Guests reach the world under the host's address; nobody outside reaches them.",
	domain.NetRoute:    "Guests are reached under their own addresses; the network around the host must know the way to them.",
	domain.NetIsolated: "Guests reach each other and the host, nothing else.",
	domain.NetOpen:     "As routed, and libvirt sets no firewall rule at all.",
	domain.NetBridge:   "Guests join a bridge that is on the host already, and with it the network it belongs to.",
	domain.NetOVS:      "Guests join an Open vSwitch bridge that is on the host already, and may be told apart by VLANs.",
	domain.NetMacvtap:  "Guests share a network device of the host. They do not reach the host itself through it.",
}

func modeWord(mode string) string {
	if w := modeWords[mode]; w != "" {
		return w
	}
	return mode
}

// modeOf is the mode in a word, with the way of sharing of macvtap.
func modeOf(s domain.NetworkSpec) string {
	if s.Mode == domain.NetMacvtap && s.MacvtapMode != "" {
		return "macvtap (" + s.MacvtapMode + ")"
	}
	return modeWord(s.Mode)
}

// subnets are a network's subnets in words.
func subnets(s domain.NetworkSpec) string {
	var out []string
	for _, p := range s.Subnets() {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

// wire is what guests are plugged into.
func wire(n domain.Network) string {
	if n.Mode == domain.NetMacvtap && n.Spec.Device != "" {
		return n.Spec.Device
	}
	return n.Bridge
}

// hostWords names few hosts and counts many.
func hostWords(e domain.EstateNetwork) string {
	const most = 3
	var names []string
	for _, o := range e.On {
		names = append(names, o.HostName)
	}
	if len(names) > most {
		return fmt.Sprintf("%d hosts", len(names))
	}
	return strings.Join(names, ", ")
}

func activeWord(e domain.EstateNetwork) (tone, icon, word string) {
	switch n := e.Active(); {
	case n == len(e.On):
		return ui.OK, "circle-check", "active"
	case n == 0:
		return ui.Neutral, "square", "stopped"
	default:
		return ui.Warn, "alert-triangle", fmt.Sprintf("active on %d of %d", n, len(e.On))
	}
}

func driftWord(e domain.EstateNetwork) string {
	n := e.Drifted()
	switch {
	case n == 0:
		return ""
	case e.GroupID == "":
		return fmt.Sprintf("%d not alike", n+1)
	}
	return fmt.Sprintf("%d of %d differ", n, len(e.On))
}

func (m Show) many() bool { return len(m.Net.On) > 1 }

// shown is what the page says of the network: what it should be, or what it is where there is no telling.
func (m Show) shown() domain.NetworkSpec {
	if m.Net.GroupID == "" && !m.At.Missing {
		return m.At.Network.Spec
	}
	return m.Net.Should
}

func (m Show) pending() []domain.NetworkOn {
	var out []domain.NetworkOn
	for _, o := range m.Net.On {
		if len(o.Network.Pending) > 0 {
			out = append(out, o)
		}
	}
	return out
}

func (m Show) drifted() []domain.NetworkOn {
	var out []domain.NetworkOn
	for _, o := range m.Net.On {
		if o.Missing || len(o.Drift) > 0 {
			out = append(out, o)
		}
	}
	return out
}

func listURL(m List, pairs ...string) string {
	desc := ""
	if m.Desc {
		desc = "1"
	}
	return live.With(live.With(live.Networks, "filter", m.Filter, "sort", m.Sort, "desc", desc), pairs...)
}

func sortURL(m List, col string) string {
	desc := ""
	if m.Sort == col && !m.Desc {
		desc = "1"
	}
	return listURL(m, "sort", col, "desc", desc)
}

func sorted(m List, col string) string {
	return ui.Sorted(m.Sort == col || m.Sort == "" && col == "name", m.Desc)
}

var columns = []struct{ id, label, class string }{
	{"name", "Name", "c-name"}, {"state", "State", "c-state"}, {"mode", "Mode", "c-mode"}, {"hosts", "Hosts", "c-host"}, {"subnet", "Subnet", "c-subnet"}, {"vms", "VMs", "c-vms num"},
}

// expires says in words until when an address is given.
func expires(l domain.Lease) time.Time {
	if l.Expires == 0 {
		return time.Time{}
	}
	return time.Unix(l.Expires, 0)
}

// addressOf is where a card is reached, of what is known.
func addressesOf(vm domain.VM, mac string) string {
	var out []string
	for _, a := range vm.Addresses {
		if strings.EqualFold(a.MAC, mac) {
			if ip, err := netip.ParseAddr(a.IP); err == nil && ip.IsLinkLocalUnicast() {
				continue
			}
			out = append(out, a.IP)
		}
	}
	return strings.Join(out, ", ")
}

func tabs(section string) []ui.Tab {
	return []ui.Tab{
		{Label: "Networks", URL: live.Networks, Active: section == "networks"},
		{Label: "Security groups", URL: live.SecGroups, Active: section == "secgroups"},
		{Label: "Topology", URL: live.Topology, Active: section == "topology"},
	}
}

// Tabs are the parts of the section, for its pages.
func Tabs(section string) []ui.Tab { return tabs(section) }

func hostNames(on []domain.NetworkOn) string {
	names := make([]string, len(on))
	for i, o := range on {
		names[i] = o.HostName
	}
	return strings.Join(names, ", ")
}

func askTitle(m Ask) string {
	verb := map[string]string{"stop": "Stop", "delete": "Delete", "equal": "Make equal", "like": "Make the others like"}[m.Action]
	where := hostNames(m.On)
	if m.All {
		where = fmt.Sprintf("all %d hosts", len(m.On))
	}
	switch m.Action {
	case "like":
		return fmt.Sprintf("Make %s everywhere as it is on %s?", m.Net.Name, where)
	case "equal":
		return fmt.Sprintf("Make %s equal on all its hosts?", m.Net.Name)
	}
	return fmt.Sprintf("%s the network %s on %s?", verb, m.Net.Name, where)
}

func askVerb(m Ask) string {
	switch m.Action {
	case "stop":
		if len(m.Running) > 0 {
			return "Stop all the same"
		}
		return "Stop"
	case "equal", "like":
		return "Make equal"
	}
	return "Delete"
}

func dangerous(action string) bool { return action == "stop" || action == "delete" }

func yesNo(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

func tick(on bool) string {
	if on {
		return "1"
	}
	return ""
}

func deleteToo(n int) string {
	if n == 1 {
		return "Delete this VM too"
	}
	return fmt.Sprintf("Delete these %d VMs too", n)
}
