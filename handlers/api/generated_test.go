package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// generator makes requests from the OpenAPI document: what it says is right, and what it says is wrong. The same seed makes the same requests.
type generator struct {
	rand *rand.Rand
	doc  *contractDoc
	ids  map[string][]string // by the part of a path before the id: what there is
	made int                 // by keepUp
}

type contractDoc struct {
	Paths      map[string]map[string]*contractOp
	Components struct {
		Schemas   map[string]*jsonSchema
		Responses map[string]contractAnswer
	}
}

type contractOp struct {
	OperationID string `json:"operationId"`
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   *jsonSchema
	}
	RequestBody *struct {
		Required bool
		Content  map[string]struct{ Schema *jsonSchema }
	} `json:"requestBody"`
	Responses map[string]contractAnswer
}

type contractAnswer struct {
	Ref     string `json:"$ref"`
	Content map[string]struct{ Schema *jsonSchema }
}

type jsonSchema struct {
	Ref        string `json:"$ref"`
	Type       any
	Format     string
	Enum       []any
	Items      *jsonSchema
	OneOf      []*jsonSchema `json:"oneOf"`
	Properties map[string]*jsonSchema
	Additional json.RawMessage `json:"additionalProperties"`
	Required   []string
	Minimum    *float64
	Maximum    *float64
	MinLength  *int `json:"minLength"`
	MaxLength  *int `json:"maxLength"`
	MinItems   *int `json:"minItems"`
	MaxItems   *int `json:"maxItems"`
	Examples   []any
}

func (d *contractDoc) resolve(s *jsonSchema) *jsonSchema {
	for s != nil && s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	return s
}

func (s *jsonSchema) types() []string {
	switch v := s.Type.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, t := range v {
			out = append(out, fmt.Sprint(t))
		}
		return out
	}
	return nil
}

// mismatch says where a value is not what a schema says.
func (d *contractDoc) mismatch(at string, s *jsonSchema, v any) string {
	if s = d.resolve(s); s == nil {
		return ""
	}
	if len(s.OneOf) > 0 {
		var all []string
		for _, one := range s.OneOf {
			m := d.mismatch(at, one, v)
			if m == "" {
				return ""
			}
			all = append(all, m)
		}
		return strings.Join(all, " or ")
	}
	kind := "null"
	switch x := v.(type) {
	case bool:
		kind = "boolean"
	case string:
		kind = "string"
	case json.Number:
		kind = "number"
		if _, err := x.Int64(); err == nil && slices.Contains(s.types(), "integer") {
			kind = "integer"
		}
	case []any:
		kind = "array"
	case map[string]any:
		kind = "object"
	}
	if types := s.types(); len(types) > 0 && !slices.Contains(types, kind) {
		return fmt.Sprintf("%s is %s instead of %v", at, kind, types)
	}
	if len(s.Enum) > 0 && v != nil && !slices.ContainsFunc(s.Enum, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(v) }) {
		return fmt.Sprintf("%s is %v, which is none of %v", at, v, s.Enum)
	}
	switch x := v.(type) {
	case []any:
		for i, e := range x {
			if m := d.mismatch(at+"["+strconv.Itoa(i)+"]", s.Items, e); m != "" {
				return m
			}
		}
	case map[string]any:
		for _, name := range s.Required {
			if _, ok := x[name]; !ok {
				return at + " lacks " + name
			}
		}
		for name, e := range x {
			p := s.Properties[name]
			if p == nil {
				if string(s.Additional) == "false" {
					return at + " has " + name + ", which the document does not know"
				}
				var more jsonSchema
				if json.Unmarshal(s.Additional, &more) == nil {
					p = &more
				}
			}
			if m := d.mismatch(at+"."+name, p, e); m != "" {
				return m
			}
		}
	}
	return ""
}

