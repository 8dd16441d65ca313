package access

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"novacron/domain"
)

var user = func(id string) domain.Ref { return domain.Ref{Kind: "user", ID: id, Name: id} }

func sample() Facts {
	return Facts{
		Roles:   []domain.Role{{ID: "starter", Permissions: []string{"vm.read", "vm.power"}}, {ID: "all-vm", Permissions: []string{"vm.*"}}},
		Tenants: []domain.Tenant{{ID: "a", Name: "Team A"}, {ID: "a-web", Name: "Web", Parent: "a"}, {ID: "b", Name: "Team B"}},
		Groups:  []domain.Group{{ID: "group_ops", Name: "ops", Members: []string{"olga", "bob"}}},
		Bindings: []domain.Binding{
			{ID: "1", Subject: user("root"), Role: PlatformAdmin, Scope: domain.ScopeEstate},
			{ID: "2", Subject: user("ann"), Role: TenantUser, Scope: domain.ScopeTenant, ScopeID: "a"},
			{ID: "3", Subject: user("bob"), Role: TenantAdmin, Scope: domain.ScopeTenant, ScopeID: "b"},
			{ID: "4", Subject: domain.Ref{Kind: "group", ID: "group_ops"}, Role: "starter", Scope: domain.ScopeEstate},
			{ID: "5", Subject: user("olga"), Role: "all-vm", Scope: domain.ScopeTenant, ScopeID: "b", Deny: true},
			{ID: "6", Subject: user("tag"), Role: "starter", Scope: domain.ScopeTag, ScopeID: "prod"},
			{ID: "7", Subject: user("one"), Role: "starter", Scope: domain.ScopeObject, ScopeID: "vm_1"},
			{ID: "8", Subject: user("day"), Role: "starter", Scope: domain.ScopeEstate, Condition: "hour >= 8 && hour < 18"},
			{ID: "9", Subject: user("net"), Role: "starter", Scope: domain.ScopeEstate, Condition: `in_network(address, "10.0.0.0/8")`},
			{ID: "10", Subject: user("sure"), Role: "starter", Scope: domain.ScopeEstate, Condition: "mfa_age < 900"},
			{ID: "11", Subject: user("label"), Role: "starter", Scope: domain.ScopeEstate, Condition: `"prod" in object.tags`},
			{ID: "12", Subject: user("gone"), Role: "no-such-role", Scope: domain.ScopeEstate},
			{ID: "13", Subject: user("broken"), Role: "starter", Scope: domain.ScopeEstate, Condition: "hour >"},
		},
	}
}

var noon = Circumstances{Now: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC), Address: "192.0.2.1", MFAAge: -1}

func TestDecisions(t *testing.T) {
	p := Compile(sample())
	vmA, vmWeb, vmB := Object{Kind: "vm", ID: "vm_1", Tenant: "a"}, Object{Kind: "vm", ID: "vm_2", Tenant: "a-web"}, Object{Kind: "vm", ID: "vm_3", Tenant: "b"}
	prod, own := Object{Kind: "vm", ID: "vm_4", Tags: []string{"prod"}}, Object{Kind: "vm", ID: "vm_5"}
	night, inside, fresh := noon, noon, noon
	night.Now = night.Now.Add(12 * time.Hour)
	inside.Address, fresh.MFAAge = "10.1.2.3", time.Minute
	for _, c := range []struct {
		who  string
		perm Permission
		on   Object
		at   Circumstances
		want bool
	}{
		{"root", RoleManage, Object{}, noon, true},
		{"root", VMDelete, vmB, noon, true},
		{"ann", VMPower, vmA, noon, true},
		{"ann", VMPower, vmWeb, noon, true}, // below hers
		{"ann", VMRead, vmB, noon, false},
		{"ann", VMRead, own, noon, false}, // the estate's own is not a tenant's
		{"ann", HostRead, Object{Kind: "host", ID: "host_1"}, noon, false},
		{"ann", TenantRead, Object{Kind: "tenant", Tenant: "a"}, noon, true}, // a tenant user sees its own
		{"ann", TenantRead, Object{Kind: "tenant", Tenant: "b"}, noon, false},
		{"bob", TenantRead, Object{Kind: "tenant", Tenant: "b"}, noon, true},
		{"bob", VMPower, vmA, noon, true},   // by the group
		{"bob", VMDelete, vmA, noon, false}, // only in b
		{"olga", VMPower, vmA, noon, true},
		{"olga", VMPower, vmB, noon, false}, // deny wins over the group's
		{"tag", VMPower, prod, noon, true},
		{"tag", VMPower, own, noon, false},
		{"one", VMPower, vmA, noon, true},
		{"one", VMPower, vmWeb, noon, false},
		{"day", VMPower, own, noon, true},
		{"day", VMPower, own, night, false},
		{"net", VMPower, own, noon, false},
		{"net", VMPower, own, inside, true},
		{"sure", VMPower, own, noon, false},
		{"sure", VMPower, own, fresh, true},
		{"label", VMPower, prod, noon, true},
		{"label", VMPower, own, noon, false},
		{"gone", VMRead, own, noon, false},
		{"broken", VMRead, own, noon, false},
		{"nobody", VMRead, own, noon, false},
	} {
		who := Who{Kind: "user", ID: c.who}
		if got := p.Grants(who, c.at).On(c.perm, c.on); got != c.want {
			t.Errorf("%s %s on %+v: %v", c.who, c.perm, c.on, got)
		}
		e := p.Explain(who, c.perm, c.on, c.at)
		if e.Allowed != c.want || e.Reason == "" || e.Allowed && (e.Rule == nil || e.By == "") {
			t.Errorf("%s %s on %+v is explained as %+v", c.who, c.perm, c.on, e)
		}
	}
}

