package handlers

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/domain"
	"novacron/views/account"
	"novacron/views/layout"
	"novacron/views/live"
)

// codePage asks for the second factor of somebody who gave the right password.
func (s *server) codePage(c echo.Context) error {
	u, ok, err := s.Auth.Half(c.Request().Context())
	if err != nil {
		return err
	}
	next := safeNext(c.QueryParam("next"))
	if !ok {
		return s.move(c, live.SignInThen(orHome(next)))
	}
	return s.showCode(c, http.StatusOK, u, next, "")
}

func (s *server) showCode(c echo.Context, status int, u domain.User, next, wrong string) error {
	all, err := s.Auth.Factors(c.Request().Context(), u.ID)
	if err != nil {
		return err
	}
	m := account.Code{UserName: u.Name, Next: next, Err: wrong}
	for _, f := range all {
		m.App = m.App || f.Kind == auth.FactorTOTP
		m.Passkey = m.Passkey || f.Kind == auth.FactorPasskey
	}
	return s.render(c, status, account.CodePage(m))
}

func (s *server) checkCode(c echo.Context) error {
	ctx, next := c.Request().Context(), safeNext(c.FormValue("next"))
	u, ok, err := s.Auth.Half(ctx)
	if err != nil {
		return err
	}
	if !ok {
		return s.move(c, live.SignInThen(orHome(next)))
	}
	proof, err := s.Auth.CheckCode(ctx, u, c.FormValue("code"))
	if err != nil {
		if domain.CodeOf(err) == domain.Internal {
			return err
		}
		e, status := problem(err), statusOf(err)
		retryAfter(c, status, err)
		return s.showCode(c, status, u, next, strings.TrimSpace(e.Msg+" "+e.Fix))
	}
	if err := s.Auth.FinishSession(ctx, u, proof); err != nil {
		return err
	}
	return s.signedIn(c, u, next)
}

// signedIn sends somebody on who has just signed in.
func (s *server) signedIn(c echo.Context, u domain.User, next string) error {
	if err := s.Auth.CommitSession(c.Request().Context(), c.Response().Writer); err != nil {
		return err
	}
	if u.MustChange {
		return s.move(c, withNext(live.Password, next))
	}
	return s.move(c, orHome(next))
}

func (s *server) mfaPage(c echo.Context) error {
	return s.showMFA(c, http.StatusOK, "", func(*account.MFA) {})
}

func (s *server) showMFA(c echo.Context, status int, secret string, touch func(*account.MFA)) error {
	ctx, sub := c.Request().Context(), subject(c)
	address := auth.TOTPAddress(sub.Name, secret)
	if secret == "" {
		secret, address = auth.NewTOTP(sub.Name)
	}
	m := account.MFA{Secret: secret}
	var err error
	if _, m.Password, err = s.Auth.HasPassword(ctx, sub); err != nil {
		return err
	}
	if m.Picture, err = auth.QR(address); err != nil {
		return err
	}
	if m.Factors, err = s.Auth.Factors(ctx, sub.UserID); err != nil {
		return err
	}
	if m.Left, err = s.Auth.RecoveryCodesLeft(ctx, sub.UserID); err != nil {
		return err
	}
	if sub.Enroll { // sees nothing of the estate yet
		touch(&m)
		sh := s.bareShell(sub)
		sh.Title = "Two-step sign-in"
		return s.render(c, status, account.EnrollPage(sh, m))
	}
	sh, err := s.shellFor(c, page{title: "Two-step sign-in", section: layout.SectionAccount, crumbs: []layout.Crumb{{Label: "Account", URL: live.Account}}})
	if err != nil {
		return err
	}
	touch(&m)
	return s.render(c, status, account.MFAPage(sh, m))
}

// sure asks for the password once more: whoever found a browser open must not change what protects the account.
func (s *server) sure(c echo.Context) error {
	return s.Auth.Reassure(c.Request().Context(), subject(c), c.FormValue("password"))
}

func (s *server) mfaAdd(c echo.Context) error {
	name, secret := c.FormValue("name"), c.FormValue("secret")
	return s.factorAdded(c, func() ([]string, error) {
		return s.Auth.AddTOTP(c.Request().Context(), subject(c), name, secret, c.FormValue("code"))
	}, func(m *account.MFA, e *domain.Error) { m.Name, m.Err = name, e }, secret)
}

// factorAdded adds a second factor after the password was shown once more. The session has shown it then too, and gets a new token.
func (s *server) factorAdded(c echo.Context, add func() ([]string, error), wrong func(*account.MFA, *domain.Error), secret string) error {
	ctx := c.Request().Context()
	err := s.sure(c)
	var codes []string
	if err == nil {
		codes, err = add()
	}
	if err == nil {
		err = s.Auth.MakeSure(ctx, true)
	}
	if err == nil {
		err = s.Auth.CommitSession(ctx, c.Response().Writer)
	}
	switch code := domain.CodeOf(err); {
	case err == nil && len(codes) > 0: // the page is the answer itself, since a redirect would lose them
		return s.showMFA(c, http.StatusOK, "", func(m *account.MFA) { m.Codes = codes })
	case err == nil:
		return s.moveSaying(c, live.Account, layout.Toast{Tone: layout.ToneSuccess, Text: "The second factor was added."})
	case code == domain.Internal:
		return err
	case code == domain.Invalid && problem(err).Fields == nil:
		secret = ""
	}
	return s.showMFA(c, statusOf(err), secret, func(m *account.MFA) { wrong(m, problem(err)) })
}

func (s *server) mfaCodes(c echo.Context) error {
	err := s.sure(c)
	var codes []string
	if err == nil {
		codes, err = s.Auth.NewRecoveryCodes(c.Request().Context(), subject(c))
	}
	if err != nil {
		return s.sayOrFail(c, live.MFA, err)
	}
	return s.showMFA(c, http.StatusOK, "", func(m *account.MFA) { m.Codes = codes })
}

func (s *server) mfaRemove(c echo.Context) error {
	err := s.sure(c)
	if err == nil {
		err = s.Auth.RemoveFactor(c.Request().Context(), subject(c), c.Param("id"))
	}
	if err != nil {
		return s.sayOrFail(c, live.MFA, err)
	}
	return s.moveSaying(c, live.Account, layout.Toast{Tone: layout.ToneSuccess, Text: "The second factor was taken away."})
}

func (s *server) sessionEnd(c echo.Context) error {
	if err := s.Auth.RevokeSession(c.Request().Context(), subject(c), c.Param("id"), subject(c).UserID); err != nil {
		return s.sayOrFail(c, live.Account, err)
	}
	return s.moveSaying(c, live.Account, layout.Toast{Tone: layout.ToneSuccess, Text: "That browser was signed out."})
}

func (s *server) sessionsEnd(c echo.Context) error {
	if err := s.Auth.RevokeOthers(c.Request().Context(), subject(c)); err != nil {
		return s.sayOrFail(c, live.Account, err)
	}
	return s.moveSaying(c, live.Account, layout.Toast{Tone: layout.ToneSuccess, Text: "You are signed out everywhere else."})
}
