package handlers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

func (w *world) judged(up float64) {
	w.t.Helper()
	if err := w.srv.Series.Append(w.t.Context(), time.Now(), []series.Sample{{Labels: series.Of("novacron_host_up", "host", "hv-1", "host_id", "host_1"), Value: up}}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.judge.Once(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func TestAlertPages(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	b.get("/alerts").want(t, 200, "No rules yet", "New rule")
	b.get("/alerts/rules").want(t, 200, "No rules")
	b.get("/alerts/rules/new").want(t, 200, "By a metric", "novacron_host_up", "Per second")
	b.get("/alerts/rules/new?as=promql").want(t, 200, "Expression in PromQL")
	plain := url.Values{"as": {"plain"}, "name": {"HostLow"}, "metric": {"novacron_host_up"}, "compare": {"<"}, "threshold": {"x"}, "for": {"0s"}, "severity": {"critical"}, "summary": {"{{ $labels.host }} is low"}}
	b.post("/alerts/rules", plain).want(t, 422, "“x” is not a number", `value="x"`)
	plain.Set("threshold", "1")
	plain.Set("rate", "1")
	b.post("/alerts/rules", plain).want(t, 422, "does not only grow")
	plain.Del("rate")
	plain.Set("preview", "1")
	b.post("/alerts/rules", plain).want(t, 200, "It would not have fired")
	plain.Del("preview")
	b.post("/alerts/rules", plain).wantMove(t, "/alerts/rules")
	b.post("/alerts/rules", url.Values{"name": {"Bad"}, "expr": {"sum(\nup +"}}).want(t, 422, "line 2, column", "sum(")
	rules, err := w.db.AlertRules(t.Context())
	if err != nil || len(rules) != 1 || rules[0].Expr != "novacron_host_up < 1" || rules[0].Labels["severity"] != "critical" {
		t.Fatalf("%+v (%v)", rules, err)
	}
	at := "/alerts/rules/" + rules[0].ID
	b.get(at).want(t, 200, "novacron_host_up &lt; 1", "HostLow")
	w.judged(0)
	b.post(at, url.Values{"name": {"HostLow"}, "expr": {"novacron_host_up < 1"}, "preview": {"1"}, "past": {"1h"}}).want(t, 200, "It would have fired 1 times", "host=hv-1")
	all, err := w.db.Alerts(t.Context(), db.AlertQuery{})
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v (%v)", all, err)
	}
	page := "/alerts/" + all[0].ID
	b.get("/alerts").want(t, 200, "HostLow on hv-1", "hv-1 is low", "critical")
	w.level("the header to count it", func() bool {
		return strings.Contains(b.get("/alerts").text, `>1<span class="hide-phone"> alert</span>`)
	})
	b.get("/").want(t, 200, `id="firing-title"`, "HostLow on hv-1")
	b.get("/alerts?state=resolved").want(t, 200, "Nothing here", "nobody would be told")
	b.get("/alerts?state=odd").want(t, 422)
	b.get(page).want(t, 200, "hv-1 is low", "I look after it", "Firing: hv-1 is low", "novacron_host_up")
	b.post(page+"/acknowledge", nil).wantMove(t, page)
	b.get(page).want(t, 200, "Looked after by", "Give it back")
	b.post(page+"/unacknowledge", nil).wantMove(t, page)
	b.post(page+"/comment", url.Values{"comment": {" "}}).want(t, 422, "nothing to note")
	b.post(page+"/comment", url.Values{"comment": {"It was the cable."}}).wantMove(t, page)
	b.get(page).want(t, 200, "It was the cable.")
	b.post(page+"/fly", nil).want(t, 404)

	b.get("/alerts/silences").want(t, 200, "Nothing is silenced")
	b.get("/alerts/silences/new?alert="+all[0].ID).want(t, 200, "host=&#34;hv-1&#34;")
	b.post("/alerts/silences", url.Values{"matchers": {"host"}, "lasts": {"2h"}, "comment": {"x"}}).want(t, 422, "does not choose alerts")
	b.post("/alerts/silences", url.Values{"matchers": {`host="hv-1"`}, "lasts": {"2h"}, "comment": {"it is moved"}}).wantMove(t, "/alerts/silences")
	w.judged(0)
	b.get(page).want(t, 200, "Nobody is told of it", "it is moved")
	sil, err := w.db.Silences(t.Context(), time.Now())
	if err != nil || len(sil) != 1 {
		t.Fatal(sil, err)
	}
	b.post("/alerts/silences/"+sil[0].ID+"/end", nil).wantMove(t, "/alerts/silences")

	b.get("/alerts/receivers").want(t, 200, "Nobody is told")
	b.get("/alerts/receivers/new").want(t, 200, "Mail addresses", "sends no mail")
	b.get("/alerts/receivers/new?kind=webhook").want(t, 200, "X-NovaCron-Signature")
	b.get("/alerts/receivers/new?kind=chat").want(t, 200, "shoutrrr")
	mail := url.Values{"kind": {"email"}, "name": {"ops"}, "to": {"nobody"}, "wait": {"1m"}, "repeat": {"4h"}, "group_by": {"host"}, "resolved": {"1"}}
	b.post("/alerts/receivers", mail).want(t, 422, "is not a mail address", `value="ops"`)
	mail.Set("to", "ops@example.org")
	a := b.post("/alerts/receivers", mail)
	if a.StatusCode != http.StatusSeeOther {
		t.Fatal(a.StatusCode, cut(a.text))
	}
	recv := a.location()
	w.judged(0)
	b.get(recv).want(t, 200, "ops@example.org", "1 firing", "waits", "Send a test")
	b.post(recv+"/test", nil).wantMove(t, recv) // there is no mail server: it is said
	mail.Set("version", "1")
	mail.Set("disabled", "1")
	b.post(recv, mail).wantMove(t, recv)
	b.get("/alerts/receivers").want(t, 200, "ops", "off")
	b.get(recv+"/delete").want(t, 200, "Delete the receiver ops?")
	b.post(recv+"/delete", nil).wantMove(t, "/alerts/receivers")

	b.get("/alerts/rules/export").want(t, 200, `alert: "HostLow"`)
	b.get("/alerts/rules/import").want(t, 200, "rule file")
	b.post("/alerts/rules/import", url.Values{"yaml": {"groups: ["}}).want(t, 422, "line 1")
	b.post("/alerts/rules/import", url.Values{"yaml": {"groups:\n- name: g\n  rules:\n  - alert: Low2\n    expr: novacron_host_up < 0.5\n    labels: {severity: warning}\n"}}).wantMove(t, "/alerts/rules")
	w.judged(0)
	incs, err := w.db.Incidents(t.Context(), true)
	if err != nil || len(incs) != 1 {
		t.Fatal(incs, err)
	}
	b.get("/alerts/incidents").want(t, 200, "HostLow", "open")
	b.get("/alerts/incidents/"+incs[0].ID).want(t, 200, "Probable cause", "Low2", "Time line")
	b.get(at+"/delete").want(t, 200, "Delete the rule HostLow?")
	b.post(at+"/delete", nil).wantMove(t, "/alerts/rules")
	w.judged(0)
	if now, err := w.db.Alert(t.Context(), all[0].ID); err != nil || now.State != domain.AlertResolved {
		t.Errorf("%+v (%v)", now, err)
	}
	b.get(at).want(t, 404)
	v := w.viewer()
	for _, p := range []string{"/alerts", "/alerts/rules", "/alerts/silences", "/alerts/receivers", "/alerts/incidents", page, "/alerts/incidents/" + incs[0].ID} {
		if a := v.get(p); a.StatusCode != 200 || strings.Contains(a.text, "I look after it") {
			t.Errorf("%s: %d", p, a.StatusCode)
		}
	}
	v.post(page+"/acknowledge", nil).want(t, 403)
}
