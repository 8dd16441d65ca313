package migrate

import (
	"context"
	"time"

	"novacron/domain"
	"novacron/jobs"
)

// KindTune changes a migration under way.
const KindTune = "vm.migrate.tune"

// Tune is the input of vm.migrate.tune. It locks nothing: the migration it changes holds the VM.
type Tune struct {
	JobID  string               `json:"job_id"` // the migration's
	HostID string               `json:"host_id"`
	UUID   string               `json:"uuid"`
	Name   string               `json:"name"`
	Change domain.MigrationTune `json:"change"`
}

func (d Deps) tuneSteps(in Tune) []jobs.Step {
	return []jobs.Step{{Name: "tune", NoUndo: "The migration goes on with what was set.", Timeout: checkTimeout, Do: func(ctx context.Context, r *jobs.Run) error {
		host, err := d.Hosts.Host(in.HostID)
		if err != nil {
			return err
		}
		if _, err := host.MigrationProgress(ctx, in.UUID); domain.Is(err, domain.NotFound) {
			return domain.Errorf(domain.Conflict, "%s is not being moved any more.", in.Name).WithFix("Look at how its move ended.")
		} else if err != nil {
			return err
		}
		c := in.Change
		if c.BandwidthBytes > 0 || c.DowntimeMS > 0 {
			if err := host.TuneMigration(ctx, in.UUID, c.BandwidthBytes, time.Duration(c.DowntimeMS)*time.Millisecond); err != nil {
				return err
			}
		}
		if c.PostCopy {
			return host.StartPostCopy(ctx, in.UUID)
		}
		return nil
	}}}
}
