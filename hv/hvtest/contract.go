package hvtest

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// Options says what an implementation under Contract can do and where it may work.
type Options struct {
	Driver   string // "QEMU", "TEST" (libvirt's test driver) or "FAKE"
	Pool     string // an active directory pool; empty: "default"
	Network  string // a network that guests can be defined on; empty: none is used
	HotPlug  bool   // devices can be plugged in while a guest runs
	Obeys    bool   // the guest of Spec shuts down when asked to
	Limits   bool   // the kernel can limit the bandwidth of a card
	Consoles bool   // the guest of Spec has a screen and a serial line
	// Spec gives a small guest that starts; UUID and name are set afterwards. Nil: 64 MiB and no devices.
	Spec func(t *testing.T) domain.VMSpec
	// Silence makes the host behind h stop answering until the returned function is called; nil leaves that part out.
	Silence func(t *testing.T, h hv.Host) (restore func())
}

const patience = 3 * time.Minute

// Contract is what every hv.Host must do. newHost gives a connection of its own; the guests and volumes made here go with the test.
func Contract(t *testing.T, newHost func(t *testing.T) hv.Host, opt Options) {
	if opt.Pool == "" {
		opt.Pool = "default"
	}
	c := contract{opt: opt, open: newHost}
	for _, part := range []struct {
		name string
		run  func(*testing.T, *session)
	}{
		{"facts", c.facts}, {"define", c.define}, {"not found", c.notFound}, {"power", c.power}, {"wrong states", c.wrongStates}, {"save", c.save},
		{"change", c.change}, {"pending", c.pending}, {"hot-plug", c.hotPlug}, {"survival", c.survival}, {"rename", c.rename}, {"undefine", c.undefine}, {"clone", c.clone},
		{"volumes", c.volumes}, {"inventory", c.inventory}, {"events", c.events}, {"consoles", c.consoles}, {"deadlines", c.deadlines}, {"concurrency", c.concurrency},
		{"overlays", c.overlays}, {"sizes", c.sizes}, {"disk sizes", c.diskSizes}, {"pools", c.pools},
		{"snapshots", c.snapshots}, {"external snapshots", c.externalSnapshots}, {"snapshots with memory", c.snapshotsWithMemory}, {"snapshots of copies", c.snapshotsOfCopies},
		{"redirect", c.redirect},
		{"agentless", c.agentless},
		{"transfer", c.transfer}, {"blocks", c.blocks}, {"secrets", c.secrets},
		{"hardware", c.hardware}, {"processors", c.cpus}, {"counters", c.meter},
	} {
		t.Run(part.name, func(t *testing.T) {
			h := newHost(t)
			s := &session{T: t, h: h, opt: opt}
			part.run(t, s)
		})
	}
}

type contract struct {
	opt  Options
	open func(*testing.T) hv.Host
}

// session is one part's connection with helpers that fail the test.
type session struct {
	*testing.T
	h   hv.Host
	opt Options
}

func (s *session) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.Context()), patience)
	s.Cleanup(cancel)
	return ctx
}

func (s *session) must(err error) {
	s.Helper()
	if err != nil {
		if e, ok := err.(*domain.Error); ok {
			s.Fatalf("%s: %s", e.Code, e.Detail())
		}
		s.Fatal(err)
	}
}

// want checks an error's code and that it is fit for a person.
func (s *session) want(code domain.Code, err error, what string) {
	s.Helper()
	if domain.CodeOf(err) != code {
		s.Errorf("%s: %v (%s), want %s", what, err, domain.CodeOf(err), code)
		return
	}
	if e, ok := err.(*domain.Error); ok && (e.Msg == "" || !strings.HasSuffix(e.Msg, ".")) {
		s.Errorf("%s: %q is no sentence", what, e.Msg)
	}
}

func (s *session) spec() domain.VMSpec {
	v := domain.VMSpec{VCPUs: 1, MemoryBytes: 64 * domain.MiB}
	if s.opt.Spec != nil {
		v = s.opt.Spec(s.T)
	}
	v.UUID = domain.NewUUID()
	v.Name = "contract-" + v.UUID[:8]
	return v
}

