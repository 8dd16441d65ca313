package fleet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/desired"
	"novacron/jobs/declare"
)

func (f *Fleet) declared() declare.Deps {
	return declare.Deps{Begin: f.beginDesired, Wait: f.engine.Wait, Done: f.doneDesired}
}

// beginDesired begins with objects that do not need one another. What an earlier call with the key began is found again.
func (f *Fleet) beginDesired(ctx context.Context, actor, key string, in declare.Input, items []declare.Item) ([]declare.Begun, error) {
	ctx, of, err := f.inName(ctx, in)
	if err != nil {
		return nil, err
	}
	facts, err := f.facts(ctx, of)
	if err != nil {
		return nil, err
	}
	out := make([]declare.Begun, len(items))
	for i, it := range items {
		if it.Forget {
			continue
		}
		mine := key + "/" + string(it.Kind) + "/" + it.Name
		job, ok, err := f.again(ctx, actor, mine)
		if err != nil {
			return nil, err
		}
		if ok {
			out[i].JobID, out[i].Created = job.ID, true
			continue
		}
		live, there := facts.Live[it.Kind][it.Name]
		if it.Delete {
			if there && in.Rights != nil {
				out[i].Err = f.mayApply(ctx, of, desired.Item{Kind: it.Kind, Name: it.Name, Action: desired.Delete, ID: live.ID, Spec: live.Spec})
			}
			if there && out[i].Err == nil {
				out[i].JobID, out[i].Err = f.deleteDesired(ctx, actor, mine, it, live.ID, in.Disks)
			}
			continue
		}
		p, err := planIn(facts, desired.Set{Owner: in.Owner, Tenant: in.Tenant}, desired.Object{Kind: it.Kind, Key: it.Name, Spec: it.Wanted})
		if err == nil {
			err = p.Err()
		}
		if err != nil {
			out[i].Err = err
			continue
		}
		plan := p.Items[0]
		if plan.Changes() && in.Rights != nil { // it may be other than it was when it was asked for
			if out[i].Err = f.mayApply(ctx, of, plan); out[i].Err != nil {
				continue
			}
		}
		switch plan.Action {
		case desired.Create:
			out[i].Created = true
			out[i].JobID, out[i].Err = f.createDesired(ctx, actor, mine, it)
		case desired.Update:
			out[i].JobID, out[i].Err = f.updateDesired(ctx, actor, mine, plan)
		}
	}
	return out, nil
}

// doneDesired remembers that an object was applied.
func (f *Fleet) doneDesired(ctx context.Context, job domain.Job, in declare.Input, it declare.Item) error {
	seeing, part, err := f.inName(ctx, in)
	if err != nil {
		return err
	}
	of, vm, came, err := f.cameTo(seeing, part, it)
	if err != nil {
		return err
	}
	return f.db.Write(ctx, func(tx *db.Tx) error {
		if it.Delete || it.Forget {
			return tx.ForgetDesired(it.Kind, it.Name)
		}
		if came {
			if err := tx.SetVMTemplate(of); err != nil {
				return err
			}
			if err := tx.Emit(domain.Event{Kind: "vm.changed", Resource: ref(vm), HostID: vm.HostID, JobID: job.ID, Actor: job.Actor, Message: fmt.Sprintf("%s came to %s@%d.", vm.Name, of.Name, of.Number)}); err != nil {
				return err
			}
		}
		return tx.PutDesired(desired.Record{Kind: it.Kind, Key: it.Name, Owner: in.Owner, Tenant: in.Tenant, Last: it.Wanted, AppliedAt: f.clock(), AppliedBy: job.Actor})
	})
}

