package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"novacron/handlers/cli/client"
)

// schemas are those of the API's document, as trees of names.
func schemas(t *testing.T) map[string]map[string]any {
	t.Helper()
	text, err := os.ReadFile("../api/testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Components struct{ Schemas map[string]map[string]any }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d.Components.Schemas
}

func has(all map[string]map[string]any, schema map[string]any, path string) bool {
	name, rest, deeper := strings.Cut(path, ".")
	props, _ := schema["properties"].(map[string]any)
	part, ok := props[name].(map[string]any)
	if !ok {
		return false
	}
	if !deeper {
		return true
	}
	if either, ok := part["oneOf"].([]any); ok { // it, or null
		part, _ = either[0].(map[string]any)
	}
	ref, _ := part["$ref"].(string)
	return has(all, all[ref[strings.LastIndexByte(ref, '/')+1:]], rest)
}

// What the table of resources names is in the API.
func TestResourcesAreWhatTheAPIHas(t *testing.T) {
	all := schemas(t)
	for i := range resources {
		res := &resources[i]
		ops := []string{res.list, res.get, res.create, res.edit, res.del}
		for _, v := range res.verbs {
			ops = append(ops, v.op)
			op := client.Find(v.op)
			if op == nil {
				continue
			}
			for _, arg := range v.args {
				found := false
				for _, p := range op.Params() {
					found = found || p == arg
				}
				for _, f := range client.Fields(op.Body) {
					found = found || f.Name == strings.TrimSuffix(arg, "...")
				}
				if !found {
					t.Errorf("%s %s takes %s, which %s does not have", res.name, v.use, arg, v.op)
				}
			}
		}
		for _, id := range ops {
			if id != "" && client.Find(id) == nil {
				t.Errorf("%s names the operation %s, which the API does not have", res.name, id)
			}
		}
		list := client.Find(res.list)
		if list == nil || !list.Pages {
			t.Errorf("%s: %s is no list", res.name, res.list)
			continue
		}
		for _, c := range res.columns {
			if !has(all, all[list.Answer], c.path) {
				t.Errorf("%s shows %s, which %s does not have", res.name, c.path, list.Answer)
			}
		}
		if res.by != "" && !has(all, all[list.Answer], res.by) {
			t.Errorf("%s are called by %s, which %s does not have", res.plural, res.by, list.Answer)
		}
	}
}

// Every command can be asked for help and says what it does; none has two flags of one name.
func TestEveryCommandExplainsItself(t *testing.T) {
	d := newDesk(t)
	root := &cobra.Command{Use: "novacron"}
	Add(root, Options{Getenv: func(string) string { return "" }, Dir: d.dir})
	n := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		n++
		if c.Short == "" && c != root {
			t.Errorf("%s does not say what it does", c.CommandPath())
		}
		if text := c.UsageString(); text == "" {
			t.Errorf("%s has no help", c.CommandPath())
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(root)
	if n < 120 {
		t.Errorf("there are %d commands only", n)
	}
}

func TestManualPages(t *testing.T) {
	d := newDesk(t)
	d.env["SOURCE_DATE_EPOCH"] = "1700000000"
	one, two := t.TempDir(), t.TempDir()
	d.want("man", one)
	d.want("man", two)
	pages, err := filepath.Glob(filepath.Join(one, "*.1"))
	if err != nil || len(pages) < 100 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, p := range pages {
		a, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(two, filepath.Base(p)))
		if err != nil || string(a) != string(b) {
			t.Errorf("%s is another the second time: %v", filepath.Base(p), err)
		}
	}
}
