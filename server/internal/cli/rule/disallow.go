package rule

import (
	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Disallow makes the command "disallow".
func Disallow(c *base.CLI) *cobra.Command {
	return base.AsOperator(c.WithJSON(&cobra.Command{
		Use:   "disallow CALLER TARGET",
		Short: "No longer let one service call another",
		Long: `Takes the rule away by which CALLER may have tokens for TARGET: its very next request
for one is refused. Tokens it has already are good until they expire. To take away what
is not there changes nothing.`,
		Example: `  watchword disallow m1 m2`,
		Args:    base.Exactly("CALLER", "TARGET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			caller, target := args[0], args[1]
			before, err := operator.Collect(admin.Rules(cmd.Context(), caller, target))
			if err == nil {
				err = admin.DeleteRule(cmd.Context(), caller, target, operator.AnyVersion)
			}
			if err != nil {
				return c.UnknownOf(cmd, admin, err, caller, target)
			}
			if len(before) == 0 {
				c.Say("was not allowed: no rule lets %s call %s", caller, target)
			} else {
				c.Say("no longer allowed: no rule lets %s call %s", caller, target)
			}
			return sayObserving(c, cmd, admin, target)
		},
	}))
}
