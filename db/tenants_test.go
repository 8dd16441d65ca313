package db

import (
	"fmt"
	"sync"
	"testing"

	"novacron/domain"
)

func tenant(t *testing.T, d *DB, id, parent string, q domain.Quota) {
	t.Helper()
	write(t, d, func(tx *Tx) error { return tx.InsertTenant(domain.Tenant{ID: id, Name: id, Parent: parent, Quota: q}) })
}

func TestTenantsNestTwoDeep(t *testing.T) {
	d := open(t)
	tenant(t, d, "a", "", domain.Quota{VMs: 2})
	tenant(t, d, "a-web", "a", domain.Quota{})
	for parent, code := range map[string]domain.Code{"a-web": domain.Invalid, "nothing": domain.Invalid} {
		err := d.Write(t.Context(), func(tx *Tx) error { return tx.InsertTenant(domain.Tenant{ID: "x", Name: "x", Parent: parent}) })
		wantCode(t, err, code, parent)
	}
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.InsertTenant(domain.Tenant{ID: "z", Name: "A"}) }), domain.Conflict, "tenant already")
	got, err := d.Tenant(t.Context(), "A-WEB")
	if err != nil || got.Parent != "a" || got.Version != 1 {
		t.Errorf("%+v %v", got, err)
	}
	got.Notes = "n"
	write(t, d, func(tx *Tx) error { return tx.UpdateTenant(got, 1) })
	if got, err = d.Tenant(t.Context(), "a-web"); err != nil || got.Notes != "n" || got.Version != 2 {
		t.Errorf("%+v %v", got, err)
	}
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.UpdateTenant(got, 1) }), domain.Conflict, "version")
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.DeleteTenant("a") }), domain.Conflict, "below")
	write(t, d, func(tx *Tx) error { return tx.DeleteTenant("a-web") })
	write(t, d, func(tx *Tx) error { return tx.DeleteTenant("a") })
	if all, err := d.Tenants(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
}

// Twenty at once want a place in a tenant that has three left, under a quota of the one above: exactly three get one.
func TestQuotasHoldUnderRaces(t *testing.T) {
	d := open(t)
	tenant(t, d, "a", "", domain.Quota{VCPUs: 6})
	tenant(t, d, "a-web", "a", domain.Quota{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 20 {
		wg.Go(func() {
			err := d.Write(t.Context(), func(tx *Tx) error {
				job := domain.Job{ID: fmt.Sprintf("job_%02d", i), State: domain.JobQueued, Tenant: "a-web"}
				more := domain.Usage{VCPUs: 2}
				if err := tx.Admit("a-web", more, job.ID, more); err != nil {
					return err
				}
				return tx.InsertJob(job, "")
			})
			if err == nil {
				mu.Lock()
				made++
				mu.Unlock()
			} else if !domain.Is(err, domain.Exhausted) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made != 3 {
		t.Errorf("%d were let in, want 3", made)
	}
	if u, err := d.TenantUsage(t.Context(), "a"); err != nil || u.VCPUs != 6 {
		t.Errorf("%+v %v", u, err)
	}
	write(t, d, func(tx *Tx) error { // what an ended job held is free
		for i := range 20 {
			j, err := tx.Job(fmt.Sprintf("job_%02d", i))
			if domain.Is(err, domain.NotFound) {
				continue
			}
			j.State = domain.JobUndone
			if err := tx.UpdateJob(j); err != nil {
				return err
			}
		}
		return nil
	})
	if u, err := d.TenantUsage(t.Context(), "a"); err != nil || u.VMs+u.VCPUs+u.Snapshots != 0 || u.StorageBytes != 0 || len(u.Pools) > 0 {
		t.Errorf("%+v %v", u, err)
	}
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.Admit("nothing", domain.Usage{VMs: 1}, "", domain.Usage{}) }), domain.Invalid, "tenant")
}

func TestRolesBindingsGroups(t *testing.T) {
	d := open(t)
	version := func() string {
		t.Helper()
		v, err := d.AccessVersion(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v0 := version()
	write(t, d, func(tx *Tx) error { return tx.InsertUser(domain.User{ID: "user_1", Name: "ann"}) })
	write(t, d, func(tx *Tx) error {
		return tx.SaveRole(domain.Role{ID: "r", Name: "R", Permissions: []string{"vm.read"}})
	})
	if v0 == version() {
		t.Error("a new role does not show in the version")
	}
	write(t, d, func(tx *Tx) error {
		return tx.SaveGroup(domain.Group{ID: "group_1", Name: "ops", Members: []string{"user_1"}})
	})
	b := domain.Binding{ID: "bind_1", Subject: domain.Ref{Kind: "group", ID: "group_1"}, Role: "r", Scope: domain.ScopeEstate}
	write(t, d, func(tx *Tx) error { return tx.InsertBinding(b) })
	b.ID = "bind_2"
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.InsertBinding(b) }), domain.Conflict, "binding already")
	all, err := d.Bindings(t.Context())
	if err != nil || len(all) != 1 || all[0].Subject.Name != "ops" {
		t.Errorf("%+v %v", all, err)
	}
	write(t, d, func(tx *Tx) error {
		if n, err := tx.Admins("r"); err != nil || n != 1 {
			t.Errorf("%d %v", n, err)
		}
		return nil
	})
	wantCode(t, d.Write(t.Context(), func(tx *Tx) error { return tx.DeleteRole("r") }), domain.Conflict, "given")
	write(t, d, func(tx *Tx) error { return tx.DeleteGroup("group_1") })
	if all, err := d.Bindings(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v %v", all, err)
	}
	write(t, d, func(tx *Tx) error { return tx.DeleteRole("r") })
	if roles, err := d.Roles(t.Context()); err != nil || len(roles) != 0 {
		t.Errorf("%+v %v", roles, err)
	}
	_, err = d.Group(t.Context(), "group_1")
	wantCode(t, err, domain.NotFound, "group")
	write(t, d, func(tx *Tx) error { return tx.DeleteUser("user_1") })
}
