package handlers

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/domain"
	"novacron/views/apidocs"
	"novacron/views/layout"
	"novacron/views/live"
)

// The reference is made of the OpenAPI document alone, once: what the document does not say, the page does not know.

type specDoc struct {
	Tags       []struct{ Name, Description string }
	Paths      map[string]map[string]specOp
	Components struct {
		Schemas   map[string]*specSchema
		Responses map[string]specAnswer
	}
}

type specOp struct {
	OperationID string `json:"operationId"`
	Summary     string
	Description string
	Tags        []string
	Permission  string `json:"x-permission"`
	Deprecated  bool
	Parameters  []struct {
		Name, In, Description string
		Required              bool
		Schema                *specSchema
		Example               any
	}
	RequestBody *struct{ Content map[string]specMedia } `json:"requestBody"`
	Responses   map[string]specAnswer
}

type specAnswer struct {
	Ref         string `json:"$ref"`
	Description string
	Content     map[string]specMedia
}

type specMedia struct {
	Schema  *specSchema
	Example json.RawMessage
}

type specSchema struct {
	Ref         string `json:"$ref"`
	Type        specType
	Format      string
	Description string
	Enum        []any
	Items       *specSchema
	OneOf       []*specSchema `json:"oneOf"`
	Properties  map[string]*specSchema
	Required    []string
}

// specType is one name or several.
type specType []string

func (t *specType) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = specType{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// reference reads the document.
func reference(spec []byte) ([]apidocs.Group, error) {
	var doc specDoc
	if err := json.Unmarshal(spec, &doc); err != nil {
		return nil, domain.Errorf(domain.Internal, "The API's document cannot be read: %w", err)
	}
	groups := map[string]*apidocs.Group{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			op := apidocs.Operation{ID: o.OperationID, Method: strings.ToUpper(method), Path: path, Summary: o.Summary, Doc: o.Description, Permission: o.Permission, Deprecated: o.Deprecated}
			if len(o.Tags) > 0 {
				op.Tag = o.Tags[0]
			}
			for _, p := range o.Parameters {
				out := apidocs.Param{Name: p.Name, In: p.In, Doc: p.Description, Required: p.Required, Type: doc.typeOf(p.Schema)}
				if p.Example != nil {
					out.Example = fmt.Sprint(p.Example)
				}
				op.Params = append(op.Params, out)
			}
			if o.RequestBody != nil {
				op.Body = doc.body(o.RequestBody.Content)
			}
			for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
				a := o.Responses[status]
				if name, ok := strings.CutPrefix(a.Ref, "#/components/responses/"); ok {
					op.Answers = append(op.Answers, apidocs.Answer{Status: status, Doc: doc.Components.Responses[name].Description})
					continue
				}
				out := apidocs.Answer{Status: status, Doc: a.Description}
				if status != "default" {
					out.Body = doc.body(a.Content)
				}
				op.Answers = append(op.Answers, out)
			}
			g := groups[op.Tag]
			if g == nil {
				g = &apidocs.Group{Name: op.Tag}
				groups[op.Tag] = g
			}
			g.Operations = append(g.Operations, op)
		}
	}
	for _, t := range doc.Tags {
		if g := groups[t.Name]; g != nil {
			g.Doc = t.Description
		}
	}
	out := make([]apidocs.Group, 0, len(groups))
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		g := groups[name]
		slices.SortFunc(g.Operations, func(a, b apidocs.Operation) int {
			return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Method, b.Method))
		})
		out = append(out, *g)
	}
	return out, nil
}

func (d *specDoc) schema(s *specSchema) (*specSchema, string) {
	if s == nil {
		return &specSchema{}, ""
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok && d.Components.Schemas[name] != nil {
		return d.Components.Schemas[name], name
	}
	return s, ""
}

func (d *specDoc) typeOf(s *specSchema) string {
	s, name := d.schema(s)
	if len(s.Enum) > 0 {
		words := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			words[i] = fmt.Sprint(v)
		}
		return strings.Join(words, " | ")
	}
	if len(s.Type) > 0 && s.Type[0] == "array" {
		return "list of " + d.typeOf(s.Items)
	}
	if s.Format == "date-time" {
		return "time"
	}
	return cmp.Or(name, strings.Join(s.Type, " or "), "anything")
}

// body shows the first of what may be sent, JSON where that is among it.
func (d *specDoc) body(content map[string]specMedia) *apidocs.Body {
	if len(content) == 0 {
		return nil
	}
	typ := slices.Sorted(maps.Keys(content))[0]
	if _, ok := content["application/json"]; ok {
		typ = "application/json"
	}
	m := content[typ]
	b := &apidocs.Body{Type: typ}
	if len(m.Example) > 0 && string(m.Example) != "null" {
		var v any
		if json.Unmarshal(m.Example, &v) == nil {
			if text, err := json.MarshalIndent(v, "", "  "); err == nil {
				b.Example = string(text)
			}
		}
	}
	s := m.Schema
	if s != nil && len(s.OneOf) > 0 {
		s = s.OneOf[0]
	}
	d.fields("", s, 0, &b.Fields)
	return b
}

// fieldsDeep is how far into a body its fields are shown, and fieldsMost how many.
const (
	fieldsDeep = 3
	fieldsMost = 200
)

func (d *specDoc) fields(at string, s *specSchema, depth int, out *[]apidocs.Field) {
	s, _ = d.schema(s)
	if depth > fieldsDeep || len(*out) >= fieldsMost {
		return
	}
	if s.Items != nil {
		d.fields(at+"[]", s.Items, depth, out)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		full, of := name, p
		if at != "" {
			full = at + "." + name
		}
		if inner, _ := d.schema(p); p.Description == "" {
			of = inner
		}
		*out = append(*out, apidocs.Field{Name: full, Type: d.typeOf(p), Doc: of.Description, Required: slices.Contains(s.Required, name)})
		d.fields(full, p, depth+1, out)
	}
}

func (s *server) apiDocs(c echo.Context) error {
	m := apidocs.List{Query: c.QueryParam("q")}
	if len(m.Query) > 200 {
		m.Query = m.Query[:200]
	}
	m.Groups, m.Found = apidocs.Find(s.docs, m.Query)
	_, m.Total = apidocs.Find(s.docs, "")
	sh, err := s.shellFor(c, page{title: "API reference"})
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, apidocs.ListPage(sh, m))
}

func (s *server) apiDoc(c echo.Context) error {
	for _, g := range s.docs {
		for _, o := range g.Operations {
			if o.ID != c.Param("operation") {
				continue
			}
			sh, err := s.shellFor(c, page{title: o.Summary, crumbs: []layout.Crumb{{Label: "API reference", URL: live.APIDocs}}})
			if err != nil {
				return err
			}
			return s.render(c, http.StatusOK, apidocs.OperationPage(sh, o))
		}
	}
	return domain.Errorf(domain.NotFound, "There is no such operation.").WithFix("Look for it in the list.")
}
