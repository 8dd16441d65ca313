package desired

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"novacron/domain"
)

// Why a field differs.
type Why string

const (
	WhyFile    Why = "file"    // the file says otherwise than it did
	WhyOutside Why = "outside" // somebody changed what was applied
	WhyBoth    Why = "both"
	WhyFirst   Why = "first"   // the file says it for the first time
	WhyRemoved Why = "removed" // it is in the file no more
)

// Field is one difference.
type Field struct {
	Path   string `json:"path" example:"memory_bytes"`
	Last   string `json:"last,omitempty" doc:"What was applied last"`
	Live   string `json:"live,omitempty" doc:"What is"`
	Wanted string `json:"wanted,omitempty" doc:"What the file says"`
	Why    Why    `json:"why" enum:"file,outside,both,first,removed" doc:"file: the file was changed; outside: somebody changed it otherwise; both; first: the file did not say it before; removed: it is in the file no more"`
}

// identity are the fields that say which object it is.
var identity = map[Kind][]string{
	KindTenant: {"name"}, KindPool: {"name", "host", "hosts"}, KindNetwork: {"name", "host", "hosts"}, KindTemplate: {"name"}, KindVM: {"name"}, KindPolicy: {"name", "scope"},
	KindAffinity: {"name", "tenant"},
}

// born are fields that count when an object is made, and are not looked at afterwards.
var born = map[Kind][]string{
	KindVM:       {"start", "accel", "graphics", "max_memory_bytes"},
	KindTemplate: {"spec.name", "spec.uuid"},
}

// bornDisk and bornNIC are the same for parts of a VM.
var (
	bornDisk = []string{"target", "size_bytes", "format", "image", "linked", "volume", "encrypted", "pool", "secret", "device", "read_only"}
	bornNIC  = []string{"mac", "target", "security_groups", "filter"}
)

// fixed are fields that apply cannot change, with what to do instead.
var fixed = map[Kind]map[string]string{
	KindTenant:   {"parent": "A tenant stays where it was made."},
	KindPool:     {"type": "Delete the pool and make it anew.", "target": "Delete the pool and make it anew.", "source": "Delete the pool and make it anew."},
	KindNetwork:  {"tenant": "Give the network to the tenant on the tenant's page."},
	KindTemplate: {"tenant": "Give the template to the tenant on the tenant's page."},
	KindVM: {"host": "Move the VM (novacron migrate), or write host: any.", "tenant": "Give the VM to the tenant on its page.",
		"disks.*.source": "Put another medium in on the VM's page.", "disks.*.shareable": "Detach the disk and attach it anew.", "nics.*.port_group": "Detach the card and attach it anew."},
}

// clears are the fields that are emptied when a file does not say them any more; others keep what they have.
var clears = map[Kind][]string{
	KindTenant: {"notes", "quota"}, KindPool: nil, KindTemplate: {"description", "spec", "parameters"}, KindPolicy: {""}, KindAffinity: {""},
	KindNetwork: {"ipv4", "ipv6", "domain", "dns", "mtu", "vlan", "port_groups", "bandwidth_in", "bandwidth_out"},
	KindVM:      {"title", "description", "tags", "notes", "boot", "topology", "autostart"},
}

// unordered are lists whose order means nothing.
var unordered = map[Kind][]string{KindVM: {"tags"}, KindAffinity: {"vms", "tags", "hosts"}}

// under reports whether a path is one of the fields or below one; a * stands for one part.
func under(path string, fields []string) bool {
	return slices.ContainsFunc(fields, func(f string) bool {
		if f == "" {
			return true
		}
		p, want := strings.Split(path, "."), strings.Split(f, ".")
		if len(p) < len(want) {
			return false
		}
		for i, part := range want {
			if part != "*" && part != p[i] {
				return false
			}
		}
		return true
	})
}

// lists of a VM whose items are compared one by one.
var lists = []struct {
	name, key string
	born      []string
}{{"disks", "target", bornDisk}, {"nics", "mac", bornNIC}}

// sides is an object as it was applied, as it is and as it is wanted, with the items of its lists by what they are known by.
type sides struct {
	kind               Kind
	last, live, wanted map[string]any
}

func newSides(k Kind, last, live, wanted json.RawMessage) (s sides, err error) {
	s.kind = k
	for _, d := range []struct {
		to  *map[string]any
		raw json.RawMessage
	}{{&s.last, last}, {&s.live, live}, {&s.wanted, wanted}} {
		if *d.to, err = tree(d.raw); err != nil {
			return s, err
		}
	}
	for _, doc := range []map[string]any{s.last, s.live, s.wanted} { // in which order these stand means nothing
		for _, name := range unordered[k] {
			if list, ok := doc[name].([]any); ok {
				slices.SortFunc(list, func(a, b any) int { return strings.Compare(show(a), show(b)) })
			}
		}
	}
	if k != KindVM {
		return s, nil
	}
	for _, l := range lists {
		have := items(s.live[l.name])
		known := map[string]any{}
		for i, x := range have {
			known[itemKey(x, l.key, i)] = x
		}
		for _, doc := range []map[string]any{s.last, s.wanted} {
			if list, ok := doc[l.name]; ok {
				doc[l.name] = match(items(list), have, l.key)
			}
		}
		s.live[l.name] = known
	}
	return s, nil
}

