package db

import (
	"slices"
	"testing"
	"time"

	"novacron/domain"
)

// library is two images: debian with a published, a deprecated and an importing version, and alpine with a published one.
func library(t *testing.T) *DB {
	t.Helper()
	d := open(t)
	write(t, d, func(tx *Tx) error {
		for _, i := range []domain.Image{{ID: "img_1", Name: "debian", Arch: "x86_64", Description: "Stable 100%"}, {ID: "img_2", Name: "alpine", Arch: "aarch64"}} {
			if err := tx.InsertImage(i); err != nil {
				return err
			}
		}
		for _, v := range []domain.ImageVersion{
			{ID: "imgv_1", ImageID: "img_1", Label: "11", State: domain.ImageDeprecated, Format: "qcow2", SHA256: "aa", PublishedAt: start, Source: domain.ImageSource{URL: "https://x/y"}},
			{ID: "imgv_2", ImageID: "img_1", Label: "12", State: domain.ImagePublished, Format: "qcow2", SHA256: "bb", PublishedAt: start.Add(time.Hour), Hints: domain.ImageHints{}},
			{ID: "imgv_3", ImageID: "img_1", Label: "13", State: domain.ImageImporting},
			{ID: "imgv_4", ImageID: "img_2", Label: "1", State: domain.ImagePublished, Format: "raw", SHA256: "bb", PublishedAt: start},
		} {
			if err := tx.InsertImageVersion(v); err != nil {
				return err
			}
		}
		return nil
	})
	return d
}

