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
		Short: "Remove the rule that allows a service to call another",
		Long: `Removes the rule that allows CALLER to get tokens for TARGET. The next request for one is refused.
Tokens that CALLER already has are valid until they expire. If there is no such rule, nothing
changes.`,
		Example: `  watchword disallow m1 m2
  watchword disallow m1 m2 --json`,
		Args: base.Exactly("CALLER", "TARGET"),
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
				c.Say("there was no rule that allows %s to call %s", caller, target)
			} else {
				c.Say("removed the rule that allows %s to call %s", caller, target)
			}
			return sayObserving(c, cmd, admin, target)
		},
	}))
}
