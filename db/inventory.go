package db

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"slices"
	"strings"

	"novacron/domain"
)

// ReplaceInventory mirrors what a host lists besides guests; changed is false, and nothing is written, when it lists the same as before.
func (tx *Tx) ReplaceInventory(hostID string, inv domain.Inventory) (changed bool, err error) {
	// Hosts list in no fixed order; the order must not look like a change.
	inv = domain.Inventory{Pools: slices.Clone(inv.Pools), Volumes: slices.Clone(inv.Volumes), Networks: slices.Clone(inv.Networks), Devices: slices.Clone(inv.Devices)}
	slices.SortFunc(inv.Pools, func(a, b domain.Pool) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(inv.Volumes, func(a, b domain.Volume) int {
		return cmp.Or(strings.Compare(a.Pool, b.Pool), strings.Compare(a.Name, b.Name))
	})
	slices.SortFunc(inv.Networks, func(a, b domain.Network) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(inv.Devices, func(a, b domain.Device) int { return strings.Compare(a.Name, b.Name) })
	doc, err := text(inv)
	if err != nil {
		return false, err
	}
	sum := sha256.Sum256([]byte(doc))
	hash := hex.EncodeToString(sum[:])
	var old string
	if err := tx.read().GetContext(tx.ctx, &old, "SELECT inventory_hash FROM hosts WHERE id = ?", hostID); err != nil {
		return false, edge(err, "host")
	}
	if old == hash {
		return false, nil
	}
	for _, table := range []string{"pools", "volumes", "networks", "devices"} {
		if _, err := tx.exec("DELETE FROM "+table+" WHERE host_id = ?", hostID); err != nil {
			return false, edge(err, "inventory")
		}
	}
	if err := tx.insertInventory(hostID, inv); err != nil {
		return false, edge(err, "inventory entry")
	}
	return true, tx.one("host", "UPDATE hosts SET inventory_hash = ? WHERE id = ?", hash, hostID)
}

func (tx *Tx) insertInventory(hostID string, inv domain.Inventory) error {
	pools := map[string]string{}
	for _, p := range inv.Pools {
		id := domain.PoolID(hostID, p.Name, p.Identity)
		pools[p.Name] = id
		source, err := text(p.Source)
		if err != nil {
			return err
		}
		if _, err := tx.exec("INSERT INTO pools (id, identity, host_id, name, uuid, type, active, autostart, target, source, capacity_bytes, allocation_bytes, available_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			id, p.Identity, hostID, p.Name, p.UUID, p.Type, flag(p.Active), flag(p.Autostart), p.Target, source, p.CapacityBytes, p.AllocationBytes, p.AvailableBytes); err != nil {
			return err
		}
	}
	for _, v := range inv.Volumes {
		if _, err := tx.exec("INSERT INTO volumes (id, pool_id, host_id, pool, name, path, format, capacity_bytes, allocation_bytes, backing, backing_format, encrypted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			domain.VolumeID(pools[v.Pool], v.Name), pools[v.Pool], hostID, v.Pool, v.Name, v.Path, v.Format, v.CapacityBytes, v.AllocationBytes, v.Backing, v.BackingFormat, flag(v.Encrypted)); err != nil {
			return err
		}
	}
	for _, n := range inv.Networks {
		if err := tx.insertNetwork(hostID, n); err != nil {
			return err
		}
	}
	for _, dev := range inv.Devices {
		if _, err := tx.exec("INSERT INTO devices (host_id, name, kind, label, parent, driver, address, model, class, assignable, why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			hostID, dev.Name, dev.Kind, dev.Label, dev.Parent, dev.Driver, dev.Address, dev.Model, dev.Class, flag(dev.Assignable), dev.Why); err != nil {
			return err
		}
	}
	return nil
}

type poolRow struct {
	ID, Identity    string
	HostID          string `db:"host_id"`
	Name            string
	UUID            string
	Type            string
	Active          bool
	Autostart       bool
	Target          string
	Source          string
	CapacityBytes   int64 `db:"capacity_bytes"`
	AllocationBytes int64 `db:"allocation_bytes"`
	AvailableBytes  int64 `db:"available_bytes"`
}

const poolColumns = "id, identity, host_id, name, uuid, type, active, autostart, target, source, capacity_bytes, allocation_bytes, available_bytes"

func (r poolRow) pool() (domain.Pool, error) {
	var source domain.PoolSource
	if err := parse(r.Source, &source); err != nil {
		return domain.Pool{}, err
	}
	return domain.Pool{ID: r.ID, Identity: r.Identity, HostID: r.HostID, UUID: r.UUID, Name: r.Name, Type: r.Type, Active: r.Active, Autostart: r.Autostart, Target: r.Target,
		Source: source, CapacityBytes: r.CapacityBytes, AllocationBytes: r.AllocationBytes, AvailableBytes: r.AvailableBytes}, nil
}

type volumeRow struct {
	ID              string
	PoolID          string `db:"pool_id"`
	HostID          string `db:"host_id"`
	Pool            string
	Name            string
	Path            string
	Format          string
	CapacityBytes   int64 `db:"capacity_bytes"`
	AllocationBytes int64 `db:"allocation_bytes"`
	Backing         string
	BackingFormat   string `db:"backing_format"`
	Encrypted       bool
}

const volumeColumns = "id, pool_id, host_id, pool, name, path, format, capacity_bytes, allocation_bytes, backing, backing_format, encrypted"

func (r volumeRow) volume() domain.Volume {
	return domain.Volume{ID: r.ID, PoolID: r.PoolID, HostID: r.HostID, Pool: r.Pool, Name: r.Name, Path: r.Path, Format: r.Format, CapacityBytes: r.CapacityBytes,
		AllocationBytes: r.AllocationBytes, Backing: r.Backing, BackingFormat: r.BackingFormat, Encrypted: r.Encrypted}
}

type deviceRow struct {
	HostID                string `db:"host_id"`
	Name                  string
	Kind                  string
	Label                 string
	Parent                string
	Driver                string
	Address, Model, Class string
	Assignable            bool
	Why                   string
}

func onHost(hostID, column string) (cond []string, args []any) {
	if hostID != "" {
		cond, args = append(cond, column+" = ?"), append(args, hostID)
	}
	return cond, args
}

func each[R, T any](rows []R, to func(R) T) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = to(r)
	}
	return out
}

