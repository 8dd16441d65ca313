package fleet

import (
	"context"
	"encoding/json"

	"novacron/domain"
	"novacron/jobs"
	"novacron/jobs/migrate"
)

// TuneMigration changes the live migration that the job jobID is: its bandwidth, the longest pause that ends it, or it ends by post-copy. Conflict when it
// is over, or began without what is asked for.
func (f *Fleet) TuneMigration(ctx context.Context, actor, jobID string, change domain.MigrationTune, key string) (domain.Job, error) {
	if job, ok, err := f.again(ctx, actor, key); ok || err != nil {
		return job, err
	}
	if err := change.Validate(); err != nil {
		return domain.Job{}, err
	}
	job, err := f.db.Job(ctx, jobID)
	if err != nil {
		return domain.Job{}, err
	}
	if job.Kind != migrate.KindMove {
		return domain.Job{}, domain.Errorf(domain.NotFound, "There is no migration %s.", jobID)
	}
	var in migrate.Move
	if err := json.Unmarshal(job.Input, &in); err != nil {
		return domain.Job{}, domain.Errorf(domain.Internal, "The migration's input cannot be read: %w", err)
	}
	if job.State.Ended() {
		return domain.Job{}, domain.Errorf(domain.Conflict, "The move of %s is over.", in.Name)
	}
	if in.Mode != domain.MigrateLive {
		return domain.Job{}, domain.Errorf(domain.Conflict, "%s is moved while it is stopped: there is nothing to tune.", in.Name)
	}
	if change.PostCopy && !in.Policy.PostCopy {
		return domain.Job{}, domain.InvalidField("post_copy", "This move began without post-copy, and QEMU cannot allow it later.", "cancel it, and move with a policy that allows post-copy")
	}
	return f.engine.Enqueue(ctx, jobs.Request{Kind: migrate.KindTune, Title: "Tune the move of " + in.Name, Resource: job.Resource, Actor: actor, Key: key,
		Input: migrate.Tune{JobID: job.ID, HostID: in.FromID, UUID: in.UUID, Name: in.Name, Change: change}})
}
