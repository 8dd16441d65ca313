package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"novacron/domain"
	"novacron/handlers/cli/client"
)

// ownFlags are taken on every command; a field of that name gets another flag.
var ownFlags = []string{"server", "context", "ca", "color", "timeout", "output", "wait", "file", "set", "limit", "sort", "filter", "columns", "help"}

// flagOf is how a field is called on the command line: memory_bytes is --memory, which takes 2G.
func flagOf(f client.Field) string {
	name := strings.ReplaceAll(f.Name, "_", "-")
	if f.Kind == client.Integer {
		name = strings.TrimSuffix(name, "-bytes")
	}
	if slices.Contains(ownFlags, name) {
		name = "with-" + name
	}
	return name
}

// bodyFlag adds the flag of a field.
func (a *app) bodyFlag(cmd *cobra.Command, f client.Field) {
	flags, name := cmd.Flags(), flagOf(f)
	if flags.Lookup(name) != nil {
		return
	}
	doc := strings.TrimSuffix(f.Doc, ".")
	if len(f.Enum) > 0 && !strings.Contains(doc, f.Enum[0]) {
		doc = strings.TrimSuffix(strings.Join(f.Enum, ", ")+": "+doc, ": ")
	}
	doc = strings.ReplaceAll(doc, "`", "'")
	switch {
	case f.Kind == client.Boolean:
		flags.Bool(name, false, doc)
	case f.Kind == client.Array && f.Of == client.Text:
		flags.StringSlice(name, nil, strings.TrimSpace(doc+" (by comma, or several times)"))
	case f.Kind == client.Array && f.Of == client.Integer:
		flags.StringSlice(name, nil, strings.TrimSpace(doc+" (numbers, by comma)"))
	case f.Kind == client.Array:
		flags.StringArray(name, nil, strings.TrimSpace(doc+" (as "+pairs(f.Of)+"; several times)"))
	case f.Kind == client.Object && f.Of != "":
		flags.String(name, "", strings.TrimSpace(doc+" (as "+pairs(f.Of)+")"))
	case f.Kind == client.Object:
		flags.StringArray(name, nil, strings.TrimSpace(doc+" (as key=value; several times)"))
	case f.Kind == client.Integer && strings.HasSuffix(f.Name, "_bytes"):
		flags.String(name, "", strings.TrimSpace(doc+" (such as 2G)"))
	default:
		flags.String(name, "", doc)
	}
	if len(f.Enum) > 0 {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(f.Enum, cobra.ShellCompDirectiveNoFileComp))
	} else if res := named(f.Name); res != nil && f.Kind == client.Text {
		_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, to string) ([]string, cobra.ShellCompDirective) {
			return a.completeNames(cmd, res, nil, nil, to)
		})
	} else if f.Kind != client.Text || f.Name != "path" {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// pairs shows how an object is written in one flag.
func pairs(schema string) string {
	var need, free []string
	for _, f := range client.Fields(schema) {
		part := f.Name + "=…"
		if f.Need {
			need = append(need, part)
		} else {
			free = append(free, part)
		}
	}
	all := slices.Concat(need, free)
	if len(all) > 4 {
		all = append(all[:4], "…")
	}
	return strings.Join(all, ",")
}

// named is the resource that a field names.
func named(field string) *resource {
	for _, name := range []string{"host", "vm", "tenant", "pool", "network", "image", "template", "folder", "role"} {
		if field == name || field == "vm_id" && name == "vm" || field == "host_id" && name == "host" {
			return resourceNamed(name)
		}
	}
	return nil
}

var saysID = regexp.MustCompile(`\bids?\b`)

// byID are the fields that the API takes ids in, and no names.
func byID(f client.Field) bool {
	if f.Name == "host" || f.Name == "vm" || f.Name == "host_id" || f.Name == "vm_id" {
		return true
	}
	return f.Name != "folder" && f.Name != "role" && saysID.MatchString(f.Doc) && !strings.Contains(f.Doc, "name")
}

// value reads what was written for a field as what the API wants.
func (r *run) value(f client.Field, kind, text string) (any, error) {
	bad := func(want string) error {
		return &client.UsageError{Msg: "“" + text + "” is not right for " + f.Name + ".", Fix: "It is " + want + "."}
	}
	switch kind {
	case client.Integer:
		if strings.HasSuffix(f.Name, "_bytes") {
			n, err := domain.ParseBytes(text)
			if err != nil {
				return nil, bad("a size such as 512M or 2G")
			}
			return n, nil
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, bad("a whole number")
		}
		return n, nil
	case client.Number:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, bad("a number")
		}
		return n, nil
	case client.Boolean:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, bad("true or false")
		}
		return b, nil
	case client.Object:
		return r.object(f.Of, text)
	case client.Any:
		return free(text), nil
	}
	if res := named(f.Name); kind == client.Text && res != nil && byID(f) && text != "any" && text != "" && !res.isID(text) {
		id, err := r.id(res, text, nil)
		if p, ok := errors.AsType[*client.Problem](err); ok && p.Status == http.StatusForbidden { // who may not list them may know an id
			return text, nil
		}
		return id, err
	}
	return text, nil
}

// free reads a value of which nobody says what it is: JSON or YAML, else text.
func free(text string) any {
	var v any
	if yaml.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	return v
}