// forget removes a guest when the test ends, whatever became of it.
func (s *session) forget(uuid string) {
	s.Cleanup(func() {
		ctx := s.ctx()
		if err := s.h.Stop(ctx, uuid); err != nil && !domain.Is(err, domain.NotFound) {
			s.Errorf("stopping what the test made: %v", err)
		}
		if _, err := s.h.Undefine(ctx, uuid); err != nil {
			s.Errorf("removing what the test made: %v", err)
		}
	})
}

func (s *session) defined() domain.VMSpec {
	s.Helper()
	v := s.spec()
	s.forget(v.UUID)
	_, err := s.h.Define(s.ctx(), v)
	s.must(err)
	return v
}

func (s *session) guest(uuid string) domain.Guest {
	s.Helper()
	g, err := s.h.Guest(s.ctx(), uuid)
	s.must(err)
	return g
}

func (s *session) is(uuid string, want domain.VMState) {
	s.Helper()
	all, err := s.h.GuestStates(s.ctx())
	s.must(err)
	if all[uuid].State != want || s.guest(uuid).State != want {
		s.Fatalf("it is %s (%s), want %s", all[uuid].State, all[uuid].Reason, want)
	}
}

// log collects events and waits for them.
type log struct {
	mu   sync.Mutex
	evs  []hv.Event
	wake chan struct{}
	done <-chan struct{}
}

// listen subscribes for the time of the test.
func (s *session) listen() *log {
	s.Helper()
	l := &log{wake: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.Context()))
	done, err := s.h.Events(ctx, func(ev hv.Event) {
		l.mu.Lock()
		l.evs = append(l.evs, ev)
		l.mu.Unlock()
		select {
		case l.wake <- struct{}{}:
		default:
		}
	})
	s.must(err)
	l.done = done
	s.Cleanup(func() {
		cancel()
		<-done
	})
	return l
}

// await waits for an event that fits and forgets everything up to it.
func (l *log) await(s *session, what string, fits func(hv.Event) bool) hv.Event {
	s.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		for i, ev := range l.evs {
			if fits(ev) {
				l.evs = l.evs[i+1:]
				l.mu.Unlock()
				return ev
			}
		}
		seen := l.evs
		l.mu.Unlock()
		select {
		case <-l.wake:
		case <-late:
			s.Fatalf("no event %s; seen: %+v", what, seen)
		}
	}
}

func (l *log) state(s *session, uuid string, want domain.VMState) {
	s.Helper()
	ev := l.await(s, string(want), func(ev hv.Event) bool { return ev.UUID == uuid && ev.Kind == hv.GuestState && ev.State == want })
	if ev.At.IsZero() || ev.Name == "" {
		s.Errorf("the event has no time or no name: %+v", ev)
	}
}

func (l *log) kind(s *session, uuid string, want hv.EventKind) {
	s.Helper()
	l.await(s, string(want), func(ev hv.Event) bool { return ev.UUID == uuid && ev.Kind == want })
}

func (c contract) facts(t *testing.T, s *session) {
	s.must(s.h.Ping(s.ctx()))
	f, err := s.h.Facts(s.ctx())
	s.must(err)
	if f.Hostname == "" || f.Driver == "" || f.LibvirtVersion == "" || f.CPUs < 1 || f.MemoryBytes < 1 {
		t.Errorf("the facts have holes: %+v", f)
	}
	if want := c.opt.Driver; want != "FAKE" && f.Driver != want {
		t.Errorf("the driver is %s, want %s", f.Driver, want)
	}
	for what, k := range map[string]domain.Capability{"KVM": f.KVM, "UEFI": f.UEFI, "secure boot": f.SecureBoot, "TPM": f.TPM} {
		if k.Why == "" {
			t.Errorf("%s is %v without a reason", what, k.OK)
		}
	}
}

