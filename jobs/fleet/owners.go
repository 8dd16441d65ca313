package fleet

import (
	"context"
	"slices"
	"strings"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// Whose volumes, images, networks and templates are, and which hosts and pools a tenant may use.

// OwnedBy says in the context to whom what is made with it belongs: the tenant that is asked for, else the one in which who asks may make such things,
// else the estate.
func (f *Fleet) OwnedBy(ctx context.Context, p access.Permission, asked string) (context.Context, error) {
	g := access.Of(ctx)
	if asked == "" {
		if g == nil || g.Everywhere(p) {
			return ctx, nil
		}
		in := g.TenantsWith(p)
		up := f.top(ctx, in)
		switch {
		case len(in) == 1:
			return domain.WithOwner(ctx, in[0]), nil
		case up != "":
			return domain.WithOwner(ctx, up), nil
		}
		return ctx, domain.InvalidField("tenant", "It is not said which tenant it is for.", "one of "+strings.Join(in, ", "))
	}
	unknown := domain.InvalidField("tenant", "There is no tenant “"+asked+"”.", "the id of a tenant in which you may do this")
	t, err := f.db.Tenant(ctx, asked)
	if domain.Is(err, domain.NotFound) {
		return ctx, unknown
	}
	if err != nil {
		return ctx, err
	}
	if g != nil && !g.In(p, t.ID) {
		return ctx, unknown
	}
	return domain.WithOwner(ctx, t.ID), nil
}

// owned makes what a job makes belong to whom the context says, when the quota has room; part of the transaction that enqueues it.
func owned(ctx context.Context, id, pool string, bytes int64, more ...string) func(tx *db.Tx, job *domain.Job) error {
	tenant := domain.OwnerOf(ctx)
	return func(tx *db.Tx, job *domain.Job) error {
		for _, x := range append([]string{id}, more...) { // what had the id before may have been somebody else's
			if x == "" {
				continue
			}
			if err := tx.SetOwner(x, tenant); err != nil {
				return err
			}
		}
		if tenant == "" {
			return nil
		}
		job.Tenant = tenant
		use := domain.Usage{StorageBytes: bytes}
		if pool != "" {
			use.Pools = map[string]int64{pool: bytes}
		}
		return tx.Admit(tenant, use, job.ID, use)
	}
}

// grown holds what a volume grows by against the quota of whose it is.
func (f *Fleet) grown(ctx context.Context, v domain.Volume, by int64) func(tx *db.Tx, job *domain.Job) error {
	return func(tx *db.Tx, job *domain.Job) error {
		if by <= 0 {
			return nil
		}
		tenant, err := f.tenantOfVolume(ctx, v.ID)
		if err != nil || tenant == "" {
			return err
		}
		job.Tenant = tenant
		use := domain.Usage{StorageBytes: by, Pools: map[string]int64{v.PoolID: by}}
		return tx.Admit(tenant, use, job.ID, use)
	}
}

// arrives holds what a volume that moves takes of the quota in the pool that it goes to; of all pools together it takes no more than before.
func (f *Fleet) arrives(ctx context.Context, v domain.Volume, host, pool string) func(tx *db.Tx, job *domain.Job) error {
	return func(tx *db.Tx, job *domain.Job) error {
		tenant, err := f.tenantOfVolume(ctx, v.ID)
		if err != nil || tenant == "" || pool == v.Pool {
			return err
		}
		use, err := tx.InPools(host, map[string]int64{pool: v.CapacityBytes})
		if err != nil {
			return err
		}
		use.StorageBytes = 0
		return tx.Admit(tenant, use, job.ID, use)
	}
}

// tenantOfVolume is whose a volume is: its owner, else that of the first VM that has it.
func (f *Fleet) tenantOfVolume(ctx context.Context, id string) (string, error) {
	tenant, err := f.db.OwnerOfThing(ctx, id)
	if err != nil || tenant != "" {
		return tenant, err
	}
	users, err := f.db.VolumeUsers(ctx, id)
	for _, u := range users {
		if u.Kind != "vm" {
			continue
		}
		o, err := f.db.OwnerOfVM(ctx, u.ID)
		return o.Tenant, err
	}
	return "", err
}

// mayUse reports whether a tenant may use a host or a pool: what is given to tenants is for those and the tenants below them, and who was given some
// uses no others. like is the beginning of the ids that are compared.
func mayUse(gifts map[string][]string, t domain.Tenant, id, like string) bool {
	if t.ID == "" {
		return true
	}
	ours := func(to []string) bool {
		return slices.Contains(to, t.ID) || t.Parent != "" && slices.Contains(to, t.Parent)
	}
	if to := gifts[id]; len(to) > 0 {
		return ours(to)
	}
	for other, to := range gifts {
		if strings.HasPrefix(other, like) && ours(to) {
			return false
		}
	}
	return true
}

// forOwner tells which hosts and pools whom the context's work is for may use.
func (f *Fleet) forOwner(ctx context.Context) (func(id, like string) bool, error) {
	id := domain.OwnerOf(ctx)
	if id == "" {
		return func(string, string) bool { return true }, nil
	}
	t, err := f.db.Tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	gifts, err := f.db.Gifts(ctx)
	return func(id, like string) bool { return mayUse(gifts, t, id, like) }, err
}

// Usable tells which hosts and pools somebody who may do p may choose from: all for who may do it at the estate, else those that one of the tenants in
// which it is allowed may use. like is the beginning of the ids that are compared, such as host_.
func (f *Fleet) Usable(ctx context.Context, p access.Permission) (func(id, like string) bool, error) {
	g := access.Of(ctx)
	if g == nil || g.Everywhere(p) {
		return func(string, string) bool { return true }, nil
	}
	gifts, err := f.db.Gifts(ctx)
	if err != nil {
		return nil, err
	}
	var in []domain.Tenant
	for _, id := range g.TenantsWith(p) {
		t, err := f.db.Tenant(ctx, id)
		if err != nil {
			return nil, err
		}
		in = append(in, t)
	}
	return func(id, like string) bool {
		return slices.ContainsFunc(in, func(t domain.Tenant) bool { return mayUse(gifts, t, id, like) })
	}, nil
}

// poolFor refuses a pool that the tenant of what is made may not use.
func (f *Fleet) poolFor(ctx context.Context, poolID string) error {
	allowed, err := f.forOwner(ctx)
	if err == nil && !allowed(poolID, "pool_") {
		err = domain.InvalidField("pool", "The pool is not for the tenant "+domain.OwnerOf(ctx)+".", "a pool that is given to it")
	}
	return err
}

// Give gives things to a tenant, or takes them from it: volumes, images, networks and templates become its own or the estate's; hosts and pools are
// given for its use.
func (f *Fleet) Give(ctx context.Context, actor, tenant string, ids []string, give bool) (domain.Tenant, error) {
	t, err := f.db.Tenant(ctx, tenant)
	if err != nil {
		return t, err
	}
	names := map[string]string{}
	for _, id := range ids {
		if names[id], err = f.thing(ctx, id); err != nil {
			return t, err
		}
	}
	err = f.db.Write(ctx, func(tx *db.Tx) error {
		for _, id := range ids {
			kind, _, _ := strings.Cut(id, "_")
			said := names[id] + " was given to the tenant " + t.Name + "."
			if !give {
				said = names[id] + " was taken from the tenant " + t.Name + "."
			}
			if kind == "host" || kind == "pool" {
				if err := tx.SetGift(id, t.ID, give); err != nil {
					return err
				}
			} else if err := f.hand(ctx, tx, id, t.ID, give); err != nil {
				return err
			}
			if err := tx.Emit(domain.Event{Kind: "tenant.changed", Resource: domain.Ref{Kind: "tenant", ID: t.ID, Name: t.Name}, Actor: actor, Tenant: t.ID, Message: said}); err != nil {
				return err
			}
		}
		return nil
	})
	return t, err
}

// hand makes a thing a tenant's own, when its quota has room, or the estate's.
func (f *Fleet) hand(ctx context.Context, tx *db.Tx, id, tenant string, give bool) error {
	now, err := f.db.OwnerOfThing(ctx, id)
	if err != nil {
		return err
	}
	if !give {
		if now != tenant {
			return domain.Errorf(domain.Conflict, "%s is not the tenant's.", id)
		}
		return tx.SetOwner(id, "")
	}
	if now == tenant {
		return nil
	}
	if strings.HasPrefix(id, "vol_") {
		at, err := f.db.VolumeOn(ctx, id)
		if err != nil {
			return err
		}
		if err := tx.Admit(tenant, domain.Usage{StorageBytes: at[0].CapacityBytes, Pools: map[string]int64{at[0].PoolID: at[0].CapacityBytes}}, "", domain.Usage{}); err != nil {
			return err
		}
	}
	return tx.SetOwner(id, tenant)
}

// thing finds the name of what can be given.
func (f *Fleet) thing(ctx context.Context, id string) (string, error) {
	kind, _, _ := strings.Cut(id, "_")
	switch kind {
	case "host":
		h, err := f.db.Host(ctx, id)
		return h.Name, err
	case "pool":
		p, err := f.db.StoragePool(ctx, id)
		return p.Name, err
	case "vol":
		v, err := f.db.VolumeOn(ctx, id)
		if err != nil {
			return "", err
		}
		return v[0].Name, nil
	case "img":
		i, err := f.db.Image(ctx, id)
		return i.Name, err
	case "tmpl":
		t, err := f.db.Template(ctx, id)
		return t.Name, err
	case "net":
		n, err := f.db.Network(ctx, id)
		return n.Name, err
	}
	return "", domain.InvalidField("ids", "“"+id+"” cannot be given to a tenant.", "ids of hosts, pools, volumes, images, networks and templates; a VM is given by its own field tenant")
}
