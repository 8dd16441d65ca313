// Package fleettest is a whole fleet in memory: fake hosts, a real database file, and pool, reconciler, engine and front door wired as main
// wires them. It is for tests of the workflows only.
package fleettest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/placement"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/hv/pool"
	"novacron/jobs"
	"novacron/jobs/fleet"
	"novacron/jobs/images"
	"novacron/jobs/jobstest"
	"novacron/jobs/provision"
	"novacron/jobs/reconcile"
)

// World is one fleet. Everything in it ends with the test.
type World struct {
	DB     *db.DB
	Pool   *pool.Pool
	Rec    *reconcile.Reconciler
	Engine *jobs.Engine
	Fleet  *fleet.Fleet
	Dialer Dialer
	Log    *slog.Logger
	// Library is the image library.
	Library *images.Library

	stop func() // of the engine; nil when it does not run
}

// Stop ends the engine before the test does, for worlds that go on with another one.
func (w *World) Stop() { w.stop() }

// Dialer leads each URI to its fake host; others cannot be reached.
type Dialer struct {
	mu    *sync.Mutex
	hosts map[string]*hvtest.Fake
}

// Dial implements hv.Dialer.
func (d Dialer) Dial(ctx context.Context, t hv.Target) (hv.Host, []domain.ConnectionStep, error) {
	d.mu.Lock()
	f := d.hosts[t.URI]
	d.mu.Unlock()
	if f == nil {
		err := domain.Errorf(domain.Unavailable, "Nothing answers at %s.", t.URI).WithFix("Check the address.")
		err.Reasons = []domain.Reason{{Subject: "route", Msg: err.Msg}}
		return nil, []domain.ConnectionStep{{Name: "route", Msg: err.Msg, Fix: err.Fix}}, err
	}
	return f.Dial(ctx, t)
}

// Actor is who does things in tests.
const Actor = "ada"

