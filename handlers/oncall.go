package handlers

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/db/series"
	"novacron/domain"
	"novacron/domain/alerting"
	"novacron/views/alerts"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/ui"
)

// drawnDays is how many days of a rota are drawn.
const drawnDays = 7

func rotaWeek(r domain.Rota, now time.Time) alerts.RotaWeek {
	of := func(s alerting.Stretch) alerts.Stretch {
		return alerts.Stretch{From: s.From, To: s.To, Receiver: s.Receiver, StandsIn: s.Override != ""}
	}
	out := alerts.RotaWeek{Rota: r, Now: of(alerting.OnCall(&r, now))}
	zone := r.Zone()
	y, m, d := now.In(zone).Date()
	for i := range drawnDays {
		day := alerts.RotaDay{Start: time.Date(y, m, d+i, 0, 0, 0, 0, zone), End: time.Date(y, m, d+i+1, 0, 0, 0, 0, zone)}
		for _, s := range alerting.Stretches(&r, day.Start, day.End) {
			day.Parts = append(day.Parts, of(s))
		}
		out.Week = append(out.Week, day)
	}
	return out
}

// receiverNames gives the receivers, and their names by id.
func (s *server) receiverNames(ctx context.Context) ([]domain.Receiver, map[string]string, error) {
	all, err := s.DB.Receivers(ctx)
	names := map[string]string{}
	for _, r := range all {
		names[r.ID] = r.Name
	}
	return all, names, err
}

func (s *server) onCallPage(c echo.Context) error {
	ctx := c.Request().Context()
	all, names, err := s.receiverNames(ctx)
	if err != nil {
		return err
	}
	m := alerts.OnCall{Names: names, Receives: len(all)}
	rotas, err := s.DB.Rotas(ctx)
	if err != nil {
		return err
	}
	for _, r := range rotas {
		names[r.ID] = "the rota " + r.Name
		m.Rotas = append(m.Rotas, rotaWeek(r, s.Clock()))
	}
	if m.Escalations, err = s.DB.Escalations(ctx); err != nil {
		return err
	}
	sh, err := s.alertShell(c, "Alerts", "", 0)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, alerts.OnCallPage(sh, m))
}

func (s *server) rotaForm(c echo.Context) (err error) {
	m := alerts.RotaForm{}
	m.Rota = domain.Rota{TimeZone: "UTC", HandOver: "09:00"}
	if id := c.Param("id"); id != "" {
		if m.Rota, err = s.DB.Rota(c.Request().Context(), id); err != nil {
			return err
		}
	}
	return s.askRota(c, http.StatusOK, m)
}

func (s *server) askRota(c echo.Context, status int, m alerts.RotaForm) (err error) {
	ctx := c.Request().Context()
	m.MayWrite, m.Now = subject(c).Everywhere(access.AlertManage), s.Clock()
	if m.Receivers, m.Names, err = s.receiverNames(ctx); err != nil {
		return err
	}
	name := ""
	if id := m.Rota.ID; id != "" { // the week as it is kept, not as it is typed
		kept, err := s.DB.Rota(ctx, id)
		if err != nil {
			return err
		}
		typed := m.Rota
		m.RotaWeek, name = rotaWeek(kept, m.Now), kept.Name
		if m.Err != nil {
			typed.Overrides = kept.Overrides
			m.Rota = typed
		}
	}
	sh, err := s.alertShell(c, cmp.Or(name, "New rota"), "", 0)
	if err != nil {
		return err
	}
	sh.Crumbs = append(sh.Crumbs, layout.Crumb{Label: "On call", URL: live.OnCall})
	return s.render(c, status, alerts.RotaPage(sh, m))
}

