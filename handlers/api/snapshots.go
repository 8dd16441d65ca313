package api

import (
	"context"
	"net/http"
	"time"

	"novacron/auth/access"
	"novacron/domain"
)

// Snapshot is a point in a VM's life as the API shows it. parent makes the list a tree.
type Snapshot struct {
	ID          string                `json:"id" example:"snap_1k…"`
	VMID        string                `json:"vm_id"`
	Name        string                `json:"name" doc:"Unique for its VM"`
	Notes       string                `json:"notes"`
	CreatedAt   *time.Time            `json:"created_at"`
	Kind        domain.SnapshotKind   `json:"kind" enum:"internal,external" doc:"internal: inside the disks' own files; external: the disks' files are frozen, and overlays take what is written since"`
	Memory      bool                  `json:"memory" doc:"With what was in memory"`
	Quiesced    bool                  `json:"quiesced" doc:"The guest agent had frozen the file systems"`
	State       domain.VMState        `json:"state" enum:"running,stopped,paused,crashed,saved,away" doc:"Of the VM then"`
	Parent      string                `json:"parent" doc:"Name of the snapshot it descends from; empty at a root"`
	Current     bool                  `json:"current" doc:"What the VM runs on now descends from this one"`
	Disks       []domain.SnapshotDisk `json:"disks" nullable:"false"`
	GrowthBytes int64                 `json:"growth_bytes" doc:"What it costs: external: what the files that came with it take up now; internal: by how much the disks' files grew since, which is the most it can be"`
	Growth      string                `json:"growth" enum:"exact,at_most,unknown" doc:"How growth_bytes is to be read; unknown, and 0, of an internal one that was made on the host"`
	Schedule    string                `json:"schedule_id,omitempty" doc:"The schedule that made it"`
	Tier        domain.ScheduleTier   `json:"tier,omitempty" doc:"The rhythm that it counts for"`
	MadeBy      string                `json:"made_by" doc:"Empty when it was made on the host"`
}

func snapshotOf(s *domain.Snapshot) Snapshot {
	bytes, growth := s.Growth(), "exact"
	if s.Kind == domain.SnapshotInternal {
		growth = "unknown"
		if n, known := s.GrewSince(); known {
			bytes, growth = n, "at_most"
		}
	}
	return Snapshot{
		ID: s.ID, VMID: s.VMID, Name: s.Name, Notes: s.Notes, CreatedAt: when(s.CreatedAt), Kind: s.Kind, Memory: s.Memory, Quiesced: s.Quiesced, State: s.State, Parent: s.Parent,
		Current: s.Current, Disks: list(s.Disks), GrowthBytes: bytes, Growth: growth, Schedule: s.ScheduleID, Tier: s.Tier, MadeBy: s.MadeBy,
	}
}

// SnapshotCreate asks for a snapshot.
type SnapshotCreate struct {
	Name    string              `json:"name" example:"before-upgrade"`
	Notes   string              `json:"notes,omitempty"`
	Memory  bool                `json:"memory,omitempty" doc:"Keep what is in memory; the VM must run"`
	Quiesce bool                `json:"quiesce,omitempty" doc:"Let the guest agent freeze the file systems meanwhile; when it does not answer the snapshot is crash-consistent, and the job's result says so"`
	Kind    domain.SnapshotKind `json:"kind,omitempty" enum:"internal,external" doc:"Left out: internal where that can be, and as the VM's other snapshots are"`
}

// SnapshotRevert says whether what is now is kept.
type SnapshotRevert struct {
	Safety *bool `json:"safety,omitempty" doc:"Take a snapshot of the state now first; left out: yes"`
}

// SnapshotPatch changes notes.
type SnapshotPatch struct {
	Notes string `json:"notes"`
}

// SnapshotBulk names snapshots of one VM.
type SnapshotBulk struct {
	IDs      []string `json:"ids" minItems:"1" maxItems:"200" nullable:"false"`
	Children string   `json:"children,omitempty" enum:"keep,delete"`
}

type SnapshotPath struct {
	VMPath
	SID string `path:"sid" maxLength:"100" doc:"The snapshot's id"`
}

type snapshotOutput struct{ Body Snapshot }

type snapshotsInput struct {
	VMPath
	PageQuery
	Sort string `query:"sort" default:"created" enum:"created,-created,name,-name,growth,-growth" doc:"Order; a minus turns it round"`
}

