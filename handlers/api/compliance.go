package api

import (
	"context"
	"net/http"

	"novacron/auth/access"
	"novacron/domain/compliance"
)

func (s *server) compliance() {
	register(s, op{id: "list-compliance", method: http.MethodGet, path: "/compliance", tag: accessTag, perm: access.AuditRead, status: 200, summary: "Say how well this server and its hosts are kept",
		doc: "In the manner of the CIS benchmarks, from what is known now: each check with why it matters and how to mend it."},
		func(ctx context.Context, _ *struct{}) (*struct {
			Body struct {
				Items []compliance.Judgement `json:"items" nullable:"false"`
				Next  *string                `json:"next" doc:"Always null"`
			}
		}, error) {
			checks, err := s.Auth.Compliance(ctx)
			if err != nil {
				return nil, err
			}
			out := &struct {
				Body struct {
					Items []compliance.Judgement `json:"items" nullable:"false"`
					Next  *string                `json:"next" doc:"Always null"`
				}
			}{}
			out.Body.Items = list(checks)
			return out, nil
		})
}
