package handlers

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// of signs somebody in who has a role in a tenant only.
func (w *world) of(name, tenant, role string) *browser {
	w.t.Helper()
	ctx := context.Background()
	b := w.person(name, "")
	if _, err := w.auth.Bind(ctx, auth.Subject{Name: "test"}, domain.Binding{Subject: domain.Ref{ID: name}, Role: role, Scope: domain.ScopeTenant, ScopeID: tenant}); err != nil {
		w.t.Fatal(err)
	}
	return b
}

// A tenant's people write its rules of affinity and its schedules on the pages, and see nobody else's.
func TestRulesAndSchedulesOfATenantsPerson(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "hv-1")
	w.host(b, "hv-2")
	vm := w.running(b, "web-1")
	for _, name := range []string{"team-a", "team-b"} {
		b.post("/access/tenants", url.Values{"name": {name}}).want(t, 303)
	}
	ann, bob, una := w.of("ann", "team-a", access.TenantAdmin), w.of("bob", "team-b", access.TenantAdmin), w.of("una", "team-a", access.TenantUser)

	rule := url.Values{"name": {"apart"}, "kind": {"anti-affinity"}, "scope": {"vm-vm"}, "hard": {"1"}, "tags": {"db"}}
	ann.get("/affinity-rules").want(t, 200, "No rules yet")
	if a := ann.get("/affinity-rules/new").want(t, 200); strings.Contains(a.text, vm.ID) {
		t.Error("the estate's VM is offered to a tenant's rule")
	}
	ann.post("/affinity-rules", rule).wantMove(t, "/affinity-rules")
	ann.get("/affinity-rules").want(t, 200, "apart", "team-a")
	all, err := w.db.AffinityRules(t.Context())
	if err != nil || len(all) != 1 || all[0].Tenant != "team-a" {
		t.Fatal(all, err)
	}
	at := "/affinity-rules/" + all[0].ID
	bob.get("/affinity-rules").want(t, 200, "No rules yet")
	for _, path := range []string{at, at + "/delete"} {
		bob.get(path).want(t, 404)
	}
	bob.post(at+"/delete", nil).want(t, 404)
	bob.post("/affinity-rules", rule).wantMove(t, "/affinity-rules") // the same name: whose it is besides is not told
	if a := una.get("/affinity-rules").want(t, 200, "apart"); strings.Contains(a.text, at) {
		t.Error("who may not change the rule is led to its form")
	}
	una.get(at).want(t, 403)
	b.get("/affinity-rules/new").want(t, 200, `name="tenant"`)
	ann.post(at+"/delete", nil).wantMove(t, "/affinity-rules")

	schedule := url.Values{"name": {"nightly"}, "enabled": {"1"}, "tags": {"db"}, "time_zone": {"UTC"}, "daily.keep": {"2"}, "daily.at": {"02:00"}}
	ann.get("/snapshot-schedules/new").want(t, 200)
	ann.post("/snapshot-schedules", schedule).wantMove(t, "/snapshot-schedules")
	made, err := w.db.Schedules(t.Context())
	if err != nil || len(made) != 1 || made[0].Tenant != "team-a" {
		t.Fatal(made, err)
	}
	at = "/snapshot-schedules/" + made[0].ID
	ann.get("/snapshot-schedules").want(t, 200, "nightly", at)
	if a := bob.get("/snapshot-schedules").want(t, 200); strings.Contains(a.text, "nightly") {
		t.Error("another tenant's schedule is shown")
	}
	bob.get(at).want(t, 404)
	bob.post(at+"/run", nil).want(t, 404)
	bob.post("/snapshot-schedules", schedule).wantMove(t, "/snapshot-schedules")
}

