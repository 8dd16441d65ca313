package provision

import (
	"context"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Clone is the input of vm.clone.
type Clone struct {
	New
	From   string            `json:"from"` // UUID of the original
	Name   string            `json:"from_name"`
	MACs   map[string]string `json:"macs"`
	Copies []Copy            `json:"copies"`
	Links  []Link            `json:"links,omitempty"` // of a linked clone: instead of copies
	FromVM string            `json:"from_vm,omitempty"`
	Seed   *SeedVolume       `json:"seed,omitempty"` // the copy's own medium of the first boot, in place of the original's
}

func (d Deps) cloneSteps(in Clone) []jobs.Step {
	steps := []jobs.Step{{
		Name:    "check the original",
		Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := free(ctx, host, in.New); err != nil {
				return err
			}
			g, err := host.Guest(ctx, in.From)
			if err != nil {
				return err
			}
			return g.State.Can(domain.ActClone)
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.forget(ctx, r, in.VMID, "was not made") },
	}}
	for _, c := range in.Copies {
		steps = append(steps, d.copyVolume(in.HostID, c))
	}
	if len(in.Links) > 0 {
		steps = append(steps, d.linkSteps(in)...)
	}
	if in.Seed != nil {
		steps = append(steps, d.makeSeed(in.HostID, in.VMID, *in.Seed))
	}
	return append(steps, jobs.Step{
		Name:    "define the copy",
		Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if g, err := host.Guest(ctx, in.Spec.UUID); err == nil {
				r.Log("%s is defined already; this job did it.", g.Name)
				return nil
			} else if !domain.Is(err, domain.NotFound) {
				return err
			}
			sources, formats := make(map[string]string, len(in.Copies)), map[string]string{}
			for _, l := range in.Links {
				own, mine, err := l.paths(ctx, host)
				if err != nil {
					return err
				}
				sources[own], formats[mine] = mine, "qcow2"
			}
			for _, c := range in.Copies {
				v, err := host.Volume(ctx, c.Pool, c.To)
				if err != nil {
					return err
				}
				sources[c.Path], sources[key(c.Pool, c.From)] = v.Path, c.To // the definition names a disk by its path or by pool and volume
			}
			if err := in.Seed.replace(ctx, host, sources); err != nil {
				return err
			}
			return host.CloneDefinition(ctx, in.From, hv.Clone{Name: in.Spec.Name, UUID: in.Spec.UUID, MACs: in.MACs, Sources: sources, Formats: formats})
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			_, err = host.Undefine(ctx, in.Spec.UUID)
			return err
		},
	}, jobs.Step{
		Name:    "list the copy",
		Timeout: hostTimeout,
		NoUndo:  "The row goes with the first step's undo.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := d.made(ctx, r, host, in.New, "was copied from "+in.Name+" on"); err != nil {
				return err
			}
			return r.Result(Result{VMID: in.VMID})
		},
	})
}

// Rename is the input of vm.rename.
type Rename struct {
	VMID   string `json:"vm_id"`
	HostID string `json:"host_id"`
	UUID   string `json:"uuid"`
	Old    string `json:"old"`
	New    string `json:"new"`
}

func (d Deps) renameSteps(in Rename) []jobs.Step {
	to := func(ctx context.Context, r *jobs.Run, from, name string) error {
		host, err := d.Hosts.Host(in.HostID)
		if err != nil {
			return err
		}
		g, err := host.Guest(ctx, in.UUID)
		if err != nil {
			return err
		}
		if g.Name != name {
			if err := host.Rename(ctx, in.UUID, name); err != nil {
				return err
			}
		}
		_, err = d.Mirror.Guest(ctx, host, in.HostID, in.UUID, cause(r, "%s was renamed to %s.", from, name))
		return err
	}
	return []jobs.Step{{
		Name:    "rename",
		Timeout: time.Minute,
		Do:      func(ctx context.Context, r *jobs.Run) error { return to(ctx, r, in.Old, in.New) },
		Undo: func(ctx context.Context, r *jobs.Run) error {
			err := to(ctx, r, in.New, in.Old)
			if domain.Is(err, domain.NotFound) {
				return nil // the VM itself is gone
			}
			return err
		},
	}}
}
