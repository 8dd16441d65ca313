package migrate_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/jobstest"
	"novacron/jobs/migrate"
	"novacron/jobs/reconcile"
)

// A paused guest arrives paused, and is neither moved on nor saved before it has run: its QEMU would die of it.
func TestPausedMovesPaused(t *testing.T) {
	w, a, b, _, to, vm := joined(t, true)
	job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActPause, fleet.ActOptions{})
	w.Succeed(t, job, err)
	targets, err := w.Fleet.Forecast(t.Context(), fleettest.Actor, vm.ID, nil, fleet.MigrateVM{})
	if err != nil || len(targets) != 1 || !targets[0].Allowed || targets[0].Forecast == nil || targets[0].Forecast.Method != "pre-copy" || targets[0].Forecast.Converges != 1 {
		t.Fatalf("the forecast is %+v (%v)", targets, err)
	}
	job, err = w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID, Policy: domain.MigrationPolicy{PostCopy: true}})
	w.Succeed(t, job, err)
	if once(t, w, a, b) != "b" {
		t.Fatal("it was not moved")
	}
	if g, _ := fleettest.Guest(b, "web-1"); g.State != domain.VMPaused || w.VM(t, "web-1").State != domain.VMPaused {
		t.Fatalf("it arrived %s", g.State)
	}
	for what, try := range map[string]func() error{
		"moving it on": func() error {
			_, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: "a"})
			return err
		},
		"saving it": func() error {
			_, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActSave, fleet.ActOptions{})
			return err
		},
		"a snapshot": func() error {
			_, err := w.Fleet.TakeSnapshot(t.Context(), fleettest.Actor, vm.ID, domain.SnapshotSpec{Name: "now", Kind: domain.SnapshotExternal}, "")
			return err
		},
	} {
		if err := try(); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "has not run") {
			t.Errorf("%s: %v", what, err)
		}
	}
	job, err = w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActResume, fleet.ActOptions{})
	w.Succeed(t, job, err)
	job, err = w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: "a"})
	w.Succeed(t, job, err)
	if once(t, w, a, b) != "a" {
		t.Error("it did not go back when it had run")
	}
}

// A post-copy that breaks off leaves two halves: trying again has the source send the rest, and neither half is ended.
func TestABrokenPostCopyGoesOn(t *testing.T) {
	w, a, b, _, to, vm := joined(t, true)
	release := a.Hang("Migrate")
	defer release()
	job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it moves", func() bool { return a.Calls("Migrate") > 0 })
	a.Fail("Migrate", domain.Errorf(domain.Unavailable, "The link broke."), 1)
	b.AddGuest(vm.XML, domain.VMRunning)
	a.SetState(vm.UUID, domain.VMPaused, hv.PostCopyFailed)
	b.SetState(vm.UUID, domain.VMRunning, hv.PostCopyFailed)
	release()
	w.Until(t, "the post-copy goes on to its end", func() bool {
		got, err := w.DB.Job(t.Context(), job.ID)
		if err == nil && got.State == domain.JobStuck { // a busy machine takes longer than it is tried again by itself
			err = w.Engine.Retry(t.Context(), job.ID, fleettest.Actor)
		}
		return err == nil && got.State == domain.JobSucceeded
	})
	if once(t, w, a, b) != "b" {
		t.Error("it is not on b")
	}
	if a.Calls("Stop")+b.Calls("Stop")+a.Calls("Undefine")+b.Calls("Undefine") > 0 || a.Calls("Migrate") < 2 {
		t.Errorf("a half was ended, or the rest was not asked for: %d calls", a.Calls("Migrate"))
	}
}

func TestAStuckMoveIsListedAsStuck(t *testing.T) {
	w, _, _, _, job := lost(t, func(a, _ *hvtest.Fake, vm domain.VM) { a.Lose(vm.UUID) })
	states := func(state string) (ids []string) {
		list, err := w.DB.Migrations(t.Context(), db.MigrationQuery{State: state})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			ids = append(ids, m.JobID+" "+m.State)
		}
		return ids
	}
	if got := states("stuck"); len(got) != 1 || got[0] != job.ID+" stuck" || len(states("running")) != 0 {
		t.Errorf("stuck are %v, running %v", got, states("running"))
	}
	if err := w.Engine.Choose(t.Context(), job.ID, "keep-source", fleettest.Actor); err != nil {
		t.Fatal(err)
	}
	w.Wait(t, job, nil)
	if len(states("stuck")) != 0 || len(states("undone")) != 1 {
		t.Errorf("afterwards stuck are %v, undone %v", states("stuck"), states("undone"))
	}
}

