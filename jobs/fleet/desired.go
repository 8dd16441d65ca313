package fleet

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/domain/desired"
	"novacron/jobs"
	"novacron/jobs/declare"
)

// Desired asks for an estate to be as files say.
type Desired struct {
	Files []desired.Source
	Owner string // when the files do not name it
	Prune bool   // what the owner applied before and the files do not have any more goes
	Disks bool   // with Prune: the disks of VMs that go, too
	Key   string
	// Tenant is in whose name who has roles in several tenants asks.
	Tenant string
}

// wholeEstate refuses who sees only a part: a plan would take what is out of sight for gone.
func wholeEstate(ctx context.Context, perms ...access.Permission) error {
	g := access.Of(ctx)
	if g == nil {
		return nil
	}
	for _, p := range perms {
		if !g.Everywhere(p) {
			return domain.Errorf(domain.Denied, "Your roles do not allow this in the whole estate (it needs %s).", p).WithFix("Ask an administrator to do it or to give you a role that may.")
		}
	}
	return nil
}

// looks are what planning reads.
var looks = []access.Permission{access.VMRead, access.HostRead, access.NetworkRead, access.PoolRead, access.TemplateRead, access.TenantRead, access.AffinityRead}

// needsFor is the permission that an object of a plan takes.
func needsFor(it desired.Item) access.Permission {
	switch it.Kind {
	case desired.KindTenant:
		return access.TenantManage
	case desired.KindPool:
		return access.PoolManage
	case desired.KindNetwork:
		return access.NetworkManage
	case desired.KindTemplate:
		return access.TemplateManage
	case desired.KindPolicy:
		return access.HostMaintain
	case desired.KindAffinity:
		return access.AffinityManage
	}
	switch it.Action {
	case desired.Create:
		return access.VMCreate
	case desired.Delete:
		return access.VMDelete
	}
	return access.VMEdit
}

// PlanDesired says what an apply would do, and why.
func (f *Fleet) PlanDesired(ctx context.Context, req Desired) (desired.Plan, error) {
	of, err := f.partOf(ctx, req.Tenant)
	if err != nil {
		return desired.Plan{}, err
	}
	return f.planFor(ctx, of, req)
}

func (f *Fleet) planFor(ctx context.Context, of part, req Desired) (desired.Plan, error) {
	set, err := desired.Parse(req.Files, req.Owner)
	if err == nil && !of.whole() {
		set, err = set.For(of.tenant)
	}
	if err != nil {
		return desired.Plan{}, err
	}
	facts, err := f.facts(ctx, of)
	if err != nil {
		return desired.Plan{}, err
	}
	return desired.Make(set, facts, req.Prune)
}

// ApplyDesired enqueues what the plan of the same request says. A plan with an object that cannot be applied is refused as a whole.
func (f *Fleet) ApplyDesired(ctx context.Context, actor string, req Desired) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, req.Key); ok || err != nil {
		return job, err
	}
	of, err := f.partOf(ctx, req.Tenant)
	if err != nil {
		return domain.Job{}, err
	}
	p, err := f.planFor(ctx, of, req)
	if err == nil {
		err = p.Err()
	}
	if err != nil {
		return domain.Job{}, err
	}
	return f.carryOut(ctx, actor, of, p, req.Disks, "Apply the files of "+p.Owner, req.Key)
}

func (f *Fleet) carryOut(ctx context.Context, actor string, of part, p desired.Plan, disks bool, title, key string) (domain.Job, error) {
	in := declare.Input{Owner: p.Owner, Tenant: of.tenant, Items: []declare.Item{}, Disks: disks}
	lock := "apply:" + p.Owner
	if !of.whole() {
		lock = "apply:" + of.tenant + "/" + p.Owner
		g := access.Of(ctx)
		kept := g.Keep()
		in.Rights = &kept
		ctx = domain.WithSight(ctx, homeIn(g.Sight(), of.tenant))
	}
	for _, it := range p.Items {
		if it.Action == desired.Leave {
			continue
		}
		if it.Action != desired.Keep && it.Action != desired.Forget {
			if err := f.mayApply(ctx, of, it); err != nil {
				return domain.Job{}, err
			}
		}
		if it.Kind == desired.KindVM && (it.Action == desired.Create || it.Action == desired.Update) { // the job has nobody's rights
			v, err := desired.Decode[desired.VM](it.Wanted)
			if err != nil {
				return domain.Job{}, err
			}
			if err := f.reach(ctx, v.Spec()); err != nil {
				return domain.Job{}, err
			}
		}
		in.Items = append(in.Items, declare.Item{Kind: it.Kind, Name: it.Name, Delete: it.Action == desired.Delete, Forget: it.Action == desired.Forget, Wanted: it.Wanted})
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: declare.Kind, Title: title, Resource: domain.Ref{Kind: "owner", ID: p.Owner, Name: p.Owner}, Locks: []string{lock},
		Input: in, Actor: actor, Key: key})
}

