package hvtest

import (
	"bytes"
	"testing"
	"time"

	"novacron/domain"
	"novacron/hv"
)

// MigrationPair is two hosts between which guests can be moved.
type MigrationPair struct {
	From, To       hv.Host
	FromURI, ToURI string // how the other daemon reaches it
	DataURI        string // where the destination listens; "" lets it choose
	// Spec gives a small guest that runs and has a disk at DiskPath in the pool "default" of From; its UUID and name are set afterwards.
	Spec func(t *testing.T) domain.VMSpec
	// Share makes the disk of Spec visible on To at the same path, as shared storage would.
	Share func(t *testing.T, path string)
}

// MigrationContract is what every pair of hosts must do that can move guests. pair gives connections that stand for one part.
func MigrationContract(t *testing.T, pair func(t *testing.T) MigrationPair) {
	for _, part := range []struct {
		name string
		run  func(*testing.T, MigrationPair)
	}{
		{"shared storage", moveShared}, {"copied disk", moveCopied}, {"what differs from an image", moveOverlay}, {"refusals", moveRefused}, {"nothing under way", moveIdle}, {"dirty rate", moveDirtyRate}, {"stopped", moveStopped}, {"paused", movePaused},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, pair(t)) })
	}
}

type mover struct {
	*session
	p    MigrationPair
	spec domain.VMSpec
}

// runningGuest defines and starts the pair's guest.
func runningGuest(t *testing.T, p MigrationPair) mover {
	s := &session{T: t, h: p.From}
	spec := p.Spec(t)
	spec.UUID = domain.NewUUID()
	spec.Name = "move-" + spec.UUID[:8]
	_, err := p.From.Define(s.ctx(), spec)
	s.must(err)
	t.Cleanup(func() {
		for _, h := range []hv.Host{p.From, p.To} {
			if err := h.Stop(s.ctx(), spec.UUID); err == nil {
				_, err = h.Undefine(s.ctx(), spec.UUID)
				s.must(err)
			}
		}
	})
	s.must(p.From.Start(s.ctx(), spec.UUID))
	return mover{s, p, spec}
}

// at fails unless the guest runs on one of the hosts and is not even defined on the other.
func (m mover) at(here, other hv.Host) {
	m.Helper()
	m.is(domain.VMRunning, here, other)
}

func (m mover) is(want domain.VMState, here, other hv.Host) {
	m.Helper()
	g, err := here.Guest(m.ctx(), m.spec.UUID)
	m.must(err)
	if g.State != want || !g.Persistent {
		m.Errorf("the guest is %s, persistent %v; want it to be %s and to stay", g.State, g.Persistent, want)
	}
	_, err = other.Guest(m.ctx(), m.spec.UUID)
	m.want(domain.NotFound, err, "the guest on the other host")
}

func moveShared(t *testing.T, p MigrationPair) {
	m := runningGuest(t, p)
	p.Share(t, m.spec.Disks[0].Source)
	before, err := p.From.Guest(m.ctx(), m.spec.UUID)
	m.must(err)
	m.must(p.From.Migrate(m.ctx(), m.spec.UUID, hv.Migration{URI: p.ToURI, DataURI: p.DataURI, AllowUnsafe: true}))
	m.at(p.To, p.From)
	after, err := p.To.Guest(m.ctx(), m.spec.UUID)
	m.must(err)
	if after.Name != before.Name || after.Config.MemoryBytes != before.Config.MemoryBytes || after.Config.Disks[0].Source != before.Config.Disks[0].Source {
		t.Errorf("the guest came as %+v, was %+v", after.Config, before.Config)
	}
	got, err := p.To.MigrationResult(m.ctx(), m.spec.UUID)
	m.must(err)
	if got.Elapsed <= 0 || got.MemoryTotal <= 0 || got.Downtime <= 0 {
		t.Errorf("the figures afterwards: %+v", got)
	}
}

