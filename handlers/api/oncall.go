package api

import (
	"context"
	"net/http"
	"time"

	"novacron/auth/access"
	"novacron/db/series"
	"novacron/domain"
	"novacron/domain/alerting"
)

// Rota says who is on call.
type Rota struct {
	ID        string         `json:"id" example:"rota_1k…"`
	Name      string         `json:"name"`
	TimeZone  string         `json:"time_zone" example:"Europe/Berlin" doc:"In which the hand-over is meant"`
	HandOver  string         `json:"hand_over" example:"09:00" doc:"Time of day at which one takes over from the other"`
	Days      RotaDays       `json:"days" doc:"Who takes over on a day, for until the hand-over of the next"`
	Overrides []RotaOverride `json:"overrides" nullable:"false" doc:"Who stands in; where two overlap, the one that was made later holds"`
	OnCall    RotaStretch    `json:"on_call" doc:"Now"`
	Next      []RotaStretch  `json:"next" nullable:"false" doc:"The seven days from now"`
	CreatedAt *time.Time     `json:"created_at"`
	Version   int64          `json:"version"`
}

// RotaDays is the week: ids of receivers, empty where nobody is on call.
type RotaDays struct {
	Monday    string `json:"monday,omitempty" maxLength:"100"`
	Tuesday   string `json:"tuesday,omitempty" maxLength:"100"`
	Wednesday string `json:"wednesday,omitempty" maxLength:"100"`
	Thursday  string `json:"thursday,omitempty" maxLength:"100"`
	Friday    string `json:"friday,omitempty" maxLength:"100"`
	Saturday  string `json:"saturday,omitempty" maxLength:"100"`
	Sunday    string `json:"sunday,omitempty" maxLength:"100"`
}

func (d RotaDays) days() [7]string {
	return [7]string{d.Sunday, d.Monday, d.Tuesday, d.Wednesday, d.Thursday, d.Friday, d.Saturday}
}

func rotaDaysOf(d [7]string) RotaDays {
	return RotaDays{Sunday: d[0], Monday: d[1], Tuesday: d[2], Wednesday: d[3], Thursday: d[4], Friday: d[5], Saturday: d[6]}
}

// RotaStretch is a time during which one receiver is on call.
type RotaStretch struct {
	Receiver string     `json:"receiver" doc:"Id; empty: nobody"`
	From     *time.Time `json:"from" doc:"Within a week"`
	To       *time.Time `json:"to"`
	Override string     `json:"override,omitempty" doc:"Id of the override that it comes from"`
}

func rotaStretchOf(s *alerting.Stretch) RotaStretch {
	return RotaStretch{s.Receiver, when(s.From), when(s.To), s.Override}
}

// RotaOverride is somebody who stands in.
type RotaOverride struct {
	ID       string     `json:"id"`
	Receiver string     `json:"receiver" doc:"Id; empty: nobody"`
	From     *time.Time `json:"from"`
	To       *time.Time `json:"to"`
	Note     string     `json:"note"`
	By       string     `json:"by"`
}

func (s *server) rotaOf(r *domain.Rota) Rota {
	now := s.Clock()
	on := alerting.OnCall(r, now)
	out := Rota{ID: r.ID, Name: r.Name, TimeZone: r.TimeZone, HandOver: r.HandOver, Days: rotaDaysOf(r.Days), Overrides: []RotaOverride{}, OnCall: rotaStretchOf(&on), Next: []RotaStretch{}, CreatedAt: when(r.CreatedAt), Version: r.Version}
	for _, o := range r.Overrides {
		out.Overrides = append(out.Overrides, RotaOverride{o.ID, o.Receiver, when(o.From), when(o.To), o.Note, o.By})
	}
	for _, x := range alerting.Stretches(r, now, now.Add(7*24*time.Hour)) {
		out.Next = append(out.Next, rotaStretchOf(&x))
	}
	return out
}

