package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/domain"
)

// teams is an estate with two tenants that have a VM each, and one VM of the estate's own.
type teams struct {
	*world
	host     string
	a, b     string // tokens of tenant admins
	vmA, vmB string
	vmOwn    string
	jobB     string
	volB     string
	netB     string
	imgB     string
	tmplB    string
	ruleB    string
	schedB   string
	namesOfB []string // what nobody but B may read
}

func (w *world) serviceToken(name, role, tenant string) string {
	w.t.Helper()
	text, _, err := w.auth.MakeToken(context.Background(), auth.Subject{Name: "test"}, domain.Token{Name: name, Role: role, Tenant: tenant})
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

func newTeams(t *testing.T) *teams {
	w := &teams{world: newWorld(t)}
	w.host = w.addHost("b1")
	for _, name := range []string{"team-a", "team-b"} {
		made := want[Tenant](t, w.do("POST", "/api/v1/tenants", map[string]any{"name": name}), 201)
		if made.ID != name {
			t.Fatalf("the tenant %s has the id %s", name, made.ID)
		}
	}
	w.a, w.b = w.serviceToken("a", access.TenantAdmin, "team-a"), w.serviceToken("b", access.TenantAdmin, "team-b")
	w.vmA = w.change("POST", "/api/v1/vms", map[string]any{"name": "web-of-a", "vcpus": 1, "memory_bytes": 256 << 20}, token(w.a)).Resource.ID
	j := w.change("POST", "/api/v1/vms", map[string]any{"name": "web-of-b", "vcpus": 1, "memory_bytes": 256 << 20, "tenant": "team-b",
		"disks": []any{map[string]any{"pool": "default", "size_bytes": 1 << 30}}})
	w.vmB, w.jobB = j.Resource.ID, j.ID
	w.vmOwn = w.createVM("of-the-estate")
	w.volB = w.change("POST", "/api/v1/volumes", map[string]any{"pool": "default", "name": "data-of-b", "size_bytes": 1 << 20, "tenant": "team-b"}).Resource.ID
	w.netB = w.change("POST", "/api/v1/networks", map[string]any{"name": "net-of-b", "mode": "isolated", "host": w.host, "tenant": "team-b"}).Resource.ID
	w.imgB = want[ImageImport](t, w.do("POST", "/api/v1/images", map[string]any{"name": "image-of-b", "tenant": "team-b", "source": map[string]any{"upload": true}}), 201).Version.ImageID
	w.tmplB = want[Template](t, w.do("POST", "/api/v1/templates", map[string]any{"name": "template-of-b", "tenant": "team-b", "spec": map[string]any{"vcpus": 1, "memory_bytes": 256 << 20}}), 201).ID
	w.ruleB = want[AffinityRule](t, w.do("POST", "/api/v1/affinity-rules", map[string]any{"name": "rule-of-b", "tenant": "team-b", "kind": "anti-affinity", "scope": "vm-vm", "tags": []string{"db"}}), 201).ID
	w.schedB = want[SnapshotSchedule](t, w.do("POST", "/api/v1/snapshot-schedules", map[string]any{"name": "schedule-of-b", "tenant": "team-b", "vms": []string{w.vmB}, "daily": map[string]any{"keep": 2, "at": "02:00"}}), 201).ID
	w.namesOfB = []string{"rule-of-b", "schedule-of-b", w.ruleB, w.schedB, "web-of-b", w.vmB, w.jobB, "of-the-estate", w.vmOwn, "data-of-b", "net-of-b", "image-of-b", "template-of-b", w.volB, w.netB, w.imgB, w.tmplB}
	return w
}

func TestATenantSeesOnlyItsOwn(t *testing.T) {
	w := newTeams(t)
	mine := want[Page[VM]](t, w.do("GET", "/api/v1/vms", nil, token(w.a)), 200)
	if len(mine.Items) != 1 || mine.Total != 1 || mine.Items[0].ID != w.vmA || mine.Items[0].Tenant != "team-a" {
		t.Fatalf("A sees %+v", mine)
	}
	all := want[Page[VM]](t, w.do("GET", "/api/v1/vms", nil), 200)
	if all.Total != 3 {
		t.Errorf("the admin sees %d VMs", all.Total)
	}
	if v := want[VM](t, w.do("GET", "/api/v1/vms/"+w.vmB, nil), 200); v.Tenant != "team-b" {
		t.Errorf("the VM of B says %q", v.Tenant)
	}
	for _, o := range w.ops {
		if strings.Contains(o.Path, ":") || o.Method != http.MethodGet || o.Path == "/api/v1/events" || o.Permission == access.Public {
			continue
		}
		a := w.do(o.Method, o.Path, nil, token(w.a))
		if a.StatusCode == 200 {
			for _, name := range w.namesOfB {
				if strings.Contains(string(a.body), name) {
					t.Errorf("GET %s tells A of %s: %.200s", o.Path, name, a.body)
				}
			}
		}
	}
	for _, q := range []string{"filter=web-of-b", "filter=host:b1", "host=" + w.host, "tenant=team-b", "sort=-created&limit=1"} {
		if a := w.do("GET", "/api/v1/vms?"+q, nil, token(w.a)); strings.Contains(string(a.body), "web-of-b") || strings.Contains(string(a.body), "of-the-estate") {
			t.Errorf("?%s shows A what it may not see: %s", q, a.body)
		}
	}
}

// Every route that takes an id is tried with an id of somebody else's thing: what one may not see does not exist.
func TestNoIDOpensSomebodyElsesThing(t *testing.T) {
	w := newTeams(t)
	tried := 0
	for _, o := range w.ops {
		if !strings.Contains(o.Path, ":id") || o.Permission == access.AccountSelf {
			continue
		}
		ids := []string{w.vmB, w.vmOwn, w.jobB, w.host, "team-b", "pool_" + strings.Repeat("0", 26), "platform-admin", w.volB, w.netB, w.imgB, w.tmplB, w.ruleB, w.schedB, "image-of-b", "template-of-b"}
		for _, id := range ids {
			path := strings.NewReplacer(":id", id, ":n", "1", ":v", "1", ":sid", "x", ":target", "vda", ":mac", "52:54:00:00:00:01", ":dev", "x").Replace(o.Path)
			a := w.do(o.Method, path, "{}", token(w.a))
			tried++
			if a.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s by A: %d %.200s", o.Method, path, a.StatusCode, a.body)
			}
		}
	}
	if tried < 300 {
		t.Errorf("only %d requests were tried", tried)
	}
	// The same with ids in the query and in bodies.
	for _, q := range []string{"/api/v1/jobs?resource=" + w.vmB, "/api/v1/vms?filter=" + w.vmB, "/api/v1/jobs?parent=" + w.jobB} {
		refused(t, w.do("GET", q, nil, token(w.a)), 404, "")
	}
	refused(t, w.do("POST", "/api/v1/vms", fmt.Sprintf(`{"name":"x","vcpus":1,"memory_bytes":268435456,"notes":%q}`, w.vmB), token(w.a)), 404, "")
	// What A may do to its own it still may.
	want[VM](t, w.do("GET", "/api/v1/vms/"+w.vmA, nil, token(w.a)), 200)
	w.change("POST", "/api/v1/vms/"+w.vmA+"/start", nil, token(w.a))
	want[Page[Job]](t, w.do("GET", "/api/v1/jobs?resource="+w.vmA, nil, token(w.a)), 200)
	want[Tenant](t, w.do("GET", "/api/v1/tenants/team-a", nil, token(w.a)), 200)
	if v := want[VM](t, w.do("GET", "/api/v1/vms/"+w.vmB, nil, token(w.b)), 200); v.State != domain.VMStopped {
		t.Errorf("B's VM is %s", v.State)
	}
}

