package handlers

import (
	"net/url"
	"strings"
	"testing"

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
