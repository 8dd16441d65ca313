package api

import (
	"context"
	"net/http"
	"time"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// AffinityRule says which VMs belong together or apart, or on which hosts they run or do not.
type AffinityRule struct {
	ID        string               `json:"id" example:"aff_1k…"`
	Name      string               `json:"name"`
	Tenant    string               `json:"tenant,omitempty" doc:"Whose it is: about its VMs only; nothing: the estate's, about all"`
	Kind      domain.AffinityKind  `json:"kind" enum:"affinity,anti-affinity"`
	Scope     domain.AffinityScope `json:"scope" enum:"vm-vm,vm-host" doc:"Between the VMs, or between the VMs and the hosts"`
	Hard      bool                 `json:"hard" doc:"Never broken by NovaCron; else kept where that is possible"`
	VMs       []string             `json:"vms" nullable:"false" doc:"Ids"`
	Tags      []string             `json:"tags" nullable:"false" doc:"And every VM with one of these, also those still to be made"`
	Hosts     []string             `json:"hosts" nullable:"false" doc:"Ids; of vm-host rules"`
	Notes     string               `json:"notes"`
	CreatedAt *time.Time           `json:"created_at"`
	Version   int64                `json:"version"`
}

func ruleOf(r *domain.AffinityRule) AffinityRule {
	return AffinityRule{ID: r.ID, Name: r.Name, Tenant: r.Tenant, Kind: r.Kind, Scope: r.Scope, Hard: r.Hard, VMs: list(r.VMs), Tags: list(r.Tags), Hosts: list(r.Hosts), Notes: r.Notes, CreatedAt: when(r.CreatedAt), Version: r.Version}
}

// AffinityRuleWrite is a rule to be made.
type AffinityRuleWrite struct {
	Name   string               `json:"name" maxLength:"63"`
	Tenant string               `json:"tenant,omitempty" maxLength:"64" doc:"Whose it is to be; empty: the caller's own tenant's, else the estate's"`
	Kind   domain.AffinityKind  `json:"kind" enum:"affinity,anti-affinity"`
	Scope  domain.AffinityScope `json:"scope" enum:"vm-vm,vm-host"`
	Hard   bool                 `json:"hard,omitempty"`
	VMs    []string             `json:"vms,omitempty" maxItems:"1000" nullable:"false"`
	Tags   []string             `json:"tags,omitempty" maxItems:"50" nullable:"false"`
	Hosts  []string             `json:"hosts,omitempty" maxItems:"1000" nullable:"false"`
	Notes  string               `json:"notes,omitempty" maxLength:"4096"`
}

// AffinityRulePatch changes what it names.
type AffinityRulePatch struct {
	Name  *string               `json:"name,omitempty" maxLength:"63"`
	Kind  *domain.AffinityKind  `json:"kind,omitempty" enum:"affinity,anti-affinity"`
	Scope *domain.AffinityScope `json:"scope,omitempty" enum:"vm-vm,vm-host"`
	Hard  *bool                 `json:"hard,omitempty"`
	VMs   *[]string             `json:"vms,omitempty" maxItems:"1000" nullable:"false"`
	Tags  *[]string             `json:"tags,omitempty" maxItems:"50" nullable:"false"`
	Hosts *[]string             `json:"hosts,omitempty" maxItems:"1000" nullable:"false"`
	Notes *string               `json:"notes,omitempty" maxLength:"4096"`
}

func given[T any](to *T, v *T) {
	if v != nil {
		*to = *v
	}
}

// RulePath names an affinity rule.
type RulePath struct {
	ID string `path:"id" maxLength:"100" doc:"The rule's id"`
}

type ruleOutput struct {
	ETag string `header:"ETag"`
	Body AffinityRule
}

func (s *server) affinityRules() {
	const tag, base = "Placement", "/affinity-rules"
	answer := func(r domain.AffinityRule, err error) (*ruleOutput, error) {
		if err != nil {
			return nil, err
		}
		return &ruleOutput{etag(r.Version), ruleOf(&r)}, nil
	}
	register(s, op{id: "list-affinity-rules", method: http.MethodGet, path: base, tag: tag, perm: access.AffinityRead, status: 200, summary: "List affinity rules"},
		func(ctx context.Context, in *struct {
			PageQuery
			Sort string `query:"sort" default:"name" enum:"name,-name,created,-created" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[AffinityRule] }, error) {
			all, err := s.DB.AffinityRules(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.AffinityRule]{
				"name":    func(x *domain.AffinityRule) string { return x.Name },
				"created": func(x *domain.AffinityRule) string { return padded(x.CreatedAt.UnixMilli()) },
			}, func(x *domain.AffinityRule) string { return x.ID }, ruleOf)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Page[AffinityRule] }{page}, nil
		})
	register(s, op{id: "create-affinity-rule", method: http.MethodPost, path: base, tag: tag, perm: access.AffinityManage, status: 201, summary: "Make an affinity rule",
		doc: "It is kept when VMs are made, moved and evacuated; nothing moves for it by itself. A rule that is broken already stays so until somebody moves a VM."},
		func(ctx context.Context, in *struct{ Body AffinityRuleWrite }) (*ruleOutput, error) {
			b := in.Body
			return answer(s.Fleet.PutAffinityRule(ctx, actor(ctx), domain.AffinityRule{Name: b.Name, Tenant: b.Tenant, Kind: b.Kind, Scope: b.Scope, Hard: b.Hard, VMs: b.VMs, Tags: b.Tags, Hosts: b.Hosts, Notes: b.Notes}))
		})
	register(s, op{id: "get-affinity-rule", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.AffinityRead, status: 200, summary: "Show an affinity rule"},
		func(ctx context.Context, in *RulePath) (*ruleOutput, error) {
			return answer(s.DB.AffinityRule(ctx, in.ID))
		})
	register(s, op{id: "edit-affinity-rule", method: http.MethodPatch, path: base + "/{id}", tag: tag, perm: access.AffinityManage, status: 200, summary: "Change an affinity rule"},
		func(ctx context.Context, in *struct {
			RulePath
			Body AffinityRulePatch
		}) (*ruleOutput, error) {
			r, err := s.DB.AffinityRule(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			b := in.Body
			given(&r.Name, b.Name)
			given(&r.Kind, b.Kind)
			given(&r.Scope, b.Scope)
			given(&r.Hard, b.Hard)
			given(&r.VMs, b.VMs)
			given(&r.Tags, b.Tags)
			given(&r.Hosts, b.Hosts)
			given(&r.Notes, b.Notes)
			return answer(s.Fleet.PutAffinityRule(ctx, actor(ctx), r))
		})
	register(s, op{id: "delete-affinity-rule", method: http.MethodDelete, path: base + "/{id}", tag: tag, perm: access.AffinityManage, status: 204, summary: "Delete an affinity rule"},
		func(ctx context.Context, in *RulePath) (*struct{}, error) {
			return nil, s.Fleet.DeleteAffinityRule(ctx, actor(ctx), in.ID)
		})
}

// Plan is the maintenance of hosts: emptied one failure domain after the other, and filled again.
type Plan struct {
	ID         string             `json:"id" example:"plan_1k…"`
	Title      string             `json:"title"`
	Kind       domain.PlanKind    `json:"kind" enum:"evacuate,return,rolling"`
	State      domain.PlanState   `json:"state" enum:"draft,approved,running,stopping,stopped,waiting,done"`
	JobID      string             `json:"job_id" doc:"The last run; empty: it never ran"`
	Label      string             `json:"label" doc:"Hosts with the same value of this label are one failure domain; empty: each host is one"`
	Parallel   int                `json:"parallel" doc:"Moves at a time; of one host two at most"`
	Gate       domain.PlanGate    `json:"gate" enum:"none,confirm,auto" doc:"Who says that the work on an empty host is over: a person, or the host itself by having been away and being back. none: the plan ends when it is empty"`
	StartAt    *time.Time         `json:"start_at"`
	TimeZone   string             `json:"time_zone"`
	Moves      int                `json:"moves"`
	Moved      int                `json:"moved"`
	Failed     int                `json:"failed"`
	Stay       int                `json:"stay"`
	Seconds    domain.Interval    `json:"seconds" doc:"All moves together, without the gates"`
	Reasons    []domain.Reason    `json:"reasons" nullable:"false" doc:"Why it stopped or waits"`
	Stages     []domain.PlanStage `json:"stages" nullable:"false" doc:"One for each failure domain, in order"`
	MadeBy     string             `json:"made_by"`
	ApprovedBy string             `json:"approved_by"`
	CreatedAt  *time.Time         `json:"created_at"`
	Version    int64              `json:"version"`
}

func planOf(p *domain.Plan) Plan {
	out := Plan{ID: p.ID, Title: p.Title, Kind: p.Kind, State: p.State, JobID: p.JobID, Label: p.Label, Parallel: p.Parallel, Gate: p.Gate, StartAt: when(p.StartAt), TimeZone: p.TimeZone, Seconds: p.Seconds(),
		Reasons: list(p.Reasons), Stages: list(p.Stages), MadeBy: p.MadeBy, ApprovedBy: p.ApprovedBy, CreatedAt: when(p.CreatedAt), Version: p.Version}
	out.Moves, out.Moved, out.Failed, out.Stay = p.Counts()
	return out
}

// PlanWrite asks for a plan.
type PlanWrite struct {
	Title    string          `json:"title,omitempty" maxLength:"120"`
	Kind     domain.PlanKind `json:"kind,omitempty" enum:"evacuate,rolling" doc:"Empty: evacuate for one host, rolling for several"`
	Hosts    []string        `json:"hosts,omitempty" maxItems:"500" nullable:"false" doc:"Ids or names; with a label empty means every host that has it"`
	Label    string          `json:"label,omitempty" maxLength:"64" doc:"Hosts with the same value of this label are emptied together" example:"rack"`
	Parallel int             `json:"parallel,omitempty" doc:"Moves at a time; 0: 2"`
	Gate     domain.PlanGate `json:"gate,omitempty" enum:"none,confirm,auto" doc:"Empty: none for evacuate, confirm for rolling"`
	Drop     []string        `json:"drop,omitempty" maxItems:"1000" nullable:"false" doc:"VMs that are to stay"`
	DryRun   bool            `json:"dry_run,omitempty" doc:"Only answer what the plan would be"`
}

// PlanPatch changes what it names.
type PlanPatch struct {
	Title    *string               `json:"title,omitempty" maxLength:"120"`
	Parallel *int                  `json:"parallel,omitempty"`
	Gate     *domain.PlanGate      `json:"gate,omitempty" enum:"none,confirm,auto"`
	StartAt  *string               `json:"start_at,omitempty" doc:"On the clocks of the time zone; empty: when a person starts it" example:"2026-11-24T02:00"`
	TimeZone *string               `json:"time_zone,omitempty" example:"Europe/Berlin"`
	Moves    *[]fleet.PlanMoveEdit `json:"moves,omitempty" maxItems:"5000" nullable:"false" doc:"All that are still to move, in their order; what is left out stays"`
}

// PlanPath names a plan.
type PlanPath struct {
	ID string `path:"id" maxLength:"100" doc:"The plan's id"`
}

type maintenancePlan struct {
	Status int
	ETag   string `header:"ETag"`
	Body   Plan
}

func planAnswer(p domain.Plan, status int, err error) (*maintenancePlan, error) {
	if err != nil {
		return nil, err
	}
	return &maintenancePlan{status, etag(p.Version), planOf(&p)}, nil
}

func (s *server) plans() {
	const tag, base = "Maintenance", "/plans"
	register(s, op{id: "list-plans", method: http.MethodGet, path: base, tag: tag, perm: access.HostMaintain, status: 200, summary: "List maintenance plans, newest first"},
		func(ctx context.Context, in *struct {
			PageQuery
			State domain.PlanState `query:"state" enum:"draft,approved,running,stopping,stopped,waiting,done" doc:"Only in this state"`
			Sort  string           `query:"sort" default:"-created" enum:"created,-created,title,-title" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[Plan] }, error) {
			all, err := s.DB.Plans(ctx, db.PlanQuery{State: string(in.State)})
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.Plan]{
				"created": func(x *domain.Plan) string { return padded(x.CreatedAt.UnixMilli()) },
				"title":   func(x *domain.Plan) string { return x.Title },
			}, func(x *domain.Plan) string { return x.ID }, planOf)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Page[Plan] }{page}, nil
		})
	register(s, op{id: "create-plan", method: http.MethodPost, path: base, tag: tag, perm: access.HostMaintain, status: 201, summary: "Plan the maintenance of hosts",
		doc: "Which guest goes where, in which order and how many at a time, how long it takes, what stays and why, and what would be over-committed at the end. A draft is kept and nothing moves; with dry_run the answer is 200 and nothing is kept."},
		func(ctx context.Context, in *struct{ Body PlanWrite }) (*maintenancePlan, error) {
			b := in.Body
			req := fleet.PlanRequest{Title: b.Title, Kind: b.Kind, Hosts: b.Hosts, Label: b.Label, Parallel: b.Parallel, Gate: b.Gate, Drop: b.Drop}
			if b.DryRun {
				p, err := s.Fleet.DraftPlan(ctx, req)
				p.ID = ""
				return planAnswer(p, http.StatusOK, err)
			}
			p, err := s.Fleet.NewPlan(ctx, actor(ctx), req)
			return planAnswer(p, http.StatusCreated, err)
		})
	register(s, op{id: "get-plan", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.HostMaintain, status: 200, summary: "Show a maintenance plan"},
		func(ctx context.Context, in *PlanPath) (*maintenancePlan, error) {
			p, err := s.DB.Plan(ctx, in.ID)
			return planAnswer(p, http.StatusOK, err)
		})
	register(s, op{id: "edit-plan", method: http.MethodPatch, path: base + "/{id}", tag: tag, perm: access.HostMaintain, status: 200, summary: "Change a maintenance plan",
		doc: "It becomes a draft, to be approved anew. Moves that would break a hard rule or a host's capacity at any moment are refused, each with its field."},
		func(ctx context.Context, in *struct {
			PlanPath
			Body PlanPatch
		}) (*maintenancePlan, error) {
			b := in.Body
			p, err := s.Fleet.EditPlan(ctx, actor(ctx), in.ID, 0, fleet.PlanEdit{Title: b.Title, Parallel: b.Parallel, Gate: b.Gate, StartAt: b.StartAt, TimeZone: b.TimeZone, Moves: b.Moves})
			return planAnswer(p, http.StatusOK, err)
		})
	register(s, op{id: "delete-plan", method: http.MethodDelete, path: base + "/{id}", tag: tag, perm: access.HostMaintain, status: 204, summary: "Delete a maintenance plan",
		doc: "What it moved away can then no more be brought back by return."},
		func(ctx context.Context, in *PlanPath) (*struct{}, error) {
			return nil, s.Fleet.RemovePlan(ctx, actor(ctx), in.ID)
		})
	now := func(id, verb, summary, doc string, act func(ctx context.Context, actor, id string) (domain.Plan, error)) {
		register(s, op{id: id, method: http.MethodPost, path: base + "/{id}/" + verb, tag: tag, perm: access.HostMaintain, status: 200, summary: summary, doc: doc},
			func(ctx context.Context, in *PlanPath) (*maintenancePlan, error) {
				p, err := act(ctx, actor(ctx), in.ID)
				return planAnswer(p, http.StatusOK, err)
			})
	}
	now("approve-plan", "approve", "Approve a maintenance plan", "It may be started then, or begins at its time.", func(ctx context.Context, actor, id string) (domain.Plan, error) {
		return s.Fleet.ApprovePlan(ctx, actor, id, 0)
	})
	now("stop-plan", "stop", "Stop a maintenance plan", "The moves that run are let end; no more are begun.", s.Fleet.StopPlan)
	now("replan", "replan", "Plan anew what was not moved yet", "From how the world is now; it has to be approved.", s.Fleet.Replan)
	run := func(id, verb, summary, doc string, act func(ctx context.Context, actor, id, key string) (domain.Job, error)) {
		register(s, op{id: id, method: http.MethodPost, path: base + "/{id}/" + verb, tag: tag, perm: access.HostMaintain, status: 202, summary: summary, doc: doc},
			func(ctx context.Context, in *struct {
				PlanPath
				ChangeParams
			}) (*changeOutput, error) {
				return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return act(ctx, actor(ctx), in.ID, key) })
			})
	}
	run("start-plan", "start", "Start an approved maintenance plan", "One job with a child for each VM. When the world has changed since the plan was made it moves nothing and says what.", s.Fleet.StartPlan)
	run("resume-plan", "resume", "Go on with a maintenance plan that stopped", "What failed is tried again.", s.Fleet.ResumePlan)
	run("confirm-plan", "confirm", "Say that the work on the hosts at hand is over", "They go into service, their VMs come back, and behind a look at their health the plan goes on.", s.Fleet.ConfirmPlan)
}
