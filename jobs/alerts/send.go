package alerts

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"novacron/db"
	"novacron/domain"
	"novacron/domain/alerting"
	"novacron/jobs/images"
)

// sendFor is what one message may take to be handed over.
const sendFor = 20 * time.Second

// giveUp is how long a message is tried: what it tells is old by then.
const giveUp = 24 * time.Hour

// Mail sends a mail; nil where the server has no mail server.
type Mail func(ctx context.Context, to []string, subject, text string) error

// Sender hands the messages over that the judge has planned: each until the other side has taken it.
type Sender struct {
	db     *db.DB
	log    *slog.Logger
	clock  func() time.Time
	mail   Mail
	site   string
	client *http.Client
	quiet  *log.Logger
}

// NewSender makes one; with local receivers may be at addresses of this machine and its links.
func NewSender(d *db.DB, l *slog.Logger, clock func() time.Time, mail Mail, site string, local bool) *Sender {
	return &Sender{db: d, log: l, clock: clock, mail: mail, site: strings.TrimSuffix(site, "/"), quiet: log.New(io.Discard, "", 0), client: images.Caller(sendFor, local, false)}
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for {
		if err := s.Once(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("messages about alerts could not be sent", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Once sends what is due.
func (s *Sender) Once(ctx context.Context) error {
	due, err := s.db.DueNotifications(ctx, s.clock(), 100)
	if err != nil || len(due) == 0 {
		return err
	}
	all, err := s.db.Receivers(ctx)
	if err != nil {
		return err
	}
	by := map[string]*domain.Receiver{}
	for i := range all {
		by[all[i].ID] = &all[i]
	}
	perReceiver := map[string][]domain.Notification{}
	for _, n := range due {
		perReceiver[n.ReceiverID] = append(perReceiver[n.ReceiverID], n)
	}
	var work sync.WaitGroup
	for id, list := range perReceiver { // one that hangs does not hold up the others
		work.Go(func() {
			for _, n := range list {
				if err := s.deliver(ctx, by[id], n); err != nil && ctx.Err() == nil {
					s.log.Error("it could not be noted what came of a message", "error", err)
				}
			}
		})
	}
	work.Wait()
	return nil
}

func (s *Sender) deliver(ctx context.Context, r *domain.Receiver, n domain.Notification) error {
	said := n
	n.Attempts++
	var err error
	switch {
	case r == nil:
		n.State, n.Error = domain.NotificationFailed, "The receiver was deleted."
	case r.Disabled:
		n.State, n.Error = domain.NotificationFailed, "The receiver is switched off."
	default:
		err = s.send(ctx, r, n)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now := s.clock().UTC()
	switch {
	case n.State == domain.NotificationFailed:
	case err == nil:
		n.State, n.SentAt, n.Error = domain.NotificationSent, now, ""
	case now.Sub(n.CreatedAt) > giveUp:
		n.State, n.Error = domain.NotificationFailed, why(err)
	default:
		n.NextAt, n.Error = now.Add(alerting.Backoff(n.Attempts)), why(err)
	}
	return s.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.Tried(n, said); err != nil {
			return err
		}
		if err == nil || n.Attempts != 2 && n.State != domain.NotificationFailed {
			return nil
		}
		return tx.Emit(domain.Event{Kind: "receiver.failed", Resource: r.Ref(), Actor: "system", Message: "The receiver " + r.Name + " could not be told of alerts: " + n.Error})
	})
}

// why is what came of an attempt, for the log of messages: without addresses, which may hold tokens.
func why(err error) string {
	text := err.Error()
	if e, ok := err.(*domain.Error); ok {
		text = domain.Explain(e)
	}
	return text[:min(len(text), 500)]
}

// Message is what Alertmanager's webhook sends, version 4.
type Message struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []MessageAlert    `json:"alerts"`
}

// MessageAlert is one alert in it.
type MessageAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

func (s *Sender) message(r *domain.Receiver, n domain.Notification, alerts []domain.Alert) Message {
	m := Message{Version: "4", GroupKey: r.ID + ":" + n.Group, Status: "firing", Receiver: r.Name, GroupLabels: map[string]string{}, ExternalURL: s.site, Alerts: []MessageAlert{}}
	if len(n.Firing) == 0 {
		m.Status = "resolved"
	}
	for i := range alerts {
		a := &alerts[i]
		x := MessageAlert{Status: "firing", Labels: filled(a.Labels), Annotations: filled(a.Annotations), StartsAt: a.FiredAt, GeneratorURL: s.link(a), Fingerprint: a.Fingerprint}
		if slices.Contains(n.Resolved, a.ID) {
			x.Status, x.EndsAt = "resolved", a.ResolvedAt
		}
		m.Alerts = append(m.Alerts, x)
		if i == 0 {
			m.CommonLabels, m.CommonAnnotations = maps.Clone(x.Labels), maps.Clone(x.Annotations)
			for _, name := range r.GroupBy {
				m.GroupLabels[name] = a.Labels[name]
			}
			continue
		}
		common(m.CommonLabels, x.Labels)
		common(m.CommonAnnotations, x.Annotations)
	}
	if m.CommonLabels == nil {
		m.CommonLabels, m.CommonAnnotations = map[string]string{}, map[string]string{}
	}
	return m
}

func filled(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func common(all, of map[string]string) {
	maps.DeleteFunc(all, func(k, v string) bool { return of[k] != v })
}

func (s *Sender) link(a *domain.Alert) string {
	if s.site == "" {
		return ""
	}
	return s.site + "/alerts/" + a.ID
}

// subject is a message in a line.
func subject(n domain.Notification, alerts []domain.Alert) string {
	of := func(ids []string) (out []string) {
		for i := range alerts {
			if slices.Contains(ids, alerts[i].ID) {
				out = append(out, alerts[i].Title())
			}
		}
		return out
	}
	line := func(word string, names []string) string {
		text := word + ": " + strings.Join(names[:min(3, len(names))], ", ")
		if len(names) > 3 {
			text += fmt.Sprintf(" and %d more", len(names)-3)
		}
		return text
	}
	firing, resolved := of(n.Firing), of(n.Resolved)
	switch {
	case len(firing) > 0:
		return line("Firing", firing)
	case len(resolved) > 0:
		return line("Resolved", resolved)
	}
	return "Alerts"
}

// text is a message for people.
func (s *Sender) text(n domain.Notification, alerts []domain.Alert) string {
	var b strings.Builder
	for _, part := range []struct {
		word string
		ids  []string
	}{{"Firing", n.Firing}, {"Resolved", n.Resolved}} {
		for i := range alerts {
			a := &alerts[i]
			if !slices.Contains(part.ids, a.ID) {
				continue
			}
			fmt.Fprintf(&b, "%s: %s\n", part.word, a.Title())
			if sum := a.Summary(); sum != a.Title() {
				fmt.Fprintf(&b, "  %s\n", sum)
			}
			if a.Severity != "" {
				fmt.Fprintf(&b, "  severity %s, ", a.Severity)
			} else {
				b.WriteString("  ")
			}
			fmt.Fprintf(&b, "since %s", a.FiredAt.Format("2006-01-02 15:04:05 MST"))
			if part.word == "Resolved" && !a.ResolvedAt.IsZero() {
				fmt.Fprintf(&b, " until %s", a.ResolvedAt.Format("2006-01-02 15:04:05 MST"))
			}
			b.WriteString("\n")
			if l := s.link(a); l != "" {
				fmt.Fprintf(&b, "  %s\n", l)
			}
			b.WriteString("\n")
		}
	}
	if n.Why != "" {
		fmt.Fprintf(&b, "Why this is sent here: the receiver %s.\n", n.Why)
	}
	return b.String()
}

func (s *Sender) send(ctx context.Context, r *domain.Receiver, n domain.Notification) error {
	ids := slices.Concat(n.Firing, n.Resolved)
	alerts, err := s.db.Alerts(ctx, db.AlertQuery{IDs: ids[:min(len(ids), 500)]})
	if err != nil {
		return err
	}
	if len(alerts) == 0 {
		return nil // they are too old to be kept
	}
	slices.SortFunc(alerts, func(a, b domain.Alert) int { return strings.Compare(a.ID, b.ID) })
	return s.hand(ctx, r, n, alerts)
}

// hand gives a message to its receiver.
func (s *Sender) hand(ctx context.Context, r *domain.Receiver, n domain.Notification, alerts []domain.Alert) error {
	ctx, cancel := context.WithTimeout(ctx, sendFor)
	defer cancel()
	switch r.Kind {
	case domain.ReceiveMail:
		if s.mail == nil {
			return domain.Errorf(domain.Unavailable, "This server sends no mail.").WithFix("Start it with --smtp, --mail-from and --url.")
		}
		return s.mail(ctx, r.To, subject(n, alerts), s.text(n, alerts))
	case domain.ReceiveWebhook:
		return s.webhook(ctx, r, n, s.message(r, n, alerts))
	}
	return s.chat(ctx, r, subject(n, alerts), s.text(n, alerts))
}

// webhook posts a message. Its signature is over the time and the body, so that nobody makes one up or sends one again later.
func (s *Sender) webhook(ctx context.Context, r *domain.Receiver, n domain.Notification, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return domain.Errorf(domain.Internal, "The message could not be written: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(body))
	if err != nil {
		return domain.InvalidField("url", "The webhook's address cannot be used.", "an address that begins with https://")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "NovaCron")
	req.Header.Set("X-NovaCron-Delivery", n.ID)
	if len(r.Secret) > 0 {
		req.Header.Set("X-NovaCron-Signature", Sign(r.Secret, s.clock(), body))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return unreached(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return unreached(err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return domain.Errorf(domain.Unavailable, "The webhook answered %d.", resp.StatusCode)
	}
	return nil
}

func unreached(err error) error {
	if domain.CodeOf(err) == domain.Denied {
		return domain.Errorf(domain.Denied, "The address leads to this machine itself, its own network link or a metadata service.").WithFix("Use one that others reach too, or start NovaCron with --fetch-local if that is meant.")
	}
	return domain.Errorf(domain.Unavailable, "The receiver could not be reached: %w", err)
}

// Sign makes the header X-NovaCron-Signature: the time, and HMAC-SHA256 of the time, a dot and the body.
func Sign(secret []byte, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(t + "."))
	h.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(h.Sum(nil))
}

// Services of chat that receivers may be, by how their address begins. Each talks to its service's own host, or with our guarded client.
var Services = []string{"discord", "ntfy", "pagerduty", "slack", "teams", "telegram"}

func (s *Sender) chat(ctx context.Context, r *domain.Receiver, title, text string) error {
	service, err := s.service(string(r.Secret))
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- service.Send(title+"\n\n"+text, &types.Params{}) }()
	select {
	case err := <-done:
		if err != nil { // its text may hold the token
			return domain.Errorf(domain.Unavailable, "%s did not take the message.", r.Service).WithCause(err)
		}
		return nil
	case <-ctx.Done():
		return domain.Errorf(domain.Unavailable, "%s took too long.", r.Service)
	}
}

// service makes the sender of a chat's address.
func (s *Sender) service(address string) (types.Service, error) {
	bad := domain.InvalidField("address", "That is not the address of a chat that can be told.", "such as slack://hook:…@webhook, discord://token@id, telegram://token@telegram?chats=…, teams://…, pagerduty://… or ntfy://host/topic, as shoutrrr writes them")
	scheme, _, ok := strings.Cut(address, "://")
	if !ok || !slices.Contains(Services, scheme) {
		return nil, bad
	}
	router, err := shoutrrr.NewSender(s.quiet)
	if err != nil {
		return nil, bad
	}
	service, err := router.Locate(address)
	if err != nil {
		return nil, bad
	}
	if own, ok := service.(interface{ SetHTTPClient(*http.Client) }); ok { // those whose address may name any host
		own.SetHTTPClient(s.client)
	}
	return service, nil
}
