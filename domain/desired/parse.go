package desired

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"novacron/domain"
)

// Source is one file, of one or several documents.
type Source struct {
	Name string
	Text string
}

const (
	maxBytes = 16 << 20
	maxNodes = 2_000_000 // after aliases are followed
	maxDepth = 40
	maxWrong = 50
)

// Parse reads files. owner is whom the request names; a file may name one too, and all that are named must be the same. All that is wrong is named at
// once, each with its file and line.
func Parse(files []Source, owner string) (Set, error) {
	set := Set{Owner: owner}
	r := &reader{}
	saidAt := "the request"
	seen := map[string]string{}
	total := 0
	for _, f := range files {
		r.file = f.Name
		if total += len(f.Text); total > maxBytes {
			return set, domain.InvalidField(f.Name, "The files are larger than "+domain.FormatBytes(maxBytes)+".", "several smaller applies")
		}
		dec := yaml.NewDecoder(strings.NewReader(f.Text))
		for {
			var root yaml.Node
			err := dec.Decode(&root)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				r.problems.Add(f.Name, "It is not YAML: "+strings.TrimPrefix(err.Error(), "yaml: ")+".", "documents of owner, vms, networks and so on")
				break
			}
			if len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
				continue // an empty document, such as after a last ---
			}
			doc, ok := r.value(root.Content[0], reflect.TypeFor[document](), "", 0).(map[string]any)
			if !ok {
				continue
			}
			if name, ok := doc["owner"].(string); ok {
				at := r.at(root.Content[0])
				switch {
				case set.Owner == "":
					set.Owner, saidAt = name, at
				case set.Owner != name:
					r.problems.Add("owner", fmt.Sprintf("%s names the owner %s, and %s names %s.", at, name, saidAt, set.Owner), "one owner in one apply")
				}
			}
			for _, k := range Kinds {
				list, _ := doc[section[k]].([]any)
				for i, item := range list {
					r.objects(&set, seen, k, item, r.itemAt(root.Content[0], section[k], i))
				}
			}
		}
	}
	if len(r.problems) > maxWrong {
		more := len(r.problems) - maxWrong
		r.problems = r.problems[:maxWrong]
		r.problems.Add("files", fmt.Sprintf("There is more wrong: %d besides.", more), "these put right first")
	}
	if err := r.problems.Err(); err != nil {
		return set, err
	}
	return set, OwnerName(set.Owner)
}

// reader reads nodes into what JSON can carry, held to a Go type.
type reader struct {
	file     string
	problems domain.Problems
	nodes    int
}

func (r *reader) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", r.file, n.Line) }

func (r *reader) wrong(n *yaml.Node, msg, want string) any {
	r.problems.Add(r.at(n), msg, want)
	return nil
}

// itemAt is where an item of a list begins.
func (r *reader) itemAt(root *yaml.Node, list string, i int) string {
	for k := 0; k+1 < len(root.Content); k += 2 {
		if root.Content[k].Value != list {
			continue
		}
		n := root.Content[k+1]
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if i < len(n.Content) {
			return r.at(n.Content[i])
		}
	}
	return r.file
}

