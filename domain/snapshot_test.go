package domain

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func names(all []Snapshot) string {
	var out []string
	for _, s := range all {
		out = append(out, s.Name)
	}
	return strings.Join(out, " ")
}

func TestSnapshotsFormATree(t *testing.T) {
	at := func(min int) time.Time { return time.Date(2026, 1, 1, 0, min, 0, 0, time.UTC) }
	all := []Snapshot{{Name: "d", Parent: "b", CreatedAt: at(4)}, {Name: "c", Parent: "a", CreatedAt: at(3)}, {Name: "b", Parent: "a", CreatedAt: at(2)}, {Name: "a", CreatedAt: at(1)},
		{Name: "lost", Parent: "gone", CreatedAt: at(9)}, {Name: "e", Parent: "c", CreatedAt: at(5)}}
	sorted := SortSnapshots(all)
	if got := names(sorted); got != "a b d c e lost" {
		t.Errorf("sorted: %s", got)
	}
	if got := names(sorted[0].Descendants(sorted)); got != "b c d e" {
		t.Errorf("below a: %s", got)
	}
	if got := names(sorted[1].Children(sorted)); got != "d" {
		t.Errorf("children of b: %s", got)
	}
	s := Snapshot{Disks: []SnapshotDisk{{File: "/x", SizeBytes: 3}, {}}, MemoryFile: "/m", MemoryBytes: 4}
	if s.Growth() != 7 || !slices.Equal(s.Files(), []string{"/x", "/m"}) {
		t.Errorf("%d %v", s.Growth(), s.Files())
	}
	first, again := SnapshotID("vm", "a", at(1)), SnapshotID("vm", "a", at(1))
	if first == SnapshotID("vm", "a", at(2)) || first != again {
		t.Error("the id is not what it should be made of")
	}
}

func TestKindOfSnapshotIsChosen(t *testing.T) {
	qcow := Disk{Target: "vda", Source: "/a", Format: "qcow2"}
	raw := Disk{Target: "vdb", Source: "/b", Format: "raw"}
	vm := func(state VMState, disks ...Disk) VM {
		return VM{Name: "web", State: state, Config: VMSpec{Disks: disks}}
	}
	uefi := vm(VMRunning, qcow)
	uefi.Config.Firmware = FirmwareUEFI
	external := []Snapshot{{Name: "old", Kind: SnapshotExternal}}
	for _, c := range []struct {
		what string
		vm   VM
		ask  SnapshotSpec
		have []Snapshot
		kind SnapshotKind
		code Code
	}{
		{"stopped", vm(VMStopped, qcow), SnapshotSpec{}, nil, SnapshotInternal, ""},
		{"as the others", vm(VMStopped, qcow), SnapshotSpec{}, external, SnapshotExternal, ""},
		{"running, disks only", vm(VMRunning, qcow), SnapshotSpec{}, nil, SnapshotExternal, ""},
		{"running, with memory", vm(VMRunning, qcow), SnapshotSpec{Memory: true}, nil, SnapshotInternal, ""},
		{"UEFI with memory", uefi, SnapshotSpec{Memory: true}, nil, SnapshotExternal, ""},
		{"UEFI with memory inside", uefi, SnapshotSpec{Memory: true, Kind: SnapshotInternal}, nil, "", Unsupported},
		{"raw", vm(VMStopped, qcow, raw), SnapshotSpec{}, nil, SnapshotExternal, ""},
		{"raw inside", vm(VMStopped, qcow, raw), SnapshotSpec{Kind: SnapshotInternal}, nil, "", Unsupported},
		{"a CD-ROM does not count", vm(VMStopped, qcow, Disk{Target: "sda", Device: "cdrom", Source: "/c.iso", Format: "raw"}), SnapshotSpec{}, nil, SnapshotInternal, ""},
		{"memory of a stopped VM", vm(VMStopped, qcow), SnapshotSpec{Memory: true}, nil, "", Invalid},
		{"memory and quiesce", vm(VMRunning, qcow), SnapshotSpec{Memory: true, Quiesce: true}, nil, "", Invalid},
		{"nothing to keep", vm(VMStopped), SnapshotSpec{}, nil, "", Unsupported},
		{"saved", vm(VMSaved, qcow), SnapshotSpec{}, nil, "", Conflict},
		{"away", vm(VMAway, qcow), SnapshotSpec{}, nil, "", Unavailable},
		{"name taken", vm(VMStopped, qcow), SnapshotSpec{Name: "OLD"}, external, "", Conflict},
		{"a kind that is none", vm(VMStopped, qcow), SnapshotSpec{Kind: "both"}, nil, "", Invalid},
		{"notes too long", vm(VMStopped, qcow), SnapshotSpec{Notes: strings.Repeat("x", 20000)}, nil, "", Invalid},
	} {
		if c.ask.Name == "" {
			c.ask.Name = "new"
		}
		got, _, err := SettleSnapshot(c.vm, c.ask, c.have)
		if CodeOf(err) != c.code || err == nil && got.Kind != c.kind {
			t.Errorf("%s: %s, %v; want %s %s", c.what, got.Kind, err, c.kind, c.code)
		}
	}
	got, notes, err := SettleSnapshot(vm(VMPaused, qcow), SnapshotSpec{Name: "x", Quiesce: true}, nil)
	if err != nil || got.Quiesce || len(notes) == 0 {
		t.Errorf("a paused guest cannot be quiesced: %+v %v %v", got, notes, err)
	}
}

