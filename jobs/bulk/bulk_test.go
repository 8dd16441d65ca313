package bulk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/bulk"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/reconcile"
)

func result(t testing.TB, job domain.Job) bulk.Result {
	t.Helper()
	var res bulk.Result
	if err := json.Unmarshal(job.Result, &res); err != nil {
		t.Fatalf("result is %s: %v", job.Result, err)
	}
	return res
}

func several(t testing.TB, w *fleettest.World, n int, start bool) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, w.Make(t, fleettest.Spec(fmt.Sprintf("web-%d", i+1)), start).ID)
	}
	return ids
}

func TestBulkDoesWhatItCanAndSaysWhatItCouldNot(t *testing.T) {
	w, f, _ := fleettest.New(t)
	ids := several(t, w, 3, false)
	running := w.Make(t, fleettest.Spec("up"), true)
	job, err := w.Fleet.BulkVMs(t.Context(), fleettest.Actor, append(ids, running.ID, ids[0], "vm_none"), domain.ActStart, fleet.ActOptions{})
	job = w.Succeed(t, job, err)
	res := result(t, job)
	if job.Title != "Start 3 VMs" || len(res.Done) != 3 || len(res.Refused) != 2 || len(res.Failed) != 0 || res.Refused[0].Subject != "up" {
		t.Errorf("%s: %+v", job.Title, res)
	}
	log, err := w.DB.JobLog(t.Context(), job.ID)
	if err != nil || !slices.ContainsFunc(log, func(l domain.JobLine) bool { return strings.HasPrefix(l.Text, "up: ") }) {
		t.Errorf("log is %+v (%v)", log, err)
	}
	for _, g := range f.AllGuests() {
		if g.State != domain.VMRunning {
			t.Errorf("%s is %s", g.Name, g.State)
		}
	}
	if children, err := w.DB.Children(t.Context(), job.ID); err != nil || len(children) != 3 {
		t.Errorf("%d children (%v)", len(children), err)
	}
}

func TestBulkNamesWhatFailed(t *testing.T) {
	w, f, _ := fleettest.New(t)
	ids := several(t, w, 3, true)
	f.Fail("Stop", domain.Errorf(domain.Internal, "QEMU does not die."), 1)
	job, err := w.Fleet.BulkVMs(t.Context(), fleettest.Actor, ids, domain.ActStop, fleet.ActOptions{})
	job = w.Succeed(t, job, err)
	if job.Error == nil || job.Progress.Text != "2 of 3 powered off" || int(job.Progress.Percent) != 66 {
		t.Fatalf("progress %+v, error %+v", job.Progress, job.Error)
	}
	res := result(t, job)
	if len(res.Done) != 2 || len(res.Failed) != 1 || res.Failed[0].Msg != "QEMU does not die." || job.Error.Message != "1 of 3 VMs was not powered off." || len(job.Error.Reasons) != 1 {
		t.Errorf("%+v, error %+v", res, job.Error)
	}
}

func TestBulkOfWhichNothingWorkedIsUndone(t *testing.T) {
	w, f, _ := fleettest.New(t)
	ids := several(t, w, 2, true)
	f.Fail("Stop", domain.Errorf(domain.Internal, "QEMU does not die."), 2)
	job, err := w.Fleet.BulkVMs(t.Context(), fleettest.Actor, ids, domain.ActStop, fleet.ActOptions{})
	if job = w.Undone(t, job, err, domain.Conflict); len(job.Error.Reasons) != 2 {
		t.Errorf("error %+v", job.Error)
	}
}

func TestBulkRefusedAltogether(t *testing.T) {
	w, _, _ := fleettest.New(t)
	ids := several(t, w, 2, false)
	_, err := w.Fleet.BulkVMs(t.Context(), fleettest.Actor, ids, domain.ActStop, fleet.ActOptions{})
	if e, ok := err.(*domain.Error); !ok || e.Code != domain.Conflict || len(e.Reasons) != 2 {
		t.Errorf("%s", fleettest.Detail(err))
	}
	if _, err := w.Fleet.BulkVMs(t.Context(), fleettest.Actor, nil, domain.ActStop, fleet.ActOptions{}); !domain.Is(err, domain.Invalid) {
		t.Errorf("%v", err)
	}
	if _, err := w.Fleet.BulkVMs(t.Context(), fleettest.Actor, ids, domain.ActRename, fleet.ActOptions{}); !domain.Is(err, domain.Unsupported) {
		t.Errorf("%v", err)
	}
}

func TestBulkDeleteWithDisks(t *testing.T) {
	w, f, _ := fleettest.New(t)
	ids := several(t, w, 3, false)
	job, err := w.Fleet.BulkVMs(t.Context(), fleettest.Actor, ids, domain.ActDelete, fleet.ActOptions{Disks: true, Key: "k"})
	again, aerr := w.Fleet.BulkVMs(t.Context(), fleettest.Actor, ids, domain.ActDelete, fleet.ActOptions{Disks: true, Key: "k"})
	if aerr != nil || again.ID != job.ID {
		t.Errorf("a second submit made %s (%v)", again.ID, aerr)
	}
	w.Succeed(t, job, err)
	if len(f.AllGuests()) != 0 || len(f.AllVolumes()) != 0 {
		t.Errorf("left: %+v %+v", f.AllGuests(), f.AllVolumes())
	}
}

func TestSweep(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w := fleettest.Bare(t, reconcile.Options{})
		f, _ := w.Adopt(t, "a", hvtest.FakeOptions{}, fleettest.Old{Spec: fleettest.Spec("web-1")}, fleettest.Old{Spec: fleettest.Spec("web-2")})
		ids := []string{w.VM(t, "web-1").ID, w.VM(t, "web-2").ID}
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.BulkVMs(ctx, fleettest.Actor, ids, domain.ActStart, fleet.ActOptions{})
		}, func(t testing.TB, job domain.Job) {
			w.Free(t, ids...)
			children, err := w.DB.Children(t.Context(), job.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range children {
				if !c.State.Ended() {
					t.Errorf("a child is %s though its parent has ended", c.State)
				}
			}
			if job.State == domain.JobSucceeded && (len(children) != 2 || f.AllGuests()[0].State != domain.VMRunning || f.AllGuests()[1].State != domain.VMRunning) {
				t.Errorf("children %+v, guests %+v", children, f.AllGuests())
			}
		})
	})
}
