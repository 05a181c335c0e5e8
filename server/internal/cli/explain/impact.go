package explain

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Impact makes the command "impact".
func Impact(c *base.CLI) *cobra.Command {
	var days int
	var what operator.ImpactOf
	cmd := &cobra.Command{
		Use:   "impact [CALLER TARGET]",
		Short: "Show who uses a rule, a key or a credential",
		Long: `Lists the services that used a rule, a signing key or a credential in the last days, and would
fail if it was removed. The command removes nothing.`,
		Example: `  watchword impact m1 m2
  watchword impact --credential 00112233445566778899aabbccddeeff
  watchword impact --key NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --days 7`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && (what.Key == "") != (what.Credential == "") {
				return nil
			}
			if what.Key != "" || what.Credential != "" {
				return base.Usage(cmd, "give one of CALLER TARGET, --key and --credential")
			}
			return base.Exactly("CALLER", "TARGET")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkDays(cmd, days); err != nil {
				return err
			}
			if len(args) > 0 {
				what.Caller, what.Target = args[0], args[1]
			}
			return impact(c, cmd, days, what)
		},
	}
	cmd.Flags().IntVar(&days, "days", 30, "`number` of days to look back")
	cmd.Flags().StringVar(&what.Key, "key", "", "`id` of a signing key, as in \"watchword keys list\"")
	cmd.Flags().StringVar(&what.Credential, "credential", "", "`id` of a credential, as in \"watchword credential list\"")
	return base.AsOperator(c.WithJSON(cmd))
}

func impact(c *base.CLI, cmd *cobra.Command, days int, what operator.ImpactOf) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	a, err := admin.Impact(cmd.Context(), what, days)
	switch {
	case base.StatusOf(err) == http.StatusNotFound:
		return unknownUse(c, cmd, admin, err, what)
	case err != nil:
		return err
	case c.JSON:
		return c.PrintJSON(a)
	}
	return printImpact(c, a)
}

// unknownUse turns "not found" into an error that tells how to list what exists.
func unknownUse(c *base.CLI, cmd *cobra.Command, admin *operator.Client, err error, what operator.ImpactOf) error {
	switch {
	case what.Key != "":
		return base.Next(fmt.Errorf("there is no key %q", what.Key), "List the keys with: watchword keys list")
	case what.Credential != "":
		return base.UnknownCredential(err, what.Credential)
	}
	err = c.UnknownOf(cmd, admin, err, what.Caller, what.Target)
	if _, advised := errors.AsType[*base.NextError](err); advised {
		return err
	}
	return base.Next(fmt.Errorf("there is no rule %s -> %s", what.Caller, what.Target), "List the rules with: %s", shell.Command("watchword", "rules", "--caller", what.Caller))
}

func printImpact(c *base.CLI, i api.Impact) error {
	sayRecords(c, i.RecordsSince, i.Since)
	if err := c.Printf("Without %s: %s.", i.What, i.Text); err != nil {
		return err
	}
	if i.Count == 0 {
		return c.Printf("Nobody used it since %s.", base.Moment(i.Since))
	}
	rows := [][]string{{"CALLER", "TARGET", "TOKENS", "LAST", "SCOPES", "METHODS", "FROM"}}
	for _, a := range i.Affected {
		rows = append(rows, []string{
			a.Caller, a.Target, strconv.FormatInt(a.Tokens, 10), base.Moment(a.Last),
			strings.Join(a.Scopes, " "), strings.Join(a.Methods, " "), strings.Join(a.Networks, " "),
		})
	}
	if err := c.PrintTable(rows); err != nil {
		return err
	}
	if more := i.Count - len(i.Affected); more > 0 {
		c.Say("and %d more", more)
	}
	return nil
}
