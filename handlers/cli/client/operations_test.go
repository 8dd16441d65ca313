package client

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/format"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table anew from the document")

const (
	document = "../../api/testdata/openapi.json"
	table    = "operations_gen.go"
)

type spec struct {
	Paths      map[string]map[string]specOp
	Components struct{ Schemas map[string]*specSchema }
}

type specOp struct {
	OperationID, Summary, Description string
	Parameters                        []struct {
		Name, In, Description string
		Required              bool
		Schema                *specSchema
	}
	RequestBody struct {
		Content map[string]struct{ Schema *specSchema }
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema *specSchema }
	}
}

type specSchema struct {
	Ref         string `json:"$ref"`
	Type        any
	Description string
	Enum        []any
	Required    []string
	Items       *specSchema
	Properties  map[string]*specSchema
}

func (s *specSchema) name() string { return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:] }

// kind is a schema's type without null.
func (s *specSchema) kind() string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		for _, k := range t {
			if k != "null" {
				return k.(string)
			}
		}
	}
	return ""
}

func read(t *testing.T) spec {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var d spec
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// field shows a part of a body; want collects the schemas that it needs.
func (d *spec) field(name string, s *specSchema, need bool, doc string, want map[string]bool) Field {
	f := Field{Name: name, Need: need, Doc: doc}
	if s.Ref != "" {
		of := d.Components.Schemas[s.name()]
		if f.Kind = of.kind(); f.Kind == "object" && len(of.Properties) > 0 {
			f.Of, want[s.name()] = s.name(), true
		}
		s = of
	} else {
		f.Kind = s.kind()
	}
	for _, e := range s.Enum {
		f.Enum = append(f.Enum, fmt.Sprint(e))
	}
	if f.Kind == "array" && s.Items != nil {
		if s.Items.Ref != "" {
			if of := d.Components.Schemas[s.Items.name()]; of.kind() == "object" {
				f.Of, want[s.Items.name()] = s.Items.name(), true
			} else {
				f.Of = of.kind()
			}
		} else {
			f.Of = s.Items.kind()
		}
	}
	return f
}

// answer finds what an operation answers with, or the items of its list.
func (d *spec) answer(s *specSchema) (name string, pages bool) {
	if s == nil {
		return "", false
	}
	if s.Ref == "" {
		return "", false
	}
	of := d.Components.Schemas[s.name()]
	if items := of.Properties["items"]; items != nil && items.Items != nil && of.Properties["next"] != nil {
		return items.Items.name(), true
	}
	return s.name(), false
}

func generate(d spec) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated from %s by operations_test.go; DO NOT EDIT.\n\npackage client\n\nvar operations = []Operation{\n", document)
	want := map[string]bool{}
	lines := map[string]string{}
	for path, methods := range d.Paths {
		rest, ok := strings.CutPrefix(path, "/api/v1")
		if !ok {
			continue
		}
		for method, o := range methods {
			op := Operation{ID: o.OperationID, Method: strings.ToUpper(method), Path: rest, Summary: o.Summary, Doc: o.Description}
			for _, p := range o.Parameters {
				if p.In == "query" {
					op.Query = append(op.Query, d.field(p.Name, p.Schema, p.Required, p.Description, want))
				}
			}
			for media, c := range o.RequestBody.Content {
				op.Media = media
				if c.Schema != nil && c.Schema.Ref != "" {
					op.Body = c.Schema.name()
					want[op.Body] = true
				}
			}
			codes := slices.Sorted(maps.Keys(o.Responses))
			if len(codes) > 0 {
				last := codes[0]
				for _, c := range codes {
					if strings.HasPrefix(c, "2") {
						last = c
					}
				}
				op.Status, _ = strconv.Atoi(last)
				op.Answer, op.Pages = d.answer(o.Responses[last].Content["application/json"].Schema)
			}
			lines[op.ID] = strings.ReplaceAll(fmt.Sprintf("%#v", op), "client.", "")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(lines)) {
		b.WriteString("\t" + strings.TrimPrefix(lines[id], "Operation") + ",\n")
	}
	b.WriteString("}\n\nvar schemas = []schema{\n")
	made := map[string]string{}
	for len(made) < len(want) {
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if made[name] != "" {
				continue
			}
			s := d.Components.Schemas[name]
			made[name] = "\t{" + strconv.Quote(name) + ", []Field{\n"
			for _, prop := range slices.Sorted(maps.Keys(s.Properties)) {
				if prop == "$schema" {
					continue
				}
				p := s.Properties[prop]
				text := fmt.Sprintf("%#v", d.field(prop, p, slices.Contains(s.Required, prop), p.Description, want))
				made[name] += "\t\t" + strings.TrimPrefix(strings.ReplaceAll(text, "client.", ""), "Field") + ",\n"
			}
			made[name] += "\t}},\n"
		}
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		b.WriteString(made[name])
	}
	b.WriteString("}\n")
	out, err := format.Source(dropZero(b.Bytes()))
	if err != nil {
		panic(err)
	}
	return out
}

// dropZero leaves out what says nothing.
func dropZero(src []byte) []byte {
	text := string(src)
	for _, name := range []string{"Kind", "Of", "Doc", "Body", "Media", "Answer", "Summary"} {
		text = strings.ReplaceAll(text, `, `+name+`:""`, "")
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, "[]Field{Field{", "[]Field{{"), ", Field{", ", {")
	for _, part := range []string{", Need:false", ", Enum:[]string(nil)", ", Query:[]Field(nil)", ", Pages:false", ", Status:0"} {
		text = strings.ReplaceAll(text, part, "")
	}
	return []byte(text)
}

func TestTheTableIsTheDocument(t *testing.T) {
	want := generate(read(t))
	if *update {
		if err := os.WriteFile(table, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what %s says; make it anew: go test ./handlers/cli/client -run TestTheTableIsTheDocument -update", table, document)
	}
	if !slices.IsSortedFunc(operations, func(a, b Operation) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("the operations are not in order")
	}
}
