package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/goleak"

	"novacron/domain"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// desk is a terminal and a server that answers what a test says.
type desk struct {
	t   *testing.T
	dir string
	env map[string]string
	in  string
	srv *httptest.Server

	mu      sync.Mutex
	answers map[string]func(w http.ResponseWriter, r *http.Request, body map[string]any)
	asked   []string // METHOD /path?query body
}

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, dir: t.TempDir(), env: map[string]string{"NOVACRON_NO_KEYRING": "1"}, answers: map[string]func(http.ResponseWriter, *http.Request, map[string]any){}}
	d.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		path := strings.TrimPrefix(r.URL.Path, "/api/v1")
		line := r.Method + " " + path
		if r.URL.RawQuery != "" {
			line += "?" + r.URL.RawQuery
		}
		d.mu.Lock()
		d.asked = append(d.asked, strings.TrimSpace(line+" "+string(text)))
		do := d.answers[r.Method+" "+path]
		d.mu.Unlock()
		var body map[string]any
		if len(text) > 0 {
			if err := json.Unmarshal(text, &body); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		if do == nil {
			problem(w, 404, `"code":"not_found","detail":"There is no such thing.","fix":"Look at the list."`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		do(w, r, body)
	}))
	t.Cleanup(d.srv.Close)
	d.env["NOVACRON_SERVER"], d.env["NOVACRON_TOKEN"] = d.srv.URL, "ncr_test"
	return d
}

func problem(w http.ResponseWriter, status int, rest string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status":%d,"title":"x",%s}`, status, rest)
}

// gives answers with a status and JSON.
func (d *desk) gives(what string, status int, text string) {
	d.does(what, func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		if status == 202 {
			w.Header().Set("Location", "/api/v1/jobs/job_1")
		}
		w.WriteHeader(status)
		io.WriteString(w, text)
	})
}

func (d *desk) does(what string, do func(http.ResponseWriter, *http.Request, map[string]any)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[what] = do
}

// ran are the requests so far that begin so.
func (d *desk) ran(begins string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.asked), func(s string) bool { return !strings.HasPrefix(s, begins) })
}

// run runs a command line.
func (d *desk) run(args ...string) (out, errs string, code int) {
	d.t.Helper()
	var stdout, stderr bytes.Buffer
	root := &cobra.Command{Use: "novacron", SilenceErrors: true, SilenceUsage: true}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%s.", err) })
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	token := &cobra.Command{Use: "token"}
	create := &cobra.Command{Use: "create", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		fmt.Fprintln(cmd.OutOrStdout(), "offline "+flag(cmd, "name")+" in "+flag(cmd, "data"))
		return nil
	}}
	create.Flags().String("data", "./data", "")
	create.Flags().String("name", "", "")
	create.Flags().String("since", "", "")
	token.AddCommand(create)
	root.AddCommand(token)
	Add(root, Options{In: strings.NewReader(d.in), Out: &stdout, Err: &stderr, Getenv: func(k string) string { return d.env[k] }, Dir: d.dir, Version: "1 (test)", Clock: func() time.Time { return now }})
	root.SetArgs(args)
	if err := root.ExecuteContext(context.Background()); err != nil {
		code = Report(&stderr, err)
	}
	return stdout.String(), stderr.String(), code
}

