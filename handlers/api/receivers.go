package api

import (
	"context"
	"net/http"
	"time"

	"novacron/auth/access"
	"novacron/db/series"
	"novacron/domain"
)

// Silence keeps alerts quiet for a while.
type Silence struct {
	ID        string           `json:"id" example:"sil_1k…"`
	State     string           `json:"state" enum:"pending,active,expired"`
	Matchers  []domain.Matcher `json:"matchers" nullable:"false" doc:"All must choose the alert: op is =, !=, =~ or !~"`
	StartsAt  *time.Time       `json:"starts_at"`
	EndsAt    *time.Time       `json:"ends_at"`
	Comment   string           `json:"comment"`
	CreatedBy string           `json:"created_by"`
	CreatedAt *time.Time       `json:"created_at"`
	Version   int64            `json:"version"`
}

func (s *server) silenceOf(x *domain.Silence) Silence {
	return Silence{ID: x.ID, State: x.State(s.Clock()), Matchers: list(x.Matchers), StartsAt: when(x.StartsAt), EndsAt: when(x.EndsAt), Comment: x.Comment, CreatedBy: x.CreatedBy, CreatedAt: when(x.CreatedAt), Version: x.Version}
}

// SilencePath names a silence.
type SilencePath struct {
	ID string `path:"id" maxLength:"100" doc:"The silence's id"`
}

type silenceOutput struct{ Body Silence }

