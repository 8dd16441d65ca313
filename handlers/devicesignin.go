package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/domain"
	"novacron/views/account"
	"novacron/views/layout"
)

// deviceSignIn asks for a terminal's code. One in the address is only filled in: the person looks at it and sends it.
func (s *server) deviceSignIn(c echo.Context) error {
	code := c.QueryParam("code")
	return s.showDevice(c, http.StatusOK, account.Device{Code: code[:min(len(code), 20)]})
}

// deviceDecide shows which terminal has the code, and then lets it in or refuses it.
func (s *server) deviceDecide(c echo.Context) error {
	sub, code := subject(c), c.FormValue("code")
	m := account.Device{Code: code[:min(len(code), 20)], User: sub.Name}
	var req auth.DeviceRequest
	var err error
	action := c.FormValue("action")
	switch action {
	case auth.DeviceApprove, "deny":
		req, err = s.Auth.DecideDevice(sub, code, action == auth.DeviceApprove)
	default:
		req, err = s.Auth.Device(sub, code)
	}
	if err != nil {
		if domain.CodeOf(err) == domain.Internal {
			return err
		}
		m.Err = problem(err)
		retryAfter(c, statusOf(err), err)
		return s.showDevice(c, statusOf(err), m)
	}
	switch action {
	case auth.DeviceApprove:
		m = account.Device{Done: "“" + req.Name + "” is signed in as " + sub.Name + ".", Note: "Go back to the terminal. Its token is in the list of tokens; “novacron logout” there revokes it."}
	case "deny":
		m = account.Device{Done: "“" + req.Name + "” was refused.", Note: "It gets no token."}
	default:
		m.Code, m.Name, m.Address, m.Agent, m.AskedAt = req.UserCode, req.Name, req.Address, req.Agent, req.AskedAt
	}
	return s.showDevice(c, http.StatusOK, m)
}

func (s *server) showDevice(c echo.Context, status int, m account.Device) error {
	sh, err := s.shellFor(c, page{title: "Sign a terminal in", section: layout.SectionAccount})
	if err != nil {
		return err
	}
	return s.render(c, status, account.DevicePage(sh, m))
}
