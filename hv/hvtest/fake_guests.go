package hvtest

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"novacron/domain"
	"novacron/hv"
	"novacron/hv/libvirt/domxml"
)

type guest struct {
	uuid, name, doc, live string // live is "" unless running or paused
	state                 domain.VMState
	reason                string
	autostart, deaf       bool
	transient             bool
	line                  *line
	blocks                map[string]*block // by target
	agent                 *Agent
	dirty                 int64                 // bytes a second it writes to its memory
	figures               *hv.MigrationProgress // of the migration that brought it here
	memory                string
	snaps                 map[string]string // documents by name
	current               string            // snapshot
}

func (g *guest) up() bool { return g.state == domain.VMRunning || g.state == domain.VMPaused }

func (g *guest) report() domain.Guest {
	out := domain.Guest{UUID: g.uuid, Name: g.name, State: g.state, Reason: g.reason, Autostart: g.autostart, Persistent: !g.transient, XML: g.doc}
	out.Config = mustParse(g.doc)
	if g.up() {
		live, err := domxml.ParseLive(g.live, out.Config)
		if err != nil {
			panic("hvtest: a stored definition does not parse: " + err.Error())
		}
		out.Live = &live
	}
	return out
}

// mustParse reads what went through Parse or Build before.
func mustParse(doc string) domain.VMSpec {
	s, err := domxml.Parse(doc)
	if err != nil {
		panic("hvtest: a stored definition does not parse: " + err.Error())
	}
	return s
}

func (m *machine) list() []domain.Guest {
	out := make([]domain.Guest, 0, len(m.guests))
	for _, g := range m.guests {
		out = append(out, g.report())
	}
	slices.SortFunc(out, func(a, b domain.Guest) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.UUID, b.UUID))
	})
	return out
}

func (m *machine) find(uuid string) (*guest, error) {
	if g := m.guests[uuid]; g != nil {
		return g, nil
	}
	return nil, domain.Errorf(domain.NotFound, "The host has no guest %s.", uuid).WithFix("It was removed on the host; look at the list of VMs again.")
}

func (m *machine) nameFree(name, uuid string) error {
	for _, g := range m.guests {
		if g.name == name && g.uuid != uuid {
			return domain.Errorf(domain.Conflict, "The host has a guest called %s already.", name).WithFix("Choose another name.")
		}
	}
	return nil
}

func (m *machine) say(g *guest, kind hv.EventKind, detail string) {
	ev := hv.Event{Kind: kind, UUID: g.uuid, Name: g.name, Detail: detail}
	if kind == hv.GuestState {
		ev.State = g.state
	}
	m.emit(ev)
}

// become moves a guest and says so.
func (m *machine) become(g *guest, s domain.VMState, reason string) {
	if !g.up() && (s == domain.VMRunning || s == domain.VMPaused) {
		g.live = g.doc
	}
	g.state, g.reason = s, reason
	if !g.up() {
		g.live, g.blocks = "", nil
		g.line.hangUp()
	}
	m.say(g, hv.GuestState, reason)
	if g.transient && !g.up() {
		delete(m.guests, g.uuid)
		m.say(g, hv.GuestGone, "")
	}
}

// SetState moves a guest as something outside would (the guest itself, a crash, virsh), with the event.
func (f *Fake) SetState(uuid string, s domain.VMState, reason string) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if g := f.m.guests[uuid]; g != nil {
		f.m.become(g, s, reason)
	}
}

// IgnoreShutdown makes a guest deaf to Shutdown.
func (f *Fake) IgnoreShutdown(uuid string, deaf bool) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if g := f.m.guests[uuid]; g != nil {
		g.deaf = deaf
	}
}

// AddGuest puts a guest there as an administrator would, from its definition; it gives the UUID. The document must parse.
func (f *Fake) AddGuest(doc string, state domain.VMState) (uuid string) {
	return f.add(doc, state, false)
}

// AddTransient starts a guest without a definition: when it stops it is gone.
func (f *Fake) AddTransient(doc string) (uuid string) { return f.add(doc, domain.VMRunning, true) }

func (f *Fake) add(doc string, state domain.VMState, transient bool) (uuid string) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	s := mustParse(doc)
	g := &guest{uuid: cmp.Or(s.UUID, domain.NewUUID()), name: s.Name, doc: doc, state: domain.VMStopped, transient: transient, line: newLine()}
	f.m.guests[g.uuid] = g
	f.m.say(g, hv.GuestDefined, "")
	if state != domain.VMStopped {
		f.m.become(g, state, "")
	}
	return g.uuid
}

// Guests implements hv.Guests.
func (c *conn) Guests(ctx context.Context) ([]domain.Guest, error) {
	return do(ctx, c, "Guests", func(m *machine) ([]domain.Guest, error) { return m.list(), nil })
}

// Guest implements hv.Guests.
func (c *conn) Guest(ctx context.Context, uuid string) (domain.Guest, error) {
	return do(ctx, c, "Guest", func(m *machine) (domain.Guest, error) {
		g, err := m.find(uuid)
		if err != nil {
			return domain.Guest{}, err
		}
		return g.report(), nil
	})
}

