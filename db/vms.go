package db

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"novacron/domain"
)

// vmColumns is what every reader of VMs needs; documents (configuration, live state, XML) are read apart from it.
const vmColumns = `v.id, v.uuid, v.host_id, h.name, h.state, h.state_since, h.last_seen, v.name, v.state, v.reason, v.state_at, v.autostart, v.creating, v.tags, v.notes,
	v.created_at, v.seen_at, v.version, v.rev, coalesce(l.job_id, ''), coalesce(j.title, ''), v.addresses, v.tenant, v.folder`

const vmTables = ` FROM vms v JOIN hosts h ON h.id = v.host_id LEFT JOIN locks l ON l.resource = v.id LEFT JOIN jobs j ON j.id = l.job_id`

// scanVM reads one row of vmColumns, and more columns into extra.
func scanVM(rows interface{ Scan(...any) error }, vm *domain.VM, rev *int64, extra ...any) error {
	var hostState, lastState, tags, addresses string
	var since, hostSeen, stateAt, created, seen int64
	var autostart, creating bool
	dest := []any{&vm.ID, &vm.UUID, &vm.HostID, &vm.HostName, &hostState, &since, &hostSeen, &vm.Name, &lastState, &vm.Reason, &stateAt, &autostart, &creating, &tags, &vm.Notes,
		&created, &seen, &vm.Version, rev, &vm.BusyJob, &vm.BusyTitle, &addresses, &vm.Tenant, &vm.Folder}
	if err := rows.Scan(append(dest, extra...)...); err != nil {
		return err
	}
	vm.LastState, vm.State, vm.StateAt = domain.VMState(lastState), domain.VMState(lastState), at(stateAt)
	if hostState != string(domain.HostConnected) {
		vm.State, vm.StateAt = domain.VMAway, at(max(since, stateAt))
	}
	vm.Autostart, vm.Creating = autostart, creating
	vm.CreatedAt = at(created)
	vm.SeenAt = at(max(seen, hostSeen)) // a guest that the host no longer had would have no row
	if addresses != "" && lastState == string(domain.VMRunning) {
		if err := parse(addresses, &vm.Addresses); err != nil {
			return err
		}
	}
	if tags == "" || tags == "[]" {
		return nil
	}
	return parse(tags, &vm.Tags)
}

func (d *DB) selectVMs(ctx context.Context, where string, args ...any) ([]domain.VM, error) {
	var vms []domain.VM
	var revs []int64
	err := d.read.each(ctx, func(rows *sql.Rows) error {
		var vm domain.VM
		var rev int64
		if err := scanVM(rows, &vm, &rev); err != nil {
			return err
		}
		vms, revs = append(vms, vm), append(revs, rev)
		return nil
	}, "SELECT "+vmColumns+vmTables+" WHERE "+where, args...)
	if err != nil {
		return nil, edge(err, "VM")
	}
	return vms, d.attach(ctx, vms, revs)
}

func getVM(ctx context.Context, q getter, where string, args ...any) (domain.VM, error) {
	var vm domain.VM
	var rev int64
	var config, live string
	err := q.each(ctx, func(rows *sql.Rows) error { return scanVM(rows, &vm, &rev, &config, &live, &vm.XML) },
		"SELECT "+vmColumns+", d.config, d.live, d.xml"+vmTables+" JOIN vm_documents d ON d.vm_id = v.id WHERE "+where, args...)
	if err == nil && vm.ID == "" {
		err = sql.ErrNoRows
	}
	if err != nil {
		return vm, edge(err, "VM")
	}
	doc, err := decodeDoc(rev, config, live)
	vm.Config, vm.Live, vm.Pending = doc.config, doc.live, doc.pending
	return vm, err
}

// VM reads one VM with everything, when it is in sight.
func (d *DB) VM(ctx context.Context, id string) (domain.VM, error) {
	cond, args := conditionOfSight(ctx)
	return getVM(ctx, d.read, strings.Join(append([]string{"v.id = ?"}, cond...), " AND "), append([]any{id}, args...)...)
}