func TestWhatIsHeldWhere(t *testing.T) {
	p := Compile(sample())
	ann, olga, root := p.Grants(Who{Kind: "user", ID: "ann"}, noon), p.Grants(Who{Kind: "user", ID: "olga"}, noon), p.Grants(Who{Kind: "user", ID: "root"}, noon)
	if !ann.Somewhere(VMRead) || ann.Everywhere(VMRead) || ann.Somewhere(HostRead) || !root.Everywhere(HostRead) || olga.Everywhere(VMRead) || !olga.Somewhere(VMRead) {
		t.Error("somewhere or everywhere is wrong")
	}
	if in := ann.TenantsWith(VMCreate); !slices.Equal(in, []string{"a", "a-web"}) {
		t.Errorf("ann may make VMs in %v", in)
	}
	s := ann.Sight()
	if s.Full() || s.Home != "a" || !s.Sees("vm_9", "a-web", "", nil) || s.Sees("vm_9", "b", "", nil) || s.Sees("vm_9", "", "", nil) {
		t.Errorf("ann sees %+v", s)
	}
	if s := olga.Sight(); s.Full() || !s.Sees("x", "a", "", nil) || s.Sees("x", "b", "", nil) || !s.Sees("x", "", "", nil) {
		t.Errorf("olga sees %+v", s)
	}
	if !root.Sight().Full() || p.Grants(Who{Kind: "user", ID: "nobody"}, noon).Sight().Sees("x", "", "", nil) {
		t.Error("root sees all and nobody nothing")
	}
	if ann.Key() == olga.Key() || ann.Key() != Compile(sample()).Grants(Who{Kind: "user", ID: "ann"}, noon).Key() {
		t.Error("a key is for who may do the same")
	}
	narrow := root.Narrowed([]string{"vm.read"})
	if !narrow.On(VMRead, Object{ID: "vm_1"}) || narrow.On(VMPower, Object{ID: "vm_1"}) || narrow.Somewhere(HostRead) || narrow.Key() == root.Key() {
		t.Error("a narrowed token does more than it is narrowed to")
	}
	if root.Narrowed(nil) != root {
		t.Error("narrowed to nothing is not narrowed")
	}
	token := p.Grants(Who{Kind: "token", ID: "tok_1", Own: &domain.Binding{ID: "tok_1", Subject: domain.Ref{Kind: "token", ID: "tok_1"}, Role: TenantUser, Scope: domain.ScopeTenant, ScopeID: "b"}}, noon)
	if !token.On(VMPower, Object{ID: "vm_3", Tenant: "b"}) || token.On(VMPower, Object{ID: "vm_1", Tenant: "a"}) {
		t.Error("a service account does not hold to its tenant")
	}
}

