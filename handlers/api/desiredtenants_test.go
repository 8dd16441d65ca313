package api

import (
	"strings"
	"testing"

	"novacron/auth/access"
	"novacron/domain/desired"
)

const ofA = `owner: prod
templates:
  - {name: small-of-a, spec: {vcpus: 1, memory_bytes: 128 MiB}}
vms:
  - {name: one-of-a, template: small-of-a@1, tags: [db]}
  - {name: two-of-a, host: b1, vcpus: 1, memory_bytes: 128 MiB, disks: [{pool: default, size_bytes: 1 GiB}]}
affinity_rules:
  - {name: apart, kind: anti-affinity, scope: vm-vm, vms: [one-of-a, two-of-a]}
`

// TestTenantsPlanTheirOwn lets the people of two tenants and of the estate apply under owners of one name: each sees, changes and prunes its own.
func TestTenantsPlanTheirOwn(t *testing.T) {
	w := newTeams(t)
	planAs := func(who, text string, more ...any) DesiredPlan {
		t.Helper()
		return want[DesiredPlan](t, w.do("POST", "/api/v1/plan", files(text, more...), token(who)), 200)
	}
	applyAs := func(who, text string, more ...any) {
		t.Helper()
		w.change("POST", "/api/v1/apply", files(text, more...), token(who))
	}
	if got := actions(planAs(w.a, ofA)); got != "create template small-of-a\ncreate vm one-of-a\ncreate vm two-of-a\ncreate affinity apart@team-a" {
		t.Errorf("%s", got)
	}
	applyAs(w.a, ofA)
	if p := planAs(w.a, ofA, "prune", true); !p.Empty || p.Summary["keep"] != 4 {
		t.Errorf("%s", actions(p))
	}
	for _, name := range []string{"one-of-a", "two-of-a"} {
		if vm, there := w.vmNamed(name); !there || vm.Tenant != "team-a" {
			t.Errorf("%+v", vm)
		}
	}
	// What is exported is the tenant's alone, and applies back.
	for _, q := range []string{"", "?owner=prod", "?kind=vm"} {
		text := want[EstateFile](t, w.do("GET", "/api/v1/export"+q, nil, token(w.a)), 200).Text
		if p := planAs(w.a, text, "owner", "prod"); !p.Empty || !strings.Contains(text, "two-of-a") {
			t.Errorf("%s\n%s", actions(p), text)
		}
		for _, name := range append(w.namesOfB, "default:", "tenants:", "networks:") {
			if strings.Contains(text, name) {
				t.Errorf("A's export speaks of %s:\n%s", name, text)
			}
		}
	}
	if text := want[EstateFile](t, w.do("GET", "/api/v1/export?kind=tenant", nil, token(w.a)), 200).Text; strings.Contains(text, "team") {
		t.Errorf("%s", text)
	}

	// B's and the estate's owner are called the same, and are others.
	applyAs(w.b, "owner: prod\nvms:\n  - {name: three-of-b, vcpus: 1, memory_bytes: 128 MiB}\n")
	w.change("POST", "/api/v1/apply", files("owner: prod\nvms:\n  - {name: four, vcpus: 1, memory_bytes: 128 MiB}\n", "prune", true))
	for who, names := range map[string][]string{w.a: {"one-of-a", "two-of-a"}, w.b: {"three-of-b"}} {
		got := actions(planAs(who, "owner: prod\n", "prune", true))
		for _, n := range []string{"one-of-a", "two-of-a", "three-of-b", "four"} {
			if strings.Contains(got, n) != strings.Contains(strings.Join(names, " "), n) {
				t.Errorf("pruning %q: %s", names, got)
			}
		}
	}
	if got := actions(w.plan("owner: prod\n", "prune", true)); got != "delete vm four" {
		t.Errorf("the estate's prune: %s", got)
	}
	if got := actions(w.plan("owner: prod\nvms:\n  - {name: one-of-a, vcpus: 2}\n")); !strings.Contains(got, "blocked vm one-of-a") || !strings.Contains(got, "the tenant team-a") {
		t.Errorf("%s", got)
	}

	// Names of others are not there, and making them fails without saying more than that; what is not the tenant's is refused.
	for _, name := range []string{"web-of-b", "of-the-estate", "three-of-b", "four"} {
		text := "owner: prod\nvms:\n  - {name: " + name + ", vcpus: 4, memory_bytes: 128 MiB}\n"
		if got := actions(planAs(w.a, text)); !strings.Contains(got, "create vm "+name) {
			t.Errorf("%s", got)
		}
		j := want[Job](t, w.do("POST", "/api/v1/apply?wait=20s", files(text), token(w.a)), 202)
		if j.Error == nil || !strings.Contains(j.Error.Message+w.reasons(j), "is taken") {
			t.Errorf("%+v", j)
		}
		if vm, _ := w.vmNamed(name); vm.VCPUs != 1 || vm.Tenant == "team-a" {
			t.Errorf("A changed %+v", vm)
		}
	}
	for text, says := range map[string]string{
		"tenants:\n  - {name: team-a, quota: {vms: 99}}\n":                                                "the estate's",
		"networks:\n  - {name: lan, host: b1, mode: isolated}\n":                                          "the estate's",
		"pools:\n  - {name: p, host: b1, type: dir, target: /p}\n":                                        "the estate's",
		"policies:\n  - {scope: tenant, name: team-a, max_in: 1}\n":                                       "the estate's",
		"vms:\n  - {name: x, template: template-of-b}\n":                                                  "no template",
		"affinity_rules:\n  - {name: x, kind: affinity, scope: vm-vm, vms: [web-of-a, web-of-b]}\n":       "no VM “web-of-b”",
		"affinity_rules:\n  - {name: rule-of-b, kind: affinity, scope: vm-vm, vms: [of-the-estate, x]}\n": "no VM “of-the-estate”",
	} {
		if got := actions(planAs(w.a, "owner: prod\n"+text)); !strings.Contains(got, says) {
			t.Errorf("%s: %s", text, got)
		}
		refused(t, w.do("POST", "/api/v1/apply", files("owner: prod\n"+text), token(w.a)), 409, "")
	}
	for _, text := range []string{
		"vms:\n  - {name: x, tenant: team-b, vcpus: 1, memory_bytes: 128 MiB}\n",
		"affinity_rules:\n  - {name: x, tenant: team-b, kind: affinity, scope: vm-vm, tags: [db]}\n",
		"templates:\n  - {name: x, tenant: team-b, spec: {vcpus: 1, memory_bytes: 128 MiB}}\n",
	} {
		refused(t, w.do("POST", "/api/v1/apply", files("owner: prod\n"+text), token(w.a)), 403, "")
	}
	for _, spec := range []string{"boot: {kernel: /etc/shadow}", "disks: [{source: /dev/sda}]"} { // what is the host's
		refused(t, w.do("POST", "/api/v1/apply", files("owner: prod\nvms:\n  - {name: x, vcpus: 1, memory_bytes: 128 MiB, "+spec+"}\n"), token(w.a)), 422, "")
		j := want[Job](t, w.do("POST", "/api/v1/apply?wait=20s", files("owner: prod\ntemplates:\n  - {name: x, spec: {vcpus: 1, memory_bytes: 128 MiB, "+spec+"}}\n"), token(w.a)), 202)
		if j.Error == nil {
			t.Errorf("a tenant's template names %s", spec)
		}
	}

	// Who only uses VMs of the tenant changes no template; who only looks changes nothing.
	user := w.serviceToken("u", access.TenantUser, "team-a")
	if p := planAs(user, ofA); !p.Empty {
		t.Errorf("%s", actions(p))
	}
	refused(t, w.do("POST", "/api/v1/apply", files(strings.Replace(ofA, "{vcpus: 1, memory_bytes: 128", "{vcpus: 1, memory_bytes: 192", 1)), token(user)), 403, "")
	applyAs(user, strings.Replace(ofA, "two-of-a, host: b1, vcpus: 1", "two-of-a, host: b1, vcpus: 2", 1))
	if vm, _ := w.vmNamed("two-of-a"); vm.VCPUs != 2 {
		t.Errorf("%+v", vm)
	}

	// Drift is told to whose files it is.
	one, _ := w.vmNamed("two-of-a")
	w.change("PATCH", "/api/v1/vms/"+one.ID, map[string]any{"vcpus": 3})
	drift := func(who string) []desired.Drift {
		return want[Page[desired.Drift]](t, w.do("GET", "/api/v1/drift", nil, token(who)), 200).Items
	}
	if d := drift(w.a); len(d) != 1 || d[0].Name != "two-of-a" {
		t.Errorf("%+v", d)
	}
	if d := drift(w.b); len(d) != 0 {
		t.Errorf("%+v", d)
	}
	refused(t, w.do("POST", "/api/v1/drift/vm/two-of-a/adopt", nil, token(w.b)), 404, "")
	w.change("POST", "/api/v1/drift/vm/two-of-a/revert", nil, token(w.a))
	if d := drift(w.a); len(d) != 0 {
		t.Errorf("%+v", d)
	}

	// The job is the tenant's, and pruning takes only its own.
	j := w.change("POST", "/api/v1/apply", files("owner: prod\n", "prune", true, "prune_disks", true), token(w.a))
	want[Job](t, w.do("GET", "/api/v1/jobs/"+j.ID, nil, token(w.a)), 200)
	refused(t, w.do("GET", "/api/v1/jobs/"+j.ID, nil, token(w.b)), 404, "")
	for name, there := range map[string]bool{"one-of-a": false, "two-of-a": false, "web-of-a": true, "three-of-b": true, "four": true, "web-of-b": true} {
		if _, is := w.vmNamed(name); is != there {
			t.Errorf("%s is there: %t", name, is)
		}
	}
	// Roles in two tenants of which none is above the other: it has to be said which is meant.
	refused(t, w.do("POST", "/api/v1/plan", files("owner: prod\n", "tenant", "team-b"), token(w.a)), 422, "tenant")
	refused(t, w.do("POST", "/api/v1/plan", files("owner: prod\n", "tenant", "team-b")), 422, "tenant")
}

// reasons are what a job left of what it did not do.
func (w *world) reasons(j Job) string {
	w.t.Helper()
	return string(w.do("GET", "/api/v1/jobs/"+j.ID, nil).body)
}
