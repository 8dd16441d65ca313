package api

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var accept = flag.Bool("accept", false, "take over the contract as it is now, also where that breaks clients")

// promises are what clients build on, a line each: what may be asked (ask, may), what must be sent (must), what is answered (gives), which values there are (one).
// A line that is gone breaks somebody, but for must; a new must breaks whoever did not send it.
func promisesOf(t *testing.T, raw []byte) map[string]bool {
	t.Helper()
	type schema struct {
		Ref        string `json:"$ref"`
		Type       any
		Enum       []any
		Items      json.RawMessage
		OneOf      []json.RawMessage `json:"oneOf"`
		Properties map[string]json.RawMessage
		Required   []string
	}
	type content map[string]struct{ Schema json.RawMessage }
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Permission  string `json:"x-permission"`
			Parameters  []struct {
				Name, In string
				Required bool
				Schema   json.RawMessage
			}
			RequestBody *struct {
				Required bool
				Content  content
			} `json:"requestBody"`
			Responses map[string]struct{ Content content }
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	add := func(format string, args ...any) { out[fmt.Sprintf(format, args...)] = true }
	asked := map[string]bool{} // schemas that are sent
	var name func(raw json.RawMessage) string
	name = func(raw json.RawMessage) string {
		var s schema
		if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
			return "any"
		}
		if s.Ref != "" {
			return strings.TrimPrefix(s.Ref, "#/components/schemas/")
		}
		if len(s.Items) > 0 {
			return "[]" + name(s.Items)
		}
		if len(s.OneOf) > 0 {
			return name(s.OneOf[0])
		}
		switch v := s.Type.(type) {
		case string:
			return v
		case []any:
			return fmt.Sprint(v[0])
		}
		return "any"
	}
	var send func(of string)
	send = func(of string) {
		of = strings.TrimLeft(of, "[]")
		if asked[of] || doc.Components.Schemas[of] == nil {
			return
		}
		asked[of] = true
		var s schema
		if json.Unmarshal(doc.Components.Schemas[of], &s) == nil {
			for _, p := range s.Properties {
				send(name(p))
			}
		}
	}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			at := strings.ToUpper(method) + " " + path
			add("ask %s as %s with %s", at, o.OperationID, o.Permission)
			for _, p := range o.Parameters {
				add("may %s %s %s %s", at, p.In, p.Name, name(p.Schema))
				if p.Required && p.In != "path" {
					add("must %s %s %s", at, p.In, p.Name)
				}
				var s schema
				if json.Unmarshal(p.Schema, &s) == nil {
					for _, v := range s.Enum {
						add("one %s %s %s: %v", at, p.In, p.Name, v)
					}
				}
			}
			if o.RequestBody != nil {
				for typ, m := range o.RequestBody.Content {
					add("may %s body %s %s", at, typ, name(m.Schema))
					send(name(m.Schema))
				}
				if o.RequestBody.Required {
					add("must %s body", at)
				}
			}
			for status, r := range o.Responses {
				for typ, m := range r.Content {
					add("gives %s %s %s %s", at, status, typ, name(m.Schema))
				}
			}
		}
	}
	for of, raw := range doc.Components.Schemas {
		var s schema
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		for p, raw := range s.Properties {
			add("gives %s.%s %s", of, p, name(raw))
			var v schema
			if json.Unmarshal(raw, &v) == nil {
				for _, e := range v.Enum {
					add("one %s.%s: %v", of, p, e)
				}
			}
		}
		for _, p := range s.Required {
			if asked[of] {
				add("must %s.%s", of, p)
			}
		}
	}
	return out
}

// breaks are the differences that clients do not survive. What is new may ask for anything.
func breaks(was, is map[string]bool) (out []string) {
	for line := range was {
		if !is[line] && !strings.HasPrefix(line, "must ") {
			out = append(out, "gone: "+line)
		}
	}
	for line := range is {
		rest, must := strings.CutPrefix(line, "must ")
		if !must || was[line] {
			continue
		}
		of, _, field := strings.Cut(rest, ".")
		known := field && anyHas(was, "gives "+of+".")
		if !field || strings.HasPrefix(rest, "GET ") || strings.Contains(rest, " /") {
			parts := strings.Fields(rest)
			known = anyHas(was, "ask "+strings.Join(parts[:2], " ")+" as ")
		}
		if known {
			out = append(out, "new: "+line)
		}
	}
	slices.Sort(out)
	return out
}

func anyHas(lines map[string]bool, prefix string) bool {
	for l := range lines {
		if strings.HasPrefix(l, prefix) {
			return true
		}
	}
	return false
}

// What was promised once stays: the file has every promise, and only -accept takes one back (README: deprecation).
func TestNoPromiseIsBroken(t *testing.T) {
	const file = "testdata/promises.txt"
	raw, _ := document(t, "/openapi.json")
	is := promisesOf(t, raw)
	b, err := os.ReadFile(file)
	if err != nil && !*accept {
		t.Fatal(err)
	}
	was := map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
		was[line] = true
	}
	if *accept {
		was = map[string]bool{}
	}
	for _, b := range breaks(was, is) {
		t.Errorf("this breaks clients: %s (keep it, deprecate it first, or take it over with go test ./handlers/api -run Promise -accept)", b)
	}
	if t.Failed() || !*accept && !*update {
		return
	}
	if err := os.WriteFile(file, []byte(strings.Join(slices.Sorted(maps.Keys(is)), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWhatBreaksIsSeen(t *testing.T) {
	doc := func(text string) map[string]bool { return promisesOf(t, []byte(text)) }
	const base = `{"paths":{"/a":{"post":{"operationId":"a","x-permission":"p","parameters":[{"name":"q","in":"query","schema":{"type":"string","enum":["x","y"]}}],
		"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/In"}}}},"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Out"}}}}}}}},
		"components":{"schemas":{"In":{"properties":{"n":{"type":"string"},"m":{"type":"string"}},"required":["n"]},"Out":{"properties":{"id":{"type":"string","enum":["k"]}},"required":["id"]}}}}`
	for name, c := range map[string]struct {
		from, to string
		broken   bool
	}{
		"nothing":            {"", "", false},
		"a path":             {`"/a"`, `"/b"`, true},
		"a method":           {`"post"`, `"put"`, true},
		"a parameter":        {`"name":"q"`, `"name":"r"`, true},
		"a value":            {`["x","y"]`, `["x"]`, true},
		"another value":      {`["x","y"]`, `["x","y","z"]`, false},
		"a field's type":     {`"m":{"type":"string"}`, `"m":{"type":"integer"}`, true},
		"a field":            {`,"m":{"type":"string"}`, ``, true},
		"another field":      {`"m":{"type":"string"}`, `"m":{"type":"string"},"o":{"type":"string"}`, false},
		"a field needed":     {`"required":["n"]`, `"required":["n","m"]`, true},
		"a field not needed": {`,"required":["n"]`, ``, false},
		"always answered":    {`"required":["id"]`, `"required":["id","x"]`, false},
		"a parameter needed": {`"in":"query"`, `"in":"query","required":true`, true},
		"an answer":          {`"200"`, `"201"`, true},
		"a permission":       {`"x-permission":"p"`, `"x-permission":"q"`, true},
	} {
		if got := breaks(doc(base), doc(strings.Replace(base, c.from, c.to, 1))); len(got) > 0 != c.broken {
			t.Errorf("%s: %v", name, got)
		}
	}
}
