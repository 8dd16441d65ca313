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

// folderFor settles in which folder a new VM is, and whose it is then: the one that is asked for, else the one in which alone who asks may make VMs.
func (f *Fleet) folderFor(ctx context.Context, asked, tenant string) (domain.Folder, error) {
	g := access.Of(ctx)
	if asked == "" {
		if tenant != "" || g == nil || g.Everywhere(access.VMCreate) || len(g.TenantsWith(access.VMCreate)) > 0 {
			return domain.Folder{}, nil
		}
		in := g.FoldersWith(access.VMCreate)
		if len(in) != 1 {
			return domain.Folder{}, nil
		}
		asked = in[0]
	}
	unknown := domain.InvalidField("folder", "There is no folder “"+asked+"”.", "the id of a folder in which you may make VMs, or its path in the tenant")
	x, err := f.db.FolderNamed(ctx, tenant, asked)
	if domain.Is(err, domain.NotFound) {
		return x, unknown
	}
	if err != nil {
		return x, err
	}
	if tenant != "" {
		if t, err := f.db.Tenant(ctx, tenant); err != nil || t.ID != x.Tenant {
			return x, domain.InvalidField("folder", "The folder is not the tenant's.", "a folder of the tenant "+tenant)
		}
	}
	if g != nil && !g.On(access.VMCreate, access.Object{Kind: "vm", Tenant: x.Tenant, Folder: x.ID}) {
		return x, unknown
	}
	return x, nil
}

// folderOfCopy finds the folder that a copy of a VM is asked to be in.
func (f *Fleet) folderOfCopy(ctx context.Context, vm domain.VM, asked string) (string, error) {
	var x domain.Folder
	if asked = strings.TrimSpace(asked); asked != "" {
		var err error
		x, err = f.db.FolderNamed(ctx, vm.Tenant, asked)
		if domain.Is(err, domain.NotFound) || err == nil && (x.Tenant != vm.Tenant || !domain.SightOf(ctx).SeesFolder(x)) {
			return "", domain.InvalidField("folder", "There is no folder “"+asked+"”.", "a folder's id or its path in the VM's tenant, or nothing")
		}
		if err != nil {
			return "", err
		}
	}
	from := access.Object{Kind: "vm", ID: vm.ID, Tenant: vm.Tenant, Folder: vm.Folder, Tags: vm.Tags}
	there := from
	there.Folder = x.ID
	// What is on the disks comes under the roles of the other folder, as if the VM itself had moved.
	if g := access.Of(ctx); g != nil && x.ID != vm.Folder && (!g.On(access.FolderManage, from) || !g.On(access.FolderManage, there)) {
		return "", domain.Errorf(domain.Denied, "Your roles do not allow a copy of %s in another folder (it needs %s here and there).", vm.Name, access.FolderManage).
			WithFix("Leave it in the original's folder, or ask an administrator.")
	}
	return x.ID, nil
}

// MayTag refuses tags that roles are given by, put on or taken off by who does not give roles: otherwise who may edit a VM chooses who has rights on it.
func (f *Fleet) MayTag(ctx context.Context, vm domain.VM, before, after []string) error {
	g := access.Of(ctx)
	if g == nil || g.Everywhere(access.RoleManage) {
		return nil
	}
	given, err := f.db.Bindings(ctx)
	if err != nil {
		return err
	}
	bound := access.TagsBoundBy(given)
	for _, list := range [][2][]string{{before, after}, {after, before}} {
		for _, tag := range list[0] {
			if slices.Contains(list[1], tag) || !bound.Binds(tag) || g.On(access.RoleManage, access.Object{Kind: "vm", ID: vm.ID, Tenant: vm.Tenant, Folder: vm.Folder, Tags: before}) {
				continue
			}
			said := "Roles are given by the tag “" + tag + "”, so it is put on and taken off only by who gives roles (it needs " + string(access.RoleManage) + ")."
			return &domain.Error{Code: domain.Denied, Msg: said, Fix: "Leave this tag as it is, or ask an administrator to change it.",
				Fields: []domain.FieldError{{Field: "tags", Msg: said, Want: "other tags"}}}
		}
	}
	return nil
}

// PutVMs puts VMs into a folder, named by its id or, for VMs of one tenant, by its path; empty: into none. All or none: nothing on a host changes. Who
// asks must manage folders where the VM is and where it goes, since roles are given in folders.
func (f *Fleet) PutVMs(ctx context.Context, actor string, ids []string, version int64, folder string) ([]domain.VM, error) {
	g := access.Of(ctx)
	var out []domain.VM
	err := f.db.Write(ctx, func(tx *db.Tx) error {
		out = nil
		for _, id := range ids {
			vm, err := tx.VM(id)
			if err != nil {
				return err
			}
			if version != 0 && version != vm.Version {
				return stale(vm)
			}
			to := domain.Folder{Tenant: vm.Tenant}
			if folder = strings.TrimSpace(folder); folder != "" {
				to, err = f.db.FolderNamed(ctx, vm.Tenant, folder)
				if domain.Is(err, domain.NotFound) || err == nil && !domain.SightOf(ctx).SeesFolder(to) {
					return domain.InvalidField("folder", "There is no folder “"+folder+"”.", "a folder's id or its path in the VM's tenant, or nothing")
				}
				if err != nil {
					return err
				}
				if to.Tenant != vm.Tenant {
					return domain.InvalidField("folder", "The folder "+to.Path+" is not of the tenant that "+vm.Name+" is of.", "a folder of the VM's own tenant")
				}
			}
			if vm.Folder == to.ID {
				out = append(out, vm)
				continue
			}
			from := access.Object{Kind: "vm", ID: vm.ID, Tenant: vm.Tenant, Folder: vm.Folder, Tags: vm.Tags}
			there := from
			there.Folder = to.ID
			if g != nil && (!g.On(access.FolderManage, from) || !g.On(access.FolderManage, there)) {
				return domain.Errorf(domain.Denied, "Your roles do not allow moving %s there (it needs %s here and there).", vm.Name, access.FolderManage).WithFix("Ask an administrator to do it or to give you a role that may.")
			}
			if err := tx.SetVMFolder(vm.ID, to.ID); err != nil {
				return err
			}
			said := fmt.Sprintf("%s was put into the folder %s.", vm.Name, to.Path)
			if to.ID == "" {
				said = vm.Name + " was taken out of its folder."
			}
			if err := tx.Emit(domain.Event{Kind: "vm.changed", Resource: ref(vm), HostID: vm.HostID, Actor: actor, Message: said}); err != nil {
				return err
			}
			if vm, err = tx.VM(id); err != nil {
				return err
			}
			out = append(out, vm)
		}
		return nil
	})
	return out, err
}
