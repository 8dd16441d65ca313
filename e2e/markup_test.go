package e2e

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"novacron/e2e/browser"
	"novacron/e2e/server"
)

// Markup that would show: as an element that no page of ours has, or as what Chromium reports of a script that the page's policy forbids.
const (
	evil  = `"><evil-mark>`
	worse = `'"></textarea></title><img src=x onerror=alert(1) data-evil><script data-evil>alert(1)</script><svg/onload=alert(1) data-evil>{{7*7}}`
)

// Whatever people type is shown as they typed it: nothing becomes an element or a script, on no page that shows it.
func TestNothingTypedBecomesMarkup(t *testing.T) {
	s := server.Start(t)
	api := s.API()
	host := api.AddHost(t, "cheap", hosts.TestHosts[0].URI)
	var vms []server.VM
	server.Wait(t, time.Minute, "the host's guests", func() (err error) {
		if vms, err = api.VMs(); err == nil && len(vms) == 0 {
			err = server.Not("guests", "none")
		}
		return err
	})
	vm := vms[0].ID
	taken := 0
	// put sends a field after the other with markup in it: what is refused is no way in, what is taken has to be shown.
	put := func(method, path string, in map[string]any, fields ...string) (id string) {
		t.Helper()
		for _, text := range []string{worse, evil} {
			for _, f := range fields {
				body := maps.Clone(in)
				switch body[f] = text; f {
				case "tags":
					body[f] = []string{text}
				case "labels":
					body[f] = map[string]string{"site": text}
				}
				var made struct {
					ID       string
					Resource struct{ ID string }
				}
				_, err := api.Do(method, path, body, &made)
				var p *server.Problem
				switch {
				case err == nil:
					taken++
					if id == "" {
						id = cmp.Or(made.Resource.ID, made.ID)
					}
					if _, fixed := in["name"]; fixed && method == http.MethodPost && f != "name" {
						return id // a second one would want the same name
					}
				case errors.As(err, &p) && (p.Status == 422 || p.Status == 409):
				default:
					t.Errorf("%s %s with %s: %v", method, path, f, err)
				}
			}
		}
		return id
	}
	put("PATCH", "/api/v1/vms/"+vm+"?wait=30s", map[string]any{}, "notes", "tags")
	put("PATCH", "/api/v1/vms/"+vm+"?wait=30s", map[string]any{}, "title")
	put("PATCH", "/api/v1/vms/"+vm+"?wait=30s", map[string]any{}, "description")
	put("PATCH", "/api/v1/hosts/"+host, map[string]any{}, "notes", "labels", "name")
	user := put("POST", "/api/v1/users", map[string]any{"name": "ann"}, "full_name")
	put("PATCH", "/api/v1/users/"+user, map[string]any{}, "full_name", "email")
	put("POST", "/api/v1/users", map[string]any{}, "name")
	group := put("POST", "/api/v1/groups", map[string]any{"members": []string{}}, "name")
	put("PATCH", "/api/v1/groups/"+group, map[string]any{}, "notes")
	put("POST", "/api/v1/tenants", map[string]any{"name": "team-a"}, "notes")
	put("POST", "/api/v1/roles", map[string]any{"id": "odd", "name": "odd", "permissions": []string{"vm.read"}}, "notes")
	put("POST", "/api/v1/roles", map[string]any{"id": "odder", "permissions": []string{"vm.read"}}, "name")
	put("POST", "/api/v1/tokens", map[string]any{"role": "auditor"}, "name")
	secgroup := put("POST", "/api/v1/security-groups?wait=30s", map[string]any{"name": "web"}, "description")
	put("POST", "/api/v1/snapshot-schedules?wait=30s", map[string]any{"vms": []string{vm}, "daily": map[string]any{"keep": 1}}, "name")
	put("POST", "/api/v1/identity-providers", map[string]any{"id": "corp", "kind": "oidc", "issuer": "https://login.example.org", "client_id": evil}, "name")
	put("POST", "/api/v1/bindings", map[string]any{"subject": "ann", "role": "auditor"}, "condition")
	put("POST", "/api/v1/vms?wait=30s", map[string]any{"host": host, "vcpus": 1, "memory_bytes": 64 << 20}, "name")
	if taken < 15 {
		t.Errorf("only %d of the texts were taken", taken)
	}

	p := browser.Open(t, s.URL, 1440, 900) // fails the test for every script error and every report of the policy
	p.SignIn(s.Admin, s.Password, password)
	see := func(path string) {
		t.Helper()
		p.Go(path)
		if status := browser.Eval[int](p, `performance.getEntriesByType("navigation")[0].responseStatus`); status != http.StatusOK && !strings.Contains(path, "%22") {
			t.Errorf("%s answers %d", path, status)
		}
		if got := browser.Eval[string](p, `[...document.querySelectorAll("evil-mark, [data-evil], [onerror], [onload]")].map(e => e.outerHTML).join(" ")`); got != "" {
			t.Errorf("%s has made an element of what was typed: %s", path, got)
		}
	}
	for _, path := range []string{"/", "/vms", "/vms/" + vm, "/vms/" + vm + "/hardware", "/vms/" + vm + "/events", "/vms/" + vm + "/delete", "/hosts", "/hosts/" + host, "/hosts/" + host + "/edit",
		"/access/users", "/access/users/" + user, "/access/groups", "/access/groups/" + group, "/access/tenants", "/access/tenants/team-a", "/access/roles", "/access/roles/odd", "/access/bindings", "/access/tokens",
		"/access/audit", "/security-groups", "/security-groups/" + secgroup, "/snapshot-schedules", "/settings/sign-in", "/settings/providers/corp", "/tasks", "/events", "/login?next=/" + `%22%3E%3Cevil-mark%3E`,
		"/search?q=" + `%22%3E%3Cevil-mark%3E`, "/vms?filter=" + `%22%3E%3Cevil-mark%3E`} {
		see(path)
	}
	p.ForgetCookies()
	see("/login")
}
