package rule

import (
	"cmp"
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
		Short: "List who may call whom",
		Long: `Lists the call map, or that part of it which is about one caller or one target.
Nothing is allowed that no rule allows.`,
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
	cmd.Flags().StringVar(&caller, "caller", "", "only rules that allow this service")
	cmd.Flags().StringVar(&target, "target", "", "only rules that allow to call this service")
	return base.AsOperator(c.WithJSON(cmd))
}
