package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"novacron/domain"
	"novacron/domain/desired"
)

const estateText = `owner: team-a
tenants:
  - name: Team A
    quota: {vms: 5}
networks:
  - name: lan
    host: hv-1
    mode: isolated
    ipv4: {address: 192.168.77.1/24}
policies:
  - scope: host
    name: hv-1
    require_tls: true
vms:
  - name: web-1
    host: hv-1
    tenant: Team A
    vcpus: 2
    memory_bytes: 256 MiB
    autostart: true
    tags: [front]
    disks:
      - {pool: default, size_bytes: 1 GiB}
    nics:
      - {network: lan}
`

func files(text string, more ...any) map[string]any {
	out := map[string]any{"files": []any{map[string]any{"name": "estate.yaml", "text": text}}}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i].(string)] = more[i+1]
	}
	return out
}

func (w *world) plan(text string, more ...any) DesiredPlan {
	w.t.Helper()
	return want[DesiredPlan](w.t, w.do("POST", "/api/v1/plan", files(text, more...)), 200)
}

// actions says in one line what a plan does.
func actions(p DesiredPlan) string {
	var out []string
	for _, it := range p.Items {
		say := fmt.Sprintf("%s %s %s", it.Action, it.Kind, it.Name)
		for _, f := range it.Fields {
			say += fmt.Sprintf(" [%s %s->%s %s]", f.Path, f.Live, f.Wanted, f.Why)
		}
		if it.Action == desired.Blocked {
			say += ": " + it.Reason
		}
		out = append(out, say)
	}
	return strings.Join(out, "\n")
}

func (w *world) vmNamed(name string) (VM, bool) {
	w.t.Helper()
	for _, vm := range want[Page[VM]](w.t, w.do("GET", "/api/v1/vms?limit=500", nil), 200).Items {
		if vm.Name == name {
			return want[VM](w.t, w.do("GET", "/api/v1/vms/"+vm.ID, nil), 200), true
		}
	}
	return VM{}, false
}

