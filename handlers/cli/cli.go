// Package cli is what a terminal sees of a server: commands that ask its HTTP API and print the answers.
//
// A resource is a row of a table (resources.go): its commands, flags and completions are made from the API's operations, so that they stay in step with
// them. It is not for what runs on a server's own data directory (auth/offline), and it knows nothing of databases, jobs or hosts: it speaks HTTP only.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"novacron/domain"
	"novacron/handlers/cli/client"
)

// Options are what a command line stands on.
type Options struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	// Dir is where contexts are kept.
	Dir     string
	Version string
	Clock   func() time.Time
}

// System is the process's own surroundings.
func System(version string) Options {
	o := Options{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Version: version, Clock: time.Now}
	if dir, err := os.UserConfigDir(); err == nil {
		o.Dir = dir + "/novacron"
	}
	return o
}

// Groups of commands in the root's help.
const (
	groupServer = "server"
	groupEstate = "estate"
	groupAccess = "access"
	groupClient = "client"
)

// Add puts the commands below the root. A command of the same name that is there already, which works on a data directory, is kept where it is asked for.
func Add(root *cobra.Command, o Options) {
	root.AddGroup(&cobra.Group{ID: groupEstate, Title: "The estate:"}, &cobra.Group{ID: groupAccess, Title: "Who may what:"},
		&cobra.Group{ID: groupClient, Title: "This terminal:"}, &cobra.Group{ID: groupServer, Title: "On the server itself:"})
	for _, c := range root.Commands() {
		if c.GroupID == "" {
			c.GroupID = groupServer
		}
	}
	a := &app{Options: o}
	for i := range resources {
		a.mount(root, a.resourceCommand(&resources[i]), resources[i].group)
	}
	for _, c := range a.estateCommands() {
		a.mount(root, c, groupEstate)
	}
	for _, c := range a.clientCommands() {
		a.mount(root, c, groupClient)
	}
}

// app makes the commands.
type app struct{ Options }

// mount adds a command with the flags that all have, into one of the same name when there is one.
func (a *app) mount(root, cmd *cobra.Command, group string) {
	cmd.GroupID = group
	a.globals(cmd)
	for _, old := range root.Commands() {
		if old.Name() == cmd.Name() {
			root.RemoveCommand(old)
			a.merge(cmd, old)
		}
	}
	root.AddCommand(cmd)
}

func (a *app) globals(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.String("server", "", "address of the server to ask, instead of the context's [NOVACRON_SERVER]")
	f.String("context", "", "which of the known servers to ask (see novacron context list) [NOVACRON_CONTEXT]")
	f.String("ca", "", "file of certificates (PEM) that the server's is from")
	f.String("color", "auto", "auto (on a terminal, and without NO_COLOR), always or never")
	f.Duration("timeout", 0, "give up after this long, such as 30s; a change that was begun goes on")
	_ = cmd.RegisterFlagCompletionFunc("context", a.completeContexts)
	_ = cmd.RegisterFlagCompletionFunc("color", cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp))
}

// run is one invocation of a command.
type run struct {
	*app
	cmd    *cobra.Command
	ctx    context.Context
	client *client.Client
	known  string // name of the context that is used; empty: none
}

// with makes a command's body from what it does with a client.
func (a *app) with(do func(r *run, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		r, end, err := a.start(cmd)
		if err != nil {
			return err
		}
		defer end()
		return do(r, args)
	}
}

// memory is how much a command may take before it collects.
const memory = 128 << 20

func (a *app) start(cmd *cobra.Command) (*run, func(), error) {
	debug.SetGCPercent(-1) // a command ends before collecting pays, unless it follows something
	debug.SetMemoryLimit(memory)
	r := &run{app: a, cmd: cmd, ctx: cmd.Context()}
	end := func() {}
	if limit, err := cmd.Flags().GetDuration("timeout"); err == nil && limit > 0 {
		r.ctx, end = context.WithTimeoutCause(r.ctx, limit, &timeoutError{limit})
	}
	var err error
	if r.client, r.known, err = a.connect(cmd); err != nil {
		end()
		return nil, nil, err
	}
	return r, end, nil
}