// want runs a command line that works.
func (d *desk) want(args ...string) string {
	d.t.Helper()
	out, errs, code := d.run(args...)
	if code != 0 {
		d.t.Fatalf("novacron %s left with %d: %s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// refused runs one that leaves with a code and says something.
func (d *desk) refused(code int, says string, args ...string) {
	d.t.Helper()
	out, errs, got := d.run(args...)
	if got != code || !strings.Contains(errs, says) {
		d.t.Errorf("novacron %s left with %d, wanted %d and “%s”: %s%s", strings.Join(args, " "), got, code, says, out, errs)
	}
}

const twoVMs = `{"items":[
 {"id":"vm_0123456789abcdefghij","name":"web-1","state":"running","host":"b1","vcpus":2,"memory_bytes":2147483648,"addresses":[{"ip":"10.0.0.5","mac":"x"}],"tags":["ci","web"],"created_at":"2026-11-20T12:00:00Z","busy":null},
 {"id":"vm_1123456789abcdefghij","name":"db\u001b[31m-1","state":"stopped","host":"b2","vcpus":4,"memory_bytes":1073741824,"addresses":[],"tags":[],"created_at":null,"busy":{"title":"Start db-1"}}],"next":null,"total":2}`

func TestAListHasColumns(t *testing.T) {
	d := newDesk(t)
	d.gives("GET /vms", 200, twoVMs)
	want := "NAME      STATE    HOST  VCPUS  MEMORY  ADDRESSES  TAGS    AGE\n" +
		"web-1     running  b1    2      2 GiB   10.0.0.5   ci,web  3d\n" +
		"db[31m-1  stopped  b2    4      1 GiB   -          -       -\n"
	if got := d.want("vm", "list"); got != want {
		t.Errorf("the list is\n%swanted\n%s", got, want)
	}
	if got := d.want("vm", "ls", "-o", "name"); got != "vm/web-1\nvm/db[31m-1\n" {
		t.Errorf("names are %q", got)
	}
	if got := d.want("vm", "list", "--columns", "name,busy.title", "--no-headers"); got != "web-1     -\ndb[31m-1  Start db-1\n" {
		t.Errorf("chosen columns are %q", got)
	}
	if got := d.want("vm", "list", "-o", "wide"); !strings.Contains(got, "vm_0123456789abcdefghij") || !strings.Contains(got, "TASK") {
		t.Errorf("wide is %q", got)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(d.want("vm", "list", "-o", "json")), &list); err != nil || len(list) != 2 || list[0]["name"] != "web-1" {
		t.Errorf("as JSON: %v, %v", list, err)
	}
	if got := d.want("vm", "list", "-o", "yaml", "--limit", "1"); !strings.HasPrefix(got, "- id: vm_0123456789abcdefghij\n  name: web-1\n") {
		t.Errorf("as YAML: %s", got)
	}
	d.gives("GET /tenants", 200, `{"items":[{"id":"team-a","name":"Team A"}],"next":null}`)
	d.want("vm", "list", "--filter", "state:running", "--sort", "-memory", "--tenant", "team-a")
	if asked := d.ran("GET /vms?"); len(asked) == 0 || !strings.Contains(asked[len(asked)-1], "filter=state%3Arunning") || !strings.Contains(asked[len(asked)-1], "sort=-memory") {
		t.Errorf("asked was %q", asked)
	}
	d.refused(2, "table, wide", "vm", "list", "-o", "xml")
	d.refused(2, "too much", "vm", "list", "web")
	d.env["COLUMNS"] = "40"
	for line := range strings.Lines(d.want("vm", "list", "-o", "wide")) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 40 {
			t.Errorf("%d columns are printed into 40: %q", n, line)
		}
	}
}

func TestAListIsReadToItsEnd(t *testing.T) {
	d := newDesk(t)
	d.does("GET /vms", func(w http.ResponseWriter, r *http.Request, _ map[string]any) {
		next := `"n2"`
		if r.URL.Query().Get("cursor") == "n2" {
			next = "null"
		}
		fmt.Fprintf(w, `{"items":[{"id":"a","name":"a%s"}],"next":%s,"total":2}`, r.URL.Query().Get("cursor"), next)
	})
	if got := d.want("vm", "list", "-o", "name"); got != "vm/a\nvm/an2\n" {
		t.Errorf("names are %q", got)
	}
	if got := d.want("vm", "list", "-o", "name", "--limit", "1"); got != "vm/a\n" {
		t.Errorf("names are %q", got)
	}
}

const aJob = `{"id":"job_1","kind":"vm.start","title":"Start web-1","state":"%s","progress":%d,"steps":[],"error":%s,"resource":{"id":"vm_0123456789abcdefghij"}}`

func TestAChangeIsFollowedToItsEnd(t *testing.T) {
	d := newDesk(t)
	d.gives("GET /vms", 200, twoVMs)
	d.gives("POST /vms/vm_0123456789abcdefghij/start", 202, fmt.Sprintf(aJob, "queued", 0, "null"))
	d.gives("GET /jobs/job_1", 200, fmt.Sprintf(aJob, "succeeded", 100, "null"))
	if got := d.want("vm", "start", "web-1"); got != "Start web-1: begun as job_1.\n" {
		t.Errorf("without a terminal nobody waits: %q", got)
	}
	if got := d.want("vm", "start", "vm/web-1", "--wait"); got != "Start web-1: done.\n" {
		t.Errorf("with --wait: %q", got)
	}
	if got := d.want("vm", "start", "web-1", "--wait=5m", "-o", "name"); got != "job/job_1\n" {
		t.Errorf("the name is %q", got)
	}
	d.gives("GET /jobs/job_1", 200, fmt.Sprintf(aJob, "undone", 40, `{"code":"exhausted","message":"The host has no room.","fix":"Make some."}`))
	d.refused(exitJob, "The host has no room.", "vm", "start", "web-1", "--wait")
	d.gives("GET /jobs/job_1", 200, fmt.Sprintf(aJob, "running", 40, "null"))
	d.refused(exitUnavailable, "goes on", "vm", "start", "web-1", "--wait=50ms")
	d.refused(exitUsage, "how long to wait", "vm", "start", "web-1", "--wait=soon")
	d.refused(exitNotFound, "There is no vm “web-9”", "vm", "start", "web-9")
	d.refused(exitUsage, "VM is missing", "vm", "start")
}

func TestSeveralAreChangedAtOnce(t *testing.T) {
	d := newDesk(t)
	for _, id := range []string{"vm_0123456789abcdefghij", "vm_1123456789abcdefghij"} {
		d.gives("POST /vms/"+id+"/stop", 202, fmt.Sprintf(aJob, "succeeded", 100, "null"))
	}
	if got := d.want("vm", "stop", "vm_0123456789abcdefghij", "vm_1123456789abcdefghij"); strings.Count(got, "done") != 2 {
		t.Errorf("said was %q", got)
	}
	d.does("POST /vms/vm_1123456789abcdefghij/stop", func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		problem(w, 409, `"code":"conflict","detail":"It is held.","holder":"job_7"`)
	})
	out, errs, code := d.run("vm", "stop", "vm_0123456789abcdefghij", "vm_1123456789abcdefghij")
	if code != exitConflict || !strings.Contains(out, "done") || !strings.Contains(errs, "novacron job get job_7") {
		t.Errorf("left with %d: %s%s", code, out, errs)
	}
}

func TestABodyIsMadeOfFileFlagsAndSets(t *testing.T) {
	d := newDesk(t)
	d.gives("GET /hosts", 200, `{"items":[{"id":"host_0123456789abcdefghij","name":"b2"}],"next":null}`)
	var got map[string]any
	d.does("POST /vms", func(w http.ResponseWriter, _ *http.Request, body map[string]any) {
		got = body
		w.Header().Set("Location", "/api/v1/jobs/job_1")
		w.WriteHeader(202)
		fmt.Fprintf(w, aJob, "queued", 0, "null")
	})
	file := filepath.Join(t.TempDir(), "vm.yaml")
	if err := os.WriteFile(file, []byte("name: other\nvcpus: 1\nnotes: kept\ndisks:\n  - pool: default\n    size_bytes: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.want("vm", "create", "web-1", "-f", file, "--vcpus", "2", "--memory", "2G", "--host", "b2", "--start", "--tags", "a,b", "--nics", "network=default", "--set", "disks.0.size_bytes=1024", "--set", "boot.kernel=/boot/k")
	text, _ := json.Marshal(got)
	want := `{"boot":{"kernel":"/boot/k"},"disks":[{"pool":"default","size_bytes":1024}],"host":"host_0123456789abcdefghij","memory_bytes":2147483648,"name":"web-1","nics":[{"network":"default"}],"notes":"kept","start":true,"tags":["a","b"],"vcpus":2}`
	if string(text) != want {
		t.Errorf("sent was\n%s\nwanted\n%s", text, want)
	}
	d.in = `{"name":"json"}`
	d.want("vm", "create", "-f", "-", "--disks", "pool=default,size=10G")
	if text, _ := json.Marshal(got); string(text) != `{"disks":[{"pool":"default","size_bytes":10737418240}],"name":"json"}` {
		t.Errorf("sent was %s", text)
	}
	d.refused(exitUsage, "a size such as", "vm", "create", "x", "--memory", "lots")
	d.refused(exitUsage, "There is no field “pol”", "vm", "create", "x", "--disks", "pol=1")
	d.refused(exitUsage, "a whole number", "vm", "create", "x", "--vcpus", "two")
	d.refused(exitUsage, "no such file", "vm", "create", "-f", file+".not")
	d.does("POST /vms", func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		problem(w, 422, `"code":"invalid","detail":"The request is not right.","errors":[{"field":"vcpus","location":"body","message":"There are too many.","want":"1 to 64"},{"field":"name","message":"It is taken."}]`)
	})
	d.refused(exitUsage, "vcpus: There are too many. Right would be 1 to 64.", "vm", "create", "x")
}

func TestRefusalsHaveTheirCodes(t *testing.T) {
	d := newDesk(t)
	for status, code := range map[int]int{400: 2, 401: 4, 403: 4, 404: 3, 409: 5, 412: 5, 422: 2, 429: 6, 500: 1, 503: 6, 507: 5} {
		d.does("GET /jobs/job_1", func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
			problem(w, status, `"detail":"It is so.","fix":"Do that."`)
		})
		says := "Do that."
		if status == 401 {
			says = "novacron login " + d.srv.URL
		}
		d.refused(code, says, "job", "get", "job_1")
	}
	d.does("GET /jobs/job_1", func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>")
	})
	d.refused(exitUnavailable, "not NovaCron's API", "job", "wait", "job_1")
	d.does("GET /jobs/job_1", func(w http.ResponseWriter, r *http.Request, _ map[string]any) { <-r.Context().Done() })
	d.refused(exitUnavailable, "within 50ms", "job", "get", "job_1", "--timeout", "50ms")
	d.env["NOVACRON_SERVER"] = "http://127.0.0.1:1"
	d.refused(exitUnavailable, "does not answer", "job", "get", "job_1")
	d.env["NOVACRON_SERVER"] = "ftp://x"
	d.refused(exitUsage, "not the address of a server", "job", "get", "job_1")
	delete(d.env, "NOVACRON_SERVER")
	d.refused(exitUsage, "not known which server", "job", "get", "job_1")
	d.refused(exitUsage, "unknown flag", "vm", "list", "--bogus")
	d.refused(exitUsage, "There is no “novacron vm lst”", "vm", "lst")
}

