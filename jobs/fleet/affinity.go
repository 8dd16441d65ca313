package fleet

import (
	"context"
	"fmt"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/domain/affinity"
	"novacron/domain/placement"
)

// lay is where every VM is, with the rules of affinity bound to them.
type lay struct {
	rules *affinity.Rules // nil: there are none
	where map[string][]string
	all   []domain.AffinityRule
	tags  map[string][]string
}

func (l *lay) at(vm string) []string { return l.where[vm] }

// lieOfVMs reads the rules, and where the VMs are when there are any. more are VMs to be made.
func (f *Fleet) lieOfVMs(ctx context.Context, more ...affinity.VM) (*lay, error) {
	rules, err := f.db.AffinityRules(domain.WithSight(ctx, nil)) // also those that who asks does not see hold
	if err != nil || len(rules) == 0 {
		return &lay{}, err
	}
	places, err := f.db.VMPlaces(ctx)
	if err != nil {
		return nil, err
	}
	l := &lay{where: make(map[string][]string, len(places)), all: rules, tags: make(map[string][]string, len(places))}
	vms := more
	for _, p := range places {
		vms = append(vms, affinity.VM{ID: p.ID, Name: p.Name, Tenant: p.Tenant, Tags: p.Tags})
		l.where[p.ID], l.tags[p.ID] = []string{p.HostID}, p.Tags
		if p.MovingTo != "" {
			l.where[p.ID] = append(l.where[p.ID], p.MovingTo)
		}
	}
	l.rules = affinity.New(rules, vms)
	return l, nil
}

// newVM stands for the VM that is being placed.
const newVM = "new"

// ruled tells the candidates what the rules have against a new VM with these tags on each.
func (f *Fleet) ruled(ctx context.Context, name string, tags []string, all []placement.Candidate) error {
	l, err := f.lieOfVMs(ctx, affinity.VM{ID: newVM, Name: name, Tenant: domain.OwnerOf(ctx), Tags: tags})
	if err != nil || l.rules == nil {
		return err
	}
	for i := range all {
		for _, b := range l.rules.Judge(newVM, all[i].Host.ID, l.at, nil) {
			msg := b.Msg
			if !domain.SightOf(ctx).Full() {
				msg = "A rule of affinity keeps the VM from it." // which VMs it names is not theirs to see
			}
			if b.Hard {
				all[i].Against = append(all[i].Against, msg)
			} else {
				all[i].Rather = append(all[i].Rather, msg)
			}
		}
	}
	return nil
}

// ruleChecks is what the rules have against moving one VM by itself. Those that keep VMs together only warn: the others may follow.
func (l *lay) ruleChecks(vm domain.VM, host domain.Host) (out []domain.Check) {
	if l == nil || l.rules == nil {
		return nil
	}
	mates := map[string]bool{}
	for _, id := range l.rules.Together(vm.ID) {
		mates[id] = true
	}
	for _, b := range l.rules.Judge(vm.ID, host.ID, l.at, mates) {
		c := domain.Check{Name: ruleCheck, Level: domain.CheckWarn, Message: b.Msg, Fix: "Choose another host, or change the rule."}
		if b.Hard {
			c.Level = domain.CheckFail
		}
		out = append(out, c)
	}
	if len(out) == 0 && len(mates) > 0 {
		for _, b := range l.rules.Judge(vm.ID, host.ID, l.at, nil) {
			out = append(out, domain.Check{Name: ruleCheck, Level: domain.CheckWarn, Message: b.Msg, Fix: "Move the others there too."})
		}
	}
	return out
}

// ruleCheck names the check of a move that is about rules of affinity.
const ruleCheck = "affinity"

// AffinityOf lists the rules that a VM is under, of those that the context's sight shows.
func (f *Fleet) AffinityOf(ctx context.Context, vm domain.VM) ([]domain.AffinityRule, error) {
	all, err := f.db.AffinityRules(ctx)
	var out []domain.AffinityRule
	for _, r := range all {
		if r.Covers(vm.ID, vm.Tenant, vm.Tags) {
			out = append(out, r)
		}
	}
	return out, err
}

