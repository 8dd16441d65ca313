package db

import (
	"context"
	"encoding/json"
	"fmt"

	"novacron/domain"
	"novacron/domain/desired"
)

type desiredRow struct {
	Kind      string
	Name      string
	Owner     string
	Tenant    string
	Last      string
	ObjectID  string `db:"object_id"`
	Ignored   string
	AppliedAt int64  `db:"applied_at"`
	AppliedBy string `db:"applied_by"`
}

const desiredColumns = "kind, name, owner, tenant, last, object_id, ignored, applied_at, applied_by"

func (r desiredRow) record() (desired.Record, error) {
	out := desired.Record{Kind: desired.Kind(r.Kind), Key: r.Name, Owner: r.Owner, Tenant: r.Tenant, Last: json.RawMessage(r.Last), ObjectID: r.ObjectID, AppliedAt: at(r.AppliedAt), AppliedBy: r.AppliedBy}
	return out, parse(r.Ignored, &out.Ignored)
}

// Desired gives what is remembered of objects that files asked for, by kind and key.
func (d *DB) Desired(ctx context.Context) (map[desired.Kind]map[string]desired.Record, error) {
	var rows []desiredRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT "+desiredColumns+" FROM desired"); err != nil {
		return nil, edge(err, "desired state")
	}
	out := map[desired.Kind]map[string]desired.Record{}
	for _, row := range rows {
		r, err := row.record()
		if err != nil {
			return nil, err
		}
		if out[r.Kind] == nil {
			out[r.Kind] = map[string]desired.Record{}
		}
		out[r.Kind][r.Key] = r
	}
	return out, nil
}

// DesiredOf reads one of them. NotFound.
func (tx *Tx) DesiredOf(kind desired.Kind, name string) (desired.Record, error) {
	var row desiredRow
	if err := tx.read().GetContext(tx.ctx, &row, "SELECT "+desiredColumns+" FROM desired WHERE kind = ? AND name = ?", string(kind), name); err != nil {
		return desired.Record{}, edge(err, "applied object")
	}
	return row.record()
}

// PutDesired remembers an object. One that another owner has is a Conflict naming both.
func (tx *Tx) PutDesired(r desired.Record) error {
	old, err := tx.DesiredOf(r.Kind, r.Key)
	if err == nil && old.Tenant != r.Tenant { // whose it is, is not for everybody
		return domain.Errorf(domain.Conflict, "The %s %s is held to files of others.", r.Kind, r.Key).WithFix("Choose another name.")
	}
	if err == nil && old.Owner != r.Owner {
		return domain.Errorf(domain.Conflict, "The %s %s belongs to the owner %s, and this is %s.", r.Kind, r.Key, old.Owner, r.Owner).
			WithFix("Take it out of the files of the one or of the other.")
	}
	if err != nil && !domain.Is(err, domain.NotFound) {
		return err
	}
	if r.Ignored == nil {
		r.Ignored = map[string]string{}
	}
	ignored, err := text(r.Ignored)
	if err != nil {
		return err
	}
	_, err = tx.exec("INSERT INTO desired ("+desiredColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (kind, name) DO UPDATE SET last = excluded.last, object_id = excluded.object_id, ignored = excluded.ignored, applied_at = excluded.applied_at, applied_by = excluded.applied_by`,
		string(r.Kind), r.Key, r.Owner, r.Tenant, string(r.Last), r.ObjectID, ignored, ms(r.AppliedAt), r.AppliedBy)
	return edge(err, fmt.Sprintf("%s %s", r.Kind, r.Key))
}

// ForgetDesired forgets an object; it is not touched.
func (tx *Tx) ForgetDesired(kind desired.Kind, name string) error {
	_, err := tx.exec("DELETE FROM desired WHERE kind = ? AND name = ?", string(kind), name)
	return edge(err, "applied object")
}
