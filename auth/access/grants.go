package access

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"novacron/domain"
)

// Grants is what one subject has, in the circumstances of one request. It is shared and never changes.
type Grants struct {
	p     *Policy
	who   Who
	c     Circumstances
	all   []grant // conditions that need no object have been judged: theirs are gone
	idle  []grant // those whose condition does not hold
	some  set     // given somewhere
	wide  set     // given at the estate and denied nowhere
	mask  *set    // a token narrowed to some permissions
	key   string
	sight *domain.Sight
}

// settle works out what can be known without an object.
func (g *Grants) settle() {
	var denied, narrowed set // denied at the estate; denied anywhere
	var text []string
	for i := range g.all {
		x := &g.all[i]
		text = append(text, fmt.Sprintf("%s/%s/%v/%s/%v/%s", x.b.Scope, x.b.ScopeID, x.b.Deny, x.b.Role, x.perms, x.b.Condition))
		if len(x.tenants) > 1 {
			text = append(text, strings.Join(x.tenants, ","))
		}
		for j, bits := range x.perms {
			switch {
			case x.b.Deny && x.b.Scope == domain.ScopeEstate && x.cond == nil:
				denied[j] |= bits
			case x.b.Deny:
				narrowed[j] |= bits
			default:
				g.some[j] |= bits
				if x.b.Scope == domain.ScopeEstate && x.cond == nil {
					g.wide[j] |= bits
				}
			}
		}
	}
	for j := range g.some {
		g.some[j] &^= denied[j]
		g.wide[j] &^= denied[j] | narrowed[j]
	}
	slices.Sort(text)
	if g.mask != nil {
		text = append(text, fmt.Sprint(*g.mask))
	}
	sum := sha256.Sum256([]byte(strings.Join(text, "\n")))
	g.key = hex.EncodeToString(sum[:12])
	g.sight = g.see()
}

// Narrowed gives the same, but only for some permissions.
func (g *Grants) Narrowed(to []string) *Grants {
	if len(to) == 0 {
		return g
	}
	m := setOf(to)
	n := &Grants{p: g.p, who: g.who, c: g.c, all: g.all, idle: g.idle, mask: &m}
	n.settle()
	for j := range n.some {
		n.some[j] &= m[j]
		n.wide[j] &= m[j]
	}
	return n
}

// Key is alike for all who may do the same.
func (g *Grants) Key() string { return g.key }

// Sight is which VMs the subject may see.
func (g *Grants) Sight() *domain.Sight { return g.sight }

// Somewhere reports whether the permission is held at all: for what has no object yet, such as a menu.
func (g *Grants) Somewhere(p Permission) bool { return p == Public || g.some.has(p) }

// Everywhere reports whether the permission is held at the estate and denied nowhere.
func (g *Grants) Everywhere(p Permission) bool { return p == Public || g.wide.has(p) }

// On decides for one object.
func (g *Grants) On(p Permission, o Object) bool {
	if g.Everywhere(p) {
		return true
	}
	if !g.Somewhere(p) {
		return false
	}
	ok, _ := g.decide(p, o, nil)
	return ok
}

// In reports whether the permission is held in a tenant as a whole.
func (g *Grants) In(p Permission, tenant string) bool {
	return g.On(p, Object{Kind: "tenant", Tenant: tenant})
}

// TenantsWith lists the tenants in which the permission is held by a binding at the tenant.
func (g *Grants) TenantsWith(p Permission) (out []string) {
	for i := range g.all {
		x := &g.all[i]
		if x.b.Scope != domain.ScopeTenant || x.b.Deny || !x.perms.has(p) {
			continue
		}
		for _, t := range x.tenants {
			if !slices.Contains(out, t) && g.In(p, t) {
				out = append(out, t)
			}
		}
	}
	return out
}

// FoldersWith lists the folders at which the permission is held by a binding there.
func (g *Grants) FoldersWith(p Permission) (out []string) {
	for i := range g.all {
		x := &g.all[i]
		if x.b.Scope == domain.ScopeFolder && !x.b.Deny && x.perms.has(p) && !slices.Contains(out, x.b.ScopeID) {
			out = append(out, x.b.ScopeID)
		}
	}
	return out
}