func TestContextsAreKeptForTheirOwnerOnly(t *testing.T) {
	d := newDesk(t)
	delete(d.env, "NOVACRON_SERVER")
	delete(d.env, "NOVACRON_TOKEN")
	d.gives("GET /jobs", 200, `{"items":[],"next":null}`)
	d.gives("GET /vms", 200, twoVMs)
	d.in = "ncr_0123456789\n"
	d.want("login", "--token", "--name", "here", d.srv.URL+"/")
	file := filepath.Join(d.dir, "contexts.json")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file is %v, %v", info, err)
	}
	d.want("vm", "list")
	d.want("context", "add", "other", "https://novacron.example.org")
	if got := d.want("context", "list"); !strings.Contains(got, "*  here") || !strings.Contains(got, "https://novacron.example.org") {
		t.Errorf("listed is %s", got)
	}
	d.want("context", "use", "other")
	d.want("vm", "list", "--context", "here")
	d.want("vm", "list", "--server", d.srv.URL)
	d.refused(exitNotFound, "no context “nowhere”", "vm", "list", "--context", "nowhere")
	d.refused(exitConflict, "already", "context", "add", "here", "https://elsewhere.example.org")
	d.want("context", "use", "here")
	d.gives("GET /tokens", 200, `{"items":[{"id":"tok_1","prefix":"ncr_012345"},{"id":"tok_2","prefix":"ncr_999999"}],"next":null}`)
	d.gives("DELETE /tokens/tok_1", 204, "")
	if got := d.want("logout"); !strings.Contains(got, "The token is revoked.") || len(d.ran("DELETE /tokens/tok_1")) != 1 {
		t.Errorf("said was %q", got)
	}
	if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), "ncr_") {
		t.Errorf("the file holds %s, %v", text, err)
	}
	d.want("context", "remove", "here")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	d.refused(exitDenied, "chmod 600", "context", "list")
}

