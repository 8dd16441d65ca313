package affinity

import (
	"strings"
	"testing"

	"novacron/domain"
)

func TestJudge(t *testing.T) {
	vms := []VM{{ID: "a", Name: "a"}, {ID: "b", Name: "b"}, {ID: "c", Name: "c", Tags: []string{"gpu"}}, {ID: "d", Name: "d"}}
	at := map[string]string{"a": "h1", "b": "h1", "d": "h2"}
	where := func(vm string) []string {
		if at[vm] == "" {
			return nil
		}
		return []string{at[vm]}
	}
	with := func(r domain.AffinityRule) *Rules { return New([]domain.AffinityRule{r}, vms) }
	for _, c := range []struct {
		name     string
		rule     domain.AffinityRule
		vm, host string
		along    string
		says     string
		hard     bool
	}{
		{"apart, free host", domain.AffinityRule{Kind: domain.AntiAffinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"a", "d"}}, "a", "h3", "", "", false},
		{"apart, taken host", domain.AffinityRule{Kind: domain.AntiAffinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"a", "d"}}, "a", "h2", "", "kept apart from d", true},
		{"apart, softly", domain.AffinityRule{Kind: domain.AntiAffinity, Scope: domain.ScopeVMs, VMs: []string{"a", "d"}}, "a", "h2", "", "kept apart", false},
		{"together, alone", domain.AffinityRule{Kind: domain.Affinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"a", "b"}}, "a", "h2", "", "kept with b", true},
		{"together, both", domain.AffinityRule{Kind: domain.Affinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"a", "b"}}, "a", "h2", "b", "", false},
		{"apart already", domain.AffinityRule{Kind: domain.Affinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"a", "d"}}, "a", "h3", "", "kept with d", false},
		{"the rule's host", domain.AffinityRule{Kind: domain.Affinity, Scope: domain.ScopeHosts, Hard: true, VMs: []string{"a"}, Hosts: []string{"h2"}}, "a", "h2", "", "", false},
		{"another host", domain.AffinityRule{Kind: domain.Affinity, Scope: domain.ScopeHosts, Hard: true, VMs: []string{"a"}, Hosts: []string{"h2"}}, "a", "h3", "", "other hosts only", true},
		{"not there", domain.AffinityRule{Kind: domain.AntiAffinity, Scope: domain.ScopeHosts, Hard: true, Tags: []string{"gpu"}, Hosts: []string{"h2"}}, "c", "h2", "", "does not run on this host", true},
		{"a new VM, with those that run", domain.AffinityRule{Kind: domain.Affinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"a"}, Tags: []string{"gpu"}}, "c", "h2", "", "kept with a", true},
		{"a new VM beside them", domain.AffinityRule{Kind: domain.Affinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"a"}, Tags: []string{"gpu"}}, "c", "h1", "", "", false},
	} {
		got := with(c.rule).Judge(c.vm, c.host, where, map[string]bool{c.along: c.along != ""})
		switch {
		case c.says == "" && len(got) > 0, c.says != "" && (len(got) != 1 || !strings.Contains(got[0].Msg, c.says) || got[0].Hard != c.hard):
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	r := with(domain.AffinityRule{Kind: domain.Affinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"a", "b"}})
	if got := r.Together("a"); len(got) != 1 || got[0] != "b" {
		t.Error(got)
	}
}

func TestRuleValidate(t *testing.T) {
	ok := domain.AffinityRule{Name: "r", Kind: domain.Affinity, Scope: domain.ScopeVMs, VMs: []string{"a", "b"}}
	if err := ok.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(r *domain.AffinityRule){
		"name": func(r *domain.AffinityRule) { r.Name = " " }, "kind": func(r *domain.AffinityRule) { r.Kind = "near" }, "scope": func(r *domain.AffinityRule) { r.Scope = "" },
		"vms": func(r *domain.AffinityRule) { r.VMs = r.VMs[:1] }, "vms.1": func(r *domain.AffinityRule) { r.VMs = []string{"a", "a"} }, "hosts": func(r *domain.AffinityRule) { r.Scope = domain.ScopeHosts },
		"notes": func(r *domain.AffinityRule) { r.Notes = strings.Repeat("x", 5000) },
	} {
		r := ok
		change(&r)
		e, is := r.Validate().(*domain.Error)
		if !is || len(e.Fields) == 0 || e.Fields[0].Field != field {
			t.Errorf("%s: %v", field, r.Validate())
		}
	}
	for _, want := range []string{"must run on one host", "should run on different hosts", "must run on the rule's hosts", "should not run on the rule's hosts"} {
		r := domain.AffinityRule{Hard: strings.HasPrefix(want, "must"), Kind: domain.Affinity, Scope: domain.ScopeVMs}
		if strings.Contains(want, "rule's") {
			r.Scope = domain.ScopeHosts
		}
		if strings.Contains(want, "different") || strings.Contains(want, "not") {
			r.Kind = domain.AntiAffinity
		}
		if r.Words() != want {
			t.Errorf("%s: %s", want, r.Words())
		}
	}
}