func TestChains(t *testing.T) {
	b := BackingsOf([]Volume{{Path: "/a"}, {Path: "/b", Backing: "/a"}, {Path: "/c", Backing: "/b"}, {Path: "/d", Backing: "/a"}, {Path: "/loop", Backing: "/loop"}})
	if got := b.Chain("/c"); !slices.Equal(got, []string{"/c", "/b", "/a"}) {
		t.Errorf("%v", got)
	}
	if got := b.On("/a"); !slices.Equal(got, []string{"/b", "/d"}) {
		t.Errorf("%v", got)
	}
	if len(b.Chain("/loop")) != 1 {
		t.Error("a loop does not end")
	}
	if got := ChainDepth([]Disk{{Source: "/d"}, {Source: "/c"}, {Source: "/x", Device: "cdrom"}}, b); got != 3 {
		t.Errorf("depth %d", got)
	}
}

func TestScheduleKeepsItsOwn(t *testing.T) {
	s := SnapshotSchedule{ID: "s", Name: "x", VMs: []string{"vm"}, TimeZone: "UTC", Hourly: &TierPlan{Keep: 1}, Daily: &TierPlan{Keep: 2, At: "02:30"}, Weekly: &TierPlan{Keep: 1, At: "23:05", Day: "sunday"}}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	for tier, want := range map[ScheduleTier]string{TierHourly: "CRON_TZ=UTC 0 * * * *", TierDaily: "CRON_TZ=UTC 30 2 * * *", TierWeekly: "CRON_TZ=UTC 5 23 * * 0"} {
		if got := s.Cron(tier); got != want {
			t.Errorf("%s: %s", tier, got)
		}
	}
	if got := s.Words(); got != "hourly at :00, keep 1; daily at 02:30, keep 2; Sundays at 23:05, keep 1" {
		t.Error(got)
	}
	at := func(h int) time.Time { return time.Date(2026, 1, 1, h, 0, 0, 0, time.UTC) }
	all := []Snapshot{{Name: "mine", CreatedAt: at(0)}, {Name: "d3", ScheduleID: "s", Tier: TierDaily, CreatedAt: at(3)}, {Name: "d1", ScheduleID: "s", Tier: TierDaily, CreatedAt: at(1)},
		{Name: "d2", ScheduleID: "s", Tier: TierDaily, CreatedAt: at(2)}, {Name: "h", ScheduleID: "s", Tier: TierHourly, CreatedAt: at(1)}, {Name: "other", ScheduleID: "t", Tier: TierDaily, CreatedAt: at(0)}}
	if got := names(s.Surplus(TierDaily, all)); got != "d1" {
		t.Errorf("surplus: %s", got)
	}
	if s.Surplus(TierHourly, all) != nil || s.Surplus("yearly", all) != nil {
		t.Error("too much goes")
	}
}
