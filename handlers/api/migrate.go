package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/fleet"
)

// MoveChoices are what a move and its forecast share.
type MoveChoices struct {
	Mode     domain.MigrationMode   `json:"mode,omitempty" enum:"auto,live,storage,cold" default:"auto" doc:"auto: live when it runs, cold when it is stopped; storage: one disk goes to another pool of its own host"`
	Disks    map[string]string      `json:"disks,omitempty" doc:"By target (vda): the pool of the target host that it is copied into; shared: the target sees the same file"`
	Networks map[string]string      `json:"networks,omitempty" doc:"By name: what the network or bridge is called on the target"`
	Policy   domain.MigrationPolicy `json:"policy,omitempty" doc:"What the move may do to the guest and the wire"`
}

func (c MoveChoices) ask(host, key string) fleet.MigrateVM {
	return fleet.MigrateVM{Host: host, Mode: c.Mode, Disks: c.Disks, Networks: c.Networks, Policy: c.Policy, Key: key}
}

// VMForecast asks where a VM may move and how it will go.
type VMForecast struct {
	Targets []string `json:"targets,omitempty" maxItems:"200" nullable:"false" doc:"Hosts, by id or name; empty: all others"`
	MoveChoices
}

// VMMigrate asks for a VM to be moved.
type VMMigrate struct {
	Host string `json:"host,omitempty" default:"any" doc:"A host's id or name; any: where it is expected to be done soonest"`
	MoveChoices
}

// Forecasts has one answer for each host asked about, those where it will be done soonest first.
type Forecasts struct {
	Targets []domain.MigrationTarget `json:"targets" nullable:"false"`
}

// Migration is one move with its forecast beside its result.
type Migration struct {
	ID        string                    `json:"id" doc:"The job's id"`
	VM        string                    `json:"vm_id"`
	VMName    string                    `json:"vm"`
	FromID    string                    `json:"from_id"`
	From      string                    `json:"from"`
	ToID      string                    `json:"to_id"`
	To        string                    `json:"to"`
	Mode      domain.MigrationMode      `json:"mode"`
	State     string                    `json:"state" enum:"running,succeeded,undone,stuck" doc:"stuck: its job waits for a person"`
	Started   *time.Time                `json:"started_at"`
	Ended     *time.Time                `json:"ended_at"`
	DirtyRate *int64                    `json:"dirty_rate" doc:"Bytes a second that the guest wrote to its memory, measured before; null: not measured"`
	Forecast  *domain.MigrationForecast `json:"forecast"`
	Result    *domain.MigrationFigures  `json:"result"`
}

func migrationOf(m *domain.MigrationRecord) Migration {
	out := Migration{ID: m.JobID, VM: m.VMID, VMName: m.VMName, FromID: m.FromID, From: m.FromName, ToID: m.ToID, To: m.ToName, Mode: m.Mode, State: m.State,
		Started: when(m.Started), Ended: when(m.Ended), Forecast: m.Forecast, Result: m.Result}
	if m.DirtyRate >= 0 {
		out.DirtyRate = &m.DirtyRate
	}
	return out
}

// MigrationPage is a page of the list.
type MigrationPage struct {
	Items []Migration `json:"items" nullable:"false"`
	Next  *string     `json:"next" doc:"Cursor of the next page; null at the end"`
}

// MigrationPaths is how forecasts came out.
type MigrationPaths struct {
	Items []domain.MigrationPath `json:"items" nullable:"false" doc:"Paths with most moves first"`
	Next  *string                `json:"next" doc:"Always null: the list comes in one piece"`
}

// pathsFrom is how many of the last moves say how good the forecasts are.
const pathsFrom = 1000

type migrationsInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most"`
	Cursor string `query:"cursor" maxLength:"64" doc:"The next of the page before; empty for the first page"`
	VM     string `query:"vm" maxLength:"64" doc:"Only of this VM"`
	From   string `query:"from" maxLength:"64" doc:"Only from the host with this id"`
	To     string `query:"to" maxLength:"64" doc:"Only to the host with this id"`
	State  string `query:"state" enum:"running,succeeded,undone,stuck" doc:"Only in this state"`
}

