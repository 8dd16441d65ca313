package api

import (
	"cmp"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// refusals are the error answers that operations share, by status.
var refusals = map[int]struct{ name, doc string }{
	http.StatusBadRequest:            {"BadRequest", "The request cannot be read at all: its JSON is broken, or its body is missing."},
	http.StatusUnauthorized:          {"Unauthorized", "No valid token was sent, or it has expired or was revoked."},
	http.StatusForbidden:             {"Forbidden", "The token's owner may not do this."},
	http.StatusNotFound:              {"NotFound", "There is no such thing, or it is not for the token's owner to see."},
	http.StatusRequestTimeout:        {"Timeout", "The body did not come in time."},
	http.StatusConflict:              {"Conflict", "The state forbids it: something holds it, the name is taken, or it was changed meanwhile."},
	http.StatusPreconditionFailed:    {"Stale", "It is not any more what If-Match says."},
	http.StatusRequestEntityTooLarge: {"TooLarge", "The body is too long."},
	http.StatusUnsupportedMediaType:  {"WrongType", "The body is of a type that this operation does not take."},
	http.StatusUnprocessableEntity:   {"Invalid", "Something in the request is wrong; errors names each field."},
	http.StatusTooManyRequests:       {"TooMany", "There were too many requests from this token; Retry-After says when the next one is taken."},
	http.StatusServiceUnavailable:    {"Unavailable", "Something that this needs does not answer now; Retry-After says when to try again."},
	http.StatusInsufficientStorage:   {"NoCapacity", "No host or pool has room; reasons says why each was refused."},
}

// conflict is the refusal of something that is only read, but not in every state.
func conflict() *huma.Response { return &huma.Response{Ref: "#/components/responses/Conflict"} }

// gives says that an answer is not JSON.
func gives(mediaType, what string) func(*huma.Operation) {
	schema := &huma.Schema{Type: huma.TypeString}
	if !strings.HasPrefix(mediaType, "text/") && !strings.HasSuffix(mediaType, "json") && !strings.HasSuffix(mediaType, "xml") {
		schema.Format = "binary"
	}
	return func(h *huma.Operation) {
		h.Responses = map[string]*huma.Response{"200": {Description: what, Content: map[string]*huma.MediaType{mediaType: {Schema: schema}}}}
	}
}

// describe completes the document with what all operations promise: their shared parameters and answers, and an example of every body.
func (s *server) describe() {
	doc := s.api.OpenAPI()
	reg := doc.Components.Schemas
	problems := schemaOf[Problem](reg)
	plan := schemaOf[DryRun](reg)
	doc.Components.Responses = map[string]*huma.Response{}
	for status, r := range refusals {
		code := "invalid"
		for c, k := range kinds {
			if k.status == status && c != "unsupported" {
				code = string(c)
			}
		}
		res := &huma.Response{Description: r.doc, Content: map[string]*huma.MediaType{ProblemContentType: {Schema: problems, Example: problemExample(status, code)}}}
		if status == http.StatusTooManyRequests {
			res.Headers = map[string]*huma.Param{"RateLimit-Limit": {Ref: "#/components/headers/RateLimit-Limit"}, "RateLimit-Remaining": {Ref: "#/components/headers/RateLimit-Remaining"}}
		}
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			if res.Headers == nil {
				res.Headers = map[string]*huma.Param{}
			}
			res.Headers["Retry-After"] = &huma.Param{Description: "Seconds", Schema: &huma.Schema{Type: huma.TypeInteger}}
		}
		doc.Components.Responses[r.name] = res
	}
	doc.Components.Headers = map[string]*huma.Param{
		"ETag":                {Description: "What it is now, for If-Match on an edit", Schema: &huma.Schema{Type: huma.TypeString}},
		"RateLimit-Limit":     {Description: "Requests that a token may send in a minute", Schema: &huma.Schema{Type: huma.TypeInteger}},
		"RateLimit-Remaining": {Description: "How many are left", Schema: &huma.Schema{Type: huma.TypeInteger}},
	}
	tags := map[string]bool{}
	for path, item := range doc.Paths {
		for method, o := range map[string]*huma.Operation{"GET": item.Get, "HEAD": item.Head, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete} {
			if o == nil {
				continue
			}
			t, _ := o.Metadata["traits"].(*traits)
			if t == nil {
				t = &traits{}
			}
			for _, tag := range o.Tags {
				tags[tag] = true
			}
			s.parameters(path, method, o, t)
			s.answers(o, t, plan)
			s.examples(o)
		}
	}
	s.nulls()
	doc.Tags = nil
	for tag := range tags {
		doc.Tags = append(doc.Tags, &huma.Tag{Name: tag, Description: cmp.Or(tagDocs[tag], "What is about "+strings.ToLower(tag)+".")})
	}
	slices.SortFunc(doc.Tags, func(a, b *huma.Tag) int { return strings.Compare(a.Name, b.Name) })
	doc.Servers = []*huma.Server{{URL: "/", Description: "This server"}}
	doc.Info.License = nil
}

