package snapshot_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"novacron/domain"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/snapshot"
)

func day(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestNextFollowsTheZone(t *testing.T) {
	s := domain.SnapshotSchedule{Name: "x", TimeZone: "Europe/Berlin", Daily: &domain.TierPlan{Keep: 1, At: "02:30"}}
	for _, c := range []struct{ after, want string }{
		{"2026-01-10 00:00", "2026-01-10 01:30"}, // winter: an hour ahead of UTC
		{"2026-07-10 00:00", "2026-07-10 00:30"}, // summer: two
		{"2026-07-10 00:30", "2026-07-11 00:30"},
	} {
		got, err := snapshot.Next(s, day(t, c.after))
		if err != nil || !got.Equal(day(t, c.want)) {
			t.Errorf("after %s: %s %v, want %s", c.after, got, err, c.want)
		}
	}
	s.Weekly, s.Hourly = &domain.TierPlan{Keep: 1, At: "03:00", Day: "monday"}, &domain.TierPlan{Keep: 1, Minute: 10}
	if got, err := snapshot.Next(s, day(t, "2026-01-10 00:00")); err != nil || !got.Equal(day(t, "2026-01-10 00:10")) {
		t.Errorf("the soonest tier: %s %v", got, err)
	}
	if snapshot.Usual(s) != domain.TierHourly {
		t.Error("the most frequent tier is hourly")
	}
}

func TestSchedulesTakeKeepAndCatchUp(t *testing.T) {
	b := newBench(t, true)
	now := time.Now().UTC().Truncate(time.Hour).Add(30 * time.Minute)
	clock := snapshot.NewClock(b.w.DB, b.w.Engine, slog.New(slog.DiscardHandler), func() time.Time { return now })
	s, err := b.w.Fleet.PutSchedule(t.Context(), fleettest.Actor, domain.SnapshotSchedule{Name: "Every hour!", Enabled: true, VMs: []string{b.vm.ID}, TimeZone: "UTC", Quiesce: true,
		Hourly: &domain.TierPlan{Keep: 2, Minute: 0}})
	if err != nil {
		t.Fatal(fleettest.Detail(err))
	}
	b.take(domain.SnapshotSpec{Name: "by-hand"})
	b.f.WriteDisk(b.vm.UUID, "vda", "written")
	run := func() string {
		t.Helper()
		before, err := b.w.DB.Schedule(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := clock.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		after, err := b.w.DB.Schedule(t.Context(), s.ID)
		if err != nil || after.LastJob == before.LastJob {
			t.Fatalf("nothing was begun: %+v %v", after, err)
		}
		if !after.NextAt.After(now) {
			t.Errorf("the next run is in the past: %s", after.NextAt)
		}
		b.w.Succeed(t, domain.Job{ID: after.LastJob}, nil)
		after, err = b.w.DB.Schedule(t.Context(), s.ID)
		if err != nil {
			t.Fatal(err)
		}
		return after.LastResult
	}
	for i := range 4 {
		now = now.Add(5 * time.Hour) // four were missed each time: one is taken up
		if got := run(); got != "1 taken" {
			t.Errorf("run %d: %s", i, got)
		}
	}
	mine := 0
	for _, x := range b.all() {
		if x.ScheduleID == s.ID {
			mine++
			if !strings.HasPrefix(x.Name, "Every-hour-hourly-") || x.Tier != domain.TierHourly {
				t.Errorf("%+v", x)
			}
		}
	}
	if mine != 2 || b.get("by-hand").Name == "" {
		t.Errorf("%d are kept: %s", mine, b.names())
	}
	b.disk("written")
	if err := clock.Look(t.Context()); err != nil { // not due: nothing happens
		t.Fatal(err)
	}
	again, err := b.w.DB.Schedule(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	again.Enabled = false
	if _, err := b.w.Fleet.PutSchedule(t.Context(), fleettest.Actor, again); err != nil {
		t.Fatal(err)
	}
	if _, err := b.w.Fleet.PutSchedule(t.Context(), fleettest.Actor, again); !domain.Is(err, domain.Conflict) {
		t.Errorf("an edit of something older: %v", err)
	}
	now = now.Add(24 * time.Hour)
	if err := clock.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err := b.w.DB.Schedule(t.Context(), s.ID); err != nil || after.LastJob != again.LastJob {
		t.Errorf("one that is off ran: %+v %v", after, err)
	}
	if err := b.w.Fleet.DeleteSchedule(t.Context(), fleettest.Actor, s.ID); err != nil {
		t.Fatal(err)
	}
	if len(b.all()) != 3 {
		t.Errorf("its snapshots went with it: %s", b.names())
	}
}

func TestBadSchedules(t *testing.T) {
	w, _, _ := fleettest.New(t)
	_, err := w.Fleet.PutSchedule(t.Context(), fleettest.Actor, domain.SnapshotSchedule{Name: " ", TimeZone: "Mars/Olympus", Hourly: &domain.TierPlan{Keep: 0, Minute: 60},
		Daily: &domain.TierPlan{Keep: 1, At: "25:00"}, Weekly: &domain.TierPlan{Keep: 501, At: "1:00", Day: "someday"}})
	e, ok := err.(*domain.Error)
	if !ok || e.Code != domain.Invalid {
		t.Fatalf("%v", err)
	}
	fields := map[string]bool{}
	for _, f := range e.Fields {
		fields[f.Field] = true
	}
	for _, f := range []string{"name", "vms", "time_zone", "hourly.keep", "hourly.minute", "daily.at", "weekly.keep", "weekly.at", "weekly.day"} {
		if !fields[f] {
			t.Errorf("%s is not named: %+v", f, e.Fields)
		}
	}
}
