package db

import (
	"context"

	"novacron/domain"
)

type policyRow struct {
	Scope  string
	ID     string
	Name   string
	Policy string
}

const policyQuery = `SELECT p.scope, p.id, COALESCE(v.name, h.name, t.name, '') AS name, p.policy FROM migration_policies p
	LEFT JOIN vms v ON p.scope = 'vm' AND v.id = p.id LEFT JOIN hosts h ON p.scope = 'host' AND h.id = p.id LEFT JOIN tenants t ON p.scope = 'tenant' AND t.id = p.id
	WHERE (p.scope = 'estate' OR v.id IS NOT NULL OR h.id IS NOT NULL OR t.id IS NOT NULL)`

func scoped(rows []policyRow) ([]domain.ScopedPolicy, error) {
	out := make([]domain.ScopedPolicy, len(rows))
	for i, r := range rows {
		out[i] = domain.ScopedPolicy{Scope: domain.PolicyScope(r.Scope), ID: r.ID, Name: r.Name}
		if err := parse(r.Policy, &out[i].Policy); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// MigrationPolicies lists the policies of what is still there, by scope and name.
func (d *DB) MigrationPolicies(ctx context.Context) ([]domain.ScopedPolicy, error) {
	var rows []policyRow
	if err := d.read.SelectContext(ctx, &rows, policyQuery+" ORDER BY p.scope, name, p.id"); err != nil {
		return nil, edge(err, "migration policy")
	}
	return scoped(rows)
}

// PoliciesFor gives the policies that are written for a VM, its tenant, its host and the estate, in this order; those that are not written are left out.
func (d *DB) PoliciesFor(ctx context.Context, vmID, tenant, host string) ([]domain.ScopedPolicy, error) {
	var rows []policyRow
	err := d.read.SelectContext(ctx, &rows, policyQuery+` AND (p.scope = 'estate' OR p.scope = 'vm' AND p.id = ? OR p.scope = 'tenant' AND p.id = ? OR p.scope = 'host' AND p.id = ?)
		ORDER BY CASE p.scope WHEN 'vm' THEN 0 WHEN 'tenant' THEN 1 WHEN 'host' THEN 2 ELSE 3 END`, vmID, tenant, host)
	if err != nil {
		return nil, edge(err, "migration policy")
	}
	return scoped(rows)
}

// SetMigrationPolicy writes the policy of one scope; an empty one takes it away.
func (tx *Tx) SetMigrationPolicy(p domain.ScopedPolicy) error {
	if p.Policy.Empty() {
		_, err := tx.exec("DELETE FROM migration_policies WHERE scope = ? AND id = ?", string(p.Scope), p.ID)
		return edge(err, "migration policy")
	}
	doc, err := text(p.Policy)
	if err != nil {
		return err
	}
	return tx.one("migration policy", "INSERT INTO migration_policies (scope, id, policy) VALUES (?, ?, ?) ON CONFLICT (scope, id) DO UPDATE SET policy = excluded.policy", string(p.Scope), p.ID, doc)
}

// MovesNow counts the moves under way from and to each of two hosts, and between them, without the job's own.
func (tx *Tx) MovesNow(jobID, from, to string) (out, in, link int, err error) {
	var n struct{ Out, In, Link int }
	err = tx.tx.QueryRowxContext(tx.ctx, `SELECT COALESCE(SUM(CASE WHEN m.from_id = ? THEN 1 ELSE 0 END), 0) AS "out", COALESCE(SUM(CASE WHEN m.to_id = ? THEN 1 ELSE 0 END), 0) AS "in",
		COALESCE(SUM(CASE WHEN m.from_id = ? AND m.to_id = ? THEN 1 ELSE 0 END), 0) AS link
		FROM migrations m JOIN jobs j ON j.id = m.job_id WHERE m.state = 'running' AND j.state = 'running' AND m.job_id <> ?`, from, to, from, to, jobID).StructScan(&n)
	return n.Out, n.In, n.Link, edge(err, "migration")
}
