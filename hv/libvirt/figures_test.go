package libvirt

import (
	"testing"
	"time"

	"novacron/hv"
)

// A destination whose clock is ahead counts that into the time and the pause; it tells both without it too.
func TestFiguresOfHostsWhoseClocksDiffer(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		told map[string]int64
		want hv.MigrationProgress
	}{
		"under way":      {map[string]int64{"time_elapsed": 1500}, hv.MigrationProgress{Elapsed: 1500 * ms}},
		"the same clock": {map[string]int64{"time_elapsed": 1500, "time_elapsed_net": 1480, "downtime": 120, "downtime_net": 100}, hv.MigrationProgress{Elapsed: 1500 * ms, Downtime: 120 * ms, Skew: 20 * ms}},
		"ahead":          {map[string]int64{"time_elapsed": 41500, "time_elapsed_net": 1480, "downtime": 40120, "downtime_net": 100}, hv.MigrationProgress{Elapsed: 1480 * ms, Downtime: 100 * ms, Skew: 40020 * ms}},
		"no pause told":  {map[string]int64{"time_elapsed": 41500, "time_elapsed_net": 1480}, hv.MigrationProgress{Elapsed: 1480 * ms, Skew: 40020 * ms}},
	} {
		if got := progressOf(c.told); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
