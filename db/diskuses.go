package db

import (
	"context"
	"slices"

	"github.com/jmoiron/sqlx"

	"novacron/domain"
)

// setUses keeps which files and volumes a guest has as disks, and which cards.
func (tx *Tx) setUses(vmID, hostID string, g domain.Guest) error {
	if err := tx.setDiskUses(vmID, hostID, g); err != nil {
		return err
	}
	return tx.setCardUses(vmID, g)
}

func (tx *Tx) setDiskUses(vmID, hostID string, g domain.Guest) error {
	if _, err := tx.exec("DELETE FROM disk_uses WHERE vm_id = ?", vmID); err != nil {
		return edge(err, "disk")
	}
	if err := tx.insertDiskUses(vmID, hostID, g.Config.Disks, false); err != nil || g.Live == nil {
		return err
	}
	return tx.insertDiskUses(vmID, hostID, g.Live.Disks, true)
}

func (tx *Tx) insertDiskUses(vmID, hostID string, disks []domain.Disk, live bool) error {
	for _, d := range disks {
		if d.Source == "" && d.Volume == "" {
			continue // an empty tray
		}
		fixed := d.ReadOnly || d.Device == "cdrom" || d.Device == "floppy"
		_, err := tx.exec("INSERT INTO disk_uses (vm_id, live, target, host_id, path, pool, volume, read_only) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			vmID, flag(live), d.Target, hostID, d.Source, d.Pool, d.Volume, flag(fixed))
		if err != nil {
			return edge(err, "disk")
		}
	}
	return nil
}

// chainReach is how far a chain of backing images is followed; libvirt itself stops at 200.
const chainReach = 200

// VolumeUsers names everything that needs a volume, on any host that sees it: VMs that have it, or anything built on it, as a disk, and volumes that are built on
// it. Nearest first. NotFound when there is no such volume.
func (d *DB) VolumeUsers(ctx context.Context, volumeID string) ([]domain.VolumeUser, error) {
	at, err := d.VolumeOn(ctx, volumeID)
	if err != nil {
		return nil, err
	}
	above, err := d.overlays(ctx, at)
	if err != nil {
		return nil, err
	}
	var out []domain.VolumeUser
	for i, level := range append([][]domain.Volume{at}, above...) {
		users, err := d.diskUsers(ctx, level, i == 0)
		if err != nil {
			return nil, err
		}
		out = append(out, users...)
		if i == 0 {
			continue
		}
		seen := map[string]bool{}
		for _, v := range level {
			if !seen[v.ID] {
				out = append(out, domain.VolumeUser{Kind: "volume", ID: v.ID, Name: v.Name, HostID: v.HostID, Path: v.Path, Direct: i == 1})
			}
			seen[v.ID] = true
		}
	}
	return out, d.nameHosts(ctx, out)
}

func (d *DB) nameHosts(ctx context.Context, users []domain.VolumeUser) error {
	var rows []struct{ ID, Name string }
	if err := d.read.SelectContext(ctx, &rows, "SELECT id, name FROM hosts"); err != nil {
		return edge(err, "host")
	}
	names := make(map[string]string, len(rows))
	for _, r := range rows {
		names[r.ID] = r.Name
	}
	for i := range users {
		users[i].HostName = names[users[i].HostID]
	}
	return nil
}

// overlays gives the volumes that are built on the given ones, level by level, each as every host sees it.
func (d *DB) overlays(ctx context.Context, on []domain.Volume) ([][]domain.Volume, error) {
	var out [][]domain.Volume
	seen := map[string]bool{}
	for _, v := range on {
		seen[v.ID] = true
	}
	for level := on; len(level) > 0 && len(out) < chainReach; {
		ids := map[string]bool{}
		for host, paths := range pathsByHost(level) {
			query, args, err := sqlx.In("SELECT id FROM volumes WHERE host_id = ? AND backing IN (?)", host, paths)
			if err != nil {
				return nil, edge(err, "volume")
			}
			var found []string
			if err := d.read.SelectContext(ctx, &found, query, args...); err != nil {
				return nil, edge(err, "volume")
			}
			for _, id := range found {
				if !seen[id] {
					seen[id], ids[id] = true, true
				}
			}
		}
		next, err := d.volumesByID(ctx, ids)
		if err != nil {
			return nil, err
		}
		if len(next) > 0 {
			out = append(out, next)
		}
		level = next
	}
	return out, nil
}

func pathsByHost(vols []domain.Volume) map[string][]string {
	out := map[string][]string{}
	for _, v := range vols {
		if v.Path != "" {
			out[v.HostID] = append(out[v.HostID], v.Path)
		}
	}
	return out
}

func (d *DB) volumesByID(ctx context.Context, ids map[string]bool) ([]domain.Volume, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	list := make([]string, 0, len(ids))
	for id := range ids {
		list = append(list, id)
	}
	query, args, err := sqlx.In("SELECT "+volumeColumns+" FROM volumes WHERE id IN (?) ORDER BY name, id, host_id", list)
	if err != nil {
		return nil, edge(err, "volume")
	}
	var rows []volumeRow
	if err := d.read.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, edge(err, "volume")
	}
	return each(rows, volumeRow.volume), nil
}

// diskUsers gives the VMs that have one of the volumes as a disk, one entry per VM and disk.
func (d *DB) diskUsers(ctx context.Context, vols []domain.Volume, direct bool) ([]domain.VolumeUser, error) {
	var out []domain.VolumeUser
	for _, v := range vols {
		var rows []struct {
			ID, Name, Target string
			Live, ReadOnly   bool
		}
		err := d.read.SelectContext(ctx, &rows, `SELECT v.id, v.name, u.target, u.live, u.read_only AS readonly FROM disk_uses u JOIN vms v ON v.id = u.vm_id
			WHERE u.host_id = ? AND (u.path = ? AND u.path <> '' OR u.pool = ? AND u.volume = ? AND u.volume <> '') ORDER BY v.name, v.id, u.target`, v.HostID, v.Path, v.Pool, v.Name)
		if err != nil {
			return nil, edge(err, "disk")
		}
		for _, r := range rows {
			i := slices.IndexFunc(out, func(u domain.VolumeUser) bool { return u.ID == r.ID && u.Target == r.Target && u.Path == v.Path })
			if i < 0 {
				out = append(out, domain.VolumeUser{Kind: "vm", ID: r.ID, Name: r.Name, HostID: v.HostID, Path: v.Path, Target: r.Target, Direct: direct, ReadOnly: true})
				i = len(out) - 1
			}
			u := &out[i]
			u.Live, u.Config, u.ReadOnly = u.Live || r.Live, u.Config || !r.Live, u.ReadOnly && r.ReadOnly
		}
	}
	return out, nil
}