func TestSigningInByABrowser(t *testing.T) {
	d := newDesk(t)
	delete(d.env, "NOVACRON_SERVER")
	delete(d.env, "NOVACRON_TOKEN")
	d.gives("GET /jobs", 200, `{"items":[],"next":null}`)
	d.gives("POST /device/code", 200, `{"device_code":"secret","user_code":"WDJB-MJHT","expires_in":600,"interval":1,"verification_uri":"https://evil.example.org"}`)
	asked := 0
	d.does("POST /device/token", func(w http.ResponseWriter, _ *http.Request, body map[string]any) {
		if body["device_code"] != "secret" {
			t.Errorf("asked with %v", body)
		}
		if asked++; asked == 1 {
			problem(w, 400, `"detail":"Not yet.","error":"authorization_pending"`)
			return
		}
		fmt.Fprint(w, `{"token":"ncr_made"}`)
	})
	_, errs, code := d.run("login", d.srv.URL)
	if code != 0 || !strings.Contains(errs, d.srv.URL+"/device?code=WDJB-MJHT") || strings.Contains(errs, "evil") {
		t.Fatalf("left with %d: %s", code, errs)
	}
	if text, err := os.ReadFile(filepath.Join(d.dir, "contexts.json")); err != nil || !strings.Contains(string(text), "ncr_made") {
		t.Errorf("kept is %s, %v", text, err)
	}
	for name, says := range map[string]string{"access_denied": "refused in the browser", "expired_token": "has expired"} {
		d.does("POST /device/token", func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
			problem(w, 400, `"detail":"No.","error":"`+name+`"`)
		})
		d.refused(exitDenied, says, "login", d.srv.URL)
	}
}