func TestATenantReachesNothingOfTheHost(t *testing.T) {
	w := newTeams(t)
	vm := want[VM](t, w.do("GET", "/api/v1/vms/"+w.vmB, nil), 200)
	base := `"name":"x","vcpus":1,"memory_bytes":268435456`
	for field, more := range map[string]string{
		"boot.kernel":    `"boot":{"kernel":"/etc/shadow"}`,
		"boot.initrd":    `"boot":{"kernel":"/etc/shadow","initrd":"/etc/shadow"}`,
		"disks.0.source": fmt.Sprintf(`"disks":[{"source":%q}]`, vm.Disks[0].Source),
		"filesystems":    `"filesystems":[{"source":"/srv/x","tag":"x"}]`,
		"tenant":         `"tenant":"team-b"`,
	} {
		refused(t, w.do("POST", "/api/v1/vms", "{"+base+","+more+"}", token(w.a)), 422, field)
	}
	refused(t, w.do("PATCH", "/api/v1/vms/"+w.vmA, `{"boot":{"kernel":"/etc/shadow"}}`, token(w.a)), 422, "boot.kernel")
	refused(t, w.do("PATCH", "/api/v1/vms/"+w.vmA, `{"tenant":""}`, token(w.a)), 403, "")
	taken := refused(t, w.do("POST", "/api/v1/vms", `{"name":"web-of-b","vcpus":1,"memory_bytes":268435456}`, token(w.a)), 409, "name")
	if strings.Contains(taken.Detail, "b1") {
		t.Errorf("a taken name tells where: %s", taken.Detail)
	}
}

