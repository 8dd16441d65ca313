package api

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"novacron/auth/access"
	"novacron/domain"
)

// A card on a network that is marked as public counts when the VM is made, gets another card, is moved to it, copied or given away; also when many ask at
// once, and also for a card on the bridge that the network is made of.
func TestPublicAddressesAreCounted(t *testing.T) {
	w := newTeams(t)
	wan := w.change("POST", "/api/v1/networks", map[string]any{"name": "wan", "mode": "isolated", "host": w.host}).Resource.ID
	lan := domain.NetworkID(w.host, "default")
	at := "/api/v1/networks/" + wan + "/public"
	refused(t, w.do("PUT", at, `{"public":true}`, token(w.a)), 404, "")
	if n := want[EstateNetwork](t, w.do("PUT", at, `{"public":true}`), 200); !n.Public {
		t.Errorf("%+v", n)
	}
	want[EstateNetwork](t, w.do("PUT", at, `{"public":true}`), 200)
	bridge := ""
	for _, n := range want[Page[EstateNetwork]](t, w.do("GET", "/api/v1/networks?limit=100", nil), 200).Items {
		if n.Public != (n.Name == "wan") {
			t.Errorf("%s is public: %v", n.Name, n.Public)
		}
		if n.ID == wan {
			bridge = n.Bridge
		}
	}
	want[Tenant](t, w.do("PATCH", "/api/v1/tenants/team-a", `{"quota":{"public_addresses":3}}`), 200)
	used := func(n int) {
		t.Helper()
		got := want[Tenant](t, w.do("GET", "/api/v1/tenants/team-a", nil, token(w.a)), 200)
		if got.Usage.PublicAddresses != n || got.Quota.PublicAddresses != 3 {
			t.Errorf("usage %+v, quota %+v; %d addresses are wanted", got.Usage, got.Quota, n)
		}
	}
	vm := func(name string, nics ...any) map[string]any {
		return map[string]any{"name": name, "vcpus": 1, "memory_bytes": 256 << 20, "nics": nics}
	}
	on := func(name string) map[string]any { return map[string]any{"network": name} }

	var wg sync.WaitGroup
	var mu sync.Mutex
	status := map[int]int{}
	for i := range 6 {
		wg.Go(func() {
			a := w.do("POST", "/api/v1/vms?wait=20s", vm(fmt.Sprintf("public-%d", i), on("wan"), on("default")), token(w.a))
			mu.Lock()
			defer mu.Unlock()
			status[a.StatusCode]++
			if a.StatusCode == 507 && !strings.Contains(string(a.body), "public addresses") {
				t.Errorf("%s", a.body)
			}
		})
	}
	wg.Wait()
	if status[202] != 3 || status[507] != 3 {
		t.Errorf("answers: %v; three addresses are allowed", status)
	}
	used(3)

	// With one free, of attaching and copying only one goes; on the private network all go.
	var first VM
	for _, v := range want[Page[VM]](t, w.do("GET", "/api/v1/vms?filter=public-", nil, token(w.a)), 200).Items {
		if first.ID == "" {
			first = v
		}
	}
	nics := "/api/v1/vms/" + w.vmA + "/nics"
	refused(t, w.do("POST", nics, on("wan"), token(w.a)), 507, "")
	refused(t, w.do("POST", "/api/v1/vms/"+first.ID+"/clone", `{"name":"copy"}`, token(w.a)), 507, "")
	w.change("POST", nics, on("default"), token(w.a))
	mac := want[VM](t, w.do("GET", "/api/v1/vms/"+w.vmA, nil, token(w.a)), 200).NICs[0].MAC
	refused(t, w.do("PATCH", nics+"/"+mac, `{"network":"wan"}`, token(w.a)), 507, "")
	w.change("DELETE", "/api/v1/vms/"+first.ID, nil, token(w.a))
	used(2)
	w.change("PATCH", nics+"/"+mac, map[string]any{"network": "wan"}, token(w.a))
	used(3)
	if bridge != "" { // the bridge is the network
		refused(t, w.do("POST", nics, map[string]any{"bridge": bridge}, token(w.a)), 507, "")
	}

	// A VM that comes from the estate brings its cards.
	own := w.change("POST", "/api/v1/vms", vm("own-public", on("wan"))).Resource.ID
	refused(t, w.do("PATCH", "/api/v1/vms/"+own, `{"tenant":"team-a"}`), 507, "")
	want[VM](t, w.do("PATCH", "/api/v1/vms/"+own, `{"tenant":"team-b"}`), 200)

	// Not public any more: nothing counts. The change is in the log.
	want[EstateNetwork](t, w.do("PUT", at, `{"public":false}`), 200)
	used(0)
	w.change("POST", nics, on("wan"), token(w.a))
	rows := want[Page[domain.AuditRecord]](t, w.do("GET", "/api/v1/audit?action=network.changed", nil), 200).Items
	if len(rows) != 2 || rows[0].Before != `{"public":true}` || rows[1].After != `{"public":true}` {
		t.Errorf("%+v", rows)
	}
	if a := w.do("PUT", "/api/v1/networks/"+lan+"/public", `{"public":true}`, token(w.viewer)); a.StatusCode != http.StatusForbidden {
		t.Errorf("a viewer marks a network: %d", a.StatusCode)
	}
}