// decide is the one place where it is decided: whatever denies wins, then whatever gives. With looked it says of everything what came of it.
func (g *Grants) decide(p Permission, o Object, looked *[]Looked) (bool, *grant) {
	if g.mask != nil && !g.mask.has(p) {
		if looked != nil {
			*looked = append(*looked, Looked{Effect: "deny", Applies: true, Why: "the token is narrowed to other permissions"})
		}
		return false, nil
	}
	var gives, takes *grant
	for i := range g.all {
		x := &g.all[i]
		why := ""
		switch {
		case !x.perms.has(p):
			why = "its role does not have the permission"
		case !x.covers(o):
			why = "it is for something else"
		case x.cond != nil:
			holds, err := x.cond.Holds(g.c, o)
			if err != nil && x.b.Deny {
				holds = true
			}
			if !holds {
				why = "its condition does not hold"
			}
		}
		if looked != nil {
			*looked = append(*looked, g.look(x, p, why == "", why))
		}
		if why != "" {
			continue
		}
		if x.b.Deny {
			if takes == nil {
				takes = x
			}
			if looked == nil {
				return false, takes
			}
		} else if gives == nil {
			gives = x
		}
	}
	if takes != nil {
		return false, takes
	}
	return gives != nil, gives
}

// see works out which VMs are in sight.
func (g *Grants) see() *domain.Sight {
	s := &domain.Sight{Key: g.key}
	if g.mask != nil && !g.mask.has(VMRead) {
		return s
	}
	for i := range g.all {
		x := &g.all[i]
		if !x.perms.has(VMRead) || x.cond != nil && !x.b.Deny { // what depends on the object opens its page, and shows in no list
			continue
		}
		tenants, folders, tags, vms := &s.Tenants, &s.Folders, &s.Tags, &s.VMs
		if x.b.Deny {
			tenants, folders, tags, vms = &s.HiddenTenants, &s.HiddenFolders, &s.HiddenTags, &s.HiddenVMs
		}
		switch x.b.Scope {
		case domain.ScopeEstate:
			if x.b.Deny {
				return &domain.Sight{Key: g.key}
			}
			s.All = true
		case domain.ScopeTenant:
			*tenants = append(*tenants, x.tenants...)
		case domain.ScopeFolder:
			*folders = append(*folders, x.tenants...)
		case domain.ScopeTag:
			*tags = append(*tags, x.b.ScopeID)
		case domain.ScopeObject:
			*vms = append(*vms, x.b.ScopeID)
		}
	}
	for _, list := range []*[]string{&s.Tenants, &s.Folders, &s.Tags, &s.VMs, &s.HiddenTenants, &s.HiddenFolders, &s.HiddenTags, &s.HiddenVMs} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if !g.Everywhere(VMCreate) {
		if in := g.TenantsWith(VMCreate); len(in) > 0 {
			s.Home = in[0]
		}
	}
	return s
}

// Looked is one binding that was looked at.
type Looked struct {
	Binding string `json:"binding"`
	Subject string `json:"subject" doc:"Who has it: user, group or token, and its id"`
	Role    string `json:"role"`
	Scope   string `json:"scope" doc:"estate, or tenant, folder, tag or object and its id; of a folder its path"`
	Effect  string `json:"effect" enum:"allow,deny"`
	Applies bool   `json:"applies"`
	Why     string `json:"why,omitempty" doc:"Why it does not apply"`
}

func (l Looked) words() string {
	return "the role " + l.Role + " of " + l.Subject + " at " + l.Scope + "."
}

// Explanation is a decision with its reason.
type Explanation struct {
	Allowed bool
	Reason  string
	By      string // id of the binding that decided; empty when none did
	Rule    *Looked
	Looked  []Looked
}

// Holder is somebody who may do something.
type Holder struct {
	Kind   string `json:"kind"`
	ID     string `json:"id"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func (g *Grants) look(x *grant, _ Permission, applies bool, why string) Looked {
	l := Looked{Binding: x.b.ID, Role: x.b.Role, Subject: x.b.Subject.Kind + " " + x.b.Subject.ID, Scope: x.b.Scope, Effect: "allow", Applies: applies, Why: why}
	if x.b.Subject.Kind == "group" {
		if n := g.p.groups[x.b.Subject.ID].Name; n != "" {
			l.Subject = "group " + n
		}
	} else if x.b.Subject.Name != "" {
		l.Subject = x.b.Subject.Kind + " " + x.b.Subject.Name
	}
	if at := cmp.Or(g.p.paths[x.b.ScopeID], x.b.ScopeID); at != "" {
		l.Scope += " " + at
	}
	if x.b.Deny {
		l.Effect = "deny"
	}
	return l
}

type grantsKey struct{}

// With puts what who asks has into a request's context.
func With(ctx context.Context, g *Grants) context.Context {
	return context.WithValue(ctx, grantsKey{}, g)
}

// Of takes it out again; nil is the server's own work, which may do everything.
func Of(ctx context.Context) *Grants {
	g, _ := ctx.Value(grantsKey{}).(*Grants)
	return g
}
