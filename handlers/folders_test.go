package handlers

import (
	"net/url"
	"strings"
	"testing"

	"novacron/db"
	"novacron/domain"
)

func TestFolderPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "hv-1")
	vm := w.running(b, "web-1")
	b.get("/folders").want(t, 200, "No folders yet", "top of the estate")
	b.post("/folders", url.Values{"name": {"a/b"}}).want(t, 422, "not a name for a folder", `value="a/b"`)
	b.post("/folders", url.Values{"name": {"web"}}).wantMove(t, "/folders")
	all, err := w.db.Folders(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	web := all[0]
	b.post("/folders", url.Values{"name": {"prod"}, "place": {web.ID}}).wantMove(t, "/folders")
	b.get("/folders").want(t, 200, "in web/prod of the estate")

	// A selection is asked where it goes; the VM's page has the choice too.
	b.post("/vms/bulk", url.Values{"action": {"folder"}, "ids": {vm.ID}}).want(t, 200, "Put 1 VM into a folder", "web/prod")
	b.post("/vms/bulk", url.Values{"action": {"folder"}, "ids": {vm.ID}, "confirm": {"1"}, "folder": {"fold_nothing"}}).want(t, 422, "There is no folder")
	b.post("/vms/bulk", url.Values{"action": {"folder"}, "ids": {vm.ID}, "confirm": {"1"}, "folder": {web.ID}, "back": {"/vms/" + vm.ID}}).wantMove(t, "/vms/"+vm.ID)
	b.get("/vms/"+vm.ID).want(t, 200, "In the folder", "web/prod")
	b.get("/vms?filter="+url.QueryEscape(`folder:"web"`)).want(t, 200, "web-1")
	b.get("/vms?filter=folder:web/prod").want(t, 200, "No VM matches")
	b.post("/folders/"+web.ID, url.Values{"do": {"delete"}}).want(t, 409, "The folder has 1 VMs.")
	b.post("/folders/"+web.ID, url.Values{"do": {"rename"}, "name": {"www"}, "version": {"1"}}).wantMove(t, "/folders")
	b.get("/folders").want(t, 200, "in www/prod of the estate")

	// The bindings page offers folders, tags and single objects, and says in words what it gives.
	b.get("/access/bindings/new").want(t, 200, "a folder and those below it", "VMs with a tag", "one object", "www/prod of the estate")
	viewer := w.viewer()
	u, err := w.db.UserByName(t.Context(), "vera")
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"subject": {u.ID}, "role": {"operator"}, "scope": {domain.ScopeFolder}, "folder": {web.ID}}
	b.post("/access/bindings/check", form).want(t, 200, "may do what the role Operator allows in the folder www.")
	b.post("/access/bindings/new", form).wantMove(t, "/access/bindings")
	b.get("/access/bindings").want(t, 200, "in the folder www")
	if a := viewer.post("/folders", url.Values{"name": {"x"}}); a.StatusCode == 303 {
		t.Error("a viewer made a folder at the top")
	}
	if a := viewer.get("/folders"); !strings.Contains(a.text, "www") {
		t.Errorf("the viewer does not see the folder: %s", cut(a.text))
	}
	b.post("/vms/bulk", url.Values{"action": {"folder"}, "ids": {vm.ID}, "confirm": {"1"}, "folder": {""}, "back": {"/vms"}}).wantMove(t, "/vms")
	prod, err := w.db.FolderNamed(t.Context(), "", "www/prod")
	if err != nil {
		t.Fatal(err)
	}
	b.post("/folders/"+prod.ID, url.Values{"do": {"delete"}}).wantMove(t, "/folders")
}