func (s *server) snapshots() {
	const tag, base = "Snapshots", "/vms/{id}/snapshots"
	register(s, op{id: "list-snapshots", method: http.MethodGet, path: base, tag: tag, perm: access.VMRead, status: 200, summary: "List a VM's snapshots",
		doc: "parent and current make a tree of it. Those that were made on the host are listed too."},
		func(ctx context.Context, in *snapshotsInput) (*struct{ Body Page[Snapshot] }, error) {
			if _, err := s.DB.VM(ctx, in.ID); err != nil {
				return nil, err
			}
			all, err := s.DB.Snapshots(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.Snapshot]{
				"created": func(x *domain.Snapshot) string { return padded(x.CreatedAt.UnixMilli()) },
				"name":    func(x *domain.Snapshot) string { return x.Name },
				"growth": func(x *domain.Snapshot) string {
					n, _ := x.GrewSince()
					return padded(max(n, x.Growth()))
				},
			}, func(x *domain.Snapshot) string { return x.ID }, snapshotOf)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Page[Snapshot] }{page}, nil
		})
	register(s, op{id: "create-snapshot", method: http.MethodPost, path: base, tag: tag, perm: access.VMSnapshot, status: 202, summary: "Take a snapshot of a VM",
		doc: "The job's result has its id, and what was chosen and why."},
		func(ctx context.Context, in *struct {
			ActParams
			Body SnapshotCreate
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				b := in.Body
				return s.Fleet.TakeSnapshot(ctx, actor(ctx), in.ID, domain.SnapshotSpec{Name: b.Name, Notes: b.Notes, Kind: b.Kind, Memory: b.Memory, Quiesce: b.Quiesce}, key)
			})
		})
	register(s, op{id: "delete-snapshots", method: http.MethodPost, path: base + "/delete", tag: tag, perm: access.VMSnapshot, status: 202, summary: "Delete several snapshots of a VM"},
		func(ctx context.Context, in *struct {
			ActParams
			Body SnapshotBulk
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.DeleteSnapshots(ctx, actor(ctx), in.ID, in.Body.IDs, in.Body.Children, key)
			})
		})
	register(s, op{id: "get-snapshot", method: http.MethodGet, path: base + "/{sid}", tag: tag, perm: access.VMRead, status: 200, summary: "Show a snapshot"},
		func(ctx context.Context, in *SnapshotPath) (*snapshotOutput, error) {
			x, err := s.DB.Snapshot(ctx, in.ID, in.SID)
			if err != nil {
				return nil, err
			}
			return &snapshotOutput{snapshotOf(&x)}, nil
		})
	register(s, op{id: "edit-snapshot", method: http.MethodPatch, path: base + "/{sid}", tag: tag, perm: access.VMSnapshot, status: 200, summary: "Change a snapshot's notes"},
		func(ctx context.Context, in *struct {
			SnapshotPath
			Body SnapshotPatch
		}) (*snapshotOutput, error) {
			x, err := s.Fleet.NoteSnapshot(ctx, actor(ctx), in.ID, in.SID, in.Body.Notes)
			if err != nil {
				return nil, err
			}
			return &snapshotOutput{snapshotOf(&x)}, nil
		})
	register(s, op{id: "delete-snapshot", method: http.MethodDelete, path: base + "/{sid}", tag: tag, perm: access.VMSnapshot, status: 202, summary: "Delete a snapshot",
		doc: "What an external one held apart is merged into the disk; where others need its files it is only forgotten, and the job's result says so. One with children is a conflict until children says what becomes of them."},
		func(ctx context.Context, in *struct {
			SnapshotPath
			ChangeParams
			Children string `query:"children" enum:"keep,delete" doc:"keep: they become its parent's; delete: they go too, with all below them"`
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.DeleteSnapshots(ctx, actor(ctx), in.ID, []string{in.SID}, in.Children, key)
			})
		})
	register(s, op{id: "revert-to-snapshot", method: http.MethodPost, path: base + "/{sid}/revert", tag: tag, perm: access.VMSnapshot, status: 202, summary: "Take a VM back to a snapshot",
		doc: "Disks, definition and, if it was kept, memory become what they were. Unless safety is false, a snapshot of the state now is taken first; its name is the result's safety."},
		func(ctx context.Context, in *struct {
			SnapshotPath
			ChangeParams
			Body *SnapshotRevert
		}) (*changeOutput, error) {
			safety := in.Body == nil || in.Body.Safety == nil || *in.Body.Safety
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.RevertSnapshot(ctx, actor(ctx), in.ID, in.SID, safety, key)
			})
		})
	register(s, op{id: "clone-snapshot", method: http.MethodPost, path: base + "/{sid}/clone", tag: tag, perm: access.VMCreate, status: 202, summary: "Make a VM from a snapshot",
		doc: "A full copy of the VM as it was, without what was in memory; the VM may run meanwhile. One inside the disks' files is copied by way of the server, and a VM that runs on them goes on in overlays until that is done. The job's resource is the copy."},
		func(ctx context.Context, in *struct {
			SnapshotPath
			ChangeParams
			Body VMName
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) {
				return s.Fleet.CloneSnapshot(ctx, actor(ctx), in.ID, in.SID, in.Body.Name, key)
			})
		})
	s.schedules()
}

