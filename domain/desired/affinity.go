package desired

import (
	"slices"

	"novacron/domain"
)

// Affinity asks for a rule that keeps VMs together or apart, or on hosts or off them. It names VMs and hosts as people do.
type Affinity struct {
	Name   string               `json:"name"`
	Tenant string               `json:"tenant,omitempty"` // whose it is; empty: the estate's
	Kind   domain.AffinityKind  `json:"kind,omitempty"`
	Scope  domain.AffinityScope `json:"scope,omitempty"`
	Hard   bool                 `json:"hard,omitempty"`
	VMs    []string             `json:"vms,omitempty"`
	Tags   []string             `json:"tags,omitempty"`
	Hosts  []string             `json:"hosts,omitempty"`
	Notes  string               `json:"notes,omitempty"`
}

// AffinityKey is what a rule is known by: two tenants may have rules of one name.
func AffinityKey(a Affinity) string {
	if a.Tenant == "" {
		return a.Name
	}
	return a.Name + "@" + domain.Slugged(a.Tenant)
}

// Rule is the rule with what vm and host make of the names.
func (a Affinity) Rule(vm, host func(string) (string, error)) (domain.AffinityRule, error) {
	r := domain.AffinityRule{Name: a.Name, Tenant: a.Tenant, Kind: a.Kind, Scope: a.Scope, Hard: a.Hard, Tags: a.Tags, Notes: a.Notes}
	for _, l := range []struct {
		names []string
		id    func(string) (string, error)
		to    *[]string
	}{{a.VMs, vm, &r.VMs}, {a.Hosts, host, &r.Hosts}} {
		for _, name := range l.names {
			id, err := l.id(name)
			if err != nil {
				return r, err
			}
			*l.to = append(*l.to, id)
		}
	}
	return r, nil
}

// AffinityOf is a rule that is there. What vm and host do not know any more is left out: it is gone.
func AffinityOf(r domain.AffinityRule, vm, host func(string) (string, bool)) Affinity {
	named := func(ids []string, name func(string) (string, bool)) (out []string) {
		for _, id := range ids {
			if n, ok := name(id); ok {
				out = append(out, n)
			}
		}
		slices.Sort(out)
		return out
	}
	return Affinity{Name: r.Name, Tenant: r.Tenant, Kind: r.Kind, Scope: r.Scope, Hard: r.Hard, VMs: named(r.VMs, vm), Tags: r.Tags, Hosts: named(r.Hosts, host), Notes: r.Notes}
}

// as gives a name as it is, for judging a rule before anything of it is there.
func as(name string) (string, error) { return name, nil }