// objects adds what an item asks for: one object, or one on each host that it names.
func (r *reader) objects(set *Set, seen map[string]string, k Kind, item any, at string) {
	doc, ok := item.(map[string]any)
	if !ok {
		return // it was refused
	}
	bad := func(field, msg, want string) { r.problems.Add(at, field+": "+msg, want) }
	each := []map[string]any{doc}
	if k == KindPool || k == KindNetwork {
		hosts, _ := doc["hosts"].([]any)
		one, _ := doc["host"].(string)
		if one != "" {
			hosts = append([]any{one}, hosts...)
		}
		if len(hosts) == 0 {
			bad("host", "it is not said on which host.", "host, or hosts")
			return
		}
		each = nil
		for _, h := range hosts {
			on := map[string]any{}
			for f, v := range doc {
				on[f] = v
			}
			delete(on, "hosts")
			on["host"] = h
			each = append(each, on)
		}
	}
	for _, doc := range each {
		raw, err := json.Marshal(doc)
		v := typed(k)
		if err == nil {
			err = json.Unmarshal(raw, v)
		}
		if err != nil {
			bad(string(k), "it cannot be read ("+err.Error()+").", "values of the right kind")
			return
		}
		if name, _ := doc["name"].(string); name == "" && (k != KindPolicy || doc["scope"] != string(domain.PolicyEstate)) {
			bad("name", "a name is needed.", "name: and a text")
			return
		}
		if k == KindPolicy && !slices.Contains([]any{"estate", "host", "tenant", "vm"}, doc["scope"]) {
			bad("scope", "it is not said what the policy is for.", "estate, host, tenant or vm")
			return
		}
		o := Object{Kind: k, Key: key(k, v), Spec: raw, At: at}
		if first, twice := seen[string(k)+" "+o.Key]; twice {
			bad("name", fmt.Sprintf("the %s %s is asked for twice, at %s too.", k, o.Key, first), "each once")
			continue
		}
		seen[string(k)+" "+o.Key] = at
		set.Objects = append(set.Objects, o)
	}
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// value gives a node as JSON would, held to a type.
func (r *reader) value(n *yaml.Node, t reflect.Type, path string, depth int) any {
	if r.nodes++; r.nodes > maxNodes || depth > maxDepth {
		if r.nodes == maxNodes+1 || depth == maxDepth+1 {
			return r.wrong(n, "This is too large or too deep.", "fewer aliases, and less inside one another")
		}
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return r.value(n.Alias, t, path, depth+1)
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := path
	if name == "" {
		name = "a document"
	}
	if t == reflect.TypeFor[Value]() && n.Kind == yaml.ScalarNode && n.Tag != "!!null" { // as it was written: 1.10 is not 1.1
		return n.Value
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return r.wrong(n, name+" has no value.", "a value, or the line left out")
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		var v any
		if err := n.Decode(&v); err != nil {
			return r.wrong(n, name+" cannot be read.", "another value")
		}
		return v
	}
	switch t.Kind() {
	case reflect.Struct:
		if n.Kind != yaml.MappingNode {
			return r.wrong(n, name+" is not a list of fields.", "fields with their values below it")
		}
		return r.fields(n, t, path, depth)
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			return r.wrong(n, name+" is not a list of names with values.", "names with their values below it")
		}
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			out[n.Content[i].Value] = r.value(n.Content[i+1], t.Elem(), join(path, n.Content[i].Value), depth+1)
		}
		return out
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return r.wrong(n, name+" is not a list.", "items that begin with a hyphen")
		}
		out := make([]any, len(n.Content))
		for i, c := range n.Content {
			out[i] = r.value(c, t.Elem(), join(path, strconv.Itoa(i)), depth+1)
		}
		return out
	}
	if n.Kind != yaml.ScalarNode {
		return r.wrong(n, name+" is not one value.", "a "+plainKind(t))
	}
	return r.scalar(n, t, name)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func plainKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	}
	return "number"
}

func (r *reader) scalar(n *yaml.Node, t reflect.Type, name string) any {
	switch t.Kind() {
	case reflect.Bool:
		var b bool
		if n.Tag != "!!bool" || n.Decode(&b) != nil {
			return r.wrong(n, fmt.Sprintf("%s is “%s”.", name, n.Value), "true or false")
		}
		return b
	case reflect.String:
		if n.Tag != "!!str" && n.Tag != "!!timestamp" {
			return r.wrong(n, fmt.Sprintf("%s is %s, and a text is needed.", name, n.Value), strconv.Quote(n.Value)+", in quotes")
		}
		return n.Value
	case reflect.Float64, reflect.Float32:
		var f float64
		if n.Tag != "!!float" && n.Tag != "!!int" || n.Decode(&f) != nil {
			return r.wrong(n, fmt.Sprintf("%s is “%s”, and a number is needed.", name, n.Value), "a number")
		}
		return f
	}
	if n.Tag == "!!str" && (strings.HasSuffix(name, "_bytes") || strings.Contains(name, ".pools.")) { // sizes may have units
		b, err := domain.ParseBytes(n.Value)
		if err != nil {
			return r.wrong(n, fmt.Sprintf("%s is “%s”, which is not a size.", name, n.Value), "a number of bytes, or one with a unit such as 4 GiB")
		}
		return json.Number(strconv.FormatInt(b, 10))
	}
	var i int64
	if n.Tag != "!!int" || n.Decode(&i) != nil || t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64 && reflect.Zero(t).OverflowInt(i) || t.Kind() > reflect.Int64 && i < 0 {
		return r.wrong(n, fmt.Sprintf("%s is “%s”, and a whole number is needed.", name, n.Value), "a whole number")
	}
	return json.Number(strconv.FormatInt(i, 10))
}

