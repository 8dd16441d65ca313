package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/views/account"
	"novacron/views/layout"
	"novacron/views/live"
)

func (s *server) signInPage(c echo.Context) error {
	next := safeNext(c.QueryParam("next"))
	if sub := subject(c); sub.Known() {
		return s.move(c, orHome(next))
	}
	m := account.SignIn{Next: next}
	switch {
	case c.QueryParam("out") == "1":
		m.Info = "You have signed out."
	case c.QueryParam("kept") == "1":
		m.Info = "Your session has ended. Sign in again; what you had typed is kept."
	}
	return s.showSignIn(c, http.StatusOK, m)
}

// showSignIn is the sign-in page with the ways that there are now.
func (s *server) showSignIn(c echo.Context, status int, m account.SignIn) error {
	ctx := c.Request().Context()
	m.Version, m.Local = s.Version, true
	strict, err := s.Auth.SignInPolicy(ctx)
	if err != nil {
		return err
	}
	all, err := s.Auth.Providers(ctx)
	if err != nil {
		return err
	}
	m.Passkey, m.Forgot = !strict.LocalOff, !strict.LocalOff && s.Auth.Mails()
	directory := false
	for _, x := range all {
		switch {
		case x.Disabled:
		case x.Kind == domain.ProviderLDAP:
			directory = true
		default:
			m.Ways = append(m.Ways, account.Way{Name: x.Name, URL: withNext(live.SSO(x.ID), m.Next)})
		}
	}
	m.Local = !strict.LocalOff || directory || len(m.Ways) == 0
	return s.render(c, status, account.SignInPage(m))
}

func (s *server) signIn(c echo.Context) error {
	name, next := c.FormValue("name"), safeNext(c.FormValue("next"))
	ctx := c.Request().Context()
	u, proof, err := s.Auth.SignInWith(ctx, name, c.FormValue("password"), c.RealIP())
	if err != nil {
		if code := domain.CodeOf(err); code == domain.Internal {
			return err
		}
		e := problem(err)
		status := statusOf(err)
		retryAfter(c, status, err)
		return s.showSignIn(c, status, account.SignIn{Name: name, Next: next, Err: strings.TrimSpace(e.Msg + " " + e.Fix)})
	}
	return s.enter(c, u, proof, false, next)
}

func (s *server) signOut(c echo.Context) error {
	ctx := c.Request().Context()
	if err := s.Auth.EndSession(ctx); err != nil {
		return err
	}
	if err := s.Auth.CommitSession(ctx, c.Response().Writer); err != nil {
		return err
	}
	return s.move(c, live.SignIn+"?out=1")
}

func (s *server) passwordPage(c echo.Context) error {
	sub := subject(c)
	if !sub.MustChange {
		return s.move(c, live.Account)
	}
	return s.render(c, http.StatusOK, account.PasswordPage(account.Password{UserName: sub.Name, Forced: true, Version: s.Version}))
}

func (s *server) changeForcedPassword(c echo.Context) error {
	sub := subject(c)
	if err := s.newPassword(c); err != nil {
		if domain.CodeOf(err) == domain.Internal {
			return err
		}
		m := account.Password{UserName: sub.Name, Forced: sub.MustChange, Err: problem(err), Version: s.Version}
		return s.render(c, statusOf(err), account.PasswordPage(m))
	}
	return s.moveSaying(c, orHome(safeNext(c.FormValue("next"))), layout.Toast{Tone: layout.ToneSuccess, Text: "Your password was changed."})
}

// newPassword changes the password and gives this session a new token; the person's other sessions end.
func (s *server) newPassword(c echo.Context) error {
	sub, ctx := subject(c), c.Request().Context()
	fresh := c.FormValue("password")
	if fresh != c.FormValue("again") {
		return domain.InvalidField("again", "The two new passwords differ.", "the same password twice")
	}
	u, err := s.Auth.ChangePassword(ctx, sub.UserID, c.FormValue("current"), fresh)
	if err != nil {
		return err
	}
	if err := s.Auth.BeginSession(ctx, u); err != nil {
		return err
	}
	return s.Auth.CommitSession(ctx, c.Response().Writer)
}