func (f *Fleet) createDesired(ctx context.Context, actor, key string, it declare.Item) (string, error) {
	var job domain.Job
	switch it.Kind {
	case desired.KindVM:
		v, err := desired.Decode[desired.VM](it.Wanted)
		if err != nil {
			return "", err
		}
		if v.Template != "" {
			name, number := desired.TemplateRef(v.Template)
			job, err = f.InstantiateTemplate(ctx, actor, Instantiate{Template: name, Number: number, Name: v.Name, Host: v.Host, Values: v.Values(), Start: v.Start, Tenant: v.Tenant, Tags: v.Tags, Notes: v.Notes,
				Key: key, Over: v.Over})
			return job.ID, err
		}
		if job, err = f.CreateVM(ctx, actor, CreateVM{Spec: v.Spec(), Host: v.Host, Start: v.Start, Tags: v.Tags, Notes: v.Notes, Tenant: v.Tenant, Key: key}); err != nil {
			return "", err
		}
	case desired.KindNetwork:
		n, err := desired.Decode[desired.Network](it.Wanted)
		if err != nil {
			return "", err
		}
		if n.Tenant != "" {
			t, err := f.db.Tenant(ctx, n.Tenant)
			if err != nil {
				return "", err
			}
			ctx = domain.WithOwner(ctx, t.ID)
		}
		if job, err = f.CreateNetwork(ctx, actor, CreateNetwork{Spec: n.Spec(), Hosts: []string{n.Host}, Key: key}); err != nil {
			return "", err
		}
	case desired.KindPool:
		p, err := desired.Decode[desired.Pool](it.Wanted)
		if err != nil {
			return "", err
		}
		var probs domain.Problems
		hosts, err := f.hostsNamed(ctx, &probs, "host", []string{p.Host})
		if err == nil {
			err = probs.Err()
		}
		if err != nil {
			return "", err
		}
		if job, err = f.CreatePool(ctx, actor, CreatePool{Spec: p.Spec(), Hosts: []string{hosts[0].ID}, Key: key}); err != nil {
			return "", err
		}
	case desired.KindTemplate:
		t, err := desired.Decode[desired.Template](it.Wanted)
		if err == nil && t.Tenant != "" {
			var of domain.Tenant
			of, err = f.db.Tenant(ctx, t.Tenant)
			ctx = domain.WithOwner(ctx, of.ID)
		}
		if err == nil {
			_, err = f.NewTemplateVersion(ctx, actor, NewTemplate{Name: t.Name, Description: t.Description, Spec: t.Spec, Params: t.Parameters, Changelog: "Applied from a file."})
		}
		return "", err
	case desired.KindTenant:
		t, err := desired.Decode[desired.Tenant](it.Wanted)
		if err != nil {
			return "", err
		}
		return "", f.saveTenant(ctx, actor, domain.Tenant{ID: it.Name, Name: t.Name, Parent: t.Parent, Notes: t.Notes, Quota: t.Quota, CreatedAt: f.clock().UTC(), Version: 1}, true)
	case desired.KindPolicy:
		p, err := desired.Decode[desired.Policy](it.Wanted)
		if err != nil {
			return "", err
		}
		return "", f.writePolicy(ctx, actor, p, "")
	case desired.KindAffinity:
		a, err := desired.Decode[desired.Affinity](it.Wanted)
		if err != nil {
			return "", err
		}
		return "", f.writeAffinity(ctx, actor, a, "")
	}
	return job.ID, nil
}

func (f *Fleet) updateDesired(ctx context.Context, actor, key string, it desired.Item) (string, error) {
	merged, err := desired.Merged(it.Kind, it.Spec, it.Full, it.Fields)
	if err != nil {
		return "", err
	}
	switch it.Kind {
	case desired.KindVM:
		e, err := desired.EditVM(it.Spec, it.Full, it.Fields)
		if err != nil {
			return "", err
		}
		if e.Tags != nil || e.Notes != nil {
			if _, err := f.DescribeVM(ctx, actor, it.ID, 0, DescribeVM{Tags: e.Tags, Notes: e.Notes}); err != nil {
				return "", err
			}
		}
		if e.Change.Empty() {
			return "", nil
		}
		job, err := f.ChangeVM(ctx, actor, it.ID, 0, e.Change, key)
		return job.ID, err
	case desired.KindNetwork:
		n, err := desired.Decode[desired.Network](merged)
		if err != nil {
			return "", err
		}
		job, err := f.ChangeNetwork(ctx, actor, it.ID, n.Spec(), true, key)
		return job.ID, err
	case desired.KindPool:
		p, err := desired.Decode[desired.Pool](merged)
		if err != nil {
			return "", err
		}
		job, err := f.SetPoolAutostart(ctx, actor, it.ID, p.Autostart != nil && *p.Autostart, key)
		return job.ID, err
	case desired.KindTemplate:
		t, err := desired.Decode[desired.Template](merged)
		if err != nil {
			return "", err
		}
		return "", f.writeTemplate(ctx, actor, it, t)
	case desired.KindTenant:
		t, err := desired.Decode[desired.Tenant](merged)
		if err != nil {
			return "", err
		}
		return "", f.saveTenant(ctx, actor, domain.Tenant{ID: it.ID, Name: t.Name, Notes: t.Notes, Quota: t.Quota}, false)
	case desired.KindAffinity:
		a, err := desired.Decode[desired.Affinity](merged)
		if err != nil {
			return "", err
		}
		return "", f.writeAffinity(ctx, actor, a, it.ID)
	}
	p, err := desired.Decode[desired.Policy](merged)
	if err != nil {
		return "", err
	}
	return "", f.writePolicy(ctx, actor, p, it.ID)
}

