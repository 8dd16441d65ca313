package fleet

import (
	"context"
	"slices"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/domain/desired"
	"novacron/jobs/declare"
)

// Who has roles in a tenant plans and applies in its name: what is not the tenant's is not there for them, and what they apply is held apart from what
// the estate's people apply, also where their owners are called the same.

// part is what of the estate somebody plans for; the zero is the whole.
type part struct {
	tenant string
	in     []string // the tenant and those below it
}

func (p part) whole() bool { return p.tenant == "" }

// has reports whether something of a tenant is in the part.
func (p part) has(tenant string) bool { return p.whole() || slices.Contains(p.in, tenant) }

// sees reports whether something remembered is for who plans for the part: what was applied in its name, and who holds what is in it.
func (p part) sees(r desired.Record, there bool) bool {
	return p.whole() || r.Tenant == p.tenant || there && (r.Tenant == "" || p.has(r.Tenant))
}

// partOf settles for what who asks plans: for the whole estate, or for the tenant that is asked for, else for the one in which they have roles.
func (f *Fleet) partOf(ctx context.Context, asked string) (part, error) {
	g := access.Of(ctx)
	all := wholeEstate(ctx, looks...)
	if all == nil {
		if asked != "" {
			return part{}, domain.InvalidField("tenant", "You plan for the whole estate; that names no tenant.", "no tenant")
		}
		return part{}, nil
	}
	if len(g.TenantsWith(access.VMRead)) == 0 {
		return part{}, all
	}
	own, err := f.OwnedBy(ctx, access.VMRead, asked)
	if err != nil {
		return part{}, err
	}
	tenants, err := f.db.Tenants(ctx)
	if err != nil {
		return part{}, err
	}
	p := part{tenant: domain.OwnerOf(own)}
	for _, t := range tenants {
		if t.ID == p.tenant || t.Parent == p.tenant && g.In(access.VMRead, t.ID) {
			p.in = append(p.in, t.ID)
		}
	}
	return p, nil
}

// mayApply asks whether who asks may do what a plan does with one object. In the whole estate that takes the permission everywhere.
func (f *Fleet) mayApply(ctx context.Context, p part, it desired.Item) error {
	perm := needsFor(it)
	if p.whole() {
		return wholeEstate(ctx, perm)
	}
	denied := func(where string) error {
		return domain.Errorf(domain.Denied, "Your roles do not allow this for the %s %s%s (it needs %s).", it.Kind, it.Name, where, perm).WithFix("Ask an administrator to do it or to give you a role that may.")
	}
	if !slices.Contains(desired.TenantKinds, it.Kind) {
		return denied("")
	}
	g := access.Of(ctx)
	for _, spec := range [][]byte{it.Spec, it.Wanted} { // whose it is, and whose it is to be
		tenant := desired.TenantOf(spec)
		if len(spec) > 0 && (tenant == "" || !p.has(tenant) || !g.In(perm, tenant)) {
			return denied(" in the tenant " + tenant)
		}
	}
	if it.Kind != desired.KindVM || it.ID == "" {
		return nil
	}
	vm, err := f.db.VM(ctx, it.ID)
	if err != nil {
		return err
	}
	return may(ctx, vm, perm)
}

// inName gives a context that may what they might who asked for the job, and the part of the estate that it is for.
func (f *Fleet) inName(ctx context.Context, in declare.Input) (context.Context, part, error) {
	if in.Rights == nil {
		return ctx, part{}, nil
	}
	g := in.Rights.Restore()
	ctx = access.With(domain.WithSight(ctx, homeIn(g.Sight(), in.Tenant)), g)
	p, err := f.partOf(ctx, in.Tenant)
	return ctx, p, err
}

// homeIn is a sight whose things belong to a tenant when nothing else says it.
func homeIn(s *domain.Sight, tenant string) *domain.Sight {
	at := *s
	at.Home = tenant
	return &at
}
