package db

import (
	"context"

	"novacron/domain"
)

// namedDoc is something with a name whose rest SQL does not look into.
type namedDoc struct {
	ID, Name, Doc string
	CreatedAt     int64 `db:"created_at"`
	Version       int64
}

type rotaDoc struct {
	TimeZone  string                `json:"time_zone"`
	HandOver  string                `json:"hand_over"`
	Days      [7]string             `json:"days"`
	Overrides []domain.RotaOverride `json:"overrides"`
}

func selectRotas(ctx context.Context, q getter, where string, args ...any) ([]domain.Rota, error) {
	var rows []namedDoc
	if err := q.SelectContext(ctx, &rows, "SELECT id, name, doc, created_at, version FROM rotas WHERE "+where+" ORDER BY lower(name), id", args...); err != nil {
		return nil, edge(err, "rota")
	}
	out := make([]domain.Rota, 0, len(rows))
	for _, r := range rows {
		var d rotaDoc
		if err := parse(r.Doc, &d); err != nil {
			return nil, err
		}
		out = append(out, domain.Rota{ID: r.ID, Name: r.Name, TimeZone: d.TimeZone, HandOver: d.HandOver, Days: d.Days, Overrides: d.Overrides, CreatedAt: at(r.CreatedAt), Version: r.Version})
	}
	return out, nil
}

// Rotas lists the rotas by name.
func (d *DB) Rotas(ctx context.Context) ([]domain.Rota, error) {
	return selectRotas(ctx, d.read, "1 = 1")
}

// Rotas lists the rotas by name.
func (tx *Tx) Rotas() ([]domain.Rota, error) { return selectRotas(tx.ctx, tx.read(), "1 = 1") }

// Rota reads one. NotFound.
func (d *DB) Rota(ctx context.Context, id string) (domain.Rota, error) {
	return oneRota(selectRotas(ctx, d.read, "id = ?", id))
}

// Rota reads one. NotFound.
func (tx *Tx) Rota(id string) (domain.Rota, error) {
	return oneRota(selectRotas(tx.ctx, tx.read(), "id = ?", id))
}

func oneRota(all []domain.Rota, err error) (domain.Rota, error) {
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such rota.").WithFix("It may have been deleted meanwhile; look at the list again.")
	}
	if err != nil {
		return domain.Rota{}, err
	}
	return all[0], nil
}

// PutRota writes a rota, new (version 0) or changed (with the version that was read).
func (tx *Tx) PutRota(r domain.Rota) error {
	doc, err := text(rotaDoc{r.TimeZone, r.HandOver, r.Days, r.Overrides})
	if err != nil {
		return err
	}
	return tx.putNamed("rotas", "rota", namedDoc{r.ID, r.Name, doc, ms(r.CreatedAt), r.Version})
}

// putNamed writes a row of a table that has only a name and a document.
func (tx *Tx) putNamed(table, what string, r namedDoc) error {
	if r.Version == 0 {
		return tx.one(what, "INSERT INTO "+table+" (id, name, doc, created_at, version) VALUES (?, ?, ?, ?, 1)", r.ID, r.Name, r.Doc, r.CreatedAt)
	}
	n, err := tx.exec("UPDATE "+table+" SET name = ?, doc = ?, version = version + 1 WHERE id = ? AND version = ?", r.Name, r.Doc, r.ID, r.Version)
	if err == nil && n == 0 {
		return stale(what+" “"+r.Name+"”", r.Version)
	}
	return edge(err, what)
}

// DeleteRota forgets a rota.
func (tx *Tx) DeleteRota(id string) error {
	return tx.one("rota", "DELETE FROM rotas WHERE id = ?", id)
}

type escalationDoc struct {
	Disabled bool                    `json:"disabled"`
	Matchers []domain.Matcher        `json:"matchers"`
	Steps    []domain.EscalationStep `json:"steps"`
}

func selectEscalations(ctx context.Context, q getter, where string, args ...any) ([]domain.Escalation, error) {
	var rows []namedDoc
	if err := q.SelectContext(ctx, &rows, "SELECT id, name, doc, created_at, version FROM escalations WHERE "+where+" ORDER BY lower(name), id", args...); err != nil {
		return nil, edge(err, "escalation")
	}
	out := make([]domain.Escalation, 0, len(rows))
	for _, r := range rows {
		var d escalationDoc
		if err := parse(r.Doc, &d); err != nil {
			return nil, err
		}
		out = append(out, domain.Escalation{ID: r.ID, Name: r.Name, Disabled: d.Disabled, Matchers: d.Matchers, Steps: d.Steps, CreatedAt: at(r.CreatedAt), Version: r.Version})
	}
	return out, nil
}

