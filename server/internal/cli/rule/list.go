package rule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Rules makes the command "rules".
func Rules(c *base.CLI) *cobra.Command {
	var caller, target string
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List the rules",
		Long: `Lists all rules, or those of one caller or one target. Calls without a rule are refused, except
calls to a service that only observes, for which every service gets a token. The command names
these services on standard error.`,
		Example: `  watchword rules
  watchword rules --target m2 --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			all, err := operator.Collect(admin.Rules(cmd.Context(), caller, target))
			if err != nil {
				return c.UnknownOf(cmd, admin, err, caller, target)
			}
			if err := sayObserving(c, cmd, admin, target); err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(map[string]any{"rules": all})
			}
			slices.SortFunc(all, func(a, b api.Rule) int {
				return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Target, b.Target))
			})
			rows := [][]string{{"CALLER", "TARGET", "SCOPES", "EXCHANGE", "MAY ACT", "WHEN", "UNTIL", "OWNER"}}
			for _, r := range all {
				rows = append(rows, []string{r.Caller, r.Target, strings.Join(r.Scopes, " "), r.Exchange, r.MayAct, r.When.String(), base.MomentOf(r.Until), r.ManagedBy})
			}
			return c.PrintTable(rows)
		},
	}
	cmd.Flags().StringVar(&caller, "caller", "", "list only the rules of this calling `service`")
	cmd.Flags().StringVar(&target, "target", "", "list only the rules that allow calls to this `service`")
	return base.AsOperator(c.WithJSON(cmd))
}

// sayObserving names the targets that only observe, or the given one if it does: every service gets a token for
// them, whatever the rules say.
func sayObserving(c *base.CLI, cmd *cobra.Command, admin *operator.Client, target string) error {
	services := admin.Services(cmd.Context())
	if target != "" {
		services = func(yield func(api.Service, error) bool) { yield(admin.Service(cmd.Context(), target)) }
	}
	const most = 10
	var names []string
	more := 0
	for s, err := range services {
		switch {
		case err != nil:
			return err
		case s.Observe && len(names) == most:
			more++
		case s.Observe:
			names = append(names, s.Name)
		}
	}
	if more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	if len(names) > 0 {
		c.Say("note: every service gets a token for a target that only observes, whatever the rules say: %s", strings.Join(names, ", "))
	}
	return nil
}