// Bare makes a world without hosts whose engine does not run.
func Bare(t testing.TB, opt reconcile.Options) *World {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	d := jobstest.OpenDB(t)
	w := &World{DB: d, Log: log, Dialer: Dialer{&sync.Mutex{}, map[string]*hvtest.Fake{}}}
	w.Rec = reconcile.New(d, log, time.Now, opt)
	w.Pool = pool.New(w.Dialer, log, time.Now, w.Rec.Hooks())
	w.Engine = jobs.NewEngine(d, log, time.Now, jobs.Options{RetryFor: 2 * time.Second, Backoff: func(int) time.Duration { return 5 * time.Millisecond }})
	w.Fleet = fleet.New(d, w.Engine, time.Now)
	var err error
	if w.Library, err = images.Open(t.TempDir(), images.Options{FetchLocal: true}); err != nil {
		t.Fatal(err)
	}
	w.Fleet.UseLibrary(w.Library)
	w.Fleet.Register(w.Pool, w.Dialer, w.Rec)
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.Pool.Run(ctx) })
	wg.Go(func() {
		if err := w.Rec.Run(ctx, w.Pool); err != nil && ctx.Err() == nil {
			t.Errorf("reconciler: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	<-w.Rec.Adopted()
	return w
}

// Run lets the engine work.
func (w *World) Run(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.Engine.Run(ctx)
	}()
	w.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(w.stop)
}

// New makes a world with one connected host, "a", and a running engine.
func New(t testing.TB) (*World, *hvtest.Fake, domain.Host) {
	t.Helper()
	w := Bare(t, reconcile.Options{})
	w.Run(t)
	f, h := w.Host(t, "a", hvtest.FakeOptions{})
	return w, f, h
}

// Put makes a fake host reachable at a URI made from its name, without adding it.
func (w *World) Put(name string, opt hvtest.FakeOptions) (f *hvtest.Fake, uri string) {
	opt.Name = name
	f, uri = hvtest.NewFake(opt), "qemu+tcp://"+name+"/system"
	w.Dialer.mu.Lock()
	defer w.Dialer.mu.Unlock()
	w.Dialer.hosts[uri] = f
	return f, uri
}

// Host makes a fake host and adds it as a person would. The engine must run.
func (w *World) Host(t testing.TB, name string, opt hvtest.FakeOptions) (*hvtest.Fake, domain.Host) {
	t.Helper()
	f, uri := w.Put(name, opt)
	job, err := w.Fleet.AddHost(t.Context(), Actor, fleet.AddHost{Name: name, URI: uri})
	w.Succeed(t, job, err)
	h, err := w.DB.Host(t.Context(), job.Resource.ID)
	if err != nil {
		t.Fatal(err)
	}
	return f, h
}

// Adopt inserts a host's row and gives it to the pool, without a job, and waits until it is mirrored: for worlds whose engine does not run. The VMs are
// on the host before.
func (w *World) Adopt(t testing.TB, name string, opt hvtest.FakeOptions, vms ...Old) (*hvtest.Fake, domain.Host) {
	t.Helper()
	f, uri := w.Put(name, opt)
	for _, vm := range vms {
		vm.furnish(t, f)
	}
	h := domain.Host{ID: domain.NewID("host", time.Now()), Name: name, URI: uri, State: domain.HostConnecting}
	if err := w.DB.Write(t.Context(), func(tx *db.Tx) error { return tx.InsertHost(h, domain.HostCredentials{}) }); err != nil {
		t.Fatal(err)
	}
	w.Pool.Add(h.ID, hv.Target{URI: uri})
	w.Until(t, "host "+name+" is mirrored", func() bool {
		var err error
		h, err = w.DB.Host(t.Context(), h.ID)
		return err == nil && h.State == domain.HostConnected
	})
	return f, h
}

// Wait waits for a job's end.
func (w *World) Wait(t testing.TB, job domain.Job, err error) domain.Job {
	t.Helper()
	if err != nil {
		t.Fatalf("the job was refused: %s", Detail(err))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	job, err = w.Engine.Wait(ctx, job.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !job.State.Ended() {
		t.Fatalf("%s did not end: %+v", job.Title, job.Steps)
	}
	return job
}

// Succeed waits for a job's end and wants it to have succeeded.
func (w *World) Succeed(t testing.TB, job domain.Job, err error) domain.Job {
	t.Helper()
	job = w.Wait(t, job, err)
	if job.State != domain.JobSucceeded {
		t.Fatalf("%s is %s: %+v, steps %+v", job.Title, job.State, job.Error, job.Steps)
	}
	return job
}

// Undone waits for a job's end and wants it to have failed with the code and been taken back.
func (w *World) Undone(t testing.TB, job domain.Job, err error, code domain.Code) domain.Job {
	t.Helper()
	job = w.Wait(t, job, err)
	if job.State != domain.JobUndone || job.Error == nil || job.Error.Code != code {
		t.Fatalf("%s is %s (%+v), want undone for %s; steps %+v", job.Title, job.State, job.Error, code, job.Steps)
	}
	return job
}

// Detail prints an error with its fields and reasons.
func Detail(err error) string {
	if e, ok := err.(*domain.Error); ok {
		return fmt.Sprintf("%s: %s %s %+v %+v", e.Code, e.Detail(), e.Fix, e.Fields, e.Reasons)
	}
	return fmt.Sprint(err)
}

// Until waits for a level. It looks again at every event of the database, and between events too, since not all that is written makes one.
func (w *World) Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	feed := w.DB.Feed()
	for {
		seq := feed.Last()
		if ok() {
			return
		}
		look, done := context.WithTimeout(ctx, 20*time.Millisecond)
		_ = feed.Wait(look, seq) // at its end too it is time to look again
		done()
		if ctx.Err() != nil {
			t.Fatalf("it did not come about that %s", what)
		}
	}
}

// VM reads a VM by its name.
func (w *World) VM(t testing.TB, name string) domain.VM {
	t.Helper()
	vm, ok := w.Find(t, name)
	if !ok {
		t.Fatalf("there is no VM %s", name)
	}
	return vm
}

// Find looks a VM up by its name.
func (w *World) Find(t testing.TB, name string) (domain.VM, bool) {
	t.Helper()
	hs, err := w.DB.Hosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hs {
		vms, err := w.DB.HostVMs(t.Context(), h.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, vm := range vms {
			if vm.Name == name {
				full, err := w.DB.VM(t.Context(), vm.ID)
				if err != nil {
					t.Fatal(err)
				}
				return full, true
			}
		}
	}
	return domain.VM{}, false
}

// Spec is a small VM with one disk and one card.
func Spec(name string) domain.VMSpec {
	return domain.VMSpec{Name: name, VCPUs: 2, MemoryBytes: domain.GiB, Disks: []domain.Disk{{SizeBytes: 10 * domain.GiB}}, NICs: []domain.NIC{{Network: "default"}}}
}

// Make creates a VM and waits for it.
func (w *World) Make(t testing.TB, spec domain.VMSpec, start bool) domain.VM {
	t.Helper()
	job, err := w.Fleet.CreateVM(t.Context(), Actor, fleet.CreateVM{Spec: spec, Start: start})
	w.Succeed(t, job, err)
	return w.VM(t, spec.Name)
}

// Old is a VM that a host has before it is adopted.
type Old struct {
	Spec  domain.VMSpec
	Start bool
}

func (o Old) furnish(t testing.TB, f *hvtest.Fake) {
	t.Helper()
	spec, err := provision.Settle(o.Spec, placement.Candidate{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range provision.NewVolumes(spec) {
		if _, err := f.CreateVolume(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Define(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if o.Start {
		if err := f.Start(t.Context(), spec.UUID); err != nil {
			t.Fatal(err)
		}
	}
}

// Guest gives a guest as its host has it.
func Guest(f *hvtest.Fake, name string) (domain.Guest, bool) {
	for _, g := range f.AllGuests() {
		if g.Name == name {
			return g, true
		}
	}
	return domain.Guest{}, false
}

// Free wants that nothing holds the resources, by trying to hold them.
func (w *World) Free(t testing.TB, resources ...string) {
	t.Helper()
	slices.Sort(resources)
	resources = slices.Compact(resources)
	job := domain.Job{ID: "job_probe", Kind: "probe", Title: "Probe", State: domain.JobQueued, Locks: resources, CreatedAt: time.Now()}
	undo := fmt.Errorf("taken back")
	err := w.DB.Write(t.Context(), func(tx *db.Tx) error {
		if err := tx.InsertJob(job, ""); err != nil {
			return err
		}
		if err := tx.TakeLocks(job); err != nil {
			return err
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Errorf("something is still held: %s", Detail(err))
	}
}

// Swept is a fixture for jobstest.Sweep over a world whose engines the sweep makes.
func (w *World) Swept(ask func(ctx context.Context, f *fleet.Fleet) (domain.Job, error), check func(t testing.TB, job domain.Job)) jobstest.Fixture {
	fronts := map[*jobs.Engine]*fleet.Fleet{}
	return jobstest.Fixture{
		DB: w.DB,
		Register: func(e *jobs.Engine) {
			f := fleet.New(w.DB, e, time.Now)
			f.UseLibrary(w.Library)
			f.Register(w.Pool, w.Dialer, w.Rec)
			fronts[e] = f
		},
		Enqueue: func(ctx context.Context, e *jobs.Engine) (domain.Job, error) { return ask(ctx, fronts[e]) },
		Check:   check,
	}
}

// Events gives what was written about a resource, oldest first.
func (w *World) Events(t testing.TB, resource string) []domain.Event {
	t.Helper()
	evs, err := w.DB.Events(t.Context(), db.EventQuery{Resource: resource, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return evs
}

// Settle runs one job to its success in a world whose engine does not run.
func (w *World) Settle(t testing.TB, ask func(f *fleet.Fleet) (domain.Job, error)) {
	t.Helper()
	e := jobstest.NewEngine(w.DB, nil)
	f := fleet.New(w.DB, e, time.Now)
	f.UseLibrary(w.Library)
	f.Register(w.Pool, w.Dialer, w.Rec)
	stop := jobstest.Run(t, e)
	defer stop()
	job, err := ask(f)
	if err != nil {
		t.Fatal(Detail(err))
	}
	if job = jobstest.Wait(t, e, job.ID); job.State != domain.JobSucceeded {
		t.Fatalf("%s is %s: %+v", job.Title, job.State, job.Error)
	}
}
