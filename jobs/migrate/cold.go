package migrate

import (
	"context"
	"fmt"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// coldSteps move a stopped VM: its disks are copied and read back, its definition is put on the target, then taken from the source. Between the last two both
// hosts define it, stopped; the target's is used only when the source's is gone.
func (d Deps) coldSteps(in Move) []jobs.Step {
	return []jobs.Step{d.reserve(in), d.check(in), d.prepare(in), {
		Name: "copy the disks", Timeout: moveTimeout, NoUndo: "The copies go with the volumes that hold them.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.copyDisks(ctx, r, in) },
	}, {
		Name: "define it on the target", Timeout: checkTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error { return d.define(ctx, r, in) },
		Undo: func(ctx context.Context, r *jobs.Run) error {
			l, err := load(r)
			if err != nil {
				return err
			}
			if l.Decision != "" {
				return d.undoDecided(ctx, r, in, l)
			}
			s, err := d.where(ctx, in)
			if err != nil {
				return err
			}
			if !s.Source.Has {
				return d.undecided(ctx, r, in, s)
			}
			to, err := d.Hosts.Host(in.ToID)
			if err != nil {
				return err
			}
			_, err = to.Undefine(ctx, in.UUID)
			return err
		},
	}, {
		Name: "take it from the source", Final: true, NoUndo: "The VM is on the target alone; moving it back is another migration.", Timeout: checkTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			l, err := load(r)
			if err != nil {
				return err
			}
			if l.Decision != "" {
				if err := d.decided(ctx, r, in, l); err != nil || l.Decision == keepTarget {
					return err
				}
				return jobs.BeforeFinal(domain.Errorf(domain.Conflict, "It was decided that %s stays on %s.", in.Name, in.FromName))
			}
			s, err := d.where(ctx, in)
			if err != nil {
				return err
			}
			if !s.Target.Has || s.Source.active() || s.Target.active() {
				return d.undecided(ctx, r, in, s)
			}
			from, err := d.Hosts.Host(in.FromID)
			if err != nil {
				return err
			}
			_, err = from.Undefine(ctx, in.UUID)
			return err
		},
	}, d.commit(in), d.clean(in)}
}

func (d Deps) copyDisks(ctx context.Context, r *jobs.Run, in Move) error {
	l, err := load(r)
	if err != nil {
		return err
	}
	from, to, err := d.both(in)
	if err != nil {
		return err
	}
	if l.Started.IsZero() { // a copy that is taken up again began when it first did
		l.Started = d.Clock()
		if err := r.Save(ctx, l); err != nil {
			return err
		}
	}
	total, done := max(l.Plan.CopyBytes(), 1), int64(0)
	for _, disk := range l.Plan.Disks {
		if disk.Stays {
			continue
		}
		if l.Copies == nil {
			l.Copies = map[string]*copied{}
		}
		if l.Copies[disk.Target] == nil {
			l.Copies[disk.Target] = &copied{}
		}
		c := &copier{from: from, to: to, disk: disk, done: l.Copies[disk.Target], save: func() error { return r.Save(ctx, l) }, log: r.Log, tell: func(n int64) {
			r.Progress(min(99, 100*float64(done+n)/float64(total)), fmt.Sprintf("%s: %s of %s copied", disk.Target, domain.FormatBytes(n), domain.FormatBytes(disk.Bytes)))
		}}
		if err := c.run(ctx); err != nil {
			return err
		}
		done += disk.Bytes
		r.Log("Copied %s and read it back: the same bytes.", disk.Source)
	}
	return nil
}

func (d Deps) define(ctx context.Context, r *jobs.Run, in Move) error {
	l, err := load(r)
	if err != nil {
		return err
	}
	to, err := d.Hosts.Host(in.ToID)
	if err != nil {
		return err
	}
	return to.Receive(ctx, l.XML, hv.Migration{Sources: l.Sources, Networks: l.Plan.Networks, Bridges: l.Plan.Bridges})
}