// Who makes something chooses whose it is and, for a VM, its folder; a copy may go into another folder of the tenant.
func TestFormsAskWhoseItIs(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	host := w.host(b, "hv-1")
	b.get("/vms/new").want(t, 200, `name="name"`)
	if strings.Contains(b.get("/vms/new").text, `name="tenant"`) {
		t.Error("the form asks for a tenant where there is none")
	}
	b.post("/access/tenants", url.Values{"name": {"team-a"}}).want(t, 303)
	b.post("/folders", url.Values{"name": {"web"}, "place": {"tenant:team-a"}}).wantMove(t, "/folders")
	b.post("/folders", url.Values{"name": {"shop"}, "place": {"tenant:team-a"}}).wantMove(t, "/folders")
	all, err := w.db.Folders(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	web, shop := all[0], all[1]
	if web.Name != "web" {
		web, shop = shop, web
	}
	pool, _ := w.poolNamed("default")
	for _, page := range []string{"/vms/new", "/images/new", "/templates/new", "/networks/new", "/storage/volumes/new", "/storage/volumes/upload"} {
		if a := b.get(page); a.StatusCode != 200 || !strings.Contains(a.text, `name="tenant"`) || !strings.Contains(a.text, "none: it is the estate&#39;s own") {
			t.Errorf("%s: %d asks for no tenant", page, a.StatusCode)
		}
	}
	b.get("/vms/new").want(t, 200, `name="folder"`, "team-a: web")
	owner := func(id string) {
		t.Helper()
		if tenant, err := w.db.OwnerOfThing(t.Context(), id); err != nil || tenant != "team-a" {
			t.Errorf("%s is %q's: %v", id, tenant, err)
		}
	}

	f := createForm("web-1")
	f.Set("tenant", "nobody")
	b.post("/vms", f).want(t, 422, "There is no tenant")
	f.Set("tenant", "team-a")
	f.Set("folder", web.ID)
	b.post("/vms", f).want(t, 303)
	w.job(w.newest("vm.create").ID)
	vm := w.vmNamed("web-1")
	if vm.Tenant != "team-a" || vm.Folder != web.ID {
		t.Fatalf("%+v", vm)
	}
	b.get("/vms/"+vm.ID+"/clone").want(t, 200, `name="folder"`)
	b.post("/vms/"+vm.ID+"/clone", url.Values{"name": {"web-2"}, "kind": {"full"}, "folder": {"fold_nothing"}}).want(t, 422, "There is no folder")
	b.post("/vms/"+vm.ID+"/clone", url.Values{"name": {"web-2"}, "kind": {"full"}, "folder": {shop.ID}}).want(t, 303)
	w.job(w.newest("vm.clone").ID)
	if vm := w.vmNamed("web-2"); vm.Tenant != "team-a" || vm.Folder != shop.ID {
		t.Errorf("%+v", vm)
	}

	b.post("/storage/volumes", url.Values{"pool": {pool.ID}, "name": {"a.qcow2"}, "size_bytes": {"1 GiB"}, "format": {"qcow2"}, "tenant": {"team-a"}}).want(t, 303)
	w.job(w.newest("volume.create").ID)
	if v, ok := w.volumeNamed("a.qcow2"); ok {
		owner(v.ID)
	}
	b.post("/networks", w.netForm(host, "lan-a", "tenant", "team-a")).want(t, 303)
	owner(domain.NetworkID(host.ID, "lan-a"))
	at := b.post("/templates", url.Values{"name": {"shop"}, "spec.vcpus": {"1"}, "spec.memory_bytes": {"256 MiB"}, "tenant": {"team-a"}}).want(t, 303).location()
	owner(strings.TrimPrefix(at, "/templates/"))
	b.post("/images", url.Values{"from": {"upload"}, "name": {"debian"}, "version": {"12"}, "tenant": {"team-a"}}).want(t, 303)
	images, err := w.db.Images(t.Context(), db.ImageQuery{})
	if err != nil || len(images.Items) != 1 {
		t.Fatal(images, err)
	}
	owner(images.Items[0].ID)
	b.get("/migrations/policies").want(t, 200, "Tenant team-a")
}
