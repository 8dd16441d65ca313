package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
)

// Signing a terminal in by a browser, after RFC 8628. Bodies are JSON as everywhere here; a refusal has the RFC's name in "error".

// DeviceCode is what a terminal shows its person.
type DeviceCode struct {
	DeviceCode string `json:"device_code" doc:"For the terminal alone: with it, it asks for its token"`
	UserCode   string `json:"user_code" example:"WDJB-MJHT"`
	URI        string `json:"verification_uri" doc:"The page on which a person who is signed in types the code" example:"https://novacron.example.org/device"`
	Complete   string `json:"verification_uri_complete" doc:"The same with the code in it; the person still compares it"`
	ExpiresIn  int    `json:"expires_in" doc:"Seconds"`
	Interval   int    `json:"interval" doc:"Seconds between two questions for the token, at least"`
}

// DeviceProblem is a refusal with the name that RFC 8628 has for it.
type DeviceProblem struct {
	Problem
	Name string `json:"error,omitempty" enum:"authorization_pending,slow_down,access_denied,expired_token"`
}

type deviceAsk struct {
	Body struct {
		Name string `json:"name" maxLength:"64" doc:"What the terminal calls itself; its token is called so" example:"novacron on desk"`
	}
	host string
	tls  bool
}

// Resolve notes how the terminal calls this server: only to it the page's address is told.
func (in *deviceAsk) Resolve(ctx huma.Context) []error {
	in.host, in.tls = ctx.Host(), ctx.TLS() != nil
	return nil
}

func (in *deviceAsk) site(secure bool) string {
	if in.tls || secure {
		return "https://" + in.host
	}
	return "http://" + in.host
}

// deviceRefusal makes an answer of an error.
func deviceRefusal(err error) error {
	p := ProblemOf(err)
	if lim, ok := errors.AsType[*auth.LimitedError](err); ok {
		p.Status, p.Title = http.StatusTooManyRequests, http.StatusText(http.StatusTooManyRequests)
		return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(int(lim.Wait / time.Second))}})
	}
	if d, ok := errors.AsType[*auth.DeviceError](err); ok {
		p.Status, p.Title = http.StatusBadRequest, http.StatusText(http.StatusBadRequest)
		return &DeviceProblem{*p, d.Code}
	}
	return err
}

func (s *server) terminals() {
	open := func(h *huma.Operation) { h.Security = []map[string][]string{{}} }
	registerWith(s, op{id: "ask-device-code", method: http.MethodPost, path: "/device/code", tag: accessTag, perm: access.Public, status: 200, summary: "Begin to sign a terminal in by a browser",
		doc: "RFC 8628, with JSON. The code is good for ten minutes; how often one address may ask is limited."}, open,
		func(ctx context.Context, in *deviceAsk) (*struct{ Body DeviceCode }, error) {
			cause := domain.CauseOf(ctx)
			if cause == nil {
				cause = &domain.Cause{}
			}
			secret, req, err := s.Auth.AskDevice(in.Body.Name, cause.Address, cause.Browser)
			if err != nil {
				return nil, deviceRefusal(err)
			}
			page := in.site(s.Auth.Secure()) + auth.DeviceRoute
			return &struct{ Body DeviceCode }{DeviceCode{secret, req.UserCode, page, page + "?code=" + req.UserCode, int(req.Until.Sub(req.AskedAt) / time.Second), int(req.Interval / time.Second)}}, nil
		})
	answers := func(h *huma.Operation) {
		open(h)
		r := s.api.OpenAPI().Components.Schemas
		h.Responses = map[string]*huma.Response{
			"200": {Description: "The token", Content: map[string]*huma.MediaType{"application/json": {Schema: schemaOf[TokenMade](r)}}},
			"400": {Description: "Not yet, or not at all: error says which", Content: map[string]*huma.MediaType{ProblemContentType: {Schema: schemaOf[DeviceProblem](r)}}},
		}
	}
	registerWith(s, op{id: "take-device-token", method: http.MethodPost, path: "/device/token", tag: accessTag, perm: access.Public, status: 200, summary: "Take the token of a terminal that was let in",
		doc: "To be asked every interval until a person has decided. The token stands for that person, is given once, and is in the list of tokens."}, answers,
		func(ctx context.Context, in *struct {
			Body struct {
				DeviceCode string `json:"device_code" maxLength:"100"`
			}
		}) (*struct{ Body TokenMade }, error) {
			text, tok, err := s.Auth.DeviceToken(ctx, in.Body.DeviceCode)
			if err != nil {
				return nil, deviceRefusal(err)
			}
			return &struct{ Body TokenMade }{TokenMade{tokenOf(&tok), text}}, nil
		})
}
