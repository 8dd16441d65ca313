package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// Whose a VM is, what its tenant's quota lets it be, and what of a host a tenant may reach: asked here, below every page and operation, so that no
// new way of making or changing a VM goes past it.

// needs is the permission that an action on a VM takes.
func needs(act domain.VMAction) access.Permission {
	switch act {
	case domain.ActDelete:
		return access.VMDelete
	case domain.ActEdit, domain.ActRename:
		return access.VMEdit
	case domain.ActClone:
		return access.VMCreate
	case domain.ActConsole:
		return access.VMConsole
	case domain.ActMigrate:
		return access.VMMigrate
	}
	return access.VMPower
}

// may asks again what the route asked: for a selection of VMs the route could not know them.
func may(ctx context.Context, vm domain.VM, p access.Permission) error {
	g := access.Of(ctx)
	if g == nil || g.On(p, access.Object{Kind: "vm", ID: vm.ID, Tenant: vm.Tenant, Folder: vm.Folder, Tags: vm.Tags}) {
		return nil
	}
	return domain.Errorf(domain.Denied, "Your roles do not allow this for %s (it needs %s).", vm.Name, p).WithFix("Ask an administrator to do it or to give you a role that may.")
}

// Offer names files of this server's host that everybody may boot, such as those of the demo guest.
func (f *Fleet) Offer(paths ...string) { f.offered = append(f.offered, paths...) }

// tenantFor settles whose a new VM is: the one that is asked for, else the one in which who asks may make VMs, else the estate's own.
func (f *Fleet) tenantFor(ctx context.Context, asked string) (string, error) {
	g := access.Of(ctx)
	if asked != "" {
		unknown := domain.InvalidField("tenant", "There is no tenant “"+asked+"”.", "the id of a tenant in which you may make VMs")
		t, err := f.db.Tenant(ctx, asked)
		if domain.Is(err, domain.NotFound) {
			return "", unknown
		}
		if err != nil {
			return "", err
		}
		if g != nil && !g.In(access.VMCreate, t.ID) {
			return "", unknown
		}
		return t.ID, nil
	}
	if g == nil || g.Everywhere(access.VMCreate) {
		return "", nil
	}
	in := g.TenantsWith(access.VMCreate)
	switch {
	case len(in) == 1:
		return in[0], nil
	case len(in) > 1 && !slices.Contains(in, "") && f.top(ctx, in) != "":
		return f.top(ctx, in), nil
	case len(in) == 0 && g.On(access.VMCreate, access.Object{Kind: "vm"}):
		return "", nil
	}
	return "", domain.InvalidField("tenant", "It is not said which tenant the VM is for.", "one of "+strings.Join(in, ", "))
}

// top gives the one of the tenants that is above all the others, when there is one.
func (f *Fleet) top(ctx context.Context, in []string) string {
	up := ""
	for _, id := range in {
		t, err := f.db.Tenant(ctx, id)
		if err != nil {
			return ""
		}
		if !slices.Contains(in, t.Parent) {
			if up != "" {
				return ""
			}
			up = id
		}
	}
	return up
}

// mayMake asks whether who asks may make a VM in a tenant: a copy is the original's tenant's.
func mayMake(ctx context.Context, tenant, folder string) error {
	if g := access.Of(ctx); g != nil && !g.Everywhere(access.VMCreate) && !g.On(access.VMCreate, access.Object{Kind: "vm", Tenant: tenant, Folder: folder}) {
		return domain.Errorf(domain.Denied, "Your roles do not allow making VMs there (it needs %s).", access.VMCreate).WithFix("Ask an administrator to do it or to give you a role that may.")
	}
	return nil
}

// sizeOf is what a new VM on a host takes of a quota. The row of the VM counts at once; its volumes count when the host has shown them, so until the
// job ends they are held.
func sizeOf(tx *db.Tx, hostID string, spec domain.VMSpec) (all, held domain.Usage, err error) {
	if held, err = tx.InPools(hostID, byPools(spec.Disks)); err != nil {
		return all, held, err
	}
	cards, err := tx.AddressesFor(hostID, spec.NICs)
	return held.Plus(domain.Usage{VMs: 1, VCPUs: spec.VCPUs, MemoryBytes: spec.MemoryBytes, PublicAddresses: cards}), held, err
}

// byPools is what disks that are to be made take, by the names of their pools.
func byPools(disks []domain.Disk) map[string]int64 {
	out := map[string]int64{}
	for _, d := range disks {
		if d.Device != "cdrom" && !d.ReadOnly {
			out[d.Pool] += d.SizeBytes
		}
	}
	return out
}

// growth is what a change adds to a VM's part of a quota; what it gives back counts when it is done.
func growth(before, after domain.VMSpec, c domain.VMChange) domain.Usage {
	var u domain.Usage
	u.VCPUs = max(0, after.VCPUs-before.VCPUs)
	u.MemoryBytes = max(0, after.MemoryBytes-before.MemoryBytes)
	for _, m := range c.AddMemoryDevices {
		u.MemoryBytes += m.SizeBytes
	}
	return u
}

// admit holds what a job adds to the quota of a VM's tenant, with the disks that it adds; part of the transaction that enqueues it.
func admit(vm domain.VM, more domain.Usage, disks ...domain.Disk) func(tx *db.Tx, job *domain.Job) error {
	return func(tx *db.Tx, job *domain.Job) error {
		volumes, err := tx.InPools(vm.HostID, byPools(disks))
		if err != nil {
			return err
		}
		more := more.Plus(volumes)
		if vm.Tenant == "" || !more.Grows() {
			return nil
		}
		return tx.Admit(vm.Tenant, more, job.ID, more)
	}
}

