package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"novacron/views/rights"
)

// compliancePage says which checks of this server and its hosts hold.
func (s *server) compliancePage(c echo.Context) error {
	checks, err := s.Auth.Compliance(c.Request().Context())
	if err != nil {
		return err
	}
	sh, err := s.accessShell(c, "Compliance")
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, rights.CompliancePage(sh, rights.Compliance{Checks: checks}))
}
