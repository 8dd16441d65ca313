package handlers

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/domain"
	"novacron/views/account"
	"novacron/views/layout"
	"novacron/views/live"
)

// Fields of the question that stands before something dangerous. They go with the form that was sent, so that nothing has to be typed again.
const (
	proofPassword   = "proof_password"
	proofCode       = "proof_code"
	proofState      = "proof_state"
	proofCredential = "proof_credential" // #nosec G101 -- names of form fields
)

// origin is the site as its pages see it.
func (s *server) origin(c echo.Context) string {
	scheme := "http"
	if c.IsTLS() || s.Auth.Secure() {
		scheme = "https"
	}
	return scheme + "://" + c.Request().Host
}

// stepUp asks who it is once more before something dangerous, when the last proof is too old. asked is true when the answer is that question.
func (s *server) stepUp(c echo.Context, r route) (asked bool, err error) {
	req, ctx := c.Request(), c.Request().Context()
	if req.Method == http.MethodGet || req.Method == http.MethodHead || longBody(c) {
		return false, nil
	}
	values, err := c.FormParams()
	if err != nil {
		return false, nil // what cannot be read is the handler's to refuse
	}
	sub := subject(c)
	if !auth.Dangerous(r.method, r.path, r.perm, cmp.Or(c.Param("action"), values.Get("action"))) {
		return false, nil
	}
	need, err := s.Auth.StepUp(ctx, sub)
	if err != nil || !need.Needed {
		return false, err
	}
	switch {
	case values.Get(proofCredential) != "":
		err = s.Auth.ProvePasskey(ctx, sub, s.origin(c), values.Get(proofState), []byte(values.Get(proofCredential)))
	case values.Get(proofCode) != "" || values.Get(proofPassword) != "":
		err = s.Auth.Prove(ctx, sub, values.Get(proofPassword), values.Get(proofCode))
	default:
		return true, s.askProof(c, http.StatusForbidden, need, values, nil)
	}
	if err == nil {
		return false, s.Auth.CommitSession(ctx, c.Response().Writer)
	}
	if domain.CodeOf(err) == domain.Internal {
		return false, err
	}
	retryAfter(c, statusOf(err), err)
	return true, s.askProof(c, statusOf(err), need, values, problem(err))
}

// askProof shows the question; what was typed goes along.
func (s *server) askProof(c echo.Context, status int, need auth.StepUp, values url.Values, wrong *domain.Error) error {
	m := account.Proof{Action: c.Request().URL.RequestURI(), Code: need.Code, Passkey: need.Passkey, Password: need.Password, Err: wrong}
	for name, vs := range values {
		if strings.HasPrefix(name, "proof_") {
			continue
		}
		for _, v := range vs {
			m.Values = append(m.Values, account.Value{Name: name, Value: v})
		}
	}
	if need.Again != nil {
		m.AgainAt, m.AgainURL = need.Again.Name, live.With(live.With(live.SSO(need.Again.ID), "again", "1"), "next", s.backFrom(c, live.Home))
	}
	sh, err := s.shellFor(c, page{title: "Is it you?", section: layout.SectionAccount})
	if err != nil {
		return err
	}
	if isHTMX(c) { // wherever the form wanted its answer: the question is a dialog
		h := c.Response().Header()
		h.Set("HX-Retarget", "#"+live.DialogBody)
		h.Set("HX-Reselect", "#"+live.AskRegion)
		h.Set("HX-Reswap", "innerHTML")
	}
	return s.render(c, status, account.ProofPage(sh, m))
}
