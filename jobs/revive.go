package jobs

import (
	"context"

	"novacron/db"
	"novacron/domain"
)

// A job that is stuck only because a host did not answer needs no person once the host is back: what stopped it is over, and its steps look at the
// world first anyway.

// revive tries such jobs again whenever a host is seen to be connected, until ctx ends.
func (e *Engine) revive(ctx context.Context) {
	feed := e.d.Feed()
	seq := feed.Last()
	e.retryAway(ctx) // the host may have come back before we looked
	for feed.Wait(ctx, seq) == nil {
		evs, gap := feed.Since(seq, 0)
		seq = feed.Last()
		back := gap
		for _, ev := range evs {
			seq = ev.Seq
			if ev.Resource.Kind != "host" || ev.JobID != "" || back {
				continue
			}
			host, err := e.d.Host(ctx, ev.Resource.ID)
			back = err == nil && host.State == domain.HostConnected
		}
		if back {
			e.retryAway(ctx)
		}
	}
}

func (e *Engine) retryAway(ctx context.Context) {
	page, err := e.d.Jobs(ctx, db.JobQuery{State: domain.JobStuck, Limit: 1000})
	if err != nil {
		return // nothing is lost: the jobs stay stuck, and a person or the next host tries them again
	}
	for _, job := range page.Items {
		if !stoppedByAbsence(job) {
			continue
		}
		if err := e.Retry(ctx, job.ID, "system"); err != nil && !domain.Is(err, domain.Conflict) && ctx.Err() == nil {
			e.log.Warn("a stuck job could not be tried again", "job", job.ID, "err", describe(err))
		}
	}
}

// stoppedByAbsence reports whether the step that stopped the job failed because the other side was unavailable.
func stoppedByAbsence(job domain.Job) bool {
	for _, s := range job.Steps {
		if (s.State == domain.StepUndoing || s.State == domain.StepFailed) && s.Code == domain.Unavailable {
			return true
		}
	}
	return false
}
