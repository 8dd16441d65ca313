package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"novacron/handlers/cli/client"
)

// exactly wants these arguments; a name that ends in "..." takes all that are left, one at least.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "...")
		switch {
		case len(args) < len(names):
			return usage(cmd, "%s is missing.", strings.TrimSuffix(names[len(args)], "..."))
		case len(args) > len(names) && !many:
			return usage(cmd, "“%s” is too much.", args[len(names)])
		}
		return nil
	}
}

func usage(cmd *cobra.Command, format string, args ...any) error {
	return &client.UsageError{Msg: fmt.Sprintf(format, args...), Fix: "Usage: " + cmd.UseLine() + "\n  See " + cmd.CommandPath() + " --help."}
}

// needsVerb is what a group of commands does by itself: it says what there is.
func needsVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	e := &client.UsageError{Msg: "There is no “" + cmd.CommandPath() + " " + args[0] + "”.", Fix: "See " + cmd.CommandPath() + " --help."}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		e.Fix = "Did you mean “" + cmd.CommandPath() + " " + near[0] + "”?"
	}
	return e
}
