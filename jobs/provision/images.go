package provision

import (
	"context"
	"fmt"
	"slices"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/images"
)

// placeTimeout bounds the first copy of an image to a host.
const placeTimeout = 24 * time.Hour

// diskSteps make the volumes of new disks: empty ones, overlays on an image's copy, full copies of it. refs are the names of the images, by the versions' ids.
func (d Deps) diskSteps(hostID string, disks []domain.Disk, refs map[string]string) []jobs.Step {
	var steps []jobs.Step
	if needsDefaultPool(disks) {
		steps = append(steps, d.defaultPool(hostID))
	}
	placed := map[string]bool{}
	for _, disk := range disks {
		if disk.Image == "" {
			if disk.New() {
				steps = append(steps, d.makeVolume(hostID, hv.VolumeSpec{Pool: disk.Pool, Name: disk.Volume, Format: disk.Format, SizeBytes: disk.SizeBytes, SecretUUID: disk.Secret}))
			}
			continue
		}
		if k := key(disk.Pool, disk.Image); !placed[k] {
			placed[k] = true
			steps = append(steps, d.placeImage(hostID, disk.Pool, disk.Image, refs[disk.Image]))
		}
		switch {
		case !disk.New(): // a CD-ROM shows the copy itself
		case disk.Linked:
			steps = append(steps, d.linkImage(hostID, disk, refs[disk.Image]))
		default:
			steps = append(steps, d.copyImage(hostID, disk, refs[disk.Image]))
		}
	}
	return steps
}

func (d Deps) placeImage(hostID, pool, version, ref string) jobs.Step {
	return jobs.Step{
		Name:    fmt.Sprintf("have a copy of %s in %s", ref, pool),
		Timeout: placeTimeout,
		NoUndo:  "A verified copy is kept for the next VM; copies that nothing uses are collected.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			c, err := d.Images.Place(ctx, r, images.At{HostID: hostID, Pool: pool, VersionID: version})
			if err == nil {
				r.Log("%s is at %s.", ref, c.Path)
			}
			return err
		},
	}
}

// linkImage makes an overlay on the copy of an image.
func (d Deps) linkImage(hostID string, disk domain.Disk, ref string) jobs.Step {
	return jobs.Step{
		Name:    fmt.Sprintf("make disk %s on %s", disk.Volume, ref),
		Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(hostID)
			if err != nil {
				return err
			}
			l, fresh, err := claim(ctx, r, host, disk.Pool, disk.Volume)
			if err != nil {
				return err
			}
			if !fresh {
				if _, err := host.Volume(ctx, disk.Pool, disk.Volume); err == nil || !domain.Is(err, domain.NotFound) {
					return err // made by this job already, or not to be told
				}
			}
			c, err := d.Images.Place(ctx, r, images.At{HostID: hostID, Pool: disk.Pool, VersionID: disk.Image}) // there already, unless somebody removed it by hand
			if err != nil {
				return err
			}
			format, err := d.formatOf(ctx, disk.Image)
			if err != nil {
				return err
			}
			got, err := host.CreateVolume(ctx, hv.VolumeSpec{Pool: disk.Pool, Name: disk.Volume, Format: "qcow2", SizeBytes: disk.SizeBytes, Backing: c.Path, BackingFormat: format})
			if domain.Is(err, domain.Conflict) && fresh {
				if derr := disclaim(ctx, r, l, disk.Pool, disk.Volume); derr != nil {
					return derr
				}
			}
			if err != nil {
				return err
			}
			r.Log("Made %s (%s), which reads what it has not from %s.", got.Path, domain.FormatBytes(disk.SizeBytes), c.Path)
			return nil
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			return d.unmakeVolume(ctx, r, hostID, disk.Pool, disk.Volume)
		},
	}
}

// copyImage makes a full copy of the copy of an image, as large as was asked. One that was cut short is thrown away and begun anew.
func (d Deps) copyImage(hostID string, disk domain.Disk, ref string) jobs.Step {
	return jobs.Step{
		Name:    fmt.Sprintf("copy %s to disk %s", ref, disk.Volume),
		Timeout: copyTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(hostID)
			if err != nil {
				return err
			}
			l, fresh, err := claim(ctx, r, host, disk.Pool, disk.Volume)
			if err != nil {
				return err
			}
			if l.Volumes[key(disk.Pool, disk.Volume)].Done {
				return nil
			}
			if !fresh {
				if err := host.DeleteVolume(ctx, disk.Pool, disk.Volume); err != nil {
					return err
				}
			}
			c, err := d.Images.Place(ctx, r, images.At{HostID: hostID, Pool: disk.Pool, VersionID: disk.Image})
			if err != nil {
				return err
			}
			r.Progress(80, "copying "+ref)
			got, err := host.CloneVolume(ctx, disk.Pool, c.Volume, disk.Volume)
			if domain.Is(err, domain.Conflict) && fresh {
				if derr := disclaim(ctx, r, l, disk.Pool, disk.Volume); derr != nil {
					return derr
				}
			}
			if err != nil {
				return err
			}
			if disk.SizeBytes > got.CapacityBytes {
				if err := host.ResizeVolume(ctx, disk.Pool, disk.Volume, disk.SizeBytes); err != nil {
					return err
				}
			}
			l.Volumes[key(disk.Pool, disk.Volume)].Done = true
			if err := r.Save(ctx, l); err != nil {
				return err
			}
			r.Log("Copied %s to %s (%s).", ref, got.Path, domain.FormatBytes(disk.SizeBytes))
			return nil
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			return d.unmakeVolume(ctx, r, hostID, disk.Pool, disk.Volume)
		},
	}
}

// formatOf is what a copy of a version is on a host.
func (d Deps) formatOf(ctx context.Context, version string) (string, error) {
	v, err := d.DB.ImageVersion(ctx, version)
	if err != nil || v.Format == domain.FormatQCOW2 {
		return "qcow2", err
	}
	return "raw", nil
}

// shown gives the disks as the definition needs them: a CD-ROM that begins as an image shows the image's copy.
func (d Deps) shown(ctx context.Context, r *jobs.Run, hostID string, disks []domain.Disk) ([]domain.Disk, error) {
	out := slices.Clone(disks)
	for i, disk := range out {
		if disk.Image == "" || disk.New() {
			continue
		}
		c, err := d.Images.Place(ctx, r, images.At{HostID: hostID, Pool: disk.Pool, VersionID: disk.Image})
		if err != nil {
			return nil, err
		}
		out[i].Pool, out[i].Source, out[i].Image = "", c.Path, ""
	}
	return out, nil
}

// needsDefaultPool reports whether one of the disks goes into the pool that may have to be made.
func needsDefaultPool(disks []domain.Disk) bool {
	return slices.ContainsFunc(disks, func(x domain.Disk) bool { return x.Pool == "default" && (x.New() || x.Image != "") })
}
