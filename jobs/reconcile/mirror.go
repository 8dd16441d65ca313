package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
)

// Cause says who brought a change about. The zero Cause means the host itself or somebody on it.
type Cause struct {
	Actor   string
	JobID   string
	Message string // the event's sentence; empty: made from what changed
}

// Mirror writes what hosts say into the database. Safe for concurrent use.
type Mirror struct {
	db    *db.DB
	clock func() time.Time
	tick  atomic.Uint64 // one per look; a greater one began later

	mu    sync.Mutex
	hosts map[string]*marks
}

// marks remembers, for one host, when the looks behind its rows began.
type marks struct {
	mu        sync.Mutex // held while rows of the host are written
	guests    map[string]uint64
	snapshots map[string]uint64
	inventory uint64
	shape     string // digest of the inventory without its moving figures
}

// NewMirror makes a mirror.
func NewMirror(d *db.DB, clock func() time.Time) *Mirror {
	return &Mirror{db: d, clock: clock, hosts: map[string]*marks{}}
}

func (m *Mirror) marks(hostID string) *marks {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.hosts[hostID]
	if k == nil {
		k = &marks{guests: map[string]uint64{}, snapshots: map[string]uint64{}}
		m.hosts[hostID] = k
	}
	return k
}

// Forget drops what is remembered of a host that left the fleet.
func (m *Mirror) Forget(hostID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.hosts, hostID)
}

// Guest reads one guest and writes its row. A guest that the host does not have loses its row, unless a job other than the cause's holds it; the
// error is NotFound then.
func (m *Mirror) Guest(ctx context.Context, host hv.Host, hostID, uuid string, why Cause) (domain.VM, error) {
	tick := m.tick.Add(1)
	g, err := host.Guest(ctx, uuid)
	if domain.Is(err, domain.NotFound) {
		if gerr := m.gone(ctx, hostID, uuid, tick, why); gerr != nil {
			return domain.VM{}, gerr
		}
		return domain.VM{}, err
	}
	if err != nil {
		return domain.VM{}, err
	}
	k := m.marks(hostID)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.guests[uuid] > tick {
		return m.db.VMByUUID(ctx, hostID, uuid) // a later look has been written already
	}
	var vm domain.VM
	err = m.db.Write(ctx, func(tx *db.Tx) error {
		var err error
		vm, err = m.upsert(tx, hostID, g, why)
		return err
	})
	if err == nil {
		k.guests[uuid] = tick
	}
	return vm, err
}

// upsert writes one guest's row and, if anything changed, its event.
func (m *Mirror) upsert(tx *db.Tx, hostID string, g domain.Guest, why Cause) (domain.VM, error) {
	old, err := tx.VMByUUID(hostID, g.UUID)
	if domain.Is(err, domain.NotFound) {
		arriving, err := arrives(tx, hostID, g.UUID)
		if err != nil || arriving.ID != "" {
			return arriving, err
		}
	} else if err != nil {
		return domain.VM{}, err
	}
	vm, created, changed, err := tx.UpsertGuest(hostID, g, m.clock())
	if err != nil {
		return vm, err
	}
	if vm.Creating && vm.BusyJob == "" {
		// Its job was stuck and a person let go of it; the VM is there all the same.
		if err := tx.SetVMCreating(vm.ID, false); err != nil {
			return vm, err
		}
		vm.Creating, changed = false, true
	}
	if !created && !changed {
		return vm, nil
	}
	ev := domain.Event{Kind: "vm.changed", Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, HostID: hostID, Message: guestSentence(old, vm)}
	if created {
		ev.Kind, ev.Message = "vm.created", fmt.Sprintf("%s was found on its host.", vm.Name)
	}
	if why == (Cause{}) && vm.BusyJob != "" {
		// The host tells of what a job is doing to this very VM: it is the job's doing, and the job's person's.
		job, err := tx.Job(vm.BusyJob)
		if err != nil {
			return vm, err
		}
		why = Cause{Actor: job.Actor, JobID: job.ID}
	}
	return vm, tx.Emit(why.sign(ev))
}

