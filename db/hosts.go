package db

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"novacron/domain"
)

type hostRow struct {
	ID          string
	Name        string
	URI         string
	State       string
	StateSince  int64  `db:"state_since"`
	StateReason string `db:"state_reason"`
	StateFix    string `db:"state_fix"`
	Maintenance int
	Accel       string
	Labels      string
	Notes       string
	Facts       string
	Scrape      int64 `db:"scrape_seconds"`
	LastSeen    int64 `db:"last_seen"`
	CreatedAt   int64 `db:"created_at"`
	Version     int64
}

const (
	hostNameTaken = "There is a host “%s” already."
	hostURITaken  = "This address is that of the host “%s” already."
)

const hostColumns = "id, name, uri, state, state_since, state_reason, state_fix, maintenance, accel, scrape_seconds, labels, notes, facts, last_seen, created_at, version"

func (r hostRow) host() (domain.Host, error) {
	h := domain.Host{
		ID: r.ID, Name: r.Name, URI: r.URI, State: domain.HostState(r.State), StateSince: at(r.StateSince), StateReason: r.StateReason, StateFix: r.StateFix,
		Maintenance: r.Maintenance != 0, Accel: domain.Accel(r.Accel), Scrape: time.Duration(r.Scrape) * time.Second, Notes: r.Notes, LastSeen: at(r.LastSeen), CreatedAt: at(r.CreatedAt), Version: r.Version,
	}
	if err := parse(r.Labels, &h.Labels); err != nil {
		return h, err
	}
	err := parse(r.Facts, &h.Facts)
	h.Facts = h.Facts.Under(h.Accel)
	return h, err
}

func getHost(ctx context.Context, q getter, id string) (domain.Host, error) {
	var r hostRow
	if err := q.GetContext(ctx, &r, "SELECT "+hostColumns+" FROM hosts WHERE id = ?", id); err != nil {
		return domain.Host{}, edge(err, "host")
	}
	return r.host()
}

// Hosts lists all hosts by name. Labels and lists inside Facts are shared with other readers and must not be altered.
func (d *DB) Hosts(ctx context.Context) ([]domain.Host, error) {
	hosts, err := d.hosts.get(ctx, struct{}{}, func() ([]domain.Host, error) { return d.readHosts(ctx) })
	return slices.Clone(hosts), err
}

func (d *DB) readHosts(ctx context.Context) ([]domain.Host, error) {
	var rows []hostRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+hostColumns+" FROM hosts ORDER BY name_key, id"); err != nil {
		return nil, edge(err, "host")
	}
	hosts := make([]domain.Host, len(rows))
	for i, r := range rows {
		var err error
		if hosts[i], err = r.host(); err != nil {
			return nil, err
		}
	}
	return hosts, nil
}

// Host reads one host.
func (d *DB) Host(ctx context.Context, id string) (domain.Host, error) {
	return getHost(ctx, d.read, id)
}

// Host reads one host.
func (tx *Tx) Host(id string) (domain.Host, error) { return getHost(tx.ctx, tx.read(), id) }

// HostCredentials reads what is needed to reach the host; it is apart from the host so that no page has it by accident.
func (d *DB) HostCredentials(ctx context.Context, id string) (domain.HostCredentials, error) {
	var c domain.HostCredentials
	var s string
	if err := d.read.GetContext(ctx, &s, "SELECT creds FROM host_credentials WHERE host_id = ?", id); err != nil {
		return c, edge(err, "host")
	}
	plain, err := d.box.Open(s, credentialsOf(id))
	if err != nil {
		return c, err
	}
	return c, parse(string(plain), &c)
}

