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
		Short: "Suggest rules for calls that were refused",
		Long: `Suggests the smallest rules that would allow the calls which were refused in the last days, and
the calls without a rule to services that only observe. The rules are printed as lines for a call
map file and as commands. Review each: a call that was refused may be an attack. The command
applies nothing, and never suggests to weaken a condition of a rule: calls that do not meet one
are listed at the end.`,
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
	cmd.Flags().IntVar(&days, "days", 30, "`number` of days to look back")
	return base.AsOperator(c.WithJSON(cmd))
}

func printSuggestion(c *base.CLI, s api.Suggestion) error {
	sayRecords(c, s.RecordsSince, s.Since)
	var text strings.Builder
	if len(s.Rules) == 0 {
		fmt.Fprintf(&text, "Nothing to suggest: no call since %s was refused that a rule would allow.\n", base.Moment(s.Since))
	} else {
		text.WriteString(s.File + "\n# or as commands:\n")
	}
	for _, r := range s.Rules {
		command := r.Command
		if !strings.HasPrefix(command, "watchword ") { // a change of a file is not a command
			command = "# " + command
		}
		fmt.Fprintf(&text, "# %s -> %s: %s, the last on %s\n%s\n", r.From, r.To, calls(r.Refused), base.Moment(r.Last), command)
	}
	if more := s.RuleCount - len(s.Rules); more > 0 {
		fmt.Fprintf(&text, "# and %d more\n", more)
	}
	if s.Unread > 0 {
		fmt.Fprintf(&text, "# %s left out, because there were too many different ones: use --days for fewer days\n", calls(s.Unread))
	}
	if len(s.Left) > 0 {
		text.WriteString("\n# refused for another reason than a missing rule:\n")
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
