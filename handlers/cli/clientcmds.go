package cli

import (
	"github.com/spf13/cobra"
)

// clientCommands are those that are about no one resource.
func (a *app) clientCommands() []*cobra.Command {
	return []*cobra.Command{a.contextCommand(), a.loginCommand(), a.logoutCommand(), exitTopic()}
}

// extra adds what a resource has beyond the API's operations.
func (a *app) extra(*resource, *cobra.Command) {}

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
