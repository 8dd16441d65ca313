package images

import (
	"context"
	"fmt"
	"slices"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/reconcile"
)

func cause(r *jobs.Run) reconcile.Cause {
	return reconcile.Cause{Actor: r.Job().Actor, JobID: r.Job().ID}
}

// Collect is the input of image.collect: what nobody used when the job was asked for. Each is judged again when its turn comes.
type Collect struct {
	Copies []string `json:"copies"` // ids
	Bases  []string `json:"bases"`
}

// Unused is a copy or a frozen disk that nothing needs.
type Unused struct {
	ID         string
	Base       bool // a disk frozen for linked clones, which cannot be had back
	What       string
	HostID     string
	Pool       string
	Volume     string
	Path       string
	Bytes      int64
	VersionID  string
	LastUsedAt time.Time
}

// Needs says in words what needs a volume; "" when nothing does.
func needs(ctx context.Context, d *db.DB, poolID, volume string) (string, error) {
	users, err := d.VolumeUsers(ctx, domain.VolumeID(poolID, volume))
	if domain.Is(err, domain.NotFound) {
		return "", nil // no host lists it
	}
	if err != nil || len(users) == 0 {
		return "", err
	}
	u := users[0]
	what := "the VM " + u.Name
	if u.Kind == "volume" {
		what = "the volume " + u.Name
	}
	if len(users) > 1 {
		what = fmt.Sprintf("%s and %d more", what, len(users)-1)
	}
	return what, nil
}

