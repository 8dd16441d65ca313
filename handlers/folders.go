package handlers

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/domain"
	"novacron/views/folders"
	"novacron/views/layout"
	"novacron/views/live"
)

func (s *server) folderList(c echo.Context) error {
	return s.showFolders(c, http.StatusOK, folders.List{})
}

func (s *server) showFolders(c echo.Context, status int, m folders.List) (err error) {
	ctx, sub := c.Request().Context(), subject(c)
	if m.Items, err = s.DB.Folders(ctx); err != nil {
		return err
	}
	all, err := s.DB.Tenants(ctx)
	if err != nil {
		return err
	}
	m.Estate = sub.Everywhere(access.FolderManage)
	for _, t := range all {
		if sub.On(access.FolderManage, access.Object{Kind: "tenant", ID: t.ID, Tenant: t.ID}) {
			m.Tenants = append(m.Tenants, t)
		}
	}
	sh, err := s.shellFor(c, page{title: "Folders", section: layout.SectionVMs, crumbs: []layout.Crumb{{Label: "Virtual machines", URL: live.VMs}}})
	if err != nil {
		return err
	}
	return s.render(c, status, folders.ListPage(sh, m))
}

// foldersOf lists the folders of a tenant.
func (s *server) foldersOf(ctx context.Context, tenant string) ([]domain.Folder, error) {
	all, err := s.DB.Folders(ctx)
	return slices.DeleteFunc(all, func(f domain.Folder) bool { return f.Tenant != tenant }), err
}

func (s *server) folderMake(c echo.Context) error {
	m := folders.List{Name: c.FormValue("name"), Place: c.FormValue("place")}
	f := domain.Folder{Name: m.Name, Parent: m.Place}
	if tenant, ok := strings.CutPrefix(m.Place, "tenant:"); ok {
		f.Parent, f.Tenant = "", tenant
	}
	f, err := s.Auth.MakeFolder(c.Request().Context(), subject(c), f)
	switch domain.CodeOf(err) {
	case "":
		return s.moveSaying(c, live.Folders, layout.Toast{Tone: layout.ToneSuccess, Text: "The folder " + f.Path + " was made."})
	case domain.Internal:
		return err
	}
	m.Err = problem(err)
	return s.showFolders(c, statusOf(err), m)
}

func (s *server) folderChange(c echo.Context) error {
	ctx, id := c.Request().Context(), c.Param("id")
	version, err := strconv.ParseInt(c.FormValue("version"), 10, 64)
	if err != nil {
		version = 0
	}
	said := "The folder was deleted."
	switch c.FormValue("do") {
	case "delete":
		err = s.Auth.DeleteFolder(ctx, subject(c), id)
	default:
		var f domain.Folder
		f, err = s.Auth.RenameFolder(ctx, subject(c), id, c.FormValue("name"), version)
		said = "The folder is now " + f.Path + "."
	}
	switch domain.CodeOf(err) {
	case "":
		return s.moveSaying(c, live.Folders, layout.Toast{Tone: layout.ToneSuccess, Text: said})
	case domain.Internal, domain.NotFound:
		return err
	}
	return s.showFolders(c, statusOf(err), folders.List{Err: problem(err), Wrong: id})
}

// vmPut puts a selection into a folder: asked first, unless the form has chosen one already.
func (s *server) vmPut(c echo.Context) error {
	ctx := c.Request().Context()
	all, filter, sure := truth(c.FormValue("all")), c.FormValue("filter"), truth(c.FormValue("confirm"))
	chosen, err := s.chosen(c, all, filter, sure)
	if err == nil && len(chosen) == 0 {
		err = domain.Errorf(domain.Invalid, "Nothing is selected.").WithFix("Tick the VMs that are meant.")
	}
	if err != nil {
		return s.sayOrFail(c, live.VMs, err)
	}
	m := folders.Put{VMs: chosen, All: all, Filter: filter, Back: s.backFrom(c, live.VMs), Choice: c.FormValue("folder")}
	if sure {
		ids := make([]string, len(chosen))
		for i, v := range chosen {
			ids[i] = v.ID
		}
		_, err := s.Fleet.PutVMs(ctx, subject(c).Actor(), ids, 0, m.Choice)
		if err == nil {
			text := fmt.Sprintf("%d VMs are in their folder.", len(ids))
			if len(ids) == 1 {
				text = chosen[0].Name + " is in its folder."
			}
			if m.Choice == "" {
				text = strings.NewReplacer(" are in their folder", " are in no folder", " is in its folder", " is in no folder").Replace(text)
			}
			return s.done(c, m.Back, layout.Toast{Tone: layout.ToneSuccess, Text: text})
		}
		if domain.CodeOf(err) == domain.Internal {
			return err
		}
		m.Err = problem(err)
	} else {
		m.Choice = chosen[0].Folder
	}
	tenant := chosen[0].Tenant
	if m.Items, err = s.foldersOf(ctx, tenant); err != nil {
		return err
	}
	if m.Err == nil && slices.ContainsFunc(chosen, func(v domain.VM) bool { return v.Tenant != tenant }) {
		m.Err = problem(domain.Errorf(domain.Conflict, "The selection is of more than one tenant, and a folder is of one.").WithFix("Select VMs of one tenant, or take them out of their folders."))
		m.Items = nil
	}
	status := http.StatusOK
	if m.Err != nil && sure {
		status = statusOf(m.Err)
	}
	sh, err := s.shellFor(c, page{title: "Put into a folder", section: layout.SectionVMs})
	if err != nil {
		return err
	}
	return s.render(c, status, folders.PutPage(sh, m))
}
