package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"novacron/auth/access"
)

var update = flag.Bool("update", false, "write the golden file of the OpenAPI document")

func document(t *testing.T, path string) ([]byte, []Operation) {
	t.Helper()
	e := echo.New()
	ops := Register(e, Deps{})
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/openapi+json" {
		t.Fatalf("%s: %d %s", path, rec.Code, rec.Header().Get("Content-Type"))
	}
	var out bytes.Buffer
	if err := json.Indent(&out, rec.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes(), ops
}

// The golden file is the contract: a change of it is a change that clients see.
func TestOpenAPIIsAsAgreed(t *testing.T) {
	got, _ := document(t, "/openapi.json")
	const file = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the OpenAPI document changed; look at the difference and, if clients can live with it, run go test ./handlers/api -run OpenAPI -update")
	}
}

type spec struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string                     `json:"operationId"`
		Summary     string                     `json:"summary"`
		Permission  string                     `json:"x-permission"`
		Responses   map[string]json.RawMessage `json:"responses"`
	}
	Components struct{ Schemas map[string]json.RawMessage }
}

func TestOpenAPIListsEveryOperation(t *testing.T) {
	for path, version := range map[string]string{"/openapi.json": "3.1.", "/openapi-3.0.json": "3.0."} {
		raw, ops := document(t, path)
		var doc spec
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(doc.OpenAPI, version) {
			t.Errorf("%s is of version %s", path, doc.OpenAPI)
		}
		var listed, mounted []string
		for p, methods := range doc.Paths {
			for m, o := range methods {
				listed = append(listed, strings.ToUpper(m)+" "+echoPath(p)+" "+o.Permission)
				if o.OperationID == "" || o.Summary == "" || o.Responses["default"] == nil {
					t.Errorf("%s %s lacks an id, a summary or its error answer", m, p)
				}
			}
		}
		for _, o := range ops {
			if !access.Valid(o.Permission) {
				t.Errorf("%s %s names the permission %q, which does not exist", o.Method, o.Path, o.Permission)
			}
			if o.Permission != access.Public || strings.HasPrefix(o.Path, "/api/v1/") {
				mounted = append(mounted, o.Method+" "+o.Path+" "+string(o.Permission))
			}
		}
		slices.Sort(listed)
		slices.Sort(mounted)
		if !slices.Equal(listed, mounted) {
			t.Errorf("%s lists\n%s\nbut mounted is\n%s", path, strings.Join(listed, "\n"), strings.Join(mounted, "\n"))
		}
		for name, s := range references(raw) {
			if doc.Components.Schemas[name] == nil {
				t.Errorf("%s refers to the schema %s (%d times), which it does not have", path, name, s)
			}
		}
	}
}

func references(raw []byte) map[string]int {
	out := map[string]int{}
	for _, part := range strings.Split(string(raw), `"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		out[name]++
	}
	return out
}
