package storage

import (
	"context"
	"fmt"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// CreateVolume is the input of volume.create.
type CreateVolume struct {
	HostID string        `json:"host_id"` // the first place's, which does the work
	PoolID string        `json:"pool_id"`
	Places []Place       `json:"places"`
	Spec   hv.VolumeSpec `json:"spec"` // Pool is the first place's
}

// CloneVolume is the input of volume.clone.
type CloneVolume struct {
	HostID    string  `json:"host_id"`
	PoolID    string  `json:"pool_id"`
	Places    []Place `json:"places"`
	From      string  `json:"from"`
	To        string  `json:"to"`
	SizeBytes int64   `json:"size_bytes,omitempty"` // larger than the original; 0: as large
}

// ResizeVolume is the input of volume.resize.
type ResizeVolume struct {
	HostID    string  `json:"host_id"`
	VolumeID  string  `json:"volume_id"`
	Places    []Place `json:"places"`
	Name      string  `json:"name"`
	SizeBytes int64   `json:"size_bytes"`
	Shrink    bool    `json:"shrink,omitempty"`
	VMID      string  `json:"vm_id,omitempty"` // the VM that runs with it, on the host of HostID
	UUID      string  `json:"uuid,omitempty"`
	Target    string  `json:"target,omitempty"`
}

// DeleteVolume is the input of volume.delete.
type DeleteVolume struct {
	HostID   string  `json:"host_id"`
	VolumeID string  `json:"volume_id"`
	PoolID   string  `json:"pool_id"`
	Places   []Place `json:"places"`
	Name     string  `json:"name"`
}

// claimVolume writes into the ledger that this job is about to make a volume that does not exist. fresh is false when it had claimed it before.
func claimVolume(ctx context.Context, r *jobs.Run, host hv.Host, pool, name string) (l *ledger, fresh bool, err error) {
	if l, err = load(r); err != nil {
		return nil, false, err
	}
	if l.Claimed[name] {
		return l, false, nil
	}
	v, err := host.Volume(ctx, pool, name)
	if err == nil {
		return nil, false, domain.Errorf(domain.Conflict, "%s exists already and was left as it is.", v.Path).WithFix("Choose another name.")
	}
	if !domain.Is(err, domain.NotFound) {
		return nil, false, err
	}
	if _, err := host.Pool(ctx, pool); err != nil {
		return nil, false, err // it is the pool that is not there
	}
	l.Claimed[name] = true
	return l, true, r.Save(ctx, l)
}

// disclaim takes a claim back when the volume turned out to be somebody else's.
func disclaim(ctx context.Context, r *jobs.Run, l *ledger, name string) error {
	delete(l.Claimed, name)
	return r.Save(context.WithoutCancel(ctx), l)
}

// unmake deletes a volume if, and only if, this job claimed it.
func (d Deps) unmake(ctx context.Context, r *jobs.Run, p Place, name string) error {
	l, err := load(r)
	if err != nil || !l.Claimed[name] {
		return err
	}
	host, err := d.Hosts.Host(p.HostID)
	if err != nil {
		return err
	}
	err = host.DeleteVolume(ctx, p.Pool, name)
	if domain.Is(err, domain.NotFound) {
		return nil // the pool itself is gone
	}
	if is, perr := host.Pool(ctx, p.Pool); domain.Is(err, domain.Conflict) && perr == nil && !is.Active {
		r.Log("The pool %s stopped meanwhile; if a part of %s was made, it is there when the pool starts again.", p.Pool, name)
		return nil
	}
	if err != nil {
		return err
	}
	return d.Mirror.Inventory(ctx, host, p.HostID, cause(r))
}

func (d Deps) createVolumeSteps(in CreateVolume) []jobs.Step {
	p := in.Places[0]
	return []jobs.Step{{
		Name:    fmt.Sprintf("make %s in %s", in.Spec.Name, p.Pool),
		Timeout: copyTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(p.HostID)
			if err != nil {
				return err
			}
			l, fresh, err := claimVolume(ctx, r, host, p.Pool, in.Spec.Name)
			if err != nil {
				return err
			}
			if !fresh {
				if _, err := host.Volume(ctx, p.Pool, in.Spec.Name); err == nil {
					return nil // this job made it
				} else if !domain.Is(err, domain.NotFound) {
					return err
				}
			}
			if in.Spec.SecretUUID != "" {
				if err := d.Secret(ctx, host, in.Spec.SecretUUID); err != nil {
					return err
				}
			}
			v, err := host.CreateVolume(ctx, in.Spec)
			if domain.Is(err, domain.Conflict) && fresh {
				if _, look := host.Volume(ctx, p.Pool, in.Spec.Name); look == nil && !in.Spec.Full {
					// Somebody made it between the look and the call.
					if derr := disclaim(ctx, r, l, in.Spec.Name); derr != nil {
						return derr
					}
				}
			}
			if err != nil {
				return err
			}
			r.Log("Made %s (%s, %s).", v.Path, domain.FormatBytes(v.CapacityBytes), v.Format)
			return nil
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.unmake(ctx, r, p, in.Spec.Name) },
	}, d.madeVolume(in.PoolID, in.Places, in.Spec.Name, "was made")}
}

