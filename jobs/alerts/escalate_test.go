package alerts

import (
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

// From the one on call to the next, over a server that is started anew at every step, until somebody looks after it; and everybody who was told hears that it is over.
func TestAlertsEscalateUntilSomebodyLooksAfterThem(t *testing.T) {
	w := newRig(t)
	ctx := t.Context()
	person := func(name string) string {
		r, err := w.PutReceiver(ctx, "ada", domain.Receiver{Name: name, Kind: domain.ReceiveMail, To: []string{name + "@example.org"}, Resolved: true, OnlyOnCall: true, GroupBy: []string{"host"}})
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	ann, bob := person("ann"), person("bob")
	rota, err := w.PutRota(ctx, "ada", domain.Rota{Name: "Ops", TimeZone: "Europe/Berlin", HandOver: "09:00", Days: [7]string{ann, ann, ann, ann, ann, ann, ann}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := w.PutEscalation(ctx, "ada", domain.Escalation{Name: "All", Steps: []domain.EscalationStep{{To: rota.ID}, {After: 10 * time.Minute, To: bob}}})
	if err != nil {
		t.Fatal(err)
	}
	r := away
	r.For = 0
	w.rule(r)
	restart := func() { w.judge = New(w.d, w.store, w.judge.log, w.clock, w.judge.opt) }
	told := func(want ...string) {
		t.Helper()
		if len(w.mails) != len(want) {
			t.Fatalf("%q, want %q", w.mails, want)
		}
		for _, prefix := range want { // receivers are told at the same time, in no order
			if !slices.ContainsFunc(w.mails, func(m string) bool { return strings.HasPrefix(m, prefix) }) {
				t.Errorf("%q, want %q", w.mails, prefix)
			}
		}
	}
	down := map[string]float64{"b1": 0}
	w.pass(15*time.Second, down)
	told("ann@example.org|Firing: HostAway on b1")
	restart()
	w.pass(5*time.Minute, down)
	told("ann@")
	restart()
	w.pass(5*time.Minute, down)
	told("ann@", "bob@example.org|Firing")
	if !strings.Contains(w.mails[1], "nobody had acknowledged it within 10 min (step 2 of All)") {
		t.Errorf("the mail does not say why: %q", w.mails[1])
	}
	log, err := w.d.Notifications(ctx, bob, 10)
	if err != nil || len(log) != 1 || !strings.Contains(log[0].Why, "step 2 of All") {
		t.Errorf("%+v %v", log, err)
	}
	restart()
	w.pass(time.Hour, down)
	told("ann@", "bob@")
	steps, err := w.d.Escalated(ctx, w.alerts(domain.AlertFiring)[0].ID)
	if err != nil || len(steps) != 2 || steps[0].ReceiverID != ann || steps[1].ReceiverID != bob {
		t.Errorf("%+v %v", steps, err)
	}
	w.pass(15*time.Second, map[string]float64{"b1": 1})
	told("ann@", "bob@", "ann@example.org|Resolved", "bob@example.org|Resolved")

	w.mails = nil
	w.pass(15*time.Second, down)
	told("ann@example.org|Firing")
	if _, err := w.Acknowledge(ctx, "ann", w.alerts(domain.AlertFiring)[0].ID, true, ""); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour, down)
	told("ann@")

	for what, err := range map[string]error{"a receiver in a rota": w.DeleteReceiver(ctx, "ada", ann), "a receiver in a step": w.DeleteReceiver(ctx, "ada", bob), "a rota in a step": w.DeleteRota(ctx, "ada", rota.ID)} {
		if !domain.Is(err, domain.Conflict) {
			t.Errorf("%s was deleted: %v", what, err)
		}
	}
	if err := w.DeleteEscalation(ctx, "ada", e.ID); err != nil {
		t.Error(err)
	}
	if err := w.DeleteRota(ctx, "ada", rota.ID); err != nil {
		t.Error(err)
	}
}

// A step is written with the message that it causes: one that could not be sent is sent by the next server.
func TestAnEscalationIsNotLostWithTheServer(t *testing.T) {
	w := newRig(t)
	ctx := t.Context()
	recv, err := w.PutReceiver(ctx, "ada", domain.Receiver{Name: "ann", Kind: domain.ReceiveMail, To: []string{"ann@example.org"}, OnlyOnCall: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.PutEscalation(ctx, "ada", domain.Escalation{Name: "All", Steps: []domain.EscalationStep{{To: recv.ID}}}); err != nil {
		t.Fatal(err)
	}
	r := away
	r.For = 0
	w.rule(r)
	w.down = true
	w.pass(15*time.Second, map[string]float64{"b1": 0})
	w.judge, w.down = New(w.d, w.store, w.judge.log, w.clock, w.judge.opt), false
	w.pass(15*time.Second, map[string]float64{"b1": 0})
	w.pass(15*time.Second, map[string]float64{"b1": 0})
	if len(w.mails) != 1 {
		t.Errorf("%q", w.mails)
	}
}

func TestRotasAtTheDesk(t *testing.T) {
	w := newRig(t)
	ctx := t.Context()
	recv, err := w.PutReceiver(ctx, "ada", domain.Receiver{Name: "ann", Kind: domain.ReceiveMail, To: []string{"ann@example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	good := domain.Rota{Name: "Ops", TimeZone: "UTC", HandOver: "09:00", Days: [7]string{1: recv.ID}}
	bad := good
	bad.Days[2] = "recv_none"
	if _, err := w.PutRota(ctx, "ada", bad); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	r, err := w.PutRota(ctx, "ada", good)
	if err != nil {
		t.Fatal(err)
	}
	now := w.clock()
	if _, err := w.StandIn(ctx, "ada", r.ID, domain.RotaOverride{From: now.Add(-2 * time.Hour), To: now.Add(-time.Hour), Receiver: recv.ID}); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	if _, err := w.StandIn(ctx, "ada", r.ID, domain.RotaOverride{From: now, To: now.Add(time.Hour), Receiver: "recv_none"}); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	with, err := w.StandIn(ctx, "ada", r.ID, domain.RotaOverride{From: now, To: now.Add(time.Hour), Receiver: recv.ID, Note: " away "})
	if err != nil || len(with.Overrides) != 1 || with.Overrides[0].Note != "away" || with.Overrides[0].By != "ada" {
		t.Fatalf("%+v %v", with, err)
	}
	if _, err := w.PutRota(ctx, "ada", r); !domain.Is(err, domain.Conflict) {
		t.Errorf("a stale rota was written: %v", err)
	}
	if _, err := w.EndStandIn(ctx, "ada", r.ID, "ovr_none"); !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
	if with, err = w.EndStandIn(ctx, "ada", r.ID, with.Overrides[0].ID); err != nil || len(with.Overrides) != 0 {
		t.Error(with, err)
	}
	if _, err := w.PutEscalation(ctx, "ada", domain.Escalation{Name: "x", Steps: []domain.EscalationStep{{To: "nobody"}}}); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	if _, err := w.PutEscalation(ctx, "ada", domain.Escalation{Name: "x"}); !domain.Is(err, domain.Invalid) {
		t.Error(err)
	}
	for _, err := range []error{w.DeleteRota(ctx, "ada", "rota_none"), w.DeleteEscalation(ctx, "ada", "esc_none")} {
		if !domain.Is(err, domain.NotFound) {
			t.Error(err)
		}
	}
	if err := w.DeleteRota(ctx, "ada", r.ID); err != nil {
		t.Error(err)
	}
}