// fields reads a mapping held to a struct. A field that it does not have is refused by name.
func (r *reader) fields(n *yaml.Node, t reflect.Type, path string, depth int) any {
	known := fieldsOf(t)
	out := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		ft, ok := known[k.Value]
		switch {
		case k.Value == "<<":
			r.wrong(k, "“<<” is not read here.", "an alias, or the fields themselves")
			continue
		case !ok:
			names := make([]string, 0, len(known))
			for name := range known {
				names = append(names, name)
			}
			where := "There is no field “" + k.Value + "”"
			if path != "" {
				where += " in " + path
			}
			r.wrong(k, where+".", "one of "+strings.Join(nearest(k.Value, names), ", "))
			continue
		}
		if _, twice := out[k.Value]; twice {
			r.wrong(k, "“"+join(path, k.Value)+"” stands twice.", "each field once")
			continue
		}
		out[k.Value] = r.value(n.Content[i+1], ft, join(path, k.Value), depth+1)
	}
	return out
}

// fieldsOf lists what JSON calls the fields of a struct, with those of what is embedded.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-":
		case f.Anonymous && tag == "":
			for name, ft := range fieldsOf(f.Type) {
				if _, ok := out[name]; !ok {
					out[name] = ft
				}
			}
		case tag != "" && f.IsExported():
			out[tag] = f.Type
		}
	}
	return out
}

// nearest sorts names so that what was probably meant comes first, and gives the first few.
func nearest(s string, names []string) []string {
	slices.SortFunc(names, func(a, b string) int {
		if d := distance(s, a) - distance(s, b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names[:min(len(names), 4)]
}

// distance counts the letters that would have to be changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := left
			if a[i] != b[j] {
				cost++
			}
			left = row[j+1]
			row[j+1] = min(cost, row[j]+1, left+1)
		}
	}
	return row[len(b)]
}

// Write gives objects as one YAML document that Parse reads to the same. Specs are as Encode gives them.
func Write(owner string, objects []Object) (string, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	add := func(name string, v *yaml.Node) {
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, v)
	}
	if owner != "" {
		add("owner", text(owner))
	}
	for _, k := range Kinds {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, o := range objects {
			if o.Kind != k {
				continue
			}
			doc, err := tree(o.Spec)
			if err != nil {
				return "", err
			}
			list.Content = append(list.Content, node(doc, reflect.TypeOf(typed(k)).Elem(), ""))
		}
		if len(list.Content) > 0 {
			add(section[k], list)
		}
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return "", domain.Errorf(domain.Internal, "The estate cannot be written: %w", err)
	}
	return out.String(), enc.Close()
}

func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

// node writes a value; fields come in the order of their type.
func node(v any, t reflect.Type, name string) *yaml.Node {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch x := v.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		names, types := order(t), map[string]reflect.Type{}
		if t != nil && t.Kind() == reflect.Struct {
			types = fieldsOf(t)
		}
		for k := range x {
			if !slices.Contains(names, k) {
				names = append(names, k)
			}
		}
		if t == nil || t.Kind() != reflect.Struct {
			slices.Sort(names)
		}
		for _, k := range names {
			if sub, ok := x[k]; ok {
				n.Content = append(n.Content, text(k), node(sub, types[k], k))
			}
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		var et reflect.Type
		if t != nil && t.Kind() == reflect.Slice {
			et = t.Elem()
		}
		for _, sub := range x {
			n.Content = append(n.Content, node(sub, et, name))
		}
		return n
	case string:
		return text(x)
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(x)}
	case json.Number:
		if b, err := x.Int64(); err == nil && strings.HasSuffix(name, "_bytes") && b >= domain.MiB {
			if size := domain.FormatBytes(b); exactly(size, b) {
				return text(size)
			}
		}
		tag := "!!int"
		if strings.ContainsAny(x.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: x.String()}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
}

func exactly(size string, b int64) bool {
	got, err := domain.ParseBytes(size)
	return err == nil && got == b
}

func order(t reflect.Type) []string {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" {
			out = append(out, order(f.Type)...)
		} else if tag != "" && tag != "-" {
			out = append(out, tag)
		}
	}
	return out
}
