package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/db/series"
)

func (w *world) judged(up float64) {
	w.t.Helper()
	if err := w.series.Append(w.t.Context(), time.Now(), []series.Sample{{Labels: series.Of("novacron_host_up", "host", "b1", "host_id", "host_1"), Value: up}}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.judge.Once(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func TestAlertsAsAResource(t *testing.T) {
	w := newWorld(t)
	for field, body := range map[string]string{
		"expr": `{"name":"A","expr":"sum("}`, "for": `{"name":"A","expr":"up","for":"soon"}`, "tenant": `{"name":"A","expr":"up","tenant":"nobody"}`, "labels": `{"name":"A","expr":"up","labels":{"a-b":"x"}}`,
	} {
		refused(t, w.do("POST", "/api/v1/rules", body), 422, field)
	}
	r := want[AlertRule](t, w.do("POST", "/api/v1/rules", `{"name":"Away","group":"g","expr":"novacron_host_up == 0","labels":{"severity":"critical"},"annotations":{"summary":"{{ $labels.host }} is away"}}`), 201)
	w.judged(0)
	all := want[AlertPage](t, w.do("GET", "/api/v1/alerts", nil, token(w.viewer)), 200)
	if len(all.Items) != 1 || all.Items[0].State != "firing" || all.Items[0].Summary != "b1 is away" || all.Items[0].HostID != "host_1" {
		t.Fatalf("%+v", all)
	}
	if all.Status != "success" || len(all.Data.Alerts) != 1 || all.Data.Alerts[0].Labels["alertname"] != "Away" || all.Data.Alerts[0].Value != "0e+00" {
		t.Errorf("Prometheus' clients get %+v", all.Data)
	}
	if got := want[AlertPage](t, w.do("GET", "/api/v1/alerts?state=resolved", nil), 200); len(got.Items) != 0 {
		t.Errorf("%+v", got.Items)
	}
	list := want[RulePage](t, w.do("GET", "/api/v1/rules?type=alert", nil), 200)
	if len(list.Items) != 1 || list.Items[0].State != "firing" || list.Items[0].Alerts != 1 || list.Data.Groups[0].Name != "g" || list.Data.Groups[0].Rules[0].State != "firing" || list.Data.Groups[0].Rules[0].Type != "alerting" {
		t.Errorf("%+v", list)
	}
	id := all.Items[0].ID
	if a := want[Alert](t, w.do("POST", "/api/v1/alerts/"+id+"/acknowledge", `{"comment":"on my way"}`), 200); a.AckedBy == "" || a.AckedAt == nil {
		t.Errorf("%+v", a)
	}
	if a := w.do("POST", "/api/v1/alerts/"+id+"/comments", `{"comment":"It was the cable."}`); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	evs, err := w.db.Events(t.Context(), db.EventQuery{Resource: id})
	if err != nil || len(evs) != 3 || !strings.Contains(evs[1].Message, "on my way") || evs[2].Message != "It was the cable." {
		t.Errorf("%+v %v", evs, err)
	}
	p := want[RulePreview](t, w.do("POST", "/api/v1/rules/preview", `{"expr":"novacron_host_up == 0","name":"","past":"1h"}`), 200)
	if len(p.Items) != 1 || p.Grain != 15 || p.Items[0].To != nil {
		t.Errorf("%+v", p)
	}
	refused(t, w.do("POST", "/api/v1/rules/preview", `{"expr":"novacron_host_up == 0","name":"","past":"400d"}`), 422, "past")
	r = want[AlertRule](t, w.do("PATCH", "/api/v1/rules/"+r.ID, `{"for":"5m","keep_firing_for":"1m","disabled":true}`), 200)
	if r.For != "5m" || !r.Disabled || r.Version != 2 {
		t.Errorf("%+v", r)
	}
	file := w.do("GET", "/api/v1/rules/export", nil)
	if !strings.Contains(string(file.body), `alert: "Away"`) || !strings.Contains(string(file.body), "for: 5m") {
		t.Errorf("%s", file.body)
	}
	in := want[RulesImported](t, w.do("POST", "/api/v1/rules/import", map[string]any{"yaml": string(file.body)}), 200)
	if len(in.Items) != 1 || in.Items[0].ID != r.ID {
		t.Errorf("%+v", in)
	}
	refused(t, w.do("POST", "/api/v1/rules/import", `{"yaml":"groups:\n- name: a\n  rules:\n  - alert: B\n    expr: sum(\n"}`), 422, "yaml")
	if a := w.do("DELETE", "/api/v1/rules/"+r.ID, nil); a.StatusCode != 204 {
		t.Errorf("%d", a.StatusCode)
	}
}

func TestSilencesReceiversAndIncidents(t *testing.T) {
	w := newWorld(t)
	refused(t, w.do("POST", "/api/v1/silences", `{"matchers":[{"name":"host","op":"?","value":"x"}],"ends_at":"2099-01-01T00:00:00Z","comment":"x"}`), 422, "ends_at")
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	refused(t, w.do("POST", "/api/v1/silences", `{"matchers":[{"name":"host","op":"?","value":"x"}],"ends_at":"`+end+`","comment":"x"}`), 422, "matchers")
	s := want[Silence](t, w.do("POST", "/api/v1/silences", `{"matchers":[{"name":"host","op":"=","value":"b1"}],"ends_at":"`+end+`","comment":"being moved"}`), 201)
	for _, rule := range []string{`{"name":"Away","expr":"novacron_host_up == 0"}`, `{"name":"Low","expr":"novacron_host_up < 1"}`} {
		want[AlertRule](t, w.do("POST", "/api/v1/rules", rule), 201)
	}
	w.judged(0)
	all := want[AlertPage](t, w.do("GET", "/api/v1/alerts?host=host_1&sort=name", nil), 200)
	if len(all.Items) != 2 || all.Items[0].SilenceID != s.ID || !strings.Contains(all.Items[0].Quiet, "being moved") {
		t.Errorf("%+v", all.Items)
	}
	if got := want[Page[Silence]](t, w.do("GET", "/api/v1/silences", nil), 200); len(got.Items) != 1 || got.Items[0].State != "active" {
		t.Errorf("%+v", got)
	}
	if a := w.do("DELETE", "/api/v1/silences/"+s.ID, nil); a.StatusCode != 204 {
		t.Errorf("%d", a.StatusCode)
	}
	if got := want[Silence](t, w.do("GET", "/api/v1/silences/"+s.ID, nil), 200); got.State != "expired" {
		t.Errorf("%+v", got)
	}
	incs := want[Page[Incident]](t, w.do("GET", "/api/v1/incidents?open=true", nil), 200)
	if len(incs.Items) != 1 || incs.Items[0].Alerts != 2 || !incs.Items[0].Open || incs.Items[0].Line != nil {
		t.Fatalf("%+v", incs)
	}
	if one := want[Incident](t, w.do("GET", "/api/v1/incidents/"+incs.Items[0].ID, nil), 200); len(one.Line) < 3 {
		t.Errorf("%+v", one)
	}

	told := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		told <- r.Header.Get("X-NovaCron-Signature") + " " + string(b)
	}))
	defer hook.Close()
	refused(t, w.do("POST", "/api/v1/receivers", `{"name":"x","kind":"webhook","url":"x"}`), 422, "url")
	refused(t, w.do("POST", "/api/v1/receivers", `{"name":"x","kind":"chat","address":"smtp://x"}`), 422, "address")
	r := want[Receiver](t, w.do("POST", "/api/v1/receivers", `{"name":"hook","kind":"webhook","url":"`+hook.URL+`","wait":"0s"}`), 201)
	if r.Secret == "" || !r.Resolved || r.Repeat != "4h" || len(r.GroupBy) != 2 {
		t.Errorf("%+v", r)
	}
	if again := want[Receiver](t, w.do("GET", "/api/v1/receivers/"+r.ID, nil), 200); again.Secret != "" {
		t.Error("the secret is shown again")
	}
	if a := w.do("POST", "/api/v1/receivers/"+r.ID+"/test", nil); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	if text := <-told; !strings.HasPrefix(text, "t=") || !strings.Contains(text, `"version":"4"`) {
		t.Errorf("%s", text)
	}
	w.judged(0)
	if log := want[Page[Notification]](t, w.do("GET", "/api/v1/notifications?receiver="+r.ID, nil), 200); len(log.Items) != 2 || log.Items[0].State != "queued" {
		t.Errorf("%+v", log)
	}
	if got := want[Receiver](t, w.do("PATCH", "/api/v1/receivers/"+r.ID, `{"disabled":true,"wait":"5m","repeat":"1h","matchers":[{"name":"severity","op":"=","value":"critical"}]}`), 200); !got.Disabled || got.Wait != "5m" {
		t.Errorf("%+v", got)
	}
	if got := want[Page[Receiver]](t, w.do("GET", "/api/v1/receivers", nil), 200); len(got.Items) != 1 {
		t.Errorf("%+v", got)
	}
	if a := w.do("DELETE", "/api/v1/receivers/"+r.ID, nil); a.StatusCode != 204 {
		t.Errorf("%d", a.StatusCode)
	}
}

