package handlers

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/domain"
	"novacron/views/account"
	"novacron/views/layout"
	"novacron/views/live"
)

// flowCookie keeps a sign-in at a provider, sealed, in the browser that began it: nobody else's can finish it.
const flowCookie = "novacron_flow"

func (s *server) beginFlow(c echo.Context, f auth.Flow) (to string, err error) {
	f.Redirect = s.origin(c) + live.SSOBack(f.Provider)
	to, sealed, err := s.Auth.BeginFlow(c.Request().Context(), f)
	if err != nil {
		return "", err
	}
	c.SetCookie(s.cookie(c, flowCookie, sealed, 10*time.Minute))
	return to, nil
}

// ssoBegin sends the browser to a provider.
func (s *server) ssoBegin(c echo.Context) error {
	next := safeNext(c.QueryParam("next"))
	to, err := s.beginFlow(c, auth.Flow{Provider: c.Param("id"), Next: next, Again: c.QueryParam("again") == "1"})
	if err != nil {
		return s.ssoRefused(c, next, err)
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// ssoBack takes what the provider says.
func (s *server) ssoBack(c echo.Context) error {
	ctx, sealed := c.Request().Context(), ""
	if ck, err := c.Cookie(flowCookie); err == nil {
		sealed = ck.Value
	}
	c.SetCookie(s.cookie(c, flowCookie, "", -1))
	in, err := s.Auth.EndFlow(ctx, c.Param("id"), sealed, c.QueryParam("state"), c.QueryParam("code"), c.QueryParam("error"), c.RealIP(), subject(c))
	if err != nil {
		if subject(c).Known() {
			return s.sayOrFail(c, live.Account, err)
		}
		return s.ssoRefused(c, "", err)
	}
	next := safeNext(in.Next)
	if in.Linked {
		return s.moveSaying(c, live.Account, layout.Toast{Tone: layout.ToneSuccess, Text: "The account was linked."})
	}
	return s.enter(c, in.User, in.Proof, in.Second, next)
}

func (s *server) ssoRefused(c echo.Context, next string, err error) error {
	code := domain.CodeOf(err)
	if code == domain.Internal || code == domain.NotFound {
		return err
	}
	if code == domain.Unauthenticated || code == domain.Unavailable || code == domain.Denied {
		s.logError(c.Request().Context(), err, "a sign-in through a provider was refused")
	}
	e := problem(err)
	return s.showSignIn(c, statusOf(err), account.SignIn{Next: next, Err: strings.TrimSpace(e.Msg + " " + e.Fix)})
}

// enter signs somebody in who has shown the first proof, or asks for the second.
func (s *server) enter(c echo.Context, u domain.User, proof string, second bool, next string) error {
	ctx := c.Request().Context()
	owes := false
	if !second {
		var err error
		if owes, err = s.Auth.NeedsFactor(ctx, u.ID); err != nil {
			return err
		}
	}
	if owes {
		if err := s.Auth.HalfSession(ctx, u, proof); err != nil {
			return err
		}
		if err := s.Auth.CommitSession(ctx, c.Response().Writer); err != nil {
			return err
		}
		return s.move(c, withNext(live.SignInCode, next))
	}
	if err := s.Auth.BeginProven(ctx, u, proof, second); err != nil {
		return err
	}
	return s.signedIn(c, u, next)
}

// linkBegin answers with a page whose link leads to the provider: a form may not lead to another site.
func (s *server) linkBegin(c echo.Context) error {
	ctx, sub := c.Request().Context(), subject(c)
	if err := s.Auth.Reassure(ctx, sub, c.FormValue("password")); err != nil {
		return s.sayOrFail(c, live.Account, err)
	}
	x, err := s.DB.Provider(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	if x.Kind == domain.ProviderLDAP {
		if err := s.Auth.LinkDirectory(ctx, sub, x.ID, c.FormValue("directory_name"), c.FormValue("directory_password"), c.RealIP()); err != nil {
			return s.sayOrFail(c, live.Account, err)
		}
		return s.moveSaying(c, live.Account, layout.Toast{Tone: layout.ToneSuccess, Text: "The account was linked."})
	}
	to, err := s.beginFlow(c, auth.Flow{Provider: x.ID, Link: sub.UserID})
	if err != nil {
		return s.sayOrFail(c, live.Account, err)
	}
	return s.render(c, http.StatusOK, account.LinkPage(account.Link{Name: x.Name, URL: to}))
}

func (s *server) unlink(c echo.Context) error {
	err := s.Auth.Reassure(c.Request().Context(), subject(c), c.FormValue("password"))
	if err == nil {
		err = s.Auth.Unlink(c.Request().Context(), subject(c), c.Param("id"))
	}
	if err != nil {
		return s.sayOrFail(c, live.Account, err)
	}
	return s.moveSaying(c, live.Account, layout.Toast{Tone: layout.ToneSuccess, Text: "The link was taken away."})
}

func (s *server) invitePage(c echo.Context) error {
	u, err := s.Auth.Invited(c.Request().Context(), c.Param("secret"))
	if err != nil {
		return err
	}
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	return s.render(c, http.StatusOK, account.InvitePage(account.Invite{UserName: u.Name, Secret: c.Param("secret")}))
}

func (s *server) inviteAccept(c echo.Context) error {
	ctx, secret, fresh := c.Request().Context(), c.Param("secret"), c.FormValue("password")
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	var u domain.User
	var err error
	if fresh != c.FormValue("again") {
		if u, err = s.Auth.Invited(ctx, secret); err == nil {
			err = domain.InvalidField("again", "The two passwords differ.", "the same password twice")
		}
	} else {
		u, err = s.Auth.AcceptInvite(ctx, secret, fresh)
	}
	if err != nil {
		if domain.CodeOf(err) != domain.Invalid {
			return err
		}
		return s.render(c, statusOf(err), account.InvitePage(account.Invite{UserName: u.Name, Secret: secret, Err: problem(err)}))
	}
	return s.enter(c, u, auth.ProofPassword, false, "")
}