// arrives finds the VM that a job is moving to the host: until the job says where it is, what the host shows of it is not another VM. When the job was let go
// of, the VM is where it is seen.
func arrives(tx *db.Tx, hostID, uuid string) (domain.VM, error) {
	vm, err := tx.VMMovingTo(hostID, uuid)
	if domain.Is(err, domain.NotFound) {
		return domain.VM{}, nil
	}
	if err != nil || vm.BusyJob != "" {
		return vm, err
	}
	return domain.VM{}, tx.MoveVM(vm.ID, hostID)
}

func (c Cause) sign(ev domain.Event) domain.Event {
	ev.Actor, ev.JobID = c.Actor, c.JobID
	if ev.Actor == "" {
		ev.Actor = "host"
	}
	if c.Message != "" {
		ev.Message = c.Message
	}
	return ev
}

// gone removes the row of a guest that its host no longer has.
func (m *Mirror) gone(ctx context.Context, hostID, uuid string, tick uint64, why Cause) error {
	k := m.marks(hostID)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.guests[uuid] > tick {
		return nil
	}
	err := m.db.Write(ctx, func(tx *db.Tx) error { return remove(tx, hostID, uuid, why) })
	if err == nil {
		k.guests[uuid] = tick
	}
	return err
}

func remove(tx *db.Tx, hostID, uuid string, why Cause) error {
	vm, err := tx.VMByUUID(hostID, uuid)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if vm.BusyJob != "" && vm.BusyJob != why.JobID {
		return nil // the job that holds it decides
	}
	if err := tx.DeleteVM(vm.ID); err != nil {
		return err
	}
	msg := fmt.Sprintf("%s is no longer defined on its host.", vm.Name)
	if vm.Creating {
		msg = fmt.Sprintf("%s was never made.", vm.Name)
	}
	return tx.Emit(why.sign(domain.Event{Kind: "vm.removed", Resource: domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}, HostID: hostID, Message: msg}))
}

// Overtake makes looks at a guest that have begun already count as old: whoever takes its row away calls it before, since one of them may have seen the
// guest while it was there, and would write it down again.
func (m *Mirror) Overtake(hostID, uuid string) {
	k := m.marks(hostID)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.guests[uuid] = m.tick.Add(1)
}

// Host reads everything of a host that has just been connected, or anew, and writes it in one transaction that also says it is connected.
func (m *Mirror) Host(ctx context.Context, host hv.Host, hostID string) error {
	tick := m.tick.Add(1)
	before, err := m.db.HostVMs(ctx, hostID)
	if err != nil {
		return err
	}
	var facts domain.HostFacts
	var guests []domain.Guest
	var inv domain.Inventory
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { facts, err = host.Facts(gctx); return })
	g.Go(func() (err error) { guests, err = host.Guests(gctx); return })
	g.Go(func() (err error) { inv, err = host.Inventory(gctx); return })
	if err := g.Wait(); err != nil {
		return err
	}
	k := m.marks(hostID)
	k.mu.Lock()
	defer k.mu.Unlock()
	known, err := m.shape(ctx, k, hostID)
	if err != nil {
		return err
	}
	now := m.clock()
	fresh := shapeOf(inv)
	wroteInventory := k.inventory <= tick
	var written []string
	err = m.db.Write(ctx, func(tx *db.Tx) error {
		h, err := tx.Host(hostID)
		if err != nil {
			return err
		}
		ref := domain.Ref{Kind: "host", ID: hostID, Name: h.Name}
		emit := func(msg string) error {
			return tx.Emit(domain.Event{Kind: "host.changed", Resource: ref, HostID: hostID, Actor: "host", Message: msg})
		}
		newFacts, err := tx.SetHostFacts(hostID, facts, now)
		if err != nil {
			return err
		}
		connected, err := tx.SetHostState(hostID, domain.HostConnected, "", "", now)
		if err != nil {
			return err
		}
		if connected {
			err = emit(fmt.Sprintf("%s is connected.", h.Name))
		} else if newFacts {
			err = emit(fmt.Sprintf("%s reports other facts about itself.", h.Name))
		}
		if err != nil {
			return err
		}
		if written, err = m.guests(tx, k, tick, hostID, before, guests); err != nil {
			return err
		}
		if wroteInventory {
			changed, err := tx.ReplaceInventory(hostID, inv)
			if err != nil {
				return err
			}
			if changed && fresh != known && !connected {
				if err := emit(fmt.Sprintf("Storage, networks or devices of %s changed.", h.Name)); err != nil {
					return err
				}
			}
		}
		return tx.TouchHost(hostID, now)
	})
	if err != nil {
		return err
	}
	for _, uuid := range written {
		k.guests[uuid] = tick
	}
	if wroteInventory {
		k.inventory, k.shape = tick, fresh
	}
	return nil
}

