package meter_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"novacron/db/series"
	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/meter"
	"novacron/jobs/reconcile"
)

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}

type world struct {
	*fleettest.World
	*clock
	store *series.Store
	meter *meter.Collector
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: fleettest.Bare(t, reconcile.Options{}), clock: &clock{t: time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)}}
	w.Run(t)
	var err error
	if w.store, err = series.Open(t.TempDir(), slog.New(slog.DiscardHandler), series.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	w.meter = meter.New(w.DB, w.store, w.Pool, slog.New(slog.NewTextHandler(t.Output(), nil)), w.now, meter.Options{})
	return w
}

func (w *world) scrape(t *testing.T, hosts ...domain.Host) {
	t.Helper()
	w.add(10 * time.Second)
	for _, h := range hosts {
		if err := w.meter.Scrape(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) ask(t *testing.T, expr string) string {
	t.Helper()
	res, err := w.store.Query(t.Context(), series.View{All: true}, expr, w.now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(res.Value)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCountersBecomeSeries(t *testing.T) {
	w := newWorld(t)
	f, h := w.Host(t, "a", hvtest.FakeOptions{})
	vm := w.Make(t, fleettest.Spec("web"), true)
	const cpu = "novacron_vm_cpu_seconds_total"
	for i := range 7 {
		f.Count(domain.Reading{Metric: cpu, UUID: vm.UUID, Value: float64(5 * i)})
		f.Count(domain.Reading{Metric: "novacron_vm_disk_read_bytes_total", UUID: vm.UUID, Part: "vda", Value: float64(1000 * i)})
		w.scrape(t, h)
	}
	if got := w.ask(t, `round(rate(`+cpu+`{vm="web"}[1m]), 0.1)`); !strings.Contains(got, `"host":"a"`) || !strings.Contains(got, `"vm_id":"`+vm.ID+`"`) || !strings.Contains(got, `"0.5"`) {
		t.Errorf("rate: %s", got)
	}
	if got := w.ask(t, `round(rate(novacron_vm_disk_read_bytes_total{disk="vda"}[1m]))`); !strings.Contains(got, `"100"`) {
		t.Errorf("rate of a disk: %s", got)
	}
	if got := w.ask(t, `novacron_host_up{host="a"} * on(host) novacron_host_cpus`); got == "[]" || strings.Contains(got, `"0"`) {
		t.Errorf("the host: %s", got)
	}
	if got := w.ask(t, `novacron_host_pool_capacity_bytes`); !strings.Contains(got, `"pool":"default"`) {
		t.Errorf("pools: %s", got)
	}

	// What is not told any more ends too, and the pools, which are looked at seldom, do not.
	job, err := w.Fleet.ActVM(t.Context(), fleettest.Actor, vm.ID, domain.ActStop, fleet.ActOptions{})
	w.Succeed(t, job, err)
	w.scrape(t, h)
	if got := w.ask(t, "novacron_vm_vcpus"); got != "[]" {
		t.Errorf("processors of a stopped VM: %s", got)
	}
	if got := w.ask(t, "novacron_vm_up"); !strings.Contains(got, `"0"]`) {
		t.Errorf("a stopped VM: %s", got)
	}
	// Another name is another series, and the one before ends at once.
	job, err = w.Fleet.RenameVM(t.Context(), fleettest.Actor, vm.ID, "shop", "")
	w.Succeed(t, job, err)
	w.scrape(t, h)
	if got := w.ask(t, "novacron_vm_up"); !strings.Contains(got, `"vm":"shop"`) || strings.Contains(got, `"vm":"web"`) {
		t.Errorf("after it was renamed: %s", got)
	}
	if got := w.ask(t, `novacron_host_pool_capacity_bytes`); got == "[]" {
		t.Error("the pools have ended")
	}
}

// A host that does not answer is told as down, and its VMs are not told at all.
func TestAHostThatIsAwayIsASample(t *testing.T) {
	w := newWorld(t)
	f, h := w.Host(t, "a", hvtest.FakeOptions{})
	w.Make(t, fleettest.Spec("web"), true)
	w.scrape(t, h)
	f.Fail("Readings", domain.Errorf(domain.Unavailable, "The host does not answer."), 1)
	w.scrape(t, h)
	if got := w.ask(t, `novacron_host_up == 0 and on(host) novacron_host_scrapes_missed_total == 1`); got == "[]" {
		t.Errorf("%s, %s", w.ask(t, "novacron_host_up"), w.ask(t, "novacron_host_scrapes_missed_total"))
	}
	if got := w.ask(t, "novacron_vm_up"); got != "[]" {
		t.Errorf("VMs of a host that is away: %s", got)
	}
}

func TestRunScrapesEveryHost(t *testing.T) {
	w := newWorld(t)
	w.Host(t, "a", hvtest.FakeOptions{})
	w.Host(t, "b", hvtest.FakeOptions{})
	c := meter.New(w.DB, w.store, w.Pool, slog.New(slog.NewTextHandler(t.Output(), nil)), time.Now, meter.Options{Interval: 20 * time.Millisecond, Tick: 5 * time.Millisecond})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(wg.Wait)
	w.Until(t, "three samples of each host", func() bool {
		res, err := w.store.Query(t.Context(), series.View{All: true}, `count(count_over_time(novacron_host_up[5m]) >= 3)`, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(res.Value)
		return err == nil && strings.Contains(string(b), `"2"]`)
	})
}

// The server tells of itself: the end of its certificate, the age of its backup, what it sends on, and what is stuck.
func TestTheServersOwnFigures(t *testing.T) {
	w := newWorld(t)
	w.Host(t, "a", hvtest.FakeOptions{})
	ends, made := time.Unix(1_900_000_000, 0), time.Unix(1_700_000_000, 0)
	told := func(at time.Time) func() (time.Time, bool) { return func() (time.Time, bool) { return at, true } }
	c := meter.New(w.DB, w.store, w.Pool, slog.New(slog.NewTextHandler(t.Output(), nil)), time.Now, meter.Options{Interval: 20 * time.Millisecond, Tick: 5 * time.Millisecond,
		Expiry: told(ends), Backup: told(made), Remote: func() map[string]float64 { return map[string]float64{"novacron_remote_write_waiting_samples": 7} }})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(wg.Wait)
	for expr, want := range map[string]string{"novacron_certificate_expiry_timestamp_seconds": `"1900000000"`, "novacron_backup_timestamp_seconds": `"1700000000"`,
		"novacron_remote_write_waiting_samples": `"7"`, "novacron_series > bool 0": `"1"`, "novacron_samples_refused_total": `"0"`} {
		w.Until(t, expr, func() bool {
			res, err := w.store.Query(t.Context(), series.View{All: true}, expr, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(res.Value)
			return err == nil && strings.Contains(string(b), want)
		})
	}
}

// What a guest's agent tells becomes series, and a file system that it does not tell any more has ended.
func TestGuestsTell(t *testing.T) {
	w := newWorld(t)
	w.Host(t, "a", hvtest.FakeOptions{})
	vm := w.Make(t, fleettest.Spec("web"), true)
	g := meter.NewGuests(w.DB, w.store, w.now)
	facts := domain.GuestFacts{Load: []float64{0.5, 0.25, 0.125}, Clock: w.now(), Skew: -90 * time.Second,
		FileSystems: []domain.GuestFileSystem{{Mount: "/", TotalBytes: 1000, UsedBytes: 400}, {Mount: "/data", TotalBytes: 10, UsedBytes: 9}, {Mount: "/data", TotalBytes: 10, UsedBytes: 9}, {Mount: "/dev"}}}
	tell := func() {
		t.Helper()
		w.add(time.Minute)
		if err := g.Tell(t.Context(), vm, facts); err != nil {
			t.Fatal(err)
		}
	}
	tell()
	if got := w.ask(t, `novacron_vm_filesystem_used_bytes{mountpoint="/data"} / novacron_vm_filesystem_size_bytes`); !strings.Contains(got, `"0.9"`) || !strings.Contains(got, `"vm_id":"`+vm.ID+`"`) || !strings.Contains(got, `"host":"a"`) {
		t.Error(got)
	}
	if got := w.ask(t, `novacron_vm_load{minutes="15"} * 8 + on(vm_id) novacron_vm_clock_skew_seconds`); !strings.Contains(got, `"-89"`) {
		t.Error(got)
	}
	facts.FileSystems = facts.FileSystems[:1]
	tell()
	if got := w.ask(t, `count(novacron_vm_filesystem_size_bytes)`); !strings.Contains(got, `"1"]`) {
		t.Error(got)
	}
}

// A host has a pace of its own, and what came too late for it is counted.
func TestAHostsOwnPace(t *testing.T) {
	w := newWorld(t)
	_, h := w.Host(t, "a", hvtest.FakeOptions{})
	w.Host(t, "b", hvtest.FakeOptions{})
	second := time.Second
	if _, err := w.Fleet.EditHost(t.Context(), fleettest.Actor, h.ID, 0, fleet.HostEdit{Scrape: &second}); err != nil {
		t.Fatal(err)
	}
	long := 3 * time.Minute
	if _, err := w.Fleet.EditHost(t.Context(), fleettest.Actor, h.ID, 0, fleet.HostEdit{Scrape: &long}); !domain.Is(err, domain.Invalid) {
		t.Errorf("%v", err)
	}
	c := meter.New(w.DB, w.store, w.Pool, slog.New(slog.NewTextHandler(t.Output(), nil)), time.Now, meter.Options{Interval: time.Minute, Tick: 5 * time.Millisecond})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(wg.Wait)
	w.Until(t, "three samples of the host that is measured each second", func() bool {
		res, err := w.store.Query(t.Context(), series.View{All: true}, `count_over_time(novacron_host_up{host="a"}[5m]) >= 3 and on(host) novacron_host_scrapes_late_total >= 0`, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(res.Value)
		return err == nil && strings.Contains(string(b), `"host":"a"`)
	})
}
