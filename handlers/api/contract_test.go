package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"novacron/auth/access"
	"novacron/db"
	"novacron/domain"
)

func (w *world) generation() (jobs, events int) {
	w.t.Helper()
	page, err := w.db.Jobs(context.Background(), db.JobQuery{Limit: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	return page.Total, int(w.db.Feed().Last())
}

// A dry run says what a change would do and leaves everything as it was; what would be refused is refused the same way.
func TestADryRunWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.addHost("b1")
	vm := w.createVM("web-1")
	jobs, events := w.generation()
	body := map[string]any{"name": "web-2", "vcpus": 1, "memory_bytes": 256 << 20}
	plan := want[DryRun](t, w.do("POST", "/api/v1/vms?dry_run=true&wait=20s", body), 200)
	if !plan.Dry || plan.Operation != "create-vm" || len(plan.Jobs) != 1 || plan.Jobs[0].Kind != "vm.create" || len(plan.Jobs[0].Steps) == 0 || len(plan.Checks) != 3 {
		t.Errorf("%+v", plan)
	}
	var job Job
	if json.Unmarshal(plan.Result, &job) != nil || job.State != domain.JobQueued || job.Resource.Name != "web-2" {
		t.Errorf("the answer would have been %s", plan.Result)
	}
	if plan := want[DryRun](t, w.do("POST", "/api/v1/vms/"+vm+"/start?dry_run=true", nil), 200); len(plan.Jobs) != 1 || plan.Jobs[0].Resource.ID != vm || len(plan.Jobs[0].Locks) == 0 {
		t.Errorf("start: %+v", plan)
	}
	made := want[DryRun](t, w.do("POST", "/api/v1/groups?dry_run=true", map[string]any{"name": "ops"}), 200)
	var group Group
	if len(made.Jobs) != 0 || len(made.Changes) == 0 || json.Unmarshal(made.Result, &group) != nil || group.Name != "ops" {
		t.Errorf("a group: %+v %s", made, made.Result)
	}
	if plan := want[DryRun](t, w.do("PATCH", "/api/v1/vms/"+vm+"?dry_run=true", map[string]any{"notes": "new"}), 200); !strings.Contains(string(plan.Result), `"new"`) {
		t.Errorf("an edit would have been %s", plan.Result)
	}
	if plan := want[DryRun](t, w.do("PATCH", "/api/v1/vms/"+vm+"?dry_run=true", map[string]any{"vcpus": 2}), 200); len(plan.Jobs) != 1 {
		t.Errorf("a change: %+v", plan)
	}
	refused(t, w.do("POST", "/api/v1/vms?dry_run=true", map[string]any{"name": "web-1", "vcpus": 1, "memory_bytes": 256 << 20}), 409, "")
	refused(t, w.do("POST", "/api/v1/vms?dry_run=true", map[string]any{"name": "x", "vcpus": 1, "memory_bytes": 1 << 60}), 422, "")
	refused(t, w.do("POST", "/api/v1/vms?dry_run=maybe", body), 422, "dry_run")
	refused(t, w.do("GET", "/api/v1/vms?dry_run=true", nil), 422, "dry_run")
	// What a terminal is let in with is not in the database alone: a trial would use it up.
	refused(t, w.do("POST", "/api/v1/device/code?dry_run=true", map[string]any{"name": "desk"}), 422, "dry_run")
	refused(t, w.do("POST", "/api/v1/device/token?dry_run=true", map[string]any{"device_code": "x"}), 422, "dry_run")
	refused(t, w.do("POST", "/api/v1/vms?dry_run=true", body, token(w.viewer)), 403, "")
	if j, e := w.generation(); j != jobs || e != events {
		t.Errorf("%d jobs and %d events were written", j-jobs, e-events)
	}
	if v := want[VM](t, w.do("GET", "/api/v1/vms/"+vm, nil), 200); v.Notes != "" || v.VCPUs != 1 {
		t.Errorf("a dry run changed the VM: %+v", v)
	}
	// What was tried is not remembered anywhere: the real change of the same revision shows.
	w.change("PATCH", "/api/v1/vms/"+vm, map[string]any{"vcpus": 3})
	if v := want[VM](t, w.do("GET", "/api/v1/vms/"+vm, nil), 200); v.VCPUs != 3 {
		t.Errorf("after the change it has %d vCPUs", v.VCPUs)
	}
}

func TestTheSameKeyDoesItOnce(t *testing.T) {
	w := newWorld(t)
	key := header("Idempotency-Key", "k-1")
	first := w.do("POST", "/api/v1/tokens", map[string]any{"name": "ci", "role": "auditor"}, key)
	want[json.RawMessage](t, first, 201)
	again := w.do("POST", "/api/v1/tokens", map[string]any{"name": "ci", "role": "auditor"}, key)
	if again.StatusCode != 201 || string(again.body) != string(first.body) || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("sent again: %d %s %s, first %s", again.StatusCode, again.Header, again.body, first.body)
	}
	refused(t, w.do("POST", "/api/v1/tokens", map[string]any{"name": "other", "role": "auditor"}, key), 422, "Idempotency-Key")
	refused(t, w.do("POST", "/api/v1/groups", map[string]any{"name": "g"}, key), 422, "Idempotency-Key")
	refused(t, w.do("POST", "/api/v1/groups", map[string]any{"name": "g"}, header("Idempotency-Key", strings.Repeat("x", 201))), 422, "")
	if _, err := w.db.Tokens(context.Background()); err != nil {
		t.Fatal(err)
	}
	// A refusal is not remembered: when it is put right, the same key is used for it.
	refused(t, w.do("POST", "/api/v1/groups", map[string]any{"name": ""}, header("Idempotency-Key", "k-2")), 422, "")
	want[Group](t, w.do("POST", "/api/v1/groups", map[string]any{"name": "ops"}, header("Idempotency-Key", "k-2")), 201)
	// 204 has no body, and is answered again.
	g := want[Group](t, w.do("POST", "/api/v1/groups", map[string]any{"name": "gone"}), 201)
	for range 2 {
		if a := w.do("DELETE", "/api/v1/groups/"+g.ID, nil, header("Idempotency-Key", "k-3")); a.StatusCode != 204 {
			t.Errorf("delete: %d %s", a.StatusCode, a.body)
		}
	}
	// Somebody else's key is another key.
	if a := w.do("POST", "/api/v1/tokens", map[string]any{"name": "ci", "role": "auditor"}, key, token(w.viewer)); a.StatusCode != 403 {
		t.Errorf("the viewer got %d", a.StatusCode)
	}
}

