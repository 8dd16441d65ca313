package db

import (
	"context"
	"database/sql"
	"errors"

	"novacron/domain"
)

type factsRow struct {
	Facts      string
	AskedAt    int64 `db:"asked_at"`
	AnsweredAt int64 `db:"answered_at"`
	Problem    string
	Fix        string
}

func (r factsRow) record() (domain.GuestRecord, error) {
	rec := domain.GuestRecord{AskedAt: at(r.AskedAt), AnsweredAt: at(r.AnsweredAt), Problem: r.Problem, Fix: r.Fix}
	return rec, parse(r.Facts, &rec.Facts)
}

const selectFacts = "SELECT facts, asked_at, answered_at, problem, fix FROM guest_facts WHERE vm_id = ?"

// GuestRecord reads what is known of a guest through its agent; the zero record is of one that was never asked.
func (d *DB) GuestRecord(ctx context.Context, vmID string) (domain.GuestRecord, error) {
	var row factsRow
	err := d.read.GetContext(ctx, &row, selectFacts, vmID)
	if errors.Is(err, sql.ErrNoRows) {
		return domain.GuestRecord{}, nil
	}
	if err != nil {
		return domain.GuestRecord{}, edge(err, "guest")
	}
	return row.record()
}

// GuestRecord reads what is known of a guest, in the transaction that will write it.
func (tx *Tx) GuestRecord(vmID string) (domain.GuestRecord, error) {
	var row factsRow
	err := tx.read().GetContext(tx.ctx, &row, selectFacts, vmID)
	if errors.Is(err, sql.ErrNoRows) {
		return domain.GuestRecord{}, nil
	}
	if err != nil {
		return domain.GuestRecord{}, edge(err, "guest")
	}
	return row.record()
}

// PutGuestRecord writes it. A VM that is gone meanwhile is NotFound or Conflict.
func (tx *Tx) PutGuestRecord(vmID string, rec domain.GuestRecord) error {
	facts, err := text(rec.Facts)
	if err != nil {
		return err
	}
	_, err = tx.aside(`INSERT INTO guest_facts (vm_id, facts, asked_at, answered_at, problem, fix) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (vm_id) DO UPDATE SET facts = excluded.facts, asked_at = excluded.asked_at, answered_at = excluded.answered_at, problem = excluded.problem, fix = excluded.fix`,
		vmID, facts, ms(rec.AskedAt), ms(rec.AnsweredAt), rec.Problem, rec.Fix)
	return edge(err, "guest")
}

// RunningVMs lists the VMs that run on hosts that answer, without XML.
func (d *DB) RunningVMs(ctx context.Context) ([]domain.VM, error) {
	return d.selectVMs(ctx, "v.state = ? AND h.state = ? ORDER BY v.id", string(domain.VMRunning), string(domain.HostConnected))
}

type seedRow struct {
	VMID       string `db:"vm_id"`
	Kind       string
	Pool       string
	Volume     string
	InstanceID string `db:"instance_id"`
	Sealed     string
	UpdatedAt  int64 `db:"updated_at"`
	Version    int64
}

func (r seedRow) seed() domain.Seed {
	return domain.Seed{VMID: r.VMID, Kind: r.Kind, Pool: r.Pool, Volume: r.Volume, InstanceID: r.InstanceID, Sealed: r.Sealed, UpdatedAt: at(r.UpdatedAt), Version: r.Version}
}

const selectSeed = "SELECT vm_id, kind, pool, volume, instance_id, sealed, updated_at, version FROM guest_seeds WHERE vm_id = ?"

// Seed reads a VM's seed. NotFound when it has none.
func (d *DB) Seed(ctx context.Context, vmID string) (domain.Seed, error) {
	var row seedRow
	err := d.read.GetContext(ctx, &row, selectSeed, vmID)
	return row.seed(), edge(err, "seed for this VM's first boot")
}

// PutSeed writes a VM's seed, with a version above the one that was there; version 0 stands for any, another must be the present one.
func (tx *Tx) PutSeed(s domain.Seed) error {
	var row seedRow
	err := tx.read().GetContext(tx.ctx, &row, selectSeed, s.VMID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return edge(err, "seed")
	case s.Version != 0 && s.Version != row.Version:
		return domain.Errorf(domain.Conflict, "What the first boot reads was changed meanwhile.").WithFix("Look at it again, then make your change on that.")
	}
	_, err = tx.aside(`INSERT INTO guest_seeds (vm_id, kind, pool, volume, instance_id, sealed, updated_at, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (vm_id) DO UPDATE SET kind = excluded.kind, pool = excluded.pool, volume = excluded.volume, instance_id = excluded.instance_id, sealed = excluded.sealed,
		updated_at = excluded.updated_at, version = excluded.version`, s.VMID, s.Kind, s.Pool, s.Volume, s.InstanceID, s.Sealed, ms(tx.now()), row.Version+1)
	return edge(err, "seed")
}

// DeleteSeed forgets a VM's seed.
func (tx *Tx) DeleteSeed(vmID string) error {
	_, err := tx.aside("DELETE FROM guest_seeds WHERE vm_id = ?", vmID)
	return edge(err, "seed")
}

// ExecRules reads which commands may be run inside a guest; none: all.
func (d *DB) ExecRules(ctx context.Context, vmID string) (domain.ExecRules, error) {
	var raw string
	err := d.read.GetContext(ctx, &raw, "SELECT rules FROM guest_rules WHERE vm_id = ?", vmID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, edge(err, "rule")
	}
	var rules domain.ExecRules
	return rules, parse(raw, &rules)
}

// SetExecRules replaces them.
func (tx *Tx) SetExecRules(vmID string, rules domain.ExecRules) error {
	if len(rules) == 0 {
		_, err := tx.aside("DELETE FROM guest_rules WHERE vm_id = ?", vmID)
		return edge(err, "rule")
	}
	raw, err := text(rules)
	if err != nil {
		return err
	}
	_, err = tx.aside("INSERT INTO guest_rules (vm_id, rules) VALUES (?, ?) ON CONFLICT (vm_id) DO UPDATE SET rules = excluded.rules", vmID, raw)
	return edge(err, "rule")
}
