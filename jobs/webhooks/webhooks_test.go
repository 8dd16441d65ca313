package webhooks

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"novacron/db"
	"novacron/domain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a desk over a clock that tests set, and a system that it calls.
type rig struct {
	t    *testing.T
	d    *db.DB
	desk *Desk
	srv  *httptest.Server

	mu     sync.Mutex
	now    time.Time
	status int
	got    []call
}

type call struct {
	id, timestamp, signature, contentType string
	body                                  []byte
}

func newRig(t *testing.T, path string, local bool) *rig {
	r := &rig{t: t, now: time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC), status: 200}
	var err error
	if r.d, err = db.Open(t.Context(), path, slog.New(slog.DiscardHandler), r.clock, db.Unsynced()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.d.Close() })
	r.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, call{req.Header.Get("webhook-id"), req.Header.Get("webhook-timestamp"), req.Header.Get("webhook-signature"), req.Header.Get("Content-Type"), body})
		if r.status >= 300 && r.status < 400 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.srv.Close)
	r.desk = New(r.d, slog.New(slog.DiscardHandler), r.clock, "https://n.example.org", local)
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) calls() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]call(nil), r.got...)
}

// once plans and waits until what was due has been tried.
func (r *rig) once() {
	r.t.Helper()
	var calls sync.WaitGroup
	if err := r.desk.once(r.t.Context(), &calls); err != nil {
		r.t.Fatal(err)
	}
	calls.Wait()
}

