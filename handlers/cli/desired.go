package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"novacron/handlers/cli/client"
)

// desiredItem is one object of a plan, as the API tells it.
type desiredItem struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Action string `json:"action"`
	Reason string `json:"reason"`
	At     string `json:"at"`
	Fields []struct {
		Path, Last, Live, Wanted, Why string
	} `json:"fields"`
}

type desiredPlan struct {
	Owner   string         `json:"owner"`
	Items   []desiredItem  `json:"items"`
	Empty   bool           `json:"empty"`
	Summary map[string]int `json:"summary"`
}

// estateCommands are those that hold the estate to files.
func (a *app) estateCommands() []*cobra.Command {
	flags := func(cmd *cobra.Command) *cobra.Command {
		f := cmd.Flags()
		f.StringArrayP("file", "f", nil, "file of YAML, or directory of such files; - is the standard input; several times (needed)")
		f.String("owner", "", "whose the objects are, when the files do not say")
		f.Bool("prune", false, "what the owner applied before, and the files do not have any more, goes; nothing else is ever deleted")
		f.Bool("prune-disks", false, "with --prune: VMs lose their disks, too")
		f.String("tenant", "", "for whom has roles in several tenants: the one in whose name it is")
		_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
		return cmd
	}
	long := `Files say what the estate is to be: owner, tenants, pools, networks, templates, vms, policies and
affinity_rules, in one or several documents of YAML. What a file leaves out is not looked at. Three sides are compared:
what was applied last, what is, and what the files say; so a field that somebody changed by other means is told from
one that the file changed.`
	plan := flags(&cobra.Command{Use: "plan -f FILE", Short: "Say what an apply of files would do, and why", Long: long, Args: exactly(),
		Example: "  novacron plan -f estate.yaml\n  novacron plan -f estate/ --prune -o json"})
	outputFlag(plan, asTable, asWide, asJSON, asYAML)
	plan.RunE = a.with(func(r *run, _ []string) error {
		form, err := r.form(asTable, asWide, asJSON, asYAML)
		if err != nil {
			return err
		}
		body, err := r.wanted()
		if err != nil {
			return err
		}
		raw, p, err := r.plan(body)
		if err != nil {
			return err
		}
		if form == asJSON || form == asYAML {
			return r.show(raw, form, "plan")
		}
		return r.showPlan(p, form == asWide)
	})
	diff := flags(&cobra.Command{Use: "diff -f FILE", Short: "Show field by field how files differ from what is", Long: long, Args: exactly(), Example: "  novacron diff -f estate.yaml"})
	diff.RunE = a.with(func(r *run, _ []string) error {
		body, err := r.wanted()
		if err != nil {
			return err
		}
		_, p, err := r.plan(body)
		if err != nil {
			return err
		}
		return r.showDiff(p)
	})
	apply := flags(&cobra.Command{Use: "apply -f FILE", Short: "Make the estate as files say", Args: exactly(), Long: long + `

Every change is the task that a person would have made for it, in the order of what needs what. A plan with an object
that cannot be applied, such as one that belongs to another owner, is refused as a whole.`,
		Example: "  novacron apply -f estate.yaml --wait\n  novacron apply -f estate/ --prune\n  novacron export | novacron apply --owner ops -f -"})
	waitFlag(apply)
	outputFlag(apply, asTable, asJSON, asYAML, asName)
	apply.RunE = a.with(func(r *run, _ []string) error {
		form, err := r.form(asTable, asJSON, asYAML, asName)
		if err != nil {
			return err
		}
		wait, err := r.waits()
		if err != nil {
			return err
		}
		body, err := r.wanted()
		if err != nil {
			return err
		}
		if form == asTable {
			_, p, err := r.plan(body)
			if err != nil {
				return err
			}
			if err := r.showPlan(p, false); err != nil {
				return err
			}
		}
		return r.begin("/apply", body, form, wait)
	})
	export := &cobra.Command{Use: "export", Short: "Write the estate as a file that applies back without a change", Args: exactly(), Example: "  novacron export > estate.yaml\n  novacron export --owner team-a --kind vm"}
	export.Flags().String("owner", "", "only what this owner applied")
	export.Flags().String("tenant", "", "for whom has roles in several tenants: the one that is meant")
	export.Flags().String("kind", "", "only objects of this kind: "+strings.Join(desiredKinds, ", "))
	_ = export.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(desiredKinds, cobra.ShellCompDirectiveNoFileComp))
	export.RunE = a.with(func(r *run, _ []string) error {
		q := url.Values{}
		set(q, "owner", flag(r.cmd, "owner"))
		set(q, "kind", flag(r.cmd, "kind"))
		set(q, "tenant", flag(r.cmd, "tenant"))
		var out struct{ Text string }
		if err := r.asked(http.MethodGet, "/export", client.Call{Query: q}, &out); err != nil {
			return err
		}
		_, err := io.WriteString(r.Out, out.Text)
		return err
	})
	return []*cobra.Command{apply, plan, diff, export, a.driftCommand()}
}