func TestAJobsKeyFindsTheJob(t *testing.T) {
	w := newWorld(t)
	w.addHost("b1")
	vm := w.createVM("web-1")
	key := header("Idempotency-Key", "start")
	first := want[Job](t, w.do("POST", "/api/v1/vms/"+vm+"/start", nil, key), 202)
	again := w.do("POST", "/api/v1/vms/"+vm+"/start?wait=20s", nil, key)
	if j := want[Job](t, again, 202); j.ID != first.ID || j.State != domain.JobSucceeded || again.Header.Get("Location") != "/api/v1/jobs/"+j.ID {
		t.Errorf("sent again: %+v", j)
	}
	del := header("Idempotency-Key", "delete")
	gone := want[Job](t, w.do("DELETE", "/api/v1/vms/"+vm+"?wait=20s", nil, del), 202)
	if j := want[Job](t, w.do("DELETE", "/api/v1/vms/"+vm+"?wait=20s", nil, del), 202); j.ID != gone.ID { // though the VM is there no more
		t.Errorf("deleted again by %s", j.ID)
	}
}

func TestAnEditIsBasedOnWhatWasRead(t *testing.T) {
	w := newWorld(t)
	g := want[Group](t, w.do("POST", "/api/v1/groups", map[string]any{"name": "ops"}), 201)
	at := "/api/v1/groups/" + g.ID
	tag := w.do("GET", at, nil).Header.Get("ETag")
	if tag == "" || tag != w.do("GET", at, nil).Header.Get("ETag") {
		t.Fatalf("the ETag is %q", tag)
	}
	want[Group](t, w.do("PATCH", at, map[string]any{"notes": "one"}, header("If-Match", tag)), 200)
	p := refused(t, w.do("PATCH", at, map[string]any{"notes": "two"}, header("If-Match", tag)), 412, "")
	if p.Fix == "" {
		t.Error("it is not said what to do")
	}
	refused(t, w.do("DELETE", at, nil, header("If-Match", tag)), 412, "")
	want[DryRun](t, w.do("PATCH", at+"?dry_run=true", map[string]any{"notes": "two"}, header("If-Match", w.do("GET", at, nil).Header.Get("ETag"))), 200)
	want[Group](t, w.do("PATCH", at, map[string]any{"notes": "three"}, header("If-Match", "*")), 200)
	refused(t, w.do("POST", "/api/v1/groups", map[string]any{"name": "x"}, header("If-Match", tag)), 422, "If-Match")
	for path := range w.oneOf() {
		if a := w.do("GET", path, nil); a.Header.Get("ETag") == "" {
			t.Errorf("GET %s has no ETag", path)
		}
	}
}

