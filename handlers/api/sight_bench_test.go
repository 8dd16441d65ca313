package api

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// BenchmarkTenantsList: the list of 1,000 VMs as somebody of a tenant that has half of them reads it, over the same as the administrator does. Each page is
// another one, so that nothing is kept from before; “kept” is the same page over and over.
func BenchmarkTenantsList(b *testing.B) {
	w := newWorld(b)
	for range 10 {
		w.mirrored(100)
	}
	ctx := context.Background()
	vms, err := w.db.VMs(ctx, db.VMQuery{Limit: 1000})
	if err != nil {
		b.Fatal(err)
	}
	err = w.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.InsertTenant(domain.Tenant{ID: "team-a", Name: "team-a", Version: 1, CreatedAt: time.Now().UTC()}); err != nil {
			return err
		}
		for i, v := range vms.Items {
			if i%2 == 0 {
				if err := tx.SetVMTenant(v.ID, "team-a"); err != nil {
					return err
				}
			}
		}
		return tx.Emit(domain.Event{Kind: "tenant.created", Resource: domain.Ref{Kind: "tenant", ID: "team-a", Name: "team-a"}, Actor: "test"})
	})
	if err != nil {
		b.Fatal(err)
	}
	mine := w.serviceToken("a", access.TenantUser, "team-a")
	read := func(path string, opts ...opt) time.Duration {
		begun := time.Now()
		if a := w.do("GET", path, nil, opts...); a.StatusCode != 200 {
			b.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return time.Since(begun)
	}
	for _, c := range []struct{ name, path string }{{"fresh", "/api/v1/vms?limit=100&filter=-name:n%d"}, {"kept", "/api/v1/vms?limit=100&filter=-name:n"}} {
		b.Run(c.name, func(b *testing.B) {
			var admins, tenants []time.Duration
			n := 0
			for b.Loop() {
				for range 50 {
					n++
					path := c.path
					if c.name == "fresh" {
						path = fmt.Sprintf(c.path, n)
					}
					admins, tenants = append(admins, read(path)), append(tenants, read(path, token(mine)))
				}
			}
			slices.Sort(admins)
			slices.Sort(tenants)
			half := len(admins) / 2
			b.ReportMetric(float64(admins[half].Microseconds())/1000, "admin-ms")
			b.ReportMetric(float64(tenants[half].Microseconds())/1000, "tenant-ms")
			b.ReportMetric(float64(tenants[half])/float64(admins[half]), "ratio")
		})
	}
}
