package alerts

import (
	"context"
	"crypto/rand"
	"fmt"
	netmail "net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"novacron/db"
	"novacron/db/series"
	"novacron/domain"
)

// Desk is where people change rules, silences and receivers, and say something to alerts.
type Desk struct {
	db     *db.DB
	store  *series.Store
	clock  func() time.Time
	sender *Sender
	local  bool
}

// NewDesk makes a desk; its sender makes the messages that are tried out. With local webhooks may be plain HTTP.
func NewDesk(d *db.DB, store *series.Store, clock func() time.Time, sender *Sender, local bool) *Desk {
	return &Desk{db: d, store: store, clock: clock, sender: sender, local: local}
}

// PutRule makes (version 0) or changes a rule.
func (k *Desk) PutRule(ctx context.Context, actor string, r domain.AlertRule) (domain.AlertRule, error) {
	r.Name, r.Group, r.Expr = strings.TrimSpace(r.Name), strings.TrimSpace(r.Group), strings.TrimSpace(r.Expr)
	if err := k.store.CheckRule(r); err != nil {
		return r, err
	}
	kind, said := "alert-rule.changed", "was changed"
	if r.Version == 0 {
		kind, said = "alert-rule.created", "was made"
		r.ID, r.CreatedAt = domain.NewID("arule", k.clock()), k.clock().UTC()
	}
	err := k.db.Write(ctx, func(tx *db.Tx) error {
		if r.Tenant != "" {
			t, err := tx.Tenant(r.Tenant)
			if err != nil {
				return domain.InvalidField("tenant", "There is no such tenant.", "a tenant's name or id")
			}
			r.Tenant = t.ID
		}
		if err := tx.PutAlertRule(r); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: r.Ref(), Actor: actor, Tenant: r.Tenant, Message: "The alert rule " + r.Name + " " + said + "."})
	})
	if err != nil {
		return r, err
	}
	return k.db.AlertRule(ctx, r.ID)
}

// RuleTenant tells whose a rule that somebody writes is to be, by a tenant's name or id: who looks after a tenant writes its rules alone, and
// need not name it. may tells whether somebody may write those of a tenant.
func (k *Desk) RuleTenant(ctx context.Context, want string, may func(tenant string) bool) (string, error) {
	sight := domain.SightOf(ctx)
	if want != "" {
		t, err := k.db.Tenant(ctx, want)
		if err != nil {
			return "", domain.InvalidField("tenant", "There is no such tenant.", "a tenant's name or id")
		}
		want = t.ID
	}
	if sight.Full() {
		return want, nil
	}
	if want == "" {
		if want = sight.Home; want == "" && len(sight.Tenants) == 1 {
			want = sight.Tenants[0]
		}
	}
	if want == "" || !slices.Contains(sight.Tenants, want) || !may(want) {
		return "", domain.Errorf(domain.Denied, "Only rules of your own tenant can be written.").WithFix("Name the tenant that you look after.")
	}
	return want, nil
}

// DeleteRule forgets a rule; what stands by it is over with the next evaluation.
func (k *Desk) DeleteRule(ctx context.Context, actor, id string) error {
	return k.db.Write(ctx, func(tx *db.Tx) error {
		r, err := tx.AlertRule(id)
		if err != nil {
			return err
		}
		if err := tx.DeleteAlertRule(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "alert-rule.deleted", Resource: r.Ref(), Actor: actor, Tenant: r.Tenant, Message: "The alert rule " + r.Name + " was deleted."})
	})
}

// ImportRules reads Prometheus' rule file and keeps its alerts: all of it or nothing. A rule with the same group and name is changed, others are made. Rules that
// record series are named and left out.
func (k *Desk) ImportRules(ctx context.Context, actor, tenant string, text []byte) (kept []domain.AlertRule, left []string, err error) {
	found, left, err := k.store.ReadRules(text)
	if err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		return nil, left, domain.InvalidField("yaml", "There is no alert in it.", "a rule file of Prometheus, with rules that have alert and expr")
	}
	have, err := k.db.AlertRules(ctx)
	if err != nil {
		return nil, nil, err
	}
	now := k.clock()
	err = k.db.Write(ctx, func(tx *db.Tx) error {
		kept = kept[:0]
		taken := map[string]bool{}
		for _, r := range found {
			r.Tenant, r.ID, r.CreatedAt = tenant, domain.NewID("arule", now), now.UTC()
			if i := slices.IndexFunc(have, func(h domain.AlertRule) bool {
				return h.Name == r.Name && h.Group == r.Group && h.Tenant == tenant && !taken[h.ID]
			}); i >= 0 {
				r.ID, r.Version, r.CreatedAt, r.Disabled, r.Starter = have[i].ID, have[i].Version, have[i].CreatedAt, have[i].Disabled, have[i].Starter
			}
			taken[r.ID] = true
			if err := tx.PutAlertRule(r); err != nil {
				return err
			}
			r.Version++
			kept = append(kept, r)
		}
		return tx.Emit(domain.Event{Kind: "alert-rule.imported", Resource: domain.Ref{Kind: "alert-rule"}, Actor: actor, Tenant: tenant, Message: fmt.Sprintf("%d alert rules were imported.", len(found))})
	})
	return kept, left, err
}

