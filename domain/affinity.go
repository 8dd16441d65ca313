package domain

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// AffinityKind says whether the members of a rule want to be together or apart.
type AffinityKind string

const (
	Affinity     AffinityKind = "affinity"
	AntiAffinity AffinityKind = "anti-affinity"
)

// AffinityScope says what the VMs of a rule are together with or apart from.
type AffinityScope string

const (
	ScopeVMs   AffinityScope = "vm-vm"   // each other
	ScopeHosts AffinityScope = "vm-host" // the rule's hosts
)

// AffinityRule says which VMs belong together or apart, or on which hosts they run or do not.
type AffinityRule struct {
	ID        string
	Name      string
	Tenant    string // whose it is: it is about that tenant's VMs only. Empty: the estate's, about every VM
	Kind      AffinityKind
	Scope     AffinityScope
	Hard      bool     // never broken by NovaCron; else it is kept where that is possible
	VMs       []string // ids
	Tags      []string // and every VM that has one of these, also those still to be made
	Hosts     []string // ids; of vm-host rules
	Notes     string
	CreatedAt time.Time
	Version   int64
}

// Covers reports whether the rule is about a VM with this id and these tags that belongs to this tenant.
func (r AffinityRule) Covers(id, tenant string, tags []string) bool {
	if r.Tenant != "" && r.Tenant != tenant {
		return false
	}
	return id != "" && slices.Contains(r.VMs, id) || slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(r.Tags, t) })
}

// Validate names all wrong fields at once.
func (r AffinityRule) Validate() error {
	var p Problems
	if strings.TrimSpace(r.Name) == "" || len(r.Name) > 63 || strings.ContainsFunc(r.Name, Unseen) {
		p.Add("name", "A rule needs a name of at most 63 characters.", "for example keep the databases apart")
	}
	oneOf(&p, "kind", string(r.Kind), string(Affinity), string(AntiAffinity))
	oneOf(&p, "scope", string(r.Scope), string(ScopeVMs), string(ScopeHosts))
	CheckTags(&p, "tags", r.Tags)
	twice := func(field string, ids []string) {
		seen := map[string]bool{}
		for i, id := range ids {
			if seen[id] {
				p.Add(fmt.Sprintf("%s.%d", field, i), id+" is named twice.", "each once")
			}
			seen[id] = true
		}
	}
	twice("vms", r.VMs)
	twice("hosts", r.Hosts)
	switch {
	case len(r.VMs) == 0 && len(r.Tags) == 0:
		p.Add("vms", "No VM is under the rule.", "VMs, or a tag")
	case r.Scope == ScopeVMs && len(r.VMs) == 1 && len(r.Tags) == 0:
		p.Add("vms", "One VM alone is neither together nor apart.", "at least two VMs, or a tag")
	}
	if r.Scope == ScopeHosts && len(r.Hosts) == 0 {
		p.Add("hosts", "The rule names no host.", "at least one host")
	}
	if r.Scope == ScopeVMs && len(r.Hosts) > 0 {
		p.Add("hosts", "A rule between VMs names no hosts.", "no hosts, or the scope vm-host")
	}
	if len(r.Notes) > 4096 {
		p.Add("notes", "The notes are too long.", "at most 4096 bytes")
	}
	return p.Err()
}

// Words says what the rule wants: "must not run on one host".
func (r AffinityRule) Words() string {
	verb := "should"
	if r.Hard {
		verb = "must"
	}
	switch {
	case r.Scope == ScopeVMs && r.Kind == Affinity:
		return verb + " run on one host"
	case r.Scope == ScopeVMs:
		return verb + " run on different hosts"
	case r.Kind == Affinity:
		return verb + " run on the rule's hosts"
	}
	return verb + " not run on the rule's hosts"
}