type timeoutError struct{ limit time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("There was no answer within %s.", e.limit) }

// flag reads a flag that may not be there.
func flag(cmd *cobra.Command, name string) string {
	if f := cmd.Flags().Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// connect finds the server to ask: what the flags name, then the environment, then the context in use.
func (a *app) connect(cmd *cobra.Command) (*client.Client, string, error) {
	server, name := flag(cmd, "server"), flag(cmd, "context")
	if server == "" && name == "" {
		server, name = a.Getenv("NOVACRON_SERVER"), a.Getenv("NOVACRON_CONTEXT")
	}
	o := client.Options{Server: server, Token: a.Getenv("NOVACRON_TOKEN"), CA: flag(cmd, "ca"), Agent: "novacron/" + strings.Fields(cmp.Or(a.Version, "0"))[0], Code: a.askCode}
	book, err := a.book()
	if err != nil {
		return nil, "", err
	}
	k, ok := book.find(name, server)
	if !ok && name != "" {
		return nil, "", &notFoundError{"There is no context “" + name + "”.", "novacron context list names those that there are."}
	}
	if !ok && server == "" {
		return nil, "", &client.UsageError{Msg: "It is not known which server to ask.", Fix: "Sign in with “novacron login https://…”, or name one with --server and give a token in NOVACRON_TOKEN."}
	}
	if ok {
		if o.Server == "" {
			o.Server = k.Server
		}
		if o.CA == "" {
			o.CA = k.CA
		}
		if o.Token == "" {
			if o.Token, err = a.tokenOf(k); err != nil {
				return nil, "", err
			}
		}
	}
	c, err := client.New(o)
	return c, k.Name, err
}

// terminal is the descriptor of a stream when a person sits there.
func terminal(stream any) (fd int, ok bool) {
	f, ok := stream.(*os.File)
	if !ok {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// colours says whether a stream may be coloured.
func (r *run) colours(stream any) bool {
	switch flag(r.cmd, "color") {
	case "always":
		return true
	case "never":
		return false
	}
	_, ok := terminal(stream)
	return ok && r.Getenv("NO_COLOR") == "" && r.Getenv("TERM") != "dumb"
}

// askCode asks the person for a code of the authenticator.
func (a *app) askCode(context.Context) (string, error) {
	in, isTerm := terminal(a.In)
	if !isTerm {
		return "", &deniedError{"The server asks for a code of your authenticator app.", "Run this at a terminal, or use a service account's token."}
	}
	fmt.Fprint(a.Err, "The server asks for a code of your authenticator app: ")
	code, err := term.ReadPassword(in)
	fmt.Fprintln(a.Err)
	return strings.TrimSpace(string(code)), err
}

// Lines says what an error is for a person, one line each.
func Lines(err error) []string {
	if l, ok := errors.AsType[interface {
		error
		Lines() []string
	}](err); ok {
		return l.Lines()
	}
	if e, ok := errors.AsType[*domain.Error](err); ok {
		out := []string{e.Detail()}
		for _, f := range e.Fields {
			if f.Want != "" {
				out = append(out, "  "+f.Field+": right would be "+f.Want)
			}
		}
		if e.Fix != "" {
			out = append(out, "  "+e.Fix)
		}
		return out
	}
	return []string{err.Error()}
}

// Report prints an error and gives the code to leave with.
func Report(w io.Writer, err error) int {
	code := exitCode(err)
	if code == exitInterrupted {
		return code
	}
	if !errors.Is(err, errSaid) {
		fmt.Fprintln(w, "novacron: "+clean(strings.Join(Lines(err), "\n"), true))
	}
	return code
}

// errSaid is in errors of which a person knows already.
var errSaid = errors.New("it was said")