// mostPast is how far a preview looks back.
const mostPast = 30 * 24 * time.Hour

// Preview tells when a rule would have fired in the last days, and how finely that was looked at.
func (k *Desk) Preview(ctx context.Context, r domain.AlertRule, past time.Duration) ([]series.Episode, time.Duration, error) {
	if past < time.Minute || past > mostPast {
		return nil, 0, domain.InvalidField("past", "That is not a time to look back.", "from 1m to 30d")
	}
	v := series.View{All: true}
	if sight := domain.SightOf(ctx); !sight.Full() || r.Tenant != "" {
		if r.Tenant != "" && sight.Full() {
			ctx = domain.WithSight(ctx, &domain.Sight{Tenants: []string{r.Tenant}, Key: "tenant " + r.Tenant})
		}
		ids, err := k.db.VMsInSight(ctx)
		if err != nil {
			return nil, 0, err
		}
		v = series.View{VMs: ids}
	}
	return k.store.Preview(ctx, v, r, k.clock(), past)
}

// Acknowledge notes that somebody looks after an alert: it is not told again until it is over. Without on that is taken back.
func (k *Desk) Acknowledge(ctx context.Context, actor, id string, on bool, comment string) (domain.Alert, error) {
	err := k.db.Write(ctx, func(tx *db.Tx) error {
		a, err := tx.Alert(id)
		if err != nil {
			return err
		}
		if !a.Live() {
			return domain.Errorf(domain.Conflict, "The alert is over.").WithFix("A comment can still be left.")
		}
		what, text := "acknowledged", actor+" looks after "+a.Title()+"."
		if a.AckedAt, a.AckedBy = k.clock().UTC(), actor; !on {
			a.AckedAt, a.AckedBy = time.Time{}, ""
			what, text = "unacknowledged", actor+" no longer looks after "+a.Title()+"."
		}
		if err := tx.PutAlert(a); err != nil {
			return err
		}
		return said(tx, &a, actor, what, strings.TrimSpace(text+" "+comment))
	})
	if err != nil {
		return domain.Alert{}, err
	}
	return k.db.Alert(ctx, id)
}

// Comment leaves a note at an alert, also at one that is over.
func (k *Desk) Comment(ctx context.Context, actor, id, comment string) error {
	if comment = strings.TrimSpace(comment); comment == "" || len(comment) > 4000 {
		return domain.InvalidField("comment", "There is nothing to note.", "1 to 4000 characters")
	}
	return k.db.Write(ctx, func(tx *db.Tx) error {
		a, err := tx.Alert(id)
		if err != nil {
			return err
		}
		return said(tx, &a, actor, "commented", comment)
	})
}

func said(tx *db.Tx, a *domain.Alert, actor, what, message string) error {
	return tx.Emit(domain.Event{Kind: "alert." + what, Resource: a.Ref(), HostID: a.HostID, Actor: actor, Tenant: a.Tenant, Message: message})
}

// PutSilence makes (version 0) or changes a silence.
func (k *Desk) PutSilence(ctx context.Context, actor string, s domain.Silence) (domain.Silence, error) {
	now := k.clock().UTC()
	kind, word := "silence.changed", "was changed"
	if s.StartsAt.IsZero() {
		s.StartsAt = now
	}
	if s.Version == 0 {
		kind, word = "silence.created", "begins"
		s.ID, s.CreatedAt, s.CreatedBy = domain.NewID("sil", now), now, actor
		if !s.EndsAt.After(now) && !s.EndsAt.IsZero() {
			return s, domain.InvalidField("ends_at", "The end is over already.", "a time to come")
		}
	}
	if err := s.Check(); err != nil {
		return s, err
	}
	err := k.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.PutSilence(s); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: s.Ref(), Actor: actor, Message: "The silence of " + s.Ref().Name + " " + word + ", until " + s.EndsAt.UTC().Format("2006-01-02 15:04 MST") + ": " + s.Comment})
	})
	if err != nil {
		return s, err
	}
	return k.db.Silence(ctx, s.ID)
}

// ExpireSilence ends a silence now.
func (k *Desk) ExpireSilence(ctx context.Context, actor, id string) (domain.Silence, error) {
	s, err := k.db.Silence(ctx, id)
	if err != nil {
		return s, err
	}
	now := k.clock().UTC().Truncate(time.Millisecond)
	if s.State(now) == "expired" {
		return s, nil
	}
	s.EndsAt = now
	if s.StartsAt.After(now) {
		s.StartsAt = now
	}
	err = k.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.PutSilence(s); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "silence.ended", Resource: s.Ref(), Actor: actor, Message: "The silence of " + s.Ref().Name + " was ended."})
	})
	if err != nil {
		return s, err
	}
	return k.db.Silence(ctx, id)
}