var words = []string{"", "a", "web-1", "b1", "default", "running", "vm.*", "1", "-1", "true", "30s", "*", "ü €", "x\u0000y", "../../etc/passwd", "' OR 1=1 --", "<script>", strings.Repeat("x", 300), "2026-11-02T08:00:00Z", "name", "-name", "52:54:00:12:34:56", "10.0.0.1/24"}

func (g *generator) of(s *jsonSchema, wild bool, depth int) any {
	if s = g.doc.resolve(s); s == nil {
		return g.word()
	}
	if wild && g.rand.IntN(4) == 0 { // anything but what is asked for
		return []any{nil, true, -1, 1 << 50, 0.5, g.word(), []any{1}, map[string]any{"x": 1}, []any{}, map[string]any{}}[g.rand.IntN(10)]
	}
	switch {
	case len(s.Enum) > 0:
		return s.Enum[g.rand.IntN(len(s.Enum))]
	case len(s.OneOf) > 0:
		return g.of(s.OneOf[g.rand.IntN(len(s.OneOf))], wild, depth)
	}
	types := s.types()
	if len(types) == 0 {
		return g.word()
	}
	switch types[g.rand.IntN(len(types))] {
	case "object":
		out := map[string]any{}
		for name, p := range s.Properties {
			need := slices.Contains(s.Required, name)
			if need && (!wild || g.rand.IntN(10) > 0) || !need && depth < 4 && g.rand.IntN(3) == 0 {
				out[name] = g.of(p, wild, depth+1)
			}
		}
		if wild && g.rand.IntN(6) == 0 {
			out["unknown_field"] = 1
		}
		return out
	case "array":
		n := g.rand.IntN(3)
		if s.MinItems != nil {
			n = max(n, *s.MinItems)
		}
		out := []any{}
		for range n {
			out = append(out, g.of(s.Items, wild, depth+1))
		}
		return out
	case "integer", "number":
		low, high := int64(0), int64(1<<33)
		if s.Minimum != nil {
			low = int64(*s.Minimum)
		}
		if s.Maximum != nil {
			high = int64(*s.Maximum)
		}
		return []int64{low, high, low + g.rand.Int64N(max(1, min(high-low, 100)))}[g.rand.IntN(3)]
	case "boolean":
		return g.rand.IntN(2) == 0
	case "null":
		return nil
	}
	if s.Format == "date-time" {
		return []string{"2026-11-02T08:00:00Z", "2030-01-01T00:00:00+02:00"}[g.rand.IntN(2)]
	}
	text := g.word()
	if len(s.Examples) > 0 && g.rand.IntN(2) == 0 {
		text = fmt.Sprint(s.Examples[0])
	}
	if s.MaxLength != nil && !wild && len(text) > *s.MaxLength {
		text = "a"
	}
	return text
}

func (g *generator) word() string {
	if all := g.ids["vms"]; len(all) > 0 && g.rand.IntN(6) == 0 {
		return all[g.rand.IntN(len(all))]
	}
	return words[g.rand.IntN(len(words))]
}

// skipped are operations that are not asked at random: streams, which do not end, and what hands out the means to go on.
var skipped = map[string]bool{"watch-events": true, "revoke-token": true, "edit-sign-in-policy": true}