func TestImagesInPages(t *testing.T) {
	d := library(t)
	for what, c := range map[string]struct {
		q    ImageQuery
		want []string
	}{
		"all": {ImageQuery{}, []string{"alpine", "debian"}}, "turned round": {ImageQuery{Desc: true}, []string{"debian", "alpine"}}, "by age": {ImageQuery{Sort: "created"}, []string{"debian", "alpine"}},
		"words": {ImageQuery{Filter: "STABLE 100%"}, []string{"debian"}}, "architecture": {ImageQuery{Filter: "aarch64"}, []string{"alpine"}}, "none": {ImageQuery{Filter: "1_0"}, nil}, "importing": {ImageQuery{State: domain.ImageImporting}, []string{"debian"}},
	} {
		for _, size := range []int{0, 1} {
			q := c.q
			q.Limit = size
			var got []string
			for {
				p, err := d.Images(t.Context(), q)
				if err != nil || p.Total != len(c.want) {
					t.Fatalf("%s: %+v, %v", what, p, err)
				}
				for _, i := range p.Items {
					if got = append(got, i.Name); len(i.Versions) == 0 {
						t.Errorf("%s: %s has no versions", what, i.Name)
					}
				}
				if q.After = p.Next; q.After == "" {
					break
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v", what, got)
			}
		}
	}
	for _, q := range []ImageQuery{{Sort: "colour"}, {After: "x"}, {Sort: "created", After: cursor{Sort: "created", Key: "then", ID: "img_1"}.String()}} {
		if _, err := d.Images(t.Context(), q); !domain.Is(err, domain.Invalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestWhatAnImageIsCalled(t *testing.T) {
	d := library(t)
	for ref, want := range map[string]string{"debian": "imgv_2", "debian@11": "imgv_1", "imgv_3": "imgv_3", "debian@9": "", "fedora": "", "imgv_9": ""} {
		v, err := d.ImageByRef(t.Context(), ref)
		if v.ID != want && want != "" || (want == "") != domain.Is(err, domain.NotFound) {
			t.Errorf("%s: %+v, %v", ref, v, err)
		}
	}
	for _, name := range []string{"debian", "img_1"} {
		if i, err := d.Image(t.Context(), name); err != nil || i.ID != "img_1" || len(i.Versions) != 3 {
			t.Errorf("%+v, %v", i, err)
		}
	}
	refused := func(what string, code domain.Code, fn func(tx *Tx) error) {
		t.Helper()
		if err := d.Write(t.Context(), fn); !domain.Is(err, code) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("a name twice", domain.Conflict, func(tx *Tx) error { return tx.InsertImage(domain.Image{ID: "img_3", Name: "debian"}) })
	refused("a label twice", domain.Conflict, func(tx *Tx) error {
		return tx.InsertImageVersion(domain.ImageVersion{ID: "imgv_9", ImageID: "img_1", Label: "12"})
	})
	refused("somebody's name", domain.Conflict, func(tx *Tx) error { return tx.UpdateImage(domain.Image{ID: "img_1", Name: "alpine"}, 0) })
	refused("an old state", domain.Conflict, func(tx *Tx) error { return tx.UpdateImage(domain.Image{ID: "img_1", Name: "debian"}, 7) })
	refused("one that is gone", domain.NotFound, func(tx *Tx) error { return tx.UpdateImage(domain.Image{ID: "img_9", Name: "x"}, 0) })
	write(t, d, func(tx *Tx) error {
		return tx.UpdateImage(domain.Image{ID: "img_1", Name: "bookworm", Arch: "x86_64"}, 1)
	})
	write(t, d, func(tx *Tx) error {
		v, err := tx.ImageVersion("imgv_3")
		if err != nil {
			return err
		}
		v.State, v.SHA256, v.Format = domain.ImagePublished, "cc", "qcow2"
		if err := tx.UpdateImageVersion(v); err != nil {
			return err
		}
		return tx.TouchImageVersion("imgv_3", start.Add(time.Minute))
	})
	if v, err := d.ImageVersion(t.Context(), "imgv_3"); err != nil || v.State != domain.ImagePublished || v.ImageName != "bookworm" || !v.LastUsedAt.Equal(start.Add(time.Minute)) {
		t.Errorf("%+v, %v", v, err)
	}
	if left, err := d.ImagesImporting(t.Context()); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
	if sums, err := d.ImageFiles(t.Context()); err != nil || len(sums) != 3 {
		t.Error(sums, err)
	}
	write(t, d, func(tx *Tx) error {
		if n, err := tx.FileUsers("bb"); err != nil || n != 2 {
			t.Error(n, err)
		}
		return tx.DeleteImage("img_2") // it has a version, so it stays
	})
	write(t, d, func(tx *Tx) error {
		if err := tx.DeleteImageVersion("imgv_4"); err != nil {
			return err
		}
		return tx.DeleteImage("img_2")
	})
	if _, err := d.Image(t.Context(), "alpine"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
}

func TestCopiesAndUsesOfImages(t *testing.T) {
	d := library(t)
	addHost(t, d, "a")
	vm, _, _ := upsert(t, d, "host_a", guest("web", 1))
	other, _, _ := upsert(t, d, "host_a", guest("web-2", 2))
	c := domain.ImageCopy{ID: "copy_1", VersionID: "imgv_2", HostID: "host_a", PoolID: "pool_1", Pool: "default", Volume: "image-debian", State: domain.CopyPlacing, Bytes: 9}
	write(t, d, func(tx *Tx) error {
		if err := tx.InsertImageCopy(c); err != nil {
			return err
		}
		return tx.SetImageCopyReady("copy_1", "/p/image-debian")
	})
	write(t, d, func(tx *Tx) error { return tx.TouchImageCopy(c, start.Add(time.Hour)) })
	for _, version := range []string{"", "imgv_2"} {
		if all, err := d.ImageCopies(t.Context(), version); err != nil || len(all) != 1 || all[0].State != domain.CopyReady || all[0].Path != "/p/image-debian" || !all[0].LastUsedAt.Equal(start.Add(time.Hour)) {
			t.Errorf("%+v, %v", all, err)
		}
	}
	if got, err := d.ImageCopyIn(t.Context(), "imgv_2", "pool_1"); err != nil || got.ID != "copy_1" {
		t.Error(got, err)
	}
	if why, err := d.Frozen(t.Context(), "pool_1", "image-debian"); err != nil || why == "" {
		t.Error(why, err)
	}
	if why, err := d.Frozen(t.Context(), "pool_1", "other"); err != nil || why != "" {
		t.Error(why, err)
	}
	write(t, d, func(tx *Tx) error {
		if err := tx.InsertImageUse(vm.ID, 0, "imgv_2", true); err != nil {
			return err
		}
		return tx.CopyImageUses(vm.ID, other.ID)
	})
	if uses, err := d.ImageUses(t.Context(), "img_1"); err != nil || len(uses) != 2 || !uses[0].Linked || uses[0].VMName != "web" {
		t.Errorf("%+v, %v", uses, err)
	}
	if of, err := d.ImagesOfVM(t.Context(), other.ID); err != nil || len(of) != 1 || of[0].ID != "imgv_2" {
		t.Errorf("%+v, %v", of, err)
	}
	write(t, d, func(tx *Tx) error {
		if _, copies, err := tx.ImageNeeds([]string{"imgv_2"}); err != nil || copies != 1 {
			t.Error(copies, err)
		}
		if _, copies, err := tx.ImageNeeds(nil); err != nil || copies != 0 {
			t.Error(copies, err)
		}
		if err := tx.ForgetImageUses("imgv_2"); err != nil {
			return err
		}
		return tx.DeleteImageCopy("copy_1")
	})
	if _, err := d.ImageCopy(t.Context(), "copy_1"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	if held, err := d.HeldImages(t.Context()); err != nil || len(held) != 0 {
		t.Error(held, err)
	}
}

func TestTemplatesAreKept(t *testing.T) {
	d := library(t)
	addHost(t, d, "a")
	vm, _, _ := upsert(t, d, "host_a", guest("web", 1))
	write(t, d, func(tx *Tx) error {
		return tx.InsertTemplate(domain.Template{ID: "tmpl_1", Name: "web", Description: "Fronts"})
	})
	boot := &domain.CloudInit{User: "ops", PasswordHash: "$6$secret"}
	for i, v := range []domain.TemplateVersion{{ID: "tmplv_1", TemplateID: "tmpl_1", Spec: domain.VMSpec{VCPUs: 1}, CloudInit: boot, ExecRules: domain.ExecRules{"uptime"}}, {ID: "tmplv_2", TemplateID: "tmpl_1", Spec: domain.VMSpec{VCPUs: 2}}} {
		write(t, d, func(tx *Tx) error {
			n, err := tx.AddTemplateVersion(v, map[string]string{"img_1": []string{"imgv_2", ""}[i]})
			if n != i+1 {
				t.Errorf("it became version %d", n)
			}
			return err
		})
	}
	m := domain.VMTemplate{VMID: vm.ID, TemplateID: "tmpl_1", Number: 1, Values: map[string]string{"vcpus": "2"}}
	write(t, d, func(tx *Tx) error {
		if err := tx.SetVMTemplate(m); err != nil {
			return err
		}
		if err := tx.SetVMTemplateNumber(vm.ID, 2); err != nil {
			return err
		}
		return tx.PinVMTemplate(vm.ID, true)
	})
	tm, err := d.Template(t.Context(), "web")
	if err != nil || len(tm.Versions) != 2 || tm.Versions[0].Number != 2 || tm.VMs != 1 || tm.Versions[1].CloudInit == nil || tm.Versions[1].CloudInit.PasswordHash != "$6$secret" || len(tm.Versions[1].ExecRules) != 1 {
		t.Fatalf("%+v, %v", tm, err)
	}
	if of, ok, err := d.TemplateOfVM(t.Context(), vm.ID); err != nil || !ok || of.Number != 2 || !of.Pinned || of.Values["vcpus"] != "2" || of.Name != "web" {
		t.Errorf("%+v, %v, %v", of, ok, err)
	}
	if _, ok, err := d.TemplateOfVM(t.Context(), "vm_none"); err != nil || ok {
		t.Error(ok, err)
	}
	if all, err := d.VMsOfTemplate(t.Context(), "tmpl_1"); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	if p, err := d.Templates(t.Context(), TemplateQuery{Filter: "FRONTS"}); err != nil || p.Total != 1 || len(p.Items[0].Versions) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := d.Templates(t.Context(), TemplateQuery{Filter: "back"}); err != nil || p.Total != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	write(t, d, func(tx *Tx) error {
		if names, _, err := tx.ImageNeeds([]string{"imgv_2"}); err != nil || !slices.Equal(names, []string{"web@1"}) {
			t.Error(names, err)
		}
		if names, err := tx.TemplatesOfImage("img_1"); err != nil || !slices.Equal(names, []string{"web@1", "web@2"}) && !slices.Equal(names, []string{"web@2"}) {
			t.Error(names, err)
		}
		return tx.SetTemplateDeprecated("tmplv_1", true)
	})
	for what, err := range map[string]error{
		"a name twice": d.Write(t.Context(), func(tx *Tx) error { return tx.InsertTemplate(domain.Template{ID: "tmpl_2", Name: "web"}) }),
		"an old state": d.Write(t.Context(), func(tx *Tx) error {
			return tx.UpdateTemplate(domain.Template{ID: "tmpl_1", Name: "web"}, 9)
		}),
	} {
		if !domain.Is(err, domain.Conflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	write(t, d, func(tx *Tx) error {
		return tx.UpdateTemplate(domain.Template{ID: "tmpl_1", Name: "shop"}, 1)
	})
	write(t, d, func(tx *Tx) error { return tx.DeleteTemplate("tmpl_1") })
	if _, err := d.Template(t.Context(), "shop"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	if _, ok, err := d.TemplateOfVM(t.Context(), vm.ID); err != nil || ok {
		t.Errorf("a VM remembers a template that is gone: %v", err)
	}
}