// PutReceiver makes (version 0) or changes a receiver. Without a secret the one that it has is kept, unless it would go to another place.
func (k *Desk) PutReceiver(ctx context.Context, actor string, r domain.Receiver) (domain.Receiver, error) {
	kind, word := "receiver.changed", "was changed"
	if r.Version == 0 {
		kind, word = "receiver.created", "was made"
		r.ID, r.CreatedAt = domain.NewID("recv", k.clock()), k.clock().UTC()
	} else {
		old, err := k.db.Receiver(ctx, r.ID)
		if err != nil {
			return r, err
		}
		if r.Kind, r.CreatedAt = old.Kind, old.CreatedAt; len(r.Secret) == 0 && r.URL == old.URL {
			r.Secret = old.Secret
		}
	}
	if err := k.checkReceiver(ctx, &r); err != nil {
		return r, err
	}
	err := k.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.PutReceiver(r); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: r.Ref(), Actor: actor, Message: "The receiver " + r.Name + " " + word + "."})
	})
	if err != nil {
		return r, err
	}
	return k.db.Receiver(ctx, r.ID)
}

func (k *Desk) checkReceiver(ctx context.Context, r *domain.Receiver) error {
	var p domain.Problems
	if r.Name = strings.TrimSpace(r.Name); r.Name == "" || len(r.Name) > 120 {
		p.Add("name", "The receiver needs a name.", "1 to 120 characters")
	}
	switch r.Kind {
	case domain.ReceiveMail:
		if len(r.To) == 0 || len(r.To) > 50 {
			p.Add("to", "It is not said who gets the mail.", "1 to 50 mail addresses")
		}
		for i, to := range r.To {
			a, err := netmail.ParseAddress(strings.TrimSpace(to))
			if err != nil {
				p.Add("to", "“"+to+"” is not a mail address.", "such as ops@example.org")
				continue
			}
			r.To[i] = a.Address
		}
		r.URL, r.Service, r.Secret = "", "", nil
	case domain.ReceiveWebhook:
		u, err := url.Parse(r.URL)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
			p.Add("url", "“"+r.URL+"” is not a webhook's address.", "an address that begins with https://, such as https://alerts.example.org/hook")
		}
		if len(r.Secret) == 0 {
			r.Secret = []byte(rand.Text())
		}
		r.To, r.Service = nil, ""
	case domain.ReceiveChat:
		if _, err := k.sender.service(string(r.Secret)); err != nil {
			return err
		}
		r.Service, _, _ = strings.Cut(string(r.Secret), "://")
		r.To, r.URL = nil, ""
	default:
		p.Add("kind", "“"+r.Kind+"” is not a kind of receiver.", "email, webhook or chat")
	}
	if r.Tenant != "" {
		t, err := k.db.Tenant(ctx, r.Tenant)
		if err != nil {
			p.Add("tenant", "There is no such tenant.", "a tenant's name or id")
		}
		r.Tenant = t.ID
	}
	if r.Wait < 0 || r.Wait > 24*time.Hour {
		p.Add("wait", "That is not a time between two messages.", "from 0s to 24h")
	}
	if r.Repeat < 0 || r.Repeat > 30*24*time.Hour || r.Repeat > 0 && r.Repeat < time.Minute {
		p.Add("repeat", "That is not a time after which to tell again.", "from 1m to 30d, or 0s for never")
	}
	if err := p.Err(); err != nil {
		return err
	}
	return domain.CheckMatchers("matchers", r.Matchers)
}

// DeleteReceiver forgets a receiver.
func (k *Desk) DeleteReceiver(ctx context.Context, actor, id string) error {
	r, err := k.db.Receiver(ctx, id)
	if err != nil {
		return err
	}
	return k.db.Write(ctx, func(tx *db.Tx) error {
		if err := unnamed(tx, id, "receiver "+r.Name); err != nil {
			return err
		}
		if err := tx.DeleteReceiver(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "receiver.deleted", Resource: r.Ref(), Actor: actor, Message: "The receiver " + r.Name + " was deleted."})
	})
}

// TestReceiver sends a receiver a message that says that it is a test, now.
func (k *Desk) TestReceiver(ctx context.Context, actor, id string) error {
	r, err := k.db.Receiver(ctx, id)
	if err != nil {
		return err
	}
	now := k.clock().UTC()
	a := domain.Alert{ID: "test", Name: "Test", State: domain.AlertFiring, Severity: "info", Labels: map[string]string{"alertname": "Test", domain.SeverityLabel: "info"}, FiredAt: now,
		Annotations: map[string]string{"summary": actor + " tries out whether alerts arrive here. Nothing is wrong."}, Fingerprint: "test"}
	return k.sender.hand(ctx, &r, domain.Notification{ID: domain.NewID("ntf", now), Group: "{test}", Firing: []string{a.ID}, CreatedAt: now}, []domain.Alert{a})
}
