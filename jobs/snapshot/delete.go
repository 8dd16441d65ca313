package snapshot

import (
	"context"
	"slices"
	"strings"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Delete is the input of snapshot.delete.
type Delete struct {
	VM
	Names []string `json:"names"` // children before their parents
}

func (d Deps) deleteSteps(in Delete) []jobs.Step {
	steps := []jobs.Step{{
		Name:    "look at the disks",
		Timeout: hostTimeout,
		NoUndo:  "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, l, err := d.at(r, in.VM)
			if err != nil {
				return err
			}
			w, err := d.world(ctx, host, in.VM)
			if err != nil {
				return err
			}
			going := w
			for _, name := range in.Names {
				s, ok := find(going.all, name)
				if !ok {
					continue
				}
				if _, err := going.judge(s); err != nil && len(in.Names) == 1 {
					return err
				}
			}
			l.Before = &w.guest
			return r.Save(ctx, l)
		},
	}}
	for i, name := range in.Names {
		steps = append(steps, jobs.Step{
			Name:    "delete " + name,
			Final:   i == 0,
			NoUndo:  "A snapshot that was merged cannot be had back.",
			Timeout: longTimeout,
			Do: func(ctx context.Context, r *jobs.Run) error {
				r.Progress(float64(i)/float64(len(in.Names))*100, "deleting "+name)
				return d.deleteOne(ctx, r, in, name, i == 0)
			},
		})
	}
	return append(steps, jobs.Step{
		Name:    "list what is left",
		Timeout: hostTimeout,
		NoUndo:  "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, l, err := d.at(r, in.VM)
			if err != nil {
				return err
			}
			said := "The snapshot " + in.Names[0] + " of " + in.Name + " was deleted."
			if len(in.Names) > 1 {
				said = "The snapshots " + strings.Join(in.Names, ", ") + " of " + in.Name + " were deleted."
			}
			if _, err := d.mirror(ctx, r, host, in.VM, "%s", said); err != nil {
				return err
			}
			if err := d.DB.Write(ctx, func(tx *db.Tx) error { return tx.ForgetSnapshotNotes(in.ID) }); err != nil {
				return err
			}
			return r.Result(Result{VMID: in.ID, Deleted: l.Deleted, Notes: l.Notes})
		},
	})
}

// deleteOne deletes one snapshot and the files that nobody needs then. What it decided is written down first: after a crash the snapshot may be gone and
// its files not yet.
func (d Deps) deleteOne(ctx context.Context, r *jobs.Run, in Delete, name string, first bool) error {
	host, l, err := d.at(r, in.VM)
	if err != nil {
		return err
	}
	w, err := d.world(ctx, host, in.VM)
	if err != nil {
		return err
	}
	s, there := find(w.all, name)
	plan, planned := l.Plans[name]
	if !there && !planned {
		r.Log("The snapshot %s is gone already.", name)
		return nil
	}
	if there {
		if plan, err = w.judge(s); err == nil {
			l.Plans[name] = plan
			if err = r.Save(ctx, l); err == nil {
				err = host.DeleteSnapshot(ctx, in.UUID, name, !plan.Full)
			}
		}
		if err != nil {
			return d.refused(ctx, host, in, name, first, err)
		}
		if plan.Full {
			r.Log("Deleted the snapshot %s: what it held apart was merged.", name)
		} else {
			note := "The snapshot " + name + " was forgotten, and nothing was merged: " + strings.Join(plan.Why, "; ") + "."
			r.Log("%s", note)
			l.Notes = append(l.Notes, note)
		}
		if w, err = d.world(ctx, host, in.VM); err != nil {
			return err
		}
	}
	for _, f := range plan.Files {
		done, err := d.drop(ctx, r, host, w, f)
		if err != nil {
			return err
		}
		if done && !slices.Contains(l.Deleted, f) {
			l.Deleted = append(l.Deleted, f)
		}
	}
	return r.Save(ctx, l)
}

// refused lets the job be undone when the host would not begin with the first snapshot.
func (d Deps) refused(ctx context.Context, host hv.Host, in Delete, name string, first bool, err error) error {
	if !first || domain.Is(err, domain.Unavailable) || domain.Is(err, domain.Internal) {
		return err
	}
	all, lerr := host.Snapshots(ctx, in.UUID)
	if lerr != nil {
		return err
	}
	if _, ok := find(all, name); !ok {
		return err
	}
	return jobs.BeforeFinal(err)
}
