package handlers

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"novacron/auth"
	"novacron/domain"
	"novacron/handlers/packed"
	"novacron/views/live"
)

// maxBody bounds a request's body: the largest honest one is a host form with three PEM files.
const maxBody = "1M"

// longBody is for routes whose body is a file: whoever takes it bounds it.
func longBody(c echo.Context) bool {
	return strings.HasSuffix(c.Path(), "/content") && c.Request().Method == http.MethodPut
}

// slowRequest is logged as a warning: every page is a query and should take milliseconds.
const slowRequest = time.Second

func (s *server) middleware(e *echo.Echo) {
	cross := http.NewCrossOriginProtection()
	e.Use(
		requestID,
		s.accessLog,
		s.recoverPanics,
		securityHeaders,
		func(next echo.HandlerFunc) echo.HandlerFunc {
			return func(c echo.Context) error {
				if err := cross.Check(c.Request()); err != nil {
					return domain.Errorf(domain.Denied, "The request came from another site.").
						WithFix("Open the page on this server and do it there.").WithCause(err)
				}
				return next(c)
			}
		},
		middleware.BodyLimitWithConfig(middleware.BodyLimitConfig{Limit: maxBody, Skipper: longBody}),
		middleware.GzipWithConfig(middleware.GzipConfig{Level: 1, MinLength: packed.NotWorth, Skipper: s.packsItself}),
		s.loadSession,
		s.auditRefusals,
	)
}

// ipExtractor believes forwarding headers only from the proxies that were named: the rate limit of sign-ins counts by address.
func ipExtractor(trusted []*net.IPNet) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	opts := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, n := range trusted {
		opts = append(opts, echo.TrustIPRange(n))
	}
	return echo.ExtractIPFromXFFHeader(opts...)
}

type requestIDKey struct{}

func requestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := strings.ToLower(rand.Text()[:12])
		c.Response().Header().Set(echo.HeaderXRequestID, id)
		r := c.Request()
		c.SetRequest(r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
		return next(c)
	}
}

func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// accessLog writes one line per request when it has ended. Static files and health checks are for debugging only.
func (s *server) accessLog(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := s.Clock()
		if err := next(c); err != nil {
			c.Error(err) // answered here, so that the status below is the one that was sent
		}
		r, took := c.Request(), s.Clock().Sub(start)
		level := slog.LevelInfo
		switch {
		case quietPath(r.URL.Path):
			level = slog.LevelDebug
		case c.Response().Status >= 500:
			level = slog.LevelError
		case took > slowRequest && !streams(r.URL.Path):
			level = slog.LevelWarn
		}
		ctx := r.Context()
		if !s.Log.Enabled(ctx, level) {
			return nil
		}
		s.Log.LogAttrs(ctx, level, "request",
			slog.String("id", requestIDOf(ctx)), slog.String("method", r.Method), slog.String("path", logPath(r.URL.Path)),
			slog.Int("status", c.Response().Status), slog.Int64("bytes", c.Response().Size), slog.Duration("took", took),
			slog.String("addr", c.RealIP()), slog.String("who", auth.SubjectOf(ctx).Actor()))
		return nil
	}
}

func quietPath(p string) bool {
	return strings.HasPrefix(p, "/static/") || p == "/healthz" || p == "/readyz" || p == "/favicon.ico"
}

// logPath keeps tickets, which open a console, and links that open an account out of the log.
func logPath(p string) string {
	if strings.HasPrefix(p, "/ws/console/") {
		return "/ws/console/…"
	}
	if strings.HasPrefix(p, "/invite/") {
		return "/invite/…"
	}
	return p
}

// streams are the paths whose answer lasts.
func streams(p string) bool {
	return p == live.Live || strings.HasPrefix(p, "/ws/") || p == "/api/v1/events" || strings.HasPrefix(p, "/api/v1/vms/") && strings.Contains(p, "/console/")
}

