// Package narrow chooses, orders and cuts down the items of any list of the API: a filter in CEL over the fields that an item shows, an order by one of
// them, and the fields that are wanted.
//
// It works on what is shown, as JSON, so it knows nothing of what the items are and needs nothing but their type. It is not for who may see what: the items come from who has decided that.
package narrow

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"novacron/domain"
)

// A filter may be so long, and judging one item may cost so much; honest filters cost a hundredth.
const (
	textMost = 2000
	costMost = 50_000
	fieldsTo = 100
)

// Shape is what an item of a list looks like.
type Shape struct {
	typ    reflect.Type
	fields []field
	env    func() (*cel.Env, error)
}

type field struct {
	name string
	cel  *cel.Type
	zero any
	time bool
	real bool // a number with a fraction
}

// Of reads the shape of a struct.
func Of(t reflect.Type) *Shape {
	s := &Shape{typ: t}
	s.read(t)
	s.env = sync.OnceValues(s.environment)
	return s
}

var timeType = reflect.TypeFor[time.Time]()

func (s *Shape) read(t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.read(f.Type)
		case !f.IsExported() || name == "-":
		default:
			if name == "" {
				name = f.Name
			}
			s.fields = append(s.fields, fieldOf(name, f.Type))
		}
	}
}

func fieldOf(name string, t reflect.Type) field {
	f := field{name: name, cel: cel.DynType, zero: types.NullValue}
	nullable := t.Kind() == reflect.Pointer
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == timeType {
		f.time = true
		return f
	}
	if nullable || t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler) {
		return f
	}
	switch t.Kind() {
	case reflect.String:
		f.cel, f.zero = cel.StringType, ""
	case reflect.Bool:
		f.cel, f.zero = cel.BoolType, false
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		f.cel, f.zero = cel.IntType, int64(0)
	case reflect.Float32, reflect.Float64:
		f.cel, f.zero, f.real = cel.DoubleType, 0.0, true
	case reflect.Slice, reflect.Array:
		elem := cel.DynType
		if t.Elem().Kind() == reflect.String {
			elem = cel.StringType
		}
		f.cel, f.zero = cel.ListType(elem), []any{}
	case reflect.Map:
		value := cel.DynType
		if t.Elem().Kind() == reflect.String {
			value = cel.StringType
		}
		f.cel, f.zero = cel.MapType(cel.StringType, value), map[string]any{}
	case reflect.Struct:
		f.zero = map[string]any{}
	}
	return f
}

var marshaler = reflect.TypeFor[json.Marshaler]()

func (s *Shape) environment() (*cel.Env, error) {
	opts := []cel.EnvOption{cel.CrossTypeNumericComparisons(true), cel.ParserRecursionLimit(50), cel.Variable("item", cel.MapType(cel.StringType, cel.DynType)), cel.Variable("now", cel.TimestampType)}
	for _, f := range s.fields {
		opts = append(opts, cel.Variable(f.name, f.cel))
	}
	return cel.NewEnv(opts...)
}

// Fields are the names of what an item shows.
func (s *Shape) Fields() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *Shape) field(name string) (field, bool) {
	i := slices.IndexFunc(s.fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return field{}, false
	}
	return s.fields[i], true
}

// Sortable are the fields that a list can be ordered by.
func (s *Shape) Sortable() []string {
	return slices.DeleteFunc(s.Fields(), func(name string) bool { f, _ := s.field(name); return !f.sorts() })
}

func (f field) sorts() bool {
	return f.time || f.cel == cel.StringType || f.cel == cel.BoolType || f.cel == cel.IntType || f.cel == cel.DoubleType
}

// Filter is an expression that chooses items.
type Filter struct{ program cel.Program }

const want = `something that is true or false of the item's fields, such as state == "running" && vcpus > 2, name.startsWith("web-") or "prod" in tags`

// Filter reads an expression. An error says where in it the mistake is.
func (s *Shape) Filter(text string) (*Filter, error) {
	bad := func(msg string) (*Filter, error) { return nil, domain.InvalidField("filter", msg, want) }
	if len(text) > textMost {
		return bad(fmt.Sprintf("The filter is longer than %d characters.", textMost))
	}
	env, err := s.env()
	if err != nil {
		return nil, domain.Errorf(domain.Internal, "Filters cannot be read: %w", err)
	}
	ast, issues := env.Compile(text)
	if issues != nil && len(issues.Errors()) > 0 {
		e := issues.Errors()[0]
		msg := strings.TrimSuffix(strings.TrimSpace(strings.ReplaceAll(e.Message, "(in container '')", "")), ".")
		return bad(fmt.Sprintf("The filter cannot be read at line %d, column %d: %s.", max(e.Location.Line(), 1), e.Location.Column()+1, msg))
	}
	if out := ast.OutputType(); !out.IsEquivalentType(cel.BoolType) && !out.IsEquivalentType(cel.DynType) {
		return bad("The filter is not true or false but " + out.String() + ".")
	}
	prg, err := env.Program(ast, cel.CostLimit(costMost))
	if err != nil {
		return bad("The filter cannot be used: " + err.Error() + ".")
	}
	return &Filter{prg}, nil
}

