package fleet_test

import (
	"strings"
	"testing"

	"novacron/domain"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
)

// A snapshot inside a disk that is not there any more is not gone back to, and the reason is the disk.
func TestADiskThatWasTakenOffIsNamed(t *testing.T) {
	w, _, _ := fleettest.New(t)
	spec := fleettest.Spec("web-1")
	spec.Disks = append(spec.Disks, domain.Disk{SizeBytes: domain.GiB})
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: spec})
	w.Succeed(t, job, err)
	vm := w.VM(t, "web-1")
	job, err = w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, vm.ID, domain.SnapshotSpec{Name: "both", Kind: domain.SnapshotInternal}, "")
	w.Succeed(t, job, err)
	shots, err := w.DB.Snapshots(t.Context(), vm.ID)
	if err != nil || len(shots) != 1 {
		t.Fatal(shots, err)
	}
	job, err = w.Fleet.DetachDisk(t.Context(), fleettest.Actor, vm.ID, "vdb", false, false, "")
	w.Succeed(t, job, err)
	job, err = w.Fleet.RevertSnapshot(t.Context(), fleettest.Actor, vm.ID, shots[0].ID, false, "")
	if job = w.Undone(t, job, err, domain.Conflict); !strings.Contains(job.Error.Message, "taken off web-1") {
		t.Error(job.Error)
	}
}
