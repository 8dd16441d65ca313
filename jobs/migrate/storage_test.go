package migrate_test

import (
	"slices"
	"testing"

	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/reconcile"
)

func TestStorageMovesAndTheVMStays(t *testing.T) {
	for _, start := range []bool{true, false} {
		w, a, _, from, to, vm := joined(t, start)
		a.AddPool(domain.Pool{UUID: domain.NewUUID(), Name: "fast", Type: "dir", Active: true, Target: "/fast", CapacityBytes: domain.TiB, AvailableBytes: domain.TiB})
		if err := w.Rec.Inventory(t.Context(), a, from.ID, reconcile.Cause{}); err != nil {
			t.Fatal(err)
		}
		for field, req := range map[string]fleet.MigrateVM{
			"host":      {Host: to.ID, Disks: map[string]string{"vda": "fast"}},
			"disks":     {},
			"disks.vdz": {Disks: map[string]string{"vdz": "fast"}},
			"disks.vda": {Disks: map[string]string{"vda": "nowhere"}},
		} {
			req.Mode = domain.MigrateStorage
			_, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, req)
			e, ok := err.(*domain.Error)
			if !ok || e.Code != domain.Invalid || !slices.ContainsFunc(e.Fields, func(f domain.FieldError) bool { return f.Field == field }) {
				t.Errorf("%s: %+v", field, err)
			}
		}
		job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Mode: domain.MigrateStorage, Disks: map[string]string{"vda": "fast"}})
		w.Succeed(t, job, err)
		if v := a.AllVolumes(); len(v) != 1 || v[0].Pool != "fast" {
			t.Errorf("volumes are %+v", v)
		}
		if got := w.VM(t, "web-1"); got.HostID != from.ID || got.State != vm.State {
			t.Errorf("the VM is %s on %s", got.State, got.HostName)
		}
	}
}