// request makes one for an operation.
func (g *generator) request(base, path, method string, o *contractOp, wild bool) *http.Request {
	q := url.Values{}
	header := http.Header{}
	at := path
	for _, p := range o.Parameters {
		switch p.In {
		case "path":
			before := strings.Split(strings.TrimPrefix(path, prefix+"/"), "/")[0]
			id := "none"
			if all := g.ids[before]; len(all) > 0 && p.Name == "id" && g.rand.IntN(8) > 0 {
				id = all[g.rand.IntN(len(all))]
			} else if g.rand.IntN(2) == 0 {
				if id = strings.Trim(g.word(), "./\x00"); id == "" {
					id = "x"
				}
			}
			at = strings.Replace(at, "{"+p.Name+"}", url.PathEscape(id), 1)
		case "query":
			if p.Name == "wait" || p.Name == "dry_run" && g.rand.IntN(2) == 0 {
				continue
			}
			if p.Required || g.rand.IntN(4) == 0 {
				q.Set(p.Name, text(g.of(p.Schema, wild, 0)))
			}
		case "header":
			if !strings.HasPrefix(p.Name, "Content-") && g.rand.IntN(6) == 0 {
				if v := text(g.of(p.Schema, wild, 0)); !strings.ContainsFunc(v, func(r rune) bool { return r < 32 || r > 126 }) {
					header.Set(p.Name, v)
				}
			}
		}
	}
	if wild && g.rand.IntN(10) == 0 {
		q.Set("nosuch", "1")
	}
	var body []byte
	if o.RequestBody != nil {
		typ := slices.Sorted(maps.Keys(o.RequestBody.Content))[0]
		if _, ok := o.RequestBody.Content["application/json"]; ok {
			typ = "application/json"
		}
		header.Set("Content-Type", typ)
		switch typ {
		case "application/json":
			body, _ = json.Marshal(g.of(o.RequestBody.Content[typ].Schema, wild, 0))
			if wild && g.rand.IntN(20) == 0 {
				body = body[:len(body)/2]
			}
		case "application/x-www-form-urlencoded":
			body = []byte("query=up&start=1&end=2&step=1")
		default:
			body = []byte("content")
		}
	}
	if enc := q.Encode(); enc != "" {
		at += "?" + enc
	}
	r, err := http.NewRequest(strings.ToUpper(method), base+at, bytes.NewReader(body))
	if err != nil {
		return nil
	}
	r.Header = header
	return r
}

func text(v any) string {
	switch v.(type) {
	case map[string]any, []any:
		b, _ := json.Marshal(v)
		return string(b)
	case nil:
		return ""
	}
	return fmt.Sprint(v)
}

