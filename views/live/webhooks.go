package live

// Pages of webhooks and of the API's reference.
const (
	Webhooks      = "/events/webhooks" // GET list; POST makes one
	WebhookNew    = "/events/webhooks/new"
	PatWebhook    = "/events/webhooks/:id"      // GET form and deliveries; POST changes it
	PatWebhookDo  = "/events/webhooks/:id/:act" // GET delete: dialog; POST delete, test
	PatRedeliver  = "/events/webhooks/:id/deliveries/:delivery"
	WebhookForm   = "webhook"
	APIDocs       = "/api/docs" // GET ?q=
	PatAPIDoc     = "/api/docs/:operation"
	APIDocsSearch = "api-search"
)

// Webhook is one webhook's form and what it was sent.
func Webhook(id string) string { return at("events", "webhooks", id) }

// WebhookDo asks for and does something with it.
func WebhookDo(id, act string) string { return at("events", "webhooks", id, act) }

// Redeliver sends it an event again.
func Redeliver(id, delivery string) string {
	return at("events", "webhooks", id, "deliveries", delivery)
}

// APIDoc is the reference of one operation.
func APIDoc(operation string) string { return at("api", "docs", operation) }
