package migrate

import (
	"context"
	"fmt"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs"
)

// turn waits until the policies' limits allow one more move from the one host to the other, and takes the place in the same transaction.
func (d Deps) turn(ctx context.Context, r *jobs.Run, in Move) error {
	for said := ""; ; {
		most, err := d.limits(ctx, in)
		if err != nil {
			return err
		}
		wait := ""
		err = d.DB.Write(ctx, func(tx *db.Tx) error {
			out, into, link, err := tx.MovesNow(r.Job().ID, in.FromID, in.ToID)
			if err != nil {
				return err
			}
			if wait = most.wait(in, out, into, link); wait != "" {
				return nil
			}
			if err := tx.SetVMMoving(in.VMID, in.ToID); err != nil {
				return err
			}
			return tx.PutMigration(domain.MigrationRecord{JobID: r.Job().ID, VMID: in.VMID, VMName: in.Name, FromID: in.FromID, FromName: in.FromName, ToID: in.ToID, ToName: in.ToName,
				Mode: in.Mode, State: string(domain.JobRunning), Started: d.Clock(), DirtyRate: -1})
		})
		if err != nil || wait == "" {
			return err
		}
		if wait != said {
			said = wait
			r.Log("%s", wait)
			r.Progress(0, wait)
		}
		if err := r.Idle(ctx, func(ctx context.Context) error {
			look := time.NewTimer(d.Watch)
			defer look.Stop()
			select {
			case <-look.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}); err != nil {
			return err
		}
	}
}

type limits struct{ out, in, link int } // 0: none

func (d Deps) limits(ctx context.Context, in Move) (l limits, err error) {
	for _, side := range []struct {
		host string
		most *int
		of   func(domain.MigrationPolicy) int
	}{
		{in.FromID, &l.out, func(p domain.MigrationPolicy) int { return p.MaxOut }}, {in.ToID, &l.in, func(p domain.MigrationPolicy) int { return p.MaxIn }},
		{"", &l.link, func(p domain.MigrationPolicy) int { return p.MaxLink }},
	} {
		written, err := d.DB.PoliciesFor(ctx, "", "", side.host) // the host's before the estate's
		if err != nil {
			return l, err
		}
		for _, p := range written {
			if n := side.of(p.Policy); n > 0 && *side.most == 0 {
				*side.most = n
			}
		}
	}
	return l, nil
}

// wait says what the move waits for; nothing when its turn is now.
func (l limits) wait(in Move, out, into, link int) string {
	for _, c := range []struct {
		most, now int
		who       string
	}{{l.out, out, in.FromName + " sends"}, {l.in, into, in.ToName + " takes"}, {l.link, link, "the link from " + in.FromName + " to " + in.ToName + " carries"}} {
		if c.most > 0 && c.now >= c.most {
			return fmt.Sprintf("Waiting for its turn: by the policy %s %d at a time.", c.who, c.most)
		}
	}
	return ""
}