func moveCopied(t *testing.T, p MigrationPair) {
	m := runningGuest(t, p)
	old := m.spec.Disks[0].Source
	v, err := p.To.CreateVolume(m.ctx(), hv.VolumeSpec{Pool: "default", Name: m.spec.Name + "-moved", Format: m.spec.Disks[0].Format, SizeBytes: domain.MiB})
	m.must(err)
	t.Cleanup(func() { m.must(p.To.DeleteVolume(m.ctx(), "default", v.Name)) })
	g, err := p.From.Guest(m.ctx(), m.spec.UUID)
	m.must(err)
	m.must(p.From.Migrate(m.ctx(), m.spec.UUID, hv.Migration{URI: p.ToURI, DataURI: p.DataURI, CopyDisks: []string{g.Config.Disks[0].Target}, Sources: map[string]string{old: v.Path}}))
	m.at(p.To, p.From)
	after, err := p.To.Guest(m.ctx(), m.spec.UUID)
	m.must(err)
	if after.Config.Disks[0].Source != v.Path || after.Live.Disks[0].Source != v.Path {
		t.Errorf("the disk is %s when it starts and %s now, want %s", after.Config.Disks[0].Source, after.Live.Disks[0].Source, v.Path)
	}
}

// moveOverlay moves a guest whose disk is built on an image that both hosts have, at different paths.
func moveOverlay(t *testing.T, p MigrationPair) {
	s := &session{T: t, h: p.From}
	spec := p.Spec(t)
	content := bytes.Repeat([]byte("of the image "), 4<<20/13)
	stack := func(h hv.Host, base, top string) (under, over domain.Volume) {
		var err error
		under, err = h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: "default", Name: base, Format: "raw", SizeBytes: 4 * domain.MiB})
		s.must(err)
		t.Cleanup(func() { s.must(h.DeleteVolume(s.ctx(), "default", base)) })
		s.must(h.WriteVolume(s.ctx(), "default", base, 0, int64(len(content)), bytes.NewReader(content)))
		over, err = h.CreateVolume(s.ctx(), hv.VolumeSpec{Pool: "default", Name: top, Format: "qcow2", SizeBytes: 4 * domain.MiB, Backing: under.Path, BackingFormat: "raw"})
		s.must(err)
		t.Cleanup(func() { s.must(h.DeleteVolume(s.ctx(), "default", top)) })
		return under, over
	}
	id := domain.NewUUID()[:8]
	_, from := stack(p.From, "base-"+id, "top-"+id)
	base, to := stack(p.To, "twin-"+id, "arrived-"+id)
	p.Spec = func(*testing.T) domain.VMSpec {
		spec.Disks[0].Source, spec.Disks[0].Format = from.Path, "qcow2"
		return spec
	}
	m := runningGuest(t, p)
	g, err := p.From.Guest(m.ctx(), m.spec.UUID)
	m.must(err)
	m.must(p.From.Migrate(m.ctx(), m.spec.UUID, hv.Migration{URI: p.ToURI, DataURI: p.DataURI, CopyDisks: []string{g.Config.Disks[0].Target}, Incremental: true, Sources: map[string]string{from.Path: to.Path}}))
	m.at(p.To, p.From)
	after, err := p.To.Guest(m.ctx(), m.spec.UUID)
	m.must(err)
	got, err := p.To.Volume(m.ctx(), "default", to.Name)
	m.must(err)
	if after.Live.Disks[0].Source != to.Path || got.Backing != base.Path || got.AllocationBytes >= 4*domain.MiB {
		t.Errorf("the disk is %s, built on %q, and takes %d bytes; want %s on %s with what differs alone", after.Live.Disks[0].Source, got.Backing, got.AllocationBytes, to.Path, base.Path)
	}
	m.must(p.To.Stop(m.ctx(), m.spec.UUID)) // before its files go
}