func problemExample(status int, code string) any {
	title := http.StatusText(status)
	return map[string]any{"type": "urn:novacron:problem:" + code, "title": title, "status": status, "code": code, "detail": refusals[status].doc}
}

func (s *server) parameters(path, method string, o *huma.Operation, t *traits) {
	add := func(in, name, doc, example string, typ string) {
		if slices.ContainsFunc(o.Parameters, func(p *huma.Param) bool { return p.Name == name && p.In == in }) {
			return
		}
		p := &huma.Param{Name: name, In: in, Description: doc, Schema: &huma.Schema{Type: typ}}
		if example != "" {
			p.Example = example
		}
		o.Parameters = append(o.Parameters, p)
	}
	if t.list != nil {
		doc := "A CEL expression over the fields of an item: only those for which it is true"
		if t.words {
			for _, p := range o.Parameters {
				if p.Name == "filter" {
					p.Description = strings.TrimSuffix(p.Description, ".") + ". Or a CEL expression over the fields of an item, which is true or false"
				}
			}
		}
		example := ""
		switch {
		case slices.Contains(t.list.Fields(), "name"):
			example = `name.startsWith("web-")`
		case slices.Contains(t.list.Fields(), "state"):
			example = `state != ""`
		}
		add("query", "filter", doc, example, huma.TypeString)
		if sorts := t.list.Sortable(); len(sorts) > 0 {
			add("query", "sort", "A field to order by, a minus before it turns it round: "+strings.Join(sorts, ", "), sorts[0], huma.TypeString)
		}
		if fields := t.list.Fields(); len(fields) > 0 {
			add("query", "fields", "Only these fields of each item, with commas between them; a dot goes into one", strings.Join(fields[:min(2, len(fields))], ","), huma.TypeString)
		}
	}
	if !t.change {
		return
	}
	o.Parameters = append(o.Parameters, &huma.Param{Name: "dry_run", In: "query", Description: "true: check everything, write nothing, and answer 200 with the plan", Schema: &huma.Schema{Type: huma.TypeBoolean}})
	most := 200
	if !slices.ContainsFunc(o.Parameters, func(p *huma.Param) bool { return p.Name == "Idempotency-Key" }) {
		o.Parameters = append(o.Parameters, &huma.Param{Name: "Idempotency-Key", In: "header", Description: "Sent again with the same key within a day, the request is answered as it was and not done again", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &most}})
	}
	if s.ones[strings.TrimPrefix(path, prefix)] != nil && method != "POST" {
		add("header", "If-Match", "The ETag that the edit is based on; when it is stale the answer is 412", "", huma.TypeString)
	}
}

// answers completes what an operation may answer.
func (s *server) answers(o *huma.Operation, t *traits, plan *huma.Schema) {
	if o.Responses == nil {
		o.Responses = map[string]*huma.Response{}
	}
	if t.change {
		if ok := o.Responses["200"]; ok != nil {
			for _, m := range ok.Content {
				if m.Schema != nil && m.Schema.Ref != plan.Ref && len(m.Schema.OneOf) == 0 {
					m.Schema = &huma.Schema{OneOf: []*huma.Schema{m.Schema, plan}}
				}
			}
		} else {
			o.Responses["200"] = &huma.Response{Description: "With ?dry_run=true: what it would do", Content: map[string]*huma.MediaType{"application/json": {Schema: plan}}}
		}
	}
	if t.one {
		if ok := o.Responses["200"]; ok != nil {
			if ok.Headers == nil {
				ok.Headers = map[string]*huma.Param{}
			}
			ok.Headers["ETag"] = &huma.Param{Ref: "#/components/headers/ETag"}
		}
	}
	statuses := []int{401, 403, 404, 422, 429, 503}
	if o.RequestBody != nil {
		statuses = append(statuses, 400, 408, 413, 415)
	}
	if t.change {
		statuses = append(statuses, 409)
	}
	if o.Responses["202"] != nil {
		statuses = append(statuses, 507)
	}
	if slices.ContainsFunc(o.Parameters, func(p *huma.Param) bool { return p.Name == "If-Match" }) {
		statuses = append(statuses, 412)
	}
	for _, status := range statuses {
		key := strconv.Itoa(status)
		if o.Responses[key] == nil {
			o.Responses[key] = &huma.Response{Ref: "#/components/responses/" + refusals[status].name}
		}
	}
}