// A tenant's person makes volumes, images and templates on the pages as with the API: in the tenant, of pools that are for it, and is told of nobody else's.
func TestATenantsPersonMakesThingsOnThePages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	one := w.host(b, "hv-1")
	two := w.host(b, "hv-2")
	for _, name := range []string{"team-a", "team-b"} {
		b.post("/access/tenants", url.Values{"name": {name}}).want(t, 303)
	}
	ctx := t.Context()
	poolOf := func(host string) string {
		t.Helper()
		all, err := w.db.Pools(ctx, host)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if p.Name == "default" {
				return p.ID
			}
		}
		t.Fatal("the host has no pool default")
		return ""
	}
	pool := poolOf(one.ID)
	job, err := w.srv.Fleet.CreateVolume(domain.WithOwner(ctx, "team-b"), "test", fleet.CreateVolume{Pool: pool, Name: "secret-of-b.raw", SizeBytes: domain.MiB, Format: "raw"})
	if err != nil {
		t.Fatal(err)
	}
	w.job(job.ID)
	for _, x := range []struct{ tenant, id string }{{"team-a", one.ID}, {"team-a", pool}, {"team-b", two.ID}} {
		if _, err := w.srv.Fleet.Give(ctx, "test", x.tenant, []string{x.id}, true); err != nil {
			t.Fatal(err)
		}
	}
	ann, una := w.of("ann", "team-a", access.TenantAdmin), w.of("una", "team-a", access.TenantUser)

	for _, path := range []string{"/storage/volumes/new", "/images/new", "/templates/new"} {
		if a := ann.get(path).want(t, 200); strings.Contains(a.text, "secret-of-b") {
			t.Errorf("%s tells of another tenant's volume", path)
		}
		una.get(path).want(t, 403)
	}
	form := ann.get("/storage/volumes/new").want(t, 200, pool)
	if strings.Contains(form.text, poolOf(two.ID)) {
		t.Error("a pool that is another's is offered")
	}
	for _, path := range []string{"/storage/volumes/new?from=copy&pool=" + pool, "/vms/new"} {
		if a := ann.get(path).want(t, 200); strings.Contains(a.text, "secret-of-b") {
			t.Errorf("%s tells of another tenant's volume", path)
		}
	}
	if a := ann.get("/vms/new").want(t, 200, "hv-1"); strings.Contains(a.text, two.ID) {
		t.Error("a host that is another's is offered")
	}

	volume := url.Values{"pool": {pool}, "name": {"mine.qcow2"}, "size_bytes": {"1 MiB"}, "format": {"qcow2"}}
	ann.post("/storage/volumes", volume).want(t, 303)
	w.job(w.newest("volume.create").ID)
	made, ok := w.volumeNamed("mine.qcow2")
	if !ok {
		t.Fatal("no volume")
	}
	owner := func(id string) {
		t.Helper()
		if tenant, err := w.db.OwnerOfThing(ctx, id); err != nil || tenant != "team-a" {
			t.Errorf("%s is %q's: %v", id, tenant, err)
		}
	}
	owner(made.ID)
	volume.Set("name", "theirs.qcow2")
	volume.Set("tenant", "team-b")
	ann.post("/storage/volumes", volume).want(t, 422, "There is no tenant")
	una.post("/storage/volumes", volume).want(t, 403)

	at := ann.post("/templates", url.Values{"name": {"shop"}, "spec.vcpus": {"1"}, "spec.memory_bytes": {"256 MiB"}}).want(t, 303).location()
	owner(strings.TrimPrefix(at, "/templates/"))
	ann.post("/images", url.Values{"from": {"upload"}, "name": {"debian"}, "version": {"12"}}).want(t, 303)
	images, err := w.db.Images(ctx, db.ImageQuery{})
	if err != nil || len(images.Items) != 1 {
		t.Fatal(images, err)
	}
	owner(images.Items[0].ID)
	una.post("/images", url.Values{"from": {"upload"}, "name": {"other"}, "version": {"1"}}).want(t, 403)
	ann.get("/networks/new").want(t, 403) // a network is a part of its host: who may make one may do it everywhere
}
