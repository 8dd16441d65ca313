package auth

import (
	"context"
	"fmt"
	"strings"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// Folders decide who may do what, as tenants do, so they are made here and not among the jobs: nothing of them is on a host.

func folderRef(f domain.Folder) domain.Ref {
	return domain.Ref{Kind: "folder", ID: f.ID, Name: f.Path}
}

// mayFolder asks whether somebody may manage folders at a place: in a folder, or at the top of a tenant.
func mayFolder(by Subject, tenant, folder string) error {
	if by.Grants == nil || by.On(access.FolderManage, access.Object{Kind: "folder", ID: folder, Tenant: tenant, Folder: folder}) {
		return nil
	}
	return domain.Errorf(domain.Denied, "Your roles do not allow this there (it needs %s).", access.FolderManage).WithFix("Ask an administrator to do it or to give you a role that may.")
}

// MakeFolder makes a folder in another, or at the top of a tenant; without one at the top of the one tenant in which who asks may, else of the estate.
func (a *Auth) MakeFolder(ctx context.Context, by Subject, f domain.Folder) (domain.Folder, error) {
	f.Name = strings.TrimSpace(f.Name)
	var p domain.Problems
	domain.CheckFolderName(&p, f.Name)
	switch {
	case f.Parent != "":
		up, err := a.db.Folder(ctx, f.Parent)
		if domain.Is(err, domain.NotFound) || err == nil && !by.sees(up) {
			p.Add("parent", "There is no folder “"+f.Parent+"”.", "a folder's id, or nothing for one at the top")
			break
		}
		if err != nil {
			return f, err
		}
		f.Tenant = up.Tenant
	case f.Tenant != "":
		t, err := a.db.Tenant(ctx, f.Tenant)
		if domain.Is(err, domain.NotFound) || err == nil && by.Grants != nil && !by.Everywhere(access.FolderManage) && !by.Grants.In(access.FolderManage, t.ID) {
			p.Add("tenant", "There is no tenant “"+f.Tenant+"”.", "the id of a tenant in which you may make folders")
			break
		}
		if err != nil {
			return f, err
		}
		f.Tenant = t.ID
	case by.Grants != nil && !by.Everywhere(access.FolderManage):
		if in := by.Grants.TenantsWith(access.FolderManage); len(in) == 1 {
			f.Tenant = in[0]
		} else {
			p.Add("tenant", "It is not said where the folder is to be.", "a folder above it, or one of "+strings.Join(in, ", "))
		}
	}
	if err := p.Err(); err != nil {
		return f, err
	}
	if err := mayFolder(by, f.Tenant, f.Parent); err != nil {
		return f, err
	}
	f.CreatedAt = a.clock().UTC()
	f.ID = domain.NewID("fold", f.CreatedAt)
	err := a.db.Write(ctx, func(tx *db.Tx) (err error) {
		if f, err = tx.InsertFolder(f); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "folder.created", Resource: folderRef(f), Actor: by.Actor(), Tenant: f.Tenant, Message: "The folder " + f.Path + " was made."})
	})
	return f, err
}

// RenameFolder gives a folder another name; version 0 means any.
func (a *Auth) RenameFolder(ctx context.Context, by Subject, id, name string, version int64) (domain.Folder, error) {
	name = strings.TrimSpace(name)
	var p domain.Problems
	domain.CheckFolderName(&p, name)
	if err := p.Err(); err != nil {
		return domain.Folder{}, err
	}
	var f domain.Folder
	err := a.db.Write(ctx, func(tx *db.Tx) (err error) {
		if f, err = tx.Folder(id); err != nil {
			return err
		}
		if err := mayFolder(by, f.Tenant, f.ID); err != nil {
			return err
		}
		if version != 0 && version != f.Version {
			return domain.Errorf(domain.Conflict, "The folder “%s” was changed meanwhile.", f.Path).WithFix("Look at it again and decide anew.")
		}
		was := f.Path
		if err := tx.Before(map[string]string{"path": was}); err != nil {
			return err
		}
		if f, err = tx.RenameFolder(f, name); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "folder.changed", Resource: folderRef(f), Actor: by.Actor(), Tenant: f.Tenant, Message: fmt.Sprintf("The folder %s is now %s.", was, f.Path)})
	})
	return f, err
}

// DeleteFolder forgets a folder in which there is nothing any more, with what was given in it.
func (a *Auth) DeleteFolder(ctx context.Context, by Subject, id string) error {
	return a.db.Write(ctx, func(tx *db.Tx) error {
		f, err := tx.Folder(id)
		if err != nil {
			return err
		}
		if err := mayFolder(by, f.Tenant, f.ID); err != nil {
			return err
		}
		if err := tx.DeleteFolder(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "folder.removed", Resource: folderRef(f), Actor: by.Actor(), Tenant: f.Tenant, Message: "The folder " + f.Path + " was deleted."})
	})
}

func (s Subject) sees(f domain.Folder) bool {
	return s.Grants == nil || s.Sight().SeesFolder(f)
}