// Item is one item as it is shown.
type Item struct {
	Raw  json.RawMessage
	Vals map[string]any // decoded, by the fields' types
	ID   string
}

// Item reads an item that is shown as raw.
func (s *Shape) Item(raw json.RawMessage) (Item, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var vals map[string]any
	if err := dec.Decode(&vals); err != nil {
		return Item{}, domain.Errorf(domain.Internal, "An item of a list cannot be read: %w", err)
	}
	for k, v := range vals {
		vals[k] = plain(v)
	}
	for _, f := range s.fields {
		v, ok := vals[f.name]
		if !ok || v == nil {
			vals[f.name] = f.zero
			continue
		}
		switch v := v.(type) {
		case string:
			if f.time {
				if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
					vals[f.name] = at
				}
			}
		case int64:
			if f.real {
				vals[f.name] = float64(v)
			}
		}
	}
	it := Item{Raw: raw, Vals: vals}
	it.ID, _ = vals["id"].(string)
	return it, nil
}

// plain makes numbers what CEL knows.
func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for k, x := range v {
			v[k] = plain(x)
		}
		return v
	case []any:
		for i, x := range v {
			v[i] = plain(x)
		}
		return v
	}
	return v
}

// Chooses judges an item. What cannot be judged, because something in it is not there or of another type, is not chosen.
func (f *Filter) Chooses(it Item, now time.Time) (bool, error) {
	vals := make(map[string]any, len(it.Vals)+2)
	for k, v := range it.Vals {
		vals[k] = v
	}
	vals["item"], vals["now"] = it.Vals, now
	out, _, err := f.program.Eval(vals)
	if err != nil {
		if stop, ok := errors.AsType[interpreter.EvalCancelledError](err); ok && stop.Cause == interpreter.CostLimitExceeded {
			return false, domain.InvalidField("filter", "Judging an item by this filter costs too much.", "a simpler expression, without loops inside loops")
		}
		return false, nil
	}
	b, ok := out.Value().(bool)
	return ok && b, nil
}

// Sort puts items into the order of a field, by id where it is the same; a minus before the name turns it round.
func (s *Shape) Sort(items []Item, order string) error {
	name, desc := strings.CutPrefix(order, "-")
	f, ok := s.field(name)
	if !ok || !f.sorts() {
		return domain.InvalidField("sort", "“"+order+"” is not an order of this list.", "one of "+strings.Join(s.Sortable(), ", ")+", with a minus for the other way round")
	}
	slices.SortStableFunc(items, func(a, b Item) int {
		c := compare(a.Vals[name], b.Vals[name])
		if c == 0 {
			c = strings.Compare(a.ID, b.ID)
		}
		if desc {
			return -c
		}
		return c
	})
	return nil
}

func compare(a, b any) int {
	switch x := a.(type) {
	case string:
		y, _ := b.(string)
		return strings.Compare(strings.ToLower(x), strings.ToLower(y))
	case int64:
		y, _ := b.(int64)
		return cmp.Compare(x, y)
	case float64:
		y, _ := b.(float64)
		return cmp.Compare(x, y)
	case bool:
		y, _ := b.(bool)
		switch {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	case time.Time:
		if y, ok := b.(time.Time); ok {
			return x.Compare(y)
		}
		return 1 // what has no time comes first
	}
	if _, ok := b.(time.Time); ok {
		return -1
	}
	return 0
}

// Picked are the fields of an item that are wanted.
type Picked [][]string

// Pick reads a list of fields with commas between them; a dot goes into one.
func (s *Shape) Pick(text string) (Picked, error) {
	var out Picked
	for name := range strings.SplitSeq(text, ",") {
		path := strings.Split(strings.TrimSpace(name), ".")
		if _, ok := s.field(path[0]); !ok {
			return nil, domain.InvalidField("fields", "An item of this list has no field “"+path[0]+"”.", "names with commas between them, of "+strings.Join(s.Fields(), ", "))
		}
		if out = append(out, path); len(out) > fieldsTo {
			return nil, domain.InvalidField("fields", fmt.Sprintf("More than %d fields are named.", fieldsTo), "fewer")
		}
	}
	return out, nil
}

// Cut leaves of an item what is wanted.
func (p Picked) Cut(raw json.RawMessage) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return raw, nil // not an object, so nothing can be left out of it
	}
	out := map[string]json.RawMessage{}
	deeper := map[string]Picked{}
	for _, path := range p {
		v, ok := all[path[0]]
		switch {
		case !ok:
		case len(path) == 1:
			out[path[0]] = v
		default:
			deeper[path[0]] = append(deeper[path[0]], path[1:])
		}
	}
	for name, more := range deeper {
		if _, whole := out[name]; whole {
			continue
		}
		v, err := more.inside(all[name])
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return json.Marshal(out)
}

func (p Picked) inside(raw json.RawMessage) (json.RawMessage, error) {
	var list []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return p.Cut(raw)
	}
	for i := range list {
		var err error
		if list[i], err = p.Cut(list[i]); err != nil {
			return nil, err
		}
	}
	return json.Marshal(list)
}
