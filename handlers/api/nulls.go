package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"novacron/domain"
)

// A field that is another object may be null in answers, which huma does not say of what it makes of types: it marks values only.

// nulls says it in the document: of pointers that are written also when they are nil. What is sent in requests is left as it is, since huma checks requests by it.
func (s *server) nulls() {
	reg := s.api.OpenAPI().Components.Schemas
	sent := map[string]bool{}
	for _, item := range s.api.OpenAPI().Paths {
		for _, o := range operationsOf(item) {
			if o.RequestBody != nil {
				for _, m := range o.RequestBody.Content {
					sentBy(reg, m.Schema, sent)
				}
			}
		}
	}
	for name, schema := range reg.Map() {
		if t := reg.TypeFromRef("#/components/schemas/" + name); t != nil && !sent[name] {
			nullsOf(t, schema)
		}
	}
}

func operationsOf(item *huma.PathItem) []*huma.Operation {
	return slices.DeleteFunc([]*huma.Operation{item.Get, item.Head, item.Post, item.Put, item.Patch, item.Delete}, func(o *huma.Operation) bool { return o == nil })
}

// sentBy marks the schemas that a request is checked by.
func sentBy(reg huma.Registry, s *huma.Schema, sent map[string]bool) {
	if s == nil {
		return
	}
	if s.Ref != "" {
		name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		if !sent[name] {
			sent[name] = true
			sentBy(reg, reg.SchemaFromRef(s.Ref), sent)
		}
		return
	}
	sentBy(reg, s.Items, sent)
	for _, p := range s.Properties {
		sentBy(reg, p, sent)
	}
	for _, p := range slices.Concat(s.OneOf, s.AnyOf, s.AllOf) {
		sentBy(reg, p, sent)
	}
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		sentBy(reg, more, sent)
	}
}

func nullsOf(t reflect.Type, s *huma.Schema) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := s.Properties[name]
		if p == nil || p.Ref == "" || f.Type.Kind() != reflect.Pointer || strings.Contains(opts, "omit") {
			continue
		}
		s.Properties[name] = &huma.Schema{Description: p.Description, OneOf: []*huma.Schema{{Ref: p.Ref}, {Type: "null"}}}
	}
}

// downgraded gives the document as OpenAPI 3.0, which has no type null.
func downgraded(o *huma.OpenAPI) ([]byte, error) {
	raw, err := o.Downgrade()
	if err != nil {
		return nil, err
	}
	var doc any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&doc); err != nil {
		return nil, domain.Errorf(domain.Internal, "The document cannot be read: %w", err)
	}
	withoutNull(doc)
	return json.Marshal(doc)
}

func withoutNull(v any) {
	switch x := v.(type) {
	case []any:
		for _, sub := range x {
			withoutNull(sub)
		}
	case map[string]any:
		if all, ok := x["oneOf"].([]any); ok {
			kept := slices.DeleteFunc(all, func(one any) bool {
				m, ok := one.(map[string]any)
				return ok && m["type"] == "null"
			})
			if len(kept) < len(all) {
				delete(x, "oneOf")
				x["allOf"], x["nullable"] = kept, true
			}
		}
		for _, sub := range x {
			withoutNull(sub)
		}
	}
}