func TestQuotasHoldForRequestsAtOnce(t *testing.T) {
	w := newTeams(t)
	want[Tenant](t, w.do("PATCH", "/api/v1/tenants/team-a", `{"quota":{"vms":4,"vcpus":100,"memory_bytes":4294967296}}`), 200)
	var wg sync.WaitGroup
	var mu sync.Mutex
	status := map[int]int{}
	for i := range 12 {
		wg.Go(func() {
			a := w.do("POST", "/api/v1/vms?wait=20s", map[string]any{"name": fmt.Sprintf("more-%d", i), "vcpus": 1, "memory_bytes": 256 << 20}, token(w.a))
			mu.Lock()
			defer mu.Unlock()
			status[a.StatusCode]++
			if a.StatusCode == 507 && !strings.Contains(string(a.body), "quota") {
				t.Errorf("%s", a.body)
			}
		})
	}
	wg.Wait()
	if status[202] != 3 || status[507] != 9 {
		t.Errorf("answers: %v; one VM was there and four are allowed", status)
	}
	// Resizing and cloning are held too.
	refused(t, w.do("PATCH", "/api/v1/vms/"+w.vmA, `{"memory_bytes":8589934592}`, token(w.a)), 507, "")
	refused(t, w.do("POST", "/api/v1/vms/"+w.vmA+"/clone", `{"name":"copy"}`, token(w.a)), 507, "")
	got := want[Tenant](t, w.do("GET", "/api/v1/tenants/team-a", nil, token(w.a)), 200)
	if got.Usage.VMs != 4 || got.Usage.VCPUs != 4 || got.Usage.MemoryBytes != 4*256<<20 {
		t.Errorf("usage %+v", got.Usage)
	}
	if b := want[Tenant](t, w.do("GET", "/api/v1/tenants/team-b", nil, token(w.b)), 200); b.Usage.StorageBytes != 1<<30+1<<20 {
		t.Errorf("usage of B %+v", b.Usage)
	}
}