// madeVolume is the last step of making a volume.
func (d Deps) madeVolume(poolID string, places []Place, name, sentence string) jobs.Step {
	return jobs.Step{
		Name: "put it on the list", Timeout: hostTimeout, NoUndo: "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			if err := d.mirror(ctx, r, places, true); err != nil {
				return err
			}
			host, err := d.Hosts.Host(places[0].HostID)
			if err != nil {
				return err
			}
			v, err := host.Volume(ctx, places[0].Pool, name)
			if err != nil {
				return err
			}
			if err := r.Result(VolumeResult{VolumeID: domain.VolumeID(poolID, name), Path: v.Path}); err != nil {
				return err
			}
			return d.emit(ctx, r, "volume.created", "Volume %s %s in %s.", name, sentence, places[0].Pool)
		},
	}
}

func (d Deps) cloneSteps(in CloneVolume) []jobs.Step {
	p := in.Places[0]
	steps := []jobs.Step{{
		Name:    fmt.Sprintf("copy %s to %s", in.From, in.To),
		Timeout: copyTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(p.HostID)
			if err != nil {
				return err
			}
			l, fresh, err := claimVolume(ctx, r, host, p.Pool, in.To)
			if err != nil || l.Done {
				return err
			}
			if !fresh { // nothing tells how much of a copy that was cut short is right
				if err := host.DeleteVolume(ctx, p.Pool, in.To); err != nil {
					return err
				}
			}
			r.Progress(0, "copying "+in.From)
			v, err := host.CloneVolume(ctx, p.Pool, in.From, in.To)
			if err != nil {
				return err
			}
			l.Done = true
			r.Log("Copied %s to %s.", in.From, v.Path)
			return r.Save(ctx, l)
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.unmake(ctx, r, p, in.To) },
	}}
	if in.SizeBytes > 0 {
		steps = append(steps, jobs.Step{
			Name: "make the copy larger", Timeout: buildLimit, NoUndo: "The copy goes as a whole.",
			Do: func(ctx context.Context, r *jobs.Run) error {
				host, err := d.Hosts.Host(p.HostID)
				if err != nil {
					return err
				}
				return host.ResizeVolume(ctx, p.Pool, in.To, in.SizeBytes)
			},
		})
	}
	return append(steps, d.madeVolume(in.PoolID, in.Places, in.To, "was copied from "+in.From))
}

