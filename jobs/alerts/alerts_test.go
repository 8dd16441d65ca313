package alerts

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

// rig is a judge, a sender and a desk over a clock that tests set.
type rig struct {
	*Desk
	t     testing.TB
	d     *db.DB
	store *series.Store
	judge *Judge
	send  *Sender

	mu    sync.Mutex
	now   time.Time
	mails []string
	down  bool
}

func (w *rig) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func newRig(t testing.TB) *rig {
	t.Helper()
	w := &rig{t: t, now: time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	if w.d, err = db.Open(t.Context(), filepath.Join(t.TempDir(), "novacron.db"), log, w.clock); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.d.Close() })
	if w.store, err = series.Open(t.TempDir(), log, series.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	w.judge = New(w.d, w.store, log, w.clock, Options{Site: "https://n.example.org"})
	w.send = NewSender(w.d, log, w.clock, func(_ context.Context, to []string, subject, text string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.down {
			return domain.Errorf(domain.Unavailable, "The mail server is away.")
		}
		w.mails = append(w.mails, strings.Join(to, ",")+"|"+subject+"|"+text)
		return nil
	}, "https://n.example.org/", true)
	w.Desk = NewDesk(w.d, w.store, w.clock, w.send, true)
	return w
}

// pass lets time go by, measures a host, judges and sends.
func (w *rig) pass(d time.Duration, up map[string]float64) {
	w.t.Helper()
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
	var batch []series.Sample
	for host, v := range up {
		batch = append(batch, series.Sample{Labels: series.Of("novacron_host_up", "host", host, "host_id", "host_"+host), Value: v})
	}
	if err := w.store.Append(w.t.Context(), w.clock(), batch); err != nil {
		w.t.Fatal(err)
	}
	if err := w.judge.Once(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.send.Once(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *rig) rule(r domain.AlertRule) domain.AlertRule {
	w.t.Helper()
	r, err := w.PutRule(w.t.Context(), "ada", r)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *rig) alerts(states ...domain.AlertState) []domain.Alert {
	w.t.Helper()
	all, err := w.d.Alerts(w.t.Context(), db.AlertQuery{States: states})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

var away = domain.AlertRule{Name: "HostAway", Expr: "novacron_host_up == 0", For: 30 * time.Second, Labels: map[string]string{"severity": "critical", "inhibits": "host"}, Annotations: map[string]string{"summary": "{{ $labels.host }} is away."}}

// From the cause to the mail and the signed webhook, and to the end; a server that is started anew in the middle tells nothing twice.
func TestTheLifeOfAnAlert(t *testing.T) {
	w := newRig(t)
	ctx := t.Context()
	type call struct {
		body      []byte
		signature string
	}
	var mu sync.Mutex
	var calls []call
	answer := http.StatusServiceUnavailable
	hook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if answer == http.StatusOK {
			calls = append(calls, call{b, r.Header.Get("X-NovaCron-Signature")})
		}
		rw.WriteHeader(answer)
	}))
	defer hook.Close()
	mail, err := w.PutReceiver(ctx, "ada", domain.Receiver{Name: "ops", Kind: domain.ReceiveMail, To: []string{"Ops <ops@example.org>"}, Resolved: true, GroupBy: []string{"host"}})
	if err != nil || mail.To[0] != "ops@example.org" {
		t.Fatal(mail, err)
	}
	web, err := w.PutReceiver(ctx, "ada", domain.Receiver{Name: "hook", Kind: domain.ReceiveWebhook, URL: hook.URL, Secret: []byte("s3cret"), Resolved: true, GroupBy: []string{"alertname"}})
	if err != nil {
		t.Fatal(err)
	}
	w.rule(away)
	w.pass(0, map[string]float64{"b1": 1})
	w.pass(15*time.Second, map[string]float64{"b1": 0})
	if a := w.alerts(live...); len(a) != 1 || a[0].State != domain.AlertPending || a[0].HostID != "host_b1" || a[0].Severity != "critical" {
		t.Fatalf("%+v", a)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 0})
	w.judge = New(w.d, w.store, w.judge.log, w.clock, w.judge.opt) // the server is started anew
	w.pass(15*time.Second, map[string]float64{"b1": 0})
	a := w.alerts(domain.AlertFiring)
	if len(a) != 1 || a[0].Summary() != "b1 is away." || len(w.mails) != 1 || !strings.Contains(w.mails[0], "ops@example.org|Firing: HostAway on b1|") || !strings.Contains(w.mails[0], "https://n.example.org/alerts/"+a[0].ID) {
		t.Fatalf("%+v %q", a, w.mails)
	}
	log, err := w.d.Notifications(ctx, web.ID, 10)
	if err != nil || len(log) != 1 || log[0].State != domain.NotificationQueued || !strings.Contains(log[0].Error, "503") {
		t.Fatalf("%+v %v", log, err)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 0})
	if stuck, err := w.d.StuckNotifications(ctx); err != nil || stuck["hook"] != 1 {
		t.Errorf("%v %v", stuck, err)
	}
	mu.Lock()
	answer = http.StatusOK
	mu.Unlock()
	w.pass(time.Minute, map[string]float64{"b1": 0})
	if len(calls) != 1 || len(w.mails) != 1 {
		t.Fatalf("%d calls, %d mails", len(calls), len(w.mails))
	}
	var m Message
	if err := json.Unmarshal(calls[0].body, &m); err != nil || m.Version != "4" || m.Status != "firing" || m.CommonLabels["host"] != "b1" || m.GroupLabels["alertname"] != "HostAway" || m.Alerts[0].Fingerprint != a[0].Fingerprint {
		t.Errorf("%+v %v", m, err)
	}
	when, code, _ := strings.Cut(strings.TrimPrefix(calls[0].signature, "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write([]byte(when + "." + string(calls[0].body)))
	if code != hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("the signature %q is wrong", calls[0].signature)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 1})
	if len(calls) != 2 || len(w.mails) != 2 || !strings.Contains(w.mails[1], "|Resolved: HostAway on b1|") || !strings.Contains(string(calls[1].body), `"status":"resolved"`) {
		t.Fatalf("%d calls, %q", len(calls), w.mails)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 1})
	if len(calls) != 2 || len(w.mails) != 2 || len(w.alerts(live...)) != 0 {
		t.Errorf("%d calls, %d mails", len(calls), len(w.mails))
	}
	evs, err := w.d.Events(ctx, db.EventQuery{Resource: a[0].ID})
	if err != nil || len(evs) != 3 || evs[0].Kind != "alert.pending" || evs[1].Kind != "alert.firing" || evs[2].Kind != "alert.resolved" || evs[1].HostID != "host_b1" {
		t.Errorf("%+v %v", evs, err)
	}
}