func TestRotasAndEscalations(t *testing.T) {
	w := newWorld(t)
	ann := want[Receiver](t, w.do("POST", "/api/v1/receivers", `{"name":"ann","kind":"email","to":["ann@example.org"],"only_on_call":true}`), 201)
	if !ann.OnCall {
		t.Error("it is told by itself")
	}
	week := `{"monday":"` + ann.ID + `","tuesday":"` + ann.ID + `"}`
	refused(t, w.do("POST", "/api/v1/rotas", `{"name":"Ops","time_zone":"Mars/Base","hand_over":"09:00","days":`+week+`}`), 422, "time_zone")
	refused(t, w.do("POST", "/api/v1/rotas", `{"name":"Ops","time_zone":"UTC","hand_over":"09:00","days":{"monday":"recv_none"}}`), 422, "days")
	r := want[Rota](t, w.do("POST", "/api/v1/rotas", `{"name":"Ops","time_zone":"Europe/Berlin","hand_over":"09:00","days":`+week+`}`), 201)
	if r.Days.Tuesday != ann.ID || r.OnCall.To == nil || len(r.Next) < 2 {
		t.Errorf("%+v", r)
	}
	refused(t, w.do("POST", "/api/v1/rotas/"+r.ID+"/overrides", `{"receiver":"`+ann.ID+`","to":"2099-01-01T00:00:00Z"}`), 422, "to")
	end := time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339)
	with := want[Rota](t, w.do("POST", "/api/v1/rotas/"+r.ID+"/overrides", `{"receiver":"`+ann.ID+`","to":"`+end+`","note":"away"}`), 201)
	if len(with.Overrides) != 1 || with.OnCall.Receiver != ann.ID || with.OnCall.Override != with.Overrides[0].ID {
		t.Errorf("%+v", with)
	}
	if a := w.do("DELETE", "/api/v1/rotas/"+r.ID+"/overrides/"+with.Overrides[0].ID, nil); a.StatusCode != 204 {
		t.Error(a.StatusCode)
	}
	if got := want[Rota](t, w.do("PATCH", "/api/v1/rotas/"+r.ID, `{"hand_over":"10:00"}`), 200); got.HandOver != "10:00" || len(got.Overrides) != 0 {
		t.Errorf("%+v", got)
	}
	refused(t, w.do("POST", "/api/v1/escalations", `{"name":"x","steps":[{"to":"recv_none"}]}`), 422, "steps")
	refused(t, w.do("POST", "/api/v1/escalations", `{"name":"x","steps":[{"to":"`+r.ID+`","after":"soon"}]}`), 422, "steps")
	e := want[Escalation](t, w.do("POST", "/api/v1/escalations", `{"name":"Critical","steps":[{"to":"`+r.ID+`"},{"after":"15m","to":"`+ann.ID+`"}]}`), 201)
	if got := want[Escalation](t, w.do("PATCH", "/api/v1/escalations/"+e.ID, `{"disabled":true,"matchers":[{"name":"severity","op":"=","value":"critical"}]}`), 200); !got.Disabled || len(got.Steps) != 2 || got.Steps[1].After != "15m" {
		t.Errorf("%+v", got)
	}
	refused(t, w.do("DELETE", "/api/v1/rotas/"+r.ID, nil), 409, "")
	refused(t, w.do("DELETE", "/api/v1/receivers/"+ann.ID, nil), 409, "")
	if got := want[Page[Escalation]](t, w.do("GET", "/api/v1/escalations", nil), 200); len(got.Items) != 1 {
		t.Errorf("%+v", got)
	}
	if got := want[Page[Rota]](t, w.do("GET", "/api/v1/rotas", nil), 200); len(got.Items) != 1 {
		t.Errorf("%+v", got)
	}
	refused(t, w.do("GET", "/api/v1/alerts/alert_none/escalated", nil), 404, "")
	for _, path := range []string{"/api/v1/escalations/" + e.ID, "/api/v1/rotas/" + r.ID, "/api/v1/receivers/" + ann.ID} {
		if a := w.do("DELETE", path, nil); a.StatusCode != 204 {
			t.Error(path, a.StatusCode)
		}
	}
}
