package domain

import (
	"slices"
	"testing"
	"time"
)

func TestAPolicyThatContradictsItselfIsRefused(t *testing.T) {
	for field, p := range map[string]MigrationPolicy{
		"policy.downtime_ms":          {DowntimeMS: []int{300, 200}},
		"policy.bandwidth_bytes":      {BandwidthBytes: 1},
		"policy.post_copy":            {PostCopy: true, PauseAfterSeconds: 5},
		"policy.abort_after_seconds":  {PostCopy: true, AbortAfterSeconds: 5},
		"policy.compress":             {PostCopy: true, Compress: true},
		"policy.parallel_connections": {ParallelConnection: 4, Compress: true},
		"policy.transport":            {RequireTLS: true, Transport: TransportPlain},
		"policy.never_migrate":        {NeverMigrate: true, BandwidthBytes: MiB},
		"policy.max_in":               {MaxIn: -1},
		"policy.max_link":             {MaxLink: 3, MaxOut: 2},
		"policy.bandwidth_windows.0":  {Windows: []BandwidthWindow{{From: "25:00", To: "06:00"}}},
		"policy.bandwidth_windows.1":  {Windows: []BandwidthWindow{{From: "22:00", To: "06:00"}, {From: "05:59", To: "07:00"}}},
		"policy.pause_after_seconds":  {PauseAfterSeconds: -1},
	} {
		e, ok := p.Validate().(*Error)
		if !ok || !slices.ContainsFunc(e.Fields, func(f FieldError) bool { return f.Field == field && f.Want != "" }) {
			t.Errorf("%s: %+v", field, e)
		}
	}
	for _, p := range []MigrationPolicy{{Transport: "carrier pigeon"}, {Transport: TransportTunnelled, ParallelConnection: 2}, {Transport: TransportTunnelled, PostCopy: true}} {
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	good := MigrationPolicy{DowntimeMS: []int{100, 150, 200, 300, 500}, AbortAfterSeconds: 60, Windows: []BandwidthWindow{{From: "22:00", To: "06:00", BandwidthBytes: 4 * MiB}, {From: "06:00", To: "22:00"}}, MaxIn: 2, MaxOut: 2, MaxLink: 1}
	if err := good.Validate(); err != nil || good.Empty() || !(MigrationPolicy{}).Empty() {
		t.Errorf("%v", err)
	}
	if (ScopedPolicy{Scope: PolicyEstate, Policy: good}).Validate() != nil || (ScopedPolicy{Scope: PolicyVM, Policy: good}).Validate() == nil || (ScopedPolicy{Scope: PolicyHost, Policy: MigrationPolicy{MaxLink: 1}}).Validate() == nil {
		t.Error("limits are for hosts and the estate")
	}
}

func TestTheBandwidthOfTheDay(t *testing.T) {
	p := MigrationPolicy{BandwidthBytes: 8 * MiB, Windows: []BandwidthWindow{{From: "22:00", To: "06:00"}, {From: "08:00", To: "18:00", BandwidthBytes: 2 * MiB}}}
	for clock, want := range map[string]int64{"21:59": 8 * MiB, "22:00": 0, "03:00": 0, "06:00": 8 * MiB, "08:00": 2 * MiB, "18:00": 8 * MiB} {
		at, _ := time.Parse("15:04", clock)
		if got := p.BandwidthAt(at); got != want {
			t.Errorf("at %s it is %d", clock, got)
		}
	}
	at, _ := time.Parse("15:04", "17:30")
	if clock, n, ok := p.NextBandwidth(at); clock != "18:00" || n != 8*MiB || !ok {
		t.Errorf("%s %d %v", clock, n, ok)
	}
	if _, _, ok := (MigrationPolicy{BandwidthBytes: MiB}).NextBandwidth(at); ok {
		t.Error("without windows nothing comes")
	}
}

func TestANarrowerPolicyDoesNotLiftWhatAWiderForbids(t *testing.T) {
	got := MigrationPolicy{PostCopy: true, BandwidthBytes: MiB}.Over(MigrationPolicy{PauseAfterSeconds: 9, NeverSlow: true, OnlyShared: true, RequireTLS: true, DowntimeMS: []int{5}, Transport: TransportTLS, MaxIn: 1})
	if !got.PostCopy || got.PauseAfterSeconds != 0 || !got.OnlyShared || !got.RequireTLS || got.BandwidthBytes != MiB || got.DowntimeMS[0] != 5 || got.Transport != TransportTLS || got.MaxIn != 0 {
		t.Errorf("%+v", got)
	}
	if got = (MigrationPolicy{}).Over(MigrationPolicy{NeverMigrate: true, AbortAfterSeconds: 3, Windows: []BandwidthWindow{{From: "1"}}}); !got.NeverMigrate || got.AbortAfterSeconds != 3 || len(got.Windows) != 1 {
		t.Errorf("%+v", got)
	}
}