func items(v any) (out []map[string]any) {
	list, _ := v.([]any)
	for _, x := range list {
		if m, ok := x.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func word(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

func itemKey(x map[string]any, key string, i int) string {
	if s := word(x, key); s != "" {
		return strings.ToLower(s)
	}
	return "new-" + strconv.Itoa(i)
}

// match gives the items of a list by the keys of those that are there: by their own key, by the volume or file that they show, else in their order.
func match(list, have []map[string]any, key string) map[string]any {
	out := map[string]any{}
	taken := map[int]bool{}
	at := make([]int, len(list))
	find := func(i int, fits func(x, h map[string]any) bool) {
		for j, h := range have {
			if at[i] < 0 && !taken[j] && fits(list[i], h) {
				at[i], taken[j] = j, true
			}
		}
	}
	for i := range list {
		at[i] = -1
	}
	for i := range list {
		find(i, func(x, h map[string]any) bool {
			return word(x, key) != "" && strings.EqualFold(word(x, key), word(h, key))
		})
	}
	for i := range list {
		find(i, func(x, h map[string]any) bool {
			return word(x, key) == "" && (word(x, "source") != "" && word(x, "source") == word(h, "source") || word(x, "volume") != "" && word(x, "volume") == word(h, "volume"))
		})
	}
	for i := range list {
		find(i, func(x, h map[string]any) bool {
			return word(x, key) == "" && word(x, "source") == "" && device(x) == device(h)
		})
	}
	for i, x := range list {
		if at[i] >= 0 {
			out[itemKey(have[at[i]], key, at[i])] = x
		} else {
			out[itemKey(x, key, i)] = x
		}
	}
	return out
}

func device(m map[string]any) string {
	if s := word(m, "device"); s != "" {
		return s
	}
	return "disk"
}

// flat lists the leaves of a document; lists are leaves.
func flat(m map[string]any, at string, out map[string]any) map[string]any {
	for k, v := range m {
		if sub, ok := v.(map[string]any); ok {
			flat(sub, join(at, k), out)
		} else {
			out[join(at, k)] = v
		}
	}
	return out
}

// compare lists what would have to change for what is to become what is wanted.
func (s sides) compare() []Field {
	out := []Field{}
	put := func(path string, last, live, wanted any, why Why) {
		out = append(out, Field{Path: path, Last: show(last), Live: show(live), Wanted: show(wanted), Why: why})
	}
	skip := slices.Concat(identity[s.kind], born[s.kind])
	w, l, v := maps.Clone(s.wanted), maps.Clone(s.last), maps.Clone(s.live)
	if s.kind == KindVM {
		for _, list := range lists {
			s.compareList(list.name, list.born, put)
			delete(w, list.name)
			delete(l, list.name)
			delete(v, list.name)
		}
	}
	leaves(flat(l, "", map[string]any{}), flat(v, "", map[string]any{}), flat(w, "", map[string]any{}), func(path string, last, live, wanted any, why Why) {
		switch {
		case under(path, skip) || s.alike(path, live, wanted):
		case why == WhyRemoved && !under(path, clears[s.kind]):
		default:
			put(path, last, live, wanted, why)
		}
	})
	slices.SortFunc(out, func(a, b Field) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// leaves goes through what differs.
func leaves(l, v, w map[string]any, put func(path string, last, live, wanted any, why Why)) {
	for path, wanted := range w {
		last, had := l[path]
		live := v[path]
		switch {
		case same(live, wanted):
		case !had:
			put(path, nil, live, wanted, WhyFirst)
		case same(last, wanted):
			put(path, last, live, wanted, WhyOutside)
		case same(last, live):
			put(path, last, live, wanted, WhyFile)
		default:
			put(path, last, live, wanted, WhyBoth)
		}
	}
	for path, last := range l {
		if _, still := w[path]; !still && !empty(v[path]) && !empty(last) {
			put(path, last, v[path], nil, WhyRemoved)
		}
	}
}

// compareList compares disks or cards. A section that is not in the file is not looked at; an empty one takes away what was applied.
func (s sides) compareList(name string, born []string, put func(path string, last, live, wanted any, why Why)) {
	want, ok := s.wanted[name].(map[string]any)
	if !ok {
		return
	}
	have, _ := s.live[name].(map[string]any)
	had, _ := s.last[name].(map[string]any)
	for k, x := range want {
		if have[k] == nil {
			why := WhyFirst
			if had[k] != nil {
				why = WhyOutside
			}
			put(name+"."+k, nil, nil, x, why)
			continue
		}
		sub := func(v any) map[string]any {
			m, _ := v.(map[string]any)
			return flat(m, "", map[string]any{})
		}
		leaves(sub(had[k]), sub(have[k]), sub(x), func(path string, last, live, wanted any, why Why) {
			if why != WhyRemoved && !under(path, born) {
				put(name+"."+k+"."+path, last, live, wanted, why)
			}
		})
	}
	for k, x := range had {
		if want[k] == nil && have[k] != nil {
			put(name+"."+k, x, have[k], nil, WhyRemoved)
		}
	}
}

// alike knows what hosts write otherwise than people.
func (s sides) alike(path string, live, wanted any) bool {
	w, _ := wanted.(string)
	l, _ := live.(string)
	switch path {
	case "tenant", "parent": // by id or by name
		return w != "" && l == domain.Slugged(w)
	}
	if s.kind != KindVM {
		return false
	}
	if strings.HasPrefix(path, "parameters.") { // 20 GiB is 21474836480, and 1 is true
		return sameValue(show(live), show(wanted))
	}
	switch path {
	case "template": // one that names no version is content with each
		name, number := TemplateRef(w)
		is, _ := TemplateRef(l)
		return number == 0 && name == is
	case "host":
		return w == "" || w == "any"
	case "machine": // q35 is pc-q35-7.2 on a host, and pc is pc-i440fx-7.2
		return w != "" && (strings.HasPrefix(l, "pc-"+w+"-") || w == "pc" && strings.HasPrefix(l, "pc-i440fx-") || strings.HasPrefix(l, w+"-"))
	case "max_vcpus":
		return fmt.Sprint(wanted) == "0"
	}
	return false
}

// sameValue compares two values of a parameter; the one that is there is plain already.
func sameValue(live, wanted string) bool {
	wanted = strings.TrimSpace(wanted)
	if live == wanted {
		return true
	}
	if n, err := domain.ParseBytes(wanted); err == nil && live == strconv.FormatInt(n, 10) {
		return true
	}
	b, err := strconv.ParseBool(wanted)
	return err == nil && live == strconv.FormatBool(b)
}

// unchangeable says why a field cannot be changed by an apply, and what to do.
func unchangeable(k Kind, path string) (fix string, ok bool) {
	for f, fix := range fixed[k] {
		if under(path, []string{f}) {
			return fix, true
		}
	}
	return "", false
}

// Merged is what is, with the fields that differ as they are wanted: what an object should be afterwards as a whole. Lists of a VM stay as they are.
func Merged(k Kind, live, wanted json.RawMessage, fields []Field) (json.RawMessage, error) {
	v, err := tree(live)
	if err != nil {
		return nil, err
	}
	w, err := tree(wanted)
	if err != nil {
		return nil, err
	}
	leaf := flat(w, "", map[string]any{})
	for _, f := range fields {
		if k == KindVM && (strings.HasPrefix(f.Path, "disks.") || strings.HasPrefix(f.Path, "nics.")) {
			continue
		}
		if x, ok := leaf[f.Path]; ok {
			setAt(v, strings.Split(f.Path, "."), x)
		} else {
			setAt(v, strings.Split(f.Path, "."), nil)
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "What is wanted cannot be written: %w", err)
	}
	return raw, nil
}

func setAt(m map[string]any, path []string, x any) {
	for len(path) > 1 {
		sub, ok := m[path[0]].(map[string]any)
		if !ok {
			sub = map[string]any{}
			m[path[0]] = sub
		}
		m, path = sub, path[1:]
	}
	if x == nil {
		delete(m, path[0])
	} else {
		m[path[0]] = x
	}
}

// Overlay lays the live values of the fields over what was applied: the deviation is what is wanted from then on.
func Overlay(k Kind, last, live json.RawMessage, fields []Field) (json.RawMessage, error) {
	s, err := newSides(k, last, live, nil)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		path := strings.Split(f.Path, ".")
		setAt(s.last, path, at(s.live, path))
	}
	for _, l := range lists {
		if m, ok := s.last[l.name].(map[string]any); ok && k == KindVM {
			list := []any{}
			for _, key := range slices.Sorted(maps.Keys(m)) {
				if x, ok := m[key].(map[string]any); ok {
					if !strings.HasPrefix(key, "new-") {
						x[l.key] = key
					}
					list = append(list, x)
				}
			}
			s.last[l.name] = list
		}
	}
	raw, err := json.Marshal(s.last)
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "What was applied cannot be written: %w", err)
	}
	return raw, nil
}

func at(m map[string]any, path []string) any {
	var v any = m
	for _, p := range path {
		sub, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = sub[p]
	}
	return v
}