// newAddresses is how many more public addresses a VM has after a change of its cards. What is taken away counts when it is gone.
func newAddresses(tx *db.Tx, vm domain.VM, c domain.VMChange) (int, error) {
	n, err := tx.AddressesFor(vm.HostID, c.AddNICs)
	if err != nil {
		return 0, err
	}
	var before, after []domain.NIC
	for _, x := range c.ChangeNICs {
		i := slices.IndexFunc(vm.Config.NICs, func(n domain.NIC) bool { return strings.EqualFold(n.MAC, x.MAC) })
		if i < 0 {
			continue
		}
		is := vm.Config.NICs[i]
		before, after = append(before, is), append(after, x.Apply(is))
	}
	was, err := tx.PublicCards(vm.HostID, before)
	if err != nil {
		return 0, err
	}
	is, err := tx.PublicCards(vm.HostID, after)
	if err != nil {
		return 0, err
	}
	for i := range is {
		if is[i] && !was[i] {
			n++
		}
	}
	return n, nil
}

// admitChange is admit for an edit.
func admitChange(vm domain.VM, more domain.Usage, c domain.VMChange) func(tx *db.Tx, job *domain.Job) error {
	return func(tx *db.Tx, job *domain.Job) error {
		n, err := newAddresses(tx, vm, c)
		if err != nil {
			return err
		}
		more := more
		more.PublicAddresses += n
		return admit(vm, more, c.AddDisks...)(tx, job)
	}
}

// reach refuses what of a host only those may name who run it: files, directories and devices. A kernel of a VM is opened by the host's root, a
// directory of the host would be the guest's, and a disk by its path may be somebody else's.
func (f *Fleet) reach(ctx context.Context, spec domain.VMSpec) error {
	g := access.Of(ctx)
	if g == nil || g.Everywhere(access.VMHostFiles) {
		return nil
	}
	var p domain.Problems
	no := func(field, what string) {
		p.Add(field, what+" of the host are for who runs the hosts (it needs "+string(access.VMHostFiles)+").", "disks of pools, images of the library, or files that an administrator offers")
	}
	for field, file := range map[string]string{"boot.kernel": spec.Boot.Kernel, "boot.initrd": spec.Boot.Initrd} {
		if file != "" && !slices.Contains(f.offered, file) {
			no(field, "Kernels and files")
		}
	}
	if len(spec.Filesystems) > 0 {
		no("filesystems", "Directories")
	}
	if len(spec.HostDevices) > 0 {
		no("host_devices", "Devices")
	}
	for i, d := range spec.Disks {
		file := d.Source
		if file == "" && !d.New() {
			file = d.Volume
		}
		if file == "" {
			continue
		}
		ok, err := f.ours(ctx, file, d.Device == "cdrom")
		if err != nil {
			return err
		}
		if !ok {
			no(fmt.Sprintf("disks.%d.source", i), "Files and volumes")
		}
	}
	return p.Err()
}

// ours reports whether a file or volume may be given to a VM by who asks: a disk that only VMs in sight have, or an installation medium in a pool.
func (f *Fleet) ours(ctx context.Context, file string, cdrom bool) (bool, error) {
	if cdrom && strings.HasSuffix(strings.ToLower(file), ".iso") {
		volumes, err := f.db.Volumes(ctx, "", "")
		return slices.ContainsFunc(volumes, func(v domain.Volume) bool { return v.Path == file || v.Name == file }), err
	}
	users, err := f.db.VMsWithFile(ctx, file)
	if err != nil {
		return false, err
	}
	sight := domain.SightOf(ctx)
	for _, vm := range users {
		if !sight.Sees(vm.ID, vm.Tenant, vm.Folder, vm.Tags) {
			return false, nil
		}
	}
	return len(users) > 0, nil
}

// GiveVM gives a VM to another tenant, when its quota has room, or back to the estate. Nothing on the host changes.
func (f *Fleet) GiveVM(ctx context.Context, actor, vmID string, version int64, tenant string) (domain.VM, error) {
	to := ""
	if tenant != "" {
		t, err := f.db.Tenant(ctx, tenant)
		if domain.Is(err, domain.NotFound) {
			return domain.VM{}, domain.InvalidField("tenant", "There is no tenant “"+tenant+"”.", "a tenant's id, or nothing")
		}
		if err != nil {
			return domain.VM{}, err
		}
		to = t.ID
	}
	var out domain.VM
	err := f.db.Write(ctx, func(tx *db.Tx) error {
		vm, err := tx.VM(vmID)
		if err != nil {
			return err
		}
		if version != 0 && version != vm.Version {
			return stale(vm)
		}
		if out = vm; vm.Tenant == to {
			return nil
		}
		all, err := tx.DiskUsage(vmID)
		if err != nil {
			return err
		}
		cards, err := tx.VMAddresses(vmID)
		if err != nil {
			return err
		}
		shots, err := tx.CountSnapshots(vmID)
		if err != nil {
			return err
		}
		all = all.Plus(domain.Usage{VMs: 1, VCPUs: vm.Config.VCPUs, MemoryBytes: vm.Config.MemoryBytes, Snapshots: shots, PublicAddresses: cards})
		if err := tx.Admit(to, all, "", domain.Usage{}); err != nil {
			return err
		}
		if err := tx.Before(map[string]string{"tenant": vm.Tenant}); err != nil {
			return err
		}
		if err := tx.SetVMTenant(vmID, to); err != nil {
			return err
		}
		where := "the estate"
		if to != "" {
			where = "the tenant " + to
		}
		if err := tx.Emit(domain.Event{Kind: "vm.changed", Resource: ref(vm), HostID: vm.HostID, Actor: actor, Message: vm.Name + " was given to " + where + "."}); err != nil {
			return err
		}
		out, err = tx.VM(vmID)
		return err
	})
	return out, err
}
