package main

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/explain"
	"github.com/watchword-dev/watchword/server/internal/operator"
)

func (c *cli) impactCommand() *cobra.Command {
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
				return usage(cmd, "name one of: CALLER TARGET, --key, --credential")
			}
			return exactly("CALLER", "TARGET")(cmd, args)
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
			return c.impact(cmd, days, what)
		},
	}
	cmd.Flags().IntVar(&days, "days", 30, "how many days to look back")
	cmd.Flags().StringVar(&key, "key", "", "id of a signing key, as watchword keys list has it")
	cmd.Flags().StringVar(&credential, "credential", "", "id of a credential, as watchword credential list has it")
	return asOperator(c.withJSON(cmd))
}

func (c *cli) impact(cmd *cobra.Command, days int, what map[string]string) error {
	admin, err := c.admin(cmd)
	if err != nil {
		return err
	}
	a, err := admin.Impact(cmd.Context(), days, what)
	switch {
	case statusOf(err) == http.StatusNotFound:
		return c.unknownUse(cmd, admin, err, what)
	case err != nil:
		return err
	case c.json:
		return c.printJSON(a)
	}
	return c.printImpact(a.Value)
}

// unknownUse adds to a "not found" how to list what there is.
func (c *cli) unknownUse(cmd *cobra.Command, admin *operator.Client, err error, what map[string]string) error {
	switch {
	case what["key"] != "":
		return next(fmt.Errorf("there is no key %q", what["key"]), "List keys with: watchword keys list")
	case what["credential"] != "":
		return unknownCredential(err, what["credential"])
	}
	err = c.unknownOf(cmd, admin, err, what["caller"], what["target"])
	if _, told := errors.AsType[*nextError](err); told {
		return err
	}
	return next(fmt.Errorf("there is no rule %s -> %s", what["caller"], what["target"]), "List the rules with: watchword rules --caller %s", what["caller"])
}

func (c *cli) printImpact(i explain.Impact) error {
	c.sayRecords(i.RecordsSince, i.Since)
	if err := c.printf("Without %s: %s.", i.What, i.Text); err != nil {
		return err
	}
	if i.Count == 0 {
		return c.printf("Nobody used it since %s.", moment(i.Since))
	}
	rows := [][]string{{"CALLER", "TARGET", "TOKENS", "LAST", "SCOPES", "PROVED BY", "FROM"}}
	for _, a := range i.Affected {
		rows = append(rows, []string{
			a.Caller, a.Target, strconv.FormatInt(a.Tokens, 10), moment(a.Last),
			strings.Join(a.Scopes, " "), strings.Join(a.Methods, " "), strings.Join(a.Networks, " "),
		})
	}
	if err := c.printTable(rows); err != nil {
		return err
	}
	if more := i.Count - len(i.Affected); more > 0 {
		c.say("and %d more", more)
	}
	return nil
}
