package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

// pathOf fills an operation's path with an id that nothing has.
func pathOf(o Operation) string {
	return strings.NewReplacer(":id", "nothing", ":n", "1", ":kind", "serial").Replace(o.Path)
}

func TestEveryOperationAsksWhoAndMayThey(t *testing.T) {
	w := newWorld(t)
	for _, o := range w.ops {
		if o.Permission == access.Public && o.Method == http.MethodPost { // a terminal that is yet to be signed in
			refused(t, w.do(o.Method, pathOf(o), "{}", func(r *http.Request) { r.Header.Del("Authorization") }), 422, "")
			continue
		}
		if o.Permission == access.Public {
			if a := w.do(o.Method, pathOf(o), nil, func(r *http.Request) { r.Header.Del("Authorization") }); a.StatusCode != 200 {
				t.Errorf("%s %s is public but answers %d", o.Method, o.Path, a.StatusCode)
			}
			continue
		}
		for name, by := range map[string]opt{
			"nobody":           func(r *http.Request) { r.Header.Del("Authorization") },
			"a wrong token":    token("ncr_" + strings.Repeat("x", 43)),
			"an empty token":   token(""),
			"a wrong scheme":   header("Authorization", "Basic YWRtaW46YWRtaW4="),
			"a session's name": header("Cookie", "novacron_session=made-up"),
		} {
			by := by
			a := w.do(o.Method, pathOf(o), "{}", func(r *http.Request) {
				if name == "a session's name" {
					r.Header.Del("Authorization")
				}
				by(r)
			})
			if p := refused(t, a, 401, ""); p.Fix == "" && name != "nobody" {
				t.Errorf("%s %s by %s does not say what to do", o.Method, o.Path, name)
			}
			if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s %s by %s: WWW-Authenticate is %q", o.Method, o.Path, name, a.Header.Get("WWW-Authenticate"))
			}
		}
		if !access.Allowed(access.Viewer, o.Permission) {
			want := 403
			if strings.HasPrefix(o.Path, "/api/v1/webhooks/:id") { // who may not manage them does not see that there are any
				want = 404
			}
			refused(t, w.do(o.Method, pathOf(o), "{}", token(w.viewer)), want, "")
		} else if o.Path != "/api/v1/events" {
			if a := w.do(o.Method, pathOf(o), nil, token(w.viewer)); a.StatusCode == 401 || a.StatusCode == 403 {
				t.Errorf("a viewer may not %s %s: %s", o.Method, o.Path, a.body)
			}
		}
		if o.Path != "/api/v1/events" && !strings.Contains(o.Path, ":id") {
			continue
		}
		if strings.Contains(o.Path, ":id") {
			body := map[string]string{"/rename": `{"name":"x"}`, "/clone": `{"name":"x"}`, "/revert": `{"field":"vcpus"}`, "/versions": `{"source":{"upload":true}}`,
				"/place": `{"host":"x"}`, "/nics": `{"network":"x"}`, "/preview": `{"name":"x"}`, "/exec": `{"argv":["x"]}`,
				"/tune": `{"downtime_ms":200}`, "/choose": `{"choice":"x"}`, "/password": `{"user":"x","password":"x"}`, "/ssh-keys": `{"user":"x","keys":[]}`, "/keys": `{"user":"x","keys":[]}`, "/instantiate": `{"name":"x"}`, "/template": `{"name":"x"}`, "/rollout": `{}`, "/move": `{"pool":"x"}`, "/disks": `{"volume":"x"}`}[o.Path[strings.LastIndex(o.Path, "/"):]]
			switch {
			case o.Method == http.MethodPatch && strings.HasPrefix(o.Path, "/api/v1/images"), o.Method == http.MethodPatch && strings.HasPrefix(o.Path, "/api/v1/templates"):
				body = `{"description":"x"}`
			case o.Method == http.MethodPatch && strings.HasPrefix(o.Path, "/api/v1/networks"):
				body = `{"domain":"x"}`
			case o.Method == http.MethodPatch && strings.HasPrefix(o.Path, "/api/v1/security-groups"):
				body = `{"name":"x"}`
			case o.Method == http.MethodPost && o.Path == "/api/v1/templates/:id/versions":
				body = `{"spec":{"vcpus":1,"memory_bytes":1073741824}}`
			case o.Method == http.MethodPatch && strings.HasPrefix(o.Path, "/api/v1/webhooks"):
				body = `{"name":"x"}`
			case o.Method == http.MethodPatch && strings.HasPrefix(o.Path, "/api/v1/pools"):
				body = `{"autostart":true}`
			case o.Method == http.MethodPatch && strings.HasPrefix(o.Path, "/api/v1/volumes"):
				body = `{"size_bytes":1048576}`
			case o.Method == http.MethodPatch && strings.Contains(o.Path, "/disks/"):
				body = `{"cache":"none"}`
			case o.Method == http.MethodPut && strings.HasSuffix(o.Path, "/media"):
				body = `{"volume":""}`
			case o.Method == http.MethodPatch && strings.Contains(o.Path, "/nics/"):
				body = `{"down":true}`
			case o.Method == http.MethodPatch:
				body = `{"notes":"x"}`
			case o.Method == http.MethodPut && strings.HasSuffix(o.Path, "/cloud-init"):
				body = `{"cloud_init":{"hostname":"x"}}`
			case strings.HasSuffix(o.Path, "/guest/allow"):
				body = `{"allow":[]}`
			case strings.HasSuffix(o.Path, "/pinned"):
				body = "true"
			case o.Method != http.MethodPost:
				body = ""
			}
			if b, ok := snapshotBodies[o.Method+" "+o.Path]; ok {
				body = b
			}
			var in any
			if body != "" {
				in = body
			}
			refused(t, w.do(o.Method, pathOf(o), in), 404, "")
		}
	}
}

