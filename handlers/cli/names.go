package cli

import (
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"novacron/handlers/cli/client"
)

// idRE is what an id looks like behind its prefix.
var idRE = regexp.MustCompile(`^[0-9a-z]{16,}$`)

func (res *resource) isID(text string) bool {
	return slices.ContainsFunc(res.prefixes, func(p string) bool {
		rest, ok := strings.CutPrefix(text, p)
		return ok && idRE.MatchString(rest)
	})
}

// owners are the resources whose names stand in a path, with nil for what is written as it is.
func (res *resource) owners(op *client.Operation) []*resource {
	out := make([]*resource, len(op.Params()))
	for i := range out {
		switch {
		case i == 0 && res.in != "":
			out[i] = resourceNamed(res.in)
		case i == 0, i == 1 && res.in != "":
			out[i] = res
		}
	}
	return out
}

// pathNames are what the arguments for a path are called.
func (a *app) pathNames(res *resource, op *client.Operation) []string {
	params := op.Params()
	out := make([]string, len(params))
	for i, o := range res.owners(op) {
		out[i] = params[i]
		if o != nil {
			out[i] = o.name
		} else if params[i] == "v" || params[i] == "n" {
			out[i] = "version"
		}
	}
	return out
}

// path makes ids of the names for a path.
func (r *run) path(res *resource, op *client.Operation, args []string) ([]string, error) {
	owners := res.owners(op)
	out := make([]string, len(owners))
	for i, o := range owners {
		out[i] = args[i]
		if o == nil {
			continue
		}
		id, err := r.id(o, args[i], out[:i])
		if err != nil {
			return nil, err
		}
		out[i] = id
	}
	return out, nil
}

// id finds the id of what is called so; parents is where it is.
func (r *run) id(res *resource, name string, parents []string) (string, error) {
	name = strings.TrimPrefix(name, res.name+"/") // as -o name prints it
	if name == "" {
		return "", &client.UsageError{Msg: "The name of a " + res.name + " is empty.", Fix: ""}
	}
	if res.isID(name) || res.by == "" && len(res.prefixes) > 0 {
		return name, nil
	}
	op := client.Find(res.list)
	if op == nil {
		return name, nil
	}
	parents = parents[:min(len(parents), len(op.Params()))]
	find := func(query url.Values) ([]object, error) {
		var found []object
		err := r.client.Each(r.ctx, client.Call{Op: op.ID, Path: parents, Query: query}, 0, func(item json.RawMessage) error {
			o, err := split(item)
			if err == nil && (o.text(res.by) == name || o.text("id") == name) {
				found = append(found, o)
			}
			return err
		})
		return found, err
	}
	var found []object
	var err error
	if op.Takes("filter") {
		found, err = find(url.Values{"filter": {`"` + strings.ReplaceAll(name, `"`, "") + `"`}})
	}
	if p, ok := errors.AsType[*client.Problem](err); !op.Takes("filter") || ok && p.Status == 422 || err == nil && len(found) == 0 {
		found, err = find(nil)
	}
	if err != nil {
		return "", err
	}
	if i := slices.IndexFunc(found, func(o object) bool { return o.text("id") == name }); i >= 0 {
		return name, nil
	}
	switch len(found) {
	case 0:
		return "", &notFoundError{"There is no " + res.name + " “" + name + "”.", "novacron " + res.name + " list names those that there are."}
	case 1:
		return found[0].text("id"), nil
	}
	e := &conflictError{"Several are called “" + name + "”.", "Name one by its id:"}
	for _, o := range found {
		e.fix += "\n    " + o.text("id") + "  " + o.text("host")
	}
	return "", e
}

// completing is how many names are offered at once.
const completing = 200

// completeNames offers the names of a resource.
func (a *app) completeNames(cmd *cobra.Command, res *resource, parents, taken []string, begins string) ([]string, cobra.ShellCompDirective) {
	const quiet = cobra.ShellCompDirectiveNoFileComp
	op := client.Find(res.list)
	if op == nil {
		return nil, quiet
	}
	r, end, err := a.start(cmd)
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
		return nil, quiet
	}
	defer end()
	parents = parents[:min(len(parents), len(op.Params()))]
	var out []string
	full := errors.New("enough")
	err = r.client.Each(r.ctx, client.Call{Op: op.ID, Path: parents}, 0, func(item json.RawMessage) error {
		o, err := split(item)
		if err != nil {
			return err
		}
		name := clean(o.title(res), false)
		if !strings.HasPrefix(name, begins) || slices.Contains(taken, name) {
			return nil
		}
		about := ""
		for _, c := range res.columns {
			if c.path != res.by && c.path != "id" && !c.time && c.show == nil {
				about = "\t" + clean(o.text(c.path), false)
				break
			}
		}
		if out = append(out, name+about); len(out) >= completing {
			return full
		}
		return nil
	})
	if err != nil && !errors.Is(err, full) {
		cobra.CompDebugln(err.Error(), false)
		return nil, quiet
	}
	return out, quiet
}

// completePath offers the names that a path needs, one after the other.
func (a *app) completePath(res *resource, op *client.Operation) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
		owners := res.owners(op)
		many := a.many(res, op)
		at := len(args)
		if many && at >= len(owners) {
			at = len(owners) - 1
		}
		if at < 0 || at >= len(owners) || owners[at] == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		parents := args[:at]
		if at > 0 { // the list of what is inside needs the id of what it is in
			r, end, err := a.start(cmd)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			defer end()
			id, err := r.id(owners[0], args[0], nil)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			parents = []string{id}
		}
		return a.completeNames(cmd, owners[at], parents, args[at:], to)
	}
}
