package access

import (
	"slices"

	"novacron/domain"
)

// Kept is what somebody had when they asked, as a job carries it: what the job does in their name it may do as far as they might.
type Kept struct {
	Grants []KeptGrant   `json:"grants"`
	Mask   []string      `json:"mask,omitempty"` // of a token narrowed to some permissions
	At     Circumstances `json:"at"`
}

// KeptGrant is one binding with what it meant then.
type KeptGrant struct {
	Binding     domain.Binding `json:"binding"`
	Permissions []string       `json:"permissions"`
	Within      []string       `json:"within,omitempty"` // the tenants or folders that it is for
}

// Keep gives them so. Conditions that were about the request were judged with it; those about an object go on being judged.
func (g *Grants) Keep() Kept {
	k := Kept{At: g.c}
	for i := range g.all {
		x := &g.all[i]
		b := x.b
		if x.cond == nil {
			b.Condition = ""
		}
		k.Grants = append(k.Grants, KeptGrant{Binding: b, Permissions: x.perms.names(), Within: x.tenants})
	}
	if g.mask == nil {
		return k
	}
	if k.Mask = g.mask.names(); len(k.Mask) == 0 { // narrowed to nothing
		k.Grants = nil
	}
	return k
}

// Restore makes grants of them again. A condition that cannot be read gives nothing and takes what it takes.
func (k Kept) Restore() *Grants {
	g := &Grants{p: &Policy{}, c: k.At}
	for _, of := range k.Grants {
		x := grant{b: of.Binding, perms: setOf(of.Permissions), tenants: slices.Clone(of.Within)}
		if of.Binding.Condition != "" {
			c, err := ParseCondition(of.Binding.Condition)
			if err != nil && !of.Binding.Deny {
				continue
			}
			x.cond = c
		}
		g.all = append(g.all, x)
	}
	g.settle()
	return g.Narrowed(k.Mask)
}

func (s *set) names() (out []string) {
	for _, p := range All {
		if s.has(p) {
			out = append(out, string(p))
		}
	}
	return out
}
