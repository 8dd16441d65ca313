package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/hv/pool"
	"novacron/jobs"
	"novacron/jobs/alerts"
	"novacron/jobs/fleet"
	"novacron/jobs/images"
	"novacron/jobs/reconcile"
	"novacron/jobs/webhooks"
	"novacron/static"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	password = "a decent pass phrase"
	waitMost = 90 * time.Second // for what must come, on a busy machine
)

// world is a whole server with its database, engine and one fake host behind a real pool.
type world struct {
	t       testing.TB
	url     string
	db      *db.DB
	engine  *jobs.Engine
	auth    *auth.Auth
	fake    *hvtest.Fake
	series  *series.Store
	srv     *server
	e       *echo.Echo
	closing chan struct{}
	shut    func() // ends the streams, as a shutdown does
	once    string // the first start's password
	log     *logText
	dir     string // where the database is
	judge   *alerts.Judge
	later   atomic.Int64 // how far the clock of package auth is ahead
}

// logText collects what the server logs, for tests that look at it and for those that fail.
type logText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{t: t, log: &logText{}, dir: t.TempDir(), closing: make(chan struct{}), fake: hvtest.NewFake(hvtest.FakeOptions{Name: "fake"})}
	w.shut = sync.OnceFunc(func() { close(w.closing) })
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	d, err := db.Open(ctx, filepath.Join(w.dir, "novacron.db"), log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }
	w.db, w.auth = d, auth.New(d, log, now, auth.Options{CheapHashing: true, FetchLocal: true})
	if _, w.once, _, err = w.auth.EnsureAdmin(ctx); err != nil {
		t.Fatal(err)
	}
	rec := reconcile.New(d, log, time.Now, reconcile.Options{})
	dialer := second{w.fake, hvtest.NewFake(hvtest.FakeOptions{Name: "other"})}
	hosts := pool.New(dialer, log, time.Now, rec.Hooks())
	w.engine = jobs.NewEngine(d, log, time.Now, jobs.Options{})
	front := fleet.New(d, w.engine, time.Now)
	shelf, err := images.Open(t.TempDir(), images.Options{FetchLocal: true})
	if err != nil {
		t.Fatal(err)
	}
	front.UseLibrary(shelf)
	front.Register(hosts, dialer, rec)
	if w.series, err = series.Open(t.TempDir(), log, series.Options{}); err != nil {
		t.Fatal(err)
	}
	deps := Deps{
		Series: w.series,
		DB:     d, Engine: w.engine, Fleet: front, Auth: w.auth, Console: fleet.NewConsole(d, hosts), Log: log, Clock: time.Now,
		Static: static.Files(), Version: "test", Closing: w.closing,
	}
	deps.Alerts = alerts.NewDesk(d, w.series, time.Now, alerts.NewSender(d, log, time.Now, nil, "", true), true)
	w.judge = alerts.New(d, w.series, log, time.Now, alerts.Options{})
	deps.Webhooks = webhooks.New(d, log, time.Now, "", true)
	if _, err := New(deps); err != nil {
		t.Fatal(err)
	}
	w.srv, w.e = build(deps)
	site := httptest.NewServer(w.e)
	w.url = site.URL
	ended := make(chan error, 3)
	go func() { ended <- hosts.Run(ctx) }()
	go func() { ended <- rec.Run(ctx, hosts) }()
	go func() { ended <- w.engine.Run(ctx) }()
	begun := time.NewTicker(time.Millisecond) // until it has looked for hosts: those that a test puts into the database are not its own
	defer begun.Stop()
	for _, err := rec.Hosts(hosts).Host("none"); !domain.Is(err, domain.NotFound); _, err = rec.Hosts(hosts).Host("none") {
		<-begun.C
	}
	t.Cleanup(func() {
		w.shut()
		site.Close()
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil && ctx.Err() == nil {
				t.Errorf("something ended: %v", err)
			}
		}
		if err := errors.Join(w.series.Close(), d.Close()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
	return w
}

// browser is a client with cookies that does not follow redirects.
type browser struct {
	w    *world
	c    *http.Client
	last string // where it is: sent as referer
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	tr := &http.Transport{}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &browser{w: w, c: &http.Client{Jar: jar, Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// admin is a browser that is signed in as the administrator, with a password of its own.
func (w *world) admin() *browser {
	w.t.Helper()
	ctx := context.Background()
	u, err := w.db.UserByName(ctx, auth.FirstAdmin)
	if err != nil {
		w.t.Fatal(err)
	}
	if u.MustChange {
		if _, err := w.auth.ChangePassword(ctx, u.ID, w.once, password); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.signedIn(auth.FirstAdmin)
}

// viewer is a browser that is signed in as somebody who may only look.
func (w *world) viewer() *browser {
	w.t.Helper()
	return w.person("vera", access.Viewer)
}

// person is the browser of somebody new with this role.
func (w *world) person(name, role string) *browser {
	w.t.Helper()
	ctx := context.Background()
	if err := w.auth.CreateUser(ctx, name, "one-time-password", role, "system"); err != nil {
		w.t.Fatal(err)
	}
	u, err := w.db.UserByName(ctx, name)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.auth.ChangePassword(ctx, u.ID, "one-time-password", password); err != nil {
		w.t.Fatal(err)
	}
	return w.signedIn(name)
}

func (w *world) signedIn(name string) *browser {
	w.t.Helper()
	b := w.browser()
	a := b.post("/login", url.Values{"name": {name}, "password": {password}})
	if a.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("signing in as %s: %d %s", name, a.StatusCode, a.text)
	}
	return b
}

// answer is what came back, read.
type answer struct {
	*http.Response
	text string
}

func (a answer) location() string { return a.Header.Get("Location") }

type opt func(*http.Request)

func header(k, v string) opt { return func(r *http.Request) { r.Header.Set(k, v) } }

// htmx asks as the page's script does.
func htmx(r *http.Request) { r.Header.Set("HX-Request", "true") }

func (b *browser) do(method, path string, form url.Values, opts ...opt) answer {
	b.w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequest(method, b.w.url+path, body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	r.Header.Set("Accept", "text/html")
	if b.last != "" {
		r.Header.Set("Referer", b.w.url+b.last)
	}
	for _, o := range opts {
		o(r)
	}
	res, err := b.c.Do(r)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return answer{res, string(text)}
}

func (b *browser) get(path string, opts ...opt) answer {
	b.w.t.Helper()
	a := b.do(http.MethodGet, path, nil, opts...)
	if len(opts) == 0 && a.StatusCode == http.StatusOK {
		b.last = path
	}
	return a
}

func (b *browser) post(path string, form url.Values, opts ...opt) answer {
	b.w.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	return b.do(http.MethodPost, path, form, opts...)
}

// want checks status and that the answer says all of these.
func (a answer) want(t testing.TB, status int, says ...string) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s %s: %d instead of %d (Location %q)\n%s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.location(), cut(a.text))
	}
	for _, s := range says {
		if !strings.Contains(a.text, s) {
			t.Errorf("%s %s does not say %q\n%s", a.Request.Method, a.Request.URL.Path, s, cut(a.text))
		}
	}
	return a
}

func (a answer) wantMove(t testing.TB, to string) answer {
	t.Helper()
	if a.StatusCode != http.StatusSeeOther || a.location() != to {
		t.Fatalf("%s %s: %d to %q instead of 303 to %q\n%s", a.Request.Method, a.Request.URL.Path, a.StatusCode, a.location(), to, cut(a.text))
	}
	return a
}

func cut(s string) string {
	if i := strings.Index(s, "<main"); i > 0 {
		s = s[i:]
	}
	if len(s) > 3000 {
		s = s[:3000] + "…"
	}
	return s
}

var onceRE = regexp.MustCompile(`name="key" value="([^"]+)"`)

// onceKeyOf is the once-token of the form on a page.
func onceKeyOf(t testing.TB, page string) string {
	t.Helper()
	m := onceRE.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the page has no once-token:\n%s", cut(page))
	}
	return m[1]
}

// level waits until ok holds, looking again after every event of the feed.
func (w *world) level(what string, ok func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitMost)
	defer cancel()
	for {
		seq := w.db.Feed().Last()
		if ok() {
			return
		}
		look, done := context.WithTimeout(ctx, 100*time.Millisecond)
		err := w.db.Feed().Wait(look, seq)
		done()
		if err != nil && ctx.Err() != nil {
			w.t.Fatalf("%s did not come about", what)
		}
	}
}

