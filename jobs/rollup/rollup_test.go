package rollup_test

import (
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
	"novacron/jobs/rollup"
)

var began = time.Date(2026, 11, 2, 22, 0, 0, 0, time.UTC)

type rig struct {
	t     *testing.T
	db    *db.DB
	store *series.Store
	now   time.Time
	file  string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	w := &rig{t: t, now: began, file: filepath.Join(t.TempDir(), "novacron.db")}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	if w.db, err = db.Open(t.Context(), w.file, log, w.clock); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	if w.store, err = series.Open(t.TempDir(), log, series.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	w.store.UseLong(w.db)
	return w
}

func (w *rig) clock() time.Time { return w.now }

func (w *rig) keeper(opt rollup.Options) *rollup.Keeper {
	return rollup.New(w.db, w.store, slog.New(slog.NewTextHandler(w.t.Output(), nil)), w.clock, opt)
}

func (w *rig) once(k *rollup.Keeper) {
	w.t.Helper()
	if err := k.Once(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// measure writes hours of a VM with two disks that moves to another host in the middle of each, and of a host.
func (w *rig) measure(hours int) {
	w.t.Helper()
	for i := range hours * 60 {
		at := began.Add(time.Duration(i) * time.Minute)
		host, v := "h1", float64(i)
		if i%60 >= 30 {
			host, v = "h2", float64(i%60-30) // the counters begin anew on the other host
		}
		vm := func(metric string, value float64, more ...string) series.Sample {
			return series.Sample{Labels: series.Of(metric, append([]string{"vm", "web", "vm_id", "vm_1", "host", host, "tenant", "red"}, more...)...), Value: value}
		}
		err := w.store.Append(w.t.Context(), at, []series.Sample{
			vm("novacron_vm_cpu_seconds_total", 30*v), vm("novacron_vm_disk_read_bytes_total", 600*v, "disk", "vda"), vm("novacron_vm_disk_read_bytes_total", 1200*v, "disk", "vdb"),
			vm("novacron_vm_memory_resident_bytes", float64(i%60)),
			{Labels: series.Of("novacron_host_cpu_seconds_total", "host", "h1", "host_id", "host_1", "mode", "user"), Value: 60 * float64(i)},
			{Labels: series.Of("novacron_host_cpu_seconds_total", "host", "h1", "host_id", "host_1", "mode", "idle"), Value: 180 * float64(i)},
			{Labels: series.Of("novacron_host_pool_available_bytes", "host", "h1", "host_id", "host_1", "pool", "a"), Value: 5},
			{Labels: series.Of("novacron_host_pool_available_bytes", "host", "h1", "host_id", "host_1", "pool", "b"), Value: 6},
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *rig) hours(metric string) map[string]domain.RolledSeries {
	w.t.Helper()
	all, err := w.db.Rollups(w.t.Context(), metric, began, began.Add(72*time.Hour), func(map[string]string) bool { return true })
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]domain.RolledSeries{}
	for _, x := range all {
		out[x.Of+x.Part] = x
	}
	return out
}

func TestHoursAreRolledUp(t *testing.T) {
	w := newRig(t)
	k := w.keeper(rollup.Options{})
	w.once(k) // nothing was measured
	w.measure(5)
	w.now = began.Add(time.Hour + time.Minute)
	w.once(k) // the hour is over, but late samples may come
	if got := w.hours("novacron_vm_cpu_seconds_total"); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
	// The server was away: it catches up with every hour that is over, over the end of a day too.
	w.now = began.Add(4*time.Hour + 10*time.Minute)
	w.once(k)
	for range 2 { // again, also by a server that does not remember: nothing changes
		cpu := w.hours("novacron_vm_cpu_seconds_total")["vm_1"]
		if len(cpu.Hours) != 4 || cpu.Labels["vm"] != "web" || cpu.Labels["host"] != "h2" || cpu.Labels["__name__"] != "" {
			t.Fatalf("%+v", cpu)
		}
		for at, h := range cpu.Hours {
			if math.Abs(h.Mean-0.5) > 1e-6 || h.Min != h.Max || h.Count < 57 {
				t.Errorf("%v: %+v", at, h)
			}
		}
		memory := w.hours("novacron_vm_memory_resident_bytes")["vm_1"].Hours[began.Add(2*time.Hour)]
		if want := (domain.RolledHour{Min: 0, Mean: 29.5, Max: 59, P95: 56.05, Count: 60}); memory.Min != want.Min || memory.Max != want.Max || memory.Count != want.Count || math.Abs(memory.Mean-want.Mean) > 1e-4 || math.Abs(memory.P95-want.P95) > 1e-4 {
			t.Errorf("%+v", memory)
		}
		if read := w.hours("novacron_vm_disk_read_bytes_total")["vm_1"]; math.Abs(read.Hours[began].Mean-30) > 1e-4 || read.Labels["disk"] != "" {
			t.Errorf("both disks together: %+v", read)
		}
		if host := w.hours("novacron_host_cpu_seconds_total")["host_1"]; math.Abs(host.Hours[began].Mean-1) > 1e-6 {
			t.Errorf("what is idle counts: %+v", host)
		}
		if pools := w.hours("novacron_host_pool_available_bytes"); pools["host_1a"].Hours[began].Mean != 5 || pools["host_1b"].Hours[began].Mean != 6 {
			t.Errorf("%+v", pools)
		}
		w.once(w.keeper(rollup.Options{}))
	}
	u, err := w.db.RolledUsage(t.Context())
	if err != nil || u.Series != 6 || u.Days != 12 || !u.From.Equal(began.Truncate(24*time.Hour)) || !u.Done.Equal(began.Add(4*time.Hour)) || u.Bytes() == 0 {
		t.Errorf("%+v %v", u, err)
	}
	// Queries read them like samples, narrowed to what one may see.
	ask := func(v series.View, expr string) string {
		res, err := w.store.Query(t.Context(), v, expr, began.Add(3*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Split(strings.TrimSpace(stringOf(res.Value)), "\n"), "; ")
	}
	all := series.View{All: true}
	if got := ask(all, `novacron_vm_memory_resident_bytes:max1h{vm="web"}`); !strings.Contains(got, "59") {
		t.Error(got)
	}
	if got := ask(all, `sum(avg_over_time(novacron_vm_memory_resident_bytes:mean1h[2h])) + on() sum(count_over_time(novacron_vm_memory_resident_bytes[1h]))`); !strings.Contains(got, "89.5") {
		t.Error(got)
	}
	if got := ask(series.View{VMs: []string{"vm_2"}}, `novacron_vm_memory_resident_bytes:max1h or novacron_host_cpu_seconds_total:mean1h`); got != "" {
		t.Errorf("somebody else's: %s", got)
	}
	// What is old goes, and its series with it.
	if err := w.db.PruneRollups(t.Context(), began.Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if u, err := w.db.RolledUsage(t.Context()); err != nil || u.Series != 0 || u.Days != 0 || !u.From.IsZero() {
		t.Errorf("%+v %v", u, err)
	}
}

func stringOf(v any) string {
	if s, ok := v.(interface{ String() string }); ok {
		return s.String()
	}
	return ""
}
