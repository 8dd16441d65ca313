package fleet

import (
	"context"

	"novacron/db"
	"novacron/domain"
)

// SaveDashboard keeps a dashboard: a new one without an id, else as the new state of its owner's. read tells what is wrong with a query. It touches no host,
// so it is no job.
func (f *Fleet) SaveDashboard(ctx context.Context, d domain.Dashboard, read func(expr string) error) (domain.Dashboard, error) {
	if err := d.Check(read); err != nil {
		return d, err
	}
	now := f.clock().UTC()
	made := d.ID == ""
	if made {
		d.ID, d.CreatedAt = domain.NewID("dash", now), now
	}
	err := f.db.Write(ctx, func(tx *db.Tx) error {
		word := "changed"
		if made {
			word = "made"
			if err := tx.InsertDashboard(d); err != nil {
				return err
			}
		} else if err := tx.UpdateDashboard(d, now); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "dashboard." + word, Resource: domain.Ref{Kind: "dashboard", ID: d.ID, Name: d.Name}, Actor: d.Owner, Message: "The dashboard " + d.Name + " was " + word + "."})
	})
	if err != nil {
		return d, err
	}
	return f.db.Dashboard(ctx, d.ID, d.OwnerID)
}

// DeleteDashboard takes away a person's dashboard.
func (f *Fleet) DeleteDashboard(ctx context.Context, id, ownerID string) error {
	d, err := f.db.Dashboard(ctx, id, ownerID)
	if err != nil {
		return err
	}
	return f.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DeleteDashboard(id, ownerID); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "dashboard.deleted", Resource: domain.Ref{Kind: "dashboard", ID: id, Name: d.Name}, Actor: d.Owner, Message: "The dashboard " + d.Name + " was deleted."})
	})
}
