package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"novacron/domain"
)

// Ties finds what alerts hang on.
func (d *DB) Ties(ctx context.Context, of []domain.Alert) ([]domain.AlertTie, error) {
	return tiesOf(ctx, d.read, of)
}

// Ties finds what alerts hang on.
func (tx *Tx) Ties(of []domain.Alert) ([]domain.AlertTie, error) {
	return tiesOf(tx.ctx, tx.read(), of)
}

func tiesOf(ctx context.Context, q getter, of []domain.Alert) (out []domain.AlertTie, err error) {
	byVM := map[string][]string{}
	for i := range of {
		if id := of[i].VMID; id != "" {
			byVM[id] = append(byVM[id], of[i].ID)
		}
	}
	type place struct{ host, name string }
	seen := map[domain.AlertTie]bool{}
	tie := func(alert, kind, id, name string) {
		if t := (domain.AlertTie{AlertID: alert, Kind: kind, ID: id, Name: name}); !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	var pools []struct {
		Host string `db:"host_id"`
		ID   string
		Name string
	}
	if err := q.SelectContext(ctx, &pools, "SELECT host_id, id, name FROM pools"); err != nil {
		return nil, edge(err, "pool")
	}
	poolAt := map[place]string{}
	for _, p := range pools {
		poolAt[place{p.Host, p.Name}] = p.ID
	}
	for i := range of {
		if id := poolAt[place{of[i].HostID, of[i].Pool}]; id != "" {
			tie(of[i].ID, "pool", id, of[i].Pool)
		}
	}
	if len(byVM) == 0 {
		return out, nil
	}
	ids := make([]string, 0, len(byVM))
	for id := range byVM {
		ids = append(ids, id)
	}
	query, args, err := sqlx.In("SELECT DISTINCT vm_id, host_id, pool FROM disk_uses WHERE pool <> '' AND vm_id IN (?) ORDER BY vm_id, pool", ids)
	if err != nil {
		return nil, edge(err, "disk")
	}
	var disks []struct {
		VM   string `db:"vm_id"`
		Host string `db:"host_id"`
		Pool string
	}
	if err := q.SelectContext(ctx, &disks, query, args...); err != nil {
		return nil, edge(err, "disk")
	}
	for _, x := range disks {
		if id := poolAt[place{x.Host, x.Pool}]; id != "" {
			for _, alert := range byVM[x.VM] {
				tie(alert, "pool", id, x.Pool)
			}
		}
	}
	var nets []struct {
		Host  string `db:"host_id"`
		Name  string
		ID    string
		Group string `db:"grp"`
	}
	err = q.SelectContext(ctx, &nets, "SELECT n.host_id, n.name, n.id, COALESCE(g.group_id, '') AS grp FROM networks n LEFT JOIN network_group_hosts g ON g.host_id = n.host_id AND g.network = n.name ORDER BY n.host_id, n.name")
	if err != nil {
		return nil, edge(err, "network")
	}
	netAt, first := map[place]string{}, map[string]string{}
	for _, n := range nets {
		id := n.ID
		if n.Group != "" { // one network, whose page is that of its first host
			if first[n.Group] == "" {
				first[n.Group] = n.ID
			}
			id = first[n.Group]
		}
		netAt[place{n.Host, n.Name}] = id
	}
	query, args, err = sqlx.In("SELECT v.id, v.host_id, d.config FROM vms v JOIN vm_documents d ON d.vm_id = v.id WHERE v.id IN (?) ORDER BY v.id", ids)
	if err != nil {
		return nil, edge(err, "VM")
	}
	var docs []struct {
		ID     string
		Host   string `db:"host_id"`
		Config string
	}
	if err := q.SelectContext(ctx, &docs, query, args...); err != nil {
		return nil, edge(err, "VM")
	}
	for _, x := range docs {
		var spec domain.VMSpec
		if err := parse(x.Config, &spec); err != nil {
			return nil, err
		}
		for _, card := range spec.NICs {
			if id := netAt[place{x.Host, card.Network}]; id != "" {
				for _, alert := range byVM[x.ID] {
					tie(alert, "network", id, card.Network)
				}
			}
		}
	}
	return out, nil
}