// Requests made from the document are answered as the document says: no failure, no status and no shape that it does not know. There is a fixed number of them;
// NOVACRON_CONTRACT has it go on for a time (make contract: 5m), and NOVACRON_SEED makes others.
func TestTheServerKeepsItsDocument(t *testing.T) {
	long, least, seed := time.Duration(0), 3000, uint64(1)
	if v := os.Getenv("NOVACRON_CONTRACT"); v != "" {
		var err error
		if long, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	if v := os.Getenv("NOVACRON_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	host := w.addHost("b1")
	raw, _ := document(t, "/openapi.json")
	var doc contractDoc
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	g := &generator{rand: rand.New(rand.NewPCG(seed, 7)), doc: &doc, ids: map[string][]string{"vms": {w.createVM("web-1"), w.createVM("web-2")}, "hosts": {host}}}
	g.learn(w)
	type pair struct {
		path, method string
		o            *contractOp
	}
	var all []pair
	for path, methods := range doc.Paths {
		for method, o := range methods {
			if !skipped[o.OperationID] && !strings.HasSuffix(o.OperationID, "-host") {
				all = append(all, pair{path, method, o})
			}
		}
	}
	slices.SortFunc(all, func(a, b pair) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	client := &http.Client{Timeout: 2 * time.Minute}
	n, statuses, failed := 0, map[int]int{}, map[string]bool{}
	for end := time.Now().Add(long); n < least || time.Now().Before(end); n++ { // every one valid and wild several times, however slow
		p := all[(n/2)%len(all)]
		r := g.request(w.url, p.path, p.method, p.o, n%2 == 1)
		if r == nil {
			continue
		}
		bearer := w.admin
		if g.rand.IntN(12) == 0 {
			bearer = w.viewer
		}
		token(bearer)(r)
		began := time.Now()
		res, err := client.Do(r)
		if err != nil {
			t.Fatalf("request %d, %s: %v", n, p.o.OperationID, err)
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, 16<<20)) // the content of a volume is long
		res.Body.Close()
		if err != nil {
			t.Fatalf("request %d, %s: %v", n, p.o.OperationID, err)
		}
		statuses[res.StatusCode]++
		if took := time.Since(began); took > time.Second {
			t.Logf("request %d, %s (%s %s) took %s", n, p.o.OperationID, r.Method, r.URL, took.Round(time.Millisecond))
		}
		if wrong := doc.wrong(p.method, p.o, res, body); wrong != "" && !failed[p.o.OperationID+strconv.Itoa(res.StatusCode)] {
			failed[p.o.OperationID+strconv.Itoa(res.StatusCode)] = true
			t.Errorf("request %d, %s (%s %s): %s\n%.600s", n, p.o.OperationID, r.Method, r.URL, wrong, body)
		}
		if n%200 == 199 {
			g.learn(w)
			w.keepUp(g)
			g.learn(w)
		}
	}
	t.Logf("%d requests for %d operations, answered %v", n, len(all), statuses)
}

// keepUp makes anew what the requests took away, so that there is something to ask about. What cannot be made is not: the requests may have forbidden it.
func (w *world) keepUp(g *generator) {
	more := func(path string, body map[string]any) {
		g.made++
		body["name"] = "more-" + strconv.Itoa(g.made)
		if a := w.do("POST", prefix+path+"?wait=20s", body); a.StatusCode != http.StatusAccepted {
			w.t.Logf("nothing could be made: %s", a.body)
		}
	}
	if len(g.ids["pools"]) == 0 || len(g.ids["networks"]) == 0 {
		more("/hosts", map[string]any{"uri": fmt.Sprintf("qemu+tcp://more-%d.example/system", g.made+1)})
	}
	for range 3 - min(3, len(g.ids["vms"])) {
		more("/vms", map[string]any{"vcpus": 1, "memory_bytes": 64 << 20})
	}
}

// learn finds what there is, so that requests are about things that exist.
func (g *generator) learn(w *world) {
	for _, what := range []string{"vms", "hosts", "pools", "volumes", "networks", "jobs", "users", "groups", "roles", "tokens", "folders", "rules", "receivers", "webhooks", "tenants", "images", "templates", "dashboards", "security-groups"} {
		a := w.do("GET", prefix+"/"+what+"?limit=20", nil)
		var page struct{ Items []struct{ ID string } }
		if json.Unmarshal(a.body, &page) != nil {
			continue
		}
		g.ids[what] = nil
		for _, it := range page.Items {
			g.ids[what] = append(g.ids[what], it.ID)
		}
	}
}

// wrong says what is not as the document has it.
func (d *contractDoc) wrong(method string, o *contractOp, res *http.Response, body []byte) string {
	if res.StatusCode >= 500 && res.StatusCode != http.StatusServiceUnavailable && res.StatusCode != http.StatusInsufficientStorage {
		return fmt.Sprintf("it failed with %d", res.StatusCode)
	}
	a, ok := o.Responses[strconv.Itoa(res.StatusCode)]
	if !ok {
		return fmt.Sprintf("%d is in no answer of the document", res.StatusCode)
	}
	if name, ok := strings.CutPrefix(a.Ref, "#/components/responses/"); ok {
		a = d.Components.Responses[name]
	}
	typ, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	if res.StatusCode == http.StatusNoContent || strings.EqualFold(method, "HEAD") {
		return ""
	}
	m, ok := a.Content[typ]
	if !ok {
		if len(a.Content) == 0 && len(body) == 0 {
			return ""
		}
		return fmt.Sprintf("%d comes as %q, the document has %v", res.StatusCode, typ, slices.Sorted(maps.Keys(a.Content)))
	}
	if !strings.HasSuffix(typ, "/json") && !strings.HasSuffix(typ, "+json") || m.Schema == nil || strings.Contains(res.Request.URL.RawQuery, "fields=") {
		return ""
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "its answer is not JSON: " + err.Error()
	}
	return d.mismatch("the answer", m.Schema, v)
}