func moveRefused(t *testing.T, p MigrationPair) {
	m := runningGuest(t, p)
	if err := p.From.Migrate(m.ctx(), m.spec.UUID, hv.Migration{URI: "qemu+tcp://127.0.0.1:1/system"}); err == nil {
		t.Error("it was moved to where nobody is")
	}
	m.at(p.From, p.To)
	if err := p.From.Migrate(m.ctx(), m.spec.UUID, hv.Migration{URI: p.FromURI}); err == nil {
		t.Error("it was moved to where it is")
	}
	m.at(p.From, p.To)
	if err := p.From.Migrate(m.ctx(), m.spec.UUID, hv.Migration{URI: p.ToURI, DataURI: p.DataURI, Sources: map[string]string{m.spec.Disks[0].Source: "/nowhere/at/all.raw"}, AllowUnsafe: true}); err == nil {
		t.Error("it was moved away from its disk")
	}
	m.at(p.From, p.To)
	m.must(p.From.Stop(m.ctx(), m.spec.UUID))
	m.want(domain.Conflict, p.From.Migrate(m.ctx(), m.spec.UUID, hv.Migration{URI: p.ToURI}), "moving a stopped guest live")
	m.want(domain.NotFound, p.From.Migrate(m.ctx(), domain.NewUUID(), hv.Migration{URI: p.ToURI}), "moving a guest that is not there")
}

func moveIdle(t *testing.T, p MigrationPair) {
	m := runningGuest(t, p)
	_, err := p.From.MigrationProgress(m.ctx(), m.spec.UUID)
	m.want(domain.NotFound, err, "the progress of no migration")
	_, err = p.From.MigrationResult(m.ctx(), m.spec.UUID)
	m.want(domain.NotFound, err, "the figures of no migration")
	m.must(p.From.CancelMigration(m.ctx(), m.spec.UUID))
	m.want(domain.NotFound, p.From.CancelMigration(m.ctx(), domain.NewUUID()), "cancelling for a guest that is not there")
	if p.From.StartPostCopy(m.ctx(), m.spec.UUID) == nil {
		t.Error("post-copy began without a migration")
	}
	m.at(p.From, p.To)
}

func movePaused(t *testing.T, p MigrationPair) {
	m := runningGuest(t, p)
	p.Share(t, m.spec.Disks[0].Source)
	m.must(p.From.Pause(m.ctx(), m.spec.UUID))
	m.must(p.From.Migrate(m.ctx(), m.spec.UUID, hv.Migration{URI: p.ToURI, DataURI: p.DataURI, AllowUnsafe: true}))
	m.is(domain.VMPaused, p.To, p.From)
	m.must(p.To.Resume(m.ctx(), m.spec.UUID))
	m.at(p.To, p.From)
}

func moveDirtyRate(t *testing.T, p MigrationPair) {
	m := runningGuest(t, p)
	got, err := p.From.GuestMemory(m.ctx(), m.spec.UUID, time.Second)
	m.must(err)
	if got.DirtyRate < 0 && m.spec.MemoryBytes >= 128*domain.MiB || got.Resident <= 0 { // a smaller guest may be too small to be sampled
		t.Errorf("measured %+v", got)
	}
	m.must(p.From.Stop(m.ctx(), m.spec.UUID))
	_, err = p.From.GuestMemory(m.ctx(), m.spec.UUID, time.Second)
	m.want(domain.Conflict, err, "measuring a stopped guest")
}

func moveStopped(t *testing.T, p MigrationPair) {
	m := runningGuest(t, p)
	m.must(p.From.Stop(m.ctx(), m.spec.UUID))
	_, err := p.From.MigrationProgress(m.ctx(), m.spec.UUID)
	m.want(domain.NotFound, err, "the progress of a guest that does not run")
	g, err := p.From.Guest(m.ctx(), m.spec.UUID)
	m.must(err)
	moved := hv.Migration{Sources: map[string]string{m.spec.Disks[0].Source: "/elsewhere/disk.raw"}}
	m.must(p.To.Receive(m.ctx(), g.XML, moved))
	m.must(p.To.Receive(m.ctx(), g.XML, moved))
	got, err := p.To.Guest(m.ctx(), m.spec.UUID)
	m.must(err)
	if got.Name != g.Name || got.State != domain.VMStopped || got.Config.Disks[0].Source != "/elsewhere/disk.raw" {
		t.Errorf("it came as %s, %s, with %+v", got.Name, got.State, got.Config.Disks)
	}
}
