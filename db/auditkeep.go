package db

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"time"

	"novacron/db/seal"
	"novacron/domain"
)

// How the audit log is kept: checked, shortened at its old end, and read for sending it elsewhere.

// auditAnchor is the setting that says which rows left the log by its retention, with the hash that the first one left follows.
const auditAnchor = "audit.anchor"

func (d *DB) auditStart(seq int64, hash string) string {
	return fmt.Sprintf("%d %s %s", seq, hash, hex.EncodeToString(seal.Code(d.auditKeys.Head, fmt.Appendf(nil, "anchor %d %s", seq, hash))))
}

// AuditFrom reads the log from a row on, oldest first.
func (d *DB) AuditFrom(ctx context.Context, after int64, most int) ([]domain.AuditRecord, error) {
	var out []domain.AuditRecord
	err := d.read.each(ctx, func(r *sql.Rows) error {
		rec, err := scanAudit(r)
		out = append(out, rec)
		return err
	}, "SELECT "+auditColumns+" FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", after, limit(most, defaultLimit))
	return out, edge(err, "audit record")
}

// AuditEnd is the number of the newest row; 0 when there is none.
func (d *DB) AuditEnd(ctx context.Context) (seq int64, err error) {
	return seq, edge(d.read.GetContext(ctx, &seq, "SELECT coalesce(max(seq), 0) FROM audit"), "audit record")
}

// AuditCheck is what checking the log found.
type AuditCheck struct {
	Rows    int64 // that are there and as they were written
	Dropped int64 // that retention took out before them
}

// VerifyAudit reads the whole log and checks that no row was changed, taken out or put in. A Conflict names the first row that is not right.
func (d *DB) VerifyAudit(ctx context.Context) (c AuditCheck, err error) {
	bad := func(seq int64, what string) error {
		return domain.Errorf(domain.Conflict, "The audit log is not as it was written: row %d %s.", seq, what).
			WithFix("Compare the database with a backup or with what was exported. Rows before %d are as they were written.", seq)
	}
	anchor, anchored, err := d.Setting(ctx, auditAnchor)
	if err != nil {
		return c, err
	}
	var prev string
	if anchored {
		var hash, code string
		if n, _ := fmt.Sscanf(anchor, "%d %s %s", &c.Dropped, &hash, &code); n != 3 || d.auditStart(c.Dropped, hash) != anchor {
			return c, bad(1, "and what followed it are gone, and the mark of what retention took was changed")
		}
		prev = hash
	}
	last := c.Dropped
	for {
		page, err := d.AuditFrom(ctx, last, maxLimit)
		if err != nil {
			return c, err
		}
		for _, r := range page {
			switch hash, err := d.auditHash(r); {
			case err != nil:
				return c, err
			case r.Seq != last+1:
				return c, bad(last+1, "is missing")
			case r.Prev != prev:
				return c, bad(r.Seq, "does not follow the row before it")
			case r.Hash != hash:
				return c, bad(r.Seq, "was changed")
			}
			last, prev = r.Seq, r.Hash
			c.Rows++
		}
		if len(page) < maxLimit {
			break
		}
	}
	head, ok, err := d.Setting(ctx, auditHead)
	if err != nil {
		return c, err
	}
	if (ok || last > 0) && head != d.auditEnd(last, prev) {
		return c, bad(last+1, "and what followed it are missing, or the mark of the log's end was changed")
	}
	return c, nil
}

// pruneAtOnce bounds how many rows of the log one transaction takes out: there is one writer.
const pruneAtOnce = 5000

// PruneAudit takes rows out of the audit log that are older than a time, and writes into it that it did. The newest row stays, and an anchor keeps
// the chain of the others whole. It gives how many went.
func (d *DB) PruneAudit(ctx context.Context, before time.Time) (gone int64, err error) {
	end, err := d.AuditEnd(ctx)
	if err != nil {
		return 0, err
	}
	for {
		var n int64
		err := d.Write(ctx, func(tx *Tx) error {
			var last struct {
				Seq  int64
				Hash string
			}
			err := edge(tx.read().GetContext(tx.ctx, &last, "SELECT seq, hash FROM audit WHERE at < ? AND seq < ? "+
				"AND seq <= (SELECT min(seq) FROM audit) + ? ORDER BY seq DESC LIMIT 1", ms(before), end, pruneAtOnce), "audit record")
			if domain.Is(err, domain.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := tx.SetSetting(auditAnchor, tx.d.auditStart(last.Seq, last.Hash)); err != nil {
				return err
			}
			if n, err = tx.aside("DELETE FROM audit WHERE seq <= ?", last.Seq); err != nil {
				return edge(err, "audit record")
			}
			return tx.Audit(domain.AuditRecord{Actor: "system", Action: "audit.pruned", Object: domain.Ref{Kind: "audit", ID: fmt.Sprint(last.Seq)},
				Message: fmt.Sprintf("%d rows up to row %d left the log: they were older than %s.", n, last.Seq, before.UTC().Format("2006-01-02 15:04Z"))})
		})
		if gone += n; err != nil || n == 0 {
			return gone, err
		}
	}
}

// AuditTarget is where the log is sent to, and how far it got.
type AuditTarget struct {
	Target  string
	Sent    int64 // the last row that it was given
	SentAt  time.Time
	Error   string // why the last try failed; empty: it did not
	ErrorAt time.Time
}

// AuditTargets lists where the log was ever sent to.
func (d *DB) AuditTargets(ctx context.Context) ([]AuditTarget, error) {
	var out []AuditTarget
	err := d.read.each(ctx, func(r *sql.Rows) error {
		var t AuditTarget
		var sent, failed int64
		err := r.Scan(&t.Target, &t.Sent, &sent, &t.Error, &failed)
		t.SentAt, t.ErrorAt = at(sent), at(failed)
		out = append(out, t)
		return err
	}, "SELECT target, sent, sent_at, error, error_at FROM audit_targets ORDER BY target")
	return out, edge(err, "audit target")
}

// SaveAuditTarget writes how far a target got.
func (tx *Tx) SaveAuditTarget(t AuditTarget) error {
	_, err := tx.aside(`INSERT INTO audit_targets (target, sent, sent_at, error, error_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (target) DO UPDATE SET sent = excluded.sent, sent_at = excluded.sent_at, error = excluded.error, error_at = excluded.error_at`,
		t.Target, t.Sent, ms(t.SentAt), t.Error, ms(t.ErrorAt))
	return edge(err, "audit target")
}
