package db

import (
	"context"
	"time"

	"novacron/domain"
)

type dashboardRow struct {
	ID, Name  string
	OwnerID   string `db:"owner_id"`
	Owner     string
	Shared    bool
	Doc       string
	CreatedAt int64 `db:"created_at"`
	UpdatedAt int64 `db:"updated_at"`
	Version   int64
}

func (r dashboardRow) dashboard() (domain.Dashboard, error) {
	d := domain.Dashboard{ID: r.ID, Name: r.Name, OwnerID: r.OwnerID, Owner: r.Owner, Shared: r.Shared, CreatedAt: at(r.CreatedAt), UpdatedAt: at(r.UpdatedAt), Version: r.Version}
	return d, parse(r.Doc, &d.Charts)
}

// Dashboards lists those that a person may look at, by name.
func (d *DB) Dashboards(ctx context.Context, userID string) ([]domain.Dashboard, error) {
	var rows []dashboardRow
	if err := d.read.SelectContext(ctx, &rows, "SELECT * FROM dashboards WHERE owner_id = ? OR shared = 1 ORDER BY lower(name), id", userID); err != nil {
		return nil, edge(err, "dashboard")
	}
	out := make([]domain.Dashboard, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.dashboard(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Dashboard gives one that a person may look at.
func (d *DB) Dashboard(ctx context.Context, id, userID string) (domain.Dashboard, error) {
	var r dashboardRow
	if err := d.read.GetContext(ctx, &r, "SELECT * FROM dashboards WHERE id = ? AND (owner_id = ? OR shared = 1)", id, userID); err != nil {
		return domain.Dashboard{}, edge(err, "dashboard")
	}
	return r.dashboard()
}

// InsertDashboard adds one.
func (tx *Tx) InsertDashboard(d domain.Dashboard) error {
	doc, err := text(d.Charts)
	if err != nil {
		return err
	}
	return tx.one("dashboard", "INSERT INTO dashboards (id, name, owner_id, owner, shared, doc, created_at, updated_at, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
		d.ID, d.Name, d.OwnerID, d.Owner, d.Shared, doc, d.CreatedAt.UnixMilli(), d.CreatedAt.UnixMilli())
}

// UpdateDashboard changes one of its owner's, if nobody did meanwhile.
func (tx *Tx) UpdateDashboard(d domain.Dashboard, now time.Time) error {
	doc, err := text(d.Charts)
	if err != nil {
		return err
	}
	n, err := tx.exec("UPDATE dashboards SET name = ?, shared = ?, doc = ?, updated_at = ?, version = version + 1 WHERE id = ? AND owner_id = ? AND version = ?", d.Name, d.Shared, doc, now.UnixMilli(), d.ID, d.OwnerID, d.Version)
	if err == nil && n == 0 {
		return domain.Errorf(domain.Conflict, "The dashboard was changed meanwhile, or it is not yours to change.").WithFix("Look at it as it is now, and change that.")
	}
	return edge(err, "dashboard")
}

// DeleteDashboard takes away one of its owner's.
func (tx *Tx) DeleteDashboard(id, ownerID string) error {
	return tx.one("dashboard", "DELETE FROM dashboards WHERE id = ? AND owner_id = ?", id, ownerID)
}
