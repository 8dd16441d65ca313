package provision

import (
	"context"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/guest"
)

// SeedVolume is where the medium of the first boot goes; what it is made from lies sealed in the database.
type SeedVolume struct {
	Pool   string `json:"pool"`
	Volume string `json:"volume"`
	Path   string `json:"path,omitempty"` // clone: of the original's, in whose place the definition gets this one
	From   string `json:"from,omitempty"` // clone: the original's volume
}

// makeSeed is the step that makes the medium of the first boot. Half of one is written again from the start.
func (d Deps) makeSeed(hostID, vmID string, s SeedVolume) jobs.Step {
	return jobs.Step{
		Name:    "write what the first boot reads",
		Timeout: 5 * time.Minute,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(hostID)
			if err != nil {
				return err
			}
			l, _, err := claim(ctx, r, host, s.Pool, s.Volume)
			if err != nil {
				return err
			}
			image, err := guest.SeedImage(ctx, d.DB, vmID, false)
			if err != nil {
				return err
			}
			v, err := guest.PutSeed(ctx, host, s.Pool, s.Volume, image)
			if err != nil {
				return err
			}
			r.Log("Made %s for the first boot.", v.Path)
			l.Volumes[key(s.Pool, s.Volume)].Done = true
			return r.Save(ctx, l)
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.unmakeVolume(ctx, r, hostID, s.Pool, s.Volume) },
	}
}

// addSeed is makeSeed for a VM that is there already and had none: when it is undone, the VM has none again.
func (d Deps) addSeed(hostID, vmID string, s SeedVolume) jobs.Step {
	step := d.makeSeed(hostID, vmID, s)
	unmake := step.Undo
	step.Undo = func(ctx context.Context, r *jobs.Run) error {
		if err := unmake(ctx, r); err != nil {
			return err
		}
		return d.DB.Write(ctx, func(tx *db.Tx) error { return tx.DeleteSeed(vmID) })
	}
	return step
}

// replace names the copy's medium in the place of the original's. Nil: there is none.
func (s *SeedVolume) replace(ctx context.Context, host hv.Host, sources map[string]string) error {
	if s == nil {
		return nil
	}
	v, err := host.Volume(ctx, s.Pool, s.Volume)
	if err != nil {
		return err
	}
	sources[s.Path], sources[key(s.Pool, s.From)] = v.Path, s.Volume // the definition names a disk by its path or by pool and volume
	return nil
}

// abandonChange is for a change that never began.
func abandonChange(tx *db.Tx, job domain.Job) error {
	in, err := input[Change](job.Input)
	if err != nil || in.Seed == nil {
		return err
	}
	return tx.DeleteSeed(in.VMID)
}