// draft is a form that was sent after its session had ended.
type draft struct {
	path   string // the form's page
	values url.Values
}

const (
	draftCookie = "novacron_draft"
	draftMost   = 64 << 10
)

// secrets are fields that are never kept, not even for the time it takes to sign in again.
var secrets = []string{"password", "secret", "code", "credential", "proof_password", "proof_code", "proof_credential", "admin_password", "directory_password", "current", "again", "key", "client_key", "ssh_key", "clientkey", "sshkey", "ClientKey", "SSHKey"}

// sendToSignIn asks to sign in and comes back. A form that arrives without a session is kept under a key that only this browser has, and
// its page shows it again afterwards.
func (s *server) sendToSignIn(c echo.Context) error {
	r := c.Request()
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return s.move(c, live.SignInThen(orHome(safeNext(r.URL.RequestURI()))))
	}
	to := orHome(safeNext(refererPath(r)))
	page, isForm := formPages[c.Path()]
	values, err := c.FormParams()
	if isForm && err == nil {
		if page == "" { // the form is on the page that has the same address
			page = r.URL.Path
		}
		page = strings.ReplaceAll(page, ":id", url.PathEscape(c.Param("id")))
		if kept, size := keepable(values); size <= draftMost {
			c.SetCookie(s.cookie(c, draftCookie, s.drafts.put(draft{page, kept}), time.Hour))
			return s.move(c, live.With(live.SignInThen(page), "kept", "1"))
		}
	}
	return s.move(c, live.SignInThen(to))
}

// formPages are the forms worth keeping: the route that takes them and the page that shows them; "" when both have one address.
var formPages = map[string]string{
	live.VMs:           live.VMNew,
	live.Hosts:         live.HostNew,
	live.HostTry:       live.HostNew,
	live.PatHostEdit:   "",
	live.PatVMRename:   "",
	live.PatVMClone:    "",
	live.PatVMEdit:     "/vms/:id/hardware",
	live.PatCloudInit:  "",
	live.VMNew:         "",
	live.PatVMDescribe: "/vms/:id",
}

// errNotSaved stands beside a form that is shown again after signing in anew.
func errNotSaved() *domain.Error {
	return domain.Errorf(domain.Conflict, "Your session had ended, so this was not saved.").WithFix("Look at it once more and send it again.")
}

func keepable(in url.Values) (out url.Values, size int) {
	out = url.Values{}
	for k, vs := range in {
		if isSecret(k) {
			continue
		}
		for _, v := range vs {
			size += len(k) + len(v)
		}
		out[k] = vs
	}
	return out, size
}

func isSecret(field string) bool {
	field = field[strings.LastIndexByte(field, '.')+1:]
	for _, f := range secrets {
		if strings.EqualFold(field, f) {
			return true
		}
	}
	return false
}

// takeDraft gives back what was typed before the session ended, once; ok is false when there is nothing for this page.
func (s *server) takeDraft(c echo.Context) (url.Values, bool) {
	ck, err := c.Cookie(draftCookie)
	if err != nil || c.Request().Method != http.MethodGet {
		return nil, false
	}
	d, ok := s.drafts.take(ck.Value)
	if !ok {
		c.SetCookie(s.cookie(c, draftCookie, "", -1))
		return nil, false
	}
	if d.path != c.Request().URL.Path { // another page first: keep it for its own
		c.SetCookie(s.cookie(c, draftCookie, s.drafts.put(d), time.Hour))
		return nil, false
	}
	c.SetCookie(s.cookie(c, draftCookie, "", -1))
	return d.values, true
}

func orHome(u string) string {
	if u == "" {
		return live.Home
	}
	return u
}

func withNext(u, next string) string {
	if next == "" {
		return u
	}
	return live.With(u, "next", next)
}
