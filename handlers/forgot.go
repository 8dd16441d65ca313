package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/views/account"
	"novacron/views/live"
	"novacron/views/rights"
)

// forgotPage asks whose password is forgotten, where the server can send mail.
func (s *server) forgotPage(c echo.Context) error {
	if !s.Auth.Mails() {
		return domain.Errorf(domain.NotFound, "This server sends no mail.").WithFix("Ask an administrator for a new password.")
	}
	return s.render(c, http.StatusOK, account.ForgotPage(account.Forgot{Sent: c.QueryParam("sent") == "1"}))
}

// forgotSend says the same whether there is such an account or not.
func (s *server) forgotSend(c echo.Context) error {
	name := c.FormValue("name")
	err := s.Auth.AskReset(c.Request().Context(), name, c.RealIP())
	if err == nil {
		return s.move(c, live.With(live.Forgot, "sent", "1"))
	}
	if code := domain.CodeOf(err); code == domain.Internal || code == domain.NotFound {
		return err
	}
	retryAfter(c, statusOf(err), err)
	return s.render(c, statusOf(err), account.ForgotPage(account.Forgot{Name: name, Err: problem(err)}))
}

// showInvite makes a link that opens an account, shows it this once, and sends it where the account has a mail address.
func (s *server) showInvite(c echo.Context, u domain.User, mfa bool) error {
	ctx, by := c.Request().Context(), subject(c)
	secret, _, err := s.Auth.Invite(ctx, by, u.ID, mfa)
	if err != nil {
		return err
	}
	note := "Give it to them by a safe way. They choose a password with it, once, within three days."
	to, err := s.Auth.MailInvite(ctx, u.ID, secret, by)
	switch {
	case domain.CodeOf(err) == domain.Internal:
		return err
	case err != nil:
		note += " It could not be sent by mail: " + problem(err).Msg
	case to != "":
		note += " It is being sent to " + to + " too."
	}
	return s.showMade(c, rights.Made{Title: "The link is made", What: "The link that opens the account of", Name: u.Name, Secret: s.origin(c) + live.Invite(secret),
		Note: note, Back: live.AccessUser(u.ID), BackLabel: "To the account"})
}

// userReset gives an account another way in: a one-time password, or a link.
func (s *server) userReset(c echo.Context, do, id string) (refused, err error) {
	ctx := c.Request().Context()
	u, err := s.DB.User(ctx, id)
	if err != nil {
		return nil, err
	}
	if do == "invite" {
		return s.refusal(s.showInvite(c, u, false))
	}
	once, err := s.Auth.ResetUser(ctx, subject(c), id, true)
	if err != nil {
		return s.refusal(err)
	}
	return nil, s.showMade(c, rights.Made{Title: "The account is reset", What: "The one-time password of", Name: u.Name, Secret: once,
		Note: "Give it to them by a safe way. They choose their own at the next sign-in.", Back: live.AccessUser(id), BackLabel: "To the account"})
}

// refusal tells what a person can be told in a form from what cannot.
func (s *server) refusal(err error) (refused, other error) {
	if domain.CodeOf(err) == domain.Internal {
		return nil, err
	}
	return err, nil
}
