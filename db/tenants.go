package db

import (
	"context"
	"database/sql"

	"novacron/domain"
)

type tenantRow struct {
	ID, Name, Parent, Notes, Quota string
	CreatedAt                      int64 `db:"created_at"`
	Version                        int64
}

const tenantColumns = "id, name, parent, notes, quota, created_at, version"

func (r tenantRow) tenant() (domain.Tenant, error) {
	t := domain.Tenant{ID: r.ID, Name: r.Name, Parent: r.Parent, Notes: r.Notes, CreatedAt: at(r.CreatedAt), Version: r.Version}
	return t, parse(r.Quota, &t.Quota)
}

func readTenants(ctx context.Context, q getter, where string, args ...any) ([]domain.Tenant, error) {
	var rows []tenantRow
	if err := q.SelectContext(ctx, &rows, "SELECT "+tenantColumns+" FROM tenants"+where+" ORDER BY lower(name)", args...); err != nil {
		return nil, edge(err, "tenant")
	}
	out := make([]domain.Tenant, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.tenant(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Tenants lists all tenants by name.
func (d *DB) Tenants(ctx context.Context) ([]domain.Tenant, error) {
	return readTenants(ctx, d.read, "")
}

func oneTenant(all []domain.Tenant, err error) (domain.Tenant, error) {
	if err == nil && len(all) == 0 {
		err = sql.ErrNoRows
	}
	if err != nil {
		return domain.Tenant{}, edge(err, "tenant")
	}
	return all[0], nil
}

// Tenant reads one tenant, named by its id or its name.
func (d *DB) Tenant(ctx context.Context, idOrName string) (domain.Tenant, error) {
	return oneTenant(readTenants(ctx, d.read, " WHERE id = ? OR lower(name) = lower(?)", idOrName, idOrName))
}

// Tenant reads one tenant within the transaction.
func (tx *Tx) Tenant(idOrName string) (domain.Tenant, error) {
	return oneTenant(readTenants(tx.ctx, tx.read(), " WHERE id = ? OR lower(name) = lower(?)", idOrName, idOrName))
}

// InsertTenant writes a new tenant; an id or a name in use is a Conflict. The tenant above must be one at the top.
func (tx *Tx) InsertTenant(t domain.Tenant) error {
	quota, err := text(t.Quota)
	if err != nil {
		return err
	}
	if t.Parent != "" {
		up, err := tx.Tenant(t.Parent)
		if domain.Is(err, domain.NotFound) {
			return domain.InvalidField("parent", "There is no tenant “"+t.Parent+"”.", "a tenant's id, or nothing for one at the top")
		}
		if err != nil {
			return err
		}
		if up.Parent != "" {
			return domain.InvalidField("parent", up.Name+" is below another tenant already.", "a tenant at the top: they nest two deep")
		}
		t.Parent = up.ID
	}
	_, err = tx.exec("INSERT INTO tenants ("+tenantColumns+") VALUES (?, ?, ?, ?, ?, ?, 1)", t.ID, t.Name, t.Parent, t.Notes, quota, ms(t.CreatedAt))
	if err != nil {
		return edge(err, "tenant")
	}
	return tx.touchAccess()
}

// UpdateTenant writes name, notes and quota when the version is current (0: whichever it is).
func (tx *Tx) UpdateTenant(t domain.Tenant, version int64) error {
	quota, err := text(t.Quota)
	if err != nil {
		return err
	}
	if version != 0 && version != t.Version {
		return stale("tenant “"+t.Name+"”", t.Version)
	}
	if err := tx.one("tenant", "UPDATE tenants SET name = ?, notes = ?, quota = ?, version = version + 1 WHERE id = ?", t.Name, t.Notes, quota, t.ID); err != nil {
		return err
	}
	return tx.touchAccess()
}

// DeleteTenant forgets a tenant with what was given in it; one that still has VMs, or tenants below it, or tokens, is a Conflict.
func (tx *Tx) DeleteTenant(id string) error {
	var n struct{ VMs, Below, Tokens, Things int }
	err := tx.tx.QueryRowxContext(tx.ctx, tx.tx.Rebind("SELECT (SELECT count(*) FROM vms WHERE tenant = ?), (SELECT count(*) FROM tenants WHERE parent = ?), (SELECT count(*) FROM tokens WHERE tenant = ?), "+
		"(SELECT count(*) FROM owners o WHERE o.tenant = ? AND (EXISTS (SELECT 1 FROM images x WHERE x.id = o.id) OR EXISTS (SELECT 1 FROM templates x WHERE x.id = o.id) "+
		"OR EXISTS (SELECT 1 FROM volumes x WHERE x.id = o.id) OR EXISTS (SELECT 1 FROM networks x WHERE x.id = o.id)))"),
		id, id, id, id).Scan(&n.VMs, &n.Below, &n.Tokens, &n.Things)
	if err != nil {
		return edge(err, "tenant")
	}
	switch {
	case n.VMs > 0:
		return domain.Errorf(domain.Conflict, "The tenant has %d VMs.", n.VMs).WithFix("Delete them or give them to another tenant first.")
	case n.Things > 0:
		return domain.Errorf(domain.Conflict, "The tenant has %d volumes, images, networks or templates.", n.Things).WithFix("Delete them or give them to another tenant first.")
	case n.Below > 0:
		return domain.Errorf(domain.Conflict, "The tenant has %d tenants below it.", n.Below).WithFix("Delete them first.")
	case n.Tokens > 0:
		return domain.Errorf(domain.Conflict, "%d service accounts work in the tenant.", n.Tokens).WithFix("Revoke their tokens first.")
	}
	if err := tx.one("tenant", "DELETE FROM tenants WHERE id = ?", id); err != nil {
		return err
	}
	for _, table := range []string{"owners", "gifts", "folders", "affinity_rules", "snapshot_schedules"} {
		if _, err := tx.exec("DELETE FROM "+table+" WHERE tenant = ?", id); err != nil {
			return edge(err, "tenant")
		}
	}
	if _, err := tx.exec("DELETE FROM bindings WHERE scope = ? AND scope_id NOT IN (SELECT f.id FROM folders f)", domain.ScopeFolder); err != nil {
		return edge(err, "binding")
	}
	if _, err := tx.exec("DELETE FROM bindings WHERE scope = ? AND scope_id = ?", domain.ScopeTenant, id); err != nil {
		return edge(err, "binding")
	}
	return tx.touchAccess()
}

// SetVMTenant gives a VM to a tenant; empty gives it back to the estate. It leaves its folder, which is the other's.
func (tx *Tx) SetVMTenant(vmID, tenant string) error {
	return tx.one("VM", "UPDATE vms SET tenant = ?, folder = '', version = version + 1 WHERE id = ?", tenant, vmID)
}

const usageQuery = `SELECT
	coalesce((SELECT count(*) FROM vms WHERE tenant = ?), 0),
	coalesce((SELECT sum(vcpus) FROM vms WHERE tenant = ?), 0),
	coalesce((SELECT sum(memory_bytes) FROM vms WHERE tenant = ?), 0),
	coalesce((SELECT count(*) FROM snapshots s JOIN vms v ON v.id = s.vm_id WHERE v.tenant = ?), 0),
	coalesce(sum(h.vms), 0), coalesce(sum(h.vcpus), 0), coalesce(sum(h.memory_bytes), 0), coalesce(sum(h.storage_bytes), 0), coalesce(sum(h.snapshots), 0),
	coalesce(sum(h.public_addresses), 0)
	FROM quota_holds h JOIN jobs j ON j.id = h.job_id AND j.state IN ('queued', 'running', 'stuck') WHERE h.tenant = ?`

// storageQuery is what volumes that a tenant owns, or that its VMs have as disks, or that are copies of its images, take by pools.
const storageQuery = `SELECT x.pool_id, sum(x.bytes) FROM (SELECT y.id, y.pool_id, max(y.bytes) AS bytes FROM (
		SELECT o.id AS id, o.pool_id AS pool_id, o.capacity_bytes AS bytes FROM disk_uses u JOIN vms v ON v.id = u.vm_id JOIN volumes o ON o.host_id = u.host_id AND (o.pool = u.pool AND o.name = u.volume OR u.path <> '' AND o.path = u.path)
			WHERE v.tenant = ? AND u.read_only = 0 AND o.id NOT IN (SELECT w.id FROM owners w)
		UNION ALL SELECT o.id AS id, o.pool_id AS pool_id, o.capacity_bytes AS bytes FROM volumes o JOIN owners w ON w.id = o.id WHERE w.tenant = ?
		UNION ALL SELECT c.id AS id, c.pool_id AS pool_id, CASE i.format WHEN 'qcow2' THEN i.virtual_bytes ELSE i.file_bytes END AS bytes
			FROM image_copies c JOIN image_versions i ON i.id = c.version_id JOIN owners w ON w.id = i.image_id WHERE w.tenant = ?) y GROUP BY y.id, y.pool_id) x GROUP BY x.pool_id`

// libraryQuery is what the files of a tenant's images take in the library, which is in no pool.
const libraryQuery = `SELECT coalesce(sum(i.file_bytes), 0) FROM image_versions i JOIN owners w ON w.id = i.image_id WHERE w.tenant = ?`

// diskQuery is the same for what a VM has and nobody owns.
const diskQuery = `SELECT x.pool_id, sum(x.bytes) FROM (SELECT DISTINCT o.id, o.pool_id AS pool_id, o.capacity_bytes AS bytes FROM disk_uses u JOIN volumes o ON o.host_id = u.host_id AND (o.pool = u.pool AND o.name = u.volume OR u.path <> '' AND o.path = u.path)
	WHERE u.vm_id = ? AND u.read_only = 0 AND o.id NOT IN (SELECT w.id FROM owners w)) x GROUP BY x.pool_id`

func stored(ctx context.Context, q getter, query string, args ...any) (u domain.Usage, err error) {
	err = q.each(ctx, func(rows *sql.Rows) error {
		var pool string
		var bytes int64
		if err := rows.Scan(&pool, &bytes); err != nil {
			return err
		}
		u = u.Plus(domain.Usage{StorageBytes: bytes, Pools: map[string]int64{pool: bytes}})
		return nil
	}, query, args...)
	return u, edge(err, "tenant")
}

func usage(ctx context.Context, q getter, tenant string) (u domain.Usage, err error) {
	var h domain.Usage
	err = q.each(ctx, func(rows *sql.Rows) error {
		return rows.Scan(&u.VMs, &u.VCPUs, &u.MemoryBytes, &u.Snapshots, &h.VMs, &h.VCPUs, &h.MemoryBytes, &h.StorageBytes, &h.Snapshots, &h.PublicAddresses)
	}, usageQuery, tenant, tenant, tenant, tenant, tenant)
	if err != nil {
		return u, edge(err, "tenant")
	}
	if err := q.GetContext(ctx, &u.PublicAddresses, publicQuery, tenant); err != nil {
		return u, edge(err, "tenant")
	}
	if err := q.GetContext(ctx, &u.StorageBytes, libraryQuery, tenant); err != nil {
		return u, edge(err, "tenant")
	}
	volumes, err := stored(ctx, q, storageQuery, tenant, tenant, tenant)
	if err != nil {
		return u, err
	}
	u = u.Plus(h).Plus(volumes)
	err = q.each(ctx, func(rows *sql.Rows) error {
		var text string
		var held domain.Usage
		if err := rows.Scan(&text); err != nil {
			return err
		}
		err := parse(text, &held.Pools)
		u = u.Plus(held)
		return err
	}, "SELECT h.pools FROM quota_holds h JOIN jobs j ON j.id = h.job_id AND j.state IN ('queued', 'running', 'stuck') WHERE h.tenant = ? AND h.pools <> ''", tenant)
	return u, edge(err, "tenant")
}

// DiskUsage is what the disks of a VM take that belong to nobody by themselves.
func (tx *Tx) DiskUsage(vmID string) (domain.Usage, error) {
	return stored(tx.ctx, tx.read(), diskQuery, vmID)
}

// InPools is what new volumes take of a host's pools, whose names are given with bytes.
func (tx *Tx) InPools(hostID string, bytes map[string]int64) (u domain.Usage, err error) {
	for pool, n := range bytes {
		u.StorageBytes += n
		var ids []string
		if err := tx.read().SelectContext(tx.ctx, &ids, "SELECT id FROM pools WHERE host_id = ? AND name = ?", hostID, pool); err != nil {
			return u, edge(err, "pool")
		}
		for _, id := range ids {
			u = u.Plus(domain.Usage{Pools: map[string]int64{id: n}})
		}
	}
	return u, nil
}

func usageBelow(ctx context.Context, q getter, tenant string) (domain.Usage, error) {
	total, err := usage(ctx, q, tenant)
	if err != nil {
		return total, err
	}
	below, err := readTenants(ctx, q, " WHERE parent = ?", tenant)
	if err != nil {
		return total, err
	}
	for _, t := range below {
		u, err := usage(ctx, q, t.ID)
		if err != nil {
			return total, err
		}
		total = total.Plus(u)
	}
	return total, nil
}

// TenantUsage is what a tenant and the tenants below it have, with what is being made.
func (d *DB) TenantUsage(ctx context.Context, tenant string) (domain.Usage, error) {
	return usageBelow(ctx, d.read, tenant)
}

// Admit checks that the quotas of a tenant and of the one above it allow more, and with a job holds what the rows of VMs do not say yet until the job
// ends. It is one transaction with what is made, and there is one writer, so that no two pass together what only one may.
func (tx *Tx) Admit(tenant string, more domain.Usage, jobID string, hold domain.Usage) error {
	for id := tenant; id != ""; {
		t, err := tx.Tenant(id)
		if domain.Is(err, domain.NotFound) {
			return domain.InvalidField("tenant", "There is no tenant “"+id+"”.", "a tenant's id")
		}
		if err != nil {
			return err
		}
		if !t.Quota.Open() {
			used, err := usageBelow(tx.ctx, tx.read(), t.ID)
			if err != nil {
				return err
			}
			if err := t.Quota.Admit(t.Name, used, more); err != nil {
				return err
			}
		}
		id = t.Parent
	}
	if tenant == "" || jobID == "" || !hold.Grows() {
		return nil
	}
	pools := ""
	if len(hold.Pools) > 0 {
		var err error
		if pools, err = text(hold.Pools); err != nil {
			return err
		}
	}
	_, err := tx.exec("INSERT INTO quota_holds (job_id, tenant, vms, vcpus, memory_bytes, storage_bytes, snapshots, public_addresses, pools) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		jobID, tenant, hold.VMs, hold.VCPUs, hold.MemoryBytes, hold.StorageBytes, hold.Snapshots, hold.PublicAddresses, pools)
	return edge(err, "tenant")
}

// AdmitDuring is Admit for a job that runs and has found out only now what it takes. It may be asked again, by a step that is repeated: what the job holds
// already is not counted twice.
func (tx *Tx) AdmitDuring(tenant string, more domain.Usage, jobID string) error {
	if tenant == "" || !more.Grows() {
		return nil
	}
	var held domain.Usage
	err := tx.read().each(tx.ctx, func(rows *sql.Rows) error {
		var pools string
		if err := rows.Scan(&held.VMs, &held.VCPUs, &held.MemoryBytes, &held.StorageBytes, &held.Snapshots, &held.PublicAddresses, &pools); err != nil || pools == "" {
			return err
		}
		return parse(pools, &held.Pools)
	}, "SELECT vms, vcpus, memory_bytes, storage_bytes, snapshots, public_addresses, pools FROM quota_holds WHERE job_id = ? AND tenant = ?", jobID, tenant)
	if err != nil {
		return edge(err, "tenant")
	}
	if _, err := tx.exec("DELETE FROM quota_holds WHERE job_id = ? AND tenant = ?", jobID, tenant); err != nil {
		return edge(err, "tenant")
	}
	all := held.Most(more)
	return tx.Admit(tenant, all, jobID, all)
}

// AdmitImage is Admit for what is made of an image, against the quota of whose it is. With a job it is AdmitDuring; without one, what counts is written in
// the same transaction.
func (tx *Tx) AdmitImage(imageID string, more domain.Usage, jobID string) error {
	var tenant []string
	if err := tx.read().SelectContext(tx.ctx, &tenant, "SELECT tenant FROM owners WHERE id = ?", imageID); err != nil || len(tenant) == 0 {
		return edge(err, "owner")
	}
	if jobID != "" {
		return tx.AdmitDuring(tenant[0], more, jobID)
	}
	return tx.Admit(tenant[0], more, "", domain.Usage{})
}

// VMsWithFile gives the VMs that have a file, or a volume of that name, as a disk: whose they are, and no more.
func (d *DB) VMsWithFile(ctx context.Context, file string) ([]domain.VM, error) {
	var rows []struct{ ID, Tenant, Folder, Tags string }
	err := d.read.SelectContext(ctx, &rows, "SELECT DISTINCT v.id, v.tenant, v.folder, v.tags FROM disk_uses u JOIN vms v ON v.id = u.vm_id WHERE u.path = ? OR u.volume = ?", file, file)
	if err != nil {
		return nil, edge(err, "VM")
	}
	out := make([]domain.VM, len(rows))
	for i, r := range rows {
		out[i] = domain.VM{ID: r.ID, Tenant: r.Tenant, Folder: r.Folder}
		if err := parse(r.Tags, &out[i].Tags); err != nil {
			return nil, err
		}
	}
	return out, nil
}