// examples gives every body one, made of the examples of its fields.
func (s *server) examples(o *huma.Operation) {
	if o.RequestBody != nil {
		for _, m := range o.RequestBody.Content {
			s.example(m, true)
		}
	}
	for status, r := range o.Responses {
		if r.Ref != "" || status == "default" {
			continue
		}
		for _, m := range r.Content {
			s.example(m, false)
		}
	}
}

func (s *server) example(m *huma.MediaType, request bool) {
	if m.Example != nil || len(m.Examples) > 0 || m.Schema == nil {
		return
	}
	schema := m.Schema
	if len(schema.OneOf) > 0 {
		schema = schema.OneOf[0]
	}
	m.Example = exampler{s.api.OpenAPI().Components.Schemas, request}.of("", schema, 0)
}

// exampler makes an example of a schema.
type exampler struct {
	reg     huma.Registry
	request bool
}

// deepest is how far down an example goes.
const deepest = 4

func (e exampler) of(name string, s *huma.Schema, depth int) any {
	if s == nil {
		return nil
	}
	if s.Ref != "" {
		s = e.reg.SchemaFromRef(s.Ref)
	}
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Default != nil && !reflect.ValueOf(s.Default).IsZero():
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.OneOf) > 0:
		return e.of(name, s.OneOf[0], depth)
	case s.Nullable && (depth >= 2 || s.Type == huma.TypeObject):
		return nil
	}
	switch s.Type {
	case huma.TypeObject:
		out := map[string]any{}
		for k, p := range s.Properties {
			needed := slices.Contains(s.Required, k)
			if needed || depth < deepest && p.Ref == "" && len(p.Examples) > 0 {
				out[k] = e.of(k, p, depth+1)
			}
		}
		return out
	case huma.TypeArray:
		least := 0
		if s.MinItems != nil {
			least = *s.MinItems
		}
		if least == 0 && depth > 1 {
			return []any{}
		}
		return []any{e.of(strings.TrimSuffix(name, "s"), s.Items, depth+1)}
	case huma.TypeString:
		return e.text(name, s)
	case huma.TypeInteger, huma.TypeNumber:
		n := 1
		if strings.HasSuffix(name, "_bytes") || name == "bytes" {
			n = 1 << 30
		}
		if s.Minimum != nil {
			n = max(n, int(*s.Minimum))
		}
		if s.Maximum != nil {
			n = min(n, int(*s.Maximum))
		}
		return n
	case huma.TypeBoolean:
		return false
	}
	return nil
}

func (e exampler) text(name string, s *huma.Schema) any {
	switch {
	case s.Format == "date-time":
		return "2026-11-02T08:30:00Z"
	case s.Format != "":
		return ""
	case name == "id" || strings.HasSuffix(name, "_id"):
		return strings.TrimPrefix(strings.TrimSuffix(name, "_id")+"_01k2", "id_")
	case name == "name" || name == "title":
		return "web-1"
	case name == "uuid":
		return "6f1f0f0c-5a0e-4a4e-9d7b-2b6f3a0c1d2e"
	case name == "mac":
		return "52:54:00:12:34:56"
	case strings.HasSuffix(name, "uri") || strings.HasSuffix(name, "url"):
		return "https://example.net/"
	}
	return "text"
}

// tagDocs say what the groups of operations are for.
var tagDocs = map[string]string{
	"Hosts": "libvirt daemons, what they are and have.", "VMs": "Virtual machines: made, shown, changed, deleted.", "VM actions": "Power and what else is done to a VM.",
	"Jobs": "Every change is a job: its steps, its progress, its end.", "Events": "What happens, as it happens.", "Webhooks": "What happens, sent to other systems.",
	"Networks": "Virtual networks, their leases, and security groups.", "Access": "Accounts, groups, roles, tokens, tenants, the audit log.", "Metrics": "What was measured, in Prometheus' own API.",
	"Alerts": "Rules, alerts, silences, receivers and incidents.", "Images": "The library of disk images.", "Templates": "What VMs are made from.", "Snapshots": "Snapshots and their schedules.",
	"Storage": "Pools and volumes.", "Volumes": "Disk images on hosts.", "Migration": "Moving VMs and planning it.", "Guests": "What is inside a VM, through its agent.", "Devices": "Devices of hosts that VMs can be given.", "Maintenance": "Plans that empty hosts in turn.", "Placement": "What may run beside what.", "Dashboards": "Charts put together.", "Folders": "Where VMs are kept.",
}
