package snapshot_test

import (
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

// A VM that is being moved is taken back nowhere, and nothing is lost by asking.
func TestRevertWhileMigrating(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	a, h := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: true})
	b, to := w.Adopt(t, "b", hvtest.FakeOptions{})
	a.Reach("qemu+tcp://b/system", b)
	b.Reach("qemu+tcp://a/system", a)
	vm := w.VM(t, "web-1")
	a.WriteDisk(vm.UUID, "vda", "now")
	move, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
	must(t, err)
	must(t, a.CreateSnapshot(t.Context(), vm.UUID, outside("one"))) // by somebody on the host, in that moment
	all, err := w.Rec.Mirror.Snapshots(t.Context(), a, h.ID, vm.UUID, reconcile.Cause{})
	must(t, err)
	calls := a.Calls("RevertSnapshot") + a.Calls("Stop")
	for what, ask := range map[string]func() (domain.Job, error){
		"go back": func() (domain.Job, error) {
			return w.Fleet.RevertSnapshot(t.Context(), fleettest.Actor, vm.ID, all[0].ID, true, "")
		},
		"copy": func() (domain.Job, error) {
			return w.Fleet.CloneSnapshot(t.Context(), fleettest.Actor, vm.ID, all[0].ID, "copy", "")
		},
		"take": func() (domain.Job, error) {
			return w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, vm.ID, domain.SnapshotSpec{Name: "two"}, "")
		},
		"delete": func() (domain.Job, error) {
			return w.Fleet.DeleteSnapshots(t.Context(), fleettest.Actor, vm.ID, []string{all[0].ID}, "", "")
		},
		"read disk": func() (domain.Job, error) {
			_, job, err := w.Fleet.NewImageVersion(t.Context(), fleettest.Actor, fleet.NewImage{Name: "mine", VMID: vm.ID})
			return job, err
		},
	} {
		if _, err := ask(); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), move.Title) {
			t.Errorf("%s: %v, which does not name “%s”", what, err, move.Title)
		}
	}
	if a.Calls("RevertSnapshot")+a.Calls("Stop") != calls || tree(a, vm.UUID) != "one*" || a.ReadDisk(vm.UUID, "vda") != "now" {
		t.Errorf("the tree is %s, the disk reads %q", tree(a, vm.UUID), a.ReadDisk(vm.UUID, "vda"))
	}
	// The move itself finds a snapshot that libvirt would not take along, and leaves the VM where it is.
	jobstest.Run(t, w.Engine)
	w.Undone(t, move, nil, domain.Conflict)
	if g, ok := fleettest.Guest(a, "web-1"); !ok || g.State != domain.VMRunning || tree(a, vm.UUID) != "one*" || a.ReadDisk(vm.UUID, "vda") != "now" {
		t.Errorf("it is there: %v, %s; the tree is %s", ok, g.State, tree(a, vm.UUID))
	}
}