// PutAffinityRule writes a rule, new (no ID) or changed (with the version that was read; 0: whichever it is). A new one belongs to the tenant that it names,
// else to that in which who asks may write rules, else to the estate; that does not change any more. A tenant's names only its VMs and hosts that it may use.
func (f *Fleet) PutAffinityRule(ctx context.Context, actor string, r domain.AffinityRule) (domain.AffinityRule, error) {
	if err := r.Validate(); err != nil {
		return r, err
	}
	said, fresh := "was changed", r.ID == ""
	if fresh {
		own, err := f.OwnedBy(ctx, access.AffinityManage, r.Tenant)
		if err != nil {
			return r, err
		}
		now := f.clock()
		r.ID, r.CreatedAt, r.Version, r.Tenant, said = domain.NewID("aff", now), now, 0, domain.OwnerOf(own), "was made"
	} else {
		old, err := f.db.AffinityRule(ctx, r.ID)
		if err != nil {
			return r, err
		}
		r.Tenant = old.Tenant
	}
	usable, err := f.forOwner(domain.WithOwner(ctx, r.Tenant))
	if err != nil {
		return r, err
	}
	err = f.db.Write(ctx, func(tx *db.Tx) error {
		var old domain.AffinityRule
		var err error
		if !fresh {
			if old, err = tx.AffinityRule(r.ID); err != nil {
				return err
			}
			if r.Version == 0 {
				r.Version = old.Version
			}
		}
		var p domain.Problems
		known := func(field string, ids, before []string, look func(id string) error) error {
			for i, id := range ids {
				err := look(id)
				if domain.Is(err, domain.NotFound) {
					gone := false
					for _, was := range before {
						gone = gone || was == id // a member that was deleted since may stay
					}
					if !gone {
						p.Add(fmt.Sprintf("%s.%d", field, i), "There is none with the id “"+id+"”.", "an id")
					}
				} else if err != nil {
					return err
				}
			}
			return nil
		}
		if err := known("vms", r.VMs, old.VMs, func(id string) error {
			vm, err := tx.VM(id)
			if err == nil && r.Tenant != "" && vm.Tenant != r.Tenant {
				err = domain.Errorf(domain.NotFound, "It is not the tenant's.")
			}
			return err
		}); err != nil {
			return err
		}
		if err := known("hosts", r.Hosts, old.Hosts, func(id string) error {
			_, err := tx.Host(id)
			if err == nil && !usable(id, "host_") {
				err = domain.Errorf(domain.NotFound, "It is not for the tenant.")
			}
			return err
		}); err != nil {
			return err
		}
		if err := p.Err(); err != nil {
			return err
		}
		if err := tx.PutAffinityRule(r); err != nil {
			return err
		}
		if r, err = tx.AffinityRule(r.ID); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "affinity.changed", Resource: ruleRef(r), Actor: actor, Tenant: r.Tenant, Message: fmt.Sprintf("The affinity rule %s %s.", r.Name, said)})
	})
	return r, err
}

func ruleRef(r domain.AffinityRule) domain.Ref {
	return domain.Ref{Kind: "affinity", ID: r.ID, Name: r.Name}
}

// DeleteAffinityRule forgets a rule; nothing moves for it.
func (f *Fleet) DeleteAffinityRule(ctx context.Context, actor, id string) error {
	return f.db.Write(ctx, func(tx *db.Tx) error {
		r, err := tx.AffinityRule(id)
		if err != nil {
			return err
		}
		if err := tx.DeleteAffinityRule(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "affinity.removed", Resource: ruleRef(r), Actor: actor, Tenant: r.Tenant, Message: fmt.Sprintf("The affinity rule %s was deleted.", r.Name)})
	})
}