// GuestStates implements hv.Guests.
func (c *conn) GuestStates(ctx context.Context) (map[string]domain.GuestState, error) {
	return do(ctx, c, "GuestStates", func(m *machine) (map[string]domain.GuestState, error) {
		out := map[string]domain.GuestState{}
		for id, g := range m.guests {
			out[id] = domain.GuestState{State: g.state, Reason: g.reason}
		}
		return out, nil
	})
}

// power is one transition: done lists the states that need nothing, from those it starts in.
func (c *conn) power(ctx context.Context, op, uuid string, done, from []domain.VMState, to domain.VMState, reason string) error {
	return act(ctx, c, op, func(m *machine) error {
		g, err := m.find(uuid)
		if err != nil || slices.Contains(done, g.state) {
			return err
		}
		if !slices.Contains(from, g.state) {
			return domain.Errorf(domain.Conflict, "The guest is %s.", g.state).WithFix("Look at its state again.")
		}
		if op == "Start" && g.state != domain.VMSaved {
			if err := m.fits(g); err != nil {
				return err
			}
		}
		if op == "Shutdown" && g.deaf {
			return nil
		}
		if to == "" { // the state stays
			m.say(g, hv.GuestChanged, reason)
			return nil
		}
		m.become(g, to, reason)
		return nil
	})
}

// fits refuses a start for the reasons that a real host has.
func (m *machine) fits(g *guest) error {
	s := mustParse(g.doc)
	if most := max(s.MemoryBytes, s.MaxMemoryBytes); m.facts.MemoryBytes > 0 && most > m.facts.MemoryBytes {
		return domain.Errorf(domain.Exhausted, "The guest wants %s of memory; the host has %s.", domain.FormatBytes(most), domain.FormatBytes(m.facts.MemoryBytes)).WithFix("Give it less memory, or choose another host.")
	}
	for _, d := range s.Disks {
		for _, p := range m.pools {
			if p.Target != "" && strings.HasPrefix(d.Source, p.Target+"/") {
				if _, ok := m.volumes[p.Name+"/"+strings.TrimPrefix(d.Source, p.Target+"/")]; !ok {
					return domain.Errorf(domain.Conflict, "The disk %s cannot be opened: %s does not exist.", d.Target, d.Source).WithFix("Put the file back, or take the disk out.")
				}
			}
		}
	}
	for _, n := range s.NICs {
		if net, ok := m.nets[n.Network]; n.Network != "" && (!ok || !net.Active) {
			return domain.Errorf(domain.Conflict, "The network %s is not active.", n.Network).WithFix("Start the network on the host.")
		}
	}
	return nil
}

var (
	off     = []domain.VMState{domain.VMStopped, domain.VMCrashed, domain.VMSaved}
	on      = []domain.VMState{domain.VMRunning, domain.VMPaused}
	running = []domain.VMState{domain.VMRunning}
	paused  = []domain.VMState{domain.VMPaused}
	saved   = []domain.VMState{domain.VMSaved}
)

// Start implements hv.Power.
func (c *conn) Start(ctx context.Context, uuid string) error {
	return c.power(ctx, "Start", uuid, running, off, domain.VMRunning, "started")
}

// Shutdown implements hv.Power.
func (c *conn) Shutdown(ctx context.Context, uuid string) error {
	return c.power(ctx, "Shutdown", uuid, off, running, domain.VMStopped, "shut down by the guest")
}

// Stop implements hv.Power.
func (c *conn) Stop(ctx context.Context, uuid string) error {
	return c.power(ctx, "Stop", uuid, off, on, domain.VMStopped, "powered off")
}

// Reboot implements hv.Power.
func (c *conn) Reboot(ctx context.Context, uuid string) error {
	return c.power(ctx, "Reboot", uuid, nil, running, "", "rebooted")
}

// Reset implements hv.Power.
func (c *conn) Reset(ctx context.Context, uuid string) error {
	return c.power(ctx, "Reset", uuid, nil, on, "", "reset")
}

// Pause implements hv.Power.
func (c *conn) Pause(ctx context.Context, uuid string) error {
	return c.power(ctx, "Pause", uuid, paused, running, domain.VMPaused, "paused by a person")
}

// Resume implements hv.Power.
func (c *conn) Resume(ctx context.Context, uuid string) error {
	return c.power(ctx, "Resume", uuid, running, paused, domain.VMRunning, "resumed")
}

// Save implements hv.Power.
func (c *conn) Save(ctx context.Context, uuid string) error {
	return c.power(ctx, "Save", uuid, saved, on, domain.VMSaved, "saved")
}

// Discard implements hv.Power.
func (c *conn) Discard(ctx context.Context, uuid string) error {
	return c.power(ctx, "Discard", uuid, []domain.VMState{domain.VMStopped, domain.VMCrashed, domain.VMRunning, domain.VMPaused}, saved, domain.VMStopped, "saved state discarded")
}

// SetAutostart implements hv.Power.
func (c *conn) SetAutostart(ctx context.Context, uuid string, on bool) error {
	return act(ctx, c, "SetAutostart", func(m *machine) error {
		g, err := m.find(uuid)
		if err == nil {
			g.autostart = on
		}
		return err
	})
}