func TestEditingInAnEditor(t *testing.T) {
	d := newDesk(t)
	editor := filepath.Join(t.TempDir(), "ed")
	if err := os.WriteFile(editor, []byte("#!/bin/sh\nsed -i 's/^notes: old$/notes: new/' \"$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.env["EDITOR"] = editor
	const id = "vm_0123456789abcdefghij"
	d.does("GET /vms/"+id, func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		w.Header().Set("ETag", `"7"`)
		fmt.Fprint(w, `{"id":"`+id+`","name":"web-1","notes":"old","tags":["a"],"vcpus":2,"state":"running"}`)
	})
	tag := ""
	d.does("PATCH /vms/"+id, func(w http.ResponseWriter, r *http.Request, _ map[string]any) {
		tag = r.Header.Get("If-Match")
		fmt.Fprint(w, `{"id":"`+id+`","name":"web-1"}`)
	})
	if got := d.want("vm", "edit", id); got != "vm/web-1\n" {
		t.Errorf("said was %q", got)
	}
	if asked := d.ran("PATCH"); len(asked) != 1 || asked[0] != "PATCH /vms/"+id+` {"notes":"new"}` || tag != `"7"` {
		t.Errorf("asked was %q with %s", asked, tag)
	}
	d.env["EDITOR"] = "true"
	if _, errs, code := d.run("vm", "edit", id); code != 0 || !strings.Contains(errs, "Nothing was changed.") {
		t.Errorf("left with %d: %s", code, errs)
	}
	d.want("vm", "edit", id, "--notes", "by flag")
	if asked := d.ran("PATCH"); len(asked) != 2 || !strings.HasSuffix(asked[1], `{"notes":"by flag"}`) {
		t.Errorf("asked was %q", asked)
	}
	delete(d.env, "EDITOR")
	d.refused(exitUsage, "nothing to change", "vm", "edit", id)
}

func TestNamesAreCompleted(t *testing.T) {
	d := newDesk(t)
	d.gives("GET /vms", 200, twoVMs)
	d.gives("GET /vms/vm_0123456789abcdefghij/snapshots", 200, `{"items":[{"id":"snap_1","name":"before"}],"next":null}`)
	for line, want := range map[string]string{
		"vm start ":              "web-1\trunning",
		"vm start web-1 d":       "db[31m-1",
		"snapshot revert web-1 ": "before",
		"vm create --accel ":     "tcg",
		"vm list --host ":        ":4",
		"vm ":                    "screenshot",
		"host maintenance b1 ":   "off",
	} {
		if got := d.want(append([]string{"__complete"}, strings.Split(line, " ")...)...); !strings.Contains(got, want) {
			t.Errorf("“novacron %s” is completed with %q, wanted %q", line, got, want)
		}
	}
	if got := d.want("__complete", "vm", "start", "web-1", ""); strings.Contains(got, "web-1") {
		t.Errorf("what stands there is offered again: %q", got)
	}
	d.srv.Close()
	if got, _, code := d.run("__complete", "vm", "start", ""); code != 0 || strings.Contains(got, "does not answer") {
		t.Errorf("without a server: %q", got)
	}
}

func TestATokenIsMadeHereOrThere(t *testing.T) {
	d := newDesk(t)
	d.gives("POST /tokens", 201, `{"id":"tok_1","name":"ci","token":"ncr_secret"}`)
	if got := d.want("token", "create", "--name", "ci", "--role", "auditor", "--days", "3"); got != "ncr_secret\n" {
		t.Errorf("said was %q", got)
	}
	if asked := d.ran("POST /tokens"); asked[0] != `POST /tokens {"days":3,"name":"ci","role":"auditor"}` {
		t.Errorf("asked was %q", asked)
	}
	if got := d.want("token", "create", "--data", "/x", "--name", "ci"); got != "offline ci in /x\n" {
		t.Errorf("said was %q", got)
	}
	d.refused(exitUsage, "--role is for a server", "token", "create", "--data", "/x", "--role", "auditor")
	d.refused(exitUsage, "--since is for work on a data directory", "token", "create", "--name", "ci", "--since", "x")
	delete(d.env, "NOVACRON_SERVER")
	if got := d.want("token", "create", "--name", "ci"); got != "offline ci in ./data\n" {
		t.Errorf("where no server is known: %q", got)
	}
}

func TestEventsAreTakenUpAgain(t *testing.T) {
	d := newDesk(t)
	tell := func(w http.ResponseWriter, before string, e domain.Event) {
		b, err := json.Marshal(domain.CloudEventOf(e, "https://n.example"))
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "%sid: %d\nevent: %s\ndata: %s\n\n", before, e.Seq, e.Kind, b)
	}
	times := 0
	d.does("GET /events", func(w http.ResponseWriter, r *http.Request, _ map[string]any) {
		w.Header().Set("Content-Type", "text/event-stream")
		times++
		switch times {
		case 1:
			tell(w, "retry: 2000\n\n", domain.Event{Seq: 5, Kind: "vm.started", At: time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local), Message: "web-1 runs."})
		case 2:
			if r.Header.Get("Last-Event-ID") != "5" {
				t.Errorf("taken up after %q", r.Header.Get("Last-Event-ID"))
			}
			tell(w, ": still here\n\n", domain.Event{Seq: 6, Kind: "job.ended", Message: "x"})
			tell(w, "", domain.Event{Seq: 7, Kind: "vm.stopped", Message: "web-1 stopped."})
		default:
			problem(w, 401, `"detail":"The token was revoked."`)
		}
	})
	out, errs, code := d.run("events", "-f", "--kind", "vm.*")
	if code != exitDenied || !strings.Contains(out, "2026-11-23 12:00:00  vm.started          web-1 runs.") || !strings.Contains(out, "web-1 stopped.") || strings.Contains(out, "job.ended") || !strings.Contains(errs, "taken up again") {
		t.Errorf("left with %d: %s%s", code, out, errs)
	}
}
