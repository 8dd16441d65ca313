package handlers

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
	"novacron/jobs/images/imagetest"
	"novacron/views/live"
)

// Names that mean something to a shell, a file system, a terminal or a reader of logs.
var (
	controls = []string{"a\x00b", "a\nb", "a\r\nb: c", "a\x1b[31mb", "a\tb", "\x7fab", "a\u202eb", "a\u200bb"}
	paths    = []string{"../up", "..", ".", "a/b", "/etc/passwd", `a\b`, "%2e%2e%2fup", "a%2fb", "-rf", "--help", "a b; rm", "$(id)", "`id`", "a'b", `a"b`, "<x>", "*", "~root", "a|b", "a&b"}
)

// What a host, a file or an address is called by takes no name that is more than a name; what only people read takes no control characters, and its id
// is one that an address can have.
func TestNamesThatAreMoreThanNames(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	host := w.host(b, "b1")
	vm := w.vm(b, "web-1")
	pool, _ := w.poolNamed("default")
	text, _, err := w.auth.CreateToken(context.Background(), "ci", "test", access.Admin, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	bearer := header("Authorization", "Bearer "+text)
	type in = map[string]any
	for _, k := range []struct {
		path, field string
		body        in
		free        bool // only people read it
	}{
		{"vms", "name", in{"vcpus": 1, "memory_bytes": 256 << 20}, false},
		{"vms/" + vm.ID + "/rename", "name", in{}, false},
		{"vms/" + vm.ID + "/clone", "name", in{}, false},
		{"vms/" + vm.ID + "/snapshots", "name", in{}, true},
		{"hosts", "name", in{"uri": "qemu+tcp://b9.example/system"}, false},
		{"pools", "name", in{"type": "dir", "hosts": []string{host.ID}, "target": "/srv/x"}, false},
		{"volumes", "name", in{"pool": pool.ID, "size_bytes": 1 << 20}, false},
		{"networks", "name", in{"mode": "isolated", "host": host.ID}, false},
		{"security-groups", "name", in{"rules": []any{}}, false},
		{"images", "name", in{"source": in{"upload": true}}, false},
		{"templates", "name", in{"spec": in{"vcpus": 1, "memory_bytes": 256 << 20}}, false},
		{"snapshot-schedules", "name", in{"vms": []string{vm.ID}, "daily": in{"keep": 1, "at": "02:00"}}, true},
		{"affinity-rules", "name", in{"kind": "anti-affinity", "scope": "vm-vm", "vms": []string{vm.ID}, "tags": []string{"x"}}, true},
		{"users", "name", in{}, false},
		{"groups", "name", in{"members": []string{}}, true},
		{"tenants", "name", in{}, true},
		{"roles", "id", in{"permissions": []string{"vm.read"}}, false},
		{"tokens", "name", in{"role": "auditor"}, true},
		{"identity-providers", "id", in{"kind": "oidc", "name": "x", "issuer": "https://x.example", "client_id": "x"}, false},
	} {
		names := append([]string{strings.Repeat("x", 5000)}, controls...)
		if !k.free {
			names = append(names, paths...)
		}
		for _, name := range names {
			body := in{k.field: name}
			for f, v := range k.body {
				body[f] = v
			}
			sent, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			a := w.browser().sendAs(http.MethodPost, "/api/v1/"+k.path, "application/json", sent, false, bearer)
			if a.StatusCode == http.StatusUnprocessableEntity && strings.Contains(a.text, `"`+k.field+`"`) {
				continue
			}
			t.Errorf("POST %s with the name %.40q: %d %.300s", k.path, name, a.StatusCode, a.text)
		}
	}
	w.free()
	// What is kept under such a name all the same has an address of its own that is plain.
	for _, name := range []string{"../up", "a/b", "%2e%2e", "-rf"} {
		sent, err := json.Marshal(in{"name": name + " x"})
		if err != nil {
			t.Fatal(err)
		}
		a := w.browser().sendAs(http.MethodPost, "/api/v1/tenants", "application/json", sent, false, bearer)
		var made struct{ ID string }
		if err := json.Unmarshal([]byte(a.text), &made); err != nil || a.StatusCode == http.StatusCreated && strings.Trim(made.ID, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%q has the id %q (%d)", name, made.ID, a.StatusCode)
		}
	}
	if a := w.browser().get("/api/v1/vms?filter=-name:web-1", bearer); !strings.Contains(a.text, `"items":[]`) {
		t.Errorf("VMs were made: %s", a.text)
	}
}

// Nor is an address more than an address.
func TestAddressesThatAreMoreThanAddresses(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	vm := w.mirroredVM("h1")
	for _, path := range []string{"/static/..%2fnovacron.db", "/static/%2e%2e/%2e%2e/etc/passwd", "/static/js/..%5c..%5cmain.go", "/static/%00", "/vms/..%2f" + vm, "/vms/%00", "/vms/" + vm + "%2fdelete", "/hosts/..", "/images/..%2f..%2fetc%2fpasswd/versions/1/content",
		"/api/v1/vms/..%2f" + vm, "/api/v1/vms/%2e%2e%2fhosts", "/api/v1/images/..%2f..%2fetc/versions/1/content", "/invite/..%2f..%2flogin", "/login/with/..%2fx", "/access/roles/..%2f..", "/settings/providers/..%2fx", "/tree/hosts/%0a", "/storage/volumes/..%2f..%2fx/content", "//evil.example.org/vms", "/vms/" + strings.Repeat("x", 9000)} {
		a := b.get(path)
		if a.StatusCode != http.StatusNotFound && a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusUnauthorized || strings.Contains(a.text, "root:") {
			t.Errorf("GET %.80s: %d to %q", path, a.StatusCode, a.location())
		}
	}
}

// An upload is as large as its target, a part as long as it says, and nothing of what is refused arrives.
func TestUploadsThatAreTooLarge(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	w.host(b, "b1")
	pool, _ := w.poolNamed("default")
	b.post("/storage/volumes", form("pool", pool.ID, "name", "a.iso", "size_bytes", "1 MiB", "format", "raw")).want(t, http.StatusSeeOther)
	v, _ := w.volumeNamed("a.iso")
	at := "/storage/volumes/" + v.ID + "/content"
	part := bytes.Repeat([]byte("x"), 1<<16)
	put := func(at, says string, body []byte) answer {
		t.Helper()
		return b.sendAs(http.MethodPut, at, "application/octet-stream", body, false, header("Content-Range", says), header("Accept", "application/problem+json"))
	}
	image := b.post("/images", form("from", "upload", "name", "debian", "version", "12")).want(t, http.StatusSeeOther).location() + "/content"
	img := imagetest.QCOW2(1<<20, []byte("boot"))
	for _, x := range []struct {
		what, at, says string
		body           []byte
	}{
		{"more than the volume holds", at, fmt.Sprintf("bytes 0-65535/%d", 2<<20), part},
		{"far more than there is", at, fmt.Sprintf("bytes 0-65535/%d", int64(1)<<62), part},
		{"more than can be counted", at, "bytes 0-65535/99999999999999999999999", part},
		{"a part beyond its end", at, "bytes 1048570-1114105/1048576", part},
		{"a part that is longer than it says", at, "bytes 0-9/1048576", part},
		{"a part before its start", at, "bytes -5-9/1048576", part},
		{"no range", at, "everything", part},
		{"an image far too large", image, fmt.Sprintf("bytes 0-%d/%d", len(img)-1, int64(1)<<62), img},
		{"an image's part that is longer than it says", image, "bytes 0-9/1048576", img},
	} {
		a := put(x.at, x.says, x.body)
		if a.StatusCode != http.StatusUnprocessableEntity && a.StatusCode != http.StatusRequestEntityTooLarge && a.StatusCode != http.StatusInsufficientStorage && a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusConflict ||
			!strings.Contains(a.text, `"detail"`) {
			t.Errorf("%s: %d %.300s", x.what, a.StatusCode, a.text)
		}
	}
	if u, err := w.db.VolumeUpload(t.Context(), v.ID); err == nil && u.Received > 10 {
		t.Errorf("%d bytes of what was refused arrived", u.Received)
	} else if err != nil && !domain.Is(err, domain.NotFound) {
		t.Error(err)
	}
}

// No table that is offered for a spreadsheet has a cell that it would compute, whatever people called things: the routes are tried all, for there may be more.
func TestNoExportIsAFormula(t *testing.T) {
	w := newWorld(t)
	b := w.admin()
	for _, name := range []string{"=1+1", "+1", "-1+1", "@SUM(1)", "|calc", "%0A=1", "＝1+1", "＠x"} {
		b.post("/access/tenants", form("name", name+" a", "notes", name))
		b.post("/access/groups", form("name", name+" b", "notes", name))
	}
	tables := 0
	for _, r := range w.srv.routes {
		if r.method != http.MethodGet || strings.ContainsAny(r.path, ":*") || r.path == "/live" {
			continue
		}
		a := b.get(r.path + "?format=csv")
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/csv") {
			continue
		}
		tables++
		if to := a.Header.Get("Content-Disposition"); !strings.HasPrefix(to, "attachment;") || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s opens in the page: %q", r.path, to)
		}
		for _, x := range cellsOf(t, a.text) {
			if strings.ContainsRune("=+-@\t\r\n|%＝＋－＠", []rune(x + "x")[0]) {
				t.Errorf("%s: a spreadsheet would compute %q", r.path, x)
			}
		}
	}
	if tables == 0 {
		t.Error("no table was found")
	}
	for in, want := range map[string]string{"=1": "'=1", "\n=1": "'\n=1", "＝1": "'＝1", "": "", "a=1": "a=1", "\xff=1": "\xff=1", "-": "'-"} {
		if got := cell(in); got != want {
			t.Errorf("%q becomes %q", in, got)
		}
	}
}

