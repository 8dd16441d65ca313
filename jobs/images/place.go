package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// At names a place for a copy.
type At struct {
	HostID    string
	Pool      string
	VersionID string
}

// poolID gives the id of a pool of a host; one that a job has just made is not mirrored yet.
func (d Deps) poolID(ctx context.Context, hostID, name string) (string, error) {
	pools, err := d.DB.Pools(ctx, hostID)
	if err != nil {
		return "", err
	}
	for _, p := range pools {
		if p.Name == name {
			return p.ID, nil
		}
	}
	return domain.PoolID(hostID, name, ""), nil
}

// Place makes sure that a pool has a ready copy of a version and gives it. Several jobs may ask at the same time: the first one writes it, the others wait.
func (d Deps) Place(ctx context.Context, r *jobs.Run, at At) (domain.ImageCopy, error) {
	var none domain.ImageCopy
	host, err := d.Hosts.Host(at.HostID)
	if err != nil {
		return none, err
	}
	v, err := d.DB.ImageVersion(ctx, at.VersionID)
	if err != nil {
		return none, err
	}
	if v.State == domain.ImageImporting {
		return none, v.Usable()
	}
	poolID, err := d.poolID(ctx, at.HostID, at.Pool)
	if err != nil {
		return none, err
	}
	free, err := d.Library.places.take(ctx, v.ID+"/"+poolID)
	if err != nil {
		return none, err
	}
	defer free()
	c, err := d.DB.ImageCopyIn(ctx, v.ID, poolID)
	if err == nil {
		if c, ok, err := d.standing(ctx, host, at, c); ok || err != nil {
			return c, err
		}
	} else if !domain.Is(err, domain.NotFound) {
		return none, err
	}
	c, err = d.write(ctx, r, host, at, poolID, v)
	if err == nil {
		r.Log("Placed %s in %s: %s, verified by its checksum.", v.Ref(), at.Pool, domain.FormatBytes(v.FileBytes))
	}
	return c, err
}

// standing looks whether a copy that a row tells of can be used. What was not completed is thrown away, and so is the row of a copy that somebody deleted.
func (d Deps) standing(ctx context.Context, host hv.Host, at At, c domain.ImageCopy) (domain.ImageCopy, bool, error) {
	if c.State == domain.CopyReady {
		vol, err := host.Volume(ctx, at.Pool, c.Volume)
		if err == nil {
			c.Pool, c.HostID = at.Pool, at.HostID
			c.Path = vol.Path
			return c, true, d.DB.Write(ctx, func(tx *db.Tx) error { return tx.TouchImageCopy(c, d.Library.clock()) })
		}
		if !domain.Is(err, domain.NotFound) {
			return c, false, err
		}
	}
	return c, false, d.scrap(ctx, host, at.Pool, c)
}

// scrap deletes a copy and its row.
func (d Deps) scrap(ctx context.Context, host hv.Host, pool string, c domain.ImageCopy) error {
	if err := host.DeleteVolume(ctx, pool, c.Volume); err != nil && !domain.Is(err, domain.NotFound) {
		return err
	}
	return d.DB.Write(ctx, func(tx *db.Tx) error { return tx.DeleteImageCopy(c.ID) })
}

// Takes is what a copy of a version takes of a quota.
func Takes(v domain.ImageVersion, poolID string) domain.Usage {
	size := v.FileBytes
	if v.Format == domain.FormatQCOW2 {
		size = v.VirtualBytes
	}
	return domain.Usage{StorageBytes: size, Pools: map[string]int64{poolID: size}}
}

