package provision

import (
	"context"
	"fmt"
	"sync"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/blocks"
)

// copyTimeout bounds the copy of one volume.
const copyTimeout = 12 * time.Hour

func key(pool, name string) string { return pool + "/" + name }

// claim writes into the ledger that this job is about to make a volume that does not exist. fresh is false when the job had claimed it before.
func claim(ctx context.Context, r *jobs.Run, host hv.Host, pool, name string) (l *ledger, fresh bool, err error) {
	if l, err = load(r); err != nil {
		return nil, false, err
	}
	if l.Volumes[key(pool, name)] != nil {
		return l, false, nil
	}
	v, err := host.Volume(ctx, pool, name)
	if err == nil {
		return nil, false, volumeTaken(v)
	}
	if !domain.Is(err, domain.NotFound) {
		return nil, false, err
	}
	l.Volumes[key(pool, name)] = &entry{}
	return l, true, r.Save(ctx, l)
}

// disclaim takes a claim back when the volume turned out to be somebody else's.
func disclaim(ctx context.Context, r *jobs.Run, l *ledger, pool, name string) error {
	delete(l.Volumes, key(pool, name))
	return r.Save(context.WithoutCancel(ctx), l)
}

func volumeTaken(v domain.Volume) error {
	at := v.Path
	if at == "" {
		at = key(v.Pool, v.Name)
	}
	return domain.Errorf(domain.Conflict, "%s exists already and was left as it is.", at).
		WithFix("Choose another name, use that file as the disk's source, or delete it if nobody needs it.")
}

// makeVolume is the step that makes one new volume.
func (d Deps) makeVolume(hostID string, v hv.VolumeSpec) jobs.Step {
	return jobs.Step{
		Name:    fmt.Sprintf("make disk %s in %s", v.Name, v.Pool),
		Timeout: 30 * time.Minute, // a raw volume may be written in full
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(hostID)
			if err != nil {
				return err
			}
			l, fresh, err := claim(ctx, r, host, v.Pool, v.Name)
			if err != nil {
				return err
			}
			if !fresh {
				have, err := host.Volume(ctx, v.Pool, v.Name)
				if err == nil {
					r.Log("%s is there already; this job made it.", have.Path)
					return nil
				}
				if !domain.Is(err, domain.NotFound) {
					return err
				}
			}
			if v.SecretUUID != "" {
				if err := blocks.Ensure(ctx, d.DB, host, v.SecretUUID); err != nil {
					return err
				}
			}
			got, err := host.CreateVolume(ctx, v)
			if domain.Is(err, domain.Conflict) {
				// Somebody made it between the look and the call.
				if derr := disclaim(ctx, r, l, v.Pool, v.Name); derr != nil {
					return derr
				}
				return err
			}
			if err != nil {
				return err
			}
			r.Log("Made %s (%s, %s).", got.Path, domain.FormatBytes(v.SizeBytes), v.Format)
			return nil
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.unmakeVolume(ctx, r, hostID, v.Pool, v.Name) },
	}
}

// copyVolume is the step that copies a volume in full. A copy that was cut short is thrown away and begun anew, since nothing tells how much of it is right.
func (d Deps) copyVolume(hostID string, c Copy) jobs.Step {
	return jobs.Step{
		Name:    fmt.Sprintf("copy disk %s to %s", c.From, c.To),
		Timeout: copyTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(hostID)
			if err != nil {
				return err
			}
			l, fresh, err := claim(ctx, r, host, c.Pool, c.To)
			if err != nil {
				return err
			}
			if l.Volumes[key(c.Pool, c.To)].Done {
				return nil
			}
			if !fresh {
				if err := host.DeleteVolume(ctx, c.Pool, c.To); err != nil {
					return err
				}
			}
			stop := watchCopy(ctx, r, host, c)
			got, err := host.CloneVolume(ctx, c.Pool, c.From, c.To)
			stop()
			if domain.Is(err, domain.Conflict) && fresh {
				if derr := disclaim(ctx, r, l, c.Pool, c.To); derr != nil {
					return derr
				}
				return err
			}
			if err != nil {
				return err
			}
			l.Volumes[key(c.Pool, c.To)].Done = true
			if err := r.Save(ctx, l); err != nil {
				return err
			}
			r.Log("Copied %s to %s.", c.From, got.Path)
			return nil
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.unmakeVolume(ctx, r, hostID, c.Pool, c.To) },
	}
}

// lookEvery is how often a copy under way is looked at.
const lookEvery = time.Second

// watchCopy tells how far a copy is by what it occupies beside what its original does, since libvirt says nothing of it. A look that fails tells nothing;
// the next one comes.
func watchCopy(ctx context.Context, r *jobs.Run, host hv.Host, c Copy) (stop func()) {
	r.Progress(0, "copying "+c.From)
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		var all int64
		for n := int64(1); ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if all == 0 {
				if from, err := host.Volume(ctx, c.Pool, c.From); err == nil {
					all = from.AllocationBytes
				}
			}
			to, err := host.Volume(ctx, c.Pool, c.To)
			if err != nil || all <= 0 {
				continue
			}
			done := min(to.AllocationBytes, all)
			rate := max(done/n, 1)
			r.Progress(float64(done)*100/float64(all), fmt.Sprintf("copying %s: %s of %s, %s/s, about %s left", c.From, domain.FormatBytes(done), domain.FormatBytes(all), domain.FormatBytes(rate),
				(time.Duration((all-done)/rate)*time.Second)))
		}
	})
	return func() {
		cancel()
		watch.Wait()
	}
}

// unmakeVolume deletes a volume if, and only if, this job claimed it.
func (d Deps) unmakeVolume(ctx context.Context, r *jobs.Run, hostID, pool, name string) error {
	l, err := load(r)
	if err != nil || l.Volumes[key(pool, name)] == nil {
		return err
	}
	host, err := d.Hosts.Host(hostID)
	if err != nil {
		return err
	}
	err = host.DeleteVolume(ctx, pool, name)
	if domain.Is(err, domain.NotFound) {
		return nil // the pool itself is gone
	}
	if err != nil {
		return err
	}
	r.Log("Deleted %s in %s again.", name, pool)
	// The name is free again, and whoever tries once more must not be told that it is taken.
	return d.Mirror.Inventory(ctx, host, hostID, cause(r, ""))
}

// defaultPool is the step that gives a host without any pool its first one.
func (d Deps) defaultPool(hostID string) jobs.Step {
	return jobs.Step{
		Name:    "make sure there is a storage pool",
		Timeout: hostTimeout,
		NoUndo:  "An empty storage pool harms nothing, and the next VM needs it.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(hostID)
			if err != nil {
				return err
			}
			made, err := host.EnsureDefaultPool(ctx)
			if made {
				r.Log("The host had no active storage pool; the pool “default” was made.")
			}
			return err
		},
	}
}
