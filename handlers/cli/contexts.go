package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"novacron/handlers/cli/client"
)

// known is a server that can be asked. Its token is in the system's keyring, or here, in a file for its owner only.
type known struct {
	Name    string `json:"name"`
	Server  string `json:"server"`
	CA      string `json:"ca,omitempty"`
	Keyring bool   `json:"keyring,omitempty"`
	Token   string `json:"token,omitempty"`
}

// book is the file of contexts.
type book struct {
	Current string  `json:"current"`
	Known   []known `json:"contexts"`
}

func (a *app) bookFile() string { return filepath.Join(a.Dir, "contexts.json") }

// book reads the file; one that is not there is an empty one.
func (a *app) book() (book, error) {
	var b book
	path := a.bookFile()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, fmt.Errorf("the file of contexts cannot be read: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return b, &deniedError{"The file " + path + " holds tokens and can be read by others.", "Close it with “chmod 600 " + path + "”; if others use this machine, revoke its tokens and sign in anew."}
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the caller's own file, which has just been found closed to others
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil {
		return b, fmt.Errorf("the file of contexts %s cannot be read: %w", path, err)
	}
	return b, nil
}

// write replaces the file as a whole: another command may read it meanwhile.
func (a *app) write(b book) error {
	if a.Dir == "" {
		return &client.UsageError{Msg: "There is no home directory to keep contexts in.", Fix: "Set HOME, or use NOVACRON_SERVER and NOVACRON_TOKEN."}
	}
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return err
	}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(a.Dir, ".contexts-*") // 0600 by itself
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), a.bookFile())
}

// find gives the context of that name, else of that server, else the one in use.
func (b *book) find(name, server string) (known, bool) {
	if name == "" && server == "" {
		name = b.Current
	}
	var want string
	if u, err := client.Address(server); server != "" && err == nil {
		want = u.String()
	}
	for _, k := range b.Known {
		if name != "" && k.Name == name || name == "" && want != "" && k.Server == want {
			return k, true
		}
	}
	return known{}, false
}

// put adds a context or replaces the one of its name.
func (b *book) put(k known) {
	b.Known = slices.DeleteFunc(b.Known, func(o known) bool { return o.Name == k.Name })
	b.Known = append(b.Known, k)
	slices.SortFunc(b.Known, func(x, y known) int { return cmp.Compare(x.Name, y.Name) })
	if b.Current == "" {
		b.Current = k.Name
	}
}

// nameOf is what a server is called when nobody says.
func nameOf(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return server
	}
	return strings.Trim(u.Host+strings.ReplaceAll(u.Path, "/", "-"), "-")
}

func (a *app) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	b, err := a.book()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, k := range b.Known {
		out = append(out, k.Name+"\t"+k.Server)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) contextCommand() *cobra.Command {
	group := &cobra.Command{Use: "context", Short: "The servers that this terminal knows", RunE: needsVerb}
	first := func(cmd *cobra.Command, args []string, to string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completeContexts(cmd, args, to)
	}
	list := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List them; the one in use has a star", Args: exactly()}
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := a.book()
		if err != nil {
			return err
		}
		r := &run{app: a, cmd: cmd, ctx: cmd.Context()}
		t := r.table([]string{"", "NAME", "SERVER", "TOKEN"})
		for _, k := range b.Known {
			star, where := "", "file"
			if k.Name == b.Current {
				star = "*"
			}
			if k.Keyring {
				where = "keyring"
			} else if k.Token == "" {
				where = "none"
			}
			t.row(star, k.Name, k.Server, where)
		}
		return t.flush()
	}
	use := &cobra.Command{Use: "use NAME", Short: "Ask this server from now on", Args: exactly("NAME"), ValidArgsFunction: first}
	use.RunE = func(_ *cobra.Command, args []string) error {
		b, err := a.book()
		if err != nil {
			return err
		}
		k, ok := b.find(args[0], "")
		if !ok {
			return &notFoundError{"There is no context “" + args[0] + "”.", "novacron context list names those that there are."}
		}
		b.Current = k.Name
		if err := a.write(b); err != nil {
			return err
		}
		fmt.Fprintln(a.Out, k.Name+" ("+k.Server+") is asked from now on.")
		return nil
	}
	add := &cobra.Command{
		Use: "add NAME SERVER", Short: "Remember a server; sign in to it with novacron login", Args: exactly("NAME", "SERVER"),
		Example: "  novacron context add prod https://novacron.example.org\n  novacron login --context prod",
	}
	add.RunE = func(cmd *cobra.Command, args []string) error {
		u, err := client.Address(args[1])
		if err != nil {
			return err
		}
		b, err := a.book()
		if err != nil {
			return err
		}
		if old, ok := b.find(args[0], ""); ok && old.Server != u.String() {
			return &conflictError{"There is a context “" + old.Name + "” for " + old.Server + " already.", "Remove it first with “novacron context remove " + old.Name + "”, or choose another name."}
		}
		k := known{Name: args[0], Server: u.String()}
		if k.CA = flag(cmd, "ca"); k.CA != "" {
			if k.CA, err = filepath.Abs(k.CA); err != nil {
				return err
			}
		}
		b.put(k)
		return a.write(b)
	}
	remove := &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Forget a server and its token here; the token stays valid until it is revoked", Args: exactly("NAME"), ValidArgsFunction: first,
	}
	remove.RunE = func(_ *cobra.Command, args []string) error {
		b, err := a.book()
		if err != nil {
			return err
		}
		k, ok := b.find(args[0], "")
		if !ok {
			return &notFoundError{"There is no context “" + args[0] + "”.", "novacron context list names those that there are."}
		}
		if err := a.forget(k); err != nil {
			return err
		}
		b.Known = slices.DeleteFunc(b.Known, func(o known) bool { return o.Name == k.Name })
		if b.Current == k.Name {
			b.Current = ""
		}
		return a.write(b)
	}
	group.AddCommand(list, use, add, remove)
	return group
}
