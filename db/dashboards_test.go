package db

import (
	"testing"
	"time"

	"novacron/domain"
)

func TestDashboards(t *testing.T) {
	d, ctx := open(t), t.Context()
	now := time.Now().UTC().Truncate(time.Millisecond)
	mine := domain.Dashboard{ID: "dash_1", Name: "Web", OwnerID: "user_1", Owner: "ann", CreatedAt: now, Charts: []domain.Chart{{ID: "c0", Title: "CPU", Kind: domain.ChartLine, Queries: []domain.ChartQuery{{Expr: "up"}}}}}
	err := d.Write(ctx, func(tx *Tx) error { return tx.InsertDashboard(mine) })
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Dashboard(ctx, "dash_1", "user_1")
	if err != nil || got.Name != "Web" || got.Version != 1 || len(got.Charts) != 1 || got.Charts[0].Queries[0].Expr != "up" || !got.CreatedAt.Equal(now) {
		t.Fatalf("%+v %v", got, err)
	}
	if _, err := d.Dashboard(ctx, "dash_1", "user_2"); !domain.Is(err, domain.NotFound) {
		t.Errorf("somebody else finds what is not shared: %v", err)
	}
	other := got
	other.OwnerID = "user_2"
	for name, change := range map[string]func(tx *Tx) error{
		"another's": func(tx *Tx) error { return tx.UpdateDashboard(other, now) }, "an old state": func(tx *Tx) error { old := got; old.Version = 0; return tx.UpdateDashboard(old, now) },
	} {
		if err := d.Write(ctx, change); !domain.Is(err, domain.Conflict) {
			t.Errorf("%s is changed: %v", name, err)
		}
	}
	got.Shared, got.Name = true, "Web servers"
	if err := d.Write(ctx, func(tx *Tx) error { return tx.UpdateDashboard(got, now) }); err != nil {
		t.Fatal(err)
	}
	if all, err := d.Dashboards(ctx, "user_2"); err != nil || len(all) != 1 || all[0].Name != "Web servers" || all[0].Version != 2 {
		t.Errorf("%+v %v", all, err)
	}
	if err := d.Write(ctx, func(tx *Tx) error { return tx.DeleteDashboard("dash_1", "user_2") }); !domain.Is(err, domain.NotFound) {
		t.Errorf("somebody else deletes it: %v", err)
	}
	if err := d.Write(ctx, func(tx *Tx) error { return tx.DeleteDashboard("dash_1", "user_1") }); err != nil {
		t.Error(err)
	}
	if all, err := d.Dashboards(ctx, "user_1"); err != nil || len(all) != 0 {
		t.Errorf("%+v %v", all, err)
	}
}
