package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// either is a command that asks a server, or works on a data directory where one is named, or where no server is known.
func (a *app) either(online, local *cobra.Command) *cobra.Command {
	ask := online.RunE
	local.Flags().VisitAll(func(f *pflag.Flag) {
		if have := online.Flags().Lookup(f.Name); have == nil {
			online.Flags().AddFlag(f)
		}
	})
	online.Long += "\n\nWith --data it works on a server's data directory, on the server itself, and asks nobody; so it does\nwhere no server is known."
	if local.Example != "" {
		online.Example = strings.TrimPrefix(online.Example+"\n"+local.Example, "\n")
	}
	args := online.Args
	online.Args = func(cmd *cobra.Command, given []string) error {
		if a.offline(cmd) {
			return local.Args(cmd, given)
		}
		return args(cmd, given)
	}
	online.RunE = func(cmd *cobra.Command, given []string) error {
		var err error
		if !a.offline(cmd) {
			cmd.Flags().Visit(func(f *pflag.Flag) {
				if local.Flags().Lookup(f.Name) == f && err == nil { // the server's command has none of that name
					err = usage(cmd, "--%s is for work on a data directory; give --data with it.", f.Name)
				}
			})
			if err != nil {
				return err
			}
			return ask(cmd, given)
		}
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if own := local.Flags().Lookup(f.Name); own != nil && own != f && err == nil {
				err = local.Flags().Set(f.Name, f.Value.String())
			} else if own == nil && err == nil && cmd.LocalNonPersistentFlags().Lookup(f.Name) != nil {
				err = usage(cmd, "--%s is for a server that is asked, and --data for one's own directory.", f.Name)
			}
		})
		if err != nil {
			return err
		}
		local.SetContext(cmd.Context())
		local.SetOut(cmd.OutOrStdout())
		local.SetErr(cmd.ErrOrStderr())
		return local.RunE(local, given)
	}
	return online
}

// offline says whether a data directory is meant.
func (a *app) offline(cmd *cobra.Command) bool {
	for _, name := range []string{"data", "config"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			return true
		}
	}
	for _, name := range []string{"server", "context"} {
		if flag(cmd, name) != "" || a.Getenv("NOVACRON_"+strings.ToUpper(name)) != "" {
			return false
		}
	}
	if a.Getenv("NOVACRON_DATA") != "" || a.Getenv("NOVACRON_CONFIG") != "" {
		return true
	}
	b, err := a.book()
	if err != nil {
		return false
	}
	_, ok := b.find("", "")
	return !ok
}

// merge keeps what works on a data directory below a command of the same name.
func (a *app) merge(cmd, old *cobra.Command) {
	for _, o := range old.Commands() {
		old.RemoveCommand(o)
		for _, c := range cmd.Commands() {
			if c.Name() == o.Name() {
				cmd.RemoveCommand(c)
				o = a.either(c, o)
			}
		}
		cmd.AddCommand(o)
	}
}
