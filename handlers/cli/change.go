package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"novacron/handlers/cli/client"
)

// resourceCommand makes the commands of a resource.
func (a *app) resourceCommand(res *resource) *cobra.Command {
	group := &cobra.Command{Use: res.name, Aliases: res.aliases, Short: res.short, Example: res.example, RunE: needsVerb}
	if op := client.Find(res.list); op != nil {
		group.AddCommand(a.listCommand(res, op, "list"))
	}
	if op := client.Find(res.get); op != nil {
		group.AddCommand(a.getCommand(res, op, "get"))
	}
	for _, v := range []verb{{use: "create", op: res.create, none: true}, {use: "edit", op: res.edit}, {use: "delete", op: res.del}} {
		if op := client.Find(v.op); op != nil {
			group.AddCommand(a.changeCommand(res, op, v))
		}
	}
	for _, v := range res.verbs {
		op := client.Find(v.op)
		if op == nil {
			continue
		}
		on := res
		if v.on != "" {
			on = resourceNamed(v.on)
		}
		switch {
		case op.Method == http.MethodGet && op.Pages:
			group.AddCommand(a.listCommand(on, op, v.use))
		case op.Method == http.MethodGet:
			group.AddCommand(a.getCommand(on, op, v.use))
		default:
			group.AddCommand(a.changeCommand(on, op, v))
		}
	}
	a.extra(res, group)
	return group
}

// getCommand shows one thing.
func (a *app) getCommand(res *resource, op *client.Operation, use string) *cobra.Command {
	names := upper(a.pathNames(res, op))
	cmd := &cobra.Command{Use: strings.Join(append([]string{use}, names...), " "), Short: op.Summary, Long: long(op), Args: exactly(names...), ValidArgsFunction: a.completePath(res, op)}
	if use == "get" {
		cmd.Aliases = []string{"show"}
	}
	outputFlag(cmd, asYAML, asJSON, asName)
	for _, q := range op.Query {
		if q.Name != "wait" && q.Name != "fields" {
			a.bodyFlag(cmd, q)
		}
	}
	cmd.RunE = a.with(func(r *run, args []string) error {
		form, err := r.form(asYAML, asJSON, asName)
		if err != nil {
			return err
		}
		path, err := r.path(res, op, args)
		if err != nil {
			return err
		}
		query, err := r.query(op, "wait", "fields")
		if err != nil {
			return err
		}
		answer, err := r.client.Do(r.ctx, client.Call{Op: op.ID, Path: path, Query: query})
		if err != nil {
			return err
		}
		return r.show(answer.Body, form, res.name)
	})
	return cmd
}

// many says whether a change can be made to several things at once: it names one, and nothing follows.
func (a *app) many(res *resource, op *client.Operation) bool {
	owners := res.owners(op)
	return len(owners) > 0 && owners[len(owners)-1] == res && op.Method != http.MethodGet && op.Method != http.MethodPatch && op.Method != http.MethodPut
}

// changeCommand changes something, or makes or deletes it.
func (a *app) changeCommand(res *resource, op *client.Operation, v verb) *cobra.Command {
	names := upper(a.pathNames(res, op))
	many := a.many(res, op) && len(v.args) == 0
	words := slices.Clone(names)
	for _, arg := range v.args {
		if !slices.Contains(op.Params(), arg) {
			words = append(words, strings.ToUpper(arg))
		}
	}
	if many {
		words[len(words)-1] += "..."
	}
	cmd := &cobra.Command{
		Use: strings.Join(append([]string{v.use}, words...), " "), Short: cmp.Or(v.short, op.Summary), Long: long(op), Example: v.example, Args: exactly(words...), ValidArgsFunction: a.completePath(res, op),
	}
	if v.use == "delete" {
		cmd.Aliases = []string{"rm"}
	}
	if v.use == "create" && op.Body != "" {
		cmd.Args = func(cmd *cobra.Command, args []string) error { // the name may stand there, as people write it
			if len(args) == len(names)+1 && hasName(op) {
				return nil
			}
			return exactly(names...)(cmd, args)
		}
		if hasName(op) {
			cmd.Use += " [NAME]"
		}
	}
	outputFlag(cmd, asTable, asJSON, asYAML, asName)
	for _, q := range op.Query {
		if q.Name != "wait" && q.Name != "fields" {
			a.bodyFlag(cmd, q)
		}
	}
	if op.Body != "" {
		for _, f := range client.Fields(op.Body) {
			if !slices.ContainsFunc(v.args, func(arg string) bool { return strings.TrimSuffix(arg, "...") == f.Name }) {
				a.bodyFlag(cmd, f)
			}
		}
		cmd.Flags().StringP("file", "f", "", "file of YAML or JSON to take the fields from; - is the standard input")
		cmd.Flags().StringArray("set", nil, "set a field by its place, such as boot.kernel=/boot/vmlinuz; several times")
	}
	if op.Job() {
		waitFlag(cmd)
	}
	if op.Method == http.MethodDelete {
		cmd.Flags().BoolP("yes", "y", false, "do not ask at a terminal whether that is meant")
	}
	cmd.RunE = a.with(func(r *run, args []string) error {
		form, err := r.form(asTable, asJSON, asYAML, asName)
		if err != nil {
			return err
		}
		wait, err := r.waits()
		if err != nil {
			return err
		}
		if v.op == "exec-in-guest" && !cmd.Flags().Changed("wait") {
			wait.on = true // its output is what it is for
		}
		return r.change(res, op, v, args, form, wait)
	})
	return cmd
}