// SnapshotSchedule takes snapshots by the clock.
type SnapshotSchedule struct {
	ID         string           `json:"id" example:"sched_01k…"`
	Name       string           `json:"name"`
	Tenant     string           `json:"tenant,omitempty" doc:"Whose it is: it takes its VMs only; nothing: the estate's"`
	Enabled    bool             `json:"enabled"`
	VMs        []string         `json:"vms" nullable:"false" doc:"Ids"`
	Tags       []string         `json:"tags" nullable:"false" doc:"And every VM that has one of these"`
	TimeZone   string           `json:"time_zone" example:"Europe/Berlin"`
	Quiesce    bool             `json:"quiesce"`
	Hourly     *domain.TierPlan `json:"hourly,omitempty"`
	Daily      *domain.TierPlan `json:"daily,omitempty"`
	Weekly     *domain.TierPlan `json:"weekly,omitempty"`
	NextRun    *time.Time       `json:"next_run" doc:"null: never"`
	LastRun    *time.Time       `json:"last_run"`
	LastJob    string           `json:"last_job"`
	LastResult string           `json:"last_result" doc:"In words; empty while it runs"`
	CreatedAt  *time.Time       `json:"created_at"`
	Version    int64            `json:"version"`
}

func scheduleOf(s *domain.SnapshotSchedule) SnapshotSchedule {
	out := SnapshotSchedule{
		ID: s.ID, Name: s.Name, Tenant: s.Tenant, Enabled: s.Enabled, VMs: list(s.VMs), Tags: list(s.Tags), TimeZone: s.TimeZone, Quiesce: s.Quiesce, Hourly: s.Hourly, Daily: s.Daily, Weekly: s.Weekly,
		NextRun: when(s.NextAt), LastRun: when(s.LastAt), LastJob: s.LastJob, LastResult: s.LastResult, CreatedAt: when(s.CreatedAt), Version: s.Version,
	}
	if !s.Enabled {
		out.NextRun = nil
	}
	return out
}

// ScheduleWrite is a schedule to be made.
type ScheduleWrite struct {
	Name     string           `json:"name" example:"nightly"`
	Tenant   string           `json:"tenant,omitempty" maxLength:"64" doc:"Whose it is to be; empty: the caller's own tenant's, else the estate's"`
	Enabled  *bool            `json:"enabled,omitempty" doc:"Left out: yes"`
	VMs      []string         `json:"vms,omitempty" maxItems:"1000"`
	Tags     []string         `json:"tags,omitempty" maxItems:"32"`
	TimeZone string           `json:"time_zone,omitempty" doc:"IANA name; left out: UTC" example:"Europe/Berlin"`
	Quiesce  bool             `json:"quiesce,omitempty"`
	Hourly   *domain.TierPlan `json:"hourly,omitempty"`
	Daily    *domain.TierPlan `json:"daily,omitempty"`
	Weekly   *domain.TierPlan `json:"weekly,omitempty"`
}

// SchedulePatch changes what it names.
type SchedulePatch struct {
	Name     *string          `json:"name,omitempty"`
	Enabled  *bool            `json:"enabled,omitempty"`
	VMs      *[]string        `json:"vms,omitempty"`
	Tags     *[]string        `json:"tags,omitempty"`
	TimeZone *string          `json:"time_zone,omitempty"`
	Quiesce  *bool            `json:"quiesce,omitempty"`
	Hourly   *domain.TierPlan `json:"hourly,omitempty" doc:"keep 0 takes the tier out"`
	Daily    *domain.TierPlan `json:"daily,omitempty" doc:"keep 0 takes the tier out"`
	Weekly   *domain.TierPlan `json:"weekly,omitempty" doc:"keep 0 takes the tier out"`
	Version  *int64           `json:"version,omitempty" doc:"The version that the edit is based on"`
}

