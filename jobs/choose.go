package jobs

import (
	"context"
	"slices"

	"novacron/db"
	"novacron/domain"
)

// Choices are the ways out of a job among which a person has to choose; none unless it is stuck and of a kind that knows some.
func (e *Engine) Choices(job domain.Job) []domain.JobChoice {
	var out []domain.JobChoice
	for _, c := range e.choices(job) {
		out = append(out, c.JobChoice)
	}
	return out
}

func (e *Engine) choices(job domain.Job) []Choice {
	if job.State != domain.JobStuck {
		return nil
	}
	kind, err := e.kind(job.Kind)
	if err != nil || kind.Choices == nil {
		return nil
	}
	return kind.Choices(job)
}

// Choose has a stuck job go on the way that a person chose. Invalid when it does not offer that way, or not any more.
func (e *Engine) Choose(ctx context.Context, id, name, actor string) error {
	job, err := e.d.Job(ctx, id)
	if err != nil {
		return err
	}
	offered := e.choices(job)
	i := slices.IndexFunc(offered, func(c Choice) bool { return c.Name == name })
	if i < 0 && job.State == domain.JobStuck {
		return notOffered(name, offered)
	}
	label := ""
	if i >= 0 {
		label = offered[i].Label
	}
	err = e.resolve(ctx, id, actor, domain.JobQueued, "“"+label+"” was chosen by "+actor+".", func(now *domain.Job) error {
		offered := e.choices(*now)
		i := slices.IndexFunc(offered, func(c Choice) bool { return c.Name == name })
		if i < 0 || offered[i].Label != label {
			return notOffered(name, offered)
		}
		now.Data = offered[i].Data
		return nil
	})
	if err == nil && !db.Trying(ctx) {
		e.push(id)
	}
	return err
}

func notOffered(name string, offered []Choice) error {
	hint := "it offers none: try it again, or let it go"
	for i, c := range offered {
		if i == 0 {
			hint = c.Name
		} else {
			hint += " or " + c.Name
		}
	}
	return domain.InvalidField("choice", "The job does not offer “"+name+"”.", hint)
}
