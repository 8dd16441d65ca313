package storage

import (
	"context"
	"fmt"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// CreatePool is the input of pool.create.
type CreatePool struct {
	HostID string          `json:"host_id"` // the first place's
	Spec   domain.PoolSpec `json:"spec"`    // settled
	Places []Place         `json:"places"`
}

// PoolChange is the input of pool.start, pool.stop, pool.refresh and pool.autostart.
type PoolChange struct {
	HostID string  `json:"host_id"`
	PoolID string  `json:"pool_id"`
	Places []Place `json:"places"`
	On     bool    `json:"on,omitempty"` // autostart
}

// DeletePool is the input of pool.delete.
type DeletePool struct {
	HostID string  `json:"host_id"`
	PoolID string  `json:"pool_id"`
	Places []Place `json:"places"`
	Data   bool    `json:"data,omitempty"` // its volumes too
}

func (d Deps) createPoolSteps(in CreatePool) []jobs.Step {
	var steps []jobs.Step
	for i, p := range in.Places {
		steps = append(steps, jobs.Step{
			Name:    "define " + p.Pool + " on " + p.HostName,
			Timeout: hostTimeout,
			Do:      func(ctx context.Context, r *jobs.Run) error { return d.definePool(ctx, r, in.Spec, p) },
			Undo:    func(ctx context.Context, r *jobs.Run) error { return d.undefinePool(ctx, r, p) },
		})
		if in.Spec.Build && i == 0 {
			steps = append(steps, jobs.Step{
				Name:    "write the storage on " + p.HostName,
				Timeout: buildLimit,
				Do:      func(ctx context.Context, r *jobs.Run) error { return d.build(ctx, r, p) },
				Undo:    func(ctx context.Context, r *jobs.Run) error { return d.unbuild(ctx, r, p) },
			})
		}
		steps = append(steps, jobs.Step{
			Name:    "start " + p.Pool + " on " + p.HostName,
			Timeout: buildLimit,
			Do: func(ctx context.Context, r *jobs.Run) error {
				host, err := d.Hosts.Host(p.HostID)
				if err != nil {
					return err
				}
				if err := host.StartPool(ctx, p.Pool); err != nil {
					return err
				}
				return host.SetPoolAutostart(ctx, p.Pool, in.Spec.Autostart)
			},
			Undo: func(ctx context.Context, r *jobs.Run) error {
				l, err := load(r)
				if err != nil || !l.Claimed[p.HostID] {
					return err
				}
				host, err := d.Hosts.Host(p.HostID)
				if err != nil {
					return err
				}
				return host.StopPool(ctx, p.Pool)
			},
		})
	}
	return append(steps, jobs.Step{
		Name:    "list what is in it",
		Timeout: hostTimeout,
		NoUndo:  "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			if err := d.mirror(ctx, r, in.Places, false); err != nil {
				return err
			}
			var res PoolResult
			for _, p := range in.Places {
				res.PoolIDs = append(res.PoolIDs, domain.PoolID(p.HostID, p.Pool, in.Spec.Identity()))
			}
			if err := r.Result(res); err != nil {
				return err
			}
			return d.emit(ctx, r, "pool.created", "Storage pool %s was made.", in.Spec.Name)
		},
	})
}

