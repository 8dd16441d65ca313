package handlers

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/domain"
	"novacron/views/account"
	"novacron/views/live"
)

// passkeyAsk begins: the page's script gives the options to the browser and sends its answer with the state in a form.
func (s *server) passkeyAsk(c echo.Context) error {
	ctx, what, userID := c.Request().Context(), c.FormValue("what"), ""
	switch what {
	case auth.PasskeyAlone:
	case auth.PasskeySecond:
		u, ok, err := s.Auth.Half(ctx)
		if err != nil {
			return err
		}
		if !ok {
			return domain.Errorf(domain.Unauthenticated, "The first step took too long.").WithFix("Sign in again.")
		}
		userID = u.ID
	case auth.PasskeyAdd, auth.PasskeySure:
		sub := subject(c)
		if sub.UserID == "" || sub.MustChange {
			return domain.Errorf(domain.Unauthenticated, "You are not signed in.").WithFix("Sign in first.")
		}
		userID = sub.UserID
	default:
		return domain.InvalidField("what", "That is nothing a passkey is asked for.", "add, second, sure or alone")
	}
	options, state, err := s.Auth.AskPasskey(ctx, s.origin(c), what, userID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Options any    `json:"options"`
		State   string `json:"state"`
	}{options, state})
}

// signInPasskey is a passkey as the second step, or instead of everything else.
func (s *server) signInPasskey(c echo.Context) error {
	ctx, next, what := c.Request().Context(), safeNext(c.FormValue("next")), c.FormValue("what")
	var half domain.User
	if what == auth.PasskeySecond {
		u, ok, err := s.Auth.Half(ctx)
		if err != nil {
			return err
		}
		if !ok {
			return s.move(c, live.SignInThen(orHome(next)))
		}
		half = u
	} else if strict, err := s.Auth.SignInPolicy(ctx); err != nil {
		return err
	} else if what = auth.PasskeyAlone; strict.LocalOff {
		return domain.Errorf(domain.Denied, "Passkeys alone do not let in here.").WithFix("Sign in through one of the identity providers.")
	}
	u, _, err := s.Auth.CheckPasskey(ctx, s.origin(c), what, half.ID, c.FormValue("state"), []byte(c.FormValue("credential")))
	if err != nil {
		if domain.CodeOf(err) == domain.Internal {
			return err
		}
		e := problem(err)
		said := strings.TrimSpace(e.Msg + " " + e.Fix)
		if what == auth.PasskeySecond {
			return s.showCode(c, statusOf(err), half, next, said)
		}
		return s.showSignIn(c, statusOf(err), account.SignIn{Next: next, Err: said})
	}
	if what == auth.PasskeySecond {
		err = s.Auth.FinishSession(ctx, u, auth.FactorPasskey)
	} else if err = s.Auth.SignedInAs(ctx, u, "a passkey", c.RealIP()); err == nil {
		err = s.Auth.BeginProven(ctx, u, auth.ProofPasskey, true)
	}
	if err != nil {
		return err
	}
	return s.signedIn(c, u, next)
}

func (s *server) passkeyAdd(c echo.Context) error {
	name, state, answer := c.FormValue("name"), c.FormValue("state"), c.FormValue("credential")
	return s.factorAdded(c, func() ([]string, error) {
		return s.Auth.AddPasskey(c.Request().Context(), subject(c), s.origin(c), name, state, []byte(answer))
	}, func(m *account.MFA, e *domain.Error) { m.KeyName, m.KeyErr = name, e }, "")
}
