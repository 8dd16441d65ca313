package provision

import (
	"context"
	"slices"
	"strings"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
	"novacron/jobs/blocks"
)

// Create is the input of vm.create.
type Create struct {
	New
	Start bool        `json:"start"`
	Seed  *SeedVolume `json:"seed,omitempty"`
}

func (d Deps) createSteps(in Create) []jobs.Step {
	steps := []jobs.Step{{
		Name:    "check the host",
		Timeout: hostTimeout,
		Do:      func(ctx context.Context, r *jobs.Run) error { return d.checkCreate(ctx, r, in) },
		Undo:    func(ctx context.Context, r *jobs.Run) error { return d.forget(ctx, r, in.VMID, "was not made") },
	}}
	if in.Seed != nil && in.Seed.Pool == "default" && !needsDefaultPool(in.Spec.Disks) {
		steps = append(steps, d.defaultPool(in.HostID))
	}
	steps = append(steps, d.diskSteps(in.HostID, in.Spec.Disks, in.Images)...)
	if in.Seed != nil {
		steps = append(steps, d.makeSeed(in.HostID, in.VMID, *in.Seed))
	}
	steps = append(steps, jobs.Step{
		Name:    "define the VM",
		Timeout: hostTimeout,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := d.Nets.Ensure(ctx, host, in.HostID, filters(in.Spec.NICs)); err != nil {
				return err
			}
			spec := in.Spec
			if spec.Disks, err = d.shown(ctx, r, in.HostID, spec.Disks); err != nil {
				return err
			}
			notes, err := host.Define(ctx, spec)
			if err != nil {
				return err
			}
			for _, n := range notes {
				r.Log("%s", n)
			}
			return r.Result(Result{VMID: in.VMID, Notes: notes})
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
		Name:    "list the VM",
		Timeout: hostTimeout,
		NoUndo:  "The row goes with the first step's undo.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			return d.made(ctx, r, host, in.New, "was made on")
		},
	})
	if in.Start {
		steps = append(steps, d.startStep(in))
	}
	return steps
}

func (d Deps) checkCreate(ctx context.Context, r *jobs.Run, in Create) error {
	host, err := d.Hosts.Host(in.HostID)
	if err != nil {
		return err
	}
	if err := free(ctx, host, in.New); err != nil {
		return err
	}
	disks := in.Spec.Disks
	if in.Seed != nil { // it is made later
		disks = slices.DeleteFunc(slices.Clone(disks), func(x domain.Disk) bool { return x.Pool == in.Seed.Pool && x.Volume == in.Seed.Volume })
	}
	return checkSources(ctx, r, host, disks)
}

// checkSources looks for what the disks show that should exist already.
func checkSources(ctx context.Context, r *jobs.Run, host hv.Host, disks []domain.Disk) error {
	for _, disk := range disks {
		switch {
		case disk.New():
		case disk.Pool != "" && disk.Volume != "" && disk.Source == "":
			if _, err := host.Volume(ctx, disk.Pool, disk.Volume); domain.Is(err, domain.NotFound) {
				return domain.Errorf(domain.NotFound, "There is no volume %s in the pool %s.", disk.Volume, disk.Pool).WithFix("Choose one that the pool lists.")
			} else if err != nil {
				return err
			}
		case strings.HasPrefix(disk.Source, "/"):
			if _, err := host.VolumeByPath(ctx, disk.Source); domain.Is(err, domain.NotFound) {
				r.Log("%s is in no storage pool, so only the VM's start can tell whether it is there.", disk.Source)
			} else if err != nil {
				return err
			}
		}
	}
	return nil
}

func (d Deps) startStep(in Create) jobs.Step {
	return jobs.Step{
		Name:    "start the VM",
		Timeout: 5 * time.Minute,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := blocks.EnsureFor(ctx, d.DB, host, in.Spec.Disks); err != nil {
				return err
			}
			if err := host.Start(ctx, in.Spec.UUID); err != nil {
				return err
			}
			_, err = d.Mirror.Guest(ctx, host, in.HostID, in.Spec.UUID, cause(r, "%s was started.", in.Spec.Name))
			return err
		},
		Undo: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			err = host.Stop(ctx, in.Spec.UUID)
			if domain.Is(err, domain.NotFound) {
				return nil
			}
			return err
		},
	}
}

// filters lists the filters that cards name.
func filters(cards []domain.NIC) []string {
	var out []string
	for _, n := range cards {
		if n.Filter != "" {
			out = append(out, n.Filter)
		}
	}
	return out
}
