package db

import (
	"context"
	"path"
	"slices"
	"time"

	"novacron/domain"
)

type snapshotRow struct {
	ID, Name, Description, Kind, State, Parent, Disks, Notes, Tier string
	VMID                                                           string `db:"vm_id"`
	HostID                                                         string `db:"host_id"`
	CreatedAt                                                      int64  `db:"created_at"`
	Memory, Current, Quiesced, Ours                                bool
	MemoryFile                                                     string `db:"memory_file"`
	ScheduleID                                                     string `db:"schedule_id"`
	MadeBy                                                         string `db:"made_by"`
	RoomBefore                                                     int64  `db:"room_before"`
}

const snapshotColumns = `s.id, s.vm_id, v.host_id, s.name, s.description, s.created_at, s.kind, s.memory, s.memory_file, s.state, s.parent, s.is_current AS current, s.disks,
	coalesce(n.notes, '') AS notes, coalesce(n.quiesced, 0) AS quiesced, coalesce(n.schedule_id, '') AS schedule_id, coalesce(n.tier, '') AS tier,
	coalesce(n.made_by, '') AS made_by, coalesce(n.room_before, -1) AS room_before, n.snapshot_id IS NOT NULL AS ours FROM snapshots s JOIN vms v ON v.id = s.vm_id LEFT JOIN snapshot_notes n ON n.snapshot_id = s.id`

func (r snapshotRow) snapshot() (domain.Snapshot, error) {
	s := domain.Snapshot{
		ID: r.ID, VMID: r.VMID, HostID: r.HostID, Name: r.Name, Notes: r.Description, CreatedAt: at(r.CreatedAt), Kind: domain.SnapshotKind(r.Kind), Memory: r.Memory, MemoryFile: r.MemoryFile,
		Quiesced: r.Quiesced, State: domain.VMState(r.State), Parent: r.Parent, Current: r.Current, ScheduleID: r.ScheduleID, Tier: domain.ScheduleTier(r.Tier), MadeBy: r.MadeBy, RoomBefore: r.RoomBefore,
	}
	if r.Ours {
		s.Notes = r.Notes
	}
	return s, parse(r.Disks, &s.Disks)
}

