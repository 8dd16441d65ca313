package api

import (
	"context"
	"strings"
	"testing"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// person makes an account with a token of its own.
func (w *world) person(name string) (id, token string) {
	w.t.Helper()
	ctx := context.Background()
	if err := w.auth.CreateUser(ctx, name, "a-long-enough-password", "", "test"); err != nil {
		w.t.Fatal(err)
	}
	u, err := w.db.UserByName(ctx, name)
	if err != nil {
		w.t.Fatal(err)
	}
	u.MustChange = false
	if err := w.db.Write(ctx, func(tx *db.Tx) error { return tx.UpdateUser(u) }); err != nil {
		w.t.Fatal(err)
	}
	token, _, err = w.auth.MakeToken(ctx, auth.Subject{UserID: u.ID, Name: u.Name}, domain.Token{Name: name, UserID: u.ID})
	if err != nil {
		w.t.Fatal(err)
	}
	return u.ID, token
}

func (w *world) bind(subject, role, scope, id string, deny bool) string {
	w.t.Helper()
	return want[Binding](w.t, w.do("POST", "/api/v1/bindings", map[string]any{"subject": subject, "role": role, "scope": scope, "scope_id": id, "deny": deny}), 201).ID
}

func (w *teams) folder(name, parent, tenant string) Folder {
	w.t.Helper()
	return want[Folder](w.t, w.do("POST", "/api/v1/folders", map[string]any{"name": name, "parent": parent, "tenant": tenant}), 201)
}

// sees names the VMs of a list that a token gets.
func (w *world) sees(query, tok string) string {
	w.t.Helper()
	var names []string
	for _, v := range want[Page[VM]](w.t, w.do("GET", "/api/v1/vms"+query, nil, token(tok)), 200).Items {
		names = append(names, v.Name)
	}
	return strings.Join(names, " ")
}

func TestARoleInAFolderDecides(t *testing.T) {
	w := newTeams(t)
	web := w.folder("web", "", "team-a")
	prod := w.folder("prod", web.ID, "")
	if prod.Path != "web/prod" || prod.Tenant != "team-a" {
		t.Fatalf("%+v", prod)
	}
	w.folder("web", "", "team-b") // a name is a tenant's own
	refused(t, w.do("POST", "/api/v1/folders", map[string]any{"name": "WEB", "tenant": "team-a"}), 409, "name")
	refused(t, w.do("POST", "/api/v1/folders", map[string]any{"name": "a/b", "tenant": "team-a"}), 422, "name")

	id, ann := w.person("ann")
	refused(t, w.do("GET", "/api/v1/vms/"+w.vmA, nil, token(ann)), 404, "")
	w.bind(id, access.TenantUser, domain.ScopeFolder, web.ID, false)
	if got := w.sees("", ann); got != "" {
		t.Fatalf("an empty folder shows %q", got)
	}
	refused(t, w.do("GET", "/api/v1/vms/"+w.vmA, nil, token(ann)), 404, "")

	// By its path, by the tenant's admin; B cannot, and not into A's.
	v := want[VM](t, w.do("PATCH", "/api/v1/vms/"+w.vmA, map[string]any{"folder": "Web/Prod"}, token(w.a)), 200)
	if v.Folder != prod.ID {
		t.Fatalf("the VM is in %q", v.Folder)
	}
	refused(t, w.do("PATCH", "/api/v1/vms/"+w.vmA, map[string]any{"folder": ""}, token(w.b)), 404, "")
	refused(t, w.do("PATCH", "/api/v1/vms/"+w.vmB, map[string]any{"folder": web.ID}, token(w.b)), 404, "")
	refused(t, w.do("PATCH", "/api/v1/vms/"+w.vmB, map[string]any{"folder": web.ID}), 422, "folder")
	refused(t, w.do("PATCH", "/api/v1/vms/"+w.vmA, map[string]any{"folder": "", "notes": "x"}), 422, "folder")

	// Through the folder above she sees it, its jobs and events, and may what a tenant user may: not the folders themselves.
	if got := w.sees("", ann); got != "web-of-a" {
		t.Errorf("in her folder ann sees %q", got)
	}
	if jobs := want[Page[Job]](t, w.do("GET", "/api/v1/jobs", nil, token(ann)), 200); jobs.Total != 1 {
		t.Errorf("ann sees %d jobs", jobs.Total)
	}
	if f := want[Page[Folder]](t, w.do("GET", "/api/v1/folders", nil, token(ann)), 200); f.Total != 2 || f.Items[0].VMs != 1 || f.Items[1].VMs != 1 {
		t.Errorf("ann sees the folders %+v", f.Items)
	}
	refused(t, w.do("PATCH", "/api/v1/vms/"+w.vmA, map[string]any{"folder": ""}, token(ann)), 403, "")
	refused(t, w.do("PATCH", "/api/v1/folders/"+prod.ID, map[string]any{"name": "x"}, token(ann)), 403, "")
	want[VM](t, w.do("PATCH", "/api/v1/vms/"+w.vmA, map[string]any{"notes": "hers"}, token(ann)), 200)
	if job := w.change("POST", "/api/v1/vms", map[string]any{"name": "made-by-ann", "vcpus": 1, "memory_bytes": 64 << 20}, token(ann)); true {
		if v := want[VM](t, w.do("GET", "/api/v1/vms/"+job.Resource.ID, nil), 200); v.Folder != web.ID || v.Tenant != "team-a" {
			t.Errorf("what ann makes is in the folder %q of %q", v.Folder, v.Tenant)
		}
	}
	refused(t, w.do("POST", "/api/v1/vms", map[string]any{"name": "elsewhere", "vcpus": 1, "memory_bytes": 64 << 20, "tenant": "team-a"}, token(ann)), 422, "tenant")

	// The explanation names the folder, and the list filters by it.
	e := want[Decision](t, w.do("GET", "/api/v1/access/explain?subject=ann&permission=vm.power&object="+w.vmA, nil), 200)
	if !e.Allowed || e.Rule == nil || e.Rule.Scope != "folder web" {
		t.Errorf("why ann may: %+v", e)
	}
	for filter, names := range map[string]string{"folder:web": "made-by-ann web-of-a", "folder:web/prod": "web-of-a", "-folder:web": "of-the-estate web-of-b", "folder:" + web.ID: "made-by-ann", "folder:we": ""} {
		if got := w.sees("?filter="+filter+"&sort=name", w.admin); got != names {
			t.Errorf("%s finds %q, want %q", filter, got, names)
		}
	}

	// A denial in a folder wins over a role in the whole tenant, and takes the VM and its job out of sight.
	id, bob := w.person("bob")
	w.bind(id, access.TenantAdmin, domain.ScopeTenant, "team-a", false)
	w.bind(id, access.TenantAdmin, domain.ScopeFolder, prod.ID, true)
	if got := w.sees("", bob); got != "made-by-ann" {
		t.Errorf("bob sees %q", got)
	}
	for _, j := range want[Page[Job]](t, w.do("GET", "/api/v1/jobs", nil, token(bob)), 200).Items {
		if j.Resource.ID == w.vmA {
			t.Errorf("bob sees the job %s", j.Title)
		}
	}
	refused(t, w.do("GET", "/api/v1/vms/"+w.vmA, nil, token(bob)), 404, "")
	e = want[Decision](t, w.do("GET", "/api/v1/access/explain?subject=bob&permission=vm.read&object="+w.vmA, nil), 200)
	if e.Allowed || e.Rule == nil || e.Rule.Scope != "folder web/prod" {
		t.Errorf("why bob may not: %+v", e)
	}

	// Renaming keeps what is below; a folder that holds something stays; with it go its bindings.
	if f := want[Folder](t, w.do("PATCH", "/api/v1/folders/"+web.ID, map[string]any{"name": "www", "version": 1}, token(w.a)), 200); f.Path != "www" {
		t.Errorf("%+v", f)
	}
	refused(t, w.do("PATCH", "/api/v1/folders/"+web.ID, map[string]any{"name": "w", "version": 1}, token(w.a)), 409, "")
	if f := want[Folder](t, w.do("GET", "/api/v1/folders/"+prod.ID, nil, token(w.a)), 200); f.Path != "www/prod" {
		t.Errorf("%+v", f)
	}
	refused(t, w.do("GET", "/api/v1/folders/"+prod.ID, nil, token(w.b)), 404, "")
	refused(t, w.do("DELETE", "/api/v1/folders/"+web.ID, nil), 409, "")
	want[VM](t, w.do("PATCH", "/api/v1/vms/"+w.vmA, map[string]any{"tenant": "team-b"}), 200)
	if a := w.do("DELETE", "/api/v1/folders/"+prod.ID, nil, token(w.a)); a.StatusCode != 204 {
		t.Fatalf("deleting an empty folder: %d %s", a.StatusCode, a.body)
	}
	for _, b := range want[Page[Binding]](t, w.do("GET", "/api/v1/bindings?limit=200", nil), 200).Items {
		if b.ScopeID == prod.ID {
			t.Errorf("the binding %+v is still there", b)
		}
	}
}
