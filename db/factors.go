package db

import (
	"context"
	"encoding/base64"
	"time"

	"novacron/domain"
)

type factorRow struct {
	ID        string
	UserID    string `db:"user_id"`
	Kind      string
	Name      string
	Secret    string
	Step      int64
	CreatedAt int64 `db:"created_at"`
	LastUsed  int64 `db:"last_used"`
}

const factorColumns = "id, user_id, kind, name, secret, step, created_at, last_used"

// factorContext binds a sealed secret to its row: moved to another account it does not open.
func factorContext(f domain.Factor) string { return "factor " + f.ID + " of " + f.UserID }

func (d *DB) factors(ctx context.Context, q getter, where string, args ...any) ([]domain.Factor, error) {
	var rows []factorRow
	if err := q.SelectContext(ctx, &rows, "SELECT "+factorColumns+" FROM factors WHERE "+where+" ORDER BY id", args...); err != nil {
		return nil, edge(err, "second factor")
	}
	out := make([]domain.Factor, len(rows))
	for i, r := range rows {
		f := domain.Factor{ID: r.ID, UserID: r.UserID, Kind: r.Kind, Name: r.Name, Step: r.Step, CreatedAt: at(r.CreatedAt), LastUsed: at(r.LastUsed)}
		var err error
		if f.Secret, err = d.box.Open(r.Secret, factorContext(f)); err != nil {
			return nil, err
		}
		out[i] = f
	}
	return out, nil
}

// Factors lists the second factors of a person.
func (d *DB) Factors(ctx context.Context, userID string) ([]domain.Factor, error) {
	return d.factors(ctx, d.read, "user_id = ?", userID)
}

// Factors lists them within the transaction.
func (tx *Tx) Factors(userID string) ([]domain.Factor, error) {
	return tx.d.factors(tx.ctx, tx.read(), "user_id = ?", userID)
}

// FactorKinds tells which kinds of second factors each person has.
func (d *DB) FactorKinds(ctx context.Context) (map[string][]string, error) {
	var rows []struct {
		UserID string `db:"user_id"`
		Kind   string
	}
	if err := d.read.SelectContext(ctx, &rows, "SELECT DISTINCT user_id, kind FROM factors ORDER BY user_id, kind"); err != nil {
		return nil, edge(err, "second factor")
	}
	out := map[string][]string{}
	for _, r := range rows {
		out[r.UserID] = append(out[r.UserID], r.Kind)
	}
	return out, nil
}

// InsertFactor writes a new second factor, its secret sealed.
func (tx *Tx) InsertFactor(f domain.Factor) error {
	sealed, err := tx.d.box.Seal(f.Secret, factorContext(f))
	if err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO factors ("+factorColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)", f.ID, f.UserID, f.Kind, f.Name, sealed, f.Step, ms(f.CreatedAt), ms(f.LastUsed))
	return edge(err, "second factor")
}

// UseFactor keeps that a second factor was used, with what it must remember of that.
func (tx *Tx) UseFactor(f domain.Factor, when time.Time) error {
	sealed, err := tx.d.box.Seal(f.Secret, factorContext(f))
	if err != nil {
		return err
	}
	return tx.one("second factor", "UPDATE factors SET secret = ?, step = ?, last_used = ? WHERE id = ?", sealed, f.Step, ms(when), f.ID)
}

// DeleteFactor takes a second factor away from a person; with none left the recovery codes go too.
func (tx *Tx) DeleteFactor(userID, id string) error {
	if err := tx.one("second factor", "DELETE FROM factors WHERE user_id = ? AND id = ?", userID, id); err != nil {
		return err
	}
	_, err := tx.exec("DELETE FROM recovery_codes WHERE user_id = ? AND NOT EXISTS (SELECT 1 FROM factors f WHERE f.user_id = ?)", userID, userID)
	return edge(err, "recovery code")
}

// DeleteFactors takes all second factors and recovery codes away from a person.
func (tx *Tx) DeleteFactors(userID string) error {
	if _, err := tx.exec("DELETE FROM factors WHERE user_id = ?", userID); err != nil {
		return edge(err, "second factor")
	}
	_, err := tx.exec("DELETE FROM recovery_codes WHERE user_id = ?", userID)
	return edge(err, "recovery code")
}

// ReplaceRecoveryCodes writes new recovery codes, hashed; the old ones are worth nothing.
func (tx *Tx) ReplaceRecoveryCodes(userID string, hashes [][]byte) error {
	if _, err := tx.exec("DELETE FROM recovery_codes WHERE user_id = ?", userID); err != nil {
		return edge(err, "recovery code")
	}
	for _, h := range hashes {
		if _, err := tx.exec("INSERT INTO recovery_codes (user_id, hash, used_at) VALUES (?, ?, 0)", userID, base64.StdEncoding.EncodeToString(h)); err != nil {
			return edge(err, "recovery code")
		}
	}
	return nil
}

// UseRecoveryCode spends a recovery code: each works once. ok is false when there is none such, or it was spent before.
func (tx *Tx) UseRecoveryCode(userID string, hash []byte, when time.Time) (ok bool, err error) {
	n, err := tx.exec("UPDATE recovery_codes SET used_at = ? WHERE user_id = ? AND hash = ? AND used_at = 0", ms(when), userID, base64.StdEncoding.EncodeToString(hash))
	return n == 1, edge(err, "recovery code")
}

// RecoveryCodesLeft counts the recovery codes that were not spent.
func (d *DB) RecoveryCodesLeft(ctx context.Context, userID string) (n int, err error) {
	err = d.read.GetContext(ctx, &n, "SELECT count(*) FROM recovery_codes WHERE user_id = ? AND used_at = 0", userID)
	return n, edge(err, "recovery code")
}
