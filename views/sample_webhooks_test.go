package views_test

import (
	"time"

	"novacron/domain"
	"novacron/views/apidocs"
	"novacron/views/layout"
	"novacron/views/webhooks"
)

func webhookPages() []page {
	sh := func(title, url string) layout.Shell { return shell(title, layout.SectionEvents, url) }
	w := domain.Webhook{ID: "hook_1", Name: "ci", URL: "https://ci.example.org/hook", Kinds: []string{"vm.*"}, Version: 1}
	off := domain.Webhook{ID: "hook_2", Name: "chat", URL: "https://chat.example.org/x", Disabled: true, Version: 2}
	ev := domain.Event{Seq: 4711, At: ago(time.Hour), Kind: "vm.changed", Resource: domain.Ref{Kind: "vm", ID: "vm_1", Name: "web"}, Message: "web runs."}
	sent := domain.Delivery{ID: "dlv_1", Kind: ev.Kind, State: domain.DeliverySent, Attempts: 1, Status: 204, CreatedAt: ago(time.Hour), Event: ev}
	late, dead := sent, sent
	late.State, late.Attempts, late.Status, late.Error, late.NextAt = domain.DeliveryQueued, 3, 503, "The webhook answered 503.", ago(-time.Minute)
	dead.State, dead.Attempts, dead.Status, dead.Error = domain.DeliveryDead, 11, 0, "The webhook could not be reached or took too long."
	count := map[string]map[domain.DeliveryState]int{"hook_1": {domain.DeliveryQueued: 2, domain.DeliveryDead: 1}}
	op := apidocs.Operation{ID: "create-vm", Method: "POST", Path: "/api/v1/vms", Summary: "Create a VM", Doc: "The job's resource is the VM.", Tag: "VMs", Permission: "vm.create",
		Params:  []apidocs.Param{{Name: "wait", In: "query", Type: "string", Doc: "Wait this long for the job to end", Example: "30s"}, {Name: "id", In: "path", Type: "string", Required: true}},
		Body:    &apidocs.Body{Type: "application/json", Example: "{\n  \"name\": \"web-1\"\n}", Fields: []apidocs.Field{{Name: "name", Type: "string", Doc: "Unique in the estate", Required: true}, {Name: "disks[].size_bytes", Type: "integer"}}},
		Answers: []apidocs.Answer{{Status: "202", Doc: "Accepted", Body: &apidocs.Body{Type: "application/json", Example: "{}", Fields: []apidocs.Field{{Name: "id", Type: "string"}}}}, {Status: "422", Doc: "Something in the request is wrong."}}}
	old := apidocs.Operation{ID: "old", Method: "GET", Path: "/api/v1/old", Summary: "Show what was", Permission: "vm.read", Deprecated: true}
	groups := []apidocs.Group{{Name: "VMs", Doc: "Virtual machines.", Operations: []apidocs.Operation{op, old}}}
	return []page{
		{"webhooks", webhooks.ListPage(sh("Webhooks", "/events/webhooks"), webhooks.List{Items: []domain.Webhook{w, off}, Count: count})},
		{"webhooks-none", webhooks.ListPage(sh("Webhooks", "/events/webhooks"), webhooks.List{})},
		{"webhook", webhooks.FormPage(sh("ci", "/events/webhooks/hook_1"), webhooks.Form{Webhook: w, Kinds: "vm.*", Log: []domain.Delivery{late, dead, sent}})},
		{"webhook-made", webhooks.FormPage(sh("ci", "/events/webhooks/hook_1"), webhooks.Form{Webhook: w, Secret: "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="})},
		{"webhook-wrong", webhooks.FormPage(sh("New webhook", "/events/webhooks/new"), webhooks.Form{Err: domain.InvalidField("url", "“x” is not a webhook's address.", "an address that begins with https://")})},
		{"webhook-delete", webhooks.AskDelete(sh("Delete ci", "/events/webhooks/hook_1/delete"), w)},
		{"api-docs", apidocs.ListPage(sh("API reference", "/api/docs"), apidocs.List{Groups: groups, Total: 2, Found: 2})},
		{"api-docs-none", apidocs.ListPage(sh("API reference", "/api/docs"), apidocs.List{Query: "nothing", Total: 2})},
		{"api-doc", apidocs.OperationPage(sh("Create a VM", "/api/docs/create-vm"), op)},
	}
}