func TestQuietAlertsAreNotTold(t *testing.T) {
	w := newRig(t)
	ctx := t.Context()
	if _, err := w.PutReceiver(ctx, "ada", domain.Receiver{Name: "ops", Kind: domain.ReceiveMail, To: []string{"ops@example.org"}, Resolved: true, GroupBy: []string{"host", "alertname"}}); err != nil {
		t.Fatal(err)
	}
	r := away
	r.For = 0
	w.rule(r)
	w.rule(domain.AlertRule{Name: "Low", Expr: "novacron_host_up < 1"})
	sil, err := w.PutSilence(ctx, "ada", domain.Silence{Matchers: []domain.Matcher{{Name: "host", Op: "=", Value: "b1"}}, EndsAt: w.clock().Add(time.Hour), Comment: "being moved"})
	if err != nil {
		t.Fatal(err)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 0, "b2": 0})
	if len(w.mails) != 1 || !strings.Contains(w.mails[0], "HostAway on b2") {
		t.Fatalf("%q", w.mails)
	}
	for _, a := range w.alerts(domain.AlertFiring) {
		want := map[string]string{"HostAway on b1": "silenced by ada: being moved", "Low on b1": "silenced by ada: being moved", "Low on b2": "explained by HostAway on b2", "HostAway on b2": ""}[a.Title()]
		if a.Quiet != want {
			t.Errorf("%s: %q", a.Title(), a.Quiet)
		}
	}
	if n, err := w.d.FiringAlerts(ctx); err != nil || n != 1 {
		t.Error(n, err)
	}
	if _, err := w.ExpireSilence(ctx, "ada", sil.ID); err != nil {
		t.Fatal(err)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 0, "b2": 0})
	if len(w.mails) != 2 || !strings.Contains(w.mails[1], "HostAway on b1") {
		t.Errorf("%q", w.mails)
	}
	incs, err := w.d.Incidents(ctx, true)
	if err != nil || len(incs) != 2 || incs[0].Alerts != 2 || !strings.Contains(incs[0].Title, "HostAway, Low") && !strings.Contains(incs[0].Title, "Low, HostAway") || !strings.Contains(incs[0].Cause, "away") {
		t.Errorf("%+v %v", incs, err)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 1, "b2": 1})
	if incs, err = w.d.Incidents(ctx, true); err != nil || len(incs) != 0 {
		t.Errorf("%+v %v", incs, err)
	}
	all, err := w.d.Incidents(ctx, false)
	if err != nil || len(all) != 2 || all[0].EndedAt.IsZero() {
		t.Fatalf("%+v %v", all, err)
	}
	line, err := w.d.TimeLine(ctx, all[0])
	if err != nil || len(line) < 5 {
		t.Errorf("%+v %v", line, err)
	}
}

