package domain

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Webhook is another system that is sent what happens.
type Webhook struct {
	ID        string
	Name      string
	URL       string
	Secret    []byte // what its calls are signed with
	Kinds     []string
	Object    string // only events of this thing
	Tenant    string // only events of this tenant
	Disabled  bool
	Cursor    int64
	CreatedAt time.Time
	Version   int64
}

// Ref names it.
func (w *Webhook) Ref() Ref { return Ref{Kind: "webhook", ID: w.ID, Name: w.Name} }

// Filter is which events it is sent. What happens to webhooks themselves is in no webhook: a call that fails would make the next.
func (w *Webhook) Filter() EventFilter {
	return EventFilter{Kinds: w.Kinds, Object: w.Object, Tenant: w.Tenant}
}

// Wants reports whether it is sent an event.
func (w *Webhook) Wants(ev *Event) bool {
	f := w.Filter()
	return ev.Kind != EventStep && ev.Resource.Kind != "webhook" && f.Wants(ev)
}

// Check tells what is wrong with it.
func (w *Webhook) Check() error {
	var p Problems
	if w.Name = strings.TrimSpace(w.Name); w.Name == "" || len(w.Name) > 120 || strings.ContainsFunc(w.Name, Unseen) {
		p.Add("name", "The webhook needs a name.", "1 to 120 characters")
	}
	w.URL = strings.TrimSpace(w.URL)
	u, err := url.Parse(w.URL)
	if err != nil || len(w.URL) > 2000 || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		p.Add("url", "“"+w.URL+"” is not a webhook's address.", "an address that begins with https://, such as https://ci.example.org/hook")
	}
	kinds, err := ParseKinds("kinds", strings.Join(w.Kinds, ","))
	if err != nil {
		p.Add("kinds", err.Error(), "such as vm.changed, or vm.* for all about VMs")
	}
	w.Kinds = kinds
	if len(w.Object) > 64 {
		p.Add("object", "That is not the id of anything.", "an id, or nothing for everything")
	}
	return p.Err()
}

// DeliveryState is where a call to a webhook stands.
type DeliveryState string

const (
	DeliveryQueued DeliveryState = "queued"
	DeliverySent   DeliveryState = "sent"
	DeliveryDead   DeliveryState = "dead" // was tried for a day; a person may send it again
)

// Delivery is one event on its way to a webhook.
type Delivery struct {
	ID        string
	WebhookID string
	Seq       int64
	Kind      string
	State     DeliveryState
	Attempts  int
	Status    int // of the last answer; 0: none came
	NextAt    time.Time
	SentAt    time.Time
	CreatedAt time.Time
	Error     string
	Event     Event
}

// deliveryWaits are between the attempts; after the last one a delivery is dead. They make a bit more than a day.
var deliveryWaits = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 10 * time.Hour}

// DeliveryWait is how long to wait after so many attempts; ok is false when there is no further one.
func DeliveryWait(attempts int) (wait time.Duration, ok bool) {
	if attempts < 1 || attempts > len(deliveryWaits) {
		return 0, false
	}
	return deliveryWaits[attempts-1], true
}

// webhookSecret begins the text of a secret, as Standard Webhooks has it.
const webhookSecret = "whsec_"

// WebhookSecretText is a secret as the other side is given it.
func WebhookSecretText(secret []byte) string {
	return webhookSecret + base64.StdEncoding.EncodeToString(secret)
}

// ParseWebhookSecret reads such a text.
func ParseWebhookSecret(field, text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), webhookSecret))
	if err != nil || len(b) < 16 || len(b) > 128 {
		return nil, InvalidField(field, "That is not the secret of a webhook.", "whsec_ and 16 to 128 bytes in base64, or nothing: then one is made")
	}
	return b, nil
}

// SignWebhook makes the header webhook-signature of Standard Webhooks: HMAC-SHA256 over the id, the time and the body.
func SignWebhook(secret []byte, id string, at time.Time, body []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// WebhookTolerance is how far apart two clocks may be.
const WebhookTolerance = 5 * time.Minute

// VerifyWebhook is what a receiver does with a call: the signature is right and the time is not long ago, or far ahead, by its own clock.
func VerifyWebhook(secret []byte, id, timestamp, signature string, body []byte, now time.Time) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return Errorf(Invalid, "The time of the call cannot be read.")
	}
	at := time.Unix(seconds, 0)
	if d := now.Sub(at); d > WebhookTolerance || d < -WebhookTolerance {
		return Errorf(Denied, "The call is %s old by this clock, so it may be one that is sent again by somebody else.", d.Round(time.Second)).WithFix("Set both clocks.")
	}
	want := SignWebhook(secret, id, at, body)
	for one := range strings.FieldsSeq(signature) {
		if hmac.Equal([]byte(one), []byte(want)) {
			return nil
		}
	}
	return Errorf(Denied, "The signature is not right.")
}
