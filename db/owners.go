package db

import (
	"context"
	"database/sql"
	"strings"

	"novacron/domain"
)

// Whose volumes, images, networks and templates are, and which hosts and pools are given to which tenants. Rows of hosts come and go with what the
// hosts say, so it is kept beside them, by the ids that they have each time.

// SetOwner says whose a thing is; an empty tenant gives it back to the estate.
func (tx *Tx) SetOwner(id, tenant string) error {
	if tenant == "" {
		_, err := tx.exec("DELETE FROM owners WHERE id = ?", id)
		return edge(err, "owner")
	}
	_, err := tx.exec("INSERT INTO owners (id, tenant) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant", id, tenant)
	return edge(err, "owner")
}

// ownNew makes what is new belong to whom the context says.
func (tx *Tx) ownNew(id string) error {
	if t := domain.OwnerOf(tx.ctx); t != "" {
		return tx.SetOwner(id, t)
	}
	return nil
}

// Owners tells whose things are; the estate's are not in it.
func (d *DB) Owners(ctx context.Context, ids ...string) (map[string]string, error) {
	out := map[string]string{}
	if len(ids) == 0 {
		return out, nil
	}
	err := d.read.each(ctx, func(rows *sql.Rows) error {
		var id, tenant string
		err := rows.Scan(&id, &tenant)
		out[id] = tenant
		return err
	}, "SELECT id, tenant FROM owners WHERE id IN ("+marks(len(ids))+")", anys(ids)...)
	return out, edge(err, "owner")
}

// OwnerOfThing tells whose a volume, an image, a network or a template is, whoever asks; a version of an image or a template goes with it.
func (d *DB) OwnerOfThing(ctx context.Context, id string) (string, error) {
	query := "SELECT tenant FROM owners WHERE id = ?"
	switch {
	case strings.HasPrefix(id, "imgv_"):
		query = "SELECT o.tenant FROM owners o JOIN image_versions v ON v.image_id = o.id WHERE v.id = ?"
	case strings.HasPrefix(id, "tmplv_"):
		query = "SELECT o.tenant FROM owners o JOIN template_versions v ON v.template_id = o.id WHERE v.id = ?"
	}
	var tenant string
	err := edge(d.read.GetContext(ctx, &tenant, query, id), "owner")
	if domain.Is(err, domain.NotFound) {
		return "", nil
	}
	return tenant, err
}

// OwnerOfSchedule tells whose a snapshot schedule is, whoever asks. NotFound.
func (d *DB) OwnerOfSchedule(ctx context.Context, id string) (tenant string, err error) {
	err = edge(d.read.GetContext(ctx, &tenant, "SELECT tenant FROM snapshot_schedules WHERE id = ?", id), "schedule")
	return tenant, err
}

// OwnerOfRule tells whose a rule of affinity is, whoever asks. NotFound.
func (d *DB) OwnerOfRule(ctx context.Context, id string) (tenant string, err error) {
	err = edge(d.read.GetContext(ctx, &tenant, "SELECT tenant FROM affinity_rules WHERE id = ?", id), "affinity rule")
	return tenant, err
}

// ownedInSight narrows a query on things with owners to what the context's sight shows; shared are things of the estate that everybody may use.
func ownedInSight(ctx context.Context, id string, shared bool) (cond []string, args []any) {
	s := domain.SightOf(ctx)
	if s.Full() {
		return nil, nil
	}
	of := func(tenants []string) string {
		args = append(args, anys(tenants)...)
		return "(SELECT o.id FROM owners o WHERE o.tenant IN (" + marks(len(tenants)) + "))"
	}
	if !s.All {
		var any []string
		if len(s.Tenants) > 0 {
			any = append(any, id+" IN "+of(s.Tenants))
		}
		if shared {
			any = append(any, id+" NOT IN (SELECT o.id FROM owners o)")
		}
		if len(any) == 0 {
			return []string{"1 = 0"}, nil
		}
		cond = append(cond, "("+strings.Join(any, " OR ")+")")
	}
	if len(s.HiddenTenants) > 0 {
		cond = append(cond, id+" NOT IN "+of(s.HiddenTenants))
	}
	return cond, args
}

// inSight is ownedInSight as the end of a WHERE.
func inSight(ctx context.Context, id string) (string, []any) {
	cond, args := ownedInSight(ctx, id, true)
	if len(cond) == 0 {
		return "", nil
	}
	return " AND " + strings.Join(cond, " AND "), args
}

// volumesInSight narrows a query on volumes v: a tenant sees those that it owns and those that its VMs have as disks.
func volumesInSight(ctx context.Context) (cond []string, args []any) {
	cond, args = ownedInSight(ctx, "v.id", false)
	s := domain.SightOf(ctx)
	if s.Full() || s.All || len(s.Tenants) == 0 {
		return cond, args
	}
	cond[0] = "(" + cond[0] + ` OR EXISTS (SELECT 1 FROM disk_uses u JOIN vms m ON m.id = u.vm_id WHERE u.host_id = v.host_id AND u.read_only = 0
		AND (u.path = v.path OR u.pool = v.pool AND u.volume = v.name) AND v.id NOT IN (SELECT o.id FROM owners o) AND m.tenant IN (` + marks(len(s.Tenants)) + ")))"
	first := len(s.Tenants)
	return cond, append(append(append([]any{}, args[:first]...), anys(s.Tenants)...), args[first:]...)
}

// SetGift gives a host or a pool to a tenant, or takes it back.
func (tx *Tx) SetGift(id, tenant string, given bool) error {
	if !given {
		_, err := tx.exec("DELETE FROM gifts WHERE id = ? AND tenant = ?", id, tenant)
		return edge(err, "tenant")
	}
	_, err := tx.exec("INSERT INTO gifts (id, tenant) VALUES (?, ?) ON CONFLICT (id, tenant) DO NOTHING", id, tenant)
	return edge(err, "tenant")
}

// Gifts are hosts and pools by id, with the tenants that they are given to.
func (d *DB) Gifts(ctx context.Context) (map[string][]string, error) {
	out := map[string][]string{}
	err := d.read.each(ctx, func(rows *sql.Rows) error {
		var id, tenant string
		err := rows.Scan(&id, &tenant)
		out[id] = append(out[id], tenant)
		return err
	}, "SELECT id, tenant FROM gifts ORDER BY id, tenant")
	return out, edge(err, "tenant")
}