// facts reads what is in a part of the estate, and what was applied.
func (f *Fleet) facts(ctx context.Context, of part) (desired.Facts, error) {
	out := desired.Facts{Live: map[desired.Kind]map[string]desired.Live{}}
	for _, k := range desired.Kinds {
		out.Live[k] = map[string]desired.Live{}
	}
	put := func(k desired.Kind, key, id string, v any) error {
		raw, err := desired.Encode(v)
		if err != nil {
			return err
		}
		out.Live[k][key] = desired.Live{ID: id, Spec: raw, Many: out.Live[k][key].Many + 1}
		return nil
	}
	var err error
	if out.Records, err = f.db.Desired(ctx); err != nil {
		return out, err
	}
	hosts, err := f.db.Hosts(ctx)
	if err != nil {
		return out, err
	}
	usable, err := f.forOwner(domain.WithOwner(ctx, of.tenant))
	if err != nil {
		return out, err
	}
	names := map[string]string{}
	for _, h := range hosts {
		names[h.ID] = h.Name
		if usable(h.ID, "host_") {
			out.Hosts = append(out.Hosts, h.Name)
		}
	}
	vms, err := f.db.AllVMs(ctx)
	if err != nil {
		return out, err
	}
	came, err := f.db.VMTemplates(ctx)
	if err != nil {
		return out, err
	}
	called, byID := map[string]int{}, map[string]string{}
	vms = slices.DeleteFunc(vms, func(vm domain.VM) bool {
		return !of.has(vm.Tenant) || !of.whole() && !domain.SightOf(ctx).Sees(vm.ID, vm.Tenant, vm.Folder, vm.Tags)
	})
	for _, vm := range vms {
		called[vm.Name]++
		byID[vm.ID] = vm.Name
		if !of.whole() && !slices.Contains(out.Hosts, vm.HostName) {
			out.Hosts = append(out.Hosts, vm.HostName)
		}
		v := desired.VMOf(vm)
		if of, ok := came[vm.ID]; ok {
			v.Came(of)
		}
		if err := put(desired.KindVM, vm.Name, vm.ID, v); err != nil {
			return out, err
		}
	}
	rules, err := f.db.AffinityRules(ctx)
	if err != nil {
		return out, err
	}
	for _, r := range rules {
		if !of.has(r.Tenant) {
			continue
		}
		a := desired.AffinityOf(r, func(id string) (string, bool) {
			name, there := byID[id]
			if called[name] > 1 {
				return id, true // its name would not tell it from the other
			}
			return name, there
		}, func(id string) (string, bool) { return names[id], names[id] != "" })
		if err := put(desired.KindAffinity, desired.AffinityKey(a), r.ID, a); err != nil {
			return out, err
		}
	}
	if out.Templates, err = f.templateFacts(ctx, of, put); err != nil {
		return out, err
	}
	if of.whole() {
		return out, f.estateFacts(ctx, names, put)
	}
	for k, records := range out.Records {
		for key, r := range records {
			if _, there := out.Live[k][key]; !of.sees(r, there) {
				delete(records, key)
			}
		}
	}
	return out, nil
}

// templateFacts reads templates; it gives the versions of all that VMs may come of.
func (f *Fleet) templateFacts(ctx context.Context, of part, put func(k desired.Kind, key, id string, v any) error) (map[string][]domain.TemplateVersion, error) {
	versions := map[string][]domain.TemplateVersion{}
	for after := ""; ; {
		page, err := f.db.Templates(ctx, db.TemplateQuery{After: after, Limit: 200})
		if err != nil {
			return nil, err
		}
		for _, t := range page.Items {
			versions[t.Name] = t.Versions
			if !of.has(t.Tenant) {
				continue
			}
			v := desired.Template{Name: t.Name, Description: t.Description, Tenant: t.Tenant}
			if len(t.Versions) > 0 {
				v.Spec, v.Parameters = t.Versions[0].Spec, t.Versions[0].Params
			}
			if err := put(desired.KindTemplate, t.Name, t.ID, v); err != nil {
				return nil, err
			}
		}
		if after = page.Next; after == "" {
			return versions, nil
		}
	}
}