// Who manages one tenant's networks lifts no quota with it, and a bridge of somebody else's network does not exist for a card.
func TestABridgeIsWhoseItsNetworkIs(t *testing.T) {
	w := newTeams(t)
	bridge := want[EstateNetwork](t, w.do("GET", "/api/v1/networks/"+w.netB, nil), 200).Bridge
	if bridge == "" {
		t.Fatal("the network has no bridge")
	}
	want[Role](t, w.do("POST", "/api/v1/roles", `{"id":"nets","permissions":["vm.*","job.read","network.*"]}`), 201)
	nets := w.serviceToken("nets", "nets", "team-b")
	refused(t, w.do("PUT", "/api/v1/networks/"+w.netB+"/public", `{"public":true}`, token(nets)), 403, "")
	card := map[string]any{"bridge": bridge}
	body := map[string]any{"name": "sneaky", "vcpus": 1, "memory_bytes": 256 << 20, "nics": []any{card}}
	if a := w.do("POST", "/api/v1/vms?wait=20s", body, token(w.a)); a.StatusCode < 400 || !strings.Contains(string(a.body), "free to use") {
		t.Errorf("A's VM is on the bridge of B's network: %d %s", a.StatusCode, a.body)
	}
	refused(t, w.do("POST", "/api/v1/vms/"+w.vmA+"/nics", card, token(w.a)), 422, "bridge")
	w.change("POST", "/api/v1/vms/"+w.vmB+"/nics", card, token(w.b))
}

// A tag by which a role is given is put on and taken off by who gives roles, and by nobody who may only edit VMs.
func TestTagsThatGiveRightsAreNotForEverybody(t *testing.T) {
	w := newTeams(t)
	ann, tok := w.person("ann")
	w.bind(ann, access.TenantUser, domain.ScopeTenant, "team-a", false)
	w.bind(ann, access.Operator, domain.ScopeTag, "ours", false)
	bob, _ := w.person("bob")
	w.bind(bob, access.Auditor, domain.ScopeTag, "watched", true)
	at := "/api/v1/vms/" + w.vmA
	want[VM](t, w.do("PATCH", at, `{"tags":["blue"]}`, token(tok)), 200)
	for _, body := range []string{`{"tags":["blue","ours"]}`, `{"tags":["blue","watched"]}`, `{"tags":["ours"],"memory_bytes":536870912}`} {
		p := refused(t, w.do("PATCH", at, body, token(tok)), 403, "tags")
		if !strings.Contains(p.Detail, "role.manage") {
			t.Errorf("%s", p.Detail)
		}
	}
	refused(t, w.do("POST", "/api/v1/vms", `{"name":"mine","vcpus":1,"memory_bytes":268435456,"tags":["ours"]}`, token(tok)), 403, "tags")
	if v := want[VM](t, w.do("GET", at, nil), 200); len(v.Tags) != 1 || v.MemoryBytes != 256<<20 {
		t.Errorf("%+v", v.Tags)
	}
	want[VM](t, w.do("PATCH", at, `{"tags":["blue","ours"]}`), 200) // the admin gives roles
	refused(t, w.do("PATCH", at, `{"tags":["blue"]}`, token(w.a)), 403, "tags")
	want[VM](t, w.do("PATCH", at, `{"tags":["ours","green"]}`, token(tok)), 200) // the rest may change
}

// The estate's templates are for everybody: a VM of one is the tenant's of who makes it, or whose the estate's people say.
func TestATenantMakesVMsOfTheEstatesTemplates(t *testing.T) {
	w := newTeams(t)
	tmpl := want[Template](t, w.do("POST", "/api/v1/templates", map[string]any{"name": "plain", "spec": map[string]any{"vcpus": 1, "memory_bytes": 256 << 20}}), 201)
	at := "/api/v1/templates/" + tmpl.ID + "/instantiate"
	of := func(id string) string {
		t.Helper()
		return want[VM](t, w.do("GET", "/api/v1/vms/"+id, nil), 200).Tenant
	}
	if got := of(w.change("POST", at, map[string]any{"name": "mine"}, token(w.a)).Resource.ID); got != "team-a" {
		t.Errorf("it is %q's", got)
	}
	refused(t, w.do("POST", at, `{"name":"theirs","tenant":"team-b"}`, token(w.a)), 422, "tenant")
	refused(t, w.do("POST", "/api/v1/templates/"+w.tmplB+"/instantiate", `{"name":"theirs"}`, token(w.a)), 404, "")
	if got := of(w.change("POST", at, map[string]any{"name": "given", "tenant": "team-b"}).Resource.ID); got != "team-b" {
		t.Errorf("it is %q's", got)
	}
}