func TestWhoMay(t *testing.T) {
	p := Compile(sample())
	var names []string
	for _, h := range p.Whose(VMPower, Object{Kind: "vm", ID: "vm_3", Tenant: "b"}, noon) {
		names = append(names, h.Kind+" "+h.ID)
	}
	want := []string{"group group_ops", "user bob", "user day", "user root"}
	if !slices.Equal(names, want) {
		t.Errorf("who may: %v, want %v", names, want)
	}
}

func TestConditionsAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"hour":                          "not true or false",
		"hour >":                        "cannot be read",
		"nothing == 1":                  "cannot be read",
		strings.Repeat("true && ", 200): "longer",
	} {
		if _, err := ParseCondition(text); !domain.Is(err, domain.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	c, err := ParseCondition(`in_network(address, "rubbish")`)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Holds(noon, Object{}); ok || err == nil {
		t.Error("a network that is none was judged")
	}
	if c, err = ParseCondition(`object.tenant == "a" && weekday == "friday"`); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Holds(noon, Object{Tenant: "a"}); !ok || err != nil || !c.Object() {
		t.Errorf("%v %v", ok, err)
	}
}

// A condition that cannot be judged gives nothing, and takes what it takes.
func TestWhatCannotBeJudgedOpensNoDoor(t *testing.T) {
	f := Facts{Bindings: []domain.Binding{
		{ID: "1", Subject: user("x"), Role: PlatformAdmin, Scope: domain.ScopeEstate},
		{ID: "2", Subject: user("x"), Role: Auditor, Scope: domain.ScopeEstate, Deny: true, Condition: `in_network(address, "rubbish")`},
	}}
	g := Compile(f).Grants(Who{Kind: "user", ID: "x"}, noon)
	if g.On(VMRead, Object{ID: "vm_1"}) || !g.On(VMPower, Object{ID: "vm_1"}) {
		t.Error("a deny that cannot be judged did not deny")
	}
}

func TestRoleNames(t *testing.T) {
	if RoleName("admin") != PlatformAdmin || RoleName("viewer") != Auditor || RoleName("x") != "x" {
		t.Error("former names")
	}
	perms, unknown := Expand([]string{"vm.*", "vm.read", "nothing", "fly.*"})
	if len(perms) < 8 || slices.Contains(perms, HostRead) || !slices.Equal(unknown, []string{"nothing", "fly.*"}) {
		t.Errorf("%v %v", perms, unknown)
	}
	for _, r := range BuiltIn {
		if _, unknown := Expand(r.Permissions); len(unknown) > 0 || !domain.Slug(r.ID) {
			t.Errorf("%s: %v", r.ID, unknown)
		}
	}
}

// BenchmarkDecision: 10,000 users, 500 roles, 50,000 bindings.
func BenchmarkDecision(b *testing.B) {
	var f Facts
	for i := range 500 {
		f.Roles = append(f.Roles, domain.Role{ID: fmt.Sprintf("role-%d", i), Permissions: []string{"vm.read", "vm.power"}})
	}
	for i := range 100 {
		f.Tenants = append(f.Tenants, domain.Tenant{ID: fmt.Sprintf("t-%d", i)})
	}
	for i := range 50_000 {
		f.Bindings = append(f.Bindings, domain.Binding{ID: fmt.Sprint(i), Subject: user(fmt.Sprintf("u-%d", i%10_000)), Role: fmt.Sprintf("role-%d", i%500), Scope: domain.ScopeTenant, ScopeID: fmt.Sprintf("t-%d", i%100)})
	}
	p := Compile(f)
	o := Object{Kind: "vm", ID: "vm_1", Tenant: "t-99"}
	for i := range 10_000 {
		p.Grants(Who{Kind: "user", ID: f.Bindings[i].Subject.ID}, noon)
	}
	b.ResetTimer()
	for i := range b.N {
		p.Grants(Who{Kind: "user", ID: f.Bindings[i%10_000].Subject.ID}, noon).On(VMPower, o)
	}
}

func TestFoldersHoldBelow(t *testing.T) {
	f := sample()
	f.Folders = []domain.Folder{{ID: "fold_1", Tenant: "a", Path: "web"}, {ID: "fold_2", Tenant: "a", Parent: "fold_1", Path: "web/prod"}, {ID: "fold_3", Tenant: "a", Path: "db"}}
	f.Bindings = append(f.Bindings,
		domain.Binding{ID: "20", Subject: user("fred"), Role: TenantUser, Scope: domain.ScopeFolder, ScopeID: "fold_1"},
		domain.Binding{ID: "21", Subject: user("ann"), Role: "starter", Scope: domain.ScopeFolder, ScopeID: "fold_2", Deny: true})
	p := Compile(f)
	in := func(folder string) Object { return Object{Kind: "vm", ID: "vm_9", Tenant: "a", Folder: folder} }
	fred, ann := p.Grants(Who{Kind: "user", ID: "fred"}, noon), p.Grants(Who{Kind: "user", ID: "ann"}, noon)
	for folder, want := range map[string][2]bool{"fold_1": {true, true}, "fold_2": {true, false}, "fold_3": {false, true}, "": {false, true}} {
		if fred.On(VMPower, in(folder)) != want[0] || ann.On(VMPower, in(folder)) != want[1] {
			t.Errorf("in %q fred may %v and ann %v", folder, fred.On(VMPower, in(folder)), ann.On(VMPower, in(folder)))
		}
		if fred.Sight().Sees("vm_9", "a", folder, nil) != want[0] || ann.Sight().Sees("vm_9", "a", folder, nil) != want[1] {
			t.Errorf("in %q sight and decision differ", folder)
		}
	}
	if got := fred.FoldersWith(VMCreate); !slices.Equal(got, []string{"fold_1"}) || !fred.Sight().SeesFolder(f.Folders[1]) || fred.Sight().SeesFolder(f.Folders[2]) || !fred.Sight().Looks() {
		t.Errorf("fred: %v, %+v", got, fred.Sight())
	}
	if e := p.Explain(Who{Kind: "user", ID: "fred"}, VMPower, in("fold_2"), noon); !e.Allowed || e.Rule.Scope != "folder web" {
		t.Errorf("%+v", e)
	}
	// What somebody has been given has a print: it changes with a binding, a role and a group, and with nothing else.
	who, was := Who{Kind: "user", ID: "fred"}, p.Print(Who{Kind: "user", ID: "fred"})
	f.Bindings = f.Bindings[:len(f.Bindings)-1]
	if Compile(f).Print(who) != was {
		t.Error("what ann is denied is fred's too")
	}
	f.Groups[0].Members = append(f.Groups[0].Members, "fred")
	if Compile(f).Print(who) == was {
		t.Error("a group's role changes nothing")
	}
}

// What a job carries of somebody's rights decides as they did, through JSON.
func TestKeptRightsDecideTheSame(t *testing.T) {
	p := Compile(sample())
	inside := noon
	inside.Address, inside.MFAAge = "10.1.2.3", time.Minute
	objects := []Object{{}, {Kind: "vm", ID: "vm_1", Tenant: "a"}, {Kind: "vm", ID: "vm_2", Tenant: "a-web"}, {Kind: "vm", ID: "vm_3", Tenant: "b", Tags: []string{"prod"}}, {Kind: "tenant", Tenant: "b"}}
	for _, who := range []string{"root", "ann", "bob", "olga", "tag", "one", "day", "net", "sure", "label", "gone", "broken"} {
		for _, at := range []Circumstances{noon, inside} {
			for _, mask := range [][]string{nil, {"vm.read"}, {"no.such"}} {
				g := p.Grants(Who{Kind: "user", ID: who}, at).Narrowed(mask)
				raw, err := json.Marshal(g.Keep())
				if err != nil {
					t.Fatal(err)
				}
				var k Kept
				if err := json.Unmarshal(raw, &k); err != nil {
					t.Fatal(err)
				}
				back := k.Restore()
				for _, perm := range All {
					for _, o := range objects {
						if g.On(perm, o) != back.On(perm, o) || g.Everywhere(perm) != back.Everywhere(perm) || !slices.Equal(g.TenantsWith(perm), back.TenantsWith(perm)) {
							t.Errorf("%s %v: %s on %+v: %t, and kept %t", who, mask, perm, o, g.On(perm, o), back.On(perm, o))
						}
					}
				}
				was, is := *g.Sight(), *back.Sight()
				was.Key, is.Key = "", ""
				if !reflect.DeepEqual(was, is) {
					t.Errorf("%s sees %+v, and kept %+v", who, was, is)
				}
			}
		}
	}
}