// snapshotBodies are right for the schema, so that what is missing is the thing itself.
var snapshotBodies = map[string]string{
	"POST /api/v1/vms/:id/snapshots":             `{"name":"x"}`,
	"POST /api/v1/vms/:id/snapshots/delete":      `{"ids":["x"]}`,
	"POST /api/v1/vms/:id/snapshots/:sid/revert": `{"safety":false}`,
	"PATCH /api/v1/snapshot-schedules/:id":       `{"name":"x"}`,
	"POST /api/v1/alerts/:id/comments":           `{"comment":"x"}`,
	"POST /api/v1/alerts/:id/acknowledge":        `{}`,
	"PATCH /api/v1/rules/:id":                    `{"disabled":true}`,
	"PATCH /api/v1/receivers/:id":                `{"disabled":true}`,
	"PATCH /api/v1/rotas/:id":                    `{"name":"x"}`,
	"POST /api/v1/rotas/:id/overrides":           `{"to":"2099-01-01T00:00:00Z"}`,
	"PATCH /api/v1/escalations/:id":              `{"disabled":true}`,
	"PATCH /api/v1/plans/:id":                    `{"parallel":2}`,
	"PATCH /api/v1/folders/:id":                  `{"name":"x"}`,
	"PATCH /api/v1/users/:id":                    `{"full_name":"x"}`,
	"POST /api/v1/users/:id/reset":               `{}`,
	"POST /api/v1/users/:id/invite":              `{}`,
	"PUT /api/v1/identity-providers/:id":         `{"name":"x"}`,
	"PUT /api/v1/migration-policies/:id":         `{}`,
	"PUT /api/v1/networks/:id/public":            `{"public":true}`,
	"PUT /api/v1/dashboards/:id":                 `{"name":"x","charts":[{"id":"a","title":"x","kind":"line","unit":"","queries":[{"expr":"up","legend":""}]}]}`,
	"POST /api/v1/tenants/:id/give":              `{"ids":["x"]}`,
	"POST /api/v1/tenants/:id/take":              `{"ids":["x"]}`,
}

func TestTokensEnd(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	text, tok, err := w.auth.CreateToken(ctx, "ci", "test", access.Viewer, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want[Page[VM]](t, w.do("GET", "/api/v1/vms", nil, token(text)), 200)
	if err := w.auth.RevokeToken(ctx, tok.ID, "test"); err != nil {
		t.Fatal(err)
	}
	refused(t, w.do("GET", "/api/v1/vms", nil, token(text)), 401, "")
}

// A person's session reads, for our own pages, but changes nothing: a cookie travels without its owner knowing.
func TestASessionOnlyReads(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	if err := w.auth.CreateUser(ctx, "ada", "one-time-password", access.Admin, "test"); err != nil {
		t.Fatal(err)
	}
	cookie := w.session("ada")
	by := func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("Cookie", cookie) }
	if p := refused(t, w.do("GET", "/api/v1/vms", nil, by), 403, ""); !strings.Contains(p.Detail, "one-time") {
		t.Errorf("with a one-time password: %s", p.Detail)
	}
	u, err := w.db.UserByName(ctx, "ada")
	if err != nil {
		t.Fatal(err)
	}
	u.MustChange = false
	if err := w.db.Write(ctx, func(tx *db.Tx) error { return tx.UpdateUser(u) }); err != nil {
		t.Fatal(err)
	}
	want[Page[VM]](t, w.do("GET", "/api/v1/vms", nil, by), 200)
	refused(t, w.do("POST", "/api/v1/vms/x/start", nil, by), 401, "")
	refused(t, w.do("GET", "/api/v1/vms", nil, by, header("Sec-Fetch-Site", "cross-site")), 401, "")
}

