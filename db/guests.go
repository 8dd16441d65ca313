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

// MeteredVMs lists all VMs, with what runs of them, for the names of their series.
func (d *DB) MeteredVMs(ctx context.Context) ([]domain.VM, error) {
	return d.selectVMs(ctx, "v.creating = 0 ORDER BY v.id")
}

type seedRow struct {
	VMID       string `db:"vm_id"`
	Kind       string
	Pool       string
	Volume     string
	InstanceID string `db:"instance_id"`
	Sealed     string
	NextID     string `db:"next_id"`
	Next       string
	UpdatedAt  int64 `db:"updated_at"`
	Version    int64
}

func (r seedRow) seed() domain.Seed {
	return domain.Seed{VMID: r.VMID, Kind: r.Kind, Pool: r.Pool, Volume: r.Volume, InstanceID: r.InstanceID, UpdatedAt: at(r.UpdatedAt), Version: r.Version}
}

const selectSeed = "SELECT vm_id, kind, pool, volume, instance_id, sealed, next_id, next, updated_at, version FROM guest_seeds WHERE vm_id = ?"

func seedContext(vmID string) string { return "seed:" + vmID }

// Seed says where a VM's seed lies, without what it is made from. NotFound when it has none.
func (d *DB) Seed(ctx context.Context, vmID string) (domain.Seed, error) {
	var row seedRow
	err := d.read.GetContext(ctx, &row, selectSeed, vmID)
	return row.seed(), edge(err, "seed for this VM's first boot")
}

// OpenSeed reads a VM's seed with what it is made from; with next, what it is about to be made from, if a job is about to.
func (d *DB) OpenSeed(ctx context.Context, vmID string, next bool) (domain.Seed, error) {
	var row seedRow
	if err := d.read.GetContext(ctx, &row, selectSeed, vmID); err != nil {
		return domain.Seed{}, edge(err, "seed for this VM's first boot")
	}
	s, sealed := row.seed(), row.Sealed
	if next && row.Next != "" {
		s.InstanceID, sealed = row.NextID, row.Next
	}
	plain, err := d.box.Open(sealed, seedContext(vmID))
	if err != nil {
		return s, err
	}
	return s, parse(string(plain), &s.Content)
}

// InsertSeed writes the seed of a VM that is about to be made.
func (tx *Tx) InsertSeed(s domain.Seed) error {
	sealed, err := tx.sealSeed(s)
	if err != nil {
		return err
	}
	_, err = tx.aside("INSERT INTO guest_seeds (vm_id, kind, pool, volume, instance_id, sealed, next_id, next, updated_at, version) VALUES (?, ?, ?, ?, ?, ?, '', '', ?, 1)",
		s.VMID, s.Kind, s.Pool, s.Volume, s.InstanceID, sealed, ms(tx.now()))
	return edge(err, "seed")
}

// DeleteSeed forgets a VM's seed; nil when it has none.
func (tx *Tx) DeleteSeed(vmID string) error {
	_, err := tx.aside("DELETE FROM guest_seeds WHERE vm_id = ?", vmID)
	return edge(err, "seed")
}

func (tx *Tx) sealSeed(s domain.Seed) (string, error) {
	plain, err := text(s.Content)
	if err != nil {
		return "", err
	}
	return tx.d.box.Seal([]byte(plain), seedContext(s.VMID))
}

// PrepareSeed keeps what a seed is about to be made from. s.Version is that of the seed it was based on; 0: any.
func (tx *Tx) PrepareSeed(s domain.Seed) error {
	sealed, err := tx.sealSeed(s)
	if err != nil {
		return err
	}
	n, err := tx.aside("UPDATE guest_seeds SET next_id = ?, next = ? WHERE vm_id = ? AND (version = ? OR ? = 0)", s.InstanceID, sealed, s.VMID, s.Version, s.Version)
	if err != nil {
		return edge(err, "seed")
	}
	if n == 0 {
		return domain.Errorf(domain.Conflict, "What the first boot reads was changed meanwhile.").WithFix("Look at it again, then make your change on that.")
	}
	return nil
}

// SettleSeed ends what PrepareSeed began: what was prepared is what the seed is made from now, or it is forgotten. Without anything prepared it does nothing.
func (tx *Tx) SettleSeed(vmID string, made bool) error {
	stmt := "UPDATE guest_seeds SET next = '', next_id = '' WHERE vm_id = ? AND next <> ''"
	args := []any{vmID}
	if made {
		stmt = "UPDATE guest_seeds SET sealed = next, instance_id = next_id, next = '', next_id = '', updated_at = ?, version = version + 1 WHERE vm_id = ? AND next <> ''"
		args = []any{ms(tx.now()), vmID}
	}
	_, err := tx.aside(stmt, args...)
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

// VMsInSight lists the ids of the VMs that the context's sight shows.
func (d *DB) VMsInSight(ctx context.Context) ([]string, error) {
	cond, args := conditionOfSight(ctx)
	var ids []string
	err := d.read.SelectContext(ctx, &ids, "SELECT v.id FROM vms v"+and(cond)+" ORDER BY v.id", args...)
	return ids, edge(err, "VM")
}