func (p SchedulePatch) apply(s *domain.SnapshotSchedule) {
	set(&s.Name, p.Name)
	set(&s.Enabled, p.Enabled)
	set(&s.VMs, p.VMs)
	set(&s.Tags, p.Tags)
	set(&s.TimeZone, p.TimeZone)
	set(&s.Quiesce, p.Quiesce)
	for _, t := range []struct {
		to   **domain.TierPlan
		from *domain.TierPlan
	}{{&s.Hourly, p.Hourly}, {&s.Daily, p.Daily}, {&s.Weekly, p.Weekly}} {
		switch {
		case t.from == nil:
		case t.from.Keep == 0:
			*t.to = nil
		default:
			*t.to = t.from
		}
	}
	if p.Version != nil {
		s.Version = *p.Version
	}
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

type SchedulePath struct {
	ID string `path:"id" maxLength:"100" doc:"The schedule's id"`
}

type scheduleOutput struct {
	ETag string `header:"ETag"`
	Body SnapshotSchedule
}

func (s *server) schedules() {
	const tag, base = "Snapshots", "/snapshot-schedules"
	answer := func(x domain.SnapshotSchedule, err error) (*scheduleOutput, error) {
		if err != nil {
			return nil, err
		}
		return &scheduleOutput{etag(x.Version), scheduleOf(&x)}, nil
	}
	register(s, op{id: "list-snapshot-schedules", method: http.MethodGet, path: base, tag: tag, perm: access.VMRead, status: 200, summary: "List snapshot schedules"},
		func(ctx context.Context, in *struct {
			PageQuery
			Sort string `query:"sort" default:"name" enum:"name,-name,next,-next,created,-created" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[SnapshotSchedule] }, error) {
			all, err := s.DB.Schedules(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.SnapshotSchedule]{
				"name":    func(x *domain.SnapshotSchedule) string { return x.Name },
				"next":    func(x *domain.SnapshotSchedule) string { return padded(x.NextAt.UnixMilli()) },
				"created": func(x *domain.SnapshotSchedule) string { return padded(x.CreatedAt.UnixMilli()) },
			}, func(x *domain.SnapshotSchedule) string { return x.ID }, scheduleOf)
			if err != nil {
				return nil, err
			}
			return &struct{ Body Page[SnapshotSchedule] }{page}, nil
		})
	register(s, op{id: "create-snapshot-schedule", method: http.MethodPost, path: base, tag: tag, perm: access.VMSnapshot, status: 201, summary: "Make a snapshot schedule",
		doc: "Only what a schedule made is ever deleted by it. A run that was missed is taken up once."},
		func(ctx context.Context, in *struct{ Body ScheduleWrite }) (*scheduleOutput, error) {
			b := in.Body
			return answer(s.Fleet.PutSchedule(ctx, actor(ctx), domain.SnapshotSchedule{
				Name: b.Name, Tenant: b.Tenant, Enabled: b.Enabled == nil || *b.Enabled, VMs: b.VMs, Tags: b.Tags, TimeZone: b.TimeZone, Quiesce: b.Quiesce, Hourly: b.Hourly, Daily: b.Daily, Weekly: b.Weekly,
			}))
		})
	register(s, op{id: "get-snapshot-schedule", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.VMRead, status: 200, summary: "Show a snapshot schedule"},
		func(ctx context.Context, in *SchedulePath) (*scheduleOutput, error) {
			return answer(s.DB.Schedule(ctx, in.ID))
		})
	register(s, op{id: "edit-snapshot-schedule", method: http.MethodPatch, path: base + "/{id}", tag: tag, perm: access.VMSnapshot, status: 200, summary: "Change a snapshot schedule"},
		func(ctx context.Context, in *struct {
			SchedulePath
			Body SchedulePatch
		}) (*scheduleOutput, error) {
			x, err := s.DB.Schedule(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			in.Body.apply(&x)
			return answer(s.Fleet.PutSchedule(ctx, actor(ctx), x))
		})
	register(s, op{id: "delete-snapshot-schedule", method: http.MethodDelete, path: base + "/{id}", tag: tag, perm: access.VMSnapshot, status: 204, summary: "Delete a snapshot schedule",
		doc: "The snapshots that it made stay."},
		func(ctx context.Context, in *SchedulePath) (*struct{}, error) {
			return nil, s.Fleet.DeleteSchedule(ctx, actor(ctx), in.ID)
		})
	register(s, op{id: "run-snapshot-schedule", method: http.MethodPost, path: base + "/{id}/run", tag: tag, perm: access.VMSnapshot, status: 202, summary: "Run a snapshot schedule now",
		doc: "It counts for the schedule's most frequent rhythm."},
		func(ctx context.Context, in *struct {
			SchedulePath
			ChangeParams
		}) (*changeOutput, error) {
			return s.accepted(ctx, in.ChangeParams, func(key string) (domain.Job, error) { return s.Fleet.RunSchedule(ctx, actor(ctx), in.ID, key) })
		})
}