// Evacuate asks for a host to be emptied.
type Evacuate struct {
	DryRun bool `json:"dry_run,omitempty" doc:"Only say what would be done"`
}

// EvacuationPlan is what emptying a host would do.
type EvacuationPlan struct {
	HostID   string           `json:"host_id"`
	Host     string           `json:"host"`
	Items    []EvacuationItem `json:"items" nullable:"false" doc:"Every VM of the host, in the order in which they move; those that stay come last"`
	Moves    int              `json:"moves"`
	Stay     int              `json:"stay"`
	Parallel int              `json:"parallel" doc:"Moves at a time"`
	Seconds  domain.Interval  `json:"seconds" doc:"Until the last move is over"`
	Over     []domain.Reason  `json:"over_committed" nullable:"false" doc:"What hosts would have too little of at the end; memory of running VMs is never among it"`
}

// EvacuationItem is one VM of the plan.
type EvacuationItem struct {
	VMID     string                    `json:"vm_id"`
	VM       string                    `json:"vm"`
	State    domain.VMState            `json:"state"`
	HostID   string                    `json:"host_id" doc:"Where it goes; empty when it stays"`
	Host     string                    `json:"host"`
	Mode     domain.MigrationMode      `json:"mode"`
	Forecast *domain.MigrationForecast `json:"forecast"`
	Why      []domain.Reason           `json:"why" nullable:"false" doc:"When it stays: for each host what stands in the way"`
}

