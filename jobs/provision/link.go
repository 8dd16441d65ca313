package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Link is one disk of a linked clone. The original's volume Base is frozen: the original goes on in the overlay Own, the clone begins in the overlay To. Why
// that cannot harm either is told in package images.
type Link struct {
	Pool      string `json:"pool"`
	PoolID    string `json:"pool_id"`
	Base      string `json:"base"` // volume names
	Own       string `json:"own"`
	To        string `json:"to"`
	Path      string `json:"path"`   // of Base
	Format    string `json:"format"` // of Base
	SizeBytes int64  `json:"size_bytes"`
}

func (l Link) paths(ctx context.Context, host hv.Host) (own, to string, err error) {
	o, err := host.Volume(ctx, l.Pool, l.Own)
	if err != nil {
		return "", "", err
	}
	t, err := host.Volume(ctx, l.Pool, l.To)
	return o.Path, t.Path, err
}

// linkSteps make both overlays of every disk, then freeze the original's.
func (d Deps) linkSteps(in Clone) []jobs.Step {
	var steps []jobs.Step
	for _, l := range in.Links {
		steps = append(steps, d.overlay(in.HostID, l, l.To, "for the copy"), d.overlay(in.HostID, l, l.Own, "for the original"))
	}
	return append(steps, jobs.Step{
		Name:    "freeze the original's disks",
		Timeout: hostTimeout,
		Do:      func(ctx context.Context, r *jobs.Run) error { return d.freeze(ctx, r, in) },
		Undo:    func(ctx context.Context, r *jobs.Run) error { return d.thaw(ctx, r, in) },
	})
}

// overlay is the step that makes one overlay on a disk that is about to be frozen. It is empty until somebody is given it, so what it is made on may still change.
func (d Deps) overlay(hostID string, l Link, name, whose string) jobs.Step {
	return jobs.Step{
		Name:    fmt.Sprintf("make disk %s on %s, %s", name, l.Base, whose),
		Timeout: 10 * time.Minute,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(hostID)
			if err != nil {
				return err
			}
			led, fresh, err := claim(ctx, r, host, l.Pool, name)
			if err != nil {
				return err
			}
			if !fresh {
				if _, err := host.Volume(ctx, l.Pool, name); err == nil || !domain.Is(err, domain.NotFound) {
					return err
				}
			}
			v, err := host.CreateVolume(ctx, hv.VolumeSpec{Pool: l.Pool, Name: name, Format: "qcow2", SizeBytes: l.SizeBytes, Backing: l.Path, BackingFormat: l.Format})
			if domain.Is(err, domain.Conflict) && fresh {
				if derr := disclaim(ctx, r, led, l.Pool, name); derr != nil {
					return derr
				}
			}
			if err == nil {
				r.Log("Made %s on %s.", v.Path, l.Path)
			}
			return err
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.unmakeVolume(ctx, r, hostID, l.Pool, name) },
	}
}

