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
		Short: "Show what a stolen credential of a service reaches",
		Long: `Shows, as a tree, the services for which whoever has a credential of SERVICE gets tokens,
and below each those that are reached through it, since it exchanges the tokens it
receives. Scopes only shrink on the way. Conditions of rules are taken to hold: they are
shown, for you to judge.`,
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
	fmt.Fprintf(&text, "%s reaches %d directly, and %d through others\n", b.Service, b.Direct, b.Through)
	for i, r := range b.Reaches {
		fmt.Fprintln(&text, branch(b.Reaches, i)+r.Service+reachTerms(r))
	}
	if more := b.Direct + b.Through - len(b.Reaches); more > 0 {
		fmt.Fprintf(&text, "and %d more\n", more)
	}
	return c.Printf("%s", strings.TrimSuffix(text.String(), "\n"))
}

// branch draws what stands before an entry of a tree: where one on the same level follows, a line goes on.
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
		parts = append(parts, "any scope: it only observes")
	case len(r.Scopes) > 0:
		parts = append(parts, strings.Join(r.Scopes, " "))
	default:
		parts = append(parts, "no scope")
	}
	switch r.Exchange {
	case "delegate":
		parts = append(parts, "on behalf")
	case "impersonate":
		parts = append(parts, "in its place")
	}
	if r.By != "" {
		parts = append(parts, "exchanged by "+r.By)
	}
	if r.When != nil {
		parts = append(parts, "when "+r.When.String())
	}
	return "  (" + strings.Join(parts, "; ") + ")"
}