func (s *server) migrations() {
	register(s, op{id: "forecast-vm", method: http.MethodPost, path: "/vms/{id}/forecast", tag: "Migration", perm: access.VMRead, status: 200, summary: "Say where a VM may move and how it will go",
		doc: "Every check passed, warned or failed, in words; and for each host that can take it the expected time, pause and bytes as an interval. A running guest is measured for a second. Nothing is changed."},
		func(ctx context.Context, in *struct {
			VMPath
			Body *VMForecast
		}) (*struct{ Body Forecasts }, error) {
			var ask VMForecast
			if in.Body != nil {
				ask = *in.Body
			}
			targets, err := s.Fleet.Forecast(ctx, actor(ctx), in.ID, ask.Targets, ask.MoveChoices.ask("", ""))
			if err != nil {
				return nil, err
			}
			return &struct{ Body Forecasts }{Forecasts{targets}}, nil
		})
	register(s, op{id: "migrate-vm", method: http.MethodPost, path: "/vms/{id}/migrate", tag: "Migration", perm: access.VMMigrate, status: 202, summary: "Move a VM to another host",
		doc: "Live when it runs: the daemons move it between themselves. A move that would fail is refused with the failed checks before a byte moves. While it runs the job can be cancelled."},
		func(ctx context.Context, in *struct {
			ActParams
			Body *VMMigrate
		}) (*changeOutput, error) {
			var ask VMMigrate
			if in.Body != nil {
				ask = *in.Body
			}
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.MigrateVM(ctx, actor(ctx), in.ID, ask.MoveChoices.ask(ask.Host, key))
			})
		})
	register(s, op{id: "list-migrations", method: http.MethodGet, path: "/migrations", tag: "Migration", perm: access.JobRead, status: 200, summary: "List migrations, newest first",
		doc: "With the forecast and the result side by side."},
		func(ctx context.Context, in *migrationsInput) (*struct{ Body MigrationPage }, error) {
			list, err := s.DB.Migrations(ctx, db.MigrationQuery{VM: in.VM, From: in.From, To: in.To, State: in.State, Before: in.Cursor, Limit: in.Limit + 1})
			if err != nil {
				return nil, err
			}
			out := MigrationPage{Items: []Migration{}}
			if len(list) > in.Limit {
				list = list[:in.Limit]
				out.Next = &list[in.Limit-1].JobID
			}
			for i := range list {
				out.Items = append(out.Items, migrationOf(&list[i]))
			}
			return &struct{ Body MigrationPage }{out}, nil
		})
	register(s, op{id: "list-migration-paths", method: http.MethodGet, path: "/migrations/paths", tag: "Migration", perm: access.HostRead, status: 200, summary: "Say how good the forecasts are, by path",
		doc: "For each pair of hosts and way of moving: how many of the last 1000 moves went there, how far they lay from their forecasts, and how many ended inside the interval."},
		func(ctx context.Context, _ *struct{}) (*struct{ Body MigrationPaths }, error) {
			list, err := s.DB.Migrations(ctx, db.MigrationQuery{State: string(domain.JobSucceeded), Limit: pathsFrom})
			if err != nil {
				return nil, err
			}
			return &struct{ Body MigrationPaths }{MigrationPaths{Items: domain.PathsOf(list)}}, nil
		})
	register(s, op{id: "tune-migration", method: http.MethodPost, path: "/migrations/{id}/tune", tag: "Migration", perm: access.VMMigrate, status: 202, summary: "Change a migration under way",
		doc: "Its bandwidth, the longest pause that may end it, or post-copy at once. The answer's job is of the change; the migration goes on as its own."},
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64" doc:"The migration's id"`
			ChangeParams
			Body domain.MigrationTune
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.TuneMigration(ctx, actor(ctx), in.ID, in.Body, key)
			})
		})
	either := func(h *huma.Operation) {
		plan, job := schemaOf[EvacuationPlan](s.api.OpenAPI().Components.Schemas), schemaOf[Job](s.api.OpenAPI().Components.Schemas)
		h.Responses = map[string]*huma.Response{
			"200": {Description: "A dry run: what would be done", Content: map[string]*huma.MediaType{"application/json": {Schema: plan}}},
			"202": {Description: "Accepted", Content: map[string]*huma.MediaType{"application/json": {Schema: job}}},
		}
	}
	registerWith(s, op{id: "evacuate-host", method: http.MethodPost, path: "/hosts/{id}/evacuate", tag: "Migration", perm: access.HostMaintain, status: 202, summary: "Move every VM away from a host",
		doc: "Puts it into maintenance. One job with a child for each VM; what cannot move stays and is named. With dry_run the answer is 200 with the plan, and nothing is changed. To edit, schedule or stop it, make a plan."}, either,
		func(ctx context.Context, in *struct {
			HostPath
			ChangeParams
			Body *Evacuate
		}) (*vmPatchOutput, error) {
			if in.Body != nil && in.Body.DryRun {
				p, err := s.Fleet.PlanEvacuation(ctx, in.ID)
				if err != nil {
					return nil, err
				}
				return &vmPatchOutput{Status: http.StatusOK, Body: evacuationOf(p)}, nil
			}
			out, err := s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return s.Fleet.EvacuateHost(ctx, actor(ctx), in.ID, key) })
			if err != nil {
				return nil, err
			}
			return &vmPatchOutput{Status: http.StatusAccepted, Location: out.Location, Body: out.Body}, nil
		})
	register(s, op{id: "return-to-host", method: http.MethodPost, path: "/hosts/{id}/return", tag: "Migration", perm: access.HostMaintain, status: 202, summary: "Bring back the VMs that were evacuated",
		doc: "Ends its maintenance, and moves back what plans moved away from it and is still where it was moved to."},
		func(ctx context.Context, in *struct {
			HostPath
			ChangeParams
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return s.Fleet.ReturnToHost(ctx, actor(ctx), in.ID, key) })
		})
}

func evacuationOf(p fleet.EvacuationPlan) EvacuationPlan {
	out := EvacuationPlan{HostID: p.Host.ID, Host: p.Host.Name, Items: []EvacuationItem{}, Moves: p.Moves, Stay: p.Stay, Parallel: p.Parallel, Seconds: p.Seconds, Over: list(p.Over)}
	for _, it := range p.Items {
		out.Items = append(out.Items, EvacuationItem{VMID: it.VM.ID, VM: it.VM.Name, State: it.VM.State, HostID: it.Host, Host: it.HostName, Mode: it.Mode, Forecast: it.Forecast, Why: list(it.Why)})
	}
	return out
}