// packsItself leaves alone what packs itself (pages, static files, lists of the API) and what is not to be packed: only the API's other answers are.
func (s *server) packsItself(c echo.Context) bool {
	p := c.Request().URL.Path
	return s.lists[p] && c.Request().Method == http.MethodGet || streams(p) || strings.HasSuffix(p, "/content") || !apiPath(p) && !strings.HasPrefix(p, "/openapi")
}

// recoverPanics turns a panic into an internal error with the stack in the log.
func (s *server) recoverPanics(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			r := recover()
			if r == nil {
				return
			}
			if e, ok := r.(error); ok && errors.Is(e, http.ErrAbortHandler) {
				panic(r)
			}
			s.Log.ErrorContext(c.Request().Context(), "a handler panicked", "id", requestIDOf(c.Request().Context()), "panic", r, "stack", string(debug.Stack()))
			err = domain.Errorf(domain.Internal, "NovaCron failed to answer this.").WithFix("Try again; if it stays, look at the server's log.")
		}()
		return next(c)
	}
}

// contentPolicy is the same for every answer: scripts, styles and everything else are files of this server, and nothing is written into pages. What wants to
// write styles of its own, as the serial terminal does, is given constructed style sheets (static/js/console-serial.js).
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"

// permissionsPolicy turns off what no page here needs. Passkeys, the clipboard and the whole screen are for pages of this server.
const permissionsPolicy = "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), geolocation=(), gyroscope=(), " +
	"hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=(), " +
	"publickey-credentials-get=(self), publickey-credentials-create=(self), clipboard-read=(self), clipboard-write=(self), fullscreen=(self)"

func securityHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", permissionsPolicy)
		if c.IsTLS() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		return next(c)
	}
}

// loadSession finds out who asks. Static files and health checks never need to know.
func (s *server) loadSession(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if quietPath(r.URL.Path) {
			return next(c)
		}
		cause := &domain.Cause{Address: c.RealIP(), Browser: r.UserAgent(), Request: requestIDOf(r.Context()), Asked: r.Method + " " + logPath(r.URL.Path)}
		r = r.WithContext(domain.WithCause(r.Context(), cause))
		c.SetRequest(r)
		ctx, err := s.Auth.LoadSession(r)
		if err != nil {
			return err
		}
		// An API client has no session and gets no cookie; a page's session lives on with every request.
		if err := s.Auth.CommitSession(ctx, c.Response().Writer); err != nil {
			return err
		}
		find := s.Auth.SessionSubject
		if streams(r.URL.Path) || apiPath(r.URL.Path) || strings.HasSuffix(r.URL.Path, ".png") {
			find = s.Auth.SessionGlance
		}
		sub, err := find(ctx)
		if err != nil {
			return err
		}
		// A page that is opened takes a new cookie along when its person's rights were changed; its parts and streams go on with that one.
		if opened := r.Method == http.MethodGet && !isHTMX(c) && r.Header.Get("Sec-Fetch-Dest") != "empty"; opened && !streams(r.URL.Path) && !apiPath(r.URL.Path) && !strings.HasSuffix(r.URL.Path, ".png") {
			if err := s.Auth.Rotate(ctx, sub); err != nil {
				return err
			}
			if err := s.Auth.CommitSession(ctx, c.Response().Writer); err != nil {
				return err
			}
		}
		cause.Actor, cause.Subject, cause.Proof = sub.Actor(), sub.UserID, sub.Proof
		c.SetRequest(r.WithContext(sub.With(ctx)))
		if !streams(r.URL.Path) && !strings.HasSuffix(r.URL.Path, ".png") {
			c.Response().Header().Set("Cache-Control", "no-store") // what one person saw is not for the next one at this browser
		}
		return next(c)
	}
}

// apiPath reports whether a path is the API's; its reference is pages.
func apiPath(p string) bool {
	return strings.HasPrefix(p, "/api/") && p != live.APIDocs && !strings.HasPrefix(p, live.APIDocs+"/")
}