func TestVMsAreGivenToTenants(t *testing.T) {
	w := newTeams(t)
	v := want[VM](t, w.do("PATCH", "/api/v1/vms/"+w.vmOwn, `{"tenant":"team-a"}`), 200)
	if v.Tenant != "team-a" {
		t.Errorf("%+v", v)
	}
	want[VM](t, w.do("GET", "/api/v1/vms/"+w.vmOwn, nil, token(w.a)), 200)
	refused(t, w.do("PATCH", "/api/v1/vms/"+w.vmOwn, `{"tenant":"nothing"}`), 422, "tenant")
	refused(t, w.do("DELETE", "/api/v1/tenants/team-a", nil), 409, "")
	want[VM](t, w.do("PATCH", "/api/v1/vms/"+w.vmOwn, `{"tenant":""}`), 200)
	refused(t, w.do("GET", "/api/v1/vms/"+w.vmOwn, nil, token(w.a)), 404, "")
}

func TestRolesAreGivenTakenAndExplained(t *testing.T) {
	w := newTeams(t)
	u := want[UserMade](t, w.do("POST", "/api/v1/users", `{"name":"ann","role":"tenant-user","tenant":"team-a"}`), 201)
	if len(u.OneTimePassword) < 20 || !u.MustChange {
		t.Errorf("%+v", u)
	}
	explain := func(perm, object string) Decision {
		return want[Decision](t, w.do("GET", "/api/v1/access/explain?subject=ann&permission="+perm+"&object="+object, nil), 200)
	}
	if d := explain("vm.power", w.vmA); !d.Allowed || d.Rule == nil || d.Rule.Role != "tenant-user" || len(d.Looked) != 1 {
		t.Errorf("%+v", d)
	}
	if d := explain("vm.power", w.vmB); d.Allowed || d.Rule != nil || len(d.Looked) != 1 || d.Looked[0].Why == "" {
		t.Errorf("%+v", d)
	}
	want[Role](t, w.do("POST", "/api/v1/roles", `{"id":"starter","permissions":["vm.read","vm.power"]}`), 201)
	g := want[Group](t, w.do("POST", "/api/v1/groups", `{"name":"ops","members":["ann"]}`), 201)
	b := want[Binding](t, w.do("POST", "/api/v1/bindings", fmt.Sprintf(`{"subject":%q,"role":"starter","scope":"object","scope_id":%q}`, g.ID, w.vmB)), 201)
	if d := explain("vm.power", w.vmB); !d.Allowed || d.Rule.Subject != "group ops" {
		t.Errorf("%+v", d)
	}
	deny := want[Binding](t, w.do("POST", "/api/v1/bindings", `{"subject":"ann","role":"starter","deny":true,"condition":"mfa_age > 900"}`), 201)
	if d := explain("vm.power", w.vmB); d.Allowed || d.Rule == nil || d.Rule.Effect != "deny" {
		t.Errorf("%+v", d)
	}
	for _, id := range []string{b.ID, deny.ID} {
		if a := w.do("DELETE", "/api/v1/bindings/"+id, nil); a.StatusCode != 204 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
	if d := explain("vm.power", w.vmB); d.Allowed {
		t.Errorf("%+v", d)
	}
	if a := w.do("GET", "/api/v1/access/who?permission=vm.delete&object="+w.vmA, nil); !strings.Contains(string(a.body), `"ann"`) || a.StatusCode != 200 {
		t.Errorf("%s", a.body)
	}
	for body, field := range map[string]string{
		`{"subject":"nobody","role":"auditor"}`:                                    "subject",
		`{"subject":"ann","role":"nothing"}`:                                       "role",
		`{"subject":"ann","role":"auditor","scope":"tenant","scope_id":"nothing"}`: "scope_id",
		`{"subject":"ann","role":"auditor","condition":"hour >"}`:                  "condition",
		`{"subject":"ann","role":"auditor","scope":"tag","scope_id":"a \" b"}`:     "scope_id",
	} {
		refused(t, w.do("POST", "/api/v1/bindings", body), 422, field)
	}
	refused(t, w.do("GET", "/api/v1/access/explain?subject=ann&permission=vm.fly", nil), 422, "permission")
	refused(t, w.do("POST", "/api/v1/roles", `{"id":"auditor","permissions":["vm.read"]}`), 409, "")
	refused(t, w.do("POST", "/api/v1/roles", `{"id":"bad role","permissions":["vm.fly"]}`), 422, "permissions")
	refused(t, w.do("DELETE", "/api/v1/roles/platform-admin", nil), 409, "")
}

// Who may give roles gives no more than they have.
func TestNobodyRaisesThemselves(t *testing.T) {
	w := newTeams(t)
	want[Role](t, w.do("POST", "/api/v1/roles", `{"id":"giver","permissions":["role.*","user.*","token.manage","vm.read"]}`), 201)
	giver := w.serviceToken("giver", "giver", "")
	want[UserMade](t, w.do("POST", "/api/v1/users", `{"name":"eve","role":"giver"}`, token(giver)), 201)
	root := want[UserMade](t, w.do("POST", "/api/v1/users", `{"name":"root2","role":"platform-admin"}`), 201)
	for _, try := range []struct{ method, path, body string }{
		{"POST", "/api/v1/bindings", `{"subject":"eve","role":"platform-admin"}`},
		{"POST", "/api/v1/bindings", `{"subject":"eve","role":"tenant-user","scope":"tenant","scope_id":"team-a"}`},
		{"POST", "/api/v1/roles", `{"id":"mine","permissions":["vm.delete"]}`},
		{"PATCH", "/api/v1/roles/giver", `{"permissions":["vm.*"]}`},
		{"POST", "/api/v1/users", `{"name":"mallory","role":"platform-admin"}`},
		{"POST", "/api/v1/tokens", `{"name":"t","role":"platform-admin"}`},
		{"POST", "/api/v1/users/" + root.ID + "/reset", `{}`},
	} {
		refused(t, w.do(try.method, try.path, try.body, token(giver)), 403, "")
	}
	rows := want[Page[domain.AuditRecord]](t, w.do("GET", "/api/v1/audit?limit=500", nil), 200)
	if len(rows.Items) == 0 {
		t.Error("nothing is in the audit log")
	}
}

// A stream tells a tenant of its own and of nothing else.
func TestTheStreamIsNarrowed(t *testing.T) {
	w := newTeams(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req := httptest.NewRequest("GET", w.url+"/api/v1/events?after=0", nil).WithContext(ctx)
	req.RequestURI = ""
	token(w.a)(req)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	w.change("POST", "/api/v1/vms/"+w.vmB+"/start", nil)
	w.change("POST", "/api/v1/vms/"+w.vmA+"/start", nil, token(w.a))
	var got strings.Builder
	buf := make([]byte, 4096)
	for !strings.Contains(got.String(), "web-of-a") || !strings.Contains(got.String(), "Start web-of-a: done") && got.Len() < 3000 {
		n, err := res.Body.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			t.Fatal(err, got.String())
		}
	}
	for _, name := range w.namesOfB {
		if strings.Contains(got.String(), name) {
			t.Errorf("the stream tells A of %s", name)
		}
	}
}

// What is not a VM is a tenant's too: it is made so, given so, counted so, and for nobody else there.
func TestTenantsOwnMoreThanVMs(t *testing.T) {
	w := newTeams(t)
	for path, name := range map[string]string{"/api/v1/volumes": "data-of-b", "/api/v1/images": "image-of-b", "/api/v1/templates": "template-of-b"} {
		if a := w.do("GET", path, nil, token(w.b)); a.StatusCode != 200 || !strings.Contains(string(a.body), name) || !strings.Contains(string(a.body), `"tenant":"team-b"`) {
			t.Errorf("GET %s by B: %d %.300s", path, a.StatusCode, a.body)
		}
		if a := w.do("GET", path, nil, token(w.a)); a.StatusCode != 200 || strings.Contains(string(a.body), "-of-b") {
			t.Errorf("GET %s by A: %d %.300s", path, a.StatusCode, a.body)
		}
	}
	if n := want[EstateNetwork](t, w.do("GET", "/api/v1/networks/"+w.netB, nil), 200); n.Tenant != "team-b" {
		t.Errorf("%+v", n.Tenant)
	}
	// A network of somebody else's does not exist for a VM; an own one does.
	vm := func(name, net string) map[string]any {
		return map[string]any{"name": name, "vcpus": 1, "memory_bytes": 256 << 20, "nics": []any{map[string]any{"network": net}}}
	}
	if a := w.do("POST", "/api/v1/vms?wait=20s", vm("x", "net-of-b"), token(w.a)); a.StatusCode < 400 {
		t.Errorf("A's VM is on B's network: %d %s", a.StatusCode, a.body)
	}
	w.change("POST", "/api/v1/vms", vm("y", "net-of-b"), token(w.b))
	// What a VM becomes is its tenant's, whoever asks.
	for name, by := range map[string][]opt{"made-by-a": {token(w.a)}, "made-by-the-admin": nil} {
		job := w.change("POST", "/api/v1/vms/"+w.vmA+"/template", map[string]any{"name": name}, by...)
		if job.Resource.Kind != "template" {
			t.Errorf("the job is about %+v", job.Resource)
		}
		if v := want[Template](t, w.do("GET", "/api/v1/templates/"+job.Resource.ID, nil, token(w.a)), 200); v.Tenant != "team-a" || v.Name != name || len(v.Versions) != 1 {
			t.Errorf("%+v", v)
		}
		if a := w.do("GET", "/api/v1/templates/"+name, nil, token(w.b)); a.StatusCode != 404 {
			t.Errorf("B reads %s: %d %s", name, a.StatusCode, a.body)
		}
	}
	refused(t, w.do("POST", "/api/v1/vms/"+w.vmA+"/template", map[string]any{"name": "made-by-a"}, token(w.a)), 409, "name")
	refused(t, w.do("POST", "/api/v1/vms/"+w.vmA+"/template", map[string]any{"name": "No Good"}, token(w.a)), 422, "name")
	refused(t, w.do("POST", "/api/v1/vms/"+w.vmA+"/template", map[string]any{"name": "x", "tenant": "team-b"}, token(w.a)), 422, "tenant")
	refused(t, w.do("POST", "/api/v1/vms/"+w.vmB+"/template", map[string]any{"name": "x"}, token(w.a)), 404, "")
	// What a tenant makes is its own.
	mine := w.change("POST", "/api/v1/volumes", map[string]any{"pool": "default", "name": "data-of-a", "size_bytes": 1 << 20}, token(w.a)).Resource.ID
	if v := want[map[string]any](t, w.do("GET", "/api/v1/volumes/"+mine, nil, token(w.a)), 200); v["tenant"] != "team-a" {
		t.Errorf("%+v", v)
	}
	refused(t, w.do("POST", "/api/v1/volumes", `{"pool":"default","name":"no","size_bytes":1048576,"tenant":"team-b"}`, token(w.a)), 422, "tenant")
	refused(t, w.do("POST", "/api/v1/volumes", fmt.Sprintf(`{"pool":"default","name":"copy","source":%q}`, w.volB), token(w.a)), 404, "")
	// The quota counts it, at making and at growing.
	want[Tenant](t, w.do("PATCH", "/api/v1/tenants/team-a", `{"quota":{"storage_bytes":3145728}}`), 200)
	refused(t, w.do("POST", "/api/v1/volumes", `{"pool":"default","name":"more","size_bytes":3145728}`, token(w.a)), 507, "")
	refused(t, w.do("PATCH", "/api/v1/volumes/"+mine, `{"size_bytes":4194304}`, token(w.a)), 507, "")
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 8 {
		wg.Go(func() {
			a := w.do("POST", "/api/v1/volumes?wait=20s", map[string]any{"pool": "default", "name": fmt.Sprintf("race-%d", i), "size_bytes": 1 << 20}, token(w.a))
			mu.Lock()
			defer mu.Unlock()
			if a.StatusCode == 202 {
				made++
			} else if a.StatusCode != 507 {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		})
	}
	wg.Wait()
	if u := want[Tenant](t, w.do("GET", "/api/v1/tenants/team-a", nil, token(w.a)), 200).Usage; made != 2 || u.StorageBytes != 3<<20 {
		t.Errorf("%d were made beside one of three: %+v", made, u)
	}
	// A single pool has a limit of its own, for volumes and for the disks of new VMs.
	pool := want[map[string]any](t, w.do("GET", "/api/v1/volumes/"+mine, nil, token(w.a)), 200)["pool_id"].(string)
	want[Tenant](t, w.do("PATCH", "/api/v1/tenants/team-a", map[string]any{"quota": map[string]any{"pools": map[string]int64{pool: 4 << 20}}}), 200)
	refused(t, w.do("POST", "/api/v1/volumes", `{"pool":"default","name":"pooled","size_bytes":2097152}`, token(w.a)), 507, "")
	refused(t, w.do("POST", "/api/v1/vms", `{"name":"pooled","vcpus":1,"memory_bytes":268435456,"disks":[{"pool":"default","size_bytes":2097152}]}`, token(w.a)), 507, "")
	refused(t, w.do("PATCH", "/api/v1/volumes/"+mine, `{"size_bytes":4194304}`, token(w.a)), 507, "")
	if u := want[Tenant](t, w.do("GET", "/api/v1/tenants/team-a", nil, token(w.a)), 200).Usage; u.Pools[pool] != 3<<20 {
		t.Errorf("by pools %+v", u.Pools)
	}
	want[Tenant](t, w.do("PATCH", "/api/v1/tenants/team-a", `{"quota":{"storage_bytes":3145728}}`), 200)
	// Given and taken.
	refused(t, w.do("DELETE", "/api/v1/tenants/team-b", nil), 409, "")
	give := func(tenant, verb, id string) answer {
		return w.do("POST", "/api/v1/tenants/"+tenant+"/"+verb, map[string]any{"ids": []string{id}})
	}
	for _, id := range []string{w.imgB, w.tmplB, w.netB} {
		want[Tenant](t, give("team-b", "take", id), 200)
	}
	want[Image](t, w.do("GET", "/api/v1/images/"+w.imgB, nil, token(w.a)), 200) // the estate's: for everybody
	refused(t, give("team-b", "take", w.imgB), 409, "")
	want[Tenant](t, give("team-a", "give", w.imgB), 200)
	refused(t, w.do("GET", "/api/v1/images/image-of-b", nil, token(w.b)), 404, "")
	refused(t, give("team-a", "give", w.volB), 507, "")
	refused(t, give("team-a", "give", "user_x"), 422, "ids")
	refused(t, give("team-a", "give", "img_nothing"), 404, "")
}

// A host that is given to a tenant is for it alone.
func TestHostsAreGivenToTenants(t *testing.T) {
	w := newTeams(t)
	give := func(tenant, verb string) Tenant {
		return want[Tenant](t, w.do("POST", "/api/v1/tenants/"+tenant+"/"+verb, map[string]any{"ids": []string{w.host}}), 200)
	}
	if got := give("team-b", "give"); len(got.Hosts) != 1 || got.Hosts[0] != w.host {
		t.Fatalf("%+v", got)
	}
	vm := func(name, host string) map[string]any {
		return map[string]any{"name": name, "vcpus": 1, "memory_bytes": 256 << 20, "host": host}
	}
	refused(t, w.do("POST", "/api/v1/vms", vm("a-1", "b1"), token(w.a)), 409, "host")
	refused(t, w.do("POST", "/api/v1/vms", vm("a-1", "any"), token(w.a)), 507, "")
	w.change("POST", "/api/v1/vms", vm("b-1", "any"), token(w.b))
	give("team-a", "give") // to several at once
	w.change("POST", "/api/v1/vms", vm("a-1", "any"), token(w.a))
	give("team-a", "take")
	give("team-b", "take")
	w.change("POST", "/api/v1/vms", vm("a-2", "b1"), token(w.a))
}
