package explain

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Unused makes the command "unused".
func Unused(c *base.CLI) *cobra.Command {
	var days int
	cmd := &cobra.Command{
		Use:   "unused",
		Short: "List what nobody has used",
		Long: `Lists the services, credentials, rules and scopes of rules that nobody used in the last
days, with the command that removes each. What was made within that time is not judged.
Decisions are counted from the first start of a version that counts them: while the
counts are younger than the days asked for, what was not used is listed without commands.`,
		Example: `  watchword unused
  watchword unused --days 30 --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkDays(cmd, days); err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			u, err := admin.Unused(cmd.Context(), days)
			switch {
			case err != nil:
				return err
			case c.JSON:
				return c.PrintJSON(u)
			}
			return printUnused(c, u, days)
		},
	}
	cmd.Flags().IntVar(&days, "days", 90, "how many days to look back")
	return base.AsOperator(c.WithJSON(cmd))
}

func checkDays(cmd *cobra.Command, days int) error {
	if days < 1 || days > 400 {
		return base.Usage(cmd, "--days: must be 1 to 400")
	}
	return nil
}

func printUnused(c *base.CLI, u api.Unused, days int) error {
	sayRecords(c, u.RecordsSince, u.Since)
	if !u.Complete {
		c.Say("What is not used in so short a time may be used yet: there are no commands to remove it.")
	}
	rows := [][]string{{"KIND", "WHAT", "LAST USED", "TO REMOVE IT"}}
	for _, i := range u.Items {
		last := "not in " + strconv.Itoa(days) + " days"
		switch {
		case i.Last != nil:
			last = base.Moment(*i.Last)
		case i.Kind == "credential":
			last = "never"
		case !u.Complete:
			last = "not yet"
		}
		rows = append(rows, []string{i.Kind, i.What, last, i.Command})
	}
	if err := c.PrintTable(rows); err != nil {
		return err
	}
	if more := u.Count - len(u.Items); more > 0 {
		c.Say("and %d more", more)
	}
	if u.Young > 0 {
		c.Say("%d younger than that are not judged", u.Young)
	}
	return nil
}

// sayRecords tells how much is known of a window.
func sayRecords(c *base.CLI, records *time.Time, since time.Time) {
	switch {
	case records == nil:
		c.Say("No decision was counted yet.")
	case records.After(since):
		c.Say("Decisions were counted from %s on only.", records.UTC().Format(base.Day))
	}
}