func TestSweepPaused(t *testing.T) {
	jobstest.Sweep(t, func(t testing.TB) jobstest.Fixture {
		w, a, b, to := pair(t, true)
		vm := w.VM(t, "web-1")
		a.SetState(vm.UUID, domain.VMPaused, "paused by a person")
		w.Until(t, "the pause is seen", func() bool { return w.VM(t, "web-1").State == domain.VMPaused })
		return w.Swept(func(ctx context.Context, front *fleet.Fleet) (domain.Job, error) {
			return front.MigrateVM(ctx, fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
		}, func(t testing.TB, job domain.Job) {
			got := once(t, w, a, b)
			if (job.State == domain.JobSucceeded) != (got == "b") {
				t.Errorf("the job is %s and the guest on %s", job.State, got)
			}
			if g, _ := fleettest.Guest(map[string]*hvtest.Fake{"a": a, "b": b}[got], "web-1"); g.State != domain.VMPaused {
				t.Errorf("it is %s", g.State)
			}
			w.Free(t, job.Locks...)
		})
	})
}

// What a person may ask that cannot be: each is refused before anything moves, and says why.
func TestBadInputOfMigrations(t *testing.T) {
	w, a, b, from, to, vm := joined(t, true)
	_, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: from.ID})
	if !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "already") {
		t.Errorf("to its own host: %v", err)
	}
	b.AddGuest(strings.ReplaceAll(vm.XML, vm.UUID, domain.NewUUID()), domain.VMStopped)
	w.Until(t, "the other web-1 is seen", func() bool {
		all, err := w.DB.HostVMs(t.Context(), to.ID)
		return err == nil && len(all) == 1
	})
	if _, err = w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID}); !domain.Is(err, domain.Conflict) || !strings.Contains(err.Error(), "another VM called web-1") {
		t.Errorf("where its name is taken: %v", err)
	}
	all, err := w.DB.HostVMs(t.Context(), to.ID)
	if err != nil {
		t.Fatal(err)
	}
	b.Lose(all[0].UUID)
	w.Until(t, "the other web-1 is gone", func() bool {
		all, err := w.DB.HostVMs(t.Context(), to.ID)
		return err == nil && len(all) == 0
	})
	release := a.Hang("Migrate")
	defer release()
	first, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID}); !domain.Is(err, domain.Conflict) {
		t.Errorf("a second migration of it: %v", err)
	}
	release()
	w.Succeed(t, first, nil)
	if once(t, w, a, b) != "b" {
		t.Error("it was not moved")
	}
}

// A move of a stopped VM takes as long as copying its disks does, and the figures say so.
func TestAColdMoveCountsItsCopying(t *testing.T) {
	w, a, b, _, to, _ := joined(t, false)
	release := a.Hang("ContentSize")
	defer release()
	job, err := w.Fleet.MigrateVM(t.Context(), fleettest.Actor, w.VM(t, "web-1").ID, fleet.MigrateVM{Host: to.ID})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it copies", func() bool { return a.Calls("ContentSize") > 0 })
	copying := time.Now()
	var paused time.Duration
	until(t, "some time is spent on it", func() bool { paused = time.Since(copying); return paused > 50*time.Millisecond })
	release()
	job = w.Succeed(t, job, nil)
	var res migrate.Result
	if err := json.Unmarshal(job.Result, &res); err != nil || res.Figures == nil || res.Figures.Seconds < paused.Seconds() {
		t.Errorf("it copied for %s at least, and the figures are %+v (%v)", paused, res.Figures, err)
	}
	if once(t, w, a, b) != "b" {
		t.Error("it was not moved")
	}
}

// A disk that is built on an image which the target has too goes with what differs alone, and while it does nobody collects that image.
func TestOnlyWhatDiffersFromAnImage(t *testing.T) {
	w, a, b, from, to, vm := joined(t, true)
	base := domain.Volume{Pool: "default", Name: "image-x-1", Format: "qcow2", CapacityBytes: 10 * domain.GiB, AllocationBytes: domain.GiB}
	job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStop, fleet.ActOptions{})
	w.Succeed(t, job, err)
	for f, path := range map[*hvtest.Fake]string{a: "/var/lib/libvirt/images/image-x-1", b: "/data/image-x-1"} {
		base.Path = path
		f.AddVolume(base)
	}
	disk := func(f *hvtest.Fake) domain.Volume {
		t.Helper()
		all := f.AllVolumes()
		i := slices.IndexFunc(all, func(v domain.Volume) bool { return v.Path == w.VM(t, "web-1").Config.Disks[0].Source })
		if i < 0 {
			t.Fatalf("no volume of the VM in %+v", all)
		}
		return all[i]
	}
	top := disk(a)
	top.Backing, top.BackingFormat = "/var/lib/libvirt/images/image-x-1", "qcow2"
	a.AddVolume(top)
	version := domain.ImageVersion{ID: "imgv_1", ImageID: "img_1", Label: "1", State: domain.ImagePublished}
	if err := w.DB.Write(t.Context(), func(tx *db.Tx) error {
		if err := tx.InsertImage(domain.Image{ID: "img_1", Name: "x"}); err != nil {
			return err
		}
		if err := tx.InsertImageVersion(version); err != nil {
			return err
		}
		for i, h := range []string{from.ID, to.ID} {
			pools, err := w.DB.Pools(t.Context(), h)
			if err != nil {
				return err
			}
			c := domain.ImageCopy{ID: []string{"copy_1", "copy_2"}[i], VersionID: version.ID, HostID: h, PoolID: pools[0].ID, Pool: "default", Volume: base.Name, Bytes: 1, State: domain.CopyReady}
			if err := tx.InsertImageCopy(c); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, h := range []string{from.ID, to.ID} {
		host, err := w.Pool.Host(h)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Rec.Mirror.Inventory(t.Context(), host, h, reconcile.Cause{}); err != nil {
			t.Fatal(err)
		}
	}
	job, err = w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStart, fleet.ActOptions{})
	w.Succeed(t, job, err)
	release := a.Hang("Migrate")
	job, err = w.Fleet.MigrateVM(t.Context(), fleettest.Actor, vm.ID, fleet.MigrateVM{Host: to.ID})
	if err != nil {
		t.Fatal(err)
	}
	w.Until(t, "the migration to be asked for", func() bool { return a.Calls("Migrate") > 0 })
	if held, err := w.DB.HeldImages(t.Context()); err != nil || held[version.ID] == "" {
		t.Errorf("nobody holds the image while the VM moves: %v, %v", held, err)
	}
	release()
	w.Succeed(t, job, nil)
	if got := disk(b); got.Backing != "/data/image-x-1" || got.BackingFormat != "qcow2" {
		t.Errorf("the disk on the target is %+v", got)
	}
}