// VMByUUID finds a VM by what is unique on its host.
func (d *DB) VMByUUID(ctx context.Context, hostID, uuid string) (domain.VM, error) {
	return getVM(ctx, d.read, "v.host_id = ? AND v.uuid = ?", hostID, uuid)
}

// VM reads one VM with everything.
func (tx *Tx) VM(id string) (domain.VM, error) { return getVM(tx.ctx, tx.read(), "v.id = ?", id) }

// VMByUUID finds a VM by what is unique on its host.
func (tx *Tx) VMByUUID(hostID, uuid string) (domain.VM, error) {
	return getVM(tx.ctx, tx.read(), "v.host_id = ? AND v.uuid = ?", hostID, uuid)
}

// SeenHostVMs gives the VMs of a host that are in sight, by name, without XML. What must reckon with every VM asks HostVMs.
func (d *DB) SeenHostVMs(ctx context.Context, hostID string) ([]domain.VM, error) {
	cond, args := conditionOfSight(ctx)
	return d.selectVMs(ctx, strings.Join(append([]string{"v.host_id = ?"}, cond...), " AND ")+" ORDER BY v.name_key, v.id", append([]any{hostID}, args...)...)
}

// SeenPerHost counts the VMs in sight on each host.
func (d *DB) SeenPerHost(ctx context.Context) (map[string]int, error) {
	cond, args := conditionOfSight(ctx)
	out := map[string]int{}
	err := d.read.each(ctx, func(rows *sql.Rows) error {
		var id string
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			return err
		}
		out[id] = n
		return nil
	}, "SELECT v.host_id, count(*) FROM vms v"+and(cond)+" GROUP BY v.host_id", args...)
	return out, edge(err, "VM")
}

// HostVMs gives all VMs of a host by name, without XML.
func (d *DB) HostVMs(ctx context.Context, hostID string) ([]domain.VM, error) {
	return d.selectVMs(ctx, "v.host_id = ? ORDER BY v.name_key, v.id", hostID)
}

// Tags lists every tag in use with how many VMs have it.
func (d *DB) Tags(ctx context.Context) (map[string]int, error) {
	var lists []string
	cond, args := conditionOfSight(ctx)
	if err := d.read.SelectContext(ctx, &lists, "SELECT v.tags FROM vms v"+and(append([]string{"v.tags <> '[]'"}, cond...)), args...); err != nil {
		return nil, edge(err, "VM")
	}
	count := map[string]int{}
	for _, l := range lists {
		var tags []string
		if err := parse(l, &tags); err != nil {
			return nil, err
		}
		for _, t := range tags {
			count[t]++
		}
	}
	return count, nil
}

// CheckVMName is a Conflict on field "name" when another VM of the estate has the name. Adopted VMs may repeat names; new ones may not.
func (tx *Tx) CheckVMName(name, exceptID string) error {
	var hosts []string
	err := tx.read().SelectContext(tx.ctx, &hosts, "SELECT h.name FROM vms v JOIN hosts h ON h.id = v.host_id WHERE lower(v.name) = lower(?) AND v.id <> ? LIMIT 1", name, exceptID)
	if err != nil {
		return edge(err, "VM")
	}
	if len(hosts) == 0 {
		return nil
	}
	msg := "There is a VM “" + name + "” on host " + hosts[0] + " already."
	if !domain.SightOf(tx.ctx).Full() {
		msg = "The name “" + name + "” is taken." // by whom and where is not for everybody
	}
	return &domain.Error{Code: domain.Conflict, Msg: msg, Fix: "Choose another name.", Fields: []domain.FieldError{{Field: "name", Msg: msg, Want: "a name that no VM has"}}}
}

