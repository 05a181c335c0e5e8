package explain

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/cli/base"

	"github.com/watchword-dev/watchword/server/internal/explain"
	"github.com/watchword-dev/watchword/server/internal/operator"
)

// Impact makes the command "impact".
func Impact(c *base.CLI) *cobra.Command {
	var days int
	var key, credential string
	cmd := &cobra.Command{
		Use:   "impact [CALLER TARGET]",
		Short: "Say who would break without a rule, a key or a credential",
		Long: `Lists who used a rule, a signing key or a credential in the last days and would break if
it were taken away. It takes nothing away.`,
		Example: `  watchword impact m1 m2
  watchword impact --credential 00112233445566778899aabbccddeeff
  watchword impact --key NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --days 7`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && (key == "") != (credential == "") {
				return nil
			}
			if key != "" || credential != "" {
				return base.Usage(cmd, "name one of: CALLER TARGET, --key, --credential")
			}
			return base.Exactly("CALLER", "TARGET")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkDays(cmd, days); err != nil {
				return err
			}
			what := map[string]string{}
			switch {
			case key != "":
				what["key"] = key
			case credential != "":
				what["credential"] = credential
			default:
				what["caller"], what["target"] = args[0], args[1]
			}
			return impact(c, cmd, days, what)
		},
	}
	cmd.Flags().IntVar(&days, "days", 30, "how many days to look back")
	cmd.Flags().StringVar(&key, "key", "", "id of a signing key, as watchword keys list has it")
	cmd.Flags().StringVar(&credential, "credential", "", "id of a credential, as watchword credential list has it")
	return base.AsOperator(c.WithJSON(cmd))
}

func impact(c *base.CLI, cmd *cobra.Command, days int, what map[string]string) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	a, err := admin.Impact(cmd.Context(), days, what)
	switch {
	case base.StatusOf(err) == http.StatusNotFound:
		return unknownUse(c, cmd, admin, err, what)
	case err != nil:
		return err
	case c.JSON:
		return c.PrintJSON(a)
	}
	return printImpact(c, a.Value)
}

// unknownUse adds to a "not found" how to list what there is.
func unknownUse(c *base.CLI, cmd *cobra.Command, admin *operator.Client, err error, what map[string]string) error {
	switch {
	case what["key"] != "":
		return base.Next(fmt.Errorf("there is no key %q", what["key"]), "List keys with: watchword keys list")
	case what["credential"] != "":
		return base.UnknownCredential(err, what["credential"])
	}
	err = c.UnknownOf(cmd, admin, err, what["caller"], what["target"])
	if _, told := errors.AsType[*base.NextError](err); told {
		return err
	}
	return base.Next(fmt.Errorf("there is no rule %s -> %s", what["caller"], what["target"]), "List the rules with: watchword rules --caller %s", what["caller"])
}

func printImpact(c *base.CLI, i explain.Impact) error {
	sayRecords(c, i.RecordsSince, i.Since)
	if err := c.Printf("Without %s: %s.", i.What, i.Text); err != nil {
		return err
	}
	if i.Count == 0 {
		return c.Printf("Nobody used it since %s.", base.Moment(i.Since))
	}
	rows := [][]string{{"CALLER", "TARGET", "TOKENS", "LAST", "SCOPES", "PROVED BY", "FROM"}}
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
