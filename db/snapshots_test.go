package db

import (
	"testing"
	"time"

	"novacron/domain"
)

func TestSnapshotsAreMirrored(t *testing.T) {
	d := open(t)
	addHost(t, d, "a")
	vm, _, _ := upsert(t, d, "host_a", guest("web", 1))
	inv := domain.Inventory{Pools: []domain.Pool{{Name: "default", Type: "dir", Active: true, Target: "/p"}}, Volumes: []domain.Volume{
		{Pool: "default", Name: "web", Path: "/p/web", Format: "qcow2", CapacityBytes: domain.GiB},
		{Pool: "default", Name: "one", Path: "/p/one", Format: "qcow2", CapacityBytes: domain.GiB, AllocationBytes: 5 * domain.MiB, Backing: "/p/web"},
		{Pool: "default", Name: "mem", Path: "/p/mem", Format: "raw", AllocationBytes: 7 * domain.MiB}}}
	write(t, d, func(tx *Tx) error { _, err := tx.ReplaceInventory("host_a", inv); return err })
	all := []domain.Snapshot{
		{Name: "one", CreatedAt: start, Kind: domain.SnapshotExternal, Memory: true, MemoryFile: "/p/mem", State: domain.VMRunning, Disks: []domain.SnapshotDisk{{Target: "vda", Kind: domain.SnapshotExternal, Base: "/p/web", File: "/p/one"}}},
		{Name: "two", CreatedAt: start.Add(time.Minute), Kind: domain.SnapshotInternal, State: domain.VMStopped, Parent: "one", Current: true, Notes: "the host's words"},
	}
	replace := func(want bool) {
		t.Helper()
		write(t, d, func(tx *Tx) error {
			changed, err := tx.ReplaceSnapshots(vm.ID, all)
			if changed != want {
				t.Errorf("changed is %v", changed)
			}
			return err
		})
	}
	replace(true)
	replace(false)
	got, err := d.Snapshots(t.Context(), vm.ID)
	if err != nil || len(got) != 2 || got[0].Name != "one" || got[0].Growth() != 12*domain.MiB || got[0].HostID != "host_a" || got[1].Notes != "the host's words" || !got[1].Current {
		t.Fatalf("%+v, %v", got, err)
	}
	// What only we know stays when the host says the same again, and goes with the snapshot.
	got[0].Notes, got[0].Quiesced, got[0].ScheduleID, got[0].Tier, got[0].MadeBy = "ours", true, "sched_1", domain.TierDaily, "ann"
	write(t, d, func(tx *Tx) error { return tx.NoteSnapshot(got[0]) })
	all[1].Current = false
	replace(true)
	s, err := d.Snapshot(t.Context(), vm.ID, got[0].ID)
	if err != nil || s.Notes != "ours" || !s.Quiesced || s.ScheduleID != "sched_1" || s.Tier != domain.TierDaily || s.MadeBy != "ann" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := d.Snapshot(t.Context(), vm.ID, "snap_none"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	all = all[:1]
	all[0].CreatedAt = start.Add(time.Hour) // made anew under its old name
	replace(true)
	write(t, d, func(tx *Tx) error {
		if err := tx.ForgetSnapshotNotes(vm.ID); err != nil {
			return err
		}
		in, err := tx.Snapshots(vm.ID)
		if len(in) != 1 || in[0].Notes != "" || in[0].MadeBy != "" {
			t.Errorf("%+v", in)
		}
		b, newer, berr := tx.Backings("host_a", "/p/one", "/p/new", "/elsewhere/x")
		if berr != nil || len(newer) != 1 || newer[0] != "/p/new" || b["/p/one"] != "/p/web" || len(b) != 1 {
			t.Errorf("%v, %v", b, berr)
		}
		return err
	})
	if none, err := d.Snapshots(t.Context(), "vm_none"); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
}

func TestChainDepthIsRemembered(t *testing.T) {
	d := open(t)
	addHost(t, d, "a")
	vm, _, _ := upsert(t, d, "host_a", guest("web", 1))
	if n, err := d.ChainDepth(t.Context(), vm.ID); err != nil || n != 0 {
		t.Error(n, err)
	}
	for _, c := range [][2]int{{3, 0}, {3, 3}, {9, 3}} {
		write(t, d, func(tx *Tx) error {
			was, err := tx.SetChainDepth(vm.ID, c[0])
			if was != c[1] {
				t.Errorf("before %d it was %d", c[0], was)
			}
			return err
		})
	}
	upsert(t, d, "host_a", guest("bare", 2))
	if got, err := d.SnapshotHolders(t.Context(), "host_a"); err != nil || len(got) != 2 || got[0].Holds || got[1] != (SnapshotHolder{UUID: vm.UUID, Holds: true}) {
		t.Error(got, err)
	}
	if n, err := d.ChainDepth(t.Context(), vm.ID); err != nil || n != 9 {
		t.Error(n, err)
	}
	if long, err := d.LongChains(t.Context(), 8, 5); err != nil || len(long) != 1 || long[0] != (domain.LongChain{VMID: vm.ID, Name: "web", Depth: 9}) {
		t.Error(long, err)
	}
	if long, err := d.LongChains(t.Context(), 9, 5); err != nil || len(long) != 0 {
		t.Error(long, err)
	}
	if long, err := d.LongChains(domain.WithSight(t.Context(), &domain.Sight{Tenants: []string{"other"}}), 8, 5); err != nil || len(long) != 0 {
		t.Errorf("another tenant sees %v, %v", long, err)
	}
}

func TestSchedules(t *testing.T) {
	d := open(t)
	s := domain.SnapshotSchedule{ID: "sched_1", Name: "Nightly", Enabled: true, Tags: []string{"prod"}, TimeZone: "UTC", Quiesce: true, Daily: &domain.TierPlan{Keep: 7, At: "02:30"}, NextAt: start.Add(time.Hour), CreatedAt: start}
	put := func(s domain.SnapshotSchedule) error {
		return d.Write(t.Context(), func(tx *Tx) error { return tx.PutSchedule(s) })
	}
	if err := put(s); err != nil {
		t.Fatal(err)
	}
	got, err := d.Schedule(t.Context(), "sched_1")
	if err != nil || got.Version != 1 || got.Daily == nil || got.Daily.Keep != 7 || got.Hourly != nil || len(got.Tags) != 1 || !got.Quiesce || !got.NextAt.Equal(s.NextAt) {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := put(domain.SnapshotSchedule{ID: "sched_2", Name: "nightly"}); !domain.Is(err, domain.Conflict) {
		t.Errorf("a name that is taken: %v", err)
	}
	got.Name, got.Enabled = "Daily", false
	if err := put(got); err != nil {
		t.Error(err)
	}
	if err := put(got); !domain.Is(err, domain.Conflict) {
		t.Errorf("what somebody else changed meanwhile: %v", err)
	}
	if err := put(domain.SnapshotSchedule{ID: "sched_9", Name: "none", Version: 3}); !domain.Is(err, domain.NotFound) {
		t.Errorf("one that is gone: %v", err)
	}
	write(t, d, func(tx *Tx) error { return tx.BeginSchedule("sched_1", "job_1", start, start.Add(2*time.Hour)) })
	write(t, d, func(tx *Tx) error { return tx.EndSchedule("sched_1", "job_old", "late") })
	write(t, d, func(tx *Tx) error { return tx.EndSchedule("sched_1", "job_1", "2 VMs") })
	all, err := d.Schedules(t.Context())
	if err != nil || len(all) != 1 || all[0].LastResult != "2 VMs" || all[0].LastJob != "job_1" || !all[0].LastAt.Equal(start) || all[0].Name != "Daily" || all[0].Enabled {
		t.Errorf("%+v, %v", all, err)
	}
	write(t, d, func(tx *Tx) error { return tx.DeleteSchedule("sched_1") })
	if _, err := d.Schedule(t.Context(), "sched_1"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
}
