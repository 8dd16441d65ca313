package api

import (
	"testing"

	"novacron/domain/compliance"
)

func TestComplianceIsJudgedFromWhatIsThere(t *testing.T) {
	w := newWorld(t)
	got := map[string]compliance.Judgement{}
	for _, c := range want[struct {
		Items []compliance.Judgement
		Next  *string
	}](t, w.do("GET", "/api/v1/compliance", nil, token(w.viewer)), 200).Items {
		got[c.ID] = c
	}
	for id, state := range map[string]compliance.State{"server.tls": compliance.Fails, "hosts.migration": compliance.Unknown, "tokens.endless": compliance.Fails, "tokens.stale": compliance.Holds, "people.step-up": compliance.Holds} {
		if got[id].State != state || got[id].Why == "" || got[id].Fix == "" {
			t.Errorf("%s: %+v", id, got[id])
		}
	}
}
