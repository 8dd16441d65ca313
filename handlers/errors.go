package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
	"novacron/handlers/api"
	verrors "novacron/views/errors"
	"novacron/views/layout"
	"novacron/views/live"
)

// errMustChange sends a person with a one-time password to the form that changes it.
var errMustChange = errors.New("the one-time password must be changed first")

// mustEnroll reports whether a second factor has to be set up first.
func mustEnroll(err error) bool {
	step, ok := errors.AsType[*auth.StepError](err)
	return ok && step.Needs == auth.NeedsSetUp
}

// problem turns any error into the one that people see. What is not a domain error is our fault, and its text is for the log.
func problem(err error) *domain.Error {
	if he, ok := errors.AsType[*echo.HTTPError](err); ok {
		return ofEcho(he)
	}
	if e, ok := errors.AsType[*domain.Error](err); ok {
		return e
	}
	if errors.Is(err, errMustChange) {
		return domain.Errorf(domain.Denied, "The one-time password must be changed first.").WithFix("Change it at %s.", live.Password)
	}
	return domain.Errorf(domain.Internal, "NovaCron failed to do this.").
		WithFix("Try again; if it stays, look for the request's id in the server's log.").WithCause(err)
}

func ofEcho(he *echo.HTTPError) *domain.Error {
	switch he.Code {
	case http.StatusNotFound:
		return domain.Errorf(domain.NotFound, "There is no such page.").WithFix("Check the address, or search for what you want.")
	case http.StatusMethodNotAllowed:
		return domain.Errorf(domain.Unsupported, "This address does not take that kind of request.")
	case http.StatusRequestEntityTooLarge:
		return domain.Errorf(domain.Invalid, "The request is larger than 1 MiB.").WithFix("Send less at once.")
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusUnsupportedMediaType:
		return domain.Errorf(domain.Invalid, "The request cannot be read.")
	default:
		return domain.Errorf(domain.Internal, "NovaCron failed to do this.").WithCause(he)
	}
}

// statusOf is the answer's status. The classes are in one table, shared with the API; a few errors know better.
func statusOf(err error) int {
	if he, ok := errors.AsType[*echo.HTTPError](err); ok {
		return he.Code
	}
	if _, ok := errors.AsType[*auth.LimitedError](err); ok {
		return http.StatusTooManyRequests
	}
	return api.Status(problem(err).Code)
}

// answerError is the one place where an error becomes an answer: a redirect to sign in, a problem+json, a toast or a page.
func (s *server) answerError(err error, c echo.Context) {
	r := c.Request()
	if c.Response().Committed {
		s.logError(r.Context(), err, "an answer broke off")
		return
	}
	if r.Context().Err() != nil && !errors.As(err, new(*domain.Error)) {
		err = domain.Errorf(domain.Unavailable, "The request was given up.").WithCause(err)
	}
	status := statusOf(err)
	if status >= 500 && status != http.StatusServiceUnavailable && status != http.StatusInsufficientStorage {
		s.logError(r.Context(), err, "a request failed")
	}
	retryAfter(c, status, err)
	if werr := s.writeError(c, status, problem(err), err); werr != nil {
		s.logError(r.Context(), werr, "an error could not be shown")
	}
}

// retryAfter tells programs when trying again may help.
func retryAfter(c echo.Context, status int, err error) {
	if lim, ok := errors.AsType[*auth.LimitedError](err); ok {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(lim.Wait/time.Second)))
	} else if status == http.StatusServiceUnavailable {
		c.Response().Header().Set("Retry-After", "5")
	}
}

func (s *server) writeError(c echo.Context, status int, e *domain.Error, err error) error {
	r := c.Request()
	switch {
	case r.Method == http.MethodHead:
		return c.NoContent(status)
	case wantsProblem(r):
		return api.WriteProblem(c.Response(), status, e)
	case errors.Is(err, errMustChange):
		return s.move(c, live.Password)
	case mustEnroll(err):
		return s.move(c, live.MFA)
	case e.Code == domain.Unauthenticated:
		return s.sendToSignIn(c)
	case isHTMX(c) && r.Method != http.MethodGet:
		return s.toast(c, status, layout.ErrorToast(e, live.Task))
	}
	m := verrors.Model{Status: status, Err: e, Back: safeNext(refererPath(r)), ID: requestIDOf(r.Context())}
	sub := auth.SubjectOf(r.Context())
	if sub.Known() && !sub.MustChange && !sub.Enroll && sub.Can(access.VMRead) {
		sh, shErr := s.shellFor(c, page{title: http.StatusText(status)})
		if shErr == nil {
			return s.render(c, status, verrors.Page(sh, m))
		}
		// The frame itself cannot be read, most likely for the same reason; the bare page needs nothing.
		s.logError(r.Context(), shErr, "the frame of an error page could not be read")
	}
	return s.render(c, status, verrors.BarePage(m))
}

// wantsProblem: programs get problem+json, people pages.
func wantsProblem(r *http.Request) bool {
	p := r.URL.Path
	if apiPath(p) || p == "/openapi.json" || p == "/metrics" || strings.HasPrefix(p, "/ws/") || strings.HasSuffix(p, ".png") || p == live.Live ||
		r.Method == http.MethodPost && strings.Contains(p, "/console/") {
		return true
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") || strings.Contains(accept, "application/problem+json")
}

func (s *server) logError(ctx context.Context, err error, msg string) {
	detail := err.Error()
	if e, ok := errors.AsType[*domain.Error](err); ok {
		detail = e.Detail()
	}
	level := slog.LevelError
	if errors.Is(err, context.Canceled) {
		level = slog.LevelDebug // the browser went away
	}
	s.Log.Log(ctx, level, msg, "id", requestIDOf(ctx), "error", detail)
}

// refererPath is the page that the request came from, when it is one of ours.
func refererPath(r *http.Request) string {
	u, err := url.Parse(r.Referer())
	if err != nil || u.Host != r.Host || u.Path == r.URL.Path {
		return ""
	}
	return u.RequestURI()
}