func TestRulesAtTheDesk(t *testing.T) {
	w := newRig(t)
	ctx := t.Context()
	r := w.rule(domain.AlertRule{Name: "Low", Expr: "novacron_host_up < 1"})
	w.pass(15*time.Second, map[string]float64{"b1": 0})
	a := w.alerts(domain.AlertFiring)
	if len(a) != 1 {
		t.Fatalf("%+v", a)
	}
	if got, err := w.Acknowledge(ctx, "ada", a[0].ID, true, "On my way."); err != nil || got.AckedBy != "ada" {
		t.Error(got, err)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 0})
	if got, err := w.Acknowledge(ctx, "ada", a[0].ID, false, ""); err != nil || got.AckedBy != "" {
		t.Error(got, err)
	}
	if err := w.Comment(ctx, "ada", a[0].ID, " "); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	if err := w.Comment(ctx, "ada", a[0].ID, "It was the cable."); err != nil {
		t.Error(err)
	}
	stale := r
	r.Disabled = true
	r = w.rule(r)
	if _, err := w.PutRule(ctx, "ada", stale); !domain.Is(err, domain.Conflict) {
		t.Error(err)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 0})
	if got := w.alerts(live...); len(got) != 0 {
		t.Errorf("what stood by a rule that is off: %+v", got)
	}
	if _, err := w.Acknowledge(ctx, "ada", a[0].ID, true, ""); !domain.Is(err, domain.Conflict) {
		t.Error(err)
	}
	r.Disabled, r.Expr = false, "sum by (host_id) (novacron_host_up) * on(host_id) group_left() novacron_host_up < 1"
	r = w.rule(r)
	dup := w.rule(domain.AlertRule{Name: "Dup", Expr: "novacron_host_up", Labels: map[string]string{"host": "x", "host_id": "x"}})
	w.pass(15*time.Second, map[string]float64{"b1": 0, "b2": 0})
	if got, err := w.d.AlertRule(ctx, dup.ID); err != nil || got.Error == "" {
		t.Errorf("%+v %v", got, err)
	}
	if err := w.DeleteRule(ctx, "ada", dup.ID); err != nil {
		t.Error(err)
	}
	if err := w.DeleteRule(ctx, "ada", r.ID); err != nil {
		t.Error(err)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 0, "b2": 0})
	if got := w.alerts(live...); len(got) != 0 {
		t.Errorf("what stood by a rule that is gone: %+v", got)
	}
	if _, _, err := w.Preview(ctx, domain.AlertRule{Name: "x", Expr: "novacron_host_up == 0"}, time.Second); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	if found, _, err := w.Preview(ctx, domain.AlertRule{Name: "x", Expr: "novacron_host_up == 0"}, time.Hour); err != nil || len(found) != 2 {
		t.Errorf("%+v %v", found, err)
	}
	file := []byte("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up == 0\n  - record: b\n    expr: up\n")
	for range 2 { // a second time changes the same rule
		kept, left, err := w.ImportRules(ctx, "ada", "", file)
		if err != nil || len(kept) != 1 || len(left) != 1 {
			t.Errorf("%+v %v %v", kept, left, err)
		}
	}
	if _, _, err := w.ImportRules(ctx, "ada", "", []byte("groups: []")); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	if all, err := w.d.AlertRules(ctx); err != nil || len(all) != 1 {
		t.Errorf("%+v %v", all, err)
	}
}

