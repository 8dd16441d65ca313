package cli

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"novacron/handlers/cli/client"
)

func (a *app) loginCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "login [SERVER]", Short: "Sign in to a server and remember it",
		Long: `Sign in to a server and remember it as a context.

Without --token this terminal shows a code and an address: open it in a browser in which you are
signed in, compare the code, and let the terminal in. It then has a token of yours for 90 days.

The token is kept in the system's keyring where there is one, else in a file that only you can
read (` + "contexts.json" + ` in the configuration directory).`,
		Example: "  novacron login https://novacron.example.org\n  novacron login --token < token.txt https://novacron.example.org",
		Args:    upTo("SERVER"),
	}
	f := cmd.Flags()
	f.Bool("token", false, "take an API token from the standard input")
	f.Bool("no-browser", false, "only print the address, and open no browser here")
	f.String("name", "", "what to call this server; otherwise its address")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.login(cmd, args) }
	return cmd
}

// upTo allows these arguments, none of which is needed.
func upTo(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return usage(cmd, "“%s” is too much.", args[len(names)])
		}
		return nil
	}
}

func (a *app) login(cmd *cobra.Command, args []string) error {
	b, err := a.book()
	if err != nil {
		return err
	}
	k, err := a.meant(cmd, b, args)
	if err != nil {
		return err
	}
	var token string
	if flag(cmd, "token") == "true" {
		token, err = a.readToken()
	} else {
		token, err = a.byBrowser(cmd, k)
	}
	if err != nil {
		return err
	}
	return a.keep(cmd, b, k, token)
}

// meant is the server to sign in to.
func (a *app) meant(cmd *cobra.Command, b book, args []string) (known, error) {
	name := cmp.Or(flag(cmd, "name"), flag(cmd, "context"))
	server := cmp.Or(strings.Join(args, ""), flag(cmd, "server"), a.Getenv("NOVACRON_SERVER"))
	k, ok := b.find(name, server)
	if !ok && server == "" {
		if name != "" {
			return k, &notFoundError{"There is no context “" + name + "”.", "Name the server’s address too."}
		}
		return k, &client.UsageError{Msg: "It is not said which server to sign in to.", Fix: "Write its address: novacron login https://novacron.example.org"}
	}
	if server != "" {
		u, err := client.Address(server)
		if err != nil {
			return k, err
		}
		k = known{Name: cmp.Or(name, k.Name, nameOf(u.String())), Server: u.String(), CA: k.CA}
	}
	if ca := flag(cmd, "ca"); ca != "" {
		var err error
		if k.CA, err = filepath.Abs(ca); err != nil {
			return k, err
		}
	}
	return k, nil
}

// readToken takes a token from the standard input; at a terminal it is not shown.
func (a *app) readToken() (string, error) {
	var text string
	if fd, ok := terminal(a.In); ok {
		fmt.Fprint(a.Err, "API token: ")
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(a.Err)
		if err != nil {
			return "", err
		}
		text = string(b)
	} else {
		line, err := bufio.NewReader(io.LimitReader(a.In, 4096)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", err
		}
		text = line
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", &client.UsageError{Msg: "There is no token.", Fix: "Make one on the page API tokens, or with “novacron token create”, and give it on the standard input."}
	}
	return text, nil
}

// keep tries a token and remembers it when it is good.
func (a *app) keep(cmd *cobra.Command, b book, k known, token string) error {
	c, err := client.New(client.Options{Server: k.Server, Token: token, CA: k.CA})
	if err != nil {
		return err
	}
	var page client.Page
	if err := c.Get(cmd.Context(), client.Call{Op: "list-jobs", Query: map[string][]string{"limit": {"1"}}}, &page); err != nil {
		if p, ok := err.(*client.Problem); !ok || p.Status != 403 { // a token that may not read tasks is one all the same
			return err
		}
	}
	a.remember(&k, token)
	b.put(k)
	b.Current = k.Name
	if err := a.write(b); err != nil {
		return err
	}
	where := "in " + a.bookFile()
	if k.Keyring {
		where = "in the keyring"
	}
	_, err = fmt.Fprintf(a.Out, "Signed in to %s; it is the context %s now. The token is %s.\n", k.Server, k.Name, where)
	return err
}

func (a *app) logoutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "logout [CONTEXT]", Short: "Revoke this terminal's token and forget it", Args: upTo("CONTEXT"), ValidArgsFunction: a.completeContexts,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := a.book()
		if err != nil {
			return err
		}
		k, ok := b.find(cmp.Or(strings.Join(args, ""), flag(cmd, "context")), "")
		if !ok {
			return &notFoundError{"There is no such context.", "novacron context list names those that there are."}
		}
		said := "This terminal knows no token for " + k.Name + " any more."
		if token, err := a.tokenOf(k); err == nil && token != "" {
			if err := a.revoke(cmd, k, token); err != nil {
				said += " The token itself could not be revoked (" + strings.TrimSuffix(err.Error(), ".") + "): it is valid until somebody does or it expires."
			} else {
				said += " The token is revoked."
			}
		}
		if err := a.forget(k); err != nil {
			return err
		}
		k.Keyring, k.Token = false, ""
		b.put(k)
		if err := a.write(b); err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.Out, said)
		return err
	}
	return cmd
}

// tokenShown is how much of a token the list of tokens shows.
const tokenShown = 10

// revoke takes back the token that is used, which is found by how it begins.
func (a *app) revoke(cmd *cobra.Command, k known, token string) error {
	c, err := client.New(client.Options{Server: k.Server, Token: token, CA: k.CA})
	if err != nil {
		return err
	}
	all, err := c.All(cmd.Context(), client.Call{Op: "list-tokens"})
	if err != nil {
		return err
	}
	var mine []string
	for _, raw := range all {
		o, err := objectOf(raw)
		if err != nil {
			return err
		}
		if p := o.text("prefix"); len(p) >= tokenShown && strings.HasPrefix(token, p) {
			mine = append(mine, o.text("id"))
		}
	}
	if len(mine) != 1 {
		return &notFoundError{"It is not in the list of tokens that it may see.", ""}
	}
	_, err = c.Do(cmd.Context(), client.Call{Op: "revoke-token", Path: mine})
	return err
}

// execResult prints what a command in a guest said, and ends as it ended.
func (r *run) execResult(raw json.RawMessage) error {
	var res struct {
		ExitCode int    `json:"exit_code"`
		Signal   int    `json:"signal"`
		Stdout   string `json:"stdout"`
		Stderr   string `json:"stderr"`
	}
	if err := json.Unmarshal(raw, &res); err != nil {
		return err
	}
	fmt.Fprint(r.Out, clean(res.Stdout, true))
	fmt.Fprint(r.Err, clean(res.Stderr, true))
	if res.Signal != 0 {
		return &leave{128 + res.Signal}
	}
	if res.ExitCode != 0 {
		return &leave{res.ExitCode}
	}
	return nil
}

// leave ends with a code of somebody else's; there is nothing more to say.
type leave struct{ code int }

func (e *leave) Error() string { return fmt.Sprintf("left with %d", e.code) }
func (e *leave) Unwrap() error { return errSaid }
