package desired

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"novacron/domain"
)

func parse(t *testing.T, text string) Set {
	t.Helper()
	set, err := Parse([]Source{{"estate.yaml", text}}, "")
	if err != nil {
		t.Fatalf("%v", err)
	}
	return set
}

const estate = `owner: team-a
networks:
  - name: lan
    hosts: [a, b]
    mode: isolated
---
vms:
  - name: web
    vcpus: 2
    memory_bytes: 4 GiB
    tags: [front]
    disks:
      - pool: default
        size_bytes: 1GiB
    nics:
      - network: lan
---
`

func TestParseReadsSeveralDocuments(t *testing.T) {
	set := parse(t, estate)
	if set.Owner != "team-a" || len(set.Objects) != 3 {
		t.Fatalf("%+v", set)
	}
	var keys []string
	for _, o := range set.Objects {
		keys = append(keys, string(o.Kind)+" "+o.Key+" "+o.At)
	}
	if want := []string{"network lan@a estate.yaml:3", "network lan@b estate.yaml:3", "vm web estate.yaml:8"}; !slices.Equal(keys, want) {
		t.Errorf("%q", keys)
	}
	v, err := Decode[VM](set.Objects[2].Spec)
	if err != nil || v.MemoryBytes != 4*domain.GiB || v.Disks[0].SizeBytes != domain.GiB {
		t.Errorf("%+v %v", v, err)
	}
}

func TestParseNamesWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ text, field, msg, want string }{
		"unknown field":   {"owner: a\nvms:\n  - name: x\n    vcpu: 2\n", "estate.yaml:4", "“vcpu” in vms.0", "vcpus"},
		"unknown section": {"owner: a\nvm:\n  - name: x\n", "estate.yaml:2", "“vm”", "vms"},
		"deep":            {"owner: a\nvms:\n  - name: x\n    boot:\n      kernal: /k\n", "estate.yaml:5", "“kernal” in vms.0.boot", "kernel"},
		"wrong kind":      {"owner: a\nvms:\n  - name: x\n    vcpus: many\n", "estate.yaml:4", "whole number", "whole number"},
		"bool":            {"owner: a\nvms:\n  - name: x\n    autostart: perhaps\n", "estate.yaml:4", "perhaps", "true or false"},
		"size":            {"owner: a\nvms:\n  - name: x\n    memory_bytes: lots\n", "estate.yaml:4", "not a size", "4 GiB"},
		"number as text":  {"owner: a\nvms:\n  - name: 12\n", "estate.yaml:3", "a text is needed", `"12"`},
		"no value":        {"owner: a\nvms:\n  - name: x\n    notes:\n", "estate.yaml:4", "no value", "left out"},
		"not a list":      {"owner: a\nvms:\n  name: x\n", "estate.yaml:3", "not a list", "hyphen"},
		"twice":           {"owner: a\nvms:\n  - name: x\n  - name: x\n", "estate.yaml:4", "asked for twice, at estate.yaml:3", "once"},
		"field twice":     {"owner: a\nvms:\n  - name: x\n    notes: a\n    notes: b\n", "estate.yaml:5", "stands twice", "once"},
		"no name":         {"owner: a\nvms:\n  - vcpus: 1\n", "estate.yaml:3", "a name is needed", "name"},
		"no host":         {"owner: a\nnetworks:\n  - name: x\n", "estate.yaml:3", "on which host", "host"},
		"two owners":      {"owner: a\n---\nowner: b\n", "owner", "names the owner b, and estate.yaml:1 names a", "one owner"},
		"bad owner":       {"owner: Team A\n", "owner", "“Team A”", "lower-case"},
		"no owner":        {"vms: []\n", "owner", "whose they are", "owner"},
		"no scope":        {"owner: a\npolicies:\n  - name: x\n", "estate.yaml:3", "what the policy is for", "estate"},
		"merge":           {"owner: a\nvms:\n  - <<: {}\n    name: x\n", "estate.yaml:3", "not read", "alias"},
		"not yaml":        {"owner: [\n", "estate.yaml", "not YAML", ""},
		"bomb":            {"owner: a\nx1: &a [1,1,1,1,1,1,1,1,1]\nvms: []\n", "estate.yaml:2", "“x1”", ""},
	} {
		_, err := Parse([]Source{{"estate.yaml", c.text}}, "")
		e, ok := err.(*domain.Error)
		if !ok || len(e.Fields) == 0 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f := e.Fields[0]
		if f.Field != c.field || !strings.Contains(f.Msg, c.msg) || !strings.Contains(f.Want, c.want) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestParseBoundsAliases(t *testing.T) {
	text := "owner: a\nvms:\n  - name: x\n    tags: &a0 [a,a,a,a,a,a,a,a,a,a]\n"
	deep := "owner: a\nvms:\n  - name: x\n    boot: &b\n      order: [hd]\n" + strings.Repeat("  - {name: y, boot: *b}\n", 3)
	if _, err := Parse([]Source{{"e", text}}, ""); err != nil {
		t.Error(err)
	}
	if _, err := Parse([]Source{{"e", deep}}, ""); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
	if _, err := Parse([]Source{{"e", strings.Repeat("#", maxBytes+1)}}, "a"); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Error(err)
	}
}

