package explain

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Blast makes the command "blast".
func Blast(c *base.CLI) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "blast SERVICE",
		Short: "Show which services a stolen credential gives access to",
		Long: `Shows, as a tree, the services for which somebody with a credential of SERVICE can get tokens.
Below a service are those that are reached through it, because it may exchange the tokens that it
receives. The conditions of rules are assumed to be met, and are shown.`,
		Example: `  watchword blast m1
  watchword blast m1 --json`,
		Args: base.Exactly("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			b, err := admin.Blast(cmd.Context(), args[0])
			switch {
			case err != nil:
				return base.UnknownService(err, args[0])
			case c.JSON:
				return c.PrintJSON(b)
			}
			return printBlast(c, b)
		},
	}
	return base.AsOperator(c.WithJSON(cmd))
}

func printBlast(c *base.CLI, b api.Blast) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s reaches %d services directly, and %d through others\n", b.Service, b.Direct, b.Through)
	for i, r := range b.Reaches {
		fmt.Fprintln(&text, branch(b.Reaches, i)+r.Service+reachTerms(r))
	}
	if more := b.Direct + b.Through - len(b.Reaches); more > 0 {
		fmt.Fprintf(&text, "and %d more\n", more)
	}
	return c.Printf("%s", strings.TrimSuffix(text.String(), "\n"))
}

// branch draws the lines before an entry of the tree.
func branch(all []api.Reach, i int) string {
	follows := func(depth int) bool {
		for _, r := range all[i+1:] {
			if r.Depth <= depth {
				return r.Depth == depth
			}
		}
		return false
	}
	var b strings.Builder
	for depth := range all[i].Depth {
		if follows(depth) {
			b.WriteString("|   ")
		} else {
			b.WriteString("    ")
		}
	}
	if follows(all[i].Depth) {
		return b.String() + "|-- "
	}
	return b.String() + "`-- "
}

func reachTerms(r api.Reach) string {
	var parts []string
	switch {
	case r.AnyScope:
		parts = append(parts, "any scope: the service only observes")
	case len(r.Scopes) > 0:
		parts = append(parts, strings.Join(r.Scopes, " "))
	default:
		parts = append(parts, "no scope")
	}
	switch r.Exchange {
	case "delegate":
		parts = append(parts, "by delegation")
	case "impersonate":
		parts = append(parts, "by impersonation")
	}
	if r.By != "" {
		parts = append(parts, "exchanged by "+r.By)
	}
	if r.When != nil {
		parts = append(parts, "when "+r.When.String())
	}
	return "  (" + strings.Join(parts, "; ") + ")"
}