// InsertVM writes a new VM that a job is about to make: ID, UUID, HostID, Name and Config must be set. A name in use is a Conflict.
func (tx *Tx) InsertVM(vm domain.VM) error {
	if vm.Name == "" {
		vm.Name = vm.Config.Name
	}
	if err := tx.CheckVMName(vm.Name, vm.ID); err != nil {
		return err
	}
	if vm.State == "" {
		vm.State = domain.VMStopped
	}
	if vm.CreatedAt.IsZero() {
		vm.CreatedAt = tx.now()
	}
	if vm.StateAt.IsZero() {
		vm.StateAt = vm.CreatedAt
	}
	g := domain.Guest{UUID: vm.UUID, Name: vm.Name, State: vm.State, Reason: vm.Reason, Autostart: vm.Autostart, Persistent: true, Config: vm.Config, Live: vm.Live, XML: vm.XML}
	return tx.insertGuest(vm, g)
}

func (tx *Tx) insertGuest(vm domain.VM, g domain.Guest) error {
	doc, err := encodeDoc(g)
	if err != nil {
		return err
	}
	tags, err := tagText(vm.Tags)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO vms (id, host_id, uuid, name, name_key, title, state, reason, state_at, autostart, creating, persistent, vcpus, memory_bytes, macs, pending,
		tags, notes, search, created_at, seen_at, rev, hash, version, tenant, folder) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, 1, ?, ?)`,
		vm.ID, vm.HostID, g.UUID, g.Name, naturalKey(g.Name), g.Config.Title, string(g.State), g.Reason, ms(vm.StateAt), flag(g.Autostart), flag(vm.Creating), flag(g.Persistent),
		doc.vcpus, doc.memory, doc.macs, doc.pendingCount, tags, vm.Notes, searchText(g, doc.macs, vm.Tags, vm.Notes), ms(vm.CreatedAt), ms(vm.SeenAt), doc.hash, vm.Tenant, vm.Folder)
	if err != nil {
		return edge(err, "VM")
	}
	_, err = tx.exec("INSERT INTO vm_documents (vm_id, config, live, xml) VALUES (?, ?, ?, ?)", vm.ID, doc.configText, doc.liveText, g.XML)
	if err != nil {
		return edge(err, "VM")
	}
	return tx.setUses(vm.ID, vm.HostID, g)
}

// UpsertGuest mirrors a guest as its host reports it. created says that it was not known, changed that the row differs from before in any way;
// a row that says the same already is not written. Events are the caller's to emit. vm is the VM as it is afterwards.
func (tx *Tx) UpsertGuest(hostID string, g domain.Guest, when time.Time) (vm domain.VM, created, changed bool, err error) {
	var old struct {
		ID, Hash, State, Reason, Config, Name, Tags, Notes string
		StateAt                                            int64 `db:"state_at"`
	}
	err = tx.read().GetContext(tx.ctx, &old, `SELECT v.id, v.hash, v.state, v.reason, v.state_at, v.name, v.tags, v.notes, d.config FROM vms v JOIN vm_documents d ON d.vm_id = v.id
		WHERE v.host_id = ? AND v.uuid = ?`, hostID, g.UUID)
	if domain.Is(edge(err, "VM"), domain.NotFound) {
		vm = domain.VM{ID: domain.NewID("vm", when), HostID: hostID, StateAt: when, CreatedAt: when, SeenAt: when}
		if err := tx.insertGuest(vm, g); err != nil {
			return vm, false, false, err
		}
		vm, err = tx.VM(vm.ID)
		return vm, true, true, err
	}
	if err != nil {
		return vm, false, false, edge(err, "VM")
	}
	doc, err := encodeDoc(g)
	if err != nil {
		return vm, false, false, err
	}
	if old.State != string(g.State) {
		old.StateAt = ms(when)
	}
	if doc.hash != old.Hash {
		var tags []string
		if err := parse(old.Tags, &tags); err != nil {
			return vm, false, false, err
		}
		edited := flag(doc.configText != old.Config || g.Name != old.Name)
		if err := tx.one("VM", `UPDATE vms SET name = ?, name_key = ?, title = ?, state = ?, reason = ?, state_at = ?, autostart = ?, persistent = ?, vcpus = ?, memory_bytes = ?,
			macs = ?, pending = ?, search = ?, seen_at = ?, rev = rev + 1, hash = ?, version = version + ? WHERE id = ?`,
			g.Name, naturalKey(g.Name), g.Config.Title, string(g.State), g.Reason, old.StateAt, flag(g.Autostart), flag(g.Persistent), doc.vcpus, doc.memory, doc.macs, doc.pendingCount,
			searchText(g, doc.macs, tags, old.Notes), ms(when), doc.hash, edited, old.ID); err != nil {
			return vm, false, false, err
		}
		if err := tx.one("VM", "UPDATE vm_documents SET config = ?, live = ?, xml = ? WHERE vm_id = ?", doc.configText, doc.liveText, g.XML, old.ID); err != nil {
			return vm, false, false, err
		}
		if err := tx.setUses(old.ID, hostID, g); err != nil {
			return vm, false, false, err
		}
		changed = true
	} else if old.State != string(g.State) || old.Reason != g.Reason {
		if err := tx.one("VM", "UPDATE vms SET state = ?, reason = ?, state_at = ?, seen_at = ? WHERE id = ?", string(g.State), g.Reason, old.StateAt, ms(when), old.ID); err != nil {
			return vm, false, false, err
		}
		changed = true
	}
	vm, err = tx.VM(old.ID)
	return vm, false, changed, err
}

// SetVMState mirrors a state; changed is false, and nothing is written, when it is known already.
func (tx *Tx) SetVMState(id string, state domain.VMState, reason string, when time.Time) (changed bool, err error) {
	var old struct{ State, Reason string }
	if err := tx.read().GetContext(tx.ctx, &old, "SELECT state, reason FROM vms WHERE id = ?", id); err != nil {
		return false, edge(err, "VM")
	}
	if old.State == string(state) && old.Reason == reason {
		return false, nil
	}
	query, args := "UPDATE vms SET state = ?, reason = ?, seen_at = ?", []any{string(state), reason, ms(when)}
	if old.State != string(state) {
		query, args = query+", state_at = ?", append(args, ms(when))
	}
	return true, tx.one("VM", query+" WHERE id = ?", append(args, id)...)
}

// SetVMCreating marks whether the job that makes the VM is under way.
func (tx *Tx) SetVMCreating(id string, creating bool) error {
	return tx.one("VM", "UPDATE vms SET creating = ? WHERE id = ?", flag(creating), id)
}

// DeleteVM forgets a VM.
func (tx *Tx) DeleteVM(id string) error { return tx.one("VM", "DELETE FROM vms WHERE id = ?", id) }

// UpdateVMDescription writes tags and notes when the version is current (0: whichever it is).
func (tx *Tx) UpdateVMDescription(id string, version int64, tags []string, notes string) error {
	vm, err := tx.VM(id)
	if err != nil {
		return err
	}
	if version != 0 && version != vm.Version {
		return stale("VM “"+vm.Name+"”", vm.Version)
	}
	list, err := tagText(tags)
	if err != nil {
		return err
	}
	g := domain.Guest{UUID: vm.UUID, Name: vm.Name, Config: vm.Config, Live: vm.Live}
	return tx.one("VM", "UPDATE vms SET tags = ?, notes = ?, search = ?, version = version + 1 WHERE id = ?", list, notes, searchText(g, macText(g), tags, notes), id)
}

func tagText(tags []string) (string, error) {
	if len(tags) == 0 {
		return "[]", nil
	}
	return text(tags)
}

func macText(g domain.Guest) string {
	var macs []string
	for _, n := range g.Config.NICs {
		macs = append(macs, strings.ToLower(n.MAC))
	}
	if g.Live != nil {
		for _, n := range g.Live.NICs {
			if m := strings.ToLower(n.MAC); !strings.Contains(strings.Join(macs, " "), m) {
				macs = append(macs, m)
			}
		}
	}
	return strings.Join(macs, " ")
}

// searchText is what plain words are looked for in; the line feeds keep a match within one part.
func searchText(g domain.Guest, macs string, tags []string, notes string) string {
	return strings.ToLower(strings.Join(append([]string{g.Name, g.UUID, macs, g.Config.Title, notes}, tags...), "\n"))
}