// estateFacts reads what no tenant applies: pools, networks, tenants and policies of migrations.
func (f *Fleet) estateFacts(ctx context.Context, names map[string]string, put func(k desired.Kind, key, id string, v any) error) error {
	pools, err := f.db.Pools(ctx, "")
	if err != nil {
		return err
	}
	for _, p := range pools {
		if err := put(desired.KindPool, p.Name+"@"+names[p.HostID], p.ID, desired.Pool{Name: p.Name, Host: names[p.HostID], Type: p.Type, Target: p.Target, Source: p.Source, Autostart: &p.Autostart}); err != nil {
			return err
		}
	}
	networks, err := f.db.Networks(ctx, "")
	if err != nil {
		return err
	}
	ids := make([]string, len(networks))
	for i, n := range networks {
		ids[i] = n.ID
	}
	owners, err := f.db.Owners(ctx, ids...)
	if err != nil {
		return err
	}
	for _, n := range networks {
		spec := n.Spec
		spec.Name = n.Name
		if err := put(desired.KindNetwork, n.Name+"@"+names[n.HostID], n.ID, desired.NetworkOf(spec, names[n.HostID], owners[n.ID])); err != nil {
			return err
		}
	}
	tenants, err := f.db.Tenants(ctx)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if err := put(desired.KindTenant, t.ID, t.ID, desired.Tenant{Name: t.Name, Parent: t.Parent, Notes: t.Notes, Quota: t.Quota}); err != nil {
			return err
		}
	}
	policies, err := f.db.MigrationPolicies(ctx)
	if err != nil {
		return err
	}
	for _, p := range policies {
		key, v := string(p.Scope)+"/"+p.Name, desired.Policy{Scope: p.Scope, Name: p.Name, MigrationPolicy: p.Policy}
		switch p.Scope {
		case domain.PolicyEstate:
			key, v.Name = string(p.Scope), ""
		case domain.PolicyTenant:
			key = string(p.Scope) + "/" + p.ID
		}
		if err := put(desired.KindPolicy, key, p.ID, v); err != nil {
			return err
		}
	}
	return nil
}

// ExportDesired writes the estate, or what one owner applied, as a file that applies back without a change.
func (f *Fleet) ExportDesired(ctx context.Context, tenant, owner string, kinds []desired.Kind) (string, error) {
	of, err := f.partOf(ctx, tenant)
	if err != nil {
		return "", err
	}
	facts, err := f.facts(ctx, of)
	if err != nil {
		return "", err
	}
	var out []desired.Object
	for _, k := range desired.Kinds {
		if len(kinds) > 0 && !slices.Contains(kinds, k) {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(facts.Live[k])) {
			r, ours := facts.Records[k][key]
			if owner != "" && (!ours || r.Owner != owner || r.Tenant != of.tenant) || facts.Live[k][key].Many > 1 {
				continue
			}
			spec, err := facts.Exported(k, facts.Live[k][key].Spec)
			if err != nil {
				return "", err
			}
			out = append(out, desired.Object{Kind: k, Key: key, Spec: spec})
		}
	}
	return desired.Write(owner, out)
}

// Drift lists what is not as it was applied, and says how many objects are held to files.
func (f *Fleet) Drift(ctx context.Context, tenant string) ([]desired.Drift, int, error) {
	of, err := f.partOf(ctx, tenant)
	if err != nil {
		return nil, 0, err
	}
	facts, err := f.held(ctx, of)
	if err != nil {
		return nil, 0, err
	}
	applied := 0
	for _, records := range facts.Records {
		applied += len(records)
	}
	all, err := desired.Drifts(facts)
	return all, applied, err
}

// held are the facts with what is held to files in the part's own name: how others' files deviate is theirs to know.
func (f *Fleet) held(ctx context.Context, of part) (desired.Facts, error) {
	facts, err := f.facts(ctx, of)
	for _, records := range facts.Records {
		maps.DeleteFunc(records, func(_ string, r desired.Record) bool { return !of.whole() && r.Tenant != of.tenant })
	}
	return facts, err
}