func poolsOf(rows []poolRow) ([]domain.Pool, error) {
	out := make([]domain.Pool, len(rows))
	for i, r := range rows {
		p, err := r.pool()
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

// Pools lists storage pools of a host, or of all hosts when hostID is empty. Shared storage is there once for every host that sees it.
func (d *DB) Pools(ctx context.Context, hostID string) ([]domain.Pool, error) {
	cond, args := onHost(hostID, "host_id")
	var rows []poolRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+poolColumns+" FROM pools"+and(cond)+" ORDER BY host_id, name", args...); err != nil {
		return nil, edge(err, "pool")
	}
	return poolsOf(rows)
}

// PoolOn lists a pool as each host that sees it reports it, by its id. NotFound.
func (d *DB) PoolOn(ctx context.Context, id string) ([]domain.Pool, error) {
	var rows []poolRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+poolColumns+" FROM pools WHERE id = ? ORDER BY host_id, name", id); err != nil {
		return nil, edge(err, "pool")
	}
	if len(rows) == 0 {
		return nil, edge(sql.ErrNoRows, "pool")
	}
	return poolsOf(rows)
}

// Volumes lists volumes of a host and pool; empty means all.
func (d *DB) Volumes(ctx context.Context, hostID, pool string) ([]domain.Volume, error) {
	cond, args := onHost(hostID, "host_id")
	if pool != "" {
		cond, args = append(cond, "pool = ?"), append(args, pool)
	}
	var rows []volumeRow
	err := d.read.SelectContext(ctx, &rows, "SELECT "+volumeColumns+" FROM volumes"+and(cond)+" ORDER BY host_id, pool, name", args...)
	return each(rows, volumeRow.volume), edge(err, "volume")
}

// VolumesInSight is Volumes without those that the context's sight does not show.
func (d *DB) VolumesInSight(ctx context.Context, hostID, pool string) ([]domain.Volume, error) {
	cond, args := onHost(hostID, "v.host_id")
	if pool != "" {
		cond, args = append(cond, "v.pool = ?"), append(args, pool)
	}
	mine, of := volumesInSight(ctx)
	var rows []volumeRow
	err := d.read.SelectContext(ctx, &rows, "SELECT "+volumeColumns+" FROM volumes v"+and(append(cond, mine...))+" ORDER BY v.host_id, v.pool, v.name", append(args, of...)...)
	return each(rows, volumeRow.volume), edge(err, "volume")
}

// VolumeOn lists a volume as each host that sees it reports it, by its id. NotFound.
func (d *DB) VolumeOn(ctx context.Context, id string) ([]domain.Volume, error) {
	var rows []volumeRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+volumeColumns+" FROM volumes WHERE id = ? ORDER BY host_id, pool", id); err != nil {
		return nil, edge(err, "volume")
	}
	if len(rows) == 0 {
		return nil, edge(sql.ErrNoRows, "volume")
	}
	return each(rows, volumeRow.volume), nil
}

// Devices lists node devices of a host, or of all hosts when hostID is empty.
func (d *DB) Devices(ctx context.Context, hostID string) ([]domain.Device, error) {
	cond, args := onHost(hostID, "host_id")
	var rows []deviceRow
	err := d.read.SelectContext(ctx, &rows, "SELECT host_id, name, kind, label, parent, driver, address, model, class, assignable, why FROM devices"+and(cond)+" ORDER BY host_id, kind, name", args...)
	out := make([]domain.Device, len(rows))
	for i, r := range rows {
		out[i] = domain.Device{HostID: r.HostID, Name: r.Name, Kind: r.Kind, Label: r.Label, Parent: r.Parent, Driver: r.Driver,
			Address: r.Address, Model: r.Model, Class: r.Class, Assignable: r.Assignable, Why: r.Why}
	}
	return out, edge(err, "device")
}