func (d Deps) definePool(ctx context.Context, r *jobs.Run, spec domain.PoolSpec, p Place) error {
	host, err := d.Hosts.Host(p.HostID)
	if err != nil {
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	if !l.Claimed[p.HostID] {
		_, err := host.Pool(ctx, p.Pool)
		if err == nil {
			return domain.Errorf(domain.Conflict, "%s has a storage pool called %s already; it was left as it is.", p.HostName, p.Pool).WithFix("Choose another name.")
		}
		if !domain.Is(err, domain.NotFound) {
			return err
		}
		l.Claimed[p.HostID] = true
		if err := r.Save(ctx, l); err != nil {
			return err
		}
	}
	return host.DefinePool(ctx, spec)
}

func (d Deps) undefinePool(ctx context.Context, r *jobs.Run, p Place) error {
	l, err := load(r)
	if err != nil || !l.Claimed[p.HostID] {
		return err
	}
	host, err := d.Hosts.Host(p.HostID)
	if err != nil {
		return err
	}
	if err := host.UndefinePool(ctx, p.Pool); err != nil {
		return err
	}
	return d.Mirror.Inventory(ctx, host, p.HostID, cause(r))
}

// build writes the pool's devices once: written twice, the second time would find the first's data and refuse.
func (d Deps) build(ctx context.Context, r *jobs.Run, p Place) error {
	host, err := d.Hosts.Host(p.HostID)
	if err != nil {
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	if l.Built[p.HostID] && host.StartPool(ctx, p.Pool) == nil {
		return nil // this job wrote it before it was interrupted, since it can be used
	}
	l.Built[p.HostID] = true
	if err := r.Save(ctx, l); err != nil {
		return err
	}
	err = host.BuildPool(ctx, p.Pool)
	if err != nil && !domain.Is(err, domain.Unavailable) {
		l.Built[p.HostID] = false // refused: what is on the devices is somebody else's
		if serr := r.Save(context.WithoutCancel(ctx), l); serr != nil {
			return serr
		}
	}
	return err
}

func (d Deps) unbuild(ctx context.Context, r *jobs.Run, p Place) error {
	l, err := load(r)
	if err != nil || !l.Built[p.HostID] {
		return err
	}
	host, err := d.Hosts.Host(p.HostID)
	if err != nil {
		return err
	}
	if err := host.StopPool(ctx, p.Pool); err != nil {
		return err
	}
	removed, err := host.ClearPool(ctx, p.Pool)
	if err == nil && !removed {
		r.Log("What was written on the devices of %s stays there; it holds no data.", p.Pool)
	}
	return err
}

// remember notes how a pool is before it is changed.
func (d Deps) remember(ctx context.Context, r *jobs.Run, host hv.Host, p Place) (*was, error) {
	l, err := load(r)
	if err != nil {
		return nil, err
	}
	if w := l.Was[p.HostID+"/"+p.Pool]; w != nil {
		return w, nil
	}
	is, err := host.Pool(ctx, p.Pool)
	if err != nil {
		return nil, err
	}
	doc, err := host.PoolDocument(ctx, p.Pool)
	if err != nil {
		return nil, err
	}
	w := &was{Doc: doc, Active: is.Active, Autostart: is.Autostart}
	l.Was[p.HostID+"/"+p.Pool] = w
	return w, r.Save(ctx, l)
}

// change is a step that alters a pool in one place, and whose undo puts back how it was.
func (d Deps) change(name string, p Place, do func(ctx context.Context, r *jobs.Run, host hv.Host) error, undo func(ctx context.Context, host hv.Host, w *was) error) jobs.Step {
	return jobs.Step{
		Name:    name + " " + p.Pool + " on " + p.HostName,
		Timeout: buildLimit,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(p.HostID)
			if err != nil {
				return err
			}
			if _, err := d.remember(ctx, r, host, p); err != nil {
				return err
			}
			return do(ctx, r, host)
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			l, err := load(r)
			if err != nil {
				return err
			}
			w := l.Was[p.HostID+"/"+p.Pool]
			if w == nil {
				return nil
			}
			host, err := d.Hosts.Host(p.HostID)
			if err != nil {
				return err
			}
			if err := undo(ctx, host, w); err != nil {
				return err
			}
			return d.Mirror.Inventory(ctx, host, p.HostID, cause(r))
		},
	}
}

// activity puts a pool's activity back.
func activity(pool string) func(ctx context.Context, host hv.Host, w *was) error {
	return func(ctx context.Context, host hv.Host, w *was) error {
		if w.Active {
			return host.StartPool(ctx, pool)
		}
		return host.StopPool(ctx, pool)
	}
}

// seen is the last step of a change: the database follows.
func (d Deps) seen(in PoolChange, sentence string) jobs.Step {
	return jobs.Step{
		Name:    "look at it again",
		Timeout: hostTimeout,
		NoUndo:  "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			if err := d.mirror(ctx, r, in.Places, false); err != nil {
				return err
			}
			if err := r.Result(PoolResult{PoolIDs: []string{in.PoolID}}); err != nil {
				return err
			}
			return d.emit(ctx, r, "pool.changed", "Storage pool %s %s.", r.Job().Resource.Name, sentence)
		},
	}
}

func (d Deps) startSteps(in PoolChange) []jobs.Step {
	var steps []jobs.Step
	for _, p := range in.Places {
		steps = append(steps, d.change("start", p, func(ctx context.Context, r *jobs.Run, host hv.Host) error { return host.StartPool(ctx, p.Pool) }, activity(p.Pool)))
	}
	return append(steps, d.seen(in, "was started"))
}

func (d Deps) stopSteps(in PoolChange) []jobs.Step {
	steps := []jobs.Step{d.unusedPool(in.PoolID, true)}
	for _, p := range in.Places {
		steps = append(steps, d.change("stop", p, func(ctx context.Context, r *jobs.Run, host hv.Host) error { return host.StopPool(ctx, p.Pool) }, activity(p.Pool)))
	}
	return append(steps, d.seen(in, "was stopped"))
}

