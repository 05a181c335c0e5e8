package explain

import (
	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/explain"
)

// Graph makes the command "graph".
func Graph(c *base.CLI) *cobra.Command {
	var format, from, to string
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Draw the services and rules",
		Long: `Prints the services and rules as a graph, in the format of Graphviz (dot), of Mermaid, or as JSON.
With --from and --to the graph has only the paths from a service or to a service.`,
		Example: `  watchword graph | dot -Tsvg > callmap.svg
  watchword graph --format mermaid --from m1
  watchword graph --format json --from m1 --to m2`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "dot" && format != "mermaid" && format != "json" {
				return base.Usage(cmd, "--format: %q is not dot, mermaid or json", format)
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			g, err := admin.Graph(cmd.Context(), from, to)
			if err != nil {
				return c.UnknownOf(cmd, admin, err, from, to)
			}
			if more := g.RuleCount - len(g.Rules) + g.ServiceCount - len(g.Services); more > 0 {
				c.Say("warning: only %d of %d services and %d of %d rules are shown; use --from or --to to see a part", len(g.Services), g.ServiceCount, len(g.Rules), g.RuleCount)
			}
			switch format {
			case "json":
				return c.PrintJSON(g)
			case "mermaid":
				return c.Answer(base.Clean(explain.Mermaid(g)))
			default:
				return c.Answer(base.Clean(explain.DOT(g)))
			}
		},
	}
	cmd.Flags().StringVar(&format, "format", "dot", "`format` of the graph: dot, mermaid or json")
	cmd.Flags().StringVar(&from, "from", "", "draw only what this `service` reaches")
	cmd.Flags().StringVar(&to, "to", "", "draw only what reaches this `service`")
	return base.AsOperator(cmd)
}
