package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/hv/hvtest"
	"novacron/jobs/fleet"
	"novacron/jobs/fleet/fleettest"
	"novacron/jobs/reconcile"
)

const guestXML = `<domain type='kvm'>%s<name>%s</name><memory>1048576</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os></domain>`

func guest(f *hvtest.Fake, name string, s domain.VMState) string {
	return f.AddGuest(fmt.Sprintf(guestXML, "", name), s)
}

func TestWhatOthersDoAppears(t *testing.T) {
	w, f, h := fleettest.New(t)
	uuid := guest(f, "old-1", domain.VMStopped)
	w.Until(t, "the new guest is listed", func() bool { _, ok := w.Find(t, "old-1"); return ok })
	vm := w.VM(t, "old-1")
	if err := f.Start(t.Context(), uuid); err != nil {
		t.Fatal(err)
	}
	w.Until(t, "it runs", func() bool { return w.VM(t, "old-1").State == domain.VMRunning })
	f.SetState(uuid, domain.VMStopped, "shut down by the guest")
	w.Until(t, "it has stopped", func() bool { return w.VM(t, "old-1").State == domain.VMStopped })
	f.SetState(uuid, domain.VMCrashed, "QEMU died")
	w.Until(t, "it has crashed", func() bool { return w.VM(t, "old-1").State == domain.VMCrashed })
	if err := f.Rename(t.Context(), uuid, "new-1"); err != nil {
		t.Fatal(err)
	}
	w.Until(t, "it is renamed", func() bool { _, ok := w.Find(t, "new-1"); return ok })
	f.Emit(hv.Event{Kind: hv.GuestTrouble, UUID: uuid, Detail: "I/O error on vda"})
	w.Until(t, "the trouble is told", func() bool { evs := w.Events(t, vm.ID); return evs[len(evs)-1].Kind == "vm.trouble" })
	if _, err := f.Undefine(t.Context(), uuid); err != nil {
		t.Fatal(err)
	}
	w.Until(t, "it is gone", func() bool { _, ok := w.Find(t, "new-1"); return !ok })
	var told []string
	for _, ev := range w.Events(t, vm.ID) {
		if ev.Actor != "host" || ev.HostID != h.ID {
			t.Errorf("%+v", ev)
		}
		told = append(told, ev.Message)
	}
	want := []string{"old-1 was found on its host.", "old-1 was started.", "old-1 was shut down by the guest.", "old-1 crashed (QEMU died).", "old-1 was renamed to new-1.",
		"new-1 reports trouble: I/O error on vda.", "new-1 is no longer defined on its host."}
	if strings.Join(told, "|") != strings.Join(want, "|") {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

func TestLookingTwiceChangesNothing(t *testing.T) {
	w, f, h := fleettest.New(t)
	w.Make(t, fleettest.Spec("web-1"), true)
	guest(f, "old-1", domain.VMPaused)
	f.AddDevice(domain.Device{Name: "net_br0_52_54_00_00_00_01", Kind: "net"})
	ctx := t.Context()
	look := func() {
		t.Helper()
		err := errors.Join(w.Rec.Host(ctx, f, h.ID), w.Rec.States(ctx, f, h.ID), w.Rec.Inventory(ctx, f, h.ID, reconcile.Cause{}))
		if err != nil {
			t.Fatal(err)
		}
	}
	look()
	seq, version := w.DB.Feed().Last(), w.VM(t, "web-1").Version
	look()
	// A reconciler that has just begun knows nothing from before, and still sees no difference.
	if err := reconcile.NewMirror(w.DB, time.Now).Host(ctx, f, h.ID); err != nil {
		t.Fatal(err)
	}
	if last := w.DB.Feed().Last(); last != seq {
		evs, _ := w.DB.Feed().Since(seq, 10)
		t.Errorf("the second look wrote %+v", evs)
	}
	if v := w.VM(t, "web-1").Version; v != version {
		t.Errorf("version %d became %d", version, v)
	}
}

func TestLostEventsAreMadeGood(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	_, h := w.Adopt(t, "a", hvtest.FakeOptions{})
	m := reconcile.NewMirror(w.DB, time.Now)
	silent := hvtest.NewFake(hvtest.FakeOptions{}) // another machine: no event of it is heard
	one, two := guest(silent, "one", domain.VMRunning), guest(silent, "two", domain.VMStopped)
	if err := m.Host(t.Context(), silent, h.ID); err != nil {
		t.Fatal(err)
	}
	silent.SetState(one, domain.VMPaused, "")
	if _, err := silent.Undefine(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	guest(silent, "three", domain.VMRunning)
	if err := m.States(t.Context(), silent, h.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.Find(t, "two"); ok || w.VM(t, "one").State != domain.VMPaused || w.VM(t, "three").State != domain.VMRunning {
		t.Error("the states are not made good")
	}
}

func TestAnOlderLookNeverWins(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	f, h := w.Adopt(t, "a", hvtest.FakeOptions{})
	uuid := guest(f, "old-1", domain.VMRunning)
	slow := &slowHost{Host: f, read: make(chan struct{}), resume: make(chan struct{})}
	done := make(chan error)
	go func() { done <- w.Rec.Host(t.Context(), slow, h.ID) }() // lists it as running
	<-slow.read
	if err := f.Stop(t.Context(), uuid); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Rec.Guest(t.Context(), f, h.ID, uuid, reconcile.Cause{}); err != nil {
		t.Fatal(err)
	}
	close(slow.resume)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if s := w.VM(t, "old-1").State; s != domain.VMStopped {
		t.Errorf("the row says %s again", s)
	}
}

// TestARowThatWasTakenAwayStaysAway: a look that saw the guest before a job undefined it does not write it down again.
func TestARowThatWasTakenAwayStaysAway(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	f, h := w.Adopt(t, "a", hvtest.FakeOptions{})
	uuid := guest(f, "old-1", domain.VMStopped)
	w.Until(t, "it is listed", func() bool { _, ok := w.Find(t, "old-1"); return ok })
	vm := w.VM(t, "old-1")
	slow := &slowHost{Host: f, read: make(chan struct{}), resume: make(chan struct{})}
	done := make(chan error)
	go func() { done <- w.Rec.Host(t.Context(), slow, h.ID) }()
	<-slow.read
	w.Pool.Remove(h.ID) // nobody else tells of what follows
	if _, err := f.Undefine(t.Context(), uuid); err != nil {
		t.Fatal(err)
	}
	w.Rec.Overtake(h.ID, uuid)
	if err := w.DB.Write(t.Context(), func(tx *db.Tx) error {
		err := tx.DeleteVM(vm.ID)
		if domain.Is(err, domain.NotFound) { // the event was quicker
			return nil
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	close(slow.resume)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, ok := w.Find(t, "old-1"); ok {
		t.Error("it is listed again")
	}
}

// slowHost answers a listing late.
type slowHost struct {
	hv.Host
	read, resume chan struct{}
}

func (s *slowHost) Guests(ctx context.Context) ([]domain.Guest, error) {
	gs, err := s.Host.Guests(ctx)
	close(s.read)
	<-s.resume
	return gs, err
}

func TestHostGoesAndReturns(t *testing.T) {
	w, f, h := fleettest.New(t)
	vm := w.Make(t, fleettest.Spec("web-1"), true)
	f.SetDown(true)
	state := func() domain.Host {
		got, err := w.DB.Host(t.Context(), h.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	w.Until(t, "it is away", func() bool { return state().State == domain.HostAway && state().StateReason != "" })
	if got := w.VM(t, "web-1"); got.State != domain.VMAway || got.LastState != domain.VMRunning || got.ID != vm.ID {
		t.Errorf("it is %s, last %s", got.State, got.LastState)
	}
	f.SetState(vm.UUID, domain.VMStopped, "shut down by the guest") // while nobody looks
	f.SetDown(false)
	w.Pool.Kick(h.ID)
	w.Until(t, "it is back", func() bool { return state().State == domain.HostConnected })
	if got := w.VM(t, "web-1"); got.State != domain.VMStopped || got.ID != vm.ID {
		t.Errorf("it is %s", got.State)
	}
}

func TestTwoHostsMayHaveOneUUID(t *testing.T) {
	w, f, _ := fleettest.New(t)
	g, _ := w.Host(t, "b", hvtest.FakeOptions{})
	const uuid = "<uuid>11111111-2222-3333-4444-555555555555</uuid>"
	f.AddGuest(fmt.Sprintf(guestXML, uuid, "copy"), domain.VMRunning)
	w.Until(t, "one is listed", func() bool { _, ok := w.Find(t, "copy"); return ok })
	g.AddGuest(fmt.Sprintf(guestXML, uuid, "copy-b"), domain.VMStopped)
	w.Until(t, "both are listed", func() bool { _, ok := w.Find(t, "copy-b"); return ok })
	if a, b := w.VM(t, "copy"), w.VM(t, "copy-b"); a.ID == b.ID || a.State != domain.VMRunning || b.State != domain.VMStopped {
		t.Errorf("%+v %+v", a, b)
	}
}

func TestARowThatAJobHoldsIsTheJobs(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	f, h := w.Adopt(t, "a", hvtest.FakeOptions{})
	job, err := w.Fleet.CreateVM(t.Context(), fleettest.Actor, fleet.CreateVM{Spec: fleettest.Spec("web-1")})
	if err != nil {
		t.Fatal(err)
	}
	// The guest is not there yet, and its row stays.
	if err := errors.Join(w.Rec.Host(t.Context(), f, h.ID), w.Rec.States(t.Context(), f, h.ID)); err != nil {
		t.Fatal(err)
	}
	if vm := w.VM(t, "web-1"); !vm.Creating || vm.BusyJob != job.ID {
		t.Errorf("%+v", vm)
	}
	w.Run(t)
	w.Succeed(t, job, nil)
}

func TestARowThatNobodyHoldsFollowsTheHost(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	f, h := w.Adopt(t, "a", hvtest.FakeOptions{})
	// What is left when a person dismisses a stuck create: a row that is still being made, by nobody.
	left := func(name, uuid string) {
		t.Helper()
		if err := w.DB.Write(t.Context(), func(tx *db.Tx) error {
			return tx.InsertVM(domain.VM{ID: domain.NewID("vm", time.Now()), UUID: uuid, HostID: h.ID, Name: name, Creating: true, Config: domain.VMSpec{Name: name, UUID: uuid}})
		}); err != nil {
			t.Fatal(err)
		}
	}
	left("nothing", domain.NewUUID())
	const uuid = "11111111-2222-3333-4444-555555555555"
	left("there", uuid)
	f.AddGuest(fmt.Sprintf(guestXML, "<uuid>"+uuid+"</uuid>", "there"), domain.VMStopped)
	if err := w.Rec.Host(t.Context(), f, h.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.Find(t, "nothing"); ok || w.VM(t, "there").Creating {
		t.Error("the rows do not follow the host")
	}
}

func TestTheClockLooksToo(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{States: 40 * time.Millisecond, Inventory: 30 * time.Millisecond, Full: 50 * time.Millisecond})
	f, h := w.Adopt(t, "a", hvtest.FakeOptions{})
	f.AddVolume(domain.Volume{Pool: "default", Name: "x.qcow2", Format: "qcow2"})
	w.Until(t, "the new volume is listed", func() bool {
		v, err := w.DB.Volumes(t.Context(), h.ID, "")
		return err == nil && len(v) == 1
	})
	f.SetFacts(func(x *domain.HostFacts) { x.CPUs = 3 })
	w.Until(t, "the facts are new", func() bool {
		got, err := w.DB.Host(t.Context(), h.ID)
		return err == nil && got.Facts.CPUs == 3
	})
}

func TestInventoryOnRequest(t *testing.T) {
	w, f, h := fleettest.New(t)
	f.AddNetwork(domain.Network{UUID: domain.NewUUID(), Name: "lab", Active: true})
	w.Rec.KickInventory(h.ID)
	w.Until(t, "the new network is listed", func() bool {
		n, err := w.DB.Networks(t.Context(), h.ID)
		return err == nil && len(n) == 2
	})
}

func TestRestartSaysThatNothingIsKnownYet(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	_, h := w.Adopt(t, "a", hvtest.FakeOptions{})
	m := reconcile.NewMirror(w.DB, time.Now)
	if err := w.Rec.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := w.DB.Host(t.Context(), h.ID); err != nil || got.State != domain.HostConnecting {
		t.Errorf("it is %s (%v)", got.State, err)
	}
	if err := m.Away(t.Context(), "host_none", "x", "y"); err != nil {
		t.Errorf("a host that was removed meanwhile: %v", err)
	}
}

// A hundred hosts of ten VMs are listed, each in one transaction, well within the ten seconds that the whole may take.
func TestScale(t *testing.T) {
	w := fleettest.Bare(t, reconcile.Options{})
	began := time.Now()
	for i := range 100 {
		name := fmt.Sprintf("h%03d", i)
		f, uri := w.Put(name, hvtest.FakeOptions{})
		for j := range 10 {
			guest(f, fmt.Sprintf("vm-%03d-%d", i, j), domain.VMRunning)
		}
		h := domain.Host{ID: domain.NewID("host", time.Now()), Name: name, URI: uri, State: domain.HostConnecting}
		if err := w.DB.Write(t.Context(), func(tx *db.Tx) error { return tx.InsertHost(h, domain.HostCredentials{}) }); err != nil {
			t.Fatal(err)
		}
		w.Pool.Add(h.ID, hv.Target{URI: uri})
	}
	w.Until(t, "everything is listed", func() bool {
		o, err := w.DB.Overview(t.Context())
		return err == nil && o.VMs[domain.VMRunning] == 1000
	})
	t.Logf("listed after %s", time.Since(began))
}

func TestReportsAreQuietWhenToldToStop(t *testing.T) {
	var out strings.Builder
	w := fleettest.Bare(t, reconcile.Options{})
	r := reconcile.New(w.DB, slog.New(slog.NewTextHandler(&out, nil)), time.Now, reconcile.Options{})
	hooks := r.Hooks()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hooks.OnAway(ctx, "host_x", "gone", "")
	if out.Len() > 0 {
		t.Errorf("logged %s", out.String())
	}
}
