package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/e2e/lab"
	"novacron/e2e/server"
)

// mixed are guests of different size that write to their memory at different rates, over a wire of wireRate bytes a second: some that copying overtakes at once, some that take rounds, some
// that write faster than the wire. Of fewer migrations, the first few are taken.
var mixed = []struct{ memory, hold, dirty int64 }{{256, 128, 2}, {128, 16, 0}, {256, 64, 60}, {384, 256, 4}, {320, 160, 16}, {320, 128, 90}, {192, 64, 10}}

const wireRate = 40 << 20

// Forecasts against what came of them: guests of mixed size and dirty rate move to and fro, one at a time and in mixed order, each after its forecast. From the first one on, when
// nothing is known of the path.
func BenchmarkForecast(b *testing.B) {
	all := many(b, "NOVACRON_BENCH_MIGRATIONS", 60)
	mixed := mixed[:min(len(mixed), max(3, all/4))]
	p := newPair(b, lab.Options{})
	type guest struct {
		id, name string
		at       int
	}
	var guests []*guest
	for i, m := range mixed {
		g := &guest{name: fmt.Sprintf("mixed%d", i)}
		g.id = p.guest(g.name, 0, m.memory<<20, fmt.Sprintf("labhold=%d labdirty=%d labip=192.168.122.%d/24 labbeat=192.168.122.1", m.hold, m.dirty, 50+i))
		beats, err := p.lab.Hear(fmt.Sprintf("192.168.122.%d", 50+i))
		if err != nil {
			b.Fatal(err)
		}
		server.Wait(b, 10*time.Minute, "the guest to be up", func() error {
			if n := beats.Heard(time.Now().Add(-time.Second), time.Now()); n < 20 {
				return server.Not("at least 20 beats in a second", n)
			}
			return nil
		})
		beats.Close()
		p.holds(g.name, 0, m.hold+m.dirty)
		p.virsh(0, "suspend", g.name)
		guests = append(guests, g)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.lab.Shape(ctx, wireRate); err != nil {
		b.Fatal(err)
	}
	seed := rand.New(rand.NewPCG(5, 5))
	var order []int
	for len(order) < all {
		order = append(order, seed.Perm(len(mixed))...)
	}
	for b.Loop() {
		var errors, late []float64
		held, foreseen, fell, called, kept := 0, 0, 0, 0, 0
		for n, i := range order[:all] {
			g := guests[i]
			p.virsh(g.at, "resume", g.name)
			p.at(g.id, g.at)
			<-time.After(2 * time.Second) // it writes again as it did
			to := 1 - g.at
			p.foresee(g.id, to, map[string]any{"mode": "live"})
			p.change("/api/v1/vms/"+g.id+"/migrate", map[string]any{"host": p.ids[to], "mode": "live"})
			g.at = to
			p.virsh(g.at, "suspend", g.name)
			m := p.last(g.id)
			if m.Forecast == nil || m.Result == nil || m.Result.Seconds <= 0 {
				b.Fatalf("the migration of %s is %+v", g.name, m)
			}
			off := math.Abs(m.Forecast.Seconds.P50-m.Result.Seconds) / m.Result.Seconds
			errors = append(errors, off)
			if n >= all/3 {
				late = append(late, off)
			}
			if m.Result.Seconds >= m.Forecast.Seconds.P05 && m.Result.Seconds <= m.Forecast.Seconds.P95 {
				held++
			}
			slowed := m.Result.Throttle > 0
			if slowed {
				fell++
				if m.Forecast.Converges < 0.5 {
					foreseen++
				}
			} else {
				kept++
				if m.Forecast.Converges >= 0.5 {
					called++
				}
			}
			dirty := int64(-1)
			if m.DirtyRate != nil {
				dirty = *m.DirtyRate >> 20
			}
			// By itself, since of what a benchmark logs only ten lines are shown.
			fmt.Printf("%2d %s (%d MiB, %d held, %d MiB/s; measured %d): %s %.1f s (%.1f to %.1f, model %.1f), converges %.2f; was %.1f s, %d MiB, pause %.0f ms, slowed %d %%\n", n, g.name, mixed[i].memory, mixed[i].hold, mixed[i].dirty,
				dirty, m.Forecast.Method, m.Forecast.Seconds.P50, m.Forecast.Seconds.P05, m.Forecast.Seconds.P95, m.Forecast.Model, m.Forecast.Converges, m.Result.Seconds, m.Result.Bytes>>20, m.Result.DowntimeMS, m.Result.Throttle)
		}
		b.ReportMetric(100*median(errors), "median-error-%")
		b.ReportMetric(100*median(late), "median-error-later-%")
		b.ReportMetric(100*float64(held)/float64(all), "interval-covers-%")
		b.ReportMetric(100*share(foreseen, fell), "not-converging-foreseen-%")
		b.ReportMetric(100*share(called, kept), "converging-foreseen-%")
		b.Logf("%d migrations over %d MiB/s: median absolute error %.0f %% (%.0f %% in the last two thirds), the interval held %d; of %d that had to be slowed %d were foreseen, of %d that kept up %d", all, wireRate>>20,
			100*median(errors), 100*median(late), held, fell, foreseen, kept, called)
	}
}

func share(n, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(n) / float64(of)
}

func median(f []float64) float64 {
	s := slices.Clone(f)
	slices.Sort(s)
	return s[len(s)/2]
}

// holds waits until a guest's process has so many MiB of memory at least.
func (p *pair) holds(name string, host int, mib int64) {
	p.Helper()
	server.Wait(p, 10*time.Minute, name+" to hold its memory", func() error {
		var kib int64
		for _, line := range strings.Split(p.virsh(host, "domstats", "--balloon", name), "\n") {
			fmt.Sscanf(strings.TrimSpace(line), "balloon.rss=%d", &kib)
		}
		if kib>>10 < mib+60 {
			return server.Not(mib+60, kib>>10)
		}
		return nil
	})
}
