package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"novacron/db"
	"novacron/domain"
)

// auditRefusals writes down what somebody tried and may not do, and changes that failed. What was done is written with the event of it, in its own
// transaction.
func (s *server) auditRefusals(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		r := c.Request()
		status := c.Response().Status
		if err != nil {
			status = statusOf(err)
		}
		cause := domain.CauseOf(r.Context())
		if cause == nil || cause.Actor == "" || status < 400 || status == http.StatusUnauthorized {
			return err
		}
		read := r.Method == http.MethodGet || r.Method == http.MethodHead
		if read && status != http.StatusForbidden {
			return err
		}
		rec := domain.AuditRecord{Action: "request", Object: domain.Ref{Kind: "route", ID: c.Param("id"), Name: c.Path()}, Outcome: "refused", Message: cause.Asked + " was refused."}
		switch {
		case status == http.StatusForbidden:
			rec.Outcome, rec.Message = "denied", cause.Asked+" was denied."
		case status >= 500 && status != http.StatusInsufficientStorage:
			rec.Outcome, rec.Message = "failed", cause.Asked+" failed."
		}
		if werr := s.DB.Write(r.Context(), func(tx *db.Tx) error { return tx.Audit(rec) }); werr != nil {
			s.logError(r.Context(), werr, "a refusal could not be written into the audit log")
		}
		return err
	}
}