var desiredKinds = []string{"tenant", "pool", "network", "template", "vm", "policy", "affinity"}

func (a *app) driftCommand() *cobra.Command {
	root := &cobra.Command{Use: "drift", Short: "What is not as it was applied: list, adopt, revert or ignore it", RunE: needsVerb}
	list := &cobra.Command{Use: "list", Short: "List what is not as it was applied", Args: exactly()}
	list.Flags().String("owner", "", "only what this owner applied")
	list.Flags().String("tenant", "", "for whom has roles in several tenants: the one that is meant")
	outputFlag(list, asTable, asJSON, asYAML)
	list.RunE = a.with(func(r *run, _ []string) error {
		form, err := r.form(asTable, asJSON, asYAML)
		if err != nil {
			return err
		}
		q := url.Values{"limit": {"500"}}
		set(q, "owner", flag(r.cmd, "owner"))
		set(q, "tenant", flag(r.cmd, "tenant"))
		var all []json.RawMessage
		for {
			var page struct {
				Items []json.RawMessage
				Next  string
			}
			if err := r.asked(http.MethodGet, "/drift", client.Call{Query: q}, &page); err != nil {
				return err
			}
			all = append(all, page.Items...)
			if page.Next == "" {
				break
			}
			q.Set("cursor", page.Next)
		}
		if form != asTable {
			raw, err := json.Marshal(append([]json.RawMessage{}, all...))
			if err != nil {
				return err
			}
			return r.show(raw, form, "drift")
		}
		t := r.table([]string{"KIND", "NAME", "OWNER", "FIELD", "APPLIED", "IS", "IGNORED"})
		for _, raw := range all {
			var d struct {
				Kind, Name, Owner string
				Fields, Ignored   []struct{ Path, Live, Wanted string }
			}
			if err := json.Unmarshal(raw, &d); err != nil {
				return err
			}
			for i, f := range slices.Concat(d.Fields, d.Ignored) {
				ignored := ""
				if i >= len(d.Fields) {
					ignored = "yes"
				}
				t.row(d.Kind, d.Name, d.Owner, fieldOf(f.Path), f.Wanted, f.Live, ignored)
			}
		}
		return t.flush()
	})
	root.AddCommand(list)
	for _, v := range []struct{ act, short string }{{"adopt", "Take what is for what was applied"}, {"ignore", "Speak no more of how it deviates now"}, {"revert", "Make it as it was applied again"}} {
		cmd := &cobra.Command{Use: v.act + " KIND NAME", Short: v.short, Args: exactly("KIND", "NAME"), Example: "  novacron drift " + v.act + " vm web-1"}
		cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return desiredKinds, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if v.act == "revert" {
			waitFlag(cmd)
		}
		cmd.RunE = a.with(func(r *run, args []string) error {
			if !slices.Contains(desiredKinds, args[0]) {
				return usage(r.cmd, "“%s” is no kind of object.", args[0])
			}
			name := args[1]
			if args[0] == "policy" {
				name = strings.Replace(name, "/", ":", 1)
			}
			path := "/drift/" + args[0] + "/" + url.PathEscape(name) + "/" + v.act
			if v.act != "revert" {
				if err := r.asked(http.MethodPost, path, client.Call{}, nil); err != nil {
					return err
				}
				fmt.Fprintln(r.Out, "Done.")
				return nil
			}
			wait, err := r.waits()
			if err != nil {
				return err
			}
			return r.begin(path, nil, asTable, wait)
		})
		root.AddCommand(cmd)
	}
	return root
}

// fieldOf names a field; an object that is gone has none.
func fieldOf(path string) string {
	if path == "." {
		return "(the whole)"
	}
	return path
}

