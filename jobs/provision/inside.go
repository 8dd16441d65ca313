package provision

import (
	"context"
	"fmt"
	"io"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/snapshot"
)

// What is inside a qcow2 file cannot be taken out of it by libvirt, and a copy that it makes leaves it out. So the file is copied byte by byte with all that is
// inside, the copy's VM is told of it and goes back to the snapshot, and then everything inside the copy goes. The original's files are only read.

func (d Deps) snapshots() snapshot.Deps {
	return snapshot.Deps{DB: d.DB, Hosts: d.Hosts, Mirror: d.Mirror}
}

// copyInside are the steps that copy the files; a VM that runs on them goes on elsewhere meanwhile.
func (d Deps) copyInside(in FromSnapshot) []jobs.Step {
	var steps []jobs.Step
	letGo := func(ctx context.Context, r *jobs.Run) error {
		l, err := load(r)
		if err != nil {
			return err
		}
		return d.snapshots().LetGo(ctx, r, *in.Still, &l.Held, func() error { return r.Save(ctx, l) })
	}
	if in.Still != nil {
		steps = append(steps, jobs.Step{
			Name:    "hold the disks still",
			Timeout: hostTimeout,
			Do: func(ctx context.Context, r *jobs.Run) error {
				l, err := load(r)
				if err != nil {
					return err
				}
				return d.snapshots().Hold(ctx, r, *in.Still, &l.Held, func() error { return r.Save(ctx, l) })
			},
			Undo: letGo,
		})
	}
	for _, c := range in.Copies {
		steps = append(steps, d.copyBytes(in, c))
	}
	if in.Still != nil {
		steps = append(steps, jobs.Step{Name: "merge what was written meanwhile", Timeout: 6 * time.Hour, NoUndo: "The original is as it was before.", Do: letGo})
	}
	return steps
}

// copyBytes is the step that copies one file by way of the server. A copy that was cut short is thrown away and begun anew.
func (d Deps) copyBytes(in FromSnapshot, c Copy) jobs.Step {
	return jobs.Step{
		Name:    fmt.Sprintf("copy disk %s to %s, with what is inside it", c.From, c.To),
		Timeout: copyTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
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
			from, err := host.Volume(ctx, c.Pool, c.From)
			if err != nil {
				return err
			}
			to, err := host.CreateVolume(ctx, hv.VolumeSpec{Pool: c.Pool, Name: c.To, Format: "qcow2", SizeBytes: from.CapacityBytes})
			if domain.Is(err, domain.Conflict) && fresh {
				if derr := disclaim(ctx, r, l, c.Pool, c.To); derr != nil {
					return derr
				}
			}
			if err != nil {
				return err
			}
			if err := pump(ctx, r, host, c); err != nil {
				return err
			}
			if err := d.stayed(ctx, host, in); err != nil {
				return err
			}
			l.Volumes[key(c.Pool, c.To)].Done = true
			if err := r.Save(ctx, l); err != nil {
				return err
			}
			r.Log("Copied %s to %s.", c.From, to.Path)
			return nil
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.unmakeVolume(ctx, r, in.HostID, c.Pool, c.To) },
	}
}

// stayed checks that nobody wrote to the files while they were copied.
func (d Deps) stayed(ctx context.Context, host hv.Host, in FromSnapshot) error {
	if in.Still != nil {
		return d.snapshots().Held(ctx, *in.Still)
	}
	g, err := host.Guest(ctx, in.From)
	if err != nil || g.Live == nil {
		return err
	}
	for _, c := range in.Copies {
		for _, k := range g.Live.Disks {
			if k.Source == c.Path || k.Pool == c.Pool && k.Volume == c.From {
				return domain.Errorf(domain.Conflict, "%s was started on its host while its disks were copied, so what was copied may be torn.", in.Name).WithFix("Try again: a VM that runs is held still meanwhile.")
			}
		}
	}
	return nil
}

// pump copies the bytes of a volume, and tells how far it is.
func pump(ctx context.Context, r *jobs.Run, host hv.Host, c Copy) error {
	all, err := host.ContentSize(ctx, c.Pool, c.From)
	if err != nil {
		return err
	}
	body, err := host.ReadVolume(ctx, c.Pool, c.From, 0, 0)
	if err != nil {
		return err
	}
	err = host.WriteVolume(ctx, c.Pool, c.To, 0, 0, &metered{r: body, tell: func(done int64) {
		r.Progress(float64(done)*100/float64(max(all, 1)), fmt.Sprintf("copying %s: %s of %s", c.From, domain.FormatBytes(done), domain.FormatBytes(all)))
	}})
	if cerr := body.Close(); err == nil {
		err = cerr
	}
	return err
}

// metered counts what is read.
type metered struct {
	r    io.Reader
	done int64
	told time.Time
	tell func(done int64)
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.done += int64(n)
	if now := time.Now(); now.Sub(m.told) > 200*time.Millisecond {
		m.told = now
		m.tell(m.done)
	}
	return n, err
}

// goBackInside are the steps that make the copy what the original was, and take out of it what else is inside.
func (d Deps) goBackInside(in FromSnapshot) []jobs.Step {
	whole := "The copy goes as a whole."
	return []jobs.Step{{
		Name:    "take the copy back to " + in.Snapshot,
		Timeout: copyTimeout,
		NoUndo:  whole,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := host.AdoptSnapshot(ctx, in.Spec.UUID, in.From, in.Snapshot); err != nil {
				return err
			}
			return host.RevertSnapshot(ctx, in.Spec.UUID, in.Snapshot, nil)
		},
	}, {
		Name:    "take the snapshots out of the copy",
		Timeout: copyTimeout,
		NoUndo:  whole,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			for i, name := range in.Inside {
				r.Progress(float64(i)*100/float64(len(in.Inside)), "taking "+name+" out of the copy")
				err := host.AdoptSnapshot(ctx, in.Spec.UUID, in.From, name)
				if domain.Is(err, domain.NotFound) || domain.Is(err, domain.Conflict) {
					r.Log("The original has no snapshot %s inside its disks any more; if the copy has, it stays there and does no harm.", name)
					continue
				}
				if err != nil {
					return err
				}
				if err := host.DeleteSnapshot(ctx, in.Spec.UUID, name, false); err != nil {
					return err
				}
			}
			return nil
		},
	}}
}
