// Package webhooks shows which other systems are sent what happens, and what came of each call. It is not for receivers of alerts (views/alerts).
package webhooks

import (
	"strings"

	"novacron/domain"
	"novacron/views/live"
	"novacron/views/ui"
)

// List is the page of webhooks.
type List struct {
	Items []domain.Webhook
	Count map[string]map[domain.DeliveryState]int
}

// Form makes or changes a webhook, and shows what it was sent.
type Form struct {
	Webhook domain.Webhook
	Kinds   string
	Secret  string // shown once
	Tenants []domain.Tenant
	Log     []domain.Delivery
	State   string // of the deliveries that are listed
	Err     *domain.Error
}

func what(w *domain.Webhook) string {
	if len(w.Kinds) == 0 {
		return "everything"
	}
	return strings.Join(w.Kinds, ", ")
}

func saveURL(w *domain.Webhook) string {
	if w.ID == "" {
		return live.Webhooks
	}
	return live.Webhook(w.ID)
}

func heading(w *domain.Webhook) string {
	if w.ID == "" {
		return "New webhook"
	}
	return w.Name
}

func yes(b bool) string {
	if b {
		return "1"
	}
	return ""
}

type look struct{ tone, icon, word string }

func looks(s domain.DeliveryState) look {
	switch s {
	case domain.DeliverySent:
		return look{ui.OK, "circle-check", "taken"}
	case domain.DeliveryDead:
		return look{ui.Bad, "alert-triangle", "given up"}
	}
	return look{ui.Info, "clock", "waits"}
}
