// Package webhooks sends what happens to other systems: every event that a webhook asks for is written down as a delivery in the transaction that moves the
// webhook's place in the event table on, and is then sent until the other side has taken it or a day is over. So each is sent at least once, also when the server is killed in
// between; its id is the same every time, so that the other side can tell.
//
// It is not for alerts, which have receivers and rules of their own (jobs/alerts).
package webhooks

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"novacron/db"
	"novacron/domain"
	"novacron/jobs/images"
)

const (
	sendFor  = 10 * time.Second // one call
	atOnce   = 32               // webhooks that are being called
	perTurn  = 50               // deliveries of one webhook in a row
	lag      = 200              // events that nobody wanted, after which a place is written down
	keepSent = 7 * 24 * time.Hour
	keepDead = 30 * 24 * time.Hour
)

// Desk is where webhooks are changed, and what calls them.
type Desk struct {
	db       *db.DB
	log      *slog.Logger
	clock    func() time.Time
	site     string
	client   *http.Client
	patience time.Duration // for one call

	mu   sync.Mutex
	busy map[string]bool // webhooks that are being called
	kick chan struct{}
}

// New makes one; with local webhooks may be at addresses of this machine and its links.
func New(d *db.DB, log *slog.Logger, clock func() time.Time, site string, local bool) *Desk {
	return &Desk{db: d, log: log, clock: clock, site: site, busy: map[string]bool{}, kick: make(chan struct{}, 1), patience: sendFor, client: images.Caller(sendFor, local, false)}
}

// Run plans and calls until ctx ends, and returns when the last call has.
func (k *Desk) Run(ctx context.Context) error {
	var calls sync.WaitGroup
	defer calls.Wait()
	pruned, seq := time.Time{}, int64(0)
	for ctx.Err() == nil {
		seq = k.db.Feed().Last()
		if err := k.once(ctx, &calls); err != nil && ctx.Err() == nil {
			k.log.Error("webhooks could not be called", "error", err)
		}
		if now := k.clock(); now.Sub(pruned) > time.Hour {
			if pruned = now; k.db.PruneDeliveries(ctx, now.Add(-keepSent), now.Add(-keepDead)) != nil && ctx.Err() == nil {
				k.log.Error("old deliveries of webhooks could not be forgotten")
			}
		}
		k.rest(ctx, seq)
	}
	return nil
}

// rest waits until there is something new, a call has ended or something that failed may be due.
func (k *Desk) rest(ctx context.Context, seq int64) {
	until, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	more := make(chan struct{})
	go func() {
		defer close(more)
		_ = k.db.Feed().Wait(until, seq) // its only error is that the time is over
	}()
	select {
	case <-more:
	case <-k.kick:
		cancel()
		<-more
	}
}

func (k *Desk) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// once plans what is new and begins the calls that are due. A webhook that hangs holds up no other.
func (k *Desk) once(ctx context.Context, calls *sync.WaitGroup) error {
	hooks, err := k.db.Webhooks(ctx)
	if err != nil || len(hooks) == 0 {
		return err
	}
	if err := k.plan(ctx, hooks); err != nil {
		return err
	}
	now := k.clock()
	for _, w := range hooks {
		if w.Disabled {
			continue
		}
		due, err := k.db.Deliveries(ctx, db.DeliveryQuery{Webhook: w.ID, Due: now, Limit: perTurn})
		if err != nil {
			return err
		}
		if len(due) == 0 || !k.begin(w.ID) {
			continue
		}
		calls.Go(func() {
			defer k.end(w.ID)
			for _, v := range due {
				if err := k.deliver(ctx, w, v); err != nil {
					if ctx.Err() == nil {
						k.log.Error("it could not be noted what came of a call", "error", err)
					}
					return
				}
			}
		})
	}
	return nil
}

func (k *Desk) begin(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy[id] || len(k.busy) >= atOnce {
		return false
	}
	k.busy[id] = true
	return true
}

func (k *Desk) end(id string) {
	k.mu.Lock()
	delete(k.busy, id)
	k.mu.Unlock()
	k.wake()
}

