package forecast

import (
	"math"
	"strings"
	"testing"

	"novacron/domain"
)

const mib = int64(domain.MiB)

func ordered(t *testing.T, name string, i domain.Interval) {
	t.Helper()
	if !(i.P05 <= i.P50 && i.P50 <= i.P95) || i.P05 < 0 {
		t.Errorf("%s is %+v", name, i)
	}
}

func TestQuietGuest(t *testing.T) {
	f := Live(Input{Memory: 4096 * mib, Used: 1024 * mib, Dirty: 0, Rate: 100 * mib})
	if f.Method != "pre-copy" || f.Converges != 1 {
		t.Errorf("%s, converges %v", f.Method, f.Converges)
	}
	// 1 GiB in use at 100 MiB/s is 10.24 s; 3 GiB of zeros cost almost nothing.
	if math.Abs(f.Seconds.P50-10.8) > 0.5 {
		t.Errorf("%.1f s", f.Seconds.P50)
	}
	if f.DowntimeMS.P50 > 60 {
		t.Errorf("a pause of %.0f ms", f.DowntimeMS.P50)
	}
	ordered(t, "time", f.Seconds)
	ordered(t, "downtime", f.DowntimeMS)
	ordered(t, "bytes", f.Bytes)
}

func TestBusyGuestConvergesLate(t *testing.T) {
	quiet := Live(Input{Memory: 1024 * mib, Dirty: 0, Rate: 100 * mib})
	busy := Live(Input{Memory: 1024 * mib, Dirty: 25 * mib, Rate: 100 * mib})
	if busy.Converges < 0.9 || busy.Seconds.P50 <= quiet.Seconds.P50 || busy.Bytes.P50 <= quiet.Bytes.P50 {
		t.Errorf("quiet %+v, busy %+v", quiet, busy)
	}
}

func TestGuestThatWritesFasterThanThePath(t *testing.T) {
	in := Input{Memory: 2048 * mib, Dirty: 300 * mib, Rate: 100 * mib}
	for _, c := range []struct {
		name   string
		policy domain.MigrationPolicy
		method string
	}{
		{"default", domain.MigrationPolicy{}, "auto-converge"}, {"post-copy", domain.MigrationPolicy{PostCopy: true}, "post-copy"},
		{"pause", domain.MigrationPolicy{PauseAfterSeconds: 60}, "pause"}, {"neither", domain.MigrationPolicy{NeverSlow: true}, "pause"},
	} {
		in.Policy = c.policy
		f := Live(in)
		if f.Method != c.method || f.Converges > 0.1 {
			t.Errorf("%s: %s, converges %v", c.name, f.Method, f.Converges)
		}
		ordered(t, c.name, f.Seconds)
	}
	in.Policy = domain.MigrationPolicy{PauseAfterSeconds: 60}
	if f := Live(in); f.Seconds.P50 < 60 || f.DowntimeMS.P50 < 1000 {
		t.Errorf("a pause after 60 s: %+v, %+v", f.Seconds, f.DowntimeMS)
	}
}

func TestSmallWorkingSetAlwaysConverges(t *testing.T) {
	f := Live(Input{Memory: 2048 * mib, Dirty: 500 * mib, WorkingSet: 8 * mib, Rate: 100 * mib})
	if f.Method != "pre-copy" || f.Converges < 0.9 {
		t.Errorf("%s, converges %v: 8 MiB can be sent within the limit", f.Method, f.Converges)
	}
}

func TestUnknownPathIsWide(t *testing.T) {
	known, unknown := Live(Input{Memory: 1024 * mib, Rate: 110e6}), Live(Input{Memory: 1024 * mib})
	if unknown.Seconds.P95-unknown.Seconds.P05 <= known.Seconds.P95-known.Seconds.P05 {
		t.Errorf("known %+v, unknown %+v", known.Seconds, unknown.Seconds)
	}
	if !strings.Contains(strings.Join(unknown.Why, " "), "Nothing was moved over this path yet") {
		t.Errorf("why: %q", unknown.Why)
	}
	if f := Live(Input{Memory: 1024 * mib, Dirty: -1, Rate: 110e6}); !strings.Contains(strings.Join(f.Why, " "), "not measured") {
		t.Errorf("why: %q", f.Why)
	}
}

func TestCapAndDisks(t *testing.T) {
	free := Live(Input{Memory: 512 * mib, Rate: 400 * mib})
	capped := Live(Input{Memory: 512 * mib, Rate: 400 * mib, Policy: domain.MigrationPolicy{BandwidthBytes: 50 * mib}})
	if capped.Seconds.P50 < free.Seconds.P50*4 {
		t.Errorf("free %.1f s, capped %.1f s", free.Seconds.P50, capped.Seconds.P50)
	}
	disks := Live(Input{Memory: 512 * mib, Rate: 400 * mib, DiskCopy: 4096 * mib})
	if disks.Seconds.P50 < free.Seconds.P50+9 {
		t.Errorf("with 4 GiB of disks %.1f s, without %.1f s", disks.Seconds.P50, free.Seconds.P50)
	}
}

func TestPastMigrationsSetTheInterval(t *testing.T) {
	in := Input{Memory: 1024 * mib, Rate: 100 * mib}
	raw := Live(in)
	in.Ratios = map[string][]float64{"pre-copy": {1.4, 1.5, 1.5, 1.5, 1.6, 1.5, 1.45, 1.55, 1.5, 1.5}, "auto-converge": {9, 9, 9, 9, 9, 9, 9, 9, 9}}
	f := Live(in)
	if math.Abs(f.Seconds.P50/raw.Seconds.P50-1.5) > 0.02 || !f.Seconds.Holds(raw.Seconds.P50*1.55) || f.Seconds.Holds(raw.Seconds.P50) {
		t.Errorf("raw %+v, calibrated %+v", raw.Seconds, f.Seconds)
	}
	in.Ratios["pre-copy"] = in.Ratios["pre-copy"][:3]
	if few := Live(in); few.Seconds.P50 <= raw.Seconds.P50*1.1 || few.Seconds.P50 >= f.Seconds.P50 || few.Seconds.P95-few.Seconds.P05 <= f.Seconds.P95-f.Seconds.P05 {
		t.Errorf("three results shift the middle some way, and leave it open: %+v", few.Seconds)
	}
}

func TestCold(t *testing.T) {
	f := Cold(1024*mib, Input{Rate: 100 * mib})
	if f.Method != "cold" || f.Converges != 1 || f.Seconds.P50 < 10 || f.DowntimeMS.P95 != 0 {
		t.Errorf("%+v", f)
	}
	if f := Cold(0, Input{Rate: 100 * mib}); f.Seconds.P50 > 2 {
		t.Errorf("nothing to copy takes %.1f s", f.Seconds.P50)
	}
}

func TestPolicyThatContradictsItself(t *testing.T) {
	for _, p := range []domain.MigrationPolicy{
		{DowntimeMS: []int{300, 100}}, {DowntimeMS: []int{0}}, {BandwidthBytes: 5}, {PauseAfterSeconds: -1}, {PostCopy: true, PauseAfterSeconds: 5}, {PostCopy: true, Compress: true}, {ParallelConnection: 65},
	} {
		if !domain.Is(p.Validate(), domain.Invalid) {
			t.Errorf("%+v was taken", p)
		}
	}
	if err := (domain.MigrationPolicy{}).Validate(); err != nil {
		t.Error(err)
	}
}