func (d Deps) autostartSteps(in PoolChange) []jobs.Step {
	var steps []jobs.Step
	for _, p := range in.Places {
		steps = append(steps, d.change("set the autostart of", p,
			func(ctx context.Context, r *jobs.Run, host hv.Host) error {
				return host.SetPoolAutostart(ctx, p.Pool, in.On)
			},
			func(ctx context.Context, host hv.Host, w *was) error {
				return host.SetPoolAutostart(ctx, p.Pool, w.Autostart)
			}))
	}
	word := "no longer starts with its host"
	if in.On {
		word = "starts with its host"
	}
	return append(steps, d.seen(in, word))
}

func (d Deps) refreshSteps(in PoolChange) []jobs.Step {
	var steps []jobs.Step
	for _, p := range in.Places {
		steps = append(steps, jobs.Step{
			Name: "look into " + p.Pool + " on " + p.HostName, Timeout: buildLimit, NoUndo: "It only looks.",
			Do: func(ctx context.Context, r *jobs.Run) error {
				host, err := d.Hosts.Host(p.HostID)
				if err != nil {
					return err
				}
				return host.RefreshPool(ctx, p.Pool)
			},
		})
	}
	return append(steps, d.seen(in, "was looked at again"))
}

// unusedPool checks once more that no VM needs the pool; with running, only VMs that run count.
func (d Deps) unusedPool(poolID string, running bool) jobs.Step {
	return jobs.Step{
		Name: "check that no VM needs it", Timeout: hostTimeout, NoUndo: "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			users, err := d.DB.PoolUsers(ctx, poolID, running)
			if err != nil {
				return err
			}
			return Needed("The pool "+r.Job().Resource.Name, users)
		},
	}
}

func (d Deps) deletePoolSteps(in DeletePool) []jobs.Step {
	steps := []jobs.Step{d.unusedPool(in.PoolID, false)}
	if in.Data {
		steps = append(steps, jobs.Step{
			Name:    "delete its volumes",
			Final:   true,
			NoUndo:  "A deleted volume cannot be had back.",
			Timeout: copyTimeout,
			Do:      func(ctx context.Context, r *jobs.Run) error { return d.deleteVolumes(ctx, r, in.Places[0]) },
		})
	}
	for _, p := range in.Places {
		steps = append(steps, d.change("stop", p, func(ctx context.Context, r *jobs.Run, host hv.Host) error { return host.StopPool(ctx, p.Pool) }, activity(p.Pool)))
		steps = append(steps, d.change("remove", p, func(ctx context.Context, r *jobs.Run, host hv.Host) error {
			return d.removePool(ctx, r, host, p, in.Data)
		},
			func(ctx context.Context, host hv.Host, w *was) error {
				_, err := host.Pool(ctx, p.Pool)
				if domain.Is(err, domain.NotFound) {
					err = host.DefinePoolDocument(ctx, w.Doc)
				}
				if err != nil {
					return err
				}
				return host.SetPoolAutostart(ctx, p.Pool, w.Autostart)
			}))
	}
	return append(steps, jobs.Step{
		Name: "take it off the list", Timeout: hostTimeout, NoUndo: "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			if err := d.mirror(ctx, r, in.Places, false); err != nil {
				return err
			}
			what := "was removed; its data is where it was"
			if in.Data {
				what = "was deleted with its data"
			}
			return d.emit(ctx, r, "pool.removed", "Storage pool %s %s.", r.Job().Resource.Name, what)
		},
	})
}

func (d Deps) removePool(ctx context.Context, r *jobs.Run, host hv.Host, p Place, data bool) error {
	if data {
		removed, err := host.ClearPool(ctx, p.Pool)
		if err != nil {
			return err
		}
		if removed {
			r.Log("Removed what %s was made of on %s.", p.Pool, p.HostName)
		}
	}
	return host.UndefinePool(ctx, p.Pool)
}

// deleteVolumes deletes what the pool holds. A stopped pool shows nothing of it, so it is started first.
func (d Deps) deleteVolumes(ctx context.Context, r *jobs.Run, p Place) error {
	host, err := d.Hosts.Host(p.HostID)
	if err != nil {
		return err
	}
	if _, err := d.remember(ctx, r, host, p); domain.Is(err, domain.NotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if err := host.StartPool(ctx, p.Pool); err != nil {
		return err
	}
	if err := host.RefreshPool(ctx, p.Pool); err != nil {
		return err
	}
	inv, err := host.Inventory(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, v := range inv.Volumes {
		if v.Pool == p.Pool {
			names = append(names, v.Name)
		}
	}
	for i, name := range names {
		r.Progress(float64(i)/float64(len(names))*100, fmt.Sprintf("deleting %s (%d of %d)", name, i+1, len(names)))
		if err := host.DeleteVolume(ctx, p.Pool, name); err != nil {
			return err
		}
		r.Log("Deleted %s.", name)
	}
	return nil
}