// Escalations lists the escalations by name.
func (d *DB) Escalations(ctx context.Context) ([]domain.Escalation, error) {
	return selectEscalations(ctx, d.read, "1 = 1")
}

// Escalations lists the escalations by name.
func (tx *Tx) Escalations() ([]domain.Escalation, error) {
	return selectEscalations(tx.ctx, tx.read(), "1 = 1")
}

// Escalation reads one. NotFound.
func (d *DB) Escalation(ctx context.Context, id string) (domain.Escalation, error) {
	return oneEscalation(selectEscalations(ctx, d.read, "id = ?", id))
}

// Escalation reads one. NotFound.
func (tx *Tx) Escalation(id string) (domain.Escalation, error) {
	return oneEscalation(selectEscalations(tx.ctx, tx.read(), "id = ?", id))
}

func oneEscalation(all []domain.Escalation, err error) (domain.Escalation, error) {
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such escalation.").WithFix("It may have been deleted meanwhile; look at the list again.")
	}
	if err != nil {
		return domain.Escalation{}, err
	}
	return all[0], nil
}

// PutEscalation writes an escalation, new (version 0) or changed (with the version that was read).
func (tx *Tx) PutEscalation(e domain.Escalation) error {
	doc, err := text(escalationDoc{e.Disabled, e.Matchers, e.Steps})
	if err != nil {
		return err
	}
	return tx.putNamed("escalations", "escalation", namedDoc{e.ID, e.Name, doc, ms(e.CreatedAt), e.Version})
}

// DeleteEscalation forgets an escalation, and how far alerts had come by it.
func (tx *Tx) DeleteEscalation(id string) error {
	if _, err := tx.exec("DELETE FROM escalated WHERE escalation_id = ?", id); err != nil {
		return edge(err, "escalation")
	}
	return tx.one("escalation", "DELETE FROM escalations WHERE id = ?", id)
}

type escalatedRow struct {
	AlertID      string `db:"alert_id"`
	EscalationID string `db:"escalation_id"`
	Step         int
	ReceiverID   string `db:"receiver_id"`
	At           int64
	Why          string
}

func selectEscalated(ctx context.Context, q getter, where string, args ...any) ([]domain.Escalated, error) {
	var rows []escalatedRow
	if err := q.SelectContext(ctx, &rows, "SELECT alert_id, escalation_id, step, receiver_id, at, why FROM escalated WHERE "+where+" ORDER BY alert_id, escalation_id, step, at", args...); err != nil {
		return nil, edge(err, "escalation")
	}
	out := make([]domain.Escalated, 0, len(rows))
	for _, r := range rows {
		out = append(out, domain.Escalated{AlertID: r.AlertID, EscalationID: r.EscalationID, Step: r.Step, ReceiverID: r.ReceiverID, At: at(r.At), Why: r.Why})
	}
	return out, nil
}

// Escalated lists the steps that an alert has reached, in their order.
func (d *DB) Escalated(ctx context.Context, alert string) ([]domain.Escalated, error) {
	return selectEscalated(ctx, d.read, "alert_id = ?", alert)
}

// EscalatedLive lists the steps that alerts have reached that stand.
func (tx *Tx) EscalatedLive() ([]domain.Escalated, error) {
	return selectEscalated(tx.ctx, tx.read(), "alert_id IN (SELECT id FROM alerts WHERE state <> ?)", string(domain.AlertResolved))
}

// PutEscalated notes a step that an alert has reached.
func (tx *Tx) PutEscalated(x domain.Escalated) error {
	_, err := tx.exec("INSERT INTO escalated (alert_id, escalation_id, step, receiver_id, at, why) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (alert_id, escalation_id, step, receiver_id) DO NOTHING",
		x.AlertID, x.EscalationID, x.Step, x.ReceiverID, ms(x.At), x.Why)
	return edge(err, "escalation")
}

// PruneEscalated forgets steps of alerts that are forgotten.
func (tx *Tx) PruneEscalated() error {
	_, err := tx.exec("DELETE FROM escalated WHERE alert_id NOT IN (SELECT id FROM alerts)")
	return edge(err, "escalation")
}
