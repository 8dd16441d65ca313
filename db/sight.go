package db

import (
	"context"
	"strings"

	"novacron/domain"
)

// conditionOfSight narrows a query on vms v to what the context's sight shows.
func conditionOfSight(ctx context.Context) (cond []string, args []any) {
	return narrowed(ctx, "v.tenant", "v.id", "v.folder"+among, "v.tags"+like)
}

// conditionOfOwner narrows a query on jobs or events, which carry their tenant and the thing they are about.
func conditionOfOwner(ctx context.Context) (cond []string, args []any) {
	return conditionOfVM(ctx, "res_id")
}

// conditionOfVM narrows a query on what carries its tenant and, in a column, the id of a VM.
func conditionOfVM(ctx context.Context, vm string) (cond []string, args []any) {
	return narrowed(ctx, "tenant", vm, vm+" IN (SELECT w.id FROM vms w WHERE w.folder"+among+")", vm+" IN (SELECT w.id FROM vms w WHERE w.tags"+like+")")
}

// conditionOfTenant narrows a query on what is a tenant's and about no single VM, so that no folder and no tag shows it.
func conditionOfTenant(ctx context.Context) (cond []string, args []any) {
	return narrowed(ctx, "tenant", "id", "''"+among, "''"+like)
}

// among stands for a list of values.
const among = " IN (?…)"

// narrowed compiles the context's sight over the columns of a tenant and a VM's id, and conditions of its folder and of one of its tags.
func narrowed(ctx context.Context, tenant, vm, folder, tag string) (cond []string, args []any) {
	s := domain.SightOf(ctx)
	if s.Full() {
		return nil, nil
	}
	among := func(column, in string, of []string) string {
		args = append(args, anys(of)...)
		return column + in + "(" + marks(len(of)) + ")"
	}
	inside := func(of []string) string {
		args = append(args, anys(of)...)
		return strings.Replace(folder, "?…", marks(len(of)), 1)
	}
	if !s.All {
		var any []string
		if len(s.Tenants) > 0 {
			any = append(any, among(tenant, " IN ", s.Tenants))
		}
		if len(s.VMs) > 0 {
			any = append(any, among(vm, " IN ", s.VMs))
		}
		if len(s.Folders) > 0 {
			any = append(any, inside(s.Folders))
		}
		for _, t := range s.Tags {
			any, args = append(any, tag), append(args, tagged(t))
		}
		if len(any) == 0 {
			return []string{"1 = 0"}, nil
		}
		cond = append(cond, "("+strings.Join(any, " OR ")+")")
	}
	if len(s.HiddenTenants) > 0 {
		cond = append(cond, among(tenant, " NOT IN ", s.HiddenTenants))
	}
	if len(s.HiddenVMs) > 0 {
		cond = append(cond, among(vm, " NOT IN ", s.HiddenVMs))
	}
	if len(s.HiddenFolders) > 0 {
		cond = append(cond, "NOT "+inside(s.HiddenFolders))
	}
	for _, t := range s.HiddenTags {
		cond, args = append(cond, "NOT "+tag), append(args, tagged(t))
	}
	return cond, args
}

// A tag cannot hold a quotation mark, so the JSON text can be searched as it is.
func tagged(tag string) string {
	return `%"` + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(tag) + `"%`
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

func anys(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

// Owner is whose something is, for deciding who may do what to it.
type Owner struct {
	Tenant string
	Folder string
	Tags   []string
}

// OwnerOfVM tells whose a VM is, whoever asks.
func (d *DB) OwnerOfVM(ctx context.Context, id string) (Owner, error) {
	var row struct{ Tenant, Folder, Tags string }
	if err := d.read.GetContext(ctx, &row, "SELECT tenant, folder, tags FROM vms WHERE id = ?", id); err != nil {
		return Owner{}, edge(err, "VM")
	}
	o := Owner{Tenant: row.Tenant, Folder: row.Folder}
	return o, parse(row.Tags, &o.Tags)
}

// SeesEvent reports whether an event is in the context's sight. One about a VM that is gone is not, where it would depend on what the VM was.
func (d *DB) SeesEvent(ctx context.Context, ev *domain.Event) (bool, error) {
	s, vm := domain.SightOf(ctx), ""
	if domain.IsVM(ev.Resource.ID) {
		vm = ev.Resource.ID
	}
	if vm == "" || s.Full() || !s.Looks() {
		return s.SeesOf(ev.Tenant, vm), nil
	}
	o, err := d.OwnerOfVM(ctx, vm)
	switch {
	case domain.Is(err, domain.NotFound):
		return len(s.HiddenFolders)+len(s.HiddenTags) == 0 && s.SeesOf(ev.Tenant, vm), nil
	case err != nil:
		return false, err
	}
	return s.Sees(vm, o.Tenant, o.Folder, o.Tags), nil
}

// OwnerOfJob tells whose a job is, and which VM it is about if it is about one.
func (d *DB) OwnerOfJob(ctx context.Context, id string) (o Owner, vmID string, err error) {
	var row struct {
		Tenant string
		ResID  string `db:"res_id"`
	}
	if err := d.read.GetContext(ctx, &row, "SELECT tenant, res_id FROM jobs WHERE id = ?", id); err != nil {
		return o, "", edge(err, "job")
	}
	if domain.IsVM(row.ResID) {
		vmID = row.ResID
		if of, err := d.OwnerOfVM(ctx, vmID); err == nil {
			return of, vmID, nil
		}
	}
	return Owner{Tenant: row.Tenant}, vmID, nil
}

// tenantOf finds whose the thing is that a job or an event is about.
func (tx *Tx) tenantOf(kind, id, jobID string) (string, error) {
	var tenant []string
	var err error
	switch {
	case domain.IsVM(id):
		err = tx.read().SelectContext(tx.ctx, &tenant, "SELECT tenant FROM vms WHERE id = ?", id)
	case kind == "job":
		jobID = id
	}
	if err == nil && len(tenant) == 0 && jobID != "" {
		err = tx.read().SelectContext(tx.ctx, &tenant, "SELECT tenant FROM jobs WHERE id = ?", jobID)
	}
	if err != nil || len(tenant) == 0 {
		return "", edge(err, "tenant")
	}
	return tenant[0], nil
}

// tenantOfJob finds whose a new job is: that of the VM it is about or holds, else of the job it is a part of, else of who asks.
func (tx *Tx) tenantOfJob(j domain.Job) (string, error) {
	for _, id := range append([]string{j.Resource.ID}, j.Locks...) {
		if !domain.IsVM(id) {
			continue
		}
		if t, err := tx.tenantOf("vm", id, ""); err != nil || t != "" {
			return t, err
		}
	}
	if j.ParentID != "" {
		if t, err := tx.tenantOf("job", j.ParentID, ""); err != nil || t != "" {
			return t, err
		}
	}
	if s := domain.SightOf(tx.ctx); s != nil {
		return s.Home, nil
	}
	return "", nil
}