// write makes the copy: row, volume, content, the same read back, ready.
func (d Deps) write(ctx context.Context, r *jobs.Run, host hv.Host, at At, poolID string, v domain.ImageVersion) (c domain.ImageCopy, err error) {
	id := domain.NewID("imgc", d.Library.clock())
	ext, format, size := v.Format, v.Format, v.VirtualBytes
	if v.Format != domain.FormatQCOW2 {
		format, size = domain.FormatRaw, v.FileBytes
		if v.Format == domain.FormatRaw {
			ext = "img"
		}
	}
	// The same name on every host: a disk that is built on the copy then finds it at the same path after a cold move. What has that name and is no copy is left alone.
	named := func(id string) string {
		return fmt.Sprintf("image-%s-%s-%s.%s", v.ImageName, v.Label, id[len(id)-8:], ext)
	}
	c = domain.ImageCopy{ID: id, VersionID: v.ID, HostID: at.HostID, PoolID: poolID, Pool: at.Pool, Volume: named(v.ID), State: domain.CopyPlacing, Bytes: v.FileBytes}
	if _, err := host.Volume(ctx, at.Pool, c.Volume); err == nil {
		c.Volume = named(id)
	} else if !domain.Is(err, domain.NotFound) {
		return c, err
	}
	if err := d.DB.Write(ctx, func(tx *db.Tx) error {
		if err := tx.AdmitImage(v.ImageID, Takes(v, poolID), ""); err != nil {
			return err
		}
		return tx.InsertImageCopy(c)
	}); err != nil {
		return c, err
	}
	defer func() {
		if err == nil {
			return
		}
		// Whoever comes next would throw it away too; doing it now gives the space back at once. A failure of that is no news beside the first one.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), hostTimeout)
		defer cancel()
		if serr := d.scrap(clean, host, at.Pool, c); serr != nil {
			r.Log("What was written of the copy could not be removed yet: %s", serr.Error())
		}
	}()
	vol, err := host.CreateVolume(ctx, hv.VolumeSpec{Pool: at.Pool, Name: c.Volume, Format: format, SizeBytes: size})
	if err != nil {
		return c, err
	}
	if err := d.send(ctx, r, host, c, v); err != nil {
		return c, err
	}
	if err := d.verify(ctx, r, host, c, v); err != nil {
		return c, err
	}
	c.Path, c.State = vol.Path, domain.CopyReady
	job := r.Job()
	return c, d.DB.Write(ctx, func(tx *db.Tx) error {
		if err := tx.SetImageCopyReady(c.ID, c.Path); err != nil {
			return err
		}
		if err := tx.TouchImageVersion(v.ID, d.Library.clock()); err != nil {
			return err
		}
		return changed(tx, job, v, "image.changed", fmt.Sprintf("%s was copied to %s.", v.Ref(), c.Path))
	})
}

func (d Deps) send(ctx context.Context, r *jobs.Run, host hv.Host, c domain.ImageCopy, v domain.ImageVersion) error {
	f, err := d.Library.OpenFile(v)
	if err != nil {
		return err
	}
	defer f.Close()
	return host.WriteVolume(ctx, c.Pool, c.Volume, 0, v.FileBytes, counted{f, v.FileBytes, throttled(r, 5, 50, "copying "+v.Ref()+" to the host"), new(int64)})
}

func (d Deps) verify(ctx context.Context, r *jobs.Run, host hv.Host, c domain.ImageCopy, v domain.ImageVersion) error {
	body, err := host.ReadVolume(ctx, c.Pool, c.Volume, 0, v.FileBytes)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.CopyBuffer(h, counted{body, v.FileBytes, throttled(r, 50, 80, "verifying "+v.Ref()), new(int64)}, make([]byte, 1<<20))
	if cerr := body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != v.SHA256 {
		return domain.Errorf(domain.Internal, "The copy of %s in %s reads back with the checksum %s instead of %s: its storage does not keep what is written.", v.Ref(), c.Pool, sum, v.SHA256).
			WithFix("Check the host's disk and memory.")
	}
	return nil
}

// Placement is the input of image.place.
type Placement struct {
	HostID    string `json:"host_id"`
	Pool      string `json:"pool"`
	VersionID string `json:"version_id"`
	Ref       string `json:"ref"`
}

func (d Deps) placeSteps(in Placement) []jobs.Step {
	return []jobs.Step{{
		Name: "copy " + in.Ref + " to the host", Timeout: 24 * time.Hour, NoUndo: "A copy is complete and verified, or it is not there.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			c, err := d.Place(ctx, r, At{in.HostID, in.Pool, in.VersionID})
			if err != nil {
				return err
			}
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := d.Mirror.Inventory(ctx, host, in.HostID, cause(r)); err != nil {
				return err
			}
			v, err := d.DB.ImageVersion(ctx, c.VersionID)
			if err != nil {
				return err
			}
			return r.Result(Result{ImageID: v.ImageID, VersionID: v.ID, Ref: v.Ref(), SHA256: v.SHA256, Bytes: v.FileBytes})
		},
	}}
}
