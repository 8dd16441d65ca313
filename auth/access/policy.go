package access

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	"novacron/domain"
)

// Object is what something is done to.
type Object struct {
	Kind   string // vm, host, job …
	ID     string
	Tenant string
	Folder string // id of the folder that a VM is in
	Tags   []string
}

// Policy is all roles, bindings, groups and tenants, made ready to answer. It never changes; when one of them does, a new one is made.
type Policy struct {
	roles    map[string]domain.Role
	sets     map[string]set
	tenants  map[string]domain.Tenant
	below    map[string][]string // tenant or folder -> itself and those below it
	paths    map[string]string   // folder -> its path
	groups   map[string]domain.Group
	groupsOf map[string][]string // user -> groups
	by       map[string][]grant  // subject "user:…", "group:…", "token:…" -> grants
	subjects []string            // all that have grants
	fixed    sync.Map            // subject -> *Grants of those whose grants have no condition
}

// Facts is what a policy is made of.
type Facts struct {
	Roles    []domain.Role // custom ones
	Bindings []domain.Binding
	Groups   []domain.Group
	Tenants  []domain.Tenant
	Folders  []domain.Folder
}

// grant is one binding made ready.
type grant struct {
	b       domain.Binding
	perms   set
	tenants []string // of a tenant's scope: itself and those below; of a folder's the same
	cond    *Condition
}

func (g *grant) covers(o Object) bool {
	switch g.b.Scope {
	case domain.ScopeEstate:
		return true
	case domain.ScopeTenant:
		return o.Tenant != "" && slices.Contains(g.tenants, o.Tenant)
	case domain.ScopeFolder:
		return o.Folder != "" && slices.Contains(g.tenants, o.Folder)
	case domain.ScopeTag:
		return slices.Contains(o.Tags, g.b.ScopeID)
	case domain.ScopeObject:
		return o.ID != "" && o.ID == g.b.ScopeID
	}
	return false
}

// Compile makes a policy. A binding whose role is gone gives nothing; one whose condition cannot be read gives nothing and takes what it takes.
func Compile(f Facts) *Policy {
	p := &Policy{roles: map[string]domain.Role{}, sets: map[string]set{}, tenants: map[string]domain.Tenant{}, below: map[string][]string{}, paths: map[string]string{}, groups: map[string]domain.Group{},
		groupsOf: map[string][]string{}, by: map[string][]grant{}}
	for _, r := range slices.Concat(f.Roles, BuiltIn) {
		p.roles[r.ID], p.sets[r.ID] = r, setOf(r.Permissions)
	}
	for _, t := range f.Tenants {
		p.tenants[t.ID] = t
		p.below[t.ID] = append(p.below[t.ID], t.ID)
		if t.Parent != "" {
			p.below[t.Parent] = append(p.below[t.Parent], t.ID)
		}
	}
	above := map[string]string{}
	for _, x := range f.Folders {
		p.paths[x.ID], above[x.ID] = x.Path, x.Parent
	}
	for _, x := range f.Folders {
		for up, n := x.ID, 0; up != "" && n <= domain.FoldersDeep; up, n = above[up], n+1 {
			p.below[up] = append(p.below[up], x.ID)
		}
	}
	for _, g := range f.Groups {
		p.groups[g.ID] = g
		for _, u := range g.Members {
			p.groupsOf[u] = append(p.groupsOf[u], g.ID)
		}
	}
	conds := map[string]*Condition{}
	for _, b := range f.Bindings {
		g, ok := p.grant(b, conds)
		if !ok {
			continue
		}
		key := b.Subject.Kind + ":" + b.Subject.ID
		if p.by[key] == nil {
			p.subjects = append(p.subjects, key)
		}
		p.by[key] = append(p.by[key], g)
	}
	slices.Sort(p.subjects)
	return p
}

func (p *Policy) grant(b domain.Binding, conds map[string]*Condition) (grant, bool) {
	g := grant{b: b, perms: p.sets[b.Role]}
	if b.Scope == domain.ScopeTenant || b.Scope == domain.ScopeFolder {
		if g.tenants = p.below[b.ScopeID]; len(g.tenants) == 0 {
			g.tenants = []string{b.ScopeID}
		}
	}
	if b.Condition != "" {
		c, ok := conds[b.Condition]
		if !ok {
			c, _ = ParseCondition(b.Condition)
			conds[b.Condition] = c
		}
		if g.cond = c; c == nil && !b.Deny {
			return g, false
		}
	}
	return g, true
}

// Role gives a role.
func (p *Policy) Role(id string) (domain.Role, bool) {
	r, ok := p.roles[RoleName(id)]
	return r, ok
}

// Tenant gives a tenant by its id or its name.
func (p *Policy) Tenant(idOrName string) (domain.Tenant, bool) {
	if t, ok := p.tenants[idOrName]; ok {
		return t, true
	}
	for _, t := range p.tenants {
		if strings.EqualFold(t.Name, idOrName) {
			return t, true
		}
	}
	return domain.Tenant{}, false
}

