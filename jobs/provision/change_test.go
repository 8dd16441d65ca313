package provision_test

import (
	"context"
	"encoding/json"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/provision"
	"novacron/jobs/reconcile"
)

func ptr[T any](v T) *T { return &v }

func TestChangeWhatRuns(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	change := domain.VMChange{VCPUs: ptr(4), AddDisks: []domain.Disk{{SizeBytes: domain.GiB}}, AddNICs: []domain.NIC{{Network: "default"}}}
	job, err := w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, vm.Version, change, "")
	job = w.Succeed(t, job, err)
	after := w.VM(t, "web-1")
	if after.Config.VCPUs != 4 || after.Live.VCPUs != 2 || len(after.Live.Disks) != 2 || len(after.Live.NICs) != 2 || len(after.Pending) == 0 {
		t.Errorf("config %+v, live %+v, pending %+v", after.Config, after.Live, after.Pending)
	}
	if v := f.AllVolumes(); len(v) != 2 || v[0].Name != "web-1-1.qcow2" {
		t.Errorf("volumes are %+v", v)
	}
	var res provision.Result
	if err := json.Unmarshal(job.Result, &res); err != nil || len(res.Pending) != len(after.Pending) {
		t.Errorf("result is %s", job.Result)
	}
	_, err = w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, vm.Version, domain.VMChange{Title: ptr("x")}, "")
	if !domain.Is(err, domain.Conflict) {
		t.Errorf("a page that is stale may change it: %v", err)
	}
	job, err = w.Fleet.RevertPending(t.Context(), fleettest.Actor, vm.ID, "vcpus")
	w.Succeed(t, job, err)
	for _, p := range w.VM(t, "web-1").Pending {
		if p.Field == "vcpus" {
			t.Errorf("still pending: %+v", p)
		}
	}
}

func TestChangeIsTakenBackWhole(t *testing.T) {
	w, f, _ := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	before, _ := fleettest.Guest(f, "web-1")
	// The change is made, the answer is lost for good.
	f.FailAfter("Change", domain.Errorf(domain.Internal, "The answer makes no sense."), 1)
	job, err := w.Fleet.ChangeVM(t.Context(), fleettest.Actor, vm.ID, 0, domain.VMChange{MemoryBytes: ptr(domain.GiB / 2), RemoveNICs: []string{vm.Config.NICs[0].MAC},
		AddDisks: []domain.Disk{{SizeBytes: domain.GiB}}, AddNICs: []domain.NIC{{Network: "default"}}}, "")
	w.Undone(t, job, err, domain.Internal)
	after, _ := fleettest.Guest(f, "web-1")
	if after.XML != before.XML {
		t.Errorf("the definition is not as before:\n%s\n%s", before.XML, after.XML)
	}
	if len(after.Live.Disks) != 1 || len(after.Live.NICs) != 1 || after.Live.NICs[0].MAC != vm.Config.NICs[0].MAC || after.Live.MemoryBytes != domain.GiB {
		t.Errorf("what runs is not as before: %+v", after.Live)
	}
	if len(f.AllVolumes()) != 1 {
		t.Errorf("volumes are %+v", f.AllVolumes())
	}
}

func TestSweepChange(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1"), Start: true})
		vm := w.VM(t, "web-1")
		before, _ := fleettest.Guest(f, "web-1")
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.ChangeVM(ctx, fleettest.Actor, vm.ID, 0, domain.VMChange{VCPUs: ptr(4), Title: ptr("Web"), AddDisks: []domain.Disk{{SizeBytes: domain.GiB}}, AddNICs: []domain.NIC{{Network: "default"}}}, "")
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, job.Locks...)
			g, _ := fleettest.Guest(f, "web-1")
			row := w.VM(t, "web-1")
			want, vcpus := 2, 4
			if job.State == domain.JobUndone {
				want, vcpus = 1, 2
				if g.XML != before.XML {
					t.Error("the definition is not as before")
				}
			}
			if len(f.AllVolumes()) != want || len(g.Config.Disks) != want || len(g.Config.NICs) != want || (len(g.Live.Disks) != want || len(g.Live.NICs) != want) {
				t.Errorf("%s: volumes %+v, config %+v, live %+v", job.State, f.AllVolumes(), g.Config, g.Live)
			}
			if row.ID != vm.ID || row.Config.VCPUs != vcpus {
				t.Errorf("row is %+v", row)
			}
		})
	})
}
