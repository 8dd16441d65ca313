package cli

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"novacron/handlers/cli/client"
)

// paging are the parameters of a list that have flags of their own, or none.
var paging = []string{"limit", "cursor", "after", "sort", "filter", "fields", "wait"}

// listCommand lists things.
func (a *app) listCommand(res *resource, op *client.Operation, use string) *cobra.Command {
	names := a.pathNames(res, op)
	cmd := &cobra.Command{Use: strings.Join(append([]string{use}, upper(names)...), " "), Short: op.Summary, Long: long(op), Args: exactly(upper(names)...), ValidArgsFunction: a.completePath(res, op)}
	if use == "list" {
		cmd.Aliases = []string{"ls"}
	}
	outputFlag(cmd, asTable, asWide, asJSON, asYAML, asName)
	f := cmd.Flags()
	f.Int("limit", 0, "how many at most; 0: all")
	f.String("columns", "", "which columns, by comma: heads, or paths in the answer such as facts.cpus")
	f.Bool("no-headers", false, "without the line of heads")
	if op.Takes("filter") {
		f.String("filter", "", docOf(op.Query, "filter"))
	} else {
		f.String("filter", "", "words that must occur in what is shown")
	}
	if op.Takes("sort") {
		f.String("sort", "", docOf(op.Query, "sort"))
	}
	for _, q := range op.Query {
		if !slices.Contains(paging, q.Name) {
			a.bodyFlag(cmd, q)
		}
	}
	cmd.RunE = a.with(func(r *run, args []string) error { return r.list(res, op, args) })
	return cmd
}

func docOf(fields []client.Field, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Doc
		}
	}
	return ""
}

func (r *run) list(res *resource, op *client.Operation, args []string) error {
	form, err := r.form(asTable, asWide, asJSON, asYAML, asName)
	if err != nil {
		return err
	}
	path, err := r.path(res, op, args)
	if err != nil {
		return err
	}
	query, err := r.query(op, "limit", "sort", "filter")
	if err != nil {
		return err
	}
	words := flag(r.cmd, "filter")
	if op.Takes("filter") {
		set(query, "filter", words)
		words = ""
	}
	set(query, "sort", flag(r.cmd, "sort"))
	limit, err := r.cmd.Flags().GetInt("limit")
	if err != nil || limit < 0 {
		return usage(r.cmd, "--limit is a number of things, or 0 for all.")
	}
	most := limit
	if words != "" {
		most = 0
	}
	columns, err := columnsOf(res, op, form, flag(r.cmd, "columns"))
	if err != nil {
		return err
	}
	if op.ID == res.list && op.Takes("fields") && form != asJSON && form != asYAML {
		query.Set("fields", strings.Join(shown(res, columns), ","))
	}
	var items []json.RawMessage
	var rows [][]string
	err = r.client.Each(r.ctx, client.Call{Op: op.ID, Path: path, Query: query}, most, func(item json.RawMessage) error {
		if limit > 0 && len(items) == limit {
			return nil
		}
		if words == "" && (form == asJSON || form == asYAML) {
			items = append(items, item)
			return nil
		}
		o, err := split(item)
		if err != nil {
			return err
		}
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = r.cell(c, o)
		}
		if !matches(cells, words) {
			return nil
		}
		if form == asName {
			cells = []string{res.name + "/" + o.title(res)}
		}
		items, rows = append(items, item), append(rows, cells)
		return nil
	})
	if err != nil {
		return err
	}
	switch form {
	case asJSON, asYAML:
		if items == nil {
			items = []json.RawMessage{}
		}
		raw, err := json.Marshal(items)
		if err != nil {
			return err
		}
		return r.show(raw, form, res.name)
	}
	var heads []string
	for _, c := range columns {
		heads = append(heads, c.head)
	}
	t := r.table(heads)
	if form == asName {
		t.head, t.width = []string{""}, 0
	} else if len(rows) == 0 {
		if _, isTerm := terminal(r.Out); isTerm {
			_, err = r.Err.Write([]byte("There are none" + matching(r.cmd) + ".\n"))
			return err
		}
	}
	for _, row := range rows {
		t.row(row...)
	}
	t.quiet = form == asName || flag(r.cmd, "no-headers") == "true"
	return t.flush()
}

// shown are the fields that columns need: a server that can leave the others out is asked to.
func shown(res *resource, columns []column) []string {
	out := []string{"id"}
	for _, c := range append(slices.Clone(columns), column{path: res.by}) {
		name, _, _ := strings.Cut(c.path, ".")
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func matching(cmd *cobra.Command) string {
	if flag(cmd, "filter") != "" {
		return " that match"
	}
	return ""
}

// cell shows one value; what is empty is a dash, so that columns can be counted.
func (r *run) cell(c column, o object) string {
	raw := o.at(c.path)
	text := ""
	switch {
	case c.time:
		text = r.age(raw)
	case c.show != nil:
		text = c.show(raw)
	default:
		text = plain(raw)
	}
	if text == "" {
		return "-"
	}
	return text
}

// title is what a thing is called on the command line.
func (o object) title(res *resource) string {
	if res.by != "" {
		if name := o.text(res.by); name != "" {
			return name
		}
	}
	return o.text("id")
}

func matches(cells []string, words string) bool {
	all := strings.ToLower(strings.Join(cells, "\n"))
	for w := range strings.FieldsSeq(strings.ToLower(words)) {
		if !strings.Contains(all, w) {
			return false
		}
	}
	return true
}

// columnsOf chooses columns: those of the table, and others by their path.
func columnsOf(res *resource, op *client.Operation, form, chosen string) ([]column, error) {
	all := res.columns
	if op.ID != res.list {
		all = parts(op.Answer)
	}
	if chosen == "" {
		var out []column
		for _, c := range all {
			if !c.wide || form == asWide {
				out = append(out, c)
			}
		}
		return out, nil
	}
	var out []column
	for name := range strings.SplitSeq(chosen, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		i := slices.IndexFunc(all, func(c column) bool { return strings.EqualFold(c.head, name) || c.path == name })
		if i < 0 {
			out = append(out, column{head: strings.ToUpper(name), path: name})
			continue
		}
		out = append(out, all[i])
	}
	if len(out) == 0 {
		return nil, &client.UsageError{Msg: "--columns names none.", Fix: "Write for example --columns name,state."}
	}
	return out, nil
}

// parts are the columns of a list that has no table: its single values.
func parts(schema string) []column {
	var out []column
	for _, f := range client.Fields(schema) {
		switch {
		case f.Kind == client.Object || f.Kind == client.Array && f.Of != client.Text:
			continue
		case strings.HasSuffix(f.Name, "_bytes"):
			out = append(out, as(heading(f.Name), f.Name, size))
		case strings.HasSuffix(f.Name, "_at"):
			out = append(out, when(heading(f.Name), f.Name))
		default:
			out = append(out, column{head: heading(f.Name), path: f.Name, wide: strings.HasSuffix(f.Name, "_id")})
		}
	}
	slices.SortStableFunc(out, func(a, b column) int { return first(a) - first(b) })
	return out
}

// first puts what a thing is called at the left.
func first(c column) int {
	return slices.Index([]string{"id", "name", "target", "version"}, c.path) & 7 // -1 becomes 7: at the right
}

func heading(name string) string {
	return strings.ToUpper(strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(name, "_bytes"), "_at"), "_", " "))
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func upper(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.ToUpper(n)
	}
	return out
}

func long(op *client.Operation) string {
	text := op.Summary + "."
	if op.Doc != "" {
		text += "\n\n" + op.Doc
	}
	return text
}
