package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
	"novacron/hv/hvtest"
	"novacron/hv/pool"
	"novacron/jobs"
	"novacron/jobs/alerts"
	"novacron/jobs/fleet"
	"novacron/jobs/images"
	"novacron/jobs/reconcile"
	"novacron/jobs/webhooks"
)

// world is a whole server below the API, on a fake host instead of libvirt.
type world struct {
	t       testing.TB
	url     string
	db      *db.DB
	engine  *jobs.Engine
	auth    *auth.Auth
	fake    *hvtest.Fake
	pool    *pool.Pool
	admin   string // bearer tokens
	viewer  string
	ops     []Operation
	closing chan struct{}
	series  *series.Store
	desk    *alerts.Desk
	judge   *alerts.Judge
	later   atomic.Int64 // how far the clock of package auth is ahead
	limit   atomic.Int64 // requests a minute
}

// rate sets how many requests a minute a token may send.
func (w *world) rate(n int) { w.limit.Store(int64(n)) }

// until reads a level again until it is reached.
func (w *world) until(reached func() bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !reached(); <-tick.C {
		if time.Now().After(end) {
			w.t.Fatal("it does not come")
		}
	}
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d, err := db.Open(ctx, filepath.Join(t.TempDir(), "novacron.db"), log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: d, fake: hvtest.NewFake(hvtest.FakeOptions{Name: "fake"}), closing: make(chan struct{})}
	w.auth = auth.New(d, log, func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }, auth.Options{CheapHashing: true})
	w.limit.Store(100_000)
	rec := reconcile.New(d, log, time.Now, reconcile.Options{})
	w.pool = pool.New(w.fake, log, time.Now, rec.Hooks())
	w.engine = jobs.NewEngine(d, log, time.Now, jobs.Options{})
	front := fleet.New(d, w.engine, time.Now)
	shelf, err := images.Open(t.TempDir(), images.Options{FetchLocal: true})
	if err != nil {
		t.Fatal(err)
	}
	front.UseLibrary(shelf)
	front.Register(w.pool, w.fake, rec)
	for role, to := range map[string]*string{access.Admin: &w.admin, access.Viewer: &w.viewer} {
		if *to, _, err = w.auth.CreateToken(ctx, role, "test", role, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if w.series, err = series.Open(t.TempDir(), log, series.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.series.Close() })
	e := echo.New()
	w.desk = alerts.NewDesk(d, w.series, time.Now, alerts.NewSender(d, log, time.Now, nil, "", true), true)
	hooks := webhooks.New(d, log, time.Now, "", true)
	w.judge = alerts.New(d, w.series, log, time.Now, alerts.Options{})
	w.ops = Register(e, Deps{Webhooks: hooks, Alerts: w.desk, DB: d, Engine: w.engine, Fleet: front, Auth: w.auth, Log: log, Clock: time.Now, Closing: w.closing, Series: w.series, Rate: func() int { return int(w.limit.Load()) }})
	srv := httptest.NewServer(e)
	w.url = srv.URL

	ended := make(chan error, 4)
	go func() { ended <- hooks.Run(ctx) }()
	go func() { ended <- w.pool.Run(ctx) }()
	go func() { ended <- rec.Run(ctx, w.pool) }()
	go func() { ended <- w.engine.Run(ctx) }()
	begun := time.NewTicker(time.Millisecond) // until it has looked for hosts: those that a test puts into the database are not its own
	defer begun.Stop()
	for _, err := rec.Hosts(w.pool).Host("none"); !domain.Is(err, domain.NotFound); _, err = rec.Hosts(w.pool).Host("none") {
		<-begun.C
	}
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil && ctx.Err() == nil {
				t.Errorf("something ended: %v", err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// answer is what came back.
type answer struct {
	*http.Response
	body []byte
}

// opt alters a request.
type opt func(*http.Request)

func header(k, v string) opt { return func(r *http.Request) { r.Header.Set(k, v) } }
func token(v string) opt     { return header("Authorization", "Bearer "+v) }

// do sends a request as the administrator, unless an opt says otherwise. in is JSON when it is a string.
func (w *world) do(method, path string, in any, opts ...opt) answer {
	w.t.Helper()
	var body io.Reader
	switch v := in.(type) {
	case nil:
	case string:
		body = strings.NewReader(v)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			w.t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, w.url+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	token(w.admin)(req)
	for _, o := range opts {
		o(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res, b}
}

// want decodes a success and fails on anything else.
func want[T any](t testing.TB, a answer, status int) T {
	t.Helper()
	var v T
	if a.StatusCode != status {
		t.Fatalf("%s %s: %d instead of %d: %s", a.Request.Method, a.Request.URL, a.StatusCode, status, a.body)
	}
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s %s: %v in %s", a.Request.Method, a.Request.URL, err, a.body)
	}
	return v
}

// refused checks that an answer is a complete problem of that status; field "" means that no field need be named.
func refused(t testing.TB, a answer, status int, field string) Problem {
	t.Helper()
	if a.Request.Method == http.MethodHead { // its answers have no body
		if a.StatusCode != status {
			t.Errorf("HEAD %s: %d instead of %d", a.Request.URL, a.StatusCode, status)
		}
		return Problem{Fix: "none can be said"}
	}
	p := want[Problem](t, a, status)
	if ct := a.Header.Get("Content-Type"); ct != ProblemContentType {
		t.Errorf("%s %s: the problem is %s", a.Request.Method, a.Request.URL, ct)
	}
	if p.Status != status || p.Title == "" || p.Detail == "" || p.Type == "" || p.Code == "" {
		t.Errorf("%s %s: an incomplete problem: %s", a.Request.Method, a.Request.URL, a.body)
	}
	if field == "" {
		return p
	}
	for _, f := range p.Errors {
		if f.Field == field && f.Message != "" {
			return p
		}
	}
	t.Errorf("%s %s: the problem does not name %s: %s", a.Request.Method, a.Request.URL, field, a.body)
	return p
}

// change sends a change, waits for its job and wants it to succeed.
func (w *world) change(method, path string, in any, opts ...opt) Job {
	w.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	a := w.do(method, path+sep+"wait=20s", in, opts...)
	j := want[Job](w.t, a, http.StatusAccepted)
	if loc := a.Header.Get("Location"); loc != "/api/v1/jobs/"+j.ID {
		w.t.Errorf("%s %s: Location %q of job %s", method, path, loc, j.ID)
	}
	if j.State != domain.JobSucceeded {
		w.t.Fatalf("%s %s: the job is %s: %s", method, path, j.State, a.body)
	}
	if j.Error != nil || j.Progress != 100 || j.Title == "" || j.Kind == "" || len(j.Steps) == 0 || j.EndedAt == nil {
		w.t.Errorf("%s %s: a job that succeeded reads %s", method, path, a.body)
	}
	return j
}

func (w *world) addHost(name string) string {
	w.t.Helper()
	return w.change("POST", "/api/v1/hosts", map[string]any{"name": name, "uri": "qemu+tcp://" + name + ".example/system"}).Resource.ID
}

func (w *world) createVM(name string) string {
	w.t.Helper()
	return w.change("POST", "/api/v1/vms", map[string]any{
		"name": name, "vcpus": 1, "memory_bytes": 256 << 20, "disks": []any{map[string]any{"pool": "default", "size_bytes": 1 << 30}}, "nics": []any{map[string]any{"network": "default"}},
	}).Resource.ID
}

// mirrored puts a host with n guests into the database as the reconciler would.
func (w *world) mirrored(n int) (hostID string) {
	w.t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	name := fmt.Sprintf("b%d", len(w.hosts())+1)
	h := domain.Host{ID: domain.NewID("host", now), Name: name, URI: "qemu+tcp://" + name + ".example/system", State: domain.HostConnected, CreatedAt: now, Labels: map[string]string{"site": "ams"}}
	err := w.db.Write(context.Background(), func(tx *db.Tx) error {
		if err := tx.InsertHost(h, domain.HostCredentials{}); err != nil {
			return err
		}
		if _, err := tx.SetHostState(h.ID, domain.HostConnected, "", "", now); err != nil {
			return err
		}
		for i := range n {
			g := domain.Guest{UUID: domain.NewUUID(), Name: fmt.Sprintf("%s-g%04d", h.Name, i), State: domain.VMRunning, Persistent: true, XML: "<domain/>", Config: domain.VMSpec{
				Name: fmt.Sprintf("%s-g%04d", h.Name, i), VCPUs: 1 + i%8, MemoryBytes: int64(1+i%5) * domain.GiB, Arch: "x86_64", Machine: "pc-q35-7.2", Firmware: "bios", Accel: "kvm",
				Disks: []domain.Disk{{Target: "vda", Device: "disk", Bus: "virtio", Source: fmt.Sprintf("/var/lib/libvirt/images/g%04d.qcow2", i), Format: "qcow2"}},
				NICs:  []domain.NIC{{Network: "default", Model: "virtio", MAC: domain.NewMAC()}}, Graphics: "vnc",
			}}
			g.Live = &g.Config
			if _, _, _, err := tx.UpsertGuest(h.ID, g, now); err != nil {
				return err
			}
		}
		return tx.Emit(domain.Event{Kind: "host.changed", Resource: domain.Ref{Kind: "host", ID: h.ID, Name: h.Name}, HostID: h.ID, Actor: "test"})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return h.ID
}

func (w *world) hosts() []Host {
	w.t.Helper()
	return want[Page[Host]](w.t, w.do("GET", "/api/v1/hosts?limit=500", nil), 200).Items
}
