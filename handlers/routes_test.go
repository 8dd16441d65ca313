package handlers

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"novacron/auth"
	"novacron/auth/access"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestEveryRouteHasARule: what echo serves and what the tables say is one and the same.
func TestEveryRouteHasARule(t *testing.T) {
	w := newWorld(t)
	rules := map[string]access.Permission{}
	for _, r := range w.srv.routes {
		rules[r.method+" "+r.path] = r.perm
	}
	for _, o := range w.srv.apiOps {
		rules[o.Method+" "+o.Path] = o.Permission
	}
	served := map[string]bool{}
	for _, r := range w.e.Routes() {
		key := r.Method + " " + r.Path
		served[key] = true
		p, ok := rules[key]
		if !ok {
			t.Errorf("%s is served without a rule", key)
		} else if !access.Valid(p) {
			t.Errorf("%s has the rule %q, which is no permission", key, p)
		}
	}
	var lines []string
	for key, p := range rules {
		if !served[key] {
			t.Errorf("%s has a rule and is not served", key)
		}
		method, path, _ := strings.Cut(key, " ")
		line := fmt.Sprintf("%-6s %-44s %-17s", method, path, p)
		for _, role := range append([]string{""}, access.Roles...) {
			sub := auth.Subject{Role: role}
			if role != "" {
				sub.UserID = "user_x"
			} else {
				role = "anybody"
			}
			mark := "-"
			if sub.Can(p) {
				mark = role
			}
			line += fmt.Sprintf(" %-15s", mark)
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[7:]+a[:7], b[7:]+b[:7]) })
	golden(t, "routes.golden", strings.Join(lines, "\n")+"\n")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at it and run with -update if it is right:\n%s", name, got)
	}
}
