package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/rights"
)

// compliancePage says which checks of this server and its hosts hold.
func (s *server) compliancePage(c echo.Context) error {
	after := s.DB.Feed().Last()
	checks, err := s.Auth.Compliance(c.Request().Context())
	if err != nil {
		return err
	}
	sh, err := s.shellFor(c, page{title: "Compliance", section: layout.SectionAccess, on: live.OnCompliance, after: after})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, rights.CompliancePage(sh, rights.Compliance{Checks: checks}))
}
