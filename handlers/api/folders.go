package api

import (
	"context"
	"net/http"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
)

// Folder is a place for VMs inside a tenant.
type Folder struct {
	ID        string     `json:"id" example:"fold_01k…"`
	Name      string     `json:"name" example:"prod"`
	Path      string     `json:"path" example:"web/prod" doc:"Names from the top"`
	Tenant    string     `json:"tenant" doc:"Whose it is; empty: the estate's"`
	Parent    string     `json:"parent" doc:"Id of the folder above; empty: at the top"`
	VMs       int        `json:"vms" doc:"In it and below it"`
	CreatedAt *time.Time `json:"created_at"`
	Version   int64      `json:"version"`
}

func folderOf(f *domain.Folder) Folder {
	return Folder{ID: f.ID, Name: f.Name, Path: f.Path, Tenant: f.Tenant, Parent: f.Parent, VMs: f.VMs, CreatedAt: when(f.CreatedAt), Version: f.Version}
}

type FolderPath struct {
	ID string `path:"id" maxLength:"64" doc:"The folder's id"`
}

type folderOutput struct{ Body Folder }

// FolderWrite is what a folder is made of.
type FolderWrite struct {
	Name   string `json:"name" maxLength:"64" example:"prod"`
	Parent string `json:"parent,omitempty" maxLength:"64" doc:"Id of the folder above; empty: at the top"`
	Tenant string `json:"tenant,omitempty" maxLength:"64" doc:"Of a folder at the top: a tenant's id or name; empty: the one tenant in which you manage folders, else the estate"`
}

// FolderEdit changes a folder.
type FolderEdit struct {
	Name    string `json:"name" maxLength:"64"`
	Version int64  `json:"version,omitempty" minimum:"1"`
}

func (s *server) folders() {
	register(s, op{id: "list-folders", method: http.MethodGet, path: "/folders", tag: accessTag, perm: access.VMRead, status: 200, summary: "List the folders that VMs can be put into"},
		func(ctx context.Context, in *struct {
			PageQuery
			Tenant string `query:"tenant" maxLength:"64" doc:"Only of the tenant with this id"`
		}) (*struct{ Body Page[Folder] }, error) {
			all, err := s.DB.Folders(ctx)
			if err != nil {
				return nil, err
			}
			if in.Tenant != "" {
				kept := all[:0]
				for _, f := range all {
					if f.Tenant == in.Tenant {
						kept = append(kept, f)
					}
				}
				all = kept
			}
			page, err := paged(all, in.PageQuery, "path", sortKeys[domain.Folder]{"path": func(f *domain.Folder) string { return f.Path }, "id": func(f *domain.Folder) string { return f.ID }},
				func(f *domain.Folder) string { return f.ID }, folderOf)
			return &struct{ Body Page[Folder] }{page}, err
		})
	register(s, op{id: "create-folder", method: http.MethodPost, path: "/folders", tag: accessTag, perm: access.FolderManage, status: 201, summary: "Make a folder",
		doc: "Folders nest up to eight deep inside a tenant. A role that is bound to a folder holds for the VMs in it and in those below it."},
		func(ctx context.Context, in *struct{ Body FolderWrite }) (*folderOutput, error) {
			f, err := s.Auth.MakeFolder(ctx, auth.SubjectOf(ctx), domain.Folder{Name: in.Body.Name, Parent: in.Body.Parent, Tenant: in.Body.Tenant})
			if err != nil {
				return nil, err
			}
			return &folderOutput{folderOf(&f)}, nil
		})
	one := func(ctx context.Context, id string) (*folderOutput, error) {
		all, err := s.DB.Folders(ctx)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if all[i].ID == id {
				return &folderOutput{folderOf(&all[i])}, nil
			}
		}
		return nil, domain.Errorf(domain.NotFound, "There is no such folder.").WithFix("Look at the list of folders.")
	}
	register(s, op{id: "get-folder", method: http.MethodGet, path: "/folders/{id}", tag: accessTag, perm: access.VMRead, status: 200, summary: "Show a folder"},
		func(ctx context.Context, in *FolderPath) (*folderOutput, error) { return one(ctx, in.ID) })
	register(s, op{id: "edit-folder", method: http.MethodPatch, path: "/folders/{id}", tag: accessTag, perm: access.FolderManage, status: 200, summary: "Rename a folder"},
		func(ctx context.Context, in *struct {
			FolderPath
			Body FolderEdit
		}) (*folderOutput, error) {
			if _, err := s.Auth.RenameFolder(ctx, auth.SubjectOf(ctx), in.ID, in.Body.Name, in.Body.Version); err != nil {
				return nil, err
			}
			return one(ctx, in.ID)
		})
	register(s, op{id: "delete-folder", method: http.MethodDelete, path: "/folders/{id}", tag: accessTag, perm: access.FolderManage, status: 204, summary: "Delete a folder in which there is nothing"},
		func(ctx context.Context, in *FolderPath) (*none, error) {
			return nil, s.Auth.DeleteFolder(ctx, auth.SubjectOf(ctx), in.ID)
		})
}
