package views_test

import (
	"strings"
	"time"

	"novacron/domain"
	"novacron/views/images"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/templates"
	"novacron/views/ui"
	"novacron/views/vms"
)

func sampleImages() []domain.Image {
	version := func(id, image, name, label string, state domain.ImageState, age time.Duration) domain.ImageVersion {
		return domain.ImageVersion{ID: id, ImageID: image, ImageName: name, Arch: "x86_64", Label: label, State: state, Format: "qcow2", VirtualBytes: 2 * domain.GiB, FileBytes: 412 * domain.MiB,
			SHA256: strings.Repeat("4b2f6d1e", 8), Source: domain.ImageSource{Kind: "url", URL: "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2", Format: "qcow2", Bytes: 400 * domain.MiB, SHA256: strings.Repeat("aa11bb22", 8)},
			Hints: domain.ImageHints{VCPUs: 2, MemoryBytes: domain.GiB}, Changelog: "Kernel 6.1.112, openssl fixes. " + evil, JobID: "job_1", CreatedAt: ago(age), PublishedAt: ago(age), LastUsedAt: ago(age / 3)}
	}
	debian := domain.Image{ID: "img_1", Name: "debian", Arch: "x86_64", Description: "Debian 12, cloud image. " + evil, CreatedAt: ago(90 * 24 * time.Hour), Version: 2, Versions: []domain.ImageVersion{
		version("imgv_3", "img_1", "debian", "2026-11-22", domain.ImageImporting, time.Minute), version("imgv_2", "img_1", "debian", "2026-11-01", domain.ImagePublished, 21*24*time.Hour), version("imgv_1", "img_1", "debian", "2026-08-01", domain.ImageDeprecated, 90*24*time.Hour)}}
	up := &debian.Versions[0]
	up.Format, up.SHA256, up.VirtualBytes, up.FileBytes, up.JobID, up.PublishedAt, up.Source = "", "", 0, 0, "", time.Time{}, domain.ImageSource{Kind: "upload", Name: "debian" + evil}
	iso := domain.Image{ID: "img_2", Name: "debian-installer", Arch: "x86_64", CreatedAt: ago(30 * 24 * time.Hour), Versions: []domain.ImageVersion{version("imgv_4", "img_2", "debian-installer", "12.7", domain.ImageDraft, 30*24*time.Hour)}}
	iso.Versions[0].Format, iso.Versions[0].Changelog = "iso", ""
	return []domain.Image{debian, iso, {ID: "img_3", Name: "windows-2022", Arch: "x86_64", CreatedAt: ago(time.Hour)}}
}

func sampleTemplate() domain.Template {
	spec := domain.VMSpec{VCPUs: 2, MemoryBytes: 4 * domain.GiB, Disks: []domain.Disk{{Image: "debian", Linked: true, SizeBytes: 20 * domain.GiB, Pool: "default"}, {SizeBytes: 100 * domain.GiB}}, NICs: []domain.NIC{{Network: "default"}}}
	old := spec
	old.MemoryBytes = 2 * domain.GiB
	params := []domain.Parameter{{Name: "memory_bytes", Type: "size", Default: "4294967296"}, {Name: "role", Label: "What it does " + evil, Type: "choice", Choices: []string{"front", "back"}, Required: true, Help: "Decides which packages are installed."}, {Name: "ssh_key", Type: "text"}, {Name: "network", Type: "text"}, {Name: "backup", Label: "Back it up", Type: "switch", Default: "true"}}
	boot := &domain.CloudInit{User: "ops", PasswordHash: "$6$x", SSHKeys: []string{"${ssh_key}"}, Packages: []string{"nginx"}, RunCmd: []string{"echo ${role} > /etc/role"}, UserData: "#cloud-config\nlocale: C.UTF-8\n"}
	t := domain.Template{ID: "tmpl_1", Name: "web", Description: "Front ends of the shop. " + evil, CreatedAt: ago(60 * 24 * time.Hour), Version: 1, VMs: 3}
	for n := 3; n > 0; n-- {
		v := domain.TemplateVersion{ID: "tmplv_" + string(rune('0'+n)), TemplateID: t.ID, Name: t.Name, Number: n, Deprecated: n == 1, Spec: spec, Params: params, CloudInit: boot, ExecRules: domain.ExecRules{"systemctl status"}, Changelog: "More memory. " + evil, CreatedBy: "lena", CreatedAt: ago(time.Duration(5-n) * 200 * time.Hour)}
		if n < 3 {
			v.Spec, v.CloudInit = old, nil
		}
		t.Versions = append(t.Versions, v)
	}
	return t
}

