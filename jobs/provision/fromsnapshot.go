package provision

import (
	"context"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/snapshot"
)

// FromSnapshot is the input of vm.from-snapshot: a full copy of a VM as it was when a snapshot was taken. The original may run meanwhile: the files that an external
// snapshot froze are written by nobody, and those that an internal one is inside are held still while they are copied (see inside.go).
type FromSnapshot struct {
	New
	From     string            `json:"from"` // UUID of the original
	Name     string            `json:"from_name"`
	Snapshot string            `json:"snapshot"`
	MACs     map[string]string `json:"macs"`
	Copies   []Copy            `json:"copies"`
	Seed     *SeedVolume       `json:"seed,omitempty"`   // as in Clone
	Inside   []string          `json:"inside,omitempty"` // of an internal snapshot: all that the copied files have inside, newest first
	Still    *snapshot.Still   `json:"still,omitempty"`  // how the files are held still, when the VM runs on them
}

func (d Deps) fromSnapshotSteps(in FromSnapshot) []jobs.Step {
	steps := []jobs.Step{{
		Name:    "check the snapshot",
		Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := free(ctx, host, in.New); err != nil {
				return err
			}
			_, err = host.SnapshotDefinition(ctx, in.From, in.Snapshot, nil)
			return err
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.forget(ctx, r, in.VMID, "was not made") },
	}}
	if len(in.Inside) > 0 {
		steps = append(steps, d.copyInside(in)...)
	} else {
		for _, c := range in.Copies {
			steps = append(steps, d.copyVolume(in.HostID, c))
		}
	}
	if in.Seed != nil {
		steps = append(steps, d.makeSeed(in.HostID, in.VMID, *in.Seed))
	}
	steps = append(steps, jobs.Step{
		Name:    "define the copy",
		Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if _, err := host.Guest(ctx, in.Spec.UUID); !domain.Is(err, domain.NotFound) {
				return err // nil: this job defined it
			}
			sources := make(map[string]string, len(in.Copies))
			for _, c := range in.Copies {
				v, err := host.Volume(ctx, c.Pool, c.To)
				if err != nil {
					return err
				}
				sources[c.Path], sources[key(c.Pool, c.From)] = v.Path, c.To
			}
			if err := in.Seed.replace(ctx, host, sources); err != nil {
				return err
			}
			return host.CloneSnapshot(ctx, in.From, in.Snapshot, hv.Clone{Name: in.Spec.Name, UUID: in.Spec.UUID, MACs: in.MACs, Sources: sources})
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			_, err = host.Undefine(ctx, in.Spec.UUID)
			return err
		},
	})
	if len(in.Inside) > 0 {
		steps = append(steps, d.goBackInside(in)...)
	}
	return append(steps, jobs.Step{
		Name:    "list the copy",
		Timeout: hostTimeout,
		NoUndo:  "The row goes with the first step's undo.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := d.made(ctx, r, host, in.New, "was made from the snapshot "+in.Snapshot+" of "+in.Name+" on"); err != nil {
				return err
			}
			return r.Result(Result{VMID: in.VMID})
		},
	})
}