// asked asks and decodes the answer.
func (r *run) asked(method, path string, call client.Call, out any) error {
	res, err := r.client.Ask(r.ctx, method, path, call)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// begin makes a change and follows its task.
func (r *run) begin(path string, body any, form string, wait waiting) error {
	var raw json.RawMessage
	call := client.Call{}
	if body != nil {
		call.Body = body
	}
	if err := r.asked(http.MethodPost, path, call, &raw); err != nil {
		return err
	}
	var err error
	if wait.on {
		bars := r.bars(wait, 1)
		raw, err = r.follow(raw, bars, wait)
		bars.done()
	}
	if err != nil {
		return err
	}
	return r.told(&resource{name: "job"}, raw, form, wait)
}

// wanted reads the files.
func (r *run) wanted() (map[string]any, error) {
	names, err := r.cmd.Flags().GetStringArray("file")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, usage(r.cmd, "It is not said which files.")
	}
	type file struct {
		Name string `json:"name"`
		Text string `json:"text"`
	}
	var files []file
	read := func(name string) error {
		var text []byte
		var err error
		if name == "-" {
			text, err = io.ReadAll(r.In)
			name = "standard input"
		} else {
			text, err = os.ReadFile(name) // #nosec G304 -- the file that is named on the command line, read as who typed it
		}
		if err == nil {
			files = append(files, file{name, string(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))})
		}
		return err
	}
	for _, name := range names {
		if st, err := os.Stat(name); name == "-" || err != nil || !st.IsDir() {
			if err := read(name); err != nil {
				return nil, &client.UsageError{Msg: "The file cannot be read: " + err.Error() + ".", Fix: "Name a file, a directory, or - for the standard input."}
			}
			continue
		}
		err := filepath.WalkDir(name, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
				return err
			}
			return read(path)
		})
		if err != nil {
			return nil, &client.UsageError{Msg: "The directory cannot be read: " + err.Error() + "."}
		}
	}
	if len(files) == 0 {
		return nil, &client.UsageError{Msg: "There are no files of YAML in " + strings.Join(names, ", ") + "."}
	}
	body := map[string]any{"files": files}
	if owner := flag(r.cmd, "owner"); owner != "" {
		body["owner"] = owner
	}
	if tenant := flag(r.cmd, "tenant"); tenant != "" {
		body["tenant"] = tenant
	}
	for name, field := range map[string]string{"prune": "prune", "prune-disks": "prune_disks"} {
		if flag(r.cmd, name) == "true" {
			body[field] = true
		}
	}
	return body, nil
}

func (r *run) plan(body map[string]any) (json.RawMessage, desiredPlan, error) {
	var p desiredPlan
	var raw json.RawMessage
	if err := r.asked(http.MethodPost, "/plan", client.Call{Body: body}, &raw); err != nil {
		return nil, p, err
	}
	return raw, p, json.Unmarshal(raw, &p)
}

// showPlan prints what would change; with all, also what stays.
func (r *run) showPlan(p desiredPlan, all bool) error {
	t := r.table([]string{"ACTION", "KIND", "NAME", "REASON"})
	shown := 0
	for _, it := range p.Items {
		if it.Action == "keep" && !all {
			continue
		}
		shown++
		t.row(strings.ReplaceAll(it.Action, "_", " "), it.Kind, it.Name, it.Reason)
	}
	if shown > 0 {
		if err := t.flush(); err != nil {
			return err
		}
	}
	var said []string
	for _, a := range []string{"create", "update", "delete", "take_over", "keep", "leave", "forget", "blocked"} {
		if n := p.Summary[a]; n > 0 {
			said = append(said, fmt.Sprintf("%d to %s", n, map[string]string{"create": "create", "update": "update", "delete": "delete", "take_over": "take over", "keep": "keep as they are", "leave": "leave", "forget": "forget", "blocked": "put right first"}[a]))
		}
	}
	if len(said) == 0 {
		said = []string{"nothing is asked for"}
	}
	_, err := fmt.Fprintf(r.Out, "%s: %s.\n", clean(p.Owner, false), strings.Join(said, ", "))
	return err
}

// showDiff prints every field that differs.
func (r *run) showDiff(p desiredPlan) error {
	same := true
	for _, it := range p.Items {
		if it.Action == "keep" || it.Action == "take_over" {
			continue
		}
		same = false
		fmt.Fprintf(r.Out, "%s %s: %s. %s\n", it.Kind, clean(it.Name, false), strings.ReplaceAll(it.Action, "_", " "), clean(it.Reason, false))
		for _, f := range it.Fields {
			fmt.Fprintf(r.Out, "  %s\n", clean(f.Path, false))
			if f.Why == "outside" || f.Why == "both" {
				fmt.Fprintf(r.Out, "    applied  %s\n", clean(f.Last, false))
			}
			fmt.Fprintf(r.Out, "  - is       %s\n  + wanted   %s\n", clean(f.Live, false), clean(f.Wanted, false))
		}
	}
	if same {
		fmt.Fprintln(r.Out, "Nothing differs.")
	}
	return nil
}