// guests writes a full listing: rows of those listed, and no rows for those that were there before and are not.
func (m *Mirror) guests(tx *db.Tx, k *marks, tick uint64, hostID string, before []domain.VM, listed []domain.Guest) (written []string, err error) {
	have := make(map[string]bool, len(listed))
	for _, g := range listed {
		have[g.UUID] = true
		if k.guests[g.UUID] > tick {
			continue
		}
		if _, err := m.upsert(tx, hostID, g, Cause{}); err != nil {
			return nil, err
		}
		written = append(written, g.UUID)
	}
	for _, vm := range before {
		if have[vm.UUID] || k.guests[vm.UUID] > tick {
			continue
		}
		if err := remove(tx, hostID, vm.UUID, Cause{}); err != nil {
			return nil, err
		}
		written = append(written, vm.UUID)
	}
	return written, nil
}

// States asks for the cheap states of all guests and reads those anew whose row says otherwise.
func (m *Mirror) States(ctx context.Context, host hv.Host, hostID string) error {
	rows, err := m.db.HostVMs(ctx, hostID)
	if err != nil {
		return err
	}
	states, err := host.GuestStates(ctx)
	if err != nil {
		return err
	}
	var stale []string
	for _, vm := range rows {
		st, ok := states[vm.UUID]
		if !ok || st.State != vm.LastState {
			stale = append(stale, vm.UUID)
		}
		delete(states, vm.UUID)
	}
	for uuid := range states {
		stale = append(stale, uuid)
	}
	slices.Sort(stale)
	for _, uuid := range stale {
		if _, err := m.Guest(ctx, host, hostID, uuid, Cause{}); err != nil && !domain.Is(err, domain.NotFound) {
			return err
		}
	}
	return m.db.Write(ctx, func(tx *db.Tx) error { return tx.TouchHost(hostID, m.clock()) })
}

// Inventory reads pools, volumes, networks and devices and writes them.
func (m *Mirror) Inventory(ctx context.Context, host hv.Host, hostID string, why Cause) error {
	tick := m.tick.Add(1)
	inv, err := host.Inventory(ctx)
	if err != nil {
		return err
	}
	k := m.marks(hostID)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.inventory > tick {
		return nil
	}
	known, err := m.shape(ctx, k, hostID)
	if err != nil {
		return err
	}
	fresh := shapeOf(inv)
	err = m.db.Write(ctx, func(tx *db.Tx) error {
		h, err := tx.Host(hostID)
		if err != nil {
			return err
		}
		changed, err := tx.ReplaceInventory(hostID, inv)
		if err != nil || !changed || fresh == known {
			return err
		}
		return tx.Emit(why.sign(domain.Event{Kind: "host.changed", Resource: domain.Ref{Kind: "host", ID: hostID, Name: h.Name}, HostID: hostID,
			Message: fmt.Sprintf("Storage, networks or devices of %s changed.", h.Name)}))
	})
	if err == nil {
		k.inventory, k.shape = tick, fresh
	}
	return err
}

// ended tells whether a look failed because it was told to stop.
func ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || domain.Is(err, domain.Unavailable))
}
