package handlers

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/db"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/webhooks"
)

func (s *server) webhookShell(c echo.Context, title string) (layout.Shell, error) {
	p := page{title: title, section: layout.SectionEvents, crumbs: []layout.Crumb{{Label: "Events", URL: live.Events}}}
	if title != "Webhooks" {
		p.crumbs = append(p.crumbs, layout.Crumb{Label: "Webhooks", URL: live.Webhooks})
	}
	return s.shellFor(c, p)
}

func (s *server) webhookList(c echo.Context) (err error) {
	var m webhooks.List
	ctx := c.Request().Context()
	if m.Items, err = s.DB.Webhooks(ctx); err != nil {
		return err
	}
	if m.Count, err = s.DB.CountDeliveries(ctx); err != nil {
		return err
	}
	sh, err := s.webhookShell(c, "Webhooks")
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, webhooks.ListPage(sh, m))
}

// deliveriesShown is the most that a page lists.
const deliveriesShown = 200

func (s *server) webhookForm(c echo.Context) (err error) {
	m := webhooks.Form{}
	if id := c.Param("id"); id != "" {
		if m.Webhook, err = s.DB.Webhook(c.Request().Context(), id); err != nil {
			return err
		}
		m.Kinds = strings.Join(m.Webhook.Kinds, ", ")
	}
	return s.askWebhook(c, http.StatusOK, m)
}

func (s *server) askWebhook(c echo.Context, status int, m webhooks.Form) (err error) {
	ctx := c.Request().Context()
	if m.Tenants, err = s.DB.Tenants(ctx); err != nil {
		return err
	}
	title := "New webhook"
	if m.Webhook.ID != "" {
		title = m.Webhook.Name
		switch state := domain.DeliveryState(c.QueryParam("state")); state {
		case domain.DeliveryQueued, domain.DeliveryDead:
			m.State = string(state)
		}
		if m.Log, err = s.DB.Deliveries(ctx, db.DeliveryQuery{Webhook: m.Webhook.ID, State: domain.DeliveryState(m.State), Limit: deliveriesShown}); err != nil {
			return err
		}
	}
	sh, err := s.webhookShell(c, title)
	if err != nil {
		return err
	}
	return s.render(c, status, webhooks.FormPage(sh, m))
}

func (s *server) webhookTyped(c echo.Context) (m webhooks.Form, err error) {
	m.Kinds = c.FormValue("kinds")
	w := domain.Webhook{ID: c.Param("id"), Name: c.FormValue("name"), URL: strings.TrimSpace(c.FormValue("url")), Object: strings.TrimSpace(c.FormValue("object")), Tenant: c.FormValue("tenant"), Disabled: truth(c.FormValue("disabled"))}
	defer func() { m.Webhook = w }()
	if w.Version, err = formVersion(c); err != nil {
		return m, err
	}
	if w.Kinds, err = domain.ParseKinds("kinds", m.Kinds); err != nil {
		return m, err
	}
	if text := strings.TrimSpace(c.FormValue("secret")); text != "" {
		w.Secret, err = domain.ParseWebhookSecret("secret", text)
	}
	return m, err
}

func (s *server) webhookSave(c echo.Context) error {
	m, err := s.webhookTyped(c)
	var old domain.Webhook
	if id := m.Webhook.ID; id != "" {
		var wrong error
		if old, wrong = s.DB.Webhook(c.Request().Context(), id); wrong != nil {
			return wrong
		}
		if m.Webhook.Version == 0 {
			m.Webhook.Version = old.Version
		}
	}
	if err == nil {
		var w domain.Webhook
		if w, err = s.Webhooks.Put(c.Request().Context(), subject(c).Actor(), m.Webhook); err == nil {
			if string(w.Secret) == string(old.Secret) || len(m.Webhook.Secret) > 0 {
				return s.moveSaying(c, live.Webhook(w.ID), layout.Toast{Tone: layout.ToneSuccess, Text: "The webhook was saved. Send a test to see that events arrive."})
			}
			return s.askWebhook(c, http.StatusOK, webhooks.Form{Webhook: w, Kinds: m.Kinds, Secret: domain.WebhookSecretText(w.Secret)})
		}
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	m.Err = problem(err)
	return s.askWebhook(c, statusOf(err), m)
}

func (s *server) webhookAsk(c echo.Context) error {
	w, err := s.DB.Webhook(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	if c.Param("act") != "delete" {
		return echo.ErrNotFound
	}
	sh, err := s.webhookShell(c, "Delete "+w.Name)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, webhooks.AskDelete(sh, w))
}

func (s *server) webhookAct(c echo.Context) error {
	ctx, id, by := c.Request().Context(), c.Param("id"), subject(c).Actor()
	switch c.Param("act") {
	case "delete":
		if err := s.Webhooks.Delete(ctx, by, id); err != nil {
			return s.sayOrFail(c, live.Webhooks, err)
		}
		return s.moveSaying(c, live.Webhooks, layout.Toast{Tone: layout.ToneSuccess, Text: "The webhook was deleted."})
	case "test":
		if err := s.Webhooks.Test(ctx, by, id); err != nil {
			return s.sayOrFail(c, live.Webhook(id), err)
		}
		return s.moveSaying(c, live.Webhook(id), layout.Toast{Tone: layout.ToneSuccess, Text: "The test was taken."})
	}
	return echo.ErrNotFound
}

func (s *server) webhookRedeliver(c echo.Context) error {
	id := c.Param("id")
	if _, err := s.Webhooks.Redeliver(c.Request().Context(), subject(c).Actor(), id, c.Param("delivery")); err != nil {
		return s.sayOrFail(c, live.Webhook(id), err)
	}
	return s.moveSaying(c, live.Webhook(id), layout.Toast{Tone: layout.ToneSuccess, Text: "The event is sent again."})
}