func cellsOf(t *testing.T, text string) (all []string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		all = append(all, row...)
	}
	return all
}

// No page and no action opens somebody else's thing: every route that takes an id is tried with every id that is not one's own.
func TestNoPageOpensSomebodyElsesThing(t *testing.T) {
	p := &play{world: newWorld(t), played: map[string]bool{}}
	b, host, vm := p.estate()
	p.everyForm(b, host, vm)
	b = p.signedIn(auth.FirstAdmin)
	ctx := context.Background()
	mallory := p.person("mallory", "")
	if _, err := p.auth.Bind(ctx, auth.Subject{Name: "test"}, domain.Binding{Subject: domain.Ref{ID: "mallory"}, Role: access.TenantAdmin, Scope: domain.ScopeTenant, ScopeID: "team-a"}); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{vm.ID: true, host.ID: true, "team-b": true}
	for _, list := range []string{"/vms", "/hosts", "/storage", "/storage/volumes", "/networks", "/security-groups", "/images", "/templates", "/tasks", "/plans", "/affinity-rules", "/snapshot-schedules", "/access/users", "/access/groups", "/access/bindings"} {
		for _, id := range idRE.FindAllString(b.get(list).want(t, http.StatusOK).text, -1) {
			ids[id] = true
		}
	}
	for id := range ids { // images and templates of the whole estate are there for all to use
		if strings.HasPrefix(id, "img_") || strings.HasPrefix(id, "tmpl_") {
			delete(ids, id)
		}
	}
	kinds := map[string]int{}
	for id := range ids {
		kind, _, _ := strings.Cut(id, "_")
		kinds[kind]++
	}
	seq := p.db.Feed().Last()
	tried := 0
	for _, r := range p.srv.routes {
		if !strings.Contains(r.path, "/:id") || r.perm == access.Public || r.perm == access.AccountSelf {
			continue
		}
		seen := map[string]int{}
		for id := range ids {
			kind, _, _ := strings.Cut(id, "_")
			if seen[kind]++; seen[kind] > 1 { // of each kind one
				continue
			}
			path := strings.NewReplacer(":id", id, ":tab", "hardware", ":mac", "none", ":sid", "none", ":target", "vda", ":action", "start", ":act", "start", ":do", "up", ":v", "12", ":n", "1", ":kind", "vnc", ":device", "none").Replace(r.path)
			var send url.Values
			if r.method != http.MethodGet && r.method != http.MethodHead {
				send = form("name", "stolen", "confirm", "1", "on", "1")
			}
			a := mallory.do(r.method, path, send)
			tried++
			if r.path == live.PatTreeHost && !idRE.MatchString(strings.ReplaceAll(a.text, id, "")) {
				continue // a branch of the tree without any VM
			}
			if a.StatusCode != http.StatusNotFound && a.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: %d to %q", r.method, path, a.StatusCode, a.location())
			}
		}
	}
	if tried < 300 || len(kinds) < 10 {
		t.Errorf("only %d were tried, with %v", tried, kinds)
	}
	p.free()
	for _, what := range p.doneBy("mallory", seq) {
		t.Errorf("it was done: %s", what)
	}
}

// doneBy is what somebody did after an event: others go on meanwhile, such as what looks at the hosts.
func (w *world) doneBy(actor string, after int64) (out []string) {
	w.t.Helper()
	all, err := w.db.Events(w.t.Context(), db.EventQuery{After: after, Limit: 500})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range all {
		if e.Actor == actor {
			out = append(out, e.Kind+": "+e.Message)
		}
	}
	return out
}