func hasName(op *client.Operation) bool {
	return slices.ContainsFunc(client.Fields(op.Body), func(f client.Field) bool { return f.Name == "name" })
}

// change asks for a change, of one thing or of several at once.
func (r *run) change(res *resource, op *client.Operation, v verb, args []string, form string, wait waiting) error {
	query, err := r.query(op, "wait", "fields")
	if err != nil {
		return err
	}
	n := len(op.Params())
	var body map[string]any
	if op.Body != "" {
		if body, err = r.body(op); err != nil {
			return err
		}
		rest := args[min(n, len(args)):]
		if v.use == "create" && len(rest) == 1 {
			body["name"] = rest[0]
		}
		for _, arg := range v.args {
			if slices.Contains(op.Params(), arg) {
				continue
			}
			if name, all := strings.CutSuffix(arg, "..."); all {
				body[name] = rest
				break
			}
			body[arg], rest = rest[0], rest[1:]
		}
		if v.use == "edit" && len(body) == 0 {
			return r.edit(res, op, args, form, wait)
		}
	}
	targets := [][]string{args[:min(n, len(args))]}
	if r.many(res, op) && len(v.args) == 0 {
		targets = nil
		for _, last := range args[n-1:] {
			targets = append(targets, append(slices.Clone(args[:n-1]), last))
		}
	}
	calls := make([]client.Call, len(targets))
	for i, t := range targets {
		path, err := r.path(res, op, t)
		if err != nil {
			return err
		}
		calls[i] = client.Call{Op: op.ID, Path: path, Query: query}
		if body != nil {
			calls[i].Body = body
		}
	}
	if err := r.sure(op, res, targets); err != nil {
		return err
	}
	return r.send(res, calls, form, wait)
}

// sure asks the person at a terminal before something is taken away; a script is believed.
func (r *run) sure(op *client.Operation, res *resource, targets [][]string) error {
	_, in := terminal(r.In)
	_, out := terminal(r.Err)
	if op.Method != http.MethodDelete || !in || !out || flag(r.cmd, "yes") == "true" {
		return nil
	}
	var names []string
	for _, t := range targets {
		names = append(names, t[len(t)-1])
	}
	fmt.Fprintf(r.Err, "%s: %s %s. Go on? [y/N] ", op.Summary, res.name, clean(strings.Join(names, ", "), false))
	line, err := bufio.NewReader(r.In).ReadString('\n')
	if err != nil && line == "" {
		return context.Canceled
	}
	if a := strings.ToLower(strings.TrimSpace(line)); a != "y" && a != "yes" {
		return &client.UsageError{Msg: "Nothing was done."}
	}
	return nil
}

// atOnce is how many requests are under way at a time.
const atOnce = 8

// send makes the requests, follows the jobs that they begin, and prints what came of them in the order in which they were named.
func (r *run) send(res *resource, calls []client.Call, form string, wait waiting) error {
	bars := r.bars(wait, len(calls))
	type outcome struct {
		body json.RawMessage
		err  error
	}
	outcomes := make([]outcome, len(calls))
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, call := range calls {
		wg.Go(func() {
			slots <- struct{}{}
			answer, err := r.client.Do(r.ctx, call)
			<-slots
			if err != nil {
				outcomes[i].err = err
				return
			}
			outcomes[i].body = answer.Body
			if wait.on && (answer.Job() || call.Op == "get-job") {
				outcomes[i].body, outcomes[i].err = r.follow(answer.Body, bars, wait)
			}
		})
	}
	wg.Wait()
	bars.done()
	var failed error
	for _, o := range outcomes {
		if o.err != nil {
			if failed == nil {
				failed = o.err
			} else {
				fmt.Fprintln(r.Err, "novacron: "+clean(strings.Join(Lines(o.err), "\n"), true))
			}
			if _, ok := errors.AsType[*jobError](o.err); !ok || form == asTable {
				continue
			}
		}
		if err := r.told(res, o.body, form, wait); err != nil {
			return err
		}
	}
	return failed
}

// told prints what a change answered.
func (r *run) told(res *resource, raw json.RawMessage, form string, wait waiting) error {
	if len(raw) == 0 {
		if form == asTable {
			fmt.Fprintln(r.Out, "Done.")
		}
		return nil
	}
	o, err := objectOf(raw)
	if err != nil {
		return err
	}
	_, isJob := o.get("steps")
	switch {
	case form == asJSON || form == asYAML:
		return r.show(raw, form, res.name)
	case form == asName && isJob:
		fmt.Fprintln(r.Out, "job/"+o.text("id"))
	case form == asName:
		fmt.Fprintln(r.Out, res.name+"/"+clean(o.title(res), false))
	case isJob && o.text("kind") == "guest.exec" && wait.on:
		return r.execResult(o.at("result"))
	case isJob && (wait.on || o.text("state") == "succeeded"):
		fmt.Fprintln(r.Out, clean(o.text("title"), false)+": done.")
	case isJob:
		fmt.Fprintln(r.Out, clean(o.text("title"), false)+": begun as "+o.text("id")+".")
	case o.text("token") != "": // shown this once; alone, so that a script can take it
		fmt.Fprintln(r.Out, o.text("token"))
	default:
		if title := o.title(res); title != "" {
			fmt.Fprintln(r.Out, res.name+"/"+clean(title, false))
			return nil
		}
		return r.printYAML(raw)
	}
	return nil
}
