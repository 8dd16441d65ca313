package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"novacron/handlers/cli/client"
)

// clientCommands are those that are about no one resource.
func (a *app) clientCommands() []*cobra.Command {
	return []*cobra.Command{a.contextCommand(), a.loginCommand(), a.logoutCommand(), a.eventsCommand(), a.logsCommand(), a.topCommand(), a.apiCommand(), a.manCommand(), exitTopic()}
}

// extra adds what a resource has beyond the API's operations.
func (a *app) extra(res *resource, group *cobra.Command) {
	switch res.name {
	case "vm":
		group.AddCommand(a.consoleCommand(), a.screenshotCommand())
	case "host":
		group.AddCommand(a.maintenanceCommand(res))
	case "job":
		group.AddCommand(a.waitCommand(res))
	}
}

func (a *app) maintenanceCommand(res *resource) *cobra.Command {
	op := client.Find("edit-host")
	cmd := &cobra.Command{
		Use: "maintenance HOST on|off", Short: "Keep new VMs off a host, or let them come again", Args: exactly("HOST", "on|off"),
		Long: "Keep new VMs off a host, or let them come again. Those that are there stay: novacron host evacuate\nmoves them away.",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return a.completeNames(cmd, res, nil, nil, to)
			case 1:
				return []string{"on", "off"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	outputFlag(cmd, asTable, asJSON, asYAML, asName)
	cmd.RunE = a.with(func(r *run, args []string) error {
		if args[1] != "on" && args[1] != "off" {
			return usage(cmd, "“%s” is neither on nor off.", args[1])
		}
		path, err := r.path(res, op, args)
		if err != nil {
			return err
		}
		form, err := r.form(asTable, asJSON, asYAML, asName)
		if err != nil {
			return err
		}
		return r.send(res, []client.Call{{Op: op.ID, Path: path, Body: map[string]any{"maintenance": args[1] == "on"}}}, form, waiting{})
	})
	return cmd
}

// waitCommand follows tasks that were begun before.
func (a *app) waitCommand(res *resource) *cobra.Command {
	op := client.Find("get-job")
	cmd := &cobra.Command{
		Use: "wait TASK...", Short: "Follow tasks to their end", Args: exactly("TASK..."), Example: "  novacron job wait $(novacron vm stop web-1 --wait=no -o name)",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
			return a.completeNames(cmd, res, nil, args, to)
		},
	}
	outputFlag(cmd, asTable, asJSON, asYAML, asName)
	cmd.RunE = a.with(func(r *run, args []string) error {
		form, err := r.form(asTable, asJSON, asYAML, asName)
		if err != nil {
			return err
		}
		calls := make([]client.Call, len(args))
		for i, arg := range args {
			id, err := r.id(res, arg, nil)
			if err != nil {
				return err
			}
			calls[i] = client.Call{Op: op.ID, Path: []string{id}}
		}
		return r.send(res, calls, form, waiting{on: true})
	})
	return cmd
}

// apiCommand asks for anything that the API has and no command is for.
func (a *app) apiCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "api PATH", Short: "Ask the API for anything", Args: exactly("PATH"),
		Long:    "Ask the API for anything that no command is for; the server's /openapi.json says what there is. PATH\nis what follows /api/v1.",
		Example: "  novacron api /vms?state=running\n  novacron api -X POST /vms/vm_01k…/start\n  novacron api -X PATCH /hosts/host_01k… --set notes=\"new disk\"",
	}
	f := cmd.Flags()
	f.StringP("method", "X", "", "GET, POST, PUT, PATCH or DELETE; without it GET, or POST with a body")
	f.StringP("file", "f", "", "file of YAML or JSON to send; - is the standard input")
	f.StringArray("set", nil, "set a field of the body by its place; several times")
	_ = cmd.RegisterFlagCompletionFunc("method", cobra.FixedCompletions([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		var out []string
		if len(args) == 0 {
			for _, op := range client.All() {
				if op.Method == http.MethodGet {
					out = append(out, op.Path+"\t"+op.Summary)
				}
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = a.with(func(r *run, args []string) error {
		u, err := url.Parse(args[0])
		if err != nil || u.Host != "" {
			return usage(cmd, "“%s” is no path of the API.", args[0])
		}
		body, err := r.body(&client.Operation{})
		if err != nil {
			return err
		}
		call := client.Call{Query: u.Query()}
		method := strings.ToUpper(flag(cmd, "method"))
		if len(body) > 0 {
			call.Body = body
		}
		switch {
		case method == "" && len(body) > 0:
			method = http.MethodPost
		case method == "":
			method = http.MethodGet
		case !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"}, method):
			return usage(cmd, "“%s” is no method.", method)
		}
		res, err := r.client.Ask(r.ctx, method, "/"+strings.TrimLeft(strings.TrimPrefix(u.EscapedPath(), "/api/v1"), "/"), call)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if kind := res.Header.Get("Content-Type"); !strings.Contains(kind, "json") {
			_, err := io.Copy(r.Out, res.Body)
			return err
		}
		text, err := io.ReadAll(res.Body)
		if err != nil || len(text) == 0 {
			return err
		}
		return r.printJSON(text)
	})
	return cmd
}

// manCommand writes manual pages and completions, for packages.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual pages of all commands", Hidden: true, Args: exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { // #nosec G301 -- manual pages are for everybody
				return err
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // the same tree makes the same pages
			when := a.Clock().UTC()
			if text := a.Getenv("SOURCE_DATE_EPOCH"); text != "" {
				var sec int64
				if _, err := fmt.Sscan(text, &sec); err != nil {
					return usage(cmd, "SOURCE_DATE_EPOCH is no number of seconds.")
				}
				when = time.Unix(sec, 0).UTC()
			}
			if err := doc.GenManTree(root, &doc.GenManHeader{Title: "NOVACRON", Section: "1", Source: "NovaCron", Manual: "NovaCron", Date: &when}, args[0]); err != nil {
				return err
			}
			pages, err := filepath.Glob(filepath.Join(args[0], "*.1"))
			if err == nil {
				fmt.Fprintf(a.Out, "%d pages are in %s.\n", len(pages), args[0])
			}
			return err
		},
	}
}
