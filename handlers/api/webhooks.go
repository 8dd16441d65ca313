package api

import (
	"context"
	"net/http"
	"time"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// Webhook is another system that is sent what happens.
type Webhook struct {
	ID        string     `json:"id" example:"hook_01k2"`
	Name      string     `json:"name" example:"ci"`
	URL       string     `json:"url" example:"https://ci.example.org/hook"`
	Kinds     []string   `json:"kinds" nullable:"false" doc:"Kinds of events, such as vm.changed or vm.*; none: all"`
	Object    string     `json:"object" doc:"Only events of the thing with this id"`
	Tenant    string     `json:"tenant" doc:"Only events of the tenant with this id"`
	Disabled  bool       `json:"disabled" doc:"What happens meanwhile is not sent later"`
	Secret    string     `json:"secret,omitempty" doc:"What the calls are signed with: shown once, when it is made or replaced"`
	Queued    int        `json:"queued" doc:"Deliveries that are still to be made"`
	Dead      int        `json:"dead" doc:"Deliveries that were given up"`
	CreatedAt *time.Time `json:"created_at"`
	Version   int64      `json:"version"`
}

func webhookOf(w *domain.Webhook, n map[domain.DeliveryState]int) Webhook {
	return Webhook{ID: w.ID, Name: w.Name, URL: w.URL, Kinds: list(w.Kinds), Object: w.Object, Tenant: w.Tenant, Disabled: w.Disabled, Queued: n[domain.DeliveryQueued], Dead: n[domain.DeliveryDead],
		CreatedAt: when(w.CreatedAt), Version: w.Version}
}

// WebhookWrite is a webhook to be made.
type WebhookWrite struct {
	Name     string   `json:"name" maxLength:"120" example:"ci"`
	URL      string   `json:"url" maxLength:"2000" example:"https://ci.example.org/hook"`
	Kinds    []string `json:"kinds,omitempty" maxItems:"100" nullable:"false" doc:"Missing: all"`
	Object   string   `json:"object,omitempty" maxLength:"64"`
	Tenant   string   `json:"tenant,omitempty" maxLength:"64" doc:"Id or name"`
	Secret   string   `json:"secret,omitempty" maxLength:"200" doc:"whsec_ and base64; missing: one is made"`
	Disabled bool     `json:"disabled,omitempty"`
}

// WebhookEdit changes what it names.
type WebhookEdit struct {
	Name     *string   `json:"name,omitempty" maxLength:"120"`
	URL      *string   `json:"url,omitempty" maxLength:"2000" doc:"With it goes a new secret"`
	Kinds    *[]string `json:"kinds,omitempty" maxItems:"100" nullable:"false"`
	Object   *string   `json:"object,omitempty" maxLength:"64"`
	Tenant   *string   `json:"tenant,omitempty" maxLength:"64"`
	Secret   *string   `json:"secret,omitempty" maxLength:"200"`
	Disabled *bool     `json:"disabled,omitempty"`
}

// Delivery is one event on its way to a webhook.
type Delivery struct {
	ID        string               `json:"id" doc:"Also the header webhook-id of the call, every time the same" example:"dlv_01k2"`
	EventID   string               `json:"event_id" example:"4711"`
	Kind      string               `json:"kind" example:"vm.changed"`
	State     domain.DeliveryState `json:"state" enum:"queued,sent,dead" doc:"dead: it was tried for a day"`
	Attempts  int                  `json:"attempts"`
	Status    int                  `json:"status" doc:"Of the last answer; 0: there was none"`
	Error     string               `json:"error" doc:"Of the last attempt"`
	NextAt    *time.Time           `json:"next_at" doc:"When it is tried next, while it is queued"`
	SentAt    *time.Time           `json:"sent_at"`
	CreatedAt *time.Time           `json:"created_at"`
	Event     domain.CloudEvent    `json:"event" doc:"What is sent"`
}

func (s *server) deliveryOf(v *domain.Delivery) Delivery {
	ev := domain.CloudEventOf(v.Event, s.Site)
	out := Delivery{ID: v.ID, EventID: ev.ID, Kind: v.Kind, State: v.State, Attempts: v.Attempts, Status: v.Status, Error: v.Error, SentAt: when(v.SentAt), CreatedAt: when(v.CreatedAt), Event: ev}
	if v.State == domain.DeliveryQueued {
		out.NextAt = when(v.NextAt)
	}
	return out
}

// WebhookPath names a webhook.
type WebhookPath struct {
	ID string `path:"id" maxLength:"64" doc:"The webhook's id"`
}

type webhookOutput struct{ Body Webhook }

func (s *server) webhooks() {
	const tag, base = "Webhooks", "/webhooks"
	answer := func(ctx context.Context, w domain.Webhook) (*webhookOutput, error) {
		n, err := s.DB.CountDeliveries(ctx)
		return &webhookOutput{webhookOf(&w, n[w.ID])}, err
	}
	register(s, op{id: "list-webhooks", method: http.MethodGet, path: base, tag: tag, perm: access.WebhookManage, status: 200, summary: "List webhooks"},
		func(ctx context.Context, in *struct {
			PageQuery
			Sort string `query:"sort" default:"name" enum:"name,-name" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[Webhook] }, error) {
			all, err := s.DB.Webhooks(ctx)
			if err != nil {
				return nil, err
			}
			n, err := s.DB.CountDeliveries(ctx)
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.Webhook]{"name": func(w *domain.Webhook) string { return w.Name }}, func(w *domain.Webhook) string { return w.ID },
				func(w *domain.Webhook) Webhook { return webhookOf(w, n[w.ID]) })
			return &struct{ Body Page[Webhook] }{page}, err
		})
	register(s, op{id: "create-webhook", method: http.MethodPost, path: base, tag: tag, perm: access.WebhookManage, status: 201, summary: "Have events sent to another system",
		doc: "Each event is posted as a CloudEvent in JSON, in the manner of Standard Webhooks: webhook-id, webhook-timestamp, and webhook-signature: v1, and HMAC-SHA256 in base64 of id, timestamp and body with dots between them. " +
			"What is not answered with 2xx in 10 s is tried again for a day, so an event may come twice, with the same id. Redirects are not followed."},
		func(ctx context.Context, in *struct{ Body WebhookWrite }) (*webhookOutput, error) {
			b := in.Body
			w := domain.Webhook{Name: b.Name, URL: b.URL, Kinds: b.Kinds, Object: b.Object, Tenant: b.Tenant, Disabled: b.Disabled}
			var err error
			if b.Secret != "" {
				if w.Secret, err = domain.ParseWebhookSecret("secret", b.Secret); err != nil {
					return nil, err
				}
			}
			if w, err = s.Webhooks.Put(ctx, actor(ctx), w); err != nil {
				return nil, err
			}
			out, err := answer(ctx, w)
			out.Body.Secret = domain.WebhookSecretText(w.Secret)
			return out, err
		})
	register(s, op{id: "get-webhook", method: http.MethodGet, path: base + "/{id}", tag: tag, perm: access.WebhookManage, status: 200, summary: "Show a webhook"},
		func(ctx context.Context, in *WebhookPath) (*webhookOutput, error) {
			w, err := s.DB.Webhook(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			return answer(ctx, w)
		})
	register(s, op{id: "edit-webhook", method: http.MethodPatch, path: base + "/{id}", tag: tag, perm: access.WebhookManage, status: 200, summary: "Change a webhook"},
		func(ctx context.Context, in *struct {
			WebhookPath
			Body WebhookEdit
		}) (*webhookOutput, error) {
			w, err := s.DB.Webhook(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			b, was := in.Body, string(w.Secret)
			given(&w.Name, b.Name)
			given(&w.Kinds, b.Kinds)
			given(&w.Object, b.Object)
			given(&w.Tenant, b.Tenant)
			given(&w.Disabled, b.Disabled)
			if b.URL != nil && *b.URL != w.URL {
				w.URL, w.Secret = *b.URL, nil // a secret is not used for another place than it was given for
			}
			if b.Secret != nil {
				if w.Secret, err = domain.ParseWebhookSecret("secret", *b.Secret); err != nil {
					return nil, err
				}
			}
			if w, err = s.Webhooks.Put(ctx, actor(ctx), w); err != nil {
				return nil, err
			}
			out, err := answer(ctx, w)
			if string(w.Secret) != was {
				out.Body.Secret = domain.WebhookSecretText(w.Secret)
			}
			return out, err
		})
	register(s, op{id: "delete-webhook", method: http.MethodDelete, path: base + "/{id}", tag: tag, perm: access.WebhookManage, status: 204, summary: "Delete a webhook"},
		func(ctx context.Context, in *WebhookPath) (*struct{}, error) {
			return nil, s.Webhooks.Delete(ctx, actor(ctx), in.ID)
		})
	register(s, op{id: "test-webhook", method: http.MethodPost, path: base + "/{id}/test", tag: tag, perm: access.WebhookManage, status: 204, summary: "Send a webhook a test",
		doc: "Answers when the other side has taken it, or says why it has not."},
		func(ctx context.Context, in *WebhookPath) (*struct{}, error) {
			return nil, s.Webhooks.Test(ctx, actor(ctx), in.ID)
		})
	register(s, op{id: "list-deliveries", method: http.MethodGet, path: base + "/{id}/deliveries", tag: tag, perm: access.WebhookManage, status: 200, summary: "List what was sent to a webhook",
		doc: "The newest first, at most a thousand. What was taken is kept for a week, what was given up (dead) for a month."},
		func(ctx context.Context, in *struct {
			WebhookPath
			PageQuery
			State string `query:"state" enum:"queued,sent,dead" doc:"Only those in this state"`
			Sort  string `query:"sort" default:"-created" enum:"created,-created" doc:"Order; a minus turns it round"`
		}) (*struct{ Body Page[Delivery] }, error) {
			if _, err := s.DB.Webhook(ctx, in.ID); err != nil {
				return nil, err
			}
			all, err := s.DB.Deliveries(ctx, db.DeliveryQuery{Webhook: in.ID, State: domain.DeliveryState(in.State), Limit: 1000})
			if err != nil {
				return nil, err
			}
			page, err := paged(all, in.PageQuery, in.Sort, sortKeys[domain.Delivery]{"created": func(v *domain.Delivery) string { return v.ID }}, func(v *domain.Delivery) string { return v.ID }, s.deliveryOf)
			return &struct{ Body Page[Delivery] }{page}, err
		})
	register(s, op{id: "redeliver", method: http.MethodPost, path: base + "/{id}/deliveries/{delivery}/redeliver", tag: tag, perm: access.WebhookManage, status: 200, summary: "Send an event to a webhook again"},
		func(ctx context.Context, in *struct {
			WebhookPath
			Delivery string `path:"delivery" maxLength:"64" doc:"The delivery's id"`
		}) (*struct{ Body Delivery }, error) {
			v, err := s.Webhooks.Redeliver(ctx, actor(ctx), in.ID, in.Delivery)
			return &struct{ Body Delivery }{s.deliveryOf(&v)}, err
		})
}