func selectSnapshots(ctx context.Context, q getter, where string, args ...any) ([]domain.Snapshot, error) {
	var rows []snapshotRow
	if err := q.SelectContext(ctx, &rows, "SELECT "+snapshotColumns+" WHERE "+where, args...); err != nil {
		return nil, edge(err, "snapshot")
	}
	out := make([]domain.Snapshot, 0, len(rows))
	for _, r := range rows {
		s, err := r.snapshot()
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return domain.SortSnapshots(out), nil
}

// sized fills in what the overlays take up, from the mirror of volumes.
func sized(ctx context.Context, q getter, hostID string, all []domain.Snapshot) error {
	var files []string
	for _, s := range all {
		files = append(files, s.Files()...)
		for _, k := range s.Disks {
			if k.Kind == domain.SnapshotInternal {
				files = append(files, k.Base)
			}
		}
	}
	if len(files) == 0 {
		return nil
	}
	var rows []struct {
		Path string
		Size int64 `db:"allocation_bytes"`
	}
	if err := q.SelectContext(ctx, &rows, "SELECT path, allocation_bytes FROM volumes WHERE host_id = ? AND path <> ''", hostID); err != nil {
		return edge(err, "volume")
	}
	size := map[string]int64{}
	for _, r := range rows {
		size[r.Path] = r.Size
	}
	for i := range all {
		for k := range all[i].Disks {
			all[i].Disks[k].SizeBytes = size[all[i].Disks[k].File]
			if all[i].Disks[k].Kind == domain.SnapshotInternal {
				all[i].RoomNow += size[all[i].Disks[k].Base]
			}
		}
		all[i].MemoryBytes = size[all[i].MemoryFile]
	}
	return nil
}

// Snapshots lists a VM's snapshots, parents before children, with what they take up.
func (d *DB) Snapshots(ctx context.Context, vmID string) ([]domain.Snapshot, error) {
	all, err := selectSnapshots(ctx, d.read, "s.vm_id = ?", vmID)
	if err != nil || len(all) == 0 {
		return all, err
	}
	return all, sized(ctx, d.read, all[0].HostID, all)
}

// Snapshot reads one of a VM's snapshots. NotFound.
func (d *DB) Snapshot(ctx context.Context, vmID, id string) (domain.Snapshot, error) {
	all, err := d.Snapshots(ctx, vmID)
	if err != nil {
		return domain.Snapshot{}, err
	}
	return pick(all, id)
}

func pick(all []domain.Snapshot, id string) (domain.Snapshot, error) {
	i := slices.IndexFunc(all, func(s domain.Snapshot) bool { return s.ID == id })
	if i < 0 {
		return domain.Snapshot{}, domain.Errorf(domain.NotFound, "There is no such snapshot.").WithFix("It may have been deleted meanwhile; look at the VM's snapshots again.")
	}
	return all[i], nil
}

// Snapshots lists a VM's snapshots, without sizes.
func (tx *Tx) Snapshots(vmID string) ([]domain.Snapshot, error) {
	return selectSnapshots(tx.ctx, tx.read(), "s.vm_id = ?", vmID)
}

// CountSnapshots tells how many snapshots a VM has.
func (tx *Tx) CountSnapshots(vmID string) (n int, err error) {
	err = tx.read().GetContext(tx.ctx, &n, "SELECT count(*) FROM snapshots WHERE vm_id = ?", vmID)
	return n, edge(err, "snapshot")
}

// ReplaceSnapshots mirrors the snapshots that a VM's host lists; changed is false, and nothing is written, when it lists the same as before.
func (tx *Tx) ReplaceSnapshots(vmID string, all []domain.Snapshot) (changed bool, err error) {
	var old []struct {
		ID, Description, Parent, Disks string
		Current                        bool
	}
	if err := tx.read().SelectContext(tx.ctx, &old, "SELECT id, description, parent, disks, is_current AS current FROM snapshots WHERE vm_id = ?", vmID); err != nil {
		return false, edge(err, "snapshot")
	}
	type row struct {
		description, parent, disks string
		current                    bool
	}
	have := map[string]row{}
	for _, o := range old {
		have[o.ID] = row{o.Description, o.Parent, o.Disks, o.Current}
	}
	disks := make([]string, len(all))
	same := len(old) == len(all)
	for i, s := range all {
		if disks[i], err = text(s.Disks); err != nil {
			return false, err
		}
		if have[domain.SnapshotID(vmID, s.Name, s.CreatedAt)] != (row{s.Notes, s.Parent, disks[i], s.Current}) {
			same = false
		}
	}
	if same {
		return false, nil
	}
	if _, err := tx.exec("DELETE FROM snapshots WHERE vm_id = ?", vmID); err != nil {
		return false, edge(err, "snapshot")
	}
	for i, s := range all {
		if _, err := tx.exec(`INSERT INTO snapshots (id, vm_id, name, description, created_at, kind, memory, memory_file, state, parent, is_current, disks) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			domain.SnapshotID(vmID, s.Name, s.CreatedAt), vmID, s.Name, s.Notes, ms(s.CreatedAt), string(s.Kind), flag(s.Memory), s.MemoryFile, string(s.State), s.Parent, flag(s.Current), disks[i]); err != nil {
			return false, edge(err, "snapshot")
		}
	}
	return true, nil
}

// NoteSnapshot writes what only we know of a snapshot.
func (tx *Tx) NoteSnapshot(s domain.Snapshot) error {
	return tx.one("snapshot", `INSERT INTO snapshot_notes (snapshot_id, vm_id, notes, quiesced, schedule_id, tier, made_by, room_before) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (snapshot_id) DO UPDATE SET notes = excluded.notes, quiesced = excluded.quiesced, schedule_id = excluded.schedule_id, tier = excluded.tier, made_by = excluded.made_by,
		room_before = excluded.room_before`,
		s.ID, s.VMID, s.Notes, flag(s.Quiesced), s.ScheduleID, string(s.Tier), s.MadeBy, s.RoomBefore)
}

// ForgetSnapshotNotes drops what was known of snapshots of a VM that are no longer.
func (tx *Tx) ForgetSnapshotNotes(vmID string) error {
	_, err := tx.exec("DELETE FROM snapshot_notes WHERE vm_id = ? AND snapshot_id NOT IN (SELECT id FROM snapshots WHERE vm_id = ?)", vmID, vmID)
	return edge(err, "snapshot")
}

// SetChainDepth remembers how long the longest chain under a VM's disks is, and gives what it was.
func (tx *Tx) SetChainDepth(vmID string, depth int) (was int, err error) {
	err = edge(tx.read().GetContext(tx.ctx, &was, "SELECT depth FROM vm_chains WHERE vm_id = ?", vmID), "chain")
	if err != nil && !domain.Is(err, domain.NotFound) {
		return 0, err
	}
	if err == nil && was == depth {
		return was, nil
	}
	return was, tx.one("chain", "INSERT INTO vm_chains (vm_id, depth) VALUES (?, ?) ON CONFLICT (vm_id) DO UPDATE SET depth = excluded.depth", vmID, depth)
}

// SnapshotHolder is a guest of a host, and whether snapshots or a chain under its disks are known of it.
type SnapshotHolder struct {
	UUID  string `db:"uuid"`
	Holds bool   `db:"holds"`
}

// SnapshotHolders lists the guests of a host that are there, by name.
func (d *DB) SnapshotHolders(ctx context.Context, hostID string) ([]SnapshotHolder, error) {
	var out []SnapshotHolder
	err := d.read.SelectContext(ctx, &out, `SELECT v.uuid, EXISTS (SELECT 1 FROM snapshots s WHERE s.vm_id = v.id) OR EXISTS (SELECT 1 FROM vm_chains c WHERE c.vm_id = v.id AND c.depth > 0) AS holds
		FROM vms v WHERE v.host_id = ? AND v.creating = 0 ORDER BY v.name_key`, hostID)
	return out, edge(err, "snapshot")
}

// ChainDepth is how long the longest chain under a VM's disks is; 0 when that is not known.
func (d *DB) ChainDepth(ctx context.Context, vmID string) (depth int, err error) {
	err = edge(d.read.GetContext(ctx, &depth, "SELECT depth FROM vm_chains WHERE vm_id = ?", vmID), "chain")
	if domain.Is(err, domain.NotFound) {
		return 0, nil
	}
	return depth, err
}

// LongChains lists the VMs with more files under a disk than limit, the longest first, and at most max of them.
func (d *DB) LongChains(ctx context.Context, limit, max int) ([]domain.LongChain, error) {
	cond, args := conditionOfSight(ctx)
	var out []domain.LongChain
	err := d.read.SelectContext(ctx, &out, "SELECT v.id, v.name, c.depth FROM vm_chains c JOIN vms v ON v.id = c.vm_id JOIN hosts h ON h.id = v.host_id"+and(append([]string{"c.depth > ?"}, cond...))+
		" ORDER BY c.depth DESC, v.name_key, v.id LIMIT ?", append(append([]any{limit}, args...), max)...)
	return out, edge(err, "chain")
}

// volumesOf lists a host's volumes in a transaction.
func (tx *Tx) volumesOf(hostID string) ([]domain.Volume, error) {
	var rows []volumeRow
	err := tx.read().SelectContext(tx.ctx, &rows, "SELECT "+volumeColumns+" FROM volumes WHERE host_id = ?", hostID)
	return each(rows, volumeRow.volume), edge(err, "volume")
}

// Backings reads which file of a host is built on which, and which of some files are not listed though others of their folder are: the list is older than they.
func (tx *Tx) Backings(hostID string, of ...string) (b domain.Backings, newer []string, err error) {
	vs, err := tx.volumesOf(hostID)
	listed, folders := map[string]bool{}, map[string]bool{}
	for _, v := range vs {
		listed[v.Path], folders[path.Dir(v.Path)] = true, true
	}
	for _, f := range of {
		if !listed[f] && folders[path.Dir(f)] {
			newer = append(newer, f)
		}
	}
	return domain.BackingsOf(vs), newer, err
}

type scheduleRow struct {
	ID, Name, Plan string
	Tenant         string
	Enabled        bool
	NextAt         int64  `db:"next_at"`
	LastAt         int64  `db:"last_at"`
	LastJob        string `db:"last_job"`
	LastResult     string `db:"last_result"`
	CreatedAt      int64  `db:"created_at"`
	Version        int64
}

// schedulePlan is the part of a schedule that SQL does not look into.
type schedulePlan struct {
	VMs      []string         `json:"vms"`
	Tags     []string         `json:"tags"`
	TimeZone string           `json:"time_zone"`
	Quiesce  bool             `json:"quiesce"`
	Hourly   *domain.TierPlan `json:"hourly,omitempty"`
	Daily    *domain.TierPlan `json:"daily,omitempty"`
	Weekly   *domain.TierPlan `json:"weekly,omitempty"`
}

const scheduleColumns = "id, name, tenant, enabled, plan, next_at, last_at, last_job, last_result, created_at, version"

func (r scheduleRow) schedule() (domain.SnapshotSchedule, error) {
	var p schedulePlan
	err := parse(r.Plan, &p)
	return domain.SnapshotSchedule{
		ID: r.ID, Name: r.Name, Tenant: r.Tenant, Enabled: r.Enabled, VMs: p.VMs, Tags: p.Tags, TimeZone: p.TimeZone, Quiesce: p.Quiesce, Hourly: p.Hourly, Daily: p.Daily, Weekly: p.Weekly,
		NextAt: at(r.NextAt), LastAt: at(r.LastAt), LastJob: r.LastJob, LastResult: r.LastResult, CreatedAt: at(r.CreatedAt), Version: r.Version,
	}, err
}

func selectSchedules(ctx context.Context, q getter, where string, args ...any) ([]domain.SnapshotSchedule, error) {
	var rows []scheduleRow
	if err := q.SelectContext(ctx, &rows, "SELECT "+scheduleColumns+" FROM snapshot_schedules WHERE "+where+" ORDER BY lower(name), id", args...); err != nil {
		return nil, edge(err, "schedule")
	}
	out := make([]domain.SnapshotSchedule, 0, len(rows))
	sight := domain.SightOf(ctx)
	for _, r := range rows {
		if !sight.SeesOf(r.Tenant, "") {
			continue
		}
		s, err := r.schedule()
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Schedules lists the snapshot schedules in sight by name.
func (d *DB) Schedules(ctx context.Context) ([]domain.SnapshotSchedule, error) {
	return selectSchedules(ctx, d.read, "1 = 1")
}

// Schedule reads one. NotFound.
func (d *DB) Schedule(ctx context.Context, id string) (domain.SnapshotSchedule, error) {
	return oneSchedule(selectSchedules(ctx, d.read, "id = ?", id))
}

// Schedule reads one. NotFound.
func (tx *Tx) Schedule(id string) (domain.SnapshotSchedule, error) {
	return oneSchedule(selectSchedules(tx.ctx, tx.read(), "id = ?", id))
}

func oneSchedule(all []domain.SnapshotSchedule, err error) (domain.SnapshotSchedule, error) {
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such schedule.").WithFix("It may have been deleted meanwhile; look at the list again.")
	}
	if err != nil {
		return domain.SnapshotSchedule{}, err
	}
	return all[0], nil
}

// PutSchedule writes a schedule, new or changed. Version must be the one that was read (0: new). A name in use is a Conflict.
func (tx *Tx) PutSchedule(s domain.SnapshotSchedule) error {
	plan, err := text(schedulePlan{s.VMs, s.Tags, s.TimeZone, s.Quiesce, s.Hourly, s.Daily, s.Weekly})
	if err != nil {
		return err
	}
	var other string
	err = edge(tx.read().GetContext(tx.ctx, &other, "SELECT id FROM snapshot_schedules WHERE tenant = ? AND lower(name) = lower(?) AND id <> ?", s.Tenant, s.Name, s.ID), "schedule")
	if err == nil {
		msg := "There is a schedule called “" + s.Name + "” already."
		return &domain.Error{Code: domain.Conflict, Msg: msg, Fix: "Choose another name.", Fields: []domain.FieldError{{Field: "name", Msg: msg, Want: "a name that no schedule has"}}}
	}
	if !domain.Is(err, domain.NotFound) {
		return err
	}
	if s.Version == 0 {
		return tx.one("schedule", "INSERT INTO snapshot_schedules (id, name, tenant, enabled, plan, next_at, last_at, last_job, last_result, created_at, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
			s.ID, s.Name, s.Tenant, flag(s.Enabled), plan, ms(s.NextAt), ms(s.LastAt), s.LastJob, s.LastResult, ms(s.CreatedAt))
	}
	now, err := tx.Schedule(s.ID)
	if err != nil {
		return err
	}
	if now.Version != s.Version {
		return stale("schedule “"+now.Name+"”", now.Version)
	}
	return tx.one("schedule", "UPDATE snapshot_schedules SET name = ?, enabled = ?, plan = ?, next_at = ?, version = version + 1 WHERE id = ?", s.Name, flag(s.Enabled), plan, ms(s.NextAt), s.ID)
}

// BeginSchedule notes that a job was begun for a schedule, and when the next one is due.
func (tx *Tx) BeginSchedule(id, jobID string, now, next time.Time) error {
	return tx.one("schedule", "UPDATE snapshot_schedules SET last_at = ?, last_job = ?, last_result = '', next_at = ? WHERE id = ?", ms(now), jobID, ms(next), id)
}

// EndSchedule notes how the last job of a schedule ended, if it is still the last one.
func (tx *Tx) EndSchedule(id, jobID, result string) error {
	_, err := tx.exec("UPDATE snapshot_schedules SET last_result = ? WHERE id = ? AND last_job = ?", result, id, jobID)
	return edge(err, "schedule")
}

// DeleteSchedule forgets a schedule; its snapshots stay.
func (tx *Tx) DeleteSchedule(id string) error {
	return tx.one("schedule", "DELETE FROM snapshot_schedules WHERE id = ?", id)
}
