package api

import (
	"context"
	"net/http"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

type JobPath struct {
	ID string `path:"id" maxLength:"64" doc:"The job's id"`
}

type jobOutput struct{ Body Job }

type jobListInput struct {
	PageQuery
	State    string `query:"state" enum:"queued,running,succeeded,undone,stuck" doc:"Only jobs in this state"`
	Kind     string `query:"kind" maxLength:"64" doc:"Only jobs of this kind, such as vm.start"`
	Resource string `query:"resource" maxLength:"64" doc:"Only jobs about the VM or host with this id"`
	Parent   string `query:"parent" maxLength:"64" doc:"Only the children of this job"`
	Active   bool   `query:"active" doc:"Only queued and running ones"`
}

type jobList struct{ Body Page[Job] }

type jobLog struct {
	Body struct {
		Items []domain.JobLine `json:"items" nullable:"false"`
		Next  *string          `json:"next" doc:"Always null: the log comes in one piece"`
	}
}

func (s *server) jobs() {
	register(s, op{id: "list-jobs", method: http.MethodGet, path: "/jobs", tag: "Jobs", perm: access.JobRead, status: 200, summary: "List jobs, newest first"},
		func(ctx context.Context, in *jobListInput) (*jobList, error) {
			page, err := s.DB.Jobs(ctx, db.JobQuery{
				State: domain.JobState(in.State), Kind: in.Kind, Resource: in.Resource, Parent: in.Parent, Active: in.Active, After: in.cursor(), Limit: in.limit(),
			})
			if err != nil {
				return nil, ofCursor(err)
			}
			return &jobList{pageOf(page.Items, page.Next, page.Total, func(j *domain.Job) Job { return s.jobFor(ctx, j) })}, nil
		})

	register(s, op{id: "get-job", method: http.MethodGet, path: "/jobs/{id}", tag: "Jobs", perm: access.JobRead, status: 200, summary: "Show a job",
		doc: "With ?wait the answer comes when the job has ended or the time is over."},
		func(ctx context.Context, in *struct {
			JobPath
			Wait string `query:"wait" maxLength:"20" doc:"Wait this long for the job to end, at most 120s" example:"30s"`
		}) (*jobOutput, error) {
			out, err := s.accepted(ctx, ChangeParams{Wait: in.Wait}, func(string) (domain.Job, error) { return s.DB.Job(ctx, in.ID) })
			if err != nil {
				return nil, err
			}
			return &jobOutput{out.Body}, nil
		})

	register(s, op{id: "get-job-log", method: http.MethodGet, path: "/jobs/{id}/log", tag: "Jobs", perm: access.JobRead, status: 200, summary: "Show a job's log"},
		func(ctx context.Context, in *JobPath) (*jobLog, error) {
			if _, err := s.DB.Job(ctx, in.ID); err != nil {
				return nil, err
			}
			lines, err := s.DB.JobLog(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			out := &jobLog{}
			out.Body.Items = list(lines)
			return out, nil
		})

	s.jobVerb("cancel", "Cancel a job", "What it has done is taken back. A job past its point of no return is not cancelled.", s.Engine.Cancel)
	s.jobVerb("retry", "Let a stuck job try again", "", s.Engine.Retry)
	register(s, op{id: "choose-job", method: http.MethodPost, path: "/jobs/{id}/choose", tag: "Jobs", perm: access.JobCancel, status: 202, summary: "Choose a way out for a stuck job",
		doc: "One of the job's choices; each says what it does. The job then goes on."},
		func(ctx context.Context, in *struct {
			JobPath
			Wait string `query:"wait" maxLength:"20" doc:"Wait this long for the job to end, at most 120s" example:"30s"`
			Body struct {
				Choice string `json:"choice" minLength:"1" maxLength:"64" doc:"The name of one of the job's choices" example:"keep-source"`
			}
		}) (*changeOutput, error) {
			return s.accepted(ctx, ChangeParams{Wait: in.Wait}, func(string) (domain.Job, error) {
				if err := s.Engine.Choose(ctx, in.ID, in.Body.Choice, actor(ctx)); err != nil {
					return domain.Job{}, err
				}
				return s.DB.Job(ctx, in.ID)
			})
		})
	s.jobVerb("dismiss", "Let go of a stuck job", "It ends as it is and gives free what it held; nothing more is taken back.", s.Engine.Dismiss)
}

func (s *server) jobVerb(verb, summary, doc string, do func(ctx context.Context, id, actor string) error) {
	register(s, op{id: verb + "-job", method: http.MethodPost, path: "/jobs/{id}/" + verb, tag: "Jobs", perm: access.JobCancel, status: 202, summary: summary, doc: doc},
		func(ctx context.Context, in *struct {
			JobPath
			Wait string `query:"wait" maxLength:"20" doc:"Wait this long for the job to end, at most 120s" example:"30s"`
		}) (*changeOutput, error) {
			return s.accepted(ctx, ChangeParams{Wait: in.Wait}, func(string) (domain.Job, error) {
				if err := do(ctx, in.ID, actor(ctx)); err != nil {
					return domain.Job{}, err
				}
				return s.DB.Job(ctx, in.ID)
			})
		})
}
