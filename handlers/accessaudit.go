package handlers

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/views/layout"
	"novacron/views/live"
	"novacron/views/rights"
)

const auditPerPage = 100

// auditQuery reads the search. A day that is typed without a time is meant as a whole one.
func auditQuery(v url.Values) (db.AuditQuery, error) {
	q := db.AuditQuery{Actor: strings.TrimSpace(v.Get("actor")), Object: strings.TrimSpace(v.Get("object")), Action: strings.TrimSpace(v.Get("action")), Outcome: v.Get("outcome"), Words: v.Get("filter"), Limit: auditPerPage}
	var p domain.Problems
	at := func(field string, add time.Duration) time.Time {
		text := strings.TrimSpace(v.Get(field))
		if text == "" {
			return time.Time{}
		}
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t
		}
		t, err := time.Parse("2006-01-02", text)
		if err != nil {
			p.Add(field, "“"+text+"” is not a day.", "such as 2026-11-23")
		}
		return t.Add(add)
	}
	q.From, q.To = at("from", 0), at("to", 24*time.Hour)
	if b := v.Get("before"); b != "" {
		n, err := strconv.ParseInt(b, 10, 64)
		if err != nil || n < 1 {
			p.Add("before", "“"+b+"” is not the number of a row.", "the link at the end of the list")
		}
		q.Before = n
	}
	return q, p.Err()
}

func (s *server) auditPage(c echo.Context) error {
	after := s.DB.Feed().Last()
	m, status := rights.AuditLog{Query: c.QueryParams()}, http.StatusOK
	q, err := auditQuery(m.Query)
	if err == nil {
		m.Rows, err = s.DB.AuditLog(c.Request().Context(), q)
	}
	if err != nil {
		if domain.CodeOf(err) != domain.Invalid {
			return err
		}
		status, m.Err = statusOf(err), problem(err)
	}
	m.Next = nextAudit(m.Rows)
	sh, err := s.shellFor(c, page{title: "Audit log", section: layout.SectionAccess, on: live.OnAudit, after: after})
	if err != nil {
		return err
	}
	return s.render(c, status, rights.AuditPage(sh, m))
}

// nextAudit is where the next page of the log begins.
func nextAudit(rows []domain.AuditRecord) string {
	if len(rows) < auditPerPage {
		return ""
	}
	return strconv.FormatInt(rows[len(rows)-1].Seq, 10)
}

// audit draws the newest rows that the page's search finds, when something was done.
func (d *drawing) audit(ctx context.Context, a affected) {
	query := d.v.at.Query()
	if !d.may(access.AuditRead) || query.Get("before") != "" || len(a.evs) == 0 {
		return // an older page does not change
	}
	q, err := auditQuery(query)
	if err != nil {
		return // the page says what is wrong with the search
	}
	d.part(ctx, "audit "+query.Encode(), func(ctx context.Context) (templ.Component, error) {
		rows, err := d.s.DB.AuditLog(ctx, q)
		return rights.StreamAudit(d.shell(), rights.AuditLog{Query: query, Rows: rows, Next: nextAudit(rows)}), err
	})
}

// compliance draws the checks again, when something was done that they may be about.
func (d *drawing) compliance(ctx context.Context, a affected) {
	about := func(ev domain.Event) bool {
		return ev.Resource.Kind != "vm" && ev.Resource.Kind != "job" && ev.Kind != domain.EventStep
	}
	if !d.may(access.AuditRead) || !slices.ContainsFunc(a.evs, about) {
		return
	}
	d.part(ctx, "compliance", func(ctx context.Context) (templ.Component, error) {
		checks, err := d.s.Auth.Compliance(ctx)
		return rights.StreamCompliance(rights.Compliance{Checks: checks}), err
	})
}

func (s *server) auditRowPage(c echo.Context) error {
	seq, err := strconv.ParseInt(c.Param("seq"), 10, 64)
	if err != nil || seq < 1 {
		return domain.Errorf(domain.NotFound, "There is no such row.")
	}
	rows, err := s.DB.AuditLog(c.Request().Context(), db.AuditQuery{Before: seq + 1, Limit: 1})
	if err != nil {
		return err
	}
	if len(rows) == 0 || rows[0].Seq != seq {
		return domain.Errorf(domain.NotFound, "There is no such row.")
	}
	sh, err := s.accessShell(c, "Audit row "+c.Param("seq"), accessCrumb, layout.Crumb{Label: "Audit log", URL: live.Audit})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, rights.AuditRowPage(sh, rights.AuditRow{Row: rows[0]}))
}

// cell is a text as a spreadsheet may open it: what would begin a formula is told to be text.
func cell(text string) string {
	if first, _ := utf8.DecodeRuneInString(text); text != "" && strings.ContainsRune("=+-@\t\r\n|%＝＋－＠", first) { // the wide ones count for some
		return "'" + text
	}
	return text
}

// auditExport sends all rows that the search finds, newest first, page after page, so that the whole log needs no memory.
func (s *server) auditExport(c echo.Context) error {
	q, err := auditQuery(c.QueryParams())
	if err != nil {
		return err
	}
	q.Limit = 1000
	w := c.Response()
	name, kind := "audit.jsonl", "application/x-ndjson"
	var write func(domain.AuditRecord) error
	flush := func() error { return nil }
	if c.QueryParam("format") == "csv" {
		name, kind = "audit.csv", "text/csv; charset=utf-8"
		out := csv.NewWriter(w)
		flush = func() error { out.Flush(); return out.Error() }
		head := []string{"seq", "at", "outcome", "action", "message", "object_kind", "object_id", "object_name", "actor", "subject", "address", "proof", "tenant", "job_id", "request", "before", "after", "hash"}
		write = func(r domain.AuditRecord) error {
			if head != nil {
				if err := out.Write(head); err != nil {
					return err
				}
				head = nil
			}
			row := []string{strconv.FormatInt(r.Seq, 10), r.At.UTC().Format(time.RFC3339Nano), r.Outcome, r.Action, r.Message, r.Object.Kind, r.Object.ID, r.Object.Name, r.Actor, r.Subject, r.Address, r.Proof, r.Tenant, r.JobID, r.Request, r.Before, r.After, r.Hash}
			for i := range row {
				row[i] = cell(row[i])
			}
			return out.Write(row)
		}
	} else {
		out := json.NewEncoder(w)
		write = func(r domain.AuditRecord) error { return out.Encode(r) }
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	for {
		rows, err := s.DB.AuditLog(c.Request().Context(), q)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := write(r); err != nil {
				return nil // the browser left
			}
			q.Before = r.Seq
		}
		if err := flush(); err != nil || len(rows) < q.Limit {
			return nil
		}
	}
}