// driftOf finds one of them with its sides.
func (f *Fleet) driftOf(ctx context.Context, of part, kind desired.Kind, name string) (d desired.Drift, r desired.Record, live desired.Live, err error) {
	facts, err := f.held(ctx, of)
	if err != nil {
		return d, r, live, err
	}
	all, err := desired.Drifts(facts)
	if err != nil {
		return d, r, live, err
	}
	i := slices.IndexFunc(all, func(d desired.Drift) bool { return d.Kind == kind && d.Name == name })
	if i < 0 {
		return d, r, live, domain.Errorf(domain.NotFound, "The %s %s is as it was applied, or nobody applied it.", kind, name)
	}
	return all[i], facts.Records[kind][name], facts.Live[kind][name], nil
}

// AdoptDrift takes what is for what was applied. The files should follow: their next apply says otherwise again.
func (f *Fleet) AdoptDrift(ctx context.Context, actor, tenant string, kind desired.Kind, name string) error {
	of, err := f.partOf(ctx, tenant)
	if err != nil {
		return err
	}
	d, r, live, err := f.driftOf(ctx, of, kind, name)
	if err == nil {
		err = f.mayApply(ctx, of, desired.Item{Kind: kind, Name: name, Action: desired.Update, ID: live.ID, Spec: live.Spec, Wanted: r.Last})
	}
	if err != nil {
		return err
	}
	say := "What became of the " + string(kind) + " " + name + " was adopted."
	if d.Missing {
		return f.remember(ctx, actor, r, say, func(tx *db.Tx) error { return tx.ForgetDesired(kind, name) })
	}
	if r.Last, err = desired.Overlay(kind, r.Last, live.Spec, slices.Concat(d.Fields, d.Ignored)); err != nil {
		return err
	}
	r.Ignored = nil
	return f.remember(ctx, actor, r, say, func(tx *db.Tx) error { return tx.PutDesired(r) })
}

// IgnoreDrift speaks no more of the deviations that there are; another one is told again. With back they are spoken of again.
func (f *Fleet) IgnoreDrift(ctx context.Context, actor, tenant string, kind desired.Kind, name string, back bool) error {
	of, err := f.partOf(ctx, tenant)
	if err != nil {
		return err
	}
	d, r, live, err := f.driftOf(ctx, of, kind, name)
	if err == nil {
		err = f.mayApply(ctx, of, desired.Item{Kind: kind, Name: name, Action: desired.Update, ID: live.ID, Spec: live.Spec, Wanted: r.Last})
	}
	if err != nil {
		return err
	}
	say := "That the " + string(kind) + " " + name + " is otherwise than it was applied is ignored."
	r.Ignored = map[string]string{}
	if back {
		say = "That the " + string(kind) + " " + name + " is otherwise than it was applied is spoken of again."
	} else {
		for _, x := range slices.Concat(d.Fields, d.Ignored) {
			r.Ignored[x.Path] = x.Live
		}
	}
	return f.remember(ctx, actor, r, say, func(tx *db.Tx) error { return tx.PutDesired(r) })
}

func (f *Fleet) remember(ctx context.Context, actor string, r desired.Record, say string, write func(tx *db.Tx) error) error {
	return f.db.Write(ctx, func(tx *db.Tx) error {
		if err := write(tx); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "drift.changed", Resource: domain.Ref{Kind: string(r.Kind), ID: r.ObjectID, Name: r.Key}, Actor: actor, Message: say})
	})
}

// RevertDrift enqueues what makes an object as it was applied.
func (f *Fleet) RevertDrift(ctx context.Context, actor, tenant string, kind desired.Kind, name, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	of, err := f.partOf(ctx, tenant)
	if err != nil {
		return domain.Job{}, err
	}
	_, r, _, err := f.driftOf(ctx, of, kind, name)
	if err != nil {
		return domain.Job{}, err
	}
	facts, err := f.facts(ctx, of)
	if err != nil {
		return domain.Job{}, err
	}
	p, err := planIn(facts, desired.Set{Owner: r.Owner, Tenant: r.Tenant}, desired.Object{Kind: kind, Key: name, Spec: r.Last})
	if err == nil {
		err = p.Err()
	}
	if err != nil {
		return domain.Job{}, err
	}
	return f.carryOut(ctx, actor, of, p, false, fmt.Sprintf("Make the %s %s as it was applied", kind, name), key)
}

// planIn plans for one object of an owner, as if the rest were as it is.
func planIn(facts desired.Facts, of desired.Set, o desired.Object) (desired.Plan, error) {
	records := map[desired.Kind]map[string]desired.Record{}
	if r, ok := facts.Records[o.Kind][o.Key]; ok {
		records[o.Kind] = map[string]desired.Record{o.Key: r}
	}
	facts.Records = records
	of.Objects = []desired.Object{o}
	return desired.Make(of, facts, false)
}