func (c contract) define(t *testing.T, s *session) {
	v := s.defined()
	g := s.guest(v.UUID)
	if g.UUID != v.UUID || g.Name != v.Name || g.State != domain.VMStopped || !g.Persistent || g.Live != nil || g.XML == "" {
		t.Errorf("%+v", g)
	}
	if g.Config.Name != v.Name || g.Config.UUID != v.UUID || g.Config.VCPUs != v.VCPUs || g.Config.MemoryBytes != v.MemoryBytes || len(g.Config.Disks) != len(v.Disks) || len(g.Config.NICs) != len(v.NICs) {
		t.Errorf("read back %+v, want %+v", g.Config, v)
	}
	all, err := s.h.Guests(s.ctx())
	s.must(err)
	found := 0
	for _, x := range all {
		if x.UUID == v.UUID {
			found++
		}
	}
	if found != 1 {
		t.Errorf("it is listed %d times", found)
	}
	_, err = s.h.Define(s.ctx(), v)
	s.want("", err, "defining it again")
	other := v
	other.Name += "-x"
	_, err = s.h.Define(s.ctx(), other)
	s.want(domain.Conflict, err, "the UUID under another name")
	other = v
	other.UUID = domain.NewUUID()
	_, err = s.h.Define(s.ctx(), other)
	s.want(domain.Conflict, err, "the name for another UUID")
	if _, err := s.h.Guest(s.ctx(), other.UUID); !domain.Is(err, domain.NotFound) {
		t.Errorf("a refused guest is there: %v", err)
	}
}

func (c contract) notFound(t *testing.T, s *session) {
	id := domain.NewUUID()
	for what, err := range map[string]error{
		"Guest": second(s.h.Guest(s.ctx(), id)), "Start": s.h.Start(s.ctx(), id), "Shutdown": s.h.Shutdown(s.ctx(), id), "Stop": s.h.Stop(s.ctx(), id), "Reboot": s.h.Reboot(s.ctx(), id),
		"Reset": s.h.Reset(s.ctx(), id), "Pause": s.h.Pause(s.ctx(), id), "Resume": s.h.Resume(s.ctx(), id), "Save": s.h.Save(s.ctx(), id), "Discard": s.h.Discard(s.ctx(), id),
		"SetAutostart": s.h.SetAutostart(s.ctx(), id, true), "Rename": s.h.Rename(s.ctx(), id, "x"), "Change": second(s.h.Change(s.ctx(), id, domain.VMChange{})),
		"CloneDefinition": s.h.CloneDefinition(s.ctx(), id, hv.Clone{Name: "contract-none", UUID: domain.NewUUID()}), "Graphics": second(s.h.Graphics(s.ctx(), id)),
		"Serial": second(s.h.Serial(s.ctx(), id)), "Screenshot": second(s.h.Screenshot(s.ctx(), id)), "Volume": second(s.h.Volume(s.ctx(), c.opt.Pool, "contract-none")),
		"Volume of no pool": second(s.h.Volume(s.ctx(), "contract-none", "x")), "VolumeByPath": second(s.h.VolumeByPath(s.ctx(), "/contract/none")),
		"CreateVolume in no pool": second(s.h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: "contract-none", Name: "x", Format: "raw", SizeBytes: domain.MiB})),
		"CloneVolume":             second(s.h.CloneVolume(s.ctx(), c.opt.Pool, "contract-none", "contract-none-2")),
	} {
		s.want(domain.NotFound, err, what)
	}
	doc, err := s.h.Undefine(s.ctx(), id)
	if err != nil || doc != "" {
		t.Errorf("Undefine of nothing: %q, %v", doc, err)
	}
	s.want("", s.h.DeleteVolume(s.ctx(), c.opt.Pool, "contract-none"), "DeleteVolume of nothing")
}

func second[T any](_ T, err error) error { return err }