func (s *server) rotaSave(c echo.Context) error {
	ctx := c.Request().Context()
	m := alerts.RotaForm{}
	r := domain.Rota{ID: c.Param("id"), Name: c.FormValue("name"), TimeZone: strings.TrimSpace(c.FormValue("time_zone")), HandOver: c.FormValue("hand_over")}
	for i, day := range domain.Weekdays {
		r.Days[i] = c.FormValue(day)
	}
	var err error
	if r.Version, err = formVersion(c); err != nil {
		return err
	}
	if r.ID != "" {
		old, err := s.DB.Rota(ctx, r.ID)
		if err != nil {
			return err
		}
		r.Overrides, r.CreatedAt, r.Version = old.Overrides, old.CreatedAt, cmp.Or(r.Version, old.Version)
	}
	var kept domain.Rota
	if kept, err = s.Alerts.PutRota(ctx, subject(c).Actor(), r); err == nil {
		return s.moveSaying(c, live.Rota(kept.ID), layout.Toast{Tone: layout.ToneSuccess, Text: "The rota was saved. An escalation has alerts told to who is on call."})
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	r.ID = c.Param("id")
	m.Rota, m.Err = r, problem(err)
	return s.askRota(c, statusOf(err), m)
}

func (s *server) rotaAsk(c echo.Context) error {
	r, err := s.DB.Rota(c.Request().Context(), c.Param("id"))
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
	return s.render(c, http.StatusOK, alerts.AskDelete(sh, "Delete the rota "+r.Name+"?", "Nobody is on call by it any more. One that an escalation names cannot be deleted.", live.RotaDo(r.ID, "delete"), live.Rota(r.ID)))
}

func (s *server) rotaAct(c echo.Context) error {
	ctx, id, by := c.Request().Context(), c.Param("id"), subject(c).Actor()
	switch c.Param("act") {
	case "delete":
		if err := s.Alerts.DeleteRota(ctx, by, id); err != nil {
			return s.sayOrFail(c, live.Rota(id), err)
		}
		return s.moveSaying(c, live.OnCall, layout.Toast{Tone: layout.ToneSuccess, Text: "The rota was deleted."})
	case "end":
		if _, err := s.Alerts.EndStandIn(ctx, by, id, c.FormValue("override")); err != nil {
			return s.sayOrFail(c, live.Rota(id), err)
		}
		return s.moveSaying(c, live.Rota(id), layout.Toast{Tone: layout.ToneSuccess, Text: "It was taken back."})
	case "stand-in":
		return s.standIn(c, id)
	}
	return echo.ErrNotFound
}

// standIn reads times on the clock of the rota's zone.
func (s *server) standIn(c echo.Context, id string) error {
	ctx := c.Request().Context()
	r, err := s.DB.Rota(ctx, id)
	if err != nil {
		return err
	}
	m := alerts.RotaForm{From: c.FormValue("from"), To: c.FormValue("to"), Receiver: c.FormValue("receiver"), Note: c.FormValue("note")}
	m.Rota = r
	o := domain.RotaOverride{Receiver: m.Receiver, Note: m.Note}
	for _, x := range []struct {
		field, text string
		at          *time.Time
	}{{"from", m.From, &o.From}, {"to", m.To, &o.To}} {
		text := strings.Replace(strings.TrimSpace(x.text), "T", " ", 1)
		if *x.at, err = time.ParseInLocation("2006-01-02 15:04", text, r.Zone()); err != nil {
			err = domain.InvalidField(x.field, "“"+x.text+"” is not a time.", "such as "+s.Clock().In(r.Zone()).Format("2006-01-02 15:04"))
			break
		}
	}
	if err == nil {
		if _, err = s.Alerts.StandIn(ctx, subject(c).Actor(), id, o); err == nil {
			return s.moveSaying(c, live.Rota(id), layout.Toast{Tone: layout.ToneSuccess, Text: "It is noted."})
		}
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	m.StandErr = problem(err)
	return s.askRota(c, statusOf(err), m)
}

// spareSteps is how many empty lines the form of an escalation has beside those that are filled.
const spareSteps = 2

func (s *server) escalationForm(c echo.Context) (err error) {
	m := alerts.EscalationForm{}
	if id := c.Param("id"); id != "" {
		if m.Escalation, err = s.DB.Escalation(c.Request().Context(), id); err != nil {
			return err
		}
		m.Matchers = domain.MatchersText(m.Escalation.Matchers)
		for _, x := range m.Escalation.Steps {
			m.Steps = append(m.Steps, alerts.EscalationStep{After: series.Duration(x.After), To: x.To})
		}
	} else {
		m.Matchers = `severity="critical"`
	}
	return s.askEscalation(c, http.StatusOK, m)
}

func (s *server) askEscalation(c echo.Context, status int, m alerts.EscalationForm) error {
	ctx := c.Request().Context()
	m.MayWrite = subject(c).Everywhere(access.AlertManage)
	rotas, err := s.DB.Rotas(ctx)
	if err != nil {
		return err
	}
	all, _, err := s.receiverNames(ctx)
	if err != nil {
		return err
	}
	m.To = []ui.Option{{Label: "no step"}}
	for _, r := range rotas {
		m.To = append(m.To, ui.Option{Value: r.ID, Label: "who is on call in " + r.Name})
	}
	for _, r := range all {
		m.To = append(m.To, ui.Option{Value: r.ID, Label: r.Name})
	}
	for range spareSteps {
		if len(m.Steps) < domain.MaxSteps {
			m.Steps = append(m.Steps, alerts.EscalationStep{})
		}
	}
	sh, err := s.alertShell(c, cmp.Or(m.Escalation.Name, "New escalation"), "", 0)
	if err != nil {
		return err
	}
	sh.Crumbs = append(sh.Crumbs, layout.Crumb{Label: "On call", URL: live.OnCall})
	return s.render(c, status, alerts.EscalationPage(sh, m))
}

func (s *server) escalationTyped(c echo.Context) (m alerts.EscalationForm, err error) {
	m.Matchers = c.FormValue("matchers")
	m.Escalation = domain.Escalation{ID: c.Param("id"), Name: c.FormValue("name"), Disabled: truth(c.FormValue("disabled"))}
	for i := range domain.MaxSteps {
		x := alerts.EscalationStep{After: strings.TrimSpace(c.FormValue(fmt.Sprintf("after_%d", i))), To: c.FormValue(fmt.Sprintf("to_%d", i))}
		if x.To == "" {
			continue
		}
		m.Steps = append(m.Steps, x)
		after, bad := series.ReadDuration("steps", cmp.Or(x.After, "0s"))
		err = cmp.Or(err, bad)
		m.Escalation.Steps = append(m.Escalation.Steps, domain.EscalationStep{After: after, To: x.To})
	}
	if err != nil {
		return m, err
	}
	if m.Escalation.Version, err = formVersion(c); err != nil {
		return m, err
	}
	m.Escalation.Matchers, err = domain.ParseMatchers("matchers", m.Matchers)
	return m, err
}

func (s *server) escalationSave(c echo.Context) error {
	ctx := c.Request().Context()
	m, err := s.escalationTyped(c)
	if id := m.Escalation.ID; id != "" {
		old, wrong := s.DB.Escalation(ctx, id)
		if wrong != nil {
			return wrong
		}
		m.Escalation.CreatedAt, m.Escalation.Version = old.CreatedAt, cmp.Or(m.Escalation.Version, old.Version)
	}
	if err == nil {
		if _, err = s.Alerts.PutEscalation(ctx, subject(c).Actor(), m.Escalation); err == nil {
			return s.moveSaying(c, live.OnCall, layout.Toast{Tone: layout.ToneSuccess, Text: "The escalation was saved."})
		}
	}
	if domain.CodeOf(err) == domain.Internal {
		return err
	}
	m.Err = problem(err)
	return s.askEscalation(c, statusOf(err), m)
}

func (s *server) escalationAsk(c echo.Context) error {
	e, err := s.DB.Escalation(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	if c.Param("act") != "delete" {
		return echo.ErrNotFound
	}
	sh, err := s.alertShell(c, "Delete "+e.Name, "", 0)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, alerts.AskDelete(sh, "Delete the escalation "+e.Name+"?", "Nobody is told of alerts by it any more.", live.EscalationDo(e.ID, "delete"), live.Escalation(e.ID)))
}

func (s *server) escalationAct(c echo.Context) error {
	if c.Param("act") != "delete" {
		return echo.ErrNotFound
	}
	if err := s.Alerts.DeleteEscalation(c.Request().Context(), subject(c).Actor(), c.Param("id")); err != nil {
		return s.sayOrFail(c, live.OnCall, err)
	}
	return s.moveSaying(c, live.OnCall, layout.Toast{Tone: layout.ToneSuccess, Text: "The escalation was deleted."})
}

// toldOf lists who was told of an alert step by step.
func (s *server) toldOf(ctx context.Context, alert string) ([]alerts.Told, error) {
	steps, err := s.DB.Escalated(ctx, alert)
	if err != nil || len(steps) == 0 {
		return nil, err
	}
	_, names, err := s.receiverNames(ctx)
	var out []alerts.Told
	for _, x := range steps {
		name := names[x.ReceiverID]
		if name == "" && x.ReceiverID != "" {
			name = "somebody who is gone"
		}
		out = append(out, alerts.Told{At: x.At, Receiver: name, Why: x.Why})
	}
	return out, err
}
