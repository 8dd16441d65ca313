package db

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"novacron/db/seal"
	"novacron/domain"
)

// What is sealed here, sealed anew when the key is changed.

const (
	sealCheck    = "seal.check" // a sealed word: opens only with the key that everything else is sealed with
	sealWord     = "novacron"
	auditKeysSet = "audit.keys"
)

// auditKeys make the codes of the audit log. They were derived from the key that was there when the log began, and stay when that is changed, so that
// what was written can be checked for ever.
type auditKeys struct{ Rows, Head []byte }

// checkKey sees that the key is the one that secrets were sealed with, and finds the keys of the audit log.
func (d *DB) checkKey(ctx context.Context) error {
	d.auditKeys = auditKeys{d.box.Derived("audit"), d.box.Derived("audit head")}
	word, ok, err := d.Setting(ctx, sealCheck)
	if err != nil {
		return err
	}
	opens := false
	if ok {
		_, err := d.box.Open(word, sealCheck)
		opens = err == nil
	}
	held := false
	if ok && !opens {
		if held, err = d.holdsSecrets(ctx); err != nil {
			return err
		}
	}
	switch {
	case !opens && !held: // nothing lies here that another key would be needed for
		if word, err = d.box.Seal([]byte(sealWord), sealCheck); err != nil {
			return err
		}
		_, err := d.write.ExecContext(ctx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", sealCheck, word)
		return edge(err, "setting")
	case !opens:
		return domain.Errorf(domain.Invalid, "The secrets in this database were sealed with another key.").
			WithFix("Start with the key that was there before: seal.key in the data directory, NOVACRON_SEAL_KEY, or the command of seal-key-command. After a rotation that was interrupted, run novacron secrets rotate again.")
	}
	kept, ok, err := d.Setting(ctx, auditKeysSet)
	if err != nil || !ok {
		return err
	}
	plain, err := d.box.Open(kept, auditKeysSet)
	if err != nil {
		return err
	}
	return parse(string(plain), &d.auditKeys)
}

// holdsSecrets reports whether anything is sealed here.
func (d *DB) holdsSecrets(ctx context.Context) (bool, error) {
	queries := []string{"SELECT count(*) FROM settings WHERE name = '" + auditKeysSet + "'", `SELECT count(*) FROM template_versions WHERE doc LIKE '%"boot":%'`}
	for _, c := range sealedColumns {
		queries = append(queries, "SELECT count(*) FROM ("+c.query+") x WHERE x.text LIKE 'seal:%'")
	}
	for _, q := range queries {
		var n int
		if err := d.write.GetContext(ctx, &n, q); err != nil {
			return false, edge(err, "secret")
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, nil
}

// sealedColumns are where sealed texts lie, and how the context of each is made of its row.
var sealedColumns = []struct {
	query, update string
	context       func(a, b string) string
}{
	{"SELECT host_id AS a, '' AS b, creds AS text FROM host_credentials", "UPDATE host_credentials SET creds = ? WHERE host_id = ? AND ? = ''", func(a, _ string) string { return credentialsOf(a) }},
	{"SELECT uuid AS a, '' AS b, sealed AS text FROM volume_secrets", "UPDATE volume_secrets SET sealed = ? WHERE uuid = ? AND ? = ''", func(a, _ string) string { return secretOf(a) }},
	{"SELECT id AS a, user_id AS b, secret AS text FROM factors", "UPDATE factors SET secret = ? WHERE id = ? AND user_id = ?", func(a, b string) string { return factorContext(domain.Factor{ID: a, UserID: b}) }},
	{"SELECT id AS a, '' AS b, secret AS text FROM providers WHERE secret <> ''", "UPDATE providers SET secret = ? WHERE id = ? AND ? = ''", func(a, _ string) string { return providerContext(a) }},
	{"SELECT id AS a, '' AS b, secret AS text FROM receivers WHERE secret <> ''", "UPDATE receivers SET secret = ? WHERE id = ? AND ? = ''", func(a, _ string) string { return receiverContext(a) }},
	{"SELECT id AS a, '' AS b, secret AS text FROM webhooks", "UPDATE webhooks SET secret = ? WHERE id = ? AND ? = ''", func(a, _ string) string { return webhookContext(a) }},
	{"SELECT who AS a, idem_key AS b, answer AS text FROM idempotency WHERE answer <> ''", "UPDATE idempotency SET answer = ? WHERE who = ? AND idem_key = ?", onceContext},
	{"SELECT vm_id AS a, '' AS b, sealed AS text FROM guest_seeds", "UPDATE guest_seeds SET sealed = ? WHERE vm_id = ? AND ? = ''", func(a, _ string) string { return seedContext(a) }},
	{"SELECT vm_id AS a, '' AS b, next AS text FROM guest_seeds WHERE next <> ''", "UPDATE guest_seeds SET next = ? WHERE vm_id = ? AND ? = ''", func(a, _ string) string { return seedContext(a) }},
}

// Rotate seals every secret with another box, all or nothing, and keeps the keys of the audit log. No server may run on the database meanwhile. It
// gives how many secrets there are.
func (d *DB) Rotate(ctx context.Context, to *seal.Box) (n int, err error) {
	again := func(text, context string) (string, error) {
		plain, err := d.box.Open(text, context)
		if err != nil {
			return "", err
		}
		n++
		return to.Seal(plain, context)
	}
	err = d.Write(ctx, func(tx *Tx) error {
		for _, c := range sealedColumns {
			var rows []struct{ A, B, Text string }
			if err := tx.read().SelectContext(tx.ctx, &rows, c.query); err != nil {
				return edge(err, "secret")
			}
			for _, r := range rows {
				text, err := again(r.Text, c.context(r.A, r.B))
				if err != nil {
					return err
				}
				if _, err := tx.exec(c.update, text, r.A, r.B); err != nil {
					return edge(err, "secret")
				}
			}
		}
		if err := tx.rotateTemplates(again); err != nil {
			return err
		}
		keys, err := text(d.auditKeys)
		if err != nil {
			return err
		}
		for name, plain := range map[string]string{auditKeysSet: keys, sealCheck: sealWord} {
			sealed, err := to.Seal([]byte(plain), name)
			if err != nil {
				return err
			}
			if err := tx.SetSetting(name, sealed); err != nil {
				return err
			}
		}
		return tx.Audit(domain.AuditRecord{Action: "secrets.rotated", Object: domain.Ref{Kind: "server"}, Message: "Every secret was sealed with a new key."})
	})
	if err == nil {
		d.box = to
		_, err = d.write.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return n, edge(err, "secret")
}

func (tx *Tx) rotateTemplates(again func(text, context string) (string, error)) error {
	var rows []struct{ ID, Doc string }
	if err := tx.read().SelectContext(tx.ctx, &rows, "SELECT id, doc FROM template_versions"); err != nil {
		return edge(err, "template")
	}
	for _, r := range rows {
		var doc templateDoc
		if err := parse(r.Doc, &doc); err != nil {
			return err
		}
		if doc.Boot == "" {
			continue
		}
		var err error
		if doc.Boot, err = again(doc.Boot, bootContext(r.ID)); err != nil {
			return err
		}
		to, err := text(doc)
		if err != nil {
			return err
		}
		if _, err := tx.exec("UPDATE template_versions SET doc = ? WHERE id = ?", to, r.ID); err != nil {
			return edge(err, "template")
		}
	}
	return nil
}

// RotateKeyFile makes a new key in the place of the one that lies beside the database. The new one is written beside the old one first, so that one of
// the two opens the database whenever it is interrupted; asked again, it ends what was begun.
func RotateKeyFile(ctx context.Context, path string, log *slog.Logger, clock func() time.Time) (n int, err error) {
	place := filepath.Join(filepath.Dir(path), seal.KeyFile)
	next := place + ".next"
	if raw, err := os.ReadFile(next); err == nil { // #nosec G304 -- a name of ours beside the database
		if box, err := seal.Load(filepath.Dir(path), string(raw)); err == nil {
			if d, err := Open(ctx, path, log, clock, Seal(box)); err == nil {
				return 0, errors.Join(d.Close(), os.Rename(next, place))
			}
		}
	}
	d, err := Open(ctx, path, log, clock)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	box, text, err := seal.Fresh()
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(next, []byte(text+"\n"), 0o600); err != nil {
		return 0, domain.Errorf(domain.Internal, "The new key cannot be written: %w", err)
	}
	if n, err = d.Rotate(ctx, box); err != nil {
		return n, errors.Join(err, os.Remove(next))
	}
	return n, os.Rename(next, place)
}
