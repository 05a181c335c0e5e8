package explain

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Suggest makes the command "suggest".
func Suggest(c *base.CLI) *cobra.Command {
	var days int
	cmd := &cobra.Command{
		Use:   "suggest",
		Short: "Suggest the rules that refused calls would need",
		Long: `From the calls that were refused in the last days, and those that targets which only
observe let through, it makes the least rules that would allow them: as lines for a call map
file and as commands. Nothing is applied. Look at each: what was refused may be an attack.
Conditions of rules are never loosened; calls that do not meet them are listed at the end.`,
		Example: `  watchword suggest
  watchword suggest --days 7 --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkDays(cmd, days); err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			s, err := admin.Suggestion(cmd.Context(), days)
			switch {
			case err != nil:
				return err
			case c.JSON:
				return c.PrintJSON(s)
			}
			return printSuggestion(c, s)
		},
	}
	cmd.Flags().IntVar(&days, "days", 30, "how many days to look back")
	return base.AsOperator(c.WithJSON(cmd))
}

func printSuggestion(c *base.CLI, s api.Suggestion) error {
	sayRecords(c, s.RecordsSince, s.Since)
	var text strings.Builder
	if len(s.Rules) == 0 {
		fmt.Fprintf(&text, "Nothing: no call since %s was refused that a rule would allow.\n", base.Moment(s.Since))
	} else {
		text.WriteString(s.File + "\n# or, by hand:\n")
	}
	for _, r := range s.Rules {
		command := r.Command
		if !strings.HasPrefix(command, "watchword ") { // what is to be done in a file is no command
			command = "# " + command
		}
		fmt.Fprintf(&text, "# %s -> %s: %s, the last on %s\n%s\n", r.From, r.To, calls(r.Refused), base.Moment(r.Last), command)
	}
	if more := s.RuleCount - len(s.Rules); more > 0 {
		fmt.Fprintf(&text, "# and %d more\n", more)
	}
	if len(s.Left) > 0 {
		text.WriteString("\n# refused, and not for a rule to mend:\n")
	}
	for _, l := range s.Left {
		fmt.Fprintf(&text, "# %s -> %s, %s: %s\n", l.From, l.To, calls(l.Refused), l.Text)
	}
	return c.Printf("%s", strings.TrimSuffix(text.String(), "\n"))
}

func calls(n int64) string {
	if n == 1 {
		return "1 call"
	}
	return fmt.Sprintf("%d calls", n)
}