// plan writes the deliveries of what has happened since each webhook's place in the event table.
func (k *Desk) plan(ctx context.Context, hooks []domain.Webhook) error {
	const most = 500
	for i := range hooks {
		w := &hooks[i]
		for last := k.db.Feed().Last(); w.Cursor < last; {
			evs, err := k.db.Events(domain.WithSight(ctx, nil), db.EventQuery{After: w.Cursor, Limit: most})
			if err != nil {
				return err
			}
			if len(evs) == 0 {
				break
			}
			var wanted []domain.Event
			for j := range evs {
				if !w.Disabled && w.Wants(&evs[j]) {
					wanted = append(wanted, evs[j])
				}
			}
			from := w.Cursor
			w.Cursor = evs[len(evs)-1].Seq
			if len(wanted) == 0 && w.Cursor-from < lag {
				continue // they are looked at again, which costs less than a write
			}
			if err := k.db.Write(ctx, func(tx *db.Tx) error { return tx.PlanDeliveries(w.ID, w.Cursor, wanted) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliver makes one call and writes what came of it.
func (k *Desk) deliver(ctx context.Context, w domain.Webhook, v domain.Delivery) error {
	status, err := k.call(ctx, w, v)
	if ctx.Err() != nil {
		return ctx.Err() // it is made again after the next start
	}
	v.Attempts++
	v.Status = status
	now := k.clock().UTC()
	wait, again := domain.DeliveryWait(v.Attempts)
	switch {
	case err == nil:
		v.State, v.SentAt, v.Error = domain.DeliverySent, now, ""
	case again:
		v.NextAt, v.Error = now.Add(wait), domain.Explain(err)
	default:
		v.State, v.Error = domain.DeliveryDead, domain.Explain(err)
	}
	return k.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.PutDelivery(v); err != nil || v.State != domain.DeliveryDead {
			return err
		}
		return tx.Emit(domain.Event{Kind: "webhook.failed", Resource: w.Ref(), Actor: "system", Tenant: w.Tenant, Message: "The webhook " + w.Name + " did not take an event for a day: " + v.Error})
	})
}

// call posts an event.
func (k *Desk) call(ctx context.Context, w domain.Webhook, v domain.Delivery) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.patience)
	defer cancel()
	body, err := json.Marshal(domain.CloudEventOf(v.Event, k.site))
	if err != nil {
		return 0, domain.Errorf(domain.Internal, "The event could not be written: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, domain.InvalidField("url", "The webhook's address cannot be used.", "an address that begins with https://")
	}
	now := k.clock()
	h := req.Header
	h.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	h.Set("User-Agent", "NovaCron")
	h.Set("Webhook-Id", v.ID)
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	h.Set("Webhook-Signature", domain.SignWebhook(w.Secret, v.ID, now, body))
	resp, err := k.client.Do(req)
	if err != nil {
		return 0, unreached(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return resp.StatusCode, unreached(err)
	}
	switch c := resp.StatusCode; {
	case c >= 300 && c < 400:
		return c, domain.Errorf(domain.Unavailable, "The webhook answered %d: it leads to another address, which is not followed.", c).WithFix("Set the address that it leads to.")
	case c < 200 || c > 299:
		return c, domain.Errorf(domain.Unavailable, "The webhook answered %d.", c)
	}
	return resp.StatusCode, nil
}

func unreached(err error) error {
	if domain.CodeOf(err) == domain.Denied {
		return domain.Errorf(domain.Denied, "The address leads to this machine itself, its own network link or a metadata service.").WithFix("Use one that others reach too, or start NovaCron with --fetch-local if that is meant.")
	}
	return domain.Errorf(domain.Unavailable, "The webhook could not be reached or took too long.").WithCause(err)
}

// Put makes (version 0) or changes a webhook. Without a secret the one that it has is kept, unless it would go to another place.
func (k *Desk) Put(ctx context.Context, actor string, w domain.Webhook) (domain.Webhook, error) {
	kind, word := "webhook.changed", "was changed"
	if w.Version == 0 {
		kind, word = "webhook.created", "was made"
		w.ID, w.CreatedAt = domain.NewID("hook", k.clock()), k.clock().UTC()
	} else {
		old, err := k.db.Webhook(ctx, w.ID)
		if err != nil {
			return w, err
		}
		if w.CreatedAt = old.CreatedAt; len(w.Secret) == 0 && w.URL == old.URL {
			w.Secret = old.Secret
		}
	}
	if err := w.Check(); err != nil {
		return w, err
	}
	if w.Tenant != "" {
		t, err := k.db.Tenant(ctx, w.Tenant)
		if err != nil {
			return w, domain.InvalidField("tenant", "There is no such tenant.", "a tenant's name or id")
		}
		w.Tenant = t.ID
	}
	if len(w.Secret) == 0 {
		w.Secret = make([]byte, 32)
		rand.Read(w.Secret)
	}
	err := k.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.PutWebhook(w); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: kind, Resource: w.Ref(), Actor: actor, Tenant: w.Tenant, Message: "The webhook " + w.Name + " " + word + "."})
	})
	if err != nil {
		return w, err
	}
	return k.db.Webhook(ctx, w.ID)
}

// Delete forgets a webhook.
func (k *Desk) Delete(ctx context.Context, actor, id string) error {
	w, err := k.db.Webhook(ctx, id)
	if err != nil {
		return err
	}
	return k.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.DeleteWebhook(id); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "webhook.deleted", Resource: w.Ref(), Actor: actor, Tenant: w.Tenant, Message: "The webhook " + w.Name + " was deleted."})
	})
}

// Test calls a webhook now with an event that says that it is a test, and tells what came of it.
func (k *Desk) Test(ctx context.Context, actor, id string) error {
	w, err := k.db.Webhook(ctx, id)
	if err != nil {
		return err
	}
	now := k.clock().UTC()
	_, err = k.call(ctx, w, domain.Delivery{ID: domain.NewID("dlv", now), WebhookID: w.ID, Kind: "webhook.test",
		Event: domain.Event{At: now, Kind: "webhook.test", Resource: w.Ref(), Actor: actor, Message: actor + " tries out whether events arrive here. Nothing has happened."}})
	return err
}

// Redeliver has an event sent again, also one that was taken, or that was given up.
func (k *Desk) Redeliver(ctx context.Context, actor, id, delivery string) (domain.Delivery, error) {
	w, err := k.db.Webhook(ctx, id)
	if err != nil {
		return domain.Delivery{}, err
	}
	v, err := k.db.Delivery(ctx, id, delivery)
	if err != nil {
		return v, err
	}
	v.State, v.Attempts, v.NextAt, v.Error = domain.DeliveryQueued, 0, k.clock().UTC(), ""
	err = k.db.Write(ctx, func(tx *db.Tx) error {
		if err := tx.PutDelivery(v); err != nil {
			return err
		}
		return tx.Emit(domain.Event{Kind: "webhook.redelivered", Resource: w.Ref(), Actor: actor, Tenant: w.Tenant, Message: "An event is sent to the webhook " + w.Name + " again."})
	})
	k.wake()
	return v, err
}