func TestTheStarterSetIsGoodAndWrittenOnce(t *testing.T) {
	w := newRig(t)
	for range 2 {
		if err := Seed(t.Context(), w.d, w.clock()); err != nil {
			t.Fatal(err)
		}
	}
	all, err := w.d.AlertRules(t.Context())
	if err != nil || len(all) != len(starter())+len(further()) {
		t.Fatalf("%d %v", len(all), err)
	}
	for _, r := range all {
		if err := w.store.CheckRule(r); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
	w.pass(15*time.Second, map[string]float64{"b1": 1})
	if a := w.alerts(live...); len(a) != 0 {
		t.Errorf("it is not quiet: %+v", a)
	}
	if all, err = w.d.AlertRules(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Error != "" {
			t.Errorf("%s: %s", r.Name, r.Error)
		}
	}
}

func TestReceivers(t *testing.T) {
	w := newRig(t)
	ctx := t.Context()
	for field, r := range map[string]domain.Receiver{
		"to":       {Name: "x", Kind: domain.ReceiveMail, To: []string{"nobody"}},
		"url":      {Name: "x", Kind: domain.ReceiveWebhook, URL: "ftp://x"},
		"address":  {Name: "x", Kind: domain.ReceiveChat, Secret: []byte("generic://example.org")},
		"kind":     {Name: "x", Kind: "pigeon"},
		"name":     {Kind: domain.ReceiveMail, To: []string{"a@b.org"}},
		"wait":     {Name: "x", Kind: domain.ReceiveMail, To: []string{"a@b.org"}, Wait: -1},
		"repeat":   {Name: "x", Kind: domain.ReceiveMail, To: []string{"a@b.org"}, Repeat: time.Second},
		"tenant":   {Name: "x", Kind: domain.ReceiveMail, To: []string{"a@b.org"}, Tenant: "nobody"},
		"matchers": {Name: "x", Kind: domain.ReceiveMail, To: []string{"a@b.org"}, Matchers: []domain.Matcher{{Name: "a", Op: "?"}}},
	} {
		_, err := w.PutReceiver(ctx, "ada", r)
		if e, ok := err.(*domain.Error); !ok || len(e.Fields) == 0 || e.Fields[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	var mu sync.Mutex
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = r.URL.Path + " " + string(b)
		mu.Unlock()
		fmt.Fprint(rw, `{"id":"x","time":1,"event":"message","topic":"ops"}`)
	}))
	defer srv.Close()
	chat, err := w.PutReceiver(ctx, "ada", domain.Receiver{Name: "phone", Kind: domain.ReceiveChat, Secret: []byte("ntfy://" + strings.TrimPrefix(srv.URL, "http://") + "/ops?scheme=http")})
	if err != nil || chat.Service != "ntfy" || chat.Where() != "ntfy" {
		t.Fatal(chat, err)
	}
	if err := w.TestReceiver(ctx, "ada", chat.ID); err != nil || !strings.Contains(got, "tries out") {
		t.Errorf("%q %v", got, err)
	}
	guarded := NewSender(w.d, w.judge.log, w.clock, nil, "", false)
	if err := guarded.hand(ctx, &chat, domain.Notification{}, nil); err == nil {
		t.Error("a chat at this machine's own address was told")
	}
	hook := domain.Receiver{Kind: domain.ReceiveWebhook, URL: srv.URL}
	if err := guarded.hand(ctx, &hook, domain.Notification{}, nil); !domain.Is(err, domain.Denied) {
		t.Errorf("a webhook at this machine's own address was told: %v", err)
	}
	if err := guarded.hand(ctx, &domain.Receiver{Kind: domain.ReceiveMail}, domain.Notification{}, nil); !domain.Is(err, domain.Unavailable) {
		t.Error(err)
	}
	for _, a := range []string{"slack://hook:AAAAAAAAA-BBBBBBBBB-123456789123456789123456@webhook", "discord://token@123", "telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw@telegram?chats=@ops", "pagerduty:///0123456789abcdef0123456789abcdef"} {
		if _, err := w.send.service(a); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	chat.Disabled, chat.Secret = true, nil
	if chat, err = w.PutReceiver(ctx, "ada", chat); err != nil || len(chat.Secret) == 0 {
		t.Errorf("the address was not kept: %v", err)
	}
	if err := w.DeleteReceiver(ctx, "ada", chat.ID); err != nil {
		t.Error(err)
	}
}

// The server's own troubles: a backup that is late, a disk that takes no more samples, and hosts whose kernel tells that processors are short.
func TestFurtherStartersFire(t *testing.T) {
	w := newRig(t)
	if err := Seed(t.Context(), w.d, w.clock()); err != nil {
		t.Fatal(err)
	}
	made, waits := float64(w.clock().Unix()), 0.0
	measure := func(d time.Duration, full bool) {
		t.Helper()
		w.mu.Lock()
		w.now = w.now.Add(d)
		w.mu.Unlock()
		waits += 0.9 * d.Seconds()
		if !full {
			if err := w.store.Append(t.Context(), w.clock(), []series.Sample{{Labels: series.Of("novacron_series"), Value: 1}, {Labels: series.Of("novacron_backup_timestamp_seconds"), Value: made},
				{Labels: series.Of("node_pressure_cpu_waiting_seconds_total", "host", "b1", "host_id", "host_b1"), Value: waits}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.judge.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	firing := func() (out []string) {
		for _, a := range w.alerts(domain.AlertFiring) {
			out = append(out, a.Name)
		}
		slices.Sort(out)
		return out
	}
	measure(0, false)
	for range 20 {
		measure(time.Minute, false)
		if got := firing(); slices.Contains(got, "MeasuringStopped") {
			t.Fatalf("%s: %q", w.clock(), got)
		}
	}
	if got := firing(); !slices.Equal(got, []string{"HostCPUPressure"}) {
		t.Errorf("%q", got)
	}
	for range 4 {
		measure(time.Minute, true)
	}
	if got := firing(); !slices.Contains(got, "MeasuringStopped") {
		t.Errorf("a full disk: %q", got)
	}
	measure(time.Minute, false)
	if got := firing(); slices.Contains(got, "MeasuringStopped") {
		t.Errorf("there is room again: %q", got)
	}
	measure(48*time.Hour, false)
	measure(2*time.Hour, false)
	if got := firing(); !slices.Contains(got, "BackupLate") {
		t.Errorf("a late backup: %q", got)
	}
	made = float64(w.clock().Unix())
	measure(time.Minute, false)
	if got := firing(); slices.Contains(got, "BackupLate") {
		t.Errorf("a new backup: %q", got)
	}
}