// RotaWrite is a rota to be made.
type RotaWrite struct {
	Name     string   `json:"name" maxLength:"120"`
	TimeZone string   `json:"time_zone" maxLength:"100" example:"Europe/Berlin"`
	HandOver string   `json:"hand_over" maxLength:"5" example:"09:00"`
	Days     RotaDays `json:"days"`
}

// RotaPatch changes what it names.
type RotaPatch struct {
	Name     *string   `json:"name,omitempty" maxLength:"120"`
	TimeZone *string   `json:"time_zone,omitempty" maxLength:"100"`
	HandOver *string   `json:"hand_over,omitempty" maxLength:"5"`
	Days     *RotaDays `json:"days,omitempty" doc:"The whole week"`
}

// RotaPath names a rota.
type RotaPath struct {
	ID string `path:"id" maxLength:"100" doc:"The rota's id"`
}

// rotaOutput carries its version: what it says about now would change with every look.
type rotaOutput struct {
	ETag string `header:"ETag"`
	Body Rota
}

func (s *server) rotas() {
	const tag, base = "Alerts", "/rotas"
	answer := func(r domain.Rota, err error) (*rotaOutput, error) {
		return &rotaOutput{etag(r.Version), s.rotaOf(&r)}, err
	}
	register(s, op{id: "list-rotas", method: http.MethodGet, path: base, tag: tag, perm: access.AlertRead, status: 200, summary: "List rotas, and who is on call"},
		func(ctx context.Context, in *struct {
			PageQuery
			Sort string `query:"sort" default:"name" enum:"name,-name" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[Rota] }, error) {
			all, err := s.DB.Rotas(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.Rota]{"name": func(x *domain.Rota) string { return x.Name }}, func(x *domain.Rota) string { return x.ID }, s.rotaOf)
			return &struct{ Body Page[Rota] }{page}, err
		})
	register(s, op{id: "create-rota", method: http.MethodPost, path: base, tag: tag, perm: access.AlertManage, status: 201, summary: "Make a rota",
		doc: "The hand-over is meant on the clock of the time zone: a day on which that is set lasts 23 or 25 hours."},
		func(ctx context.Context, in *struct{ Body RotaWrite }) (*rotaOutput, error) {
			b := in.Body
			return answer(s.Alerts.PutRota(ctx, actor(ctx), domain.Rota{Name: b.Name, TimeZone: b.TimeZone, HandOver: b.HandOver, Days: b.Days.days()}))
		})
	register(s, op{id: "get-rota", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.AlertRead, status: 200, summary: "Show a rota, and who is on call"},
		func(ctx context.Context, in *RotaPath) (*rotaOutput, error) {
			return answer(s.DB.Rota(ctx, in.ID))
		})
	register(s, op{id: "edit-rota", method: http.MethodPatch, path: base + "/{id}", tag: tag, perm: access.AlertManage, status: 200, summary: "Change a rota"},
		func(ctx context.Context, in *struct {
			RotaPath
			Body RotaPatch
		}) (*rotaOutput, error) {
			r, err := s.DB.Rota(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			given(&r.Name, in.Body.Name)
			given(&r.TimeZone, in.Body.TimeZone)
			given(&r.HandOver, in.Body.HandOver)
			if in.Body.Days != nil {
				r.Days = in.Body.Days.days()
			}
			return answer(s.Alerts.PutRota(ctx, actor(ctx), r))
		})
	register(s, op{id: "delete-rota", method: http.MethodDelete, path: base + "/{id}", tag: tag, perm: access.AlertManage, status: 204, summary: "Delete a rota", doc: "One that an escalation names is refused."},
		func(ctx context.Context, in *RotaPath) (*struct{}, error) {
			return nil, s.Alerts.DeleteRota(ctx, actor(ctx), in.ID)
		})
	register(s, op{id: "create-rota-override", method: http.MethodPost, path: base + "/{id}/overrides", tag: tag, perm: access.AlertManage, status: 201, summary: "Have somebody stand in",
		doc: "Answers with the rota. Where two overlap, the one that was made later holds."},
		func(ctx context.Context, in *struct {
			RotaPath
			Body struct {
				Receiver string    `json:"receiver,omitempty" maxLength:"100" doc:"Id; missing: nobody is on call"`
				From     time.Time `json:"from,omitempty" doc:"Missing: now"`
				To       time.Time `json:"to"`
				Note     string    `json:"note,omitempty" maxLength:"500"`
			}
		}) (*rotaOutput, error) {
			b := in.Body
			if b.From.IsZero() {
				b.From = s.Clock()
			}
			return answer(s.Alerts.StandIn(ctx, actor(ctx), in.ID, domain.RotaOverride{Receiver: b.Receiver, From: b.From, To: b.To, Note: b.Note}))
		})
	register(s, op{id: "delete-rota-override", method: http.MethodDelete, path: base + "/{id}/overrides/{override}", tag: tag, perm: access.AlertManage, status: 204, summary: "Take back that somebody stands in"},
		func(ctx context.Context, in *struct {
			RotaPath
			Override string `path:"override" maxLength:"100" doc:"The override's id"`
		}) (*struct{}, error) {
			_, err := s.Alerts.EndStandIn(ctx, actor(ctx), in.ID, in.Override)
			return nil, err
		})
}

// Escalation has alerts told step by step.
type Escalation struct {
	ID        string           `json:"id" example:"esc_1k…"`
	Name      string           `json:"name"`
	Disabled  bool             `json:"disabled"`
	Matchers  []domain.Matcher `json:"matchers" nullable:"false" doc:"Which alerts; empty: all"`
	Steps     []EscalationStep `json:"steps" nullable:"false"`
	CreatedAt *time.Time       `json:"created_at"`
	Version   int64            `json:"version"`
}

// EscalationStep is one of its steps.
type EscalationStep struct {
	After string `json:"after,omitempty" maxLength:"20" example:"15m" doc:"Since the step before (the first: since the alert fired), if nobody has acknowledged it; missing: at once"`
	To    string `json:"to" maxLength:"100" doc:"Id of a rota or of a receiver"`
}

func escalationOf(e *domain.Escalation) Escalation {
	out := Escalation{ID: e.ID, Name: e.Name, Disabled: e.Disabled, Matchers: list(e.Matchers), Steps: []EscalationStep{}, CreatedAt: when(e.CreatedAt), Version: e.Version}
	for _, s := range e.Steps {
		out.Steps = append(out.Steps, EscalationStep{series.Duration(s.After), s.To})
	}
	return out
}

func stepsOf(in []EscalationStep) (out []domain.EscalationStep, err error) {
	for _, s := range in {
		x := domain.EscalationStep{To: s.To}
		if s.After != "" {
			if x.After, err = series.ReadDuration("steps", s.After); err != nil {
				return nil, err
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// EscalationWrite is an escalation to be made.
type EscalationWrite struct {
	Name     string           `json:"name" maxLength:"120"`
	Disabled bool             `json:"disabled,omitempty"`
	Matchers []domain.Matcher `json:"matchers,omitempty" maxItems:"50" nullable:"false"`
	Steps    []EscalationStep `json:"steps" minItems:"1" maxItems:"10" nullable:"false"`
}

// EscalationPatch changes what it names.
type EscalationPatch struct {
	Name     *string           `json:"name,omitempty" maxLength:"120"`
	Disabled *bool             `json:"disabled,omitempty"`
	Matchers *[]domain.Matcher `json:"matchers,omitempty" maxItems:"50" nullable:"false"`
	Steps    *[]EscalationStep `json:"steps,omitempty" minItems:"1" maxItems:"10" nullable:"false"`
}

// EscalationPath names an escalation.
type EscalationPath struct {
	ID string `path:"id" maxLength:"100" doc:"The escalation's id"`
}

type escalationOutput struct{ Body Escalation }

func (s *server) escalations() {
	const tag, base = "Alerts", "/escalations"
	answer := func(e domain.Escalation, err error) (*escalationOutput, error) {
		return &escalationOutput{escalationOf(&e)}, err
	}
	register(s, op{id: "list-escalations", method: http.MethodGet, path: base, tag: tag, perm: access.AlertRead, status: 200, summary: "List escalations"},
		func(ctx context.Context, in *struct {
			PageQuery
			Sort string `query:"sort" default:"name" enum:"name,-name" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[Escalation] }, error) {
			all, err := s.DB.Escalations(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.Escalation]{"name": func(x *domain.Escalation) string { return x.Name }}, func(x *domain.Escalation) string { return x.ID }, escalationOf)
			return &struct{ Body Page[Escalation] }{page}, err
		})
	register(s, op{id: "create-escalation", method: http.MethodPost, path: base, tag: tag, perm: access.AlertManage, status: 201, summary: "Have alerts told step by step",
		doc: "Each step is told if nobody has acknowledged the alert. A step that reaches nobody is followed by the next at once."},
		func(ctx context.Context, in *struct{ Body EscalationWrite }) (*escalationOutput, error) {
			b := in.Body
			steps, err := stepsOf(b.Steps)
			if err != nil {
				return nil, err
			}
			return answer(s.Alerts.PutEscalation(ctx, actor(ctx), domain.Escalation{Name: b.Name, Disabled: b.Disabled, Matchers: b.Matchers, Steps: steps}))
		})
	register(s, op{id: "get-escalation", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.AlertRead, status: 200, summary: "Show an escalation"},
		func(ctx context.Context, in *EscalationPath) (*escalationOutput, error) {
			return answer(s.DB.Escalation(ctx, in.ID))
		})
	register(s, op{id: "edit-escalation", method: http.MethodPatch, path: base + "/{id}", tag: tag, perm: access.AlertManage, status: 200, summary: "Change an escalation"},
		func(ctx context.Context, in *struct {
			EscalationPath
			Body EscalationPatch
		}) (*escalationOutput, error) {
			e, err := s.DB.Escalation(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			given(&e.Name, in.Body.Name)
			given(&e.Disabled, in.Body.Disabled)
			given(&e.Matchers, in.Body.Matchers)
			if in.Body.Steps != nil {
				if e.Steps, err = stepsOf(*in.Body.Steps); err != nil {
					return nil, err
				}
			}
			return answer(s.Alerts.PutEscalation(ctx, actor(ctx), e))
		})
	register(s, op{id: "delete-escalation", method: http.MethodDelete, path: base + "/{id}", tag: tag, perm: access.AlertManage, status: 204, summary: "Delete an escalation"},
		func(ctx context.Context, in *EscalationPath) (*struct{}, error) {
			return nil, s.Alerts.DeleteEscalation(ctx, actor(ctx), in.ID)
		})
	register(s, op{id: "list-escalated", method: http.MethodGet, path: "/alerts/{id}/escalated", tag: tag, perm: access.AlertRead, status: 200, summary: "List who was told of an alert step by step, and why"},
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"100" doc:"The alert's id"`
		}) (*struct{ Body Escalations }, error) {
			if _, err := s.DB.Alert(ctx, in.ID); err != nil {
				return nil, err
			}
			all, err := s.DB.Escalated(ctx, in.ID)
			out := Escalations{Items: []Escalated{}}
			for _, x := range all {
				out.Items = append(out.Items, Escalated{x.EscalationID, x.Step + 1, x.ReceiverID, when(x.At), x.Why})
			}
			return &struct{ Body Escalations }{out}, err
		})
}

// Escalations is how far an alert has come.
type Escalations struct {
	Items []Escalated `json:"items" nullable:"false"`
}

// Escalated is a step that an alert has reached.
type Escalated struct {
	Escalation string     `json:"escalation" doc:"Id"`
	Step       int        `json:"step" doc:"From 1"`
	Receiver   string     `json:"receiver" doc:"Id; empty: it reached nobody"`
	At         *time.Time `json:"at"`
	Why        string     `json:"why"`
}