// InsertHost writes a new host. ID, Name, URI and State must be set.
func (tx *Tx) InsertHost(h domain.Host, creds domain.HostCredentials) error {
	if err := tx.hostFree("name", "lower(name) = lower(?)", h.Name, h.ID, hostNameTaken); err != nil {
		return err
	}
	if err := tx.hostFree("uri", "uri = ?", h.URI, h.ID, hostURITaken); err != nil {
		return err
	}
	labels, err := text(h.Labels)
	if err != nil {
		return err
	}
	facts, err := text(h.Facts)
	if err != nil {
		return err
	}
	if h.CreatedAt.IsZero() {
		h.CreatedAt = tx.now()
	}
	if h.StateSince.IsZero() {
		h.StateSince = h.CreatedAt
	}
	_, err = tx.exec(`INSERT INTO hosts (id, name, name_key, uri, state, state_since, state_reason, state_fix, maintenance, labels, notes, facts, cpus, memory_bytes,
		storage_free, storage_total, inventory_hash, last_seen, created_at, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, 1)`,
		h.ID, h.Name, naturalKey(h.Name), h.URI, string(h.State), ms(h.StateSince), h.StateReason, h.StateFix, flag(h.Maintenance), labels, h.Notes, facts, h.Facts.CPUs,
		h.Facts.MemoryBytes, h.Facts.StorageFreeBytes, h.Facts.StorageTotalBytes, ms(h.LastSeen), ms(h.CreatedAt))
	if err != nil {
		return edge(err, "host")
	}
	return tx.SetHostCredentials(h.ID, creds)
}

// hostFree is a Conflict on the field when another host has the value.
func (tx *Tx) hostFree(field, cond, value, exceptID, msg string) error {
	var names []string
	if err := tx.read().SelectContext(tx.ctx, &names, "SELECT name FROM hosts WHERE "+cond+" AND id <> ? LIMIT 1", value, exceptID); err != nil {
		return edge(err, "host")
	}
	if len(names) == 0 {
		return nil
	}
	msg = fmt.Sprintf(msg, names[0])
	return &domain.Error{Code: domain.Conflict, Msg: msg, Fix: "Use another one, or edit that host.", Fields: []domain.FieldError{{Field: field, Msg: msg, Want: "one that no host has"}}}
}

// UpdateHost writes what a person edits (name, notes, labels, maintenance, accelerator, how often it is measured) when h.Version is current, and gives the host as it is then.
func (tx *Tx) UpdateHost(h domain.Host) (domain.Host, error) {
	old, err := tx.Host(h.ID)
	if err != nil {
		return old, err
	}
	if old.Version != h.Version {
		return old, stale("host “"+old.Name+"”", old.Version)
	}
	if err := tx.hostFree("name", "lower(name) = lower(?)", h.Name, h.ID, hostNameTaken); err != nil {
		return old, err
	}
	labels, err := text(h.Labels)
	if err != nil {
		return old, err
	}
	if err := tx.one("host", "UPDATE hosts SET name = ?, name_key = ?, notes = ?, labels = ?, maintenance = ?, accel = ?, scrape_seconds = ?, version = version + 1 WHERE id = ?",
		h.Name, naturalKey(h.Name), h.Notes, labels, flag(h.Maintenance), string(cmp.Or(h.Accel, domain.AccelAuto)), int64(h.Scrape/time.Second), h.ID); err != nil {
		return old, err
	}
	return tx.Host(h.ID)
}

func stale(what string, version int64) *domain.Error {
	return domain.Errorf(domain.Conflict, "The %s was changed meanwhile, in another tab or by someone else.", what).
		WithFix("Look at what it is now (version %d), then send your change again.", version)
}

// SetHostCredentials replaces the credentials.
func (tx *Tx) SetHostCredentials(id string, creds domain.HostCredentials) error {
	s, err := text(creds)
	if err != nil {
		return err
	}
	if s, err = tx.d.box.Seal([]byte(s), credentialsOf(id)); err != nil {
		return err
	}
	return tx.one("host", "INSERT INTO host_credentials (host_id, creds) VALUES (?, ?) ON CONFLICT (host_id) DO UPDATE SET creds = excluded.creds", id, s)
}

// SetHostState says what the connection knows; changed is false, and nothing is written, when it is known already. StateSince moves
// only with the state itself, LastSeen only when it is connected.
func (tx *Tx) SetHostState(id string, state domain.HostState, reason, fix string, when time.Time) (changed bool, err error) {
	old, err := tx.Host(id)
	if err != nil {
		return false, err
	}
	if old.State == state && old.StateReason == reason && old.StateFix == fix {
		return false, nil
	}
	since, seen := old.StateSince, old.LastSeen
	if old.State != state {
		since = when
	}
	if state == domain.HostConnected {
		seen = when
	}
	return true, tx.one("host", "UPDATE hosts SET state = ?, state_reason = ?, state_fix = ?, state_since = ?, last_seen = ? WHERE id = ?", string(state), reason, fix, ms(since), ms(seen), id)
}

