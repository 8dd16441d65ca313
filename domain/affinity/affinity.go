// Package affinity judges whether putting a VM on a host keeps the affinity rules. It is pure, and shared by the placing of new VMs and by plans that
// move VMs away.
//
// Rules against hosts and rules that keep VMs apart are judged by the host alone: whether the VM may be there. A rule that keeps VMs together is broken by
// taking a VM away from those it is with; a VM that is apart from the others already may go anywhere, but rather to them.
//
// It is not for choosing the host (packages placement and evacuate).
package affinity

import (
	"fmt"
	"slices"

	"novacron/domain"
)

// Rules are the rules of the estate with the VMs that they are about now.
type Rules struct {
	all   []domain.AffinityRule
	vms   [][]string       // of each, their ids
	of    map[string][]int // rules by VM
	names map[string]string
}

// VM is what the rules need to know of a VM.
type VM struct {
	ID, Name string
	Tenant   string
	Tags     []string
}

// New binds rules to the VMs that there are.
func New(rules []domain.AffinityRule, vms []VM) *Rules {
	r := &Rules{all: rules, vms: make([][]string, len(rules)), of: map[string][]int{}, names: make(map[string]string, len(vms))}
	for _, vm := range vms {
		r.names[vm.ID] = vm.Name
		for i, rule := range rules {
			if rule.Covers(vm.ID, vm.Tenant, vm.Tags) {
				r.vms[i] = append(r.vms[i], vm.ID)
				r.of[vm.ID] = append(r.of[vm.ID], i)
			}
		}
	}
	return r
}

// Breach is one rule that is not kept.
type Breach struct {
	Rule string
	Hard bool
	Msg  string
}

// Together lists the VMs that a hard rule keeps with the VM, itself left out.
func (r *Rules) Together(vm string) (others []string) {
	for _, i := range r.of[vm] {
		if rule := r.all[i]; rule.Hard && rule.Scope == domain.ScopeVMs && rule.Kind == domain.Affinity {
			for _, other := range r.vms[i] {
				if other != vm && !slices.Contains(others, other) {
					others = append(others, other)
				}
			}
		}
	}
	return others
}

// Judge says which rules would not be kept with the VM on the host. where tells on which hosts a VM is: none when it is being made, two while it moves. with
// names the VMs that go there along with it.
func (r *Rules) Judge(vm, host string, where func(vm string) []string, with map[string]bool) (out []Breach) {
	for _, i := range r.of[vm] {
		rule := r.all[i]
		add := func(format string, args ...any) {
			out = append(out, Breach{rule.Name, rule.Hard, fmt.Sprintf("The rule “%s”: ", rule.Name) + fmt.Sprintf(format, args...)})
		}
		switch {
		case rule.Scope == domain.ScopeHosts && slices.Contains(rule.Hosts, host) != (rule.Kind == domain.Affinity):
			if rule.Kind == domain.Affinity {
				add("%s runs on other hosts only.", r.names[vm])
			} else {
				add("%s does not run on this host.", r.names[vm])
			}
		case rule.Scope == domain.ScopeVMs && rule.Kind == domain.AntiAffinity:
			for _, other := range r.vms[i] {
				if other != vm && (with[other] || slices.Contains(where(other), host)) {
					add("%s is kept apart from %s.", r.names[vm], r.names[other])
					break
				}
			}
		case rule.Scope == domain.ScopeVMs && rule.Kind == domain.Affinity:
			for _, other := range r.vms[i] {
				if other == vm || with[other] || slices.Contains(where(other), host) || len(where(other)) == 0 {
					continue
				}
				apart := len(where(vm)) > 0 && !slices.ContainsFunc(where(vm), func(h string) bool { return slices.Contains(where(other), h) })
				add("%s is kept with %s.", r.names[vm], r.names[other])
				beside := len(where(vm)) == 0 && slices.ContainsFunc(r.vms[i], func(o string) bool { return o != vm && slices.Contains(where(o), host) })
				if apart || beside { // it was so before, or they are apart among themselves
					out[len(out)-1].Hard = false
				}
				break
			}
		}
	}
	return out
}