// object reads key=value,key=value.
func (r *run) object(schema, text string) (any, error) {
	if t := strings.TrimSpace(text); strings.HasPrefix(t, "{") {
		return free(t), nil
	}
	fields, out := client.Fields(schema), map[string]any{}
	for part := range strings.SplitSeq(text, ",") {
		name, val, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(fields, func(f client.Field) bool {
			return f.Name == strings.ReplaceAll(name, "-", "_") || f.Kind == client.Integer && strings.TrimSuffix(f.Name, "_bytes") == name
		})
		if len(fields) > 0 && i < 0 {
			return nil, &client.UsageError{Msg: "There is no field “" + name + "” here.", Fix: "It is written as " + pairs(schema) + "; the fields are " + namesOf(fields) + "."}
		}
		if !ok {
			val = "true"
		}
		if i < 0 {
			out[name] = free(val)
			continue
		}
		f := fields[i]
		if f.Kind == client.Array {
			var list []any
			for e := range strings.SplitSeq(val, "+") {
				v, err := r.value(f, f.Of, e)
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			out[f.Name] = list
			continue
		}
		v, err := r.value(f, f.Kind, val)
		if err != nil {
			return nil, err
		}
		out[f.Name] = v
	}
	return out, nil
}

func namesOf(fields []client.Field) string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Name
	}
	return strings.Join(out, ", ")
}

// field reads the flag of a field; ok is false when it was not given.
func (r *run) field(f client.Field) (v any, ok bool, err error) {
	fl := r.cmd.Flags().Lookup(flagOf(f))
	if fl == nil || !fl.Changed {
		return nil, false, nil
	}
	switch {
	case f.Kind == client.Array:
		var texts []string
		if f.Of == client.Text || f.Of == client.Integer {
			texts, err = r.cmd.Flags().GetStringSlice(fl.Name)
		} else {
			texts, err = r.cmd.Flags().GetStringArray(fl.Name)
		}
		list := []any{}
		for _, t := range texts {
			var e any
			if f.Of == client.Text || f.Of == client.Integer {
				e, err = r.value(f, f.Of, t)
			} else {
				e, err = r.object(f.Of, t)
			}
			if err != nil {
				return nil, true, err
			}
			list = append(list, e)
		}
		return list, true, err
	case f.Kind == client.Object && f.Of == "":
		texts, err := r.cmd.Flags().GetStringArray(fl.Name)
		out := map[string]any{}
		for _, t := range texts {
			k, val, found := strings.Cut(t, "=")
			if !found {
				return nil, true, &client.UsageError{Msg: "“" + t + "” is not key=value.", Fix: "Write for example --" + fl.Name + " site=ams."}
			}
			out[k] = val
		}
		return out, true, err
	}
	v, err = r.value(f, f.Kind, fl.Value.String())
	return v, true, err
}

// query reads the flags of an operation's parameters.
func (r *run) query(op *client.Operation, without ...string) (url.Values, error) {
	out := url.Values{}
	for _, f := range op.Query {
		if slices.Contains(without, f.Name) {
			continue
		}
		v, ok, err := r.field(f)
		if err != nil {
			return nil, err
		}
		if list, many := v.([]any); ok && many {
			for _, e := range list {
				out.Add(f.Name, fmt.Sprint(e))
			}
		} else if ok {
			out.Set(f.Name, fmt.Sprint(v))
		}
	}
	return out, nil
}

// body makes the body of a request: of the file, then the flags, then --set.
func (r *run) body(op *client.Operation) (map[string]any, error) {
	out := map[string]any{}
	if path := flag(r.cmd, "file"); path != "" {
		if err := r.read(path, &out); err != nil {
			return nil, err
		}
	}
	for _, f := range client.Fields(op.Body) {
		v, ok, err := r.field(f)
		if err != nil {
			return nil, err
		}
		if ok {
			out[f.Name] = v
		}
	}
	sets, err := r.cmd.Flags().GetStringArray("set")
	if err != nil {
		return out, nil // the command takes none
	}
	for _, text := range sets {
		path, val, ok := strings.Cut(text, "=")
		if !ok {
			return nil, &client.UsageError{Msg: "“" + text + "” is not a place and a value.", Fix: "Write for example --set boot.kernel=/boot/vmlinuz."}
		}
		if err := put(out, strings.Split(path, "."), free(val)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// put sets what a path of names and numbers says.
func put(in map[string]any, path []string, v any) error {
	name := path[0]
	if len(path) == 1 {
		in[name] = v
		return nil
	}
	if n, err := strconv.Atoi(path[1]); err == nil {
		list, _ := in[name].([]any)
		if n < 0 || n > len(list) || n > 10000 {
			return &client.UsageError{Msg: fmt.Sprintf("%s has %d elements.", name, len(list)), Fix: fmt.Sprintf("The next is %s.%d.", name, len(list))}
		}
		if n == len(list) {
			list = append(list, nil)
		}
		if len(path) == 2 {
			list[n] = v
		} else {
			inner, ok := list[n].(map[string]any)
			if !ok {
				inner = map[string]any{}
				list[n] = inner
			}
			if err := put(inner, path[2:], v); err != nil {
				return err
			}
		}
		in[name] = list
		return nil
	}
	inner, ok := in[name].(map[string]any)
	if !ok {
		inner = map[string]any{}
		in[name] = inner
	}
	return put(inner, path[1:], v)
}

// read decodes a file of YAML or JSON; "-" is the standard input.
func (r *run) read(path string, out *map[string]any) error {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(r.In)
	} else {
		text, err = os.ReadFile(path) // #nosec G304 -- the file that is named on the command line, read as who typed it
	}
	if err != nil {
		return &client.UsageError{Msg: "The file cannot be read: " + err.Error() + ".", Fix: ""}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(out); err != nil {
		return &client.UsageError{Msg: "The file " + path + " is neither YAML nor JSON with fields: " + err.Error() + ".", Fix: "Write it as -o yaml prints such a thing."}
	}
	if _, err := json.Marshal(*out); err != nil {
		return &client.UsageError{Msg: "The file " + path + " has keys that are no text.", Fix: ""}
	}
	return nil
}
