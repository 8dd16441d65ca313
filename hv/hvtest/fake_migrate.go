package hvtest

import (
	"context"
	"maps"
	"slices"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

// fakeMemoryRate is how fast a fake guest's memory is said to have been copied.
const fakeMemoryRate = 1 * domain.GiB

// Reach lets guests of f be moved to other by the URI, as if a route and a daemon were there.
func (f *Fake) Reach(uri string, other *Fake) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.peers == nil {
		f.m.peers = map[string]*machine{}
	}
	f.m.peers[uri] = other.m
}

// Migrate implements hv.Migrator. The guest is in one place at every moment: it leaves here in the same step as it arrives there.
func (c *conn) Migrate(ctx context.Context, uuid string, mig hv.Migration) error {
	return act(ctx, c, "Migrate", func(m *machine) error {
		if ctx.Err() != nil { // who asked is gone, and may have been told that nothing moves
			return ctx.Err()
		}
		g, err := m.find(uuid)
		if err != nil {
			return err
		}
		if !g.up() {
			return domain.Errorf(domain.Conflict, "%s is %s, so it cannot be moved while it runs.", g.name, g.state).WithFix("Start it first.")
		}
		to := m.peers[mig.URI]
		if to == nil || to == m {
			return domain.Errorf(domain.Conflict, "The host could not move %s: %s cannot be reached.", g.name, mig.URI).WithFix("Look at the route between the hosts.")
		}
		if mig.Resume {
			return m.resume(g, to)
		}
		live, err := domxml.Relocate(g.live, mig)
		if err != nil {
			return err
		}
		doc, err := domxml.Relocate(g.doc, mig)
		if err != nil {
			return err
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		if err := to.receives(g, doc, mig); err != nil {
			return err
		}
		moved := *g
		moved.doc, moved.live, moved.reason, moved.line = doc, live, "moved here from another host", newLine()
		memory := mustParse(doc).MemoryBytes
		moved.figures = &hv.MigrationProgress{Elapsed: time.Duration(memory*1000/fakeMemoryRate) * time.Millisecond, MemoryTotal: memory, MemoryDone: memory, MemoryRate: fakeMemoryRate,
			Iteration: 3, Downtime: 50 * time.Millisecond, Skew: max(0, to.ahead-m.ahead)}
		to.guests[uuid] = &moved
		to.say(&moved, hv.GuestDefined, "")
		to.say(&moved, hv.GuestState, moved.reason)
		g.line.hangUp()
		delete(m.guests, uuid)
		m.say(g, hv.GuestGone, "")
		return nil
	})
}

// ScreenAddress implements hv.Migrator.
func (c *conn) ScreenAddress() string { return "" }

// Receive implements hv.Migrator.
func (c *conn) Receive(ctx context.Context, xml string, mig hv.Migration) error {
	doc, err := domxml.Relocate(xml, mig)
	if err != nil {
		return err
	}
	_, err = c.DefineXML(ctx, doc)
	return err
}

// resume sends what a broken post-copy left on the source.
func (m *machine) resume(g *guest, to *machine) error {
	to.mu.Lock()
	defer to.mu.Unlock()
	there := to.guests[g.uuid]
	if there == nil || g.reason != hv.PostCopyFailed || there.reason != hv.PostCopyFailed {
		return domain.Errorf(domain.Conflict, "No post-copy of %s broke off.", g.name)
	}
	to.become(there, domain.VMRunning, "moved here from another host")
	g.line.hangUp()
	delete(m.guests, g.uuid)
	m.say(g, hv.GuestGone, "")
	return nil
}

// receives refuses what a destination's libvirt refuses.
func (m *machine) receives(g *guest, doc string, mig hv.Migration) error {
	if m.down {
		return domain.Errorf(domain.Conflict, "The host could not move %s: the destination does not answer.", g.name)
	}
	if m.guests[g.uuid] != nil {
		return domain.Errorf(domain.Conflict, "The destination has a guest with the UUID %s already.", g.uuid)
	}
	if err := m.nameFree(g.name, g.uuid); err != nil {
		return err
	}
	spec := mustParse(doc)
	for _, nic := range spec.NICs {
		if nic.Network != "" && !m.nets[nic.Network].Active {
			return domain.Errorf(domain.Conflict, "The destination has no active network %s.", nic.Network)
		}
	}
	volumes := slices.Collect(maps.Values(m.volumes))
	for _, disk := range spec.Disks {
		here := disk.Source == "" || slices.ContainsFunc(volumes, func(v domain.Volume) bool { return v.Path == disk.Source })
		if !here {
			return domain.Errorf(domain.Conflict, "The destination has no file %s.", disk.Source)
		}
	}
	return nil
}

// SetAhead puts the host's clock so far ahead of the right time, as the figures of moves see it.
func (f *Fake) SetAhead(d time.Duration) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.ahead = d
}

