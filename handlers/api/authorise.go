package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
	"novacron/handlers/packed"
)

// authorise lets an operation run when who asks holds its permission.
func (s *server) authorise(ctx huma.Context, next func(huma.Context)) {
	perm, ok := ctx.Operation().Metadata["permission"].(access.Permission)
	if !ok {
		s.refuse(ctx, domain.Errorf(domain.Internal, "The operation %s names no permission.", ctx.Operation().OperationID))
		return
	}
	ec := humaecho.Unwrap(ctx)
	subject, err := s.subject(ec.Request())
	if err := s.rates.take(s, ec, subject); err != nil {
		s.refuse(ctx, err)
		return
	}
	with := subject.With(ctx.Context())
	if err == nil {
		cause := domain.CauseOf(with)
		if cause == nil {
			cause = &domain.Cause{Address: ec.RealIP(), Browser: ec.Request().UserAgent(), Asked: ec.Request().Method + " " + ec.Request().URL.Path}
			with = domain.WithCause(with, cause)
		}
		cause.Actor, cause.Subject, cause.Proof = subject.Actor(), cmp.Or(subject.TokenID, subject.UserID), subject.Proof
		// On echo's request and not only on huma's context, so that the access log names who asked.
		ec.SetRequest(ec.Request().WithContext(with))
		var ask auth.Ask
		if ask, err = s.ask(ec, perm); err == nil {
			err = s.allowed(with, subject, ask)
		}
		if err == nil {
			err = s.step(ec, subject, perm)
		}
	}
	if err != nil {
		s.refuse(ctx, err)
		return
	}
	promises, err := s.asked(ctx)
	if err != nil {
		s.refuse(ctx, err)
		return
	}
	ctx = huma.WithValue(huma.WithContext(ctx, with), takesPacked{}, packed.Taken(ec.Request()))
	ctx = huma.WithValue(ctx, askedKey{}, promises)
	ctl := http.NewResponseController(ec.Response())
	lift := func() {
		if err := ctl.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
			s.log.DebugContext(ctx.Context(), "the read deadline cannot be lifted", "error", err)
		}
	}
	next(huma.WithValue(ctx, bodyRead{}, lift))
}

// subject finds who asks: a bearer token, or for reading the session of one of our own pages. A session may not change anything here, since
// a cookie travels without its owner knowing.
func (s *server) subject(r *http.Request) (auth.Subject, error) {
	if h := r.Header.Get("Authorization"); h != "" {
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return auth.Subject{}, domain.Errorf(domain.Unauthenticated, "The authorization scheme “%s” is not supported.", scheme).
				WithFix("Send the header Authorization: Bearer and an API token.")
		}
		return s.Auth.TokenSubject(r.Context(), token)
	}
	if _, err := r.Cookie(s.Auth.CookieName()); err != nil {
		return auth.Subject{}, nil
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return auth.Subject{}, domain.Errorf(domain.Unauthenticated, "A browser's session only reads here.").
			WithFix("Send an API token as a bearer token.")
	}
	return s.Auth.SessionAlive(r)
}

func (s *server) allowed(ctx context.Context, subject auth.Subject, ask auth.Ask) error {
	if subject.MustChange {
		return domain.Errorf(domain.Denied, "The one-time password has not been changed yet.").WithFix("Sign in and choose a password first.")
	}
	if subject.Enroll {
		return auth.ErrSetUp()
	}
	return s.Auth.Authorise(ctx, subject, ask)
}

// step asks for a code before something dangerous, of those whose token belongs to a person.
func (s *server) step(c echo.Context, subject auth.Subject, perm access.Permission) error {
	if !auth.Dangerous(c.Request().Method, c.Path(), perm, "") {
		return nil
	}
	return s.Auth.TokenStep(c.Request().Context(), subject, c.Request().Header.Get(auth.CodeHeader))
}

// ask is what the request wants: its operation's permission and everything that it names. A body of JSON is read for it, and put back.
func (s *server) ask(c echo.Context, perm access.Permission) (auth.Ask, error) {
	r := c.Request()
	ask := auth.Ask{Permission: perm, Route: r.Method + " " + c.Path(), Path: c.ParamValues(), Named: auth.IDs(r.URL.RawQuery)}
	if strings.HasSuffix(c.Path(), "/label/:name/values") {
		ask.Path = nil // a label's name is nobody's; the values are narrowed where they are read
	}
	if strings.Contains(c.Path(), "/drift/:kind/") {
		ask.Path = nil // a kind and a name, which are looked for among what is in sight
	}
	if r.Body == nil || r.Method == http.MethodGet || strings.HasSuffix(c.Path(), "/content") {
		return ask, nil
	}
	if ct := r.Header.Get("Content-Type"); ct != "" && !strings.Contains(ct, "json") { // without a type huma takes it for JSON
		return ask, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, bodyMost+1))
	if deep(body) {
		return ask, domain.Errorf(domain.Invalid, "The body is nested deeper than %d levels.", depthMost).WithFix("Send what /openapi.json describes.")
	}
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
	ask.Named = append(ask.Named, auth.IDs(string(body))...)
	if cause := domain.CauseOf(r.Context()); cause != nil {
		cause.Detail = auth.Redacted(body)
	}
	return ask, nil
}

// A body of JSON may be so long and so deep. Huma refuses what is longer.
const (
	bodyMost  = 1 << 20
	depthMost = 64
)

// deep reports whether JSON is nested deeper than anything here is.
func deep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > depthMost {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// failing ends a body as its own reading ended.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

func (s *server) refuse(ctx huma.Context, err error) {
	err = s.fail(ctx.Context(), ctx.Operation().OperationID, err)
	if with, ok := errors.AsType[huma.HeadersError](err); ok {
		for k, values := range with.GetHeaders() {
			ctx.SetHeader(k, values[0])
		}
	}
	p := ProblemOf(err)
	if p.Status == http.StatusUnauthorized {
		ctx.SetHeader("WWW-Authenticate", challenge)
	}
	ctx.SetHeader("Content-Type", ProblemContentType)
	ctx.SetHeader("Cache-Control", "no-store")
	ctx.SetStatus(p.Status)
	if err := json.NewEncoder(ctx.BodyWriter()).Encode(p); err != nil {
		s.log.DebugContext(ctx.Context(), "the client left before its answer", "error", err)
	}
}
