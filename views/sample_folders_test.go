package views_test

import (
	"time"

	"novacron/domain"
	"novacron/views/folders"
	"novacron/views/layout"
	"novacron/views/live"
)

// folderPages are the pages of package folders.
func folderPages() []page {
	sh := shell("Folders", layout.SectionVMs, live.Folders, layout.Crumb{Label: "Virtual machines", URL: live.VMs})
	items := []domain.Folder{
		{ID: "fold_1", Name: "web", Path: "web", VMs: 3, CreatedAt: ago(time.Hour), Version: 1},
		{ID: "fold_2", Parent: "fold_1", Name: "prod " + evil, Path: "web/prod " + evil, VMs: 2, CreatedAt: ago(time.Hour), Version: 2},
		{ID: "fold_3", Tenant: "team-a", Name: "shop", Path: "shop", CreatedAt: ago(time.Minute), Version: 1},
	}
	tenants := []domain.Tenant{{ID: "team-a", Name: "Team A"}, {ID: "lab", Name: "Lab " + evil}}
	wrong := invalid(domain.FieldError{Field: "name", Msg: "That is not a name for a folder. " + evil, Want: "letters"})
	vms := sampleVMs()
	return []page{
		{"folders", folders.ListPage(sh, folders.List{Items: items, Tenants: tenants, Estate: true})},
		{"folders-none", folders.ListPage(sh, folders.List{Tenants: tenants[:1]})},
		{"folders-wrong", folders.ListPage(sh, folders.List{Items: items, Tenants: tenants, Estate: true, Name: evil, Place: "fold_1", Err: wrong})},
		{"folder-put", folders.PutPage(sh, folders.Put{VMs: vms[:2], Items: items[:2], Choice: "fold_2", Back: live.VMs})},
		{"folder-put-none", folders.PutPage(sh, folders.Put{VMs: vms[:1], Back: live.VMs, Err: wrong})},
	}
}
