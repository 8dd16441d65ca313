package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

func (d Deps) liveSteps(in Move) []jobs.Step {
	return []jobs.Step{d.reserve(in), d.check(in), d.prepare(in), {
		Name: "move", Timeout: moveTimeout, Final: true, Stoppable: true,
		Do: func(ctx context.Context, r *jobs.Run) error { return d.move(ctx, r, in) },
	}, d.commit(in), d.clean(in)}
}

// move asks the source to move the guest, or finds the migration that an earlier run asked for, and watches it to its end. Where the guest is then decides.
func (d Deps) move(ctx context.Context, r *jobs.Run, in Move) error {
	from, to, err := d.both(in)
	if err != nil {
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	in.Policy = l.Plan.Policy // as it was when its check passed
	ended := make(chan error, 1)
	if l.Decision != "" {
		if err := d.decided(ctx, r, in, l); err != nil {
			return err
		}
		if l.Decision == keepSource {
			return jobs.BeforeFinal(domain.Errorf(domain.Conflict, "It was decided that %s stays on %s.", in.Name, in.FromName))
		}
		return nil
	}
	resume := false
	if l.Asked {
		// After a crash the migration may be under way, over, or never have begun. A cancel that was asked for meanwhile must not keep us from looking.
		look, release := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer release()
		_, err := from.MigrationProgress(look, in.UUID)
		if err == nil {
			r.Log("The migration that was under way is found again.")
			go func() { ended <- d.over(ctx, from, in) }()
			return d.follow(ctx, r, in, from, ended, l.Started)
		}
		if !domain.Is(err, domain.NotFound) {
			return err
		}
		s, err := d.settled(look, in)
		if err != nil {
			return err
		}
		switch s.place() {
		case onTarget:
			return nil
		case onBoth:
			if resume = s.postCopyBroke(); !resume {
				return d.undecided(ctx, r, in, s)
			}
			r.Log("The post-copy broke off: neither copy is whole by itself. The source is asked to send the rest.")
		case onNeither:
			return d.undecided(ctx, r, in, s)
		}
	}
	if ctx.Err() != nil && !resume {
		return jobs.BeforeFinal(ctx.Err())
	}
	l.Asked, l.Started = true, d.Clock()
	if err := r.Save(ctx, l); err != nil {
		return jobs.BeforeFinal(err)
	}
	m := hv.Migration{URI: l.Plan.URI, Sources: l.Sources, Screen: to.ScreenAddress(), Networks: l.Plan.Networks, Bridges: l.Plan.Bridges, Bandwidth: in.Policy.BandwidthAt(d.Clock()),
		Downtime: time.Duration(in.Policy.Downtimes()[0]) * time.Millisecond, Converge: !in.Policy.NeverSlow && !in.Policy.PostCopy, PostCopy: in.Policy.PostCopy,
		Parallel: in.Policy.ParallelConnection, Compress: in.Policy.Compress, TLS: l.Plan.TLS, AllowUnsafe: l.Plan.Unsafe, Tunnel: l.Plan.Tunnel, Incremental: l.Plan.Incremental(), Resume: resume}
	if s, err := ask(ctx, from, in.UUID); err == nil && s.State == domain.VMPaused {
		m.PostCopy = false // nothing changes while it stands still
	}
	for _, disk := range l.Plan.Disks {
		if !disk.Stays {
			m.CopyDisks = append(m.CopyDisks, disk.Target)
		}
	}
	// The call outlives a cancel of the step: the migration is stopped by asking for it, and then the call returns. It does not outlive this run: whoever
	// looks next must not be told that nothing moves by a host that is asked to move it a moment later.
	call, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	go func() { ended <- from.Migrate(call, in.UUID, m) }()
	return d.follow(ctx, r, in, from, ended, l.Started)
}

// over waits until the source sends the guest no more.
func (d Deps) over(ctx context.Context, from hv.Host, in Move) error {
	tick := time.NewTicker(d.Watch)
	defer tick.Stop()
	for {
		_, err := from.MigrationProgress(context.WithoutCancel(ctx), in.UUID)
		if domain.Is(err, domain.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		<-tick.C
	}
}

// follow reports progress, applies the policy, hands on a cancel, and tells by both hosts' answers how it ended.
func (d Deps) follow(ctx context.Context, r *jobs.Run, in Move, from hv.Host, ended <-chan error, started time.Time) error {
	tick := time.NewTicker(d.Watch)
	defer tick.Stop()
	p := &pilot{in: in, host: from, run: r, started: started, every: d.Watch, cap: in.Policy.BandwidthAt(started)}
	done := ctx.Done()
	for {
		select {
		case failed := <-ended:
			if err := noteThrottle(context.WithoutCancel(ctx), r, p.slowed); err != nil {
				return err
			}
			return d.landed(ctx, r, in, failed)
		case <-done:
			done = nil
			if r.Cancelled() { // and not: NovaCron ends, when the migration goes on by itself
				stop, release := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
				err := from.CancelMigration(stop, in.UUID)
				release()
				if err != nil {
					return err
				}
				continue
			}
			return ctx.Err() // found again at the next start
		case <-tick.C:
			if done != nil {
				p.steer(ctx, d.Clock())
			}
		}
	}
}

// noteThrottle remembers for the figures how much the guest was slowed.
func noteThrottle(ctx context.Context, r *jobs.Run, percent int) error {
	l, err := load(r)
	if err != nil || percent <= l.Throttle {
		return err
	}
	l.Throttle = percent
	return r.Save(ctx, l)
}

// landed tells by where the guest is, not by what was answered, whether it was moved.
func (d Deps) landed(ctx context.Context, r *jobs.Run, in Move, failed error) error {
	look, release := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer release()
	s, err := d.settled(look, in)
	if err != nil {
		return errors.Join(err, failed)
	}
	switch s.place() {
	case onTarget:
		if failed != nil {
			r.Log("The source reported %q, but the guest is on %s.", failed.Error(), in.ToName)
		}
		return nil
	case onSource:
		if failed == nil {
			failed = domain.Errorf(domain.Conflict, "%s is still on %s.", in.Name, in.FromName)
		}
		if ctx.Err() != nil {
			failed = ctx.Err()
		}
		return jobs.BeforeFinal(failed)
	}
	if failed != nil {
		r.Log("The source reported %q.", failed.Error())
	}
	return d.undecided(look, r, in, s)
}

// settleLooks is how often both hosts are asked until one of them has let go of the guest.
const settleLooks = 10

// settled is where, after the moment in which both hosts may show the guest while a migration ends.
func (d Deps) settled(ctx context.Context, in Move) (sight, error) {
	tick := time.NewTicker(d.Watch)
	defer tick.Stop()
	for i := 0; ; i++ {
		s, err := d.where(ctx, in)
		if err != nil || s.place() != onBoth || i >= settleLooks {
			return s, err
		}
		if from, err := d.Hosts.Host(in.FromID); err != nil {
			return s, err
		} else if _, err := from.MigrationProgress(ctx, in.UUID); err == nil {
			return s, nil // under way: both have it, as they should
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// commit writes what is so: the VM is on the target.
func (d Deps) commit(in Move) jobs.Step {
	return jobs.Step{Name: "commit", NoUndo: "The VM is on the target alone; moving it back is another migration.", Timeout: checkTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			l, err := load(r)
			if err != nil {
				return err
			}
			if l.Decision == keepTarget { // also what a person decided when this step was stuck
				if err := d.decided(ctx, r, in, l); err != nil {
					return err
				}
			}
			s, err := d.where(ctx, in)
			if err != nil {
				return err
			}
			if s.place() != onTarget {
				return d.undecided(ctx, r, in, s)
			}
			to, err := d.Hosts.Host(in.ToID)
			if err != nil {
				return err
			}
			if err := to.SetAutostart(ctx, in.UUID, l.Autostart); err != nil {
				return err
			}
			figures := d.figures(ctx, r, in, to, l)
			figures.Paused = s.Target.State == domain.VMPaused
			if err := d.arrived(ctx, r, in); err != nil {
				return err
			}
			if _, err := d.Mirror.Guest(ctx, to, in.ToID, in.UUID, cause(r, "")); err != nil {
				return err
			}
			if err := r.Result(Result{VMID: in.VMID, HostID: in.ToID, Forecast: l.Forecast, Figures: figures}); err != nil {
				return err
			}
			return d.DB.Write(ctx, func(tx *db.Tx) error { return tx.EndMigration(r.Job().ID, string(domain.JobSucceeded), figures) })
		}}
}

// arrived writes where the VM is now.
func (d Deps) arrived(ctx context.Context, r *jobs.Run, in Move) error {
	vm, err := d.DB.VM(ctx, in.VMID)
	if err != nil || vm.HostID == in.ToID {
		return err
	}
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		if err := tx.MoveVM(in.VMID, in.ToID); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "vm.migrated", Resource: domain.Ref{Kind: "vm", ID: in.VMID, Name: in.Name}, HostID: in.ToID, JobID: r.Job().ID, Actor: r.Job().Actor,
			Message: fmt.Sprintf("%s moved from %s to %s.", in.Name, in.FromName, in.ToName)})
	})
}

