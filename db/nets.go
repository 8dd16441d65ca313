package db

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"novacron/domain"
)

type networkRow struct {
	ID        string
	HostID    string `db:"host_id"`
	Name      string
	UUID      string
	Active    bool
	Autostart bool
	Mode      string
	Bridge    string
	CIDR      string
	Spec      string
	Group     sql.NullString `db:"group_id"`
}

const networkColumns = `n.id, n.host_id, n.name, n.uuid, n.active, n.autostart, n.mode, n.bridge, n.cidr, n.spec,
	(SELECT g.group_id FROM network_group_hosts g WHERE g.host_id = n.host_id AND g.network = n.name) AS group_id`

// networkDoc is what of a network only its own page needs.
type networkDoc struct {
	Spec    domain.NetworkSpec `json:"spec"`
	Pending []domain.Change    `json:"pending,omitempty"`
}

func (r networkRow) network() (domain.Network, error) {
	n := domain.Network{ID: r.ID, HostID: r.HostID, UUID: r.UUID, Name: r.Name, Active: r.Active, Autostart: r.Autostart, Mode: r.Mode, Bridge: r.Bridge, CIDR: r.CIDR, GroupID: r.Group.String}
	var doc networkDoc
	err := parse(r.Spec, &doc)
	n.Spec, n.Pending = doc.Spec, doc.Pending
	return n, err
}

func (tx *Tx) insertNetwork(hostID string, n domain.Network) error {
	doc, err := text(networkDoc{n.Spec, n.Pending})
	if err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO networks (id, host_id, name, uuid, active, autostart, mode, bridge, cidr, spec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		domain.NetworkID(hostID, n.Name), hostID, n.Name, n.UUID, flag(n.Active), flag(n.Autostart), n.Mode, n.Bridge, n.CIDR, doc)
	return err
}

func (d *DB) selectNetworks(ctx context.Context, q getter, where string, args ...any) ([]domain.Network, error) {
	return selectNetworks(ctx, q, where, args...)
}