// RolesOf lists the roles that somebody has anywhere, by themselves or through a group, whatever the conditions.
func (p *Policy) RolesOf(w Who) (out []string) {
	for _, g := range p.grants(w) {
		if !g.b.Deny && !slices.Contains(out, g.b.Role) {
			out = append(out, g.b.Role)
		}
	}
	return out
}

// Held lists the bindings that somebody has, by themselves or through a group, whatever the conditions.
func (p *Policy) Held(w Who) []domain.Binding {
	all := p.grants(w)
	out := make([]domain.Binding, len(all))
	for i := range all {
		out[i] = all[i].b
	}
	return out
}

// Print is alike as long as somebody has been given and denied the same, by bindings, groups and what the roles allow, whatever the conditions.
func (p *Policy) Print(w Who) string {
	var text []string
	for _, g := range p.grants(w) {
		text = append(text, fmt.Sprintf("%s/%s/%v/%s/%v/%s", g.b.Scope, g.b.ScopeID, g.b.Deny, g.b.Role, g.perms, g.b.Condition))
	}
	slices.Sort(text)
	sum := sha256.Sum256([]byte(strings.Join(text, "\n")))
	return hex.EncodeToString(sum[:8])
}

// Below gives a tenant or a folder and those below it.
func (p *Policy) Below(id string) []string { return p.below[id] }

// Who names a subject to ask about.
type Who struct {
	Kind string // user, group or token
	ID   string
	// Own is the binding that a token carries in itself; nil for people.
	Own *domain.Binding
}

func (w Who) key() string { return w.Kind + ":" + w.ID }

// grants collects all grants of a subject: its own and those of its groups.
func (p *Policy) grants(w Who) []grant {
	out := slices.Clone(p.by[w.key()])
	if w.Kind == "user" {
		for _, g := range p.groupsOf[w.ID] {
			out = append(out, p.by["group:"+g]...)
		}
	}
	if w.Own != nil {
		if g, ok := p.grant(*w.Own, map[string]*Condition{}); ok {
			out = append(out, g)
		}
	}
	return out
}

// Grants gives what a subject has in these circumstances.
func (p *Policy) Grants(w Who, c Circumstances) *Grants {
	if w.Own == nil {
		if g, ok := p.fixed.Load(w.key()); ok {
			return g.(*Grants)
		}
	}
	all := p.grants(w)
	conditional := slices.ContainsFunc(all, func(g grant) bool { return g.cond != nil })
	out := &Grants{p: p, who: w, c: c}
	for _, g := range all {
		if g.cond != nil && !g.cond.Object() {
			holds, err := g.cond.Holds(c, Object{})
			if err != nil && g.b.Deny { // what cannot be judged does not open a door
				holds = true
			}
			if !holds {
				out.idle = append(out.idle, g)
				continue
			}
			g.cond = nil
		}
		out.all = append(out.all, g)
	}
	out.settle()
	if w.Own == nil && !conditional {
		p.fixed.Store(w.key(), out)
	}
	return out
}

// Explain decides and says why: the rule that decided and all that was looked at.
func (p *Policy) Explain(w Who, perm Permission, o Object, c Circumstances) Explanation {
	g := p.Grants(w, c)
	var looked []Looked
	ok, by := g.decide(perm, o, &looked)
	for i := range g.idle {
		looked = append(looked, g.look(&g.idle[i], perm, false, "its condition does not hold now"))
	}
	e := Explanation{Allowed: ok, Looked: looked}
	if by != nil {
		e.By = by.b.ID
		l := g.look(by, perm, true, "")
		e.Rule = &l
	}
	switch {
	case ok:
		e.Reason = "Allowed by " + e.Rule.words()
	case by != nil:
		e.Reason = "Denied by " + e.Rule.words()
	default:
		e.Reason = "No binding gives " + string(perm) + " here."
	}
	return e
}

// Whose lists every subject that has bindings and may do it, with the rule.
func (p *Policy) Whose(perm Permission, o Object, c Circumstances) []Holder {
	var out []Holder
	seen := map[string]bool{}
	add := func(w Who) {
		if seen[w.key()] {
			return
		}
		seen[w.key()] = true
		if e := p.Explain(w, perm, o, c); e.Allowed {
			out = append(out, Holder{Kind: w.Kind, ID: w.ID, Reason: e.Reason})
		}
	}
	for _, key := range p.subjects {
		kind, id, _ := strings.Cut(key, ":")
		add(Who{Kind: kind, ID: id})
		for _, u := range p.groups[id].Members {
			add(Who{Kind: "user", ID: u})
		}
	}
	slices.SortFunc(out, func(a, b Holder) int { return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID)) })
	return out
}
