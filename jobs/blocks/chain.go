package blocks

import (
	"context"
	"slices"
	"time"

	"novacron/domain"
	"novacron/hv"
	"novacron/jobs"
)

// Flatten is the input of disk.flatten: the disk takes in what the images below it have.
type Flatten struct {
	Disk   Disk   `json:"disk"`
	HostID string `json:"host_id"`
	Base   string `json:"base,omitempty"` // path of the image that stays below; empty: none
}

// Commit is the input of disk.commit: what Top has goes into Base.
type Commit struct {
	Disk   Disk     `json:"disk"`
	HostID string   `json:"host_id"`
	Base   string   `json:"base"`
	Top    string   `json:"top,omitempty"` // empty: the disk's own image
	Gone   []Volume `json:"gone"`          // the images that nothing needs afterwards
}

// settleLooks is how often the chain is looked at after a job has gone, before it is believed that the job did nothing.
const settleLooks = 20

func (d Deps) flattenSteps(in Flatten) []jobs.Step {
	ours := func(b hv.BlockJob) bool { return b.Kind == hv.BlockPull }
	return []jobs.Step{{
		Name: "take in what is below", Timeout: copyLimit,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			if err := host.PullDisk(ctx, in.Disk.UUID, in.Disk.Target, in.Base, 0); err != nil {
				return err
			}
			return d.settle(ctx, r, in.HostID, in.Disk, ours, func(chain []string) bool {
				return in.Base == "" && len(chain) == 1 || in.Base != "" && len(chain) > 1 && chain[1] == in.Base
			})
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.abort(ctx, r, in.HostID, in.Disk, ours) },
	}, {
		Name: "look at what came of it", Timeout: hostTimeout, NoUndo: "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.mirror(ctx, r, in.HostID, in.Disk) },
	}}
}

// settle follows work that ends by itself until the chain shows that it is done.
func (d Deps) settle(ctx context.Context, r *jobs.Run, hostID string, disk Disk, ours func(hv.BlockJob) bool, done func(chain []string) bool) error {
	idle := 0
	_, err := d.follow(ctx, r, hostID, disk, func(b hv.BlockJob) (bool, error) {
		switch {
		case b.Kind == "" && done(b.Chain):
			return true, nil
		case ours(b):
			idle = 0
			return false, nil
		case idle >= settleLooks:
			return false, domain.Errorf(domain.Conflict, "The work on %s has ended on the host before it was done.", disk.Target).WithFix("Look into the host's log (a full disk?), and ask again.")
		}
		idle++
		return false, nil
	})
	return err
}

func (d Deps) commitSteps(in Commit) []jobs.Step {
	active := in.Top == ""
	ours := func(b hv.BlockJob) bool {
		return active && b.Kind == hv.BlockActiveCommit || !active && b.Kind == hv.BlockCommit
	}
	merged := func(chain []string) bool {
		if active {
			return len(chain) > 0 && chain[0] == in.Base
		}
		return slices.Contains(chain, in.Base) && !slices.Contains(chain, in.Top)
	}
	return []jobs.Step{{
		Name: "write it down into the image below", Timeout: copyLimit,
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			b, err := host.BlockJob(ctx, in.Disk.UUID, in.Disk.Target)
			if err != nil {
				return err
			}
			if b.Kind == "" && merged(b.Chain) {
				return nil
			}
			if err := host.CommitDisk(ctx, in.Disk.UUID, in.Disk.Target, in.Base, in.Top, 0); err != nil {
				return err
			}
			if !active {
				return d.settle(ctx, r, in.HostID, in.Disk, ours, merged)
			}
			_, err = d.follow(ctx, r, in.HostID, in.Disk, func(b hv.BlockJob) (bool, error) {
				if !ours(b) {
					return false, domain.Errorf(domain.Conflict, "The work on %s has ended on the host before it was done.", in.Disk.Target).WithFix("Look into the host's log, and ask again.")
				}
				return b.Ready, nil
			})
			return err
		},
		Undo: func(ctx context.Context, r *jobs.Run) error { return d.abort(ctx, r, in.HostID, in.Disk, ours) },
	}, {
		Name: "turn to the image below", Timeout: 10 * time.Minute, Final: true, NoUndo: "The VM writes to the image below from here on.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			b, err := host.BlockJob(ctx, in.Disk.UUID, in.Disk.Target)
			switch {
			case err != nil:
				return err
			case merged(b.Chain):
				return nil
			case !active || !ours(b) || !b.Ready:
				return jobs.BeforeFinal(domain.Errorf(domain.Conflict, "The work on %s was ended on the host.", in.Disk.Target).WithFix("Ask again."))
			}
			return host.PivotDisk(ctx, in.Disk.UUID, in.Disk.Target)
		},
	}, {
		Name: "delete what is not needed any more", Timeout: 30 * time.Minute, NoUndo: "The image below has everything.",
		Do: func(ctx context.Context, r *jobs.Run) error {
			if err := d.mirror(ctx, r, in.HostID, in.Disk); err != nil {
				return err
			}
			host, err := d.Hosts.Host(in.HostID)
			if err != nil {
				return err
			}
			for _, v := range in.Gone { // the uppermost first: the next is needed by it until then
				why, err := d.dropVolume(ctx, host, v)
				if err != nil {
					return err
				}
				if why != "" {
					r.Log("%s stays: %s", v.Path, why)
				}
				if err := d.Mirror.Inventory(ctx, host, in.HostID, cause(r, "")); err != nil {
					return err
				}
			}
			return nil
		},
	}, {
		Name: "look at what came of it", Timeout: hostTimeout, NoUndo: "It only looks.",
		Do: func(ctx context.Context, r *jobs.Run) error { return d.mirror(ctx, r, in.HostID, in.Disk) },
	}}
}