// job waits for a job to end.
func (w *world) job(id string) domain.Job {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitMost)
	defer cancel()
	j, err := w.engine.Wait(ctx, id)
	if err != nil || !j.State.Ended() {
		w.t.Fatalf("job %s = %+v, %v", id, j, err)
	}
	return j
}

// newest is the newest job of a kind.
func (w *world) newest(kind string) domain.Job {
	w.t.Helper()
	p, err := w.db.Jobs(context.Background(), db.JobQuery{Kind: kind, Limit: 1})
	if err != nil || len(p.Items) == 0 {
		w.t.Fatalf("no job %s: %v", kind, err)
	}
	return p.Items[0]
}

// second is the fake host, and another one at hv-2.
type second struct{ first, other *hvtest.Fake }

func (s second) Dial(ctx context.Context, t hv.Target) (hv.Host, []domain.ConnectionStep, error) {
	if strings.Contains(t.URI, "hv-2.") {
		return s.other.Dial(ctx, t)
	}
	return s.first.Dial(ctx, t)
}

// host adds the fake host through the form and waits until it is connected.
func (w *world) host(b *browser, name string) domain.Host {
	w.t.Helper()
	a := b.post("/hosts", url.Values{"name": {name}, "uri": {"qemu+tcp://" + name + ".example/system"}})
	if a.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("adding a host: %d\n%s", a.StatusCode, cut(a.text))
	}
	var h domain.Host
	w.level("the host's connection", func() bool {
		hs, err := w.db.Hosts(context.Background())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, x := range hs {
			if x.Name == name && x.State == domain.HostConnected {
				h = x
				return true
			}
		}
		return false
	})
	w.level("the host's pools", func() bool {
		ps, err := w.db.Pools(context.Background(), h.ID)
		return err == nil && len(ps) > 0
	})
	return h
}