// FindUnused lists copies and frozen disks that nothing needs now.
func FindUnused(ctx context.Context, d *db.DB) ([]Unused, error) {
	held, err := d.HeldImages(ctx)
	if err != nil {
		return nil, err
	}
	copies, err := d.ImageCopies(ctx, "")
	if err != nil {
		return nil, err
	}
	var out []Unused
	for _, c := range copies {
		if held[c.VersionID] != "" {
			continue
		}
		used, err := needs(ctx, d, c.PoolID, c.Volume)
		if err != nil {
			return nil, err
		}
		if used != "" {
			continue
		}
		v, err := d.ImageVersion(ctx, c.VersionID)
		if err != nil {
			return nil, err
		}
		out = append(out, Unused{ID: c.ID, What: "copy of " + v.Ref(), HostID: c.HostID, Pool: c.Pool, Volume: c.Volume, Path: c.Path, Bytes: c.Bytes, VersionID: c.VersionID, LastUsedAt: c.LastUsedAt})
	}
	bases, err := d.BaseDisks(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range bases {
		used, err := needs(ctx, d, b.PoolID, b.Volume)
		if err != nil {
			return nil, err
		}
		if used != "" {
			continue
		}
		u := Unused{ID: b.ID, Base: true, What: "disk of " + b.OfVM + " that was frozen for linked clones", HostID: b.HostID, Pool: b.Pool, Volume: b.Volume, Path: b.Path, LastUsedAt: b.CreatedAt}
		if on, err := d.VolumeOn(ctx, domain.VolumeID(b.PoolID, b.Volume)); err == nil {
			u.Bytes = on[0].AllocationBytes
		} else if !domain.Is(err, domain.NotFound) {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

func (d Deps) collectSteps(in Collect) []jobs.Step {
	return []jobs.Step{{
		Name: "remove what nothing needs", Final: true, Timeout: time.Hour, NoUndo: "A copy is made again from the library when it is needed.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.collect(ctx, r, in) },
	}}
}

func (d Deps) collect(ctx context.Context, r *jobs.Run, in Collect) error {
	var done Result
	hosts := map[string]bool{}
	for _, id := range in.Copies {
		c, err := d.DB.ImageCopy(ctx, id)
		if domain.Is(err, domain.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		gone, err := d.removeCopy(ctx, r, c)
		if err != nil {
			return err
		}
		if gone {
			done.Removed, done.Bytes = done.Removed+1, done.Bytes+c.Bytes
			hosts[c.HostID] = true
		}
	}
	if err := d.look(ctx, r, hosts); err != nil {
		return err
	}
	gone, err := d.RemoveBases(ctx, r, in.Bases)
	if err != nil {
		return err
	}
	done.Removed += len(gone)
	return r.Result(done)
}

func (d Deps) look(ctx context.Context, r *jobs.Run, hosts map[string]bool) error {
	for id := range hosts {
		host, err := d.Hosts.Host(id)
		if err != nil {
			return err
		}
		if err := d.Mirror.Inventory(ctx, host, id, cause(r)); err != nil {
			return err
		}
	}
	return nil
}

// RemoveBases deletes disks that were frozen for linked clones, those that stand on others first, and gives the paths of those that went. What is
// needed after all stays, and the log says by what.
func (d Deps) RemoveBases(ctx context.Context, r *jobs.Run, ids []string) (gone []string, err error) {
	for more := true; more; {
		more = false
		var stay []string
		for _, id := range ids {
			b, err := d.DB.BaseDisk(ctx, id)
			if domain.Is(err, domain.NotFound) {
				continue
			}
			if err != nil {
				return gone, err
			}
			why, err := d.removeBase(ctx, r, b)
			if err != nil {
				return gone, err
			}
			if why != "" {
				stay = append(stay, fmt.Sprintf("%s stays: %s needs it.", b.Path, why))
				continue
			}
			gone, more = append(gone, b.Path), true
			if err := d.look(ctx, r, map[string]bool{b.HostID: true}); err != nil {
				return gone, err
			}
		}
		if !more {
			for _, line := range stay {
				r.Log("%s", line)
			}
		}
	}
	return gone, nil
}

// removeCopy deletes a copy unless it is needed after all; then the log says by what.
func (d Deps) removeCopy(ctx context.Context, r *jobs.Run, c domain.ImageCopy) (bool, error) {
	free, err := d.Library.places.take(ctx, c.VersionID+"/"+c.PoolID)
	if err != nil {
		return false, err
	}
	defer free()
	held, err := d.DB.HeldImages(ctx)
	if err != nil {
		return false, err
	}
	if title := held[c.VersionID]; title != "" {
		r.Log("%s stays: the task “%s” needs it.", c.Path, title)
		return false, nil
	}
	host, stays, err := d.judge(ctx, c.HostID, c.PoolID, c.Pool, c.Volume, c.Path)
	if err != nil {
		return false, err
	}
	if stays != "" {
		r.Log("%s stays: %s needs it.", c.Path, stays)
		return false, nil
	}
	if err := d.scrap(ctx, host, c.Pool, c); err != nil {
		return false, err
	}
	r.Log("Removed %s (%s).", c.Path, domain.FormatBytes(c.Bytes))
	v, err := d.DB.ImageVersion(ctx, c.VersionID)
	if err != nil {
		return true, err
	}
	job := r.Job()
	return true, d.DB.Write(ctx, func(tx *db.Tx) error {
		return changed(tx, job, v, "image.changed", fmt.Sprintf("The copy of %s at %s was removed.", v.Ref(), c.Path))
	})
}

// removeBase deletes a frozen disk unless it is needed after all; then it says by what.
func (d Deps) removeBase(ctx context.Context, r *jobs.Run, b domain.BaseDisk) (stays string, err error) {
	host, stays, err := d.judge(ctx, b.HostID, b.PoolID, b.Pool, b.Volume, b.Path)
	if err != nil || stays != "" {
		return stays, err
	}
	// Nobody can make it again, so what cannot be looked into counts as built on it.
	if stays, err = unknown(ctx, host); err != nil || stays != "" {
		return stays, err
	}
	if err := host.DeleteVolume(ctx, b.Pool, b.Volume); err != nil && !domain.Is(err, domain.NotFound) {
		return "", err
	}
	r.Log("Removed %s, which was a disk of %s.", b.Path, b.OfVM)
	return "", d.DB.Write(ctx, func(tx *db.Tx) error { return tx.DeleteBaseDisk(b.PoolID, b.Volume) })
}

// unknown names a disk whose backing chain nobody knows: a file with layers that is in no pool that is listed.
func unknown(ctx context.Context, host hv.Host) (string, error) {
	inv, err := host.Inventory(ctx)
	if err != nil {
		return "", err
	}
	guests, err := host.Guests(ctx)
	if err != nil {
		return "", err
	}
	for _, g := range guests {
		disks := slices.Clone(g.Config.Disks)
		if g.Live != nil {
			disks = append(disks, g.Live.Disks...)
		}
		for _, x := range disks {
			if x.Format == "raw" || x.Source == "" && x.Volume == "" || slices.ContainsFunc(inv.Volumes, func(v domain.Volume) bool {
				return x.Source != "" && v.Path == x.Source || v.Pool == x.Pool && v.Name == x.Volume
			}) {
				continue
			}
			return fmt.Sprintf("perhaps the VM %s, whose disk %s is in no pool that the host lists now,", g.Name, x.Target), nil
		}
	}
	return "", nil
}

// judge asks the rows of every host and then the host itself what needs a volume.
func (d Deps) judge(ctx context.Context, hostID, poolID, pool, volume, path string) (hv.Host, string, error) {
	used, err := needs(ctx, d.DB, poolID, volume)
	if err != nil || used != "" {
		return nil, used, err
	}
	host, err := d.Hosts.Host(hostID)
	if err != nil {
		return nil, "", err
	}
	inv, err := host.Inventory(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, v := range inv.Volumes {
		if path != "" && v.Backing == path && v.Path != path {
			return host, "the volume " + v.Name, nil
		}
	}
	guests, err := host.Guests(ctx)
	if err != nil {
		return nil, "", err
	}
	shows := func(disks []domain.Disk) bool {
		return slices.ContainsFunc(disks, func(x domain.Disk) bool {
			return path != "" && x.Source == path || x.Pool == pool && x.Volume == volume
		})
	}
	for _, g := range guests {
		if shows(g.Config.Disks) || g.Live != nil && shows(g.Live.Disks) {
			return host, "the VM " + g.Name, nil
		}
	}
	return host, "", nil
}

// Deletion is the input of image.delete: versions that leave the library.
type Deletion struct {
	ImageID  string   `json:"image_id"`
	Name     string   `json:"name"`
	Versions []string `json:"versions"` // ids
	Refs     []string `json:"refs"`
	Whole    bool     `json:"whole"` // the image goes too
}

func (d Deps) deleteSteps(in Deletion) []jobs.Step {
	return []jobs.Step{{
		Name: "remove its copies from hosts", Timeout: time.Hour, NoUndo: "A copy is made again from the library when it is needed.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.deleteCopies(ctx, r, in) },
	}, {
		Name: "take it out of the library", Final: true, Timeout: hostTimeout, NoUndo: "A deleted file cannot be had back.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.deleteVersions(ctx, r, in) },
	}}
}

func (d Deps) deleteCopies(ctx context.Context, r *jobs.Run, in Deletion) error {
	for _, id := range in.Versions {
		copies, err := d.DB.ImageCopies(ctx, id)
		if err != nil {
			return err
		}
		for _, c := range copies {
			gone, err := d.removeCopy(ctx, r, c)
			if err != nil {
				return err
			}
			if !gone {
				return domain.Errorf(domain.Conflict, "A copy of the image is needed: %s.", c.Path).WithFix("Look at the task's log for what needs it; flatten or delete that first.")
			}
			host, err := d.Hosts.Host(c.HostID)
			if err != nil {
				return err
			}
			if err := d.Mirror.Inventory(ctx, host, c.HostID, cause(r)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d Deps) deleteVersions(ctx context.Context, r *jobs.Run, in Deletion) error {
	for _, id := range in.Versions {
		if err := d.deleteVersion(ctx, r.Job(), id); err != nil {
			return err
		}
		if err := d.Library.discard(id); err != nil {
			return err
		}
	}
	if !in.Whole {
		return r.Result(Result{ImageID: in.ImageID, Removed: len(in.Versions)})
	}
	if err := d.DB.Write(ctx, func(tx *db.Tx) error { return tx.DeleteImage(in.ImageID) }); err != nil {
		return err
	}
	return r.Result(Result{Removed: len(in.Versions)})
}

// deleteVersion forgets a version, and then removes its file unless another version has the same. A crash in between leaves a file that Tidy finds.
func (d Deps) deleteVersion(ctx context.Context, job domain.Job, id string) error {
	v, err := d.DB.ImageVersion(ctx, id)
	if domain.Is(err, domain.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	free, err := d.Library.files.take(ctx, v.SHA256)
	if err != nil {
		return err
	}
	defer free()
	last := false
	err = d.DB.Write(ctx, func(tx *db.Tx) error {
		templates, copies, err := tx.ImageNeeds([]string{id})
		if err != nil {
			return err
		}
		if len(templates) > 0 || copies > 0 {
			return jobs.BeforeFinal(domain.Errorf(domain.Conflict, "%s is needed after all.", v.Ref()).WithFix("Look at its page for what needs it."))
		}
		if err := tx.ForgetImageUses(id); err != nil {
			return err
		}
		if err := tx.DeleteImageVersion(id); err != nil {
			return err
		}
		n, err := tx.FileUsers(v.SHA256)
		last = n == 0 && v.SHA256 != ""
		if err != nil {
			return err
		}
		return changed(tx, job, v, "image.removed", fmt.Sprintf("%s was deleted.", v.Ref()))
	})
	if err != nil || !last {
		return err
	}
	return d.Library.remove(v.SHA256, v.Format)
}