func TestDesiredState(t *testing.T) {
	w := newWorld(t)
	w.addHost("hv-1")
	p := w.plan(estateText)
	if got := actions(p); got != "create tenant team-a\ncreate network lan@hv-1\ncreate vm web-1\ncreate policy host/hv-1" || p.Empty || p.Summary["create"] != 4 {
		t.Fatalf("%s %v", got, p.Summary)
	}
	if _, there := w.vmNamed("web-1"); there {
		t.Fatal("a plan made something")
	}
	refused(t, w.do("POST", "/api/v1/apply", files(estateText), token(w.viewer)), http.StatusForbidden, "")
	w.change("POST", "/api/v1/apply", files(estateText))
	vm, there := w.vmNamed("web-1")
	if !there || vm.VCPUs != 2 || vm.Tenant != "team-a" || !vm.Autostart || len(vm.Tags) != 1 || vm.NICs[0].Network != "lan" {
		t.Fatalf("%+v", vm)
	}
	if p := w.plan(estateText); !p.Empty || p.Summary["keep"] != 4 {
		t.Errorf("what was applied is not as wanted:\n%s", actions(p))
	}
	w.change("POST", "/api/v1/apply", files(estateText)) // again changes nothing

	// what is written of the estate applies back without a change, by whoever is its owner or by nobody's
	for _, q := range []string{"", "?owner=team-a"} {
		text := want[EstateFile](t, w.do("GET", "/api/v1/export"+q, nil), 200).Text
		if p := w.plan(text, "owner", "team-a", "prune", true); !p.Empty {
			t.Errorf("%s\n%s", actions(p), text)
		}
	}

	// the file changes, somebody changes it by other means, both
	w.change("PATCH", "/api/v1/vms/"+vm.ID, map[string]any{"vcpus": 4})
	text := strings.Replace(estateText, "256 MiB", "512 MiB", 1)
	if got := actions(w.plan(text)); !strings.Contains(got, "update vm web-1 [memory_bytes 268435456->536870912 file] [vcpus 4->2 outside]") {
		t.Errorf("%s", got)
	}
	drift := func() []desired.Drift {
		return want[Page[desired.Drift]](t, w.do("GET", "/api/v1/drift", nil), 200).Items
	}
	d := drift()
	if len(d) != 1 || d[0].Name != "web-1" || d[0].Owner != "team-a" || len(d[0].Fields) != 1 || d[0].Fields[0].Path != "vcpus" || d[0].Fields[0].Live != "4" {
		t.Fatalf("%+v", d)
	}
	if a := w.do("POST", "/api/v1/drift/vm/web-1/ignore", nil); a.StatusCode != http.StatusNoContent {
		t.Errorf("%s", a.body)
	}
	if d := drift(); len(d) != 1 || len(d[0].Fields) != 0 || len(d[0].Ignored) != 1 {
		t.Errorf("%+v", d)
	}
	if a := w.do("POST", "/api/v1/drift/vm/web-1/ignore?undo=true", nil); a.StatusCode != http.StatusNoContent {
		t.Errorf("%s", a.body)
	}
	w.change("POST", "/api/v1/drift/vm/web-1/revert", nil)
	if vm, _ := w.vmNamed("web-1"); vm.VCPUs != 2 || len(drift()) != 0 {
		t.Errorf("%d vCPUs, %+v", vm.VCPUs, drift())
	}
	refused(t, w.do("POST", "/api/v1/drift/vm/web-1/revert", nil), http.StatusNotFound, "")
	w.change("PATCH", "/api/v1/vms/"+vm.ID, map[string]any{"vcpus": 3})
	refused(t, w.do("POST", "/api/v1/drift/vm/web-1/adopt", nil, token(w.viewer)), http.StatusForbidden, "")
	if a := w.do("POST", "/api/v1/drift/vm/web-1/adopt", nil); a.StatusCode != http.StatusNoContent || len(drift()) != 0 {
		t.Errorf("%s %+v", a.body, drift())
	}
	w.change("POST", "/api/v1/apply", files(text))
	if vm, _ := w.vmNamed("web-1"); vm.VCPUs != 2 || vm.MemoryBytes != 512*domain.MiB {
		t.Errorf("%+v", vm)
	}

	// a second owner is refused naming both, and nothing of the apply is done
	other := strings.Replace(text, "owner: team-a", "owner: team-b", 1) + "  - {name: new, vcpus: 1, memory_bytes: 64 MiB}\n"
	if pr := refused(t, w.do("POST", "/api/v1/apply", files(other)), http.StatusConflict, ""); !strings.Contains(pr.Detail, "team-a") || !strings.Contains(pr.Detail, "team-b") {
		t.Errorf("%s", pr.Detail)
	}
	if _, there := w.vmNamed("new"); there {
		t.Error("a refused apply made something")
	}
	refused(t, w.do("POST", "/api/v1/plan", files("owner: a\n---\nowner: b\n")), 422, "owner")
	refused(t, w.do("POST", "/api/v1/plan", files("owner: a\nvms:\n  - {name: x, vcpu: 1}\n")), 422, "estate.yaml:3")

	// only pruning deletes, and only what the owner applied before
	byHand := w.createVM("by-hand")
	less := "owner: team-a\ntenants:\n  - name: Team A\n"
	if got := actions(w.plan(less)); !strings.Contains(got, "leave vm web-1") || strings.Contains(got, "by-hand") {
		t.Errorf("%s", got)
	}
	if got := actions(w.plan(less, "prune", true)); !strings.Contains(got, "delete policy host/hv-1\ndelete vm web-1\ndelete network lan@hv-1") {
		t.Errorf("%s", got)
	}
	w.change("POST", "/api/v1/apply", files(less, "prune", true, "prune_disks", true))
	if _, there := w.vmNamed("web-1"); there {
		t.Error("it was not pruned")
	}
	want[VM](t, w.do("GET", "/api/v1/vms/"+byHand, nil), 200)
	if p := w.plan(less, "prune", true); !p.Empty || len(p.Items) != 1 {
		t.Errorf("%s", actions(p))
	}
}

// TestPlanOfMany plans for 500 VMs that are there, each with a difference.
func TestPlanOfMany(t *testing.T) {
	w := newWorld(t)
	w.mirrored(500)
	var text strings.Builder
	text.WriteString("owner: many\nvms:\n")
	for i := range 500 {
		fmt.Fprintf(&text, "  - name: b1-g%04d\n    vcpus: 16\n    notes: one of many\n    disks:\n      - {cache: none}\n", i)
	}
	if p := w.plan(text.String()); p.Summary["update"] != 500 {
		t.Errorf("%v", p.Summary)
	}
}

const templatedText = `owner: team-a
tenants:
  - name: Team A
    quota: {vms: 9}
pools:
  - {name: fast, host: hv-1, type: dir, target: /srv/fast}
templates:
  - name: small
    spec:
      vcpus: 1
      memory_bytes: 256 MiB
      title: a ${role}
      disks:
        - {pool: default, size_bytes: 1 GiB}
    parameters:
      - {name: vcpus, type: number, default: "1"}
      - {name: role, type: text, default: front}
vms:
  - name: web-1
    template: small@1
    tenant: Team A
    parameters: {vcpus: 2}
  - name: web-2
    template: small
    memory_bytes: 512 MiB
    tags: [front]
    autostart: true
policies:
  - {scope: estate, max_in: 2}
  - {scope: tenant, name: team-a, require_tls: true}
  - {scope: vm, name: web-1, never_migrate: true}
affinity_rules:
  - {name: webs apart, kind: anti-affinity, scope: vm-vm, hard: true, vms: [web-1, web-2]}
  - {name: here, tenant: team-a, kind: affinity, scope: vm-host, tags: [front], hosts: [hv-1]}
`