// imagePages are the pages of images and templates.
func imagePages() []page {
	sh := func(title, path string, c ...layout.Crumb) layout.Shell {
		return shell(title, layout.SectionImages, path, c...)
	}
	all, t := sampleImages(), sampleTemplate()
	crumbs := []layout.Crumb{{Label: "Images", URL: live.Images}}
	copies := []images.Copy{{ImageCopy: domain.ImageCopy{ID: "copy_1", VersionID: "imgv_2", HostID: "host_1", Pool: "default", Path: "/var/lib/libvirt/images/x.qcow2", State: domain.CopyReady, Bytes: 412 * domain.MiB, LastUsedAt: ago(time.Hour)}, Ref: "debian@2026-11-01", ImageID: "img_1", Host: "hv-ams-01"},
		{ImageCopy: domain.ImageCopy{ID: "copy_2", VersionID: "imgv_2", HostID: "host_2", Pool: "default", State: domain.CopyPlacing, Bytes: 12 * domain.MiB, LastUsedAt: ago(time.Second)}, Ref: "debian@2026-11-01", ImageID: "img_1", Host: "hv-ams-02"}}
	uses := []images.Use{{VMID: "vm_00", VM: "web-prod-01", Host: "hv-ams-01", Label: "2026-11-01", Linked: true}, {VMID: "vm_15", VM: "test-" + evil, Host: "hv-ams-01", Label: "2026-08-01"}}
	show := func(i int, v int) images.Page {
		p := images.Page{Image: all[i], Copies: copies, Uses: uses, CanConvert: true, Jobs: map[string]domain.Job{}}
		if v >= 0 {
			p.Version = &all[i].Versions[v]
		}
		return p
	}
	waiting := show(0, 0)
	waiting.Received, waiting.Copies, waiting.Uses = 120*domain.MiB, nil, nil
	iso := show(1, 0)
	iso.CanConvert, iso.Why, iso.Copies, iso.Uses = false, "There is no qemu-img on the server.", nil, nil
	form := func(from string) images.New {
		return images.New{Form: images.Form{From: from, Arch: "x86_64", Name: "debian"}, CanConvert: true, VMs: []images.VMChoice{{ID: "vm_10", Label: "legacy-erp on hv-ams-01"}, {ID: "vm_00", Label: "web-prod-01 on hv-ams-01", Why: "it is running"}}}
	}
	fromVM := form(domain.SourceVM)
	fromVM.Form.VM, fromVM.Image = "vm_00", all[0]
	wrong := form(domain.SourceURL)
	wrong.Form.URL, wrong.Form.SHA256, wrong.CanConvert, wrong.Why = "ftp://x "+evil, "123", false, "There is no qemu-img on the server."
	wrong.Err = invalid(domain.FieldError{Field: "source.url", Msg: "That is not an address that can be fetched.", Want: "one that starts with https://"}, domain.FieldError{Field: "source.sha256", Msg: "That is not a SHA-256 checksum."})
	tp := templates.Page{Template: t, Version: t.Versions[0], Against: &t.Versions[1], Changes: domain.DiffTemplates(t.Versions[1], t.Versions[0]), Job: &sampleJobs()[1]}
	for i, vm := range sampleVMs()[:3] {
		tp.VMs = append(tp.VMs, templates.VM{VMTemplate: domain.VMTemplate{VMID: vm.ID, TemplateID: t.ID, Name: t.Name, Number: 3 - i, Pinned: i == 2}, VM: vm})
	}
	ch := sampleChoices()
	ch.Library = []domain.Image{{Name: "debian", Arch: "x86_64", Versions: all[0].Versions[1:2]}, all[1]}
	edit := templates.Edit{Template: t, Base: t.Versions[0].Spec, Form: templates.Fill(t.Versions[0].Spec, t.Versions[0].Params, t.Versions[0].CloudInit, t.Versions[0].ExecRules), Library: ch.Library, Pools: []string{"default", "fast"}, Networks: []string{"default", "lan"}, HasHash: true}
	bad := templates.Edit{VM: sampleVMs()[0], Form: templates.Form{Name: "Bad name" + evil, VCPUs: "two", Memory: "lots"}}
	_, _, err := bad.Form.Spec(domain.VMSpec{})
	bad.Err, _ = err.(*domain.Error)
	use := templates.Use{Template: t, Version: t.Versions[0], Hosts: vms.HostOptions(ch), Networks: []string{"default"}, Form: templates.DefaultUse(t.Versions[0])}
	useWrong := use
	useWrong.Err = invalid(domain.FieldError{Field: "parameters.role", Msg: "A value is needed."})
	roll := templates.Rollout{Template: t, Version: t.Versions[0], VMs: []templates.RolloutVM{{VM: sampleVMs()[0], From: 2, Restart: true, Changes: []domain.Change{{Field: "memory_bytes", Label: "Memory", Old: "2 GiB", New: "4 GiB"}}}, {VM: sampleVMs()[1], From: 3, Skip: "It is at this version."}, {VM: sampleVMs()[10], From: 1}}}
	fromLib := vms.PrefillCreate(map[string][]string{"library": {"debian"}}, ch)
	origin := vmPage("summary", 0)
	origin.Origin = vms.Origin{Template: &domain.VMTemplate{VMID: "vm_00", TemplateID: t.ID, Name: "web", Number: 2, Pinned: true}, Newest: 3, Images: all[0].Versions[1:2]}
	return []page{
		{"images", images.ListPage(sh("Images", "/images"), images.List{Items: all, Total: 3, Next: "x"})}, {"images-none", images.ListPage(sh("Images", "/images"), images.List{})},
		{"image", images.ShowPage(sh("debian", "/images/img_1", crumbs...), show(0, -1))}, {"image-version", images.ShowPage(sh("debian@2026-11-01", "/images/img_1/versions/2026-11-01", crumbs...), show(0, 1))},
		{"image-upload", images.ShowPage(sh("debian", "/images/img_1/versions/2026-11-22", crumbs...), waiting)}, {"image-iso", images.ShowPage(sh("iso", "/images/img_2/versions/12.7", crumbs...), iso)},
		{"image-new", images.NewPage(sh("Add an image", live.ImageNew, crumbs...), form(domain.SourceURL))}, {"image-new-upload", images.NewPage(sh("Add an image", live.ImageNew, crumbs...), form(domain.SourceUpload))},
		{"image-new-vm", images.NewPage(sh("Add a version", live.ImageNew, crumbs...), fromVM)}, {"image-new-wrong", images.NewPage(sh("Add an image", live.ImageNew, crumbs...), wrong)},
		{"image-edit", images.AskPage(sh("Edit", "/images/img_1/edit"), images.Ask{Action: "edit", Image: all[0], Form: images.Form{Name: "debian", Arch: "x86_64"}})},
		{"image-delete", images.AskPage(sh("Delete", "/images/img_1/delete"), images.Ask{Action: "delete", Image: all[0], Err: &domain.Error{Code: domain.Conflict, Msg: "The image debian is what templates make VMs of.", Reasons: []domain.Reason{{Subject: "web@3", Msg: "names it"}}}})},
		{"image-version-delete", images.AskPage(sh("Delete", "/images/img_1"), images.Ask{Action: "delete", Image: all[0], Version: &all[0].Versions[1]})},
		{"image-place", images.AskPage(sh("Copy", "/images/img_1"), images.Ask{Action: "place", Image: all[0], Version: &all[0].Versions[1], Hosts: []ui.Option{{Value: "host_1", Label: "hv-ams-01"}}})},
		{"image-copies", images.CopiesPage(sh("Copies", live.ImageCopies), images.Copies{Items: copies, Unused: []images.Unused{{ID: "copy_1", What: "copy of debian@2026-08-01", Host: "hv-ams-01", Path: "/var/lib/libvirt/images/y" + evil, Bytes: domain.GiB}, {ID: "base_1", Base: true, What: "disk of x that was frozen for linked clones", Host: "hv-ams-01", Bytes: domain.GiB}}, Policy: images.Policy{Collect: "1", Days: "30", Keep: "1"}})},
		{"image-copies-none", images.CopiesPage(sh("Copies", live.ImageCopies), images.Copies{Policy: images.Policy{Days: "x", Keep: "1"}, Err: invalid(domain.FieldError{Field: "unused_days", Msg: "“x” is not a number."})})},
		{"templates", templates.ListPage(sh("Templates", "/templates"), templates.List{Items: []domain.Template{t, {ID: "tmpl_2", Name: "old", Versions: []domain.TemplateVersion{{Number: 1, Deprecated: true}}}}, Total: 2})}, {"templates-none", templates.ListPage(sh("Templates", "/templates"), templates.List{})},
		{"template", templates.ShowPage(sh("web", "/templates/tmpl_1"), tp)}, {"template-bare", templates.ShowPage(sh("web", "/templates/tmpl_1"), templates.Page{Template: t, Version: domain.TemplateVersion{Number: 1, Spec: domain.VMSpec{VCPUs: 1, MemoryBytes: domain.GiB}}})},
		{"template-next", templates.EditPage(sh("web", "/templates/tmpl_1/versions/new"), edit)}, {"template-from-vm", templates.EditPage(sh("web", live.TemplateNew), bad)},
		{"template-edit", templates.AskPage(sh("web", "/templates/tmpl_1/edit"), templates.Ask{Action: "edit", Template: t, Name: "web"})}, {"template-delete", templates.AskPage(sh("web", "/templates/tmpl_1/delete"), templates.Ask{Action: "delete", Template: t})},
		{"template-use", templates.UsePage(sh("web", "/templates/tmpl_1/new-vm"), use)}, {"template-use-wrong", templates.UsePage(sh("web", "/templates/tmpl_1/new-vm"), useWrong)},
		{"rollout", templates.RolloutPage(sh("web", "/templates/tmpl_1/rollout"), roll)}, {"rollout-none", templates.RolloutPage(sh("web", "/templates/tmpl_1/rollout"), templates.Rollout{Template: t, Version: t.Versions[0]})},
		{"vm-new-library", vms.CreatePage(sh("New VM", "/vms/new"), vms.Create{Form: fromLib, Choices: ch, Key: "k"})}, {"vm-origin", vms.ShowPage(sh("web-prod-01", "/vms/vm_00"), origin)},
		{"vm-template", vms.TemplatePage(sh("Make a template", "/vms/vm_10/template"), vms.MakeTemplate{VM: sampleVMs()[10], Disk: "vda", More: 2, Name: "legacy-erp"})},
		{"vm-template-wrong", vms.TemplatePage(sh("Make a template", "/vms/vm_0/template"), vms.MakeTemplate{VM: sampleVMs()[0], Name: "No Good", Err: invalid(domain.FieldError{Field: "name", Msg: "That is no name.", Want: "lower-case letters"})})},
		{"vm-clone-linked", vms.NamePage(sh("Clone", "/vms/vm_10/clone"), vms.Name{VM: sampleVMs()[10], Clone: true, Value: "x"})},
	}
}