// Files that are deep, or grow as they are read, are refused in words and in time.
func TestParseBoundsWhatGrows(t *testing.T) {
	var grows strings.Builder
	grows.WriteString("owner: a\nvms:\n  - name: v\n    tags: &t [" + strings.Repeat("a,", 3000) + "a]\n")
	for i := range 800 {
		fmt.Fprintf(&grows, "  - {name: v%d, tags: *t}\n", i)
	}
	for name, c := range map[string]struct{ text, says string }{
		"deep":               {"owner: a\nvms: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "not a list of fields"},
		"deeper":             {"owner: a\nvms: " + strings.Repeat("[", 100_000), "not YAML"},
		"deep in a field":    {"owner: a\nvms:\n  - name: x\n    tags: [" + strings.Repeat("{a: ", 500) + "1" + strings.Repeat("}", 500) + "]\n", "not one value"},
		"grows by aliases":   {grows.String(), "too large or too deep"},
		"an alias in itself": {"owner: a\nvms: &v\n  - name: x\n    tags: *v\n", "not one value"},
	} {
		_, err := Parse([]Source{{"e", c.text}}, "")
		e, ok := err.(*domain.Error)
		if !ok || len(e.Fields) == 0 || !slices.ContainsFunc(e.Fields, func(f domain.FieldError) bool { return strings.Contains(f.Msg, c.says) }) {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

func live(v any) Live {
	raw, err := Encode(v)
	if err != nil {
		panic(err)
	}
	return Live{ID: "id", Spec: raw}
}

func facts(vms ...VM) Facts {
	f := Facts{Live: map[Kind]map[string]Live{KindVM: {}}, Records: map[Kind]map[string]Record{KindVM: {}}, Hosts: []string{"a", "b"}}
	for _, v := range vms {
		f.Live[KindVM][v.Name] = live(v)
	}
	return f
}

func web() VM {
	off := false
	return VM{Name: "web", Host: "a", VCPUs: 2, MemoryBytes: 4 * domain.GiB, Machine: "pc-q35-7.2", Autostart: &off, Tags: []string{"front"}, Notes: "",
		Disks: []domain.Disk{{Target: "vda", Device: "disk", Bus: "virtio", Pool: "default", Volume: "web.qcow2", Format: "qcow2"}, {Target: "sda", Device: "cdrom", Bus: "sata"}},
		NICs:  []domain.NIC{{Network: "lan", Model: "virtio", MAC: "52:54:00:00:00:01"}}}
}

func ask(t *testing.T, text string, f Facts, prune bool) Plan {
	t.Helper()
	p, err := Make(parse(t, text), f, prune)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func paths(i Item) (out []string) {
	for _, f := range i.Fields {
		out = append(out, f.Path+" "+string(f.Why))
	}
	return out
}

const webText = "owner: team-a\nvms:\n  - name: web\n    vcpus: 2\n    memory_bytes: 4 GiB\n    machine: q35\n    tags: [front]\n    disks:\n      - {pool: default, size_bytes: 1 GiB}\n    nics:\n      - network: lan\n"

func TestPlan(t *testing.T) {
	f := facts()
	if p := ask(t, webText, f, false); p.Items[0].Action != Create || p.Empty() {
		t.Errorf("%+v", p)
	}
	f = facts(web())
	p := ask(t, webText, f, false)
	if p.Items[0].Action != TakeOver || !p.Empty() {
		t.Errorf("%+v", p)
	}
	remember := func(text string) {
		o := parse(t, text).Objects[0]
		f.Records[KindVM]["web"] = Record{Kind: KindVM, Key: "web", Owner: "team-a", Last: o.Spec, ObjectID: "id"}
	}
	remember(webText)
	if p := ask(t, webText, f, false); p.Items[0].Action != Keep {
		t.Errorf("%+v", p)
	}
	if got := paths(ask(t, strings.Replace(webText, "vcpus: 2", "vcpus: 3", 1), f, false).Items[0]); !slices.Equal(got, []string{"vcpus file"}) {
		t.Errorf("%q", got)
	}
	other := web()
	other.MemoryBytes = domain.GiB
	f.Live[KindVM]["web"] = live(other)
	if got := paths(ask(t, webText, f, false).Items[0]); !slices.Equal(got, []string{"memory_bytes outside"}) {
		t.Errorf("%q", got)
	}
	if got := paths(ask(t, strings.Replace(webText, "4 GiB", "8 GiB", 1), f, false).Items[0]); !slices.Equal(got, []string{"memory_bytes both"}) {
		t.Errorf("%q", got)
	}
	f.Live[KindVM]["web"] = live(web())
	if got := paths(ask(t, strings.Replace(webText, "    tags: [front]\n", "", 1), f, false).Items[0]); !slices.Equal(got, []string{"tags removed"}) {
		t.Errorf("%q", got)
	}
	if p := ask(t, webText+"    host: b\n", f, false); p.Items[0].Action != Blocked || p.Err() == nil || !strings.Contains(p.Items[0].Reason, "novacron migrate") {
		t.Errorf("%+v", p)
	}
	if p := ask(t, webText+"    host: c\n", f, false); p.Items[0].Action != Blocked || !strings.Contains(p.Items[0].Reason, "no host “c”") {
		t.Errorf("%+v", p)
	}
	if p := ask(t, strings.Replace(webText, "team-a", "team-b", 1), f, false); p.Items[0].Action != Blocked || !strings.Contains(p.Items[0].Reason, "team-a") || !strings.Contains(p.Items[0].Reason, "team-b") {
		t.Errorf("%+v", p)
	}
}

func TestPrune(t *testing.T) {
	f := facts(web(), VM{Name: "by-hand", VCPUs: 1})
	f.Records[KindVM]["web"] = Record{Kind: KindVM, Key: "web", Owner: "team-a", Last: json.RawMessage(`{"name":"web"}`)}
	f.Records[KindVM]["gone"] = Record{Kind: KindVM, Key: "gone", Owner: "team-a"}
	f.Records[KindVM]["theirs"] = Record{Kind: KindVM, Key: "theirs", Owner: "team-b"}
	actions := func(p Plan) (out []string) {
		for _, i := range p.Items {
			out = append(out, string(i.Action)+" "+i.Name)
		}
		slices.Sort(out)
		return out
	}
	if got := actions(ask(t, "owner: team-a\n", f, false)); !slices.Equal(got, []string{"forget gone", "leave web"}) {
		t.Errorf("%q", got)
	}
	if got := actions(ask(t, "owner: team-a\n", f, true)); !slices.Equal(got, []string{"delete web", "forget gone"}) {
		t.Errorf("%q", got)
	}
}

func TestPlanGoesByWhatIsNeeded(t *testing.T) {
	p := ask(t, "owner: a\nvms:\n  - {name: v, vcpus: 1, memory_bytes: 1 GiB}\nnetworks:\n  - {name: n, host: a, mode: isolated}\ntenants:\n  - name: T\npools:\n  - {name: p, host: a, type: dir, target: /p}\n", facts(), false)
	var got []Kind
	for _, i := range p.Items {
		if i.Action != Create {
			t.Errorf("%+v", i)
		}
		got = append(got, i.Kind)
	}
	if !slices.Equal(got, []Kind{KindTenant, KindPool, KindNetwork, KindVM}) {
		t.Error(got)
	}
}

func TestEditVM(t *testing.T) {
	text := `owner: a
vms:
  - name: web
    vcpus: 4
    title: The web
    notes: hello
    tags: []
    boot: {order: [network]}
    disks:
      - {target: vda, cache: none, tune: {total_iops: 100}}
      - {pool: default, size_bytes: 2 GiB}
    nics: []
`
	f := facts(web())
	f.Records[KindVM]["web"] = Record{Kind: KindVM, Key: "web", Owner: "a", Last: json.RawMessage(`{"name":"web","nics":[{"network":"lan"}]}`)}
	it := ask(t, text, f, false).Items[0]
	e, err := EditVM(it.Spec, it.Wanted, it.Fields)
	if err != nil {
		t.Fatal(err)
	}
	c := e.Change
	if *c.VCPUs != 4 || *c.Title != "The web" || *e.Notes != "hello" || len(*e.Tags) != 0 || c.Boot.Order[0] != "network" {
		t.Errorf("%+v", e)
	}
	if len(c.ChangeDisks) != 1 || *c.ChangeDisks[0].Cache != "none" || c.ChangeDisks[0].Tune.TotalIOPS != 100 || len(c.AddDisks) != 1 || c.AddDisks[0].SizeBytes != 2*domain.GiB {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(c.RemoveNICs, []string{"52:54:00:00:00:01"}) {
		t.Errorf("%+v of %q", c.RemoveNICs, paths(it))
	}
}

func TestDrift(t *testing.T) {
	f := facts(web())
	o := parse(t, webText).Objects[0]
	r := Record{Kind: KindVM, Key: "web", Owner: "team-a", Last: o.Spec}
	f.Records[KindVM]["web"] = r
	f.Records[KindVM]["gone"] = Record{Kind: KindVM, Key: "gone", Owner: "team-a", Last: json.RawMessage(`{"name":"gone"}`)}
	drifts := func() []Drift {
		out, err := Drifts(f)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if d := drifts(); len(d) != 1 || !d[0].Missing || d[0].Name != "gone" {
		t.Fatalf("%+v", d)
	}
	other := web()
	other.VCPUs = 8
	f.Live[KindVM]["web"] = live(other)
	d := drifts()
	if len(d) != 2 || d[1].Name != "web" || len(d[1].Fields) != 1 || d[1].Fields[0].Live != "8" || d[1].Fields[0].Wanted != "2" {
		t.Fatalf("%+v", d)
	}
	r.Ignored = map[string]string{"vcpus": "8"}
	f.Records[KindVM]["web"] = r
	if d := drifts(); len(d[1].Fields) != 0 || len(d[1].Ignored) != 1 {
		t.Errorf("%+v", d)
	}
	other.VCPUs = 9
	f.Live[KindVM]["web"] = live(other)
	d = drifts()
	if len(d[1].Fields) != 1 {
		t.Errorf("what was ignored was another value: %+v", d)
	}
	last, err := Overlay(KindVM, r.Last, f.Live[KindVM]["web"].Spec, d[1].Fields)
	if err != nil {
		t.Fatal(err)
	}
	f.Records[KindVM]["web"] = Record{Kind: KindVM, Key: "web", Owner: "team-a", Last: last}
	if d := drifts(); len(d) != 1 {
		t.Errorf("it was adopted: %+v", d)
	}
}

func TestWhatIsWrittenReadsTheSame(t *testing.T) {
	on := true
	f := facts(web())
	f.Live[KindNetwork] = map[string]Live{"lan@a": live(Network{Name: "lan", Host: "a", Mode: "nat", IPv4: &domain.Subnet{Address: "10.0.0.1/24", DHCP: &domain.DHCP{Ranges: []domain.IPRange{{Start: "10.0.0.2", End: "10.0.0.9"}}}}})}
	f.Live[KindPool] = map[string]Live{"p@a": live(Pool{Name: "p", Host: "a", Type: "dir", Target: "/p", Autostart: &on})}
	f.Live[KindTenant] = map[string]Live{"team-a": live(Tenant{Name: "Team A", Quota: domain.Quota{VMs: 3, MemoryBytes: 3*domain.GiB + 1}})}
	f.Live[KindTemplate] = map[string]Live{"small": live(Template{Name: "small", Spec: domain.VMSpec{VCPUs: 1, MemoryBytes: domain.GiB, Disks: []domain.Disk{{Image: "debian"}}}})}
	f.Live[KindPolicy] = map[string]Live{"estate": live(Policy{Scope: "estate", MigrationPolicy: domain.MigrationPolicy{RequireTLS: true, DowntimeMS: []int{50}}})}
	var all []Object
	for _, k := range Kinds {
		for _, l := range f.Live[k] {
			all = append(all, Object{Kind: k, Spec: l.Spec})
		}
	}
	text, err := Write("team-a", all)
	if err != nil {
		t.Fatal(err)
	}
	p := ask(t, text, f, true)
	if len(p.Items) != 6 || !p.Empty() {
		t.Errorf("%s\n%+v", text, p)
	}
}

func templates() map[string][]domain.TemplateVersion {
	v := domain.TemplateVersion{TemplateID: "tmpl_1", Name: "web", Number: 1, Spec: domain.VMSpec{VCPUs: 1, MemoryBytes: domain.GiB, Title: "${role}"},
		Params: []domain.Parameter{{Name: "vcpus", Type: domain.ParamNumber, Default: "1"}, {Name: "role", Type: domain.ParamText, Default: "front"}, {Name: "disk_bytes", Type: domain.ParamSize, Default: "1 GiB"}}}
	v.Spec.Disks = []domain.Disk{{SizeBytes: domain.GiB}}
	w := v
	w.Number, w.Spec.MemoryBytes = 2, 2*domain.GiB
	return map[string][]domain.TemplateVersion{"web": {w, v}}
}

func TestVMsOfATemplate(t *testing.T) {
	made := func(number int, change func(*VM)) Facts {
		v := VM{Name: "w1", VCPUs: 2, MemoryBytes: domain.GiB, Title: "front"}
		v.Came(domain.VMTemplate{Name: "web", Number: number, Values: map[string]string{"vcpus": "2", "role": "front", "disk_bytes": "1073741824"}})
		if change != nil {
			change(&v)
		}
		f := facts(v)
		f.Templates = templates()
		return f
	}
	const text = "owner: a\nvms:\n  - name: w1\n    template: web@1\n    parameters: {vcpus: 2, disk_bytes: 1 GiB}\n"
	other := func(from, to string) string { return strings.Replace(text, from, to, 1) }
	none := facts()
	none.Templates = templates()
	if it := ask(t, text, none, false).Items[0]; it.Action != Create {
		t.Errorf("%+v", it)
	}
	for name, c := range map[string]struct {
		facts  Facts
		text   string
		action Action
		fields []string
		reason string
	}{
		"as made":                 {made(1, nil), text, TakeOver, nil, ""},
		"any version":             {made(1, nil), other("web@1", "web"), TakeOver, nil, ""},
		"the next version":        {made(1, nil), other("web@1", "web@2"), Update, []string{"memory_bytes first", "template first"}, ""},
		"a parameter":             {made(1, nil), other("vcpus: 2", "vcpus: 4"), Update, []string{"parameters.vcpus first", "vcpus first"}, ""},
		"what the file says wins": {made(1, nil), text + "    vcpus: 2\n    memory_bytes: 1 GiB\n    title: front\n", TakeOver, nil, ""},
		"changed at a host":       {made(1, func(v *VM) { v.MemoryBytes = 3 * domain.GiB }), text, Update, []string{"memory_bytes first"}, ""},
		"a parameter of birth":    {made(1, nil), other("1 GiB", "2 GiB"), Blocked, []string{"parameters.disk_bytes first"}, "counts when the VM is made"},
		"another template":        {made(1, func(v *VM) { v.Template = "db@1" }), text, Blocked, nil, "came of the template db"},
		"of no template":          {made(1, func(v *VM) { v.Template, v.Parameters = "", nil }), text, Blocked, nil, "came of no template"},
		"no such template":        {none, other("web@1", "mail"), Blocked, nil, "no template “mail”"},
		"no such version":         {none, other("web@1", "web@7"), Blocked, nil, "no version 7"},
		"a wrong value":           {none, other("vcpus: 2", "vcpus: two"), Blocked, nil, "two"},
		"no such parameter":       {none, other("vcpus: 2", "cpus: 2"), Blocked, nil, "cpus"},
		"made by the same file":   {none, "owner: a\nvms:\n  - {name: w1, template: new@1}\ntemplates:\n  - {name: new, spec: {vcpus: 1, memory_bytes: 1 GiB}}\n", Create, nil, ""},
	} {
		p := ask(t, c.text, c.facts, false)
		it := p.Items[len(p.Items)-1]
		if it.Kind != KindVM || it.Action != c.action || !strings.Contains(it.Reason, c.reason) || c.fields != nil && !slices.Equal(paths(it), c.fields) {
			t.Errorf("%s: %s %q %s", name, it.Action, paths(it), it.Reason)
		}
	}
	f := made(1, nil)
	it := ask(t, other("web@1", "web@2"), f, false).Items[0]
	if e, err := EditVM(it.Spec, it.Full, it.Fields); err != nil || e.Change.MemoryBytes == nil || *e.Change.MemoryBytes != 2*domain.GiB || e.Change.VCPUs != nil {
		t.Errorf("%+v %v", e, err)
	}

	// what was applied goes on saying what the template says
	o := parse(t, text).Objects[0]
	f = made(1, func(v *VM) { v.VCPUs = 8 })
	f.Records[KindVM]["w1"] = Record{Kind: KindVM, Key: "w1", Owner: "a", Last: o.Spec}
	if d, err := Drifts(f); err != nil || len(d) != 1 || len(d[0].Fields) != 1 || d[0].Fields[0].Path != "vcpus" || d[0].Fields[0].Why != WhyOutside {
		t.Errorf("%+v %v", d, err)
	}

	// one that is otherwise than its template says is written so, and one whose version is gone for itself
	f = made(1, func(v *VM) { v.Title = "" })
	for _, gone := range []bool{false, true} {
		if gone {
			f.Templates = nil
		}
		spec, err := f.Exported(KindVM, f.Live[KindVM]["w1"].Spec)
		if err != nil {
			t.Fatal(err)
		}
		out, err := Write("a", []Object{{Kind: KindVM, Spec: spec}})
		if err != nil || strings.Contains(out, "template") == gone {
			t.Errorf("%s %v", out, err)
		}
		if p := ask(t, out, f, true); !p.Empty() {
			t.Errorf("%s\n%+v", out, p)
		}
	}
}

func TestAffinityRules(t *testing.T) {
	f := facts(web(), VM{Name: "db", VCPUs: 1})
	const text = "owner: a\naffinity_rules:\n  - {name: apart, kind: anti-affinity, scope: vm-vm, hard: true, vms: [web, db]}\n  - {name: apart, tenant: Team A, kind: affinity, scope: vm-host, tags: [db], hosts: [a]}\n"
	p := ask(t, text, f, false)
	if len(p.Items) != 2 || p.Count(Create) != 2 || p.Items[1].Name != "apart@team-a" {
		t.Fatalf("%+v", p)
	}
	f.Live[KindAffinity] = map[string]Live{
		"apart":        live(Affinity{Name: "apart", Kind: domain.AntiAffinity, Scope: domain.ScopeVMs, Hard: true, VMs: []string{"db", "web"}}),
		"apart@team-a": live(Affinity{Name: "apart", Tenant: "team-a", Kind: domain.Affinity, Scope: domain.ScopeHosts, Tags: []string{"db"}, Hosts: []string{"a"}}),
	}
	if p := ask(t, text, f, false); p.Count(TakeOver) != 2 {
		t.Errorf("%+v", p)
	}
	if got := paths(ask(t, strings.Replace(text, "[web, db]", "[web, db], notes: x", 1), f, false).Items[0]); !slices.Equal(got, []string{"notes first"}) {
		t.Errorf("%q", got)
	}
	for from, to := range map[string]string{"[web, db]": "no VM “mail”", "hosts: [a]": "no host “z”"} {
		bad := strings.Replace(text, from, map[string]string{"[web, db]": "[web, mail]", "hosts: [a]": "hosts: [z]"}[from], 1)
		if p := ask(t, bad, f, false); p.Count(Blocked) != 1 || !strings.Contains(p.Err().Error(), to) {
			t.Errorf("%+v", p)
		}
	}
	if p := ask(t, "owner: a\naffinity_rules:\n  - {name: x, kind: apart, scope: vm-vm, tags: [a]}\n", f, false); p.Count(Blocked) != 1 || !strings.Contains(p.Items[0].Reason, "kind") {
		t.Errorf("%+v", p)
	}
}

func BenchmarkPlan500(b *testing.B) {
	var text strings.Builder
	text.WriteString("owner: a\nvms:\n")
	f := facts()
	for i := range 500 {
		v := web()
		v.Name = fmt.Sprintf("vm-%d", i)
		f.Live[KindVM][v.Name] = live(v)
		fmt.Fprintf(&text, "  - name: vm-%d\n    vcpus: 3\n    memory_bytes: 4 GiB\n    disks:\n      - {pool: default, size_bytes: 1 GiB}\n    nics:\n      - network: lan\n", i)
	}
	for b.Loop() {
		set, err := Parse([]Source{{"e", text.String()}}, "")
		if err != nil {
			b.Fatal(err)
		}
		if p, err := Make(set, f, true); err != nil || p.Count(Update) != 500 {
			b.Fatal(err, p.Count(Update))
		}
	}
}
