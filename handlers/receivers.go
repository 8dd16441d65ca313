package handlers

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/db/series"
	"novacron/domain"
	"novacron/views/alerts"
	"novacron/views/layout"
	"novacron/views/live"
)

func (s *server) silenceList(c echo.Context) error {
	all, err := s.DB.Silences(c.Request().Context(), s.Clock().Add(-keptSilences))
	if err != nil {
		return err
	}
	sh, err := s.alertShell(c, "Alerts", "", 0)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, alerts.SilencesPage(sh, alerts.Silences{Items: all}))
}

func (s *server) silenceNew(c echo.Context) error {
	m := alerts.SilenceForm{Lasts: "2h"}
	if id := c.QueryParam("alert"); id != "" {
		a, err := s.DB.Alert(c.Request().Context(), id)
		if err != nil {
			return err
		}
		var of []domain.Matcher
		for _, name := range []string{"alertname", "host", "vm", "pool", "disk", "receiver", "kind"} {
			if v := a.Labels[name]; v != "" {
				of = append(of, domain.Matcher{Name: name, Op: "=", Value: v})
			}
		}
		m.Matchers = domain.MatchersText(of)
	}
	return s.askSilence(c, http.StatusOK, m)
}

func (s *server) askSilence(c echo.Context, status int, m alerts.SilenceForm) error {
	sh, err := s.alertShell(c, "New silence", "", 0)
	if err != nil {
		return err
	}
	return s.render(c, status, alerts.SilencePage(sh, m))
}

func (s *server) silenceMake(c echo.Context) error {
	m := alerts.SilenceForm{Matchers: c.FormValue("matchers"), Lasts: c.FormValue("lasts"), Comment: c.FormValue("comment")}
	of, err := domain.ParseMatchers("matchers", m.Matchers)
	if err == nil {
		lasts, bad := series.ReadDuration("lasts", m.Lasts)
		if err = bad; err == nil {
			now := s.Clock().UTC()
			_, err = s.Alerts.PutSilence(c.Request().Context(), subject(c).Actor(), domain.Silence{Matchers: of, StartsAt: now, EndsAt: now.Add(lasts), Comment: strings.TrimSpace(m.Comment)})
		}
	}
	if err == nil {
		return s.moveSaying(c, live.Silences, layout.Toast{Tone: layout.ToneSuccess, Text: "The alerts are silenced with the next evaluation."})
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	m.Err = problem(err)
	return s.askSilence(c, statusOf(err), m)
}

func (s *server) silenceEnd(c echo.Context) error {
	if _, err := s.Alerts.ExpireSilence(c.Request().Context(), subject(c).Actor(), c.Param("id")); err != nil {
		return s.sayOrFail(c, live.Silences, err)
	}
	return s.moveSaying(c, live.Silences, layout.Toast{Tone: layout.ToneSuccess, Text: "The silence was ended."})
}

func (s *server) receiverList(c echo.Context) error {
	ctx := c.Request().Context()
	m := alerts.Receivers{Last: map[string]domain.Notification{}, Mails: s.Auth.Mails()}
	var err error
	if m.Items, err = s.DB.Receivers(ctx); err != nil {
		return err
	}
	for _, r := range m.Items {
		last, err := s.DB.Notifications(ctx, r.ID, 1)
		if err != nil {
			return err
		}
		if len(last) > 0 {
			m.Last[r.ID] = last[0]
		}
	}
	sh, err := s.alertShell(c, "Alerts", "", 0)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, alerts.ReceiversPage(sh, m))
}

func (s *server) receiverForm(c echo.Context) (err error) {
	m := alerts.ReceiverForm{Groups: "alertname host", Wait: "1m", Repeat: "4h"}
	m.Receiver = domain.Receiver{Kind: cmp.Or(c.QueryParam("kind"), domain.ReceiveMail), Resolved: true}
	if id := c.Param("id"); id != "" {
		if m.Receiver, err = s.DB.Receiver(c.Request().Context(), id); err != nil {
			return err
		}
		r := m.Receiver
		m.To, m.Matchers, m.Groups, m.Wait, m.Repeat = strings.Join(r.To, "\n"), domain.MatchersText(r.Matchers), strings.Join(r.GroupBy, " "), series.Duration(r.Wait), series.Duration(r.Repeat)
	}
	return s.askReceiver(c, http.StatusOK, m)
}

