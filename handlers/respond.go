package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/views/layout"
	"novacron/views/live"
)

// isHTMX reports whether the page's script asks, so that the answer is a part instead of a redirect.
func isHTMX(c echo.Context) bool { return c.Request().Header.Get("HX-Request") == "true" }

func (s *server) toast(c echo.Context, status int, t layout.Toast) error {
	return s.render(c, status, layout.ToastPartial(t))
}

// move sends the browser to another page after something was done.
func (s *server) move(c echo.Context, to string) error {
	if isHTMX(c) {
		c.Response().Header().Set("HX-Redirect", to)
		return c.NoContent(http.StatusOK)
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// done answers an action: htmx stays on its page and gets a toast; without it the browser returns to where it was, and the page says it.
func (s *server) done(c echo.Context, fallback string, t layout.Toast) error {
	if isHTMX(c) {
		return s.toast(c, http.StatusOK, t)
	}
	return s.moveSaying(c, s.backFrom(c, fallback), t)
}

// moveSaying moves the browser to a page that says t once.
func (s *server) moveSaying(c echo.Context, to string, t layout.Toast) error {
	s.flash(c, t)
	return s.move(c, to)
}

// backFrom is the page an action was asked on: the form names it, else the referer does.
func (s *server) backFrom(c echo.Context, fallback string) string {
	for _, u := range []string{c.FormValue("back"), refererPath(c.Request())} {
		if u = safeNext(u); u != "" {
			return u
		}
	}
	return fallback
}

// safeNext gives next when it is a path of this server and "" otherwise: it comes from the address bar, so it may be anybody's.
func safeNext(next string) string {
	if len(next) == 0 || len(next) > 2000 || next[0] != '/' || strings.HasPrefix(next, "//") || strings.ContainsFunc(next, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }) {
		return ""
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return ""
	}
	for _, p := range []string{live.SignIn, live.SignIn + "/", "/invite/", live.SignOut, live.Password, live.Live, "/ws/", "/static/", "/api/"} {
		if u.Path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(u.Path, p) {
			return ""
		}
	}
	return next
}

const flashCookie = "novacron_flash"

// flash is a message for one browser's next page. The cookie carries only its key: what a page says is never taken from outside.
type flash struct{ toast layout.Toast }

func (s *server) flash(c echo.Context, t layout.Toast) {
	key := s.flashes.put(flash{t})
	c.SetCookie(s.cookie(c, flashCookie, key, time.Minute))
}

func (s *server) takeFlash(c echo.Context) *layout.Toast {
	ck, err := c.Cookie(flashCookie)
	if err != nil {
		return nil
	}
	c.SetCookie(s.cookie(c, flashCookie, "", -1))
	f, ok := s.flashes.take(ck.Value)
	if !ok {
		return nil
	}
	return &f.toast
}

func (s *server) cookie(c echo.Context, name, value string, age time.Duration) *http.Cookie {
	maxAge := int(age / time.Second)
	if age < 0 {
		maxAge = -1
	}
	// #nosec G124 -- over plain HTTP, as at a desk, Secure would lose the cookie; it is set wherever the server or its proxy speaks TLS
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: c.IsTLS() || s.Auth.Secure(), SameSite: http.SameSiteLaxMode}
}

// subject is who asks.
func subject(c echo.Context) auth.Subject { return auth.SubjectOf(c.Request().Context()) }

// onceKey is the form's once-token: a second submission with it gives the first one's job.
func onceKey(c echo.Context) string {
	k := c.FormValue("key")
	if len(k) > 64 {
		return k[:64]
	}
	return k
}