// createForm is the create form as a person leaves it for a small VM.
func createForm(name string) url.Values {
	return url.Values{
		"name": {name}, "host": {"any"}, "vcpus": {"1"}, "memory_bytes": {"256 MiB"}, "accel": {"auto"}, "source": {"empty"},
		"disks.0.kind": {"new"}, "disks.0.pool": {"default"}, "disks.0.size_bytes": {"1 GiB"}, "disks.0.format": {"qcow2"},
		"nics.0.network": {"default"}, "tags": {"ci"}, "notes": {"a note of mine"}, "tenant": {""},
	}
}

// vm creates a VM through the form.
func (w *world) vm(b *browser, name string) domain.VM {
	w.t.Helper()
	a := b.post("/vms", createForm(name))
	if a.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("creating %s: %d\n%s", name, a.StatusCode, cut(a.text))
	}
	w.job(w.newest("vm.create").ID)
	return w.vmNamed(name)
}

func (w *world) vmNamed(name string) domain.VM {
	w.t.Helper()
	p, err := w.db.VMs(context.Background(), db.VMQuery{Filter: "name:" + name})
	if err != nil || len(p.Items) == 0 {
		w.t.Fatalf("no VM %s: %v", name, err)
	}
	return p.Items[0]
}

// mirrored puts a host with n running guests into the database as the reconciler would.
func (w *world) mirrored(name string, n int) (hostID string) {
	w.t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := domain.Host{ID: domain.NewID("host", now), Name: name, URI: "test+tcp://" + name + ".example/default", State: domain.HostConnected, CreatedAt: now}
	err := w.db.Write(context.Background(), func(tx *db.Tx) error {
		if err := tx.InsertHost(h, domain.HostCredentials{}); err != nil {
			return err
		}
		if _, err := tx.SetHostState(h.ID, domain.HostConnected, "", "", now); err != nil {
			return err
		}
		for i := range n {
			spec := domain.VMSpec{
				Name: fmt.Sprintf("%s-g%04d", name, i), VCPUs: 1 + i%8, MemoryBytes: int64(1+i%5) * domain.GiB, Arch: "x86_64", Machine: "pc-q35-7.2", Firmware: "bios", Accel: "tcg",
				Disks: []domain.Disk{{Target: "vda", Device: "disk", Bus: "virtio", Source: fmt.Sprintf("/images/g%04d.qcow2", i), Format: "qcow2"}},
				NICs:  []domain.NIC{{Network: "default", Model: "virtio", MAC: domain.NewMAC()}}, Graphics: "vnc", Serial: true,
			}
			g := domain.Guest{UUID: domain.NewUUID(), Name: spec.Name, State: domain.VMRunning, Persistent: true, XML: "<domain/>", Config: spec, Live: &spec}
			vm, _, _, err := tx.UpsertGuest(h.ID, g, now)
			if err != nil {
				return err
			}
			if err := tx.Emit(domain.Event{Kind: "vm.created", Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, HostID: h.ID, Actor: "host", Message: vm.Name + " was found."}); err != nil {
				return err
			}
		}
		return tx.Emit(domain.Event{Kind: "host.changed", Resource: domain.Ref{Kind: "host", ID: h.ID, Name: h.Name}, HostID: h.ID, Actor: "system", Message: h.Name + " is connected."})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return h.ID
}

func subjectNamed(name string) auth.Subject {
	return auth.Subject{Name: name, Role: access.Admin, UserID: "user_" + name}
}
