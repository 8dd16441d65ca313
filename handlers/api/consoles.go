package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
)

type consoleInput struct {
	VMPath
	Kind string `path:"kind" enum:"serial,vnc" doc:"Which console"`
}

type streamOutput struct{ Body func(huma.Context) }

var errNoConsoles = domain.Errorf(domain.Unsupported, "This server has no consoles.")

func (s *server) consoles() {
	upgrades := func(h *huma.Operation) {
		h.Responses = map[string]*huma.Response{"101": {Description: "The connection is a websocket now; its binary messages are the console's bytes, both ways"}}
	}
	registerWith(s, op{id: "open-console", method: http.MethodGet, path: "/vms/{id}/console/{kind}", tag: "VMs", perm: access.VMConsole, status: 101, summary: "Open a console as a websocket",
		doc: "serial is the guest's serial port, vnc its screen (RFB). Who asks is looked at again every 20 s: the connection ends with the token or its rights."}, upgrades,
		func(ctx context.Context, in *consoleInput) (*streamOutput, error) {
			if _, err := s.DB.VM(ctx, in.ID); err != nil {
				return nil, err
			}
			if s.Console == nil {
				return nil, errNoConsoles
			}
			return &streamOutput{func(hc huma.Context) {
				c := humaecho.Unwrap(hc)
				alive := func() bool {
					sub, err := s.subject(c.Request())
					return err == nil && s.allowed(ctx, sub, auth.Ask{Permission: access.VMConsole, Route: "GET " + c.Path(), Path: []string{in.ID}}) == nil
				}
				if err := s.Console(c, in.ID, in.Kind, alive); err != nil && !c.Response().Committed {
					if err := WriteProblem(c.Response(), 0, err); err != nil {
						s.log.DebugContext(ctx, "the client left before its answer", "error", err)
					}
				}
			}}, nil
		})

	registerWith(s, op{id: "get-screenshot", method: http.MethodGet, path: "/vms/{id}/screenshot", tag: "VMs", perm: access.VMConsole, status: 200, summary: "Show a still picture of a VM's screen"},
		func(h *huma.Operation) {
			gives("image/png", "The picture")(h)
			h.Responses["409"] = conflict()
		},
		func(ctx context.Context, in *VMPath) (*struct {
			ContentType string `header:"Content-Type"`
			Body        []byte `contentType:"image/png"`
		}, error) {
			v, err := s.DB.VM(ctx, in.ID)
			if err == nil {
				err = v.State.Can(domain.ActConsole)
			}
			if err != nil {
				return nil, err
			}
			if s.Screenshot == nil {
				return nil, errNoConsoles
			}
			png, err := s.Screenshot(ctx, v.ID)
			if errors.Is(err, context.DeadlineExceeded) {
				err = domain.Errorf(domain.Unavailable, "The host does not give the picture in time.").WithCause(err)
			}
			if err != nil {
				return nil, err
			}
			return &struct {
				ContentType string `header:"Content-Type"`
				Body        []byte `contentType:"image/png"`
			}{"image/png", png}, nil
		})
}
