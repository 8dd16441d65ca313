package reconcile

import (
	"context"
	"fmt"
	"strconv"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
)

// ChainLimit is the setting that says how many files may lie under a disk before that is worth a warning.
const ChainLimit = "snapshots.chain_limit"

const usualChainLimit = 8

// LimitOfChains reads the setting.
func LimitOfChains(ctx context.Context, d *db.DB) (int, error) {
	v, ok, err := d.Setting(ctx, ChainLimit)
	return limitOf(v, ok), err
}

func limitOf(value string, ok bool) int {
	n, err := strconv.Atoi(value)
	if !ok || err != nil || n < 1 {
		return usualChainLimit
	}
	return n
}

// Snapshots reads a guest's snapshots and writes their rows. It is not told of by libvirt's events, so it is asked for by jobs and by the clock. The result
// has what only we know too.
func (m *Mirror) Snapshots(ctx context.Context, host hv.Host, hostID, uuid string, why Cause) ([]domain.Snapshot, error) {
	tick := m.tick.Add(1)
	listed, err := host.Snapshots(ctx, uuid)
	if err != nil {
		return nil, err
	}
	return m.snapshots(ctx, hostID, uuid, tick, listed, why)
}

// snapshots writes what a look that began at a tick has found.
func (m *Mirror) snapshots(ctx context.Context, hostID, uuid string, tick uint64, listed []domain.Snapshot, why Cause) ([]domain.Snapshot, error) {
	k := m.marks(hostID)
	k.mu.Lock()
	defer k.mu.Unlock()
	vm, err := m.db.VMByUUID(ctx, hostID, uuid)
	if err != nil {
		return nil, err
	}
	if k.snapshots[uuid] > tick {
		return m.db.Snapshots(ctx, vm.ID)
	}
	err = m.db.Write(ctx, func(tx *db.Tx) error { return writeSnapshots(tx, vm, listed, why) })
	if err != nil {
		return nil, err
	}
	k.snapshots[uuid] = tick
	return m.db.Snapshots(ctx, vm.ID)
}

func writeSnapshots(tx *db.Tx, vm domain.VM, listed []domain.Snapshot, why Cause) error {
	changed, err := tx.ReplaceSnapshots(vm.ID, listed)
	if err != nil {
		return err
	}
	resource := domain.Ref{Kind: "vm", ID: vm.ID, Name: vm.Name}
	if changed {
		if err := tx.Emit(why.sign(domain.Event{Kind: "vm.changed", Resource: resource, HostID: vm.HostID, Message: fmt.Sprintf("The snapshots of %s changed.", vm.Name)})); err != nil {
			return err
		}
	}
	if vm, err = tx.VM(vm.ID); err != nil { // its disks may have changed since it was asked for
		return err
	}
	disks := vm.Config.Disks
	if vm.Live != nil {
		disks = vm.Live.Disks
	}
	var files []string
	for _, k := range disks {
		files = append(files, k.Source)
	}
	backings, newer, err := tx.Backings(vm.HostID, files...)
	if err != nil || len(newer) > 0 { // whoever lists those files looks at the chain too; a wrong depth now would be warned of twice
		return err
	}
	depth := domain.ChainDepth(disks, backings)
	was, err := tx.SetChainDepth(vm.ID, depth)
	if err != nil {
		return err
	}
	value, ok, err := tx.Setting(ChainLimit)
	if err != nil {
		return err
	}
	if limit := limitOf(value, ok); depth > limit && was <= limit {
		return tx.Emit(Cause{Actor: why.Actor, JobID: why.JobID}.sign(domain.Event{Kind: "vm.warning", Resource: resource, HostID: vm.HostID,
			Message: fmt.Sprintf("A disk of %s is a chain of %d files, more than the %d that are wise: each makes it slower. Delete snapshots that nobody needs.", vm.Name, depth, limit)}))
	}
	return nil
}

// HostSnapshots looks at the snapshots of every guest of a host. Most guests have none and never had: for those nothing is read or written.
func (m *Mirror) HostSnapshots(ctx context.Context, host hv.Host, hostID string) error {
	vms, err := m.db.SnapshotHolders(ctx, hostID)
	if err != nil {
		return err
	}
	for _, vm := range vms {
		tick := m.tick.Add(1)
		listed, err := host.Snapshots(ctx, vm.UUID)
		if err == nil && (len(listed) > 0 || vm.Holds) {
			_, err = m.snapshots(ctx, hostID, vm.UUID, tick, listed, Cause{})
		}
		if err != nil && !domain.Is(err, domain.NotFound) {
			return err
		}
	}
	return nil
}