func (s *server) askReceiver(c echo.Context, status int, m alerts.ReceiverForm) (err error) {
	ctx := c.Request().Context()
	m.MayWrite, m.Mails = subject(c).Everywhere(access.AlertManage), s.Auth.Mails()
	if m.Tenants, err = s.DB.Tenants(ctx); err != nil {
		return err
	}
	if m.Receiver.ID != "" {
		if m.Log, err = s.DB.Notifications(ctx, m.Receiver.ID, 100); err != nil {
			return err
		}
	}
	sh, err := s.alertShell(c, cmp.Or(m.Receiver.Name, "New receiver"), "", 0)
	if err != nil {
		return err
	}
	sh.Crumbs = append(sh.Crumbs, layout.Crumb{Label: "Receivers", URL: live.Receivers})
	return s.render(c, status, alerts.ReceiverPage(sh, m))
}

func (s *server) receiverTyped(c echo.Context) (m alerts.ReceiverForm, err error) {
	m = alerts.ReceiverForm{To: c.FormValue("to"), Matchers: c.FormValue("matchers"), Groups: c.FormValue("group_by"), Wait: c.FormValue("wait"), Repeat: c.FormValue("repeat")}
	r := domain.Receiver{ID: c.Param("id"), Name: c.FormValue("name"), Kind: c.FormValue("kind"), To: strings.FieldsFunc(m.To, func(r rune) bool { return r == '\n' || r == '\r' || r == ',' }), URL: strings.TrimSpace(c.FormValue("url")),
		Tenant: c.FormValue("tenant"), GroupBy: strings.FieldsFunc(m.Groups, func(r rune) bool { return r == ' ' || r == ',' }), Resolved: truth(c.FormValue("resolved")), Disabled: truth(c.FormValue("disabled")), OnlyOnCall: truth(c.FormValue("only_on_call"))}
	r.Secret = []byte(strings.TrimSpace(cmp.Or(c.FormValue("secret"), c.FormValue("address"))))
	m.Receiver = r
	if m.Receiver.Version, err = formVersion(c); err != nil {
		return m, err
	}
	if m.Receiver.Matchers, err = domain.ParseMatchers("matchers", m.Matchers); err != nil {
		return m, err
	}
	if m.Receiver.Wait, err = series.ReadDuration("wait", m.Wait); err != nil {
		return m, err
	}
	m.Receiver.Repeat, err = series.ReadDuration("repeat", m.Repeat)
	return m, err
}

func (s *server) receiverSave(c echo.Context) error {
	m, err := s.receiverTyped(c)
	if id := m.Receiver.ID; id != "" {
		old, wrong := s.DB.Receiver(c.Request().Context(), id)
		if wrong != nil {
			return wrong
		}
		m.Receiver.Kind, m.Receiver.Version = old.Kind, cmp.Or(m.Receiver.Version, old.Version)
	}
	if err == nil {
		var r domain.Receiver
		if r, err = s.Alerts.PutReceiver(c.Request().Context(), subject(c).Actor(), m.Receiver); err == nil {
			return s.moveSaying(c, live.Receiver(r.ID), layout.Toast{Tone: layout.ToneSuccess, Text: "The receiver was saved. Send a test to see that messages arrive."})
		}
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	m.Err = problem(err)
	return s.askReceiver(c, statusOf(err), m)
}

func (s *server) receiverAsk(c echo.Context) error {
	r, err := s.DB.Receiver(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	if c.Param("act") != "delete" {
		return echo.ErrNotFound
	}
	sh, err := s.alertShell(c, "Delete "+r.Name, "", 0)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, alerts.AskDelete(sh, "Delete the receiver "+r.Name+"?", "It is told of nothing any more, and what it was sent is forgotten.", live.ReceiverDo(r.ID, "delete"), live.Receiver(r.ID)))
}

func (s *server) receiverAct(c echo.Context) error {
	ctx, id, by := c.Request().Context(), c.Param("id"), subject(c).Actor()
	switch c.Param("act") {
	case "delete":
		if err := s.Alerts.DeleteReceiver(ctx, by, id); err != nil {
			return s.sayOrFail(c, live.Receivers, err)
		}
		return s.moveSaying(c, live.Receivers, layout.Toast{Tone: layout.ToneSuccess, Text: "The receiver was deleted."})
	case "test":
		if err := s.Alerts.TestReceiver(ctx, by, id); err != nil {
			return s.sayOrFail(c, live.Receiver(id), err)
		}
		return s.moveSaying(c, live.Receiver(id), layout.Toast{Tone: layout.ToneSuccess, Text: "The test was taken."})
	}
	return echo.ErrNotFound
}