// TestDesiredTemplatesAndRules applies VMs of a template, policies and rules of affinity, changes each by the file and by other means, writes the estate
// and lets it go again.
func TestDesiredTemplatesAndRules(t *testing.T) {
	w := newWorld(t)
	w.addHost("hv-1")
	w.change("POST", "/api/v1/apply", files(templatedText))
	one, _ := w.vmNamed("web-1")
	two, _ := w.vmNamed("web-2")
	if one.VCPUs != 2 || one.Title != "a front" || one.Tenant != "team-a" || len(one.Disks) != 1 || two.VCPUs != 1 || two.MemoryBytes != 512*domain.MiB || !two.Autostart || len(two.Tags) != 1 {
		t.Errorf("%+v\n%+v", one, two)
	}
	exported := func() {
		t.Helper()
		for _, q := range []string{"", "?owner=team-a"} {
			text := want[EstateFile](t, w.do("GET", "/api/v1/export"+q, nil), 200).Text
			if p := w.plan(text, "owner", "team-a", "prune", true); !p.Empty || !strings.Contains(text, "affinity_rules:") || !strings.Contains(text, "template: small@") {
				t.Errorf("%s\n%s", actions(p), text)
			}
		}
	}
	if p := w.plan(templatedText); !p.Empty || p.Summary["keep"] != 10 {
		t.Errorf("%s", actions(p))
	}
	exported()

	// a version of the template that the files write, a VM that is brought to it, a parameter, a policy and a rule
	text := strings.NewReplacer("memory_bytes: 256 MiB", "memory_bytes: 384 MiB", "template: small@1", "template: small@2", "{vcpus: 2}", "{vcpus: 3}", "max_in: 2", "max_in: 3", "hard: true, vms", "vms").Replace(templatedText)
	if got := actions(w.plan(text)); !strings.Contains(got, "update policy estate [max_in 2->3 file]") || !strings.Contains(got, "update affinity webs apart [hard true-> removed]") ||
		!strings.Contains(got, "update vm web-1 [memory_bytes 268435456->402653184 file] [parameters.vcpus 2->3 file] [template small@1->small@2 file] [vcpus 2->3 file]") {
		t.Errorf("%s", got)
	}
	w.change("POST", "/api/v1/apply", files(text))
	if p := w.plan(text); !p.Empty {
		t.Errorf("%s", actions(p))
	}
	if one, _ = w.vmNamed("web-1"); one.VCPUs != 3 || one.MemoryBytes != 384*domain.MiB {
		t.Errorf("%+v", one)
	}

	// what others change of it is drift, of the rules as well
	w.change("PATCH", "/api/v1/vms/"+one.ID, map[string]any{"vcpus": 5})
	for _, r := range want[Page[AffinityRule]](t, w.do("GET", "/api/v1/affinity-rules", nil), 200).Items {
		if r.Name == "webs apart" {
			want[AffinityRule](t, w.do("PATCH", "/api/v1/affinity-rules/"+r.ID, map[string]any{"notes": "mine"}), 200)
			want[AffinityRule](t, w.do("PATCH", "/api/v1/affinity-rules/"+r.ID, map[string]any{"kind": "affinity"}), 200)
		}
	}
	var said []string
	for _, d := range want[Page[desired.Drift]](t, w.do("GET", "/api/v1/drift", nil), 200).Items {
		for _, f := range d.Fields {
			said = append(said, d.Name+" "+f.Path)
		}
	}
	if got := strings.Join(said, ", "); got != "web-1 vcpus, webs apart kind" {
		t.Errorf("%s", got)
	}
	exported()
	w.change("POST", "/api/v1/drift/affinity/webs%20apart/revert", nil)
	w.change("POST", "/api/v1/drift/vm/web-1/revert", nil)
	if p := w.plan(text); !p.Empty {
		t.Errorf("%s", actions(p))
	}

	w.change("POST", "/api/v1/apply", files("owner: team-a\n", "prune", true, "prune_disks", true))
	if p := w.plan("owner: team-a\n", "prune", true); len(p.Items) != 0 {
		t.Errorf("%s", actions(p))
	}
	if rules := want[Page[AffinityRule]](t, w.do("GET", "/api/v1/affinity-rules", nil), 200).Items; len(rules) != 0 {
		t.Errorf("%+v", rules)
	}
}