func (f *Fleet) deleteDesired(ctx context.Context, actor, key string, it declare.Item, id string, disks bool) (string, error) {
	var job domain.Job
	var err error
	switch it.Kind {
	case desired.KindVM:
		job, err = f.DeleteVM(ctx, actor, id, DeleteVM{Disks: disks, Key: key})
	case desired.KindNetwork:
		job, err = f.DeleteNetworks(ctx, actor, []string{id}, DeleteNetworks{Key: key})
	case desired.KindPool:
		p, e := f.db.StoragePool(ctx, id)
		if e != nil {
			return "", e
		}
		if len(p.Hosts) > 1 {
			return "", domain.Errorf(domain.Conflict, "The pool %s is on %d hosts.", p.Name, len(p.Hosts)).WithFix("Delete it on its page: it goes from all of them.")
		}
		job, err = f.DeletePool(ctx, actor, id, DeletePool{Key: key})
	case desired.KindTemplate:
		err = f.DeleteTemplate(ctx, actor, id)
	case desired.KindTenant:
		err = f.db.Write(ctx, func(tx *db.Tx) error {
			t, err := tx.Tenant(id)
			if err != nil {
				return err
			}
			if err := tx.DeleteTenant(t.ID); err != nil {
				return err
			}
			return tx.Emit(domain.Event{Kind: "tenant.removed", Resource: domain.Ref{Kind: "tenant", ID: id, Name: t.Name}, Actor: actor, Message: "The tenant " + t.Name + " was deleted."})
		})
	case desired.KindPolicy:
		of := domain.PolicyOf(id)
		_, err = f.SetMigrationPolicy(ctx, actor, of)
	case desired.KindAffinity:
		err = f.DeleteAffinityRule(ctx, actor, id)
	}
	return job.ID, err
}

// writeAffinity writes a rule of affinity; id is its own, when it is there already.
func (f *Fleet) writeAffinity(ctx context.Context, actor string, a desired.Affinity, id string) error {
	vms, err := f.db.AllVMs(ctx)
	if err != nil {
		return err
	}
	hosts, err := f.db.Hosts(ctx)
	if err != nil {
		return err
	}
	r, err := a.Rule(func(name string) (string, error) {
		var found []string
		for _, vm := range vms {
			if (vm.ID == name || vm.Name == name) && (a.Tenant == "" || vm.Tenant == domain.Slugged(a.Tenant)) {
				found = append(found, vm.ID)
			}
		}
		switch len(found) {
		case 0:
			return "", domain.Errorf(domain.NotFound, "There is no VM “%s” for the rule.", name)
		case 1:
			return found[0], nil
		}
		return "", domain.Errorf(domain.Conflict, "%d VMs are called “%s”.", len(found), name).WithFix("Name the one by its id.")
	}, func(name string) (string, error) {
		i := slices.IndexFunc(hosts, func(h domain.Host) bool { return h.Name == name })
		if i < 0 {
			return "", domain.Errorf(domain.NotFound, "There is no host “%s” for the rule.", name)
		}
		return hosts[i].ID, nil
	})
	if err != nil {
		return err
	}
	if r.ID = id; r.Tenant != "" {
		t, err := f.db.Tenant(ctx, r.Tenant)
		if err != nil {
			return err
		}
		r.Tenant = t.ID
	}
	_, err = f.PutAffinityRule(ctx, actor, r)
	return err
}

