package e2e

import (
	"net/http"
	"testing"
	"time"

	"novacron/e2e/browser"
	"novacron/e2e/server"
)

// Somebody of a tenant sees the tenant's VMs and nothing else of the estate, and is signed out when an administrator ends the session.
func TestATenantsPersonInTheBrowser(t *testing.T) {
	s := server.Start(t)
	api := s.API()
	api.AddHost(t, "cheap", hosts.TestHosts[0].URI)
	var vms []server.VM
	server.Wait(t, time.Minute, "the host's guests", func() (err error) {
		if vms, err = api.VMs(); err == nil && len(vms) < 2 {
			err = server.Not("two guests", len(vms))
		}
		return err
	})
	mine, theirs := vms[0], vms[1]
	do := func(method, path string, in, out any) {
		t.Helper()
		if _, err := api.Do(method, path, in, out); err != nil {
			t.Fatal(err)
		}
	}
	do("POST", "/api/v1/tenants", map[string]any{"name": "team-a"}, nil)
	do("PATCH", "/api/v1/vms/"+mine.ID+"?wait=30s", map[string]any{"tenant": "team-a"}, nil)
	var ann struct {
		ID              string
		OneTimePassword string `json:"one_time_password"`
	}
	do("POST", "/api/v1/users", map[string]any{"name": "ann", "role": "tenant-admin", "tenant": "team-a"}, &ann)

	p := browser.Open(t, s.URL, 1440, 900)
	p.SignIn("ann", ann.OneTimePassword, password)
	p.Go("/vms")
	p.UntilText(mine.Name)
	for _, path := range []string{"/vms", "/", "/search?q=" + theirs.Name, "/tasks", "/events"} {
		p.Go(path)
		if browser.Eval[bool](p, `document.documentElement.outerHTML.includes("`+theirs.ID+`")`) {
			t.Errorf("%s shows somebody else's VM", path)
		}
	}
	status := func(path string) int {
		t.Helper()
		p.Go(path)
		return browser.Eval[int](p, `performance.getEntriesByType("navigation")[0].responseStatus`)
	}
	for path, want := range map[string]int{"/vms/" + mine.ID: http.StatusOK, "/vms/" + theirs.ID: http.StatusNotFound, "/vms/" + theirs.ID + "/delete": http.StatusNotFound, "/access/audit": http.StatusForbidden} {
		if got := status(path); got != want {
			t.Errorf("%s answers %d instead of %d", path, got, want)
		}
	}

	// An administrator ends her session from elsewhere: the next page asks her to sign in.
	var sessions struct{ Items []struct{ ID string } }
	do("GET", "/api/v1/sessions?user="+ann.ID, nil, &sessions)
	if len(sessions.Items) != 1 {
		t.Fatalf("%+v", sessions)
	}
	do("DELETE", "/api/v1/sessions/"+sessions.Items[0].ID, nil, nil)
	p.Go("/vms")
	p.Until("the sign-in page", `location.pathname === "/login"`)
}