// Moving makes the host tell p of a move of the guest: a fake guest moves in no time, so none is ever under way by itself. What was tuned stays; nil: it is over.
func (f *Fake) Moving(uuid string, p *hv.MigrationProgress) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	was := f.m.moves[uuid]
	if p == nil {
		delete(f.m.moves, uuid)
		return
	}
	if f.m.moves == nil {
		f.m.moves = map[string]*hv.MigrationProgress{}
	}
	now := *p
	if was != nil {
		now.DowntimeLimit, now.MemoryRate, now.PostCopyFaults = was.DowntimeLimit, was.MemoryRate, was.PostCopyFaults
	}
	f.m.moves[uuid] = &now
}

// MigrationProgress implements hv.Migrator.
func (c *conn) MigrationProgress(ctx context.Context, uuid string) (hv.MigrationProgress, error) {
	return do(ctx, c, "MigrationProgress", func(m *machine) (p hv.MigrationProgress, err error) {
		if now := m.moves[uuid]; now != nil {
			return *now, nil
		}
		if _, err = m.find(uuid); err == nil {
			err = domain.Errorf(domain.NotFound, "The VM is not being moved now.")
		}
		return p, err
	})
}

// MigrationResult implements hv.Migrator.
func (c *conn) MigrationResult(ctx context.Context, uuid string) (hv.MigrationProgress, error) {
	return do(ctx, c, "MigrationResult", func(m *machine) (hv.MigrationProgress, error) {
		g, err := m.find(uuid)
		if err != nil {
			return hv.MigrationProgress{}, err
		}
		if g.figures == nil {
			return hv.MigrationProgress{}, domain.Errorf(domain.NotFound, "The host keeps no figures of a migration of the VM.")
		}
		return *g.figures, nil
	})
}

// GuestMemory implements hv.Migrator.
func (c *conn) GuestMemory(ctx context.Context, uuid string, _ time.Duration) (hv.GuestMemory, error) {
	return do(ctx, c, "GuestMemory", func(m *machine) (out hv.GuestMemory, err error) {
		g, err := m.find(uuid)
		if err != nil {
			return out, err
		}
		if g.state != domain.VMRunning {
			return out, domain.Errorf(domain.Conflict, "%s is %s, so it cannot be measured.", g.name, g.state).WithFix("Start it first.")
		}
		return hv.GuestMemory{DirtyRate: g.dirty, Resident: mustParse(g.doc).MemoryBytes}, nil
	})
}

// SetDirtyRate says how fast a guest writes to its memory, in bytes a second.
func (f *Fake) SetDirtyRate(uuid string, rate int64) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if g := f.m.guests[uuid]; g != nil {
		g.dirty = rate
	}
}

// CancelMigration implements hv.Migrator.
func (c *conn) CancelMigration(ctx context.Context, uuid string) error {
	return act(ctx, c, "CancelMigration", func(m *machine) error { _, err := m.find(uuid); return err })
}

func (m *machine) notMoving(uuid string) error {
	g, err := m.find(uuid)
	if err == nil {
		err = domain.Errorf(domain.Conflict, "%s is not being moved now.", g.name)
	}
	return err
}

// StartPostCopy implements hv.Migrator.
func (c *conn) StartPostCopy(ctx context.Context, uuid string) error {
	return act(ctx, c, "StartPostCopy", func(m *machine) error {
		if now := m.moves[uuid]; now != nil {
			now.PostCopyFaults = 1
			return nil
		}
		return m.notMoving(uuid)
	})
}

// TuneMigration implements hv.Migrator.
func (c *conn) TuneMigration(ctx context.Context, uuid string, bandwidth int64, downtime time.Duration) error {
	return act(ctx, c, "TuneMigration", func(m *machine) error {
		if now := m.moves[uuid]; now != nil {
			if bandwidth > 0 {
				now.MemoryRate = bandwidth
			}
			if downtime > 0 {
				now.DowntimeLimit = downtime
			}
		}
		_, err := m.find(uuid)
		return err
	})
}

// Lose takes a guest off the host, as if somebody had ended it and removed its definition by hand.
func (f *Fake) Lose(uuid string) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if g := f.m.guests[uuid]; g != nil {
		delete(f.m.guests, uuid)
		f.m.say(g, hv.GuestGone, "")
	}
}

// Copying is a look at a move of a guest with so much memory, half of it still to be copied, in its first round.
func Copying(memory int64) hv.MigrationProgress {
	return hv.MigrationProgress{MemoryTotal: memory, MemoryLeft: memory / 2, MemoryDone: memory / 2, Iteration: 1}
}
