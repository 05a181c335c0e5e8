package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/adminclient"
)

func (c *cli) rulesCommand() *cobra.Command {
	var caller, target string
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "List who may call whom",
		Long: `Lists the call map, or that part of it which is about one caller or one target.
Nothing is allowed that no rule allows.`,
		Example: `  watchword rules
  watchword rules --target m2 --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			all, err := admin.Rules(cmd.Context(), caller, target)
			if err != nil {
				return c.unknownOf(cmd, admin, err, caller, target)
			}
			if c.json {
				return c.printJSON(map[string]any{"rules": all})
			}
			slices.SortFunc(all, func(a, b adminclient.Answer[adminclient.Rule]) int {
				return cmp.Or(cmp.Compare(a.Value.Caller, b.Value.Caller), cmp.Compare(a.Value.Target, b.Value.Target))
			})
			rows := [][]string{{"CALLER", "TARGET", "SCOPES", "EXCHANGE", "MAY ACT", "UNTIL"}}
			for _, a := range all {
				r := a.Value
				rows = append(rows, []string{r.Caller, r.Target, strings.Join(r.Scopes, " "), r.Exchange, r.MayAct, momentOf(r.Until)})
			}
			return c.printTable(rows)
		},
	}
	cmd.Flags().StringVar(&caller, "caller", "", "only rules that allow this service")
	cmd.Flags().StringVar(&target, "target", "", "only rules that allow to call this service")
	return asOperator(c.withJSON(cmd))
}