// oneOf are things that can be read in an empty world.
func (w *world) oneOf() map[string]bool {
	return map[string]bool{"/api/v1/sign-in-policy": true, "/api/v1/image-policy": true, "/api/v1/roles/auditor": true}
}

func TestListsAreNarrowed(t *testing.T) {
	w := newWorld(t)
	w.mirrored(30)
	names := func(query string) (out []string) {
		t.Helper()
		for _, v := range want[Page[struct {
			Name string `json:"name"`
		}]](t, w.do("GET", "/api/v1/vms?fields=name&"+query, nil), 200).Items {
			out = append(out, v.Name)
		}
		return out
	}
	if got := names("filter=vcpus+%3E+7+%26%26+state+%3D%3D+%22running%22"); len(got) != 3 || got[0] != "b1-g0007" {
		t.Errorf("%v", got)
	}
	if got := names("filter=name.endsWith(%221%22)+%26%26+disks.exists(d,d.format%3D%3D%22qcow2%22)&sort=-name"); len(got) != 3 || got[0] != "b1-g0021" {
		t.Errorf("%v", got)
	}
	if got := names("filter=b1-g0004"); len(got) != 1 { // words stay words
		t.Errorf("%v", got)
	}
	// Page by page, each once.
	cursor, seen := "", map[string]bool{}
	for pages := 0; ; pages++ {
		page := want[Page[VM]](t, w.do("GET", "/api/v1/vms?limit=4&filter=vcpus+%3C+4&cursor="+cursor, nil), 200)
		if page.Total != 12 {
			t.Fatalf("%d in all", page.Total)
		}
		for _, v := range page.Items {
			seen[v.ID] = true
		}
		if page.Next == nil {
			if pages != 2 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
		cursor = *page.Next
	}
	if len(seen) != 12 {
		t.Errorf("%d different ones", len(seen))
	}
	for query, field := range map[string]string{
		"filter=vcpus+%3E+%22x%22": "filter", "filter=state+%3D%3D+": "filter", "filter=nosuch+%3D%3D+1": "filter", "fields=name,nosuch": "fields", "filter=vcpus+%3C+4&cursor=abc": "cursor",
	} {
		refused(t, w.do("GET", "/api/v1/vms?"+query, nil), 422, field)
	}
	if p := refused(t, w.do("GET", "/api/v1/groups?filter=name+%3D%3D%3D+1", nil), 422, "filter"); !strings.Contains(p.Detail, "line 1, column 8") {
		t.Errorf("where? %s", p.Detail)
	}
	// A list that has no order and no filter of its own takes them too.
	for _, name := range []string{"b", "c", "a"} {
		want[Group](t, w.do("POST", "/api/v1/groups", map[string]any{"name": name}), 201)
	}
	page := want[Page[Group]](t, w.do("GET", "/api/v1/groups?sort=-name&limit=2&filter=name!=%22b%22", nil), 200)
	if page.Total != 2 || page.Items[0].Name != "c" || page.Items[1].Name != "a" {
		t.Errorf("%+v", page)
	}
	refused(t, w.do("GET", "/api/v1/groups?sort=members", nil), 422, "sort")
	// A whole item when nothing is said, and the same list for who may see less.
	if v := want[Page[Host]](t, w.do("GET", "/api/v1/hosts?filter=labels.site==%22ams%22", nil), 200); v.Total != 1 || v.Items[0].Name != "b1" {
		t.Errorf("%+v", v)
	}
}

func TestTooManyRequestsAreHeldBack(t *testing.T) {
	w := newWorld(t)
	var r rates
	now := time.Unix(1000, 0)
	for i := range 60 {
		if left, wait := r.spend("a", 60, now); wait != 0 || left != 59-i {
			t.Fatalf("%d: %d left, wait %s", i, left, wait)
		}
	}
	if _, wait := r.spend("a", 60, now); wait <= 0 || wait > time.Second {
		t.Errorf("wait %s", wait)
	}
	if _, wait := r.spend("b", 60, now); wait != 0 {
		t.Error("another one's bucket is empty too")
	}
	if _, wait := r.spend("a", 60, now.Add(2*time.Second)); wait != 0 {
		t.Error("it does not fill again")
	}
	if a := w.do("GET", "/api/v1/hosts", nil); a.Header.Get("RateLimit-Limit") != "100000" || a.Header.Get("RateLimit-Remaining") == "" {
		t.Errorf("%v", a.Header)
	}
	text, _, err := w.auth.CreateToken(context.Background(), "few", "test", access.Viewer, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	w.rate(1)
	var last answer
	w.until(func() bool {
		last = w.do("GET", "/api/v1/hosts", nil, token(text))
		return last.StatusCode == http.StatusTooManyRequests
	})
	if p := refused(t, last, 429, ""); p.Code != "rate" || last.Header.Get("Retry-After") == "" {
		t.Errorf("%+v %v", p, last.Header)
	}
}

func TestBadBodiesAreRefused(t *testing.T) {
	w := newWorld(t)
	text, _, err := w.auth.CreateToken(context.Background(), "old", "test", access.Viewer, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body   string
		status int
		field  string
	}{
		"deep":           {strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), 422, ""},
		"deep list":      {strings.Repeat("[", 100_000), 422, ""},
		"long":           {`{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, ""},
		"unknown field":  {`{"name":"a","vcpus":1,"memory_bytes":1,"colour":"red"}`, 422, "colour"},
		"unknown inside": {`{"name":"a","vcpus":1,"memory_bytes":268435456,"disks":[{"pool":"default","sizes":1}]}`, 422, "disks.0.sizes"},
		"wrong type":     {`{"name":7,"vcpus":"two","memory_bytes":1}`, 422, "name"},
		"unknown enum":   {`{"name":"a","vcpus":1,"memory_bytes":268435456,"firmware":"coreboot"}`, 422, "firmware"},
		"not JSON":       {`{"name":`, 400, ""},
		"no body":        {"", 400, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := refused(t, w.do("POST", "/api/v1/vms", c.body), c.status, c.field)
			for _, f := range p.Errors {
				if f.Location == "body" && f.Field != "" && !strings.HasPrefix(f.Pointer, "#/") {
					t.Errorf("%s has the pointer %q", f.Field, f.Pointer)
				}
			}
		})
	}
	refused(t, w.do("GET", "/api/v1/jobs/job_x?wait=121s", nil), 422, "wait")
	refused(t, w.do("GET", "/api/v1/hosts", nil, token("ncr_"+strings.Repeat("0", 43))), 401, "")
	if a := w.do("GET", "/api/v1/hosts", nil, token(text)); a.StatusCode != 200 {
		t.Errorf("%d", a.StatusCode)
	}
}
