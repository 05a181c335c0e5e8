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
		Short: "List services, credentials, rules and scopes that nobody uses",
		Long: `Lists the services, credentials, rules and scopes of rules that nobody used in the last days, with
the command that removes each. What was created or changed in that time is not listed. As long as
the server has counted decisions for fewer days, the list has no commands.`,
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
	cmd.Flags().IntVar(&days, "days", 90, "`number` of days to look back")
	return base.AsOperator(c.WithJSON(cmd))
}

func checkDays(cmd *cobra.Command, days int) error {
	if days < 1 || days > 400 {
		return base.Usage(cmd, "--days must be from 1 to 400")
	}
	return nil
}

func printUnused(c *base.CLI, u api.Unused, days int) error {
	sayRecords(c, u.RecordsSince, u.Since)
	if !u.Complete {
		c.Say("What was not used in so short a time may still be needed, so there are no commands to remove it.")
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
		c.Say("%d more are not listed because they were created or changed in that time", u.Young)
	}
	return nil
}

// sayRecords prints how much of the time since then the counts cover.
func sayRecords(c *base.CLI, records *time.Time, since time.Time) {
	switch {
	case records == nil:
		c.Say("The server has not counted any decision yet.")
	case records.After(since):
		c.Say("The server counts decisions only since %s.", records.UTC().Format(base.Day))
	}
}
