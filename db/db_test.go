package db

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"novacron/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tick is a clock that moves by a second with every look.
type tick struct {
	mu sync.Mutex
	t  time.Time
}

func (c *tick) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(time.Second)
	return c.t
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t testing.TB) *DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "data", "novacron.db"))
}

func openAt(t testing.TB, path string) *DB {
	t.Helper()
	c := &tick{t: start}
	opts := []Option{Unsynced()}
	if _, ok := t.(*testing.B); ok {
		opts = nil // measured as in production
	}
	d, err := Open(t.Context(), path, slog.New(slog.DiscardHandler), c.now, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func write(t testing.TB, d *DB, fn func(tx *Tx) error) {
	t.Helper()
	if err := d.Write(t.Context(), fn); err != nil {
		t.Fatalf("write: %v (%v)", err, detail(err))
	}
}

func detail(err error) string {
	if e, ok := err.(*domain.Error); ok {
		return e.Detail()
	}
	return ""
}

func wantCode(t testing.TB, err error, code domain.Code, parts ...string) *domain.Error {
	t.Helper()
	if domain.CodeOf(err) != code {
		t.Fatalf("got %v, want code %s", err, code)
	}
	e := err.(*domain.Error)
	for _, p := range parts {
		if !strings.Contains(e.Msg+" "+e.Fix, p) {
			t.Errorf("error %q (fix %q) does not say %q", e.Msg, e.Fix, p)
		}
	}
	return e
}

func addHost(t testing.TB, d *DB, name string) domain.Host {
	t.Helper()
	h := domain.Host{ID: "host_" + name, Name: name, URI: "test+tcp://" + name + "/default", State: domain.HostConnected, Labels: map[string]string{"site": "ams"}}
	write(t, d, func(tx *Tx) error { return tx.InsertHost(h, domain.HostCredentials{SSHKey: "key of " + name}) })
	h, err := d.Host(t.Context(), h.ID)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func guest(name string, n int) domain.Guest {
	spec := domain.VMSpec{Name: name, UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), VCPUs: 1 + n%4, MemoryBytes: int64(1+n%8) * domain.GiB,
		Disks: []domain.Disk{{Target: "vda", Bus: "virtio", Source: "/pool/" + name}}, NICs: []domain.NIC{{Network: "default", Model: "virtio", MAC: fmt.Sprintf("52:54:00:00:%02x:%02x", n/256, n%256)}}}
	return domain.Guest{UUID: spec.UUID, Name: name, State: domain.VMStopped, Persistent: true, Config: spec, XML: "<domain><name>" + name + "</name></domain>"}
}

func upsert(t testing.TB, d *DB, host string, g domain.Guest) (vm domain.VM, created, changed bool) {
	t.Helper()
	write(t, d, func(tx *Tx) error {
		var err error
		vm, created, changed, err = tx.UpsertGuest(host, g, start)
		return err
	})
	return vm, created, changed
}

func TestOpenIsPrivateAndRepeatable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new dir #1?", "novacron.db")
	d := openAt(t, path)
	write(t, d, func(tx *Tx) error { return tx.SetSetting("a", "1") })
	for p, want := range map[string]os.FileMode{path: 0o600, path + "-wal": 0o600, filepath.Dir(path): 0o700} {
		st, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", p, st.Mode().Perm(), want)
		}
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openAt(t, path)
	if v, ok, err := d.Setting(t.Context(), "a"); v != "1" || !ok || err != nil {
		t.Errorf("after reopening: %q %v %v", v, ok, err)
	}
	if _, ok, err := d.Setting(t.Context(), "b"); ok || err != nil {
		t.Errorf("a setting never made: %v %v", ok, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if _, err := Open(t.Context(), "/proc/none/x.db", log, time.Now); err == nil {
		t.Error("opened below /proc")
	}
	path := filepath.Join(t.TempDir(), "garbage.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no database ", 400)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, log, time.Now); err == nil {
		t.Error("opened garbage")
	}
	path = filepath.Join(t.TempDir(), "newer.db")
	d := openAt(t, path)
	write(t, d, func(tx *Tx) error {
		_, err := tx.exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		return err
	})
	d.Close()
	_, err := Open(t.Context(), path, log, time.Now)
	wantCode(t, err, domain.Unsupported, "newer", "9999")
}

// TestSchema holds the schema to a dump, so that a migration shows in review as what it does. UPDATE_GOLDEN=1 writes it anew.
func TestSchema(t *testing.T) {
	d := open(t)
	var stmts []string
	if err := d.read.db.Select(&stmts, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%' ORDER BY type DESC, name"); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(stmts, ";\n\n") + ";\n"
	const golden = "testdata/schema.golden.sql"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the schema differs from %s; if the migration means it, run with UPDATE_GOLDEN=1\n%s", golden, got)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	d := open(t)
	if _, err := d.read.db.Exec("DELETE FROM hosts"); err == nil {
		t.Error("the reader pool wrote")
	}
}

func TestWriteRollsBack(t *testing.T) {
	d := open(t)
	boom := domain.Errorf(domain.Conflict, "boom")
	if err := d.Write(t.Context(), func(tx *Tx) error {
		if err := tx.SetSetting("x", "1"); err != nil {
			return err
		}
		if err := tx.Emit(domain.Event{Kind: "x"}); err != nil {
			return err
		}
		return boom
	}); err != boom {
		t.Fatalf("got %v", err)
	}
	func() {
		defer func() { recover() }()
		d.Write(t.Context(), func(tx *Tx) error { tx.SetSetting("x", "2"); panic("p") })
	}()
	if _, ok, _ := d.Setting(t.Context(), "x"); ok {
		t.Error("a failed write left a row")
	}
	if d.Feed().Last() != 0 {
		t.Error("a failed write reached the feed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Write(ctx, func(*Tx) error { return nil }); err != context.Canceled {
		t.Errorf("a cancelled write gave %v", err)
	}
}

// TestWritersDoNotLose is the trap of SQLite: read, then write, from many goroutines and a second process (here a second DB on the same file).
func TestWritersDoNotLose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	dbs := []*DB{openAt(t, path), openAt(t, path)}
	write(t, dbs[0], func(tx *Tx) error { return tx.SetSetting("n", "0") })
	var wg sync.WaitGroup
	const workers, each = 8, 25
	for i := range workers {
		d := dbs[i%2]
		wg.Go(func() {
			for range each {
				err := d.Write(t.Context(), func(tx *Tx) error {
					v, _, err := tx.Setting("n")
					if err != nil {
						return err
					}
					var n int
					fmt.Sscan(v, &n)
					if err := tx.SetSetting("n", fmt.Sprint(n+1)); err != nil {
						return err
					}
					return tx.Emit(domain.Event{Kind: "count", Message: fmt.Sprint(n + 1)})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if v, _, _ := dbs[0].Setting(t.Context(), "n"); v != fmt.Sprint(workers*each) {
		t.Errorf("counted %s, want %d", v, workers*each)
	}
	// Each feed has everything up to its own last event, in order, without a hole: the other process's are fetched.
	for i, d := range dbs {
		evs, gap := d.Feed().Since(0, 0)
		if gap {
			t.Fatal("gap")
		}
		for j, ev := range evs {
			if ev.Seq != int64(j+1) {
				t.Fatalf("feed %d: event %d has seq %d", i, j, ev.Seq)
			}
		}
	}
}

func TestPrune(t *testing.T) {
	d := open(t)
	old := domain.Job{ID: "job_1", Kind: "k", State: domain.JobSucceeded, EndedAt: start.Add(-time.Hour)}
	child := domain.Job{ID: "job_2", Kind: "k", State: domain.JobSucceeded, ParentID: "job_1", EndedAt: start.Add(-time.Hour)}
	stuck := domain.Job{ID: "job_3", Kind: "k", State: domain.JobStuck, EndedAt: start.Add(-time.Hour)}
	write(t, d, func(tx *Tx) error {
		for _, j := range []domain.Job{old, child, stuck} {
			if err := tx.InsertJob(j, ""); err != nil {
				return err
			}
			if err := tx.AppendJobLog(j.ID, domain.JobLine{At: start, Text: "x"}); err != nil {
				return err
			}
		}
		for range 5 {
			if err := tx.Emit(domain.Event{Kind: "e"}); err != nil {
				return err
			}
		}
		return nil
	})
	evs, jobs, err := d.Prune(t.Context(), start.Add(24*time.Hour), start)
	if err != nil || evs != 4 || jobs != 1 {
		t.Errorf("pruned %d events and %d jobs, %v", evs, jobs, err)
	}
	if _, err := d.Job(t.Context(), "job_2"); !domain.Is(err, domain.NotFound) {
		t.Errorf("the child is there: %v", err)
	}
	if lines, _ := d.JobLog(t.Context(), "job_2"); len(lines) != 0 {
		t.Error("the child's log is there")
	}
	write(t, d, func(tx *Tx) error { return tx.Emit(domain.Event{Kind: "e"}) })
	if d.Feed().Last() != 6 {
		t.Errorf("numbering went on at %d", d.Feed().Last())
	}
}