func (c contract) power(t *testing.T, s *session) {
	v := s.defined()
	l := s.listen()
	twice := func(what string, op func(context.Context, string) error, then domain.VMState) {
		t.Helper()
		s.want("", op(s.ctx(), v.UUID), what)
		s.is(v.UUID, then)
		l.state(s, v.UUID, then)
		s.want("", op(s.ctx(), v.UUID), what+" again")
		s.is(v.UUID, then)
	}
	twice("Start", s.h.Start, domain.VMRunning)
	if g := s.guest(v.UUID); g.Live == nil || g.Live.VCPUs != v.VCPUs {
		t.Errorf("it runs as %+v", g.Live)
	}
	twice("Pause", s.h.Pause, domain.VMPaused)
	twice("Resume", s.h.Resume, domain.VMRunning)
	s.want("", s.h.Reset(s.ctx(), v.UUID), "Reset")
	s.is(v.UUID, domain.VMRunning)
	twice("Stop", s.h.Stop, domain.VMStopped)
	if c.opt.Obeys {
		twice("Start", s.h.Start, domain.VMRunning)
		s.want("", s.h.Shutdown(s.ctx(), v.UUID), "Shutdown")
		l.state(s, v.UUID, domain.VMStopped)
		s.is(v.UUID, domain.VMStopped)
	}
	s.want("", s.h.Shutdown(s.ctx(), v.UUID), "Shutdown of a stopped guest")
	for _, on := range []bool{true, true, false} {
		s.must(s.h.SetAutostart(s.ctx(), v.UUID, on))
		if s.guest(v.UUID).Autostart != on {
			t.Errorf("autostart is not %v", on)
		}
	}
}

func (c contract) wrongStates(t *testing.T, s *session) {
	v := s.defined()
	for what, op := range map[string]func(context.Context, string) error{"Pause": s.h.Pause, "Resume": s.h.Resume, "Reboot": s.h.Reboot, "Reset": s.h.Reset, "Save": s.h.Save} {
		s.want(domain.Conflict, op(s.ctx(), v.UUID), what+" of a stopped guest")
	}
	s.want("", s.h.Discard(s.ctx(), v.UUID), "Discard of nothing saved")
	_, err := s.h.Graphics(s.ctx(), v.UUID)
	s.want(domain.Conflict, err, "the screen of a stopped guest")
	_, err = s.h.Serial(s.ctx(), v.UUID)
	s.want(domain.Conflict, err, "the serial line of a stopped guest")
	_, err = s.h.Screenshot(s.ctx(), v.UUID)
	s.want(domain.Conflict, err, "a picture of a stopped guest")
	s.must(s.h.Start(s.ctx(), v.UUID))
	_, err = s.h.Undefine(s.ctx(), v.UUID)
	s.want(domain.Conflict, err, "Undefine of a running guest")
	s.want(domain.Conflict, s.h.Rename(s.ctx(), v.UUID, v.Name+"-x"), "Rename of a running guest")
	s.must(s.h.Pause(s.ctx(), v.UUID))
	s.want(domain.Conflict, s.h.Start(s.ctx(), v.UUID), "Start of a paused guest")
	s.want(domain.Conflict, s.h.Reboot(s.ctx(), v.UUID), "Reboot of a paused guest")
	s.is(v.UUID, domain.VMPaused)
}

func (c contract) save(t *testing.T, s *session) {
	v := s.defined()
	s.must(s.h.Start(s.ctx(), v.UUID))
	for range 2 {
		s.must(s.h.Save(s.ctx(), v.UUID))
		s.is(v.UUID, domain.VMSaved)
	}
	s.must(s.h.Start(s.ctx(), v.UUID))
	s.is(v.UUID, domain.VMRunning)
	s.must(s.h.Save(s.ctx(), v.UUID))
	for range 2 {
		s.must(s.h.Discard(s.ctx(), v.UUID))
		s.is(v.UUID, domain.VMStopped)
	}
	s.must(s.h.Start(s.ctx(), v.UUID))
	s.must(s.h.Save(s.ctx(), v.UUID))
	if doc, err := s.h.Undefine(s.ctx(), v.UUID); err != nil || doc == "" { // with its managed save
		t.Errorf("Undefine of a saved guest: %v", err)
	}
}

// read takes n bytes from a console before its patience ends.
func (s *session) read(r io.ReadCloser, n int) string {
	s.Helper()
	stop := time.AfterFunc(patience, func() { _ = r.Close() })
	defer stop.Stop()
	b := make([]byte, n)
	got, err := io.ReadFull(r, b)
	if err != nil {
		s.Errorf("after %q: %v", b[:got], err)
	}
	return string(b[:got])
}