func (d Deps) freeze(ctx context.Context, r *jobs.Run, in Clone) error {
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	moves, err := in.moves(ctx, host)
	if err != nil {
		return err
	}
	err = d.DB.Write(ctx, func(tx *db.Tx) error { // before the disk is: nobody may be given it to write to from now on
		for _, l := range in.Links {
			if err := tx.InsertBaseDisk(domain.BaseDisk{ID: domain.NewID("base", r.Job().CreatedAt), HostID: in.HostID, PoolID: l.PoolID, Pool: l.Pool, Volume: l.Base, Path: l.Path,
				Format: l.Format, OfVM: in.Name}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := host.Redirect(ctx, in.From, moves); err != nil {
		return err
	}
	for _, l := range in.Links {
		r.Log("%s is frozen. %s goes on in %s.", l.Path, in.Name, l.Own)
	}
	_, err = d.Mirror.Guest(ctx, host, in.HostID, in.From, cause(r, "%s goes on in new disks; its old ones are what %s is built on.", in.Name, in.Spec.Name))
	return err
}

func (in Clone) moves(ctx context.Context, host hv.Host) ([]hv.DiskMove, error) {
	var out []hv.DiskMove
	g, err := host.Guest(ctx, in.From)
	if err != nil {
		return nil, err
	}
	for _, l := range in.Links {
		own, _, err := l.paths(ctx, host)
		if err != nil {
			return nil, err
		}
		from := l.Path
		if slices.ContainsFunc(g.Config.Disks, func(x domain.Disk) bool { return x.Pool == l.Pool && x.Volume == l.Base }) {
			from = key(l.Pool, l.Base) // the definition names it so
		}
		out = append(out, hv.DiskMove{From: from, To: own, Format: "qcow2"})
	}
	return out, nil
}

// thaw gives the original its disks back. It refuses when the original has been started meanwhile: it may have written into its overlays.
func (d Deps) thaw(ctx context.Context, r *jobs.Run, in Clone) error {
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	g, err := host.Guest(ctx, in.From)
	if err != nil && !domain.Is(err, domain.NotFound) {
		return err
	}
	if err == nil {
		if err := d.turnBack(ctx, host, g, in); err != nil {
			return err
		}
		if _, err := d.Mirror.Guest(ctx, host, in.HostID, in.From, cause(r, "%s has its disks back.", in.Name)); err != nil {
			return err
		}
	}
	return d.DB.Write(ctx, func(tx *db.Tx) error {
		for _, l := range in.Links {
			if err := tx.DeleteBaseDisk(l.PoolID, l.Base); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d Deps) turnBack(ctx context.Context, host hv.Host, g domain.Guest, in Clone) error {
	var back []hv.DiskMove
	for _, l := range in.Links {
		own, err := host.Volume(ctx, l.Pool, l.Own)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if slices.ContainsFunc(g.Config.Disks, func(x domain.Disk) bool { return x.Source == own.Path }) {
			back = append(back, hv.DiskMove{From: own.Path, To: l.Path, Format: l.Format})
		}
	}
	if len(back) == 0 {
		return nil
	}
	if g.State != domain.VMStopped && g.State != domain.VMCrashed {
		return domain.Errorf(domain.Conflict, "%s was started meanwhile and may have written into its new disks, so they stay.", in.Name).
			WithFix("Let this task go: %s is in order as it is. Only the copy was not made.", in.Name)
	}
	return host.Redirect(ctx, in.From, back)
}

// SettleLinks decides a linked clone's volumes: an overlay for the clone and one for the original on each disk that is not shared anyway.
func SettleLinks(vm domain.VM, name string, volumes []domain.Volume, pools []domain.Pool) (spec domain.VMSpec, macs map[string]string, links []Link, err error) {
	spec, macs, copies, err := SettleClone(vm, name, volumes)
	if err != nil {
		return spec, nil, nil, err
	}
	byName, _ := Index(volumes)
	taken := names(volumes)
	own, to := 1, 0
	for _, c := range copies {
		base := byName[key(c.Pool, c.From)]
		i := slices.IndexFunc(pools, func(p domain.Pool) bool { return p.Name == c.Pool })
		switch {
		case i < 0 || !pools[i].HoldsFiles():
			return spec, nil, nil, domain.Errorf(domain.Unsupported, "%s is in the pool %s, whose volumes are no files, so nothing can be built on it.", c.From, c.Pool).WithFix("Make a full clone.")
		case base.Encrypted:
			return spec, nil, nil, domain.Errorf(domain.Unsupported, "%s is encrypted, so no linked clone can be built on it.", c.From).WithFix("Make a full clone.")
		case base.Format != "qcow2" && base.Format != "raw":
			return spec, nil, nil, domain.Errorf(domain.Unsupported, "%s is of the format %s, so no linked clone can be built on it.", c.From, base.Format).WithFix("Make a full clone.")
		case base.CapacityBytes <= 0:
			return spec, nil, nil, domain.Errorf(domain.Conflict, "How large %s is is not known yet.", c.From).WithFix("Try again in a moment.")
		}
		free := func(vm string, n *int) string {
			for {
				file := volumeName(vm, *n, "qcow2")
				*n++
				if _, used := taken[key(c.Pool, file)]; !used {
					taken[key(c.Pool, file)] = domain.Volume{Pool: c.Pool, Name: file}
					return file
				}
			}
		}
		links = append(links, Link{Pool: c.Pool, PoolID: base.PoolID, Base: c.From, Own: free(vm.Name, &own), To: free(name, &to), Path: c.Path, Format: base.Format, SizeBytes: base.CapacityBytes})
	}
	n := 0
	for i, d := range spec.Disks {
		if !Shared(vm.Config.Disks[i]) && n < len(links) {
			d.Pool, d.Volume, d.Format = links[n].Pool, links[n].To, "qcow2"
			spec.Disks[i] = d
			n++
		}
	}
	if len(links) == 0 {
		return spec, nil, nil, domain.Errorf(domain.Conflict, "%s has no disk that a linked clone could be built on.", vm.Name).WithFix("Make a full clone.")
	}
	return spec, macs, links, nil
}