// figures are QEMU's own where the host kept them, else what the clock says.
func (d Deps) figures(ctx context.Context, r *jobs.Run, in Move, to hv.Host, l *ledger) *domain.MigrationFigures {
	f := &domain.MigrationFigures{Seconds: d.Clock().Sub(l.Started).Seconds(), Bytes: l.Plan.CopyBytes(), Throttle: l.Throttle}
	if in.Mode != domain.MigrateLive {
		return f
	}
	got, err := to.MigrationResult(ctx, in.UUID)
	if err != nil {
		r.Log("QEMU's own figures are not to be had: %s", err.Error())
		return f
	}
	f.Seconds, f.DowntimeMS, f.Bytes, f.Iterations = got.Elapsed.Seconds(), float64(got.Downtime.Microseconds())/1000, got.MemoryDone+got.DiskDone, got.Iteration
	f.SkewMS = float64(got.Skew.Milliseconds())
	if got.DiskDone == 0 { // else it is of the memory alone, which had the path to itself after the disks
		f.CopyRate = got.MemoryRate
	}
	if f.Seconds > 0 {
		f.Rate = int64(float64(f.Bytes) / f.Seconds)
	}
	return f
}

// clean removes what the copied disks left on the source.
func (d Deps) clean(in Move) jobs.Step {
	return jobs.Step{Name: "clean the source", NoUndo: "The VM is on the target.", Timeout: 30 * time.Minute, Do: func(ctx context.Context, r *jobs.Run) error {
		l, err := load(r)
		if err != nil {
			return err
		}
		if l.Decision != "" {
			r.Log("The disks on %s are kept, since a person had to decide where %s is.", in.FromName, in.Name)
			return nil
		}
		from, to, err := d.both(in)
		if err != nil {
			return err
		}
		if there, err := has(ctx, to, in.UUID); err != nil {
			return err
		} else if !there {
			return domain.Errorf(domain.Conflict, "%s is not on %s any more, so its old disks on %s are kept.", in.Name, in.ToName, in.FromName)
		}
		copied := false
		for _, disk := range l.Plan.Disks {
			if disk.Stays || disk.Volume == "" {
				continue
			}
			copied = true
			pool, err := d.poolID(ctx, in.FromID, disk.Pool)
			if err != nil {
				return err
			}
			users, err := d.DB.VolumeUsers(ctx, domain.VolumeID(pool, disk.Volume))
			if err != nil && !domain.Is(err, domain.NotFound) {
				return err
			}
			if len(users) > 0 {
				r.Log("%s stays on %s: other VMs or volumes need it.", disk.Source, in.FromName)
				continue
			}
			if err := from.DeleteVolume(ctx, disk.Pool, disk.Volume); err != nil {
				return err
			}
			r.Log("Deleted %s on %s.", disk.Source, in.FromName)
		}
		if !copied {
			return nil
		}
		if err := d.Mirror.Inventory(ctx, from, in.FromID, cause(r, "")); err != nil {
			return err
		}
		return d.Mirror.Inventory(ctx, to, in.ToID, cause(r, ""))
	}}
}

func (d Deps) poolID(ctx context.Context, hostID, name string) (string, error) {
	pools, err := d.DB.Pools(ctx, hostID)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(pools, func(p domain.Pool) bool { return p.Name == name })
	if i < 0 {
		return "", domain.Errorf(domain.NotFound, "The host has no pool %s any more.", name)
	}
	return pools[i].ID, nil
}
