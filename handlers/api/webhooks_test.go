package api

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"novacron/domain"
)

func TestWebhooksByAPI(t *testing.T) {
	w := newWorld(t)
	var got atomic.Int64
	status := atomic.Int64{}
	status.Store(200)
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		got.Add(1)
		rw.WriteHeader(int(status.Load()))
	}))
	defer other.Close()
	const base = "/api/v1/webhooks"
	hook := want[Webhook](t, w.do("POST", base, map[string]any{"name": "ci", "url": other.URL, "kinds": []string{"vm.*"}}), 201)
	if hook.Secret == "" || hook.ID == "" {
		t.Fatalf("%+v", hook)
	}
	if again := want[Webhook](t, w.do("GET", base+"/"+hook.ID, nil), 200); again.Secret != "" {
		t.Error("the secret is shown again")
	}
	w.emit(1, domain.Ref{Kind: "vm", ID: "vm_1"})
	var all Page[Delivery]
	w.until(func() bool {
		all = want[Page[Delivery]](t, w.do("GET", base+"/"+hook.ID+"/deliveries", nil), 200)
		return len(all.Items) == 1 && all.Items[0].State == domain.DeliverySent
	})
	if v := all.Items[0]; v.Event.Type != "novacron.vm.changed" || v.Status != 200 || v.NextAt != nil {
		t.Errorf("%+v", v)
	}
	before := got.Load()
	want[Delivery](t, w.do("POST", base+"/"+hook.ID+"/deliveries/"+all.Items[0].ID+"/redeliver", nil), 200)
	w.until(func() bool { return got.Load() > before })
	if a := w.do("POST", base+"/"+hook.ID+"/test", nil); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	status.Store(500)
	refused(t, w.do("POST", base+"/"+hook.ID+"/test", nil), 503, "")
	if plan := want[DryRun](t, w.do("POST", base+"/"+hook.ID+"/test?dry_run=true", nil), 200); len(plan.Checks) != 3 {
		t.Errorf("%+v", plan)
	}
	moved := want[Webhook](t, w.do("PATCH", base+"/"+hook.ID, map[string]any{"url": other.URL + "/elsewhere", "disabled": true}), 200)
	if moved.Secret == "" || moved.Secret == hook.Secret || !moved.Disabled {
		t.Errorf("%+v", moved)
	}
	refused(t, w.do("POST", base, map[string]any{"name": "", "url": "ftp://x"}), 422, "url")
	refused(t, w.do("POST", base, map[string]any{"name": "x", "url": "https://x", "secret": "short"}), 422, "secret")
	refused(t, w.do("GET", base, nil, token(w.viewer)), 403, "")
	if list := want[Page[Webhook]](t, w.do("GET", base+"?filter=disabled&sort=name", nil), 200); list.Total != 1 {
		t.Errorf("%+v", list)
	}
	if a := w.do("DELETE", base+"/"+hook.ID, nil); a.StatusCode != 204 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	refused(t, w.do("GET", base+"/"+hook.ID, nil), 404, "")
}
