package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

type auditInput struct {
	PageQuery
	Actor   string `query:"actor" maxLength:"100" doc:"Only of this person or token: name or id"`
	Object  string `query:"object" maxLength:"64" doc:"Only about the thing with this id"`
	Action  string `query:"action" maxLength:"64" doc:"The beginning of it, such as user. or vm.created"`
	Outcome string `query:"outcome" enum:"ok,denied,refused,failed"`
	Filter  string `query:"filter" maxLength:"200" doc:"Words that the message, actor, object or address contain"`
	From    string `query:"from" maxLength:"40" doc:"RFC 3339"`
	To      string `query:"to" maxLength:"40" doc:"RFC 3339"`
}

func (in auditInput) query() (db.AuditQuery, error) {
	q := db.AuditQuery{Actor: in.Actor, Object: in.Object, Action: in.Action, Outcome: in.Outcome, Words: in.Filter, Limit: in.limit()}
	for field, at := range map[string]struct {
		text string
		to   *time.Time
	}{"from": {in.From, &q.From}, "to": {in.To, &q.To}} {
		if at.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, at.text)
		if err != nil {
			return q, domain.InvalidField(field, "“"+at.text+"” is not a time.", "such as 2026-11-23T04:00:00Z")
		}
		*at.to = t
	}
	if c := in.cursor(); c != "" {
		n, err := strconv.ParseInt(c, 10, 64)
		if err != nil || n < 1 {
			return q, domain.InvalidField("cursor", "That is not a cursor of this list.", "the next of the page before")
		}
		q.Before = n
	}
	return q, nil
}

func (s *server) audit() {
	register(s, op{id: "list-audit", method: http.MethodGet, path: "/audit", tag: accessTag, perm: access.AuditRead, status: 200, summary: "Read the audit log, newest first",
		doc: "Append-only, each row with the hash of the one before it; `novacron audit verify` checks it."},
		func(ctx context.Context, in *auditInput) (*struct{ Body Page[domain.AuditRecord] }, error) {
			q, err := in.query()
			if err != nil {
				return nil, err
			}
			rows, err := s.DB.AuditLog(ctx, q)
			if err != nil {
				return nil, err
			}
			next := ""
			if len(rows) == q.Limit {
				next = strconv.FormatInt(rows[len(rows)-1].Seq, 10)
			}
			return &struct{ Body Page[domain.AuditRecord] }{pageOf(rows, next, len(rows), func(r *domain.AuditRecord) domain.AuditRecord { return *r })}, nil
		})
	registerWith(s, op{id: "export-audit", method: http.MethodGet, path: "/audit/export", tag: accessTag, perm: access.AuditRead, status: 200, summary: "Export the audit log as JSON lines",
		doc: "At most 100,000 rows, newest first; cursor goes on from the last row's number."}, gives("application/x-ndjson", "A record on each line"),
		func(ctx context.Context, in *auditInput) (*struct {
			ContentType string `header:"Content-Type"`
			Body        []byte
		}, error) {
			q, err := in.query()
			if err != nil {
				return nil, err
			}
			var out bytes.Buffer
			enc := json.NewEncoder(&out)
			q.Limit = 1000
			for range 100 {
				rows, err := s.DB.AuditLog(ctx, q)
				if err != nil {
					return nil, err
				}
				for _, r := range rows {
					if err := enc.Encode(r); err != nil {
						return nil, err
					}
					q.Before = r.Seq
				}
				if len(rows) < q.Limit {
					break
				}
			}
			return &struct {
				ContentType string `header:"Content-Type"`
				Body        []byte
			}{"application/x-ndjson", out.Bytes()}, nil
		})
}