// session signs a person in without a browser and gives the cookie.
func (w *world) session(name string) string {
	w.t.Helper()
	u, err := w.db.UserByName(context.Background(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.NewRequest("GET", "http://x/", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, err := w.auth.LoadSession(r)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.auth.BeginSession(ctx, u); err != nil {
		w.t.Fatal(err)
	}
	rec := &headerOnly{h: http.Header{}}
	if err := w.auth.CommitSession(ctx, rec); err != nil {
		w.t.Fatal(err)
	}
	cookie, _, _ := strings.Cut(rec.h.Get("Set-Cookie"), ";")
	if cookie == "" {
		w.t.Fatal("no cookie")
	}
	return cookie
}

type headerOnly struct{ h http.Header }

func (h *headerOnly) Header() http.Header         { return h.h }
func (h *headerOnly) Write(b []byte) (int, error) { return len(b), nil }
func (h *headerOnly) WriteHeader(int)             {}

func TestBadRequestsAreNamedAndChangeNothing(t *testing.T) {
	w := newWorld(t)
	host := w.mirrored(1)
	vm := want[Page[VM]](t, w.do("GET", "/api/v1/vms", nil), 200).Items[0]
	before := w.db.Feed().Last()
	const ok = `"name":"n1","vcpus":1,"memory_bytes":268435456`
	for _, c := range []struct {
		method, path string
		in           any
		status       int
		field        string
	}{
		{"POST", "/api/v1/vms", `{` + ok + `,"colour":"red"}`, 422, "colour"},
		{"POST", "/api/v1/vms", `{` + ok + `,"Title":"x"}`, 422, "Title"},
		{"POST", "/api/v1/vms", `{` + ok + `,"disks":[{"pool":"default","size":"1G"}]}`, 422, "disks.0.size"},
		{"POST", "/api/v1/vms", `{"vcpus":1,"memory_bytes":268435456}`, 422, "name"},
		{"POST", "/api/v1/vms", `{"name":"n1","memory_bytes":268435456}`, 422, "vcpus"},
		{"POST", "/api/v1/vms", `{"name":"n1","vcpus":"one","memory_bytes":268435456}`, 422, "vcpus"},
		{"POST", "/api/v1/vms", `{"name":"n1","vcpus":1.5,"memory_bytes":268435456}`, 422, "vcpus"},
		{"POST", "/api/v1/vms", `{` + ok + `,"accel":"xen"}`, 422, "accel"},
		{"POST", "/api/v1/vms", `{` + ok + `,"firmware":"coreboot"}`, 422, "firmware"},
		{"POST", "/api/v1/vms", `{"name":`, 400, ""},
		{"POST", "/api/v1/vms", `[]`, 422, ""},
		{"POST", "/api/v1/vms", nil, 400, ""},
		{"POST", "/api/v1/vms", `{"notes":"` + strings.Repeat("x", 2<<20) + `"}`, 413, ""},
		{"POST", "/api/v1/vms?wait=soon", `{` + ok + `}`, 422, "wait"},
		{"POST", "/api/v1/vms?wait=121s", `{` + ok + `}`, 422, "wait"},
		{"POST", "/api/v1/vms?await=30s", `{` + ok + `}`, 422, "await"},
		{"POST", "/api/v1/hosts", `{"name":"b9"}`, 422, "uri"},
		{"POST", "/api/v1/hosts", `{"name":"b9","uri":"qemu:///system","password":"x"}`, 422, "password"},
		{"POST", "/api/v1/hosts", `{"name":"b9","uri":"qemu:///system","credentials":{"password":"x"}}`, 422, "credentials.password"},
		{"POST", "/api/v1/vms/" + vm.ID + "/shutdown", `{"force_after_seconds":-1}`, 422, "force_after_seconds"},
		{"POST", "/api/v1/vms/" + vm.ID + "/rename", `{}`, 422, "name"},
		{"POST", "/api/v1/vms/actions", `{"ids":[],"action":"stop"}`, 422, "ids"},
		{"POST", "/api/v1/vms/actions", `{"ids":["x"],"action":"fly"}`, 422, "action"},
		{"PATCH", "/api/v1/vms/" + vm.ID, `{}`, 422, ""},
		{"PATCH", "/api/v1/vms/" + vm.ID, `{"version":99,"notes":"x"}`, 409, ""},
		{"PATCH", "/api/v1/vms/" + vm.ID, `{"memory":1}`, 422, "memory"},
		{"PATCH", "/api/v1/vms/" + vm.ID, `{"tags":["no space"],"vcpus":2}`, 422, "tags"},
		{"PATCH", "/api/v1/hosts/" + host, `{"uri":"qemu:///system"}`, 422, "uri"},
		{"PATCH", "/api/v1/hosts/" + host, `{"version":99,"notes":"x"}`, 409, ""},
		{"GET", "/api/v1/vms?limit=0", nil, 422, "limit"},
		{"GET", "/api/v1/vms?limit=501", nil, 422, "limit"},
		{"GET", "/api/v1/vms?limit=ten", nil, 422, "limit"},
		{"GET", "/api/v1/vms?filter=cpu%3Emany", nil, 422, "filter"},
		{"GET", "/api/v1/vms?filter=colour:red", nil, 422, "filter"},
		{"GET", "/api/v1/vms?sort=colour", nil, 422, "sort"},
		{"GET", "/api/v1/vms?cursor=rubbish", nil, 422, "cursor"},
		{"GET", "/api/v1/vms?state=asleep", nil, 422, "state"},
		{"GET", "/api/v1/hosts?filter=colour:red", nil, 422, "filter"},
		{"GET", "/api/v1/hosts?sort=colour", nil, 422, "sort"},
		{"GET", "/api/v1/hosts?cursor=rubbish", nil, 422, "cursor"},
		{"GET", "/api/v1/jobs?state=asleep", nil, 422, "state"},
		{"GET", "/api/v1/jobs?cursor=rubbish", nil, 422, "cursor"},
		{"GET", "/api/v1/hosts/" + host + "/pools?sort=size", nil, 422, "sort"},
		{"GET", "/api/v1/events?after=yesterday", nil, 422, "after"},
		{"GET", "/api/v1/jobs/job_nothing?wait=1h", nil, 422, "wait"},
	} {
		refused(t, w.do(c.method, c.path, c.in), c.status, c.field)
	}
	p := refused(t, w.do("POST", "/api/v1/vms", `name=n1`, header("Content-Type", "application/x-www-form-urlencoded")), 415, "")
	if p.Fix == "" {
		t.Error("a wrong content type does not say what to do")
	}
	refused(t, w.do("PATCH", "/api/v1/vms/"+vm.ID, `{"notes":"x"}`, header("If-Match", `"99"`)), 412, "")
	refused(t, w.do("PATCH", "/api/v1/hosts/"+host, `{"notes":"x"}`, header("If-Match", `"99"`)), 412, "")
	refused(t, w.do("PATCH", "/api/v1/vms/"+vm.ID, `{"notes":"x"}`, header("If-Match", `"latest"`)), 422, "If-Match")
	if after := w.db.Feed().Last(); after != before {
		t.Errorf("refused requests made %d events", after-before)
	}
	if got := want[Page[Job]](t, w.do("GET", "/api/v1/jobs", nil), 200); got.Total != 0 {
		t.Errorf("refused requests made jobs: %+v", got.Items)
	}
}

func TestJobsKeepTheirSecrets(t *testing.T) {
	failed := domain.Job{ID: "job_2", State: domain.JobUndone, Error: &domain.JobError{Code: domain.Invalid, Fields: []domain.FieldError{{Field: "creds.ssh_key"}, {Field: "uri"}}}}
	if f := jobOf(&failed).Error.Fields; f[0].Field != "credentials.ssh_key" || f[1].Field != "uri" || failed.Error.Fields[0].Field != "creds.ssh_key" {
		t.Errorf("%+v", f)
	}
	j := domain.Job{ID: "job_1", Input: []byte(`{"creds":{"ssh_key":"SECRET"}}`), Data: []byte(`"SECRET"`), Result: []byte(`null`), State: domain.JobRunning, Progress: domain.Progress{Percent: 140}}
	out := jobOf(&j)
	if out.Result != nil || out.Progress != 100 || out.Steps == nil {
		t.Errorf("%+v", out)
	}
}