// cameTo is what a VM remembers of its template once it is as its file says; ok is false where that is what it remembers already.
func (f *Fleet) cameTo(ctx context.Context, in part, it declare.Item) (of domain.VMTemplate, vm domain.VM, ok bool, err error) {
	if it.Kind != desired.KindVM || it.Delete || it.Forget {
		return of, vm, false, nil
	}
	v, err := desired.Decode[desired.VM](it.Wanted)
	if err != nil || v.Template == "" {
		return of, vm, false, err
	}
	vms, err := f.db.AllVMs(ctx)
	if err != nil {
		return of, vm, false, err
	}
	i := slices.IndexFunc(vms, func(vm domain.VM) bool { return vm.Name == v.Name && in.has(vm.Tenant) })
	if i < 0 {
		return of, vm, false, nil
	}
	vm = vms[i]
	is, ok, err := f.db.TemplateOfVM(ctx, vm.ID)
	if err != nil || !ok {
		return of, vm, false, err
	}
	t, err := f.db.Template(ctx, is.TemplateID)
	if err != nil {
		return of, vm, false, err
	}
	_, number := desired.TemplateRef(v.Template)
	to, err := templateVersion(t, cmp.Or(number, is.Number))
	if err != nil {
		return of, vm, false, err
	}
	chosen := map[string]string{}
	for _, p := range to.Params {
		if value, had := is.Values[p.Name]; had {
			chosen[p.Name] = value
		}
	}
	maps.Copy(chosen, v.Values())
	of = is
	of.Number = to.Number
	if of.Values, err = to.Values(chosen); err != nil {
		return of, vm, false, err
	}
	return of, vm, of.Number != is.Number || !maps.Equal(of.Values, is.Values), nil
}

// writeTemplate writes a new version, when what VMs are made of differs, and the description.
func (f *Fleet) writeTemplate(ctx context.Context, actor string, it desired.Item, t desired.Template) error {
	version := false
	for _, d := range it.Fields {
		if d.Path == "description" {
			if _, err := f.DescribeTemplate(ctx, actor, it.ID, 0, nil, &t.Description); err != nil {
				return err
			}
		} else {
			version = true
		}
	}
	if !version {
		return nil
	}
	old, err := f.db.Template(ctx, it.ID)
	if err != nil {
		return err
	}
	req := NewTemplate{TemplateID: it.ID, Spec: t.Spec, Params: t.Parameters, Changelog: "Applied from a file.", KeepHash: true}
	if len(old.Versions) > 0 {
		req.CloudInit, req.ExecRules = old.Versions[0].CloudInit, old.Versions[0].ExecRules
	}
	_, err = f.NewTemplateVersion(ctx, actor, req)
	return err
}

func (f *Fleet) saveTenant(ctx context.Context, actor string, t domain.Tenant, fresh bool) error {
	var p domain.Problems
	domain.CheckTenant(&p, t)
	if err := p.Err(); err != nil {
		return err
	}
	ref := domain.Ref{Kind: "tenant", ID: t.ID, Name: t.Name}
	return f.db.Write(ctx, func(tx *db.Tx) error {
		if fresh {
			if err := tx.InsertTenant(t); err != nil {
				return err
			}
			return tx.Emit(domain.Event{Kind: "tenant.created", Resource: ref, Actor: actor, Tenant: t.ID, Message: "The tenant " + t.Name + " was made."})
		}
		old, err := tx.Tenant(t.ID)
		if err != nil {
			return err
		}
		old.Name, old.Notes, old.Quota = t.Name, t.Notes, t.Quota
		if err := tx.UpdateTenant(old, old.Version); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "tenant.changed", Resource: ref, Actor: actor, Tenant: t.ID, Message: "The tenant " + t.Name + " was changed."})
	})
}

// writePolicy writes a policy of migrations; id is what it is for, when that is known.
func (f *Fleet) writePolicy(ctx context.Context, actor string, p desired.Policy, id string) error {
	of := domain.ScopedPolicy{Scope: p.Scope, ID: id, Policy: p.MigrationPolicy}
	if id == "" {
		var err error
		if of.ID, err = f.policyID(ctx, p); err != nil {
			return err
		}
	}
	_, err := f.SetMigrationPolicy(ctx, actor, of)
	return err
}

func (f *Fleet) policyID(ctx context.Context, p desired.Policy) (string, error) {
	switch p.Scope {
	case domain.PolicyEstate:
		return domain.PolicyAll, nil
	case domain.PolicyTenant:
		t, err := f.db.Tenant(ctx, p.Name)
		return t.ID, err
	case domain.PolicyHost:
		hosts, err := f.db.Hosts(ctx)
		for _, h := range hosts {
			if h.Name == p.Name {
				return h.ID, nil
			}
		}
		if err != nil {
			return "", err
		}
	case domain.PolicyVM:
		vms, err := f.db.AllVMs(ctx)
		for _, vm := range vms {
			if strings.EqualFold(vm.Name, p.Name) {
				return vm.ID, nil
			}
		}
		if err != nil {
			return "", err
		}
	}
	return "", domain.Errorf(domain.NotFound, "%s", fmt.Sprintf("There is no %s “%s” for the policy.", p.Scope, p.Name))
}