func selectNetworks(ctx context.Context, q getter, where string, args ...any) ([]domain.Network, error) {
	var rows []networkRow
	if err := q.SelectContext(ctx, &rows, "SELECT "+networkColumns+" FROM networks n"+where, args...); err != nil {
		return nil, edge(err, "network")
	}
	out := make([]domain.Network, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.network(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Networks lists networks of a host, or of all hosts when hostID is empty.
func (d *DB) Networks(ctx context.Context, hostID string) ([]domain.Network, error) {
	cond, args := onHost(hostID, "n.host_id")
	mine, of := ownedInSight(ctx, "n.id", true)
	cond, args = append(cond, mine...), append(args, of...)
	return d.selectNetworks(ctx, d.read, and(cond)+" ORDER BY n.host_id, n.name", args...)
}

// Network reads a network by its id. NotFound.
func (d *DB) Network(ctx context.Context, id string) (domain.Network, error) {
	mine, of := inSight(ctx, "n.id")
	all, err := d.selectNetworks(ctx, d.read, " WHERE n.id = ?"+mine, append([]any{id}, of...)...)
	if err != nil {
		return domain.Network{}, err
	}
	if len(all) == 0 {
		return domain.Network{}, edge(sql.ErrNoRows, "network")
	}
	return all[0], nil
}

// Networks lists networks of a host in this transaction.
func (tx *Tx) Networks(hostID string) ([]domain.Network, error) {
	return selectNetworks(tx.ctx, tx.read(), " WHERE n.host_id = ? ORDER BY n.name", hostID)
}

// NetworkGroup is networks of several hosts that were made as one.
type NetworkGroup struct {
	ID      string
	Name    string
	Spec    domain.NetworkSpec // what each should be
	HostIDs []string
}

// SaveNetworkGroup writes a group with its hosts, new or anew. A network that belonged to another group leaves it.
func (tx *Tx) SaveNetworkGroup(g NetworkGroup) error {
	doc, err := text(g.Spec)
	if err != nil {
		return err
	}
	if _, err := tx.exec("INSERT INTO network_groups (id, name, spec, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, spec = excluded.spec",
		g.ID, g.Name, doc, ms(tx.now())); err != nil {
		return edge(err, "network")
	}
	if _, err := tx.exec("DELETE FROM network_group_hosts WHERE group_id = ?", g.ID); err != nil {
		return edge(err, "network")
	}
	for _, h := range g.HostIDs {
		if _, err := tx.exec("INSERT INTO network_group_hosts (group_id, host_id, network) VALUES (?, ?, ?) ON CONFLICT (host_id, network) DO UPDATE SET group_id = excluded.group_id", g.ID, h, g.Name); err != nil {
			return edge(err, "network")
		}
	}
	return nil
}

// DeleteNetworkGroup forgets that networks belong together.
func (tx *Tx) DeleteNetworkGroup(id string) error {
	_, err := tx.exec("DELETE FROM network_groups WHERE id = ?", id)
	return edge(err, "network")
}

// LeaveNetworkGroup forgets that a host's network belongs to others; the group goes with the last.
func (tx *Tx) LeaveNetworkGroup(hostID, network string) error {
	if _, err := tx.exec("DELETE FROM network_group_hosts WHERE host_id = ? AND network = ?", hostID, network); err != nil {
		return edge(err, "network")
	}
	_, err := tx.exec("DELETE FROM network_groups WHERE id NOT IN (SELECT group_id FROM network_group_hosts)")
	return edge(err, "network")
}

// NetworkGroup reads one. NotFound.
func (d *DB) NetworkGroup(ctx context.Context, id string) (NetworkGroup, error) {
	var row struct{ ID, Name, Spec string }
	if err := d.read.GetContext(ctx, &row, "SELECT id, name, spec FROM network_groups WHERE id = ?", id); err != nil {
		return NetworkGroup{}, edge(err, "network")
	}
	g := NetworkGroup{ID: row.ID, Name: row.Name}
	if err := parse(row.Spec, &g.Spec); err != nil {
		return g, err
	}
	err := d.read.SelectContext(ctx, &g.HostIDs, "SELECT host_id FROM network_group_hosts WHERE group_id = ? ORDER BY host_id", id)
	return g, edge(err, "network")
}

// NetworkGroups lists all groups with their hosts.
func (d *DB) NetworkGroups(ctx context.Context) ([]domain.NetworkGroupSpec, error) {
	var rows []struct {
		ID, Name, Spec string
		HostID         sql.NullString `db:"host_id"`
	}
	err := d.read.SelectContext(ctx, &rows, `SELECT g.id, g.name, g.spec, m.host_id FROM network_groups g LEFT JOIN network_group_hosts m ON m.group_id = g.id ORDER BY g.id, m.host_id`)
	if err != nil {
		return nil, edge(err, "network")
	}
	var out []domain.NetworkGroupSpec
	for _, r := range rows {
		if len(out) == 0 || out[len(out)-1].ID != r.ID {
			g := domain.NetworkGroupSpec{ID: r.ID, Name: r.Name}
			if err := parse(r.Spec, &g.Spec); err != nil {
				return nil, err
			}
			out = append(out, g)
		}
		if r.HostID.Valid {
			g := &out[len(out)-1]
			g.HostIDs = append(g.HostIDs, r.HostID.String)
		}
	}
	return out, nil
}

type leaseRow struct {
	Network, MAC, IP, Hostname string
	HostID                     string `db:"host_id"`
	ClientID                   string `db:"client_id"`
	Prefix                     int
	Expires                    int64
}

// ReplaceLeases mirrors what a host's networks gave out.
func (tx *Tx) ReplaceLeases(hostID string, byNetwork map[string][]domain.Lease) error {
	var rows []leaseRow
	if err := tx.read().SelectContext(tx.ctx, &rows, "SELECT host_id, network, mac, ip, prefix, hostname, client_id, expires FROM leases WHERE host_id = ?", hostID); err != nil {
		return edge(err, "lease")
	}
	known, want := map[leaseRow]bool{}, map[leaseRow]bool{}
	for _, r := range rows {
		known[r] = true
	}
	for network, ls := range byNetwork {
		for _, l := range ls {
			want[leaseRow{network, l.MAC, l.IP, l.Hostname, hostID, l.ClientID, l.Prefix, l.Expires}] = true
		}
	}
	for r := range known {
		if !want[r] {
			if _, err := tx.exec("DELETE FROM leases WHERE host_id = ? AND network = ? AND mac = ? AND ip = ?", hostID, r.Network, r.MAC, r.IP); err != nil {
				return edge(err, "lease")
			}
		}
	}
	for r := range want {
		if !known[r] {
			if _, err := tx.exec("INSERT INTO leases (host_id, network, mac, ip, prefix, hostname, client_id, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (host_id, network, mac, ip) DO NOTHING",
				hostID, r.Network, r.MAC, r.IP, r.Prefix, r.Hostname, r.ClientID, r.Expires); err != nil {
				return edge(err, "lease")
			}
		}
	}
	return nil
}

// Leases lists what a network gave out, as last asked.
func (d *DB) Leases(ctx context.Context, hostID, network string) ([]domain.Lease, error) {
	var rows []leaseRow
	err := d.read.SelectContext(ctx, &rows, "SELECT host_id, network, mac, ip, prefix, hostname, client_id, expires FROM leases WHERE host_id = ? AND network = ? ORDER BY ip", hostID, network)
	return each(rows, leaseRow.lease), edge(err, "lease")
}

// LeasesNamed lists what all networks of one name gave out, by host.
func (d *DB) LeasesNamed(ctx context.Context, network string) (map[string][]domain.Lease, error) {
	var rows []leaseRow
	err := d.read.SelectContext(ctx, &rows, "SELECT host_id, network, mac, ip, prefix, hostname, client_id, expires FROM leases WHERE network = ? ORDER BY host_id, ip", network)
	if err != nil {
		return nil, edge(err, "lease")
	}
	out := map[string][]domain.Lease{}
	for _, r := range rows {
		out[r.HostID] = append(out[r.HostID], r.lease())
	}
	return out, nil
}

func (r leaseRow) lease() domain.Lease {
	return domain.Lease{MAC: r.MAC, IP: r.IP, Prefix: r.Prefix, Hostname: r.Hostname, ClientID: r.ClientID, Expires: r.Expires}
}

// SetAddresses writes what is known of a VM's addresses; changed is false, and nothing is written, when that is known already.
func (tx *Tx) SetAddresses(vmID string, addrs []domain.Address) (changed bool, err error) {
	doc := ""
	if len(addrs) > 0 {
		if doc, err = text(addrs); err != nil {
			return false, err
		}
	}
	n, err := tx.exec("UPDATE vms SET addresses = ? WHERE id = ? AND addresses <> ?", doc, vmID, doc)
	return n > 0, edge(err, "VM")
}

// MACUser gives a VM of the estate that has a card with the address, other than the excepted one; ok is false when there is none.
func (tx *Tx) MACUser(mac, exceptVM string) (vm domain.VM, ok bool, err error) {
	var ids []string
	err = tx.read().SelectContext(tx.ctx, &ids, "SELECT id FROM vms WHERE macs LIKE ? AND id <> ? LIMIT 1", "%"+strings.ToLower(mac)+"%", exceptVM)
	if err != nil || len(ids) == 0 {
		return vm, false, edge(err, "VM")
	}
	vm, err = tx.VM(ids[0])
	return vm, err == nil, err
}

// AllVMs gives every VM of the estate by name, without XML.
func (d *DB) AllVMs(ctx context.Context) ([]domain.VM, error) {
	return d.selectVMs(ctx, "1 = 1 ORDER BY v.name_key, v.id")
}

// UsesNetwork tells whether a VM has a card on a network, in its definition or while it runs.
func UsesNetwork(vm domain.VM, network string) bool {
	on := func(n domain.NIC) bool { return n.Network == network }
	return slices.ContainsFunc(vm.Config.NICs, on) || vm.Live != nil && slices.ContainsFunc(vm.Live.NICs, on)
}

// NetworkVMs lists the VMs of a host that have a card on a network.
func (d *DB) NetworkVMs(ctx context.Context, hostID, network string) ([]domain.VM, error) {
	all, err := d.HostVMs(ctx, hostID)
	return slices.DeleteFunc(all, func(vm domain.VM) bool { return !UsesNetwork(vm, network) }), err
}

type groupRow struct {
	ID, Name, Description, Rules string
	Spoofing                     bool
	Version                      int64
	CreatedAt                    int64 `db:"created_at"`
}

const groupColumns = "id, name, description, rules, spoofing, version, created_at"

func (r groupRow) group() (domain.SecurityGroup, error) {
	g := domain.SecurityGroup{ID: r.ID, Name: r.Name, Description: r.Description, Spoofing: r.Spoofing, Version: r.Version, CreatedAt: at(r.CreatedAt), Rules: []domain.SecRule{}}
	return g, parse(r.Rules, &g.Rules)
}

func groups(ctx context.Context, q getter, where string, args ...any) ([]domain.SecurityGroup, error) {
	var rows []groupRow
	if err := q.SelectContext(ctx, &rows, "SELECT "+groupColumns+" FROM security_groups"+where, args...); err != nil {
		return nil, edge(err, "security group")
	}
	out := make([]domain.SecurityGroup, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.group(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// SecurityGroups lists all, by name.
func (d *DB) SecurityGroups(ctx context.Context) ([]domain.SecurityGroup, error) {
	return groups(ctx, d.read, " ORDER BY lower(name)")
}

// SecurityGroups lists all, by name, in this transaction.
func (tx *Tx) SecurityGroups() ([]domain.SecurityGroup, error) {
	return groups(tx.ctx, tx.read(), " ORDER BY lower(name)")
}

// SecurityGroup reads one by id or name. NotFound.
func (d *DB) SecurityGroup(ctx context.Context, id string) (domain.SecurityGroup, error) {
	found, err := groups(ctx, d.read, " WHERE id = ? OR lower(name) = lower(?)", id, id)
	if err == nil && len(found) == 0 {
		err = edge(sql.ErrNoRows, "security group")
	}
	if err != nil {
		return domain.SecurityGroup{}, err
	}
	return found[0], nil
}

// SaveSecurityGroup writes a new group (Version 0), or a known one that still has the version it was read with.
func (tx *Tx) SaveSecurityGroup(g domain.SecurityGroup) error {
	rules, err := text(g.Rules)
	if err != nil {
		return err
	}
	var taken int
	if err := tx.read().GetContext(tx.ctx, &taken, "SELECT count(*) FROM security_groups WHERE lower(name) = lower(?) AND id <> ?", g.Name, g.ID); err != nil {
		return edge(err, "security group")
	}
	if taken > 0 {
		e := domain.InvalidField("name", "There is a security group “"+g.Name+"” already.", "another name")
		e.Code = domain.Conflict
		return e
	}
	if g.Version == 0 {
		_, err = tx.exec("INSERT INTO security_groups ("+groupColumns+") VALUES (?, ?, ?, ?, ?, 1, ?)", g.ID, g.Name, g.Description, rules, flag(g.Spoofing), ms(tx.now()))
		return edge(err, "security group")
	}
	n, err := tx.exec("UPDATE security_groups SET name = ?, description = ?, rules = ?, spoofing = ?, version = version + 1 WHERE id = ? AND version = ?",
		g.Name, g.Description, rules, flag(g.Spoofing), g.ID, g.Version)
	if err == nil && n == 0 {
		return domain.Errorf(domain.Conflict, "The security group “%s” was changed or deleted meanwhile.", g.Name).WithFix("Load it again and repeat your change.")
	}
	return edge(err, "security group")
}

// DeleteSecurityGroup removes a group and the sets it was in.
func (tx *Tx) DeleteSecurityGroup(id string) error {
	if _, err := tx.exec("DELETE FROM filter_sets WHERE filter IN (SELECT filter FROM filter_sets WHERE group_id = ?)", id); err != nil {
		return edge(err, "security group")
	}
	_, err := tx.exec("DELETE FROM security_groups WHERE id = ?", id)
	return edge(err, "security group")
}

// SaveFilterSet remembers which groups a filter stands for and gives the filter's name.
func (tx *Tx) SaveFilterSet(groupIDs []string) (string, error) {
	name := domain.FilterName(groupIDs)
	for _, id := range groupIDs {
		if _, err := tx.exec("INSERT INTO filter_sets (filter, group_id) VALUES (?, ?) ON CONFLICT (filter, group_id) DO NOTHING", name, id); err != nil {
			return "", edge(err, "security group")
		}
	}
	return name, nil
}

// FilterSets gives the ids of the groups that each filter stands for.
func (d *DB) FilterSets(ctx context.Context) (map[string][]string, error) {
	var rows []struct {
		Filter  string
		GroupID string `db:"group_id"`
	}
	if err := d.read.SelectContext(ctx, &rows, "SELECT filter, group_id FROM filter_sets ORDER BY filter, group_id"); err != nil {
		return nil, edge(err, "security group")
	}
	out := map[string][]string{}
	for _, r := range rows {
		out[r.Filter] = append(out[r.Filter], r.GroupID)
	}
	return out, nil
}

// HostFilters gives the digest of every filter that was defined, by host and filter.
func (d *DB) HostFilters(ctx context.Context) (map[string]map[string]string, error) {
	var rows []struct {
		HostID         string `db:"host_id"`
		Filter, Digest string
	}
	if err := d.read.SelectContext(ctx, &rows, "SELECT host_id, filter, digest FROM host_filters"); err != nil {
		return nil, edge(err, "filter")
	}
	out := map[string]map[string]string{}
	for _, r := range rows {
		if out[r.HostID] == nil {
			out[r.HostID] = map[string]string{}
		}
		out[r.HostID][r.Filter] = r.Digest
	}
	return out, nil
}

// SetHostFilter remembers what was defined on a host; an empty digest forgets it.
func (tx *Tx) SetHostFilter(hostID, filter, digest string) error {
	if digest == "" {
		_, err := tx.aside("DELETE FROM host_filters WHERE host_id = ? AND filter = ?", hostID, filter)
		return edge(err, "filter")
	}
	_, err := tx.aside("INSERT INTO host_filters (host_id, filter, digest) VALUES (?, ?, ?) ON CONFLICT (host_id, filter) DO UPDATE SET digest = excluded.digest", hostID, filter, digest)
	return edge(err, "filter")
}