func (s *server) silences() {
	const tag, base = "Alerts", "/silences"
	register(s, op{id: "list-silences", method: http.MethodGet, path: base, tag: tag, perm: access.AlertRead, status: 200, summary: "List silences"},
		func(ctx context.Context, in *struct {
			PageQuery
			All  bool   `query:"all" doc:"Those too that are over"`
			Sort string `query:"sort" default:"ends" enum:"ends,-ends" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[Silence] }, error) {
			after := s.Clock()
			if in.All {
				after = time.Time{}
			}
			all, err := s.DB.Silences(ctx, after)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.Silence]{"ends": func(x *domain.Silence) string { return padded(x.EndsAt.UnixMilli()) }},
				func(x *domain.Silence) string { return x.ID }, s.silenceOf)
			return &struct{ Body Page[Silence] }{page}, err
		})
	register(s, op{id: "create-silence", method: http.MethodPost, path: base, tag: tag, perm: access.AlertHandle, status: 201, summary: "Silence alerts",
		doc: "They stand and are shown, and nobody is told. Hosts in maintenance need none."},
		func(ctx context.Context, in *struct {
			Body struct {
				Matchers []domain.Matcher `json:"matchers" minItems:"1" maxItems:"50" nullable:"false"`
				StartsAt time.Time        `json:"starts_at,omitempty" doc:"Missing: now"`
				EndsAt   time.Time        `json:"ends_at"`
				Comment  string           `json:"comment" maxLength:"1000"`
			}
		}) (*silenceOutput, error) {
			b := in.Body
			x, err := s.Alerts.PutSilence(ctx, actor(ctx), domain.Silence{Matchers: b.Matchers, StartsAt: b.StartsAt, EndsAt: b.EndsAt, Comment: b.Comment})
			return &silenceOutput{s.silenceOf(&x)}, err
		})
	register(s, op{id: "get-silence", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.AlertRead, status: 200, summary: "Show a silence"},
		func(ctx context.Context, in *SilencePath) (*silenceOutput, error) {
			x, err := s.DB.Silence(ctx, in.ID)
			return &silenceOutput{s.silenceOf(&x)}, err
		})
	register(s, op{id: "delete-silence", method: http.MethodDelete, path: base + "/{id}", tag: tag, perm: access.AlertHandle, status: 204, summary: "End a silence now"},
		func(ctx context.Context, in *SilencePath) (*struct{}, error) {
			_, err := s.Alerts.ExpireSilence(ctx, actor(ctx), in.ID)
			return nil, err
		})
}

// Receiver is somebody or something that is told of alerts.
type Receiver struct {
	ID        string           `json:"id" example:"recv_1k…"`
	Name      string           `json:"name"`
	Kind      string           `json:"kind" enum:"email,webhook,chat"`
	Where     string           `json:"where" doc:"Where messages go to, without secrets"`
	Disabled  bool             `json:"disabled"`
	OnCall    bool             `json:"only_on_call" doc:"Told by escalations alone, as somebody who is on call; matchers and tenant mean nothing then"`
	To        []string         `json:"to" nullable:"false" doc:"Mail addresses"`
	URL       string           `json:"url" doc:"Of a webhook"`
	Secret    string           `json:"secret,omitempty" doc:"What a webhook's calls are signed with: shown once, when it is made"`
	Matchers  []domain.Matcher `json:"matchers" nullable:"false" doc:"Which alerts; empty: all"`
	Tenant    string           `json:"tenant" doc:"Id: only alerts of this tenant"`
	GroupBy   []string         `json:"group_by" nullable:"false" doc:"Labels: alerts with the same values are told together"`
	Wait      string           `json:"wait" doc:"Between two messages about the same group"`
	Repeat    string           `json:"repeat" doc:"After which what still fires is told again; 0s: never"`
	Resolved  bool             `json:"resolved" doc:"Is told too when it is over"`
	CreatedAt *time.Time       `json:"created_at"`
	Version   int64            `json:"version"`
}

func receiverOf(r *domain.Receiver) Receiver {
	return Receiver{ID: r.ID, Name: r.Name, Kind: r.Kind, Where: r.Where(), Disabled: r.Disabled, OnCall: r.OnlyOnCall, To: list(r.To), URL: r.URL, Matchers: list(r.Matchers), Tenant: r.Tenant, GroupBy: list(r.GroupBy), Wait: series.Duration(r.Wait), Repeat: series.Duration(r.Repeat),
		Resolved: r.Resolved, CreatedAt: when(r.CreatedAt), Version: r.Version}
}

// ReceiverWrite is a receiver to be made.
type ReceiverWrite struct {
	Name     string           `json:"name" maxLength:"120"`
	Kind     string           `json:"kind" enum:"email,webhook,chat"`
	To       []string         `json:"to,omitempty" maxItems:"50" nullable:"false"`
	URL      string           `json:"url,omitempty" maxLength:"2000"`
	Secret   string           `json:"secret,omitempty" maxLength:"1000" doc:"What a webhook's calls are signed with; empty: one is made"`
	Address  string           `json:"address,omitempty" maxLength:"2000" doc:"Of a chat, as shoutrrr writes it: slack://, teams://, discord://, telegram://, pagerduty:// or ntfy://"`
	Matchers []domain.Matcher `json:"matchers,omitempty" maxItems:"50" nullable:"false"`
	Tenant   string           `json:"tenant,omitempty" maxLength:"100"`
	GroupBy  []string         `json:"group_by,omitempty" maxItems:"20" nullable:"false" doc:"Missing: alertname and host"`
	Wait     string           `json:"wait,omitempty" maxLength:"20" doc:"Missing: 1m"`
	Repeat   string           `json:"repeat,omitempty" maxLength:"20" doc:"Missing: 4h"`
	Resolved *bool            `json:"resolved,omitempty" doc:"Missing: true"`
	Disabled bool             `json:"disabled,omitempty"`
	OnCall   bool             `json:"only_on_call,omitempty" doc:"Told by escalations alone"`
}

// ReceiverPatch changes what it names.
type ReceiverPatch struct {
	Name     *string           `json:"name,omitempty" maxLength:"120"`
	To       *[]string         `json:"to,omitempty" maxItems:"50" nullable:"false"`
	URL      *string           `json:"url,omitempty" maxLength:"2000"`
	Secret   *string           `json:"secret,omitempty" maxLength:"1000"`
	Address  *string           `json:"address,omitempty" maxLength:"2000"`
	Matchers *[]domain.Matcher `json:"matchers,omitempty" maxItems:"50" nullable:"false"`
	Tenant   *string           `json:"tenant,omitempty" maxLength:"100"`
	GroupBy  *[]string         `json:"group_by,omitempty" maxItems:"20" nullable:"false"`
	Wait     *string           `json:"wait,omitempty" maxLength:"20"`
	Repeat   *string           `json:"repeat,omitempty" maxLength:"20"`
	Resolved *bool             `json:"resolved,omitempty"`
	Disabled *bool             `json:"disabled,omitempty"`
	OnCall   *bool             `json:"only_on_call,omitempty"`
}

// ReceiverPath names a receiver.
type ReceiverPath struct {
	ID string `path:"id" maxLength:"100" doc:"The receiver's id"`
}

type receiverOutput struct{ Body Receiver }

func (s *server) receivers() {
	const tag, base = "Alerts", "/receivers"
	register(s, op{id: "list-receivers", method: http.MethodGet, path: base, tag: tag, perm: access.AlertRead, status: 200, summary: "List who is told of alerts"},
		func(ctx context.Context, in *struct {
			PageQuery
			Sort string `query:"sort" default:"name" enum:"name,-name" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[Receiver] }, error) {
			all, err := s.DB.Receivers(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.Receiver]{"name": func(x *domain.Receiver) string { return x.Name }}, func(x *domain.Receiver) string { return x.ID }, receiverOf)
			return &struct{ Body Page[Receiver] }{page}, err
		})
	register(s, op{id: "create-receiver", method: http.MethodPost, path: base, tag: tag, perm: access.AlertManage, status: 201, summary: "Have somebody told of alerts",
		doc: "A webhook is sent what Alertmanager sends (version 4), signed in X-NovaCron-Signature: t=seconds,v1=HMAC-SHA256 in hex of the seconds, a dot and the body. A message is sent until the other side has taken it, so one may come twice."},
		func(ctx context.Context, in *struct{ Body ReceiverWrite }) (*receiverOutput, error) {
			b := in.Body
			r := domain.Receiver{Name: b.Name, Kind: b.Kind, To: b.To, URL: b.URL, Secret: []byte(b.Secret), Matchers: b.Matchers, Tenant: b.Tenant, GroupBy: b.GroupBy, Wait: time.Minute, Repeat: 4 * time.Hour, Resolved: b.Resolved == nil || *b.Resolved, Disabled: b.Disabled, OnlyOnCall: b.OnCall}
			if b.Kind == domain.ReceiveChat {
				r.Secret = []byte(b.Address)
			}
			if b.GroupBy == nil {
				r.GroupBy = []string{"alertname", "host"}
			}
			var err error
			if b.Wait != "" {
				if r.Wait, err = series.ReadDuration("wait", b.Wait); err != nil {
					return nil, err
				}
			}
			if b.Repeat != "" {
				if r.Repeat, err = series.ReadDuration("repeat", b.Repeat); err != nil {
					return nil, err
				}
			}
			if r, err = s.Alerts.PutReceiver(ctx, actor(ctx), r); err != nil {
				return nil, err
			}
			out := &receiverOutput{receiverOf(&r)}
			if r.Kind == domain.ReceiveWebhook {
				out.Body.Secret = string(r.Secret)
			}
			return out, nil
		})
	register(s, op{id: "get-receiver", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.AlertRead, status: 200, summary: "Show a receiver of alerts"},
		func(ctx context.Context, in *ReceiverPath) (*receiverOutput, error) {
			r, err := s.DB.Receiver(ctx, in.ID)
			return &receiverOutput{receiverOf(&r)}, err
		})
	register(s, op{id: "edit-receiver", method: http.MethodPatch, path: base + "/{id}", tag: tag, perm: access.AlertManage, status: 200, summary: "Change a receiver of alerts"},
		func(ctx context.Context, in *struct {
			ReceiverPath
			Body ReceiverPatch
		}) (*receiverOutput, error) {
			r, err := s.DB.Receiver(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			b := in.Body
			given(&r.Name, b.Name)
			given(&r.To, b.To)
			given(&r.URL, b.URL)
			given(&r.Matchers, b.Matchers)
			given(&r.Tenant, b.Tenant)
			given(&r.GroupBy, b.GroupBy)
			given(&r.Resolved, b.Resolved)
			given(&r.Disabled, b.Disabled)
			given(&r.OnlyOnCall, b.OnCall)
			if b.URL != nil {
				r.Secret = nil // a secret is not used for another place than it was given for
			}
			for _, text := range []*string{b.Secret, b.Address} {
				if text != nil {
					r.Secret = []byte(*text)
				}
			}
			if b.Wait != nil {
				if r.Wait, err = series.ReadDuration("wait", *b.Wait); err != nil {
					return nil, err
				}
			}
			if b.Repeat != nil {
				if r.Repeat, err = series.ReadDuration("repeat", *b.Repeat); err != nil {
					return nil, err
				}
			}
			r, err = s.Alerts.PutReceiver(ctx, actor(ctx), r)
			return &receiverOutput{receiverOf(&r)}, err
		})
	register(s, op{id: "delete-receiver", method: http.MethodDelete, path: base + "/{id}", tag: tag, perm: access.AlertManage, status: 204, summary: "Delete a receiver of alerts"},
		func(ctx context.Context, in *ReceiverPath) (*struct{}, error) {
			return nil, s.Alerts.DeleteReceiver(ctx, actor(ctx), in.ID)
		})
	register(s, op{id: "test-receiver", method: http.MethodPost, path: base + "/{id}/test", tag: tag, perm: access.AlertManage, status: 204, summary: "Send a receiver a test", doc: "Answers when the other side has taken it, or says why it has not."},
		func(ctx context.Context, in *ReceiverPath) (*struct{}, error) {
			return nil, s.Alerts.TestReceiver(ctx, actor(ctx), in.ID)
		})
	register(s, op{id: "list-notifications", method: http.MethodGet, path: "/notifications", tag: tag, perm: access.AlertRead, status: 200, summary: "List what was sent to receivers", doc: "The newest first, at most a thousand."},
		func(ctx context.Context, in *struct {
			PageQuery
			Receiver string `query:"receiver" maxLength:"100" doc:"Only to the receiver with this id"`
			Sort     string `query:"sort" default:"-created" enum:"created,-created" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[Notification] }, error) {
			all, err := s.DB.Notifications(ctx, in.Receiver, 1000)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.Notification]{"created": func(x *domain.Notification) string { return padded(x.CreatedAt.UnixMilli()) }},
				func(x *domain.Notification) string { return x.ID }, notificationOf)
			return &struct{ Body Page[Notification] }{page}, err
		})
}

// Notification is one message to a receiver.
type Notification struct {
	ID         string                   `json:"id" example:"ntf_1k…"`
	ReceiverID string                   `json:"receiver_id"`
	Group      string                   `json:"group" doc:"The labels that the alerts have in common"`
	State      domain.NotificationState `json:"state" enum:"queued,sent,failed"`
	Attempts   int                      `json:"attempts"`
	Error      string                   `json:"error" doc:"Of the last attempt"`
	NextAt     *time.Time               `json:"next_at" doc:"When it is tried again, while it is queued"`
	SentAt     *time.Time               `json:"sent_at"`
	CreatedAt  *time.Time               `json:"created_at"`
	Firing     []string                 `json:"firing" nullable:"false" doc:"Ids of alerts"`
	Resolved   []string                 `json:"resolved" nullable:"false"`
	Why        string                   `json:"why" doc:"Why the receiver is told"`
}

func notificationOf(n *domain.Notification) Notification {
	return Notification{ID: n.ID, ReceiverID: n.ReceiverID, Group: n.Group, State: n.State, Attempts: n.Attempts, Error: n.Error, NextAt: when(n.NextAt), SentAt: when(n.SentAt), CreatedAt: when(n.CreatedAt), Firing: list(n.Firing), Resolved: list(n.Resolved), Why: n.Why}
}

// Incident is what belongs together of alerts that began together.
type Incident struct {
	ID        string          `json:"id" example:"inc_1k…"`
	Title     string          `json:"title"`
	Cause     string          `json:"cause" doc:"The probable one"`
	CauseID   string          `json:"cause_id" doc:"The alert or the task that it is"`
	Open      bool            `json:"open" doc:"Something of it fires still"`
	Tenant    string          `json:"tenant"`
	HostIDs   []string        `json:"host_ids" nullable:"false"`
	VMIDs     []string        `json:"vm_ids" nullable:"false"`
	Alerts    int             `json:"alerts"`
	StartedAt *time.Time      `json:"started_at"`
	EndedAt   *time.Time      `json:"ended_at"`
	Line      []IncidentEntry `json:"time_line,omitempty" doc:"What happened to all that is connected, from ten minutes before; of one incident only"`
}

// IncidentEntry is something on an incident's time line.
type IncidentEntry struct {
	At       *time.Time `json:"at"`
	Kind     string     `json:"kind" doc:"The event's, such as alert.firing, job.changed or host.changed"`
	Resource domain.Ref `json:"resource"`
	Actor    string     `json:"actor"`
	Message  string     `json:"message"`
}

func incidentOf(x *domain.Incident) Incident {
	return Incident{ID: x.ID, Title: x.Title, Cause: x.Cause, CauseID: x.CauseID, Open: x.EndedAt.IsZero(), Tenant: x.Tenant, HostIDs: list(x.Hosts), VMIDs: list(x.VMs), Alerts: x.Alerts, StartedAt: when(x.StartedAt), EndedAt: when(x.EndedAt)}
}

func (s *server) incidents() {
	const tag, base = "Alerts", "/incidents"
	register(s, op{id: "list-incidents", method: http.MethodGet, path: base, tag: tag, perm: access.AlertRead, status: 200, summary: "List incidents, newest first"},
		func(ctx context.Context, in *struct {
			PageQuery
			Open bool   `query:"open" doc:"Only those that something of fires still"`
			Sort string `query:"sort" default:"-started" enum:"started,-started" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[Incident] }, error) {
			all, err := s.DB.Incidents(ctx, in.Open)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.Incident]{"started": func(x *domain.Incident) string { return padded(x.StartedAt.UnixMilli()) }},
				func(x *domain.Incident) string { return x.ID }, incidentOf)
			return &struct{ Body Page[Incident] }{page}, err
		})
	register(s, op{id: "get-incident", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.AlertRead, status: 200, summary: "Show an incident with its time line"},
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"100" doc:"The incident's id"`
		}) (*struct{ Body Incident }, error) {
			x, err := s.DB.Incident(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			out := incidentOf(&x)
			evs, err := s.DB.TimeLine(ctx, x)
			out.Line = []IncidentEntry{}
			for _, e := range evs {
				out.Line = append(out.Line, IncidentEntry{when(e.At), e.Kind, e.Resource, e.Actor, e.Message})
			}
			return &struct{ Body Incident }{out}, err
		})
}
