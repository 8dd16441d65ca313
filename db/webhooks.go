package db

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"novacron/domain"
)

type webhookDoc struct {
	URL    string   `json:"url"`
	Kinds  []string `json:"kinds,omitempty"`
	Object string   `json:"object,omitempty"`
	Tenant string   `json:"tenant,omitempty"`
}

func webhookContext(id string) string { return "webhook " + id }

func (d *DB) selectWebhooks(ctx context.Context, q getter, where string, args ...any) ([]domain.Webhook, error) {
	var rows []struct {
		ID, Name    string
		Disabled    bool
		Doc, Secret string
		Cursor      int64
		CreatedAt   int64 `db:"created_at"`
		Version     int64
	}
	if err := q.SelectContext(ctx, &rows, "SELECT id, name, disabled, doc, secret, cursor, created_at, version FROM webhooks WHERE "+where+" ORDER BY lower(name), id", args...); err != nil {
		return nil, edge(err, "webhook")
	}
	out := make([]domain.Webhook, 0, len(rows))
	for _, r := range rows {
		var doc webhookDoc
		if err := parse(r.Doc, &doc); err != nil {
			return nil, err
		}
		w := domain.Webhook{ID: r.ID, Name: r.Name, URL: doc.URL, Kinds: doc.Kinds, Object: doc.Object, Tenant: doc.Tenant, Disabled: r.Disabled, Cursor: r.Cursor, CreatedAt: at(r.CreatedAt), Version: r.Version}
		var err error
		if w.Secret, err = d.box.Open(r.Secret, webhookContext(r.ID)); err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// Webhooks lists who is sent what happens, with what their calls are signed with.
func (d *DB) Webhooks(ctx context.Context) ([]domain.Webhook, error) {
	return d.selectWebhooks(ctx, d.read, "1 = 1")
}

// Webhook reads one. NotFound.
func (d *DB) Webhook(ctx context.Context, id string) (domain.Webhook, error) {
	all, err := d.selectWebhooks(ctx, d.read, "id = ?", id)
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such webhook.").WithFix("It may have been deleted meanwhile; look at the list again.")
	}
	if err != nil {
		return domain.Webhook{}, err
	}
	return all[0], nil
}

// PutWebhook writes a webhook, new (version 0) or changed. A new one is sent what happens from now on.
func (tx *Tx) PutWebhook(w domain.Webhook) error {
	doc, err := text(webhookDoc{w.URL, w.Kinds, w.Object, w.Tenant})
	if err != nil {
		return err
	}
	sealed, err := tx.d.box.Seal(w.Secret, webhookContext(w.ID))
	if err != nil {
		return err
	}
	if w.Version == 0 {
		return tx.one("webhook", "INSERT INTO webhooks (id, name, disabled, doc, secret, cursor, created_at, version) SELECT ?, ?, ?, ?, ?, coalesce(max(seq), 0), ?, 1 FROM events",
			w.ID, w.Name, flag(w.Disabled), doc, sealed, ms(w.CreatedAt))
	}
	n, err := tx.exec("UPDATE webhooks SET name = ?, disabled = ?, doc = ?, secret = ?, version = version + 1 WHERE id = ? AND version = ?", w.Name, flag(w.Disabled), doc, sealed, w.ID, w.Version)
	if err == nil && n == 0 {
		return stale("webhook “"+w.Name+"”", w.Version)
	}
	return edge(err, "webhook")
}

// DeleteWebhook forgets a webhook and what it was sent.
func (tx *Tx) DeleteWebhook(id string) error {
	if _, err := tx.exec("DELETE FROM webhook_deliveries WHERE webhook_id = ?", id); err != nil {
		return edge(err, "webhook")
	}
	return tx.one("webhook", "DELETE FROM webhooks WHERE id = ?", id)
}

// PlanDeliveries writes what a webhook is to be sent of the events up to cursor, which it is then past.
func (tx *Tx) PlanDeliveries(id string, cursor int64, evs []domain.Event) error {
	now := tx.now()
	for _, ev := range evs {
		if err := tx.InsertDelivery(domain.Delivery{ID: domain.NewID("dlv", now), WebhookID: id, Seq: ev.Seq, Kind: ev.Kind, State: domain.DeliveryQueued, NextAt: now, CreatedAt: now, Event: ev}); err != nil {
			return err
		}
	}
	_, err := tx.aside("UPDATE webhooks SET cursor = ? WHERE id = ? AND cursor < ?", cursor, id, cursor)
	return edge(err, "webhook")
}

// InsertDelivery writes a call that is to be made.
func (tx *Tx) InsertDelivery(v domain.Delivery) error {
	doc, err := text(v.Event)
	if err != nil {
		return err
	}
	_, err = tx.aside("INSERT INTO webhook_deliveries (id, webhook_id, seq, kind, state, attempts, status, next_at, sent_at, error, event, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		v.ID, v.WebhookID, v.Seq, v.Kind, string(v.State), v.Attempts, v.Status, ms(v.NextAt), ms(v.SentAt), v.Error, doc, ms(v.CreatedAt))
	return edge(err, "delivery")
}

// PutDelivery writes what came of an attempt.
func (tx *Tx) PutDelivery(v domain.Delivery) error {
	_, err := tx.exec("UPDATE webhook_deliveries SET state = ?, attempts = ?, status = ?, next_at = ?, sent_at = ?, error = ? WHERE id = ?",
		string(v.State), v.Attempts, v.Status, ms(v.NextAt), ms(v.SentAt), v.Error, v.ID)
	return edge(err, "delivery")
}

// DeliveryQuery chooses deliveries.
type DeliveryQuery struct {
	Webhook string
	State   domain.DeliveryState
	ID      string
	Due     time.Time // those that are to be made by then, the oldest first
	Limit   int
}

// Deliveries lists calls to webhooks, the newest first.
func (d *DB) Deliveries(ctx context.Context, q DeliveryQuery) ([]domain.Delivery, error) {
	var where []string
	var args []any
	add := func(c string, a ...any) { where, args = append(where, c), append(args, a...) }
	if q.Webhook != "" {
		add("webhook_id = ?", q.Webhook)
	}
	if q.State != "" {
		add("state = ?", string(q.State))
	}
	if q.ID != "" {
		add("id = ?", q.ID)
	}
	order := "id DESC"
	if !q.Due.IsZero() {
		add("state = ? AND next_at <= ?", string(domain.DeliveryQueued), ms(q.Due))
		order = "next_at, id"
	}
	query := "SELECT id, webhook_id, seq, kind, state, attempts, status, next_at, sent_at, error, event, created_at FROM webhook_deliveries"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	var rows []struct {
		ID        string
		WebhookID string `db:"webhook_id"`
		Seq       int64
		Kind      string
		State     string
		Attempts  int
		Status    int
		NextAt    int64 `db:"next_at"`
		SentAt    int64 `db:"sent_at"`
		Error     string
		Event     string
		CreatedAt int64 `db:"created_at"`
	}
	if err := d.read.SelectContext(ctx, &rows, query+" ORDER BY "+order+" LIMIT ?", append(args, max(1, min(q.Limit, 1000)))...); err != nil {
		return nil, edge(err, "delivery")
	}
	out := make([]domain.Delivery, len(rows))
	for i, r := range rows {
		out[i] = domain.Delivery{ID: r.ID, WebhookID: r.WebhookID, Seq: r.Seq, Kind: r.Kind, State: domain.DeliveryState(r.State), Attempts: r.Attempts, Status: r.Status, NextAt: at(r.NextAt), SentAt: at(r.SentAt), Error: r.Error, CreatedAt: at(r.CreatedAt)}
		if err := json.Unmarshal([]byte(r.Event), &out[i].Event); err != nil {
			return nil, domain.Errorf(domain.Internal, "A delivery cannot be read: %w", err)
		}
	}
	return out, nil
}

// Delivery reads one. NotFound.
func (d *DB) Delivery(ctx context.Context, webhook, id string) (domain.Delivery, error) {
	all, err := d.Deliveries(ctx, DeliveryQuery{Webhook: webhook, ID: id, Limit: 1})
	if err == nil && len(all) == 0 {
		err = domain.Errorf(domain.NotFound, "There is no such delivery.").WithFix("It may be too old to be kept; look at the list again.")
	}
	if err != nil {
		return domain.Delivery{}, err
	}
	return all[0], nil
}

// CountDeliveries counts the calls to each webhook by their state.
func (d *DB) CountDeliveries(ctx context.Context) (map[string]map[domain.DeliveryState]int, error) {
	var rows []struct {
		WebhookID string `db:"webhook_id"`
		State     string
		N         int
	}
	if err := d.read.SelectContext(ctx, &rows, "SELECT webhook_id, state, count(*) AS n FROM webhook_deliveries GROUP BY webhook_id, state"); err != nil {
		return nil, edge(err, "delivery")
	}
	out := map[string]map[domain.DeliveryState]int{}
	for _, r := range rows {
		if out[r.WebhookID] == nil {
			out[r.WebhookID] = map[domain.DeliveryState]int{}
		}
		out[r.WebhookID][domain.DeliveryState(r.State)] = r.N
	}
	return out, nil
}

// PruneDeliveries forgets calls that were made before a time, and those that never got there before another.
func (d *DB) PruneDeliveries(ctx context.Context, sent, dead time.Time) error {
	return d.Write(ctx, func(tx *Tx) error {
		_, err := tx.aside("DELETE FROM webhook_deliveries WHERE state = ? AND created_at < ? OR state = ? AND created_at < ?", string(domain.DeliverySent), ms(sent), string(domain.DeliveryDead), ms(dead))
		return edge(err, "delivery")
	})
}
