package handlers

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"novacron/domain"
)

var staticRE = regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`)

func TestEveryPageRendersForEveryRole(t *testing.T) {
	w := newWorld(t)
	admin := w.admin()
	h := w.host(admin, "b1")
	vm := w.vm(admin, "web-1")
	admin.post("/vms/"+vm.ID+"/actions/start", nil).want(t, http.StatusSeeOther)
	job := w.job(w.newest("vm.start").ID)
	viewer := w.viewer()
	anybody := w.browser()
	const onlyAdmin = true
	for _, p := range []struct {
		path  string
		admin bool
		says  []string
	}{
		{"/", false, []string{"web-1", "b1"}},
		{"/vms", false, []string{"web-1", "running", "256 MiB"}},
		{"/vms?filter=state:running&sort=memory&desc=1", false, []string{"web-1"}},
		{"/vms?filter=name:none", false, []string{"none"}},
		{"/vms/" + vm.ID, false, []string{"web-1", vm.UUID}},
		{"/vms/" + vm.ID + "/summary", false, []string{"web-1"}},
		{"/vms/" + vm.ID + "/hardware", false, []string{"web-1", "vda"}},
		{"/vms/" + vm.ID + "/console", onlyAdmin, []string{"web-1"}},
		{"/vms/" + vm.ID + "/console?kind=serial", onlyAdmin, []string{"web-1"}},
		{"/vms/" + vm.ID + "/tasks", false, []string{job.Title}},
		{"/vms/" + vm.ID + "/events", false, []string{"web-1"}},
		{"/vms/" + vm.ID + "/definition", false, []string{"&lt;domain"}},
		{"/console/" + vm.ID + "/vnc", onlyAdmin, []string{"web-1"}},
		{"/console/" + vm.ID + "/serial", onlyAdmin, []string{"web-1"}},
		{"/vms/new", onlyAdmin, []string{`name="key"`, "b1"}},
		{"/vms/new?host=" + h.ID, onlyAdmin, []string{"b1"}},
		{"/vms/" + vm.ID + "/actions/stop", onlyAdmin, []string{"web-1"}},
		{"/vms/" + vm.ID + "/rename", onlyAdmin, []string{"web-1"}},
		{"/vms/" + vm.ID + "/clone", onlyAdmin, []string{"web-1"}},
		{"/vms/" + vm.ID + "/delete", onlyAdmin, []string{"web-1", "qcow2"}},
		{"/hosts", false, []string{"b1", "connected"}},
		{"/hosts?filter=-connected", false, nil},
		{"/hosts/" + h.ID, false, []string{"b1", "EPYC-Milan"}},
		{"/hosts/" + h.ID + "/vms", false, []string{"web-1"}},
		{"/hosts/" + h.ID + "/storage", false, []string{"default"}},
		{"/hosts/" + h.ID + "/networks", false, []string{"default"}},
		{"/hosts/" + h.ID + "/devices", false, []string{"b1"}},
		{"/hosts/" + h.ID + "/events", false, []string{"b1"}},
		{"/hosts/" + h.ID + "/edit", onlyAdmin, []string{"b1"}},
		{"/hosts/" + h.ID + "/remove", onlyAdmin, []string{"b1"}},
		{"/hosts/new", onlyAdmin, []string{`name="uri"`}},
		{"/tasks", false, []string{job.Title}},
		{"/tasks?state=failed&filter=web", false, nil},
		{"/tasks?state=active", false, nil},
		{"/tasks/" + job.ID, false, []string{job.Title}},
		{"/events", false, []string{"web-1"}},
		{"/events?kind=vm&q=web-1", false, []string{"web-1"}},
		{"/search?q=web", false, []string{"web-1"}},
		{"/search", false, nil},
		{"/account", false, []string{"Password"}},
		{"/tree/hosts/" + h.ID, false, []string{"web-1"}},
	} {
		t.Run(p.path, func(t *testing.T) {
			a := admin.get(p.path).want(t, http.StatusOK, p.says...)
			if ct := a.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/html") {
				t.Errorf("Content-Type %q", ct)
			}
			if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "style-src 'self';") || !strings.Contains(a.Header.Get("Permissions-Policy"), "camera=()") || a.Header.Get("Referrer-Policy") == "" {
				t.Errorf("policy %q", csp)
			}
			if cc := a.Header.Get("Cache-Control"); !strings.Contains(cc, "no-store") {
				t.Errorf("what one person sees may be kept: %q", cc)
			}
			switch v := viewer.get(p.path); {
			case p.admin:
				v.want(t, http.StatusForbidden, "do not allow")
			default:
				v.want(t, http.StatusOK, p.says...)
			}
			anybody.get(p.path).wantMove(t, "/login?next="+url.QueryEscape(p.path))
		})
	}
	if log := w.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the log has errors")
	}
}

func TestPagesThatAreNot(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	for _, p := range []string{"/nothing", "/vms/vm_none", "/vms/vm_none/hardware", "/hosts/host_none", "/tasks/job_none", "/console/vm_none/vnc", "/tree/hosts/host_none", "/hosts/host_none/remove", "/static/none.js", "/static/../main.go", "/static/css"} {
		a := b.get(p)
		if a.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", p, a.StatusCode)
		}
	}
	vmID := w.vmOnly(b)
	b.get("/vms/"+vmID+"/nonsense").want(t, http.StatusNotFound)
	b.post("/vms/"+vmID+"/actions/fly", nil, htmx).want(t, http.StatusNotFound)
	b.do(http.MethodDelete, "/vms", nil).want(t, http.StatusMethodNotAllowed)
	b.get("/events?before=x").want(t, http.StatusUnprocessableEntity)
}

func (w *world) vmOnly(b *browser) string {
	w.t.Helper()
	w.host(b, "b1")
	return w.vm(b, "web-1").ID
}

func TestAWrongFilterKeepsWhatWasTyped(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.mirrored("b1", 3)
	a := b.get("/vms?filter=" + url.QueryEscape("cpu>lots"))
	a.want(t, http.StatusUnprocessableEntity, "cpu&gt;lots")
	b.get("/?filter="+url.QueryEscape("cpu>lots")).want(t, http.StatusUnprocessableEntity, "cpu&gt;lots")
}

func TestMethodsAndHeaders(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	a := b.get("/login").want(t, http.StatusOK, `name="password"`)
	for k, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"} {
		if got := a.Header.Get(k); got != want {
			t.Errorf("%s: %q", k, got)
		}
	}
	if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}
	if a.Header.Get("X-Request-Id") == "" {
		t.Error("no request id")
	}
	if len(a.Cookies()) != 0 {
		t.Errorf("a visitor gets cookies: %v", a.Cookies())
	}
	b.get("/healthz").want(t, http.StatusOK, "ok")
	b.get("/readyz").want(t, http.StatusOK, "ok")
	b.get("/favicon.ico").want(t, http.StatusOK, "<svg")
	b.get("/robots.txt").want(t, http.StatusOK, "Disallow")
	b.get("/openapi.json", header("Accept", "application/json")).want(t, http.StatusOK, "/api/v1/vms")
}

func TestStaticFilesAreKeptByTheirHash(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	a := b.get("/static/css/app.css?v=0123456789", header("Accept-Encoding", "gzip"))
	a.want(t, http.StatusOK)
	if cc := a.Header.Get("Cache-Control"); !strings.Contains(cc, "immutable") {
		t.Errorf("with a hash: %q", cc)
	}
	if a.Header.Get("Content-Encoding") != "gzip" || a.Header.Get("Vary") != "Accept-Encoding" || len(a.Cookies()) != 0 {
		t.Errorf("headers %v", a.Header)
	}
	a = b.get("/static/css/app.css", header("Accept-Encoding", "identity"))
	a.want(t, http.StatusOK)
	if cc := a.Header.Get("Cache-Control"); cc != "no-cache" {
		t.Errorf("without a hash: %q", cc)
	}
	b.get("/static/css/app.css", header("Accept-Encoding", "identity"), header("If-None-Match", a.Header.Get("ETag"))).want(t, http.StatusNotModified)
	if ct := a.Header.Get("Content-Type"); !strings.HasPrefix(ct, "text/css") {
		t.Errorf("Content-Type %q", ct)
	}
	b.do(http.MethodHead, "/static/css/app.css", nil).want(t, http.StatusOK)
	// Every script and style that the page names is there.
	page := b.get("/login").text
	for _, m := range staticRE.FindAllStringSubmatch(page, -1) {
		path := strings.ReplaceAll(m[1], "&amp;", "&")
		if strings.Contains(path, "/vendor/") {
			continue // fetched before the build, not kept with the sources
		}
		if a := b.get(path); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

func TestErrorsAreOneTable(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	for _, c := range []struct {
		code   domain.Code
		status int
	}{
		{domain.Invalid, 422}, {domain.NotFound, 404}, {domain.Conflict, 409}, {domain.Denied, 403}, {domain.Unauthenticated, 401},
		{domain.Exhausted, 507}, {domain.Unavailable, 503}, {domain.Unsupported, 422}, {domain.Internal, 500},
	} {
		if got := statusOf(domain.Errorf(c.code, "x")); got != c.status {
			t.Errorf("%s: %d instead of %d", c.code, got, c.status)
		}
	}
	// One error, three ways: a page, a toast, a problem.
	path := "/vms/vm_none/actions/start"
	b.post(path, nil).want(t, 404, "<html", "NovaCron")
	a := b.post(path, nil, htmx).want(t, 404, "hx-partial", "toast")
	if strings.Contains(a.text, "<html") {
		t.Error("a toast with a whole page around it")
	}
	a = b.post(path, nil, header("Accept", "application/json")).want(t, 404, `"code":"not_found"`)
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type %q", ct)
	}
	b.get("/api/v1/nothing", header("Accept", "*/*")).want(t, 404, `"status":404`)
	w.browser().get("/api/v1/vms", header("Accept", "*/*")).want(t, 401, `"status":401`)
	w.browser().get("/live", header("Accept", "text/event-stream")).want(t, 401, `"status":401`)
	b.post("/vms", url.Values{"notes": {strings.Repeat("x", 2<<20)}}).want(t, 413)
}

// TestEventsTellWhatHappened and not where each task is, unless that is asked for; in the page and in its stream.
func TestEventsTellWhatHappened(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	page := b.get("/events").want(t, 200)
	s := b.open(liveOf(t, page.text))
	w.vm(b, "web-1")
	b.get("/events") // says once that it was made
	const step = "running step"
	for path, want := range map[string][2]bool{"/events": {true, false}, "/events?kind=job": {true, false}, "/events?kind=step": {false, true}, "/events?kind=all": {true, true}, "/events?kind=vm": {false, false}} {
		text := b.get(path).want(t, 200).text
		if got := [2]bool{strings.Contains(text, "Create web-1: done."), strings.Contains(text, "Create web-1: "+step)}; got != want {
			t.Errorf("%s: done and steps are %v, want %v", path, got, want)
		}
	}
	said := ""
	for !strings.Contains(said, "Create web-1: done.") {
		said += s.until("event-").data
	}
	if strings.Contains(said, step) {
		t.Error("the stream tells of steps")
	}
}