func (d Deps) resizeSteps(in ResizeVolume) []jobs.Step {
	p := in.Places[0]
	check := jobs.Step{
		Name: "check who uses it", Timeout: hostTimeout, NoUndo: "It only looks, and notes the size.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.checkResize(ctx, r, in) },
	}
	resize := jobs.Step{Name: "resize " + in.Name, Timeout: buildLimit, Do: func(ctx context.Context, r *jobs.Run) error {
		host, err := d.Hosts.Host(p.HostID)
		if err != nil {
			return err
		}
		switch {
		case in.UUID != "":
			return host.ResizeDisk(ctx, in.UUID, in.Target, in.SizeBytes)
		case in.Shrink:
			return host.ShrinkVolume(ctx, p.Pool, in.Name, in.SizeBytes)
		}
		return host.ResizeVolume(ctx, p.Pool, in.Name, in.SizeBytes)
	}}
	switch {
	case in.Shrink:
		resize.Final, resize.NoUndo = true, "What was cut off is lost."
	case in.UUID != "":
		resize.Final, resize.NoUndo = true, "The guest may use the new space at once."
	default:
		resize.Undo = func(ctx context.Context, r *jobs.Run) error {
			l, err := load(r)
			if err != nil || l.From == 0 {
				return err
			}
			host, err := d.Hosts.Host(p.HostID)
			if err != nil {
				return err
			}
			return host.ShrinkVolume(ctx, p.Pool, in.Name, l.From)
		}
	}
	return []jobs.Step{check, resize, {
		Name: "look at it again", Timeout: hostTimeout, NoUndo: "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			if err := d.mirror(ctx, r, in.Places, true); err != nil {
				return err
			}
			if err := r.Result(VolumeResult{VolumeID: in.VolumeID}); err != nil {
				return err
			}
			return d.emit(ctx, r, "volume.changed", "Volume %s has %s now.", in.Name, domain.FormatBytes(in.SizeBytes))
		},
	}}
}

// checkResize looks once more at who has the volume: a VM that started meanwhile would get its disk changed under it.
func (d Deps) checkResize(ctx context.Context, r *jobs.Run, in ResizeVolume) error {
	if err := Thawed(ctx, d.DB, in.VolumeID); err != nil {
		return err
	}
	users, err := d.DB.VolumeUsers(ctx, in.VolumeID)
	if err != nil {
		return err
	}
	for _, u := range users {
		switch {
		case in.Shrink || u.Kind == "volume" || !u.Direct:
			return Needed("The volume "+in.Name, users)
		case u.Live && u.ID != in.VMID:
			return Needed("The volume "+in.Name, []domain.VolumeUser{u})
		}
	}
	p := in.Places[0]
	host, err := d.Hosts.Host(p.HostID)
	if err != nil {
		return err
	}
	if in.UUID != "" {
		return nil
	}
	v, err := host.Volume(ctx, p.Pool, in.Name)
	if err != nil {
		return err
	}
	l, err := load(r)
	if err != nil {
		return err
	}
	if l.From == 0 {
		l.From = v.CapacityBytes
	}
	return r.Save(ctx, l)
}

func (d Deps) deleteVolumeSteps(in DeleteVolume) []jobs.Step {
	p := in.Places[0]
	return []jobs.Step{{
		Name: "check that nobody needs it", Timeout: hostTimeout, NoUndo: "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			// What was made on the host meanwhile may be built on it.
			if err := d.mirror(ctx, r, in.Places, true); err != nil {
				return err
			}
			users, err := d.DB.VolumeNeeds(ctx, in.VolumeID)
			if domain.Is(err, domain.NotFound) {
				return nil // it is gone already
			}
			if err != nil {
				return err
			}
			return Needed("The volume "+in.Name, users)
		},
	}, {
		Name: "delete " + in.Name, Final: true, NoUndo: "A deleted volume cannot be had back.", Timeout: buildLimit,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(p.HostID)
			if err != nil {
				return err
			}
			return host.DeleteVolume(ctx, p.Pool, in.Name)
		},
	}, {
		Name: "take it off the list", Timeout: hostTimeout, NoUndo: "The volume is gone.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			if err := d.mirror(ctx, r, in.Places, true); err != nil {
				return err
			}
			if err := d.DB.Write(ctx, func(tx *db.Tx) error { return tx.DeleteBaseDisk(in.PoolID, in.Name) }); err != nil {
				return err
			}
			return d.emit(ctx, r, "volume.removed", "Volume %s was deleted from %s.", in.Name, p.Pool)
		},
	}}
}