// SetHostFacts keeps what the host says of itself; changed is false when it said the same before, free storage apart.
func (tx *Tx) SetHostFacts(id string, facts domain.HostFacts, when time.Time) (changed bool, err error) {
	var row hostRow
	if err := tx.read().GetContext(tx.ctx, &row, "SELECT "+hostColumns+" FROM hosts WHERE id = ?", id); err != nil {
		return false, edge(err, "host")
	}
	var old struct{ Facts domain.HostFacts } // as the host said it, not as a person set it
	if err := parse(row.Facts, &old.Facts); err != nil {
		return false, err
	}
	was, err := text(old.Facts)
	if err != nil {
		return false, err
	}
	now, err := text(facts)
	if err != nil {
		return false, err
	}
	if was == now {
		return false, tx.TouchHost(id, when)
	}
	old.Facts.StorageFreeBytes = facts.StorageFreeBytes
	same, err := text(old.Facts)
	if err != nil {
		return false, err
	}
	return same != now, tx.one("host", "UPDATE hosts SET facts = ?, cpus = ?, memory_bytes = ?, storage_free = ?, storage_total = ?, last_seen = ? WHERE id = ?",
		now, facts.CPUs, facts.MemoryBytes, facts.StorageFreeBytes, facts.StorageTotalBytes, ms(when), id)
}

// TouchHost says that the host and the guests on it were confirmed at that time.
func (tx *Tx) TouchHost(id string, when time.Time) error {
	return tx.one("host", "UPDATE hosts SET last_seen = ? WHERE id = ?", ms(when), id)
}

// DeleteHost forgets the host and all that was mirrored from it.
func (tx *Tx) DeleteHost(id string) error {
	return tx.one("host", "DELETE FROM hosts WHERE id = ?", id)
}

// HostLoads gives what each host carries, by host id; a host without VMs is missing.
func (d *DB) HostLoads(ctx context.Context) (map[string]HostLoad, error) {
	return hostLoads(ctx, d.read)
}

// HostLoads is for placement: read in the transaction that inserts the VM, it is free of races.
func (tx *Tx) HostLoads() (map[string]HostLoad, error) { return hostLoads(tx.ctx, tx.read()) }

func hostLoads(ctx context.Context, q getter) (map[string]HostLoad, error) {
	var rows []struct {
		HostID         string `db:"host_id"`
		VMs            int    `db:"vms"`
		Running        int    `db:"running"`
		VCPUsRunning   int    `db:"vcpus_running"`
		VCPUsDefined   int    `db:"vcpus_defined"`
		MemoryRunning  int64  `db:"memory_running"`
		MemoryDefined  int64  `db:"memory_defined"`
		MemoryCreating int64  `db:"memory_creating"`
	}
	err := q.SelectContext(ctx, &rows, `SELECT host_id, count(*) AS vms,
		sum(CASE WHEN state IN ('running', 'paused') THEN 1 ELSE 0 END) AS running,
		sum(CASE WHEN state IN ('running', 'paused') THEN vcpus ELSE 0 END) AS vcpus_running, sum(vcpus) AS vcpus_defined,
		sum(CASE WHEN state IN ('running', 'paused') THEN memory_bytes ELSE 0 END) AS memory_running, sum(memory_bytes) AS memory_defined,
		sum(CASE WHEN creating = 1 AND state NOT IN ('running', 'paused') THEN memory_bytes ELSE 0 END) AS memory_creating
		FROM vms GROUP BY host_id`)
	if err != nil {
		return nil, edge(err, "host")
	}
	loads := make(map[string]HostLoad, len(rows))
	for _, r := range rows {
		loads[r.HostID] = HostLoad{HostID: r.HostID, VMs: r.VMs, Running: r.Running, VCPUsRunning: r.VCPUsRunning, VCPUsDefined: r.VCPUsDefined,
			MemoryRunning: r.MemoryRunning, MemoryDefined: r.MemoryDefined, MemoryCreating: r.MemoryCreating}
	}
	return loads, nil
}
