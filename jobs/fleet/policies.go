package fleet

import (
	"context"

	"novacron/db"
	"novacron/domain"
)

// SetMigrationPolicy writes what the moves of a VM, of a tenant's, of those on a host or of all may do; an empty policy takes it away.
func (f *Fleet) SetMigrationPolicy(ctx context.Context, actor string, p domain.ScopedPolicy) (domain.ScopedPolicy, error) {
	if err := p.Validate(); err != nil {
		return p, err
	}
	var err error
	if p, err = f.Scoped(ctx, p); err != nil {
		return p, err
	}
	return p, f.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.SetMigrationPolicy(p); err != nil {
			return err
		}
		kind, what := string(p.Scope), "The migration policy of "+p.Name+" was changed."
		if p.Scope == domain.PolicyEstate {
			kind = "policy"
		}
		if p.Policy.Empty() {
			what = "The migration policy of " + p.Name + " was taken away."
		}
		return tx.Emit(domain.Event{Kind: "policy.changed", Resource: domain.Ref{Kind: kind, ID: p.ID, Name: p.Name}, Actor: actor, Message: what})
	})
}

// Scoped finds what a policy is for and fills in its name. NotFound.
func (f *Fleet) Scoped(ctx context.Context, p domain.ScopedPolicy) (domain.ScopedPolicy, error) {
	switch p.Scope {
	case domain.PolicyEstate:
		if p.ID != domain.PolicyAll {
			return p, domain.Errorf(domain.NotFound, "The estate has one policy: %s.", domain.PolicyAll)
		}
		p.Name = "all VMs"
	case domain.PolicyHost:
		h, err := f.db.Host(ctx, p.ID)
		if err != nil {
			return p, err
		}
		p.Name = h.Name
	case domain.PolicyTenant:
		t, err := f.db.Tenant(ctx, p.ID)
		if err != nil {
			return p, err
		}
		p.Name = t.Name
	case domain.PolicyVM:
		vm, err := f.db.VM(ctx, p.ID)
		if err != nil {
			return p, err
		}
		p.Name = vm.Name
	default:
		return p, domain.Errorf(domain.NotFound, "There are policies for the estate, a host, a tenant or a VM.")
	}
	return p, nil
}

// PolicyFor is what holds for the moves of a VM, and which policies say so.
func (f *Fleet) PolicyFor(ctx context.Context, vmID string) (domain.EffectivePolicy, error) {
	var out domain.EffectivePolicy
	vm, err := f.db.VM(ctx, vmID)
	if err != nil {
		return out, err
	}
	if out.From, err = f.db.PoliciesFor(ctx, vm.ID, vm.Tenant, vm.HostID); err != nil {
		return out, err
	}
	for i, p := range out.From {
		out.Policy = out.Policy.Over(p.Policy)
		if p.Scope == domain.PolicyEstate {
			out.From[i].Name = "all VMs"
		}
	}
	return out, nil
}