func (r *rig) put(w domain.Webhook) domain.Webhook {
	r.t.Helper()
	w, err := r.desk.Put(r.t.Context(), "test", w)
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

func (r *rig) emit(kind, id string) {
	r.t.Helper()
	err := r.d.Write(r.t.Context(), func(tx *db.Tx) error {
		return tx.Emit(domain.Event{Kind: kind, Resource: domain.Ref{Kind: "vm", ID: id, Name: id}, Actor: "test", Message: "It changed."})
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) deliveries(id string) []domain.Delivery {
	r.t.Helper()
	all, err := r.d.Deliveries(r.t.Context(), db.DeliveryQuery{Webhook: id, Limit: 100})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func TestEventsAreSentSigned(t *testing.T) {
	r := newRig(t, filepath.Join(t.TempDir(), "novacron.db"), true)
	r.emit("vm.changed", "vm_0") // before there was a webhook
	w := r.put(domain.Webhook{Name: "ci", URL: r.srv.URL, Kinds: []string{"vm.*"}})
	other := r.put(domain.Webhook{Name: "one", URL: r.srv.URL, Object: "vm_9"})
	r.emit("vm.changed", "vm_1")
	r.emit("host.changed", "vm_1")
	r.once()
	got := r.calls()
	if len(got) != 1 {
		t.Fatalf("%d calls", len(got))
	}
	c := got[0]
	if err := domain.VerifyWebhook(w.Secret, c.id, c.timestamp, c.signature, c.body, r.clock()); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]error{
		"another secret": domain.VerifyWebhook(other.Secret, c.id, c.timestamp, c.signature, c.body, r.clock()),
		"another body":   domain.VerifyWebhook(w.Secret, c.id, c.timestamp, c.signature, append([]byte(" "), c.body...), r.clock()),
		"another id":     domain.VerifyWebhook(w.Secret, "x", c.timestamp, c.signature, c.body, r.clock()),
		"no time":        domain.VerifyWebhook(w.Secret, c.id, "", c.signature, c.body, r.clock()),
		"a late clock":   domain.VerifyWebhook(w.Secret, c.id, c.timestamp, c.signature, c.body, r.clock().Add(6*time.Minute)),
		"an early clock": domain.VerifyWebhook(w.Secret, c.id, c.timestamp, c.signature, c.body, r.clock().Add(-6*time.Minute)),
	} {
		if bad == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := domain.VerifyWebhook(w.Secret, c.id, c.timestamp, "v1,other "+c.signature, c.body, r.clock().Add(-4*time.Minute)); err != nil {
		t.Errorf("a clock that is four minutes off: %v", err)
	}
	var ev domain.CloudEvent
	if err := json.Unmarshal(c.body, &ev); err != nil || ev.SpecVersion != "1.0" || ev.Type != "novacron.vm.changed" || ev.Subject != "vm_1" || ev.Source != "https://n.example.org/api/v1/events" || c.contentType != "application/cloudevents+json; charset=utf-8" {
		t.Errorf("%s %s %v", c.contentType, c.body, err)
	}
	if all := r.deliveries(w.ID); len(all) != 1 || all[0].State != domain.DeliverySent || all[0].Status != 200 || all[0].ID != c.id {
		t.Errorf("%+v", all)
	}
	r.once()
	if len(r.calls()) != 1 {
		t.Error("it was sent twice")
	}
}

func TestWhatIsNotTakenIsTriedForADay(t *testing.T) {
	r := newRig(t, filepath.Join(t.TempDir(), "novacron.db"), true)
	w := r.put(domain.Webhook{Name: "ci", URL: r.srv.URL})
	r.answer(503)
	r.emit("vm.changed", "vm_1")
	r.once()
	if v := r.deliveries(w.ID)[0]; v.State != domain.DeliveryQueued || v.Attempts != 1 || v.Status != 503 || v.Error == "" || v.NextAt != r.clock().Add(5*time.Second) {
		t.Errorf("%+v", v)
	}
	r.once()
	if len(r.calls()) != 1 {
		t.Error("it was not waited")
	}
	r.answer(302) // leads elsewhere, and is not followed
	for range 20 {
		r.pass(10 * time.Hour)
		r.once()
	}
	v := r.deliveries(w.ID)[0]
	if v.State != domain.DeliveryDead || v.Attempts != 11 || v.Status != 302 {
		t.Errorf("%+v", v)
	}
	for _, c := range r.calls() {
		if c.id != v.ID {
			t.Errorf("a call has the id %s instead of %s", c.id, v.ID)
		}
	}
	evs, err := r.d.Events(t.Context(), db.EventQuery{Newest: true, Limit: 1})
	if err != nil || evs[0].Kind != "webhook.failed" {
		t.Errorf("%+v %v", evs, err)
	}
	if n, err := r.d.CountDeliveries(t.Context()); err != nil || n[w.ID][domain.DeliveryDead] != 1 || n[w.ID][domain.DeliveryQueued] != 0 {
		t.Errorf("%v %v", n, err) // that it failed is not sent to it
	}
	r.answer(204)
	if _, err := r.desk.Redeliver(t.Context(), "test", w.ID, v.ID); err != nil {
		t.Fatal(err)
	}
	r.once()
	if v := r.deliveries(w.ID)[0]; v.State != domain.DeliverySent || v.Status != 204 {
		t.Errorf("sent again: %+v", v)
	}
	if _, err := r.desk.Redeliver(t.Context(), "test", w.ID, "dlv_none"); !domain.Is(err, domain.NotFound) {
		t.Errorf("%v", err)
	}
	if err := r.d.PruneDeliveries(t.Context(), r.clock().Add(time.Hour), r.clock()); err != nil || len(r.deliveries(w.ID)) != 0 {
		t.Errorf("what is old is kept: %v", err)
	}
}

// One that hangs does not hold up another, and what was not finished when the server died is sent after the next start.
func TestOneThatHangsHoldsUpNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "novacron.db")
	r := newRig(t, path, true)
	release := make(chan struct{})
	hanging := make(chan struct{}, 100)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		hanging <- struct{}{}
		select {
		case <-release:
		case <-req.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(release)
	stuck := r.put(domain.Webhook{Name: "stuck", URL: slow.URL})
	good := r.put(domain.Webhook{Name: "good", URL: r.srv.URL})
	ctx, kill := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.desk.Run(ctx) }()
	r.emit("vm.changed", "vm_1")
	<-hanging
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(r.calls()) == 0 {
		<-tick.C
	}
	kill()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if v := r.deliveries(stuck.ID); len(v) != 1 || v[0].State != domain.DeliveryQueued || v[0].Attempts != 0 {
		t.Errorf("the call that was cut short: %+v", v)
	}
	r.desk = New(r.d, slog.New(slog.DiscardHandler), r.clock, "", true)
	if _, err := r.desk.Put(t.Context(), "test", domain.Webhook{ID: stuck.ID, Version: stuck.Version, Name: "stuck", URL: r.srv.URL}); err != nil {
		t.Fatal(err)
	}
	before := len(r.calls())
	for len(r.calls()) == before {
		r.once()
		<-tick.C
	}
	_ = good
}

// One that takes the call and never answers is given up after a while, and tried again like one that refuses; so is one whose answer never ends.
func TestOneThatHangsIsGivenUp(t *testing.T) {
	r := newRig(t, filepath.Join(t.TempDir(), "novacron.db"), true)
	r.desk.patience = 50 * time.Millisecond
	for name, begins := range map[string]bool{"says nothing": false, "never ends": true} {
		slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if _, err := io.Copy(io.Discard, req.Body); err != nil { // only then the server knows when the other side leaves
				t.Error(err)
			}
			if begins {
				w.WriteHeader(200)
				w.(http.Flusher).Flush()
			}
			<-req.Context().Done()
		}))
		defer slow.Close()
		w := r.put(domain.Webhook{Name: name, URL: slow.URL})
		r.emit("vm.changed", "vm_1")
		r.once()
		if v := r.deliveries(w.ID); len(v) != 1 || v[0].State != domain.DeliveryQueued || v[0].Attempts != 1 || v[0].Error == "" || !v[0].NextAt.After(r.clock()) {
			t.Errorf("%s: %+v", name, v)
		}
		if err := r.desk.Test(t.Context(), "test", w.ID); !domain.Is(err, domain.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.desk.Delete(t.Context(), "test", w.ID); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWebhooksLeadNowhereInside(t *testing.T) {
	r := newRig(t, filepath.Join(t.TempDir(), "novacron.db"), false)
	w := r.put(domain.Webhook{Name: "inside", URL: r.srv.URL})
	if err := r.desk.Test(t.Context(), "test", w.ID); !domain.Is(err, domain.Denied) {
		t.Errorf("%v", err)
	}
	r.emit("vm.changed", "vm_1")
	r.once()
	if len(r.calls()) != 0 {
		t.Error("it was called")
	}
	for _, bad := range []domain.Webhook{{}, {Name: "x", URL: "ftp://x"}, {Name: "x", URL: "https://u:p@x/"}, {Name: "x", URL: "https://x/", Kinds: []string{"VM changed"}}, {Name: "x", URL: "https://x/", Tenant: "none"}} {
		if _, err := r.desk.Put(t.Context(), "test", bad); !domain.Is(err, domain.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	changed := w
	changed.URL, changed.Secret = "https://other.example/", nil
	if changed = r.put(changed); string(changed.Secret) == string(w.Secret) {
		t.Error("the secret goes to another place")
	}
	secret := string(changed.Secret)
	changed.Secret, changed.Disabled = nil, true
	if again := r.put(changed); string(again.Secret) != secret {
		t.Error("the secret was not kept")
	}
	if _, err := domain.ParseWebhookSecret("secret", "whsec_short"); err == nil {
		t.Error("a bad secret is taken")
	}
	if b, err := domain.ParseWebhookSecret("secret", domain.WebhookSecretText(w.Secret)); err != nil || string(b) != string(w.Secret) {
		t.Errorf("%v", err)
	}
	if err := r.desk.Delete(t.Context(), "test", w.ID); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{r.desk.Delete(t.Context(), "test", w.ID), r.desk.Test(t.Context(), "test", w.ID)} {
		if !domain.Is(err, domain.NotFound) {
			t.Errorf("%v", err)
		}
	}
}

func TestATestIsSentAtOnce(t *testing.T) {
	r := newRig(t, filepath.Join(t.TempDir(), "novacron.db"), true)
	w := r.put(domain.Webhook{Name: "ci", URL: r.srv.URL})
	if err := r.desk.Test(t.Context(), "eva", w.ID); err != nil || len(r.calls()) != 1 {
		t.Errorf("%v, %d calls", err, len(r.calls()))
	}
	r.answer(500)
	if err := r.desk.Test(t.Context(), "eva", w.ID); !domain.Is(err, domain.Unavailable) {
		t.Errorf("%v", err)
	}
	if len(r.deliveries(w.ID)) != 0 {
		t.Error("a test is not a delivery")
	}
}
